// SPDX-License-Identifier: Apache-2.0
// Stopping a thread so that it cannot tell. Leans on ptrace(2), PTRACE_SEIZE and PTRACE_INTERRUPT, which send no signal
// and leave a stop by job control as it is; and on this of the kernel:
//
// A sleeping thread is woken to be stopped, and its system call gives up. Almost all of them return one of the ERESTART
// values then, for which the kernel has the call begin again when the thread goes on, or fail with EINTR when a handler
// ran. A few return EINTR at once (signal(7)). On x86 that choice is made after the stop, by what is in the registers: so
// ERESTARTNOHAND is put there in the place of EINTR, and the kernel does for these calls what it does for all others.
//
// What a stop is about stays in the thread until somebody waits for it without WNOWAIT. If nobody does, a signal that it
// was about to get is still delivered after the tracer has been killed.
#include "tracing.hpp"

#include "procfs.hpp"

#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#if defined(__x86_64__)
#include <linux/audit.h>
#endif

namespace ipcns::tracing {
namespace {

// The number behind "NAME:" in a status file.
std::uint64_t value_of(std::string_view text, std::string_view name) {
    const auto at = text.find(name);
    return at == std::string_view::npos ? 0 : std::strtoull(text.data() + at + name.size(), nullptr, 10);
}

#if defined(__x86_64__)

// What a stop makes fail with EINTR, having done nothing yet. Those on files are for sockets with a timeout; select and
// the like, for callers who keep their timeout where it can't be written.
constexpr long native_calls[] = {
    __NR_semop,    __NR_semtimedop, __NR_epoll_wait,      __NR_epoll_pwait, __NR_epoll_pwait2,
    __NR_recvfrom, __NR_recvmsg,    __NR_rt_sigtimedwait, __NR_sendto,      __NR_sendmsg,
    __NR_accept,   __NR_accept4,    __NR_connect,         __NR_read,        __NR_readv,
    __NR_write,    __NR_writev,     __NR_io_getevents,    __NR_recvmmsg,    __NR_sendmmsg,
    __NR_select,   __NR_pselect6,   __NR_io_pgetevents,   __NR_ppoll,       __NR_io_uring_enter,
};
// The same of 32-bit programs (arch/x86/entry/syscalls/syscall_32.tbl). 117 is ipc(2), all of System V; 102 is
// socketcall(2).
constexpr long i386_calls[] = {
    117, 420, 256, 319, 441, 371, 372, 177, 421, 369, 370, 364, 362, 3,   145, 4,
    146, 247, 337, 345, 82,  142, 308, 413, 385, 416, 309, 414, 426, 102, 417,
};

bool begins_again(pid_t thread, long call) {
    struct __ptrace_syscall_info about {};
    const bool narrow =
        ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof about, &about) > 0 && about.arch == AUDIT_ARCH_I386;
    const auto has = [call](const auto& calls) {
        return std::find(std::begin(calls), std::end(calls), call) != std::end(calls);
    };
    return narrow ? has(i386_calls) : has(native_calls);
}

#endif

} // namespace

Sight look(int process, const char* thread) {
    Sight sight;
    const auto text = procfs::read_start(process, (std::string(thread) + "/status").c_str());
    const auto state = text ? text->find("\nState:\t") : std::string::npos;
    if (state == std::string::npos) return sight;
    sight.state = (*text)[state + 8];
    sight.process = static_cast<pid_t>(value_of(*text, "\nTgid:"));
    sight.tracer = static_cast<pid_t>(value_of(*text, "\nTracerPid:"));
    sight.runs =
        value_of(*text, "\nvoluntary_ctxt_switches:") + value_of(*text, "\nnonvoluntary_ctxt_switches:");
    return sight;
}

bool waits_for_child(int process, const char* thread) {
    const auto text = procfs::read_start(process, (std::string(thread) + "/syscall").c_str());
    if (!text || text->starts_with("running")) return false;
    const long call = std::strtol(text->c_str(), nullptr, 10);
#ifdef __NR_vfork
    if (call == __NR_vfork) return true;
#endif
    return call == __NR_clone || call == __NR_clone3;
}

int stop(pid_t thread) noexcept {
    constexpr std::uintptr_t options = PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
    if (::ptrace(PTRACE_SEIZE, thread, nullptr, options) != 0) return errno;
    stop_again(thread);
    return 0;
}

void stop_again(pid_t thread) noexcept { ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr); }

Stop peek(pid_t thread) noexcept {
    Stop stop;
    siginfo_t about{};
    constexpr int news = static_cast<int>(__WALL) | WSTOPPED | WEXITED | WNOWAIT | WNOHANG;
    if (::waitid(P_PID, static_cast<id_t>(thread), &about, news) != 0 ||
        (about.si_pid != 0 && about.si_code != CLD_TRAPPED && about.si_code != CLD_STOPPED)) {
        stop.state = Stop::State::gone;
    } else if (about.si_pid != 0) {
        stop.state = Stop::State::stopped;
        const int event = about.si_status >> 8;
        if (event == 0) stop.signal = about.si_status & 0x7f;
        unsigned long child = 0;
        if ((event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK) &&
            ::ptrace(PTRACE_GETEVENTMSG, thread, nullptr, &child) == 0)
            stop.child = static_cast<pid_t>(child);
    }
    return stop;
}

void reap(pid_t thread) noexcept {
    // Whoever asks for ends alone gets stops of tracees as well, and takes them away.
    siginfo_t about{};
    if (peek(thread).state == Stop::State::gone)
        ::waitid(P_PID, static_cast<id_t>(thread), &about, static_cast<int>(__WALL) | WEXITED | WNOHANG);
}

void mend([[maybe_unused]] pid_t thread) noexcept {
#if defined(__x86_64__)
    constexpr unsigned long restart_without_handler = 514; // ERESTARTNOHAND, which user space has no name for
    constexpr unsigned long other_table = 0x40000000;      // x32
    struct user_regs_struct registers {};
    if (::ptrace(PTRACE_GETREGS, thread, nullptr, &registers) != 0) return;
    const auto call = static_cast<long>(registers.orig_rax & ~other_table);
    // Outside of a system call, orig_rax is -1.
    if (static_cast<int>(registers.rax) != -EINTR || static_cast<long>(registers.orig_rax) < 0 ||
        !begins_again(thread, call))
        return;
    ::ptrace(PTRACE_POKEUSER, thread, offsetof(struct user_regs_struct, rax), -restart_without_handler);
#endif
}

bool let_go(pid_t thread, int signal) noexcept {
    return ::ptrace(PTRACE_DETACH, thread, nullptr, static_cast<std::uintptr_t>(signal)) == 0;
}

} // namespace ipcns::tracing
