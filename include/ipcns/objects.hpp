// SPDX-License-Identifier: Apache-2.0
// All six kinds of objects together, of one namespace or of every one on the host: what there is, what state it is in,
// and who holds it.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/holders.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/registry.hpp>
#include <ipcns/sysv.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns {

// ---- Words -------------------------------------------------------------------------------------------------------

/// The six kinds of objects: System V queues, semaphore sets and segments; POSIX queues, named semaphores and shared
/// memory.
enum class Kind { msg, sem, shm, mq, psem, pshm };

/// All six, in the order in which everything lists them.
inline constexpr std::array all_kinds = {Kind::msg, Kind::sem, Kind::shm, Kind::mq, Kind::psem, Kind::pshm};

/// "msg", "sem", "shm", "mq", "psem" or "pshm".
[[nodiscard]] IPCNS_API const char* word_of(Kind kind) noexcept;
/// The kind of this word, or nothing.
[[nodiscard]] IPCNS_API std::optional<Kind> find_kind(std::string_view word) noexcept;
/// True for the kinds that are known by id and key.
[[nodiscard]] constexpr bool is_sysv(Kind kind) noexcept { return kind <= Kind::shm; }

/// Some of the six.
class IPCNS_API Kinds {
public:
    constexpr Kinds() = default;
    /// All six.
    [[nodiscard]] static constexpr Kinds all() noexcept {
        Kinds kinds;
        kinds.bits_ = 63;
        return kinds;
    }
    /// Adds one.
    constexpr void add(Kind kind) noexcept { bits_ |= 1U << static_cast<unsigned>(kind); }
    /// True when this one is among them.
    [[nodiscard]] constexpr bool has(Kind kind) const noexcept {
        return (bits_ >> static_cast<unsigned>(kind) & 1U) != 0;
    }
    /// True when none is.
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }

private:
    unsigned bits_ = 0;
};

/// OBJECT as a person writes it.
///
/// | text | means |
/// | --- | --- |
/// | `msg:0`, `sem:32769`, `shm:7` | a System V object by its id |
/// | `shm:0x1234` | a System V object by its key, all 32 bits of it, 0 not among them |
/// | `mq:/jobs`, `psem:/lock`, `pshm:/cache` | a POSIX object by its name, without escapes |
struct IPCNS_API ObjectName {
    Kind kind = Kind::msg;  ///< which kind
    std::optional<int> id;  ///< System V: by id
    std::optional<Key> key; ///< System V: by key
    std::string name;       ///< of a POSIX object, with its slash; raw bytes

    /// @throws UsageError when @p text is none of the forms; the message says what is wrong with it.
    [[nodiscard]] static ObjectName parse(std::string_view text);

    /// The text again. The name of a POSIX object is not escaped.
    [[nodiscard]] std::string text() const;

    friend bool operator==(const ObjectName&, const ObjectName&) = default;
};

/// How a record is called. By id, not by key.
[[nodiscard]] IPCNS_API ObjectName name_of(const QueueRecord& record);
/// The same for a set of semaphores.
[[nodiscard]] IPCNS_API ObjectName name_of(const SemaphoreSetRecord& record);
/// The same for a segment.
[[nodiscard]] IPCNS_API ObjectName name_of(const SegmentRecord& record);
/// The same for a POSIX queue; these and the following are called by name.
[[nodiscard]] IPCNS_API ObjectName name_of(const PosixQueueRecord& record);
/// The same for a named semaphore.
[[nodiscard]] IPCNS_API ObjectName name_of(const NamedSemaphoreRecord& record);
/// The same for shared memory.
[[nodiscard]] IPCNS_API ObjectName name_of(const SharedMemoryRecord& record);

// ---- What is seen ------------------------------------------------------------------------------------------------

/// What an operator wants to know of an object first. The first of these that is true:
enum class State {
    removed, ///< a segment that is only there until the last process detaches
    full,    ///< a queue with senders that wait for room
    waiting, ///< somebody waits for a message, or for a semaphore
    in_use, ///< attached, mapped or open; or (queues and semaphore sets of System V) its last user still runs
    orphan, ///< nobody has it, and its creator and its last user are gone, as far as the kernel knows them
    idle,   ///< nobody has it now, but its creator or last user still runs, or nobody has used it yet
    unknown, ///< nobody was seen to have it, but not every process could be looked at
};

