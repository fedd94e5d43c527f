// SPDX-License-Identifier: Apache-2.0
// ipcns remove: objects one by one, or all that filters fit.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/removal.hpp>
#include <ipcns/text.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <set>

namespace ipcns::cli {
namespace {

using std::chrono::seconds;
using std::chrono::sys_seconds;

struct Options {
    Format format{{{"OBJECT", "object", false, "what it is called: KIND:ID or KIND:/NAME"},
                   {"KIND", "kind", false, "msg, sem, shm, mq, psem or pshm"},
                   {"KEY", "key", false, "of a System V object"},
                   {"OWNER", "owner", false, "whose it is"},
                   {"UID", "uid", true, "number of that user"},
                   {"MODE", "mode", false, "permissions"},
                   {"SIZE", "bytes", true, "bytes of shared memory, or of the messages in a queue"},
                   {"STATE", "state", false, "in use, waiting, full, orphan; - nobody has it; ? not known"},
                   {"IDLE", "last_used", true, "for how long nothing is known to have been done with it"}},
                  "OBJECT,OWNER,SIZE,STATE,IDLE,KEY"};
    std::string target;
    std::vector<std::string> objects;
    std::string kinds;
    std::string owner;
    std::string older_than;
    std::string key;
    bool orphans = false;
    bool all = false;
    bool force = false;
    bool yes = false;
    bool dry_run = false;
    bool verbose = false;
};

// ---- What is asked for -------------------------------------------------------------------------------------------

seconds parse_age(std::string_view text) {
    constexpr std::string_view units = "smhd";
    constexpr std::int64_t lengths[] = {1, 60, 3600, 86400};
    constexpr std::int64_t longest = 86400L * 365 * 1000;
    const auto unit = text.empty() ? std::string_view::npos : units.find(text.back());
    std::uint32_t number = 0;
    const char* const last = text.data() + text.size() - (text.empty() ? 0 : 1);
    const auto [end, error] = std::from_chars(text.data(), last, number);
    if (unit == std::string_view::npos || error != std::errc() || end != last ||
        number * lengths[unit] > longest)
        throw UsageError(fmt::format("'{}' is no age", escape(text)),
                         "an age is a number and one of s m h d: 90s, 30m, 1h, 2d");
    return seconds(number * lengths[unit]);
}

Selection selection_of(const Options& options) {
    Selection selection;
    if (!options.kinds.empty()) selection.kinds = parse_kinds(options.kinds);
    if (!options.owner.empty()) selection.owner = parse_user(options.owner);
    if (!options.older_than.empty()) selection.unused_for = parse_age(options.older_than);
    if (!options.key.empty()) {
        selection.key = parse_key(options.key);
        if (!selection.kinds.has(Kind::msg) && !selection.kinds.has(Kind::sem) &&
            !selection.kinds.has(Kind::shm))
            throw UsageError("only msg, sem and shm have keys");
    }
    selection.orphans = options.orphans;
    return selection;
}

// ---- What is said ------------------------------------------------------------------------------------------------

std::string shown(const ObjectName& name) { return escape(name.text()); }

class Report {
public:
    Report(bool verbose, bool filtered, int& status)
        : verbose_(verbose), filtered_(filtered), status_(status) {}

    void failed(const ObjectName& name, const std::string& why, const std::string& hint = {}) const {
        complain(fmt::format("remove {}: {}", shown(name), why), hint);
        status_ = 1;
    }
    void failed(const ObjectName& name, const Error& error) const {
        failed(name, error.code().message(), error.hint());
    }
    void not_there(const ObjectName& name) const {
        // What is gone by itself is as it was wanted.
        if (!filtered_)
            failed(name, "there is no such object");
        else
            note(name, "was gone already");
    }
    void changed(const ObjectName& name) const {
        failed(name, "it was changed or replaced since it was looked at, and is left alone");
    }
    void result(const ObjectName& name, const Removal& removal) const {
        using Outcome = Removal::Outcome;
        switch (removal.outcome) {
        case Outcome::removed: note(name, "removed"); break;
        case Outcome::lingers:
            note(name, fmt::format("removed; its memory stays until it is detached ({} now)",
                                   removal.attached == 1 ? "1 attachment"
                                                         : fmt::format("{} attachments", removal.attached)));
            break;
        case Outcome::gone: not_there(name); break;
        case Outcome::changed: changed(name); break;
        case Outcome::in_use:
            failed(name, "somebody has attached it since it was looked at, and it is left alone");
            break;
        case Outcome::failed: failed(name, *removal.error); break;
        }
    }

private:
    void note(const ObjectName& name, const std::string& what) const {
        if (verbose_) fmt::print(stderr, "ipcns: {} {}\n", shown(name), what);
    }

