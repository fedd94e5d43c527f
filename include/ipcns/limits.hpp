// SPDX-License-Identifier: Apache-2.0
// The limits that every IPC namespace has for itself.
#pragma once

#include <ipcns/export.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns {

/// One key of /proc/sys that belongs to the IPC namespace (ipc_namespaces(7), proc(5), mq_overview(7)).
struct IPCNS_API LimitKey {
    const char* name;    ///< the short name, e.g. "shmmax" or "msg_max"
    const char* path;    ///< its file, e.g. "/proc/sys/kernel/shmmax"
    int numbers;         ///< how many numbers the value has: 4 for "sem", else 1
    const char* meaning; ///< a few words for people, with the unit
};

/// One setting to be made.
struct IPCNS_API Limit {
    const LimitKey* key = nullptr; ///< points into limit_keys()
    std::string value;             ///< decimal numbers, with single spaces between them

    /// Reads `KEY=VALUE`. KEY is a name of limit_keys(), also written `kernel.shmmax` or `fs.mqueue.msg_max`;
    /// VALUE takes K, M, G, T; the four numbers of `sem` are separated by spaces or commas.
    /// @throws UsageError when the key is unknown (the hint lists them) or the value is not made of numbers.
    [[nodiscard]] static Limit parse(std::string_view text);
};

/// Every key that this library knows, in a fixed order. Not every kernel has all of them.
[[nodiscard]] IPCNS_API std::span<const LimitKey> limit_keys() noexcept;

/// The key of this name (short or dotted), or null.
[[nodiscard]] IPCNS_API const LimitKey* find_limit_key(std::string_view name) noexcept;

/// The limits of the calling thread's namespace. Keys that this kernel does not have are left out.
[[nodiscard]] IPCNS_API std::vector<Limit> read_limits();

/// Sets one limit in the calling thread's namespace. Needs to be root in the user namespace that owns it;
/// before Linux 6.0 root of the host.
/// @throws Error EPERM/EACCES, EINVAL when the kernel does not take the value, ENOENT when it lacks the key,
/// EROFS
///         when /proc/sys is read-only.
IPCNS_API void write_limit(const Limit& limit);

} // namespace ipcns
