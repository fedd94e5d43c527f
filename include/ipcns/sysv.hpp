// SPDX-License-Identifier: Apache-2.0
// The System V objects (sysvipc(7)): message queues, semaphore sets and shared memory segments.
//
// Everything here acts in the IPC namespace that the calling thread is in: Namespace::call() (namespace.hpp) runs
// it in another one. An id means something only in the namespace that it is from. Any thread may call anything at
// any time; what another process does meanwhile is no error unless it is said to be.
#pragma once

#include <ipcns/export.hpp>
#include <ipcns/moment.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace ipcns {

// ---- Counting and clearing ---------------------------------------------------------------------------------------

/// How many System V objects there are. Three system calls, whatever the number.
struct IPCNS_API SysvUsage {
    std::size_t queues = 0;          ///< message queues
    std::size_t semaphore_sets = 0;  ///< semaphore sets
    std::size_t segments = 0;        ///< shared memory segments
    std::uint64_t segment_bytes = 0; ///< their sizes in whole pages, touched or not

    [[nodiscard]] std::size_t objects() const noexcept { return queues + semaphore_sets + segments; }
};

/// Counts by msgctl(MSG_INFO), semctl(SEM_INFO) and shmctl(SHM_INFO); needs no privilege.
[[nodiscard]] IPCNS_API SysvUsage sysv_usage();

/// Removes every message queue, semaphore set and segment (IPC_RMID). The memory of a segment that nobody has
/// attached is free when this returns. Needs to be each object's owner or creator, or CAP_SYS_ADMIN in the
/// user namespace that owns the IPC namespace. Goes on after a failure and throws the first one at the end.
/// @return what was removed
/// @throws Error EPERM
IPCNS_API SysvUsage remove_all_sysv();

// ---- What an object is known by ----------------------------------------------------------------------------------

/// The number that msgget(2) returns, what `ipcs -q` calls msqid. It holds an index into the kernel's table and a
/// sequence number that moves on when an index is used again, so an id comes back only after the index has been
/// used some 65,000 times more (128 times with the boot option ipcmni_extend).
enum class QueueId : int {};
/// The number that semget(2) returns; see QueueId.
enum class SemaphoreSetId : int {};
/// The number that shmget(2) returns; see QueueId.
enum class SegmentId : int {};

/// The name under which programs that don't know each other find an object (ftok(3)). `none` (IPC_PRIVATE, 0): it
/// has no name and is found by its id alone. All 32 bits count; `ipcs` prints them in hexadecimal.
enum class Key : std::uint32_t { none = 0 };

/// Whose an object is. Users and groups as the calling thread's user namespace knows them: what that has no mapping
/// for shows as the overflow id (user_namespaces(7)), which is 65534 unless /proc/sys/kernel/overflowuid says
/// another number.
struct IPCNS_API Ownership {
    uid_t owner = 0;         ///< may be given away (IPC_SET)
    gid_t group = 0;         ///< may be given away
    uid_t creator = 0;       ///< never changes, and keeps the owner's rights
    gid_t creator_group = 0; ///< never changes
    mode_t mode = 0;         ///< permission bits, 0 to 0777; the x bits mean nothing

    friend bool operator==(const Ownership&, const Ownership&) = default;
};

// ---- Records -----------------------------------------------------------------------------------------------------

/// A message queue at one moment (struct msqid_ds, msgctl(2)).
struct IPCNS_API QueueRecord {
    QueueId id{};
    Key key = Key::none;
    Ownership who;
    std::uint64_t messages = 0; ///< in the queue now
    std::uint64_t bytes = 0;    ///< of these messages' texts
    std::uint64_t limit = 0;    ///< bytes that it takes before senders wait (msg_qbytes)
    pid_t last_sender = 0;   ///< who did the last msgsnd(2); 0: nobody, or not in the caller's pid namespace
    pid_t last_receiver = 0; ///< who did the last msgrcv(2); 0 likewise
    Moment sent;             ///< last msgsnd(2)
    Moment received;         ///< last msgrcv(2)
    Moment changed;          ///< creation or last IPC_SET

    friend bool operator==(const QueueRecord&, const QueueRecord&) = default;
};

/// A set of semaphores at one moment (struct semid_ds, semctl(2)).
struct IPCNS_API SemaphoreSetRecord {
    SemaphoreSetId id{};
    Key key = Key::none;
    Ownership who;
    std::size_t count = 0; ///< semaphores in the set, numbered from 0
    Moment operated;       ///< last semop(2)
    Moment changed;        ///< creation, last IPC_SET, or last value set by SETVAL or SETALL

    friend bool operator==(const SemaphoreSetRecord&, const SemaphoreSetRecord&) = default;
};

