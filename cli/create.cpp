// SPDX-License-Identifier: Apache-2.0
// ipcns create: a named namespace that lives without a process.
#include "tool.hpp"

#include <ipcns/configuration.hpp>
#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

namespace ipcns::cli {
namespace {

struct Options {
    std::string name;
    std::string config;
    std::string shm_size;
    std::vector<std::string> limits;
    bool verbose = false;
};

// A leading "-" means that there need not be one.
CreateOptions read_config(const std::string& text) {
    if (text.empty()) return {};
    const bool optional = text.front() == '-';
    try {
        return read_configuration(optional ? text.substr(1) : text);
    } catch (const Error& error) {
        if (optional && error.code().value() == ENOENT) return {};
        throw;
    }
}

// An error that says which file a limit comes from that the kernel refuses, unless the command line gave another value for it.
std::optional<Error> with_file(const Error& error, const std::string& config,
                               std::span<const Limit> from_file, std::span<const Limit> given) {
    constexpr std::string_view doing = "set the limit ";
    const std::string_view text = error.what();
    const std::string why = ": " + error.code().message();
    if (!text.starts_with(doing) || !text.ends_with(why)) return std::nullopt;
    const std::string_view key = text.substr(doing.size(), text.find('=') - doing.size());
    // The four numbers of sem have names of their own, and are set together.
    const auto is_meant = [&](const Limit& limit) {
        const std::string_view name = limit.key->name;
        return name.starts_with(key) || key.starts_with(name);
    };
    if (std::none_of(from_file.begin(), from_file.end(), is_meant) ||
        std::any_of(given.begin(), given.end(), is_meant))
        return std::nullopt;
    return Error(error.code().value(),
                 escape(config) + ": " + std::string(text.substr(0, text.size() - why.size())), error.hint());
}

void create(const Options& options) {
    check_name(options.name);
    CreateOptions how = read_config(options.config);
    const std::size_t from_file = how.limits.size();
    if (!options.shm_size.empty()) how.shm_size = parse_size(options.shm_size);
    for (const auto& limit : options.limits) how.limits.push_back(Limit::parse(limit));
    const Registry registry = Registry::of_caller();
    try {
        registry.create(options.name, how);
    } catch (const Error& error) {
        const std::span<const Limit> limits(how.limits);
        const auto more = with_file(error, options.config.substr(options.config.starts_with('-') ? 1 : 0),
                                    limits.first(from_file), limits.subspan(from_file));
        if (more) throw Error(*more);
        throw;
    }
    if (options.verbose)
        fmt::print(stderr, "ipcns: namespace {} made, held by {}\n",
                   registry.open(options.name).ipc.id().inode, (registry.folder() / options.name).string());
}

} // namespace

void add_create(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "create",
        "Make a new, empty namespace called NAME, with a /dev/shm of its own. It lives without a\n"
        "process, until `ipcns delete NAME` or the next reboot. Root's are in /run/ipcns/NAME, where\n"
        "other programs find them; other users' in $XDG_RUNTIME_DIR/ipcns/NAME.");
    command->add_option("NAME", options->name, "a letter or _, then letters, digits, _ . or -, at most 63")
        ->required();
    command
        ->add_option(
            "--config", options->config,
            "read settings from this file (see ipcns.conf(5)), before those given here; -FILE: if there is one")
        ->type_name("FILE");
    command
        ->add_option("--shm-size", options->shm_size,
                     "size of its /dev/shm (K M G T; default: as the host's; 0: no limit)")
        ->type_name("SIZE");
    command->add_option("--limit", options->limits, "set a limit, e.g. shmmni=64; may be repeated")
        ->type_name("KEY=VALUE")
        ->repeatable();
    command->add_flag("-v,--verbose", options->verbose, "say which namespace was made");
    command->footer(
        "Examples:\n  ipcns create db\n  ipcns create --shm-size 1G --limit shmmax=512M ci-42\n  ipcns exec db -- ipcmk -Q");
    command->callback([options] { create(*options); });
}

} // namespace ipcns::cli
