// SPDX-License-Identifier: Apache-2.0
// Everybody in a namespace, held still together. Leans on tracing.cpp, on /proc/PID/task/TID/status counting how often a
// thread was taken off its processor, and on the kernel ending a tracer's hold with the tracer, however that ends.
//
// The tracer is a process of its own, the grip: an errand, which shares our memory. A thread would do, but then all the
// program around us would get signals for the threads that stop, and its waitpid(-1) would be told of them. And the grip
// sees the end of ours, SIGKILL included, and lets everybody go in good order, those too whom it has not mended yet.
//
// Who runs may make others, so: stop all, wait until they stand, look again, until a look finds nobody new and nobody
// moved. That look comes when all others stand already, which makes it the proof that they stand together.
#include <ipcns/hold.hpp>

#include "errand.hpp"
#include "error.hpp"
#include "outsiders.hpp"
#include "procfs.hpp"
#include "quiet_thread.hpp"
#include "tracing.hpp"
#include "waiters.hpp"

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace ipcns {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto most_patience = 10s;  // with no limit given, for somebody who does not stop
constexpr auto disk_patience = 50ms; // for uninterruptible sleep, which mostly ends sooner
constexpr const char* do_without = "or do without holding anybody still: --live";

using Path = std::array<char, 64>;

// A thread's folder below /proc.
Path folder_of(pid_t process, pid_t thread) {
    Path path{};
    std::snprintf(path.data(), path.size(), "%d/task/%d", process, thread);
    return path;
}

// "process 1234 (postgres)"
std::string called(int proc, pid_t process) {
    auto name = procfs::read_start(proc, procfs::ProcessPath(process)("comm"));
    std::string text = "process " + std::to_string(process);
    if (!name) return text;
    if (name->ends_with('\n')) name->pop_back();
    return text + " (" + escape(*name) + ")";
}

std::string stopping(int proc, pid_t process) { return "hold " + called(proc, process) + " still"; }

// What a message adds when time is over; nothing where the limit is not the caller's.
std::string not_within(const std::optional<std::chrono::nanoseconds>& pause) {
    if (!pause) return {};
    struct Unit {
        std::int64_t length;
        const char* word;
    };
    constexpr std::array units{Unit{1'000'000'000, "s"}, Unit{1'000'000, "ms"}, Unit{1000, "us"},
                               Unit{1, "ns"}};
    const auto* const unit = std::find_if(units.begin(), units.end(),
                                          [&](const Unit& one) { return pause->count() % one.length == 0; });
    return ": it was not done within the longest pause, " + std::to_string(pause->count() / unit->length) +
           unit->word;
}

// Below @p folder; none when it has vanished.
std::vector<pid_t> numbers(int folder, const char* path) {
    auto found = procfs::numbers_in(folder, path);
    if (errno != 0 && !procfs::is_gone(errno)) fail(std::string("list /proc/") + path);
    return found;
}

[[noreturn]] void refuse_rights(int proc, pid_t process) {
    const auto yama = procfs::read_start(AT_FDCWD, "/proc/sys/kernel/yama/ptrace_scope");
    std::string hint;
    if (yama && yama->starts_with('3'))
        hint = "kernel.yama.ptrace_scope is 3 here, so nobody may stop another process until the next boot; ";
    else if (::geteuid() == 0)
        hint = "it takes CAP_SYS_PTRACE in the process's user namespace; ";
    else if (yama && !yama->starts_with('0'))
        hint = "kernel.yama.ptrace_scope is " + yama->substr(0, 1) +
               " here, so be root, or do it from outside the namespace as the user who made it; ";
    else
        hint = "be the user whose process it is, or root; ";
    fail(EPERM, stopping(proc, process), hint + do_without);
}

[[noreturn]] void refuse_traced(int proc, pid_t process, pid_t tracer) {
    // It is a thread that traces.
    const pid_t debugger = tracing::look(proc, std::to_string(tracer).c_str()).process;
    fail(EBUSY, stopping(proc, process),
         called(proc, debugger != 0 ? debugger : tracer) + " traces it already: end that, " + do_without);
}

// Wakes somebody who waits for it, in this process or in one that shares its memory.
class Bell {
public:
    Bell() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (!fd_) fail("make an eventfd");
    }
    void ring() noexcept { ::eventfd_write(fd_.get(), 1); }
    // Until it rings, or has rung since the last wait; or this long.
    void wait(std::optional<Clock::duration> most = {}) noexcept {
        struct pollfd wanted {};
        wanted.fd = fd_.get();
        wanted.events = POLLIN;
        struct timespec time {};
        if (most) {
            const auto nanoseconds = std::max<std::int64_t>(0, std::chrono::nanoseconds(*most).count());
            time = {nanoseconds / 1'000'000'000, nanoseconds % 1'000'000'000};
        }
        ::ppoll(&wanted, 1, most ? &time : nullptr, nullptr);
        eventfd_t count = 0;
        ::eventfd_read(fd_.get(), &count);
    }

private:
    Fd fd_;
};

// Kills this process alone, which is an errand, unless it is put off all the time: whatever the grip is caught in, nobody
// is to be held for it.
class Deadline {
public:
    Deadline() {
        struct sigevent event {};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGKILL;
        if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) fail("make a timer");
        put_off();
    }
    ~Deadline() { ::timer_delete(timer_); }
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;

    void put_off() const noexcept {
        struct itimerspec later {};
        later.it_value.tv_sec = std::chrono::seconds(most_patience).count();
        ::timer_settime(timer_, 0, &later, nullptr);
    }

private:
    timer_t timer_{};
};

