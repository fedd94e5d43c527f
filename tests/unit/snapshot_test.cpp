// SPDX-License-Identifier: Apache-2.0
// Snapshots: what was in a namespace is in its copy, whatever it was and on whatever way it came there. Everything is made
// and looked at by plain system calls.
#include "snapshot_support.hpp"

#include <ipcns/snapshot.hpp>

#include <gtest/gtest.h>

#include <semaphore.h>
#include <sys/resource.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <utility>

namespace ipcns::test {
namespace {

using Holding = Registry::Holding;

// ---- Random namespaces -------------------------------------------------------------------------------------------

// Fills the namespace that the thread is in.
class Maker {
public:
    // modest: within the limits of a new namespace
    Maker(std::uint64_t seed, bool modest, bool queue_messages)
        : random_(seed), modest_(modest), queue_messages_(queue_messages) {
        if (::getuid() == 0 && read_file("/proc/self/uid_map").find("4294967295") != std::string::npos)
            owners_ = {0, 1, 1000, 65533, 4294967294U};
    }

    void make_all() {
        if (!modest_ && chance(2)) {
            set_limit("kernel/msgmax", "70000");
            set_limit("kernel/msgmnb", "200000");
            set_limit("fs/mqueue/msg_max", "100");
            set_limit("fs/mqueue/msgsize_max", "70000");
            message_size_ = 70000;
            queue_size_ = 200000;
            most_messages_ = 100;
        }
        for (std::size_t i = below(5); i > 0; --i) make_queue();
        for (std::size_t i = below(5); i > 0; --i) make_set();
        for (std::size_t i = below(6); i > 0; --i) make_segment();
        for (std::size_t i = below(5); i > 0; --i) make_posix_queue();
        for (std::size_t i = below(4); i > 0; --i) make_named_semaphore();
        for (std::size_t i = below(5); i > 0; --i) make_shared_memory();
        if (!modest_ && chance(2)) lower_limits();
    }

    // While somebody reads it: some of what there is changes, goes, or is joined by more. Limits become what they may.
    void change() {
        ASSERT_FALSE(modest_);
        for (const auto& [file, value] : high_limits()) set_limit(file, value);
        struct shm_info segments {};
        for (int i = 0, last = ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&segments));
             i <= last; ++i) {
            struct shmid_ds about_segment {};
            constexpr int stat_any = 15; // SHM_STAT_ANY
            const int id = ::shmctl(i, stat_any, &about_segment);
            if (id < 0 || (about_segment.shm_perm.mode & SHM_DEST) != 0 || chance(3)) continue;
            if (chance(3)) {
                ASSERT_EQ(::shmctl(id, IPC_RMID, nullptr), 0);
                continue;
            }
            auto* const start = static_cast<unsigned char*>(::shmat(id, nullptr, 0));
            ASSERT_NE(start, reinterpret_cast<unsigned char*>(-1));
            for (std::size_t k = below(5); k > 0; --k) start[below(about_segment.shm_segsz)] ^= 1;
            ::shmdt(start);
        }
        struct msginfo queues {};
        for (int i = 0, last = ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&queues)); i <= last;
             ++i) {
            struct msqid_ds about_queue {};
            const int id = ::msgctl(i, MSG_STAT_ANY, &about_queue);
            if (id < 0) continue;
            std::vector<unsigned char> message(sizeof(long) + about_queue.__msg_cbytes + 1);
            if (chance(4)) {
                ASSERT_EQ(::msgctl(id, IPC_RMID, nullptr), 0);
            } else if (about_queue.msg_qnum != 0 && chance(2)) {
                ASSERT_GE(::msgrcv(id, message.data(), message.size() - sizeof(long), 0, IPC_NOWAIT), 0);
            }
        }
        for (const auto& name : names_in("/dev/shm")) {
            const std::string path = "/dev/shm/" + name;
            if (name.starts_with("sem.") || chance(2)) continue;
            struct stat file {};
            ASSERT_EQ(::stat(path.c_str(), &file), 0) << path;
            if (chance(3)) {
                ASSERT_EQ(::unlink(path.c_str()), 0) << path;
                continue;
            }
            ASSERT_EQ(::truncate(path.c_str(), chance(2) ? file.st_size / 2 : file.st_size + 100000), 0);
        }
        make_all();
    }

    // What is attached until the end: removed segments.
    [[nodiscard]] const std::vector<int>& removed() const { return removed_; }

