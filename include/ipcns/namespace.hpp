// SPDX-License-Identifier: Apache-2.0
// One IPC namespace, held by a descriptor.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>

#include <sys/types.h>

#include <compare>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace ipcns {

/// Which namespace: the device and inode of its nsfs file, as stat(2) of /proc/PID/ns/ipc reports them.
/// Two descriptors are of the same namespace exactly when these are equal (namespaces(7)). The kernel may use
/// the number again once the namespace is gone.
struct IPCNS_API NamespaceId {
    dev_t device = 0; ///< st_dev
    ino_t inode = 0;  ///< st_ino: the number that people see
    friend auto operator<=>(const NamespaceId&, const NamespaceId&) = default;
};

/// Holds an IPC namespace (ipc_namespaces(7)) by an open descriptor of its nsfs file. As long as the object
/// lives, the namespace and everything in it lives, with or without processes.
///
/// No member changes which namespace the caller is in, except enter(). All members may be called from any
/// thread of any program, except where enter() says otherwise.
class IPCNS_API Namespace {
public:
    /// The namespace of the calling thread.
    /// @throws Error when /proc is not mounted.
    [[nodiscard]] static Namespace current();

    /// Makes a new, empty namespace; the caller stays where it is.
    ///
    /// With CAP_SYS_ADMIN the namespace belongs to the caller's user namespace. Without, it belongs to a new
    /// user namespace in which the caller's user and group stand for themselves (user_namespaces(7)). Takes
    /// some 130 us. Kernel: 3.8; CONFIG_IPC_NS.
    /// @throws Error ENOSPC when user.max_ipc_namespaces is reached; EPERM when this system forbids it. The
    /// hint
    ///         names the setting.
    [[nodiscard]] static Namespace create();

    /// Makes a new, empty namespace that belongs to somebody else: to a new user namespace that is @p user's, in which
    /// he and @p group stand for themselves and nobody is root. So he may enter it and manage what is in it (by joining that
    /// user namespace, as enter() does), and whoever has CAP_SYS_ADMIN here may as well, and stays in the user namespace that
    /// he is in. Limits are for root of the host alone. Processes of other users and groups cannot make POSIX queues in it
    /// (EOVERFLOW). Needs root. Takes some 500 us.
    /// @throws Error EPERM or ENOSPC when this system forbids user namespaces to @p user
    [[nodiscard]] static Namespace create_for(uid_t user, gid_t group);

    /// That of process @p pid (of its main thread). Needs what ptrace(2) calls PTRACE_MODE_READ_FSCREDS.
    /// @throws Error ESRCH when there is no such process, EACCES when it may not be looked at.
    [[nodiscard]] static Namespace from_pid(pid_t pid);

    /// That of the process behind a pidfd (pidfd_open(2)); cannot hit another process that got the same
    /// number.
    /// @throws Error as from_pid, and EBADF when @p pidfd is not one.
    [[nodiscard]] static Namespace from_pidfd(int pidfd);

    /// That behind an nsfs file: /proc/PID/ns/ipc, or a place where one is bind mounted.
    /// @throws Error ENOENT and the like; EINVAL when the file is something else.
    [[nodiscard]] static Namespace from_path(const std::filesystem::path& path);

    /// Takes over a descriptor that is open on an nsfs file of the right kind.
    /// @throws Error EINVAL when it is not one; the descriptor is closed then.
    [[nodiscard]] static Namespace from_fd(Fd fd);

    /// Another object for the same namespace, with a descriptor of its own.
    /// @throws Error EMFILE when the process has too many open.
    [[nodiscard]] Namespace duplicate() const { return {fd_.duplicate(), id_}; }

    /// Finds a namespace by its inode number, as `ls -l /proc/PID/ns/ipc` prints it, among the processes,
    /// threads, mounts and descriptors that the caller may see. Cost grows with the number of processes.
    /// @throws Error ENOENT when none of them has it.
    [[nodiscard]] static Namespace from_inode(ino_t inode);

    /// That of process 1. Where process 1 may not be looked at, the namespace that the kernel began with, if
    /// somebody's is found who may.
    /// @throws Error as from_inode
    [[nodiscard]] static Namespace host();

    /// The identity of host(), which needs no rights.
    /// @throws Error when /proc is not mounted
    [[nodiscard]] static NamespaceId host_id();

    /// Identity; two system calls were made for it when the object was built, none now.
    [[nodiscard]] const NamespaceId& id() const noexcept { return id_; }

    /// The descriptor, still owned by this object. Open for reading, close-on-exec.
    [[nodiscard]] int fd() const noexcept { return fd_.get(); }

    /// The user namespace that owns it (ioctl_ns(2), NS_GET_USERNS): privileges in that one decide who may
    /// enter.
    /// @throws Error EPERM when the owner is not the caller's user namespace or one below it.
    [[nodiscard]] Fd owner() const;

    /// Moves the calling thread into the namespace (setns(2)); all other threads stay. Its semaphore
    /// adjustments (SEM_UNDO) are carried out on the way. Needs CAP_SYS_ADMIN in the owning user namespace
    /// and in its own.
    ///
    /// Where that is missing and the process has one thread, it joins the owning user namespace first, and
    /// takes a mount namespace of its own: both change the process for good.
    /// @throws Error EPERM with a hint.
    void enter() const;

    /// Runs @p function inside and hands back what it returns or throws. The caller stays outside. Needs what
    /// enter() needs, and nothing where the calling thread is inside already.
    ///
    /// The function runs on a thread of its own, in the same process. Where entering takes joining another
    /// user namespace, which a thread cannot do, it runs in a child process that shares memory and
    /// descriptors with this one while the calling thread sleeps: then getpid() differs, everything else is
    /// as on a thread.
    template <class Function>
    auto call(Function&& function) const -> std::invoke_result_t<Function&> {
        using Result = std::invoke_result_t<Function&>;
        if constexpr (std::is_void_v<Result>) {
            run_inside([&] { function(); });
        } else {
            std::optional<Result> result;
            run_inside([&] { result.emplace(function()); });
            return std::move(*result);
        }
    }

private:
    Namespace(Fd fd, NamespaceId id) noexcept : fd_(std::move(fd)), id_(id) {}
    void run_inside(const std::function<void()>& function) const;

    Fd fd_;
    NamespaceId id_;
};

} // namespace ipcns
