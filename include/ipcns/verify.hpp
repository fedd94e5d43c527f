// SPDX-License-Identifier: Apache-2.0
// Does anything get through between two namespaces? Tried, not looked up.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/fd.hpp>
#include <ipcns/launch.hpp>
#include <ipcns/registry.hpp>
#include <ipcns/target.hpp>

#include <sys/types.h>

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns {

/// A way in which two processes of one host can talk.
struct IPCNS_API Channel {
    const char* name;    ///< "msg", "abstract", "limit.shmmax"
    const char* meaning; ///< a few words for people
    /// The least of `ipcns run` that closes it: "run --ipc-only", "run" or "run --strict"; null when nothing does.
    const char* closed_by;
    bool is_kind;     ///< one of the six kinds of IPC objects
    bool is_promised; ///< the IPC namespace alone closes it
};

/// Every channel that is tried, in a fixed order: the six kinds first.
[[nodiscard]] IPCNS_API std::span<const Channel> channels() noexcept;

/// The channels of a list with commas: names, and the words `kinds` (the six kinds), `ipc` (what the IPC namespace alone
/// promises) and `all` (all but `rights`, which is meant to be open). In the order of channels(), each once.
/// @throws UsageError for a word that is none, with the hint which was meant
[[nodiscard]] IPCNS_API std::vector<const Channel*> parse_channels(std::string_view list);

/// One of the two between which is tried.
class IPCNS_API Side {
public:
    /// A namespace made for the occasion, as launch() makes one for a program. Of @p options `arguments`, `environment`,
    /// `directory`, `place` and `die_with_parent` are not looked at. It goes when verify() returns.
    ///
    /// Where the caller has no privileges and sets no limits, it is made with root in its outer user namespace, as
    /// launch() does for limits: only so can these be tried.
    [[nodiscard]] static Side fresh(LaunchOptions options = {});

    /// What @p target means. A process (`1234`) stands for all its namespaces, as far as they differ from the caller's:
    /// ipc, mnt, pid, net, user, uts, cgroup. Everything else is entered as launch() enters a Place: its IPC namespace,
    /// /dev/shm and /dev/mqueue.
    /// @throws Error as resolve()
    [[nodiscard]] static Side of(const Target& target);

    /// "new namespace", or the target's text.
    [[nodiscard]] const std::string& text() const noexcept { return text_; }

    /// True for one that fresh() made.
    [[nodiscard]] bool is_fresh() const noexcept { return !place_ && !process_; }

private:
    friend class Party;
    Side() = default;

    std::string text_;
    LaunchOptions options_;
    std::optional<Place> place_;
    Fd process_; // a pidfd
    pid_t pid_ = 0;
};

/// What became of a channel.
enum class Verdict {
    isolated,      ///< tried in both directions, and nothing got through; the same inside one side did
    open,          ///< it got through in at least one direction
    not_available, ///< it could not be tried here, for want of rights, of a mount or of something in the kernel
    error,         ///< the trial itself went wrong, so nothing is known
};

/// "isolated", "open", "not available", "error".
[[nodiscard]] IPCNS_API const char* word_of(Verdict verdict) noexcept;

/// One channel's result.
struct IPCNS_API ChannelResult {
    const Channel* channel = nullptr; ///< which
    Verdict verdict = Verdict::error; ///< both directions together
    Verdict forth = Verdict::error;   ///< offered by the first side, tried from the second
    Verdict back = Verdict::error;    ///< the other way round
    /// Which namespace or mount decides: "ipc namespace", "mount at /dev/shm", "pid namespace".
    std::string decided_by;
    /// How it got through ("by key, by id"), what it was refused with, why it could not be tried or what went wrong.
    /// For people; safe to print.
    std::string why;
};

/// What verify() found.
struct IPCNS_API VerifyReport {
    std::string first;  ///< Side::text() of the first one
    std::string second; ///< of the second one
    /// The two are in the same IPC namespace, which then promises nothing between them.
    bool same_ipc = false;
    std::vector<ChannelResult> channels; ///< one for each channel that was tried, in the order of channels()
};

/// How to try.
struct IPCNS_API VerifyOptions {
    std::vector<const Channel*> channels; ///< which; empty: all
    /// Also set, and put back, limits of namespaces that exist already. Those of a fresh() side are set in any case.
    bool limits = false;
    /// A descriptor, or -1: verify() gives up when it becomes readable (a signalfd(2), for example).
    int cancel = -1;
    /// Called after each channel, if there is one to call.
    std::function<void(const ChannelResult&)> progress = {};
};

/// Tries every channel in both directions, with random tokens, keys and names.
///
/// On each side two small processes (the program ipcns-agent) are started. One offers a token; one of the other side tries
/// to get it by every route there is (key, id, name, listing), and after it, as a control, the second one of the same
/// side. A channel is isolated only when both directions were refused, both controls got the token, and the namespace or
/// mount that decides differs. Every step has a time limit.
///
/// All that was made is removed when this returns or throws, and also when the caller or any one of the processes is
/// killed: the others remove it. Keys and names are random and are never taken from somebody who has them already; ids
/// and process ids are only used when what is behind them bears the random key or name.
///
/// Needs what launch() needs. Takes some 50 ms. May be called from any thread.
/// @throws Error ECANCELED when `cancel` became readable; ENOENT when there is no ipcns-agent; as launch()
[[nodiscard]] IPCNS_API VerifyReport verify(const Side& first, const Side& second,
                                            const VerifyOptions& options = {});

} // namespace ipcns
