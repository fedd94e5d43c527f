// SPDX-License-Identifier: Apache-2.0
// What a thread is blocked in. Leans on: /proc/PID/task/TID/syscall (proc_pid_syscall(5)) gives the number of the
// system call, its six arguments, the stack pointer and the program counter of a thread that sleeps. The number counts
// in one of several tables; which, the instruction before the program counter tells, since it made the call.
//
// And since when: "se.exec_start" in /proc/PID/task/TID/sched is when the scheduler last added to the thread's running
// time, which for one that sleeps is when it stopped running. It is told by the clock of the processor that it ran on
// (the kernel's rq_clock_task), which counts nanoseconds since the boot without interrupts and what a hypervisor took
// away, so that each processor's goes at its own pace. What a clock shows now, a thread learns that runs there.
#include "waiters.hpp"

#include "procfs.hpp"
#include "quiet_thread.hpp"

#include <ipcns/fd.hpp>

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>

namespace ipcns::waiters {
namespace {

enum class Call {
    msgsnd,
    msgrcv,
    semop,
    semtimedop,
    mq_send,
    mq_receive,
    futex,
    restart, // what a signal interrupted, with the arguments that it had
    multiplex
};

struct Number {
    long number;
    Call call;
};

constexpr Number native_numbers[] = {
#ifdef __NR_msgsnd
    {__NR_msgsnd, Call::msgsnd},
    {__NR_msgrcv, Call::msgrcv},
#endif
#ifdef __NR_semop
    {__NR_semop, Call::semop},
#endif
#ifdef __NR_semtimedop
    {__NR_semtimedop, Call::semtimedop},
#endif
#ifdef __NR_mq_timedsend
    {__NR_mq_timedsend, Call::mq_send},
    {__NR_mq_timedreceive, Call::mq_receive},
#endif
#ifdef __NR_futex
    {__NR_futex, Call::futex},
#endif
    {__NR_restart_syscall, Call::restart},
};

// How the instruction that made a call looks, and which table it chose.
struct Entry {
    std::string_view instruction;
    std::span<const Number> numbers;
    bool narrow; // 32-bit arguments
};

using namespace std::string_view_literals;

#if defined(__x86_64__)
// arch/x86/entry/syscalls/syscall_32.tbl. Without restart_syscall: its number 0 is that of the native read(2).
constexpr Number i386_numbers[] = {
    {117, Call::multiplex},  {240, Call::futex},  {279, Call::mq_send}, {280, Call::mq_receive},
    {400, Call::msgsnd},     {401, Call::msgrcv}, {418, Call::mq_send}, {419, Call::mq_receive},
    {420, Call::semtimedop}, {422, Call::futex},
};
// 32-bit programs enter by sysenter as well, but return behind the int $0x80 beside it in the vDSO.
constexpr Entry entries[] = {{"\x0f\x05"sv, native_numbers, false}, {"\xcd\x80"sv, i386_numbers, true}};
#elif defined(__aarch64__)
constexpr Entry entries[] = {{"\x01\x00\x00\xd4"sv, native_numbers, false}}; // svc #0
#else
constexpr Entry entries[] = {{""sv, native_numbers, false}};
#endif

std::optional<Call> find(std::span<const Number> numbers, long number) {
    for (const Number& one : numbers)
        if (one.number == number) return one.call;
    return std::nullopt;
}

using Arguments = std::array<std::uint64_t, 6>;

struct State {
    long number = -1;
    Arguments arguments{};
    std::uint64_t stack = 0;
    std::uint64_t next = 0; // the program counter
};

using Text = std::array<char, 256>;

// Empty when it cannot be read, with errno.
std::string_view read_again(int file, Text& text) {
    const ssize_t length = ::pread(file, text.data(), text.size() - 1, 0);
    if (length == 0) errno = ESRCH;
    if (length <= 0) return {};
    text[static_cast<std::size_t>(length)] = '\0';
    return {text.data(), static_cast<std::size_t>(length)};
}

// "running", or "-1 STACK NEXT" outside of a system call: nothing.
std::optional<State> parse(const char* text) {
    State state;
    char* end = nullptr;
    state.number = std::strtol(text, &end, 10);
    if (end == text || state.number < 0) return std::nullopt;
    for (auto& argument : state.arguments) argument = std::strtoull(end, &end, 16);
    state.stack = std::strtoull(end, &end, 16);
    state.next = std::strtoull(end, &end, 16);
    return state;
}

// A thread's memory, opened when it is first needed.
class Memory {
public:
    Memory(int process, const char* thread) : process_(process), thread_(thread) {}

