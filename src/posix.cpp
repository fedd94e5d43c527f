// SPDX-License-Identifier: Apache-2.0
// POSIX objects as files. Leans on: a POSIX queue is a file in the root of a mount of type mqueue, whose text
// tells its bytes and who is to be notified (mq_overview(7)); one opened there is as good for mq_getattr(3) as
// one of mq_open(3). Shared memory objects and named semaphores are files of a tmpfs (shm_overview(7),
// sem_overview(7)); a file of a tmpfs can be made without a name and get it when it is whole (open(2),
// O_TMPFILE). Unlinking frees at once what nobody has open.
#include <ipcns/posix.hpp>

#include "error.hpp"
#include "folder.hpp"
#include "mounts.hpp"

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <mqueue.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string_view>
#include <utility>
#include <variant>

namespace ipcns {
namespace {

constexpr long mqueue_magic = 0x19800202;
constexpr const char* no_queues_here = "this kernel has no POSIX message queues (CONFIG_POSIX_MQUEUE)";

// ---- Names -------------------------------------------------------------------------------------------------------

enum class Kind { queue, memory, semaphore };

const char* name_of(Kind kind) {
    switch (kind) {
    case Kind::queue: return "POSIX queue";
    case Kind::memory: return "shared memory object";
    case Kind::semaphore: break;
    }
    return "named semaphore";
}

// "open the POSIX queue /jobs": for messages.
std::string doing(const char* what, Kind kind, const std::string& name) {
    return std::string(what) + " the " + name_of(kind) + " " + escape(name);
}

std::string_view prefix_of(Kind kind) { return kind == Kind::semaphore ? "sem." : ""; }

// The name without its slash, checked by the rules of the kernel for queues, of glibc for the others.
std::string_view checked(Kind kind, const std::string& name) {
    const std::string_view prefix = prefix_of(kind);
    const std::size_t longest = NAME_MAX - prefix.size();
    const std::string_view rest = std::string_view(name).substr(name.empty() ? 0 : 1);
    const bool dots = prefix.empty() && (rest == "." || rest == "..");
    if (name.empty() || name[0] != '/' || rest.empty() || rest.size() > longest || dots ||
        rest.find('/') != std::string_view::npos || rest.find('\0') != std::string_view::npos)
        throw UsageError(
            "'" + escape(name) + "' is no name for a " + name_of(kind),
            "a name is a slash and 1 to " + std::to_string(longest) + " bytes without another slash: /jobs");
    return rest;
}

// The file of an object in its folder.
std::string file_of(Kind kind, const std::string& name) {
    const std::string_view rest = checked(kind, name);
    return std::string(prefix_of(kind)).append(rest);
}

// ---- Folders -----------------------------------------------------------------------------------------------------

// A folder below @p parent, opened without following a link or crossing into another mount.
Fd open_folder(int parent, const char* name) {
    struct open_how how {};
    how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
    return Fd(static_cast<int>(::syscall(SYS_openat2, parent, name, &how, sizeof how)));
}

void keep_first(int& first_error) {
    if (first_error == 0) first_error = errno;
}

// What lies in a folder; nothing and an error when it cannot be read.
std::vector<FolderEntry> names_in(int folder, int& first_error) {
    if (auto names = read_folder(folder)) return *std::move(names);
    keep_first(first_error);
    return {};
}

// Removes one file; its bytes are counted when this was its last name.
void remove_file(int folder, const std::string& name, FilesUsage& removed, int& first_error) {
    struct stat about {};
    const bool known = ::fstatat(folder, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0;
    if (::unlinkat(folder, name.c_str(), 0) != 0) {
        if (errno != ENOENT) keep_first(first_error);
        return;
    }
    ++removed.files;
    if (known && about.st_nlink == 1) removed.bytes += static_cast<std::uint64_t>(about.st_blocks) * 512;
}

// Moves a folder up into @p top under a name that is free there.
bool move_up(int from, const std::string& name, int top, std::size_t& number) {
    do {
        const std::string up =
            ".ipcns-removing-" + std::to_string(::getpid()) + "-" + std::to_string(number++);
        if (::renameat(from, name.c_str(), top, up.c_str()) == 0) return true;
        // Otherwise a file has that name, or a folder that is not empty.
    } while (errno == ENOTDIR || errno == ENOTEMPTY || errno == EEXIST);
    return false;
}

// Looks at NAME in a folder (or, with an empty name, at the folder or file itself); links are not followed.
// @return false with errno
bool look(int folder, const char* name, struct statx& about) {
    constexpr int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;
    return ::statx(folder, name, flags, STATX_BASIC_STATS | STATX_BTIME, &about) == 0;
}

// Errors that mean: it is not there (any more), or a link is in its place now.
bool is_gone(int number) { return number == ENOENT || number == ELOOP; }

std::vector<FolderEntry> read_names(int folder, const char* what) {
    int error = 0;
    auto names = names_in(folder, error);
    if (error != 0) fail(error, what);
    return names;
}

Moment moment(const struct statx_timestamp& time) {
    return std::chrono::sys_seconds(std::chrono::seconds(time.tv_sec));
}

void describe(PosixRecord& record, std::string name, const struct statx& about) {
    record.name = std::move(name);
    record.file = {::makedev(about.stx_dev_major, about.stx_dev_minor), about.stx_ino};
    record.who = {about.stx_uid, about.stx_gid, static_cast<mode_t>(about.stx_mode & 07777U)};
    record.accessed = moment(about.stx_atime);
    record.modified = moment(about.stx_mtime);
    record.changed = moment(about.stx_ctime);
    if ((about.stx_mask & STATX_BTIME) != 0)
        record.born = std::chrono::sys_time<std::chrono::nanoseconds>(
            std::chrono::seconds(about.stx_btime.tv_sec) + std::chrono::nanoseconds(about.stx_btime.tv_nsec));
}

std::uint64_t allocated_bytes(const struct statx& about) { return about.stx_blocks * 512; }

// ---- Queues ------------------------------------------------------------------------------------------------------

void check_folder_of_queues(int folder) {
    struct statfs about {};
    if (::fstatfs(folder, &about) != 0) fail("look at a folder of POSIX queues");
    if (about.f_type != mqueue_magic)
        fail(EINVAL, "list POSIX queues", "the folder is no mount of them (mount -t mqueue)");
}

// The kernel counts 20 bytes for each entry of such a folder, "." and ".." among them (ipc/mqueue.c); should it ever
// count otherwise, the folder is read.
bool has_no_entries(int folder) {
    struct stat about {};
    return ::fstat(folder, &about) == 0 && about.st_size == 40;
}

// The number behind a word of what reading a queue gives: "QSIZE:129 NOTIFY:2 SIGNO:0 NOTIFY_PID:8260".
std::uint64_t number_behind(std::string_view text, std::string_view word) {
    const auto at = text.find(word);
    std::uint64_t number = 0;
    if (at != std::string_view::npos)
        std::from_chars(text.data() + at + word.size(), text.data() + text.size(), number);
    return number;
}

// Fills in what only someone who may read the queue is told.
void read_state(int queue, PosixQueueRecord& record) {
    struct mq_attr attributes {};
    if (::mq_getattr(queue, &attributes) != 0) return;
    std::array<char, 128> buffer;
    const ssize_t length = ::pread(queue, buffer.data(), buffer.size(), 0);
    if (length <= 0) return;
    const std::string_view text(buffer.data(), static_cast<std::size_t>(length));
    record.max_messages = static_cast<std::uint64_t>(attributes.mq_maxmsg);
    record.message_size = static_cast<std::uint64_t>(attributes.mq_msgsize);
    record.messages = static_cast<std::uint64_t>(attributes.mq_curmsgs);
    record.bytes = number_behind(text, "QSIZE:");

    const auto how = static_cast<int>(number_behind(text, " NOTIFY:"));
    const auto signal = static_cast<int>(number_behind(text, " SIGNO:"));
    const auto pid = static_cast<pid_t>(number_behind(text, " NOTIFY_PID:"));
    // SIGEV_SIGNAL is 0, as is everything when nobody is registered. A process that our pid namespace does not
    // know has number 0, too, but its signal tells.
    if (how == SIGEV_SIGNAL && signal == 0 && pid == 0) return;
    using Notification = PosixQueueRecord::Notification;
    record.notification = Notification{how == SIGEV_SIGNAL ? Notification::Kind::signal
                                       : how == SIGEV_NONE ? Notification::Kind::none
                                                           : Notification::Kind::thread,
                                       signal, pid};
}

std::optional<PosixQueueRecord> look_at_queue(int folder, const std::string& file) {
    const Fd queue(::openat(folder, file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW));
    if (!queue && is_gone(errno)) return std::nullopt;
    // Whatever keeps us out (rights, or a lease, which O_NONBLOCK does not wait for) leaves its name and owner; but
    // not a lack of our own, which would show all of them as closed to us.
    if (!queue && is_our_lack(errno)) fail(doing("open", Kind::queue, "/" + file));
    struct statx about {};
    // Before it is read, which moves its times.
    if (!(queue ? look(queue.get(), "", about) : look(folder, file.c_str(), about))) {
        if (is_gone(errno)) return std::nullopt;
        fail(doing("look at", Kind::queue, "/" + file));
    }
    std::optional<PosixQueueRecord> record(std::in_place);
    describe(*record, "/" + file, about);
    if (queue) read_state(queue.get(), *record);
    return record;
}

// ---- What lies in a /dev/shm -------------------------------------------------------------------------------------

constexpr int deepest_folder = 32;

struct Nothing {}; // gone, or not an object
using SharedObject = std::variant<Nothing, SharedMemoryRecord, NamedSemaphoreRecord>;

// What a semaphore's bytes say, as the C library laid them out.
void read_semaphore(int folder, const char* file, NamedSemaphoreRecord& record) {
    // A FIFO that has just taken the file's place is opened without waiting, and a file with a lease (fcntl(2))
    // is not. Looking should not move the time of access, but only the owner may have that.
    constexpr int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    Fd fd(::openat(folder, file, flags | O_NOATIME));
    if (!fd && errno == EPERM) fd.reset(::openat(folder, file, flags));
    if (!fd && is_our_lack(errno)) fail(doing("open", Kind::semaphore, record.name));
    struct stat about {};
    if (!fd || ::fstat(fd.get(), &about) != 0) return;
    if (FileId{about.st_dev, about.st_ino} != record.file) return;
    sem_t semaphore;
    if (::pread(fd.get(), &semaphore, sizeof semaphore, 0) != static_cast<ssize_t>(sizeof semaphore)) return;
    int value = 0;
    if (::sem_getvalue(&semaphore, &value) != 0) return;
    record.value = static_cast<unsigned>(value);
    // glibc, 64 bits: one word whose lower half is the value and whose upper half is the number of waiters.
    if constexpr (sizeof(sem_t) == 32) {
        std::uint64_t word = 0;
        std::memcpy(&word, &semaphore, sizeof word);
        record.waiters = static_cast<unsigned>(word >> 32U);
    }
}

bool looks_like_semaphore(std::string_view file, const struct statx& about) {
    const std::string_view prefix = prefix_of(Kind::semaphore);
    return about.stx_size == sizeof(sem_t) && file.size() > prefix.size() && file.starts_with(prefix);
}

SharedObject describe_object(int folder, const std::string& file, const struct statx& about) {
    // Not a file that a program mounted over one.
    if (!S_ISREG(about.stx_mode) || (about.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) return Nothing{};
    if (looks_like_semaphore(file, about)) {
        NamedSemaphoreRecord record;
        describe(record, "/" + file.substr(prefix_of(Kind::semaphore).size()), about);
        read_semaphore(folder, file.c_str(), record);
        return record;
    }
    SharedMemoryRecord record;
    describe(record, "/" + file, about);
    record.bytes = about.stx_size;
    record.allocated = allocated_bytes(about);
    return record;
}

// Adds what lies below a folder to what is no object.
void count_below(int parent, const char* name, int depth, SharedFolder& found) {
    const Fd folder = open_folder(parent, name);
    if (!folder) {
        // Another mount lies on it (EXDEV): that takes no room here.
        if (!is_gone(errno) && errno != ENOTDIR && errno != EXDEV) ++found.unseen;
        return;
    }
    int error = 0;
    for (const auto& entry : names_in(folder.get(), error)) {
        struct statx about {};
        if (!look(folder.get(), entry.name.c_str(), about)) {
            if (!is_gone(errno)) ++found.unseen;
            continue;
        }
        ++found.others.files;
        if ((about.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) continue;
        found.others.bytes += allocated_bytes(about);
        if (!S_ISDIR(about.stx_mode)) continue;
        if (depth < deepest_folder)
            count_below(folder.get(), entry.name.c_str(), depth + 1, found);
        else
            ++found.unseen;
    }
    if (error != 0) ++found.unseen;
}

// The object of a kind that has this file, or nothing.
template <class Record>
std::optional<Record> find_object(Kind kind, int folder, const std::string& name) {
    const std::string file = file_of(kind, name);
    struct statx about {};
    if (!look(folder, file.c_str(), about)) {
        if (is_gone(errno)) return std::nullopt;
        fail(doing("look at", kind, name));
    }
    SharedObject found = describe_object(folder, file, about);
    if (auto* record = std::get_if<Record>(&found)) return std::move(*record);
    return std::nullopt;
}

// ---- Making ------------------------------------------------------------------------------------------------------

constexpr const char* other_thing_hint = "something that is no such object has its name: look with ls -l";

std::string room_hint(int number) {
    return number == ENOSPC ? "the file system of its /dev/shm is too small" : "";
}

// Gives a new object its owner and permissions, whatever the umask was.
void give_away(int fd, const PosixMakeOptions& options, const std::string& doing_what) {
    // For chown(2) -1 is "as it is".
    constexpr auto same_owner = static_cast<uid_t>(-1);
    constexpr auto same_group = static_cast<gid_t>(-1);
    if (options.owner == same_owner || options.group == same_group) fail(EINVAL, doing_what);
    if ((options.owner || options.group) &&
        ::fchown(fd, options.owner.value_or(same_owner), options.group.value_or(same_group)) != 0)
        fail(doing_what,
             errno == EPERM ? "giving it to another user needs CAP_CHOWN, to a group membership in it" : "");
    if (::fchmod(fd, options.mode) != 0) fail(doing_what);
}

// An object that exists must have the owner and group that were asked for.
void check_owner(const PosixRecord& found, const PosixMakeOptions& options, const std::string& doing_what) {
    if ((options.owner && *options.owner != found.who.owner) ||
        (options.group && *options.group != found.who.group))
        fail(EEXIST, doing_what, "the one that exists has another owner or group");
}

// A number in a file of /proc/sys/fs/mqueue: one of the calling thread's namespace.
std::uint64_t queue_limit(const char* key) {
    const std::string path = std::string("/proc/sys/fs/mqueue/") + key;
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 32> buffer;
    const ssize_t length = file ? ::read(file.get(), buffer.data(), buffer.size()) : -1;
    std::uint64_t number = 0;
    if (length <= 0 || std::from_chars(buffer.data(), buffer.data() + length, number).ec != std::errc())
        fail("read " + path);
    return number;
}

// Why the kernel made no queue, from the limits as they are now.
std::string queue_hint(int number, const struct mq_attr* attributes) {
    try {
        switch (number) {
        case EINVAL:
        case EOVERFLOW:
            return "a queue of this namespace may have up to " + std::to_string(queue_limit("msg_max")) +
                   " messages (msg_max) of up to " + std::to_string(queue_limit("msgsize_max")) +
                   " bytes (msgsize_max)";
        case ENOSPC:
            return "this namespace may have " + std::to_string(queue_limit("queues_max")) +
                   " queues (queues_max)";
        case EMFILE: {
            // The same number for the process's descriptors and for the bytes of its user's queues.
            const Fd another(::open("/", O_PATH | O_CLOEXEC));
            if (!another) return "this process has no descriptors left (RLIMIT_NOFILE)";
            struct rlimit limit {};
            ::getrlimit(RLIMIT_MSGQUEUE, &limit);
            std::string text =
                "all queues of a user together may have " + std::to_string(limit.rlim_cur) + " bytes";
            if (attributes != nullptr)
                text += ", and this one alone has more than " +
                        std::to_string(static_cast<std::uint64_t>(attributes->mq_maxmsg) *
                                       static_cast<std::uint64_t>(attributes->mq_msgsize));
            return text + ": raise RLIMIT_MSGQUEUE (ulimit -q)";
        }
        default: break;
        }
    } catch (const Error&) {
        // No /proc to tell the limits.
    }
    return {};
}

// The attributes to make a queue with; nothing when the namespace's defaults are wanted.
std::optional<struct mq_attr> queue_attributes(std::optional<std::uint64_t> max_messages,
                                               std::optional<std::uint64_t> message_size) {
    if (!max_messages && !message_size) return std::nullopt;
    const auto number = [](const std::optional<std::uint64_t>& wanted, const char* what, const char* standard,
                           const char* most) {
        // As the kernel does it when nothing is given.
        const std::uint64_t value = wanted ? *wanted : std::min(queue_limit(standard), queue_limit(most));
        if (value == 0 || value > static_cast<std::uint64_t>(std::numeric_limits<long>::max()))
            throw UsageError(std::to_string(value) + " is no " + what + " of a POSIX queue");
        return static_cast<long>(value);
    };
    struct mq_attr attributes {};
    attributes.mq_maxmsg = number(max_messages, "number of messages", "msg_default", "msg_max");
    attributes.mq_msgsize = number(message_size, "message size", "msgsize_default", "msgsize_max");
    return attributes;
}

// A system call without a name to see whether there is such a system call.
bool has_queues() { return ::syscall(SYS_mq_open, "", O_RDONLY) >= 0 || errno != ENOSYS; }

// Opens a queue of the calling thread's namespace.
Fd open_queue(const std::string& name, int flags, mode_t mode = 0,
              const struct mq_attr* attributes = nullptr) {
    return Fd(::mq_open(name.c_str(), flags | O_CLOEXEC, mode, attributes));
}

// What is asked of a queue that exists.
void check_queue(const std::string& name, const PosixMakeOptions& options,
                 std::optional<std::uint64_t> max_messages, std::optional<std::uint64_t> message_size,
                 const std::string& doing_what) {
    if (!options.owner && !options.group && !max_messages && !message_size) return;
    const Fd queue = open_queue(name, O_RDONLY | O_NONBLOCK);
    struct statx about {};
    struct mq_attr attributes {};
    if (!queue || !look(queue.get(), "", about) || ::mq_getattr(queue.get(), &attributes) != 0)
        fail(doing_what, "there is one of that name, and whether it is as wanted cannot be read");
    PosixRecord found;
    describe(found, name, about);
    check_owner(found, options, doing_what);
    if ((max_messages && std::cmp_not_equal(*max_messages, attributes.mq_maxmsg)) ||
        (message_size && std::cmp_not_equal(*message_size, attributes.mq_msgsize)))
        fail(EEXIST, doing_what,
             "the one that exists is for " + std::to_string(attributes.mq_maxmsg) + " messages of " +
                 std::to_string(attributes.mq_msgsize) + " bytes");
}

// A file without a name on the file system of a folder.
Fd make_nameless(int folder, const std::string& doing_what) {
    Fd file(::openat(folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!file) fail(doing_what, room_hint(errno));
    return file;
}

// Gives it its name. @return false when that is taken
bool give_name(const Fd& file, int folder, const std::string& name, const std::string& doing_what) {
    if (::linkat(file.get(), "", folder, name.c_str(), AT_EMPTY_PATH) == 0) return true;
    if (errno == ENOENT) {
        // That way was for CAP_DAC_READ_SEARCH alone before Linux 6.10.
        const std::string path = "/proc/self/fd/" + std::to_string(file.get());
        if (::linkat(AT_FDCWD, path.c_str(), folder, name.c_str(), AT_SYMLINK_FOLLOW) == 0) return true;
    }
    if (errno != EEXIST) fail(doing_what);
    return false;
}

} // namespace

// ---- Queues: how to see them -------------------------------------------------------------------------------------

Fd mount_queues() {
    Fd mount(new_mqueue());
    if (!mount && errno != ENODEV)
        fail("mount the POSIX queues of a namespace",
             errno == EPERM
                 ? "CAP_SYS_ADMIN is needed where this mount namespace belongs to: in a user namespace of "
                   "your own, `unshare --mount` first"
                 : "");
    return mount;
}

namespace {

// Attaching walks down the whole pile that the mount is put onto, to see that it is not itself in there.
constexpr std::size_t highest_pile = 64;

// Somewhere to put mounts: a file system of their own, so that no folder is needed anywhere.
Fd make_ground(QueueMounts::Place place) {
    constexpr const char* what = "make a place for mounts of POSIX queues";
    Fd ground(new_tmpfs(""));
    if (!ground) fail(what);
    if (place == QueueMounts::Place::detached) return ground;
    if (::unshare(CLONE_NEWNS | CLONE_FS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0)
        fail(what);
    // Any folder will do, since nobody else sees it; on "/" it would be met by who goes up by "..".
    for (const char* folder : {"/dev/mqueue", "/mnt", "/"})
        if (attach_mount(ground.get(), AT_FDCWD, folder) == 0) return ground;
    fail(what);
}

} // namespace

int QueueMounts::mount() { return place_ == Place::thread ? mount_on_path() : mount_detached(); }

// By its path, in one system call and without a descriptor of a context, this costs half of what fsopen(2) and those
// that follow it do. The path is ours alone.
int QueueMounts::mount_on_path() {
    if (!ground_) ground_ = make_ground(place_);
    if (height_ == 0 || height_ >= highest_pile) {
        pile_ = std::to_string(piles_++);
        if (::fchdir(ground_.get()) != 0 || ::mkdir(pile_.c_str(), 0700) != 0)
            fail("make a place for a mount");
        height_ = 0;
    }
    if (::mount("none", pile_.c_str(), "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0) {
        ++height_;
    } else {
        if (errno == ENODEV) return -1;
        // Onto itself a file system is not mounted: these very queues are what lies on top.
        if (errno != EBUSY) fail("mount the POSIX queues of a namespace");
    }
    top_.reset(::open(pile_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!top_) fail("open a mount of POSIX queues");
    return top_.get();
}

int QueueMounts::mount_detached() {
    Fd mount = mount_queues();
    if (!mount) return -1;
    if (!ground_) ground_ = make_ground(place_);
    bool attached = false;
    if (height_ > 0 && height_ < highest_pile) {
        attached = attach_mount(mount.get(), top_.get(), ".") == 0;
    } else {
        const std::string pile = std::to_string(piles_++);
        attached = ::mkdirat(ground_.get(), pile.c_str(), 0700) == 0 &&
                   attach_mount(mount.get(), ground_.get(), pile.c_str()) == 0;
        height_ = 0;
    }
    // Where it cannot be attached (EINVAL: not to what is detached itself, in this kernel; ENOSPC: fs.mount-max) it
    // goes by itself.
    height_ = attached ? height_ + 1 : 0;
    top_ = std::move(mount);
    return top_.get();
}

namespace {

using Missing = QueueFolder::Missing;

// Whether a folder is of the namespace whose queue this is.
bool is_folder_of(int folder, const Fd& queue) {
    struct stat one {};
    struct stat other {};
    return ::fstat(folder, &one) == 0 && ::fstat(queue.get(), &other) == 0 && one.st_dev == other.st_dev;
}

// Whether a folder of queues is of the calling thread's namespace, told by one of the queues that are listed there;
// nothing when none of them tells.
std::optional<bool> told_by_a_listed_queue(int folder) {
    for (const auto& entry : read_names(folder, "list /dev/mqueue")) {
        struct stat before {};
        struct stat after {};
        if (::fstatat(folder, entry.name.c_str(), &before, AT_SYMLINK_NOFOLLOW) != 0) continue;
        const std::string name = "/" + entry.name;
        Fd queue = open_queue(name, O_RDONLY | O_NONBLOCK);
        if (!queue && errno == EACCES) queue = open_queue(name, O_WRONLY | O_NONBLOCK);
        if (queue) return is_folder_of(folder, queue);
        // There was none of that name in our namespace while there was one in the folder.
        if (errno == ENOENT && ::fstatat(folder, entry.name.c_str(), &after, AT_SYMLINK_NOFOLLOW) == 0 &&
            before.st_ino == after.st_ino)
            return false;
    }
    return std::nullopt;
}

// The same, told by a queue that is made for it. Nothing, with errno, when none can be made.
std::optional<bool> told_by_a_new_queue(int folder) {
    struct mq_attr smallest {};
    smallest.mq_maxmsg = 1;
    smallest.mq_msgsize = 1;
    for (unsigned number = 0; number < 100; ++number) {
        const std::string name = "/.ipcns-probe-" + std::to_string(::gettid()) + "-" + std::to_string(number);
        const Fd queue = open_queue(name, O_CREAT | O_EXCL | O_RDONLY, 0, &smallest);
        if (!queue && errno == EEXIST) continue;
        if (!queue) break;
        ::mq_unlink(name.c_str());
        return is_folder_of(folder, queue);
    }
    return std::nullopt;
}

QueueFolder missing(Missing why, std::string text) { return {Fd(), why, std::move(text)}; }

} // namespace

QueueFolder open_queues(QueueProbe probe) {
    if (Fd mount(new_mqueue()); mount) return {std::move(mount), Missing::nothing, {}};
    if (errno == ENODEV) return missing(Missing::no_queues, no_queues_here);
    if (errno != EPERM && errno != EACCES && errno != ENOSYS) fail("mount the POSIX queues of a namespace");
    // Rights are looked at first, so EPERM says nothing about whether there are any.
    if (!has_queues()) return missing(Missing::no_queues, no_queues_here);

    Fd folder(::open("/dev/mqueue", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct statfs about {};
    if (!folder || ::fstatfs(folder.get(), &about) != 0 || about.f_type != mqueue_magic)
        return missing(Missing::not_mounted,
                       "only root may mount them, and /dev/mqueue is no mount of POSIX queues");
    std::optional<bool> own = told_by_a_listed_queue(folder.get());
    std::string why_not = "no queue that is listed there may be opened";
    if (!own && probe == QueueProbe::make) {
        own = told_by_a_new_queue(folder.get());
        if (!own) {
            const int number = errno;
            why_not += ", and none can be made: " + std::system_category().message(number);
            if (const std::string hint = queue_hint(number, nullptr); !hint.empty()) why_not += ": " + hint;
        }
    }
    if (!own)
        return missing(Missing::unknown,
                       "whether /dev/mqueue shows the queues of this namespace cannot be told: " + why_not);
    if (!*own)
        return missing(Missing::another,
                       "only root may mount them, and /dev/mqueue shows those of another namespace");
    return {std::move(folder), Missing::nothing, {}};
}

// ---- Looking -----------------------------------------------------------------------------------------------------

std::vector<PosixQueueRecord> list_posix_queues(int folder) {
    check_folder_of_queues(folder);
    std::vector<PosixQueueRecord> found;
    if (has_no_entries(folder)) return found;
    for (const auto& entry : read_names(folder, "list the POSIX queues of a namespace"))
        if (auto record = look_at_queue(folder, entry.name)) found.push_back(std::move(*record));
    return found;
}

std::optional<PosixQueueRecord> find_posix_queue(int folder, const std::string& name) {
    const std::string file = file_of(Kind::queue, name);
    check_folder_of_queues(folder);
    return look_at_queue(folder, file);
}

SharedFolder list_shared(int folder) {
    SharedFolder found;
    for (const auto& entry : read_names(folder, "list a /dev/shm")) {
        struct statx about {};
        if (!look(folder, entry.name.c_str(), about)) {
            if (!is_gone(errno)) {
                ++found.unseen;
                ++found.unlisted;
            }
            continue;
        }
        SharedObject object = describe_object(folder, entry.name, about);
        if (auto* memory = std::get_if<SharedMemoryRecord>(&object)) {
            found.memory.push_back(std::move(*memory));
        } else if (auto* semaphore = std::get_if<NamedSemaphoreRecord>(&object)) {
            found.semaphores.push_back(std::move(*semaphore));
        } else {
            ++found.others.files;
            if ((about.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) continue;
            found.others.bytes += allocated_bytes(about);
            if (S_ISDIR(about.stx_mode)) count_below(folder, entry.name.c_str(), 1, found);
        }
    }
    return found;
}

std::optional<SharedMemoryRecord> find_shared_memory(int folder, const std::string& name) {
    return find_object<SharedMemoryRecord>(Kind::memory, folder, name);
}

std::optional<NamedSemaphoreRecord> find_named_semaphore(int folder, const std::string& name) {
    return find_object<NamedSemaphoreRecord>(Kind::semaphore, folder, name);
}

// ---- Making ------------------------------------------------------------------------------------------------------

namespace {

// A new queue, open for all; nothing when there is one that will do.
Fd make_queue(const std::string& name, const PosixMakeOptions& options,
              std::optional<std::uint64_t> max_messages, std::optional<std::uint64_t> message_size) {
    (void)checked(Kind::queue, name);
    const std::string what = doing("make", Kind::queue, name);
    if (!has_queues()) fail(ENODEV, what, no_queues_here);
    const auto attributes = queue_attributes(max_messages, message_size);
    const struct mq_attr* const given = attributes ? &*attributes : nullptr;
    Fd queue = open_queue(name, O_CREAT | O_EXCL | O_RDWR, options.mode, given);
    if (!queue && errno == EEXIST && !options.exclusive) {
        check_queue(name, options, max_messages, message_size, what);
        return queue;
    }
    if (!queue) fail(what, queue_hint(errno, given));
    try {
        give_away(queue.get(), options, what);
    } catch (...) {
        ::mq_unlink(name.c_str());
        throw;
    }
    return queue;
}

} // namespace

bool make_posix_queue(const std::string& name, const PosixMakeOptions& options,
                      std::optional<std::uint64_t> max_messages, std::optional<std::uint64_t> message_size) {
    return static_cast<bool>(make_queue(name, options, max_messages, message_size));
}

bool make_shared_memory(int folder, const std::string& name, std::uint64_t bytes,
                        const PosixMakeOptions& options, bool allocate) {
    const std::string file = file_of(Kind::memory, name);
    const std::string what = doing("make", Kind::memory, name);
    const auto use_existing = [&](const SharedMemoryRecord& found) {
        if (options.exclusive) fail(EEXIST, what);
        check_owner(found, options, what);
        if (found.bytes < bytes)
            fail(EEXIST, what, "the one that exists has " + std::to_string(found.bytes) + " bytes");
        return false;
    };
    if (const auto found = find_shared_memory(folder, name)) return use_existing(*found);
    if (bytes > static_cast<std::uint64_t>(std::numeric_limits<off_t>::max())) fail(EFBIG, what);

    const Fd made = make_nameless(folder, what);
    if (::ftruncate(made.get(), static_cast<off_t>(bytes)) != 0) fail(what);
    if (allocate && bytes > 0) {
        int result = -1;
        while ((result = ::fallocate(made.get(), 0, 0, static_cast<off_t>(bytes))) != 0 && errno == EINTR) {}
        if (result != 0) fail(what, room_hint(errno));
    }
    give_away(made.get(), options, what);
    if (give_name(made, folder, file, what)) return true;
    if (const auto found = find_shared_memory(folder, name)) return use_existing(*found);
    fail(EEXIST, what, other_thing_hint);
}

bool make_named_semaphore(int folder, const std::string& name, unsigned value,
                          const PosixMakeOptions& options) {
    const std::string file = file_of(Kind::semaphore, name);
    const std::string what = doing("make", Kind::semaphore, name);
    const auto use_existing = [&](const NamedSemaphoreRecord& found) {
        if (options.exclusive) fail(EEXIST, what);
        check_owner(found, options, what);
        return false;
    };
    if (const auto found = find_named_semaphore(folder, name)) return use_existing(*found);
    // sem_open(3) writes what sem_init(3) makes of a sem_t, after zeros.
    sem_t semaphore;
    std::memset(&semaphore, 0, sizeof semaphore);
    if (::sem_init(&semaphore, 1, value) != 0)
        fail(what, "a semaphore's value may be up to " + std::to_string(SEM_VALUE_MAX));

    const Fd made = make_nameless(folder, what);
    const ssize_t written = ::pwrite(made.get(), &semaphore, sizeof semaphore, 0);
    if (written != static_cast<ssize_t>(sizeof semaphore)) {
        const int number = written < 0 ? errno : ENOSPC;
        fail(number, what, room_hint(number));
    }
    give_away(made.get(), options, what);
    if (give_name(made, folder, file, what)) return true;
    if (const auto found = find_named_semaphore(folder, name)) return use_existing(*found);
    fail(EEXIST, what, other_thing_hint);
}

// ---- Removing ----------------------------------------------------------------------------------------------------

namespace {

bool is_same_file(const PosixRecord& now, const PosixRecord& then) {
    return now.file == then.file && now.who == then.who && now.born == then.born;
}

// A file of a /dev/shm, which says when it was made, or at least when it was last changed.
bool is_same_shared_file(const PosixRecord& now, const PosixRecord& then) {
    return is_same_file(now, then) && (now.born || now.changed == then.changed);
}

bool unlink_object(int folder, Kind kind, const std::string& name) {
    if (::unlinkat(folder, file_of(kind, name).c_str(), 0) == 0) return true;
    if (is_gone(errno)) return false;
    fail(doing("remove", kind, name), errno == EPERM || errno == EACCES ? "only its owner may, or root" : "");
}

} // namespace

bool remove_same(int folder, const PosixQueueRecord& record) {
    const auto now = find_posix_queue(folder, record.name);
    if (!now || !is_same_file(*now, record)) return false;
    if (now->readable() && record.readable() &&
        (now->max_messages != record.max_messages || now->message_size != record.message_size))
        return false;
    return unlink_object(folder, Kind::queue, record.name);
}

bool remove_same(int folder, const SharedMemoryRecord& record) {
    const auto now = find_shared_memory(folder, record.name);
    if (!now || !is_same_shared_file(*now, record) || now->bytes != record.bytes) return false;
    return unlink_object(folder, Kind::memory, record.name);
}

bool remove_same(int folder, const NamedSemaphoreRecord& record) {
    const auto now = find_named_semaphore(folder, record.name);
    if (!now || !is_same_shared_file(*now, record)) return false;
    return unlink_object(folder, Kind::semaphore, record.name);
}

// ---- Handles -----------------------------------------------------------------------------------------------------

namespace {

constexpr const char* shared_folder = "/dev/shm/";

// Opens the file of an object in a /dev/shm, or (AT_FDCWD) in that of the calling process.
Fd open_shared(Kind kind, int folder, const std::string& name, int access, std::uint64_t& size) {
    const std::string file = (folder == AT_FDCWD ? shared_folder : "") + file_of(kind, name);
    // O_NONBLOCK for what is no file.
    Fd fd(::openat(folder, file.c_str(), access | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY));
    struct stat about {};
    if (!fd || ::fstat(fd.get(), &about) != 0) fail(doing("open", kind, name));
    size = static_cast<std::uint64_t>(about.st_size);
    if (!S_ISREG(about.st_mode) || (kind == Kind::semaphore && size != sizeof(sem_t)))
        fail(EINVAL, doing("open", kind, name), other_thing_hint);
    return fd;
}

void* map_shared(const Fd& fd, std::uint64_t size, int protection, Kind kind, const std::string& name) {
    void* const start = ::mmap(nullptr, size, protection, MAP_SHARED, fd.get(), 0);
    if (start == MAP_FAILED) fail(doing("map", kind, name));
    return start;
}

// The /dev/shm of the calling process.
Fd open_shared_folder() {
    Fd folder(::open(shared_folder, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) fail("open /dev/shm");
    return folder;
}

} // namespace

void detail::posix_call_failed(const char* what) { fail(what); }

void detail::queue_not_opened(const std::string& name) {
    const int number = errno;
    (void)checked(Kind::queue, name);
    if (number == ENOSYS) fail(ENODEV, doing("open", Kind::queue, name), no_queues_here);
    fail(number, doing("open", Kind::queue, name));
}

PosixQueue PosixQueue::open(int folder, const std::string& name, Access access) {
    const std::string file = file_of(Kind::queue, name);
    check_folder_of_queues(folder);
    Fd queue(::openat(folder, file.c_str(), static_cast<int>(access) | O_CLOEXEC | O_NOFOLLOW));
    if (!queue) fail(doing("open", Kind::queue, name));
    return PosixQueue(std::move(queue));
}

PosixQueue PosixQueue::create(const std::string& name, const PosixMakeOptions& options,
                              std::optional<std::uint64_t> max_messages,
                              std::optional<std::uint64_t> message_size) {
    if (Fd made = make_queue(name, options, max_messages, message_size)) return PosixQueue(std::move(made));
    return open(name);
}

SharedMemory SharedMemory::open(int folder, const std::string& name, Access access) {
    const bool writes = access == Access::write;
    std::uint64_t size = 0;
    const Fd fd = open_shared(Kind::memory, folder, name, writes ? O_RDWR : O_RDONLY, size);
    if (size == 0) return {nullptr, 0};
    const int protection = PROT_READ | (writes ? PROT_WRITE : 0);
    return {static_cast<std::byte*>(map_shared(fd, size, protection, Kind::memory, name)), size};
}

SharedMemory SharedMemory::open(const std::string& name, Access access) {
    return open(AT_FDCWD, name, access);
}

SharedMemory SharedMemory::create(int folder, const std::string& name, std::uint64_t bytes,
                                  const PosixMakeOptions& options, bool allocate) {
    make_shared_memory(folder, name, bytes, options, allocate);
    return open(folder, name);
}

SharedMemory SharedMemory::create(const std::string& name, std::uint64_t bytes,
                                  const PosixMakeOptions& options, bool allocate) {
    return create(open_shared_folder().get(), name, bytes, options, allocate);
}

NamedSemaphore NamedSemaphore::open(int folder, const std::string& name) {
    std::uint64_t size = 0;
    const Fd fd = open_shared(Kind::semaphore, folder, name, O_RDWR, size);
    return NamedSemaphore(
        static_cast<sem_t*>(map_shared(fd, size, PROT_READ | PROT_WRITE, Kind::semaphore, name)));
}

NamedSemaphore NamedSemaphore::open(const std::string& name) { return open(AT_FDCWD, name); }

NamedSemaphore NamedSemaphore::create(int folder, const std::string& name, unsigned value,
                                      const PosixMakeOptions& options) {
    make_named_semaphore(folder, name, value, options);
    return open(folder, name);
}

NamedSemaphore NamedSemaphore::create(const std::string& name, unsigned value,
                                      const PosixMakeOptions& options) {
    return create(open_shared_folder().get(), name, value, options);
}

FilesUsage files_usage(int folder) {
    FilesUsage usage;
    for (const auto& name :
         read_names(folder, "count the files of a /dev/shm or the queues of a namespace")) {
        struct stat about {};
        if (::fstatat(folder, name.name.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) {
            if (!is_gone(errno)) ++usage.files;
            continue;
        }
        ++usage.files;
        usage.bytes += static_cast<std::uint64_t>(about.st_blocks) * 512;
    }
    return usage;
}

FilesUsage remove_all_files(int folder) {
    FilesUsage removed;
    int first_error = 0;
    // However deep somebody nested folders, this takes two descriptors and no recursion: each folder inside a
    // folder is moved up to the top before its parent is removed.
    std::size_t moved = 0;
    // Nor is anybody waited for who makes folders as fast as they go: each pass is one level of what was there, and so deep, and
    // after so long, it is no longer that.
    constexpr int deep = 64;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    int passes = 0;
    for (bool again = true; again; ++passes) {
        again = false;
        if (passes > deep && std::chrono::steady_clock::now() > until) {
            first_error = first_error != 0 ? first_error : EBUSY;
            break;
        }
        for (const auto& name : names_in(folder, first_error)) {
            if (!name.is_folder) {
                remove_file(folder, name.name, removed, first_error);
                continue;
            }
            const Fd inner = open_folder(folder, name.name.c_str());
            if (!inner) {
                // Another mount lies on it (EXDEV); it is not ours to empty.
                if (errno != ENOENT) keep_first(first_error);
                continue;
            }
            for (const auto& below : names_in(inner.get(), first_error)) {
                if (!below.is_folder) {
                    remove_file(inner.get(), below.name, removed, first_error);
                    continue;
                }
                if (move_up(inner.get(), below.name, folder, moved))
                    again = true;
                else
                    keep_first(first_error);
            }
            if (::unlinkat(folder, name.name.c_str(), AT_REMOVEDIR) == 0)
                ++removed.files;
            else if (errno != ENOENT)
                keep_first(first_error);
        }
    }
    if (first_error != 0) fail(first_error, "remove the files of a /dev/shm or the queues of a namespace");
    return removed;
}

} // namespace ipcns
