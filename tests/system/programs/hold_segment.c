// SPDX-License-Identifier: Apache-2.0
// Stays, with a System V segment attached that it has made itself, and one that it has only made; or attached to another.
//   hold_segment FILE       makes both and writes "PID ATTACHED MADE" to FILE
//   hold_segment FILE ID    attaches ID and writes "PID ID"
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <unistd.h>

int main(int argc, char** argv) {
    if (argc < 2) return 2;
    const int attached = argc > 2 ? atoi(argv[2]) : shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    const int made = argc > 2 ? 0 : shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    if (made < 0 || shmat(attached, NULL, 0) == (void*)-1) {
        perror("hold_segment");
        return 1;
    }
    FILE* out = fopen(argv[1], "w");
    if (out == NULL) return 1;
    if (argc > 2)
        fprintf(out, "%d %d\n", (int)getpid(), attached);
    else
        fprintf(out, "%d %d %d\n", (int)getpid(), attached, made);
    fclose(out);
    for (;;) pause();
}
