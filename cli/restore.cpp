// SPDX-License-Identifier: Apache-2.0
// ipcns restore: a namespace out of a file.
#include "progress.hpp"
#include "snapshots.hpp"
#include "table.hpp"

#include <fmt/core.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>

namespace ipcns::cli {
namespace {

const std::vector<Column> columns = {
    {"OBJECT", "object", false, "KIND:ID or KIND:/NAME"},
    {"KEY", "key", false, "key (System V); 0x00000000 is none"},
    {"UID", "uid", true, "owner, as saved"},
    {"GID", "gid", true, "group, as saved"},
    {"MODE", "mode", true, "permissions, octal"},
    {"SIZE", "bytes", true, "bytes: of memory, or of a queue's messages"},
    {"CONTENT", "content", false, "the rest in a few words"},
};

struct Options {
    Format format{columns, "OBJECT,KEY,UID,MODE,SIZE,CONTENT"};
    std::string file;
    std::string name;
    std::string into;
    RestoreWords words;
    bool list = false;
    bool check = false;
    bool verbose = false;
    bool bytes = false;
};

class Contents {
public:
    explicit Contents(const Options& options) : rows_(options.format, options.bytes) {}

    template <class Record, class Who>
    void add(const Record& record, const Who& who, std::optional<Key> key, std::uint64_t bytes,
             const std::string& content) {
        rows_.add([&](Out& out, std::size_t column) {
            switch (column) {
            case 0: out.raw(name_of(record).text()); break;
            case 1:
                // As everywhere: a key that is none is null in JSON.
                key && !(out.json() && *key == Key::none) ? out.text(key_text(*key)) : out.none();
                break;
            case 2: out.number(who.owner); break;
            case 3: out.number(who.group); break;
            case 4: out.print(FMT_COMPILE("{:03o}"), who.mode); break;
            case 5: out.size(bytes); break;
            default: content.empty() ? out.none() : out.text(content);
            }
        });
    }

