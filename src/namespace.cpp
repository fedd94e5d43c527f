// SPDX-License-Identifier: Apache-2.0
// One IPC namespace. Leans on: /proc/thread-self/ns/ipc is that of the calling thread (/proc/self is the main
// thread's); an open nsfs file keeps its namespace alive; setns(2) with CLONE_NEWIPC moves one thread and,
// with CLONE_NEWUSER, only a process of one thread (namespaces(7), setns(2)).
#include <ipcns/namespace.hpp>

#include "child.hpp"
#include "errand.hpp"
#include "error.hpp"
#include "procfs.hpp"
#include "quiet_thread.hpp"
#include "signals.hpp"
#include "usermap.hpp"

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <set>
#include <thread>

namespace ipcns {
namespace {

constexpr const char* own_path = "/proc/thread-self/ns/ipc";

std::string of_process(pid_t pid) { return "open the IPC namespace of process " + std::to_string(pid); }

Fd open_link(int proc, const char* path) { return Fd(::openat(proc, path, O_RDONLY | O_CLOEXEC)); }

// What an O_PATH descriptor leads to, opened if it is an nsfs file: whoever made the path may have put anything there, and to
// open a device or a FIFO does something. Else none, with EINVAL.
Fd open_nsfs(const Fd& seen) {
    struct statfs about {};
    if (::fstatfs(seen.get(), &about) != 0) return {};
    if (about.f_type != NSFS_MAGIC) {
        errno = EINVAL;
        return {};
    }
    return open_link(AT_FDCWD, ("/proc/thread-self/fd/" + std::to_string(seen.get())).c_str());
}

// Opens PATH below folder if it is the namespace that is looked for.
// @param resolve as of openat2(2)
std::optional<Namespace> open_if(int folder, const char* path, ino_t inode, std::uint64_t resolve = 0) {
    struct open_how how {};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = resolve;
    const Fd seen(static_cast<int>(::syscall(SYS_openat2, folder, path, &how, sizeof how)));
    Fd fd = seen ? open_nsfs(seen) : Fd();
    if (!fd && is_our_lack(errno)) fail(std::string("open /proc/") + path);
    struct stat about {};
    if (!fd || ::fstat(fd.get(), &about) != 0 || about.st_ino != inode) return std::nullopt;
    try {
        return Namespace::from_fd(std::move(fd));
    } catch (const Error&) {
        return std::nullopt; // a file of the same number that is no namespace
    }
}

// What a child of create_for() is told. It is a copy of a process of any number of threads: only system calls.
struct ForOther {
    uid_t user;
    gid_t group;
    int ours;
    int channel;
};

int make_for_other(void* argument) {
    const auto& plan = *static_cast<const ForOther*>(argument);
    ::close(plan.ours);
    // Not the C library's, which changes all threads that it believes to be there.
    int number = 0;
    if (::syscall(SYS_setresgid, -1, plan.group, -1) != 0 ||
        ::syscall(SYS_setresuid, -1, plan.user, -1) != 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWIPC) != 0)
        number = errno;
    char end = 0;
    if (::send(plan.channel, &number, sizeof number, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof number))
        (void)!::recv(plan.channel, &end, 1, 0);
    _exit(0);
}

std::optional<Namespace> find_in_mounts(int proc, pid_t pid, ino_t inode) {
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "%d/mountinfo", pid);
    for (const auto& mount : procfs::namespace_mounts(proc, path.data())) {
        if (procfs::parse_link(mount.root) != inode) continue;
        const Fd root(
            ::openat(proc, (std::to_string(pid) + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!root && is_our_lack(errno)) fail("open the root of process " + std::to_string(pid));
        // No link was on the way when it was mounted, and none leads out of there.
        constexpr auto resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
        if (!root) continue;
        if (auto found = open_if(root.get(), mount.point.c_str(), inode, resolve)) return found;
    }
    return std::nullopt;
}

} // namespace

Namespace Namespace::from_fd(Fd fd) {
    const int kind = ::ioctl(fd.get(), NS_GET_NSTYPE);
    if (kind < 0 && errno != EBADF) errno = EINVAL;
    if (kind < 0)
        fail("use a descriptor as a namespace", "it must be open on an nsfs file such as /proc/PID/ns/ipc");
    if (kind != CLONE_NEWIPC)
        fail(EINVAL, "use a descriptor as an IPC namespace", "it is a namespace of another kind");
    struct stat about {};
    if (::fstat(fd.get(), &about) != 0) fail("identify a namespace");
    return {std::move(fd), {about.st_dev, about.st_ino}};
}

Namespace Namespace::current() {
    Fd fd = open_link(AT_FDCWD, own_path);
    if (!fd)
        fail(std::string("open ") + own_path,
             errno == ENOENT ? "is /proc mounted, and has the kernel CONFIG_IPC_NS?" : "");
    return from_fd(std::move(fd));
}

Namespace Namespace::create() {
    const bool with_user = !has_sys_admin();
    const UserMap map = make_user_map(::geteuid(), ::geteuid(), ::getegid(), ::getegid());
    Fd fd;
    bool born = false;
    const unsigned long flags = CLONE_NEWIPC | (with_user ? static_cast<unsigned long>(CLONE_NEWUSER) : 0);
    try {
        errand("make an IPC namespace", flags, [&] {
            born = true;
            if (with_user) {
                if (const char* file = write_user_map(map))
                    fail(std::string("write ") + file, user_map_hint(errno));
            }
            fd = open_link(AT_FDCWD, "/proc/self/ns/ipc");
            if (!fd) fail("open /proc/self/ns/ipc", errno == ENOENT ? "is /proc mounted?" : "");
        });
    } catch (const Error& error) {
        if (born) throw;
        const int number = error.code().value();
        fail(number, "make an IPC namespace", refusal_hint(number, flags));
    }
    return from_fd(std::move(fd));
}

// The user namespace belongs to whoever makes it, so a process makes it that has that user's name for this moment; and its
// maps are written by us from outside, since that process may not be looked at or touched by the user: it keeps root as its
// real user, so that it cannot be traced by him, and has our memory, as a copy.
Namespace Namespace::create_for(uid_t user, gid_t group) {
    const std::string what = "make an IPC namespace for user " + std::to_string(user);
    ForOther plan{user, group, {}, {}};
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail(what);
    Fd ours(ends[0]);
    Fd theirs(ends[1]);
    plan.ours = ours.get();
    plan.channel = theirs.get();
    std::optional<AllSignalsBlocked> blocked(std::in_place);
    const Stack stack;
    // No exit signal: the program around us never sees it end.
    const pid_t child = clone_child(stack, 0, make_for_other, &plan);
    const int number = errno;
    blocked.reset();
    if (child < 0) fail(number, what);
    theirs.reset();
    const auto reap = [&] {
        ours.reset(); // it ends when we do
        while (::waitpid(child, nullptr, static_cast<int>(__WCLONE)) < 0 && errno == EINTR) {}
    };
    try {
        int refused = 0;
        if (::recv(ours.get(), &refused, sizeof refused, 0) != static_cast<ssize_t>(sizeof refused))
            fail(ECANCELED, what, "the helper process was killed from outside");
        if (refused != 0) fail(refused, what, refusal_hint(refused, CLONE_NEWUSER | CLONE_NEWIPC));
        const UserMap map = make_user_map(user, user, group, group);
        if (const char* file = write_user_map(map, child))
            fail("write " + std::string(file) + " of process " + std::to_string(child), user_map_hint(errno));
        Namespace made = from_pid(child);
        reap();
        return made;
    } catch (...) {
        reap();
        throw;
    }
}

Namespace Namespace::from_pid(pid_t pid) {
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "/proc/%d/ns/ipc", pid);
    Fd fd = open_link(AT_FDCWD, path.data());
    if (!fd) {
        // A zombie still has its folder, but no namespaces any more.
        if (errno == ENOENT) fail(ESRCH, of_process(pid));
        fail(of_process(pid), errno != EACCES && errno != EPERM ? ""
                              : ::geteuid() == 0 ? "it may do what you may not: CAP_SYS_PTRACE is needed"
                                                 : "it belongs to somebody else: be that user, or root");
    }
    return from_fd(std::move(fd));
}

