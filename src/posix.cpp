// SPDX-License-Identifier: Apache-2.0
// POSIX objects as files. Leans on: a POSIX queue is a file in the root of a mount of type mqueue
// (mq_overview(7)), shared memory objects and named semaphores are files of a tmpfs (shm_overview(7),
// sem_overview(7)); unlinking frees at once what nobody has open.
#include <ipcns/posix.hpp>

#include "error.hpp"
#include "mounts.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

namespace ipcns {
namespace {

struct Name {
    std::string text;
    bool is_folder;
};

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
std::vector<Name> names_in(int folder, int& first_error) {
    std::vector<Name> names;
    Fd again = open_folder(folder, ".");
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(again ? ::fdopendir(again.get()) : nullptr, ::closedir);
    if (!dir) {
        keep_first(first_error);
        return names;
    }
    (void)again.release(); // closedir() closes it
    while (const struct dirent* entry = ::readdir(dir.get())) {
        const std::string text = entry->d_name;
        if (text != "." && text != "..") names.push_back({text, entry->d_type == DT_DIR});
    }
    return names;
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

} // namespace

Fd mount_queues() {
    Fd mount(new_mqueue());
    if (!mount && errno != ENODEV) fail("mount the POSIX queues of a namespace");
    return mount;
}

FilesUsage files_usage(int folder) {
    FilesUsage usage;
    int ignored = 0;
    for (const auto& name : names_in(folder, ignored)) {
        struct stat about {};
        if (::fstatat(folder, name.text.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) continue;
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
    for (bool again = true; again;) {
        again = false;
        for (const auto& name : names_in(folder, first_error)) {
            if (!name.is_folder) {
                remove_file(folder, name.text, removed, first_error);
                continue;
            }
            const Fd inner = open_folder(folder, name.text.c_str());
            if (!inner) {
                // Another mount lies on it (EXDEV); it is not ours to empty.
                if (errno != ENOENT) keep_first(first_error);
                continue;
            }
            for (const auto& below : names_in(inner.get(), first_error)) {
                if (!below.is_folder) {
                    remove_file(inner.get(), below.text, removed, first_error);
                    continue;
                }
                if (move_up(inner.get(), below.text, folder, moved))
                    again = true;
                else
                    keep_first(first_error);
            }
            if (::unlinkat(folder, name.text.c_str(), AT_REMOVEDIR) == 0)
                ++removed.files;
            else if (errno != ENOENT)
                keep_first(first_error);
        }
    }
    if (first_error != 0) fail(first_error, "remove the files of a /dev/shm or the queues of a namespace");
    return removed;
}

} // namespace ipcns
