// SPDX-License-Identifier: Apache-2.0
// Sizes and escaping: text that people type, and names that other programs chose.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/text.hpp>

#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::literals;

namespace ipcns {
namespace {

constexpr std::uint64_t K = 1024;
constexpr std::uint64_t M = K * 1024;
constexpr std::uint64_t G = M * 1024;
constexpr std::uint64_t T = G * 1024;
constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();

TEST(ParseSize, TakesNumbersAndUnits) {
    const std::pair<std::string_view, std::uint64_t> table[] = {
        {"0", 0},
        {"1", 1},
        {"812", 812},
        {"007", 7},
        {"1023", 1023},
        {"1K", K},
        {"64M", 64 * M},
        {"2G", 2 * G},
        {"1T", T},
        {"0T", 0},
        {"18446744073709551615", most},
        {"18014398509481983K", most - 1023},
        {"17592186044415M", most - (M - 1)},
        {"17179869183G", most - (G - 1)},
        {"16777215T", most - (T - 1)},
    };
    for (const auto& [text, bytes] : table) {
        SCOPED_TRACE(text);
        EXPECT_EQ(parse_size(text), bytes);
    }
}

TEST(ParseSize, RefusesWhatDoesNotFit) {
    for (const auto text :
         {"18446744073709551616"sv, "99999999999999999999999999999999"sv, "18014398509481984K"sv,
          "17592186044416M"sv, "17179869184G"sv, "16777216T"sv, "18446744073709551615K"sv,
          "18446744073709551616K"sv, "18446744073709551615T"sv}) {
        SCOPED_TRACE(text);
        try {
            const auto bytes = parse_size(text);
            ADD_FAILURE() << "taken for " << bytes;
        } catch (const UsageError& error) {
            EXPECT_NE(std::string_view(error.what()).find("64 bits"), std::string_view::npos) << error.what();
            EXPECT_EQ(error.code().value(), EINVAL);
        }
    }
}

TEST(ParseSize, RefusesGarbage) {
    for (const auto text : {""sv,    "K"sv,   "T"sv,    " "sv,       " 1"sv,   "1 "sv,  "1 K"sv, "-1"sv,
                            "+1"sv,  "-1K"sv, "1.5G"sv, "1,5G"sv,    "0x10"sv, "1e3"sv, "1k"sv,  "1m"sv,
                            "1B"sv,  "1KB"sv, "1KiB"sv, "1KK"sv,     "K1"sv,   "1P"sv,  "ten"sv, "1\n"sv,
                            "\t1"sv, "1\0"sv, "1\0K"sv, "\xd9\xa1"sv /* an Arabic 1 */}) {
        SCOPED_TRACE(testing::PrintToString(std::string(text)));
        try {
            const auto bytes = parse_size(text);
            ADD_FAILURE() << "taken for " << bytes;
        } catch (const UsageError& error) {
            EXPECT_FALSE(error.hint().empty());
        }
    }
}

TEST(ParseSize, EscapesWhatItComplainsAbout) {
    try {
        (void)parse_size("\x1b[31m");
        ADD_FAILURE() << "taken";
    } catch (const UsageError& error) {
        EXPECT_STREQ(error.what(), "'\\x1b[31m' is not a size");
    }
}

TEST(FormatSize, IsShortAndNeverReads1024OfAUnit) {
    const std::pair<std::uint64_t, std::string_view> table[] = {
        {0, "0"},
        {1, "1"},
        {812, "812"},
        {1000, "1000"},
        {1023, "1023"},
        {1024, "1K"},
        {1025, "1K"},
        {1536, "1.5K"},
        {10 * K, "10K"},
        {1023 * K, "1023K"},
        {1048524, "1023.9K"}, // 1023.949...K
        {1048545, "1M"},      // 1023.97K: one decimal would make it 1024K
        {M - 1, "1M"},
        {M, "1M"},
        {64 * M, "64M"},
        {G - 1, "1G"},
        {G + G / 2, "1.5G"},
        {T - 1, "1T"},
        {T, "1T"},
        {1024 * T, "1024T"}, // there is no greater unit
        {most, "16777216T"},
    };
    for (const auto& [bytes, text] : table) {
        SCOPED_TRACE(bytes);
        EXPECT_EQ(format_size(bytes), text);
    }
}

TEST(FormatSize, IsWithinOneTwentiethOfAUnit) {
    std::mt19937_64 random(20240607);
    for (int i = 0; i < 20000; ++i) {
        const std::uint64_t bytes = random() >> (random() % 64);
        const std::string text = format_size(bytes);
        SCOPED_TRACE(std::to_string(bytes) + " " + text);
        std::size_t digits = 0;
        const double number = std::stod(text, &digits);
        const std::string unit = text.substr(digits);
        ASSERT_LE(unit.size(), 1U);
        double factor = 1;
        if (!unit.empty()) {
            const auto at = "KMGT"sv.find(unit[0]);
            ASSERT_NE(at, std::string_view::npos);
            factor = static_cast<double>(std::uint64_t{1} << (10 * (at + 1)));
        }
        if (unit != "T") {
            ASSERT_LT(number, 1024);
        }
        ASSERT_NEAR(number * factor, static_cast<double>(bytes), 0.0501 * factor);
    }
}

TEST(FormatSize, WholeUnitsAreReadBack) {
    for (const std::uint64_t unit : {std::uint64_t{1}, K, M, G, T}) {
        for (const std::uint64_t number : {1U, 2U, 9U, 10U, 99U, 100U, 1023U}) {
            EXPECT_EQ(parse_size(format_size(number * unit)), number * unit);
        }
    }
}

struct Escaped {
    std::string_view raw;
    std::string_view text;
};

TEST(Escape, LeavesHarmlessTextAlone) {
    for (const auto text :
         {""sv, "a"sv, "The quick brown fox"sv, "/jobs-1.2_3"sv, " !\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"sv,
          "Gr\xc3\xbc\xc3\x9f"
          "e"sv,
          "\xc2\xa0"sv, "\xdf\xbf"sv, "\xe0\xa0\x80"sv, "\xed\x9f\xbf"sv, "\xee\x80\x80"sv, "\xef\xbf\xbd"sv,
          "\xf0\x9f\x98\x80"sv, "\xf4\x8f\xbf\xbf"sv, "\xe2\x82\xac"sv}) {
        EXPECT_EQ(escape(text), text);
    }
}

TEST(Escape, ControlCharacters) {
    for (int byte = 0; byte < 0x20; ++byte) {
        const std::string raw(1, static_cast<char>(byte));
        char expected[8];
        std::snprintf(expected, sizeof expected, "\\x%02x", byte);
        if (byte == '\n') std::snprintf(expected, sizeof expected, "\\n");
        if (byte == '\t') std::snprintf(expected, sizeof expected, "\\t");
        EXPECT_EQ(escape(raw), expected);
        EXPECT_EQ(escape("a" + raw + "b"), "a" + std::string(expected) + "b");
    }
    EXPECT_EQ(escape("\x7f"), "\\x7f");
    EXPECT_EQ(escape("\\"), "\\\\");
    EXPECT_EQ(escape("\\n"), "\\\\n"); // and so differs from a newline
    EXPECT_EQ(escape("a\0b"sv), "a\\x00b");
}

TEST(Escape, C1Controls) {
    for (int last = 0x80; last < 0xA0; ++last) {
        const std::string raw = std::string("\xc2") + static_cast<char>(last);
        char expected[12];
        std::snprintf(expected, sizeof expected, "\\xc2\\x%02x", last);
        EXPECT_EQ(escape(raw), expected);
    }
    // As a byte alone it is not UTF-8, but an 8-bit terminal takes it for CSI.
    EXPECT_EQ(escape("\x9b"
                     "31m"),
              "\\x9b31m");
}

TEST(Escape, MalformedUtf8) {
    const Escaped table[] = {
        {"\x80", "\\x80"},                                     // a continuation without a start
        {"\xff", "\\xff"},                                     // never a part of UTF-8
        {"\xfe", "\\xfe"},                                     //
        {"\xc3", "\\xc3"},                                     // cut off
        {"\xe2\x82", "\\xe2\\x82"},                            //
        {"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},                   //
        {"\xc3(", "\\xc3("},                                   // the next character stays
        {"\xe2\x82\xc3\xbc", "\\xe2\\x82\xc3\xbc"},            //
        {"\xc0\xaf", "\\xc0\\xaf"},                            // overlong '/'
        {"\xc1\xbf", "\\xc1\\xbf"},                            //
        {"\xc0\x80", "\\xc0\\x80"},                            // overlong NUL
        {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},                   //
        {"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},                   //
        {"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},          //
        {"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"},          //
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},                   // surrogates
        {"\xed\xbf\xbf", "\\xed\\xbf\\xbf"},                   //
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},          // above U+10FFFF
        {"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},          //
        {"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"}, // five bytes
    };
    for (const auto& [raw, text] : table) EXPECT_EQ(escape(raw), text);
}

TEST(Escape, WhatTurnsTextAround) {
    const Escaped table[] = {
        {"\xd8\x9c", "\\xd8\\x9c"},          // U+061C
        {"\xe2\x80\x8e", "\\xe2\\x80\\x8e"}, // U+200E
        {"\xe2\x80\x8f", "\\xe2\\x80\\x8f"}, // U+200F
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"}, // U+2028, a line's end
        {"\xe2\x80\xa9", "\\xe2\\x80\\xa9"}, // U+2029
        {"\xe2\x80\xaa", "\\xe2\\x80\\xaa"}, // U+202A
        {"\xe2\x80\xae", "\\xe2\\x80\\xae"}, // U+202E
        {"\xe2\x81\xa6", "\\xe2\\x81\\xa6"}, // U+2066
        {"\xe2\x81\xa9", "\\xe2\\x81\\xa9"}, // U+2069
        {"\xef\xbb\xbf", "\\xef\\xbb\\xbf"}, // U+FEFF
        {"x\xe2\x80\xaetxt.exe", "x\\xe2\\x80\\xaetxt.exe"},
        {"\xe2\x80\xaf\xe2\x80\xa7", "\xe2\x80\xaf\xe2\x80\xa7"}, // their neighbours are harmless
    };
    for (const auto& [raw, text] : table) EXPECT_EQ(escape(raw), text);
}

// A decoder of its own kind (by the table of well-formed byte sequences in the Unicode standard, chapter 3), so that it
// shares no mistake with the library's. True when all of the text is well-formed and holds no control character.
bool is_clean(std::string_view text) {
    const auto in = [&](std::size_t at, unsigned low, unsigned high) {
        return at < text.size() && static_cast<unsigned char>(text[at]) >= low &&
               static_cast<unsigned char>(text[at]) <= high;
    };
    for (std::size_t i = 0; i < text.size();) {
        if (in(i, 0x20, 0x7E)) {
            i += 1;
        } else if (in(i, 0xC2, 0xC2) && in(i + 1, 0xA0, 0xBF)) {
            i += 2;
        } else if (in(i, 0xC3, 0xDF) && in(i + 1, 0x80, 0xBF)) {
            i += 2;
        } else if ((in(i, 0xE0, 0xE0) && in(i + 1, 0xA0, 0xBF) && in(i + 2, 0x80, 0xBF)) ||
                   (in(i, 0xE1, 0xEC) && in(i + 1, 0x80, 0xBF) && in(i + 2, 0x80, 0xBF)) ||
                   (in(i, 0xED, 0xED) && in(i + 1, 0x80, 0x9F) && in(i + 2, 0x80, 0xBF)) ||
                   (in(i, 0xEE, 0xEF) && in(i + 1, 0x80, 0xBF) && in(i + 2, 0x80, 0xBF))) {
            i += 3;
        } else if ((in(i, 0xF0, 0xF0) && in(i + 1, 0x90, 0xBF) && in(i + 2, 0x80, 0xBF) &&
                    in(i + 3, 0x80, 0xBF)) ||
                   (in(i, 0xF1, 0xF3) && in(i + 1, 0x80, 0xBF) && in(i + 2, 0x80, 0xBF) &&
                    in(i + 3, 0x80, 0xBF)) ||
                   (in(i, 0xF4, 0xF4) && in(i + 1, 0x80, 0x8F) && in(i + 2, 0x80, 0xBF) &&
                    in(i + 3, 0x80, 0xBF))) {
            i += 4;
        } else {
            return false;
        }
    }
    return true;
}

// Takes the escapes out again, by the four forms that the header promises.
std::string unescape(std::string_view text) {
    std::string raw;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\') {
            raw += text[i];
            continue;
        }
        switch (text.at(++i)) {
        case 'n': raw += '\n'; break;
        case 't': raw += '\t'; break;
        case '\\': raw += '\\'; break;
        case 'x':
            raw += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
            i += 2;
            break;
        default: throw std::runtime_error("an escape of an unknown kind");
        }
    }
    return raw;
}

// Bytes out of those that matter: starts, continuations, edges, controls.
std::string random_bytes(std::mt19937_64& random) {
    constexpr std::string_view interesting =
        "\x00\x09\x0a\x1b\x20\x41\x5c\x7e\x7f\x80\x8e\x8f\x90\x9b\x9c\x9f\xa0\xa6\xa8\xae\xaf\xbb\xbf\xc0\xc1\xc2"
        "\xc3\xd8\xdf\xe0\xe2\xed\xef\xf0\xf4\xf5\xf8\xff"sv;
    std::string raw(random() % 24, '\0');
    for (auto& byte : raw)
        byte = random() % 2 == 0 ? static_cast<char>(random() % 256)
                                 : interesting[random() % interesting.size()];
    return raw;
}

TEST(Escape, OfAnyBytesIsCleanUtf8AndLosesNothing) {
    std::mt19937_64 random(4026532177);
    for (int i = 0; i < 50000; ++i) {
        const std::string raw = random_bytes(random);
        const std::string text = escape(raw);
        ASSERT_TRUE(is_clean(text)) << testing::PrintToString(raw) << " became "
                                    << testing::PrintToString(text);
        ASSERT_EQ(unescape(text), raw);
    }
}

TEST(Escape, OfEveryCodePointIsCleanUtf8AndLosesNothing) {
    for (unsigned point = 0; point <= 0x10FFFF; ++point) {
        std::string raw;
        if (point < 0x80) {
            raw = {static_cast<char>(point)};
        } else if (point < 0x800) {
            raw = {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
        } else if (point < 0x10000) {
            raw = {static_cast<char>(0xE0 | (point >> 12)), static_cast<char>(0x80 | ((point >> 6) & 0x3F)),
                   static_cast<char>(0x80 | (point & 0x3F))};
        } else {
            raw = {static_cast<char>(0xF0 | (point >> 18)), static_cast<char>(0x80 | ((point >> 12) & 0x3F)),
                   static_cast<char>(0x80 | ((point >> 6) & 0x3F)), static_cast<char>(0x80 | (point & 0x3F))};
        }
        const std::string text = escape(raw);
        if (text == raw) {
            ASSERT_TRUE(is_clean(raw)) << std::hex << point; // surrogates are not
        } else {
            ASSERT_TRUE(is_clean(text)) << std::hex << point;
            ASSERT_EQ(unescape(text), raw) << std::hex << point;
            // Little enough is taken for dangerous that people's names stay readable.
            ASSERT_TRUE(point < 0xA0 || point == 0x61C || (point >= 0x2000 && point < 0x2070) ||
                        (point >= 0xD800 && point < 0xE000) || point == 0xFEFF)
                << std::hex << point;
        }
    }
}

TEST(Nearest, IsTheOneWithTheFewestLettersToChange) {
    const std::vector<std::string_view> known{"shmmax", "shmmni", "sem", "msgmax", "list"};
    const std::pair<std::string_view, std::string_view> table[] = {
        {"shmmax", "shmmax"}, {"shmax", "shmmax"},     {"shmmaxx", "shmmax"},
        {"shmmxa", "shmmax"}, {"msmax", "msgmax"},     {"shmmi", "shmmni"},
        {"lizt", "list"},     {"semaphore", ""},       {"", ""},
        {"completely", ""},   {"sm", "sem"},           {"SHMMAX", ""},
        {"\x1b[31m", ""},     {"sh\xffmax", "shmmax"},
    };
    for (const auto& [word, wanted] : table) EXPECT_EQ(nearest(word, known), wanted) << escape(word);
    EXPECT_EQ(nearest("shmmax", {}), "");
    EXPECT_EQ(nearest(std::string(100000, 'x'), known), "");
}

} // namespace
} // namespace ipcns
