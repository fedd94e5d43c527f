// SPDX-License-Identifier: Apache-2.0
// Prints all that a process has from whoever started it, one "field: value" a line, so that two starts can be compared.
//   process_state [FILE]
// FILE: write there and not to standard output.
#define _GNU_SOURCE
#include <dirent.h>
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
#include <sys/syscall.h>
#include <unistd.h>

extern char** environ;

// The lines of a file, each under a prefix.
static void print_file(FILE* out, const char* prefix, const char* path) {
    FILE* file = fopen(path, "re");
    if (file == NULL) {
        fprintf(out, "%s: none\n", prefix);
        return;
    }
    char* line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) fprintf(out, "%s: %s", prefix, line);
    free(line);
    fclose(file);
}

// The lines of /proc/self/status that don't tell of this one process or of what it did since.
static void print_status(FILE* out) {
    static const char* const wanted[] = {"Umask:",
                                         "Uid:",
                                         "Gid:",
                                         "Groups:",
                                         "SigPnd:",
                                         "ShdPnd:",
                                         "SigBlk:",
                                         "SigIgn:",
                                         "SigCgt:",
                                         "CapInh:",
                                         "CapPrm:",
                                         "CapEff:",
                                         "CapBnd:",
                                         "CapAmb:",
                                         "NoNewPrivs:",
                                         "Seccomp:",
                                         "Seccomp_filters:",
                                         "Speculation_Store_Bypass:",
                                         "SpeculationIndirectBranch:",
                                         "Cpus_allowed:",
                                         "Mems_allowed:",
                                         "THP_enabled:",
                                         "untag_mask:"};
    FILE* file = fopen("/proc/self/status", "re");
    if (file == NULL) return;
    char* line = NULL;
    size_t size = 0;
    while (getline(&line, &size, file) > 0) {
        for (size_t i = 0; i < sizeof wanted / sizeof *wanted; ++i) {
            if (strncmp(line, wanted[i], strlen(wanted[i])) == 0) fprintf(out, "status %s", line);
        }
    }
    free(line);
    fclose(file);
}

static void print_descriptors(FILE* out, const char* left_out) {
    char path[64];
    char target[4096];
    for (int fd = 0; fd < 4096; ++fd) {
        if (fd == fileno(out) && left_out != NULL) continue;
        const int flags = fcntl(fd, F_GETFL);
        if (flags < 0) continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        const ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = '\0';
        fprintf(out, "descriptor %d: %s, flags %o, at %lld\n", fd, target, (unsigned)flags,
                (long long)(fd <= 2 ? 0 : lseek(fd, 0, SEEK_CUR)));
    }
}

static void print_namespaces(FILE* out) {
    static const char* const names[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char path[64];
        char target[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        const ssize_t length = readlink(path, target, sizeof target - 1);
        target[length < 0 ? 0 : length] = '\0';
        fprintf(out, "namespace %s: %s\n", names[i], target);
    }
}

int main(int argc, char** argv) {
    FILE* out = argc > 1 ? fopen(argv[1], "we") : stdout;
    if (out == NULL) {
        perror("process_state");
        return 1;
    }
    print_descriptors(out, argc > 1 ? argv[1] : NULL);
    for (int i = 0; i < argc; ++i) fprintf(out, "argument %d: %s\n", i, argv[i]);
    for (char** variable = environ; *variable != NULL; ++variable)
        fprintf(out, "environment: %s\n", *variable);
    char path[4096];
    fprintf(out, "folder: %s\n", getcwd(path, sizeof path) != NULL ? path : "none");
    const ssize_t length = readlink("/proc/self/root", path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    fprintf(out, "root: %s\n", path);
    print_status(out);
    print_file(out, "limit", "/proc/self/limits");
    fprintf(out, "nice: %d\n", getpriority(PRIO_PROCESS, 0));
    struct sched_param parameter = {0};
    sched_getparam(0, &parameter);
    fprintf(out, "scheduler: %d, priority %d\n", sched_getscheduler(0), parameter.sched_priority);
    fprintf(out, "io priority: %ld\n", syscall(SYS_ioprio_get, 1, 0));
    print_file(out, "oom_score_adj", "/proc/self/oom_score_adj");
    print_file(out, "coredump_filter", "/proc/self/coredump_filter");
    print_file(out, "loginuid", "/proc/self/loginuid");
    print_file(out, "cgroup", "/proc/self/cgroup");
    fprintf(out, "timer slack: %d\n", prctl(PR_GET_TIMERSLACK));
    fprintf(out, "personality: %x\n", (unsigned)personality(0xffffffff));
    fprintf(out, "dumpable: %d\n", prctl(PR_GET_DUMPABLE));
    fprintf(out, "securebits: %d\n", prctl(PR_GET_SECUREBITS));
    fprintf(out, "keep capabilities: %d\n", prctl(PR_GET_KEEPCAPS));
    int number = 0;
    prctl(PR_GET_PDEATHSIG, &number);
    fprintf(out, "parent death signal: %d\n", number);
    prctl(PR_GET_CHILD_SUBREAPER, &number);
    fprintf(out, "subreaper: %d\n", number);
    fprintf(out, "process group: %d\nsession: %d\n", (int)getpgrp(), (int)getsid(0));
    const int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    fprintf(out, "terminal: %s\n",
            terminal < 0                                  ? "none"
            : ttyname_r(terminal, path, sizeof path) == 0 ? path
                                                          : "?");
    fprintf(out, "terminal's group: %d\n", terminal < 0 ? -1 : (int)tcgetpgrp(terminal));
    print_namespaces(out);
    return fclose(out) == 0 ? 0 : 1;
}
