// SPDX-License-Identifier: Apache-2.0
// The disk is at work while a snapshot is being written. What of a file is not on the disk yet is told by cachestat(2), Linux 6.5.
#include "write_behind.hpp"

#include "errand.hpp"
#include "support.hpp"
#include "tarball.hpp"

#include <ipcns/fd.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace ipcns::test {
namespace {

constexpr std::size_t mib = std::size_t{1} << 20;
constexpr std::size_t much = 48 * mib;

/// Bytes of a file that nobody has begun to write to the disk.
std::optional<std::uint64_t> dirty_bytes(int file) {
    constexpr long cachestat = 451;
    const std::uint64_t whole[2] = {0, 0};
    struct {
        std::uint64_t cache, dirty, writeback, evicted, recently_evicted;
    } is{};
    if (::syscall(cachestat, file, whole, &is, 0U) != 0) return std::nullopt;
    return is.dirty * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

class WriteBehindTest : public ::testing::Test {
protected:
    void SetUp() override {
        file = Fd(::open(::testing::TempDir().c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
        struct statfs about {};
        if (!file || ::fstatfs(file.get(), &about) != 0)
            GTEST_SKIP() << "no file in " << ::testing::TempDir();
        if (about.f_type == TMPFS_MAGIC || about.f_type == OVERLAYFS_SUPER_MAGIC)
            GTEST_SKIP() << "the folder for temporary files is on no disk";
        if (!dirty_bytes(file.get())) GTEST_SKIP() << "cachestat(2): " << std::strerror(errno);
    }
    Fd file;
};

void write_all(int file, std::size_t bytes) {
    const std::vector<std::byte> some(mib, std::byte{'x'});
    for (std::size_t done = 0; done < bytes; done += mib)
        ASSERT_EQ(::write(file, some.data(), mib), static_cast<ssize_t>(mib));
}

// By itself the kernel lets pages lie for thirty seconds (vm.dirty_expire_centisecs), and ten are waited for here.
TEST_F(WriteBehindTest, WhatWasWrittenIsOnItsWayToTheDiskBeforeAnybodySyncs) {
    WriteBehind behind(file.get());
    write_all(file.get(), much);
    behind.wrote_until(much);
    EXPECT_TRUE(eventually([&] { return *dirty_bytes(file.get()) < mib; }));
}

TEST_F(WriteBehindTest, ASnapshotIsWrittenSo) {
    Snapshot snapshot;
    SharedMemoryRecord memory;
    memory.name = "/much";
    memory.bytes = much;
    snapshot.pshm.push_back(memory);
    TarWriter writer(file.get(), std::nullopt);
    writer.begin(snapshot);
    const std::vector<Extent> all{{0, much}};
    writer.begin_memory(Kind::pshm, 0, all);
    const std::vector<std::byte> some(mib, std::byte{'x'});
    for (std::size_t done = 0; done < much; done += mib) writer.bytes(done, some);
    writer.end_memory();
    EXPECT_TRUE(eventually([&] { return *dirty_bytes(file.get()) < 10 * mib; }));
    writer.end({});
}

TEST_F(WriteBehindTest, WhoWritesMayBeOnAnErrand) {
    WriteBehind behind(file.get());
    write_all(file.get(), much);
    errand("test", 0, [&] { behind.wrote_until(much); });
    EXPECT_TRUE(eventually([&] { return *dirty_bytes(file.get()) < mib; }));
    errand("test", 0, [&] { WriteBehind(file.get()).wrote_until(much); });
}

TEST(WriteBehindWithoutDisk, APipeIsLeftAlone) {
    int ends[2];
    ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const Fd out(ends[0]), in(ends[1]);
    WriteBehind behind(in.get());
    behind.wrote_until(much);
}

} // namespace
} // namespace ipcns::test
