// SPDX-License-Identifier: Apache-2.0
// Throwing ipcns::Error in few words.
#pragma once

#include <ipcns/error.hpp>

namespace ipcns {

/// Throws Error with the current errno.
[[noreturn]] void fail(const std::string& what, std::string hint = {});
[[noreturn]] void fail(int number, const std::string& what, std::string hint = {});

/// Whether an errno says nothing about the thing that was looked at: this process or the system has run out of something.
inline bool is_our_lack(int number) noexcept {
    return number == EMFILE || number == ENFILE || number == ENOMEM;
}

} // namespace ipcns
