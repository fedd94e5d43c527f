// SPDX-License-Identifier: Apache-2.0
// Who is where. One pass over /proc, shared between a few threads; a process costs one readlink(2), and
// another for its mount namespace, whose mounts are then read once for all that share it.
#include <ipcns/inventory.hpp>

#include "error.hpp"
#include "parallel.hpp"
#include "procfs.hpp"
#include "waiters.hpp"

#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <mutex>
#include <string>
#include <unordered_map>

namespace ipcns {
namespace {

constexpr std::size_t cheap_number_of_processes = 1000;

// A process in a namespace, or with a descriptor of it.
using Finding = std::pair<ino_t, pid_t>;

// What one thread finds among the processes that it looks at.
struct Share {
    std::vector<Finding> inside;
    std::vector<Finding> holding;
    std::unordered_map<ino_t, Process> first;          // of each namespace, described, when that is wanted
    std::unordered_map<ino_t, pid_t> mount_namespaces; // and a process in each
    std::vector<pid_t> blocked;
    std::size_t unseen = 0;
};

// All processes, handed out a few at a time: to read /proc takes so long that one thread looks at what another has read
// while that reads on.
class Processes {
public:
    // Reads ahead until it is known whether there are more than @p few.
    Processes(int proc, std::size_t few) : entries_(proc, ".") {
        bool more = true;
        while (more && ahead_.size() <= few) more = entries_.more(ahead_);
    }
    [[nodiscard]] std::size_t count_ahead() const { return ahead_.size(); }

    // The next ones, in ascending order; false at the end.
    bool take(std::vector<pid_t>& some) {
        constexpr std::size_t count = 128;
        some.clear();
        const std::lock_guard lock(mutex_);
        if (const std::size_t left = ahead_.size() - taken_; left != 0) {
            const auto* first = ahead_.data() + taken_;
            some.assign(first, first + std::min(left, count));
            taken_ += some.size();
            return true;
        }
        // /proc has other entries, too; 32 bytes are what one takes.
        while (some.empty() && entries_.more(some, count * 32)) {}
        return !some.empty();
    }

