// SPDX-License-Identifier: Apache-2.0
// The programs that the library starts.
#pragma once

#include <string>

namespace ipcns {

/// The path of one of the library's own programs. It lies beside the program that runs, or where an installation of that
/// program has it, or where this library was installed to.
/// @throws Error ENOENT
std::string helper_program(const std::string& name);

} // namespace ipcns
