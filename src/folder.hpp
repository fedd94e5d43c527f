// SPDX-License-Identifier: Apache-2.0
// What lies in a folder. A reader that stops at an error and does not say so would make a part look like the whole.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace ipcns {

/// A name in a folder.
struct FolderEntry {
    std::string name;
    bool is_folder;
};

/// What lies in a folder, by name, without "." and "..": wherever the descriptor has been read to before.
/// @return nothing, with errno, when it cannot be read to its end
std::optional<std::vector<FolderEntry>> read_folder(int folder);

} // namespace ipcns
