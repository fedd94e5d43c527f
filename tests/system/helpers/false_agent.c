// SPDX-License-Identifier: Apache-2.0
// An ipcns-agent that cannot be trusted. It starts the honest one, which lies beside it, on other sockets, and changes what
// it says, in the manner that a file beside it names.
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// As in src/agent.hpp: the order comes first in both, and then in a reply the outcome.
enum { hello, remember, offer, attempt, ask, clean };
enum { done, denied, unavailable, failed };

static char manner[64];

static void distort(unsigned* reply, size_t bytes) {
    if (reply[0] != attempt) return;
    if (strcmp(manner, "nothing-found") == 0) reply[1] = denied;
    if (strcmp(manner, "always-got") == 0) {
        memset(reply + 1, 0, bytes - sizeof *reply);
        reply[1] = done;
    }
    if (strcmp(manner, "garbage") == 0) reply[0] = 77;
}

// Between verify and the honest agent.
static void relay(int outer, int inner) {
    static unsigned char message[65536];
    for (;;) {
        struct pollfd polled[2] = {{outer, POLLIN, 0}, {inner, POLLIN, 0}};
        if (poll(polled, 2, -1) < 0) continue;
        for (int i = 0; i < 2; ++i) {
            if (polled[i].revents == 0) continue;
            const ssize_t length = recv(polled[i].fd, message, sizeof message, 0);
            if (length <= 0) _exit(0);
            if (i == 1) distort((unsigned*)message, (size_t)length);
            if (send(polled[1 - i].fd, message, (size_t)length, MSG_NOSIGNAL) != length) _exit(0);
        }
    }
}

int main(int argc, char** argv) {
    char self[PATH_MAX] = {0};
    if (argc < 3 || readlink("/proc/self/exe", self, sizeof self - 32) < 0) return 2;
    char* name = strrchr(self, '/') + 1;
    strcpy(name, "manner");
    FILE* file = fopen(self, "r");
    if (file == NULL || fscanf(file, "%63s", manner) != 1) return 2;
    fclose(file);
    if (strcmp(manner, "dies") == 0) return 0;

    int inner[2][2];
    char numbers[2][16];
    for (int i = 0; i < 2; ++i) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, inner[i]) != 0) return 2;
        snprintf(numbers[i], sizeof numbers[i], "%d", inner[i][1]);
    }
    strcpy(name, "honest-agent");
    if (fork() == 0) {
        close(inner[0][0]);
        close(inner[1][0]);
        close(atoi(argv[1]));
        close(atoi(argv[2]));
        execl(self, self, numbers[0], numbers[1], (char*)NULL);
        _exit(2);
    }
    for (int i = 0; i < 2; ++i) close(inner[i][1]);
    for (int i = 0; i < 2; ++i) {
        if (fork() != 0) continue;
        close(inner[1 - i][0]);
        close(atoi(argv[2 - i]));
        relay(atoi(argv[1 + i]), inner[i][0]);
    }
    for (int i = 0; i < 2; ++i) {
        close(inner[i][0]);
        close(atoi(argv[1 + i]));
    }
    while (wait(NULL) > 0) {}
    return 0;
}
