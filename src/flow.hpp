// SPDX-License-Identifier: Apache-2.0
// How the contents of a namespace flow: from a living one or a file, to a file or a new one.
#pragma once

#include "manifest.hpp"

#include <ipcns/snapshot.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ipcns {

/// A part of shared memory that has been written to. What lies between two of them reads as 0.
struct Extent {
    std::uint64_t offset = 0, length = 0;
    [[nodiscard]] std::uint64_t end() const noexcept { return offset + length; }
};

/// Takes what a snapshot consists of: first begin(), then the contents of the objects that have any (has_member()), in
/// the order of kinds_with_members and of the lists, then end().
class Receiver {
public:
    Receiver() = default;
    virtual ~Receiver() = default;
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;

    virtual void begin(const Snapshot& snapshot) = 0;

    /// The contents of shared memory, in ascending order of offset.
    /// @param extents what will come; from a file that is not known beforehand, and they are empty
    virtual void begin_memory(Kind kind, std::size_t index, std::span<const Extent> extents) = 0;
    /// Where bytes() would put that much, so that it can be read into directly; empty: nowhere.
    [[nodiscard]] virtual std::span<std::byte> room(std::uint64_t /*offset*/, std::size_t /*length*/) {
        return {};
    }
    virtual void bytes(std::uint64_t offset, std::span<const std::byte> data) = 0;
    virtual void end_memory() = 0;

    /// The messages of a queue in the order in which they would be received.
    /// @param bytes the sum of their lengths
    virtual void begin_messages(Kind kind, std::size_t index, std::uint64_t count, std::uint64_t bytes) = 0;
    /// @param type System V: above 0; POSIX: the priority
    virtual void message(std::int64_t type, std::span<const std::byte> text) = 0;
    virtual void end_messages() = 0;

    virtual void end(const SnapshotEnd& end) = 0;
};

} // namespace ipcns
