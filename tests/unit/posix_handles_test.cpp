// SPDX-License-Identifier: Apache-2.0
// The handles for POSIX objects against the C library's own functions at the other end: what one sends, posts or
// writes the other one must get, and the other way round. Each test has namespaces and a /dev/shm of its own.
#include "posix_support.hpp"

#include <ipcns/posix.hpp>

#include <mqueue.h>
#include <semaphore.h>
#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>

namespace ipcns {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using test::in_new_namespaces;
using test::number_of;
using test::open_fds;

static_assert(!std::is_copy_constructible_v<PosixQueue> && std::is_nothrow_move_constructible_v<PosixQueue>);
static_assert(!std::is_copy_constructible_v<SharedMemory> && std::is_nothrow_move_assignable_v<SharedMemory>);
static_assert(!std::is_copy_constructible_v<NamedSemaphore> &&
              std::is_nothrow_move_assignable_v<NamedSemaphore>);

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text.data(), text.size()));
}

// Mappings of the objects of a /dev/shm in this process.
std::size_t mappings() {
    const std::string maps = test::read_file("/proc/self/maps");
    std::size_t count = 0;
    for (auto at = maps.find("/dev/shm/"); at != maps.npos; at = maps.find("/dev/shm/", at + 1)) ++count;
    return count;
}

// Sends a signal to this thread again and again until it is destroyed; its handler does nothing but interrupt.
class Nuisance {
public:
    Nuisance() {
        struct sigaction action {};
        action.sa_handler = [](int) { ++caught; };
        ::sigaction(SIGUSR1, &action, nullptr);
        const pthread_t victim = ::pthread_self();
        thread_ = std::thread([this, victim] {
            while (!over_) {
                ::pthread_kill(victim, SIGUSR1);
                ::usleep(1000);
            }
        });
    }
    ~Nuisance() {
        over_ = true;
        thread_.join();
    }
    Nuisance(const Nuisance&) = delete;
    Nuisance& operator=(const Nuisance&) = delete;

    static inline std::atomic<int> caught = 0;

private:
    std::atomic<bool> over_ = false;
    std::thread thread_;
};

// ---- Queues ------------------------------------------------------------------------------------------------------

class PosixQueues : public testing::Test {
protected:
    void SetUp() override {
        if (const char* reason = test::no_queues()) GTEST_SKIP() << reason;
    }

    static void run(const std::function<void()>& body) {
        in_new_namespaces([&] {
            ::alarm(50);
            body();
        });
    }
};

TEST_F(PosixQueues, WhatIsSentIsReceivedByOthers) {
    run([] {
        PosixQueue queue = PosixQueue::create("/q", {}, 4, 16);
        EXPECT_EQ(::fcntl(queue.fd(), F_GETFD), FD_CLOEXEC);
        const mqd_t raw = ::mq_open("/q", O_RDWR | O_CLOEXEC);
        ASSERT_GE(raw, 0);
        queue.send(bytes_of("low"), 1);
        queue.send(bytes_of("high"), 9);
        queue.send(bytes_of(""));
        EXPECT_EQ(queue.attributes().max_messages, 4U);
        EXPECT_EQ(queue.attributes().message_size, 16U);
        EXPECT_EQ(queue.attributes().messages, 3U);
        std::array<char, 16> text{};
        unsigned priority = 0;
        ASSERT_EQ(::mq_receive(raw, text.data(), text.size(), &priority), 4);
        EXPECT_EQ(std::string(text.data(), 4), "high");
        EXPECT_EQ(priority, 9U);

        std::array<std::byte, 16> room{};
        auto received = queue.receive(room);
        EXPECT_EQ(received.size, 3U);
        EXPECT_EQ(received.priority, 1U);
        EXPECT_EQ(std::memcmp(room.data(), "low", 3), 0);
        received = queue.receive(room);
        EXPECT_EQ(received.size, 0U);
        EXPECT_EQ(received.priority, 0U);
        ASSERT_EQ(::mq_send(raw, "raw", 3, 32767), 0);
        received = queue.receive(room);
        EXPECT_EQ(received.size, 3U);
        EXPECT_EQ(received.priority, 32767U);
        EXPECT_EQ(std::memcmp(room.data(), "raw", 3), 0);
        EXPECT_EQ(queue.attributes().messages, 0U);
    });
}

