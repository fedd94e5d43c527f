// SPDX-License-Identifier: Apache-2.0
// The limits of an IPC namespace: as text, read, and set in a namespace that is thrown away afterwards.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/launch.hpp>
#include <ipcns/limits.hpp>
#include <ipcns/namespace.hpp>

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

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

constexpr const char* sem_file = "/proc/sys/kernel/sem";

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
    const LimitKey missing{"nonesuch", "/proc/sys/kernel/ipcns_nonesuch", 1, -1, "nothing"};
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
    NeedNobody();
    // Nobody's process, in the namespace that the tests run in.
    const int status = in_fork([] {
        if (!test::become_nobody()) return 2;
        std::string hint;
        const int number = refused(Limit::parse("shmmni=4096"), hint);
        return (number == EACCES || number == EPERM) && hint.find("root") != std::string::npos ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

TEST(Limits, TheFourNumbersOfSemHaveNames) {
    int part = 0;
    for (const auto name : {"semmsl"sv, "semmns"sv, "semopm"sv, "semmni"sv}) {
        const LimitKey* key = find_limit_key(name);
        ASSERT_NE(key, nullptr) << name;
        EXPECT_EQ(key->name, name);
        EXPECT_STREQ(key->path, sem_file);
        EXPECT_EQ(key->numbers, 1);
        EXPECT_EQ(key->part, part++);
        const Limit limit = Limit::parse(std::string(name) + "=2K");
        EXPECT_EQ(limit.key, key);
        EXPECT_EQ(limit.value, "2048");
        // sysctl(8) does not know them.
        EXPECT_EQ(find_limit_key("kernel." + std::string(name)), nullptr);
        EXPECT_THROW((void)Limit::parse(std::string(name) + "=1 2"), UsageError);
    }
}

TEST(Limits, AKeyThatIsNearlyRightIsSuggested) {
    for (const auto& [wrong, right] : {std::pair{"shmmxa=1"sv, "shmmax"sv},
                                       {"semni=1"sv, "semmni"sv},
                                       {"SHMMNI=1"sv, "shmmni"sv},
                                       {"kernel.msgmaxx=1"sv, "msgmax"sv},
                                       {"fs.mqueue.queue_max=1"sv, "queues_max"sv}}) {
        SCOPED_TRACE(wrong);
        try {
            (void)Limit::parse(wrong);
            ADD_FAILURE() << "taken";
        } catch (const UsageError& error) {
            EXPECT_NE(error.hint().find("did you mean " + std::string(right) + "?"), std::string::npos)
                << error.hint();
        }
    }
}

// Every number of every file, by the name of its key.
std::vector<std::pair<const LimitKey*, std::string>> all_raw_numbers() {
    std::vector<std::pair<const LimitKey*, std::string>> numbers;
    for (const auto& key : limit_keys()) {
        if (!exists(key.path)) continue;
        std::string rest = raw_value(key.path);
        if (key.numbers == 1) {
            numbers.emplace_back(&key, rest);
            continue;
        }
        for (const auto name : {"semmsl"sv, "semmns"sv, "semopm"sv, "semmni"sv}) {
            numbers.emplace_back(find_limit_key(name), rest.substr(0, rest.find(' ')));
            rest.erase(0, rest.find(' ') + 1);
        }
    }
    return numbers;
}

TEST(Limits, ANewNamespaceHasTheUsualValuesWhateverItsParentHas) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            for (const auto& [name, value] : settings) {
                const LimitKey* key = find_limit_key(name);
                if (settable(*key)) write_file(key->path, std::string(value));
            }
            ASSERT_EQ(::unshare(CLONE_NEWIPC), 0) << std::strerror(errno);
            const auto numbers = all_raw_numbers();
            EXPECT_GE(numbers.size(), 10U);
            for (const auto& [key, number] : numbers)
                EXPECT_EQ(number, key->usual ? std::to_string(*key->usual) : "-1") << key->name;
        },
        true);
}

