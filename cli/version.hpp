// SPDX-License-Identifier: Apache-2.0
// What --version prints.
#pragma once

#include <string>

namespace ipcns::cli {

/// "ipcns 0.1.0" is the first line, for scripts; then the commit, and what this build has and lacks.
std::string version_text();

} // namespace ipcns::cli
