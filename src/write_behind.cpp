// SPDX-License-Identifier: Apache-2.0
// Leans on sync_file_range(2) with SYNC_FILE_RANGE_WRITE alone: it begins to write back what is dirty, and waits only for room
// in the disk's queue. It takes no error away from a later fsync(2), as the flags that wait would: errors are told once
// for each descriptor, and it asks for none (mm/filemap.c, file_check_and_advance_wb_err). On a tmpfs it does nothing.
//
// Who writes may be on an errand: a process that shares the memory and can start no thread, so ours is there from the
// beginning. An errand may also be killed at any moment, so the two share a number, and no lock.
#include "write_behind.hpp"

#include "errand.hpp"
#include "quiet_thread.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <limits>

namespace ipcns {
namespace {

constexpr std::uint64_t step = std::uint64_t{8} << 20; // a few of them are under way in a second
constexpr std::uint32_t no_more = std::numeric_limits<std::uint32_t>::max();

bool is_regular(int file) {
    struct stat about {};
    return ::fstat(file, &about) == 0 && S_ISREG(about.st_mode);
}

} // namespace

WriteBehind::WriteBehind(int file) : file_(file) {
    if (is_regular(file) && !on_errand()) thread_ = quiet_thread([this] { work(); });
}

WriteBehind::~WriteBehind() {
    if (!thread_) return;
    steps_ = no_more; // the sync that comes now does the rest
    steps_.notify_one();
    thread_->join();
}

void WriteBehind::wrote_until(std::uint64_t offset) noexcept {
    const auto steps = static_cast<std::uint32_t>(std::min<std::uint64_t>(offset / step, no_more - 1));
    if (steps <= told_) return;
    steps_ = told_ = steps;
    steps_.notify_one();
}

void WriteBehind::work() noexcept {
    for (std::uint32_t done = 0;;) {
        steps_.wait(done);
        const std::uint32_t now = steps_;
        if (now == no_more) return;
        (void)::sync_file_range(file_, static_cast<off_t>(done * step),
                                static_cast<off_t>((now - done) * step), SYNC_FILE_RANGE_WRITE);
        done = now;
    }
}

} // namespace ipcns
