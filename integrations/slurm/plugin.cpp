// SPDX-License-Identifier: Apache-2.0
// ipcns.so: Slurm's SPANK plugin that gives every job, step or task an IPC namespace.
//
// Which hook does what, and why there:
//
// - job_prolog, job_epilog run as root in a process of their own before a job's first step and after its last process is
//   gone, whatever became of slurmd, slurmstepd and the job: so the job's namespace is made and removed there.
// - init_post_opt runs as root in slurmstepd when the step's --ipc is known and before there is a task: there the step's
//   namespace is made, or the job's opened, or made after all where no prolog did. Opened once, for all tasks.
// - task_init_privileged runs in the task itself, between fork and execve, still as root: the last moment at which it may
//   enter a namespace, and the only one at which slurmstepd stays outside, to clean up and to talk to slurmd. It has
//   one thread by then, so it may take a mount namespace for /dev/shm and /dev/mqueue. Nothing of the user's
//   has run yet and nothing runs with root's rights: entering is system calls on descriptors that root opened. Here it is
//   also said what went wrong before: earlier the user would hear nothing of it, and for a hook that fails earlier srun
//   ends with status 0.
// - task_exit and exit run as root in slurmstepd: there the namespaces of a task and of a step go.
//
// slurmd, slurmstepd, srun and others are C programs: no exception leaves this file.
#include "settings.hpp"
#include "spaces.hpp"

#include <ipcns/launch.hpp>
#include <ipcns/text.hpp>

// It declares the hooks outside of its own extern "C".
extern "C" {
#include <slurm/spank.h>
}

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>

#define IPCNS_HOOK __attribute__((visibility("default")))

extern "C" {
IPCNS_HOOK extern const char plugin_name[];
IPCNS_HOOK extern const char plugin_type[];
IPCNS_HOOK extern const unsigned int plugin_version;
IPCNS_HOOK extern const unsigned int spank_plugin_version;
SPANK_PLUGIN(ipcns, 1)
}

namespace ipcns::slurm {
namespace {

// What the hooks of one process tell each other. Slurm hands nothing on from one to the next.
struct State {
    Settings settings;
    std::optional<Scope> asked;
    std::string usage;
    std::string complaint;  // of a hook from which the user hears nothing
    bool forbidden = false; // what was asked for is not to be had, whatever on_error says
    std::optional<Place> place;
};

State& state() {
    static State one;
    return one;
}

const Log& log() {
    static const Log one{[](const std::string& text) { slurm_info("ipcns: %s", text.c_str()); },
                         [](const std::string& text) { slurm_verbose("ipcns: %s", text.c_str()); },
                         [](const std::string& text) { slurm_error("ipcns: %s", text.c_str()); }};
    return one;
}

// What a hook returns when it failed. Less than zero: of ESPANK_ERROR, which is not, some callers in Slurm say that it failed
// and go on.
constexpr int failure = -1;

// Runs what a hook does. An Error goes to @p failed, which says what the hook returns.
template <class Work, class Failed>
int hook(Work work, Failed failed) noexcept {
    try {
        try {
            work();
            return ESPANK_SUCCESS;
        } catch (const Error& error) {
            return failed(one_line(error));
        } catch (const std::exception& error) {
            return failed(std::string(error.what()));
        }
    } catch (...) {
        slurm_error("ipcns: out of memory");
        return failure;
    }
}

int log_and_go_on(const std::string& why) {
    log().error(why);
    return ESPANK_SUCCESS;
}

int log_and_fail(const std::string& why) {
    log().error(why);
    return failure;
}

// Where a step or a task does not get what it should: on_error says what becomes of it.
int log_and_decide(const std::string& why) {
    if (state().settings.must || state().forbidden) return log_and_fail(why);
    return log_and_go_on(why + "; it runs without, as on_error=run wants it");
}

template <class Value>
Value item(spank_t spank, spank_item_t which, const char* what) {
    Value value{};
    if (const auto error = spank_get_item(spank, which, &value); error != ESPANK_SUCCESS)
        throw Error(EINVAL, std::string("ask Slurm for the ") + what + ": " + spank_strerror(error));
    return value;
}

std::uint32_t job_of(spank_t spank) { return item<std::uint32_t>(spank, S_JOB_ID, "job's number"); }
std::uint32_t step_of(spank_t spank) { return item<std::uint32_t>(spank, S_JOB_STEPID, "step's number"); }
std::uint32_t task_of(spank_t spank) { return item<std::uint32_t>(spank, S_TASK_GLOBAL_ID, "task's number"); }
uid_t user_of(spank_t spank) { return item<uid_t>(spank, S_JOB_UID, "job's user"); }

// From slurmd's own environment, not the job's, which the user chose.
JobNames names_of(spank_t spank) {
    std::array<char, 256> host{};
    if (::gethostname(host.data(), host.size() - 1) != 0) throw Error(errno, "ask for the host's name");
    const char* node = std::getenv("SLURMD_NODENAME");
    return {job_of(spank), node != nullptr ? node : "", host.data()};
}

// The prolog is told the group by its environment alone.
Owner owner_of(spank_t spank) {
    Owner owner{user_of(spank), 0};
    if (spank_get_item(spank, S_JOB_GID, &owner.group) == ESPANK_SUCCESS) return owner;
    const char* group = std::getenv("SLURM_JOB_GID");
    if (group == nullptr) throw Error(EINVAL, "ask Slurm for the job's group");
    owner.group = static_cast<gid_t>(std::strtoul(group, nullptr, 10));
    return owner;
}

bool is_remote(spank_t spank) { return spank_remote(spank) == 1; }

Scope scope() { return state().asked.value_or(state().settings.standard); }

int take_option(int /*value*/, const char* argument, int remote) noexcept {
    return hook(
        [&] {
            const Scope wanted = parse_scope(argument != nullptr ? argument : "");
            state().settings.check_allowed(wanted);
            state().asked = wanted;
        },
        [&](const std::string& why) {
            // On a node nobody would see it yet.
            if (remote == 0) return log_and_fail(why);
            state().complaint = why;
            state().forbidden = true;
            return ESPANK_SUCCESS;
        });
}

struct spank_option& option() {
    static std::array<char, 4> name{"ipc"};
    static std::array<char, 6> argument{"SCOPE"};
    static struct spank_option one { name.data(), argument.data(), nullptr, 1, 0, take_option };
    return one;
}

// The prolog is not told by a call of take_option().
void ask_for_option(spank_t spank) {
    char* argument = nullptr;
    if (spank_option_getopt(spank, &option(), &argument) == ESPANK_SUCCESS) take_option(0, argument, 1);
}

} // namespace
} // namespace ipcns::slurm

