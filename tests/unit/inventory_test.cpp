// SPDX-License-Identifier: Apache-2.0
// Which namespaces there are and who is in them. Namespaces are made and held by child processes in every way there is;
// the rest of the system goes on meanwhile, so a test looks at its own namespaces alone.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/inventory.hpp>

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <atomic>
#include <cctype>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace ipcns {
namespace {

using test::in_fork;
using test::inode_in;
using test::ipc_link_of;
using test::move_into_new_namespaces;
using test::open_fds;
using test::own_ipc_link;
using test::TempFolder;
using test::Waiting;

using Descriptors = InventoryOptions::Descriptors;
using Pids = std::vector<pid_t>;

std::string proc(pid_t pid, const std::string& file) { return "/proc/" + std::to_string(pid) + "/" + file; }

Pids sorted(Pids pids) {
    std::sort(pids.begin(), pids.end());
    return pids;
}

InventoryOptions searching() {
    InventoryOptions options;
    options.descriptors = Descriptors::always;
    return options;
}

// The entry of a namespace, if it is there.
std::optional<InventoryEntry> entry_in(const Inventory& inventory, const std::string& link) {
    for (const auto& entry : inventory.entries) {
        if (entry.id.inode == inode_in(link)) return entry;
    }
    return std::nullopt;
}

// The same in a new inventory.
std::optional<InventoryEntry> entry_of(const std::string& link,
                                       const InventoryOptions& options = searching()) {
    return entry_in(Inventory::take(options), link);
}

NamespaceId id_of(const std::string& link) {
    struct stat about {};
    if (::stat("/proc/self/ns/ipc", &about) != 0) test::broken("stat");
    return {about.st_dev, inode_in(link)};
}

// For a Waiting: moves into the namespace of another process.
void join(pid_t pid) {
    const Fd user(::open(proc(pid, "ns/user").c_str(), O_RDONLY | O_CLOEXEC));
    const Fd ipc(::open(proc(pid, "ns/ipc").c_str(), O_RDONLY | O_CLOEXEC));
    if (::geteuid() != 0 && ::setns(user.get(), CLONE_NEWUSER) != 0) test::broken("join a user namespace");
    if (::setns(ipc.get(), CLONE_NEWIPC) != 0) test::broken("join an IPC namespace");
}

void hold(pid_t pid) {
    if (::open(proc(pid, "ns/ipc").c_str(), O_RDONLY | O_CLOEXEC) < 0) test::broken("open a namespace");
}

// For a Waiting: starts a thread in a new IPC namespace, and as many @p more in the same, and tells which it is.
void start_threads_in_new_namespace(int write_to, int more) {
    std::atomic<bool> ready{false};
    std::thread([&] {
        if (::unshare(CLONE_NEWIPC) != 0) ::_exit(98);
        const std::string link = own_ipc_link();
        for (int i = 0; i < more; ++i) {
            std::thread([] {
                for (;;) ::pause();
            }).detach();
        }
        if (::write(write_to, link.data(), link.size()) < 0) ::_exit(98);
        ready = true;
        for (;;) ::pause();
    }).detach();
    while (!ready) std::this_thread::yield();
}

// A pipe through which a Waiting tells a short text.
class Word {
public:
    Word() {
        if (::pipe2(ends_.data(), O_CLOEXEC) != 0) test::broken("pipe");
    }
    ~Word() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    Word(const Word&) = delete;
    Word& operator=(const Word&) = delete;
    [[nodiscard]] int in() const { return ends_[1]; }
    void say(const std::string& text) const {
        if (::write(ends_[1], text.data(), text.size()) < 0) test::broken("write");
    }
    [[nodiscard]] std::string hear() const {
        char text[64];
        const ssize_t length = ::read(ends_[0], text, sizeof text);
        return {text, length < 0 ? 0 : static_cast<std::size_t>(length)};
    }

private:
    std::array<int, 2> ends_{};
};

// A program that was executed in a forked child after @p prepare. The constructor returns when it runs.
class Program {
public:
    Program(const std::string& path, std::vector<std::string> arguments,
            const std::function<void()>& prepare) {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) test::broken("pipe");
        pid_ = ::fork();
        if (pid_ == 0) {
            try {
                prepare();
                std::vector<char*> argv;
                for (auto& one : arguments) argv.push_back(one.data());
                argv.push_back(nullptr);
                ::prctl(PR_SET_PDEATHSIG, SIGKILL);
                ::execv(path.c_str(), argv.data());
            } catch (const std::exception& error) {
                std::fprintf(stderr, "%s\n", error.what());
            }
            const ssize_t written = ::write(ends[1], "", 1);
            ::_exit(written == 1 ? 98 : 99);
        }
        ::close(ends[1]);
        char byte = 0;
        const bool executed = ::read(ends[0], &byte, 1) == 0;
        ::close(ends[0]);
        if (!executed) {
            end();
            throw std::runtime_error("could not execute " + path);
        }
    }
    ~Program() { end(); }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    void end() const {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {}
    }
    pid_t pid_ = -1;
};

