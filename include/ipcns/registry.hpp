// SPDX-License-Identifier: Apache-2.0
// Names for namespaces, which live without a process.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/limits.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>
#include <ipcns/target.hpp>

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns {

/// An IPC namespace together with the /dev/shm that belongs to it, which is what a program enters.
struct IPCNS_API Place {
    Namespace ipc;        ///< the namespace
    std::string name;     ///< the name it is registered under, or empty
    Fd shm;               ///< its /dev/shm as an O_PATH descriptor, or none when that is not known
    Fd mounts;            ///< the mount namespace in which `shm` lies, or none when it is the caller's own
    std::string shm_from; ///< for messages: where `shm` was found
};

/// Finds the namespace that @p target means. A name is looked up in the caller's own registry, then in the
/// system's. For a pid the place has that process's /dev/shm; for an inode or a path that of the name
/// registered for the same namespace, else that of one of its processes, else none; for `self` none (the
/// caller's is the right one). A job's name without a node is also that of the only node of this host that has it.
/// @throws Error ENOENT, ESRCH, EACCES as the members of Namespace.
[[nodiscard]] IPCNS_API Place resolve(const Target& target);

/// As resolve(), when the /dev/shm is of no interest: cheaper, and needs fewer rights.
[[nodiscard]] IPCNS_API Namespace resolve_namespace(const Target& target);

/// An ordinary user, as root knows him.
struct IPCNS_API Owner {
    uid_t user = 0;  ///< his number
    gid_t group = 0; ///< that of his group
};

/// How a named namespace is made.
struct IPCNS_API CreateOptions {
    std::optional<std::uint64_t> shm_size; ///< bytes of its /dev/shm; 0: no limit; default: the host's size
    std::vector<Limit> limits;             ///< set before the name appears
    /// With Holding::mounts: a name that root makes for somebody else. He finds and enters it, nobody else but root
    /// does, and root alone takes it away. The namespace is made by Namespace::create_for(), or where this system forbids user
    /// namespaces to him by Namespace::create(): then he finds it and cannot enter. Only such a name may be one of is_job_name().
    std::optional<Owner> owner = std::nullopt;
    bool owner_enters = true; ///< false: as if user namespaces were forbidden to him
    /// Nobody but its owner (and whoever is inside) can look into the name's folder. Else everybody can, and make files in
    /// its /dev/shm.
    bool secluded = false;
};

/// How a name is taken away.
struct IPCNS_API DeleteOptions {
    bool kill = false;                             ///< end the processes inside first: SIGTERM, then SIGKILL
    std::chrono::milliseconds grace{5000};         ///< between the two
    std::optional<uid_t> kill_only = std::nullopt; ///< with `kill`: those alone whose effective user this is
    /// Removes what the namespace holds also when processes are still inside; `inside` of the result says which.
    bool empty_anyway = false;
};

/// What an end left and removed: of a name that was deleted, or of a program that ran.
struct IPCNS_API Leftovers {
    SysvUsage sysv;    ///< System V objects removed
    FilesUsage queues; ///< POSIX queues removed
    FilesUsage files;  ///< files of /dev/shm removed
    std::vector<pid_t>
        inside; ///< processes that are still in the namespace: when there are any, nothing was removed,
                ///< unless DeleteOptions::empty_anyway asked for it
    bool unknown =
        false; ///< the namespace could not be entered from here, so what was in it and who is inside is not known

    /// True when there was nothing to remove.
    [[nodiscard]] bool empty() const noexcept {
        return sysv.objects() == 0 && queues.files == 0 && files.files == 0;
    }
};

/// "1 shared memory segment (64M), 2 POSIX queues", or "nothing".
[[nodiscard]] IPCNS_API std::string describe(const Leftovers& left);

/// True when the /dev/shm of a place is known and is not that of process 1, so that what lies in it belongs to the
/// place.
[[nodiscard]] IPCNS_API bool has_own_shm(const Place& place);

/// Counts what a place holds: System V objects, POSIX queues, and where has_own_shm() the entries of its /dev/shm. Enters
/// the namespace for a moment (see Namespace::call). `inside` stays empty.
/// @throws Error EPERM when the caller may not enter
[[nodiscard]] IPCNS_API Leftovers count_contents(const Place& place);

/// Removes all of that, whoever is inside: what somebody has attached or open goes when they let go of it, but nobody
/// finds it any more. Goes on after a failure and throws the first one at the end. `inside` stays empty.
/// @return what was removed
/// @throws Error EPERM when the caller may not enter, and always for the namespace of process 1, which everybody uses
IPCNS_API Leftovers remove_contents(const Place& place);

/// A name that several hold together: see Registry::share().
struct IPCNS_API SharedName {
    Place place;       ///< the namespace and its /dev/shm
    Fd lease;          ///< what holds it; none where the name lives by itself
    bool made = false; ///< by this call
};

/// One line of Registry::list().
struct IPCNS_API RegisteredName {
    std::string name;           ///< its name
    NamespaceId id;             ///< which namespace
    uid_t owner = 0;            ///< whose the name is
    pid_t keeper = 0;           ///< the keeper process, or 0 where a mount holds the namespace
    bool attached = false;      ///< made by somebody else, only named here
    std::filesystem::path path; ///< its folder
};

/// A folder of names. Every change is made under a lock and appears whole or not at all, also when the
/// process that makes it is killed; what that leaves is swept up by the next change. Safe to use from any
/// number of threads and processes at once.
class IPCNS_API Registry {
public:
    class Draft;

    /// What keeps a named namespace alive.
    enum class Holding {
        mounts, ///< NAME/ipc is the bind mounted nsfs file, NAME/shm and NAME/mqueue are mounts. Needs CAP_SYS_ADMIN.
        keeper, ///< a process of the user, in a user namespace of its own; NAME/ipc, shm and mqueue are links into /proc
    };

    /// That of the caller: the system's for root, else `$XDG_RUNTIME_DIR/ipcns`, or where that is not set
    /// /run/user/UID/ipcns or /tmp/ipcns-UID. Nothing is made until it is needed.
    [[nodiscard]] static Registry of_caller();

    /// /run/ipcns.
    [[nodiscard]] static Registry of_system();

    /// Any folder; nothing is made until it is needed.
    Registry(std::filesystem::path folder, Holding holding) : folder_(std::move(folder)), holding_(holding) {}

    /// Where the names are.
    [[nodiscard]] const std::filesystem::path& folder() const noexcept { return folder_; }
    /// What keeps them alive.
    [[nodiscard]] Holding holding() const noexcept { return holding_; }

    /// How long to wait for others that change it, or for a lease. Nothing, as it is in the beginning: as long as it takes. Else
    /// an Error ETIMEDOUT follows, and nothing has been changed.
    void set_patience(std::optional<std::chrono::milliseconds> patience) noexcept { patience_ = patience; }
    /// What set_patience() has set.
    [[nodiscard]] std::optional<std::chrono::milliseconds> patience() const noexcept { return patience_; }

    /// Makes the folder itself, if it is not there yet (and with Holding::mounts makes it a shared mount). All that make a name
    /// do that first.
    /// @throws Error with a hint when the folder can't be made, or is somebody else's
    void prepare() const;

    /// Makes a new namespace of this name.
    /// @throws UsageError for a bad name, and for an owner with Holding::keeper; Error EEXIST when the name is taken, else what Namespace::create
    /// throws
    void create(std::string_view name, const CreateOptions& options = {}) const;

    /// The same for a name that is to live only as long as the caller holds the returned descriptor (or a
    /// process is inside). Remove it with remove(); if the holder dies, the next change to the registry does.
    [[nodiscard]] Fd create_leased(std::string_view name, const CreateOptions& options = {}) const;

    /// The name, or if there is none a new one, for somebody who shares it with all others who do the same: it lives as long
    /// as one of them holds the returned descriptor, or a process is inside. The kernel counts: whoever dies holds it no
    /// longer, and a copy of the descriptor, in a child process too, holds it as well. Who makes it decides by @p options
    /// what it is like. remove_unused() takes it away; else the next change to the registry does.
    ///
    /// A name that was made in another way lives as long as it would anyway; no lease is returned then.
    /// @throws as create, but not because the name is taken
    [[nodiscard]] SharedName share(std::string_view name, const CreateOptions& options = {}) const;

    /// Waits until nobody holds the lease of this name any more, and then shares it, so that it goes on for a while; others may
    /// have it again by then. Nobody takes the name for one that is held no longer in between.
    /// @param waiting called when that is sure: from now on the name lives until this returns. It throws nothing
    /// @throws Error ENOENT when there is no such name, or none that several share
    [[nodiscard]] Fd outlast(std::string_view name, const std::function<void()>& waiting = {}) const;

    /// Takes a name away, with what it holds, if it has a lease that nobody holds, and nobody is inside.
    /// @return what was removed; or who is `inside`, and nothing has changed; or nothing when the lease is held
    /// @throws Error as remove, and ENOENT when it has no lease
    std::optional<Leftovers> remove_unused(std::string_view name) const;

    /// Gives a name to a namespace that somebody else made.
    /// @throws as create
    void attach(std::string_view name, const Place& place) const;

    /// The same in two steps, for a namespace that is to be filled before anybody can find it.
    /// @throws as create
    [[nodiscard]] Draft draft(std::string_view name, const CreateOptions& options = {}) const;
    /// The place of this name.
    /// @throws Error ENOENT, and EACCES when it was made for somebody else, or lies in a user namespace that cannot be entered from here
    [[nodiscard]] Place open(std::string_view name) const;

    /// Every name in it, sorted. Those whose namespace is gone are left out, and those made for somebody else.
    [[nodiscard]] std::vector<RegisteredName> list() const;

    /// Takes the name away at once. If nobody is inside, removes the objects too, but not those of an
    /// attached namespace.
    /// @throws Error ENOENT; EPERM when the name belongs to somebody else
    Leftovers remove(std::string_view name, const DeleteOptions& options = {}) const;

private:
    enum class Lease { none, single, shared };
    Fd add(std::string_view name, const CreateOptions& options, const Place* attached, Lease kind) const;
    [[nodiscard]] std::optional<SharedName> join(const std::string& name) const;

    std::filesystem::path folder_;
    Holding holding_;
    std::optional<std::chrono::milliseconds> patience_;
};

/// A new namespace whose name has not appeared yet. It goes, with all that was put into it, when this object does, or when
/// the process is killed.
class IPCNS_API Registry::Draft {
public:
    /// The other one must not be used any more.
    Draft(Draft&&) noexcept;
    /// What this one was goes; the other one must not be used any more.
    Draft& operator=(Draft&&) noexcept;
    Draft(const Draft&) = delete;
    Draft& operator=(const Draft&) = delete;
    ~Draft();

    /// The new namespace and its /dev/shm.
    [[nodiscard]] const Place& place() const noexcept;
    /// The name appears, and the namespace stays. To be called once.
    /// @throws Error EEXIST when somebody else has taken the name meanwhile
    void publish();

private:
    friend class Registry;
    struct Parts;
    explicit Draft(std::unique_ptr<Parts> parts) noexcept;
    std::unique_ptr<Parts> parts_;
};

} // namespace ipcns
