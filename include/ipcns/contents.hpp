// SPDX-License-Identifier: Apache-2.0
// The bytes of shared memory, read without changing them, and without giving memory to what was never written.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace ipcns {

/// Why the bytes of something can't be read: `what()` is words that follow "it can't be read: ", escaped.
class IPCNS_API Unreadable : public Error {
public:
    /// @param why    words that follow "it can't be read: "
    /// @param number an errno value
    explicit Unreadable(const std::string& why, int number = ENODATA) : Error(number, why), why_(why) {}
    /// Those words.
    [[nodiscard]] const char* what() const noexcept override { return why_.c_str(); }

private:
    std::string why_;
};

/// The bytes of one object. They may change at any time. For one thread at a time.
class IPCNS_API Contents {
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
    /// Bytes of a huge page that it is made of, or 0: ordinary pages.
    [[nodiscard]] virtual std::uint64_t huge_page() const { return 0; }
};

/// The bytes of a segment of the namespace @p ipc. Needs read permission. For who may look into /proc/self/map_files
/// (CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the first user namespace), the segment is attached for a moment; for
/// others, as long as the object lives. The calling thread stays in its namespace.
/// @throws Unreadable; Error EPERM when the namespace may not be entered
[[nodiscard]] IPCNS_API std::unique_ptr<Contents> contents_of(const Namespace& ipc,
                                                              const SegmentRecord& segment);

/// The bytes of a shared memory object of a /dev/shm. Needs read permission.
/// @throws Unreadable
[[nodiscard]] IPCNS_API std::unique_ptr<Contents> contents_of(int folder, const SharedMemoryRecord& memory);

} // namespace ipcns
