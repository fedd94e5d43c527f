// SPDX-License-Identifier: Apache-2.0
// Names: both kinds of registry, each in a folder of its own; what they hold is looked at through the file system and by
// system calls. The system's registry is only used where /run is a private one.
#include "programs.hpp"

#include <ipcns/registry.hpp>

#include <sys/file.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/statfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <optional>

namespace ipcns::test {
namespace {

class RegistryOfEachKind : public ::testing::TestWithParam<Registry::Holding> {
protected:
    void SetUp() override {
        NeedNamespaces();
        if (!mounts()) return;
        NeedRoot();
    }
    static bool mounts() { return GetParam() == Registry::Holding::mounts; }
};

INSTANTIATE_TEST_SUITE_P(Registry, RegistryOfEachKind,
                         ::testing::Values(Registry::Holding::mounts, Registry::Holding::keeper),
                         [](const auto& kind) {
                             return kind.param == Registry::Holding::mounts ? "Mounts" : "Keeper";
                         });

using Strings = std::vector<std::string>;
using Set = std::set<std::string>;

Strings names_in(const Registry& registry) {
    Strings names;
    for (const auto& one : registry.list()) names.push_back(one.name);
    return names;
}

// The inode behind the link or mount NAME/ipc, found by the path that other programs use.
ino_t inode_of(const std::string& path) {
    struct stat about {};
    return ::stat(path.c_str(), &about) == 0 ? about.st_ino : 0;
}

std::size_t mounts_below(const std::string& path) {
    const std::string text = read_file("/proc/self/mountinfo");
    std::size_t count = 0;
    for (auto at = text.find(" " + path); at != std::string::npos; at = text.find(" " + path, at + 1))
        ++count;
    return count;
}

// The System V queues there are, asked from inside.
int queues_in(const Namespace& ipc) {
    return ipc.call([] {
        struct msginfo info {};
        ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&info));
        return info.msgpool;
    });
}

LaunchOptions into(const Place& place, std::vector<std::string> arguments) {
    LaunchOptions options = options_for(std::move(arguments), Isolation::six_kinds);
    options.place = &place;
    return options;
}

TEST_P(RegistryOfEachKind, CreateOpenListRemove) {
    const OwnRegistry names(GetParam());
    EXPECT_TRUE(names->list().empty());
    EXPECT_EQ(error_of([&] { (void)names->open("b"); }), ENOENT);
    EXPECT_EQ(error_of([&] { (void)names->remove("b"); }), ENOENT);
    names->create("b");
    names->create("a.c-d_E");
    EXPECT_EQ(names.entries(), (Set{"a.c-d_E", "b"}));
    const auto list = names->list();
    ASSERT_EQ(list.size(), 2U);
    EXPECT_EQ(list[0].name, "a.c-d_E");
    EXPECT_EQ(list[1].name, "b");
    EXPECT_NE(list[0].id, list[1].id);
    std::vector<pid_t> keepers;
    for (const auto& one : list) {
        EXPECT_EQ(one.owner, ::geteuid());
        EXPECT_FALSE(one.attached);
        EXPECT_EQ(one.path, names->folder() / one.name);
        const std::string path = one.path;
        EXPECT_EQ(one.keeper, mounts() ? 0 : keeper_in(path));
        EXPECT_NE(one.id.inode, inode_in(own_ipc_link()));
        const Place place = names->open(one.name);
        EXPECT_EQ(place.name, one.name);
        EXPECT_EQ(place.ipc.id(), one.id);
        EXPECT_EQ(inode_of(path + "/ipc"), one.id.inode);
        if (mounts()) {
            EXPECT_EQ(mounts_below(path + "/"), 3U);
        } else {
            ASSERT_GT(one.keeper, 0);
            EXPECT_EQ(inode_in(ipc_link_of(one.keeper)), one.id.inode);
            keepers.push_back(one.keeper);
        }
        // Its /dev/shm, through the place and by the path.
        struct statfs about {};
        struct stat mode {};
        ASSERT_EQ(::fstatfs(place.shm.get(), &about), 0);
        EXPECT_EQ(about.f_type, 0x01021994); // tmpfs
        ASSERT_EQ(::fstat(place.shm.get(), &mode), 0);
        EXPECT_EQ(mode.st_mode & 07777, 01777U);
        ASSERT_EQ(write_file(path + "/shm/" + one.name, "x"), 0);
        EXPECT_EQ(::faccessat(place.shm.get(), one.name.c_str(), F_OK, 0), 0);
        EXPECT_NE(::access(("/dev/shm/" + one.name).c_str(), F_OK), 0);
    }
    EXPECT_EQ(names->remove("b").files.files, 1U);
    EXPECT_EQ(names_in(*names), Strings{"a.c-d_E"});
    EXPECT_EQ(error_of([&] { (void)names->open("b"); }), ENOENT);
    EXPECT_EQ(error_of([&] { (void)names->remove("b"); }), ENOENT);
    (void)names->remove("a.c-d_E");
    EXPECT_EQ(names.entries(), Set{});
    EXPECT_EQ(mounts_below(names / ""), 0U);
    for (const pid_t keeper : keepers) EXPECT_EQ(ipc_link_of(keeper), "");
}

TEST_P(RegistryOfEachKind, NamespaceAndObjectsLiveWithoutProcessesAndGoWithTheName) {
    const OwnRegistry names(GetParam());
    names->create("db");
    std::optional<Namespace> kept;
    {
        const Place place = names->open("db");
        EXPECT_EQ(status_of(into(place, self({"sysv", "mq", "/q", "shm", "/s", "folders"}))).code, 0);
    }
    kept = names->open("db").ipc;
    EXPECT_EQ(queues_in(*kept), 1);
    if (::access((names / "db/mqueue").c_str(), X_OK) == 0 && mounts()) {
        EXPECT_EQ(::access((names / "db/mqueue/q").c_str(), F_OK), 0);
    }
    const Leftovers removed = names->remove("db");
    EXPECT_TRUE(removed.inside.empty());
    EXPECT_EQ(removed.sysv.queues, 1U);
    EXPECT_EQ(removed.sysv.semaphore_sets, 1U);
    EXPECT_EQ(removed.sysv.segments, 1U);
    EXPECT_EQ(removed.queues.files, 1U);
    EXPECT_EQ(removed.files.files, 5U);
    EXPECT_EQ(queues_in(*kept), 0);
    EXPECT_EQ(names.entries(), Set{});
}

