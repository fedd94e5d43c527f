// SPDX-License-Identifier: Apache-2.0
// What may be believed (verdict.hpp), the words for channels, and verify() between sides that are compared with what the
// kernel says of them.
#include "support.hpp"

#include "verdict.hpp"

#include <ipcns/verify.hpp>

#include <gtest/gtest.h>

#include <sys/eventfd.h>
#include <sys/ipc.h>
#include <sys/msg.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace ipcns {
namespace {

using agent::Outcome;
using agent::Reply;

Reply reply(Outcome outcome, int error = 0) {
    Reply made{};
    made.outcome = outcome;
    made.error = error;
    std::strcpy(made.why, "because");
    return made;
}

constexpr ChannelPlan queue{ChannelId::msg, Decider::ipc};
constexpr ChannelPlan tracing{ChannelId::ptrace, Decider::processes};

// The attempt is refused and the control is not: the only way to be isolated.
Trying refused() {
    Trying trying;
    trying.offer = reply(Outcome::done);
    trying.attempt = reply(Outcome::denied, ENOENT);
    trying.control = reply(Outcome::done);
    trying.control_right = true;
    return trying;
}

Verdict judged(const Trying& trying, const ChannelPlan& plan = queue, bool shared = false) {
    return judge(plan, trying, shared, "ipc namespace").verdict;
}

const Channel& channel(const char* name) { return *parse_channels(name).front(); }

const ChannelResult& result_of(const VerifyReport& report, const char* name) {
    return *std::find_if(report.channels.begin(), report.channels.end(),
                         [&](const ChannelResult& one) { return one.channel == &channel(name); });
}

} // namespace

TEST(Verdict, IsolatedOnlyWhenTheControlGotTheToken) {
    EXPECT_EQ(judged(refused()), Verdict::isolated);
    Trying trying = refused();
    trying.control_right = false;
    EXPECT_EQ(judged(trying), Verdict::error);
    for (const int number : {ENOENT, EPERM, EACCES, EINVAL, 0}) {
        trying.control = reply(Outcome::denied, number);
        EXPECT_EQ(judged(trying), Verdict::error) << number;
    }
    trying.control = reply(Outcome::failed);
    EXPECT_EQ(judged(trying), Verdict::error);
    trying.control.reset();
    EXPECT_EQ(judged(trying), Verdict::error);
    trying.control = reply(Outcome::unavailable);
    EXPECT_EQ(judged(trying), Verdict::not_available);
    trying.control = reply(Outcome::denied, ENOSYS);
    EXPECT_EQ(judged(trying), Verdict::not_available);
}

TEST(Verdict, WhatWasNotOfferedIsNotIsolated) {
    Trying trying = refused();
    trying.offer = reply(Outcome::unavailable, EROFS);
    EXPECT_EQ(judged(trying), Verdict::not_available);
    for (const Outcome outcome : {Outcome::failed, Outcome::denied}) {
        trying.offer = reply(outcome);
        EXPECT_EQ(judged(trying), Verdict::error);
    }
}

TEST(Verdict, OpenOnlyWithTheRightToken) {
    Trying trying = refused();
    trying.attempt = reply(Outcome::done);
    EXPECT_EQ(judged(trying), Verdict::error);
    trying.attempt_right = true;
    EXPECT_EQ(judged(trying), Verdict::open);
    trying.attempt = reply(Outcome::unavailable);
    EXPECT_EQ(judged(trying), Verdict::not_available);
    trying.attempt = reply(Outcome::failed);
    EXPECT_EQ(judged(trying), Verdict::error);
    trying.attempt.reset();
    EXPECT_EQ(judged(trying), Verdict::error);
}

TEST(Verdict, ARefusalBetweenTwoThatShareWhatDecidesIsAnError) {
    EXPECT_EQ(judged(refused(), queue, true), Verdict::error);
    EXPECT_EQ(judged(refused(), tracing, true), Verdict::error);
}

