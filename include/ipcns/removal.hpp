// SPDX-License-Identifier: Apache-2.0
// Removing objects of any kind from any namespace: those that are named, or all that a selection fits. What was found
// is looked at again right before it goes.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/objects.hpp>
#include <ipcns/registry.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

namespace ipcns {

/// The record of an object of any kind.
using AnyRecord = std::variant<QueueRecord, SemaphoreSetRecord, SegmentRecord, PosixQueueRecord,
                               NamedSemaphoreRecord, SharedMemoryRecord>;

/// How it is called: by id or name.
[[nodiscard]] IPCNS_API ObjectName name_of(const AnyRecord& record);

/// The last time that something is known to have been done with the object: that it was made, changed or used, whichever
/// is the latest.
///
/// | kind | what counts |
/// | --- | --- |
/// | msg | creation, IPC_SET, last msgsnd, last msgrcv |
/// | sem | creation, IPC_SET, SETVAL or SETALL, last semop |
/// | shm | creation, IPC_SET, last shmat, last shmdt |
/// | mq | creation, last message sent or received |
/// | psem, pshm | creation, and all that moves one of the file's times: mmap (a relatime mount notes it once a day), read, write, truncate, chmod; not sem_post or sem_wait, nor what is stored through a mapping |
[[nodiscard]] IPCNS_API Moment last_used(const AnyRecord& record);

/// Which objects: those for which everything is true that is set here. A segment that is already State::removed never
/// is among them.
struct IPCNS_API Selection {
    Kinds kinds = Kinds::all(); ///< of these kinds
    /// This owner, as the caller's user namespace knows him. (Not the creator of a System V object, unless he is its owner
    /// as well.)
    std::optional<uid_t> owner;
    /// last_used() is so long ago, and nobody has the object now: it is not attached, and not State::in_use, waiting or
    /// full.
    std::optional<std::chrono::seconds> unused_for;
    std::optional<Key> key; ///< System V objects with this key; Key::none: those without one
    bool orphans = false;   ///< State::orphan
};

/// An object that a selection fits.
struct IPCNS_API Chosen {
    AnyRecord record;             ///< what it was like when it was found
    State state = State::unknown; ///< see choose()
};

/// What choose() found.
struct IPCNS_API Choice {
    std::vector<Chosen> chosen; ///< in the order of the kinds
    /// With `orphans`: objects that may be orphans, but not all processes could be looked at, so they are left out.
    std::size_t unsure = 0;
    std::size_t in_use = 0;     ///< with `unused_for`: last used so long ago, but somebody has them: left out
    std::vector<Unseen> unseen; ///< as Objects::unseen
    std::size_t unseen_processes = 0; ///< as Objects::unseen_processes
};

/// Finds all objects in a place that the selection fits. States are looked for when the selection needs them, or
/// @p states is set; else they are State::unknown. The caller stays where it is.
/// @throws UsageError for an owner that may stand for many (may_be_unmapped()); Error EPERM when the namespace may not be
///         entered
[[nodiscard]] IPCNS_API Choice choose(const Place& place, const Selection& selection, bool states = false);

/// What find_objects() found under one name.
struct IPCNS_API Found {
    std::optional<AnyRecord> record; ///< nothing, and no error: there is no such object
    std::optional<Error> error;      ///< why it could not be looked at
};

/// Looks for each of these objects, and answers in their order.
/// @throws Error EPERM when the namespace may not be entered
[[nodiscard]] IPCNS_API std::vector<Found> find_objects(const Place& place,
                                                        std::span<const ObjectName> names);

/// What became of an object that was to be removed.
struct IPCNS_API Removal {
    /// How it ended.
    enum class Outcome {
        removed,
        lingers, ///< a segment: removed, it has no key any more, and its memory goes with the last detach
        gone,    ///< it was not there any more
        changed, ///< it was changed, or another one has its id or name by now: left alone
        in_use,  ///< with RemovalOptions::spare_attached: left alone
        failed,  ///< see `error`
    };
    Outcome outcome = Outcome::removed; ///< how it ended
    std::uint64_t attached = 0;         ///< lingers and in_use: mappings of the segment
    std::optional<Error> error;         ///< failed
};

/// How objects are removed.
struct IPCNS_API RemovalOptions {
    /// Leaves a segment alone that somebody has attached, as its count says right before.
    bool spare_attached = false;
};

/// Removes objects, goes on after a failure, and answers in their order. Each is looked at again right before it is
/// removed, and left alone unless it is that of the record, unchanged: remove_same() in sysv.hpp and posix.hpp says
/// what is compared, and what can still happen in the microseconds between the look and the removal.
///
/// Between several objects nothing is held: each may be gone or changed by the time it is its turn. That is what the
/// record is for.
/// @param records as find_objects(), choose() or look() gave them for this very place
/// @throws Error EPERM when the namespace may not be entered; then nothing has been removed
IPCNS_API std::vector<Removal> remove_objects(const Place& place, std::span<const AnyRecord> records,
                                              const RemovalOptions& options = {});

/// True when objects of these kinds in this place are the host's: its namespace is that of process 1, or its /dev/shm is
/// that of process 1. When that can't be told of a /dev/shm, it is true as well.
[[nodiscard]] IPCNS_API bool is_of_host(const Place& place, Kinds kinds = Kinds::all());

} // namespace ipcns
