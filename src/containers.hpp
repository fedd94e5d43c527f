// SPDX-License-Identifier: Apache-2.0
// Finding the process of a container by what its OCI runtime has written down.
#pragma once

#include <ipcns/fd.hpp>

#include <sys/types.h>

#include <string_view>

namespace ipcns {

/// The first process of a container that runs.
struct ContainerProcess {
    pid_t pid = 0;
    Fd process; ///< pidfd: while it has not ended, the number above is this process's
};

/// Finds the container that @p text means: its whole id, else its name, else the beginning of its id. Looks at what runc and
/// crun keep, called by hand, by podman, CRI-O, docker or containerd: below /run, and below the caller's XDG_RUNTIME_DIR.
///
/// A state is believed when it belongs to root or to the caller, or to whoever owns the user namespace of the process that it
/// names. A process that has the number by now, but was started at another time, is never taken for the container's.
/// @throws Error ENOENT when there is none; ESRCH when it has stopped; EACCES, EPERM, EBADMSG when its state can't be read or
/// believed. UsageError when several are meant; it lists them.
[[nodiscard]] ContainerProcess find_container(std::string_view text);

} // namespace ipcns
