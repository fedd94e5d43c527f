// SPDX-License-Identifier: Apache-2.0
// Running programs in a namespace.
//
// Everything that needs memory or may throw is done first and laid down in a Plan (plan.hpp). Then clone(2), and the
// child walks through the plan with system calls alone (plan.cpp). There are two ways to be cloned:
//
// - quick: CLONE_VM | CLONE_VFORK | CLONE_FILES. No page tables are copied; the parent sleeps until the exec, finds a
//   failure in the plan itself, and the descriptors that the child opened (its namespace, its /dev/shm) in its own
//   table. exec(2) gives the child a table of its own and closes them there.
// - separate: a copy of the process, for what a process that shares memory may not do: make a user namespace from
//   within (unshare(2)), or stay on as the init of a pid namespace. It reports over a socket, descriptors included.
#include "plan.hpp"

#include "child.hpp"
#include "errand.hpp"
#include "error.hpp"
#include "limits.hpp"
#include "packets.hpp"
#include "mounts.hpp"
#include "signals.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/text.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>

namespace ipcns {
namespace {

std::vector<char*> pointers(std::vector<std::string>& strings, std::size_t room_in_front = 0) {
    std::vector<char*> result(room_in_front, nullptr);
    result.reserve(room_in_front + strings.size() + 1);
    for (auto& text : strings) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

void check_text(const std::vector<std::string>& texts, const char* what) {
    for (const auto& text : texts) {
        if (text.find('\0') != std::string::npos)
            throw UsageError(std::string(what) + " cannot contain a zero byte");
    }
}

// The value of PATH in an environment, or the default of execvp(3).
std::string_view path_in(char* const* environment) {
    for (; *environment != nullptr; ++environment) {
        if (std::strncmp(*environment, "PATH=", 5) == 0) return *environment + 5;
    }
    return "/bin:/usr/bin";
}

std::vector<std::string> program_candidates(const std::string& program, char* const* environment) {
    if (program.empty() || program.find('/') != std::string::npos) return {program};
    std::vector<std::string> candidates;
    std::string_view path = path_in(environment);
    for (;;) {
        const auto colon = path.find(':');
        const std::string_view folder = path.substr(0, colon);
        std::string candidate = (folder.empty() ? std::string(".") : std::string(folder)) + "/" + program;
        if (candidate.size() < PATH_MAX) candidates.push_back(std::move(candidate)); // as execvp(3)
        if (colon == std::string_view::npos) return candidates;
        path.remove_prefix(colon + 1);
    }
}

bool is_own_mount_namespace(int fd) {
    struct stat one {};
    struct stat own {};
    return ::fstat(fd, &one) == 0 && ::stat("/proc/thread-self/ns/mnt", &own) == 0 &&
           one.st_dev == own.st_dev && one.st_ino == own.st_ino;
}

// The same for somebody who has just joined a user namespace, and so may not mount in the mount namespace that he is in. In
// a copy of it he may, and there the place's /dev/shm is another mount of the same file system.
Fd copy_from_here(const Place& place) {
    struct stat wanted {};
    struct stat found {};
    if (::unshare(CLONE_NEWNS) != 0) fail("make a mount namespace");
    const Fd shm(::open(place.shm_from.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!shm || ::fstat(shm.get(), &found) != 0 || ::fstat(place.shm.get(), &wanted) != 0)
        fail("open " + place.shm_from);
    if (found.st_dev != wanted.st_dev || found.st_ino != wanted.st_ino)
        fail(ENOENT, "find the namespace " + place.name, "somebody has deleted it just now");
    Fd copy(copy_mount(shm.get()));
    if (!copy) fail("take over " + place.shm_from);
    return copy;
}

// A copy of the place's /dev/shm, attached to nothing. Such a copy can only be made in the mount namespace
// where the original lies.
Fd borrow_shm(const Place& place, bool joins_user) {
    if (!place.shm) return {};
    Fd copy;
    const auto take = [&] {
        copy = Fd(copy_mount(place.shm.get()));
        if (copy) return;
        // Unmounted since it was opened.
        if (errno == EINVAL && !place.name.empty())
            fail(ENOENT, "find the namespace " + place.name, "somebody has deleted it just now");
        fail("take over " + place.shm_from);
    };
    const bool elsewhere = place.mounts && !is_own_mount_namespace(place.mounts.get());
    if (!elsewhere && !joins_user) {
        take();
        return copy;
    }
    errand("start a helper process", 0, [&] {
        if (joins_user) {
            const Fd user = place.ipc.owner();
            if (::setns(user.get(), CLONE_NEWUSER) != 0) fail("join the user namespace of " + place.shm_from);
            if (!place.mounts) {
                copy = copy_from_here(place);
                return;
            }
        }
        if (place.mounts && ::setns(place.mounts.get(), CLONE_NEWNS) != 0)
            fail("join the mount namespace of " + place.shm_from);
        take();
    });
    return copy;
}

// What to do about a program that could not be started.
std::string program_hint(int error, const LaunchOptions& options) {
    const std::string& program = options.arguments[0];
    const bool line = program.find(' ') != std::string::npos;
    if ((error == ENOENT || error == EACCES) && line && options.arguments.size() == 1)
        return "a line of words is for a shell: sh -c LINE";
    if (program.find('/') != std::string::npos) return "";
    if (error == ENOENT) return "it is in no folder of PATH";
    if (error != EACCES) return "";
    // As execvp(3), which says this also where a folder may not be searched.
    auto text = options.environment.value_or(std::vector<std::string>());
    const auto environment = pointers(text);
    const auto candidates = program_candidates(program, options.environment ? environment.data() : environ);
    const bool found = std::any_of(candidates.begin(), candidates.end(), [](const std::string& candidate) {
        return ::access(candidate.c_str(), F_OK) == 0;
    });
    return found ? "" : "it is in no folder of PATH that you may look into";
}

// @p flags the namespaces that were to be made
void throw_report(const Report& report, const LaunchOptions& options, unsigned long flags) {
    const std::string detail = report.detail != nullptr ? std::string(" ") + escape(report.detail) : "";
    switch (report.kind) {
    case Report::Kind::program:
        throw ProgramError(report.error,
                           "run " + (options.arguments[0].empty() ? "''" : escape(options.arguments[0])),
                           program_hint(report.error, options));
    case Report::Kind::limit:
        fail(report.error, std::string("set the limit ") + report.what + "=" + report.detail,
             limit_hint(report.error, find_limit_key(report.what)));
    case Report::Kind::refused: fail(report.error, report.what + detail, refusal_hint(report.error, flags));
    case Report::Kind::setup: break;
    }
    std::string hint;
    if (report.error == ENOENT && std::strncmp(detail.c_str(), " /proc/", 7) == 0)
        hint = "is /proc mounted?";
    else if (report.error == EPERM && report.detail != nullptr && std::strcmp(report.detail, "/proc") == 0)
        hint =
            "a container that hides parts of /proc forbids new mounts of it; leave out --strict, or run it outside";
    else if (std::strncmp(detail.c_str(), " /proc/self/", 12) == 0)
        hint = user_map_hint(report.error);
    else if (report.error == ENODEV)
        hint = "this kernel lacks that file system";
    else if (report.error == ENOSYS)
        hint = "Linux 5.2 or newer is needed, and no seccomp filter that hides fsopen(2)";
    else if ((report.error == EPERM || report.error == EACCES) && report.detail == nullptr)
        hint =
            "only the owner of the namespace may enter, or root (CAP_SYS_ADMIN in the user namespace that owns it)";
    fail(report.error, report.what + detail, hint);
}

// Everything that a Plan points to, and how it came to be.
struct Preparation {
    const LaunchOptions& options;
    Plan plan;
    std::vector<std::string> argument_text, environment_text, candidate_text;
    std::vector<char*> arguments, environment, candidates;
    std::vector<Limit> limits;
    std::string shm_size;
    Fd user, shm, parent;
    std::optional<Namespace> entered; // that of options.place, for the Child
    unsigned long flags = 0;          // of the namespaces to be made
    bool with_user = false;
    bool separate = false;

    /// @p parent_pid the process that is going to be the program's parent
    Preparation(const LaunchOptions& given, pid_t parent_pid)
        : options(given), limits(limits_of_new_namespace(given.limits)) {
        prepare_program();
        prepare_namespaces();
        plan.limits = limits.data();
        plan.limit_count = limits.size();
        if (options.die_with_parent) {
            plan.die_with_parent = true;
            parent.reset(static_cast<int>(::syscall(SYS_pidfd_open, parent_pid, 0)));
            if (!parent) fail("open a pidfd of the parent process", "--die-with-parent needs Linux 5.3");
            plan.parent_pidfd = parent.get();
        }
    }
    /// Without a program: for a process that goes on by itself.
    explicit Preparation(const LaunchOptions& given) : options(given) { prepare_namespaces(); }

    /// The namespaces that are made on the way, as clone(2) has them.
    [[nodiscard]] unsigned long asked_for() const {
        return flags | plan.unshare | (with_user ? static_cast<unsigned long>(CLONE_NEWUSER) : 0);
    }
    Preparation(const Preparation&) = delete;
    Preparation& operator=(const Preparation&) = delete;
    ~Preparation() = default;

private:
    void prepare_namespaces() {
        if (options.place != nullptr)
            prepare_place(*options.place);
        else
            prepare_new();
        plan.drop_capabilities = with_user && !options.map_root;
    }

    void prepare_program() {
        if (options.arguments.empty()) throw UsageError("there is no program to run");
        check_text(options.arguments, "an argument");
        argument_text = options.arguments;
        arguments = pointers(argument_text, 1);
        plan.arguments = arguments.data() + 1;
        if (options.environment) {
            check_text(*options.environment, "the environment");
            environment_text = *options.environment;
            environment = pointers(environment_text);
            plan.environment = environment.data();
        } else {
            plan.environment = environ;
        }
        candidate_text = program_candidates(options.arguments[0], plan.environment);
        candidates = pointers(candidate_text);
        plan.candidates = candidates.data();
        plan.directory = options.directory.c_str();
        if (options.signal_mask)
            plan.mask = *options.signal_mask;
        else
            ::pthread_sigmask(SIG_SETMASK, nullptr, &plan.mask);
        plan.handlers = options.has_signal_handlers;
        struct sigaction child {};
        if (options.child_action)
            child = *options.child_action;
        else
            ::sigaction(SIGCHLD, nullptr, &child);
        plan.child_ignored = child.sa_handler == SIG_IGN;
    }

    void prepare_mounts() { plan.mqueue_folder = ::faccessat(AT_FDCWD, "/dev/mqueue", F_OK, 0) == 0; }

    void prepare_new() {
        flags = CLONE_NEWIPC;
        if (options.isolation != Isolation::ipc_only) {
            flags |= CLONE_NEWNS;
            plan.mounts = true;
            plan.new_shm = true;
            shm_size = shm_size_option(options.shm_size);
            plan.shm_size = shm_size.c_str();
            prepare_mounts();
        }
        if (options.isolation == Isolation::strict) {
            flags |= CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS;
            plan.strict = separate = true;
        }
        with_user = !has_sys_admin();
        if (!with_user) return;
        flags |= CLONE_NEWUSER;
        plan.write_map = true;
        // Limits are for the root of the user namespace that owns the IPC namespace: then the caller is that
        // one first, and itself again in a second user namespace inside.
        const bool as_root = options.map_root || !options.limits.empty();
        const uid_t uid = ::geteuid();
        const gid_t gid = ::getegid();
        plan.map = make_user_map(as_root ? 0 : uid, uid, as_root ? 0 : gid, gid);
        if (as_root && !options.map_root) name_again(uid, gid);
    }

    void name_again(uid_t uid, gid_t gid) {
        plan.own_name = separate = true;
        plan.inner_map = make_user_map(uid, 0, gid, 0);
    }

    void prepare_place(const Place& place) {
        if (options.isolation == Isolation::strict)
            throw UsageError("a place that exists cannot be entered strictly");
        const bool inside = place.ipc.id() == Namespace::current().id();
        if (!inside) {
            plan.join_ipc = place.ipc.fd();
            if (!has_sys_admin()) {
                with_user = true;
                user = owner_to_join(place);
                plan.join_user = user.get();
                if (!options.map_root && ::geteuid() != 0) name_again(::geteuid(), ::getegid());
                separate = true;
            }
        }
        if (options.isolation == Isolation::ipc_only) return;
        // Somebody in the caller's own IPC namespace may still have another /dev/shm.
        if (inside && (!place.shm || !has_sys_admin())) return;
        shm = borrow_shm(place, with_user);
        plan.shm_mount = shm.get();
        prepare_mounts();
        plan.mounts = plan.shm_mount >= 0 || plan.mqueue_folder;
        if (plan.mounts) plan.unshare = CLONE_NEWNS;
    }

    // The user namespace that an unprivileged caller has to join, if that is one it owns.
    static Fd owner_to_join(const Place& place) {
        struct stat own {};
        struct stat theirs {};
        const char* hint = "only its owner may, or root";
        const std::string what = "enter the IPC namespace " +
                                 (place.name.empty() ? std::to_string(place.ipc.id().inode) : place.name);
        Fd owner(::ioctl(place.ipc.fd(), NS_GET_USERNS));
        if (!owner || ::stat("/proc/thread-self/ns/user", &own) != 0 || ::fstat(owner.get(), &theirs) != 0 ||
            (own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino))
            fail(EPERM, what, hint);
        return owner;
    }
};

void reap(pid_t pid) {
    while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {}
}

bool is_empty(int folder) {
    const Fd again(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!again) return false;
    alignas(8) char buffer[512];
    long length = 0;
    // "." and ".." are 24 bytes each.
    while ((length = ::syscall(SYS_getdents64, again.get(), buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < length;) {
            const auto* entry = reinterpret_cast<const struct ::dirent64*>(buffer + at);
            at += entry->d_reclen;
            if (std::strcmp(entry->d_name, ".") != 0 && std::strcmp(entry->d_name, "..") != 0) return false;
        }
    }
    return length == 0;
}

} // namespace

bool receive(int channel, Message& message, Fd (&fds)[Message::most_fds]) {
    Fd along[Message::most_fds];
    if (!receive_message(channel, &message, sizeof message, along)) return false;
    std::size_t taken = 0;
    for (std::size_t i = 0; message.kind == Message::Kind::ready && i < Message::most_fds; ++i) {
        if ((message.value & (1 << i)) != 0 && taken < Message::most_fds) fds[i] = std::move(along[taken++]);
    }
    return true;
}

// A child that nobody has been told of yet: if it fails to become somebody's, it ends. It may have begun, and wait for us.
class Unclaimed {
public:
    explicit Unclaimed(pid_t pid) noexcept : pid_(pid) {}
    ~Unclaimed() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        reap(pid_);
    }
    Unclaimed(const Unclaimed&) = delete;
    Unclaimed& operator=(const Unclaimed&) = delete;
    pid_t claim() noexcept { return std::exchange(pid_, 0); }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

private:
    pid_t pid_;
};

// Has the private members of Child to itself.
class Launcher {
public:
    static Child quick(Preparation& preparation) {
        Plan& plan = preparation.plan;
        plan.keep = preparation.options.place == nullptr;
        constexpr unsigned long sharing = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | SIGCHLD;
        pid_t pid = -1;
        int number = 0;
        {
            const Stack stack;
            const AllSignalsBlocked blocked;
            pid = clone_child(stack, sharing | preparation.flags, quick_child, &plan, &plan.pidfd);
            number = errno;
        }
        if (pid < 0) refuse(number, preparation);
        Unclaimed unclaimed(pid);
        Fd program(plan.pidfd);
        Fd ipc(plan.ipc);
        Fd shm(plan.shm);
        Fd queues(plan.queues);
        if (plan.report.error != 0) {
            reap(unclaimed.claim());
            throw_report(plan.report, preparation.options, preparation.asked_for());
        }
        Child child = finish(preparation, unclaimed, std::move(ipc), std::move(shm), std::move(queues));
        child.program_ = std::move(program);
        return child;
    }

    static Child separate(Preparation& preparation) {
        Plan& plan = preparation.plan;
        plan.keep = preparation.options.place == nullptr;
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) fail("make a socket pair");
        Fd ours(pair[0]);
        Fd theirs(pair[1]);
        const Stack stack;
        const Stack init_stack;
        plan.channel = theirs.get();
        plan.init_stack = &init_stack;
        pid_t pid = -1;
        int number = 0;
        int pidfd = -1;
        {
            const AllSignalsBlocked blocked;
            pid =
                clone_child(stack, preparation.flags | CLONE_PIDFD | SIGCHLD, separate_child, &plan, &pidfd);
            number = errno;
        }
        Fd program(pid < 0 ? -1 : pidfd);
        if (pid < 0) refuse(number, preparation);
        Unclaimed unclaimed(pid);
        theirs.reset();
        Message message{};
        Fd fds[Message::most_fds];
        bool ready = false;
        bool heard = false;
        while ((heard = receive(ours.get(), message, fds))) {
            if (message.kind == Message::Kind::failed) {
                reap(unclaimed.claim());
                throw_report(message.report, preparation.options, preparation.asked_for());
            }
            ready = ready || message.kind == Message::Kind::ready;
            if (ready && plan.strict) break; // else until the exec closes the socket
        }
        if (!heard && errno != 0) fail("hear of the start of " + escape(preparation.options.arguments[0]));
        if (!ready) {
            reap(unclaimed.claim());
            fail(ECANCELED, "start " + escape(preparation.options.arguments[0]),
                 "the new process was killed from outside");
        }
        Child child = finish(preparation, unclaimed, std::move(fds[0]), std::move(fds[1]), std::move(fds[2]));
        child.program_ = std::move(plan.strict ? fds[3] : program);
        if (plan.strict) {
            child.channel_ = std::move(ours);
        }
        return child;
    }

private:
    [[noreturn]] static void refuse(int number, const Preparation& preparation) {
        fail(number, "make the namespaces for " + escape(preparation.options.arguments[0]),
             refusal_hint(number, preparation.asked_for()));
    }

    static Child finish(Preparation& preparation, Unclaimed& unclaimed, Fd ipc, Fd shm, Fd queues) {
        const Place* place = preparation.options.place;
        if (place == nullptr && !ipc)
            fail(ECANCELED, "start " + escape(preparation.options.arguments[0]),
                 "the new process was killed from outside");
        Child child = Child::adopt(
            unclaimed.pid(), {},
            place != nullptr ? std::move(*preparation.entered) : Namespace::from_fd(std::move(ipc)),
            std::move(shm), std::move(queues));
        (void)unclaimed.claim();
        child.place_ = place != nullptr;
        return child;
    }
};

Child launch(const LaunchOptions& options) {
    Preparation preparation(options, ::getpid());
    // Before the program runs: what fails now fails in time.
    if (options.place != nullptr) preparation.entered.emplace(options.place->ipc.duplicate());
    return preparation.separate ? Launcher::separate(preparation) : Launcher::quick(preparation);
}

void replace(const LaunchOptions& options) {
    if (options.isolation == Isolation::strict)
        throw UsageError("a strict run needs a parent", "leave out --exec or --strict");
    Preparation preparation(options, ::getppid());
    Plan& plan = preparation.plan;
    plan.unshare |= preparation.flags;
    become_program(plan);
    throw_report(plan.report, options, preparation.asked_for());
    std::abort(); // throw_report() always throws
}

void enter(const Place& place, bool cut_off) {
    LaunchOptions options;
    options.place = &place;
    Preparation preparation(options);
    preparation.plan.cut_off = cut_off;
    if (!set_up(preparation.plan)) throw_report(preparation.plan.report, options, preparation.asked_for());
}

Child Child::adopt(pid_t pid, Fd program, Namespace ipc, Fd shm, Fd queues) {
    Child child(pid, std::move(ipc));
    child.program_ = std::move(program);
    child.shm_ = std::move(shm);
    // A folder that is open is enough to look into it later. The mount itself goes now, while the program starts: closing
    // it waits for an RCU grace period, some 60 us, which at the end would be for nothing.
    if (queues) child.queues_ = Fd(::openat(queues.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    return child;
}

void Child::signal(int number) const {
    const long result = program_ ? ::syscall(SYS_pidfd_send_signal, program_.get(), number, nullptr, 0)
                                 : ::kill(pid_, number);
    if (result != 0) fail("send signal " + std::to_string(number) + " to process " + std::to_string(pid_));
}

ExitStatus Child::wait() {
    ExitStatus status;
    bool told = false;
    if (channel_) {
        Message message{};
        Fd fds[Message::most_fds];
        while (!told && receive(channel_.get(), message, fds)) {
            if (message.kind == Message::Kind::exited) status.code = message.value;
            if (message.kind == Message::Kind::killed) status.signal = message.value;
            told = message.kind == Message::Kind::exited || message.kind == Message::Kind::killed;
        }
    }
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0) {
        if (errno == ECHILD && told) break; // SIGCHLD is ignored: it reaped itself
        if (errno != EINTR) fail("wait for process " + std::to_string(pid_));
    }
    if (told) return status;
    if (info.si_code == CLD_EXITED)
        status.code = info.si_status;
    else
        status.signal = info.si_status;
    return status;
}

bool Child::anything_inside() const {
    if (sysv_usage().objects() != 0) return true;
    if (shm_ && !is_empty(shm_.get())) return true;
    if (queues_) return !is_empty(queues_.get());
    const Fd queues = mount_queues();
    return queues && !is_empty(queues.get());
}

Leftovers Child::remove_contents() const {
    Leftovers removed;
    removed.inside = processes_inside(ipc_.id());
    std::erase(removed.inside, ::getpid());
    if (!removed.inside.empty()) return removed;
    removed.sysv = remove_all_sysv();
    if (queues_) {
        removed.queues = remove_all_files(queues_.get());
    } else if (const Fd queues = mount_queues()) {
        removed.queues = remove_all_files(queues.get());
    }
    if (shm_) removed.files = remove_all_files(shm_.get());
    return removed;
}

namespace {

// Of a place that was there before.
Leftovers nothing_known() {
    Leftovers left;
    left.unknown = true;
    return left;
}

} // namespace

Leftovers Child::clean_up() const {
    if (place_) return nothing_known();
    return ipc_.call([&] { return anything_inside() ? remove_contents() : Leftovers{}; });
}

Leftovers Child::enter_and_clean_up() const {
    if (place_) return nothing_known();
    ipc_.enter();
    return anything_inside() ? remove_contents() : Leftovers{};
}

} // namespace ipcns