private:
    std::uint64_t below(std::uint64_t end) { return random_() % end; }
    bool chance(std::uint64_t of) { return below(of) == 0; }
    unsigned owner() { return owners_[below(owners_.size())]; }
    unsigned short mode() { return static_cast<unsigned short>(below(01000)); }
    std::vector<unsigned char> bytes(std::size_t length) {
        std::vector<unsigned char> data(length);
        for (auto& byte : data) byte = static_cast<unsigned char>(random_());
        return data;
    }
    key_t key() {
        if (chance(4)) return IPC_PRIVATE;
        for (;;) {
            const auto chosen = static_cast<std::uint32_t>(random_() | (chance(2) ? 0x80000000U : 0U));
            if (chosen != 0 && keys_.insert(chosen).second) return static_cast<key_t>(chosen);
        }
    }
    // The next object of this kind has a place in the table that is far behind, and a high number.
    void choose_id(const char* kind) {
        if (chance(3)) return;
        const std::uint64_t id = below(500) + 32768 * below(65536);
        const int number =
            write_file(std::string("/proc/sys/kernel/") + kind + "_next_id", std::to_string(id));
        ASSERT_EQ(number, 0) << kind;
    }
    static void set_limit(const std::string& file, const std::string& value) {
        ASSERT_EQ(write_file("/proc/sys/" + file, value), 0) << file << " " << value;
    }

    void make_queue() {
        choose_id("msg");
        const int id = ::msgget(key(), IPC_CREAT | IPC_EXCL | 0600);
        ASSERT_GE(id, 0);
        std::size_t room = queue_size_;
        for (std::size_t i = below(12); i > 0; --i) {
            const std::size_t length = chance(4)   ? 0
                                       : chance(6) ? message_size_
                                                   : below(chance(2) ? 100 : message_size_);
            if (length > room) break;
            room -= length;
            auto data = bytes(sizeof(long) + length);
            const long type = chance(3)   ? 1
                              : chance(3) ? LONG_MAX
                                          : static_cast<long>(1 + below(LONG_MAX - 1));
            std::memcpy(data.data(), &type, sizeof type);
            ASSERT_EQ(::msgsnd(id, data.data(), length, IPC_NOWAIT), 0);
        }
        struct msqid_ds about_queue {};
        ASSERT_EQ(::msgctl(id, IPC_STAT, &about_queue), 0);
        about_queue.msg_perm.uid = owner();
        about_queue.msg_perm.gid = owner();
        about_queue.msg_perm.mode = mode();
        if (chance(2)) about_queue.msg_qbytes = 1 + below(queue_size_); // less than what is in it, perhaps
        ASSERT_EQ(::msgctl(id, IPC_SET, &about_queue), 0);
    }

    void make_set() {
        choose_id("sem");
        const std::size_t count = chance(40) ? 32000 : 1 + below(30);
        const int id = ::semget(key(), static_cast<int>(count), IPC_CREAT | IPC_EXCL | 0600);
        ASSERT_GE(id, 0);
        std::vector<unsigned short> values(count);
        for (auto& value : values) value = static_cast<unsigned short>(chance(2) ? 0 : below(32768));
        ASSERT_EQ(::semctl(id, 0, SETALL, values.data()), 0);
        struct semid_ds about_set {};
        ASSERT_EQ(::semctl(id, 0, IPC_STAT, &about_set), 0);
        about_set.sem_perm.uid = owner();
        about_set.sem_perm.gid = owner();
        about_set.sem_perm.mode = mode();
        ASSERT_EQ(::semctl(id, 0, IPC_SET, &about_set), 0);
    }

    void make_segment() {
        choose_id("shm");
        const std::size_t size = chance(4) ? 1 + below(5000) : 1 + below(600000);
        const int id = ::shmget(key(), size, IPC_CREAT | IPC_EXCL | 0600);
        ASSERT_GE(id, 0);
        auto* const start = static_cast<unsigned char*>(::shmat(id, nullptr, 0));
        ASSERT_NE(start, reinterpret_cast<unsigned char*>(-1));
        for (std::size_t i = below(6); i > 0; --i) {
            const std::size_t at = chance(4) ? 0 : below(size);
            const auto data =
                bytes(std::min<std::size_t>(chance(3) ? size - at : 1 + below(9000), size - at));
            std::copy(data.begin(), data.end(), start + at);
        }
        struct shmid_ds about_segment {};
        ASSERT_EQ(::shmctl(id, IPC_STAT, &about_segment), 0);
        about_segment.shm_perm.uid = owner();
        about_segment.shm_perm.gid = owner();
        about_segment.shm_perm.mode = mode();
        ASSERT_EQ(::shmctl(id, IPC_SET, &about_segment), 0);
        if (size < 20000 && chance(3)) {
            ASSERT_EQ(::shmctl(id, SHM_LOCK, nullptr), 0);
        }
        if (chance(8)) {
            ASSERT_EQ(::shmctl(id, IPC_RMID, nullptr), 0); // attached: it stays
            removed_.push_back(id);
        } else {
            ::shmdt(start);
        }
    }

    // Anything but a slash and NUL.
    std::string name(std::size_t longest) {
        static const std::vector<std::string> odd = {
            "a b",  "\n",   "a\nb\t\r", "\x1b[31mred\x1b[0m", "\xff\xfe", "\xc3\x28", "\xed\xa0\x80",
            "-rf",  "...",  ".hidden",  "\"quoted\"",         "\\",       "%s%n",     "\xe2\x80\xae",
            "sem.", "sem.x"};
        for (;;) {
            std::string chosen;
            if (chance(3)) {
                chosen = odd[below(odd.size())];
            } else {
                const std::size_t length = chance(5) ? longest : 1 + below(20);
                const bool plain = chance(2);
                while (chosen.size() < length) {
                    const auto letter = static_cast<char>(plain ? 'a' + below(26) : 1 + below(255));
                    if (letter != '/') chosen += letter;
                }
            }
            if (chosen != "." && chosen != ".." && names_.insert(chosen).second) return chosen;
        }
    }

    void make_posix_queue() {
        struct mq_attr attributes {};
        // All queues of a user, these and their copies, share RLIMIT_MSGQUEUE.
        attributes.mq_maxmsg = static_cast<long>(1 + below(most_messages_));
        const std::uint64_t room = 25000 / static_cast<std::uint64_t>(attributes.mq_maxmsg);
        attributes.mq_msgsize = static_cast<long>(1 + below(std::min<std::uint64_t>(room, message_size_)));
        const std::string file = "/" + name(255);
        const mqd_t queue =
            ::mq_open(file.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK | O_CLOEXEC, 0600, &attributes);
        ASSERT_GE(queue, 0) << file << " " << attributes.mq_maxmsg << " " << attributes.mq_msgsize
                            << std::strerror(errno);
        for (std::uint64_t i = queue_messages_ ? below(static_cast<std::uint64_t>(attributes.mq_maxmsg) + 1)
                                               : 0;
             i > 0; --i) {
            const auto data =
                bytes(chance(4) ? 0 : below(static_cast<std::uint64_t>(attributes.mq_msgsize) + 1));
            const char* const text = data.empty() ? "" : reinterpret_cast<const char*>(data.data());
            const auto priority = static_cast<unsigned>(chance(3)   ? below(3)
                                                        : chance(4) ? 32767
                                                                    : below(32768));
            ASSERT_EQ(::mq_send(queue, text, data.size(), priority), 0);
        }
        ASSERT_EQ(::fchown(queue, owner(), owner()), 0);
        ASSERT_EQ(::fchmod(queue, mode()), 0);
        ::mq_close(queue);
    }

    void make_named_semaphore() {
        const std::string chosen = name(249);
        sem_t* const semaphore = ::sem_open(("/" + chosen).c_str(), O_CREAT | O_EXCL, 0600,
                                            static_cast<unsigned>(chance(3) ? 0 : below(INT_MAX)));
        ASSERT_NE(semaphore, SEM_FAILED) << chosen;
        ::sem_close(semaphore);
        const std::string path = "/dev/shm/sem." + chosen;
        ASSERT_EQ(::chown(path.c_str(), owner(), owner()), 0);
        ASSERT_EQ(::chmod(path.c_str(), mode()), 0);
    }

    void make_shared_memory() {
        const std::string path = "/dev/shm/" + name(255);
        const Fd file(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600));
        ASSERT_TRUE(file) << path;
        const std::size_t size = chance(6) ? 0 : 1 + below(400000);
        ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(size)), 0);
        for (std::size_t i = size == 0 ? 0 : below(5); i > 0; --i) {
            const std::size_t at = below(size);
            const auto data = bytes(1 + below(std::min<std::size_t>(size - at, 9000)));
            ASSERT_EQ(::pwrite(file.get(), data.data(), data.size(), static_cast<off_t>(at)),
                      static_cast<ssize_t>(data.size()));
        }
        ASSERT_EQ(::fchown(file.get(), owner(), owner()), 0);
        ASSERT_EQ(::fchmod(file.get(), chance(5) ? 01777 : mode()), 0);
    }

    // Enough for all.
    static std::vector<std::pair<const char*, const char*>> high_limits() {
        return {{"kernel/msgmni", "1000"},
                {"kernel/msgmnb", "200000"},
                {"kernel/msgmax", "70000"},
                {"kernel/shmmni", "1000"},
                {"kernel/shmmax", "100000000"},
                {"kernel/shmall", "100000"},
                {"kernel/sem", "32000 1000000 100 1000"},
                {"fs/mqueue/queues_max", "100"},
                {"fs/mqueue/msg_max", "100"},
                {"fs/mqueue/msgsize_max", "70000"}};
    }

    // Below what is there already.
    void lower_limits() {
        static const std::vector<std::pair<const char*, const char*>> low = {
            {"kernel/msgmni", "1"},         {"kernel/msgmnb", "10"},
            {"kernel/msgmax", "5"},         {"kernel/shmmni", "1"},
            {"kernel/shmmax", "4096"},      {"kernel/shmall", "1"},
            {"kernel/sem", "2 3 5 1"},      {"fs/mqueue/queues_max", "1"},
            {"fs/mqueue/msg_max", "2"},     {"fs/mqueue/msgsize_max", "128"},
            {"fs/mqueue/msg_default", "3"}, {"fs/mqueue/msgsize_default", "130"}};
        for (const auto& [file, value] : low) {
            if (chance(2)) set_limit(file, value);
        }
    }

    std::mt19937_64 random_;
    bool modest_;
    bool queue_messages_;
    std::size_t message_size_ = 8192, queue_size_ = 16384;
    std::uint64_t most_messages_ = 10;
    std::vector<unsigned> owners_{0};
    std::set<std::uint32_t> keys_;
    std::set<std::string> names_;
    std::vector<int> removed_;
};

