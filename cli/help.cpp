// SPDX-License-Identifier: Apache-2.0
// How --help looks.
#include "help.hpp"

#include <fmt/format.h>

namespace ipcns::cli {
namespace {

// "SIZE", without what the library adds about ranges and defaults.
std::string value_name(const CLI::Option* option) {
    const std::string type = option->get_type_name();
    return option->get_type_size() == 0 ? "" : type.substr(0, type.find(':'));
}

std::string positional_name(const CLI::Option* option) {
    if (!option->get_option_text().empty()) return option->get_option_text();
    return option->get_name() + (option->get_expected_max() > 1 ? "..." : "");
}

std::string option_names(const CLI::Option* option) {
    if (option->get_positional()) return positional_name(option);
    std::string text = option->get_snames().empty() ? "    " : "-" + option->get_snames().front() + ", ";
    text += "--" + option->get_lnames().front();
    const std::string value = value_name(option);
    if (value.empty()) return text;
    return text + (option->get_expected_min() == 0 ? "[=" + value + "]" : " " + value);
}

} // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string /*name*/,
                                     CLI::AppFormatMode /*mode*/) const {
    std::string usage = fmt::format("Usage: ipcns {} [OPTION...]", app->get_name());
    std::string positionals;
    std::string options;
    for (const CLI::Option* option : app->get_options([](const CLI::Option*) { return true; })) {
        const bool help = option->get_lnames() == std::vector<std::string>{"help"};
        std::string& part = option->get_positional() ? positionals : options;
        part +=
            fmt::format("  {:<24}{}\n", option_names(option), help ? "this text" : option->get_description());
        if (option->get_positional())
            usage +=
                option->get_required() ? " " + positional_name(option) : " [" + positional_name(option) + "]";
    }
    const std::string footer = app->get_footer();
    return usage + "\n\n" + app->get_description() + "\n\n" + positionals +
           (positionals.empty() ? "" : "\n") + options + (footer.empty() ? "" : "\n" + footer + "\n");
}

} // namespace ipcns::cli