TEST(Limits, EveryBoundIsTheKernels) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            for (const auto& key : limit_keys()) {
                if (key.numbers != 1 || !exists(key.path) || !settable(key)) continue;
                SCOPED_TRACE(key.name);
                // A name without effect takes what it likes; the most of others depends on how the kernel was booted.
                if (key.name == "auto_msgmni"sv) continue;
                EXPECT_EQ(write_file(key.path, std::to_string(key.least)), 0);
                if (key.least > 0) {
                    EXPECT_EQ(write_file(key.path, std::to_string(key.least - 1)), EINVAL);
                }
                if (key.name == "msgmni"sv || key.name == "shmmni"sv) {
                    EXPECT_EQ(write_file(key.path, std::to_string(key.most + 1)), EINVAL);
                    continue;
                }
                EXPECT_EQ(write_file(key.path, std::to_string(key.most)), 0);
                EXPECT_EQ(raw_value(key.path), std::to_string(key.most));
                if (key.most + 1 != 0) {
                    EXPECT_EQ(write_file(key.path, std::to_string(key.most + 1)), EINVAL);
                }
            }
        },
        true);
}

std::vector<Limit> parse_all(const std::vector<std::string_view>& texts) {
    std::vector<Limit> limits;
    for (const auto text : texts) limits.push_back(Limit::parse(text));
    return limits;
}

TEST(Limits, SeveralAreSetAndTheNumbersOfSemArePutTogether) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            if (!settable(*find_limit_key("shmmax"))) return;
            write_file(sem_file, "111 222 33 44");
            write_file("/proc/sys/kernel/shmmni", "55");
            const auto changes = set_limits(parse_all(
                {"semopm=7", "shmmni=66", "kernel.msgmax=4K", "semmsl=8", "semopm=9", "shmmni=67"}));
            EXPECT_EQ(raw_value(sem_file), "8 222 9 44");
            EXPECT_EQ(raw_value("/proc/sys/kernel/shmmni"), "67") << "the last one counts";
            EXPECT_EQ(raw_value("/proc/sys/kernel/msgmax"), "4096");
            ASSERT_EQ(changes.size(), 3U);
            EXPECT_EQ(changes[0].key, find_limit_key("sem"));
            EXPECT_EQ(changes[0].old_value, "111 222 33 44");
            EXPECT_EQ(changes[0].new_value, "8 222 9 44");
            EXPECT_EQ(changes[1].key, find_limit_key("shmmni"));
            EXPECT_EQ(changes[1].old_value, "55");
            EXPECT_EQ(changes[1].new_value, "67");
            (void)set_limits(parse_all({"semmni=3", "sem=1,2,3,4", "semmns=5"}));
            EXPECT_EQ(raw_value(sem_file), "1 5 3 4");
            EXPECT_TRUE(set_limits({}).empty());
        },
        true);
}

// What set_limits() throws, as its errno value and hint; 0 when it throws nothing.
std::pair<int, std::string> set_error(const std::vector<Limit>& limits) {
    try {
        (void)set_limits(limits);
        return {0, ""};
    } catch (const Error& error) {
        return {error.code().value(), error.hint()};
    }
}

