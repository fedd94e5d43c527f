// SPDX-License-Identifier: Apache-2.0
// System V queues, sets and segments, and what /proc/sysvipc lists. An id is guessed (it is what the other side has), and
// so may be somebody else's here: what is behind it is touched only when it has the random key.
#include "trial.hpp"

#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace ipcns::agent {
namespace {

constexpr int msg_stat_any = 13;
constexpr int sem_stat_any = 20;
constexpr int shm_stat_any = 15;

union SemaphoreArgument {
    int value;
    struct semid_ds* about;
    struct seminfo* info;
    unsigned short* values;
};

// What the three kinds do differently.
struct Queue {
    static int find(int key) { return ::msgget(key, 0); }
    static int make(const Locator& where) {
        return ::msgget(where.key, IPC_CREAT | IPC_EXCL | static_cast<int>(where.mode));
    }
    static void remove(int id) { ::msgctl(id, IPC_RMID, nullptr); }
    static int id_in(const Locator& where) { return where.ids[0]; }
    static void keep(Locator& where, int id) { where.ids[0] = id; }
    // The key of what has this id, or is the Nth.
    static bool key_of(int id, int command, int& key, int& real) {
        struct msqid_ds about {};
        real = ::msgctl(id, command, &about);
        key = about.msg_perm.__key;
        return real >= 0;
    }
    static constexpr int any = msg_stat_any, stat = MSG_STAT;
    static int highest() {
        struct msginfo info {};
        return ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&info));
    }

    struct Message {
        long type;
        unsigned char token[token_bytes];
    };
    static bool put(int id, const unsigned char* token) {
        Message message{1, {}};
        std::memcpy(message.token, token, token_bytes);
        return ::msgsnd(id, &message, token_bytes, IPC_NOWAIT) == 0;
    }
    // Takes it and puts it back: others want to read it, too.
    static bool get(int id, unsigned char* token) {
        Message message{};
        const ssize_t length = ::msgrcv(id, &message, token_bytes, 0, IPC_NOWAIT);
        if (length < 0) return false;
        std::memcpy(token, message.token, token_bytes);
        return ::msgsnd(id, &message, static_cast<std::size_t>(length), IPC_NOWAIT) == 0;
    }
};

struct Set {
    static int find(int key) { return ::semget(key, 0, 0); }
    // A semaphore for each byte.
    static int make(const Locator& where) {
        return ::semget(where.key, static_cast<int>(token_bytes),
                        IPC_CREAT | IPC_EXCL | static_cast<int>(where.mode));
    }
    static void remove(int id) { ::semctl(id, 0, IPC_RMID); }
    static int id_in(const Locator& where) { return where.ids[1]; }
    static void keep(Locator& where, int id) { where.ids[1] = id; }
    static bool key_of(int id, int command, int& key, int& real) {
        struct semid_ds about {};
        SemaphoreArgument argument{};
        argument.about = &about;
        real = ::semctl(id, 0, command, argument);
        key = about.sem_perm.__key;
        return real >= 0;
    }
    static constexpr int any = sem_stat_any, stat = SEM_STAT;
    static int highest() {
        struct seminfo info {};
        SemaphoreArgument argument{};
        argument.info = &info;
        return ::semctl(0, 0, SEM_INFO, argument);
    }
    static bool put(int id, const unsigned char* token) {
        std::array<unsigned short, token_bytes> values{};
        std::copy(token, token + token_bytes, values.begin());
        SemaphoreArgument argument{};
        argument.values = values.data();
        return ::semctl(id, 0, SETALL, argument) == 0;
    }
    static bool get(int id, unsigned char* token) {
        std::array<unsigned short, token_bytes> values{};
        SemaphoreArgument argument{};
        argument.values = values.data();
        if (::semctl(id, 0, GETALL, argument) < 0) return false;
        std::transform(values.begin(), values.end(), token,
                       [](unsigned short value) { return static_cast<unsigned char>(value); });
        return true;
    }
};

struct Segment {
    Segment() = default;
    Segment(const Segment&) = delete;
    Segment& operator=(const Segment&) = delete;
    ~Segment() {
        if (memory != nullptr) ::shmdt(memory);
    }
    static int find(int key) { return ::shmget(key, 0, 0); }
    static int make(const Locator& where) {
        return ::shmget(where.key, 4096, IPC_CREAT | IPC_EXCL | static_cast<int>(where.mode));
    }
    static void remove(int id) { ::shmctl(id, IPC_RMID, nullptr); }
    static int id_in(const Locator& where) { return where.ids[2]; }
    static void keep(Locator& where, int id) { where.ids[2] = id; }
    static bool key_of(int id, int command, int& key, int& real) {
        struct shmid_ds about {};
        real = ::shmctl(id, command, &about);
        key = about.shm_perm.__key;
        return real >= 0;
    }
    static constexpr int any = shm_stat_any, stat = SHM_STAT;
    static int highest() {
        struct shm_info info {};
        return ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info));
    }
    // Stays attached: with shm_rmid_forced it would be gone.
    bool put(int id, const unsigned char* token) {
        void* attached = ::shmat(id, nullptr, 0);
        if (reinterpret_cast<std::intptr_t>(attached) == -1) return false;
        memory = attached;
        std::memcpy(memory, token, token_bytes);
        return true;
    }
    static bool get(int id, unsigned char* token) {
        const void* attached = ::shmat(id, nullptr, SHM_RDONLY);
        if (reinterpret_cast<std::intptr_t>(attached) == -1) return false;
        std::memcpy(token, attached, token_bytes);
        ::shmdt(attached);
        return true;
    }
    void* memory = nullptr;
};