TEST_F(PosixQueues, FullAndEmptyOnesAreNotWaitedForUnlessToldSo) {
    run([] {
        PosixQueue queue = PosixQueue::create("/q", {}, 1, 8);
        std::array<std::byte, 8> room{};
        EXPECT_FALSE(queue.try_receive(room));
        EXPECT_FALSE(queue.receive_for(0s, room));
        EXPECT_FALSE(queue.receive_for(-1h, room));
        EXPECT_FALSE(queue.receive_until(system_clock::now() - 1h, room));
        EXPECT_FALSE(queue.receive_until(system_clock::time_point::min(), room));
        EXPECT_TRUE(queue.try_send(bytes_of("one"), 3));
        EXPECT_FALSE(queue.try_send(bytes_of("two")));
        EXPECT_FALSE(queue.send_for(0s, bytes_of("two")));
        EXPECT_FALSE(queue.send_until(system_clock::now() - 1h, bytes_of("two")));
        const auto received = queue.try_receive(room);
        ASSERT_TRUE(received);
        EXPECT_EQ(received->size, 3U);
        EXPECT_EQ(received->priority, 3U);
        // Even a deadline of long ago takes what is there.
        EXPECT_TRUE(queue.send_until(system_clock::time_point::min(), bytes_of("x")));
        EXPECT_TRUE(queue.receive_until(system_clock::time_point::min(), room));
        EXPECT_TRUE(queue.send_for(system_clock::duration::max(), bytes_of("x")));
        EXPECT_TRUE(queue.receive_for(std::chrono::hours::max(), room));
        EXPECT_TRUE(queue.send_until(system_clock::time_point::max(), bytes_of("x")));
        EXPECT_TRUE(queue.receive_until(system_clock::time_point::max(), room));
        EXPECT_TRUE(queue.send_for(std::chrono::duration<double>(1e300), bytes_of("x")));
        EXPECT_TRUE(queue.receive_for(std::chrono::duration<float>(0.5F), room));
    });
}

TEST_F(PosixQueues, AWaitLastsAsLongAsItWasToldTo) {
    run([] {
        PosixQueue queue = PosixQueue::create("/q", {}, 1, 8);
        std::array<std::byte, 8> room{};
        const auto expect_to_take = [](std::chrono::milliseconds time, const std::function<bool()>& wait) {
            const auto before = steady_clock::now();
            EXPECT_FALSE(wait());
            const auto took = steady_clock::now() - before;
            EXPECT_GE(took, time - 5ms);
            EXPECT_LT(took, time + 10s);
        };
        expect_to_take(60ms, [&] { return queue.receive_for(60ms, room).has_value(); });
        expect_to_take(60ms,
                       [&] { return queue.receive_until(system_clock::now() + 60ms, room).has_value(); });
        queue.send(bytes_of("x"));
        expect_to_take(60ms, [&] { return queue.send_for(0.06s, bytes_of("y")); });
        expect_to_take(60ms, [&] { return queue.send_until(system_clock::now() + 60ms, bytes_of("y")); });
        {
            const Nuisance signals;
            expect_to_take(100ms, [&] { return queue.send_for(100ms, bytes_of("y")); });
            (void)queue.receive(room);
            expect_to_take(100ms, [&] { return queue.receive_for(100ms, room).has_value(); });
        }
        EXPECT_GT(Nuisance::caught, 10);
    });
}

