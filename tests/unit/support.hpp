// SPDX-License-Identifier: Apache-2.0
// What the unit tests share. Everything here asks the kernel by plain system calls, never the library under test, and
// cleans up in destructors, so that a test that fails leaves nothing behind either.
#pragma once

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace ipcns::test {

/// Throws std::system_error with errno: for what a test needs before it can begin.
[[noreturn]] inline void broken(const std::string& what) {
    throw std::system_error(errno, std::system_category(), what);
}

/// What a link says, empty (with errno) when it cannot be read.
inline std::string read_link(const std::string& path) {
    std::array<char, 256> text;
    const ssize_t length = ::readlink(path.c_str(), text.data(), text.size());
    return length < 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(length));
}

/// The calling thread's IPC namespace as the kernel names it: "ipc:[4026531839]".
inline std::string own_ipc_link() { return read_link("/proc/thread-self/ns/ipc"); }

/// That of the main thread of a process.
inline std::string ipc_link_of(pid_t pid) { return read_link("/proc/" + std::to_string(pid) + "/ns/ipc"); }

/// The number in "ipc:[4026531839]", or 0.
inline ino_t inode_in(const std::string& link) {
    const auto at = link.find('[');
    return at == std::string::npos ? 0 : std::strtoull(link.c_str() + at + 1, nullptr, 10);
}

/// "ipc:[N]" for a number.
inline std::string link_with(ino_t inode) { return "ipc:[" + std::to_string(inode) + "]"; }

/// Every descriptor that this process has open, in ascending order, as "3 -> socket:[123]".
inline std::vector<std::string> open_fds() {
    std::vector<std::string> found;
    std::vector<int> numbers;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        numbers.push_back(std::atoi(entry.path().filename().c_str()));
    std::sort(numbers.begin(), numbers.end());
    for (const int fd : numbers) {
        const std::string link = read_link("/proc/self/fd/" + std::to_string(fd));
        // Empty: the descriptor that read the folder.
        if (!link.empty()) found.push_back(std::to_string(fd) + " -> " + link);
    }
    return found;
}

/// The whole of a file; throws when it cannot be read.
inline std::string read_file(const std::string& path) {
    const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) broken("open " + path);
    std::string text;
    std::array<char, 4096> buffer;
    ssize_t length = 0;
    while ((length = ::read(fd, buffer.data(), buffer.size())) > 0)
        text.append(buffer.data(), static_cast<std::size_t>(length));
    ::close(fd);
    return text;
}

/// The number of the system call that a thread sleeps in, as the kernel says; -1 when it does not.
inline long call_of(pid_t pid, pid_t thread) {
    try {
        const std::string text =
            read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread) + "/syscall");
        return text.starts_with("running") ? -1 : std::strtol(text.c_str(), nullptr, 10);
    } catch (const std::system_error&) {
        return -1;
    }
}

/// No test depends on how long something takes; after half a minute it is given up for hung.
inline bool eventually(const std::function<bool()>& condition) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

/// New System V objects, by bare system calls.
inline int make_segment(std::size_t bytes, key_t key = IPC_PRIVATE, int flags = 0600) {
    const int id = ::shmget(key, bytes, IPC_CREAT | IPC_EXCL | flags);
    if (id < 0) broken("shmget");
    return id;
}

inline int make_queue(key_t key = IPC_PRIVATE, int mode = 0600) {
    const int id = ::msgget(key, IPC_CREAT | IPC_EXCL | mode);
    if (id < 0) broken("msgget");
    return id;
}

inline int make_set(int semaphores, key_t key = IPC_PRIVATE, int mode = 0600) {
    const int id = ::semget(key, semaphores, IPC_CREAT | IPC_EXCL | mode);
    if (id < 0) broken("semget");
    return id;
}

/// Writes a text to a file in one write(2), making the file where there is none. @return 0 or an errno value
inline int write_file(const std::string& path, const std::string& text) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return errno;
    const int number = ::write(fd, text.data(), text.size()) < 0 ? errno : 0;
    ::close(fd);
    return number;
}

/// Moves this process (of one thread) into new namespaces: IPC and mounts, as an ordinary user with a user namespace
/// around them in which the caller stands for itself (or, with @p map_root, is root) and has all capabilities. Mounts
/// made then are seen by nobody else and go with the process. @return 0 or an errno value
inline int enter_new_namespaces(bool map_root = false) {
    const uid_t user = ::geteuid();
    const gid_t group = ::getegid();
    const int with_user = user == 0 ? 0 : CLONE_NEWUSER;
    const std::string inside_user = map_root ? "0" : std::to_string(user);
    const std::string inside_group = map_root ? "0" : std::to_string(group);
    if (::unshare(CLONE_NEWIPC | CLONE_NEWNS | with_user) != 0) return errno;
    if (with_user != 0) {
        for (const auto& [path, text] :
             {std::pair<std::string, std::string>{"/proc/self/setgroups", "deny"},
              {"/proc/self/uid_map", inside_user + " " + std::to_string(user) + " 1"},
              {"/proc/self/gid_map", inside_group + " " + std::to_string(group) + " 1"}}) {
            if (const int number = write_file(path, text)) return number;
        }
    }
    return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 ? 0 : errno;
}

