// SPDX-License-Identifier: Apache-2.0
// Takes every signal that can be taken, and writes its number into a file, a line each: what comes twice is there twice.
//   signal_log FILE
// The first line is "ready". SIGRTMIN+1 ends it, with exit status 42.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char** argv) {
    const int file = argc == 2 ? open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (file < 0) {
        perror("signal_log");
        return 1;
    }
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    dprintf(file, "ready\n");
    for (;;) {
        siginfo_t info;
        const int number = sigwaitinfo(&all, &info);
        if (number < 0) continue;
        if (number == SIGRTMIN + 1) return 42;
        if (info.si_code == SI_QUEUE)
            dprintf(file, "%d with %d\n", number, info.si_value.sival_int);
        else
            dprintf(file, "%d\n", number);
    }
}