TEST_F(PosixQueues, ASignalDoesNotEndAWait) {
    run([] {
        PosixQueue queue = PosixQueue::create("/q", {}, 1, 8);
        const mqd_t raw = ::mq_open("/q", O_RDWR | O_CLOEXEC);
        const auto later = [](const std::function<void()>& act) {
            return std::thread([act] {
                ::usleep(50000);
                act();
            });
        };
        std::array<std::byte, 8> room{};
        auto sender = later([&] { ::mq_send(raw, "sent", 4, 0); });
        {
            const Nuisance signals;
            EXPECT_EQ(queue.receive(room).size, 4U);
        }
        sender.join();
        queue.send(bytes_of("x"));
        std::array<char, 8> text{};
        auto receiver = later([&] { ::mq_receive(raw, text.data(), text.size(), nullptr); });
        {
            const Nuisance signals;
            queue.send(bytes_of("second"));
        }
        receiver.join();
        EXPECT_EQ(text[0], 'x');
        EXPECT_EQ(queue.receive(room).size, 6U);
        EXPECT_GT(Nuisance::caught, 10);
    });
}

TEST_F(PosixQueues, WhatIsWrongIsSaid) {
    run([] {
        EXPECT_EQ(number_of([] { (void)PosixQueue::open("/nowhere"); }), ENOENT);
        ASSERT_TRUE(make_posix_queue("/q"));
        for (const auto& name : {std::string("nowhere"), std::string(), std::string("/"), std::string("/a/b"),
                                 std::string("/."), std::string("/.."), "/" + std::string(256, 'x'),
                                 std::string("/q\0", 3), std::string("/q\0x", 4)})
            EXPECT_THROW((void)PosixQueue::open(name), UsageError) << name;
        ASSERT_EQ(::mq_unlink("/q"), 0);
        PosixQueue queue = PosixQueue::create("/q", {}, 1, 8);
        std::array<std::byte, 8> room{};
        EXPECT_EQ(number_of([&] { queue.send(bytes_of("123456789")); }), EMSGSIZE);
        EXPECT_EQ(number_of([&] { (void)queue.try_send(bytes_of("123456789")); }), EMSGSIZE);
        EXPECT_EQ(number_of([&] { queue.send(bytes_of("x"), 32768); }), EINVAL);
        EXPECT_EQ(number_of([&] { queue.receive(std::span(room).first(7)); }), EMSGSIZE);
        EXPECT_EQ(number_of([&] { (void)queue.try_receive(std::span(room).first(7)); }), EMSGSIZE);
        PosixQueue reader = PosixQueue::open("/q", PosixQueue::Access::receive);
        EXPECT_EQ(number_of([&] { reader.send(bytes_of("x")); }), EBADF);
        PosixQueue writer = PosixQueue::open("/q", PosixQueue::Access::send);
        EXPECT_EQ(number_of([&] { writer.receive(room); }), EBADF);
        writer.send(bytes_of("x"));
        EXPECT_EQ(reader.receive(room).size, 1U);
        const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        PosixQueue none{Fd(null)};
        EXPECT_EQ(number_of([&] { none.send(bytes_of("x")); }), EBADF);
        EXPECT_EQ(number_of([&] { (void)none.attributes(); }), EBADF);
    });
}

TEST_F(PosixQueues, CreateUsesOneThatExists) {
    run([] {
        const auto before = open_fds();
        {
            PosixQueue first = PosixQueue::create("/q", {}, 2, 8);
            PosixQueue second = PosixQueue::create("/q");
            first.send(bytes_of("x"));
            EXPECT_EQ(second.attributes().messages, 1U);
            EXPECT_EQ(number_of([] { (void)PosixQueue::create("/q", {.exclusive = true}); }), EEXIST);
            // Whoever made it may use it, whatever its permissions.
            PosixQueue closed = PosixQueue::create("/closed", {.mode = 0}, 1, 1);
            closed.send(bytes_of("x"));
        }
        EXPECT_EQ(open_fds(), before);
        ASSERT_EQ(::mq_unlink("/q"), 0);
    });
}

