// SPDX-License-Identifier: Apache-2.0
// ipcns.conf(5): what lines mean, and what is said of those that mean nothing.
#include "support.hpp"

#include <ipcns/configuration.hpp>
#include <ipcns/error.hpp>
#include <ipcns/limits.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ipcns {
namespace {

using Values = std::vector<std::pair<std::string, std::string>>;

Values limits_of(const CreateOptions& options) {
    Values values;
    for (const auto& limit : options.limits) values.emplace_back(limit.key->name, limit.value);
    return values;
}

struct Refusal {
    std::string what;
    std::string hint;
};

Refusal refusal_of(std::string_view text, std::string_view name = "db.conf") {
    try {
        (void)parse_configuration(text, name);
    } catch (const UsageError& error) {
        return {error.what(), error.hint()};
    }
    ADD_FAILURE() << "was taken: " << text;
    return {};
}

TEST(Configuration, TakesWhatTheCommandLineTakes) {
    const auto options =
        parse_configuration("shm_size=2G\nkernel.shmmax=1M\nsemmni = 7\nsem=250, 32000 32\t128\n", "x");
    EXPECT_EQ(options.shm_size, std::uint64_t{2} << 30);
    EXPECT_EQ(limits_of(options),
              (Values{{"shmmax", "1048576"}, {"semmni", "7"}, {"sem", "250 32000 32 128"}}));
}

TEST(Configuration, AnEmptyOneChangesNothing) {
    for (const std::string_view text : {"", "\n", "\n \t \r\n# shmmax=1\n  ; shmmax=1", "#"}) {
        const auto options = parse_configuration(text, "x");
        EXPECT_FALSE(options.shm_size) << text;
        EXPECT_TRUE(options.limits.empty()) << text;
    }
}

TEST(Configuration, BlanksAndTheLastNewlineMeanNothing) {
    const auto options = parse_configuration("  shm_size\t=  4096 \r\n\tmsgmni =3", "x");
    EXPECT_EQ(options.shm_size, 4096U);
    EXPECT_EQ(limits_of(options), (Values{{"msgmni", "3"}}));
}

TEST(Configuration, ARefusalNamesFileAndLine) {
    EXPECT_EQ(refusal_of("\n# one\nshmmx=1\n").what, "db.conf:3: there is no limit 'shmmx'");
    EXPECT_TRUE(refusal_of("\n# one\nshmmx=1\n").hint.starts_with("did you mean shmmax?"));
    EXPECT_EQ(refusal_of("shmmax\n").what, "db.conf:1: 'shmmax' is not KEY=VALUE");
    EXPECT_EQ(refusal_of("shm-size=1G").what, "db.conf:1: there is no setting 'shm-size'");
    EXPECT_EQ(refusal_of("shm-size=1G").hint, "did you mean shm_size?");
    EXPECT_EQ(refusal_of("msgmni=1\nshm_size=big").what, "db.conf:2: 'big' is not a size");
    EXPECT_EQ(refusal_of("msgmni=1\nmsgmax=many").what,
              "db.conf:2: 'many' is not a value for the limit msgmax");
    EXPECT_EQ(refusal_of("[limits]").what, "db.conf:1: it is not KEY=VALUE");
    EXPECT_EQ(refusal_of("=1").what, "db.conf:1: what is before the = is no limit");
}

TEST(Configuration, NumbersThatNoKernelTakesAreRefusedWithTheirLine) {
    const Refusal refusal = refusal_of("shmmax=1M\nmsg_max=0\n");
    EXPECT_TRUE(refusal.what.starts_with("db.conf:2: set the limit msg_max=0")) << refusal.what;
    EXPECT_FALSE(refusal.hint.empty());
}

TEST(Configuration, NoKeyComesTwiceWhateverItIsCalled) {
    EXPECT_EQ(refusal_of("shmmax=1\nshm_size=1\nkernel.shmmax=2").what,
              "db.conf:3: shmmax is set already in line 1");
    EXPECT_EQ(refusal_of("shm_size=1\nshm_size=1").what, "db.conf:2: shm_size is set already in line 1");
}

TEST(Configuration, WhatIsInAFileReachesNoTerminalAsItIs) {
    const Refusal refusal = refusal_of("\x1b[31mred=1", "a\nb");
    EXPECT_EQ(refusal.what, "a\\nb:1: what is before the = is no limit");
    EXPECT_EQ(refusal_of("msgmni=\x1b[31mred").what,
              "db.conf:1: '\\x1b[31mred' is not a value for the limit msgmni");
}

// The file of another program, by mistake.
TEST(Configuration, ARefusalTellsNoSecret) {
    for (const std::string_view line :
         {"root:$y$j9T$secret$Q.secret:19000:0:99999:7:::", "AWS_SECRET_KEY2=secret", "secret",
          "secret0=", "db:secret=secret", "password = secret", "machine secret=login"}) {
        const Refusal refusal = refusal_of(line);
        EXPECT_TRUE(refusal.what.starts_with("db.conf:1: ")) << refusal.what;
        EXPECT_EQ((refusal.what + refusal.hint).find("secret"), std::string::npos)
            << refusal.what << refusal.hint;
    }
    EXPECT_EQ(refusal_of("password=secret").what, "db.conf:1: there is no limit 'password'");
}

TEST(Configuration, FilesThatCannotBeReadAreErrorsAndNoUsageErrors) {
    const test::TempFolder folder;
    const auto number_of = [&](const std::string& path) {
        try {
            (void)read_configuration(path);
        } catch (const UsageError&) {
            ADD_FAILURE() << path;
        } catch (const Error& error) {
            return error.code().value();
        }
        return 0;
    };
    EXPECT_EQ(number_of(folder / "none"), ENOENT);
    EXPECT_EQ(number_of(folder.path().string()), EISDIR);

    const std::string file = folder / "file";
    test::write_file(file, "shmmni=5\n#" + std::string(65536 - 10, 'x'));
    EXPECT_EQ(limits_of(read_configuration(file)), (Values{{"shmmni", "5"}}));
    test::write_file(file, "shmmni=5\n#" + std::string(65536 - 9, 'x'));
    EXPECT_EQ(number_of(file), EFBIG);
}

} // namespace
} // namespace ipcns