/// One semaphore of a set.
struct IPCNS_API SemaphoreState {
    int value = 0;  ///< 0 to 32767
    pid_t last = 0; ///< who changed or awaited it last; 0: nobody, or not in the caller's pid namespace
    unsigned waiting_increase = 0; ///< threads that wait for it to grow (GETNCNT)
    unsigned waiting_zero = 0;     ///< threads that wait for it to become zero (GETZCNT)

    friend bool operator==(const SemaphoreState&, const SemaphoreState&) = default;
};

/// A shared memory segment at one moment (struct shmid_ds, shmctl(2)). The kernel does not say whether one is made
/// of huge pages.
struct IPCNS_API SegmentRecord {
    SegmentId id{};
    Key key = Key::none; ///< `none` also for one that is `removed`
    Ownership who;
    std::uint64_t bytes = 0;    ///< as it was asked for; memory comes in whole pages, when they are touched
    std::uint64_t attached = 0; ///< mappings of it in all processes (shm_nattch)
    pid_t creator_pid = 0;      ///< 0: not in the caller's pid namespace
    pid_t last_pid = 0;   ///< who attached or detached last; 0: nobody, or not in the caller's pid namespace
    Moment attach_time;   ///< last shmat(2); a fork(2) is no attach
    Moment detach_time;   ///< last shmdt(2), or end of a process that had it attached
    Moment changed;       ///< creation or last IPC_SET
    bool removed = false; ///< is there only until the last process detaches (SHM_DEST)
    bool locked = false;  ///< is never swapped out (SHM_LOCKED)
    std::optional<std::uint64_t> resident; ///< bytes in memory; see SegmentMemory
    std::optional<std::uint64_t> swapped;  ///< bytes swapped out; see SegmentMemory

    friend bool operator==(const SegmentRecord&, const SegmentRecord&) = default;
};

// ---- Looking -----------------------------------------------------------------------------------------------------

/// Whether `resident` and `swapped` of segments are to be filled in. They come from /proc/sysvipc/shm (proc(5)),
/// which takes about twice as long as all the rest. They stay empty where there is no such file (a /proc mounted
/// with subset=pid, or none) and for a segment that went away in between.
enum class SegmentMemory { skip, read };

/// All queues, in the order of the kernel's table. One msgctl(MSG_STAT_ANY) (Linux 4.17) for each place in the table
/// up to the last one in use. Needs no privilege and no permission to read the objects. An object that comes or goes
/// meanwhile may be in it or not; all others are.
/// @throws Error ENOSYS in a kernel without System V objects
[[nodiscard]] IPCNS_API std::vector<QueueRecord> list_queues();
/// All semaphore sets, by semctl(SEM_STAT_ANY); see list_queues().
[[nodiscard]] IPCNS_API std::vector<SemaphoreSetRecord> list_semaphore_sets();
/// All segments, by shmctl(SHM_STAT_ANY), those that are `removed` but still attached too; see list_queues().
[[nodiscard]] IPCNS_API std::vector<SegmentRecord> list_segments(SegmentMemory memory = SegmentMemory::skip);

/// The queue with this id, or nothing. One system call; needs no privilege and no permission to read the object.
[[nodiscard]] IPCNS_API std::optional<QueueRecord> find_queue(QueueId id);
/// The queue with this key, or nothing; nothing for Key::none, which is no name. Two system calls.
[[nodiscard]] IPCNS_API std::optional<QueueRecord> find_queue(Key key);
/// See find_queue().
[[nodiscard]] IPCNS_API std::optional<SemaphoreSetRecord> find_semaphore_set(SemaphoreSetId id);
[[nodiscard]] IPCNS_API std::optional<SemaphoreSetRecord> find_semaphore_set(Key key);
/// See find_queue(). A segment that is `removed` has no key any more and is found by its id alone.
[[nodiscard]] IPCNS_API std::optional<SegmentRecord> find_segment(SegmentId id,
                                                                  SegmentMemory memory = SegmentMemory::skip);
[[nodiscard]] IPCNS_API std::optional<SegmentRecord> find_segment(Key key,
                                                                  SegmentMemory memory = SegmentMemory::skip);

/// Every semaphore of a set, in order. The values are of one moment (GETALL); the rest is asked for semaphore by
/// semaphore (GETPID, GETNCNT, GETZCNT) right after. Needs read permission, or CAP_IPC_OWNER.
/// @throws Error EACCES; EINVAL or EIDRM when there is no such set (any more)
[[nodiscard]] IPCNS_API std::vector<SemaphoreState> read_semaphores(SemaphoreSetId id);

// ---- Making ------------------------------------------------------------------------------------------------------

