// SPDX-License-Identifier: Apache-2.0
// Who is in another IPC namespace and has objects of this one open: whoever was inside, and left. He may change what is in them, so
// he is held still with those inside.
#pragma once

#include <ipcns/registry.hpp>

#include <sys/types.h>

#include <cstddef>
#include <set>

namespace ipcns {

struct Outsiders {
    std::set<pid_t> processes;
    std::size_t unseen = 0; // processes that could not be looked at
};

// Strangers are not among them: a segment of another namespace may have the same number. @throws Error
Outsiders find_outsiders(const Place& place);

} // namespace ipcns
