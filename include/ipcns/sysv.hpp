// SPDX-License-Identifier: Apache-2.0
// The System V objects (sysvipc(7)): message queues, semaphore sets and shared memory segments.
//
// Everything here acts in the IPC namespace that the calling thread is in: Namespace::call() (namespace.hpp) runs
// it in another one. An id means something only in the namespace that it is from. Any thread may call anything at
// any time; what another process does meanwhile is no error unless it is said to be.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/moment.hpp>

#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/types.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace ipcns {

// ---- Counting and clearing ---------------------------------------------------------------------------------------

/// How many System V objects there are. Three system calls, whatever the number.
struct IPCNS_API SysvUsage {
    std::size_t queues = 0;          ///< message queues
    std::size_t semaphore_sets = 0;  ///< semaphore sets
    std::size_t segments = 0;        ///< shared memory segments
    std::uint64_t segment_bytes = 0; ///< their sizes in whole pages, touched or not
    std::size_t semaphores = 0;      ///< in all sets; remove_all_sysv() does not count them

    /// Queues, sets and segments together.
    [[nodiscard]] std::size_t objects() const noexcept { return queues + semaphore_sets + segments; }
};

/// Counts by msgctl(MSG_INFO), semctl(SEM_INFO) and shmctl(SHM_INFO), in the calling thread's namespace; needs no privilege.
/// In a kernel without System V objects all is 0.
/// @throws Error when the kernel does not say (a security module's policy)
[[nodiscard]] IPCNS_API SysvUsage sysv_usage();

/// Removes every message queue, semaphore set and segment (IPC_RMID). The memory of a segment that nobody has
/// attached is free when this returns. Needs to be each object's owner or creator, or CAP_SYS_ADMIN in the
/// user namespace that owns the IPC namespace. Goes on after a failure and throws the first one at the end.
/// @return what was removed
/// @throws Error EPERM
IPCNS_API SysvUsage remove_all_sysv();

// ---- What an object is known by ----------------------------------------------------------------------------------

/// The number that msgget(2) returns, what `ipcs -q` calls msqid. It is an index into the kernel's table and a sequence
/// number that moves on when an index is used again: an id comes back only after more than 65,000 other objects of its
/// kind have been made in the namespace, or when someone privileged asks for it by kernel.msg_next_id (proc(5)).
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
    QueueId id{};               ///< by which it is found
    Key key = Key::none;        ///< by which programs find it
    Ownership who;              ///< whose it is
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
    SemaphoreSetId id{};   ///< by which it is found
    Key key = Key::none;   ///< by which programs find it
    Ownership who;         ///< whose it is
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
    SegmentId id{};             ///< by which it is found
    Key key = Key::none;        ///< `none` also for one that is `removed`
    Ownership who;              ///< whose it is
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
/// See find_queue().
[[nodiscard]] IPCNS_API std::optional<SemaphoreSetRecord> find_semaphore_set(Key key);
/// See find_queue(). A segment that is `removed` has no key any more and is found by its id alone.
[[nodiscard]] IPCNS_API std::optional<SegmentRecord> find_segment(SegmentId id,
                                                                  SegmentMemory memory = SegmentMemory::skip);
/// See find_queue().
[[nodiscard]] IPCNS_API std::optional<SegmentRecord> find_segment(Key key,
                                                                  SegmentMemory memory = SegmentMemory::skip);

/// Every semaphore of a set, in order. The values are of one moment (GETALL); the rest is asked for semaphore by
/// semaphore (GETPID, GETNCNT, GETZCNT) right after. Needs read permission, or CAP_IPC_OWNER.
/// @throws Error EACCES; EINVAL or EIDRM when there is no such set (any more)
[[nodiscard]] IPCNS_API std::vector<SemaphoreState> read_semaphores(SemaphoreSetId id);
/// Whether to ask for those who wait, too: two system calls of three. The numbers stay 0 when not.
enum class SemaphoreWaiters { skip, read };
/// The same for a set that was just listed: a system call less.
/// @throws Error EIDRM or EINVAL also when another set of another size has its id by now
[[nodiscard]] IPCNS_API std::vector<SemaphoreState> read_semaphores(
    const SemaphoreSetRecord& set, SemaphoreWaiters waiters = SemaphoreWaiters::read);
