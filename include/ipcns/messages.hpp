// SPDX-License-Identifier: Apache-2.0
// The messages that wait in a POSIX queue, read without taking them. In the library libipcns-state; for System V queues
// see read_messages() in sysv.hpp.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/sysv.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

namespace ipcns {

/// Reads POSIX queues where the kernel keeps them (a BPF program does), so that nothing is taken: no notification is sent,
/// no receiver wakes, and no time of the queue moves.
///
/// Making one loads the program, which takes some 10 ms; one can then read any number of queues. It takes some 4 MiB of
/// memory, and room for one message where that is longer than 1 MiB. For one thread at a time.
class IPCNS_API MessageReader {
public:
    /// Takes a message: its priority, and its bytes, which are there until it returns.
    using Receiver = std::function<void(unsigned priority, std::span<const std::byte> bytes)>;

    /// How many bytes are read at once.
    static constexpr std::size_t most_at_once = std::size_t{1} << 20;

    /// Loads the program. Linux 5.17 with type information (CONFIG_DEBUG_INFO_BTF).
    /// @throws Error EPERM without CAP_BPF and CAP_PERFMON in the first user namespace, or where the kernel is locked down
    ///         (kernel_lockdown(7)); ENOTSUP where the kernel can't do it, or this library was built without BPF
    /// @param at_once  reads less at once, but at least a byte: see read()
    explicit MessageReader(std::size_t at_once = most_at_once);
    /// The other one can't be used any more.
    MessageReader(MessageReader&& other) noexcept;
    /// The other one can't be used any more.
    MessageReader& operator=(MessageReader&& other) noexcept;
    ~MessageReader();

    /// Gives every message of a queue to @p give, in the order in which they would be received: the highest priority
    /// first, and of each the oldest.
    ///
    /// The queue can't be held still. A queue of up to 1 MiB (`at_once`) is read as a whole, again and again while it is used
    /// meanwhile, before the first message is given; from a longer one messages are given while it is being read. Each
    /// message that is given was in the queue as it is given. If all of them were there at one and the same moment, the
    /// answer says so; if not, some may be missing. (What was sent or received in the same second in which the reading began
    /// shows in no counter when as much of it was sent as was received; so what is read in such a second is read twice and
    /// compared.)
    /// @param queue  a descriptor of it, opened for reading by open(2) or mq_open(3); no other thread may close it
    /// @throws Error EINVAL when it is of something else, EBADF when of nothing or not for reading; and whatever
    ///         @p give throws
    QueueReading read(int queue, const Receiver& give) const;

private:
    struct Loaded;
    std::unique_ptr<Loaded> loaded_;
};

} // namespace ipcns