using namespace ipcns;
using namespace ipcns::slurm;

extern "C" {

IPCNS_HOOK int slurm_spank_init(spank_t spank, int count, char** words) {
    return hook(
        [&] {
            try {
                state().settings = Settings::parse({words, static_cast<std::size_t>(count)});
            } catch (const Error& error) {
                // A node that takes jobs and fails them all is worse than one that does not start.
                if (!is_remote(spank)) throw;
                state().complaint = one_line(error);
            }
            state().usage =
                "who shares System V and POSIX IPC on a node: " + state().settings.allowed_words() +
                " (default: " + word_of(state().settings.standard) + ")";
            option().usage = state().usage.data();
            if (spank_option_register(spank, &option()) != ESPANK_SUCCESS)
                throw Error(EINVAL, "tell Slurm of the option --ipc");
        },
        [](const std::string& why) { return log_and_fail("plugstack.conf: " + why); });
}

// Nothing else was called before in this process.
IPCNS_HOOK int slurm_spank_job_prolog(spank_t spank, int count, char** words) {
    return hook(
        [&] {
            state().settings = Settings::parse({words, static_cast<std::size_t>(count)});
            ask_for_option(spank);
            // What is wrong the tasks say, to somebody who sees it. A prolog that fails would take the node out.
            if (!state().complaint.empty() || scope() != Scope::job) return;
            const std::string name = names_of(spank).job();
            // Of an earlier run, where the node was down and so had no epilog.
            const char* restarts = std::getenv("SLURM_JOB_RESTART_COUNT");
            if (restarts != nullptr && std::strtoul(restarts, nullptr, 10) != 0) remove_if_empty(name, log());
            (void)open_or_make(name, state().settings, owner_of(spank));
        },
        log_and_go_on);
}

IPCNS_HOOK int slurm_spank_init_post_opt(spank_t spank, int /*count*/, char** /*words*/) {
    if (!is_remote(spank)) return ESPANK_SUCCESS;
    return hook(
        [&] {
            if (!state().complaint.empty()) return;
            if (scope() == Scope::job) {
                state().place = open_or_make(names_of(spank).job(), state().settings, owner_of(spank));
            } else if (scope() == Scope::step && step_of(spank) != extern_step) {
                state().place =
                    open_or_make(names_of(spank).step(step_of(spank)), state().settings, owner_of(spank));
            }
        },
        [](const std::string& why) {
            state().complaint = why;
            return ESPANK_SUCCESS;
        });
}

IPCNS_HOOK int slurm_spank_task_init_privileged(spank_t spank, int /*count*/, char** /*words*/) {
    return hook(
        [&] {
            if (!state().complaint.empty()) throw std::runtime_error(state().complaint);
            if (scope() == Scope::host) return;
            if (scope() == Scope::task)
                state().place = open_or_make(names_of(spank).task(step_of(spank), task_of(spank)),
                                             state().settings, owner_of(spank));
            if (!state().place) throw Error(ENOENT, "find the namespace of the task");
            enter(*state().place);
        },
        log_and_decide);
}

IPCNS_HOOK int slurm_spank_task_exit(spank_t spank, int /*count*/, char** /*words*/) {
    return hook(
        [&] {
            if (scope() == Scope::task)
                remove_if_empty(names_of(spank).task(step_of(spank), task_of(spank)), log());
        },
        log_and_go_on);
}

IPCNS_HOOK int slurm_spank_exit(spank_t spank, int /*count*/, char** /*words*/) {
    if (!is_remote(spank)) return ESPANK_SUCCESS;
    return hook(
        [&] {
            state().place.reset();
            if (scope() == Scope::step) remove_if_empty(names_of(spank).step(step_of(spank)), log());
        },
        log_and_go_on);
}

IPCNS_HOOK int slurm_spank_job_epilog(spank_t spank, int /*count*/, char** /*words*/) {
    return hook([&] { remove_all(names_of(spank), user_of(spank), log()); }, log_and_go_on);
}
}
