// SPDX-License-Identifier: Apache-2.0
// From what was seen to a verdict. Nothing here does anything: what may be believed is decided in one place.
#pragma once

#include "agent.hpp"

#include <optional>
#include <string>

namespace ipcns {

/// What came of one direction: one side offers, the other one tries, and then somebody of the first side tries the same.
struct Trying {
    agent::Reply offer{};
    std::optional<agent::Reply> attempt; ///< nothing: there was no offer
    std::optional<agent::Reply> control;
    bool attempt_right = false; ///< the answer was the token
    bool control_right = false;
};

/// One direction's verdict.
struct Direction {
    Verdict verdict = Verdict::error;
    std::uint32_t routes = 0; ///< by which ways it got through
    std::string why;
};

/// @param shared the two share what decides, so that a refusal proves nothing
[[nodiscard]] Direction judge(const ChannelPlan& plan, const Trying& trying, bool shared,
                              const std::string& decided_by);

/// Both directions together: open if one is, isolated only if both are.
[[nodiscard]] Verdict both(Verdict forth, Verdict back) noexcept;

/// True when the two sides share what decides this channel. False when they don't, or when that is not known.
/// @param folders of the files: where they were offered
[[nodiscard]] bool is_shared(const ChannelPlan& plan, const agent::Facts& first, const agent::Facts& second,
                             std::uint32_t folders) noexcept;

/// What decides, in words.
/// @param routes by which ways it got through, if it did
[[nodiscard]] std::string decided_by(const ChannelPlan& plan, const agent::Facts& first,
                                     const agent::Facts& second, std::uint32_t routes);

} // namespace ipcns
