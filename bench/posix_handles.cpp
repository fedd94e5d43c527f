// SPDX-License-Identifier: Apache-2.0
//
// What the handles for POSIX objects cost beside the C library's own functions (in_turn.hpp says how it is measured and
// what the columns are), and what it costs to look at the queues of many namespaces in a row. Needs root.
//
//   build/bench/bench/posix_handles

#include "in_turn.hpp"

#include <ipcns/fd.hpp>
#include <ipcns/posix.hpp>

#include <benchmark/benchmark.h>

#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>
#include <vector>

namespace {

using ipcns::Fd;
using ipcns::bench::in_turn;

[[noreturn]] void broken(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

constexpr const char* queue_name = "/bench";
constexpr const char* memory_name = "/bench";
constexpr const char* semaphore_name = "/bench";
constexpr std::size_t message_size = 64;
constexpr std::size_t memory_size = 65536;
constexpr int short_calls = 500;

// ---- Queues ------------------------------------------------------------------------------------------------------

struct Raw {
    Raw() : queue(::mq_open(queue_name, O_RDWR | O_CLOEXEC)) {
        if (queue < 0) broken("mq_open");
    }
    ~Raw() { ::mq_close(queue); }
    Raw(const Raw&) = delete;
    Raw& operator=(const Raw&) = delete;
    mqd_t queue;
};

struct Ours {
    ipcns::PosixQueue queue = ipcns::PosixQueue::open(queue_name);
    std::array<std::byte, message_size> text{};
};

void queue_send_receive(benchmark::State& state) {
    const Raw raw;
    std::array<char, message_size> text{};
    unsigned priority = 0;
    Ours our;
    in_turn(
        state, short_calls,
        [&] {
            if (::mq_send(raw.queue, text.data(), text.size(), 1) != 0) broken("mq_send");
            if (::mq_receive(raw.queue, text.data(), text.size(), &priority) < 0) broken("mq_receive");
            benchmark::DoNotOptimize(priority);
        },
        [&] {
            our.queue.send(our.text, 1);
            benchmark::DoNotOptimize(our.queue.receive(our.text));
        });
}

void queue_try(benchmark::State& state) {
    const Raw raw;
    std::array<char, message_size> text{};
    unsigned priority = 0;
    const struct timespec at_once { 0, 0 };
    Ours our;
    in_turn(
        state, short_calls,
        [&] {
            if (::mq_timedsend(raw.queue, text.data(), text.size(), 1, &at_once) != 0) broken("mq_timedsend");
            if (::mq_timedreceive(raw.queue, text.data(), text.size(), &priority, &at_once) < 0)
                broken("mq_timedreceive");
            benchmark::DoNotOptimize(priority);
        },
        [&] {
            if (!our.queue.try_send(our.text, 1)) broken("try_send");
            benchmark::DoNotOptimize(our.queue.try_receive(our.text));
        });
}

void queue_timed(benchmark::State& state) {
    const Raw raw;
    std::array<char, message_size> text{};
    unsigned priority = 0;
    const auto in_five_seconds = [] {
        struct timespec deadline {};
        ::clock_gettime(CLOCK_REALTIME, &deadline);
        deadline.tv_sec += 5;
        return deadline;
    };
    Ours our;
    in_turn(
        state, short_calls,
        [&] {
            struct timespec deadline = in_five_seconds();
            if (::mq_timedsend(raw.queue, text.data(), text.size(), 1, &deadline) != 0)
                broken("mq_timedsend");
            deadline = in_five_seconds();
            if (::mq_timedreceive(raw.queue, text.data(), text.size(), &priority, &deadline) < 0)
                broken("mq_timedreceive");
            benchmark::DoNotOptimize(priority);
        },
        [&] {
            if (!our.queue.send_for(std::chrono::seconds(5), our.text, 1)) broken("send_for");
            benchmark::DoNotOptimize(our.queue.receive_for(std::chrono::seconds(5), our.text));
        });
}

void queue_attributes(benchmark::State& state) {
    const Raw raw;
    const Ours our;
    in_turn(
        state, short_calls,
        [&] {
            struct mq_attr about {};
            if (::mq_getattr(raw.queue, &about) != 0) broken("mq_getattr");
            benchmark::DoNotOptimize(about);
        },
        [&] { benchmark::DoNotOptimize(our.queue.attributes()); });
}

void queue_open(benchmark::State& state) {
    const std::string name = queue_name;
    in_turn(
        state, short_calls, [] { benchmark::DoNotOptimize(Raw()); },
        [&] { benchmark::DoNotOptimize(ipcns::PosixQueue::open(name)); });
}

// ---- Semaphores --------------------------------------------------------------------------------------------------

struct RawSemaphore {
    RawSemaphore() : semaphore(::sem_open(semaphore_name, 0)) {
        if (semaphore == SEM_FAILED) broken("sem_open");
    }
    ~RawSemaphore() { ::sem_close(semaphore); }
    RawSemaphore(const RawSemaphore&) = delete;
    RawSemaphore& operator=(const RawSemaphore&) = delete;
    sem_t* semaphore;
};

void semaphore_post_wait(benchmark::State& state) {
    const RawSemaphore raw;
    auto semaphore = ipcns::NamedSemaphore::open(semaphore_name);
    in_turn(
        state, 20 * short_calls,
        [&] {
            if (::sem_post(raw.semaphore) != 0) broken("sem_post");
            if (::sem_wait(raw.semaphore) != 0) broken("sem_wait");
        },
        [&] {
            semaphore.post();
            semaphore.wait();
        });
}

void semaphore_timeout(benchmark::State& state) {
    const RawSemaphore raw;
    auto semaphore = ipcns::NamedSemaphore::open(semaphore_name);
    in_turn(
        state, short_calls / 10,
        [&] {
            struct timespec deadline {};
            ::clock_gettime(CLOCK_MONOTONIC, &deadline);
            if (++deadline.tv_nsec == 1'000'000'000) {
                deadline.tv_nsec = 0;
                ++deadline.tv_sec;
            }
            benchmark::DoNotOptimize(::sem_clockwait(raw.semaphore, CLOCK_MONOTONIC, &deadline));
        },
        [&] { benchmark::DoNotOptimize(semaphore.wait_for(std::chrono::nanoseconds(1))); });
}

void semaphore_open(benchmark::State& state) {
    const std::string name = semaphore_name;
    in_turn(
        state, short_calls, [] { benchmark::DoNotOptimize(RawSemaphore()); },
        [&] { benchmark::DoNotOptimize(ipcns::NamedSemaphore::open(name)); });
}

// ---- Shared memory -----------------------------------------------------------------------------------------------

void memory_open(benchmark::State& state) {
    const std::string name = memory_name;
    in_turn(
        state, short_calls,
        [] {
            const int fd = ::shm_open(memory_name, O_RDWR | O_CLOEXEC, 0);
            struct stat about {};
            if (fd < 0 || ::fstat(fd, &about) != 0) broken("shm_open");
            const auto size = static_cast<std::size_t>(about.st_size);
            void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (memory == MAP_FAILED) broken("mmap");
            benchmark::DoNotOptimize(memory);
            ::close(fd);
            ::munmap(memory, size);
        },
        [&] { benchmark::DoNotOptimize(ipcns::SharedMemory::open(name).bytes().data()); });
}

// ---- A walk through namespaces -----------------------------------------------------------------------------------

// Namespaces with three queues each, held by descriptors.
std::vector<Fd> make_namespaces(std::size_t count) {
    std::vector<Fd> made;
    std::thread([&] {
        struct mq_attr smallest {};
        smallest.mq_maxmsg = 1;
        smallest.mq_msgsize = 1;
        while (made.size() < count) {
            if (::unshare(CLONE_NEWIPC) != 0) return;
            for (const char* name : {"/a", "/b", "/c"})
                ::mq_close(::mq_open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600, &smallest));
            made.emplace_back(::open("/proc/thread-self/ns/ipc", O_RDONLY | O_CLOEXEC));
        }
    }).join();
    return made;
}

// Calls look for each of the namespaces, from inside, on a thread that make_look sees first. The figure is for one.
template <class MakeLook>
void walk(benchmark::State& state, MakeLook make_look) {
    const auto count = static_cast<std::size_t>(state.range(0));
    const auto namespaces = make_namespaces(count);
    if (namespaces.size() != count) return state.SkipWithError("unshare");
    for (auto _ : state) {
        const auto before = std::chrono::steady_clock::now();
        std::thread([&] {
            auto look = make_look();
            for (const auto& ns : namespaces)
                if (::setns(ns.get(), CLONE_NEWIPC) != 0 || !look()) state.SkipWithError("a look failed");
        }).join();
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
        state.SetIterationTime(took.count() / static_cast<double>(count));
    }
}

void walk_enter_only(benchmark::State& state) {
    walk(state, [] { return [] { return true; }; });
}

// Counts names alone, so that what differs is the mount.
bool has_three(int folder) { return ipcns::files_usage(folder).files == 3; }

void walk_mount_each(benchmark::State& state) {
    walk(state, [] { return [] { return has_three(ipcns::mount_queues().get()); }; });
}

void walk_mounts(benchmark::State& state, ipcns::QueueMounts::Place place) {
    walk(state, [place] {
        return [mounts = ipcns::QueueMounts(place)]() mutable { return has_three(mounts.mount()); };
    });
}

void walk_list(benchmark::State& state, ipcns::QueueMounts::Place place) {
    walk(state, [place] {
        return [mounts = ipcns::QueueMounts(place)]() mutable {
            return ipcns::list_posix_queues(mounts.mount()).size() == 3;
        };
    });
}

double least(const std::vector<double>& values) { return *std::min_element(values.begin(), values.end()); }

#define CALLS(name) BENCHMARK(name)->UseManualTime()->Iterations(400)
CALLS(queue_send_receive);
CALLS(queue_try);
CALLS(queue_timed);
CALLS(queue_attributes);
CALLS(queue_open);
CALLS(semaphore_post_wait);
CALLS(semaphore_timeout);
CALLS(semaphore_open);
CALLS(memory_open);

#define WALK(...)                       \
    __VA_ARGS__->Arg(100)               \
        ->Arg(1000)                     \
        ->UseManualTime()               \
        ->Iterations(3)                 \
        ->Unit(benchmark::kMicrosecond) \
        ->ComputeStatistics("min", least)
WALK(BENCHMARK(walk_enter_only));
WALK(BENCHMARK(walk_mount_each));
WALK(BENCHMARK_CAPTURE(walk_mounts, detached, ipcns::QueueMounts::Place::detached));
WALK(BENCHMARK_CAPTURE(walk_mounts, thread, ipcns::QueueMounts::Place::thread));
WALK(BENCHMARK_CAPTURE(walk_list, detached, ipcns::QueueMounts::Place::detached));

// A namespace and a /dev/shm that nobody else sees, with one object of each kind.
void set_up() {
    if (::unshare(CLONE_NEWIPC | CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") != 0)
        broken("make namespaces");
    const struct rlimit many { 8192, 8192 };
    (void)::setrlimit(RLIMIT_NOFILE, &many);
    const Fd shm(::open("/dev/shm", O_PATH | O_CLOEXEC));
    ipcns::make_posix_queue(queue_name, {}, 8, message_size);
    ipcns::make_shared_memory(shm.get(), memory_name, memory_size);
    ipcns::make_named_semaphore(shm.get(), semaphore_name);
}

} // namespace

int main(int argc, char** argv) {
    if (::geteuid() != 0) {
        std::fputs("ipcns: bench/posix_handles: needs root\n", stderr);
        return 1;
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    set_up();
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
