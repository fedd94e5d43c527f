// SPDX-License-Identifier: Apache-2.0
// Two things beside each other: the namespaces of two processes, or what lies in two IPC namespaces.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/limits.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/objects.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/removal.hpp>
#include <ipcns/target.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ipcns {

/// Whether two things are one and the same. What could not be looked at is never `yes`.
enum class Same { yes, no, unknown };

// ---- Two processes -----------------------------------------------------------------------------------------------

/// One kind of namespaces(7), and which of them each process is in.
struct IPCNS_API NamespacePair {
    const char* kind = "";        ///< "cgroup", "ipc", "mnt", "net", "pid", "time", "user" or "uts"
    std::optional<NamespaceId> a; ///< that of the first one; nothing: it may not be looked at
    std::optional<NamespaceId> b; ///< that of the second one, likewise

    /// Whether it is one namespace.
    [[nodiscard]] Same same() const noexcept {
        return !a || !b ? Same::unknown : *a == *b ? Same::yes : Same::no;
    }
};

/// Two processes beside each other.
struct IPCNS_API ProcessComparison {
    pid_t a = 0; ///< the first one
    pid_t b = 0; ///< the second one
    std::vector<NamespacePair>
        namespaces; ///< in the order of the alphabet; kinds that this kernel lacks are left out
    /// The folder that each sees at /dev/shm. Nothing: it is not known, or there is none.
    std::optional<FileId> shm_a;
    std::optional<FileId> shm_b; ///< likewise

    /// Of the IPC namespaces.
    [[nodiscard]] Same same_ipc() const noexcept;
    /// Of what the two see at /dev/shm.
    [[nodiscard]] Same same_shm() const noexcept {
        return !shm_a || !shm_b ? Same::unknown : *shm_a == *shm_b ? Same::yes : Same::no;
    }
    /// Whether the two see each other's objects of a kind. For System V objects and POSIX queues the IPC namespace
    /// decides; POSIX shared memory and named semaphores are files of /dev/shm, whatever that one is.
    [[nodiscard]] Same share(Kind kind) const noexcept {
        return is_sysv(kind) || kind == Kind::mq ? same_ipc() : same_shm();
    }
    /// All of it together: `no` when anything differs, else `unknown` when anything is.
    [[nodiscard]] Same same() const noexcept;
    /// How many of the namespaces and folders are unknown.
    [[nodiscard]] std::size_t not_compared() const noexcept;
};

/// Compares the namespaces of two processes, of their main threads. Takes a few system calls.
///
/// Needs what ptrace(2) calls PTRACE_MODE_READ_FSCREDS for each; without, the namespaces of that one are unknown. Its
/// /dev/shm may be known all the same: where its table of mounts (proc(5)), which all may read, has the caller's own
/// tmpfs there.
/// @param a, b  of the kinds pid, self and host
/// @throws UsageError for a target of another kind; Error ESRCH when there is no such process (any more)
[[nodiscard]] IPCNS_API ProcessComparison compare_processes(const Target& a, const Target& b);

// ---- Two namespaces ----------------------------------------------------------------------------------------------

/// What may be different about an object that is there twice. What is not here is not compared: ids, times, process
/// ids, who waits, who is attached, how much memory is taken.
enum class Aspect {
    owner,         ///< of any object: user number
    group,         ///< of any object: group number
    creator,       ///< System V: user number
    creator_group, ///< System V: group number
    mode,          ///< of any object
    size,          ///< shm, pshm: bytes
    locked,        ///< shm: never swapped out; 0 or 1
    removed,       ///< shm: only there until the last process detaches; 0 or 1
    semaphores,    ///< sem: how many
    value,         ///< sem: of one of them; psem
    limit,         ///< msg: bytes that it takes
    messages,      ///< msg, mq: how many
    bytes,         ///< msg, mq: in all messages
    max_messages,  ///< mq: that it takes
    message_size,  ///< mq: bytes that a message may have
    message_type,  ///< msg: of a message
    message_bytes, ///< msg: how long a message is
    content,       ///< shm, pshm, msg: a byte
};

/// "owner", "creator_group" and so on: the words above.
[[nodiscard]] IPCNS_API const char* word_of(Aspect aspect) noexcept;

/// One thing in which two objects differ.
struct IPCNS_API Difference {
    Aspect aspect = Aspect::content;     ///< in what
    std::uint64_t a = 0;                 ///< in the first one
    std::uint64_t b = 0;                 ///< in the second one
    std::optional<std::uint64_t> number; ///< which semaphore, or which message, from 0
    std::optional<std::uint64_t> offset; ///< content: where the first byte is that differs, from 0

    friend bool operator==(const Difference&, const Difference&) = default;
};