// The messages of POSIX queues take BPF.
bool can_read_queues() {
    return ::geteuid() == 0 && read_file("/proc/self/uid_map").find("4294967295") != std::string::npos;
}

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
    const char* const text = std::getenv(name);
    return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

enum class Way { pipe, file, precopy, zstd_pipe, zstd_file, clone, into };

std::string word_of(Way way) {
    constexpr std::array words = {"Pipe", "File", "Precopy", "ZstdPipe", "ZstdFile", "Clone", "Into"};
    return words.at(static_cast<std::size_t>(way));
}

void by_pipe(const Place& place, const OwnRegistry& names, const SaveOptions& how) {
    Pipe pipe = Pipe::make();
    std::exception_ptr thrown;
    std::thread saver([&] {
        try {
            (void)save(place, pipe.in.get(), how);
        } catch (...) {
            thrown = std::current_exception();
        }
        pipe.in.reset();
    });
    try {
        (void)restore(pipe.out.get(), *names, "copy");
    } catch (...) {
        pipe.out.reset();
        saver.join();
        if (thrown) std::rethrow_exception(thrown);
        throw;
    }
    saver.join();
    if (thrown) std::rethrow_exception(thrown);
}

void by_file(const Place& place, const OwnRegistry& names, const SaveOptions& how, bool into) {
    const TempFolder folder;
    const SaveReport report = save(place, folder / "file", how);
    const Fd file(::open((folder / "file").c_str(), O_RDONLY | O_CLOEXEC));
    struct stat about_file {};
    ASSERT_EQ(::fstat(file.get(), &about_file), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(about_file.st_size), report.written);
    EXPECT_EQ(about_file.st_mode & 07777U, 0600U);
    EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"file"});
    if (into) {
        names->create("copy");
        (void)restore_into(file.get(), names->open("copy"));
    } else {
        (void)restore(file.get(), *names, "copy");
    }
}

bool is_held(pid_t pid) {
    return field(read_file("/proc/" + std::to_string(pid) + "/status"), "State").starts_with("t");
}

// One random namespace, there and back.
void round_trip(std::uint64_t seed, Way way, const OwnRegistry& names) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const OwnPlace here;
    const bool into = way == Way::into;
    Maker maker(seed, into, can_read_queues());
    ASSERT_NO_FATAL_FAILURE(maker.make_all());
    Listing untouched;
    list_sysv(untouched, false);
    const Place place = OwnPlace::place();
    SaveOptions how;
    how.precopy = way == Way::precopy;
    // What was written by now is not what there is any more; unless all are held already, since nothing could be.
    std::optional<Forked> other;
    if (how.precopy) other.emplace([] { ::pause(); });
    bool changed = !how.precopy;
    how.progress = [&](const Progress&) {
        if (std::exchange(changed, true) || is_held(other->pid())) return;
        maker.change();
        untouched.clear();
        list_sysv(untouched, false);
    };
    switch (way) {
    case Way::zstd_pipe: how.zstd = 3; [[fallthrough]];
    case Way::pipe: by_pipe(place, names, how); break;
    case Way::zstd_file: how.zstd = 1; [[fallthrough]];
    case Way::file:
    case Way::precopy:
    case Way::into: by_file(place, names, how, into); break;
    case Way::clone: (void)clone_namespace(place, *names, "copy", how); break;
    }
    Listing still;
    list_sysv(still, false);
    EXPECT_EQ(difference(untouched, still), "") << "saving has changed something";
    const Listing before = here.take(!into);
    const Listing after = take_named(names, "copy", !into);
    EXPECT_EQ(difference(before, after), "");
    for (const int id : maker.removed()) {
        inside(names->open("copy").ipc, [&] {
            struct shmid_ds none {};
            EXPECT_EQ(::shmctl(id, IPC_STAT, &none), -1) << "a segment that was removed came back";
        });
    }
    (void)names->remove("copy");
}

