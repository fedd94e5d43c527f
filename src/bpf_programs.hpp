// SPDX-License-Identifier: Apache-2.0
// The programs of bpf/, compiled: what a loader is given.
#pragma once

#include <cstddef>
#include <span>

namespace ipcns {

/// bpf/messages.bpf.c, an ELF file.
std::span<const std::byte> bpf_messages() noexcept;

} // namespace ipcns