/// The values alone, all of one moment (GETALL): one system call.
/// @throws as read_semaphores()
[[nodiscard]] IPCNS_API std::vector<unsigned short> read_semaphore_values(const SemaphoreSetRecord& set);

/// How the messages of a queue were read without taking them.
struct IPCNS_API QueueReading {
    std::uint64_t messages = 0; ///< how many were given
    /// They are what was in the queue at one moment: all of it. False: it was used all the time while it was read.
    bool one_moment = true;

    friend bool operator==(const QueueReading&, const QueueReading&) = default;
};

/// Gives every message of a queue to @p give, the oldest first, and takes none (MSG_COPY, Linux 3.8): nobody who waits
/// wakes, and neither its last receiver nor its times move. Needs read permission, or CAP_IPC_OWNER.
///
/// The kernel goes from the first message to each one, so this takes time that grows with the square of their number. A
/// queue of up to 4 MiB is read as a whole, again while it is used meanwhile, before the first message is given; from a
/// longer one messages are given while it is being read, and if it is used meanwhile some may be missing or come twice.
/// What was sent or received in the same second in which the reading began shows in no counter when as much of it was
/// sent as was received; so what is read in such a second is read twice and compared.
/// @param give  takes a type, and bytes that are there until it returns. It may leave the thread's namespace only if it
///              comes back
/// @throws Error EACCES; EINVAL or EIDRM when there is no such queue (any more); EMSGSIZE when it has a message longer
///         than the limit msgmax, which must have been lowered since; ENOSYS in a kernel without
///         CONFIG_CHECKPOINT_RESTORE; and whatever @p give throws
IPCNS_API QueueReading
read_messages(QueueId id, const std::function<void(long type, std::span<const std::byte> bytes)>& give);

// ---- Making ------------------------------------------------------------------------------------------------------

/// What make_queue(), make_semaphore_set() and make_segment() have in common.
///
/// A key that is in use already is an error with `exclusive`. Without, the existing object's id is returned and the
/// object is never changed: `mode` and first values are for a new one only, as with open(2) and O_CREAT. What else was
/// asked for by name (owner, group, a queue's limit, a locked segment) must be so already, else Error EEXIST; so must
/// be, by the kernel, at least the count or bytes (EINVAL) and the permissions of `mode` for the caller (EACCES).
struct IPCNS_API MakeOptions {
    mode_t mode = 0600;              ///< permission bits, 0 to 0777; no umask applies
    bool exclusive = false;          ///< Error EEXIST when the key is in use
    std::optional<uid_t> owner = {}; ///< else the caller's effective user
    std::optional<gid_t> group = {}; ///< else the caller's effective group
};

/// Makes a message queue, or returns the one with this key: see MakeOptions. Key::none: always a new one. If
/// something fails after the creation, the new one is removed again.
/// @param limit  bytes that it takes before senders wait, else the limit msgmnb. More than msgmnb needs
///               CAP_SYS_RESOURCE in the initial user namespace.
/// @throws Error EEXIST; EACCES; ENOSPC when there are msgmni queues; EPERM when the limit is too high; EINVAL for an
///         owner or group without a mapping in the caller's user namespace
IPCNS_API QueueId make_queue(Key key, const MakeOptions& options = {},
                             std::optional<std::uint64_t> limit = {});

