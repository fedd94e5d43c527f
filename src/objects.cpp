// SPDX-License-Identifier: Apache-2.0
// All six kinds together. The System V objects and the queues are looked at from inside the namespace; the files of a
// /dev/shm from where we are, by a descriptor of it. What is in which state follows from the records, from who still
// runs, and, for what the kernel keeps no count of, from one pass over all processes.
#include <ipcns/objects.hpp>

#include "error.hpp"
#include "idmap.hpp"
#include "parallel.hpp"
#include "process_shm.hpp"
#include "procfs.hpp"
#include "quiet_thread.hpp"
#include "sysv.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/text.hpp>

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <thread>
#include <unordered_map>

namespace ipcns {
namespace {

using Seconds = std::chrono::sys_seconds;

// ---- Looking -----------------------------------------------------------------------------------------------------

template <class Record, class Item>
void fill(std::vector<Item>& items, std::vector<Record> records) {
    items.reserve(records.size());
    for (auto& record : records) items.emplace_back().record = std::move(record);
}

void look_at_semaphores(Objects& objects, SemaphoreWaiters waiters) {
    std::size_t refused = 0;
    std::size_t unread = 0;
    std::string why;
    std::erase_if(objects.sem, [&](SeenSet& set) {
        try {
            set.semaphores = read_semaphores(set.record, waiters);
        } catch (const Error& error) {
            switch (error.code().value()) {
            case EINVAL:
            case EIDRM: return true; // it is gone
            case EACCES: ++refused; break;
            // The kernel needs memory for a set of many, for one.
            default: ++unread; why = error.what();
            }
        }
        return false;
    });
    if (refused != 0)
        objects.unseen.push_back({Kind::sem, refused, "only who may read a set learns its values"});
    if (unread != 0) objects.unseen.push_back({Kind::sem, unread, why});
}

void look_at_queues(Objects& objects, QueueMounts* mounts) {
    QueueFolder opened;
    int folder = -1;
    try {
        if (mounts != nullptr) folder = mounts->mount();
        if (mounts != nullptr && folder < 0) return; // a kernel without POSIX queues
    } catch (const Error&) {
        // No right to mount anything: there is another way.
    }
    if (folder < 0) {
        opened = open_queues();
        if (opened.missing == QueueFolder::Missing::no_queues) return;
        if (!opened) {
            objects.unseen.push_back({Kind::mq, 0, opened.why});
            return;
        }
        folder = opened.folder.get();
    }
    fill(objects.mq, list_posix_queues(folder));
    const auto refused = static_cast<std::size_t>(std::count_if(
        objects.mq.begin(), objects.mq.end(), [](const auto& seen) { return !seen.record.readable(); }));
    if (refused != 0)
        objects.unseen.push_back({Kind::mq, refused, "only who may read a queue learns what is in it"});
}

// As Namespace::call(), but without a thread where we are inside already. (A new thread's memory comes from an arena of
// its own, which for some thousand records costs more than the records.)
void call_in(const Namespace& ipc, const std::function<void()>& function) {
    if (ipc.id() == Namespace::current().id())
        function();
    else
        ipc.call(function);
}

// What a thread in the namespace sees.
void look_inside(Objects& objects, const LookOptions& options,
                 SemaphoreWaiters waiters = SemaphoreWaiters::read, QueueMounts* mounts = nullptr) {
    const auto guard = [&](Kind kind, auto look) {
        if (!options.kinds.has(kind)) return;
        try {
            look();
        } catch (const Error& error) {
            objects.unseen.push_back({kind, 0, error.what()});
        }
    };
    const auto guard_list = [&](Kind kind, auto& items, auto list) {
        guard(kind, [&] {
            Undescribed rest;
            fill(items, list(rest));
            if (rest.count != 0)
                objects.unseen.push_back(
                    {kind, rest.count, std::generic_category().message(rest.error), true});
        });
    };
    guard_list(Kind::msg, objects.msg, [](Undescribed& rest) { return list_queues(rest); });
    guard_list(Kind::sem, objects.sem, [](Undescribed& rest) { return list_semaphore_sets(rest); });
    guard_list(Kind::shm, objects.shm, [&](Undescribed& rest) {
        return list_segments(options.memory ? SegmentMemory::read : SegmentMemory::skip, rest);
    });
    if (options.semaphores || options.states) guard(Kind::sem, [&] { look_at_semaphores(objects, waiters); });
    guard(Kind::mq, [&] { look_at_queues(objects, mounts); });
}

// The same for one who may have joined another user namespace to get there.
void look_from(ino_t user_namespace, Objects& objects, const LookOptions& options,
               SemaphoreWaiters waiters = SemaphoreWaiters::read) {
    const IdMap ids(user_namespace); // first: without it nobody's number would be right
    look_inside(objects, options, waiters);
    for (auto& seen : objects.msg) ids.to_outside(seen.record.who);
    for (auto& seen : objects.sem) ids.to_outside(seen.record.who);
    for (auto& seen : objects.shm) ids.to_outside(seen.record.who);
    for (auto& seen : objects.mq) ids.to_outside(seen.record.who);
}

bool wants_files(const LookOptions& options) {
    return options.kinds.has(Kind::psem) || options.kinds.has(Kind::pshm);
}

void no_files(Objects& objects, const LookOptions& options, const std::string& why) {
    for (const Kind kind : {Kind::psem, Kind::pshm}) {
        if (options.kinds.has(kind)) objects.unseen.push_back({kind, 0, why});
    }
}

void look_at_files(Objects& objects, const LookOptions& options, int folder) {
    SharedFolder found;
    try {
        found = list_shared(folder);
    } catch (const Error& error) {
        no_files(objects, options, error.what());
        return;
    }
    for (const Kind kind : {Kind::psem, Kind::pshm}) {
        if (found.unlisted != 0 && options.kinds.has(kind))
            objects.unseen.push_back({kind, found.unlisted, "files that could not be looked at", true});
    }
    if (options.kinds.has(Kind::psem)) {
        fill(objects.psem, std::move(found.semaphores));
        const auto refused = static_cast<std::size_t>(std::count_if(
            objects.psem.begin(), objects.psem.end(), [](const auto& seen) { return !seen.record.value; }));
        if (refused != 0)
            objects.unseen.push_back({Kind::psem, refused, "only who may read a semaphore learns its value"});
    }
    if (!options.kinds.has(Kind::pshm)) return;
    fill(objects.pshm, std::move(found.memory));
    objects.others = found.others;
    if (found.unseen != found.unlisted)
        objects.unseen.push_back(
            {Kind::pshm, found.unseen - found.unlisted, "they are in folders that may not be looked into"});
}

// ---- States ------------------------------------------------------------------------------------------------------

// Whether processes still run. Each is looked up once.
class Running {
public:
    Running() : proc_(procfs::open_proc()) {
        struct timespec now {};
        struct timespec up {};
        ::clock_gettime(CLOCK_REALTIME, &now);
        ::clock_gettime(CLOCK_BOOTTIME, &up);
        boot_ = now.tv_sec - up.tv_sec;
    }

