// SPDX-License-Identifier: Apache-2.0
// The POSIX objects: queues (part of the IPC namespace), shared memory and named semaphores (files of a
// /dev/shm, part of the mount namespace). All of them are files in a folder, so all is done by a descriptor of
// that folder: open_queues() or mount_queues() for queues, and for the others an open(2) of the /dev/shm that
// is meant (O_PATH is enough).
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/moment.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>

#include <cerrno>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ipcns {

/// What a folder of objects held.
struct IPCNS_API FilesUsage {
    std::size_t files = 0;   ///< queues, or shared memory objects and named semaphores, or other files
    std::uint64_t bytes = 0; ///< allocated bytes of the files (not for queues: 0)
};

/// Which file, as stat(2) and /proc/PID/maps name it: to be found again among what processes map or hold open.
struct IPCNS_API FileId {
    dev_t device = 0; ///< st_dev
    ino_t inode = 0;  ///< st_ino
    friend auto operator<=>(const FileId&, const FileId&) = default;
};

/// Whose file. Ids as the caller's user namespace knows them; the overflow id (65534) where it has no mapping.
struct IPCNS_API FileOwnership {
    uid_t owner = 0; ///< user
    gid_t group = 0; ///< its group
    mode_t mode = 0; ///< the permissions: 07777 bits

    friend bool operator==(const FileOwnership&, const FileOwnership&) = default;
};

/// What the three kinds have in common.
struct IPCNS_API PosixRecord {
    /// As programs pass it to mq_open(3), shm_open(3) or sem_open(3), with its slash: "/jobs". Raw bytes that
    /// another program chose, anything but NUL and a second slash: escape() before a person sees it.
    std::string name;
    FileId file;       ///< which file it is
    FileOwnership who; ///< whose it is
    Moment accessed;   ///< see the three kinds for what moves these
    Moment modified;   ///< last change of what is in it
    Moment changed;    ///< last change of anything about it
    /// When the file was made. Known of shared memory and semaphores since Linux 5.18 (statx(2)), never of queues.
    std::optional<std::chrono::sys_time<std::chrono::nanoseconds>> born;

    friend bool operator==(const PosixRecord&, const PosixRecord&) = default;
};

/// A POSIX message queue (mq_overview(7)).
///
/// `modified` is when a message was last sent or received. `accessed` and `changed` say that too, but also
/// move when anyone reads the queue's state, as list_posix_queues() does: what is reported is from before.
struct IPCNS_API PosixQueueRecord : PosixRecord {
    /// Who is to be told when a message arrives in the empty queue (mq_notify(3)).
    struct Notification {
        /// How.
        enum class Kind {
            signal, ///< SIGEV_SIGNAL
            none,   ///< SIGEV_NONE: registered, so nobody else can, but nothing will be sent
            thread, ///< SIGEV_THREAD
        };
        Kind kind = Kind::signal; ///< how
        int signal = 0;           ///< its number; 0 for the other kinds
        pid_t pid = 0;            ///< as the caller's pid namespace knows it; 0 when it does not

        friend bool operator==(const Notification&, const Notification&) = default;
    };
    /// Nothing in these four and in `notification`: the caller may not read the queue.
    std::optional<std::uint64_t> max_messages; ///< how many it takes (mq_maxmsg)
    std::optional<std::uint64_t> message_size; ///< bytes that a message may have (mq_msgsize)
    std::optional<std::uint64_t> messages;     ///< how many there are now
    std::optional<std::uint64_t> bytes;        ///< and their bytes together
    std::optional<Notification> notification;  ///< nothing: nobody is registered, or see above

    /// True when the caller may read the queue, and so knows all of the above.
    [[nodiscard]] bool readable() const noexcept { return max_messages.has_value(); }

    friend bool operator==(const PosixQueueRecord&, const PosixQueueRecord&) = default;
};

