// SPDX-License-Identifier: Apache-2.0
// What one process can do to another: signals, ptrace(2), process_vm_readv(2), /proc/PID/mem, /proc/PID/fd, pidfd_getfd(2).
//
// Process ids are guessed: those by which the other side knows itself, and those that /proc lists here. Somebody else may
// have such a number, so a process is touched only when its name (/proc/PID/comm, which everybody may read) is the random
// one, and through a pidfd, so that it stays the same process.
//
// Yama (ptrace_scope 1) keeps all but parents from tracing; the one that offers allows it to everybody, for as long as it
// does, so that what is seen is the work of namespaces.
#include "trial.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <dirent.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ipcns::agent {
namespace {

// The token, where others look for it.
alignas(sizeof(long)) unsigned char exposed[token_bytes];

constexpr const char* usual_name = "ipcns-agent";

// 15 letters are what the kernel keeps.
std::string process_name(const Locator& where) { return "ipcns-" + std::string(where.name, 9); }

std::string read_name(const std::string& pid) {
    const Fd file(::open(("/proc/" + pid + "/comm").c_str(), O_RDONLY | O_CLOEXEC));
    char name[32] = {};
    const ssize_t length = file ? ::read(file.get(), name, sizeof name - 1) : -1;
    return length > 0 ? std::string(name, static_cast<std::size_t>(length - 1)) : std::string();
}

// The number by which this /proc lists the process, or 0 with errno: ESRCH when it is not listed.
pid_t find_process(const Locator& where) {
    const std::string wanted = process_name(where);
    for (const pid_t guess : {where.outside, where.inside}) {
        if (guess > 0 && read_name(std::to_string(guess)) == wanted) return guess;
    }
    DIR* proc = ::opendir("/proc");
    if (proc == nullptr) return 0;
    pid_t found = 0;
    while (const struct dirent* entry = ::readdir(proc)) { // NOLINT(concurrency-mt-unsafe): one thread here
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9' || read_name(entry->d_name) != wanted) continue;
        found = static_cast<pid_t>(std::strtol(entry->d_name, nullptr, 10));
        break;
    }
    ::closedir(proc);
    errno = ESRCH;
    return found;
}

// True when /proc counts processes as our system calls do.
bool proc_is_ours() {
    char text[32] = {};
    return ::readlink("/proc/self", text, sizeof text - 1) > 0 &&
           std::strtol(text, nullptr, 10) == ::getpid();
}

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

class ProcessTrial : public Trial {
public:
    explicit ProcessTrial(ChannelId channel) : channel_(channel) {}
    ~ProcessTrial() override {
        if (!offering_) return;
        ::prctl(PR_SET_NAME, usual_name);
        ::prctl(PR_SET_PTRACER, 0);
        std::memset(exposed, 0, sizeof exposed);
    }

    Reply offer(const Request& request) override {
        file_.reset(::memfd_create("ipcns-verify", MFD_CLOEXEC));
        if (!file_ || ::write(file_.get(), request.token, token_bytes) != static_cast<ssize_t>(token_bytes))
            return unavailable("make a memfd");
        std::memcpy(exposed, request.token, token_bytes);
        offering_ = true;
        ::prctl(PR_SET_NAME, process_name(request.where).c_str());
        ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); // EINVAL without Yama
        Reply reply = done();
        reply.where = request.where;
        reply.where.inside = ::getpid();
        reply.where.fd = file_.get();
        reply.where.address = reinterpret_cast<std::uintptr_t>(exposed);
        return reply;
    }

    Reply attempt(const Request& request, int /*passed*/) override {
        const pid_t pid = find_process(request.where);
        Ways ways;
        if (pid == 0) {
            if (errno != ESRCH) return unavailable("read /proc");
            if (!proc_is_ours())
                return unavailable("/proc here shows the processes of another pid namespace", 0);
            if (is_hidden(request.where)) return unavailable("/proc here hides processes (hidepid)", 0);
            ways.refused("to find the process");
            return ways.reply();
        }
        const bool by_path = channel_ == ChannelId::proc_mem || channel_ == ChannelId::proc_fd;
        if (!by_path && !proc_is_ours())
            return unavailable("/proc here shows the processes of another pid namespace", 0);
        unsigned char token[token_bytes] = {};
        if (get(pid, request, token)) {
            ways.got(by_id, "by process id", token);
        } else {
            // The system call is missing, or a filter has taken it away.
            if (errno == ENOSYS) return unavailable("this kernel lacks the system call");
            ways.refused("by process id");
        }
        return ways.reply();
    }

    Reply ask(const Request& request) override {
        sigset_t wanted;
        ::sigemptyset(&wanted);
        ::sigaddset(&wanted, SIGURG);
        const struct timespec patience { 0, patience_ms * 1000000L };
        siginfo_t info{};
        int number = 0;
        do {
            number = ::sigtimedwait(&wanted, &info, &patience);
        } while ((number < 0 && errno == EINTR) || (number == SIGURG && info.si_code != SI_QUEUE));
        if (number < 0) return failed("no signal arrived", 0);
        Reply reply = done();
        reply.where = request.where;
        const void* value = info.si_value.sival_ptr;
        std::memcpy(reply.answer, &value, sizeof value);
        return reply;
    }

