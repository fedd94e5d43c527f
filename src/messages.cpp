// SPDX-License-Identifier: Apache-2.0
// Messages of POSIX queues, by a program in the kernel (bpf/messages.bpf.c). Leans on: a program of the type
// BPF_PROG_TYPE_SYSCALL (Linux 5.14) runs in the process that calls it, whose descriptors it can follow; it may read the
// kernel's memory wherever it likes, since a read of what is not there fails (CAP_PERFMON); a message that is sent to or
// received from a queue sets the queue's time of modification, in whole seconds, before the queue's lock is given up, and
// mq_getattr(3) waits for that lock.
//
// The program can't take the lock. What it finds is one moment's picture when
// - walking through the queue came to an end, with as many messages and bytes as the queue counts;
// - walking again, after the bytes were copied, found the same messages in the same places;
// - and nothing was sent or received meanwhile. When the last time that something was is not this very second, the time of
//   modification proves it. Otherwise the bytes are copied twice, with a walk between the two copies: then the message was
//   in the queue, and so had all its bytes; one whose memory was being filled anew before or after that is not the same in
//   both. What does not fit into one run (long messages, long queues) is compared with what it is when all of it has been
//   read.
// A message of which these say that it is itself whole is one of the queue, even when others came and went. So memory that
// was given to another queue or to anything else is never taken for a message of this one: it would have to be back, in its
// place of this queue's lists and with the same bytes, at each of these walks.
#include <ipcns/messages.hpp>

#include <ipcns/text.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#ifdef IPCNS_BPF
#include "bpf_programs.hpp"

#include <messages.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#endif

namespace ipcns {

#ifdef IPCNS_BPF

namespace {

constexpr const char* reading = "read the messages of POSIX queues";

[[noreturn]] void refuse_loading(int number) {
    switch (number) {
    case EPERM:
    case EACCES:
        throw Error(
            EPERM, reading,
            "they are in the kernel's memory: that takes root, or CAP_BPF and CAP_PERFMON, and a kernel that "
            "is not locked down");
    case ENOMEM: throw Error(number, reading);
    default:
        throw Error(ENOTSUP, reading,
                    ::access("/sys/kernel/btf/vmlinux", R_OK) != 0
                        ? "that takes a kernel with type information (CONFIG_DEBUG_INFO_BTF): there is no "
                          "/sys/kernel/btf/vmlinux"
                        : "that takes Linux 5.17 or newer");
    }
}

// Says nothing: what went wrong is in an error.
int keep_silent(enum libbpf_print_level /*level*/, const char* /*format*/, va_list /*arguments*/) {
    return 0;
}

// libbpf has one function for all that it has to say.
class Silence {
public:
    Silence() : lock_(one()), before_(::libbpf_set_print(keep_silent)) {}
    ~Silence() { ::libbpf_set_print(before_); }
    Silence(const Silence&) = delete;
    Silence& operator=(const Silence&) = delete;

private:
    static std::mutex& one() {
        static std::mutex mutex;
        return mutex;
    }
    std::lock_guard<std::mutex> lock_;
    libbpf_print_fn_t before_;
};

struct CloseObject {
    void operator()(struct bpf_object* object) const noexcept { ::bpf_object__close(object); }
};

} // namespace

// ---- The program -------------------------------------------------------------------------------------------------

namespace {

static_assert(MessageReader::most_at_once == IPCNS_ROOM);

class Program {
public:
    Program() {
        const Silence silence;
        const auto bytes = bpf_messages();
        struct bpf_object_open_opts options {};
        options.sz = sizeof options;
        options.object_name = "ipcns_messages";
        object_.reset(::bpf_object__open_mem(bytes.data(), bytes.size(), &options));
        if (!object_) refuse_loading(errno);
        const int failed = ::bpf_object__load(object_.get());
        if (failed != 0) refuse_loading(-failed);
        program_ = ::bpf_program__fd(::bpf_object__find_program_by_name(object_.get(), "read_messages"));
        const int map = ::bpf_object__find_map_fd_by_name(object_.get(), "picture");
        void* const memory = ::mmap(nullptr, sizeof(ipcns_picture), PROT_READ, MAP_SHARED, map, 0);
        if (memory == MAP_FAILED) throw Error(errno, reading);
        picture_ = static_cast<const ipcns_picture*>(memory);
    }
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;
    ~Program() {
        if (picture_ != nullptr) ::munmap(const_cast<ipcns_picture*>(picture_), sizeof *picture_);
    }