class Inventories : public testing::Test {
protected:
    void SetUp() override {
        NeedNamespaces();
        link_ = own_ipc_link();
        fds_ = open_fds();
    }
    void TearDown() override {
        if (IsSkipped()) return;
        EXPECT_EQ(own_ipc_link(), link_);
        EXPECT_EQ(open_fds(), fds_) << "descriptors leak";
        EXPECT_TRUE(::waitpid(-1, nullptr, WNOHANG | __WALL) == -1 && errno == ECHILD)
            << "a child was left behind";
    }
    std::string link_;
    std::vector<std::string> fds_;
};

TEST_F(Inventories, HasTheCallersOwn) {
    const Inventory inventory = Inventory::take();
    std::size_t found = 0;
    for (std::size_t i = 0; i < inventory.entries.size(); ++i) {
        const auto& entry = inventory.entries[i];
        if (i > 0) {
            EXPECT_LT(inventory.entries[i - 1].id, entry.id) << "not in order, or twice";
        }
        EXPECT_TRUE(std::is_sorted(entry.processes.begin(), entry.processes.end()));
        EXPECT_FALSE(entry.contents.has_value());
        EXPECT_TRUE(entry.keepers.empty());
        if (!std::binary_search(entry.processes.begin(), entry.processes.end(), ::getpid())) continue;
        ++found;
        EXPECT_EQ(entry.id, id_of(link_));
        ASSERT_TRUE(entry.first.has_value());
        EXPECT_GE(entry.first->pid, entry.processes.front());
    }
    EXPECT_EQ(found, 1U);
}

TEST_F(Inventories, HeldByProcesses) {
    const Waiting one([] { move_into_new_namespaces(); });
    const Waiting two([&] { join(one.pid()); });
    const Waiting other([] { move_into_new_namespaces(); });
    const std::string link = ipc_link_of(one.pid());
    ASSERT_EQ(ipc_link_of(two.pid()), link);
    const auto entry = entry_of(link);
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->id, id_of(link));
    EXPECT_EQ(entry->processes, sorted({one.pid(), two.pid()}));
    EXPECT_EQ(entry->mounts, std::vector<std::string>());
    EXPECT_EQ(entry->descriptors, Pids());
    EXPECT_EQ(entry->keepers, Pids());
    ASSERT_TRUE(entry->first.has_value());
    EXPECT_EQ(entry->first->pid, std::min(one.pid(), two.pid()));
    EXPECT_EQ(entry->first->user, ::geteuid());
    std::string command = test::read_file("/proc/self/cmdline"); // forked, so the same
    command.pop_back();
    std::replace(command.begin(), command.end(), '\0', ' ');
    EXPECT_EQ(entry->first->command, command);
    EXPECT_EQ(entry_of(ipc_link_of(other.pid())).value().processes, Pids{other.pid()});
    EXPECT_EQ(processes_inside(id_of(link)), sorted({one.pid(), two.pid()}));
    EXPECT_EQ(processes_inside(id_of(ipc_link_of(other.pid()))), Pids{other.pid()});
}

class HeldByThreads : public Inventories, public testing::WithParamInterface<int> {};

