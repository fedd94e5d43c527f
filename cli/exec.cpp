// SPDX-License-Identifier: Apache-2.0
// ipcns exec: a program in a namespace that exists.
#include "front.hpp"

#include <ipcns/registry.hpp>
#include <ipcns/text.hpp>

#include <signal.h>
#include <unistd.h>

namespace ipcns::cli {
namespace {

enum : int { option_all = 1200, option_quiet };

constexpr auto long_options = with_common_options({
    {"all", no_argument, nullptr, option_all},
    {"quiet", no_argument, nullptr, 'q'},
});

void say_place(const Place& place, const LaunchOptions& launch) {
    say("entering " + std::to_string(place.ipc.id().inode) +
        (place.name.empty() ? "" : " (" + place.name + ")") +
        (launch.isolation == Isolation::ipc_only ? ", mounts left alone"
         : place.shm                             ? ", with /dev/shm from " + escape(place.shm_from)
                                                 : ", with the caller's own /dev/shm"));
}

// By the terminal, a shell or a service manager: then all of it is meant, and not the program in one namespace.
bool is_told_to_end(int signal) {
    return signal == SIGINT || signal == SIGQUIT || signal == SIGTERM || signal == SIGHUP;
}

// Each one in turn, as a child. The status is that of the last one that did not end well, or 0.
int exec_in_all(const ProgramOptions& options, bool quiet) {
    const Registry registry = Registry::of_caller();
    int status = 0;
    for (const auto& name : registry.list()) {
        try {
            const Place place = registry.open(name.name);
            LaunchOptions launch = options.launch;
            launch.place = &place;
            if (!quiet) write_text(STDOUT_FILENO, "== " + name.name + "\n");
            if (options.verbose) say_place(place, launch);
            const Supervisor supervisor;
            Child child = supervisor.launch(launch);
            const ExitStatus ended = supervisor.wait(child);
            if (ended.shell_status() != 0) status = ended.shell_status();
            if (is_told_to_end(ended.signal)) {
                if (ended.signal == SIGINT) end_by_interrupt();
                break;
            }
        } catch (const Error& error) {
            complain(error);
            status = status_of(error);
        }
    }
    return status;
}

} // namespace

const char* const exec_help =
    R"(Usage: ipcns exec [OPTION...] TARGET [--] [COMMAND [ARGUMENT...]]
       ipcns exec [OPTION...] --all [--] COMMAND [ARGUMENT...]

Runs COMMAND (default: $SHELL, else /bin/sh) in a namespace that exists, with
its /dev/shm and its /dev/mqueue. Everything else stays the caller's.

TARGET is one of
  NAME                a registered name (see `ipcns list`)
  1234                that of process 1234, and the /dev/shm that it sees
  /path               an nsfs file: /run/ipcns/NAME/ipc, /proc/1234/ns/ipc
  @4026532177         by inode number, as `ipcns list` and
                      `ls -l /proc/1234/ns` print it
  oci:web             that of a container, by its id or name
  slurm:42            that of a Slurm job on this node
  self, host          the caller's own; that of process 1

      --all               in every named namespace, one after the other, each
                          under a line "== NAME"
  -q, --quiet             with --all: without these lines
      --ipc-only          enter the IPC namespace and leave the mounts alone
      --root              be root in the user namespace that owns it, if you
                          have to join one
      --chdir FOLDER      start it in FOLDER
      --env KEY=VALUE     set a variable; may be repeated
      --unset KEY         take a variable away; may be repeated
      --die-with-parent   kill it when its parent dies
  -v, --verbose           say what is entered
  -h, --help              this text

Exit status: COMMAND's own (ipcns becomes COMMAND), 125 when ipcns itself
failed, 126 when COMMAND cannot be executed, 127 when it is not found; that of
the last that was not 0 with --all.

Examples:
  ipcns exec db -- ipcs -a                  what the database holds
  ipcns exec 1234                           a shell beside process 1234
  ipcns exec --all -- ipcs -u               a summary of each
)";

int exec_command(int argc, char** argv) {
    ProgramOptions options;
    options.launch.has_signal_handlers = false;
    bool all = false;
    bool quiet = false;
    opterr = 0;
    for (int option = 0; (option = ::getopt_long(argc, argv, "+:qvh", long_options.data(), nullptr)) != -1;) {
        switch (option) {
        case option_all: all = true; break;
        case option_ipc_only: options.launch.isolation = Isolation::ipc_only; break;
        case 'q': quiet = true; break;
        case 'h': return print(exec_help, own_failure);
        default:
            if (!options.take(option, optarg)) refuse_option("exec", option, argv);
        }
    }
    int next = optind;
    if (all) {
        if (next == argc) throw UsageError("--all needs a COMMAND", "ipcns exec --help");
        options.set_program(argc, argv, next);
        return exec_in_all(options, quiet);
    }
    if (next == argc)
        throw UsageError("which namespace? TARGET is missing",
                         "ipcns exec --help; `ipcns list` shows what there is");
    const Target target = Target::parse(argv[next++]);
    if (next < argc && std::string_view(argv[next]) == "--")
        ++next;
    else if (next < argc && argv[next][0] == '-')
        throw UsageError(escape(argv[next]) + " comes after TARGET",
                         "options come before it; a COMMAND of that name comes after --");
    options.set_program(argc, argv, next);
    const Place place = resolve(target);
    options.launch.place = &place;
    if (options.verbose) say_place(place, options.launch);
    replace(options.launch);
}

} // namespace ipcns::cli
