// SPDX-License-Identifier: Apache-2.0
// The options of `ipcns run`, which `verify` reads as well.
#pragma once

#include "front.hpp"

#include <string>

namespace ipcns::cli {

struct RunOptions : ProgramOptions {
    std::string name;
    bool replace = false;
    bool wait = false;
    bool help = false;
    bool has_program = false; ///< a program was given, and not only meant
};

/// Reads the words after `run`, of which the first is passed by.
/// @throws UsageError
RunOptions parse_run_options(int argc, char** argv);

} // namespace ipcns::cli