    bool read(std::uint64_t address, std::span<std::byte> into) {
        if (!tried_) {
            file_.reset(::openat(process_, (std::string(thread_) + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
            tried_ = true;
        }
        return file_ && ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(address)) ==
                            static_cast<ssize_t>(into.size());
    }

private:
    int process_;
    const char* thread_;
    bool tried_ = false;
    Fd file_;
};

// A 32-bit program has no addresses from here on.
constexpr std::uint64_t narrow_end = std::uint64_t{1} << 32;

// Which table the number counts in; null for one that is not known here.
const Entry* entry_of(const State& state, Memory& memory) {
    for (const Entry& entry : entries) {
        std::array<std::byte, 8> before{};
        const std::size_t length = entry.instruction.size();
        if (memory.read(state.next - length, std::span(before).first(length))) {
            if (std::memcmp(before.data(), entry.instruction.data(), length) == 0) return &entry;
        } else {
            // No leave to read it.
            return state.stack >= narrow_end && state.next >= narrow_end ? &entries[0] : nullptr;
        }
    }
    return nullptr;
}

// The i386 call ipc(2): one number for all of System V. Puts the arguments into the order of the real call.
std::optional<Call> demultiplex(Arguments& arguments, Memory& memory) {
    const auto [call, first, second, third, pointer, fifth] = arguments;
    switch (call & 0xffff) {
    case 1: arguments = {first, pointer, second}; return Call::semop;
    case 4: arguments = {first, pointer, second, fifth}; return Call::semtimedop;
    case 11: arguments = {first, pointer, second, third}; return Call::msgsnd;
    case 12: {
        std::uint64_t type = fifth;
        if (call >> 16 == 0) { // the old form: {pointer, type} in memory
            std::array<std::uint32_t, 2> both{};
            if (!memory.read(pointer, std::as_writable_bytes(std::span(both)))) return std::nullopt;
            type = both[1];
        }
        arguments = {first, pointer, second, type, third};
        return Call::msgrcv;
    }
    default: return std::nullopt;
    }
}

bool waits_for_word(const Arguments& arguments) {
    switch (static_cast<int>(arguments[1]) & FUTEX_CMD_MASK) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_LOCK_PI:
    case 13: // FUTEX_LOCK_PI2, Linux 5.14
        // One that is private to its process is no business of others, wherever it is.
        return (static_cast<int>(arguments[1]) & FUTEX_PRIVATE_FLAG) == 0;
    default: return false;
    }
}

std::vector<SemaphoreOperation> read_operations(std::uint64_t address, std::uint64_t count, Memory& memory) {
    constexpr std::uint64_t most = 32768; // far above what kernel.sem allows anywhere
    if (count == 0 || count > most) return {};
    std::vector<struct sembuf> raw(count);
    if (!memory.read(address, std::as_writable_bytes(std::span(raw)))) return {};
    std::vector<SemaphoreOperation> operations;
    operations.reserve(raw.size());
    for (const auto& one : raw)
        operations.push_back({one.sem_num, one.sem_op, (static_cast<unsigned>(one.sem_flg) & SEM_UNDO) != 0});
    return operations;
}

Waiter::For what_for(const std::vector<SemaphoreOperation>& operations) {
    bool zero = false;
    for (const auto& one : operations) {
        if (one.change < 0) return Waiter::For::increase;
        if (one.change == 0) zero = true;
    }
    return zero ? Waiter::For::zero : Waiter::For::increase;
}

// A call with IPC_NOWAIT sleeps at most for a moment, for memory of its own: it is not blocked.
bool would_wait(std::uint64_t flags) { return (flags & IPC_NOWAIT) == 0; }

bool decode(Call call, bool narrow, const Arguments& arguments, Memory& memory, Blocked& blocked) {
    using On = Blocked::On;
    using For = Waiter::For;
    Waiter& waiter = blocked.waiter;
    const auto on = [&](On what, For why) {
        blocked.on = what;
        blocked.number = static_cast<int>(arguments[0]);
        waiter.what = why;
    };
    switch (call) {
    case Call::msgsnd:
        on(On::queue, For::send);
        waiter.bytes = arguments[2];
        return would_wait(arguments[3]);
    case Call::msgrcv:
        on(On::queue, For::receive);
        waiter.bytes = arguments[2];
        waiter.type =
            narrow ? static_cast<std::int32_t>(arguments[3]) : static_cast<std::int64_t>(arguments[3]);
        waiter.except = (arguments[4] & MSG_EXCEPT) != 0 && waiter.type > 0;
        return would_wait(arguments[4]);
    case Call::semop:
    case Call::semtimedop:
        waiter.operations = read_operations(arguments[1], arguments[2] & 0xffffffff, memory);
        on(On::semaphore_set, what_for(waiter.operations));
        waiter.timed = call == Call::semtimedop && arguments[3] != 0;
        return true;
    case Call::mq_send:
    case Call::mq_receive:
        on(On::descriptor, call == Call::mq_send ? For::send : For::receive);
        waiter.bytes = arguments[2];
        waiter.timed = arguments[4] != 0;
        return true;
    case Call::futex:
    case Call::restart:
        on(On::memory, For::futex);
        blocked.address = arguments[0];
        waiter.timed = arguments[3] != 0;
        return true;
    case Call::multiplex: break;
    }
    return false;
}

// Cheap tests, that almost every thread fails: it sleeps in something else.
template <class Matters>
bool is_possible(std::optional<Call> call, const State& state, Matters matters) {
    return call && ((*call != Call::futex && *call != Call::restart) ||
                    (waits_for_word(state.arguments) && matters(state.arguments[0])));
}

template <class Matters>
bool is_possible(const State& state, Matters matters) {
    return std::any_of(std::begin(entries), std::end(entries), [&](const Entry& entry) {
        return is_possible(find(entry.numbers, state.number), state, matters);
    });
}

} // namespace

bool may_be_blocked(int folder, const char* thread) {
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "%s/syscall", thread);
    const Fd file(::openat(folder, path.data(), O_RDONLY | O_CLOEXEC));
    Text text;
    if (!file || read_again(file.get(), text).empty()) return errno != ENOENT && errno != ESRCH;
    const auto state = parse(text.data());
    if (!state) return false;
    // The numbers of 32-bit programs are not all known here.
    const bool may_be_narrow = state->stack < narrow_end && state->next < narrow_end;
    return may_be_narrow || is_possible(*state, [](std::uint64_t) { return true; });
}

Answer read(int process, const char* thread, const std::function<bool(std::uint64_t)>& matters,
            Blocked& blocked) {
    blocked = {};
    const Fd file(::openat(process, (std::string(thread) + "/syscall").c_str(), O_RDONLY | O_CLOEXEC));
    Text text;
    const std::string_view before = file ? read_again(file.get(), text) : std::string_view();
    if (before.empty()) return errno == ENOENT || errno == ESRCH ? Answer::no : Answer::denied;
    const auto state = parse(text.data());
    if (!state) return Answer::no;

    if (!is_possible(*state, matters)) return Answer::no;

    Memory memory(process, thread);
    const Entry* entry = entry_of(*state, memory);
    if (entry == nullptr) return Answer::no;
    auto call = find(entry->numbers, state->number);
    if (!is_possible(call, *state, matters)) return Answer::no;
    Arguments arguments = state->arguments;
    if (call == Call::multiplex) call = demultiplex(arguments, memory);
    if (!call || !decode(*call, entry->narrow, arguments, memory, blocked)) return Answer::no;
    // What was read of its memory belongs to this call only if the thread is still in it.
    Text later;
    return read_again(file.get(), later) == before ? Answer::blocked : Answer::no;
}

std::optional<LastRun> last_run(int process, const char* thread) {
    const std::string folder = thread;
    const auto sched = procfs::read_start(process, (folder + "/sched").c_str());
    const auto stat = sched ? procfs::read_start(process, (folder + "/stat").c_str()) : std::nullopt;
    if (!stat) return std::nullopt;

    // "se.exec_start       :      11861332.312566", milliseconds
    const auto at = sched->find("se.exec_start");
    const auto colon = at == std::string::npos ? at : sched->find(':', at);
    if (colon == std::string::npos) return std::nullopt;
    const double milliseconds = std::strtod(sched->c_str() + colon + 1, nullptr);
    if (milliseconds <= 0) return std::nullopt;

    // The processor is the 39th field; the second, a name in brackets, may hold anything.
    std::size_t field = stat->rfind(')');
    for (int i = 2; i < 39 && field != std::string::npos; ++i) field = stat->find(' ', field + 1);
    if (field == std::string::npos) return std::nullopt;
    LastRun ran;
    ran.processor = static_cast<unsigned>(std::strtoul(stat->c_str() + field, nullptr, 10));
    ran.time = std::chrono::nanoseconds(static_cast<std::int64_t>(milliseconds * 1e6));
    return ran;
}

namespace {

// A set of processors of any size (CPU_ALLOC(3)).
class Processors {
public:
    // Those that the calling thread may run on.
    static Processors of_this_thread() {
        for (std::size_t size = 16;; size *= 2) {
            Processors set(size);
            if (::sched_getaffinity(0, set.bytes(), set.get()) == 0 || errno != EINVAL || size > 1 << 16)
                return set;
        }
    }
    static Processors only(unsigned processor) {
        Processors set(processor / 64 + 1);
        CPU_SET_S(processor, set.bytes(), set.get());
        return set;
    }
    // 0: the calling thread. False when that may not be.
    [[nodiscard]] bool run_there(pid_t thread) const {
        return ::sched_setaffinity(thread, bytes(), reinterpret_cast<const cpu_set_t*>(words_.data())) == 0;
    }

private:
    explicit Processors(std::size_t words) : words_(words) {}
    [[nodiscard]] std::size_t bytes() const { return words_.size() * sizeof words_[0]; }
    cpu_set_t* get() { return reinterpret_cast<cpu_set_t*>(words_.data()); }

