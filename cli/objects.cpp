// SPDX-License-Identifier: Apache-2.0
// ipcns-objects: the commands around what is in a namespace. The front command becomes this program for them.
#include "tool.hpp"

#include <malloc.h>

int main(int argc, char** argv) {
    using namespace ipcns::cli;
    // Large pieces of memory are used again instead of being given back: fresh pages are what a long table costs most.
    ::mallopt(M_MMAP_THRESHOLD, 64 << 20);
    ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
    ::mallopt(M_TOP_PAD, 1 << 20);
    return run_program(argc, argv,
                       {{"show", add_show},
                        {"make", add_make},
                        {"remove", add_remove},
                        {"limits", add_limits},
                        {"clear", add_clear},
                        {"diff", add_diff}});
}
