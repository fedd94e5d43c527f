// SPDX-License-Identifier: Apache-2.0
// Which IPC namespaces there are, and who is in them.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/namespace.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ipcns {

/// One process, as far as the caller may see it.
struct IPCNS_API Process {
    pid_t pid = 0;       ///< in the caller's pid namespace
    uid_t user = 0;      ///< effective user, as the caller's user namespace knows it
    std::string command; ///< the command line with spaces between, or [name] where there is none; not escaped
};

/// How much lies in a namespace.
struct IPCNS_API ContentsUsage {
    std::size_t objects = 0;         ///< System V objects and POSIX queues
    std::uint64_t segment_bytes = 0; ///< System V segments, in whole pages
};

/// One namespace and what keeps it alive.
struct IPCNS_API InventoryEntry {
    NamespaceId id;                        ///< which one
    std::vector<pid_t> processes;          ///< every process with a thread inside, in ascending order
    std::vector<pid_t> keepers;            ///< keepers of named namespaces among them, with `keepers_apart`
    std::optional<Process> first;          ///< the lowest of them
    std::vector<std::string> mounts;       ///< where it is bind mounted; not escaped
    std::vector<pid_t> descriptors;        ///< processes that hold a descriptor of it (when searched for)
    std::optional<ContentsUsage> contents; ///< when asked for, and the caller may enter
};

/// What to look for beside the processes.
struct IPCNS_API InventoryOptions {
    /// Whether to search every process's descriptors: one readlink(2) each.
    enum class Descriptors {
        automatic, ///< where there are at most 1,000 processes
        always,
        never
    };
    Descriptors descriptors = Descriptors::automatic; ///< whether to search them
    bool keepers_apart = false; ///< put the keepers of names (registry.hpp) into `keepers`, not `processes`
    bool contents =
        false;            ///< fill in `contents`: enters every namespace for a moment, on a thread of its own
    bool details = true;  ///< fill in `first`
    bool blocked = false; ///< fill in `blocked`: a file for each thread
};

/// A list of all IPC namespaces that the caller can see, made in one pass over /proc. What vanishes meanwhile
/// is left out.
struct IPCNS_API Inventory {
    std::vector<InventoryEntry> entries; ///< in ascending order of inode
    std::size_t unseen = 0;              ///< processes that the caller may not look at
    bool descriptors_searched = false;   ///< whether `descriptors` of the entries were looked for
    /// When asked for, in ascending order: processes with a thread in a system call that may be waiting for an object
    /// (see HolderIndex), and those of which that could not be read. All others wait for none.
    std::vector<pid_t> blocked;
    std::map<ino_t, pid_t>
        mount_namespaces; ///< those that were seen, by number, and the lowest process in each

    /// Works on a few threads of its own.
    /// @throws Error when /proc cannot be read.
    [[nodiscard]] static Inventory take(const InventoryOptions& options = {});
};

/// Opens the namespace of an entry, by whatever keeps it alive; nothing when that is gone or may not be looked at.
/// @throws Error when that cannot be told: EMFILE, ENOMEM
[[nodiscard]] IPCNS_API std::optional<Namespace> open_namespace(const InventoryEntry& entry);

/// The processes that have a thread in the namespace @p id, in ascending order, without what the caller may
/// not see. One pass over /proc.
/// @throws Error when /proc cannot be read
[[nodiscard]] IPCNS_API std::vector<pid_t> processes_inside(const NamespaceId& id);

/// Reads who @p pid is, by its files in /proc; nothing when it is gone.
[[nodiscard]] IPCNS_API std::optional<Process> describe_process(pid_t pid);

} // namespace ipcns