    void run(ipcns_request& request) const {
        struct bpf_test_run_opts options {};
        options.sz = sizeof options;
        options.ctx_in = &request;
        options.ctx_size_in = sizeof request;
        const int failed = ::bpf_prog_test_run_opts(program_, &options);
        if (failed != 0) throw Error(-failed, reading);
        if (request.outcome == IPCNS_NO_QUEUE) throw Error(EINVAL, reading, "the descriptor is of no queue");
    }
    [[nodiscard]] const ipcns_picture& picture() const noexcept { return *picture_; }

private:
    std::unique_ptr<struct bpf_object, CloseObject> object_;
    int program_ = -1;
    const ipcns_picture* picture_ = nullptr;
};

// ---- A reading ---------------------------------------------------------------------------------------------------

// Whether a queue is used.
class Stillness {
public:
    explicit Stillness(int queue) : queue_(queue), modified_(modified()) {
        struct timespec now {};
        ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
        shows_ = modified_.tv_sec < now.tv_sec;
    }
    // Whatever happens from now on will show.
    [[nodiscard]] bool shows() const noexcept { return shows_; }
    // Nothing has shown so far.
    [[nodiscard]] bool holds() const {
        if (!shows_) return true;
        struct mq_attr attributes {};
        if (::mq_getattr(queue_, &attributes) != 0) throw Error(errno, reading);
        const timespec now = modified();
        return now.tv_sec == modified_.tv_sec && now.tv_nsec == modified_.tv_nsec;
    }

private:
    [[nodiscard]] timespec modified() const {
        struct stat about {};
        if (::fstat(queue_, &about) != 0) throw Error(errno, reading);
        return about.st_mtim;
    }

    int queue_;
    timespec modified_;
    bool shows_ = false;
};

// One attempt at all that is in a queue.
class Attempt {
public:
    Attempt(const Program& program, std::size_t at_once, int queue, const MessageReader::Receiver& give)
        : program_(program), picture_(program.picture()), give_(give), still_(queue) {
        request_.descriptor = static_cast<__u32>(queue);
        request_.room = static_cast<__u32>(at_once);
        request_.page_size = static_cast<__u32>(::sysconf(_SC_PAGESIZE));
        if (!still_.shows()) steps_ |= IPCNS_TWICE;
    }

    // False: the queue was used meanwhile, and nothing was given.
    // @param anyhow  give what can be given even so
    bool read(bool anyhow) {
        const __u32 list = anyhow ? IPCNS_LIST | IPCNS_ANYHOW : IPCNS_LIST;
        if (!run(steps_ | list)) return false;
        if (!one_moment_ && !anyhow) return false;
        give_batch();
        while (request_.first < request_.count && run(steps_)) give_batch();
        if (one_moment_ && batches_.size() > 1) compare_again();
        one_moment_ = one_moment_ && still_.holds();
        return true;
    }

    [[nodiscard]] QueueReading result() const noexcept { return {given_, one_moment_}; }

private:
    // What a run has copied, to be compared with a later one.
    struct Batch {
        __u32 first;
        std::uint64_t offset;
        std::size_t digest;
    };

    // False: not even a walk through the queue came to an end.
    bool run(__u32 steps) {
        request_.steps = steps;
        request_.number = request_.number % 0xfffe + 2;
        program_.run(request_);
        const bool walked = request_.outcome == IPCNS_DONE;
        if (!walked || request_.changed != 0 || request_.torn != 0 || !still_.holds() ||
            ((steps & IPCNS_TWICE) != 0 && !is_same_twice(0, request_.copied)))
            one_moment_ = false;
        return walked;
    }

    [[nodiscard]] bool is_same_twice(std::uint64_t begin, std::uint64_t size) const {
        return still_.shows() || std::memcmp(picture_.first + begin, picture_.second + begin, size) == 0;
    }

    [[nodiscard]] std::size_t digest() const {
        return std::hash<std::string_view>()(
            {reinterpret_cast<const char*>(picture_.first), static_cast<std::size_t>(request_.copied)});
    }

