// SPDX-License-Identifier: Apache-2.0
// ipcns-names: the commands around names and processes. The front command becomes this program for them.
#include "tool.hpp"

int main(int argc, char** argv) {
    using namespace ipcns::cli;
    return run_program(argc, argv,
                       {{"create", add_create},
                        {"attach", add_attach},
                        {"delete", add_delete},
                        {"list", add_list},
                        {"pids", add_pids},
                        {"identify", add_identify},
                        {"monitor", add_monitor}});
}