/// A named semaphore (sem_overview(7)): the file sem.NAME of a /dev/shm, as glibc lays it out.
///
/// `modified` and `changed` move when a process posts or waits for the first time after opening it, not each time: all
/// that happens in memory. Looking moves none of them for its owner and root.
struct IPCNS_API NamedSemaphoreRecord : PosixRecord {
    std::optional<unsigned> value;   ///< nothing: the caller may not read it
    std::optional<unsigned> waiters; ///< threads that are blocked in sem_wait(3), or about to be

    friend bool operator==(const NamedSemaphoreRecord&, const NamedSemaphoreRecord&) = default;
};

/// A shared memory object (shm_overview(7)): any other file of a /dev/shm.
///
/// `accessed` moves when it is read or mapped (no more than once a day with the mount option relatime), `modified` and
/// `changed` when it is written or truncated, and through a mapping with a process's first store to a page.
struct IPCNS_API SharedMemoryRecord : PosixRecord {
    std::uint64_t bytes = 0;     ///< its size
    std::uint64_t allocated = 0; ///< what of that takes memory or swap now: less than bytes when it is sparse

    friend bool operator==(const SharedMemoryRecord&, const SharedMemoryRecord&) = default;
};

/// What lies in a /dev/shm.
struct IPCNS_API SharedFolder {
    std::vector<SharedMemoryRecord> memory;       ///< shared memory objects, in no particular order
    std::vector<NamedSemaphoreRecord> semaphores; ///< named semaphores, likewise
    FilesUsage others; ///< no objects, but they take room: folders and all that is in them, links, FIFOs, ...
    std::size_t unseen = 0;   ///< files and folders that could not be looked at
    std::size_t unlisted = 0; ///< how many of these lie in the /dev/shm itself, and may be objects
};

/// A mount of the calling thread's POSIX message queues, attached to no path (mq_overview(7); fsmount(2),
/// Linux 5.2). Needs CAP_SYS_ADMIN in the user namespace that owns the IPC namespace. Closing it costs some
/// 60 us, in which the kernel waits for its other processors: for many in a row there is QueueMounts.
/// @return the mount's root; an empty Fd when this kernel has no POSIX queues
[[nodiscard]] IPCNS_API Fd mount_queues();

/// Mounts of queues that are all given back at once, for a walk through many namespaces.
///
/// A mount that goes by itself makes the kernel wait for its other processors, 10 to 200 us each time. So these are put
/// one onto the other, and all go when the object does, in one wait and some 1.5 us for each. What remains, 20 to 30 us
/// a mount with 1,000 IPC namespaces on the host, grows with their number, since the kernel looks for the namespace's
/// file system in a list of all.
class IPCNS_API QueueMounts {
public:
    /// Where the mounts are put.
    enum class Place {
        /// Nowhere: they are a tree that is attached to nothing. Before Linux 6.15, where there can be no such
        /// tree, each goes by itself. May be used on any thread.
        detached,
        /// In a mount namespace of the calling thread's own (unshare(2), CLONE_NEWNS and CLONE_FS; needs
        /// CAP_SYS_ADMIN in the caller's user namespace), which it takes for good at the first mount(): for a
        /// thread of the walk's own, which ends after it; it takes the working directory as well. The mounts go with
        /// the thread. Works in every kernel, and costs half as much.
        thread,
    };
    /// Makes no mount yet.
    explicit QueueMounts(Place place = Place::detached) noexcept : place_(place) {}

    /// As mount_queues(), for the namespace that the calling thread is in now.
    /// @return the mount's root, owned by this object, good until the next call or the object's end; what is
    ///         opened below it stays good. -1 when this kernel has no POSIX queues.
    [[nodiscard]] int mount();

private:
    int mount_on_path();
    int mount_detached();

    Place place_;
    Fd ground_;              // what the mounts are in; a detached tree lives as long as this
    Fd top_;                 // the last one, which the next is put onto
    std::size_t height_ = 0; // of that pile
    std::size_t piles_ = 0;
    std::string pile_; // the last one's name in the ground, where the mounts are a thread's own
};

