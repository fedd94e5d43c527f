// SPDX-License-Identifier: Apache-2.0
// What lies in a folder. Leans on: readdir(3) ends with a null pointer at the end and on an error alike, and only
// errno tells one from the other.
#include "folder.hpp"

#include <ipcns/fd.hpp>

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace ipcns {

std::optional<std::vector<FolderEntry>> read_folder(int folder) {
    Fd again(::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!again) return std::nullopt;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::fdopendir(again.get()), ::closedir);
    if (!dir) return std::nullopt;
    (void)again.release(); // closedir() closes it
    std::vector<FolderEntry> entries;
    for (;;) {
        errno = 0;
        const struct dirent* entry = ::readdir(dir.get()); // NOLINT(concurrency-mt-unsafe): a DIR of our own
        if (entry == nullptr) break;
        std::string name = entry->d_name;
        if (name != "." && name != "..") entries.push_back({std::move(name), entry->d_type == DT_DIR});
    }
    if (errno != 0) return std::nullopt;
    std::sort(entries.begin(), entries.end(),
              [](const FolderEntry& a, const FolderEntry& b) { return a.name < b.name; });
    return entries;
}

} // namespace ipcns
