// SPDX-License-Identifier: Apache-2.0
// ipcns identify: which namespace a process is in.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <unistd.h>

#include <charconv>
#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    Format format{{{"NS", "ns", true, "inode number of the namespace"},
                   {"NAME", "name", false, "its registered name; host for that of process 1"},
                   {"PID", "pid", true, "the process"}},
                  "NS,NAME"};
    std::string pid;
};

// In the order of the columns above.
enum class Field { ns, name, pid };

pid_t parse_pid(const std::string& text) {
    pid_t pid = 0;
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, pid);
    if (error != std::errc() || end != last || pid <= 0)
        throw UsageError(fmt::format("'{}' is not a process id", escape(text)),
                         is_name(text) ? "`ipcns pids " + text + "` lists the processes of a namespace" : "");
    return pid;
}

void identify(const Options& options) {
    const pid_t given = options.pid.empty() ? 0 : parse_pid(options.pid);
    const NamespaceId id = (given != 0 ? Namespace::from_pid(given) : Namespace::current()).id();
    const std::string name = registered_name(id);
    Rows rows(options.format);
    rows.add([&](Out& out, std::size_t column) {
        switch (static_cast<Field>(column)) {
        case Field::ns: out.number(id.inode); break;
        case Field::name: out.namespace_name(name, Namespace::host_id() == id); break;
        case Field::pid: out.number(given != 0 ? given : ::getpid()); break;
        }
    });
    if (options.format.json())
        fmt::print("{}\n", rows.json()[0].dump(4));
    else
        rows.print();
}

} // namespace

void add_identify(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "identify", "Say which namespace you (or process PID) are in, and its name if it has one.");
    command->add_option("PID", options->pid, "a process id");
    options->format.add_to(*command);
    command->callback([options] { identify(*options); });
}

} // namespace ipcns::cli