// Rings again and again in this process alone, which is an errand, when the calling thread lets it.
class Alarm {
public:
    // @param ring gets @p about as its signal's value
    Alarm(void (*ring)(int, siginfo_t*, void*), void* about) {
        struct sigaction action {};
        action.sa_sigaction = ring;
        action.sa_flags = SA_SIGINFO;
        ::sigaction(SIGALRM, &action, nullptr);
        struct sigevent event {};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGALRM;
        event.sigev_value.sival_ptr = about;
        if (::timer_create(CLOCK_MONOTONIC, &event, &timer_) != 0) fail("make a timer");
        const struct itimerspec often {
            {0, 20'000'000}, { 0, 20'000'000 }
        };
        ::timer_settime(timer_, 0, &often, nullptr);
    }
    ~Alarm() { ::timer_delete(timer_); }
    Alarm(const Alarm&) = delete;
    Alarm& operator=(const Alarm&) = delete;

    static void allow(bool yes) noexcept {
        sigset_t alarm;
        ::sigemptyset(&alarm);
        ::sigaddset(&alarm, SIGALRM);
        ::pthread_sigmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &alarm, nullptr);
    }

private:
    timer_t timer_{};
};

} // namespace

// ---- The grip ----------------------------------------------------------------------------------------------------

class Hold::Grip {
public:
    Grip(NamespaceId space, Outsiders outsiders, HoldOptions options);
    ~Grip() { release(); }
    Grip(const Grip&) = delete;
    Grip& operator=(const Grip&) = delete;

    void take();
    void check();
    std::chrono::nanoseconds release() noexcept;
    [[nodiscard]] bool has_open(const FileId& file) const;
    [[nodiscard]] const std::vector<pid_t>& processes() const noexcept { return processes_; }
    [[nodiscard]] std::size_t unseen() const noexcept { return unseen_; }

private:
    struct Held {
        pid_t process = 0;
        enum class How {
            coming,  // has been told to stop
            stopped, // stands
            waiting, // blocked in semop, and not touched
            asleep,  // in uninterruptible sleep; stops when it wakes up
        } how = How::coming;
        int signal = 0;               // see tracing::Stop
        std::uint64_t runs = 0;       // see tracing::Sight; of those who were not stopped
        bool waits_for_child = false; // asleep in vfork
    };
    using Threads = std::map<pid_t, Held>;
    enum class Phase { taking, holding, over };
    enum class Wish { nothing, check, release };

