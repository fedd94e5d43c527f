// SPDX-License-Identifier: Apache-2.0
// pam_ipcns.so: an IPC namespace and a /dev/shm for a user's sessions.
//
// The program that opens a session (login, sshd, su, sudo, cron, the user manager of systemd) becomes the session, or its
// parent, so it is the calling thread that moves. Leans on:
// - namespaces belong to a thread: the others of a program of several are left alone, and setns(2) takes this one back when
//   the session is closed by the same thread;
// - unshare(CLONE_NEWNS) keeps root and working directory, so that a program in a chroot stays there;
// - a lock of flock(2) belongs to the open file: whoever was forked has it as well, exec gives it up (close-on-exec), and
//   the kernel takes it from whoever dies. It counts the sessions.
//
// Who opens a session may be in one himself (su, sudo), in a mount namespace where names would not be seen outside. So names
// are made in the mount namespace of process 1.
//
// No exception leaves this file, and nothing but required=yes keeps anybody out.
#include "settings.hpp"

#include <ipcns/launch.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/registry.hpp>
#include <ipcns/target.hpp>
#include <ipcns/text.hpp>

#define PAM_SM_SESSION
#include <security/pam_ext.h>
#include <security/pam_modules.h>
#include <security/pam_modutil.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace ipcns::pam {
namespace {

constexpr const char* data_name = "pam_ipcns";
// Nobody waits for ever at a login because somebody else has stopped in the middle of something.
constexpr std::chrono::seconds patience{5};

[[noreturn]] void fail(const std::string& what) { throw Error(errno, what); }

Fd open_or_fail(const std::string& path, int flags) {
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC));
    if (!fd) fail("open " + path);
    return fd;
}

// Where a thread was, to get it back there.
class Origin {
public:
    Origin()
        : thread_(::gettid()),
          ipc_(open_or_fail("/proc/thread-self/ns/ipc", O_RDONLY)),
          mounts_(open_or_fail("/proc/thread-self/ns/mnt", O_RDONLY)),
          root_(open_or_fail("/", O_PATH)),
          folder_(open_or_fail(".", O_PATH)) {}

    // setns(2) makes the root of the mount namespace the thread's root.
    void go_back() const {
        if (::gettid() != thread_) return; // a child, or another thread: it was never moved, or is to stay
        if (::setns(ipc_.get(), CLONE_NEWIPC) != 0) fail("go back to the IPC namespace");
        if (::setns(mounts_.get(), CLONE_NEWNS) != 0 || ::fchdir(root_.get()) != 0 || ::chroot(".") != 0 ||
            ::fchdir(folder_.get()) != 0)
            fail("go back to the mount namespace");
    }

private:
    pid_t thread_;
    Fd ipc_;
    Fd mounts_;
    Fd root_;
    Fd folder_;
};

struct Session {
    std::optional<Origin> origin;
    Fd lease;
};

void log_error(pam_handle_t* handle, const Error& error) {
    pam_syslog(handle, LOG_ERR, "%s%s%s", error.what(),
               error.hint().empty() ? "" : "; hint: ", error.hint().c_str());
}

// Calls a function, logs what it throws.
template <class Function>
bool succeeds(pam_handle_t* handle, Function function) noexcept {
    try {
        function();
        return true;
    } catch (const Error& error) {
        log_error(handle, error);
    } catch (const std::exception& error) {
        pam_syslog(handle, LOG_ERR, "%s", error.what());
    } catch (...) {
        pam_syslog(handle, LOG_ERR, "something is wrong");
    }
    return false;
}

// The end of PAM's handle. When a session is closed this thread is back already; when another module has refused it, nobody
// closes it, and the program around us goes on where it was.
void forget(pam_handle_t* handle, void* data, int status) {
    const std::unique_ptr<Session> session(static_cast<Session*>(data));
    if (status == PAM_SUCCESS || (status & (PAM_DATA_REPLACE | PAM_DATA_SILENT)) != 0 || ::geteuid() != 0)
        return;
    (void)succeeds(handle, [&] { session->origin->go_back(); });
}

// No handler of the program around us may run in a thread or a process of ours.
class SignalsBlocked {
public:
    SignalsBlocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &old_);
    }
    ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &old_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    sigset_t old_{};
};

