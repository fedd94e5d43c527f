// SPDX-License-Identifier: Apache-2.0
// Processes that are held still: whether they stand, and whether they can tell. The processes are real ones, in
// namespaces of the test's own; they judge themselves what every system call returned, and end with what they saw.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/hold.hpp>
#include <ipcns/namespace.hpp>

#include <linux/futex.h>
#include <linux/io_uring.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace ipcns {
namespace {

using test::call_of;
using test::eventually;

using namespace std::chrono_literals;
using test::broken;
using test::in_new_namespaces;

// ---- What the tests work with --------------------------------------------------------------------------------------

Place here() { return {Namespace::current(), {}, {}, {}, {}}; }

// A line of /proc/PID/task/TID/status; empty when there is none.
std::string status_of(pid_t pid, pid_t thread, const std::string& name) {
    try {
        const std::string text =
            test::read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(thread) + "/status");
        const auto at = text.find("\n" + name + ":\t");
        if (at == std::string::npos) return {};
        const auto begin = at + name.size() + 3;
        return text.substr(begin, text.find('\n', begin) - begin);
    } catch (const std::system_error&) {
        return {};
    }
}

char state_of(pid_t pid, pid_t thread) {
    const std::string state = status_of(pid, thread, "State");
    return state.empty() ? '\0' : state[0];
}

char state_of(pid_t pid) { return state_of(pid, pid); }

std::vector<pid_t> threads_of(pid_t pid) {
    std::vector<pid_t> threads;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", error))
        threads.push_back(std::atoi(entry.path().filename().c_str()));
    return threads;
}

// Nobody is traced, and nobody stands still.
bool runs_free(pid_t pid) {
    for (const pid_t thread : threads_of(pid)) {
        const std::string tracer = status_of(pid, thread, "TracerPid");
        if (state_of(pid, thread) == 't' || (!tracer.empty() && tracer != "0")) return false;
    }
    return true;
}

// A forked process, killed and reaped at the end.
class Process {
public:
    explicit Process(const std::function<int()>& work) {
        std::fflush(nullptr);
        pid_ = ::fork();
        if (pid_ < 0) broken("fork");
        if (pid_ != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        int status = 99;
        try {
            status = work();
        } catch (const std::exception& error) {
            std::fprintf(stderr, "in a child process: %s\n", error.what());
        }
        std::fflush(nullptr);
        ::_exit(status);
    }
    Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
    Process& operator=(Process&&) = delete;
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        wait();
    }

    [[nodiscard]] pid_t pid() const { return pid_; }

    // What it ended with; -1 when it was killed.
    int wait() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }

private:
    pid_t pid_ = -1;
};

// Memory that forked processes share.
template <class T>
class Shared {
public:
    Shared()
        : at_(static_cast<T*>(
              ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
        if (at_ == MAP_FAILED) broken("mmap");
        new (at_) T();
    }
    ~Shared() { ::munmap(at_, sizeof(T)); }
    Shared(const Shared&) = delete;
    Shared& operator=(const Shared&) = delete;
    T* operator->() const { return at_; }
    T& operator*() const { return *at_; }

private:
    T* at_;
};

std::array<int, 2> make_pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) broken("pipe");
    return ends;
}

std::array<int, 2> make_sockets(int type = SOCK_STREAM) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends.data()) != 0) broken("socketpair");
    return ends;
}

void write_byte(int fd) {
    if (::write(fd, "x", 1) != 1) broken("write");
}

// ---- Nobody notices ------------------------------------------------------------------------------------------------

// A system call that blocks, and what ends the wait.
struct Call {
    std::string name;
    std::function<bool()>
        blocks; // true when it returned what it is to return when nothing happened but its end
    std::function<void(pid_t)> end;
};

struct timespec in_a_minute(clockid_t clock) {
    struct timespec now {};
    ::clock_gettime(clock, &now);
    now.tv_sec += 60;
    return now;
}

constexpr struct timespec minute { 60, 0 };
constexpr struct timeval minute_of_socket { 60, 0 };

int make_set() {
    const int id = ::semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    if (id < 0) broken("semget");
    return id;
}

struct Message {
    long type = 1;
    char text[1] = {};
};

void add_sysv_calls(std::vector<Call>& calls) {
    const auto post = [](int set) {
        return [set](pid_t) {
            struct sembuf up {
                0, 1, 0
            };
            if (::semop(set, &up, 1) != 0) broken("semop");
        };
    };
    const int plain = make_set();
    calls.push_back({"semop",
                     [=] {
                         struct sembuf down {
                             0, -1, 0
                         };
                         return ::semop(plain, &down, 1) == 0;
                     },
                     post(plain)});
    const int timed = make_set();
    calls.push_back({"semtimedop",
                     [=] {
                         struct sembuf down {
                             0, -1, SEM_UNDO
                         };
                         return ::semtimedop(timed, &down, 1, &minute) == 0;
                     },
                     post(timed)});
    const int zero = make_set();
    post(zero)(0);
    calls.push_back({"semop for zero",
                     [=] {
                         struct sembuf wait {
                             0, 0, 0
                         };
                         return ::semop(zero, &wait, 1) == 0;
                     },
                     [=](pid_t) {
                         struct sembuf down {
                             0, -1, 0
                         };
                         if (::semop(zero, &down, 1) != 0) broken("semop");
                     }});

    const int empty = ::msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    const int full = ::msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    if (empty < 0 || full < 0) broken("msgget");
    const Message message;
    while (::msgsnd(full, &message, 1, IPC_NOWAIT) == 0) {}
    calls.push_back({"msgrcv",
                     [=] {
                         Message got;
                         return ::msgrcv(empty, &got, 1, 0, 0) == 1;
                     },
                     [=](pid_t) {
                         const Message one;
                         if (::msgsnd(empty, &one, 1, 0) != 0) broken("msgsnd");
                     }});
    calls.push_back({"msgsnd",
                     [=] {
                         const Message one;
                         return ::msgsnd(full, &one, 1, 0) == 0;
                     },
                     [=](pid_t) {
                         Message got;
                         if (::msgrcv(full, &got, 1, 0, 0) != 1) broken("msgrcv");
                     }});
}

mqd_t make_posix_queue(const std::string& name, bool full) {
    struct mq_attr wanted {};
    wanted.mq_maxmsg = 1;
    wanted.mq_msgsize = 1;
    const mqd_t queue = ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600, &wanted);
    if (queue < 0) broken("mq_open");
    if (full && ::mq_send(queue, "x", 1, 0) != 0) broken("mq_send");
    return queue;
}

