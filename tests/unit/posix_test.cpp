// SPDX-License-Identifier: Apache-2.0
// POSIX objects as files: what mq_open(3), shm_open(3) and sem_open(3) make against what is listed, what is made
// against what they open, and folders of files emptied whatever is in them. What is mounted for a test is mounted in a
// namespace of a child process and goes with it.
#include "posix_support.hpp"

#include <ipcns/posix.hpp>

#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>

#include <chrono>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

namespace ipcns {
namespace {

using test::drop_capabilities;
using test::in_fork;
using test::in_new_namespaces;
using test::number_of;
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

// Lines of a mountinfo file. What somebody else takes away goes from all mount namespaces, so a test that nothing was
// mounted looks for lines that are new.
std::set<std::string> mounts_in(const std::string& path) {
    const std::string text = test::read_file(path);
    std::set<std::string> lines;
    for (std::size_t at = 0, end = 0; (end = text.find('\n', at)) != text.npos; at = end + 1)
        lines.insert(text.substr(at, end - at));
    return lines;
}

std::size_t mounted_since(const std::set<std::string>& before, const std::string& path) {
    std::size_t count = 0;
    for (const auto& line : mounts_in(path)) count += before.count(line) == 0 ? 1 : 0;
    return count;
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

class Queues : public testing::Test {
protected:
    void SetUp() override {
        if (const char* reason = test::no_queues()) GTEST_SKIP() << reason;
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
        const auto before = mounts_in("/proc/self/mountinfo");
        const Fd mount = mount_queues();
        EXPECT_EQ(mounted_since(before, "/proc/self/mountinfo"), 0U);
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
        if (!test::become_nobody()) return 2;
        return number_of([] { (void)mount_queues(); }) == EPERM ? 0 : 1;
    });
    EXPECT_EQ(status, 0);
}

// ---- Queues: looking ---------------------------------------------------------------------------------------------

// The record of a name in a list, which must be there once.
template <class Record>
const Record& record_of(const std::vector<Record>& list, const std::string& name) {
    const auto is_it = [&](const Record& record) { return record.name == name; };
    const auto at = std::find_if(list.begin(), list.end(), is_it);
    if (at == list.end() || std::find_if(at + 1, list.end(), is_it) != list.end())
        throw std::runtime_error("not once in the list: " + name);
    return *at;
}

template <class Record>
std::set<std::string> names_of(const std::vector<Record>& list) {
    std::set<std::string> names;
    for (const auto& record : list) names.insert(record.name);
    EXPECT_EQ(names.size(), list.size()) << "a name is there twice";
    return names;
}

// What stat(2) says of a file against what a record says.
void expect_file(const PosixRecord& record, const struct stat& about) {
    EXPECT_EQ(record.file.device, about.st_dev);
    EXPECT_EQ(record.file.inode, about.st_ino);
    EXPECT_EQ(record.who.owner, about.st_uid);
    EXPECT_EQ(record.who.group, about.st_gid);
    EXPECT_EQ(record.who.mode, about.st_mode & 07777);
    const auto expect_time = [](const Moment& moment, const struct timespec& time) {
        ASSERT_TRUE(moment);
        EXPECT_EQ(moment->time_since_epoch().count(), time.tv_sec);
    };
    expect_time(record.accessed, about.st_atim);
    expect_time(record.modified, about.st_mtim);
    expect_time(record.changed, about.st_ctim);
}

struct stat about_file(int folder, const std::string& file) {
    struct stat about {};
    if (::fstatat(folder, file.c_str(), &about, AT_SYMLINK_NOFOLLOW) != 0) test::broken("stat " + file);
    return about;
}

// What the kernel says to who reads a queue.
std::string text_of_queue(mqd_t queue) {
    std::array<char, 200> text{};
    if (::pread(queue, text.data(), text.size() - 1, 0) < 0) test::broken("read a queue");
    return text.data();
}

TEST_F(Queues, RandomQueuesAreListedAsTheyWereMade) {
    in_new_namespaces([] {
        const auto seed = std::random_device()();
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        const auto any = [&](int least, int most) {
            return std::uniform_int_distribution<int>(least, most)(random);
        };
        const Fd mount = mount_queues();
        for (int round = 0; round < 5; ++round) {
            struct Made {
                mqd_t queue;
                std::uint64_t bytes;
            };
            std::map<std::string, Made> made;
            const int count = any(0, 60);
            while (made.size() < static_cast<std::size_t>(count)) {
                std::string name = "/";
                for (int left = any(1, any(1, 255)); left > 0; --left) {
                    const auto byte = static_cast<char>(any(1, 255));
                    name += byte == '/' ? '!' : byte;
                }
                if (name == "/." || name == "/.." || made.count(name) != 0) continue;
                struct mq_attr attributes {};
                attributes.mq_maxmsg = any(1, 8);
                attributes.mq_msgsize = any(1, 200);
                const mqd_t queue =
                    ::mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600, &attributes);
                if (queue < 0) test::broken("mq_open");
                ASSERT_EQ(::fchmod(queue, static_cast<mode_t>(any(0, 0777) | 0400)), 0);
                std::uint64_t bytes = 0;
                for (long i = any(0, static_cast<int>(attributes.mq_maxmsg)); i > 0; --i) {
                    const auto size =
                        static_cast<std::size_t>(any(0, static_cast<int>(attributes.mq_msgsize)));
                    ASSERT_EQ(::mq_send(queue, std::string(size, 'm').c_str(), size,
                                        static_cast<unsigned>(any(0, 10))),
                              0);
                    bytes += size;
                }
                made[name] = {queue, bytes};
            }
            std::map<std::string, struct stat> files;
            for (const auto& [name, its] : made) ASSERT_EQ(::fstat(its.queue, &files[name]), 0);

            const auto list = list_posix_queues(mount.get());
            EXPECT_EQ(names_of(list).size(), made.size());
            for (const auto& [name, its] : made) {
                const auto& record = record_of(list, name);
                expect_file(record, files[name]);
                struct mq_attr attributes {};
                ASSERT_EQ(::mq_getattr(its.queue, &attributes), 0);
                ASSERT_TRUE(record.readable());
                EXPECT_EQ(*record.max_messages, static_cast<std::uint64_t>(attributes.mq_maxmsg));
                EXPECT_EQ(*record.message_size, static_cast<std::uint64_t>(attributes.mq_msgsize));
                EXPECT_EQ(*record.messages, static_cast<std::uint64_t>(attributes.mq_curmsgs));
                EXPECT_EQ(*record.bytes, its.bytes);
                EXPECT_FALSE(record.notification);
                EXPECT_FALSE(record.born);
                const auto found = find_posix_queue(mount.get(), name);
                ASSERT_TRUE(found);
                EXPECT_EQ(found->file, record.file);
                EXPECT_EQ(found->bytes, record.bytes);
            }
            for (const auto& [name, its] : made) {
                ::mq_close(its.queue);
                ASSERT_EQ(::mq_unlink(name.c_str()), 0);
            }
            EXPECT_TRUE(list_posix_queues(mount.get()).empty());
        }
    });
}

TEST_F(Queues, OddNamesAreKeptAsTheyAre) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        std::set<std::string> names{"/" + std::string(255, 'q'), "/" + std::string(255, '\xff')};
        for (const auto& name : test::odd_names()) names.insert("/" + name);
        for (const auto& name : names) ::mq_close(make_queue(name));
        EXPECT_EQ(names_of(list_posix_queues(mount.get())), names);
        for (const auto& name : names) {
            const auto record = find_posix_queue(mount.get(), name);
            ASSERT_TRUE(record);
            EXPECT_EQ(record->name, name);
            EXPECT_TRUE(remove_same(mount.get(), *record));
            EXPECT_FALSE(has_queue(name));
        }
        EXPECT_TRUE(list_posix_queues(mount.get()).empty());
    });
}

TEST_F(Queues, WhatIsNoName) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        for (const std::string& name :
             {std::string(), std::string("jobs"), std::string("/"), std::string("//jobs"),
              std::string("/a/b"), std::string("/a/"), std::string("/."), std::string("/.."),
              "/" + std::string(256, 'q'), std::string("/a\0b", 4)}) {
            EXPECT_THROW((void)find_posix_queue(mount.get(), name), UsageError) << name;
            EXPECT_THROW((void)make_posix_queue(name), UsageError) << name;
        }
        EXPECT_TRUE(names_of(list_posix_queues(mount.get())).empty());
    });
}

TEST_F(Queues, OneThatMayNotBeReadIsListedWithoutItsState) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        ::mq_close(make_queue("/open"));
        const mqd_t closed = make_queue("/closed");
        ASSERT_EQ(::mq_send(closed, "x", 1, 0), 0);
        ASSERT_EQ(::fchmod(closed, 0), 0);
        const struct stat about = about_file(mount.get(), "closed");
        drop_capabilities();
        ASSERT_FALSE(has_queue("/closed")) << "the test itself is wrong";
        const auto list = list_posix_queues(mount.get());
        EXPECT_EQ(names_of(list), (std::set<std::string>{"/closed", "/open"}));
        EXPECT_TRUE(record_of(list, "/open").readable());
        const auto& record = record_of(list, "/closed");
        expect_file(record, about);
        EXPECT_FALSE(record.readable());
        EXPECT_FALSE(record.max_messages);
        EXPECT_FALSE(record.message_size);
        EXPECT_FALSE(record.messages);
        EXPECT_FALSE(record.bytes);
        EXPECT_FALSE(record.notification);
        EXPECT_EQ(find_posix_queue(mount.get(), "/closed"), record);
        EXPECT_TRUE(remove_same(mount.get(), record)) << "its owner need not be able to read it";
        EXPECT_FALSE(exists_at(mount.get(), "closed"));
    });
}

