// SPDX-License-Identifier: Apache-2.0
// Running programs in a namespace.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/limits.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/registry.hpp>

#include <signal.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ipcns {

/// How much a program gets for itself.
enum class Isolation {
    ipc_only,  ///< the IPC namespace: System V objects and POSIX queues
    six_kinds, ///< also POSIX shared memory and named semaphores: a private /dev/shm, and /dev/mqueue to match
    strict,    ///< also process ids, network, host name, /proc and /tmp
};

/// What to run and where.
struct IPCNS_API LaunchOptions {
    std::vector<std::string> arguments; ///< argv; the first is looked up in PATH as execvp(3) does
    std::optional<std::vector<std::string>> environment; ///< "KEY=VALUE" each; default: the caller's
    std::string directory;                               ///< working directory; empty: the caller's

    /// The place to enter. Null: a new namespace is made, by the settings below.
    const Place* place = nullptr;

    Isolation isolation =
        Isolation::six_kinds; ///< with a place: `ipc_only` leaves the mounts alone; not `strict`
    /// Bytes of the new /dev/shm; 0: no limit; default: as large as the host's. Means nothing with a place.
    std::optional<std::uint64_t> shm_size;
    /// Set before the program starts. With a place they are set there, for good, and with `self` in the caller's own namespace.
    std::vector<Limit> limits;
    bool map_root = false; ///< without CAP_SYS_ADMIN: be root in the new user namespace, instead of oneself
    bool die_with_parent =
        false; ///< SIGKILL the program when the thread that launches it ends (prctl(2), PR_SET_PDEATHSIG)
    std::optional<sigset_t> signal_mask; ///< the program's; default: that of the calling thread
    bool has_signal_handlers =
        true; ///< false: this process has none, which saves looking for them (64 system calls)
    std::optional<struct sigaction>
        child_action; ///< what the program inherits for SIGCHLD; default: the caller's
};

/// The program could not be executed: `code()` is ENOENT when it was not found (a shell's status 127), else
/// it cannot be run (126).
class IPCNS_API ProgramError : public Error {
public:
    using Error::Error;
    /// What a shell's status is for it.
    [[nodiscard]] int shell_status() const noexcept { return code().value() == ENOENT ? 127 : 126; }
};

/// How a program ended.
struct IPCNS_API ExitStatus {
    int code = 0;   ///< its exit status, if signal is 0
    int signal = 0; ///< the signal that killed it, or 0
    /// What a shell's status is for it: the exit status, or 128 and the number of the signal.
    [[nodiscard]] int shell_status() const noexcept { return signal != 0 ? 128 + signal : code; }
};

/// A program that was launched. It is a child process of the caller's. Destroying the object neither ends nor
/// reaps it.
class IPCNS_API Child {
public:
    /// Takes over a child process that the caller has cloned by itself into an IPC namespace of its own, so that
    /// Supervisor::wait() and clean_up() work on it.
    /// @param program a pidfd of it
    /// @param shm     the root of the /dev/shm that it alone has, or none
    /// @param queues  a mount of its POSIX queues, or its root, or none
    [[nodiscard]] static Child adopt(pid_t pid, Fd program, Namespace ipc, Fd shm, Fd queues);

    /// Process id in the caller's pid namespace. With Isolation::strict that of the small init process above
    /// the program.
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    /// The namespace that it was started in.
    [[nodiscard]] const Namespace& ipc() const noexcept { return ipc_; }

    /// Sends a signal to the program (not to the init above it).
    /// One that has ended takes signals, and does nothing, until it is reaped.
    /// @throws Error ESRCH when it was reaped; never a signal to somebody who has its number by then
    void signal(int number) const;

    /// Waits for the program to end and reaps it. Blocks the calling thread alone, and passes no signals on: Supervisor does.
    /// @throws Error ECHILD when it was reaped already: by wait(2) elsewhere, or by itself where SIGCHLD is ignored (except with
    /// Isolation::strict, where init tells the status)
    ExitStatus wait();

