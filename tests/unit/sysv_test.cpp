// SPDX-License-Identifier: Apache-2.0
// System V objects: counted and removed, against what shmget(2), msgget(2) and semget(2) made and what the kernel still
// finds afterwards. Each test has namespaces of its own, in a child process.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/sysv.hpp>

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#include <string>
#include <vector>

namespace ipcns {
namespace {

using test::in_new_namespaces;
using test::make_queue;
using test::make_segment;
using test::make_set;

const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));

// Lines of a table of /proc/sysvipc without its heading: the kernel's own count.
std::size_t lines_in(const std::string& table) {
    const std::string text = test::read_file("/proc/sysvipc/" + table);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) - 1;
}

void expect_usage(std::size_t segments, std::size_t queues, std::size_t sets, std::uint64_t pages) {
    const SysvUsage usage = sysv_usage();
    EXPECT_EQ(usage.segments, segments);
    EXPECT_EQ(usage.queues, queues);
    EXPECT_EQ(usage.semaphore_sets, sets);
    EXPECT_EQ(usage.segment_bytes, pages * page);
    EXPECT_EQ(usage.objects(), segments + queues + sets);
    EXPECT_EQ(lines_in("shm"), segments);
    EXPECT_EQ(lines_in("msg"), queues);
    EXPECT_EQ(lines_in("sem"), sets);
}

class Sysv : public testing::Test {
protected:
    void SetUp() override { NeedNamespaces(); }
};

TEST_F(Sysv, AnEmptyNamespace) {
    in_new_namespaces([] {
        expect_usage(0, 0, 0, 0);
        const SysvUsage removed = remove_all_sysv();
        EXPECT_EQ(removed.objects(), 0U);
        EXPECT_EQ(removed.segment_bytes, 0U);
    });
}

TEST_F(Sysv, UsageCountsEachKindByItself) {
    in_new_namespaces([] {
        make_segment(1);
        expect_usage(1, 0, 0, 1);
        make_queue();
        make_queue();
        expect_usage(1, 2, 0, 1);
        make_set(5);
        make_set(1);
        make_set(2);
        expect_usage(1, 2, 3, 1);
        make_segment(page);
        expect_usage(2, 2, 3, 2);
        make_segment(page + 1);
        expect_usage(3, 2, 3, 4);
    });
}

TEST_F(Sysv, UsageIsRightWithHolesInTheIndices) {
    in_new_namespaces([] {
        std::vector<int> ids;
        for (int i = 0; i < 5; ++i) ids.push_back(make_segment(page));
        ASSERT_EQ(::shmctl(ids[0], IPC_RMID, nullptr), 0);
        ASSERT_EQ(::shmctl(ids[3], IPC_RMID, nullptr), 0);
        expect_usage(3, 0, 0, 3);
        EXPECT_EQ(remove_all_sysv().segments, 3U);
        expect_usage(0, 0, 0, 0);
    });
}

TEST_F(Sysv, RemoveAllRemovesEveryKind) {
    in_new_namespaces([] {
        const int segment = make_segment(3 * page + 5, 0x11);
        const int queue = make_queue(0x22);
        const int set = make_set(7, 0x33);
        struct {
            long type = 1;
            char text[100] = {};
        } message;
        ASSERT_EQ(::msgsnd(queue, &message, sizeof message.text, 0), 0); // a queue that is not empty
        const SysvUsage removed = remove_all_sysv();
        EXPECT_EQ(removed.segments, 1U);
        EXPECT_EQ(removed.queues, 1U);
        EXPECT_EQ(removed.semaphore_sets, 1U);
        EXPECT_EQ(removed.objects(), 3U);
        EXPECT_EQ(removed.segment_bytes, 4 * page);
        struct shmid_ds about {};
        EXPECT_EQ(::shmctl(segment, IPC_STAT, &about), -1);
        EXPECT_EQ(::shmget(0x11, 0, 0), -1);
        EXPECT_EQ(errno, ENOENT);
        EXPECT_EQ(::msgget(0x22, 0), -1);
        EXPECT_EQ(errno, ENOENT);
        EXPECT_EQ(::semget(0x33, 0, 0), -1);
        EXPECT_EQ(errno, ENOENT);
        EXPECT_EQ(::semctl(set, 0, GETVAL), -1);
        expect_usage(0, 0, 0, 0);
    });
}

TEST_F(Sysv, OnlyWhatIsInTheCallersNamespace) {
    in_new_namespaces([] {
        const int segment = make_segment(page, 0x11);
        make_queue(0x22);
        make_set(1, 0x33);
        const int outer = ::open("/proc/self/ns/ipc", O_RDONLY | O_CLOEXEC);
        ASSERT_EQ(::unshare(CLONE_NEWIPC), 0);
        expect_usage(0, 0, 0, 0);
        make_segment(page);
        EXPECT_EQ(remove_all_sysv().objects(), 1U);
        ASSERT_EQ(::setns(outer, CLONE_NEWIPC), 0);
        ::close(outer);
        expect_usage(1, 1, 1, 1);
        EXPECT_EQ(::shmget(0x11, 0, 0), segment);
        remove_all_sysv();
    });
}