TEST_F(PosixQueues, OneOfAnotherNamespaceByItsFolder) {
    run([] {
        (void)PosixQueue::create("/q", {}, 2, 8);
        const Fd folder = mount_queues();
        const Fd alive(::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC));
        const Fd outer(alive.duplicate());
        ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
        EXPECT_EQ(number_of([] { (void)PosixQueue::open("/q"); }), ENOENT);
        PosixQueue queue = PosixQueue::open(folder.get(), "/q");
        queue.send(bytes_of("x"));
        EXPECT_EQ(number_of([&] { (void)PosixQueue::open(folder.get(), "/nowhere"); }), ENOENT);
        const Fd root = test::folder_at("/");
        EXPECT_EQ(number_of([&] { (void)PosixQueue::open(root.get(), "/etc"); }), EINVAL);
        ASSERT_EQ(::setns(outer.get(), CLONE_NEWIPC), 0);
        const mqd_t raw = ::mq_open("/q", O_RDONLY | O_CLOEXEC);
        struct mq_attr about {};
        ASSERT_EQ(::mq_getattr(raw, &about), 0);
        EXPECT_EQ(about.mq_curmsgs, 1);
    });
}

TEST_F(PosixQueues, NotificationBySignal) {
    run([] {
        PosixQueue queue = PosixQueue::create("/q", {}, 2, 8);
        sigset_t set;
        ::sigemptyset(&set);
        ::sigaddset(&set, SIGUSR2);
        ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
        queue.notify_by_signal(SIGUSR2);
        EXPECT_EQ(number_of([&] { queue.notify_by_signal(SIGUSR2); }), EBUSY);
        queue.stop_notifying();
        queue.notify_by_signal(SIGUSR2);
        queue.send(bytes_of("x"));
        const struct timespec wait { 10, 0 };
        EXPECT_EQ(::sigtimedwait(&set, nullptr, &wait), SIGUSR2);
        queue.stop_notifying(); // none is registered any more, which is no error
    });
}

TEST_F(PosixQueues, MovedFromAndDestroyed) {
    run([] {
        const auto before = open_fds();
        {
            PosixQueue first = PosixQueue::create("/q", {}, 2, 8);
            PosixQueue second = std::move(first);
            second.send(bytes_of("x"));
            first = std::move(second);
            first.send(bytes_of("x"));
            EXPECT_EQ(open_fds().size(), before.size() + 1);
        }
        EXPECT_EQ(open_fds(), before);
    });
}

// ---- Shared memory -----------------------------------------------------------------------------------------------

class SharedMemories : public testing::Test {
protected:
    void SetUp() override { NeedNamespaces(); }

    static void run(const std::function<void(int folder)>& body) {
        in_new_namespaces([&] {
            ::alarm(50);
            test::mount_own_dev();
            const Fd folder = test::folder_at("/dev/shm");
            body(folder.get());
        });
    }
};

TEST_F(SharedMemories, WhatIsWrittenIsSeenByOthers) {
    run([](int) {
        SharedMemory memory = SharedMemory::create("/m", 10000);
        ASSERT_EQ(memory.bytes().size(), 10000U);
        std::memcpy(memory.bytes().data() + 5000, "hello", 5);
        EXPECT_EQ(test::read_file("/dev/shm/m").substr(5000, 5), "hello");
        const Fd raw(::shm_open("/m", O_RDWR, 0));
        ASSERT_EQ(::pwrite(raw.get(), "other", 5, 9995), 5);
        EXPECT_EQ(std::memcmp(memory.bytes().last(5).data(), "other", 5), 0);
        const SharedMemory reader = SharedMemory::open("/m", SharedMemory::Access::read);
        EXPECT_EQ(reader.bytes().size(), 10000U);
        EXPECT_EQ(std::memcmp(reader.bytes().last(5).data(), "other", 5), 0);
    });
}

