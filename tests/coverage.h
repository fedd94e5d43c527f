/* SPDX-License-Identifier: Apache-2.0
   Included before everything else in the build that measures coverage: what was counted is written by exit(3), and _exit(2)
   would lose it. Most of our tests, and many of our helpers, are children that end that way. */
#pragma once

#ifdef __cplusplus
extern "C" { /* not said there by the gcc of Debian 12 */
#endif
#include <gcov.h>
#ifdef __cplusplus
}
#endif
#include <unistd.h>

/* NOLINTNEXTLINE: a header of C and of C++ */
__attribute__((noreturn)) static inline void ipcns_write_counts_and_exit(int status) {
    __gcov_dump();
    /* A child that shares our memory ends, and we go on counting. */
    __gcov_reset();
    _exit(status);
}

#define _exit(status) ipcns_write_counts_and_exit(status)