TEST_F(Queues, ALeaseIsNotWaitedFor) {
    in_new_namespaces([] {
        ::alarm(50);
        test::mount_own_dev();
        if (::mount("mqueue", "/dev/mqueue", "mqueue", 0, nullptr) != 0) test::broken("mount queues");
        const Fd mount = mount_queues();
        ::mq_close(make_queue("/leased"));
        const test::Waiting holder([] {
            ::signal(SIGIO, SIG_IGN);
            const mqd_t queue = ::mq_open("/leased", O_RDWR | O_CLOEXEC);
            if (queue < 0 || ::fcntl(queue, F_SETLEASE, F_WRLCK) != 0) test::broken("take a lease");
        });
        const auto before = std::chrono::steady_clock::now();
        const auto list = list_posix_queues(mount.get());
        EXPECT_FALSE(record_of(list, "/leased").readable());
        EXPECT_FALSE(make_posix_queue("/leased"));
        drop_capabilities();
        EXPECT_TRUE(open_queues());
        EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
    });
}

TEST_F(Queues, WithoutDescriptorsThereIsNoListRatherThanAWrongOne) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        ::mq_close(make_queue("/q"));
        struct rlimit files {};
        ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
        const struct rlimit few { 64, files.rlim_max };
        ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
        std::vector<Fd> fill;
        while (Fd another{::open("/", O_PATH | O_CLOEXEC)}) fill.push_back(std::move(another));
        const auto listing = test::thrown_by([&] { (void)list_posix_queues(mount.get()); });
        const auto finding = test::thrown_by([&] { (void)find_posix_queue(mount.get(), "/q"); });
        fill.pop_back(); // one is enough, since the folder's is closed before the first queue is opened
        bool readable = false;
        const auto listing_by_one =
            test::thrown_by([&] { readable = list_posix_queues(mount.get()).at(0).readable(); });
        fill.clear();
        EXPECT_EQ(number_of(listing), EMFILE);
        EXPECT_EQ(number_of(finding), EMFILE);
        EXPECT_EQ(number_of(listing_by_one), 0);
        EXPECT_TRUE(readable);
    });
}

// Registers this process with a queue.
void be_notified(const char* name, int how, int signal) {
    struct sigevent event {};
    event.sigev_notify = how;
    event.sigev_signo = signal;
    event.sigev_notify_function = [](union sigval) {};
    const mqd_t queue = ::mq_open(name, O_RDONLY | O_CLOEXEC);
    if (queue < 0 || ::mq_notify(queue, &event) != 0) test::broken("mq_notify");
}

TEST_F(Queues, WhoIsToBeNotified) {
    in_new_namespaces([] {
        using Kind = PosixQueueRecord::Notification::Kind;
        const Fd mount = mount_queues();
        const mqd_t queue = make_queue("/q");
        EXPECT_FALSE(find_posix_queue(mount.get(), "/q")->notification);
        for (const auto& [how, signal, kind] :
             {std::tuple{SIGEV_SIGNAL, SIGUSR1, Kind::signal}, std::tuple{SIGEV_SIGNAL, 0, Kind::signal},
              std::tuple{SIGEV_NONE, 0, Kind::none}, std::tuple{SIGEV_THREAD, 0, Kind::thread}}) {
            test::Waiting registered([how = how, signal = signal] { be_notified("/q", how, signal); });
            const auto found = find_posix_queue(mount.get(), "/q")->notification;
            ASSERT_TRUE(found) << text_of_queue(queue);
            EXPECT_EQ(found->kind, kind);
            EXPECT_EQ(found->signal, signal);
            EXPECT_EQ(found->pid, registered.pid());
            EXPECT_EQ(list_posix_queues(mount.get()).at(0).notification, found) << "looking ended it";
            registered.kill();
            EXPECT_FALSE(find_posix_queue(mount.get(), "/q")->notification);
        }
        // A message ends a registration.
        const test::Waiting registered([] { be_notified("/q", SIGEV_NONE, 0); });
        ASSERT_EQ(::mq_send(queue, "x", 1, 0), 0);
        EXPECT_FALSE(find_posix_queue(mount.get(), "/q")->notification);
        EXPECT_EQ(find_posix_queue(mount.get(), "/q")->messages, 1U);
    });
}

TEST_F(Queues, WhoIsToBeNotifiedInAnotherPidNamespace) {
    in_new_namespaces([] {
        using Kind = PosixQueueRecord::Notification::Kind;
        const Fd mount = mount_queues();
        for (const char* name : {"/signal", "/none"}) ::mq_close(make_queue(name));
        be_notified("/signal", SIGEV_SIGNAL, SIGUSR2);
        be_notified("/none", SIGEV_NONE, 0);
        ASSERT_EQ(::unshare(CLONE_NEWPID), 0);
        const int status = in_fork([&] {
            const auto list = list_posix_queues(mount.get());
            const auto signal = record_of(list, "/signal").notification;
            const auto none = record_of(list, "/none").notification;
            if (!signal || signal->kind != Kind::signal || signal->signal != SIGUSR2 || signal->pid != 0)
                return 1;
            return none && none->kind == Kind::none && none->pid == 0 ? 0 : 2;
        });
        EXPECT_EQ(status, 0);
    });
}

TEST_F(Queues, TimesAreFromBeforeTheLook) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        const mqd_t queue = make_queue("/q");
        const std::array<struct timespec, 2> long_ago{{{1000, 0}, {2000, 0}}};
        ASSERT_EQ(::futimens(queue, long_ago.data()), 0);
        const auto record = find_posix_queue(mount.get(), "/q");
        ASSERT_TRUE(record);
        EXPECT_EQ(record->accessed->time_since_epoch().count(), 1000);
        EXPECT_EQ(record->modified->time_since_epoch().count(), 2000);
        // A look is no use of the queue: the time to judge its age by stays.
        EXPECT_EQ(find_posix_queue(mount.get(), "/q")->modified->time_since_epoch().count(), 2000);
        EXPECT_EQ(about_file(mount.get(), "q").st_mtim.tv_sec, 2000);
        ASSERT_EQ(::mq_send(queue, "x", 1, 0), 0);
        const time_t sent = about_file(mount.get(), "q").st_mtim.tv_sec;
        EXPECT_GT(sent, 2000);
        EXPECT_EQ(find_posix_queue(mount.get(), "/q")->modified->time_since_epoch().count(), sent);
    });
}

TEST_F(Queues, OnlyAMountOfQueuesIsLookedAt) {
    const TempFolder folder;
    ASSERT_EQ(write_file(folder / "q", "x"), 0);
    const Fd fd = open_folder(folder.path());
    EXPECT_EQ(number_of([&] { (void)list_posix_queues(fd.get()); }), EINVAL);
    EXPECT_EQ(number_of([&] { (void)find_posix_queue(fd.get(), "/q"); }), EINVAL);
    EXPECT_EQ(number_of([&] { (void)list_posix_queues(-1); }), EBADF);
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        EXPECT_EQ(find_posix_queue(mount.get(), "/nowhere"), std::nullopt);
    });
}

TEST_F(Queues, QueuesThatComeAndGoDoNotDisturbTheList) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        ::mq_close(make_queue("/stays"));
        const test::Waiting other([] {
            if (::fork() != 0) return;
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) {
                for (int i = 0; i < 20; ++i) ::mq_close(make_queue("/" + std::to_string(i)));
                for (int i = 0; i < 20; ++i) ::mq_unlink(("/" + std::to_string(i)).c_str());
            }
        });
        const auto before = open_fds();
        for (int i = 0; i < 1000; ++i) {
            const auto list = list_posix_queues(mount.get());
            EXPECT_TRUE(record_of(list, "/stays").readable());
            for (const auto& record : list) EXPECT_TRUE(record.readable());
        }
        EXPECT_EQ(open_fds(), before);
    });
}

TEST_F(Queues, AnotherNamespacesQueuesAreListedFromOutside) {
    in_new_namespaces([] {
        ASSERT_EQ(::mq_send(make_queue("/q"), "x", 1, 0), 0);
        const Fd mount = mount_queues();
        const Fd alive(::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC)); // which a mount does not keep it
        ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
        const auto list = list_posix_queues(mount.get());
        ASSERT_EQ(list.size(), 1U);
        EXPECT_EQ(list[0].messages, 1U);
        EXPECT_EQ(list[0].bytes, 1U);
        EXPECT_TRUE(remove_same(mount.get(), list[0]));
        EXPECT_TRUE(list_posix_queues(mount.get()).empty());
    });
}

// ---- Queues: making ----------------------------------------------------------------------------------------------

// What a queue is like; the test fails when there is none.
struct mq_attr attributes_of(const std::string& name) {
    struct mq_attr attributes {};
    const mqd_t queue = ::mq_open(name.c_str(), O_RDONLY | O_CLOEXEC);
    EXPECT_GE(queue, 0) << name;
    EXPECT_EQ(::mq_getattr(queue, &attributes), 0);
    ::mq_close(queue);
    return attributes;
}

TEST_F(Queues, MadeAsAskedFor) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        const auto before = open_fds();
        ::umask(077);
        EXPECT_TRUE(make_posix_queue("/a", {.mode = 0666}, 3, 17));
        EXPECT_EQ(attributes_of("/a").mq_maxmsg, 3);
        EXPECT_EQ(attributes_of("/a").mq_msgsize, 17);
        EXPECT_EQ(about_file(mount.get(), "a").st_mode, S_IFREG | 0666U);
        EXPECT_TRUE(make_posix_queue("/none", {.mode = 0}, 1, 1));
        EXPECT_EQ(about_file(mount.get(), "none").st_mode, static_cast<mode_t>(S_IFREG));
        EXPECT_TRUE(make_posix_queue("/" + std::string(255, '\x1b'), {}, 1, 1));
        EXPECT_EQ(about_file(mount.get(), std::string(255, '\x1b')).st_mode, S_IFREG | 0600U);
        EXPECT_EQ(open_fds(), before);
    });
}

