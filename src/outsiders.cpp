// SPDX-License-Identifier: Apache-2.0
// Leans on the kernel's count of each segment's attachments, which counts everybody's, and on /proc/PID/maps and map_files, which
// show a mapped segment by its number, but not of which namespace it is.
#include "outsiders.hpp"

#include "maps.hpp"
#include "procfs.hpp"

#include <ipcns/holders.hpp>
#include <ipcns/inventory.hpp>
#include <ipcns/objects.hpp>

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace ipcns {
namespace {

using namespace std::chrono_literals;

LookOptions segments_alone() {
    LookOptions what;
    what.kinds = {};
    what.kinds.add(Kind::shm);
    return what;
}

HoldersOptions mappings_alone() {
    HoldersOptions how;
    how.waiters = false;
    how.since = false;
    return how;
}

// Those whose attachments, as the kernel counts them, differ from those seen inside in this way.
template <class Compare>
std::set<ino_t> attached(NamespaceId space, const Objects& objects, const HolderIndex& index,
                         Compare compare) {
    std::set<ino_t> ids;
    for (const auto& seen : objects.shm) {
        const Holders* holders = index.of(space, seen.record.id);
        const std::uint64_t inside = holders != nullptr ? holders->attachments() : 0;
        if (compare(std::uint64_t{seen.record.attached}, inside))
            ids.insert(static_cast<ino_t>(seen.record.id));
    }
    return ids;
}

// Who maps segments of these numbers, and which, by the namespace that each is in.
using Mappers = std::map<ino_t, std::map<pid_t, std::set<ino_t>>>;

Mappers find_mappers(int proc, const std::set<ino_t>& ids) {
    const maps::Wanted wanted{maps::segment_file_systems(), {}};
    bool query = true;
    std::vector<maps::MappedFile> mapped;
    Mappers found;
    for (const pid_t pid : procfs::processes(proc)) {
        const Fd folder(::openat(proc, std::to_string(pid).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!folder || maps::read(folder.get(), wanted, query, mapped) != maps::Answer::found) continue;
        for (const auto& one : mapped) {
            if (ids.contains(one.inode))
                found[procfs::namespace_inode(folder.get(), "ns/ipc")][pid].insert(one.inode);
        }
    }
    return found;
}

// A mapping of a segment does not say which namespace the segment is of. When the kernel counts more attachments than were
// found inside, those who map a segment of that number elsewhere may be the others; but not where a segment of their own
// namespace has that number, and as many attachments as are seen there.
void find_attached(int proc, NamespaceId space, const std::set<ino_t>& ids, std::set<pid_t>& processes) {
    Mappers mappers = find_mappers(proc, ids);
    mappers.erase(space.inode);
    std::vector<NamespaceId> spaces;
    std::vector<Objects> segments;
    for (const auto& [inode, some] : mappers) {
        try {
            const Place there{Namespace::from_pid(some.begin()->first), {}, {}, {}, {}};
            segments.push_back(look(there, segments_alone()));
            spaces.push_back(there.ipc.id());
        } catch (const Error&) {
            // Gone, or not for us to enter: then nothing is known of what it has.
        }
    }
    std::map<ino_t, std::set<ino_t>> explained;
    if (!spaces.empty()) {
        const auto index = HolderIndex::take(spaces, mappings_alone());
        for (std::size_t i = 0; i < spaces.size(); ++i)
            explained[spaces[i].inode] = attached(spaces[i], segments[i], index, std::equal_to<>());
    }
    for (const auto& [inode, some] : mappers) {
        const auto& own = explained[inode];
        for (const auto& [pid, numbers] : some) {
            if (!std::includes(own.begin(), own.end(), numbers.begin(), numbers.end())) processes.insert(pid);
        }
    }
}

// One inside who has no memory of its own any more, and has not left: the kernel may still be undoing its attachments, which it
// counts until then, and which nobody can see.
bool somebody_ends(int proc, NamespaceId space) {
    for (const pid_t pid : procfs::processes(proc)) {
        bool inside = false;
        (void)procfs::each_namespace(proc, pid, "ipc",
                                     [&](ino_t inode) { return inside = inode == space.inode; });
        if (!inside) continue;
        const auto pages = procfs::read_start(proc, procfs::ProcessPath(pid)("statm"));
        if (pages && pages->starts_with("0 ")) return true;
    }
    return false;
}

} // namespace

Outsiders find_outsiders(const Place& place) {
    LookOptions what;
    what.kinds = {};
    for (const Kind kind : {Kind::shm, Kind::mq, Kind::psem, Kind::pshm}) what.kinds.add(kind);
    const Objects objects = look(place, what);

    std::vector<FileId> files;
    for (const auto& seen : objects.mq) files.push_back(seen.record.file);
    for (const auto& seen : objects.psem) files.push_back(seen.record.file);
    for (const auto& seen : objects.pshm) files.push_back(seen.record.file);
    std::set<dev_t> devices;
    for (const FileId& file : files) devices.insert(file.device);
    Outsiders found;
    if (files.empty() && objects.shm.empty()) return found;

    HoldersOptions how = mappings_alone();
    how.devices.assign(devices.begin(), devices.end());
    const auto index = HolderIndex::take({place.ipc.id()}, how);
    found.unseen = index.unseen();
    for (const FileId& file : files) {
        const Holders* holders = index.of(file);
        if (holders == nullptr) continue;
        for (const Mapping& mapping : holders->mappings) found.processes.insert(mapping.pid);
        for (const OpenDescriptor& open : holders->descriptors) found.processes.insert(open.pid);
    }
    // Who lets go or ends while we look makes the two differ as well, and a stranger is not to be held for that.
    constexpr int attempts = 20;
    const Fd proc = procfs::open_proc();
    const NamespaceId space = place.ipc.id();
    std::set<ino_t> ids = attached(space, objects, index, std::greater<>());
    bool changing = true;
    for (int attempt = 0; attempt < attempts && changing && !ids.empty(); ++attempt) {
        // Asked beforehand: who has ended meanwhile may have been counted.
        changing = somebody_ends(proc.get(), space);
        std::this_thread::sleep_for(10ms);
        const Objects segments = look(place, segments_alone());
        ids = attached(space, segments, HolderIndex::take({space}, mappings_alone()), std::greater<>());
    }
    if (!ids.empty()) find_attached(proc.get(), space, ids, found.processes);
    return found;
}

} // namespace ipcns
