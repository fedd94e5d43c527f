// SPDX-License-Identifier: Apache-2.0
// System V objects of the calling thread's namespace. Leans on: *_INFO returns the highest index in use and
// the number of objects; *_STAT takes an index and returns the id (shmctl(2), "Linux-specific"), and takes an id as
// well, of which it looks only at the index; the _ANY forms (Linux 4.17) do without read permission; *get with no flags
// finds a key without any permission; a segment's memory is freed by the IPC_RMID itself when nobody has it attached;
// a file of /proc/sysvipc shows the namespace of the thread that opened it.
#include "sysv.hpp"

#include "errand.hpp"
#include "error.hpp"

#include <ipcns/fd.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

namespace ipcns {
namespace {

// The kernel's SHM_INFO, MSG_INFO and SEM_INFO answers; the commands take a pointer of another type in their
// prototypes.
int shm_information(struct shm_info& info) noexcept {
    return ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info));
}

int msg_information(struct msginfo& info) noexcept {
    return ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&info));
}

union SemArgument {
    int value;
    struct semid_ds* set;
    unsigned short* values;
    struct seminfo* info;
};

int sem_information(struct seminfo& info) noexcept {
    SemArgument argument{};
    argument.info = &info;
    return ::semctl(0, 0, SEM_INFO, argument);
}

std::uint64_t page_size() noexcept { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }

// Calls id_at for each index up to the highest and remove for each id there is; counts what went, keeps the
// first error.
template <class IdAt, class Remove>
std::size_t remove_each(int highest, int& first_error, IdAt id_at, Remove remove) {
    std::size_t removed = 0;
    // An index that is not in use, or an object that has gone meanwhile, or a kernel without any: that is no error.
    const auto keep_first = [&] {
        if (errno != EINVAL && errno != EIDRM && errno != ENOSYS && first_error == 0) first_error = errno;
    };
    if (highest < 0) keep_first();
    for (int index = 0; index <= highest; ++index) {
        const int id = id_at(index);
        if (id >= 0 && remove(id) == 0)
            ++removed;
        else
            keep_first();
    }
    return removed;
}

constexpr mode_t permission_bits = 0777;
// Linux's own bits of shm_perm.mode (shmctl(2)); glibc has the names only for some callers.
constexpr mode_t segment_removed = 01000;
constexpr mode_t segment_locked = 02000;
// SHM_HUGE_SHIFT (shmget(2)), which glibc leaves to the kernel's headers.
constexpr int huge_page_shift = 26;

Moment moment(time_t seconds) noexcept {
    if (seconds == 0) return {};
    return std::chrono::sys_seconds(std::chrono::seconds(seconds));
}

Key key_of(const struct ipc_perm& perm) noexcept { return static_cast<Key>(perm.__key); }

Ownership ownership_of(const struct ipc_perm& perm) noexcept {
    return {perm.uid, perm.gid, perm.cuid, perm.cgid, perm.mode & permission_bits};
}

// ---- What the three kinds have in common, each by its own calls: the functions below are templates over these ----

struct Queues {
    using Id = QueueId;
    using Record = QueueRecord;
    using About = struct msqid_ds;
    static constexpr const char* noun = "message queue";

    // Both return the highest index in use, or -1 with errno; count is how many there are.
    static int information(std::size_t& count) noexcept {
        struct msginfo info {};
        const int highest = msg_information(info);
        count = static_cast<std::size_t>(info.msgpool);
        return highest;
    }
    // The id of what is at the index of id, or -1 with errno.
    static int look(int id, About& about) noexcept { return ::msgctl(id, MSG_STAT_ANY, &about); }
    static int find(key_t key) noexcept { return ::msgget(key, 0); }
    static int remove(int id) noexcept { return ::msgctl(id, IPC_RMID, nullptr); }
    static int set(int id, About& about) noexcept { return ::msgctl(id, IPC_SET, &about); }
    static struct ipc_perm& perm(About& about) noexcept { return about.msg_perm; }

    static Record record(int id, const About& about) noexcept {
        return {.id = QueueId{id},
                .key = key_of(about.msg_perm),
                .who = ownership_of(about.msg_perm),
                .messages = about.msg_qnum,
                .bytes = about.__msg_cbytes,
                .limit = about.msg_qbytes,
                .last_sender = about.msg_lspid,
                .last_receiver = about.msg_lrpid,
                .sent = moment(about.msg_stime),
                .received = moment(about.msg_rtime),
                .changed = moment(about.msg_ctime)};
    }
    static std::string making_hint(int number, const std::optional<Record>& /*existing*/) {
        if (number == ENOSPC) return "the limit msgmni (queues) is reached: remove some, or raise it";
        return "";
    }
    static bool same(const Record& a, const Record& b) noexcept { return a.limit == b.limit; }
};

struct SemaphoreSets {
    using Id = SemaphoreSetId;
    using Record = SemaphoreSetRecord;
    using About = struct semid_ds;
    static constexpr const char* noun = "semaphore set";

    static int information(std::size_t& count) noexcept {
        struct seminfo info {};
        const int highest = sem_information(info);
        count = static_cast<std::size_t>(info.semusz);
        return highest;
    }
    static int look(int id, About& about) noexcept {
        SemArgument argument{};
        argument.set = &about;
        return ::semctl(id, 0, SEM_STAT_ANY, argument);
    }
    static int find(key_t key) noexcept { return ::semget(key, 0, 0); }
    static int remove(int id) noexcept { return ::semctl(id, 0, IPC_RMID); }
    static int set(int id, About& about) noexcept {
        SemArgument argument{};
        argument.set = &about;
        return ::semctl(id, 0, IPC_SET, argument);
    }
    static struct ipc_perm& perm(About& about) noexcept { return about.sem_perm; }