    // In the process of the grip.
    void run() noexcept;
    void take_hold();
    void serve();
    void let_all_go() noexcept;
    std::vector<pid_t> wanted();
    void meet_all();
    void meet(pid_t process, pid_t thread);
    void note(pid_t process, pid_t thread);
    bool waits_in_semop(pid_t process, pid_t thread);
    void sweep();
    void stand(Threads::value_type& one, const tracing::Stop& stop);
    void settle(bool in_time);
    void accept_sleepers(Clock::duration waited);
    bool unmoved(Threads::value_type& one);
    pid_t confirm(bool take_again);
    void confirm_all();
    void check_time() const;
    void reap_threads(pid_t process) const noexcept;
    void reap() const noexcept;
    [[nodiscard]] bool mine(pid_t process) const;
    [[nodiscard]] bool orphaned() const noexcept;

    const Fd proc_ = procfs::open_proc();
    const NamespaceId space_;
    const std::set<pid_t> outsiders_;
    const HoldOptions options_;
    const pid_t self_ = ::getpid();
    std::vector<pid_t> processes_;
    std::size_t unseen_ = 0;

    Threads threads_;
    std::vector<pid_t> coming_; // those of `threads_` that are
    pid_t meeting_ = 0;         // the process whose thread is being stopped
    bool again_ = false;        // another look at all is needed
    pid_t tracer_ = 0;
    std::optional<Clock::time_point> started_;
    std::chrono::nanoseconds pause_{};

    std::thread thread_; // starts the grip and waits for its end
    // No locks: the grip would wait for ever for one that our process held when it was killed.
    Bell wished_;   // rung for the grip
    Bell answered_; // and by it
    std::atomic<Wish> wish_ = Wish::nothing;
    std::atomic<Phase> phase_ = Phase::taking;
    std::exception_ptr moved_; // what check() found; the grip's until `wish_` is fulfilled
    std::exception_ptr
        ended_; // why the hold was over before it was wished; the grip's until the phase is over
    const Deadline* deadline_ = nullptr; // in the process of the grip, whose timer it is
};

// cppcheck-suppress passedByValue ; it is moved from
Hold::Grip::Grip(NamespaceId space, Outsiders outsiders, HoldOptions options)
    : space_(space),
      outsiders_(std::move(outsiders.processes)),
      options_(std::move(options)),
      unseen_(outsiders.unseen) {
    std::array<char, 16> own{};
    // The numbers in /proc are those of the pid namespace that it was mounted in.
    if (::readlinkat(proc_.get(), "self", own.data(), own.size() - 1) < 0 ||
        own.data() != std::to_string(self_))
        fail(EINVAL, "find processes in /proc", "it is that of another pid namespace: mount one for this");
    if (outsiders_.contains(1))
        fail(EPERM, stopping(proc_.get(), 1) + ", which has an object of the namespace open", do_without);
}

bool Hold::Grip::mine(pid_t process) const {
    return process == self_ || process == tracer_ ||
           std::find(options_.except.begin(), options_.except.end(), process) != options_.except.end();
}

// ---- Taking hold

// Our process has ended, or replaced itself by exec.
bool Hold::Grip::orphaned() const noexcept {
    sigset_t pending;
    return ::getppid() != self_ || (::sigpending(&pending) == 0 && ::sigismember(&pending, SIGRTMAX) == 1);
}

void Hold::Grip::check_time() const {
    if (orphaned()) fail(ECANCELED, "hold processes still");
    if (!started_ || Clock::now() - *started_ < options_.max_pause.value_or(most_patience)) return;
    const std::string limit = options_.max_pause ? "allow a longer pause, " : "";
    if (coming_.empty())
        fail(ETIME, "hold everybody still" + not_within(options_.max_pause), limit + do_without);
    const auto& [thread, held] = *threads_.find(coming_.front());
    fail(ETIME, stopping(proc_.get(), held.process) + not_within(options_.max_pause),
         "its thread " + std::to_string(thread) + " does not stop: " + limit + do_without);
}