TEST(Verdict, WhatNobodyMayDoHereIsNoIsolation) {
    // As Yama does it with ptrace_scope 3: inside one side, too.
    Trying trying = refused();
    trying.attempt = reply(Outcome::denied, EPERM);
    trying.control = reply(Outcome::denied, EPERM);
    trying.control_right = false;
    EXPECT_EQ(judged(trying, tracing), Verdict::not_available);
    EXPECT_EQ(judged(trying, queue), Verdict::error);
}

TEST(Verdict, BothDirectionsTogether) {
    constexpr Verdict all[] = {Verdict::isolated, Verdict::open, Verdict::not_available, Verdict::error};
    for (const Verdict forth : all) {
        for (const Verdict back : all) {
            const Verdict together = both(forth, back);
            EXPECT_EQ(together, both(back, forth));
            EXPECT_EQ(together == Verdict::isolated, forth == Verdict::isolated && back == Verdict::isolated);
            EXPECT_EQ(together == Verdict::open, forth == Verdict::open || back == Verdict::open);
        }
    }
    EXPECT_EQ(both(Verdict::isolated, Verdict::not_available), Verdict::not_available);
    EXPECT_EQ(both(Verdict::error, Verdict::not_available), Verdict::error);
}

TEST(Verdict, NothingIsSharedThatIsNotKnown) {
    agent::Facts one{};
    agent::Facts two{};
    for (const Decider decider : {Decider::ipc, Decider::shm, Decider::queues, Decider::pid,
                                  Decider::processes, Decider::network, Decider::folders})
        EXPECT_FALSE(is_shared({ChannelId::msg, decider}, one, two, ~0U));
    one.ipc = two.ipc = {4, 17};
    EXPECT_TRUE(is_shared(queue, one, two, 0));
    two.ipc = {4, 18};
    EXPECT_FALSE(is_shared(queue, one, two, 0));
    one.pid = two.pid = {4, 19};
    EXPECT_FALSE(is_shared(tracing, one, two, 0));
    one.user = two.user = {4, 20};
    EXPECT_TRUE(is_shared(tracing, one, two, 0));
    one.folders[1] = two.folders[1] = {1, 2};
    const ChannelPlan file{ChannelId::file, Decider::folders};
    EXPECT_TRUE(is_shared(file, one, two, 2));
    EXPECT_FALSE(is_shared(file, one, two, 1));
}

TEST(Channels, SetsAndWords) {
    std::set<std::string> names;
    for (const Channel& one : channels()) names.insert(one.name);
    EXPECT_EQ(names.size(), channels().size());
    EXPECT_EQ(parse_channels("kinds").size(), 6U);
    EXPECT_EQ(parse_channels("all").size(), channels().size() - 1);
    EXPECT_EQ(parse_channels("all,rights").size(), channels().size());
    for (const Channel* one : parse_channels("ipc")) EXPECT_STREQ(one->closed_by, "run --ipc-only");
    // In the table's order, each once.
    const auto chosen = parse_channels("shm,msg,shm");
    ASSERT_EQ(chosen.size(), 2U);
    EXPECT_STREQ(chosen[0]->name, "msg");
    for (const char* wrong : {"", "msg,", "no", "MSG", "limit"})
        EXPECT_THROW((void)parse_channels(wrong), UsageError);
    try {
        (void)parse_channels("ptrac");
        FAIL();
    } catch (const UsageError& error) {
        EXPECT_EQ(error.hint(), "did you mean ptrace?");
    }
}

TEST(Channels, EachLimitHasOne) {
    // The parts of sem for it; no wishes for ids, and not what has no effect.
    std::set<std::string> wanted{"limit.semmsl", "limit.semmns", "limit.semopm", "limit.semmni"};
    for (const LimitKey& key : limit_keys()) {
        const std::string name = key.name;
        if (name != "sem" && name != "auto_msgmni" && !name.ends_with("_next_id"))
            wanted.insert("limit." + name);
    }
    std::set<std::string> there;
    for (const Channel& one : channels()) {
        if (std::string_view(one.name).starts_with("limit.")) there.insert(one.name);
    }
    EXPECT_EQ(there, wanted);
}

