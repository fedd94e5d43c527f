// SPDX-License-Identifier: Apache-2.0
// The namespaces of one job on one node: made by whoever is first, removed with a word about what was in them.
#pragma once

#include "settings.hpp"

#include <ipcns/registry.hpp>

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>

namespace ipcns::slurm {

/// What is to be logged: for everybody who reads slurmd's log, and only where details are wanted.
struct Log {
    std::function<void(const std::string&)> info;
    std::function<void(const std::string&)> detail;
    std::function<void(const std::string&)> error;
};

/// The place of this name, which is made where there is none yet. Any number of processes may do this at once.
/// @throws Error
[[nodiscard]] Place open_or_make(const std::string& name, const Settings& settings, Owner owner);

/// Removes the name, and what is in the namespace. Processes of @p user that are still inside are killed; whoever else is
/// inside stays there, in an empty namespace. No such name is no error.
void remove(const std::string& name, uid_t user, const Log& log);

/// The same where nobody is inside; else nothing happens, since the end of the job does it.
void remove_if_empty(const std::string& name, const Log& log);

/// Removes all names of a job on this node.
void remove_all(const JobNames& names, uid_t user, const Log& log);

/// "WHAT: WHY (hint)": an error on one line.
[[nodiscard]] std::string one_line(const Error& error);

} // namespace ipcns::slurm
