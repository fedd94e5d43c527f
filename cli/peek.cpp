// SPDX-License-Identifier: Apache-2.0
// ipcns peek: what is in one object. Messages and semaphores as a table, shared memory as a dump; or all of it in JSON, or
// its bytes as they are.
#include "dump.hpp"
#include "message.hpp"
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/contents.hpp>
#include <ipcns/messages.hpp>
#include <ipcns/removal.hpp>
#include <ipcns/text.hpp>

#include <fmt/format.h>

#include <unistd.h>

#include <charconv>
#include <memory>
#include <optional>
#include <span>

namespace ipcns::cli {
namespace {

// What there is to say of one message or semaphore; nothing: "-".
struct Row {
    std::optional<std::uint64_t> number;
    std::optional<long> type;
    std::optional<unsigned> priority;
    std::optional<std::span<const std::byte>> message;
    std::optional<int> value;
    std::optional<pid_t> pid;
    std::optional<unsigned> waiting_increase, waiting_zero, waiters;

    // In the order of the columns below.
    void say(Out& out, std::size_t column) const {
        enum { number_, type_, priority_, bytes_, text_, data_, value_, pid_, increase_, zero_, waiters_ };
        switch (column) {
        case number_: out.number_or_none(number); break;
        case type_: out.number_or_none(type); break;
        case priority_: out.number_or_none(priority); break;
        case bytes_: message ? out.number(message->size()) : out.none(); break;
        case text_:
            message ? out.raw(std::string(reinterpret_cast<const char*>(message->data()), message->size()))
                    : out.none();
            break;
        case data_: message ? out.text(base64(*message)) : out.none(); break;
        case value_: out.number_or_none(value); break;
        case pid_: out.number_or_none(pid); break;
        case increase_: out.number_or_none(waiting_increase); break;
        case zero_: out.number_or_none(waiting_zero); break;
        case waiters_: out.number_or_none(waiters); break;
        default: break;
        }
    }
};

struct Options {
    Format format{{{"NUMBER", "number", true, "which message or semaphore, from 0"},
                   {"TYPE", "type", true, "msg: the message's type"},
                   {"PRIORITY", "priority", true, "mq: the message's priority"},
                   {"BYTES", "bytes", true, "msg, mq: how long the message is"},
                   {"TEXT", "text", false, "msg, mq: its bytes, as text"},
                   {"DATA", "data", false, "msg, mq: its bytes, in base64"},
                   {"VALUE", "value", true, "sem, psem: the semaphore's value"},
                   {"PID", "last_pid", true, "sem: who changed or awaited it last"},
                   {"WAITINC", "waiting_increase", true, "sem: how many wait for it to grow"},
                   {"WAITZERO", "waiting_zero", true, "sem: how many wait for it to become zero"},
                   {"WAITERS", "waiters", true, "psem: how many wait for it"}},
                  "NUMBER"};
    std::string target;
    std::string object;
    std::optional<std::string> raw;
    std::optional<std::uint64_t> limit;
    std::string bytes;
    std::string offset;
    std::string length;
};

// ---- What the options say ----------------------------------------------------------------------------------------

std::optional<std::uint64_t> size_of(const std::string& text) {
    if (text.empty()) return {};
    return parse_size(text);
}

// Which message --raw is about.
std::uint64_t message_number(const Options& options) {
    const std::string& text = *options.raw;
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
        throw UsageError(text.empty() ? "of a queue --raw writes one message"
                                      : fmt::format("'{}' is no number of a message", escape(text)),
                         "--raw 0, behind the OBJECT, writes the first one");
    return number;
}

// Refuses options that say nothing about this kind of object.
void check(const Options& options, const App& command, Kind kind) {
    const bool queue = kind == Kind::msg || kind == Kind::mq;
    const bool memory = kind == Kind::shm || kind == Kind::pshm;
    const auto only = [&](bool fits, const char* option, const char* what) {
        if (!fits && command.count(option) != 0) throw UsageError(fmt::format("{} is for {}", option, what));
    };
    only(queue, "--limit", "queues");
    only(queue, "--bytes", "queues");
    only(queue || memory, "--raw", "queues and shared memory");
    only(memory, "--offset", "shared memory");
    only(memory, "--length", "shared memory");
    only(!memory, "--output", "queues and semaphores");
    if (memory && options.raw && !options.raw->empty())
        throw UsageError("of shared memory --raw writes all bytes, and takes no number",
                         "--offset and --length choose some of them");
    if (options.raw && (options.format.json() || command.count("--output") != 0))
        throw UsageError("--raw writes bytes, and no table or JSON");
}

// ---- JSON --------------------------------------------------------------------------------------------------------

// One object whose last part is written while it is found out.
class JsonStream {
public:
    JsonStream(const Place& place, const ObjectName& object, const Json& more, const char* list) {
        Json head = {{"namespace", {{"ns", place.ipc.id().inode}}}, {"object", json_text(object.text())}};
        head.update(more);
        std::string text = head.dump(4);
        text.resize(text.size() - 2); // the end of the line and the brace
        fmt::print("{},\n    \"{}\": [", text, list);
    }
    void add(const Json& item) {
        fmt::print("{}\n        {}", first_ ? "" : ",", item.dump());
        first_ = false;
    }
    void end(const std::string& more = {}) const { fmt::print("{}]{}\n}}\n", first_ ? "" : "\n    ", more); }

private:
    bool first_ = true;
};

Json object_of(const Format& format, const Row& row) {
    Json object = Json::object();
    for (const std::size_t i : format.chosen()) {
        std::string none;
        Out out(true, false, none);
        row.say(out, i);
        object[format.key(i)] = out.take();
    }
    return object;
}

// ---- Queues ------------------------------------------------------------------------------------------------------

class Messages {
public:
    Messages(const Options& options, const App& command, const Place& place, const ObjectName& object)
        : options_(options) {
        if (options.raw) {
            wanted_ = message_number(options);
        } else if (options.format.json()) {
            json_.emplace(place, object, Json::object(), "messages");
        } else {
            view_ = command.count("--output") == 0;
            if (const auto most = size_of(options.bytes)) most_ = *most;
        }
    }

