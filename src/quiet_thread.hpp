// SPDX-License-Identifier: Apache-2.0
// Threads beside those of the program that uses the library. What std::thread throws says neither what was being done nor
// what to do about it.
#pragma once

#include "error.hpp"
#include "signals.hpp"

#include <optional>
#include <system_error>
#include <thread>
#include <utility>

namespace ipcns {

/// Starts one that gets no signals: those are for the threads that the program knows of.
/// @param work throws nothing
/// @return nothing: there are as many threads as are allowed
template <class Work>
std::optional<std::thread> quiet_thread(Work work) {
    const AllSignalsBlocked blocked;
    try {
        return std::thread(std::move(work));
    } catch (const std::system_error&) {
        return std::nullopt;
    }
}

/// Starts one that is joined when what is returned goes.
/// @throws Error EAGAIN when there are as many as are allowed
template <class Work>
std::jthread start_thread(Work work) {
    try {
        return std::jthread(std::move(work));
    } catch (const std::system_error& error) {
        fail(
            error.code().value(), "start a thread",
            "ulimit -u, or pids.max of the cgroup, allows no more, or there is no memory for its stack (ulimit -v)");
    }
}

} // namespace ipcns