    static Record record(int id, const About& about) noexcept {
        return {.id = SemaphoreSetId{id},
                .key = key_of(about.sem_perm),
                .who = ownership_of(about.sem_perm),
                .count = about.sem_nsems,
                .operated = moment(about.sem_otime),
                .changed = moment(about.sem_ctime)};
    }
    static std::string making_hint(int number, const std::optional<Record>& existing) {
        if (number == ENOSPC)
            return "the limit sem is reached, by its second number (semaphores in all) or its fourth (sets): remove "
                   "some, or raise it";
        if (number == EINVAL)
            return (existing ? "the one that exists has " + std::to_string(existing->count) + " semaphores; "
                             : "") +
                   "a set has at least one and at most " + most() +
                   " semaphores, by the first number of the limit sem";
        return "";
    }
    static bool same(const Record& a, const Record& b) noexcept { return a.count == b.count; }

private:
    static std::string most() {
        struct seminfo info {};
        SemArgument argument{};
        argument.info = &info;
        (void)::semctl(0, 0, IPC_INFO, argument);
        return std::to_string(info.semmsl);
    }
};

struct Segments {
    using Id = SegmentId;
    using Record = SegmentRecord;
    using About = struct shmid_ds;
    static constexpr const char* noun = "shared memory segment";

    // Not SHM_INFO, which adds up the pages of all segments: for 4,096 of them that takes as long as 1,000 looks.
    static int information(std::size_t& count) noexcept {
        struct shminfo info {};
        const int highest = ::shmctl(0, IPC_INFO, reinterpret_cast<struct shmid_ds*>(&info));
        count = static_cast<std::size_t>(highest) + 1; // 0 where highest is -1
        return highest;
    }
    static int look(int id, About& about) noexcept { return ::shmctl(id, SHM_STAT_ANY, &about); }
    static int find(key_t key) noexcept { return ::shmget(key, 0, 0); }
    static int remove(int id) noexcept { return ::shmctl(id, IPC_RMID, nullptr); }
    static int set(int id, About& about) noexcept { return ::shmctl(id, IPC_SET, &about); }
    static struct ipc_perm& perm(About& about) noexcept { return about.shm_perm; }

    static Record record(int id, const About& about) noexcept {
        return {.id = SegmentId{id},
                .key = key_of(about.shm_perm),
                .who = ownership_of(about.shm_perm),
                .bytes = about.shm_segsz,
                .attached = about.shm_nattch,
                .creator_pid = about.shm_cpid,
                .last_pid = about.shm_lpid,
                .attach_time = moment(about.shm_atime),
                .detach_time = moment(about.shm_dtime),
                .changed = moment(about.shm_ctime),
                .removed = (about.shm_perm.mode & segment_removed) != 0,
                .locked = (about.shm_perm.mode & segment_locked) != 0,
                .resident = {},
                .swapped = {}};
    }
    static std::string making_hint(int number, const std::optional<Record>& existing) {
        if (number == ENOSPC)
            return "the limit shmmni (segments) or shmall (pages in all) is reached: remove some, or raise it";
        if (number == EINVAL && existing)
            return "the one that exists has " + std::to_string(existing->bytes) + " bytes";
        if (number == EINVAL)
            return "a segment has at least one byte and at most " + most() +
                   ", the limit shmmax, and huge pages must be of a size that this system has";
        if (number == ENOMEM)
            return "the system does not promise this much memory (vm.overcommit_memory), or has not enough huge pages";
        if (number == EPERM) return "huge pages need CAP_IPC_LOCK or the group of vm.hugetlb_shm_group";
        return "";
    }
    static bool same(const Record& a, const Record& b) noexcept {
        return a.bytes == b.bytes && a.creator_pid == b.creator_pid;
    }

private:
    static std::string most() {
        struct shminfo info {};
        (void)::shmctl(0, IPC_INFO, reinterpret_cast<struct shmid_ds*>(&info));
        return std::to_string(info.shmmax);
    }
};

std::string with_id(const char* verb, const char* noun, int id) {
    return std::string(verb) + " the " + noun + " " + std::to_string(id);
}

std::string with_key(const char* verb, const char* noun, Key key) {
    if (key == Key::none) return std::string(verb) + " a " + noun;
    std::array<char, 16> text;
    std::snprintf(text.data(), text.size(), "0x%08x", static_cast<unsigned>(key));
    return std::string(verb) + " a " + noun + " with the key " + text.data();
}

// errno of a call that was given an id or index: there is no such object (any more).
bool is_gone(int number) noexcept { return number == EINVAL || number == EIDRM; }

// ---- Looking ----

// Adds what is at the indexes from first to before last.
template <class Objects>
Undescribed list_part(int first, int last, std::vector<typename Objects::Record>& records) {
    typename Objects::About about;
    Undescribed rest;
    for (int index = first; index < last; ++index) {
        const int id = Objects::look(index, about);
        if (id >= 0)
            records.push_back(Objects::record(id, about));
        else if (!is_gone(errno))
            rest = {rest.count + 1, errno};
    }
    return rest;
}

template <class Objects>
std::string listing() {
    return std::string("list the ") + Objects::noun + "s";
}

