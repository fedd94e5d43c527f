// SPDX-License-Identifier: Apache-2.0
// clone(2) with a stack for the child. AddressSanitizer believes that a thread has one stack, and a child that shares our
// memory also shares what it believes; so it is told when the child begins and, with shared memory, when we go on.
#include "child.hpp"

#include <sched.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace ipcns {
namespace {

struct Start {
    int (*function)(void*);
    void* argument;
    const Stack* stack;
    const void* parent_stack = nullptr;
    std::size_t parent_bytes = 0;
};

#if defined(__SANITIZE_ADDRESS__)
void now_on_stack(const void* base, std::size_t bytes, const void** old_base, std::size_t* old_bytes) {
    void* fake = nullptr;
    __sanitizer_start_switch_fiber(&fake, base, bytes);
    __sanitizer_finish_switch_fiber(fake, old_base, old_bytes);
}
#endif

int begin(void* argument) {
    auto* start = static_cast<Start*>(argument);
#if defined(__SANITIZE_ADDRESS__)
    now_on_stack(start->stack->base(), Stack::bytes, &start->parent_stack, &start->parent_bytes);
#endif
    return start->function(start->argument);
}

} // namespace

pid_t clone_child(const Stack& stack, unsigned long flags, int (*function)(void*), void* argument,
                  int* pidfd) noexcept {
    Start start{function, argument, &stack};
#if defined(__SANITIZE_ADDRESS__)
    // A child that ended in an exec never left its frames; what it had marked there is still marked, even if the pages
    // have been unmapped and mapped again since.
    __asan_unpoison_memory_region(stack.base(), Stack::bytes);
#endif
    const pid_t child = ::clone(begin, stack.top(), static_cast<int>(flags), &start, pidfd);
#if defined(__SANITIZE_ADDRESS__)
    const int number = errno;
    if (start.parent_stack != nullptr) now_on_stack(start.parent_stack, start.parent_bytes, nullptr, nullptr);
    errno = number;
#endif
    return child;
}

} // namespace ipcns
