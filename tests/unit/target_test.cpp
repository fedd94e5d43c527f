// SPDX-License-Identifier: Apache-2.0
// The grammar of TARGET, form by form.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/target.hpp>

#include <limits>
#include <ostream>
#include <string>
#include <string_view>

using namespace std::literals;

namespace ipcns {

// How GoogleTest prints it.
static void PrintTo(Target::Kind kind, std::ostream* out) { *out << "kind " << static_cast<int>(kind); }

namespace {

using Kind = Target::Kind;

const std::string longest(63, 'n');
const std::string too_long(64, 'n');

// The message of the UsageError that parsing ends with; a failed test when it is taken.
std::string refusal(std::string_view text) {
    try {
        const Target target = Target::parse(text);
        ADD_FAILURE() << testing::PrintToString(std::string(text)) << " is taken for " << target.text();
    } catch (const UsageError& error) {
        EXPECT_EQ(error.code().value(), EINVAL);
        return error.what();
    }
    return {};
}

TEST(Target, Names) {
    for (const auto text :
         {"a"sv, "_"sv, "Z"sv, "db"sv, "web-1"sv, "a.b_c-D9"sv, "selfish"sv, "hosts"sv, "Self"sv, "HOST"sv,
          "a-"sv, "a."sv, "ipc"sv, "x1234"sv, std::string_view(longest)}) {
        SCOPED_TRACE(text);
        const Target target = Target::parse(text);
        EXPECT_EQ(target.kind, Kind::name);
        EXPECT_EQ(target.name, text);
        EXPECT_EQ(target.text(), text);
        EXPECT_TRUE(is_name(text));
        EXPECT_NO_THROW(check_name(text));
    }
}

TEST(Target, NamesOfJobs) {
    const std::string longest_node(255 - "slurm:42@"sv.size(), 'n');
    for (const std::string& text :
         {"slurm:42"s, "slurm:0"s, "slurm:42.0"s, "slurm:42.batch"s, "slurm:42.interactive"s,
          "slurm:42.extern"s, "slurm:42.0.17"s, "slurm:42.batch.0"s, "slurm:42@n1"s,
          "slurm:42.3@rack-1.site_a"s, "slurm:42.0.1@7"s, "slurm:42@" + longest_node}) {
        SCOPED_TRACE(text);
        EXPECT_TRUE(is_job_name(text));
        // Nobody can give it to something of his own.
        EXPECT_FALSE(is_name(text));
        EXPECT_THROW(check_name(text), UsageError);
        const Target target = Target::parse(text);
        EXPECT_EQ(target.kind, Kind::name);
        EXPECT_EQ(target.name, text);
        EXPECT_EQ(target.text(), text);
    }
    for (const std::string& text :
         {"slurm"s,          "slurm:"s,          "slurm:x"s,        "slurm:-1"s,
          "slurm:42."s,      "slurm:42.x"s,      "slurm:42.0."s,    "slurm:42.0.x"s,
          "slurm:42.0.1.2"s, "slurm:42@"s,       "slurm:42@a/b"s,   "slurm:42/.."s,
          "slurm:../x"s,     "slurm:42.batchx"s, "slurm:42 "s,      " slurm:42"s,
          "Slurm:42"s,       "slurm:42@a@b"s,    "slurm:42@n1.0/"s, "slurm:42@" + longest_node + "n",
          "slurm:4\0002"s}) {
        SCOPED_TRACE(text);
        EXPECT_FALSE(is_job_name(text));
        EXPECT_FALSE(is_name(text) && text != "slurm");
    }
    EXPECT_NE(refusal("slurm:").find("slurm:"), std::string::npos);
    refusal("slurm:../x");
}

TEST(Target, Pids) {
    const std::pair<std::string_view, pid_t> table[] = {
        {"1", 1}, {"1234", 1234}, {"4194304", 4194304}, {"2147483647", std::numeric_limits<pid_t>::max()}};
    for (const auto& [text, pid] : table) {
        SCOPED_TRACE(text);
        const Target target = Target::parse(text);
        EXPECT_EQ(target.kind, Kind::pid);
        EXPECT_EQ(target.pid, pid);
        EXPECT_EQ(target.text(), text);
    }
    EXPECT_EQ(Target::parse("0012").text(), "12");
}

TEST(Target, Paths) {
    for (const auto text : {"/"sv, "/proc/1/ns/ipc"sv, "/run/ipcns/db/ipc"sv, "./x"sv, "../x"sv, "./"sv,
                            "/a b"sv, "/\n"sv, "/self"sv, "//x"sv}) {
        SCOPED_TRACE(text);
        const Target target = Target::parse(text);
        EXPECT_EQ(target.kind, Kind::path);
        EXPECT_EQ(target.path.string(), text);
        EXPECT_EQ(target.text(), text);
        EXPECT_EQ(Target::parse(target.text()).path, target.path);
    }
    EXPECT_NE(refusal("/a\0b"sv), "");
}

TEST(Target, Inodes) {
    const std::pair<std::string_view, ino_t> table[] = {
        {"@4026532177", 4026532177},
        {"ipc:[4026532177]", 4026532177},
        {"@1", 1},
        {"ipc:[1]", 1},
        {"@18446744073709551615", std::numeric_limits<ino_t>::max()}};
    for (const auto& [text, inode] : table) {
        SCOPED_TRACE(text);
        const Target target = Target::parse(text);
        EXPECT_EQ(target.kind, Kind::inode);
        EXPECT_EQ(target.inode, inode);
        EXPECT_EQ(target.text(), "@" + std::to_string(inode));
        EXPECT_EQ(Target::parse(target.text()).inode, inode);
    }
}

TEST(Target, Words) {
    EXPECT_EQ(Target::parse("self").kind, Kind::self);
    EXPECT_EQ(Target::parse("host").kind, Kind::host);
    EXPECT_EQ(Target::parse("self").text(), "self");
    EXPECT_EQ(Target::parse("host").text(), "host");
    EXPECT_EQ(Target().kind, Kind::self);
}

TEST(Target, Containers) {
    for (const auto id : {"web"sv, "a"sv, "0a3f"sv, "_"sv, "-x"sv, "a.b-c_d+e,f"sv, "self"sv, "POD"sv,
                          "b52ee02c05a9b4d2d1bb0e7a4d2a1cdd1f3f8de1c1b2a59ce9dd20ec6b5c8d49"sv}) {
        SCOPED_TRACE(id);
        const Target target = Target::parse("oci:" + std::string(id));
        EXPECT_EQ(target.kind, Kind::oci);
        EXPECT_EQ(target.container, id);
        EXPECT_EQ(target.text(), "oci:" + std::string(id));
        EXPECT_TRUE(is_container_id(id));
    }
    EXPECT_TRUE(is_container_id(std::string(255, 'x')));
    for (const auto id : {""sv, "."sv, ".."sv, ".hidden"sv, "a/b"sv, "../x"sv, "/x"sv, "a b"sv, "a:b"sv,
                          "a\nb"sv, "a\0b"sv, "a*"sv, "a=b"sv, "\xc3\xa4"sv}) {
        SCOPED_TRACE(testing::PrintToString(std::string(id)));
        EXPECT_NE(refusal("oci:" + std::string(id)), "");
        EXPECT_FALSE(is_container_id(id));
    }
    EXPECT_NE(refusal("oci:" + std::string(256, 'x')), "");
    EXPECT_NE(refusal("OCI:web"), "");
    EXPECT_EQ(Target::parse("oci").kind, Kind::name);
}

TEST(Target, MeansAProcessOrNot) {
    for (const auto text : {"1234"sv, "self"sv, "host"sv, "oci:web"sv})
        EXPECT_TRUE(Target::parse(text).is_process()) << text;
    for (const auto text : {"db"sv, "/proc/1/ns/ipc"sv, "@4026532177"sv})
        EXPECT_FALSE(Target::parse(text).is_process()) << text;
}

TEST(Target, Malformed) {
    for (const auto text : {""sv,
                            " "sv,
                            "0"sv,
                            "00"sv,
                            "1a"sv,
                            "1 "sv,
                            " 1"sv,
                            "+1"sv,
                            "-1"sv,
                            "1.5"sv,
                            "0x10"sv,
                            "2147483648"sv,
                            "99999999999"sv,
                            "99999999999999999999999"sv,
                            "-x"sv,
                            ".x"sv,
                            "."sv,
                            ".."sv,
                            "..."sv,
                            ".hidden"sv,
                            "@"sv,
                            "@x"sv,
                            "@0"sv,
                            "@-1"sv,
                            "@+1"sv,
                            "@ 1"sv,
                            "@1 "sv,
                            "@1x"sv,
                            "@0x10"sv,
                            "@18446744073709551616"sv,
                            "@@1"sv,
                            "ipc:["sv,
                            "ipc:[]"sv,
                            "ipc:[0]"sv,
                            "ipc:[x]"sv,
                            "ipc:[1"sv,
                            "ipc:[1]x"sv,
                            "ipc:[1]]"sv,
                            "ipc:[-1]"sv,
                            "ipc:[ 1]"sv,
                            "ipc:"sv,
                            "ipc:1"sv,
                            "net:[4026531840]"sv,
                            "a b"sv,
                            "a/b"sv,
                            "a:b"sv,
                            "a@b"sv,
                            "a+b"sv,
                            "a\n"sv,
                            "a\0"sv,
                            "a\0b"sv,
                            "\0"sv,
                            "~/x"sv,
                            "\xc3\xa4"sv,
                            "n\xc3\xa4"sv,
                            "*"sv,
                            "a,b"sv,
                            std::string_view(too_long)}) {
        SCOPED_TRACE(testing::PrintToString(std::string(text)));
        EXPECT_NE(refusal(text), "");
        EXPECT_FALSE(is_name(text));
        EXPECT_THROW(check_name(text), UsageError);
    }
}

TEST(Target, ComplaintsAreSafeToPrint) {
    EXPECT_EQ(refusal("\x1b]0;x\a"), "'\\x1b]0;x\\x07' names no namespace");
    try {
        check_name("a\x1b[2J");
        ADD_FAILURE() << "taken";
    } catch (const UsageError& error) {
        EXPECT_STREQ(error.what(), "'a\\x1b[2J' cannot be a name");
        EXPECT_NE(error.hint().find("63"), std::string::npos);
    }
}

TEST(Name, ReservedWordsAndOtherTargetsAreNone) {
    for (const auto text : {"self"sv, "host"sv, "1234"sv, "/x"sv, "./x"sv, "@1"sv, "ipc:[1]"sv}) {
        SCOPED_TRACE(text);
        EXPECT_NO_THROW((void)Target::parse(text));
        EXPECT_FALSE(is_name(text));
        EXPECT_THROW(check_name(text), UsageError);
    }
}

TEST(Name, EveryCharacterAtTheStartAndInside) {
    constexpr auto letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"sv;
    constexpr auto inner = "0123456789.-"sv;
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const bool letter = letters.find(c) != std::string_view::npos;
        EXPECT_EQ(is_name(std::string(1, c)), letter) << byte;
        EXPECT_EQ(is_name(std::string("x") + c), letter || inner.find(c) != std::string_view::npos) << byte;
    }
}

} // namespace
} // namespace ipcns
