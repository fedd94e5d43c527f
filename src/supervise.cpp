// SPDX-License-Identifier: Apache-2.0
// Being the parent of one program, as a shell expects it.
//
// We and the program share a process group, so the terminal's own signals (Ctrl-C, Ctrl-Z, SIGWINCH) reach
// the program without us; the kernel marks them SI_KERNEL. What somebody sends to us alone is passed on. When
// the program stops we stop, so that the shell above sees a stopped job; when it continues us we continue the
// program. A program that is itself a shell makes its own group and takes the terminal: then it gets it back
// when we are continued in the foreground, and we take it back when it dies without giving it up
// (credentials(7), tcsetpgrp(3), waitpid(2)).
#include "error.hpp"
#include "plan.hpp"

#include <ipcns/inventory.hpp>

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace ipcns {
namespace {

// Signals that say something about this process itself, so that blocking them would be wrong.
constexpr int own_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGKILL, SIGSTOP};

// One of our standard descriptors that is a terminal, or -1.
int terminal() {
    for (int fd = 0; fd < 3; ++fd) {
        if (::tcgetpgrp(fd) >= 0) return fd;
    }
    return -1;
}

struct Event {
    siginfo_t signal{}; // si_signo 0: the channel has something
    bool from_init = false;
};

class Watch {
public:
    Watch(Child& child, pid_t pid, int channel, const sigset_t& passed)
        : child_(child),
          pid_(pid),
          channel_(channel),
          passed_(passed),
          terminal_(terminal()),
          foreground_(terminal_ >= 0 && ::tcgetpgrp(terminal_) == ::getpgrp()) {
        if (channel_ < 0) return;
        signals_.reset(::signalfd(-1, &passed_, SFD_CLOEXEC));
        if (!signals_) fail("watch for signals");
    }

    // Until the program has ended (or the init above it has something to say that only Child::wait() can
    // take).
    void run() {
        for (;;) {
            const Event event = next();
            if (event.from_init) {
                if (take_message()) break;
            } else if (event.signal.si_signo == SIGCHLD) {
                if (take_changes()) break;
            } else {
                pass_on(event.signal);
            }
        }
        take_terminal_back();
    }

    [[nodiscard]] ExitStatus status() const { return status_; }

private:
    Event next() {
        Event event;
        if (channel_ < 0) {
            while (::sigwaitinfo(&passed_, &event.signal) < 0) {
                if (errno != EINTR) fail("wait for a signal");
            }
            return event;
        }
        struct pollfd polled[2] = {{signals_.get(), POLLIN, 0}, {channel_, POLLIN, 0}};
        while (::poll(polled, 2, -1) < 0) {
            if (errno != EINTR) fail("wait for a signal");
        }
        if (polled[1].revents != 0) {
            event.from_init = true;
            return event;
        }
        struct signalfd_siginfo raw {};
        if (::read(signals_.get(), &raw, sizeof raw) != static_cast<ssize_t>(sizeof raw))
            fail("read a signal");
        event.signal.si_signo = static_cast<int>(raw.ssi_signo);
        event.signal.si_code = raw.ssi_code;
        event.signal.si_value.sival_ptr =
            reinterpret_cast<void*>(raw.ssi_ptr); // NOLINT(performance-no-int-to-ptr)
        return event;
    }

    // True when the program has ended.
    bool take_changes() {
        for (;;) {
            siginfo_t info{};
            if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WSTOPPED | WCONTINUED | WNOHANG) !=
                0)
                fail("wait for process " + std::to_string(pid_));
            switch (info.si_pid == 0 ? 0 : info.si_code) {
            case 0: return false;
            case CLD_STOPPED:
                if (channel_ < 0) stop();
                break;
            case CLD_CONTINUED:
            case CLD_TRAPPED: break;
            case CLD_EXITED: status_.code = info.si_status; return true;
            default: status_.signal = info.si_status; return true;
            }
        }
    }

    bool take_message() {
        Message message{};
        Fd fds[Message::most_fds];
        if (!receive(channel_, message, fds)) {
            // Init is gone without a word: what it exited with is all there is.
            channel_ = -1;
            return take_changes_blocking();
        }
        switch (message.kind) {
        case Message::Kind::stopped: stop(); return false;
        case Message::Kind::exited:
        case Message::Kind::killed: {
            (void)take_changes_blocking();
            status_ = {};
            (message.kind == Message::Kind::exited ? status_.code : status_.signal) = message.value;
            return true;
        }
        default: return false;
        }
    }

    bool take_changes_blocking() {
        siginfo_t info{};
        while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0) {
            if (errno != EINTR) fail("wait for process " + std::to_string(pid_));
        }
        (info.si_code == CLD_EXITED ? status_.code : status_.signal) = info.si_status;
        return true;
    }

    // The program has stopped: so do we, by the signal that a shell understands. SIGTSTP and not SIGSTOP:
    // where nobody could ever continue us (an orphaned process group) the kernel ignores it, and so we wait
    // on.
    void stop() {
        had_terminal_ =
            terminal_ >= 0 && ::tcgetpgrp(terminal_) == ::getpgid(pid_) && ::getpgid(pid_) != ::getpgrp();
        if (had_terminal_) (void)::tcsetpgrp(terminal_, ::getpgrp());
        struct sigaction standard {};
        standard.sa_handler = SIG_DFL;
        struct sigaction old {};
        ::sigaction(SIGTSTP, &standard, &old);
        ::kill(::getpid(), SIGTSTP);
        sigset_t one;
        ::sigemptyset(&one);
        ::sigaddset(&one, SIGTSTP);
        ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr); // stops here
        ::pthread_sigmask(SIG_BLOCK, &one, nullptr);
        ::sigaction(SIGTSTP, &old, nullptr);
        // Continued: SIGCONT is pending now and comes through next().
    }

    void resume() {
        const pid_t group = ::getpgid(pid_);
        if (had_terminal_ && terminal_ >= 0 && group > 0 && ::tcgetpgrp(terminal_) == ::getpgrp()) {
            (void)::tcsetpgrp(terminal_, group);
            had_terminal_ = false;
            ::kill(-group, SIGCONT);
        }
        try_signal(SIGCONT);
    }

    void pass_on(const siginfo_t& info) {
        const int number = info.si_signo;
        if (number == SIGCONT) {
            resume();
            return;
        }
        // The terminal sends to the whole group. A hang-up, though, it sends to the leader of its session
        // alone.
        const bool has_it = info.si_code == SI_KERNEL && ::getpgid(pid_) == ::getpgrp() &&
                            !(number == SIGHUP && ::getsid(0) == ::getpid());
        if (has_it) return;
        if (info.si_code == SI_QUEUE && channel_ < 0) {
            // A value goes with it.
            if (::sigqueue(pid_, number, info.si_value) == 0) return;
        }
        try_signal(number);
    }

    void try_signal(int number) {
        try {
            child_.signal(number);
        } catch (const Error&) {
            // It has ended, or has become somebody else (set-user-ID): then it gets what the terminal sends,
            // as under a shell.
        }
    }

    void take_terminal_back() const {
        if (!foreground_) return;
        const pid_t group = ::tcgetpgrp(terminal_);
        if (group > 0 && group != ::getpgrp() && ::kill(-group, 0) != 0 && errno == ESRCH)
            (void)::tcsetpgrp(terminal_, ::getpgrp());
    }

    Child& child_;
    pid_t pid_;
    int channel_;
    sigset_t passed_;
    int terminal_;
    bool foreground_;
    bool had_terminal_ = false;
    Fd signals_;
    ExitStatus status_;
};

} // namespace

