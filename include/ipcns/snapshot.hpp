// SPDX-License-Identifier: Apache-2.0
// The content of an IPC namespace as a file: saved, looked at, checked, brought back, or copied at once into a new
// namespace. Part of the library libipcns-state (ipcns::state), which needs libarchive, zstd and xxhash; libipcns alone
// needs nothing.
//
// All six kinds are in a snapshot, with their contents, and the namespace's limits. docs/snapshot-format.md describes the
// file. What no system call can bring back is only recorded: times, process ids, creators, what semop(2) would undo,
// registrations with POSIX queues, waiters.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/limits.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/objects.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/registry.hpp>
#include <ipcns/sysv.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ipcns {

/// What is in a snapshot, without the contents of queues and shared memory. Users and groups as whoever saved it knows
/// them.
struct IPCNS_API Snapshot {
    /// A set with its values.
    struct Set {
        SemaphoreSetRecord record;          ///< the set
        std::vector<unsigned short> values; ///< one for each semaphore
    };
    /// A segment and what it is made of.
    struct Segment {
        SegmentRecord record;        ///< `resident` and `swapped` tell what of it had memory
        std::uint64_t huge_page = 0; ///< bytes of one, or 0: ordinary pages
    };

    std::string made_by;       ///< "ipcns 0.1.0"
    std::string kernel;        ///< "6.1.0", as uname(2) says
    Moment made;               ///< when
    NamespaceId ns;            ///< whose it was
    std::string name;          ///< the name it was registered under, or empty
    bool live = false;         ///< saved while its processes went on: objects may be of different moments
    std::vector<Limit> limits; ///< as they were; the wishes for ids are not among them
    /// The size of its /dev/shm in bytes; nothing: it had none of its own, and `pshm` and `psem` are not saved.
    std::optional<std::uint64_t> shm_size;
    std::vector<QueueRecord> msg;           ///< System V queues
    std::vector<Set> sem;                   ///< semaphore sets
    std::vector<Segment> shm;               ///< those that are `removed` too, but without contents
    std::vector<PosixQueueRecord> mq;       ///< POSIX queues
    std::vector<NamedSemaphoreRecord> psem; ///< named semaphores
    std::vector<SharedMemoryRecord> pshm;   ///< shared memory objects
    FilesUsage others; ///< what else lay in its /dev/shm: folders, links and the like, which are not saved

    /// How many objects, of all kinds together.
    [[nodiscard]] std::size_t objects() const noexcept {
        return msg.size() + sem.size() + shm.size() + mq.size() + psem.size() + pshm.size();
    }
};

/// How far the work has got, in bytes of contents; what is read twice (SaveOptions::precopy) counts twice.
struct IPCNS_API Progress {
    std::uint64_t done = 0; ///< so many are done
    std::uint64_t all = 0;  ///< 0: not known
};
/// Is called now and then, on the thread that does the work, while processes may be standing still: be quick.
using ProgressFunction = std::function<void(const Progress&)>;

/// How a namespace is saved, or copied.
struct IPCNS_API SaveOptions {
    /// Read while the processes inside go on. Each message is whole, but objects are of different moments, and a segment's
    /// pages too. Else they are held still meanwhile: see Hold in hold.hpp for what that takes, and what it means to them.
    bool live = false;
    /// Give up rather than hold them longer.
    std::optional<std::chrono::nanoseconds> max_pause;
    /// A shorter pause for much memory: write all of it to the file while they go on, and then, while they stand still, read
    /// it once more and write what differs. What is saved is of that second moment. All is read twice and synced twice, and
    /// it takes 1 MiB of memory for each GiB. For save() to a regular file alone, since that is written here and there; not
    /// with `live`, which has no pause; not with `zstd`, whose stream is another one from the first change on; and not with
    /// `drain`, which takes them to stand still for the first time, too.
    bool precopy = false;
    /// Compress with zstd at this level: 1 (fast) to 19 (small). Not for clone_namespace().
    std::optional<int> zstd;
    /// Where there is no BPF (see messages.hpp): read POSIX queues by receiving their messages and sending them back. Not
    /// with `live`. What was taken is in a journal in the folder of Registry::of_caller() until it is back: see
    /// recover_drained(). A queue with somebody registered to be told of messages can't be read so.
    bool drain = false;
    ProgressFunction progress; ///< told how far it is, if there is one
};

