// SPDX-License-Identifier: Apache-2.0
// What save, restore and clone have in common: their options, and what they say at the end.
#pragma once

#include "tool.hpp"

#include <ipcns/snapshot.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace ipcns::cli {

/// The options of a save, as text.
struct SaveWords {
    bool live = false;
    bool drain = false;
    std::string max_pause;

    void add_to(App& command);
    /// @throws UsageError
    [[nodiscard]] SaveOptions options() const;
};

/// Those of a restore.
struct RestoreWords {
    std::vector<std::string> users, groups;
    std::string shm_size;
    bool new_ids = false;

    void add_to(App& command);
    /// @throws UsageError
    [[nodiscard]] RestoreOptions options() const;
};

/// "2 queues, 1 segment": how many there are of each kind.
std::string objects_in_words(const Snapshot& snapshot);
/// "64M of contents".
std::string contents_in_words(std::uint64_t bytes);
/// "0.42 s", "3.1 ms".
std::string time_in_words(std::chrono::nanoseconds time);
/// What was not, or cannot be, as it was: all of it when verbose, else the first few, on standard error.
void print_notes(const std::vector<std::string>& notes, bool verbose);
/// The line of a save for `-v`: how many objects and bytes, and who was held how long.
std::string save_in_words(const SaveReport& report);
/// Says with `-v` what no system call brings back.
void print_not_restored();

} // namespace ipcns::cli
