// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
//
// Reads the messages of a POSIX queue where the kernel keeps them, without taking them.
//
// A queue (ipc/mqueue.c of the kernel) keeps its messages in a red-black tree of priorities, each with a list of messages,
// the oldest first. The bytes of a message follow its head (ipc/msgutil.c): what does not fit into that page is in a chain
// of segments of a page each. Only those fields are declared here that are read; where they are in the running kernel, its
// type information (BTF) says when the program is loaded.
//
// The queue's lock can't be had. Whatever is read may be freed and used for something else at that very moment, so a
// pointer leads anywhere: every read is one that may fail, every loop has an end, and what was found counts only if it fits
// together. See src/messages.cpp for what is concluded from it.
#include "messages.h"

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define KERNEL __attribute__((preserve_access_index))

struct list_head {
    struct list_head *next, *prev;
} KERNEL;
struct rb_node {
    unsigned long __rb_parent_color;
    struct rb_node *rb_right, *rb_left;
} KERNEL;
struct rb_root {
    struct rb_node* rb_node;
} KERNEL;
struct posix_msg_tree_node {
    struct rb_node rb_node;
    struct list_head msg_list;
    int priority;
} KERNEL;
struct msg_msgseg {
    struct msg_msgseg* next;
} KERNEL;
struct msg_msg {
    struct list_head m_list;
    long m_type;
    unsigned long m_ts;
    struct msg_msgseg* next;
} KERNEL;
struct super_block {
    unsigned long s_magic;
} KERNEL;
struct inode {
    struct super_block* i_sb;
} KERNEL;
struct mq_attr {
    long mq_curmsgs;
} KERNEL;
struct mqueue_inode_info {
    struct inode vfs_inode;
    struct rb_root msg_tree;
    struct mq_attr attr;
    unsigned long qsize;
} KERNEL;
struct file {
    struct inode* f_inode;
} KERNEL;
struct fdtable {
    unsigned int max_fds;
    struct file** fd;
} KERNEL;
struct files_struct {
    struct fdtable* fdt;
} KERNEL;
struct task_struct {
    struct files_struct* files;
} KERNEL;

enum {
    MQUEUE_MAGIC = 0x19800202,
    // A walk takes a step for each message and at most three for each priority.
    MOST_STEPS = 1 << 18,
};

// What a walk knows.
struct walk {
    struct rb_node* node;
    struct list_head* head; // of the list that the walk is in
    struct list_head* at;
    struct list_head* before; // at
    __u64 bytes;              // of the messages seen
    __u32 step;
    __u32 priority; // of the list; before the first one above all
    __u32 number;   // of the check, when it walks against the list; 0: it makes the list
    __u32 after;    // the check that must have seen a message, too; 0: none
    __u32 count;    // messages seen
    __u32 listed;   // messages in the list
    __u32 place;    // the first of them that may be the next
    __u32 others;   // messages seen that are not in the list
};

// What copying knows.
struct copying {
    void* from;              // where the bytes are that come next
    struct msg_msgseg* next; // the segment behind
    __u64 here;              // bytes up to the end of this segment
    __u64 skip;              // bytes of the message that are not wanted
    __u64 left;              // bytes of the message
    __u64 place;             // in the room
    __u32 page_size;
    __u32 room;
    __u32 message; // in the list
    __u32 listed;
    __u32 second; // to the second place
    __u32 begun;  // the message is
    __u32 torn;
};

// In a map and not on the stack: of what is on the stack, the kernel's verifier follows every value that it can have.
struct state {
    struct walk walk;
    struct copying copying;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct state);
} state SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct ipcns_picture);
} picture SEC(".maps");

static struct state* the_state(void) {
    __u32 zero = 0;
    return bpf_map_lookup_elem(&state, &zero);
}

static struct ipcns_picture* the_picture(void) {
    __u32 zero = 0;
    return bpf_map_lookup_elem(&picture, &zero);
}

// Reads a field of the kernel's; where that fails, the function ends with `or_else`.
#define READ_INTO(to, from, field, or_else)                                  \
    do {                                                                     \
        __typeof__(from) from_ = (from);                                     \
        if (bpf_core_read(&(to), sizeof(to), &from_->field)) return or_else; \
    } while (0)

// Nothing is read before this that stands behind it, on processors that do so otherwise.
static void barrier_for_reads(void) {
    __u64 word = 0;
    __sync_fetch_and_add(&word, 1);
    asm volatile("" : : "r"(word) : "memory");
}

// ---- The walk ----------------------------------------------------------------------------------------------------

enum step { DOWN, LEAF, MESSAGE, UP, DONE, LOST };

// The next of a priority below: the one farthest to the right.
static enum step go_down(struct walk* walk) {
    struct rb_node* right;
    READ_INTO(right, walk->node, rb_right, LOST);
    if (!right) return LEAF;
    walk->node = right;
    return DOWN;
}

