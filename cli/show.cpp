// SPDX-License-Identifier: Apache-2.0
// ipcns show: the objects of a namespace, or of all of them. One table for the six kinds: a column means the same for each
// kind that has it. What a column says is worked out only when the column is shown.
#include "ipcs_shape.hpp"
#include "show.hpp"
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/inventory.hpp>
#include <ipcns/objects.hpp>
#include <ipcns/text.hpp>

#include <fmt/compile.h>
#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <memory>

namespace ipcns::cli {
namespace {

// In the order of the columns below.
enum class Field {
    ns,
    ns_name,
    object,
    kind,
    id,
    key,
    name,
    mode,
    owner,
    uid,
    group,
    gid,
    creator,
    cuid,
    creator_group,
    cgid,
    size,
    state,
    content,
    messages,
    limit,
    lspid,
    lrpid,
    sent,
    received,
    nsems,
    values,
    operated,
    rss,
    swap,
    nattch,
    cpid,
    lpid,
    attached,
    detached,
    flags,
    maxmsg,
    msgsize,
    notify,
    value,
    waiters,
    allocated,
    accessed,
    modified,
    changed,
    born,
    device,
    inode,
    holders,
};

const std::vector<Column> columns = {
    {"NS", "ns", true, "inode number of the namespace"},
    {"NSNAME", "ns_name", false, "its name; host for that of process 1"},
    {"OBJECT", "object", false, "KIND:ID or KIND:/NAME, as every command takes it"},
    {"KIND", "kind", false, "msg, sem, shm, mq, psem or pshm"},
    {"ID", "id", true, "number (System V)"},
    {"KEY", "key", false, "key (System V); 0x00000000 is none"},
    {"NAME", "name", false, "name (POSIX)"},
    {"MODE", "mode", true, "permissions, octal"},
    {"OWNER", "owner", false, "user name"},
    {"UID", "uid", true, "and number"},
    {"GROUP", "group", false, "group name"},
    {"GID", "gid", true, "and number"},
    {"CREATOR", "creator", false, "user who made it (System V)"},
    {"CUID", "creator_uid", true, "and number"},
    {"CGROUP", "creator_group", false, "group of who made it (System V)"},
    {"CGID", "creator_gid", true, "and number"},
    {"SIZE", "bytes", true, "bytes: of a segment or file; of the messages in a queue"},
    {"STATE", "state", false, "removed, full, waiting, in use, orphan; - is idle, ? not known"},
    {"CONTENT", "content", false, "the rest in a few words"},
    {"MESSAGES", "messages", true, "msg, mq: how many there are"},
    {"LIMIT", "limit", true, "msg: bytes that it takes"},
    {"LSPID", "last_sender", true, "msg: who sent last"},
    {"LRPID", "last_receiver", true, "msg: who received last"},
    {"SENT", "sent", false, "msg: when"},
    {"RECEIVED", "received", false, "msg: when"},
    {"NSEMS", "semaphores", true, "sem: how many"},
    {"VALUES", "values", false, "sem: of each, with last pid and waiters in JSON"},
    {"OPERATED", "operated", false, "sem: last semop"},
    {"RSS", "resident", true, "shm: bytes in memory"},
    {"SWAP", "swapped", true, "shm: bytes swapped out"},
    {"NATTCH", "attached", true, "shm: how often it is attached"},
    {"CPID", "creator_pid", true, "shm: who made it"},
    {"LPID", "last_pid", true, "shm: who attached or detached last"},
    {"ATTACHED", "attach_time", false, "shm: last time"},
    {"DETACHED", "detach_time", false, "shm: last time"},
    {"FLAGS", "flags", false, "shm: removed, locked, huge (the last with --holders)"},
    {"MAXMSG", "max_messages", true, "mq: how many messages it takes"},
    {"MSGSIZE", "message_size", true, "mq: bytes that a message may have"},
    {"NOTIFY", "notify", false, "mq: who is told of a message, and how"},
    {"VALUE", "value", true, "psem: its value"},
    {"WAITERS", "waiters", true, "psem: how many wait"},
    {"ALLOC", "allocated", true, "pshm: bytes that take memory"},
    {"ACCESSED", "accessed", false, "mq, psem, pshm: last access"},
    {"MODIFIED", "modified", false, "mq, psem, pshm: last change of content"},
    {"CHANGED", "changed", false, "last change of owner, mode or the like, or creation"},
    {"BORN", "born", false, "psem, pshm: creation"},
    {"DEVICE", "device", true, "mq, psem, pshm: of the file"},
    {"INODE", "inode", true, "mq, psem, pshm: of the file"},
    {"HOLDERS", "holders", true, "how many processes hold it or wait for it (--holders)"},
};

constexpr const char* usual = "OBJECT,KEY,OWNER,MODE,SIZE,STATE,CONTENT";

struct Options {
    Format format{columns, usual};
    std::vector<std::string> words;
    bool all = false;
    bool bytes = false;
    bool times = false;
    bool pids = false;
    bool creators = false;
    bool holders = false;
    bool summary = false;
    bool limits = false; // with ipcs only
    bool ipcs = false;
    bool quiet = false;
    bool everything = false; // about OBJECTs: all fields, with holders
};

Moment seconds_of(const std::optional<std::chrono::sys_time<std::chrono::nanoseconds>>& when) {
    if (!when) return {};
    return std::chrono::floor<std::chrono::seconds>(*when);
}

std::string plural(std::uint64_t count, const char* word) {
    return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

void count(Out& out, std::uint64_t number, const char* word) {
    out.print(FMT_COMPILE("{} {}{}"), number, word, number == 1 ? "" : "s");
}

std::string waiters_in_words(std::uint64_t count) {
    return count == 0 ? "" : fmt::format(", {} waiting", count);
}

// What is the same for all rows.
struct View {
    const Options& options;
    UserNames users;
    GroupNames groups;
    std::map<pid_t, std::string> commands;
    std::string ns_name;
    NamespaceId ns;
    NamespaceId host;
    std::string scratch;

    const std::string& command(pid_t pid) {
        const auto [found, is_new] = commands.try_emplace(pid);
        if (is_new) {
            if (const auto process = describe_process(pid)) found->second = process->command;
        }
        return found->second;
    }
};

void user(Out& out, UserNames& names, uid_t id) {
    if (may_be_unmapped(id))
        out.none("unmapped");
    else
        out.text(names(id));
}

void group(Out& out, GroupNames& names, gid_t id) {
    if (may_be_unmapped(id))
        out.none("unmapped");
    else
        out.text(names(id));
}

void pid(Out& out, pid_t number) {
    if (number == 0)
        out.none();
    else
        out.number(number);
}

template <class Item>
const Holders& holders_of(const Item& seen) {
    static const Holders nobody;
    return seen.holders != nullptr ? *seen.holders : nobody;
}

std::size_t holder_count(const Holders& holders) {
    std::vector<pid_t> pids;
    for (const auto& mapping : holders.mappings) pids.push_back(mapping.pid);
    for (const auto& descriptor : holders.descriptors) pids.push_back(descriptor.pid);
    for (const auto& waiter : holders.waiters) pids.push_back(waiter.pid);
    std::sort(pids.begin(), pids.end());
    return static_cast<std::size_t>(std::unique(pids.begin(), pids.end()) - pids.begin());
}

// ---- What the fields of each kind are ----------------------------------------------------------------------------

void own_field(Out& out, Field field, const Seen<QueueRecord>& seen) {
    const QueueRecord& queue = seen.record;
    switch (field) {
    case Field::size: out.size(queue.bytes); break;
    case Field::content: count(out, queue.messages, "message"); break;
    case Field::messages: out.number(queue.messages); break;
    case Field::limit: out.size(queue.limit); break;
    case Field::lspid: pid(out, queue.last_sender); break;
    case Field::lrpid: pid(out, queue.last_receiver); break;
    case Field::sent: out.moment(queue.sent); break;
    case Field::received: out.moment(queue.received); break;
    case Field::changed: out.moment(queue.changed); break;
    default: break;
    }
}

void own_field(Out& out, Field field, const SeenSet& seen) {
    const SemaphoreSetRecord& set = seen.record;
    switch (field) {
    case Field::content: {
        std::uint64_t waiting = 0;
        if (seen.semaphores) {
            for (const auto& semaphore : *seen.semaphores)
                waiting += semaphore.waiting_increase + semaphore.waiting_zero;
        }
        out.text(plural(set.count, "semaphore") + waiters_in_words(waiting));
        break;
    }
    case Field::nsems: out.number(set.count); break;
    case Field::values: {
        if (!seen.semaphores) {
            out.none("?");
            break;
        }
        if (!out.json()) {
            std::string text;
            for (const auto& semaphore : *seen.semaphores) text += fmt::format("{},", semaphore.value);
            if (!text.empty()) text.pop_back();
            out.text(text);
            break;
        }
        Json values = Json::array();
        for (const auto& semaphore : *seen.semaphores)
            values.push_back({{"value", semaphore.value},
                              {"last_pid", semaphore.last == 0 ? Json() : Json(semaphore.last)},
                              {"waiting_increase", semaphore.waiting_increase},
                              {"waiting_zero", semaphore.waiting_zero}});
        out.value(std::move(values));
        break;
    }
    case Field::operated: out.moment(set.operated); break;
    case Field::changed: out.moment(set.changed); break;
    default: break;
    }
}

void own_field(Out& out, Field field, const Seen<SegmentRecord>& seen) {
    const SegmentRecord& segment = seen.record;
    switch (field) {
    case Field::size: out.size(segment.bytes); break;
    case Field::content:
        out.print(FMT_COMPILE("{} attached{}"), segment.attached, segment.locked ? ", locked" : "");
        break;
    case Field::rss: out.size_or_none(segment.resident); break;
    case Field::swap: out.size_or_none(segment.swapped); break;
    case Field::nattch: out.number(segment.attached); break;
    case Field::cpid: pid(out, segment.creator_pid); break;
    case Field::lpid: pid(out, segment.last_pid); break;
    case Field::attached: out.moment(segment.attach_time); break;
    case Field::detached: out.moment(segment.detach_time); break;
    case Field::changed: out.moment(segment.changed); break;
    case Field::flags: {
        std::vector<std::string> flags;
        if (segment.removed) flags.emplace_back("removed");
        if (segment.locked) flags.emplace_back("locked");
        const auto& mappings = holders_of(seen).mappings;
        if (std::any_of(mappings.begin(), mappings.end(),
                        [](const Mapping& mapping) { return mapping.huge_page != 0; }))
            flags.emplace_back("huge");
        if (out.json())
            out.value(flags);
        else
            out.text(fmt::format("{}", fmt::join(flags, ",")));
        break;
    }
    default: break;
    }
}

void notification(Out& out, const PosixQueueRecord& queue) {
    if (!queue.notification) {
        out.none();
        return;
    }
    const auto& told = *queue.notification;
    using Kind = PosixQueueRecord::Notification::Kind;
    const char* how = told.kind == Kind::signal ? "signal" : told.kind == Kind::thread ? "thread" : "none";
    const Json who = told.pid == 0 ? Json() : Json(told.pid);
    if (out.json())
        out.value({{"kind", how},
                   {"signal", told.kind == Kind::signal ? Json(told.signal) : Json()},
                   {"pid", who}});
    else
        out.text(fmt::format("{} {}{}", told.pid == 0 ? "?" : std::to_string(told.pid), how,
                             told.kind == Kind::signal ? fmt::format(" {}", told.signal) : ""));
}

void own_field(Out& out, Field field, const Seen<PosixQueueRecord>& seen) {
    const PosixQueueRecord& queue = seen.record;
    switch (field) {
    case Field::size: out.size_or_none(queue.bytes); break;
    case Field::content:
        out.text(queue.readable() ? fmt::format("{} of {} messages", *queue.messages, *queue.max_messages)
                                  : "not yours to read");
        break;
    case Field::messages: out.number_or_none(queue.messages); break;
    case Field::maxmsg: out.number_or_none(queue.max_messages); break;
    case Field::msgsize: out.size_or_none(queue.message_size); break;
    case Field::notify: notification(out, queue); break;
    default: break;
    }
}

void own_field(Out& out, Field field, const Seen<NamedSemaphoreRecord>& seen) {
    const NamedSemaphoreRecord& semaphore = seen.record;
    switch (field) {
    case Field::content:
        out.text(semaphore.value ? fmt::format("value {}{}", *semaphore.value,
                                               waiters_in_words(semaphore.waiters.value_or(0)))
                                 : "not yours to read");
        break;
    case Field::value: out.number_or_none(semaphore.value); break;
    case Field::waiters: out.number_or_none(semaphore.waiters); break;
    case Field::born: out.moment(seconds_of(semaphore.born)); break;
    default: break;
    }
}

void own_field(Out& out, Field field, const Seen<SharedMemoryRecord>& seen) {
    const SharedMemoryRecord& memory = seen.record;
    switch (field) {
    case Field::size: out.size(memory.bytes); break;
    case Field::content: out.text(out.size_text(memory.allocated) + " allocated"); break;
    case Field::allocated: out.size(memory.allocated); break;
    case Field::born: out.moment(seconds_of(memory.born)); break;
    default: break;
    }
}

// The fields of all System V records, or of all POSIX ones.
template <class Record>
void family_field(Out& out, Field field, const Record& record, View& view) {
    if constexpr (requires { record.key; }) {
        switch (field) {
        case Field::id: out.number(static_cast<int>(record.id)); break;
        case Field::key:
            if (out.json() && record.key == Key::none)
                out.none();
            else
                out.print(FMT_COMPILE("0x{:08x}"), static_cast<std::uint32_t>(record.key));
            break;
        case Field::creator: user(out, view.users, record.who.creator); break;
        case Field::cuid: out.number(record.who.creator); break;
        case Field::creator_group: group(out, view.groups, record.who.creator_group); break;
        case Field::cgid: out.number(record.who.creator_group); break;
        default: break;
        }
    } else {
        switch (field) {
        case Field::name: out.raw(record.name); break;
        case Field::accessed: out.moment(record.accessed); break;
        case Field::modified: out.moment(record.modified); break;
        case Field::changed: out.moment(record.changed); break;
        case Field::device: out.number(record.file.device); break;
        case Field::inode: out.number(record.file.inode); break;
        default: break;
        }
    }
}

template <class Item>
void field_of(Out& out, Field field, const Item& seen, View& view) {
    const auto& record = seen.record;
    switch (field) {
    case Field::ns: out.number(view.ns.inode); break;
    case Field::ns_name: out.namespace_name(view.ns_name, view.ns == view.host); break;
    case Field::object:
        if constexpr (requires { record.key; }) {
            out.print(FMT_COMPILE("{}:{}"), word_of(name_of(record).kind), static_cast<int>(record.id));
        } else {
            out.raw(name_of(record).text());
        }
        break;
    case Field::kind: out.text(word_of(name_of(record).kind)); break;
    case Field::mode: out.print(FMT_COMPILE("{:o}"), record.who.mode); break;
    case Field::owner: user(out, view.users, record.who.owner); break;
    case Field::uid: out.number(record.who.owner); break;
    case Field::group: group(out, view.groups, record.who.group); break;
    case Field::gid: out.number(record.who.group); break;
    case Field::state: {
        if (!out.json())
            out.text(word_of(seen.state));
        else if (seen.state == State::unknown)
            out.none();
        else
            out.text(seen.state == State::idle     ? "idle"
                     : seen.state == State::in_use ? "in_use"
                                                   : word_of(seen.state));
        break;
    }
    case Field::holders:
        if (!out.json() || view.options.holders) out.number(holder_count(holders_of(seen)));
        break;
    default:
        family_field(out, field, record, view);
        if (out.empty()) own_field(out, field, seen);
    }
}

// ---- Holders -----------------------------------------------------------------------------------------------------

std::string process_in_words(pid_t number, View& view) {
    const std::string& command = view.command(number);
    return fmt::format("{} ({})", number, command.empty() ? "gone" : escape(command.substr(0, 60)));
}

const char* word_of(OpenDescriptor::Access access) {
    switch (access) {
    case OpenDescriptor::Access::read: return "read";
    case OpenDescriptor::Access::write: return "write";
    case OpenDescriptor::Access::both: return "read and write";
    case OpenDescriptor::Access::none: break;
    }
    return "nothing";
}

const char* word_of(Waiter::For what) {
    switch (what) {
    case Waiter::For::send: return "send";
    case Waiter::For::receive: return "receive";
    case Waiter::For::increase: return "increase";
    case Waiter::For::zero: return "zero";
    case Waiter::For::futex: break;
    }
    return "futex";
}

std::string operations_in_words(const Waiter& waiter) {
    std::vector<std::string> words;
    for (const auto& operation : waiter.operations)
        words.push_back(operation.change == 0
                            ? fmt::format("semaphore {} to be zero", operation.number)
                            : fmt::format("semaphore {} {:+}{}", operation.number, operation.change,
                                          operation.undo ? " (undo)" : ""));
    return fmt::format("{}", fmt::join(words, ", "));
}

std::string since_in_words(const Waiter& waiter) {
    if (!waiter.since) return "";
    const auto time = std::chrono::system_clock::now() - *waiter.since;
    const double seconds = std::chrono::duration<double>(time).count();
    return seconds < 100 ? fmt::format(", for {:.1f} s", seconds) : fmt::format(", for {:.0f} s", seconds);
}

std::string waiter_in_words(const Waiter& waiter, View& view) {
    std::string what;
    switch (waiter.what) {
    case Waiter::For::send: what = fmt::format("waits to send {}", plural(waiter.bytes, "byte")); break;
    case Waiter::For::receive:
        what = waiter.type == 0  ? "waits for a message"
               : waiter.type < 0 ? fmt::format("waits for a message of type {} or less", -waiter.type)
               : waiter.except   ? fmt::format("waits for a message of any type but {}", waiter.type)
                                 : fmt::format("waits for a message of type {}", waiter.type);
        break;
    case Waiter::For::increase:
    case Waiter::For::zero:
        what =
            waiter.operations.empty() ? "waits for semaphores" : "waits for " + operations_in_words(waiter);
        break;
    case Waiter::For::futex: what = fmt::format("waits at offset {}", waiter.offset); break;
    }
    const std::string thread = waiter.thread == waiter.pid ? "" : fmt::format(", thread {}", waiter.thread);
    return process_in_words(waiter.pid, view) + thread + " " + what + (waiter.timed ? ", for a time" : "") +
           since_in_words(waiter);
}

std::vector<std::string> holders_in_words(const Holders& holders, View& view) {
    std::vector<std::string> lines;
    const auto size = [&](std::uint64_t bytes) {
        return view.options.bytes ? std::to_string(bytes) : format_size(bytes);
    };
    for (const auto& mapping : holders.mappings)
        lines.push_back(
            fmt::format("{} maps {}{}{}", process_in_words(mapping.pid, view), size(mapping.bytes),
                        mapping.count > 1 ? fmt::format(", {} times", mapping.count) : "",
                        mapping.huge_page != 0 ? fmt::format(", pages of {}", size(mapping.huge_page)) : ""));
    for (const auto& descriptor : holders.descriptors)
        lines.push_back(fmt::format("{} has it open as {}, to {}", process_in_words(descriptor.pid, view),
                                    descriptor.fd, word_of(descriptor.access)));
    for (const auto& waiter : holders.waiters) lines.push_back(waiter_in_words(waiter, view));
    return lines;
}

Json holders_in_json(const Holders& holders, View& view) {
    Json mappings = Json::array();
    for (const auto& mapping : holders.mappings)
        mappings.push_back({{"pid", mapping.pid},
                            {"command", json_text(view.command(mapping.pid))},
                            {"bytes", mapping.bytes},
                            {"count", mapping.count},
                            {"huge_page", mapping.huge_page == 0 ? Json() : Json(mapping.huge_page)}});
    Json descriptors = Json::array();
    for (const auto& descriptor : holders.descriptors) {
        using Access = OpenDescriptor::Access;
        descriptors.push_back(
            {{"pid", descriptor.pid},
             {"command", json_text(view.command(descriptor.pid))},
             {"fd", descriptor.fd},
             {"read", descriptor.access == Access::read || descriptor.access == Access::both},
             {"write", descriptor.access == Access::write || descriptor.access == Access::both}});
    }
    Json waiters = Json::array();
    for (const auto& waiter : holders.waiters) {
        Json json = {{"pid", waiter.pid},
                     {"thread", waiter.thread},
                     {"command", json_text(view.command(waiter.pid))},
                     {"for", word_of(waiter.what)}};
        if (waiter.what == Waiter::For::receive) {
            json["type"] = waiter.type;
            json["except"] = waiter.except;
        }
        if (waiter.what == Waiter::For::send || waiter.what == Waiter::For::receive)
            json["bytes"] = waiter.bytes;
        if (waiter.what == Waiter::For::futex) json["offset"] = waiter.offset;
        if (!waiter.operations.empty()) {
            json["operations"] = Json::array();
            for (const auto& operation : waiter.operations)
                json["operations"].push_back({{"semaphore", operation.number},
                                              {"change", operation.change},
                                              {"undo", operation.undo}});
        }
        json["timed"] = waiter.timed;
        json["since"] =
            waiter.since ? json_time(std::chrono::system_clock::to_time_t(*waiter.since)) : Json();
        waiters.push_back(std::move(json));
    }
    return {{"mappings", mappings}, {"descriptors", descriptors}, {"waiters", waiters}};
}

// ---- Printing ----------------------------------------------------------------------------------------------------

// Calls act(items) for the list of each kind, in the order of the kinds.
template <class Act>
void each_kind(const Objects& objects, Act act) {
    act(Kind::msg, objects.msg);
    act(Kind::sem, objects.sem);
    act(Kind::shm, objects.shm);
    act(Kind::mq, objects.mq);
    act(Kind::psem, objects.psem);
    act(Kind::pshm, objects.pshm);
}

void add_rows(const Objects& objects, View& view, Table& table) {
    const auto chosen = view.options.format.chosen();
    each_kind(objects, [&](Kind /*kind*/, const auto& items) {
        for (const auto& seen : items) {
            for (const std::size_t i : chosen) {
                Out out(false, view.options.bytes, table.text());
                field_of(out, static_cast<Field>(i), seen, view);
                if (out.empty()) out.none();
                table.end_cell();
            }
            if (view.options.holders) table.below(holders_in_words(holders_of(seen), view), chosen.size());
        }
    });
}

Json namespace_in_json(const View& view) {
    return {{"ns", view.ns.inode}, {"name", view.ns_name.empty() ? Json() : Json(view.ns_name)}};
}

// Everything about one namespace; the kinds that were asked for, even when there are none.
Json objects_in_json(const Objects& objects, Kinds kinds, View& view) {
    Json json = {{"namespace", namespace_in_json(view)}};
    const auto chosen = view.options.format.chosen();
    each_kind(objects, [&](Kind kind, const auto& items) {
        if (!kinds.has(kind)) return;
        Json list = Json::array();
        for (const auto& seen : items) {
            Json object = Json::object();
            for (const std::size_t i : chosen) {
                if (static_cast<Field>(i) == Field::holders) continue;
                Out out(true, true, view.scratch);
                field_of(out, static_cast<Field>(i), seen, view);
                if (!out.empty()) object[columns[i].key] = out.take();
            }
            if (view.options.holders) object["holders"] = holders_in_json(holders_of(seen), view);
            list.push_back(std::move(object));
        }
        json[ipcns::word_of(kind)] = std::move(list);
    });
    if (kinds.has(Kind::pshm))
        json["others"] = {{"files", objects.others.files}, {"bytes", objects.others.bytes}};
    json["unseen"] = Json::array();
    for (const auto& unseen : objects.unseen)
        json["unseen"].push_back({{"kind", ipcns::word_of(unseen.kind)},
                                  {"count", unseen.count == 0 ? Json() : Json(unseen.count)},
                                  {"why", unseen.why}});
    json["unseen_processes"] = objects.unseen_processes;
    json["hidden_processes"] = objects.hidden_processes;
    return json;
}

void say_what_is_missing(const Objects& objects, const std::string& where) {
    std::fflush(stdout);
    for (const auto& unseen : objects.unseen)
        fmt::print(stderr, "ipcns: {}{} not seen: {}\n", where,
                   unseen.count == 0 ? ipcns::word_of(unseen.kind)
                                     : fmt::format("{} of {}", unseen.count, ipcns::word_of(unseen.kind)),
                   unseen.why);
    if (objects.others.files != 0)
        fmt::print(stderr, "ipcns: {}/dev/shm also has {} that {} no object, with {}\n", where,
                   plural(objects.others.files, "file"), objects.others.files == 1 ? "is" : "are",
                   format_size(objects.others.bytes));
}

void say_unseen_processes(std::size_t count, bool hidden) {
    if (count != 0)
        fmt::print(stderr, "ipcns: {} could not be looked at, and may hold or wait for something here{}\n",
                   count == 1 ? "1 process" : fmt::format("{} processes", count),
                   ::geteuid() == 0 ? "" : "; root sees those of all users");
    if (hidden)
        fmt::print(
            stderr,
            "ipcns: /proc leaves out processes of other users here (hidepid), which may hold or wait for "
            "something, too; root sees them\n");
}

// Every field of one object, a line each.
template <class Item>
void print_object(const Item& seen, View& view) {
    std::size_t widest = 0;
    for (const auto& column : columns) widest = std::max(widest, std::strlen(column.title));
    for (std::size_t i = 0; i < columns.size(); ++i) {
        const auto field = static_cast<Field>(i);
        if (field == Field::values) continue;
        view.scratch.clear();
        Out out(false, view.options.bytes, view.scratch);
        field_of(out, field, seen, view);
        // A text of no letters, too, is said.
        const bool flags = field == Field::flags && name_of(seen.record).kind == Kind::shm;
        if (!out.empty() || flags)
            fmt::print("{:<{}}  {}\n", columns[i].title, widest, view.scratch.empty() ? "-" : view.scratch);
    }
    if constexpr (requires { seen.semaphores; }) {
        if (seen.semaphores) {
            fmt::print("\n{:>9} {:>6} {:>8} {:>8} {:>8}\n", "SEMAPHORE", "VALUE", "LASTPID", "NCOUNT",
                       "ZCOUNT");
            for (std::size_t i = 0; i < seen.semaphores->size(); ++i) {
                const auto& semaphore = (*seen.semaphores)[i];
                fmt::print("{:>9} {:>6} {:>8} {:>8} {:>8}\n", i, semaphore.value,
                           semaphore.last == 0 ? "-" : std::to_string(semaphore.last),
                           semaphore.waiting_increase, semaphore.waiting_zero);
            }
        }
    }
    for (const auto& line : holders_in_words(holders_of(seen), view)) fmt::print("  {}\n", line);
}

// ---- The command -------------------------------------------------------------------------------------------------

// What the words ask for.
struct Wanted {
    Target target;
    Kinds kinds = Kinds::all();
    std::vector<ObjectName> objects;
};

// A word that is neither KIND nor OBJECT, where no TARGET may stand.
[[noreturn]] void refuse_word(const std::string& word, bool all) {
    // An id, a key or a name without its kind.
    const bool part = word[0] == '/' || (word[0] >= '0' && word[0] <= '9');
    if (part && !all) (void)ObjectName::parse(word);
    throw UsageError(escape(word) + " is no KIND and no OBJECT",
                     all ? "--all takes no TARGET"
                         : "one TARGET, then KINDs (msg sem shm mq psem pshm) or OBJECTs like shm:0");
}

Wanted understand(const Options& options) {
    Wanted wanted;
    Kinds named;
    bool first = true;
    for (const auto& word : options.words) {
        if (const auto kind = find_kind(word))
            named.add(*kind);
        else if (is_object_word(word))
            wanted.objects.push_back(ObjectName::parse(word));
        else if (first && !options.all)
            wanted.target = Target::parse(word);
        else
            refuse_word(word, options.all);
        first = false;
    }
    if (!wanted.objects.empty() && (options.all || options.summary || options.limits))
        throw UsageError("an OBJECT goes with none of --all, --summary and --limits");
    if (!wanted.objects.empty() && !named.empty()) throw UsageError("either kinds or objects, not both");
    for (const auto& object : wanted.objects) named.add(object.kind);
    if (!named.empty()) wanted.kinds = named;
    return wanted;
}

void choose_columns(Options& options, const App& command) {
    if (command.count("--output") != 0) {
        if (options.format.json() && options.format.shows("HOLDERS")) options.holders = true;
        return;
    }
    if (options.format.json()) {
        std::string all;
        for (const auto& column : columns) {
            const std::string_view title = column.title;
            if (title == "NS" || title == "NSNAME" || title == "CONTENT") continue;
            if (!options.holders && title == "HOLDERS") continue;
            all += std::string(all.empty() ? "" : ",") + column.title;
        }
        options.format.choose(all);
        return;
    }
    std::string titles;
    if (options.times) titles = "OBJECT,OWNER,SENT,RECEIVED,OPERATED,ATTACHED,DETACHED,MODIFIED,CHANGED";
    if (options.pids) titles = "OBJECT,OWNER,CPID,LPID,LSPID,LRPID,NOTIFY,STATE";
    if (options.creators) titles = "OBJECT,MODE,OWNER,GROUP,CREATOR,CGROUP";
    options.format.hide_empty(!titles.empty());
    if (titles.empty()) titles = usual;
    options.format.choose((options.all ? "NS,NSNAME," : "") + titles);
}

LookOptions look_for(const Options& options, const Wanted& wanted) {
    const Format& format = options.format;
    const bool one = options.everything && !format.json();
    LookOptions look;
    look.kinds = wanted.kinds;
    look.memory = one || format.shows("RSS") || format.shows("SWAP");
    look.semaphores = one || format.shows("VALUES") || (format.shows("CONTENT") && !options.all);
    look.states = one || format.shows("STATE");
    look.holders = options.holders || format.shows("HOLDERS");
    return look;
}

// Leaves only the objects that were asked for; those that are not there are reported.
bool keep_asked(Objects& objects, const std::vector<ObjectName>& asked) {
    std::vector<bool> found(asked.size(), false);
    const auto keep = [&](auto& items) {
        std::erase_if(items, [&](const auto& seen) {
            const ObjectName own = name_of(seen.record);
            bool keep_it = false;
            for (std::size_t i = 0; i < asked.size(); ++i) {
                bool same = asked[i] == own;
                if constexpr (requires { seen.record.key; })
                    same = same ||
                           (asked[i].kind == own.kind && asked[i].key && *asked[i].key == seen.record.key);
                if (same) found[i] = keep_it = true;
            }
            return !keep_it;
        });
    };
    keep(objects.msg);
    keep(objects.sem);
    keep(objects.shm);
    keep(objects.mq);
    keep(objects.psem);
    keep(objects.pshm);
    bool all = true;
    for (std::size_t i = 0; i < asked.size(); ++i) {
        if (found[i]) continue;
        all = false;
        const auto unseen =
            std::find_if(objects.unseen.begin(), objects.unseen.end(),
                         [&](const Unseen& one) { return one.kind == asked[i].kind && one.count == 0; });
        complain("show " + escape(asked[i].text()) +
                 (unseen == objects.unseen.end() ? ": there is no such object"
                                                 : ": it could not be looked at: " + unseen->why));
    }
    return all;
}

void show_all(Options& options, const Wanted& wanted) {
    const Everything everything = Everything::look(look_for(options, wanted));
    const auto names = names_by_id(visible_names());
    View view{options, {}, {}, {}, {}, {}, Namespace::host_id(), {}};
    Table table;
    Json namespaces = Json::array();
    std::size_t unseen = everything.unseen;
    bool hidden = false;
    for (const auto& objects : everything.namespaces) {
        view.ns = objects.ns;
        const auto name = names.find(objects.ns);
        view.ns_name = name != names.end() ? name->second : "";
        unseen = std::max(unseen, objects.unseen_processes);
        hidden = hidden || objects.hidden_processes;
        if (options.format.json())
            namespaces.push_back(objects_in_json(objects, wanted.kinds, view));
        else
            add_rows(objects, view, table);
    }
    if (options.format.json()) {
        fmt::print("{}\n", Json{{"namespaces", namespaces},
                                {"not_entered", everything.not_entered},
                                {"unseen_processes", unseen},
                                {"hidden_processes", hidden}}
                               .dump(4));
        return;
    }
    options.format.print(table);
    if (options.quiet) return;
    for (const auto& objects : everything.namespaces)
        say_what_is_missing(objects, fmt::format("namespace {}: ", objects.ns.inode));
    if (everything.not_entered != 0)
        fmt::print(stderr, "ipcns: {} could not be entered\n", plural(everything.not_entered, "namespace"));
    say_unseen_processes(unseen, hidden);
}

void show_one(Options& options, const Wanted& wanted, int& status) {
    const Place place = resolve(wanted.target);
    Objects objects = look(place, look_for(options, wanted));
    // Names are looked up only where they are shown.
    const bool by_object = !wanted.objects.empty();
    const bool named = options.format.json() || by_object || options.format.shows("NSNAME");
    View view{options, {}, {}, {}, named ? registered_name(objects.ns) : "", objects.ns, Namespace::host_id(),
              {}};
    if (by_object && !keep_asked(objects, wanted.objects)) status = 1;
    if (options.format.json()) {
        fmt::print("{}\n", objects_in_json(objects, wanted.kinds, view).dump(4));
    } else if (options.everything) {
        bool first = true;
        each_kind(objects, [&](Kind /*kind*/, const auto& items) {
            for (const auto& seen : items) {
                if (!first) fmt::print("\n");
                first = false;
                print_object(seen, view);
            }
        });
    } else {
        Table table;
        add_rows(objects, view, table);
        options.format.print(table);
    }
    if (options.format.json() || options.quiet) return;
    if (!by_object) say_what_is_missing(objects, "");
    // In a table without holders a ? says so.
    if (options.holders) say_unseen_processes(objects.unseen_processes, objects.hidden_processes);
}

// As ipcs has it: of its forms the last one that was asked for.
std::string last_form(const App& command) {
    std::string last;
    for (const auto& name : command.given()) {
        if (name == "--time" || name == "--pid" || name == "--creator" || name == "--summary" ||
            name == "--limits")
            last = name;
    }
    return last;
}

void show_like_ipcs(const Options& options, const App& command, const Wanted& wanted, int& status) {
    if (options.all || options.holders || options.format.json() || !options.format.is_usual() ||
        command.count("--noheadings") != 0)
        throw UsageError(
            "--ipcs prints what ipcs(1) prints: it goes with a TARGET, msg, sem and shm, OBJECTs of these, -t, "
            "-p, -c, -u, -l and -b");
    LookOptions look_at;
    look_at.kinds = {};
    for (const Kind kind : {Kind::msg, Kind::sem, Kind::shm}) {
        if (wanted.kinds.has(kind)) look_at.kinds.add(kind);
    }
    const auto is_posix = [](const ObjectName& object) { return !is_sysv(object.kind); };
    if (look_at.kinds.empty() || std::any_of(wanted.objects.begin(), wanted.objects.end(), is_posix))
        throw UsageError("ipcs(1) knows msg, sem and shm only");
    const Place place = resolve(wanted.target);
    const std::string form = last_form(command);
    const IpcsOptions how{.times = form == "--time",
                          .pids = form == "--pid",
                          .creators = form == "--creator",
                          .bytes = options.bytes,
                          .kinds = look_at.kinds};
    if (form == "--summary") {
        print_like_ipcs(place.ipc.call(read_ipcs_totals), how);
        return;
    }
    if (form == "--limits") {
        print_like_ipcs(place.ipc.call(read_ipcs_limits), how);
        return;
    }
    look_at.semaphores = !wanted.objects.empty();
    Objects objects = look(place, look_at);
    if (wanted.objects.empty()) {
        print_like_ipcs(objects, how);
        return;
    }
    if (!keep_asked(objects, wanted.objects)) status = 1;
    for (const auto& seen : objects.msg) print_like_ipcs(seen.record);
    for (const auto& seen : objects.shm) print_like_ipcs(seen.record);
    for (const auto& seen : objects.sem) {
        if (!seen.semaphores) throw Error(EACCES, "read the semaphores of " + name_of(seen.record).text());
        print_like_ipcs(seen.record, std::span<const SemaphoreState>(*seen.semaphores));
    }
}

void show(Options& options, const App& command, int& status) {
    const Wanted wanted = understand(options);
    if (options.ipcs) {
        show_like_ipcs(options, command, wanted, status);
        return;
    }
    if (options.limits) throw UsageError("--limits goes with --ipcs", "`ipcns limits` shows them all");
    const int presets = options.times + options.pids + options.creators;
    if (presets > 1 || (presets == 1 && command.count("--output") != 0))
        throw UsageError("only one of -t, -p, -c and -o chooses the columns");
    if (options.summary && (options.all || options.holders || presets != 0 || command.count("--output") != 0))
        throw UsageError(
            "--summary is of one namespace, has columns of its own, and goes with none of --all, "
            "--holders, -t, -p, -c and -o");
    options.everything = !wanted.objects.empty() && presets == 0 && command.count("--output") == 0;
    options.holders = options.holders || options.everything;
    choose_columns(options, command);
    if (options.summary)
        show_summary(resolve(wanted.target), wanted.kinds, options.format, options.bytes);
    else if (options.all)
        show_all(options, wanted);
    else
        show_one(options, wanted, status);
}

} // namespace

void add_show(App& program, int& status) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "show",
        "Show the objects of the namespace TARGET: System V queues, semaphore sets and segments, POSIX queues, named\n"
        "semaphores and shared memory. With an OBJECT, everything about it.");
    command
        ->add_option("WORD", options->words,
                     "TARGET: a NAME, a process id, a /path, @INODE, oci:ID, self (default) or host "
                     "KIND: msg, sem, shm, mq, psem or pshm "
                     "OBJECT: KIND:ID, KIND:0xKEY or KIND:/NAME")
        ->option_text("[TARGET] [KIND... | OBJECT...]");
    options->format.add_to(*command);
    command->add_flag("-a,--all", options->all, "every namespace of this host");
    command->add_flag("--holders", options->holders,
                      "who maps it, who has it open, who waits for it and for what");
    command->add_flag("-t,--time", options->times, "times");
    command->add_flag("-p,--pid", options->pids, "processes that made it and used it last");
    command->add_flag("-c,--creator", options->creators, "owners and creators");
    command->add_flag("-b,--bytes", options->bytes, "sizes in bytes");
    command->add_flag("-u,--summary", options->summary,
                      "how many of each kind, and how much of the limits that is");
    command->add_flag("-l,--limits", options->limits, "with --ipcs: the limits (see also: ipcns limits)");
    command->add_flag("--ipcs", options->ipcs, "just as ipcs(1) prints it, for scripts that read that");
    command->add_flag("-q,--quiet", options->quiet, "not a word about what could not be seen");
    command->callback([options, command, &status] { show(*options, *command, status); });
}

} // namespace ipcns::cli
