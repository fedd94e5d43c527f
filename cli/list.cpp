// SPDX-License-Identifier: Apache-2.0
// ipcns list: every namespace of the host, and what keeps it alive.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/text.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <memory>
#include <string_view>

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

// In the order of the columns above.
enum class Field { ns, name, processes, pid, user, held, command, uid, mounts, descriptors, shm, objects };

// One namespace, and what is said of it beside.
struct Row {
    const InventoryEntry& entry;
    std::string_view name; // registered
    bool is_host;
};

// Words or numbers, with commas between in a table.
template <class List>
void some(Out& out, const List& list) {
    if (out.json())
        out.value(list);
    else if (list.empty())
        out.none();
    else
        out.text(fmt::format("{}", fmt::join(list, ",")));
}

std::vector<const char*> holders(const InventoryEntry& entry) {
    std::vector<const char*> held;
    if (!entry.processes.empty()) held.push_back("process");
    if (!entry.keepers.empty()) held.push_back("keeper");
    if (!entry.mounts.empty()) held.push_back("mount");
    if (!entry.descriptors.empty()) held.push_back("fd");
    return held;
}

void mounts_of(Out& out, const InventoryEntry& entry) {
    if (out.json()) {
        Json mounts = Json::array();
        for (const auto& mount : entry.mounts) mounts.push_back(json_text(mount));
        out.value(std::move(mounts));
        return;
    }
    std::vector<std::string> mounts;
    for (const auto& mount : entry.mounts) mounts.push_back(escape(mount));
    some(out, mounts);
}

void field_of(Out& out, Field field, const Row& row, UserNames& users) {
    const InventoryEntry& entry = row.entry;
    const Process* first = entry.first ? &*entry.first : nullptr;
    switch (field) {
    case Field::ns: out.number(entry.id.inode); return;
    case Field::name: out.namespace_name(row.name, row.is_host); return;
    case Field::processes: out.number(entry.processes.size()); return;
    case Field::held: some(out, holders(entry)); return;
    case Field::mounts: mounts_of(out, entry); return;
    case Field::descriptors: some(out, entry.descriptors); return;
    case Field::pid:
        if (first != nullptr) return out.number(first->pid);
        break;
    case Field::user:
        if (first != nullptr) return out.text(users(first->user));
        break;
    case Field::uid:
        if (first != nullptr) return out.number(first->user);
        break;
    case Field::command:
        if (first != nullptr) return out.raw(first->command);
        break;
    case Field::shm:
        if (entry.contents) return out.size(entry.contents->segment_bytes);
        break;
    case Field::objects:
        if (entry.contents) return out.number(entry.contents->objects);
        break;
    }
    out.none();
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
    const auto named = names_by_id(names);

    const NamespaceId host = Namespace::host_id();
    UserNames users;
    Rows rows(options.format, options.bytes);
    for (const auto& entry : inventory.entries) {
        const auto name = named.find(entry.id);
        const Row row{entry, name == named.end() ? std::string_view() : name->second, entry.id == host};
        rows.add(
            [&](Out& out, std::size_t column) { field_of(out, static_cast<Field>(column), row, users); });
    }
    if (options.format.json()) {
        fmt::print("{}\n", Json{{"namespaces", rows.json()},
                                {"unseen_processes", inventory.unseen},
                                {"descriptors_searched", inventory.descriptors_searched}}
                               .dump(4));
        return;
    }
    rows.print();
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

void add_list(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "list",
        "List every IPC namespace that you may see: those with processes, those held by a mount, and those held only\n"
        "by an open descriptor.");
    options->format.add_to(*command);
    command
        ->add_option("--fds", options->descriptors,
                     "search descriptors: always (the same as --fds alone), never, or auto: where there "
                     "are at most 1,000 processes (default)")
        ->type_name("WHEN")
        ->or_alone("always")
        ->one_of({"auto", "always", "never"});
    command->add_flag("--objects", options->objects,
                      "also SHM and OBJECTS: what is in each, which means entering it");
    command->add_flag("-b,--bytes", options->bytes, "sizes in bytes");
    command->add_flag("-q,--quiet", options->quiet, "not a word about what could not be seen");
    command->callback([options] { list(*options); });
}

} // namespace ipcns::cli
