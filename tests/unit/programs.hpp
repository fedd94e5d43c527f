// SPDX-License-Identifier: Apache-2.0
// What the tests of launching share: processes that are watched through a pipe and never left behind, and this test
// program in its second part, as the program that is launched (the words it understands: launch_test.cpp).
#pragma once

#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/launch.hpp>
#include <ipcns/registry.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace ipcns::test {

/// No test depends on how long something takes; this is when it is given up for hung.
constexpr std::chrono::seconds patience{30};

/// Looks again and again until it is so. False when it never was.
template <class Condition>
bool eventually(Condition condition) {
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > until) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
}

/// This program, told to do what the words say (see launch_test.cpp).
inline std::vector<std::string> self(std::vector<std::string> words, std::string path = {}) {
    if (path.empty()) path = std::filesystem::read_symlink("/proc/self/exe").string();
    words.insert(words.begin(), {std::move(path), "@program"});
    return words;
}

/// This program by a path that also leads to it where /tmp is another one: it is an inherited descriptor.
class SelfByDescriptor {
public:
    SelfByDescriptor() : fd_(::open("/proc/self/exe", O_RDONLY)) {}
    [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

private:
    Fd fd_;
};

inline std::vector<std::string> shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

inline LaunchOptions options_for(std::vector<std::string> arguments,
                                 Isolation isolation = Isolation::ipc_only) {
    LaunchOptions options;
    options.arguments = std::move(arguments);
    options.isolation = isolation;
    return options;
}

/// Where a link of /proc/thread-self/ns leads, e.g. "mnt:[4026531841]".
inline std::string own_namespace(const std::string& kind) {
    return read_link("/proc/thread-self/ns/" + kind);
}

/// What there is of the caller that a launch must leave alone.
struct Surroundings {
    std::map<std::string, std::string> links; ///< namespaces and the working directory
    std::vector<std::string> descriptors;     ///< what each is open on
    std::string mounts;
    std::string mask;

    /// Other programs may mount other things meanwhile.
    static std::string mounts_of_interest() {
        std::string found;
        std::istringstream lines(read_file("/proc/thread-self/mountinfo"));
        for (std::string line; std::getline(lines, line);) {
            std::istringstream fields(line);
            std::string id, parent, device, root, point;
            fields >> id >> parent >> device >> root >> point;
            for (const char* wanted : {"/", "/dev/shm", "/dev/mqueue", "/tmp", "/proc"}) {
                if (point == wanted) found += line + "\n";
            }
        }
        return found;
    }

    static Surroundings now() {
        Surroundings all;
        for (const char* kind : {"ipc", "mnt", "user", "pid", "net", "uts", "pid_for_children"})
            all.links[kind] = own_namespace(kind);
        all.links["cwd"] = read_link("/proc/thread-self/cwd");
        all.descriptors = open_fds();
        all.mounts = mounts_of_interest();
        sigset_t mask;
        ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        for (int number = 1; number < 65; ++number) all.mask += ::sigismember(&mask, number) == 1 ? '1' : '0';
        return all;
    }

    void expect_unchanged() const {
        const Surroundings then = now();
        EXPECT_EQ(links, then.links);
        EXPECT_EQ(descriptors, then.descriptors);
        EXPECT_EQ(mounts, then.mounts);
        EXPECT_EQ(mask, then.mask);
    }
};

inline void expect_no_children() {
    const pid_t found = ::waitpid(-1, nullptr, WNOHANG | __WALL);
    const int number = errno;
    EXPECT_EQ(found, -1) << "a child process is left";
    EXPECT_EQ(found == -1 ? number : ECHILD, ECHILD);
}

/// The reading end of a pipe.
class Output {
public:
    explicit Output(Fd fd) : fd_(std::move(fd)) {}

    /// The next line without its end.
    /// @throws std::runtime_error when none comes
    std::string line() {
        std::size_t end = 0;
        while ((end = text_.find('\n')) == std::string::npos) {
            if (!more()) throw std::runtime_error("no whole line came, only: " + text_);
        }
        std::string found = text_.substr(0, end);
        text_.erase(0, end + 1);
        return found;
    }

