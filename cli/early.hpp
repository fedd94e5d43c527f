// SPDX-License-Identifier: Apache-2.0
// What the early start leaves for main(): see early.cpp. Plain data, since no library is there when it is written.
#pragma once

namespace ipcns::cli {

struct Early {
    int pid = 0;     ///< the program, or 0: nothing was started early
    int pidfd = -1;  ///< of the program
    int ipc = -1;    ///< its namespace
    int shm = -1;    ///< the root of its /dev/shm, or -1 with --ipc-only
    int queues = -1; ///< the mount of its queues, or -1 where the kernel has none
    bool failed = false;
};

#ifdef IPCNS_EARLY_START
extern "C" Early ipcns_early;
#endif

} // namespace ipcns::cli
