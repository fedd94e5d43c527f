// SPDX-License-Identifier: Apache-2.0
// The shape of ipcs against ipcs itself, run in the same namespace: every byte. The objects are made by plain system
// calls, in namespaces of each test's own, below a /etc/passwd of its own.
#include "support.hpp"

#include <ipcs_shape.hpp>

#include <ipcns/sysv.hpp>

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <memory>
#include <string>
#include <vector>

namespace ipcns::cli {
namespace {

using test::make_queue;
using test::make_segment;
using test::make_set;

/// As root of them: an ordinary user's ipcs keeps the right to read everything only that way.
void in_new_namespaces(const std::function<void()>& body) { test::in_new_namespaces(body, true); }

/// What `ipcs WORDS` prints here.
std::string real_ipcs(const std::string& words) {
    std::string text;
    const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen(("LC_ALL=C ipcs " + words).c_str(), "re"),
                                                     ::pclose);
    if (!pipe) test::broken("popen ipcs");
    std::array<char, 4096> buffer;
    std::size_t length = 0;
    while ((length = std::fread(buffer.data(), 1, buffer.size(), pipe.get())) > 0)
        text.append(buffer.data(), length);
    return text;
}

bool has_ipcs() {
    static const bool yes = real_ipcs("--version 2>/dev/null").starts_with("ipcs from util-linux 2.");
    return yes;
}

Objects look() {
    Objects objects;
    for (const auto& record : list_queues()) objects.msg.push_back({record, State::unknown, {}});
    for (const auto& record : list_segments()) objects.shm.push_back({record, State::unknown, {}});
    for (const auto& record : list_semaphore_sets()) objects.sem.emplace_back().record = record;
    return objects;
}

Kinds kinds_of(const std::string& words) {
    Kinds kinds;
    if (words.find("-q") != std::string::npos) kinds.add(Kind::msg);
    if (words.find("-m") != std::string::npos) kinds.add(Kind::shm);
    if (words.find("-s") != std::string::npos) kinds.add(Kind::sem);
    return kinds;
}

const std::vector<std::string> choices_of_kinds = {"",      "-q",    "-m",    "-s",
                                                   "-q -m", "-q -s", "-s -m", "-q -m -s"};

/// Every table in every way.
void expect_equal_tables(const std::vector<std::string>& choices_of_columns = {"", "-t", "-p", "-c", "-b",
                                                                               "-b -t", "-t -p", "-p -c"}) {
    const Objects objects = look();
    for (const auto& kinds : choices_of_kinds) {
        for (const auto& columns : choices_of_columns) {
            const std::string words = kinds + " " + columns;
            IpcsOptions options;
            options.kinds = kinds_of(kinds);
            options.times = columns.find("-t") != std::string::npos;
            options.pids = columns.find("-p") != std::string::npos;
            options.creators = columns.find("-c") != std::string::npos;
            options.bytes = columns.find("-b") != std::string::npos;
            EXPECT_EQ(like_ipcs(objects, options), real_ipcs(words)) << "ipcs " << words;
        }
    }
}

void expect_equal_details() {
    for (const auto& record : list_queues())
        EXPECT_EQ(like_ipcs(record), real_ipcs("-q -i " + std::to_string(static_cast<int>(record.id))));
    for (const auto& record : list_segments())
        EXPECT_EQ(like_ipcs(record), real_ipcs("-m -i " + std::to_string(static_cast<int>(record.id))));
    for (const auto& record : list_semaphore_sets())
        EXPECT_EQ(like_ipcs(record, read_semaphores(record.id)),
                  real_ipcs("-s -i " + std::to_string(static_cast<int>(record.id))));
}

void expect_equal_sums() {
    for (const auto& kinds : choices_of_kinds) {
        for (const bool bytes : {false, true}) {
            IpcsOptions options;
            options.kinds = kinds_of(kinds);
            options.bytes = bytes;
            const std::string words = kinds + (bytes ? " -b" : "");
            EXPECT_EQ(like_ipcs(read_ipcs_totals(), options), real_ipcs("-u " + words)) << words;
            EXPECT_EQ(like_ipcs(read_ipcs_limits(), options), real_ipcs("-l " + words)) << words;
        }
    }
}

void expect_equal() {
    expect_equal_tables();
    expect_equal_details();
    expect_equal_sums();
}

void* attach(int id) {
    void* memory = ::shmat(id, nullptr, 0);
    if (memory == reinterpret_cast<void*>(-1)) test::broken("shmat");
    return memory;
}

void send(int id, std::size_t bytes) {
    struct {
        long type = 1;
        char text[8192] = {};
    } message;
    if (::msgsnd(id, &message, bytes, IPC_NOWAIT) != 0) test::broken("msgsnd");
}

void receive(int id) {
    struct {
        long type = 1;
        char text[8192] = {};
    } message;
    if (::msgrcv(id, &message, sizeof message.text, 0, IPC_NOWAIT) < 0) test::broken("msgrcv");
}

void operate(int id, unsigned short number, short change) {
    struct sembuf operation {
        number, change, 0
    };
    if (::semop(id, &operation, 1) != 0) test::broken("semop");
}

template <class Function>
void in_child(Function function) {
    const int status = test::in_fork([&] {
        function();
        return 0;
    });
    if (status != 0) throw std::runtime_error("a child process failed");
}

key_t key_of(unsigned bits) { return static_cast<key_t>(bits); }

void make_odd_queues() {
    make_queue();
    make_queue(key_of(0x1234), 0);
    make_queue(key_of(0x80000001), 0777);
    const int full = make_queue(key_of(0xffffffff), 0644);
    send(full, 0);
    send(full, 8192);
    send(full, 8000);
    const int used = make_queue(key_of(1), 0222);
    in_child([&] { send(used, 17); });
    in_child([&] { send(used, 18); });
    const int emptied = make_queue(key_of(0x7fffffff), 0040);
    send(emptied, 5);
    in_child([&] { receive(emptied); });
}

void make_odd_sets() {
    make_set(1);
    make_set(250, key_of(0x80000000), 0);
    make_set(32000, key_of(0xabcdef), 0777);
    const int used = make_set(3, key_of(0xfffffffe), 0604);
    operate(used, 0, 32767);
    in_child([&] { operate(used, 2, 1); });
    operate(used, 1, 0);
}

void make_odd_segments() {
    make_segment(1);
    make_segment(std::size_t{1} << 40, key_of(0xdeadbeef), SHM_NORESERVE | 0640);
    make_segment(12345678901, key_of(0x10), SHM_NORESERVE);
    make_segment(4096, key_of(0x80000000), 0777);
    // In use, and used.
    const int attached = make_segment(4097, key_of(0x7f));
    attach(attached);
    std::memset(attach(attached), 1, 4097);
    const int left = make_segment(100, key_of(0x80));
    in_child([&] { attach(left); });
    // Removed while in use, locked, and both.
    const int removed = make_segment(77, key_of(0x81), 0);
    attach(removed);
    if (::shmctl(removed, IPC_RMID, nullptr) != 0) test::broken("IPC_RMID");
    const int locked = make_segment(4096, key_of(0x82), 0);
    const int both = make_segment(4096, key_of(0x83), 0123);
    attach(both);
    for (const int id : {locked, both})
        if (::shmctl(id, SHM_LOCK, nullptr) != 0) test::broken("SHM_LOCK");
    if (::shmctl(both, IPC_RMID, nullptr) != 0) test::broken("IPC_RMID");
}

void make_odd_objects() {
    make_odd_queues();
    make_odd_sets();
    make_odd_segments();
}

/// A queue, a segment and a set of this owner.
void make_owned(uid_t user, gid_t group) {
    struct msqid_ds queue {};
    const int queue_id = make_queue();
    ::msgctl(queue_id, IPC_STAT, &queue);
    queue.msg_perm.uid = user;
    queue.msg_perm.gid = group;
    if (::msgctl(queue_id, IPC_SET, &queue) != 0) test::broken("IPC_SET");
    struct shmid_ds segment {};
    const int segment_id = make_segment(1);
    ::shmctl(segment_id, IPC_STAT, &segment);
    segment.shm_perm.uid = user;
    segment.shm_perm.gid = group;
    if (::shmctl(segment_id, IPC_SET, &segment) != 0) test::broken("IPC_SET");
    union {
        struct semid_ds* set;
        int value;
    } argument{};
    struct semid_ds set {};
    argument.set = &set;
    const int set_id = make_set(1);
    ::semctl(set_id, 0, IPC_STAT, argument);
    set.sem_perm.uid = user;
    set.sem_perm.gid = group;
    if (::semctl(set_id, 0, IPC_SET, argument) != 0) test::broken("IPC_SET");
}

/// Puts a file in the place of another one, for this mount namespace.
void cover(const std::string& path, const std::string& with) {
    if (::chmod(with.c_str(), 0644) != 0) test::broken("chmod " + with);
    if (::mount(with.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) != 0) test::broken("cover " + path);
}

class IpcsShape : public testing::Test {
protected:
    void SetUp() override {
        NeedNamespaces();
        if (!has_ipcs()) GTEST_SKIP() << "needs the ipcs of util-linux";
        ::setenv("TZ", "UTC", 1);
    }
    void TearDown() override { ::unsetenv("TZ"); }
};

TEST_F(IpcsShape, AnEmptyNamespace) {
    in_new_namespaces([] { expect_equal(); });
}

TEST_F(IpcsShape, OddObjects) {
    in_new_namespaces([] {
        make_odd_objects();
        const std::string text = real_ipcs("");
        for (const char* expected : {" dest ", " locked", " 1099511627776 ", "0xffffffff ", " 32000 "})
            ASSERT_NE(text.find(expected), std::string::npos) << "the test made nothing odd: " << expected;
        expect_equal();
    });
}

TEST_F(IpcsShape, OneKindAtATime) {
    in_new_namespaces([] {
        make_odd_queues();
        expect_equal_tables();
    });
    in_new_namespaces([] {
        make_odd_sets();
        expect_equal_tables();
    });
    in_new_namespaces([] {
        make_odd_segments();
        expect_equal_tables();
    });
}

TEST_F(IpcsShape, ManyObjectsWithHoles) {
    in_new_namespaces([] {
        constexpr std::size_t each = 300;
        std::vector<int> queues;
        std::vector<int> sets;
        std::vector<int> segments;
        const auto make = [&] {
            for (std::size_t i = 0; i < each; ++i) {
                queues.push_back(make_queue());
                sets.push_back(make_set(1 + static_cast<int>(i % 5)));
                segments.push_back(make_segment(1 + i * 1000));
            }
        };
        make();
        for (std::size_t i = 0; i < each; i += 3) {
            ::msgctl(queues[i], IPC_RMID, nullptr);
            ::semctl(sets[i], 0, IPC_RMID);
            ::shmctl(segments[i], IPC_RMID, nullptr);
        }
        make(); // ids with sequence numbers now
        ASSERT_NE(real_ipcs("-m").find("327"), std::string::npos);
        expect_equal_tables();
        expect_equal_sums();
    });
}

TEST_F(IpcsShape, LongAndOddNames) {
    const test::TempFolder folder;
    const std::string passwd =
        "someone-with-a-very-long-name:x:0:0::/:/bin/sh\n"
        "ten-bytes-:x:5001:5001::/:/bin/sh\neleven-byte:x:5002:5002::/:/bin/sh\n"
        "jürgen-äöü:x:5003:5003::/:/bin/sh\nDOMAIN\\user name:x:5004:5004::/:/bin/sh\n";
    const std::string group =
        "a-group-with-a-very-long-name:x:0:\nten-group-:x:5001:\neleven-grou:x:5002:\n"
        "größe:x:5003:\nDOMAIN\\a b:x:5004:\n";
    ASSERT_EQ(test::write_file(folder / "passwd", passwd), 0);
    ASSERT_EQ(test::write_file(folder / "group", group), 0);
    const bool can_give_away = test::is_root();
    in_new_namespaces([&] {
        cover("/etc/passwd", folder / "passwd");
        cover("/etc/group", folder / "group");
        make_odd_objects();
        ASSERT_NE(real_ipcs("").find(" someone-wi 600"), std::string::npos);
        if (can_give_away) {
            for (const unsigned id : {5001U, 5002U, 5003U, 5004U, 5005U, 1234567890U, 4294967294U}) {
                make_owned(id, id);
                make_owned(id, 5005);
                make_owned(0, id);
            }
            ASSERT_NE(real_ipcs("-c").find(" 4294967294 4294967294"), std::string::npos);
        }
        expect_equal();
    });
}

TEST_F(IpcsShape, NamesWithControlCharactersShowAsNumbers) {
    const test::TempFolder folder;
    ASSERT_EQ(test::write_file(folder / "passwd", "e\033[2Jvil:x:0:0::/:/bin/sh\n"), 0);
    ASSERT_EQ(test::write_file(folder / "group", "e\033[2Jvil:x:0:\n"), 0);
    in_new_namespaces([&] {
        cover("/etc/passwd", folder / "passwd");
        cover("/etc/group", folder / "group");
        make_odd_objects();
        for (const bool creators : {false, true}) {
            IpcsOptions options;
            options.creators = creators;
            EXPECT_EQ(like_ipcs(look(), options).find('\033'), std::string::npos);
        }
    });
}

// Whom a user namespace has no mapping for is nobody there, in both.
TEST_F(IpcsShape, UsersWithoutAMapping) {
    NeedRoot();
    in_new_namespaces([] {
        make_odd_objects();
        make_owned(33, 5);
        make_owned(0, 0);
        in_child([] {
            ASSERT_EQ(::unshare(CLONE_NEWUSER), 0);
            const std::string text = real_ipcs("-q -i 0");
            EXPECT_EQ(text.find("uid=0"), std::string::npos) << text;
            expect_equal_tables();
            if (::testing::Test::HasFailure()) ::_exit(1);
        });
    });
}

// A process that is not in the looker's pid namespace is 0.
TEST_F(IpcsShape, PidsOfAnotherNamespace) {
    in_new_namespaces([] {
        make_odd_objects();
        if (::unshare(CLONE_NEWPID) != 0) test::broken("unshare");
        in_child([] {
            send(make_queue(), 1);
            const std::string text = real_ipcs("-m -i 0");
            EXPECT_NE(text.find("cpid=0"), std::string::npos) << text;
            expect_equal();
            if (::testing::Test::HasFailure()) ::_exit(1);
        });
    });
}

TEST_F(IpcsShape, TimeZones) {
    in_new_namespaces([] {
        make_odd_queues();
        make_odd_segments();
        operate(make_set(1), 0, 1);
        for (const char* zone : {"UTC", "XYZ+11:59:30", "<+1245>-12:45", "Europe/Berlin", "nonsense", ""}) {
            ::setenv("TZ", zone, 1);
            expect_equal_tables({"-t"});
            expect_equal_details();
        }
        ::unsetenv("TZ");
        expect_equal_tables({"-t"});
    });
}

// Days of one figure, and years that ipcs has no object of now. What ctime(3) says of these moments, by hand.
TEST_F(IpcsShape, Dates) {
    Objects objects;
    const auto moment = [](long seconds) {
        return Moment(std::chrono::sys_seconds(std::chrono::seconds(seconds)));
    };
    QueueRecord record;
    record.who.owner = 4294967290;
    record.sent = moment(1772337906);     // 2026-03-01 04:05:06
    record.received = moment(951782399);  // 2000-02-28 23:59:59
    record.changed = moment(32503680001); // 3000-01-01 00:00:01
    objects.msg.push_back({record, State::unknown, {}});
    IpcsOptions options;
    options.times = true;
    options.kinds.add(Kind::msg);
    const std::string text = like_ipcs(objects, options);
    EXPECT_NE(
        text.find("\n0        4294967290 Mar  1 04:05:06      Feb 28 23:59:59      Jan  1 00:00:01     \n"),
        std::string::npos)
        << text;
    EXPECT_NE(like_ipcs(record).find("\nchange_time=Wed Jan  1 00:00:01 3000  \n"), std::string::npos);
    record.changed = moment(300000000000000); // no date has that many figures
    EXPECT_NE(like_ipcs(record).find("\nchange_time="), std::string::npos);
}

TEST_F(IpcsShape, WaitersOfSemaphores) {
    in_new_namespaces([] {
        const int set = make_set(4, IPC_PRIVATE, 0640);
        operate(set, 1, 5);
        const auto wait_for = [&](unsigned short number, short change) {
            return std::make_unique<test::Waiting>([&] {
                if (::fork() != 0) return; // one to say that all is ready, one to wait
                ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                operate(set, number, change);
                ::_exit(0);
            });
        };
        const auto increase = wait_for(0, -1);
        const auto second = wait_for(0, -2);
        const auto zero = wait_for(1, 0);
        while (::semctl(set, 0, GETNCNT) != 2 || ::semctl(set, 1, GETZCNT) != 1) ::usleep(1000);
        const std::string text = real_ipcs("-s -i " + std::to_string(set));
        ASSERT_NE(text.find("\n0          0          2          0          0         \n"), std::string::npos);
        expect_equal();
    });
}

TEST_F(IpcsShape, OtherLimits) {
    NeedRoot();
    in_new_namespaces([] {
        const auto set = [](const char* name, const std::string& value) {
            ASSERT_EQ(test::write_file(std::string("/proc/sys/kernel/") + name, value), 0) << name;
        };
        make_odd_objects();
        set("shmmax", "0");
        set("shmall", "0");
        set("shmmni", "0");
        set("msgmax", "0");
        set("msgmnb", "2147483647");
        set("msgmni", "1");
        set("sem", "1 2 3 4");
        expect_equal_sums();
        set("shmmax", "18446744073709551615");
        set("shmmni", "32768");
        set("msgmax", "2147483647");
        set("sem", "65536 2147483647 2147483647 32768");
        for (const char* pages : {"1", "4503599627370495", "4503599627370496", "4611686018427387903",
                                  "4611686018427387904", "18446744073709551615"}) {
            set("shmall", pages);
            expect_equal_sums();
        }
    });
}

} // namespace
} // namespace ipcns::cli
