// SPDX-License-Identifier: Apache-2.0
// What an agent does for one channel: offer, try, answer, remove. A file for each family of channels: trial_sysv.cpp and so
// on. They run in ipcns-agent only, a program of one thread, and throw nothing: what goes wrong is in the reply.
#pragma once

#include "agent.hpp"

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

namespace ipcns::agent {

/// One channel, as one agent has to do with it.
class Trial {
public:
    Trial() = default;
    virtual ~Trial() = default;
    Trial(const Trial&) = delete;
    Trial& operator=(const Trial&) = delete;

    /// Makes what `request.where` tells, with the token in it.
    virtual Reply offer(const Request& request) = 0;

    /// Tries to get the token of what another agent offers.
    /// @param passed a descriptor that came along, or -1
    virtual Reply attempt(const Request& request, int passed) = 0;

    /// What has arrived since the last time.
    virtual Reply ask(const Request& request);

    /// Removes what @p where tells, whoever offered it; what is not there is no error.
    virtual void clean(const Locator& where) = 0;

    /// A descriptor that travels with the reply to offer(), or -1.
    [[nodiscard]] virtual int passed() const { return -1; }

    /// While it is offered: descriptors to poll for reading, and whether serve() is also wanted every millisecond.
    [[nodiscard]] virtual std::vector<int> served() const { return {}; }
    [[nodiscard]] virtual bool ticks() const { return false; }
    virtual void serve() {}
};

/// Never null.
std::unique_ptr<Trial> make_sysv_trial(ChannelId channel);
std::unique_ptr<Trial> make_posix_trial(ChannelId channel);
std::unique_ptr<Trial> make_file_trial(ChannelId channel);
std::unique_ptr<Trial> make_process_trial(ChannelId channel);
std::unique_ptr<Trial> make_socket_trial(ChannelId channel);
std::unique_ptr<Trial> make_limit_trial();

/// Long enough for anything that happens at once, and the longest that a trial waits.
inline constexpr int patience_ms = 500;

// --- replies --------------------------------------------------------------------------------------------------------

Reply done();
/// Could not be made here. @p number is an errno value, or 0.
Reply unavailable(const std::string& what, int number = errno);
Reply failed(const std::string& what, int number = errno);

/// What an offer that the kernel refused means: that it can't be tried here, or for EEXIST, that something is wrong.
Reply not_made(const std::string& what, int number = errno);

/// Collects what came of each way to get at something.
class Ways {
public:
    /// It gave these bytes (token_bytes of them).
    void got(Route route, const char* words, const void* answer);
    /// It did not.
    void refused(const char* words, int number = errno);
    /// This way was not open to trial.
    void skipped(const std::string& words);
    /// got if any way did, denied if any was refused, else unavailable.
    [[nodiscard]] Reply reply() const;

private:
    Reply reply_{};
    bool tried_ = false;
    std::string got_, refused_, skipped_;
};

// --- small helpers --------------------------------------------------------------------------------------------------

/// "ipcns-verify-" and the random letters.
std::string object_name(const Locator& where);

/// Waits until a descriptor can be read, patience_ms at the most.
bool wait_readable(int fd);

} // namespace ipcns::agent
