// SPDX-License-Identifier: Apache-2.0
// Reading /proc by descriptor. Processes come and go: whoever vanishes is no error.
#pragma once

#include <ipcns/fd.hpp>

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns::procfs {

/// /proc itself, O_PATH.
Fd open_proc();

/// Whether hidepid (proc(5)) leaves processes out of the folder: the first one of a pid namespace is always there.
bool hides_processes(int proc);

/// The path of a process's files below /proc. One buffer for all of them: each call overwrites the one before.
class ProcessPath {
public:
    explicit ProcessPath(pid_t pid) noexcept;
    /// "1234/ns/ipc" for "ns/ipc", which may have up to 40 characters.
    const char* operator()(std::string_view file) noexcept;

private:
    std::array<char, 56> path_{};
    std::size_t start_;
};

/// Reads a folder's entries with numbers for names, piece by piece: in the order of the kernel (ascending in /proc).
class Numbers {
public:
    Numbers(int folder, const char* path);
    /// Adds what one more system call finds. A large buffer takes fewer of them, a small one leaves more for others.
    /// @return false at the end, or when the folder cannot be read
    bool more(std::vector<pid_t>& numbers, std::size_t buffer_size = buffer_most);
    /// The error that was the end; 0 when there was none.
    [[nodiscard]] int error() const noexcept { return error_; }

private:
    static constexpr std::size_t buffer_most = 32768;
    Fd folder_;
    int error_ = 0;
};

/// All entries of a folder with a number for a name. errno is 0 when these are all, else it says why there may be
/// more: a process that has ended meanwhile is_gone().
std::vector<pid_t> numbers_in(int folder, const char* path);

/// The processes in /proc. @throws Error when they cannot be listed
std::vector<pid_t> processes(int proc);

/// Whether the errno of a look into /proc/PID means that there is no such process any more.
bool is_gone(int number) noexcept;

/// The number in the link PATH ("ipc:[4026531839]") below @p proc, or 0 with errno set. @p kind: only if it is of this
/// kind; for a descriptor, since pipes and sockets read much like namespaces.
ino_t namespace_inode(int proc, const char* path, std::string_view kind = {});

/// Whether a process whose folder "task" this is has several threads.
bool has_threads(const struct stat& tasks);

/// Calls @p visit with the namespace number of every thread of @p pid until it returns true, the main thread
/// first.
/// @param tasks set to what stat(2) says of its folder "task", when all went well: its effective user, and its threads
/// @return false with errno, EACCES for one, when the process could not be looked at, or not all of its threads
bool each_namespace(int proc, pid_t pid, const char* kind, const std::function<bool(ino_t)>& visit,
                    struct stat* tasks = nullptr);

/// The whole of a small file below @p proc; nothing when it cannot be read.
std::optional<std::string> read_file(int proc, const char* path, std::size_t most = 1 << 20);

/// What one read(2) gives of a file below @p proc: all of a short one, the start of a long one; nothing when it
/// cannot be read.
std::optional<std::string> read_start(int proc, const char* path);

/// One line of a mountinfo file (proc(5)) whose mount is an nsfs file.
struct NamespaceMount {
    std::string root;  ///< "ipc:[4026532177]"
    std::string point; ///< where, seen from that process's root
};

/// The nsfs mounts in PATH ("self/mountinfo", "1234/mountinfo") below @p proc. errno is 0 when these are all, else it says
/// why they are not known; EINVAL for a process that is about to end.
std::vector<NamespaceMount> namespace_mounts(int proc, const char* path);

/// "ipc:[4026532177]" to 4026532177; 0 when it is anything else.
ino_t parse_link(std::string_view link, std::string_view kind = "ipc");

} // namespace ipcns::procfs