std::vector<pid_t> Hold::Grip::wanted() {
    std::vector<pid_t> found;
    std::size_t unseen = 0;
    for (const pid_t process : procfs::processes(proc_.get())) {
        if (mine(process)) continue;
        bool inside = outsiders_.contains(process);
        if (!inside && !procfs::each_namespace(proc_.get(), process, "ipc",
                                               [&](ino_t inode) { return inside = inode == space_.inode; }))
            ++unseen;
        if (inside) found.push_back(process);
    }
    unseen_ = std::max(unseen_, unseen);
    return found;
}

// True when it is blocked in semop; `runs` is to be taken before.
bool Hold::Grip::waits_in_semop(pid_t process, pid_t thread) {
    waiters::Blocked blocked;
    const auto nothing = [](std::uint64_t) { return false; };
    return waiters::read(proc_.get(), folder_of(process, thread).data(), nothing, blocked) ==
               waiters::Answer::blocked &&
           blocked.on == waiters::Blocked::On::semaphore_set;
}

void Hold::Grip::note(pid_t process, pid_t thread) {
    threads_[thread] = {process, Held::How::coming, 0, 0, false};
    coming_.push_back(thread);
    again_ = true;
}

// Holds one whom we don't know yet.
void Hold::Grip::meet(pid_t process, pid_t thread) {
    if (threads_.contains(thread)) return;
    const auto folder = folder_of(process, thread);
    const auto sight = tracing::look(proc_.get(), folder.data());
    if (sight.gone()) {
        // Somebody whom it made may be there in its place, or itself by another number: a thread in execve takes that of
        // its process, whose first thread stays a zombie until then.
        const bool for_good =
            sight.state != 0 && (thread == process || (sight.tracer != 0 && sight.tracer != tracer_));
        if (!for_good) again_ = true;
        tracing::reap(thread);
        return;
    }
    if (process == 1) fail(EPERM, stopping(proc_.get(), process), do_without);
    if (sight.tracer == tracer_) { // born of one that is traced
        note(process, thread);
        return;
    }
    if (sight.tracer != 0) refuse_traced(proc_.get(), process, sight.tracer);
    if (!started_) started_ = Clock::now();
    if (waits_in_semop(process, thread)) {
        threads_[thread] = {process, Held::How::waiting, 0, sight.runs, false};
        again_ = true;
        return;
    }
    for (int attempt = 0;; ++attempt) {
        // While a thread is in execve, who wants to trace it waits until all others of its process are reaped, by their
        // tracer if they have one: so an alarm has us do that meanwhile. It rings nowhere else, and may do anything.
        meeting_ = process;
        Alarm::allow(true);
        const int number = tracing::stop(thread);
        Alarm::allow(false);
        const auto now = number == 0 ? sight : tracing::look(proc_.get(), folder.data());
        if (number == 0 || now.tracer == tracer_) {
            note(process, thread);
            return;
        }
        if (procfs::is_gone(number) || now.gone()) {
            again_ = true;
            return;
        }
        if (now.tracer != 0) refuse_traced(proc_.get(), process, now.tracer);
        // It may have been one that ended, in whose place another one is now that was in execve.
        if (number == EPERM && attempt == 20) refuse_rights(proc_.get(), process);
        if (number != EPERM) fail(number, stopping(proc_.get(), process), do_without);
        ::sched_yield();
    }
}

void Hold::Grip::meet_all() {
    for (const pid_t process : wanted()) {
        std::size_t told = 0;
        const auto threads = numbers(proc_.get(), procfs::ProcessPath(process)("task"));
        if (threads.empty()) again_ = true;
        for (const pid_t thread : threads) {
            meet(process, thread);
            // The sooner one that has stopped is looked at, the sooner its system call is mended.
            if (++told % 16 == 0) sweep();
        }
        sweep();
        deadline_->put_off();
        check_time();
    }
}