TEST_F(SharedMemories, ReadOnlyIsReadOnly) {
    run([](int) {
        const SharedMemory memory = SharedMemory::create("/m", 100);
        const SharedMemory reader = SharedMemory::open("/m", SharedMemory::Access::read);
        const auto pid = ::fork();
        if (pid == 0) {
            ::signal(SIGSEGV, [](int) { ::_exit(7); });
            *static_cast<volatile std::byte*>(reader.bytes().data()) = std::byte{1};
            ::_exit(0);
        }
        int status = 0;
        ASSERT_EQ(::waitpid(pid, &status, 0), pid);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
        ASSERT_EQ(::chmod("/dev/shm/m", 0400), 0);
        test::drop_capabilities();
        EXPECT_EQ(number_of([] { (void)SharedMemory::open("/m"); }), EACCES);
        EXPECT_EQ(SharedMemory::open("/m", SharedMemory::Access::read).bytes().size(), 100U);
    });
}

TEST_F(SharedMemories, MappingsAreGivenBack) {
    run([](int) {
        const auto before = open_fds();
        {
            SharedMemory first = SharedMemory::create("/m", 100);
            SharedMemory second = std::move(first);
            EXPECT_EQ(mappings(), 1U);
            EXPECT_TRUE(first.bytes().empty());
            second.bytes()[0] = std::byte{'x'};
            SharedMemory third = SharedMemory::open("/m");
            EXPECT_EQ(mappings(), 2U);
            third = std::move(second);
            EXPECT_EQ(third.bytes()[0], std::byte{'x'});
            EXPECT_EQ(open_fds(), before) << "a mapping needs no descriptor";
        }
        EXPECT_EQ(mappings(), 0U);
        EXPECT_EQ(open_fds(), before);
    });
}

TEST_F(SharedMemories, AnEmptyOne) {
    run([](int) {
        const SharedMemory memory = SharedMemory::create("/m", 0);
        EXPECT_TRUE(memory.bytes().empty());
        EXPECT_TRUE(SharedMemory::open("/m", SharedMemory::Access::read).bytes().empty());
    });
}

TEST_F(SharedMemories, CreateUsesOneThatExists) {
    run([](int) {
        const SharedMemory first = SharedMemory::create("/m", 10000);
        EXPECT_EQ(SharedMemory::create("/m", 100).bytes().size(), 10000U);
        EXPECT_EQ(number_of([] { (void)SharedMemory::create("/m", 10001); }), EEXIST);
        EXPECT_EQ(number_of([] { (void)SharedMemory::create("/m", 1, {.exclusive = true}); }), EEXIST);
        const SharedMemory filled = SharedMemory::create("/full", 1 << 20, {.mode = 0640}, true);
        struct stat about {};
        ASSERT_EQ(::stat("/dev/shm/full", &about), 0);
        EXPECT_EQ(about.st_blocks * 512, 1 << 20);
        EXPECT_EQ(about.st_mode, S_IFREG | 0640U);
    });
}

TEST_F(SharedMemories, InAnotherFolder) {
    run([](int) {
        const test::TempFolder other;
        ASSERT_EQ(::mount("tmpfs", other.path().c_str(), "tmpfs", 0, ""), 0);
        const Fd folder = test::folder_at(other.path());
        SharedMemory memory = SharedMemory::create(folder.get(), "/m", 100);
        memory.bytes()[3] = std::byte{'x'};
        EXPECT_EQ(test::read_file(other / "m")[3], 'x');
        EXPECT_EQ(SharedMemory::open(folder.get(), "/m").bytes()[3], std::byte{'x'});
        EXPECT_EQ(number_of([] { (void)SharedMemory::open("/m"); }), ENOENT);
        NamedSemaphore semaphore = NamedSemaphore::create(folder.get(), "/s", 2);
        EXPECT_EQ(NamedSemaphore::open(folder.get(), "/s").value(), 2U);
        EXPECT_EQ(number_of([] { (void)NamedSemaphore::open("/s"); }), ENOENT);
        EXPECT_EQ(::umount2(other.path().c_str(), MNT_DETACH), 0);
    });
}

