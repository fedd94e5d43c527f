// SPDX-License-Identifier: Apache-2.0
// ipcns-oci-hook: lets containers that share a named IPC namespace share all six kinds of IPC objects. A createRuntime hook of
// OCI runtimes (runtime-spec, config.md, "POSIX-platform Hooks"): it reads the container's state from standard input, mounts
// the name's /dev/shm and queues in the container, and sets the limits that annotations ask for.
//
// At that point the container's process is in its namespaces and waits, all mounts are made, and the container's root is still
// at its path on the host, but in the mount namespace of the container (pivot_root(2) comes next).
//
// It runs as root, and what lies below the container's root may be made to harm: nothing there is reached but by openat2(2)
// without links, from a descriptor of that root. Leans on: a mount that is attached to nothing can be taken along into another
// mount namespace (fsmount(2), open_tree(2)); setns(2) takes a pidfd (Linux 5.8).
#include <ipcns/error.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/limits.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/registry.hpp>
#include <ipcns/text.hpp>

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using ipcns::Error;
using ipcns::escape;
using ipcns::Fd;
using Json = nlohmann::json;

constexpr std::string_view prefix = "org.ipcns.";
constexpr std::size_t largest_json = std::size_t{16} << 20;

[[noreturn]] void fail(const std::string& what, std::string hint = {}) {
    throw Error(errno, what, std::move(hint));
}

[[noreturn]] void fail(int number, const std::string& what, std::string hint = {}) {
    throw Error(number, what, std::move(hint));
}

// ---- What the runtime tells --------------------------------------------------------------------------------------

Json read_json(const Fd& file, const std::string& what) {
    std::string text;
    std::string buffer(std::size_t{1} << 16, '\0');
    for (;;) {
        const ssize_t length = ::read(file.get(), buffer.data(), buffer.size());
        if (length < 0 && errno == EINTR) continue;
        if (length < 0) fail(what);
        if (length == 0) break;
        text.append(buffer, 0, static_cast<std::size_t>(length));
        if (text.size() > largest_json) fail(EFBIG, what);
    }
    // Where it is wrong is not told: that would show a part of a file that the caller may have no right to read.
    Json json = Json::parse(text, nullptr, false);
    if (!json.is_object()) fail(EBADMSG, what, "it is no JSON object");
    return json;
}

std::string text_in(const Json& json, const char* key, const std::string& what) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_string() || found->get_ref<const std::string&>().empty() ||
        found->get_ref<const std::string&>().find('\0') != std::string::npos)
        fail(EBADMSG, what, "\"" + std::string(key) + "\" is missing, or no text");
    return found->get<std::string>();
}

// What the annotations ask for.
struct Wishes {
    std::optional<std::string> name;
    std::vector<ipcns::Limit> limits;
};

Wishes wishes_in(const Json& config) {
    Wishes wishes;
    const auto annotations = config.find("annotations");
    if (annotations == config.end() || !annotations->is_object()) return wishes;
    for (const auto& [key, value] : annotations->items()) {
        if (!key.starts_with(prefix)) continue;
        const std::string what = "understand the annotation " + escape(key);
        if (!value.is_string()) fail(EBADMSG, what, "its value is no text");
        const std::string_view word = std::string_view(key).substr(prefix.size());
        constexpr std::string_view limit = "limit.";
        if (word == "name")
            wishes.name = value.get<std::string>();
        else if (word.starts_with(limit))
            wishes.limits.push_back(ipcns::Limit::parse(std::string(word.substr(limit.size())) + "=" +
                                                        value.get_ref<const std::string&>()));
        else
            fail(EINVAL, what, "there are org.ipcns.name and org.ipcns.limit.KEY");
    }
    return wishes;
}

struct Container {
    std::string id; // for messages
    pid_t pid = 0;
    Fd process;
    std::string root; // its path on the host
    Wishes wishes;
};

