// SPDX-License-Identifier: Apache-2.0
// The limits of an IPC namespace: as text, read, and set in a namespace that is thrown away afterwards.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/limits.hpp>

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace std::literals;

namespace ipcns {
namespace {

using test::in_fork;
using test::in_new_namespaces;
using test::read_file;
using test::write_file;

// What a file of /proc/sys says, with single spaces and without the newline.
std::string raw_value(const std::string& path) {
    std::string text = read_file(path);
    while (!text.empty() && text.back() == '\n') text.pop_back();
    std::replace(text.begin(), text.end(), '\t', ' ');
    return text;
}

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

std::string dotted(const LimitKey& key) {
    std::string name = std::string(key.path).substr(std::string_view("/proc/sys/").size());
    std::replace(name.begin(), name.end(), '/', '.');
    return name;
}

std::vector<std::string> all_raw_values() {
    std::vector<std::string> values;
    for (const auto& key : limit_keys()) {
        if (exists(key.path)) values.push_back(key.name + "="s + raw_value(key.path));
    }
    return values;
}

TEST(Limits, EveryKeyOfTheKernelIsKnown) {
    std::set<std::string> known;
    for (const auto& key : limit_keys()) {
        EXPECT_TRUE(known.insert(key.path).second) << key.path;
        EXPECT_TRUE(std::string_view(key.path).ends_with("/"s + key.name)) << key.path;
        EXPECT_GT(std::strlen(key.meaning), 3U) << key.name;
        EXPECT_EQ(key.numbers, key.name == "sem"sv ? 4 : 1);
    }
    for (const std::string folder : {"/proc/sys/kernel", "/proc/sys/fs/mqueue"}) {
        if (!exists(folder)) continue;
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            const std::string name = entry.path().filename();
            const bool ipc = folder.ends_with("mqueue") || name.starts_with("msg") ||
                             name.starts_with("shm") || name == "sem" || name.starts_with("sem_") ||
                             name == "auto_msgmni";
            EXPECT_EQ(known.contains(entry.path()), ipc) << entry.path();
        }
    }
}

TEST(Limits, KeysAreFoundByShortAndDottedName) {
    for (const auto& key : limit_keys()) {
        EXPECT_EQ(find_limit_key(key.name), &key);
        EXPECT_EQ(find_limit_key(dotted(key)), &key);
        const bool kernel = dotted(key).starts_with("kernel.");
        EXPECT_EQ(find_limit_key((kernel ? "fs.mqueue." : "kernel.") + std::string(key.name)), nullptr)
            << key.name;
        EXPECT_EQ(find_limit_key(std::string(kernel ? "kernel." : "fs.mqueue.") + dotted(key)), nullptr)
            << key.name;
        EXPECT_EQ(find_limit_key(std::string(key.name) + "x"), nullptr);
        EXPECT_EQ(find_limit_key(std::string(key.name).substr(1)), nullptr);
    }
    for (const auto name :
         {""sv, "."sv, "kernel"sv, "kernel."sv, "fs.mqueue."sv, "hostname"sv, "kernel.hostname"sv, "SHMMAX"sv,
          "/proc/sys/kernel/shmmax"sv, "kernel/shmmax"sv, "fs.shmmax"sv, "mqueue.msg_max"sv, " shmmax"sv,
          "shmmax "sv, "../shmmax"sv, "shmmax\0"sv})
        EXPECT_EQ(find_limit_key(name), nullptr) << name;
}

TEST(Limits, ParseTakesEveryKey) {
    for (const auto& key : limit_keys()) {
        const std::string value = key.numbers == 4 ? "1 2 3 4" : "1";
        for (const std::string& name : {std::string(key.name), dotted(key)}) {
            const Limit limit = Limit::parse(name + "=" + value);
            EXPECT_EQ(limit.key, &key);
            EXPECT_EQ(limit.value, value);
        }
    }
}

TEST(Limits, ParseTakesUnitsAndSeparators) {
    const std::pair<std::string_view, std::string_view> table[] = {
        {"shmmax=0", "0"},
        {"shmmax=64M", "67108864"},
        {"shmmax=1T", "1099511627776"},
        {"shmmax=18446744073709551615", "18446744073709551615"},
        {"msgmax=64K", "65536"},
        {"msgmax=007", "7"},
        {"sem=250 32000 32 128", "250 32000 32 128"},
        {"sem=250,32000,32,128", "250 32000 32 128"},
        {"sem=250\t32000\t32\t128", "250 32000 32 128"}, // as the kernel prints it
        {"sem=250, 32000, 32, 128", "250 32000 32 128"},
        {"sem=1K,2K 3 4", "1024 2048 3 4"},
        {"msg_next_id=-1", "-1"},
        {"kernel.shm_next_id=-1", "-1"},
        {"sem_next_id=5", "5"},
    };
    for (const auto& [text, value] : table) {
        SCOPED_TRACE(text);
        EXPECT_EQ(Limit::parse(text).value, value);
    }
}

TEST(Limits, ParseRefuses) {
    for (const auto text : {""sv,
                            "shmmax"sv,
                            "="sv,
                            "=1"sv,
                            "shmmax="sv,
                            "shmmax= "sv,
                            "shmmax=x"sv,
                            "shmmax=1x"sv,
                            "shmmax=1k"sv,
                            "shmmax=-1"sv,
                            "shmmax=-2"sv,
                            "shmmax=1 2"sv,
                            "shmmax=1,2"sv,
                            "shmmax==1"sv,
                            "shmmax=1=2"sv,
                            "shmmax=18446744073709551616"sv,
                            "shmmax=16777216T"sv,
                            "shmmax=1.5G"sv,
                            "shmmax=0x1"sv,
                            "shmmax=1\n"sv,
                            "shmmax=1\0"sv,
                            "sem=1"sv,
                            "sem=1 2 3"sv,
                            "sem=1 2 3 4 5"sv,
                            "sem="sv,
                            "sem=1 2 3 x"sv,
                            "sem=1;2;3;4"sv,
                            "sem=1 2 3 -1"sv,
                            "queues_max=-1"sv,
                            "msg_next_id=-2"sv,
                            "msg_next_id=--1"sv,
                            "msg_next_id=-1 -1"sv,
                            "hostname=x"sv,
                            "kernel.hostname=x"sv,
                            "fs.mqueue.shmmax=1"sv,
                            "kernel.msg_max=1"sv,
                            "kernel.kernel.shmmax=1"sv,
                            " shmmax=1"sv,
                            "shmmax =1"sv,
                            "../../etc/passwd=1"sv}) {
        SCOPED_TRACE(testing::PrintToString(std::string(text)));
        try {
            const Limit limit = Limit::parse(text);
            ADD_FAILURE() << "taken for " << limit.value;
        } catch (const UsageError& error) {
            EXPECT_FALSE(error.hint().empty());
        }
    }
}

TEST(Limits, AnUnknownKeyIsAnsweredWithTheKnown) {
    try {
        (void)Limit::parse("max\x1bimum=1");
        ADD_FAILURE() << "taken";
    } catch (const UsageError& error) {
        EXPECT_STREQ(error.what(), "there is no limit 'max\\x1bimum'");
        for (const auto& key : limit_keys())
            EXPECT_NE(error.hint().find(key.name), std::string::npos) << key.name;
    }
}

TEST(Limits, ReadsWhatProcSays) {
    const auto limits = read_limits();
    std::vector<std::string> read;
    for (const auto& limit : limits) read.push_back(limit.key->name + "="s + limit.value);
    EXPECT_EQ(read, all_raw_values());
    EXPECT_GE(read.size(), 8U) << "every kernel with System V IPC has these";
    // What is read can be parsed again.
    for (const auto& text : read) {
        SCOPED_TRACE(text);
        if (text.find("-1") == std::string::npos) {
            EXPECT_EQ(Limit::parse(text).value, text.substr(text.find('=') + 1));
        }
    }
}

const std::pair<std::string_view, std::string_view> settings[] = {
    {"msgmax", "4095"},    {"msgmnb", "8191"},     {"msgmni", "17"},      {"sem", "100 3200 31 63"},
    {"shmall", "1001"},    {"shmmax", "1048577"},  {"shmmni", "19"},      {"shm_rmid_forced", "1"},
    {"msg_next_id", "41"}, {"sem_next_id", "42"},  {"shm_next_id", "43"}, {"queues_max", "7"},
    {"msg_max", "6"},      {"msgsize_max", "511"}, {"msg_default", "3"},  {"msgsize_default", "257"},
};

// Whether this kernel lets the caller, who has all rights in a namespace of its own, set this key there.
bool settable(const LimitKey& key) {
    return exists(key.path) && write_file(key.path, raw_value(key.path)) == 0;
}

TEST(Limits, WriteChangesOnlyTheNamespaceOfTheCaller) {
    NeedNamespaces();
    const auto outside = all_raw_values();
    in_new_namespaces(
        [&] {
            std::size_t set = 0;
            for (const auto& [name, value] : settings) {
                SCOPED_TRACE(name);
                const LimitKey* key = find_limit_key(name);
                ASSERT_NE(key, nullptr);
                if (!settable(*key)) continue;
                ASSERT_NE(raw_value(key->path), value) << "it would prove nothing";
                EXPECT_NO_THROW(write_limit({key, std::string(value)}));
                EXPECT_EQ(raw_value(key->path), value);
                ++set;
                const auto limits = read_limits();
                const auto found = std::find_if(limits.begin(), limits.end(),
                                                [&](const Limit& one) { return one.key == key; });
                ASSERT_NE(found, limits.end());
                EXPECT_EQ(found->value, value);
            }
            // Before Linux 6.9 only root of the host may; the environment's own right was tried above.
            if (set == 0) std::puts("nothing could be set: this kernel lets only root of the host");
            EXPECT_TRUE(set >= 8 || !settable(*find_limit_key("shmmax")));
        },
        true);
    EXPECT_EQ(all_raw_values(), outside);
}

TEST(Limits, TheKernelObeys) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const LimitKey* key = find_limit_key("shmmax");
            if (!settable(*key)) return;
            int id = ::shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
            EXPECT_GE(id, 0);
            write_limit(Limit::parse("shmmax=4K"));
            id = ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
            EXPECT_GE(id, 0);
            id = ::shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
            EXPECT_EQ(id, -1);
            EXPECT_EQ(errno, EINVAL);
            write_limit(Limit::parse("kernel.shm_next_id=77"));
            id = ::shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
            EXPECT_EQ(id, 77);
            if (!settable(*find_limit_key("queues_max"))) return;
            write_limit(Limit::parse("fs.mqueue.msgsize_default=300"));
            const mqd_t queue = ::mq_open("/limits", O_CREAT | O_RDWR, 0600, nullptr);
            ASSERT_GE(queue, 0);
            struct mq_attr about {};
            EXPECT_EQ(::mq_getattr(queue, &about), 0);
            EXPECT_EQ(about.mq_msgsize, 300);
        },
        true);
}

