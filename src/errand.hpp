// SPDX-License-Identifier: Apache-2.0
// Work that a thread cannot do: in a child process that shares memory and descriptors with this one.
#pragma once

#include <functional>

namespace ipcns {

/// Runs @p work in a child process that shares this one's memory and descriptors, but not its namespaces,
/// credentials, working directory and threads; the calling thread sleeps meanwhile. What it throws is thrown
/// here.
///
/// The child is what a thread cannot be: free to join user and mount namespaces, or (with @p clone_flags,
/// e.g. CLONE_NEWIPC) to be born into new ones. It runs as if it were the calling thread: same locks, same
/// thread-local storage.
/// @throws Error when the child cannot be made (the message begins with @p what), or was killed.
void errand(const char* what, unsigned long clone_flags, const std::function<void()>& work);

/// True in the work of an errand, where no thread may be started: the process is not the one that the C library knows.
bool on_errand() noexcept;

} // namespace ipcns
