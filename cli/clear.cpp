// SPDX-License-Identifier: Apache-2.0
// ipcns clear: everything out of a named namespace.
#include "tool.hpp"

#include <ipcns/inventory.hpp>

#include <fmt/core.h>

#include <cstdio>
#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    std::string target;
    bool yes = false;
    bool dry_run = false;
    bool verbose = false;
};

// Who would miss it: the processes inside, without the keepers of names.
std::vector<pid_t> users_of(const NamespaceId& id) {
    auto inside = processes_inside(id);
    for (const auto& name : visible_names()) std::erase(inside, name.keeper);
    return inside;
}

// Only what has a name: a number is too easily mistaken for another one.
Place named_place(const std::string& text) {
    const Target target = Target::parse(text);
    if (target.kind == Target::Kind::name) {
        Place place = resolve(target);
        if (place.ipc.id() == Namespace::host_id())
            throw UsageError(text + " is the host's own namespace", "every program on the host uses it");
        return place;
    }
    const NamespaceId id = resolve_namespace(target).id();
    const auto names = names_by_id(visible_names());
    const auto name = names.find(id);
    throw UsageError("clear takes the name of a namespace, and not " + target.text(),
                     id == Namespace::host_id() ? "this is the host's own: every program on the host uses it"
                     : name != names.end()      ? "this one is called " + name->second
                                                : "`ipcns attach NAME " + target.text() + "` gives it one");
}

void clear(const Options& options, int& status) {
    const Place place = named_place(options.target);
    const Leftovers found = count_contents(place);
    if (!has_own_shm(place))
        fmt::print(stderr, "ipcns: {} has no /dev/shm of its own that could be cleared\n", place.name);
    if (options.dry_run) {
        fmt::print("would remove {} from {}\n", describe(found), place.name);
        return;
    }
    if (!found.empty() && !options.yes) {
        const auto inside = users_of(place.ipc.id());
        const std::string who = inside.empty() ? "" : "\nInside are " + describe_processes(inside) + ".";
        if (!may_remove(fmt::format("Remove {} from {}?{}", describe(found), place.name, who))) {
            status = 1;
            return;
        }
    }
    const Leftovers removed = remove_contents(place);
    if (options.verbose) fmt::print(stderr, "ipcns: removed {} from {}\n", describe(removed), place.name);
}

} // namespace

void add_clear(App& program, int& status) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "clear",
        "Remove everything from the named namespace TARGET: System V queues, semaphores and segments, POSIX queues,\n"
        "and the files of its /dev/shm. The namespace and its name stay, and so do the processes inside.");
    command->add_option("TARGET", options->target, "a NAME")->required();
    command->add_flag("-y,--yes", options->yes, "do not ask; needed where there is no terminal to ask on");
    command->add_flag("--dry-run", options->dry_run, "only say what would be removed");
    command->add_flag("-v,--verbose", options->verbose, "say what was removed");
    command->footer("Examples:\n  ipcns clear --dry-run db\n  ipcns clear --yes ci-42");
    command->callback([options, &status] { clear(*options, status); });
}

} // namespace ipcns::cli
