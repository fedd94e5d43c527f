// SPDX-License-Identifier: Apache-2.0
// A POSIX queue read by the way that every kernel has: its messages are received, written down, and sent back.
#pragma once

#include <ipcns/namespace.hpp>
#include <ipcns/posix.hpp>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace ipcns {

/// Takes every message out of a queue, gives it to @p give, and sends all back. Everybody who uses the queue must stand
/// still. What was taken is in a journal in @p folder before it is out of the queue, so that whatever happens to this
/// process nothing is lost: recover_drained() puts it back.
/// @param queues a mount of the queues of the namespace @p ns, which the calling thread is in
/// @param record what the queue is like now
/// Whoever waits in it has left the kernel's list of those who wait when he was stopped, and is not woken.
/// @throws Error EBUSY where sending back would be noticed: somebody asks to be told of messages
void drain(int folder, const NamespaceId& ns, int queues, const PosixQueueRecord& record,
           const std::function<void(unsigned priority, std::span<const std::byte> text)>& give);

/// Sends back what drain() had taken and could not send back, since its process was killed.
/// @return what was done, for a person
std::vector<std::string> recover_drained(int folder);

} // namespace ipcns