TEST_P(HeldByThreads, Only) {
    const Word word;
    const Waiting process([&] {
        move_into_new_namespaces();
        start_threads_in_new_namespace(word.in(), GetParam());
    });
    const std::string link = word.hear();
    ASSERT_NE(link, "");
    ASSERT_NE(link, ipc_link_of(process.pid()));
    const auto entry = entry_of(link);
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->processes, Pids{process.pid()}) << "one process, however many of its threads";
    ASSERT_TRUE(entry->first.has_value());
    EXPECT_EQ(entry->first->pid, process.pid());
    EXPECT_EQ(entry_of(ipc_link_of(process.pid())).value().processes, Pids{process.pid()})
        << "its main thread is there";
    EXPECT_EQ(processes_inside(id_of(link)), Pids{process.pid()});
    EXPECT_EQ(processes_inside(id_of(ipc_link_of(process.pid()))), Pids{process.pid()});
}

INSTANTIATE_TEST_SUITE_P(Inventories, HeldByThreads, testing::Values(0, 2));

TEST_F(Inventories, HeldByDescriptorsOnly) {
    Waiting maker([] { move_into_new_namespaces(); });
    const std::string link = ipc_link_of(maker.pid());
    const Waiting one([&] {
        hold(maker.pid());
        hold(maker.pid());
    });
    const Waiting two([&] { hold(maker.pid()); });
    maker.kill();
    const auto entry = entry_of(link);
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->id, id_of(link));
    EXPECT_EQ(entry->descriptors, sorted({one.pid(), two.pid()}));
    EXPECT_EQ(entry->processes, Pids());
    EXPECT_FALSE(entry->first.has_value());
    EXPECT_EQ(processes_inside(id_of(link)), Pids());
    InventoryOptions never;
    never.descriptors = Descriptors::never;
    EXPECT_FALSE(entry_of(link, never).has_value());
    EXPECT_FALSE(Inventory::take(never).descriptors_searched);
    EXPECT_TRUE(Inventory::take(searching()).descriptors_searched);
}

TEST_F(Inventories, HeldByAMountOnly) {
    const TempFolder folder;
    const std::string place = folder / "a \\ place\n\t1";
    ASSERT_EQ(test::write_file(place, ""), 0);
    const Word word;
    const Waiting process([&] {
        move_into_new_namespaces();
        if (::mount("/proc/self/ns/ipc", place.c_str(), nullptr, MS_BIND, nullptr) != 0)
            test::broken("mount");
        // Another kind of namespace on the way must not be taken for one of ours.
        const std::string net = folder / "net";
        test::write_file(net, "");
        if (::mount("/proc/self/ns/net", net.c_str(), nullptr, MS_BIND, nullptr) != 0) test::broken("mount");
        word.say(own_ipc_link());
        if (::unshare(CLONE_NEWIPC) != 0) test::broken("unshare");
    });
    const std::string link = word.hear();
    ASSERT_NE(link, ipc_link_of(process.pid()));
    const auto entry = entry_of(link);
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->id, id_of(link));
    EXPECT_EQ(entry->mounts, std::vector<std::string>{place});
    EXPECT_EQ(entry->processes, Pids());
    EXPECT_EQ(entry->descriptors, Pids());
    EXPECT_FALSE(entry->first.has_value());
    EXPECT_EQ(entry_of(ipc_link_of(process.pid())).value().mounts, std::vector<std::string>());
    EXPECT_FALSE(entry_of(test::read_link("/proc/self/ns/net")).has_value());
}

TEST_F(Inventories, GoneWithItsLastHolder) {
    Waiting process([] { move_into_new_namespaces(); });
    const std::string link = ipc_link_of(process.pid());
    ASSERT_TRUE(entry_of(link).has_value());
    process.end(); // a zombie is in no namespace
    const auto entry = entry_of(link);
    // The number may be somebody else's by now.
    EXPECT_TRUE(!entry || std::count(entry->processes.begin(), entry->processes.end(), process.pid()) == 0);
    const Pids inside = processes_inside(id_of(link));
    EXPECT_EQ(std::count(inside.begin(), inside.end(), process.pid()), 0);
}

