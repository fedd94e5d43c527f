// SPDX-License-Identifier: Apache-2.0
// ipcns clone: a copy of a namespace, without a file between.
#include "progress.hpp"
#include "snapshots.hpp"

#include <fmt/core.h>

#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    std::string target;
    std::string name;
    SaveWords save;
    RestoreWords restore;
    bool verbose = false;
};

void clone(const Options& options) {
    SaveOptions how = options.save.options();
    const RestoreOptions words = options.restore.options();
    check_name(options.name);
    const Place place = resolve(Target::parse(options.target));
    CloneReport report;
    {
        ProgressLine line("cloning");
        how.progress = line.function();
        report = clone_namespace(place, Registry::of_caller(), options.name, how, words);
    }
    print_notes(report.saved.notes, options.verbose);
    if (!options.verbose) return;
    fmt::print(stderr, "ipcns: cloned {}\n", save_in_words(report.saved));
    print_not_restored();
}

} // namespace

void add_clone(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "clone",
        "Make a new namespace NAME with a copy of everything in TARGET: as save and restore, without a file.\n"
        "The processes inside are held still meanwhile, and stay where they are.");
    command
        ->add_option("TARGET", options->target, "a NAME, a process id, a /path, @INODE, oci:ID, self or host")
        ->required();
    command->add_option("NAME", options->name, "the new name")->required();
    options->save.add_to(*command);
    options->restore.add_to(*command);
    command->add_flag("-v,--verbose", options->verbose,
                      "say what was copied, and how long processes were held");
    command->footer("Examples:\n  ipcns clone db db-test\n  ipcns clone --max-pause 200ms db db-test");
    command->callback([options] { clone(*options); });
}

} // namespace ipcns::cli
