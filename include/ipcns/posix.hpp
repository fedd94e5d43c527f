// SPDX-License-Identifier: Apache-2.0
// The POSIX objects: queues (part of the IPC namespace), shared memory and named semaphores (files of a
// /dev/shm, part of the mount namespace). All of them are files in a folder, so all is done by a descriptor of
// that folder: open_queues() or mount_queues() for queues, and for the others an open(2) of the /dev/shm that
// is meant (O_PATH is enough).
#pragma once

#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/moment.hpp>

#include <sys/types.h>

#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ipcns {

/// What a folder of objects held.
struct IPCNS_API FilesUsage {
    std::size_t files = 0;   ///< queues, or shared memory objects and named semaphores, or other files
    std::uint64_t bytes = 0; ///< allocated bytes of the files (not for queues: 0)
};

/// Which file, as stat(2) and /proc/PID/maps name it: to be found again among what processes map or hold open.
struct IPCNS_API FileId {
    dev_t device = 0;
    ino_t inode = 0;
    friend auto operator<=>(const FileId&, const FileId&) = default;
};

/// Whose file. Ids as the caller's user namespace knows them; the overflow id (65534) where it has no mapping.
struct IPCNS_API FileOwnership {
    uid_t owner = 0;
    gid_t group = 0;
    mode_t mode = 0; ///< the permissions: 07777 bits
};

/// What the three kinds have in common.
struct IPCNS_API PosixRecord {
    /// As programs pass it to mq_open(3), shm_open(3) or sem_open(3), with its slash: "/jobs". Raw bytes that
    /// another program chose, anything but NUL and a second slash: escape() before a person sees it.
    std::string name;
    FileId file;
    FileOwnership who;
    Moment accessed; ///< see the three kinds for what moves these
    Moment modified;
    Moment changed;
    /// When the file was made. Linux 6.1 and later know it of shared memory and semaphores, none of queues.
    std::optional<std::chrono::sys_time<std::chrono::nanoseconds>> born;
};

/// A POSIX message queue (mq_overview(7)).
///
/// `modified` is when a message was last sent or received. `accessed` and `changed` say that too, but also
/// move when anyone reads the queue's state, as list_posix_queues() does: what is reported is from before.
struct IPCNS_API PosixQueueRecord : PosixRecord {
    /// Who is to be told when a message arrives in the empty queue (mq_notify(3)).
    struct Notification {
        enum class Kind {
            signal, ///< SIGEV_SIGNAL
            none,   ///< SIGEV_NONE: registered, so nobody else can, but nothing will be sent
            thread, ///< SIGEV_THREAD
        };
        Kind kind = Kind::signal;
        int signal = 0; ///< its number; 0 for the other kinds
        pid_t pid = 0;  ///< as the caller's pid namespace knows it; 0 when it does not
    };
    /// Nothing in these four and in `notification`: the caller may not read the queue.
    std::optional<std::uint64_t> max_messages; ///< how many it takes (mq_maxmsg)
    std::optional<std::uint64_t> message_size; ///< bytes that a message may have (mq_msgsize)
    std::optional<std::uint64_t> messages;     ///< how many there are now
    std::optional<std::uint64_t> bytes;        ///< and their bytes together
    std::optional<Notification> notification;  ///< nothing: nobody is registered, or see above

    /// True when the caller may read the queue, and so knows all of the above.
    [[nodiscard]] bool readable() const noexcept { return max_messages.has_value(); }
};

/// A named semaphore (sem_overview(7)): the file sem.NAME of a /dev/shm, as glibc lays it out.
///
/// None of the times moves when it is posted or waited for, since that happens in memory.
struct IPCNS_API NamedSemaphoreRecord : PosixRecord {
    std::optional<unsigned> value;   ///< nothing: the caller may not read it
    std::optional<unsigned> waiters; ///< threads that are blocked in sem_wait(3), or about to be
};

/// A shared memory object (shm_overview(7)): any other file of a /dev/shm.
///
/// Times move with open, truncate and write(2), not with what is stored through a mapping.
struct IPCNS_API SharedMemoryRecord : PosixRecord {
    std::uint64_t bytes = 0;     ///< its size
    std::uint64_t allocated = 0; ///< what of that takes memory or swap now: less than bytes when it is sparse
};

/// What lies in a /dev/shm.
struct IPCNS_API SharedFolder {
    std::vector<SharedMemoryRecord> memory;
    std::vector<NamedSemaphoreRecord> semaphores;
    FilesUsage others; ///< no objects, but they take room: folders and all that is in them, links, FIFOs, ...
    std::size_t unseen = 0; ///< files and folders that the caller may not look at
};

/// A mount of the calling thread's POSIX message queues, attached to no path (mq_overview(7); fsmount(2),
/// Linux 5.2). Needs CAP_SYS_ADMIN in the user namespace that owns the IPC namespace. Closing it costs some
/// 60 us, in which the kernel waits for its other processors: for many in a row there is QueueMounts.
/// @return the mount's root; an empty Fd when this kernel has no POSIX queues
[[nodiscard]] IPCNS_API Fd mount_queues();

