// SPDX-License-Identifier: Apache-2.0
// Everything is made at the beginning, so that what can't be made is found out before the long part; then the contents
// come, then the limits. Leans on: kernel.{msg,sem,shm}_next_id, which choose the next object's id, or the next free one
// behind it; new memory reading as 0, so that zeros need not be written; /proc/self/map_files, through which root may
// write a segment without mapping its pages; MADV_POPULATE_WRITE (Linux 5.14), which says in an error what a store would
// say by SIGBUS.
#include "rebuild.hpp"

#include "contents.hpp"
#include "error.hpp"
#include "idmap.hpp"
#include "procfs.hpp"

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <set>
#include <unordered_set>

namespace ipcns {
namespace {

constexpr std::uint64_t page = 4096;

std::string said(const ObjectName& name) { return escape(name.text()); }

std::uint64_t plus(std::uint64_t a, std::uint64_t b) {
    return a > std::numeric_limits<std::uint64_t>::max() - b ? std::numeric_limits<std::uint64_t>::max()
                                                             : a + b;
}

bool is_zero(std::span<const std::byte> data) {
    return data.empty() ||
           (data[0] == std::byte{} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

// A number from /proc/meminfo, in bytes.
std::uint64_t memory_number(const std::string& text, std::string_view key) {
    const auto at = text.find(key);
    if (at == std::string::npos) return 0;
    const auto digit = text.find_first_of("0123456789", at);
    std::uint64_t number = 0;
    if (digit != std::string::npos) std::from_chars(text.data() + digit, text.data() + text.size(), number);
    return number * 1024;
}

bool is_removed(const SegmentRecord& record) { return record.removed; }
bool is_removed(const QueueRecord& /*record*/) { return false; }
bool is_removed(const SemaphoreSetRecord& /*record*/) { return false; }

// As many bytes of POSIX queues as the system allows, for as long as this lives. The limit is the process's.
class QueueBytes {
public:
    QueueBytes() {
        if (::getrlimit(RLIMIT_MSGQUEUE, &before_) != 0) return;
        struct rlimit all {
            RLIM_INFINITY, RLIM_INFINITY
        };
        if (::setrlimit(RLIMIT_MSGQUEUE, &all) == 0) return;
        all = {before_.rlim_max, before_.rlim_max};
        (void)::setrlimit(RLIMIT_MSGQUEUE, &all);
    }
    ~QueueBytes() { (void)::setrlimit(RLIMIT_MSGQUEUE, &before_); }
    QueueBytes(const QueueBytes&) = delete;
    QueueBytes& operator=(const QueueBytes&) = delete;

private:
    struct rlimit before_ {};
};

} // namespace

// Chooses the id of the next object of a kind.
class Rebuild::NextId {
public:
    explicit NextId(const char* kind) : path_("/proc/sys/kernel/" + std::string(kind) + "_next_id") {}
    ~NextId() {
        // A wish that came to nothing would be somebody else's.
        if (!pending_) return;
        const int id = path_.find("msg") != std::string::npos   ? ::msgget(IPC_PRIVATE, 0600)
                       : path_.find("sem") != std::string::npos ? ::semget(IPC_PRIVATE, 1, 0600)
                                                                : ::shmget(IPC_PRIVATE, 1, 0600);
        if (id < 0) return;
        if (path_.find("msg") != std::string::npos)
            (void)::msgctl(id, IPC_RMID, nullptr);
        else if (path_.find("sem") != std::string::npos)
            (void)::semctl(id, 0, IPC_RMID);
        else
            (void)::shmctl(id, IPC_RMID, nullptr);
    }
    NextId(const NextId&) = delete;
    NextId& operator=(const NextId&) = delete;

    // Makes an object with this id.
    template <class Make>
    auto make(int id, Make make) {
        if (!file_) file_ = Fd(::open(path_.c_str(), O_WRONLY | O_CLOEXEC));
        const std::string text = std::to_string(id);
        if (!file_ || ::pwrite(file_.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
            fail("choose the ids of objects (" + path_ + ")",
                 errno == ENOENT
                     ? "this kernel was built without CONFIG_CHECKPOINT_RESTORE; --new-ids lets it choose"
                     : "it takes CAP_CHECKPOINT_RESTORE in the user namespace that owns the IPC namespace, "
                       "and a /proc/sys that may be written; --new-ids lets the kernel choose");
        pending_ = true;
        const auto made = make();
        pending_ = false;
        return made;
    }

private:
    std::string path_;
    Fd file_;
    bool pending_ = false;
};

// What is written to: a file where that is possible, else a mapping.
class Rebuild::Memory {
public:
    // Is told how many bytes are going to be written and how much memory that takes, in pages that were not written to before, and
    // may refuse.
    using Before = std::function<void(std::uint64_t bytes, std::uint64_t memory)>;
    Memory(Fd file, Before before) : before_(std::move(before)), file_(std::move(file)) {}
    Memory(Segment segment, bool huge_pages, Before before)
        : before_(std::move(before)), segment_(std::move(segment)) {
        if (huge_pages) return; // no write(2) for these
        const auto start = reinterpret_cast<std::uintptr_t>(segment_->bytes().data());
        std::array<char, 80> path;
        const std::uint64_t end = start + (segment_->bytes().size() + page - 1) / page * page;
        std::snprintf(path.data(), path.size(), "/proc/self/map_files/%lx-%lx",
                      static_cast<unsigned long>(start), static_cast<unsigned long>(end));
        file_ = Fd(::open(path.data(), O_RDWR | O_CLOEXEC));
    }

    // Passes over pages of zeros.
    void write(std::uint64_t offset, std::span<const std::byte> data) {
        std::size_t begin = 0; // of what is to be written, up to the page that is looked at
        for (std::size_t at = 0; at < data.size();) {
            const std::uint64_t left = page - (offset + at) % page;
            const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, data.size() - at));
            if (is_zero(data.subspan(at, part))) {
                write_all(offset + begin, data.subspan(begin, at - begin));
                begin = at + part;
            }
            at += part;
        }
        write_all(offset + begin, data.subspan(begin));
    }

private:
    void write_all(std::uint64_t offset, std::span<const std::byte> data) {
        if (data.empty()) return;
        const std::uint64_t end = (offset + data.size() + page - 1) / page;
        // Of what comes in ascending order the first page may be the last one of before.
        const std::uint64_t begin = std::max(offset / page, taken_);
        before_(data.size(), end > begin ? (end - begin) * page : 0);
        taken_ = std::max(taken_, end);
        if (!file_) return store(offset, data);
        while (!data.empty()) {
            const ssize_t length =
                ::pwrite(file_.get(), data.data(), data.size(), static_cast<off_t>(offset));
            if (length < 0 && errno == EINTR) continue;
            if (length < 0) fail("write shared memory", errno == ENOSPC ? "its /dev/shm is full" : "");
            offset += static_cast<std::uint64_t>(length);
            data = data.subspan(static_cast<std::size_t>(length));
        }
    }

    void store(std::uint64_t offset, std::span<const std::byte> data) {
        std::byte* const to = segment_->bytes().data() + offset;
        const std::uint64_t first = offset / page * page;
        if (::madvise(segment_->bytes().data() + first, offset - first + data.size(), MADV_POPULATE_WRITE) !=
                0 &&
            errno != EINVAL)
            fail(ENOMEM, "write shared memory");
        std::memcpy(to, data.data(), data.size());
    }

    Before before_;
    std::uint64_t taken_ = 0; // pages from the beginning up to the last that was written to
    std::optional<Segment> segment_;
    Fd file_;
};

Rebuild::Rebuild(int shared, Into into, const RestoreOptions& options, ino_t user_namespace)
    : shared_(shared), into_(into), options_(options), user_namespace_(user_namespace) {}

Rebuild::~Rebuild() {
    if (!done_) undo();
}

// ---- Before anything is made -------------------------------------------------------------------------------------

// More than the machine has would end other programs before it ended this one.
void Rebuild::check_memory() {
    constexpr std::uint64_t semaphore = 64; // of the kernel's, for each
    std::uint64_t needed = 0;
    for (const auto& record : snapshot_->msg) needed = plus(needed, record.bytes);
    for (const auto& set : snapshot_->sem) needed += set.values.size() * semaphore;
    for (const auto& [record, huge_page] : snapshot_->shm) {
        if (!record.removed && huge_page == 0)
            needed = plus(needed, plus(record.resident.value_or(0), record.swapped.value_or(0)));
    }
    for (const auto& record : snapshot_->mq) needed = plus(needed, record.bytes.value_or(0));
    needed += snapshot_->psem.size() * page;
    for (const auto& record : snapshot_->pshm) needed = plus(needed, record.allocated);
    const auto text = procfs::read_file(AT_FDCWD, "/proc/meminfo", 1 << 16);
    if (!text) return;
    memory_ = plus(memory_number(*text, "MemAvailable:"), memory_number(*text, "SwapFree:"));
    if (needed > memory_)
        fail(ENOMEM, "restore the snapshot: its contents take " + format_size(needed) + " of memory",
             format_size(memory_) + " are available");
}

// What it said of itself before need not be true.
void Rebuild::take_memory(std::uint64_t bytes) {
    if (bytes > memory_) fail(ENOMEM, "restore the snapshot: its contents take more memory than there is");
    memory_ -= bytes;
}

void Rebuild::check_taken() const {
    const auto refuse = [](const ObjectName& name, const std::string& why) {
        fail(EEXIST, "restore " + said(name) + ": " + why, "nothing was changed");
    };
    // An id is an index in the kernel's table, and a number that makes it unique: two of one index can't both be.
    constexpr int indices = 32768; // IPCMNI
    const auto check = [&](const auto& there, const auto& saved, auto record_of) {
        std::unordered_set<int> taken;
        std::unordered_set<std::uint32_t> keys;
        for (const auto& record : there) {
            taken.insert(static_cast<int>(record.id) % indices);
            if (record.key != Key::none) keys.insert(static_cast<std::uint32_t>(record.key));
        }
        for (const auto& one : saved) {
            const auto& record = record_of(one);
            if (is_removed(record)) continue; // and so not made
            if (!options_.new_ids && taken.contains(static_cast<int>(record.id) % indices))
                refuse(name_of(record),
                       "its id is taken, or its place in the table; --new-ids would give it another");
            if (keys.contains(static_cast<std::uint32_t>(record.key)))
                refuse(name_of(record), "its key is taken");
        }
    };
    const auto itself = [](const auto& one) -> const auto& { return one; };
    const auto inner = [](const auto& one) -> const auto& { return one.record; };
    check(list_queues(), snapshot_->msg, itself);
    check(list_semaphore_sets(), snapshot_->sem, inner);
    check(list_segments(), snapshot_->shm, inner);
    if (!snapshot_->mq.empty()) {
        if (const QueueFolder queues = open_queues()) {
            for (const auto& record : snapshot_->mq) {
                if (::faccessat(queues.folder.get(), record.name.c_str() + 1, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                    refuse(name_of(record), "its name is taken");
            }
        }
    }
    const auto check_file = [&](const ObjectName& name, const std::string& file) {
        if (::faccessat(shared_, file.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            refuse(name, "its name is taken");
    };
    for (const auto& record : snapshot_->psem) check_file(name_of(record), "sem." + record.name.substr(1));
    for (const auto& record : snapshot_->pshm) check_file(name_of(record), record.name.substr(1));
}

void Rebuild::raise_limits() {
    struct Need {
        const char* key;
        std::uint64_t least;
    };
    std::uint64_t queue = 0, message = 0, sets = snapshot_->sem.size(), largest = 0, semaphores = 0,
                  bytes = 0, pages = 0, segments = 0, queues = snapshot_->mq.size(), messages = 0, size = 0;
    constexpr std::uint64_t most = std::numeric_limits<int>::max();
    for (const auto& record : snapshot_->msg) {
        queue = std::max({queue, record.bytes, record.messages, record.limit});
        message = std::max(message, record.bytes);
    }
    for (const auto& set : snapshot_->sem) {
        largest = std::max<std::uint64_t>(largest, set.values.size());
        semaphores += set.values.size();
    }
    for (const auto& [record, huge_page] : snapshot_->shm) {
        if (record.removed) continue;
        ++segments;
        bytes = std::max(bytes, record.bytes);
        const std::uint64_t unit = std::max(huge_page, page);
        pages = plus(pages, plus(record.bytes / unit, 1) > most * page
                                ? most * page
                                : (record.bytes / unit + 1) * (unit / page));
    }
    if (snapshot_->live) {
        // What came after it was looked at, as far as the limit went.
        for (const auto& limit : snapshot_->limits) {
            if (std::string_view(limit.key->name) == "msgmax")
                message = std::max<std::uint64_t>(message, std::strtoull(limit.value.c_str(), nullptr, 10));
        }
    }
    for (const auto& record : snapshot_->mq) {
        messages = std::max(messages, record.max_messages.value_or(0));
        size = std::max(size, record.message_size.value_or(0));
    }
    std::vector<Need> needs = {{"msgmni", snapshot_->msg.size()},
                               {"msgmnb", std::min(queue, most)},
                               {"msgmax", std::min(message, most)},
                               {"semmni", sets},
                               {"semmsl", largest},
                               {"semmns", semaphores},
                               {"shmmni", segments},
                               {"shmmax", bytes},
                               {"shmall", pages},
                               {"queues_max", queues},
                               {"msg_max", messages},
                               {"msgsize_max", size}};
    const auto now = read_limit_use();
    std::vector<Limit> raised;
    for (const auto& need : needs) {
        const LimitKey* const key = find_limit_key(need.key);
        const auto found =
            std::find_if(now.begin(), now.end(), [&](const LimitUse& limit) { return limit.key == key; });
        if (found == now.end() || !found->value || need.least <= *found->value) continue;
        raised.push_back({key, std::to_string(need.least)});
    }
    if (!raised.empty()) (void)set_limits(raised);
}

// ---- Making ------------------------------------------------------------------------------------------------------

uid_t Rebuild::user(uid_t saved) const {
    const auto mapped = options_.users.find(saved);
    const uid_t wanted = mapped == options_.users.end() ? saved : mapped->second;
    if (const auto inside = ids_->user_inside(wanted)) return *inside;
    fail(
        EINVAL, "give an object to the user " + std::to_string(wanted),
        "the namespace's owner may not: --map-uid " + std::to_string(saved) + ":NEW gives it to another one");
}

gid_t Rebuild::group(gid_t saved) const {
    const auto mapped = options_.groups.find(saved);
    const gid_t wanted = mapped == options_.groups.end() ? saved : mapped->second;
    if (const auto inside = ids_->group_inside(wanted)) return *inside;
    fail(
        EINVAL, "give an object to the group " + std::to_string(wanted),
        "the namespace's owner may not: --map-gid " + std::to_string(saved) + ":NEW gives it to another one");
}

template <class Options>
Options Rebuild::options_of(const Ownership& who, Key key) const {
    Options options;
    options.mode = who.mode;
    options.exclusive = key != Key::none;
    options.owner = user(who.owner);
    options.group = group(who.group);
    return options;
}

PosixMakeOptions Rebuild::options_of(const FileOwnership& who) const {
    PosixMakeOptions options;
    options.mode = who.mode;
    options.exclusive = true;
    options.owner = user(who.owner);
    options.group = group(who.group);
    return options;
}

void Rebuild::make_all() {
    const auto with_id = [&](NextId& next, const ObjectName& name, auto wanted, auto make, auto& made) {
        if (options_.new_ids) {
            made.push_back(make());
            return;
        }
        const auto id = next.make(static_cast<int>(wanted), make);
        made.push_back(id);
        if (id != wanted)
            fail(EEXIST, "restore " + said(name) + ": its id, or its place in the table, is taken");
    };
    {
        NextId next("msg");
        for (const auto& record : snapshot_->msg) {
            // Room for what is in it, which may be more than its limit was lowered to since.
            const std::uint64_t room = std::max({record.bytes, record.messages, record.limit});
            with_id(
                next, name_of(record), record.id,
                [&] { return make_queue(record.key, options_of<MakeOptions>(record.who, record.key), room); },
                msg_);
        }
    }
    {
        NextId next("sem");
        for (const auto& set : snapshot_->sem)
            with_id(
                next, name_of(set.record), set.record.id,
                [&] {
                    return make_semaphore_set(set.record.key, set.values.size(),
                                              options_of<MakeOptions>(set.record.who, set.record.key),
                                              set.values);
                },
                sem_);
    }
    {
        NextId next("shm");
        for (const auto& [record, huge_page] : snapshot_->shm) {
            if (record.removed) {
                shm_.emplace_back();
                notes_.push_back(said(name_of(record)) +
                                 " was removed already, and only there for its processes");
                continue;
            }
            auto options = options_of<SegmentOptions>(record.who, record.key);
            options.huge_pages = huge_page != 0;
            options.huge_page_size = huge_page;
            options.lock = record.locked;
            with_id(
                next, name_of(record), record.id,
                [&, &record = record] {
                    try {
                        return make_segment(record.key, record.bytes, options);
                    } catch (const Error& error) {
                        // Larger than the memory, and sparse: so was the one that was saved.
                        if (error.code().value() != ENOMEM || options.no_reserve) throw;
                        options.no_reserve = true;
                        return make_segment(record.key, record.bytes, options);
                    }
                },
                shm_);
        }
    }
    if (!snapshot_->mq.empty()) {
        const QueueBytes all;
        for (const auto& record : snapshot_->mq) {
            try {
                (void)make_posix_queue(record.name, options_of(record.who), record.max_messages,
                                       record.message_size);
            } catch (const Error& error) {
                if (error.code().value() != EMFILE) throw;
                fail(
                    EMFILE, "make " + said(name_of(record)),
                    "a user's queues may not be larger together than RLIMIT_MSGQUEUE; root may raise it, or `ulimit -q`");
            }
            mq_.push_back(record.name);
        }
    }
    for (const auto& record : snapshot_->psem) {
        (void)make_named_semaphore(shared_, record.name, *record.value, options_of(record.who));
        files_.push_back("sem." + record.name.substr(1));
    }
    for (const auto& record : snapshot_->pshm) {
        (void)make_shared_memory(shared_, record.name, record.bytes, options_of(record.who));
        files_.push_back(record.name.substr(1));
    }
}

void Rebuild::begin(const Snapshot& snapshot) {
    snapshot_ = &snapshot;
    ids_ = std::make_unique<IdMap>(user_namespace_);
    check_memory();
    if (into_ == Into::used) {
        check_taken();
        if (!snapshot.shm.empty() && removes_unattached())
            fail(EINVAL, "restore segments",
                 "the limit shm_rmid_forced of that namespace has segments removed that nobody has attached");
    } else {
        raise_limits();
    }
    make_all();
    for (const auto& record : snapshot.mq) {
        if (record.notification)
            notes_.push_back(said(name_of(record)) + ": nobody is told of messages any more");
    }
}

void Rebuild::undo() noexcept {
    const auto try_to = [](auto work) {
        try {
            work();
        } catch (const std::exception&) {
            // It is gone, or the whole namespace goes.
        }
    };
    if (into_ == Into::empty) return; // it goes as a whole
    for (const auto id : msg_) try_to([&] { remove(id); });
    for (const auto id : sem_) try_to([&] { remove(id); });
    for (const auto id : shm_) {
        if (id) try_to([&] { remove(*id); });
    }
    for (const auto& name : mq_) (void)::mq_unlink(name.c_str());
    for (const auto& file : files_) (void)::unlinkat(shared_, file.c_str(), 0);
}

// ---- Filling -----------------------------------------------------------------------------------------------------

// What is written is counted: pages of zeros take none, and no more than it had is in the file.
std::function<void(std::uint64_t, std::uint64_t)> Rebuild::counted(Kind kind, std::size_t index,
                                                                   std::optional<std::uint64_t> most) {
    return [this, kind, index, most, written = std::uint64_t{0}](std::uint64_t bytes,
                                                                 std::uint64_t memory) mutable {
        written += bytes;
        if (most && !snapshot_->live && written > *most)
            damaged("there is more in " + said(object_name(*snapshot_, kind, index)) + " than it says");
        take_memory(memory);
    };
}

void Rebuild::begin_memory(Kind kind, std::size_t index, std::span<const Extent> /*extents*/) {
    if (kind == Kind::shm) {
        const auto& [record, huge_page] = snapshot_->shm[index];
        std::optional<std::uint64_t> most;
        if (record.resident && record.swapped && huge_page == 0)
            most = plus(*record.resident, *record.swapped);
        content_ = std::make_unique<Memory>(Segment::attach(*shm_[index]), huge_page != 0,
                                            counted(kind, index, most));
        return;
    }
    const auto& record = snapshot_->pshm[index];
    Fd file(::openat(shared_, record.name.c_str() + 1, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file && errno == EACCES) {
        // Its own mode keeps even its owner out: open it by a way around.
        const Fd path(::openat(shared_, record.name.c_str() + 1, O_PATH | O_NOFOLLOW | O_CLOEXEC));
        const std::string self = "/proc/self/fd/" + std::to_string(path.get());
        if (path && ::chmod(self.c_str(), 0600) == 0) {
            file = Fd(::open(self.c_str(), O_RDWR | O_CLOEXEC));
            (void)::chmod(self.c_str(), record.who.mode);
        }
    }
    if (!file) fail("open " + said(name_of(record)));
    content_ = std::make_unique<Memory>(std::move(file), counted(kind, index, record.allocated));
}

void Rebuild::bytes(std::uint64_t offset, std::span<const std::byte> data) { content_->write(offset, data); }

void Rebuild::end_memory() { content_.reset(); }

void Rebuild::begin_messages(Kind kind, std::size_t index, std::uint64_t /*count*/, std::uint64_t /*bytes*/) {
    kind_ = kind;
    index_ = index;
    if (kind == Kind::mq) queue_ = PosixQueue::open(snapshot_->mq[index].name, PosixQueue::Access::send);
}

void Rebuild::message(std::int64_t type, std::span<const std::byte> text) {
    take_memory(text.size());
    const std::string where = said(object_name(*snapshot_, kind_, index_));
    if (kind_ == Kind::mq) {
        if (!queue_->try_send(text, static_cast<unsigned>(type)))
            damaged("there are more messages of " + where + " than it holds");
        return;
    }
    if (!MessageQueue(msg_[index_]).try_send(static_cast<long>(type), text))
        damaged("there are more messages of " + where + " than it holds");
}

void Rebuild::end_messages() { queue_.reset(); }

void Rebuild::end(const SnapshotEnd& /*end*/) {
    for (std::size_t i = 0; i < msg_.size(); ++i) {
        const auto& record = snapshot_->msg[i];
        if (std::max(record.bytes, record.messages) <= record.limit) continue;
        struct msqid_ds about {};
        const int id = static_cast<int>(msg_[i]);
        if (::msgctl(id, IPC_STAT, &about) != 0) fail("look at " + said(name_of(record)));
        about.msg_qbytes = record.limit;
        if (::msgctl(id, IPC_SET, &about) != 0) fail("set the limit of " + said(name_of(record)));
    }
    if (into_ == Into::empty) {
        std::vector<Limit> limits;
        const auto now = read_limits();
        for (const auto& limit : snapshot_->limits) {
            if (std::string_view(limit.key->name) == "shm_rmid_forced" && limit.value != "0" &&
                !shm_.empty()) {
                notes_.emplace_back(
                    "the limit shm_rmid_forced is not set: it would have segments removed that nobody has attached yet");
                continue;
            }
            const auto found =
                std::find_if(now.begin(), now.end(), [&](const Limit& one) { return one.key == limit.key; });
            if (found == now.end())
                notes_.push_back("the limit " + std::string(limit.key->name) + " is unknown to this kernel");
            else if (found->value != limit.value)
                limits.push_back(limit);
        }
        (void)set_limits(limits);
    }
    done_ = true;
}

} // namespace ipcns
