// SPDX-License-Identifier: Apache-2.0
// Has the disk at work while a file is still being written, so that the sync at the end has less to wait for.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>

namespace ipcns {

/// Says to the kernel, from a thread of its own, that what was written may go to the disk. That thread alone waits where the
/// disk is slow. It is a kindness: nothing is told when it can't be done, and who wants to be sure syncs.
class WriteBehind {
public:
    /// @param file not owned; if it is no regular one, nothing is ever done
    explicit WriteBehind(int file);
    ~WriteBehind();
    WriteBehind(const WriteBehind&) = delete;
    WriteBehind& operator=(const WriteBehind&) = delete;

    /// All before that place of the file is written.
    void wrote_until(std::uint64_t offset) noexcept;

private:
    void work() noexcept;

    int file_;
    std::uint32_t told_ = 0; // steps of the file, from its beginning
    std::atomic<std::uint32_t> steps_ = 0;
    std::optional<std::thread> thread_;
};

} // namespace ipcns
