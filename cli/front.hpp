// SPDX-License-Identifier: Apache-2.0
// What the commands of the front (run and exec, the hot path) share. Nothing here pulls in more than the C
// library and std::string: the front is linked statically and has to start as fast as a C program.
#pragma once

#include "message.hpp"

#include <ipcns/error.hpp>
#include <ipcns/launch.hpp>

#include <getopt.h>

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns::cli {

/// ipcns itself failed; what run and exec return then.
constexpr int own_failure = 125;

int run_command(int argc, char** argv);
int exec_command(int argc, char** argv);
extern const char* const run_help;
extern const char* const exec_help;

/// What an error means to a shell: 126 or 127 for a program that cannot be run, else 125.
int status_of(const Error& error);

/// Where Ctrl-C has ended the program: ends by SIGINT as well. The shell that waits for us sees it as the end of its loop
/// or script only then; `$?` is 130 in either case. Returns where there is no terminal that it can have come from.
void end_by_interrupt();

/// What --help and --version print. @return 0, or @p failed when it could not be written, which it says
int print(std::string_view text, int failed);

/// A line of -v.
void say(const std::string& text);

/// The options that run and exec have in common. Reads one; returns false when it is none of them.
struct ProgramOptions {
    LaunchOptions launch;
    bool verbose = false;
    bool take(int option, const char* value);
    /// Sets what is to be run: the words that are left, or the shell.
    void set_program(int argc, char** argv, int first);

private:
    std::vector<std::string> set_, unset_;
};

constexpr int option_chdir = 1000, option_env = 1001, option_unset = 1002, option_root = 1003,
              option_ipc_only = 1004, option_die = 1005;

/// A command's own options, and behind them those that it shares with the other one: what getopt_long() wants.
template <std::size_t N>
constexpr std::array<struct option, N + 9> with_common_options(const struct option (&own)[N]) {
    constexpr std::array<struct option, 9> common{{
        {"ipc-only", no_argument, nullptr, option_ipc_only},
        {"root", no_argument, nullptr, option_root},
        {"die-with-parent", no_argument, nullptr, option_die},
        {"chdir", required_argument, nullptr, option_chdir},
        {"env", required_argument, nullptr, option_env},
        {"unset", required_argument, nullptr, option_unset},
        {"verbose", no_argument, nullptr, 'v'},
        {"help", no_argument, nullptr, 'h'},
        {},
    }};
    std::array<struct option, N + common.size()> all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i < N ? own[i] : common[i - N];
    return all;
}

/// A usage error for what getopt_long() has refused.
[[noreturn]] void refuse_option(const char* command, int result, char** argv);

} // namespace ipcns::cli