Namespace Namespace::from_pidfd(int pidfd) {
    // The kernel tells a pidfd's process in fdinfo; the number is right for as long as the process is alive,
    // which is checked once more after the namespace is open.
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "/proc/self/fdinfo/%d", pidfd);
    const auto text = procfs::read_file(AT_FDCWD, path.data());
    const auto at = text ? text->find("\nPid:") : std::string::npos;
    if (at == std::string::npos) fail(EBADF, "open the IPC namespace of a pidfd");
    const auto pid = static_cast<pid_t>(std::strtol(text->c_str() + at + 5, nullptr, 10));
    if (pid <= 0) fail(ESRCH, "open the IPC namespace of a pidfd");
    Namespace found = from_pid(pid);
    const auto again = procfs::read_file(AT_FDCWD, path.data());
    if (!again || *again != *text) fail(ESRCH, "open the IPC namespace of a pidfd");
    return found;
}

Namespace Namespace::from_path(const std::filesystem::path& path) {
    const Fd seen(::open(path.c_str(), O_PATH | O_CLOEXEC));
    if (!seen) fail("open the namespace " + escape(path.string()));
    Fd fd = open_nsfs(seen);
    if (!fd && errno != EINVAL) fail("open the namespace " + escape(path.string()));
    const int kind = fd ? ::ioctl(fd.get(), NS_GET_NSTYPE) : -1;
    if (kind != CLONE_NEWIPC)
        fail(EINVAL, "use " + escape(path.string()) + " as an IPC namespace",
             kind < 0 ? "it is not an nsfs file; /proc/PID/ns/ipc is one"
                      : "it is a namespace of another kind");
    return from_fd(std::move(fd));
}

