// SPDX-License-Identifier: Apache-2.0
// The mapped files of a process that matter: System V segments, and files on chosen file systems.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace ipcns::maps {

/// A file system of the kernel's own that holds System V segments.
struct SegmentFileSystem {
    dev_t device = 0;
    std::uint64_t huge_page = 0; ///< bytes of a page, 0 for ordinary ones
};

/// All of them: one with ordinary pages, and one for each size of huge pages.
/// @throws Error when no descriptor is left
std::vector<SegmentFileSystem> segment_file_systems();

/// What to look for.
struct Wanted {
    std::vector<SegmentFileSystem>
        segments;             ///< System V segments, which lie on these; empty: don't look for them
    std::vector<dev_t> files; ///< everything mapped from these
};

/// One mapping.
struct MappedFile {
    std::uint64_t begin = 0, end = 0; ///< addresses
    std::uint64_t offset = 0;         ///< where in the file it begins
    dev_t device = 0;
    ino_t inode = 0;             ///< of a segment: its id
    std::uint64_t huge_page = 0; ///< see SegmentFileSystem
    bool segment = false;        ///< a System V segment
    bool shared = false;         ///< MAP_SHARED
};

enum class Answer { found, no_memory, denied };

/// Puts what @p process (a folder of /proc, PID or PID/task/TID) maps into @p found, which is emptied first.
/// @param query  true at the first call; false from then on where the kernel has no PROCMAP_QUERY. False from the
///               beginning: read the text
/// @return no_memory for a kernel thread, and for what has ended; denied when it may not be read, or this process has
///         no descriptor left
Answer read(int process, const Wanted& wanted, bool& query, std::vector<MappedFile>& found);

} // namespace ipcns::maps