void Hold::Grip::stand(Threads::value_type& one, const tracing::Stop& stop) {
    tracing::mend(one.first);
    one.second.how = Held::How::stopped;
    one.second.signal = stop.signal;
}

// Who has stopped meanwhile?
void Hold::Grip::sweep() {
    std::vector<pid_t> born;
    std::erase_if(coming_, [&](pid_t thread) {
        const auto found = threads_.find(thread);
        if (found == threads_.end()) return true;
        const auto stop = tracing::peek(thread);
        if (stop.state == tracing::Stop::State::not_yet) return false;
        if (stop.state == tracing::Stop::State::gone) {
            // Or its number is: a thread in execve takes that of its process.
            threads_.erase(found);
            again_ = true;
            return true;
        }
        stand(*found, stop);
        if (stop.child != 0 && !threads_.contains(stop.child)) born.push_back(stop.child);
        return true;
    });
    for (const pid_t child : born) {
        const auto sight = tracing::look(proc_.get(), std::to_string(child).c_str());
        if (!sight.gone()) note(sight.process, child);
    }
}

void Hold::Grip::accept_sleepers(Clock::duration waited) {
    std::erase_if(coming_, [&](pid_t thread) {
        const auto found = threads_.find(thread);
        if (found == threads_.end()) return true;
        Held& held = found->second;
        const auto folder = folder_of(held.process, thread);
        const auto sight = tracing::look(proc_.get(), folder.data());
        if (sight.state != 'D') return false;
        held.waits_for_child = tracing::waits_for_child(proc_.get(), folder.data());
        if (!held.waits_for_child && waited < disk_patience) return false;
        held.how = Held::How::asleep;
        held.runs = sight.runs;
        return true;
    });
}

void Hold::Grip::settle(bool in_time) {
    const auto began = Clock::now();
    for (unsigned round = 0; !coming_.empty(); ++round) {
        sweep();
        deadline_->put_off();
        if (round % 16 == 15) {
            for (const pid_t thread : coming_) {
                const auto found = threads_.find(thread);
                if (found != threads_.end()) reap_threads(found->second.process);
            }
            accept_sleepers(Clock::now() - began);
        }
        if (in_time) check_time();
        if (!in_time && Clock::now() - began > std::chrono::seconds(1)) return;
        if (round < 64)
            ::sched_yield();
        else
            std::this_thread::sleep_for(100us);
    }
}

// Whether it still is as it was noted.
bool Hold::Grip::unmoved(Threads::value_type& one) {
    auto& [thread, held] = one;
    const auto folder = folder_of(held.process, thread);
    if (held.how == Held::How::waiting)
        return waits_in_semop(held.process, thread) &&
               tracing::look(proc_.get(), folder.data()).runs == held.runs;
    const auto stop = tracing::peek(thread);
    if (held.how == Held::How::stopped) return stop.state == tracing::Stop::State::stopped;
    if (stop.state == tracing::Stop::State::not_yet) {
        const auto sight = tracing::look(proc_.get(), folder.data());
        return sight.state == 'D' && sight.runs == held.runs;
    }
    if (stop.state != tracing::Stop::State::stopped) return false;
    stand(one, stop);
    return held.waits_for_child;
}

// Looks whether everybody is as he was noted. @return one who is not, or 0
// @param take_again hold those, too
pid_t Hold::Grip::confirm(bool take_again) {
    pid_t mover = 0;
    for (auto at = threads_.begin(); at != threads_.end();) {
        const auto current = at++;
        if (unmoved(*current)) continue;
        mover = current->first;
        if (!take_again) return mover;
        Held& held = current->second;
        if (held.how == Held::How::waiting || tracing::peek(mover).state == tracing::Stop::State::gone) {
            threads_.erase(current); // met again if it is still there
        } else if (held.how != Held::How::stopped || !unmoved(*current)) {
            held.how = Held::How::coming;
            coming_.push_back(mover);
            tracing::stop_again(mover);
        }
    }
    return mover;
}

