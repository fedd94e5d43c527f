// SPDX-License-Identifier: Apache-2.0
// A process of which one thread alone is in another IPC namespace. Prints what that thread's ns/ipc reads, and waits
// until it is killed. Without privileges it makes itself a user namespace first.
//   thread_ns
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

static void* work(void* argument) {
    char link[64];
    if (unshare(CLONE_NEWIPC) != 0) {
        perror("thread_ns: unshare");
        _exit(1);
    }
    const ssize_t length = readlink("/proc/thread-self/ns/ipc", link, sizeof link);
    if (length < 0) {
        perror("thread_ns: readlink");
        _exit(1);
    }
    printf("%.*s\n", (int)length, link);
    fflush(stdout);
    for (;;) pause();
    return argument;
}

int main(void) {
    if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0) {
        perror("thread_ns: unshare");
        return 1;
    }
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL) != 0) return 1;
    pthread_join(thread, NULL);
    return 0;
}
