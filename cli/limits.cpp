// SPDX-License-Identifier: Apache-2.0
// ipcns limits: what a namespace allows, and how much of it is used up.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/limits.hpp>
#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    Format format{{{"KEY", "key", false, "name of the limit"},
                   {"VALUE", "value", true, "its value"},
                   {"DEFAULT", "default", true, "what a new namespace has"},
                   {"USED", "used", true, "how much of it there is"},
                   {"USE%", "percent", true, "how much of it is used up"},
                   {"MEANING", "meaning", false, "what it limits"},
                   {"UNIT", "unit", false, "what is counted"},
                   {"PATH", "path", false, "its file"}},
                  "KEY,VALUE,DEFAULT,USED,USE%,MEANING"};
    std::string target;
    std::vector<std::string> settings;
    bool bytes = false;
    bool verbose = false;
};

// 8192 is 8K, and 8191 stays what it is: what is shown can be set again.
std::string exact_size(std::uint64_t bytes) {
    constexpr std::string_view units = " KMGT";
    std::size_t unit = 0;
    while (bytes != 0 && bytes % 1024 == 0 && unit + 1 < units.size()) {
        bytes /= 1024;
        ++unit;
    }
    return std::to_string(bytes) + (unit == 0 ? "" : std::string(1, units[unit]));
}

Cell value_cell(const LimitKey& key, const std::optional<std::uint64_t>& value, bool bytes) {
    if (!value) return {"-", Json()};
    if (bytes) return {std::to_string(*value), *value};
    // What shmall and shmmax begin with is more than any machine has.
    constexpr std::uint64_t beyond = std::uint64_t{1} << 60;
    if (key.usual && *key.usual > beyond && *value >= *key.usual) return {"unlimited", *value};
    return {key.unit == std::string_view("bytes") ? exact_size(*value) : std::to_string(*value), *value};
}

Cell percent_cell(const std::optional<double>& percent) {
    if (!percent) return {"-", Json()};
    // Rounded down: 100 is said only of what is full.
    return {fmt::format("{:.0f}%", std::floor(*percent)), std::floor(*percent * 100) / 100};
}

std::string name_of(const NamespaceId& id) {
    const auto names = names_by_id(visible_names());
    const auto found = names.find(id);
    return found == names.end() ? "" : found->second;
}

void say_which(const NamespaceId& id, const std::string& what) {
    const std::string name = name_of(id);
    fmt::print(stderr, "ipcns: namespace {}{}{}\n", id.inode, name.empty() ? "" : fmt::format(" ({})", name),
               what);
}

void show(const Options& options, const Namespace& ipc) {
    std::vector<std::vector<Cell>> rows;
    for (const auto& limit : ipc.call(read_limit_use)) {
        const LimitKey& key = *limit.key;
        rows.push_back({{key.name, key.name},
                        value_cell(key, limit.value, options.bytes),
                        value_cell(key, key.usual, options.bytes),
                        value_cell(key, limit.used, true),
                        percent_cell(limit.percent()),
                        {key.meaning, key.meaning},
                        {key.unit, key.unit},
                        {key.path, key.path}});
    }
    if (options.verbose) say_which(ipc.id(), "");
    if (!options.format.json()) {
        options.format.print(rows);
        return;
    }
    Json limits = Json::array();
    for (const auto& row : rows) limits.push_back(options.format.object(row));
    const std::string name = name_of(ipc.id());
    fmt::print("{}\n",
               Json{{"namespace", {{"ns", ipc.id().inode}, {"name", name.empty() ? Json() : Json(name)}}},
                    {"limits", limits}}
                   .dump(4));
}

void set(const Options& options, const Namespace& ipc, const std::vector<Limit>& settings) {
    const auto changes = ipc.call([&] { return set_limits(settings); });
    if (!options.verbose) return;
    for (const auto& change : changes)
        say_which(ipc.id(),
                  fmt::format(": {} was {}, is {}", change.key->name, change.old_value, change.new_value));
}

void limits(Options& options, const App& command) {
    // No TARGET holds a =, except for a path.
    if (options.target.find('=') != std::string::npos && options.target[0] != '/' &&
        options.target[0] != '.') {
        options.settings.insert(options.settings.begin(), options.target);
        options.target.clear();
    }
    std::vector<Limit> settings;
    for (const auto& setting : options.settings) settings.push_back(Limit::parse(setting));
    const Target target = Target::parse(options.target.empty() ? "self" : options.target);
    const bool table = command.count("--output") + command.count("--noheadings") + command.count("--json") +
                           command.count("--bytes") !=
                       0;
    if (!settings.empty() && table)
        throw UsageError("setting limits prints no table", "-v says what was set");
    if (options.format.json() && command.count("--output") == 0) {
        options.format.also("UNIT");
        options.format.also("PATH");
    }
    const Namespace ipc = resolve_namespace(target);
    if (settings.empty())
        show(options, ipc);
    else
        set(options, ipc, settings);
}

} // namespace

void add_limits(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "limits",
        "Show the limits of the namespace TARGET and how much of each is used up; or set them, all or none.");
    command->add_option("TARGET", options->target,
                        "a NAME, a process id, a /path, @INODE, oci:ID, self (default) or host");
    command->add_option("SETTING", options->settings, "what to set, e.g. shmmni=64 shmmax=1G semmni=8")
        ->option_text("KEY=VALUE...");
    options->format.add_to(*command);
    command->add_flag("-b,--bytes", options->bytes, "plain numbers, and not 8K or unlimited");
    command->add_flag("-v,--verbose", options->verbose,
                      "say which namespace it is, and what was there before");
    command->callback([options, command] { limits(*options, *command); });
}

} // namespace ipcns::cli
