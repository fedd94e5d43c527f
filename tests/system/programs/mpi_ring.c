// SPDX-License-Identifier: Apache-2.0
// A small MPI program: messages around a ring, large enough to go through shared memory, and a sum over all ranks.
//   mpi_ring [FILE]
// FILE: rank 0 makes FILE.ready when all ranks are there, and then waits until FILE.go is.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { count = 1 << 18, rounds = 20 };

static void meet(const char* file) {
    char path[4096];
    snprintf(path, sizeof path, "%s.ready", file);
    FILE* ready = fopen(path, "w");
    if (ready != NULL) fclose(ready);
    snprintf(path, sizeof path, "%s.go", file);
    for (int tries = 0; tries < 1000 && access(path, F_OK) != 0; ++tries) usleep(20000);
}

int main(int argc, char** argv) {
    MPI_Init(&argc, &argv);
    int rank = 0;
    int size = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    int* numbers = calloc(count, sizeof *numbers);
    if (numbers == NULL) MPI_Abort(MPI_COMM_WORLD, 1);
    for (int round = 0; round < rounds; ++round) {
        const int next = (rank + 1) % size;
        const int previous = (rank + size - 1) % size;
        for (int i = 0; i < count; ++i) numbers[i] += rank == 0;
        MPI_Sendrecv_replace(numbers, count, MPI_INT, next, 0, previous, 0, MPI_COMM_WORLD,
                             MPI_STATUS_IGNORE);
        if (round == 0) {
            if (rank == 0 && argc > 1) meet(argv[1]);
            MPI_Barrier(MPI_COMM_WORLD);
        }
    }
    // Rank 0 adds one to what it holds in each round, so the rings hold `rounds` in all.
    long mine = numbers[count - 1];
    long sum = 0;
    MPI_Allreduce(&mine, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
    if (rank == 0) printf("ring of %d: %s\n", size, sum == rounds ? "right" : "wrong");
    free(numbers);
    MPI_Finalize();
    return sum == rounds ? 0 : 1;
}
