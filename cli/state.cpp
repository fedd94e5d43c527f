// SPDX-License-Identifier: Apache-2.0
// ipcns-state: the commands around what the objects of a namespace hold. The front command becomes this program for them.
#include "tool.hpp"

#include <ipcns/snapshot.hpp>

#include <fmt/core.h>

#include <cstdio>

int main(int argc, char** argv) {
    using namespace ipcns::cli;
    // Before anybody looks: what a save had taken out of queues when it was killed is put back.
    for (const auto& line : ipcns::recover_drained(ipcns::Registry::of_caller()))
        fmt::print(stderr, "ipcns: {}\n", line);
    return run_program(
        argc, argv, {{"peek", add_peek}, {"save", add_save}, {"restore", add_restore}, {"clone", add_clone}});
}
