// SPDX-License-Identifier: Apache-2.0
//
// Times commands against each other on a noisy machine. A tool that runs one command many times
// and then the other compares two different moments; this one runs them one by one in turn, and
// turns the order round every time (A B, B A, A B ...), so that whatever disturbs the machine
// disturbs both. That matters here all the more because the kernel frees a dead IPC namespace
// later, in a work queue: part of the price of one run is paid by the next.
//
// What it prints for each command: median, 10th and 90th percentile of the wall time from before
// posix_spawn to after wait4, processor time and page faults of the command with its children.
// For each command after the first: the median of the ratios first/this within each round, and
// the interval that holds that median with 95 % certainty (order statistics, no assumption about
// the shape of the noise).
//
// --json prints every sample, in microseconds, in the order of the rounds.
//
// With -q, a round begins when nobody else wants a processor, and is made again when somebody did at its end; for at
// most SECONDS of waiting in all, then it goes on as it is.
//
//   pair [-n ROUNDS] [-w WARMUP] [-p PAUSE_US] [-q SECONDS] [--json] CMD... :: CMD... [:: CMD...]

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace {

struct Sample {
    double wall_us;
    double user_us;
    double system_us;
    double faults;
};

struct Command {
    std::vector<char*> argv; // ends with nullptr
    std::vector<Sample> samples;

    [[nodiscard]] std::string name() const {
        std::string text;
        for (const char* word : argv) {
            if (!word) continue;
            if (!text.empty()) text += ' ';
            text += word;
        }
        return text;
    }
};

// What every command gets: nothing to read, nowhere to write.
class Quiet {
public:
    Quiet() {
        posix_spawn_file_actions_init(&actions_);
        posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_adddup2(&actions_, STDOUT_FILENO, STDERR_FILENO);
    }
    ~Quiet() { posix_spawn_file_actions_destroy(&actions_); }
    Quiet(const Quiet&) = delete;
    Quiet& operator=(const Quiet&) = delete;

    [[nodiscard]] const posix_spawn_file_actions_t* get() const { return &actions_; }

private:
    posix_spawn_file_actions_t actions_{};
};

double now_us() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

double to_us(const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
}

Sample run_once(const Command& command, const Quiet& quiet) {
    pid_t pid = 0;
    int status = 0;
    rusage usage{};
    const double start = now_us();
    if (int error = posix_spawnp(&pid, command.argv[0], quiet.get(), nullptr, command.argv.data(), environ))
        throw std::system_error(error, std::generic_category(), command.argv[0]);
    while (wait4(pid, &status, 0, &usage) < 0)
        if (errno != EINTR) throw std::system_error(errno, std::generic_category(), "wait4");
    const double end = now_us();
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        throw std::runtime_error("'" + command.name() + "' failed with wait status " +
                                 std::to_string(status));
    return {end - start, to_us(usage.ru_utime), to_us(usage.ru_stime), static_cast<double>(usage.ru_minflt)};
}

double quantile(std::vector<double> values, double part) {
    std::sort(values.begin(), values.end());
    const double at = part * static_cast<double>(values.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const auto high = std::min(low + 1, values.size() - 1);
    const double between = at - static_cast<double>(low);
    return values[low] * (1 - between) + values[high] * between;
}

double quantile(const Command& command, double Sample::*field, double part) {
    std::vector<double> values;
    values.reserve(command.samples.size());
    for (const Sample& sample : command.samples) values.push_back(sample.*field);
    return quantile(std::move(values), part);
}

double mean(const Command& command, double Sample::*field) {
    double sum = 0;
    for (const Sample& sample : command.samples) sum += sample.*field;
    return sum / static_cast<double>(command.samples.size());
}

struct Ratio {
    double median;
    double low;
    double high;
};

Ratio ratio(const Command& ours, const Command& peer) {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < ours.samples.size(); ++i)
        ratios.push_back(ours.samples[i].wall_us / peer.samples[i].wall_us);
    const double half = 0.98 / std::sqrt(static_cast<double>(ratios.size()));
    return {quantile(ratios, 0.5), quantile(ratios, std::max(0.0, 0.5 - half)),
            quantile(ratios, std::min(1.0, 0.5 + half))};
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return out + '"';
}

void print_table(const std::vector<Command>& commands) {
    std::printf("%10s %10s %10s %9s %9s %7s  %-22s %s\n", "median us", "p10", "p90", "user", "system",
                "faults", "first/this (95 %)", "command");
    for (const Command& command : commands) {
        std::string against = "-";
        if (&command != &commands.front()) {
            const Ratio r = ratio(commands.front(), command);
            char text[64];
            std::snprintf(text, sizeof text, "%.3f (%.3f-%.3f)", r.median, r.low, r.high);
            against = text;
        }
        std::printf("%10.1f %10.1f %10.1f %9.1f %9.1f %7.1f  %-22s %s\n",
                    quantile(command, &Sample::wall_us, 0.5), quantile(command, &Sample::wall_us, 0.1),
                    quantile(command, &Sample::wall_us, 0.9), mean(command, &Sample::user_us),
                    mean(command, &Sample::system_us), quantile(command, &Sample::faults, 0.5),
                    against.c_str(), command.name().c_str());
    }
}

void print_json(const std::vector<Command>& commands) {
    std::printf("{\"commands\": [");
    for (const Command& command : commands) {
        std::printf(
            "%s\n  {\"command\": %s, \"user_us\": %.2f, \"system_us\": %.2f, \"faults\": %.1f,\n   \"wall_us\": [",
            &command == &commands.front() ? "" : ",", quoted(command.name()).c_str(),
            mean(command, &Sample::user_us), mean(command, &Sample::system_us),
            quantile(command, &Sample::faults, 0.5));
        for (const Sample& sample : command.samples)
            std::printf("%s%.2f", &sample == &command.samples.front() ? "" : ", ", sample.wall_us);
        std::printf("]}");
    }
    std::printf("\n]}\n");
}

// Waits for a quiet machine, as long as its patience lasts.
class Quietness {
public:
    explicit Quietness(long seconds) : patience_us_(static_cast<double>(seconds) * 1e6) {
        if (patience_us_ > 0) file_ = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
    }
    ~Quietness() {
        if (file_ >= 0) close(file_);
    }
    Quietness(const Quietness&) = delete;
    Quietness& operator=(const Quietness&) = delete;

    void wait() {
        while (file_ >= 0 && patience_us_ > 0 && running() > 1) {
            const double start = now_us();
            usleep(3000);
            patience_us_ -= now_us() - start;
        }
    }

    // Another one beside us is the kernel's worker that frees namespaces.
    [[nodiscard]] bool disturbed() {
        if (file_ < 0 || patience_us_ <= 0 || running() <= 2) return false;
        patience_us_ -= 3000;
        return true;
    }

private:
    // How many want a processor at this moment, we included.
    [[nodiscard]] long running() const {
        char text[128] = {};
        if (pread(file_, text, sizeof text - 1, 0) <= 0) return 0;
        const char* at = text;
        for (int field = 0; field < 3 && at; ++field) at = std::strchr(at + 1, ' ');
        return at ? std::strtol(at, nullptr, 10) : 0;
    }

    int file_ = -1;
    double patience_us_;
};

[[noreturn]] void usage() {
    std::fputs(
        "usage: pair [-n ROUNDS] [-w WARMUP] [-p PAUSE_US] [-q SECONDS] [--json] CMD... :: CMD... [:: CMD...]\n",
        stderr);
    std::exit(2);
}

} // namespace