/// Makes a set of semaphores, or returns the one with this key: see make_queue() and MakeOptions. Between its creation
/// and its first values another process that knows the key can find it with all values 0.
/// @param count   semaphores in the set; 0 asks for an existing one of any size
/// @param values  first values, 0 to 32767 each, as many as @p count; none: all 0
/// @throws UsageError when there are values, but not @p count of them
/// @throws Error EINVAL when count is 0 or more than the first number of the limit sem (semmsl), or more than the
///         existing one has; ENOSPC for the second and fourth number (semmns, semmni); ERANGE for a value; EEXIST;
///         EACCES
IPCNS_API SemaphoreSetId make_semaphore_set(Key key, std::size_t count, const MakeOptions& options = {},
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
IPCNS_API SegmentId make_segment(Key key, std::uint64_t bytes, const SegmentOptions& options = {});

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
/// What remains: the kernel can't compare and remove in one step. Between the look and the removal, a microsecond when
/// nothing else wants to run, the object would have to go and its id come back (see QueueId for how rarely it does), or
/// somebody change it. And times are whole seconds: one that was made, within the very second of its creation, in the
/// place of another one with the same id, by the same process and with equal values, looks the same.
/// @return false: it is gone, or changed, or the id is another's by now. Nothing was removed.
/// @throws Error EPERM
IPCNS_API bool remove_same(const QueueRecord& record);
/// The same for a set of semaphores.
IPCNS_API bool remove_same(const SemaphoreSetRecord& record);
/// The same for a segment.
IPCNS_API bool remove_same(const SegmentRecord& record);

// ---- Using -------------------------------------------------------------------------------------------------------
//
// Handles of objects. Each call is one system call and costs what that costs: everything is inline and nothing is
// allocated. They can be moved, not copied; several threads may use one at the same time (not move or end it).
//
// A signal does not end a wait: its handler runs, and the wait goes on. (To stop a process and let it continue, or to
// freeze it, ends a semop(2) with EINTR, too, so that a program that gave up then would fail for no reason of its own.)
// Who wants to give up uses the try_ and _for forms.
//
// A handle must be used, and end, on threads in the namespace that its object is in: elsewhere the id is another
// object's or nobody's.

namespace detail {

// Out of line, so that the calls below stay short. All take errno.
[[noreturn]] IPCNS_API void fail_call(const char* verb, QueueId id);
[[noreturn]] IPCNS_API void fail_call(const char* verb, SemaphoreSetId id);
[[noreturn]] IPCNS_API void fail_call(const char* verb, SegmentId id);
[[noreturn]] IPCNS_API void refuse_size(std::size_t size, std::size_t capacity);
[[noreturn]] IPCNS_API void refuse_count(int count);
IPCNS_API void remove_quietly(QueueId id) noexcept;
IPCNS_API void remove_quietly(SemaphoreSetId id) noexcept;
IPCNS_API SegmentRecord existing_segment(Key key);

struct Attached {
    SegmentId id;
    std::span<std::byte> bytes;
};
IPCNS_API Attached create_attached(Key key, std::uint64_t bytes, const SegmentOptions& options);
IPCNS_API Attached create_temporary(std::uint64_t bytes, const SegmentOptions& options);

/// Which object a handle is for, and whether the object goes with it.
template <class Id>
class Handle {
public:
    Handle(Handle&& other) noexcept
        : id_(std::exchange(other.id_, Id{-1})), temporary_(std::exchange(other.temporary_, false)) {}
    Handle& operator=(Handle&& other) noexcept {
        if (this == &other) return *this;
        end();
        id_ = std::exchange(other.id_, Id{-1});
        temporary_ = std::exchange(other.temporary_, false);
        return *this;
    }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    /// The object's id; -1 once the handle was moved from.
    [[nodiscard]] Id id() const noexcept { return id_; }
    /// Leaves a temporary object where it is when the handle ends.
    void keep() noexcept { temporary_ = false; }

protected:
    Handle(Id id, bool temporary) noexcept : id_(id), temporary_(temporary) {}
    ~Handle() { end(); }

private:
    void end() noexcept {
        if (temporary_) remove_quietly(id_);
    }

    Id id_;
    bool temporary_;
};

} // namespace detail

/// A message with its bytes in the place where msgsnd(2) and msgrcv(2) want them: behind the type, in one piece. Fill
/// bytes() and send the message, or receive into it and read bytes(): nothing is copied on the way but by the kernel.
/// It is as large as its capacity and may lie anywhere; new bytes are not cleared.
template <std::size_t Capacity>
class QueueMessage {
public:
    /// @param type  a number above 0 of the programs' own choice; receivers can ask for it
    explicit QueueMessage(long type = 1) noexcept : size_(0) { buffer_.type = type; }
    /// Copies @p bytes.
    /// @throws UsageError when they are more than the capacity
    QueueMessage(long type, std::span<const std::byte> bytes) : size_(0) {
        buffer_.type = type;
        assign(bytes);
    }

    /// The type; above 0 for one that can be sent.
    [[nodiscard]] long type() const noexcept { return buffer_.type; }
    /// Sets the type.
    void set_type(long type) noexcept { buffer_.type = type; }

    /// How many bytes it can hold.
    [[nodiscard]] static constexpr std::size_t capacity() noexcept { return Capacity; }
    /// How many bytes it has.
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Makes it longer or shorter; the bytes that come in have any value.
    /// @throws UsageError when this is more than the capacity
    void resize(std::size_t size) {
        if (size > Capacity) detail::refuse_size(size, Capacity);
        size_ = size;
    }
    /// Copies @p bytes into it.
    /// @throws UsageError when they are more than the capacity
    void assign(std::span<const std::byte> bytes) {
        resize(bytes.size());
        if (!bytes.empty()) std::memcpy(buffer_.bytes.data(), bytes.data(), bytes.size());
    }
    /// The bytes it has, to be written or read.
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return {buffer_.bytes.data(), size_}; }
    /// The bytes it has.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {buffer_.bytes.data(), size_}; }

private:
    friend class MessageQueue;

    struct Buffer { // struct msgbuf of msgop(2)
        long type;
        std::array<std::byte, Capacity> bytes;
    };
    std::size_t size_;
    Buffer buffer_;
};