template <class Objects>
std::vector<typename Objects::Record> list(Undescribed& rest) {
    std::size_t count = 0;
    const int highest = Objects::information(count);
    if (highest < 0) fail(listing<Objects>());
    std::vector<typename Objects::Record> records;
    records.reserve(count);
    // Half a microsecond an object is a millisecond for some thousand: then a second thread, which begins in our namespace,
    // takes half of them.
    constexpr int few = 2000;
    const int half =
        highest < few || on_errand() || std::thread::hardware_concurrency() < 2 ? 0 : highest / 2;
    std::vector<typename Objects::Record> later;
    Undescribed later_rest;
    const auto take_later = [&] { later_rest = list_part<Objects>(half, highest + 1, later); };
    if (half == 0) {
        rest = list_part<Objects>(0, highest + 1, records);
        return records;
    }
    later.reserve(static_cast<std::size_t>(half) + 2);
    std::jthread other;
    try {
        other = std::jthread(take_later);
    } catch (const std::system_error&) {
        // No more threads for us.
        take_later();
    }
    rest = list_part<Objects>(0, half, records);
    if (other.joinable()) other.join();
    records.insert(records.end(), later.begin(), later.end());
    rest = {rest.count + later_rest.count, rest.count != 0 ? rest.error : later_rest.error};
    return records;
}

// All of them: who gets a list takes it for what there is.
template <class Objects>
std::vector<typename Objects::Record> list() {
    Undescribed rest;
    auto records = list<Objects>(rest);
    if (rest.count != 0) fail(rest.error, listing<Objects>());
    return records;
}

template <class Objects>
std::optional<typename Objects::Record> find(typename Objects::Id id) {
    typename Objects::About about;
    const int found = Objects::look(static_cast<int>(id), about);
    if (found < 0 && !is_gone(errno)) fail(with_id("look at", Objects::noun, static_cast<int>(id)));
    // The kernel goes by the index in it; what lies there may have another sequence number.
    if (found < 0 || found != static_cast<int>(id)) return {};
    return Objects::record(found, about);
}

template <class Objects>
std::optional<typename Objects::Record> find(Key key) {
    if (key == Key::none) return {}; // with IPC_PRIVATE, *get would make one
    for (;;) {
        const int id = Objects::find(static_cast<key_t>(key));
        if (id < 0) {
            if (errno == ENOENT) return {};
            fail(with_key("look for", Objects::noun, key));
        }
        auto record = find<Objects>(typename Objects::Id{id});
        // Else it went in between; perhaps there is another with the key by now.
        if (record && record->key == key) return record;
    }
}

// The numbers in a line of /proc/sysvipc/shm that are asked for: shmid, rss and swap.
struct MemoryLine {
    int id = -1;
    std::uint64_t resident = 0;
    std::uint64_t swapped = 0;
};

// key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap
std::optional<MemoryLine> parse_memory_line(std::string_view line) {
    constexpr int id_column = 1;
    constexpr int resident_column = 14;
    constexpr int swapped_column = 15;
    MemoryLine result;
    const char* at = line.data();
    const char* const end = at + line.size();
    for (int column = 0; column <= swapped_column; ++column) {
        while (at != end && *at == ' ') ++at;
        const char* const start = at;
        while (at != end && *at != ' ') ++at;
        std::from_chars_result parsed{at, std::errc{}};
        if (column == id_column) parsed = std::from_chars(start, at, result.id);
        if (column == resident_column) parsed = std::from_chars(start, at, result.resident);
        if (column == swapped_column) parsed = std::from_chars(start, at, result.swapped);
        if (start == at || parsed.ec != std::errc{} || parsed.ptr != at) return {};
    }
    return result;
}

// Every line of the table of segments; none when it can't be read.
std::vector<MemoryLine> read_memory_lines(std::size_t expected) {
    std::vector<MemoryLine> lines;
    const Fd table(::open("/proc/sysvipc/shm", O_RDONLY | O_CLOEXEC));
    if (!table) return lines;
    lines.reserve(expected);
    std::array<char, 16384> buffer;
    std::size_t kept = 0; // of a line that is not whole yet
    for (;;) {
        const ssize_t length = ::read(table.get(), buffer.data() + kept, buffer.size() - kept);
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) return lines;
        std::string_view rest(buffer.data(), kept + static_cast<std::size_t>(length));
        for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
            if (const auto line = parse_memory_line(rest.substr(0, end)))
                lines.push_back(*line); // not the heading
            rest.remove_prefix(end + 1);
        }
        if (rest.size() == buffer.size()) return lines; // no table that we know
        kept = rest.size();
        std::memmove(buffer.data(), rest.data(), kept);
    }
}

void fill_in_memory(std::span<SegmentRecord> records) {
    auto lines = read_memory_lines(records.size());
    std::ranges::sort(lines, {}, &MemoryLine::id);
    for (auto& record : records) {
        const auto line = std::ranges::lower_bound(lines, static_cast<int>(record.id), {}, &MemoryLine::id);
        if (line == lines.end() || line->id != static_cast<int>(record.id)) continue;
        record.resident = line->resident;
        record.swapped = line->swapped;
    }
}

std::optional<SegmentRecord> with_memory(std::optional<SegmentRecord> record, SegmentMemory memory) {
    if (record && memory == SegmentMemory::read) fill_in_memory({&*record, 1});
    return record;
}

// ---- Making ----

// What get(key, flags) has made or found.
struct Got {
    int id = -1;
    bool made = false;
};

