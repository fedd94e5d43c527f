// SPDX-License-Identifier: Apache-2.0
// Owning descriptors: nothing but close(2) and fcntl(2).
#include <ipcns/fd.hpp>

#include "error.hpp"

#include <fcntl.h>
#include <unistd.h>

namespace ipcns {

void Fd::reset(int raw) noexcept {
    if (fd_ >= 0) {
        const int saved = errno;
        ::close(fd_);
        errno = saved;
    }
    fd_ = raw;
}

Fd Fd::duplicate() const {
    const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) fail("duplicate a descriptor");
    return Fd(copy);
}

} // namespace ipcns
