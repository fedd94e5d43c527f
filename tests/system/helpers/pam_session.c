// SPDX-License-Identifier: Apache-2.0
// A program that opens a session and closes it: pam_session SERVICE USER. Prints where it is before, in between and after, a line
// each: the IPC and the mount namespace, and the working directory; "refused" in the place of the second when the session was; and
// "a child has ended" when it was told so, which made none. What it looks up itself it asks for twice, so that one system call that
// fails is one of PAM's.
#include <security/pam_appl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int no_conversation(int count, const struct pam_message** messages, struct pam_response** answers,
                           void* data) {
    (void)count, (void)messages, (void)answers, (void)data;
    return PAM_CONV_ERR;
}

static const char* link_of(const char* path, char* text, size_t size) {
    ssize_t length = readlink(path, text, size - 1);
    if (length < 0) length = readlink(path, text, size - 1);
    text[length < 0 ? 0 : length] = '\0';
    return text;
}

static void say(const char* when) {
    char ipc[64];
    char mounts[64];
    char line[256];
    struct stat here;
    if (stat(".", &here) != 0 && stat(".", &here) != 0) memset(&here, 0, sizeof here);
    snprintf(line, sizeof line, "%s %s %s %lu:%lu\n", when, link_of("/proc/self/ns/ipc", ipc, sizeof ipc),
             link_of("/proc/self/ns/mnt", mounts, sizeof mounts), (unsigned long)here.st_dev,
             (unsigned long)here.st_ino);
    if (write(1, line, strlen(line)) < 0 && write(1, line, strlen(line)) < 0) return;
}

static void told(int number) {
    (void)number;
    if (write(1, "a child has ended\n", 18) < 0) _exit(3);
}

int main(int argc, char** argv) {
    const struct pam_conv conversation = {no_conversation, NULL};
    pam_handle_t* handle = NULL;
    if (argc != 3 || pam_start(argv[1], argv[2], &conversation, &handle) != PAM_SUCCESS) return 2;
    signal(SIGCHLD, told);
    say("before");
    const int status = pam_open_session(handle, 0);
    say(status == PAM_SUCCESS ? "inside" : "refused");
    if (status == PAM_SUCCESS) pam_close_session(handle, 0);
    pam_end(handle, status);
    say("after");
    return 0;
}
