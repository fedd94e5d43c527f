// SPDX-License-Identifier: Apache-2.0
// The limits of an IPC namespace: files of /proc/sys that show and take the values of the namespace of whoever opens
// them. Leans on what was tried with Linux 6.18:
// - a new namespace begins with the kernel's defaults, whatever its parent has;
// - a refused write to "sem" may have changed the numbers before the refused one;
// - -1, which the *_next_id files show, is refused by them: only the next object takes a wish back;
// - auto_msgmni takes what it is told and stays 0;
// - who may write is decided by the effective user alone, not by capabilities, except for the *_next_id files. So root of
//   the host may not write those of a namespace whose user namespace has a root of its own, unless it becomes that user.
#include <ipcns/limits.hpp>

#include "errand.hpp"
#include "error.hpp"
#include "limits.hpp"
#include "procfs.hpp"

#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>
#include <ipcns/text.hpp>

#include <fcntl.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <string_view>
#include <utility>

namespace ipcns {
namespace {

// Bounds and what a new namespace has, from the kernel: ipc/ipc_sysctl.c, ipc/mq_sysctl.c, ipc/util.h,
// include/linux/ipc_namespace.h (DFLT_ and HARD_ for queues), include/uapi/linux/{msg,sem,shm}.h.
constexpr std::uint64_t int_max = 2147483647;
constexpr std::uint64_t long_max = std::numeric_limits<unsigned long>::max();
constexpr std::uint64_t huge = long_max - (1UL << 24); // SHMMAX, SHMALL
constexpr std::uint64_t most_objects = 1U << 15;       // IPCMNI
constexpr std::uint64_t most_ever = 1U << 24;          // with the boot parameter ipcmni_extend

constexpr const char* sem_path = "/proc/sys/kernel/sem";

constexpr LimitKey keys[] = {
    {"msgmax", "/proc/sys/kernel/msgmax", 1, -1, "largest System V message", "bytes", 0, int_max, 8192},
    {"msgmnb", "/proc/sys/kernel/msgmnb", 1, -1, "size of a new System V queue", "bytes", 0, int_max, 16384},
    {"msgmni", "/proc/sys/kernel/msgmni", 1, -1, "System V queues", "queues", 0, most_ever, 32000},
    {"sem", sem_path, 4, -1, "semmsl, semmns, semopm and semmni", "numbers", 0, int_max},
    {"shmall", "/proc/sys/kernel/shmall", 1, -1, "segments together", "pages", 0, long_max, huge},
    {"shmmax", "/proc/sys/kernel/shmmax", 1, -1, "largest segment", "bytes", 0, long_max, huge},
    {"shmmni", "/proc/sys/kernel/shmmni", 1, -1, "segments", "segments", 0, most_ever, 4096},
    {"shm_rmid_forced", "/proc/sys/kernel/shm_rmid_forced", 1, -1, "1: remove unattached segments", "flag", 0,
     1, 0},
    {"msg_next_id", "/proc/sys/kernel/msg_next_id", 1, -1, "wanted id of the next queue", "id", 0, int_max},
    {"sem_next_id", "/proc/sys/kernel/sem_next_id", 1, -1, "wanted id of the next set", "id", 0, int_max},
    {"shm_next_id", "/proc/sys/kernel/shm_next_id", 1, -1, "wanted id of the next segment", "id", 0, int_max},
    {"auto_msgmni", "/proc/sys/kernel/auto_msgmni", 1, -1, "without effect since 3.19", "flag", 0, 1, 0},
    {"queues_max", "/proc/sys/fs/mqueue/queues_max", 1, -1, "POSIX queues", "queues", 0, int_max, 256},
    {"msg_max", "/proc/sys/fs/mqueue/msg_max", 1, -1, "messages in a POSIX queue", "messages", 1, 65536, 10},
    {"msgsize_max", "/proc/sys/fs/mqueue/msgsize_max", 1, -1, "largest POSIX message", "bytes", 128, 1 << 24,
     8192},
    {"msg_default", "/proc/sys/fs/mqueue/msg_default", 1, -1, "msg_max if not asked for", "messages", 1,
     65536, 10},
    {"msgsize_default", "/proc/sys/fs/mqueue/msgsize_default", 1, -1, "msgsize_max if not asked for", "bytes",
     128, 1 << 24, 8192},
};

constexpr std::array<LimitKey, 4> sem_parts{{
    {"semmsl", sem_path, 1, 0, "semaphores in a set", "semaphores", 0, int_max, 32000},
    {"semmns", sem_path, 1, 1, "semaphores in all sets", "semaphores", 0, int_max, 1024000000},
    {"semopm", sem_path, 1, 2, "operations in a semop call", "operations", 0, int_max, 500},
    {"semmni", sem_path, 1, 3, "semaphore sets", "sets", 0, most_ever, 32000},
}};

bool is_id(const LimitKey& key) { return std::string_view(key.unit) == "id"; }

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> words;
    while (!text.empty()) {
        const auto end = text.find_first_of(" ,\t");
        if (end != 0) words.push_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return words;
}

std::string join(const std::vector<std::string_view>& words) {
    std::string text;
    for (const auto word : words) text += (text.empty() ? "" : " ") + std::string(word);
    return text;
}

// What a file says, with single spaces; nothing when there is no such file.
std::optional<std::string> read_value(const char* path) {
    const auto text = procfs::read_file(AT_FDCWD, path, 256);
    if (!text) return std::nullopt;
    return join(split(std::string_view(*text).substr(0, text->find('\n'))));
}

std::string normalise(const LimitKey& key, std::string_view value) {
    const auto refuse = [&] {
        throw UsageError("'" + escape(value) + "' is not a value for the limit " + key.name,
                         key.numbers == 1
                             ? "it takes one number, e.g. " + std::string(key.name) + "=4096 or 64K"
                             : "it takes four numbers, e.g. sem=250,32000,32,128");
    };
    std::string out;
    const auto words = split(value);
    if (words.size() != static_cast<std::size_t>(key.numbers)) refuse();
    for (const std::string_view word : words) {
        if (!out.empty()) out += ' ';
        // Only the next_id limits have a meaning for a negative number: "any".
        if (word == "-1" && is_id(key)) {
            out += word;
            continue;
        }
        // What shmall and shmmax begin with, as it is shown.
        constexpr std::uint64_t beyond = std::uint64_t{1} << 60;
        if (word == "unlimited" && key.usual && *key.usual > beyond) {
            out += std::to_string(*key.usual);
            continue;
        }
        try {
            out += std::to_string(parse_size(word));
        } catch (const UsageError&) {
            refuse();
        }
    }
    return out;
}

// The name without what sysctl(8) writes before it, and the folder that this stands for.
std::pair<std::string_view, std::string_view> without_prefix(std::string_view name) {
    for (const auto& [prefix, folder] :
         {std::pair<std::string_view, std::string_view>{"kernel.", "/proc/sys/kernel/"},
          {"fs.mqueue.", "/proc/sys/fs/mqueue/"}}) {
        if (name.starts_with(prefix)) return {name.substr(prefix.size()), folder};
    }
    return {name, "/proc/sys/"};
}

// The hint for a name that is none.
std::string known_keys(std::string_view wrong) {
    std::vector<std::string_view> names;
    for (const auto& key : keys) {
        names.emplace_back(key.name);
        if (key.numbers == 1) continue;
        for (const auto& part : sem_parts) names.emplace_back(part.name);
    }
    // The names are in capitals where the manual pages of the system calls speak of them.
    std::string word(without_prefix(wrong).first);
    for (char& c : word) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    const std::string_view near = nearest(word, names);
    return near.empty() ? "the limits are " + join(names)
                        : "did you mean " + std::string(near) + "? `ipcns limits` shows all there are";
}

// "msg_max takes 1 to 65536"
std::string bounds(const LimitKey& key) {
    // The others take any number that could be asked for.
    if (key.numbers != 1) return bounds(sem_parts.back());
    const std::string name(key.name);
    if (key.most == 1) return name + " is 0 or 1";
    if (key.most == most_ever && key.least == 0) // the size of a message has the same bound by chance
        return name + " takes 0 to " + std::to_string(most_objects) + " (after a boot with ipcmni_extend " +
               std::to_string(most_ever) + ")";
    return name + " takes " + std::to_string(key.least) + " to " + std::to_string(key.most);
}

[[noreturn]] void refuse(int number, const std::string& setting, const std::string& hint,
                         const std::string& more = {}) {
    fail(number, "set the limit " + setting, hint + (hint.empty() || more.empty() ? "" : "; ") + more);
}

// What is to be written to one file.
struct Setting {
    const LimitKey* key = nullptr; // of the whole file
    std::string asked;             // for messages: "semmsl=8 semmni=9"
    std::string old_value;
    std::string value;
    std::optional<uid_t> user; // whom to be for it, where the caller as it is may not
};

// Puts together what belongs to one file, and looks at every number. In the order in which they are asked for.
// @param old_value of a key of a whole file
std::vector<Setting> plan_settings(std::span<const Limit> limits,
                                   const std::function<std::string(const Limit&)>& old_value) {
    std::vector<Setting> settings;
    for (const Limit& limit : limits) {
        if (limit.key == nullptr) throw UsageError("a limit without a key", "Limit::parse() makes one");
        const std::string value = normalise(*limit.key, limit.value);
        const auto words = split(value);
        std::string asked = std::string(limit.key->name) + "=" + value;
        for (std::size_t i = 0; i < words.size(); ++i) {
            const LimitKey& key = limit.key->numbers == 1 ? *limit.key : sem_parts.at(i);
            std::uint64_t number = 0;
            std::from_chars(words[i].data(), words[i].data() + words[i].size(), number);
            const bool wish = words[i] == "-1";
            if (!wish && (number < key.least || number > key.most))
                refuse(EINVAL, asked, limit_hint(EINVAL, &key));
        }
        const LimitKey* file = limit.key->part < 0 ? limit.key : find_limit_key("sem");
        auto setting = std::find_if(settings.begin(), settings.end(),
                                    [&](const Setting& one) { return one.key == file; });
        if (setting == settings.end()) {
            const std::string old = old_value({file, limit.value});
            setting = settings.insert(setting, {file, "", old, old, {}});
        }
        if (limit.key->part < 0) {
            setting->asked = asked;
            setting->value = value;
            continue;
        }
        setting->asked += (setting->asked.empty() ? "" : " ") + asked;
        auto numbers = split(setting->value);
        if (numbers.size() != sem_parts.size())
            refuse(EINVAL, asked, "this kernel's sem has not four numbers");
        numbers[static_cast<std::size_t>(limit.key->part)] = value;
        setting->value = join(numbers);
    }
    return settings;
}

// Does something as a user with another effective id, in a child process whose credentials are its own.
int as_user(uid_t user, const std::function<int()>& work) {
    int number = 0;
    errand("start a helper process", 0, [&] {
        // glibc's function would change every thread of the program around us.
        const int dumpable = ::prctl(PR_GET_DUMPABLE);
        number = ::syscall(SYS_setresuid, -1, user, -1) == 0 ? work() : errno;
        // The kernel took that away from the memory that we share.
        if (dumpable == 1) ::prctl(PR_SET_DUMPABLE, 1);
    });
    return number;
}

int try_open(const char* path) {
    const Fd file(::open(path, O_WRONLY | O_CLOEXEC));
    return file ? 0 : errno;
}

// Whether the caller may write; else as whom it may.
void look_for_permission(Setting& setting) {
    const char* path = setting.key->path;
    int number = try_open(path);
    struct stat about {};
    if (number == EACCES && ::stat(path, &about) == 0 && about.st_uid != ::geteuid() &&
        as_user(about.st_uid, [path] { return try_open(path); }) == 0) {
        setting.user = about.st_uid;
        number = 0;
    }
    if (number != 0)
        refuse(number, setting.asked, limit_hint(number, setting.key), "nothing has been changed");
}

// Makes an object and removes it: it gets the id that somebody wished for.
int take_wish_back(const LimitKey& key) {
    const std::string_view kind = std::string_view(key.name).substr(0, 3);
    if (kind == "msg") {
        const int id = ::msgget(IPC_PRIVATE, 0600);
        return id >= 0 && ::msgctl(id, IPC_RMID, nullptr) == 0 ? 0 : errno;
    }
    if (kind == "sem") {
        const int id = ::semget(IPC_PRIVATE, 1, 0600);
        return id >= 0 && ::semctl(id, 0, IPC_RMID) == 0 ? 0 : errno;
    }
    const int id = ::shmget(IPC_PRIVATE, 1, 0600);
    return id >= 0 && ::shmctl(id, IPC_RMID, nullptr) == 0 ? 0 : errno;
}

int write_value(const Setting& setting, const std::string& value) {
    const char* path = setting.key->path;
    if (value == "-1" && is_id(*setting.key))
        return read_value(path) == value ? 0 : take_wish_back(*setting.key);
    const auto write = [&] { return write_limit_raw(path, value.c_str(), value.size()); };
    return setting.user ? as_user(*setting.user, write) : write();
}

// The settings in the order in which they are to be written: what is hard to undo comes late, what cannot be undone last.
std::vector<const Setting*> in_order(const std::vector<Setting>& settings) {
    const auto rank = [](const Setting& setting) {
        if (std::string_view(setting.key->name) == "shm_rmid_forced") return 2;
        return is_id(*setting.key) ? 1 : 0;
    };
    std::vector<const Setting*> order;
    for (const int now : {0, 1, 2}) {
        for (const Setting& setting : settings) {
            if (rank(setting) == now) order.push_back(&setting);
        }
    }
    return order;
}

// Puts settings back from the last to the first. @return what to tell the person
std::string put_back(std::span<const Setting* const> settings) {
    std::string failed;
    for (std::size_t i = settings.size(); i-- > 0;) {
        const Setting& setting = *settings[i];
        if (read_value(setting.key->path) == setting.old_value) continue;
        if (write_value(setting, setting.old_value) != 0 ||
            read_value(setting.key->path) != setting.old_value)
            failed +=
                (failed.empty() ? "" : ", ") + std::string(setting.key->name) + " was " + setting.old_value;
    }
    return failed.empty() ? "nothing has been changed" : "what could not be put back: " + failed;
}

std::optional<std::uint64_t> count_posix_queues() {
    try {
        const Fd queues = mount_queues();
        if (!queues) return std::nullopt;
        return files_usage(queues.get()).files;
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::optional<std::uint64_t> number_in(const LimitKey& key, std::string_view text) {
    std::int64_t negative = 0;
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    if (std::from_chars(text.data(), end, number).ptr == end && !text.empty()) return number;
    // A kernel that compares without a sign shows with one.
    if (std::string_view(key.name) == "queues_max" &&
        std::from_chars(text.data(), end, negative).ptr == end && negative < 0)
        return static_cast<std::uint32_t>(negative);
    return std::nullopt;
}

} // namespace

std::span<const LimitKey> limit_keys() noexcept { return keys; }

const LimitKey* find_limit_key(std::string_view name) noexcept {
    const auto [word, folder] = without_prefix(name);
    for (const auto& key : keys) {
        if (word == key.name && std::string_view(key.path).starts_with(folder)) return &key;
    }
    // These are words of the manual pages; sysctl(8) does not know them.
    for (const auto& part : sem_parts) {
        if (name == part.name) return &part;
    }
    return nullptr;
}

Limit Limit::parse(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos)
        throw UsageError(
            "'" + escape(text) + "' is not KEY=VALUE",
            "for example " + (find_limit_key(text) != nullptr ? escape(text) + "=4096" : "shmmax=64M"));
    const std::string_view name = text.substr(0, equals);
    const LimitKey* key = find_limit_key(name);
    if (key == nullptr) throw UsageError("there is no limit '" + escape(name) + "'", known_keys(name));
    return {key, normalise(*key, text.substr(equals + 1))};
}

std::vector<Limit> read_limits() {
    std::vector<Limit> limits;
    for (const auto& key : keys) {
        if (auto value = read_value(key.path))
            limits.push_back({&key, std::move(*value)});
        else if (errno != ENOENT)
            fail("read the limit " + std::string(key.name));
    }
    return limits;
}

std::optional<double> LimitUse::percent() const noexcept {
    if (!used || !value) return std::nullopt;
    if (*value == 0) return 100;
    return static_cast<double>(*used) * 100 / static_cast<double>(*value);
}

std::vector<LimitUse> read_limit_use() {
    std::optional<SysvUsage> sysv;
    try {
        sysv = sysv_usage();
    } catch (const Error&) {
        // The limits are known all the same.
    }
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::vector<LimitUse> all;
    const auto add = [&](const LimitKey& key, std::string_view text) {
        LimitUse use{&key, number_in(key, text), {}};
        const std::string_view name = key.name;
        if (sysv && name == "msgmni") use.used = sysv->queues;
        if (sysv && name == "semmns") use.used = sysv->semaphores;
        if (sysv && name == "semmni") use.used = sysv->semaphore_sets;
        if (sysv && name == "shmall") use.used = sysv->segment_bytes / page;
        if (sysv && name == "shmmni") use.used = sysv->segments;
        if (name == "queues_max") use.used = count_posix_queues();
        all.push_back(use);
    };
    for (const auto& limit : read_limits()) {
        if (limit.key->numbers == 1) {
            add(*limit.key, limit.value);
            continue;
        }
        const auto numbers = split(limit.value);
        for (std::size_t i = 0; i < std::min(numbers.size(), sem_parts.size()); ++i)
            add(sem_parts.at(i), numbers[i]);
    }
    return all;
}

std::vector<Limit> limits_of_new_namespace(std::span<const Limit> limits) {
    const auto settings = plan_settings(limits, [](const Limit& limit) {
        std::string value;
        if (limit.key->numbers == 1)
            return limit.key->usual ? std::to_string(*limit.key->usual) : std::string("-1");
        for (const auto& part : sem_parts)
            value += (value.empty() ? "" : " ") + std::to_string(part.usual.value_or(0));
        return value;
    });
    std::vector<Limit> result;
    for (const auto& setting : settings) {
        // The kernel refuses to be told what a new namespace has.
        if (is_id(*setting.key) && setting.value == "-1") continue;
        result.push_back({setting.key, setting.value});
    }
    return result;
}

std::vector<LimitChange> set_limits(std::span<const Limit> limits) {
    auto settings = plan_settings(limits, [](const Limit& limit) {
        const auto value = read_value(limit.key->path);
        const int number = errno;
        if (!value)
            refuse(number, std::string(limit.key->name) + "=" + limit.value, limit_hint(number, limit.key));
        return *value;
    });
    for (auto& setting : settings) look_for_permission(setting);

    const auto order = in_order(settings);
    for (std::size_t i = 0; i < order.size(); ++i) {
        const Setting& setting = *order[i];
        const int number = write_value(setting, setting.value);
        const auto now = read_value(setting.key->path);
        // Somebody may have made the object meanwhile for which an id was wished for.
        const bool kept = now == setting.value || (is_id(*setting.key) && now == "-1");
        if (number == 0 && kept) continue;
        const std::string hint = number != 0
                                     ? limit_hint(number, setting.key)
                                     : "the kernel took it, and still says " + now.value_or("nothing");
        // With this one: the kernel may have taken the first numbers of several.
        refuse(number != 0 ? number : EINVAL, setting.asked, hint, put_back({order.data(), i + 1}));
    }
    std::vector<LimitChange> changes;
    changes.reserve(settings.size());
    for (const auto& setting : settings) changes.push_back({setting.key, setting.old_value, setting.value});
    return changes;
}

void write_limit(const Limit& limit) { (void)set_limits({&limit, 1}); }

int write_limit_raw(const char* path, const char* value, std::size_t length) noexcept {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    const ssize_t written = ::write(fd, value, length);
    const int number = written == static_cast<ssize_t>(length) ? 0 : written < 0 ? errno : EINVAL;
    ::close(fd);
    return number;
}

std::string limit_hint(int number, const LimitKey* key) {
    switch (number) {
    case EPERM:
    case EACCES:
        return "it wants root of the user namespace that owns the IPC namespace (Linux 6.9, 6.6.45 or 6.1.104), or where that "
               "has no root, root of the host";
    case EROFS:
        return "/proc/sys is mounted read-only here, as container runtimes do; run it outside, or in a privileged container";
    case ENOENT: return "this kernel has no such limit";
    case EINVAL:
    case ERANGE: return "the kernel does not take this value" + (key != nullptr ? ": " + bounds(*key) : "");
    default: return {};
    }
}

} // namespace ipcns
