// SPDX-License-Identifier: Apache-2.0
#include "snapshots.hpp"

#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace ipcns::cli {
namespace {

// "2", "0.5", "1.5s", "200ms".
std::chrono::nanoseconds parse_pause(const std::string& text) {
    double number = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = std::from_chars(text.data(), end, number, std::chars_format::fixed);
    const std::string_view unit(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
    constexpr double most = 86400;
    double seconds = number;
    if (unit == "ms") seconds = number / 1000;
    if (unit == "us") seconds = number / 1e6;
    if (parsed.ec != std::errc() || !(seconds > 0) || seconds > most ||
        (!unit.empty() && unit != "s" && unit != "ms" && unit != "us"))
        throw UsageError(escape(text) + " is no time", "such as 2, 0.5 or 200ms: seconds, or with a unit");
    return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

template <class Id, class Parse>
void add_mapping(std::map<Id, Id>& ids, const std::string& text, Parse parse) {
    const auto colon = text.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == text.size())
        throw UsageError(escape(text) + " is no mapping", "OLD:NEW, such as 1000:postgres");
    const Id saved = parse(text.substr(0, colon));
    const Id wanted = parse(text.substr(colon + 1));
    if (!ids.emplace(saved, wanted).second)
        throw UsageError(escape(text.substr(0, colon)) + " is mapped twice");
}

} // namespace

void SaveWords::add_to(App& command) {
    command.add_flag("--live", live,
                     "let the processes inside go on meanwhile: objects are then of different moments");
    command.add_option("--max-pause", max_pause, "give up rather than hold them still longer: 2, 0.5, 200ms")
        ->type_name("TIME");
    command.add_flag("--drain", drain,
                     "read POSIX queues by receiving and sending back, where BPF is not to be had");
}

SaveOptions SaveWords::options() const {
    SaveOptions options;
    options.live = live;
    options.drain = drain;
    if (!max_pause.empty()) options.max_pause = parse_pause(max_pause);
    if (live && options.max_pause)
        throw UsageError("either --live or --max-pause: nobody pauses in a live save");
    if (live && drain) throw UsageError("either --live or --drain: draining takes everybody to stand still");
    return options;
}

void RestoreWords::add_to(App& command) {
    command.add_option("--map-uid", users, "what belonged to user OLD is to belong to NEW; may be repeated")
        ->type_name("OLD:NEW")
        ->repeatable();
    command.add_option("--map-gid", groups, "the same for a group")->type_name("OLD:NEW")->repeatable();
    command.add_option("--shm-size", shm_size, "size of the new /dev/shm, instead of the saved one's")
        ->type_name("SIZE");
    command.add_flag("--new-ids", new_ids, "let the kernel choose the ids of System V objects");
}

RestoreOptions RestoreWords::options() const {
    RestoreOptions options;
    for (const auto& text : users) add_mapping(options.users, text, parse_user);
    for (const auto& text : groups) add_mapping(options.groups, text, parse_group);
    if (!shm_size.empty()) options.shm_size = parse_size(shm_size);
    options.new_ids = new_ids;
    return options;
}

std::string objects_in_words(const Snapshot& snapshot) {
    std::string words;
    const auto add = [&](std::size_t count, const char* word) {
        if (count == 0) return;
        words += fmt::format("{}{} {}{}", words.empty() ? "" : ", ", count, word, count == 1 ? "" : "s");
    };
    add(snapshot.msg.size(), "queue");
    add(snapshot.sem.size(), "semaphore set");
    add(snapshot.shm.size(), "segment");
    add(snapshot.mq.size(), "POSIX queue");
    add(snapshot.psem.size(), "named semaphore");
    add(snapshot.pshm.size(), "shared memory object");
    return words.empty() ? "nothing" : words;
}

std::string contents_in_words(std::uint64_t bytes) {
    constexpr std::uint64_t small = 1024; // format_size() says the number alone
    return bytes < small ? fmt::format("{} byte{} of contents", bytes, bytes == 1 ? "" : "s")
                         : format_size(bytes) + " of contents";
}

std::string time_in_words(std::chrono::nanoseconds time) {
    const double seconds = std::chrono::duration<double>(time).count();
    return seconds < 0.1 ? fmt::format("{:.1f} ms", seconds * 1000) : fmt::format("{:.2f} s", seconds);
}

void print_notes(const std::vector<std::string>& notes, bool verbose) {
    const std::size_t few = verbose ? notes.size() : std::min<std::size_t>(notes.size(), 3);
    for (std::size_t i = 0; i < few; ++i) fmt::print(stderr, "ipcns: {}\n", notes[i]);
    if (few < notes.size()) fmt::print(stderr, "ipcns: and {} more: -v tells all\n", notes.size() - few);
}

std::string save_in_words(const SaveReport& report) {
    std::string words =
        fmt::format("{}, {}", objects_in_words(report.snapshot), contents_in_words(report.contents));
    if (!report.snapshot.live)
        words += report.held == 0 ? "; nobody was inside"
                                  : fmt::format("; held {} process{} still for {}", report.held,
                                                report.held == 1 ? "" : "es", time_in_words(report.pause));
    return words;
}

void print_not_restored() {
    fmt::print(
        stderr,
        "ipcns: not as they were, since no system call sets them: times, process ids (of creators, last senders and the "
        "like), creators, undo values of semaphores, registrations with queues\n");
}

} // namespace ipcns::cli