/// What open_queues() found.
struct IPCNS_API QueueFolder {
    /// Why there is no folder.
    enum class Missing {
        nothing,     ///< there is one
        no_queues,   ///< this kernel has no POSIX queues: there are none to be seen
        not_mounted, ///< the caller may not mount them, and nothing of their kind is on /dev/mqueue
        another,     ///< the caller may not mount them, and /dev/mqueue shows those of another namespace
        unknown,     ///< the same, but whose /dev/mqueue shows cannot be told
    };
    Fd folder;                          ///< for list_posix_queues() and the like
    Missing missing = Missing::nothing; ///< why there is none
    std::string why;                    ///< the same in words for a person; empty when nothing is missing
    /// True when there is a folder.
    explicit operator bool() const noexcept { return static_cast<bool>(folder); }
};

/// What open_queues() may do to find out whose queues /dev/mqueue shows.
enum class QueueProbe {
    look, ///< only open a queue that is there
    make, ///< where that decides nothing, make a queue of one byte for some microseconds, too
};

/// A folder that shows the queues of the calling thread's namespace: a mount of its own where the caller may
/// make one (see mount_queues()), else /dev/mqueue, if that is of this very namespace.
///
/// The kernel tells nobody which namespace a mount of queues is of. So a queue of a name that is listed in
/// /dev/mqueue is opened by mq_open(3), which looks into the calling thread's namespace, and its device is
/// compared with that of the folder. When none is listed, or none may be opened, that cannot be told by
/// looking; a queue that is made and removed at once tells it for certain (@p probe).
[[nodiscard]] IPCNS_API QueueFolder open_queues(QueueProbe probe = QueueProbe::make);

/// Every queue, in no particular order. Queues that the caller may not read come with their name, owner and
/// times alone. Five system calls a queue.
///
/// One thing is no mere look: a process that is itself registered with a queue (mq_notify(3)) is so no longer when it
/// has closed any descriptor of that queue, as this does. Nobody else's registration is touched.
/// @param folder the root of a mount of queues
/// @throws Error EINVAL when it is something else; EACCES
[[nodiscard]] IPCNS_API std::vector<PosixQueueRecord> list_posix_queues(int folder);

/// The queue of that name, or nothing.
/// @throws UsageError when it is no name for a queue; Error as list_posix_queues()
[[nodiscard]] IPCNS_API std::optional<PosixQueueRecord> find_posix_queue(int folder, const std::string& name);

/// Everything in a /dev/shm. Follows no link, crosses no mount, blocks on nothing, opens nothing but files
/// that look like a semaphore, and reads 32 bytes of these.
///
/// A semaphore is a file sem.NAME of exactly the size of a sem_t; any other file is shared memory. A file of
/// several names is there under each. Folders are followed down to a depth of 32.
/// @param folder a descriptor of it; O_PATH will do
/// @throws Error ENOTDIR, EACCES
[[nodiscard]] IPCNS_API SharedFolder list_shared(int folder);

/// The shared memory object of that name, or nothing; nothing too when it is a semaphore, a link, a folder...
/// @throws UsageError when it is no name for one; Error EACCES
[[nodiscard]] IPCNS_API std::optional<SharedMemoryRecord> find_shared_memory(int folder,
                                                                             const std::string& name);

/// The semaphore of that name, or nothing. Its file is sem.NAME; @p name is without that: "/lock".
/// @throws UsageError when it is no name for one; Error EACCES
[[nodiscard]] IPCNS_API std::optional<NamedSemaphoreRecord> find_named_semaphore(int folder,
                                                                                 const std::string& name);