// Calls get_with(flags) so that it is known whether the object is new. @p new_mode is what a new one begins with.
template <class Objects, class Get>
Got get(Key key, const MakeOptions& options, mode_t new_mode, Get get_with) {
    for (;;) {
        int id = get_with(static_cast<int>(new_mode) | IPC_CREAT | IPC_EXCL);
        if (id >= 0) return {id, true};
        if (errno == EEXIST && !options.exclusive) {
            id = get_with(static_cast<int>(options.mode));
            if (id >= 0) return {id, false};
            if (errno == ENOENT) continue; // it went in between
        }
        const int number = errno;
        std::optional<typename Objects::Record> existing;
        if (number == EINVAL) existing = find<Objects>(key);
        fail(number, with_key("make", Objects::noun, key),
             number == EACCES ? "the object that has the key does not permit it"
                              : Objects::making_hint(number, existing));
    }
}

// Removes a new object again unless all went well.
template <class Objects>
class Rollback {
public:
    explicit Rollback(const Got& got) noexcept : id_(got.made ? got.id : -1) {}
    ~Rollback() {
        if (id_ >= 0) Objects::remove(id_);
    }
    Rollback(const Rollback&) = delete;
    Rollback& operator=(const Rollback&) = delete;
    void keep() noexcept { id_ = -1; }

private:
    int id_;
};

void check_mode(const MakeOptions& options) {
    if ((options.mode & ~permission_bits) != 0)
        throw UsageError("a mode is made of permission bits, 0 to 0777");
}

[[noreturn]] void refuse_values(std::size_t values, std::size_t semaphores) {
    throw UsageError(std::to_string(values) + " values for " + std::to_string(semaphores) + " semaphores");
}

template <class Objects>
[[noreturn]] void refuse_existing(int id, const char* what) {
    fail(EEXIST, with_id("use", Objects::noun, id),
         std::string("it has another ") + what + " than the one asked for, and is not changed");
}

// IPC_SET of owner, group and mode, which needs all three; whatever else it sets is in `about` already.
template <class Objects>
void set_ownership(int id, typename Objects::About& about, const MakeOptions& options) {
    struct ipc_perm& perm = Objects::perm(about);
    perm.uid = options.owner.value_or(::geteuid());
    perm.gid = options.group.value_or(::getegid());
    perm.mode = options.mode;
    if (Objects::set(id, about) == 0) return;
    const int number = errno;
    fail(number, with_id("set the owner, mode or limit of", Objects::noun, id),
         number == EINVAL ? "the owner or group has no mapping in the user namespace"
         : number == EPERM
             ? "a queue's limit above msgmnb needs CAP_SYS_RESOURCE in the initial user namespace"
             : "");
}

// What an existing object must have, since it is not changed. @return its record; nothing when it is gone
template <class Objects>
std::optional<typename Objects::Record> check_existing(int id, const MakeOptions& options) {
    auto record = find<Objects>(typename Objects::Id{id});
    if (!record) return record;
    if (options.owner && *options.owner != record->who.owner) refuse_existing<Objects>(id, "owner");
    if (options.group && *options.group != record->who.group) refuse_existing<Objects>(id, "group");
    return record;
}

// ---- Removing ----

template <class Objects>
[[noreturn]] void fail_to_remove(int id) {
    const int number = errno;
    fail(number, with_id("remove", Objects::noun, id),
         number == EPERM ? "that takes its owner, its creator, or root of the namespace" : "");
}

template <class Objects>
void remove_object(int id) {
    if (Objects::remove(id) != 0) fail_to_remove<Objects>(id);
}

template <class Objects>
bool remove_same_object(const typename Objects::Record& record) {
    const int id = static_cast<int>(record.id);
    typename Objects::About about;
    if (Objects::look(id, about) != id) return false;
    const auto now = Objects::record(id, about);
    if (now.key != record.key || now.who != record.who || now.changed != record.changed ||
        !Objects::same(now, record))
        return false;
    if (Objects::remove(id) == 0) return true;
    if (is_gone(errno)) return false;
    fail_to_remove<Objects>(id);
}

} // namespace

SysvUsage sysv_usage() {
    SysvUsage usage;
    const auto is_known = [](int answer) {
        if (answer < 0 && errno != ENOSYS) fail("count the System V objects");
        return answer >= 0;
    };
    struct shm_info shm {};
    if (is_known(shm_information(shm))) {
        usage.segments = static_cast<std::size_t>(shm.used_ids);
        usage.segment_bytes = static_cast<std::uint64_t>(shm.shm_tot) * page_size();
    }
    struct msginfo msg {};
    if (is_known(msg_information(msg))) usage.queues = static_cast<std::size_t>(msg.msgpool);
    struct seminfo sem {};
    if (is_known(sem_information(sem))) {
        usage.semaphore_sets = static_cast<std::size_t>(sem.semusz);
        usage.semaphores = static_cast<std::size_t>(sem.semaem);
    }
    return usage;
}