template <class Kind>
class SysvTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        const int id = Kind::make(request.where);
        if (id < 0) return not_made("make it");
        if (!kind_.put(id, request.token)) {
            Reply reply = unavailable("put something into it");
            Kind::remove(id);
            return reply;
        }
        Reply reply = done();
        reply.where = request.where;
        Kind::keep(reply.where, id);
        return reply;
    }

    Reply attempt(const Request& request, int /*passed*/) override {
        const Locator& where = request.where;
        Ways ways;
        get(ways, by_key, "by key", Kind::find(where.key));
        int key = 0;
        int id = -1;
        const int guess = Kind::id_in(where);
        if (!Kind::key_of(guess, IPC_STAT, key, id))
            ways.refused("by id");
        else if (key != where.key)
            ways.refused("by id", ENOENT); // somebody else's
        else
            get(ways, by_id, "by id", guess);
        get(ways, by_listing, "by listing", listed(where.key));
        return ways.reply();
    }

    void clean(const Locator& where) override {
        if (const int id = Kind::find(where.key); id >= 0) Kind::remove(id);
    }

private:
    static void get(Ways& ways, Route route, const char* words, int id) {
        unsigned char token[token_bytes] = {};
        if (id >= 0 && Kind::get(id, token))
            ways.got(route, words, token);
        else
            ways.refused(words);
    }

    static int listed(int wanted) {
        const int highest = Kind::highest();
        for (int i = 0; i <= highest; ++i) {
            int key = 0;
            int id = -1;
            if (!Kind::key_of(i, Kind::any, key, id) && errno == EINVAL) Kind::key_of(i, Kind::stat, key, id);
            if (id >= 0 && key == wanted) return id;
        }
        if (highest >= 0) errno = ENOENT;
        return -1;
    }

    Kind kind_;
};

// One of each, to be found in /proc/sysvipc with its id.
class ListTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        if (std::FILE* file = std::fopen("/proc/sysvipc/msg", "re"))
            std::fclose(file);
        else
            return unavailable("open /proc/sysvipc");
        Reply reply = done();
        reply.where = request.where;
        int* ids = reply.where.ids;
        ids[0] = Queue::make(request.where);
        ids[1] = Set::make(request.where);
        ids[2] = Segment::make(request.where);
        // Attached, for the sake of shm_rmid_forced.
        if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0 || !segment_.put(ids[2], request.token)) {
            reply = not_made("make one of each");
            clean(request.where);
            return reply;
        }
        std::memcpy(reply.answer, ids, sizeof reply.where.ids);
        return reply;
    }

    Reply attempt(const Request& request, int /*passed*/) override {
        static constexpr const char* kinds[] = {"/proc/sysvipc/msg", "/proc/sysvipc/sem",
                                                "/proc/sysvipc/shm"};
        std::array<std::int32_t, token_bytes / sizeof(std::int32_t)> ids{};
        Ways ways;
        bool all = true;
        for (std::size_t i = 0; i < std::size(kinds); ++i) {
            const int found = find(kinds[i], request.where.key);
            if (found == -2) {
                ways.skipped(std::string("open ") + kinds[i] + ": " + std::strerror(errno));
                all = false;
            } else if (found == -1) {
                ways.refused(kinds[i], ENOENT);
                all = false;
            }
            ids[i] = found;
        }
        if (all) {
            ways.got(by_listing, "by listing", ids.data());
        } else if (std::any_of(ids.begin(), ids.begin() + std::size(kinds), [](int id) { return id >= 0; })) {
            // Some of the three, which cannot be: the answer is not the one that is wanted.
            ways.got(by_listing, "in part", ids.data());
        }
        return ways.reply();
    }

    void clean(const Locator& where) override {
        if (const int id = Queue::find(where.key); id >= 0) Queue::remove(id);
        if (const int id = Set::find(where.key); id >= 0) Set::remove(id);
        if (const int id = Segment::find(where.key); id >= 0) Segment::remove(id);
    }

private:
    // The id beside a key; -1: not listed; -2: cannot be read.
    static int find(const char* path, int wanted) {
        std::FILE* file = std::fopen(path, "re");
        if (file == nullptr) return -2;
        char line[512];
        int found = -1;
        while (std::fgets(line, sizeof line, file) != nullptr) {
            int key = 0;
            int id = -1;
            // NOLINTNEXTLINE(cert-err34-c): the heading has no numbers, and is passed by
            if (std::sscanf(line, "%d %d", &key, &id) == 2 && key == wanted) found = id;
        }
        std::fclose(file);
        return found;
    }

    Segment segment_;
};

} // namespace

std::unique_ptr<Trial> make_sysv_trial(ChannelId channel) {
    switch (channel) {
    case ChannelId::msg: return std::make_unique<SysvTrial<Queue>>();
    case ChannelId::sem: return std::make_unique<SysvTrial<Set>>();
    case ChannelId::shm: return std::make_unique<SysvTrial<Segment>>();
    default: return std::make_unique<ListTrial>();
    }
}

} // namespace ipcns::agent
