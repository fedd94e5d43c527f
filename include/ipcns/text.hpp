// SPDX-License-Identifier: Apache-2.0
// Text that crosses the border: sizes that people type, and names that other programs chose.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ipcns {

/// Reads a size: a decimal number, or one followed by K, M, G or T (powers of 1024).
/// @throws UsageError when @p text is anything else or does not fit 64 bits.
[[nodiscard]] IPCNS_API std::uint64_t parse_size(std::string_view text);

/// A size for people: "64M", "1.5G", "812" (powers of 1024, at most one decimal).
[[nodiscard]] IPCNS_API std::string format_size(std::uint64_t bytes);

/// Makes @p raw safe to print on a terminal: control characters, DEL, backslash and bytes that are not
/// well-formed UTF-8 become `\xNN`, `\n`, `\t` or `\\`; so do the C1 controls and the characters that turn the
/// direction of text around.
[[nodiscard]] IPCNS_API std::string escape(std::string_view raw);

/// Bytes in base64 (RFC 4648), with padding.
[[nodiscard]] IPCNS_API std::string base64(std::span<const std::byte> bytes);

/// The word that was probably meant: the one of @p known with the fewest letters to change, add or take away to make it
/// @p word, if these are at most two; empty when there is none.
[[nodiscard]] IPCNS_API std::string_view nearest(std::string_view word,
                                                 std::span<const std::string_view> known);

} // namespace ipcns
