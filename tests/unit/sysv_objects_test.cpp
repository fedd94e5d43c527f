// SPDX-License-Identifier: Apache-2.0
// System V objects one by one: listed and found against /proc/sysvipc, IPC_STAT, ipcs(1) and lsipc(1); made and removed
// against what msgctl(2), semctl(2) and shmctl(2) say afterwards. Each test has namespaces of its own, in a child
// process, so that nothing outlives it.
#include "errand.hpp"
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/sysv.hpp>

#include <nlohmann/json.hpp>

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>

#include <atomic>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace ipcns {
namespace {

using test::in_fork;
using test::in_new_namespaces;

const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));

// ---- The raw side ----

int checked(int result, const char* call) {
    if (result < 0) test::broken(call);
    return result;
}

int raw_queue(std::uint32_t key = 0, int mode = 0600) {
    return checked(::msgget(static_cast<key_t>(key), IPC_CREAT | IPC_EXCL | mode), "msgget");
}

int raw_set(int count, std::uint32_t key = 0, int mode = 0600) {
    return checked(::semget(static_cast<key_t>(key), count, IPC_CREAT | IPC_EXCL | mode), "semget");
}

int raw_segment(std::uint64_t bytes, std::uint32_t key = 0, int mode = 0600) {
    return checked(::shmget(static_cast<key_t>(key), bytes, IPC_CREAT | IPC_EXCL | mode), "shmget");
}

void raw_send(int queue, std::size_t bytes, int flags = 0) {
    struct {
        long type = 1;
        char text[4096] = {};
    } message;
    checked(::msgsnd(queue, &message, bytes, flags), "msgsnd");
}

void raw_receive(int queue) {
    struct {
        long type;
        char text[4096];
    } message;
    checked(static_cast<int>(::msgrcv(queue, &message, sizeof message.text, 0, IPC_NOWAIT)), "msgrcv");
}

struct msqid_ds stat_of_queue(int id) {
    struct msqid_ds about {};
    checked(::msgctl(id, IPC_STAT, &about), "msgctl(IPC_STAT)");
    return about;
}

struct semid_ds stat_of_set(int id) {
    struct semid_ds about {};
    checked(::semctl(id, 0, IPC_STAT, &about), "semctl(IPC_STAT)");
    return about;
}

struct shmid_ds stat_of_segment(int id) {
    struct shmid_ds about {};
    checked(::shmctl(id, IPC_STAT, &about), "shmctl(IPC_STAT)");
    return about;
}

bool queue_is_there(int id) {
    struct msqid_ds about {};
    return ::msgctl(id, IPC_STAT, &about) == 0 || errno == EACCES;
}

bool set_is_there(int id) {
    struct semid_ds about {};
    return ::semctl(id, 0, IPC_STAT, &about) == 0 || errno == EACCES;
}

bool segment_is_there(int id) {
    struct shmid_ds about {};
    return ::shmctl(id, IPC_STAT, &about) == 0 || errno == EACCES;
}

// A table of /proc/sysvipc: a line for each object, column by heading.
using Line = std::map<std::string, std::string>;

std::vector<Line> table(const std::string& name) {
    std::istringstream text(test::read_file("/proc/sysvipc/" + name));
    std::string line;
    std::getline(text, line);
    std::istringstream heading(line);
    std::vector<std::string> columns;
    for (std::string column; heading >> column;) columns.push_back(column);
    std::vector<Line> lines;
    while (std::getline(text, line)) {
        std::istringstream words(line);
        Line one;
        for (const auto& column : columns) words >> one[column];
        lines.push_back(one);
    }
    return lines;
}

std::string text_of(Moment moment) { return std::to_string(moment ? moment->time_since_epoch().count() : 0); }

std::string octal(mode_t mode) {
    std::ostringstream text;
    text << std::oct << mode;
    return text.str();
}

// The columns that all three tables have, from a record.
template <class Record>
Line common(const Record& record, const std::string& id_name) {
    Line line;
    line["key"] = std::to_string(static_cast<std::int32_t>(record.key));
    line[id_name] = std::to_string(static_cast<int>(record.id));
    line["uid"] = std::to_string(record.who.owner);
    line["gid"] = std::to_string(record.who.group);
    line["cuid"] = std::to_string(record.who.creator);
    line["cgid"] = std::to_string(record.who.creator_group);
    line["perms"] = octal(record.who.mode);
    line["ctime"] = text_of(record.changed);
    return line;
}

Line line_of(const QueueRecord& record) {
    Line line = common(record, "msqid");
    line["cbytes"] = std::to_string(record.bytes);
    line["qnum"] = std::to_string(record.messages);
    line["lspid"] = std::to_string(record.last_sender);
    line["lrpid"] = std::to_string(record.last_receiver);
    line["stime"] = text_of(record.sent);
    line["rtime"] = text_of(record.received);
    return line;
}

Line line_of(const SemaphoreSetRecord& record) {
    Line line = common(record, "semid");
    line["nsems"] = std::to_string(record.count);
    line["otime"] = text_of(record.operated);
    return line;
}

Line line_of(const SegmentRecord& record) {
    Line line = common(record, "shmid");
    line["perms"] = octal(record.who.mode | (record.removed ? 01000U : 0U) | (record.locked ? 02000U : 0U));
    line["size"] = std::to_string(record.bytes);
    line["cpid"] = std::to_string(record.creator_pid);
    line["lpid"] = std::to_string(record.last_pid);
    line["nattch"] = std::to_string(record.attached);
    line["atime"] = text_of(record.attach_time);
    line["dtime"] = text_of(record.detach_time);
    if (record.resident) line["rss"] = std::to_string(*record.resident);
    if (record.swapped) line["swap"] = std::to_string(*record.swapped);
    return line;
}

template <class Record>
std::vector<Line> lines_of(const std::vector<Record>& records) {
    std::vector<Line> lines;
    for (const auto& record : records) lines.push_back(line_of(record));
    return lines;
}

// The lists say what the kernel's tables say, in every column of them and in the same order.
void expect_lists_like_the_tables() {
    EXPECT_EQ(lines_of(list_queues()), table("msg"));
    EXPECT_EQ(lines_of(list_semaphore_sets()), table("sem"));
    EXPECT_EQ(lines_of(list_segments(SegmentMemory::read)), table("shm"));
}

Moment moment_of(time_t seconds) { return std::chrono::sys_seconds(std::chrono::seconds(seconds)); }

template <class Function>
int error_of(Function function) {
    try {
        function();
    } catch (const Error& error) {
        return error.code().value();
    }
    return 0;
}

template <class Function>
std::string hint_of(Function function) {
    try {
        function();
    } catch (const Error& error) {
        return error.hint();
    }
    return "nothing was thrown";
}

// For a child process of root's: an ordinary user without any capability.
void become_nobody() {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0)
        test::broken("setresuid");
}

class SysvObjects : public testing::Test {
protected:
    void SetUp() override { NeedNamespaces(); }
};

// ---- Listing ----

TEST_F(SysvObjects, AnEmptyNamespaceHasNone) {
    in_new_namespaces([] {
        EXPECT_TRUE(list_queues().empty());
        EXPECT_TRUE(list_semaphore_sets().empty());
        EXPECT_TRUE(list_segments().empty());
        EXPECT_TRUE(list_segments(SegmentMemory::read).empty());
    });
}

// A long list is made by two threads.
TEST_F(SysvObjects, SomeThousandAreListedEachOnceAndInOrder) {
    in_new_namespaces([] {
        std::vector<int> made;
        for (int i = 0; i < 3001; ++i) made.push_back(raw_queue());
        for (const std::size_t gap : {0U, 1499U, 1500U, 1501U, 3000U})
            checked(::msgctl(made[gap], IPC_RMID, nullptr), "msgctl");
        for (const std::size_t gap : {3000U, 1501U, 1500U, 1499U, 0U})
            made.erase(made.begin() + static_cast<std::ptrdiff_t>(gap));
        std::vector<int> listed;
        for (const auto& record : list_queues()) listed.push_back(static_cast<int>(record.id));
        EXPECT_EQ(listed, made);
        // Where no thread may be started, the same.
        std::vector<int> on_errand;
        errand("list", 0, [&] {
            for (const auto& record : list_queues()) on_errand.push_back(static_cast<int>(record.id));
        });
        EXPECT_EQ(on_errand, made);
    });
}