class SnapshotRoundTrip : public ::testing::TestWithParam<Way> {};

INSTANTIATE_TEST_SUITE_P(Ways, SnapshotRoundTrip,
                         ::testing::Values(Way::pipe, Way::file, Way::precopy, Way::zstd_pipe, Way::zstd_file,
                                           Way::clone, Way::into),
                         [](const auto& way) { return word_of(way.param); });

// IPCNS_ROUND_TRIPS=5000 for a long run, IPCNS_ROUND_TRIPS_FROM=N to begin with the one that failed.
TEST_P(SnapshotRoundTrip, OfRandomNamespaces) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const std::uint64_t first = number_from_environment("IPCNS_ROUND_TRIPS_FROM", 1);
            // That one takes longer: all is read, and synced, twice.
            const std::uint64_t count =
                number_from_environment("IPCNS_ROUND_TRIPS", GetParam() == Way::precopy ? 12 : 34);
            for (std::uint64_t seed = first; seed < first + count; ++seed) {
                try {
                    round_trip(seed, GetParam(), names);
                } catch (const std::exception& error) {
                    ADD_FAILURE() << "seed " << seed << ": " << error.what();
                }
                if (HasFailure()) break;
            }
        },
        true);
}

// ---- Shared memory -----------------------------------------------------------------------------------------------

// Pages of all segments that are in memory.
std::uint64_t pages_in_memory() {
    struct shm_info info {};
    if (::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info)) < 0) broken("shmctl");
    return info.shm_rss + info.shm_swp;
}

// A segment that is attached as long as this lives.
class Attached {
public:
    explicit Attached(int id) : start_(static_cast<unsigned char*>(::shmat(id, nullptr, 0))) {
        if (start_ == reinterpret_cast<unsigned char*>(-1)) broken("attach a segment");
    }
    ~Attached() { ::shmdt(start_); }
    Attached(const Attached&) = delete;
    Attached& operator=(const Attached&) = delete;
    unsigned char& operator[](std::size_t at) const { return start_[at]; }

private:
    unsigned char* start_;
};

constexpr std::size_t mib = std::size_t{1} << 20;

// A segment whose bytes are no two blocks the same.
int filled_segment(key_t key, std::size_t size, std::uint64_t seed) {
    const int id = ::shmget(key, size, IPC_CREAT | IPC_EXCL | 0600);
    if (id < 0) broken("make a segment");
    const Attached segment(id);
    std::mt19937_64 random(seed);
    for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
        const std::uint64_t number = random();
        std::memcpy(&segment[at], &number, sizeof number);
    }
    return id;
}

TEST(Snapshot, HolesAreNeitherReadNorStoredNorMade) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            // An ordinary user has mincore(2) alone to find the holes, page by page.
            const std::size_t huge = std::size_t{1} << (::geteuid() == 0 ? 40 : 31);
            const int id = ::shmget(1, huge, IPC_CREAT | 0600 | SHM_NORESERVE);
            ASSERT_GE(id, 0) << std::strerror(errno);
            const std::array<std::size_t, 3> touched = {0, huge / 2 + 12345, huge - 1};
            {
                const Attached segment(id);
                for (const std::size_t at : touched) segment[at] = 7;
            }
            const Fd file(::open("/dev/shm/sparse", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
            ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(huge)), 0);
            for (const std::size_t at : touched)
                ASSERT_EQ(::pwrite(file.get(), "x", 1, static_cast<off_t>(at)), 1);
            struct stat before {
            }, after{};
            ASSERT_EQ(::fstat(file.get(), &before), 0);
            EXPECT_EQ(pages_in_memory(), 3U);

            const Fd saved = memory_file();
            const SaveReport report = save(OwnPlace::place(), saved.get());
            EXPECT_EQ(pages_in_memory(), 3U) << "reading has made holes";
            ASSERT_EQ(::fstat(file.get(), &after), 0);
            EXPECT_EQ(before.st_blocks, after.st_blocks);
            EXPECT_LT(report.written, 100000U);
            EXPECT_LE(report.contents, 6 * 4096U);

            const auto expect_same = [&](const std::string& name) {
                inside(names->open(name).ipc, [&] {
                    EXPECT_EQ(pages_in_memory(), 3U) << "of " << name;
                    const Attached copy(::shmget(1, 0, 0));
                    for (const std::size_t at : touched) EXPECT_EQ(copy[at], 7) << at;
                    EXPECT_EQ(copy[touched[1] - 1], 0);
                });
                struct stat there {};
                ASSERT_EQ(::stat((names / name + "/shm/sparse").c_str(), &there), 0);
                EXPECT_EQ(there.st_size, before.st_size);
                EXPECT_EQ(there.st_blocks, before.st_blocks);
            };
            ASSERT_EQ(::lseek(saved.get(), 0, SEEK_SET), 0);
            (void)restore(saved.get(), *names, "copy");
            expect_same("copy");
            (void)clone_namespace(OwnPlace::place(), *names, "clone");
            expect_same("clone");
            for (const char* name : {"copy", "clone"}) (void)names->remove(name);
        },
        true);
}

