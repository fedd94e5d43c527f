// SPDX-License-Identifier: Apache-2.0
// Trying every channel between two sides. Each side is a program (ipcns-agent) that was launched there as `run` or `exec`
// launch any program; here it is told what to do, step by step.
//
// Who removes what was offered when somebody is killed:
// - we are: the sockets close, and the one that offered removes it (as well as its partner, who was told beforehand);
// - the one that offered is: its partner is told to;
// - both are: a new agent is started on that side.
#include <ipcns/verify.hpp>

#include "agent.hpp"
#include "containers.hpp"
#include "errand.hpp"
#include "error.hpp"
#include "packets.hpp"
#include "random.hpp"
#include "programs.hpp"
#include "usermap.hpp"
#include "verdict.hpp"

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

namespace ipcns {

using agent::Locator;
using agent::Order;
using agent::Outcome;
using agent::Reply;
using agent::Request;

namespace {

constexpr int step_ms = 4000;  // longer than any step takes on a busy machine
constexpr int start_ms = 8000; // for the first answer of a program that has just been started
constexpr int end_ms = 3000;

Reply lost(const char* why) {
    Reply reply{};
    reply.outcome = Outcome::failed;
    std::strncpy(reply.why, why, sizeof reply.why - 1);
    return reply;
}

Fd open_pidfd(pid_t pid) { return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))); }

// The other end of one agent's socket.
class Agent {
public:
    Agent() = default;
    explicit Agent(Fd socket) : socket_(std::move(socket)) {
        const int yes = 1;
        if (::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0)
            fail("ask for the credentials of an agent");
    }

    /// One request, and the reply to it. An agent that does not answer, or answers something else, is given up.
    /// @param cancel descriptor, or -1
    /// @param along descriptor to go with the request, or -1; @p back takes one that comes with the reply
    Reply call(const Request& request, int cancel, int along = -1, Fd* back = nullptr,
               int patience = step_ms) {
        if (!socket_) return lost("an agent is gone");
        if (!send_message(socket_.get(), &request, sizeof request, std::span(&along, along >= 0 ? 1 : 0)))
            return give_up("an agent has ended");
        using Clock = std::chrono::steady_clock;
        const auto end = Clock::now() + std::chrono::milliseconds(patience);
        for (;;) {
            std::array<struct pollfd, 2> polled{{{socket_.get(), POLLIN, 0}, {cancel, POLLIN, 0}}};
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
            const int count = ::poll(polled.data(), polled.size(), static_cast<int>(std::max<long>(left, 0)));
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) return give_up("an agent does not answer");
            if (polled[0].revents != 0) break;
            fail(ECANCELED, "verify");
        }
        Reply reply{};
        struct ucred sender {
            pid_, user_, 0
        };
        if (!receive_message(socket_.get(), &reply, sizeof reply, std::span(back, back != nullptr ? 1 : 0),
                             &sender))
            return give_up("an agent has ended");
        pid_ = sender.pid;
        user_ = sender.uid;
        if (reply.order != request.order) return give_up("an agent answers what it was not asked");
        return reply;
    }

    [[nodiscard]] bool is_there() const noexcept { return static_cast<bool>(socket_); }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    [[nodiscard]] uid_t user() const noexcept { return user_; }
    void close() { socket_.reset(); }

private:
    Reply give_up(const char* why) {
        socket_.reset();
        return lost(why);
    }
    Fd socket_;
    pid_t pid_ = 0;
    uid_t user_ = 0;
};

} // namespace

// The processes of one side.
class Party {
public:
    Party(const Side& side, bool limits, int cancel) : side_(side) {
        start(limits);
        try {
            greet(cancel);
        } catch (...) {
            end();
            throw;
        }
    }
    Party(const Party&) = delete;
    Party& operator=(const Party&) = delete;
    ~Party() { end(); }

