// SPDX-License-Identifier: Apache-2.0
//
// The floor under `ipcns run --ipc-only -- CMD`: the least a program can do to run CMD in a new
// IPC namespace and pass on its status. One clone with CLONE_NEWIPC, one exec, one wait.
//
// CLONE_VM|CLONE_VFORK: the child borrows our address space until its exec, so no page table is
// copied. CLONE_NEWIPC in the clone itself saves an unshare call. It cleans nothing up, passes no
// signal on, and takes no option: what ipcns does beyond this counts against ipcns.
//
// IPCNS_FLAGS replaces CLONE_NEWIPC, to see what a namespace adds (bench/startup).
//
//   run CMD [ARG...]

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef IPCNS_FLAGS
#define IPCNS_FLAGS CLONE_NEWIPC
#endif

static char stack[8192] __attribute__((aligned(16)));

static int child(void* argv) {
    char** args = argv;
    execv(args[0], args);
    _exit(errno == ENOENT ? 127 : 126);
}

int main(int argc, char** argv) {
    if (argc < 2) return 125;
    pid_t pid =
        clone(child, stack + sizeof stack, (IPCNS_FLAGS) | CLONE_VM | CLONE_VFORK | SIGCHLD, argv + 1);
    if (pid < 0) return 125;
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return 125;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
