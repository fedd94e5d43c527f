// SPDX-License-Identifier: Apache-2.0
// What a child does between clone and exec: it walks through its plan. Only async-signal-safe code may stand in this
// file: system calls, and nothing that allocates, locks or throws. In a quick child (see launch.cpp) even errno and the
// memory are the parent's.
#include "plan.hpp"

#include "limits.hpp"
#include "mounts.hpp"

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ipcns {
namespace {

bool failed(Plan& plan, const char* what, const char* detail = nullptr) noexcept {
    plan.report = {Report::Kind::setup, errno, what, detail};
    return false;
}

// A descriptor of the namespace that we are in now: by our pidfd (PIDFD_GET_IPC_NAMESPACE, Linux 6.11) in a fifth of the
// time that /proc takes for a new process.
int own_namespace(const Plan& plan) noexcept {
    constexpr unsigned long get_ipc_namespace = _IO(0xFF, 2);
    const int fd = plan.pidfd >= 0 ? ::ioctl(plan.pidfd, get_ipc_namespace, 0) : -1;
    return fd >= 0 ? fd : ::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
}

bool set_limits(Plan& plan) noexcept {
    for (std::size_t i = 0; i < plan.limit_count; ++i) {
        const Limit& limit = plan.limits[i];
        const int number = write_limit_raw(limit.key->path, limit.value.c_str(), limit.value.size());
        if (number == 0) continue;
        plan.report = {Report::Kind::limit, number, limit.key->name, limit.value.c_str()};
        return false;
    }
    return true;
}

// Puts a mount on path; a host that has no such folder has nothing to hide there.
bool put_mount(Plan& plan, int mount, const char* path) noexcept {
    return attach_mount(mount, AT_FDCWD, path) == 0 || errno == ENOENT || failed(plan, "mount on", path);
}

// What will be mounted on the path is not to be seen outside: the mount that it lies on is cut off.
bool cut_off(Plan& plan, const char* path) noexcept {
    for (const char* place : {path, "/dev", "/"}) {
        if (::mount("none", place, nullptr, MS_SLAVE, nullptr) == 0) return true;
        // It is no mount point, but lies in one; or it is not there.
        if (errno != EINVAL && errno != ENOENT) break;
    }
    return failed(plan, "cut off what is mounted on", path);
}

bool set_up_mounts(Plan& plan) noexcept {
    // Without this, mounts made here would be seen outside; with MS_PRIVATE later ones from outside would not
    // come in.
    if (!plan.cut_off) {
        if (!cut_off(plan, "/dev/shm") || (plan.mqueue_folder && !cut_off(plan, "/dev/mqueue"))) return false;
    } else if (::mount("none", "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) {
        return failed(plan, "cut off the mounts of", "/");
    }
    if (plan.new_shm) {
        // Left in the plan, and so to the parent to close: the table of descriptors may be shared.
        plan.shm = new_tmpfs(plan.shm_size);
        if (plan.shm < 0) return failed(plan, "make a tmpfs for", "/dev/shm");
        if (!put_mount(plan, plan.shm, "/dev/shm")) return false;
    }
    return plan.shm_mount < 0 || put_mount(plan, plan.shm_mount, "/dev/shm");
}

// Its queues: on /dev/mqueue where that is wanted, and in any case for the parent, who has to see at the end
// whether any are left.
bool set_up_queues(Plan& plan) noexcept {
    const bool attach = plan.mounts && plan.mqueue_folder;
    if (!attach && !plan.keep) return true;
    plan.queues = new_mqueue();
    if (plan.queues < 0) {
        // No POSIX queues in this kernel, or (EPERM) no right to mount in a mount namespace that is not ours.
        return errno == ENODEV || !attach || failed(plan, "make a mount of queues for", "/dev/mqueue");
    }
    return !attach || put_mount(plan, plan.queues, "/dev/mqueue");
}

bool start_loopback() noexcept {
    const int socket = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket < 0) return errno == EAFNOSUPPORT; // no IPv4: no loopback to start
    struct ifreq request {};
    std::memcpy(request.ifr_name, "lo", 3);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    const bool good = ::ioctl(socket, SIOCSIFFLAGS, &request) == 0;
    const int saved = errno;
    ::close(socket);
    errno = saved;
    return good;
}

// The rest of --strict: we are process 1 of a new pid namespace, in a new network and a new UTS namespace.
bool set_up_strict(Plan& plan) noexcept {
    if (!start_loopback()) return failed(plan, "start the loopback interface");
    const int tmp = new_tmpfs("");
    if (tmp < 0 || attach_mount(tmp, AT_FDCWD, "/tmp") != 0) return failed(plan, "make a private", "/tmp");
    ::close(tmp);
    const int context = ::fsopen("proc", FSOPEN_CLOEXEC);
    int proc = -1;
    if (context >= 0 && ::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
        proc = ::fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (proc < 0 || attach_mount(proc, AT_FDCWD, "/proc") != 0) return failed(plan, "mount a new", "/proc");
    ::close(proc);
    ::close(context);
    return true;
}

// The dispositions and the mask as the program is to have them.
void set_up_signals(const Plan& plan) noexcept {
    struct sigaction action {};
    // A handler of the parent's must not run between the unblocking and the exec: the memory may be the
    // parent's.
    for (int number = plan.handlers ? 1 : 65; number < 65; ++number) {
        if (::sigaction(number, nullptr, &action) != 0 || action.sa_handler == SIG_DFL ||
            action.sa_handler == SIG_IGN)
            continue;
        action.sa_handler = SIG_DFL;
        action.sa_flags = 0;
        ::sigaction(number, &action, nullptr);
    }
    action = {};
    action.sa_handler = plan.child_ignored ? SIG_IGN : SIG_DFL;
    ::sigaction(SIGCHLD, &action, nullptr);
    ::pthread_sigmask(SIG_SETMASK, &plan.mask, nullptr);
}

// As execvp(3): go on to the next folder of PATH when it is not there, remember that one was not executable.
void execute(Plan& plan) noexcept {
    int number = ENOENT;
    for (char* const* program = plan.candidates; *program != nullptr; ++program) {
        ::execve(*program, plan.arguments, plan.environment);
        if (errno == ENOEXEC) {
            // A script without its first line. The arguments have room for two in front.
            plan.arguments[-1] = const_cast<char*>("/bin/sh");
            plan.arguments[0] = *program;
            ::execve("/bin/sh", plan.arguments - 1, plan.environment);
        }
        if (errno == EACCES) {
            number = EACCES;
        } else if (errno != ENOENT && errno != ENOTDIR && errno != ESTALE && errno != ENODEV &&
                   errno != ETIMEDOUT) {
            number = errno;
            break;
        }
    }
    plan.report = {Report::Kind::program, number, nullptr, nullptr};
}

int program_of_init(void* argument) {
    auto& plan = *static_cast<Plan*>(argument);
    set_up_signals(plan);
    execute(plan);
    ::_exit(125);
}

bool tell(int channel, const Message& message, std::span<const int> fds = {}) noexcept {
    return send_message(channel, &message, sizeof message, fds);
}

// Sends what was made: bit i of the message's value says that descriptor number i is among them. Who was not heard may not
// become a program: its parent would wait for the end of one of which it knows nothing.
bool tell_ready(Plan& plan, int pidfd) noexcept {
    const int made[] = {plan.ipc, plan.shm, plan.queues, pidfd};
    int fds[Message::most_fds];
    std::size_t count = 0;
    Message message{};
    message.kind = Message::Kind::ready;
    for (std::size_t i = 0; i < Message::most_fds; ++i) {
        if (made[i] < 0) continue;
        message.value |= 1 << i;
        fds[count++] = made[i];
    }
    return tell(plan.channel, message, std::span(fds).first(count)) ||
           failed(plan, "tell the process that starts it");
}

void tell_failure(const Plan& plan) noexcept {
    Message message{};
    message.kind = Message::Kind::failed;
    message.report = plan.report;
    (void)tell(plan.channel, message);
}

// Process 1 of a strict run: starts the program, reaps what is orphaned, tells the supervisor what becomes of
// the program, and ends with it; the kernel then ends whoever is left in the pid namespace. All signals are
// blocked, so that the terminal's don't matter.
[[noreturn]] void be_init(Plan& plan) noexcept {
    ::prctl(PR_SET_NAME, "ipcns-init");
    // Ignored, as it may be, it would hide from us how the program ends. The program gets its own action back.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    ::sigaction(SIGCHLD, &standard, nullptr);
    int pidfd = -1;
    const pid_t program = clone_child(*plan.init_stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                                      program_of_init, &plan, &pidfd);
    if (program < 0) (void)failed(plan, "start the program");
    if (plan.report.error != 0) {
        tell_failure(plan);
        ::_exit(125);
    }
    if (!tell_ready(plan, pidfd)) {
        tell_failure(plan);
        ::_exit(125); // and so ends the program
    }
    // Nobody may wait in vain for the end of a pipe because init still has it.
    const int channel = ::dup2(plan.channel, 0);
    ::close_range(1, ~0U, 0);
    (void)!::chdir("/");
    for (;;) {
        siginfo_t info{};
        if (::waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WCONTINUED) != 0) {
            if (errno == EINTR) continue;
            ::_exit(125);
        }
        if (info.si_pid != program) continue;
        Message message{};
        message.value = info.si_status;
        switch (info.si_code) {
        case CLD_STOPPED:
        case CLD_TRAPPED: message.kind = Message::Kind::stopped; break;
        case CLD_CONTINUED: message.kind = Message::Kind::continued; break;
        case CLD_EXITED: message.kind = Message::Kind::exited; break;
        default: message.kind = Message::Kind::killed; break;
        }
        (void)tell(channel, message);
        if (message.kind == Message::Kind::exited) ::_exit(info.si_status);
        if (message.kind == Message::Kind::killed) ::_exit(128 + info.si_status);
    }
}

} // namespace

bool set_up(Plan& plan) noexcept {
    if (plan.join_user >= 0 && ::setns(plan.join_user, CLONE_NEWUSER) != 0)
        return failed(plan, "join the user namespace that owns the IPC namespace");
    if (plan.join_ipc >= 0 && ::setns(plan.join_ipc, CLONE_NEWIPC) != 0)
        return failed(plan, "enter the IPC namespace");
    if (plan.unshare != 0 && ::unshare(static_cast<int>(plan.unshare)) != 0) {
        plan.report = {Report::Kind::refused, errno, "make the namespaces", nullptr};
        return false;
    }
    if (plan.write_map) {
        if (const char* file = write_user_map(plan.map)) return failed(plan, "write", file);
    }
    if (plan.keep) {
        plan.ipc = own_namespace(plan);
        if (plan.ipc < 0) return failed(plan, "open", "/proc/self/ns/ipc");
    }
    if (!set_limits(plan)) return false;
    if (plan.mounts && !set_up_mounts(plan)) return false;
    if (!set_up_queues(plan)) return false;
    if (plan.strict && !set_up_strict(plan)) return false;
    // A user namespace owned by the caller has the caller as its root; a second one inside gives back the
    // name.
    const bool rename =
        plan.join_user >= 0 ? plan.own_name && ::geteuid() == 0 : plan.write_map && plan.own_name;
    if (rename) {
        if (::unshare(CLONE_NEWUSER) != 0) {
            plan.report = {Report::Kind::refused, errno, "make the inner user namespace", nullptr};
            return false;
        }
        if (const char* file = write_user_map(plan.inner_map)) return failed(plan, "write", file);
    }
    // exec(2) takes the capabilities of a user namespace from whoever is not its root; until then they would open folders
    // and programs to the caller that are closed to it.
    if (plan.drop_capabilities && !give_up_capabilities()) return failed(plan, "give up capabilities");
    if (plan.directory[0] != '\0' && ::chdir(plan.directory) != 0)
        return failed(plan, "change to the folder", plan.directory);
    if (plan.die_with_parent) {
        // Last, because a change of credentials takes it back. The parent may be gone already.
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct pollfd parent {
            plan.parent_pidfd, POLLIN, 0
        };
        if (::poll(&parent, 1, 0) > 0) ::_exit(125);
    }
    return true;
}

void become_program(Plan& plan) noexcept {
    if (!set_up(plan)) return;
    set_up_signals(plan);
    execute(plan);
}

int quick_child(void* argument) {
    become_program(*static_cast<Plan*>(argument));
    ::_exit(125);
}

int separate_child(void* argument) {
    auto& plan = *static_cast<Plan*>(argument);
    if (set_up(plan)) {
        if (plan.strict) be_init(plan);
        if (tell_ready(plan, -1)) {
            set_up_signals(plan);
            execute(plan);
        }
    }
    tell_failure(plan);
    ::_exit(125);
}

} // namespace ipcns
