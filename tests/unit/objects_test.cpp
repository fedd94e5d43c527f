// SPDX-License-Identifier: Apache-2.0
// The grammar of OBJECT, form by form.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/objects.hpp>
#include <ipcns/text.hpp>

#include <string>
#include <string_view>

using namespace std::literals;

namespace ipcns {

// How GoogleTest prints it.
static void PrintTo(Kind kind, std::ostream* out) { *out << word_of(kind); }

namespace {

// The message of the UsageError that parsing ends with; a failed test when it is taken.
std::string refusal(std::string_view text) {
    try {
        const ObjectName object = ObjectName::parse(text);
        ADD_FAILURE() << testing::PrintToString(std::string(text)) << " is taken for " << object.text();
    } catch (const UsageError& error) {
        EXPECT_EQ(error.code().value(), EINVAL);
        EXPECT_FALSE(error.hint().empty());
        return error.what();
    }
    return {};
}

TEST(ObjectName, WordsOfKinds) {
    const std::pair<Kind, const char*> table[] = {{Kind::msg, "msg"},   {Kind::sem, "sem"},
                                                  {Kind::shm, "shm"},   {Kind::mq, "mq"},
                                                  {Kind::psem, "psem"}, {Kind::pshm, "pshm"}};
    for (const auto& [kind, word] : table) {
        EXPECT_STREQ(word_of(kind), word);
        EXPECT_EQ(find_kind(word), kind);
    }
    for (const auto word : {"", "MSG", "msg ", "ms", "msgs", "all", "posix"})
        EXPECT_EQ(find_kind(word), std::nullopt) << word;
}

TEST(ObjectName, Ids) {
    const std::pair<std::string_view, int> table[] = {
        {"msg:0", 0}, {"sem:32769", 32769}, {"shm:7", 7}, {"shm:2147483647", 2147483647}};
    for (const auto& [text, id] : table) {
        SCOPED_TRACE(text);
        const ObjectName object = ObjectName::parse(text);
        EXPECT_EQ(object.kind, find_kind(text.substr(0, 3)));
        EXPECT_EQ(object.id, id);
        EXPECT_EQ(object.key, std::nullopt);
        EXPECT_EQ(object.name, "");
        EXPECT_EQ(object.text(), text);
    }
}

TEST(ObjectName, Keys) {
    const std::pair<std::string_view, std::uint32_t> table[] = {{"shm:0x1234", 0x1234},
                                                                {"msg:0x1", 1},
                                                                {"sem:0x80000000", 0x80000000},
                                                                {"msg:0xffffffff", 0xffffffff}};
    for (const auto& [text, key] : table) {
        SCOPED_TRACE(text);
        const ObjectName object = ObjectName::parse(text);
        EXPECT_EQ(object.key, Key{key});
        EXPECT_EQ(object.id, std::nullopt);
        EXPECT_EQ(object.text(), text);
    }
    // As ipcs prints them.
    EXPECT_EQ(ObjectName::parse("shm:0x00001234").text(), "shm:0x1234");
    EXPECT_EQ(ObjectName::parse("shm:0XABCD").text(), "shm:0xabcd");
}

TEST(ObjectName, PosixNames) {
    const std::string longest = "/" + std::string(255, 'n');
    const std::string longest_semaphore = "/" + std::string(251, 'n');
    const std::pair<Kind, std::string> table[] = {{Kind::mq, "/jobs"},
                                                  {Kind::psem, "/lock"},
                                                  {Kind::pshm, "/cache"},
                                                  {Kind::mq, longest},
                                                  {Kind::pshm, longest},
                                                  {Kind::pshm, "/sem.a"},
                                                  {Kind::psem, longest_semaphore},
                                                  {Kind::psem, "/."},
                                                  {Kind::psem, "/.."},
                                                  {Kind::mq, "/..."},
                                                  {Kind::mq, "/a:b"},
                                                  {Kind::mq, "/0x12"},
                                                  {Kind::mq, "/ "},
                                                  {Kind::mq, "/a\nb\x1b[31m\xff\\"}};
    for (const auto& [kind, name] : table) {
        SCOPED_TRACE(testing::PrintToString(name));
        const std::string text = std::string(word_of(kind)) + ":" + name;
        const ObjectName object = ObjectName::parse(text);
        EXPECT_EQ(object.kind, kind);
        EXPECT_EQ(object.name, name);
        EXPECT_EQ(object.id, std::nullopt);
        EXPECT_EQ(object.key, std::nullopt);
        EXPECT_EQ(object.text(), text);
    }
}

TEST(ObjectName, WhatIsNone) {
    const std::string too_long = "mq:/" + std::string(256, 'n');
    const std::string too_long_semaphore = "psem:/" + std::string(252, 'n');
    for (const std::string_view text : {""sv,
                                        ":"sv,
                                        "msg"sv,
                                        "msg:"sv,
                                        ":0"sv,
                                        "msgs:0"sv,
                                        "MSG:0"sv,
                                        " msg:0"sv,
                                        "msg:0 "sv,
                                        "msg: 0"sv,
                                        "msg:-1"sv,
                                        "msg:+1"sv,
                                        "msg:1.5"sv,
                                        "msg:0y1"sv,
                                        "msg:2147483648"sv,
                                        "msg:99999999999999999999"sv,
                                        "msg:1a"sv,
                                        "msg:/jobs"sv,
                                        "shm:0x"sv,
                                        "shm:0x-1"sv,
                                        "shm:0xg"sv,
                                        "shm:0x100000000"sv,
                                        "shm:0x0"sv,
                                        "shm:0x00000000"sv,
                                        "mq:jobs"sv,
                                        "mq:"sv,
                                        "mq:/"sv,
                                        "mq:0"sv,
                                        "mq:0x1234"sv,
                                        "mq:/a/b"sv,
                                        "mq://a"sv,
                                        "mq:/a/"sv,
                                        "mq:/."sv,
                                        "mq:/.."sv,
                                        "pshm:/."sv,
                                        "mq:/a\0b"sv,
                                        "msg:0\0"sv,
                                        std::string_view(too_long),
                                        std::string_view(too_long_semaphore)}) {
        SCOPED_TRACE(testing::PrintToString(std::string(text)));
        EXPECT_TRUE(refusal(text).starts_with("'" + escape(text) + "' names no object: "));
    }
    EXPECT_EQ(refusal("x\x1b[31m:0"), "'x\\x1b[31m:0' names no object: there is no such kind");
}

} // namespace
} // namespace ipcns