    Agent& offers() noexcept { return agents_[0]; }
    Agent& tries() noexcept { return agents_[1]; }
    [[nodiscard]] const Side& side() const noexcept { return side_; }
    [[nodiscard]] const agent::Facts& facts() const noexcept { return facts_; }

private:
    void start(bool limits) {
        std::array<Fd, 2> theirs;
        for (std::size_t i = 0; i < theirs.size(); ++i) { // NOLINT(modernize-loop-convert): two arrays
            std::array<int, 2> pair{};
            if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair.data()) != 0)
                fail("make a socket pair");
            agents_[i] = Agent(Fd(pair[0]));
            theirs[i].reset(pair[1]);
        }
        LaunchOptions options = side_.options_;
        // By its descriptor: a new mount may hide its path.
        const Fd program(::open(helper_program("ipcns-agent").c_str(), O_PATH | O_CLOEXEC));
        if (!program) fail("open the program ipcns-agent");
        options.arguments = {"/proc/self/fd/" + std::to_string(program.get()),
                             std::to_string(theirs[0].get()), std::to_string(theirs[1].get())};
        options.directory = "/";
        options.die_with_parent = false;
        std::optional<Place> here;
        if (side_.place_) {
            options.place = &*side_.place_;
        } else if (side_.process_) {
            // It enters by itself.
            options.arguments.push_back(std::to_string(side_.process_.get()));
            options.arguments.push_back(std::to_string(side_.pid_));
            here = Place{Namespace::current(), {}, {}, {}, {}};
            options.place = &*here;
        } else if (limits && options.limits.empty() && !has_sys_admin()) {
            // Nobody may set limits where the namespace's user namespace has no root, and limits bring one.
            const LimitKey* key = find_limit_key("msgmni");
            options.limits = {{key, std::to_string(key->usual.value_or(0))}};
            try {
                return launch_with(options, theirs);
            } catch (const Error& error) {
                // Kernels before 6.9 let nobody else set them.
                if (!std::string_view(error.what()).starts_with("set the limit")) throw;
            }
            options.limits.clear();
        }
        launch_with(options, theirs);
    }

    // By way of a process that ends at once, as keepers are started: the agent's ends of the sockets leak into no other
    // program, and it is nobody's child that would have to be reaped.
    void launch_with(const LaunchOptions& options, const std::array<Fd, 2>& theirs) {
        errand("start an agent", 0, [&] {
            if (::unshare(CLONE_FILES) != 0) fail("hand a socket to an agent");
            for (const Fd& socket : theirs) {
                if (::fcntl(socket.get(), F_SETFD, 0) != 0) fail("hand a socket to an agent");
            }
            if (side_.process_ && ::fcntl(side_.process_.get(), F_SETFD, 0) != 0)
                fail("hand a process to an agent");
            first_ = launch(options).pid();
        });
    }

    void greet(int cancel) {
        Request request{};
        request.order = Order::hello;
        for (Agent& agent : agents_) {
            const Reply reply = agent.call(request, cancel, -1, nullptr, start_ms);
            if (reply.outcome != Outcome::done) {
                const std::string why(reply.why, ::strnlen(reply.why, sizeof reply.why));
                if (reply.error == 0)
                    fail(ECANCELED, "start an agent for " + side_.text() + ": " + escape(why));
                // The text ends with the reason, which an Error adds by itself.
                fail(reply.error, escape(why.substr(0, why.rfind(": "))),
                     "only root may enter all of somebody else's namespaces");
            }
            facts_ = reply.facts;
        }
        // They are all there: the first one waits for the others.
        processes_ = {open_pidfd(agents_[0].pid()), open_pidfd(agents_[1].pid()), open_pidfd(first_)};
    }

    // Waits for the processes, and insists. They are our children only where the program around us takes up orphans.
    void end() noexcept {
        for (Agent& agent : agents_) agent.close();
        for (const int round : {0, 1}) {
            for (const Fd& process : processes_) {
                if (!process) continue;
                struct pollfd polled {
                    process.get(), POLLIN, 0
                };
                int result = 0;
                do {
                    result = ::poll(&polled, 1, end_ms);
                } while (result < 0 && errno == EINTR);
                if (result == 0 && round == 0)
                    ::syscall(SYS_pidfd_send_signal, process.get(), SIGKILL, nullptr, 0);
            }
        }
        for (const Fd& process : processes_) {
            siginfo_t info{};
            if (process) (void)::waitid(P_PIDFD, static_cast<id_t>(process.get()), &info, WEXITED | WNOHANG);
        }
    }

    const Side& side_;
    std::array<Agent, 2> agents_;
    pid_t first_ = 0;
    std::array<Fd, 3> processes_;
    agent::Facts facts_{};
};

namespace {

// Two sides and what is tried between them.
class Match {
public:
    Match(Party& first, Party& second, const VerifyOptions& options)
        : first_(first), second_(second), options_(options) {
        const uid_t user = first.offers().user();
        one_user_ = second.offers().user() == user;
    }

    ChannelResult result(const Channel& channel) {
        const ChannelPlan& plan = plan_of(channel);
        const Direction forth = direction(plan, first_, second_);
        const Direction back = direction(plan, second_, first_);
        ChannelResult result;
        result.channel = &channel;
        result.forth = forth.verdict;
        result.back = back.verdict;
        result.verdict = both(forth.verdict, back.verdict);
        result.decided_by = decided_by(plan, first_.facts(), second_.facts(), forth.routes | back.routes);
        const bool by_forth = forth.verdict == result.verdict;
        const bool by_back = back.verdict == result.verdict;
        result.why = by_forth ? forth.why : back.why;
        if (by_forth && by_back && forth.why != back.why) result.why += " (the other way: " + back.why + ")";
        if (by_forth != by_back) {
            result.why += by_forth ? " (only from the first to the second side)"
                                   : " (only from the second to the first side)";
        }
        return result;
    }

