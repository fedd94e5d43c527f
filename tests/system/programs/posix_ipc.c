// SPDX-License-Identifier: Apache-2.0
// POSIX IPC objects from a shell: util-linux knows only the System V ones.
//   posix_ipc make mq|psem|pshm /NAME   makes a new one; fails when it is there
//   posix_ipc has  mq|psem|pshm /NAME   exit status 0: it is there, 1: it is not
//   posix_ipc send PRIORITY /NAME       sends standard input to a queue
//   posix_ipc receive mq /NAME          waits for a message and prints its priority, a space and its bytes
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static int fail(const char* name) {
    if (errno == ENOENT) return 1;
    fprintf(stderr, "posix_ipc: %s: %s\n", name, strerror(errno));
    return 2;
}

static int send_message(const char* priority, const char* name) {
    static char text[65536];
    const size_t length = fread(text, 1, sizeof text, stdin);
    const mqd_t queue = mq_open(name, O_WRONLY);
    if (queue < 0 || mq_send(queue, text, length, (unsigned)atoi(priority)) != 0) return fail(name);
    return 0;
}

static int receive_message(const char* name) {
    static char text[65536];
    unsigned priority = 0;
    const mqd_t queue = mq_open(name, O_RDONLY);
    const ssize_t length = queue < 0 ? -1 : mq_receive(queue, text, sizeof text, &priority);
    if (length < 0) return fail(name);
    printf("%u ", priority);
    fwrite(text, 1, (size_t)length, stdout);
    return 0;
}

int main(int argc, char** argv) {
    const char* verb = argc == 4 ? argv[1] : "";
    if (strcmp(verb, "send") == 0) return send_message(argv[2], argv[3]);
    if (strcmp(verb, "receive") == 0) return receive_message(argv[3]);
    if (strcmp(verb, "make") != 0 && strcmp(verb, "has") != 0) {
        fprintf(stderr,
                "Usage: posix_ipc make|has|receive mq|psem|pshm /NAME, posix_ipc send PRIORITY /NAME\n");
        return 2;
    }
    const int flags = strcmp(verb, "make") == 0 ? O_CREAT | O_EXCL : 0;
    const char* kind = argv[2];
    const char* name = argv[3];
    if (strcmp(kind, "mq") == 0) return mq_open(name, O_RDWR | flags, 0600, NULL) < 0 ? fail(name) : 0;
    if (strcmp(kind, "psem") == 0) return sem_open(name, flags, 0600, 1) == SEM_FAILED ? fail(name) : 0;
    if (strcmp(kind, "pshm") == 0) return shm_open(name, O_RDWR | flags, 0600) < 0 ? fail(name) : 0;
    fprintf(stderr, "posix_ipc: there is no kind %s\n", kind);
    return 2;
}