    void clean(const Locator& /*where*/) override {} // all of it is the process's own

private:
    // A guess is right about a process that is not listed.
    static bool is_hidden(const Locator& where) {
        for (const pid_t guess : {where.outside, where.inside}) {
            if (guess > 0 && (::kill(guess, 0) == 0 || errno == EPERM) &&
                ::access(("/proc/" + std::to_string(guess)).c_str(), F_OK) != 0)
                return true;
        }
        return false;
    }

    bool get(pid_t pid, const Request& request, unsigned char* token) {
        const Locator& where = request.where;
        switch (channel_) {
        case ChannelId::signal: return send_signal(pid, request, token);
        case ChannelId::ptrace: return trace(pid, where, token);
        case ChannelId::vm_read: {
            struct iovec here {
                token, token_bytes
            };
            struct iovec there {
                reinterpret_cast<void*>(where.address), token_bytes // NOLINT(performance-no-int-to-ptr)
            };
            return ::process_vm_readv(pid, &here, 1, &there, 1, 0) == static_cast<ssize_t>(token_bytes);
        }
        case ChannelId::proc_mem: {
            const Fd memory(::open(("/proc/" + std::to_string(pid) + "/mem").c_str(), O_RDONLY | O_CLOEXEC));
            return memory && ::pread(memory.get(), token, token_bytes, static_cast<off_t>(where.address)) ==
                                 static_cast<ssize_t>(token_bytes);
        }
        case ChannelId::proc_fd: {
            const Fd file(::open(("/proc/" + std::to_string(pid) + "/fd/" + std::to_string(where.fd)).c_str(),
                                 O_RDONLY | O_CLOEXEC));
            return file && ::pread(file.get(), token, token_bytes, 0) == static_cast<ssize_t>(token_bytes);
        }
        default: {
            const Fd process(open_pidfd(pid));
            if (!process) return false;
            const Fd file(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), where.fd, 0)));
            return file && ::pread(file.get(), token, token_bytes, 0) == static_cast<ssize_t>(token_bytes);
        }
        }
    }

    // SIGURG, which does nothing to a process that does not wait for it, with a part of the token as its value.
    static bool send_signal(pid_t pid, const Request& request, unsigned char* token) {
        const Fd process(open_pidfd(pid));
        if (!process) return false;
        // Looked at again: the pidfd may be of one that has got the number since.
        if (read_name(std::to_string(pid)) != process_name(request.where)) {
            errno = ESRCH;
            return false;
        }
        siginfo_t info{};
        info.si_signo = SIGURG;
        info.si_code = SI_QUEUE;
        info.si_pid = ::getpid();
        info.si_uid = ::getuid();
        std::memcpy(&info.si_value.sival_ptr, request.token, sizeof info.si_value.sival_ptr);
        std::memcpy(token, request.token, sizeof info.si_value.sival_ptr);
        return ::syscall(SYS_pidfd_send_signal, process.get(), SIGURG, &info, 0) == 0;
    }

    static bool trace(pid_t pid, const Locator& where, unsigned char* token) {
        if (::ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) != 0) return false;
        bool good = ::ptrace(PTRACE_INTERRUPT, pid, nullptr, nullptr) == 0 && wait_stopped(pid);
        for (std::size_t i = 0; good && i < token_bytes; i += sizeof(long)) {
            errno = 0;
            // NOLINTNEXTLINE(performance-no-int-to-ptr): that is how it is called
            void* const place = reinterpret_cast<void*>(where.address + i);
            const long word = ::ptrace(PTRACE_PEEKDATA, pid, place, nullptr);
            good = errno == 0;
            std::memcpy(token + i, &word, sizeof word);
        }
        const int number = errno;
        ::ptrace(PTRACE_DETACH, pid, nullptr, nullptr);
        errno = number;
        return good;
    }

    static bool wait_stopped(pid_t pid) {
        const struct timespec moment { 0, 200000 };
        for (int left = patience_ms * 5; left > 0; --left) {
            int status = 0;
            const pid_t result = ::waitpid(pid, &status, WNOHANG | __WALL);
            if (result == pid) return WIFSTOPPED(status);
            if (result < 0 && errno != EINTR) return false;
            ::nanosleep(&moment, nullptr);
        }
        errno = ETIMEDOUT;
        return false;
    }

    ChannelId channel_;
    bool offering_ = false;
    Fd file_;
};

} // namespace

std::unique_ptr<Trial> make_process_trial(ChannelId channel) {
    return std::make_unique<ProcessTrial>(channel);
}

} // namespace ipcns::agent
