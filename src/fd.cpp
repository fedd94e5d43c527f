// SPDX-License-Identifier: Apache-2.0
// Owning descriptors: nothing but close(2) and fcntl(2).
#include <ipcns/fd.hpp>

#include "error.hpp"

#include <fcntl.h>

namespace ipcns {

Fd Fd::duplicate() const {
    const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) fail("duplicate a descriptor");
    return Fd(copy);
}

} // namespace ipcns
