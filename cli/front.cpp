// SPDX-License-Identifier: Apache-2.0
// What run and exec share.
#include "front.hpp"

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace ipcns::cli {

int status_of(const Error& error) {
    const auto* program = dynamic_cast<const ProgramError*>(&error);
    return program != nullptr ? program->shell_status() : own_failure;
}

void end_by_interrupt() {
    const Fd terminal(::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!terminal || ::tcgetpgrp(terminal.get()) != ::getpgrp()) return;
    ::signal(SIGINT, SIG_DFL);
    ::kill(::getpid(), SIGINT);
    sigset_t one;
    ::sigemptyset(&one);
    ::sigaddset(&one, SIGINT);
    ::sigprocmask(SIG_UNBLOCK, &one, nullptr);
}

int print(std::string_view text, int failed) {
    if (write_text(STDOUT_FILENO, text)) return 0;
    complain(Error(errno, "write to standard output"));
    return failed;
}

void say(const std::string& text) { write_text(STDERR_FILENO, "ipcns: " + text + "\n"); }

bool ProgramOptions::take(int option, const char* value) {
    switch (option) {
    case 'v': verbose = true; return true;
    case option_chdir:
        if (value[0] == '\0') throw UsageError("'' is no folder", "--chdir FOLDER starts the program there");
        launch.directory = value;
        return true;
    case option_env: {
        const std::string text = value;
        const auto equals = text.find('=');
        if (equals == std::string::npos || equals == 0)
            throw UsageError("'" + escape(text) + "' is not KEY=VALUE",
                             "--env sets a variable, --unset KEY takes one away");
        set_.push_back(text);
        return true;
    }
    case option_unset:
        if (value[0] == '\0') throw UsageError("'' is no variable", "--unset KEY takes one away");
        unset_.emplace_back(value);
        return true;
    case option_root: launch.map_root = true; return true;
    case option_die: launch.die_with_parent = true; return true;
    default: return false;
    }
}

void ProgramOptions::set_program(int argc, char** argv, int first) {
    launch.arguments.assign(argv + first, argv + argc);
    if (launch.arguments.empty()) {
        const char* shell = std::getenv("SHELL");
        launch.arguments = {shell != nullptr && shell[0] != '\0' ? shell : "/bin/sh"};
    }
    if (set_.empty() && unset_.empty()) return;
    const auto key_of = [](const std::string& text) { return text.substr(0, text.find('=')); };
    std::vector<std::string> environment;
    const auto drop = [&](const std::string& key) {
        std::erase_if(environment, [&](const std::string& text) { return key_of(text) == key; });
    };
    for (char** variable = environ; *variable != nullptr; ++variable) environment.emplace_back(*variable);
    for (const auto& key : unset_) drop(key);
    for (const auto& text : set_) {
        drop(key_of(text));
        environment.push_back(text);
    }
    launch.environment = std::move(environment);
}

void refuse_option(const char* command, int result, char** argv) {
    const std::string hint = std::string("ipcns ") + command + " --help lists the options";
    // A long option is refused after it was passed over; of a short one getopt tells the letter.
    const std::string shown =
        optopt != 0 && optopt < 256 ? std::string("-") + static_cast<char>(optopt) : argv[optind - 1];
    if (result == ':') throw UsageError("the option " + escape(shown) + " needs a value", hint);
    throw UsageError("there is no option " + escape(shown) + ", or it takes no value", hint);
}

} // namespace ipcns::cli
