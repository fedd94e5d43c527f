// SPDX-License-Identifier: Apache-2.0
// Reading /proc by descriptor. Leans on: /proc lists processes in ascending order; the link count of
// /proc/PID/task is the number of threads and two; a namespace link reads "ipc:[INODE]" (namespaces(7)).
#include "procfs.hpp"

#include "error.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace ipcns::procfs {
namespace {

// What getdents64(2) fills in; glibc 2.36 declares the same as struct dirent64.
using Entry = struct dirent64;

std::string unescape_octal(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            out +=
                static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

} // namespace

Fd open_proc() {
    Fd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!proc) fail("open /proc");
    if (::faccessat(proc.get(), "self", F_OK, 0) != 0)
        fail("look into /proc", "mount it: mount -t proc proc /proc");
    return proc;
}

bool hides_processes(int proc) { return ::faccessat(proc, "1", F_OK, 0) != 0 && errno == ENOENT; }

ProcessPath::ProcessPath(pid_t pid) noexcept {
    char* end = std::to_chars(path_.data(), path_.data() + path_.size(), pid).ptr;
    *end++ = '/';
    start_ = static_cast<std::size_t>(end - path_.data());
}

const char* ProcessPath::operator()(std::string_view file) noexcept {
    const std::size_t length = file.copy(path_.data() + start_, path_.size() - start_ - 1);
    path_[start_ + length] = '\0';
    return path_.data();
}

Numbers::Numbers(int folder, const char* path)
    : folder_(::openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (!folder_) error_ = errno;
}

bool Numbers::more(std::vector<pid_t>& numbers, std::size_t buffer_size) {
    alignas(Entry) std::array<char, buffer_most> buffer;
    const auto length = folder_ ? ::syscall(SYS_getdents64, folder_.get(), buffer.data(),
                                            std::min(buffer_size, buffer.size()))
                                : 0;
    if (length < 0) error_ = errno;
    for (long at = 0; at < length;) {
        const auto* entry = reinterpret_cast<const Entry*>(buffer.data() + at);
        at += entry->d_reclen;
        pid_t number = 0;
        const char* end = entry->d_name + std::strlen(entry->d_name);
        const auto parsed = std::from_chars(entry->d_name, end, number);
        if (parsed.ec == std::errc() && parsed.ptr == end) numbers.push_back(number);
    }
    return length > 0;
}

std::vector<pid_t> numbers_in(int folder, const char* path) {
    std::vector<pid_t> numbers;
    Numbers entries(folder, path);
    while (entries.more(numbers)) {}
    errno = entries.error();
    return numbers;
}

std::vector<pid_t> processes(int proc) {
    auto found = numbers_in(proc, ".");
    if (errno != 0) fail("list the processes in /proc");
    return found;
}

bool is_gone(int number) noexcept { return number == ENOENT || number == ESRCH; }

ino_t parse_link(std::string_view link, std::string_view kind) {
    if (!link.starts_with(kind)) return 0;
    link.remove_prefix(kind.size());
    if (!link.starts_with(":[") || !link.ends_with("]")) return 0;
    link = link.substr(2, link.size() - 3);
    ino_t inode = 0;
    const auto [end, error] = std::from_chars(link.data(), link.data() + link.size(), inode);
    return error == std::errc() && end == link.data() + link.size() ? inode : 0;
}

ino_t namespace_inode(int proc, const char* path, std::string_view kind) {
    std::array<char, 64> link;
    const ssize_t length = ::readlinkat(proc, path, link.data(), link.size());
    if (length < 0) return 0;
    std::string_view text(link.data(), static_cast<std::size_t>(length));
    if (kind.empty()) kind = text.substr(0, text.find(':'));
    errno = ENOENT;
    return parse_link(text, kind);
}

bool has_threads(const struct stat& tasks) { return tasks.st_nlink > 3; }

bool each_namespace(int proc, pid_t pid, const char* kind, const std::function<bool(ino_t)>& visit,
                    struct stat* tasks) {
    ProcessPath file(pid);
    const ino_t main = namespace_inode(proc, file(std::string("ns/") + kind));
    if (main == 0 && !is_gone(errno)) return false;
    if (main != 0 && visit(main)) return true;
    struct stat about {};
    if (::fstatat(proc, file("task"), &about, 0) != 0) return true;
    if (tasks != nullptr) *tasks = about;
    if (!has_threads(about)) return true;
    std::array<char, 64> path;
    const auto threads = numbers_in(proc, file("task"));
    const int missed = errno;
    for (const pid_t thread : threads) {
        if (thread == pid) continue;
        std::snprintf(path.data(), path.size(), "%d/task/%d/ns/%s", pid, thread, kind);
        const ino_t inode = namespace_inode(proc, path.data());
        if (inode != 0 && inode != main && visit(inode)) return true;
    }
    errno = missed;
    return missed == 0 || is_gone(missed);
}

std::optional<std::string> read_file(int proc, const char* path, std::size_t most) {
    const Fd file(::openat(proc, path, O_RDONLY | O_CLOEXEC));
    if (!file) return std::nullopt;
    std::string text;
    std::array<char, 4096> buffer;
    while (text.size() < most) {
        const ssize_t length = ::read(file.get(), buffer.data(), buffer.size());
        if (length < 0) {
            if (errno == EINTR) continue;
            return std::nullopt;
        }
        if (length == 0) break;
        text.append(buffer.data(), static_cast<std::size_t>(length));
    }
    return text;
}

std::optional<std::string> read_start(int proc, const char* path) {
    const Fd file(::openat(proc, path, O_RDONLY | O_CLOEXEC));
    if (!file) return std::nullopt;
    std::array<char, 4096> buffer;
    const ssize_t length = ::read(file.get(), buffer.data(), buffer.size());
    if (length < 0) return std::nullopt;
    return std::string(buffer.data(), static_cast<std::size_t>(length));
}

std::vector<NamespaceMount> namespace_mounts(int proc, const char* path) {
    std::vector<NamespaceMount> mounts;
    const auto text = read_file(proc, path, std::size_t{1} << 28);
    if (!text) return mounts;
    errno = 0;
    std::string_view rest = *text;
    while (!rest.empty()) {
        const std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        const auto separator = line.find(" - ");
        if (separator == std::string_view::npos || !line.substr(separator + 3).starts_with("nsfs ")) continue;
        // ID PARENT MAJOR:MINOR ROOT POINT OPTIONS ...
        std::array<std::string_view, 5> field;
        std::string_view left = line;
        for (auto& one : field) {
            one = left.substr(0, left.find(' '));
            left.remove_prefix(std::min(left.size(), one.size() + 1));
        }
        mounts.push_back({unescape_octal(field[3]), unescape_octal(field[4])});
    }
    return mounts;
}

} // namespace ipcns::procfs
