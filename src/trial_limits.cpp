// SPDX-License-Identifier: Apache-2.0
// Limits: set here, read there, put back. The one that remembers knows the value from before, and puts it back when the
// one that has set it is gone.
#include "trial.hpp"

#include <ipcns/limits.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>

namespace ipcns::agent {
namespace {

const LimitKey& key_of(const Locator& where) {
    return *find_limit_key(limit_channel_names[where.limit % std::size(limit_channel_names)]);
}

// What the file says now: its text, or the part of it. False with errno.
bool read_value(const LimitKey& key, std::uint64_t& value) {
    const Fd file(::open(key.path, O_RDONLY | O_CLOEXEC));
    char text[256] = {};
    if (!file || ::read(file.get(), text, sizeof text - 1) <= 0) return false;
    const char* at = text;
    for (int part = 0; part < key.part; ++part) {
        at += std::strspn(at, " \t");
        at += std::strcspn(at, " \t");
    }
    value = std::strtoull(at, nullptr, 10);
    return true;
}

int write_value(const LimitKey& key, std::uint64_t value) {
    try {
        write_limit({&key, std::to_string(value)});
        return 0;
    } catch (const Error& error) {
        return error.code().value();
    }
}

class LimitTrial : public Trial {
public:
    Reply offer(const Request& request) override {
        const LimitKey& key = key_of(request.where);
        const int number = write_value(key, request.where.value);
        if (number == EPERM || number == EACCES)
            return unavailable("only the root of its user namespace may set the limits of an IPC namespace",
                               0);
        if (number != 0) return unavailable(std::string("write ") + key.path, number);
        Reply reply = done();
        reply.where = request.where;
        std::memcpy(reply.answer, &request.where.value, sizeof request.where.value);
        return reply;
    }
    Reply attempt(const Request& request, int /*passed*/) override {
        std::uint64_t value = 0;
        const LimitKey& key = key_of(request.where);
        if (!read_value(key, value)) return unavailable(std::string("read ") + key.path);
        Reply reply = done();
        std::memcpy(reply.answer, &value, sizeof value);
        return reply;
    }
    void clean(const Locator& where) override {
        const LimitKey& key = key_of(where);
        std::uint64_t now = 0;
        // Only what was set here goes back: another hand may have changed it since.
        if (read_value(key, now) && now == where.value) (void)write_value(key, where.before);
    }
};

} // namespace

std::unique_ptr<Trial> make_limit_trial() { return std::make_unique<LimitTrial>(); }

} // namespace ipcns::agent