void Hold::Grip::take_hold() {
    for (;;) {
        again_ = false;
        meet_all();
        settle(true);
        if (confirm(true) == 0 && !again_) break;
        check_time();
    }
    std::set<pid_t> all;
    for (const auto& [thread, held] : threads_) all.insert(held.process);
    processes_.assign(all.begin(), all.end());
}

void Hold::Grip::confirm_all() {
    const char* const again = "a signal, a timeout or the end of a wait for a disk made it move: try again, ";
    if (const pid_t thread = confirm(false))
        fail(EAGAIN,
             stopping(proc_.get(), threads_.at(thread).process) + ", of which thread " +
                 std::to_string(thread) + " moved",
             again + std::string(do_without));
    for (const pid_t process : wanted()) {
        for (const pid_t thread : numbers(proc_.get(), procfs::ProcessPath(process)("task"))) {
            if (threads_.contains(thread) ||
                tracing::look(proc_.get(), folder_of(process, thread).data()).gone())
                continue;
            fail(EAGAIN, stopping(proc_.get(), process) + ", which came into the namespace just now",
                 "try again, " + std::string(do_without));
        }
    }
}

// Those of a process, also some whom we have never met: they were born traced and killed at once.
void Hold::Grip::reap_threads(pid_t process) const noexcept {
    procfs::Numbers folder(proc_.get(), procfs::ProcessPath(process)("task"));
    for (std::vector<pid_t> some; folder.more(some); some.clear())
        for (const pid_t thread : some) tracing::reap(thread);
}

void Hold::Grip::reap() const noexcept {
    for (const auto& [thread, held] : threads_)
        if (held.how != Held::How::waiting) tracing::reap(thread);
}

// ---- Holding, letting go

void Hold::Grip::let_all_go() noexcept {
    try {
        // Who was told to stop and has not been looked at since may have a system call to be mended.
        settle(false);
    } catch (...) {
        // No memory: then it is not.
    }
    for (auto& one : threads_) {
        Held& held = one.second;
        const auto stop = held.how == Held::How::asleep ? tracing::peek(one.first) : tracing::Stop{};
        if (stop.state == tracing::Stop::State::stopped) stand(one, stop);
        // Those who have not stopped yet go with the end of this process.
        if (held.how != Held::How::waiting) tracing::let_go(one.first, held.signal);
    }
    if (started_) pause_ = Clock::now() - *started_;
}

void Hold::Grip::serve() {
    const auto end =
        options_.max_pause && started_ ? *started_ + *options_.max_pause : Clock::time_point::max();
    phase_ = Phase::holding;
    answered_.ring();
    for (;;) {
        wished_.wait(std::min<Clock::duration>(20ms, end - Clock::now()));
        deadline_->put_off();
        if (wish_ == Wish::release) return;
        if (wish_ == Wish::check) {
            try {
                if (!moved_) confirm_all();
            } catch (...) {
                moved_ = std::current_exception(); // for good: what was read since is of no one moment
            }
            auto fulfilled = Wish::check;
            wish_.compare_exchange_strong(fulfilled, Wish::nothing);
            answered_.ring();
        }
        reap();
        if (orphaned()) return;
        if (Clock::now() >= end)
            fail(ETIME, "hold everybody still until all is read" + not_within(options_.max_pause),
                 std::string("allow a longer pause, ") + do_without);
        // By Ctrl-Z, for example. Nobody knows for how long.
        if (tracing::look(proc_.get(), folder_of(self_, self_).data()).state == 'T')
            fail(ECANCELED, "hold everybody still",
                 "this program was stopped itself, and has let them go: try again");
    }
}