/// One thing that could not be compared.
struct IPCNS_API Unclear {
    Aspect aspect = Aspect::content; ///< what of the object
    std::string why;                 ///< for a person; escaped
};

/// An object that is in one of the two, or in both.
struct IPCNS_API ComparedObject {
    /// What the comparison of one object comes to.
    enum class Verdict { same, different, only_a, only_b, not_compared };

    Kind kind = Kind::msg;               ///< which kind of object it is
    std::optional<AnyRecord> a;          ///< the first one; of the two there is at least one
    std::optional<AnyRecord> b;          ///< the second one
    std::vector<Difference> differences; ///< of an object that is in both
    std::vector<Unclear> unclear;        ///< what of it could not be compared

    /// `different` also where something else could not be compared; `not_compared` where no difference was found, but not
    /// all could be compared.
    [[nodiscard]] Verdict verdict() const noexcept {
        if (!b) return Verdict::only_a;
        if (!a) return Verdict::only_b;
        if (!differences.empty()) return Verdict::different;
        return unclear.empty() ? Verdict::same : Verdict::not_compared;
    }
    /// How it is called: by its key or name, or where it has no key by its id.
    [[nodiscard]] ObjectName name() const;
};

/// A limit that is not the same in both. Nothing: no number of use, see LimitUse::value.
struct IPCNS_API LimitDifference {
    const LimitKey* key = nullptr;  ///< has one number: "sem" comes as its four parts
    std::optional<std::uint64_t> a; ///< in the first one
    std::optional<std::uint64_t> b; ///< in the second one
};

/// A whole kind that could not be compared, or objects of it that were not seen.
struct IPCNS_API UnclearKind {
    Kind kind = Kind::msg; ///< which kind
    std::string why;       ///< for a person; escaped
};

/// What to compare.
struct IPCNS_API CompareOptions {
    Kinds kinds = Kinds::all(); ///< which kinds of objects
    bool content = true; ///< messages of System V queues, and the bytes of segments and POSIX shared memory
    bool limits = true;  ///< the limits as well
};

/// Two namespaces beside each other.
struct IPCNS_API Comparison {
    NamespaceId a;                 ///< the first one
    NamespaceId b;                 ///< the second one
    bool same_ipc = false;         ///< it is one namespace: then only /dev/shm was looked at
    Same same_shm = Same::unknown; ///< `yes`: there is one /dev/shm, and it was not looked at
    /// All but those that are the same. By kind, then by key (those without one by id, behind the others) or name.
    std::vector<ComparedObject> objects;
    std::size_t same_objects = 0;           ///< in both and the same in all that was compared
    std::vector<LimitDifference> limits;    ///< those that are not the same in both
    std::size_t same_limits = 0;            ///< how many are
    std::vector<UnclearKind> unclear_kinds; ///< what of the kinds asked for is missing here

    /// Everything that could not be compared: kinds, and things about objects.
    [[nodiscard]] std::size_t not_compared() const noexcept;
    /// `no` when anything differs, else `unknown` when anything could not be compared.
    [[nodiscard]] Same same() const noexcept;
};

/// Compares what two namespaces hold: objects in one only; objects in both with the same key (System V) or name (POSIX)
/// that differ; limits. System V objects without a key have nothing but their id, and are compared with the one of the
/// same id that has no key either.
///
/// Users and groups are as the caller's user namespace knows them; two whom it has no number for can't be told apart, and
/// then are not compared. POSIX shared memory and named semaphores are those of the /dev/shm that belongs to the target:
/// of the process, the name, or (self) the caller. Things go on while they are compared: what is reported may have been
/// true at different moments, and an object that goes away meanwhile is not compared.
///
/// Content is read in pieces: it takes no more memory for large objects, and what was never written is passed over, and
/// takes no memory afterwards either. No message is taken.
/// - Segments are attached for it, read-only. That sets their time of attaching and detaching and the last pid, which no
///   other way of reading spares. Not attached is a segment that nobody has attached in a namespace with the limit
///   shm_rmid_forced, since that would remove it.
/// - POSIX shared memory is read by read(2). The time of access stays for its owner and root.
/// - Messages of POSIX queues can't be read without taking them: their number and bytes are compared.
/// - Pages that are swapped out look like pages never written (mincore(2)), unless the caller has CAP_CHECKPOINT_RESTORE or
///   CAP_SYS_ADMIN in the first user namespace; a segment with such pages, or of huge pages, is not compared without.
/// - Messages are copied by MSG_COPY (CONFIG_CHECKPOINT_RESTORE), in time that grows with the square of their number.
///
/// @throws Error as resolve() and look()
[[nodiscard]] IPCNS_API Comparison compare(const Target& a, const Target& b,
                                           const CompareOptions& options = {});

} // namespace ipcns
