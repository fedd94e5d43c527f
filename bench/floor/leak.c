// SPDX-License-Identifier: Apache-2.0
//
// A badly behaved job: makes a System V segment, touches every page of it, and exits without
// removing it. What it leaves is the namespace's to free.
//
//   leak [MIB]      64 when not told

#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char** argv) {
    long mib = argc > 1 ? strtol(argv[1], NULL, 10) : 64;
    if (mib < 1 || mib > 1024 * 1024) {
        fputs("usage: leak [MIB]\n", stderr);
        return 2;
    }
    size_t size = (size_t)mib << 20;

    int id = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    if (id < 0) {
        perror("leak: shmget");
        return 1;
    }
    char* bytes = shmat(id, NULL, 0);
    if (bytes == (void*)-1) { // NOLINT(performance-no-int-to-ptr): shmat(2) says so
        perror("leak: shmat");
        return 1;
    }
    for (size_t at = 0; at < size; at += 4096) ((volatile char*)bytes)[at] = 1;
    return 0;
}