void Hold::Grip::run() noexcept {
    tracer_ = ::getpid();
    ::setpgid(0, 0);                     // what stops or ends all of a job is not for this
    ::prctl(PR_SET_PDEATHSIG, SIGRTMAX); // which is blocked, as all are: see orphaned()
    std::optional<Deadline> deadline;
    try {
        deadline_ = &deadline.emplace();
        {
            const Alarm alarm(
                [](int, siginfo_t* about, void*) {
                    const auto& grip = *static_cast<const Grip*>(about->si_value.sival_ptr);
                    const int number = errno;
                    grip.reap_threads(grip.meeting_);
                    errno = number;
                },
                this);
            take_hold();
        }
        serve();
    } catch (...) {
        ended_ = std::current_exception();
    }
    let_all_go();
}

void Hold::Grip::take() {
    if (on_errand()) fail(EDEADLK, "hold processes still from inside Namespace::call()");
    auto thread = quiet_thread([this] {
        try {
            errand("start a process that holds others still", 0, [this] { run(); });
        } catch (...) {
            ended_ = std::current_exception();
        }
        phase_ = Phase::over;
        answered_.ring();
    });
    if (!thread) fail(EAGAIN, "start a thread to hold processes still");
    thread_ = std::move(*thread);
    while (phase_ == Phase::taking) answered_.wait();
    if (phase_ == Phase::over && ended_) std::rethrow_exception(ended_);
}

void Hold::Grip::check() {
    if (phase_ == Phase::holding) {
        wish_ = Wish::check;
        wished_.ring();
        while (wish_ == Wish::check && phase_ != Phase::over) answered_.wait();
    }
    if (moved_) std::rethrow_exception(moved_);
    if (phase_ != Phase::over) return;
    if (ended_) std::rethrow_exception(ended_);
    fail(EINVAL, "ask whether somebody moved who has been let go");
}

std::chrono::nanoseconds Hold::Grip::release() noexcept {
    if (!thread_.joinable()) return pause_;
    wish_ = Wish::release;
    wished_.ring();
    thread_.join();
    return pause_;
}

bool Hold::Grip::has_open(const FileId& file) const {
    pid_t last = 0;
    for (const auto& [thread, held] : threads_) {
        if (std::exchange(last, held.process) == held.process) continue;
        const std::string path = std::string(folder_of(held.process, thread).data()) + "/fd";
        const Fd folder(::openat(proc_.get(), path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!folder && !procfs::is_gone(errno))
            fail("see what " + called(proc_.get(), held.process) + " has open");
        if (!folder) continue;
        const auto open = procfs::numbers_in(folder.get(), ".");
        if (errno != 0 && !procfs::is_gone(errno))
            fail("see what " + called(proc_.get(), held.process) + " has open");
        for (const int fd : open) {
            struct statx about {};
            // No file server is asked: one that is gone would answer never.
            if (::statx(folder.get(), std::to_string(fd).c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT,
                        STATX_INO, &about) == 0 &&
                file == FileId{makedev(about.stx_dev_major, about.stx_dev_minor), about.stx_ino})
                return true;
        }
    }
    return false;
}

// ---- The face

Hold::Hold(std::unique_ptr<Grip> grip) noexcept : grip_(std::move(grip)) {}
Hold::Hold(Hold&&) noexcept = default;
Hold& Hold::operator=(Hold&&) noexcept = default;
Hold::~Hold() = default;

Hold Hold::still(const Place& place, const Options& options) {
    if (place.ipc.id() == Namespace::host_id())
        fail(EPERM, "hold the host's IPC namespace still",
             std::string("everything is in it, your terminal as well; ") + do_without);
    Outsiders outsiders;
    if (options.outsiders) outsiders = find_outsiders(place);
    auto grip = std::make_unique<Grip>(place.ipc.id(), std::move(outsiders), options);
    grip->take();
    return Hold(std::move(grip));
}

const std::vector<pid_t>& Hold::processes() const noexcept { return grip_->processes(); }
std::size_t Hold::unseen() const noexcept { return grip_->unseen(); }
bool Hold::has_open(const FileId& file) const { return grip_->has_open(file); }
void Hold::check() const { grip_->check(); }
std::chrono::nanoseconds Hold::release() noexcept { return grip_->release(); }

} // namespace ipcns
