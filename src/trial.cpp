// SPDX-License-Identifier: Apache-2.0
// What all trials share: replies.
#include "trial.hpp"

#include <poll.h>

#include <algorithm>
#include <cstring>

namespace ipcns::agent {
namespace {

Reply reply_with(Outcome outcome, const std::string& what, int number) {
    Reply reply{};
    reply.outcome = outcome;
    reply.error = number;
    const std::string text = number != 0 ? what + ": " + std::strerror(number) : what;
    std::memcpy(reply.why, text.data(), std::min(text.size(), sizeof reply.why - 1));
    return reply;
}

void add(std::string& list, const std::string& words, const char* between) {
    list += (list.empty() ? "" : between) + words;
}

} // namespace

Reply Trial::ask(const Request& /*request*/) { return failed("nothing arrives on this channel", 0); }

Reply done() { return reply_with(Outcome::done, "", 0); }
Reply unavailable(const std::string& what, int number) {
    return reply_with(Outcome::unavailable, what, number);
}
Reply failed(const std::string& what, int number) { return reply_with(Outcome::failed, what, number); }

Reply not_made(const std::string& what, int number) {
    return number == EEXIST ? failed(what, number) : unavailable(what, number);
}

void Ways::got(Route route, const char* words, const void* answer) {
    if (reply_.routes == 0) std::memcpy(reply_.answer, answer, token_bytes);
    // Two ways that lead to different things: one of them is not ours.
    if (std::memcmp(reply_.answer, answer, token_bytes) != 0) std::memset(reply_.answer, 0, token_bytes);
    reply_.routes |= route;
    add(got_, words, ", ");
}

void Ways::refused(const char* words, int number) {
    tried_ = true;
    reply_.error = number;
    add(refused_, std::string(words) + ": " + std::strerror(number), "; ");
}

void Ways::skipped(const std::string& words) { add(skipped_, words, "; "); }

Reply Ways::reply() const {
    if (reply_.routes != 0) {
        Reply reply = reply_with(Outcome::done, got_, 0);
        reply.routes = reply_.routes;
        std::memcpy(reply.answer, reply_.answer, token_bytes);
        return reply;
    }
    if (!tried_) return unavailable(skipped_, 0);
    Reply reply = reply_with(Outcome::denied, refused_, 0);
    reply.error = reply_.error;
    return reply;
}

std::string object_name(const Locator& where) {
    return "ipcns-verify-" + std::string(where.name, ::strnlen(where.name, sizeof where.name));
}

bool wait_readable(int fd) {
    struct pollfd polled {
        fd, POLLIN, 0
    };
    int result = 0;
    do {
        result = ::poll(&polled, 1, patience_ms);
    } while (result < 0 && errno == EINTR);
    return result > 0;
}

} // namespace ipcns::agent
