// SPDX-License-Identifier: Apache-2.0
// Mounts by descriptor: fsopen(2), fsmount(2), open_tree(2), move_mount(2), all since Linux 5.2. A mount that
// is attached to nothing goes when its last descriptor is closed, so nothing leaks when a step fails.
#include "mounts.hpp"

#include "error.hpp"
#include "procfs.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>
#include <string_view>

namespace ipcns {
namespace {

constexpr long tmpfs_magic = 0x01021994;

void close_keeping_errno(int fd) noexcept {
    const int saved = errno;
    ::close(fd);
    errno = saved;
}

} // namespace

std::string shm_size_option(const std::optional<std::uint64_t>& wanted) {
    // The kernel rounds up to pages, and what overflows then would mean "no limit".
    if (wanted && *wanted > std::numeric_limits<std::int64_t>::max())
        throw UsageError("a /dev/shm of " + std::to_string(*wanted) + " bytes is too large");
    if (wanted) return std::to_string(*wanted);
    struct statfs host {};
    if (::statfs("/dev/shm", &host) != 0 || host.f_type != tmpfs_magic) return {};
    // A tmpfs without a limit reports no blocks, and "0" asks for exactly that.
    return std::to_string(static_cast<std::uint64_t>(host.f_blocks) *
                          static_cast<std::uint64_t>(host.f_bsize));
}

int new_tmpfs(const char* size, const char* mode) noexcept {
    const int context = ::fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (context < 0) return -1;
    int mount = -1;
    if (::fsconfig(context, FSCONFIG_SET_STRING, "mode", mode, 0) == 0 &&
        (size[0] == '\0' || ::fsconfig(context, FSCONFIG_SET_STRING, "size", size, 0) == 0) &&
        ::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
        mount = ::fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    close_keeping_errno(context);
    return mount;
}

int new_mqueue() noexcept {
    const int context = ::fsopen("mqueue", FSOPEN_CLOEXEC);
    if (context < 0) return -1;
    int mount = -1;
    if (::fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0)
        mount = ::fsmount(context, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    close_keeping_errno(context);
    return mount;
}

int copy_mount(int fd) noexcept {
    return ::open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
}

int attach_mount(int mount, int folder, const char* path) noexcept {
    return ::move_mount(mount, "", folder, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS);
}

std::optional<ShmMount> shm_mount_of(const std::string& process) {
    const auto text = procfs::read_file(AT_FDCWD, ("/proc/" + process + "/mountinfo").c_str());
    std::optional<ShmMount> found;
    std::string_view rest = text ? std::string_view(*text) : std::string_view();
    while (!rest.empty()) {
        // ID PARENT MAJOR:MINOR ROOT POINT ...
        std::string_view line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        std::array<std::string_view, 5> words;
        for (auto& word : words) {
            word = line.substr(0, line.find(' '));
            line.remove_prefix(std::min(line.size(), word.size() + 1));
        }
        // Later lines are of mounts on top.
        if (words[4] == "/" || words[4] == "/dev") found.reset();
        if (words[4] != "/dev/shm") continue;
        unsigned major = 0;
        unsigned minor = 0;
        const char* const end = words[2].data() + words[2].size();
        const char* const colon = std::from_chars(words[2].data(), end, major).ptr;
        if (colon != end) std::from_chars(colon + 1, end, minor);
        found = ShmMount{makedev(major, minor), words[3] == "/"};
    }
    return found;
}

bool is_mount_root(int fd) noexcept {
    struct statx about {};
    return ::statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &about) == 0 &&
           (about.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

} // namespace ipcns
