// SPDX-License-Identifier: Apache-2.0
// POSIX objects as files: queues made by mq_open(3) on a mount of queues, and folders of files emptied whatever is in
// them. What is mounted for a test is mounted in a namespace of a child process and goes with it.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/posix.hpp>

#include <mqueue.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ipcns {
namespace {

using test::in_fork;
using test::in_new_namespaces;
using test::open_fds;
using test::TempFolder;
using test::write_file;

Fd open_folder(const std::string& path, int flags = O_PATH) {
    Fd fd(::open(path.c_str(), flags | O_DIRECTORY | O_CLOEXEC));
    if (!fd) test::broken("open " + path);
    return fd;
}

std::set<std::string> names_in(const std::string& path) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path)) names.insert(entry.path().filename());
    return names;
}

bool exists_at(int folder, const std::string& name) {
    struct stat about {};
    return ::fstatat(folder, name.c_str(), &about, AT_SYMLINK_NOFOLLOW) == 0;
}

// The errno value of the ipcns::Error that a function throws; 0 when it throws none.
template <class Function>
int number_of(Function function) {
    try {
        function();
    } catch (const Error& error) {
        return error.code().value();
    }
    return 0;
}

// A queue that is as small as can be, so that many fit the caller's RLIMIT_MSGQUEUE.
mqd_t make_queue(const std::string& name) {
    struct mq_attr smallest {};
    smallest.mq_maxmsg = 1;
    smallest.mq_msgsize = 1;
    const mqd_t queue = ::mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600, &smallest);
    if (queue < 0) test::broken("mq_open " + name);
    return queue;
}

bool has_queue(const std::string& name) {
    const mqd_t queue = ::mq_open(name.c_str(), O_RDONLY | O_CLOEXEC);
    if (queue >= 0) ::mq_close(queue);
    return queue >= 0;
}

// Why the tests of queues cannot run, or null.
const char* no_queues() {
    if (!std::filesystem::exists("/proc/sys/fs/mqueue")) return "this kernel has no POSIX message queues";
    return test::can_make_namespaces() ? nullptr : "this system lets this user make no namespaces";
}

class Queues : public testing::Test {
protected:
    void SetUp() override {
        if (const char* reason = no_queues()) GTEST_SKIP() << reason;
    }
};

TEST_F(Queues, AMountShowsThoseOfTheNamespace) {
    in_new_namespaces([] {
        const auto before = open_fds();
        {
            const Fd mount = mount_queues();
            ASSERT_TRUE(mount);
            EXPECT_EQ(::fcntl(mount.get(), F_GETFD), FD_CLOEXEC);
            EXPECT_EQ(files_usage(mount.get()).files, 0U);
            ::mq_close(make_queue("/ipcns-jobs"));
            EXPECT_TRUE(exists_at(mount.get(), "ipcns-jobs"));
            EXPECT_EQ(files_usage(mount.get()).files, 1U);
            const Fd second = mount_queues();
            EXPECT_TRUE(exists_at(second.get(), "ipcns-jobs"));
            EXPECT_EQ(::unlinkat(second.get(), "ipcns-jobs", 0), 0);
            EXPECT_FALSE(has_queue("/ipcns-jobs"));
        }
        EXPECT_EQ(open_fds(), before);
    });
}

TEST_F(Queues, AMountIsSeenByNobodyElse) {
    in_new_namespaces([] {
        const std::string before = test::read_file("/proc/self/mountinfo");
        const Fd mount = mount_queues();
        EXPECT_EQ(test::read_file("/proc/self/mountinfo"), before);
    });
}

TEST_F(Queues, AMountStaysWithItsNamespace) {
    in_new_namespaces([] {
        ::mq_close(make_queue("/ipcns-outer"));
        const Fd outer = mount_queues();
        ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
        ::mq_close(make_queue("/ipcns-inner"));
        const Fd inner = mount_queues();
        EXPECT_TRUE(exists_at(outer.get(), "ipcns-outer"));
        EXPECT_FALSE(exists_at(outer.get(), "ipcns-inner"));
        EXPECT_TRUE(exists_at(inner.get(), "ipcns-inner"));
        EXPECT_FALSE(exists_at(inner.get(), "ipcns-outer"));
        EXPECT_EQ(remove_all_files(inner.get()).files, 1U);
        EXPECT_FALSE(has_queue("/ipcns-inner"));
        EXPECT_TRUE(exists_at(outer.get(), "ipcns-outer"));
    });
}