    /// Removes all objects that the namespace still holds, now and not when the kernel gets round to it; if
    /// other processes are inside, removes nothing and says which. (Where nothing is left to remove, nobody is
    /// looked for: processes_inside() tells.) For a program in a new namespace that has ended: of a place that was there before it
    /// removes nothing, and says that this is `unknown`. The caller's own
    /// namespace stays as it is.
    Leftovers clean_up() const;

    /// The same, sooner: moves the calling thread into the namespace for good (see Namespace::enter). For a
    /// program that is about to end.
    Leftovers enter_and_clean_up() const;

private:
    friend class Supervisor;
    friend class Launcher;
    Child(pid_t pid, Namespace ipc) noexcept : pid_(pid), ipc_(std::move(ipc)) {}
    [[nodiscard]] Leftovers remove_contents() const;
    [[nodiscard]] bool anything_inside() const;

    pid_t pid_;
    Namespace ipc_;
    Fd shm_;     // root of the private /dev/shm
    Fd queues_;  // root of a mount of its queues
    Fd program_; // pidfd of the program, where it is known
    Fd channel_; // strict: where init tells what becomes of the program
    bool place_ = false;
};

/// Starts a program. Between clone and exec nothing but async-signal-safe code runs, so that it works in
/// programs of many threads. Descriptors without close-on-exec, umask, limits, dispositions and all else
/// reach the program as execve(2) would pass them.
///
/// Without CAP_SYS_ADMIN a user namespace is made in which the caller's user and group stand for themselves,
/// and the program has no capabilities. Kernel: 5.2 (mounts by descriptor). The command's cost: see
/// docs/performance.md.
/// @throws ProgramError, UsageError; Error with a hint when the system says no. Nothing is left behind.
[[nodiscard]] IPCNS_API Child launch(const LaunchOptions& options);

/// Becomes the program, as execve(2): on success it does not return, and nobody cleans up after it. Only in a
/// process of one thread.
/// @throws as launch; by then the process may already have moved into other namespaces, so it should end.
[[noreturn]] IPCNS_API void replace(const LaunchOptions& options);

/// Moves the calling process into a place for good, as replace() does before it executes the program: into the IPC namespace,
/// and into a mount namespace of its own (Linux 5.2) with the place's /dev/shm and its queues on /dev/mqueue, where the place
/// has a /dev/shm and there is such a folder. What the host mounts later is seen there, too. Only in a process of one thread.
///
/// With CAP_SYS_ADMIN users, groups and capabilities stay what they are; without, the process joins the user namespace
/// that owns the place, where that is its own.
/// @param cut_off true: what the process mounts later stays in there. False: only what is mounted on /dev/shm and /dev/mqueue
///        does, and all the rest is seen outside as if it were mounted there
/// @throws Error as launch; by then the process may be half inside, so it should not do the work that it wanted to do there.
IPCNS_API void enter(const Place& place, bool cut_off = true);

/// The manners of a shell's child: for a process whose only work is to be the parent of one program.
///
/// From construction to destruction every signal that can be passed on is blocked in the calling thread, and
/// SIGCHLD has its default action; so make it before any other thread. wait() passes signals on (not those
/// that the terminal sent to the whole process group and that the program therefore has), stops when the
/// program stops and lets it go on when it is continued, and hands the terminal back and forth as a
/// job-control shell expects.
class IPCNS_API Supervisor {
public:
    Supervisor();
    ~Supervisor();
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    /// launch(), with the signal mask and the SIGCHLD action from before the construction.
    [[nodiscard]] Child launch(LaunchOptions options) const;

    /// Waits for the program to end.
    /// @throws Error as Child::wait()
    ExitStatus wait(Child& child) const;

private:
    sigset_t old_mask_;
    sigset_t passed_;
    struct sigaction old_child_ {};
};

/// Waits until no process is left in the namespace, whoever they belong to. Uses pidfds: no polling while
/// they live.
/// @param but processes that don't count, beside the caller, such as the keeper of a name
/// @throws Error when /proc cannot be read
IPCNS_API void wait_until_nobody_inside(const NamespaceId& id, const std::vector<pid_t>& but = {});

} // namespace ipcns
