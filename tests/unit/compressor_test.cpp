// SPDX-License-Identifier: Apache-2.0
// A stream compressed by several threads is one that zstd's own functions read.
#include "compressor.hpp"

#include "errand.hpp"
#include "support.hpp"

#include <ipcns/error.hpp>

#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace ipcns::test {
namespace {

using Bytes = std::vector<std::byte>;

// Every other KiB can't be made smaller.
Bytes some(std::size_t size) {
    Bytes bytes(size, std::byte{'x'});
    std::mt19937 random(static_cast<unsigned>(size));
    for (std::size_t i = 0; i < size; ++i) {
        if (i / 1024 % 2 == 0) bytes[i] = static_cast<std::byte>(random());
    }
    return bytes;
}

Bytes decompressed(const Bytes& stream) {
    Bytes out;
    Bytes room(ZSTD_DStreamOutSize());
    ZSTD_DCtx* const context = ::ZSTD_createDCtx();
    ZSTD_inBuffer in{stream.data(), stream.size(), 0};
    std::size_t left = 0;
    while (in.pos < in.size) {
        ZSTD_outBuffer to{room.data(), room.size(), 0};
        left = ::ZSTD_decompressStream(context, &to, &in);
        if (::ZSTD_isError(left) != 0) break;
        out.insert(out.end(), room.begin(), room.begin() + static_cast<std::ptrdiff_t>(to.pos));
    }
    ::ZSTD_freeDCtx(context);
    EXPECT_EQ(left, 0U);
    return out;
}

Bytes compressed(const Bytes& data, std::size_t piece, int level = 1) {
    Bytes stream;
    Compressor compressor(level,
                          [&](auto frame) { stream.insert(stream.end(), frame.begin(), frame.end()); });
    for (std::size_t at = 0; at < data.size(); at += piece)
        compressor.put(std::span(data).subspan(at, std::min(piece, data.size() - at)));
    compressor.finish();
    return stream;
}

std::ptrdiff_t threads() { return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {}); }

constexpr std::size_t mib = std::size_t{1} << 20;

TEST(Compressor, WhatItGivesIsTheSameAgain) {
    for (const std::size_t size : {std::size_t{1}, 2 * mib - 1, 2 * mib, 2 * mib + 1, 37 * mib + 5}) {
        const Bytes data = some(size);
        const Bytes stream = compressed(data, 300'000);
        EXPECT_TRUE(decompressed(stream) == data) << size;
        EXPECT_LT(stream.size(), size * 6 / 10 + 100);
    }
    EXPECT_TRUE(decompressed(compressed(some(20 * mib), 20 * mib, 10)) == some(20 * mib));
    EXPECT_TRUE(compressed({}, 1).empty());
}

TEST(Compressor, HasAThreadForEachProcessor) {
    const auto before = threads();
    {
        const Compressor compressor(3, [](auto) {});
        EXPECT_EQ(threads() - before, std::clamp(std::thread::hardware_concurrency(), 1U, 8U));
    }
    EXPECT_TRUE(eventually([&] { return threads() == before; }));
}

// There no thread can be started; one that is there already works on, also after the errand.
TEST(Compressor, OnAnErrand) {
    const Bytes data = some(11 * mib);
    Bytes stream;
    const auto give = [&](auto frame) { stream.insert(stream.end(), frame.begin(), frame.end()); };
    errand("test", 0, [&] {
        Compressor all(1, give);
        all.put(data);
        all.finish();
    });
    EXPECT_TRUE(decompressed(stream) == data);
    stream.clear();
    Compressor begun(1, give);
    errand("test", 0, [&] { begun.put(std::span(data).first(10 * mib)); });
    begun.put(std::span(data).subspan(10 * mib));
    begun.finish();
    EXPECT_TRUE(decompressed(stream) == data);
}

TEST(Compressor, WhatTheReceiverThrowsComesThrough) {
    Compressor compressor(1, [](auto) { throw std::runtime_error("full"); });
    const Bytes data = some(2 * mib);
    EXPECT_THROW(for (int i = 0; i < 100; ++i) compressor.put(data), std::runtime_error);
    EXPECT_THROW(Compressor(0, [](auto) {}), UsageError);
    EXPECT_THROW(Compressor(23, [](auto) {}), UsageError);
}

} // namespace
} // namespace ipcns::test