    /// @throws Error when something could not be removed
    void check_cleaned() const {
        if (failed_to_clean_)
            fail(ECANCELED, "remove what was offered for a trial",
                 "its processes were killed; look for ipcns-verify in "
                 "/tmp, /var/tmp, /dev/shm and /dev/mqueue");
    }

private:
    Direction direction(const ChannelPlan& plan, Party& giver, Party& taker) {
        Request request{};
        Locator& where = request.where;
        where.channel = plan.id;
        where.limit = plan.limit;
        where.mode = one_user_ ? 0600 : 0666;
        fill_random(&where.key, sizeof where.key);
        where.key =
            static_cast<std::int32_t>((static_cast<std::uint32_t>(where.key) & 0x7fffffff) | 0x40000000);
        unsigned char name[16];
        fill_random(name, sizeof name);
        static constexpr char letters[] = "0123456789abcdef";
        for (std::size_t i = 0; i < sizeof name; ++i) {
            where.name[2 * i] = letters[name[i] >> 4];
            where.name[2 * i + 1] = letters[name[i] & 15];
        }
        fill_random(request.token, sizeof request.token);
        if (plan.id == ChannelId::limit) {
            if (auto refusal = prepare_limit(request, giver, taker)) return *refusal;
        }

        Trying trying;
        Fd along;
        const Cleaning cleaning(*this, giver, taker, where);
        Request remember = request;
        remember.order = Order::remember;
        std::memset(remember.token, 0, sizeof remember.token);
        const Reply promise = giver.tries().call(remember, options_.cancel);
        if (promise.outcome != Outcome::done) {
            trying.offer = promise;
            return judge(plan, trying, false, {});
        }
        request.order = Order::offer;
        trying.offer = giver.offers().call(request, options_.cancel, -1, &along);
        if (trying.offer.outcome == Outcome::done) {
            // What only the one that offers knows. Names and keys stay ours: by these it is removed.
            const Locator& found = trying.offer.where;
            std::copy(std::begin(found.ids), std::end(found.ids), std::begin(where.ids));
            where.inside = found.inside;
            where.outside = giver.offers().pid();
            where.fd = found.fd;
            where.address = found.address;
            where.folders = found.folders;
            where.port = found.port;
            trying.attempt = attempt(plan, request, trying, giver, taker, along.get(), trying.attempt_right);
            trying.control = attempt(plan, request, trying, giver, giver, along.get(), trying.control_right);
        }
        const bool shared = is_shared(plan, giver.facts(), taker.facts(), where.folders);
        return judge(plan, trying, shared, decided_by(plan, giver.facts(), taker.facts(), 0));
    }

    // Lets the second agent of a side try.
    Reply attempt(const ChannelPlan& plan, const Request& offer, const Trying& trying, Party& giver,
                  Party& taker, int along, bool& right) const {
        Request request = offer;
        request.order = Order::attempt;
        std::array<unsigned char, agent::token_bytes> expected{};
        if (plan.arrives)
            fill_random(request.token, sizeof request.token);
        else
            std::memset(request.token, 0, sizeof request.token);
        Reply reply = taker.tries().call(request, options_.cancel, along);
        if (reply.outcome != Outcome::done) return reply;
        switch (plan.id) {
        // What the one that offers says of it, since it does not hold a whole token.
        case ChannelId::psem:
        case ChannelId::sysvipc:
        case ChannelId::mqueue: std::memcpy(expected.data(), trying.offer.answer, expected.size()); break;
        case ChannelId::limit:
            std::memcpy(expected.data(), &offer.where.value, sizeof offer.where.value);
            break;
        default: std::memcpy(expected.data(), plan.arrives ? request.token : offer.token, expected.size());
        }
        if (plan.id == ChannelId::signal) std::fill(expected.begin() + sizeof(void*), expected.end(), '\0');
        if (plan.arrives) {
            Request question = request;
            question.order = Order::ask;
            std::memset(question.token, 0, sizeof question.token);
            const std::uint32_t routes = reply.routes;
            Reply answer = giver.offers().call(question, options_.cancel);
            if (answer.outcome != Outcome::done) return answer;
            std::memcpy(reply.answer, answer.answer, sizeof reply.answer);
            reply.routes = routes;
        }
        right = std::memcmp(reply.answer, expected.data(), expected.size()) == 0;
        // A limit can always be read: what counts is whose it is.
        if (plan.id == ChannelId::limit && !right && &giver != &taker) {
            std::uint64_t value = 0;
            std::memcpy(&value, reply.answer, sizeof value);
            const std::string why = "it stays " + std::to_string(value) + " there, while it is " +
                                    std::to_string(offer.where.value) + " here";
            reply.outcome = Outcome::denied;
            std::memcpy(reply.why, why.c_str(), std::min(why.size() + 1, sizeof reply.why - 1));
        } else if (plan.id == ChannelId::limit) {
            std::strncpy(reply.why, "set on one side, read on the other", sizeof reply.why - 1);
        }
        return reply;
    }

