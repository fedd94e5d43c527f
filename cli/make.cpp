// SPDX-License-Identifier: Apache-2.0
// ipcns make: a new object of any kind in any namespace.
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/making.hpp>
#include <ipcns/removal.hpp>
#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <memory>

namespace ipcns::cli {
namespace {

struct Options {
    std::string target;
    std::string kind;
    std::string name;
    std::string size, count, limit, mode, value, huge, owner;
    bool no_reserve = false;
    bool lock = false;
    bool allocate = false;
    bool exclusive = false;
    bool json = false;
    bool verbose = false;
};

std::uint64_t parse_number(std::string_view text, const char* what, int base = 10) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
        throw UsageError(fmt::format("'{}' is no {}", escape(text), what));
    return number;
}

std::vector<unsigned> parse_values(std::string_view text) {
    std::vector<unsigned> values;
    for (;;) {
        const std::string_view word = text.substr(0, text.find(','));
        const std::uint64_t value = parse_number(word, "value of a semaphore");
        constexpr std::uint64_t largest = 2147483647; // SEM_VALUE_MAX
        if (value > largest)
            throw UsageError(fmt::format("'{}' is no value of a semaphore: it is at most {}", word, largest));
        values.push_back(static_cast<unsigned>(value));
        if (word.size() == text.size()) return values;
        text.remove_prefix(word.size() + 1);
    }
}

[[noreturn]] void refuse_kind(const Options& options) {
    std::string hint = "a KIND is one of msg, sem, shm, mq, psem and pshm";
    if (is_object_word(options.kind)) {
        const auto colon = options.kind.find(':');
        hint = fmt::format("KIND and NAME or KEY are two words here: {} {}", options.kind.substr(0, colon),
                           escape(options.kind.substr(colon + 1)));
    } else if (find_kind(options.target)) {
        hint = fmt::format("TARGET comes first, and then KIND: {} {}", escape(options.kind), options.target);
    }
    throw UsageError(fmt::format("there is no kind '{}'", escape(options.kind)), hint);
}

bool is_size_with_unit(const std::string& text) {
    return text.size() > 1 && text.find_first_not_of("0123456789") == text.size() - 1 &&
           std::string_view("KMGT").find(text.back()) != std::string_view::npos;
}

// What makes an object of this kind findable.
void name_it(NewObject& object, const std::string& text) {
    if (text.empty()) return;
    if (is_sysv(object.kind)) {
        if (object.kind != Kind::sem && is_size_with_unit(text))
            throw UsageError(fmt::format("'{}' is a size, and no key", text),
                             fmt::format("{} {}", object.kind == Kind::msg ? "--limit" : "--size", text));
        object.key = parse_key(text);
        return;
    }
    if (text.front() != '/')
        throw UsageError(
            fmt::format("'{}' is no name of a POSIX object, which begins with a slash", escape(text)),
            fmt::format("{} /{}", word_of(object.kind), escape(text)));
    object.name = text;
}

NewObject wanted(const Options& options) {
    NewObject object;
    const auto kind = find_kind(options.kind);
    if (!kind) refuse_kind(options);
    object.kind = *kind;
    name_it(object, options.name);
    if (!options.mode.empty()) {
        const std::uint64_t mode = parse_number(options.mode, "mode: it is made of octal digits", 8);
        if (mode > 0777)
            throw UsageError(fmt::format("the mode {} has more than permission bits, which are 0 to 0777",
                                         escape(options.mode)));
        object.mode = static_cast<mode_t>(mode);
    }
    if (!options.size.empty()) object.size = parse_size(options.size);
    if (!options.count.empty()) object.count = parse_number(options.count, "count");
    if (!options.limit.empty()) object.limit = parse_size(options.limit);
    if (!options.value.empty()) object.values = parse_values(options.value);
    object.huge_pages = !options.huge.empty();
    if (object.huge_pages && options.huge != "default") object.huge_page_size = parse_size(options.huge);
    if (!options.owner.empty()) {
        const auto colon = options.owner.find(':');
        const std::string user = options.owner.substr(0, colon);
        if (!user.empty()) object.owner = parse_user(user);
        if (colon != std::string::npos) object.group = parse_group(options.owner.substr(colon + 1));
    }
    object.no_reserve = options.no_reserve;
    object.lock = options.lock;
    object.allocate = options.allocate;
    object.exclusive = options.exclusive;
    return object;
}

// Nobody has been told what it is called, and one without a key would never be found. True when it is gone.
bool take_back(const Place& place, const ObjectName& name) {
    try {
        const auto found = find_objects(place, {&name, 1});
        if (!found[0].record) return !found[0].error;
        return remove_objects(place, {&*found[0].record, 1})[0].outcome != Removal::Outcome::failed;
    } catch (const Error&) {
        return false;
    }
}

void make(const Options& options) {
    const NewObject object = wanted(options);
    const Target target = parse_target(options.target);
    const bool file = object.kind == Kind::psem || object.kind == Kind::pshm;
    const Place place = file ? resolve(target) : Place{resolve_namespace(target), {}, {}, {}, {}};
    // A reader that goes away is an error like others, and no signal.
    (void)std::signal(SIGPIPE, SIG_IGN);
    const MadeObject result = make_object(place, object);
    const ObjectName& name = result.object;
    if (options.json) {
        fmt::print("{}\n", Json{{"object", json_text(name.text())},
                                {"kind", word_of(name.kind)},
                                {"id", name.id ? Json(*name.id) : Json()},
                                {"key", object.key == Key::none ? Json() : Json(key_text(object.key))},
                                {"name", name.name.empty() ? Json() : json_text(name.name)},
                                {"made", result.made}}
                               .dump(4));
    } else {
        fmt::print("{}\n", escape(name.text()));
    }
    if (std::fflush(stdout) != 0) {
        const int number = errno;
        const bool left = result.made && !take_back(place, name);
        throw Error(number, "write to standard output",
                    left ? escape(name.text()) + " was made, and could not be removed again" : "");
    }
    if (!options.verbose) return;
    fmt::print(stderr, "ipcns: {} {}\n", escape(name.text()),
               result.made ? "made" : "was there already, and is not changed");
}

} // namespace