/// What was received into a span.
struct IPCNS_API Received {
    long type = 0;        ///< the message's type
    std::size_t size = 0; ///< bytes; what follows them in the span is unchanged

    friend bool operator==(const Received&, const Received&) = default;
};

/// What a receiver does with a message that is longer than its room.
enum class TooLong {
    refuse,  ///< Error E2BIG; it stays in the queue
    truncate ///< gives its first bytes; the rest is lost (MSG_NOERROR)
};

/// A System V message queue in use (msgop(2)).
///
/// A message goes in and out either as a QueueMessage, which has room for the type in front of the bytes and costs no copy,
/// or as a type and a span of bytes. The kernel wants both in one piece, so the second way copies: through the stack up
/// to `on_stack` bytes (as much as a system lets messages have that has not raised its limit msgmax), which for short
/// messages is not to be measured beside the system call; for longer ones through the heap.
///
/// Which message a receiver gets is told by `type` (msgrcv(2)): 0, the oldest; above 0, the oldest of that type; below 0,
/// of the lowest type that is not above its absolute value.
class IPCNS_API MessageQueue : public detail::Handle<QueueId> {
public:
    /// The longest message that send() and receive() with spans take through the stack.
    static constexpr std::size_t on_stack = 8192;

    /// The queue with this id. No system call is made: whether there is one shows in the first use.
    explicit MessageQueue(QueueId id) noexcept : Handle(id, false) {}
    /// The queue with this key. Needs no permission yet.
    /// @throws Error ENOENT, for Key::none too
    [[nodiscard]] static MessageQueue open(Key key);
    /// As make_queue().
    [[nodiscard]] static MessageQueue create(Key key, const MakeOptions& options = {},
                                             std::optional<std::uint64_t> limit = {}) {
        return MessageQueue(make_queue(key, options, limit));
    }
    /// A new queue without a key, which the destructor removes. A process that is killed leaves it behind.
    [[nodiscard]] static MessageQueue temporary(const MakeOptions& options = {},
                                                std::optional<std::uint64_t> limit = {}) {
        return {make_queue(Key::none, options, limit), true};
    }

