// SPDX-License-Identifier: Apache-2.0
// Launching programs: every option, every way to fail, what reaches the program and what does not, what is cleaned up.
// The programs are /bin/sh, cat and this test program itself.
#include "programs.hpp"

#include <ipcns/launch.hpp>
#include <ipcns/registry.hpp>

#include <arpa/inet.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/utsname.h>

#include <atomic>
#include <cstdarg>
#include <cstring>
#include <fstream>

namespace ipcns::test {
namespace {

// This program as the one that is launched: it does what the words after "@program" say, one after the other.

void need(bool good, const char* what) {
    if (good) return;
    std::fprintf(stderr, "@program %s: %s\n", what, std::strerror(errno));
    ::_exit(99);
}

void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
void say(const char* format, ...) {
    std::va_list values;
    va_start(values, format);
    ::vdprintf(1, format, values);
    va_end(values);
}

// Waits for a signal that is blocked and tells how it came.
void receive(int number) {
    sigset_t one;
    ::sigemptyset(&one);
    ::sigaddset(&one, number);
    ::sigprocmask(SIG_BLOCK, &one, nullptr);
    say("ready\n");
    siginfo_t info{};
    int got = 0;
    while ((got = ::sigwaitinfo(&one, &info)) < 0 && errno == EINTR) {}
    say("signal %d value %d\n", got, info.si_code == SI_QUEUE ? info.si_value.sival_int : -1);
}

void make_sysv_objects() {
    need(::msgget(IPC_PRIVATE, 0600) >= 0, "msgget");
    need(::semget(IPC_PRIVATE, 2, 0600) >= 0, "semget");
    const int segment = ::shmget(IPC_PRIVATE, 5000, 0600);
    need(segment >= 0, "shmget");
    auto* memory = static_cast<char*>(::shmat(segment, nullptr, 0));
    need(memory != reinterpret_cast<char*>(-1), "shmat");
    memory[4999] = 'x';
    ::shmdt(memory);
}

void make_queue(const char* name) {
    struct mq_attr attributes {};
    attributes.mq_maxmsg = 2;
    attributes.mq_msgsize = 16;
    need(::mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &attributes) >= 0, "mq_open");
}

void make_shm_file(const char* name) {
    const int fd = ::shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    need(fd >= 0 && ::ftruncate(fd, 8192) == 0 && ::pwrite(fd, "x", 1, 8191) == 1, "shm_open");
    ::close(fd);
}

void make_nested_folders() {
    need(::mkdir("/dev/shm/a", 0700) == 0 && ::mkdir("/dev/shm/a/b", 0700) == 0 &&
             ::mkdir("/dev/shm/a/b/c", 0700) == 0,
         "mkdir");
    const int fd = ::open("/dev/shm/a/b/c/file", O_CREAT | O_WRONLY, 0600);
    need(fd >= 0, "open a nested file");
    ::close(fd);
}

// Leaves a process behind that waits to be killed.
void leave_background() {
    const pid_t pid = ::fork();
    need(pid >= 0, "fork");
    if (pid == 0) {
        ::setsid();
        ::close(1);
        for (;;) ::pause();
    }
    say("%d\n", pid);
}

void try_loopback() {
    struct sockaddr_in address {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    const int server = ::socket(AF_INET, SOCK_STREAM, 0);
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    auto* generic = reinterpret_cast<struct sockaddr*>(&address);
    need(::bind(server, generic, length) == 0 && ::listen(server, 1) == 0 &&
             ::getsockname(server, generic, &length) == 0 && ::connect(client, generic, length) == 0,
         "connect over the loopback interface");
    say("connected\n");
}

__attribute__((constructor)) void be_the_program(int count, char** words, char**) {
    if (count < 2 || std::strcmp(words[1], "@program") != 0) return;
    for (int i = 2; i < count; ++i) {
        const std::string_view word = words[i];
        const char* value = i + 1 < count ? words[i + 1] : "";
        if (word == "sysv") {
            make_sysv_objects();
        } else if (word == "mq") {
            make_queue(value), ++i;
        } else if (word == "shm") {
            make_shm_file(value), ++i;
        } else if (word == "make-key") {
            need(::msgget(std::atoi(value), IPC_CREAT | IPC_EXCL | 0600) >= 0, "msgget"), ++i;
        } else if (word == "find-key") {
            say("%s\n", ::msgget(std::atoi(value), 0) >= 0 ? "found" : std::strerror(errno)), ++i;
        } else if (word == "find-mq") {
            say("%s\n", ::mq_open(value, O_RDONLY) >= 0 ? "found" : std::strerror(errno)), ++i;
        } else if (word == "folders") {
            make_nested_folders();
        } else if (word == "background") {
            leave_background();
        } else if (word == "loopback") {
            try_loopback();
        } else if (word == "size") {
            struct statfs about {};
            need(::statfs("/dev/shm", &about) == 0, "statfs");
            say("%llu\n", static_cast<unsigned long long>(about.f_blocks) *
                              static_cast<unsigned long long>(about.f_bsize));
        } else if (word == "pid") {
            say("%d\n", ::getpid());
        } else if (word == "say") {
            say("%s\n", value), ++i;
        } else if (word == "words") {
            for (++i; i < count; ++i) say("[%s]", words[i]);
        } else if (word == "receive") {
            receive(std::atoi(value)), ++i;
        } else if (word == "ignore") {
            (void)::signal(std::atoi(value), SIG_IGN), ++i;
        } else if (word == "raise") {
            ::raise(std::atoi(value)), ++i;
        } else if (word == "exit") {
            ::_exit(std::atoi(value));
        } else if (word == "line") {
            // Waits for a byte on standard input.
            char byte = 0;
            need(::read(0, &byte, 1) == 1, "read");
        } else if (word == "pause") {
            for (;;) ::pause();
        } else {
            need(false, words[i]);
        }
    }
    ::_exit(0);
}

// Each kind of isolation, in the tests that hold for all.
class LaunchEachWay : public ::testing::TestWithParam<Isolation> {
protected:
    void SetUp() override { NeedNamespaces(); }
    static LaunchOptions options(std::vector<std::string> arguments) {
        return options_for(std::move(arguments), GetParam());
    }
};

std::string name_of(const ::testing::TestParamInfo<Isolation>& info) {
    return info.param == Isolation::ipc_only    ? "IpcOnly"
           : info.param == Isolation::six_kinds ? "SixKinds"
                                                : "Strict";
}

INSTANTIATE_TEST_SUITE_P(Launch, LaunchEachWay,
                         ::testing::Values(Isolation::ipc_only, Isolation::six_kinds, Isolation::strict),
                         name_of);

class Launch : public ::testing::Test {
protected:
    void SetUp() override { NeedNamespaces(); }
};

// What a program is given.

TEST_P(LaunchEachWay, ArgumentsArriveAsTheyAre) {
    const SelfByDescriptor program;
    EXPECT_EQ(output_of(options(
                  self({"words", "", "two words", "line\nfeed", "\xff\xc3", "*", ""}, program.path()))),
              "[][two words][line\nfeed][\xff\xc3][*][]");
}

TEST_P(LaunchEachWay, EnvironmentIsTheCallersUnlessGiven) {
    ::setenv("IPCNS_TEST_VARIABLE", "from the caller", 1);
    EXPECT_EQ(output_of(options(shell("echo \"$IPCNS_TEST_VARIABLE\""))), "from the caller\n");
    LaunchOptions given = options({"/usr/bin/env"});
    given.environment = {"A=1", "B=two words", "C="};
    EXPECT_EQ(output_of(given), "A=1\nB=two words\nC=\n");
    given.environment->clear();
    EXPECT_EQ(output_of(given), "");
    ::unsetenv("IPCNS_TEST_VARIABLE");
}

TEST_P(LaunchEachWay, DirectoryIsTheCallersUnlessGiven) {
    const std::string here = std::filesystem::current_path();
    EXPECT_EQ(output_of(options({"/bin/pwd"})), here + "\n");
    LaunchOptions given = options({"/bin/pwd"});
    given.directory = "/usr/../usr/bin";
    EXPECT_EQ(output_of(given), "/usr/bin\n");
    EXPECT_EQ(std::filesystem::current_path(), here);
}

TEST_P(LaunchEachWay, StatusAndSignalComeBack) {
    EXPECT_EQ(status_of(options(shell("exit 0"))).shell_status(), 0);
    const ExitStatus status = status_of(options(shell("exit 213")));
    EXPECT_EQ(status.code, 213);
    EXPECT_EQ(status.signal, 0);
    EXPECT_EQ(status.shell_status(), 213);
    const ExitStatus killed = status_of(options(shell("kill -USR2 $$")));
    EXPECT_EQ(killed.signal, SIGUSR2);
    EXPECT_EQ(killed.shell_status(), 128 + SIGUSR2);
    EXPECT_EQ(status_of(options(shell("kill -KILL $$"))).signal, SIGKILL);
    expect_no_children();
}

TEST_P(LaunchEachWay, SignalReachesTheProgram) {
    // To the init above it in a strict run, SIGTERM would do nothing.
    Running running(
        options(shell("trap 'echo got it; exit 7' TERM; echo ready; while :; do sleep 0.01; done")));
    ASSERT_EQ(running.line(), "ready");
    running.child().signal(SIGTERM);
    EXPECT_EQ(running.line(), "got it");
    EXPECT_EQ(running.wait().code, 7);
    EXPECT_EQ(error_of([&] { running.child().signal(SIGTERM); }), ESRCH);
}

TEST_F(Launch, NoSignalGoesToWhoeverHasTheNumberNow) {
    LaunchOptions given;
    given.arguments = {"/bin/true"};
    given.limits = {Limit::parse("shmmni=3")}; // without privileges another way to launch
    Child child = launch(given);
    (void)child.wait();
    std::ofstream("/proc/sys/kernel/ns_last_pid") << child.pid() - 1;
    const Forked stranger([] { ::pause(); });
    if (stranger.pid() != child.pid()) GTEST_SKIP() << "the next process could not be given that number";
    EXPECT_EQ(error_of([&] { child.signal(SIGKILL); }), ESRCH);
    EXPECT_EQ(::waitpid(stranger.pid(), nullptr, WNOHANG), 0);
    ::kill(stranger.pid(), SIGKILL);
}

TEST_F(Launch, OfAPlaceThatWasThereNothingIsSaidToBeGone) {
    const Place self = resolve(Target::parse("self"));
    LaunchOptions given;
    given.arguments = {"/bin/true"};
    given.place = &self;
    Child child = launch(given);
    (void)child.wait();
    EXPECT_TRUE(child.clean_up().unknown);
    EXPECT_TRUE(child.enter_and_clean_up().unknown);
}

TEST_P(LaunchEachWay, SignalMaskIsThatOfTheThreadOrTheOneGiven) {
    std::string status;
    std::thread([&] {
        sigset_t mask;
        ::sigemptyset(&mask);
        for (const int number : {SIGHUP, SIGUSR2, SIGCHLD, SIGTERM, SIGRTMIN + 3, SIGRTMAX})
            ::sigaddset(&mask, number);
        ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
        const Surroundings before = Surroundings::now();
        status = output_of(options({"/bin/cat", "/proc/self/status"}));
        before.expect_unchanged();
    }).join();
    EXPECT_EQ(signals(status, "SigBlk"),
              bit(SIGHUP) | bit(SIGUSR2) | bit(SIGCHLD) | bit(SIGTERM) | bit(SIGRTMIN + 3) | bit(SIGRTMAX));

    LaunchOptions given = options({"/bin/cat", "/proc/self/status"});
    given.signal_mask.emplace();
    ::sigemptyset(&*given.signal_mask);
    ::sigaddset(&*given.signal_mask, SIGALRM);
    const Surroundings before = Surroundings::now();
    EXPECT_EQ(signals(output_of(given), "SigBlk"), bit(SIGALRM));
    before.expect_unchanged();
    ::sigemptyset(&*given.signal_mask);
    EXPECT_EQ(signals(output_of(given), "SigBlk"), 0U);
}

TEST_P(LaunchEachWay, HandlersAreResetAndIgnoredSignalsStayIgnored) {
    for (const bool handlers : {true, false}) {
        Forked forked([&] {
            for (int number = 1; number < 65; ++number) (void)::signal(number, SIG_DFL);
            (void)::signal(SIGQUIT, SIG_IGN);
            (void)::signal(SIGPIPE, SIG_IGN);
            (void)::signal(SIGRTMAX, SIG_IGN);
            if (handlers) {
                (void)::signal(SIGUSR1, [](int) {});
                (void)::signal(SIGCHLD, [](int) {});
                (void)::signal(SIGRTMIN + 1, [](int) {});
            }
            LaunchOptions given = options({"/bin/cat", "/proc/self/status"});
            given.has_signal_handlers = handlers;
            const std::string status = output_of(given);
            EXPECT_EQ(signals(status, "SigCgt"), 0U);
            EXPECT_EQ(signals(status, "SigIgn"), bit(SIGQUIT) | bit(SIGPIPE) | bit(SIGRTMAX));
            // The caller's own are as they were.
            struct sigaction action {};
            ::sigaction(SIGUSR1, nullptr, &action);
            EXPECT_EQ(action.sa_handler != SIG_DFL, handlers);
        });
        EXPECT_TRUE(forked.good());
    }
}

TEST_P(LaunchEachWay, ChildActionIsWhatTheProgramInherits) {
    Forked forked([] {
        LaunchOptions given = options({"/bin/cat", "/proc/self/status"});
        (void)::signal(SIGCHLD, SIG_DFL);
        EXPECT_EQ(signals(output_of(given), "SigIgn") & bit(SIGCHLD), 0U);
        given.child_action.emplace();
        given.child_action->sa_handler = SIG_IGN;
        EXPECT_EQ(signals(output_of(given), "SigIgn") & bit(SIGCHLD), bit(SIGCHLD));

        // The other way round. Now the kernel reaps our children by itself, and nobody learns their status.
        (void)::signal(SIGCHLD, SIG_IGN);
        given.child_action.reset();
        EXPECT_EQ(signals(Running(given).rest(), "SigIgn") & bit(SIGCHLD), bit(SIGCHLD));
        given.child_action.emplace();
        given.child_action->sa_handler = SIG_DFL;
        EXPECT_EQ(signals(Running(given).rest(), "SigIgn") & bit(SIGCHLD), 0U);
    });
    EXPECT_TRUE(forked.good());
}

// The capabilities of a new user namespace must not open what is closed to the caller.
TEST_P(LaunchEachWay, AClosedFolderStaysClosed) {
    if (::geteuid() == 0) GTEST_SKIP() << "root may open every folder";
    const TempFolder folder;
    const std::string closed = folder.path() / "closed";
    ASSERT_EQ(::mkdir(closed.c_str(), 0), 0);
    auto given = options(shell("pwd"));
    given.directory = closed;
    // The folder may lie in /tmp, of which Isolation::strict shows another one.
    const bool hidden = GetParam() == Isolation::strict && closed.starts_with("/tmp/");
    EXPECT_EQ(error_of([&] { (void)launch(given); }), hidden ? ENOENT : EACCES);
}

TEST(LaunchOptionsChecks, ALimitWithoutAKeyIsRefused) {
    LaunchOptions given;
    given.arguments = {"/bin/true"};
    given.limits = {Limit{}};
    EXPECT_THROW((void)launch(given), UsageError);
}

TEST(LaunchOptionsChecks, AShmThatOverflowsIsRefused) {
    LaunchOptions given;
    given.arguments = {"/bin/true"};
    given.shm_size = ~std::uint64_t{0};
    EXPECT_THROW((void)launch(given), UsageError);
}

TEST_P(LaunchEachWay, WorksWhereSigchldIsIgnored) {
    Forked forked([] {
        (void)::signal(SIGCHLD, SIG_IGN);
        const Surroundings before = Surroundings::now();
        {
            Running running(options(shell("echo here")));
            EXPECT_EQ(running.rest(), "here\n");
            // Of a strict run the init has told the status; any other has none to give.
            EXPECT_EQ(error_of([&] { running.wait(); }), GetParam() == Isolation::strict ? 0 : ECHILD);
        }
        EXPECT_EQ(error_of([] { (void)launch(options({"/nonexistent"})); }), ENOENT);
        before.expect_unchanged();
        expect_no_children();
    });
    EXPECT_TRUE(forked.good());
}

TEST_P(LaunchEachWay, DescriptorsArriveExactlyIfNotCloseOnExec) {
    const Pipe kept = Pipe::make();
    const Pipe closed = Pipe::make();
    const Fd inherited(::dup(kept.in.get()));
    // Those that are not ours (a test driver's) arrive as well.
    std::set<std::string> wanted;
    for (const auto& entry : open_fds()) {
        if ((::fcntl(std::atoi(entry.c_str()), F_GETFD) & FD_CLOEXEC) == 0)
            wanted.insert(std::to_string(std::atoi(entry.c_str())));
    }
    ASSERT_TRUE(wanted.contains(std::to_string(inherited.get())));
    ASSERT_FALSE(wanted.contains(std::to_string(closed.in.get())));
    // The glob's own descriptor is the one that leads nowhere any more.
    std::string found =
        output_of(options(shell("for f in /proc/self/fd/*; do test -e $f && echo ${f##*/}; done; :")));
    std::set<std::string> arrived;
    while (!found.empty()) {
        arrived.insert(found.substr(0, found.find('\n')));
        found.erase(0, found.find('\n') + 1);
    }
    EXPECT_EQ(arrived, wanted);
}

// Looking up the program.

TEST_P(LaunchEachWay, ProgramErrors) {
    const TempFolder folder;
    const auto make = [&](const char* name, const char* text, mode_t mode) {
        ASSERT_EQ(write_file(folder / name, text), 0);
        ASSERT_EQ(::chmod((folder / name).c_str(), mode), 0);
    };
    make("plain", "#!/bin/sh\n", 0644);
    make("wanting", "#!/nonexistent/interpreter\n", 0755);
    const auto status = [&](const std::string& program) {
        // A strict run has a /tmp of its own.
        const Fd here(::open(folder.path().c_str(), O_PATH | O_DIRECTORY));
        try {
            LaunchOptions given = options({program});
            if (program.front() == '@')
                given.arguments[0].replace(0, 1, "/proc/self/fd/" + std::to_string(here.get()));
            given.environment = {"PATH=/usr/bin:/bin:/nonexistent"};
            (void)launch(given);
        } catch (const ProgramError& error) {
            return std::pair(error.code().value(), error.shell_status());
        }
        return std::pair(0, 0);
    };
    EXPECT_EQ(status("ipcns-no-such-program"), std::pair(ENOENT, 127));
    EXPECT_EQ(status("/nonexistent/program"), std::pair(ENOENT, 127));
    EXPECT_EQ(status("@/wanting"), std::pair(ENOENT, 127));
    EXPECT_EQ(status("@/plain"), std::pair(EACCES, 126));
    EXPECT_EQ(status("/"), std::pair(EACCES, 126));
    EXPECT_EQ(status("/etc/passwd/program"), std::pair(ENOENT, 127));
    expect_no_children();
}

TEST_F(Launch, ProgramWithoutSlashIsFoundInThePathOfTheProgramsEnvironment) {
    const TempFolder folder;
    for (const char* name : {"first", "second"}) ASSERT_EQ(::mkdir((folder / name).c_str(), 0755), 0);
    const auto make = [&](const std::string& name, const std::string& text, mode_t mode) {
        ASSERT_EQ(write_file(folder / name, text), 0);
        ASSERT_EQ(::chmod((folder / name).c_str(), mode), 0);
    };
    make("first/tool", "#!/bin/sh\necho first\n", 0644);
    make("second/tool", "#!/bin/sh\necho second $0\n", 0755);
    make("first/blocked", "#!/bin/sh\n", 0644);

    LaunchOptions options = options_for({"tool"});
    const auto with_path = [&](const std::string& path) { options.environment = {"X=1", "PATH=" + path}; };
    // Not there, then not executable, then found.
    with_path("/nonexistent:" + (folder / "first") + ":" + (folder / "second"));
    EXPECT_EQ(output_of(options), "second " + (folder / "second/tool") + "\n");
    // A folder that may not be searched (root may search every one), a file for a folder, and one that is relative.
    with_path("/root:/etc/passwd:second");
    options.directory = folder.path();
    EXPECT_EQ(output_of(options), "second second/tool\n");
    // An empty element is the working directory.
    with_path("/nonexistent:");
    options.directory = folder / "second";
    EXPECT_EQ(output_of(options), "second ./tool\n");
    // Found nowhere executable: EACCES wins over ENOENT.
    options.directory.clear();
    options.arguments = {"blocked"};
    with_path((folder / "first") + ":/nonexistent");
    EXPECT_EQ(error_of([&] { (void)launch(options); }), EACCES);
    // With a slash PATH is not asked.
    options.arguments = {"second/tool"};
    with_path(folder.path());
    EXPECT_EQ(error_of([&] { (void)launch(options); }), ENOENT);
    // Without PATH: that of execvp(3).
    options.arguments = {"cat", "/dev/null"};
    options.environment = {"X=1"};
    EXPECT_EQ(output_of(options), "");
}

TEST_F(Launch, ScriptWithoutItsFirstLineIsRunByTheShell) {
    const TempFolder folder;
    ASSERT_EQ(write_file(folder / "script", "echo \"$0\" \"$#\" \"$2\"\n"), 0);
    ASSERT_EQ(::chmod((folder / "script").c_str(), 0755), 0);
    for (const Isolation isolation : {Isolation::ipc_only, Isolation::six_kinds}) {
        LaunchOptions options = options_for({folder / "script", "one", "two words"}, isolation);
        EXPECT_EQ(output_of(options), (folder / "script") + " 2 two words\n");
        options.arguments[0] = "script";
        options.environment = {"PATH=/nonexistent:" + folder.path().string() + ":/bin"};
        EXPECT_EQ(output_of(options), (folder / "script") + " 2 two words\n");
    }
}

TEST_P(LaunchEachWay, ZeroBytesAndNoProgramAreUsageErrors) {
    using namespace std::string_literals;
    const Surroundings before = Surroundings::now();
    EXPECT_THROW((void)launch(options({})), UsageError);
    EXPECT_THROW((void)launch(options({"/bin/true\0x"s})), UsageError);
    EXPECT_THROW((void)launch(options({"/bin/true", "a\0b"s})), UsageError);
    LaunchOptions given = options({"/bin/true"});
    given.environment = {"A=\0"s};
    EXPECT_THROW((void)launch(given), UsageError);
    before.expect_unchanged();
    expect_no_children();
}

// After a failure, and after a success, nothing is left.

struct Failure {
    const char* name;
    int error;
    std::function<void(LaunchOptions&)> spoil;
};

TEST_P(LaunchEachWay, NothingIsLeftAfterAFailure) {
    const Failure failures[] = {
        {"no program", ENOENT, [](LaunchOptions& o) { o.arguments = {"/nonexistent"}; }},
        {"not a program", EACCES, [](LaunchOptions& o) { o.arguments = {"/etc/passwd"}; }},
        {"no folder", ENOENT, [](LaunchOptions& o) { o.directory = "/nonexistent/folder"; }},
        {"a file for a folder", ENOTDIR, [](LaunchOptions& o) { o.directory = "/etc/passwd"; }},
        {"a value refused", EINVAL,
         [](LaunchOptions& o) {
             o.limits = {{find_limit_key("shmmni"), "77"}, {find_limit_key("shmmni"), "-5"}};
         }},
        {"a value refused, and no program", EINVAL,
         [](LaunchOptions& o) {
             o.limits = {{find_limit_key("msg_max"), "100000000"}};
             o.arguments = {"/nonexistent"};
         }},
        {"a limit, and no program", ENOENT,
         [](LaunchOptions& o) {
             o.limits = {{find_limit_key("shmmni"), "77"}};
             o.arguments = {"/nonexistent"};
         }},
        {"too many arguments", E2BIG,
         [](LaunchOptions& o) { o.arguments.resize(100, std::string(1 << 17, 'x')); }},
    };
    const Surroundings before = Surroundings::now();
    for (const Failure& failure : failures) {
        SCOPED_TRACE(failure.name);
        LaunchOptions given = options({"/bin/true"});
        given.die_with_parent = true;
        failure.spoil(given);
        std::string what;
        EXPECT_EQ(error_of([&] { (void)launch(given); }, &what), failure.error) << what;
        EXPECT_NE(what.find(given.directory), std::string::npos) << what;
        expect_no_children();
        before.expect_unchanged();
    }
}

TEST_P(LaunchEachWay, NothingIsLeftAfterASuccess) {
    const Surroundings before = Surroundings::now();
    {
        LaunchOptions given = options({"/bin/true"});
        given.die_with_parent = true;
        given.limits = {{find_limit_key("shmmni"), "77"}};
        Child child = launch(given);
        EXPECT_EQ(child.wait().code, 0);
        EXPECT_TRUE(child.clean_up().empty());
    }
    before.expect_unchanged();
    expect_no_children();
}

// How much is private.

// Objects in our own namespaces that go at the end of the scope.
class OwnObjects {
public:
    OwnObjects() {
        key = 0x10000000 + static_cast<int>((static_cast<unsigned>(::getpid()) * 2654435761U) & 0xffffff0U);
        name = "/ipcns-unit-" + std::to_string(::getpid());
        file = "/dev/shm" + name;
        queue_ = ::msgget(key, IPC_CREAT | IPC_EXCL | 0600);
        struct mq_attr attributes {};
        attributes.mq_maxmsg = 1;
        attributes.mq_msgsize = 8;
        const mqd_t posix = ::mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
        if (queue_ < 0 || posix < 0 || write_file(file, "ours") != 0) broken("make objects of our own");
        ::mq_close(posix);
    }
    ~OwnObjects() {
        ::msgctl(queue_, IPC_RMID, nullptr);
        ::mq_unlink(name.c_str());
        ::unlink(file.c_str());
        ::unlink((file + "-theirs").c_str());
    }
    OwnObjects(const OwnObjects&) = delete;
    OwnObjects& operator=(const OwnObjects&) = delete;

    int key;
    std::string name, file;

private:
    int queue_;
};

TEST_P(LaunchEachWay, NamespacesThatAreNew) {
    Running running(options(
        shell("for k in ipc mnt pid net uts user; do echo $(readlink /proc/self/ns/$k); done; read x")));
    std::map<std::string, std::string> theirs;
    for (const char* kind : {"ipc", "mnt", "pid", "net", "uts", "user"}) theirs[kind] = running.line();
    EXPECT_EQ(theirs["ipc"], link_with(running.child().ipc().id().inode));
    EXPECT_NE(theirs["ipc"], own_namespace("ipc"));
    EXPECT_EQ(theirs["mnt"] != own_namespace("mnt"), GetParam() != Isolation::ipc_only);
    for (const char* kind : {"pid", "net", "uts"})
        EXPECT_EQ(theirs[kind] != own_namespace(kind), GetParam() == Isolation::strict) << kind;
    EXPECT_EQ(theirs["user"] != own_namespace("user"), !is_root());
}

TEST_P(LaunchEachWay, ObjectsAreApart) {
    const OwnObjects ours;
    const SelfByDescriptor program;
    const std::string key = std::to_string(ours.key);
    const std::string their_key = std::to_string(ours.key + 1);
    EXPECT_EQ(output_of(options(self({"find-key", key, "find-mq", ours.name, "make-key", their_key, "mq",
                                      ours.name + "-theirs", "shm", ours.name + "-theirs"},
                                     program.path()))),
              "No such file or directory\nNo such file or directory\n");
    EXPECT_EQ(::msgget(ours.key + 1, 0), -1);
    EXPECT_EQ(::mq_open((ours.name + "-theirs").c_str(), O_RDONLY), -1);

    const bool shared = GetParam() == Isolation::ipc_only;
    EXPECT_EQ(::access((ours.file + "-theirs").c_str(), F_OK) == 0, shared);
    EXPECT_EQ(output_of(options(shell("test -e " + ours.file + " && echo seen; :"))), shared ? "seen\n" : "");
}

TEST_P(LaunchEachWay, QueuesAreOnTheirFolderWhereThereIsOne) {
    in_new_namespaces([&] {
        const SelfByDescriptor program;
        ASSERT_EQ(::mount("tmpfs", "/dev", "tmpfs", 0, nullptr), 0);
        ASSERT_EQ(::mkdir("/dev/shm", 01777), 0);
        // None there: then none in the namespace.
        EXPECT_EQ(output_of(options(shell("ls -A /dev"))), "shm\n");
        ASSERT_EQ(::mkdir("/dev/mqueue", 01777), 0);
        const std::string script =
            program.path() + " @program mq /theirs && ls /dev/mqueue; stat -f -c %T /dev/mqueue";
        EXPECT_EQ(output_of(options(shell(script))),
                  GetParam() == Isolation::ipc_only ? "tmpfs\n" : "theirs\nmqueue\n");
        EXPECT_TRUE(std::filesystem::is_empty("/dev/mqueue"));
        // A system without the folder has nothing to hide there.
        ASSERT_EQ(::rmdir("/dev/shm"), 0);
        EXPECT_EQ(output_of(options(shell("ls -A /dev"))), "mqueue\n");
    });
}

TEST_F(Launch, MountsMadeOutsideLaterReachInsideAndNoneLeakOut) {
    const TempFolder folder;
    const std::string place = folder / "place";
    const std::string inner = folder / "inner";
    ASSERT_EQ(::mkdir(place.c_str(), 0700), 0);
    ASSERT_EQ(::mkdir(inner.c_str(), 0700), 0);
    in_new_namespaces([&] {
        ASSERT_EQ(::mount("none", "/", nullptr, MS_REC | MS_SHARED, nullptr), 0);
        const Pipe go = Pipe::make();
        const Fd inherited(::dup(go.out.get()));
        // The program of an ordinary user has no right to mount.
        const std::string script = (is_root() ? "mount -t tmpfs none " + inner + " && " : std::string()) +
                                   "echo mounted; read x </proc/self/fd/" + std::to_string(inherited.get()) +
                                   "; ls " + place;
        LaunchOptions options = options_for(shell(script), Isolation::six_kinds);
        Running running(options);
        ASSERT_EQ(running.line(), "mounted");
        EXPECT_EQ(read_file("/proc/self/mountinfo").find(inner), std::string::npos);
        ASSERT_EQ(::mount("tmpfs", place.c_str(), "tmpfs", 0, nullptr), 0);
        ASSERT_EQ(write_file(place + "/later", ""), 0);
        ASSERT_EQ(::write(go.in.get(), "\n", 1), 1);
        EXPECT_EQ(running.rest(), "later\n");
    });
}

TEST_F(Launch, StrictHasItsOwnProcessesNetworkNameAndTmp) {
    const TempFolder folder; // below /tmp, as a rule
    const SelfByDescriptor program;
    const auto strict = [](std::vector<std::string> arguments) {
        return options_for(std::move(arguments), Isolation::strict);
    };
    EXPECT_EQ(output_of(strict(self({"pid"}, program.path()))), "2\n");
    // ipcns-init, the shell, and nobody else.
    EXPECT_EQ(output_of(strict(shell("cd /proc; echo [0-9]*; cat 1/comm"))), "1 2\nipcns-init\n");
    EXPECT_EQ(output_of(strict(shell("sed -n 's/^ *\\([^ ]*\\):.*/\\1/p' /proc/net/dev"))), "lo\n");
    EXPECT_EQ(output_of(strict(self({"loopback"}, program.path()))), "connected\n");
    const std::string mark = "/tmp/ipcns-unit-mark-" + std::to_string(::getpid());
    EXPECT_EQ(output_of(strict(shell("ls -A /tmp; stat -c %a /tmp; touch " + mark + "; ls -A /tmp"))),
              "1777\n" + mark.substr(5) + "\n");
    EXPECT_NE(::access(mark.c_str(), F_OK), 0);
    if (is_root()) {
        struct utsname before {};
        struct utsname after {};
        ::uname(&before);
        EXPECT_EQ(output_of(strict(shell("echo ipcns-unit >/proc/sys/kernel/hostname; uname -n"))),
                  "ipcns-unit\n");
        ::uname(&after);
        EXPECT_STREQ(before.nodename, after.nodename);
    }
    // The init above the program holds no folder, and ends with it whoever is left.
    Running running(strict(shell("sleep 1000 & exec sleep 1000")));
    const std::string init = "/proc/" + std::to_string(running.child().pid());
    EXPECT_TRUE(eventually([&] { return read_link(init + "/cwd") == "/"; }));
    running.child().signal(SIGKILL);
    EXPECT_EQ(running.rest(), ""); // the other sleep had our pipe, too
    EXPECT_EQ(running.wait().signal, SIGKILL);
}

TEST_P(LaunchEachWay, LimitsAreSetInTheNewNamespaceAlone) {
    const std::string files = " /proc/sys/kernel/shmmni /proc/sys/kernel/sem /proc/sys/fs/mqueue/msg_max";
    const std::string before = read_file("/proc/sys/kernel/shmmni") + read_file("/proc/sys/kernel/sem") +
                               read_file("/proc/sys/fs/mqueue/msg_max");
    LaunchOptions given = options(shell("cat" + files + "; id -u; id -g; grep CapEff /proc/self/status"));
    given.limits = {Limit::parse("shmmni=77"), Limit::parse("sem=11,22,33,44"), Limit::parse("msg_max=9")};
    std::string text =
        "77\n11\t22\t33\t44\n9\n" + std::to_string(::getuid()) + "\n" + std::to_string(::getgid()) + "\n";
    if (!is_root()) text += "CapEff:\t0000000000000000\n";
    EXPECT_EQ(output_of(given).substr(0, text.size()), text);
    EXPECT_EQ(read_file("/proc/sys/kernel/shmmni") + read_file("/proc/sys/kernel/sem") +
                  read_file("/proc/sys/fs/mqueue/msg_max"),
              before);
}

TEST_P(LaunchEachWay, ProgramIsTheCallerOrRootOfItsUserNamespace) {
    LaunchOptions given = options(shell("id -u; id -g; grep CapEff /proc/self/status"));
    const std::string plain = output_of(given);
    const std::string own = std::to_string(::getuid()) + "\n" + std::to_string(::getgid()) + "\n";
    EXPECT_EQ(plain.substr(0, own.size()), own);
    given.map_root = true;
    const std::string mapped = output_of(given);
    if (is_root()) {
        EXPECT_EQ(mapped, plain);
    } else {
        EXPECT_EQ(plain, own + "CapEff:\t0000000000000000\n");
        EXPECT_EQ(mapped.substr(0, 4), "0\n0\n");
        EXPECT_NE(field(mapped, "CapEff"), "0000000000000000");
    }
}

TEST_P(LaunchEachWay, SizeOfTheNewDevShm) {
    struct statfs host {};
    ASSERT_EQ(::statfs("/dev/shm", &host), 0);
    const SelfByDescriptor program;
    LaunchOptions given = options(self({"size"}, program.path()));
    const std::string as_host = std::to_string(static_cast<unsigned long long>(host.f_blocks) *
                                               static_cast<unsigned long long>(host.f_bsize)) +
                                "\n";
    EXPECT_EQ(output_of(given), as_host);
    given.shm_size = 3 << 20;
    EXPECT_EQ(output_of(given), GetParam() == Isolation::ipc_only ? as_host : "3145728\n");
    given.arguments = shell(
        "stat -f -c %T /dev/shm; stat -c %a /dev/shm; findmnt -n -o OPTIONS /dev/shm | tail -1; "
        "head -c 4M /dev/zero >/dev/shm/file 2>&1 || stat -c %s /dev/shm/file");
    if (GetParam() == Isolation::ipc_only) return;
    const std::string text = output_of(given);
    EXPECT_TRUE(text.starts_with("tmpfs\n1777\n")) << text;
    EXPECT_NE(text.find("nosuid,nodev"), std::string::npos) << text;
    EXPECT_TRUE(text.ends_with("3145728\n")) << text;
}

// At the end.

struct Count {
    int queues = -1, sets = -1, segments = -1;
    bool mq = false;
    friend bool operator==(const Count&, const Count&) = default;
};

std::ostream& operator<<(std::ostream& out, const Count& count) {
    return out << count.queues << " queues, " << count.sets << " sets, " << count.segments << " segments, mq "
               << count.mq;
}

// What the namespace holds, asked by system calls from inside; and whether there is the POSIX queue "/q".
Count contents_of(const Child& child) {
    return child.ipc().call([] {
        struct shm_info shm {};
        struct msginfo msg {};
        struct seminfo sem {};
        ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&shm));
        ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&msg));
        ::semctl(0, 0, SEM_INFO, &sem);
        const mqd_t queue = ::mq_open("/q", O_RDONLY);
        if (queue >= 0) ::mq_close(queue);
        return Count{msg.msgpool, sem.semusz, shm.used_ids, queue >= 0};
    });
}

