// SPDX-License-Identifier: Apache-2.0
// ipcns save: a namespace into a file.
#include "progress.hpp"
#include "snapshots.hpp"
#include "tool.hpp"

#include <ipcns/registry.hpp>
#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    std::string target;
    std::string file;
    SaveWords words;
    std::string zstd;
    bool precopy = false;
    bool verbose = false;
};

bool is_a_name(const std::string& word) {
    try {
        const auto names = visible_names();
        return std::any_of(names.begin(), names.end(), [&](const auto& one) { return one.name == word; });
    } catch (const Error&) {
        return false; // there is another error to be told of
    }
}

// The two words are easily swapped: every copying command of the system has its source first, and some tools their file.
Place place_of(const Options& options) {
    const Target target = Target::parse(options.target);
    try {
        return resolve(target);
    } catch (const Error& error) {
        if (error.code().value() != ENOENT && error.code().value() != EINVAL) throw;
        if (!is_a_name(options.file)) throw;
        throw UsageError(
            fmt::format("{} is no namespace, but {} is one", escape(options.target), options.file),
            fmt::format("ipcns save {} {}", options.file, escape(options.target)));
    }
}

void save(const Options& options) {
    SaveOptions how = options.words.options();
    if (!options.zstd.empty()) {
        int level = 0;
        const char* const end = options.zstd.data() + options.zstd.size();
        const auto parsed = std::from_chars(options.zstd.data(), end, level);
        if (parsed.ec != std::errc() || parsed.ptr != end) throw UsageError("zstd has the levels 1 to 19");
        how.zstd = level;
    }
    how.precopy = options.precopy;
    const bool to_output = options.file == "-";
    if (to_output && ::isatty(STDOUT_FILENO) == 1)
        throw UsageError("a snapshot is nothing for a terminal",
                         "give a file, or a pipe: ipcns save db - | ...");
    const Place place = place_of(options);
    // A reader that goes is an error with a message, and no signal.
    (void)std::signal(SIGPIPE, SIG_IGN);
    SaveReport report;
    {
        ProgressLine line("saving");
        how.progress = line.function();
        report = to_output ? ipcns::save(place, STDOUT_FILENO, how)
                           : ipcns::save(place, std::filesystem::path(options.file), how);
    }
    print_notes(report.notes, options.verbose);
    if (options.verbose)
        fmt::print(stderr, "ipcns: saved {}; {}{} written{}\n", save_in_words(report),
                   options.precopy ? format_size(report.written_again) + " of " : "",
                   format_size(report.written), options.precopy ? " again" : "");
}

} // namespace

void add_save(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "save",
        "Save everything in the namespace TARGET to FILE: the objects of all six kinds with their contents, and the limits.\n"
        "The processes inside are held still meanwhile, and none of them can tell. FILE appears whole or not at all.");
    command
        ->add_option("TARGET", options->target, "a NAME, a process id, a /path, @INODE, oci:ID, self or host")
        ->required();
    command->add_option("FILE", options->file, "where to; - is standard output")->required();
    options->words.add_to(*command);
    command
        ->add_option("--zstd", options->zstd,
                     "compress, at this LEVEL from 1 (fast) to 19 (small); without one: 3")
        ->type_name("LEVEL")
        ->or_alone("3");
    command->add_flag("--precopy", options->precopy,
                      "write all of it before they are held still, and then only what has changed");
    command->add_flag("-v,--verbose", options->verbose,
                      "say what was saved, and how long processes were held");
    command->footer("Examples:\n  ipcns save db db.ipcns\n  ipcns save db - | ssh host ipcns restore - db");
    command->callback([options] { save(*options); });
}

} // namespace ipcns::cli