void add_make(App& program, int& /*status*/) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "make", "Make an object in the namespace TARGET, and print what it is called: msg:3, mq:/jobs.");
    command
        ->add_option("TARGET", options->target, "a NAME, a process id, a /path, @INODE, oci:ID, self or host")
        ->required();
    command->add_option("KIND", options->kind, "msg, sem, shm, mq, psem or pshm")->required();
    command
        ->add_option(
            "NAME", options->name,
            "mq, psem, pshm: its /NAME. msg, sem, shm: its key, 0x1234 or decimal; without, it has none")
        ->option_text("NAME|KEY");
    command->add_option("--size", options->size, "shm, pshm: bytes; mq: bytes of a message (K M G T)")
        ->type_name("SIZE");
    command->add_option("--count", options->count, "sem: semaphores (default: 1); mq: messages")
        ->type_name("N");
    command->add_option("--limit", options->limit, "msg: bytes that it takes before senders wait")
        ->type_name("SIZE");
    command->add_option("--mode", options->mode, "permissions (default: 600); no umask applies")
        ->type_name("OCTAL");
    command->add_option("--value", options->value, "sem: a value for each or one for all; psem: its value")
        ->type_name("V[,V...]");
    command->add_flag("--huge{default}", options->huge, "shm: of huge pages; --huge=SIZE: of this size");
    command->add_flag("--noreserve", options->no_reserve, "shm: reserve no swap space");
    command->add_flag("--lock", options->lock, "shm: never swap it out");
    command->add_flag("--allocate", options->allocate, "pshm: set its memory aside now");
    command
        ->add_option("--owner", options->owner,
                     "USER, USER:GROUP or :GROUP, by names or numbers (default: you)")
        ->type_name("OWNER");
    command->add_flag("--exclusive", options->exclusive, "fail when there is one; else it is used as it is");
    command->add_flag("-J,--json", options->json, "print JSON");
    command->add_flag("-v,--verbose", options->verbose, "say whether it is new");
    command->footer(
        "Examples:\n  ipcns make db shm --size 64M\n  ipcns make db sem 0x1234 --value 1,0,5\n"
        "  ipcns make db mq /jobs --count 100 --size 8K --mode 660 --owner :staff");
    command->callback([options] { make(*options); });
}

} // namespace ipcns::cli