TEST_F(Queues, RemoveAll) {
    in_new_namespaces([] {
        std::vector<std::string> names;
        for (int i = 0; i < 200; ++i) names.push_back("/ipcns-" + std::to_string(i));
        names.push_back("/" + std::string(255, 'q'));
        names.emplace_back("/\n\x1b\xff");
        for (const auto& name : names) ::mq_close(make_queue(name));
        const mqd_t open = make_queue("/ipcns-open");
        ASSERT_EQ(::mq_send(open, "x", 1, 0), 0);
        const Fd mount = mount_queues();
        EXPECT_EQ(files_usage(mount.get()).files, names.size() + 1);
        const FilesUsage removed = remove_all_files(mount.get());
        EXPECT_EQ(removed.files, names.size() + 1);
        EXPECT_EQ(removed.bytes, 0U);
        EXPECT_EQ(files_usage(mount.get()).files, 0U);
        for (const auto& name : names) EXPECT_FALSE(has_queue(name)) << name;
        // Who has one open keeps it, as with every file.
        char byte = 0;
        EXPECT_EQ(::mq_receive(open, &byte, 1, nullptr), 1);
        EXPECT_EQ(byte, 'x');
        ::mq_close(open);
    });
}

TEST_F(Queues, WithoutRightsItSaysSo) {
    const int status = in_fork([] {
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 2;
        return number_of([] { (void)mount_queues(); }) == EPERM ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

// Runs a test's body with a folder on a tmpfs of its own, as a /dev/shm is one.
void on_a_tmpfs(const std::function<void(const std::string& path)>& body) {
    const TempFolder folder;
    in_new_namespaces([&] {
        ASSERT_EQ(::mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "mode=1777"), 0)
            << std::strerror(errno);
        body(folder.path());
    });
}

TEST(Files, UsageCountsWhatLiesInTheFolder) {
    const TempFolder folder;
    const Fd fd = open_folder(folder.path());
    EXPECT_EQ(files_usage(fd.get()).files, 0U);
    EXPECT_EQ(files_usage(fd.get()).bytes, 0U);
    ASSERT_EQ(write_file(folder / "sem.one", std::string(32, 's')), 0);
    ASSERT_EQ(write_file(folder / "two", std::string(100000, 'x')), 0);
    ASSERT_EQ(write_file(folder / ".hidden", "x"), 0);
    ASSERT_EQ(write_file(folder / "sparse", ""), 0);
    ASSERT_EQ(::truncate((folder / "sparse").c_str(), 1 << 30), 0);
    std::filesystem::create_symlink("/etc", folder / "link");
    std::filesystem::create_directory(folder / "folder");
    ASSERT_EQ(write_file(folder / "folder/below", "x"), 0);
    std::uint64_t bytes = 0;
    for (const auto& name : names_in(folder.path())) {
        struct stat about {};
        ASSERT_EQ(::lstat((folder / name).c_str(), &about), 0);
        bytes += static_cast<std::uint64_t>(about.st_blocks) * 512;
    }
    const FilesUsage usage = files_usage(fd.get());
    EXPECT_EQ(usage.files, 6U);
    EXPECT_EQ(usage.bytes, bytes);
    EXPECT_GE(usage.bytes, 100000U);
    EXPECT_LT(usage.bytes, 1U << 30) << "a hole takes no memory";
    EXPECT_EQ(names_in(folder.path()).size(), 6U) << "counting changed something";
}

TEST(Files, RemoveAllOfEveryType) {
    const TempFolder folder;
    const std::string place = folder / "shm";
    ASSERT_EQ(::mkdir(place.c_str(), 0700), 0);
    std::vector<std::string> names{"a",   "sem.x",      ".hidden",  "-rf",
                                   "a b", "\n\x1b[31m", "\xff\xfe", std::string(255, 'n')};
    for (const auto& name : names) ASSERT_EQ(write_file(place + "/" + name, std::string(5000, 'x')), 0);
    ASSERT_EQ(::mkfifo((place + "/fifo").c_str(), 0600), 0);
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    struct sockaddr_un address {};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s/s", place.c_str());
    ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::mkdir((place + "/empty").c_str(), 0700), 0);
    ASSERT_EQ(::mkdir((place + "/full").c_str(), 0700), 0);
    ASSERT_EQ(::mkdir((place + "/full/deeper").c_str(), 0700), 0);
    ASSERT_EQ(write_file(place + "/full/one", "1"), 0);
    ASSERT_EQ(write_file(place + "/full/deeper/two", "2"), 0);
    ASSERT_EQ(write_file(folder / "beside", "x"), 0);

    const auto before = open_fds();
    const Fd fd = open_folder(place);
    const std::uint64_t bytes = files_usage(fd.get()).bytes;
    const FilesUsage removed = remove_all_files(fd.get());
    EXPECT_EQ(removed.files, names.size() + 2 + 3 + 2);
    EXPECT_GE(removed.bytes, names.size() * 5000);
    EXPECT_LE(removed.bytes, bytes + 2 * 65536);
    EXPECT_EQ(names_in(place).size(), 0U);
    EXPECT_EQ(open_fds().size(), before.size() + 1) << "descriptors leak";
    EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"beside", "shm"}));
    EXPECT_EQ(remove_all_files(fd.get()).files, 0U);
    EXPECT_EQ(::rmdir(place.c_str()), 0);
}

