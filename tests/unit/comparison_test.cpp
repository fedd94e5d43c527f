// SPDX-License-Identifier: Apache-2.0
// Comparing processes and namespaces. What lies in them is made and looked at by plain system calls, in child processes
// with namespaces and a /dev of their own, so that nothing outlives a test. An ordinary user's are in user namespaces of
// their own, too, which the comparison has to join.
#include "contents.hpp"
#include "posix_support.hpp"
#include "support.hpp"

#include <ipcns/comparison.hpp>
#include <ipcns/error.hpp>

#include <grp.h>
#include <mqueue.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace ipcns {

// How GoogleTest prints them.
static void PrintTo(Same same, std::ostream* out) { *out << "same " << static_cast<int>(same); }
static void PrintTo(const Difference& one, std::ostream* out) {
    *out << word_of(one.aspect) << ' ' << one.a << " and " << one.b << ", number "
         << (one.number ? std::to_string(*one.number) : "-") << ", offset "
         << (one.offset ? std::to_string(*one.offset) : "-");
}
static void PrintTo(ComparedObject::Verdict verdict, std::ostream* out) {
    *out << "verdict " << static_cast<int>(verdict);
}

namespace {

using test::in_fork;
using test::in_new_namespaces;
using test::number_of;
using test::Waiting;
using Verdict = ComparedObject::Verdict;
using Act = std::function<void()>;

constexpr std::uint64_t mebibyte = 1 << 20;

int checked(int result, const char* call) {
    if (result < 0) test::broken(call);
    return result;
}

Target target_of(pid_t pid) { return Target::parse(std::to_string(pid)); }

// ---- Processes ---------------------------------------------------------------------------------------------------

// What the kernel says: "4026531839".
std::string number_of_namespace(pid_t pid, const std::string& kind) {
    return std::to_string(test::inode_in(test::read_link("/proc/" + std::to_string(pid) + "/ns/" + kind)));
}

// Compares the result with the links of both, kind by kind.
void expect_as_the_kernel_says(const ProcessComparison& found) {
    std::vector<std::string> kinds;
    for (const auto& pair : found.namespaces) {
        SCOPED_TRACE(pair.kind);
        kinds.emplace_back(pair.kind);
        const std::string a = number_of_namespace(found.a, pair.kind);
        const std::string b = number_of_namespace(found.b, pair.kind);
        ASSERT_TRUE(pair.a && pair.b);
        EXPECT_EQ(std::to_string(pair.a->inode), a);
        EXPECT_EQ(std::to_string(pair.b->inode), b);
        EXPECT_EQ(pair.same(), a == b ? Same::yes : Same::no);
    }
    std::vector<std::string> there;
    for (const char* kind : {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}) {
        if (!test::read_link(std::string("/proc/self/ns/") + kind).empty()) there.emplace_back(kind);
    }
    EXPECT_EQ(kinds, there);
}

std::vector<std::string> different(const ProcessComparison& found) {
    std::vector<std::string> kinds;
    for (const auto& pair : found.namespaces) {
        if (pair.same() == Same::no) kinds.emplace_back(pair.kind);
    }
    return kinds;
}

void expect_shared(const ProcessComparison& found, Same ipc, Same shm) {
    for (const Kind kind : {Kind::msg, Kind::sem, Kind::shm, Kind::mq})
        EXPECT_EQ(found.share(kind), ipc) << word_of(kind);
    for (const Kind kind : {Kind::psem, Kind::pshm}) EXPECT_EQ(found.share(kind), shm) << word_of(kind);
}

TEST(CompareProcesses, OneAndTheSame) {
    const Waiting child([] {});
    for (const pid_t other : {::getpid(), child.pid()}) {
        const auto found = compare_processes(Target::parse("self"), target_of(other));
        EXPECT_EQ(found.a, ::getpid());
        EXPECT_EQ(found.b, other);
        expect_as_the_kernel_says(found);
        EXPECT_EQ(found.same(), Same::yes);
        EXPECT_EQ(found.not_compared(), 0U);
        expect_shared(found, Same::yes, Same::yes);
    }
}

TEST(CompareProcesses, IpcAlone) {
    NeedRoot();
    const Waiting child([] { checked(::unshare(CLONE_NEWIPC), "unshare"); });
    const auto found = compare_processes(target_of(child.pid()), Target::parse("self"));
    expect_as_the_kernel_says(found);
    EXPECT_EQ(different(found), std::vector<std::string>{"ipc"});
    EXPECT_EQ(found.same(), Same::no);
    expect_shared(found, Same::no, Same::yes);
}

// The mount namespace alone says nothing: what counts is what is on /dev/shm.
TEST(CompareProcesses, MountNamespaceWithAndWithoutADevShm) {
    NeedRoot();
    for (const bool own : {false, true}) {
        SCOPED_TRACE(own);
        const Waiting child([own] {
            checked(::unshare(CLONE_NEWNS), "unshare");
            checked(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount");
            if (own) checked(::mount("tmpfs", "/dev/shm", "tmpfs", 0, nullptr), "mount");
        });
        const auto found = compare_processes(target_of(child.pid()), Target::parse("self"));
        expect_as_the_kernel_says(found);
        EXPECT_EQ(different(found), std::vector<std::string>{"mnt"});
        expect_shared(found, Same::yes, own ? Same::no : Same::yes);
    }
}

// The same namespaces, and still not the same /dev/shm.
TEST(CompareProcesses, AnotherRoot) {
    NeedRoot();
    const test::TempFolder folder;
    checked(::mkdir((folder / "dev").c_str(), 0755), "mkdir");
    checked(::mkdir((folder / "dev/shm").c_str(), 0755), "mkdir");
    const Waiting child([&] { checked(::chroot(folder.path().c_str()), "chroot"); });
    const auto found = compare_processes(target_of(child.pid()), Target::parse("self"));
    EXPECT_TRUE(different(found).empty());
    expect_shared(found, Same::yes, Same::no);
    EXPECT_EQ(found.same(), Same::no);
}

// A link in another root leads to somewhere in that root.
TEST(CompareProcesses, ALinkInAnotherRoot) {
    NeedRoot();
    const test::TempFolder folder;
    checked(::mkdir((folder / "dev").c_str(), 0755), "mkdir");
    checked(::symlink("/dev/shm", (folder / "elsewhere").c_str()), "symlink");
    checked(::symlink("/nowhere", (folder / "dev/shm").c_str()), "symlink");
    const Waiting child([&] { checked(::chroot(folder.path().c_str()), "chroot"); });
    EXPECT_EQ(compare_processes(target_of(child.pid()), Target::parse("self")).same_shm(), Same::unknown);
    checked(::unlink((folder / "dev/shm").c_str()), "unlink");
    checked(::mkdir((folder / "run").c_str(), 0755), "mkdir");
    checked(::symlink("/run", (folder / "dev/shm").c_str()), "symlink");
    EXPECT_EQ(compare_processes(target_of(child.pid()), Target::parse("self")).same_shm(), Same::no);
}

TEST(CompareProcesses, EveryKind) {
    NeedNamespaces();
    const Waiting child([] {
        const int flags = CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS;
        checked(::unshare(flags | (::geteuid() == 0 ? 0 : CLONE_NEWUSER)), "unshare");
    });
    expect_as_the_kernel_says(compare_processes(target_of(child.pid()), Target::parse("self")));
}

// What may not be looked at is not the same, even if it is.
TEST(CompareProcesses, OneThatMayNotBeLookedAt) {
    NeedRoot();
    const pid_t us = ::getpid();
    EXPECT_EQ(in_fork([us] {
                  checked(::setgroups(0, nullptr), "setgroups");
                  checked(::setresgid(65534, 65534, 65534), "setresgid");
                  checked(::setresuid(65534, 65534, 65534), "setresuid");
                  ::prctl(PR_SET_DUMPABLE, 1);
                  const auto found = compare_processes(target_of(us), Target::parse("self"));
                  for (const auto& pair : found.namespaces) {
                      EXPECT_FALSE(pair.a) << pair.kind;
                      EXPECT_TRUE(pair.b) << pair.kind;
                      EXPECT_EQ(pair.same(), Same::unknown);
                  }
                  EXPECT_NE(found.same(), Same::yes);
                  EXPECT_GE(found.not_compared(), found.namespaces.size());
                  EXPECT_EQ(found.share(Kind::msg), Same::unknown);
                  // The table of mounts tells that it is one tmpfs.
                  EXPECT_NE(found.share(Kind::pshm), Same::no);
                  return ::testing::Test::HasFailure() ? 1 : 0;
              }),
              0);
}

TEST(CompareProcesses, WhoIsGone) {
    const Waiting child([] {});
    child.end(); // a zombie
    const auto with = [&](const Target& other) {
        return number_of([&] { (void)compare_processes(Target::parse("self"), other); });
    };
    EXPECT_EQ(with(target_of(child.pid())), ESRCH);
    EXPECT_EQ(with(Target::parse("2147483646")), ESRCH);
    EXPECT_EQ(with(Target::parse("some_name")), EINVAL);
    EXPECT_EQ(with(Target::parse("/proc/self/ns/ipc")), EINVAL);
}

// ---- Namespaces --------------------------------------------------------------------------------------------------

// A process in a namespace and a /dev of its own, which something was put into.
class Filled {
public:
    explicit Filled(const Act& fill)
        : process_([&] {
              test::move_into_new_namespaces();
              test::mount_own_dev();
              fill();
          }) {}
    [[nodiscard]] Target target() const { return target_of(process_.pid()); }
    // Runs something in the IPC namespace.
    template <class Function>
    auto inside(Function function) const {
        return Namespace::from_pid(process_.pid()).call(function);
    }
    [[nodiscard]] std::string path(const std::string& name) const {
        return "/proc/" + std::to_string(process_.pid()) + "/root/dev/shm/" + name;
    }

private:
    Waiting process_;
};

Comparison compared(const Act& a, const Act& b, const CompareOptions& options = {}) {
    const Filled in_a(a);
    const Filled in_b(b);
    return compare(in_a.target(), in_b.target(), options);
}

// The only object that is not the same.
ComparedObject only(const Comparison& found) {
    EXPECT_EQ(found.objects.size(), 1U);
    return found.objects.empty() ? ComparedObject{} : found.objects.front();
}

using Differences = std::vector<Difference>;
Difference differs(Aspect aspect, std::uint64_t a, std::uint64_t b) { return {aspect, a, b, {}, {}}; }

void nothing() {}

int make_queue_of(key_t key, const std::vector<std::pair<long, std::string>>& messages, int mode = 0600) {
    const int id = checked(::msgget(key, IPC_CREAT | IPC_EXCL | mode), "msgget");
    for (const auto& [type, text] : messages) {
        std::vector<char> buffer(sizeof type + text.size());
        std::memcpy(buffer.data(), &type, sizeof type);
        if (!text.empty()) std::memcpy(buffer.data() + sizeof type, text.data(), text.size());
        checked(::msgsnd(id, buffer.data(), text.size(), IPC_NOWAIT), "msgsnd");
    }
    return id;
}

void make_set_of(key_t key, const std::vector<unsigned short>& values) {
    const int id =
        checked(::semget(key, static_cast<int>(values.size()), IPC_CREAT | IPC_EXCL | 0600), "semget");
    for (std::size_t i = 0; i < values.size(); ++i)
        checked(::semctl(id, static_cast<int>(i), SETVAL, values[i]), "semctl");
}

using Bytes = std::map<std::size_t, char>;

// A segment of zeros, but for these bytes; only their pages take memory.
int make_segment_of(key_t key, std::size_t size, const Bytes& bytes = {}, int mode = 0600) {
    const int id = checked(::shmget(key, size, IPC_CREAT | IPC_EXCL | mode), "shmget");
    if (bytes.empty()) return id;
    auto* const memory = static_cast<char*>(::shmat(id, nullptr, 0));
    for (const auto& [offset, byte] : bytes) memory[offset] = byte;
    checked(::shmdt(memory), "shmdt");
    return id;
}

void make_file_of(const std::string& name, std::size_t size, const Bytes& bytes = {}, mode_t mode = 0600) {
    const int fd = checked(::shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, mode), "shm_open");
    checked(::ftruncate(fd, static_cast<off_t>(size)), "ftruncate");
    for (const auto& [offset, byte] : bytes)
        checked(static_cast<int>(::pwrite(fd, &byte, 1, static_cast<off_t>(offset))), "pwrite");
    ::close(fd);
}

void make_posix_queue_of(const char* name, const std::vector<std::string>& messages, long count = 3,
                         long size = 32) {
    struct mq_attr how {};
    how.mq_maxmsg = count;
    how.mq_msgsize = size;
    const mqd_t queue = ::mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &how);
    checked(queue, "mq_open");
    for (const auto& message : messages)
        checked(::mq_send(queue, message.data(), message.size(), 0), "mq_send");
    ::mq_close(queue);
}

