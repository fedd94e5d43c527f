// SPDX-License-Identifier: Apache-2.0
// Work on many processes, shared between a few threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <system_error>
#include <thread>
#include <vector>

namespace ipcns {

/// How many threads pay for @p count pieces of work, if one thread does @p few sooner than another one starts.
inline unsigned threads_for(std::size_t count, std::size_t few) {
    return count < few ? 1 : std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
}

/// Runs work(first, last, thread) on a few threads, each for its part of [0, count).
template <class Work>
void in_parallel(std::size_t count, unsigned threads, Work work) {
    std::vector<std::jthread> workers;
    const auto part = [=, &work](unsigned i) { work(count * i / threads, count * (i + 1) / threads, i); };
    unsigned started = 1;
    try {
        for (; started < threads; ++started) workers.emplace_back(part, started);
    } catch (const std::system_error&) {
        // No more threads for us: then this one does their parts as well.
    }
    part(0);
    for (; started < threads; ++started) part(started);
}

/// Runs work(i, thread) for each i of [0, count), on whichever thread is free: for pieces of very different size.
template <class Work>
void as_they_come(std::size_t count, unsigned threads, Work work) {
    std::atomic<std::size_t> next{0};
    in_parallel(threads, threads, [&](std::size_t, std::size_t, unsigned thread) {
        for (std::size_t i = next++; i < count; i = next++) work(i, thread);
    });
}

} // namespace ipcns
