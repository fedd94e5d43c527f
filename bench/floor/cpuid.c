// SPDX-License-Identifier: Apache-2.0
//
// What CPUID costs a start. In a virtual machine the instruction leaves the guest; the C library executes
// some forty of them before main, to choose its string functions and learn the sizes of the caches.
//
//   cpuid            microseconds for one CPUID
//   cpuid CMD...     steps through CMD (not its children) and counts: instructions, CPUIDs, system calls

#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now_us(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int measure(void) {
    enum { times = 2000 };
    unsigned a, b, c, d;
    double start = now_us();
    for (int i = 0; i < times; i++) __cpuid_count(4, i & 3, a, b, c, d);
    printf("%.2f\n", (now_us() - start) / times);
    return 0;
}

static int count(char** argv) {
    pid_t pid = fork();
    if (pid == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execvp(argv[0], argv);
        _exit(127);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) < 0) return 1;
    long instructions = 0;
    long cpuids = 0;
    long calls = 0;
    while (WIFSTOPPED(status)) {
        struct user_regs_struct registers;
        if (ptrace(PTRACE_GETREGS, pid, NULL, &registers) < 0) break;
        errno = 0;
        long code = ptrace(PTRACE_PEEKTEXT, pid, registers.rip, NULL);
        if (errno == 0) {
            cpuids += (code & 0xffff) == 0xa20f;
            calls += (code & 0xffff) == 0x050f;
        }
        instructions++;
        int signal = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
        if (ptrace(PTRACE_SINGLESTEP, pid, NULL, signal) < 0 || waitpid(pid, &status, 0) < 0) break;
    }
    printf("%ld %ld %ld\n", instructions, cpuids, calls);
    return 0;
}

int main(int argc, char** argv) { return argc > 1 ? count(argv + 1) : measure(); }
