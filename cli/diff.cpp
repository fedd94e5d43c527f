// SPDX-License-Identifier: Apache-2.0
// ipcns diff: two processes beside each other, namespace by namespace, or what two namespaces hold. One table for both: a
// line is something that was compared.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/comparison.hpp>
#include <ipcns/text.hpp>

#include <fmt/format.h>

#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

namespace ipcns::cli {
namespace {

constexpr int status_different = 3;
constexpr int status_unknown = 1;

struct Options {
    Format format{{{"WHAT", "what", false, "a kind of namespace, /dev/shm, an object, a limit"},
                   {"KIND", "kind", false, "namespace, folder, limit, or that of the object"},
                   {"RESULT", "result", false, "same, different, only in A, only in B, not compared"},
                   {"FIELD", "field", false, "what about it"},
                   {"NUMBER", "number", true, "which semaphore or message, from 0"},
                   {"OFFSET", "offset", true, "where the first byte is that differs"},
                   {"A", "a", false, "what it is in A"},
                   {"B", "b", false, "what it is in B"},
                   {"IDA", "id_a", true, "the object's number in A (System V)"},
                   {"IDB", "id_b", true, "and in B"},
                   {"NOTE", "note", false, "what it separates; why it was not compared"}},
                  "WHAT,RESULT,FIELD,A,B"};
    std::string a, b;
    std::string kinds;
    bool objects = false;
    bool no_content = false;
};

// ---- Lines -------------------------------------------------------------------------------------------------------

// What is said in a column, to people and to programs.
struct Cell {
    std::string text; // printable
    Json value;
};

struct Line {
    Cell what, kind, result;
    Cell field = none();
    Cell number = none(), offset = none();
    Cell a = none(), b = none();
    Cell id_a = none(), id_b = none();
    Cell note = none();

    static Cell none() { return {"-", Json()}; }
    static Cell word(const std::string& text) { return {text, text}; }
    static Cell same_or_not(Same same) {
        switch (same) {
        case Same::yes: return word("same");
        case Same::no: return word("different");
        case Same::unknown: break;
        }
        return not_compared();
    }
    static Cell not_compared() { return {"not compared", "not_compared"}; }

