// SPDX-License-Identifier: Apache-2.0
// What passes between a launcher and the child it clones, and the child's part.
#pragma once

#include "child.hpp"
#include "packets.hpp"
#include "usermap.hpp"

#include <ipcns/launch.hpp>

#include <cstddef>

namespace ipcns {

/// Why a child could not become the program. The pointers are to text that parent and child both have at that
/// address.
struct Report {
    enum class Kind { setup, refused, limit, program };
    Kind kind = Kind::setup;
    int error = 0; ///< errno; 0: nothing went wrong
    const char* what = nullptr;
    const char* detail = nullptr;
};

/// All that the child needs, made before the clone.
struct Plan {
    // Which namespaces: those to join, those to make from within, and who is who in a new user namespace.
    int join_user = -1;
    int join_ipc = -1;
    unsigned long unshare = 0;
    bool write_map = false;
    bool drop_capabilities = false; ///< those that a new user namespace brings
    bool own_name = false; ///< make an inner user namespace in which the caller has its own name again
    UserMap map{};
    UserMap inner_map{};

    // What is mounted.
    bool mounts = false;
    bool cut_off =
        true; ///< nothing that is mounted from now on is seen outside; else only what lies on the two places below
    bool new_shm = false;
    bool mqueue_folder = false;
    const char* shm_size = "";
    int shm_mount = -1;

    const Limit* limits = nullptr;
    std::size_t limit_count = 0;
    bool strict = false;
    bool die_with_parent = false;
    int parent_pidfd = -1;

    // The program.
    char** arguments = nullptr; ///< with one free place in front
    char* const* environment = nullptr;
    char* const* candidates = nullptr;
    const char* directory = "";
    sigset_t mask{};
    bool handlers = true;       ///< the parent may have signal handlers
    bool child_ignored = false; ///< the program is to have SIGCHLD ignored

    // For a separate child.
    int channel = -1;
    const Stack* init_stack = nullptr;

    // What the child leaves for the parent.
    int pidfd = -1; ///< of the child itself, known to it only in a quick child
    bool keep = false;
    int ipc = -1;
    int shm = -1;
    int queues = -1;
    Report report;
};

/// What a separate child sends over its channel.
struct Message {
    enum class Kind { ready, failed, stopped, continued, exited, killed };
    static constexpr std::size_t most_fds =
        most_fds_along; ///< of a ready message: ipc, shm, queues, pidfd of the program
    Kind kind = Kind::ready;
    int value = 0; ///< ready: which descriptors; else a status or a signal
    Report report;
};

/// Becomes a program by a plan. The entry of a child that shares memory and descriptors with its parent, and of one that
/// does not; @p argument is a Plan*.
int quick_child(void* argument);
int separate_child(void* argument);

/// Puts the calling process where the plan wants it, without the program. False when it failed; the plan's report says why.
bool set_up(Plan& plan) noexcept;

/// The same for the calling process itself. Returns only when it failed; the plan's report says why.
void become_program(Plan& plan) noexcept;

/// Receives one message. False when the other side is gone.
bool receive(int channel, Message& message, Fd (&fds)[Message::most_fds]);

} // namespace ipcns