TEST_P(RegistryOfEachKind, BadNamesAreUsageErrors) {
    const OwnRegistry names(GetParam());
    names->prepare();
    const Place place = resolve(Target{});
    for (const std::string& bad :
         {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("../a"),
          std::string(".new-x"), std::string(".lock"), std::string("self"), std::string("host"),
          std::string("1a"), std::string("-a"), std::string("a b"), std::string("\xc3\xa4"),
          std::string("a\n"), std::string("a\0b", 3), std::string(64, 'x')}) {
        SCOPED_TRACE(bad);
        EXPECT_THROW(names->create(bad), UsageError);
        EXPECT_THROW((void)names->create_leased(bad), UsageError);
        EXPECT_THROW(names->attach(bad, place), UsageError);
        EXPECT_THROW((void)names->open(bad), UsageError);
        EXPECT_THROW((void)names->remove(bad), UsageError);
    }
    EXPECT_EQ(names.entries(), Set{});
    names->create(std::string(63, 'x'));
    EXPECT_EQ(names_in(*names), Strings{std::string(63, 'x')});
    (void)names->remove(std::string(63, 'x'));
}

TEST_P(RegistryOfEachKind, ATakenNameStaysWhoseItIs) {
    const OwnRegistry names(GetParam());
    names->create("a");
    const NamespaceId id = names->open("a").ipc.id();
    EXPECT_EQ(error_of([&] { names->create("a"); }), EEXIST);
    EXPECT_EQ(error_of([&] { (void)names->create_leased("a"); }), EEXIST);
    EXPECT_EQ(error_of([&] { names->attach("a", resolve(Target{})); }), EEXIST);
    EXPECT_EQ(names->open("a").ipc.id(), id);
    EXPECT_EQ(names.entries(), Set{"a"});
    (void)names->remove("a");
}

TEST_P(RegistryOfEachKind, LimitsAndSizeOfTheNew) {
    const OwnRegistry names(GetParam());
    CreateOptions options;
    options.limits = {Limit::parse("shmmni=77"), Limit::parse("msg_max=9")};
    options.shm_size = 3 << 20;
    const std::string before = read_file("/proc/sys/kernel/shmmni");
    names->create("a", options);
    const Place place = names->open("a");
    EXPECT_EQ(output_of(into(place, shell("cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max"))),
              "77\n9\n");
    EXPECT_EQ(read_file("/proc/sys/kernel/shmmni"), before);
    struct statfs about {};
    ASSERT_EQ(::fstatfs(place.shm.get(), &about), 0);
    EXPECT_EQ(static_cast<std::uint64_t>(about.f_blocks) * static_cast<std::uint64_t>(about.f_bsize),
              3U << 20);

    names->create("b");
    struct statfs host {};
    const Place plain = names->open("b");
    ASSERT_EQ(::statfs("/dev/shm", &host), 0);
    ASSERT_EQ(::fstatfs(plain.shm.get(), &about), 0);
    EXPECT_EQ(about.f_blocks * static_cast<std::uint64_t>(about.f_bsize),
              host.f_blocks * static_cast<std::uint64_t>(host.f_bsize));
}

TEST_P(RegistryOfEachKind, NothingIsLeftAfterAFailure) {
    const OwnRegistry names(GetParam());
    names->create("there");
    const std::size_t mounts_before = mounts_below(names->folder());
    const Surroundings before = Surroundings::now();
    CreateOptions options;
    options.limits = {{find_limit_key("shmmni"), "-5"}};
    EXPECT_EQ(error_of([&] { names->create("a", options); }), EINVAL);
    EXPECT_EQ(error_of([&] { (void)names->create_leased("a", options); }), EINVAL);
    EXPECT_EQ(error_of([&] { names->create("there"); }), EEXIST);
    EXPECT_EQ(error_of([&] { (void)names->open("a"); }), ENOENT);
    EXPECT_EQ(names.entries(), Set{"there"});
    EXPECT_EQ(mounts_below(names->folder()), mounts_before);
    // Nor after all that works.
    (void)names->create_leased("leased");
    names->create("a");
    (void)names->open("a");
    EXPECT_EQ(names->list().size(), 2U);
    names->attach("b", names->open("a"));
    (void)names->remove("b");
    (void)names->remove("a");
    before.expect_unchanged();
    expect_no_children();
    EXPECT_EQ(names.entries(), Set{"there"});
    EXPECT_EQ(mounts_below(names->folder()), mounts_before);
}

TEST_P(RegistryOfEachKind, AttachedNamespaceIsNamedAndItsObjectsSurvive) {
    const OwnRegistry names(GetParam());
    std::optional<Namespace> kept;
    {
        Running running(
            options_for(self({"sysv", "shm", "/s", "say", "ready", "pause"}), Isolation::six_kinds));
        ASSERT_EQ(running.line(), "ready");
        Target target;
        target.kind = Target::Kind::pid;
        target.pid = running.child().pid();
        kept = Namespace::from_pid(target.pid);
        names->attach("theirs", resolve(target));
        const auto list = names->list();
        ASSERT_EQ(list.size(), 1U);
        EXPECT_TRUE(list[0].attached);
        EXPECT_EQ(list[0].id.inode, inode_in(ipc_link_of(target.pid)));
        EXPECT_EQ(inode_of(names / "theirs/ipc"), list[0].id.inode);
    }
    // The program is gone; the name keeps the namespace and its /dev/shm.
    const Place place = names->open("theirs");
    EXPECT_EQ(::faccessat(place.shm.get(), "s", F_OK, 0), 0);
    EXPECT_EQ(output_of(into(place, shell("ls /dev/shm"))), "s\n");
    const Leftovers removed = names->remove("theirs");
    EXPECT_TRUE(removed.empty());
    EXPECT_EQ(queues_in(*kept), 1);
    EXPECT_EQ(::faccessat(place.shm.get(), "s", F_OK, 0), 0);
    EXPECT_EQ(names.entries(), Set{});
}

TEST_P(RegistryOfEachKind, OwnNamespaceCanBeNamedToo) {
    const OwnRegistry names(GetParam());
    const int queue = ::msgget(IPC_PRIVATE, 0600);
    names->attach("own", resolve(Target{}));
    EXPECT_EQ(names->open("own").ipc.id().inode, inode_in(own_ipc_link()));
    EXPECT_TRUE(names->remove("own").empty());
    struct msqid_ds about {};
    EXPECT_EQ(::msgctl(queue, IPC_STAT, &about), 0);
    EXPECT_EQ(::msgctl(queue, IPC_RMID, nullptr), 0);
    EXPECT_EQ(names.entries(), Set{});
}