// The namespaces of process 1, where names are.
struct Home {
    Fd mounts = open_or_fail("/proc/1/ns/mnt", O_RDONLY);
    Fd ipc = open_or_fail("/proc/1/ns/ipc", O_RDONLY);

    // Calls a function on a thread that is there.
    template <class Function>
    void call(Function function) const {
        std::exception_ptr thrown;
        const SignalsBlocked blocked;
        std::thread([&] {
            try {
                if (::unshare(CLONE_FS) != 0 || ::setns(mounts.get(), CLONE_NEWNS) != 0)
                    fail("join the mount namespace of process 1");
                function();
            } catch (...) {
                thrown = std::current_exception();
            }
        }).join();
        if (thrown) std::rethrow_exception(thrown);
    }
};

// Beside this module, or where it was configured to be.
std::string linger_program() {
    Dl_info about{};
    std::string folder;
    if (::dladdr(reinterpret_cast<const void*>(&linger_program), &about) != 0 && about.dli_fname != nullptr)
        folder = std::string(about.dli_fname);
    folder.resize(folder.find_last_of('/') == std::string::npos ? 0 : folder.find_last_of('/'));
    for (const std::string& place : {folder + "/" IPCNS_LIBEXEC_FROM_MODULE, folder + "/../../libexec/ipcns",
                                     std::string(IPCNS_LIBEXECDIR)}) {
        std::string program = place + "/ipcns-linger";
        if (program.front() == '/' && ::access(program.c_str(), X_OK) == 0) return program;
    }
    throw Error(ENOENT, "find the program ipcns-linger", "install ipcns again");
}

