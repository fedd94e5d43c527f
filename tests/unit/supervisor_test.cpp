// SPDX-License-Identifier: Apache-2.0
// The manners of a program's parent: which signals the program gets, what the parent has afterwards. Each case runs in a
// forked process, for signals are sent to it and a Supervisor changes what it does with them. (Terminals are tested with
// the command: tests/system.)
#include "programs.hpp"

#include <ipcns/launch.hpp>

#include <cstring>

namespace ipcns::test {
namespace {

class SupervisorEachWay : public ::testing::TestWithParam<Isolation> {
protected:
    void SetUp() override { NeedNamespaces(); }
    LaunchOptions options(std::vector<std::string> words) const {
        return options_for(self(std::move(words), program_.path()), GetParam());
    }
    [[nodiscard]] bool strict() const { return GetParam() == Isolation::strict; }

private:
    SelfByDescriptor program_;
};

INSTANTIATE_TEST_SUITE_P(Supervisor, SupervisorEachWay,
                         ::testing::Values(Isolation::ipc_only, Isolation::six_kinds, Isolation::strict),
                         [](const auto& kind) {
                             return kind.param == Isolation::ipc_only    ? "IpcOnly"
                                    : kind.param == Isolation::six_kinds ? "SixKinds"
                                                                         : "Strict";
                         });

char state_of(pid_t pid) {
    std::string text;
    try {
        text = read_file("/proc/" + std::to_string(pid) + "/stat");
    } catch (const std::exception&) {
        return 0;
    }
    return text[text.rfind(')') + 2];
}

// Runs a program to its end under a supervisor, and says what became of it.
void supervise(const LaunchOptions& options) {
    const Supervisor supervisor;
    Child child = supervisor.launch(options);
    const ExitStatus status = supervisor.wait(child);
    ::dprintf(1, "code %d signal %d\n", status.code, status.signal);
    expect_no_children();
}

TEST_P(SupervisorEachWay, PassesSignalsOn) {
    for (const int number :
         {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGALRM, SIGRTMIN + 2, SIGRTMAX}) {
        Forked forked([&] { supervise(options({"receive", std::to_string(number), "exit", "3"})); });
        ASSERT_EQ(forked.line(), "ready");
        forked.signal(number);
        EXPECT_EQ(forked.line(), "signal " + std::to_string(number) + " value -1");
        EXPECT_EQ(forked.line(), "code 3 signal 0");
        EXPECT_TRUE(forked.good());
    }
}

TEST_P(SupervisorEachWay, PassesTheValueOfASignalOn) {
    Forked forked([&] { supervise(options({"receive", std::to_string(SIGRTMIN + 2)})); });
    ASSERT_EQ(forked.line(), "ready");
    union sigval value {};
    value.sival_int = 4711;
    ASSERT_EQ(::sigqueue(forked.pid(), SIGRTMIN + 2, value), 0);
    // Into another pid namespace the signal goes without it.
    EXPECT_EQ(forked.line(),
              "signal " + std::to_string(SIGRTMIN + 2) + " value " + (strict() ? "-1" : "4711"));
    EXPECT_EQ(forked.line(), "code 0 signal 0");
    EXPECT_TRUE(forked.good());
}

TEST_P(SupervisorEachWay, ProgramThatDoesNotHandleASignalDiesOfIt) {
    Forked forked([&] { supervise(options({"say", "ready", "pause"})); });
    ASSERT_EQ(forked.line(), "ready");
    forked.signal(SIGTERM);
    EXPECT_EQ(forked.line(), "code 0 signal " + std::to_string(SIGTERM));
    EXPECT_TRUE(forked.good());
}

TEST_P(SupervisorEachWay, StatusAndSignalComeBack) {
    const std::pair<std::vector<std::string>, std::string> cases[] = {
        {{"exit", "0"}, "code 0 signal 0"},
        {{"exit", "255"}, "code 255 signal 0"},
        {{"raise", std::to_string(SIGKILL)}, "code 0 signal 9"},
        {{"raise", std::to_string(SIGALRM)}, "code 0 signal 14"}};
    for (const auto& [words, text] : cases) {
        Forked forked([&, &asked = words] { supervise(options(asked)); });
        EXPECT_EQ(forked.line(), text);
        EXPECT_TRUE(forked.good());
    }
}

TEST_P(SupervisorEachWay, MaskAndChildActionAreRestoredAndReachTheProgram) {
    for (const bool ignored : {true, false}) {
        Forked forked([&] {
            for (int number = 1; number < 65; ++number) (void)::signal(number, SIG_DFL);
            sigset_t mask;
            ::sigemptyset(&mask);
            ::sigaddset(&mask, SIGUSR2);
            ::sigaddset(&mask, SIGRTMIN + 1);
            ::sigprocmask(SIG_SETMASK, &mask, nullptr);
            struct sigaction given {};
            given.sa_handler = ignored ? SIG_IGN : [](int) {};
            given.sa_flags = SA_NOCLDSTOP | SA_RESTART;
            ::sigaction(SIGCHLD, &given, nullptr);
            const Surroundings before = Surroundings::now();
            {
                const Supervisor supervisor;
                sigset_t now;
                ::sigprocmask(SIG_SETMASK, nullptr, &now);
                for (const int number : {SIGTERM, SIGINT, SIGCHLD, SIGTSTP, SIGRTMAX})
                    EXPECT_EQ(::sigismember(&now, number), 1) << number;
                // What a fault in this process itself raises must not be blocked.
                for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS})
                    EXPECT_EQ(::sigismember(&now, number), 0) << number;
                struct sigaction action {};
                ::sigaction(SIGCHLD, nullptr, &action);
                EXPECT_EQ(action.sa_handler, SIG_DFL);

                LaunchOptions status = options_for({"/bin/cat", "/proc/self/status"}, GetParam());
                Running running([&] { return supervisor.launch(status); });
                const std::string text = running.rest();
                EXPECT_EQ(supervisor.wait(running.child()).code, 0);
                running.reaped();
                EXPECT_EQ(signals(text, "SigBlk"), bit(SIGUSR2) | bit(SIGRTMIN + 1));
                EXPECT_EQ(signals(text, "SigIgn"), ignored ? bit(SIGCHLD) : 0);
                EXPECT_EQ(signals(text, "SigCgt"), 0U);
            }
            before.expect_unchanged();
            struct sigaction after {};
            ::sigaction(SIGCHLD, nullptr, &after);
            EXPECT_EQ(after.sa_handler, given.sa_handler);
            EXPECT_EQ(after.sa_flags & (SA_NOCLDSTOP | SA_RESTART), SA_NOCLDSTOP | SA_RESTART);
        });
        EXPECT_TRUE(forked.good());
    }
}

