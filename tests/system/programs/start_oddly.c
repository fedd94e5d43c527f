// SPDX-License-Identifier: Apache-2.0
// Becomes a program in a state that few programs are ever started in, to see whether all of it is passed on.
//   start_oddly FILE PROGRAM [ARGUMENT...]
// FILE is opened as descriptor 9, without close-on-exec, somewhere in its middle; standard input is closed.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MUST(call)                                                            \
    do {                                                                      \
        if ((call) < 0) {                                                     \
            fprintf(stderr, "start_oddly: %s: %s\n", #call, strerror(errno)); \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

static void write_file(const char* path, const char* text) {
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    MUST(file);
    MUST(write(file, text, strlen(text)));
    close(file);
}

static void limit(int what, rlim_t soft, rlim_t hard) {
    struct rlimit old;
    MUST(getrlimit((__rlimit_resource_t)what, &old));
    if (hard > old.rlim_max) hard = old.rlim_max;
    if (soft > hard) soft = hard;
    const struct rlimit new = {soft, hard};
    MUST(setrlimit((__rlimit_resource_t)what, &new));
}

int main(int argc, char** argv) {
    if (argc < 3) {
        fprintf(stderr, "Usage: start_oddly FILE PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    umask(027);

    // Ignored as a shell without job control does for `&`, and as a careless parent does; and a real-time signal.
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGRTMIN + 5, SIG_IGN);
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigaddset(&blocked, SIGTSTP);
    sigaddset(&blocked, SIGRTMIN + 3);
    sigprocmask(SIG_SETMASK, &blocked, NULL);

    limit(RLIMIT_NOFILE, 100, 200);
    limit(RLIMIT_CORE, 4096, 8192);
    limit(RLIMIT_STACK, 4 << 20, 6 << 20);
    limit(RLIMIT_MSGQUEUE, 700000, 800000);
    limit(RLIMIT_MEMLOCK, 32768, 65536);
    limit(RLIMIT_FSIZE, 1 << 30, 1 << 30);

    MUST(setpriority(PRIO_PROCESS, 0, 5));
    const struct sched_param parameter = {0};
    MUST(sched_setscheduler(0, SCHED_BATCH, &parameter));
    MUST(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6)); // this process, best effort, level 6
    cpu_set_t processors;
    MUST(sched_getaffinity(0, sizeof processors, &processors));
    for (int i = 0, kept = 0; i < CPU_SETSIZE; ++i) {
        if (CPU_ISSET(i, &processors) && kept++ > 0) CPU_CLR(i, &processors);
    }
    MUST(sched_setaffinity(0, sizeof processors, &processors));

    write_file("/proc/self/oom_score_adj", "321");
    write_file("/proc/self/coredump_filter", "0x7");
    MUST(prctl(PR_SET_TIMERSLACK, 123456UL, 0, 0, 0));
    MUST(prctl(PR_SET_THP_DISABLE, 1UL, 0, 0, 0));
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0, 0, 0));
    MUST(personality(ADDR_NO_RANDOMIZE | 0x0020000)); // UNAME26: the kernel calls itself 2.6

    const int file = open(argv[1], O_RDWR | O_APPEND);
    MUST(file);
    MUST(dup2(file, 9));
    if (file != 9) close(file);
    MUST(lseek(9, 3, SEEK_SET));
    close(0);

    execvp(argv[2], argv + 2);
    fprintf(stderr, "start_oddly: %s: %s\n", argv[2], strerror(errno));
    return 127;
}