TEST_F(Queues, WhatIsNotGivenIsTheNamespacesDefault) {
    in_new_namespaces(
        [] {
            EXPECT_TRUE(make_posix_queue("/plain"));
            const mqd_t raw = ::mq_open("/raw", O_CREAT | O_RDWR | O_CLOEXEC, 0600, nullptr);
            if (raw < 0) test::broken("mq_open");
            const struct mq_attr standard = attributes_of("/raw");
            EXPECT_EQ(attributes_of("/plain").mq_maxmsg, standard.mq_maxmsg);
            EXPECT_EQ(attributes_of("/plain").mq_msgsize, standard.mq_msgsize);
            EXPECT_TRUE(make_posix_queue("/messages", {}, 2));
            EXPECT_EQ(attributes_of("/messages").mq_maxmsg, 2);
            EXPECT_EQ(attributes_of("/messages").mq_msgsize, standard.mq_msgsize);
            EXPECT_TRUE(make_posix_queue("/size", {}, std::nullopt, 5));
            EXPECT_EQ(attributes_of("/size").mq_maxmsg, standard.mq_maxmsg);
            EXPECT_EQ(attributes_of("/size").mq_msgsize, 5);
            // The kernel's own default is at most the limit.
            if (write_file("/proc/sys/fs/mqueue/msg_max", "4") != 0) return; // not for this user, before 6.0
            EXPECT_TRUE(make_posix_queue("/limited", {}, std::nullopt, 5));
            EXPECT_EQ(attributes_of("/limited").mq_maxmsg, 4);
        },
        true);
}

TEST_F(Queues, OneThatExistsIsLeftAsItIs) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        EXPECT_TRUE(make_posix_queue("/q", {.mode = 0640}, 3, 17));
        const ino_t inode = about_file(mount.get(), "q").st_ino;
        EXPECT_EQ(number_of([] { make_posix_queue("/q", {.exclusive = true}); }), EEXIST);
        EXPECT_FALSE(make_posix_queue("/q"));
        EXPECT_FALSE(make_posix_queue("/q", {.mode = 0600}, 3, 17));
        EXPECT_FALSE(make_posix_queue("/q", {.owner = ::geteuid(), .group = ::getegid()}, 3));
        EXPECT_EQ(number_of([] { make_posix_queue("/q", {}, 4, 17); }), EEXIST);
        EXPECT_EQ(number_of([] { make_posix_queue("/q", {}, std::nullopt, 16); }), EEXIST);
        EXPECT_EQ(number_of([] { make_posix_queue("/q", {.owner = 12345}); }), EEXIST);
        EXPECT_EQ(number_of([] { make_posix_queue("/q", {.group = 12345}); }), EEXIST);
        EXPECT_EQ(about_file(mount.get(), "q").st_ino, inode);
        EXPECT_EQ(about_file(mount.get(), "q").st_mode, S_IFREG | 0640U);
        EXPECT_EQ(attributes_of("/q").mq_maxmsg, 3);
        ASSERT_EQ(::fchmodat(mount.get(), "q", 0, 0), 0);
        drop_capabilities();
        EXPECT_FALSE(make_posix_queue("/q"));
        EXPECT_EQ(number_of([] { make_posix_queue("/q", {}, 3, 17); }), EACCES) << "who could know?";
    });
}

TEST_F(Queues, OwnerAndGroup) {
    NeedRoot();
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        EXPECT_TRUE(make_posix_queue("/q", {.mode = 0604, .owner = 1234, .group = 5678}, 1, 1));
        const struct stat about = about_file(mount.get(), "q");
        EXPECT_EQ(about.st_uid, 1234U);
        EXPECT_EQ(about.st_gid, 5678U);
        EXPECT_EQ(about.st_mode, S_IFREG | 0604U);
        const auto record = find_posix_queue(mount.get(), "/q");
        ASSERT_TRUE(record);
        EXPECT_EQ(record->who.owner, 1234U);
        EXPECT_EQ(record->who.group, 5678U);
    });
}

TEST_F(Queues, OneThatCannotBeGivenAwayIsNotMade) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        EXPECT_EQ(number_of([] { make_posix_queue("/q", {.owner = static_cast<uid_t>(-1)}, 1, 1); }), EINVAL);
        drop_capabilities();
        const auto hopeless = [] { make_posix_queue("/q", {.owner = ::geteuid() + 1}, 1, 1); };
        const int number = number_of(hopeless);
        EXPECT_TRUE(number == EPERM || number == EINVAL)
            << number; // EINVAL: no such user in its user namespace
        EXPECT_TRUE(names_of(list_posix_queues(mount.get())).empty());
    });
}

TEST_F(Queues, WhyNoneIsMade) {
    in_new_namespaces(
        [] {
            drop_capabilities(); // CAP_SYS_RESOURCE is above most limits
            const auto size_too_large = [] { make_posix_queue("/q", {}, 1, 1 << 24); };
            EXPECT_EQ(number_of(size_too_large), EINVAL);
            EXPECT_NE(test::hint_of(size_too_large).find("msgsize_max"), std::string::npos);
            const auto too_many = [] { make_posix_queue("/q", {}, 100000, 1); };
            EXPECT_EQ(number_of(too_many), EINVAL);
            const std::string most = test::read_file("/proc/sys/fs/mqueue/msg_max");
            EXPECT_NE(test::hint_of(too_many).find(" " + most.substr(0, most.size() - 1) + " messages"),
                      std::string::npos)
                << test::hint_of(too_many);
            EXPECT_THROW(make_posix_queue("/q", {}, 0), UsageError);
            EXPECT_THROW(make_posix_queue("/q", {}, 1, 0), UsageError);
            EXPECT_THROW(make_posix_queue("/q", {}, ~std::uint64_t{0}, 1), UsageError);

            struct rlimit bytes {};
            ASSERT_EQ(::getrlimit(RLIMIT_MSGQUEUE, &bytes), 0);
            const struct rlimit few { 100, bytes.rlim_max };
            ASSERT_EQ(::setrlimit(RLIMIT_MSGQUEUE, &few), 0);
            const auto above = [] { make_posix_queue("/q", {}, 1, 50); };
            EXPECT_EQ(number_of(above), EMFILE);
            EXPECT_NE(test::hint_of(above).find("RLIMIT_MSGQUEUE"), std::string::npos)
                << test::hint_of(above);
            ASSERT_EQ(::setrlimit(RLIMIT_MSGQUEUE, &bytes), 0);

            struct rlimit files {};
            ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
            const Fd last(::open("/", O_PATH | O_CLOEXEC));
            const struct rlimit no_more { static_cast<rlim_t>(last.get()) + 1, files.rlim_max };
            ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &no_more), 0);
            const auto no_descriptor = test::thrown_by([] { make_posix_queue("/q", {}, 1, 1); });
            ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
            EXPECT_EQ(number_of(no_descriptor), EMFILE);
            EXPECT_NE(test::hint_of(no_descriptor).find("RLIMIT_NOFILE"), std::string::npos);
            EXPECT_FALSE(has_queue("/q"));
        },
        true);
}

TEST_F(Queues, ALimitOfNoQueues) {
    in_new_namespaces(
        [] {
            ::mq_close(make_queue("/before"));
            if (write_file("/proc/sys/fs/mqueue/queues_max", "0") != 0)
                return; // not for this user, before 6.0
            const Fd mount = mount_queues();
            drop_capabilities();
            const auto one_more = [] { make_posix_queue("/q", {}, 1, 1); };
            EXPECT_EQ(number_of(one_more), ENOSPC);
            EXPECT_NE(test::hint_of(one_more).find("0 queues (queues_max)"), std::string::npos)
                << test::hint_of(one_more);
            EXPECT_EQ(names_of(list_posix_queues(mount.get())), std::set<std::string>{"/before"});
        },
        true);
}

// ---- Queues: removing --------------------------------------------------------------------------------------------

TEST_F(Queues, TheSameIsRemoved) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        const mqd_t used = make_queue("/used");
        ::mq_close(make_queue("/other"));
        const auto record = find_posix_queue(mount.get(), "/used");
        ASSERT_TRUE(record);
        ASSERT_EQ(::mq_send(used, "x", 1, 0), 0);
        EXPECT_TRUE(remove_same(mount.get(), *record));
        EXPECT_FALSE(has_queue("/used"));
        EXPECT_TRUE(has_queue("/other"));
        EXPECT_FALSE(remove_same(mount.get(), *record)) << "it was gone";
    });
}

TEST_F(Queues, OneThatWasReplacedOrChangedIsNotRemoved) {
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        ::mq_close(make_queue("/q"));
        const auto record = find_posix_queue(mount.get(), "/q");
        ASSERT_TRUE(record);
        ASSERT_EQ(::mq_unlink("/q"), 0);
        ::mq_close(make_queue("/q"));
        EXPECT_FALSE(remove_same(mount.get(), *record));
        EXPECT_TRUE(has_queue("/q"));
        const auto second = find_posix_queue(mount.get(), "/q");
        ASSERT_TRUE(second);
        ASSERT_EQ(::fchmodat(mount.get(), "q", 0640, 0), 0);
        EXPECT_FALSE(remove_same(mount.get(), *second));
        EXPECT_TRUE(has_queue("/q"));
        // As if an inode number had come back.
        auto third = find_posix_queue(mount.get(), "/q");
        ASSERT_TRUE(third);
        ++*third->message_size;
        EXPECT_FALSE(remove_same(mount.get(), *third));
        EXPECT_TRUE(has_queue("/q"));
    });
}

TEST_F(Queues, SomebodyElsesIsNotRemoved) {
    NeedRoot();
    in_new_namespaces([] {
        const Fd mount = mount_queues();
        ::mq_close(make_queue("/q"));
        ASSERT_EQ(::fchmodat(mount.get(), "q", 0666, 0), 0);
        if (::setresuid(65534, 65534, 65534) != 0) test::broken("setresuid");
        const auto record = find_posix_queue(mount.get(), "/q");
        ASSERT_TRUE(record);
        EXPECT_EQ(number_of([&] { remove_same(mount.get(), *record); }), EPERM);
        EXPECT_TRUE(has_queue("/q"));
    });
}

// ---- Queues: finding a folder of them ----------------------------------------------------------------------------

// Mounts the queues of the calling thread's namespace on /dev/mqueue.
void mount_on_dev_mqueue() {
    if (::mount("mqueue", "/dev/mqueue", "mqueue", 0, nullptr) != 0) test::broken("mount queues");
}

