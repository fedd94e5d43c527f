// SPDX-License-Identifier: Apache-2.0
// Finding the programs that the library starts.
#include "programs.hpp"

#include "error.hpp"

#include <unistd.h>

#include <filesystem>

namespace ipcns {

std::string helper_program(const std::string& name) {
    std::error_code ignored;
    const auto own = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
    for (const std::filesystem::path& folder :
         {own, own / "../libexec/ipcns", std::filesystem::path(IPCNS_LIBEXECDIR),
          std::filesystem::path("/usr/libexec/ipcns"), std::filesystem::path("/usr/local/libexec/ipcns")}) {
        const auto program = folder / name;
        if (::access(program.c_str(), X_OK) == 0) return program;
    }
    fail(ENOENT, "find the program " + name, "it belongs to " IPCNS_LIBEXECDIR "; install ipcns again");
}

} // namespace ipcns
