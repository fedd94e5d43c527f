// SPDX-License-Identifier: Apache-2.0
// POSIX queues, shared memory and named semaphores, what /dev/mqueue lists, and notification by a queue.
//
// A queue has two doors: its name, which is looked up in the caller's IPC namespace, and its file where queues are
// mounted, which is that of the namespace that made the mount.
#include "trial.hpp"

#include <fcntl.h>
#include <mqueue.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <dirent.h>

#include <array>
#include <cstring>

namespace ipcns::agent {
namespace {

constexpr long mqueue_magic = 0x19800202;
constexpr const char* queues_folder = "/dev/mqueue";
constexpr const char* shm_folder = "/dev/shm";

bool queues_are_mounted() {
    struct statfs about {};
    return ::statfs(queues_folder, &about) == 0 && about.f_type == mqueue_magic;
}

// The inode number under which a folder lists a name, or 0 with errno.
ino_t listed(const char* folder, const std::string& name) {
    DIR* open = ::opendir(folder);
    if (open == nullptr) return 0;
    ino_t found = 0;
    while (const struct dirent* entry = ::readdir(open)) { // NOLINT(concurrency-mt-unsafe): one thread here
        if (name == entry->d_name) found = entry->d_ino;
    }
    ::closedir(open);
    errno = ENOENT;
    return found;
}

// Owns a queue's descriptor.
class Queue {
public:
    explicit Queue(mqd_t queue) : queue_(queue) {}
    ~Queue() {
        const int saved = errno;
        if (queue_ >= 0) ::mq_close(queue_);
        errno = saved;
    }
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    explicit operator bool() const { return queue_ >= 0; }
    [[nodiscard]] mqd_t get() const { return queue_; }

    bool send(const void* token) const {
        return ::mq_send(queue_, static_cast<const char*>(token), token_bytes, 0) == 0;
    }
    bool take(void* token) const {
        return ::mq_receive(queue_, static_cast<char*>(token), token_bytes, nullptr) ==
               static_cast<ssize_t>(token_bytes);
    }

private:
    mqd_t queue_;
};

mqd_t make_queue(const Locator& where) {
    struct mq_attr room {};
    room.mq_maxmsg = 1;
    room.mq_msgsize = token_bytes;
    const mqd_t queue = ::mq_open(("/" + object_name(where)).c_str(), O_RDWR | O_NONBLOCK | O_CREAT | O_EXCL,
                                  where.mode, &room);
    if (queue >= 0) ::fchmod(queue, where.mode);
    return queue;
}

// Both doors: calls use(queue) for each that opens, which returns whether it got the token.
template <class Use>
Reply try_queue(const Locator& where, int flags, Use use) {
    Ways ways;
    unsigned char token[token_bytes] = {};
    const auto attempt = [&](Route route, const char* words, mqd_t number) {
        const Queue queue(number);
        if (queue && use(queue, token))
            ways.got(route, words, token);
        else
            ways.refused(words);
    };
    attempt(by_name, "by name", ::mq_open(("/" + object_name(where)).c_str(), flags | O_NONBLOCK));
    if (!queues_are_mounted())
        ways.skipped("no queues are mounted at /dev/mqueue");
    else if (listed(queues_folder, object_name(where)) == 0)
        ways.refused("through /dev/mqueue");
    else
        attempt(by_mount, "through /dev/mqueue",
                ::open((queues_folder + ("/" + object_name(where))).c_str(), flags | O_NONBLOCK | O_CLOEXEC));
    return ways.reply();
}

class QueueTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        const Queue queue(make_queue(request.where));
        if (!queue) return not_made("make it");
        Reply reply = queue.send(request.token) ? done() : unavailable("send a message");
        if (reply.outcome != Outcome::done) clean(request.where);
        reply.where = request.where;
        return reply;
    }
    Reply attempt(const Request& request, int /*passed*/) override {
        // Takes the message and puts it back: others want to read it, too.
        return try_queue(request.where, O_RDWR, [](const Queue& queue, unsigned char* token) {
            return queue.take(token) && queue.send(token);
        });
    }
    void clean(const Locator& where) override { ::mq_unlink(("/" + object_name(where)).c_str()); }
};

class QueueListTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        if (!queues_are_mounted()) return unavailable("no queues are mounted at /dev/mqueue", 0);
        const Queue queue(make_queue(request.where));
        if (!queue) return not_made("make a queue");
        struct stat about {};
        ::fstat(queue.get(), &about);
        Reply reply = done();
        reply.where = request.where;
        // Its number is what nobody can guess.
        const ino_t number = about.st_ino;
        std::memcpy(reply.answer, &number, sizeof number);
        if (listed(queues_folder, object_name(request.where)) != number) {
            clean(request.where);
            return unavailable("/dev/mqueue shows the queues of another namespace", 0);
        }
        return reply;
    }
    Reply attempt(const Request& request, int /*passed*/) override {
        Ways ways;
        if (!queues_are_mounted()) {
            ways.skipped("no queues are mounted at /dev/mqueue");
        } else if (const ino_t number = listed(queues_folder, object_name(request.where))) {
            std::array<ino_t, token_bytes / sizeof(ino_t)> answer{number};
            ways.got(by_mount, "by listing", answer.data());
        } else {
            ways.refused("by listing");
        }
        return ways.reply();
    }
    void clean(const Locator& where) override { ::mq_unlink(("/" + object_name(where)).c_str()); }
};

