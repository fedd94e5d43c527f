// SPDX-License-Identifier: Apache-2.0
//
// What the handles and lists of System V objects cost, beside the bare system calls; in_turn.hpp says how it is measured
// and what the columns are. Needs root.
//
//   build/bench/bench/sysv

#include "in_turn.hpp"

#include <ipcns/sysv.hpp>

#include <benchmark/benchmark.h>

#include <fcntl.h>
#include <sched.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace {

using ipcns::bench::in_turn;

int checked(long result) {
    if (result < 0) throw std::system_error(errno, std::generic_category(), "a System V call");
    return static_cast<int>(result);
}

// ---- One message of 64 bytes there and back ----

constexpr std::size_t message_bytes = 64;
constexpr int short_calls = 500;

struct RawMessage {
    long type = 1;
    std::array<char, message_bytes> text{};
};

void send_receive_in_place(benchmark::State& state) {
    const auto queue = ipcns::MessageQueue::temporary();
    const int id = static_cast<int>(queue.id());
    RawMessage raw;
    ipcns::QueueMessage<message_bytes> message;
    message.resize(message_bytes);
    in_turn(
        state, short_calls,
        [&] {
            checked(::msgsnd(id, &raw, message_bytes, 0));
            checked(::msgrcv(id, &raw, message_bytes, 0, 0));
            benchmark::DoNotOptimize(raw);
        },
        [&] {
            queue.send(message);
            queue.receive(message);
            benchmark::DoNotOptimize(message);
        });
}

void send_receive_spans(benchmark::State& state) {
    const auto queue = ipcns::MessageQueue::temporary();
    const int id = static_cast<int>(queue.id());
    RawMessage raw;
    std::array<std::byte, message_bytes> bytes{};
    in_turn(
        state, short_calls,
        [&] {
            checked(::msgsnd(id, &raw, message_bytes, 0));
            checked(::msgrcv(id, &raw, message_bytes, 0, 0));
            benchmark::DoNotOptimize(raw);
        },
        [&] {
            queue.send(1, bytes);
            benchmark::DoNotOptimize(queue.receive(bytes));
            benchmark::DoNotOptimize(bytes);
        });
}

// ---- A semaphore up and down ----

void raw_post_wait(int id) {
    struct sembuf post {
        0, 1, 0
    };
    struct sembuf wait {
        0, -1, 0
    };
    checked(::semop(id, &post, 1));
    checked(::semop(id, &wait, 1));
}

void post_wait(benchmark::State& state) {
    const auto set = ipcns::SemaphoreSet::temporary(1);
    in_turn(
        state, short_calls, [id = static_cast<int>(set.id())] { raw_post_wait(id); },
        [&] {
            set.post(0);
            set.wait(0);
        });
}

void post_wait_for(benchmark::State& state) {
    const auto set = ipcns::SemaphoreSet::temporary(1);
    in_turn(
        state, short_calls, [id = static_cast<int>(set.id())] { raw_post_wait(id); },
        [&] {
            set.post(0);
            if (!set.wait_for(0, std::chrono::seconds(1))) throw std::runtime_error("the time is over");
        });
}

// ---- A segment attached and detached ----

constexpr std::uint64_t segment_bytes = 1 << 20;

void raw_attach_detach(int id) {
    void* const memory = ::shmat(id, nullptr, 0);
    benchmark::DoNotOptimize(memory);
    checked(::shmdt(memory));
}

void attach_detach(benchmark::State& state) {
    const auto segment = ipcns::Segment::temporary(segment_bytes);
    const auto record = ipcns::find_segment(segment.id());
    in_turn(
        state, short_calls, [id = static_cast<int>(segment.id())] { raw_attach_detach(id); },
        [&] {
            const auto attached = ipcns::Segment::attach(*record);
            benchmark::DoNotOptimize(attached.bytes().data());
        });
}

// With the size asked for, which the floor must do as well.
void attach_detach_by_id(benchmark::State& state) {
    const auto segment = ipcns::Segment::temporary(segment_bytes);
    in_turn(
        state, short_calls,
        [id = static_cast<int>(segment.id())] {
            struct shmid_ds about;
            checked(::shmctl(id, IPC_STAT, &about));
            benchmark::DoNotOptimize(about.shm_segsz);
            raw_attach_detach(id);
        },
        [&] {
            const auto attached = ipcns::Segment::attach(segment.id());
            benchmark::DoNotOptimize(attached.bytes().data());
        });
}

