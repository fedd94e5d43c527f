// SPDX-License-Identifier: Apache-2.0
// ipcns-state: the commands around what the objects of a namespace hold. The front command becomes this program for them.
#include "tool.hpp"

int main(int argc, char** argv) {
    using namespace ipcns::cli;
    return run_program(
        argc, argv, {{"peek", add_peek}, {"save", add_save}, {"restore", add_restore}, {"clone", add_clone}});
}
