// SPDX-License-Identifier: Apache-2.0
// What every part of the command says in the same way. Nothing here pulls in more than std::string: the front is linked
// statically and has to start as fast as a C program.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/registry.hpp>

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace ipcns::cli {

/// Writes the whole text to a descriptor, as far as it goes. False with errno when it did not go all the way.
bool write_text(int fd, std::string_view text);

/// "ipcns: MESSAGE" and, where there is one, "hint: HINT" on standard error.
void complain(std::string_view message, std::string_view hint = {});
void complain(const Error& error);

/// "123 (sleep 5), 124 (sh)", with at most ten of them.
std::string describe_processes(const std::vector<pid_t>& pids);

} // namespace ipcns::cli
