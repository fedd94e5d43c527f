// SPDX-License-Identifier: Apache-2.0
//
// A namespace full of segments for `ipcns show`, `ipcs` and `lsipc` to look at: makes N System V segments of one page in
// an IPC namespace of its own, raising the limit shmmni there when it must (the kernel's highest is 32,768), and becomes
// CMD. The segments go with the namespace, when CMD and its children have ended.
//
// With PROCESSES and ATTACHMENTS, so many processes beside it attach so many segments in all, each of them equally many,
// one after the other and round again from the first. They get SIGKILL when CMD ends, however it does.
//
//   segments N CMD [ARG...]
//   segments N,PROCESSES,ATTACHMENTS CMD [ARG...]

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <unistd.h>

static _Noreturn void fail(const char* what) {
    fprintf(stderr, "segments: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void raise_limit(long wanted) {
    FILE* file = fopen("/proc/sys/kernel/shmmni", "r+e");
    long limit = 0;
    if (!file || fscanf(file, "%ld", &limit) != 1) fail("read /proc/sys/kernel/shmmni");
    if (limit < wanted) {
        rewind(file);
        if (fprintf(file, "%ld\n", wanted) < 0 || fflush(file)) fail("raise /proc/sys/kernel/shmmni");
    }
    fclose(file);
}

// Runs in the child and does not return. Says on `report` that it has them all: one byte, 0 or an errno.
static _Noreturn void holder(pid_t parent, int report, const int* ids, long count, long first, long each) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    signal(SIGINT, SIG_IGN); // Ctrl-C goes to the whole group; we end with our parent
    unsigned char result = 0;
    for (long i = first; i < first + each && !result; i++)
        if (shmat(ids[i % count], NULL, 0) ==
            (void*)-1) // NOLINT(performance-no-int-to-ptr): shmat(2) says so
            result = (unsigned char)errno;
    if (write(report, &result, 1) != 1 || result) _exit(1);
    close(report);
    for (;;) pause();
}

static void start_holders(const int* ids, long count, long processes, long attachments) {
    int reports[2];
    if (pipe2(reports, O_CLOEXEC) < 0) fail("pipe");
    pid_t self = getpid();
    long each = attachments / processes;
    for (long i = 0; i < processes; i++) {
        pid_t child = fork();
        if (child < 0) fail("fork");
        if (child == 0) {
            close(reports[0]);
            holder(self, reports[1], ids, count, i * each, each);
        }
    }
    close(reports[1]);
    for (long i = 0; i < processes; i++) {
        unsigned char result = 0;
        if (read(reports[0], &result, 1) != 1) result = ECHILD;
        errno = result;
        if (result) fail("attach");
    }
    close(reports[0]);
}

int main(int argc, char** argv) {
    long count = 0;
    long processes = 0;
    long attachments = 0;
    int numbers = argc < 3 ? 0 : sscanf(argv[1], "%ld,%ld,%ld", &count, &processes, &attachments);
    if ((numbers != 1 && numbers != 3) || count < 1 || count > 32768 || processes < 0 || processes > 100000 ||
        (numbers == 3 && (processes == 0 || attachments < 1 || attachments % processes != 0))) {
        fputs("usage: segments N[,PROCESSES,ATTACHMENTS] CMD [ARG...]\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (unshare(CLONE_NEWIPC) < 0) fail("new IPC namespace");
    raise_limit(count);

    int* ids = calloc((size_t)count, sizeof *ids);
    if (!ids) fail("memory");
    for (long i = 0; i < count; i++) {
        ids[i] = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
        if (ids[i] < 0) fail("make a segment");
    }
    if (processes) start_holders(ids, count, processes, attachments);
    free(ids);
    execvp(argv[2], argv + 2);
    fail(argv[2]);
}