// Calls write_limit and @return its error; 0 when it took it.
int refused(const Limit& limit, std::string& hint) {
    try {
        write_limit(limit);
        return 0;
    } catch (const Error& error) {
        EXPECT_NE(std::string_view(error.what()).find(limit.key->name), std::string_view::npos)
            << error.what();
        hint = error.hint();
        return error.code().value();
    }
}

TEST(Limits, WriteSaysWhatTheKernelDoesNotTake) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            if (!settable(*find_limit_key("shm_rmid_forced"))) return;
            std::string hint;
            EXPECT_EQ(refused(Limit::parse("shm_rmid_forced=2"), hint), EINVAL);
            EXPECT_NE(hint.find("value"), std::string::npos) << hint;
            EXPECT_EQ(refused(Limit::parse("msgmax=1T"), hint), EINVAL);
            EXPECT_EQ(raw_value("/proc/sys/kernel/shm_rmid_forced"), "0");
        },
        true);
}

TEST(Limits, WriteSaysThatTheKernelLacksTheKey) {
    const LimitKey missing{"nonesuch", "/proc/sys/kernel/ipcns_nonesuch", 1, "nothing"};
    std::string hint;
    EXPECT_EQ(refused({&missing, "1"}, hint), ENOENT);
    EXPECT_NE(hint.find("no such limit"), std::string::npos) << hint;
}

