// SPDX-License-Identifier: Apache-2.0
// ipcns-verify: the command that tries. The front command becomes this program for it.
#include "tool.hpp"

int main(int argc, char** argv) {
    using namespace ipcns::cli;
    return run_program(argc, argv, {{"verify", add_verify}});
}