static enum step open_list(struct walk* walk) {
    struct posix_msg_tree_node* leaf =
        (void*)walk->node - bpf_core_field_offset(struct posix_msg_tree_node, rb_node);
    int priority;
    READ_INTO(priority, leaf, priority, LOST);
    if (priority < 0 || (__u32)priority >= walk->priority) return LOST;
    walk->priority = priority;
    walk->head = (void*)leaf + bpf_core_field_offset(struct posix_msg_tree_node, msg_list);
    walk->before = walk->head;
    READ_INTO(walk->at, walk->head, next, LOST);
    return walk->at == walk->head ? LOST : MESSAGE; // it would have gone with its last message
}

// The list is at its end: on to the tree left of here, or up.
static enum step close_list(struct walk* walk) {
    struct list_head* last;
    struct rb_node* left;
    READ_INTO(last, walk->head, prev, LOST);
    if (last != walk->before) return LOST;
    READ_INTO(left, walk->node, rb_left, LOST);
    if (!left) return UP;
    walk->node = left;
    return DOWN;
}

// True when the message is settled: the first one of the list that it can be, or none. Of a priority, the oldest go first
// and new ones come last.
static int match(struct walk* walk, struct ipcns_entry* list, unsigned long bytes) {
    __u32 place = walk->place;
    if (place >= walk->listed || place >= IPCNS_MOST_MESSAGES || list[place].priority < walk->priority) {
        walk->others += 1;
        return 1;
    }
    walk->place = place + 1;
    if (list[place].priority == walk->priority && list[place].address == (__u64)walk->at) {
        if (list[place].bytes != bytes)
            walk->others += 1; // in the memory of the one that was there
        else if (walk->after == 0 || list[place].seen == walk->after)
            list[place].seen = walk->number;
        return 1;
    }
    return 0;
}

static enum step see_message(struct walk* walk, struct ipcns_entry* list) {
    if (walk->at == walk->head) return close_list(walk);
    struct msg_msg* message = (void*)walk->at - bpf_core_field_offset(struct msg_msg, m_list);
    struct list_head *before, *next;
    long type;
    unsigned long bytes;
    READ_INTO(before, walk->at, prev, LOST);
    READ_INTO(next, walk->at, next, LOST);
    READ_INTO(type, message, m_type, LOST);
    READ_INTO(bytes, message, m_ts, LOST);
    if (before != walk->before || type != walk->priority || bytes > IPCNS_LONGEST_MESSAGE) return LOST;
    if (walk->number) {
        if (!match(walk, list, bytes)) return MESSAGE; // it again
    } else {
        __u32 place = walk->count;
        if (place >= IPCNS_MOST_MESSAGES) return LOST;
        list[place].address = (__u64)walk->at;
        list[place].bytes = bytes;
        list[place].priority = type;
        list[place].seen = 0;
    }
    walk->count += 1;
    walk->bytes += bytes;
    walk->before = walk->at;
    walk->at = next;
    return MESSAGE;
}

// To the first node whose right side we come from.
static enum step go_up(struct walk* walk) {
    unsigned long above;
    struct rb_node *parent, *right;
    READ_INTO(above, walk->node, __rb_parent_color, LOST);
    parent = (struct rb_node*)(above & ~3UL);
    if (!parent) return DONE;
    READ_INTO(right, parent, rb_right, LOST);
    const int from_right = right == walk->node;
    walk->node = parent;
    return from_right ? LEAF : UP;
}

static long take_step(__u32 index, void* context) {
    struct state* now = the_state();
    struct ipcns_picture* all = the_picture();
    if (!now || !all) return 1;
    struct walk* walk = &now->walk;
    switch (walk->step) {
    case DOWN: walk->step = go_down(walk); break;
    case LEAF: walk->step = open_list(walk); break;
    case MESSAGE: walk->step = see_message(walk, all->list); break;
    case UP: walk->step = go_up(walk); break;
    default: return 1;
    }
    return 0;
}

// True when it came to its end.
static int walk_through(struct mqueue_inode_info* queue, struct walk* walk) {
    walk->priority = ~0U;
    READ_INTO(walk->node, queue, msg_tree.rb_node, 0);
    walk->step = walk->node ? DOWN : DONE;
    bpf_loop(MOST_STEPS, take_step, 0, 0);
    return walk->step == DONE;
}

// ---- Copying -----------------------------------------------------------------------------------------------------

static int begin_message(struct copying* copying, struct ipcns_entry* entry) {
    void* head = (void*)entry->address - bpf_core_field_offset(struct msg_msg, m_list);
    const __u64 size = bpf_core_type_size(struct msg_msg);
    copying->from = head + size;
    copying->here = copying->page_size - size;
    copying->left = entry->bytes;
    copying->begun = 1;
    READ_INTO(copying->next, (struct msg_msg*)head, next, 0);
    return 1;
}

static int next_segment(struct copying* copying) {
    struct msg_msgseg* segment = copying->next;
    const __u64 size = bpf_core_type_size(struct msg_msgseg);
    if (!segment) return 0;
    copying->from = (void*)segment + size;
    copying->here = copying->page_size - size;
    READ_INTO(copying->next, segment, next, 0);
    return 1;
}

