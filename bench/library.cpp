// SPDX-License-Identifier: Apache-2.0
//
// What the library's own calls cost, beside the bare system calls they stand on (the *_floor figures).
// Needs root. For stable figures:
//
//   build/bench/bench/library --benchmark_repetitions=5 --benchmark_report_aggregates_only=true

#include <ipcns/inventory.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/sysv.hpp>

#include <benchmark/benchmark.h>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <thread>
#include <vector>

namespace {

/// Processes that each sleep in an IPC namespace of their own, for as long as the object lives.
class Crowd {
public:
    explicit Crowd(std::size_t count) {
        int ready[2];
        if (::pipe2(ready, O_CLOEXEC) < 0) throw std::system_error(errno, std::generic_category(), "pipe");
        for (std::size_t i = 0; i < count; ++i) {
            const pid_t child = ::fork();
            if (child == 0) {
                ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                const char inside = ::unshare(CLONE_NEWIPC) == 0 ? 1 : 0;
                if (::write(ready[1], &inside, 1) != 1) ::_exit(1);
                for (;;) ::pause();
            }
            if (child < 0) break;
            children_.push_back(child);
            char inside = 0;
            if (::read(ready[0], &inside, 1) != 1 || inside != 1) break;
            ++made_;
        }
        ::close(ready[0]);
        ::close(ready[1]);
    }
    ~Crowd() {
        for (const pid_t child : children_) ::kill(child, SIGKILL);
        for (const pid_t child : children_) ::waitpid(child, nullptr, 0);
    }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    [[nodiscard]] std::size_t size() const { return made_; }
    [[nodiscard]] pid_t first() const { return children_.front(); }

private:
    std::vector<pid_t> children_;
    std::size_t made_ = 0;
};

void create(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(ipcns::Namespace::create());
}

// The kernel frees namespaces in a work queue: with many made in a row, that is part of the price of both.
void create_floor(benchmark::State& state) {
    std::thread([&] {
        for (auto _ : state)
            if (::unshare(CLONE_NEWIPC) != 0) {
                state.SkipWithError("unshare");
                break;
            }
    }).join();
}

void from_pid(benchmark::State& state) {
    const Crowd crowd(1);
    for (auto _ : state) benchmark::DoNotOptimize(ipcns::Namespace::from_pid(crowd.first()));
}

void from_pid_floor(benchmark::State& state) {
    const Crowd crowd(1);
    char path[64];
    for (auto _ : state) {
        std::snprintf(path, sizeof path, "/proc/%d/ns/ipc", crowd.first());
        ::close(::open(path, O_RDONLY | O_CLOEXEC));
    }
}

void call(benchmark::State& state) {
    const auto place = ipcns::Namespace::create();
    for (auto _ : state) benchmark::DoNotOptimize(place.call([] { return ::getpid(); }));
}

void call_floor(benchmark::State& state) {
    const auto place = ipcns::Namespace::create();
    for (auto _ : state)
        std::thread([&] { benchmark::DoNotOptimize(::setns(place.fd(), CLONE_NEWIPC)); }).join();
}

void sysv_usage(benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(ipcns::sysv_usage());
}

void inventory(benchmark::State& state, const ipcns::InventoryOptions& options) {
    const Crowd crowd(static_cast<std::size_t>(state.range(0)));
    std::size_t found = 0;
    for (auto _ : state) found = ipcns::Inventory::take(options).entries.size();
    if (found < crowd.size() || crowd.size() < static_cast<std::size_t>(state.range(0)))
        state.SkipWithError("namespaces are missing");
    state.SetComplexityN(state.range(0));
}

constexpr auto never = ipcns::InventoryOptions::Descriptors::never;
constexpr auto always = ipcns::InventoryOptions::Descriptors::always;

BENCHMARK(create);
BENCHMARK(create_floor)->UseRealTime();
BENCHMARK(from_pid);
BENCHMARK(from_pid_floor);
BENCHMARK(call)->UseRealTime();
BENCHMARK(call_floor)->UseRealTime();
BENCHMARK(sysv_usage);
#define INVENTORY(name, ...)                        \
    BENCHMARK_CAPTURE(inventory, name, __VA_ARGS__) \
        ->Arg(100)                                  \
        ->Arg(400)                                  \
        ->Arg(1600)                                 \
        ->UseRealTime()                             \
        ->Unit(benchmark::kMillisecond)             \
        ->Complexity()
INVENTORY(plain, {.descriptors = never, .contents = false, .details = false});
INVENTORY(details, {.descriptors = never, .contents = false, .details = true});
INVENTORY(descriptors, {.descriptors = always, .contents = false, .details = false});
INVENTORY(contents, {.descriptors = never, .contents = true, .details = false});

} // namespace

int main(int argc, char** argv) {
    if (::geteuid() != 0) {
        std::fputs("ipcns: bench/library: needs root\n", stderr);
        return 1;
    }
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
