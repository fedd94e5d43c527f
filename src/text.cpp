// SPDX-License-Identifier: Apache-2.0
// Sizes that people type, and names that other programs chose.
#include <ipcns/text.hpp>

#include "error.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <vector>

namespace ipcns {
namespace {

constexpr std::string_view units = "KMGT";

// Length of the well-formed UTF-8 sequence at the start of text and its code point; 0 when it is malformed.
std::size_t decode(std::string_view text, char32_t& point) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    std::size_t length = 0;
    if (first < 0x80) {
        point = first;
        return 1;
    }
    if ((first & 0xE0) == 0xC0) {
        length = 2;
        point = first & 0x1F;
    } else if ((first & 0xF0) == 0xE0) {
        length = 3;
        point = first & 0x0F;
    } else if ((first & 0xF8) == 0xF0) {
        length = 4;
        point = first & 0x07;
    } else {
        return 0;
    }
    if (text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
        point = (point << 6) | (byte(i) & 0x3F);
    }
    constexpr std::array<char32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
    if (point < least[length] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return 0;
    return length;
}

// Characters that a terminal acts on, or that reorder the text around them.
bool is_dangerous(char32_t point) {
    return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x061C || point == 0x200E ||
           point == 0x200F || point == 0x2028 || point == 0x2029 || (point >= 0x202A && point <= 0x202E) ||
           (point >= 0x2066 && point <= 0x2069) || point == 0xFEFF;
}

} // namespace

std::uint64_t parse_size(std::string_view text) {
    std::string_view digits = text;
    unsigned shift = 0;
    if (!digits.empty()) {
        const auto unit = units.find(digits.back());
        if (unit != std::string_view::npos) {
            shift = 10 * (static_cast<unsigned>(unit) + 1);
            digits.remove_suffix(1);
        }
    }
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (digits.empty() || error == std::errc::invalid_argument || end != digits.data() + digits.size())
        throw UsageError("'" + escape(text) + "' is not a size",
                         "a size is a number of bytes, or a number and one of K M G T");
    if (error == std::errc::result_out_of_range || (number << shift) >> shift != number)
        throw UsageError("the size '" + escape(text) + "' does not fit 64 bits");
    return number << shift;
}

std::string format_size(std::uint64_t bytes) {
    if (bytes < 1024) return std::to_string(bytes);
    // In tenths of a unit, rounded half up. 1023.97K reads 1M, not 1024K.
    std::size_t unit = 0;
    const auto tenths_in = [&](std::size_t u) {
        const std::uint64_t one = std::uint64_t{1} << (10 * (u + 1));
        return bytes / one * 10 + (bytes % one * 10 + one / 2) / one;
    };
    std::uint64_t tenths = tenths_in(unit);
    while (tenths >= 10240 && unit + 1 < units.size()) tenths = tenths_in(++unit);
    std::string text = std::to_string(tenths / 10);
    if (tenths % 10 != 0) {
        text += '.';
        text += static_cast<char>('0' + tenths % 10);
    }
    return text += units[unit];
}

std::string escape(std::string_view raw) {
    constexpr std::string_view hex = "0123456789abcdef";
    std::string out;
    out.reserve(raw.size());
    while (!raw.empty()) {
        char32_t point = 0;
        const std::size_t length = decode(raw, point);
        if (length != 0 && !is_dangerous(point) && point != '\\') {
            out += raw.substr(0, length);
            raw.remove_prefix(length);
            continue;
        }
        if (raw[0] == '\n') {
            out += "\\n";
        } else if (raw[0] == '\t') {
            out += "\\t";
        } else if (raw[0] == '\\') {
            out += "\\\\";
        } else {
            for (std::size_t i = 0; i < (length == 0 ? 1 : length); ++i) {
                const auto byte = static_cast<unsigned char>(raw[i]);
                out += "\\x";
                out += hex[byte >> 4];
                out += hex[byte & 0xF];
            }
        }
        raw.remove_prefix(length == 0 ? 1 : length);
    }
    return out;
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> known) {
    std::string_view best;
    std::size_t fewest = 3;
    for (const std::string_view name : known) {
        // row[i]: what it takes to make the first i letters of the name of as much of the word as was looked at.
        std::vector<std::size_t> row(name.size() + 1);
        for (std::size_t i = 0; i <= name.size(); ++i) row[i] = i;
        for (std::size_t j = 1; j <= word.size(); ++j) {
            std::size_t diagonal = row[0];
            row[0] = j;
            for (std::size_t i = 1; i <= name.size(); ++i) {
                const std::size_t above = row[i];
                row[i] =
                    std::min({row[i] + 1, row[i - 1] + 1, diagonal + (name[i - 1] == word[j - 1] ? 0 : 1)});
                diagonal = above;
            }
        }
        if (row[name.size()] < fewest) {
            fewest = row[name.size()];
            best = name;
        }
    }
    return best;
}

std::string base64(std::span<const std::byte> bytes) {
    constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t here = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t word = 0;
        for (std::size_t n = 0; n < 3; ++n)
            word = word << 8U | (n < here ? std::to_integer<std::uint32_t>(bytes[i + n]) : 0U);
        for (std::size_t n = 0; n < 4; ++n)
            text += n <= here ? letters[word >> (18U - 6U * static_cast<unsigned>(n)) & 63U] : '=';
    }
    return text;
}

} // namespace ipcns
