// SPDX-License-Identifier: Apache-2.0
// A child process that shares memory (CLONE_VM) and descriptors (CLONE_FILES) while its parent thread sleeps
// (CLONE_VFORK).
//
// Why not a thread: setns(2) into a user namespace wants a process of one thread, setns into a mount
// namespace one that shares its working directory with nobody, and coming back wants privileges that are gone
// by then. Such a child is both, and ends instead of coming back. It has no exit signal, so the program
// around us never sees a SIGCHLD and its wait() never finds it (__WCLONE).
#include "errand.hpp"

#include "child.hpp"
#include "error.hpp"
#include "signals.hpp"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <optional>
#include <utility>

namespace ipcns {
namespace {

// The child has the calling thread's.
thread_local bool errand_runs = false;

struct Errand {
    const std::function<void()>* work;
    std::exception_ptr thrown;
    bool done = false;
};

int run(void* argument) {
    auto* self = static_cast<Errand*>(argument);
    try {
        (*self->work)();
    } catch (...) {
        self->thrown = std::current_exception();
    }
    self->done = true;
    _exit(0);
}

} // namespace

bool on_errand() noexcept { return errand_runs; }

void errand(const char* what, unsigned long clone_flags, const std::function<void()>& work) {
    const Stack stack;
    Errand self{&work, nullptr};

    // No handler of the program around us may run in the child: it would act on the parent's memory.
    std::optional<AllSignalsBlocked> blocked(std::in_place);
    constexpr unsigned long sharing = CLONE_VM | CLONE_VFORK | CLONE_FILES;
    const bool before = std::exchange(errand_runs, true);
    const pid_t child = clone_child(stack, sharing | clone_flags, run, &self);
    const int number = errno;
    if (child > 0) {
        while (::waitpid(child, nullptr, static_cast<int>(__WCLONE)) < 0 && errno == EINTR) {}
    }
    blocked.reset();
    errand_runs = before;
    if (child < 0) fail(number, what);
    if (self.thrown) std::rethrow_exception(self.thrown);
    if (!self.done) fail(ECANCELED, what, "the helper process was killed from outside");
}

} // namespace ipcns