// Pages that were touched and hold zeros take no memory in the copy.
TEST(Snapshot, LockedAndRemovedSegments) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            const int locked = ::shmget(1, 5000, IPC_CREAT | 0600),
                      removed = ::shmget(2, 5000, IPC_CREAT | 0600);
            ASSERT_EQ(::shmctl(locked, SHM_LOCK, nullptr), 0);
            const Attached holder(removed);
            holder[1] = 1;
            ASSERT_EQ(::shmctl(removed, IPC_RMID, nullptr), 0);
            const Fd saved = memory_file();
            const SaveReport report = save(OwnPlace::place(), saved.get());
            ASSERT_EQ(report.notes.size(), 1U);
            EXPECT_EQ(report.notes[0],
                      "shm:" + std::to_string(removed) +
                          " is removed and goes with its last process: its content is not saved");
            ASSERT_EQ(report.snapshot.shm.size(), 2U);
            EXPECT_TRUE(report.snapshot.shm[0].record.locked);
            EXPECT_TRUE(report.snapshot.shm[1].record.removed);

            // Where its id is taken it is in nobody's way.
            names->create("used");
            inside(names->open("used").ipc, [&] {
                ASSERT_EQ(write_file("/proc/sys/kernel/shm_next_id", std::to_string(removed)), 0);
                ASSERT_EQ(::shmget(3, 4096, IPC_CREAT | 0600), removed);
            });
            ASSERT_EQ(::lseek(saved.get(), 0, SEEK_SET), 0);
            const RestoreReport restored = restore_into(saved.get(), names->open("used"));
            ASSERT_EQ(restored.notes.size(), 1U);
            EXPECT_NE(restored.notes[0].find("was removed already"), std::string::npos);
            inside(names->open("used").ipc, [&] {
                struct shmid_ds about_segment {};
                ASSERT_EQ(::shmctl(locked, IPC_STAT, &about_segment), 0);
                EXPECT_NE(about_segment.shm_perm.mode & SHM_LOCKED, 0);
                EXPECT_EQ(::shmget(2, 0, 0), -1);
            });
            (void)names->remove("used");
        },
        true);
}

TEST(Snapshot, HugePages) {
    NeedRoot();
    const auto make = [] { return ::shmget(1, std::size_t{2} << 20, IPC_CREAT | SHM_HUGETLB | 0600); };
    if (in_fork([&] { return enter_new_namespaces() == 0 && make() >= 0 ? 0 : 1; }) != 0)
        GTEST_SKIP() << "this machine has no huge pages set aside (vm.nr_hugepages)";
    in_new_namespaces([&] {
        const int id = make();
        const OwnRegistry names(Holding::mounts);
        Attached{id}[5] = 5;
        const Fd saved = memory_file();
        const SaveReport report = save({Namespace::current(), {}, {}, {}, {}}, saved.get());
        ASSERT_EQ(report.snapshot.shm.size(), 1U);
        EXPECT_EQ(report.snapshot.shm[0].huge_page, std::uint64_t{2} << 20);
        ASSERT_EQ(::shmctl(id, IPC_RMID, nullptr), 0); // there may be one page only
        ASSERT_EQ(::lseek(saved.get(), 0, SEEK_SET), 0);
        (void)restore(saved.get(), *names, "copy");
        inside(names->open("copy").ipc, [] { EXPECT_EQ(Attached(::shmget(1, 0, 0))[5], 5); });
        (void)names->remove("copy");
    });
}

// With that limit a segment goes when nobody has it attached, and nobody has when it was just made.
TEST(Snapshot, SegmentsStayDespiteShmRmidForced) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            const Attached holder(::shmget(1, 5000, IPC_CREAT | 0600));
            holder[7] = 7;
            ASSERT_EQ(write_file("/proc/sys/kernel/shm_rmid_forced", "1"), 0);
            const CloneReport report = clone_namespace(OwnPlace::place(), *names, "copy");
            const auto& notes = report.restored.notes;
            EXPECT_TRUE(std::any_of(notes.begin(), notes.end(), [](const std::string& note) {
                return note.find("shm_rmid_forced") != std::string::npos;
            }));
            inside(names->open("copy").ipc, [&] {
                const int id = ::shmget(1, 0, 0);
                ASSERT_GE(id, 0);
                EXPECT_EQ(Attached(id)[7], 7);
            });
            (void)names->remove("copy");
        },
        true);
}

// What goes away while others are read is a note.
TEST(Snapshot, LiveWithoutWhatWentAway) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            filled_segment(1, mib, 1);
            const int gone = filled_segment(2, mib, 2), small = filled_segment(3, 8, 3);
            ASSERT_EQ(write_file("/dev/shm/memory", "memory"), 0);
            SaveOptions how;
            how.live = true;
            bool done = false;
            how.progress = [&](const Progress&) {
                if (std::exchange(done, true)) return;
                EXPECT_EQ(::shmctl(gone, IPC_RMID, nullptr), 0);
                EXPECT_EQ(::shmctl(small, IPC_RMID, nullptr), 0);
                EXPECT_EQ(::unlink("/dev/shm/memory"), 0);
            };
            const Fd saved = memory_file();
            const SaveReport report = save(OwnPlace::place(), saved.get(), how);
            EXPECT_EQ(report.notes.size(), 3U);
            for (const auto& note : report.notes)
                EXPECT_NE(note.find("is without its content: it went away"), std::string::npos) << note;
            ASSERT_EQ(::lseek(saved.get(), 0, SEEK_SET), 0);
            (void)restore(saved.get(), *names, "copy");
            inside(names->open("copy").ipc, [] {
                EXPECT_EQ(Attached(::shmget(2, 0, 0))[5], 0);
                EXPECT_EQ(Attached(::shmget(3, 0, 0))[5], 0);
            });
            EXPECT_EQ(read_file(names / "copy/shm/memory"), std::string(6, '\0'));
            (void)names->remove("copy");
        },
        true);
}

// ---- Written beforehand ------------------------------------------------------------------------------------------

// Bytes that this process has given to write(2) and its like, as the kernel counts them.
std::uint64_t bytes_given() {
    std::istringstream io(read_file("/proc/self/io"));
    for (std::string what; io >> what;) {
        std::uint64_t bytes = 0;
        if (what == "wchar:" && io >> bytes) return bytes;
    }
    broken("read /proc/self/io");
}

Listing segments_of(const Namespace& ipc) {
    Listing all;
    inside(ipc, [&] { list_sysv(all); });
    return all;
}

