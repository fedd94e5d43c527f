// SPDX-License-Identifier: Apache-2.0
// Producers and consumers of all six kinds of IPC, which judge themselves what they see: a message that is lost, doubled or
// out of order, a count that is wrong, a system call that was interrupted.
//   busy work FILE [no-mq]    makes the objects and works on them until SIGTERM; writes "ready" to standard output when all
//                             do; at the end writes what went wrong to FILE, or "good" and how often each got round
//   busy go-on FILE [no-mq]   in a copy of such a namespace: is what is there of one moment? Then does the rest of the
//                             messages, and some more; the same to FILE
// Every worker is a process. What each has done is in a segment; a worker may be stopped between a call and its note.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { key = 0x600D, slots = 64, slot_step = 1024, most_workers = 16 };

// What is done, by kind: in the segment, and so in the copy.
struct notes {
    volatile long sent[2], received[2]; // msg, mq
    volatile long raised[2], taken[2];  // sem, psem
    volatile long stop;
};
struct message {
    long type, number;
    char rest[40];
};
static struct notes* notes;
static volatile long *slots_shm, *slots_pshm; // every slot_step longs
static int queue, set;
static mqd_t posix_queue = (mqd_t)-1;
static sem_t* semaphore;
static FILE* report;
static bool faults_here;

static void fault(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(report, format, arguments);
    va_end(arguments);
    fprintf(report, "\n");
    fflush(report);
    faults_here = true;
}

static void need(bool good, const char* what) {
    if (good) return;
    fault("%s: %s", what, strerror(errno));
    exit(2);
}