TEST_F(SysvObjects, EveryFieldOfAQueue) {
    in_new_namespaces([] {
        const int id = raw_queue(0x80000001U, 0640);
        auto records = list_queues();
        ASSERT_EQ(records.size(), 1U);
        EXPECT_EQ(records[0].messages, 0U);
        EXPECT_EQ(records[0].last_sender, 0);
        EXPECT_EQ(records[0].last_receiver, 0);
        EXPECT_EQ(records[0].sent, Moment{});
        EXPECT_EQ(records[0].received, Moment{});

        raw_send(id, 10);
        raw_send(id, 20);
        std::array<int, 2> ends{};
        ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
        ASSERT_EQ(in_fork([&] {
                      raw_receive(id);
                      const pid_t self = ::getpid();
                      return ::write(ends[1], &self, sizeof self) == sizeof self ? 0 : 1;
                  }),
                  0);
        pid_t receiver = 0;
        ASSERT_EQ(::read(ends[0], &receiver, sizeof receiver), static_cast<ssize_t>(sizeof receiver));
        records = list_queues();
        ASSERT_EQ(records.size(), 1U);
        const QueueRecord& record = records[0];
        const struct msqid_ds about = stat_of_queue(id);
        EXPECT_EQ(record.id, QueueId{id});
        EXPECT_EQ(record.key, Key{0x80000001U});
        EXPECT_EQ(record.who.owner, ::geteuid());
        EXPECT_EQ(record.who.group, ::getegid());
        EXPECT_EQ(record.who.creator, ::geteuid());
        EXPECT_EQ(record.who.creator_group, ::getegid());
        EXPECT_EQ(record.who.mode, 0640U);
        EXPECT_EQ(record.messages, 1U);
        EXPECT_EQ(record.bytes, 20U);
        EXPECT_EQ(record.limit, about.msg_qbytes);
        EXPECT_GT(record.limit, 20U);
        EXPECT_EQ(record.last_sender, ::getpid());
        EXPECT_EQ(record.last_receiver, receiver);
        EXPECT_EQ(record.sent, moment_of(about.msg_stime));
        EXPECT_EQ(record.received, moment_of(about.msg_rtime));
        EXPECT_EQ(record.changed, moment_of(about.msg_ctime));
        const auto ago = std::chrono::system_clock::now() - *record.changed;
        EXPECT_GE(ago, std::chrono::seconds(-1));
        EXPECT_LT(ago, std::chrono::minutes(5));
        expect_lists_like_the_tables();
    });
}

TEST_F(SysvObjects, EveryFieldOfASemaphoreSet) {
    in_new_namespaces([] {
        const int id = raw_set(7, 0xffffffffU, 0604);
        EXPECT_EQ(list_semaphore_sets().at(0).operated, Moment{});
        struct sembuf post {
            3, 1, 0
        };
        ASSERT_EQ(::semop(id, &post, 1), 0);
        const auto records = list_semaphore_sets();
        ASSERT_EQ(records.size(), 1U);
        const struct semid_ds about = stat_of_set(id);
        EXPECT_EQ(records[0].id, SemaphoreSetId{id});
        EXPECT_EQ(records[0].key, Key{0xffffffffU});
        EXPECT_EQ(records[0].who.owner, ::geteuid());
        EXPECT_EQ(records[0].who.mode, 0604U);
        EXPECT_EQ(records[0].count, 7U);
        EXPECT_EQ(records[0].operated, moment_of(about.sem_otime));
        EXPECT_EQ(records[0].changed, moment_of(about.sem_ctime));
        expect_lists_like_the_tables();
    });
}

TEST_F(SysvObjects, EveryFieldOfASegment) {
    in_new_namespaces([] {
        const int id = raw_segment(3 * page + 1, 0x7fffffffU, 0);
        auto record = list_segments().at(0);
        EXPECT_EQ(record.id, SegmentId{id});
        EXPECT_EQ(record.key, Key{0x7fffffffU});
        EXPECT_EQ(record.who.mode, 0U);
        EXPECT_EQ(record.bytes, 3 * page + 1);
        EXPECT_EQ(record.attached, 0U);
        EXPECT_EQ(record.creator_pid, ::getpid());
        EXPECT_EQ(record.last_pid, 0);
        EXPECT_EQ(record.attach_time, Moment{});
        EXPECT_EQ(record.detach_time, Moment{});
        EXPECT_FALSE(record.removed);
        EXPECT_FALSE(record.locked);

        void* first = ::shmat(id, nullptr, 0);
        void* second = ::shmat(id, nullptr, 0);
        ASSERT_NE(first, reinterpret_cast<void*>(-1));
        ASSERT_NE(second, reinterpret_cast<void*>(-1));
        record = list_segments().at(0);
        EXPECT_EQ(record.attached, 2U);
        EXPECT_EQ(record.last_pid, ::getpid());
        EXPECT_EQ(record.attach_time, moment_of(stat_of_segment(id).shm_atime));
        EXPECT_EQ(record.detach_time, Moment{});
        expect_lists_like_the_tables();

        ASSERT_EQ(::shmdt(first), 0);
        record = list_segments().at(0);
        EXPECT_EQ(record.attached, 1U);
        EXPECT_EQ(record.detach_time, moment_of(stat_of_segment(id).shm_dtime));
        EXPECT_EQ(record.changed, moment_of(stat_of_segment(id).shm_ctime));
        expect_lists_like_the_tables();
    });
}

TEST_F(SysvObjects, ARemovedSegmentThatIsStillAttached) {
    in_new_namespaces([] {
        const int id = raw_segment(page, 0x1234);
        void* memory = ::shmat(id, nullptr, 0);
        ASSERT_EQ(::shmctl(id, IPC_RMID, nullptr), 0);
        const auto records = list_segments();
        ASSERT_EQ(records.size(), 1U);
        EXPECT_EQ(records[0].id, SegmentId{id});
        EXPECT_TRUE(records[0].removed);
        EXPECT_EQ(records[0].key, Key::none);
        EXPECT_EQ(records[0].who.mode, 0600U);
        EXPECT_FALSE(find_segment(Key{0x1234}));
        EXPECT_EQ(find_segment(SegmentId{id}), records[0]);
        expect_lists_like_the_tables();
        ASSERT_EQ(::shmdt(memory), 0);
        EXPECT_TRUE(list_segments().empty());
        EXPECT_FALSE(find_segment(SegmentId{id}));
    });
}

TEST_F(SysvObjects, ALockedSegment) {
    in_new_namespaces([] {
        const int id = raw_segment(page);
        if (::shmctl(id, SHM_LOCK, nullptr) != 0) return; // RLIMIT_MEMLOCK is 0
        EXPECT_TRUE(list_segments().at(0).locked);
        EXPECT_FALSE(list_segments().at(0).removed);
        EXPECT_EQ(list_segments().at(0).who.mode, 0600U);
        ASSERT_EQ(::shmctl(id, SHM_UNLOCK, nullptr), 0);
        EXPECT_FALSE(list_segments().at(0).locked);
    });
}

TEST_F(SysvObjects, MemoryOfSegmentsIsReadWhenAskedFor) {
    in_new_namespaces([] {
        const int untouched = raw_segment(10 * page, 1);
        const int touched = raw_segment(10 * page, 2);
        auto* memory = static_cast<char*>(::shmat(touched, nullptr, 0));
        for (std::uint64_t i = 0; i < 3; ++i) memory[i * 2 * page] = 'x';

        auto records = list_segments(SegmentMemory::read);
        ASSERT_EQ(records.size(), 2U);
        EXPECT_EQ(records[0].resident, 0U);
        EXPECT_EQ(records[0].swapped, 0U);
        EXPECT_EQ(records[1].resident, 3 * page);
        EXPECT_EQ(records[1].swapped, 0U);
        EXPECT_EQ(find_segment(SegmentId{touched}, SegmentMemory::read)->resident, 3 * page);
        EXPECT_EQ(find_segment(Key{2}, SegmentMemory::read)->resident, 3 * page);
        EXPECT_EQ(find_segment(SegmentId{untouched}, SegmentMemory::read)->resident, 0U);

        for (const auto& record : list_segments()) {
            EXPECT_FALSE(record.resident);
            EXPECT_FALSE(record.swapped);
        }
        EXPECT_FALSE(find_segment(Key{2})->resident);
    });
}

TEST_F(SysvObjects, MemoryOfManySegments) {
    in_new_namespaces([] { // more lines than one read(2) gives
        constexpr std::size_t count = 500;
        for (std::size_t i = 0; i < count; ++i) {
            const int id = raw_segment(2 * page);
            auto* memory = static_cast<char*>(::shmat(id, nullptr, 0));
            if (i % 2 == 1) *memory = 'x';
            ASSERT_EQ(::shmdt(memory), 0);
        }
        const auto records = list_segments(SegmentMemory::read);
        ASSERT_EQ(records.size(), count);
        for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(records[i].resident, i % 2 == 1 ? page : 0) << i;
        expect_lists_like_the_tables();
    });
}