// Saves the place, with something done once the first part has been written, brings it back and compares.
void save_beforehand(const OwnRegistry& names, const std::function<void()>& meanwhile, std::uint64_t& written,
                     std::uint64_t& written_again) {
    const TempFolder folder;
    SaveOptions how;
    how.precopy = true;
    bool done = false;
    how.progress = [&](const Progress& progress) {
        EXPECT_LE(progress.done, progress.all);
        if (!std::exchange(done, true)) meanwhile();
    };
    const std::uint64_t given = bytes_given();
    const SaveReport report = save(OwnPlace::place(), folder / "file", how);
    const std::uint64_t all = bytes_given() - given;
    written = report.written;
    written_again = report.written_again;
    EXPECT_TRUE(done);
    EXPECT_FALSE(report.snapshot.live);
    struct stat file {};
    ASSERT_EQ(::stat((folder / "file").c_str(), &file), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(file.st_size), written);
    // The first time, again, and what comes when all is over.
    EXPECT_LE(all, std::max(written, 16 * mib + written_again) + written_again + 100000);
    EXPECT_GE(all, written_again);
    const Fd input(::open((folder / "file").c_str(), O_RDONLY | O_CLOEXEC));
    (void)restore(input.get(), *names, "copy");
    EXPECT_EQ(difference(segments_of(OwnPlace::place().ipc), segments_of(names->open("copy").ipc)), "");
    (void)names->remove("copy");
}

TEST(Snapshot, OfWhatWasWrittenBeforehandOnlyWhatDiffersIsWrittenAgain) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            const int id = filled_segment(1, 16 * mib, 1);
            std::uint64_t written = 0, again = 0;
            ASSERT_NO_FATAL_FAILURE(save_beforehand(
                names, [] {}, written, again));
            EXPECT_GT(written, 16 * mib);
            EXPECT_LE(again, 100000U);
            // A byte of what was written already, and one of what was not.
            const Attached segment(id);
            ASSERT_NO_FATAL_FAILURE(save_beforehand(
                names,
                [&] {
                    segment[5] ^= 1;
                    segment[16 * mib - 1] ^= 1;
                },
                written, again));
            EXPECT_GT(again, 0U);
            EXPECT_LE(again, 200000U);
            // All of it.
            ASSERT_NO_FATAL_FAILURE(save_beforehand(
                names,
                [&] {
                    for (std::size_t at = 0; at < mib / 4; at += 4096) segment[at] ^= 1;
                },
                written, again));
            EXPECT_GE(again, mib / 4);
            EXPECT_LE(again, mib / 2);
            // What comes before it in the file: there is more, then less.
            const int queue = ::msgget(7, IPC_CREAT | 0600);
            std::array<char, 8000> message{};
            message[0] = 1;
            ASSERT_NO_FATAL_FAILURE(save_beforehand(
                names, [&] { ASSERT_EQ(::msgsnd(queue, message.data(), 7000, 0), 0); }, written, again));
            EXPECT_LE(again, 200000U);
            ASSERT_NO_FATAL_FAILURE(save_beforehand(
                names, [&] { ASSERT_EQ(::msgrcv(queue, message.data(), 7000, 0, 0), 7000); }, written,
                again));
            EXPECT_LE(again, 200000U);
        },
        true);
}

// Everything behind it is at another place in the file; and the file ends earlier, or later.
TEST(Snapshot, WhatCameOrWentAfterItWasWrittenBeforehand) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            const int first = filled_segment(1, mib, 1);
            const int last = filled_segment(2, 8 * mib, 2);
            std::uint64_t written = 0, again = 0;
            const auto meanwhile = [&](const std::function<void()>& change) {
                ASSERT_NO_FATAL_FAILURE(save_beforehand(names, change, written, again));
            };
            meanwhile([&] { (void)filled_segment(3, mib, 3); });
            EXPECT_GT(written, 10 * mib);
            meanwhile([&] { ::shmctl(first, IPC_RMID, nullptr); });
            EXPECT_LT(written, 10 * mib);
            EXPECT_GT(written, 9 * mib);
            meanwhile([&] { ::shmctl(last, IPC_RMID, nullptr); });
            EXPECT_LT(written, 2 * mib);
            meanwhile([&] {
                const int queue = ::msgget(7, IPC_CREAT | 0600);
                const std::array<long, 3> message{5, 6, 7};
                ASSERT_EQ(::msgsnd(queue, message.data(), 16, 0), 0);
            });
        },
        true);
}

// Who is inside writes all the time: two numbers at both ends of a segment, one after the other.
TEST(Snapshot, WrittenBeforehandIsOfTheMomentInWhichTheyStoodStill) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            const int id = filled_segment(1, 8 * mib, 1);
            const Attached segment(id);
            const auto number = [&](std::size_t at) -> volatile std::uint64_t& {
                return reinterpret_cast<volatile std::uint64_t&>(segment[at]);
            };
            number(0) = 0;
            number(8 * mib - 8) = 0;
            const Forked writer([&]() -> int {
                for (;;) {
                    number(0) = number(0) + 1;
                    number(8 * mib - 8) = number(0);
                }
            });
            ASSERT_TRUE(eventually([&] { return number(8 * mib - 8) > 1000; }));
            const TempFolder folder;
            SaveOptions how;
            how.precopy = true;
            std::uint64_t before = 0;
            how.progress = [&](const Progress&) {
                if (before == 0) before = number(8 * mib - 8);
                // It has gone on since that was written.
                if (before == 0 || number(0) > before + 1000) return;
                EXPECT_TRUE(eventually([&] { return number(0) > before + 1000; }));
            };
            for (int i = 0; i < 5; ++i) {
                before = 0;
                const SaveReport report = save(OwnPlace::place(), folder / "file", how);
                EXPECT_EQ(report.held, 1U);
                EXPECT_GT(report.pause.count(), 0);
                EXPECT_GT(report.written_again, 0U);
                const Fd input(::open((folder / "file").c_str(), O_RDONLY | O_CLOEXEC));
                (void)restore(input.get(), *names, "copy");
                inside(names->open("copy").ipc, [&] {
                    const Attached copy(::shmget(1, 0, 0));
                    std::uint64_t begin = 0, end = 0;
                    std::memcpy(&begin, &copy[0], 8);
                    std::memcpy(&end, &copy[8 * mib - 8], 8);
                    EXPECT_GT(end, before + 900);
                    EXPECT_TRUE(begin == end || begin == end + 1) << begin << " " << end;
                });
                (void)names->remove("copy");
            }
        },
        true);
}

