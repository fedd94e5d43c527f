// SPDX-License-Identifier: Apache-2.0
// Who holds and who waits, against processes that do, and what the kernel counts itself (nattch, the numbers of waiters
// of a semaphore). Each test has namespaces of its own, in a child process.
#include "support.hpp"

#include "maps.hpp"

#include <ipcns/error.hpp>
#include <ipcns/holders.hpp>

#include <linux/futex.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace ipcns {
namespace {

using test::call_of;
using test::eventually;

using std::chrono::system_clock;
using test::broken;
using test::in_new_namespaces;
using test::Waiting;

const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));

// ---- What the tests work with --------------------------------------------------------------------------------------

NamespaceId own_space() {
    struct stat about {};
    if (::stat("/proc/thread-self/ns/ipc", &about) != 0) broken("stat of the own namespace");
    return {about.st_dev, about.st_ino};
}

int make_segment(std::size_t bytes, int flags = 0) {
    const int id = ::shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600 | flags);
    if (id < 0) broken("shmget");
    return id;
}

void* attach(int id, int flags = 0) {
    void* const at = ::shmat(id, nullptr, flags);
    if (at == reinterpret_cast<void*>(-1)) broken("shmat");
    return at;
}

// The kernel's own count.
std::size_t attached(int id) {
    struct shmid_ds about {};
    if (::shmctl(id, IPC_STAT, &about) != 0) broken("shmctl");
    return about.shm_nattch;
}

int make_queue() {
    const int id = ::msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    if (id < 0) broken("msgget");
    return id;
}

int make_set(int count) {
    const int id = ::semget(IPC_PRIVATE, count, IPC_CREAT | 0600);
    if (id < 0) broken("semget");
    return id;
}

mqd_t open_queue(const char* name, int flags, long messages = 1, long size = 16) {
    struct mq_attr wanted {};
    wanted.mq_maxmsg = messages;
    wanted.mq_msgsize = size;
    const mqd_t queue = ::mq_open(name, flags | O_CLOEXEC, 0600, &wanted);
    if (queue < 0) broken("mq_open");
    return queue;
}

FileId file_of(int fd) {
    struct stat about {};
    if (::fstat(fd, &about) != 0) broken("fstat");
    return {about.st_dev, about.st_ino};
}

void private_shared_memory() {
    if (::mount("none", "/dev/shm", "tmpfs", 0, nullptr) != 0) broken("mount /dev/shm");
}

int open_memory(const char* name, int flags, off_t bytes = 0) {
    const int fd = ::shm_open(name, flags, 0600);
    if (fd < 0) broken("shm_open");
    if (bytes != 0 && ::ftruncate(fd, bytes) != 0) broken("ftruncate");
    return fd;
}

void* map(int fd, std::size_t bytes, int protection = PROT_READ, int kind = MAP_SHARED) {
    void* const at = ::mmap(nullptr, bytes, protection, kind, fd, 0);
    if (at == MAP_FAILED) broken("mmap");
    return at;
}

// A process that is blocked in a call with one of these numbers, until the object goes.
class Blocked {
public:
    Blocked(const std::set<long>& calls, const std::function<void()>& call) {
        std::fflush(nullptr);
        before_ = system_clock::now();
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            call();
            std::fprintf(stderr, "a call that should block came back: %s\n", std::strerror(errno));
            ::_exit(99);
        }
        if (pid_ < 0) broken("fork");
        if (!eventually([&] { return calls.contains(call_of(pid_, pid_)); })) {
            end();
            throw std::runtime_error("a child process does not block");
        }
        after_ = system_clock::now();
    }
    ~Blocked() { end(); }
    Blocked(const Blocked&) = delete;
    Blocked& operator=(const Blocked&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] system_clock::time_point before() const { return before_; }
    [[nodiscard]] system_clock::time_point after() const { return after_; }

private:
    void end() const {
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
    }

    pid_t pid_ = -1;
    system_clock::time_point before_, after_;
};

HolderIndex take(std::vector<dev_t> devices = {}) {
    HoldersOptions options;
    options.devices = std::move(devices);
    return HolderIndex::take({}, options);
}

const Mapping* mapping_of(const Holders* holders, pid_t pid) {
    if (holders == nullptr) return nullptr;
    for (const auto& one : holders->mappings)
        if (one.pid == pid) return &one;
    return nullptr;
}

// The one waiter there is; a default one, and a failure, otherwise.
Waiter only_waiter(const Holders* holders) {
    EXPECT_NE(holders, nullptr);
    if (holders == nullptr) return {};
    EXPECT_EQ(holders->waiters.size(), 1U);
    return holders->waiters.size() == 1 ? holders->waiters[0] : Waiter{};
}

// Processes with memory of their own that are not this user's, from what anybody may read.
std::set<pid_t> foreign_processes() {
    std::set<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const pid_t pid = std::atoi(entry.path().filename().c_str());
        struct stat about {};
        if (pid <= 0 || ::stat(entry.path().c_str(), &about) != 0 || about.st_uid == ::geteuid()) continue;
        try {
            if (test::read_file(entry.path() / "status").find("VmSize:") != std::string::npos)
                found.insert(pid);
        } catch (const std::system_error&) {
            // gone
        }
    }
    return found;
}

#define NeedSelf()    \
    NeedNamespaces(); \
    if (::access("/proc/self/syscall", R_OK) != 0) GTEST_SKIP() << "this kernel has no /proc/PID/syscall"

// ---- Segments ------------------------------------------------------------------------------------------------------

TEST(HoldersSegments, EachProcessWithWhatItMaps) {
    NeedNamespaces();
    in_new_namespaces([] {
        const int segment = make_segment(3 * page + 1);
        const int other = make_segment(page);
        const int unused = make_segment(page);
        const Waiting once([&] { attach(segment); });
        const Waiting twice([&] {
            attach(segment);
            attach(segment, SHM_RDONLY);
        });
        const Waiting elsewhere([&] { attach(other); });
        const auto index = take();
        const Holders* holders = index.of(own_space(), SegmentId{segment});
        ASSERT_NE(holders, nullptr);
        const std::vector<Mapping> expected{{once.pid(), 4 * page, 1, 0}, {twice.pid(), 8 * page, 2, 0}};
        EXPECT_EQ(holders->mappings, expected);
        EXPECT_TRUE(holders->descriptors.empty());
        EXPECT_TRUE(holders->waiters.empty());
        EXPECT_EQ(holders->attachments(), attached(segment));
        const Holders* others = index.of(own_space(), SegmentId{other});
        ASSERT_NE(others, nullptr);
        EXPECT_EQ(others->mappings, (std::vector<Mapping>{{elsewhere.pid(), page, 1, 0}}));
        EXPECT_EQ(index.of(own_space(), SegmentId{unused}), nullptr);
        // The same number, but another kind.
        EXPECT_EQ(index.of(own_space(), QueueId{segment}), nullptr);
        EXPECT_EQ(index.of(own_space(), SemaphoreSetId{segment}), nullptr);
    });
}