    /// Sends, and waits while the queue is full. Needs write permission.
    /// @throws Error EINVAL when the type is not above 0 or the message longer than the limit msgmax; EACCES; EIDRM
    ///         when the queue was removed
    template <std::size_t Capacity>
    void send(const QueueMessage<Capacity>& message) const {
        (void)put(&message.buffer_, message.size_, 0);
    }
    /// The same for bytes that lie anywhere: copies them.
    void send(long type, std::span<const std::byte> bytes) const { (void)put_copy(type, bytes, 0); }

    /// Sends if that takes no wait.
    /// @return false: the queue is full
    /// @throws Error as send()
    template <std::size_t Capacity>
    [[nodiscard]] bool try_send(const QueueMessage<Capacity>& message) const {
        return put(&message.buffer_, message.size_, IPC_NOWAIT);
    }
    /// The same for bytes that lie anywhere: copies them.
    [[nodiscard]] bool try_send(long type, std::span<const std::byte> bytes) const {
        return put_copy(type, bytes, IPC_NOWAIT);
    }

    /// Receives, and waits while there is no such message. Needs read permission.
    /// @throws Error E2BIG, see TooLong; EACCES; EIDRM when the queue was removed
    template <std::size_t Capacity>
    void receive(QueueMessage<Capacity>& into, long type = 0, TooLong too_long = TooLong::refuse) const {
        (void)take(into, type, flag(too_long));
    }
    /// The same for bytes that are to lie anywhere: copies them.
    Received receive(std::span<std::byte> into, long type = 0, TooLong too_long = TooLong::refuse) const {
        return *take_copy(into, type, flag(too_long));
    }

    /// Receives what is there already.
    /// @return false or nothing: there is no such message
    /// @throws Error as receive()
    template <std::size_t Capacity>
    [[nodiscard]] bool try_receive(QueueMessage<Capacity>& into, long type = 0,
                                   TooLong too_long = TooLong::refuse) const {
        return take(into, type, flag(too_long) | IPC_NOWAIT);
    }
    /// The same for bytes that are to lie anywhere: copies them.
    [[nodiscard]] std::optional<Received> try_receive(std::span<std::byte> into, long type = 0,
                                                      TooLong too_long = TooLong::refuse) const {
        return take_copy(into, type, flag(too_long) | IPC_NOWAIT);
    }

    /// Reads the message at a place, 0 for the oldest, and leaves it in the queue (MSG_COPY, Linux 3.8).
    /// @return false or nothing: there are not so many
    /// @throws Error as receive(); ENOSYS in a kernel without CONFIG_CHECKPOINT_RESTORE
    template <std::size_t Capacity>
    [[nodiscard]] bool peek(QueueMessage<Capacity>& into, long place,
                            TooLong too_long = TooLong::refuse) const {
        return take(into, place, flag(too_long) | IPC_NOWAIT | MSG_COPY);
    }
    /// The same for bytes that are to lie anywhere: copies them.
    [[nodiscard]] std::optional<Received> peek(std::span<std::byte> into, long place,
                                               TooLong too_long = TooLong::refuse) const {
        return take_copy(into, place, flag(too_long) | IPC_NOWAIT | MSG_COPY);
    }

private:
    MessageQueue(QueueId id, bool temporary) noexcept : Handle(id, temporary) {}
    // What the calls below bring along: as much as most messages need, for far down the stack the memory is a cold one.
    static constexpr std::size_t at_hand = 256;
    using AtHand = QueueMessage<at_hand>::Buffer;

    static int flag(TooLong too_long) noexcept { return too_long == TooLong::truncate ? MSG_NOERROR : 0; }