// Somebody is killed in the pause: all begins anew, in the same file.
TEST(Snapshot, WrittenBeforehandAndDisturbed) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            const Attached segment(filled_segment(1, 8 * mib, 1));
            const Forked stays([] { ::pause(); }), goes([] { ::pause(); });
            const TempFolder folder;
            SaveOptions how;
            how.precopy = true;
            bool killed = false;
            how.progress = [&](const Progress&) {
                if (killed || !is_held(goes.pid())) return;
                killed = true;
                segment[4 * mib] ^= 1;
                goes.signal(SIGKILL);
            };
            const SaveReport report = save(OwnPlace::place(), folder / "file", how);
            EXPECT_TRUE(killed);
            EXPECT_EQ(report.held, 1U);
            EXPECT_LE(report.written_again, 200000U);
            const Fd input(::open((folder / "file").c_str(), O_RDONLY | O_CLOEXEC));
            (void)restore(input.get(), *names, "copy");
            EXPECT_EQ(difference(segments_of(OwnPlace::place().ipc), segments_of(names->open("copy").ipc)),
                      "");
            (void)names->remove("copy");
        },
        true);
}

// ---- All or nothing ----------------------------------------------------------------------------------------------

// Whoever is there already stays as he is, whatever is taken.
TEST(Snapshot, NothingIsAddedWhereSomethingIsTaken) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const Fd saved = memory_file();
            {
                const OwnPlace here;
                ASSERT_GE(::msgget(0x11, IPC_CREAT | 0600), 0);
                ASSERT_GE(::semget(0x22, 1, IPC_CREAT | 0600), 0);
                ASSERT_GE(::shmget(0x33, 10, IPC_CREAT | 0600), 0);
                ::mq_close(::mq_open("/queue", O_CREAT | O_RDWR, 0600, nullptr));
                ASSERT_EQ(write_file("/dev/shm/memory", "memory"), 0);
                ::sem_close(::sem_open("/semaphore", O_CREAT, 0600, 3));
                (void)save(OwnPlace::place(), saved.get());
                (void)here.take();
            }
            struct Taken {
                const char* what;
                std::function<void(const std::string& shared)> take;
            };
            const std::vector<Taken> all = {
                {"msg:0", [](const std::string&) { (void)::msgget(0x99, IPC_CREAT | 0600); }},
                {"msg:0",
                 [](const std::string&) {
                     (void)write_file("/proc/sys/kernel/msg_next_id", "7");
                     (void)::msgget(0x11, IPC_CREAT | 0600);
                 }},
                {"sem:0", [](const std::string&) { (void)::semget(0x99, 1, IPC_CREAT | 0600); }},
                {"sem:0",
                 [](const std::string&) {
                     (void)write_file("/proc/sys/kernel/sem_next_id", "7");
                     (void)::semget(0x22, 1, IPC_CREAT | 0600);
                 }},
                {"shm:0", [](const std::string&) { (void)::shmget(0x99, 1, IPC_CREAT | 0600); }},
                {"shm:0",
                 [](const std::string&) {
                     (void)write_file("/proc/sys/kernel/shm_next_id", "7");
                     (void)::shmget(0x33, 1, IPC_CREAT | 0600);
                 }},
                // The same place in the table, with another number.
                {"shm:0",
                 [](const std::string&) {
                     (void)write_file("/proc/sys/kernel/shm_next_id", "65536");
                     (void)::shmget(0x99, 1, IPC_CREAT | 0600);
                 }},
                {"mq:/queue",
                 [](const std::string&) {
                     ::mq_close(::mq_open("/queue", O_CREAT | O_RDWR, 0600, nullptr));
                 }},
                {"pshm:/memory",
                 [](const std::string& shared) { (void)write_file(shared + "/memory", "other"); }},
                {"psem:/semaphore",
                 [](const std::string& shared) { (void)write_file(shared + "/sem.semaphore", "other"); }},
            };
            for (const auto& one : all) {
                SCOPED_TRACE(one.what);
                names->create("used");
                const Place place = names->open("used");
                const std::string shared = names / "used/shm";
                inside(place.ipc, [&] { one.take(shared); });
                Listing before, after;
                inside(place.ipc, [&] {
                    list_sysv(before);
                    list_files(before, shared);
                });
                ASSERT_EQ(::lseek(saved.get(), 0, SEEK_SET), 0);
                std::string what;
                EXPECT_EQ(error_of([&] { (void)restore_into(saved.get(), place); }, &what), EEXIST);
                EXPECT_NE(what.find(std::string("restore ") + one.what), std::string::npos) << what;
                inside(place.ipc, [&] {
                    list_sysv(after);
                    list_files(after, shared);
                });
                EXPECT_EQ(difference(before, after), "");
                EXPECT_EQ(before.size(), one.what == std::string("mq:/queue") ? 0U : 1U);
                (void)names->remove("used");
            }
        },
        true);
}