    void add(Row row, std::span<const std::byte> bytes) {
        const std::uint64_t number = count_++;
        if (wanted_) {
            if (number == *wanted_) found_.emplace(bytes.begin(), bytes.end());
            return;
        }
        if (options_.limit && number >= *options_.limit) return;
        row.number = number;
        row.message = bytes;
        if (json_) {
            json_->add(object_of(options_.format, row));
            return;
        }
        const auto chosen = options_.format.chosen();
        for (const std::size_t i : chosen) {
            Out out(false, false, table_.text());
            row.say(out, i);
            table_.end_cell();
        }
        if (view_) table_.below(view(bytes), chosen.size());
    }

    void end(const QueueReading& reading) {
        if (wanted_) {
            if (!found_)
                throw Error(ENOMSG, fmt::format("write message {} of {}", *wanted_, count_),
                            count_ == 0 ? "there is none in the queue" : "the first one is message 0");
            write_bytes(*found_);
        } else if (json_) {
            json_->end(fmt::format(",\n    \"one_moment\": {}", reading.one_moment));
        } else {
            options_.format.print(table_);
        }
        std::fflush(stdout);
        if (!reading.one_moment)
            complain("the queue is used all the time: this is not what was in it at one moment");
    }

private:
    [[nodiscard]] std::vector<std::string> view(std::span<const std::byte> bytes) const {
        std::vector<std::string> lines;
        const bool cut = most_ != 0 && bytes.size() > most_;
        Dump dump([&](std::string_view line) { lines.emplace_back(line); });
        dump.add(0, cut ? bytes.first(most_) : bytes);
        if (cut)
            lines.push_back(fmt::format("and {} bytes more (--bytes 0 shows all)", bytes.size() - most_));
        return lines;
    }

