// SPDX-License-Identifier: Apache-2.0
// Who holds and who waits. One pass over /proc, shared between a few threads. Leans on: a descriptor of a POSIX queue is
// an open file of the queues' file system, whose device and inode stat(2) shows through /proc/PID/fd/N without opening
// it, and the mode of that link itself tells how it was opened (proc_pid_fd(5)); threads share descriptors and
// mappings; what a thread waits for on a file system it must hold or map.
#include <ipcns/holders.hpp>

#include "error.hpp"
#include "maps.hpp"
#include "parallel.hpp"
#include "procfs.hpp"
#include "waiters.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace ipcns {
namespace {

// An object of any kind.
struct Object {
    enum class Kind { queue, set, segment, file } kind = Kind::queue;
    std::uint64_t where =
        0; // the namespace's inode (there is one file system of namespaces), or the file's device
    std::uint64_t number = 0; // the id, or the file's inode
    friend bool operator==(const Object&, const Object&) = default;

    static Object system_v(Kind kind, ino_t space, int id) {
        return {kind, space, static_cast<std::uint64_t>(id)};
    }
    static Object of_file(dev_t device, ino_t inode) { return {Kind::file, device, inode}; }
};

struct Hash {
    std::size_t operator()(const Object& object) const noexcept {
        std::uint64_t mixed = object.where * 4 + static_cast<std::uint64_t>(object.kind);
        mixed = (mixed ^ mixed >> 29) * 0x9e3779b97f4a7c15 + object.number;
        return static_cast<std::size_t>((mixed ^ mixed >> 32) * 0xbf58476d1ce4e5b9);
    }
};

// What is looked for, the same for all processes.
struct Search {
    int proc = -1;
    HoldersOptions options;
    std::vector<ino_t> only;    // in ascending order
    maps::Wanted files_only;    // in processes outside the wanted namespaces
    maps::Wanted with_segments; // in those inside

    [[nodiscard]] bool wants(ino_t space) const {
        return only.empty() || std::binary_search(only.begin(), only.end(), space);
    }
    [[nodiscard]] bool wants_waiters(pid_t pid) const {
        return options.waiters && (!options.blocked ||
                                   std::binary_search(options.blocked->begin(), options.blocked->end(), pid));
    }
    [[nodiscard]] bool wants_device(dev_t device) const {
        return std::find(options.devices.begin(), options.devices.end(), device) != options.devices.end();
    }
};

// What one thread of the search finds.
struct Share {
    struct Wait {
        Object object;
        Waiter waiter;
        std::optional<waiters::LastRun> ran;
    };
    std::vector<std::pair<Object, Mapping>> mappings;
    std::vector<std::pair<Object, OpenDescriptor>> descriptors;
    std::vector<Wait> waits;
    std::size_t unseen = 0;
    std::size_t unread = 0;
    bool query = true;                    // see maps::read
    std::vector<maps::MappedFile> mapped; // of the process that is being looked at
};

using Path = std::array<char, 64>;

// Which file is behind PATH, a link to a descriptor. No file server is asked: one that is gone would answer never.
std::optional<FileId> file_behind(int folder, const char* path) {
    struct statx about {};
    if (::statx(folder, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_INO, &about) != 0)
        return std::nullopt;
    return FileId{makedev(about.stx_dev_major, about.stx_dev_minor), about.stx_ino};
}

// One process.
class Look {
public:
    Look(const Search& search, pid_t pid, Share& share)
        : search_(search), share_(share), pid_(pid), waiters_(search.wants_waiters(pid)) {
        share_.mapped.clear();
    }

