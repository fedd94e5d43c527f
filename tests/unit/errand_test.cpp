// SPDX-License-Identifier: Apache-2.0
// The child process that shares memory and descriptors with its parent.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/fd.hpp>

#include "errand.hpp"

#include <sys/syscall.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ipcns {
namespace {

using test::open_fds;
using test::own_ipc_link;
using test::read_link;

// Sets a signal's disposition and puts the old one back.
class Disposition {
public:
    Disposition(int signal, void (*handler)(int), int flags = 0) : signal_(signal) {
        struct sigaction action {};
        action.sa_handler = handler;
        action.sa_flags = flags;
        if (::sigaction(signal, &action, &old_) != 0) test::broken("sigaction");
    }
    ~Disposition() { ::sigaction(signal_, &old_, nullptr); }
    Disposition(const Disposition&) = delete;
    Disposition& operator=(const Disposition&) = delete;

private:
    int signal_;
    struct sigaction old_ {};
};

std::atomic<int> delivered{0};
std::atomic<pid_t> delivered_in{0};
void count_signal(int) {
    delivered.fetch_add(1);
    delivered_in.store(static_cast<pid_t>(::syscall(SYS_getpid)));
}

sigset_t own_mask() {
    sigset_t mask;
    ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return mask;
}

bool same(const sigset_t& one, const sigset_t& other) {
    for (int signal = 1; signal <= SIGRTMAX; ++signal) {
        if (::sigismember(&one, signal) != ::sigismember(&other, signal)) return false;
    }
    return true;
}

bool no_children() { return ::waitpid(-1, nullptr, WNOHANG | __WALL) < 0 && errno == ECHILD; }

TEST(Errand, RunsInAnotherProcessWithTheSameMemory) {
    int value = 1;
    pid_t process = 0;
    pid_t parent = 0;
    std::string text;
    const auto heap = std::make_unique<std::vector<int>>();
    errand("test", 0, [&] {
        value = 2;
        // glibc does not cache process ids, and the errand is made by glibc's clone(2).
        process = static_cast<pid_t>(::syscall(SYS_getpid));
        parent = static_cast<pid_t>(::syscall(SYS_getppid));
        text = std::string(1000, 'x'); // memory from the same heap
        heap->assign(10000, 7);
    });
    EXPECT_EQ(value, 2);
    EXPECT_NE(process, 0);
    EXPECT_NE(process, ::getpid());
    EXPECT_EQ(parent, ::getpid());
    EXPECT_EQ(text, std::string(1000, 'x'));
    EXPECT_EQ(heap->at(9999), 7);
    EXPECT_EQ(::kill(process, 0), -1) << "it has not been reaped";
}

TEST(Errand, SharesDescriptors) {
    const auto before = open_fds();
    int fd = -1;
    errand("test", 0, [&] { fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC); });
    ASSERT_GE(fd, 0);
    EXPECT_EQ(read_link("/proc/self/fd/" + std::to_string(fd)), "/dev/null");
    errand("test", 0, [&] { ::close(fd); });
    EXPECT_EQ(open_fds(), before);
}

TEST(Errand, DoesNotShareItsWorkingDirectoryAndUmask) {
    const std::string before = read_link("/proc/self/cwd");
    const mode_t mask = ::umask(022);
    errand("test", 0, [] {
        ASSERT_EQ(::chdir("/proc"), 0);
        ::umask(0);
    });
    EXPECT_EQ(read_link("/proc/self/cwd"), before);
    EXPECT_EQ(::umask(mask), mode_t{022});
}

TEST(Errand, HandsAnExceptionOn) {
    struct Own {
        int number;
    };
    try {
        errand("test", 0, [] { throw Own{42}; });
        ADD_FAILURE() << "nothing was thrown";
    } catch (const Own& own) {
        EXPECT_EQ(own.number, 42);
    }
    try {
        errand("test", 0, [] { throw Error(EXDEV, "inside", "a hint"); });
        ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.code().value(), EXDEV);
        EXPECT_STREQ(error.what(), "inside: Invalid cross-device link");
        EXPECT_EQ(error.hint(), "a hint");
    }
    EXPECT_TRUE(no_children());
}