TEST(Limits, AllOrNone) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            if (!settable(*find_limit_key("shmmax"))) return;
            write_file(sem_file, "111 222 33 44");
            write_file("/proc/sys/kernel/sem_next_id", "9");
            const auto before = all_raw_values();
            // What is known to be wrong before anything is tried.
            for (const auto wrong : {"msgmax=1T"sv, "msg_max=0"sv, "msgsize_max=127"sv, "msg_default=65537"sv,
                                     "shm_rmid_forced=2"sv, "sem=1,2,3,99999999"sv, "semopm=2147483648"sv,
                                     "msg_next_id=2147483648"sv}) {
                SCOPED_TRACE(wrong);
                const auto [number, hint] =
                    set_error({Limit::parse("shmmax=4K"), Limit::parse(wrong), Limit::parse("msgmnb=77")});
                EXPECT_EQ(number, EINVAL);
                EXPECT_NE(hint.find(" takes "), hint.find(" is 0 or 1")) << hint;
                EXPECT_EQ(all_raw_values(), before);
            }
            // And what would be right.
            for (const auto& [wrong, right] :
                 {std::pair{"msgsize_max=127"sv, "msgsize_max takes 128 to 16777216"sv},
                  {"msgsize_default=16777217"sv, "msgsize_default takes 128 to 16777216"sv},
                  {"msg_max=0"sv, "msg_max takes 1 to 65536"sv},
                  {"sem=1,2,3,99999999"sv, "semmni takes 0 to 32768 (after a boot with ipcmni_extend"sv},
                  {"shm_rmid_forced=2"sv, "shm_rmid_forced is 0 or 1"sv}})
                EXPECT_NE(set_error({Limit::parse(wrong)}).second.find(right), std::string::npos) << wrong;
            EXPECT_EQ(set_error({{find_limit_key("shmmax"), "4K 5"}}).first, EINVAL);
            EXPECT_EQ(all_raw_values(), before);
            // What only the kernel refuses: more objects than it was booted for, when others were set before.
            if (write_file("/proc/sys/kernel/msgmni", "40000") != EINVAL) return;
            for (const auto& texts :
                 {std::vector{"shmmax=4K"sv, "semmsl=8"sv, "msgmni=40000"sv, "shmmni=9"sv},
                  // The kernel takes the first three, then refuses the fourth.
                  {"shmmax=4K"sv, "semmsl=8"sv, "semmni=40000"sv, "shmmni=9"sv},
                  {"shmmax=4K"sv, "sem=1,2,3,40000"sv},
                  // These are taken, and then keep another value.
                  {"msgmax=1"sv, "auto_msgmni=1"sv, "shm_next_id=5"sv}}) {
                SCOPED_TRACE(texts[1]);
                // Last, so that what it may do first has to be undone.
                auto limits = parse_all(texts);
                const auto [number, hint] = set_error(limits);
                EXPECT_TRUE(number == EINVAL || number == ERANGE) << number;
                EXPECT_TRUE(hint.ends_with("nothing has been changed")) << hint;
                EXPECT_EQ(all_raw_values(), before);
                std::reverse(limits.begin(), limits.end());
                EXPECT_NE(set_error(limits).first, 0);
                EXPECT_EQ(all_raw_values(), before);
            }
        },
        true);
}

TEST(Limits, NothingIsSetWhereOneMayNotBeWritten) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            if (!settable(*find_limit_key("shmmax"))) return;
            const char* file = "/proc/sys/kernel/msgmnb";
            ASSERT_EQ(::mount(file, file, nullptr, MS_BIND, nullptr), 0) << std::strerror(errno);
            ASSERT_EQ(::mount(nullptr, file, nullptr,
                              MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr),
                      0)
                << std::strerror(errno);
            const auto before = all_raw_values();
            for (const auto& texts : {std::vector{"shmmax=4K"sv, "msgmnb=5"sv, "shmmni=3"sv},
                                      {"shm_next_id=4"sv, "shm_rmid_forced=1"sv, "msgmnb=5"sv}}) {
                EXPECT_EQ(set_error(parse_all(texts)).first, EROFS);
                EXPECT_EQ(all_raw_values(), before);
            }
        },
        true);
}

int next_segment() {
    const int id = ::shmget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    ::shmctl(id, IPC_RMID, nullptr);
    return id;
}