// Starts what takes the name away after the last session, and waits until that is sure to happen. In between is a process that
// never calls exec, which would have it send SIGCHLD when it ends: the program around us is to see no child that it has not made.
void start_linger(const Home& home, const std::string& name, std::chrono::seconds seconds) {
    const std::string program = linger_program();
    std::array<std::string, 3> words{"ipcns-linger", name, std::to_string(seconds.count())};
    std::array<char*, 4> arguments{words[0].data(), words[1].data(), words[2].data(), nullptr};
    std::array<char*, 1> environment{nullptr};
    const SignalsBlocked blocked;
    const auto child = static_cast<pid_t>(::syscall(SYS_clone, 0, 0, 0, 0, 0));
    int status = 0;
    if (child == 0) {
        // A copy of a process of maybe many threads: system calls alone.
        (void)::signal(SIGCHLD, SIG_DFL); // or it might be ignored, and linger's status with it
        if (::setns(home.ipc.get(), CLONE_NEWIPC) != 0 || ::setns(home.mounts.get(), CLONE_NEWNS) != 0 ||
            ::syscall(SYS_setresgid, 0, 0, 0) != 0 || ::syscall(SYS_setresuid, 0, 0, 0) != 0)
            ::_exit(1);
        const auto linger = static_cast<pid_t>(::syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
        if (linger == 0) {
            ::execve(program.c_str(), arguments.data(), environment.data());
            ::_exit(1);
        }
        while (linger > 0 && ::waitpid(linger, &status, 0) < 0 && errno == EINTR) {}
        ::_exit(linger > 0 && status == 0 ? 0 : 1);
    }
    const int number = errno;
    if (child < 0) throw Error(number, "start ipcns-linger");
    while (::waitpid(child, &status, static_cast<int>(__WCLONE)) < 0 && errno == EINTR) {}
    if (status != 0) throw Error(ECANCELED, "start ipcns-linger");
}

Registry registry() {
    Registry names = Registry::of_system();
    names.set_patience(patience);
    return names;
}

bool is_ours(const std::string& name) { return name.starts_with("user-") || name.starts_with("session-"); }

bool is_left_out(pam_handle_t* handle, const Settings& settings, const struct passwd& user) {
    if (user.pw_uid < settings.min_uid) return true;
    for (const auto& name : settings.exclude_users) {
        if (name == user.pw_name) return true;
    }
    for (const auto& group : settings.exclude_groups) {
        if (pam_modutil_user_in_group_nam_nam(handle, user.pw_name, group.c_str()) == 1) return true;
    }
    return false;
}

// Makes the name or joins it. The descriptors are good in every mount namespace.
SharedName share(const Home& home, const Settings& settings, const struct passwd& user) {
    std::optional<SharedName> shared;
    home.call([&] {
        const Registry names = registry();
        CreateOptions create = settings.create;
        create.secluded = true;
        const std::string uid = std::to_string(user.pw_uid);
        if (settings.scope == Settings::Scope::user) {
            shared = names.share("user-" + uid, create);
        } else {
            // A process that opens several, or has the number of one whose session is still there, counts on.
            const std::string stem = "session-" + uid + "-" + std::to_string(::getpid());
            for (int i = 1; !shared || !shared->made; ++i)
                shared = names.share(i == 1 ? stem : stem + "." + std::to_string(i), create);
        }
        if (!shared->made) return;
        try {
            start_linger(home, shared->place.name, settings.linger);
        } catch (...) {
            // Nobody would take it away.
            shared->lease.reset();
            (void)names.remove_unused(shared->place.name);
            throw;
        }
    });
    shared->place.mounts = home.mounts.duplicate();
    return std::move(*shared);
}

// Whoever is left out and comes from somebody's session is to be where he would be without it.
std::optional<Place> way_out(const Home& home) {
    const NamespaceId here = Namespace::current().id();
    bool inside = false;
    if (here == Namespace::host_id()) return std::nullopt;
    home.call([&] {
        for (const auto& name : registry().list()) inside = inside || (name.id == here && is_ours(name.name));
    });
    if (!inside) return std::nullopt;
    return resolve(Target::parse("host"));
}

// Moves the calling thread, or leaves it where it is.
void move_to(Session& session, const Place& place) {
    session.origin.emplace();
    try {
        // What an administrator mounts in his session is for everybody.
        enter(place, false);
    } catch (...) {
        session.origin->go_back();
        throw;
    }
}

void open_session(pam_handle_t* handle, const Settings& settings) {
    const char* name = nullptr;
    if (pam_get_user(handle, &name, nullptr) != PAM_SUCCESS || name == nullptr)
        throw Error(EINVAL, "find out whose session it is");
    const struct passwd* user = pam_modutil_getpwnam(handle, name);
    if (user == nullptr) throw Error(ENOENT, "find the user " + escape(name));

    const Home home;
    auto session = std::make_unique<Session>();
    std::string what;
    if (is_left_out(handle, settings, *user)) {
        const auto out = way_out(home);
        if (!out) return;
        move_to(*session, *out);
        what = "back in the host's namespace";
    } else {
        SharedName shared = share(home, settings, *user);
        session->lease = std::move(shared.lease);
        move_to(*session, shared.place);
        what = (shared.made ? "made " : "joined ") + shared.place.name;
    }
    if (settings.debug) pam_syslog(handle, LOG_DEBUG, "%s for %s", what.c_str(), escape(name).c_str());
    if (pam_set_data(handle, data_name, session.get(), forget) != PAM_SUCCESS) {
        session->origin->go_back();
        throw Error(ENOMEM, "remember the session of " + escape(name));
    }
    (void)session.release();
}

void close_session(pam_handle_t* handle) {
    const void* data = nullptr;
    if (pam_get_data(handle, data_name, &data) != PAM_SUCCESS || data == nullptr) return;
    const auto* session = static_cast<const Session*>(data);
    // A program that has given up its privileges by now stays, and goes soon.
    if (session->origin && ::geteuid() == 0) session->origin->go_back();
    pam_set_data(handle, data_name, nullptr, nullptr); // calls forget(), and the lease goes
}

} // namespace
} // namespace ipcns::pam

#define IPCNS_HOOK extern "C" __attribute__((visibility("default")))

IPCNS_HOOK int pam_sm_open_session(pam_handle_t* pamh, int /*flags*/, int argc, const char** argv) {
    using namespace ipcns::pam;
    Settings settings;
    bool good = true;
    // All of them, so that required=yes counts wherever it stands.
    for (int i = 0; i < argc; ++i) good &= succeeds(pamh, [&] { take_word(settings, argv[i]); });
    good = good && succeeds(pamh, [&] { open_session(pamh, settings); });
    return good || !settings.required ? PAM_SUCCESS : PAM_SESSION_ERR;
}

IPCNS_HOOK int pam_sm_close_session(pam_handle_t* pamh, int /*flags*/, int /*argc*/, const char** /*argv*/) {
    (void)ipcns::pam::succeeds(pamh, [&] { ipcns::pam::close_session(pamh); });
    return PAM_SUCCESS;
}
