// SPDX-License-Identifier: Apache-2.0
// Takes in the programs of bpf/ as the build has compiled them.
#include "bpf_programs.hpp"

// An ELF file is read where it lies, as numbers of up to 8 bytes.
asm(".pushsection .rodata\n"
    ".balign 16\n"
    "ipcns_bpf_messages:\n"
    ".incbin \"" IPCNS_BPF_FOLDER
    "/messages.bpf.o\"\n"
    "ipcns_bpf_messages_end:\n"
    ".popsection\n");

extern "C" {
extern const std::byte ipcns_bpf_messages;
extern const std::byte ipcns_bpf_messages_end;
}

namespace ipcns {

std::span<const std::byte> bpf_messages() noexcept { return {&ipcns_bpf_messages, &ipcns_bpf_messages_end}; }

} // namespace ipcns