/// What a save did.
struct IPCNS_API SaveReport {
    Snapshot snapshot;                ///< what is in it
    std::size_t held = 0;             ///< processes that were held still
    std::chrono::nanoseconds pause{}; ///< how long
    std::uint64_t contents = 0;       ///< bytes of contents that were read
    std::uint64_t written = 0;        ///< bytes of the file
    std::uint64_t written_again = 0;  ///< with `precopy`: how many of them while they were held
    std::vector<std::string> notes;   ///< what is not in it, or not as it was: for a person; escaped
};

/// Writes the content of a namespace to a descriptor: a pipe, a socket, a file at its end. Uses a few MiB of memory,
/// whatever the size, but for SaveOptions::precopy.
///
/// Needs to be able to enter the namespace and to read every object. Reading segments whole, holes left out, takes
/// CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the first user namespace where some of their memory is swapped out. POSIX
/// queues with messages in them take BPF (CAP_BPF and CAP_PERFMON) or `drain`.
/// @throws Error when an object can't be read, when a process can't be held (EBUSY, EPERM), when the pause would be too
///         long (ETIME), when writing fails. UsageError for the host's namespace without `live`.
IPCNS_API SaveReport save(const Place& place, int output, const SaveOptions& options = {});
/// The same to a file, which appears whole, with mode 0600, and synced to its disk, or not at all; one of that name is
/// replaced. What is no regular file (a FIFO, /dev/null) is written to, but for a terminal (UsageError).
IPCNS_API SaveReport save(const Place& place, const std::filesystem::path& file,
                          const SaveOptions& options = {});

/// Puts back what a save with SaveOptions::drain had taken out of queues when its process was killed. To be called before
/// the next save; costs the reading of a folder when there is nothing to do.
/// @return what was done or could not be, for a person; escaped
IPCNS_API std::vector<std::string> recover_drained(const Registry& registry);

/// What is in a snapshot: reads its beginning.
/// @throws Error EINVAL, EBADMSG when it is none, or a damaged one, ENOTSUP when it is of a newer version
[[nodiscard]] IPCNS_API Snapshot read_snapshot(int input);
/// The same after reading all of it and comparing every checksum.
[[nodiscard]] IPCNS_API Snapshot check_snapshot(int input, const ProgressFunction& progress = {});

/// How a snapshot is brought back.
struct IPCNS_API RestoreOptions {
    std::map<uid_t, uid_t> users;  ///< owners to be replaced: saved, new
    std::map<gid_t, gid_t> groups; ///< likewise
    /// The size of the new /dev/shm; else as it was saved, or the host's.
    std::optional<std::uint64_t> shm_size;
    /// Let the kernel choose the ids of System V objects. Programs that know an object by its key don't notice.
    bool new_ids = false;
    ProgressFunction
        progress; ///< told how far it is, if there is one; not by clone_namespace(), which tells that of SaveOptions
};

/// What a restore made.
struct IPCNS_API RestoreReport {
    Snapshot snapshot;              ///< what was in it
    std::uint64_t contents = 0;     ///< bytes of contents
    std::vector<std::string> notes; ///< what could not be brought back: for a person; escaped
};

/// Makes a new named namespace with everything in it: the same ids, keys, names, owners, modes, values, messages in their
/// order, memory, limits. The name appears when all is there, and if anything fails, or this process is killed, nothing
/// stays of it.
///
/// The file may come from a stranger: nothing in it is believed before it is checked, and no path is taken from it.
/// @param input read from where it stands, to its end; a pipe will do
/// @param name  empty: the one it was saved under
/// @throws Error EEXIST when the name is taken; EINVAL, EBADMSG, ENOTSUP as read_snapshot(); ENOMEM when there is not enough
///         memory for it; EPERM where the caller may not choose ids (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the user
///         namespace that owns the new one, which whoever made it has), owners or limits
IPCNS_API RestoreReport restore(int input, const Registry& registry, const std::string& name,
                                const RestoreOptions& options = {});
/// Adds it all to a namespace that is there. Nothing is touched if a key, id or name is taken already; what was made goes
/// again if anything fails later. Its limits stay as they are. `shm_size` means nothing here.
/// @throws Error EEXIST as well
IPCNS_API RestoreReport restore_into(int input, const Place& place, const RestoreOptions& options = {});

/// What a clone did.
struct IPCNS_API CloneReport {
    SaveReport saved;       ///< what was read
    RestoreReport restored; ///< what was made
};
/// save() and restore() at once, without a file: the memory is copied once.
IPCNS_API CloneReport clone_namespace(const Place& place, const Registry& registry, const std::string& name,
                                      const SaveOptions& how = {}, const RestoreOptions& options = {});

} // namespace ipcns