    // Gives what the last run has copied, each message when it is complete.
    void give_batch() {
        if (!still_.shows()) batches_.push_back({request_.first, request_.offset, digest()});
        for (std::uint64_t used = 0; request_.first < request_.count;) {
            const ipcns_entry& entry = picture_.list[request_.first];
            const std::uint64_t left = entry.bytes - request_.offset;
            const std::uint64_t here = std::min<std::uint64_t>(left, request_.copied - used);
            const auto piece = std::as_bytes(std::span(picture_.first)).subspan(used, here);
            const bool ends_here = here < left && (request_.torn != 0 || request_.copied == 0);
            used += here;
            if (ends_here || entry.seen != request_.number || !is_same_twice(used - here, here)) {
                one_moment_ = false;
                next_message();
                if (here < left) return;
            } else if (here == left && long_.empty()) {
                give(entry.priority, piece);
            } else {
                long_.insert(long_.end(), piece.begin(), piece.end());
                request_.offset += here;
                if (here == left) give_long(entry);
                return;
            }
        }
    }

    // Each piece is of a message in this place; of one and the same, when they are all still so now.
    void give_long(const ipcns_entry& entry) {
        bool whole = true;
        if (!still_.shows()) {
            for (request_.offset = 0; whole && request_.offset < long_.size();) {
                whole =
                    run(IPCNS_COPY | IPCNS_CHECK) && entry.seen == request_.number && request_.copied != 0;
                const auto size = std::min<std::uint64_t>(request_.copied, long_.size() - request_.offset);
                whole = whole && std::memcmp(long_.data() + request_.offset, picture_.first, size) == 0;
                request_.offset += size;
            }
        }
        if (whole) {
            give(entry.priority, long_);
        } else {
            one_moment_ = false;
            next_message();
        }
    }

    // Each batch is of one moment; all of them of the same, when they are all still so now.
    void compare_again() {
        for (const Batch& batch : batches_) {
            request_.first = batch.first;
            request_.offset = batch.offset;
            if (!run(IPCNS_COPY | IPCNS_CHECK) || digest() != batch.digest) one_moment_ = false;
            if (!one_moment_) return;
        }
    }

    void give(unsigned priority, std::span<const std::byte> bytes) {
        ++given_;
        give_(priority, bytes);
        next_message();
    }

    void next_message() {
        ++request_.first;
        request_.offset = 0;
        long_.clear();
    }

    const Program& program_;
    const ipcns_picture& picture_;
    const MessageReader::Receiver& give_;
    Stillness still_;
    ipcns_request request_{};
    __u32 steps_ = IPCNS_COPY | IPCNS_CHECK;
    std::vector<std::byte> long_; // the beginning of a message that needs several runs
    std::vector<Batch> batches_;  // where the time of modification shows nothing
    std::uint64_t given_ = 0;
    bool one_moment_ = true;
};

void check_queue(int queue) {
    struct mq_attr attributes {};
    const int flags = ::fcntl(queue, F_GETFL);
    if (flags < 0) throw Error(errno, reading);
    if (::mq_getattr(queue, &attributes) != 0)
        throw Error(errno == EBADF ? EINVAL : errno, reading, "the descriptor is of no queue");
    if ((flags & O_ACCMODE) == O_WRONLY)
        throw Error(EBADF, reading, "the descriptor of the queue is for writing alone");
}

} // namespace

struct MessageReader::Loaded {
    explicit Loaded(std::size_t most) : at_once(most) {}
    std::size_t at_once;
    Program program;
};

MessageReader::MessageReader(std::size_t at_once)
    : loaded_(std::make_unique<Loaded>(std::clamp<std::size_t>(at_once, 1, most_at_once))) {}

QueueReading MessageReader::read(int queue, const Receiver& give) const {
    // A look at a queue takes some microseconds, and its users leave it alone for as long between two messages.
    constexpr int attempts = 50;
    constexpr int more_attempts = 500;
    check_queue(queue);
    for (int number = 0; number < attempts + more_attempts; ++number) {
        Attempt attempt(loaded_->program, loaded_->at_once, queue, give);
        if (attempt.read(number >= attempts)) return attempt.result();
        std::this_thread::yield();
    }
    return {0, false};
}

#else

struct MessageReader::Loaded {};

MessageReader::MessageReader(std::size_t /*at_once*/) {
    throw Error(ENOTSUP, "read the messages of POSIX queues",
                "ipcns was built without BPF: build it again with clang and libbpf-dev installed");
}

QueueReading MessageReader::read(int /*queue*/, const Receiver& /*give*/) const { return {}; }

#endif

MessageReader::MessageReader(MessageReader&&) noexcept = default;
MessageReader& MessageReader::operator=(MessageReader&&) noexcept = default;
MessageReader::~MessageReader() = default;

} // namespace ipcns
