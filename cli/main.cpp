// SPDX-License-Identifier: Apache-2.0
// The front command. It does `run` and `exec` itself, because they are on people's hot path, and hands every
// other command to a program of the libexec folder (or, as git does, to an ipcns-COMMAND in PATH), so that
// their libraries are loaded only when they are needed.
#include "commands.hpp"
#include "front.hpp"
#include "version.hpp"

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace ipcns::cli {
namespace {

std::string overview() {
    std::string text =
        "Usage: ipcns COMMAND [OPTION...] [ARGUMENT...]\n\n"
        "Run, name, enter and see the IPC namespaces of this host.\n\nCommands:\n";
    for (const auto& command : commands) {
        std::string name = command.name;
        name.resize(10, ' ');
        text += "  " + name + command.summary + "\n";
    }
    return text +
           "\n`ipcns help COMMAND` or `ipcns COMMAND --help` tells more.\n"
           "`ipcns --version` prints the version.\n"
           "\nBegin with:\n"
           "  ipcns run               a shell with IPC of its own\n"
           "  ipcns list              who has one on this host\n";
}

const Command* find_command(std::string_view name) {
    const auto* found = std::find_if(std::begin(commands), std::end(commands),
                                     [&](const auto& command) { return name == command.name; });
    return found == std::end(commands) ? nullptr : found;
}

// The command that was probably meant.
std::string_view nearest_command(std::string_view word) {
    std::vector<std::string_view> names;
    for (const auto& command : commands) names.emplace_back(command.name);
    return nearest(word, names);
}

// What other tools call it, where no letters lead there, or where they lead to something else.
std::string_view known_elsewhere(std::string_view word) {
    struct Word {
        std::string_view word;
        std::string_view hint;
    };
    constexpr std::string_view away = "`ipcns delete` takes a namespace away, `ipcns remove` objects of one";
    constexpr std::string_view there = "`ipcns create` makes a namespace, `ipcns make` an object in one";
    constexpr Word words[] = {
        {"rm", away},
        {"del", away},
        {"destroy", away},
        {"add", there},
        {"new", there},
        {"mk", there},
        {"enter", "did you mean exec?"},
        {"cp", "did you mean clone?"},
        {"copy", "did you mean clone?"},
        {"load", "did you mean restore?"},
        {"version", "did you mean --version?"},
        {"cat", "did you mean peek?"},
        {"dump", "`ipcns save` writes a namespace to a file, `ipcns peek` prints what is in one object"},
        {"kill", "`ipcns delete --kill` ends the processes inside, and takes the namespace away"},
    };
    const auto* found =
        std::find_if(std::begin(words), std::end(words), [&](const Word& one) { return one.word == word; });
    return found == std::end(words) ? "" : found->hint;
}

// What to do about a word that is no command.
std::string hint_for(std::string_view word) {
    std::string hint(known_elsewhere(word));
    if (hint.empty() && word.starts_with('-')) hint = "options come after the COMMAND";
    if (hint.empty()) {
        const std::string_view near = nearest_command(word);
        if (!near.empty()) hint.append("did you mean ").append(near).append("?");
    }
    if (!hint.empty()) hint += hint.back() == '?' ? " " : "; ";
    return hint + "ipcns --help lists the commands";
}

// Becomes a program of the libexec folder: the one of the installation (or build) that this program belongs
// to.
[[noreturn]] void become_helper(const char* program, char** argv) {
    char self[PATH_MAX];
    const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self - 1);
    const int unseen = errno;
    std::vector<std::string> places;
    if (length > 0) {
        const auto folder =
            std::filesystem::path(std::string(self, static_cast<std::size_t>(length))).parent_path();
        places.push_back(folder / "../libexec/ipcns" / program);
    }
    places.push_back(std::string(IPCNS_LIBEXECDIR "/") + program);
    for (const auto& place : places) ::execv(place.c_str(), argv);
    if (length <= 0) {
        complain("find where ipcns is installed: read /proc/self/exe: " + std::string(std::strerror(unseen)),
                 "is /proc mounted?");
        std::exit(1);
    }
    complain(std::string("start ") + places.front() + ": " + std::strerror(errno),
             "a part of ipcns is missing: install it again");
    std::exit(1);
}

// Where a standard descriptor is closed, the next one that is opened gets its number, and a message would go there. A
// placeholder that is closed on exec keeps the number free of that, and closed for the program. It is no more use to us than the
// closed one was.
void keep_standard_descriptors_apart() {
    for (int fd = 0; fd < 3; ++fd) {
        if (::fcntl(fd, F_GETFD) < 0)
            (void)::open("/dev/null", (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
    }
}

int main_command(int argc, char** argv) {
    const std::string_view word = argc > 1 ? argv[1] : "";
    const bool help = word == "help" && argc > 2 && std::strcmp(argv[2], "help") != 0;
    if (argc < 2) {
        write_text(STDERR_FILENO, overview());
        return 2;
    }
    if (word == "--help" || word == "-h" || (word == "help" && !help)) return print(overview(), 1);
    if (word == "--version" || word == "-V") return print(version_text(), 1);
    if (help && argc > 3) {
        complain("help: '" + escape(argv[3]) + "' is one argument too many", "write ipcns help COMMAND");
        return 2;
    }
    const char* name = help ? argv[2] : argv[1];
    const Command* command = find_command(name);
    if (command != nullptr && command->program == nullptr) {
        const bool run = std::strcmp(command->name, "run") == 0;
        if (help) return print(run ? run_help : exec_help, 1);
        return run ? run_command(argc - 1, argv + 1) : exec_command(argc - 1, argv + 1);
    }
    if (command != nullptr) {
        char help_option[] = "--help";
        char* for_help[] = {argv[0], argv[2], help_option, nullptr};
        become_helper(command->program, help ? for_help : argv);
    }
    if (name[0] != '\0' && name[0] != '-' && std::strchr(name, '/') == nullptr) {
        const std::string other = std::string("ipcns-") + name;
        char help_option[] = "--help";
        char* for_help[] = {argv[2], help_option, nullptr};
        ::execvp(other.c_str(), help ? for_help : argv + 1);
    }
    const std::string shown = name[0] == '\0' ? "''" : escape(name);
    complain(std::string("there is no ") + (name[0] == '-' ? "option " : "command ") + shown, hint_for(name));
    return 2;
}

} // namespace
} // namespace ipcns::cli

int main(int argc, char** argv) {
    int status = ipcns::cli::own_failure;
    ipcns::cli::keep_standard_descriptors_apart();
    try {
        status = ipcns::cli::main_command(argc, argv);
    } catch (const ipcns::Error& error) {
        ipcns::cli::complain(error);
        status = ipcns::cli::status_of(error);
    } catch (const std::exception& error) {
        ipcns::cli::complain(error.what());
    }
    // Everything has been written by write(2): there is nothing that exit(3) would have to do.
    ::_exit(status);
}
