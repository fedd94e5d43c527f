// SPDX-License-Identifier: Apache-2.0
// The limits that every IPC namespace has for itself.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns {

/// One key of /proc/sys that belongs to the IPC namespace (ipc_namespaces(7), proc(5), mq_overview(7)), or one of the
/// four numbers in "sem".
struct IPCNS_API LimitKey {
    const char* name;    ///< the short name, e.g. "shmmax", "msg_max" or "semmni"
    const char* path;    ///< its file, e.g. "/proc/sys/kernel/shmmax"
    int numbers;         ///< how many numbers the value has: 4 for "sem", else 1
    int part;            ///< which of the file's numbers, from 0; -1: all that is in the file
    const char* meaning; ///< a few words for people
    /// What is counted: bytes, pages, messages, queues, semaphores, operations, sets, segments, id (of an object), flag
    /// (0 or 1), or numbers (of "sem")
    const char* unit = "";
    std::uint64_t least = 0;                                        ///< the least that a kernel takes
    std::uint64_t most = std::numeric_limits<std::uint64_t>::max(); ///< and the most; some kernels take less
    /// What a new namespace begins with, whatever the values of its parent are. Nothing for "sem" and for the ids.
    std::optional<std::uint64_t> usual = std::nullopt;
};

/// One setting to be made.
struct IPCNS_API Limit {
    const LimitKey* key = nullptr; ///< points to what limit_keys() or find_limit_key() returned
    std::string value;             ///< decimal numbers, with single spaces between them

    /// Reads `KEY=VALUE`. KEY is a name that find_limit_key() knows; VALUE takes K, M, G, T, and for shmall and
    /// shmmax the word "unlimited", which is what they begin with; the four numbers of `sem` are separated by spaces or
    /// commas. Whether the kernel takes such a value is not looked at.
    /// @throws UsageError when the key is unknown (the hint says which was meant, or lists them) or the value is not made of
    /// numbers.
    [[nodiscard]] static Limit parse(std::string_view text);
};

/// Every key with a file of its own that this library knows, in a fixed order. Not every kernel has all of them.
[[nodiscard]] IPCNS_API std::span<const LimitKey> limit_keys() noexcept;

/// The key of this name: short, or as sysctl(8) writes it (`kernel.shmmax`, `fs.mqueue.msg_max`), or one of the numbers
/// of "sem": `semmsl`, `semmns`, `semopm`, `semmni` (semget(2), semop(2)). Null when there is none.
[[nodiscard]] IPCNS_API const LimitKey* find_limit_key(std::string_view name) noexcept;

/// The limits of the calling thread's namespace. Keys that this kernel does not have are left out. Needs no
/// privilege; one file of /proc/sys for each key.
/// @throws Error when the kernel has one and it cannot be read
[[nodiscard]] IPCNS_API std::vector<Limit> read_limits();

/// One limit beside what it began with and how much of it is used up.
struct IPCNS_API LimitUse {
    const LimitKey* key = nullptr; ///< has one number: "sem" comes as its four parts
    std::optional<std::uint64_t>
        value; ///< nothing: no number of use, as the -1 of an id that nobody has asked for
    /// How much of it there is now, in the key's unit, where it limits the sum of what there is: msgmni, semmns,
    /// semmni, shmall, shmmni, queues_max. Nothing for the others, and for queues_max where the caller may not count
    /// the queues (see mount_queues() in posix.hpp).
    std::optional<std::uint64_t> used;

    /// How much of it is used up, in percent; more than 100 where the limit was lowered below what there was already,
    /// 100 where it is 0.
    [[nodiscard]] std::optional<double> percent() const noexcept;
};

/// The limits of the calling thread's namespace with their use, "sem" in its parts. Needs no privilege, but for counting
/// POSIX queues (queues that were unlinked and are still open count for the kernel, but are not seen). Takes a
/// system call or three for each key. What cannot be counted is left empty.
/// @throws Error as read_limits()
[[nodiscard]] IPCNS_API std::vector<LimitUse> read_limit_use();

/// What set_limits() did to one file.
struct IPCNS_API LimitChange {
    const LimitKey* key = nullptr; ///< "sem" for its parts
    std::string old_value;         ///< as Limit::value
    std::string new_value;         ///< as it reads now
};

/// Sets limits in the calling thread's namespace, all or none.
///
/// First all are looked at: that the kernel has the key, takes such numbers, and lets the caller write. Then they are
/// written, several parts of "sem" at once, the last one where a key is given twice. What is written is read back. When
/// the kernel refuses one or keeps another value, those already set go back, and the exception says whether they
/// did. What shm_rmid_forced=1 removes cannot come back, so it is written last.
///
/// The ids (msg_next_id and so on) hold for one object: whoever makes the next one in this namespace gets it, and the
/// value is -1 again. The kernel does not take -1; here it takes a wish back, by making an object and removing it.
///
/// The caller must be root in the user namespace that owns the IPC namespace (Linux 6.9, and the stable kernels
/// 6.6.45 and 6.1.104); with an older kernel, or where that user namespace has no root (as the one that
/// Namespace::create() makes), root of the host. Root of the host (CAP_SETUID) may in all of them. For the
/// ids CAP_CHECKPOINT_RESTORE in that user namespace will do, and CAP_SYS_ADMIN before Linux 5.9.
/// @return the files that were written, in the order in which they were asked for
/// @throws Error EACCES or EPERM when the caller may not, EINVAL (or ERANGE) when the kernel does not take a value, ENOENT
/// when it lacks a key, EROFS when /proc/sys is read-only. A value that is not made of numbers: UsageError.
IPCNS_API std::vector<LimitChange> set_limits(std::span<const Limit> limits);

/// set_limits() for a single one.
IPCNS_API void write_limit(const Limit& limit);

} // namespace ipcns