TEST(Limits, WriteSaysThatProcSysIsReadOnly) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            ASSERT_EQ(::mount("/proc/sys", "/proc/sys", nullptr, MS_BIND | MS_REC, nullptr), 0)
                << std::strerror(errno);
            ASSERT_EQ(::mount(nullptr, "/proc/sys", nullptr,
                              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
                      0)
                << std::strerror(errno);
            std::string hint;
            EXPECT_EQ(refused(Limit::parse("msgmni=5"), hint), EROFS);
            EXPECT_NE(hint.find("read-only"), std::string::npos) << hint;
        },
        true);
}

TEST(Limits, WhoIsNotRootInsideMayNot) {
    NeedNamespaces();
    NeedOrdinaryUser();
    in_new_namespaces([] { // where it stands for itself, with all capabilities
        if (settable(*find_limit_key("shmmax"))) return;
        std::string hint;
        EXPECT_EQ(refused(Limit::parse("shmmax=4K"), hint), EACCES);
        EXPECT_NE(hint.find("root"), std::string::npos) << hint;
    });
}

TEST(Limits, WriteSaysWhoMay) {
    // Nobody's process, in the namespace that the tests run in.
    const int status = in_fork([] {
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 2;
        std::string hint;
        const int number = refused(Limit::parse("shmmni=4096"), hint);
        return (number == EACCES || number == EPERM) && hint.find("root") != std::string::npos ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

} // namespace
} // namespace ipcns
