// SPDX-License-Identifier: Apache-2.0
// Does something to a command at one certain system call, so that a test can do it at every one of them.
//   at_call one|all|hook|fail=ERRNO FROM N COMMAND [ARGUMENT...]
// Counts the system calls of COMMAND and of all that it starts, together, beginning with the first that is given a path
// which starts with FROM. When number N is about to be made:
//   one, all     kills (SIGKILL) the process that is about to make it and those that share its memory, as the kernel does
//                when memory is short, or all of them. Calls that only look do not count: to die before such a one is to die
//                before the next that does something.
//   hook         runs the shell's command in $HOOK
//   fail=ERRNO   the call is not made, and fails with that number. Those that never fail, or whose failure nobody can do
//                anything about, do not count; nor do those of programs that lie outside of COMMAND's two folders.
// Prints "N of TOTAL" when it did, with the call's number for fail, else "none of TOTAL": 0 for N only counts. Ends when COMMAND has
// ended, and lets go of what COMMAND has left running.
// Exit status: with fail COMMAND's own, or 128 and the signal that ended it; else 0; 2 when it could not do its work, 3 where it
// does not know how to let a call fail on this processor.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <elf.h>
#include <limits.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
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

// What a program is right to expect from the kernel: of these none fails when its arguments are right, and where one could
// (memory for a smaller mapping), glibc or the caller has nothing left to do about it.
static bool never_fails(const struct __ptrace_syscall_info* info) {
    switch (info->entry.nr) {
    case SYS_close:
    case SYS_close_range:
    case SYS_mprotect:
    case SYS_munmap:
    case SYS_brk:
    case SYS_madvise:
    case SYS_getuid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getegid:
    case SYS_getpid:
    case SYS_gettid:
    case SYS_getppid:
    case SYS_umask:
    case SYS_capget:
    case SYS_set_tid_address:
    case SYS_set_robust_list:
    case SYS_rseq:
    case SYS_rt_sigprocmask:
    case SYS_rt_sigaction:
    case SYS_rt_sigreturn:
    case SYS_sigaltstack:
    case SYS_futex:
    case SYS_sched_yield:
    case SYS_clock_nanosleep:
    case SYS_rt_sigtimedwait:
    case SYS_kill:
    case SYS_wait4:
    case SYS_waitid:
    case SYS_exit:
    case SYS_exit_group:
#ifdef SYS_open
    case SYS_arch_prctl:
#endif
        return true;
    default: return false;
    }
}

// An eventfd is a number: to read and write it asks for nothing.
static bool is_of_eventfd(pid_t pid, const struct __ptrace_syscall_info* info) {
    if (info->entry.nr != SYS_read && info->entry.nr != SYS_write) return false;
    char link[64];
    char text[64];
    snprintf(link, sizeof link, "/proc/%d/fd/%d", (int)pid, (int)info->entry.args[0]);
    const ssize_t length = readlink(link, text, sizeof text);
    const char* wanted = "anon_inode:[eventfd]";
    return length == (ssize_t)strlen(wanted) && memcmp(text, wanted, strlen(wanted)) == 0;
}

// At a call's beginning: it becomes none at all.
static bool make_none(pid_t pid) {
#if defined __x86_64__
    return ptrace(PTRACE_POKEUSER, pid, (void*)offsetof(struct user_regs_struct, orig_rax), (void*)-1L) == 0;
#elif defined __aarch64__
    int none = -1;
    struct iovec value = {&none, sizeof none};
    return ptrace(PTRACE_SETREGSET, pid, (void*)0x404 /* NT_ARM_SYSTEM_CALL */, &value) == 0;
#else
    (void)pid;
    return false;
#endif
}

// At its end: what it returns.
static bool make_fail(pid_t pid, int error) {
#if defined __x86_64__
    return ptrace(PTRACE_POKEUSER, pid, (void*)offsetof(struct user_regs_struct, rax), (void*)(long)-error) ==
           0;
#elif defined __aarch64__
    struct user_regs_struct registers;
    struct iovec value = {&registers, sizeof registers};
    if (ptrace(PTRACE_GETREGSET, pid, (void*)NT_PRSTATUS, &value) != 0) return false;
    registers.regs[0] = (unsigned long long)-(long long)error;
    return ptrace(PTRACE_SETREGSET, pid, (void*)NT_PRSTATUS, &value) == 0;
#else
    (void)pid;
    (void)error;
    return false;
#endif
}