TEST_F(SharedMemories, WhatIsNoObjectIsNotMapped) {
    run([](int folder) {
        EXPECT_EQ(number_of([] { (void)SharedMemory::open("/nowhere"); }), ENOENT);
        EXPECT_THROW((void)SharedMemory::open("nowhere"), UsageError);
        ASSERT_EQ(::mkfifo("/dev/shm/fifo", 0600), 0);
        ASSERT_EQ(::mkdirat(folder, "folder", 0700), 0);
        ASSERT_EQ(::symlinkat("/etc/passwd", folder, "link"), 0);
        for (const auto access : {SharedMemory::Access::read, SharedMemory::Access::write}) {
            EXPECT_EQ(number_of([&] { (void)SharedMemory::open("/fifo", access); }), EINVAL);
            EXPECT_EQ(number_of([&] { (void)SharedMemory::open("/link", access); }), ELOOP);
            EXPECT_NE(number_of([&] { (void)SharedMemory::open("/folder", access); }), 0);
        }
    });
}

// ---- Named semaphores --------------------------------------------------------------------------------------------

class NamedSemaphores : public SharedMemories {};

int value_of(sem_t* semaphore) {
    int value = -1;
    if (::sem_getvalue(semaphore, &value) != 0) test::broken("sem_getvalue");
    return value;
}

TEST_F(NamedSemaphores, WhatIsPostedIsTakenByOthers) {
    run([](int) {
        NamedSemaphore semaphore = NamedSemaphore::create("/s", 2, {.mode = 0640});
        struct stat about {};
        ASSERT_EQ(::stat("/dev/shm/sem.s", &about), 0);
        EXPECT_EQ(about.st_mode, S_IFREG | 0640U);
        sem_t* const raw = ::sem_open("/s", 0);
        ASSERT_NE(raw, SEM_FAILED);
        EXPECT_EQ(semaphore.value(), 2U);
        semaphore.wait();
        EXPECT_EQ(value_of(raw), 1);
        EXPECT_TRUE(semaphore.try_wait());
        EXPECT_EQ(value_of(raw), 0);
        EXPECT_FALSE(semaphore.try_wait());
        semaphore.post();
        EXPECT_EQ(value_of(raw), 1);
        ASSERT_EQ(::sem_wait(raw), 0);
        EXPECT_EQ(semaphore.value(), 0U);
        ASSERT_EQ(::sem_post(raw), 0);
        EXPECT_TRUE(semaphore.wait_for(0s));
        ASSERT_EQ(::sem_post(raw), 0);
        EXPECT_TRUE(semaphore.wait_until(steady_clock::now() - 1h));
        ASSERT_EQ(::sem_post(raw), 0);
        EXPECT_TRUE(semaphore.wait_until(system_clock::time_point::min()));
        ASSERT_EQ(::sem_post(raw), 0);
        EXPECT_TRUE(semaphore.wait_for(std::chrono::hours::max()));
        ::sem_close(raw);
    });
}

TEST_F(NamedSemaphores, AWaitLastsAsLongAsItWasToldTo) {
    run([](int) {
        NamedSemaphore semaphore = NamedSemaphore::create("/s");
        const Nuisance signals;
        for (const auto& wait : std::vector<std::function<bool()>>{
                 [&] { return semaphore.wait_for(60ms); }, [&] { return semaphore.wait_for(0.06s); },
                 [&] { return semaphore.wait_until(steady_clock::now() + 60ms); },
                 [&] { return semaphore.wait_until(system_clock::now() + 60ms); }}) {
            const auto before = steady_clock::now();
            EXPECT_FALSE(wait());
            EXPECT_GE(steady_clock::now() - before, 55ms);
            EXPECT_LT(steady_clock::now() - before, 10s);
        }
        EXPECT_FALSE(semaphore.wait_for(0s));
        EXPECT_FALSE(semaphore.wait_for(-1s));
        EXPECT_GT(Nuisance::caught, 10);
    });
}