using Missing = QueueFolder::Missing;

TEST_F(Queues, AMountIsOpenedByWhoMayMakeOne) {
    in_new_namespaces([] {
        ::mq_close(make_queue("/q"));
        const auto before = mounts_in("/proc/self/mountinfo");
        const QueueFolder queues = open_queues();
        ASSERT_TRUE(queues);
        EXPECT_EQ(queues.missing, Missing::nothing);
        EXPECT_TRUE(queues.why.empty());
        EXPECT_TRUE(exists_at(queues.folder.get(), "q"));
        EXPECT_EQ(mounted_since(before, "/proc/self/mountinfo"), 0U);
    });
}

TEST_F(Queues, AnOrdinaryUserIsShownDevMqueueIfItIsOfThisNamespace) {
    in_new_namespaces([] {
        test::mount_own_dev();
        mount_on_dev_mqueue();
        const Fd mount = mount_queues();
        drop_capabilities();
        for (const QueueProbe probe : {QueueProbe::look, QueueProbe::make}) {
            // Told by a queue that may be read, or only written to, among others that may not be opened.
            for (const mode_t mode : {0400U, 0200U}) {
                for (const char* name : {"/a", "/b", "/c"}) ::mq_close(make_queue(name));
                ASSERT_EQ(::fchmodat(mount.get(), "a", 0, 0), 0);
                ASSERT_EQ(::fchmodat(mount.get(), "b", mode, 0), 0);
                ASSERT_EQ(::fchmodat(mount.get(), "c", 0, 0), 0);
                const QueueFolder queues = open_queues(probe);
                ASSERT_TRUE(queues) << queues.why;
                EXPECT_EQ(names_of(list_posix_queues(queues.folder.get())),
                          (std::set<std::string>{"/a", "/b", "/c"}));
                for (const char* name : {"/a", "/b", "/c"}) ASSERT_EQ(::mq_unlink(name), 0);
            }
        }
    });
}

TEST_F(Queues, WhatNoListedQueueTellsIsToldByANewOne) {
    in_new_namespaces([] {
        test::mount_own_dev();
        mount_on_dev_mqueue();
        const Fd mount = mount_queues();
        drop_capabilities();
        for (const bool empty : {true, false}) {
            if (!empty) {
                ::mq_close(make_queue("/closed"));
                ASSERT_EQ(::fchmodat(mount.get(), "closed", 0, 0), 0);
            }
            const auto before = open_fds();
            const QueueFolder looked = open_queues(QueueProbe::look);
            EXPECT_FALSE(looked);
            EXPECT_EQ(looked.missing, Missing::unknown);
            EXPECT_NE(looked.why, "");
            EXPECT_EQ(open_fds(), before);
            const QueueFolder queues = open_queues(QueueProbe::make);
            ASSERT_TRUE(queues) << queues.why;
            EXPECT_EQ(::fcntl(queues.folder.get(), F_GETFD), FD_CLOEXEC);
            EXPECT_EQ(list_posix_queues(queues.folder.get()).size(), empty ? 0U : 1U) << "something was left";
            EXPECT_EQ(files_usage(mount.get()).files, empty ? 0U : 1U) << "something was left";
        }
    });
}

TEST_F(Queues, AnOrdinaryUserIsNotShownAnotherNamespacesQueues) {
    in_new_namespaces([] {
        test::mount_own_dev();
        mount_on_dev_mqueue();
        const Fd outer = mount_queues();
        const Fd alive(::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC)); // which a mount does not keep it
        ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
        const Fd inner = mount_queues();
        drop_capabilities();
        EXPECT_EQ(open_queues(QueueProbe::look).missing, Missing::unknown);
        EXPECT_EQ(open_queues(QueueProbe::make).missing, Missing::another);
        // By a queue that only the other one has; that both have; that both have, but only one to be opened.
        const auto make_outside = [&](const char* name, mode_t mode) {
            const Fd made(::openat(outer.get(), name, O_CREAT | O_RDWR | O_CLOEXEC, 0600));
            if (!made || ::fchmod(made.get(), mode) != 0) test::broken("make a queue by open(2)");
        };
        make_outside("q", 0600);
        EXPECT_EQ(open_queues(QueueProbe::look).missing, Missing::another);
        ::mq_close(make_queue("/q"));
        EXPECT_EQ(open_queues(QueueProbe::look).missing, Missing::another);
        ASSERT_EQ(::fchmodat(inner.get(), "q", 0, 0), 0);
        EXPECT_EQ(open_queues(QueueProbe::look).missing, Missing::unknown);
        const QueueFolder queues = open_queues(QueueProbe::make);
        EXPECT_FALSE(queues);
        EXPECT_EQ(queues.missing, Missing::another);
        EXPECT_NE(queues.why, "");
        EXPECT_EQ(files_usage(inner.get()).files, 1U) << "something was left";
        EXPECT_EQ(files_usage(outer.get()).files, 1U) << "something was left";
    });
}

TEST_F(Queues, AnOrdinaryUserWithoutAMountIsTold) {
    in_new_namespaces([] {
        test::mount_own_dev();
        drop_capabilities();
        EXPECT_EQ(open_queues().missing, Missing::not_mounted) << "an empty folder is no mount";
        EXPECT_NE(open_queues().why, "");
    });
    in_new_namespaces([] {
        if (::mount("tmpfs", "/dev", "tmpfs", 0, "") != 0) test::broken("mount");
        drop_capabilities();
        EXPECT_EQ(open_queues().missing, Missing::not_mounted) << "there is no folder";
    });
}

TEST_F(Queues, WhatCannotBeToldIsSaid) {
    in_new_namespaces(
        [] {
            test::mount_own_dev();
            mount_on_dev_mqueue();
            const bool limited = write_file("/proc/sys/fs/mqueue/queues_max", "0") == 0;
            drop_capabilities();
            if (limited) {
                const QueueFolder queues = open_queues();
                EXPECT_EQ(queues.missing, Missing::unknown);
                EXPECT_NE(queues.why.find("0 queues (queues_max)"), std::string::npos) << queues.why;
            }
            const struct rlimit none { 0, 0 };
            ASSERT_EQ(::setrlimit(RLIMIT_MSGQUEUE, &none), 0);
            EXPECT_EQ(open_queues().missing, Missing::unknown);
        },
        true);
}

TEST_F(Queues, AKernelWithoutPosixQueues) {
    in_new_namespaces([] {
        test::refuse_call(SYS_fsopen, ENODEV);
        test::refuse_call(SYS_mq_open, ENOSYS);
        EXPECT_FALSE(mount_queues());
        EXPECT_EQ(QueueMounts().mount(), -1);
        EXPECT_EQ(open_queues().missing, Missing::no_queues);
        EXPECT_NE(open_queues().why, "");
        EXPECT_EQ(number_of([] { make_posix_queue("/q"); }), ENODEV);
        EXPECT_NE(test::hint_of([] { make_posix_queue("/q"); }), "");
        EXPECT_EQ(number_of([] { make_posix_queue("/q", {}, 5); }), ENODEV);
        EXPECT_EQ(number_of([] { (void)PosixQueue::open("/q"); }), ENODEV);
        // Who may not mount is told that first.
        test::refuse_call(SYS_fsopen, EPERM);
        EXPECT_EQ(open_queues().missing, Missing::no_queues);
    });
}

// ---- Many mounts in a row ----------------------------------------------------------------------------------------

void expect_a_walk_sees_everything(QueueMounts::Place place, bool attaching_fails = false) {
    in_new_namespaces([=] {
        constexpr std::size_t count = 150; // more than one pile
        std::vector<Fd> namespaces;
        for (std::size_t i = 0; i < count; ++i) {
            ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
            if (i % 3 != 0) ::mq_close(make_queue("/q" + std::to_string(i)));
            namespaces.emplace_back(::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC));
        }
        const auto mounts = mounts_in("/proc/self/mountinfo");
        const auto before = open_fds();
        std::thread([&] {
            if (attaching_fails) test::refuse_call(SYS_move_mount, EINVAL);
            QueueMounts walk(place);
            for (int round = 0; round < 2; ++round) {
                for (std::size_t i = 0; i < count; ++i) {
                    ASSERT_EQ(::setns(namespaces[i].get(), CLONE_NEWIPC), 0);
                    // The same one twice in a row, too.
                    for (int again = 0; again < 2; ++again) {
                        const int mount = walk.mount();
                        ASSERT_GE(mount, 0);
                        EXPECT_EQ(::fcntl(mount, F_GETFD), FD_CLOEXEC);
                        const auto names = names_of(list_posix_queues(mount));
                        EXPECT_EQ(names.size(), i % 3 != 0 ? 1U : 0U);
                        EXPECT_EQ(names.count("/q" + std::to_string(i)), i % 3 != 0 ? 1U : 0U);
                    }
                }
            }
            EXPECT_LE(open_fds().size(), before.size() + 2) << "a descriptor a namespace";
            // The place of a thread is its own, and nobody else's.
            EXPECT_EQ(mounted_since(mounts, "/proc/thread-self/mountinfo") == 0,
                      place == QueueMounts::Place::detached);
            EXPECT_EQ(mounted_since(mounts, "/proc/self/mountinfo"), 0U);
        }).join();
        EXPECT_EQ(mounted_since(mounts, "/proc/self/mountinfo"), 0U);
        EXPECT_EQ(open_fds(), before);
    });
}

TEST_F(Queues, AWalkWithDetachedMounts) { expect_a_walk_sees_everything(QueueMounts::Place::detached); }

TEST_F(Queues, AWalkWithMountsOfItsThread) { expect_a_walk_sees_everything(QueueMounts::Place::thread); }

TEST_F(Queues, AWalkInAKernelThatAttachesNothingToDetachedMounts) {
    expect_a_walk_sees_everything(QueueMounts::Place::detached, true);
}