TEST_F(Sysv, ThousandsOfObjects) {
    in_new_namespaces([] {
        constexpr std::size_t each = 3000;
        for (std::size_t i = 0; i < each; ++i) {
            make_segment(page);
            make_queue();
            make_set(1);
        }
        expect_usage(each, each, each, each);
        const SysvUsage removed = remove_all_sysv();
        EXPECT_EQ(removed.segments, each);
        EXPECT_EQ(removed.queues, each);
        EXPECT_EQ(removed.semaphore_sets, each);
        EXPECT_EQ(removed.segment_bytes, each * page);
        expect_usage(0, 0, 0, 0);
    });
}

TEST_F(Sysv, ASegmentThatIsAttachedGoesWithItsLastUser) {
    in_new_namespaces([] {
        const int id = make_segment(page, 0x11);
        auto* memory = static_cast<char*>(::shmat(id, nullptr, 0));
        ASSERT_NE(memory, reinterpret_cast<char*>(-1));
        memory[0] = 'x';
        EXPECT_EQ(remove_all_sysv().segments, 1U);
        EXPECT_EQ(::shmget(0x11, 0, 0), -1) << "its key is still taken";
        EXPECT_EQ(memory[0], 'x') << "it was taken from under its user";
        EXPECT_EQ(sysv_usage().segments, 1U); // as the kernel counts
        EXPECT_EQ(::shmdt(memory), 0);
        expect_usage(0, 0, 0, 0);
    });
}

TEST_F(Sysv, ObjectsWithoutAnyPermissionAreRemovedToo) {
    in_new_namespaces([] {
        make_segment(page, IPC_PRIVATE, 0);
        make_queue(IPC_PRIVATE, 0);
        make_set(1, IPC_PRIVATE, 0);
        const SysvUsage removed = remove_all_sysv();
        EXPECT_EQ(removed.objects(), 3U);
        EXPECT_EQ(removed.segment_bytes, page);
        expect_usage(0, 0, 0, 0);
    });
}

TEST_F(Sysv, WaitersAreWokenWithEidrm) {
    in_new_namespaces([] {
        const int queue = make_queue();
        const pid_t waiter = ::fork();
        if (waiter == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            struct {
                long type;
                char text[8];
            } message;
            const ssize_t length = ::msgrcv(queue, &message, sizeof message.text, 0, 0);
            ::_exit(length < 0 && (errno == EIDRM || errno == EINVAL) ? 0 : 1);
        }
        ASSERT_GT(waiter, 0);
        EXPECT_EQ(remove_all_sysv().queues, 1U);
        int status = -1;
        ASSERT_EQ(::waitpid(waiter, &status, 0), waiter);
        EXPECT_EQ(status, 0);
    });
}

TEST_F(Sysv, GoesOnAfterAFailureAndSaysSo) {
    NeedRoot();
    in_new_namespaces([] {
        make_segment(page, 0x11);
        make_queue(0x22);
        make_set(1, 0x33);
        if (::setresuid(65534, 65534, 65534) != 0) test::broken("setresuid");
        make_segment(page, 0x44, 0); // its owner may not read it, but remove it
        make_queue(0x55, 0);
        make_set(1, 0x66, 0);
        expect_usage(2, 2, 2, 2); // counting wants no rights, not even to read
        try {
            remove_all_sysv();
            ADD_FAILURE() << "nothing was thrown";
        } catch (const Error& error) {
            EXPECT_EQ(error.code().value(), EPERM);
        }
        expect_usage(1, 1, 1, 1); // ours are gone, root's are there
        EXPECT_EQ(::shmget(0x44, 0, 0), -1);
        EXPECT_EQ(errno, ENOENT);
        EXPECT_EQ(::msgget(0x55, 0), -1);
        EXPECT_EQ(errno, ENOENT);
        EXPECT_EQ(::semget(0x66, 0, 0), -1);
        EXPECT_EQ(errno, ENOENT);
        EXPECT_GE(::shmget(0x11, 0, 0), 0);
    });
}

TEST_F(Sysv, TwoThatRemoveAtOnceAgree) {
    in_new_namespaces([] {
        constexpr std::size_t each = 500;
        for (std::size_t i = 0; i < each; ++i) {
            make_segment(page);
            make_queue();
            make_set(1);
        }
        // Both finish without an error though each finds objects gone under its hands, and count each object once.
        std::array<int, 2> ends{};
        ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
        const pid_t other = ::fork();
        if (other == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            try {
                const std::size_t count = remove_all_sysv().objects();
                ::_exit(::write(ends[1], &count, sizeof count) == sizeof count ? 0 : 1);
            } catch (const std::exception&) {
                ::_exit(2);
            }
        }
        ASSERT_GT(other, 0);
        const std::size_t mine = remove_all_sysv().objects();
        int status = -1;
        ASSERT_EQ(::waitpid(other, &status, 0), other);
        EXPECT_EQ(status, 0);
        std::size_t its = 0;
        ASSERT_EQ(::read(ends[0], &its, sizeof its), static_cast<ssize_t>(sizeof its));
        ::close(ends[0]);
        ::close(ends[1]);
        EXPECT_EQ(mine + its, 3 * each);
        expect_usage(0, 0, 0, 0);
    });
}

} // namespace
} // namespace ipcns
