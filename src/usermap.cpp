// SPDX-License-Identifier: Apache-2.0
// User namespaces with one user and one group in them (user_namespaces(7)): a process without privileges may
// map its own user and group once, after giving up setgroups(2).
#include "usermap.hpp"

#include "errand.hpp"
#include "error.hpp"
#include "procfs.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace ipcns {
namespace {

bool write_text(const char* path, const char* text) noexcept {
    const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return false;
    const auto length = static_cast<ssize_t>(std::strlen(text));
    const bool whole = ::write(fd, text, static_cast<std::size_t>(length)) == length;
    const int saved = errno;
    ::close(fd);
    errno = saved;
    return whole;
}

// The number in a file of /proc/sys, or -1.
long setting(const char* path) {
    const auto text = procfs::read_file(AT_FDCWD, path, 64);
    return text ? std::strtol(text->c_str(), nullptr, 10) : -1;
}

// Which limit of user.max_*_namespaces keeps us from the namespaces of @p flags: the kernel only says that one does. If
// each can be had, it was the second user namespace that was one too many. Empty when there is no telling.
std::string exhausted_limit(unsigned long flags) {
    constexpr std::pair<unsigned long, const char*> kinds[] = {
        {CLONE_NEWUSER, "user"}, {CLONE_NEWIPC, "ipc"}, {CLONE_NEWNS, "mnt"},
        {CLONE_NEWPID, "pid"},   {CLONE_NEWNET, "net"}, {CLONE_NEWUTS, "uts"}};
    for (const auto& [kind, name] : kinds) {
        if ((flags & kind) == 0) continue;
        try {
            errand("try a namespace", kind | (flags & CLONE_NEWUSER), [] {});
        } catch (const Error& error) {
            if (error.code().value() == ENOSPC || error.code().value() == EUSERS) return name;
        }
    }
    return (flags & CLONE_NEWUSER) != 0 ? "user" : "";
}

bool has_capability(unsigned number) noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    if (::syscall(SYS_capget, &header, data) != 0) return false;
    return (data[0].effective & (1U << number)) != 0;
}

} // namespace

bool has_sys_admin() noexcept { return has_capability(CAP_SYS_ADMIN); }
bool has_sys_ptrace() noexcept { return has_capability(CAP_SYS_PTRACE); }

bool give_up_capabilities() noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2] = {};
    return ::syscall(SYS_capset, &header, none) == 0;
}

UserMap make_user_map(uid_t user_inside, uid_t user_outside, gid_t group_inside,
                      gid_t group_outside) noexcept {
    UserMap map{};
    std::snprintf(map.user, sizeof map.user, "%u %u 1", user_inside, user_outside);
    std::snprintf(map.group, sizeof map.group, "%u %u 1", group_inside, group_outside);
    return map;
}

const char* write_user_map(const UserMap& map) noexcept {
    // Kernels before 3.19 have no such file and need no such word.
    if (!write_text("/proc/self/setgroups", "deny") && errno != ENOENT) return "/proc/self/setgroups";
    if (!write_text("/proc/self/uid_map", map.user)) return "/proc/self/uid_map";
    if (!write_text("/proc/self/gid_map", map.group)) return "/proc/self/gid_map";
    return nullptr;
}

const char* write_user_map(const UserMap& map, pid_t pid) noexcept {
    const std::pair<const char*, const char*> files[] = {
        {"setgroups", "deny"}, {"uid_map", map.user}, {"gid_map", map.group}};
    for (const auto& [file, text] : files) {
        char path[64];
        std::snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
        if (!write_text(path, text)) return file;
    }
    return nullptr;
}

std::string user_map_hint(int number) {
    switch (number) {
    case ENOENT: return "is /proc mounted?";
    case EROFS:
        return "/proc is read-only here: mount it writable; a container should have a /proc of its own";
    case EPERM:
        return "root may map itself only with CAP_SETFCAP (Linux 5.12): give it that or CAP_SYS_ADMIN, or be an "
               "ordinary user";
    default: return {};
    }
}

std::string refusal_hint(int number, unsigned long flags) {
    const bool with_user = (flags & CLONE_NEWUSER) != 0;
    if (number == ENOSPC || number == EUSERS) {
        if (with_user && setting("/proc/sys/user/max_user_namespaces") == 0)
            return "user namespaces are switched off here: as root, sysctl user.max_user_namespaces=15000";
        const std::string limit = exhausted_limit(flags);
        if (limit.empty()) return "a limit on the number of namespaces is reached: see sysctl user";
        const std::string own =
            std::to_string(setting(("/proc/sys/user/max_" + limit + "_namespaces").c_str()));
        return "user.max_" + limit + "_namespaces is reached, which is " + own +
               " here: as root, raise it with sysctl" +
               (limit == "ipc" ? "; `ipcns list` shows who holds IPC namespaces" : "");
    }
    if (number == EINVAL)
        return "this kernel was built without IPC namespaces (CONFIG_IPC_NS) or user namespaces (CONFIG_USER_NS)";
    if (number != EPERM && number != EACCES) return {};
    if (!with_user)
        return "a seccomp filter or a security module forbids it, although there is CAP_SYS_ADMIN";
    if (setting("/proc/sys/kernel/unprivileged_userns_clone") == 0)
        return "user namespaces are for root only here: as root, sysctl kernel.unprivileged_userns_clone=1";
    if (setting("/proc/sys/user/max_user_namespaces") == 0)
        return "user namespaces are switched off here: as root, sysctl user.max_user_namespaces=15000";
    if (setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == 1)
        return "AppArmor keeps user namespaces from ordinary users: as root, sysctl "
               "kernel.apparmor_restrict_unprivileged_userns=0, or give ipcns a profile with `userns,`";
    return "a container runtime's seccomp filter, a security module or a chroot may forbid user namespaces: "
           "in a container give it CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN), or run it as root on the host";
}

} // namespace ipcns
