// SPDX-License-Identifier: Apache-2.0
// The shape of util-linux's ipcs(1): the same bytes that `ipcs` prints in the C locale for the namespace that the objects
// are from, so that a script that reads `ipcs` can read this. Times are in the time zone of TZ, as they are there.
//
// Everything comes back as text, ready to be written to standard output.
#pragma once

#include <ipcns/objects.hpp>

#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <string>

namespace ipcns::cli {

/// Which tables, and which columns in them. ipcs has one set of columns at a time and takes the last that was asked for
/// (`ipcs -t -p` is `ipcs -p`); where more than one is true here, creators come before pids and these before times.
struct IpcsOptions {
    bool times = false;    ///< -t
    bool pids = false;     ///< -p; of semaphore sets it shows nothing at all
    bool creators = false; ///< -c
    bool bytes = false;    ///< -b: changes words in totals and limits; the tables have bytes already
    Kinds kinds;           ///< -q, -s, -m: any of msg, sem and shm; none of them: all three
};

/// What `ipcs [-q] [-m] [-s] [-t|-p|-c] [-b]` prints: a table for each kind, in the order queues, segments, sets.
[[nodiscard]] std::string like_ipcs(const Objects& objects, const IpcsOptions& options);

/// What `ipcs -q -i ID` prints.
[[nodiscard]] std::string like_ipcs(const QueueRecord& record);
/// What `ipcs -m -i ID` prints.
[[nodiscard]] std::string like_ipcs(const SegmentRecord& record);
/// What `ipcs -s -i ID` prints, with every semaphore of the set (see read_semaphores()).
[[nodiscard]] std::string like_ipcs(const SemaphoreSetRecord& record,
                                    std::span<const SemaphoreState> semaphores);

/// What `ipcs -u` sums up, as the kernel counts it.
struct IpcsTotals {
    struct Queues {
        int queues = 0;
        int messages = 0; ///< in all queues
        int bytes = 0;    ///< of these messages' texts
    };
    struct Segments {
        int segments = 0;
        unsigned long pages = 0; ///< their sizes, touched or not
        unsigned long resident_pages = 0;
        unsigned long swapped_pages = 0;
        unsigned long swap_attempts = 0; ///< 0 since Linux 2.4
        unsigned long swap_successes = 0;
    };
    struct Sets {
        int sets = 0;
        int semaphores = 0; ///< in all sets
    };
    // Nothing: the kernel was built without this kind.
    std::optional<Queues> msg;
    std::optional<Segments> shm;
    std::optional<Sets> sem;
};

/// The totals of the calling thread's namespace (MSG_INFO, SHM_INFO, SEM_INFO). Needs no privilege.
[[nodiscard]] IpcsTotals read_ipcs_totals();

/// What `ipcs -u` prints; only kinds and bytes of the options count.
[[nodiscard]] std::string like_ipcs(const IpcsTotals& totals, const IpcsOptions& options);

/// What `ipcs -l` shows.
struct IpcsLimits {
    struct Queues {
        int msgmni = 0; ///< queues
        int msgmax = 0; ///< bytes of one message
        int msgmnb = 0; ///< bytes in a new queue
    };
    struct Segments {
        std::uint64_t shmmni = 0; ///< segments
        std::uint64_t shmmax = 0; ///< bytes of one
        std::uint64_t shmall = 0; ///< pages in all
    };
    struct Sets {
        int semmni = 0; ///< sets
        int semmsl = 0; ///< semaphores in one set
        int semmns = 0; ///< semaphores in all
        int semopm = 0; ///< operations in one semop(2)
    };
    std::optional<Queues> msg;
    std::optional<Segments> shm;
    std::optional<Sets> sem;
};

/// The limits of the calling thread's namespace (IPC_INFO). Needs no privilege.
[[nodiscard]] IpcsLimits read_ipcs_limits();

/// What `ipcs -l` prints; only kinds and bytes of the options count.
[[nodiscard]] std::string like_ipcs(const IpcsLimits& limits, const IpcsOptions& options);

/// like_ipcs() of the same, written to standard output. Whether it arrived is for the end of the program to see.
template <class... What>
void print_like_ipcs(const What&... what) {
    const std::string text = like_ipcs(what...);
    std::fwrite(text.data(), 1, text.size(), stdout);
}

} // namespace ipcns::cli
