// SPDX-License-Identifier: Apache-2.0
// The reader of other programs' JSON: what is right is found, what is wrong in one place is not believed anywhere. A second
// reader (nlohmann's, strict) is asked the same about texts that were damaged at random.
#include "json.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace std::literals;

namespace ipcns {
namespace {

bool is_json(std::string_view text) { return JsonValue::parse(text).has_value(); }

std::optional<std::string> string_in(std::string_view text) {
    const auto value = JsonValue::parse(text);
    return value ? value->string() : std::nullopt;
}

std::optional<std::uint64_t> number_in(std::string_view text) {
    const auto value = JsonValue::parse(text);
    return value ? value->number() : std::nullopt;
}

TEST(Json, TakesWhatIsRight) {
    for (const auto text : {"null"sv,
                            "true"sv,
                            "false"sv,
                            "0"sv,
                            "-0"sv,
                            "1"sv,
                            "-12.5e+3"sv,
                            "1E9"sv,
                            "0.0"sv,
                            "\"\""sv,
                            "\"\\u00e4\""sv,
                            "[]"sv,
                            "{}"sv,
                            " [ ] "sv,
                            "\t{\r\n}\n"sv,
                            "[1,[2,[3]],{\"a\":[{}]}]"sv,
                            "{\"a\":1,\"a\":2}"sv,
                            "{\"\":{\"\":null}}"sv,
                            "\"\x7f\xff\""sv,
                            "[true , false,null]"sv})
        EXPECT_TRUE(is_json(text)) << text;
}

TEST(Json, RefusesWhatIsWrong) {
    for (const auto text : {""sv,
                            " "sv,
                            "nul"sv,
                            "nulls"sv,
                            "True"sv,
                            "01"sv,
                            "+1"sv,
                            "1."sv,
                            ".5"sv,
                            "1e"sv,
                            "1e+"sv,
                            "-"sv,
                            "--1"sv,
                            "0x1"sv,
                            "\""sv,
                            "\"a"sv,
                            "\"\\\""sv,
                            "\"\\x\""sv,
                            "\"\\u12\""sv,
                            "\"\\u12g4\""sv,
                            "\"\n\""sv,
                            "\"\0\""sv,
                            "'a'"sv,
                            "["sv,
                            "]"sv,
                            "[1"sv,
                            "[1,]"sv,
                            "[,1]"sv,
                            "[1 2]"sv,
                            "{"sv,
                            "}"sv,
                            "{\"a\"}"sv,
                            "{\"a\":}"sv,
                            "{\"a\":1,}"sv,
                            "{a:1}"sv,
                            "{1:1}"sv,
                            "{\"a\":1 \"b\":2}"sv,
                            "1 1"sv,
                            "{}{}"sv,
                            "[]x"sv,
                            "// x\n1"sv,
                            "\xef\xbb\xbf{}"sv,
                            "NaN"sv,
                            "Infinity"sv,
                            "{}\0"sv})
        EXPECT_FALSE(is_json(text)) << testing::PrintToString(std::string(text));
}

TEST(Json, IsNotLedIntoTheDeep) {
    const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    EXPECT_TRUE(is_json(nested(64)));
    EXPECT_FALSE(is_json(nested(66)));
    EXPECT_FALSE(is_json(std::string(1U << 22, '[')));
    std::string objects;
    for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
    EXPECT_FALSE(is_json(objects));
}

TEST(Json, Members) {
    const std::string text =
        R"( { "a" : { "b" : [ 10 , "x\"y" , { "c" : 7 } ] } , "b" : 2, "twice": 1, "tw\u0069ce": 2 } )";
    const auto value = JsonValue::parse(text);
    ASSERT_TRUE(value);
    EXPECT_EQ(value->member("b")->number(), 2U);
    const auto list = value->member("a")->member("b")->elements();
    ASSERT_EQ(list.size(), 3U);
    EXPECT_EQ(list[0].number(), 10U);
    EXPECT_EQ(list[1].string(), "x\"y");
    EXPECT_EQ(list[2].member("c")->number(), 7U);
    EXPECT_FALSE(value->member("c")); // only further down
    EXPECT_FALSE(value->member("twice"));
    EXPECT_FALSE(value->member("B"));
    EXPECT_FALSE(value->string());
    EXPECT_FALSE(value->number());
    EXPECT_TRUE(value->elements().empty());
    EXPECT_FALSE(list[0].member("b"));
    EXPECT_FALSE(list[1].number());
    EXPECT_TRUE(JsonValue::parse("[]")->elements().empty());
    EXPECT_FALSE(JsonValue::parse("{}")->member(""));
    EXPECT_EQ(JsonValue::parse("{\"\":1}")->member("")->number(), 1U);
}

