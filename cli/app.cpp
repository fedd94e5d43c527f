// SPDX-License-Identifier: Apache-2.0
// The way from words to a command and from an exception to an exit status; how --help looks.
#include "app.hpp"

#include "message.hpp"

#include <ipcns/text.hpp>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <utility>

namespace ipcns::cli {
namespace {

// "SIZE", without what the library adds about ranges ("SECONDS:FLOAT in [0 - 60]") and words ("WHEN:{auto,never}"). Names
// of ours may have a colon, too: "OLD:NEW".
std::string value_name(const CLI::Option* option) {
    const std::string type = option->get_type_name();
    if (option->get_type_size() == 0) return "";
    return type.find_first_of(" {") == std::string::npos ? type : type.substr(0, type.find(':'));
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

// As the front prints it for run and exec: usage first, one column of options, no types of the program's.
class HelpFormatter : public CLI::FormatterBase {
public:
    std::string make_help(const CLI::App* app, std::string /*name*/,
                          CLI::AppFormatMode /*mode*/) const override {
        std::string usage = fmt::format("Usage: ipcns {} [OPTION...]", app->get_name());
        std::string positionals;
        std::string options;
        for (const CLI::Option* option : app->get_options([](const CLI::Option*) { return true; })) {
            const bool help = option->get_lnames() == std::vector<std::string>{"help"};
            std::string& part = option->get_positional() ? positionals : options;
            part += fmt::format("  {:<24}{}\n", option_names(option),
                                help ? "this text" : option->get_description());
            if (option->get_positional())
                usage += option->get_required() ? " " + positional_name(option)
                                                : " [" + positional_name(option) + "]";
        }
        const std::string footer = app->get_footer();
        return usage + "\n\n" + app->get_description() + "\n\n" + positionals +
               (positionals.empty() ? "" : "\n") + options + (footer.empty() ? "" : "\n" + footer + "\n");
    }
};

} // namespace

Option* Option::required() {
    option_->required();
    return this;
}

Option* Option::type_name(const std::string& name) {
    option_->type_name(name);
    return this;
}

Option* Option::option_text(const std::string& text) {
    option_->option_text(text);
    return this;
}

Option* Option::repeatable() {
    option_->expected(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
    return this;
}

Option* Option::or_alone(const std::string& value) {
    option_->expected(0, 1)->default_str(value);
    return this;
}

Option* Option::one_of(const std::vector<std::string>& words) {
    option_->check(CLI::IsMember(words));
    return this;
}

Option* Option::between(double least, double most) {
    option_->check(CLI::Range(least, most));
    return this;
}

App* App::add_subcommand(const std::string& name, const std::string& description) {
    return &commands_.emplace_back(app_->add_subcommand(name, description));
}

Option* App::add_option(const std::string& names, std::string& to, const std::string& help) {
    return &options_.emplace_back(app_->add_option(names, to, help));
}

Option* App::add_option(const std::string& names, std::optional<std::string>& to, const std::string& help) {
    return &options_.emplace_back(app_->add_option(names, to, help));
}

Option* App::add_option(const std::string& names, std::vector<std::string>& to, const std::string& help) {
    return &options_.emplace_back(app_->add_option(names, to, help));
}

Option* App::add_option(const std::string& names, double& to, const std::string& help) {
    return &options_.emplace_back(app_->add_option(names, to, help));
}

Option* App::add_option(const std::string& names, std::optional<std::uint64_t>& to, const std::string& help) {
    return &options_.emplace_back(app_->add_option(names, to, help));
}

void App::add_flag(const std::string& names, bool& to, const std::string& help) {
    app_->add_flag(names, to, help);
}

void App::add_flag(const std::string& names, std::string& to, const std::string& help) {
    app_->add_flag(names, to, help);
}

void App::footer(const std::string& text) { app_->footer(text); }

std::string App::get_footer() const { return app_->get_footer(); }

void App::parse_complete_callback(std::function<void()> check) {
    app_->parse_complete_callback([check = std::move(check)] {
        try {
            check();
        } catch (const UsageError& error) {
            throw CLI::ValidationError(error.what());
        }
    });
}

void App::callback(std::function<void()> work) { app_->callback(std::move(work)); }

std::size_t App::count(const std::string& option) const { return app_->count(option); }

std::vector<std::string> App::given() const {
    std::vector<std::string> names;
    for (const CLI::Option* option : app_->parse_order()) names.push_back(option->get_name());
    return names;
}

namespace {

// What CLI11 says, in our words where it is what happens most.
std::string what_is_wrong(const CLI::ParseError& error, const std::string& command,
                          const std::vector<std::string>& unknown) {
    const std::string who = command.empty() ? "ipcns" : command;
    if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !unknown.empty()) {
        const std::string& first = unknown.front();
        return first.size() > 1 && first.front() == '-'
                   ? fmt::format("{} has no option {}", who, escape(first))
                   : fmt::format("{}: '{}' is one argument too many", who, escape(first));
    }
    if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
        constexpr std::string_view rest = " is required";
        const std::string_view text = error.what();
        if (text.ends_with(rest))
            return fmt::format("{}: {} is missing", who, text.substr(0, text.size() - rest.size()));
    }
    return escape(error.what());
}

} // namespace

int run_program(int argc, char** argv, std::initializer_list<Command> commands) {
    int status = 0;
    CLI::App program("", "ipcns");
    program.require_subcommand(1);
    program.formatter(std::make_shared<HelpFormatter>());
    App app(&program);
    const std::string_view asked = argc > 1 ? argv[1] : "";
    const bool known = std::any_of(commands.begin(), commands.end(),
                                   [&](const Command& command) { return command.name == asked; });
    for (const auto& command : commands) {
        if (!known || command.name == asked) command.add(app, status);
    }
    try {
        program.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
        return program.exit(help);
    } catch (const CLI::ParseError& error) {
        const auto chosen = program.get_subcommands();
        const std::string name = chosen.empty() ? "" : chosen.front()->get_name();
        complain(what_is_wrong(error, name, program.remaining(true)),
                 fmt::format("ipcns {}{}--help tells more", name, name.empty() ? "" : " "));
        return 2;
    } catch (const UsageError& error) {
        complain(error);
        return 2;
    } catch (const Error& error) {
        complain(error);
        return 1;
    } catch (const std::exception& error) {
        complain(error.what());
        return 1;
    }
    // What could not be written was not done.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
        complain(fmt::format("write to standard output: {}", std::generic_category().message(errno)));
        return 1;
    }
    return status;
}

} // namespace ipcns::cli