TEST(HoldersSegments, TheCallerItselfAndRemovedOnesAndSplitMappings) {
    NeedNamespaces();
    in_new_namespaces([] {
        const int segment = make_segment(8 * page);
        auto* const at = static_cast<char*>(attach(segment));
        ASSERT_EQ(::shmctl(segment, IPC_RMID, nullptr), 0); // lives on under its id as long as it is attached
        ASSERT_EQ(::mprotect(at + 2 * page, page, PROT_READ), 0);
        ASSERT_EQ(attached(segment), 3U);
        const auto index = take();
        const Holders* holders = index.of(own_space(), SegmentId{segment});
        ASSERT_NE(holders, nullptr);
        EXPECT_EQ(holders->mappings, (std::vector<Mapping>{{::getpid(), 8 * page, 3, 0}}));
    });
}

TEST(HoldersSegments, HugePages) {
    NeedRoot();
    in_new_namespaces([] {
        constexpr std::size_t bytes = std::size_t{1} << 21;
        const int segment = ::shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600 | SHM_HUGETLB | SHM_NORESERVE);
        if (segment < 0) {
            std::printf("not tried: this kernel has no huge pages\n");
            return;
        }
        const int ordinary = make_segment(page);
        attach(segment);
        attach(ordinary);
        const auto index = take();
        const Mapping* mapping = mapping_of(index.of(own_space(), SegmentId{segment}), ::getpid());
        ASSERT_NE(mapping, nullptr);
        std::uint64_t size = 0;
        std::sscanf(std::strstr(test::read_file("/proc/meminfo").c_str(), "Hugepagesize:"),
                    "Hugepagesize: %lu", &size);
        EXPECT_EQ(mapping->huge_page, size * 1024);
        EXPECT_EQ(mapping->bytes % mapping->huge_page, 0U);
        mapping = mapping_of(index.of(own_space(), SegmentId{ordinary}), ::getpid());
        ASSERT_NE(mapping, nullptr);
        EXPECT_EQ(mapping->huge_page, 0U);
    });
}

TEST(HoldersSegments, FilesThatBearTheNameAreNoSegments) {
    NeedNamespaces();
    in_new_namespaces([] {
        private_shared_memory();
        const test::TempFolder folder;
        const std::string path = folder / "SYSV00000000 (deleted)";
        const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        ASSERT_EQ(::ftruncate(file, static_cast<off_t>(page)), 0);
        map(file, page);
        const int memory = ::memfd_create("SYSV00000000", MFD_CLOEXEC);
        ASSERT_EQ(::ftruncate(memory, static_cast<off_t>(page)), 0);
        map(memory, page);
        const int shared = open_memory("/SYSV00000000", O_RDWR | O_CREAT, static_cast<off_t>(page));
        map(shared, page);
        const auto index = take({file_of(shared).device});
        for (const int fd : {file, memory, shared})
            EXPECT_EQ(index.of(own_space(), SegmentId{static_cast<int>(file_of(fd).inode)}), nullptr);
        EXPECT_NE(index.of(file_of(shared)), nullptr);
        EXPECT_EQ(index.of(file_of(file)), nullptr); // on a file system that was not asked for
    });
}

TEST(HoldersSegments, TheSameIdInTwoNamespaces) {
    NeedNamespaces();
    in_new_namespaces([] {
        const int mine = make_segment(page);
        const Waiting holder([&] { attach(mine); });
        const NamespaceId first = own_space();
        if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
        const int its = make_segment(2 * page);
        ASSERT_EQ(mine, its); // both begin at the same number
        const Waiting other([&] { attach(its); });
        const NamespaceId second = own_space();

        const auto both = take();
        ASSERT_NE(both.of(first, SegmentId{mine}), nullptr);
        EXPECT_EQ(both.of(first, SegmentId{mine})->mappings,
                  (std::vector<Mapping>{{holder.pid(), page, 1, 0}}));
        ASSERT_NE(both.of(second, SegmentId{its}), nullptr);
        EXPECT_EQ(both.of(second, SegmentId{its})->mappings,
                  (std::vector<Mapping>{{other.pid(), 2 * page, 1, 0}}));

        const auto one = HolderIndex::take({second});
        EXPECT_EQ(one.of(first, SegmentId{mine}), nullptr);
        ASSERT_NE(one.of(second, SegmentId{its}), nullptr);
        EXPECT_EQ(one.of(second, SegmentId{its})->mappings.size(), 1U);
    });
}

// What the header says can be wrong, and how nattch tells.
TEST(HoldersSegments, WhoMovedAwayIsMissing) {
    NeedNamespaces();
    in_new_namespaces([] {
        const int segment = make_segment(page);
        const Waiting stays([&] { attach(segment); });
        const Waiting moves([&] {
            attach(segment);
            if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
        });
        const auto index = take();
        const Holders* holders = index.of(own_space(), SegmentId{segment});
        ASSERT_NE(holders, nullptr);
        EXPECT_EQ(holders->mappings, (std::vector<Mapping>{{stays.pid(), page, 1, 0}}));
        EXPECT_EQ(attached(segment), 2U);
        EXPECT_LT(holders->attachments(), attached(segment));
    });
}

