// SPDX-License-Identifier: Apache-2.0
// Messages with descriptors: sendmsg(2), recvmsg(2) and cmsg(3).
#include "packets.hpp"

#include <cerrno>
#include <cstring>

namespace ipcns {

bool send_message(int socket, const void* message, std::size_t bytes, std::span<const int> fds) noexcept {
    struct iovec part {
        const_cast<void*>(message), bytes
    };
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * most_fds_along)] = {};
    struct msghdr header {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(fds.size_bytes());
        struct cmsghdr* field = CMSG_FIRSTHDR(&header);
        field->cmsg_level = SOL_SOCKET;
        field->cmsg_type = SCM_RIGHTS;
        field->cmsg_len = CMSG_LEN(fds.size_bytes());
        std::memcpy(CMSG_DATA(field), fds.data(), fds.size_bytes());
    }
    ssize_t length = 0;
    do {
        length = ::sendmsg(socket, &header, MSG_NOSIGNAL);
    } while (length < 0 && errno == EINTR);
    return length == static_cast<ssize_t>(bytes);
}

bool receive_message(int socket, void* message, std::size_t bytes, std::span<Fd> fds,
                     struct ucred* sender) noexcept {
    struct iovec part {
        message, bytes
    };
    alignas(struct cmsghdr) char
        control[CMSG_SPACE(sizeof(int) * most_fds_along) + CMSG_SPACE(sizeof(struct ucred))] = {};
    struct msghdr header {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t length = 0;
    do {
        length = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0) return false;
    errno = 0;
    for (struct cmsghdr* field = CMSG_FIRSTHDR(&header); field != nullptr;
         field = CMSG_NXTHDR(&header, field)) {
        if (field->cmsg_level != SOL_SOCKET) continue;
        if (field->cmsg_type == SCM_RIGHTS) {
            const std::size_t count = (field->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < count; ++i) {
                int number = -1;
                std::memcpy(&number, CMSG_DATA(field) + i * sizeof number, sizeof number);
                Fd received(number);
                if (i < fds.size()) fds[i] = std::move(received);
            }
        } else if (field->cmsg_type == SCM_CREDENTIALS && sender != nullptr) {
            std::memcpy(sender, CMSG_DATA(field), sizeof *sender);
        }
    }
    return length == static_cast<ssize_t>(bytes) && (header.msg_flags & MSG_TRUNC) == 0;
}

} // namespace ipcns