    // Looks all of these up at once, on a few threads.
    void look_up(std::vector<pid_t> pids) {
        std::sort(pids.begin(), pids.end());
        pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
        std::vector<std::optional<Seconds>> found(pids.size());
        in_parallel(pids.size(), threads_for(pids.size(), 100),
                    [&](std::size_t i, std::size_t end, unsigned) {
                        for (; i < end; ++i) found[i] = start_of(pids[i]);
                    });
        started_.reserve(pids.size());
        for (std::size_t i = 0; i < pids.size(); ++i) started_.emplace(pids[i], found[i]);
    }

    // True when the process that had this number at @p when still has it: who began later is somebody else.
    bool operator()(pid_t pid, const Moment& when) {
        const auto [found, is_new] = started_.try_emplace(pid);
        if (is_new) found->second = start_of(pid);
        if (!found->second) return false;
        constexpr std::chrono::seconds clock_adjustment{2};
        return !when || *found->second <= *when + clock_adjustment;
    }

private:
    [[nodiscard]] std::optional<Seconds> start_of(pid_t pid) const {
        procfs::ProcessPath file(pid);
        const auto text = procfs::read_start(proc_.get(), file("stat"));
        // Its name, in parentheses, may hold anything; the start is the 20th word behind it.
        std::size_t at = text ? text->rfind(')') : std::string::npos;
        if (at == std::string::npos) {
            if (::kill(pid, 0) != 0 && errno == ESRCH) return std::nullopt;
            return Seconds{}; // hidden from us, but there
        }
        at += 2;
        if (at < text->size() && ((*text)[at] == 'Z' || (*text)[at] == 'X')) return std::nullopt;
        for (int word = 0; word < 19 && at != std::string::npos; ++word) {
            at = text->find(' ', at);
            if (at != std::string::npos) ++at;
        }
        std::uint64_t ticks = 0;
        if (at != std::string::npos) std::from_chars(text->data() + at, text->data() + text->size(), ticks);
        return Seconds{
            std::chrono::seconds(boot_ + static_cast<std::int64_t>(ticks) / ::sysconf(_SC_CLK_TCK))};
    }

