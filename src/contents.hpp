// SPDX-License-Identifier: Apache-2.0
// The bytes of shared memory, read without changing them, and without giving memory to what was never written.
#pragma once

#include "maps.hpp"

#include <ipcns/namespace.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

namespace ipcns {

/// Why something can't be read, in words that follow "not compared: "; escaped.
class Unreadable : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The bytes of one object. They may change at any time.
class Contents {
public:
    Contents() = default;
    virtual ~Contents() = default;
    Contents(const Contents&) = delete;
    Contents& operator=(const Contents&) = delete;

    /// How many there are.
    [[nodiscard]] virtual std::uint64_t size() const = 0;
    /// Where, at or behind @p offset, the first byte is that may be other than 0; size() when there is none.
    [[nodiscard]] virtual std::uint64_t next_data(std::uint64_t offset) = 0;
    /// Where the data ends that begins at @p offset, which next_data() said: what follows may read as 0.
    [[nodiscard]] virtual std::uint64_t next_hole(std::uint64_t offset) = 0;
    /// Reads all of @p into, which must lie within size(). What was never written reads as 0.
    /// @throws Unreadable when it has become shorter
    virtual void read(std::uint64_t offset, std::span<std::byte> into) = 0;
    /// Before the reading and after it.
    /// @throws Unreadable when what is read may be wrong
    virtual void vouch() {}
    /// Bytes of a huge page that it is made of, or 0.
    [[nodiscard]] virtual std::uint64_t huge_page() const { return 0; }
};

/// A segment of the namespace @p ipc. It is attached for a moment, or as long as the object lives.
/// @param file_systems what segment_file_systems() said
/// @param forced       the limit shm_rmid_forced of the namespace is 1
/// @throws Unreadable
std::unique_ptr<Contents> contents_of(const Namespace& ipc, const SegmentRecord& segment,
                                      const std::vector<maps::SegmentFileSystem>& file_systems, bool forced);
/// The same for the namespace that the calling thread is in.
/// @throws Unreadable
std::unique_ptr<Contents> contents_here(const SegmentRecord& segment,
                                        const std::vector<maps::SegmentFileSystem>& file_systems,
                                        bool forced);

/// A shared memory object of a /dev/shm.
/// @throws Unreadable
std::unique_ptr<Contents> contents_of(int folder, const SharedMemoryRecord& memory);

/// The first byte that is not the same in both, as far as the shorter one goes.
struct ByteDifference {
    std::uint64_t offset = 0;
    std::byte a{}, b{};
};
/// @throws Unreadable
std::optional<ByteDifference> first_difference(Contents& a, Contents& b);

} // namespace ipcns