/// Makes mounts of queues that are all given back at once: for a walk through many namespaces.
///
/// From Linux 6.15 a mount costs some microseconds this way; before, it is that of mount_queues().
/// Not to be used by two threads at the same time, but by one after the other.
class IPCNS_API QueueMounts {
public:
    QueueMounts() noexcept = default;

    /// As mount_queues(). The Fd may be closed whenever the caller likes, and may outlive this object.
    [[nodiscard]] Fd mount();

private:
    Fd root_; // the first mount of a tree that is attached to nothing
    Fd top_;  // the last one, which the next is put onto
    std::size_t height_ = 0;
    bool stacks_ = true; // until the kernel refuses
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
    Fd folder; ///< for list_posix_queues() and the like
    Missing missing = Missing::nothing;
    std::string
        why; ///< the same in words for a person, with what to do about it; empty when nothing is missing
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
struct IPCNS_API PosixMakeOptions {
    mode_t mode = 0600;         ///< its permissions, exactly these whatever the umask
    bool exclusive = false;     ///< true: fail with EEXIST when there is one of that name
    std::optional<uid_t> owner; ///< other than the caller: needs CAP_CHOWN
    std::optional<gid_t> group; ///< needs to be a member of it, or CAP_CHOWN
};

// The three below make an object that is new, or leave one of that name that exists just as it is, which then
// may have other sizes and permissions than those asked for. A new object that cannot be given all that was
// asked for is removed again. Names begin with the one slash that they have: mq_overview(7), shm_overview(7),
// sem_overview(7).

/// Makes a queue in the calling thread's namespace. What is not given is the namespace's default (msg_default,
/// msgsize_default).
/// @return true when it was made, false when there was one already
/// @throws UsageError when it is no name for a queue, or a size is not above 0; Error EINVAL when a limit of the
/// namespace is exceeded, ENOSPC when it has as many queues as it may, EMFILE when RLIMIT_MSGQUEUE is exceeded,
/// EEXIST, ENODEV when this kernel has no POSIX queues
IPCNS_API bool make_posix_queue(const std::string& name, const PosixMakeOptions& options = {},
                                std::optional<std::uint64_t> max_messages = {},
                                std::optional<std::uint64_t> message_size = {});

/// Makes a shared memory object of zeros. It appears whole: with its size, owner and permissions.
/// @param allocate true: its memory is set aside now, so that no program gets a SIGBUS later when /dev/shm is full
/// @return true when it was made, false when there was one already
/// @throws UsageError when it is no name for one; Error EEXIST, ENOSPC, EFBIG, EPERM, EACCES
IPCNS_API bool make_shared_memory(int folder, const std::string& name, std::uint64_t bytes,
                                  const PosixMakeOptions& options = {}, bool allocate = false);

/// Makes a named semaphore, as glibc's sem_open(3) would write it. It appears whole.
/// @return true when it was made, false when there was one already
/// @throws UsageError when it is no name for one (up to 251 bytes after the slash), or the value is above
/// SEM_VALUE_MAX; Error EEXIST, ENOSPC, EPERM, EACCES
IPCNS_API bool make_named_semaphore(int folder, const std::string& name, unsigned value = 0,
                                    const PosixMakeOptions& options = {});

// The three below remove an object if it is still the one of the record. Who has it open keeps it until it is
// closed. Compared right before: device and inode, when it was born where that is known, and what never changes
// (a queue's sizes). Use of the object since does not matter, nor do chmod and chown. An inode number alone
// may be used again (for queues after some 4 thousand million pipes, sockets and queues of the whole host; in a
// /dev/shm with 64-bit inodes never).
// What remains is the time between the look and the unlink(2), some 2 us, in which another program may put an
// object of its own under the name: no system call removes a file by anything but its name.

/// @return false when it is gone, or another one has the name
/// @throws Error EPERM, EACCES: not the owner's, in a folder with the sticky bit
IPCNS_API bool remove_same(int folder, const PosixQueueRecord& record);
/// @copydoc remove_same(int, const PosixQueueRecord&)
IPCNS_API bool remove_same(int folder, const SharedMemoryRecord& record);
/// @copydoc remove_same(int, const PosixQueueRecord&)
IPCNS_API bool remove_same(int folder, const NamedSemaphoreRecord& record);

/// Counts what lies directly in @p folder (the root of a mount of queues, or of a /dev/shm).
[[nodiscard]] IPCNS_API FilesUsage files_usage(int folder);

/// Removes everything in @p folder and below, following no link and crossing no mount.
/// Goes on after a failure and throws the first one at the end.
/// @return what was removed
IPCNS_API FilesUsage remove_all_files(int folder);

} // namespace ipcns
