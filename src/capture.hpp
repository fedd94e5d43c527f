// SPDX-License-Identifier: Apache-2.0
// A living namespace, read: what there is, and then the contents.
#pragma once

#include "flow.hpp"
#include "maps.hpp"

#include <ipcns/fd.hpp>
#include <ipcns/snapshot.hpp>

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ipcns {

class Contents;
class MessageReader;

/// Made outside of the namespace; look() and feed() run inside (Namespace::call()).
class Capture {
public:
    Capture(const Place& place, const SaveOptions& options);
    ~Capture();
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;

    /// The size of the /dev/shm that would be saved; nothing when none would.
    static std::optional<std::uint64_t> shm_size_of(const Place& place);

    /// Everything but the contents.
    /// @throws Error when something may not be read
    const Snapshot& look();
    /// Gives what look() found, and the contents, to a receiver; all but its end().
    /// @return bytes of contents
    std::uint64_t feed(Receiver& to);

    [[nodiscard]] Snapshot& snapshot() noexcept { return snapshot_; }
    [[nodiscard]] std::vector<std::string>& notes() noexcept { return notes_; }

private:
    void look_at_sysv();
    void look_at_queues();
    void look_at_files();
    [[nodiscard]] std::unique_ptr<Contents> open(Kind kind, std::size_t index) const;
    void feed_memory(Kind kind, std::size_t index, Receiver& to);
    void feed_messages(Kind kind, std::size_t index, Receiver& to);
    bool can_read_queues();
    void tell();

    const SaveOptions& options_;
    Snapshot snapshot_;
    std::vector<std::string> notes_;
    ino_t user_namespace_; // of the caller, whose users are written down
    Fd shared_;            // its /dev/shm, if it is to be saved
    Fd queues_;
    Fd journals_;         // where drained messages are written down
    bool forced_ = false; // shm_rmid_forced
    std::vector<maps::SegmentFileSystem> file_systems_;
    std::unique_ptr<MessageReader> reader_;
    std::vector<std::byte> buffer_;
    std::uint64_t done_ = 0, all_ = 0;
};

} // namespace ipcns
