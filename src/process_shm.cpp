// SPDX-License-Identifier: Apache-2.0
// Leans on: the root of a tmpfs has inode number 1 (mm/shmem.c numbers each file system's inodes by itself, since Linux 5.9), so
// that a folder of one is told from all of it; and on NS_GET_USERNS (ioctl_ns(2)).
//
// The process may change all of it meanwhile, but one way only: nobody without privileges comes back to a user or mount namespace
// that he has left. So what decides is looked at once more, or in the order in which it can only get worse for him.
#include "process_shm.hpp"

#include "error.hpp"
#include "idmap.hpp"
#include "procfs.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace ipcns {
namespace {

bool is_same(const struct stat& one, const struct stat& other) {
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

bool is_whole_tmpfs(int folder, const struct stat& about) {
    struct statfs file_system {};
    if (::fstatfs(folder, &file_system) != 0) fail("look at the file system of a /dev/shm");
    return about.st_ino == 1 && file_system.f_type == TMPFS_MAGIC;
}

// Of a process; 0 when it is gone.
ino_t namespace_of(const std::string& base, const char* kind) {
    const std::string path = base + "/ns/" + kind;
    const ino_t inode = procfs::namespace_inode(AT_FDCWD, path.c_str(), kind);
    if (inode == 0 && !procfs::is_gone(errno)) fail("look at " + path);
    return inode;
}

// Of a mount namespace: does it belong to this user namespace?
bool belongs_to(int mounts, ino_t user_namespace) {
    const Fd owner(::ioctl(mounts, NS_GET_USERNS));
    struct stat about {};
    // EPERM: to one around ours, where nobody is whom we are to guard.
    if (!owner && errno == EPERM) return true;
    if (!owner || ::fstat(owner.get(), &about) != 0) fail("find out whose a mount namespace is");
    return about.st_ino == user_namespace;
}

bool may_be_his(const std::string& base, const ProcessShm& found, const struct stat& about) {
    if (!is_whole_tmpfs(found.folder.get(), about)) return false;
    struct stat mounts {};
    const ino_t ours = IdMap::user_namespace();
    if (::fstat(found.mounts.get(), &mounts) != 0) fail("look at a mount namespace");
    // Still there: then the folder was found from there, and not from one that he has made meanwhile.
    if (belongs_to(found.mounts.get(), ours)) return namespace_of(base, "mnt") == mounts.st_ino;
    // In ours everybody has a number, also when he leaves it after this.
    const ino_t his = namespace_of(base, "user");
    if (his == 0 || his == ours) return false;
    const auto users = read_id_map((base + "/uid_map").c_str());
    return std::any_of(users.begin(), users.end(), [&](const IdRange& range) {
        return about.st_uid >= range.outside && about.st_uid - range.outside < range.count;
    });
}

} // namespace

ProcessShm open_shm_of(pid_t pid) {
    const std::string base = "/proc/" + std::to_string(pid);
    ProcessShm found;
    found.mounts = Fd(::open((base + "/ns/mnt").c_str(), O_RDONLY | O_CLOEXEC));
    const Fd root(found.mounts ? ::open((base + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC) : -1);
    // Links in there are of its root: of a container, they were made to lead anywhere.
    struct open_how how {};
    how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
    how.resolve = RESOLVE_IN_ROOT;
    if (root)
        found.folder = Fd(static_cast<int>(::syscall(SYS_openat2, root.get(), "dev/shm", &how, sizeof how)));
    struct stat about {};
    if (!found.folder || ::fstat(found.folder.get(), &about) != 0) {
        const bool none =
            procfs::is_gone(errno) || errno == EACCES || errno == EPERM || errno == ENOTDIR || errno == ELOOP;
        if (!none) fail("open the /dev/shm of process " + std::to_string(pid));
        return {};
    }
    struct stat own {};
    found.sure =
        pid == 1 || (::stat("/dev/shm", &own) == 0 && is_same(own, about)) || may_be_his(base, found, about);
    return found;
}

} // namespace ipcns
