// SPDX-License-Identifier: Apache-2.0
// Messages over a SOCK_SEQPACKET socket, with descriptors along (unix(7)).
#pragma once

#include <ipcns/fd.hpp>

#include <sys/socket.h>

#include <cstddef>
#include <span>

namespace ipcns {

inline constexpr std::size_t most_fds_along = 4; ///< with one message

/// Sends one message, whole or not at all. False when the other side is gone. Async-signal-safe.
bool send_message(int socket, const void* message, std::size_t bytes, std::span<const int> fds = {}) noexcept;

/// Receives one. False when the other side is gone or sends something of another size, with errno 0, or when the kernel
/// refuses, with an errno.
/// @param fds    the descriptors that came along, in their order; those that are too many are closed
/// @param sender who sent it, if the socket has SO_PASSCRED
bool receive_message(int socket, void* message, std::size_t bytes, std::span<Fd> fds = {},
                     struct ucred* sender = nullptr) noexcept;

} // namespace ipcns
