// SPDX-License-Identifier: Apache-2.0
// ipcns limits: what a namespace allows.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/limits.hpp>

#include <fmt/core.h>

#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    Format format{{{"KEY", "key", false, "name of the limit"},
                   {"VALUE", "value", true, "its value"},
                   {"MEANING", "meaning", false, "what it limits"}},
                  "KEY,VALUE,MEANING"};
    std::string target = "self";
};

void limits(const Options& options) {
    std::vector<Limit> found;
    resolve_namespace(Target::parse(options.target)).call([&] { found = read_limits(); });
    std::vector<std::vector<Cell>> rows;
    for (const auto& limit : found)
        rows.push_back({{limit.key->name, limit.key->name},
                        {limit.value, limit.value},
                        {limit.key->meaning, limit.key->meaning}});
    if (!options.format.json()) {
        options.format.print(rows);
        return;
    }
    Json values = Json::array();
    for (const auto& row : rows) values.push_back(options.format.object(row));
    fmt::print("{}\n", Json{{"limits", values}}.dump(4));
}

} // namespace

void add_limits(CLI::App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand("limits", "Show the limits of the namespace TARGET.");
    command->add_option("TARGET", options->target, "a NAME, a process id, a /path, @INODE, self or host");
    options->format.add_to(*command);
    command->callback([options] { limits(*options); });
}

} // namespace ipcns::cli