TEST(HoldersSegments, OfAProcessWhoseMainThreadHasEnded) {
    NeedNamespaces();
    in_new_namespaces([] {
        const int segment = make_segment(page);
        const int set = make_set(1);
        std::fflush(nullptr);
        const pid_t child = ::fork();
        if (child == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            attach(segment);
            pthread_t thread{};
            int argument = set;
            ::pthread_create(
                &thread, nullptr,
                [](void* id) -> void* {
                    struct sembuf take_one {
                        0, -1, 0
                    };
                    ::semop(*static_cast<int*>(id), &take_one, 1);
                    ::_exit(99);
                },
                &argument);
            // Only this thread, without what pthread_exit would run.
            ::syscall(SYS_exit, 0);
        }
        ASSERT_GT(child, 0);
        ASSERT_TRUE(eventually([&] { return ::semctl(set, 0, GETNCNT) == 1; }));
        ASSERT_TRUE(eventually([&] {
            return test::read_file("/proc/" + std::to_string(child) + "/stat").find(") Z ") !=
                   std::string::npos;
        }));
        const auto index = take();
        EXPECT_NE(mapping_of(index.of(own_space(), SegmentId{segment}), child), nullptr);
        const Waiter waiter = only_waiter(index.of(own_space(), SemaphoreSetId{set}));
        EXPECT_EQ(waiter.pid, child);
        EXPECT_NE(waiter.thread, child);
        ::kill(child, SIGKILL);
        ::waitpid(child, nullptr, 0);
    });
}

// Many processes with many segments, and what the kernel counts for each segment and can be read of each process.
TEST(HoldersSegments, ThreeHundredProcessesAtRandom) {
    NeedNamespaces();
    in_new_namespaces([] {
        constexpr std::size_t processes = 300;
        constexpr std::size_t segments = 40;
        std::mt19937 random(20240229);
        std::vector<int> ids;
        std::vector<std::uint64_t> sizes;
        for (std::size_t i = 0; i < segments; ++i) {
            sizes.push_back((1 + random() % 8) * page);
            ids.push_back(make_segment(sizes.back()));
        }
        std::vector<std::unique_ptr<Waiting>> all;
        std::vector<std::vector<std::size_t>> choices(processes, std::vector<std::size_t>(segments));
        for (auto& choice : choices) {
            for (std::size_t i = random() % 10; i > 0; --i) ++choice[random() % segments];
            all.push_back(std::make_unique<Waiting>([&] {
                for (std::size_t i = 0; i < segments; ++i)
                    for (std::size_t n = 0; n < choice[i]; ++n) attach(ids[i], n % 2 == 0 ? 0 : SHM_RDONLY);
            }));
        }
        const auto index = HolderIndex::take({own_space()});
        for (std::size_t i = 0; i < segments; ++i) {
            std::vector<Mapping> expected;
            for (std::size_t p = 0; p < processes; ++p)
                if (const std::size_t n = choices[p][i])
                    expected.push_back({all[p]->pid(), n * sizes[i], n, 0});
            std::sort(expected.begin(), expected.end(),
                      [](const Mapping& a, const Mapping& b) { return a.pid < b.pid; });
            const Holders* holders = index.of(own_space(), SegmentId{ids[i]});
            if (expected.empty()) {
                EXPECT_EQ(holders, nullptr);
                continue;
            }
            ASSERT_NE(holders, nullptr);
            EXPECT_EQ(holders->mappings, expected);
            EXPECT_EQ(holders->attachments(), attached(ids[i]));
        }
    });
}