    // False: not without a wait.
    bool put(const void* buffer, std::size_t size, int flags) const {
        for (;;) {
            if (::msgsnd(static_cast<int>(id()), buffer, size, flags) == 0) return true;
            if (errno == EAGAIN) return false;
            if (errno != EINTR) detail::fail_call("send to", id());
        }
    }
    bool put_copy(long type, std::span<const std::byte> bytes, int flags) const {
        if (bytes.size() > at_hand) return put_large(type, bytes, flags);
        AtHand buffer;
        buffer.type = type;
        if (!bytes.empty()) std::memcpy(buffer.bytes.data(), bytes.data(), bytes.size());
        return put(&buffer, bytes.size(), flags);
    }
    bool put_large(long type, std::span<const std::byte> bytes, int flags) const;

    // Below 0: there is none.
    ssize_t take(void* buffer, std::size_t size, long type, int flags) const {
        for (;;) {
            const ssize_t length = ::msgrcv(static_cast<int>(id()), buffer, size, type, flags);
            if (length >= 0 || errno == ENOMSG) return length;
            if (errno != EINTR) detail::fail_call("receive from", id());
        }
    }
    template <std::size_t Capacity>
    bool take(QueueMessage<Capacity>& into, long type, int flags) const {
        const ssize_t length = take(&into.buffer_, Capacity, type, flags);
        if (length < 0) return false;
        into.size_ = static_cast<std::size_t>(length);
        return true;
    }
    std::optional<Received> take_copy(std::span<std::byte> into, long type, int flags) const {
        if (into.size() > at_hand) return take_large(into, type, flags);
        AtHand buffer;
        const ssize_t length = take(&buffer, into.size(), type, flags);
        if (length < 0) return {};
        if (length > 0) std::memcpy(into.data(), buffer.bytes.data(), static_cast<std::size_t>(length));
        return Received{buffer.type, static_cast<std::size_t>(length)};
    }
    std::optional<Received> take_large(std::span<std::byte> into, long type, int flags) const;
};

/// Whether the kernel takes an operation back when the process ends (SEM_UNDO, semop(2)).
enum class Undo { no, yes };

/// A set of System V semaphores in use (semop(2)). Semaphores are numbered from 0. Changing a value takes write
/// permission, waiting for zero takes read permission.
///
/// Where it says `n`, that is by how much, 1 to 32767; UsageError for anything else.
///
/// All calls throw Error EFBIG (value() and set(): EINVAL) when there is no such semaphore in the set; EACCES; EINVAL or
/// EIDRM when the set is not there (any more), also while they wait; ENOSPC when there are too many entries to undo.
class IPCNS_API SemaphoreSet : public detail::Handle<SemaphoreSetId> {
public:
    /// The set with this id. No system call is made: whether there is one shows in the first use.
    explicit SemaphoreSet(SemaphoreSetId id) noexcept : Handle(id, false) {}
    /// The set with this key. Needs no permission yet.
    /// @throws Error ENOENT, for Key::none too
    [[nodiscard]] static SemaphoreSet open(Key key);
    /// As make_semaphore_set().
    [[nodiscard]] static SemaphoreSet create(Key key, std::size_t count, const MakeOptions& options = {},
                                             std::span<const unsigned short> values = {}) {
        return SemaphoreSet(make_semaphore_set(key, count, options, values));
    }
    /// A new set without a key, which the destructor removes. A process that is killed leaves it behind.
    [[nodiscard]] static SemaphoreSet temporary(std::size_t count, const MakeOptions& options = {},
                                                std::span<const unsigned short> values = {}) {
        return {make_semaphore_set(Key::none, count, options, values), true};
    }

    /// Takes @p n off the value, and waits until it is that much.
    void wait(unsigned short number, short n = 1, Undo undo = Undo::no) const {
        (void)one({number, minus(n), flag(undo)});
    }
    /// Adds @p n to the value. Never waits.
    /// @throws Error ERANGE when the value would be above 32767
    void post(unsigned short number, short n = 1, Undo undo = Undo::no) const {
        (void)one({number, static_cast<short>(-minus(n)), flag(undo)});
    }
    /// Waits until the value is 0.
    void wait_zero(unsigned short number) const { (void)one({number, 0, 0}); }

