// SPDX-License-Identifier: Apache-2.0
// A stack for a child process made by clone(2).
#pragma once

#include "error.hpp"

#include <sys/mman.h>

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

} // namespace ipcns
