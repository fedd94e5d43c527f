// SPDX-License-Identifier: Apache-2.0
// What a site says on the plugin's line in plugstack.conf, and the names of what the plugin makes. Knows nothing of Slurm's
// headers.
#pragma once

#include <ipcns/limits.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns::slurm {

/// Who shares IPC with whom.
enum class Scope {
    job,  ///< all that a job runs on a node
    step, ///< the tasks of one step on a node; the batch script is a step
    task, ///< each task has its own
    host, ///< everybody on the node, as without the plugin
};

/// The word for it, as in `--ipc=job`.
[[nodiscard]] const char* word_of(Scope scope) noexcept;

/// @throws UsageError when @p word is none of the four
[[nodiscard]] Scope parse_scope(std::string_view word);

/// The plugin's line.
struct Settings {
    Scope standard = Scope::job; ///< for those who do not say `--ipc`
    std::vector<Scope> allowed{Scope::job, Scope::step, Scope::task};
    std::optional<std::uint64_t> shm_bytes; ///< size of /dev/shm; neither of the two: as large as the node's
    std::optional<unsigned> shm_percent;    ///< likewise, of the node's memory
    std::vector<Limit> limits;
    bool must = true;         ///< on_error=fail: who cannot have what was asked for does not run
    bool owner_enters = true; ///< access=owner: the user may look into his job's namespace from outside

    /// @throws UsageError which names the word that is wrong
    [[nodiscard]] static Settings parse(std::span<char* const> words);

    /// @throws UsageError when a user may not ask for it
    void check_allowed(Scope scope) const;

    /// "job, step or task"
    [[nodiscard]] std::string allowed_words() const;

    /// The size for CreateOptions.
    [[nodiscard]] std::optional<std::uint64_t> shm_size() const;
};

/// How Slurm numbers a step: what is above its numbers is the batch script and the like.
inline constexpr std::uint32_t batch_step = 0xfffffffb;
inline constexpr std::uint32_t extern_step = 0xfffffffc;
inline constexpr std::uint32_t interactive_step = 0xfffffffa;

/// The names of one job's namespaces on one node: `slurm:42`, `slurm:42.0`, `slurm:42.batch`, `slurm:42.0.3`. Where the node
/// is not called like the host, as when several slurmd run on one, `@NODE` comes behind.
class JobNames {
public:
    /// @param node as slurmd calls it, or empty
    JobNames(std::uint32_t job, std::string_view node, std::string_view host);

    [[nodiscard]] std::string job() const { return base_ + end_; }
    [[nodiscard]] std::string step(std::uint32_t step) const;
    [[nodiscard]] std::string task(std::uint32_t step, std::uint32_t task) const;

    /// True for each of them.
    [[nodiscard]] bool contain(std::string_view name) const noexcept;

private:
    std::string base_;
    std::string end_;
};

} // namespace ipcns::slurm
