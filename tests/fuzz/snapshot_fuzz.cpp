// SPDX-License-Identifier: Apache-2.0
// Reading a snapshot that may come from a stranger, for libFuzzer: the manifest alone when it begins with a brace, else the
// whole file, into a receiver that only looks whether what it is told can be so. Anything but an Error is a fault.
//
// A tar file is cut into heads that have a sum each, which chance does not get right: after each change they are set right.
#include "snapshot_seeds.hpp"

#include "manifest.hpp"
#include "tarball.hpp"

#include <ipcns/error.hpp>
#include <ipcns/fd.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

using namespace ipcns;

void expect(bool good) {
    if (!good) std::abort();
}

class Suspicious : public Receiver {
public:
    void begin(const Snapshot& snapshot) override {
        expect(snapshot_ == nullptr);
        snapshot_ = &snapshot;
    }
    void begin_memory(Kind kind, std::size_t index, std::span<const Extent> /*extents*/) override {
        begin_one(kind, index);
        expect(kind == Kind::shm || kind == Kind::pshm);
        size_ = kind == Kind::shm ? snapshot_->shm.at(index).record.bytes : snapshot_->pshm.at(index).bytes;
        reached_ = 0;
    }
    void bytes(std::uint64_t offset, std::span<const std::byte> data) override {
        expect(open_ && offset >= reached_ && offset <= size_ && data.size() <= size_ - offset);
        reached_ = offset + data.size();
        for (const std::byte byte : data) sum_ += static_cast<unsigned>(byte);
    }
    void end_memory() override { end_one(); }
    void begin_messages(Kind kind, std::size_t index, std::uint64_t /*count*/,
                        std::uint64_t /*bytes*/) override {
        begin_one(kind, index);
        expect(kind == Kind::msg || kind == Kind::mq);
        posix_ = kind == Kind::mq;
        longest_ = posix_ ? *snapshot_->mq.at(index).message_size : std::uint64_t{256} << 20;
    }
    void message(std::int64_t type, std::span<const std::byte> text) override {
        expect(open_ && text.size() <= longest_);
        expect(posix_ ? type >= 0 && type <= 32767 : type > 0);
        for (const std::byte byte : text) sum_ += static_cast<unsigned>(byte);
    }
    void end_messages() override { end_one(); }
    void end(const SnapshotEnd& /*end*/) override {
        expect(snapshot_ != nullptr && !open_ && !ended_);
        ended_ = true;
    }
    [[nodiscard]] bool ended() const { return ended_; }

private:
    void begin_one(Kind kind, std::size_t index) {
        expect(snapshot_ != nullptr && !open_ && !ended_ && has_member(*snapshot_, kind, index));
        open_ = true;
    }
    void end_one() {
        expect(open_);
        open_ = false;
    }

    const Snapshot* snapshot_ = nullptr;
    bool open_ = false, ended_ = false, posix_ = false;
    std::uint64_t size_ = 0, reached_ = 0, longest_ = 0;
    unsigned sum_ = 0; // so that every byte is read
};

// What was understood is written, and understood again in the same way.
void read_manifest(std::string_view text) {
    const Snapshot snapshot = parse_manifest(text);
    const std::string once = manifest_text(snapshot);
    expect(manifest_text(parse_manifest(once)) == once);
}

void read_file(std::span<const std::uint8_t> bytes) {
    const Fd file(::memfd_create("snapshot", MFD_CLOEXEC));
    expect(file && ::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    expect(::lseek(file.get(), 0, SEEK_SET) == 0);
    TarReader reader(file.get());
    Suspicious to;
    (void)reader.feed(to, {});
    expect(to.ended());
}

constexpr std::size_t block = 512;

void set_sum(std::uint8_t* head) {
    unsigned sum = 0;
    std::memset(head + 148, ' ', 8);
    for (std::size_t i = 0; i < block; ++i) sum += head[i];
    for (int i = 5; i >= 0; --i, sum /= 8) head[148 + i] = static_cast<std::uint8_t>('0' + sum % 8);
    head[154] = 0;
}

// The blocks that stand where a head does, by the sizes before them.
void set_sums(std::span<std::uint8_t> tar) {
    for (std::size_t at = 0; at + block <= tar.size();) {
        std::uint8_t* const head = tar.data() + at;
        if (head[0] == 0) return;
        set_sum(head);
        std::uint64_t size = 0;
        for (int i = 124; i < 135 && head[i] >= '0' && head[i] <= '7'; ++i) size = size * 8 + (head[i] - '0');
        at += block + (size + block - 1) / block * block;
    }
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** words) {
    constexpr std::string_view seeds = "--seeds=";
    for (int i = 1; i < *count; ++i) {
        if (std::string_view((*words)[i]).starts_with(seeds)) {
            fuzz::write_seeds((*words)[i] + seeds.size());
            std::exit(0);
        }
    }
    return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
    size = LLVMFuzzerMutate(data, size, most);
    if (size > block && data[0] != '{' && seed % 16 != 0) set_sums({data, size});
    return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        if (size > 0 && data[0] == '{')
            read_manifest({reinterpret_cast<const char*>(data), size});
        else
            read_file({data, size});
    } catch (const Error& error) {
        expect(error.code().value() == EBADMSG || error.code().value() == ENOTSUP);
    }
    return 0;
}
