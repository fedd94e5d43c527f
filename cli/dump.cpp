// SPDX-License-Identifier: Apache-2.0
// Dumps. Nothing here writes to the terminal what another program chose, but for the bytes that were asked for as they are.
#include "dump.hpp"

#include <ipcns/error.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <iterator>
#include <vector>

namespace ipcns::cli {

// ---- Lines -------------------------------------------------------------------------------------------------------

void Dump::line(std::uint64_t offset, std::span<const std::byte> bytes) {
    if (any_ && bytes.size() == per_line && std::equal(bytes.begin(), bytes.end(), before_.begin())) {
        if (!folded_) print_("*");
        folded_ = true;
        return;
    }
    constexpr std::string_view digits = "0123456789abcdef";
    text_.clear();
    fmt::format_to(std::back_inserter(text_), "{:08x} ", offset);
    for (std::size_t i = 0; i < per_line; ++i) {
        if (i % 8 == 0) text_ += ' ';
        if (i < bytes.size()) {
            const auto byte = std::to_integer<unsigned>(bytes[i]);
            text_ += digits[byte >> 4U];
            text_ += digits[byte & 15U];
            text_ += ' ';
        } else {
            text_ += "   ";
        }
    }
    text_ += " |";
    for (const std::byte byte : bytes) {
        const char letter = static_cast<char>(byte);
        text_ += letter >= ' ' && letter <= '~' ? letter : '.';
    }
    text_ += '|';
    print_(text_);
    folded_ = false;
    any_ = bytes.size() == per_line;
    if (any_) std::copy(bytes.begin(), bytes.end(), before_.begin());
}

void Dump::add(std::uint64_t offset, std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += per_line)
        line(offset + at, bytes.subspan(at, std::min(per_line, bytes.size() - at)));
}

void Dump::add_zeros(std::uint64_t offset, std::uint64_t count) {
    constexpr std::array<std::byte, per_line> zeros{};
    // The first may be printed, the second is then folded, as are all others.
    for (std::uint64_t at = 0; at < count && at < 2 * per_line; at += per_line)
        line(offset + at, std::span(zeros).first(std::min<std::uint64_t>(per_line, count - at)));
    if (count > 2 * per_line && count % per_line != 0)
        line(offset + count - count % per_line, std::span(zeros).first(count % per_line));
}

// ---- Memory ------------------------------------------------------------------------------------------------------

void for_data(Contents& contents, std::uint64_t begin, std::uint64_t length,
              const std::function<void(std::uint64_t, std::span<const std::byte>)>& use) {
    constexpr std::uint64_t piece = 48 << 10; // whole lines, and whole groups of base64
    const std::uint64_t end = begin + length;
    std::vector<std::byte> bytes(piece);
    contents.vouch();
    for (std::uint64_t at = begin; at < end;) {
        const std::uint64_t data = std::min(contents.next_data(at), end);
        // On a line's beginning.
        at = data - (data - begin) % Dump::per_line;
        if (at >= end || data >= end) break;
        const auto here = std::span(bytes).first(std::min<std::uint64_t>(piece, end - at));
        contents.read(at, here);
        use(at, here);
        at += here.size();
    }
    contents.vouch();
}

void dump_memory(Contents& contents, std::uint64_t begin, std::uint64_t length) {
    Dump dump([](std::string_view line) {
        std::fwrite(line.data(), 1, line.size(), stdout);
        std::fputc('\n', stdout);
    });
    std::uint64_t at = begin;
    for_data(contents, begin, length, [&](std::uint64_t offset, std::span<const std::byte> bytes) {
        dump.add_zeros(at, offset - at);
        dump.add(offset, bytes);
        at = offset + bytes.size();
    });
    dump.add_zeros(at, begin + length - at);
    fmt::print("{:08x}\n", begin + length);
}

namespace {

[[noreturn]] void writing_failed() { throw Error(errno, "write to standard output"); }

void write_all(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t length = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) writing_failed();
        bytes = bytes.subspan(static_cast<std::size_t>(length));
    }
}

// What is behind the end of a file that is not appended to can be passed over.
bool is_at_the_end_of_a_file() {
    struct stat about {};
    return ::fstat(STDOUT_FILENO, &about) == 0 && S_ISREG(about.st_mode) &&
           (::fcntl(STDOUT_FILENO, F_GETFL) & O_APPEND) == 0 &&
           ::lseek(STDOUT_FILENO, 0, SEEK_CUR) == about.st_size;
}

void write_zeros(std::uint64_t count, bool pass_over) {
    if (pass_over) {
        const off_t end = ::lseek(STDOUT_FILENO, static_cast<off_t>(count), SEEK_CUR);
        if (end < 0 || ::ftruncate(STDOUT_FILENO, end) != 0) writing_failed();
        return;
    }
    const std::vector<std::byte> zeros(std::min<std::uint64_t>(count, 1 << 16));
    for (; count != 0; count -= std::min<std::uint64_t>(count, zeros.size()))
        write_all(std::span(zeros).first(std::min<std::uint64_t>(count, zeros.size())));
}

} // namespace

void write_memory(Contents& contents, std::uint64_t begin, std::uint64_t length) {
    const bool pass_over = is_at_the_end_of_a_file();
    std::uint64_t at = begin;
    for_data(contents, begin, length, [&](std::uint64_t offset, std::span<const std::byte> bytes) {
        write_zeros(offset - at, pass_over);
        write_all(bytes);
        at = offset + bytes.size();
    });
    write_zeros(begin + length - at, pass_over);
}

void write_bytes(std::span<const std::byte> bytes) { write_all(bytes); }

} // namespace ipcns::cli