TEST_P(RegistryOfEachKind, LeasedNameGoesWithItsHolderAndTheLastInside) {
    const OwnRegistry names(GetParam());
    Fd lease = names->create_leased("leased");
    ASSERT_TRUE(lease);
    EXPECT_NE(::fcntl(lease.get(), F_GETFD) & FD_CLOEXEC, 0);
    names->create("other");
    EXPECT_EQ(names_in(*names), (Strings{"leased", "other"}));
    {
        const Place place = names->open("leased");
        Running running(into(place, self({"say", "ready", "pause"})));
        ASSERT_EQ(running.line(), "ready");
        lease.reset();
        (void)names->remove("other");
        // Somebody is inside.
        EXPECT_EQ(names_in(*names), Strings{"leased"});
        EXPECT_EQ(names->open("leased").ipc.id(), place.ipc.id());
    }
    EXPECT_EQ(names_in(*names), Strings{"leased"});
    names->create("other");
    EXPECT_EQ(names.entries(), Set{"other"});
    // The holder may as well take the name away by itself, and give it to somebody else.
    lease = names->create_leased("leased");
    (void)names->remove("leased");
    const Fd second = names->create_leased("leased");
    lease.reset();
    names->create("third");
    EXPECT_EQ(names.entries(), (Set{"leased", "other", "third"}));
}

TEST_P(RegistryOfEachKind, HolderOfALeaseThatIsKilled) {
    const OwnRegistry names(GetParam());
    {
        const Waiting holder([&] { (void)names->create_leased("leased").release(); });
        names->create("other");
        EXPECT_EQ(names.entries(), (Set{"leased", "other"}));
    }
    (void)names->remove("other");
    EXPECT_EQ(names.entries(), Set{});
}

TEST_P(RegistryOfEachKind, SharedNameLivesAsLongAsAnyoneHoldsIt) {
    const OwnRegistry names(GetParam());
    CreateOptions options;
    options.shm_size = 1 << 20;
    SharedName first = names->share("shared", options);
    EXPECT_TRUE(first.made);
    EXPECT_EQ(first.place.name, "shared");
    EXPECT_NE(::fcntl(first.lease.get(), F_GETFD) & FD_CLOEXEC, 0);
    // Whoever comes later has no say in what it is like.
    SharedName second = names->share("shared", {});
    EXPECT_FALSE(second.made);
    EXPECT_EQ(second.place.ipc.id(), first.place.ipc.id());
    struct statfs about {};
    ASSERT_EQ(::fstatfs(second.place.shm.get(), &about), 0);
    EXPECT_EQ(about.f_blocks * static_cast<std::uint64_t>(about.f_bsize), std::uint64_t{1} << 20);

    first.lease.reset();
    EXPECT_FALSE(names->remove_unused("shared"));
    names->create("other");
    EXPECT_EQ(names.entries(), (Set{"other", "shared"}));
    // A copy counts, and so does that of a child that its parent knows nothing of any more.
    {
        const Waiting child([] {});
        second.lease.reset();
        EXPECT_FALSE(names->remove_unused("shared"));
    }
    second.place.ipc.call([] { return ::msgget(IPC_PRIVATE, 0600); });
    const auto removed = names->remove_unused("shared");
    ASSERT_TRUE(removed);
    EXPECT_EQ(removed->sysv.queues, 1U);
    EXPECT_TRUE(removed->inside.empty());
    EXPECT_EQ(names.entries(), Set{"other"});
    EXPECT_EQ(error_of([&] { (void)names->remove_unused("shared"); }), ENOENT);
    EXPECT_EQ(error_of([&] { (void)names->remove_unused("other"); }), ENOENT);
    EXPECT_EQ(error_of([&] { (void)names->outlast("other"); }), ENOENT);
    EXPECT_EQ(names.entries(), Set{"other"});
}

TEST_P(RegistryOfEachKind, SharedNameOutlivesItsHoldersAsLongAsSomebodyIsInside) {
    const OwnRegistry names(GetParam());
    SharedName shared = names->share("shared");
    {
        Running running(into(shared.place, self({"say", "ready", "pause"})));
        ASSERT_EQ(running.line(), "ready");
        shared.lease.reset();
        const auto left = names->remove_unused("shared");
        ASSERT_TRUE(left);
        EXPECT_EQ(left->inside, std::vector<pid_t>{running.child().pid()});
        names->create("other");
        EXPECT_EQ(names.entries(), (Set{"other", "shared"}));
        EXPECT_FALSE(names->share("shared").made);
    }
    EXPECT_TRUE(names->remove_unused("shared"));
    EXPECT_EQ(names.entries(), Set{"other"});
}

TEST_P(RegistryOfEachKind, SharedNameOfHoldersThatWereKilledIsSwept) {
    const OwnRegistry names(GetParam());
    {
        const Waiting one([&] { (void)names->share("shared").lease.release(); });
        const Waiting two([&] { (void)names->share("shared").lease.release(); });
        names->create("other");
        EXPECT_EQ(names.entries(), (Set{"other", "shared"}));
    }
    (void)names->remove("other");
    EXPECT_EQ(names.entries(), Set{});
}

TEST_P(RegistryOfEachKind, WhoOutlastsAllHasTheNameWhenTheLastHolderIsKilled) {
    const OwnRegistry names(GetParam());
    Waiting one([&] { (void)names->share("shared").lease.release(); });
    Waiting two([&] { (void)names->share("shared").lease.release(); });
    std::atomic<bool> waits = true;
    Fd lease;
    std::thread waiting([&] {
        lease = names->outlast("shared");
        waits = false;
    });
    one.kill();
    // Nobody can see that a thread goes on waiting; but it has not gone on although one of two is gone.
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_TRUE(waits);
    two.kill();
    waiting.join();
    // Now it holds the name, as any other.
    names->create("other");
    EXPECT_FALSE(names->remove_unused("shared"));
    EXPECT_FALSE(names->share("shared").made);
    lease.reset();
    EXPECT_TRUE(names->remove_unused("shared"));
}

// It waits for the lease and is woken when the last holder goes; until it runs, nobody has it.
TEST_P(RegistryOfEachKind, WhoWaitsToOutlastAllIsNotOvertakenByTheNextChange) {
    const OwnRegistry names(GetParam());
    SharedName shared = names->share("shared");
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const pid_t waiting = ::fork();
    ASSERT_GE(waiting, 0);
    if (waiting == 0) {
        shared.lease.reset();
        try {
            (void)names->outlast("shared", [&] { (void)!::write(ends[1], "w", 1); });
        } catch (const std::exception&) {
            ::_exit(1);
        }
        ::_exit(0);
    }
    char told = 0;
    ::close(ends[1]);
    EXPECT_EQ(::read(ends[0], &told, 1), 1);
    ::close(ends[0]);
    int status = 0;
    ::kill(waiting, SIGSTOP);
    ASSERT_EQ(::waitpid(waiting, &status, WUNTRACED), waiting);
    ASSERT_TRUE(WIFSTOPPED(status));
    shared.lease.reset();
    names->create("other");
    EXPECT_EQ(names.entries(), (Set{"other", "shared"}));
    EXPECT_FALSE(names->remove_unused("shared"));
    ::kill(waiting, SIGCONT);
    ASSERT_EQ(::waitpid(waiting, &status, 0), waiting);
    EXPECT_EQ(status, 0);
    (void)names->remove("other");
    EXPECT_EQ(names.entries(), Set{});
}