/// How an object is made.
///
/// One of that name that exists already is an error with `exclusive`. Without, it is left just as it is: `mode`, and
/// a semaphore's value, are for a new one only, as with open(2) and O_CREAT. What else was asked for by name (owner,
/// group, a queue's sizes) must be so already, else Error EEXIST; and shared memory must have at least the bytes.
///
/// A new one that cannot be given all that was asked for is removed again.
struct IPCNS_API PosixMakeOptions {
    mode_t mode = 0600;              ///< its permissions, exactly these whatever the umask
    bool exclusive = false;          ///< Error EEXIST when there is one of that name
    std::optional<uid_t> owner = {}; ///< else the caller; another one needs CAP_CHOWN
    std::optional<gid_t> group = {}; ///< else the caller's; needs to be a member of it, or CAP_CHOWN
};

/// Makes a queue in the calling thread's namespace. What is not given is the namespace's default (msg_default,
/// msgsize_default).
/// @return true when it was made, false when there was one already
/// @throws UsageError when it is no name for a queue (a slash, and up to 255 bytes without another one)
/// @throws Error EINVAL when a size is 0 or above the namespace's limit, ENOSPC when it has as many queues as it may,
///         EMFILE when RLIMIT_MSGQUEUE is exceeded, EEXIST, EPERM, ENODEV when this kernel has no POSIX queues
IPCNS_API bool make_posix_queue(const std::string& name, const PosixMakeOptions& options = {},
                                std::optional<std::uint64_t> max_messages = {},
                                std::optional<std::uint64_t> message_size = {});

/// Makes a shared memory object of zeros. It appears whole: with its size, owner and permissions.
/// @param folder   a /dev/shm; O_PATH will do
/// @param allocate true: its memory is set aside now, so that no program gets a SIGBUS later because /dev/shm is full
/// @return true when it was made, false when there was one already
/// @throws UsageError when it is no name for one (a slash, and up to 255 bytes without another one)
/// @throws Error EEXIST, ENOSPC, EFBIG, EPERM, EACCES
IPCNS_API bool make_shared_memory(int folder, const std::string& name, std::uint64_t bytes,
                                  const PosixMakeOptions& options = {}, bool allocate = false);

/// Makes a named semaphore, as sem_open(3) of this program's C library would write it. It appears whole.
/// @param folder a /dev/shm; O_PATH will do
/// @return true when it was made, false when there was one already
/// @throws UsageError when it is no name for one (a slash, and up to 251 bytes without another one)
/// @throws Error EINVAL when the value is above SEM_VALUE_MAX; EEXIST, ENOSPC, EPERM, EACCES
IPCNS_API bool make_named_semaphore(int folder, const std::string& name, unsigned value = 0,
                                    const PosixMakeOptions& options = {});

/// Removes the queue of a record, if it is that one still: device and inode, owner, group, mode and (where they are
/// known) sizes are looked at again right before. Its use since then does not matter. Who has it open keeps it.
///
/// What remains: no system call removes a file by anything but its name. Between the look and unlink(2), a few
/// microseconds when nothing else wants to run, another program may put a queue of its own in its place. And the inode
/// number of a queue that is gone comes back after some 4,295 million more pipes, sockets and queues of the whole host.
/// @return false: it is gone, or changed, or another one has its name. Nothing was removed.
/// @throws Error EPERM, EACCES: it is not the caller's, and neither is the folder
IPCNS_API bool remove_same(int folder, const PosixQueueRecord& record);
/// The same for shared memory, where its size and the time of its birth are compared, too, or the time `changed` where
/// that of the birth is not known. Numbers of inodes come back only in a tmpfs that was mounted with inode32 (tmpfs(5)).
IPCNS_API bool remove_same(int folder, const SharedMemoryRecord& record);
/// The same for a named semaphore, whose value does not matter.
IPCNS_API bool remove_same(int folder, const NamedSemaphoreRecord& record);

/// Counts what lies directly in @p folder (the root of a mount of queues, or of a /dev/shm).
[[nodiscard]] IPCNS_API FilesUsage files_usage(int folder);

/// Removes everything in @p folder and below, following no link and crossing no mount.
/// Goes on after a failure and throws the first one at the end. It does not race for ever against somebody who goes on making folders in
/// there: after 64 levels of them and ten seconds it throws EBUSY.
/// @return what was removed
IPCNS_API FilesUsage remove_all_files(int folder);

