// SPDX-License-Identifier: Apache-2.0
// Messages.
#include "message.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/text.hpp>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace ipcns::cli {

bool write_text(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t length = ::write(fd, text.data(), text.size());
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) return false;
        text.remove_prefix(static_cast<std::size_t>(length));
    }
    return true;
}

void complain(std::string_view message, std::string_view hint) {
    std::fflush(stdout); // so that it comes after what was printed
    std::string text = "ipcns: " + std::string(message) + "\n";
    if (!hint.empty()) text += "hint: " + std::string(hint) + "\n";
    write_text(STDERR_FILENO, text);
}

void complain(const Error& error) {
    std::string_view text = error.what();
    // The kernel's words for a damaged file would send readers to look for a message in a queue. They go where there are
    // better ones.
    constexpr std::string_view misleading = ": Bad message";
    if (error.code().value() == EBADMSG && text.ends_with(misleading)) {
        const auto rest = text.substr(0, text.size() - misleading.size());
        if (rest.find(": ") != std::string_view::npos) text = rest;
    }
    complain(text, error.hint());
}

std::string describe_processes(const std::vector<pid_t>& pids) {
    constexpr std::size_t most = 10;
    std::string text;
    for (std::size_t i = 0; i < std::min(pids.size(), most); ++i) {
        const auto process = describe_process(pids[i]);
        if (!text.empty()) text += ", ";
        text += std::to_string(pids[i]);
        if (process) text += " (" + escape(process->command.substr(0, 60)) + ")";
    }
    if (pids.size() > most) text += " and " + std::to_string(pids.size() - most) + " more";
    return text;
}

} // namespace ipcns::cli