TEST_F(SysvObjects, WithoutProcThereIsNoMemory) {
    in_new_namespaces([] {
        raw_segment(page, 0x11);
        ASSERT_EQ(::mount("none", "/proc", "tmpfs", 0, nullptr), 0);
        const auto records = list_segments(SegmentMemory::read);
        ASSERT_EQ(records.size(), 1U);
        EXPECT_FALSE(records[0].resident);
        EXPECT_FALSE(records[0].swapped);
        EXPECT_EQ(records[0].key, Key{0x11});
    });
}

TEST_F(SysvObjects, AThreadSeesTheNamespaceThatItIsIn) {
    in_new_namespaces([] {
        raw_segment(page, 0x11);
        raw_queue(0x22);
        raw_set(1, 0x33);
        std::thread([] {
            const int outer = ::open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC);
            ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
            EXPECT_TRUE(list_segments(SegmentMemory::read).empty());
            EXPECT_FALSE(find_queue(Key{0x22}));
            const int id = raw_segment(4 * page, 0x11);
            auto* memory = static_cast<char*>(::shmat(id, nullptr, 0));
            memory[0] = memory[page] = 'x';
            const auto records = list_segments(SegmentMemory::read);
            ASSERT_EQ(records.size(), 1U);
            EXPECT_EQ(records[0].bytes, 4 * page);
            EXPECT_EQ(records[0].resident, 2 * page); // as the kernel counts in this namespace
            ::shmdt(memory);
            ASSERT_EQ(::setns(outer, CLONE_NEWIPC), 0);
            ::close(outer);
            EXPECT_EQ(list_segments(SegmentMemory::read).at(0).resident, 0U);
            EXPECT_TRUE(find_queue(Key{0x22}));
        }).join();
        const auto records = list_segments(SegmentMemory::read);
        ASSERT_EQ(records.size(), 1U);
        EXPECT_EQ(records[0].bytes, page);
        EXPECT_EQ(records[0].resident, 0U);
        EXPECT_TRUE(find_queue(Key{0x22}));
    });
}

TEST_F(SysvObjects, WhatTheCallerMayNotReadIsThereToo) {
    NeedRoot();
    in_new_namespaces([] {
        const int queue = raw_queue(0x11, 0);
        const int set = raw_set(2, 0x22, 0);
        const int segment = raw_segment(page, 0x33, 0);
        become_nobody();
        struct msqid_ds about {};
        ASSERT_EQ(::msgctl(queue, IPC_STAT, &about), -1);
        ASSERT_EQ(errno, EACCES);
        expect_lists_like_the_tables();
        ASSERT_EQ(list_queues().size(), 1U);
        EXPECT_EQ(list_queues()[0].who, (Ownership{0, 0, 0, 0, 0}));
        EXPECT_EQ(find_queue(QueueId{queue}), list_queues().at(0));
        EXPECT_EQ(find_queue(Key{0x11}), list_queues().at(0));
        EXPECT_EQ(find_semaphore_set(SemaphoreSetId{set}), list_semaphore_sets().at(0));
        EXPECT_EQ(find_semaphore_set(Key{0x22}), list_semaphore_sets().at(0));
        EXPECT_EQ(find_segment(SegmentId{segment}), list_segments().at(0));
        EXPECT_EQ(find_segment(Key{0x33}), list_segments().at(0));
        EXPECT_EQ(error_of([&] { (void)read_semaphores(SemaphoreSetId{set}); }), EACCES);
    });
}

TEST_F(SysvObjects, OwnersWithoutAMappingShowAsTheOverflowId) {
    in_new_namespaces([] {
        const int id = raw_queue(0x11);
        raw_set(1);
        raw_segment(page);
        EXPECT_EQ(find_queue(QueueId{id})->who.owner, ::geteuid());
        ASSERT_EQ(::unshare(CLONE_NEWUSER), 0); // maps nobody
        const auto record = find_queue(QueueId{id});
        ASSERT_TRUE(record);
        EXPECT_EQ(record->who, (Ownership{65534, 65534, 65534, 65534, 0600}));
        expect_lists_like_the_tables();
    });
}

TEST_F(SysvObjects, ProcessesOfAnotherPidNamespaceShowAsNone) {
    in_new_namespaces([] {
        const int queue = raw_queue(0x11);
        raw_send(queue, 1);
        const int segment = raw_segment(page);
        ASSERT_EQ(::shmdt(::shmat(segment, nullptr, 0)), 0);
        EXPECT_EQ(find_segment(SegmentId{segment})->last_pid, ::getpid());
        ASSERT_EQ(::unshare(CLONE_NEWPID), 0);
        EXPECT_EQ(in_fork([&] {
                      EXPECT_EQ(::getpid(), 1);
                      EXPECT_EQ(find_queue(QueueId{queue})->last_sender, 0);
                      EXPECT_TRUE(find_queue(QueueId{queue})->sent);
                      EXPECT_EQ(find_segment(SegmentId{segment})->creator_pid, 0);
                      EXPECT_EQ(find_segment(SegmentId{segment})->last_pid, 0);
                      return testing::Test::HasFailure() ? 1 : 0;
                  }),
                  0);
    });
}

TEST_F(SysvObjects, HolesInTheTable) {
    in_new_namespaces([] {
        std::vector<int> queues;
        std::vector<int> sets;
        std::vector<int> segments;
        for (int i = 0; i < 50; ++i) {
            queues.push_back(raw_queue());
            sets.push_back(raw_set(1));
            segments.push_back(raw_segment(1));
        }
        for (std::size_t i = 0; i < 50; ++i) {
            if (i % 7 == 3) continue;
            ASSERT_EQ(::msgctl(queues[i], IPC_RMID, nullptr), 0);
            ASSERT_EQ(::semctl(sets[i], 0, IPC_RMID), 0);
            ASSERT_EQ(::shmctl(segments[i], IPC_RMID, nullptr), 0);
        }
        EXPECT_EQ(list_queues().size(), 7U);
        EXPECT_EQ(list_queues().back().id, QueueId{queues[45]});
        EXPECT_FALSE(find_queue(QueueId{queues[0]}));
        EXPECT_FALSE(find_semaphore_set(SemaphoreSetId{sets[0]}));
        EXPECT_FALSE(find_segment(SegmentId{segments[0]}));
        expect_lists_like_the_tables();
    });
}

TEST_F(SysvObjects, ASegmentOfATebibyteThatNobodyTouches) {
    in_new_namespaces([] {
        constexpr std::uint64_t tebibyte = std::uint64_t{1} << 40;
        const int id = raw_segment(tebibyte, 0x11, 0600 | SHM_NORESERVE);
        EXPECT_EQ(find_segment(SegmentId{id})->bytes, tebibyte);
        EXPECT_EQ(find_segment(SegmentId{id}, SegmentMemory::read)->resident, 0U);
        expect_lists_like_the_tables();
        EXPECT_EQ(make_segment(Key{0x11}, tebibyte), SegmentId{id});
        const SegmentId made =
            make_segment(Key{0x12}, tebibyte, {{.exclusive = true}, false, 0, true, false});
        EXPECT_EQ(stat_of_segment(static_cast<int>(made)).shm_segsz, tebibyte);
    });
}

TEST_F(SysvObjects, ASetOf32000Semaphores) {
    in_new_namespaces([] {
        constexpr std::size_t count = 32000;
        // The default of today's kernels, but not of old ones or of every host.
        test::write_file("/proc/sys/kernel/sem", "32000 1024000000 500 32000");
        std::vector<unsigned short> values(count);
        for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<unsigned short>(i);
        const SemaphoreSetId id = make_semaphore_set(Key{0x11}, count, {}, values);
        std::vector<unsigned short> raw(count);
        ASSERT_EQ(::semctl(static_cast<int>(id), 0, GETALL, raw.data()), 0);
        EXPECT_EQ(raw, values);
        EXPECT_EQ(find_semaphore_set(id)->count, count);
        const auto states = read_semaphores(id);
        ASSERT_EQ(states.size(), count);
        for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(states[i].value, static_cast<int>(i));
        EXPECT_EQ(error_of([] { make_semaphore_set(Key::none, count + 1); }), EINVAL);
    });
}

TEST_F(SysvObjects, AlmostAll32BitsOfAKeyAreAName) {
    in_new_namespaces([] {
        for (const std::uint32_t key : {0x1U, 0x7fffffffU, 0x80000000U, 0xdeadbeefU, 0xffffffffU}) {
            const int queue = raw_queue(key);
            const int set = raw_set(1, key);
            const int segment = raw_segment(1, key);
            EXPECT_EQ(find_queue(Key{key})->id, QueueId{queue});
            EXPECT_EQ(find_queue(Key{key})->key, Key{key});
            EXPECT_EQ(find_semaphore_set(Key{key})->id, SemaphoreSetId{set});
            EXPECT_EQ(find_segment(Key{key})->id, SegmentId{segment});
            EXPECT_FALSE(find_queue(Key{key ^ 0x40000000U}));
        }
        expect_lists_like_the_tables();
    });
}