    bool verbose_;
    bool filtered_;
    int& status_;
};

std::optional<Key> key_of(const AnyRecord& record) {
    return std::visit(
        [](const auto& one) -> std::optional<Key> {
            if constexpr (requires { one.key; }) {
                return one.key;
            } else {
                return std::nullopt;
            }
        },
        record);
}

std::optional<std::uint64_t> bytes_of(const AnyRecord& record) {
    return std::visit(
        [](const auto& one) -> std::optional<std::uint64_t> {
            if constexpr (requires { one.bytes; }) {
                return one.bytes;
            } else {
                return std::nullopt;
            }
        },
        record);
}

// "3d", "12h", "5m", "7s".
std::string age_text(seconds age) {
    const std::int64_t count = std::max<std::int64_t>(0, age.count());
    if (count >= 172800) return fmt::format("{}d", count / 86400);
    if (count >= 7200) return fmt::format("{}h", count / 3600);
    if (count >= 120) return fmt::format("{}m", count / 60);
    return fmt::format("{}s", count);
}

// In the order of the columns above.
enum class Field { object, kind, key, owner, uid, mode, size, state, used };

Json state_in_json(State state) {
    switch (state) {
    case State::idle: return "idle";
    case State::in_use: return "in_use";
    case State::unknown: return {};
    default: return word_of(state);
    }
}

void field_of(Out& out, Field field, const Chosen& chosen, UserNames& users, sys_seconds now) {
    const ObjectName name = name_of(chosen.record);
    const auto [owner, mode] = std::visit(
        [](const auto& one) { return std::pair<uid_t, mode_t>(one.who.owner, one.who.mode); }, chosen.record);
    switch (field) {
    case Field::object: out.raw(name.text()); break;
    case Field::kind: out.text(word_of(name.kind)); break;
    case Field::key:
        if (const auto key = key_of(chosen.record); key && *key != Key::none)
            out.text(key_text(*key));
        else
            out.none();
        break;
    case Field::owner:
        if (may_be_unmapped(owner))
            out.none("unmapped");
        else
            out.text(users(owner));
        break;
    case Field::uid: out.number(owner); break;
    case Field::mode: out.text(fmt::format("{:o}", mode)); break;
    case Field::size: out.size_or_none(bytes_of(chosen.record)); break;
    case Field::state: out.both(word_of(chosen.state), state_in_json(chosen.state)); break;
    case Field::used:
        if (const Moment used = last_used(chosen.record))
            out.both(age_text(now - std::max(*used, sys_seconds{})),
                     json_time(used->time_since_epoch().count()));
        else
            out.none();
        break;
    }
}

void list(const Options& options, const Place& place, const std::vector<Chosen>& chosen) {
    UserNames users;
    const auto now = std::chrono::floor<seconds>(std::chrono::system_clock::now());
    Rows rows(options.format);
    for (const auto& one : chosen)
        rows.add([&](Out& out, std::size_t column) {
            field_of(out, static_cast<Field>(column), one, users, now);
        });
    if (options.format.json())
        fmt::print(
            "{}\n",
            Json{{"namespace", {{"ns", place.ipc.id().inode}}}, {"would_remove", rows.json()}}.dump(4));
    else if (!rows.empty())
        rows.print();
}

const char* plural(std::size_t count, const char* one, const char* many) { return count == 1 ? one : many; }

// What was left out, and why.
void tell_the_rest(const Options& options, const Choice& choice, int& status) {
    std::fflush(stdout);
    for (const auto& unseen : choice.unseen) {
        // Which values or sizes could not be read does not matter here, but which kinds could not be looked at.
        if (unseen.count != 0 && unseen.kind != Kind::pshm) continue;
        complain(unseen.count == 0
                     ? fmt::format("{} could not be looked at: {}", word_of(unseen.kind), unseen.why)
                     : fmt::format("{} {} could not be looked at: {}", unseen.count,
                                   plural(unseen.count, "file", "files"), unseen.why));
        if (unseen.count == 0 && !options.kinds.empty()) status = 1;
    }
    if (choice.unsure != 0)
        complain(fmt::format("{} {} left out: {} {} could not be looked at, and may have {}", choice.unsure,
                             plural(choice.unsure, "object is", "objects are"),
                             choice.unseen_processes == 0 ? "some" : std::to_string(choice.unseen_processes),
                             plural(choice.unseen_processes, "process", "processes"),
                             plural(choice.unsure, "it", "them")));
    if (choice.in_use != 0)
        complain(fmt::format("{} {} left out: somebody has {}", choice.in_use,
                             plural(choice.in_use, "object is", "objects are"),
                             plural(choice.in_use, "it", "them")));
}

// ---- Doing it ----------------------------------------------------------------------------------------------------

void remove_and_report(const Place& place, const std::vector<Chosen>& chosen, const RemovalOptions& how,
                       const Report& report) {
    std::vector<AnyRecord> records;
    records.reserve(chosen.size());
    for (const auto& one : chosen) records.push_back(one.record);
    const auto results = remove_objects(place, records, how);
    for (std::size_t i = 0; i < records.size(); ++i) report.result(name_of(records[i]), results[i]);
}

void remove_named(const Options& options, const Place& place, const std::vector<ObjectName>& names,
                  int& status) {
    const Report report(options.verbose, false, status);
    const auto found = find_objects(place, names);
    std::vector<Chosen> chosen;
    std::set<std::string> known;
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (found[i].error) {
            report.failed(names[i], *found[i].error);
        } else if (!found[i].record) {
            report.not_there(names[i]);
        } else {
            // By its id and by its key, or twice.
            if (!known.insert(name_of(*found[i].record).text()).second) continue;
            chosen.push_back({*found[i].record, State::unknown});
        }
    }
    if (options.dry_run)
        list(options, place, chosen);
    else
        remove_and_report(place, chosen, {}, report);
}

// A person takes long to answer: what does not fit any more by then stays. The records stay those that the person saw.
std::vector<Chosen> still_fitting(const Place& place, const Selection& selection, std::vector<Chosen> chosen,
                                  const Report& report) {
    std::set<std::string> now;
    for (const auto& one : choose(place, selection).chosen) now.insert(name_of(one.record).text());
    std::vector<Chosen> fitting;
    std::vector<ObjectName> others;
    for (auto& one : chosen) {
        const ObjectName name = name_of(one.record);
        if (now.contains(name.text()))
            fitting.push_back(std::move(one));
        else
            others.push_back(name);
    }
    const auto found = find_objects(place, others);
    for (std::size_t i = 0; i < others.size(); ++i) {
        if (!found[i].record && !found[i].error)
            report.not_there(others[i]);
        else
            report.failed(others[i], "it does not fit any more, and is left alone");
    }
    return fitting;
}

bool is_terminal() { return ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0; }

void remove_fitting(const Options& options, const Place& place, const Selection& selection, int& status) {
    const Report report(options.verbose, true, status);
    const bool ask = !options.dry_run && !options.yes;
    Choice choice = choose(place, selection, (options.dry_run && options.format.shows("STATE")) || ask);
    if (options.dry_run || (ask && is_terminal() && !choice.chosen.empty()))
        list(options, place, choice.chosen);
    tell_the_rest(options, choice, status);
    const std::size_t count = choice.chosen.size();
    if (count == 0) complain("nothing there fits, so there is nothing to remove");
    if (count == 0 || options.dry_run) return;
    std::vector<Chosen> chosen = std::move(choice.chosen);
    if (ask) {
        if (!is_terminal()) {
            complain_that_nobody_answers();
            status = 1;
            return;
        }
        const std::string question =
            fmt::format("Remove {}?", count == 1 ? "it" : fmt::format("these {}", count));
        if (!may_remove(question)) {
            status = 1;
            return;
        }
        chosen = still_fitting(place, selection, std::move(chosen), report);
    }
    RemovalOptions how;
    how.spare_attached = selection.orphans || selection.unused_for;
    remove_and_report(place, chosen, how, report);
}

void remove_objects_of(const Options& options, const App& command, int& status) {
    const Target target = parse_target(options.target);
    std::vector<ObjectName> names;
    for (const auto& object : options.objects) {
        if (find_kind(object))
            throw UsageError(fmt::format("'{}' is a KIND, and no OBJECT", object),
                             fmt::format("`--kind {}` finds all of that kind", object));
        names.push_back(ObjectName::parse(object));
    }
    bool filters = options.all || options.orphans;
    for (const char* filter : {"--kind", "--owner", "--older-than", "--key"})
        filters = filters || command.count(filter) != 0;
    if (filters && !names.empty())
        throw UsageError("either OBJECTs or filters, not both",
                         "an OBJECT that is named is removed whatever it is");
    if (!filters && names.empty())
        throw UsageError("give the OBJECTs to remove, or filters that find them",
                         "all of them are found by --all");
    if (!options.dry_run &&
        command.count("--output") + command.count("--noheadings") + command.count("--json") != 0)
        throw UsageError("removing prints no table", "--dry-run does, and -v says what was removed");
    const Selection selection = selection_of(options);
    const Place place = resolve(target);
    if (!names.empty()) {
        remove_named(options, place, names, status);
        return;
    }
    if (options.all && !options.force && !options.dry_run && is_of_host(place, selection.kinds))
        throw UsageError("this would take all that is the host's, which every program on it uses",
                         "--force does it all the same; --dry-run shows what would go");
    remove_fitting(options, place, selection, status);
}

} // namespace