/// Runs a function in a forked child. @return what it returned, or -1 when the child was killed
inline int in_fork(const std::function<int()>& function) {
    std::fflush(nullptr);
    const pid_t child = ::fork();
    if (child < 0) broken("fork");
    if (child == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        int status = 99;
        try {
            status = function();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "in a child process: %s\n", error.what());
        }
        std::fflush(nullptr);
        ::_exit(status);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// True when this process is root with the right to make namespaces, which is tried.
inline bool is_root() {
    static const bool yes = ::geteuid() == 0 && in_fork([] { return enter_new_namespaces(); }) == 0;
    return yes;
}

/// True when an ordinary user may make a user namespace and an IPC namespace in it here, which is tried.
inline bool can_make_user_namespaces() {
    static const bool yes = in_fork([] {
                                if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return errno;
                                ::prctl(PR_SET_DUMPABLE, 1);
                                return enter_new_namespaces();
                            }) == 0;
    return yes;
}

/// True when this process may make IPC namespaces in one way or the other.
inline bool can_make_namespaces() { return ::geteuid() == 0 ? is_root() : can_make_user_namespaces(); }

/// Becomes an ordinary user where it is root. For a child; false when it may not.
inline bool become_nobody() { return ::geteuid() != 0 || ::setresuid(65534, 65534, 65534) == 0; }

/// True when a child of this process can be an ordinary user, which is tried.
inline bool can_be_nobody() {
    static const bool yes = in_fork([] { return become_nobody() ? 0 : 1; }) == 0;
    return yes;
}

#define NeedNobody()                   \
    if (!ipcns::test::can_be_nobody()) \
    GTEST_SKIP() << "this root may not become an ordinary user (CAP_SETUID)"
#define NeedRoot() \
    if (!ipcns::test::is_root()) GTEST_SKIP() << "needs root with the right to make namespaces"
#define NeedOrdinaryUser() \
    if (::geteuid() == 0) GTEST_SKIP() << "is about an ordinary user, and this is root"
#define NeedNamespaces() \
    if (!ipcns::test::can_make_namespaces()) GTEST_SKIP() << "this system lets this user make no namespaces"

/// Runs the body of a test in a forked child in new namespaces (see enter_new_namespaces), with a /dev/shm of its own: in the
/// system's others come and go, and have files open. Expectations that fail in there are printed by the child and make this
/// test fail.
inline void in_new_namespaces(const std::function<void()>& body, bool map_root = false) {
    const int status = in_fork([&] {
        if (const int number = enter_new_namespaces(map_root)) {
            errno = number;
            broken("make namespaces for a test");
        }
        if (::mount("none", "/dev/shm", "tmpfs", 0, nullptr) != 0) broken("mount a /dev/shm for a test");
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        try {
            body();
        } catch (const std::exception& error) {
            ADD_FAILURE() << "exception: " << error.what();
        }
        return ::testing::Test::HasFailure() ? 1 : 0;
    });
    EXPECT_EQ(status, 0) << "in the child process: see above";
}

/// A forked process that has done @p prepare and then waits to be killed, which the destructor does. It dies with this
/// process, too. The constructor returns when prepare is done, and throws when it failed.
class Waiting {
public:
    explicit Waiting(const std::function<void()>& prepare) {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) broken("pipe");
        std::fflush(nullptr);
        pid_ = ::fork();
        if (pid_ == 0) {
            try {
                prepare();
            } catch (const std::exception& error) {
                std::fprintf(stderr, "in a child process: %s\n", error.what());
                ::_exit(99);
            }
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ssize_t written = ::write(ends[1], "", 1);
            while (written == 1) ::pause();
            ::_exit(99);
        }
        ::close(ends[1]);
        char byte = 0;
        const bool ready = pid_ > 0 && ::read(ends[0], &byte, 1) == 1;
        ::close(ends[0]);
        if (!ready) {
            kill();
            throw std::runtime_error("a child process could not get ready");
        }
    }
    ~Waiting() { kill(); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }

    /// Ends it and reaps it.
    void kill() {
        end();
        if (pid_ <= 0) return;
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
        pid_ = -1;
    }

    /// Ends it and leaves it a zombie.
    void end() const {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        siginfo_t about;
        while (::waitid(P_PID, static_cast<id_t>(pid_), &about, WEXITED | WNOWAIT) < 0 && errno == EINTR) {}
    }

private:
    pid_t pid_ = -1;
};

/// What Waiting can do first: move into new namespaces.
inline void move_into_new_namespaces() {
    if (const int number = enter_new_namespaces()) {
        errno = number;
        broken("make namespaces for a test");
    }
}

/// A folder of its own below TMPDIR or /tmp, removed with all it holds, however deep.
class TempFolder {
public:
    TempFolder() {
        const char* base = std::getenv("TMPDIR");
        std::string pattern =
            std::string(base != nullptr && *base != '\0' ? base : "/tmp") + "/ipcns-unit.XXXXXX";
        if (::mkdtemp(pattern.data()) == nullptr) broken("make a folder " + pattern);
        path_ = pattern;
    }
    ~TempFolder() {
        // rm(1) takes any depth, which std::filesystem::remove_all does not.
        const pid_t child = ::fork();
        if (child == 0) {
            ::execlp("rm", "rm", "-rf", "--one-file-system", "--", path_.c_str(), nullptr);
            ::_exit(99);
        }
        while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {}
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;

    [[nodiscard]] const std::filesystem::path& path() const { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

} // namespace ipcns::test
