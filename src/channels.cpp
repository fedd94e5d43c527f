// SPDX-License-Identifier: Apache-2.0
// The table of channels.
#include "channels.hpp"

#include <ipcns/text.hpp>

#include <algorithm>
#include <array>

namespace ipcns {
namespace {

constexpr const char* by_least = "run --ipc-only";
constexpr const char* by_usual = "run";
constexpr const char* by_strict = "run --strict";
constexpr const char* by_nothing = nullptr;

constexpr Channel head[] = {
    {"msg", "System V message queue", by_least, true, true},
    {"sem", "System V semaphore set", by_least, true, true},
    {"shm", "System V shared memory segment", by_least, true, true},
    {"mq", "POSIX message queue", by_least, true, true},
    {"psem", "POSIX named semaphore", by_usual, true, false},
    {"pshm", "POSIX shared memory", by_usual, true, false},
    {"sysvipc", "what /proc/sysvipc lists", by_least, false, true},
    {"mqueue", "what /dev/mqueue lists", by_usual, false, false},
    {"mq-notify", "notification from a POSIX queue", by_least, false, true},
};
constexpr ChannelPlan head_plans[] = {
    {ChannelId::msg, Decider::ipc},
    {ChannelId::sem, Decider::ipc},
    {ChannelId::shm, Decider::ipc},
    {ChannelId::mq, Decider::ipc},
    {ChannelId::psem, Decider::shm},
    {ChannelId::pshm, Decider::shm},
    {ChannelId::sysvipc, Decider::ipc},
    {ChannelId::mqueue, Decider::queues},
    {ChannelId::mq_notify, Decider::ipc, true},
};

constexpr Channel limit_channels[] = {
    {"limit.msgmax", "limit: largest System V message", by_least, false, true},
    {"limit.msgmnb", "limit: size of a new System V queue", by_least, false, true},
    {"limit.msgmni", "limit: System V queues", by_least, false, true},
    {"limit.semmsl", "limit: semaphores in a set", by_least, false, true},
    {"limit.semmns", "limit: semaphores in all sets", by_least, false, true},
    {"limit.semopm", "limit: operations in a semop call", by_least, false, true},
    {"limit.semmni", "limit: semaphore sets", by_least, false, true},
    {"limit.shmall", "limit: segments together", by_least, false, true},
    {"limit.shmmax", "limit: largest segment", by_least, false, true},
    {"limit.shmmni", "limit: segments", by_least, false, true},
    {"limit.shm_rmid_forced", "remove unattached segments", by_least, false, true},
    {"limit.queues_max", "limit: POSIX queues", by_least, false, true},
    {"limit.msg_max", "limit: messages in a POSIX queue", by_least, false, true},
    {"limit.msgsize_max", "limit: largest POSIX message", by_least, false, true},
    {"limit.msg_default", "msg_max if not asked for", by_least, false, true},
    {"limit.msgsize_default", "msgsize_max if not asked for", by_least, false, true},
};

constexpr Channel tail[] = {
    {"file", "file by path", by_nothing, false, false},
    {"fifo", "FIFO by path", by_nothing, false, false},
    {"socket", "UNIX socket by path", by_nothing, false, false},
    {"mapping", "memory shared through a mapped file", by_nothing, false, false},
    {"futex", "futex in a mapped file", by_nothing, false, false},
    {"inotify", "inotify on a shared folder", by_nothing, false, false},
    {"signal", "signal", by_strict, false, false},
    {"ptrace", "ptrace", by_strict, false, false},
    {"vm-read", "process_vm_readv", by_strict, false, false},
    {"proc-mem", "/proc/PID/mem", by_strict, false, false},
    {"proc-fd", "/proc/PID/fd", by_strict, false, false},
    {"pidfd-getfd", "pidfd_getfd", by_strict, false, false},
    {"abstract", "abstract UNIX socket", by_strict, false, false},
    {"loopback", "network loopback", by_strict, false, false},
    {"rights", "descriptor passed over a socket (meant to pass)", by_nothing, false, false},
};
constexpr ChannelPlan tail_plans[] = {
    {ChannelId::file, Decider::folders},      {ChannelId::fifo, Decider::folders},
    {ChannelId::socket, Decider::folders},    {ChannelId::mapping, Decider::folders},
    {ChannelId::futex, Decider::folders},     {ChannelId::inotify, Decider::folders, true},
    {ChannelId::signal, Decider::pid, true},  {ChannelId::ptrace, Decider::processes},
    {ChannelId::vm_read, Decider::processes}, {ChannelId::proc_mem, Decider::processes},
    {ChannelId::proc_fd, Decider::processes}, {ChannelId::pidfd_getfd, Decider::processes},
    {ChannelId::abstract, Decider::network},  {ChannelId::loopback, Decider::network},
    {ChannelId::rights, Decider::nothing},
};
static_assert(std::size(head) == std::size(head_plans) && std::size(tail) == std::size(tail_plans) &&
              std::size(limit_channels) == std::size(limit_channel_names));

constexpr std::size_t channel_count = std::size(head) + std::size(limit_channels) + std::size(tail);

constexpr std::array<Channel, channel_count> all_channels() {
    std::array<Channel, channel_count> all{};
    auto* next = std::copy(std::begin(head), std::end(head), all.begin());
    next = std::copy(std::begin(limit_channels), std::end(limit_channels), next);
    std::copy(std::begin(tail), std::end(tail), next);
    return all;
}

constexpr std::array<ChannelPlan, channel_count> all_plans() {
    std::array<ChannelPlan, channel_count> all{};
    auto* next = std::copy(std::begin(head_plans), std::end(head_plans), all.begin());
    for (std::uint32_t i = 0; i < std::size(limit_channels); ++i)
        *next++ = {ChannelId::limit, Decider::ipc, false, i};
    std::copy(std::begin(tail_plans), std::end(tail_plans), next);
    return all;
}

constexpr auto table = all_channels();
constexpr auto plans = all_plans();

bool belongs(const Channel& channel, std::string_view word) {
    if (word == "kinds") return channel.is_kind;
    if (word == "ipc") return channel.is_promised;
    if (word == "all") return plan_of(channel).id != ChannelId::rights;
    return word == channel.name;
}

[[noreturn]] void refuse(std::string_view word) {
    std::vector<std::string_view> known{"kinds", "ipc", "all"};
    for (const Channel& channel : table) known.emplace_back(channel.name);
    const std::string_view near = nearest(word, known);
    throw UsageError("there is no channel '" + escape(word) + "'",
                     near.empty()
                         ? "`ipcns verify --help` lists the channels; kinds, ipc and all are sets of them"
                         : "did you mean " + std::string(near) + "?");
}

} // namespace

std::span<const Channel> channels() noexcept { return table; }

const ChannelPlan& plan_of(const Channel& channel) noexcept {
    return plans[static_cast<std::size_t>(&channel - table.data())];
}

std::vector<const Channel*> parse_channels(std::string_view list) {
    std::vector<bool> chosen(channel_count);
    for (;;) {
        const std::string_view word = list.substr(0, list.find(','));
        bool found = false;
        for (std::size_t i = 0; i < channel_count; ++i) {
            if (!belongs(table[i], word)) continue;
            chosen[i] = found = true;
        }
        if (!found) refuse(word);
        if (word.size() == list.size()) break;
        list.remove_prefix(word.size() + 1);
    }
    std::vector<const Channel*> result;
    for (std::size_t i = 0; i < channel_count; ++i) {
        if (chosen[i]) result.push_back(&table[i]);
    }
    return result;
}

const char* word_of(Verdict verdict) noexcept {
    switch (verdict) {
    case Verdict::isolated: return "isolated";
    case Verdict::open: return "open";
    case Verdict::not_available: return "not available";
    case Verdict::error: break;
    }
    return "error";
}

} // namespace ipcns