TEST(Limits, AWishForAnIdHoldsOnceAndCanBeTakenBack) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const std::string file = "/proc/sys/kernel/shm_next_id";
            if (!exists(file) || write_file(file, "5") != 0) return;
            ASSERT_EQ(write_file(file, "-1"), EINVAL) << "the kernel takes it back by itself now";
            EXPECT_EQ(next_segment(), 5);
            for (const auto kind : {"msg"sv, "sem"sv, "shm"sv}) {
                const std::string name = std::string(kind) + "_next_id";
                EXPECT_NO_THROW(write_limit(Limit::parse(name + "=-1"))) << "there is no wish";
                write_limit(Limit::parse(name + "=4711"));
                EXPECT_EQ(raw_value("/proc/sys/kernel/" + name), "4711");
                write_limit(Limit::parse(name + "=-1"));
                EXPECT_EQ(raw_value("/proc/sys/kernel/" + name), "-1");
            }
            EXPECT_NE(next_segment(), 4711);
            write_limit(Limit::parse("shm_next_id=41"));
            EXPECT_EQ(next_segment(), 41);
            EXPECT_EQ(raw_value(file), "-1");
            // Nothing was left behind.
            struct shm_info info {};
            EXPECT_GE(::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info)), 0);
            EXPECT_EQ(info.used_ids, 0);
            // Where no object can be made, the wish stays, and that is said.
            if (!settable(*find_limit_key("shmmni"))) return;
            write_file("/proc/sys/kernel/shmmni", "0");
            write_limit(Limit::parse("shm_next_id=42"));
            EXPECT_EQ(set_error({Limit::parse("shm_next_id=-1")}).first, ENOSPC);
            EXPECT_EQ(raw_value(file), "42");
        },
        true);
}

const LimitUse& use_of(const std::vector<LimitUse>& all, std::string_view name) {
    for (const auto& use : all) {
        if (use.key->name == name) return use;
    }
    throw std::runtime_error("no " + std::string(name));
}

TEST(Limits, UseIsCounted) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            for (const auto name : {"msgmni"sv, "semmns"sv, "semmni"sv, "shmall"sv, "shmmni"sv}) {
                const auto all = read_limit_use();
                EXPECT_EQ(use_of(all, name).used, 0U) << name;
                EXPECT_EQ(use_of(all, name).percent(), 0.0) << name;
            }
            const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
            for (int i = 0; i < 3; ++i) {
                EXPECT_GE(::shmget(IPC_PRIVATE, 2 * page - 1, IPC_CREAT | 0600), 0);
            }
            for (int i = 0; i < 2; ++i) {
                EXPECT_GE(::semget(IPC_PRIVATE, 5, IPC_CREAT | 0600), 0);
            }
            EXPECT_GE(::msgget(IPC_PRIVATE, IPC_CREAT | 0600), 0);
            for (const char* name : {"/one", "/two", "/three", "/four"}) {
                EXPECT_GE(::mq_open(name, O_CREAT | O_RDWR, 0600, nullptr), 0) << std::strerror(errno);
            }
            auto all = read_limit_use();
            EXPECT_EQ(use_of(all, "msgmni").used, 1U);
            EXPECT_EQ(use_of(all, "semmns").used, 10U);
            EXPECT_EQ(use_of(all, "semmni").used, 2U);
            EXPECT_EQ(use_of(all, "shmall").used, 6U);
            EXPECT_EQ(use_of(all, "shmmni").used, 3U);
            EXPECT_EQ(use_of(all, "queues_max").used, 4U);
            for (const auto name :
                 {"msgmax"sv, "msgmnb"sv, "semmsl"sv, "shmmax"sv, "msg_max"sv, "shm_next_id"sv}) {
                EXPECT_EQ(use_of(all, name).used, std::nullopt) << name;
                EXPECT_EQ(use_of(all, name).percent(), std::nullopt) << name;
            }
            EXPECT_EQ(use_of(all, "shm_next_id").value, std::nullopt);
            EXPECT_EQ(use_of(all, "shmmni").percent(), 3 * 100.0 / 4096);
            // The numbers are those of the files.
            const auto raw = all_raw_numbers();
            ASSERT_EQ(raw.size(), all.size());
            for (std::size_t i = 0; i < all.size(); ++i) {
                EXPECT_EQ(all[i].key, raw[i].first);
                EXPECT_EQ(all[i].value ? std::to_string(*all[i].value) : "-1", raw[i].second)
                    << all[i].key->name;
            }
            if (!settable(*find_limit_key("shmmax"))) return;
            write_file("/proc/sys/kernel/shmmni", "4");
            write_file("/proc/sys/kernel/msgmni", "0");
            write_file(sem_file, "5 -1 5 1");
            write_file("/proc/sys/fs/mqueue/queues_max", "-1");
            all = read_limit_use();
            EXPECT_EQ(use_of(all, "shmmni").percent(), 75.0);
            EXPECT_EQ(use_of(all, "msgmni").percent(), 100.0);
            EXPECT_EQ(use_of(all, "semmni").percent(), 200.0);
            EXPECT_EQ(use_of(all, "semmns").value, std::nullopt);
            EXPECT_EQ(use_of(all, "semmns").percent(), std::nullopt);
            // So the kernel compares it.
            EXPECT_EQ(use_of(all, "queues_max").value, 4294967295U);
        },
        true);
}

