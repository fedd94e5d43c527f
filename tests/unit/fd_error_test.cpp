// SPDX-License-Identifier: Apache-2.0
// Owning descriptors, and what errors say.
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/fd.hpp>

#include "error.hpp"

#include <sys/resource.h>

#include <string>
#include <type_traits>
#include <utility>

namespace ipcns {
namespace {

using test::open_fds;

static_assert(!std::is_copy_constructible_v<Fd> && !std::is_copy_assignable_v<Fd>);
static_assert(std::is_nothrow_move_constructible_v<Fd> && std::is_nothrow_move_assignable_v<Fd>);

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, IsEmptyAtFirst) {
    const auto before = open_fds();
    {
        const Fd none;
        EXPECT_FALSE(none);
        EXPECT_EQ(none.get(), -1);
        const Fd failed(-1);
        EXPECT_FALSE(failed);
        const Fd zero(::fcntl(open_null(), F_DUPFD_CLOEXEC, 0));
        EXPECT_TRUE(zero);
        ::close(zero.get() - 1); // the one it was duplicated from, or an error
    }
    EXPECT_EQ(open_fds(), before);
}

TEST(Fd, ClosesWhatItOwnsOnce) {
    const int raw = open_null();
    ASSERT_GE(raw, 0);
    {
        const Fd fd(raw);
        EXPECT_TRUE(fd);
        EXPECT_EQ(fd.get(), raw);
        EXPECT_TRUE(is_open(raw));
    }
    EXPECT_FALSE(is_open(raw));
}

TEST(Fd, MovesOwnership) {
    const int raw = open_null();
    const int other = open_null();
    Fd first(raw);
    Fd second(std::move(first));
    EXPECT_FALSE(first); // NOLINT: what a moved-from Fd is, is promised
    EXPECT_EQ(second.get(), raw);
    Fd third(other);
    third = std::move(second);
    EXPECT_FALSE(second); // NOLINT
    EXPECT_EQ(third.get(), raw);
    EXPECT_TRUE(is_open(raw));
    EXPECT_FALSE(is_open(other)) << "what was owned before has to be closed";
    Fd& same = third;
    third = std::move(same);
    EXPECT_EQ(third.get(), raw);
    EXPECT_TRUE(is_open(raw));
}

TEST(Fd, ReleaseGivesUp) {
    Fd fd(open_null());
    const int raw = fd.release();
    EXPECT_FALSE(fd);
    fd.reset();
    EXPECT_TRUE(is_open(raw));
    ::close(raw);
}

TEST(Fd, ResetClosesAndTakes) {
    const int one = open_null();
    const int two = open_null();
    Fd fd(one);
    fd.reset(two);
    EXPECT_FALSE(is_open(one));
    EXPECT_EQ(fd.get(), two);
    fd.reset();
    EXPECT_FALSE(is_open(two));
    EXPECT_FALSE(fd);
}

TEST(Fd, LeavesErrnoAlone) {
    {
        const Fd bad(99999); // closing it fails with EBADF
        errno = ENOTTY;
    }
    EXPECT_EQ(errno, ENOTTY);
}

TEST(Fd, DuplicateIsCloseOnExecAndTheSameFile) {
    std::array<int, 2> ends{};
    ASSERT_EQ(::pipe(ends.data()), 0);
    const Fd read(ends[0]);
    Fd write(ends[1]);
    Fd copy = write.duplicate();
    EXPECT_NE(copy.get(), write.get());
    EXPECT_GE(copy.get(), 3);
    EXPECT_EQ(::fcntl(copy.get(), F_GETFD), FD_CLOEXEC);
    write.reset();
    EXPECT_EQ(::write(copy.get(), "x", 1), 1);
    copy.reset();
    char bytes[2];
    EXPECT_EQ(::read(read.get(), bytes, 2), 1);
    EXPECT_EQ(::read(read.get(), bytes, 2), 0) << "a writer is still open";
}

TEST(Fd, DuplicateSaysWhyItCannot) {
    EXPECT_THROW((void)Fd().duplicate(), Error);
    const Fd fd(open_null());
    struct rlimit old {};
    ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old), 0);
    const struct rlimit none { 3, old.rlim_max };
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    int number = 0;
    try {
        (void)fd.duplicate();
    } catch (const Error& error) {
        number = error.code().value();
    }
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old), 0);
    // F_DUPFD says EINVAL when the limit is below the least number that is asked for.
    EXPECT_TRUE(number == EMFILE || number == EINVAL) << number;
    EXPECT_TRUE(is_open(fd.get()));
}

TEST(Error, SaysWhatAndWhy) {
    const Error error(ENOENT, "open the door", "look for the key");
    EXPECT_EQ(error.code(), std::error_code(ENOENT, std::system_category()));
    EXPECT_EQ(error.code(), std::errc::no_such_file_or_directory);
    EXPECT_STREQ(error.what(), "open the door: No such file or directory");
    EXPECT_EQ(error.hint(), "look for the key");
    EXPECT_EQ(Error(EPERM, "x").hint(), "");
}

TEST(Error, IsASystemError) {
    try {
        throw Error(EPERM, "x", "y");
    } catch (const std::system_error& error) {
        EXPECT_EQ(error.code().value(), EPERM);
    }
}

TEST(Error, CopiesAreWhole) {
    const Error error(EPERM, "x", "y");
    const Error copy = error; // NOLINT: the copy is what is looked at
    EXPECT_STREQ(copy.what(), error.what());
    EXPECT_EQ(copy.hint(), "y");
    const UsageError usage("message", "hint");
    const UsageError usage_copy = usage; // NOLINT
    EXPECT_STREQ(usage_copy.what(), "message");
    EXPECT_EQ(usage_copy.hint(), "hint");
}

TEST(UsageError, SaysOnlyWhatWasWrong) {
    try {
        throw UsageError("'x' is not a size", "a size is a number");
    } catch (const Error& error) {
        EXPECT_STREQ(error.what(), "'x' is not a size");
        EXPECT_EQ(error.code().value(), EINVAL);
        EXPECT_EQ(error.hint(), "a size is a number");
    }
}

TEST(Fail, TakesErrno) {
    errno = ENOSPC;
    try {
        fail("do it", "make room");
    } catch (const Error& error) {
        EXPECT_EQ(error.code().value(), ENOSPC);
        EXPECT_STREQ(error.what(), "do it: No space left on device");
        EXPECT_EQ(error.hint(), "make room");
    }
    try {
        fail(EXDEV, "do it");
    } catch (const Error& error) {
        EXPECT_EQ(error.code().value(), EXDEV);
        EXPECT_EQ(error.hint(), "");
    }
}

TEST(Fail, TakesErrnoThoughTheMessageNeedsMemory) {
    // The arguments are made before errno is read; the allocation may not lose it.
    errno = ESRCH;
    EXPECT_THROW(
        {
            try {
                fail(std::string(100000, 'x'));
            } catch (const Error& error) {
                EXPECT_EQ(error.code().value(), ESRCH);
                throw;
            }
        },
        Error);
}

} // namespace
} // namespace ipcns
