// SPDX-License-Identifier: Apache-2.0
// The /dev/shm that a process sees, for somebody who is going to read, make and remove what is in it.
#pragma once

#include <ipcns/fd.hpp>

#include <sys/types.h>

namespace ipcns {

struct ProcessShm {
    Fd folder;         // O_PATH; none where it is not known
    Fd mounts;         // the process's mount namespace
    bool sure = false; // it is a file system of its own that whoever put it there may call his
};

/// Whoever has a user namespace mounts on his own /dev/shm what he likes: a folder of the host's, for root to empty. So it is
/// `sure` only when it is
/// - the caller's own, or that of process 1; or
/// - the root of a tmpfs, in a mount namespace that belongs to the caller's user namespace: who made that could do all this; or
/// - the root of a tmpfs that belongs to a user of the process's user namespace: it can be aimed at nothing but what is his.
/// @throws Error when the caller lacks descriptors or memory
ProcessShm open_shm_of(pid_t pid);

} // namespace ipcns