void make_semaphore_of(const char* name, unsigned value) {
    sem_t* const semaphore = ::sem_open(name, O_CREAT | O_EXCL, 0600, value);
    if (semaphore == SEM_FAILED) test::broken("sem_open");
    ::sem_close(semaphore);
}

void one_of_each() {
    make_queue_of(0x10, {{1, "first"}, {7, ""}});
    make_set_of(0x20, {3, 0, 5});
    make_segment_of(0x30, 3 * mebibyte + 5, {{0, 'a'}, {2 * mebibyte, 'b'}});
    make_posix_queue_of("/queue", {});
    make_semaphore_of("/semaphore", 2);
    make_file_of("/memory", mebibyte, {{4096, 'x'}});
}

TEST(Compare, EmptyAndEmpty) {
    NeedNamespaces();
    const auto found = compared(nothing, nothing);
    EXPECT_EQ(found.same(), Same::yes);
    EXPECT_FALSE(found.same_ipc);
    EXPECT_EQ(found.same_shm, Same::no);
    EXPECT_EQ(found.same_objects, 0U);
    EXPECT_GE(found.same_limits, 12U);
    EXPECT_NE(found.a, found.b);
}

TEST(Compare, OneOfEachKind) {
    NeedNamespaces();
    const auto same = compared(one_of_each, one_of_each);
    EXPECT_EQ(same.same(), Same::yes);
    EXPECT_EQ(same.same_objects, 6U);
    EXPECT_TRUE(same.objects.empty());
    for (const bool in_a : {true, false}) {
        const auto found = in_a ? compared(one_of_each, nothing) : compared(nothing, one_of_each);
        EXPECT_EQ(found.same(), Same::no);
        ASSERT_EQ(found.objects.size(), 6U);
        std::string names;
        for (const auto& object : found.objects) {
            EXPECT_EQ(object.verdict(), in_a ? Verdict::only_a : Verdict::only_b);
            names += object.name().text() + " ";
        }
        EXPECT_EQ(names, "msg:0x10 sem:0x20 shm:0x30 mq:/queue psem:/semaphore pshm:/memory ");
    }
}