TEST_F(Queues, AWalkWithoutRightsSaysSo) {
    in_new_namespaces([] {
        drop_capabilities();
        for (const auto place : {QueueMounts::Place::detached, QueueMounts::Place::thread})
            EXPECT_EQ(number_of([&] { (void)QueueMounts(place).mount(); }), EPERM);
    });
}

// ---- What lies in a /dev/shm -------------------------------------------------------------------------------------

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

// Tests in namespaces of their own with a /dev/shm of their own.
class Shared : public testing::Test {
protected:
    void SetUp() override { NeedNamespaces(); }

    static void with_own_shm(const std::function<void(int folder)>& body, bool map_root = false) {
        in_new_namespaces(
            [&] {
                ::alarm(50); // what blocks fails
                test::mount_own_dev();
                const Fd folder = open_folder("/dev/shm");
                body(folder.get());
            },
            map_root);
    }
};

// A shared memory object of that many bytes, open.
Fd make_memory(const std::string& name, off_t bytes, mode_t mode = 0600) {
    Fd fd(::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, mode));
    if (!fd || ::ftruncate(fd.get(), bytes) != 0) test::broken("make shared memory");
    return fd;
}

// Makes a named semaphore and opens it.
sem_t* make_semaphore(const std::string& name, unsigned value, mode_t mode = 0600) {
    sem_t* const semaphore = ::sem_open(name.c_str(), O_CREAT | O_EXCL, mode, value);
    if (semaphore == SEM_FAILED) test::broken("sem_open");
    return semaphore;
}

std::chrono::nanoseconds birth_of(int folder, const std::string& file) {
    struct statx about {};
    if (::statx(folder, file.c_str(), AT_SYMLINK_NOFOLLOW, STATX_BTIME, &about) != 0) test::broken("statx");
    if ((about.stx_mask & STATX_BTIME) == 0) return {};
    return std::chrono::seconds(about.stx_btime.tv_sec) + std::chrono::nanoseconds(about.stx_btime.tv_nsec);
}

TEST_F(Shared, AnEmptyOne) {
    with_own_shm([](int folder) {
        const SharedFolder found = list_shared(folder);
        EXPECT_TRUE(found.memory.empty());
        EXPECT_TRUE(found.semaphores.empty());
        EXPECT_EQ(found.others.files, 0U);
        EXPECT_EQ(found.others.bytes, 0U);
        EXPECT_EQ(found.unseen, 0U);
    });
}

TEST_F(Shared, RandomObjectsAreListedAsTheyWereMade) {
    with_own_shm([](int folder) {
        const auto seed = std::random_device()();
        SCOPED_TRACE("seed " + std::to_string(seed));
        std::mt19937 random(seed);
        const auto any = [&](int least, int most) {
            return std::uniform_int_distribution<int>(least, most)(random);
        };
        const auto any_name = [&](int longest) {
            std::string name = "/";
            for (int left = any(1, any(1, longest)); left > 0; --left) {
                const auto byte = static_cast<char>(any(1, 255));
                name += byte == '/' ? '!' : byte;
            }
            return name == "/." || name == "/.." ? "/..." : name;
        };
        for (int round = 0; round < 5; ++round) {
            std::map<std::string, std::pair<off_t, off_t>> memory; // bytes, and those that were written
            std::map<std::string, unsigned> semaphores;
            for (int left = any(0, 60); left > 0; --left) {
                const std::string name = any_name(255);
                if (memory.count(name) != 0) continue;
                const off_t bytes = any(0, 3) == 0 ? 0 : any(1, 300000);
                const Fd made = make_memory(name, bytes);
                const off_t written = any(0, 1) == 0 ? 0 : bytes;
                ASSERT_EQ(::write(made.get(), std::string(static_cast<std::size_t>(written), 'x').c_str(),
                                  static_cast<std::size_t>(written)),
                          written);
                ASSERT_EQ(::fchmod(made.get(), static_cast<mode_t>(any(0, 07777))), 0);
                memory[name] = {bytes, written};
            }
            for (int left = any(0, 60); left > 0; --left) {
                const std::string name = any_name(251);
                if (semaphores.count(name) != 0) continue;
                const auto value = static_cast<unsigned>(any(0, 3) == 0 ? 0 : any(0, SEM_VALUE_MAX));
                ::sem_close(make_semaphore(name, value));
                semaphores[name] = value;
            }

            const SharedFolder found = list_shared(folder);
            EXPECT_EQ(found.others.files, 0U);
            EXPECT_EQ(found.unseen, 0U);
            EXPECT_EQ(names_of(found.memory).size(), memory.size());
            EXPECT_EQ(names_of(found.semaphores).size(), semaphores.size());
            const auto page = static_cast<off_t>(::sysconf(_SC_PAGESIZE));
            for (const auto& [name, sizes] : memory) {
                const auto& record = record_of(found.memory, name);
                expect_file(record, about_file(folder, name.substr(1)));
                EXPECT_EQ(record.bytes, static_cast<std::uint64_t>(sizes.first));
                EXPECT_EQ(record.allocated,
                          static_cast<std::uint64_t>((sizes.second + page - 1) / page * page));
                const auto born = birth_of(folder, name.substr(1));
                EXPECT_EQ(record.born.has_value(), born.count() != 0);
                if (record.born) {
                    EXPECT_EQ(record.born->time_since_epoch(), born);
                }
                EXPECT_EQ(find_shared_memory(folder, name), record);
            }
            for (const auto& [name, value] : semaphores) {
                const auto& record = record_of(found.semaphores, name);
                expect_file(record, about_file(folder, "sem." + name.substr(1)));
                EXPECT_EQ(record.value, value);
                EXPECT_EQ(record.waiters, 0U);
                EXPECT_EQ(find_named_semaphore(folder, name), record);
            }
            for (const auto& entry : names_in("/dev/shm")) ASSERT_EQ(::unlinkat(folder, entry.c_str(), 0), 0);
        }
    });
}

TEST_F(Shared, OddNamesAreKeptAsTheyAre) {
    with_own_shm([](int folder) {
        std::set<std::string> memory{"/" + std::string(255, 'm'), "/sem", "/sem."};
        std::set<std::string> semaphores{"/" + std::string(251, '\xff'), "/.", "/..", "/sem."};
        for (const auto& name : test::odd_names()) {
            memory.insert("/" + name);
            semaphores.insert("/" + name);
        }
        for (const auto& name : memory) (void)make_memory(name, 32);
        for (const auto& name : semaphores) ::sem_close(make_semaphore(name, 1));
        const SharedFolder found = list_shared(folder);
        EXPECT_EQ(names_of(found.memory), memory);
        EXPECT_EQ(names_of(found.semaphores), semaphores);
        for (const auto& name : memory) {
            const auto record = find_shared_memory(folder, name);
            ASSERT_TRUE(record) << name;
            EXPECT_TRUE(remove_same(folder, *record));
        }
        for (const auto& name : semaphores) {
            const auto record = find_named_semaphore(folder, name);
            ASSERT_TRUE(record) << name;
            EXPECT_TRUE(remove_same(folder, *record));
        }
        EXPECT_TRUE(names_in("/dev/shm").empty());
    });
}

TEST_F(Shared, WhatIsNoName) {
    with_own_shm([](int folder) {
        for (const std::string& name :
             {std::string(), std::string("m"), std::string("/"), std::string("//m"), std::string("/a/b"),
              std::string("/a/"), "/" + std::string(256, 'm'), std::string("/a\0b", 4)}) {
            EXPECT_THROW((void)find_shared_memory(folder, name), UsageError) << name;
            EXPECT_THROW((void)make_shared_memory(folder, name, 1), UsageError) << name;
            EXPECT_THROW((void)find_named_semaphore(folder, name), UsageError) << name;
            EXPECT_THROW((void)make_named_semaphore(folder, name), UsageError) << name;
        }
        for (const std::string name : {"/.", "/.."})
            EXPECT_THROW((void)find_shared_memory(folder, name), UsageError) << name;
        EXPECT_THROW((void)find_named_semaphore(folder, "/" + std::string(252, 's')), UsageError);
        EXPECT_TRUE(names_in("/dev/shm").empty());
        try {
            (void)find_shared_memory(folder, "/a/\x1b[31m");
            ADD_FAILURE() << "nothing was thrown";
        } catch (const UsageError& error) {
            EXPECT_EQ(std::string(error.what()).find('\x1b'), std::string::npos);
        }
    });
}

