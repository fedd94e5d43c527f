// SPDX-License-Identifier: Apache-2.0
// Every command, and which program does it. Plain data: early.cpp reads it before any library is there.
#pragma once

namespace ipcns::cli {

struct Command {
    const char* name;
    const char* program; // null: done here
    const char* summary;
};

inline constexpr Command commands[] = {
    {"run", nullptr, "run a program with IPC of its own, and clean up after it"},
    {"exec", nullptr, "run a program in a namespace that exists"},
    {"create", "ipcns-names", "make a named namespace that lives without a process"},
    {"attach", "ipcns-names", "give a name to a namespace that somebody else made"},
    {"delete", "ipcns-names", "take names away, and remove what their namespaces hold"},
    {"list", "ipcns-names", "list the namespaces of this host"},
    {"pids", "ipcns-names", "list the processes in a namespace"},
    {"identify", "ipcns-names", "say which namespace a process is in"},
    {"monitor", "ipcns-names", "print names as they come and go"},
    {"show", "ipcns-objects", "show the objects of a namespace, their holders and waiters"},
    {"make", "ipcns-objects", "make an object in a namespace"},
    {"remove", "ipcns-objects", "remove objects from a namespace"},
    {"limits", "ipcns-objects", "show and set the limits of a namespace"},
    {"diff", "ipcns-objects", "compare two processes or what two namespaces hold"},
    {"clear", "ipcns-objects", "remove everything from a named namespace"},
    {"peek", "ipcns-state", "look into a queue, semaphores or shared memory; take nothing"},
    {"save", "ipcns-state", "save everything in a namespace to a file"},
    {"restore", "ipcns-state", "make a namespace again from such a file"},
    {"clone", "ipcns-state", "copy a namespace with everything in it"},
    {"verify", "ipcns-verify", "try what gets through between two namespaces"},
};

} // namespace ipcns::cli