TEST(Compare, WithItself) {
    NeedNamespaces();
    const Filled place(one_of_each);
    const auto found = compare(place.target(), place.target());
    EXPECT_TRUE(found.same_ipc);
    EXPECT_EQ(found.same_shm, Same::yes);
    EXPECT_EQ(found.same(), Same::yes);
    EXPECT_EQ(found.same_objects, 0U);
}

// One IPC namespace, two /dev/shm: only the files are compared.
TEST(Compare, OneNamespaceWithTwoDevShm) {
    NeedNamespaces();
    in_new_namespaces([] {
        test::mount_own_dev();
        make_queue_of(0x10, {});
        make_file_of("/memory", 100);
        const Waiting child([] {
            checked(::unshare(CLONE_NEWNS), "unshare");
            checked(::mount("tmpfs", "/dev/shm", "tmpfs", 0, nullptr), "mount");
        });
        const auto found = compare(Target::parse("self"), target_of(child.pid()));
        EXPECT_TRUE(found.same_ipc);
        EXPECT_EQ(found.same_shm, Same::no);
        const auto object = only(found);
        EXPECT_EQ(object.verdict(), Verdict::only_a);
        EXPECT_EQ(object.name().text(), "pshm:/memory");
        EXPECT_EQ(found.same_limits + found.limits.size(), 0U);
    });
}

