// SPDX-License-Identifier: Apache-2.0
// What is known of each channel besides what people see.
#pragma once

#include <ipcns/verify.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace ipcns {

/// Which channel, for the programs that try it. limit: with the place of its key in limit_channel_names.
enum class ChannelId : std::uint32_t {
    msg,
    sem,
    shm,
    mq,
    psem,
    pshm,
    sysvipc,
    mqueue,
    mq_notify,
    limit,
    file,
    fifo,
    socket,
    mapping,
    futex,
    inotify,
    signal,
    ptrace,
    vm_read,
    proc_mem,
    proc_fd,
    pidfd_getfd,
    abstract,
    loopback,
    rights,
};

/// What decides whether it is open.
enum class Decider {
    ipc,       ///< the IPC namespace
    shm,       ///< what is mounted at /dev/shm
    queues,    ///< what is mounted at /dev/mqueue
    folders,   ///< what is mounted at the folders below
    pid,       ///< the pid namespace
    processes, ///< the pid namespace and, for want of rights over the other's, the user namespace
    network,   ///< the network namespace
    nothing,
};

/// The folders through which files are tried.
inline constexpr const char* trial_folders[] = {"/tmp", "/var/tmp", "/dev/shm"};
inline constexpr std::size_t trial_folder_count = std::size(trial_folders);

/// The limits that have a channel each. Not among them: the wishes for ids, which are no limits, and auto_msgmni, which
/// has no effect.
inline constexpr const char* limit_channel_names[] = {
    "msgmax",  "msgmnb",      "msgmni",      "semmsl",          "semmns",          "semopm",
    "semmni",  "shmall",      "shmmax",      "shmmni",          "shm_rmid_forced", "queues_max",
    "msg_max", "msgsize_max", "msg_default", "msgsize_default",
};

/// One of channels() in full.
struct ChannelPlan {
    ChannelId id;
    Decider decider;
    /// The one that tries is the one that holds the token, and the one that offers says what arrived.
    bool arrives = false;
    std::uint32_t limit = 0; ///< for ChannelId::limit
};

/// What belongs to one of channels().
[[nodiscard]] const ChannelPlan& plan_of(const Channel& channel) noexcept;

} // namespace ipcns
