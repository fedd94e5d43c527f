// SPDX-License-Identifier: Apache-2.0
// Holds one object, or waits for it, until it is killed; writes "ready" to standard output before.
//   holder shm ID         attaches a System V segment
//   holder pshm /NAME     maps shared memory
//   holder mq /NAME       has a queue open for reading
//   holder receive /NAME  waits for a message in it
//   holder psem /NAME     waits for a named semaphore
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

static int fail(const char* what) {
    fprintf(stderr, "holder: %s: %s\n", what, strerror(errno));
    return 1;
}

int main(int argc, char** argv) {
    if (argc != 3) {
        fprintf(stderr, "Usage: holder shm|pshm|mq|receive|psem OBJECT\n");
        return 2;
    }
    const char* kind = argv[1];
    const char* object = argv[2];
    mqd_t queue = -1;
    sem_t* semaphore = SEM_FAILED;
    if (strcmp(kind, "shm") == 0) {
        if (shmat(atoi(object), NULL, 0) == (void*)-1) return fail("shmat"); // NOLINT
    } else if (strcmp(kind, "pshm") == 0) {
        int fd = shm_open(object, O_RDWR, 0);
        if (fd < 0 || ftruncate(fd, 8192) != 0) return fail("shm_open");
        if (mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED) return fail("mmap");
        close(fd);
    } else if (strcmp(kind, "mq") == 0 || strcmp(kind, "receive") == 0) {
        queue = mq_open(object, O_RDONLY);
        if (queue < 0) return fail("mq_open");
    } else if (strcmp(kind, "psem") == 0) {
        semaphore = sem_open(object, 0);
        if (semaphore == SEM_FAILED) return fail("sem_open");
        while (sem_trywait(semaphore) == 0) {}
    } else {
        return 2;
    }
    puts("ready");
    fflush(stdout);
    char message[8192];
    if (strcmp(kind, "receive") == 0) (void)!mq_receive(queue, message, sizeof message, NULL);
    if (semaphore != SEM_FAILED) sem_wait(semaphore);
    for (;;) pause();
}