TEST_F(SysvObjects, TheKeyZeroFindsNothingAndMakesNothing) {
    in_new_namespaces([] {
        raw_queue(0);
        raw_set(1, 0);
        raw_segment(1, 0);
        EXPECT_FALSE(find_queue(Key::none));
        EXPECT_FALSE(find_semaphore_set(Key::none));
        EXPECT_FALSE(find_segment(Key::none));
        EXPECT_EQ(table("msg").size(), 1U);
        EXPECT_EQ(table("sem").size(), 1U);
        EXPECT_EQ(table("shm").size(), 1U);
        EXPECT_EQ(list_queues().at(0).key, Key::none);
    });
}

TEST_F(SysvObjects, AnIdWithAnotherSequenceNumberIsAnotherObjects) {
    in_new_namespaces([] {
        const int queue = raw_queue();
        const int set = raw_set(1);
        const int segment = raw_segment(1);
        constexpr int in_sequence = 1 << 30; // whatever the number of bits that the index has
        struct msqid_ds about {};
        ASSERT_EQ(::msgctl(queue ^ in_sequence, MSG_STAT_ANY, &about), queue); // what the kernel would say
        EXPECT_FALSE(find_queue(QueueId{queue ^ in_sequence}));
        EXPECT_FALSE(find_semaphore_set(SemaphoreSetId{set ^ in_sequence}));
        EXPECT_FALSE(find_segment(SegmentId{segment ^ in_sequence}));
        EXPECT_FALSE(find_queue(QueueId{-1}));
        EXPECT_FALSE(find_queue(QueueId{12345}));
        EXPECT_EQ(error_of([&] { remove(QueueId{queue ^ in_sequence}); }), EINVAL);
        EXPECT_TRUE(queue_is_there(queue));
        EXPECT_EQ(error_of([&] { (void)read_semaphores(SemaphoreSetId{set ^ in_sequence}); }), EINVAL);
    });
}

TEST_F(SysvObjects, WhatStaysIsListedWhileOthersComeAndGo) {
    in_new_namespaces([] {
        std::set<int> steady;
        std::vector<int> passing;
        for (int i = 0; i < 60; ++i) {
            const int id = raw_segment(page);
            if (i % 3 == 0)
                steady.insert(id);
            else
                passing.push_back(id);
        }
        std::atomic<bool> stop = false;
        std::thread other([&] {
            std::minstd_rand random(1);
            while (!stop) {
                int& id = passing[random() % passing.size()];
                ::shmctl(id, IPC_RMID, nullptr);
                id = ::shmget(IPC_PRIVATE, page, 0600);
            }
        });
        for (int round = 0; round < 500; ++round) {
            const auto records = list_segments(round % 2 == 0 ? SegmentMemory::skip : SegmentMemory::read);
            std::set<int> seen;
            for (const auto& record : records) {
                EXPECT_TRUE(seen.insert(static_cast<int>(record.id)).second) << "listed twice";
                EXPECT_EQ(record.bytes, page);
            }
            EXPECT_TRUE(std::includes(seen.begin(), seen.end(), steady.begin(), steady.end()));
            (void)find_segment(SegmentId{passing[0]});
            if (HasFailure()) break;
        }
        stop = true;
        other.join();
    });
}

// Random objects by plain system calls, with random things done to them: the lists must say what the tables say.
TEST_F(SysvObjects, RandomObjectsAreListedAsTheyAre) {
    for (unsigned seed = 1; seed <= 20; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed));
        in_new_namespaces([seed] {
            std::mt19937 random(seed);
            const auto below = [&](unsigned bound) { return static_cast<int>(random() % bound); };
            std::vector<int> queues;
            std::vector<int> sets;
            std::vector<int> segments;
            std::vector<void*> mappings;
            const auto one_of = [&](const std::vector<int>& ids) {
                return ids.empty() ? -1
                                   : ids[static_cast<std::size_t>(below(static_cast<unsigned>(ids.size())))];
            };
            const auto keep = [](std::vector<int>& ids, int id) {
                if (id >= 0) ids.push_back(id);
            };
            for (int step = 0; step < 400; ++step) {
                const auto key = static_cast<key_t>(below(4) == 0 ? 0 : static_cast<int>(random()));
                const int flags = IPC_CREAT | IPC_EXCL | below(01000);
                switch (below(12)) {
                case 0: keep(queues, ::msgget(key, flags)); break;
                case 1: keep(sets, ::semget(key, 1 + below(40), flags)); break;
                case 2:
                case 3:
                    keep(segments, ::shmget(key, 1 + static_cast<std::size_t>(below(100000)), flags));
                    break;
                case 4: {
                    struct {
                        long type;
                        char text[512];
                    } message{1 + below(9), {}};
                    ::msgsnd(one_of(queues), &message, static_cast<std::size_t>(below(512)), IPC_NOWAIT);
                    break;
                }
                case 5: {
                    struct {
                        long type;
                        char text[512];
                    } message;
                    ::msgrcv(one_of(queues), &message, sizeof message.text, 0, IPC_NOWAIT);
                    break;
                }
                case 6: {
                    struct sembuf operation {
                        0, static_cast<short>(below(5) - 1), IPC_NOWAIT
                    };
                    ::semop(one_of(sets), &operation, 1);
                    break;
                }
                case 7:
                case 8: {
                    void* memory = ::shmat(one_of(segments), nullptr, SHM_RDONLY * below(2));
                    if (memory != reinterpret_cast<void*>(-1)) mappings.push_back(memory);
                    break;
                }
                case 9:
                    if (!mappings.empty()) {
                        ::shmdt(mappings.back());
                        mappings.pop_back();
                    }
                    break;
                case 10:
                    if (below(3) == 0) ::msgctl(one_of(queues), IPC_RMID, nullptr);
                    if (below(3) == 0) ::semctl(one_of(sets), 0, IPC_RMID);
                    if (below(3) == 0) ::shmctl(one_of(segments), IPC_RMID, nullptr);
                    break;
                case 11: {
                    struct shmid_ds about {};
                    about.shm_perm.uid = ::geteuid();
                    about.shm_perm.gid = ::getegid();
                    about.shm_perm.mode = static_cast<mode_t>(below(01000));
                    ::shmctl(one_of(segments), below(2) == 0 ? IPC_SET : SHM_LOCK, &about);
                    break;
                }
                }
                if (step % 40 != 39) continue;
                expect_lists_like_the_tables();
                for (const auto& record : list_queues()) {
                    EXPECT_EQ(find_queue(record.id), record);
                    if (record.key != Key::none) {
                        EXPECT_EQ(find_queue(record.key), record);
                    }
                }
                for (const auto& record : list_semaphore_sets()) {
                    EXPECT_EQ(find_semaphore_set(record.id), record);
                    if (record.key != Key::none) {
                        EXPECT_EQ(find_semaphore_set(record.key), record);
                    }
                }
                for (const auto& record : list_segments()) {
                    EXPECT_EQ(find_segment(record.id), record);
                    if (record.key != Key::none) {
                        EXPECT_EQ(find_segment(record.key), record);
                    }
                }
                if (HasFailure()) return;
            }
            EXPECT_GT(list_queues().size() + list_semaphore_sets().size() + list_segments().size(), 10U);
        });
        if (HasFailure()) break;
    }
}

// ---- The peers as oracle ----

std::string output_of(const std::string& command) {
    std::FILE* pipe = ::popen(("LC_ALL=C " + command).c_str(), "re");
    if (pipe == nullptr) test::broken("popen");
    std::string text;
    std::array<char, 4096> buffer;
    while (const std::size_t length = std::fread(buffer.data(), 1, buffer.size(), pipe))
        text.append(buffer.data(), length);
    ::pclose(pipe);
    return text;
}

bool is_installed(const std::string& program) {
    return in_fork([&] {
               return std::system(("command -v " + program + " >/dev/null").c_str()) == 0 ? 0 : 1;
           }) == 0;
}

// Some of each kind, none like another.
void make_an_assortment() {
    for (int i = 0; i < 4; ++i) {
        const auto n = static_cast<unsigned>(i);
        const int queue = raw_queue(0x80000000U + n, 0600 + 011 * i);
        for (int k = 0; k < i; ++k) raw_send(queue, 10 * n + 1);
        if (i == 3) raw_receive(queue);
        raw_set(1 + 3 * i, 0x100 + n, 0640);
        const int segment = raw_segment(page * n + 17, 0xabc0 + n, 0606);
        for (int k = 0; k < i; ++k) (void)::shmat(segment, nullptr, 0);
        if (i == 2) ::shmctl(segment, IPC_RMID, nullptr);
    }
}

