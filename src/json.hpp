// SPDX-License-Identifier: Apache-2.0
// Reading JSON that others wrote (RFC 8259): a few fields out of a text that stays where it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns {

/// A value in a JSON text: a part of that text, which must outlive it. The whole text was looked at before the first value
/// is handed out, so that nothing is believed of one that is broken further on.
class JsonValue {
public:
    /// The value that @p text consists of; nothing when it is not exactly one, breaks a rule of RFC 8259 or is nested deeper
    /// than 64. Bytes above 0x7F are taken as they are: file names need not be UTF-8.
    [[nodiscard]] static std::optional<JsonValue> parse(std::string_view text);

    /// The member of an object; nothing when this is no object, or has no such member, or more than one of that name (which
    /// readers take differently).
    [[nodiscard]] std::optional<JsonValue> member(std::string_view key) const;

    /// The elements of an array; none when this is no array.
    [[nodiscard]] std::vector<JsonValue> elements() const;

    /// The text of a string, its escapes resolved; nothing when this is no string, or has an escape for half a character.
    [[nodiscard]] std::optional<std::string> string() const;

    /// A whole number from 0 that is written without fraction and exponent and fits 64 bits; nothing for all else.
    [[nodiscard]] std::optional<std::uint64_t> number() const;

private:
    explicit JsonValue(std::string_view text) noexcept : text_(text) {}
    std::string_view text_;
};

} // namespace ipcns