void add_posix_calls(std::vector<Call>& calls) {
    for (const bool timed : {false, true}) {
        const std::string how = timed ? "timed" : "";
        const mqd_t empty = make_posix_queue("/empty" + how, false);
        const mqd_t full = make_posix_queue("/full" + how, true);
        calls.push_back({"mq_" + how + "receive",
                         [=] {
                             char got = 0;
                             const auto until = in_a_minute(CLOCK_REALTIME);
                             return (timed ? ::mq_timedreceive(empty, &got, 1, nullptr, &until)
                                           : ::mq_receive(empty, &got, 1, nullptr)) == 1;
                         },
                         [=](pid_t) {
                             if (::mq_send(empty, "x", 1, 0) != 0) broken("mq_send");
                         }});
        calls.push_back({"mq_" + how + "send",
                         [=] {
                             const auto until = in_a_minute(CLOCK_REALTIME);
                             return (timed ? ::mq_timedsend(full, "x", 1, 0, &until)
                                           : ::mq_send(full, "x", 1, 0)) == 0;
                         },
                         [=](pid_t) {
                             char got = 0;
                             if (::mq_receive(full, &got, 1, nullptr) != 1) broken("mq_receive");
                         }});
        const auto semaphore = std::make_shared<Shared<sem_t>>();
        if (::sem_init(&**semaphore, 1, 0) != 0) broken("sem_init");
        calls.push_back({"sem_" + how + "wait",
                         [=] {
                             const auto until = in_a_minute(CLOCK_REALTIME);
                             return (timed ? ::sem_timedwait(&**semaphore, &until)
                                           : ::sem_wait(&**semaphore)) == 0;
                         },
                         [=](pid_t) { ::sem_post(&**semaphore); }});
    }
}

// A signal that the process has blocked since before it was made, or has a handler for.
void ignore(int /*signal*/) {}

void add_waits(std::vector<Call>& calls) {
    // These end by themselves.
    const auto nothing = [](pid_t) {};
    constexpr struct timespec while_held { 2, 0 };
    calls.push_back({"nanosleep", [=] { return ::nanosleep(&while_held, nullptr) == 0; }, nothing});
    calls.push_back({"clock_nanosleep",
                     [=] {
                         struct timespec until {};
                         ::clock_gettime(CLOCK_MONOTONIC, &until);
                         until.tv_sec += 2;
                         return ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == 0;
                     },
                     nothing});
    calls.push_back({"poll that ends by its timeout", [] { return ::poll(nullptr, 0, 2000) == 0; }, nothing});

    const auto signal_it = [](pid_t pid) { ::kill(pid, SIGUSR1); };
    const auto by_handler = [](const std::function<int()>& wait) {
        return [=] {
            struct sigaction action {};
            action.sa_handler = ignore;
            ::sigaction(SIGUSR1, &action, nullptr);
            // The kernel says who sent it: EINTR without that is what must not be.
            return wait() == -1 && errno == EINTR;
        };
    };
    calls.push_back({"pause", by_handler([] { return ::pause(); }), signal_it});
    calls.push_back({"sigsuspend", by_handler([] {
                         sigset_t none;
                         ::sigemptyset(&none);
                         return ::sigsuspend(&none);
                     }),
                     signal_it});
    // Who has a handler is to get EINTR from semop as ever.
    const int set = make_set();
    calls.push_back({"semop that a handler ends", by_handler([set] {
                         struct sembuf down {
                             0, -1, 0
                         };
                         return ::semop(set, &down, 1);
                     }),
                     signal_it});
    for (const bool timed : {false, true}) {
        calls.push_back({timed ? "sigtimedwait" : "sigwaitinfo",
                         [=] {
                             sigset_t some;
                             ::sigemptyset(&some);
                             ::sigaddset(&some, SIGUSR1);
                             ::sigprocmask(SIG_BLOCK, &some, nullptr);
                             return (timed ? ::sigtimedwait(&some, nullptr, &minute)
                                           : ::sigwaitinfo(&some, nullptr)) == SIGUSR1;
                         },
                         signal_it});
    }
    const auto word = std::make_shared<Shared<std::atomic<int>>>();
    calls.push_back({"futex with a timeout",
                     [=] { return ::syscall(SYS_futex, &**word, FUTEX_WAIT, 0, &minute, nullptr, 0) == 0; },
                     [=](pid_t) { ::syscall(SYS_futex, &**word, FUTEX_WAKE, 1, nullptr, nullptr, 0); }});
    const auto ends = make_pipe();
    calls.push_back({"waitpid",
                     [=] {
                         const pid_t child = ::fork();
                         if (child == 0) {
                             ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                             char byte = 0;
                             ::_exit(::read(ends[0], &byte, 1) == 1 ? 7 : 8);
                         }
                         int status = 0;
                         return ::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                                WEXITSTATUS(status) == 7;
                     },
                     [=](pid_t) { write_byte(ends[1]); }});
    const auto more_ends = make_pipe();
    calls.push_back({"vfork",
                     [=] {
                         // The parent sleeps in a way that nothing interrupts; the child has memory of its own.
                         const long child = ::syscall(SYS_clone, CLONE_VFORK | SIGCHLD, nullptr);
                         if (child == 0) {
                             ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                             char byte = 0;
                             ::_exit(::read(more_ends[0], &byte, 1) == 1 ? 7 : 8);
                         }
                         int status = 0;
                         return ::waitpid(static_cast<pid_t>(child), &status, 0) == child &&
                                WIFEXITED(status) && WEXITSTATUS(status) == 7;
                     },
                     [=](pid_t) { write_byte(more_ends[1]); }});
    const auto locked = std::make_shared<test::TempFolder>();
    const std::string path = *locked / "lock";
    const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || ::flock(lock, LOCK_EX) != 0) broken("flock");
    calls.push_back({"flock",
                     [=] {
                         const int mine = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
                         return ::flock(mine, LOCK_EX) == 0;
                     },
                     [=](pid_t) { ::flock(lock, LOCK_UN); }});
    const std::string other = *locked / "record";
    const int record = ::open(other.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct flock whole {};
    whole.l_type = F_WRLCK;
    if (record < 0 || ::fcntl(record, F_SETLK, &whole) != 0) broken("lock a file");
    calls.push_back({"fcntl(F_SETLKW)",
                     [=] {
                         struct flock wanted = whole;
                         const int mine = ::open(other.c_str(), O_RDWR | O_CLOEXEC);
                         return ::fcntl(mine, F_SETLKW, &wanted) == 0;
                     },
                     [=, keep = locked](pid_t) {
                         struct flock free = whole;
                         free.l_type = F_UNLCK;
                         ::fcntl(record, F_SETLK, &free);
                     }});
}