// Two IPC namespaces, one /dev/shm, which is the caller's.
TEST(Compare, TwoNamespacesWithOneDevShm) {
    NeedNamespaces();
    in_new_namespaces([] {
        test::mount_own_dev();
        make_queue_of(0x10, {});
        make_file_of("/memory", 100);
        const Waiting child([] { checked(::unshare(CLONE_NEWIPC), "unshare"); });
        const auto found = compare(Target::parse("self"), target_of(child.pid()));
        EXPECT_FALSE(found.same_ipc);
        EXPECT_EQ(found.same_shm, Same::yes);
        EXPECT_EQ(only(found).name().text(), "msg:0x10");
    });
}

// What an object has beside its content: made in A, made otherwise in B.
TEST(Compare, EveryAspect) {
    NeedNamespaces();
    struct Case {
        const char* name;
        Act a, b;
        Differences expected;
    };
    const auto set_limit = [](unsigned long bytes) {
        return [bytes] {
            const int id = make_queue_of(0x1, {});
            struct msqid_ds about {};
            checked(::msgctl(id, IPC_STAT, &about), "msgctl");
            about.msg_qbytes = bytes;
            checked(::msgctl(id, IPC_SET, &about), "msgctl");
        };
    };
    const std::vector<Case> cases = {
        {"mode of a queue",
         [] { make_queue_of(1, {}, 0600); },
         [] { make_queue_of(1, {}, 0640); },
         {differs(Aspect::mode, 0600, 0640)}},
        {"limit of a queue", set_limit(100), set_limit(99), {differs(Aspect::limit, 100, 99)}},
        {"messages",
         [] {
             make_queue_of(1, {{1, "abc"}, {1, "de"}});
         },
         [] {
             make_queue_of(1, {{1, "abc"}});
         },
         {differs(Aspect::messages, 2, 1), differs(Aspect::bytes, 5, 3)}},
        {"semaphores",
         [] {
             make_set_of(1, {4, 5});
         },
         [] {
             make_set_of(1, {4, 5, 6});
         },
         {differs(Aspect::semaphores, 2, 3)}},
        {"values",
         [] {
             make_set_of(1, {4, 5, 6, 7});
         },
         [] {
             make_set_of(1, {4, 0, 6, 32767});
         },
         {{Aspect::value, 5, 0, 1, {}}, {Aspect::value, 7, 32767, 3, {}}}},
        {"mode of a segment",
         [] { make_segment_of(1, 5, {}, 0604); },
         [] { make_segment_of(1, 5, {}, 0600); },
         {differs(Aspect::mode, 0604, 0600)}},
        {"size of a segment",
         [] { make_segment_of(1, 5); },
         [] { make_segment_of(1, 4096); },
         {differs(Aspect::size, 5, 4096)}},
        {"size and content",
         [] {
             make_segment_of(1, 5, {{1, 'x'}});
         },
         [] {
             make_segment_of(1, 6, {{2, 'y'}});
         },
         {differs(Aspect::size, 5, 6), {Aspect::content, 'x', 0, {}, 1}}},
        {"POSIX queues",
         [] { make_posix_queue_of("/q", {}, 3, 32); },
         [] { make_posix_queue_of("/q", {}, 4, 31); },
         {differs(Aspect::max_messages, 3, 4), differs(Aspect::message_size, 32, 31)}},
        {"messages of POSIX queues",
         [] { make_posix_queue_of("/q", {"abc"}); },
         [] {
             make_posix_queue_of("/q", {"abc", "d"});
         },
         {differs(Aspect::messages, 1, 2), differs(Aspect::bytes, 3, 4)}},
        {"value",
         [] { make_semaphore_of("/s", 1); },
         [] { make_semaphore_of("/s", 2); },
         {differs(Aspect::value, 1, 2)}},
        {"mode of a semaphore",
         [] { make_semaphore_of("/s", 1); },
         [] {
             make_semaphore_of("/s", 1);
             checked(::chmod("/dev/shm/sem.s", 0666), "chmod");
         },
         {differs(Aspect::mode, 0600, 0666)}},
        {"size of memory",
         [] { make_file_of("/m", 0); },
         [] { make_file_of("/m", 7); },
         {differs(Aspect::size, 0, 7)}},
        {"mode of memory",
         [] { make_file_of("/m", 9, {}, 0400); },
         [] { make_file_of("/m", 9, {}, 0600); },
         {differs(Aspect::mode, 0400, 0600)}},
    };
    for (const auto& one : cases) {
        SCOPED_TRACE(one.name);
        const auto found = compared(one.a, one.b);
        EXPECT_EQ(found.same(), Same::no);
        EXPECT_EQ(found.not_compared(), 0U);
        const auto object = only(found);
        EXPECT_EQ(object.verdict(), Verdict::different);
        EXPECT_EQ(object.differences, one.expected);
        // With no other content, the content need not be read to find that.
        const auto again = compared(one.b, one.b, {Kinds::all(), false, false});
        EXPECT_EQ(again.same(), Same::yes);
        EXPECT_EQ(again.same_limits, 0U);
    }
}

