// SPDX-License-Identifier: Apache-2.0
// ipcns verify: what gets through between two namespaces.
#include "junit.hpp"
#include "run_options.hpp"
#include "table.hpp"
#include "tool.hpp"

#include <ipcns/text.hpp>
#include <ipcns/verify.hpp>

#include <fmt/format.h>

#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

namespace ipcns::cli {
namespace {

struct Options {
    Format format{{{"CHANNEL", "channel", false, "name of the channel"},
                   {"VERDICT", "verdict", false, "isolated, open, not available or error"},
                   {"DECIDES", "decided_by", false, "the namespace or mount that decides"},
                   {"CLOSES", "closed_by", false, "the least of run that closes it"},
                   {"WHY", "why", false, "how it got through, or what it was refused with"},
                   {"FORTH", "forth", false, "verdict from the first side to the second"},
                   {"BACK", "back", false, "verdict from the second side to the first"},
                   {"EXPECTED", "expected", false, "whether it must be isolated"},
                   {"MEANING", "meaning", false, "what the channel is"}},
                  "CHANNEL,VERDICT,DECIDES,CLOSES,WHY"};
    std::string first, second;
    std::optional<std::string> run_options;
    std::string only, expect, junit;
    bool limits = false;
};

// Words as a shell would part them: blanks between, quotes around, backslashes before.
std::vector<std::string> split_words(const std::string& text) {
    std::vector<std::string> words;
    std::optional<std::string> word;
    char quote = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
            if (word) words.push_back(std::move(*word));
            word.reset();
            continue;
        }
        if (!word) word.emplace();
        if (quote != 0 && c == quote) {
            quote = 0;
        } else if (quote == 0 && (c == '\'' || c == '"')) {
            quote = c;
        } else if (c == '\\' && quote != '\'' && i + 1 < text.size()) {
            *word += text[++i];
        } else {
            *word += c;
        }
    }
    if (quote != 0) throw UsageError(fmt::format("a {} is missing at the end of --run-options", quote));
    if (word) words.push_back(std::move(*word));
    return words;
}

// What `run` makes of these options: read by the same parser.
LaunchOptions read_run_options(const std::string& text) {
    std::vector<std::string> words = split_words(text);
    words.insert(words.begin(), "run");
    std::vector<char*> pointers;
    pointers.reserve(words.size() + 1);
    for (std::string& word : words) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    const RunOptions options = parse_run_options(static_cast<int>(words.size()), pointers.data());
    if (options.help || options.has_program || !options.name.empty() || options.replace || options.wait ||
        options.verbose)
        throw UsageError(
            "--run-options takes the options of run that make a namespace: no program, and none of "
            "--name, --exec, --wait, --verbose and --help");
    return options.launch;
}

// The signals that ask for an end, as something to be read. Those that are ignored stay so.
class Interruption {
public:
    Interruption() {
        ::sigemptyset(&signals_);
        for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
            struct sigaction action {};
            ::sigaction(number, nullptr, &action);
            if (action.sa_handler != SIG_IGN) ::sigaddset(&signals_, number);
        }
        ::sigprocmask(SIG_BLOCK, &signals_, nullptr);
        fd_.reset(::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
    }
    [[nodiscard]] int fd() const { return fd_.get(); }

