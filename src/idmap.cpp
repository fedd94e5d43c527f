// SPDX-License-Identifier: Apache-2.0
// Users and groups from one user namespace to the other. Leans on: the middle number of a line of uid_map is what the
// reader's user namespace says, and for a reader in the same one, what the one around it says (user_namespaces(7)).
#include "idmap.hpp"

#include "error.hpp"
#include "procfs.hpp"

#include <fcntl.h>

#include <charconv>

namespace ipcns {
namespace {

std::optional<std::uint32_t> find_outside(const std::vector<IdRange>& ranges, std::uint32_t id) {
    for (const auto& range : ranges) {
        if (id >= range.inside && id - range.inside < range.count)
            return static_cast<std::uint32_t>(range.outside + (id - range.inside));
    }
    return std::nullopt;
}

std::optional<std::uint32_t> find_inside(const std::vector<IdRange>& ranges, std::uint32_t id) {
    for (const auto& range : ranges) {
        if (id >= range.outside && id - range.outside < range.count)
            return static_cast<std::uint32_t>(range.inside + (id - range.outside));
    }
    return std::nullopt;
}

} // namespace

std::vector<IdRange> read_id_map(const char* path) {
    std::vector<IdRange> ranges;
    const auto text = procfs::read_file(AT_FDCWD, path);
    // Without it everybody would keep his number, and that of somebody else here.
    if (!text && !procfs::is_gone(errno)) fail(std::string("read ") + path);
    const char* at = text ? text->data() : nullptr;
    const char* const end = text ? at + text->size() : nullptr;
    while (at != end) {
        IdRange range{};
        for (std::uint64_t* number : {&range.inside, &range.outside, &range.count}) {
            while (at != end && (*at == ' ' || *at == '\n')) ++at;
            at = std::from_chars(at, end, *number).ptr;
        }
        if (range.count != 0) ranges.push_back(range);
        while (at != end && *at == '\n') ++at;
    }
    return ranges;
}

IdMap::IdMap(ino_t outside) : same_(user_namespace() == outside) {
    if (same_) return;
    users_ = read_id_map("/proc/thread-self/uid_map");
    groups_ = read_id_map("/proc/thread-self/gid_map");
}

ino_t IdMap::user_namespace() {
    const char* const path = "/proc/thread-self/ns/user";
    const ino_t inode = procfs::namespace_inode(AT_FDCWD, path, "user");
    if (inode == 0 && !procfs::is_gone(errno)) fail(std::string("read ") + path);
    return inode;
}

void IdMap::to_outside(Ownership& who) const {
    for (uid_t* id : {&who.owner, &who.creator}) *id = find_outside(users_, *id).value_or(*id);
    for (gid_t* id : {&who.group, &who.creator_group}) *id = find_outside(groups_, *id).value_or(*id);
}

void IdMap::to_outside(FileOwnership& who) const {
    who.owner = find_outside(users_, who.owner).value_or(who.owner);
    who.group = find_outside(groups_, who.group).value_or(who.group);
}

void IdMap::to_inside(Ownership& who) const {
    for (uid_t* id : {&who.owner, &who.creator}) *id = find_inside(users_, *id).value_or(*id);
    for (gid_t* id : {&who.group, &who.creator_group}) *id = find_inside(groups_, *id).value_or(*id);
}

void IdMap::to_inside(FileOwnership& who) const {
    who.owner = find_inside(users_, who.owner).value_or(who.owner);
    who.group = find_inside(groups_, who.group).value_or(who.group);
}

std::optional<uid_t> IdMap::user_inside(uid_t outside) const {
    return same_ ? std::optional(outside) : find_inside(users_, outside);
}

std::optional<gid_t> IdMap::group_inside(gid_t outside) const {
    return same_ ? std::optional(outside) : find_inside(groups_, outside);
}

} // namespace ipcns
