// SPDX-License-Identifier: Apache-2.0
// What OCI runtimes write down about their containers: a folder for each, called as its id, with one JSON file in it.
//
//   runc  ID/state.json  "init_process_pid", "init_process_start", and as "config" "labels" the annotations: "KEY=VALUE"
//   crun  ID/status      "pid", "process-start-time"
//
// The time is that of /proc/PID/stat, in ticks since the machine was started: with the number it names a process for good.
// Engines tell the runtime where such folders are to be. Names are the engine's: Kubernetes' and nerdctl's are annotations,
// docker and podman have files of their own.
#include "containers.hpp"

#include "error.hpp"
#include "folder.hpp"
#include "json.hpp"
#include "procfs.hpp"

#include <ipcns/target.hpp>
#include <ipcns/text.hpp>

#include <fcntl.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace ipcns {
namespace {

// A container of a large pod has some 100 KiB.
constexpr std::size_t largest_file = std::size_t{4} << 20;

// A folder in which a runtime keeps its containers.
struct Root {
    std::string path;
    bool nested = false; // in folders, one for each namespace of the engine
    Fd folder;
};

// A container that somebody has written down.
struct Entry {
    const Root* root = nullptr;
    std::string folder; // below the root
    std::string id;

    [[nodiscard]] std::string path() const { return escape(root->path + "/" + folder); }
};

// Opens what lies below a folder without following any link.
Fd open_below(const Fd& folder, const std::string& path, int flags) {
    struct open_how how {};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    return Fd(static_cast<int>(::syscall(SYS_openat2, folder.get(), path.c_str(), &how, sizeof how)));
}

// A small regular file, and whose it is; nothing with errno when there is none.
struct Contents {
    std::string text;
    uid_t owner = 0;
};

std::optional<Contents> read_below(const Fd& folder, const std::string& path) {
    const Fd file = open_below(folder, path, O_RDONLY);
    struct stat about {};
    if (!file || ::fstat(file.get(), &about) != 0) return std::nullopt;
    errno = EBADMSG;
    if (!S_ISREG(about.st_mode) || static_cast<std::uint64_t>(about.st_size) > largest_file)
        return std::nullopt;
    Contents contents{std::string(static_cast<std::size_t>(about.st_size), '\0'), about.st_uid};
    std::size_t length = 0;
    while (length < contents.text.size()) {
        const ssize_t part = ::read(file.get(), contents.text.data() + length, contents.text.size() - length);
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) return std::nullopt;
        if (part == 0) break;
        length += static_cast<std::size_t>(part);
    }
    contents.text.resize(length);
    return contents;
}

// The folders in a folder whose names may be ids, which are what runc and crun allow.
std::vector<std::string> ids_in(const Fd& folder) {
    std::vector<std::string> ids;
    // A runtime's folder is as good as one that is not there when it cannot be read.
    for (auto& entry : read_folder(folder.get()).value_or(std::vector<FolderEntry>{})) {
        if (is_container_id(entry.name)) ids.push_back(std::move(entry.name));
    }
    return ids;
}

std::string runtime_folder() {
    const char* given = ::secure_getenv("XDG_RUNTIME_DIR");
    return given != nullptr && given[0] == '/' ? given : "/run/user/" + std::to_string(::geteuid());
}

std::vector<Root> open_roots(bool& hidden) {
    const std::string own = runtime_folder();
    std::vector<Root> roots;
    std::vector<std::pair<dev_t, ino_t>> seen;
    for (const auto& [path, nested] :
         std::initializer_list<std::pair<std::string, bool>>{{"/run/runc", false},
                                                             {"/run/crun", false},
                                                             {"/run/docker/runtime-runc", true},
                                                             {"/run/containerd/runc", true},
                                                             {own + "/runc", false},
                                                             {own + "/crun", false},
                                                             {own + "/docker/runtime-runc", true}}) {
        Fd folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!folder || ::faccessat(folder.get(), ".", R_OK | X_OK, AT_EACCESS) != 0) {
            hidden = hidden || errno == EACCES;
            continue;
        }
        struct stat about {};
        if (::fstat(folder.get(), &about) != 0) continue;
        const std::pair<dev_t, ino_t> identity(about.st_dev, about.st_ino);
        if (std::find(seen.begin(), seen.end(), identity) != seen.end()) continue;
        seen.push_back(identity);
        roots.push_back({path, nested, std::move(folder)});
    }
    return roots;
}

std::vector<Entry> entries_of(const Root& root) {
    std::vector<Entry> entries;
    for (const auto& name : ids_in(root.folder)) {
        if (!root.nested) {
            entries.push_back({&root, name, name});
            continue;
        }
        const Fd folder = open_below(root.folder, name, O_RDONLY | O_DIRECTORY);
        if (!folder) continue;
        for (const auto& id : ids_in(folder))
            entries.push_back({&root, std::string(name).append("/").append(id), id});
    }
    return entries;
}