// Both ways of reading mappings see the same.
TEST(HoldersMaps, TheTextAndTheQueryAgree) {
    NeedNamespaces();
    in_new_namespaces([] {
        private_shared_memory();
        const int shared = open_memory("/a", O_RDWR | O_CREAT, static_cast<off_t>(4 * page));
        map(shared, page);
        map(shared, page, PROT_READ | PROT_WRITE);
        map(shared, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
        if (::mmap(nullptr, page, PROT_NONE, MAP_SHARED, shared, static_cast<off_t>(3 * page)) == MAP_FAILED)
            broken("mmap");
        const std::string long_name(249, 'x'); // longer than what the query takes for a name
        const int other = ::memfd_create(long_name.c_str(), MFD_CLOEXEC);
        map(other, page);
        attach(make_segment(5 * page));
        attach(make_segment(page), SHM_RDONLY);
        map(other, page);
        // More text than one read gives.
        for (int i = 0; i < 2000; ++i) map(shared, page, i % 2 == 0 ? PROT_READ : PROT_NONE);

        const int self = ::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
        for (const bool with_files : {false, true}) {
            maps::Wanted wanted;
            wanted.segments = maps::segment_file_systems();
            if (with_files) wanted.files.push_back(file_of(shared).device);
            std::vector<maps::MappedFile> text;
            std::vector<maps::MappedFile> query;
            bool no_query = false;
            bool has_query = true;
            ASSERT_EQ(maps::read(self, wanted, no_query, text), maps::Answer::found);
            ASSERT_EQ(maps::read(self, wanted, has_query, query), maps::Answer::found);
            if (!has_query) std::printf("not compared: this kernel has no PROCMAP_QUERY\n");
            EXPECT_EQ(text.size(), with_files ? 2006U : 2U);
            ASSERT_EQ(text.size(), query.size());
            for (std::size_t i = 0; i < text.size(); ++i) {
                EXPECT_EQ(text[i].begin, query[i].begin);
                EXPECT_EQ(text[i].end, query[i].end);
                EXPECT_EQ(text[i].offset, query[i].offset);
                EXPECT_EQ(text[i].device, query[i].device);
                EXPECT_EQ(text[i].inode, query[i].inode);
                EXPECT_EQ(text[i].segment, query[i].segment);
                EXPECT_EQ(text[i].shared, query[i].shared);
                EXPECT_EQ(text[i].huge_page, query[i].huge_page);
            }
        }
        bool query = true;
        std::vector<maps::MappedFile> none;
        Waiting gone([] {});
        const std::string path = "/proc/" + std::to_string(gone.pid());
        const int process = ::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
        gone.end();
        EXPECT_EQ(maps::read(process, {}, query, none), maps::Answer::no_memory);
        query = false;
        EXPECT_EQ(maps::read(process, {}, query, none), maps::Answer::no_memory);
        gone.kill();
        EXPECT_EQ(maps::read(process, {}, query, none), maps::Answer::no_memory);
    });
}

// ---- Files ---------------------------------------------------------------------------------------------------------

TEST(HoldersFiles, SharedMemoryMappedAndOpen) {
    NeedNamespaces();
    in_new_namespaces([] {
        private_shared_memory();
        const int fd = open_memory("/memory", O_RDWR | O_CREAT, static_cast<off_t>(4 * page));
        const FileId file = file_of(fd);
        const Waiting reader([&] {
            const int own = open_memory("/memory", O_RDONLY);
            map(own, page);
            ::close(own);
            ::close(fd);
        });
        const Waiting writer([&] {
            map(fd, 2 * page, PROT_READ | PROT_WRITE);
            map(fd, page, PROT_READ | PROT_WRITE, MAP_PRIVATE);
        });
        int path_fd = -1;
        path_fd = ::open("/dev/shm/memory", O_PATH | O_CLOEXEC);
        const int write_fd = ::open("/dev/shm/memory", O_WRONLY | O_CLOEXEC);
        const int read_fd = open_memory("/memory", O_RDONLY);
        ASSERT_EQ(::shm_unlink("/memory"), 0);
        const auto index = take({file.device});
        const Holders* holders = index.of(file);
        ASSERT_NE(holders, nullptr);
        EXPECT_EQ(holders->mappings,
                  (std::vector<Mapping>{{reader.pid(), page, 1, 0}, {writer.pid(), 3 * page, 2, 0}}));
        using Access = OpenDescriptor::Access;
        std::vector<OpenDescriptor> expected{{::getpid(), fd, Access::both},
                                             {::getpid(), path_fd, Access::none},
                                             {::getpid(), write_fd, Access::write},
                                             {::getpid(), read_fd, Access::read},
                                             {writer.pid(), fd, Access::both}};
        EXPECT_EQ(holders->descriptors, expected);
        EXPECT_TRUE(holders->waiters.empty());

        // Not asked for.
        const auto none = take();
        EXPECT_EQ(none.of(file), nullptr);
        HoldersOptions options;
        options.devices = {file.device};
        options.mappings = false;
        const auto descriptors = HolderIndex::take({}, options);
        ASSERT_NE(descriptors.of(file), nullptr);
        EXPECT_TRUE(descriptors.of(file)->mappings.empty());
        EXPECT_EQ(descriptors.of(file)->descriptors, expected);
        options.mappings = true;
        options.descriptors = false;
        const auto mappings = HolderIndex::take({}, options);
        ASSERT_NE(mappings.of(file), nullptr);
        EXPECT_EQ(mappings.of(file)->mappings.size(), 2U);
        EXPECT_TRUE(mappings.of(file)->descriptors.empty());
    });
}

TEST(HoldersFiles, QueuesFromOutsideTheirNamespaceToo) {
    NeedNamespaces();
    in_new_namespaces([] {
        const mqd_t queue = open_queue("/jobs", O_RDWR | O_CREAT);
        const FileId file = file_of(queue);
        const mqd_t read_only = open_queue("/jobs", O_RDONLY);
        const mqd_t write_only = open_queue("/jobs", O_WRONLY);
        const Waiting outside([&] {
            if (::unshare(CLONE_NEWIPC) != 0) broken("unshare");
            ::close(read_only);
            ::close(write_only);
        });
        // The same number of another namespace's file system is not this queue.
        HoldersOptions options;
        options.devices = {file.device};
        for (const auto& only : {std::vector<NamespaceId>{}, std::vector<NamespaceId>{own_space()}}) {
            const auto index = HolderIndex::take(only, options);
            const Holders* holders = index.of(file);
            ASSERT_NE(holders, nullptr);
            using Access = OpenDescriptor::Access;
            EXPECT_EQ(holders->descriptors,
                      (std::vector<OpenDescriptor>{{::getpid(), queue, Access::both},
                                                   {::getpid(), read_only, Access::read},
                                                   {::getpid(), write_only, Access::write},
                                                   {outside.pid(), queue, Access::both}}));
            EXPECT_EQ(index.of({file.device + 1, file.inode}), nullptr);
        }
    });
}

// ---- Waiters -------------------------------------------------------------------------------------------------------

struct Message {
    long type = 1;
    std::array<char, 64> text{};
};

TEST(HoldersWaiters, OfMessageQueues) {
    NeedSelf();
    in_new_namespaces([] {
        struct Case {
            long type;
            int flags;
        };
        for (const auto& [type, flags] :
             {Case{0, 0}, Case{42, 0}, Case{-7, 0}, Case{9, MSG_EXCEPT}, Case{0, MSG_EXCEPT}}) {
            const int queue = make_queue();
            const Blocked receiver({SYS_msgrcv}, [&, wanted = type, how = flags] {
                Message message;
                ::msgrcv(queue, &message, 33, wanted, how);
            });
            const auto index = take();
            const Waiter waiter = only_waiter(index.of(own_space(), QueueId{queue}));
            EXPECT_EQ(waiter.pid, receiver.pid());
            EXPECT_EQ(waiter.thread, receiver.pid());
            EXPECT_EQ(waiter.what, Waiter::For::receive);
            EXPECT_EQ(waiter.type, type);
            EXPECT_EQ(waiter.except, flags != 0 && type != 0);
            EXPECT_EQ(waiter.bytes, 33U);
            EXPECT_FALSE(waiter.timed);
            EXPECT_TRUE(waiter.operations.empty());
            EXPECT_EQ(index.of(own_space(), SemaphoreSetId{queue}), nullptr);
        }
        const int queue = make_queue();
        struct msqid_ds about {};
        ASSERT_EQ(::msgctl(queue, IPC_STAT, &about), 0);
        about.msg_qbytes = 100;
        ASSERT_EQ(::msgctl(queue, IPC_SET, &about), 0);
        const Message message;
        ASSERT_EQ(::msgsnd(queue, &message, 60, 0), 0);
        const Blocked sender({SYS_msgsnd}, [&] { ::msgsnd(queue, &message, 55, 0); });
        const auto index = take();
        const Waiter waiter = only_waiter(index.of(own_space(), QueueId{queue}));
        EXPECT_EQ(waiter.pid, sender.pid());
        EXPECT_EQ(waiter.what, Waiter::For::send);
        EXPECT_EQ(waiter.bytes, 55U);
        EXPECT_FALSE(waiter.timed);
    });
}

TEST(HoldersWaiters, OfSemaphoreSets) {
    NeedSelf();
    in_new_namespaces([] {
        const std::set<long> calls{SYS_semop, SYS_semtimedop};
        const int set = make_set(5);
        ASSERT_EQ(::semctl(set, 4, SETVAL, 3), 0);
        {
            const Blocked taker(calls, [&] {
                std::array<struct sembuf, 3> operations{{{1, 7, 0}, {4, -3, SEM_UNDO}, {2, -32000, 0}}};
                ::semop(set, operations.data(), operations.size());
            });
            ASSERT_EQ(::semctl(set, 2, GETNCNT), 1);
            const auto index = take();
            const Waiter waiter = only_waiter(index.of(own_space(), SemaphoreSetId{set}));
            EXPECT_EQ(waiter.pid, taker.pid());
            EXPECT_EQ(waiter.what, Waiter::For::increase);
            EXPECT_EQ(waiter.operations,
                      (std::vector<SemaphoreOperation>{{1, 7, false}, {4, -3, true}, {2, -32000, false}}));
            EXPECT_FALSE(waiter.timed);
        }
        {
            const Blocked zero(calls, [&] {
                struct sembuf operation {
                    4, 0, 0
                };
                const struct timespec limit { 1000, 0 };
                ::semtimedop(set, &operation, 1, &limit);
            });
            ASSERT_EQ(::semctl(set, 4, GETZCNT), 1);
            const auto index = take();
            const Waiter waiter = only_waiter(index.of(own_space(), SemaphoreSetId{set}));
            EXPECT_EQ(waiter.pid, zero.pid());
            EXPECT_EQ(waiter.what, Waiter::For::zero);
            EXPECT_EQ(waiter.operations, (std::vector<SemaphoreOperation>{{4, 0, false}}));
            EXPECT_TRUE(waiter.timed);
        }
        // As many as one call takes.
        int most = 0;
        std::sscanf(test::read_file("/proc/sys/kernel/sem").c_str(), "%*d %*d %d", &most);
        ASSERT_GT(most, 0);
        const Blocked many(calls, [&] {
            std::vector<struct sembuf> operations(static_cast<std::size_t>(most), {0, -1, 0});
            ::semop(set, operations.data(), operations.size());
        });
        const auto index = take();
        EXPECT_EQ(only_waiter(index.of(own_space(), SemaphoreSetId{set})).operations.size(),
                  static_cast<std::size_t>(most));
    });
}

TEST(HoldersWaiters, OfPosixQueues) {
    NeedSelf();
    in_new_namespaces([] {
        const mqd_t empty = open_queue("/empty", O_RDWR | O_CREAT, 2, 24);
        const mqd_t full = open_queue("/full", O_RDWR | O_CREAT, 1, 16);
        ASSERT_EQ(::mq_send(full, "x", 1, 0), 0);
        struct timespec far {};
        ::clock_gettime(CLOCK_REALTIME, &far);
        far.tv_sec += 1000;
        const Blocked receiver({SYS_mq_timedreceive}, [&] {
            std::array<char, 24> text{};
            ::mq_receive(empty, text.data(), text.size(), nullptr);
        });
        const Blocked sender({SYS_mq_timedsend}, [&] {
            // One that is only in this process, under another number.
            const int other = ::dup(full);
            ::mq_timedsend(other, "abc", 3, 5, &far);
        });
        const FileId file = file_of(empty);
        HoldersOptions options;
        options.devices = {file.device};
        // Also for those who are in another namespace than is asked for.
        for (const NamespaceId& only : {own_space(), NamespaceId{own_space().device, 1}}) {
            const auto index = HolderIndex::take({only}, options);
            Waiter waiter = only_waiter(index.of(file));
            EXPECT_EQ(waiter.pid, receiver.pid());
            EXPECT_EQ(waiter.what, Waiter::For::receive);
            EXPECT_EQ(waiter.bytes, 24U);
            EXPECT_FALSE(waiter.timed);
            waiter = only_waiter(index.of(file_of(full)));
            EXPECT_EQ(waiter.pid, sender.pid());
            EXPECT_EQ(waiter.what, Waiter::For::send);
            EXPECT_EQ(waiter.bytes, 3U);
            EXPECT_TRUE(waiter.timed);
        }
        const auto without = take();
        EXPECT_EQ(without.of(file), nullptr);
    });
}

sem_t* open_semaphore(const char* name) {
    sem_t* const semaphore = ::sem_open(name, O_CREAT, 0600, 0);
    if (semaphore == SEM_FAILED) broken("sem_open");
    return semaphore;
}

FileId file_at(const std::string& path) {
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) broken("stat " + path);
    return {about.st_dev, about.st_ino};
}