TEST(Json, Strings) {
    EXPECT_EQ(string_in(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
    EXPECT_EQ(string_in(R"("\u0041\u00e4\u20AC\ud83d\ude00")"), "A\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80");
    EXPECT_EQ(string_in(R"("a\u0000b")"), "a\0b"s);
    EXPECT_EQ(string_in("\"\xff\""), "\xff");
    for (const auto half :
         {R"("\ud83d")"sv, R"("\ud83dx")"sv, R"("\ude00")"sv, R"("\ud83d\u0041")"sv, R"("\ud83d\n")"sv})
        EXPECT_FALSE(string_in(half)) << half;
}

TEST(Json, Numbers) {
    EXPECT_EQ(number_in("0"), 0U);
    EXPECT_EQ(number_in(" 18446744073709551615 "), std::numeric_limits<std::uint64_t>::max());
    for (const auto other :
         {"18446744073709551616"sv, "-1"sv, "-0"sv, "1.0"sv, "1e1"sv, "\"1\""sv, "[1]"sv, "true"sv})
        EXPECT_FALSE(number_in(other)) << other;
}

TEST(Json, AgreesWithAnotherReaderAboutDamagedTexts) {
    const std::vector<std::string> texts{
        R"({"id":"web","init_process_pid":18608,"init_process_start":1317239,"rootless":false,"config":{"labels":["a=b","x\u00e4=\\"],"n":[-1.5e3,0,null]}})",
        R"({"pid": 1, "process-start-time": 2, "cgroup-path": "\/a", "detached": true})"};
    std::mt19937 random(7);
    constexpr std::string_view spoilers = "{}[]\",:\\u0e+-. \n1atfn";
    for (int round = 0; round < 40000; ++round) {
        std::string text = texts[random() % texts.size()];
        for (auto changes = 1 + random() % 3; changes > 0; --changes) {
            const std::size_t at = random() % text.size();
            switch (random() % 3) {
            case 0: text[at] = spoilers[random() % spoilers.size()]; break;
            case 1: text.insert(at, 1, spoilers[random() % spoilers.size()]); break;
            default: text.erase(at, 1 + random() % 4); break;
            }
        }
        // The other reader looks for halves of characters while parsing, and takes no number that is too large.
        const bool other = nlohmann::json::accept(text);
        const bool own = is_json(text);
        if (other) {
            EXPECT_TRUE(own) << text;
        } else if (own) {
            EXPECT_NE(text.find("\\u"), std::string::npos) << text;
        }
        if (!own || !other) continue;
        const auto value = JsonValue::parse(text);
        const auto reference = nlohmann::json::parse(text);
        for (const char* key : {"init_process_pid", "pid"}) {
            const auto member = value->member(key);
            if (!member || !reference.is_object()) continue;
            ASSERT_TRUE(reference.contains(key)) << text;
            const auto number = member->number();
            if (number) {
                EXPECT_EQ(reference[key].get<std::uint64_t>(), *number) << text;
            }
        }
    }
}

} // namespace
} // namespace ipcns
