// SPDX-License-Identifier: Apache-2.0
// Makes a namespace, puts a segment into it, and counts from inside and from outside.
#include <ipcns/namespace.hpp>
#include <ipcns/sysv.hpp>

#include <cstdio>
#include <sys/shm.h>

int main() {
    const auto home = ipcns::sysv_usage();
    const auto fresh = ipcns::Namespace::create(); // the caller stays where it is

    fresh.call([] { return shmget(IPC_PRIVATE, 4096, 0600); });
    const auto inside = fresh.call(ipcns::sysv_usage);

    std::printf("namespace %lu: %zu segment; here: %zu more\n", static_cast<unsigned long>(fresh.id().inode),
                inside.segments, ipcns::sysv_usage().segments - home.segments);
    // When `fresh` goes, its last descriptor is closed, and the namespace and the segment go with it.
}