// A message begins, or a chunk of it is copied or passed over, or it ends. 1 is the end of all.
static long copy_chunk(__u32 index, void* context) {
    struct state* now = the_state();
    struct ipcns_picture* all = the_picture();
    if (!now || !all) return 1;
    struct copying* copying = &now->copying;
    __u32 message = copying->message;
    if (message >= copying->listed || message >= IPCNS_MOST_MESSAGES) return 1;
    if (!copying->begun) {
        copying->torn = !begin_message(copying, &all->list[message]);
        return copying->torn;
    }
    if (copying->left == 0) {
        copying->message = message + 1;
        copying->begun = 0;
        return 0;
    }
    if (copying->here == 0) {
        copying->torn = !next_segment(copying);
        return copying->torn;
    }
    __u64 length = copying->here < copying->left ? copying->here : copying->left;
    if (copying->skip) {
        if (length > copying->skip) length = copying->skip;
        copying->skip -= length;
    } else {
        __u64 place = copying->place;
        if (place >= copying->room || place >= IPCNS_ROOM) return 1;
        if (length > copying->room - place) length = copying->room - place;
        if (length > IPCNS_CHUNK) length = IPCNS_CHUNK;
        __u8* to = copying->second ? all->second : all->first;
        if (bpf_probe_read_kernel(to + place, length, copying->from)) {
            copying->torn = 1;
            return 1;
        }
        copying->place = place + length;
    }
    copying->from += length;
    copying->here -= length;
    copying->left -= length;
    return 0;
}

static void copy(struct copying* copying, struct ipcns_request* request, __u32 second) {
    *copying = (struct copying){
        .page_size = request->page_size,
        .room = request->room,
        .message = request->first,
        .listed = request->count,
        .skip = request->offset,
        .second = second,
    };
    bpf_loop(MOST_STEPS, copy_chunk, 0, 0);
    if (!second || copying->place < request->copied) request->copied = copying->place;
    if (copying->torn) request->torn = 1;
}

// ---- A run -------------------------------------------------------------------------------------------------------

static struct mqueue_inode_info* find_queue(__u32 descriptor) {
    struct task_struct* task = bpf_get_current_task_btf();
    struct fdtable* table = BPF_CORE_READ(task, files, fdt);
    if (!table || descriptor >= BPF_CORE_READ(table, max_fds)) return 0;
    struct file** files = BPF_CORE_READ(table, fd);
    struct file* file = 0;
    bpf_probe_read_kernel(&file, sizeof file, files + descriptor);
    struct inode* inode = BPF_CORE_READ(file, f_inode);
    if (BPF_CORE_READ(inode, i_sb, s_magic) != MQUEUE_MAGIC) return 0;
    return (void*)inode - bpf_core_field_offset(struct mqueue_inode_info, vfs_inode);
}

// What the queue itself says there is: true when it is what was seen.
static int counters_agree(struct mqueue_inode_info* queue, const struct walk* walk) {
    long messages;
    unsigned long bytes;
    barrier_for_reads();
    READ_INTO(messages, queue, attr.mq_curmsgs, 0);
    READ_INTO(bytes, queue, qsize, 0);
    return messages == walk->count && bytes == walk->bytes;
}

// True when the walk came to its end.
static int check(struct mqueue_inode_info* queue, struct walk* walk, struct ipcns_request* request,
                 __u32 number, __u32 after) {
    *walk = (struct walk){.number = number, .after = after, .listed = request->count};
    if (!walk_through(queue, walk)) return 0;
    if (walk->others != 0 || walk->count != request->count || walk->bytes != request->bytes ||
        !counters_agree(queue, walk))
        request->changed = 1;
    return 1;
}

SEC("syscall")
int read_messages(struct ipcns_request* request) {
    struct mqueue_inode_info* queue = find_queue(request->descriptor);
    struct state* now = the_state();
    request->outcome = IPCNS_NO_QUEUE;
    if (!queue || !now) return 0;
    struct walk* walk = &now->walk;
    request->outcome = IPCNS_MOVED;
    if (request->steps & IPCNS_LIST) {
        *walk = (struct walk){};
        if (!walk_through(queue, walk)) return 0;
        if (!(request->steps & IPCNS_ANYHOW) && !counters_agree(queue, walk)) return 0;
        request->count = walk->count;
        request->bytes = walk->bytes;
    }
    barrier_for_reads();
    request->torn = 0;
    request->changed = 0;
    if (request->steps & IPCNS_COPY) copy(&now->copying, request, 0);
    barrier_for_reads();
    if (request->steps & IPCNS_TWICE) {
        if (!check(queue, walk, request, request->number - 1, 0)) return 0;
        barrier_for_reads();
        copy(&now->copying, request, 1);
        barrier_for_reads();
        if (!check(queue, walk, request, request->number, request->number - 1)) return 0;
    } else if (request->steps & IPCNS_CHECK) {
        if (!check(queue, walk, request, request->number, 0)) return 0;
    }
    request->outcome = IPCNS_DONE;
    return 0;
}