    // Finds a value that neither side has. Returns a verdict where limits must not be touched.
    std::optional<Direction> prepare_limit(Request& request, Party& giver, Party& taker) const {
        if (!giver.side().is_fresh() && !options_.limits)
            return Direction{Verdict::not_available, 0,
                             "limits of a namespace that exists already are set only with --limits"};
        if (!giver.side().is_fresh() &&
            limit_channel_names[request.where.limit] == std::string_view("shm_rmid_forced"))
            return Direction{Verdict::not_available, 0,
                             "setting it removes segments, so that is done only in a new namespace"};
        request.order = Order::attempt;
        std::array<std::uint64_t, 2> now{};
        const std::array<Party*, 2> parties{&giver, &taker};
        for (std::size_t i = 0; i < now.size(); ++i) {
            const Reply reply = parties[i]->tries().call(request, options_.cancel);
            if (reply.outcome != Outcome::done) {
                Trying trying;
                trying.offer = reply;
                return judge(plan_of(channels()[0]), trying, false, {});
            }
            std::memcpy(&now[i], reply.answer, sizeof now[i]);
        }
        request.where.before = now[0];
        const LimitKey* key = find_limit_key(limit_channel_names[request.where.limit]);
        for (const std::uint64_t step : {1UL, 2UL, 3UL}) {
            const std::uint64_t value = now[0] >= key->least + step ? now[0] - step : now[0] + step;
            if (value == now[1] || value > key->most) continue;
            request.where.value = value;
            return std::nullopt;
        }
        return Direction{Verdict::not_available, 0, "the other side has the only other value there is"};
    }

    // Removes what was offered, whatever has happened meanwhile.
    class Cleaning {
    public:
        Cleaning(Match& match, Party& giver, Party& taker, const Locator& where)
            : match_(match), giver_(giver), taker_(taker), where_(where) {}
        Cleaning(const Cleaning&) = delete;
        Cleaning& operator=(const Cleaning&) = delete;
        ~Cleaning() {
            Request request{};
            request.order = Order::clean;
            request.where = where_;
            const bool first = giver_.offers().call(request, -1).outcome == Outcome::done;
            const bool second = giver_.tries().call(request, -1).outcome == Outcome::done;
            if (first || second) return;
            // What is shared, the others can remove as well; for the rest somebody new has to go there.
            taker_.tries().call(request, -1);
            try {
                Party again(giver_.side(), false, -1);
                again.offers().call(request, -1);
            } catch (const std::exception&) {
                match_.failed_to_clean_ = true;
            }
        }

    private:
        Match& match_;
        Party& giver_;
        Party& taker_;
        const Locator& where_;
    };

    Party& first_;
    Party& second_;
    const VerifyOptions& options_;
    bool one_user_ = true;
    bool failed_to_clean_ = false;
};

} // namespace

Side Side::fresh(LaunchOptions options) {
    Side side;
    side.text_ = "new namespace";
    side.options_ = std::move(options);
    side.options_.place = nullptr;
    return side;
}

Side Side::of(const Target& target) {
    Side side;
    side.text_ = escape(target.text());
    if (target.kind == Target::Kind::oci) {
        ContainerProcess container = find_container(target.container);
        side.process_ = std::move(container.process);
        side.pid_ = container.pid;
        return side;
    }
    if (target.kind != Target::Kind::pid) {
        side.place_ = resolve(target);
        return side;
    }
    side.process_ = open_pidfd(target.pid);
    if (!side.process_) fail("find process " + target.text());
    side.pid_ = target.pid;
    return side;
}

VerifyReport verify(const Side& first, const Side& second, const VerifyOptions& options) {
    std::vector<const Channel*> wanted = options.channels;
    if (wanted.empty()) {
        for (const Channel& channel : channels()) wanted.push_back(&channel);
    }
    const bool limits = std::any_of(wanted.begin(), wanted.end(), [](const Channel* channel) {
        return plan_of(*channel).id == ChannelId::limit;
    });
    Party here(first, limits, options.cancel);
    Party there(second, limits, options.cancel);
    Match match(here, there, options);
    VerifyReport report;
    report.first = first.text();
    report.second = second.text();
    report.same_ipc = here.facts().ipc == there.facts().ipc;
    for (const Channel* channel : wanted) {
        report.channels.push_back(match.result(*channel));
        if (options.progress) options.progress(report.channels.back());
    }
    match.check_cleaned();
    return report;
}

} // namespace ipcns