// The folder that COMMAND's folder lies in.
static char home[PATH_MAX];
static void find_home(const char* command) {
    if (realpath(command, home) == NULL) home[0] = '\0';
    for (int i = 0; i < 2; ++i) {
        char* last = strrchr(home, '/');
        if (last != NULL) *last = '\0';
    }
}

static bool is_outside(pid_t pid) {
    char link[64];
    char path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    const ssize_t length = readlink(link, path, sizeof path - 1);
    const size_t wanted = strlen(home);
    return length < (ssize_t)wanted || memcmp(path, home, wanted) != 0 || path[wanted] != '/';
}

static void kill_those(pid_t pid, bool all) {
    for (int i = 0; i < tracee_count; ++i) {
        if (all || syscall(SYS_kcmp, tracees[i], pid, KCMP_VM, 0, 0) == 0) kill(tracees[i], SIGKILL);
    }
    kill(pid, SIGKILL);
}

int main(int argc, char** argv) {
    if (argc < 5) {
        fprintf(stderr, "Usage: at_call one|all|hook|fail=ERRNO FROM N COMMAND [ARGUMENT...]\n");
        return 2;
    }
    const bool all = strcmp(argv[1], "all") == 0;
    const char* hook = strcmp(argv[1], "hook") == 0 ? getenv("HOOK") : NULL;
    const int error = strncmp(argv[1], "fail=", 5) == 0 ? atoi(argv[1] + 5) : 0;
#if !defined __x86_64__ && !defined __aarch64__
    if (error != 0) return 3;
#endif
    find_home(argv[4]);
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
    const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                         PTRACE_O_TRACECLONE | (error != 0 ? PTRACE_O_TRACEEXEC : 0);
    int status = 0;
    if (waitpid(command, &status, WUNTRACED) != command || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SEIZE, command, 0, options) != 0 || kill(command, SIGCONT) != 0) {
        perror("at_call: trace");
        kill(command, SIGKILL);
        return 2;
    }
    add(command);
    bool begun = false;
    bool is_command = error == 0; // and not this program any more
    bool killed = false;
    long count = 0;
    pid_t failing = 0; // the process that is in the call which fails
    unsigned long long failed = 0;
    int ended = 0;
    for (;;) {
        const pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) {
            if (errno == EINTR) continue;
            break;
        }
        if (!WIFSTOPPED(status)) {
            drop(pid);
            if (pid == command) ended = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            if (pid == command && !(killed && all)) break;
            continue;
        }
        add(pid);
        int signal = 0;
        const int event = status >> 16;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
            struct __ptrace_syscall_info info;
            if (pid == failing) {
                failing = 0;
                if (!make_fail(pid, error)) perror("at_call: fail");
            } else if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void*)sizeof info, (void*)&info) > 0 &&
                       info.op == PTRACE_SYSCALL_INFO_ENTRY && (error != 0 || !killed)) {
                begun = begun || (is_command && (starts_with(pid, info.entry.args[0], from) ||
                                                 starts_with(pid, info.entry.args[1], from)));
                const bool passed_over = error != 0     ? never_fails(&info) || is_of_eventfd(pid, &info)
                                         : hook != NULL ? false
                                                        : only_looks(&info);
                if (begun && !passed_over && ++count == wanted) {
                    killed = true;
                    if (error != 0) {
                        failing = pid;
                        failed = info.entry.nr;
                        if (!make_none(pid)) perror("at_call: fail");
                    } else if (hook == NULL)
                        kill_those(pid, all);
                    else if (system(hook) < 0)
                        perror("at_call: system");
                }
            }
        } else if (event == PTRACE_EVENT_EXEC && !is_outside(pid)) {
            is_command = true;
        } else if (event == PTRACE_EVENT_EXEC) {
            drop(pid);
            (void)ptrace(PTRACE_DETACH, pid, 0, 0);
            if (pid != command) continue;
            // Nothing of ours is left to look at.
            while (waitpid(command, &status, 0) < 0 && errno == EINTR) continue;
            ended = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
            break;
        } else if (event == 0) {
            signal = WSTOPSIG(status);
        } else if (event == PTRACE_EVENT_STOP && WSTOPSIG(status) != SIGTRAP) {
            (void)ptrace(PTRACE_LISTEN, pid, 0, 0); // a group stop, until SIGCONT
            continue;
        }
        (void)ptrace(PTRACE_SYSCALL, pid, 0, signal);
    }
    if (killed && error != 0)
        printf("%ld of %ld: call %llu\n", wanted, count, failed);
    else if (killed)
        printf("%ld of %ld\n", wanted, count);
    else
        printf("none of %ld\n", count);
    return error != 0 ? ended : 0;
}