    /// All that comes until nobody has the writing end any more.
    std::string rest() {
        while (more()) {}
        return std::exchange(text_, {});
    }

private:
    bool more() {
        struct pollfd polled {
            fd_.get(), POLLIN, 0
        };
        const int ready = ::poll(&polled, 1, static_cast<int>(std::chrono::milliseconds(patience).count()));
        if (ready < 0 && errno == EINTR) return true;
        if (ready <= 0) throw std::runtime_error("nothing came in time; until then: " + text_);
        char buffer[4096];
        const ssize_t length = ::read(fd_.get(), buffer, sizeof buffer);
        if (length > 0) text_.append(buffer, static_cast<std::size_t>(length));
        return length > 0;
    }

    Fd fd_;
    std::string text_;
};

struct Pipe {
    Fd out, in;
    static Pipe make() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
        return {Fd(ends[0]), Fd(ends[1])};
    }
};

/// Our standard output is @p fd as long as this lives.
class StdoutTo {
public:
    explicit StdoutTo(int fd) : saved_((std::fflush(stdout), ::fcntl(1, F_DUPFD_CLOEXEC, 3))) {
        ::dup2(fd, 1);
    }
    ~StdoutTo() { ::dup2(saved_.get(), 1); }
    StdoutTo(const StdoutTo&) = delete;
    StdoutTo& operator=(const StdoutTo&) = delete;

private:
    Fd saved_;
};

/// A program that was launched with its standard output in a pipe. Killed and reaped at the end of the scope. Not for
/// several threads at once.
class Running {
public:
    explicit Running(const LaunchOptions& options) : Running([&] { return launch(options); }) {}
    explicit Running(const std::function<Child()>& start) : Running(start, Pipe::make()) {}
    ~Running() {
        if (reaped_) return;
        ::kill(child_.pid(), SIGKILL);
        while (::waitpid(child_.pid(), nullptr, 0) < 0 && errno == EINTR) {}
    }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

    std::string line() { return output_.line(); }
    std::string rest() { return output_.rest(); }
    Child& child() { return child_; }
    ExitStatus wait() {
        const ExitStatus status = child_.wait();
        reaped_ = true;
        return status;
    }
    void reaped() { reaped_ = true; }

private:
    Running(const std::function<Child()>& start, Pipe pipe)
        : child_(start_into(start, pipe.in)), output_(std::move(pipe.out)) {}
    static Child start_into(const std::function<Child()>& start, Fd& in) {
        const StdoutTo here(in.get());
        Child child = start();
        in.reset();
        return child;
    }

    Child child_;
    Output output_;
    bool reaped_ = false;
};

/// What a program prints; it must end with status 0.
inline std::string output_of(const LaunchOptions& options) {
    Running running(options);
    std::string text = running.rest();
    const ExitStatus status = running.wait();
    EXPECT_EQ(status.code, 0) << "of " << options.arguments.back() << ", which said: " << text;
    EXPECT_EQ(status.signal, 0);
    return text;
}

inline ExitStatus status_of(const LaunchOptions& options) {
    Child child = launch(options);
    return child.wait();
}

