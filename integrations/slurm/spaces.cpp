// SPDX-License-Identifier: Apache-2.0
// The namespaces of one job on one node. They are names in the registry of the system: a mount keeps each, so that it
// lives from one step to the next, while the job is suspended, and when slurmd is restarted.
#include "spaces.hpp"

#include <ipcns/inventory.hpp>

#include <fcntl.h>

#include <cerrno>

namespace ipcns::slurm {
namespace {

void report(const std::string& name, const Leftovers& left, const Log& log) {
    const std::string text = name + " is gone; removed " + describe(left);
    (left.empty() ? log.detail : log.info)(text);
    if (left.inside.empty()) return;
    std::string who;
    for (const pid_t pid : left.inside) who += " " + std::to_string(pid);
    log.info(name + ": still inside, and not of the job's user:" + who);
}

} // namespace

std::string one_line(const Error& error) {
    return error.what() + (error.hint().empty() ? "" : " (" + error.hint() + ")");
}

Place open_or_make(const std::string& name, const Settings& settings, Owner owner) {
    const Registry registry = Registry::of_system();
    for (int tries = 3;; --tries) {
        try {
            Place place = registry.open(name);
            // A step may be moved to a mount namespace of its own before its tasks start (job_container/tmpfs); the
            // place's /dev/shm lies in this one.
            place.mounts = Fd(::open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC));
            return place;
        } catch (const Error& error) {
            if (error.code().value() != ENOENT) throw;
        }
        CreateOptions options;
        options.shm_size = settings.shm_size();
        options.limits = settings.limits;
        options.owner = owner;
        options.owner_enters = settings.owner_enters;
        try {
            registry.create(name, options);
        } catch (const Error& error) {
            // Somebody else was first.
            if (error.code().value() != EEXIST || tries == 0) throw;
        }
    }
}

void remove(const std::string& name, uid_t user, const Log& log) {
    const Registry registry = Registry::of_system();
    DeleteOptions options;
    options.kill = true;
    options.kill_only = user;
    options.grace = {}; // Slurm has asked them already
    options.empty_anyway = true;
    const auto go = [&] {
        try {
            report(name, registry.remove(name, options), log);
        } catch (const Error& error) {
            if (error.code().value() != ENOENT) throw;
        }
    };
    try {
        go();
    } catch (const Error& error) {
        if (error.code().value() != EBUSY) throw;
        // One that hangs in the kernel has nothing to do with the others.
        log.error(one_line(error));
        options.kill = false;
        go();
    }
}

void remove_if_empty(const std::string& name, const Log& log) {
    const Registry registry = Registry::of_system();
    try {
        if (!processes_inside(registry.open(name).ipc.id()).empty()) return;
        report(name, registry.remove(name), log);
    } catch (const Error& error) {
        if (error.code().value() != ENOENT) throw;
    }
}

void remove_all(const JobNames& names, uid_t user, const Log& log) {
    for (const auto& registered : Registry::of_system().list()) {
        if (!names.contain(registered.name)) continue;
        try {
            remove(registered.name, user, log);
        } catch (const Error& error) {
            log.error(one_line(error));
        }
    }
}

} // namespace ipcns::slurm