TEST(Compare, Owners) {
    NeedRoot();
    const auto give_away = [](uid_t user, gid_t group) {
        return [user, group] {
            const int id = make_queue_of(1, {});
            struct msqid_ds about {};
            checked(::msgctl(id, IPC_STAT, &about), "msgctl");
            about.msg_perm.uid = user;
            about.msg_perm.gid = group;
            checked(::msgctl(id, IPC_SET, &about), "msgctl");
            make_file_of("/m", 1);
            checked(::chown("/dev/shm/m", user, group), "chown");
        };
    };
    const auto found = compared(give_away(12, 34), give_away(12, 35));
    ASSERT_EQ(found.objects.size(), 2U);
    for (const auto& object : found.objects)
        EXPECT_EQ(object.differences, Differences{differs(Aspect::group, 34, 35)});
    const auto creator = compared([] { make_queue_of(1, {}); },
                                  [] {
                                      checked(::setresuid(77, 77, 0), "setresuid");
                                      make_queue_of(1, {});
                                      checked(::setresuid(0, 0, 0), "setresuid");
                                  });
    EXPECT_EQ(only(creator).differences,
              (Differences{differs(Aspect::owner, 0, 77), differs(Aspect::creator, 0, 77)}));
    // The overflow id is a user like any other where everybody has a number.
    EXPECT_EQ(compared(give_away(65534, 65534), give_away(65534, 65534)).same(), Same::yes);
}

