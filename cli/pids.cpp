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

void pids(const Options& options, bool table) {
    const NamespaceId id = resolve_namespace(Target::parse(options.target)).id();
    std::vector<pid_t> inside = processes_inside(id);
    for (const auto& name : visible_names()) std::erase(inside, name.keeper);
    if (!table && !options.format.json()) {
        for (const pid_t pid : inside) fmt::print("{}\n", pid);
        return;
    }
    UserNames users;
    std::vector<std::vector<Cell>> rows;
    for (const pid_t pid : inside) {
        const auto process = describe_process(pid);
        if (!process) continue;
        rows.push_back({{std::to_string(pid), pid},
                        {users(process->user), users(process->user)},
                        {std::to_string(process->user), process->user},
                        {escape(process->command), json_text(process->command)}});
    }
    if (!options.format.json()) {
        options.format.print(rows);
        return;
    }
    Json processes = Json::array();
    for (const auto& row : rows) processes.push_back(options.format.object(row));
    fmt::print("{}\n", Json{{"ns", id.inode}, {"processes", processes}}.dump(4));
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
