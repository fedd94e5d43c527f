// SPDX-License-Identifier: Apache-2.0
// Messages between verify() and its agents.
#include "agent.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace ipcns::agent {

bool send(int socket, const void* message, std::size_t bytes, int fd) noexcept {
    struct iovec part {
        const_cast<void*>(message), bytes
    };
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
    struct msghdr header {};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (fd >= 0) {
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        struct cmsghdr* field = CMSG_FIRSTHDR(&header);
        field->cmsg_level = SOL_SOCKET;
        field->cmsg_type = SCM_RIGHTS;
        field->cmsg_len = CMSG_LEN(sizeof fd);
        std::memcpy(CMSG_DATA(field), &fd, sizeof fd);
    }
    ssize_t length = 0;
    do {
        length = ::sendmsg(socket, &header, MSG_NOSIGNAL);
    } while (length < 0 && errno == EINTR);
    return length == static_cast<ssize_t>(bytes);
}

bool receive(int socket, void* message, std::size_t bytes, Fd* fd, pid_t* sender, uid_t* user) noexcept {
    struct iovec part {
        message, bytes
    };
    alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = {};
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
    for (struct cmsghdr* field = CMSG_FIRSTHDR(&header); field != nullptr;
         field = CMSG_NXTHDR(&header, field)) {
        if (field->cmsg_level != SOL_SOCKET) continue;
        if (field->cmsg_type == SCM_RIGHTS && field->cmsg_len == CMSG_LEN(sizeof(int))) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(field), sizeof number);
            Fd received(number);
            if (fd != nullptr) *fd = std::move(received);
        } else if (field->cmsg_type == SCM_CREDENTIALS) {
            struct ucred from {};
            std::memcpy(&from, CMSG_DATA(field), sizeof from);
            if (sender != nullptr) *sender = from.pid;
            if (user != nullptr) *user = from.uid;
        }
    }
    return length == static_cast<ssize_t>(bytes) && (header.msg_flags & MSG_TRUNC) == 0;
}

} // namespace ipcns::agent
