// SPDX-License-Identifier: Apache-2.0
// ipcns list: every namespace of the host, and what keeps it alive.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/text.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    Format format{{{"NS", "ns", true, "inode number, as in `ls -l /proc/PID/ns/ipc`"},
                   {"NAME", "name", false, "registered name; host for that of process 1"},
                   {"PROCS", "processes", true, "how many processes are inside"},
                   {"PID", "pid", true, "the lowest of them"},
                   {"USER", "user", false, "whose it is"},
                   {"HELD", "held", false, "what keeps it alive: process, mount, fd, keeper"},
                   {"COMMAND", "command", false, "its command line"},
                   {"UID", "uid", true, "user number of that process"},
                   {"MOUNTS", "mounts", false, "where it is bind mounted"},
                   {"FDS", "descriptors", false, "processes with a descriptor of it"},
                   {"SHM", "segment_bytes", true, "bytes in System V segments (enters the namespace)"},
                   {"OBJECTS", "objects", true, "System V objects and POSIX queues (enters the namespace)"}},
                  "NS,NAME,PROCS,PID,USER,HELD,COMMAND"};
    std::string descriptors = "auto";
    bool objects = false;
    bool bytes = false;
    bool quiet = false;
};

std::string join(const std::vector<std::string>& words) { return fmt::format("{}", fmt::join(words, ",")); }

Json or_null(bool known, Json value) { return known ? std::move(value) : Json(); }

std::vector<Cell> row_of(const InventoryEntry& entry, const std::string& name, bool is_host, bool kept,
                         UserNames& users, const Options& options) {
    std::vector<std::string> held;
    if (!entry.processes.empty()) held.emplace_back("process");
    if (kept) held.emplace_back("keeper");
    if (!entry.mounts.empty()) held.emplace_back("mount");
    if (!entry.descriptors.empty()) held.emplace_back("fd");
    std::vector<std::string> mounts;
    Json mount_values = Json::array();
    for (const auto& mount : entry.mounts) {
        mounts.push_back(escape(mount));
        mount_values.push_back(json_text(mount));
    }
    const auto& first = entry.first;
    const std::string user = first ? users(first->user) : "";
    const auto& contents = entry.contents;
    return {
        {std::to_string(entry.id.inode), entry.id.inode},
        {!name.empty() ? name
         : is_host     ? "host"
                       : "-",
         or_null(!name.empty(), name)},
        {std::to_string(entry.processes.size()), entry.processes.size()},
        {first ? std::to_string(first->pid) : "-", or_null(first.has_value(), first ? first->pid : 0)},
        {first ? user : "-", or_null(first.has_value(), user)},
        {held.empty() ? "-" : join(held), held},
        {first ? escape(first->command) : "-", first ? json_text(first->command) : Json()},
        {first ? std::to_string(first->user) : "-", or_null(first.has_value(), first ? first->user : 0)},
        {mounts.empty() ? "-" : join(mounts), mount_values},
        {entry.descriptors.empty() ? "-" : fmt::format("{}", fmt::join(entry.descriptors, ",")),
         entry.descriptors},
        {!contents       ? "-"
         : options.bytes ? std::to_string(contents->segment_bytes)
                         : format_size(contents->segment_bytes),
         or_null(contents.has_value(), contents ? contents->segment_bytes : 0)},
        {!contents ? "-" : std::to_string(contents->objects),
         or_null(contents.has_value(), contents ? contents->objects : 0)},
    };
}

void list(Options& options) {
    if (options.objects) {
        options.format.also("SHM");
        options.format.also("OBJECTS");
    }
    InventoryOptions how;
    how.descriptors = options.descriptors == "always"  ? InventoryOptions::Descriptors::always
                      : options.descriptors == "never" ? InventoryOptions::Descriptors::never
                                                       : InventoryOptions::Descriptors::automatic;
    how.contents = options.format.shows("SHM") || options.format.shows("OBJECTS");
    how.keepers_apart = true;
    const auto names = visible_names();
    const Inventory inventory = Inventory::take(how);
    const auto name_of = names_by_id(names);

    const NamespaceId host = Namespace::host_id();
    UserNames users;
    std::vector<std::vector<Cell>> rows;
    for (const auto& entry : inventory.entries) {
        const auto name = name_of.find(entry.id);
        rows.push_back(row_of(entry, name == name_of.end() ? "" : name->second, entry.id == host,
                              !entry.keepers.empty(), users, options));
    }
    if (options.format.json()) {
        Json namespaces = Json::array();
        for (const auto& row : rows) namespaces.push_back(options.format.object(row));
        fmt::print("{}\n", Json{{"namespaces", namespaces},
                                {"unseen_processes", inventory.unseen},
                                {"descriptors_searched", inventory.descriptors_searched}}
                               .dump(4));
        return;
    }
    options.format.print(rows);
    if (options.quiet) return;
    std::fflush(stdout);
    if (inventory.unseen != 0)
        fmt::print(stderr, "ipcns: {} {} could not be looked at{}\n", inventory.unseen,
                   inventory.unseen == 1 ? "process" : "processes",
                   ::geteuid() == 0 ? "" : "; root sees those of all users");
    if (!inventory.descriptors_searched && options.descriptors == "auto")
        fmt::print(stderr, "ipcns: with so many processes, descriptors were not searched; --fds does\n");
}

} // namespace

void add_list(CLI::App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "list",
        "List every IPC namespace that you may see: those with processes, those held by a mount, and those held only\n"
        "by an open descriptor.");
    options->format.add_to(*command);
    command
        ->add_option("--fds", options->descriptors,
                     "search descriptors: always (the same as --fds alone), never, or auto: where there\n"
                     "                          are at most 1,000 processes (default)")
        ->type_name("WHEN")
        ->expected(0, 1)
        ->default_str("always")
        ->check(CLI::IsMember({"auto", "always", "never"}));
    command->add_flag("--objects", options->objects,
                      "also SHM and OBJECTS: what is in each, which means entering it");
    command->add_flag("-b,--bytes", options->bytes, "sizes in bytes");
    command->add_flag("-q,--quiet", options->quiet, "not a word about what could not be seen");
    command->callback([options] { list(*options); });
}

} // namespace ipcns::cli