    void take() {
        look();
        if (unseen_ && has_memory()) ++share_.unseen;
        if (unread_) ++share_.unread;
    }

private:
    void look() {
        Path path;
        std::snprintf(path.data(), path.size(), "%d", pid_);
        process_.reset(::openat(search_.proc, path.data(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (process_) space_ = procfs::namespace_inode(process_.get(), "ns/ipc", "ipc");
        if (space_ == 0) unseen_ = !procfs::is_gone(errno);
        if (!process_ || unseen_) return;
        if (space_ == 0 || waiters_) {
            struct stat about {};
            many_ = ::fstatat(process_.get(), "task", &about, 0) == 0 && about.st_nlink > 3;
        }
        if (space_ == 0 && !find_living()) return;

        const HoldersOptions& options = search_.options;
        inside_ = search_.wants(space_);
        if (inside_ || !options.devices.empty()) {
            // Only who waits for a word in a file needs to be asked where that is.
            const bool files = !options.devices.empty();
            if ((options.mappings || (waiters_ && files)) && !read_mappings()) return;
            if (files && (options.descriptors || (waiters_ && !inside_))) read_descriptors();
        } else if (!many_) {
            return;
        }
        if (waiters_) read_waiters();
    }

    // Kernel threads and what has ended have no memory, and hold nothing. Anybody may read how much memory there is, in
    // the 23rd field of stat (proc_pid_stat(5)), and the number of threads, in the 20th: the others of an ended main
    // thread are not counted in the former.
    bool has_memory() {
        const auto stat = procfs::read_start(process_.get(), "stat");
        if (!stat) return !procfs::is_gone(errno);
        std::size_t field = stat->rfind(')');
        std::array<unsigned long, 24> values{};
        for (std::size_t i = 2; i < 23 && field != std::string::npos; ++i) {
            field = stat->find(' ', field + 1);
            if (field != std::string::npos) values[i + 1] = std::strtoul(stat->c_str() + field, nullptr, 10);
        }
        return values[23] != 0 || values[20] > 1;
    }

    // The main thread has ended and others go on: one of these shows what they share.
    bool find_living() {
        if (!many_) return false;
        const auto threads = procfs::numbers_in(process_.get(), "task");
        // Whom it could not look at hides something, be it for want of rights or of descriptors.
        if (errno != 0) unseen_ = !procfs::is_gone(errno);
        for (const pid_t thread : threads) {
            Path path;
            std::snprintf(path.data(), path.size(), "task/%d", thread);
            Fd folder(::openat(process_.get(), path.data(), O_PATH | O_DIRECTORY | O_CLOEXEC));
            if (!folder) continue;
            space_ = procfs::namespace_inode(folder.get(), "ns/ipc", "ipc");
            if (space_ == 0) continue;
            living_ = std::move(folder);
            return true;
        }
        return false;
    }

    [[nodiscard]] int living() const { return living_ ? living_.get() : process_.get(); }

    [[nodiscard]] Object object_of(const maps::MappedFile& mapped) const {
        return mapped.segment
                   ? Object::system_v(Object::Kind::segment, space_, static_cast<int>(mapped.inode))
                   : Object::of_file(mapped.device, mapped.inode);
    }

    // False: there is nothing more to learn of this one.
    bool read_mappings() {
        const auto& wanted = inside_ ? search_.with_segments : search_.files_only;
        const auto answer = maps::read(living(), wanted, share_.query, share_.mapped);
        unseen_ = answer == maps::Answer::denied;
        if (answer != maps::Answer::found) return false;
        involved_ = !share_.mapped.empty();
        if (!search_.options.mappings) return true;
        for (const auto& mapped : share_.mapped)
            share_.mappings.emplace_back(object_of(mapped),
                                         Mapping{pid_, mapped.end - mapped.begin, 1, mapped.huge_page});
        return true;
    }

    void read_descriptors() {
        const Fd folder(::openat(living(), "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!folder) unseen_ = !procfs::is_gone(errno);
        if (!folder) return;
        const auto open = procfs::numbers_in(folder.get(), ".");
        if (errno != 0) unseen_ = !procfs::is_gone(errno);
        for (const int fd : open) {
            Path path;
            std::snprintf(path.data(), path.size(), "%d", fd);
            const auto file = file_behind(folder.get(), path.data());
            if (!file || !search_.wants_device(file->device)) continue;
            involved_ = true;
            struct stat link {};
            if (!search_.options.descriptors ||
                ::fstatat(folder.get(), path.data(), &link, AT_SYMLINK_NOFOLLOW) != 0)
                continue;
            using Access = OpenDescriptor::Access;
            const bool reads = (link.st_mode & S_IRUSR) != 0;
            const bool writes = (link.st_mode & S_IWUSR) != 0;
            const Access access =
                reads ? (writes ? Access::both : Access::read) : (writes ? Access::write : Access::none);
            share_.descriptors.emplace_back(Object::of_file(file->device, file->inode),
                                            OpenDescriptor{pid_, fd, access});
        }
    }

    void read_waiters() {
        // From outside the wanted namespaces, one can wait only for a file that the process has.
        if (inside_ || involved_) {
            if (!many_) {
                read_thread(pid_, ".");
            } else {
                each_thread([](const char*) { return true; });
            }
        } else if (many_ && !search_.only.empty()) {
            each_thread([&](const char* thread) { return search_.wants(space_of(thread)); });
        }
    }

    template <class Filter>
    void each_thread(Filter filter) {
        const auto threads = procfs::numbers_in(process_.get(), "task");
        if (errno != 0) unseen_ = !procfs::is_gone(errno);
        for (const pid_t thread : threads) {
            Path path;
            std::snprintf(path.data(), path.size(), "task/%d", thread);
            if (filter(path.data())) read_thread(thread, path.data());
        }
    }

    ino_t space_of(const std::string& thread) {
        return procfs::namespace_inode(process_.get(), (thread + "/ns/ipc").c_str(), "ipc");
    }

    const maps::MappedFile* mapped_at(std::uint64_t address) const {
        for (const auto& mapped : share_.mapped)
            if (mapped.shared && mapped.begin <= address && address < mapped.end) return &mapped;
        return nullptr;
    }

    void read_thread(pid_t id, const char* thread) {
        waiters::Blocked blocked;
        switch (waiters::read(
            process_.get(), thread, [&](std::uint64_t address) { return mapped_at(address) != nullptr; },
            blocked)) {
        case waiters::Answer::denied: unread_ = true; return;
        case waiters::Answer::no: return;
        case waiters::Answer::blocked: break;
        }
        const auto object = object_of(thread, blocked);
        if (!object) return;
        blocked.waiter.pid = pid_;
        blocked.waiter.thread = id;
        share_.waits.push_back({*object, std::move(blocked.waiter), {}});
        if (search_.options.since) share_.waits.back().ran = waiters::last_run(process_.get(), thread);
    }

    std::optional<Object> object_of(const std::string& thread, waiters::Blocked& blocked) {
        using On = waiters::Blocked::On;
        using Kind = Object::Kind;
        switch (blocked.on) {
        case On::queue:
        case On::semaphore_set: {
            const ino_t space = space_of(thread);
            if (space == 0 || !search_.wants(space)) return std::nullopt;
            return Object::system_v(blocked.on == On::queue ? Kind::queue : Kind::set, space, blocked.number);
        }
        case On::descriptor: {
            const auto file =
                file_behind(process_.get(), (thread + "/fd/" + std::to_string(blocked.number)).c_str());
            if (!file || !search_.wants_device(file->device)) return std::nullopt;
            return Object::of_file(file->device, file->inode);
        }
        case On::memory: {
            const auto* mapped = mapped_at(blocked.address);
            if (mapped == nullptr) return std::nullopt;
            blocked.waiter.offset = blocked.address - mapped->begin + mapped->offset;
            return object_of(*mapped);
        }
        }
        return std::nullopt;
    }

    const Search& search_;
    Share& share_;
    pid_t pid_;
    bool waiters_;          // it is asked what it waits for
    Fd process_;            // /proc/PID
    Fd living_;             // the folder of another thread where the main one has ended
    ino_t space_ = 0;       // its IPC namespace
    bool many_ = false;     // it has several threads
    bool inside_ = true;    // its namespace is a wanted one
    bool involved_ = false; // it maps or holds something that is wanted
    bool unseen_ = false;
    bool unread_ = false;
};

} // namespace

struct HolderIndex::Contents {
    std::unordered_map<Object, Holders, Hash> found;
    std::size_t unseen = 0;
    std::size_t unread = 0;
    bool incomplete = false;

    [[nodiscard]] const Holders* find(const Object& object) const noexcept {
        const auto at = found.find(object);
        return at == found.end() ? nullptr : &at->second;
    }
};

HolderIndex HolderIndex::take(const std::vector<NamespaceId>& only, const HoldersOptions& options) {
    const Fd proc = procfs::open_proc();
    Search search;
    search.proc = proc.get();
    search.options = options;
    for (const NamespaceId& id : only) search.only.push_back(id.inode);
    search.files_only.files = options.devices;
    search.with_segments = {maps::segment_file_systems(), options.devices};
    std::sort(search.only.begin(), search.only.end());
    std::vector<pid_t> pids;
    if (options.blocked && !options.mappings && !options.descriptors) {
        pids = *options.blocked;
    } else {
        pids = procfs::processes(proc.get());
    }

    std::vector<Share> shares(threads_for(pids.size(), 32));
    as_they_come(pids.size(), static_cast<unsigned>(shares.size()),
                 [&](std::size_t i, unsigned thread) { Look(search, pids[i], shares[thread]).take(); });

    std::set<unsigned> processors;
    for (const Share& share : shares)
        for (const auto& wait : share.waits)
            if (wait.ran) processors.insert(wait.ran->processor);
    const auto clocks = waiters::processor_clocks(proc.get(), processors);

    auto contents = std::make_unique<Contents>();
    contents->incomplete = procfs::hides_processes(proc.get());
    for (Share& share : shares) {
        contents->unseen += share.unseen;
        contents->unread += share.unread;
        for (const auto& [object, mapping] : share.mappings) {
            auto& mappings = contents->found[object].mappings;
            if (mappings.empty() || mappings.back().pid != mapping.pid) {
                mappings.push_back(mapping);
            } else {
                mappings.back().bytes += mapping.bytes;
                ++mappings.back().count;
            }
        }
        for (const auto& [object, descriptor] : share.descriptors)
            contents->found[object].descriptors.push_back(descriptor);
        for (auto& wait : share.waits) {
            const auto clock = wait.ran ? clocks.find(wait.ran->processor) : clocks.end();
            if (clock != clocks.end())
                wait.waiter.since = std::chrono::system_clock::time_point(clock->second + wait.ran->time);
            contents->found[wait.object].waiters.push_back(std::move(wait.waiter));
        }
    }
    if (shares.size() > 1) {
        for (auto& [object, holders] : contents->found) {
            const auto by = [](auto key) {
                return [key](const auto& a, const auto& b) { return key(a) < key(b); };
            };
            std::sort(holders.mappings.begin(), holders.mappings.end(),
                      by([](const Mapping& one) { return one.pid; }));
            std::sort(holders.descriptors.begin(), holders.descriptors.end(),
                      by([](const OpenDescriptor& one) { return std::pair(one.pid, one.fd); }));
            std::sort(holders.waiters.begin(), holders.waiters.end(),
                      by([](const Waiter& one) { return std::pair(one.pid, one.thread); }));
        }
    }
    return HolderIndex(std::move(contents));
}

HolderIndex::HolderIndex(std::unique_ptr<const Contents> contents) noexcept
    : contents_(std::move(contents)) {}
HolderIndex::HolderIndex(HolderIndex&&) noexcept = default;
HolderIndex& HolderIndex::operator=(HolderIndex&&) noexcept = default;
HolderIndex::~HolderIndex() = default;

const Holders* HolderIndex::of(const NamespaceId& space, QueueId id) const& noexcept {
    return contents_->find(Object::system_v(Object::Kind::queue, space.inode, static_cast<int>(id)));
}

const Holders* HolderIndex::of(const NamespaceId& space, SemaphoreSetId id) const& noexcept {
    return contents_->find(Object::system_v(Object::Kind::set, space.inode, static_cast<int>(id)));
}

const Holders* HolderIndex::of(const NamespaceId& space, SegmentId id) const& noexcept {
    return contents_->find(Object::system_v(Object::Kind::segment, space.inode, static_cast<int>(id)));
}

const Holders* HolderIndex::of(const FileId& file) const& noexcept {
    return contents_->find(Object::of_file(file.device, file.inode));
}

std::size_t HolderIndex::unseen() const noexcept { return contents_->unseen; }
std::size_t HolderIndex::unread() const noexcept { return contents_->unread; }
bool HolderIndex::incomplete() const noexcept { return contents_->incomplete; }

} // namespace ipcns
