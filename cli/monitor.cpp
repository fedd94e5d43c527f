// SPDX-License-Identifier: Apache-2.0
// ipcns monitor: names as they come and go. A name is renamed into and out of the registry's folder, which
// inotify(7) reports.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/fd.hpp>

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    bool json = false;
};

struct Watched {
    int watch;
    Registry registry;
    bool parent; // the folder above, until the registry's own is there
};

std::string now() {
    const auto time = std::chrono::system_clock::now();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
    const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time - seconds).count();
    return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z",
                       fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)), micros);
}

void print(const Options& options, const char* event, const Registry& registry, const std::string& name) {
    if (options.json) {
        Json line{{"time", now()}, {"event", event}, {"name", name}};
        if (std::string_view(event) == "created") {
            try {
                line["ns"] = registry.open(name).ipc.id().inode;
            } catch (const Error&) {
                line["ns"] = nullptr; // gone again
            }
        }
        fmt::print("{}\n", line.dump());
    } else {
        fmt::print("{} {}\n", event, name);
    }
    if (std::fflush(stdout) != 0) throw Error(errno, "write to standard output");
}

void watch(int inotify, std::vector<Watched>& all, const Registry& registry) {
    const int folder = ::inotify_add_watch(inotify, registry.folder().c_str(),
                                           IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ONLYDIR);
    if (folder >= 0) {
        all.push_back({folder, registry, false});
        return;
    }
    const auto parent = registry.folder().parent_path();
    const int above = ::inotify_add_watch(inotify, parent.c_str(), IN_CREATE | IN_ONLYDIR);
    if (above < 0) throw Error(errno, "watch " + parent.string());
    all.push_back({above, registry, true});
}

void monitor(const Options& options) {
    const Fd inotify(::inotify_init1(IN_CLOEXEC));
    if (!inotify) throw Error(errno, "watch for names", "see sysctl fs.inotify.max_user_instances");
    std::vector<Watched> all;
    const Registry own = Registry::of_caller();
    own.prepare();
    watch(inotify.get(), all, own);
    const Registry system = Registry::of_system();
    if (system.folder() != own.folder()) watch(inotify.get(), all, system);

    alignas(struct inotify_event) std::array<char, 16384> buffer;
    for (;;) {
        const ssize_t length = ::read(inotify.get(), buffer.data(), buffer.size());
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) throw Error(errno, "read events");
        for (ssize_t at = 0; at < length;) {
            const auto* event = reinterpret_cast<const struct inotify_event*>(buffer.data() + at);
            at += static_cast<ssize_t>(sizeof *event + event->len);
            if ((event->mask & IN_Q_OVERFLOW) != 0)
                complain("monitor: more came than could be read; some names were not printed");
            const std::string name = event->len != 0 ? event->name : "";
            for (std::size_t i = 0; i < all.size(); ++i) {
                const Watched one = all[i];
                if (one.watch != event->wd) continue;
                if (one.parent) {
                    if (name == one.registry.folder().filename()) watch(inotify.get(), all, one.registry);
                } else if (is_name(name) || is_job_name(name)) {
                    print(options, (event->mask & IN_MOVED_TO) != 0 ? "created" : "deleted", one.registry,
                          name);
                }
            }
        }
    }
}

} // namespace

void add_monitor(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "monitor",
        "Print names as they come and go, a line each (created NAME, deleted NAME), until interrupted.");
    command->add_flag("-J,--json", options->json, "a JSON object a line: time, event, name, ns");
    command->callback([options] { monitor(*options); });
}

} // namespace ipcns::cli