TEST(Verify, NewNamespacesAreIsolatedAndTheCallerStays) {
    NeedNamespaces();
    const std::string before = test::own_ipc_link();
    const auto open = test::open_fds();
    VerifyOptions options;
    options.channels = parse_channels("ipc,kinds,signal");
    std::size_t told = 0;
    options.progress = [&](const ChannelResult&) { ++told; };
    const VerifyReport report = verify(Side::fresh(), Side::fresh(), options);
    EXPECT_EQ(told, options.channels.size());
    ASSERT_EQ(report.channels.size(), options.channels.size());
    for (const ChannelResult& result : report.channels) {
        const bool signal = std::string_view(result.channel->name) == "signal";
        EXPECT_EQ(result.verdict, signal ? Verdict::open : Verdict::isolated)
            << result.channel->name << result.why;
        EXPECT_FALSE(result.why.empty());
    }
    EXPECT_FALSE(report.same_ipc);
    EXPECT_EQ(test::own_ipc_link(), before);
    EXPECT_EQ(test::open_fds(), open);
}

TEST(Verify, TheCallerAndItselfAreOpen) {
    NeedNamespaces();
    test::in_new_namespaces([] {
        VerifyOptions options;
        options.channels = parse_channels("msg,sem,shm,sysvipc");
        const Side here = Side::of(Target{});
        const VerifyReport report = verify(here, here, options);
        EXPECT_TRUE(report.same_ipc);
        for (const ChannelResult& result : report.channels) {
            EXPECT_EQ(result.verdict, Verdict::open) << result.channel->name << ": " << result.why;
            EXPECT_EQ(result.decided_by, "ipc namespace");
        }
        struct msginfo info {};
        EXPECT_EQ(::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&info)), 0);
        EXPECT_EQ(info.msgpool, 0);
    });
}

TEST(Verify, LimitsOfWhatExistsAreLeftAloneUnlessAsked) {
    NeedNamespaces();
    test::in_new_namespaces(
        [] {
            VerifyOptions options;
            options.channels = parse_channels("limit.msgmax,limit.semopm,limit.shm_rmid_forced");
            const Side here = Side::of(Target{});
            for (const ChannelResult& result : verify(here, here, options).channels)
                EXPECT_EQ(result.verdict, Verdict::not_available);
            const std::string before = test::read_file("/proc/sys/kernel/sem");
            options.limits = true;
            const VerifyReport report = verify(here, here, options);
            EXPECT_EQ(result_of(report, "limit.shm_rmid_forced").verdict, Verdict::not_available);
            EXPECT_NE(result_of(report, "limit.semopm").verdict, Verdict::isolated);
            if (test::is_root()) {
                EXPECT_EQ(result_of(report, "limit.semopm").verdict, Verdict::open);
            }
            EXPECT_EQ(test::read_file("/proc/sys/kernel/sem"), before);
        },
        true);
}

TEST(Verify, GivesUpWhenAskedTo) {
    NeedNamespaces();
    const Fd stop(::eventfd(1, EFD_CLOEXEC));
    VerifyOptions options;
    options.cancel = stop.get();
    const auto open = test::open_fds();
    try {
        (void)verify(Side::fresh(), Side::fresh(), options);
        FAIL() << "it went on";
    } catch (const Error& error) {
        EXPECT_EQ(error.code().value(), ECANCELED);
    }
    EXPECT_EQ(test::open_fds(), open);
}

TEST(Verify, AProcessThatIsNotThere) {
    Target target;
    target.kind = Target::Kind::pid;
    target.pid = 1 << 30;
    EXPECT_THROW((void)Side::of(target), Error);
}

} // namespace ipcns
