// SPDX-License-Identifier: Apache-2.0
// One thread of another process, stopped by ptrace(2) so that it cannot tell afterwards.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace ipcns::tracing {

/// What /proc tells of a thread.
struct Sight {
    char state = 0; ///< as in proc_pid_status(5): R, S, D, T, t, Z, X; 0 when it is gone, or may not be read
    pid_t process = 0; ///< its process
    pid_t tracer =
        0; ///< the thread that traces it, 0 for none, and for one outside the pid namespace of /proc
    std::uint64_t runs = 0; ///< how often it was taken off a processor: while this stays, a sleeper has slept

    [[nodiscard]] bool gone() const noexcept { return state == 0 || state == 'Z' || state == 'X'; }
};

/// @param process a folder of /proc
/// @param thread  below it: "task/TID"
Sight look(int process, const char* thread);

/// True when a thread that is in state D waits for the child of its vfork(2) to exec or end.
bool waits_for_child(int process, const char* thread);

/// Makes the calling thread the tracer of @p thread and has it stop; those that it makes from now on are born stopped,
/// and traced as well. May wait for a thread of the same process to be reaped.
/// @return 0 or an errno value: ESRCH when it is gone, EPERM when it may not be, or is traced already
int stop(pid_t thread) noexcept;
/// Has a thread that is traced already stop.
void stop_again(pid_t thread) noexcept;

/// What has become of a thread that was to stop.
struct Stop {
    enum class State { not_yet, stopped, gone } state = State::not_yet;
    int signal = 0;  ///< the signal that it was about to get, which it must be sent on its way with
    pid_t child = 0; ///< the thread or process that it was just making, traced, too
};

/// Looks without taking the news away: a signal stays with its thread whatever becomes of the tracer.
Stop peek(pid_t thread) noexcept;

/// Reaps a thread if it has ended while it was traced. Until then its parent does not learn of it, and another thread of
/// its process that is in execve(2) waits for it. Does nothing to others.
void reap(pid_t thread) noexcept;

/// For a thread that has just stopped: if that made its system call fail with EINTR, has the call begin again when the
/// thread goes on, unless a handler runs first.
void mend(pid_t thread) noexcept;

/// Lets a stopped thread go. False when it is not stopped: then it goes when the tracer ends.
bool let_go(pid_t thread, int signal) noexcept;

} // namespace ipcns::tracing
