// SPDX-License-Identifier: Apache-2.0
// ipcns pids: who is in a namespace.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    Format format{{{"PID", "pid", true, "process id"},
                   {"USER", "user", false, "whose it is"},
                   {"UID", "uid", true, "user number"},
                   {"COMMAND", "command", false, "its command line"}},
                  "PID,USER,COMMAND"};
    std::string target;
    bool details = false;
};

// In the order of the columns above.
enum class Field { pid, user, uid, command };

// How many processes may be inside for all that is known.
std::size_t count_unseen() {
    InventoryOptions how;
    how.descriptors = InventoryOptions::Descriptors::never;
    how.details = false;
    return Inventory::take(how).unseen;
}

void pids(const Options& options, bool table) {
    const NamespaceId id = resolve_namespace(Target::parse(options.target)).id();
    std::vector<pid_t> inside = processes_inside(id);
    for (const auto& name : visible_names()) std::erase(inside, name.keeper);
    if (!options.format.json() && inside.empty()) {
        if (const std::size_t unseen = count_unseen())
            complain(fmt::format("none was found inside; {} {} could not be looked at", unseen,
                                 unseen == 1 ? "process" : "processes"),
                     ::geteuid() == 0 ? "" : "root sees those of all users");
    }
    if (!table && !options.format.json()) {
        for (const pid_t pid : inside) fmt::print("{}\n", pid);
        return;
    }
    UserNames users;
    Rows rows(options.format);
    for (const pid_t pid : inside) {
        const auto process = describe_process(pid);
        if (!process) continue;
        rows.add([&](Out& out, std::size_t column) {
            switch (static_cast<Field>(column)) {
            case Field::pid: out.number(pid); break;
            case Field::user: out.text(users(process->user)); break;
            case Field::uid: out.number(process->user); break;
            case Field::command: out.raw(process->command); break;
            }
        });
    }
    if (options.format.json())
        fmt::print(
            "{}\n",
            Json{{"ns", id.inode}, {"processes", rows.json()}, {"unseen_processes", count_unseen()}}.dump(4));
    else
        rows.print();
}

} // namespace

void add_pids(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "pids", "Print the ids of the processes in a namespace, one a line; with -l or -o a table.");
    command
        ->add_option("TARGET", options->target, "a NAME, a process id, a /path, @INODE, oci:ID, self or host")
        ->required();
    command->add_flag("-l,--long", options->details, "a table with users and commands");
    options->format.add_to(*command);
    command->callback(
        [options, command] { pids(*options, options->details || command->count("--output") != 0); });
}

} // namespace ipcns::cli
