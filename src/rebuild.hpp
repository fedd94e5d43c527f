// SPDX-License-Identifier: Apache-2.0
// A namespace, made again from a snapshot.
#pragma once

#include "flow.hpp"

#include <ipcns/fd.hpp>
#include <ipcns/snapshot.hpp>

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ipcns {

class IdMap;

/// Made outside of the namespace; as a Receiver it runs inside (Namespace::call()). When it goes before its end() came, it
/// takes away again what it made.
class Rebuild : public Receiver {
public:
    enum class Into {
        empty, ///< a new namespace, which gets the snapshot's limits
        used,  ///< one that others use: nothing of theirs is touched
    };
    /// @param shared         the /dev/shm
    /// @param user_namespace IdMap::user_namespace() of the caller, whose users the snapshot and the options mean
    Rebuild(int shared, Into into, const RestoreOptions& options, ino_t user_namespace);
    ~Rebuild() override;

    void begin(const Snapshot& snapshot) override;
    void begin_memory(Kind kind, std::size_t index, std::span<const Extent> extents) override;
    void bytes(std::uint64_t offset, std::span<const std::byte> data) override;
    void end_memory() override;
    void begin_messages(Kind kind, std::size_t index, std::uint64_t count, std::uint64_t bytes) override;
    void message(std::int64_t type, std::span<const std::byte> text) override;
    void end_messages() override;
    void end(const SnapshotEnd& end) override;

    [[nodiscard]] std::vector<std::string>& notes() noexcept { return notes_; }

private:
    class NextId;
    class Memory;

    void check_memory();
    void take_memory(std::uint64_t bytes);
    std::function<void(std::uint64_t, std::uint64_t)> counted(Kind kind, std::size_t index,
                                                              std::optional<std::uint64_t> most);
    void check_taken() const;
    void raise_limits();
    void make_all();
    template <class Options>
    Options options_of(const Ownership& who, Key key) const;
    PosixMakeOptions options_of(const FileOwnership& who) const;
    [[nodiscard]] uid_t user(uid_t saved) const;
    [[nodiscard]] gid_t group(gid_t saved) const;
    void undo() noexcept;

    int shared_;
    Into into_;
    const RestoreOptions& options_;
    ino_t user_namespace_;
    std::unique_ptr<IdMap> ids_;
    const Snapshot* snapshot_ = nullptr;
    bool done_ = false;
    std::vector<std::string> notes_;
    // What was made, to be taken away again; and what it became, for a file that let the kernel choose ids.
    std::vector<QueueId> msg_;
    std::vector<SemaphoreSetId> sem_;
    std::vector<std::optional<SegmentId>> shm_;
    std::vector<std::string> mq_;
    std::vector<std::string> files_;                                   // of the /dev/shm
    std::uint64_t memory_ = std::numeric_limits<std::uint64_t>::max(); // that may still be filled
    // What is being filled.
    Kind kind_ = Kind::msg;
    std::size_t index_ = 0;
    std::unique_ptr<Memory> content_;
    std::optional<PosixQueue> queue_;
};

} // namespace ipcns
