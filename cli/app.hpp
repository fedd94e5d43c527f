// SPDX-License-Identifier: Apache-2.0
// How the commands of the helper programs are declared, and a program's main(). CLI11 does the work; only app.cpp
// includes it, since its headers take a compiler longer than all the rest of a command. The words are CLI11's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
} // namespace CLI

namespace ipcns::cli {

/// An option or a word of a command, in the making.
class Option {
public:
    explicit Option(CLI::Option* option) : option_(option) {}

    Option* required();
    /// What --help calls its value.
    Option* type_name(const std::string& name);
    /// What --help calls a word.
    Option* option_text(const std::string& text);
    /// An option that takes one value each time and may be repeated.
    Option* repeatable();
    /// Its value may be left out, which means @p value.
    Option* or_alone(const std::string& value);
    Option* one_of(const std::vector<std::string>& words);
    Option* between(double least, double most);

private:
    CLI::Option* option_;
};

/// A command, or the program that has it.
class App {
public:
    explicit App(CLI::App* app) : app_(app) {}

    App* add_subcommand(const std::string& name, const std::string& description);

    /// "-o,--output" for an option, "NAME" for a word.
    Option* add_option(const std::string& names, std::string& to, const std::string& help);
    Option* add_option(const std::string& names, std::optional<std::string>& to, const std::string& help);
    Option* add_option(const std::string& names, std::vector<std::string>& to, const std::string& help);
    Option* add_option(const std::string& names, double& to, const std::string& help);
    Option* add_option(const std::string& names, std::optional<std::uint64_t>& to, const std::string& help);
    void add_flag(const std::string& names, bool& to, const std::string& help);
    /// "--huge{default}": alone it means what is between the braces.
    void add_flag(const std::string& names, std::string& to, const std::string& help);

    /// What --help ends with.
    void footer(const std::string& text);
    [[nodiscard]] std::string get_footer() const;

    /// Called when all words are understood, before callback(). Its UsageErrors are told like those of an unknown option.
    void parse_complete_callback(std::function<void()> check);
    /// What the command does.
    void callback(std::function<void()> work);

    /// How often an option was given.
    [[nodiscard]] std::size_t count(const std::string& option) const;
    /// The options that were given, by their long names, in that order.
    [[nodiscard]] std::vector<std::string> given() const;

private:
    CLI::App* app_;
    std::list<Option> options_;
    std::list<App> commands_;
};

/// Each adds its subcommand to the program; when it is chosen its callback does the work and leaves the exit
/// status in @p status.
using AddCommand = void (*)(App& program, int& status);
/// By the name that it goes by: only the one that is asked for is declared, since that takes as long as the rest of a
/// start.
struct Command {
    std::string_view name;
    AddCommand add;
};

/// The main() of a helper program: does the command that the words ask for, and says what went wrong.
/// @return the exit status: 0 done, 1 failed, 2 wrong usage, or what the command chose
int run_program(int argc, char** argv, std::initializer_list<Command> commands);

} // namespace ipcns::cli
