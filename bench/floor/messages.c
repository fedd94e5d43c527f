// SPDX-License-Identifier: Apache-2.0
//
// Queues full of messages for `ipcns peek` to look at: makes a System V queue, which has the id 0, and a POSIX queue /q, with
// N messages of 64 bytes each, in an IPC namespace of its own, raising the limits there, waits until the second in which
// they were sent is over, and becomes CMD. The queues go with the namespace, when CMD and its children have ended.
//
//   messages N CMD [ARG...]

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <unistd.h>

static _Noreturn void fail(const char* what) {
    fprintf(stderr, "messages: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void raise_limit(const char* path, long value) {
    FILE* file = fopen(path, "we");
    if (!file || fprintf(file, "%ld\n", value) < 0 || fclose(file)) fail(path);
}

int main(int argc, char** argv) {
    long count = argc > 2 ? atol(argv[1]) : 0;
    if (count <= 0) {
        fprintf(stderr, "usage: messages N CMD [ARG...]\n");
        return 2;
    }
    struct {
        long type;
        char text[64];
    } message = {1, "a message"};
    if (unshare(CLONE_NEWIPC)) fail("make an IPC namespace");
    raise_limit("/proc/sys/kernel/msgmnb", count * (long)sizeof message.text);
    raise_limit("/proc/sys/fs/mqueue/msg_max", count);
    int queue = msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
    if (queue < 0) fail("msgget");
    struct mq_attr attributes = {.mq_maxmsg = count, .mq_msgsize = sizeof message.text};
    mqd_t other = mq_open("/q", O_WRONLY | O_CREAT | O_CLOEXEC, 0600, &attributes);
    if (other < 0) fail("mq_open");
    for (long i = 0; i < count; i++) {
        if (msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT)) fail("msgsnd");
        if (mq_send(other, message.text, sizeof message.text, (unsigned)(i % 4))) fail("mq_send");
    }
    sleep(2);
    execvp(argv[2], argv + 2);
    fail(argv[2]);
}
