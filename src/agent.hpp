// SPDX-License-Identifier: Apache-2.0
// What passes between verify() and the agents that it starts: fixed messages over SOCK_SEQPACKET sockets, one reply for
// each request. A descriptor may travel along.
#pragma once

#include "channels.hpp"

#include <sys/types.h>

#include <cstdint>

namespace ipcns::agent {

enum class Order : std::uint32_t {
    hello,    ///< who and where are you?
    remember, ///< somebody is about to offer this: if all others die, remove it
    offer,    ///< make it
    attempt,  ///< get it
    ask,      ///< what has arrived?
    clean,    ///< remove it, if it is there
};

enum class Outcome : std::uint32_t {
    done,        ///< made; got
    denied,      ///< tried, and the kernel said no, or there was nothing
    unavailable, ///< it can't be tried here
    failed,      ///< something is wrong
};

/// By which ways something was got.
enum Route : std::uint32_t {
    by_key = 1,
    by_id = 2,
    by_name = 4,
    by_listing = 8,
    by_mount = 16,  ///< through /dev/mqueue
    by_folder = 32, ///< through trial_folders[0], and so on with the next bits
};

/// All that there is to know about what is offered, but for the token.
struct Locator {
    ChannelId channel;
    std::uint32_t limit;  ///< which limit
    std::int32_t key;     ///< System V
    std::uint32_t mode;   ///< permissions: 0600, or 0666 where the sides are different users
    char name[40];        ///< 32 random letters
    std::int32_t ids[3];  ///< System V: queue, set, segment
    std::int32_t inside;  ///< pid of the one that offers, as it sees itself
    std::int32_t outside; ///< and as verify() sees it
    std::int32_t fd;      ///< a descriptor of its
    std::uint64_t address;
    std::uint64_t value;   ///< of a limit: now
    std::uint64_t before;  ///< and before
    std::uint32_t folders; ///< bit i: offered in trial_folders[i]
    std::uint16_t port;
};

inline constexpr std::size_t token_bytes = 16;

struct Request {
    Order order;
    Locator where;
    unsigned char
        token[token_bytes]; ///< offer: to be offered. attempt on a channel that `arrives`: to be sent
};

/// Which files two sides have to share to be open to each other.
struct FileFact {
    std::uint64_t device, inode;
    friend bool operator==(const FileFact&, const FileFact&) = default;
};

/// Where an agent is.
struct Facts {
    FileFact ipc, pid, user, network, shm, queues; ///< zeros: not known
    FileFact folders[trial_folder_count];
};

struct Reply {
    Order order;
    Outcome outcome;
    std::int32_t error; ///< errno, for denied
    std::uint32_t routes;
    Locator where; ///< of an offer: what only the one that offers knows
    unsigned char answer[token_bytes];
    Facts facts;
    char why[256];
};

} // namespace ipcns::agent
