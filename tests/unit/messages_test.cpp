// SPDX-License-Identifier: Apache-2.0
// Messages that are read without being taken: compared byte for byte with what was sent and with what is then received,
// and while others send and receive as fast as they can. Each test has namespaces of its own, in a child process.
#include "posix_support.hpp"

#include <ipcns/messages.hpp>
#include <ipcns/sysv.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>
#include <map>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

namespace ipcns {
namespace {

using test::in_new_namespaces;
using test::number_of;

struct Message {
    long type = 0; // or priority
    std::string text;
    friend bool operator==(const Message&, const Message&) = default;
};
using Messages = std::vector<Message>;

// For messages of EXPECT: not megabytes.
std::string words(const Message& message) {
    return std::to_string(message.type) + ", " + std::to_string(message.text.size()) + " bytes, " +
           std::to_string(std::hash<std::string>()(message.text));
}

void expect_same(const Messages& is, const Messages& should) {
    ASSERT_EQ(is.size(), should.size());
    for (std::size_t i = 0; i < is.size(); ++i) EXPECT_EQ(words(is[i]), words(should[i])) << "message " << i;
}

std::string text_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string random_text(std::mt19937& random, std::size_t size) {
    std::string text(size, '\0');
    for (std::size_t i = 0; i < size; i += 4) {
        const auto number = random();
        std::memcpy(text.data() + i, &number, std::min<std::size_t>(4, size - i));
    }
    return text;
}

// Small ones, large ones, and those around the sizes at which the kernel begins another page.
std::size_t random_size(std::mt19937& random, std::size_t most) {
    const std::size_t page = 4096;
    std::size_t size = 0;
    switch (random() % 4) {
    case 0: size = random() % 64; break;
    case 1: size = random() % 10 * page + page - 70 + random() % 80; break;
    case 2: size = random() % 20000; break;
    default: size = random() % (most + 1);
    }
    return std::min(size, most);
}

// ---- POSIX queues ------------------------------------------------------------------------------------------------

// How many bytes queues may have in all: without end for who may raise the limit, else what is usual. That counts for each
// (real) user, and root may have others at the same time.
std::size_t raise_limit() {
    if (::geteuid() == 0 && ::setresuid(static_cast<uid_t>(1'000'000 + ::getpid()), 0, 0) != 0)
        test::broken("setresuid");
    for (const auto& [name, most] : {std::pair("msg_max", "65536"), std::pair("msgsize_max", "16777216")}) {
        if (const int number = test::write_file(std::string("/proc/sys/fs/mqueue/") + name, most)) {
            errno = number;
            test::broken("raise a limit");
        }
    }
    struct rlimit limit {
        RLIM_INFINITY, RLIM_INFINITY
    };
    if (::setrlimit(RLIMIT_MSGQUEUE, &limit) == 0) return std::size_t{1} << 30;
    if (::getrlimit(RLIMIT_MSGQUEUE, &limit) != 0) test::broken("getrlimit");
    return limit.rlim_max;
}

// A queue of the calling thread's namespace; its name goes with it.
class Queue {
public:
    Queue(long most, long size, const std::string& name = "/q") : name_(name) {
        (void)raise_limit();
        struct mq_attr attributes {};
        attributes.mq_maxmsg = most;
        attributes.mq_msgsize = size;
        queue_ =
            ::mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600, &attributes);
        if (queue_ < 0) test::broken("mq_open " + name);
        room_.resize(static_cast<std::size_t>(size));
    }
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    ~Queue() {
        ::mq_close(queue_);
        ::mq_unlink(name_.c_str());
    }

