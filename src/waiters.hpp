// SPDX-License-Identifier: Apache-2.0
// What a thread is blocked in, and since when.
#pragma once

#include <ipcns/holders.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>

namespace ipcns::waiters {

/// A thread that is blocked on something.
struct Blocked {
    enum class On { queue, semaphore_set, descriptor, memory } on = On::queue;
    int number = -1;           ///< the id of a queue or set; the descriptor of a POSIX queue
    std::uint64_t address = 0; ///< of the word in memory
    Waiter waiter;             ///< without `pid`, `thread`, `offset`, `since`
};

enum class Answer { blocked, no, denied };

/// Looks what the thread with the folder @p thread ("." or "task/TID") below @p process is blocked in.
/// @param matters whether a word at this address is in an object: most threads wait for words that are not
Answer read(int process, const char* thread, const std::function<bool(std::uint64_t)>& matters,
            Blocked& blocked);

/// Whether a thread may be blocked on any object at all: true also where that cannot be read. One file and nothing else.
/// @param thread its folder below @p folder: "1234" or "1234/task/1235" below /proc
bool may_be_blocked(int folder, const char* thread);

/// When a thread last ran, by the clock of the processor on which it did.
struct LastRun {
    unsigned processor = 0;
    std::chrono::nanoseconds time{};
};

/// Nothing where the kernel does not tell.
std::optional<LastRun> last_run(int process, const char* thread);

/// Below @p proc (/proc): for each processor what to add to its clock to have the time of day. Processors that the caller may not run on, or
/// that are too busy to answer soon, are left out.
std::map<unsigned, std::chrono::system_clock::duration> processor_clocks(
    int proc, const std::set<unsigned>& processors);

} // namespace ipcns::waiters