TEST(Files, AFileOfTwoNamesIsCountedTwiceButItsBytesOnce) {
    const TempFolder folder;
    ASSERT_EQ(write_file(folder / "a", std::string(100000, 'x')), 0);
    ASSERT_EQ(::link((folder / "a").c_str(), (folder / "b").c_str()), 0);
    struct stat about {};
    ASSERT_EQ(::stat((folder / "a").c_str(), &about), 0);
    const FilesUsage removed = remove_all_files(open_folder(folder.path()).get());
    EXPECT_EQ(removed.files, 2U);
    EXPECT_EQ(removed.bytes, static_cast<std::uint64_t>(about.st_blocks) * 512);
}

TEST(Files, LinksAreNotFollowed) {
    const TempFolder outside;
    ASSERT_EQ(write_file(outside / "precious", "x"), 0);
    ASSERT_EQ(::mkdir((outside / "folder").c_str(), 0700), 0);
    ASSERT_EQ(write_file(outside / "folder/precious", "x"), 0);
    const TempFolder folder;
    const auto link = [&](const std::string& target, const std::string& name) {
        std::filesystem::create_symlink(target, folder / name);
    };
    ASSERT_EQ(::mkdir((folder / "real").c_str(), 0700), 0);
    for (const std::string below : {"", "real/"}) {
        link(outside.path(), below + "to-folder");
        link(outside / "precious", below + "to-file");
        link(outside / "folder", below + "to-inner");
        link("/", below + "to-root");
        link("..", below + "up");
        link("nowhere", below + "dangling");
        link("self", below + "self");
    }
    EXPECT_EQ(remove_all_files(open_folder(folder.path()).get()).files, 15U);
    EXPECT_EQ(names_in(folder.path()).size(), 0U);
    EXPECT_EQ(names_in(outside.path()), (std::set<std::string>{"folder", "precious"}));
    EXPECT_EQ(names_in(outside / "folder"), std::set<std::string>{"precious"});
}

TEST(Files, ADescriptorWhosePlaceWasTakenByALinkStillMeansItsFolder) {
    const TempFolder folder;
    ASSERT_EQ(::mkdir((folder / "outside").c_str(), 0700), 0);
    ASSERT_EQ(write_file(folder / "outside/precious", "x"), 0);
    ASSERT_EQ(::mkdir((folder / "shm").c_str(), 0700), 0);
    ASSERT_EQ(write_file(folder / "shm/object", "x"), 0);
    const Fd fd = open_folder(folder / "shm");
    ASSERT_EQ(::rename((folder / "shm").c_str(), (folder / "moved").c_str()), 0);
    std::filesystem::create_symlink("outside", folder / "shm");
    EXPECT_EQ(remove_all_files(fd.get()).files, 1U);
    EXPECT_EQ(names_in(folder / "outside").size(), 1U);
    EXPECT_EQ(names_in(folder / "moved").size(), 0U);
}