    /// The same if it takes no wait.
    /// @return false: it would
    [[nodiscard]] bool try_wait(unsigned short number, short n = 1, Undo undo = Undo::no) const {
        return one({number, minus(n), static_cast<short>(flag(undo) | IPC_NOWAIT)});
    }
    /// As wait_zero(), if it takes no wait. @return false: it would
    [[nodiscard]] bool try_wait_zero(unsigned short number) const { return one({number, 0, IPC_NOWAIT}); }

    /// The same, but waits at most so long. Where it takes no wait it makes the one system call of try_wait().
    /// @return false: the time is over; nothing was done
    [[nodiscard]] bool wait_for(unsigned short number, std::chrono::nanoseconds timeout, short n = 1,
                                Undo undo = Undo::no) const {
        return try_wait(number, n, undo) || one_for({number, minus(n), flag(undo)}, timeout);
    }
    /// As wait_zero(), but waits at most so long. @return false: the time is over
    [[nodiscard]] bool wait_zero_for(unsigned short number, std::chrono::nanoseconds timeout) const {
        return try_wait_zero(number) || one_for({number, 0, 0}, timeout);
    }

    /// Does several operations as one, all or none, and waits until all can be done.
    /// @param operations  as semop(2) takes them: with IPC_NOWAIT and SEM_UNDO as wanted
    /// @return false: one that must not wait (IPC_NOWAIT) would have had to; nothing was done
    /// @throws Error E2BIG when there are more than the third number of the limit sem; ERANGE
    bool operate(std::span<const struct sembuf> operations) const {
        for (;;) {
            // semop(2) only reads them, but its prototype doesn't say so.
            if (::semop(static_cast<int>(id()), const_cast<struct sembuf*>(operations.data()),
                        operations.size()) == 0)
                return true;
            if (errno == EAGAIN) return false;
            if (errno != EINTR) detail::fail_call("operate on", id());
        }
    }
    /// The same, but waits at most so long (semtimedop(2)).
    /// @return false: the time is over, or one must not wait; nothing was done
    [[nodiscard]] bool operate_for(std::span<const struct sembuf> operations,
                                   std::chrono::nanoseconds timeout) const;

    /// The value at this moment. Needs read permission.
    [[nodiscard]] int value(unsigned short number) const {
        const int value = ::semctl(static_cast<int>(id()), number, GETVAL);
        if (value < 0) detail::fail_call("read", id());
        return value;
    }
    /// Sets a value, and takes back what processes had to undo for this semaphore (SETVAL).
    /// @throws Error ERANGE when it is not 0 to 32767
    void set(unsigned short number, int value) const;
    /// Sets all values at once (SETALL).
    /// @param values  as many as the set has semaphores
    /// @throws UsageError when they are not
    void set_all(std::span<const unsigned short> values) const;

private:
    SemaphoreSet(SemaphoreSetId id, bool temporary) noexcept : Handle(id, temporary) {}

    static short flag(Undo undo) noexcept { return undo == Undo::yes ? SEM_UNDO : 0; }
    static short minus(short n) {
        if (n <= 0) detail::refuse_count(n);
        return static_cast<short>(-n);
    }
    bool one(const struct sembuf& operation) const { return operate({&operation, 1}); }
    bool one_for(const struct sembuf& operation, std::chrono::nanoseconds timeout) const {
        return operate_for({&operation, 1}, timeout);
    }
};