    Fd proc_;
    std::int64_t boot_ = 0;
    std::unordered_map<pid_t, std::optional<Seconds>> started_;
};

bool any_waits(const Holders* holders, std::initializer_list<Waiter::For> what) {
    return holders != nullptr &&
           std::any_of(holders->waiters.begin(), holders->waiters.end(), [&](const Waiter& waiter) {
               return std::find(what.begin(), what.end(), waiter.what) != what.end();
           });
}

// What the kernel has noted down of an object's users: whether one still runs, or all of them are gone.
class Users {
public:
    explicit Users(Running& running) : running_(running) {}
    void add(pid_t pid, const Moment& when) {
        if (pid == 0) return;
        known_ = true;
        run_ = run_ || running_(pid, when);
    }
    [[nodiscard]] bool run() const { return run_; }
    [[nodiscard]] bool gone() const { return known_ && !run_; }

private:
    Running& running_;
    bool known_ = false;
    bool run_ = false;
};

State state_of(const QueueRecord& queue, const Holders* holders, Running& running) {
    if (any_waits(holders, {Waiter::For::send})) return State::full;
    if (any_waits(holders, {Waiter::For::receive})) return State::waiting;
    Users users(running);
    users.add(queue.last_sender, queue.sent);
    users.add(queue.last_receiver, queue.received);
    return users.run() ? State::in_use : users.gone() ? State::orphan : State::idle;
}

State state_of(const SeenSet& set, const Holders* holders, Running& running) {
    Users users(running);
    const bool known = set.semaphores.has_value();
    for (const auto& semaphore : set.semaphores.value_or(std::vector<SemaphoreState>{})) {
        if (semaphore.waiting_increase != 0 || semaphore.waiting_zero != 0) return State::waiting;
        users.add(semaphore.last, std::max(set.record.operated, set.record.changed));
    }
    if (holders != nullptr && !holders->waiters.empty()) return State::waiting;
    if (!known) return State::unknown;
    return users.run() ? State::in_use : users.gone() ? State::orphan : State::idle;
}

State state_of(const SegmentRecord& segment, Running& running) {
    if (segment.removed) return State::removed;
    if (segment.attached != 0) return State::in_use;
    if (segment.creator_pid == 0)
        return State::unknown; // a process of a pid namespace that is not ours to see
    Users users(running);
    users.add(segment.creator_pid, segment.changed);
    users.add(segment.last_pid, std::max(segment.attach_time, segment.detach_time));
    return users.gone() ? State::orphan : State::idle;
}

State state_of_file(const Holders* holders, bool some_unseen) {
    if (holders != nullptr && (!holders->mappings.empty() || !holders->descriptors.empty()))
        return State::in_use;
    return some_unseen ? State::unknown : State::orphan;
}

State state_of(const PosixQueueRecord& queue, const Holders* holders, bool some_unseen, Running& running) {
    if (any_waits(holders, {Waiter::For::send})) return State::full;
    if (any_waits(holders, {Waiter::For::receive})) return State::waiting;
    if (queue.notification && queue.notification->pid != 0 && running(queue.notification->pid, {}))
        return State::in_use;
    return state_of_file(holders, some_unseen);
}

State state_of(const NamedSemaphoreRecord& semaphore, const Holders* holders, bool some_unseen) {
    const State state = state_of_file(holders, some_unseen);
    // The count is in the file: a waiter that was killed may have left itself in it. So it is only believed of one that
    // somebody has.
    const bool counted = semaphore.waiters.value_or(0) != 0 && state == State::in_use;
    return counted || any_waits(holders, {Waiter::For::futex}) ? State::waiting : state;
}

// Every process that state_of() may ask for.
std::vector<pid_t> users_of(const std::vector<Objects*>& all) {
    std::vector<pid_t> pids;
    const auto add = [&](pid_t pid) {
        if (pid != 0) pids.push_back(pid);
    };
    for (const Objects* objects : all) {
        for (const auto& seen : objects->msg) {
            add(seen.record.last_sender);
            add(seen.record.last_receiver);
        }
        for (const auto& seen : objects->sem) {
            if (!seen.semaphores) continue;
            for (const auto& semaphore : *seen.semaphores) add(semaphore.last);
        }
        for (const auto& seen : objects->shm) {
            if (seen.record.removed || seen.record.attached != 0) continue;
            add(seen.record.creator_pid);
            add(seen.record.last_pid);
        }
    }
    return pids;
}

// One pass over all processes for all these objects, as far as it is needed.
std::shared_ptr<const HolderIndex> find_holders(const std::vector<const Objects*>& all,
                                                const LookOptions& options,
                                                std::optional<std::vector<pid_t>> blocked) {
    HoldersOptions how;
    how.blocked = std::move(blocked);
    std::vector<NamespaceId> spaces;
    std::set<dev_t> devices;
    bool files = false;
    bool waits = false;
    bool segments = false;
    for (const Objects* objects : all) {
        spaces.push_back(objects->ns);
        for (const auto& seen : objects->mq) devices.insert(seen.record.file.device);
        for (const auto& seen : objects->psem) devices.insert(seen.record.file.device);
        for (const auto& seen : objects->pshm) devices.insert(seen.record.file.device);
        waits = waits || !objects->msg.empty() || !objects->sem.empty() || !objects->mq.empty() ||
                !objects->psem.empty();
        segments = segments || !objects->shm.empty();
    }
    files = !devices.empty();
    how.devices.assign(devices.begin(), devices.end());
    how.mappings = files || (options.holders && segments);
    how.descriptors = files;
    how.waiters = waits;
    how.since = options.holders;
    if (!how.mappings && !how.descriptors && !how.waiters) return nullptr;
    return std::make_shared<const HolderIndex>(HolderIndex::take(spaces, how));
}

// @param blocked who may wait for anything, when that is known
void find_states(const std::vector<Objects*>& all, const LookOptions& options,
                 std::optional<std::vector<pid_t>> blocked = {}) {
    if (!options.states && !options.holders) return;
    const auto index = find_holders({all.begin(), all.end()}, options, std::move(blocked));
    const bool hidden = index && index->incomplete();
    const bool some_unseen = index && (index->unseen() != 0 || hidden);
    Running running;
    if (options.states) running.look_up(users_of(all));
    for (Objects* objects : all) {
        objects->unseen_processes = index ? index->unseen() + index->unread() : 0;
        objects->hidden_processes = hidden;
        objects->index = index;
        const auto each = [&](auto& items, auto key_of, auto state) {
            for (auto& seen : items) {
                const Holders* holders = index ? key_of(seen.record) : nullptr;
                if (options.states) seen.state = state(seen, holders);
                if (options.holders) seen.holders = holders;
            }
        };
        const auto by_id = [&](const auto& record) { return index->of(objects->ns, record.id); };
        const auto by_file = [&](const auto& record) { return index->of(record.file); };
        each(objects->msg, by_id, [&](const auto& seen, const Holders* holders) {
            return state_of(seen.record, holders, running);
        });
        each(objects->sem, by_id,
             [&](const auto& seen, const Holders* holders) { return state_of(seen, holders, running); });
        each(objects->shm, by_id,
             [&](const auto& seen, const Holders* /*holders*/) { return state_of(seen.record, running); });
        each(objects->mq, by_file, [&](const auto& seen, const Holders* holders) {
            return state_of(seen.record, holders, some_unseen, running);
        });
        each(objects->psem, by_file, [&](const auto& seen, const Holders* holders) {
            return state_of(seen.record, holders, some_unseen);
        });
        each(objects->pshm, by_file, [&](const auto& /*seen*/, const Holders* holders) {
            return state_of_file(holders, some_unseen);
        });
    }
}

// ---- Everywhere --------------------------------------------------------------------------------------------------

// Whether /proc has every process of the system: of another pid namespace's it has only those below.
bool sees_everybody() {
    constexpr ino_t first_pid_namespace = 4026531836; // PROC_PID_INIT_INO of the kernel
    const Fd proc = procfs::open_proc();
    return procfs::namespace_inode(proc.get(), "self/ns/pid", "pid") == first_pid_namespace &&
           !procfs::hides_processes(proc.get());
}

// A process that is gone, is not ours to look at, or has no such folder.
bool is_no_answer(int number) {
    return procfs::is_gone(number) || number == EACCES || number == EPERM || number == ENOTDIR ||
           number == ELOOP;
}

// A /dev/shm, or why there may be one that could not be opened.
struct FolderOf {
    NamespaceId space;
    Fd folder;
    int error;
};

// Every /dev/shm that is found, and the namespace whose it is: that of the lowest process in the mount namespace, or the
// one whose name it is registered under.
std::vector<FolderOf> shared_folders(const Inventory& inventory) {
    std::vector<FolderOf> folders;
    std::set<dev_t> known;
    const auto add = [&](const NamespaceId& space, Fd folder) {
        struct stat about {};
        if (folder && ::fstat(folder.get(), &about) != 0)
            folders.push_back({space, {}, errno});
        else if (folder && known.insert(about.st_dev).second)
            folders.push_back({space, std::move(folder), 0});
    };
    for (const Registry& registry : {Registry::of_caller(), Registry::of_system()}) {
        for (const auto& name : registry.list()) {
            try {
                Place place = registry.open(name.name);
                // One that was attached may have another's.
                if (!name.attached) add(name.id, std::move(place.shm));
            } catch (const Error&) {
                // Deleted just now, or not ours to open.
            }
        }
    }
    std::vector<std::pair<pid_t, NamespaceId>> lowest;
    for (const auto& [mounts, pid] : inventory.mount_namespaces) {
        const std::string path = "/proc/" + std::to_string(pid) + "/ns/ipc";
        const ino_t inode = procfs::namespace_inode(AT_FDCWD, path.c_str());
        if (inode == 0 && !is_no_answer(errno)) fail("look at " + path);
        const auto entry = std::find_if(inventory.entries.begin(), inventory.entries.end(),
                                        [&](const auto& candidate) { return candidate.id.inode == inode; });
        if (entry != inventory.entries.end()) lowest.emplace_back(pid, entry->id);
    }
    std::sort(lowest.begin(), lowest.end());
    for (const auto& [pid, space] : lowest) {
        try {
            ProcessShm found = open_shm_of(pid);
            if (found.sure) add(space, std::move(found.folder));
        } catch (const Error& error) {
            folders.push_back({space, {}, error.code().value()});
        }
    }
    return folders;
}

} // namespace

const char* word_of(State state) noexcept {
    switch (state) {
    case State::removed: return "removed";
    case State::full: return "full";
    case State::waiting: return "waiting";
    case State::in_use: return "in use";
    case State::orphan: return "orphan";
    case State::idle: return "-";
    case State::unknown: break;
    }
    return "?";
}

Fd shared_folder(const Place& place) {
    if (place.shm) return place.shm.duplicate();
    if (place.ipc.id() == Namespace::current().id())
        return Fd(::open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC));
    return {};
}