// ---- Using objects -----------------------------------------------------------------------------------------------
//
// Handles that cost what the system call costs: no lock, no allocation, no copy. Each closes or unmaps what it has at
// its end; the object stays until it is removed (mq_unlink(3), shm_unlink(3), sem_unlink(3), or remove_same() above).
// One handle may be used by several threads at the same time. A wait goes on after a signal handler has run; who wants
// to look around in between waits with a limit.

namespace detail {

/// Throws Error for a call that has just failed with errno. Text: "send to a POSIX queue".
[[noreturn]] IPCNS_API void posix_call_failed(const char* what);
/// Throws what is wrong with the name of a queue, or Error for mq_open(3) that has just failed with errno.
[[noreturn]] IPCNS_API void queue_not_opened(const std::string& name);

/// A deadline of long ago: what waits until then does not wait.
inline constexpr timespec at_once{0, 0};

/// The moment of a clock that lies @p wait ahead; a hundred years are as good as for ever.
template <class Rep, class Period>
timespec deadline_after(clockid_t clock, const std::chrono::duration<Rep, Period>& wait) noexcept {
    using std::chrono::nanoseconds;
    using Seconds = std::chrono::duration<double>;
    constexpr nanoseconds longest = std::chrono::hours(24 * 365 * 100);
    constexpr long second = 1'000'000'000;
    nanoseconds ahead(0);
    if (Seconds(wait) >= Seconds(longest))
        ahead = longest;
    else if (wait > wait.zero())
        ahead = std::chrono::duration_cast<nanoseconds>(wait);
    timespec moment{};
    ::clock_gettime(clock, &moment);
    moment.tv_sec += static_cast<time_t>(ahead.count() / second);
    moment.tv_nsec += static_cast<long>(ahead.count() % second);
    if (moment.tv_nsec >= second) {
        moment.tv_nsec -= second;
        ++moment.tv_sec;
    }
    return moment;
}

/// A point in time as system calls want it; what was before 1970, or a clock's start, is long ago.
template <class Clock>
timespec deadline_at(const std::chrono::time_point<Clock, std::chrono::nanoseconds>& when) noexcept {
    const auto since = when.time_since_epoch();
    if (since < since.zero()) return at_once;
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    return {static_cast<time_t>(seconds.count()), static_cast<long>((since - seconds).count())};
}

} // namespace detail

/// A POSIX message queue to send to and receive from (mq_overview(7)). Messages of higher priority come first.
class IPCNS_API PosixQueue {
public:
    /// What the queue is opened for; its permissions must allow that.
    enum class Access { receive = O_RDONLY, send = O_WRONLY, both = O_RDWR };

    /// What a message came with.
    struct Received {
        std::size_t size = 0;  ///< its bytes, from the start of the span
        unsigned priority = 0; ///< 0 to 32767
    };

    /// What a queue is like, and how full it is.
    struct Attributes {
        std::size_t max_messages = 0; ///< how many it takes
        std::size_t message_size = 0; ///< bytes that a message may have, and what receiving wants room for
        std::size_t messages = 0;     ///< how many there are now
    };

    /// Opens a queue of the calling thread's namespace.
    /// @throws UsageError when it is no name for a queue; Error ENOENT, EACCES, ENODEV without queues in the kernel
    [[nodiscard]] static PosixQueue open(const std::string& name, Access access = Access::both) {
        // The kernel refuses what is no name, too, but never sees what stands behind a null byte.
        if (name.find('\0') == std::string::npos) {
            if (Fd queue(::mq_open(name.c_str(), static_cast<int>(access) | O_CLOEXEC)); queue)
                return PosixQueue(std::move(queue));
        }
        detail::queue_not_opened(name);
    }
    /// Opens one of the namespace that @p folder shows: any that mount_queues() was called in.
    [[nodiscard]] static PosixQueue open(int folder, const std::string& name, Access access = Access::both);
    /// Makes one as make_posix_queue() does, and opens it, or the one that exists, for both.
    [[nodiscard]] static PosixQueue create(const std::string& name, const PosixMakeOptions& options = {},
                                           std::optional<std::uint64_t> max_messages = {},
                                           std::optional<std::uint64_t> message_size = {});
    /// Takes over a descriptor of mq_open(3).
    explicit PosixQueue(Fd fd) noexcept : fd_(std::move(fd)) {}