// Whom the user namespace has no number for can be anybody.
TEST(Compare, OwnersWithoutANumber) {
    NeedRoot();
    if (!test::can_make_user_namespaces()) GTEST_SKIP() << "this system allows no user namespaces";
    constexpr uid_t user = 12345;
    const test::TempFolder in_a;
    const test::TempFolder in_b;
    const int status = in_fork([&] {
        checked(::unshare(CLONE_NEWNS), "unshare");
        checked(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount");
        for (const auto* folder : {&in_a, &in_b}) {
            checked(::mount("tmpfs", folder->path().c_str(), "tmpfs", 0, nullptr), "mount");
            if (test::write_file(*folder / "m", "x") != 0) test::broken("make a file");
            checked(::chmod((*folder / "m").c_str(), 0644), "chmod");
            checked(::chown((*folder / "m").c_str(), 12, 34), "chown");
            checked(::chown(folder->path().c_str(), user, user), "chown");
        }
        checked(::setgroups(0, nullptr), "setgroups");
        checked(::setresgid(user, user, user), "setresgid");
        checked(::setresuid(user, user, user), "setresuid");
        ::prctl(PR_SET_DUMPABLE, 1);
        test::move_into_new_namespaces();
        if (!may_be_unmapped(65534)) return 77;
        const auto put = [](const test::TempFolder& folder) {
            return [&folder] {
                checked(::unshare(CLONE_NEWNS), "unshare");
                checked(::mount(folder.path().c_str(), "/dev/shm", nullptr, MS_BIND, nullptr), "mount");
            };
        };
        const Waiting a(put(in_a));
        const Waiting b(put(in_b));
        const auto found = compare(target_of(a.pid()), target_of(b.pid()));
        EXPECT_EQ(found.same(), Same::unknown);
        const auto object = only(found);
        EXPECT_TRUE(object.differences.empty());
        EXPECT_EQ(object.unclear.size(), 2U);
        for (const auto& unclear : object.unclear)
            EXPECT_TRUE(unclear.aspect == Aspect::owner || unclear.aspect == Aspect::group);
        return ::testing::Test::HasFailure() ? 1 : 0;
    });
    if (status == 77) GTEST_SKIP() << "who has a number was asked earlier in this process: run it alone";
    EXPECT_EQ(status, 0);
}

// ---- Without a key -----------------------------------------------------------------------------------------------

// Nothing but their ids: the first of a namespace has 0.
TEST(Compare, ObjectsWithoutAKeyByTheirIds) {
    NeedNamespaces();
    const auto one = [](const char* text) { return [text] { make_queue_of(IPC_PRIVATE, {{1, text}}); }; };
    EXPECT_EQ(compared(one("a"), one("a")).same_objects, 1U);
    const auto found = compared(one("a"), one("b"));
    const auto object = only(found);
    EXPECT_EQ(object.name().text(), "msg:0");
    EXPECT_EQ(object.differences, (Differences{{Aspect::content, 'a', 'b', 0, 0}}));
    // The same id, but one of them has a key: not the same object.
    const auto keyed = compared(one("a"), [] { make_queue_of(0x1, {{1, "a"}}); });
    ASSERT_EQ(keyed.objects.size(), 2U);
    EXPECT_EQ(keyed.objects[0].name().text(), "msg:0x1");
    EXPECT_EQ(keyed.objects[0].verdict(), Verdict::only_b);
    EXPECT_EQ(keyed.objects[1].name().text(), "msg:0");
    EXPECT_EQ(keyed.objects[1].verdict(), Verdict::only_a);
    // The same key under another id is.
    const auto moved = compared([] { make_queue_of(0x5, {}); },
                                [] {
                                    checked(::msgctl(make_queue_of(0x4, {}), IPC_RMID, nullptr), "msgctl");
                                    make_queue_of(0x5, {});
                                });
    EXPECT_EQ(moved.same(), Same::yes);
    EXPECT_EQ(moved.same_objects, 1U);
}

TEST(Compare, RemovedSegments) {
    NeedNamespaces();
    const auto found = compared([] { make_segment_of(IPC_PRIVATE, 10); },
                                [] {
                                    const int id = make_segment_of(0x7, 10);
                                    (void)::shmat(id, nullptr, 0);
                                    checked(::shmctl(id, IPC_RMID, nullptr), "shmctl");
                                });
    EXPECT_EQ(only(found).differences, Differences{differs(Aspect::removed, 0, 1)});
}

// ---- Content -----------------------------------------------------------------------------------------------------

TEST(Compare, MessagesInTheirOrder) {
    NeedNamespaces();
    const auto queue = [](std::vector<std::pair<long, std::string>> messages) {
        return [messages] { make_queue_of(1, messages); };
    };
    const auto differences = [](const Act& a, const Act& b) { return only(compared(a, b)).differences; };
    EXPECT_EQ(differences(queue({{1, "a"}, {2, "b"}}), queue({{1, "a"}, {3, "b"}})),
              (Differences{{Aspect::message_type, 2, 3, 1, {}}}));
    EXPECT_EQ(differences(queue({{1, "abc"}, {1, "d"}}), queue({{1, "ab"}, {1, "cd"}})),
              (Differences{{Aspect::message_bytes, 3, 2, 0, {}}}));
    EXPECT_EQ(differences(queue({{1, "ab"}, {1, "abcd"}}), queue({{1, "ab"}, {1, "abXd"}})),
              (Differences{{Aspect::content, 'c', 'X', 1, 2}}));
    EXPECT_EQ(differences(queue({{1, "a"}, {1, "b"}}), queue({{1, "b"}, {1, "a"}})),
              (Differences{{Aspect::content, 'a', 'b', 0, 0}}));
    // More than are read at once.
    std::vector<std::pair<long, std::string>> many(3000, {5, "four"});
    EXPECT_EQ(compared(queue(many), queue(many)).same(), Same::yes);
    auto other = many;
    other.back().second = "fouR";
    EXPECT_EQ(differences(queue(many), queue(other)), (Differences{{Aspect::content, 'r', 'R', 2999, 3}}));
}

TEST(Compare, LongMessages) {
    NeedRoot();
    const auto queue = [](char last, const char* msgmax_afterwards) {
        return [last, msgmax_afterwards] {
            for (const char* file : {"/proc/sys/kernel/msgmax", "/proc/sys/kernel/msgmnb"})
                if (test::write_file(file, "4000000") != 0) test::broken("set a limit");
            make_queue_of(1, {{1, std::string(3'000'000, 'm') + last}, {1, std::string(100, 'n')}});
            if (test::write_file("/proc/sys/kernel/msgmax", msgmax_afterwards) != 0)
                test::broken("set a limit");
        };
    };
    EXPECT_EQ(compared(queue('x', "4000000"), queue('x', "4000000")).same(), Same::yes);
    EXPECT_EQ(only(compared(queue('x', "4000000"), queue('y', "4000000"))).differences,
              (Differences{{Aspect::content, 'x', 'y', 0, 3'000'000}}));
    // The kernel copies none that is longer than the limit is now.
    const auto found = compared(queue('x', "8192"), queue('x', "8192"));
    EXPECT_EQ(found.same(), Same::unknown);
    const auto object = only(found);
    ASSERT_EQ(object.unclear.size(), 1U);
    EXPECT_NE(object.unclear[0].why.find("msgmax"), std::string::npos) << object.unclear[0].why;
}

// Never the same in silence.
TEST(Compare, MessagesOfPosixQueuesAreNotRead) {
    NeedNamespaces();
    const auto queue = [](const char* text) { return [text] { make_posix_queue_of("/q", {text}); }; };
    const Filled a(queue("abc"));
    const Filled b(queue("xyz"));
    const auto found = compare(a.target(), b.target());
    EXPECT_EQ(found.same(), Same::unknown);
    EXPECT_EQ(found.not_compared(), 1U);
    const auto object = only(found);
    EXPECT_EQ(object.verdict(), Verdict::not_compared);
    ASSERT_EQ(object.unclear.size(), 1U);
    EXPECT_EQ(object.unclear[0].aspect, Aspect::content);
    EXPECT_EQ(compare(a.target(), b.target(), {Kinds::all(), false, true}).same(), Same::yes);
}

// The first byte that differs, wherever it is, in what was written and in what was not.
TEST(Compare, BytesOfSharedMemory) {
    NeedNamespaces();
    constexpr std::size_t size = 8 * mebibyte + 3;
    struct Case {
        Bytes a, b;
        std::optional<std::size_t> at;
    };
    const std::vector<Case> cases = {
        {{}, {}, {}},
        {{{5, 0}}, {}, {}}, // written with what was there
        {{{0, 'a'}}, {{0, 'b'}}, 0},
        {{{0, 'a'}}, {}, 0},
        {{}, {{size - 1, 'z'}}, size - 1},
        {{{size - 1, 'y'}}, {{size - 1, 'z'}}, size - 1},
        {{{262143, 1}, {262144, 2}}, {{262143, 1}, {262144, 3}}, 262144},
        {{{262143, 1}}, {{262143, 2}}, 262143},
        {{{4096, 1}, {5 * mebibyte, 2}}, {{4096, 1}, {6 * mebibyte, 2}}, 5 * mebibyte},
        {{{4096, 1}, {5 * mebibyte + 7, 2}}, {{4096, 1}, {5 * mebibyte + 7, 2}}, {}},
    };
    for (std::size_t i = 0; i < cases.size(); ++i) {
        SCOPED_TRACE(i);
        const auto& one = cases[i];
        const auto fill = [](const Bytes& bytes) {
            return [bytes] {
                make_segment_of(1, size, bytes);
                make_file_of("/m", size, bytes);
            };
        };
        const auto found = compared(fill(one.a), fill(one.b));
        EXPECT_EQ(found.same(), one.at ? Same::no : Same::yes);
        EXPECT_EQ(found.objects.size(), one.at ? 2U : 0U);
        for (const auto& object : found.objects) {
            ASSERT_EQ(object.differences.size(), 1U);
            EXPECT_EQ(object.differences[0].offset, one.at);
            EXPECT_NE(object.differences[0].a, object.differences[0].b);
        }
    }
}

// Pages of all segments that take memory.
std::uint64_t resident_pages() {
    struct shm_info info {};
    if (::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info)) < 0) test::broken("shmctl");
    return info.shm_rss;
}

