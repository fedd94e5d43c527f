// SPDX-License-Identifier: Apache-2.0
// Names for namespaces: a folder of folders.
//
// A name is prepared as ".new-..." and renamed into place; it is taken away by being renamed to ".old-..."
// first. Both happen under a lock (flock(2) on the file .lock, which the kernel gives up for whoever dies),
// so under the lock every folder with such a name is what a crash has left, and is swept up. Leans on: a
// folder that has mounts in it can be renamed; a descriptor of a folder stays right when it is renamed; an
// nsfs file that is bind mounted keeps its namespace alive (namespaces(7)).
#include <ipcns/registry.hpp>

#include "containers.hpp"
#include "errand.hpp"
#include "error.hpp"
#include "folder.hpp"
#include "keeper.hpp"
#include "mounts.hpp"
#include "process_shm.hpp"
#include "procfs.hpp"
#include "random.hpp"
#include "usermap.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/text.hpp>

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>
#include <exception>
#include <memory>
#include <thread>

namespace ipcns {
namespace {

constexpr const char* system_folder = "/run/ipcns";

// What could not be opened for want of descriptors or memory is not taken for something that is not there.
void check_lack(const std::string& what) {
    if (is_our_lack(errno)) fail(what);
}

Fd open_folder_at(int parent, const char* name) {
    return Fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// The folder of a registry, if there is one that can be trusted: below /tmp anybody could have made it.
Fd open_registry(const Registry& registry) {
    Fd folder(::open(registry.folder().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!folder) check_lack("open the folder " + registry.folder().string());
    struct stat about {};
    if (!folder || registry.holding() == Registry::Holding::mounts) return folder;
    if (::fstat(folder.get(), &about) == 0 && about.st_uid == ::geteuid() && (about.st_mode & 022) == 0)
        return folder;
    errno = EPERM;
    return {};
}

std::vector<FolderEntry> entries_of(int folder) {
    auto entries = read_folder(folder);
    if (!entries) fail("read the folder of the names");
    return *std::move(entries);
}

bool is_hidden(std::string_view name) { return name.starts_with(".new-") || name.starts_with(".old-"); }
// That of a Draft, which has a lease: it is what a crash has left when nobody holds that.
bool is_draft(std::string_view name) { return name.starts_with(".draft-"); }

// What to do where a registry's folder cannot be used.
std::string folder_hint(const Registry& registry, int number) {
    const char* where =
        registry.holding() == Registry::Holding::keeper ? ", or set XDG_RUNTIME_DIR to a folder that is" : "";
    switch (number) {
    case EROFS: return std::string("names are kept there: make it writable") + where;
    case EPERM:
    case EACCES: return std::string("it must belong to you and be writable by nobody else") + where;
    case ENOENT: return "the folder above it is missing; is XDG_RUNTIME_DIR right?";
    default: return {};
    }
}

// flock(2), for as long as the registry has patience.
void wait_for_lock(const Registry& registry, int file, int kind, const std::string& what) {
    const auto patience = registry.patience();
    const auto until = std::chrono::steady_clock::now() + patience.value_or(std::chrono::milliseconds(0));
    while (::flock(file, kind | (patience ? LOCK_NB : 0)) != 0) {
        if (errno == EINTR) continue;
        if (errno != EWOULDBLOCK) fail(what);
        if (std::chrono::steady_clock::now() >= until)
            fail(ETIMEDOUT, what, "somebody else holds it all the time");
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

// The lock of a registry, held as long as the object lives.
class Lock {
public:
    Lock(const Registry& registry, int folder)
        : file_(::openat(folder, ".lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600)) {
        const auto path = registry.folder() / ".lock";
        if (!file_) fail("open " + path.string(), folder_hint(registry, errno));
        wait_for_lock(registry, file_.get(), LOCK_EX, "lock " + path.string());
    }

private:
    Fd file_;
};

// Runs something when the scope is left, unless told that all went well.
template <class Undo>
class Rollback {
public:
    explicit Rollback(Undo undo) : undo_(std::move(undo)) {}
    ~Rollback() {
        if (!armed_) return;
        try {
            undo_();
        } catch (const Error&) {
            // What is left over is swept up by the next one.
        }
    }
    Rollback(const Rollback&) = delete;
    Rollback& operator=(const Rollback&) = delete;
    void dismiss() noexcept { armed_ = false; }

private:
    Undo undo_;
    bool armed_ = true;
};

void unmount_all(int folder, const char* name) {
    std::array<char, 64> path;
    std::snprintf(path.data(), path.size(), "/proc/self/fd/%d/%s", folder, name);
    while (::umount2(path.data(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {}
}

// Removes the folder of a name that nobody looks up any more, with the mounts and the keeper in it.
void dispose(int registry, const std::string& name) {
    if (const Fd folder = open_folder_at(registry, name.c_str())) {
        // Without the folder nobody would find the keeper again; the next command tries once more.
        if (!end_keeper(folder.get())) return;
        for (const char* part : {"ipc", "shm", "mqueue"}) unmount_all(folder.get(), part);
        const auto entries = read_folder(folder.get());
        if (!entries) return;
        for (const auto& entry : *entries) {
            if (::unlinkat(folder.get(), entry.name.c_str(), 0) != 0)
                ::unlinkat(folder.get(), entry.name.c_str(), AT_REMOVEDIR);
        }
    }
    if (::unlinkat(registry, name.c_str(), AT_REMOVEDIR) != 0 && errno == ENOTDIR)
        ::unlinkat(registry, name.c_str(), 0); // whatever somebody has put there
}

std::string room_hint(int error) {
    return error == ENOSPC || error == EDQUOT
               ? "the file system in which names live is full: /run for root's, else "
                 "that of XDG_RUNTIME_DIR"
               : "";
}

Fd make_file(int folder, const char* name, mode_t mode) {
    Fd file(::openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file || ::fchmod(file.get(), mode) != 0)
        fail(std::string("make the file ") + name, room_hint(errno));
    return file;
}

Fd make_folder(int parent, const char* name, mode_t mode) {
    const std::string what = std::string("make the folder ") + name;
    if (::mkdirat(parent, name, mode) != 0) fail(what, room_hint(errno));
    Fd folder = open_folder_at(parent, name);
    if (folder && ::fchmod(folder.get(), mode) == 0) return folder;
    const int number = errno;
    (void)::unlinkat(parent, name, AT_REMOVEDIR);
    fail(number, what);
}

void put(int mount, int folder, const char* name) {
    if (mount < 0 || attach_mount(mount, folder, name) != 0) fail(std::string("mount ") + name);
}

// The lease of a name, whether one has it or several share it.
Fd open_lease(int folder) {
    for (const char* name : {"lease", "shares"}) {
        Fd lease(::openat(folder, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
        if (lease || errno != ENOENT) return lease;
    }
    return {};
}

// The same, for as long as the descriptor is open: nobody has it, and nobody gets it meanwhile. None when somebody has it.
// Call it under the registry's lock, or two who ask at once take each other for a holder.
Fd take_lease(int folder) {
    // Out of descriptors, for one: what can't be looked at is not taken for dead.
    Fd lease = open_lease(folder);
    if (lease && ::flock(lease.get(), LOCK_EX | LOCK_NB) != 0) lease.reset();
    // Whoever waits for it is woken when the last holder goes, and has it some time later: it is his from the beginning.
    const Fd waits(lease ? ::openat(folder, "waits", O_RDWR | O_NOFOLLOW | O_CLOEXEC) : -1);
    if (waits && ::flock(waits.get(), LOCK_EX | LOCK_NB) != 0) lease.reset();
    return lease;
}

bool is_same_file(int open, int folder, const char* name) {
    struct stat then {};
    struct stat now {};
    return ::fstat(open, &then) == 0 && ::fstatat(folder, name, &now, AT_SYMLINK_NOFOLLOW) == 0 &&
           then.st_ino == now.st_ino && then.st_dev == now.st_dev;
}

bool exists(int folder, const char* name) {
    return ::faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

// What a folder of a name says; nothing when its namespace is gone.
struct Opened {
    Place place;
    pid_t keeper = 0;
    bool attached = false;
};

std::optional<Opened> open_mounted(int folder, const std::string& path) {
    Fd ipc(::openat(folder, "ipc", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!ipc) check_lack("open " + path + "/ipc");
    if (!ipc || ::ioctl(ipc.get(), NS_GET_NSTYPE) != CLONE_NEWIPC) return std::nullopt;
    Opened opened{{Namespace::from_fd(std::move(ipc)), {}, {}, {}, {}}, 0, exists(folder, "attached")};
    opened.place.shm = Fd(::openat(folder, "shm", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened.place.shm) check_lack("open " + path + "/shm");
    if (opened.place.shm && !is_mount_root(opened.place.shm.get())) opened.place.shm.reset();
    // Only where it was attached without one; else somebody is taking the name away just now.
    if (!opened.place.shm && !opened.attached) return std::nullopt;
    opened.place.shm_from = path + "/shm";
    return opened;
}

// True when this is what a name of root's has for its /dev/shm, and the name is one of this namespace: whoever is inside has it
// by right, whatever user namespace he is in.
bool is_shm_of_name(const Namespace& ipc, int folder) {
    struct stat about {};
    if (::fstat(folder, &about) != 0) return false;
    for (const auto& name : Registry::of_system().list()) {
        struct stat shm {};
        if (name.id == ipc.id() && ::stat((name.path / "shm").c_str(), &shm) == 0 &&
            shm.st_dev == about.st_dev && shm.st_ino == about.st_ino)
            return true;
    }
    return false;
}

// The /dev/shm of a process and the mount namespace that it lies in, for a place that is to be entered.
void find_shm_of(pid_t pid, Place& place) {
    ProcessShm found = open_shm_of(pid);
    if (!found.folder || (!found.sure && !is_shm_of_name(place.ipc, found.folder.get()))) return;
    struct stat own {};
    struct stat theirs {};
    // The same folder of the same file system: nothing to take over.
    if (::fstat(found.folder.get(), &theirs) == 0 && ::stat("/dev/shm", &own) == 0 &&
        own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino)
        return;
    place.shm_from = "/proc/" + std::to_string(pid) + "/root/dev/shm";
    place.shm = std::move(found.folder);
    place.mounts = std::move(found.mounts);
}

ino_t recorded_inode(int folder) {
    const auto text = procfs::read_file(folder, "id", 64);
    return text ? std::strtoull(text->c_str(), nullptr, 10) : 0;
}

std::optional<Opened> open_kept(int folder) {
    const pid_t keeper = find_keeper(folder);
    if (keeper <= 0) return std::nullopt;
    try {
        Opened opened{{Namespace::from_pid(keeper), {}, {}, {}, {}}, keeper, exists(folder, "attached")};
        find_shm_of(keeper, opened.place);
        // Still the same: then all that was opened is the keeper's and not that of a process that got its
        // number.
        if (find_keeper(folder) != keeper) return std::nullopt;
        return opened;
    } catch (const Error& error) {
        if (is_our_lack(error.code().value())) throw;
        // The caller is inside and may not look at the keeper: its own namespace is the one.
        Namespace own = Namespace::current();
        if (error.code().value() != EACCES || own.id().inode != recorded_inode(folder)) return std::nullopt;
        return Opened{{std::move(own), {}, {}, {}, {}}, keeper, exists(folder, "attached")};
    }
}

std::optional<Opened> open_name(const Registry& registry, int folder, const std::string& name) {
    const Fd own = open_folder_at(folder, name.c_str());
    if (!own) check_lack("open the folder of " + name);
    if (!own) return std::nullopt;
    auto opened = registry.holding() == Registry::Holding::mounts
                      ? open_mounted(own.get(), registry.folder() / name)
                      : open_kept(own.get());
    // Still under its name: then nothing was taken away between the opening of its parts.
    if (!opened || !is_same_file(own.get(), folder, name.c_str())) return std::nullopt;
    opened->place.name = name;
    return opened;
}

// True when a name that could not be opened is certainly that of a namespace that is gone.
bool is_dead(const Registry& registry, int folder, const std::string& name) {
    const Fd own = open_folder_at(folder, name.c_str());
    if (!own) return errno == ENOENT;
    if (registry.holding() == Registry::Holding::keeper) return find_keeper(own.get()) == 0;
    const Fd ipc(::openat(own.get(), "ipc", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!ipc) return errno == ENOENT;
    if (::ioctl(ipc.get(), NS_GET_NSTYPE) == CLONE_NEWIPC) return false;
    // To remove the file would also take away a mount on it that only other mount namespaces have.
    InventoryOptions options;
    options.descriptors = InventoryOptions::Descriptors::never;
    options.details = false;
    const std::string path = (registry.folder() / name / "ipc").string();
    const auto inventory = Inventory::take(options);
    return std::none_of(inventory.entries.begin(), inventory.entries.end(), [&](const auto& entry) {
        return std::find(entry.mounts.begin(), entry.mounts.end(), path) != entry.mounts.end();
    });
}

// Lets one user, and nobody else but root, look into a folder. Not as its owner or group: that user could change what is in
// it, and his group has others. A file system without such lists keeps it to root.
void open_to(int folder, uid_t user) {
    constexpr auto nobody = static_cast<__le32>(ACL_UNDEFINED_ID);
    struct {
        posix_acl_xattr_header header;
        posix_acl_xattr_entry entries[5];
    } list{{POSIX_ACL_XATTR_VERSION},
           {{ACL_USER_OBJ, ACL_READ | ACL_WRITE | ACL_EXECUTE, nobody},
            {ACL_USER, ACL_READ | ACL_EXECUTE, user},
            {ACL_GROUP_OBJ, 0, nobody},
            {ACL_MASK, ACL_READ | ACL_EXECUTE, nobody},
            {ACL_OTHER, 0, nobody}}};
    if (::fsetxattr(folder, "system.posix_acl_access", &list, sizeof list, 0) != 0 && errno != EOPNOTSUPP)
        fail("open the folder of a name to user " + std::to_string(user));
}

// True when there is such a name and we may not look into its folder.
bool is_closed(int folder, const std::string& name) {
    return exists(folder, name.c_str()) && ::faccessat(folder, name.c_str(), X_OK, AT_EACCESS) != 0 &&
           errno == EACCES;
}

Namespace make_namespace(const CreateOptions& options) {
    if (options.owner && options.owner_enters && options.owner->user != 0) {
        try {
            return Namespace::create_for(options.owner->user, options.owner->group);
        } catch (const Error& error) {
            // What is forbidden to him.
            const int number = error.code().value();
            if (number != EPERM && number != EACCES && number != ENOSPC && number != EUSERS &&
                number != EINVAL)
                throw;
        }
    }
    return Namespace::create();
}

// Who is inside, without the caller and the keepers of the registry's names: one namespace may have several.
std::vector<pid_t> others_inside(const Registry& registry, const Opened& opened) {
    const NamespaceId id = opened.place.ipc.id();
    auto inside = processes_inside(id);
    std::erase(inside, ::getpid());
    std::erase(inside, opened.keeper);
    if (inside.empty() || registry.holding() == Registry::Holding::mounts) return inside;
    for (const auto& name : registry.list()) {
        if (name.id == id) std::erase(inside, name.keeper);
    }
    return inside;
}

// True when somebody is taking a hidden folder apart right now.
bool is_being_disposed(int folder, const std::string& name) {
    const Fd own = open_folder_at(folder, name.c_str());
    return own && ::flock(own.get(), LOCK_SH | LOCK_NB) != 0;
}

// Clears up after the dead. Call it under the lock.
void sweep(const Registry& registry, int folder) {
    for (const auto& entry : entries_of(folder)) {
        const std::string& name = entry.name;
        if (is_hidden(name)) {
            if (!is_being_disposed(folder, name)) dispose(folder, name);
            continue;
        }
        if (is_draft(name)) {
            const Fd own = open_folder_at(folder, name.c_str());
            if (own && (!exists(own.get(), "lease") || take_lease(own.get()))) dispose(folder, name);
            continue;
        }
        if (!is_name(name) && !is_job_name(name)) continue;
        const Fd own = open_folder_at(folder, name.c_str());
        if (!own) continue;
        if (const Fd lease = take_lease(own.get())) {
            const auto opened = open_name(registry, folder, name);
            const auto inside = opened ? others_inside(registry, *opened) : std::vector<pid_t>{};
            if (inside.empty() && (opened || is_dead(registry, folder, name))) dispose(folder, name);
        } else if (registry.holding() == Registry::Holding::keeper && find_keeper(own.get()) == 0) {
            dispose(folder, name);
        }
    }
}

// Everything in a place's namespace, if nobody is inside but keepers, or @p anyway.
// @param nobody nobody was inside a moment ago, and that is good enough
Leftovers empty_place(const Registry& registry, const Opened& opened, bool anyway, bool nobody) {
    Leftovers removed;
    // Everybody is in there, and nobody wonders about it.
    if (opened.attached && opened.place.ipc.id() == Namespace::host_id()) return removed;
    if (!nobody) removed.inside = others_inside(registry, opened);
    if (opened.attached || (!removed.inside.empty() && !anyway)) return removed;
    auto inside = std::move(removed.inside);
    removed = remove_contents(opened.place);
    removed.inside = std::move(inside);
    return removed;
}

// Sends a signal to each process that is inside and waits for them to end, until the time is over. True when
// nobody is left.
bool end_processes(const Registry& registry, const Opened& opened, const std::optional<uid_t>& only,
                   int signal, std::chrono::milliseconds patience) {
    const auto until = std::chrono::steady_clock::now() + patience;
    std::vector<pid_t> told;
    const auto who = [&] {
        auto inside = others_inside(registry, opened);
        std::erase_if(inside, [&](pid_t pid) {
            const auto process = only ? describe_process(pid) : std::nullopt;
            return process && process->user != *only;
        });
        return inside;
    };
    for (;;) {
        const auto inside = who();
        if (inside.empty()) return true;
        for (const pid_t pid : inside) {
            const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
            if (!process) continue;
            // Still inside: then the pidfd is of one of those that are meant.
            if (std::find(told.begin(), told.end(), pid) == told.end()) {
                try {
                    if (Namespace::from_pid(pid).id() != opened.place.ipc.id()) continue;
                } catch (const Error&) {
                    continue;
                }
                told.push_back(pid);
                if (::syscall(SYS_pidfd_send_signal, process.get(), signal, nullptr, 0) != 0 &&
                    errno == EPERM)
                    fail("end process " + std::to_string(pid), "it belongs to somebody else");
            }
            const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
                until - std::chrono::steady_clock::now());
            struct pollfd polled {
                process.get(), POLLIN, 0
            };
            if (left.count() > 0) ::poll(&polled, 1, static_cast<int>(left.count()));
        }
        if (std::chrono::steady_clock::now() >= until) return who().empty();
    }
}

// What a name of root's is made of, before it lies in a folder: the namespace, its /dev/shm and its queues, as mounts
// that are attached to nothing.
struct MountedParts {
    Namespace ipc;
    Fd shm;
    Fd queues;
};

MountedParts new_parts(const CreateOptions& options) {
    MountedParts parts{make_namespace(options), {}, {}};
    parts.ipc.call([&] {
        (void)set_limits(options.limits);
        parts.queues = mount_queues();
    });
    const std::string size = shm_size_option(options.shm_size);
    parts.shm = Fd(new_tmpfs(size.c_str()));
    if (!parts.shm) fail("mount shm");
    return parts;
}

// Those of a namespace that somebody else made.
MountedParts parts_of(const Place& place) {
    MountedParts parts{place.ipc.duplicate(), {}, {}};
    parts.ipc.call([&] { parts.queues = mount_queues(); });
    if (!place.shm) return parts;
    errand("start a helper process", 0, [&] {
        if (place.mounts && ::setns(place.mounts.get(), CLONE_NEWNS) != 0)
            fail("join the mount namespace of " + place.shm_from);
        parts.shm = Fd(copy_mount(place.shm.get()));
        if (!parts.shm) fail("take over " + place.shm_from);
    });
    return parts;
}

void put_mounts(int own, const MountedParts& parts) {
    make_file(own, "ipc", 0444);
    put(Fd(copy_mount(parts.ipc.fd())).get(), own, "ipc");
    make_folder(own, "shm", 0755);
    if (parts.shm) put(parts.shm.get(), own, "shm");
    make_folder(own, "mqueue", 0755);
    if (parts.queues) put(parts.queues.get(), own, "mqueue");
}

StartedKeeper put_keeper(int own, const std::string& name, const std::filesystem::path& path,
                         const CreateOptions& options, const Place* attached) {
    make_file(own, "keeper", 0600);
    StartedKeeper keeper = start_keeper(name, path.string(), options, attached);
    // For whoever may not look at the keeper: a program in its own inner user namespace, for one.
    const std::string inode = std::to_string(Namespace::from_pid(keeper.pid).id().inode);
    const Fd id = make_file(own, "id", 0644);
    if (::write(id.get(), inode.data(), inode.size()) != static_cast<ssize_t>(inode.size()))
        fail("write the file id");
    const std::string process = "/proc/" + std::to_string(keeper.pid);
    const std::pair<const char*, const char*> links[] = {
        {"ipc", "/ns/ipc"}, {"shm", "/root/dev/shm"}, {"mqueue", "/root/dev/mqueue"}};
    for (const auto& [link, place] : links) {
        if (::symlinkat((process + place).c_str(), own, link) != 0)
            fail(std::string("make the link ") + link, room_hint(errno));
    }
    return keeper;
}

// What is the matter with a name that is there and cannot be opened.
std::string why_not_from_here(const Registry& registry, int folder, const std::string& name) {
    if (!open_folder_at(folder, name.c_str()) && (errno == ENOTDIR || errno == ELOOP))
        return (registry.folder() / name).string() + " is there, and no name: move it away";
    return registry.holding() == Registry::Holding::mounts
               ? "its mounts lie in another mount namespace: use it there"
               : "its keeper runs outside this user or pid namespace: use it there";
}

// Makes sure that nothing has a name yet, but what is dead.
void make_free(const Registry& registry, int folder, const std::string& name, const std::string& what) {
    if (!exists(folder, name.c_str())) return;
    if (open_name(registry, folder, name))
        fail(EEXIST, what,
             "`ipcns delete " + name + "` takes the name away, `ipcns exec " + name + "` enters it");
    if (!is_dead(registry, folder, name)) fail(EEXIST, what, why_not_from_here(registry, folder, name));
    dispose(folder, name); // its namespace is gone, as after a reboot with a /run that is kept
}

void appear(int folder, const std::string& hidden, const std::string& name, const std::string& what) {
    if (::syscall(SYS_renameat2, folder, hidden.c_str(), folder, name.c_str(), 1U /* RENAME_NOREPLACE */) !=
        0)
        fail(what);
}

// Tells a keeper that its name has appeared. A name without one does not stay.
void stay(const StartedKeeper& keeper, int folder, const std::string& name, const std::string& what) {
    // Who is not there any more must not end us by a signal.
    if (!keeper.channel || ::send(keeper.channel.get(), "g", 1, MSG_NOSIGNAL) == 1) return;
    const int number = errno;
    dispose(folder, name);
    if (number != EPIPE && number != ECONNRESET) fail(number, what);
    fail(ECANCELED, what, "its keeper process was killed");
}

// The end of a name.
// @param unused only if nobody holds its lease and nobody is inside
// @param anyway, nobody see empty_place()
// @return nothing when somebody holds it
std::optional<Leftovers> take_away(const Registry& registry, int folder, const std::string& name, bool unused,
                                   bool anyway, bool nobody) {
    const std::string hidden = random_name(".old-");
    std::optional<Opened> opened;
    Leftovers left;
    // Each mount that goes waits for an RCU grace period, which on a busy machine takes long. So that is done without the
    // lock of the registry, under one of its own, which tells others to leave it to us.
    Fd own;
    {
        const Lock lock(registry, folder);
        Fd lease;
        own = open_folder_at(folder, name.c_str());
        if (own) (void)::flock(own.get(), LOCK_EX | LOCK_NB);
        if (unused) {
            if (!own || !open_lease(own.get())) fail("find the lease of " + name);
            lease = take_lease(own.get());
            if (!lease) return std::nullopt;
        }
        opened = open_name(registry, folder, name);
        if (unused && opened) {
            Leftovers none;
            none.inside = others_inside(registry, *opened);
            if (!none.inside.empty()) return none;
        }
        left.unknown = !opened && !is_dead(registry, folder, name);
        if (::renameat(folder, name.c_str(), folder, hidden.c_str()) != 0)
            fail("delete " + name, errno == ENOENT ? "somebody else has deleted it just now" : "");
    }
    Rollback finish([&] {
        dispose(folder, hidden);
        const Lock lock(registry, folder);
        sweep(registry, folder);
    });
    if (!opened) return left;
    try {
        return empty_place(registry, *opened, anyway, nobody);
    } catch (const Error& error) {
        fail(error.code().value(), "empty " + name + ", whose name is gone",
             error.what() + (error.hint().empty() ? "" : ": " + error.hint()));
    }
}

// As the effective user, who is going to.
bool may_write(const std::string& folder) {
    return ::faccessat(AT_FDCWD, folder.c_str(), W_OK, AT_EACCESS) == 0;
}

std::string user_folder() {
    const char* given = ::secure_getenv("XDG_RUNTIME_DIR");
    if (given != nullptr && given[0] == '/') return std::string(given) + "/ipcns";
    const std::string uid = std::to_string(::geteuid());
    if (may_write("/run/user/" + uid)) return "/run/user/" + uid + "/ipcns";
    return "/tmp/ipcns-" + uid;
}

} // namespace

Registry Registry::of_system() { return {system_folder, Holding::mounts}; }

Registry Registry::of_caller() {
    // Root of a container's user namespace may mount, but not write to a /run that belongs to the host.
    if (::geteuid() == 0 && has_sys_admin() &&
        (may_write(system_folder) || may_write("/run") || errno != EACCES))
        return of_system();
    return {user_folder(), Holding::keeper};
}

void Registry::prepare() const {
    const std::string what = "make the folder " + folder_.string();
    const bool mounts = holding_ == Holding::mounts;
    if (::mkdir(folder_.c_str(), mounts ? 0755 : 0700) != 0 && errno != EEXIST)
        fail(what, folder_hint(*this, errno));
    const Fd folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat about {};
    if (!folder || ::fstat(folder.get(), &about) != 0)
        fail("open the folder " + folder_.string(), folder_hint(*this, errno));
    if (about.st_uid != ::geteuid() || (about.st_mode & 022) != 0)
        fail(EPERM, "use the folder " + folder_.string(), folder_hint(*this, EPERM));
    if (!mounts) return;
    if (is_mount_root(folder.get())) return;
    const Lock lock(*this, folder.get());
    // Looked up again: somebody else may have done it while we waited.
    const Fd now(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (now && is_mount_root(now.get())) return;
    // A mount of its own that is shared, so that names made later appear in mount namespaces that were made earlier. And a
    // tmpfs, since not every /run is one: names don't outlive the system's end, and are not written to a disk.
    const Fd mount(new_tmpfs("", "0755"));
    struct mount_attr shared {};
    shared.propagation = MS_SHARED;
    if (!mount || ::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &shared, sizeof shared) != 0 ||
        attach_mount(mount.get(), AT_FDCWD, folder_.c_str()) != 0)
        fail("make " + folder_.string() + " a shared mount", "CAP_SYS_ADMIN and Linux 5.12 are needed");
}

Fd Registry::add(std::string_view name, const CreateOptions& options, const Place* attached,
                 Lease kind) const {
    if (!options.owner || !is_job_name(name)) check_name(name);
    if (options.owner && holding_ == Holding::keeper)
        throw UsageError("a name can only be made for somebody else where mounts hold it");
    const std::string wanted(name);
    const std::string what = (attached != nullptr ? "attach " : "create ") + wanted;
    prepare();
    const Fd folder = open_registry(*this);
    if (!folder) fail("open the folder " + folder_.string());
    const Lock lock(*this, folder.get());
    sweep(*this, folder.get());
    make_free(*this, folder.get(), wanted, what);

    const std::string hidden = random_name(".new-");
    const Fd own = make_folder(folder.get(), hidden.c_str(), options.owner || options.secluded ? 0700 : 0755);
    Rollback undo([&] { dispose(folder.get(), hidden); });
    if (options.owner) open_to(own.get(), options.owner->user);
    Fd lease;
    if (kind != Lease::none) {
        const bool single = kind == Lease::single;
        lease = make_file(own.get(), single ? "lease" : "shares", 0600);
        if (::flock(lease.get(), (single ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0)
            fail("lock the lease of " + wanted);
        if (!single) make_file(own.get(), "waits", 0600);
    }
    if (attached != nullptr) make_file(own.get(), "attached", 0644);

    StartedKeeper keeper;
    if (holding_ == Holding::keeper)
        keeper = put_keeper(own.get(), wanted, folder_ / hidden, options, attached);
    else
        put_mounts(own.get(), attached != nullptr ? parts_of(*attached) : new_parts(options));
    appear(folder.get(), hidden, wanted, what);
    undo.dismiss();
    stay(keeper, folder.get(), wanted, what);
    return lease;
}

void Registry::create(std::string_view name, const CreateOptions& options) const {
    (void)add(name, options, nullptr, Lease::none);
}

Fd Registry::create_leased(std::string_view name, const CreateOptions& options) const {
    return add(name, options, nullptr, Lease::single);
}

std::optional<SharedName> Registry::join(const std::string& name) const {
    const Fd folder = open_registry(*this);
    const Fd own = folder ? open_folder_at(folder.get(), name.c_str()) : Fd();
    if (!own) return std::nullopt;
    SharedName shared{{Namespace::current(), {}, {}, {}, {}}, {}, false};
    shared.lease = Fd(::openat(own.get(), "shares", O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (shared.lease)
        wait_for_lock(*this, shared.lease.get(), LOCK_SH, "share the lease of " + name);
    else if (errno != ENOENT)
        fail("open the lease of " + name);
    // While we waited, whoever had it to himself may have taken the name away; with the lease nobody does any more.
    auto opened = open_name(*this, folder.get(), name);
    if (!opened || !is_same_file(own.get(), folder.get(), name.c_str())) return std::nullopt;
    shared.place = std::move(opened->place);
    return shared;
}

SharedName Registry::share(std::string_view name, const CreateOptions& options) const {
    check_name(name);
    const std::string wanted(name);
    // Others may make the name or take it away in between; each time that happens, one of them has got on.
    for (int tries = 1;; ++tries) {
        if (auto shared = join(wanted)) return std::move(*shared);
        Fd lease;
        try {
            lease = add(name, options, nullptr, Lease::shared);
        } catch (const Error& error) {
            if (error.code().value() != EEXIST || tries == 100) throw;
            continue;
        }
        try {
            return {open(name), std::move(lease), true};
        } catch (...) {
            lease.reset();
            try {
                (void)remove_unused(name);
            } catch (const Error&) {
                // Then the next change to the registry does it.
            }
            throw;
        }
    }
}

Fd Registry::outlast(std::string_view name, const std::function<void()>& waiting) const {
    check_name(name);
    const std::string what = "wait for the lease of " + std::string(name);
    const Fd folder = open_registry(*this);
    const Fd own = folder ? open_folder_at(folder.get(), std::string(name).c_str()) : Fd();
    Fd lease = own ? Fd(::openat(own.get(), "shares", O_RDWR | O_NOFOLLOW | O_CLOEXEC)) : Fd();
    if (!lease) fail(what);
    const Fd waits(::openat(own.get(), "waits", O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    if (!waits) fail(what);
    wait_for_lock(*this, waits.get(), LOCK_SH, what);
    if (waiting) waiting();
    wait_for_lock(*this, lease.get(), LOCK_EX, what);
    wait_for_lock(*this, lease.get(), LOCK_SH, what);
    return lease;
}

void Registry::attach(std::string_view name, const Place& place) const {
    (void)add(name, {}, &place, Lease::none);
}

// ---- Drafts ------------------------------------------------------------------------------------------------------

struct Registry::Draft::Parts {
    Registry registry;
    std::string name;
    std::string what;
    Fd folder; // of the registry
    Place place;
    // Where mounts hold a namespace, it is there for as long as its descriptors are open, and nobody sees it.
    std::optional<MountedParts> mounted;
    // A keeper needs its folder from the beginning.
    std::string hidden;
    Fd lease;
    StartedKeeper keeper;
};

Registry::Draft::Draft(std::unique_ptr<Parts> parts) noexcept : parts_(std::move(parts)) {}
Registry::Draft::Draft(Draft&&) noexcept = default;
Registry::Draft& Registry::Draft::operator=(Draft&&) noexcept = default;

Registry::Draft::~Draft() {
    if (!parts_ || parts_->hidden.empty()) return;
    try {
        const Lock lock(parts_->registry, parts_->folder.get());
        dispose(parts_->folder.get(), parts_->hidden);
    } catch (const Error&) {
        // The keeper ends when its channel is closed, and the next command takes the folder away.
    }
}

const Place& Registry::Draft::place() const noexcept { return parts_->place; }

Registry::Draft Registry::draft(std::string_view name, const CreateOptions& options) const {
    check_name(name);
    auto parts = std::make_unique<Draft::Parts>(Draft::Parts{*this,
                                                             std::string(name),
                                                             "create " + std::string(name),
                                                             {},
                                                             {Namespace::current(), {}, {}, {}, {}},
                                                             {},
                                                             {},
                                                             {},
                                                             {}});
    prepare();
    parts->folder = open_registry(*this);
    if (!parts->folder) fail("open the folder " + folder_.string());
    const int folder = parts->folder.get();
    const Lock lock(*this, folder);
    sweep(*this, folder);
    make_free(*this, folder, parts->name, parts->what);
    if (holding_ == Holding::mounts) {
        parts->mounted = new_parts(options);
        parts->place.ipc = parts->mounted->ipc.duplicate();
        parts->place.shm = parts->mounted->shm.duplicate();
        return Draft(std::move(parts));
    }
    const std::string hidden = random_name(".draft-");
    const Fd own = make_folder(folder, hidden.c_str(), 0755);
    Rollback undo([&] { dispose(folder, hidden); });
    parts->lease = make_file(own.get(), "lease", 0600);
    if (::flock(parts->lease.get(), LOCK_EX | LOCK_NB) != 0) fail("lock the lease of " + parts->name);
    parts->keeper = put_keeper(own.get(), parts->name, folder_ / hidden, options, nullptr);
    parts->place.ipc = Namespace::from_pid(parts->keeper.pid);
    find_shm_of(parts->keeper.pid, parts->place);
    undo.dismiss();
    parts->hidden = hidden;
    return Draft(std::move(parts));
}

void Registry::Draft::publish() {
    Parts& parts = *parts_;
    const int folder = parts.folder.get();
    const Lock lock(parts.registry, folder);
    make_free(parts.registry, folder, parts.name, parts.what);
    if (parts.mounted) {
        const std::string hidden = random_name(".new-");
        const Fd own = make_folder(folder, hidden.c_str(), 0755);
        Rollback undo([&] { dispose(folder, hidden); });
        put_mounts(own.get(), *parts.mounted);
        appear(folder, hidden, parts.name, parts.what);
        undo.dismiss();
        return;
    }
    const Fd own = open_folder_at(folder, parts.hidden.c_str());
    if (!own || ::unlinkat(own.get(), "lease", 0) != 0) fail(parts.what);
    appear(folder, parts.hidden, parts.name, parts.what);
    parts.hidden.clear();
    stay(parts.keeper, folder, parts.name, parts.what);
}

namespace {

// What to do about a name that there is not: names of the caller's and of the system's may have been meant.
std::string hint_for_missing(std::string_view name) {
    std::vector<std::string> names;
    for (const Registry& registry : {Registry::of_caller(), Registry::of_system()}) {
        // Nobody types the name of a job, and who makes one looks first whether it is there: that is to take no time.
        const Fd folder = is_job_name(name) ? Fd() : open_registry(registry);
        if (!folder) continue;
        const auto entries = read_folder(folder.get());
        if (!entries) continue; // what there is none of is the answer
        for (const auto& one : *entries) {
            if (is_name(one.name)) names.push_back(one.name);
        }
    }
    const auto is_same_letter = [](char a, char b) {
        return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
    };
    const auto same = std::find_if(names.begin(), names.end(), [&](const std::string& one) {
        return std::equal(one.begin(), one.end(), name.begin(), name.end(), is_same_letter);
    });
    // Two letters more or less make any short name of any other.
    constexpr std::size_t long_enough = 4;
    std::string_view near;
    if (same != names.end())
        near = *same;
    else if (name.size() >= long_enough)
        near = nearest(name, std::vector<std::string_view>(names.begin(), names.end()));
    std::string hint;
    if (!near.empty()) hint.append("did you mean ").append(near).append("? ");
    return hint += "`ipcns list` shows the names there are";
}

} // namespace

Place Registry::open(std::string_view name) const {
    if (!is_job_name(name)) check_name(name);
    const Fd folder = open_registry(*this);
    std::optional<Opened> opened;
    if (folder) opened = open_name(*this, folder.get(), std::string(name));
    if (!opened && folder && is_closed(folder.get(), std::string(name)))
        fail(EACCES, "find the namespace " + std::string(name),
             "it belongs to somebody else: be that user, or root");
    if (!opened && folder && exists(folder.get(), std::string(name).c_str())) {
        const bool dead = is_dead(*this, folder.get(), std::string(name));
        fail(dead || holding_ == Holding::mounts ? ENOENT : EACCES, "find the namespace " + std::string(name),
             dead ? "it is gone; `ipcns delete " + std::string(name) + "` takes the name away, too"
                  : why_not_from_here(*this, folder.get(), std::string(name)));
    }
    if (!opened) fail(ENOENT, "find the namespace " + std::string(name), hint_for_missing(name));
    return std::move(opened->place);
}

std::vector<RegisteredName> Registry::list() const {
    std::vector<RegisteredName> names;
    const Fd folder = open_registry(*this);
    if (!folder) return names;
    for (const auto& entry : entries_of(folder.get())) {
        const std::string& name = entry.name;
        if (!is_name(name) && !is_job_name(name)) continue;
        const auto opened = open_name(*this, folder.get(), name);
        struct stat about {};
        if (!opened || ::fstatat(folder.get(), name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
        names.push_back(
            {name, opened->place.ipc.id(), about.st_uid, opened->keeper, opened->attached, folder_ / name});
    }
    return names;
}

Leftovers Registry::remove(std::string_view name, const DeleteOptions& options) const {
    if (!is_job_name(name)) check_name(name);
    const std::string wanted(name);
    const std::string what = "delete " + wanted;
    const Fd folder = open_registry(*this);
    struct stat about {};
    if (!folder || ::fstatat(folder.get(), wanted.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) {
        const bool roots = folder_ != system_folder &&
                           exists(AT_FDCWD, (std::filesystem::path(system_folder) / wanted).c_str());
        fail(roots ? EPERM : ENOENT, what,
             roots ? "the name is root's" : "there is no such name; `ipcns list` shows those there are");
    }
    if (about.st_uid != ::geteuid())
        fail(EPERM, what, "the name belongs to user " + std::to_string(about.st_uid));
    if (holding_ == Holding::keeper) {
        const Fd own = open_folder_at(folder.get(), wanted.c_str());
        if (own && find_keeper(own.get()) < 0)
            fail(EPERM, what, "its keeper runs outside this pid namespace: delete it there");
    }
    bool nobody = false;
    if (options.kill) {
        if (const auto opened = open_name(*this, folder.get(), wanted)) {
            if (opened->place.ipc.id() == Namespace::host_id())
                fail(EPERM, what, "it names the host's own namespace: --kill would end every process");
            // To look for them takes long where there are many processes.
            nobody = options.empty_anyway && others_inside(*this, *opened).empty();
            if (!nobody && !end_processes(*this, *opened, options.kill_only, SIGTERM, options.grace) &&
                !end_processes(*this, *opened, options.kill_only, SIGKILL, std::chrono::seconds(10)))
                fail(EBUSY, what, "processes inside do not end");
        } else if (!is_dead(*this, folder.get(), wanted)) {
            fail(EACCES, what,
                 "who is inside cannot be found out: " + why_not_from_here(*this, folder.get(), wanted));
        }
    }
    return *take_away(*this, folder.get(), wanted, false, options.empty_anyway, nobody);
}

std::optional<Leftovers> Registry::remove_unused(std::string_view name) const {
    check_name(name);
    const Fd folder = open_registry(*this);
    if (!folder) fail("open the folder " + folder_.string());
    return take_away(*this, folder.get(), std::string(name), true, false, false);
}

std::string describe(const Leftovers& left) {
    std::string text;
    const auto add = [&](std::size_t count, const char* one, const char* many, std::uint64_t bytes = 0) {
        if (count == 0) return;
        if (!text.empty()) text += ", ";
        text += std::to_string(count) + " " + (count == 1 ? one : many);
        if (bytes != 0) text += " (" + format_size(bytes) + ")";
    };
    add(left.sysv.queues, "message queue", "message queues");
    add(left.sysv.semaphore_sets, "semaphore set", "semaphore sets");
    add(left.sysv.segments, "shared memory segment", "shared memory segments", left.sysv.segment_bytes);
    add(left.queues.files, "POSIX queue", "POSIX queues");
    add(left.files.files, "file in /dev/shm", "files in /dev/shm", left.files.bytes);
    return text.empty() ? "nothing" : text;
}

bool has_own_shm(const Place& place) {
    struct stat own {};
    struct stat host {};
    if (!place.shm) return false;
    if (::fstat(place.shm.get(), &own) != 0) fail("look at the /dev/shm of a namespace");
    return ::stat("/proc/1/root/dev/shm", &host) != 0 || own.st_dev != host.st_dev ||
           own.st_ino != host.st_ino;
}

namespace {

// Those of the namespace that the calling thread is in, also for who may not mount them; nothing where the kernel has none.
Fd queues_here() {
    QueueFolder queues = open_queues();
    if (!queues && queues.missing != QueueFolder::Missing::no_queues)
        fail(EPERM, "find the POSIX queues of a namespace", queues.why);
    return std::move(queues.folder);
}

} // namespace

Leftovers count_contents(const Place& place) {
    Leftovers found;
    const bool own_shm = has_own_shm(place);
    place.ipc.call([&] {
        found.sysv = sysv_usage();
        if (const Fd queues = queues_here()) found.queues = files_usage(queues.get());
        if (own_shm) found.files = files_usage(place.shm.get());
    });
    return found;
}

Leftovers remove_contents(const Place& place) {
    if (place.ipc.id() == Namespace::host_id())
        fail(EPERM, "remove all that is in the host's namespace", "every program on the host uses it");
    Leftovers removed;
    const bool own_shm = has_own_shm(place);
    std::exception_ptr first;
    const auto go_on = [&first](auto work) {
        try {
            work();
        } catch (const Error&) {
            if (!first) first = std::current_exception();
        }
    };
    place.ipc.call([&] {
        go_on([&] { removed.sysv = remove_all_sysv(); });
        go_on([&] {
            if (const Fd queues = queues_here()) removed.queues = remove_all_files(queues.get());
        });
        if (own_shm) go_on([&] { removed.files = remove_all_files(place.shm.get()); });
    });
    if (first) std::rethrow_exception(first);
    return removed;
}

namespace {

// The place of the process behind a pidfd.
Place place_of(pid_t pid, const Fd& process) {
    Place place{Namespace::from_pid(pid), {}, {}, {}, {}};
    find_shm_of(pid, place);
    // Still alive: then all that was opened by the number is this process's.
    struct pollfd ended {
        process.get(), POLLIN, 0
    };
    if (::poll(&ended, 1, 0) > 0) fail(ESRCH, "find process " + std::to_string(pid));
    return place;
}

// A job's name as it is registered: several nodes on one host have their own names, each with "@NODE" at its end.
std::string name_with_node(const Registry& registry, const std::string& name) {
    if (name.find('@') != std::string::npos || exists(AT_FDCWD, (registry.folder() / name).c_str()))
        return name;
    std::vector<std::string> fitting;
    std::string parts; // of the job, where it has no namespace that is all its own
    for (const auto& registered : registry.list()) {
        if (registered.name.starts_with(name + "@")) fitting.push_back(registered.name);
        if (registered.name.starts_with(name + ".")) parts += (parts.empty() ? "" : ", ") + registered.name;
    }
    if (fitting.size() == 1) return fitting.front();
    const std::string what = "find the namespace " + name;
    if (fitting.size() > 1) fail(ENOTUNIQ, what, "say which: " + fitting[0] + " or " + fitting[1]);
    fail(ENOENT, what, parts.empty() ? "`ipcns list` shows the names there are" : "there is " + parts);
}

} // namespace

Place resolve(const Target& target) {
    switch (target.kind) {
    case Target::Kind::name: {
        const Registry own = Registry::of_caller();
        const Registry system = Registry::of_system();
        if (own.folder() != system.folder() && exists(AT_FDCWD, (own.folder() / target.name).c_str()))
            return own.open(target.name);
        return system.open(is_job_name(target.name) ? name_with_node(system, target.name) : target.name);
    }
    case Target::Kind::pid: {
        const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, target.pid, 0)));
        if (!process) fail("find process " + std::to_string(target.pid));
        return place_of(target.pid, process);
    }
    case Target::Kind::oci: {
        const ContainerProcess container = find_container(target.container);
        return place_of(container.pid, container.process);
    }
    case Target::Kind::self: return {Namespace::current(), {}, {}, {}, {}};
    case Target::Kind::host: {
        Place place{Namespace::host(), {}, {}, {}, {}};
        find_shm_of(1, place);
        return place;
    }
    case Target::Kind::path:
    case Target::Kind::inode: break;
    }
    Namespace found = resolve_namespace(target);
    for (const Registry& registry : {Registry::of_caller(), Registry::of_system()}) {
        for (const auto& name : registry.list()) {
            if (name.id == found.id()) return registry.open(name.name);
        }
    }
    Place place{std::move(found), {}, {}, {}, {}};
    if (place.ipc.id() == Namespace::current().id()) return place;
    const auto inside = processes_inside(place.ipc.id());
    if (!inside.empty()) find_shm_of(inside.front(), place);
    return place;
}

Namespace resolve_namespace(const Target& target) {
    switch (target.kind) {
    case Target::Kind::pid: return Namespace::from_pid(target.pid);
    case Target::Kind::host: return Namespace::host();
    case Target::Kind::self: return Namespace::current();
    case Target::Kind::path: return Namespace::from_path(target.path);
    case Target::Kind::inode: return Namespace::from_inode(target.inode);
    case Target::Kind::name:
    case Target::Kind::oci: break;
    }
    return resolve(target).ipc;
}

} // namespace ipcns
