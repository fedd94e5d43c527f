// SPDX-License-Identifier: Apache-2.0
// Leaves System V objects behind: a segment of so many MiB, every page touched, a queue with a message, a semaphore set.
//   leak MIB
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

int main(int argc, char** argv) {
    const size_t size = (argc > 1 ? strtoul(argv[1], NULL, 10) : 64) << 20;
    const int segment = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    void* memory = segment < 0 ? (void*)-1 : shmat(segment, NULL, 0);
    if (memory == (void*)-1) {
        perror("leak: shared memory");
        return 1;
    }
    memset(memory, 1, size);
    const struct {
        long type;
        char text[8];
    } message = {1, "message"};
    const int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    if (queue < 0 || msgsnd(queue, &message, sizeof message.text, IPC_NOWAIT) != 0) {
        perror("leak: queue");
        return 1;
    }
    if (semget(IPC_PRIVATE, 3, IPC_CREAT | 0600) < 0) {
        perror("leak: semaphores");
        return 1;
    }
    return 0;
}