void add_descriptor_calls(std::vector<Call>& calls) {
    const auto reads = [&](const std::string& name, const std::function<bool(int)>& wait) {
        const auto ends = make_pipe();
        calls.push_back({name, [=] { return wait(ends[0]); }, [=](pid_t) { write_byte(ends[1]); }});
    };
    const auto one_byte = [](int fd) {
        char byte = 0;
        return ::read(fd, &byte, 1) == 1;
    };
    reads("read of a pipe", one_byte);
    for (const int timeout : {-1, 60000}) {
        const std::string with = timeout < 0 ? "" : " with a timeout";
        reads("poll" + with, [=](int fd) {
            struct pollfd wanted {
                fd, POLLIN, 0
            };
            return ::poll(&wanted, 1, timeout) == 1;
        });
        reads("ppoll" + with, [=](int fd) {
            struct pollfd wanted {
                fd, POLLIN, 0
            };
            sigset_t none;
            ::sigemptyset(&none);
            return ::ppoll(&wanted, 1, timeout < 0 ? nullptr : &minute, &none) == 1;
        });
        reads("select" + with, [=](int fd) {
            fd_set wanted;
            FD_ZERO(&wanted);
            FD_SET(fd, &wanted);
            struct timeval time = minute_of_socket;
            return ::select(fd + 1, &wanted, nullptr, nullptr, timeout < 0 ? nullptr : &time) == 1;
        });
        const auto epoll = [=](const std::function<int(int, struct epoll_event*)>& wait) {
            return [=](int fd) {
                const int all = ::epoll_create1(EPOLL_CLOEXEC);
                struct epoll_event event {};
                event.events = EPOLLIN;
                ::epoll_ctl(all, EPOLL_CTL_ADD, fd, &event);
                return wait(all, &event) == 1;
            };
        };
        reads("epoll_wait" + with, epoll([=](int all, struct epoll_event* event) {
                  return static_cast<int>(::epoll_wait(all, event, 1, timeout));
              }));
        reads("epoll_pwait" + with, epoll([=](int all, struct epoll_event* event) {
                  sigset_t none;
                  ::sigemptyset(&none);
                  return ::epoll_pwait(all, event, 1, timeout, &none);
              }));
        reads("epoll_pwait2" + with, epoll([=](int all, struct epoll_event* event) {
                  return ::epoll_pwait2(all, event, 1, timeout < 0 ? nullptr : &minute, nullptr);
              }));
    }
    // The kernel can't write back what is left of a timeout here, and fails with EINTR.
    reads("select with a timeout in read-only memory", [](int fd) {
        fd_set wanted;
        FD_ZERO(&wanted);
        FD_SET(fd, &wanted);
        void* const page = ::mmap(nullptr, sizeof(struct timespec), PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *static_cast<struct timespec*>(page) = minute;
        ::mprotect(page, sizeof(struct timespec), PROT_READ);
        return ::syscall(SYS_pselect6, fd + 1, &wanted, nullptr, nullptr, page, nullptr) == 1;
    });

    const auto full = make_pipe();
    ::fcntl(full[1], F_SETFL, O_NONBLOCK);
    const std::vector<char> much(1 << 16);
    while (::write(full[1], much.data(), much.size()) > 0) {}
    ::fcntl(full[1], F_SETFL, 0);
    calls.push_back({"write into a full pipe", [=] { return ::write(full[1], much.data(), 4096) == 4096; },
                     [=](pid_t) {
                         std::vector<char> got(1 << 16);
                         if (::read(full[0], got.data(), got.size()) <= 0) broken("read");
                     }});

    const int folder = ::inotify_init1(IN_CLOEXEC);
    const auto watched = std::make_shared<test::TempFolder>();
    if (folder < 0 || ::inotify_add_watch(folder, watched->path().c_str(), IN_CREATE) < 0) broken("inotify");
    calls.push_back({"read of inotify",
                     [=] {
                         std::array<char, 4096> got{};
                         return ::read(folder, got.data(), got.size()) > 0;
                     },
                     [=](pid_t) { test::write_file(*watched / "new", ""); }});
    const int counter = ::eventfd(0, EFD_CLOEXEC);
    calls.push_back({"read of an eventfd",
                     [=] {
                         std::uint64_t value = 0;
                         return ::read(counter, &value, sizeof value) == sizeof value && value == 3;
                     },
                     [=](pid_t) { ::eventfd_write(counter, 3); }});
}

void add_socket_calls(std::vector<Call>& calls) {
    for (const bool timed : {false, true}) {
        const std::string with = timed ? " with a timeout" : "";
        const auto give_timeout = [=](int fd) {
            if (!timed) return;
            ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &minute_of_socket, sizeof minute_of_socket);
            ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &minute_of_socket, sizeof minute_of_socket);
        };
        const auto ends = make_sockets();
        give_timeout(ends[0]);
        calls.push_back({"recv" + with,
                         [=] {
                             char byte = 0;
                             return ::recv(ends[0], &byte, 1, 0) == 1;
                         },
                         [=](pid_t) { write_byte(ends[1]); }});
        const auto other = make_sockets();
        give_timeout(other[0]);
        calls.push_back({"read of a socket" + with,
                         [=] {
                             char byte = 0;
                             return ::read(other[0], &byte, 1) == 1;
                         },
                         [=](pid_t) { write_byte(other[1]); }});
        const auto full = make_sockets();
        give_timeout(full[0]);
        while (::send(full[0], "x", 1, MSG_DONTWAIT) == 1) {}
        calls.push_back({"send" + with, [=] { return ::send(full[0], "x", 1, 0) == 1; },
                         [=](pid_t) {
                             std::vector<char> got(1 << 20);
                             if (::recv(full[1], got.data(), got.size(), 0) <= 0) broken("recv");
                         }});
        const int listening = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address {};
        address.sun_family = AF_UNIX;
        socklen_t length = sizeof(sa_family_t); // the kernel chooses a name
        if (::bind(listening, reinterpret_cast<struct sockaddr*>(&address), length) != 0 ||
            ::listen(listening, 1) != 0)
            broken("listen");
        length = sizeof address;
        ::getsockname(listening, reinterpret_cast<struct sockaddr*>(&address), &length);
        give_timeout(listening);
        calls.push_back(
            {"accept" + with, [=] { return ::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC) >= 0; },
             [=](pid_t) {
                 const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
                 if (::connect(fd, reinterpret_cast<const struct sockaddr*>(&address), length) != 0)
                     broken("connect");
             }});
    }
}

