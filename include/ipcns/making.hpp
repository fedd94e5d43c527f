// SPDX-License-Identifier: Apache-2.0
// Making an object of any kind in any namespace.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/objects.hpp>
#include <ipcns/registry.hpp>

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ipcns {

/// What make_object() is to make. What means nothing for the kind stays as it is here, else UsageError.
struct IPCNS_API NewObject {
    Kind kind = Kind::msg;      ///< which kind
    Key key = Key::none;        ///< System V; none: one without a key
    std::string name;           ///< POSIX, with its slash
    mode_t mode = 0600;         ///< permission bits, 0 to 0777, exactly these whatever the umask
    bool exclusive = false;     ///< Error EEXIST when there is one with this key or name
    std::optional<uid_t> owner; ///< as the caller's user namespace knows him; else the caller
    std::optional<gid_t> group; ///< likewise
    /// shm and pshm, which must have it: bytes; mq: bytes that a message may have, else the default of the namespace
    std::optional<std::uint64_t> size;
    /// sem: semaphores, else as many as there are `values`, else 1; mq: messages, else the default of the namespace
    std::optional<std::uint64_t> count;
    std::optional<std::uint64_t>
        limit; ///< msg: bytes that it takes before senders wait, else the limit msgmnb
    /// sem: first values, 0 to 32767, one for each semaphore or a single one for all; psem: its value. None: 0
    std::vector<unsigned> values;
    bool huge_pages = false;          ///< shm: see SegmentOptions
    std::uint64_t huge_page_size = 0; ///< shm, with huge_pages: bytes; 0: the system's default
    bool no_reserve = false;          ///< shm: see SegmentOptions
    bool lock = false;                ///< shm: see SegmentOptions
    bool allocate = false;            ///< pshm: memory is set aside now, see make_shared_memory()
};

/// What make_object() did.
struct IPCNS_API MadeObject {
    ObjectName object; ///< the new one, or the one that was there: by id or name
    bool made = false; ///< false: there was one already, which was not changed
};

/// Makes an object in a place: System V objects and queues in its namespace, the others in its /dev/shm. The caller
/// stays where it is. One of that key or name that exists already is used, unless `exclusive` is set, and never changed:
/// MakeOptions and PosixMakeOptions say what of it must be as asked for.
///
/// The object belongs to the caller, if `owner` and `group` say nothing else, also where entering takes joining another
/// user namespace.
/// @throws UsageError, before anything is done, for what means nothing for the kind or is missing
/// @throws Error EINVAL when the owner or group has no mapping in the user namespace; ENOENT when it is not known which
///         /dev/shm is meant; as make_queue() and the other functions of this kind
IPCNS_API MadeObject make_object(const Place& place, const NewObject& wanted);

} // namespace ipcns