TEST_F(Shared, SparseMemory) {
    with_own_shm([](int folder) {
        constexpr off_t bytes = off_t{1} << 40;
        const Fd made = make_memory("/big", bytes);
        auto record = find_shared_memory(folder, "/big");
        ASSERT_TRUE(record);
        EXPECT_EQ(record->bytes, std::uint64_t{1} << 40);
        EXPECT_EQ(record->allocated, 0U);
        ASSERT_EQ(::pwrite(made.get(), "x", 1, bytes / 2), 1);
        record = find_shared_memory(folder, "/big");
        EXPECT_EQ(record->bytes, std::uint64_t{1} << 40);
        EXPECT_EQ(record->allocated, static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
    });
}

TEST_F(Shared, WhatIsNoObjectIsCountedAndNeverOpened) {
    with_own_shm([](int folder) {
        const std::string place = "/dev/shm/";
        (void)make_memory("/memory", 5);
        ::sem_close(make_semaphore("/semaphore", 3));
        ASSERT_EQ(::mkfifo((place + "fifo").c_str(), 0600), 0);
        ASSERT_EQ(::mkfifo((place + "sem.fifo").c_str(), 0600), 0);
        const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        struct sockaddr_un address {};
        address.sun_family = AF_UNIX;
        std::snprintf(address.sun_path, sizeof address.sun_path, "/dev/shm/socket");
        ASSERT_EQ(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        for (const auto& [target, name] :
             {std::pair{"sem.semaphore", "sem.link"}, std::pair{"memory", "link"},
              std::pair{"nowhere", "dangling"}, std::pair{"fifo", "to-fifo"}, std::pair{"/etc", "to-folder"},
              std::pair{"self", "self"}})
            ASSERT_EQ(::symlinkat(target, folder, name), 0);
        ASSERT_EQ(::mkdirat(folder, "sem.folder", 0700), 0);
        ASSERT_EQ(::mkdirat(folder, "folder", 0700), 0);
        ASSERT_EQ(::mkdirat(folder, "folder/deeper", 0700), 0);
        ASSERT_EQ(write_file(place + "folder/file", std::string(10000, 'x')), 0);
        ASSERT_EQ(write_file(place + "folder/deeper/sem.file", std::string(32, 'x')), 0);
        ASSERT_EQ(::mkfifo((place + "folder/deeper/fifo").c_str(), 0600), 0);
        std::filesystem::create_directory_symlink("/", place + "folder/deeper/root");

        // Everything but the two objects, by another program.
        std::size_t files = 0;
        std::uint64_t bytes = 0;
        for (const auto& entry : std::filesystem::recursive_directory_iterator("/dev/shm")) {
            const std::string file = entry.path().lexically_relative("/dev/shm");
            if (file == "memory" || file == "sem.semaphore") continue;
            ++files;
            bytes += static_cast<std::uint64_t>(about_file(folder, file).st_blocks) * 512;
        }
        const auto before = open_fds();
        const SharedFolder found = list_shared(folder);
        EXPECT_EQ(open_fds(), before);
        EXPECT_EQ(names_of(found.memory), std::set<std::string>{"/memory"});
        EXPECT_EQ(names_of(found.semaphores), std::set<std::string>{"/semaphore"});
        EXPECT_EQ(found.others.files, files);
        EXPECT_EQ(found.others.files, 16U);
        EXPECT_EQ(found.others.bytes, bytes);
        EXPECT_EQ(found.unseen, 0U);
        for (const char* name : {"/fifo", "/socket", "/link", "/dangling", "/folder", "/self", "/to-fifo"})
            EXPECT_FALSE(find_shared_memory(folder, name)) << name;
        for (const char* name : {"/fifo", "/link", "/folder"})
            EXPECT_FALSE(find_named_semaphore(folder, name)) << name;
        EXPECT_FALSE(find_shared_memory(folder, "/sem.semaphore")) << "it is a semaphore";
        EXPECT_FALSE(find_named_semaphore(folder, "/memory"));
    });
}

TEST_F(Shared, FilesNamedLikeSemaphoresThatAreNone) {
    with_own_shm([](int folder) {
        const std::map<std::string, off_t> sizes{{"/sem.empty", 0},
                                                 {"/sem.short", 31},
                                                 {"/sem.long", 33},
                                                 {"/sem.page", 4096},
                                                 {"/sem.huge", off_t{1} << 40},
                                                 {"/sem.", 32},
                                                 {"/sems", 32},
                                                 {"/Sem.x", 32}};
        for (const auto& [name, bytes] : sizes) (void)make_memory(name, bytes);
        const SharedFolder found = list_shared(folder);
        EXPECT_TRUE(found.semaphores.empty());
        EXPECT_EQ(found.memory.size(), sizes.size());
        for (const auto& [name, bytes] : sizes)
            EXPECT_EQ(record_of(found.memory, name).bytes, static_cast<std::uint64_t>(bytes)) << name;
        EXPECT_FALSE(find_named_semaphore(folder, "/short"));
        EXPECT_TRUE(find_shared_memory(folder, "/sem.short"));
    });
}

TEST_F(Shared, ValueAndWaitersOfASemaphore) {
    with_own_shm([](int folder) {
        sem_t* const semaphore = make_semaphore("/lock", 2);
        const auto state = [&] {
            const auto record = find_named_semaphore(folder, "/lock");
            return std::pair{record->value, record->waiters};
        };
        using State = std::pair<std::optional<unsigned>, std::optional<unsigned>>;
        EXPECT_EQ(state(), (State{2, 0}));
        ASSERT_EQ(::sem_wait(semaphore), 0);
        ASSERT_EQ(::sem_wait(semaphore), 0);
        EXPECT_EQ(state(), (State{0, 0}));
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i) threads.emplace_back([&] { ::sem_wait(semaphore); });
        for (int tries = 0; tries < 5000 && state() != State{0, 3}; ++tries) ::usleep(1000);
        EXPECT_EQ(state(), (State{0, 3}));
        EXPECT_EQ(record_of(list_shared(folder).semaphores, "/lock").waiters, 3U);
        for (int i = 0; i < 3; ++i) ::sem_post(semaphore);
        for (auto& thread : threads) thread.join();
        EXPECT_EQ(state(), (State{0, 0}));
    });
}

TEST_F(Shared, ASemaphoreThatMayNotBeRead) {
    with_own_shm([](int folder) {
        ::sem_close(make_semaphore("/closed", 7));
        ASSERT_EQ(::fchmodat(folder, "sem.closed", 0, 0), 0);
        drop_capabilities();
        const auto found = list_shared(folder);
        const auto& record = record_of(found.semaphores, "/closed");
        expect_file(record, about_file(folder, "sem.closed"));
        EXPECT_FALSE(record.value);
        EXPECT_FALSE(record.waiters);
        EXPECT_EQ(found.unseen, 0U);
    });
}

TEST_F(Shared, LookingMovesNoTime) {
    with_own_shm([](int folder) {
        ::sem_close(make_semaphore("/lock", 7));
        const std::array<struct timespec, 2> long_ago{{{1000, 0}, {2000, 0}}};
        ASSERT_EQ(::utimensat(folder, "sem.lock", long_ago.data(), 0), 0);
        EXPECT_EQ(find_named_semaphore(folder, "/lock")->value, 7U);
        EXPECT_EQ(about_file(folder, "sem.lock").st_atim.tv_sec, 1000);
    });
}

TEST_F(Shared, SomebodyElsesSemaphoreIsReadToo) {
    NeedRoot();
    with_own_shm([](int folder) {
        ::sem_close(make_semaphore("/lock", 7));
        ASSERT_EQ(::fchmodat(folder, "sem.lock", 0644, 0), 0);
        if (::setresuid(65534, 65534, 65534) != 0) test::broken("setresuid");
        EXPECT_EQ(find_named_semaphore(folder, "/lock")->value, 7U);
    });
}

TEST_F(Shared, ALeaseIsNotWaitedFor) {
    with_own_shm([](int folder) {
        ::sem_close(make_semaphore("/leased", 7));
        const test::Waiting holder([] {
            ::signal(SIGIO, SIG_IGN);
            const int fd = ::open("/dev/shm/sem.leased", O_RDWR | O_CLOEXEC);
            if (fd < 0 || ::fcntl(fd, F_SETLEASE, F_WRLCK) != 0) test::broken("take a lease");
        });
        const auto before = std::chrono::steady_clock::now();
        const auto record = find_named_semaphore(folder, "/leased");
        EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
        ASSERT_TRUE(record);
        EXPECT_FALSE(record->value);
    });
}

TEST_F(Shared, WhatMayNotBeLookedAtIsCounted) {
    with_own_shm([](int folder) {
        (void)make_memory("/memory", 5);
        ASSERT_EQ(::mkdirat(folder, "dark", 0700), 0);
        ASSERT_EQ(write_file("/dev/shm/dark/file", "x"), 0);
        ASSERT_EQ(::fchmodat(folder, "dark", 0, 0), 0);
        ASSERT_EQ(::mkdirat(folder, "listed", 0700), 0);
        ASSERT_EQ(write_file("/dev/shm/listed/one", "x"), 0);
        ASSERT_EQ(write_file("/dev/shm/listed/two", "x"), 0);
        ASSERT_EQ(::fchmodat(folder, "listed", 0400, 0), 0);
        drop_capabilities();
        const SharedFolder found = list_shared(folder);
        EXPECT_EQ(found.memory.size(), 1U);
        EXPECT_EQ(found.others.files, 2U);
        EXPECT_EQ(found.unseen, 2U);
    });
}

TEST_F(Shared, AFolderThatCannotBeReadIsAFailure) {
    with_own_shm([](int folder) {
        ASSERT_EQ(::fchmodat(AT_FDCWD, "/dev/shm", 0300, 0), 0);
        drop_capabilities();
        EXPECT_EQ(number_of([&] { (void)list_shared(folder); }), EACCES);
        EXPECT_EQ(number_of([&] { (void)list_shared(-1); }), EBADF);
        const Fd file(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
        EXPECT_EQ(number_of([&] { (void)list_shared(file.get()); }), ENOTDIR);
        EXPECT_EQ(number_of([&] { (void)find_shared_memory(file.get(), "/m"); }), ENOTDIR);
    });
}

TEST_F(Shared, FoldersInFolders) {
    with_own_shm([](int folder) {
        // Each level: a folder and a file. The 32nd is the last whose inside is looked at.
        make_nested(folder, 50);
        const SharedFolder found = list_shared(folder);
        EXPECT_EQ(names_of(found.memory), std::set<std::string>{"/file"});
        EXPECT_EQ(found.others.files, 1U + 2 * 32);
        EXPECT_EQ(found.unseen, 1U);
    });
}

TEST_F(Shared, WhatIsMountedThereIsNotPartOfIt) {
    with_own_shm([](int folder) {
        (void)make_memory("/covered", 5);
        ASSERT_EQ(::mkdirat(folder, "mount", 0700), 0);
        ASSERT_EQ(::mkdirat(folder, "folder", 0700), 0);
        ASSERT_EQ(::mkdirat(folder, "folder/mount", 0700), 0);
        for (const char* place : {"/dev/shm/mount", "/dev/shm/folder/mount"})
            ASSERT_EQ(::mount("tmpfs", place, "tmpfs", 0, ""), 0);
        ASSERT_EQ(write_file("/dev/shm/mount/file", std::string(10000, 'x')), 0);
        ASSERT_EQ(write_file("/dev/shm/folder/mount/file", std::string(10000, 'x')), 0);
        ASSERT_EQ(::mount("/dev/shm/mount/file", "/dev/shm/covered", nullptr, MS_BIND, nullptr), 0);
        const SharedFolder found = list_shared(folder);
        EXPECT_TRUE(found.memory.empty()) << "the file that is seen there lies elsewhere";
        EXPECT_EQ(found.others.files, 4U);
        EXPECT_EQ(found.others.bytes, 0U);
        EXPECT_EQ(found.unseen, 0U);
    });
}

TEST_F(Shared, AFileOfTwoNames) {
    with_own_shm([](int folder) {
        (void)make_memory("/one", 5);
        ASSERT_EQ(::linkat(folder, "one", folder, "two", 0), 0);
        const auto found = list_shared(folder);
        EXPECT_EQ(names_of(found.memory), (std::set<std::string>{"/one", "/two"}));
        EXPECT_EQ(found.memory[0].file, found.memory[1].file);
    });
}

TEST_F(Shared, ObjectsThatComeAndGoDoNotDisturbTheList) {
    with_own_shm([](int folder) {
        (void)make_memory("/stays", 5);
        const test::Waiting other([] {
            if (::fork() != 0) return;
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) {
                // A name that is a semaphore, a FIFO, a folder, a link in turn.
                ::sem_close(make_semaphore("/x", 1));
                ::unlink("/dev/shm/sem.x");
                ::mkfifo("/dev/shm/sem.x", 0600);
                ::unlink("/dev/shm/sem.x");
                ::mkdir("/dev/shm/sem.x", 0700);
                write_file("/dev/shm/sem.x/y", "z");
                ::unlink("/dev/shm/sem.x/y");
                ::rmdir("/dev/shm/sem.x");
                if (::symlink("stays", "/dev/shm/sem.x") != 0) ::_exit(1);
                ::unlink("/dev/shm/sem.x");
            }
        });
        const auto before = open_fds();
        for (int i = 0; i < 3000; ++i) {
            const SharedFolder found = list_shared(folder);
            EXPECT_EQ(record_of(found.memory, "/stays").bytes, 5U);
            EXPECT_LE(found.memory.size(), 2U); // glibc's sem_open makes it under another name first
            for (const auto& record : found.semaphores) EXPECT_EQ(record.value.value_or(1), 1U);
        }
        EXPECT_EQ(open_fds(), before);
    });
}

// ---- A /dev/shm: making ------------------------------------------------------------------------------------------

TEST_F(Shared, MemoryIsMadeAsAskedFor) {
    with_own_shm([](int folder) {
        const auto before = open_fds();
        ::umask(077);
        EXPECT_TRUE(make_shared_memory(folder, "/a", 12345, {.mode = 0664}));
        EXPECT_EQ(open_fds(), before);
        const Fd opened(::shm_open("/a", O_RDWR, 0));
        ASSERT_TRUE(opened);
        struct stat about {};
        ASSERT_EQ(::fstat(opened.get(), &about), 0);
        EXPECT_EQ(about.st_size, 12345);
        EXPECT_EQ(about.st_blocks, 0);
        EXPECT_EQ(about.st_mode, S_IFREG | 0664U);
        EXPECT_EQ(about.st_uid, ::geteuid());
        EXPECT_EQ(about.st_nlink, 1U);
        EXPECT_EQ(test::read_file("/dev/shm/a"), std::string(12345, '\0'));
        EXPECT_TRUE(make_shared_memory(folder, "/empty", 0, {.mode = 0}));
        EXPECT_EQ(about_file(folder, "empty").st_size, 0);
        EXPECT_EQ(about_file(folder, "empty").st_mode, static_cast<mode_t>(S_IFREG));
        EXPECT_TRUE(make_shared_memory(folder, "/big", std::uint64_t{1} << 40));
        EXPECT_EQ(about_file(folder, "big").st_size, off_t{1} << 40);
        EXPECT_TRUE(make_shared_memory(folder, "/" + std::string(255, '\n'), 1));
        EXPECT_EQ(names_in("/dev/shm").size(), 4U);
    });
}

TEST_F(Shared, MemoryIsSetAsideOrNotMade) {
    with_own_shm([](int folder) {
        EXPECT_TRUE(make_shared_memory(folder, "/a", 1 << 20, {}, true));
        EXPECT_EQ(about_file(folder, "a").st_blocks * 512, 1 << 20);
        EXPECT_TRUE(make_shared_memory(folder, "/empty", 0, {}, true));
        const auto too_large = [&] { make_shared_memory(folder, "/b", 64 << 20, {}, true); };
        EXPECT_EQ(number_of(too_large), ENOSPC);
        EXPECT_EQ(number_of([&] { make_shared_memory(folder, "/b", ~std::uint64_t{0}); }), EFBIG);
        EXPECT_EQ(names_in("/dev/shm"), (std::set<std::string>{"a", "empty"}));
        struct statvfs left {};
        ASSERT_EQ(::statvfs("/dev/shm", &left), 0);
        EXPECT_EQ((left.f_blocks - left.f_bfree) * left.f_bsize, 1U << 20U) << "what failed takes room";
    });
}

TEST_F(Shared, MemoryThatExistsIsLeftAsItIs) {
    with_own_shm([](int folder) {
        ASSERT_EQ(::pwrite(make_memory("/m", 1000).get(), "x", 1, 0), 1);
        const struct stat before = about_file(folder, "m");
        EXPECT_EQ(number_of([&] { make_shared_memory(folder, "/m", 1000, {.exclusive = true}); }), EEXIST);
        EXPECT_FALSE(make_shared_memory(folder, "/m", 1000, {.mode = 0666}));
        EXPECT_FALSE(
            make_shared_memory(folder, "/m", 10, {.owner = ::geteuid(), .group = ::getegid()}, true));
        EXPECT_EQ(number_of([&] { make_shared_memory(folder, "/m", 1001); }), EEXIST);
        EXPECT_EQ(number_of([&] { make_shared_memory(folder, "/m", 1, {.owner = 12345}); }), EEXIST);
        EXPECT_EQ(number_of([&] { make_shared_memory(folder, "/m", 1, {.group = 12345}); }), EEXIST);
        const struct stat after = about_file(folder, "m");
        EXPECT_EQ(after.st_ino, before.st_ino);
        EXPECT_EQ(after.st_size, 1000);
        EXPECT_EQ(after.st_mode, before.st_mode);
        EXPECT_EQ(test::read_file("/dev/shm/m")[0], 'x');
    });
}

TEST_F(Shared, WhatIsNoObjectIsNotUsedAsOne) {
    with_own_shm([](int folder) {
        ASSERT_EQ(::mkfifo("/dev/shm/fifo", 0600), 0);
        ASSERT_EQ(::mkfifo("/dev/shm/sem.fifo", 0600), 0);
        ASSERT_EQ(::symlinkat("/dev/shm/target", folder, "link"), 0);
        ASSERT_EQ(::symlinkat("/dev/shm/target", folder, "sem.link"), 0);
        ASSERT_EQ(::mkdirat(folder, "folder", 0700), 0);
        (void)make_memory("/sem.short", 5);
        for (const char* name : {"/fifo", "/link", "/folder"}) {
            EXPECT_EQ(number_of([&] { make_shared_memory(folder, name, 5); }), EEXIST) << name;
            EXPECT_NE(test::hint_of([&] { make_shared_memory(folder, name, 5); }), "") << name;
        }
        for (const char* name : {"/fifo", "/link", "/short"}) {
            EXPECT_EQ(number_of([&] { make_named_semaphore(folder, name); }), EEXIST) << name;
            EXPECT_NE(test::hint_of([&] { make_named_semaphore(folder, name); }), "") << name;
        }
        EXPECT_FALSE(exists_at(folder, "target")) << "a link was followed";
    });
}

TEST_F(Shared, OwnerAndGroup) {
    NeedRoot();
    with_own_shm([](int folder) {
        EXPECT_TRUE(make_shared_memory(folder, "/m", 5, {.mode = 0604, .owner = 1234, .group = 5678}));
        EXPECT_TRUE(make_named_semaphore(folder, "/s", 5, {.mode = 0604, .owner = 1234, .group = 5678}));
        for (const char* file : {"m", "sem.s"}) {
            const struct stat about = about_file(folder, file);
            EXPECT_EQ(about.st_uid, 1234U);
            EXPECT_EQ(about.st_gid, 5678U);
            EXPECT_EQ(about.st_mode, S_IFREG | 0604U);
        }
    });
}

TEST_F(Shared, AnOrdinaryUserMakesThemToo) {
    with_own_shm([](int folder) {
        drop_capabilities();
        EXPECT_TRUE(make_shared_memory(folder, "/m", 5));
        EXPECT_TRUE(make_named_semaphore(folder, "/s", 5));
        const auto hopeless = [&] { make_shared_memory(folder, "/n", 5, {.owner = ::geteuid() + 1}); };
        const int number = number_of(hopeless);
        EXPECT_TRUE(number == EPERM || number == EINVAL)
            << number; // EINVAL: no such user in its user namespace
        EXPECT_EQ(number_of([&] { make_named_semaphore(folder, "/n", 5, {.owner = ~uid_t{0}}); }), EINVAL);
        EXPECT_EQ(names_in("/dev/shm"), (std::set<std::string>{"m", "sem.s"}));
    });
    with_own_shm([](int folder) {
        ASSERT_EQ(::chmod("/dev/shm", 0555), 0);
        drop_capabilities();
        EXPECT_EQ(number_of([&] { make_shared_memory(folder, "/m", 5); }), EACCES);
        EXPECT_EQ(number_of([&] { make_named_semaphore(folder, "/s", 5); }), EACCES);
    });
}

TEST_F(Shared, AnObjectAppearsWhole) {
    with_own_shm([](int folder) {
        const test::Waiting other([&] {
            if (::fork() != 0) return;
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) {
                make_shared_memory(folder, "/m", 5000, {.mode = 0640}, true);
                make_named_semaphore(folder, "/s", 5, {.mode = 0640});
                ::unlink("/dev/shm/m");
                ::unlink("/dev/shm/sem.s");
            }
        });
        int seen = 0;
        for (int i = 0; i < 20000 && seen < 2000; ++i) {
            for (const auto& [file, size, blocks] : {std::tuple{"m", 5000, 16}, std::tuple{"sem.s", 32, 8}}) {
                struct stat about {};
                if (::fstatat(folder, file, &about, 0) != 0) continue;
                ++seen;
                EXPECT_EQ(about.st_size, size);
                EXPECT_EQ(about.st_blocks, blocks);
                EXPECT_EQ(about.st_mode, S_IFREG | 0640U);
            }
        }
        EXPECT_GT(seen, 0) << "nothing was there to look at";
        EXPECT_LE(names_in("/dev/shm").size(), 2U) << "other names appear";
    });
}

