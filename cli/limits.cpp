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

void value_of(Out& out, const LimitKey& key, const std::optional<std::uint64_t>& value, bool bytes) {
    // What shmall and shmmax begin with is more than any machine has.
    constexpr std::uint64_t beyond = std::uint64_t{1} << 60;
    if (!value || bytes || out.json())
        out.number_or_none(value);
    else if (key.usual && *key.usual > beyond && *value >= *key.usual)
        out.text("unlimited");
    else if (key.unit == std::string_view("bytes"))
        out.text(exact_size(*value));
    else
        out.number(*value);
}

void percent_of(Out& out, const std::optional<double>& percent) {
    // Rounded down: 100 is said only of what is full.
    if (percent)
        out.both(fmt::format("{:.0f}%", std::floor(*percent)), std::floor(*percent * 100) / 100);
    else
        out.none();
}

// In the order of the columns above.
enum class Field { key, value, usual, used, percent, meaning, unit, path };

void field_of(Out& out, Field field, const LimitUse& limit, bool bytes) {
    const LimitKey& key = *limit.key;
    switch (field) {
    case Field::key: out.text(key.name); break;
    case Field::value: value_of(out, key, limit.value, bytes); break;
    case Field::usual: value_of(out, key, key.usual, bytes); break;
    case Field::used: out.number_or_none(limit.used); break;
    case Field::percent: percent_of(out, limit.percent()); break;
    case Field::meaning: out.text(key.meaning); break;
    case Field::unit: out.text(key.unit); break;
    case Field::path: out.text(key.path); break;
    }
}

void say_which(const NamespaceId& id, const std::string& what) {
    const std::string name = registered_name(id);
    fmt::print(stderr, "ipcns: namespace {}{}{}\n", id.inode, name.empty() ? "" : fmt::format(" ({})", name),
               what);
}

void show(const Options& options, const Namespace& ipc) {
    Rows rows(options.format);
    for (const auto& limit : ipc.call(read_limit_use))
        rows.add([&](Out& out, std::size_t column) {
            field_of(out, static_cast<Field>(column), limit, options.bytes);
        });
    if (options.verbose) say_which(ipc.id(), "");
    if (!options.format.json()) {
        rows.print();
        return;
    }
    const std::string name = registered_name(ipc.id());
    fmt::print("{}\n",
               Json{{"namespace", {{"ns", ipc.id().inode}, {"name", name.empty() ? Json() : Json(name)}}},
                    {"limits", rows.json()}}
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