Namespace Namespace::from_inode(ino_t inode) {
    const Fd proc = procfs::open_proc();
    const auto pids = procfs::processes(proc.get());
    std::array<char, 64> path;
    for (const pid_t pid : pids) {
        std::snprintf(path.data(), path.size(), "%d/ns/ipc", pid);
        if (procfs::namespace_inode(proc.get(), path.data()) != inode) continue;
        if (auto found = open_if(proc.get(), path.data(), inode)) return std::move(*found);
    }
    std::set<ino_t> seen;
    for (const pid_t pid : pids) {
        std::snprintf(path.data(), path.size(), "%d/ns/mnt", pid);
        const ino_t mounts = procfs::namespace_inode(proc.get(), path.data());
        if (mounts == 0 || !seen.insert(mounts).second) continue;
        if (auto found = find_in_mounts(proc.get(), pid, inode)) return std::move(*found);
    }
    for (const pid_t pid : pids) {
        for (const char* folder : {"task", "fd"}) {
            std::snprintf(path.data(), path.size(), "%d/%s", pid, folder);
            const auto entries = procfs::numbers_in(proc.get(), path.data());
            if (is_our_lack(errno)) fail(std::string("look into /proc/") + path.data());
            for (const pid_t entry : entries) {
                std::snprintf(path.data(), path.size(), folder[0] == 't' ? "%d/task/%d/ns/ipc" : "%d/fd/%d",
                              pid, entry);
                if (procfs::namespace_inode(proc.get(), path.data(), "ipc") != inode) continue;
                if (auto found = open_if(proc.get(), path.data(), inode)) return std::move(*found);
            }
        }
    }
    fail(ENOENT, "find the IPC namespace @" + std::to_string(inode),
         "`ipcns list` shows the namespaces that you may see");
}

NamespaceId Namespace::host_id() {
    struct stat about {};
    if (::stat("/proc/1/ns/ipc", &about) == 0) return {about.st_dev, about.st_ino};
    // Not ours to look at: then the first namespace of the kernel, whose number never changes
    // (IPC_NS_INIT_INO in linux/nsfs.h).
    return {current().id().device, 0xEFFFFFFFU};
}

Namespace Namespace::host() {
    try {
        return from_pid(1);
    } catch (const Error& error) {
        if (error.code().value() != EACCES && error.code().value() != EPERM) throw;
    }
    if (Namespace own = current(); own.id() == host_id()) return own;
    return from_inode(host_id().inode);
}

Fd Namespace::owner() const {
    Fd user(::ioctl(fd_.get(), NS_GET_USERNS));
    if (!user) fail("find the user namespace that owns " + std::to_string(id_.inode));
    return user;
}

void Namespace::enter() const {
    if (::setns(fd_.get(), CLONE_NEWIPC) == 0) return;
    const std::string what = "enter the IPC namespace " + std::to_string(id_.inode);
    if (errno != EPERM) fail(what);
    const Fd user(::ioctl(fd_.get(), NS_GET_USERNS));
    if (!user || ::setns(user.get(), CLONE_NEWUSER) != 0 || ::setns(fd_.get(), CLONE_NEWIPC) != 0)
        fail(EPERM, what, "only its owner may, or root (CAP_SYS_ADMIN in the user namespace that owns it)");
    // The old mount namespace belongs to the user namespace that was left: nothing could be mounted in it any
    // more, and only a mount shows POSIX queues.
    (void)::unshare(CLONE_NEWNS);
}

void Namespace::run_inside(const std::function<void()>& function) const {
    bool entered = false;
    std::exception_ptr thrown;
    std::jthread worker = start_thread([&] {
        try {
            // Who may not enter may be in it already.
            if (::setns(fd_.get(), CLONE_NEWIPC) != 0 && current().id() != id_) return;
            entered = true;
            function();
        } catch (...) {
            thrown = std::current_exception();
        }
    });
    worker.join();
    if (thrown) std::rethrow_exception(thrown);
    if (entered) return;
    errand("enter an IPC namespace", 0, [&] {
        enter();
        function();
    });
}

} // namespace ipcns