    std::vector<unsigned long> words_;
};

} // namespace

std::map<unsigned, std::chrono::system_clock::duration> processor_clocks(
    int proc, const std::set<unsigned>& processors) {
    using std::chrono::system_clock;
    std::map<unsigned, system_clock::duration> clocks;
    if (processors.empty()) return clocks;

    const Processors all = Processors::of_this_thread();
    std::mutex mutex;
    std::condition_variable progress;
    bool done = false;
    std::atomic<bool> enough = false;
    std::atomic<pid_t> visitor_id = 0;
    auto visitor = quiet_thread([&] {
        visitor_id = ::gettid();
        for (const unsigned processor : processors) {
            if (enough) break;
            if (!Processors::only(processor).run_there(0)) continue;
            std::optional<system_clock::duration> best;
            for (int attempt = 0; attempt < 3; ++attempt) {
                ::sched_yield(); // brings this thread's own account up to date
                const auto now = system_clock::now();
                const auto self = last_run(proc, "thread-self");
                if (!self || self->processor != processor) continue;
                const auto difference = now.time_since_epoch() - self->time;
                if (!best || difference < *best) best = difference;
            }
            if (best) clocks.emplace(processor, *best);
        }
        const std::scoped_lock lock(mutex);
        done = true;
        progress.notify_one();
    });
    if (!visitor) return clocks; // no more threads for us: since when somebody waits is not known then
    // A processor may be taken by something that lets nobody else run: then the visitor is called back.
    std::unique_lock lock(mutex);
    auto patience = std::chrono::milliseconds(200);
    while (!progress.wait_for(lock, patience, [&] { return done; })) {
        enough = true;
        if (visitor_id != 0) static_cast<void>(all.run_there(visitor_id));
        patience = std::chrono::milliseconds(10);
    }
    lock.unlock();
    visitor->join();
    return clocks;
}

} // namespace ipcns::waiters
