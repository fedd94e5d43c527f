// SPDX-License-Identifier: Apache-2.0
// Finding the programs that the library starts.
#include "programs.hpp"

#include "error.hpp"

#include <dlfcn.h>
#include <unistd.h>

#include <filesystem>

namespace ipcns {
namespace {

// The folder of the shared library that this code is in; empty where it is part of a program.
std::filesystem::path library_folder() {
    Dl_info about{};
    const bool found = ::dladdr(reinterpret_cast<const void*>(&library_folder), &about) != 0;
    // A program is told by the word that it was started by.
    if (!found || about.dli_fname == nullptr || about.dli_fname[0] != '/') return {};
    return std::filesystem::path(about.dli_fname).parent_path();
}

} // namespace

// It lies beside the program that runs, or where an installation of that program or of this library has it, or where
// this library was configured to be installed.
std::string helper_program(const std::string& name) {
    std::error_code ignored;
    const auto own = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
    const auto library = library_folder();
    for (const std::filesystem::path& folder :
         {own, own / "../libexec/ipcns", library.empty() ? own : library / IPCNS_LIBEXEC_FROM_LIB,
          std::filesystem::path(IPCNS_LIBEXECDIR), std::filesystem::path("/usr/libexec/ipcns"),
          std::filesystem::path("/usr/local/libexec/ipcns")}) {
        const auto program = folder / name;
        if (::access(program.c_str(), X_OK) == 0) return program;
    }
    fail(ENOENT, "find the program " + name,
         "it belongs to " IPCNS_LIBEXECDIR
         ", or to ../libexec/ipcns beside the program: install ipcns again");
}

} // namespace ipcns