bool may_be_unmapped(uid_t id) noexcept {
    static const uid_t overflow = [] {
        const auto text = procfs::read_start(AT_FDCWD, "/proc/sys/kernel/overflowuid");
        uid_t number = 65534;
        if (text) std::from_chars(text->data(), text->data() + text->size(), number);
        return number;
    }();
    if (id != overflow) return false;
    static const bool everybody_has_a_name = [] {
        try {
            std::uint64_t count = 0;
            for (const auto& range : read_id_map("/proc/self/uid_map")) count += range.count;
            return count >= 0xFFFFFFFF;
        } catch (const std::exception&) {
            return false; // that cannot be told
        }
    }();
    return !everybody_has_a_name;
}

Objects look(const Place& place, const LookOptions& options) {
    Objects objects;
    objects.ns = place.ipc.id();
    const ino_t user_namespace = IdMap::user_namespace();
    if (options.kinds.has(Kind::msg) || options.kinds.has(Kind::sem) || options.kinds.has(Kind::shm) ||
        options.kinds.has(Kind::mq))
        call_in(place.ipc, [&] { look_from(user_namespace, objects, options); });
    if (wants_files(options)) {
        const Fd folder = shared_folder(place);
        if (folder)
            look_at_files(objects, options, folder.get());
        else
            no_files(objects, options, "which /dev/shm belongs to this namespace is not known");
    }
    find_states({&objects}, options);
    return objects;
}

