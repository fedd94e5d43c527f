// SPDX-License-Identifier: Apache-2.0
// Who maps an object, who has it open, and who is blocked on it. One pass over /proc finds it for all objects at once.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace ipcns {

/// A process that has a segment attached, or a POSIX object mapped (proc(5), /proc/PID/maps).
struct IPCNS_API Mapping {
    pid_t pid = 0; ///< the process
    /// Address space, all its mappings of this object together, in whole pages; touched or not. A segment that is
    /// attached twice counts twice.
    std::uint64_t bytes = 0;
    /// How many mappings. The kernel counts a segment's nattch (shmctl(2)) in the same way.
    std::size_t count = 0;
    /// Bytes of one huge page where the memory is made of these (SHM_HUGETLB), otherwise 0.
    std::uint64_t huge_page = 0;

    friend bool operator==(const Mapping&, const Mapping&) = default;
};

/// A descriptor of a POSIX object. A process that closed its descriptor after mmap(2) or sem_open(3) has none.
struct IPCNS_API OpenDescriptor {
    pid_t pid = 0; ///< the process
    int fd = -1;   ///< its number in that process
    /// What it was opened for.
    enum class Access {
        none, ///< O_PATH: holds the object, and can't read or write it
        read,
        write,
        both
    } access = Access::none; ///< what it was opened for

    friend bool operator==(const OpenDescriptor&, const OpenDescriptor&) = default;
};

/// One operation of semop(2) that a thread is blocked in.
struct IPCNS_API SemaphoreOperation {
    unsigned short number = 0; ///< which semaphore of the set
    short change = 0;          ///< negative: to be taken; 0: wait for zero; positive: to be given
    bool undo = false;         ///< SEM_UNDO

    friend bool operator==(const SemaphoreOperation&, const SemaphoreOperation&) = default;
};

/// A thread that is blocked in a system call on an object.
struct IPCNS_API Waiter {
    pid_t pid = 0;    ///< the process
    pid_t thread = 0; ///< equal to pid for the main thread
    /// What a thread waits for.
    enum class For {
        send,     ///< msgsnd(2), mq_send(3): for room in a full queue
        receive,  ///< msgrcv(2), mq_receive(3): for a message
        increase, ///< semop(2) with a negative number (and where the operations could not be read)
        zero,     ///< semop(2) that only waits for zero
        futex ///< futex(2) on a word in the object's memory: of a named semaphore sem_wait(3); of shared memory
              ///< a lock, condition or semaphore that programs keep in it
    } what = For::receive; ///< what it waits for
    /// msgrcv: the wanted type, as that system call takes it: 0 any, below 0 the lowest up to -type
    long type = 0;
    bool except = false;     ///< msgrcv: any type but this one (MSG_EXCEPT)
    std::uint64_t bytes = 0; ///< msgsnd, mq_send: size of the message; msgrcv, mq_receive: room for it
    /// semop: what was asked for, in its order; all of it happens at once or nothing. Empty when the thread's memory may
    /// not be read.
    std::vector<SemaphoreOperation> operations;
    std::uint64_t offset = 0; ///< futex: where in the object
    bool timed = false;       ///< gives up at some time
    /// Since when the thread has not run, as /proc/PID/task/TID/sched tells it. That is when it began to wait, or when
    /// it last woke up and had to wait again (a sender whose message still does not fit, one that was stopped). Exact to
    /// a few milliseconds, but for what is missing of the time since then: when a hypervisor took the processor
    /// away, or the machine was suspended. Nothing where the kernel does not tell (CONFIG_SCHED_DEBUG before
    /// Linux 6.15), where the processor on which it last ran may not be used or is too busy to answer within 0.2 s,
    /// and with HoldersOptions::since false.
    std::optional<std::chrono::system_clock::time_point> since;
};

/// What was found of one object, each in ascending order of pid.
struct IPCNS_API Holders {
    std::vector<Mapping> mappings;           ///< processes that map it
    std::vector<OpenDescriptor> descriptors; ///< descriptors of it
    std::vector<Waiter> waiters;             ///< threads that are blocked on it

    /// All mappings' counts together.
    [[nodiscard]] std::size_t attachments() const noexcept {
        std::size_t all = 0;
        for (const Mapping& mapping : mappings) all += mapping.count;
        return all;
    }
};

