// SPDX-License-Identifier: Apache-2.0
// Bytes for people and for programs: a dump in hexadecimal and text, or just the bytes.
#pragma once

#include <ipcns/contents.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace ipcns::cli {

/// Lines of 16 bytes as hexdump(1) and its -C print them. Lines that say the same as the one before are one line, "*".
class Dump {
public:
    static constexpr std::size_t per_line = 16;

    explicit Dump(std::function<void(std::string_view)> print) : print_(std::move(print)) {}

    /// Bytes at an offset: whole lines, but at the end.
    void add(std::uint64_t offset, std::span<const std::byte> bytes);
    /// As many zeros, in whole lines, in no more time than a few.
    void add_zeros(std::uint64_t offset, std::uint64_t count);

private:
    void line(std::uint64_t offset, std::span<const std::byte> bytes);

    std::function<void(std::string_view)> print_;
    std::array<std::byte, per_line> before_{};
    bool any_ = false;
    bool folded_ = false;
    std::string text_;
};

/// Calls @p use with each piece of what may be other than zeros.
void for_data(Contents& contents, std::uint64_t begin, std::uint64_t length,
              const std::function<void(std::uint64_t offset, std::span<const std::byte> bytes)>& use);

/// On standard output, with the offset behind the last byte at the end.
void dump_memory(Contents& contents, std::uint64_t begin, std::uint64_t length);

/// On standard output as they are. In a file, what was never written is left out there as well.
/// @throws Error
void write_memory(Contents& contents, std::uint64_t begin, std::uint64_t length);
void write_bytes(std::span<const std::byte> bytes);

} // namespace ipcns::cli
