// SPDX-License-Identifier: Apache-2.0
// What one user namespace calls a user or group, and what another one does.
#pragma once

#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace ipcns {

/// One line of a uid_map or gid_map (user_namespaces(7)): what is called `inside` in the user namespace is called
/// `outside` by whom the reader belongs to.
struct IdRange {
    std::uint64_t inside, outside, count;
};

/// Every line of such a file; none when there is no such process, or no /proc.
/// @throws Error when it cannot be read
std::vector<IdRange> read_id_map(const char* path);

/// Translates between the calling thread's user namespace and that which the caller has come from, the one around it
/// (Namespace::call() may have joined another one). Ids that have no name there stay what they are.
class IdMap {
public:
    /// @param outside user_namespace() of the caller, before it came here
    explicit IdMap(ino_t outside);
    /// Of the calling thread.
    static ino_t user_namespace();

    void to_outside(Ownership& who) const;
    void to_outside(FileOwnership& who) const;
    void to_inside(Ownership& who) const;
    void to_inside(FileOwnership& who) const;

    /// What a user or group that the caller knows is called here; nothing when it has no name here.
    [[nodiscard]] std::optional<uid_t> user_inside(uid_t outside) const;
    [[nodiscard]] std::optional<gid_t> group_inside(gid_t outside) const;

private:
    bool same_ = false; // the user namespace
    std::vector<IdRange> users_, groups_;
};

} // namespace ipcns