TEST_F(Shared, TwoThatMakeTheSameAtOnce) {
    with_own_shm([](int folder) {
        for (int round = 0; round < 300; ++round) {
            const std::string name = "/" + std::to_string(round);
            std::array<int, 2> made{};
            const auto make = [&](std::size_t me) {
                made[me] = (make_shared_memory(folder, name, 100) ? 1 : 0) +
                           (make_named_semaphore(folder, name, 3) ? 1 : 0);
            };
            std::thread other(make, 1);
            make(0);
            other.join();
            EXPECT_EQ(made[0] + made[1], 2) << "each is made by one of them";
        }
    });
}

TEST_F(Shared, ASemaphoreIsTheOneThatSemOpenWouldMake) {
    with_own_shm([](int folder) {
        for (const unsigned value : {0U, 1U, 7U, static_cast<unsigned>(SEM_VALUE_MAX)}) {
            ::sem_close(make_semaphore("/theirs", value));
            EXPECT_TRUE(make_named_semaphore(folder, "/ours", value));
            EXPECT_EQ(test::read_file("/dev/shm/sem.ours"), test::read_file("/dev/shm/sem.theirs"));
            sem_t* const opened = ::sem_open("/ours", 0);
            ASSERT_NE(opened, SEM_FAILED);
            int now = -1;
            ASSERT_EQ(::sem_getvalue(opened, &now), 0);
            EXPECT_EQ(now, static_cast<int>(value));
            ::sem_close(opened);
            ASSERT_EQ(::sem_unlink("/ours"), 0);
            ASSERT_EQ(::sem_unlink("/theirs"), 0);
        }
        const auto too_much = [&] {
            make_named_semaphore(folder, "/ours", static_cast<unsigned>(SEM_VALUE_MAX) + 1);
        };
        EXPECT_EQ(number_of(too_much), EINVAL);
        EXPECT_TRUE(names_in("/dev/shm").empty());
    });
}