TEST(HoldersWaiters, OfNamedSemaphores) {
    NeedSelf();
    in_new_namespaces([] {
        private_shared_memory();
        sem_t* const semaphore = open_semaphore("/lock");
        const FileId file = file_at("/dev/shm/sem.lock");
        struct timespec far {};
        ::clock_gettime(CLOCK_REALTIME, &far);
        far.tv_sec += 1000;
        {
            const Blocked waits({SYS_futex}, [&] { ::sem_wait(semaphore); });
            const auto index = take({file.device});
            const Waiter waiter = only_waiter(index.of(file));
            EXPECT_EQ(waiter.pid, waits.pid());
            EXPECT_EQ(waiter.what, Waiter::For::futex);
            EXPECT_LT(waiter.offset, sizeof(sem_t));
            EXPECT_FALSE(waiter.timed);
            EXPECT_NE(mapping_of(index.of(file), waits.pid()), nullptr);
            HoldersOptions options;
            options.devices = {file.device};
            options.mappings = options.descriptors = false;
            const auto waiters = HolderIndex::take({}, options);
            EXPECT_EQ(only_waiter(waiters.of(file)).pid, waits.pid());
            EXPECT_TRUE(waiters.of(file)->mappings.empty());
        }
        // One that was stopped for a moment waits in restart_syscall(2).
        const Blocked timed({SYS_futex}, [&] { ::sem_timedwait(semaphore, &far); });
        const auto before = take({file.device});
        EXPECT_TRUE(only_waiter(before.of(file)).timed);
        ::kill(timed.pid(), SIGSTOP);
        ASSERT_TRUE(eventually([&] {
            return test::read_file("/proc/" + std::to_string(timed.pid()) + "/stat").find(") T ") !=
                   std::string::npos;
        }));
        ::kill(timed.pid(), SIGCONT);
        ASSERT_TRUE(eventually([&] {
            const long call = call_of(timed.pid(), timed.pid());
            return call == SYS_restart_syscall;
        }));
        const auto index = take({file.device});
        const Waiter waiter = only_waiter(index.of(file));
        EXPECT_EQ(waiter.pid, timed.pid());
        EXPECT_EQ(waiter.what, Waiter::For::futex);
        EXPECT_TRUE(waiter.timed);
    });
}