// Waits for a read of a pipe to complete. Left out where this kernel or its administrator has no io_uring.
void add_io_uring(std::vector<Call>& calls) {
    const auto ends = make_pipe();
    struct io_uring_params probe {};
    const int tried = static_cast<int>(::syscall(SYS_io_uring_setup, 1, &probe));
    if (tried < 0) return;
    ::close(tried);
    calls.push_back(
        {"io_uring_enter",
         [=] {
             struct io_uring_params about {};
             const int ring = static_cast<int>(::syscall(SYS_io_uring_setup, 1, &about));
             if (ring < 0) return false;
             const std::size_t bytes = about.sq_off.array + sizeof(unsigned);
             auto* const queue = static_cast<char*>(
                 ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING));
             auto* const entry = static_cast<struct io_uring_sqe*>(
                 ::mmap(nullptr, sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
                        IORING_OFF_SQES));
             if (queue == MAP_FAILED || entry == MAP_FAILED) return false;
             static char byte = 0;
             *entry = {};
             entry->opcode = IORING_OP_READ;
             entry->fd = ends[0];
             entry->addr = reinterpret_cast<std::uintptr_t>(&byte);
             entry->len = 1;
             reinterpret_cast<unsigned*>(queue + about.sq_off.array)[0] = 0;
             std::atomic_ref<unsigned>(*reinterpret_cast<unsigned*>(queue + about.sq_off.tail)) = 1;
             if (::syscall(SYS_io_uring_enter, ring, 1, 0, 0, nullptr, 0) != 1) return false;
             return ::syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, nullptr, 0) == 0 &&
                    byte == 'x';
         },
         [=](pid_t) { write_byte(ends[1]); }});
}

TEST(Hold, NoBlockedCallNotices) {
    NeedNamespaces();
    in_new_namespaces([] {
        std::vector<Call> calls;
        add_sysv_calls(calls);
        add_posix_calls(calls);
        add_waits(calls);
        add_descriptor_calls(calls);
        add_socket_calls(calls);
        add_io_uring(calls);

        std::vector<Process> processes;
        for (const Call& call : calls) processes.emplace_back([&] { return call.blocks() ? 0 : 1; });
        for (std::size_t i = 0; i < calls.size(); ++i) {
            ASSERT_TRUE(eventually([&] {
                const char state = state_of(processes[i].pid());
                return call_of(processes[i].pid(), processes[i].pid()) >= 0 && (state == 'S' || state == 'D');
            })) << calls[i].name;
        }
        for (int round = 0; round < 20; ++round) {
            Hold hold = Hold::still(here());
            for (std::size_t i = 0; i < calls.size(); ++i) {
                const char state = state_of(processes[i].pid());
                if (calls[i].name.starts_with("semop") || calls[i].name == "semtimedop")
                    EXPECT_EQ(state, 'S') << calls[i].name;
                else if (calls[i].name == "vfork")
                    EXPECT_EQ(state, 'D');
                else
                    EXPECT_TRUE(state == 't' || state == 'Z') << calls[i].name << ": " << state;
            }
            EXPECT_NO_THROW(hold.check());
            hold.release();
            for (std::size_t i = 0; i < calls.size(); ++i)
                EXPECT_TRUE(runs_free(processes[i].pid())) << calls[i].name;
        }
        for (std::size_t i = 0; i < calls.size(); ++i) {
            // Ended early by what it was to wait for, it would have nothing to wait for now.
            const bool by_itself = calls[i].name.find("nanosleep") != std::string::npos ||
                                   calls[i].name == "poll that ends by its timeout";
            if (!by_itself) {
                EXPECT_NE(state_of(processes[i].pid()), 'Z') << calls[i].name << " ended too early";
            }
            calls[i].end(processes[i].pid());
            EXPECT_EQ(processes[i].wait(), 0) << calls[i].name;
        }
    });
}

// ---- Everybody stands still ----------------------------------------------------------------------------------------

// What busy processes count, each in a place of its own, and what they saw go wrong.
struct Counts {
    std::array<std::atomic<unsigned>, 64> done{};
    std::atomic<int> wrong = 0; // the first errno value, or 1000
    std::atomic<bool> stop = false;

    void expect(bool right) {
        int none = 0;
        if (!right) wrong.compare_exchange_strong(none, errno != 0 ? errno : 1000);
    }
    [[nodiscard]] std::vector<unsigned> all() const {
        std::vector<unsigned> values;
        for (const auto& one : done) values.push_back(one);
        return values;
    }
};

// Two processes that hand a semaphore to each other, as fast as they can.
void play_semop(std::vector<Process>& processes, Counts& counts, std::size_t place) {
    const int set = ::semget(IPC_PRIVATE, 2, IPC_CREAT | 0600);
    if (set < 0) broken("semget");
    for (unsigned short side = 0; side < 2; ++side) {
        processes.emplace_back([&counts, set, side, place] {
            const auto other = static_cast<unsigned short>(1 - side);
            struct sembuf give {
                other, 1, 0
            };
            struct sembuf take {
                side, -1, 0
            };
            errno = 0;
            if (side == 0) counts.expect(::semop(set, &give, 1) == 0);
            while (!counts.stop) {
                counts.expect(side == 0 ? ::semop(set, &take, 1) == 0
                                        : ::semtimedop(set, &take, 1, &minute) == 0);
                ++counts.done[place + side];
                counts.expect(::semop(set, &give, 1) == 0);
            }
            ::semctl(set, 0, IPC_RMID);
            return 0;
        });
    }
}

// The same with epoll and two pipes.
void play_epoll(std::vector<Process>& processes, Counts& counts, std::size_t place) {
    const std::array<std::array<int, 2>, 2> pipes = {make_pipe(), make_pipe()};
    for (unsigned side = 0; side < 2; ++side) {
        processes.emplace_back([&counts, pipes, side, place] {
            const int all = ::epoll_create1(EPOLL_CLOEXEC);
            struct epoll_event event {};
            event.events = EPOLLIN;
            errno = 0;
            counts.expect(::epoll_ctl(all, EPOLL_CTL_ADD, pipes[side][0], &event) == 0);
            if (side == 0) write_byte(pipes[1][1]);
            while (!counts.stop) {
                counts.expect(::epoll_wait(all, &event, 1, 60000) == 1);
                char byte = 0;
                counts.expect(::read(pipes[side][0], &byte, 1) == 1);
                ++counts.done[place + side];
                counts.expect(::write(pipes[1 - side][1], "x", 1) == 1);
            }
            return 0;
        });
    }
}

