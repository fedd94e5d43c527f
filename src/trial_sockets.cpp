// SPDX-License-Identifier: Apache-2.0
// Abstract UNIX sockets and the loopback network, which belong to the network namespace, and descriptors that are passed.
#include "trial.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace ipcns::agent {
namespace {

// What a caller is told: whose service this is (somebody else's may have the same port elsewhere), and the token.
struct Greeting {
    char name[32];
    unsigned char token[token_bytes];
};

class ListenerTrial : public Trial {
public:
    explicit ListenerTrial(bool abstract) : abstract_(abstract) {}

    Reply offer(const Request& request) override {
        std::memcpy(greeting_.name, request.where.name, sizeof greeting_.name);
        std::memcpy(greeting_.token, request.token, token_bytes);
        Reply reply = done();
        reply.where = request.where;
        if (abstract_) {
            listener_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            socklen_t bytes = 0;
            const struct sockaddr_un address = abstract_address(request.where, bytes);
            if (!listener_ ||
                ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), bytes) != 0 ||
                ::listen(listener_.get(), 4) != 0)
                return not_made("listen");
            return reply;
        }
        listener_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        struct sockaddr_in address = loopback_address(0);
        socklen_t bytes = sizeof address;
        if (!listener_ || ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), bytes) != 0 ||
            ::listen(listener_.get(), 4) != 0 ||
            ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &bytes) != 0)
            return not_made("listen at 127.0.0.1");
        // One can listen where nobody can call: the loopback interface of a new network namespace is down.
        const Fd caller(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (::connect(caller.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
            errno != EINPROGRESS)
            return unavailable("call 127.0.0.1");
        reply.where.port = ntohs(address.sin_port);
        return reply;
    }

    Reply attempt(const Request& request, int /*passed*/) override {
        Ways ways;
        const char* words = abstract_ ? "by name" : "at 127.0.0.1";
        Greeting greeting{};
        if (call(request.where, greeting))
            ways.got(by_name, words, greeting.token);
        else
            ways.refused(words);
        return ways.reply();
    }

    void clean(const Locator& /*where*/) override { listener_.reset(); } // goes with the process
    [[nodiscard]] std::vector<int> served() const override { return {listener_.get()}; }
    void serve() override {
        const Fd caller(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (caller) (void)!::send(caller.get(), &greeting_, sizeof greeting_, MSG_NOSIGNAL);
    }

private:
    static sockaddr_un abstract_address(const Locator& where, socklen_t& bytes) {
        struct sockaddr_un address {};
        address.sun_family = AF_UNIX;
        const std::string name = object_name(where);
        std::copy(name.begin(), name.end(), address.sun_path + 1);
        bytes = static_cast<socklen_t>(offsetof(struct sockaddr_un, sun_path) + 1 + name.size());
        return address;
    }
    static sockaddr_in loopback_address(std::uint16_t port) {
        struct sockaddr_in address {};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(port);
        return address;
    }

    // Calls, and listens to what is said. False with errno.
    bool call(const Locator& where, Greeting& greeting) const {
        Fd socket;
        int result = -1;
        if (abstract_) {
            socklen_t bytes = 0;
            const struct sockaddr_un address = abstract_address(where, bytes);
            socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), bytes);
        } else {
            const struct sockaddr_in address = loopback_address(where.port);
            socket.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
            result = ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
            if (result != 0 && errno == EINPROGRESS) result = finish_connecting(socket.get());
        }
        if (!socket || result != 0) return false;
        std::size_t have = 0;
        while (have < sizeof greeting) {
            if (!wait_readable(socket.get())) {
                errno = ETIMEDOUT;
                return false;
            }
            const ssize_t length =
                ::recv(socket.get(), reinterpret_cast<char*>(&greeting) + have, sizeof greeting - have, 0);
            if (length == 0) errno = ECONNRESET;
            if (length <= 0) return false;
            have += static_cast<std::size_t>(length);
        }
        // Somebody else's service.
        if (std::memcmp(greeting.name, where.name, sizeof greeting.name) == 0) return true;
        errno = ECONNREFUSED;
        return false;
    }

    static int finish_connecting(int socket) {
        struct pollfd polled {
            socket, POLLOUT, 0
        };
        if (::poll(&polled, 1, patience_ms) != 1) {
            errno = ETIMEDOUT;
            return -1;
        }
        int number = 0;
        socklen_t bytes = sizeof number;
        ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &number, &bytes);
        errno = number;
        return number == 0 ? 0 : -1;
    }

    bool abstract_;
    Fd listener_;
    Greeting greeting_{};
};

class RightsTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        file_.reset(::memfd_create("ipcns-verify", MFD_CLOEXEC));
        if (!file_ || ::write(file_.get(), request.token, token_bytes) != static_cast<ssize_t>(token_bytes))
            return unavailable("make a memfd");
        Reply reply = done();
        reply.where = request.where;
        return reply;
    }
    Reply attempt(const Request& /*request*/, int passed) override {
        Ways ways;
        unsigned char token[token_bytes] = {};
        if (passed >= 0 && ::pread(passed, token, token_bytes, 0) == static_cast<ssize_t>(token_bytes))
            ways.got(by_id, "by SCM_RIGHTS", token);
        else
            ways.refused("by SCM_RIGHTS", passed < 0 ? EBADF : errno);
        return ways.reply();
    }
    void clean(const Locator& /*where*/) override { file_.reset(); }
    [[nodiscard]] int passed() const override { return file_.get(); }

private:
    Fd file_;
};

} // namespace

std::unique_ptr<Trial> make_socket_trial(ChannelId channel) {
    if (channel == ChannelId::rights) return std::make_unique<RightsTrial>();
    return std::make_unique<ListenerTrial>(channel == ChannelId::abstract);
}

} // namespace ipcns::agent
