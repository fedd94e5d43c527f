// SPDX-License-Identifier: Apache-2.0
// Who is where. One pass over /proc, shared between a few threads; a process costs one readlink(2), and
// another for its mount namespace, whose mounts are then read once for all that share it.
#include <ipcns/inventory.hpp>

#include "error.hpp"
#include "parallel.hpp"
#include "procfs.hpp"

#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <map>
#include <span>
#include <unordered_map>
#include <unordered_set>

namespace ipcns {
namespace {

constexpr std::size_t cheap_number_of_processes = 1000;

using Path = std::array<char, 64>;

// What one thread finds among its share of the processes.
struct Share {
    std::vector<std::pair<ino_t, pid_t>> inside;
    std::vector<std::pair<ino_t, pid_t>> holding;
    std::unordered_map<ino_t, Process> first;          // of each namespace, described, when that is wanted
    std::unordered_map<ino_t, pid_t> mount_namespaces; // and a process in each
    std::size_t unseen = 0;
};

// The command line with spaces between, or the name in brackets.
std::optional<std::string> command_of(int proc, pid_t pid) {
    Path path;
    std::snprintf(path.data(), path.size(), "%d/cmdline", pid);
    auto command = procfs::read_start(proc, path.data());
    if (!command) return std::nullopt;
    while (!command->empty() && command->back() == '\0') command->pop_back();
    std::replace(command->begin(), command->end(), '\0', ' ');
    if (command->empty()) {
        std::snprintf(path.data(), path.size(), "%d/comm", pid);
        auto name = procfs::read_start(proc, path.data());
        if (!name) return std::nullopt;
        if (!name->empty() && name->back() == '\n') name->pop_back();
        *command = "[" + *name + "]";
    }
    return command;
}

std::optional<Process> describe(int proc, pid_t pid) {
    Path path;
    std::snprintf(path.data(), path.size(), "%d", pid);
    struct stat about {};
    if (::fstatat(proc, path.data(), &about, 0) != 0) return std::nullopt;
    auto command = command_of(proc, pid);
    if (!command) return std::nullopt;
    return Process{pid, about.st_uid, std::move(*command)};
}

void look_at(int proc, pid_t pid, bool descriptors, bool details, Share& share) {
    std::vector<ino_t> seen;
    uid_t user = 0;
    const bool allowed = procfs::each_namespace(
        proc, pid, "ipc",
        [&](ino_t inode) {
            if (std::find(seen.begin(), seen.end(), inode) == seen.end()) {
                seen.push_back(inode);
                share.inside.emplace_back(inode, pid);
            }
            return false;
        },
        &user);
    if (!allowed) {
        ++share.unseen;
        return;
    }
    for (const ino_t inode : seen) {
        if (!details || share.first.contains(inode)) continue;
        if (auto command = command_of(proc, pid))
            share.first.emplace(inode, Process{pid, user, std::move(*command)});
    }
    Path path;
    std::snprintf(path.data(), path.size(), "%d/ns/mnt", pid);
    if (const ino_t mounts = procfs::namespace_inode(proc, path.data()))
        share.mount_namespaces.try_emplace(mounts, pid);
    if (!descriptors) return;
    std::snprintf(path.data(), path.size(), "%d/fd", pid);
    const Fd folder(::openat(proc, path.data(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) return;
    for (const pid_t fd : procfs::numbers_in(folder.get(), ".")) {
        std::snprintf(path.data(), path.size(), "%d", fd);
        std::array<char, 64> link;
        const ssize_t length = ::readlinkat(folder.get(), path.data(), link.data(), link.size());
        if (length <= 0) continue;
        const ino_t inode = procfs::parse_link({link.data(), static_cast<std::size_t>(length)});
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
        Path path;
        std::snprintf(path.data(), path.size(), "%d/comm", pid);
        return procfs::read_start(proc, path.data()) == "ipcns-keeper\n";
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

Contents contents_inside() {
    const SysvUsage usage = sysv_usage();
    Contents contents{usage.objects(), usage.segment_bytes};
    try {
        if (const Fd queues = mount_queues()) contents.objects += files_usage(queues.get()).files;
    } catch (const Error&) {
        // Counting System V objects needs no rights, counting queues does.
    }
    return contents;
}

} // namespace

std::optional<Namespace> open_namespace(const InventoryEntry& entry) {
    try {
        for (const auto* pids : {&entry.keepers, &entry.processes}) {
            for (const pid_t pid : *pids) {
                Namespace found = Namespace::from_pid(pid);
                if (found.id() == entry.id) return found;
            }
        }
    } catch (const Error&) {
        // Gone by now, or not ours to look at; maybe something else keeps it.
    }
    for (const auto& mount : entry.mounts) {
        try {
            Namespace found = Namespace::from_path(mount);
            if (found.id() == entry.id) return found;
        } catch (const Error&) {
            // A path of another mount namespace, which is something else here or nothing.
        }
    }
    try {
        return Namespace::from_inode(entry.id.inode);
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::optional<Process> describe_process(pid_t pid) { return describe(procfs::open_proc().get(), pid); }

std::vector<pid_t> processes_inside(const NamespaceId& id) {
    const Fd proc = procfs::open_proc();
    std::vector<pid_t> inside;
    for (const pid_t pid : procfs::numbers_in(proc.get(), ".")) {
        bool found = false;
        procfs::each_namespace(proc.get(), pid, "ipc",
                               [&](ino_t inode) { return found = inode == id.inode; });
        if (found) inside.push_back(pid);
    }
    return inside;
}

Inventory Inventory::take(const InventoryOptions& options) {
    const Fd proc = procfs::open_proc();
    const auto pids = procfs::numbers_in(proc.get(), ".");
    if (pids.empty()) fail("list the processes in /proc");

    Inventory inventory;
    using Descriptors = InventoryOptions::Descriptors;
    inventory.descriptors_searched =
        options.descriptors == Descriptors::always ||
        (options.descriptors == Descriptors::automatic && pids.size() <= cheap_number_of_processes);

    const bool details = options.details || options.keepers_apart;
    // A few hundred processes are looked at sooner than a thread starts.
    const unsigned threads = threads_for(pids.size(), 500);
    std::vector<Share> shares(threads);
    in_parallel(pids.size(), threads, [&](std::size_t first, std::size_t last, unsigned thread) {
        for (std::size_t i = first; i < last; ++i)
            look_at(proc.get(), pids[i], inventory.descriptors_searched, details, shares[thread]);
    });

    struct stat own {};
    const dev_t device = ::fstatat(proc.get(), "self/ns/ipc", &own, 0) == 0 ? own.st_dev : 0;
    std::map<ino_t, InventoryEntry> found;
    const auto entry_of = [&](ino_t inode) -> InventoryEntry& {
        InventoryEntry& entry = found[inode];
        entry.id = {device, inode};
        return entry;
    };
    auto& mount_namespaces = inventory.mount_namespaces;
    for (auto& share : shares) { // in the order of the processes
        inventory.unseen += share.unseen;
        for (const auto& [inode, pid] : share.inside) entry_of(inode).processes.push_back(pid);
        for (auto& [inode, process] : share.first) {
            auto& first = entry_of(inode).first;
            if (!first) first = std::move(process);
        }
        for (const auto& [inode, pid] : share.holding) {
            auto& holders = entry_of(inode).descriptors;
            if (holders.empty() || holders.back() != pid) holders.push_back(pid);
        }
        mount_namespaces.insert(share.mount_namespaces.begin(), share.mount_namespaces.end());
    }
    Path path;
    for (const auto& [inode, pid] : mount_namespaces) {
        std::snprintf(path.data(), path.size(), "%d/mountinfo", pid);
        for (auto& mount : procfs::namespace_mounts(proc.get(), path.data())) {
            const ino_t ipc = procfs::parse_link(mount.root);
            if (ipc == 0) continue;
            auto& mounts = entry_of(ipc).mounts;
            if (std::find(mounts.begin(), mounts.end(), mount.point) == mounts.end())
                mounts.push_back(std::move(mount.point));
        }
    }

    inventory.entries.reserve(found.size());
    for (auto& [inode, entry] : found) inventory.entries.push_back(std::move(entry));
    const ino_t host = options.keepers_apart ? Namespace::host_id().inode : 0;
    for (auto& entry : inventory.entries) {
        // Most processes are in the host's, and no keeper is.
        if (options.keepers_apart && entry.id.inode != host) set_keepers_apart(proc.get(), entry);
        if (!options.details) entry.first.reset();
    }
    if (options.contents) {
        for (auto& entry : inventory.entries) {
            const auto opened = open_namespace(entry);
            if (!opened) continue;
            try {
                entry.contents = opened->call(contents_inside);
            } catch (const Error&) {
                // Not ours to enter: the contents stay unknown.
            }
        }
    }
    return inventory;
}

} // namespace ipcns