constexpr Count everything{1, 1, 1, true};
constexpr Count nothing{0, 0, 0, false};

TEST_P(LaunchEachWay, CleanUpRemovesEveryKindAndCounts) {
    const SelfByDescriptor program;
    const Pipe go = Pipe::make();
    const Fd inherited(::dup(go.out.get()));
    const bool with_shm = GetParam() != Isolation::ipc_only;
    std::string words = " @program sysv mq /q ";
    if (with_shm) words += "shm /s folders ";
    // The redirection is the shell's: standard input of the program.
    Running running(options(shell("exec " + program.path() + words + "say done line </proc/self/fd/" +
                                  std::to_string(inherited.get()))));
    ASSERT_EQ(running.line(), "done");
    const Fd shm(::open(("/proc/" + std::to_string(running.child().pid()) + "/root/dev/shm").c_str(),
                        O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_TRUE(shm);
    const std::string shm_path = "/proc/self/fd/" + std::to_string(shm.get());
    ASSERT_EQ(::write(go.in.get(), "\n", 1), 1);
    ASSERT_EQ(running.wait().code, 0);
    ASSERT_EQ(contents_of(running.child()), everything);
    const Surroundings before = Surroundings::now();
    Leftovers removed = running.child().clean_up();
    before.expect_unchanged();
    EXPECT_TRUE(removed.inside.empty());
    EXPECT_FALSE(removed.empty());
    EXPECT_EQ(removed.sysv.queues, 1U);
    EXPECT_EQ(removed.sysv.semaphore_sets, 1U);
    EXPECT_EQ(removed.sysv.segments, 1U);
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    EXPECT_EQ(removed.sysv.segment_bytes, (5000 + page - 1) / page * page);
    EXPECT_EQ(removed.queues.files, 1U);
    EXPECT_EQ(contents_of(running.child()), nothing);
    if (with_shm) {
        EXPECT_EQ(removed.files.files, 5U); // s, a, a/b, a/b/c and a/b/c/file
        EXPECT_EQ(removed.files.bytes, page);
        EXPECT_TRUE(std::filesystem::is_empty(shm_path));
    } else {
        EXPECT_EQ(removed.files.files, 0U);
    }
    removed = running.child().clean_up();
    EXPECT_TRUE(removed.empty() && removed.inside.empty());
}

TEST_P(LaunchEachWay, CleanUpOfEachKindAlone) {
    const SelfByDescriptor program;
    const auto after = [&](std::vector<std::string> words) {
        Child child = launch(options(self(std::move(words), program.path())));
        EXPECT_EQ(child.wait().code, 0);
        return child.clean_up();
    };
    EXPECT_TRUE(after({"pid"}).empty());
    EXPECT_EQ(after({"make-key", "5"}).sysv.queues, 1U);
    EXPECT_EQ(after({"mq", "/one", "mq", "/two"}).queues.files, 2U);
    if (GetParam() != Isolation::ipc_only) {
        EXPECT_EQ(after({"folders"}).files.files, 4U);
    }
}

TEST_F(Launch, CleanUpRemovesNothingWhileSomebodyIsInside) {
    for (const Isolation isolation : {Isolation::ipc_only, Isolation::six_kinds}) {
        Running running(options_for(self({"sysv", "mq", "/q", "background"}), isolation));
        Stray background(std::atoi(running.line().c_str()));
        ASSERT_EQ(running.wait().code, 0);
        Leftovers removed = running.child().clean_up();
        EXPECT_EQ(removed.inside, std::vector<pid_t>{background.pid()});
        EXPECT_TRUE(removed.empty());
        EXPECT_EQ(contents_of(running.child()), everything);

        // And this waits for it.
        std::string seen;
        const pid_t pid = background.pid();
        std::thread waiting([&] {
            wait_until_nobody_inside(running.child().ipc().id());
            seen = ipc_link_of(pid);
        });
        background.end();
        waiting.join();
        EXPECT_EQ(seen, "");
        removed = running.child().clean_up();
        EXPECT_TRUE(removed.inside.empty());
        EXPECT_EQ(removed.sysv.objects(), 3U);
        EXPECT_EQ(removed.queues.files, 1U);
        EXPECT_EQ(contents_of(running.child()), nothing);
    }
}

TEST_P(LaunchEachWay, EnterAndCleanUp) {
    Forked forked([&] {
        const SelfByDescriptor program;
        Child child = launch(options(self({"sysv", "mq", "/q"}, program.path())));
        EXPECT_EQ(child.wait().code, 0);
        const Leftovers removed = child.enter_and_clean_up();
        EXPECT_EQ(removed.sysv.objects(), 3U);
        EXPECT_EQ(removed.queues.files, 1U);
        EXPECT_EQ(own_ipc_link(), link_with(child.ipc().id().inode));
        struct msginfo msg {};
        ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&msg));
        EXPECT_EQ(msg.msgpool, 0);
    });
    EXPECT_TRUE(forked.good());
}

