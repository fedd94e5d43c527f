// SPDX-License-Identifier: Apache-2.0
// Kills a command at one certain system call, so that a test can do it at every one of them.
//   kill_at one|all|hook FROM N COMMAND [ARGUMENT...]
// Counts the system calls of COMMAND and of all that it starts, together, beginning with the first that is given a path
// which starts with FROM, and without those that only look: to die before such a one is to die before the next that does
// something. When number N is about to be made, kills (SIGKILL) the process that is about to make it and those that share
// its memory, as the kernel does when memory is short, or all of them. Prints "N of TOTAL" when it killed, else "none of TOTAL": 0 for N only counts. Ends when COMMAND has
// ended, and lets go of what COMMAND has left running.
// Exit status: 0, or 2 when it could not do its work.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { most_tracees = 64 };
static pid_t tracees[most_tracees];
static int tracee_count;

static void add(pid_t pid) {
    for (int i = 0; i < tracee_count; ++i) {
        if (tracees[i] == pid) return;
    }
    if (tracee_count < most_tracees) tracees[tracee_count++] = pid;
}

static void drop(pid_t pid) {
    for (int i = 0; i < tracee_count; ++i) {
        if (tracees[i] == pid) tracees[i] = tracees[--tracee_count];
    }
}

static bool starts_with(pid_t pid, unsigned long long address, const char* prefix) {
    char text[256];
    const size_t length = strlen(prefix);
    struct iovec here = {text, length};
    struct iovec there = {(void*)(unsigned long)address, length};
    return length <= sizeof text && process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)length &&
           memcmp(text, prefix, length) == 0;
}

static bool only_looks(const struct __ptrace_syscall_info* info) {
    switch (info->entry.nr) {
    case SYS_openat: return (info->entry.args[2] & O_CREAT) == 0;
    case SYS_read:
    case SYS_pread64:
    case SYS_lseek:
    case SYS_fstat:
    case SYS_newfstatat:
    case SYS_statx:
    case SYS_statfs:
    case SYS_readlinkat:
    case SYS_faccessat:
    case SYS_faccessat2:
    case SYS_getdents64:
    case SYS_mmap:
    case SYS_mprotect:
    case SYS_munmap:
    case SYS_brk:
    case SYS_madvise:
    case SYS_getrandom:
    case SYS_capget:
    case SYS_getuid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getegid:
    case SYS_getpid:
    case SYS_set_tid_address:
    case SYS_set_robust_list:
    case SYS_rseq:
    case SYS_prlimit64:
    case SYS_rt_sigprocmask:
    case SYS_rt_sigaction:
    case SYS_futex:
#ifdef SYS_open
    case SYS_access:
    case SYS_stat:
    case SYS_lstat:
    case SYS_readlink:
    case SYS_arch_prctl:
#endif
        return true;
    default: return false;
    }
}

static void kill_those(pid_t pid, bool all) {
    for (int i = 0; i < tracee_count; ++i) {
        if (all || syscall(SYS_kcmp, tracees[i], pid, KCMP_VM, 0, 0) == 0) kill(tracees[i], SIGKILL);
    }
    kill(pid, SIGKILL);
}

int main(int argc, char** argv) {
    if (argc < 5) {
        fprintf(stderr, "Usage: kill_at one|all|hook FROM N COMMAND [ARGUMENT...]\n");
        return 2;
    }
    const bool all = strcmp(argv[1], "all") == 0;
    const char* hook = strcmp(argv[1], "hook") == 0 ? getenv("HOOK") : NULL;
    const char* from = argv[2];
    const long wanted = atol(argv[3]);
    const pid_t command = fork();
    if (command < 0) return 2;
    if (command == 0) {
        raise(SIGSTOP);
        execvp(argv[4], argv + 4);
        perror(argv[4]);
        _exit(127);
    }
    const long options =
        PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    int status = 0;
    if (waitpid(command, &status, WUNTRACED) != command || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SEIZE, command, 0, options) != 0 || kill(command, SIGCONT) != 0) {
        perror("kill_at: trace");
        kill(command, SIGKILL);
        return 2;
    }
    add(command);
    bool begun = false;
    bool killed = false;
    long count = 0;
    for (;;) {
        const pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) {
            if (errno == EINTR) continue;
            break;
        }
        if (!WIFSTOPPED(status)) {
            drop(pid);
            if (pid == command && !(killed && all)) break;
            continue;
        }
        add(pid);
        int signal = 0;
        const int event = status >> 16;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            struct __ptrace_syscall_info info;
            if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void*)sizeof info, (void*)&info) > 0 &&
                info.op == PTRACE_SYSCALL_INFO_ENTRY && !killed) {
                begun = begun || starts_with(pid, info.entry.args[0], from) ||
                        starts_with(pid, info.entry.args[1], from);
                if (begun && (hook != NULL || !only_looks(&info)) && ++count == wanted) {
                    killed = true;
                    if (hook == NULL)
                        kill_those(pid, all);
                    else if (system(hook) < 0)
                        perror("kill_at: system");
                }
            }
        } else if (event == 0) {
            signal = WSTOPSIG(status);
        } else if (event == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP) {
            (void)ptrace(PTRACE_LISTEN, pid, 0, 0); // a group stop, until SIGCONT
            continue;
        }
        (void)ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    if (killed)
        printf("%ld of %ld\n", wanted, count);
    else
        printf("none of %ld\n", count);
    return 0;
}
