// SPDX-License-Identifier: Apache-2.0
// ipcns attach: a name for a namespace that somebody else made.
#include "tool.hpp"

#include <ipcns/text.hpp>

#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    std::string name;
    std::string target;
};

void attach(const Options& options) {
    if (!is_name(options.name) && is_name(options.target))
        throw UsageError("'" + escape(options.name) + "' cannot be a name",
                         "NAME comes first, and then TARGET: " + options.target + " " + escape(options.name));
    check_name(options.name);
    const Place place = resolve(Target::parse(options.target));
    Registry::of_caller().attach(options.name, place);
}

} // namespace

void add_attach(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "attach",
        "Call the namespace TARGET (that of a container's process, for example) NAME. The name keeps it alive.\n"
        "`ipcns delete NAME` takes only the name away, not the objects.");
    command->add_option("NAME", options->name, "the name")->required();
    command
        ->add_option("TARGET", options->target,
                     "a process id, a /path, @INODE, oci:ID, another name, self or host")
        ->required();
    command->footer(
        "Examples:\n  ipcns attach web 1234        # process 1234 and its /dev/shm\n  ipcns attach old @4026532177");
    command->callback([options] { attach(*options); });
}

} // namespace ipcns::cli