TEST(HoldersWaiters, OnLocksInSharedMemory) {
    NeedSelf();
    in_new_namespaces([] {
        private_shared_memory();
        const int fd = open_memory("/memory", O_RDWR | O_CREAT, static_cast<off_t>(4 * page));
        // Its second half only, so that the place in the mapping is not the place in the file.
        auto* const at = static_cast<char*>(
            ::mmap(nullptr, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(2 * page)));
        ASSERT_NE(static_cast<void*>(at), MAP_FAILED);
        pthread_mutexattr_t shared{};
        ::pthread_mutexattr_init(&shared);
        ::pthread_mutexattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
        auto* const mutex = reinterpret_cast<pthread_mutex_t*>(at + page + 128);
        ASSERT_EQ(::pthread_mutex_init(mutex, &shared), 0);
        ASSERT_EQ(::pthread_mutex_lock(mutex), 0);
        const int segment = make_segment(page);
        auto* const other = reinterpret_cast<pthread_mutex_t*>(static_cast<char*>(attach(segment)) + 64);
        ASSERT_EQ(::pthread_mutex_init(other, &shared), 0);
        ASSERT_EQ(::pthread_mutex_lock(other), 0);
        const Blocked file_waiter({SYS_futex}, [&] { ::pthread_mutex_lock(mutex); });
        const Blocked segment_waiter({SYS_futex}, [&] { ::pthread_mutex_lock(other); });
        // One that is a matter of the process alone, in the same memory.
        const Blocked alone({SYS_futex}, [&] { ::syscall(SYS_futex, at, FUTEX_WAIT_PRIVATE, 0, nullptr); });
        // And one in a copy of its own.
        const Blocked copy({SYS_futex}, [&] {
            ::syscall(SYS_futex, map(fd, page, PROT_READ, MAP_PRIVATE), FUTEX_WAIT, 0, nullptr);
        });
        const auto index = take({file_of(fd).device});
        Waiter waiter = only_waiter(index.of(file_of(fd)));
        EXPECT_EQ(waiter.pid, file_waiter.pid());
        EXPECT_EQ(waiter.what, Waiter::For::futex);
        EXPECT_EQ(waiter.offset, 3 * page + 128);
        waiter = only_waiter(index.of(own_space(), SegmentId{segment}));
        EXPECT_EQ(waiter.pid, segment_waiter.pid());
        EXPECT_EQ(waiter.what, Waiter::For::futex);
        EXPECT_EQ(waiter.offset, 64U);
    });
}

TEST(HoldersWaiters, OfSeveralThreadsAndNamespaces) {
    NeedSelf();
    in_new_namespaces([] {
        const int set = make_set(2);
        const NamespaceId first = own_space();
        std::atomic<pid_t> inside = 0;
        std::atomic<pid_t> outside = 0;
        std::atomic<int> other_set = -1;
        NamespaceId second;
        std::thread stays([&] {
            inside = ::gettid();
            struct sembuf operation {
                1, -1, 0
            };
            ::semop(set, &operation, 1);
        });
        std::thread moves([&] {
            outside = ::gettid();
            if (::unshare(CLONE_NEWIPC) != 0) return;
            second = own_space();
            const int its = make_set(1);
            other_set = its;
            struct sembuf operation {
                0, -2, 0
            };
            ::semop(its, &operation, 1);
        });
        const auto blocked = [&](pid_t thread) {
            const long call = thread == 0 ? -1 : call_of(::getpid(), thread);
            return call == SYS_semop || call == SYS_semtimedop;
        };
        const bool ready = eventually([&] { return blocked(inside) && blocked(outside); });
        EXPECT_TRUE(ready);
        if (ready) {
            const auto all = take();
            EXPECT_EQ(other_set, set); // the same number in both
            Waiter waiter = only_waiter(all.of(first, SemaphoreSetId{set}));
            EXPECT_EQ(waiter.pid, ::getpid());
            EXPECT_EQ(waiter.thread, inside);
            EXPECT_EQ(waiter.operations, (std::vector<SemaphoreOperation>{{1, -1, false}}));
            waiter = only_waiter(all.of(second, SemaphoreSetId{other_set.load()}));
            EXPECT_EQ(waiter.thread, outside);
            EXPECT_EQ(waiter.operations, (std::vector<SemaphoreOperation>{{0, -2, false}}));
            // A namespace that none but a second thread is in.
            const auto one = HolderIndex::take({second});
            EXPECT_EQ(one.of(first, SemaphoreSetId{set}), nullptr);
            EXPECT_EQ(only_waiter(one.of(second, SemaphoreSetId{other_set.load()})).thread, outside);
        }
        std::fflush(nullptr);
        ::_exit(::testing::Test::HasFailure() ? 1 : 0); // the threads wait for ever
    });
}

#if defined(__x86_64__)
// What a 32-bit program does, done here by hand: the same numbers mean other calls.
long call_as_32_bit(long number, std::array<long, 6> a) {
    long result = number;
    // The sixth argument goes into ebp, which the compiler keeps for itself.
    register long sixth asm("r9") = a[5];
    asm volatile("mov %%rbp, %%r12\n\t mov %%r9, %%rbp\n\t int $0x80\n\t mov %%r12, %%rbp"
                 : "+a"(result), "+r"(sixth)
                 : "b"(a[0]), "c"(a[1]), "d"(a[2]), "S"(a[3]), "D"(a[4])
                 : "memory", "r8", "r10", "r11", "r12");
    return result;
}