Everything Everything::look(const LookOptions& options) {
    InventoryOptions how;
    how.details = false;
    how.blocked = options.states || options.holders;
    Inventory inventory = Inventory::take(how);
    // Nobody can wait for a semaphore whom this /proc would not show.
    const auto waiters = how.blocked && !options.semaphores && inventory.blocked.empty() && sees_everybody()
                             ? SemaphoreWaiters::skip
                             : SemaphoreWaiters::read;
    Everything everything;
    everything.unseen = inventory.unseen;
    const std::size_t count = inventory.entries.size();
    everything.namespaces.resize(count);
    const ino_t user_namespace = IdMap::user_namespace();

    // Threads of our own go from namespace to namespace, and never come back to ours. What they may not enter, because
    // it takes joining another user namespace, is left for afterwards.
    std::vector<char> done(count, 0);
    start_thread([&] {
        const unsigned threads = threads_for(count, 16);
        std::vector<QueueMounts> mounts;
        for (unsigned i = 0; i < threads; ++i) mounts.emplace_back(QueueMounts::Place::thread);
        as_they_come(count, threads, [&](std::size_t i, unsigned thread) {
            Objects& objects = everything.namespaces[i];
            objects.ns = inventory.entries[i].id;
            try {
                const auto opened = open_namespace(inventory.entries[i]);
                if (!opened || ::setns(opened->fd(), CLONE_NEWIPC) != 0) return;
                look_inside(objects, options, waiters, &mounts[thread]);
                done[i] = 1;
            } catch (const std::exception&) {
                // It went away, or is not ours to enter; or there is no memory, and then there is none below either.
            }
        });
    }).join();
    for (std::size_t i = 0; i < count; ++i) {
        if (done[i] != 0) continue;
        Objects& objects = everything.namespaces[i];
        objects = {};
        objects.ns = inventory.entries[i].id;
        try {
            if (const auto opened = open_namespace(inventory.entries[i]))
                opened->call([&] { look_from(user_namespace, objects, options, waiters); });
        } catch (const Error&) {
            objects = {};
            objects.ns = inventory.entries[i].id;
            ++everything.not_entered;
        }
    }

    if (wants_files(options)) {
        for (const auto& [space, folder, error] : shared_folders(inventory)) {
            const auto found = std::lower_bound(
                everything.namespaces.begin(), everything.namespaces.end(), space,
                [](const Objects& objects, const NamespaceId& id) { return objects.ns < id; });
            if (found == everything.namespaces.end() || found->ns != space) continue;
            if (folder)
                look_at_files(*found, options, folder.get());
            else
                no_files(*found, options, "its /dev/shm: " + std::generic_category().message(error));
        }
    }
    std::vector<Objects*> all;
    for (auto& objects : everything.namespaces) all.push_back(&objects);
    find_states(all, options, how.blocked ? std::optional(std::move(inventory.blocked)) : std::nullopt);
    return everything;
}

} // namespace ipcns