Supervisor::Supervisor() {
    ::sigfillset(&passed_);
    for (const int number : own_signals) ::sigdelset(&passed_, number);
    ::pthread_sigmask(SIG_BLOCK, &passed_, &old_mask_);
    // An ignored SIGCHLD, which a parent may leave us, would make our child's status vanish. Where the action is the
    // default already it must not be set again: that would throw away the SIGCHLD of a child that has ended by now.
    ::sigaction(SIGCHLD, nullptr, &old_child_);
    if (old_child_.sa_handler == SIG_DFL && (old_child_.sa_flags & (SA_NOCLDSTOP | SA_NOCLDWAIT)) == 0)
        return;
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &standard, nullptr);
}

Supervisor::~Supervisor() {
    ::sigaction(SIGCHLD, &old_child_, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

Child Supervisor::launch(LaunchOptions options) const {
    options.signal_mask = old_mask_;
    options.child_action = old_child_;
    return ipcns::launch(options);
}

ExitStatus Supervisor::wait(Child& child) const {
    Watch watch(child, child.pid_, child.channel_.get(), passed_);
    watch.run();
    return watch.status();
}

void wait_until_nobody_inside(const NamespaceId& id, const std::vector<pid_t>& but) {
    for (;;) {
        std::vector<pid_t> inside = processes_inside(id);
        std::erase(inside, ::getpid());
        for (const pid_t pid : but) std::erase(inside, pid);
        if (inside.empty()) return;
        for (const pid_t pid : inside) {
            const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
            struct pollfd polled {
                process.get(), POLLIN, 0
            };
            // A thread may leave by setns(2) without its process ending: look again after a second.
            while (process && ::poll(&polled, 1, 1000) < 0 && errno == EINTR) {}
        }
    }
}

} // namespace ipcns
