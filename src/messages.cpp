// SPDX-License-Identifier: Apache-2.0
// Messages of POSIX queues.
#include <ipcns/messages.hpp>

#ifdef IPCNS_BPF
#include "bpf_programs.hpp"

#include <bpf/libbpf.h>
#endif

namespace ipcns {

struct MessageReader::Loaded {
#ifdef IPCNS_BPF
    std::span<const std::byte> program = bpf_messages();
#endif
};

MessageReader::MessageReader() : loaded_(std::make_unique<Loaded>()) {}
MessageReader::MessageReader(MessageReader&&) noexcept = default;
MessageReader& MessageReader::operator=(MessageReader&&) noexcept = default;
MessageReader::~MessageReader() = default;

} // namespace ipcns