    /// Ends the program by the signal that came, if one did.
    void obey() const {
        struct signalfd_siginfo info {};
        if (::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return;
        ::signal(static_cast<int>(info.ssi_signo), SIG_DFL);
        ::raise(static_cast<int>(info.ssi_signo));
        ::sigprocmask(SIG_UNBLOCK, &signals_, nullptr);
    }

private:
    sigset_t signals_{};
    Fd fd_;
};

std::string join(const std::vector<std::string>& words) { return fmt::format("{}", fmt::join(words, ", ")); }

std::string count_of(std::size_t count, const char* one, const char* many) {
    return fmt::format("{} {}", count, count == 1 ? one : many);
}

// What the IPC namespace promises, and what became of it.
std::string say_promises(const VerifyReport& report) {
    if (report.same_ipc)
        return "Both sides are in the same IPC namespace, which promises nothing between them";
    std::size_t held = 0;
    std::vector<std::string> broken;
    std::vector<std::string> unknown;
    std::vector<std::string> beside;
    for (const ChannelResult& result : report.channels) {
        if (!result.channel->is_promised) continue;
        switch (result.verdict) {
        case Verdict::isolated: ++held; break;
        // By another door than the namespace's.
        case Verdict::open:
            (result.decided_by == "ipc namespace" ? broken : beside).emplace_back(result.channel->name);
            break;
        default: unknown.emplace_back(result.channel->name);
        }
    }
    std::string text = "An IPC namespace promises System V objects, POSIX queues and limits of its own";
    const std::size_t all = held + broken.size() + unknown.size() + beside.size();
    if (all == 0) return text + ", none of which was tried";
    if (held == all)
        return text + fmt::format(", and {} held",
                                  all == 1 ? "the one promise that was tried"
                                           : fmt::format("each of the {} promises that were tried", all));
    text += fmt::format(": {} held", count_of(held, "promise", "promises"));
    if (!broken.empty()) text += fmt::format(", not so {}", join(broken));
    if (!beside.empty()) text += fmt::format(", {} got through by the mount at /dev/mqueue", join(beside));
    if (!unknown.empty()) text += fmt::format(", nothing is known of {}", join(unknown));
    return text;
}

// What is open besides, by what closes it.
std::string say_open(const VerifyReport& report) {
    std::vector<std::pair<std::string, std::vector<std::string>>> groups;
    for (const ChannelResult& result : report.channels) {
        if (result.verdict != Verdict::open) continue;
        const Channel& channel = *result.channel;
        const std::string closed =
            channel.closed_by != nullptr                 ? fmt::format("closed by `{}`", channel.closed_by)
            : std::string_view(channel.name) == "rights" ? "meant to pass"
                                                         : "which no option of run closes";
        auto group = std::find_if(groups.begin(), groups.end(),
                                  [&](const auto& known) { return known.first == closed; });
        if (group == groups.end()) group = groups.insert(groups.end(), {closed, {}});
        group->second.emplace_back(channel.name);
    }
    std::vector<std::string> parts;
    parts.reserve(groups.size());
    for (const auto& [closed, names] : groups) parts.push_back(fmt::format("{} ({})", join(names), closed));
    if (parts.empty()) return "nothing that was tried is open";
    return fmt::format("open{}: {}", report.same_ipc ? "" : " besides", fmt::join(parts, "; "));
}

std::string sentence(const VerifyReport& report) {
    return say_promises(report) + "; " + say_open(report) + ".";
}

// In the order of the columns above.
enum class Field { channel, verdict, decides, closes, why, forth, back, expected, meaning };

void field_of(Out& out, Field field, const ChannelResult& result, bool expected) {
    const Channel& channel = *result.channel;
    switch (field) {
    case Field::channel: out.text(channel.name); break;
    case Field::verdict: out.text(word_of(result.verdict)); break;
    case Field::decides: out.text(result.decided_by); break;
    case Field::closes:
        if (channel.closed_by != nullptr)
            out.text(channel.closed_by);
        else
            out.none();
        break;
    case Field::why: out.text(result.why.empty() ? "-" : result.why); break;
    case Field::forth: out.text(word_of(result.forth)); break;
    case Field::back: out.text(word_of(result.back)); break;
    case Field::expected: out.both(expected ? "yes" : "no", expected); break;
    case Field::meaning: out.text(channel.meaning); break;
    }
}

// Which channels are tried, and which of them must be isolated.
struct Choice {
    std::vector<const Channel*> tried;
    std::set<const Channel*> expected;
};

Choice choose(const Options& options) {
    Choice choice;
    const auto only = options.only.empty() ? std::vector<const Channel*>() : parse_channels(options.only);
    const auto expect = parse_channels(options.expect.empty() ? "kinds" : options.expect);
    const auto holds = [](const std::vector<const Channel*>& list, const Channel* one) {
        return std::find(list.begin(), list.end(), one) != list.end();
    };
    for (const Channel& channel : channels()) {
        const bool asked = !options.expect.empty() && holds(expect, &channel);
        if (only.empty() || holds(only, &channel) || asked) choice.tried.push_back(&channel);
    }
    for (const Channel* channel : choice.tried) {
        if (holds(expect, channel)) choice.expected.insert(channel);
    }
    if (choice.expected.empty()) choice.expected.insert(choice.tried.begin(), choice.tried.end());
    return choice;
}

std::pair<Side, Side> choose_sides(const Options& options) {
    std::optional<LaunchOptions> run;
    if (options.run_options) run = read_run_options(*options.run_options);
    if (options.first.empty()) {
        const LaunchOptions launch = run.value_or(LaunchOptions{});
        return {Side::fresh(launch), Side::fresh(launch)};
    }
    if (!options.second.empty()) {
        if (run)
            throw UsageError("with two TARGETs there is no new namespace that --run-options could be for");
        Side first = Side::of(Target::parse(options.first));
        return {std::move(first), Side::of(Target::parse(options.second))};
    }
    Side other = Side::of(Target::parse(options.first));
    if (run) return {std::move(other), Side::fresh(*run)};
    return {Side::of(Target{}), std::move(other)};
}

int verify(Options& options) {
    const Choice choice = choose(options);
    const auto [first, second] = choose_sides(options);
    const Interruption interruption;
    // So that the agents are gone, and not only ended, when we are done.
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    VerifyOptions how;
    how.channels = choice.tried;
    how.limits = options.limits;
    how.cancel = interruption.fd();
    VerifyReport report;
    try {
        report = ipcns::verify(first, second, how);
    } catch (const Error&) {
        interruption.obey();
        throw;
    }
    interruption.obey();

    bool open = false;
    bool unknown = false;
    Rows rows(options.format);
    for (const ChannelResult& result : report.channels) {
        const bool expected = choice.expected.contains(result.channel);
        open = open || (expected && result.verdict == Verdict::open);
        unknown =
            unknown || (expected && result.verdict != Verdict::open && result.verdict != Verdict::isolated);
        rows.add([&](Out& out, std::size_t column) {
            field_of(out, static_cast<Field>(column), result, expected);
        });
    }
    if (!options.junit.empty()) write_whole(options.junit, junit_text(report, choice.expected));
    if (options.format.json()) {
        fmt::print("{}\n", Json{{"first", report.first},
                                {"second", report.second},
                                {"same_ipc_namespace", report.same_ipc},
                                {"as_expected", !open && !unknown},
                                {"summary", sentence(report)},
                                {"channels", rows.json()}}
                               .dump(4));
    } else {
        rows.print();
        if (options.format.headings()) fmt::print("\n{}\n", sentence(report));
    }
    return open ? 3 : unknown ? 1 : 0;
}

std::string channel_list() {
    std::string text;
    std::string line;
    for (const Channel& channel : channels()) {
        const std::string name = channel.name;
        if (name.starts_with("limit.") && name != "limit.msgmax") continue;
        const std::string shown = name == "limit.msgmax" ? "limit.KEY" : name;
        const char* meaning =
            name == "limit.msgmax" ? "each limit: set here, read there, put back" : channel.meaning;
        text += fmt::format("\n    {:<12} {}", shown, meaning);
    }
    return text;
}

} // namespace