TEST(Errand, DestructorsRunInsideWhenItThrows) {
    const auto shared = std::make_shared<int>(1);
    EXPECT_THROW(errand("test", 0,
                        [&] {
                            const auto copy = shared;
                            throw std::runtime_error("x");
                        }),
                 std::runtime_error);
    EXPECT_EQ(shared.use_count(), 1);
}

TEST(Errand, IsBornIntoNewNamespaces) {
    NeedNamespaces();
    const std::string outside = own_ipc_link();
    const unsigned long user = ::geteuid() == 0 ? 0UL : static_cast<unsigned long>(CLONE_NEWUSER);
    std::string inside;
    std::string hosts;
    errand("test", CLONE_NEWIPC | CLONE_NEWUTS | user, [&] {
        inside = read_link("/proc/self/ns/ipc");
        hosts = read_link("/proc/self/ns/uts");
    });
    EXPECT_NE(inside, "");
    EXPECT_NE(inside, outside);
    EXPECT_NE(hosts, read_link("/proc/self/ns/uts"));
    EXPECT_EQ(own_ipc_link(), outside);
    EXPECT_EQ(read_link("/proc/self/ns/ipc"), outside);
}

TEST(Errand, MayJoinUserNamespacesThoughTheProgramHasThreads) {
    NeedNamespaces();
    const test::Waiting other([] { test::move_into_new_namespaces(); });
    const std::string target = test::ipc_link_of(other.pid());
    std::atomic<bool> stop{false};
    std::jthread second([&] {
        while (!stop) std::this_thread::yield();
    });
    std::string inside;
    errand("test", 0, [&] {
        const std::string folder = "/proc/" + std::to_string(other.pid()) + "/ns/";
        if (::geteuid() != 0) {
            const Fd user(::open((folder + "user").c_str(), O_RDONLY | O_CLOEXEC));
            if (::setns(user.get(), CLONE_NEWUSER) != 0) test::broken("join the user namespace");
        }
        const Fd ipc(::open((folder + "ipc").c_str(), O_RDONLY | O_CLOEXEC));
        if (::setns(ipc.get(), CLONE_NEWIPC) != 0) test::broken("join the IPC namespace");
        inside = read_link("/proc/self/ns/ipc");
    });
    stop = true;
    EXPECT_EQ(inside, target);
    EXPECT_NE(own_ipc_link(), target);
}

TEST(Errand, TheProgramNeverSeesAChild) {
    const Disposition handler(SIGCHLD, count_signal);
    delivered = 0;
    for (int i = 0; i < 10; ++i) errand("test", 0, [] {});
    EXPECT_EQ(delivered, 0);
    EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
    EXPECT_EQ(errno, ECHILD);
    EXPECT_TRUE(no_children());
}

TEST(Errand, LeavesTheProgramsOwnChildrenAlone) {
    const pid_t own = ::fork();
    if (own == 0) ::_exit(42);
    ASSERT_GT(own, 0);
    siginfo_t about;
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(own), &about, WEXITED | WNOWAIT), 0); // it is a zombie
    errand("test", 0, [] {});
    int status = 0;
    ASSERT_EQ(::waitpid(own, &status, 0), own) << "somebody else reaped it";
    EXPECT_EQ(WEXITSTATUS(status), 42);
}

TEST(Errand, WorksWhereChildrenAreReapedBySomebodyElse) {
    for (int flags : {0, SA_NOCLDWAIT}) {
        const Disposition ignored(SIGCHLD, flags == 0 ? SIG_IGN : SIG_DFL, flags);
        int value = 0;
        errand("test", 0, [&] { value = 1; });
        EXPECT_EQ(value, 1);
        EXPECT_THROW(errand("test", 0, [] { throw std::runtime_error("x"); }), std::runtime_error);
    }
    EXPECT_TRUE(no_children());
}

