// SPDX-License-Identifier: Apache-2.0
// Frames follow each other in a stream (RFC 8878, 3). zstd has threads of its own, but not in the static library that Debian
// ships, and it starts them when the first byte comes: that may be on an errand, a process that shares the memory and
// can start none. So the threads here are there from the beginning. An errand may also be killed at any moment: it shares
// numbers with them, and no lock.
#include "compressor.hpp"

#include "errand.hpp"
#include "error.hpp"
#include "quiet_thread.hpp"

#include <zstd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

namespace ipcns {
namespace {

std::size_t threads() { return on_errand() ? 1 : std::clamp(std::thread::hardware_concurrency(), 1U, 8U); }

} // namespace

// A piece is what a level looks back at, or little less: it costs no more than a hundredth of what is saved.
Compressor::Compressor(int level, std::function<void(std::span<const std::byte>)> give)
    : level_(level),
      longest_(std::size_t{level < 10 ? 2U : 8U} << 20),
      give_(std::move(give)),
      workers_(threads()) {
    if (level < 1 || level > ::ZSTD_maxCLevel())
        throw UsageError("zstd has no level " + std::to_string(level));
    if (on_errand()) return;
    for (auto& worker : workers_) worker.thread = quiet_thread([this, &worker] { work(worker); });
}

Compressor::~Compressor() {
    for (auto& worker : workers_) {
        if (!worker.thread) continue;
        // One that is at work sees it afterwards.
        worker.state = Worker::end;
        worker.state.notify_one();
        worker.thread->join();
    }
}

void Compressor::FreeContext::operator()(ZSTD_CCtx_s* context) const noexcept {
    (void)::ZSTD_freeCCtx(context);
}

void Compressor::compress(Worker& worker) const noexcept {
    try {
        if (!worker.context) {
            worker.context.reset(::ZSTD_createCCtx());
            if (!worker.context) throw std::bad_alloc();
            (void)::ZSTD_CCtx_setParameter(worker.context.get(), ZSTD_c_compressionLevel, level_);
            (void)::ZSTD_CCtx_setParameter(worker.context.get(), ZSTD_c_checksumFlag, 1);
        }
        worker.room.resize(std::max(worker.room.size(), ::ZSTD_compressBound(worker.piece.size())));
        worker.length = ::ZSTD_compress2(worker.context.get(), worker.room.data(), worker.room.size(),
                                         worker.piece.data(), worker.piece.size());
        if (::ZSTD_isError(worker.length) != 0)
            fail(EIO, std::string("compress the snapshot: ") + ::ZSTD_getErrorName(worker.length));
    } catch (...) {
        worker.failed = std::current_exception();
    }
}

void Compressor::work(Worker& worker) const noexcept {
    for (std::uint32_t state = worker.state;; state = worker.state) {
        if (state == Worker::end) return;
        if (state == Worker::full) {
            compress(worker);
            if (!worker.state.compare_exchange_strong(state, Worker::done)) return;
            worker.state.notify_one();
            state = Worker::done;
        }
        worker.state.wait(state);
    }
}

void Compressor::put(std::span<const std::byte> data) {
    while (!data.empty()) {
        Worker& worker = workers_[turn_];
        collect(worker);
        worker.piece.reserve(longest_);
        const auto part = data.first(std::min(data.size(), longest_ - worker.piece.size()));
        worker.piece.insert(worker.piece.end(), part.begin(), part.end());
        data = data.subspan(part.size());
        if (worker.piece.size() == longest_) hand_over();
    }
}

void Compressor::hand_over() {
    Worker& worker = workers_[turn_];
    turn_ = (turn_ + 1) % workers_.size();
    if (!worker.thread) {
        compress(worker);
        worker.state = Worker::done;
        return;
    }
    worker.state = Worker::full;
    worker.state.notify_one();
}

// What it was given last becomes part of the stream: all before has.
void Compressor::collect(Worker& worker) {
    worker.state.wait(Worker::full);
    if (worker.state != Worker::done) return;
    worker.state = Worker::idle;
    if (worker.failed) std::rethrow_exception(std::exchange(worker.failed, nullptr));
    give_(std::span(worker.room).first(worker.length));
    worker.piece.clear();
}

void Compressor::finish() {
    if (!workers_[turn_].piece.empty() && workers_[turn_].state == Worker::idle) hand_over();
    for (std::size_t i = 0; i < workers_.size(); ++i) collect(workers_[(turn_ + i) % workers_.size()]);
}

} // namespace ipcns
