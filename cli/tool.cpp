// SPDX-License-Identifier: Apache-2.0
// What the helper programs share: the way from words to a command and from an exception to an exit status, and
// names of namespaces and users.
#include "tool.hpp"

#include "help.hpp"

#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>

namespace ipcns::cli {

std::vector<RegisteredName> visible_names() {
    const Registry own = Registry::of_caller();
    const Registry system = Registry::of_system();
    auto names = own.list();
    if (own.folder() == system.folder()) return names;
    // A name of one's own hides the system's.
    std::set<std::string> taken;
    for (const auto& name : names) taken.insert(name.name);
    for (auto& name : system.list()) {
        if (!taken.contains(name.name)) names.push_back(std::move(name));
    }
    return names;
}

bool confirm(const std::string& question) {
    if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) return false;
    fmt::print(stderr, "{} [y/N] ", question);
    std::fflush(stderr);
    // The first letter of a line counts.
    const int answer = std::fgetc(stdin);
    for (int rest = answer; rest != '\n' && rest != EOF;) rest = std::fgetc(stdin);
    return answer == 'y' || answer == 'Y';
}

std::map<NamespaceId, std::string> names_by_id(const std::vector<RegisteredName>& names) {
    std::map<NamespaceId, std::string> result;
    for (const auto& name : names) {
        std::string& text = result[name.id];
        text += (text.empty() ? "" : ",") + name.name;
    }
    return result;
}

const std::string& UserNames::operator()(uid_t uid) {
    const auto [found, is_new] = names_.try_emplace(uid);
    if (is_new) {
        const struct passwd* user = ::getpwuid(uid); // NOLINT(concurrency-mt-unsafe): one thread here
        found->second = user != nullptr ? escape(user->pw_name) : std::to_string(uid);
    }
    return found->second;
}

const std::string& GroupNames::operator()(gid_t gid) {
    const auto [found, is_new] = names_.try_emplace(gid);
    if (is_new) {
        const struct group* group = ::getgrgid(gid); // NOLINT(concurrency-mt-unsafe): one thread here
        found->second = group != nullptr ? escape(group->gr_name) : std::to_string(gid);
    }
    return found->second;
}

int run_program(int argc, char** argv, std::initializer_list<AddCommand> commands) {
    int status = 0;
    CLI::App program("", "ipcns");
    program.require_subcommand(1);
    program.formatter(std::make_shared<HelpFormatter>());
    for (const AddCommand add : commands) add(program, status);
    try {
        program.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
        return program.exit(help);
    } catch (const CLI::ParseError& error) {
        const auto chosen = program.get_subcommands();
        complain(escape(error.what()), fmt::format("ipcns {}--help tells more",
                                                   chosen.empty() ? "" : chosen.front()->get_name() + " "));
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
