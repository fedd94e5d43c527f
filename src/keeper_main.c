/* SPDX-License-Identifier: Apache-2.0
 *
 * ipcns-keeper NAME CHANNEL: keeps an ordinary user's named namespace alive by being in it. nsfs files cannot be
 * bind mounted without privileges, so a process it must be; this one is as small as they come.
 *
 * It is started in the folder of the name, inside the namespaces that it is to keep. It locks the file "keeper"
 * there: the kernel then tells everybody which process it is (fcntl(2), F_GETLK) for exactly as long as it lives.
 * Then it says so on CHANNEL and waits for a byte, which means that the name has appeared; when the channel closes
 * without one, whoever wanted the name has died, and it ends.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const int channel = atoi(argv[2]);
    const int lock_file = open("keeper", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (lock_file < 0 || fcntl(lock_file, F_SETLK, &lock) != 0) return 1;

    (void)setsid();
    if (chdir("/") != 0) return 1;
    /* Nobody may wait in vain for the end of a pipe because the keeper still has it. The lock file must not be
     * closed: with any descriptor of it the lock would go. */
    for (int fd = 0; fd < 3; ++fd) {
        if (fd == channel || fd == lock_file) continue;
        close(fd);
        (void)!open("/dev/null", O_RDWR);
    }
    const int low = channel < lock_file ? channel : lock_file;
    const int high = channel < lock_file ? lock_file : channel;
    if (low > 3) (void)close_range(3, (unsigned)low - 1, 0);
    if (high > low + 1) (void)close_range((unsigned)low + 1, (unsigned)high - 1, 0);
    (void)close_range((unsigned)high + 1, ~0U, 0);

    char byte = 'r';
    if (write(channel, &byte, 1) != 1) return 1;
    // The end of the channel says that there will be no name. An error says nothing, and the name may be there already.
    ssize_t told = -1;
    for (int attempt = 0; told < 0 && attempt < 100; ++attempt) told = read(channel, &byte, 1);
    if (told != 1) return 1;
    close(channel);
    for (;;) pause();
}