TEST_F(SysvObjects, AsLsipcSays) {
    if (!is_installed("lsipc")) GTEST_SKIP() << "lsipc is not installed";
    in_new_namespaces([] {
        make_an_assortment();
        const auto objects = [](const std::string& options, const char* name) {
            return nlohmann::json::parse(output_of("lsipc --json --bytes --numeric-perms " + options))
                .at(name);
        };
        // Numbers are words in some versions and numbers in others.
        const auto word = [](const nlohmann::json& value) {
            return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
        };
        const auto number = [&](const nlohmann::json& object, const char* field, int base = 10) {
            return std::stoull(word(object.at(field)), nullptr, base);
        };
        const auto expect_common = [&](const nlohmann::json& its, const auto& record) {
            EXPECT_EQ(number(its, "key", 16), static_cast<std::uint32_t>(record.key));
            EXPECT_EQ(number(its, "id"), static_cast<std::uint64_t>(record.id));
            if (!its.at("perms").is_null()) { // util-linux 2.38 says nothing here for a queue
                EXPECT_EQ(number(its, "perms", 8), record.who.mode);
            }
            EXPECT_EQ(number(its, "uid"), record.who.owner);
            EXPECT_EQ(number(its, "gid"), record.who.group);
            EXPECT_EQ(number(its, "cuid"), record.who.creator);
            // util-linux 2.38 prints the user once more.
            const auto group = number(its, "cgid");
            EXPECT_TRUE(group == record.who.creator_group || group == record.who.creator) << group;
        };
        const std::string columns = "KEY,ID,PERMS,UID,GID,CUID,CGID,";

        const auto queues = list_queues();
        const auto its_queues = objects("-q -o " + columns + "USEDBYTES,MSGS,LSPID,LRPID", "messages");
        ASSERT_EQ(its_queues.size(), queues.size());
        ASSERT_EQ(queues.size(), 4U);
        for (std::size_t i = 0; i < queues.size(); ++i) {
            expect_common(its_queues[i], queues[i]);
            EXPECT_EQ(number(its_queues[i], "usedbytes"), queues[i].bytes);
            EXPECT_EQ(number(its_queues[i], "msgs"), queues[i].messages);
            EXPECT_EQ(number(its_queues[i], "lspid"), static_cast<unsigned>(queues[i].last_sender));
            EXPECT_EQ(number(its_queues[i], "lrpid"), static_cast<unsigned>(queues[i].last_receiver));
        }
        const auto sets = list_semaphore_sets();
        const auto its_sets = objects("-s -o " + columns + "NSEMS", "semaphores");
        ASSERT_EQ(its_sets.size(), sets.size());
        for (std::size_t i = 0; i < sets.size(); ++i) {
            expect_common(its_sets[i], sets[i]);
            EXPECT_EQ(number(its_sets[i], "nsems"), sets[i].count);
        }
        const auto segments = list_segments();
        const auto its_segments =
            objects("-m -o " + columns + "SIZE,NATTCH,STATUS,CPID,LPID", "sharedmemory");
        ASSERT_EQ(its_segments.size(), segments.size());
        for (std::size_t i = 0; i < segments.size(); ++i) {
            expect_common(its_segments[i], segments[i]);
            EXPECT_EQ(number(its_segments[i], "size"), segments[i].bytes);
            EXPECT_EQ(number(its_segments[i], "nattch"), segments[i].attached);
            EXPECT_EQ(number(its_segments[i], "cpid"), static_cast<unsigned>(segments[i].creator_pid));
            EXPECT_EQ(number(its_segments[i], "lpid"), static_cast<unsigned>(segments[i].last_pid));
            EXPECT_EQ(word(its_segments[i].at("status")).find("dest") != std::string::npos,
                      segments[i].removed);
        }
    });
}

TEST_F(SysvObjects, AsIpcsSays) {
    if (!is_installed("ipcs")) GTEST_SKIP() << "ipcs is not installed";
    in_new_namespaces([] {
        make_an_assortment();
        // Lines "0x80000001 1 NAME 611 12 1" and the like: key, id, owner, mode, and two numbers of the kind's own.
        const auto lines = [](const std::string& option) {
            std::istringstream text(output_of("ipcs " + option));
            std::vector<std::vector<std::string>> found;
            for (std::string line; std::getline(text, line);) {
                if (!line.starts_with("0x")) continue;
                std::istringstream words(line);
                found.emplace_back();
                for (std::string one; words >> one;) found.back().push_back(one);
            }
            return found;
        };
        const auto start = [](const auto& record, const std::string& owner) {
            std::array<char, 16> key;
            std::snprintf(key.data(), key.size(), "0x%08x", static_cast<unsigned>(record.key));
            return std::vector<std::string>{key.data(), std::to_string(static_cast<int>(record.id)), owner,
                                            octal(record.who.mode)};
        };
        std::vector<std::vector<std::string>> ours;
        const auto its_queues = lines("-q");
        for (const auto& record : list_queues()) {
            ours.push_back(start(record, its_queues.at(ours.size()).at(2)));
            ours.back().push_back(std::to_string(record.bytes));
            ours.back().push_back(std::to_string(record.messages));
        }
        EXPECT_EQ(ours, its_queues);
        EXPECT_EQ(ours.size(), 4U);
        ours.clear();
        const auto its_sets = lines("-s");
        for (const auto& record : list_semaphore_sets()) {
            ours.push_back(start(record, its_sets.at(ours.size()).at(2)));
            ours.back().push_back(std::to_string(record.count));
        }
        EXPECT_EQ(ours, its_sets);
        ours.clear();
        const auto its_segments = lines("-m");
        for (const auto& record : list_segments()) {
            ours.push_back(start(record, its_segments.at(ours.size()).at(2)));
            ours.back().push_back(std::to_string(record.bytes));
            ours.back().push_back(std::to_string(record.attached));
            if (record.removed) ours.back().push_back("dest");
        }
        EXPECT_EQ(ours, its_segments);
    });
}

// ---- Semaphores one by one ----

TEST_F(SysvObjects, EverySemaphoreOfASet) {
    in_new_namespaces([] {
        const int id = raw_set(5);
        std::array<unsigned short, 5> values{0, 32767, 7, 0, 1};
        ASSERT_EQ(::semctl(id, 0, SETALL, values.data()), 0);
        // Children that block in semop(2).
        const auto blocked = [id](unsigned short number, short change) {
            const pid_t child = ::fork();
            if (child == 0) {
                ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                struct sembuf operation {
                    number, change, 0
                };
                ::semop(id, &operation, 1);
                ::_exit(0);
            }
            return child;
        };
        std::vector<pid_t> children{blocked(0, -1), blocked(0, -2), blocked(3, -1), blocked(2, 0)};
        for (int i = 0; i < 5000; ++i) {
            if (::semctl(id, 0, GETNCNT) == 2 && ::semctl(id, 3, GETNCNT) == 1 &&
                ::semctl(id, 2, GETZCNT) == 1)
                break;
            ::usleep(1000);
        }
        struct sembuf post {
            4, 1, 0
        };
        ASSERT_EQ(::semop(id, &post, 1), 0);

        const auto states = read_semaphores(SemaphoreSetId{id});
        ASSERT_EQ(states.size(), 5U);
        for (int i = 0; i < 5; ++i) {
            const SemaphoreState& state = states[static_cast<std::size_t>(i)];
            EXPECT_EQ(state.value, ::semctl(id, i, GETVAL)) << i;
            EXPECT_EQ(state.last, ::semctl(id, i, GETPID)) << i;
        }
        EXPECT_EQ(states[0], (SemaphoreState{0, ::getpid(), 2, 0}));
        EXPECT_EQ(states[1], (SemaphoreState{32767, ::getpid(), 0, 0}));
        EXPECT_EQ(states[2], (SemaphoreState{7, ::getpid(), 0, 1}));
        EXPECT_EQ(states[3], (SemaphoreState{0, ::getpid(), 1, 0}));
        EXPECT_EQ(states[4], (SemaphoreState{2, ::getpid(), 0, 0}));
        const auto record = find_semaphore_set(SemaphoreSetId{id});
        ASSERT_TRUE(record.has_value());
        EXPECT_EQ(read_semaphores(*record), states);
        const auto without = read_semaphores(*record, SemaphoreWaiters::skip);
        ASSERT_EQ(without.size(), 5U);
        EXPECT_EQ(without[0], (SemaphoreState{0, ::getpid(), 0, 0}));
        EXPECT_EQ(without[2], (SemaphoreState{7, ::getpid(), 0, 0}));

        remove(SemaphoreSetId{id}); // wakes the children
        for (const pid_t child : children) ::waitpid(child, nullptr, 0);
        EXPECT_FALSE(set_is_there(id));
        EXPECT_EQ(error_of([&] { (void)read_semaphores(SemaphoreSetId{id}); }), EINVAL);
    });
}