// In programs that do other things as well.

struct Seen {
    std::atomic<pid_t> owner;
    std::atomic<long> here, elsewhere;
};
Seen* seen = nullptr;

void count_signal(int) {
    if (::getpid() == seen->owner)
        ++seen->here;
    else
        ++seen->elsewhere;
}

TEST_P(LaunchEachWay, NoHandlerRunsInTheChildAmongThreadsAndSignals) {
    auto* memory = ::mmap(nullptr, sizeof(Seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    seen = new (memory) Seen{};
    Forked forked([&] {
        seen->owner = ::getpid();
        ::setpgid(0, 0);
        struct sigaction action {};
        action.sa_handler = count_signal;
        action.sa_flags = SA_RESTART;
        ::sigaction(SIGUSR1, &action, nullptr);
        ::sigaction(SIGCHLD, &action, nullptr);
        // A storm over the whole process group, to which each program belongs from its birth.
        const pid_t group = ::getpid();
        const Waiting storm([&] {
            ::setpgid(0, 0);
            if (::fork() != 0) return;
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (::kill(-group, SIGUSR1) == 0) {}
            ::_exit(0);
        });
        std::atomic<bool> stop = false;
        std::vector<std::thread> busy;
        for (int i = 0; i < 8; ++i) {
            busy.emplace_back([&stop] {
                // Most of the time somebody holds the lock of malloc.
                while (!stop) {
                    std::vector<std::string> texts(20, std::string(500, 'x'));
                    std::this_thread::yield();
                }
            });
        }
        int ended = 0;
        for (int i = 0; i < 40; ++i) {
            Child child = launch(options({"/bin/true"}));
            const ExitStatus status = child.wait();
            EXPECT_TRUE(status.shell_status() == 0 || status.signal == SIGUSR1) << status.shell_status();
            ++ended;
        }
        // With the signal blocked all of them live; also where the program is not found.
        LaunchOptions given = options({"/bin/cat", "/proc/self/status"});
        given.signal_mask.emplace();
        ::sigfillset(&*given.signal_mask);
        const std::string status = output_of(given);
        EXPECT_EQ(signals(status, "SigCgt"), 0U);
        given.arguments = {"/nonexistent"};
        EXPECT_EQ(error_of([&] { (void)launch(given); }), ENOENT);
        stop = true;
        for (auto& thread : busy) thread.join();
        EXPECT_EQ(ended, 40);
    });
    EXPECT_TRUE(forked.good());
    EXPECT_GT(seen->here, 0);
    EXPECT_EQ(seen->elsewhere, 0);
    ::munmap(memory, sizeof(Seen));
    seen = nullptr;
}

TEST_P(LaunchEachWay, ManyThreadsAtOnce) {
    const Surroundings before = Surroundings::now();
    {
        std::vector<std::vector<Child>> children(8);
        std::atomic<int> wrong = 0;
        std::vector<std::thread> threads;
        for (int number = 0; number < 8; ++number) {
            threads.emplace_back([&, number] {
                for (int i = 0; i < 5; ++i) {
                    LaunchOptions bad = options({"/bin/true"});
                    bad.directory = "/nonexistent";
                    if (error_of([&] { (void)launch(bad); }) != ENOENT) ++wrong;
                    children[static_cast<std::size_t>(number)].push_back(
                        launch(options(shell("exit " + std::to_string(10 * number + i)))));
                    if (children[static_cast<std::size_t>(number)].back().wait().code != 10 * number + i)
                        ++wrong;
                }
            });
        }
        for (auto& thread : threads) thread.join();
        EXPECT_EQ(wrong, 0);
        std::set<ino_t> inodes{inode_in(own_ipc_link())};
        for (const auto& some : children)
            for (const auto& child : some) inodes.insert(child.ipc().id().inode);
        EXPECT_EQ(inodes.size(), 41U);
    }
    before.expect_unchanged();
    expect_no_children();
}

TEST_P(LaunchEachWay, ProgramDiesWithItsParentWhenTold) {
    // The last is what takes two user namespaces, for an ordinary user.
    for (const bool with_limit : {false, true}) {
        Forked forked([&] {
            LaunchOptions given = options(shell("echo ready; exec sleep 1000"));
            given.die_with_parent = true;
            if (with_limit) given.limits = {Limit::parse("shmmni=77")};
            const Child child = launch(given);
            say("%d\n", child.pid());
            ::pause();
        });
        std::string one = forked.line();
        std::string two = forked.line();
        if (one == "ready") std::swap(one, two);
        ASSERT_EQ(two, "ready");
        Stray program(std::atoi(one.c_str()));
        ASSERT_NE(ipc_link_of(program.pid()), "");
        ::kill(forked.pid(), SIGKILL);
        forked.wait();
        // Its standard output is our pipe, which ends with it.
        EXPECT_EQ(forked.rest(), "");
        EXPECT_TRUE(eventually([&] { return ipc_link_of(program.pid()).empty(); }));
    }
}

// Becoming the program.

TEST_F(Launch, ReplaceBecomesTheProgram) {
    for (const Isolation isolation : {Isolation::ipc_only, Isolation::six_kinds}) {
        Forked forked([&] {
            LaunchOptions given = options_for(
                shell(
                    "echo $$ $(id -u) $A; readlink /proc/$$/ns/ipc; readlink /proc/$$/ns/mnt; cat /proc/sys/kernel/shmmni; pwd; exit 9"),
                isolation);
            given.environment = {"PATH=/bin:/usr/bin", "A=given"};
            given.limits = {Limit::parse("shmmni=77")};
            given.directory = "/usr";
            replace(given);
        });
        EXPECT_EQ(forked.line(), std::to_string(forked.pid()) + " " + std::to_string(::getuid()) + " given");
        EXPECT_NE(forked.line(), own_ipc_link());
        EXPECT_EQ(forked.line() != own_namespace("mnt"), isolation == Isolation::six_kinds);
        EXPECT_EQ(forked.rest(), "77\n/usr\n");
        const int status = forked.wait();
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 9) << status;
    }
}

TEST_F(Launch, ReplaceThatFailsThrows) {
    Forked forked([] {
        LaunchOptions given = options_for({"/bin/true"}, Isolation::strict);
        EXPECT_THROW(replace(given), UsageError);
        given.isolation = Isolation::six_kinds;
        given.arguments = {"/nonexistent"};
        try {
            replace(given);
        } catch (const ProgramError& error) {
            EXPECT_EQ(error.shell_status(), 127);
            return;
        }
    });
    EXPECT_TRUE(forked.good());
}

// Into a place that exists.

class LaunchIntoPlace : public ::testing::TestWithParam<Registry::Holding> {
protected:
    void SetUp() override {
        NeedNamespaces();
        if (GetParam() == Registry::Holding::mounts) NeedRoot();
    }
};

INSTANTIATE_TEST_SUITE_P(Launch, LaunchIntoPlace,
                         ::testing::Values(Registry::Holding::mounts, Registry::Holding::keeper),
                         [](const auto& kind) {
                             return kind.param == Registry::Holding::mounts ? "Mounts" : "Keeper";
                         });

TEST_P(LaunchIntoPlace, ProgramHasItsObjectsAndItsDevShm) {
    const OwnRegistry names(GetParam());
    names->create("place");
    const Place place = names->open("place");
    const Surroundings before = Surroundings::now();
    {
        const Fd file(::openat(place.shm.get(), "outside", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        ASSERT_TRUE(file);
        LaunchOptions options =
            options_for(self({"make-key", "5", "mq", "/q", "shm", "/inside"}), Isolation::six_kinds);
        options.place = &place;
        Child child = launch(options);
        EXPECT_EQ(child.wait().code, 0);
        EXPECT_EQ(child.ipc().id(), place.ipc.id());
        EXPECT_EQ(::faccessat(place.shm.get(), "inside", F_OK, 0), 0);
        // Not the launcher's to remove.
        EXPECT_TRUE(child.clean_up().empty());
        options.arguments = self({"find-key", "5", "find-mq", "/q"});
        EXPECT_EQ(output_of(options), "found\nfound\n");
        options.arguments =
            shell("readlink /proc/self/ns/ipc; ls /dev/shm; id -u; cat /proc/sys/kernel/shmmni");
        options.limits = {Limit::parse("shmmni=78")};
        EXPECT_EQ(output_of(options), link_with(place.ipc.id().inode) + "\ninside\noutside\n" +
                                          std::to_string(::getuid()) + "\n78\n");
        // The mounts left alone.
        const OwnObjects ours;
        options.arguments = shell("test -e " + ours.file + " && echo seen; readlink /proc/self/ns/ipc");
        EXPECT_EQ(output_of(options), link_with(place.ipc.id().inode) + "\n");
        options.isolation = Isolation::ipc_only;
        EXPECT_EQ(output_of(options), "seen\n" + link_with(place.ipc.id().inode) + "\n");
        options.arguments = shell("id -u");
        options.map_root = true;
        EXPECT_EQ(output_of(options), "0\n");
    }
    before.expect_unchanged();
    expect_no_children();
}

TEST_P(LaunchIntoPlace, NothingIsLeftAfterAFailure) {
    const OwnRegistry names(GetParam());
    names->create("place");
    const Place place = names->open("place");
    const Surroundings before = Surroundings::now();
    for (const Isolation isolation : {Isolation::ipc_only, Isolation::six_kinds}) {
        LaunchOptions options = options_for({"/nonexistent"}, isolation);
        options.place = &place;
        EXPECT_THROW((void)launch(options), ProgramError);
        options.arguments = {"/bin/true"};
        options.directory = "/nonexistent/folder";
        EXPECT_EQ(error_of([&] { (void)launch(options); }), ENOENT);
        options.directory.clear();
        options.limits = {{find_limit_key("shmmni"), "-5"}};
        EXPECT_EQ(error_of([&] { (void)launch(options); }), EINVAL);
        before.expect_unchanged();
        expect_no_children();
    }
    LaunchOptions options = options_for({"/bin/true"}, Isolation::strict);
    options.place = &place;
    EXPECT_THROW((void)launch(options), UsageError);
    before.expect_unchanged();
}

TEST_P(LaunchIntoPlace, ReplaceEntersIt) {
    const OwnRegistry names(GetParam());
    names->create("place");
    const Place place = names->open("place");
    const Fd file(::openat(place.shm.get(), "outside", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    Forked forked([&] {
        LaunchOptions options =
            options_for(shell("readlink /proc/self/ns/ipc; ls /dev/shm; id -u"), Isolation::six_kinds);
        options.place = &place;
        replace(options);
    });
    EXPECT_EQ(forked.rest(),
              link_with(place.ipc.id().inode) + "\noutside\n" + std::to_string(::getuid()) + "\n");
    EXPECT_EQ(forked.wait(), 0);
}

TEST_P(LaunchIntoPlace, EnterMovesTheCallingProcess) {
    const OwnRegistry names(GetParam());
    names->create("place");
    const Place place = names->open("place");
    const Surroundings before = Surroundings::now();
    const uid_t user = ::geteuid();
    const std::string mounts = own_namespace("mnt");
    EXPECT_EQ(in_fork([&] {
                  enter(place);
                  EXPECT_EQ(own_ipc_link(), link_with(place.ipc.id().inode));
                  EXPECT_NE(own_namespace("mnt"), mounts);
                  EXPECT_EQ(write_file("/dev/shm/inside", "x"), 0);
                  EXPECT_EQ(::geteuid(), user);
                  return ::testing::Test::HasFailure() ? 1 : 0;
              }),
              0);
    EXPECT_EQ(::faccessat(place.shm.get(), "inside", F_OK, 0), 0);
    EXPECT_NE(::access("/dev/shm/inside", F_OK), 0);
    before.expect_unchanged();
}

TEST_P(LaunchIntoPlace, EnterSaysWhyNot) {
    const OwnRegistry names(GetParam());
    names->create("place");
    const Place place = names->open("place");
    (void)names->remove("place");
    if (GetParam() == Registry::Holding::keeper)
        GTEST_SKIP() << "a keeper's /dev/shm lives on with the descriptor";
    EXPECT_EQ(in_fork([&] { return error_of([&] { enter(place); }) == ENOENT ? 0 : 1; }), 0);
}

TEST_F(Launch, OwnNamespaceAsThePlaceChangesNothing) {
    const Place place = resolve(Target{});
    for (const Isolation isolation : {Isolation::ipc_only, Isolation::six_kinds}) {
        LaunchOptions options =
            options_for(shell("for k in ipc mnt user; do readlink /proc/self/ns/$k; done"), isolation);
        options.place = &place;
        EXPECT_EQ(output_of(options),
                  own_namespace("ipc") + "\n" + own_namespace("mnt") + "\n" + own_namespace("user") + "\n");
    }
}

} // namespace
} // namespace ipcns::test
