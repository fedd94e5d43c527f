// SPDX-License-Identifier: Apache-2.0
// What the tests of POSIX objects share: places for them that nobody else sees, and fewer rights.
#pragma once

#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/fd.hpp>

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cstddef>
#include <exception>
#include <functional>
#include <string>

namespace ipcns::test {

/// Why the tests of queues cannot run, or null.
inline const char* no_queues() {
    if (!std::filesystem::exists("/proc/sys/fs/mqueue")) return "this kernel has no POSIX message queues";
    return can_make_namespaces() ? nullptr : "this system lets this user make no namespaces";
}

/// The errno value of the ipcns::Error that a function throws; 0 when it throws none.
template <class Function>
int number_of(Function function) {
    try {
        function();
    } catch (const Error& error) {
        return error.code().value();
    }
    return 0;
}

/// What a function throws, to be looked at later: UndefinedBehaviorSanitizer needs a free descriptor for that.
template <class Function>
std::function<void()> thrown_by(Function function) {
    std::exception_ptr thrown;
    try {
        function();
    } catch (...) {
        thrown = std::current_exception();
    }
    return [thrown] {
        if (thrown) std::rethrow_exception(thrown);
    };
}

/// The hint of the ipcns::Error that a function throws.
template <class Function>
std::string hint_of(Function function) {
    try {
        function();
    } catch (const Error& error) {
        return error.hint();
    }
    return "nothing was thrown";
}

/// In new namespaces: puts a /dev of its own over the system's, with an empty /dev/shm and a folder /dev/mqueue.
inline void mount_own_dev() {
    if (::mount("tmpfs", "/dev", "tmpfs", 0, "mode=0755") != 0) broken("mount a /dev");
    for (const char* folder : {"/dev/mqueue", "/dev/shm"})
        if (::mkdir(folder, 0755) != 0) broken("mkdir");
    if (::mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777,size=64m") != 0) broken("mount a /dev/shm");
}

/// Gives up all capabilities: from now on this process has the rights of its user's number alone.
inline void drop_capabilities() {
    struct __user_cap_header_struct header {};
    header.version = _LINUX_CAPABILITY_VERSION_3;
    std::array<struct __user_cap_data_struct, 2> none{};
    if (::syscall(SYS_capset, &header, none.data()) != 0) broken("capset");
}

/// From now on the kernel answers a system call of this process with an error: as one does that lacks it.
inline void refuse_call(long call, int number) {
    std::array<struct sock_filter, 4> code{
        {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
         BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(call), 0, 1),
         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(number)),
         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)}};
    const struct sock_fprog program { code.size(), code.data() };
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        broken("seccomp");
}

/// Opens a folder by its path.
inline Fd folder_at(const std::string& path, int flags = O_PATH) {
    Fd fd(::open(path.c_str(), flags | O_DIRECTORY | O_CLOEXEC));
    if (!fd) broken("open " + path);
    return fd;
}

/// Names that a terminal, a parser or a careless program would stumble over; without the slash.
inline std::vector<std::string> odd_names() {
    return {"a b",
            " ",
            "\n",
            "a\nb\t\r",
            "\x1b[31mred\x1b[0m",
            "\xff\xfe",
            "\xc3\x28",
            "\xed\xa0\x80",
            "-rf",
            "...",
            ".hidden",
            "\"quoted\"",
            "\\",
            "\x7f\x01",
            "%s%n",
            "#",
            "\xe2\x80\xae",
            "\xc2\x9b"
            "31m"};
}

} // namespace ipcns::test