// ---- Names -------------------------------------------------------------------------------------------------------

// What somebody else says about names is not believed: sudo, for one, may leave HOME as it was.
std::optional<Contents> read_own(const Fd& folder, const std::string& path) {
    auto contents = read_below(folder, path);
    if (contents && contents->owner != 0 && contents->owner != ::geteuid()) contents.reset();
    return contents;
}

// The name among the annotations that runc has kept.
bool is_named_by_annotations(const JsonValue& state, std::string_view name) {
    const auto config = state.member("config");
    const auto labels = config ? config->member("labels") : std::nullopt;
    if (!labels) return false;
    std::vector<std::string> texts;
    for (const auto& label : labels->elements()) texts.push_back(label.string().value_or(""));
    const auto has = [&](std::string_view key, std::string_view value) {
        return std::any_of(texts.begin(), texts.end(), [&](std::string_view text) {
            return text.size() == key.size() + 1 + value.size() && text.starts_with(key) &&
                   text[key.size()] == '=' && text.ends_with(value);
        });
    };
    // A pod is called by its name, which all its containers have; the sandbox is what stands for it.
    if (has("io.kubernetes.cri.container-type", "sandbox"))
        return has("io.kubernetes.cri.sandbox-name", name);
    if (has("io.kubernetes.cri-o.ContainerType", "sandbox")) return has("io.kubernetes.pod.name", name);
    return has("nerdctl/name", name) || has("io.kubernetes.cri.container-name", name) ||
           has("io.kubernetes.container.name", name);
}

