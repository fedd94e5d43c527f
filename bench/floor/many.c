// SPDX-License-Identifier: Apache-2.0
//
// A crowd for `ipcns list` and `lsns -t ipc` to count, and for `ipcns show --all` to look into: N
// processes that each sleep in an IPC namespace of their own, with so many System V objects in it (a
// segment of one page, a queue, a set of one semaphore, a segment, and so on). Prints "ready" when all are there, and ends them all when its standard
// input reaches its end or it gets SIGINT, SIGTERM or SIGHUP.
//
// Each child also asks for SIGKILL when its parent dies, and the parent when its own does, so
// that nothing is left even when somebody is killed outright.
//
//   many N [OBJECTS]      no objects when not told

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void on_signal(int signal) {
    (void)signal;
    stop = 1;
}

// 0 or an errno.
static unsigned char make_objects(long objects) {
    for (long i = 0; i < objects; i++) {
        int id = i % 3 == 0   ? shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600)
                 : i % 3 == 1 ? msgget(IPC_PRIVATE, IPC_CREAT | 0600)
                              : semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
        if (id < 0) return (unsigned char)errno;
    }
    return 0;
}

// Runs in the child and does not return. Says on `report` that it stands: one byte, 0 or an errno.
static void sleeper(pid_t parent, int report, long objects) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    signal(SIGINT, SIG_IGN); // Ctrl-C goes to the whole group; the parent ends us
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    unsigned char result = unshare(CLONE_NEWIPC) < 0 ? (unsigned char)errno : make_objects(objects);
    if (write(report, &result, 1) != 1 || result) _exit(1);
    close(report);
    for (;;) pause();
}

int main(int argc, char** argv) {
    long wanted = argc == 2 || argc == 3 ? strtol(argv[1], NULL, 10) : 0;
    long objects = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (wanted < 1 || wanted > 1000000 || objects < 0 || objects > 10000) {
        fputs("usage: many N [OBJECTS]\n", stderr);
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);

    struct sigaction action = {.sa_handler = on_signal}; // no SA_RESTART: read() must return
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);

    pid_t* children = calloc((size_t)wanted, sizeof *children);
    int reports[2];
    if (!children || pipe(reports) < 0) return 1;

    pid_t self = getpid();
    long made = 0;
    int status = 0;
    while (made < wanted && !stop && !status) {
        pid_t child = fork();
        if (child == 0) {
            close(reports[0]);
            sleeper(self, reports[1], objects);
        }
        if (child < 0) {
            fprintf(stderr, "many: fork %ld: %s\n", made, strerror(errno));
            status = 1;
            break;
        }
        children[made++] = child;
        unsigned char result;
        ssize_t got = read(reports[0], &result, 1);
        if (got == 1 && result) {
            fprintf(stderr, "many: namespace %ld: %s\n", made, strerror(result));
            status = 1;
        }
    }
    close(reports[1]);

    if (!status && !stop) {
        puts("ready");
        fflush(stdout);
        char ignored[64];
        while (!stop && read(STDIN_FILENO, ignored, sizeof ignored) > 0)
            ;
    }
    for (long i = 0; i < made; i++) kill(children[i], SIGKILL);
    for (long i = 0; i < made; i++)
        while (waitpid(children[i], NULL, 0) < 0 && errno == EINTR)
            ;
    free(children);
    return status;
}
