// SPDX-License-Identifier: Apache-2.0
// Starting, finding and ending keepers. Leans on: a record lock (fcntl(2)) belongs to a process, ends with
// it, and F_GETLK names its holder, so no pid is ever written down that could go stale.
#include "keeper.hpp"

#include "errand.hpp"
#include "error.hpp"
#include "programs.hpp"

#include <ipcns/launch.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <string_view>

namespace ipcns {

StartedKeeper start_keeper(const std::string& name, const std::string& path, const CreateOptions& options,
                           const Place* place) {
    std::array<int, 2> pair{};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) fail("make a socket pair");
    StartedKeeper keeper{0, Fd(pair[0])};
    Fd theirs(pair[1]);

    LaunchOptions launch_options;
    launch_options.arguments = {helper_program("ipcns-keeper"), name, std::to_string(theirs.get())};
    launch_options.directory = path;
    launch_options.place = place;
    launch_options.shm_size = options.shm_size;
    launch_options.limits = options.limits;
    launch_options.map_root = true;
    launch_options.signal_mask.emplace();
    ::sigemptyset(&*launch_options.signal_mask);
    // By way of a process that ends at once, so that the keeper is nobody's child: nobody has to reap it.
    errand("start a keeper", 0, [&] {
        // A table of descriptors of its own, so that the keeper's end of the channel leaks into no other
        // program.
        if (::unshare(CLONE_FILES) != 0 || ::fcntl(theirs.get(), F_SETFD, 0) != 0)
            fail("hand a channel to the keeper");
        try {
            keeper.pid = launch(launch_options).pid();
        } catch (const Error& error) {
            // Which limit it was is what the person has to know.
            if (std::string_view(error.what()).starts_with("set the limit")) throw;
            fail(error.code().value(), "start the keeper of " + name, error.hint());
        }
    });
    theirs.reset();
    char byte = 0;
    ssize_t length = 0;
    do {
        length = ::read(keeper.channel.get(), &byte, 1);
    } while (length < 0 && errno == EINTR);
    if (length != 1) fail(ECANCELED, "start a keeper for " + name, "it ended before it was ready");
    return keeper;
}

pid_t find_keeper(int folder) {
    const Fd file(::openat(folder, "keeper", O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!file) return errno == ENOENT ? 0 : -1;
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (::fcntl(file.get(), F_GETLK, &lock) != 0) return -1;
    if (lock.l_type == F_UNLCK) return 0;
    // 0 stands for a process that has no number in our pid namespace.
    return lock.l_pid > 0 ? lock.l_pid : -1;
}

bool end_keeper(int folder) {
    const pid_t pid = find_keeper(folder);
    if (pid <= 0) return pid == 0;
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    // Asked again: the pidfd is of the process that holds the lock, not of one that got its number since.
    if (!process || find_keeper(folder) != pid) return find_keeper(folder) == 0;
    if (::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0) != 0) return errno == ESRCH;
    struct pollfd polled {
        process.get(), POLLIN, 0
    };
    while (::poll(&polled, 1, 5000) < 0 && errno == EINTR) {}
    return true;
}

} // namespace ipcns
