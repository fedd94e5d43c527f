// SPDX-License-Identifier: Apache-2.0
// clone(2) with a stack for the child.
#pragma once

#include "error.hpp"

#include <sys/mman.h>
#include <sys/types.h>

#include <cstddef>

namespace ipcns {

/// Owns a mapping that serves as a child's stack; only the pages that are touched take memory.
class Stack {
public:
    Stack()
        : memory_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1,
                         0)) {
        if (memory_ == MAP_FAILED) fail("get memory for a process's stack");
    }
    ~Stack() { ::munmap(memory_, bytes); }
    Stack(const Stack&) = delete;
    Stack& operator=(const Stack&) = delete;

    [[nodiscard]] void* base() const noexcept { return memory_; }
    /// Where it begins: stacks grow downwards on every architecture that matters here.
    [[nodiscard]] void* top() const noexcept { return static_cast<char*>(memory_) + bytes; }

    static constexpr std::size_t bytes = std::size_t{256} * 1024;

private:
    void* memory_;
};

/// clone(2): the child runs @p function on @p stack and must end with _exit(2) or exec. Tells AddressSanitizer, where it
/// is built in, about the stack. Async-signal-safe.
/// @param pidfd where the child's pidfd goes, with CLONE_PIDFD in @p flags
/// @return the child's process id, or -1 with errno
pid_t clone_child(const Stack& stack, unsigned long flags, int (*function)(void*), void* argument,
                  int* pidfd = nullptr) noexcept;

} // namespace ipcns