/// "in use", "orphan" and so on; "-" for idle, "?" for unknown.
[[nodiscard]] IPCNS_API const char* word_of(State state) noexcept;

/// A record and what was found out about it beside.
template <class Record>
struct Seen {
    Record record;                ///< what the kernel says of it
    State state = State::unknown; ///< with LookOptions::states
    /// With LookOptions::holders; null: nobody was found. Good for as long as Objects::index.
    const Holders* holders = nullptr;
};

/// A set and its semaphores.
struct IPCNS_API SeenSet : Seen<SemaphoreSetRecord> {
    /// With LookOptions::semaphores; nothing when the caller may not read the set.
    std::optional<std::vector<SemaphoreState>> semaphores;
};

/// Something that could not be looked at.
struct IPCNS_API Unseen {
    Kind kind = Kind::msg; ///< which kind
    std::size_t count = 0; ///< how many objects; 0: it is not known how many, maybe none
    std::string why;       ///< for a person; escaped
    bool unlisted =
        false; ///< of so many nothing is known, and they are not in the lists; else something is missing of them
};

/// What lies in one namespace.
struct IPCNS_API Objects {
    NamespaceId ns;                               ///< which namespace
    std::vector<Seen<QueueRecord>> msg;           ///< System V queues
    std::vector<SeenSet> sem;                     ///< semaphore sets
    std::vector<Seen<SegmentRecord>> shm;         ///< segments
    std::vector<Seen<PosixQueueRecord>> mq;       ///< POSIX queues
    std::vector<Seen<NamedSemaphoreRecord>> psem; ///< named semaphores of its /dev/shm
    std::vector<Seen<SharedMemoryRecord>> pshm;   ///< shared memory of its /dev/shm
    std::shared_ptr<const HolderIndex> index;     ///< whose holders the records point to, if any was needed
    FilesUsage others;          ///< in its /dev/shm, but no objects: folders, links and the like
    std::vector<Unseen> unseen; ///< kinds and objects of which not all could be seen
    /// Processes that may hold or wait for anything here, but could not be looked at, or not for what they wait.
    std::size_t unseen_processes = 0;
    /// Processes were looked at, and this /proc leaves out those of others (hidepid), so that they were not even counted.
    bool hidden_processes = false;

    /// How many objects, of all kinds together.
    [[nodiscard]] std::size_t count() const noexcept {
        return msg.size() + sem.size() + shm.size() + mq.size() + psem.size() + pshm.size();
    }
};

/// What to look at.
struct IPCNS_API LookOptions {
    Kinds kinds = Kinds::all(); ///< which kinds of objects
    bool memory = false;        ///< fill in SegmentRecord::resident and swapped
    bool semaphores = false;    ///< fill in SeenSet::semaphores: three system calls for each semaphore
    /// Fill in Seen::state. Looks at all processes where objects other than segments are found, and reads the sets'
    /// semaphores.
    bool states = false;
    bool holders = false; ///< fill in Seen::holders: looks at all processes
};

/// Looks at everything in a place. The caller stays where it is.
///
/// Users and groups in the records are as the caller's user namespace knows them, pids as its pid namespace does. What
/// the caller may not see is in `unseen`.
/// @throws Error EPERM when the namespace may not be entered
[[nodiscard]] IPCNS_API Objects look(const Place& place, const LookOptions& options = {});

/// Looks at everything in every namespace that the caller can find (see Inventory), on a few threads. A /dev/shm that
/// several namespaces share is looked at once, for the first of them, the host's before all others.
struct IPCNS_API Everything {
    std::vector<Objects> namespaces; ///< in ascending order of inode
    std::size_t not_entered = 0;     ///< namespaces that could not be entered: the caller may not, as a rule
    std::size_t unseen = 0;          ///< processes whose namespace could not be found out

    /// @throws Error when /proc cannot be read
    [[nodiscard]] static Everything look(const LookOptions& options = {});
};

/// The /dev/shm of a place: its own, or for a place without one, if it is the caller's namespace, the caller's.
/// @return an O_PATH descriptor, or an empty one when it is not known
[[nodiscard]] IPCNS_API Fd shared_folder(const Place& place);

/// True when the id may stand for somebody else whom the caller's user namespace has no name for (the overflow id,
/// user_namespaces(7)).
[[nodiscard]] IPCNS_API bool may_be_unmapped(uid_t id) noexcept;

} // namespace ipcns