void make_objects() {
    for (int i = 0; i < 3; ++i) {
        if (::shmget(IPC_PRIVATE, 5000, IPC_CREAT | 0600) < 0) test::broken("shmget");
    }
    for (int i = 0; i < 2; ++i) {
        if (::msgget(IPC_PRIVATE, IPC_CREAT | 0600) < 0) test::broken("msgget");
    }
    if (::semget(IPC_PRIVATE, 4, IPC_CREAT | 0600) < 0) test::broken("semget");
    if (!std::filesystem::exists("/proc/sys/fs/mqueue")) return;
    struct mq_attr smallest {};
    smallest.mq_maxmsg = 1;
    smallest.mq_msgsize = 1;
    for (const char* name : {"/ipcns-a", "/ipcns-b", "/ipcns-c", "/ipcns-d"}) {
        const mqd_t queue = ::mq_open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600, &smallest);
        if (queue < 0) test::broken("mq_open");
        ::mq_close(queue);
    }
}

TEST_F(Inventories, Contents) {
    const std::size_t queues = std::filesystem::exists("/proc/sys/fs/mqueue") ? 4 : 0;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    const Waiting full([] {
        move_into_new_namespaces();
        make_objects();
    });
    const Waiting empty([] { move_into_new_namespaces(); });
    // One more that is held by a descriptor alone.
    auto maker = std::make_unique<Waiting>([] {
        move_into_new_namespaces();
        make_objects();
    });
    const std::string held = ipc_link_of(maker->pid());
    const Waiting holder([&] { hold(maker->pid()); });
    maker.reset();

    // Once for all: this enters every namespace of the host, however many there are.
    InventoryOptions options = searching();
    options.contents = true;
    const Inventory inventory = Inventory::take(options);
    for (const std::string& link : {ipc_link_of(full.pid()), held}) {
        const auto entry = entry_in(inventory, link);
        ASSERT_TRUE(entry.has_value());
        ASSERT_TRUE(entry->contents.has_value());
        EXPECT_EQ(entry->contents->objects, 6 + queues);
        EXPECT_EQ(entry->contents->segment_bytes, 3 * ((5000 + page - 1) / page * page));
    }
    const auto entry = entry_in(inventory, ipc_link_of(empty.pid()));
    ASSERT_TRUE(entry && entry->contents);
    EXPECT_EQ(entry->contents->objects, 0U);
    EXPECT_EQ(entry->contents->segment_bytes, 0U);
    EXPECT_FALSE(entry_of(held).value().contents.has_value()) << "nobody asked";
    // The namespace that one is in has not to be entered.
    EXPECT_TRUE(entry_in(inventory, link_).value().contents.has_value());
}

TEST_F(Inventories, DetailsWhenAskedFor) {
    const Waiting process([] { move_into_new_namespaces(); });
    const std::string link = ipc_link_of(process.pid());
    InventoryOptions options;
    options.details = false;
    EXPECT_FALSE(entry_of(link, options).value().first.has_value());
    options.keepers_apart = true; // looks for them, and still does not tell
    EXPECT_FALSE(entry_of(link, options).value().first.has_value());
    EXPECT_EQ(entry_of(link, options).value().processes, Pids{process.pid()});
}

TEST_F(Inventories, WhoMayBeBlocked) {
    const int id = ::semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    ASSERT_GE(id, 0);
    const auto decrease = [id] {
        struct sembuf operation {
            0, -1, 0
        };
        (void)::semop(id, &operation, 1);
    };
    const Waiting idle([] {});
    const Waiting with_thread([&] { std::thread(decrease).detach(); });
    const Program blocked("/bin/sleep", {"sleep", "1000"}, [] {});
    const pid_t waits = ::fork();
    if (waits == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        decrease();
        ::_exit(0);
    }
    for (int i = 0; i < 5000 && ::semctl(id, 0, GETNCNT) != 2; ++i) ::usleep(1000);
    EXPECT_EQ(::semctl(id, 0, GETNCNT), 2);
    InventoryOptions options;
    EXPECT_EQ(Inventory::take(options).blocked, Pids()) << "nobody asked";
    options.blocked = true;
    const Pids found = Inventory::take(options).blocked;
    EXPECT_TRUE(std::is_sorted(found.begin(), found.end()));
    const auto has = [&](pid_t pid) { return std::binary_search(found.begin(), found.end(), pid); };
    EXPECT_TRUE(has(waits));
    EXPECT_TRUE(has(with_thread.pid())) << "another thread than the main one";
    EXPECT_FALSE(has(idle.pid()));
    EXPECT_FALSE(has(blocked.pid())) << "it sleeps, but for nobody";
    EXPECT_EQ(::semctl(id, 0, IPC_RMID), 0);
    (void)::waitpid(waits, nullptr, 0);
}

