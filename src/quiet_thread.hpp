// SPDX-License-Identifier: Apache-2.0
// A thread beside those of the program that uses the library.
#pragma once

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

} // namespace ipcns