    // Afterwards: whether these were all of them.
    void check() const {
        if (entries_.error() != 0) fail(entries_.error(), "list the processes in /proc");
    }

private:
    std::mutex mutex_;
    procfs::Numbers entries_;
    std::vector<pid_t> ahead_;
    std::size_t taken_ = 0;
};

template <class List>
void sort_out(List& list) {
    std::sort(list.begin(), list.end());
    list.erase(std::unique(list.begin(), list.end()), list.end());
}

// The command line with spaces between, or the name in brackets.
std::optional<std::string> command_of(int proc, procfs::ProcessPath& file) {
    auto command = procfs::read_start(proc, file("cmdline"));
    if (!command) return std::nullopt;
    while (!command->empty() && command->back() == '\0') command->pop_back();
    std::replace(command->begin(), command->end(), '\0', ' ');
    if (command->empty()) {
        auto name = procfs::read_start(proc, file("comm"));
        if (!name) return std::nullopt;
        if (!name->empty() && name->back() == '\n') name->pop_back();
        *command = "[" + *name + "]";
    }
    return command;
}

std::optional<Process> describe(int proc, pid_t pid) {
    procfs::ProcessPath file(pid);
    struct stat about {};
    if (::fstatat(proc, file(""), &about, 0) != 0) return std::nullopt;
    auto command = command_of(proc, file);
    if (!command) return std::nullopt;
    return Process{pid, about.st_uid, std::move(*command)};
}

bool may_be_blocked(int proc, pid_t pid, bool threads) {
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "%d", pid);
    if (!threads) return waiters::may_be_blocked(proc, path.data());
    const auto all = procfs::numbers_in(proc, procfs::ProcessPath(pid)("task"));
    if (errno != 0 && !procfs::is_gone(errno)) return true;
    return std::any_of(all.begin(), all.end(), [&](pid_t thread) {
        std::snprintf(path.data(), path.size(), "%d/task/%d", pid, thread);
        return waiters::may_be_blocked(proc, path.data());
    });
}

// What is wanted of each process.
struct Wanted {
    bool descriptors;
    bool details;
    bool blocked;
};

void look_at(int proc, pid_t pid, const Wanted& wanted, Share& share) {
    std::vector<ino_t> seen;
    struct stat tasks {};
    const bool allowed = procfs::each_namespace(
        proc, pid, "ipc",
        [&](ino_t inode) {
            if (std::find(seen.begin(), seen.end(), inode) == seen.end()) {
                seen.push_back(inode);
                share.inside.emplace_back(inode, pid);
            }
            return false;
        },
        &tasks);
    if (wanted.blocked && (!allowed || may_be_blocked(proc, pid, procfs::has_threads(tasks))))
        share.blocked.push_back(pid);
    if (!allowed) {
        ++share.unseen;
        return;
    }
    procfs::ProcessPath file(pid);
    for (const ino_t inode : seen) {
        if (!wanted.details || share.first.contains(inode)) continue;
        if (auto command = command_of(proc, file))
            share.first.emplace(inode, Process{pid, tasks.st_uid, std::move(*command)});
    }
    if (const ino_t mounts = procfs::namespace_inode(proc, file("ns/mnt")))
        share.mount_namespaces.try_emplace(mounts, pid);
    if (!wanted.descriptors) return;
    const Fd folder(::openat(proc, file("fd"), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder && !procfs::is_gone(errno)) ++share.unseen;
    if (!folder) return;
    const auto open = procfs::numbers_in(folder.get(), ".");
    if (errno != 0 && !procfs::is_gone(errno)) ++share.unseen;
    for (const pid_t fd : open) {
        const ino_t inode = procfs::namespace_inode(folder.get(), std::to_string(fd).c_str(), "ipc");
        if (inode != 0) share.holding.emplace_back(inode, pid);
    }
}

// The lowest process that can still be described.
void describe_first(int proc, InventoryEntry& entry) {
    entry.first.reset();
    for (const pid_t pid : entry.processes) {
        entry.first = describe(proc, pid);
        if (entry.first) return;
    }
}

// A keeper is an ipcns-keeper: of the caller's own names the registry knows it for certain, of others' its name tells.
// There is one for each name; that of a name that was attached is not the first process inside. Of the first, whose
// command is known, its arguments say whether a closer look pays.
void set_keepers_apart(int proc, InventoryEntry& entry) {
    const auto is_keeper = [&](pid_t pid) {
        if (entry.first && entry.first->pid == pid &&
            entry.first->command.find("ipcns-keeper ") == std::string::npos)
            return false;
        return procfs::read_start(proc, procfs::ProcessPath(pid)("comm")) == "ipcns-keeper\n";
    };
    std::copy_if(entry.processes.begin(), entry.processes.end(), std::back_inserter(entry.keepers),
                 is_keeper);
    if (entry.keepers.empty()) return;
    std::erase_if(entry.processes, [&](pid_t pid) {
        return std::binary_search(entry.keepers.begin(), entry.keepers.end(), pid);
    });
    if (!entry.first || std::binary_search(entry.keepers.begin(), entry.keepers.end(), entry.first->pid))
        describe_first(proc, entry);
}

ContentsUsage contents_inside() {
    const SysvUsage usage = sysv_usage();
    ContentsUsage contents{usage.objects(), usage.segment_bytes};
    try {
        if (const Fd queues = mount_queues()) contents.objects += files_usage(queues.get()).files;
    } catch (const Error&) {
        // Counting System V objects needs no rights, counting queues does.
    }
    return contents;
}

} // namespace

std::optional<Namespace> open_namespace(const InventoryEntry& entry) {
    std::optional<Error> lack;
    const auto try_each = [&](const auto& keys, auto open) -> std::optional<Namespace> {
        for (const auto& key : keys) {
            try {
                Namespace found = open(key);
                if (found.id() == entry.id) return found;
            } catch (const Error& error) {
                // Gone by now, not ours to look at, or a path of another mount namespace, which is something else here;
                // maybe something else keeps it. But not to have a descriptor left says nothing about it.
                switch (error.code().value()) {
                case ENOENT:
                case ESRCH:
                case EACCES:
                case EPERM:
                case EINVAL: break;
                default: lack = error;
                }
            }
        }
        return std::nullopt;
    };
    for (const auto* pids : {&entry.keepers, &entry.processes})
        if (auto found = try_each(*pids, Namespace::from_pid)) return found;
    if (auto found = try_each(entry.mounts, Namespace::from_path)) return found;
    // Where only processes were seen, and these are gone, nothing is left to look for.
    if (!entry.mounts.empty() || !entry.descriptors.empty())
        if (auto found = try_each(std::array{entry.id.inode}, Namespace::from_inode)) return found;
    if (lack) throw Error(*lack);
    return std::nullopt;
}

std::optional<Process> describe_process(pid_t pid) { return describe(procfs::open_proc().get(), pid); }

std::vector<pid_t> processes_inside(const NamespaceId& id) {
    const Fd proc = procfs::open_proc();
    std::vector<pid_t> inside;
    for (const pid_t pid : procfs::processes(proc.get())) {
        bool found = false;
        procfs::each_namespace(proc.get(), pid, "ipc",
                               [&](ino_t inode) { return found = inode == id.inode; });
        if (found) inside.push_back(pid);
    }
    return inside;
}

Inventory Inventory::take(const InventoryOptions& options) {
    const Fd proc = procfs::open_proc();
    Processes processes(proc.get(), cheap_number_of_processes);
    const std::size_t count = processes.count_ahead();
    if (count == 0) {
        processes.check();
        fail(ENOENT, "list the processes in /proc");
    }

    Inventory inventory;
    using Descriptors = InventoryOptions::Descriptors;
    inventory.descriptors_searched =
        options.descriptors == Descriptors::always ||
        (options.descriptors == Descriptors::automatic && count <= cheap_number_of_processes);

    const Wanted wanted{inventory.descriptors_searched, options.details || options.keepers_apart,
                        options.blocked};
    // A few hundred processes are looked at sooner than a thread starts.
    std::vector<Share> shares(threads_for(count, 500));
    in_parallel(shares.size(), static_cast<unsigned>(shares.size()),
                [&](std::size_t, std::size_t, unsigned thread) {
                    std::vector<pid_t> some;
                    while (processes.take(some)) {
                        for (const pid_t pid : some) look_at(proc.get(), pid, wanted, shares[thread]);
                    }
                });
    processes.check();

    struct stat own {};
    const dev_t device = ::fstatat(proc.get(), "self/ns/ipc", &own, 0) == 0 ? own.st_dev : 0;
    std::vector<Finding> inside;
    std::vector<Finding> holding;
    std::vector<std::pair<ino_t, std::string>> mounts;
    auto& mount_namespaces = inventory.mount_namespaces;
    for (auto& share : shares) {
        inventory.unseen += share.unseen;
        inventory.blocked.insert(inventory.blocked.end(), share.blocked.begin(), share.blocked.end());
        inside.insert(inside.end(), share.inside.begin(), share.inside.end());
        holding.insert(holding.end(), share.holding.begin(), share.holding.end());
        for (const auto& [inode, pid] : share.mount_namespaces) {
            const auto [known, is_new] = mount_namespaces.try_emplace(inode, pid);
            if (!is_new) known->second = std::min(known->second, pid);
        }
    }
    for (const auto& [inode, pid] : mount_namespaces) {
        auto found = procfs::namespace_mounts(proc.get(), procfs::ProcessPath(pid)("mountinfo"));
        if (errno != 0 && !procfs::is_gone(errno) && errno != EINVAL) ++inventory.unseen;
        for (auto& mount : found) {
            if (const ino_t ipc = procfs::parse_link(mount.root))
                mounts.emplace_back(ipc, std::move(mount.point));
        }
    }
    sort_out(inside);
    sort_out(holding);
    sort_out(mounts);
    sort_out(inventory.blocked);

    std::vector<ino_t> inodes;
    for (const auto* findings : {&inside, &holding}) {
        for (const auto& [inode, pid] : *findings) inodes.push_back(inode);
    }
    for (const auto& [inode, point] : mounts) inodes.push_back(inode);
    sort_out(inodes);
    inventory.entries.resize(inodes.size());
    for (std::size_t i = 0; i < inodes.size(); ++i) inventory.entries[i].id = {device, inodes[i]};
    const auto entry_of = [&](ino_t inode) -> InventoryEntry& {
        const auto found = std::lower_bound(inodes.begin(), inodes.end(), inode);
        return inventory.entries[static_cast<std::size_t>(found - inodes.begin())];
    };
    for (const auto& [inode, pid] : inside) entry_of(inode).processes.push_back(pid);
    for (const auto& [inode, pid] : holding) entry_of(inode).descriptors.push_back(pid);
    for (auto& [inode, point] : mounts) entry_of(inode).mounts.push_back(std::move(point));
    for (auto& share : shares) {
        for (auto& [inode, process] : share.first) {
            auto& first = entry_of(inode).first;
            if (!first || process.pid < first->pid) first = std::move(process);
        }
    }

    const ino_t host = options.keepers_apart ? Namespace::host_id().inode : 0;
    for (auto& entry : inventory.entries) {
        // Most processes are in the host's, and no keeper is.
        if (options.keepers_apart && entry.id.inode != host) set_keepers_apart(proc.get(), entry);
        if (!options.details) entry.first.reset();
    }
    if (options.contents) {
        for (auto& entry : inventory.entries) {
            try {
                if (const auto opened = open_namespace(entry)) entry.contents = opened->call(contents_inside);
            } catch (const Error&) {
                // Not ours to enter: the contents stay unknown.
            }
        }
    }
    return inventory;
}

} // namespace ipcns