TEST_F(SysvObjects, ASetThatIsLargerThanItWasListedOverwritesNothing) {
    in_new_namespaces([] {
        const int id = ::semget(IPC_PRIVATE, 30000, IPC_CREAT | 0600);
        ASSERT_GE(id, 0);
        auto record = find_semaphore_set(SemaphoreSetId{id});
        ASSERT_TRUE(record);
        for (const std::size_t count : {2U, 2048U, 2049U}) {
            record->count = count;
            EXPECT_EQ(error_of([&] { (void)read_semaphores(*record); }), EIDRM) << count;
        }
        record->count = 30000;
        EXPECT_EQ(read_semaphores(*record).size(), 30000U);
        record->count = 30001;
        EXPECT_EQ(error_of([&] { (void)read_semaphores(*record); }), EINVAL);
    });
}

// ---- Making ----

TEST_F(SysvObjects, MakesAQueue) {
    in_new_namespaces([] {
        const struct msqid_ds plain = stat_of_queue(static_cast<int>(make_queue(Key{0x80000011U})));
        EXPECT_EQ(plain.msg_perm.__key, static_cast<key_t>(0x80000011U));
        EXPECT_EQ(plain.msg_perm.mode, 0600U);
        EXPECT_EQ(plain.msg_perm.uid, ::geteuid());
        const std::uint64_t usual = plain.msg_qbytes;
        EXPECT_EQ(
            stat_of_queue(static_cast<int>(make_queue(Key::none, {.mode = 0642}, usual / 2))).msg_qbytes,
            usual / 2);
        EXPECT_EQ(list_queues().at(1).who.mode, 0642U);
        make_queue(Key::none, {.mode = 0}, 1);
        EXPECT_EQ(table("msg").at(2).at("perms"), "0");
        EXPECT_EQ(list_queues().at(2).limit, 1U);
        EXPECT_EQ(make_queue(Key{0x80000011U}), list_queues().at(0).id);
        EXPECT_EQ(table("msg").size(), 3U);
    });
}

TEST_F(SysvObjects, MakesASemaphoreSet) {
    in_new_namespaces([] {
        const std::array<unsigned short, 3> values{5, 0, 32767};
        for (const mode_t mode :
             {0600U, 0U, 0444U, 0777U}) { // also such that the values could not be set with it
            const int id = static_cast<int>(make_semaphore_set(Key{0x11 + mode}, 3, {.mode = mode}, values));
            const auto line = table("sem").back();
            EXPECT_EQ(line.at("semid"), std::to_string(id));
            EXPECT_EQ(line.at("perms"), octal(mode));
            EXPECT_EQ(line.at("nsems"), "3");
            EXPECT_EQ(line.at("uid"), std::to_string(::geteuid()));
            EXPECT_EQ(line.at("gid"), std::to_string(::getegid()));
            struct semid_ds about = {};
            about.sem_perm.uid = ::geteuid();
            about.sem_perm.gid = ::getegid();
            about.sem_perm.mode = 0600;
            ASSERT_EQ(::semctl(id, 0, IPC_SET, &about), 0);
            for (int i = 0; i < 3; ++i)
                EXPECT_EQ(::semctl(id, i, GETVAL), values[static_cast<std::size_t>(i)]);
        }
        const int zeros = static_cast<int>(make_semaphore_set(Key::none, 2));
        EXPECT_EQ(::semctl(zeros, 1, GETVAL), 0);
    });
}

TEST_F(SysvObjects, AnOrdinaryUserSetsFirstValuesWhateverTheMode) {
    NeedRoot();
    in_new_namespaces([] {
        become_nobody();
        const std::array<unsigned short, 1> values{5};
        const int id = static_cast<int>(make_semaphore_set(Key{0x11}, 1, {.mode = 0}, values));
        EXPECT_EQ(table("sem").at(0).at("perms"), "0");
        EXPECT_EQ(::semctl(id, 0, GETVAL), -1);
        EXPECT_EQ(errno, EACCES);
        EXPECT_EQ(error_of([&] { (void)read_semaphores(SemaphoreSetId{id}); }), EACCES);
        struct semid_ds about = {};
        about.sem_perm.uid = about.sem_perm.gid = 65534;
        about.sem_perm.mode = 0400;
        ASSERT_EQ(::semctl(id, 0, IPC_SET, &about), 0);
        EXPECT_EQ(::semctl(id, 0, GETVAL), 5);
        EXPECT_EQ(make_semaphore_set(Key{0x11}, 1, {.mode = 0400}, values), SemaphoreSetId{id});
        EXPECT_EQ(error_of([&] { make_semaphore_set(Key{0x11}, 1, {.mode = 0600}, values); }), EACCES);
    });
}

TEST_F(SysvObjects, MakesASegment) {
    in_new_namespaces([] {
        const int id = static_cast<int>(make_segment(Key{0xfffffffeU}, 5 * page + 3, {{.mode = 0644}}));
        const struct shmid_ds about = stat_of_segment(id);
        EXPECT_EQ(about.shm_perm.__key, static_cast<key_t>(0xfffffffeU));
        EXPECT_EQ(about.shm_perm.mode, 0644U);
        EXPECT_EQ(about.shm_segsz, 5 * page + 3);
        EXPECT_EQ(make_segment(Key{0xfffffffeU}, 0), SegmentId{id});
        EXPECT_EQ(make_segment(Key{0xfffffffeU}, page), SegmentId{id});
        EXPECT_EQ(error_of([] { make_segment(Key{0xfffffffeU}, 6 * page); }), EINVAL);
        EXPECT_EQ(error_of([] { make_segment(Key::none, 0); }), EINVAL);
        EXPECT_EQ(table("shm").size(), 1U);
    });
}

TEST_F(SysvObjects, GivesAwayWhatItMakes) {
    NeedRoot();
    in_new_namespaces([] {
        const MakeOptions options{.mode = 0620, .exclusive = true, .owner = 1234, .group = 5678};
        const struct msqid_ds queue = stat_of_queue(static_cast<int>(make_queue(Key{1}, options)));
        const std::array<unsigned short, 1> values{9};
        const struct semid_ds set =
            stat_of_set(static_cast<int>(make_semaphore_set(Key{1}, 1, options, values)));
        const struct shmid_ds segment = stat_of_segment(static_cast<int>(make_segment(Key{1}, 1, {options})));
        for (const struct ipc_perm& perm : {queue.msg_perm, set.sem_perm, segment.shm_perm}) {
            EXPECT_EQ(perm.uid, 1234U);
            EXPECT_EQ(perm.gid, 5678U);
            EXPECT_EQ(perm.cuid, 0U);
            EXPECT_EQ(perm.cgid, 0U);
            EXPECT_EQ(perm.mode, 0620U);
        }
        EXPECT_EQ(queue.msg_qbytes, stat_of_queue(raw_queue(2)).msg_qbytes)
            << "its limit was changed on the way";
        const struct msqid_ds only_group =
            stat_of_queue(static_cast<int>(make_queue(Key{3}, {.group = 5678}, 100)));
        EXPECT_EQ(only_group.msg_perm.uid, 0U);
        EXPECT_EQ(only_group.msg_perm.gid, 5678U);
        EXPECT_EQ(only_group.msg_qbytes, 100U);
    });
}

TEST_F(SysvObjects, AnExistingOneIsTakenOrRefusedButNeverChanged) {
    in_new_namespaces([] {
        const int queue = raw_queue(0x11, 0640);
        const int set = raw_set(3, 0x22, 0640);
        const int segment = raw_segment(page, 0x33, 0640);
        ASSERT_EQ(::semctl(set, 1, SETVAL, 5), 0);
        const auto all = [] {
            std::vector<std::vector<Line>> tables{table("msg"), table("sem"), table("shm")};
            return tables;
        };
        const auto before = all();
        const std::uint64_t limit = stat_of_queue(queue).msg_qbytes;

        const MakeOptions exclusive{.exclusive = true};
        EXPECT_EQ(error_of([&] { make_queue(Key{0x11}, exclusive); }), EEXIST);
        EXPECT_EQ(error_of([&] { make_semaphore_set(Key{0x22}, 3, exclusive); }), EEXIST);
        EXPECT_EQ(error_of([&] { make_segment(Key{0x33}, page, {exclusive}); }), EEXIST);

        const MakeOptions fits{.mode = 0200, .owner = ::geteuid(), .group = ::getegid()};
        const std::array<unsigned short, 3> values{1, 2, 3};
        EXPECT_EQ(make_queue(Key{0x11}, fits, limit), QueueId{queue});
        EXPECT_EQ(make_semaphore_set(Key{0x22}, 3, fits, values), SemaphoreSetId{set});
        EXPECT_EQ(make_semaphore_set(Key{0x22}, 0, fits), SemaphoreSetId{set});
        EXPECT_EQ(make_segment(Key{0x33}, 1, {fits}), SegmentId{segment});

        const MakeOptions other_owner{.owner = 4321};
        const MakeOptions other_group{.group = 4321};
        EXPECT_EQ(error_of([&] { make_queue(Key{0x11}, other_owner); }), EEXIST);
        EXPECT_EQ(error_of([&] { make_queue(Key{0x11}, other_group); }), EEXIST);
        EXPECT_EQ(error_of([&] { make_queue(Key{0x11}, {}, limit - 1); }), EEXIST);
        EXPECT_EQ(error_of([&] { make_semaphore_set(Key{0x22}, 3, other_owner); }), EEXIST);
        EXPECT_EQ(error_of([&] { make_semaphore_set(Key{0x22}, 4); }), EINVAL);
        EXPECT_EQ(error_of([&] { make_segment(Key{0x33}, 1, {other_group}); }), EEXIST);
        SegmentOptions locked;
        locked.lock = true;
        EXPECT_EQ(error_of([&] { make_segment(Key{0x33}, 1, locked); }), EEXIST);

        EXPECT_EQ(all(), before);
        EXPECT_EQ(stat_of_queue(queue).msg_qbytes, limit);
        EXPECT_EQ(::semctl(set, 1, GETVAL), 5);
    });
}