static void open_all(bool with_mq, bool make) {
    const size_t memory = slots * slot_step * sizeof(long);
    const int segment = shmget(key, memory + 4096, (make ? IPC_CREAT : 0) | 0600);
    need(segment >= 0, "shmget");
    notes = shmat(segment, NULL, 0);
    need(notes != (void*)-1, "shmat");
    slots_shm = (long*)((char*)notes + 4096);
    queue = msgget(key, (make ? IPC_CREAT : 0) | 0600);
    need(queue >= 0, "msgget");
    set = semget(key, 2, (make ? IPC_CREAT : 0) | 0600);
    need(set >= 0, "semget");
    const int file = shm_open("/busy", O_RDWR | (make ? O_CREAT : 0), 0600);
    need(file >= 0 && (!make || ftruncate(file, (off_t)memory) == 0), "shm_open");
    slots_pshm = mmap(NULL, memory, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    need(slots_pshm != MAP_FAILED, "mmap");
    close(file);
    semaphore = make ? sem_open("/busy", O_CREAT, 0600, 0) : sem_open("/busy", 0);
    need(semaphore != SEM_FAILED, "sem_open");
    if (!with_mq) return;
    struct mq_attr attributes = {.mq_maxmsg = 5, .mq_msgsize = sizeof(struct message)};
    posix_queue = mq_open("/busy", O_RDWR | (make ? O_CREAT : 0), 0600, &attributes);
    need(posix_queue != (mqd_t)-1, "mq_open");
}

// ---- The work: each returns when notes->stop is set ------------------------------------------------------------------

static void produce(int kind) {
    struct message message = {.type = 1};
    for (message.number = notes->sent[kind] + 1; !notes->stop; ++message.number) {
        const int done = kind == 0 ? msgsnd(queue, &message, sizeof message - sizeof(long), 0)
                                   : mq_send(posix_queue, (const char*)&message, sizeof message, 3);
        if (done != 0) return fault("sending %ld of kind %d: %s", message.number, kind, strerror(errno));
        notes->sent[kind] = message.number;
    }
}

static void consume(int kind) {
    struct message message;
    while (!notes->stop) {
        const ssize_t length = kind == 0 ? msgrcv(queue, &message, sizeof message - sizeof(long), 1, 0)
                                         : mq_receive(posix_queue, (char*)&message, sizeof message, NULL);
        if (length < 0) return fault("receiving of kind %d: %s", kind, strerror(errno));
        if (notes->stop) return;
        if (message.number != notes->received[kind] + 1)
            return fault("kind %d: after %ld came %ld", kind, notes->received[kind], message.number);
        notes->received[kind] = message.number;
    }
}

static void produce_msg(void) { produce(0); }
static void produce_mq(void) { produce(1); }
static void consume_msg(void) { consume(0); }
static void consume_mq(void) { consume(1); }

static void raise_sem(void) {
    struct sembuf raise = {0, 1, 0};
    while (!notes->stop) {
        if (semctl(set, 0, GETVAL) > 1000) {
            sched_yield();
            continue;
        }
        if (semop(set, &raise, 1) != 0) return fault("semop +1: %s", strerror(errno));
        ++notes->raised[0];
    }
}
static void take_sem(void) {
    struct sembuf take = {0, -1, 0};
    while (!notes->stop) {
        if (semop(set, &take, 1) != 0) return fault("semop -1: %s", strerror(errno));
        ++notes->taken[0];
    }
}
static void raise_psem(void) {
    int value = 0;
    while (!notes->stop) {
        sem_getvalue(semaphore, &value);
        if (value > 1000) {
            sched_yield();
            continue;
        }
        if (sem_post(semaphore) != 0) return fault("sem_post: %s", strerror(errno));
        ++notes->raised[1];
    }
}
static void take_psem(void) {
    while (!notes->stop) {
        if (sem_wait(semaphore) != 0) return fault("sem_wait: %s", strerror(errno));
        ++notes->taken[1];
    }
}

// One number after the other, slot by slot, first here, then there.
static void write_slots(void) {
    for (long number = 1; !notes->stop; ++number) {
        for (int i = 0; i < slots; ++i) slots_shm[i * slot_step] = number;
        for (int i = 0; i < slots; ++i) slots_pshm[i * slot_step] = number;
    }
}

// Wait for what comes at the very end only.
static void wait_in_semop(void) {
    struct sembuf take = {1, -1, 0};
    if (semop(set, &take, 1) != 0) fault("semop that waits: %s", strerror(errno));
}
static void wait_in_msgrcv(void) {
    struct message message;
    if (msgrcv(queue, &message, sizeof message - sizeof(long), 99, 0) < 0)
        fault("msgrcv that waits: %s", strerror(errno));
}
static void wait_in_mq_receive(void) {
    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
    const mqd_t waiting = mq_open("/waiting", O_RDWR | O_CREAT, 0600, &attributes);
    char byte[8];
    if (mq_receive(waiting, byte, sizeof byte, NULL) < 0) fault("mq_receive that waits: %s", strerror(errno));
}
static void wait_in_sem_wait(void) {
    sem_t* const waiting = sem_open("/waiting", O_CREAT, 0600, 0);
    if (sem_wait(waiting) != 0) fault("sem_wait that waits: %s", strerror(errno));
}

static void wake_all(bool with_mq) {
    // Whoever looks at notes->stop must come by there.
    for (int i = 0; i < 3; ++i) {
        struct sembuf wake[] = {{0, 1, IPC_NOWAIT}, {1, 1, IPC_NOWAIT}};
        semop(set, wake, 2);
        sem_post(semaphore);
    }
    struct message last = {.type = 99};
    msgsnd(queue, &last, sizeof last - sizeof(long), IPC_NOWAIT);
    sem_t* const waiting = sem_open("/waiting", O_CREAT, 0600, 0);
    sem_post(waiting);
    if (!with_mq) return;
    const mqd_t queue_that_waits = mq_open("/waiting", O_WRONLY | O_NONBLOCK);
    mq_send(queue_that_waits, "", 1, 0);
}

static pid_t start(void (*work)(void)) {
    const pid_t pid = fork();
    if (pid != 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    work();
    _exit(faults_here ? 1 : 0);
}

static int work(bool with_mq) {
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGTERM);
    sigprocmask(SIG_BLOCK, &end, NULL);
    open_all(with_mq, true);
    pid_t workers[most_workers];
    int count = 0;
    void (*const always[])(void) = {produce_msg,    consume_msg,     raise_sem,   take_sem,
                                    raise_psem,     take_psem,       write_slots, wait_in_semop,
                                    wait_in_msgrcv, wait_in_sem_wait};
    void (*const with_queues[])(void) = {produce_mq, consume_mq, wait_in_mq_receive};
    for (size_t i = 0; i < sizeof always / sizeof *always; ++i) workers[count++] = start(always[i]);
    for (size_t i = 0; with_mq && i < sizeof with_queues / sizeof *with_queues; ++i)
        workers[count++] = start(with_queues[i]);
    while (notes->received[0] < 10 || notes->taken[0] < 10 || notes->taken[1] < 10 || slots_pshm[0] < 10 ||
           (with_mq && notes->received[1] < 10)) {
        if (waitpid(-1, NULL, WNOHANG) > 0) break;
        usleep(1000);
    }
    printf("ready\n");
    fflush(stdout);
    int number = 0;
    sigwait(&end, &number);
    notes->stop = 1;
    for (int left = count; left > 0;) {
        wake_all(with_mq);
        int status = 0;
        const pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid == 0) {
            // Whoever still sends, or waits for one more, is in a queue that nobody works on any more.
            struct message message;
            while (msgrcv(queue, &message, sizeof message - sizeof(long), -98, IPC_NOWAIT) >= 0) {}
            message = (struct message){.type = 1, .number = notes->received[0] + 1};
            msgsnd(queue, &message, sizeof message - sizeof(long), IPC_NOWAIT);
            for (int i = 0; with_mq && i < 2; ++i) {
                const struct timespec now = {0, 0};
                mq_timedreceive(posix_queue, (char*)&message, sizeof message, NULL, &now);
                message = (struct message){.type = 1, .number = notes->received[1] + 1};
                mq_timedsend(posix_queue, (const char*)&message, sizeof message, 3, &now);
            }
            usleep(1000);
            continue;
        }
        if (pid < 0) break;
        if (status != 0) faults_here = true;
        --left;
        for (int i = 0; i < count; ++i) {
            if (workers[i] == pid) workers[i] = 0;
        }
    }
    return 0;
}