TEST_P(SupervisorEachWay, StopsWithTheProgramAndGoesOnWithIt) {
    for (const int number : {SIGSTOP, SIGTSTP}) {
        Forked forked([&] {
            // A process group of its own whose parent is in another group of the session: one that may be stopped.
            ::setpgid(0, 0);
            (void)::signal(SIGTSTP, SIG_DFL);
            supervise(options(
                {"say", "stopping", "raise", std::to_string(number), "say", "continued", "exit", "5"}));
        });
        ASSERT_EQ(forked.line(), "stopping");
        int status = 0;
        ASSERT_TRUE(eventually(
            [&] { return ::waitpid(forked.pid(), &status, WUNTRACED | WNOHANG) == forked.pid(); }));
        ASSERT_TRUE(WIFSTOPPED(status)) << status;
        EXPECT_EQ(WSTOPSIG(status), SIGTSTP);
        forked.signal(SIGCONT);
        EXPECT_EQ(forked.line(), "continued");
        EXPECT_EQ(forked.line(), "code 5 signal 0");
        EXPECT_TRUE(forked.good());
    }
}

TEST_P(SupervisorEachWay, WaitsOnWhereNobodyCouldContinueIt) {
    if (strict()) GTEST_SKIP() << "the program's process id is not known outside";
    Forked forked([&] {
        ::setsid(); // an orphaned process group
        const Supervisor supervisor;
        Child child =
            supervisor.launch(options({"raise", std::to_string(SIGSTOP), "say", "continued", "exit", "5"}));
        ::dprintf(1, "%d\n", child.pid());
        EXPECT_EQ(supervisor.wait(child).code, 5);
    });
    const pid_t program = std::atoi(forked.line().c_str());
    ASSERT_TRUE(eventually([&] { return state_of(program) == 'T'; }));
    // Once is not enough: what comes before it has tried to stop itself is taken back by the kernel.
    EXPECT_TRUE(eventually([&] {
        EXPECT_NE(state_of(forked.pid()), 'T');
        forked.signal(SIGCONT);
        return state_of(program) != 'T';
    }));
    EXPECT_EQ(forked.line(), "continued");
    EXPECT_TRUE(forked.good());
}

TEST_P(SupervisorEachWay, AStopFromOutsideAndASignalMeanwhile) {
    Forked forked([&] {
        ::setsid();
        const Supervisor supervisor;
        Child child = supervisor.launch(options({"receive", std::to_string(SIGUSR1), "exit", "6"}));
        ::dprintf(1, "%d\n", child.pid());
        child.signal(SIGSTOP);
        child.signal(SIGCONT);
        EXPECT_EQ(supervisor.wait(child).code, 6);
    });
    for (int i = 0; i < 2; ++i) {
        const std::string line = forked.line();
        EXPECT_TRUE(line == "ready" || std::atoi(line.c_str()) > 0) << line;
    }
    forked.signal(SIGUSR1);
    EXPECT_EQ(forked.line(), "signal " + std::to_string(SIGUSR1) + " value -1");
    EXPECT_TRUE(forked.good());
}

TEST_P(SupervisorEachWay, AFailureLeavesNothingAndThrows) {
    Forked forked([&] {
        const Surroundings before = Surroundings::now();
        {
            const Supervisor supervisor;
            EXPECT_THROW((void)supervisor.launch(options_for({"/nonexistent"}, GetParam())), ProgramError);
            expect_no_children();
        }
        before.expect_unchanged();
    });
    EXPECT_TRUE(forked.good());
}

} // namespace
} // namespace ipcns::test
