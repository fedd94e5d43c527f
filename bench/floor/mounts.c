// SPDX-License-Identifier: Apache-2.0
//
// The floor under `ipcns run -- CMD`: floor/run.c plus what it takes to make all six kinds
// private. A mount namespace whose mounts receive but do not send (slave), a fresh tmpfs on
// /dev/shm, and this namespace's own queues on /dev/mqueue where that folder exists.
//
// Shown for information: the row's peer is bubblewrap, which mounts more than this.
//
//   mounts CMD [ARG...]

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static char stack[8192] __attribute__((aligned(16)));

static int child(void* argv) {
    char** args = argv;
    if (mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) < 0) _exit(125);
    if (mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0) _exit(125);
    if (mount("mqueue", "/dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 &&
        errno != ENOENT)
        _exit(125);
    execv(args[0], args);
    _exit(errno == ENOENT ? 127 : 126);
}

int main(int argc, char** argv) {
    if (argc < 2) return 125;
    pid_t pid = clone(child, stack + sizeof stack,
                      CLONE_NEWIPC | CLONE_NEWNS | CLONE_VM | CLONE_VFORK | SIGCHLD, argv + 1);
    if (pid < 0) return 125;
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return 125;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