// Makes threads, which make threads, all the time.
void play_threads(std::vector<Process>& processes, Counts& counts, std::size_t place) {
    processes.emplace_back([&counts, place] {
        while (!counts.stop) {
            std::vector<std::thread> some;
            for (int i = 0; i < 4; ++i)
                some.emplace_back([&] {
                    std::thread([&] { ++counts.done[place]; }).join();
                    ++counts.done[place];
                });
            for (auto& one : some) one.join();
        }
        return 0;
    });
}

// Makes processes, which make processes.
void play_forks(std::vector<Process>& processes, Counts& counts, std::size_t place) {
    processes.emplace_back([&counts, place] {
        while (!counts.stop) {
            const pid_t child = ::fork();
            if (child == 0) {
                if (::vfork() == 0) ::_exit(0);
                ::wait(nullptr);
                ++counts.done[place];
                ::_exit(7);
            }
            int status = 0;
            counts.expect(::waitpid(child, &status, 0) == child && WIFEXITED(status) &&
                          WEXITSTATUS(status) == 7);
            ++counts.done[place + 1];
        }
        return 0;
    });
}

bool all_advance(const Counts& counts, std::size_t places) {
    const auto before = counts.all();
    return eventually([&] {
        const auto now = counts.all();
        for (std::size_t i = 0; i < places; ++i)
            if (now[i] == before[i]) return false;
        return true;
    });
}

constexpr std::size_t all_places = 7;

void play_all(std::vector<Process>& processes, Counts& counts) {
    play_semop(processes, counts, 0);
    play_epoll(processes, counts, 2);
    play_threads(processes, counts, 4);
    play_forks(processes, counts, 5);
}

TEST(Hold, WhoIsBusyStandsStillAndGoesOn) {
    NeedNamespaces();
    in_new_namespaces([] {
        const Shared<Counts> counts;
        std::vector<Process> processes;
        play_all(processes, *counts);
        ASSERT_TRUE(all_advance(*counts, all_places));
        for (int round = 0; round < 20; ++round) {
            Hold hold = Hold::still(here());
            const auto before = counts->all();
            // Long enough for anybody who runs to show it.
            std::this_thread::sleep_for(2ms);
            EXPECT_EQ(before, counts->all()) << round;
            EXPECT_NO_THROW(hold.check());
            EXPECT_GT(hold.release().count(), 0);
            ASSERT_TRUE(all_advance(*counts, all_places)) << round;
        }
        EXPECT_EQ(counts->wrong, 0) << std::strerror(counts->wrong);
        counts->stop = true;
    });
}

TEST(Hold, WhoeverHoldsMayBeKilledAtAnyMoment) {
    NeedNamespaces();
    in_new_namespaces([] {
        const Shared<Counts> counts;
        std::vector<Process> processes;
        play_all(processes, *counts);
        std::vector<Call> calls;
        add_sysv_calls(calls);
        add_descriptor_calls(calls);
        const std::size_t players = processes.size();
        for (const Call& call : calls) processes.emplace_back([&] { return call.blocks() ? 0 : 1; });
        ASSERT_TRUE(all_advance(*counts, all_places));

        std::minstd_rand random(20); // NOLINT: the same moments each time are as good
        for (int round = 0; round < 40; ++round) {
            {
                // It holds again and again; the destructor kills it.
                const auto ends = make_pipe();
                const Process holder([&, test = ::getpid()] {
                    HoldOptions options;
                    options.except = {test};
                    for (;;) {
                        try {
                            Hold hold = Hold::still(here(), options);
                            write_byte(ends[1]);
                            hold.check();
                        } catch (const Error& error) {
                            // The one before may still be about to let go.
                            if (error.code().value() != EBUSY) throw;
                        }
                    }
                    return 0;
                });
                char byte = 0;
                ::close(ends[1]);
                ASSERT_EQ(::read(ends[0], &byte, 1), 1);
                std::this_thread::sleep_for(std::chrono::microseconds(random() % 10000));
                ::close(ends[0]);
            }
            for (const Process& process : processes)
                ASSERT_TRUE(eventually([&] { return runs_free(process.pid()); })) << round;
        }
        ASSERT_TRUE(all_advance(*counts, all_places));
        EXPECT_EQ(counts->wrong, 0) << std::strerror(counts->wrong);
        for (std::size_t i = 0; i < calls.size(); ++i) {
            calls[i].end(processes[players + i].pid());
            EXPECT_EQ(processes[players + i].wait(), 0) << calls[i].name;
        }
        counts->stop = true;
    });
}

// ---- Signals, job control, debuggers -------------------------------------------------------------------------------

// A process that does nothing, and tells when it is ready to.
Process idle(const std::function<void()>& prepare = [] {}) {
    const auto ends = make_pipe();
    Process process([&] {
        prepare();
        write_byte(ends[1]);
        for (;;) ::pause();
        return 0;
    });
    ::close(ends[1]);
    char byte = 0;
    const bool ready = ::read(ends[0], &byte, 1) == 1;
    ::close(ends[0]);
    if (!ready) throw std::runtime_error("a child process could not get ready");
    return process;
}

// What an Error said; the number 0 when there was none.
struct Refusal {
    int number = 0;
    std::string text;
    std::string hint;
};

Refusal refusal_of(const std::function<void()>& function) {
    try {
        function();
    } catch (const Error& error) {
        return {error.code().value(), error.what(), error.hint()};
    }
    return {};
}

bool says(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Hold, WhoIsStoppedByJobControlStaysSo) {
    NeedNamespaces();
    in_new_namespaces([] {
        Process stopped = idle();
        ::kill(stopped.pid(), SIGSTOP);
        int status = 0;
        ASSERT_EQ(::waitpid(stopped.pid(), &status, WUNTRACED), stopped.pid());
        for (int round = 0; round < 20; ++round) {
            Hold hold = Hold::still(here());
            EXPECT_EQ(state_of(stopped.pid()), 't');
            hold.check();
            hold.release();
            EXPECT_TRUE(eventually([&] { return state_of(stopped.pid()) == 'T'; }));
            siginfo_t news{};
            EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(stopped.pid()), &news,
                               WSTOPPED | WCONTINUED | WEXITED | WNOHANG),
                      0);
            EXPECT_EQ(news.si_pid, 0) << "its parent was told something";
        }
        // What comes meanwhile has its effect afterwards.
        Hold hold = Hold::still(here());
        ::kill(stopped.pid(), SIGCONT);
        hold.release();
        EXPECT_TRUE(eventually([&] { return state_of(stopped.pid()) == 'S'; }));
        hold = Hold::still(here());
        ::kill(stopped.pid(), SIGSTOP);
        EXPECT_EQ(state_of(stopped.pid()), 't');
        hold.release();
        EXPECT_TRUE(eventually([&] { return state_of(stopped.pid()) == 'T'; }));
    });
}