class NotifyTrial : public Trial {
public:
    ~NotifyTrial() override {
        if (queue_ >= 0) ::mq_close(queue_);
    }
    Reply offer(const Request& request) override {
        queue_ = make_queue(request.where);
        if (queue_ < 0) return not_made("make a queue");
        Reply reply = wish() ? done() : unavailable("ask for notification");
        if (reply.outcome != Outcome::done) clean(request.where);
        reply.where = request.where;
        return reply;
    }
    Reply attempt(const Request& request, int /*passed*/) override {
        return try_queue(request.where, O_WRONLY, [&](const Queue& queue, unsigned char* token) {
            // Through the second door it is there already, if it came through the first.
            std::memcpy(token, request.token, token_bytes);
            return queue.send(token) || errno == EAGAIN;
        });
    }
    Reply ask(const Request& request) override {
        sigset_t wanted;
        ::sigemptyset(&wanted);
        ::sigaddset(&wanted, SIGUSR1);
        const struct timespec patience { 0, patience_ms * 1000000L };
        siginfo_t info{};
        int number = 0;
        do {
            number = ::sigtimedwait(&wanted, &info, &patience);
        } while ((number < 0 && errno == EINTR) || (number == SIGUSR1 && info.si_code != SI_MESGQ));
        if (number < 0) return failed("no notification arrived", 0);
        Reply reply = done();
        if (::mq_receive(queue_, reinterpret_cast<char*>(reply.answer), token_bytes, nullptr) < 0)
            return failed("read the message of a notification");
        reply.where = request.where;
        return wish() ? reply : failed("ask for notification again");
    }
    void clean(const Locator& where) override { ::mq_unlink(("/" + object_name(where)).c_str()); }

private:
    [[nodiscard]] bool wish() const {
        struct sigevent event {};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGUSR1; // blocked, as all are
        return ::mq_notify(queue_, &event) == 0;
    }
    mqd_t queue_ = -1;
};

class SemaphoreTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        const ::mode_t old = ::umask(0);
        sem_t* semaphore = ::sem_open(("/" + object_name(request.where)).c_str(), O_CREAT | O_EXCL,
                                      request.where.mode, value_of(request.token));
        const int number = errno;
        ::umask(old);
        if (semaphore == SEM_FAILED) return not_made("make it", number);
        ::sem_close(semaphore);
        Reply reply = done();
        reply.where = request.where;
        const unsigned value = value_of(request.token);
        std::memcpy(reply.answer, &value, sizeof value);
        return reply;
    }
    Reply attempt(const Request& request, int /*passed*/) override {
        Ways ways;
        const std::string name = object_name(request.where);
        get(ways, by_name, "by name", name);
        if (listed(shm_folder, "sem." + name) != 0)
            get(ways, by_listing, "by listing", name);
        else
            ways.refused("by listing");
        return ways.reply();
    }
    void clean(const Locator& where) override { ::sem_unlink(("/" + object_name(where)).c_str()); }

private:
    static unsigned value_of(const unsigned char* token) {
        unsigned value = 0;
        std::memcpy(&value, token, sizeof value);
        return value & 0x3fffffff; // below SEM_VALUE_MAX
    }
    static void get(Ways& ways, Route route, const char* words, const std::string& name) {
        sem_t* semaphore = ::sem_open(("/" + name).c_str(), 0);
        if (semaphore == SEM_FAILED) return ways.refused(words);
        std::array<int, token_bytes / sizeof(int)> answer{};
        // It can be used, and not only read.
        const bool good = ::sem_trywait(semaphore) == 0 && ::sem_post(semaphore) == 0 &&
                          ::sem_getvalue(semaphore, answer.data()) == 0;
        const int number = errno;
        ::sem_close(semaphore);
        if (good)
            ways.got(route, words, answer.data());
        else
            ways.refused(words, number);
    }
};

class MemoryTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        const Fd file(::shm_open(("/" + object_name(request.where)).c_str(),
                                 O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, request.where.mode));
        if (!file) return not_made("make it");
        ::fchmod(file.get(), request.where.mode);
        void* memory = ::ftruncate(file.get(), 4096) == 0
                           ? ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0)
                           : MAP_FAILED;
        // Written by write(2) first: a full file system says so here, and kills by SIGBUS there.
        if (memory == MAP_FAILED ||
            ::pwrite(file.get(), request.token, token_bytes, 0) != static_cast<ssize_t>(token_bytes)) {
            Reply reply = unavailable("write to it");
            clean(request.where);
            return reply;
        }
        std::memcpy(memory, request.token, token_bytes);
        ::munmap(memory, 4096);
        Reply reply = done();
        reply.where = request.where;
        return reply;
    }
    Reply attempt(const Request& request, int /*passed*/) override {
        Ways ways;
        const std::string name = object_name(request.where);
        get(ways, by_name, "by name", ::shm_open(("/" + name).c_str(), O_RDWR | O_CLOEXEC, 0));
        if (listed(shm_folder, name) != 0)
            get(ways, by_listing, "by listing",
                ::open((shm_folder + ("/" + name)).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
        else
            ways.refused("by listing");
        return ways.reply();
    }
    void clean(const Locator& where) override { ::shm_unlink(("/" + object_name(where)).c_str()); }

private:
    static void get(Ways& ways, Route route, const char* words, int number) {
        const Fd file(number);
        void* memory = file ? ::mmap(nullptr, token_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0)
                            : MAP_FAILED;
        if (memory == MAP_FAILED) return ways.refused(words);
        ways.got(route, words, memory);
        ::munmap(memory, token_bytes);
    }
};

} // namespace

std::unique_ptr<Trial> make_posix_trial(ChannelId channel) {
    switch (channel) {
    case ChannelId::mq: return std::make_unique<QueueTrial>();
    case ChannelId::mqueue: return std::make_unique<QueueListTrial>();
    case ChannelId::mq_notify: return std::make_unique<NotifyTrial>();
    case ChannelId::psem: return std::make_unique<SemaphoreTrial>();
    default: return std::make_unique<MemoryTrial>();
    }
}

} // namespace ipcns::agent