TEST_F(Inventories, KeepersApart) {
    const TempFolder folder;
    std::filesystem::create_symlink("/bin/sleep", folder / "ipcns-keeper");
    const Program keeper(folder / "ipcns-keeper", {"ipcns-keeper", "1000"}, move_into_new_namespaces);
    const Waiting other([&] { join(keeper.pid()); });
    const std::string link = ipc_link_of(keeper.pid());
    ASSERT_EQ(test::read_file(proc(keeper.pid(), "comm")), "ipcns-keeper\n");
    InventoryOptions options;
    EXPECT_EQ(entry_of(link, options).value().processes, sorted({keeper.pid(), other.pid()}));
    EXPECT_EQ(entry_of(link, options).value().keepers, Pids());
    options.keepers_apart = true;
    const auto entry = entry_of(link, options);
    ASSERT_TRUE(entry && entry->first);
    if (keeper.pid() < other.pid()) { // else process ids began anew between the two
        EXPECT_EQ(entry->keepers, Pids{keeper.pid()});
        EXPECT_EQ(entry->processes, Pids{other.pid()});
        EXPECT_EQ(entry->first->pid, other.pid());
    }
    EXPECT_EQ(processes_inside(id_of(link)), sorted({keeper.pid(), other.pid()}));
}

TEST_F(Inventories, WhoOnlyCallsItselfAKeeperInItsArgumentsIsNone) {
    const Program program("/bin/sleep", {"ipcns-keeper 1", "1000"}, move_into_new_namespaces);
    InventoryOptions options;
    options.keepers_apart = true;
    const auto entry = entry_of(ipc_link_of(program.pid()), options);
    ASSERT_TRUE(entry && entry->first);
    EXPECT_EQ(entry->keepers, Pids());
    EXPECT_EQ(entry->processes, Pids{program.pid()});
    EXPECT_EQ(entry->first->command, "ipcns-keeper 1 1000");
}

TEST_F(Inventories, TellsHowManyItMayNotSee) {
    const int status = in_fork([] {
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 2;
        if (!test::read_link("/proc/1/ns/ipc").empty() || errno != EACCES)
            return 0; // process 1 is ours: nothing is hidden
        const Inventory inventory = Inventory::take();
        if (inventory.unseen == 0) return 3;
        for (const auto& entry : inventory.entries) {
            if (!entry.processes.empty() && entry.processes.front() == 1) return 4;
        }
        return 0;
    });
    EXPECT_EQ(status, 0);
}

TEST_F(Inventories, ManyProcesses) {
    // Enough of them that more than one thread looks.
    constexpr std::size_t many = 520;
    std::size_t there = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc"))
        there += std::isdigit(static_cast<unsigned char>(entry.path().filename().native()[0])) != 0;
    const std::size_t more = there < many ? many - there : 10;
    const Waiting parent([&] {
        move_into_new_namespaces();
        const pid_t parent_pid = ::getpid();
        for (std::size_t i = 0; i < more; ++i) {
            const pid_t child = ::fork();
            if (child < 0) test::broken("fork");
            if (child > 0) continue;
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (::getppid() == parent_pid) ::pause(); // it may have ended before the line above
            ::_exit(0);
        }
    });
    const std::string link = ipc_link_of(parent.pid());
    const auto entry = entry_of(link);
    ASSERT_TRUE(entry.has_value());
    EXPECT_EQ(entry->processes.size(), more + 1);
    EXPECT_TRUE(std::is_sorted(entry->processes.begin(), entry->processes.end()));
    EXPECT_EQ(std::adjacent_find(entry->processes.begin(), entry->processes.end()), entry->processes.end());
    for (const pid_t pid : entry->processes) EXPECT_EQ(ipc_link_of(pid), link);
    EXPECT_EQ(processes_inside(id_of(link)), entry->processes);
}