TEST(Hold, SignalsArriveAfterwardsEachOnceWithTheirValue) {
    NeedNamespaces();
    in_new_namespaces([] {
        struct Got {
            std::atomic<int> count = 0;
            std::atomic<long> sum = 0;
            std::atomic<bool> stop = false;
        };
        static const Shared<Got>* got = nullptr;
        const Shared<Got> shared;
        got = &shared;
        // Now in the handler's neighbourhood all the time, now asleep.
        const auto work = [](bool busy) {
            return [busy] {
                struct sigaction action {};
                action.sa_flags = SA_SIGINFO;
                action.sa_sigaction = [](int, siginfo_t* about, void*) {
                    ++(*got)->count;
                    (*got)->sum += about->si_value.sival_int;
                };
                ::sigaction(SIGRTMIN, &action, nullptr);
                while (!(*got)->stop) {
                    if (!busy) ::usleep(200);
                }
                return 0;
            };
        };
        std::vector<Process> processes;
        processes.emplace_back(work(true));
        processes.emplace_back(work(false));
        for (Process& process : processes) {
            ASSERT_TRUE(eventually([&] {
                const auto caught =
                    std::strtoull(status_of(process.pid(), process.pid(), "SigCgt").c_str(), nullptr, 16);
                return (caught >> (SIGRTMIN - 1) & 1) != 0;
            }));
        }
        int sent = 0;
        long sum = 0;
        std::atomic<bool> done = false;
        std::thread sender([&] {
            while (!done) {
                for (const Process& process : processes) {
                    union sigval value {};
                    value.sival_int = ++sent;
                    sum += sent;
                    if (::sigqueue(process.pid(), SIGRTMIN, value) != 0) {
                        sum -= sent--;
                        std::this_thread::sleep_for(1ms);
                    }
                }
                std::this_thread::sleep_for(50us);
            }
        });
        for (int round = 0; round < 50; ++round) {
            Hold hold = Hold::still(here());
            std::this_thread::sleep_for(1ms);
            hold.release();
            std::this_thread::sleep_for(1ms);
        }
        done = true;
        sender.join();
        EXPECT_TRUE(eventually([&] { return shared->count == sent; })) << shared->count << " of " << sent;
        EXPECT_EQ(shared->sum, sum);
        shared->stop = true;
        for (Process& process : processes) EXPECT_EQ(process.wait(), 0);
    });
}

TEST(Hold, WhoSleepsInSemopAndIsWokenIsFound) {
    NeedNamespaces();
    in_new_namespaces([] {
        std::vector<Call> calls;
        add_waits(calls);
        for (const Call& call : calls) {
            if (call.name != "semop that a handler ends") continue;
            Process process([&] { return call.blocks() ? 0 : 1; });
            ASSERT_TRUE(eventually([&] {
                const auto caught =
                    std::strtoull(status_of(process.pid(), process.pid(), "SigCgt").c_str(), nullptr, 16);
                return (caught >> (SIGUSR1 - 1) & 1) != 0 && state_of(process.pid()) == 'S';
            }));
            Hold hold = Hold::still(here());
            EXPECT_EQ(hold.processes(), std::vector{process.pid()});
            hold.check();
            call.end(process.pid());
            EXPECT_EQ(process.wait(), 0);
            const auto moved = refusal_of([&] { hold.check(); });
            EXPECT_EQ(moved.number, EAGAIN);
            EXPECT_FALSE(moved.hint.empty());
            // Once and for all.
            EXPECT_EQ(refusal_of([&] { hold.check(); }).number, EAGAIN);
        }
    });
}

TEST(Hold, WhoIsKilledIsFoundAndEndsAtOnce) {
    NeedNamespaces();
    in_new_namespaces([] {
        Process process = idle();
        Hold hold = Hold::still(here());
        hold.check();
        ::kill(process.pid(), SIGKILL);
        EXPECT_EQ(process.wait(), -1); // while it is held
        EXPECT_EQ(refusal_of([&] { hold.check(); }).number, EAGAIN);
    });
}

TEST(Hold, WhoComesLaterIsFound) {
    NeedNamespaces();
    in_new_namespaces([] {
        const Process inside = idle();
        // In another namespace, from where it comes back when it is told to.
        const auto ends = make_pipe();
        const auto answers = make_pipe();
        const Process other([&] {
            const int home = ::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
            if (::unshare(CLONE_NEWIPC) != 0) return 1;
            write_byte(answers[1]);
            char byte = 0;
            if (::read(ends[0], &byte, 1) != 1 || ::setns(home, CLONE_NEWIPC) != 0) return 2;
            write_byte(answers[1]);
            for (;;) ::pause();
            return 0;
        });
        char byte = 0;
        ASSERT_EQ(::read(answers[0], &byte, 1), 1);
        Hold hold = Hold::still(here());
        EXPECT_EQ(hold.processes(), std::vector{inside.pid()});
        EXPECT_NO_THROW(hold.check());
        write_byte(ends[1]);
        ASSERT_EQ(::read(answers[0], &byte, 1), 1);
        const auto came = refusal_of([&] { hold.check(); });
        EXPECT_EQ(came.number, EAGAIN);
        EXPECT_TRUE(says(came.text, std::to_string(other.pid()))) << came.text;
    });
}

TEST(Hold, WhoIsBeingDebuggedIsNamed) {
    NeedNamespaces();
    in_new_namespaces([] {
        const Process debugged = idle();
        const Process free = idle();
        const Process debugger = idle([&] {
            if (::ptrace(PTRACE_SEIZE, debugged.pid(), nullptr, nullptr) != 0) broken("ptrace");
            ::prctl(PR_SET_NAME, "a debugger");
        });
        const auto refused = refusal_of([] { (void)Hold::still(here()); });
        EXPECT_EQ(refused.number, EBUSY);
        EXPECT_TRUE(says(refused.text, "process " + std::to_string(debugged.pid()))) << refused.text;
        EXPECT_TRUE(says(refused.hint, "process " + std::to_string(debugger.pid()) + " (a debugger)"))
            << refused.hint;
        EXPECT_TRUE(says(refused.hint, "--live")) << refused.hint;
        EXPECT_TRUE(runs_free(free.pid()));
        EXPECT_TRUE(runs_free(debugger.pid()));
    });
}