TEST(HoldersWaiters, Of32BitPrograms) {
    NeedSelf();
    if (test::in_fork([] { return call_as_32_bit(20, {}) == ::getpid() ? 0 : 1; }) != 0)
        GTEST_SKIP() << "this kernel runs no 32-bit programs";
    in_new_namespaces([] {
        constexpr long ipc = 117;
        const int queue = make_queue();
        const int set = make_set(3);
        // Memory that 32 bits reach.
        auto* const low = static_cast<char*>(
            ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
        ASSERT_NE(static_cast<void*>(low), MAP_FAILED);
        const auto at = [&](std::size_t offset) { return reinterpret_cast<long>(low + offset); };
        const std::array<std::int32_t, 2> both{static_cast<std::int32_t>(at(512)),
                                               -5}; // where to, which type
        std::memcpy(low + 256, both.data(), sizeof both);
        const std::array<struct sembuf, 2> operations{{{2, 0, 0}, {1, -4, SEM_UNDO}}};
        std::memcpy(low, operations.data(), sizeof operations);
        const std::array<std::int32_t, 2> limit{1000, 0};
        std::memcpy(low + 128, limit.data(), sizeof limit);
        const auto receiving = [&](const Blocked& blocked, long type, std::uint64_t bytes) {
            const auto index = take();
            const Waiter waiter = only_waiter(index.of(own_space(), QueueId{queue}));
            EXPECT_EQ(waiter.pid, blocked.pid());
            EXPECT_EQ(waiter.what, Waiter::For::receive);
            EXPECT_EQ(waiter.type, type);
            EXPECT_EQ(waiter.bytes, bytes);
        };
        receiving(Blocked({ipc}, [&] { call_as_32_bit(ipc, {12, queue, 40, 0, at(256), 0}); }), -5, 40);
        receiving(Blocked({ipc},
                          [&] {
                              call_as_32_bit(ipc, {12 | 1 << 16, queue, 41, 0, at(512), 6});
                          }),
                  6, 41);
        receiving(Blocked({401}, [&] { call_as_32_bit(401, {queue, at(512), 42, -7, 0, 0}); }), -7, 42);
        for (const bool timed : {false, true}) {
            const Blocked taker({ipc}, [&] {
                call_as_32_bit(ipc, {timed ? 4 : 1, set, 2, 0, at(0), timed ? at(128) : 0});
            });
            const auto index = take();
            const Waiter waiter = only_waiter(index.of(own_space(), SemaphoreSetId{set}));
            EXPECT_EQ(waiter.pid, taker.pid());
            EXPECT_EQ(waiter.operations, (std::vector<SemaphoreOperation>{{2, 0, false}, {1, -4, true}}));
            EXPECT_EQ(waiter.timed, timed);
        }
        // mq_timedreceive, whose number is another call's of 64-bit programs.
        const mqd_t posix = open_queue("/empty", O_RDWR | O_CREAT, 2, 24);
        const Blocked receiver({280}, [&] { call_as_32_bit(280, {posix, at(512), 24, 0, 0, 0}); });
        const auto index = take({file_of(posix).device});
        const Waiter waiter = only_waiter(index.of(file_of(posix)));
        EXPECT_EQ(waiter.pid, receiver.pid());
        EXPECT_EQ(waiter.bytes, 24U);
    });
}
#endif

TEST(HoldersWaiters, SinceWhen) {
    NeedSelf();
    if (::access("/proc/self/sched", R_OK) != 0) GTEST_SKIP() << "this kernel has no /proc/PID/sched";
    in_new_namespaces([] {
        const int set = make_set(1);
        const auto take_one = [&] {
            struct sembuf operation {
                0, -1, 0
            };
            ::semop(set, &operation, 1);
        };
        std::vector<std::unique_ptr<Blocked>> waiters;
        for (int i = 0; i < 6; ++i) {
            waiters.push_back(std::make_unique<Blocked>(std::set<long>{SYS_semop, SYS_semtimedop}, take_one));
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        std::optional<HolderIndex> index;
        const Holders* holders = nullptr;
        ASSERT_TRUE(eventually([&] { // when many want to run, a processor may not answer in time
            index.emplace(take());
            holders = index->of(own_space(), SemaphoreSetId{set});
            return holders != nullptr && std::all_of(holders->waiters.begin(), holders->waiters.end(),
                                                     [](const Waiter& one) { return one.since.has_value(); });
        }));
        ASSERT_EQ(holders->waiters.size(), waiters.size());
        // What a hypervisor takes away meanwhile is missing in the answer, at most as much as the test took.
        constexpr std::chrono::milliseconds inexact{50};
        for (std::size_t i = 0; i < waiters.size(); ++i) {
            // By number, and numbers begin again at the highest.
            const Waiter& waiter = holders->waiters[i];
            const auto same = std::find_if(waiters.begin(), waiters.end(),
                                           [&](const auto& one) { return one->pid() == waiter.pid; });
            ASSERT_NE(same, waiters.end());
            ASSERT_TRUE(waiter.since.has_value());
            EXPECT_GE(*waiter.since, (*same)->before() - inexact);
            EXPECT_LE(*waiter.since, (*same)->after() + inexact);
        }
        HoldersOptions options;
        options.since = false;
        const auto without = HolderIndex::take({own_space()}, options);
        holders = without.of(own_space(), SemaphoreSetId{set});
        ASSERT_NE(holders, nullptr);
        for (const auto& waiter : holders->waiters) EXPECT_FALSE(waiter.since.has_value());
        options.waiters = false;
        const auto nobody = HolderIndex::take({own_space()}, options);
        EXPECT_EQ(nobody.of(own_space(), SemaphoreSetId{set}), nullptr);
    });
}

// A processor that lets nobody else run cannot be asked for its time, and nobody waits for that.
TEST(HoldersWaiters, OnAProcessorThatIsTaken) {
    NeedRoot();
    cpu_set_t allowed;
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2)
        GTEST_SKIP() << "needs two processors";
    in_new_namespaces([&] {
        std::array<cpu_set_t, 2> one{};
        for (int processor = 0, found = 0; found < 2; ++processor)
            if (CPU_ISSET(processor, &allowed)) CPU_SET(processor, &one[static_cast<std::size_t>(found++)]);
        const int set = make_set(1);
        const Blocked waits({SYS_semop, SYS_semtimedop}, [&] {
            ::sched_setaffinity(0, sizeof one[1], &one[1]);
            struct sembuf operation {
                0, -1, 0
            };
            ::semop(set, &operation, 1);
        });
        ASSERT_EQ(::sched_setaffinity(0, sizeof one[0], &one[0]), 0);
        std::array<int, 2> ends{};
        ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
        const pid_t taker = ::fork();
        if (taker == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::sched_setaffinity(0, sizeof one[1], &one[1]);
            const struct sched_param urgent { 1 };
            const char done = ::sched_setscheduler(0, SCHED_FIFO, &urgent) == 0 ? 'y' : 'n';
            const auto end = system_clock::now() + std::chrono::seconds(3);
            if (::write(ends[1], &done, 1) == 1)
                while (system_clock::now() < end) {}
            ::_exit(0);
        }
        char done = 0;
        ASSERT_EQ(::read(ends[0], &done, 1), 1);
        if (done == 'y') {
            // The kernel gives others their turn after 0.95 s (sched(7)); by then this is over.
            const auto index = HolderIndex::take({own_space()});
            const Waiter waiter = only_waiter(index.of(own_space(), SemaphoreSetId{set}));
            EXPECT_EQ(waiter.pid, waits.pid());
            EXPECT_FALSE(waiter.since.has_value());
        } else {
            std::printf("not tried: no real-time scheduling here\n");
        }
        ::kill(taker, SIGKILL);
        ::waitpid(taker, nullptr, 0);
        // When many want to run, it may still take too long for once.
        EXPECT_TRUE(eventually([&] {
            const auto index = HolderIndex::take({own_space()});
            return only_waiter(index.of(own_space(), SemaphoreSetId{set})).since.has_value();
        }));
    });
}

// ---- Odd worlds ----------------------------------------------------------------------------------------------------

TEST(HoldersOdd, ProcessesThatVanish) {
    NeedSelf();
    in_new_namespaces([] {
        private_shared_memory();
        const int segment = make_segment(page);
        const int set = make_set(1);
        const mqd_t queue = open_queue("/jobs", O_RDWR | O_CREAT);
        const Waiting stays([&] { attach(segment); });
        // A child that all the time starts others that hold and wait, and end.
        const Waiting busy([&] {
            const pid_t parent = ::fork();
            if (parent != 0) return;
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::signal(SIGCHLD, SIG_IGN);
            for (unsigned i = 0;; ++i) {
                const pid_t child = ::fork();
                if (child == 0) {
                    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                    attach(segment);
                    ::alarm(1);
                    std::thread([&] {
                        struct sembuf operation {
                            0, -1, 0
                        };
                        const struct timespec limit { 0, static_cast<long>(i % 7) * 300000 };
                        ::semtimedop(set, &operation, 1, &limit);
                    }).join();
                    ::_exit(0);
                }
                if (i % 20 == 0) ::usleep(500);
            }
        });
        const auto enough = system_clock::now() + std::chrono::seconds(2);
        for (int i = 0; i < 10 || system_clock::now() < enough; ++i) {
            const auto index = take({file_of(queue).device});
            EXPECT_NE(mapping_of(index.of(own_space(), SegmentId{segment}), stays.pid()), nullptr);
            ASSERT_NE(index.of(file_of(queue)), nullptr);
            EXPECT_GE(index.of(file_of(queue))->descriptors.size(), 2U);
            if (const Holders* waiters = index.of(own_space(), SemaphoreSetId{set})) {
                for (const auto& waiter : waiters->waiters) {
                    EXPECT_TRUE(waiter.timed);
                    EXPECT_EQ(waiter.operations, (std::vector<SemaphoreOperation>{{0, -1, false}}));
                }
            }
        }
    });
}

TEST(HoldersOdd, AnOrdinaryUserSeesItsOwnAndTheNumberOfTheOthers) {
    NeedRoot();
    in_new_namespaces([] {
        const int segment = ::shmget(IPC_PRIVATE, page, IPC_CREAT | 0666);
        const int set = ::semget(IPC_PRIVATE, 1, IPC_CREAT | 0666);
        const Waiting others([&] { attach(segment); });
        const Waiting ended([] {}); // holds nothing any more, and is not counted
        ended.end();
        EXPECT_EQ(test::in_fork([&] {
                      if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0)
                          return 77;
                      ::prctl(PR_SET_DUMPABLE, 1);
                      const Waiting own([&] { attach(segment); });
                      const Blocked waits({SYS_semop, SYS_semtimedop}, [&] {
                          ::prctl(PR_SET_DUMPABLE, 1);
                          struct sembuf operation {
                              0, -1, 0
                          };
                          ::semop(set, &operation, 1);
                      });
                      const auto index = HolderIndex::take({own_space()});
                      const Holders* holders = index.of(own_space(), SegmentId{segment});
                      EXPECT_NE(holders, nullptr);
                      if (holders == nullptr) return 1;
                      EXPECT_EQ(holders->mappings, (std::vector<Mapping>{{own.pid(), page, 1, 0}}));
                      EXPECT_LT(holders->attachments(), attached(segment));
                      EXPECT_EQ(only_waiter(index.of(own_space(), SemaphoreSetId{set})).pid, waits.pid());
                      EXPECT_GE(index.unseen(), 1U);
                      EXPECT_TRUE(eventually([] {
                          // Processes come and go: when the same were there before and after, all were counted.
                          const auto before = foreign_processes();
                          const std::size_t unseen = take().unseen();
                          return before == foreign_processes() && unseen == before.size();
                      }));
                      EXPECT_FALSE(index.incomplete());
                      return ::testing::Test::HasFailure() ? 1 : 0;
                  }),
                  0);
    });
}