SysvUsage remove_all_sysv() {
    SysvUsage removed;
    int first_error = 0;

    struct shm_info shm {};
    const int segments = shm_information(shm);
    removed.segments = remove_each(
        segments, first_error,
        [](int index) {
            struct shmid_ds about {};
            return ::shmctl(index, SHM_STAT_ANY, &about);
        },
        [&removed](int id) {
            struct shmid_ds about {};
            const bool known = ::shmctl(id, IPC_STAT, &about) == 0;
            const int result = ::shmctl(id, IPC_RMID, nullptr);
            if (result == 0 && known)
                removed.segment_bytes += (about.shm_segsz + page_size() - 1) / page_size() * page_size();
            return result;
        });

    struct msginfo msg {};
    const int queues = msg_information(msg);
    removed.queues = remove_each(
        queues, first_error,
        [](int index) {
            struct msqid_ds about {};
            return ::msgctl(index, MSG_STAT_ANY, &about);
        },
        [](int id) { return ::msgctl(id, IPC_RMID, nullptr); });

    struct seminfo sem {};
    const int sets = sem_information(sem);
    removed.semaphore_sets = remove_each(
        sets, first_error,
        [](int index) {
            struct semid_ds about {};
            SemArgument argument{};
            argument.set = &about;
            return ::semctl(index, 0, SEM_STAT_ANY, argument);
        },
        [](int id) { return ::semctl(id, 0, IPC_RMID); });

    if (first_error != 0) fail(first_error, "remove the System V objects of a namespace");
    return removed;
}

std::vector<QueueRecord> list_queues() { return list<Queues>(); }

std::vector<SemaphoreSetRecord> list_semaphore_sets() { return list<SemaphoreSets>(); }

std::vector<SegmentRecord> list_segments(SegmentMemory memory) {
    auto records = list<Segments>();
    if (memory == SegmentMemory::read) fill_in_memory(records);
    return records;
}

std::vector<QueueRecord> list_queues(Undescribed& rest) { return list<Queues>(rest); }

std::vector<SemaphoreSetRecord> list_semaphore_sets(Undescribed& rest) { return list<SemaphoreSets>(rest); }

std::vector<SegmentRecord> list_segments(SegmentMemory memory, Undescribed& rest) {
    auto records = list<Segments>(rest);
    if (memory == SegmentMemory::read) fill_in_memory(records);
    return records;
}

std::optional<QueueRecord> find_queue(QueueId id) { return find<Queues>(id); }

std::optional<QueueRecord> find_queue(Key key) { return find<Queues>(key); }

std::optional<SemaphoreSetRecord> find_semaphore_set(SemaphoreSetId id) { return find<SemaphoreSets>(id); }

std::optional<SemaphoreSetRecord> find_semaphore_set(Key key) { return find<SemaphoreSets>(key); }

std::optional<SegmentRecord> find_segment(SegmentId id, SegmentMemory memory) {
    return with_memory(find<Segments>(id), memory);
}

std::optional<SegmentRecord> find_segment(Key key, SegmentMemory memory) {
    return with_memory(find<Segments>(key), memory);
}

namespace {

[[noreturn]] void refuse_reading(int id, int number) {
    fail(number, with_id("read", SemaphoreSets::noun, id),
         number == EACCES ? "that takes read permission for it" : "");
}

// Room for the values of a set, with a page behind it that nobody may touch. The kernel takes as many values as the set
// has now, whatever room there is, and who has CAP_CHECKPOINT_RESTORE in its namespace can make a larger set of the same
// id in an instant (sem_next_id): then GETALL fails with EFAULT, and overwrites nothing of ours.
class ValuesRoom {
public:
    explicit ValuesRoom(std::size_t count) {
        const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
        const std::size_t bytes = count * sizeof(unsigned short);
        const std::size_t inside = (bytes + page - 1) / page * page;
        length_ = inside + page;
        void* memory = ::mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) fail("make room for the values of a semaphore set");
        memory_ = static_cast<char*>(memory);
        values_ = reinterpret_cast<unsigned short*>(memory_ + inside - bytes);
        if (::mprotect(memory_ + inside, page, PROT_NONE) == 0) return;
        const int number = errno;
        ::munmap(memory_, length_);
        fail(number, "make room for the values of a semaphore set");
    }
    ValuesRoom(const ValuesRoom&) = delete;
    ValuesRoom& operator=(const ValuesRoom&) = delete;
    ~ValuesRoom() { ::munmap(memory_, length_); }
    [[nodiscard]] unsigned short* values() const noexcept { return values_; }

private:
    char* memory_ = nullptr;
    std::size_t length_ = 0;
    unsigned short* values_ = nullptr;
};

std::vector<unsigned short> read_values(int id, std::size_t count) {
    if (count == 1) {
        const int value = ::semctl(id, 0, GETVAL);
        if (value < 0) refuse_reading(id, errno);
        return {static_cast<unsigned short>(value)};
    }
    const ValuesRoom room(count);
    SemArgument argument{};
    argument.values = room.values();
    if (::semctl(id, 0, GETALL, argument) < 0) refuse_reading(id, errno == EFAULT ? EIDRM : errno);
    return {room.values(), room.values() + count};
}

// False with errno. The kernel reads as many as the set has now: none of ours behind these.
bool write_values(int id, std::span<const unsigned short> values) {
    const ValuesRoom room(values.size());
    std::copy(values.begin(), values.end(), room.values());
    SemArgument argument{};
    argument.values = room.values();
    if (::semctl(id, 0, SETALL, argument) >= 0) return true;
    if (errno == EFAULT) errno = EIDRM;
    return false;
}

} // namespace

std::vector<SemaphoreState> read_semaphores(SemaphoreSetId set) {
    const auto record = find_semaphore_set(set);
    if (!record) refuse_reading(static_cast<int>(set), EINVAL);
    return read_semaphores(*record);
}