/// A shared memory segment that this process has attached (shmop(2)): its bytes, until the end of the object, which
/// detaches it. Use it as Segment, or as ReadOnlySegment, which needs no permission to write and has bytes that can't be
/// written to.
template <class Byte>
class BasicSegment {
    static_assert(std::is_same_v<std::remove_const_t<Byte>, std::byte>);

public:
    /// Attaches the segment of a record. Its size never changes, so that it need not be asked for again: this is the one
    /// system call.
    /// @param address  where to: a multiple of the page size (of SHMLBA, where that is more) where nothing is mapped
    ///                 yet; null: wherever the kernel likes
    /// @throws Error EACCES; EINVAL or EIDRM when there is no such segment (any more), or for the address; ENOMEM
    [[nodiscard]] static BasicSegment attach(const SegmentRecord& record, const void* address = nullptr) {
        return attach_known(record.id, record.bytes, address);
    }
    /// The same, with one more system call for the size (IPC_STAT).
    [[nodiscard]] static BasicSegment attach(SegmentId id, const void* address = nullptr) {
        struct shmid_ds about {};
        if (::shmctl(static_cast<int>(id), IPC_STAT, &about) < 0) detail::fail_call("look at", id);
        return attach_known(id, about.shm_segsz, address);
    }
    /// The same for the segment with this key.
    /// @throws Error ENOENT when there is none, and for Key::none
    [[nodiscard]] static BasicSegment attach(Key key, const void* address = nullptr) {
        return attach(detail::existing_segment(key), address);
    }
    /// Makes one as make_segment() and attaches it. If it can't be attached, a new one is removed again.
    [[nodiscard]] static BasicSegment create(
        Key key, std::uint64_t bytes, const SegmentOptions& options = {}) requires(!std::is_const_v<Byte>) {
        return BasicSegment(detail::create_attached(key, bytes, options));
    }
    /// Makes one without a key, attaches it and removes it at once: it lives on until the last process detaches, even if
    /// all are killed. It is for this process and its children; on Linux, others can attach it by its id as well.
    [[nodiscard]] static BasicSegment temporary(
        std::uint64_t bytes, const SegmentOptions& options = {}) requires(!std::is_const_v<Byte>) {
        return BasicSegment(detail::create_temporary(bytes, options));
    }

    /// The other one has no memory then.
    BasicSegment(BasicSegment&& other) noexcept : id_(other.id_), bytes_(std::exchange(other.bytes_, {})) {}
    /// Detaches what it had; the other one has no memory then.
    BasicSegment& operator=(BasicSegment&& other) noexcept {
        if (this == &other) return *this;
        detach();
        id_ = other.id_;
        bytes_ = std::exchange(other.bytes_, {});
        return *this;
    }
    BasicSegment(const BasicSegment&) = delete;
    BasicSegment& operator=(const BasicSegment&) = delete;
    ~BasicSegment() { detach(); }

    /// The segment's id.
    [[nodiscard]] SegmentId id() const noexcept { return id_; }
    /// The memory: as many bytes as were asked for when the segment was made. Empty once the object was moved from or
    /// detached. Other processes may read and write it at any time.
    [[nodiscard]] std::span<Byte> bytes() const noexcept { return bytes_; }

    /// Detaches it now; bytes() is empty from then on.
    void detach() noexcept {
        // It can fail only for an address that is not the start of an attached segment.
        if (bytes_.data() != nullptr) ::shmdt(bytes_.data());
        bytes_ = {};
    }

private:
    BasicSegment(SegmentId id, std::span<Byte> bytes) noexcept : id_(id), bytes_(bytes) {}
    explicit BasicSegment(const detail::Attached& attached) noexcept
        : BasicSegment(attached.id, attached.bytes) {}

    static BasicSegment attach_known(SegmentId id, std::size_t bytes, const void* address) {
        constexpr int flags = std::is_const_v<Byte> ? SHM_RDONLY : 0;
        void* const memory = ::shmat(static_cast<int>(id), address, flags);
        // shmat(2) returns (void*)-1 for a failure.
        if (reinterpret_cast<std::intptr_t>(memory) == -1) detail::fail_call("attach", id);
        return {id, {static_cast<Byte*>(memory), bytes}};
    }

    SegmentId id_;
    std::span<Byte> bytes_;
};

/// A segment to read and write.
using Segment = BasicSegment<std::byte>;
/// A segment to read.
using ReadOnlySegment = BasicSegment<const std::byte>;

} // namespace ipcns