TEST(Errand, SignalsWaitAndReachTheProgramOnly) {
    const Disposition handler(SIGUSR1, count_signal);
    delivered = 0;
    const sigset_t before = own_mask();
    int inside = -1;
    errand("test", 0, [&] {
        ::syscall(SYS_kill, ::getppid(), SIGUSR1);
        ::syscall(SYS_kill, static_cast<pid_t>(::syscall(SYS_getpid)), SIGUSR1);
        inside = delivered;
    });
    EXPECT_EQ(inside, 0) << "a handler ran in the child, on the parent's memory";
    EXPECT_EQ(delivered, 1);
    EXPECT_EQ(delivered_in, ::getpid());
    EXPECT_TRUE(same(own_mask(), before));
    EXPECT_THROW(errand("test", 0, [] { throw std::runtime_error("x"); }), std::runtime_error);
    EXPECT_TRUE(same(own_mask(), before));
}

TEST(Errand, SaysWhenItWasKilled) {
    const sigset_t before = own_mask();
    try {
        errand("run the errand", 0,
               [] { ::syscall(SYS_kill, static_cast<pid_t>(::syscall(SYS_getpid)), SIGKILL); });
        ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.code().value(), ECANCELED);
        EXPECT_EQ(std::string(error.what()).find("run the errand"), 0U) << error.what();
        EXPECT_NE(error.hint().find("killed"), std::string::npos);
    }
    EXPECT_TRUE(same(own_mask(), before));
    EXPECT_TRUE(no_children());
}

TEST(Errand, SaysWhenItCannotBeMade) {
    const sigset_t before = own_mask();
    bool ran = false;
    try {
        // A thread without CLONE_SIGHAND: the kernel refuses that (clone(2), EINVAL).
        errand("run the errand", CLONE_THREAD, [&] { ran = true; });
        ADD_FAILURE() << "nothing was thrown";
    } catch (const Error& error) {
        EXPECT_EQ(error.code().value(), EINVAL);
        EXPECT_STREQ(error.what(), "run the errand: Invalid argument");
    }
    EXPECT_FALSE(ran);
    EXPECT_TRUE(same(own_mask(), before));
}

TEST(Errand, FromManyThreadsAtOnce) {
    constexpr int threads = 16;
    constexpr int rounds = 25;
    const auto before = open_fds();
    std::atomic<int> sum{0};
    std::atomic<int> thrown{0};
    std::mutex lock;
    std::vector<std::string> log;
    {
        std::vector<std::jthread> workers;
        for (int t = 0; t < threads; ++t) {
            workers.emplace_back([&, t] {
                for (int i = 0; i < rounds; ++i) {
                    const std::string tag = std::to_string(t) + "/" + std::to_string(i);
                    try {
                        errand("test", 0, [&] {
                            sum += 1;
                            {
                                const std::lock_guard hold(lock); // shared with the other errands
                                log.push_back(tag);
                            }
                            if (i % 5 == 0) throw std::runtime_error(tag);
                        });
                    } catch (const std::runtime_error& error) {
                        if (error.what() == tag) ++thrown;
                    }
                }
            });
        }
    }
    EXPECT_EQ(sum, threads * rounds);
    EXPECT_EQ(thrown, threads * rounds / 5);
    EXPECT_EQ(log.size(), static_cast<std::size_t>(threads * rounds));
    EXPECT_EQ(open_fds(), before);
    EXPECT_TRUE(no_children());
}

TEST(Errand, FromInsideAnErrand) {
    std::vector<pid_t> pids;
    const auto self = [] { return static_cast<pid_t>(::syscall(SYS_getpid)); };
    errand("test", 0, [&] {
        pids.push_back(self());
        errand("test", 0, [&] { pids.push_back(self()); });
        pids.push_back(self());
    });
    ASSERT_EQ(pids.size(), 3U);
    EXPECT_EQ(pids[0], pids[2]);
    EXPECT_NE(pids[0], pids[1]);
    EXPECT_TRUE(no_children());
}

} // namespace
} // namespace ipcns