// ---- Who is held, and who is not -----------------------------------------------------------------------------------

TEST(Hold, TheHostsNamespaceIsRefused) {
    std::optional<Namespace> host;
    try {
        host = Namespace::host();
    } catch (const Error&) {
        GTEST_SKIP() << "the host's namespace may not be looked at here";
    }
    const auto refused = refusal_of([&] { (void)Hold::still({std::move(*host), {}, {}, {}, {}}); });
    EXPECT_EQ(refused.number, EPERM);
    EXPECT_TRUE(says(refused.hint, "--live")) << refused.hint;
}

TEST(Hold, AnEmptyNamespace) {
    NeedNamespaces();
    in_new_namespaces([] {
        Hold hold = Hold::still(here());
        EXPECT_TRUE(hold.processes().empty()); // this very process is never held
        EXPECT_NO_THROW(hold.check());
        EXPECT_EQ(hold.release().count(), 0);
        EXPECT_EQ(hold.release().count(), 0);
        EXPECT_EQ(refusal_of([&] { hold.check(); }).number, EINVAL);
    });
}

TEST(Hold, ThoseExceptedRun) {
    NeedNamespaces();
    in_new_namespaces([] {
        const Process held = idle();
        const Process excepted = idle();
        HoldOptions options;
        options.except = {excepted.pid()};
        Hold hold = Hold::still(here(), options);
        EXPECT_EQ(hold.processes(), std::vector{held.pid()});
        EXPECT_EQ(state_of(held.pid()), 't');
        EXPECT_TRUE(runs_free(excepted.pid()));
        EXPECT_NO_THROW(hold.check());
    });
}

TEST(Hold, AThreadOfAnotherNamespaceIsHeldWithItsProcess) {
    NeedNamespaces();
    in_new_namespaces([] {
        // The main thread ends, and another one leaves: the last one is what is here.
        const Process process = idle([] {
            std::thread([] {
                if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
                for (;;) ::pause();
            }).detach();
        });
        const auto both = [&] { return threads_of(process.pid()).size() == 2; };
        ASSERT_TRUE(eventually(both));
        Hold hold = Hold::still(here());
        for (const pid_t thread : threads_of(process.pid())) EXPECT_EQ(state_of(process.pid(), thread), 't');
        EXPECT_NO_THROW(hold.check());
    });
}

TEST(Hold, AProcessWhoseMainThreadHasEnded) {
    NeedNamespaces();
    in_new_namespaces([] {
        Process process([] {
            std::thread([] {
                for (;;) ::pause();
            }).detach();
            ::syscall(SYS_exit, 0);
            return 0;
        });
        ASSERT_TRUE(eventually([&] { return state_of(process.pid()) == 'Z'; }));
        Hold hold = Hold::still(here());
        EXPECT_EQ(hold.processes(), std::vector{process.pid()});
        const auto threads = threads_of(process.pid());
        ASSERT_EQ(threads.size(), 2U);
        EXPECT_EQ(state_of(process.pid(), std::max(threads[0], threads[1])), 't');
        EXPECT_NO_THROW(hold.check());
    });
}

TEST(Hold, ThoseOutsideWhoHaveSomethingOfIt) {
    NeedRoot();
    in_new_namespaces([] {
        const int segment = ::shmget(IPC_PRIVATE, 4096, 0600);
        const int file = ::shm_open("/file", O_RDWR | O_CREAT, 0600);
        if (segment < 0 || file < 0 || ::ftruncate(file, 4096) != 0) broken("make objects");
        const mqd_t queue = make_posix_queue("/queue", false);
        const Process attached = idle([&] {
            if (::shmat(segment, nullptr, 0) == reinterpret_cast<void*>(-1)) broken("shmat");
            if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
        });
        const Process mapping = idle([&] {
            if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
            ::close(static_cast<int>(queue));
            if (::mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0) == MAP_FAILED) broken("mmap");
            ::close(file);
        });
        const Process opening = idle([&] {
            if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
            ::close(file);
        });
        const Process stranger = idle([&] {
            if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
            ::close(file);
            ::close(static_cast<int>(queue));
            // It looks like the one above.
            const int same = ::shmget(IPC_PRIVATE, 4096, 0600);
            if (same != segment || ::shmat(same, nullptr, 0) == reinterpret_cast<void*>(-1)) broken("shmat");
        });
        const Process inside = idle();
        const std::set<pid_t> all = {inside.pid(), mapping.pid(), opening.pid(), attached.pid()};
        {
            Hold hold = Hold::still(here());
            EXPECT_EQ(hold.processes(), std::vector(all.begin(), all.end()));
            for (const pid_t pid : all) EXPECT_EQ(state_of(pid), 't');
            EXPECT_TRUE(runs_free(stranger.pid()));
            EXPECT_NO_THROW(hold.check());
        }
        HoldOptions options;
        options.outsiders = false;
        const Hold hold = Hold::still(here(), options);
        EXPECT_EQ(hold.processes(), std::vector{inside.pid()});
    });
}

// The kernel counts the attachments of a process that ends until its memory is gone, when nobody sees them any more. A
// segment of the same number in another namespace is another one.
TEST(Hold, StrangersAreNotHeldForOneWhoIsEnding) {
    NeedNamespaces();
    in_new_namespaces([] {
        const auto attach = [] {
            const int segment = ::shmget(1, 4096, IPC_CREAT | 0600);
            if (segment != 0) broken("shmget: the first one is 0");
            if (::shmat(segment, nullptr, 0) == reinterpret_cast<void*>(-1)) broken("shmat");
        };
        const Process stranger = idle([&] {
            if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
            attach();
        });
        const Process inside = idle(attach);
        for (int round = 0; round < 10; ++round) {
            Process ending = idle([&] {
                attach();
                // The kernel takes some time for that, and undoes the attachments last.
                if (::mmap(nullptr, 192 << 20, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) == MAP_FAILED)
                    broken("mmap");
            });
            ::kill(ending.pid(), SIGKILL);
            const Hold hold = Hold::still(here());
            EXPECT_EQ(hold.processes(), std::vector{inside.pid()});
            EXPECT_TRUE(runs_free(stranger.pid()));
        }
    });
}