TEST_F(Shared, ASemaphoreWorksBetweenProcesses) {
    with_own_shm([](int folder) {
        ::umask(077);
        EXPECT_TRUE(make_named_semaphore(folder, "/s", 0, {.mode = 0660}));
        EXPECT_EQ(about_file(folder, "sem.s").st_mode, S_IFREG | 0660U);
        const pid_t child = ::fork();
        if (child == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            sem_t* const mine = ::sem_open("/s", 0);
            ::_exit(mine != SEM_FAILED && ::sem_wait(mine) == 0 ? 0 : 1);
        }
        for (int tries = 0; tries < 5000 && find_named_semaphore(folder, "/s")->waiters != 1U; ++tries)
            ::usleep(1000);
        EXPECT_EQ(find_named_semaphore(folder, "/s")->waiters, 1U);
        sem_t* const mine = ::sem_open("/s", 0);
        ASSERT_NE(mine, SEM_FAILED);
        ASSERT_EQ(::sem_post(mine), 0);
        int status = -1;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    });
}

TEST_F(Shared, ASemaphoreThatExistsIsLeftAsItIs) {
    with_own_shm([](int folder) {
        ::sem_close(make_semaphore("/s", 4));
        const ino_t inode = about_file(folder, "sem.s").st_ino;
        EXPECT_EQ(number_of([&] { make_named_semaphore(folder, "/s", 4, {.exclusive = true}); }), EEXIST);
        EXPECT_FALSE(make_named_semaphore(folder, "/s", 9, {.mode = 0666}));
        EXPECT_EQ(number_of([&] { make_named_semaphore(folder, "/s", 4, {.owner = 12345}); }), EEXIST);
        EXPECT_EQ(find_named_semaphore(folder, "/s")->value, 4U);
        EXPECT_EQ(about_file(folder, "sem.s").st_ino, inode);
        EXPECT_EQ(about_file(folder, "sem.s").st_mode, S_IFREG | 0600U);
    });
}

// ---- A /dev/shm: removing ----------------------------------------------------------------------------------------

TEST_F(Shared, TheSameIsRemoved) {
    with_own_shm([](int folder) {
        const Fd open = make_memory("/m", 5);
        sem_t* const semaphore = make_semaphore("/s", 4);
        (void)make_memory("/other", 5);
        const auto memory = find_shared_memory(folder, "/m");
        const auto record = find_named_semaphore(folder, "/s");
        ASSERT_TRUE(memory && record);
        ::sem_post(semaphore);
        EXPECT_TRUE(remove_same(folder, *memory));
        EXPECT_TRUE(remove_same(folder, *record));
        EXPECT_EQ(names_in("/dev/shm"), std::set<std::string>{"other"});
        EXPECT_FALSE(remove_same(folder, *memory)) << "it was gone";
        EXPECT_FALSE(remove_same(folder, *record)) << "it was gone";
    });
}

TEST_F(Shared, WhatWasReplacedOrChangedIsNotRemoved) {
    with_own_shm([](int folder) {
        const auto expect_kept = [&](const std::function<void()>& change, const char* what) {
            (void)make_memory("/m", 5);
            ::sem_close(make_semaphore("/s", 4));
            const auto memory = find_shared_memory(folder, "/m");
            const auto semaphore = find_named_semaphore(folder, "/s");
            ASSERT_TRUE(memory && semaphore);
            change();
            EXPECT_FALSE(remove_same(folder, *memory)) << what;
            EXPECT_FALSE(remove_same(folder, *semaphore)) << what;
            EXPECT_TRUE(exists_at(folder, "m")) << what;
            EXPECT_TRUE(exists_at(folder, "sem.s")) << what;
            for (const char* file : {"m", "sem.s"})
                if (::unlinkat(folder, file, 0) != 0) ::unlinkat(folder, file, AT_REMOVEDIR);
        };
        const auto unlink_both = [&] {
            ASSERT_EQ(::shm_unlink("/m"), 0);
            ASSERT_EQ(::sem_unlink("/s"), 0);
        };
        expect_kept(
            [&] {
                unlink_both();
                (void)make_memory("/m", 5);
                ::sem_close(make_semaphore("/s", 4));
            },
            "others of the same name");
        expect_kept(
            [&] {
                unlink_both();
                ASSERT_EQ(::mkdirat(folder, "m", 0700), 0);
                ASSERT_EQ(::mkdirat(folder, "sem.s", 0700), 0);
            },
            "folders");
        expect_kept(
            [&] {
                unlink_both();
                ASSERT_EQ(::symlinkat("x", folder, "m"), 0);
                ASSERT_EQ(::symlinkat("x", folder, "sem.s"), 0);
            },
            "links");
        expect_kept(
            [&] {
                for (const char* file : {"m", "sem.s"}) ASSERT_EQ(::fchmodat(folder, file, 0640, 0), 0);
            },
            "another mode");
        expect_kept(
            [&] {
                ASSERT_EQ(::truncate("/dev/shm/m", 6), 0);
                ASSERT_EQ(::truncate("/dev/shm/sem.s", 33), 0);
            },
            "another size");

        // As if an inode number had come back.
        (void)make_memory("/m", 5);
        auto record = find_shared_memory(folder, "/m");
        ASSERT_TRUE(record);
        if (!record->born) {
            *record->changed -= std::chrono::seconds(1);
            EXPECT_FALSE(remove_same(folder, *record));
            return;
        }
        *record->born -= std::chrono::nanoseconds(1);
        EXPECT_FALSE(remove_same(folder, *record));
        *record->born += std::chrono::nanoseconds(1);
        EXPECT_TRUE(remove_same(folder, *record));
    });
}

TEST_F(Shared, UseDoesNotMatter) {
    with_own_shm([](int folder) {
        const Fd memory = make_memory("/m", 5);
        sem_t* const semaphore = make_semaphore("/s", 4);
        auto one = find_shared_memory(folder, "/m");
        auto other = find_named_semaphore(folder, "/s");
        ASSERT_TRUE(one && other);
        if (!one->born) GTEST_SKIP() << "this kernel does not tell when a file of a tmpfs was made";
        // As if the use came later than it can in a test.
        for (auto* time : {&one->accessed, &one->modified, &one->changed, &other->modified, &other->changed})
            **time -= std::chrono::hours(1);
        ASSERT_EQ(::pwrite(memory.get(), "x", 1, 0), 1);
        ASSERT_EQ(::sem_post(semaphore), 0);
        EXPECT_TRUE(remove_same(folder, *one));
        EXPECT_TRUE(remove_same(folder, *other));
    });
}

TEST_F(Shared, SomebodyElsesIsNotRemoved) {
    NeedRoot();
    with_own_shm([](int folder) {
        (void)make_memory("/m", 5);
        ::sem_close(make_semaphore("/s", 4));
        if (::setresuid(65534, 65534, 65534) != 0) test::broken("setresuid");
        const auto memory = find_shared_memory(folder, "/m");
        const auto semaphore = find_named_semaphore(folder, "/s");
        ASSERT_TRUE(memory && semaphore);
        EXPECT_EQ(number_of([&] { remove_same(folder, *memory); }), EPERM);
        EXPECT_EQ(number_of([&] { remove_same(folder, *semaphore); }), EPERM);
        EXPECT_EQ(names_in("/dev/shm").size(), 2U);
    });
}

// ---- Folders of files --------------------------------------------------------------------------------------------

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
    NeedNobody();
    const int status = in_fork([] {
        if (!test::become_nobody()) return 2;
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
    NeedNobody();
    const int status = in_fork([] {
        if (!test::become_nobody()) return 2;
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
