// SPDX-License-Identifier: Apache-2.0
//
// The least that looking at every object of every IPC namespace takes, without help from inside the kernel: read which
// namespace each process is in, enter each of them once, ask for every System V object there, and mount its POSIX queues to
// see whether there are any. On two threads, and nothing done with what is found but to count it.
//
//   walk           prints how many namespaces and objects there were
//   walk sysv      the same without POSIX queues

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { threads = 2, most = 100000 };

struct process {
    int pid;
    unsigned long space;
};

static struct process processes[most];
static size_t count;
static int proc;
static int with_queues;
static atomic_long objects;

static size_t part(long thread) { return count * (size_t)thread / threads; }

static void* read_links(void* argument) {
    long thread = (long)argument;
    for (size_t i = part(thread); i < part(thread + 1); i++) {
        char path[32];
        char link[64];
        snprintf(path, sizeof path, "%d/ns/ipc", processes[i].pid);
        ssize_t length = readlinkat(proc, path, link, sizeof link - 1);
        if (length <= 5) continue;
        link[length] = '\0';
        processes[i].space = strtoul(link + 5, NULL, 10); // behind "ipc:["
    }
    return NULL;
}

static int by_space(const void* one, const void* other) {
    unsigned long a = ((const struct process*)one)->space;
    unsigned long b = ((const struct process*)other)->space;
    return (a > b) - (a < b);
}

static long look(void) {
    struct shminfo limits;
    struct shmid_ds segment;
    struct msqid_ds queue;
    struct semid_ds set;
    long found = 0;
    int highest = shmctl(0, IPC_INFO, (struct shmid_ds*)&limits);
    for (int i = 0; i <= highest; i++) found += shmctl(i, SHM_STAT_ANY, &segment) >= 0;
    struct msginfo messages;
    highest = msgctl(0, MSG_INFO, (struct msqid_ds*)&messages);
    for (int i = 0; i <= highest; i++) found += msgctl(i, MSG_STAT_ANY, &queue) >= 0;
    struct seminfo semaphores;
    highest = semctl(0, 0, SEM_INFO, &semaphores);
    for (int i = 0; i <= highest; i++) found += semctl(i, 0, SEM_STAT_ANY, &set) >= 0;
    return found;
}

// Mounts the queues of the namespace that the thread is in onto the ones before.
static long look_at_queues(const char* folder) {
    struct stat about;
    if (mount("none", folder, "mqueue", 0, NULL) < 0 || stat(folder, &about) < 0) return 0;
    return about.st_size / 20 - 2; // 20 bytes an entry, "." and ".." among them
}

static void* walk(void* argument) {
    long thread = (long)argument;
    char folder[24] = "0";
    long found = 0;
    if (with_queues &&
        (unshare(CLONE_FS | CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
         mount("none", "/mnt", "tmpfs", 0, NULL) < 0 || chdir("/mnt") < 0))
        return NULL;
    long mounts = 0;
    for (size_t i = part(thread); i < part(thread + 1); i++) {
        if (processes[i].space == 0 || (i > 0 && processes[i].space == processes[i - 1].space)) continue;
        int process = (int)syscall(SYS_pidfd_open, processes[i].pid, 0);
        if (process < 0) continue;
        if (setns(process, CLONE_NEWIPC) == 0) {
            found += look();
            if (with_queues) {
                if (mounts % 64 == 0) {
                    snprintf(folder, sizeof folder, "%ld", mounts);
                    mkdir(folder, 0700);
                }
                mounts++;
                found += look_at_queues(folder);
            }
        }
        close(process);
    }
    atomic_fetch_add(&objects, found);
    return NULL;
}

static void on_all(void* (*work)(void*)) {
    pthread_t ids[threads];
    for (long i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, work, (void*)i) != 0) exit(1);
    for (long i = 0; i < threads; i++) pthread_join(ids[i], NULL);
}

int main(int argc, char** argv) {
    with_queues = argc < 2 || strcmp(argv[1], "sysv") != 0;
    proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR* folder = opendir("/proc");
    if (proc < 0 || folder == NULL) return 1;
    for (struct dirent* entry; (entry = readdir(folder)) != NULL && count < most;) {
        int pid = atoi(entry->d_name);
        if (pid > 0) processes[count++].pid = pid;
    }
    on_all(read_links);
    qsort(processes, count, sizeof *processes, by_space);
    on_all(walk);
    size_t spaces = 0;
    for (size_t i = 0; i < count; i++)
        spaces += processes[i].space != 0 && (i == 0 || processes[i].space != processes[i - 1].space);
    printf("%zu namespaces, %ld objects\n", spaces, (long)objects);
    return 0;
}
