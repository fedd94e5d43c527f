// SPDX-License-Identifier: Apache-2.0
// The way from words to a command and from an exception to an exit status; how --help looks.
#include "app.hpp"

#include "message.hpp"

#include <ipcns/text.hpp>

#include <CLI/CLI.hpp>
#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
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

std::string usage_of(const CLI::App* app) {
    std::string usage = fmt::format("ipcns {} [OPTION...]", app->get_name());
    for (const CLI::Option* option : app->get_options([](const CLI::Option*) { return true; })) {
        if (option->get_positional())
            usage +=
                option->get_required() ? " " + positional_name(option) : " [" + positional_name(option) + "]";
    }
    return usage;
}

// A line for a terminal of 80 columns: what does not fit goes below the column in which the last part of it begins. No line
// begins with an option that is only spoken of. Examples stay as they are.
std::string wrapped(std::string_view line) {
    constexpr std::size_t width = 80;
    const std::size_t start = std::min(line.find_first_not_of(' '), line.size());
    if (line.size() <= width || line.substr(start).starts_with("ipcns ")) return std::string(line);
    std::size_t column = line.find("  ", start);
    column = column < width / 2 ? line.find_first_not_of(' ', column) : start;
    std::string text;
    for (std::size_t room = width; line.size() > room; room = width - column) {
        std::size_t end = line.rfind(' ', room);
        while (end != std::string_view::npos && end > start && line[end + 1] == '-')
            end = line.rfind(' ', end - 1);
        if (end == std::string_view::npos || end <= (text.empty() ? column : 0)) break;
        text.append(line.substr(0, end)).append(1, '\n').append(column, ' ');
        line.remove_prefix(end + 1);
    }
    return text.append(line);
}

std::string all_wrapped(const std::string& text) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        out += wrapped(std::string_view(text).substr(at, end - at)) + "\n";
        at = end + 1;
    }
    return out;
}

// As the front prints it for run and exec: usage first, one column of options, no types of the program's.
class HelpFormatter : public CLI::FormatterBase {
public:
    std::string make_help(const CLI::App* app, std::string /*name*/,
                          CLI::AppFormatMode /*mode*/) const override {
        std::string positionals;
        std::string options;
        for (const CLI::Option* option : app->get_options([](const CLI::Option*) { return true; })) {
            const bool help = option->get_lnames() == std::vector<std::string>{"help"};
            std::string& part = option->get_positional() ? positionals : options;
            constexpr std::size_t width = 24;
            std::string names = option_names(option);
            // What does not fit into the column, with two blanks after it, has a line to itself.
            if (names.size() + 2 > width) names += "\n" + std::string(width + 2, ' ');
            part += fmt::format("  {:<{}}{}\n", names, width, help ? "this text" : option->get_description());
        }
        const std::string footer = app->get_footer();
        // Its paragraphs are filled anew.
        std::string description = app->get_description();
        for (std::size_t end = 0; (end = description.find('\n', end)) != std::string::npos; ++end) {
            const bool paragraph =
                description.substr(end, 2) == "\n\n" || description.substr(end - 1, 1) == "\n";
            if (!paragraph && description.substr(end + 1, 1) != " ") description[end] = ' ';
        }
        return all_wrapped("Usage: " + usage_of(app) + "\n\n" + description + "\n\n" + positionals +
                           (positionals.empty() ? "" : "\n") + options +
                           (footer.empty() ? "" : "\n" + footer + "\n"));
    }
};

// An empty word is a variable without a value, as a rule, and would be taken for no word at all: a filter that fits everything,
// a namespace that is another one.
CLI::Option* never_empty(CLI::Option* option) {
    return option->check(
        [](const std::string& text) { return std::string(text.empty() ? "its value is empty" : ""); });
}

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
    option_->check([least, most](const std::string& text) {
        // Not std::from_chars(), which brings the mathematical library along.
        char* end = nullptr;
        const double number = std::strtod(text.c_str(), &end);
        const bool right = !text.empty() && *end == '\0' && number >= least && number <= most;
        return right ? std::string() : fmt::format("'{}' is no number from {} to {}", text, least, most);
    });
    return this;
}

App* App::add_subcommand(const std::string& name, const std::string& description) {
    return &commands_.emplace_back(app_->add_subcommand(name, description));
}

Option* App::add_option(const std::string& names, std::string& to, const std::string& help) {
    return &options_.emplace_back(never_empty(app_->add_option(names, to, help)));
}

Option* App::add_option(const std::string& names, std::optional<std::string>& to, const std::string& help) {
    return &options_.emplace_back(never_empty(app_->add_option(names, to, help)));
}

Option* App::add_option(const std::string& names, std::vector<std::string>& to, const std::string& help) {
    return &options_.emplace_back(never_empty(app_->add_option(names, to, help)));
}

Option* App::add_option(const std::string& names, double& to, const std::string& help) {
    return &options_.emplace_back(app_->add_option(names, to, help));
}

Option* App::add_option(const std::string& names, std::optional<std::uint64_t>& to, const std::string& help) {
    return &options_.emplace_back(app_->add_option(names, to, help)->check([](const std::string& text) {
        std::uint64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool right = !text.empty() && error == std::errc() && end == text.data() + text.size();
        return right ? std::string() : fmt::format("'{}' is no number", text);
    }));
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

// The long option that was probably meant.
std::string nearest_option(const CLI::App& command, std::string_view word) {
    if (!word.starts_with("--")) return "";
    std::vector<std::string_view> names;
    for (const CLI::Option* option : command.get_options([](const CLI::Option*) { return true; })) {
        for (const auto& name : option->get_lnames()) names.emplace_back(name);
    }
    return std::string(nearest(word.substr(2, word.find('=') - 2), names));
}

// What CLI11 says, in our words where it is what happens most.
void complain_of(const CLI::ParseError& error, const CLI::App* command,
                 const std::vector<std::string>& unknown) {
    const std::string name = command != nullptr ? command->get_name() : "";
    const std::string who = name.empty() ? "ipcns" : name;
    const std::string more = fmt::format("ipcns {}{}--help tells more", name, name.empty() ? "" : " ");
    const std::string usage =
        command != nullptr ? fmt::format("write {}; {}", usage_of(command), more) : more;
    const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    // An option that is none is said first: what is missing may be missing because of it.
    const auto option = std::find_if(unknown.begin(), unknown.end(), [](const std::string& word) {
        return word.size() > 1 && word.front() == '-';
    });
    if ((missing || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) && option != unknown.end()) {
        const std::string near = command != nullptr ? nearest_option(*command, *option) : "";
        complain(fmt::format("{} has no option {}", who, escape(*option)),
                 near.empty() ? more : fmt::format("did you mean --{}? {}", near, more));
        return;
    }
    if (!missing && dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr && !unknown.empty()) {
        complain(fmt::format("{}: '{}' is one argument too many", who, escape(unknown.front())), usage);
        return;
    }
    constexpr std::string_view rest = " is required";
    const std::string_view text = error.what();
    if (missing && text.ends_with(rest)) {
        complain(fmt::format("{}: {} is missing", who, text.substr(0, text.size() - rest.size())), usage);
        return;
    }
    complain(escape(text), more);
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
        status = program.exit(help);
    } catch (const CLI::ParseError& error) {
        const auto chosen = program.get_subcommands();
        complain_of(error, chosen.empty() ? nullptr : chosen.front(), program.remaining(true));
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
