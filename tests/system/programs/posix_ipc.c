// SPDX-License-Identifier: Apache-2.0
// POSIX IPC objects from a shell: util-linux knows only the System V ones.
//   posix_ipc make mq|psem|pshm /NAME   makes a new one; fails when it is there
//   posix_ipc has  mq|psem|pshm /NAME   exit status 0: it is there, 1: it is not
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static int fail(const char* name) {
    if (errno == ENOENT) return 1;
    fprintf(stderr, "posix_ipc: %s: %s\n", name, strerror(errno));
    return 2;
}

int main(int argc, char** argv) {
    if (argc != 4 || (strcmp(argv[1], "make") != 0 && strcmp(argv[1], "has") != 0)) {
        fprintf(stderr, "Usage: posix_ipc make|has mq|psem|pshm /NAME\n");
        return 2;
    }
    const int flags = strcmp(argv[1], "make") == 0 ? O_CREAT | O_EXCL : 0;
    const char* kind = argv[2];
    const char* name = argv[3];
    if (strcmp(kind, "mq") == 0) return mq_open(name, O_RDWR | flags, 0600, NULL) < 0 ? fail(name) : 0;
    if (strcmp(kind, "psem") == 0) return sem_open(name, flags, 0600, 1) == SEM_FAILED ? fail(name) : 0;
    if (strcmp(kind, "pshm") == 0) return shm_open(name, O_RDWR | flags, 0600) < 0 ? fail(name) : 0;
    fprintf(stderr, "posix_ipc: there is no kind %s\n", kind);
    return 2;
}
