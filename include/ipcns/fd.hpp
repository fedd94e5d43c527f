// SPDX-License-Identifier: Apache-2.0
// A file descriptor with an owner.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace ipcns {

/// Owns one file descriptor and closes it when it goes out of scope. Movable, not copyable.
/// Every descriptor that this library opens is close-on-exec.
class IPCNS_API Fd {
public:
    Fd() noexcept = default;
    /// Takes ownership of @p raw; a negative number means "none".
    explicit Fd(int raw) noexcept : fd_(raw) {}
    /// The other one owns nothing then.
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    /// Closes what is owned, and takes over what the other one owns.
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) reset(std::exchange(other.fd_, -1));
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    /// The number, still owned by this object; -1 when there is none.
    [[nodiscard]] int get() const noexcept { return fd_; }
    /// True when there is a descriptor.
    explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Gives the descriptor up: the caller must close it.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    /// Closes what is owned and takes @p raw instead. errno is left as it was.
    void reset(int raw = -1) noexcept {
        if (fd_ >= 0) {
            const int saved = errno;
            ::close(fd_);
            errno = saved;
        }
        fd_ = raw;
    }
    /// A second descriptor for the same open file (close-on-exec).
    /// @throws Error when the process has no descriptors left (EMFILE).
    [[nodiscard]] Fd duplicate() const;

private:
    int fd_ = -1;
};

} // namespace ipcns
