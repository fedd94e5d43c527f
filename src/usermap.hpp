// SPDX-License-Identifier: Apache-2.0
// User namespaces with one user and one group in them.
#pragma once

#include <sys/types.h>

#include <string>

namespace ipcns {

/// True when the calling thread has CAP_SYS_ADMIN in its user namespace.
bool has_sys_admin() noexcept;
/// Likewise CAP_SYS_PTRACE: may look at other users' processes, and stop them.
bool has_sys_ptrace() noexcept;

/// Takes all capabilities from the calling thread. Async-signal-safe. False with errno.
bool give_up_capabilities() noexcept;

/// What to write to uid_map and gid_map, prepared beforehand: "INSIDE OUTSIDE 1".
struct UserMap {
    char user[32];
    char group[32];
};

/// A map of @p user_inside to @p user_outside, likewise for the group.
UserMap make_user_map(uid_t user_inside, uid_t user_outside, gid_t group_inside,
                      gid_t group_outside) noexcept;

/// Writes the maps of the calling process, which has just been put into a new user namespace.
/// Async-signal-safe.
/// @return null, or the path of the file that could not be written, with errno
const char* write_user_map(const UserMap& map) noexcept;

/// The same for another process, which has to be there until this returns. Needs root of the user namespace above.
/// @return null, or the name of the file in /proc/PID that could not be written, with errno
const char* write_user_map(const UserMap& map, pid_t pid) noexcept;

/// What to do when the system refused to make a namespace with errno @p number: names the setting or the
/// module.
/// @p flags which were asked for, as clone(2) has them. Where a limit on their number is reached, each is tried once
///          more to see whose.
std::string refusal_hint(int number, unsigned long flags);

/// What to do when a user namespace's map could not be written, with errno @p number.
std::string user_map_hint(int number);

} // namespace ipcns
