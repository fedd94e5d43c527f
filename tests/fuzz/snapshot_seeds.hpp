// SPDX-License-Identifier: Apache-2.0
// What libFuzzer begins with: snapshots of namespaces that never were.
#pragma once

#include <string>

namespace ipcns::fuzz {

/// Writes them to a folder, a file each.
void write_seeds(const std::string& folder);

} // namespace ipcns::fuzz
