// SPDX-License-Identifier: Apache-2.0
// ipcns-linger NAME SECONDS: waits until nobody holds a name that sessions share, and some seconds more, and takes it away.
//
// It waits for a lock (flock(2)) that the kernel gives up for whoever dies, so no session has to say that it ends. It is
// started when the name is made, as root, in the namespaces of process 1. The process that was started ends when this is sure
// to happen, and not before: a session may be over sooner than this has begun.
#include <ipcns/fd.hpp>
#include <ipcns/launch.hpp>
#include <ipcns/registry.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <utility>

namespace {

// Nobody's child, with nothing open but the end of a pipe: who started us goes on when a byte comes, or fails when none does.
int detach() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) ::_exit(1);
    const pid_t child = ::fork();
    if (child < 0) ::_exit(1);
    if (child > 0) {
        char sure = 0;
        ::close(ends[1]);
        ssize_t count = 0;
        while ((count = ::read(ends[0], &sure, 1)) < 0 && errno == EINTR) {}
        ::_exit(count == 1 ? 0 : 1);
    }
    (void)::signal(SIGPIPE, SIG_IGN); // of a starter that was killed
    const int end = ::fcntl(ends[1], F_DUPFD_CLOEXEC, 3);
    (void)::setsid();
    (void)!::chdir("/");
    ::umask(022);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    (void)::close_range(0, static_cast<unsigned>(end) - 1, 0);
    (void)::close_range(static_cast<unsigned>(end) + 1, ~0U, 0);
    for (int i = 0; i < 3; ++i) (void)::open("/dev/null", O_RDWR);
    return end;
}

// Out of the control group of the session or service that made it: that ends with the first session, and would take this
// along, or wait for it.
void leave_cgroup() {
    for (const char* root : {"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"}) {
        const int file = ::open((std::string(root) + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
        if (file < 0) continue;
        (void)!::write(file, "0", 1);
        ::close(file);
    }
}

void linger(const std::string& name, std::chrono::seconds seconds, ipcns::Fd starter) {
    const auto registry = ipcns::Registry::of_system();
    for (;;) {
        {
            // Held meanwhile, or the next one who changes a name would sweep it up.
            const ipcns::Fd lease = registry.outlast(name, [&] {
                if (starter) (void)!::write(starter.get(), "", 1);
                starter.reset();
            });
            std::this_thread::sleep_for(seconds);
        }
        const auto left = registry.remove_unused(name);
        if (!left) continue;
        if (left->inside.empty()) {
            if (!left->empty())
                ::syslog(
                    LOG_INFO,
                    "%s removed, and with it %zu System V objects, %zu POSIX queues, %zu files in /dev/shm",
                    name.c_str(), left->sysv.objects(), static_cast<std::size_t>(left->queues.files),
                    static_cast<std::size_t>(left->files.files));
            return;
        }
        // Somebody logged out and left a program behind.
        ipcns::wait_until_nobody_inside(registry.open(name).ipc.id());
    }
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    ipcns::Fd starter(detach());
    leave_cgroup();
    ::openlog("ipcns-linger", LOG_PID, LOG_AUTHPRIV);
    try {
        linger(argv[1], std::chrono::seconds(std::strtoul(argv[2], nullptr, 10)), std::move(starter));
    } catch (const ipcns::Error& error) {
        if (error.code().value() == ENOENT) return 0; // somebody has deleted it
        ::syslog(LOG_ERR, "%s", error.what());
        return 1;
    } catch (const std::exception& error) {
        ::syslog(LOG_ERR, "%s", error.what());
        return 1;
    }
}
