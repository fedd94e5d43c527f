// SPDX-License-Identifier: Apache-2.0
// The limits of an IPC namespace: files of /proc/sys that show and take the values of the namespace of
// whoever opens them.
#include <ipcns/limits.hpp>

#include "error.hpp"
#include "limits.hpp"
#include "procfs.hpp"

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <string_view>
#include <utility>

namespace ipcns {
namespace {

constexpr LimitKey keys[] = {
    {"msgmax", "/proc/sys/kernel/msgmax", 1, "largest System V message, bytes"},
    {"msgmnb", "/proc/sys/kernel/msgmnb", 1, "bytes that a new System V queue may hold"},
    {"msgmni", "/proc/sys/kernel/msgmni", 1, "System V queues"},
    {"sem", "/proc/sys/kernel/sem", 4, "semaphores a set, semaphores in all, operations a call, sets"},
    {"shmall", "/proc/sys/kernel/shmall", 1, "System V shared memory in all, pages"},
    {"shmmax", "/proc/sys/kernel/shmmax", 1, "largest System V segment, bytes"},
    {"shmmni", "/proc/sys/kernel/shmmni", 1, "System V segments"},
    {"shm_rmid_forced", "/proc/sys/kernel/shm_rmid_forced", 1,
     "remove a segment when nobody is attached: 0 or 1"},
    {"msg_next_id", "/proc/sys/kernel/msg_next_id", 1, "wanted id of the next queue, -1 for any"},
    {"sem_next_id", "/proc/sys/kernel/sem_next_id", 1, "wanted id of the next semaphore set, -1 for any"},
    {"shm_next_id", "/proc/sys/kernel/shm_next_id", 1, "wanted id of the next segment, -1 for any"},
    {"auto_msgmni", "/proc/sys/kernel/auto_msgmni", 1, "without effect since Linux 3.19"},
    {"queues_max", "/proc/sys/fs/mqueue/queues_max", 1, "POSIX queues"},
    {"msg_max", "/proc/sys/fs/mqueue/msg_max", 1, "most messages that a POSIX queue may be made for"},
    {"msgsize_max", "/proc/sys/fs/mqueue/msgsize_max", 1,
     "largest message that a POSIX queue may be made for, bytes"},
    {"msg_default", "/proc/sys/fs/mqueue/msg_default", 1,
     "messages of a POSIX queue made without attributes"},
    {"msgsize_default", "/proc/sys/fs/mqueue/msgsize_default", 1,
     "message size of a POSIX queue made without attributes, bytes"},
};

std::string normalise(const LimitKey& key, std::string_view value) {
    std::string out;
    int numbers = 0;
    const auto refuse = [&] {
        throw UsageError("'" + escape(value) + "' is not a value for the limit " + key.name,
                         key.numbers == 1
                             ? "it takes one number, e.g. " + std::string(key.name) + "=4096 or 64K"
                             : "it takes four numbers, e.g. sem=250,32000,32,128");
    };
    std::string_view rest = value;
    while (!rest.empty()) {
        const auto end = rest.find_first_of(" ,\t");
        const std::string_view word = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (word.empty()) continue;
        if (!out.empty()) out += ' ';
        ++numbers;
        // Only the next_id limits have a meaning for a negative number: "any".
        if (word == "-1" && std::string_view(key.name).ends_with("_next_id")) {
            out += word;
            continue;
        }
        try {
            out += std::to_string(parse_size(word));
        } catch (const UsageError&) {
            refuse();
        }
    }
    if (numbers != key.numbers) refuse();
    return out;
}

std::string known_keys() {
    std::string text = "the limits are";
    for (const auto& key : keys) text += std::string(" ") + key.name;
    return text;
}

} // namespace

std::span<const LimitKey> limit_keys() noexcept { return keys; }

const LimitKey* find_limit_key(std::string_view name) noexcept {
    std::string_view folder = "/proc/sys/";
    for (const auto& [prefix, its_folder] :
         {std::pair<std::string_view, std::string_view>{"kernel.", "/proc/sys/kernel/"},
          {"fs.mqueue.", "/proc/sys/fs/mqueue/"}}) {
        if (!name.starts_with(prefix)) continue;
        name.remove_prefix(prefix.size());
        folder = its_folder;
        break;
    }
    for (const auto& key : keys) {
        if (name == key.name && std::string_view(key.path).starts_with(folder)) return &key;
    }
    return nullptr;
}

Limit Limit::parse(std::string_view text) {
    const auto equals = text.find('=');
    if (equals == std::string_view::npos)
        throw UsageError("'" + escape(text) + "' is not KEY=VALUE", "for example shmmax=64M");
    const LimitKey* key = find_limit_key(text.substr(0, equals));
    if (key == nullptr)
        throw UsageError("there is no limit '" + escape(text.substr(0, equals)) + "'", known_keys());
    return {key, normalise(*key, text.substr(equals + 1))};
}

std::vector<Limit> read_limits() {
    std::vector<Limit> limits;
    for (const auto& key : keys) {
        auto text = procfs::read_file(AT_FDCWD, key.path, 256);
        if (!text) continue;
        while (!text->empty() && text->back() == '\n') text->pop_back();
        for (char& c : *text) {
            if (c == '\t') c = ' ';
        }
        limits.push_back({&key, std::move(*text)});
    }
    return limits;
}

int write_limit_raw(const char* path, const char* value, std::size_t length) noexcept {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return errno;
    const ssize_t written = ::write(fd, value, length);
    const int number = written == static_cast<ssize_t>(length) ? 0 : written < 0 ? errno : EINVAL;
    ::close(fd);
    return number;
}

std::string limit_hint(int number) {
    switch (number) {
    case EPERM:
    case EACCES:
        return "setting limits wants root in the user namespace that owns the IPC namespace (Linux 6.0 or newer), or root";
    case EROFS:
        return "/proc/sys is mounted read-only here, as container runtimes do; run it outside, or in a privileged container";
    case ENOENT: return "this kernel has no such limit";
    case EINVAL:
    case ERANGE: return "the kernel does not take this value";
    default: return {};
    }
}

void write_limit(const Limit& limit) {
    if (const int number = write_limit_raw(limit.key->path, limit.value.c_str(), limit.value.size()))
        fail(number, std::string("set the limit ") + limit.key->name + "=" + limit.value, limit_hint(number));
}

} // namespace ipcns
