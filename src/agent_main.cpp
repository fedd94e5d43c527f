// SPDX-License-Identifier: Apache-2.0
// ipcns-agent: the processes of one side of a verification.
//
//   ipcns-agent SOCKET SOCKET           here, wherever verify() has started it
//   ipcns-agent SOCKET SOCKET PIDFD     in all the namespaces of that process
//
// It becomes two, one for each socket, that do what verify() asks for; the first process waits for them. Everything that
// is offered is removed when the socket is closed, so nothing stays when verify() is killed. Signals from a terminal are
// not for them. A request that takes too long ends the process by SIGALRM.
#include "packets.hpp"
#include "trial.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace ipcns::agent {
namespace {

constexpr unsigned request_seconds = 10;

std::unique_ptr<Trial> make_trial(ChannelId channel) {
    switch (channel) {
    case ChannelId::msg:
    case ChannelId::sem:
    case ChannelId::shm:
    case ChannelId::sysvipc: return make_sysv_trial(channel);
    case ChannelId::mq:
    case ChannelId::psem:
    case ChannelId::pshm:
    case ChannelId::mqueue:
    case ChannelId::mq_notify: return make_posix_trial(channel);
    case ChannelId::limit: return make_limit_trial();
    case ChannelId::file:
    case ChannelId::fifo:
    case ChannelId::socket:
    case ChannelId::mapping:
    case ChannelId::futex:
    case ChannelId::inotify: return make_file_trial(channel);
    case ChannelId::signal:
    case ChannelId::ptrace:
    case ChannelId::vm_read:
    case ChannelId::proc_mem:
    case ChannelId::proc_fd:
    case ChannelId::pidfd_getfd: return make_process_trial(channel);
    case ChannelId::abstract:
    case ChannelId::loopback:
    case ChannelId::rights: break;
    }
    return make_socket_trial(channel);
}

FileFact fact_of(const char* path) {
    struct stat about {};
    if (::stat(path, &about) != 0) return {};
    return {about.st_dev, about.st_ino};
}

Facts facts() {
    Facts facts{};
    facts.ipc = fact_of("/proc/self/ns/ipc");
    facts.pid = fact_of("/proc/self/ns/pid");
    facts.user = fact_of("/proc/self/ns/user");
    facts.network = fact_of("/proc/self/ns/net");
    facts.shm = fact_of("/dev/shm");
    facts.queues = fact_of("/dev/mqueue");
    for (std::size_t i = 0; i < trial_folder_count; ++i) facts.folders[i] = fact_of(trial_folders[i]);
    return facts;
}

// Answers requests until the other end is closed.
class Agent {
public:
    /// @param trouble why this side could not be entered, or nothing
    Agent(int socket, const Reply* trouble) : socket_(socket), trouble_(trouble) {}

    void run() {
        for (;;) {
            if (offered_) serve_until_asked();
            Request request{};
            Fd passed;
            if (!receive_message(socket_, &request, sizeof request, {&passed, 1})) break;
            ::alarm(request_seconds);
            Reply reply = answer(request, passed.get());
            reply.order = request.order;
            const int along = request.order == Order::offer && offered_ ? offered_->passed() : -1;
            const bool sent =
                send_message(socket_, &reply, sizeof reply, std::span(&along, along >= 0 ? 1 : 0));
            ::alarm(0);
            if (!sent) break;
        }
        ::alarm(request_seconds);
        if (remembered_) trial_of(*remembered_)->clean(*remembered_);
    }

private:
    Reply answer(const Request& request, int passed) {
        switch (request.order) {
        case Order::hello: {
            Reply reply = trouble_ != nullptr ? *trouble_ : done();
            reply.facts = facts();
            return reply;
        }
        case Order::remember: remembered_ = request.where; return done();
        case Order::offer: {
            remembered_ = request.where;
            offered_ = make_trial(request.where.channel);
            Reply reply = offered_->offer(request);
            if (reply.outcome != Outcome::done) forget();
            return reply;
        }
        case Order::attempt: return make_trial(request.where.channel)->attempt(request, passed);
        case Order::ask: return offered_ ? offered_->ask(request) : failed("nothing is offered", 0);
        case Order::clean:
            trial_of(request.where)->clean(request.where);
            forget();
            return done();
        }
        return failed("an order that is unknown", 0);
    }

    std::unique_ptr<Trial>& trial_of(const Locator& where) {
        if (!offered_) offered_ = make_trial(where.channel);
        return offered_;
    }

