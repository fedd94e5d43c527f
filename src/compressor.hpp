// SPDX-License-Identifier: Apache-2.0
// Compresses a stream with zstd, by several threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

struct ZSTD_CCtx_s;

namespace ipcns {

/// Takes bytes and gives what they become, in the same order: frames of zstd, one for each piece of the stream, which any
/// program that reads zstd takes for one stream.
class Compressor {
public:
    /// @param level 1 to 19
    /// @param give  is called by put() and finish() alone
    /// @throws UsageError there is no such level
    Compressor(int level, std::function<void(std::span<const std::byte>)> give);
    ~Compressor();
    Compressor(const Compressor&) = delete;
    Compressor& operator=(const Compressor&) = delete;

    /// @throws Error, and what @p give throws
    void put(std::span<const std::byte> data);
    /// All that was put is given. @throws as put()
    void finish();

private:
    struct FreeContext {
        void operator()(ZSTD_CCtx_s* context) const noexcept;
    };
    struct Worker {
        enum State : std::uint32_t { idle, full, done, end };
        std::atomic<std::uint32_t> state = idle;
        std::unique_ptr<ZSTD_CCtx_s, FreeContext> context;
        std::vector<std::byte> piece; // is filled while it is idle
        std::vector<std::byte> room;  // for what it becomes
        std::size_t length = 0;       // of that, when it is done
        std::exception_ptr failed;
        std::optional<std::thread> thread; // none: whoever fills it does the work
    };

    void compress(Worker& worker) const noexcept;
    void work(Worker& worker) const noexcept;
    void hand_over();
    void collect(Worker& worker);

    int level_;
    std::size_t longest_;
    std::function<void(std::span<const std::byte>)> give_;
    std::vector<Worker> workers_; // take turns
    std::size_t turn_ = 0;
};

} // namespace ipcns
