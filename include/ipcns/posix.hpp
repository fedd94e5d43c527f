// SPDX-License-Identifier: Apache-2.0
// The POSIX objects: queues (part of the IPC namespace), and the files of a /dev/shm (part of the mount
// namespace).
#pragma once

#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>

#include <sys/types.h>

#include <compare>
#include <cstddef>
#include <cstdint>

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

/// A mount of the calling thread's POSIX message queues, attached to no path (mq_overview(7); fsmount(2),
/// Linux 5.2). Needs CAP_SYS_ADMIN in the user namespace that owns the IPC namespace.
/// @return the mount's root; an empty Fd when this kernel has no POSIX queues
[[nodiscard]] IPCNS_API Fd mount_queues();

/// Counts what lies directly in @p folder (the root of a mount of queues, or of a /dev/shm).
[[nodiscard]] IPCNS_API FilesUsage files_usage(int folder);

/// Removes everything in @p folder and below, following no link and crossing no mount.
/// Goes on after a failure and throws the first one at the end.
/// @return what was removed
IPCNS_API FilesUsage remove_all_files(int folder);

} // namespace ipcns