    void forget() {
        offered_.reset();
        remembered_.reset();
    }

    void serve_until_asked() const {
        for (;;) {
            std::vector<struct pollfd> polled{{socket_, POLLIN, 0}};
            for (const int fd : offered_->served()) polled.push_back({fd, POLLIN, 0});
            (void)::poll(polled.data(), polled.size(), offered_->ticks() ? 1 : -1);
            if (polled[0].revents != 0) return;
            offered_->serve();
        }
    }

    int socket_;
    const Reply* trouble_;
    std::unique_ptr<Trial> offered_;
    std::optional<Locator> remembered_;
};

// Moves this process into those namespaces of another one that are not its own already.
std::optional<Reply> enter_all(int process, const char* pid) {
    struct Kind {
        const char* name;
        int flag;
    };
    static constexpr Kind kinds[] = {{"user", CLONE_NEWUSER},    {"ipc", CLONE_NEWIPC}, {"mnt", CLONE_NEWNS},
                                     {"net", CLONE_NEWNET},      {"pid", CLONE_NEWPID}, {"uts", CLONE_NEWUTS},
                                     {"cgroup", CLONE_NEWCGROUP}};
    int flags = 0;
    for (const Kind& kind : kinds) {
        const FileFact theirs = fact_of((std::string("/proc/") + pid + "/ns/" + kind.name).c_str());
        if (theirs == FileFact{}) {
            if (errno == ENOENT && kind.flag == CLONE_NEWCGROUP) continue;
            return failed(std::string("look at the namespaces of process ") + pid);
        }
        if (theirs != fact_of((std::string("/proc/self/ns/") + kind.name).c_str())) flags |= kind.flag;
    }
    if (flags == 0) return std::nullopt;
    if (::setns(process, flags) != 0) return failed(std::string("enter the namespaces of process ") + pid);
    if ((flags & CLONE_NEWUSER) != 0) {
        // Somebody who is somebody there; files could not be made otherwise.
        unsigned user = 0;
        if (std::FILE* map = std::fopen("/proc/self/uid_map", "re")) {
            // NOLINTNEXTLINE(cert-err34-c): what can't be read leaves 0
            if (std::fscanf(map, "%u", &user) != 1) user = 0;
            std::fclose(map);
        }
        // Who can be neither stays who he is.
        (void)(::setresuid(user, user, user) == 0 || ::setresuid(0, 0, 0) == 0);
        ::prctl(PR_SET_DUMPABLE, 1);
    }
    return std::nullopt;
}

void take_standard_descriptors() {
    const Fd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (int fd = 0; null && fd < 3; ++fd) ::dup2(null.get(), fd);
}

int main_agent(int argc, char** argv) {
    const int sockets[] = {argc > 2 ? std::atoi(argv[1]) : -1, argc > 2 ? std::atoi(argv[2]) : -1};
    struct stat about {};
    for (const int socket : sockets) {
        if (socket > 2 && ::fstat(socket, &about) == 0 && S_ISSOCK(about.st_mode)) continue;
        std::fputs("ipcns-agent: this is a part of `ipcns verify`, and does nothing by itself\n", stderr);
        return 2;
    }
    take_standard_descriptors();
    ::prctl(PR_SET_NAME, "ipcns-agent");
    sigset_t all;
    ::sigfillset(&all);
    ::sigdelset(&all, SIGALRM);
    ::sigprocmask(SIG_SETMASK, &all, nullptr);
    ::signal(SIGALRM, SIG_DFL);
    ::signal(SIGCHLD, SIG_DFL);

    std::optional<Reply> trouble;
    if (argc > 4) {
        trouble = enter_all(std::atoi(argv[3]), argv[4]);
        ::close(std::atoi(argv[3]));
    }
    (void)!::chdir("/");
    for (const int socket : sockets) {
        const pid_t child = ::fork();
        if (child < 0) return 1;
        if (child != 0) continue;
        for (const int other : sockets) {
            if (other != socket) ::close(other);
        }
        Agent(socket, trouble ? &*trouble : nullptr).run();
        ::_exit(0);
    }
    for (const int socket : sockets) ::close(socket);
    while (::wait(nullptr) > 0 || errno == EINTR) {}
    return 0;
}

} // namespace
} // namespace ipcns::agent

int main(int argc, char** argv) { return ipcns::agent::main_agent(argc, argv); }
