// SPDX-License-Identifier: Apache-2.0
// One IPC namespace: made, opened in every way there is, entered, and gone with the last that holds it.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/namespace.hpp>

#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace ipcns {
namespace {

using test::in_fork;
using test::inode_in;
using test::ipc_link_of;
using test::link_with;
using test::open_fds;
using test::own_ipc_link;
using test::read_link;
using test::TempFolder;
using test::Waiting;

constexpr key_t key = 0x1bc50001;     // of the queue that tells a namespace of these tests from others
constexpr pid_t no_process = 4194305; // above the greatest that Linux gives (PID_MAX_LIMIT)

// What the kernel calls the namespace behind a descriptor. Not the link in /proc/self/fd: where the namespace is mounted
// on a file and was opened there, that is the file's path.
std::string link_of(const Namespace& ipc) {
    struct stat about {};
    if (::fstat(ipc.fd(), &about) != 0) return "closed";
    return ::ioctl(ipc.fd(), NS_GET_NSTYPE) == CLONE_NEWIPC ? link_with(about.st_ino) : "no IPC namespace";
}

NamespaceId raw_id(const std::string& path) {
    struct stat about {};
    if (::stat(path.c_str(), &about) != 0) test::broken("stat " + path);
    return {about.st_dev, about.st_ino};
}

// The errno value and the hint that a function's ipcns::Error carries; 0 when it throws none.
std::pair<int, std::string> error_of(const std::function<void()>& function) {
    try {
        function();
    } catch (const Error& error) {
        return {error.code().value(), error.hint()};
    }
    return {0, ""};
}

int number_of(const std::function<void()>& function) { return error_of(function).first; }

int make_queue() { return ::msgget(key, IPC_CREAT | IPC_EXCL | 0600); }
bool has_queue() { return ::msgget(key, 0) >= 0; }

int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

// In whatever process this is, in tests that must leave it where it was.
class Namespaces : public testing::Test {
protected:
    void SetUp() override {
        NeedNamespaces();
        link_ = own_ipc_link();
        fds_ = open_fds();
    }
    void TearDown() override {
        if (IsSkipped()) return;
        EXPECT_EQ(own_ipc_link(), link_) << "the test's thread was moved";
        EXPECT_EQ(read_link("/proc/self/ns/ipc"), link_) << "the process was moved";
        EXPECT_EQ(open_fds(), fds_) << "descriptors leak";
        EXPECT_TRUE(::waitpid(-1, nullptr, WNOHANG | __WALL) == -1 && errno == ECHILD)
            << "a child was left behind";
    }
    std::string link_;
    std::vector<std::string> fds_;
};

TEST_F(Namespaces, CurrentIsWhereTheCallerIs) {
    const Namespace ipc = Namespace::current();
    EXPECT_EQ(link_of(ipc), own_ipc_link());
    EXPECT_EQ(ipc.id(), raw_id("/proc/thread-self/ns/ipc"));
    EXPECT_EQ(::fcntl(ipc.fd(), F_GETFD), FD_CLOEXEC);
}

TEST_F(Namespaces, CurrentIsThatOfTheThread) {
    test::in_new_namespaces([] {
        const std::string process = own_ipc_link();
        std::thread([&] {
            ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
            EXPECT_NE(own_ipc_link(), process);
            EXPECT_EQ(link_of(Namespace::current()), own_ipc_link());
        }).join();
        EXPECT_EQ(link_of(Namespace::current()), process);
    });
}

TEST_F(Namespaces, CreateMakesANewAndEmptyOne) {
    const Namespace one = Namespace::create();
    const Namespace two = Namespace::create();
    EXPECT_NE(link_of(one), link_);
    EXPECT_NE(link_of(two), link_);
    EXPECT_NE(link_of(one), link_of(two));
    EXPECT_EQ(link_of(one), link_with(one.id().inode));
    EXPECT_NE(one.id(), two.id());
    EXPECT_EQ(one.id(), raw_id("/proc/self/fd/" + std::to_string(one.fd())));
    EXPECT_EQ(::ioctl(one.fd(), NS_GET_NSTYPE), CLONE_NEWIPC);
    EXPECT_EQ(::fcntl(one.fd(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(own_ipc_link(), link_);
    one.call([] {
        struct shm_info info {};
        ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info));
        EXPECT_EQ(info.used_ids, 0);
    });
}

TEST_F(Namespaces, CreateFromAThread) {
    std::optional<Namespace> made;
    std::thread([&] { made = Namespace::create(); }).join();
    EXPECT_EQ(link_of(*made), link_with(made->id().inode));
    made.reset();
}

TEST_F(Namespaces, TheirObjectsAreApart) {
    const Namespace one = Namespace::create();
    const Namespace two = Namespace::create();
    EXPECT_GE(one.call(make_queue), 0);
    EXPECT_TRUE(one.call(has_queue));
    EXPECT_FALSE(two.call(has_queue));
    EXPECT_FALSE(has_queue());
    EXPECT_GE(two.call(make_queue), 0); // IPC_EXCL: it is another
}

TEST_F(Namespaces, OwnedByTheUserNamespaceItWasMadeIn) {
    const Namespace ipc = Namespace::create();
    const Fd owner = ipc.owner();
    EXPECT_EQ(::fcntl(owner.get(), F_GETFD), FD_CLOEXEC);
    const std::string link = read_link("/proc/self/fd/" + std::to_string(owner.get()));
    uid_t user = 99999;
    ASSERT_EQ(::ioctl(owner.get(), NS_GET_OWNER_UID, &user), 0);
    if (::geteuid() == 0) {
        EXPECT_EQ(link, read_link("/proc/self/ns/user"));
    } else {
        EXPECT_EQ(link.substr(0, 6), "user:[");
        EXPECT_NE(link, read_link("/proc/self/ns/user"));
        EXPECT_EQ(user, ::geteuid());
    }
}

TEST_F(Namespaces, InAUserNamespaceOfOnesOwnTheCallerIsItself) {
    NeedOrdinaryUser();
    const Namespace ipc = Namespace::create();
    EXPECT_EQ(ipc.call([] { return std::make_pair(::geteuid(), ::getegid()); }),
              std::make_pair(::geteuid(), ::getegid()));
    // An object made inside is the caller's own.
    const auto about = ipc.call([] {
        struct msqid_ds queue {};
        ::msgctl(make_queue(), IPC_STAT, &queue);
        return queue.msg_perm;
    });
    EXPECT_EQ(about.uid, ::geteuid());
    EXPECT_EQ(about.gid, ::getegid());
}

TEST_F(Namespaces, OwnerOfAStrangerIsNotTold) {
    const Namespace ipc = Namespace::create();
    const int status = in_fork([&] {
        if (::unshare(CLONE_NEWUSER) != 0) return 2;
        return number_of([&] { (void)ipc.owner(); }) == EPERM ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

TEST_F(Namespaces, CreateSaysWhichSettingForbidsIt) {
    const int status = in_fork([] {
        // In a user namespace the number of IPC namespaces below it can be limited without harm to others.
        const uid_t user = ::geteuid();
        if (::unshare(CLONE_NEWUSER) != 0) return 2;
        if (test::write_file("/proc/self/uid_map", "0 " + std::to_string(user) + " 1") != 0) return 3;
        if (test::write_file("/proc/sys/user/max_ipc_namespaces", "0") != 0) return 4;
        const auto before = open_fds();
        const auto [number, hint] = error_of([] { (void)Namespace::create(); });
        if (number != ENOSPC) return 5;
        if (hint.find("user.max_ipc_namespaces") == std::string::npos) return 6;
        return open_fds() == before ? 0 : 7;
    });
    EXPECT_EQ(status, 0);
}

TEST_F(Namespaces, FromPid) {
    const Waiting other([] { test::move_into_new_namespaces(); });
    const Namespace ipc = Namespace::from_pid(other.pid());
    EXPECT_EQ(link_of(ipc), ipc_link_of(other.pid()));
    EXPECT_NE(link_of(ipc), link_);
    EXPECT_EQ(ipc.id(), raw_id("/proc/" + std::to_string(other.pid()) + "/ns/ipc"));
    EXPECT_EQ(::fcntl(ipc.fd(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(Namespace::from_pid(::getpid()).id(), Namespace::current().id());
}

TEST_F(Namespaces, FromPidOfNobody) {
    for (const pid_t pid : {no_process, 0, -1})
        EXPECT_EQ(number_of([&] { (void)Namespace::from_pid(pid); }), ESRCH) << pid;
    const Waiting other([] {});
    other.end();
    EXPECT_EQ(number_of([&] { (void)Namespace::from_pid(other.pid()); }), ESRCH) << "of a zombie";
}

TEST_F(Namespaces, FromPidOfSomebodyElse) {
    const int status = in_fork([] {
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 2;
        const auto [number, hint] = error_of([] { (void)Namespace::from_pid(1); });
        if (number == 0 && !read_link("/proc/1/ns/ipc").empty())
            return 0; // in a container process 1 may be ours
        return number == EACCES && hint.find("root") != std::string::npos ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

TEST_F(Namespaces, FromPidfd) {
    Waiting other([] { test::move_into_new_namespaces(); });
    const Fd pidfd(open_pidfd(other.pid()));
    ASSERT_TRUE(pidfd);
    EXPECT_EQ(link_of(Namespace::from_pidfd(pidfd.get())), ipc_link_of(other.pid()));
    other.end();
    EXPECT_EQ(number_of([&] { (void)Namespace::from_pidfd(pidfd.get()); }), ESRCH) << "of a zombie";
    other.kill();
    EXPECT_EQ(number_of([&] { (void)Namespace::from_pidfd(pidfd.get()); }), ESRCH)
        << "of a process that is gone";
}

TEST_F(Namespaces, FromWhatIsNoPidfd) {
    const Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const Namespace ipc = Namespace::current();
    for (const int fd : {null.get(), ipc.fd(), -1, 99999})
        EXPECT_EQ(number_of([&] { (void)Namespace::from_pidfd(fd); }), EBADF) << fd;
    EXPECT_GE(::fcntl(null.get(), F_GETFD), 0) << "it was closed";
}

TEST_F(Namespaces, FromPath) {
    const Waiting other([] { test::move_into_new_namespaces(); });
    const std::string path = "/proc/" + std::to_string(other.pid()) + "/ns/ipc";
    EXPECT_EQ(link_of(Namespace::from_path(path)), ipc_link_of(other.pid()));
    const TempFolder folder;
    std::filesystem::create_symlink(path, folder / "link");
    EXPECT_EQ(link_of(Namespace::from_path(folder / "link")), ipc_link_of(other.pid()));
}

TEST_F(Namespaces, FromPathOfSomethingElse) {
    const TempFolder folder;
    ASSERT_EQ(test::write_file(folder / "file", "ipc:[4026531839]"), 0);
    ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
    std::filesystem::create_symlink("/proc/self/ns/net", folder / "net");
    std::filesystem::create_symlink("loop", folder / "loop");
    std::vector<std::pair<std::string, int>> table{
        {folder / "file", EINVAL},      {folder / "fifo", EINVAL}, // must not block
        {folder.path(), EINVAL},        {folder / "net", EINVAL},      {folder / "loop", ELOOP},
        {folder / "none", ENOENT},      {folder / "file/x", ENOTDIR},  {"", ENOENT},
        {"/dev/null", EINVAL},          {"/proc/self/ns/net", EINVAL}, {"/proc/self/ns/uts", EINVAL},
        {"/proc/self/ns/user", EINVAL}, {"/proc/self/ns", EINVAL},     {"/proc/self/stat", EINVAL}};
    for (const auto& row : table)
        EXPECT_EQ(number_of([&] { (void)Namespace::from_path(row.first); }), row.second) << row.first;
    const auto [number, hint] = error_of([] { (void)Namespace::from_path("/proc/self/ns/net"); });
    EXPECT_EQ(number, EINVAL);
    EXPECT_NE(hint.find("another kind"), std::string::npos) << hint;
}

TEST_F(Namespaces, APathInAMessageIsSafeToPrint) {
    const TempFolder folder;
    const std::string path = folder / "\x1b[31m";
    for (const bool exists : {false, true}) {
        if (exists) {
            ASSERT_EQ(test::write_file(path, "x"), 0);
        }
        try {
            (void)Namespace::from_path(path);
            ADD_FAILURE() << "taken";
        } catch (const Error& error) {
            EXPECT_EQ(std::string(error.what()).find('\x1b'), std::string::npos);
            EXPECT_NE(std::string(error.what()).find("\\x1b[31m"), std::string::npos) << error.what();
        }
    }
}

TEST_F(Namespaces, FromFdTakesOver) {
    const int raw = ::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
    {
        const Namespace ipc = Namespace::from_fd(Fd(raw));
        EXPECT_EQ(ipc.fd(), raw);
        EXPECT_EQ(link_of(ipc), link_);
    }
    EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
}

TEST_F(Namespaces, FromFdOfSomethingElseClosesIt) {
    for (const char* path : {"/proc/self/ns/net", "/proc/self/ns/mnt", "/dev/null", "/proc/self/stat", "/"}) {
        const int raw = ::open(path, O_RDONLY | O_CLOEXEC);
        ASSERT_GE(raw, 0) << path;
        EXPECT_EQ(number_of([&] { (void)Namespace::from_fd(Fd(raw)); }), EINVAL) << path;
        EXPECT_EQ(::fcntl(raw, F_GETFD), -1) << path;
    }
    EXPECT_EQ(number_of([] { (void)Namespace::from_fd(Fd()); }), EBADF);
}

TEST_F(Namespaces, FromInodeHeldByAProcess) {
    const Waiting other([] { test::move_into_new_namespaces(); });
    const std::string link = ipc_link_of(other.pid());
    const Namespace found = Namespace::from_inode(inode_in(link));
    EXPECT_EQ(link_of(found), link);
    EXPECT_EQ(found.id(), raw_id("/proc/" + std::to_string(other.pid()) + "/ns/ipc"));
    EXPECT_EQ(Namespace::from_inode(inode_in(link_)).id(), Namespace::current().id());
}

TEST_F(Namespaces, FromInodeHeldByADescriptorOnly) {
    Waiting maker([] { test::move_into_new_namespaces(); });
    const std::string link = ipc_link_of(maker.pid());
    const Waiting holder([&] {
        const std::string path = "/proc/" + std::to_string(maker.pid()) + "/ns/ipc";
        if (::open(path.c_str(), O_RDONLY | O_CLOEXEC) < 0) test::broken("open " + path);
    });
    maker.kill();
    EXPECT_NE(ipc_link_of(holder.pid()), link);
    EXPECT_EQ(link_of(Namespace::from_inode(inode_in(link))), link);
}

TEST_F(Namespaces, FromInodeHeldByOnesOwnDescriptor) {
    const Namespace ipc = Namespace::create();
    EXPECT_EQ(Namespace::from_inode(ipc.id().inode).id(), ipc.id());
}

TEST_F(Namespaces, FromInodeHeldByOneThreadOnly) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd read(ends[0]);
    Fd write(ends[1]);
    const Waiting other([&] {
        test::move_into_new_namespaces();
        std::atomic<bool> ready{false};
        std::thread([&] {
            if (::unshare(CLONE_NEWIPC) != 0) ::_exit(98);
            const std::string link = own_ipc_link();
            if (::write(write.get(), link.data(), link.size()) < 0) ::_exit(98);
            ready = true;
            for (;;) ::pause();
        }).detach();
        while (!ready) std::this_thread::yield();
    });
    write.reset();
    const std::string link = [&] {
        char text[64];
        const ssize_t length = ::read(read.get(), text, sizeof text);
        return std::string(text, length < 0 ? 0 : static_cast<std::size_t>(length));
    }();
    ASSERT_NE(link, "");
    ASSERT_NE(link, ipc_link_of(other.pid()));
    EXPECT_EQ(link_of(Namespace::from_inode(inode_in(link))), link);
}

TEST_F(Namespaces, FromInodeHeldByAMountOnlyThatIsNotEvenOurs) {
    const TempFolder folder;
    ASSERT_EQ(test::write_file(folder / "a place with spaces", ""), 0);
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd read(ends[0]);
    Fd write(ends[1]);
    const Waiting other([&] {
        test::move_into_new_namespaces();
        const std::string link = own_ipc_link();
        if (::mount("/proc/self/ns/ipc", (folder / "a place with spaces").c_str(), nullptr, MS_BIND,
                    nullptr) != 0)
            test::broken("mount a namespace");
        if (::unshare(CLONE_NEWIPC) != 0) test::broken("leave the namespace");
        if (::write(write.get(), link.data(), link.size()) < 0) test::broken("write");
    });
    write.reset();
    char text[64];
    const ssize_t length = ::read(read.get(), text, sizeof text);
    ASSERT_GT(length, 0);
    const std::string link(text, static_cast<std::size_t>(length));
    ASSERT_NE(link, ipc_link_of(other.pid()));
    EXPECT_EQ(test::read_file(folder / "a place with spaces"), "") << "the mount is seen from here";
    EXPECT_EQ(link_of(Namespace::from_inode(inode_in(link))), link);
}

TEST_F(Namespaces, FromPathWhereItIsMounted) {
    const TempFolder folder;
    const std::string place = folder / "place";
    ASSERT_EQ(test::write_file(place, ""), 0);
    test::in_new_namespaces([&] {
        const std::string link = own_ipc_link();
        ASSERT_EQ(::mount("/proc/self/ns/ipc", place.c_str(), nullptr, MS_BIND, nullptr), 0)
            << std::strerror(errno);
        ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
        EXPECT_EQ(link_of(Namespace::from_path(place)), link);
        EXPECT_EQ(::umount2(place.c_str(), MNT_DETACH), 0);
        EXPECT_EQ(number_of([&] { (void)Namespace::from_path(place); }), EINVAL);
    });
}

TEST_F(Namespaces, FromInodeOfNone) {
    const auto [number, hint] = error_of([] { (void)Namespace::from_inode(999); });
    EXPECT_EQ(number, ENOENT);
    EXPECT_NE(hint, "");
    EXPECT_EQ(number_of([] { (void)Namespace::from_inode(0); }), ENOENT);
    const Fd net(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)); // held, but of another kind
    EXPECT_EQ(number_of([] { (void)Namespace::from_inode(inode_in(read_link("/proc/self/ns/net"))); }),
              ENOENT);
}

TEST_F(Namespaces, FromInodeLeavesPipesAlone) {
    // A descriptor that reads "pipe:[N]" is not one that reads "ipc:[N]".
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd read(ends[0]);
    ::close(ends[1]);
    const ino_t inode = inode_in(read_link("/proc/self/fd/" + std::to_string(read.get())));
    ASSERT_NE(inode, 0U);
    EXPECT_EQ(number_of([&] { (void)Namespace::from_inode(inode); }), ENOENT);
}

TEST_F(Namespaces, DiesWithTheLastObject) {
    std::optional<Namespace> one = Namespace::create();
    const ino_t inode = one->id().inode;
    ASSERT_GE(one->call(make_queue), 0);
    std::optional<Namespace> two = Namespace::from_inode(inode);
    one.reset();
    EXPECT_TRUE(two->call(has_queue)) << "it still lives by the other";
    std::optional<Namespace> three = std::move(two); // NOLINT: the moved-from is emptied next
    two.reset();
    EXPECT_TRUE(three->call(has_queue));
    three.reset();
    EXPECT_EQ(open_fds(), fds_);
    try {
        // The number may be somebody else's by now (tests run side by side), but that one is without our queue.
        const Namespace other = Namespace::from_inode(inode);
        EXPECT_FALSE(other.call(has_queue));
    } catch (const Error& error) {
        EXPECT_TRUE(error.code().value() == ENOENT || error.code().value() == EPERM) << error.what();
    }
}

TEST_F(Namespaces, HostIsThatOfProcess1) {
    struct stat about {};
    if (::stat("/proc/1/ns/ipc", &about) == 0) {
        EXPECT_EQ(Namespace::host_id(), (NamespaceId{about.st_dev, about.st_ino}));
        EXPECT_EQ(Namespace::host().id(), Namespace::host_id());
    } else {
        EXPECT_EQ(Namespace::host_id().inode, 0xEFFFFFFFU); // PROC_IPC_INIT_INO of the kernel
        if (link_ == link_with(0xEFFFFFFFU)) {
            EXPECT_EQ(Namespace::host().id(), raw_id("/proc/self/ns/ipc"));
        }
    }
}

TEST(NamespaceId, IsComparedWhole) {
    const NamespaceId id{1, 2};
    EXPECT_EQ(id, (NamespaceId{1, 2}));
    EXPECT_NE(id, (NamespaceId{2, 2}));
    EXPECT_NE(id, (NamespaceId{1, 3}));
    EXPECT_LT(id, (NamespaceId{1, 3}));
    EXPECT_LT((NamespaceId{0, 9}), id);
}

TEST_F(Namespaces, EnterMovesTheCallingThreadOnly) {
    NeedRoot();
    const Namespace ipc = Namespace::create();
    std::string inside;
    std::string process;
    std::thread([&] {
        ipc.enter();
        inside = own_ipc_link();
        process = read_link("/proc/self/ns/ipc");
        EXPECT_GE(make_queue(), 0);
    }).join();
    EXPECT_EQ(inside, link_of(ipc));
    EXPECT_EQ(process, link_);
    EXPECT_FALSE(has_queue());
}

TEST_F(Namespaces, EnterInAProcessOfOneThread) {
    const Namespace ipc = Namespace::create();
    const int status = in_fork([&] {
        ipc.enter();
        if (own_ipc_link() != link_of(ipc)) return 1;
        if (make_queue() < 0) return 2;
        ipc.enter(); // once more does no harm
        return own_ipc_link() == link_of(ipc) ? 0 : 3;
    });
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(ipc.call(has_queue));
    EXPECT_FALSE(has_queue());
}

TEST_F(Namespaces, EnterFromAThreadSaysWhyAnOrdinaryUserCannot) {
    NeedOrdinaryUser();
    const Namespace ipc = Namespace::create();
    std::thread([&] {
        const auto [number, hint] = error_of([&] { ipc.enter(); });
        EXPECT_EQ(number, EPERM);
        EXPECT_NE(hint.find("CAP_SYS_ADMIN"), std::string::npos) << hint;
        EXPECT_EQ(own_ipc_link(), link_);
    }).join();
}

TEST_F(Namespaces, AStrangerMayNotEnter) {
    NeedRoot();
    const Namespace ipc = Namespace::create();
    const int status = in_fork([&] {
        if (::setresuid(65534, 65534, 65534) != 0) return 2;
        ::prctl(PR_SET_DUMPABLE, 1);
        const auto [number, hint] = error_of([&] { ipc.enter(); });
        if (number != EPERM || hint.empty()) return 3;
        if (own_ipc_link() == link_of(ipc)) return 4;
        bool ran = false;
        if (number_of([&] { ipc.call([&] { ran = true; }); }) != EPERM) return 5;
        return ran ? 6 : 0;
    });
    EXPECT_EQ(status, 0);
}

TEST_F(Namespaces, CallRunsInside) {
    const Namespace ipc = Namespace::create();
    std::string inside;
    ipc.call([&] { inside = own_ipc_link(); });
    EXPECT_EQ(inside, link_of(ipc));
    EXPECT_EQ(own_ipc_link(), link_);
}

TEST_F(Namespaces, CallHandsBackWhatTheFunctionReturns) {
    const Namespace ipc = Namespace::create();
    EXPECT_EQ(ipc.call([] { return 42; }), 42);
    EXPECT_EQ(ipc.call([] { return std::string(10000, 'x'); }), std::string(10000, 'x'));
    static_assert(std::is_void_v<decltype(ipc.call([] {}))>);
    const std::unique_ptr<int> moved = ipc.call([] { return std::make_unique<int>(7); }); // move-only
    ASSERT_TRUE(moved);
    EXPECT_EQ(*moved, 7);
    const Namespace other = ipc.call([] { return Namespace::current(); });
    EXPECT_EQ(other.id(), ipc.id());
    struct Odd { // neither default-constructible nor assignable
        explicit Odd(int number) : value(number) {}
        const int value;
    };
    EXPECT_EQ(ipc.call([] { return Odd(3); }).value, 3);
    auto counter = [count = 0]() mutable { return ++count; };
    EXPECT_EQ(ipc.call(counter), 1);
    EXPECT_EQ(ipc.call(counter), 2) << "it was called on a copy";
}

TEST_F(Namespaces, CallHandsOnWhatTheFunctionThrows) {
    const Namespace ipc = Namespace::create();
    struct Own {
        int number;
    };
    try {
        ipc.call([] { throw Own{5}; });
        ADD_FAILURE() << "nothing was thrown";
    } catch (const Own& own) {
        EXPECT_EQ(own.number, 5);
    }
    EXPECT_THROW((void)ipc.call([]() -> int { throw std::out_of_range("x"); }), std::out_of_range);
    EXPECT_EQ(number_of([&] { ipc.call([] { throw UsageError("x"); }); }), EINVAL);
    // An EPERM of the function's own is not taken for one of entering: it runs once.
    int runs = 0;
    EXPECT_EQ(number_of([&] {
                  ipc.call([&] {
                      ++runs;
                      throw Error(EPERM, "x");
                  });
              }),
              EPERM);
    EXPECT_EQ(runs, 1);
    EXPECT_EQ(own_ipc_link(), link_);
}

TEST_F(Namespaces, CallInsideACall) {
    const Namespace outer = Namespace::create();
    const Namespace inner = Namespace::create();
    std::vector<std::string> links;
    outer.call([&] {
        links.push_back(own_ipc_link());
        // Only who may enter from there: an ordinary user is in the user namespace of the outer one, which has no power
        // over the inner.
        if (::getuid() == 0) inner.call([&] { links.push_back(own_ipc_link()); });
        links.push_back(own_ipc_link());
    });
    const std::vector<std::string> expected =
        ::getuid() == 0 ? std::vector{link_of(outer), link_of(inner), link_of(outer)}
                        : std::vector{link_of(outer), link_of(outer)};
    EXPECT_EQ(links, expected);
}

TEST_F(Namespaces, CallIntoOnesOwn) {
    // An ordinary user too, although setns(2) wants privileges even for where one is.
    EXPECT_EQ(Namespace::current().call(own_ipc_link), link_);
}

TEST_F(Namespaces, CallsFromManyThreadsAtOnce) {
    constexpr int threads = 16;
    constexpr int rounds = 50;
    const std::array<Namespace, 2> ipc{Namespace::create(), Namespace::create()};
    const std::array<std::string, 2> links{link_of(ipc[0]), link_of(ipc[1])};
    std::atomic<int> right{0};
    std::atomic<int> stayed{0};
    {
        std::vector<std::jthread> workers;
        for (std::size_t t = 0; t < threads; ++t) {
            workers.emplace_back([&, t] {
                for (std::size_t i = 0; i < rounds; ++i) {
                    const std::size_t which = (t + i) % 2;
                    try {
                        const std::string inside = ipc[which].call([&] {
                            std::string link = own_ipc_link();
                            if (i % 7 == 0) throw link;
                            return link;
                        });
                        right += inside == links[which];
                    } catch (const std::string& inside) {
                        right += inside == links[which];
                    }
                    stayed += own_ipc_link() == link_;
                }
            });
        }
    }
    EXPECT_EQ(right, threads * rounds);
    EXPECT_EQ(stayed, threads * rounds);
}

TEST_F(Namespaces, MadeByManyThreadsAtOnce) {
    constexpr std::size_t threads = 8;
    constexpr std::size_t each = 10;
    std::array<std::vector<Namespace>, threads> made;
    {
        std::vector<std::jthread> workers;
        for (auto& mine : made) {
            workers.emplace_back([&mine] {
                for (std::size_t i = 0; i < each; ++i) mine.push_back(Namespace::create());
            });
        }
    }
    std::map<std::string, int> links;
    for (const auto& mine : made) {
        for (const auto& ipc : mine) ++links[link_of(ipc)];
    }
    EXPECT_EQ(links.size(), threads * each);
    EXPECT_FALSE(links.contains(link_));
}

TEST_F(Namespaces, WithoutDescriptorsTheyFailAndLeakNothing) {
#if defined(__SANITIZE_ADDRESS__)
    GTEST_SKIP() << "UBSan itself needs descriptors, to look whether an object is what it seems";
#endif
    // In a child, since the limit is the process's.
    const int status = in_fork([&] {
        const auto before = open_fds();
        const struct rlimit none { 3, 3 };
        if (::setrlimit(RLIMIT_NOFILE, &none) != 0) return 2;
        // 0, 1 and 2 are open; where not, there is nothing to see.
        if (before.size() < 3) return 0;
        if (number_of([] { (void)Namespace::create(); }) != EMFILE) return 3;
        if (number_of([] { (void)Namespace::current(); }) != EMFILE) return 4;
        return 0;
    });
    EXPECT_EQ(status, 0);
}

} // namespace
} // namespace ipcns