/// A part of a test in a process of its own, for what changes a process for good. Its expectations count: say
/// EXPECT_TRUE(forked.good()). Killed and reaped at the end of the scope.
class Forked {
public:
    explicit Forked(const std::function<void()>& body) : Forked(body, Pipe::make()) {}
    ~Forked() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
    }
    Forked(const Forked&) = delete;
    Forked& operator=(const Forked&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    std::string line() { return output_.line(); }
    std::string rest() { return output_.rest(); }
    void signal(int number) const { ::kill(pid_, number); }

    /// Waits for its end. True when all went well; what it printed meanwhile is in the message if not.
    ::testing::AssertionResult good() {
        std::string text;
        try {
            text = output_.rest();
        } catch (const std::exception& error) {
            return ::testing::AssertionFailure() << error.what();
        }
        const int status = wait();
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return ::testing::AssertionSuccess();
        return ::testing::AssertionFailure() << "wait status " << status << ", output: " << text;
    }

    /// The status of waitpid(2).
    int wait() {
        int status = -1;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
        pid_ = -1;
        return status;
    }

private:
    Forked(const std::function<void()>& body, Pipe pipe)
        : pid_(start(body, pipe)), output_(std::move(pipe.out)) {}
    static pid_t start(const std::function<void()>& body, Pipe& pipe) {
        std::fflush(nullptr);
        const pid_t pid = ::fork();
        if (pid < 0) throw std::runtime_error("fork");
        if (pid > 0) {
            pipe.in.reset();
            return pid;
        }
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::dup2(pipe.in.get(), 1);
        pipe.in.reset();
        pipe.out.reset();
        try {
            body();
        } catch (const std::exception& error) {
            ADD_FAILURE() << error.what();
        }
        std::fflush(nullptr);
        ::_exit(::testing::Test::HasFailure() ? 1 : 0);
    }

    pid_t pid_;
    Output output_;
};

/// The value of a line such as "SigBlk:\t0000000000000000" of /proc/PID/status.
inline std::string field(const std::string& status, const std::string& name) {
    const auto at = status.find(name + ":\t");
    if (at == std::string::npos) return "no " + name + " in: " + status;
    const auto from = at + name.size() + 2;
    return status.substr(from, status.find('\n', from) - from);
}

inline unsigned long long signals(const std::string& status, const std::string& name) {
    return std::strtoull(field(status, name).c_str(), nullptr, 16);
}

constexpr unsigned long long bit(int number) { return 1ULL << (number - 1); }

/// The errno value of the Error that @p call throws, 0 when it throws none, and what it says in @p what.
template <class Call>
int error_of(Call call, std::string* what = nullptr) {
    try {
        call();
    } catch (const Error& error) {
        if (what != nullptr) *what = error.what();
        return error.code().value();
    }
    return 0;
}

/// Kills a process that is not our child, at the end of the scope.
class Stray {
public:
    explicit Stray(pid_t pid) : pid_(pid) {}
    ~Stray() { end(); }
    Stray(const Stray&) = delete;
    Stray& operator=(const Stray&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    /// Waits until it is in no namespace any more. It may be a zombie then, if its new parent is slow.
    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        EXPECT_TRUE(eventually([&] { return ipc_link_of(pid_).empty(); }));
        pid_ = -1;
    }

private:
    pid_t pid_;
};

/// The process that has the lock of a keeper in the folder of a name, or 0.
inline pid_t keeper_in(const std::string& folder) {
    const Fd file(::open((folder + "/keeper").c_str(), O_RDWR | O_CLOEXEC));
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    if (!file || ::fcntl(file.get(), F_GETLK, &lock) != 0 || lock.l_type == F_UNLCK) return 0;
    return lock.l_pid;
}

/// A registry in a folder of its own. At the end of the scope its keepers are killed and its mounts taken away, without
/// the library.
class OwnRegistry {
public:
    explicit OwnRegistry(Registry::Holding holding) : registry_(folder_ / "names", holding) {}
    ~OwnRegistry() {
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator(registry_.folder(), ignored)) {
            if (const pid_t keeper = keeper_in(entry.path()); keeper > 0) ::kill(keeper, SIGKILL);
        }
        while (::umount2(registry_.folder().c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {}
    }
    OwnRegistry(const OwnRegistry&) = delete;
    OwnRegistry& operator=(const OwnRegistry&) = delete;

    const Registry* operator->() const { return &registry_; }
    const Registry& operator*() const { return registry_; }

    /// A path below the folder.
    std::string operator/(const std::string& name) const { return registry_.folder() / name; }

    /// What lies in the folder beside the lock, sorted, hidden or not.
    [[nodiscard]] std::set<std::string> entries() const {
        std::set<std::string> names;
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator(registry_.folder(), ignored))
            names.insert(entry.path().filename());
        names.erase(".lock");
        return names;
    }

private:
    TempFolder folder_;
    Registry registry_;
};

} // namespace ipcns::test