TEST_F(NamedSemaphores, ASignalDoesNotEndAWait) {
    run([](int) {
        NamedSemaphore semaphore = NamedSemaphore::create("/s");
        std::thread poster([] {
            ::usleep(50000);
            sem_t* const raw = ::sem_open("/s", 0);
            ::sem_post(raw);
        });
        {
            const Nuisance signals;
            semaphore.wait();
        }
        poster.join();
        EXPECT_GT(Nuisance::caught, 10);
        EXPECT_EQ(semaphore.value(), 0U);
    });
}

TEST_F(NamedSemaphores, BetweenProcesses) {
    run([](int) {
        NamedSemaphore ping = NamedSemaphore::create("/ping");
        NamedSemaphore pong = NamedSemaphore::create("/pong");
        constexpr int rounds = 1000;
        const pid_t child = ::fork();
        if (child == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            sem_t* const theirs = ::sem_open("/ping", 0);
            sem_t* const back = ::sem_open("/pong", 0);
            for (int i = 0; i < rounds; ++i)
                if (::sem_wait(theirs) != 0 || ::sem_post(back) != 0) ::_exit(1);
            ::_exit(0);
        }
        for (int i = 0; i < rounds; ++i) {
            ping.post();
            pong.wait();
        }
        int status = -1;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
        EXPECT_EQ(pong.value(), 0U);
    });
}

TEST_F(NamedSemaphores, WhatIsWrongIsSaid) {
    run([](int folder) {
        EXPECT_EQ(number_of([] { (void)NamedSemaphore::open("/nowhere"); }), ENOENT);
        EXPECT_THROW((void)NamedSemaphore::open("nowhere"), UsageError);
        ASSERT_EQ(test::write_file("/dev/shm/sem.short", "x"), 0);
        EXPECT_EQ(number_of([] { (void)NamedSemaphore::open("/short"); }), EINVAL)
            << "using it would be a SIGBUS";
        ASSERT_EQ(::mkfifo("/dev/shm/sem.fifo", 0600), 0);
        EXPECT_EQ(number_of([] { (void)NamedSemaphore::open("/fifo"); }), EINVAL);
        ASSERT_EQ(::symlinkat("sem.short", folder, "sem.link"), 0);
        EXPECT_EQ(number_of([] { (void)NamedSemaphore::open("/link"); }), ELOOP);
        NamedSemaphore full = NamedSemaphore::create("/full", SEM_VALUE_MAX);
        EXPECT_EQ(number_of([&] { full.post(); }), EOVERFLOW);
        EXPECT_EQ(number_of([] { (void)NamedSemaphore::create("/full", 1, {.exclusive = true}); }), EEXIST);
        EXPECT_EQ(NamedSemaphore::create("/full", 1).value(), static_cast<unsigned>(SEM_VALUE_MAX));
    });
}

TEST_F(NamedSemaphores, MappingsAreGivenBack) {
    run([](int) {
        const auto before = open_fds();
        {
            NamedSemaphore first = NamedSemaphore::create("/s", 1);
            NamedSemaphore second = std::move(first);
            EXPECT_EQ(mappings(), 1U);
            second.wait();
            first = std::move(second);
            first.post();
            EXPECT_EQ(value_of(first.native()), 1);
            EXPECT_EQ(open_fds(), before) << "a mapping needs no descriptor";
        }
        EXPECT_EQ(mappings(), 0U);
        EXPECT_EQ(open_fds(), before);
    });
}

} // namespace
} // namespace ipcns