// ---- In a copy -------------------------------------------------------------------------------------------------------

static void expect_between(const char* what, long value, long least, long most) {
    if (value < least || value > most) fault("%s is %ld, and not %ld to %ld", what, value, least, most);
}

// What is in the queue follows upon what was received, without a gap, up to what was sent.
static void drain(int kind) {
    long count = 0;
    for (struct message message;; ++count) {
        const struct timespec now = {0, 0};
        const ssize_t length =
            kind == 0 ? msgrcv(queue, &message, sizeof message - sizeof(long), 1, IPC_NOWAIT)
                      : mq_timedreceive(posix_queue, (char*)&message, sizeof message, NULL, &now);
        if (length < 0) {
            if (errno != ENOMSG && errno != ETIMEDOUT)
                fault("receiving on, kind %d: %s", kind, strerror(errno));
            break;
        }
        const long next = notes->received[kind] + 1;
        // The first may have been received already, and not noted.
        if (message.number != next && !(count == 0 && message.number == next + 1))
            fault("kind %d: after %ld came %ld", kind, next - 1, message.number);
        notes->received[kind] = message.number;
    }
    // The last may have been sent, and not noted; or received and not noted, when there was none behind it.
    expect_between(kind == 0 ? "the last message" : "the last message of the POSIX queue",
                   notes->received[kind], notes->sent[kind] - 1, notes->sent[kind] + 1);
    notes->sent[kind] = notes->received[kind];
}

static void go_on(int kind) {
    for (long i = 0; i < 100; ++i) {
        struct message message = {.type = 1, .number = notes->sent[kind] + 1};
        const int done = kind == 0 ? msgsnd(queue, &message, sizeof message - sizeof(long), IPC_NOWAIT)
                                   : mq_timedsend(posix_queue, (const char*)&message, sizeof message, 3,
                                                  &(struct timespec){0});
        if (done != 0) return fault("sending on, kind %d: %s", kind, strerror(errno));
        notes->sent[kind] = message.number;
        drain(kind);
        if (notes->received[kind] != message.number) fault("kind %d: %ld did not come", kind, message.number);
    }
}

static void check_slots(const char* what, const volatile long* all) {
    for (int i = 1; i < slots; ++i) {
        const long first = all[0], before = all[(i - 1) * slot_step], here = all[i * slot_step];
        if (here > before || here < first - 1)
            return fault("%s is not of one moment: %ld, ..., %ld, %ld", what, first, before, here);
    }
}

static int continue_copy(bool with_mq) {
    open_all(with_mq, false);
    check_slots("the segment", slots_shm);
    check_slots("the shared memory", slots_pshm);
    // The second begins when the first is complete.
    const long here = slots_shm[(slots - 1) * slot_step], there = slots_pshm[0];
    if (there != here && there != slots_shm[0] - 1)
        fault("segment and shared memory are not of one moment: %ld to %ld, and %ld", slots_shm[0], here,
              there);
    expect_between("the semaphore", semctl(set, 0, GETVAL), notes->raised[0] - notes->taken[0] - 1,
                   notes->raised[0] - notes->taken[0] + 1);
    int value = 0;
    sem_getvalue(semaphore, &value);
    expect_between("the named semaphore", value, notes->raised[1] - notes->taken[1] - 1,
                   notes->raised[1] - notes->taken[1] + 1);
    struct sembuf take = {0, -1, IPC_NOWAIT};
    for (int left = semctl(set, 0, GETVAL); left > 0; --left) need(semop(set, &take, 1) == 0, "take");
    if (semop(set, &take, 1) == 0) fault("the semaphore was higher than it said");
    for (int left = value; left > 0; --left) need(sem_trywait(semaphore) == 0, "take");
    if (sem_trywait(semaphore) == 0) fault("the named semaphore was higher than it said");
    for (int kind = 0; kind < (with_mq ? 2 : 1); ++kind) {
        drain(kind);
        go_on(kind);
    }
    return 0;
}

int main(int count, char** words) {
    if (count < 3) {
        fprintf(stderr, "Usage: busy work|go-on FILE [no-mq]\n");
        return 2;
    }
    report = fopen(words[2], "ae");
    if (report == NULL) return 2;
    const bool with_mq = count < 4;
    const int status = strcmp(words[1], "work") == 0 ? work(with_mq) : continue_copy(with_mq);
    if (!faults_here)
        fprintf(report, "good %ld %ld %ld %ld %ld\n", notes->received[0], notes->received[1], notes->taken[0],
                notes->taken[1], slots_pshm[0]);
    fclose(report);
    return status != 0 || faults_here;
}