/// What make_queue(), make_semaphore_set() and make_segment() have in common.
///
/// A key that is in use already is an error with `exclusive`. Without, the existing object's id is returned and the
/// object is never changed: `mode` and first values are for a new one only, as with open(2) and O_CREAT. What else was
/// asked for by name (owner, group, a queue's limit, a locked segment) must be so already, else Error EEXIST; so must
/// be, by the kernel, at least the count or bytes (EINVAL) and the permissions of `mode` for the caller (EACCES).
struct IPCNS_API MakeOptions {
    mode_t mode = 0600;         ///< permission bits, 0 to 0777; no umask applies
    bool exclusive = false;     ///< Error EEXIST when the key is in use
    std::optional<uid_t> owner; ///< else the caller's effective user
    std::optional<gid_t> group; ///< else the caller's effective group
};

/// Makes a message queue, or returns the one with this key: see MakeOptions. Key::none: always a new one. If
/// something fails after the creation, the new one is removed again.
/// @param limit  bytes that it takes before senders wait, else the limit msgmnb. More than msgmnb needs
///               CAP_SYS_RESOURCE in the initial user namespace.
/// @throws Error EEXIST; EACCES; ENOSPC when there are msgmni queues; EPERM when the limit is too high; EINVAL for an
///         owner or group without a mapping in the caller's user namespace
[[nodiscard]] IPCNS_API QueueId make_queue(Key key, const MakeOptions& options = {},
                                           std::optional<std::uint64_t> limit = {});

/// Makes a set of semaphores, or returns the one with this key: see make_queue() and MakeOptions. Between its creation
/// and its first values another process that knows the key can find it with all values 0.
/// @param count   semaphores in the set; 0 asks for an existing one of any size
/// @param values  first values, 0 to 32767 each, as many as @p count; none: all 0
/// @throws UsageError when there are values, but not @p count of them
/// @throws Error EINVAL when count is 0 or more than the first number of the limit sem (semmsl), or more than the
///         existing one has; ENOSPC for the second and fourth number (semmns, semmni); ERANGE for a value; EEXIST;
///         EACCES
[[nodiscard]] IPCNS_API SemaphoreSetId make_semaphore_set(Key key, std::size_t count,
                                                          const MakeOptions& options = {},
                                                          std::span<const unsigned short> values = {});

/// How make_segment() is to make one.
struct IPCNS_API SegmentOptions : MakeOptions {
    bool huge_pages =
        false; ///< of huge pages (SHM_HUGETLB); needs CAP_IPC_LOCK or the group vm.hugetlb_shm_group
    std::uint64_t huge_page_size = 0; ///< bytes, a power of two; 0: the system's default
    bool no_reserve = false;          ///< reserve no swap space for it (SHM_NORESERVE)
    bool lock = false;                ///< never swap it out (SHM_LOCK); RLIMIT_MEMLOCK or CAP_IPC_LOCK
};

/// Makes a shared memory segment of zeros, or returns the one with this key: see make_queue() and MakeOptions.
/// @param bytes  its size; 0 asks for an existing one of any size
/// @throws UsageError when huge_page_size is no power of two
/// @throws Error EINVAL when bytes is 0 or more than the limit shmmax, or more than the existing one has; ENOSPC for
///         the limits shmmni and shmall; ENOMEM; EPERM for huge pages or lock; EEXIST; EACCES
[[nodiscard]] IPCNS_API SegmentId make_segment(Key key, std::uint64_t bytes,
                                               const SegmentOptions& options = {});

// ---- Removing ----------------------------------------------------------------------------------------------------

/// Removes a queue with its messages; whoever waits on it gets EIDRM. Needs to be its owner or creator, or
/// CAP_SYS_ADMIN in the user namespace that owns the IPC namespace.
/// @throws Error EPERM; EINVAL or EIDRM when there is no such queue (any more)
IPCNS_API void remove(QueueId id);
/// Removes a set of semaphores; see remove(QueueId).
IPCNS_API void remove(SemaphoreSetId id);
/// Removes a segment: at once when nobody has it attached, else its key, and the rest with the last detach. See
/// remove(QueueId).
IPCNS_API void remove(SegmentId id);

/// Removes the object of a record, if it is that one still and unchanged: id (which has the sequence number, see
/// QueueId), key, creator, owner, mode, size or count, creator's pid and the time `changed` are looked at again right
/// before. (A semaphore set counts as changed, too, when one of its values was set by semctl(2), not when semop(2)
/// was used on it.)
///
/// What remains: the kernel can't compare and remove in one step. Between the look and the removal, less than a
/// microsecond when nothing else wants to run, the object would have to go and its id come back, for which its index
/// has to be used some 65,000 times; or the object be changed by IPC_SET. And times are whole seconds: one that was
/// replaced by 65,000 others within the very second of its creation, by the same process and with equal values,
/// looks the same.
/// @return false: it is gone, or changed, or the id is another's by now. Nothing was removed.
/// @throws Error EPERM
IPCNS_API bool remove_same(const QueueRecord& record);
IPCNS_API bool remove_same(const SemaphoreSetRecord& record);
IPCNS_API bool remove_same(const SegmentRecord& record);

} // namespace ipcns