    /// Sends a message (mq_send(3)). Waits while the queue is full.
    /// @param priority 0 to 32767; the highest is received first
    /// @throws Error EMSGSIZE when it is too long, EINVAL for the priority, EBADF when not opened for that
    void send(std::span<const std::byte> message, unsigned priority = 0) {
        while (::mq_send(fd_.get(), text_of(message), message.size(), priority) != 0)
            if (errno != EINTR) detail::posix_call_failed("send to a POSIX queue");
    }

    /// Sends a message if there is room now. @return false when there is none
    [[nodiscard]] bool try_send(std::span<const std::byte> message, unsigned priority = 0) {
        return send_before(detail::at_once, message, priority);
    }

    /// Waits so long for room, by the system's clock (mq_timedsend(3)). @return false when there was none
    template <class Rep, class Period>
    [[nodiscard]] bool send_for(const std::chrono::duration<Rep, Period>& wait,
                                std::span<const std::byte> message, unsigned priority = 0) {
        return send_before(detail::deadline_after(CLOCK_REALTIME, wait), message, priority);
    }

    /// Waits until then for room. @return false when there was none
    [[nodiscard]] bool send_until(std::chrono::system_clock::time_point deadline,
                                  std::span<const std::byte> message, unsigned priority = 0) {
        return send_before(detail::deadline_at(deadline), message, priority);
    }

    /// Takes the oldest of the messages of highest priority (mq_receive(3)). Waits while the queue is empty.
    /// @param into room for Attributes::message_size bytes, however short the messages are
    /// @throws Error EMSGSIZE when there is less room, EBADF when not opened for that
    Received receive(std::span<std::byte> into) {
        Received received;
        ssize_t length = 0;
        while ((length = ::mq_receive(fd_.get(), text_of(into), into.size(), &received.priority)) < 0)
            if (errno != EINTR) detail::posix_call_failed("receive from a POSIX queue");
        received.size = static_cast<std::size_t>(length);
        return received;
    }

    /// Takes a message if there is one now. @return nothing when the queue is empty
    [[nodiscard]] std::optional<Received> try_receive(std::span<std::byte> into) {
        return receive_before(detail::at_once, into);
    }

    /// Waits so long for a message, by the system's clock (mq_timedreceive(3)). @return nothing when none came
    template <class Rep, class Period>
    [[nodiscard]] std::optional<Received> receive_for(const std::chrono::duration<Rep, Period>& wait,
                                                      std::span<std::byte> into) {
        return receive_before(detail::deadline_after(CLOCK_REALTIME, wait), into);
    }

    /// Waits until then for a message. @return nothing when none came
    [[nodiscard]] std::optional<Received> receive_until(std::chrono::system_clock::time_point deadline,
                                                        std::span<std::byte> into) {
        return receive_before(detail::deadline_at(deadline), into);
    }

    /// How large it is and how full, at this moment.
    [[nodiscard]] Attributes attributes() const {
        struct mq_attr about {};
        if (::mq_getattr(fd_.get(), &about) != 0) detail::posix_call_failed("look at a POSIX queue");
        return {static_cast<std::size_t>(about.mq_maxmsg), static_cast<std::size_t>(about.mq_msgsize),
                static_cast<std::size_t>(about.mq_curmsgs)};
    }

