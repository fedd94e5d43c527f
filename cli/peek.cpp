// SPDX-License-Identifier: Apache-2.0
// ipcns peek: what is in one object.
#include "tool.hpp"

#include <ipcns/messages.hpp>

#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    std::string target;
    std::string object;
};

} // namespace

void add_peek(App& program, int& status) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "peek", "Print what is in one object of the namespace TARGET, and take nothing.");
    command->add_option("TARGET", options->target, "a NAME, a process id, a /path, @INODE, self or host")
        ->required();
    command->add_option("OBJECT", options->object, "KIND:ID, KIND:0xKEY or KIND:/NAME, e.g. msg:0 mq:/jobs")
        ->required();
    command->callback([options, &status] {
        const MessageReader reader;
        status = 0;
    });
}

} // namespace ipcns::cli