std::vector<SemaphoreState> read_semaphores(const SemaphoreSetRecord& set, SemaphoreWaiters waiters) {
    const int id = static_cast<int>(set.id);
    const auto refuse = [id](int number) { refuse_reading(id, number); };
    std::vector<SemaphoreState> states;
    states.reserve(set.count);
    for (const unsigned short value : read_values(id, set.count)) {
        const auto ask = [&, number = static_cast<int>(states.size())](int command) {
            const int answer = ::semctl(id, number, command);
            if (answer < 0) refuse(errno);
            return answer;
        };
        SemaphoreState& state = states.emplace_back();
        state.value = value;
        state.last = ask(GETPID);
        if (waiters == SemaphoreWaiters::skip) continue;
        state.waiting_increase = static_cast<unsigned>(ask(GETNCNT));
        state.waiting_zero = static_cast<unsigned>(ask(GETZCNT));
    }
    return states;
}

std::vector<unsigned short> read_semaphore_values(const SemaphoreSetRecord& set) {
    return read_values(static_cast<int>(set.id), set.count);
}

// ---- Messages that stay ----

namespace {

// A system call that copies one takes as long as the room for it, so that begins small and grows with the messages.
class MessageCopier {
public:
    explicit MessageCopier(int id) noexcept : id_(id) {}

    // The message at a place; nothing: there are not so many.
    std::optional<std::span<const std::byte>> copy(std::uint64_t place) {
        for (;;) {
            const ssize_t length = ::msgrcv(id_, room_.data(), room_.size() - sizeof(long),
                                            static_cast<long>(place), MSG_COPY | IPC_NOWAIT);
            if (length >= 0)
                return std::span<const std::byte>(room_).subspan(sizeof(long),
                                                                 static_cast<std::size_t>(length));
            if (errno == ENOMSG) return {};
            if (errno == EINTR) continue;
            if (errno != E2BIG) refuse(errno);
            room_.resize(room_.size() * 4);
        }
    }

    // Of the message that was copied last.
    [[nodiscard]] long type() const noexcept {
        long type = 0;
        std::memcpy(&type, room_.data(), sizeof type);
        return type;
    }

private:
    [[noreturn]] void refuse(int number) const {
        const std::string what = with_id("read the messages of", Queues::noun, id_);
        switch (number) {
        case EACCES: fail(number, what, "that takes read permission for it");
        case ENOSYS: fail(number, what, "this kernel can't copy messages (CONFIG_CHECKPOINT_RESTORE)");
        // The kernel has room for no more than the limit, whatever we ask for.
        case EINVAL:
            if (find_queue(QueueId{id_}))
                fail(EMSGSIZE, what, "one is longer than the limit msgmax, which has to be raised for it");
            [[fallthrough]];
        default: fail(number, what);
        }
    }

    int id_;
    std::vector<std::byte> room_ = std::vector<std::byte>(1024);
};

// A number for a message, to be compared with that of another reading.
std::size_t digest(long type, std::span<const std::byte> bytes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return std::hash<std::string_view>()(text) * 31 + std::hash<long>()(type);
}

// One time through the queue, and what it was like.
class QueuePass {
public:
    using Give = std::function<void(long type, std::span<const std::byte> bytes)>;
    static constexpr std::size_t most_kept = std::size_t{4} << 20;

    // Keeps the messages, up to most_kept bytes; beyond that they are given.
    void run(int id, const Give& give) {
        MessageCopier copier(id);
        while (const auto message = copier.copy(digests_.size())) {
            digests_.push_back(digest(copier.type(), *message));
            bytes_ += message->size();
            if (!given_ && kept_.size() + message->size() <= most_kept) {
                heads_.push_back({copier.type(), message->size()});
                kept_.insert(kept_.end(), message->begin(), message->end());
                continue;
            }
            give_kept(give);
            give(copier.type(), *message);
        }
    }
    // Only to compare it with another one.
    [[nodiscard]] bool is_same_again(int id) const {
        MessageCopier copier(id);
        for (std::size_t place = 0;; ++place) {
            const auto message = copier.copy(place);
            if (!message) return place == digests_.size();
            if (place == digests_.size() || digest(copier.type(), *message) != digests_[place]) return false;
        }
    }
    void give_kept(const Give& give) {
        std::span<const std::byte> rest(kept_);
        for (const auto& head : heads_) {
            give(head.type, rest.first(head.size));
            rest = rest.subspan(head.size);
        }
        kept_ = {};
        heads_ = {};
        given_ = true;
    }