    const Options& options_;
    std::optional<std::uint64_t> wanted_;
    std::optional<std::vector<std::byte>> found_;
    std::optional<JsonStream> json_;
    Table table_;
    bool view_ = false;
    std::uint64_t most_ = 256;
    std::uint64_t count_ = 0;
};

void peek(const QueueRecord& record, const Place& place, Messages& messages) {
    QueueReading reading;
    place.ipc.call([&] {
        reading = read_messages(record.id, [&](long type, std::span<const std::byte> bytes) {
            Row row;
            row.type = type;
            messages.add(row, bytes);
        });
    });
    messages.end(reading);
}

void peek(const PosixQueueRecord& record, const Place& place, Messages& messages) {
    const PosixQueue queue = place.ipc.call([&] {
        const QueueFolder folder = open_queues();
        if (!folder) throw Error(ENOTSUP, "look at POSIX queues", folder.why);
        return PosixQueue::open(folder.folder.get(), record.name, PosixQueue::Access::receive);
    });
    const MessageReader reader;
    const QueueReading reading =
        reader.read(queue.fd(), [&](unsigned priority, std::span<const std::byte> bytes) {
            Row row;
            row.priority = priority;
            messages.add(row, bytes);
        });
    messages.end(reading);
}

// ---- Semaphores --------------------------------------------------------------------------------------------------

void print(const Options& options, const Place& place, const ObjectName& object,
           const std::vector<Row>& rows) {
    if (!options.format.json()) {
        Rows table(options.format);
        for (const Row& row : rows) table.add([&](Out& out, std::size_t column) { row.say(out, column); });
        table.print();
        return;
    }
    JsonStream json(place, object, Json::object(), "semaphores");
    for (const Row& row : rows) json.add(object_of(options.format, row));
    json.end();
}

std::vector<Row> rows_of(const SemaphoreSetRecord& record, const Place& place) {
    std::vector<Row> rows;
    for (const auto& semaphore : place.ipc.call([&] { return read_semaphores(record); })) {
        Row row;
        row.number = rows.size();
        row.value = semaphore.value;
        if (semaphore.last != 0) row.pid = semaphore.last;
        row.waiting_increase = semaphore.waiting_increase;
        row.waiting_zero = semaphore.waiting_zero;
        rows.push_back(row);
    }
    return rows;
}

std::vector<Row> rows_of(const NamedSemaphoreRecord& record) {
    if (!record.value)
        throw Error(EACCES, fmt::format("read the named semaphore {}", escape(record.name)),
                    "that takes read permission for it");
    Row row;
    row.number = 0;
    row.value = static_cast<int>(*record.value);
    row.waiters = record.waiters;
    return {row};
}

// ---- Shared memory -----------------------------------------------------------------------------------------------

void peek_memory(const Options& options, const Place& place, const ObjectName& object, Contents& contents) {
    const std::uint64_t begin = std::min(size_of(options.offset).value_or(0), contents.size());
    const std::uint64_t length =
        std::min(size_of(options.length).value_or(contents.size()), contents.size() - begin);
    if (options.raw) {
        write_memory(contents, begin, length);
    } else if (options.format.json()) {
        JsonStream json(place, object, {{"bytes", contents.size()}, {"offset", begin}, {"length", length}},
                        "pieces");
        for_data(contents, begin, length, [&](std::uint64_t offset, std::span<const std::byte> bytes) {
            json.add({{"offset", offset}, {"bytes", bytes.size()}, {"data", base64(bytes)}});
        });
        json.end();
    } else {
        dump_memory(contents, begin, length);
    }
}

// ---- The command -------------------------------------------------------------------------------------------------

std::optional<AnyRecord> find(const Place& place, const ObjectName& object) {
    const auto found = find_objects(place, {&object, 1});
    if (found[0].error) throw Error(*found[0].error);
    return found[0].record;
}

void peek(Options& options, const App& command, int& status) {
    const Target target = parse_target(options.target);
    const ObjectName object = ObjectName::parse(options.object);
    check(options, command, object.kind);
    if (options.format.is_usual()) {
        const bool json = options.format.json();
        switch (object.kind) {
        case Kind::msg: options.format.choose(json ? "NUMBER,TYPE,BYTES,DATA" : "NUMBER,TYPE,BYTES"); break;
        case Kind::mq:
            options.format.choose(json ? "NUMBER,PRIORITY,BYTES,DATA" : "NUMBER,PRIORITY,BYTES");
            break;
        case Kind::sem: options.format.choose("NUMBER,VALUE,PID,WAITINC,WAITZERO"); break;
        case Kind::psem: options.format.choose("VALUE,WAITERS"); break;
        default: break;
        }
    }
    const Place place = resolve(target);
    const auto found = find(place, object);
    if (!found) {
        complain(fmt::format("peek at {}: there is no such object", escape(object.text())));
        status = 1;
        return;
    }
    const AnyRecord& record = *found;
    const ObjectName name = name_of(record);
    try {
        if (const auto* queue = std::get_if<QueueRecord>(&record)) {
            Messages messages(options, command, place, name);
            peek(*queue, place, messages);
        } else if (const auto* posix_queue = std::get_if<PosixQueueRecord>(&record)) {
            Messages messages(options, command, place, name);
            peek(*posix_queue, place, messages);
        } else if (const auto* set = std::get_if<SemaphoreSetRecord>(&record)) {
            print(options, place, name, rows_of(*set, place));
        } else if (const auto* semaphore = std::get_if<NamedSemaphoreRecord>(&record)) {
            print(options, place, name, rows_of(*semaphore));
        } else if (const auto* segment = std::get_if<SegmentRecord>(&record)) {
            peek_memory(options, place, name, *contents_of(place.ipc, *segment));
        } else if (const auto* memory = std::get_if<SharedMemoryRecord>(&record)) {
            const Fd folder = shared_folder(place);
            peek_memory(options, place, name, *contents_of(folder.get(), *memory));
        }
    } catch (const Unreadable& why) {
        throw Error(why.code().value(), fmt::format("read {}: {}", escape(name.text()), why.what()));
    }
}

} // namespace

void add_peek(App& program, int& status) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "peek",
        "Print what is in one object of the namespace TARGET, and take nothing: the messages of a queue in the order in which\n"
        "they would be received, the bytes of shared memory, the values of semaphores.");
    command
        ->add_option("TARGET", options->target, "a NAME, a process id, a /path, @INODE, oci:ID, self or host")
        ->required();
    command->add_option("OBJECT", options->object, "KIND:ID, KIND:0xKEY or KIND:/NAME, e.g. msg:0 mq:/jobs")
        ->required();
    command
        ->add_option("--raw", options->raw,
                     "write only bytes: those of message N (from 0), or of shared memory")
        ->type_name("N")
        ->or_alone("");
    command->add_option("--limit", options->limit, "only the first N messages")->type_name("N");
    command->add_option("--bytes", options->bytes, "so much of each message (256); 0: all")
        ->type_name("SIZE");
    command->add_option("--offset", options->offset, "shared memory from here on")->type_name("SIZE");
    command->add_option("--length", options->length, "so much of it")->type_name("SIZE");
    options->format.add_to(*command);
    command->callback([options, command, &status] { peek(*options, *command, status); });
}

} // namespace ipcns::cli
