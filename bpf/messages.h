/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
 *
 * What messages.bpf.c and who runs it (src/messages.cpp) say to each other.
 */
#ifndef IPCNS_BPF_MESSAGES_H
#define IPCNS_BPF_MESSAGES_H

#include <linux/types.h>

enum {
    IPCNS_MOST_MESSAGES = 65536,     /* HARD_MSGMAX of the kernel */
    IPCNS_LONGEST_MESSAGE = 1 << 24, /* HARD_MSGSIZEMAX */
    IPCNS_ROOM = 1 << 20,            /* bytes of messages that one run gives */
    IPCNS_CHUNK = 4096,              /* bytes that are copied at a time */
};

/* What a run is to do, in this order. */
enum {
    IPCNS_LIST = 1, /* walk through the queue and write down where each message is */
    IPCNS_COPY = 2, /* copy the bytes of messages of the list, as many as there is room for */
    IPCNS_TWICE =
        4, /* check, and copy once again, to another place: what is not the same was overwritten meanwhile */
    IPCNS_CHECK = 8,   /* walk again, and say which messages of the list are still there */
    IPCNS_ANYHOW = 16, /* a list may say something else than the queue's counters */
};

/* What a run says. */
enum ipcns_outcome {
    IPCNS_DONE,
    IPCNS_MOVED,    /* the queue was changed under the walk: what is in the list is of no use */
    IPCNS_NO_QUEUE, /* the descriptor is of something else */
};

/* The program's argument, and its answer. */
struct ipcns_request {
    /* asked */
    __u32 steps;
    __u32 number;     /* of the run's last check: two more than in the run before, and 2 at least */
    __u32 descriptor; /* of the calling process */
    __u32 page_size;
    __u32 room;   /* bytes to copy at most */
    __u32 first;  /* the message to copy from */
    __u64 offset; /* and the byte of it */
    /* answered */
    __u64 bytes;   /* of all messages in the list */
    __u64 copied;  /* bytes, to both places */
    __u32 count;   /* messages in the list; asked for, too, without IPCNS_LIST */
    __u32 outcome; /* one of ipcns_outcome */
    __u32 torn;    /* the message behind what was copied was not there any more */
    __u32 changed; /* the check found messages missing, others, or other counters */
};

struct ipcns_entry {
    __u64 address;
    __u32 bytes;
    __u16 priority;
    __u16 seen; /* the number of the last check that saw it again, after the one before of its run did */
};

struct ipcns_picture {
    struct ipcns_entry list[IPCNS_MOST_MESSAGES];
    /* A chunk longer than what is used, so that the kernel sees without arithmetic that it is enough. */
    __u8 first[IPCNS_ROOM + IPCNS_CHUNK];
    __u8 second[IPCNS_ROOM + IPCNS_CHUNK];
};

#endif
