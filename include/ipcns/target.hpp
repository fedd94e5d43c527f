// SPDX-License-Identifier: Apache-2.0
// The word by which a person names a namespace.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

namespace ipcns {

/// A parsed TARGET. Parsing looks at the text alone; resolve() in registry.hpp finds the namespace.
///
/// | text | kind |
/// | --- | --- |
/// | `[A-Za-z_][A-Za-z0-9_.-]{0,62}` | name, except the words below |
/// | `slurm:42`, `slurm:42.0` | name, of a job or a step: see is_job_name() |
/// | `1234` | pid |
/// | `/path`, `./path` | path |
/// | `@4026532177`, `ipc:[4026532177]` | inode |
/// | `self`, `host` | the caller's own; that of process 1 |
/// | `oci:ID` | oci: that of a container, as runc or crun wrote it down |
struct IPCNS_API Target {
    /// Which form it has: see the table.
    enum class Kind { name, pid, path, inode, self, host, oci };

    Kind kind = Kind::self;     ///< the form
    std::string name;           ///< kind name
    std::filesystem::path path; ///< kind path
    pid_t pid = 0;              ///< kind pid
    ino_t inode = 0;            ///< kind inode
    std::string container;      ///< kind oci: its id, its name, or the beginning of its id

    /// @throws UsageError when @p text is none of the forms.
    [[nodiscard]] static Target parse(std::string_view text);

    /// True for what means one process, which has more than an IPC namespace: pid, self, host and oci.
    [[nodiscard]] bool is_process() const noexcept;

    /// The text again, in its shortest form.
    [[nodiscard]] std::string text() const;
};

/// True when @p text may be the name of a namespace: the pattern above, and not one of the words that a
/// TARGET already uses (`self`, `host`).
[[nodiscard]] IPCNS_API bool is_name(std::string_view text) noexcept;

/// True when @p text may be the id or the name of a container: up to 255 letters, digits, underscores, dots, hyphens,
/// plus signs and commas, and not a dot at the beginning.
[[nodiscard]] IPCNS_API bool is_container_id(std::string_view text) noexcept;

/// True when @p text is what Slurm's plugin calls the namespace of a job, a step or a task:
/// `slurm:JOB[.STEP[.TASK]][@NODE]`, STEP being a number, `batch`, `interactive` or `extern`. Nobody else can make such a
/// name: is_name() is false.
[[nodiscard]] IPCNS_API bool is_job_name(std::string_view text) noexcept;

/// @throws UsageError when is_name(@p text) is false; the message says what a name looks like.
IPCNS_API void check_name(std::string_view text);

} // namespace ipcns