TEST(Files, ThousandsOfFiles) {
    NeedNamespaces();
    on_a_tmpfs([](const std::string& path) {
        const Fd fd = open_folder(path);
        constexpr std::size_t files = 20000;
        for (std::size_t i = 0; i < files; ++i) {
            const std::string name = "object-" + std::to_string(i);
            const Fd made(::openat(fd.get(), name.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
            ASSERT_TRUE(made);
        }
        EXPECT_EQ(files_usage(fd.get()).files, files);
        EXPECT_EQ(remove_all_files(fd.get()).files, files);
        EXPECT_EQ(names_in(path).size(), 0U);
    });
}

// Folders in folders, each with a file beside the next, made by descriptors since no path is long enough.
void make_nested(int folder, int levels) {
    Fd at(::fcntl(folder, F_DUPFD_CLOEXEC, 3));
    for (int i = 0; i < levels; ++i) {
        if (::mkdirat(at.get(), "deeper", 0700) != 0) test::broken("mkdirat");
        const Fd file(::openat(at.get(), "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        if (!file) test::broken("openat");
        at = Fd(::openat(at.get(), "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    }
}

// Calls remove_all_files on a thread with a small stack and in a process with few descriptors left.
std::size_t remove_in_little_space(int folder) {
    struct rlimit old {};
    ::getrlimit(RLIMIT_NOFILE, &old);
    const struct rlimit few { static_cast<rlim_t>(open_fds().size()) + 8, old.rlim_max };
    ::setrlimit(RLIMIT_NOFILE, &few);
    struct Work {
        int folder;
        std::size_t removed;
    } work{folder, 0};
    const auto run = [](void* argument) -> void* {
        auto* its = static_cast<Work*>(argument);
        try {
            its->removed = remove_all_files(its->folder).files;
        } catch (const std::exception& error) {
            ADD_FAILURE() << error.what();
        }
        return nullptr;
    };
    pthread_attr_t attributes;
    ::pthread_attr_init(&attributes);
    ::pthread_attr_setstacksize(&attributes, std::size_t{256} * 1024);
    pthread_t thread{};
    if (::pthread_create(&thread, &attributes, run, &work) == 0) ::pthread_join(thread, nullptr);
    ::pthread_attr_destroy(&attributes);
    ::setrlimit(RLIMIT_NOFILE, &old);
    return work.removed;
}

TEST(Files, FoldersNestedFiveThousandDeepTakeNeitherStackNorDescriptors) {
    NeedNamespaces();
    on_a_tmpfs([](const std::string& path) {
        constexpr int levels = 5000;
        const Fd fd = open_folder(path);
        make_nested(fd.get(), levels);
        EXPECT_EQ(remove_in_little_space(fd.get()), 2U * levels);
        EXPECT_EQ(names_in(path).size(), 0U);
    });
}

TEST(Files, ManyFoldersSideBySideAndDeep) {
    NeedNamespaces();
    on_a_tmpfs([](const std::string& path) {
        const Fd fd = open_folder(path);
        for (int i = 0; i < 20; ++i) {
            const std::string name = std::to_string(i);
            ASSERT_EQ(::mkdirat(fd.get(), name.c_str(), 0700), 0);
            make_nested(open_folder(path + "/" + name, O_RDONLY).get(), i);
        }
        EXPECT_EQ(remove_all_files(fd.get()).files, 20U + 2 * 190);
        EXPECT_EQ(names_in(path).size(), 0U);
    });
}

TEST(Files, NamesThatItUsesItselfMayBeTaken) {
    const TempFolder folder;
    const std::string own = ".ipcns-removing-" + std::to_string(::getpid()) + "-";
    for (const std::string below : {"a", "b", "c"}) {
        std::filesystem::create_directories(folder / (below + "/x/y/z"));
        std::filesystem::create_directories(folder / (below + "/v/w"));
    }
    for (int i = 0; i < 20; ++i) {
        const std::string name = folder / (own + std::to_string(i));
        if (i % 2 == 0) {
            ASSERT_EQ(write_file(name, "x"), 0);
        } else {
            std::filesystem::create_directories(name + "/full");
        }
    }
    EXPECT_EQ(remove_all_files(open_folder(folder.path()).get()).files, 18U + 10 + 20);
    EXPECT_EQ(names_in(folder.path()).size(), 0U);
}

TEST(Files, GoesOnAfterAFailureAndSaysSo) {
    const int status = in_fork([] {
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 2;
        const TempFolder folder;
        const std::string fixed = folder / "m";
        for (const std::string name : {"a", "m", "z"}) {
            ::mkdir((folder / name).c_str(), 0700);
            write_file(folder / (name + "/inside"), "x");
            write_file(folder / ("file-" + name), "x");
        }
        ::chmod(fixed.c_str(), 0500);
        const int number = number_of([&] { remove_all_files(open_folder(folder.path()).get()); });
        const auto left = names_in(folder.path());
        const auto inside = names_in(fixed);
        ::chmod(fixed.c_str(), 0700);
        if (number != EACCES) return 3;
        if (left != std::set<std::string>{"m"}) return 4;
        return inside == std::set<std::string>{"inside"} ? 0 : 5;
    });
    EXPECT_EQ(status, 0);
}

TEST(Files, AFolderThatCannotBeReadIsAFailure) {
    const int status = in_fork([] {
        if (::geteuid() == 0 && ::setresuid(65534, 65534, 65534) != 0) return 2;
        const TempFolder folder;
        ::mkdir((folder / "dark").c_str(), 0700);
        write_file(folder / "dark/file", "x");
        const Fd fd = open_folder(folder / "dark");
        ::chmod((folder / "dark").c_str(), 0300);
        const int number = number_of([&] { remove_all_files(fd.get()); });
        ::chmod((folder / "dark").c_str(), 0700);
        if (names_in(folder / "dark").size() != 1) return 3;
        return number == EACCES ? 0 : 4;
    });
    EXPECT_EQ(status, 0) << "nothing was removed, and nothing was said";
}

TEST(Files, MountsAreNotCrossed) {
    NeedNamespaces();
    const TempFolder outside;
    ASSERT_EQ(write_file(outside / "precious", "x"), 0);
    const TempFolder folder;
    in_new_namespaces([&] {
        const auto mounted = [&](const std::string& path) {
            ASSERT_EQ(::mount(outside.path().c_str(), path.c_str(), nullptr, MS_BIND, nullptr), 0)
                << std::strerror(errno);
        };
        for (const std::string name : {"a", "b", "b/deep", "b/deep/er", "c"})
            ASSERT_EQ(::mkdir((folder / name).c_str(), 0700), 0);
        mounted(folder / "a");
        mounted(folder / "b/deep/er");
        ASSERT_EQ(write_file(folder / "file", "x"), 0);
        ASSERT_EQ(write_file(folder / "c/file", "x"), 0);
        ASSERT_EQ(write_file(folder / "over", "x"), 0);
        ASSERT_EQ(
            ::mount((outside / "precious").c_str(), (folder / "over").c_str(), nullptr, MS_BIND, nullptr), 0);
        const Fd fd = open_folder(folder.path());
        const int number = number_of([&] { remove_all_files(fd.get()); });
        EXPECT_TRUE(number == EXDEV || number == EBUSY) << number;
        EXPECT_EQ(names_in(outside.path()), std::set<std::string>{"precious"});
        EXPECT_EQ(test::read_file(outside / "precious"), "x");
        EXPECT_FALSE(exists_at(fd.get(), "file"));
        EXPECT_FALSE(exists_at(fd.get(), "c"));
    });
    EXPECT_EQ(names_in(outside.path()), std::set<std::string>{"precious"});
}

TEST(Files, ATmpfsIsEmptiedFromItsRoot) {
    NeedNamespaces();
    on_a_tmpfs([](const std::string& path) {
        const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        for (int i = 0; i < 10; ++i)
            ASSERT_EQ(write_file(path + "/" + std::to_string(i), std::string(page + 1, 'x')), 0);
        const Fd fd = open_folder(path);
        const FilesUsage usage = files_usage(fd.get());
        EXPECT_EQ(usage.files, 10U);
        EXPECT_EQ(usage.bytes, 10U * 2 * page);
        const FilesUsage removed = remove_all_files(fd.get());
        EXPECT_EQ(removed.files, 10U);
        EXPECT_EQ(removed.bytes, 10U * 2 * page);
        EXPECT_EQ(names_in(path).size(), 0U);
    });
}

} // namespace
} // namespace ipcns