    [[nodiscard]] std::vector<Cell> row() const {
        return {what, kind, result, field, number, offset, a, b, id_a, id_b, note};
    }
};

using Lines = std::vector<std::vector<Cell>>;

std::string plural(std::size_t count, const char* word) {
    return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

// "a", "a and b", "a, b and c".
std::string list(const std::vector<std::string>& words) {
    std::string text;
    for (std::size_t i = 0; i < words.size(); ++i)
        text += (i == 0 ? "" : i + 1 == words.size() ? " and " : ", ") + words[i];
    return text;
}

Rows rows_of(const Lines& lines, const Options& options) {
    Rows rows(options.format);
    for (const auto& line : lines)
        rows.add([&](Out& out, std::size_t column) { out.both(line[column].text, line[column].value); });
    return rows;
}

const char* word_of_answer(Same same) {
    return same == Same::yes ? "same" : same == Same::no ? "different" : "not_compared";
}

int status_of(Same same) {
    return same == Same::yes ? 0 : same == Same::no ? status_different : status_unknown;
}

Json in_json(Same same) { return same == Same::unknown ? Json() : Json(same == Same::yes); }

// ---- Processes ---------------------------------------------------------------------------------------------------

const char* meaning_of(std::string_view kind) {
    if (kind == "cgroup") return "the view of control groups";
    if (kind == "ipc") return "msg, sem, shm and mq";
    if (kind == "mnt") return "mounts";
    if (kind == "net") return "network, abstract sockets";
    if (kind == "pid") return "process ids";
    if (kind == "time") return "clocks since boot";
    if (kind == "user") return "users, rights over the others";
    if (kind == "uts") return "host name";
    return "";
}

Cell folder_cell(const std::optional<FileId>& file) {
    if (!file) return {"?", Json()};
    return Line::word(fmt::format("{}:{}:{}", major(file->device), minor(file->device), file->inode));
}

Lines lines_of(const ProcessComparison& found) {
    Lines lines;
    const auto inode = [](const std::optional<NamespaceId>& id) {
        return id ? Cell{std::to_string(id->inode), id->inode} : Cell{"?", Json()};
    };
    for (const auto& pair : found.namespaces) {
        Line line{Line::word(pair.kind), Line::word("namespace"), Line::same_or_not(pair.same())};
        line.a = inode(pair.a);
        line.b = inode(pair.b);
        line.note = Line::word(meaning_of(pair.kind));
        lines.push_back(line.row());
    }
    Line line{Line::word("/dev/shm"), Line::word("folder"), Line::same_or_not(found.same_shm())};
    line.a = folder_cell(found.shm_a);
    line.b = folder_cell(found.shm_b);
    line.note = Line::word("psem and pshm");
    lines.push_back(line.row());
    return lines;
}

std::vector<std::string> namespaces_that_are(const ProcessComparison& found, Same same) {
    std::vector<std::string> kinds;
    for (const auto& pair : found.namespaces) {
        if (pair.same() == same) kinds.emplace_back(pair.kind);
    }
    return kinds;
}

std::vector<std::string> kinds_that_are(const ProcessComparison& found, Same shared) {
    std::vector<std::string> kinds;
    for (const Kind kind : all_kinds) {
        if (found.share(kind) == shared) kinds.emplace_back(word_of(kind));
    }
    return kinds;
}

std::string namespaces_in_words(const ProcessComparison& found) {
    const auto different = namespaces_that_are(found, Same::no);
    const auto unknown = namespaces_that_are(found, Same::unknown);
    std::string text;
    if (!different.empty() && different.size() == 1 && unknown.empty())
        text = fmt::format("They differ in {} alone.", different[0] == "ipc" ? "IPC" : different[0]);
    else if (!different.empty())
        text = fmt::format("They differ in {}.", list(different));
    else if (unknown.empty())
        text = "They are in the same namespaces.";
    if (unknown.size() == found.namespaces.size())
        text = "Which of their namespaces are the same is not known.";
    else if (!unknown.empty())
        text += fmt::format("{}Not known: {}.", text.empty() ? "" : " ", list(unknown));
    return text;
}

std::string kinds_in_words(const ProcessComparison& found) {
    const auto shared = kinds_that_are(found, Same::yes);
    const auto apart = kinds_that_are(found, Same::no);
    const auto unknown = kinds_that_are(found, Same::unknown);
    if (shared.size() == all_kinds.size()) return "They share all six kinds of IPC objects.";
    if (apart.size() == all_kinds.size()) return "They share none of the six kinds of IPC objects.";
    std::string text;
    const auto add = [&](const std::string& sentence) { text += (text.empty() ? "" : "\n") + sentence; };
    if (!shared.empty())
        add(fmt::format("They share {}{}.", list(shared),
                        found.same_shm() == Same::yes ? ": one /dev/shm" : ": one IPC namespace"));
    if (!apart.empty())
        add(fmt::format(
            "They do not share {}: {}.", list(apart),
            found.same_shm() == Same::no ? "each has its own /dev/shm" : "each has its own IPC namespace"));
    if (!unknown.empty()) add(fmt::format("Whether they share {} is not known.", list(unknown)));
    return text;
}

// Which of the two could not be looked at.
void complain_of(const ProcessComparison& found) {
    std::fflush(stdout);
    const auto hidden = [&](bool is_a) {
        for (const auto& pair : found.namespaces) {
            if (!(is_a ? pair.a : pair.b)) return true;
        }
        return false;
    };
    for (const bool is_a : {true, false}) {
        if (hidden(is_a) && (is_a || found.a != found.b || !hidden(true)))
            complain(fmt::format("look at the namespaces of process {}: {}", is_a ? found.a : found.b,
                                 "it belongs to somebody else, or has more rights than you"),
                     ::geteuid() == 0 ? "" : "be that user, or root");
    }
}

int diff_processes(Options& options, const Target& a, const Target& b, bool words) {
    const ProcessComparison found = compare_processes(a, b);
    const Lines lines = lines_of(found);
    if (options.format.json()) {
        Json shared = Json::object();
        for (const Kind kind : all_kinds) shared[word_of(kind)] = in_json(found.share(kind));
        fmt::print("{}\n", Json{{"a", {{"target", json_text(a.text())}, {"pid", found.a}}},
                                {"b", {{"target", json_text(b.text())}, {"pid", found.b}}},
                                {"result", word_of_answer(found.same())},
                                {"not_compared", found.not_compared()},
                                {"shared", shared},
                                {"results", rows_of(lines, options).json()}}
                               .dump(4));
        return status_of(found.same());
    }
    if (options.format.is_usual()) options.format.choose("WHAT,A,B,RESULT,NOTE");
    rows_of(lines, options).print();
    if (words) fmt::print("\n{}\n{}\n", namespaces_in_words(found), kinds_in_words(found));
    complain_of(found);
    return status_of(found.same());
}

// ---- Namespaces --------------------------------------------------------------------------------------------------

Cell verdict_cell(ComparedObject::Verdict verdict) {
    switch (verdict) {
    case ComparedObject::Verdict::same: return Line::word("same");
    case ComparedObject::Verdict::different: return Line::word("different");
    case ComparedObject::Verdict::only_a: return {"only in A", "only_a"};
    case ComparedObject::Verdict::only_b: return {"only in B", "only_b"};
    case ComparedObject::Verdict::not_compared: break;
    }
    return Line::not_compared();
}

// What is said of an object that the other one has not.
std::string summary(const QueueRecord& queue) { return plural(queue.messages, "message"); }
std::string summary(const SemaphoreSetRecord& set) { return plural(set.count, "semaphore"); }
std::string summary(const SegmentRecord& segment) { return plural(segment.bytes, "byte"); }
std::string summary(const PosixQueueRecord& queue) {
    return queue.messages ? plural(*queue.messages, "message") : "?";
}
std::string summary(const NamedSemaphoreRecord& semaphore) {
    return semaphore.value ? fmt::format("value {}", *semaphore.value) : "?";
}
std::string summary(const SharedMemoryRecord& memory) { return plural(memory.bytes, "byte"); }

class Describer {
public:
    // The cells of one of the two.
    Cell value(Aspect aspect, std::uint64_t number) {
        switch (aspect) {
        case Aspect::owner:
        case Aspect::creator: return id(users_, number);
        case Aspect::group:
        case Aspect::creator_group: return id(groups_, number);
        case Aspect::mode: return Line::word(fmt::format("{:o}", number));
        case Aspect::locked:
        case Aspect::removed: return {number != 0 ? "yes" : "no", number != 0};
        case Aspect::content: return {fmt::format("0x{:02x}", number), number};
        default: return {std::to_string(number), number};
        }
    }

private:
    template <class Names>
    static Cell id(Names& names, std::uint64_t number) {
        const auto id = static_cast<std::uint32_t>(number);
        return {may_be_unmapped(id) ? "unmapped" : names(id), id};
    }

    UserNames users_;
    GroupNames groups_;
};

// "message 3 byte 17", "value 2", "creator group"; "message 3 type".
std::string field_in_words(const Difference& difference) {
    const auto number = [&] { return std::to_string(difference.number.value_or(0)); };
    switch (difference.aspect) {
    case Aspect::message_type: return "message " + number() + " type";
    case Aspect::message_bytes: return "message " + number() + " length";
    case Aspect::content:
        return (difference.number ? "message " + number() + " " : "") + "byte " +
               std::to_string(difference.offset.value_or(0));
    default: break;
    }
    std::string word = word_of(difference.aspect);
    for (char& letter : word) letter = letter == '_' ? ' ' : letter;
    return difference.number ? word + " " + number() : word;
}

Line line_of(const ComparedObject& object) {
    const ObjectName name = object.name();
    Line line{{escape(name.text()), json_text(name.text())},
              Line::word(word_of(object.kind)),
              verdict_cell(object.verdict())};
    const auto id_cell = [](const std::optional<AnyRecord>& record) {
        const std::optional<int> id = record ? name_of(*record).id : std::nullopt;
        return id ? Cell{std::to_string(*id), *id} : Line::none();
    };
    line.id_a = id_cell(object.a);
    line.id_b = id_cell(object.b);
    return line;
}

void add_lines(const ComparedObject& object, Describer& describer, Lines& lines) {
    if (!object.a || !object.b) {
        Line line = line_of(object);
        const auto text =
            std::visit([](const auto& record) { return summary(record); }, object.a ? *object.a : *object.b);
        (object.a ? line.a : line.b) = {text, Json()};
        lines.push_back(line.row());
        return;
    }
    const auto number_cell = [](const std::optional<std::uint64_t>& number) {
        return number ? Cell{std::to_string(*number), *number} : Line::none();
    };
    for (const auto& difference : object.differences) {
        Line line = line_of(object);
        line.result = Line::word("different");
        line.field = {field_in_words(difference), word_of(difference.aspect)};
        line.number = number_cell(difference.number);
        line.offset = number_cell(difference.offset);
        line.a = describer.value(difference.aspect, difference.a);
        line.b = describer.value(difference.aspect, difference.b);
        lines.push_back(line.row());
    }
    for (const auto& unclear : object.unclear) {
        Line line = line_of(object);
        line.result = Line::not_compared();
        line.field = {field_in_words({unclear.aspect, 0, 0, {}, {}}), word_of(unclear.aspect)};
        if (unclear.aspect == Aspect::content) line.field.text = "content";
        line.note = {unclear.why, unclear.why};
        lines.push_back(line.row());
    }
}

Lines lines_of(const Comparison& found) {
    Lines lines;
    Describer describer;
    for (const auto& object : found.objects) add_lines(object, describer, lines);
    for (const auto& kind : found.unclear_kinds) {
        Line line{Line::word(word_of(kind.kind)), Line::word(word_of(kind.kind)), Line::not_compared()};
        line.note = {kind.why, kind.why};
        lines.push_back(line.row());
    }
    for (const auto& limit : found.limits) {
        Line line{Line::word(limit.key->name), Line::word("limit"), Line::word("different")};
        const auto cell = [](const std::optional<std::uint64_t>& value) {
            return value ? Cell{std::to_string(*value), *value} : Line::none();
        };
        line.a = cell(limit.a);
        line.b = cell(limit.b);
        lines.push_back(line.row());
    }
    return lines;
}

struct Counts {
    std::size_t only_a = 0, only_b = 0, different = 0;
};

Counts count(const Comparison& found) {
    Counts counts;
    for (const auto& object : found.objects) {
        switch (object.verdict()) {
        case ComparedObject::Verdict::only_a: ++counts.only_a; break;
        case ComparedObject::Verdict::only_b: ++counts.only_b; break;
        case ComparedObject::Verdict::different: ++counts.different; break;
        default: break;
        }
    }
    return counts;
}

std::string in_words(const Comparison& found) {
    std::string text;
    if (found.same_ipc && found.same_shm == Same::yes) return "They are one and the same, with one /dev/shm.";
    if (found.same_ipc) text = "They are one IPC namespace. ";
    if (found.same_shm == Same::yes) text = "They have one /dev/shm. ";
    const Counts counts = count(found);
    const std::size_t compared = found.same_objects + found.objects.size();
    const std::size_t limits = found.same_limits + found.limits.size();
    if (found.same() == Same::yes)
        return text + fmt::format("No difference: {} and {}.", plural(found.same_objects, "object"),
                                  plural(limits, "limit"));
    std::vector<std::string> parts;
    if (counts.only_a != 0) parts.push_back(fmt::format("{} only in A", counts.only_a));
    if (counts.only_b != 0) parts.push_back(fmt::format("{} only in B", counts.only_b));
    if (counts.different != 0) parts.push_back(fmt::format("{} different", counts.different));
    if (parts.empty()) parts.emplace_back("no difference");
    text += fmt::format("Of {}: {}", plural(compared, "object"), list(parts));
    if (limits != 0)
        text += fmt::format("; of {}: {} different", plural(limits, "limit"), found.limits.size());
    if (const std::size_t left = found.not_compared(); left != 0)
        text += fmt::format("; {} not compared", plural(left, "thing"));
    return text + ".";
}

void complain_of(const Comparison& found) {
    std::fflush(stdout);
    for (const auto& object : found.objects) {
        for (const auto& unclear : object.unclear)
            complain(fmt::format("{} of {} not compared: {}", word_of(unclear.aspect),
                                 escape(object.name().text()), unclear.why));
    }
    for (const auto& kind : found.unclear_kinds)
        complain(fmt::format("{} not compared: {}", word_of(kind.kind), kind.why));
}

int diff_namespaces(const Options& options, const Target& a, const Target& b, bool words) {
    CompareOptions how;
    how.content = !options.no_content;
    if (!options.kinds.empty()) {
        how.kinds = parse_kinds(options.kinds);
        how.limits = false;
    }
    const Comparison found = compare(a, b, how);
    const Lines lines = lines_of(found);
    if (options.format.json()) {
        const auto names = names_by_id(visible_names());
        const auto side = [&](const Target& target, const NamespaceId& id) {
            const auto name = names.find(id);
            return Json{{"target", json_text(target.text())},
                        {"ns", id.inode},
                        {"name", name == names.end() ? Json() : Json(name->second)}};
        };
        const Counts counts = count(found);
        fmt::print("{}\n", Json{{"a", side(a, found.a)},
                                {"b", side(b, found.b)},
                                {"result", word_of_answer(found.same())},
                                {"not_compared", found.not_compared()},
                                {"same_ipc", found.same_ipc},
                                {"same_shm", in_json(found.same_shm)},
                                {"objects",
                                 {{"same", found.same_objects},
                                  {"different", counts.different},
                                  {"only_a", counts.only_a},
                                  {"only_b", counts.only_b}}},
                                {"limits", {{"same", found.same_limits}, {"different", found.limits.size()}}},
                                {"results", rows_of(lines, options).json()}}
                               .dump(4));
        return status_of(found.same());
    }
    if (!lines.empty() || !words) rows_of(lines, options).print();
    if (words) fmt::print("{}{}\n", lines.empty() ? "" : "\n", in_words(found));
    complain_of(found);
    return status_of(found.same());
}

// ---- The command -------------------------------------------------------------------------------------------------

void diff(Options& options, const App& command, int& status) {
    const Target a = Target::parse(options.a);
    const Target b = Target::parse(options.b);
    const bool by_objects = options.objects || options.no_content || !options.kinds.empty();
    // A script that asks for columns wants nothing else.
    const bool words = command.count("--output") == 0 && command.count("--noheadings") == 0;
    if (options.format.json() && command.count("--output") == 0)
        options.format.choose("WHAT,KIND,RESULT,FIELD,NUMBER,OFFSET,A,B,IDA,IDB,NOTE");
    if (!by_objects && a.is_process() && b.is_process())
        status = diff_processes(options, a, b, words);
    else
        status = diff_namespaces(options, a, b, words);
}

} // namespace

void add_diff(App& program, int& status) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "diff",
        "Compare two processes (A and B are process ids, oci:ID, self or host): which of their namespaces are the same. Else, or with\n"
        "--objects, compare two IPC namespaces: what they hold, and their limits. Exit status: 0 same, 3 different.");
    command->add_option("A", options->a, "a NAME, a process id, a /path, @INODE, oci:ID, self or host")
        ->required();
    command->add_option("B", options->b, "another one")->required();
    options->format.add_to(*command);
    command->add_flag("--objects", options->objects,
                      "of processes, too, compare what their IPC namespaces and /dev/shm hold");
    command
        ->add_option("--kind", options->kinds,
                     "only objects of these kinds: msg, sem, shm, mq, psem, pshm; no limits")
        ->type_name("KIND,...");
    command->add_flag("--no-content", options->no_content,
                      "do not read messages and the bytes of shared memory");
    command->callback([options, command, &status] { diff(*options, *command, status); });
}

} // namespace ipcns::cli
