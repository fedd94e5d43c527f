// SPDX-License-Identifier: Apache-2.0
// Runs a program in a namespace that is called NAME meanwhile, says what it has left there, and removes it.
#include <ipcns/launch.hpp>
#include <ipcns/registry.hpp>
#include <ipcns/removal.hpp>
#include <ipcns/text.hpp>

#include <cstdio>

int main(int argc, char** argv) {
    if (argc < 3) {
        std::fprintf(stderr, "Usage: orphans NAME PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    try {
        const auto registry = ipcns::Registry::of_caller();
        const ipcns::Fd lease = registry.create_leased(argv[1]); // if we are killed, the name goes
        const ipcns::Place place = ipcns::resolve(ipcns::Target::parse(argv[1]));

        ipcns::LaunchOptions options;
        options.arguments.assign(argv + 2, argv + argc);
        options.place = &place;
        const ipcns::ExitStatus ended = ipcns::launch(options).wait();

        ipcns::Selection selection;
        selection.orphans = true; // what nobody has, and whose maker and last user are gone
        std::vector<ipcns::AnyRecord> left;
        for (const ipcns::Chosen& found : ipcns::choose(place, selection).chosen) {
            std::printf("left: %s\n", ipcns::escape(ipcns::name_of(found.record).text()).c_str());
            left.push_back(found.record);
        }
        ipcns::remove_objects(place, left); // each is looked at again right before it goes
        registry.remove(argv[1]);
        return ended.shell_status();
    } catch (const ipcns::Error& error) {
        std::fprintf(stderr, "orphans: %s\n%s\n", error.what(), error.hint().c_str());
        return 1;
    }
}