    [[nodiscard]] bool given() const noexcept { return given_; }
    [[nodiscard]] std::uint64_t messages() const noexcept { return digests_.size(); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

private:
    std::vector<Received> heads_; // of what is kept
    std::vector<std::byte> kept_;
    std::vector<std::size_t> digests_;
    std::uint64_t bytes_ = 0;
    bool given_ = false;
};

QueueRecord existing_queue(int id) {
    const auto record = find_queue(QueueId{id});
    if (!record) fail(EIDRM, with_id("read the messages of", Queues::noun, id));
    return *record;
}

// Nothing was sent or received in this very second, so that whatever is from now on will show in the record.
bool is_quiet(const QueueRecord& queue) {
    struct timespec now {};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
    const auto second = std::chrono::sys_seconds(std::chrono::seconds(now.tv_sec));
    return (!queue.sent || *queue.sent < second) && (!queue.received || *queue.received < second);
}

} // namespace

QueueReading read_messages(QueueId queue, const std::function<void(long, std::span<const std::byte>)>& give) {
    constexpr int attempts = 20;
    const int id = static_cast<int>(queue);
    if (!find_queue(queue)) fail(EINVAL, with_id("read the messages of", Queues::noun, id));
    for (int attempt = 1;; ++attempt) {
        const QueueRecord before = existing_queue(id);
        const bool quiet = is_quiet(before);
        QueuePass pass;
        pass.run(id, give);
        const bool one_moment = pass.messages() == before.messages && pass.bytes() == before.bytes &&
                                (quiet || pass.is_same_again(id)) && existing_queue(id) == before;
        if (!one_moment && !pass.given() && attempt < attempts) continue;
        if (!pass.given()) pass.give_kept(give);
        return {pass.messages(), one_moment};
    }
}

QueueId make_queue(Key key, const MakeOptions& options, std::optional<std::uint64_t> limit) {
    check_mode(options);
    for (;;) {
        const Got got = get<Queues>(key, options, options.mode,
                                    [key](int flags) { return ::msgget(static_cast<key_t>(key), flags); });
        if (!got.made) {
            const auto existing = check_existing<Queues>(got.id, options);
            if (!existing) continue; // it went in between
            if (limit && *limit != existing->limit) refuse_existing<Queues>(got.id, "limit");
            return QueueId{got.id};
        }
        Rollback<Queues> rollback(got);
        if (limit || options.owner || options.group) {
            struct msqid_ds about {};
            if (!limit && Queues::look(got.id, about) < 0) fail(with_id("look at", Queues::noun, got.id));
            if (limit) about.msg_qbytes = *limit;
            set_ownership<Queues>(got.id, about, options);
        }
        rollback.keep();
        return QueueId{got.id};
    }
}

SemaphoreSetId make_semaphore_set(Key key, std::size_t count, const MakeOptions& options,
                                  std::span<const unsigned short> values) {
    check_mode(options);
    if (!values.empty() && values.size() != count) refuse_values(values.size(), count);
    // What does not fit an int is more than any limit allows as well; the kernel is to say so.
    const int number = static_cast<int>(std::min<std::size_t>(count, std::numeric_limits<int>::max()));
    // Setting values takes the permission to write, which the mode need not give: it does so for a moment.
    const mode_t first_mode = values.empty() ? options.mode : options.mode | 0200;
    for (;;) {
        const Got got = get<SemaphoreSets>(key, options, first_mode, [key, number](int flags) {
            return ::semget(static_cast<key_t>(key), number, flags);
        });
        if (!got.made) {
            if (!check_existing<SemaphoreSets>(got.id, options)) continue; // it went in between
            return SemaphoreSetId{got.id};
        }
        Rollback<SemaphoreSets> rollback(got);
        if (!values.empty()) {
            if (!write_values(got.id, values)) {
                const int error = errno;
                fail(error, with_id("set the values of", SemaphoreSets::noun, got.id),
                     error == ERANGE ? "a semaphore's value is 0 to 32767" : "");
            }
        }
        if (first_mode != options.mode || options.owner || options.group) {
            struct semid_ds about {};
            set_ownership<SemaphoreSets>(got.id, about, options);
        }
        rollback.keep();
        return SemaphoreSetId{got.id};
    }
}

namespace {

Got get_segment(Key key, std::uint64_t bytes, const SegmentOptions& options) {
    check_mode(options);
    int more = options.no_reserve ? SHM_NORESERVE : 0;
    if (options.huge_page_size != 0 && !std::has_single_bit(options.huge_page_size))
        throw UsageError("the size of a huge page is a power of two");
    if (options.huge_pages) {
        more |= SHM_HUGETLB;
        // The size's logarithm above the flags; 0 there is the default size.
        if (options.huge_page_size != 0) more |= std::countr_zero(options.huge_page_size) << huge_page_shift;
    }
    for (;;) {
        const Got got = get<Segments>(key, options, options.mode, [key, bytes, more](int flags) {
            return ::shmget(static_cast<key_t>(key), bytes, flags | more);
        });
        if (!got.made) {
            const auto existing = check_existing<Segments>(got.id, options);
            if (!existing) continue; // it went in between
            if (options.lock && !existing->locked) refuse_existing<Segments>(got.id, "state of being locked");
            return got;
        }
        Rollback<Segments> rollback(got);
        if (options.lock && ::shmctl(got.id, SHM_LOCK, nullptr) < 0) {
            const int error = errno;
            fail(error, with_id("lock", Segments::noun, got.id),
                 error == EPERM || error == ENOMEM ? "RLIMIT_MEMLOCK does not allow it" : "");
        }
        if (options.owner || options.group) {
            struct shmid_ds about {};
            set_ownership<Segments>(got.id, about, options);
        }
        rollback.keep();
        return got;
    }
}

} // namespace

SegmentId make_segment(Key key, std::uint64_t bytes, const SegmentOptions& options) {
    return SegmentId{get_segment(key, bytes, options).id};
}

void remove(QueueId id) { remove_object<Queues>(static_cast<int>(id)); }

void remove(SemaphoreSetId id) { remove_object<SemaphoreSets>(static_cast<int>(id)); }

void remove(SegmentId id) { remove_object<Segments>(static_cast<int>(id)); }

bool remove_same(const QueueRecord& record) { return remove_same_object<Queues>(record); }

bool remove_same(const SemaphoreSetRecord& record) { return remove_same_object<SemaphoreSets>(record); }

bool remove_same(const SegmentRecord& record) { return remove_same_object<Segments>(record); }

// ---- Handles: what their inline functions leave out ----

namespace detail {

void fail_call(const char* verb, QueueId id) {
    const int number = errno;
    fail(number, with_id(verb, Queues::noun, static_cast<int>(id)),
         number == E2BIG ? "the message is longer than the room for it" : "");
}

void fail_call(const char* verb, SemaphoreSetId id) {
    const int number = errno;
    fail(number, with_id(verb, SemaphoreSets::noun, static_cast<int>(id)),
         number == EFBIG    ? "the set has no semaphore of that number"
         : number == ERANGE ? "a semaphore's value is 0 to 32767"
         : number == E2BIG  ? "there are more operations than the third number of the limit sem"
                            : "");
}

void fail_call(const char* verb, SegmentId id) { fail(with_id(verb, Segments::noun, static_cast<int>(id))); }

void refuse_size(std::size_t size, std::size_t capacity) {
    throw UsageError("a message of " + std::to_string(size) + " bytes in room for " +
                     std::to_string(capacity));
}

void refuse_count(int count) {
    throw UsageError("a semaphore changes by 1 to 32767, not by " + std::to_string(count));
}

void remove_quietly(QueueId id) noexcept { Queues::remove(static_cast<int>(id)); }

void remove_quietly(SemaphoreSetId id) noexcept { SemaphoreSets::remove(static_cast<int>(id)); }

SegmentRecord existing_segment(Key key) {
    const auto record = find_segment(key);
    if (!record) fail(ENOENT, with_key("attach", Segments::noun, key));
    return *record;
}

Attached create_attached(Key key, std::uint64_t bytes, const SegmentOptions& options) {
    const Got got = get_segment(key, bytes, options);
    Rollback<Segments> rollback(got);
    // Its size: an existing one may be larger than what was asked for.
    struct shmid_ds about {};
    if (Segments::look(got.id, about) != got.id) fail(EIDRM, with_id("look at", Segments::noun, got.id));
    void* const memory = ::shmat(got.id, nullptr, 0);
    if (reinterpret_cast<std::intptr_t>(memory) == -1) fail_call("attach", SegmentId{got.id});
    rollback.keep();
    return {SegmentId{got.id}, {static_cast<std::byte*>(memory), about.shm_segsz}};
}

Attached create_temporary(std::uint64_t bytes, const SegmentOptions& options) {
    const Attached attached = create_attached(Key::none, bytes, options);
    Segments::remove(static_cast<int>(attached.id)); // fails only where somebody else has done it
    return attached;
}

} // namespace detail

MessageQueue MessageQueue::open(Key key) {
    const auto record = find_queue(key);
    if (!record) fail(ENOENT, with_key("open", Queues::noun, key));
    return MessageQueue(record->id);
}

namespace {

// A message in one piece with its type: on the stack as long as it is no longer than MessageQueue::on_stack.
class Piece {
public:
    explicit Piece(std::size_t size) {
        if (size > MessageQueue::on_stack)
            heap_ = std::make_unique_for_overwrite<std::byte[]>(sizeof(long) + size);
        start_ = heap_ ? heap_.get() : stack_.data();
    }
    [[nodiscard]] std::byte* start() noexcept { return start_; }
    [[nodiscard]] std::byte* bytes() noexcept { return start_ + sizeof(long); }

private:
    std::byte* start_;
    std::unique_ptr<std::byte[]> heap_;
    alignas(long) std::array<std::byte, sizeof(long) + MessageQueue::on_stack> stack_;
};

} // namespace

bool MessageQueue::put_large(long type, std::span<const std::byte> bytes, int flags) const {
    Piece piece(bytes.size());
    std::memcpy(piece.start(), &type, sizeof type);
    std::memcpy(piece.bytes(), bytes.data(), bytes.size());
    return put(piece.start(), bytes.size(), flags);
}

std::optional<Received> MessageQueue::take_large(std::span<std::byte> into, long type, int flags) const {
    Piece piece(into.size());
    const ssize_t length = take(piece.start(), into.size(), type, flags);
    if (length < 0) return {};
    Received received;
    received.size = static_cast<std::size_t>(length);
    std::memcpy(&received.type, piece.start(), sizeof received.type);
    std::memcpy(into.data(), piece.bytes(), received.size);
    return received;
}

SemaphoreSet SemaphoreSet::open(Key key) {
    const auto record = find_semaphore_set(key);
    if (!record) fail(ENOENT, with_key("open", SemaphoreSets::noun, key));
    return SemaphoreSet(record->id);
}

bool SemaphoreSet::operate_for(std::span<const struct sembuf> operations,
                               std::chrono::nanoseconds timeout) const {
    using namespace std::chrono;
    const auto start = steady_clock::now();
    for (nanoseconds left = timeout;; left = timeout - (steady_clock::now() - start)) {
        left = std::max(left, nanoseconds::zero());
        const auto whole = duration_cast<seconds>(left);
        const struct timespec time { whole.count(), (left - whole).count() };
        auto* const first = const_cast<struct sembuf*>(operations.data()); // which semtimedop only reads
        if (::semtimedop(static_cast<int>(id()), first, operations.size(), &time) == 0) return true;
        if (errno == EAGAIN) return false;
        if (errno != EINTR) detail::fail_call("operate on", id());
    }
}

void SemaphoreSet::set(unsigned short number, int value) const {
    SemArgument argument{};
    argument.value = value;
    if (::semctl(static_cast<int>(id()), number, SETVAL, argument) < 0)
        detail::fail_call("set a value of", id());
}

void SemaphoreSet::set_all(std::span<const unsigned short> values) const {
    const auto record = find_semaphore_set(id());
    if (record && record->count != values.size()) refuse_values(values.size(), record->count);
    if (!write_values(static_cast<int>(id()), values)) detail::fail_call("set the values of", id());
}

} // namespace ipcns
