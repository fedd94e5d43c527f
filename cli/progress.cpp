// SPDX-License-Identifier: Apache-2.0
#include "progress.hpp"

#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <poll.h>
#include <unistd.h>

#include <algorithm>

namespace ipcns::cli {
namespace {

constexpr std::chrono::milliseconds patience{300}, pause{100};

std::string time_left(double seconds) {
    constexpr double minute = 60, hour = 3600;
    if (seconds < minute) return fmt::format("{:.0f} s", seconds);
    if (seconds < hour) return fmt::format("{:.0f} min", seconds / minute);
    return fmt::format("{:.1f} h", seconds / hour);
}

} // namespace

ProgressLine::ProgressLine(std::string what)
    : what_(std::move(what)), next_(begin_ + patience), terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
    if (shown_) fmt::print(stderr, "\r\033[K");
}

ProgressFunction ProgressLine::function() {
    if (!terminal_) return {};
    return [this](const Progress& progress) { show(progress); };
}

void ProgressLine::show(const Progress& progress) {
    const auto now = Clock::now();
    if (now < next_) return;
    next_ = now + pause;
    // Who reads the terminal may be one of those who stand still: then it fills up, and nobody is to wait for it.
    pollfd terminal{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&terminal, 1, 0) != 1 || (terminal.revents & POLLOUT) == 0) return;
    shown_ = true;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = static_cast<double>(progress.done) / seconds;
    std::string line = fmt::format("{} {}", what_, format_size(progress.done));
    if (progress.all >= progress.done && progress.all > 0) {
        constexpr std::size_t width = 20;
        const double part = static_cast<double>(progress.done) / static_cast<double>(progress.all);
        const auto full = static_cast<std::size_t>(part * static_cast<double>(width));
        line = fmt::format("{} [{:<{}}] {:3.0f} % of {}", what_, std::string(full, '#'), width, part * 100,
                           format_size(progress.all));
    }
    line += fmt::format(", {}/s", format_size(static_cast<std::uint64_t>(rate)));
    if (progress.all > progress.done && rate > 0)
        line += fmt::format(", {} left", time_left(static_cast<double>(progress.all - progress.done) / rate));
    fmt::print(stderr, "\r{}\033[K", line);
    std::fflush(stderr);
}

} // namespace ipcns::cli
