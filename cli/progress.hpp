// SPDX-License-Identifier: Apache-2.0
// How far a long work has got, on a terminal.
#pragma once

#include <ipcns/snapshot.hpp>

#include <chrono>
#include <cstdint>
#include <string>

namespace ipcns::cli {

/// A line on standard error, drawn anew a few times a second, once the work has taken longer than a blink. Nothing where
/// that is no terminal.
class ProgressLine {
public:
    explicit ProgressLine(std::string what);
    /// Takes the line away.
    ~ProgressLine();
    ProgressLine(const ProgressLine&) = delete;
    ProgressLine& operator=(const ProgressLine&) = delete;

    /// For the options of save() and the like. Good for as long as this object lives.
    [[nodiscard]] ProgressFunction function();

private:
    using Clock = std::chrono::steady_clock;
    void show(const Progress& progress);

    std::string what_;
    Clock::time_point begin_ = Clock::now();
    Clock::time_point next_;
    bool shown_ = false;
    bool terminal_;
};

} // namespace ipcns::cli
