// SPDX-License-Identifier: Apache-2.0
//
// A POSIX message queue, a named semaphore and a shared memory object, made or looked for by the calls that programs
// use. Debian has no tool that does so; quickstart compiles this one to show which namespace they are in.
//   posix-trial make|find /NAME
// Prints a line for each kind: "mq: there", "mq: not there" or "mq: WHY"; make: "mq: made" or "mq: WHY".

#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static void tell(const char* kind, int works, const char* done) {
    if (works)
        printf("%s: %s\n", kind, done);
    else
        printf("%s: %s\n", kind, errno == ENOENT ? "not there" : strerror(errno));
}

int main(int argc, char** argv) {
    const int make = argc == 3 && strcmp(argv[1], "make") == 0;
    if (argc != 3 || (!make && strcmp(argv[1], "find") != 0)) {
        fprintf(stderr, "usage: posix-trial make|find /NAME\n");
        return 2;
    }
    const char* name = argv[2];
    const char* done = make ? "made" : "there";
    const int how = make ? O_RDWR | O_CREAT | O_EXCL : O_RDWR;
    tell("mq", mq_open(name, how, 0600, NULL) >= 0, done);
    tell("psem", sem_open(name, make ? how : 0, 0600, 1) != SEM_FAILED, done);
    tell("pshm", shm_open(name, how, 0600) >= 0, done);
    return 0;
}
