// SPDX-License-Identifier: Apache-2.0
// ipcns delete: names away, and what their namespaces hold with them.
#include "tool.hpp"

#include <fmt/core.h>

#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    std::vector<std::string> names;
    bool all = false;
    bool kill = false;
    double timeout = 5;
    bool verbose = false;
};

void report(const std::string& name, const Leftovers& left, bool verbose) {
    if (!left.inside.empty())
        complain(fmt::format("the name {} is gone, but its namespace lives on with the processes inside: {}",
                             name, describe_processes(left.inside)),
                 is_job_name(name) ? ""
                                   : fmt::format("`ipcns attach {} {}` gives it the name again; "
                                                 "with --kill, delete ends them first",
                                                 name, left.inside.front()));
    else if (left.unknown)
        complain(fmt::format(
            "the name {} is gone; what was in its namespace, and whether somebody is inside, could not be "
            "found out from here",
            name));
    else if (verbose)
        fmt::print(stderr, "ipcns: {} deleted; removed {}\n", name, describe(left));
}

void delete_names(const Options& options, int& status) {
    const Registry registry = Registry::of_caller();
    std::vector<std::string> names = options.names;
    if (options.all && !names.empty()) throw UsageError("either names or --all, not both");
    if (!options.all && names.empty()) throw UsageError("give the names to delete, or --all");
    for (const auto& name : names) {
        if (!is_job_name(name)) check_name(name);
    }
    if (options.all) {
        // A job's name goes with the job.
        for (const auto& name : registry.list()) {
            if (!is_job_name(name.name)) names.push_back(name.name);
        }
    }
    DeleteOptions how;
    how.kill = options.kill;
    how.grace = std::chrono::milliseconds(static_cast<long>(options.timeout * 1000));
    for (const auto& name : names) {
        try {
            report(name, registry.remove(name, how), options.verbose);
        } catch (const Error& error) {
            // Somebody else may delete while we go through all: then it is gone, as was wanted.
            if (options.all && error.code().value() == ENOENT) continue;
            complain(error);
            status = 1;
        }
    }
}

} // namespace

void add_delete(App& program, int& status) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "delete",
        "Take names away. Where nobody is inside, everything in the namespace is removed at once; processes that\n"
        "are inside keep it alive, and are named.");
    command->add_option("NAME", options->names, "names to delete");
    command->add_flag("--all", options->all, "every name of yours");
    command->add_flag("--kill", options->kill, "end the processes inside first: SIGTERM, then SIGKILL");
    command->add_option("--timeout", options->timeout, "how long to wait between the two (default: 5)")
        ->type_name("SECONDS")
        ->between(0, 86400);
    command->add_flag("-v,--verbose", options->verbose, "say what was removed");
    command->footer(
        "Goes on after a failure, and exits with 1 then.\n\nExamples:\n  ipcns delete db\n  ipcns delete --kill --timeout 30 db web");
    command->callback([options, &status] { delete_names(*options, status); });
}

} // namespace ipcns::cli