    [[nodiscard]] int get() const { return queue_; }
    bool send(const Message& message) const {
        return ::mq_send(queue_, message.text.data(), message.text.size(),
                         static_cast<unsigned>(message.type)) == 0;
    }
    std::optional<Message> receive() {
        unsigned priority = 0;
        const ssize_t length = ::mq_receive(queue_, room_.data(), room_.size(), &priority);
        if (length < 0) return {};
        return Message{static_cast<long>(priority), {room_.data(), static_cast<std::size_t>(length)}};
    }
    Messages receive_all() {
        Messages all;
        while (auto message = receive()) all.push_back(std::move(*message));
        return all;
    }
    // All that looking could have changed.
    [[nodiscard]] auto state() const {
        struct stat about {};
        struct mq_attr attributes {};
        if (::fstat(queue_, &about) != 0 || ::mq_getattr(queue_, &attributes) != 0) test::broken("fstat");
        return std::tuple(attributes.mq_curmsgs, about.st_atim.tv_sec, about.st_mtim.tv_sec,
                          about.st_ctim.tv_sec);
    }

private:
    std::string name_;
    mqd_t queue_ = -1;
    std::string room_;
};

Messages read_all(const MessageReader& reader, int queue, bool& one_moment) {
    Messages all;
    const QueueReading reading = reader.read(queue, [&](unsigned priority, std::span<const std::byte> bytes) {
        all.push_back({static_cast<long>(priority), text_of(bytes)});
    });
    one_moment = reading.one_moment;
    EXPECT_EQ(reading.messages, all.size());
    return all;
}

// A quiet queue.
Messages read_all(const MessageReader& reader, const Queue& queue) {
    bool one_moment = false;
    Messages all = read_all(reader, queue.get(), one_moment);
    EXPECT_TRUE(one_moment);
    return all;
}

// Why POSIX queues can't be read here, or nothing.
std::string no_reading() {
    if (const char* why = test::no_queues()) return why;
    try {
        const MessageReader reader;
    } catch (const Error& error) {
        return std::string(error.what()) + ": " + error.hint();
    }
    return {};
}

#define NeedReading() \
    if (const std::string why = no_reading(); !why.empty()) GTEST_SKIP() << why

// A little room has it read in many runs, as longer queues are.
std::vector<MessageReader> readers() {
    std::vector<MessageReader> all;
    for (const std::size_t at_once : {MessageReader::most_at_once, std::size_t{5000}, std::size_t{64}})
        all.emplace_back(at_once);
    return all;
}

TEST(PosixMessages, AreGivenInTheOrderInWhichTheyAreReceivedAndStay) {
    NeedReading();
    in_new_namespaces([] {
        const auto all = readers();
        std::mt19937 random(1);
        const std::size_t bytes = raise_limit();
        for (const std::size_t size :
             {std::size_t{1}, std::size_t{8192}, std::size_t{100'000}, (std::size_t{1} << 20) + 5000}) {
            const std::size_t most = std::min<std::size_t>(200, bytes / (size + 100));
            if (most == 0) continue;
            for (const unsigned priorities : {1U, 3U, 32768U}) {
                Queue queue(static_cast<long>(most), static_cast<long>(size));
                Messages sent;
                while (sent.size() < most) {
                    Message message{static_cast<long>(random() % priorities),
                                    random_text(random, random_size(random, size))};
                    ASSERT_TRUE(queue.send(message));
                    sent.push_back(std::move(message));
                }
                std::stable_sort(sent.begin(), sent.end(),
                                 [](const Message& a, const Message& b) { return a.type > b.type; });
                const auto before = queue.state();
                for (const auto& reader : all) expect_same(read_all(reader, queue), sent);
                EXPECT_EQ(queue.state(), before);
                expect_same(queue.receive_all(), sent);
                EXPECT_TRUE(read_all(all.front(), queue).empty());
            }
        }
    });
}

TEST(PosixMessages, AsLongAsMayBe) {
    NeedReading();
    in_new_namespaces([] {
        const auto all = readers();
        std::mt19937 random(2);
        const std::size_t longest = std::min(std::size_t{16} << 20, raise_limit() - 200);
        Queue queue(1, static_cast<long>(longest));
        for (const std::size_t size : {longest, longest - 1, std::size_t{0}}) {
            const Message sent{7, random_text(random, size)};
            ASSERT_TRUE(queue.send(sent));
            // The smallest room would take hundreds of thousands of runs for 16 MiB.
            for (std::size_t i = 0; i < (size > 1'000'000 ? 2 : all.size()); ++i)
                expect_same(read_all(all[i], queue), {sent});
            expect_same(queue.receive_all(), {sent});
        }
    });
}

TEST(PosixMessages, AsManyAsMayBe) {
    NeedReading();
    in_new_namespaces([] {
        // The kernel counts the heads of the messages, too.
        const std::size_t most = std::min<std::size_t>(65536, raise_limit() / 110);
        Queue queue(static_cast<long>(most), 8);
        Messages sent;
        while (sent.size() < most) {
            sent.push_back({static_cast<long>(32767 - sent.size() / 2), std::to_string(sent.size())});
            ASSERT_TRUE(queue.send(sent.back()));
        }
        EXPECT_TRUE(read_all(MessageReader(), queue) == sent);
        EXPECT_TRUE(read_all(MessageReader(1000), queue) == sent);
    });
}

TEST(PosixMessages, OfAQueueThatWasLeftAloneForASecondNeedOneLook) {
    NeedReading();
    in_new_namespaces([] {
        const MessageReader reader;
        Queue queue(10, 100);
        ASSERT_TRUE(queue.send({3, "one"}));
        ASSERT_TRUE(queue.send({5, "two"}));
        // As if it had been long ago.
        const struct timespec times[] = {{1000, 0}, {1000, 0}};
        ASSERT_EQ(::futimens(queue.get(), times), 0);
        expect_same(read_all(reader, queue), {{5, "two"}, {3, "one"}});
        struct stat about {};
        ASSERT_EQ(::fstat(queue.get(), &about), 0);
        EXPECT_EQ(about.st_mtim.tv_sec, 1000);
        EXPECT_EQ(about.st_atim.tv_sec, 1000);
    });
}

TEST(PosixMessages, NobodyIsToldAndNobodyWakes) {
    NeedReading();
    in_new_namespaces([] {
        const MessageReader reader;
        Queue queue(10, 100);
        // Registered, and blocked in mq_receive(3), each in a process of its own.
        const auto open_again = [] {
            const mqd_t again = ::mq_open("/q", O_RDONLY | O_CLOEXEC);
            if (again < 0) test::broken("mq_open");
            return again;
        };
        const test::Waiting registered([&] {
            struct sigevent event {};
            event.sigev_notify = SIGEV_SIGNAL;
            event.sigev_signo = SIGKILL;
            if (::mq_notify(open_again(), &event) != 0) test::broken("mq_notify");
        });
        const pid_t receiver = ::fork();
        if (receiver == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            std::array<char, 100> room{};
            const ssize_t length = ::mq_receive(open_again(), room.data(), room.size(), nullptr);
            ::_exit(length == 5 ? 42 : 1);
        }
        const std::string stack = "/proc/" + std::to_string(receiver) + "/syscall";
        const std::string call = std::to_string(SYS_mq_timedreceive) + " ";
        while (!test::read_file(stack).starts_with(call)) std::this_thread::yield();

        for (int i = 0; i < 3; ++i) EXPECT_TRUE(read_all(reader, queue).empty());
        EXPECT_TRUE(test::read_file(stack).starts_with(call));
        EXPECT_EQ(::kill(registered.pid(), 0), 0);
        // The message goes to the one that waits; with two, the second one would tell the registered process.
        ASSERT_TRUE(queue.send({1, "first"}));
        int status = 0;
        ASSERT_EQ(::waitpid(receiver, &status, 0), receiver);
        EXPECT_EQ(WEXITSTATUS(status), 42);

        std::array<char, 128> text{};
        const int file = ::openat(queue.get(), "", O_RDONLY);
        EXPECT_LT(file, 0);
        ASSERT_GT(::pread(queue.get(), text.data(), text.size(), 0), 0);
        EXPECT_NE(std::string(text.data()).find("NOTIFY_PID:" + std::to_string(registered.pid())),
                  std::string::npos)
            << text.data();
    });
}

TEST(PosixMessages, OfWhatIsNoQueueToRead) {
    NeedReading();
    in_new_namespaces([] {
        const MessageReader reader;
        const auto error_of = [&](int descriptor) {
            return number_of([&] { (void)reader.read(descriptor, [](unsigned, auto) { ADD_FAILURE(); }); });
        };
        Queue queue(10, 100);
        ASSERT_TRUE(queue.send({1, "x"}));
        EXPECT_EQ(error_of(-1), EBADF);
        const Fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
        EXPECT_EQ(error_of(file.get()), EINVAL);
        const Fd writer(::mq_open("/q", O_WRONLY | O_CLOEXEC));
        EXPECT_EQ(error_of(writer.get()), EBADF);
        ASSERT_EQ(::mount("mqueue", "/dev/shm", "mqueue", 0, nullptr), 0);
        const Fd folder(::open("/dev/shm", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        EXPECT_EQ(error_of(folder.get()), EINVAL);
        const Fd by_path(::open("/dev/shm/q", O_PATH | O_CLOEXEC));
        EXPECT_EQ(error_of(by_path.get()), EINVAL);
        const Fd reading(::open("/dev/shm/q", O_RDONLY | O_CLOEXEC));
        EXPECT_EQ(reader.read(reading.get(), [](unsigned, auto) {}), (QueueReading{1, true}));
    });
}

TEST(PosixMessages, TakeRightsOverTheKernel) {
    NeedReading();
    in_new_namespaces([] {
        test::drop_capabilities();
        EXPECT_EQ(number_of([] { const MessageReader reader; }), EPERM);
        EXPECT_NE(test::hint_of([] { const MessageReader reader; }).find("CAP_BPF"), std::string::npos);
    });
}

TEST(PosixMessages, WhatTheReceiverThrowsComesThrough) {
    NeedReading();
    in_new_namespaces([] {
        MessageReader reader;
        Queue queue(10, 100);
        ASSERT_TRUE(queue.send({1, "x"}));
        EXPECT_THROW((void)reader.read(queue.get(), [](unsigned, auto) { throw std::runtime_error("mine"); }),
                     std::runtime_error);
        MessageReader moved(std::move(reader));
        reader = std::move(moved);
        EXPECT_EQ(reader.read(queue.get(), [](unsigned, auto) {}), (QueueReading{1, true}));
    });
}

// ---- While others send and receive -------------------------------------------------------------------------------

// A text that tells where it belongs, which one it is, and whether it is whole.
std::string numbered(char mark, std::uint64_t number, std::size_t size) {
    std::string text(size, '\0');
    std::mt19937 random(static_cast<unsigned>(number * 2 + static_cast<unsigned char>(mark)));
    for (char& letter : text) letter = static_cast<char>(random());
    text[0] = mark;
    std::memcpy(text.data() + 1, &number, sizeof number);
    return text;
}

// The number of a text; nothing, and a failed test, when it is no whole text of this mark.
std::optional<std::uint64_t> number_of_text(const std::string& text, char mark) {
    std::uint64_t number = 0;
    if (text.size() >= 1 + sizeof number) std::memcpy(&number, text.data() + 1, sizeof number);
    if (text.size() >= 1 + sizeof number && text == numbered(mark, number, text.size())) return number;
    const std::string should = numbered(mark, number, text.size());
    const auto differs = std::mismatch(text.begin(), text.end(), should.begin()).first - text.begin();
    ADD_FAILURE() << "a message that was never sent: " << text.size() << " bytes, " << text.substr(0, 1)
                  << ", number " << number << ", wrong from byte " << differs;
    return {};
}

// Of one moment are messages without a gap between them.
void expect_numbered(const Messages& messages, bool one_moment, char mark) {
    std::optional<std::uint64_t> before;
    for (const auto& message : messages) {
        const auto number = number_of_text(message.text, mark);
        if (!number) return;
        if (before && one_moment) {
            EXPECT_EQ(*number, *before + 1);
        } else if (before) {
            EXPECT_GT(*number, *before);
        }
        before = number;
    }
}

// One thread that sends to the first queue, and one that receives there and sends the same memory, as it were, on to the
// second one with other bytes, from where a third takes it: what was freed of one queue is at once another's.
class Storm {
public:
    Storm(Queue& first, Queue& second, std::size_t size, std::size_t sizes) {
        threads_.emplace_back([&first, size, sizes, this] {
            for (std::uint64_t number = 0; !over_; ++number) {
                const Message message{0, numbered('a', number, size + number % sizes)};
                while (!first.send(message) && !over_) std::this_thread::yield();
            }
        });
        threads_.emplace_back([&first, &second, this] {
            for (std::uint64_t number = 0; !over_; ++number) {
                std::optional<Message> message;
                while (!message && !over_) message = first.receive();
                if (!message) break;
                const Message next{0, numbered('b', number, message->text.size())};
                message.reset();
                while (!second.send(next) && !over_) (void)second.receive();
                ++forwarded_;
            }
        });
    }
    Storm(const Storm&) = delete;
    Storm& operator=(const Storm&) = delete;
    ~Storm() {
        over_ = true;
        for (auto& thread : threads_) thread.join();
    }
    [[nodiscard]] std::uint64_t forwarded() const { return forwarded_; }

private:
    std::atomic<bool> over_ = false;
    std::atomic<std::uint64_t> forwarded_ = 0;
    std::vector<std::thread> threads_;
};

void read_in_a_storm(long most, std::size_t size, std::size_t sizes, int readings,
                     std::size_t room = MessageReader::most_at_once) {
    const MessageReader reader(room);
    Queue first(most, static_cast<long>(size + sizes), "/first");
    Queue second(most, static_cast<long>(size + sizes), "/second");
    const Storm storm(first, second, size, sizes);
    std::size_t seen = 0;
    while (storm.forwarded() < 10) std::this_thread::yield();
    for (int i = 0; i < readings; ++i) {
        bool one_moment = false;
        const Messages in_first = read_all(reader, first.get(), one_moment);
        expect_numbered(in_first, one_moment, 'a');
        const Messages in_second = read_all(reader, second.get(), one_moment);
        expect_numbered(in_second, one_moment, 'b');
        seen += in_first.size() + in_second.size();
        if (testing::Test::HasFailure()) return;
    }
    EXPECT_GT(seen, 0U);
}

TEST(PosixMessages, InAStormOfShortOnes) {
    NeedReading();
    in_new_namespaces([] { read_in_a_storm(10, 40, 1, 3000); });
}

TEST(PosixMessages, InAStormOfOneAtATime) {
    NeedReading();
    in_new_namespaces([] { read_in_a_storm(1, 100, 1, 3000); });
}

TEST(PosixMessages, InAStormOfManySizes) {
    NeedReading();
    in_new_namespaces([] { read_in_a_storm(40, 20, 9000, 200); });
}

TEST(PosixMessages, InAStormOfMoreThanIsReadAtOnce) {
    NeedReading();
    in_new_namespaces([] {
        read_in_a_storm(40, 5000, 10, 30, 8192);
        if (testing::Test::HasFailure()) return;
        read_in_a_storm(200, 50, 1, 100, 500);
        if (testing::Test::HasFailure()) return;
        read_in_a_storm(40, 5000, 10, 30, 1000);
    });
}

// One thread takes the oldest message and sends the next one, which gets the memory that was just given back: at any moment
// there are all of them, or one less.
TEST(PosixMessages, InAStormOfOneWhoSendsBackWhatHeTakes) {
    NeedReading();
    in_new_namespaces([] {
        const MessageReader reader;
        constexpr std::uint64_t count = 4;
        for (const std::size_t size : {std::size_t{100}, std::size_t{6000}}) {
            Queue queue(count, static_cast<long>(size));
            std::vector<std::string> texts; // made beforehand, since that takes longer than all the rest
            for (std::uint64_t number = 0; number < 100; ++number)
                texts.push_back(numbered('a', number, size));
            for (std::uint64_t number = 0; number < count; ++number)
                ASSERT_TRUE(queue.send({0, texts[number]}));
            std::atomic<bool> over = false;
            std::thread thread([&] {
                for (std::uint64_t number = count; !over; ++number) {
                    (void)queue.receive();
                    (void)queue.send({0, texts[number % texts.size()]});
                }
            });
            std::size_t moments = 0;
            for (int i = 0; i < 2000 && !testing::Test::HasFailure(); ++i) {
                bool one_moment = false;
                const Messages messages = read_all(reader, queue.get(), one_moment);
                for (std::size_t n = 0; n < messages.size() && one_moment; ++n) {
                    const auto number = number_of_text(messages[n].text, 'a');
                    const auto first = number_of_text(messages[0].text, 'a');
                    if (number && first) {
                        EXPECT_EQ(*number, (*first + n) % texts.size());
                    }
                }
                for (const auto& message : messages) (void)number_of_text(message.text, 'a');
                if (!one_moment) continue;
                ++moments;
                EXPECT_TRUE(messages.size() == count || messages.size() == count - 1) << messages.size();
            }
            over = true;
            thread.join();
            EXPECT_GT(moments, 0U);
        }
    });
}

// ---- System V queues ---------------------------------------------------------------------------------------------

int make_raw_queue() {
    const int id = ::msgget(IPC_PRIVATE, 0600 | IPC_CREAT);
    if (id < 0) test::broken("msgget");
    return id;
}

bool raw_send(int id, const Message& message) {
    std::string buffer(sizeof message.type, '\0');
    std::memcpy(buffer.data(), &message.type, sizeof message.type);
    buffer += message.text;
    return ::msgsnd(id, buffer.data(), message.text.size(), IPC_NOWAIT) == 0;
}

std::optional<Message> raw_receive(int id) {
    std::string buffer(std::size_t{2} << 20, '\0');
    const ssize_t length = ::msgrcv(id, buffer.data(), buffer.size() - sizeof(long), 0, IPC_NOWAIT);
    if (length < 0) return {};
    Message message{0, buffer.substr(sizeof(long), static_cast<std::size_t>(length))};
    std::memcpy(&message.type, buffer.data(), sizeof message.type);
    return message;
}

Messages read_all(int id, bool& one_moment) {
    Messages all;
    const QueueReading reading = read_messages(QueueId{id}, [&](long type, std::span<const std::byte> bytes) {
        all.push_back({type, text_of(bytes)});
    });
    one_moment = reading.one_moment;
    EXPECT_EQ(reading.messages, all.size());
    return all;
}

auto state_of(int id) {
    struct msqid_ds about {};
    if (::msgctl(id, IPC_STAT, &about) != 0) test::broken("msgctl");
    return std::tuple(about.msg_qnum, about.__msg_cbytes, about.msg_lspid, about.msg_lrpid, about.msg_stime,
                      about.msg_rtime, about.msg_ctime);
}

TEST(SysvMessages, AreGivenInTheirOrderAndStay) {
    NeedRoot();
    in_new_namespaces([] {
        ASSERT_EQ(test::write_file("/proc/sys/kernel/msgmax", "2000000"), 0);
        ASSERT_EQ(test::write_file("/proc/sys/kernel/msgmnb", "64000000"), 0);
        std::mt19937 random(3);
        for (const std::size_t most :
             {std::size_t{0}, std::size_t{100}, std::size_t{8192}, std::size_t{1'500'000}}) {
            const int id = make_raw_queue();
            Messages sent;
            for (std::size_t bytes = 0; sent.size() < 100 && bytes < (6U << 20);
                 bytes += sent.back().text.size()) {
                sent.push_back({static_cast<long>(random() % 3 == 0 ? 1L << 40 : 1 + random() % 5),
                                random_text(random, random_size(random, most))});
                ASSERT_TRUE(raw_send(id, sent.back()));
            }
            // So that there is a last receiver.
            ASSERT_EQ(words(*raw_receive(id)), words(sent.front()));
            sent.erase(sent.begin());
            const auto before = state_of(id);
            bool one_moment = false;
            expect_same(read_all(id, one_moment), sent);
            EXPECT_TRUE(one_moment);
            // From another process, whose number would be the last receiver's.
            EXPECT_EQ(test::in_fork([&] { return read_all(id, one_moment) == sent && one_moment ? 7 : 1; }),
                      7);
            EXPECT_EQ(state_of(id), before);
            for (const auto& message : sent) ASSERT_EQ(words(*raw_receive(id)), words(message));
            EXPECT_TRUE(read_all(id, one_moment).empty());
            EXPECT_TRUE(one_moment);
        }
    });
}

TEST(SysvMessages, NobodyWakes) {
    NeedNamespaces();
    in_new_namespaces([] {
        const int id = make_raw_queue();
        ASSERT_TRUE(raw_send(id, {5, "five"}));
        const pid_t receiver = ::fork();
        if (receiver == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            struct {
                long type;
                char text[100];
            } message{};
            ::_exit(::msgrcv(id, &message, sizeof message.text, 9, 0) == 4 ? 42 : 1);
        }
        const std::string stack = "/proc/" + std::to_string(receiver) + "/syscall";
        const std::string call = std::to_string(SYS_msgrcv) + " ";
        while (!test::read_file(stack).starts_with(call)) std::this_thread::yield();
        bool one_moment = false;
        for (int i = 0; i < 3; ++i) EXPECT_EQ(read_all(id, one_moment), (Messages{{5, "five"}}));
        EXPECT_TRUE(test::read_file(stack).starts_with(call));
        ASSERT_TRUE(raw_send(id, {9, "nine"}));
        int status = 0;
        ASSERT_EQ(::waitpid(receiver, &status, 0), receiver);
        EXPECT_EQ(WEXITSTATUS(status), 42);
        EXPECT_EQ(words(*raw_receive(id)), words({5, "five"}));
    });
}

TEST(SysvMessages, ThatCanNotBeRead) {
    NeedRoot();
    in_new_namespaces([] {
        const auto error_of = [](int id) {
            return number_of([&] { (void)read_messages(QueueId{id}, [](long, auto) {}); });
        };
        const int id = make_raw_queue();
        ASSERT_TRUE(raw_send(id, {1, std::string(5000, 'x')}));
        ASSERT_EQ(test::write_file("/proc/sys/kernel/msgmax", "4999"), 0);
        EXPECT_EQ(error_of(id), EMSGSIZE);
        ASSERT_EQ(test::write_file("/proc/sys/kernel/msgmax", "5000"), 0);
        EXPECT_EQ(error_of(id), 0);
        EXPECT_EQ(error_of(id + 1), EINVAL);
        const int closed = ::msgget(IPC_PRIVATE, 0200 | IPC_CREAT);
        test::drop_capabilities();
        EXPECT_EQ(error_of(closed), EACCES);
        ASSERT_EQ(::msgctl(id, IPC_RMID, nullptr), 0);
        EXPECT_EQ(error_of(id), EINVAL);
    });
}

TEST(SysvMessages, InAStorm) {
    NeedNamespaces();
    in_new_namespaces([] {
        const int id = make_raw_queue();
        struct msqid_ds about {};
        if (::msgctl(id, IPC_STAT, &about) != 0) test::broken("msgctl");
        about.msg_qbytes = 1500; // so that few fit
        if (::msgctl(id, IPC_SET, &about) != 0) test::broken("msgctl");
        std::atomic<bool> over = false;
        std::thread sender([&] {
            for (std::uint64_t number = 0; !over; ++number) {
                const Message message{1, numbered('a', number, 40)};
                while (!raw_send(id, message) && !over) std::this_thread::yield();
            }
        });
        std::thread receiver([&] {
            while (!over) (void)raw_receive(id);
        });
        std::size_t moments = 0;
        for (int i = 0; i < 1000 && !testing::Test::HasFailure(); ++i) {
            bool one_moment = false;
            const Messages messages = read_all(id, one_moment);
            if (one_moment) ++moments;
            // While it is used all the time some may come twice or not at all, but each is whole.
            if (one_moment) expect_numbered(messages, true, 'a');
            for (const auto& message : messages) (void)number_of_text(message.text, 'a');
        }
        over = true;
        sender.join();
        receiver.join();
        EXPECT_GT(moments, 0U);
    });
}

} // namespace
} // namespace ipcns
