// SPDX-License-Identifier: Apache-2.0
// Beside the bytes of shared memory: of many segments at once, and what differs in two.
#pragma once

#include "maps.hpp"

#include <ipcns/contents.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace ipcns {

/// As contents_of() in the public header, by one who knows the rest already.
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

/// The first byte that is not the same in both, as far as the shorter one goes.
struct ByteDifference {
    std::uint64_t offset = 0;
    std::byte a{}, b{};
};
/// @throws Unreadable
std::optional<ByteDifference> first_difference(Contents& a, Contents& b);

/// Whether the limit shm_rmid_forced of the calling thread's namespace has segments removed that nobody has attached.
/// @throws Error when it cannot be read
bool removes_unattached();

} // namespace ipcns
