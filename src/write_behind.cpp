// SPDX-License-Identifier: Apache-2.0
// Leans on sync_file_range(2) with SYNC_FILE_RANGE_WRITE alone: it begins to write back what is dirty, and waits only for room
// in the disk's queue. It takes no error away from a later fsync(2), as the flags that wait would: errors are told once
// for each descriptor, and it asks for none (mm/filemap.c, file_check_and_advance_wb_err). On a tmpfs it does nothing.
#include "write_behind.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <csignal>
#include <system_error>

namespace ipcns {
namespace {

// A few of them are under way in a second, and a small file is not worth a thread.
constexpr std::uint64_t step = std::uint64_t{8} << 20;

bool is_regular(int file) {
    struct stat about {};
    return ::fstat(file, &about) == 0 && S_ISREG(about.st_mode);
}

} // namespace

WriteBehind::WriteBehind(int file) : file_(file), wanted_(is_regular(file)) {}

WriteBehind::~WriteBehind() {
    if (!thread_) return;
    {
        const std::lock_guard lock(mutex_);
        end_ = true;
    }
    news_.notify_one();
    thread_->join();
}

void WriteBehind::wrote_until(std::uint64_t offset) noexcept {
    if (!wanted_ || offset < told_ + step) return;
    if (!thread_) start();
    if (!thread_) return;
    told_ = offset;
    {
        const std::lock_guard lock(mutex_);
        until_ = offset;
    }
    news_.notify_one();
}

// Signals are for the threads that were there before.
void WriteBehind::start() noexcept {
    sigset_t all, old;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &old);
    try {
        thread_.emplace([this] { work(); });
    } catch (const std::system_error&) {
        wanted_ = false; // as many threads as are allowed: then without
    }
    ::pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void WriteBehind::work() noexcept {
    std::uint64_t done = 0;
    std::unique_lock lock(mutex_);
    for (;;) {
        news_.wait(lock, [&] { return end_ || until_ != done; });
        if (end_) return; // the sync that comes now does the rest
        const std::uint64_t until = until_;
        lock.unlock();
        (void)::sync_file_range(file_, static_cast<off_t>(done), static_cast<off_t>(until - done),
                                SYNC_FILE_RANGE_WRITE);
        done = until;
        lock.lock();
    }
}

} // namespace ipcns