TEST(Limits, WhoMayNotMountSeesNoPosixQueues) {
    NeedOrdinaryUser();
    const auto all = read_limit_use();
    EXPECT_EQ(use_of(all, "queues_max").used, std::nullopt);
    EXPECT_NE(use_of(all, "shmmni").used, std::nullopt);
}

TEST(Limits, RootOfTheHostMayWhereAnotherIsRoot) {
    NeedRoot();
    if (!test::can_make_user_namespaces()) GTEST_SKIP() << "an ordinary user may make no namespaces here";
    constexpr uid_t stranger = 64321;
    // One of an ordinary user who is root in it, and one of a user who is not.
    for (const char* inside : {"0 64321 1", "64321 64321 1"}) {
        SCOPED_TRACE(inside);
        const test::Waiting there([inside] {
            if (::setresuid(stranger, stranger, stranger) != 0) test::broken("become an ordinary user");
            ::prctl(PR_SET_DUMPABLE, 1);
            if (::unshare(CLONE_NEWUSER | CLONE_NEWIPC) != 0) test::broken("unshare");
            if (const int number = write_file("/proc/self/uid_map", inside)) {
                errno = number;
                test::broken("map a user");
            }
        });
        const int dumpable = ::prctl(PR_GET_DUMPABLE);
        const Namespace ipc = Namespace::from_pid(there.pid());
        int raw = 0;
        // By the plain way the kernel refuses the first.
        ipc.call([&] { raw = write_file("/proc/sys/kernel/shmmni", "4096"); });
        EXPECT_EQ(raw, inside[0] == '0' ? EACCES : 0) << "a kernel before 6.9?";
        ipc.call([] {
            (void)set_limits(parse_all({"shmmni=12", "semmni=13", "msg_max=14", "shm_next_id=15"}));
        });
        const auto found = ipc.call([] {
            return std::vector{raw_value("/proc/sys/kernel/shmmni"), raw_value(sem_file),
                               raw_value("/proc/sys/fs/mqueue/msg_max"),
                               raw_value("/proc/sys/kernel/shm_next_id")};
        });
        EXPECT_EQ(found, (std::vector{"12"s, "32000 1024000000 500 13"s, "14"s, "15"s}));
        // Refused by the kernel: what was set as that user goes back as that user.
        EXPECT_NE(ipc.call([] { return set_error(parse_all({"shmmni=22", "semmni=40000"})); }).first, 0);
        EXPECT_EQ(ipc.call([] { return raw_value("/proc/sys/kernel/shmmni") + " " + raw_value(sem_file); }),
                  "12 32000 1024000000 500 13");
        EXPECT_EQ(::geteuid(), 0U);
        EXPECT_EQ(::prctl(PR_GET_DUMPABLE), dumpable);
    }
}

TEST(Limits, AProgramIsLaunchedWithNumbersOfSem) {
    NeedNamespaces();
    LaunchOptions options;
    options.arguments = {"/bin/sh", "-c",
                         "set -- $(cat /proc/sys/kernel/sem); test \"$*\" = '9 1024000000 8 32000'"};
    options.isolation = Isolation::ipc_only;
    options.limits = parse_all({"semmsl=9", "semopm=8", "shm_next_id=-1"});
    const int status = in_fork([&] {
        // Whatever the namespace has that it is started from.
        if (test::is_root() && test::enter_new_namespaces() == 0) write_file(sem_file, "1 2 3 4");
        return launch(options).wait().code;
    });
    EXPECT_EQ(status, 0);
    options.limits = parse_all({"semmni=99999999"});
    EXPECT_THROW((void)launch(options), Error);
}

} // namespace
} // namespace ipcns