    /// Asks for a signal to this process when a message comes into the empty queue, once (mq_notify(3)).
    /// @throws Error EBUSY when a process is registered already
    void notify_by_signal(int signal) {
        struct sigevent how {};
        how.sigev_notify = SIGEV_SIGNAL;
        how.sigev_signo = signal;
        if (::mq_notify(fd_.get(), &how) != 0) detail::posix_call_failed("register with a POSIX queue");
    }

    /// Takes this process's registration back, if there is one.
    void stop_notifying() {
        if (::mq_notify(fd_.get(), nullptr) != 0)
            detail::posix_call_failed("take back a registration with a POSIX queue");
    }

    /// The descriptor, still owned by this object. poll(2) and epoll(7) take it, too.
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

private:
    static const char* text_of(std::span<const std::byte> bytes) noexcept {
        return reinterpret_cast<const char*>(bytes.data());
    }
    static char* text_of(std::span<std::byte> bytes) noexcept {
        return reinterpret_cast<char*>(bytes.data());
    }

    bool send_before(const timespec& deadline, std::span<const std::byte> message, unsigned priority) {
        while (::mq_timedsend(fd_.get(), text_of(message), message.size(), priority, &deadline) != 0) {
            if (errno == ETIMEDOUT || errno == EAGAIN) return false;
            if (errno != EINTR) detail::posix_call_failed("send to a POSIX queue");
        }
        return true;
    }

    std::optional<Received> receive_before(const timespec& deadline, std::span<std::byte> into) {
        unsigned priority = 0;
        ssize_t length = 0;
        while ((length = ::mq_timedreceive(fd_.get(), text_of(into), into.size(), &priority, &deadline)) <
               0) {
            if (errno == ETIMEDOUT || errno == EAGAIN) return std::nullopt;
            if (errno != EINTR) detail::posix_call_failed("receive from a POSIX queue");
        }
        return Received{static_cast<std::size_t>(length), priority};
    }

    Fd fd_;
};

/// A shared memory object, mapped (shm_overview(7)). As with all mapped files, who touches a page behind the end of an
/// object that somebody has made shorter, or one that /dev/shm has no room for, gets a SIGBUS.
class IPCNS_API SharedMemory {
public:
    /// What the memory is mapped for; the object's permissions must allow that.
    enum class Access { read, write };

    /// Opens the object of that name in the /dev/shm of the calling process and maps all of it.
    /// @throws UsageError when it is no name for one; Error ENOENT, EACCES, ENOMEM
    [[nodiscard]] static SharedMemory open(const std::string& name, Access access = Access::write);
    /// The same in another /dev/shm.
    [[nodiscard]] static SharedMemory open(int folder, const std::string& name,
                                           Access access = Access::write);
    /// Makes one as make_shared_memory() does, and maps it, or the one that exists, which may be larger.
    [[nodiscard]] static SharedMemory create(const std::string& name, std::uint64_t bytes,
                                             const PosixMakeOptions& options = {}, bool allocate = false);
    /// The same in another /dev/shm.
    [[nodiscard]] static SharedMemory create(int folder, const std::string& name, std::uint64_t bytes,
                                             const PosixMakeOptions& options = {}, bool allocate = false);

    /// The other one has no memory then.
    SharedMemory(SharedMemory&& other) noexcept
        : start_(std::exchange(other.start_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    /// Changes the two round.
    SharedMemory& operator=(SharedMemory&& other) noexcept {
        std::swap(start_, other.start_);
        std::swap(size_, other.size_);
        return *this;
    }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;
    ~SharedMemory() {
        if (start_ != nullptr) ::munmap(start_, size_);
    }

    /// The memory, as large as the object was when it was opened. With Access::read, writing is a SIGSEGV.
    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {start_, size_}; }

private:
    SharedMemory(std::byte* start, std::size_t size) noexcept : start_(start), size_(size) {}

    std::byte* start_;
    std::size_t size_;
};

/// A named semaphore (sem_overview(7)).
class IPCNS_API NamedSemaphore {
public:
    /// Opens the semaphore of that name in the /dev/shm of the calling process.
    /// @throws UsageError when it is no name for one; Error ENOENT, EACCES, EINVAL when its file is no semaphore
    [[nodiscard]] static NamedSemaphore open(const std::string& name);
    /// The same in another /dev/shm.
    [[nodiscard]] static NamedSemaphore open(int folder, const std::string& name);
    /// Makes one as make_named_semaphore() does, and opens it, or the one that exists.
    [[nodiscard]] static NamedSemaphore create(const std::string& name, unsigned value = 0,
                                               const PosixMakeOptions& options = {});
    /// The same in another /dev/shm.
    [[nodiscard]] static NamedSemaphore create(int folder, const std::string& name, unsigned value = 0,
                                               const PosixMakeOptions& options = {});

