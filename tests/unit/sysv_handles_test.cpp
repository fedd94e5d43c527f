// SPDX-License-Identifier: Apache-2.0
// System V objects in use by the handles: each side of every exchange is plain msgsnd(2), msgrcv(2), semop(2), semctl(2)
// or shmat(2). Each test has namespaces of its own, in a child process.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/sysv.hpp>

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <csignal>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

namespace ipcns {
namespace {

using test::in_fork;
using test::in_new_namespaces;

const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

constexpr std::size_t most_raw = 1 << 17;

struct RawMessage {
    long type = 0;
    char text[most_raw] = {};
};

void raw_send(QueueId id, long type, std::string_view text) {
    static RawMessage message;
    message.type = type;
    text.copy(message.text, text.size());
    if (::msgsnd(static_cast<int>(id), &message, text.size(), IPC_NOWAIT) != 0) test::broken("msgsnd");
}

// The oldest message as "TYPE TEXT".
std::string raw_receive(QueueId id) {
    static RawMessage message;
    const ssize_t length = ::msgrcv(static_cast<int>(id), &message, most_raw, 0, IPC_NOWAIT);
    if (length < 0) return std::strerror(errno);
    return std::to_string(message.type) + " " + std::string(message.text, static_cast<std::size_t>(length));
}

std::size_t raw_messages(QueueId id) {
    struct msqid_ds about {};
    if (::msgctl(static_cast<int>(id), IPC_STAT, &about) != 0) test::broken("msgctl");
    return about.msg_qnum;
}

bool queue_is_there(QueueId id) {
    struct msqid_ds about {};
    return ::msgctl(static_cast<int>(id), IPC_STAT, &about) == 0;
}

int raw_value(SemaphoreSetId id, int number) { return ::semctl(static_cast<int>(id), number, GETVAL); }

std::size_t raw_attached(SegmentId id) {
    struct shmid_ds about {};
    if (::shmctl(static_cast<int>(id), IPC_STAT, &about) != 0) test::broken("shmctl");
    return about.shm_nattch;
}

bool segment_is_there(SegmentId id) {
    struct shmid_ds about {};
    return ::shmctl(static_cast<int>(id), IPC_STAT, &about) == 0;
}

template <class Function>
int error_of(Function function) {
    try {
        function();
    } catch (const Error& error) {
        return error.code().value();
    }
    return 0;
}

void become_nobody() {
    if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0)
        test::broken("setresuid");
}

std::atomic<int> signals = 0;

// Sends this thread a signal every few milliseconds, whose handler makes blocked system calls return EINTR, for as
// long as the object lives.
class Disturbance {
public:
    Disturbance() {
        struct sigaction action {};
        action.sa_handler = [](int) { ++signals; };
        ::sigaction(SIGUSR1, &action, nullptr); // without SA_RESTART
        const pthread_t target = ::pthread_self();
        thread_ = std::thread([this, target] {
            while (!stop_) {
                ::pthread_kill(target, SIGUSR1);
                std::this_thread::sleep_for(5ms);
            }
        });
    }
    ~Disturbance() {
        stop_ = true;
        thread_.join();
    }
    Disturbance(const Disturbance&) = delete;
    Disturbance& operator=(const Disturbance&) = delete;

private:
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

class SysvHandles : public testing::Test {
protected:
    void SetUp() override { NeedNamespaces(); }
};

// ---- Message queues ----

TEST_F(SysvHandles, SendsBytes) {
    in_new_namespaces([] {
        const auto queue = MessageQueue::create(Key{0x11});
        EXPECT_EQ(static_cast<int>(queue.id()), ::msgget(0x11, 0));
        queue.send(7, bytes_of("hello"));
        queue.send(LONG_MAX, {});
        EXPECT_EQ(raw_receive(queue.id()), "7 hello");
        EXPECT_EQ(raw_receive(queue.id()), std::to_string(LONG_MAX) + " ");
        EXPECT_TRUE(queue.try_send(3, bytes_of("now")));
        EXPECT_EQ(raw_receive(queue.id()), "3 now");

        QueueMessage<16> message(5, bytes_of("in place"));
        queue.send(message);
        message.set_type(6);
        message.resize(2);
        EXPECT_TRUE(queue.try_send(message));
        EXPECT_EQ(raw_receive(queue.id()), "5 in place");
        EXPECT_EQ(raw_receive(queue.id()), "6 in");
        EXPECT_THROW(message.resize(17), UsageError);
        EXPECT_THROW(message.assign(bytes_of("seventeen letters")), UsageError);
        EXPECT_EQ(message.size(), 2U);
        EXPECT_EQ(message.capacity(), 16U);
        EXPECT_THROW(QueueMessage<2>(1, bytes_of("abc")), UsageError);

        EXPECT_EQ(error_of([&] { queue.send(0, bytes_of("no type")); }), EINVAL);
        EXPECT_EQ(error_of([&] { queue.send(-1, bytes_of("no type")); }), EINVAL);
        EXPECT_EQ(raw_messages(queue.id()), 0U);
    });
}

TEST_F(SysvHandles, ReceivesBytes) {
    in_new_namespaces([] {
        const MessageQueue queue(make_queue(Key::none));
        raw_send(queue.id(), 1, "one");
        raw_send(queue.id(), 2, "two");
        raw_send(queue.id(), 3, "");
        raw_send(queue.id(), 2, "another");
        raw_send(queue.id(), 9, "nine");
        std::array<std::byte, 16> room{};
        room.fill(std::byte{0xee});
        EXPECT_EQ(queue.receive(room, 2), (Received{2, 3}));
        EXPECT_EQ(text_of(std::span(room).first(3)), "two");
        EXPECT_EQ(room[3], std::byte{0xee}) << "wrote beyond the message";
        EXPECT_EQ(queue.receive(room), (Received{1, 3}));
        EXPECT_EQ(text_of(std::span(room).first(3)), "one");
        QueueMessage<16> message;
        EXPECT_TRUE(queue.try_receive(message, -3));
        EXPECT_EQ(message.type(), 2);
        EXPECT_EQ(text_of(message.bytes()), "another");
        queue.receive(message);
        EXPECT_EQ(message.type(), 3);
        EXPECT_EQ(message.size(), 0U);
        EXPECT_FALSE(queue.try_receive(message, 8));
        EXPECT_EQ(queue.try_receive(room, 8), std::nullopt);
        EXPECT_EQ(queue.try_receive(room, 9), (Received{9, 4}));
        EXPECT_EQ(text_of(std::span(room).first(4)), "nine");
        EXPECT_EQ(raw_messages(queue.id()), 0U);
    });
}

TEST_F(SysvHandles, MessagesThatAreTooLong) {
    in_new_namespaces([] {
        const MessageQueue queue(make_queue(Key::none));
        raw_send(queue.id(), 1, "long text");
        std::array<std::byte, 6> room{};
        QueueMessage<4> message;
        EXPECT_EQ(error_of([&] { queue.receive(room); }), E2BIG);
        EXPECT_EQ(error_of([&] { queue.receive(message); }), E2BIG);
        EXPECT_EQ(error_of([&] { (void)queue.try_receive(room); }), E2BIG);
        EXPECT_EQ(raw_messages(queue.id()), 1U) << "it was taken all the same";
        EXPECT_EQ(queue.receive(std::span(room).first(4), 0, TooLong::truncate), (Received{1, 4}));
        EXPECT_EQ(text_of(room), std::string("long\0\0", 6));
        raw_send(queue.id(), 2, "another text");
        queue.receive(message, 0, TooLong::truncate);
        EXPECT_EQ(text_of(message.bytes()), "anot");
        EXPECT_EQ(raw_messages(queue.id()), 0U);
        const std::string too_long(most_raw, 'x');
        EXPECT_EQ(error_of([&] { queue.send(1, bytes_of(too_long)); }), EINVAL);
    });
}

TEST_F(SysvHandles, LongMessages) {
    NeedRoot();
    in_new_namespaces([] {
        for (const auto* path : {"/proc/sys/kernel/msgmax", "/proc/sys/kernel/msgmnb"})
            ASSERT_EQ(test::write_file(path, std::to_string(most_raw)), 0);
        const MessageQueue queue(make_queue(Key::none));
        std::vector<std::byte> room(most_raw);
        for (const std::size_t size :
             {std::size_t{256}, std::size_t{257}, MessageQueue::on_stack - 1, MessageQueue::on_stack,
              MessageQueue::on_stack + 1, std::size_t{50001}, most_raw}) {
            std::string text(size, 'x');
            for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 % 251);
            queue.send(42, bytes_of(text));
            EXPECT_TRUE(raw_receive(queue.id()) == "42 " + text) << size;
            raw_send(queue.id(), 43, text);
            EXPECT_EQ(queue.receive(std::span(room).first(size)), (Received{43, size}));
            EXPECT_TRUE(text_of(std::span(room).first(size)) == text) << size;
            raw_send(queue.id(), 44, text);
            EXPECT_EQ(queue.receive(room), (Received{44, size}));
            EXPECT_TRUE(text_of(std::span(room).first(size)) == text) << size;
        }
        EXPECT_EQ(queue.try_receive(room), std::nullopt);
        raw_send(queue.id(), 1, std::string(60000, 'y'));
        EXPECT_EQ(error_of([&] { queue.receive(std::span(room).first(50000)); }), E2BIG);
        EXPECT_EQ(queue.receive(std::span(room).first(50000), 0, TooLong::truncate), (Received{1, 50000}));
    });
}

TEST_F(SysvHandles, AFullQueue) {
    in_new_namespaces([] {
        const auto queue = MessageQueue::create(Key::none, {}, 10);
        EXPECT_TRUE(queue.try_send(1, bytes_of("12345678")));
        EXPECT_FALSE(queue.try_send(1, bytes_of("abc")));
        EXPECT_FALSE(queue.try_send(QueueMessage<8>(1, bytes_of("abc"))));
        EXPECT_EQ(raw_messages(queue.id()), 1U);
        // It waits until there is room, whatever signals come.
        std::thread reader([&] {
            std::this_thread::sleep_for(50ms);
            EXPECT_EQ(raw_receive(queue.id()), "1 12345678");
        });
        {
            const Disturbance disturbance;
            signals = 0;
            queue.send(2, bytes_of("abc"));
            EXPECT_GT(signals, 1);
        }
        reader.join();
        EXPECT_EQ(raw_receive(queue.id()), "2 abc");
    });
}

TEST_F(SysvHandles, AnEmptyQueue) {
    in_new_namespaces([] {
        const MessageQueue queue(make_queue(Key::none));
        std::array<std::byte, 16> room{};
        EXPECT_EQ(queue.try_receive(room), std::nullopt);
        std::thread writer([&] {
            std::this_thread::sleep_for(50ms);
            raw_send(queue.id(), 1, "wrong");
            std::this_thread::sleep_for(20ms);
            raw_send(queue.id(), 2, "right");
        });
        {
            const Disturbance disturbance;
            signals = 0;
            EXPECT_EQ(queue.receive(room, 2), (Received{2, 5}));
            EXPECT_GT(signals, 1);
        }
        writer.join();
        EXPECT_EQ(text_of(std::span(room).first(5)), "right");
        EXPECT_EQ(raw_messages(queue.id()), 1U);
    });
}

TEST_F(SysvHandles, PeeksAtMessages) {
    in_new_namespaces([] {
        const MessageQueue queue(make_queue(Key::none));
        raw_send(queue.id(), 1, "first");
        raw_send(queue.id(), 2, "second");
        std::array<std::byte, 16> room{};
        std::optional<Received> seen;
        const int number = error_of([&] { seen = queue.peek(room, 1); });
        if (number == ENOSYS) return; // a kernel without checkpointing
        ASSERT_EQ(number, 0);
        EXPECT_EQ(seen, (Received{2, 6}));
        EXPECT_EQ(text_of(std::span(room).first(6)), "second");
        QueueMessage<16> message;
        EXPECT_TRUE(queue.peek(message, 0));
        EXPECT_EQ(text_of(message.bytes()), "first");
        EXPECT_EQ(queue.peek(room, 2), std::nullopt);
        EXPECT_FALSE(queue.peek(message, 2));
        EXPECT_EQ(raw_messages(queue.id()), 2U);
    });
}

TEST_F(SysvHandles, AQueueThatIsRemovedUnderAReceiver) {
    in_new_namespaces([] {
        const MessageQueue queue(make_queue(Key::none));
        std::thread remover([&] {
            std::this_thread::sleep_for(30ms);
            ::msgctl(static_cast<int>(queue.id()), IPC_RMID, nullptr);
        });
        QueueMessage<8> message;
        EXPECT_EQ(error_of([&] { queue.receive(message); }), EIDRM);
        remover.join();
        EXPECT_EQ(error_of([&] { queue.receive(message); }), EINVAL);
        EXPECT_EQ(error_of([&] { (void)queue.try_send(message); }), EINVAL);
    });
}

TEST_F(SysvHandles, OpensByKey) {
    in_new_namespaces([] {
        const int queue = ::msgget(static_cast<key_t>(0x80000001U), IPC_CREAT | 0600);
        const int set = ::semget(0x11, 2, IPC_CREAT | 0600);
        EXPECT_EQ(MessageQueue::open(Key{0x80000001U}).id(), QueueId{queue});
        EXPECT_EQ(SemaphoreSet::open(Key{0x11}).id(), SemaphoreSetId{set});
        EXPECT_EQ(error_of([] { (void)MessageQueue::open(Key{0x11}); }), ENOENT);
        EXPECT_EQ(error_of([] { (void)SemaphoreSet::open(Key{0x12}); }), ENOENT);
        EXPECT_EQ(error_of([] { (void)Segment::attach(Key{0x12}); }), ENOENT);
        EXPECT_EQ(error_of([] { (void)MessageQueue::open(Key::none); }), ENOENT);
        EXPECT_EQ(error_of([] { (void)SemaphoreSet::open(Key::none); }), ENOENT);
        EXPECT_EQ(error_of([] { (void)Segment::attach(Key::none); }), ENOENT);
        EXPECT_TRUE(queue_is_there(QueueId{queue})) << "a handle removed what it does not own";
    });
}

TEST_F(SysvHandles, ATemporaryQueueEndsWithItsHandle) {
    in_new_namespaces([] {
        QueueId first{};
        QueueId second{};
        QueueId kept{};
        {
            auto queue = MessageQueue::temporary();
            first = queue.id();
            EXPECT_TRUE(queue_is_there(first));
            auto moved = std::move(queue);
            EXPECT_EQ(queue.id(), QueueId{-1}); // NOLINT(bugprone-use-after-move): what is promised of it
            EXPECT_EQ(moved.id(), first);
            auto other = MessageQueue::temporary({.mode = 0644}, 100);
            second = other.id();
            EXPECT_EQ(find_queue(second)->limit, 100U);
            EXPECT_EQ(find_queue(second)->who.mode, 0644U);
            moved = std::move(other);
            EXPECT_FALSE(queue_is_there(first)) << "it was not removed by the assignment";
            EXPECT_TRUE(queue_is_there(second));
            auto third = MessageQueue::temporary();
            kept = third.id();
            third.keep();
        }
        EXPECT_FALSE(queue_is_there(second));
        EXPECT_TRUE(queue_is_there(kept));
        const MessageQueue plain(kept);
    });
}

TEST_F(SysvHandles, WhatTheQueueDoesNotPermit) {
    NeedRoot();
    in_new_namespaces([] {
        const MessageQueue queue(make_queue(Key::none, {.mode = 0600}));
        become_nobody();
        QueueMessage<8> message(1, bytes_of("x"));
        EXPECT_EQ(error_of([&] { queue.send(message); }), EACCES);
        EXPECT_EQ(error_of([&] { queue.receive(message); }), EACCES);
    });
}

// ---- Semaphores ----

TEST_F(SysvHandles, WaitsAndPosts) {
    in_new_namespaces([] {
        const auto set = SemaphoreSet::create(Key{0x11}, 3);
        set.post(1);
        EXPECT_EQ(raw_value(set.id(), 1), 1);
        set.post(1, 10);
        EXPECT_EQ(raw_value(set.id(), 1), 11);
        set.wait(1);
        EXPECT_EQ(raw_value(set.id(), 1), 10);
        set.wait(1, 4);
        EXPECT_EQ(raw_value(set.id(), 1), 6);
        EXPECT_EQ(raw_value(set.id(), 0), 0);
        EXPECT_EQ(raw_value(set.id(), 2), 0);
        EXPECT_EQ(set.value(1), 6);
        EXPECT_FALSE(set.try_wait(1, 7));
        EXPECT_TRUE(set.try_wait(1, 6));
        EXPECT_FALSE(set.try_wait(1));
        EXPECT_EQ(raw_value(set.id(), 1), 0);
        set.wait_zero(1);
        EXPECT_TRUE(set.try_wait_zero(1));
        set.post(1);
        EXPECT_FALSE(set.try_wait_zero(1));
        set.post(2, 32767);
        EXPECT_EQ(error_of([&] { set.post(2); }), ERANGE);
        set.wait(2, 32767);
        EXPECT_EQ(raw_value(set.id(), 2), 0);
    });
}

TEST_F(SysvHandles, ASemaphoreThatIsPostedLater) {
    in_new_namespaces([] {
        const auto set = SemaphoreSet::temporary(2);
        const auto later = [&](short change) {
            return std::thread([&set, change] {
                std::this_thread::sleep_for(50ms);
                struct sembuf operation {
                    0, change, 0
                };
                ::semop(static_cast<int>(set.id()), &operation, 1);
            });
        };
        {
            const Disturbance disturbance;
            signals = 0;
            auto thread = later(1);
            set.wait(0);
            EXPECT_GT(signals, 1);
            thread.join();
            EXPECT_EQ(raw_value(set.id(), 0), 0);

            thread = later(1);
            EXPECT_TRUE(set.wait_for(0, 20s));
            thread.join();
            thread = later(1);
            EXPECT_TRUE(set.wait_for(0, std::chrono::nanoseconds::max())); // longer than any clock
            thread.join();
            EXPECT_EQ(raw_value(set.id(), 0), 0);

            ASSERT_EQ(::semctl(static_cast<int>(set.id()), 0, SETVAL, 1), 0);
            thread = later(-1);
            EXPECT_TRUE(set.wait_zero_for(0, 20s));
            thread.join();
        }
    });
}

TEST_F(SysvHandles, ATimeIsOver) {
    in_new_namespaces([] {
        const auto set = SemaphoreSet::temporary(1);
        const auto took = [](auto function) {
            const auto start = std::chrono::steady_clock::now();
            function();
            return std::chrono::steady_clock::now() - start;
        };
        auto time = took([&] { EXPECT_FALSE(set.wait_for(0, 60ms)); });
        EXPECT_GE(time, 60ms);
        EXPECT_LT(time, 5s);
        {
            const Disturbance
                disturbance; // each signal ends a system call; neither the start nor the end moves
            signals = 0;
            time = took([&] { EXPECT_FALSE(set.wait_for(0, 60ms, 3)); });
            EXPECT_GT(signals, 1);
        }
        EXPECT_GE(time, 60ms);
        EXPECT_LT(time, 5s);
        EXPECT_FALSE(set.wait_for(0, 0ms));
        EXPECT_FALSE(set.wait_for(0, -1h));
        set.post(0);
        EXPECT_TRUE(set.wait_for(0, -1h)); // no wait is needed
        set.post(0);
        EXPECT_GE(took([&] { EXPECT_FALSE(set.wait_zero_for(0, 20ms)); }), 20ms);
        EXPECT_EQ(raw_value(set.id(), 0), 1);
    });
}

TEST_F(SysvHandles, WhatAProcessLeavesUndone) {
    in_new_namespaces([] {
        const std::array<unsigned short, 3> values{5, 5, 5};
        const auto set = SemaphoreSet::temporary(3, {}, values);
        ASSERT_EQ(in_fork([&] {
                      set.wait(0, 2, Undo::yes);
                      set.wait(1, 2, Undo::no);
                      set.post(2, 3, Undo::yes);
                      if (!set.try_wait(0, 1, Undo::yes) || !set.wait_for(0, 1s, 1, Undo::yes)) return 1;
                      return raw_value(set.id(), 0) == 1 && raw_value(set.id(), 2) == 8 ? 0 : 1;
                  }),
                  0);
        EXPECT_EQ(raw_value(set.id(), 0), 5);
        EXPECT_EQ(raw_value(set.id(), 1), 3);
        EXPECT_EQ(raw_value(set.id(), 2), 5);
    });
}

TEST_F(SysvHandles, SeveralOperationsAreOne) {
    in_new_namespaces([] {
        const std::array<unsigned short, 2> values{1, 0};
        const auto set = SemaphoreSet::temporary(2, {}, values);
        const std::array<struct sembuf, 2> possible{{{0, -1, 0}, {1, 2, 0}}};
        EXPECT_TRUE(set.operate(possible));
        EXPECT_EQ(raw_value(set.id(), 0), 0);
        EXPECT_EQ(raw_value(set.id(), 1), 2);
        const std::array<struct sembuf, 2> impossible{{{1, -1, 0}, {0, -1, IPC_NOWAIT}}};
        EXPECT_FALSE(set.operate(impossible));
        EXPECT_EQ(raw_value(set.id(), 1), 2) << "half of it was done";
        const std::array<struct sembuf, 2> waiting{{{1, -1, 0}, {0, -1, 0}}};
        EXPECT_FALSE(set.operate_for(waiting, 20ms));
        EXPECT_EQ(raw_value(set.id(), 1), 2);
        set.post(0);
        EXPECT_TRUE(set.operate_for(waiting, 20ms));
        EXPECT_EQ(raw_value(set.id(), 1), 1);
        EXPECT_EQ(error_of([&] { set.operate({}); }), EINVAL);
        EXPECT_EQ(error_of([&] { set.operate(std::vector<struct sembuf>(100000, sembuf{0, 1, 0})); }), E2BIG);
    });
}

TEST_F(SysvHandles, SetsValues) {
    in_new_namespaces([] {
        const auto set = SemaphoreSet::temporary(3);
        set.set(2, 32767);
        EXPECT_EQ(raw_value(set.id(), 2), 32767);
        EXPECT_EQ(error_of([&] { set.set(2, 32768); }), ERANGE);
        EXPECT_EQ(error_of([&] { set.set(2, -1); }), ERANGE);
        EXPECT_EQ(error_of([&] { set.set(3, 1); }), EINVAL);
        const std::array<unsigned short, 3> values{1, 2, 3};
        set.set_all(values);
        for (int i = 0; i < 3; ++i) EXPECT_EQ(raw_value(set.id(), i), i + 1);
        EXPECT_THROW(set.set_all(std::span(values).first(2)), UsageError);
        EXPECT_THROW(set.set_all(std::vector<unsigned short>(4)), UsageError);
        EXPECT_EQ(raw_value(set.id(), 0), 1);
    });
}

TEST_F(SysvHandles, NumbersThatMakeNoSense) {
    in_new_namespaces([] {
        const auto set = SemaphoreSet::temporary(2);
        EXPECT_THROW(set.wait(0, 0), UsageError);
        EXPECT_THROW(set.wait(0, -1), UsageError);
        EXPECT_THROW(set.post(0, 0), UsageError);
        EXPECT_THROW(set.post(0, -32768), UsageError);
        EXPECT_THROW((void)set.try_wait(0, 0), UsageError);
        EXPECT_THROW((void)set.wait_for(0, 1s, -5), UsageError);
        EXPECT_EQ(error_of([&] { set.post(2); }), EFBIG);
        EXPECT_EQ(error_of([&] { (void)set.wait_for(2, 1s); }), EFBIG);
        EXPECT_EQ(error_of([&] { (void)set.value(2); }), EINVAL);
        EXPECT_EQ(raw_value(set.id(), 0), 0);
    });
}

TEST_F(SysvHandles, ASetThatIsRemovedUnderAWaiter) {
    in_new_namespaces([] {
        const SemaphoreSet set(make_semaphore_set(Key::none, 1));
        std::thread remover([&] {
            std::this_thread::sleep_for(30ms);
            ::semctl(static_cast<int>(set.id()), 0, IPC_RMID);
        });
        EXPECT_EQ(error_of([&] { set.wait(0); }), EIDRM);
        remover.join();
        EXPECT_EQ(error_of([&] { set.post(0); }), EINVAL);
        EXPECT_EQ(error_of([&] { (void)set.value(0); }), EINVAL);
    });
}

TEST_F(SysvHandles, ATemporarySetEndsWithItsHandle) {
    in_new_namespaces([] {
        SemaphoreSetId id{};
        SemaphoreSetId kept{};
        {
            const std::array<unsigned short, 2> values{3, 4};
            const auto set = SemaphoreSet::temporary(2, {.mode = 0640}, values);
            id = set.id();
            EXPECT_EQ(raw_value(id, 1), 4);
            auto other = SemaphoreSet::temporary(1);
            other.keep();
            kept = other.id();
        }
        EXPECT_EQ(raw_value(id, 1), -1);
        EXPECT_EQ(raw_value(kept, 0), 0);
    });
}

// ---- Segments ----

TEST_F(SysvHandles, AttachesASegment) {
    in_new_namespaces([] {
        const int id = ::shmget(0x11, 2 * page + 5, IPC_CREAT | 0600);
        ASSERT_GE(id, 0);
        auto* raw = static_cast<char*>(::shmat(id, nullptr, 0));
        const auto record = find_segment(SegmentId{id});
        {
            auto by_record = Segment::attach(*record);
            auto by_id = Segment::attach(SegmentId{id});
            auto by_key = Segment::attach(Key{0x11});
            EXPECT_EQ(raw_attached(SegmentId{id}), 4U);
            for (const auto* segment : {&by_record, &by_id, &by_key}) {
                EXPECT_EQ(segment->id(), SegmentId{id});
                EXPECT_EQ(segment->bytes().size(), 2 * page + 5);
            }
            by_record.bytes()[0] = std::byte{'a'};
            by_id.bytes()[page] = std::byte{'b'};
            by_key.bytes().back() = std::byte{'c'};
            EXPECT_EQ(raw[0], 'a');
            EXPECT_EQ(raw[page], 'b');
            EXPECT_EQ(raw[2 * page + 4], 'c');
            raw[1] = 'd';
            EXPECT_EQ(by_id.bytes()[1], std::byte{'d'});

            auto moved = std::move(by_record);
            EXPECT_TRUE(by_record.bytes().empty()); // NOLINT(bugprone-use-after-move): what is promised of it
            EXPECT_EQ(moved.bytes()[0], std::byte{'a'});
            EXPECT_EQ(raw_attached(SegmentId{id}), 4U);
            moved = std::move(by_key);
            EXPECT_EQ(raw_attached(SegmentId{id}), 3U);
            by_id.detach();
            EXPECT_EQ(raw_attached(SegmentId{id}), 2U);
            EXPECT_TRUE(by_id.bytes().empty());
            by_id.detach();
        }
        EXPECT_EQ(raw_attached(SegmentId{id}), 1U);
        EXPECT_TRUE(segment_is_there(SegmentId{id}));
        ::shmdt(raw);
    });
}

TEST_F(SysvHandles, AttachesForReadingOnly) {
    in_new_namespaces([] {
        const int id = ::shmget(0x11, page, IPC_CREAT | 0400);
        const auto segment = ReadOnlySegment::attach(SegmentId{id});
        static_assert(std::is_same_v<decltype(segment.bytes()), std::span<const std::byte>>);
        EXPECT_EQ(segment.bytes().size(), page);
        EXPECT_EQ(segment.bytes()[0], std::byte{0});
        EXPECT_EQ(in_fork([&] {
                      struct sigaction action {};
                      action.sa_handler = [](int) { ::_exit(42); };
                      ::sigaction(SIGSEGV, &action, nullptr);
                      *const_cast<volatile std::byte*>(segment.bytes().data()) = std::byte{1};
                      return 0;
                  }),
                  42)
            << "it could be written to";
    });
}

TEST_F(SysvHandles, AttachesWhereItIsTold) {
    in_new_namespaces([] {
        const SegmentId id = make_segment(Key::none, page);
        void* place = nullptr;
        {
            const auto first = Segment::attach(id);
            place = first.bytes().data();
        }
        const auto again = Segment::attach(id, place); // where nothing is mapped any more
        EXPECT_EQ(again.bytes().data(), place);
        EXPECT_EQ(error_of([&] { (void)Segment::attach(id, place); }), EINVAL);
        EXPECT_EQ(error_of([&] { (void)Segment::attach(id, static_cast<char*>(place) + 1); }), EINVAL);
        EXPECT_EQ(raw_attached(id), 1U);
    });
}

TEST_F(SysvHandles, CreatesASegment) {
    in_new_namespaces([] {
        SegmentId id{};
        {
            auto segment = Segment::create(Key{0x11}, 3 * page, {{.mode = 0640}});
            id = segment.id();
            EXPECT_EQ(static_cast<int>(id), ::shmget(0x11, 0, 0));
            EXPECT_EQ(segment.bytes().size(), 3 * page);
            segment.bytes()[0] = std::byte{'x'};
        }
        EXPECT_TRUE(segment_is_there(id));
        const auto again = Segment::create(Key{0x11}, page);
        EXPECT_EQ(again.id(), id);
        EXPECT_EQ(again.bytes().size(), 3 * page); // as large as it is, not as was asked for
        EXPECT_EQ(again.bytes()[0], std::byte{'x'});
        EXPECT_EQ(error_of([] { (void)Segment::create(Key{0x11}, page, {{.exclusive = true}}); }), EEXIST);
    });
}

TEST_F(SysvHandles, ASegmentThatCannotBeAttachedIsNotLeftBehind) {
    NeedRoot();
    in_new_namespaces([] {
        become_nobody();
        EXPECT_EQ(error_of([] { (void)Segment::create(Key{0x11}, page, {{.mode = 0}}); }), EACCES);
        EXPECT_EQ(error_of([] { (void)Segment::temporary(page, {{.mode = 0}}); }), EACCES);
        EXPECT_EQ(::shmget(0x11, 0, 0), -1);
        struct shm_info info {};
        ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info));
        EXPECT_EQ(info.used_ids, 0);
        // But one that was there before is.
        ASSERT_GE(::shmget(0x22, page, IPC_CREAT | 0), 0);
        EXPECT_EQ(error_of([] { (void)Segment::create(Key{0x22}, page, {{.mode = 0}}); }), EACCES);
        EXPECT_GE(::shmget(0x22, 0, 0), 0);
    });
}

TEST_F(SysvHandles, ATemporarySegmentEndsWithItsLastUser) {
    in_new_namespaces([] {
        SegmentId id{};
        void* raw = nullptr;
        {
            auto segment = Segment::temporary(page);
            id = segment.id();
            struct shmid_ds about {};
            ASSERT_EQ(::shmctl(static_cast<int>(id), IPC_STAT, &about), 0);
            EXPECT_EQ(about.shm_perm.mode & 01000U, 01000U)
                << "would stay behind if this process were killed";
            ASSERT_EQ(in_fork([&] {
                          segment.bytes()[7] = std::byte{'x'};
                          return 0;
                      }),
                      0);
            EXPECT_EQ(segment.bytes()[7], std::byte{'x'});
            raw = ::shmat(static_cast<int>(id), nullptr, 0);
            ASSERT_NE(raw, reinterpret_cast<void*>(-1));
        }
        EXPECT_TRUE(segment_is_there(id));
        EXPECT_EQ(static_cast<char*>(raw)[7], 'x');
        ::shmdt(raw);
        EXPECT_FALSE(segment_is_there(id));
    });
}

} // namespace
} // namespace ipcns
