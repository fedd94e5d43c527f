// SPDX-License-Identifier: Apache-2.0
// The processes of an IPC namespace, held still while somebody reads what they share.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/registry.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

namespace ipcns {

/// How to hold.
struct IPCNS_API HoldOptions {
    /// Everybody is let go when somebody has stood still for this long, whatever the holder is doing then; check()
    /// throws from that time on. Nothing: no limit, but still() gives up after ten seconds.
    std::optional<std::chrono::nanoseconds> max_pause;
    /// Hold also those who are not in the namespace, and map or have open an object of the place. Looking for them takes
    /// a pass over all processes, before anybody is stopped. Which namespace a mapped segment of System V is of, /proc does
    /// not say: who maps one of the same number elsewhere is held as well when more attachments are counted (shm_nattch)
    /// than are seen inside, and those of his own namespace are not just as many as are seen there.
    bool outsiders = true;
    /// Processes to be left alone, beside the calling one.
    std::vector<pid_t> except;
};

/// Processes that stand still for as long as this object lives: all their threads are stopped, by ptrace(2), and none of
/// them can tell afterwards. No system call fails with EINTR for it, no signal is lost or sent, a process that was stopped
/// by job control stays so, and a parent sees nothing in wait(2). Whatever becomes of the calling process, SIGKILL
/// included: they are let go.
///
/// | a thread that | is |
/// | --- | --- |
/// | runs, or sleeps in any other system call | stopped |
/// | is blocked in semop(2) or semtimedop(2) | not touched, since stopping would make the call fail with EINTR; it can't move while all others are still, but for a signal or a timeout, which check() finds |
/// | is in uninterruptible sleep (waits for a disk, or for the child of its vfork(2)) | stopped when it wakes up; what it does in that very system call before, check() finds |
///
/// System calls go on as after any stop (signal(7)), most with the time that they have left. Those that such a stop makes
/// fail with EINTR are begun again instead, and a timeout that they were called with then starts anew: a thread in
/// epoll_wait(2), sigtimedwait(2), io_getevents(2) or io_uring_enter(2), or in a call on a socket with SO_RCVTIMEO or
/// SO_SNDTIMEO, waits longer than it asked for, by the pause and what it had waited before; and one that calls
/// semtimedop(2) just when it is stopped, by the pause. Beginning again takes x86-64 (32-bit programs included): on
/// other machines those calls fail with EINTR, and so may a semop(2) that begins at the moment of stopping.
///
/// Held are processes: all threads of everyone who has a thread in the namespace, and with HoldOptions::outsiders those
/// who map or have open an object of the place; never the calling process, nor one of HoldOptions::except. Not held is
/// what no thread does: transfers that were begun with io_uring(7) or aio(7), a message in a network, a timer. Who is
/// killed meanwhile ends at once, as ever.
///
/// The tracer is a child process of the calling one, in a process group of its own, which shares its memory and makes no
/// noise: it sends no SIGCHLD, and wait(2) does not find it without __WALL or __WCLONE. It lets everybody go when the calling process ends in whatever way, replaces itself by exec, or is
/// stopped by job control, within some 20 ms. If it is killed itself (or both are at once, as by cgroup.kill), the kernel
/// lets everybody go; then one of those calls that are begun again may fail with EINTR, if its thread was stopped
/// in the microseconds before. Kernel: 5.12.
class IPCNS_API Hold {
public:
    /// How to hold.
    using Options = HoldOptions;

    /// Stops everybody, and returns when all stand still together. Needs PTRACE_MODE_ATTACH (ptrace(2)) for each
    /// process: root has it, and so has the owner of the user namespace that a process lives in; others have it for
    /// processes of the same user, unless the Yama security module keeps it from them (kernel.yama.ptrace_scope).
    /// Not to be called inside Namespace::call().
    /// @throws Error EPERM for the host's namespace and for process 1, which everything else waits for, the caller
    ///         included; EPERM when somebody may not be stopped; EBUSY when a debugger has somebody already;
    ///         ETIME when they don't all stand still in time. Everybody has been let go by then.
    [[nodiscard]] static Hold still(const Place& place, const Options& options = {});

    /// They stand still for the new object.
    Hold(Hold&&) noexcept;
    /// As release(), then as above.
    Hold& operator=(Hold&&) noexcept;
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;
    /// As release().
    ~Hold();

    /// Who stands still, in ascending order; those who only wait in semop(2), too.
    [[nodiscard]] const std::vector<pid_t>& processes() const noexcept;
    /// Processes that the caller may not look at: each may be in the namespace, or hold an object of it.
    [[nodiscard]] std::size_t unseen() const noexcept;

    /// Whether one of processes() has this file open. Who writes into a pipe that is read by somebody who stands still
    /// waits for ever, when the pipe is full; both ends of a pipe are the same file (fstat(2)). Of a socket, only the
    /// same end is.
    /// @throws Error when the descriptors of one of them may not be looked at
    [[nodiscard]] bool has_open(const FileId& file) const;

    /// Returns when nobody has moved since still(): what was read in between is of one moment. Takes a pass over /proc.
    /// Once it has thrown, it always does.
    /// @throws Error EAGAIN when somebody has moved, was killed, or came into the namespace, which the message names;
    ///         ETIME when max_pause is over; ECANCELED when the calling process was stopped meanwhile, or the tracer
    ///         killed; EINVAL after release()
    void check() const;

    /// Lets everybody go. @return how long the first of them was stopped
    std::chrono::nanoseconds release() noexcept;

private:
    class Grip;
    explicit Hold(std::unique_ptr<Grip> grip) noexcept;
    std::unique_ptr<Grip> grip_;
};

} // namespace ipcns