void add_remove(App& program, int& status) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "remove",
        "Remove objects from the namespace TARGET: each OBJECT that is named, or all that every filter fits.");
    command
        ->add_option("TARGET", options->target, "a NAME, a process id, a /path, @INODE, oci:ID, self or host")
        ->required();
    command->add_option("OBJECT", options->objects, "KIND:ID, KIND:0xKEY or KIND:/NAME, e.g. msg:0 mq:/jobs");
    command->add_option("--kind", options->kinds, "only of these kinds: msg, sem, shm, mq, psem, pshm")
        ->type_name("KIND,...");
    command->add_option("--owner", options->owner, "only of this user, a name or number")->type_name("USER");
    command
        ->add_option("--older-than", options->older_than,
                     "only what nobody has, and was made, changed and used so long ago: 90s 30m 1h 2d")
        ->type_name("AGE");
    command->add_flag("--orphans", options->orphans,
                      "only what nobody has, and whose creator and last user are gone");
    command->add_option("--key", options->key, "only with this key, 0x1234 or decimal; 0: without one")
        ->type_name("KEY");
    command->add_flag("--all", options->all, "everything, or everything that the other filters fit");
    command->add_flag("--force", options->force, "with --all: also in the host's namespace");
    command->add_flag("-y,--yes", options->yes, "do not ask; needed where there is no terminal to ask on");
    command->add_flag("--dry-run", options->dry_run, "only print what would go");
    command->add_flag("-v,--verbose", options->verbose, "say of each that it was removed");
    options->format.add_to(*command);
    command->callback([options, command, &status] { remove_objects_of(*options, *command, status); });
}

} // namespace ipcns::cli
