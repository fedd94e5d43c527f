// SPDX-License-Identifier: Apache-2.0
// A shell in somebody else's IPC namespace: the second of the two. Give it a process id, or a path such as
// /proc/PID/ns/ipc.
#include <ipcns/launch.hpp>
#include <ipcns/registry.hpp>

#include <cstdio>

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "Usage: join_ns PID|/path\n");
        return 2;
    }
    try {
        const ipcns::Place place = ipcns::resolve(ipcns::Target::parse(argv[1]));
        ipcns::LaunchOptions options;
        options.arguments = {"/bin/bash"};
        options.place = &place;
        ipcns::replace(options); // becomes the shell
    } catch (const ipcns::Error& error) {
        std::fprintf(stderr, "join_ns: %s\n%s\n", error.what(), error.hint().c_str());
        return 1;
    }
}