TEST_F(Inventories, ManyNamespaces) {
    std::vector<Namespace> made;
    for (int i = 0; i < 100; ++i) made.push_back(Namespace::create());
    const Inventory inventory = Inventory::take(searching());
    for (const auto& ipc : made) {
        const auto found = std::find_if(inventory.entries.begin(), inventory.entries.end(),
                                        [&](const InventoryEntry& entry) { return entry.id == ipc.id(); });
        ASSERT_NE(found, inventory.entries.end());
        // Somebody else who counts at this moment may have it open, too.
        EXPECT_TRUE(std::find(found->descriptors.begin(), found->descriptors.end(), ::getpid()) !=
                    found->descriptors.end());
        EXPECT_EQ(found->processes, Pids());
    }
}

TEST_F(Inventories, WhoEndsMeanwhileIsNoError) {
    // A process that makes and ends others, in new namespaces, as fast as it can.
    const Waiting busy([] {
        ::signal(SIGCHLD, SIG_IGN);
        const pid_t parent = ::getpid();
        const pid_t maker = ::fork();
        if (maker != 0) return;
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (::getppid() == parent) {
            const pid_t child = ::fork();
            if (child > 0) continue;
            if (child == 0) {
                if (::geteuid() == 0) (void)::unshare(CLONE_NEWIPC);
                ::_exit(0);
            }
            ::usleep(1000); // no more processes for now
        }
        ::_exit(0);
    });
    InventoryOptions options = searching();
    options.keepers_apart = true;
    for (int i = 0; i < 10; ++i) {
        options.contents = i == 0; // which enters every namespace of the host, however many there are
        const Inventory inventory = Inventory::take(options);
        for (const auto& entry : inventory.entries) {
            EXPECT_FALSE(entry.processes.empty() && entry.keepers.empty() && entry.mounts.empty() &&
                         entry.descriptors.empty());
        }
        const Pids inside = processes_inside(id_of(link_));
        EXPECT_TRUE(std::binary_search(inside.begin(), inside.end(), ::getpid()));
    }
}

TEST(ProcessesInside, OfANamespaceThatIsNone) { EXPECT_EQ(processes_inside({0, 999}), Pids()); }

TEST(DescribeProcess, ItsArgumentsAndUser) {
    const Program program("/bin/sleep", {"a b", "1000"}, [] {});
    auto process = describe_process(program.pid());
    ASSERT_TRUE(process.has_value());
    EXPECT_EQ(process->pid, program.pid());
    EXPECT_EQ(process->user, ::geteuid());
    EXPECT_EQ(process->command, "a b 1000");
    const Program strange("/bin/sleep", {"\x1b[31m\n\xff", "1000"}, [] {});
    process = describe_process(strange.pid());
    ASSERT_TRUE(process.has_value());
    EXPECT_EQ(process->command, "\x1b[31m\n\xff 1000") << "escaping is for who prints it";
}

TEST(DescribeProcess, WithoutArgumentsItsNameInBrackets) {
    const Waiting process([] { ::prctl(PR_SET_NAME, "a (name)"); });
    process.end(); // a zombie has no arguments
    const auto about = describe_process(process.pid());
    ASSERT_TRUE(about.has_value());
    EXPECT_EQ(about->command, "[a (name)]");
    if (std::filesystem::exists("/proc/2/comm") && test::read_file("/proc/2/comm") == "kthreadd\n") {
        EXPECT_EQ(describe_process(2)->command, "[kthreadd]");
        EXPECT_EQ(describe_process(2)->user, 0U);
    }
}

TEST(DescribeProcess, OfNobody) {
    for (const pid_t pid : {4194305, 0, -1}) EXPECT_FALSE(describe_process(pid).has_value()) << pid;
}

} // namespace
} // namespace ipcns