    /// The other one can't be used any more.
    NamedSemaphore(NamedSemaphore&& other) noexcept : semaphore_(std::exchange(other.semaphore_, nullptr)) {}
    /// Changes the two round.
    NamedSemaphore& operator=(NamedSemaphore&& other) noexcept {
        std::swap(semaphore_, other.semaphore_);
        return *this;
    }
    NamedSemaphore(const NamedSemaphore&) = delete;
    NamedSemaphore& operator=(const NamedSemaphore&) = delete;
    ~NamedSemaphore() {
        if (semaphore_ != nullptr) ::munmap(semaphore_, sizeof *semaphore_);
    }

    /// Takes one (sem_wait(3)). Waits while the value is 0.
    void wait() {
        while (::sem_wait(semaphore_) != 0)
            if (errno != EINTR) detail::posix_call_failed("wait for a named semaphore");
    }

    /// Takes one if the value is above 0. @return false when it is 0
    [[nodiscard]] bool try_wait() {
        while (::sem_trywait(semaphore_) != 0) {
            if (errno == EAGAIN) return false;
            if (errno != EINTR) detail::posix_call_failed("wait for a named semaphore");
        }
        return true;
    }

    /// Waits so long for one; setting the system's clock does not matter. @return false when there was none
    template <class Rep, class Period>
    [[nodiscard]] bool wait_for(const std::chrono::duration<Rep, Period>& wait) {
        return wait_before(CLOCK_MONOTONIC, detail::deadline_after(CLOCK_MONOTONIC, wait));
    }

    /// Waits until then for one. @return false when there was none
    [[nodiscard]] bool wait_until(std::chrono::steady_clock::time_point deadline) {
        return wait_before(CLOCK_MONOTONIC, detail::deadline_at(deadline));
    }
    /// The same by the system's clock.
    [[nodiscard]] bool wait_until(std::chrono::system_clock::time_point deadline) {
        return wait_before(CLOCK_REALTIME, detail::deadline_at(deadline));
    }

    /// Gives one (sem_post(3)), which wakes one who waits. May be called in a signal handler.
    /// @throws Error EOVERFLOW above SEM_VALUE_MAX
    void post() {
        if (::sem_post(semaphore_) != 0) detail::posix_call_failed("post a named semaphore");
    }

    /// What it was a moment ago.
    [[nodiscard]] unsigned value() const noexcept {
        int value = 0;
        ::sem_getvalue(semaphore_, &value);
        return static_cast<unsigned>(value);
    }

    /// For the C library's functions, still owned by this object. It is no semaphore for sem_close(3).
    [[nodiscard]] sem_t* native() const noexcept { return semaphore_; }

private:
    explicit NamedSemaphore(sem_t* semaphore) noexcept : semaphore_(semaphore) {}

    bool wait_before(clockid_t clock, const timespec& deadline) {
        // sem_clockwait: glibc 2.30.
        while (::sem_clockwait(semaphore_, clock, &deadline) != 0) {
            if (errno == ETIMEDOUT) return false;
            if (errno != EINTR) detail::posix_call_failed("wait for a named semaphore");
        }
        return true;
    }

    sem_t* semaphore_;
};

} // namespace ipcns