int main(int argc, char** argv) {
    long rounds = 400;
    long warmup = 5;
    long pause = 0;
    long patience = 0;
    bool json = false;

    int at = 1;
    const auto number = [&]() -> long {
        if (++at >= argc) usage();
        char* end = nullptr;
        const long value = std::strtol(argv[at], &end, 10);
        if (*end || value < 0) usage();
        return value;
    };
    for (; at < argc && argv[at][0] == '-'; ++at) {
        const std::string_view option = argv[at];
        if (option == "-n")
            rounds = number();
        else if (option == "-w")
            warmup = number();
        else if (option == "-p")
            pause = number();
        else if (option == "-q")
            patience = number();
        else if (option == "--json")
            json = true;
        else
            usage();
    }

    std::vector<Command> commands(1);
    for (; at < argc; ++at) {
        if (std::string_view(argv[at]) == "::")
            commands.emplace_back();
        else
            commands.back().argv.push_back(argv[at]);
    }
    for (Command& command : commands) {
        if (command.argv.empty()) usage();
        command.argv.push_back(nullptr);
    }
    if (rounds < 1) usage();

    prctl(PR_SET_PDEATHSIG, SIGTERM); // not to go on when whoever wants the figures is gone
    try {
        const Quiet quiet;
        Quietness quietness(patience);
        std::vector<Sample> samples(commands.size());
        for (long round = -warmup; round < rounds; ++round) {
            do {
                quietness.wait();
                for (std::size_t i = 0; i < commands.size(); ++i) {
                    const std::size_t which = round & 1 ? commands.size() - 1 - i : i;
                    samples[which] = run_once(commands[which], quiet);
                    if (pause) usleep(static_cast<useconds_t>(pause));
                }
            } while (quietness.disturbed());
            for (std::size_t i = 0; round >= 0 && i < commands.size(); ++i)
                commands[i].samples.push_back(samples[i]);
        }
        if (json)
            print_json(commands);
        else
            print_table(commands);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "pair: %s\n", error.what());
        return 1;
    }
    return 0;
}
