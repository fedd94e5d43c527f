// SPDX-License-Identifier: Apache-2.0
// ipcns-objects: the commands around what is in a namespace. The front command becomes this program for them.
#include "tool.hpp"

int main(int argc, char** argv) {
    using namespace ipcns::cli;
    return run_program(argc, argv, {add_make, add_remove, add_limits, add_clear});
}
