// SPDX-License-Identifier: Apache-2.0
// ipcns-names: the commands around names and processes. The front command becomes this program for them.
#include "tool.hpp"

int main(int argc, char** argv) {
    using namespace ipcns::cli;
    return run_program(argc, argv,
                       {add_create, add_attach, add_delete, add_list, add_pids, add_identify, add_monitor});
}