TEST_F(SysvObjects, KeyNoneAlwaysMakesANewOne) {
    in_new_namespaces([] {
        EXPECT_NE(make_queue(Key::none), make_queue(Key::none));
        EXPECT_NE(make_semaphore_set(Key::none, 1), make_semaphore_set(Key::none, 1));
        EXPECT_NE(make_segment(Key::none, 1), make_segment(Key::none, 1));
        EXPECT_EQ(table("msg").size(), 2U);
        EXPECT_EQ(table("sem").size(), 2U);
        EXPECT_EQ(table("shm").size(), 2U);
    });
}

TEST_F(SysvObjects, WhatFailsAfterTheCreationLeavesNothing) {
    in_new_namespaces([] {
        // A user that the user namespace does not map, a value that is too large, a limit beyond what is allowed.
        const std::array<unsigned short, 2> too_large{1, 32768};
        EXPECT_EQ(error_of([&] { make_semaphore_set(Key{2}, 2, {}, too_large); }), ERANGE);
        EXPECT_NE(hint_of([&] { make_semaphore_set(Key{2}, 2, {}, too_large); }), "");
        const MakeOptions nobodys{.owner = static_cast<uid_t>(-1)};
        EXPECT_EQ(error_of([&] { make_queue(Key{2}, nobodys); }), EINVAL);
        EXPECT_EQ(error_of([&] { make_semaphore_set(Key{2}, 2, nobodys); }), EINVAL);
        EXPECT_EQ(error_of([&] { make_segment(Key{2}, 2, {nobodys}); }), EINVAL);
        if (::geteuid() == 0) become_nobody();
        EXPECT_EQ(error_of([&] { make_queue(Key{2}, {}, 1U << 30); }), EPERM);
        EXPECT_NE(hint_of([&] { make_queue(Key{2}, {}, 1U << 30); }).find("CAP_SYS_RESOURCE"),
                  std::string::npos);
        EXPECT_TRUE(table("msg").empty());
        EXPECT_TRUE(table("sem").empty());
        EXPECT_TRUE(table("shm").empty());
    });
}

TEST_F(SysvObjects, ASegmentThatCannotBeLockedLeavesNothing) {
    in_new_namespaces([] {
        if (::geteuid() == 0) become_nobody();
        const struct rlimit none { 0, 0 };
        ASSERT_EQ(::setrlimit(RLIMIT_MEMLOCK, &none), 0);
        SegmentOptions options;
        options.lock = true;
        const int number = error_of([&] { make_segment(Key{2}, page, options); });
        EXPECT_TRUE(number == EPERM || number == ENOMEM) << number;
        EXPECT_TRUE(table("shm").empty());
    });
}

TEST_F(SysvObjects, MakesALockedSegment) {
    NeedRoot();
    in_new_namespaces([] {
        SegmentOptions options;
        options.lock = true;
        const SegmentId id = make_segment(Key{2}, page, options);
        EXPECT_EQ(stat_of_segment(static_cast<int>(id)).shm_perm.mode, 02600U);
        EXPECT_EQ(make_segment(Key{2}, page, options), id);
    });
}

TEST_F(SysvObjects, HugePages) {
    in_new_namespaces([] {
        SegmentOptions options;
        options.huge_pages = true;
        options.huge_page_size = 3 << 20;
        EXPECT_THROW(make_segment(Key{2}, 2 << 20, options), UsageError);
        EXPECT_TRUE(table("shm").empty());
        // Without huge pages in the system it fails, and must not make one of small pages instead.
        options.huge_page_size = 2 << 20;
        const int raw = ::shmget(3, 2 << 20, IPC_CREAT | IPC_EXCL | 0600 | SHM_HUGETLB | (21 << 26));
        const int expected = raw < 0 ? errno : 0;
        EXPECT_EQ(error_of([&] { make_segment(Key{2}, 2 << 20, options); }), expected);
        EXPECT_EQ(table("shm").size(), expected == 0 ? 2U : 0U);
    });
}

TEST_F(SysvObjects, ModesAndNumbersOfValuesThatMakeNoSense) {
    in_new_namespaces([] {
        EXPECT_THROW(make_queue(Key{2}, {.mode = 01600}), UsageError);
        EXPECT_THROW(make_semaphore_set(Key{2}, 1, {.mode = 010000}), UsageError);
        EXPECT_THROW(make_segment(Key{2}, 1, {{.mode = 04600}}), UsageError);
        const std::array<unsigned short, 2> values{1, 2};
        EXPECT_THROW(make_semaphore_set(Key{2}, 3, {}, values), UsageError);
        EXPECT_THROW(make_semaphore_set(Key{2}, 1, {}, values), UsageError);
        EXPECT_EQ(error_of([&] { make_semaphore_set(Key{2}, std::size_t{1} << 32U); }), EINVAL);
        EXPECT_EQ(error_of([&] { make_semaphore_set(Key{2}, 0); }), EINVAL);
        EXPECT_TRUE(table("msg").empty());
        EXPECT_TRUE(table("sem").empty());
        EXPECT_TRUE(table("shm").empty());
    });
}

TEST_F(SysvObjects, LimitsOfZero) {
    NeedRoot();
    in_new_namespaces([] {
        ASSERT_EQ(test::write_file("/proc/sys/kernel/msgmnb", "0"), 0);
        EXPECT_EQ(find_queue(QueueId{raw_queue(1)})->limit, 0U);
        EXPECT_EQ(find_queue(make_queue(Key{2}))->limit, 0U);
        for (const auto* path : {"/proc/sys/kernel/msgmni", "/proc/sys/kernel/shmmni"})
            ASSERT_EQ(test::write_file(path, "0"), 0);
        ASSERT_EQ(test::write_file("/proc/sys/kernel/sem", "0 0 0 0"), 0);
        EXPECT_EQ(list_queues().size(), 2U);
        EXPECT_TRUE(list_semaphore_sets().empty());
        EXPECT_TRUE(list_segments(SegmentMemory::read).empty());
        EXPECT_EQ(error_of([] { make_queue(Key{3}); }), ENOSPC);
        EXPECT_NE(hint_of([] { make_queue(Key{3}); }).find("msgmni"), std::string::npos);
        EXPECT_EQ(make_queue(Key{2}), list_queues().at(1).id);
        EXPECT_EQ(error_of([] { make_semaphore_set(Key{3}, 1); }), EINVAL);
        EXPECT_NE(hint_of([] { make_semaphore_set(Key{3}, 1); }).find("sem"), std::string::npos);
        EXPECT_EQ(error_of([] { make_segment(Key{3}, 1); }), ENOSPC);
        EXPECT_NE(hint_of([] { make_segment(Key{3}, 1); }).find("shmmni"), std::string::npos);
        ASSERT_EQ(test::write_file("/proc/sys/kernel/shmmax", "0"), 0);
        EXPECT_EQ(error_of([] { make_segment(Key{3}, 1); }), EINVAL);
        EXPECT_NE(hint_of([] { make_segment(Key{3}, 1); }).find("shmmax"), std::string::npos);
    });
}

TEST_F(SysvObjects, TwoThatMakeTheSameKeyAgree) {
    in_new_namespaces([] {
        for (int round = 0; round < 200; ++round) {
            const Key key{0x1000U + static_cast<unsigned>(round)};
            QueueId other{};
            std::thread thread([&] { other = make_queue(key); });
            const QueueId mine = make_queue(key);
            thread.join();
            EXPECT_EQ(mine, other);
        }
        EXPECT_EQ(table("msg").size(), 200U);
    });
}

