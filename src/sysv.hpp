// SPDX-License-Identifier: Apache-2.0
// Lists of System V objects for who wants what there is to be had: one that the kernel does not describe (a security
// module's policy) does not take the others away.
#pragma once

#include <ipcns/sysv.hpp>

#include <cstddef>
#include <vector>

namespace ipcns {

/// Objects that are there and were not described.
struct Undescribed {
    std::size_t count = 0;
    int error = 0; ///< of one of them
};

/// As list_queues() and its like, which throw instead.
std::vector<QueueRecord> list_queues(Undescribed& rest);
std::vector<SemaphoreSetRecord> list_semaphore_sets(Undescribed& rest);
std::vector<SegmentRecord> list_segments(SegmentMemory memory, Undescribed& rest);

} // namespace ipcns