// The ids that podman has under this name.
void add_podmans(const std::string& storage, std::string_view name, std::vector<std::string>& ids) {
    const Fd folder(::open(storage.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!folder) return;
    for (const char* file :
         {"overlay-containers/containers.json", "overlay-containers/volatile-containers.json",
          "vfs-containers/containers.json", "vfs-containers/volatile-containers.json"}) {
        const auto contents = read_own(folder, file);
        const auto list = contents ? JsonValue::parse(contents->text) : std::nullopt;
        if (!list) continue;
        for (const auto& container : list->elements()) {
            const auto id = container.member("id");
            const auto names = container.member("names");
            if (!id || !names) continue;
            const auto all = names->elements();
            if (std::any_of(all.begin(), all.end(), [&](const auto& one) { return one.string() == name; }))
                ids.push_back(id->string().value_or(""));
        }
    }
}

bool is_dockers_name(const std::string& storage, const std::string& id, std::string_view name) {
    const Fd folder(::open(storage.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto contents = folder ? read_own(folder, id + "/config.v2.json") : std::nullopt;
    const auto config = contents ? JsonValue::parse(contents->text) : std::nullopt;
    const auto full = config ? config->member("Name") : std::nullopt;
    return full && full->string() == "/" + std::string(name);
}

std::vector<Entry> called(const std::vector<Entry>& entries, std::string_view name) {
    const char* const home = ::secure_getenv("HOME");
    const std::string own = home != nullptr && home[0] == '/' ? std::string(home) + "/.local/share" : "";
    std::vector<std::string> podmans;
    add_podmans("/var/lib/containers/storage", name, podmans);
    if (!own.empty()) add_podmans(own + "/containers/storage", name, podmans);
    std::vector<Entry> found;
    for (const auto& entry : entries) {
        if (std::find(podmans.begin(), podmans.end(), entry.id) != podmans.end() ||
            is_dockers_name("/var/lib/docker/containers", entry.id, name) ||
            (!own.empty() && is_dockers_name(own + "/docker/containers", entry.id, name))) {
            found.push_back(entry);
            continue;
        }
        const auto contents = read_below(entry.root->folder, entry.folder + "/state.json");
        const auto state = contents ? JsonValue::parse(contents->text) : std::nullopt;
        if (state && is_named_by_annotations(*state, name)) found.push_back(entry);
    }
    return found;
}

// ---- Which container is meant ------------------------------------------------------------------------------------

template <class Test>
std::vector<Entry> those(const std::vector<Entry>& entries, Test test) {
    std::vector<Entry> found;
    std::copy_if(entries.begin(), entries.end(), std::back_inserter(found), test);
    return found;
}

Entry choose(const std::vector<Entry>& entries, std::string_view text, bool hidden) {
    auto found = those(entries, [&](const Entry& entry) { return entry.id == text; });
    if (found.empty()) found = called(entries, text);
    if (found.empty()) found = those(entries, [&](const Entry& entry) { return entry.id.starts_with(text); });
    if (found.empty())
        fail(ENOENT, "find the container " + std::string(text),
             hidden ? "root's containers only root may look at"
                    : "`runc list`, `podman ps` and `docker ps` show those that there are");
    if (found.size() == 1) return found.front();
    constexpr std::size_t most = 8;
    std::string list;
    for (std::size_t i = 0; i < std::min(found.size(), most); ++i)
        list += (i > 0 ? ", " : "") + found[i].path();
    if (found.size() > most) list += " and " + std::to_string(found.size() - most) + " more";
    throw UsageError("'oci:" + std::string(text) + "' means several containers",
                     "give more of the id, or a process id: " + list);
}

// ---- Its process -------------------------------------------------------------------------------------------------

struct State {
    std::uint64_t pid = 0;
    std::uint64_t start = 0; // 0: not known
    uid_t owner = 0;
};

State read_state(const Entry& entry, const std::string& what) {
    struct Format {
        const char* file;
        const char* pid;
        const char* start;
    };
    for (const Format& format : {Format{"state.json", "init_process_pid", "init_process_start"},
                                 Format{"status", "pid", "process-start-time"}}) {
        const std::string path = entry.path() + "/" + format.file;
        const auto contents = read_below(entry.root->folder, entry.folder + "/" + format.file);
        if (!contents && errno == ENOENT) continue;
        if (!contents) fail(what, "its state is in " + path);
        const auto state = JsonValue::parse(contents->text);
        const auto pid = state ? state->member(format.pid) : std::nullopt;
        const auto number = pid ? pid->number() : std::nullopt;
        if (!number) fail(EBADMSG, what, path + " is not as runc and crun write it");
        const auto start = state->member(format.start);
        return {*number, start ? start->number().value_or(0) : 0, contents->owner};
    }
    fail(ENOENT, what, "there is no state in " + entry.path() + ": it is just being made or removed");
}

// When a process was started, in ticks since the machine was: field 22 of its stat file (proc(5)). The name in it may hold
// blanks and parentheses.
std::optional<std::uint64_t> start_time(pid_t pid) {
    const auto text = procfs::read_start(AT_FDCWD, ("/proc/" + std::to_string(pid) + "/stat").c_str());
    const auto name_end = text ? text->rfind(')') : std::string::npos;
    if (name_end == std::string::npos) return std::nullopt;
    std::size_t at = name_end;
    for (int field = 2; field < 22 && at != std::string::npos; ++field) at = text->find(' ', at + 1);
    std::uint64_t ticks = 0;
    if (at == std::string::npos ||
        std::from_chars(text->data() + at + 1, text->data() + text->size(), ticks).ec != std::errc())
        return std::nullopt;
    return ticks;
}

// Who owns the user namespace that a process is in.
std::optional<uid_t> owner_of_user_namespace(pid_t pid) {
    const Fd user(::open(("/proc/" + std::to_string(pid) + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC));
    uid_t owner = 0;
    if (!user || ::ioctl(user.get(), NS_GET_OWNER_UID, &owner) != 0) return std::nullopt;
    return owner;
}

} // namespace

ContainerProcess find_container(std::string_view text) {
    bool hidden = false;
    const std::vector<Root> roots = open_roots(hidden);
    std::vector<Entry> entries;
    for (const auto& root : roots) {
        for (auto& entry : entries_of(root)) entries.push_back(std::move(entry));
    }
    const Entry entry = choose(entries, text, hidden);
    const std::string what = "find the process of the container " + entry.id;
    const State state = read_state(entry, what);

    constexpr std::uint64_t highest = 1U << 30;
    ContainerProcess found;
    if (state.pid > 0 && state.pid <= highest) {
        found.pid = static_cast<pid_t>(state.pid);
        found.process = Fd(static_cast<int>(::syscall(SYS_pidfd_open, found.pid, 0)));
    }
    struct pollfd ended {
        found.process.get(), POLLIN, 0
    };
    const auto start = found.process && ::poll(&ended, 1, 0) == 0 ? start_time(found.pid) : std::nullopt;
    if (!start) fail(ESRCH, what, "the container has stopped");
    if (state.start == 0)
        fail(EBADMSG, what,
             "its state does not say when process " + std::to_string(found.pid) +
                 " was started; if it is the right one, give its number");
    if (state.start != *start)
        fail(ESRCH, what,
             "the container has stopped; its process id, " + std::to_string(found.pid) +
                 ", belongs to another process by now");
    if (state.owner != 0 && state.owner != ::geteuid() && owner_of_user_namespace(found.pid) != state.owner)
        fail(EPERM, what,
             "user " + std::to_string(state.owner) + " says that it is process " + std::to_string(found.pid) +
                 ", which is not that user's");
    return found;
}

} // namespace ipcns
