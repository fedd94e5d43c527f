// SPDX-License-Identifier: Apache-2.0
// What --version prints. The only file that knows the commit, so that another commit compiles nothing else anew. Of other
// people's libraries it takes numbers from their headers, and no code.
#include "version.hpp"

#include <commit.hpp>
#include <ipcns/version.hpp>

#include <archive.h>
#include <xxhash.h>
#include <zstd.h>
#ifdef IPCNS_BPF
#include <bpf/libbpf_version.h>
#endif
#ifdef IPCNS_WITH_SLURM
#include <slurm/slurm_version.h>
#endif

#include <string_view>

namespace ipcns::cli {
namespace {

constexpr std::string_view commit = IPCNS_COMMIT; // empty where there is no git, or none of ours

std::string number(int major, int minor) { return std::to_string(major) + "." + std::to_string(minor); }
std::string number(int major, int minor, int patch) {
    return number(major, minor) + "." + std::to_string(patch);
}

std::string compiler() {
#ifdef __clang__
    return "clang++ " + number(__clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    return "g++ " + number(__GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

// What a build may have or not: the first list says what this one has, the second what it does without.
class Parts {
public:
    void add(bool there, const std::string& part) {
        std::string& list = there ? with_ : without_;
        list += (list.empty() ? "" : ", ") + part;
    }
    [[nodiscard]] std::string text() const {
        return "with " + with_ + "\n" + (without_.empty() ? "" : "without " + without_ + "\n");
    }

private:
    std::string with_, without_;
};

} // namespace

std::string version_text() {
    Parts parts;
    parts.add(true, "libarchive " ARCHIVE_VERSION_ONLY_STRING);
    parts.add(true, "zstd " + number(ZSTD_VERSION_MAJOR, ZSTD_VERSION_MINOR, ZSTD_VERSION_RELEASE));
    parts.add(true, "xxhash " + number(XXH_VERSION_MAJOR, XXH_VERSION_MINOR, XXH_VERSION_RELEASE));
#ifdef IPCNS_BPF
    parts.add(true, "BPF (libbpf " + number(LIBBPF_MAJOR_VERSION, LIBBPF_MINOR_VERSION) + ")");
#else
    parts.add(false, "BPF");
#endif
#ifdef IPCNS_WITH_SLURM
    // The month has two digits: 22.05.
    constexpr int month = SLURM_VERSION_NUMBER >> 8 & 0xff;
    parts.add(true, "Slurm " + std::to_string(SLURM_VERSION_NUMBER >> 16) + (month < 10 ? ".0" : ".") +
                        number(month, SLURM_VERSION_NUMBER & 0xff));
#else
    parts.add(false, "Slurm");
#endif
#ifdef IPCNS_WITH_PAM
    parts.add(true, "PAM");
#else
    parts.add(false, "PAM");
#endif
#ifdef IPCNS_STATIC_COMMAND
    parts.add(true, "a static front");
#else
    parts.add(false, "a static front");
#endif
    return "ipcns " IPCNS_VERSION "\n" +
           (commit.empty() ? "unknown commit" : "commit " + std::string(commit)) + "\nbuilt by " +
           compiler() + "\n" + parts.text();
}

} // namespace ipcns::cli
