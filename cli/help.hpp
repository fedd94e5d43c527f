// SPDX-License-Identifier: Apache-2.0
// --help as the front prints it for run and exec: usage first, one column of options, no types of the program's.
#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace ipcns::cli {

class HelpFormatter : public CLI::FormatterBase {
public:
    std::string make_help(const CLI::App* app, std::string name, CLI::AppFormatMode mode) const override;
};

} // namespace ipcns::cli
