// SPDX-License-Identifier: Apache-2.0
// The one exception type of the library.
#pragma once

#include <ipcns/export.hpp>

#include <cerrno>
#include <string>
#include <system_error>

namespace ipcns {

/// What went wrong: `what()` reads "WHAT WAS BEING DONE TO WHICH THING: WHY", `code()` holds the errno value
/// in the system category, and `hint()` is a sentence about what the person can do, or empty. Names that
/// other programs chose are escaped in all of them, so they can be printed on a terminal.
class IPCNS_API Error : public std::system_error {
public:
    /// @param number an errno value
    /// @param what   what was being done to which thing, without a final full stop
    /// @param hint   what the person can do about it, or empty
    Error(int number, const std::string& what, std::string hint = {})
        : std::system_error(number, std::system_category(), what), hint_(std::move(hint)) {}

    /// What the person can do about it: a sentence, or empty.
    [[nodiscard]] const std::string& hint() const noexcept { return hint_; }

private:
    std::string hint_;
};

/// The caller asked for something that makes no sense (a malformed target, an unknown limit). Thrown before
/// anything has been changed. `code()` is EINVAL and `what()` says only what was wrong.
class IPCNS_API UsageError : public Error {
public:
    /// @param message what is wrong with what was asked for
    explicit UsageError(const std::string& message, std::string hint = {})
        : Error(EINVAL, message, std::move(hint)), message_(message) {}
    /// The message alone, without words for EINVAL.
    [[nodiscard]] const char* what() const noexcept override { return message_.c_str(); }

private:
    std::string message_;
};

} // namespace ipcns