void add_verify(App& program, int& status) {
    auto options = std::make_shared<Options>();
    auto* command = program.add_subcommand(
        "verify",
        "Try what gets through between two namespaces: every channel, in both directions, with random tokens.\n"
        "Without TARGET between two new namespaces, with one between yours and TARGET, with two between them.\n"
        "A process id stands for all namespaces of that process.");
    command->add_option("TARGET", options->first,
                        "a NAME, a process id, a /path, @INODE, oci:ID, self or host");
    command->add_option("TARGET2", options->second, "the same")->option_text("TARGET");
    options->format.add_to(*command);
    command
        ->add_option("--run-options", options->run_options,
                     "options of run for the new namespaces, in one word: '--strict'. With one "
                     "TARGET: between it and a new namespace")
        ->type_name("WORDS");
    command->add_option("--only", options->only, "try only these channels, and those of --expect")
        ->type_name("CHANNEL,...");
    command->add_option("--expect", options->expect, "what must be isolated (default: kinds)")
        ->type_name("CHANNEL,...");
    command->add_flag("--limits", options->limits,
                      "also set limits, for a moment, in namespaces that exist already");
    command->add_option("--junit", options->junit, "also write a JUnit report, whole or not at all")
        ->type_name("FILE");
    command->footer(
        command->get_footer() + "\n\nChannels:" + channel_list() +
        "\n\nSets of channels:\n"
        "    kinds        the six kinds: msg, sem, shm, mq, psem, pshm\n"
        "    ipc          what the IPC namespace alone promises\n"
        "    all          all but rights\n\n"
        "Exit status: 0 what is expected is isolated, 3 some of it is open, 1 failed or not known,\n"
        "2 wrong usage.\n\n"
        "Examples:\n  ipcns verify\n  ipcns verify --run-options --strict --expect all\n"
        "  ipcns verify 1234 --junit report.xml");
    command->callback([options, &status] {
        if (options->format.json()) {
            for (const char* column : {"FORTH", "BACK", "EXPECTED", "MEANING"}) options->format.also(column);
        }
        status = verify(*options);
    });
}

} // namespace ipcns::cli
