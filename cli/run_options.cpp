// SPDX-License-Identifier: Apache-2.0
// The options of `ipcns run`.
#include "run_options.hpp"

#include <ipcns/text.hpp>

namespace ipcns::cli {
namespace {

enum : int { option_strict = 1100, option_shm_size, option_limit, option_name, option_exec, option_wait };

constexpr auto long_options = with_common_options({
    {"strict", no_argument, nullptr, option_strict},
    {"shm-size", required_argument, nullptr, option_shm_size},
    {"limit", required_argument, nullptr, option_limit},
    {"name", required_argument, nullptr, option_name},
    {"exec", no_argument, nullptr, option_exec},
    {"wait", no_argument, nullptr, option_wait},
});

} // namespace

RunOptions parse_run_options(int argc, char** argv) {
    RunOptions options;
    opterr = 0;
    optind = 0; // begins anew: this may be the second list of words that is read
    for (int option = 0; (option = ::getopt_long(argc, argv, "+:vh", long_options.data(), nullptr)) != -1;) {
        switch (option) {
        case option_ipc_only:
        case option_strict: {
            const Isolation wanted = option == option_strict ? Isolation::strict : Isolation::ipc_only;
            if (options.launch.isolation != Isolation::six_kinds && options.launch.isolation != wanted)
                throw UsageError("--ipc-only and --strict contradict each other");
            options.launch.isolation = wanted;
            break;
        }
        case option_shm_size: options.launch.shm_size = parse_size(optarg); break;
        case option_limit: options.launch.limits.push_back(Limit::parse(optarg)); break;
        case option_name:
            check_name(optarg);
            options.name = optarg;
            break;
        case option_exec: options.replace = true; break;
        case option_wait: options.wait = true; break;
        case 'h': options.help = true; return options;
        default:
            if (!options.take(option, optarg)) refuse_option("run", option, argv);
        }
    }
    options.has_program = optind < argc;
    options.set_program(argc, argv, optind);
    options.launch.has_signal_handlers = false;
    const auto& launch = options.launch;
    if (launch.shm_size && launch.isolation == Isolation::ipc_only)
        throw UsageError("--shm-size means nothing with --ipc-only", "--ipc-only leaves /dev/shm as it is");
    if (options.replace && (options.wait || !options.name.empty() || launch.isolation == Isolation::strict))
        throw UsageError("--exec gives up the parent that --wait, --name and --strict need");
    if (!options.name.empty() && launch.isolation == Isolation::strict)
        throw UsageError(
            "--name and --strict cannot be had together",
            "a name can be entered by others, who would not be in the strict run's other namespaces");
    return options;
}

} // namespace ipcns::cli