TEST(HoldersOdd, ProcThatHidesProcesses) {
    NeedRoot();
    in_new_namespaces([] {
        for (const char* hide : {"hidepid=1", "hidepid=2"}) {
            // In a pid namespace of its own, since those of one share the option on old kernels.
            EXPECT_EQ(test::in_fork([&] {
                          if (::unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) broken("unshare");
                          return test::in_fork([&] {
                              if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
                                  ::mount("proc", "/proc", "proc", 0, hide) != 0)
                                  broken("mount /proc");
                              const bool gone = std::string(hide) == "hidepid=2";
                              EXPECT_FALSE(take().incomplete());
                              EXPECT_EQ(take().unseen(), 0U);
                              return test::in_fork([&] {
                                  if (::setresgid(65534, 65534, 65534) != 0 ||
                                      ::setresuid(65534, 65534, 65534) != 0)
                                      return 77;
                                  ::prctl(PR_SET_DUMPABLE, 1);
                                  const auto index = take();
                                  EXPECT_EQ(index.incomplete(), gone);
                                  EXPECT_EQ(index.unseen(), gone ? 0U : 1U);
                                  return ::testing::Test::HasFailure() ? 1 : 0;
                              });
                          });
                      }),
                      0)
                << hide;
        }
    });
}

TEST(HoldersOdd, NothingIsLeftOpen) {
    NeedNamespaces();
    in_new_namespaces([] {
        attach(make_segment(page));
        const mqd_t queue = open_queue("/jobs", O_RDWR | O_CREAT);
        const auto before = test::open_fds();
        const auto index = take({file_of(queue).device});
        EXPECT_EQ(test::open_fds(), before);
        HolderIndex moved = take();
        moved = take({file_of(queue).device});
        const HolderIndex last = std::move(moved);
        EXPECT_NE(last.of(file_of(queue)), nullptr);
    });
}

} // namespace
} // namespace ipcns
