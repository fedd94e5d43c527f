// SPDX-License-Identifier: Apache-2.0
// From what was seen to a verdict.
//
// A refusal counts only after the control: the same attempt inside one side, made while the same offer stands. Without it
// a queue that could not be made, an agent that does nothing and a security module would all look like isolation.
#include "verdict.hpp"

#include <ipcns/text.hpp>

#include <cerrno>
#include <cstring>

namespace ipcns {
namespace {

using agent::Outcome;
using agent::Reply;

std::string words(const Reply& reply) { return escape({reply.why, ::strnlen(reply.why, sizeof reply.why)}); }

bool is_known(const agent::FileFact& fact) { return fact != agent::FileFact{}; }

bool same(const agent::FileFact& first, const agent::FileFact& second) {
    return is_known(first) && first == second;
}

// What a control says that was refused: that nobody may do this here, or that the trial is worth nothing.
bool is_forbidden(const ChannelPlan& plan, int number) {
    const bool about_rights = plan.decider == Decider::processes || plan.decider == Decider::pid;
    return number == ENOSYS || number == EOPNOTSUPP ||
           (about_rights && (number == EPERM || number == EACCES));
}

} // namespace

Direction judge(const ChannelPlan& plan, const Trying& trying, bool shared, const std::string& decided_by) {
    switch (trying.offer.outcome) {
    case Outcome::done: break;
    case Outcome::unavailable: return {Verdict::not_available, 0, words(trying.offer)};
    default: return {Verdict::error, 0, "offering failed: " + words(trying.offer)};
    }
    if (!trying.control || !trying.attempt) return {Verdict::error, 0, "it was not tried"};
    const Reply& control = *trying.control;
    const Reply& attempt = *trying.attempt;
    if (control.outcome == Outcome::unavailable) return {Verdict::not_available, 0, words(control)};
    if (control.outcome == Outcome::denied && is_forbidden(plan, control.error))
        return {Verdict::not_available, 0, "inside one side it is forbidden as well: " + words(control)};
    if (control.outcome != Outcome::done)
        return {Verdict::error, 0, "the control failed: inside one side " + words(control)};
    if (!trying.control_right)
        return {Verdict::error, 0, "the control failed: inside one side something else arrived"};
    switch (attempt.outcome) {
    case Outcome::done:
        if (!trying.attempt_right) return {Verdict::error, 0, "something else arrived than what was offered"};
        return {Verdict::open, attempt.routes, words(attempt)};
    case Outcome::unavailable: return {Verdict::not_available, 0, words(attempt)};
    case Outcome::denied: break;
    case Outcome::failed: return {Verdict::error, 0, words(attempt)};
    }
    if (shared)
        return {Verdict::error, 0,
                "it was refused, although both share the " + decided_by + ": " + words(attempt)};
    return {Verdict::isolated, 0, words(attempt)};
}

Verdict both(Verdict forth, Verdict back) noexcept {
    for (const Verdict verdict : {Verdict::open, Verdict::error, Verdict::not_available}) {
        if (forth == verdict || back == verdict) return verdict;
    }
    return Verdict::isolated;
}

bool is_shared(const ChannelPlan& plan, const agent::Facts& first, const agent::Facts& second,
               std::uint32_t folders) noexcept {
    switch (plan.decider) {
    case Decider::ipc: return same(first.ipc, second.ipc);
    case Decider::shm: return same(first.shm, second.shm);
    case Decider::queues: return same(first.queues, second.queues) && same(first.ipc, second.ipc);
    case Decider::folders:
        for (std::size_t i = 0; i < trial_folder_count; ++i) {
            if ((folders & (1U << i)) != 0 && same(first.folders[i], second.folders[i])) return true;
        }
        return false;
    case Decider::pid: return same(first.pid, second.pid);
    case Decider::processes: return same(first.pid, second.pid) && same(first.user, second.user);
    case Decider::network: return same(first.network, second.network);
    case Decider::nothing: break;
    }
    return true;
}

std::string decided_by(const ChannelPlan& plan, const agent::Facts& first, const agent::Facts& second,
                       std::uint32_t routes) {
    switch (plan.decider) {
    case Decider::ipc:
        // A queue has a second door.
        return routes == agent::by_mount ? "mount at /dev/mqueue" : "ipc namespace";
    case Decider::shm: return "mount at /dev/shm";
    case Decider::queues: return "mount at /dev/mqueue";
    case Decider::folders: {
        std::string text;
        for (std::size_t i = 0; i < trial_folder_count; ++i) {
            if (routes / agent::by_folder != 0 && (routes & (agent::by_folder << i)) == 0) continue;
            text += (text.empty() ? "mount at " : ", ") + std::string(trial_folders[i]);
        }
        return text;
    }
    case Decider::pid: return "pid namespace";
    case Decider::processes:
        return same(first.pid, second.pid) && !same(first.user, second.user) ? "user namespace"
                                                                             : "pid namespace";
    case Decider::network: return "network namespace";
    case Decider::nothing: break;
    }
    return "no namespace: whoever has the socket";
}

} // namespace ipcns