TEST_P(RegistryOfEachKind, NamesMadeInOtherWaysAreSharedWithoutALease) {
    const OwnRegistry names(GetParam());
    names->create("plain");
    const Fd lease = names->create_leased("leased");
    for (const char* name : {"plain", "leased"}) {
        const SharedName shared = names->share(name);
        EXPECT_FALSE(shared.made);
        EXPECT_FALSE(shared.lease);
        EXPECT_EQ(shared.place.ipc.id(), names->open(name).ipc.id());
    }
    EXPECT_THROW((void)names->share("-"), UsageError);
}

TEST_P(RegistryOfEachKind, ManyWhoShareNeverLoseWhatTheyHold) {
    const OwnRegistry names(GetParam());
    std::atomic<int> made = 0;
    std::atomic<int> removed = 0;
    std::vector<std::thread> threads;
    for (int number = 0; number < 6; ++number) {
        threads.emplace_back([&] {
            for (int i = 0; i < 6; ++i) {
                std::string what;
                const int error = error_of(
                    [&] {
                        SharedName shared = names->share("shared");
                        if (shared.made) ++made;
                        ASSERT_TRUE(shared.lease);
                        for (int look = 0; look < 3; ++look) {
                            EXPECT_EQ(names->open("shared").ipc.id(), shared.place.ipc.id());
                            EXPECT_FALSE(names->remove_unused("shared"));
                        }
                        shared.lease.reset();
                    },
                    &what);
                EXPECT_EQ(error, 0) << what;
                const int gone = error_of([&] {
                    if (names->remove_unused("shared")) ++removed;
                });
                EXPECT_TRUE(gone == 0 || gone == ENOENT);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_GE(made, removed); // who makes the name sweeps up before
    EXPECT_GE(made, 1);
    EXPECT_EQ(names.entries(), Set{});
    EXPECT_EQ(mounts_below(names / ""), 0U);
}

TEST_P(RegistryOfEachKind, PatienceEndsAWaitForSomebodyWhoHasStopped) {
    const OwnRegistry names(GetParam());
    const SharedName held = names->share("held");
    const Fd lock(::open((names / ".lock").c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
    Registry hasty = *names;
    hasty.set_patience(std::chrono::milliseconds(30));
    EXPECT_EQ(error_of([&] { hasty.create("new"); }), ETIMEDOUT);
    EXPECT_EQ(error_of([&] { (void)hasty.share("new"); }), ETIMEDOUT);
    EXPECT_EQ(error_of([&] { (void)hasty.outlast("held"); }), ETIMEDOUT);
    EXPECT_FALSE(hasty.share("held").made); // needs no lock
    EXPECT_EQ(names.entries(), Set{"held"});
}

TEST_P(RegistryOfEachKind, ASecludedNameIsForItsOwnerAlone) {
    const OwnRegistry names(GetParam());
    CreateOptions options;
    options.secluded = true;
    names->create("secluded", options);
    names->create("open");
    struct stat about {};
    ASSERT_EQ(::stat((names / "secluded").c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777U, 0700U);
    ASSERT_EQ(::stat((names / "open").c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777U, 0755U);
    EXPECT_EQ(names_in(*names), (Strings{"open", "secluded"}));
}

TEST_P(RegistryOfEachKind, WhatACrashLeftIsSwept) {
    const OwnRegistry names(GetParam());
    names->create("first");
    const auto leave = [&](const char* name) {
        ASSERT_EQ(::mkdir((names / name).c_str(), 0755), 0);
        ASSERT_EQ(write_file((names / name) + "/ipc", ""), 0);
        ASSERT_EQ(::mkdir((names / name + "/shm").c_str(), 0755), 0);
        if (!mounts()) return;
        // Mounted over twice, as by one that was killed half-way and one that was killed while it swept.
        for (int i = 0; i < 2; ++i) {
            ASSERT_EQ(
                ::mount("/proc/self/ns/ipc", (names / name + "/ipc").c_str(), nullptr, MS_BIND, nullptr), 0);
            ASSERT_EQ(::mount("tmpfs", (names / name + "/shm").c_str(), "tmpfs", 0, nullptr), 0);
        }
    };
    leave(".new-0123456789abcdef");
    leave(".old-fedcba9876543210");
    EXPECT_EQ(names_in(*names), Strings{"first"});
    names->create("second");
    EXPECT_EQ(names.entries(), (Set{"first", "second"}));
    leave(".old-1");
    (void)names->remove("first");
    EXPECT_EQ(names.entries(), Set{"second"});
    EXPECT_EQ(mounts_below(names / "."), 0U);
    (void)names->remove("second");
}

// A namespace whose name has not appeared can be filled by whoever has its draft, and is nobody else's.
TEST_P(RegistryOfEachKind, ADraftAppearsWhenItIsPublished) {
    const OwnRegistry names(GetParam());
    CreateOptions options;
    options.shm_size = 1 << 20;
    options.limits = {Limit::parse("shmmni=77")};
    {
        Registry::Draft draft = names->draft("db", options);
        EXPECT_TRUE(names_in(*names).empty());
        EXPECT_EQ(error_of([&] { (void)names->open("db"); }), ENOENT);
        draft.place().ipc.call([] { ASSERT_GE(::msgget(0x77, IPC_CREAT | 0600), 0); });
        const Fd file(::openat(draft.place().shm.get(), "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        ASSERT_TRUE(file);
        // What others change meanwhile does not take it for a crash's.
        names->create("other");
        draft.publish();
        EXPECT_EQ(names_in(*names), (Strings{"db", "other"}));
        EXPECT_EQ(names->open("db").ipc.id(), draft.place().ipc.id());
    }
    const Place place = names->open("db");
    EXPECT_EQ(queues_in(place.ipc), 1);
    EXPECT_EQ(::faccessat(place.shm.get(), "file", F_OK, 0), 0);
    struct statfs about {};
    ASSERT_EQ(::fstatfs(place.shm.get(), &about), 0);
    EXPECT_EQ(static_cast<std::size_t>(about.f_blocks) * static_cast<std::size_t>(about.f_bsize), 1U << 20);
    EXPECT_EQ(place.ipc.call([] { return read_file("/proc/sys/kernel/shmmni"); }), "77\n");
    EXPECT_EQ(names.entries(), (Set{"db", "other"}));
    (void)names->remove("db");
    (void)names->remove("other");
}

TEST_P(RegistryOfEachKind, ADraftThatIsGivenUpLeavesNothing) {
    const OwnRegistry names(GetParam());
    names->create("there");
    const std::size_t mounts_before = mounts_below(names->folder());
    const Surroundings before = Surroundings::now();
    EXPECT_EQ(error_of([&] { (void)names->draft("there"); }), EEXIST);
    (void)names->draft("given-up");
    {
        Registry::Draft late = names->draft("late");
        names->create("late");
        EXPECT_EQ(error_of([&] { late.publish(); }), EEXIST);
    }
    (void)names->remove("late");
    before.expect_unchanged();
    EXPECT_EQ(names.entries(), Set{"there"});
    EXPECT_EQ(mounts_below(names->folder()), mounts_before);
    (void)names->remove("there");
}

TEST_P(RegistryOfEachKind, ADraftWhoseMakerIsKilledGoes) {
    const OwnRegistry names(GetParam());
    {
        // What a keeper is told by is the channel that the maker has.
        const Waiting maker([&] {
            auto* draft = new Registry::Draft(names->draft("db")); // for the end that it does not see
            (void)draft;
        });
    }
    names->create("db");
    (void)names->remove("db");
    EXPECT_EQ(names.entries(), Set{});
    EXPECT_EQ(mounts_below(names / "."), 0U);
}

TEST_P(RegistryOfEachKind, NameWhoseNamespaceIsGone) {
    const OwnRegistry names(GetParam());
    names->create("a");
    names->create("b");
    if (mounts()) {
        // As after a reboot with a /run that is kept.
        for (const char* part : {"ipc", "shm", "mqueue"})
            (void)::umount2((names / "a/" + part).c_str(), MNT_DETACH);
    } else {
        const pid_t keeper = keeper_in(names / "a");
        ASSERT_GT(keeper, 0);
        ::kill(keeper, SIGKILL);
        ASSERT_TRUE(eventually([&] { return keeper_in(names / "a") == 0; }));
    }
    EXPECT_EQ(error_of([&] { (void)names->open("a"); }), ENOENT);
    EXPECT_EQ(names_in(*names), Strings{"b"});
    names->create("a");
    EXPECT_EQ(names_in(*names), (Strings{"a", "b"}));
    EXPECT_NE(names->open("a").ipc.id(), names->open("b").ipc.id());
    (void)names->remove("a");
    (void)names->remove("b");
    EXPECT_EQ(names.entries(), Set{});
}

TEST_P(RegistryOfEachKind, RemoveNamesWhoIsInsideAndLeavesThemTheirObjects) {
    const OwnRegistry names(GetParam());
    names->create("busy");
    const Place place = names->open("busy");
    Running running(into(place, self({"sysv", "shm", "/s", "say", "ready", "pause"})));
    ASSERT_EQ(running.line(), "ready");
    const Leftovers removed = names->remove("busy");
    EXPECT_EQ(removed.inside, std::vector<pid_t>{running.child().pid()});
    EXPECT_TRUE(removed.empty());
    EXPECT_EQ(names.entries(), Set{});
    EXPECT_EQ(inode_in(ipc_link_of(running.child().pid())), place.ipc.id().inode);
    EXPECT_EQ(queues_in(place.ipc), 1);
    EXPECT_EQ(::access(("/proc/" + std::to_string(running.child().pid()) + "/root/dev/shm/s").c_str(), F_OK),
              0);
    // The name is free.
    names->create("busy");
    EXPECT_NE(names->open("busy").ipc.id(), place.ipc.id());
    (void)names->remove("busy");
}

TEST_P(RegistryOfEachKind, ContentsAreCountedAndRemovedWhoeverIsInside) {
    const OwnRegistry names(GetParam());
    names->create("full");
    const Place place = names->open("full");
    EXPECT_TRUE(has_own_shm(place));
    EXPECT_TRUE(count_contents(place).empty());
    Running running(into(place, self({"sysv", "mq", "/q", "shm", "/s", "say", "ready", "pause"})));
    ASSERT_EQ(running.line(), "ready");
    const std::string shm_file = "/proc/" + std::to_string(running.child().pid()) + "/root/dev/shm/s";
    for (const Leftovers& found : {count_contents(place), remove_contents(place)}) {
        EXPECT_EQ(found.sysv.queues, 1U);
        EXPECT_EQ(found.sysv.semaphore_sets, 1U);
        EXPECT_EQ(found.sysv.segments, 1U);
        EXPECT_EQ(found.queues.files, 1U);
        EXPECT_EQ(found.files.files, 1U);
    }
    EXPECT_EQ(queues_in(place.ipc), 0);
    EXPECT_NE(::access(shm_file.c_str(), F_OK), 0);
    EXPECT_TRUE(count_contents(place).empty());
    EXPECT_TRUE(remove_contents(place).empty());
    EXPECT_EQ(inode_in(ipc_link_of(running.child().pid())), place.ipc.id().inode) << "it goes on";
    EXPECT_EQ(names_in(*names), Strings{"full"});
    (void)names->remove("full");
}

TEST_P(RegistryOfEachKind, RemoveWithKillEndsWhoIsInside) {
    const OwnRegistry names(GetParam());
    names->create("busy");
    const Place place = names->open("busy");
    Running polite(into(place, self({"sysv", "say", "ready", "pause"})));
    Running unwilling(into(place, self({"ignore", std::to_string(SIGTERM), "say", "ready", "pause"})));
    Running elsewhere(options_for(self({"say", "ready", "pause"}), Isolation::six_kinds));
    for (Running* one : {&polite, &unwilling, &elsewhere}) ASSERT_EQ(one->line(), "ready");
    DeleteOptions options;
    options.kill = true;
    options.grace = std::chrono::milliseconds(50);
    const Leftovers removed = names->remove("busy", options);
    EXPECT_TRUE(removed.inside.empty());
    EXPECT_EQ(removed.sysv.objects(), 3U);
    EXPECT_EQ(polite.wait().signal, SIGTERM);
    EXPECT_EQ(unwilling.wait().signal, SIGKILL);
    EXPECT_EQ(queues_in(place.ipc), 0);
    EXPECT_EQ(names.entries(), Set{});
    EXPECT_NE(ipc_link_of(elsewhere.child().pid()), "");
}

TEST_P(RegistryOfEachKind, RemoveWithKillEndsOnlyTheseAndMayEmptyAnyway) {
    const OwnRegistry names(GetParam());
    names->create("busy");
    const Place place = names->open("busy");
    Running running(into(place, self({"sysv", "shm", "/s", "say", "ready", "pause"})));
    ASSERT_EQ(running.line(), "ready");
    DeleteOptions options;
    options.kill = true;
    options.grace = {};
    options.kill_only = ::geteuid() + 1;
    options.empty_anyway = true;
    const Leftovers removed = names->remove("busy", options);
    EXPECT_EQ(removed.inside, std::vector<pid_t>{running.child().pid()});
    EXPECT_EQ(removed.sysv.objects(), 3U);
    EXPECT_EQ(removed.files.files, 1U);
    EXPECT_EQ(queues_in(place.ipc), 0);
    EXPECT_EQ(inode_in(ipc_link_of(running.child().pid())), place.ipc.id().inode) << "it goes on";
    EXPECT_EQ(names.entries(), Set{});
    names->create("busy");
    const Place again = names->open("busy");
    Running other(into(again, self({"say", "ready", "pause"})));
    ASSERT_EQ(other.line(), "ready");
    options.kill_only = ::geteuid();
    EXPECT_TRUE(names->remove("busy", options).inside.empty());
    EXPECT_NE(other.wait().signal, 0);
}

TEST_P(RegistryOfEachKind, OfManyWhoWantTheSameNameOneWins) {
    const OwnRegistry names(GetParam());
    std::atomic<int> made = 0;
    std::atomic<int> refused = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] {
            const int number = error_of([&] { names->create("wanted"); });
            if (number == 0) ++made;
            if (number == EEXIST) ++refused;
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(made, 1);
    EXPECT_EQ(refused, 7);
    EXPECT_EQ(names.entries(), Set{"wanted"});
    (void)names->remove("wanted");
    EXPECT_EQ(names.entries(), Set{});
}

TEST_P(RegistryOfEachKind, ManyAtOnceNeverSeeHalfANameAndLeaveNothing) {
    const OwnRegistry names(GetParam());
    names->prepare();
    const Surroundings before = Surroundings::now();
    std::atomic<int> made = 0;
    std::atomic<int> opened = 0;
    std::vector<std::thread> threads;
    for (int number = 0; number < 8; ++number) {
        threads.emplace_back([&, number] {
            for (int i = 0; i < 3; ++i) {
                for (const std::string& name : {std::string("shared"), "own" + std::to_string(number)}) {
                    const bool own = name != "shared";
                    std::string what;
                    int error = error_of([&] { names->create(name); }, &what);
                    EXPECT_TRUE(error == 0 || (error == EEXIST && !own)) << what;
                    if (error == 0) ++made;
                    error = error_of(
                        [&] {
                            const Place place = names->open(name);
                            ++opened;
                            EXPECT_TRUE(place.shm);
                            EXPECT_EQ(place.name, name);
                            EXPECT_NE(place.ipc.id().inode, inode_in(own_ipc_link()));
                        },
                        &what);
                    EXPECT_TRUE(error == 0 || (error == ENOENT && !own)) << what;
                    for (const auto& one : names->list())
                        EXPECT_TRUE(one.id.inode != 0 && !one.name.starts_with("."));
                    error = error_of(
                        [&] {
                            const Leftovers removed = names->remove(name);
                            EXPECT_TRUE(removed.empty());
                            EXPECT_TRUE(removed.inside.empty());
                        },
                        &what);
                    EXPECT_TRUE(error == 0 || (error == ENOENT && !own)) << what;
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_GE(made, 24);
    EXPECT_GE(opened, 24);
    EXPECT_EQ(names.entries(), Set{});
    EXPECT_EQ(mounts_below(names / ""), 0U);
    before.expect_unchanged();
    expect_no_children();
}

TEST_P(RegistryOfEachKind, FolderThatOthersMayChangeIsRefused) {
    const TempFolder folder;
    const auto refused = [&](const std::string& path) {
        SCOPED_TRACE(path);
        const Registry registry(path, GetParam());
        EXPECT_NE(error_of([&] { registry.create("a"); }), 0);
        EXPECT_NE(error_of([&] { registry.prepare(); }), 0);
        EXPECT_NE(error_of([&] { (void)registry.open("a"); }), 0);
        EXPECT_NE(error_of([&] { (void)registry.remove("a"); }), 0);
        EXPECT_TRUE(registry.list().empty());
        EXPECT_FALSE(std::filesystem::exists(path + "/a"));
        EXPECT_FALSE(std::filesystem::exists(path + "/.lock"));
        EXPECT_EQ(mounts_below(path), 0U);
    };
    for (const mode_t mode : {0770U, 0707U, 01777U}) {
        const std::string path = folder / std::to_string(mode);
        ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
        ASSERT_EQ(::chmod(path.c_str(), mode), 0);
        refused(path);
    }
    if (::geteuid() == 0) {
        const std::string path = folder / "theirs";
        ASSERT_EQ(::mkdir(path.c_str(), 0700), 0);
        ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
        refused(path);
    } else {
        const Registry registry("/usr", GetParam());
        EXPECT_EQ(error_of([&] { registry.create("a"); }), EPERM);
    }
    ASSERT_EQ(::mkdir((folder / "real").c_str(), 0700), 0);
    ASSERT_EQ(::symlink("real", (folder / "link").c_str()), 0);
    refused(folder / "link");
    ASSERT_EQ(write_file(folder / "file", ""), 0);
    refused(folder / "file");
    refused(folder / "missing/folder");
}

// Somebody else's names: root makes them for user 65534, and user 65533 is a stranger.

class RegistryForAnother : public ::testing::Test {
protected:
    static constexpr uid_t owner = 65534;
    static constexpr uid_t stranger = 65533;

    void SetUp() override {
        NeedRoot();
        // Others have to come to the folder.
        std::filesystem::permissions(names->folder().parent_path(), std::filesystem::perms(0755));
    }
    static CreateOptions for_owner() {
        CreateOptions options;
        options.owner = Owner{owner, owner};
        return options;
    }
    // What a function says as this user, in a process of its own.
    static int as(uid_t user, const std::function<int()>& function) {
        return in_fork([&] {
            if (::setgroups(0, nullptr) != 0 || ::setresgid(user, user, user) != 0 ||
                ::setresuid(user, user, user) != 0)
                return 98;
            ::prctl(PR_SET_DUMPABLE, 1);
            return function();
        });
    }
    OwnRegistry names{Registry::Holding::mounts};
};

TEST_F(RegistryForAnother, HeFindsAndEntersIt) {
    if (!can_make_user_namespaces())
        GTEST_SKIP() << "this system lets ordinary users make no user namespaces";
    CreateOptions options = for_owner();
    options.limits = {Limit::parse("shmmni=77")};
    options.shm_size = std::uint64_t{1} << 20;
    names->create("slurm:7", options);
    EXPECT_EQ(names_in(*names), Strings{"slurm:7"});
    const Place place = names->open("slurm:7");
    // Root's processes enter it and stay what they are.
    EXPECT_EQ(in_fork([&] {
                  const std::string user = own_namespace("user");
                  enter(place);
                  if (::msgget(0x77, IPC_CREAT | 0600) < 0 || own_namespace("user") != user) return 1;
                  if (read_file("/proc/sys/kernel/shmmni") != "77\n") return 2;
                  return write_file("/dev/shm/roots", "x");
              }),
              0);
    EXPECT_EQ(as(owner,
                 [&] {
                     if (names_in(*names) != Strings{"slurm:7"}) return 1;
                     const Place found = names->open("slurm:7");
                     if (found.ipc.id() != place.ipc.id() || queues_in(found.ipc) != 1) return 2;
                     if (count_contents(found).files.files != 1) return 3;
                     // He is not root in there: limits are for the host's.
                     if (found.ipc.call([] { return write_file("/proc/sys/kernel/shmmni", "78"); }) == 0)
                         return 4;
                     if (error_of([&] { (void)names->remove("slurm:7"); }) != EPERM) return 5;
                     // The folder is not his, nor what is mounted in it.
                     if (write_file(names / "slurm:7/x", "x") == 0) return 6;
                     LaunchOptions inside =
                         into(found, shell("id -u; readlink /proc/self/ns/ipc; ls /dev/shm"));
                     return output_of(inside) == std::to_string(owner) + "\n" +
                                                     link_with(place.ipc.id().inode) + "\nroots\n"
                                ? 0
                                : 7;
                 }),
              0);
    EXPECT_EQ(as(stranger,
                 [&] {
                     if (!names->list().empty()) return 1;
                     if (error_of([&] { (void)names->open("slurm:7"); }) != EACCES) return 2;
                     if (::access((names / "slurm:7/shm").c_str(), F_OK) == 0) return 3;
                     if (write_file(names / "slurm:7/shm/x", "x") == 0) return 4;
                     // Whoever gets a descriptor all the same.
                     return error_of([&] { (void)count_contents(place); }) == EPERM ? 0 : 5;
                 }),
              0);
    const Leftovers removed = names->remove("slurm:7");
    EXPECT_EQ(removed.sysv.queues, 1U);
    EXPECT_EQ(removed.files.files, 1U);
    EXPECT_EQ(names.entries(), Set{});
}

TEST_F(RegistryForAnother, WhereHeMayNotMakeUserNamespacesHeFindsItAndCannotEnter) {
    CreateOptions options = for_owner();
    options.owner_enters = false;
    names->create("slurm:8", options);
    EXPECT_EQ(as(owner,
                 [&] {
                     const Place found = names->open("slurm:8");
                     return error_of([&] { (void)count_contents(found); }) == EPERM ? 0 : 1;
                 }),
              0);
    EXPECT_TRUE(count_contents(names->open("slurm:8")).empty());
    (void)names->remove("slurm:8");
}

TEST_F(RegistryForAnother, NamesOfJobsAreMadeForSomebodyElseAlone) {
    EXPECT_THROW(names->create("slurm:9"), UsageError);
    EXPECT_THROW(names->attach("slurm:9", resolve(Target{})), UsageError);
    EXPECT_THROW((void)names->create_leased("slurm:9"), UsageError);
    EXPECT_THROW(names->create("slurm:", for_owner()), UsageError);
    const OwnRegistry kept(Registry::Holding::keeper);
    EXPECT_THROW(kept->create("mine", for_owner()), UsageError);
    EXPECT_EQ(names.entries(), Set{});
}

TEST_F(RegistryForAnother, MakingItChangesNothingHere) {
    const auto dumpable = ::prctl(PR_GET_DUMPABLE);
    const Surroundings before = Surroundings::now();
    names->create("slurm:10", for_owner());
    before.expect_unchanged();
    EXPECT_EQ(::prctl(PR_GET_DUMPABLE), dumpable);
    EXPECT_EQ(::geteuid(), 0U);
    expect_no_children();
    (void)names->remove("slurm:10");
}

TEST(Leftovers, Described) {
    Leftovers left;
    EXPECT_EQ(describe(left), "nothing");
    left.sysv.queues = 1;
    left.sysv.segments = 2;
    left.sysv.segment_bytes = std::uint64_t{3} << 29;
    left.files.files = 1;
    EXPECT_EQ(describe(left), "1 message queue, 2 shared memory segments (1.5G), 1 file in /dev/shm");
}

TEST(RegistryFolder, IsMadeOnceAsASharedMount) {
    NeedRoot();
    const OwnRegistry names(Registry::Holding::mounts);
    for (int i = 0; i < 2; ++i) {
        names->prepare();
        const std::string text = read_file("/proc/self/mountinfo");
        const std::string point = " " + names->folder().string() + " ";
        const auto at = text.find(point);
        ASSERT_NE(at, std::string::npos);
        EXPECT_NE(text.substr(at, text.find('\n', at) - at).find(" shared:"), std::string::npos);
        EXPECT_EQ(text.find(point, text.find('\n', at)), std::string::npos);
    }
    struct stat about {};
    ASSERT_EQ(::stat(names->folder().c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777, 0755U);
}

TEST(RegistryFolder, OfAnOrdinaryUserIsForTheUserAlone) {
    NeedNamespaces();
    const OwnRegistry names(Registry::Holding::keeper);
    names->prepare();
    struct stat about {};
    ASSERT_EQ(::stat(names->folder().c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 07777, 0700U);
}

TEST(RegistryFolder, OfTheCaller) {
    EXPECT_EQ(Registry::of_system().folder(), "/run/ipcns");
    EXPECT_EQ(Registry::of_system().holding(), Registry::Holding::mounts);
    if (is_root()) {
        EXPECT_EQ(Registry::of_caller().folder(), "/run/ipcns");
        return;
    }
    NeedOrdinaryUser();
    Forked forked([] {
        ::setenv("XDG_RUNTIME_DIR", "/nonexistent/runtime", 1);
        EXPECT_EQ(Registry::of_caller().folder(), "/nonexistent/runtime/ipcns");
        EXPECT_EQ(Registry::of_caller().holding(), Registry::Holding::keeper);
        EXPECT_EQ(error_of([] { Registry::of_caller().create("a"); }), ENOENT);
        ::unsetenv("XDG_RUNTIME_DIR");
        EXPECT_TRUE(
            Registry::of_caller().folder().string().ends_with(std::to_string(::geteuid()) + "/ipcns") ||
            Registry::of_caller().folder() == "/tmp/ipcns-" + std::to_string(::geteuid()));
    });
    EXPECT_TRUE(forked.good());
}

// Every kind of target, with a name in the registry of the caller.
void resolve_all(const Registry& registry) {
    registry.create("db");
    const NamespaceId id = registry.open("db").ipc.id();
    Place place = resolve(Target::parse("db"));
    EXPECT_EQ(place.ipc.id(), id);
    EXPECT_EQ(place.name, "db");
    EXPECT_TRUE(place.shm);
    EXPECT_EQ(resolve_namespace(Target::parse("db")).id(), id);
    EXPECT_EQ(error_of([] { (void)resolve(Target::parse("nodb")); }), ENOENT);
    EXPECT_EQ(error_of([] { (void)resolve_namespace(Target::parse("nodb")); }), ENOENT);

    // By its number or its file it is the same place, with its name.
    for (const std::string& text : {"@" + std::to_string(id.inode), "ipc:[" + std::to_string(id.inode) + "]",
                                    (registry.folder() / "db" / "ipc").string()}) {
        place = resolve(Target::parse(text));
        EXPECT_EQ(place.ipc.id(), id) << text;
        EXPECT_EQ(place.name, "db") << text;
        EXPECT_TRUE(place.shm) << text;
        EXPECT_EQ(resolve_namespace(Target::parse(text)).id(), id) << text;
    }

    // A program that nobody gave a name.
    {
        Running running(options_for(self({"shm", "/mark", "say", "ready", "pause"}), Isolation::six_kinds));
        ASSERT_EQ(running.line(), "ready");
        const std::string pid = std::to_string(running.child().pid());
        const ino_t inode = inode_in(ipc_link_of(running.child().pid()));
        for (const std::string& text : {pid, "@" + std::to_string(inode), "/proc/" + pid + "/ns/ipc"}) {
            place = resolve(Target::parse(text));
            EXPECT_EQ(place.ipc.id().inode, inode) << text;
            EXPECT_EQ(place.name, "") << text;
            ASSERT_TRUE(place.shm) << text;
            EXPECT_EQ(::faccessat(place.shm.get(), "mark", F_OK, 0), 0) << text;
            EXPECT_EQ(resolve_namespace(Target::parse(text)).id().inode, inode) << text;
            EXPECT_EQ(output_of(into(place, shell("readlink /proc/self/ns/ipc; ls /dev/shm"))),
                      link_with(inode) + "\nmark\n")
                << text;
        }
        ::kill(running.child().pid(), SIGKILL);
        EXPECT_EQ(running.wait().signal, SIGKILL);
        EXPECT_EQ(error_of([&] { (void)resolve(Target::parse(pid)); }), ESRCH);
        EXPECT_EQ(error_of([&] { (void)resolve_namespace(Target::parse(pid)); }), ESRCH);
        EXPECT_EQ(error_of([&] { (void)resolve(Target::parse("/proc/" + pid + "/ns/ipc")); }), ENOENT);
    }
    EXPECT_EQ(error_of([] { (void)resolve(Target::parse("/etc/passwd")); }), EINVAL);
    EXPECT_EQ(error_of([] { (void)resolve(Target::parse("@1")); }), ENOENT);

    place = resolve(Target::parse("self"));
    EXPECT_EQ(place.ipc.id().inode, inode_in(own_ipc_link()));
    EXPECT_FALSE(place.shm);
    EXPECT_EQ(resolve_namespace(Target::parse("self")).id().inode, inode_in(own_ipc_link()));
    if (const ino_t host = inode_in(ipc_link_of(1)); host != 0) {
        EXPECT_EQ(resolve(Target::parse("host")).ipc.id().inode, host);
        EXPECT_EQ(resolve_namespace(Target::parse("host")).id().inode, host);
    }
    (void)registry.remove("db");
}

TEST(Resolve, EveryKindOfTarget) {
    NeedNamespaces();
    if (is_root()) {
        // With a /run of our own.
        in_new_namespaces([] {
            ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
            resolve_all(Registry::of_caller());
        });
        return;
    }
    const OwnRegistry names(Registry::Holding::keeper); // clears up if we fail
    Forked forked([&] {
        const std::filesystem::path runtime = names->folder().parent_path();
        ::setenv("XDG_RUNTIME_DIR", runtime.c_str(), 1);
        ASSERT_EQ(::symlink("ipcns", names->folder().c_str()), 0);
        resolve_all(Registry::of_caller());
    });
    EXPECT_TRUE(forked.good());
}

TEST(Resolve, NoLinkLeadsOutOfARoot) {
    NeedRoot();
    // A process that made its own /dev/shm a link: what it says is looked up in its root, where a program would find it.
    const TempFolder root;
    const std::filesystem::path dev(root / "dev");
    std::filesystem::create_directories(dev);
    std::filesystem::create_directories(root / "run/shm");
    const TempFolder outside;
    std::filesystem::create_symlink(outside.path(), dev / "shm");
    const Waiting process([&] {
        move_into_new_namespaces();
        if (::mount("tmpfs", (root / "run/shm").c_str(), "tmpfs", 0, nullptr) != 0) broken("mount");
        if (::chroot(root.path().c_str()) != 0) broken("chroot");
    });
    Target target;
    target.kind = Target::Kind::pid;
    target.pid = process.pid();
    EXPECT_FALSE(resolve(target).shm);
    std::filesystem::remove(dev / "shm");
    std::filesystem::create_symlink("/run/shm", dev / "shm");
    const Place place = resolve(target);
    struct stat theirs {};
    struct stat expected {};
    ASSERT_TRUE(place.shm);
    ASSERT_EQ(::fstat(place.shm.get(), &theirs), 0);
    ASSERT_EQ(::stat(("/proc/" + std::to_string(process.pid()) + "/root/run/shm").c_str(), &expected), 0);
    EXPECT_EQ(theirs.st_dev, expected.st_dev);
    EXPECT_EQ(theirs.st_ino, expected.st_ino);
    // What is no file system of its own is not taken for one.
    std::filesystem::remove(dev / "shm");
    std::filesystem::create_symlink("/run", dev / "shm");
    EXPECT_FALSE(resolve(target).shm);
}

} // namespace
} // namespace ipcns::test