Container container_of(const Fd& input) {
    const std::string what = "read the container's state";
    const Json state = read_json(input, what);
    Container container;
    container.id = escape(text_in(state, "id", what));
    const auto pid = state.find("pid");
    if (pid == state.end() || !pid->is_number_integer() || *pid <= 0 || *pid > 1 << 30)
        fail(EBADMSG, what, "it names no process: the hook belongs into createRuntime");
    container.pid = pid->get<pid_t>();
    container.process = Fd(static_cast<int>(::syscall(SYS_pidfd_open, container.pid, 0)));
    if (!container.process) fail("find the process of the container " + container.id);

    const std::string bundle = text_in(state, "bundle", what);
    const Fd folder(::open(bundle.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) fail("open the bundle " + escape(bundle));
    const std::string file = "read " + escape(bundle) + "/config.json";
    const Fd json(
        ::openat(folder.get(), "config.json", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    struct stat about {};
    if (!json || ::fstat(json.get(), &about) != 0) fail(file);
    if (!S_ISREG(about.st_mode)) fail(EBADMSG, file, "it is no file");
    const Json config = read_json(json, file);
    const auto root = config.find("root");
    if (root == config.end() || !root->is_object()) fail(EBADMSG, file, "\"root\" is missing");
    container.root = text_in(*root, "path", file);
    if (container.root[0] != '/') container.root = bundle + "/" + container.root;
    container.wishes = wishes_in(config);
    return container;
}

// ---- Which name --------------------------------------------------------------------------------------------------

// The named namespace that the container is in, if it is in one.
std::optional<ipcns::Place> place_of(const Container& container, const ipcns::Namespace& ipc) {
    const auto registry = ipcns::Registry::of_system();
    if (container.wishes.name) {
        ipcns::Place place = registry.open(*container.wishes.name);
        if (place.ipc.id() != ipc.id())
            fail(EINVAL, "let the container " + container.id + " use the namespace " + place.name,
                 "its IPC namespace is another one: that one's \"path\" in config.json is " +
                     (registry.folder() / place.name / "ipc").string());
        return place;
    }
    for (const auto& name : registry.list()) {
        if (name.id != ipc.id()) continue;
        ipcns::Place place = registry.open(name.name);
        if (place.shm) return place;
    }
    return std::nullopt;
}

// ---- Mounting ----------------------------------------------------------------------------------------------------

// A copy of a mount that no mount made on one of the two reaches the other of.
Fd private_copy(const Fd& mount, const std::string& what) {
    Fd copy(::open_tree(mount.get(), "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
    struct mount_attr attributes {};
    attributes.propagation = MS_PRIVATE;
    if (!copy || ::mount_setattr(copy.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
        fail(what, "Linux 5.12 is needed");
    return copy;
}

Fd open_in(const Fd& root, const char* path) {
    struct open_how how {};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    return Fd(static_cast<int>(::syscall(SYS_openat2, root.get(), path, &how, sizeof how)));
}

// Makes a folder as whoever owns the one it is in: of a container with a user namespace, root of the host has no number there
// (EOVERFLOW).
void make_folder_as_owner(const Fd& parent, const char* name, const std::string& what) {
    struct stat about {};
    if (::fstat(parent.get(), &about) != 0) fail(what);
    ::setfsgid(about.st_gid);
    ::setfsuid(about.st_uid);
    const int number = ::mkdirat(parent.get(), name, 0755) == 0 ? 0 : errno;
    ::setfsuid(::geteuid());
    ::setfsgid(::getegid());
    if (number != 0) fail(number, what);
}

// A folder of the container's /dev, made if it is not there.
Fd folder_of_dev(const Fd& root, const char* name, const std::string& what) {
    const auto check = [&](const Fd& folder) {
        if (!folder)
            fail(what, errno == ELOOP ? "there is a symbolic link on the way, which is not followed" : "");
    };
    const Fd dev = open_in(root, "dev");
    check(dev);
    Fd folder = open_in(dev, name);
    if (!folder && errno == ENOENT) {
        make_folder_as_owner(dev, name, what);
        folder = open_in(dev, name);
    }
    check(folder);
    return folder;
}

bool same_folder(const Fd& a, const Fd& b) {
    struct stat one {};
    struct stat other {};
    return ::fstat(a.get(), &one) == 0 && ::fstat(b.get(), &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

// Moves this process into the container's mount namespace and opens the container's root there.
Fd enter(const Container& container) {
    const std::string what = "enter the mount namespace of the container " + container.id;
    struct stat own {};
    struct stat theirs {};
    if (::stat("/proc/self/ns/mnt", &own) != 0 ||
        ::stat(("/proc/" + std::to_string(container.pid) + "/ns/mnt").c_str(), &theirs) != 0)
        fail(what);
    if (own.st_ino == theirs.st_ino)
        fail(EINVAL, what, "it has none of its own: what is mounted there would be mounted on the host");
    // By the pidfd: the number may have got a new owner meanwhile.
    if (::setns(container.process.get(), CLONE_NEWNS) != 0) fail(what);
    Fd root(::open(container.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) fail("open the root of the container " + container.id);
    struct statx about {};
    if (::statx(root.get(), "", AT_EMPTY_PATH, STATX_TYPE, &about) != 0 ||
        (about.stx_attributes & STATX_ATTR_MOUNT_ROOT) == 0)
        fail(EINVAL, "open the root of the container " + container.id,
             "nothing is mounted there: the hook belongs into createRuntime");
    return root;
}

void mount_on(const Fd& root, const char* name, const Fd& mount) {
    const std::string what = std::string("mount /dev/") + name + " in the container";
    const Fd folder = folder_of_dev(root, name, what);
    // The runtime's doing: a mount of its own for queues, a bind mount for the rest.
    if (same_folder(folder, mount)) return;
    if (::move_mount(mount.get(), "", folder.get(), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) !=
        0)
        fail(what);
}

// ---- All of it ---------------------------------------------------------------------------------------------------

// Sets limits; unless told that all went well, sets them back.
class SetLimits {
public:
    SetLimits(const ipcns::Namespace& ipc, const std::vector<ipcns::Limit>& limits) : ipc_(ipc) {
        if (!limits.empty()) changes_ = ipc.call([&] { return ipcns::set_limits(limits); });
    }
    ~SetLimits() {
        std::vector<ipcns::Limit> old;
        for (const auto& change : changes_) old.push_back({change.key, change.old_value});
        try {
            if (!old.empty()) ipc_.call([&] { (void)ipcns::set_limits(old); });
        } catch (const Error&) { // there is an error already
        }
    }
    SetLimits(const SetLimits&) = delete;
    SetLimits& operator=(const SetLimits&) = delete;
    void keep() noexcept { changes_.clear(); }

private:
    const ipcns::Namespace& ipc_;
    std::vector<ipcns::LimitChange> changes_;
};

void hook(const Fd& input) {
    const Container container = container_of(input);
    const auto ipc = ipcns::Namespace::from_pidfd(container.process.get());
    if (ipc.id() == ipcns::Namespace::host_id() && !container.wishes.limits.empty())
        fail(EPERM, "set limits for the container " + container.id, "its IPC namespace is the host's");
    const auto place = place_of(container, ipc);

    Fd shm;
    Fd queues;
    if (place) {
        if (place->shm) shm = private_copy(place->shm, "copy the mount " + place->shm_from);
        queues = ipc.call(ipcns::mount_queues);
    }
    SetLimits limits(ipc, container.wishes.limits);
    if (place) {
        const Fd root = enter(container);
        if (shm) mount_on(root, "shm", shm);
        if (queues) mount_on(root, "mqueue", queues);
    }
    limits.keep();
}

int complain(const std::string& message, const std::string& hint) {
    std::fprintf(stderr, "ipcns-oci-hook: %s\n", message.c_str());
    if (!hint.empty()) std::fprintf(stderr, "hint: %s\n", hint.c_str());
    return 1;
}

constexpr const char* help =
    "usage: ipcns-oci-hook < STATE\n"
    "\n"
    "A createRuntime hook of OCI runtimes: where the container's IPC namespace has a name of ipcns, it mounts the /dev/shm\n"
    "and the queues of that name in the container. Annotations: org.ipcns.name=NAME, org.ipcns.limit.KEY=VALUE.\n"
    "See ipcns-oci-hook(8).\n";

} // namespace

int main(int argc, char** argv) {
    if (argc > 1) {
        const bool wanted = std::string_view(argv[1]) == "--help" || std::string_view(argv[1]) == "-h";
        std::fputs(help, wanted ? stdout : stderr);
        return wanted ? 0 : 2;
    }
    try {
        hook(Fd(STDIN_FILENO));
        return 0;
    } catch (const Error& error) {
        return complain(error.what(), error.hint());
    } catch (const std::exception& error) {
        return complain(error.what(), "");
    }
}