// A file that goes bad in its last part: what was made until then is taken away again.
TEST(Snapshot, WhatWasAddedGoesAgain) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            const OwnPlace here;
            Maker maker(3, true, false);
            ASSERT_NO_FATAL_FAILURE(maker.make_all());
            const int id = ::shmget(IPC_PRIVATE, 100000, IPC_CREAT | 0600);
            Attached{id}[50000] = 1;
            const Fd saved = memory_file();
            (void)save(OwnPlace::place(), saved.get());
            std::string bytes = bytes_of(saved.get());
            const auto at = bytes.rfind("xxh128\": \"");
            ASSERT_NE(at, std::string::npos);
            char& digit = bytes[at + 10];
            digit = digit == '0' ? '1' : '0';
            names->create("used");
            const Place place = names->open("used");
            inside(place.ipc, [] {
                ASSERT_EQ(write_file("/proc/sys/kernel/msg_next_id", "32000"), 0);
                ASSERT_EQ(::msgget(0x77, IPC_CREAT | 0600), 32000);
            });
            const auto list = [&] {
                Listing all;
                inside(place.ipc, [&] {
                    list_limits(all);
                    list_sysv(all);
                });
                list_files(all, names / "used/shm");
                for (const auto& queue : names_in(names / "used/mqueue")) all[queue] = "queue";
                return all;
            };
            const Listing before = list();
            std::string what;
            EXPECT_EQ(error_of([&] { (void)restore_into(memory_file(bytes).get(), place); }, &what), EBADMSG);
            EXPECT_NE(what.find("checksum"), std::string::npos) << what;
            EXPECT_EQ(difference(before, list()), "");
            EXPECT_EQ(error_of([&] { (void)restore(memory_file(bytes).get(), *names, "copy"); }), EBADMSG);
            EXPECT_EQ(names.entries(), std::set<std::string>{"used"});
            (void)names->remove("used");
            (void)here.take();
        },
        true);
}

TEST(Snapshot, NamesAndOptions) {
    NeedNamespaces();
    in_new_namespaces(
        [] {
            const OwnRegistry names(Holding::mounts);
            names->create("first");
            const Fd saved = memory_file(), nameless = memory_file();
            (void)save(names->open("first"), saved.get());
            const auto rewound = [](const Fd& file) {
                ::lseek(file.get(), 0, SEEK_SET);
                return file.get();
            };
            // The saved name is taken; then it is not.
            EXPECT_EQ(error_of([&] { (void)restore(rewound(saved), *names, {}); }), EEXIST);
            (void)names->remove("first");
            (void)restore(rewound(saved), *names, {});
            EXPECT_EQ(names.entries(), std::set<std::string>{"first"});
            EXPECT_THROW((void)restore(rewound(saved), *names, "a/b"), UsageError);
            EXPECT_THROW((void)restore(rewound(saved), *names, ".."), UsageError);
            (void)save({Namespace::current(), {}, {}, {}, {}}, nameless.get());
            EXPECT_EQ(error_of([&] { (void)restore(rewound(nameless), *names, {}); }), EINVAL);
            EXPECT_EQ(names.entries(), std::set<std::string>{"first"});

            SaveOptions how;
            for (const int level : {0, 20, -1}) {
                how.zstd = level;
                EXPECT_THROW((void)save(names->open("first"), rewound(saved), how), UsageError) << level;
            }
            how.zstd = 1;
            EXPECT_THROW((void)clone_namespace(names->open("first"), *names, "second", how), UsageError);
            how = {};
            how.live = true;
            how.max_pause = std::chrono::seconds(1);
            EXPECT_THROW((void)save(names->open("first"), rewound(saved), how), UsageError);
            how = {};
            how.live = how.drain = true;
            EXPECT_THROW((void)save(names->open("first"), rewound(saved), how), UsageError);
            EXPECT_THROW((void)clone_namespace(names->open("first"), *names, "second", how), UsageError);
            // Where nothing can be taken back, nobody pauses, or all behind a change is another thing.
            const TempFolder folder;
            ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
            how = {};
            how.precopy = true;
            const auto refused = [&](const SaveOptions& options, const std::string& file) {
                EXPECT_THROW((void)save(names->open("first"), std::filesystem::path(file), options),
                             UsageError)
                    << file;
            };
            EXPECT_THROW((void)save(names->open("first"), rewound(saved), how), UsageError);
            EXPECT_THROW((void)clone_namespace(names->open("first"), *names, "second", how), UsageError);
            refused(how, folder / "fifo");
            refused(how, "/dev/null");
            SaveOptions both = how;
            both.live = true;
            refused(both, folder / "file");
            both = how;
            both.zstd = 1;
            refused(both, folder / "file");
            both = how;
            both.drain = true;
            refused(both, folder / "file");
            EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"fifo"});
            EXPECT_EQ(error_of([&] { (void)clone_namespace(names->open("first"), *names, "first"); }),
                      EEXIST);
            EXPECT_EQ(names.entries(), std::set<std::string>{"first"});
            (void)names->remove("first");
        },
        true);
}

// The owner of an object is replaced, its ids are new ones.
TEST(Snapshot, OtherOwnersAndNewIds) {
    NeedRoot();
    in_new_namespaces([] {
        const OwnRegistry names(Holding::mounts);
        const OwnPlace here;
        ASSERT_EQ(write_file("/proc/sys/kernel/shm_next_id", "777"), 0);
        const int id = ::shmget(0x5, 10, IPC_CREAT | 0640);
        ASSERT_EQ(id, 777);
        struct shmid_ds about_segment {};
        about_segment.shm_perm.uid = 1000;
        about_segment.shm_perm.gid = 2000;
        about_segment.shm_perm.mode = 0640;
        ASSERT_EQ(::shmctl(id, IPC_SET, &about_segment), 0);
        ASSERT_EQ(write_file("/dev/shm/memory", "memory"), 0);
        ASSERT_EQ(::chown("/dev/shm/memory", 1000, 7), 0);
        RestoreOptions options;
        options.users = {{1000, 65533}};
        options.groups = {{2000, 1}};
        options.new_ids = true;
        (void)clone_namespace(OwnPlace::place(), *names, "copy", {}, options);
        inside(names->open("copy").ipc, [&] {
            const int copy = ::shmget(0x5, 0, 0);
            EXPECT_EQ(copy, 0);
            struct shmid_ds about_copy {};
            ASSERT_EQ(::shmctl(copy, IPC_STAT, &about_copy), 0);
            EXPECT_EQ(about_copy.shm_perm.uid, 65533U);
            EXPECT_EQ(about_copy.shm_perm.gid, 1U);
            EXPECT_EQ(about_copy.shm_perm.mode & 0777, 0640);
        });
        struct stat file {};
        ASSERT_EQ(::stat((names / "copy/shm/memory").c_str(), &file), 0);
        EXPECT_EQ(file.st_uid, 65533U);
        EXPECT_EQ(file.st_gid, 7U);
        (void)names->remove("copy");
    });
}

} // namespace
} // namespace ipcns::test