    void print(const Snapshot& snapshot, bool json) {
        if (!json) {
            rows_.print();
            return;
        }
        const Json all = {
            {"made_by", json_text(snapshot.made_by)},
            {"made", snapshot.made ? json_time(snapshot.made->time_since_epoch().count()) : Json()},
            {"kernel", json_text(snapshot.kernel)},
            {"namespace",
             {{"ns", snapshot.ns.inode},
              {"name", snapshot.name.empty() ? Json() : json_text(snapshot.name)}}},
            {"live", snapshot.live},
            {"objects", rows_.json()}};
        fmt::print("{}\n", all.dump(4));
    }

private:
    Rows rows_;
};

std::string counted(std::uint64_t count, const char* word) {
    return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

void list(const Snapshot& snapshot, const Options& options) {
    Contents rows(options);
    for (const auto& record : snapshot.msg)
        rows.add(record, record.who, record.key, record.bytes, counted(record.messages, "message"));
    for (const auto& [record, values] : snapshot.sem)
        rows.add(record, record.who, record.key, 0, counted(values.size(), "semaphore"));
    for (const auto& [record, huge_page] : snapshot.shm) {
        std::string words = record.removed ? "removed" : record.locked ? "locked" : "";
        if (huge_page != 0)
            words += fmt::format("{}huge pages of {}", words.empty() ? "" : ", ", format_size(huge_page));
        rows.add(record, record.who, record.key, record.bytes, words);
    }
    for (const auto& record : snapshot.mq)
        rows.add(record, record.who, {}, record.bytes.value_or(0),
                 counted(record.messages.value_or(0), "message"));
    for (const auto& record : snapshot.psem)
        rows.add(record, record.who, {}, 0, fmt::format("value {}", record.value.value_or(0)));
    for (const auto& record : snapshot.pshm) rows.add(record, record.who, {}, record.bytes, "");
    rows.print(snapshot, options.format.json());
}

// The name that it was saved under.
std::string saved_name(int input, const std::string& file) {
    const off_t start = ::lseek(input, 0, SEEK_CUR);
    if (start < 0)
        throw UsageError("what comes through a pipe can't be read twice: it needs a NAME",
                         "... | ipcns restore - NAME");
    std::string name = read_snapshot(input).name;
    if (name.empty())
        throw UsageError(escape(file) + " was saved without a name, and needs one",
                         "ipcns restore FILE NAME");
    if (::lseek(input, start, SEEK_SET) != start)
        throw Error(errno, "go back to the beginning of the snapshot");
    return name;
}

// Says early, and with what to do, what making the namespace would say.
void check_free(const std::string& name) {
    for (const auto& taken : Registry::of_caller().list()) {
        if (taken.name == name)
            throw Error(EEXIST, "restore " + name,
                        "`ipcns restore FILE NAME` gives it another name, --into " + name +
                            " adds it to the one there is");
    }
}

void restore(const Options& options) {
    const RestoreOptions words = options.words.options();
    if (options.list && options.check) throw UsageError("either --list or --check");
    if (!options.list &&
        (options.format.json() || !options.format.headings() || !options.format.is_usual() || options.bytes))
        throw UsageError("-o, -n, -b and --json are for --list");
    const bool looks = options.list || options.check;
    if (looks && !(options.name.empty() && options.into.empty()))
        throw UsageError(std::string(options.list ? "--list" : "--check") +
                         " makes nothing: it takes no name");
    if (!options.name.empty() && !options.into.empty())
        throw UsageError("either a NAME for a new namespace, or --into");
    if (!options.into.empty() && words.shm_size)
        throw UsageError("--shm-size is for a new namespace", "the one of --into has its /dev/shm already");
    if (options.file != "-" && !options.name.empty() && ::access(options.file.c_str(), F_OK) != 0 &&
        ::access(options.name.c_str(), F_OK) == 0)
        throw UsageError(
            fmt::format("'{}' is a file, and '{}' is none", escape(options.name), escape(options.file)),
            "FILE comes first, and then NAME");
    if (!options.name.empty()) check_name(options.name);
    std::optional<Place> into;
    if (!options.into.empty()) into = resolve(Target::parse(options.into));

    Fd opened;
    if (options.file != "-") {
        opened = Fd(::open(options.file.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC));
        if (!opened) throw Error(errno, "open " + escape(options.file));
    } else if (::isatty(STDIN_FILENO) == 1) {
        throw UsageError("a snapshot is not typed on a terminal",
                         "give a file, or a pipe: ... | ipcns restore - db");
    }
    const int input = opened ? opened.get() : STDIN_FILENO;
    if (options.list) {
        list(read_snapshot(input), options);
        return;
    }
    const std::string name = options.check || into ? ""
                             : options.name.empty()
                                 ? saved_name(input, opened ? options.file : "standard input")
                                 : options.name;
    if (!name.empty()) check_free(name);
    auto line = std::make_optional<ProgressLine>(options.check ? "checking" : "restoring");
    if (options.check) {
        const Snapshot snapshot = check_snapshot(input, line->function());
        line.reset();
        if (options.verbose)
            fmt::print(stderr, "ipcns: {} is whole: {}\n", opened ? escape(options.file) : "standard input",
                       objects_in_words(snapshot));
        return;
    }
    RestoreOptions how = words;
    how.progress = line->function();
    const RestoreReport report =
        into ? restore_into(input, *into, how) : ipcns::restore(input, Registry::of_caller(), name, how);
    line.reset();
    print_notes(report.notes, options.verbose);
    if (options.verbose) {
        fmt::print(stderr, "ipcns: restored {}, {}\n", objects_in_words(report.snapshot),
                   contents_in_words(report.contents));
        print_not_restored();
    }
}

} // namespace

void add_restore(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "restore",
        "Make a new namespace NAME with everything that `ipcns save` wrote to FILE: the same ids, keys, names, owners, modes,\n"
        "values, messages, memory and limits. All of it or, if anything fails, nothing.");
    command->add_option("FILE", options->file, "what save wrote; - is standard input")->required();
    command->add_option("NAME", options->name, "the new name; without it the one that it was saved under");
    command
        ->add_option("--into", options->into,
                     "add it to the namespace TARGET, if no key, id or name is taken there")
        ->type_name("TARGET");
    options->words.add_to(*command);
    command->add_flag("--list", options->list, "only show what is in it");
    command->add_flag("--check", options->check, "only read all of it, and compare every checksum");
    command->add_flag("-b,--bytes", options->bytes, "sizes in bytes, for --list");
    command->add_flag("-v,--verbose", options->verbose, "say what was made, and what could not be");
    options->format.add_to(*command);
    command->footer(command->get_footer() +
                    "\n\nExamples:\n  ipcns restore db.ipcns\n  ipcns restore --list db.ipcns\n"
                    "  ipcns restore db.ipcns db2 --map-uid 1000:postgres");
    command->callback([options] { restore(*options); });
}

} // namespace ipcns::cli
