// SPDX-License-Identifier: Apache-2.0
// The System V objects of the namespace that the calling thread is in.
#pragma once

#include <ipcns/export.hpp>

#include <cstddef>
#include <cstdint>

namespace ipcns {

/// How many System V objects there are. Three system calls, whatever the number.
struct IPCNS_API SysvUsage {
    std::size_t queues = 0;          ///< message queues
    std::size_t semaphore_sets = 0;  ///< semaphore sets
    std::size_t segments = 0;        ///< shared memory segments
    std::uint64_t segment_bytes = 0; ///< their sizes in whole pages, touched or not
    std::size_t semaphores = 0;      ///< in all sets; remove_all_sysv() does not count them

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

} // namespace ipcns
