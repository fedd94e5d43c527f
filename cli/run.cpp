// SPDX-License-Identifier: Apache-2.0
// ipcns run: a program in a new namespace, and no trace of it afterwards.
#include "early.hpp"
#include "front.hpp"
#include "run_options.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/registry.hpp>
#include <ipcns/text.hpp>

#include <signal.h>
#include <unistd.h>

#include <optional>

namespace ipcns::cli {
namespace {

// The program may run already (early.cpp).
Child start(const Supervisor& supervisor, const RunOptions& options) {
#ifdef IPCNS_EARLY_START
    if (const Early early = ipcns_early; early.pid != 0) {
        Fd program(early.pidfd);
        Fd ipc(early.ipc);
        Fd shm(early.shm);
        Fd queues(early.queues);
        if (!ipc)
            throw Error(ECANCELED, "start " + escape(options.launch.arguments[0]),
                        "the new process was killed from outside");
        return Child::adopt(early.pid, std::move(program), Namespace::from_fd(std::move(ipc)), std::move(shm),
                            std::move(queues));
    }
#endif
    return supervisor.launch(options.launch);
}

// The namespace has the life of the parent; a name also needs to be taken away.
int run_supervised(RunOptions& options) {
    std::optional<Supervisor> supervisor(std::in_place);
    std::optional<Registry> registry;
    std::optional<Place> place;
    Fd lease;
    if (!options.name.empty()) {
        registry = Registry::of_caller();
        lease = registry->create_leased(options.name, {options.launch.shm_size, options.launch.limits});
        place = registry->open(options.name);
        options.launch.place = &*place;
        options.launch.limits.clear();
    }
    const auto end_name = [&] {
        Leftovers left = registry->remove(options.name);
        return left;
    };
    ExitStatus status;
    std::optional<NamespaceId> id;
    Leftovers left;
    try {
        Child child = start(*supervisor, options);
        id = child.ipc().id();
        if (options.verbose) {
            say("namespace " + std::to_string(id->inode) +
                (registry ? " (" + options.name + ")" : std::string()) + " made for " +
                escape(options.launch.arguments[0]) + ", process " + std::to_string(child.pid()));
            if (options.launch.isolation != Isolation::ipc_only && ::access("/dev/shm", F_OK) != 0)
                say("this host has no /dev/shm: there was none to make private");
        }
        status = supervisor->wait(child);
        if (options.wait) {
            // There is no program any more to pass signals on to: now they are for us, so that Ctrl-C ends the waiting.
            supervisor.reset();
            std::vector<pid_t> keepers;
            for (const auto& name : registry ? registry->list() : std::vector<RegisteredName>()) {
                if (name.id == *id && name.keeper != 0) keepers.push_back(name.keeper);
            }
            wait_until_nobody_inside(*id, keepers);
            supervisor.emplace();
        }
        if (!registry) {
            try {
                left = child.enter_and_clean_up();
            } catch (const Error& error) {
                // The program's own status is what the caller asked for.
                complain(error);
            }
        }
    } catch (...) {
        if (registry) (void)end_name();
        throw;
    }
    if (registry) {
        try {
            left = end_name();
        } catch (const Error& error) {
            complain(error);
        }
    }
    if (options.verbose) {
        // Where there was nothing to remove, nobody has been looked for yet.
        if (left.inside.empty() && !registry) {
            left.inside = processes_inside(*id);
            std::erase(left.inside, ::getpid());
        }
        if (left.inside.empty())
            say("namespace " + std::to_string(id->inode) + " gone; removed " + describe(left));
        else
            say("namespace " + std::to_string(id->inode) +
                " left as it is, with processes still inside: " + describe_processes(left.inside));
    }
    if (status.signal == SIGINT) end_by_interrupt();
    return status.shell_status();
}

} // namespace

const char* const run_help =
    R"(Usage: ipcns run [OPTION...] [--] [COMMAND [ARGUMENT...]]

Runs COMMAND (default: $SHELL, else /bin/sh) with IPC of its own, and removes
what it leaves behind. By default all six kinds are private: System V queues,
semaphores and segments, POSIX queues (a new IPC namespace), POSIX shared memory
and named semaphores (a fresh /dev/shm).

How much is private:
      --ipc-only          only the IPC namespace: /dev/shm and /dev/mqueue stay
                          as they are
      --strict            also process ids, network, host name, /proc and /tmp
      --shm-size SIZE     of the fresh /dev/shm (K M G T; default: as the
                          host's; 0: no limit)
      --limit KEY=VALUE   set a limit before COMMAND starts, e.g. shmmni=64; may
                          be repeated
      --root              without privileges: be root in the new user namespace,
                          not yourself

The namespace:
      --name NAME         register it as NAME for as long as COMMAND runs
      --wait              at the end wait for other processes that are still
                          inside
      --exec              become COMMAND instead of staying as its parent:
                          nothing is removed at the end

The program:
      --chdir FOLDER      start it in FOLDER
      --env KEY=VALUE     set a variable; may be repeated
      --unset KEY         take a variable away; may be repeated
      --die-with-parent   kill it when ipcns is killed

  -v, --verbose           say which namespace was made and what was removed
  -h, --help              this text

Exit status: COMMAND's own, 128+N when signal N killed it, 125 when ipcns itself
failed, 126 when COMMAND cannot be executed, 127 when it is not found.

Examples:
  ipcns run -- make test                    a test suite that meets nobody's IPC
  ipcns run --name db -- postgres -D data   elsewhere: ipcns exec db -- ipcs
  ipcns run -v --limit shmmax=1M -- ./prog  see what it leaves behind
)";

int run_command(int argc, char** argv) {
    RunOptions options = parse_run_options(argc, argv);
    if (options.help) return print(run_help, own_failure);
    if (options.replace) replace(options.launch);
    return run_supervised(options);
}

} // namespace ipcns::cli