TEST(Compare, NothingIsTakenOrAllocatedByReading) {
    NeedNamespaces();
    const auto fill = [] {
        make_queue_of(0x10, {{1, "first"}, {7, ""}});
        make_segment_of(0x30, 64 * mebibyte, {{0, 'a'}, {63 * mebibyte, 'b'}});
        make_segment_of(0x31, 64 * mebibyte);
        make_file_of("/memory", 32 * mebibyte, {{16 * mebibyte, 'x'}});
        make_posix_queue_of("/queue", {"kept"});
        // A time of access that a look would move.
        struct timespec long_ago[2] = {{1000, 0}, {2000, 0}};
        checked(::utimensat(AT_FDCWD, "/dev/shm/memory", long_ago, 0), "utimensat");
    };
    const Filled a(fill);
    const Filled b([&] {
        fill();
        // The whole of it is there on this side.
        auto* const memory = static_cast<char*>(::shmat(checked(::shmget(0x31, 0, 0), "shmget"), nullptr, 0));
        std::memset(memory, 0, 64 * mebibyte);
        checked(::shmdt(memory), "shmdt");
    });
    struct stat before {};
    ASSERT_EQ(::stat(a.path("memory").c_str(), &before), 0);
    EXPECT_EQ(a.inside(resident_pages), 2U);
    const auto found = compare(a.target(), b.target());
    EXPECT_EQ(found.same_objects, 4U);
    EXPECT_EQ(only(found).kind, Kind::mq);
    EXPECT_EQ(a.inside(resident_pages), 2U);
    struct stat after {};
    ASSERT_EQ(::stat(a.path("memory").c_str(), &after), 0);
    EXPECT_EQ(after.st_blocks, before.st_blocks);
    EXPECT_EQ(after.st_atim.tv_sec, 1000);
    EXPECT_EQ(after.st_mtim.tv_sec, 2000);
    const auto queue = a.inside([] {
        struct msqid_ds about {};
        checked(::msgctl(checked(::msgget(0x10, 0), "msgget"), IPC_STAT, &about), "msgctl");
        return about;
    });
    EXPECT_EQ(queue.msg_qnum, 2U);
    EXPECT_EQ(queue.msg_lrpid, 0);
    EXPECT_EQ(queue.msg_rtime, 0);
    const auto attached = a.inside([] {
        struct shmid_ds about {};
        checked(::shmctl(checked(::shmget(0x30, 0, 0), "shmget"), IPC_STAT, &about), "shmctl");
        return about.shm_nattch;
    });
    EXPECT_EQ(attached, 0U);
}

// With shm_rmid_forced, whoever detaches last removes the segment.
TEST(Compare, ASegmentIsNotRemovedByLooking) {
    NeedRoot();
    const auto fill = [] {
        if (test::write_file("/proc/sys/kernel/shm_rmid_forced", "1") != 0) test::broken("set a limit");
        make_segment_of(0x30, 4096);
        (void)::shmat(make_segment_of(0x31, 4096), nullptr, 0);
    };
    const Filled a(fill);
    const Filled b(fill);
    const auto found = compare(a.target(), b.target());
    EXPECT_EQ(found.same(), Same::unknown);
    EXPECT_EQ(found.same_objects, 1U);
    const auto object = only(found);
    EXPECT_EQ(object.name().text(), "shm:0x30");
    EXPECT_EQ(object.verdict(), Verdict::not_compared);
    for (const auto* place : {&a, &b}) EXPECT_GE(place->inside([] { return ::shmget(0x30, 0, 0); }), 0);
}

TEST(Compare, Limits) {
    NeedRoot();
    const auto set = [](const char* file, const char* value) {
        return [file, value] {
            if (test::write_file(std::string("/proc/sys/") + file, value) != 0) test::broken("set a limit");
        };
    };
    const auto found =
        compared(set("kernel/shmmni", "17"), set("kernel/sem", "32000\t1024000000\t499\t32000"));
    EXPECT_EQ(found.same(), Same::no);
    ASSERT_EQ(found.limits.size(), 2U);
    EXPECT_STREQ(found.limits[0].key->name, "semopm");
    EXPECT_EQ(found.limits[0].a, 500U);
    EXPECT_EQ(found.limits[0].b, 499U);
    EXPECT_STREQ(found.limits[1].key->name, "shmmni");
    EXPECT_EQ(found.limits[1].a, 17U);
    EXPECT_EQ(found.limits[1].b, 4096U);
    // A wish for an id is no number of use, and then one.
    const auto wish = compared(nothing, set("kernel/msg_next_id", "5"));
    ASSERT_EQ(wish.limits.size(), 1U);
    EXPECT_EQ(wish.limits[0].a, std::nullopt);
    EXPECT_EQ(wish.limits[0].b, 5U);
    EXPECT_EQ(compared(nothing, set("kernel/shmmni", "17"), {Kinds::all(), true, false}).same(), Same::yes);
}

