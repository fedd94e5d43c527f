// SPDX-License-Identifier: Apache-2.0
//
// The least that looking at all messages of a System V queue takes: one msgrcv(MSG_COPY) for each, with room for as many
// bytes as they have, and nothing done with what it says.

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/ipc.h>
#include <sys/msg.h>

int main(void) {
    struct {
        long type;
        char text[64];
    } message;
    for (long place = 0;; place++) {
        if (msgrcv(0, &message, sizeof message.text, place, MSG_COPY | IPC_NOWAIT) >= 0) continue;
        if (errno == ENOMSG) return 0;
        perror("msgrcv: MSG_COPY");
        return 1;
    }
}