TEST_F(SysvObjects, AMessageSaysWhatWasDoneToWhichThing) {
    in_new_namespaces([] {
        raw_queue(0x80000011U);
        try {
            make_queue(Key{0x80000011U}, {.exclusive = true});
            ADD_FAILURE() << "nothing was thrown";
        } catch (const Error& error) {
            EXPECT_EQ(std::string(error.what()), "make a message queue with the key 0x80000011: File exists");
        }
        try {
            remove(SegmentId{77});
            ADD_FAILURE() << "nothing was thrown";
        } catch (const Error& error) {
            EXPECT_EQ(std::string(error.what()), "remove the shared memory segment 77: Invalid argument");
        }
    });
}

// ---- Removing ----

TEST_F(SysvObjects, RemovesOne) {
    in_new_namespaces([] {
        const int queue = raw_queue(1);
        const int set = raw_set(1, 1);
        const int segment = raw_segment(1, 1);
        const int other_queue = raw_queue(2);
        const int other_set = raw_set(1, 2);
        const int other_segment = raw_segment(1, 2);
        remove(QueueId{queue});
        remove(SemaphoreSetId{set});
        remove(SegmentId{segment});
        EXPECT_FALSE(queue_is_there(queue));
        EXPECT_FALSE(set_is_there(set));
        EXPECT_FALSE(segment_is_there(segment));
        EXPECT_TRUE(queue_is_there(other_queue));
        EXPECT_TRUE(set_is_there(other_set));
        EXPECT_TRUE(segment_is_there(other_segment));
        EXPECT_EQ(error_of([&] { remove(QueueId{queue}); }), EINVAL);
        EXPECT_EQ(error_of([&] { remove(SemaphoreSetId{set}); }), EINVAL);
        EXPECT_EQ(error_of([&] { remove(SegmentId{segment}); }), EINVAL);
    });
}

TEST_F(SysvObjects, OthersObjectsAreNotOnesToRemove) {
    NeedRoot();
    in_new_namespaces([] {
        const int queue = raw_queue(1, 0666);
        const int set = raw_set(1, 1, 0666);
        const int segment = raw_segment(1, 1, 0666);
        const auto records = list_queues();
        const auto sets = list_semaphore_sets();
        const auto segments = list_segments();
        become_nobody();
        EXPECT_EQ(error_of([&] { remove(QueueId{queue}); }), EPERM);
        EXPECT_EQ(error_of([&] { remove(SemaphoreSetId{set}); }), EPERM);
        EXPECT_EQ(error_of([&] { remove(SegmentId{segment}); }), EPERM);
        EXPECT_EQ(error_of([&] { remove_same(records.at(0)); }), EPERM);
        EXPECT_EQ(error_of([&] { remove_same(sets.at(0)); }), EPERM);
        EXPECT_EQ(error_of([&] { remove_same(segments.at(0)); }), EPERM);
        EXPECT_NE(hint_of([&] { remove(QueueId{queue}); }), "");
        EXPECT_TRUE(queue_is_there(queue));
        EXPECT_TRUE(set_is_there(set));
        EXPECT_TRUE(segment_is_there(segment));
    });
}

TEST_F(SysvObjects, RemovesWhatIsStillTheSame) {
    in_new_namespaces([] {
        const int queue = raw_queue(1);
        const int set = raw_set(2, 1);
        const int segment = raw_segment(10, 1);
        const auto queues = list_queues();
        const auto sets = list_semaphore_sets();
        const auto segments = list_segments(SegmentMemory::read);
        // Being used does not make it another one.
        raw_send(queue, 10);
        struct sembuf post {
            0, 1, 0
        };
        ASSERT_EQ(::semop(set, &post, 1), 0);
        ASSERT_EQ(::shmdt(::shmat(segment, nullptr, 0)), 0);
        EXPECT_TRUE(remove_same(queues.at(0)));
        EXPECT_TRUE(remove_same(sets.at(0)));
        EXPECT_TRUE(remove_same(segments.at(0)));
        EXPECT_FALSE(queue_is_there(queue));
        EXPECT_FALSE(set_is_there(set));
        EXPECT_FALSE(segment_is_there(segment));
        // And what is gone is no error.
        EXPECT_FALSE(remove_same(queues.at(0)));
        EXPECT_FALSE(remove_same(sets.at(0)));
        EXPECT_FALSE(remove_same(segments.at(0)));
    });
}

TEST_F(SysvObjects, WhatWasChangedIsNotRemoved) {
    in_new_namespaces([] {
        const int queue = raw_queue(1);
        const int set = raw_set(2, 1);
        const int segment = raw_segment(10, 1);
        const int attached = raw_segment(10, 2);
        const auto queues = list_queues();
        const auto sets = list_semaphore_sets();
        const auto segments = list_segments();
        // Within the same second, so that the times tell nothing.
        struct msqid_ds about = stat_of_queue(queue);
        --about.msg_qbytes;
        ASSERT_EQ(::msgctl(queue, IPC_SET, &about), 0);
        struct semid_ds about_set = stat_of_set(set);
        about_set.sem_perm.mode = 0644;
        ASSERT_EQ(::semctl(set, 0, IPC_SET, &about_set), 0);
        struct shmid_ds about_segment = stat_of_segment(segment);
        about_segment.shm_perm.mode = 0644;
        ASSERT_EQ(::shmctl(segment, IPC_SET, &about_segment), 0);
        void* memory = ::shmat(attached, nullptr, 0);
        ASSERT_EQ(::shmctl(attached, IPC_RMID, nullptr), 0);

        EXPECT_FALSE(remove_same(queues.at(0)));
        EXPECT_FALSE(remove_same(sets.at(0)));
        EXPECT_FALSE(remove_same(segments.at(0)));
        EXPECT_FALSE(remove_same(segments.at(1)));
        EXPECT_TRUE(queue_is_there(queue));
        EXPECT_TRUE(set_is_there(set));
        EXPECT_TRUE(segment_is_there(segment));
        ::shmdt(memory);
        // What it is now may be removed.
        EXPECT_TRUE(remove_same(list_queues().at(0)));
        EXPECT_TRUE(remove_same(list_semaphore_sets().at(0)));
        EXPECT_TRUE(remove_same(list_segments().at(0)));
    });
}

TEST_F(SysvObjects, ATimeOfChangeTellsObjectsApart) {
    in_new_namespaces([] {
        raw_queue(1);
        raw_set(1, 1);
        raw_segment(1, 1);
        auto queue = list_queues().at(0);
        auto set = list_semaphore_sets().at(0);
        auto segment = list_segments().at(0);
        queue.changed = *queue.changed - std::chrono::seconds(1);
        set.changed = *set.changed - std::chrono::seconds(1);
        segment.changed = *segment.changed - std::chrono::seconds(1);
        EXPECT_FALSE(remove_same(queue));
        EXPECT_FALSE(remove_same(set));
        EXPECT_FALSE(remove_same(segment));
        EXPECT_EQ(table("msg").size() + table("sem").size() + table("shm").size(), 3U);
    });
}

TEST_F(SysvObjects, AnotherObjectWithTheSameIdIsNotRemoved) {
    NeedRoot();
    in_new_namespaces([] {
        // Someone privileged can ask for an id: the same one again, for an object that differs in one thing.
        const auto again = [](const char* file, int id) {
            ASSERT_EQ(test::write_file(std::string("/proc/sys/kernel/") + file, std::to_string(id)), 0);
        };
        const int queue = raw_queue(1);
        const auto queue_record = list_queues().at(0);
        ASSERT_EQ(::msgctl(queue, IPC_RMID, nullptr), 0);
        again("msg_next_id", queue);
        ASSERT_EQ(raw_queue(2), queue); // another key
        EXPECT_FALSE(remove_same(queue_record));
        EXPECT_TRUE(queue_is_there(queue));

        const int set = raw_set(3, 1);
        const auto set_record = list_semaphore_sets().at(0);
        ASSERT_EQ(::semctl(set, 0, IPC_RMID), 0);
        again("sem_next_id", set);
        ASSERT_EQ(raw_set(4, 1), set); // another count
        EXPECT_FALSE(remove_same(set_record));
        EXPECT_TRUE(set_is_there(set));

        const int segment = raw_segment(page, 1);
        const auto segment_record = list_segments().at(0);
        ASSERT_EQ(::shmctl(segment, IPC_RMID, nullptr), 0);
        again("shm_next_id", segment);
        ASSERT_EQ(in_fork([&] { return raw_segment(page, 1) == segment ? 0 : 1; }), 0); // another process
        EXPECT_FALSE(remove_same(segment_record));
        EXPECT_TRUE(segment_is_there(segment));
    });
}

} // namespace
} // namespace ipcns
