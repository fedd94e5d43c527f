// SPDX-License-Identifier: Apache-2.0
// Signals belong to the program that uses the library: what the library starts beside it gets none.
#pragma once

#include <signal.h>

namespace ipcns {

/// Blocks every signal in the calling thread for as long as it lives. A thread or process that is started meanwhile is born with
/// them blocked, and no handler runs in a child that shares our memory.
class AllSignalsBlocked {
public:
    AllSignalsBlocked() noexcept {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &old_);
    }
    ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &old_, nullptr); }
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

private:
    sigset_t old_{};
};

} // namespace ipcns
