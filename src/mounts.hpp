// SPDX-License-Identifier: Apache-2.0
// Mounts by descriptor.
#pragma once

#include <ipcns/fd.hpp>

#include <sys/mount.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

// glibc 2.36 has wrappers for these calls, but <sys/mount.h> and <linux/mount.h> cannot be included together
// before it, so everything that mounts includes this file.

namespace ipcns {

/// The option string for a tmpfs on /dev/shm: "size=N", the host's own size where @p wanted is not set, or
/// empty for the kernel's default when the host's /dev/shm is no tmpfs.
std::string shm_size_option(const std::optional<std::uint64_t>& wanted);

/// A new tmpfs, attached to nothing: its root. @p size: as of shm_size_option(). @p mode: of its root, octal.
/// Async-signal-safe. -1 with errno on failure.
int new_tmpfs(const char* size, const char* mode = "1777") noexcept;

/// A mount of the POSIX queues of the IPC namespace of the caller, attached to nothing. Async-signal-safe. -1
/// with errno on failure; ENODEV where the kernel has no POSIX queues.
int new_mqueue() noexcept;

/// A copy of the mount at @p fd (O_PATH), attached to nothing. Async-signal-safe. -1 with errno.
int copy_mount(int fd) noexcept;

/// Puts a mount that is attached to nothing on the place @p path below @p folder (AT_FDCWD, following links).
/// Async-signal-safe. -1 with errno.
int attach_mount(int mount, int folder, const char* path) noexcept;

/// What a process has on /dev/shm.
struct ShmMount {
    dev_t device = 0;
    bool whole = false; ///< all of the file system, and not a folder of it
};

/// Reads it from the process's table of mounts, which everybody may read. Nothing when nothing is mounted there, or
/// something was mounted over it, or the table can't be read.
/// @param process "self" or a number
std::optional<ShmMount> shm_mount_of(const std::string& process);

/// True when @p fd is the root of a mount (statx(2), STATX_ATTR_MOUNT_ROOT, Linux 5.8).
bool is_mount_root(int fd) noexcept;

} // namespace ipcns