// ---- Lists of many objects, beside the bare loop of *_STAT_ANY ----

// Objects of one kind, as many as the row says, until the end of the object.
class Many {
public:
    Many(const benchmark::State& state, int (*make)()) {
        for (auto i = state.range(0); i > 0; --i) checked(make());
    }
    ~Many() { ipcns::remove_all_sysv(); }
    Many(const Many&) = delete;
    Many& operator=(const Many&) = delete;
};

template <class About, class Look>
void raw_list(int highest, Look look) {
    About about;
    int found = 0;
    for (int i = 0; i <= highest; ++i) found += look(i, about) >= 0 ? 1 : 0;
    benchmark::DoNotOptimize(about);
    benchmark::DoNotOptimize(found);
}

void raw_list_segments() {
    struct shm_info info;
    raw_list<struct shmid_ds>(
        ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info)),
        [](int i, struct shmid_ds& about) { return ::shmctl(i, SHM_STAT_ANY, &about); });
}

int make_segment() { return ::shmget(IPC_PRIVATE, 4096, 0600); }

void list_segments(benchmark::State& state) {
    const Many many(state, make_segment);
    in_turn(state, 1, raw_list_segments, [] { benchmark::DoNotOptimize(ipcns::list_segments()); });
}

// With resident and swapped sizes, beside the bare loop and a bare reader of the table that has them.
void list_segments_memory(benchmark::State& state) {
    const Many many(state, make_segment);
    in_turn(
        state, 1,
        [] {
            raw_list_segments();
            const int table = checked(::open("/proc/sysvipc/shm", O_RDONLY | O_CLOEXEC));
            std::array<char, 16384> buffer;
            while (::read(table, buffer.data(), buffer.size()) > 0) benchmark::DoNotOptimize(buffer);
            ::close(table);
        },
        [] { benchmark::DoNotOptimize(ipcns::list_segments(ipcns::SegmentMemory::read)); });
}

void list_queues(benchmark::State& state) {
    const Many many(state, [] { return ::msgget(IPC_PRIVATE, 0600); });
    in_turn(
        state, 1,
        [] {
            struct msginfo info;
            raw_list<struct msqid_ds>(
                ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&info)),
                [](int i, struct msqid_ds& about) { return ::msgctl(i, MSG_STAT_ANY, &about); });
        },
        [] { benchmark::DoNotOptimize(ipcns::list_queues()); });
}

void list_semaphore_sets(benchmark::State& state) {
    const Many many(state, [] { return ::semget(IPC_PRIVATE, 1, 0600); });
    in_turn(
        state, 1,
        [] {
            struct seminfo info;
            raw_list<struct semid_ds>(::semctl(0, 0, SEM_INFO, &info), [](int i, struct semid_ds& about) {
                return ::semctl(i, 0, SEM_STAT_ANY, &about);
            });
        },
        [] { benchmark::DoNotOptimize(ipcns::list_semaphore_sets()); });
}

#define CALLS(name) BENCHMARK(name)->UseManualTime()->Iterations(400)
#define LIST(name) BENCHMARK(name)->UseManualTime()->Unit(benchmark::kMicrosecond)->Iterations(100)->Arg(4096)
CALLS(send_receive_in_place);
CALLS(send_receive_spans);
CALLS(post_wait);
CALLS(post_wait_for);
CALLS(attach_detach);
CALLS(attach_detach_by_id);
LIST(list_segments)->Arg(32768);
LIST(list_segments_memory);
LIST(list_queues);
LIST(list_semaphore_sets);

// Lets the namespace hold more than the default.
void raise_limit(const char* path) {
    const int file = ::open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 || ::write(file, "32768", 5) != 5) std::perror(path);
    ::close(file);
}

} // namespace

int main(int argc, char** argv) {
    if (::unshare(CLONE_NEWIPC) != 0) {
        std::fputs("ipcns: bench/sysv: needs root\n", stderr);
        return 1;
    }
    raise_limit("/proc/sys/kernel/shmmni");
    raise_limit("/proc/sys/kernel/msgmni");
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
