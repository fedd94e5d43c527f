// SPDX-License-Identifier: Apache-2.0
// Starts the program first and ourselves afterwards.
//
// The start of a C library takes longer than all that `ipcns run` does besides (docs/performance.md: glibc asks the
// processor about itself some forty times before main, and in a virtual machine the host answers). So the command's
// entry point is here and not in the C library: for a plain `run` the program is cloned and executed at once, and our own
// start goes on while it already runs. main() then takes it over and is its parent as ever.
//
// And for a command that a helper program does, the start of a C library for nothing but the next exec is saved.
//
// Nothing here may need the C library, which is not there yet: no errno, no thread-local storage, no memcpy (this file is
// compiled so that the compiler makes none of these up), and system calls by hand. Whatever is not quite plain (another
// option, no privileges, a closed standard descriptor, any failure at all) is left to the ordinary way, which begins from
// the start and has the words for it. What is done here is what src/plan.cpp does for a quick child without options.
#include "early.hpp"

#include "commands.hpp"

#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/sched.h>

#if !defined(__x86_64__)
#error "the early start knows x86_64 only: leave this file out elsewhere"
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-tree-loop-distribute-patterns") // which turns loops into memset and strlen
#endif

namespace ipcns::cli {

extern "C" {
Early ipcns_early;
void ipcns_early_start(long* stack);
}

// The kernel enters here, with the arguments on the stack. The C library's _start expects stack and rdx as they were.
asm(".globl ipcns_start\n"
    "ipcns_start:\n"
    "    mov %rdx, %r12\n"
    "    mov %rsp, %rbx\n"
    "    mov %rsp, %rdi\n"
    "    and $-16, %rsp\n"
    "    call ipcns_early_start\n"
    "    mov %rbx, %rsp\n"
    "    mov %r12, %rdx\n"
    "    xor %ebp, %ebp\n"
    "    jmp _start\n");

namespace {

// What a system call returns: a value, or a negative errno.
template <class... Arguments>
long call(long number, Arguments... arguments) {
    static_assert(sizeof...(arguments) <= 5);
    const long list[5] = {
        (long)arguments...}; // NOLINT(google-readability-casting): numbers and pointers alike
    long result = 0;
    // It does not know register variables.
    // cppcheck-suppress constStatement
    register long r10 asm("r10") = list[3];
    // cppcheck-suppress constStatement
    register long r8 asm("r8") = list[4];
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(list[0]), "S"(list[1]), "d"(list[2]), "r"(r10), "r"(r8)
                 : "rcx", "r11", "memory");
    return result;
}

constexpr long no_entry = -2;
constexpr long access_denied = -13;
constexpr long not_a_folder = -20;

// As the kernel has it; the C library's is another.
struct Action {
    void (*handler)(int);
    unsigned long flags;
    void (*restorer)();
    unsigned long mask;
};

constexpr unsigned long bit(int signal) { return 1UL << (signal - 1); }

struct Start {
    char** arguments;
    char** environment;
    bool ipc_only;
    unsigned long mask; // that of the program
    Action child;       // what it inherits for SIGCHLD
};

bool equal(const char* a, const char* b) {
    for (; *a != '\0' && *a == *b; ++a, ++b) {}
    return *a == *b;
}

// What follows @p prefix in @p text, or null.
const char* after(const char* text, const char* prefix) {
    for (; *prefix != '\0'; ++text, ++prefix) {
        if (*text != *prefix) return nullptr;
    }
    return text;
}

bool has_slash(const char* text) {
    for (; *text != '\0'; ++text) {
        if (*text == '/') return true;
    }
    return false;
}

// A new file system, attached to nothing. Keys and values are set in pairs until a null.
long new_mount(const char* type, const char* const* settings, unsigned attributes) {
    const long context = call(__NR_fsopen, type, FSOPEN_CLOEXEC);
    if (context < 0) return context;
    long result = 0;
    for (; result == 0 && *settings != nullptr; settings += 2)
        result = call(__NR_fsconfig, context, FSCONFIG_SET_STRING, settings[0], settings[1], 0);
    if (result == 0) result = call(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    if (result == 0) result = call(__NR_fsmount, context, FSMOUNT_CLOEXEC, attributes);
    call(__NR_close, context);
    return result;
}

bool put_mount(int mount, const char* path) {
    const long result =
        call(__NR_move_mount, mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS);
    return result == 0 || result == no_entry; // a host without the folder has nothing to hide there
}

// The size of the host's /dev/shm in digits; false where it is no tmpfs.
bool host_shm_size(char (&digits)[24]) {
    struct {
        long type, block_size;
        unsigned long blocks, rest[13];
    } host{}; // struct statfs
    if (call(__NR_statfs, "/dev/shm", &host) != 0 || host.type != TMPFS_MAGIC) return false;
    char* at = digits + sizeof digits;
    *--at = '\0';
    unsigned long bytes = host.blocks * (unsigned long)host.block_size;
    do {
        *--at = (char)('0' + bytes % 10);
        bytes /= 10;
    } while (bytes != 0);
    char* to = digits;
    do *to++ = *at;
    while (*at++ != '\0');
    return true;
}

bool private_shm() {
    constexpr unsigned long slave_and_below = 1UL << 19 | 1UL << 14; // MS_SLAVE | MS_REC
    if (call(__NR_mount, "none", "/", 0, slave_and_below, 0) != 0) return false;
    char size[24];
    if (!host_shm_size(size)) return false;
    const char* const settings[] = {"mode", "1777", "size", size, nullptr};
    ipcns_early.shm = (int)new_mount("tmpfs", settings, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    return ipcns_early.shm >= 0 && put_mount(ipcns_early.shm, "/dev/shm");
}

bool set_up(const Start& start) {
    constexpr unsigned long get_ipc_namespace = 0xFF02; // PIDFD_GET_IPC_NAMESPACE, Linux 6.11
    ipcns_early.ipc = (int)call(__NR_ioctl, ipcns_early.pidfd, get_ipc_namespace, 0);
    if (ipcns_early.ipc < 0)
        ipcns_early.ipc = (int)call(__NR_openat, AT_FDCWD, "/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC, 0);
    if (ipcns_early.ipc < 0) return false;
    if (!start.ipc_only && !private_shm()) return false;
    const char* const none[] = {nullptr};
    ipcns_early.queues =
        (int)new_mount("mqueue", none, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return ipcns_early.queues >= 0 && (start.ipc_only || put_mount(ipcns_early.queues, "/dev/mqueue"));
}

// As execvp(3): the folders of PATH in turn. Returns when none has it, or when the kernel does not take it.
void execute(const Start& start) {
    const char* name = start.arguments[0];
    if (has_slash(name)) {
        call(__NR_execve, name, start.arguments, start.environment);
        return;
    }
    const char* path = nullptr;
    for (char** variable = start.environment; path == nullptr && *variable != nullptr; ++variable)
        path = after(*variable, "PATH=");
    if (path == nullptr) return;
    for (;;) {
        char file[4096];
        char* const end = file + sizeof file - 1;
        char* at = file;
        const char* const begin = path;
        for (; *path != '\0' && *path != ':'; ++path) {
            if (at != end) *at++ = *path;
        }
        if (path == begin && at != end) *at++ = '.';
        if (at != end) *at++ = '/';
        const char* from = name;
        for (; *from != '\0' && at != end; ++from) *at++ = *from;
        *at = '\0';
        // What is too long for a path is passed over.
        const long result =
            at == end ? no_entry : call(__NR_execve, file, start.arguments, start.environment);
        if (result != no_entry && result != access_denied && result != not_a_folder) return;
        if (*path == '\0') return;
        ++path;
    }
}

// The child, on its parent's memory and stack while that sleeps.
[[noreturn, gnu::noinline]] void child(const Start& start) {
    if (set_up(start)) {
        call(__NR_rt_sigaction, SIGCHLD, &start.child, 0, sizeof start.mask);
        call(__NR_rt_sigprocmask, SIG_SETMASK, &start.mask, 0, sizeof start.mask);
        execute(start);
    }
    ipcns_early.failed = true;
    for (;;) call(__NR_exit_group, 125);
}

// The program and its arguments in `run [--ipc-only] [--] PROGRAM...`, or null where that is not all.
char** plain_run(char** arguments, bool& ipc_only) {
    if (arguments[0] == nullptr || arguments[1] == nullptr || !equal(arguments[1], "run")) return nullptr;
    char** at = arguments + 2;
    ipc_only = *at != nullptr && equal(*at, "--ipc-only");
    if (ipc_only) ++at;
    if (*at != nullptr && equal(*at, "--"))
        ++at;
    else if (*at != nullptr && **at == '-')
        return nullptr;
    return *at != nullptr && **at != '\0' ? at : nullptr;
}

// Becomes the helper program of a command, where there is one beside us: main() knows more places, and what to say.
void become_helper(char** arguments, char** environment) {
    if (arguments[0] == nullptr || arguments[1] == nullptr) return;
    for (const Command& command : commands) {
        if (command.program == nullptr || !equal(arguments[1], command.name)) continue;
        char path[4096];
        const long length = call(__NR_readlink, "/proc/self/exe", path, sizeof path - 128);
        if (length <= 0 || length >= (long)sizeof path - 128) return;
        char* at = path + length;
        while (at != path && at[-1] != '/') --at;
        const char* const parts[] = {"../libexec/ipcns/", command.program};
        for (const char* part : parts) {
            for (; *part != '\0' && at != path + sizeof path - 1; ++part) *at++ = *part;
        }
        *at = '\0';
        call(__NR_execve, path, arguments, environment);
        return;
    }
}

} // namespace

extern "C" void ipcns_early_start(long* stack) {
    Start start;
    char** arguments = (char**)(stack + 1);
    become_helper(arguments, arguments + stack[0] + 1);
    start.arguments = plain_run(arguments, start.ipc_only);
    if (start.arguments == nullptr) return;
    start.environment = arguments + stack[0] + 1;
    // Where one of these is closed, the next that is opened would get its number.
    for (int fd = 0; fd < 3; ++fd) {
        if (call(__NR_fcntl, fd, F_GETFD) < 0) return;
    }

    // From here on as Supervisor and launch() have it: no signal is lost, and none ends us before the program's parent is
    // in place. An ignored SIGCHLD, which a parent may leave us, would make the program's status vanish.
    const unsigned long block =
        ~(bit(SIGILL) | bit(SIGTRAP) | bit(SIGBUS) | bit(SIGFPE) | bit(SIGSEGV) | bit(SIGSYS));
    const Action standard{nullptr, 0, nullptr, 0};
    call(__NR_rt_sigprocmask, SIG_BLOCK, &block, &start.mask, sizeof block);
    call(__NR_rt_sigaction, SIGCHLD, &standard, &start.child, sizeof block);

    unsigned long flags = CLONE_NEWIPC | CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_PIDFD | SIGCHLD;
    if (!start.ipc_only) flags |= CLONE_NEWNS;
    const long pid = call(__NR_clone, flags, 0, &ipcns_early.pidfd, 0, 0);
    if (pid == 0) child(start);
    if (pid > 0 && !ipcns_early.failed) {
        ipcns_early.pid = (int)pid;
        return;
    }

    // Back to where we were.
    if (pid > 0) call(__NR_wait4, pid, 0, 0, 0);
    const int fds[] = {ipcns_early.pidfd, ipcns_early.ipc, ipcns_early.shm, ipcns_early.queues};
    for (const int fd : fds) {
        if (fd >= 0) call(__NR_close, fd);
    }
    call(__NR_rt_sigaction, SIGCHLD, &start.child, 0, sizeof block);
    call(__NR_rt_sigprocmask, SIG_SETMASK, &start.mask, 0, sizeof block);
}

} // namespace ipcns::cli