TEST(Compare, SomeKinds) {
    NeedNamespaces();
    CompareOptions options;
    options.kinds = {};
    options.kinds.add(Kind::sem);
    options.kinds.add(Kind::pshm);
    const auto found = compared(one_of_each, nothing, options);
    ASSERT_EQ(found.objects.size(), 2U);
    EXPECT_EQ(found.objects[0].kind, Kind::sem);
    EXPECT_EQ(found.objects[1].kind, Kind::pshm);
}

// ---- Reading -----------------------------------------------------------------------------------------------------

SegmentRecord record_of(int id) { return *find_segment(SegmentId{id}); }

// Through a file that only who has rights over the whole system may open, and through a mapping.
TEST(Contents, OfSegmentsWithAndWithoutRights) {
    NeedNamespaces();
    for (const bool rights : {true, false}) {
        SCOPED_TRACE(rights);
        in_new_namespaces([rights] {
            constexpr std::size_t size = 20 * mebibyte + 100;
            const int id_a = make_segment_of(1, size, {{4095, 'a'}, {4096, 'b'}, {size - 1, 'c'}});
            const int id_b = make_segment_of(2, size, {{4095, 'a'}, {4096, 'b'}, {size - 1, 'd'}});
            if (!rights) test::drop_capabilities();
            const auto systems = maps::segment_file_systems();
            const std::uint64_t before = resident_pages();
            const auto a = contents_of(Namespace::current(), record_of(id_a), systems, false);
            const auto b = contents_of(Namespace::current(), record_of(id_b), systems, false);
            EXPECT_EQ(a->size(), size);
            EXPECT_EQ(a->next_data(0), 0U);
            EXPECT_EQ(a->next_data(100), 100U);
            EXPECT_EQ(a->next_data(8192), size - 1 - (size - 1) % 4096);
            EXPECT_EQ(a->next_data(size), size);
            std::vector<std::byte> read(8192);
            a->read(1, read);
            EXPECT_EQ(read[4094], std::byte{'a'});
            EXPECT_EQ(read[4095], std::byte{'b'});
            EXPECT_EQ(read[4096], std::byte{0});
            const auto found = first_difference(*a, *b);
            ASSERT_TRUE(found);
            EXPECT_EQ(found->offset, size - 1);
            EXPECT_EQ(found->a, std::byte{'c'});
            EXPECT_EQ(found->b, std::byte{'d'});
            EXPECT_FALSE(first_difference(*a, *a));
            EXPECT_EQ(resident_pages(), before);
        });
    }
}

TEST(Contents, OfWhatIsNotThereAnyMore) {
    NeedNamespaces();
    in_new_namespaces([] {
        test::mount_own_dev();
        const auto systems = maps::segment_file_systems();
        const int id = make_segment_of(1, 100);
        SegmentRecord record = record_of(id);
        checked(::shmctl(id, IPC_RMID, nullptr), "shmctl");
        EXPECT_THROW((void)contents_of(Namespace::current(), record, systems, false), Unreadable);

        const Fd folder = test::folder_at("/dev/shm");
        make_file_of("/m", 100, {{0, 'a'}});
        const auto memory = *find_shared_memory(folder.get(), "/m");
        const auto contents = contents_of(folder.get(), memory);
        checked(::truncate("/dev/shm/m", 10), "truncate");
        std::vector<std::byte> read(100);
        EXPECT_THROW(contents->read(0, read), Unreadable);
        // Another one in its place is not the one that was found; a FIFO keeps nobody waiting.
        checked(::rename("/dev/shm/m", "/dev/shm/old"), "rename");
        EXPECT_THROW((void)contents_of(folder.get(), memory), Unreadable);
        make_file_of("/m", 100);
        EXPECT_THROW((void)contents_of(folder.get(), memory), Unreadable);
        checked(::unlink("/dev/shm/m"), "unlink");
        checked(::mkfifo("/dev/shm/m", 0600), "mkfifo");
        EXPECT_THROW((void)contents_of(folder.get(), memory), Unreadable);
    });
}

TEST(Contents, OfWhatMayNotBeRead) {
    NeedNamespaces();
    in_new_namespaces([] {
        test::mount_own_dev();
        const auto systems = maps::segment_file_systems();
        const int id = make_segment_of(1, 100, {}, 0);
        make_file_of("/m", 100, {}, 0);
        const Fd folder = test::folder_at("/dev/shm");
        const auto memory = *find_shared_memory(folder.get(), "/m");
        test::drop_capabilities();
        EXPECT_THROW((void)contents_of(Namespace::current(), record_of(id), systems, false), Unreadable);
        EXPECT_THROW((void)contents_of(folder.get(), memory), Unreadable);
    });
}

} // namespace
} // namespace ipcns