/// What to look for. Each part costs system calls for every process (thread, descriptor).
struct IPCNS_API HoldersOptions {
    bool mappings = true;    ///< who maps segments and files
    bool descriptors = true; ///< who has files open
    bool waiters = true;     ///< who is blocked
    bool since = true;       ///< fill in Waiter::since
    /// The file systems whose files are POSIX objects to be found: FileId::device of the mounts of queues and of the
    /// /dev/shm in question. Leave out those that hold no object: each descriptor of each process on the system is
    /// compared with them. Empty: System V objects only, and all processes outside the wanted namespaces are passed by.
    std::vector<dev_t> devices;
    /// Inventory::blocked of just now: no other process is asked what it waits for. Nothing: all are.
    std::optional<std::vector<pid_t>> blocked;
};

/// What one pass over /proc found, looked up by object. It does not change any more: any thread may read it.
///
/// System V objects are looked up by namespace and id. The kernel says only which id a mapping is of, not of which
/// namespace; the process's own namespace (that of its main thread) is taken for it. That is wrong for one that
/// attached a segment and moved to another namespace afterwards (setns(2), unshare(2)): it is missing at its segment,
/// and may be listed at another one that has the same id in its present namespace. Compare Holders::attachments() with
/// the segment's nattch: less means that somebody was not found (moved away, not to be seen, gone meanwhile); more, that
/// somebody is listed by mistake, or that processes share one address space (vfork(2)), each of which is listed; equal,
/// that everybody was found, unless two such errors make up for each other.
///
/// POSIX objects are looked up by file, whatever the process's namespace. Not found are descriptors on their way
/// through a socket, and a mapping where the file system shows other device numbers in stat(2) than in
/// /proc/PID/maps (btrfs; tmpfs and mqueue do not).
///
/// Waiters are threads in msgsnd, msgrcv, semop, semtimedop, mq_timedsend, mq_timedreceive and futex (with one word), of
/// the machine's own kind and, on x86-64, of 32-bit programs; 32-bit programs on other machines are left out. Threads
/// that wait by poll(2) or epoll(7) on a queue's descriptor are holders, not waiters.
class IPCNS_API HolderIndex {
public:
    /// Looks at all processes, on a few threads of its own. Processes that vanish meanwhile are left out.
    ///
    /// Needs PTRACE_MODE_READ_FSCREDS (ptrace(2)) for mappings and descriptors, and PTRACE_MODE_ATTACH_FSCREDS for
    /// waiters, which the Yama security module denies for others than children (unread() counts these). With
    /// HoldersOptions::since, a thread of this function runs for an instant on each processor that a waiter last ran on.
    /// Kernel: any; 6.11 (PROCMAP_QUERY) makes it faster.
    /// @param only the System V objects of these namespaces; empty: of all
    /// @throws Error when /proc cannot be read
    [[nodiscard]] static HolderIndex take(const std::vector<NamespaceId>& only = {},
                                          const HoldersOptions& options = {});

    /// The other one must not be used any more.
    HolderIndex(HolderIndex&&) noexcept;
    /// The other one must not be used any more.
    HolderIndex& operator=(HolderIndex&&) noexcept;
    HolderIndex(const HolderIndex&) = delete;
    HolderIndex& operator=(const HolderIndex&) = delete;
    ~HolderIndex();

    /// Null when nobody was found. The pointer is good as long as the index lives, so the index needs a name.
    [[nodiscard]] const Holders* of(const NamespaceId& space, QueueId id) const& noexcept;
    /// The same for a set.
    [[nodiscard]] const Holders* of(const NamespaceId& space, SemaphoreSetId id) const& noexcept;
    /// The same for a segment.
    [[nodiscard]] const Holders* of(const NamespaceId& space, SegmentId id) const& noexcept;
    const Holders* of(const NamespaceId&, QueueId) const&& = delete;
    const Holders* of(const NamespaceId&, SemaphoreSetId) const&& = delete;
    const Holders* of(const NamespaceId&, SegmentId) const&& = delete;
    /// POSIX queues, shared memory and named semaphores, on one of HoldersOptions::devices.
    [[nodiscard]] const Holders* of(const FileId& file) const& noexcept;
    const Holders* of(const FileId&) const&& = delete;

    /// Processes that could not be looked at, for want of rights (or of descriptors, of which the caller should have some
    /// twenty left): each may hold or wait for anything. Kernel threads don't count.
    [[nodiscard]] std::size_t unseen() const noexcept;
    /// Processes whose mappings and descriptors were seen, but not what all their threads wait for.
    [[nodiscard]] std::size_t unread() const noexcept;
    /// This /proc is mounted so that it leaves out processes of others (hidepid): more than unseen() are not seen.
    [[nodiscard]] bool incomplete() const noexcept;

private:
    struct Contents;
    explicit HolderIndex(std::unique_ptr<const Contents> contents) noexcept;
    std::unique_ptr<const Contents> contents_;
};

} // namespace ipcns