TEST(Hold, WhatTheyHaveOpen) {
    NeedNamespaces();
    in_new_namespaces([] {
        const auto theirs = make_pipe();
        const auto sockets = make_sockets();
        const Process process = idle();
        const auto ours = make_pipe();
        const auto file_of = [](int fd) {
            struct stat about {};
            if (::fstat(fd, &about) != 0) broken("fstat");
            return FileId{about.st_dev, about.st_ino};
        };
        const Hold hold = Hold::still(here());
        EXPECT_TRUE(hold.has_open(file_of(theirs[0])));
        EXPECT_TRUE(hold.has_open(file_of(sockets[1])));
        EXPECT_FALSE(hold.has_open(file_of(ours[0])));
        EXPECT_FALSE(hold.has_open(file_of(ours[1])));
    });
}

TEST(Hold, WhoMayNotBeLookedAtIsCounted) {
    NeedRoot();
    in_new_namespaces([] {
        const Process roots = idle();
        EXPECT_EQ(test::in_fork([] {
                      if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0)
                          return 2;
                      Hold hold = Hold::still(here());
                      return hold.processes().empty() && hold.unseen() != 0 ? 0 : 1;
                  }),
                  0);
        EXPECT_TRUE(runs_free(roots.pid()));
    });
}

// ---- Letting go ----------------------------------------------------------------------------------------------------

TEST(Hold, NoPauseIsLongerThanAllowed) {
    NeedNamespaces();
    in_new_namespaces([] {
        const Process process = idle();
        HoldOptions options;
        options.max_pause = 2s;
        Hold hold = Hold::still(here(), options);
        EXPECT_TRUE(eventually([&] { return runs_free(process.pid()); }));
        const Refusal refusal = refusal_of([&] { hold.check(); });
        EXPECT_EQ(refusal.number, ETIME);
        EXPECT_EQ(refusal.text,
                  "hold everybody still until all is read: it was not done within the longest pause, 2s: "
                  "Timer expired");
        EXPECT_GE(hold.release(), 2s);
    });
}

TEST(Hold, NothingOfTheHolderIsLeftOrHeard) {
    NeedNamespaces();
    in_new_namespaces([] {
        std::vector<Process> processes;
        for (int i = 0; i < 10; ++i) processes.push_back(idle());
        static std::atomic<int> heard = 0;
        struct sigaction action {};
        action.sa_handler = [](int) { ++heard; };
        ::sigaction(SIGCHLD, &action, nullptr);
        const auto before = test::open_fds();
        for (int round = 0; round < 20; ++round) {
            Hold hold = Hold::still(here());
            siginfo_t news{};
            EXPECT_EQ(::waitid(P_ALL, 0, &news, WSTOPPED | WCONTINUED | WEXITED | WNOHANG), 0);
            EXPECT_EQ(news.si_pid, 0);
            hold.check();
        }
        EXPECT_EQ(test::open_fds(), before);
        EXPECT_EQ(threads_of(::getpid()).size(), 1U);
        EXPECT_EQ(heard, 0);
        ::signal(SIGCHLD, SIG_DFL);
    });
}

TEST(Hold, WhoeverHoldsIsStoppedOrReplacedByExec) {
    NeedNamespaces();
    in_new_namespaces([] {
        for (const bool exec : {false, true}) {
            const Process process = idle();
            const auto ends = make_pipe();
            const auto answers = make_pipe();
            Process holder([&, test = ::getpid()] {
                HoldOptions options;
                options.except = {test};
                Hold hold = Hold::still(here(), options);
                write_byte(answers[1]);
                char byte = 0;
                if (::read(ends[0], &byte, 1) != 1) return 1;
                if (exec) ::execlp("sleep", "sleep", "1000", nullptr);
                return refusal_of([&] { hold.check(); }).number == ECANCELED ? 0 : 2;
            });
            char byte = 0;
            ASSERT_EQ(::read(answers[0], &byte, 1), 1);
            EXPECT_EQ(state_of(process.pid()), 't');
            if (exec)
                write_byte(ends[1]);
            else
                ::kill(holder.pid(), SIGSTOP);
            EXPECT_TRUE(eventually([&] { return runs_free(process.pid()); })) << exec;
            if (exec) continue;
            // Its own parent is told of the stop.
            int status = 0;
            EXPECT_EQ(::waitpid(holder.pid(), &status, WUNTRACED), holder.pid());
            EXPECT_TRUE(WIFSTOPPED(status));
            ::kill(holder.pid(), SIGCONT);
            write_byte(ends[1]);
            EXPECT_EQ(holder.wait(), 0);
        }
    });
}

// The kernel lets nobody trace a thread in execve before all other threads of its process are gone, and lets none be gone
// that is traced.
TEST(Hold, WhoReplacesItselfByExecWithManyThreads) {
    NeedNamespaces();
    in_new_namespaces([] {
        std::vector<Process> processes;
        for (int i = 0; i < 2; ++i) {
            processes.emplace_back([] {
                // This very test program, which does the same again: see below.
                ::setenv("IPCNS_TEST_EXEC", "1", 1);
                ::execl("/proc/self/exe", "ipcns-unit-tests", "--gtest_filter=HoldHelper.ExecsFromAThread",
                        "--gtest_brief=1", nullptr);
                return 1;
            });
        }
        for (int round = 0; round < 30; ++round) {
            Hold hold = Hold::still(here());
            EXPECT_NO_THROW(hold.check());
            hold.release();
            ::usleep(5000);
        }
        // In the middle of an execve by another thread, the first one is a zombie for a moment.
        for (const Process& process : processes) {
            char state = 'Z';
            for (int i = 0; i < 1000 && state == 'Z'; ++i) {
                state = state_of(process.pid());
                if (state == 'Z') ::usleep(2000);
            }
            EXPECT_NE(state, 'Z');
        }
    });
}

TEST(HoldHelper, ExecsFromAThread) {
    if (std::getenv("IPCNS_TEST_EXEC") == nullptr)
        GTEST_SKIP() << "is run by Hold.WhoReplacesItselfByExec...";
    for (int i = 0; i < 20; ++i)
        std::thread([] {
            for (;;) ::pause();
        }).detach();
    std::thread([] {
        ::execl("/proc/self/exe", "ipcns-unit-tests", "--gtest_filter=HoldHelper.ExecsFromAThread",
                "--gtest_brief=1", nullptr);
    }).join();
}

} // namespace
} // namespace ipcns
