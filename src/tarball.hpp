// SPDX-License-Identifier: Apache-2.0
// A snapshot as a tar file: docs/snapshot-format.md.
#pragma once

#include "flow.hpp"

#include <ipcns/snapshot.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

struct archive;

namespace ipcns {

struct CloseArchive {
    void operator()(archive* open) const noexcept;
};
using Archive = std::unique_ptr<archive, CloseArchive>;

/// Writes one to a descriptor, as it comes.
class TarWriter : public Receiver {
public:
    /// @param output where it is written to, by write(2); not owned
    /// @param zstd   the level of compression, if there is to be one
    /// @param name   for messages, escaped; empty: what the kernel calls it
    TarWriter(int output, std::optional<int> zstd, const std::string& name = {});
    /// Writes one that may be begun again.
    /// @param file what is empty, and can be written at any place; not owned
    TarWriter(int file, const std::string& name);
    ~TarWriter() override;

    /// Whatever came until now, all of it comes once more. Of the file, what is there already is not written again. Only
    /// for a writer that was made for it.
    void start_over();

    void begin(const Snapshot& snapshot) override;
    void begin_memory(Kind kind, std::size_t index, std::span<const Extent> extents) override;
    void bytes(std::uint64_t offset, std::span<const std::byte> data) override;
    void end_memory() override;
    void begin_messages(Kind kind, std::size_t index, std::uint64_t count, std::uint64_t bytes) override;
    void message(std::int64_t type, std::span<const std::byte> text) override;
    void end_messages() override;
    void end(const SnapshotEnd& end) override;

    /// Whether something could not be written.
    [[nodiscard]] bool failed() const noexcept;
    /// Bytes of the file so far.
    [[nodiscard]] std::uint64_t written() const noexcept;
    /// Of these, those that were not there already when start_over() was called.
    [[nodiscard]] std::uint64_t written_again() const noexcept;

private:
    class Output;
    class Sum;
    void open();
    void abandon() noexcept;
    void begin_member(const std::string& name, std::uint64_t size, std::span<const Extent> extents);
    void keep_place(const std::string& name, std::span<const Extent> extents);
    void put(std::span<const std::byte> data);
    void skip(std::uint64_t length);
    void finish_member();
    void whole_member(const std::string& name, const std::string& text);

    std::unique_ptr<Output> output_;
    std::unique_ptr<Sum> sum_;
    Archive archive_;
    const Snapshot* snapshot_ = nullptr;
    std::string member_;
    std::uint64_t size_ = 0;
    std::uint64_t at_ = 0; // in the member
    std::uint64_t stored_ = 0;
    std::vector<MemberSum> sums_;
    std::map<std::string, std::uint64_t> places_; // where large members begin, if that is to stay so
};

/// Reads one that may come from a stranger.
class TarReader {
public:
    /// Reads the manifest.
    /// @param input read(2) from where it stands; not owned
    /// @throws Error EBADMSG, ENOTSUP
    explicit TarReader(int input);
    ~TarReader();
    TarReader(const TarReader&) = delete;
    TarReader& operator=(const TarReader&) = delete;

    [[nodiscard]] const Snapshot& snapshot() const noexcept { return snapshot_; }
    /// How messages begin: "read the snapshot from FILE".
    [[nodiscard]] const std::string& doing() const noexcept;
    /// Gives everything behind the manifest to a receiver: its begin() comes first. The sums are compared with the
    /// file's before its end() is called.
    /// @return bytes of contents
    std::uint64_t feed(Receiver& to, const ProgressFunction& progress);

private:
    class Input;
    template <class Work>
    void saying_where(Work work);
    void feed_all(Receiver& to);
    std::string next_member();
    std::string read_whole(const std::string& name);
    bool next_block(std::uint64_t& offset, std::span<const std::byte>& data);
    void read_memory(Kind kind, std::size_t index, Receiver& to);
    void read_messages(Kind kind, std::size_t index, Receiver& to);
    void tell();

    std::unique_ptr<Input> input_;
    Archive archive_;
    Snapshot snapshot_;
    std::vector<MemberSum> sums_;
    std::uint64_t size_ = 0; // of the member that is being read
    std::uint64_t contents_ = 0, all_ = 0;
    const ProgressFunction* progress_ = nullptr;
};

} // namespace ipcns
