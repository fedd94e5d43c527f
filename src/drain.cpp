// SPDX-License-Identifier: Apache-2.0
// Draining a queue so that a crash at any moment loses none of its messages.
//
// mq_receive(2) writes a message where it is told to: here straight into the journal, a file that is mapped and whose
// pages are there already. So at no moment is a message in neither of the two. What a kill can come in between of is the
// return of mq_receive and the writing down of the length that it returns; then the length is how many bytes fewer there
// are in the queue or, if others have used it since, where in the message's room the pattern begins that was there before.
// The journal lies beside the registry's names, on a tmpfs mostly: a queue does not outlive the machine either.
//
// One journal is one queue. Its lock is held by who drains; when that one dies the lock is free, and whoever comes next
// takes the journal over.
#include "drain.hpp"

#include "error.hpp"
#include "folder.hpp"
#include "random.hpp"

#include <ipcns/fd.hpp>
#include <ipcns/text.hpp>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

namespace ipcns {
namespace {

constexpr std::string_view journal_prefix = ".drain-";
constexpr std::array<char, 8> journal_magic = {'i', 'p', 'c', 'n', 's', 'd', 'r', '1'};
constexpr std::uint64_t page = 4096;
constexpr std::uint64_t unknown = std::numeric_limits<std::uint64_t>::max();
constexpr unsigned no_priority = std::numeric_limits<unsigned>::max();
constexpr timespec long_ago{0, 0};

std::string said(const std::string& name) { return escape("mq:" + name); }

// What is at the journal's beginning. The counters are written by the one who drains, and read when it is dead.
struct Head {
    std::array<char, 8> magic;
    std::uint64_t ns;                    // inode of the namespace
    std::uint64_t device, inode;         // of the queue
    std::uint64_t messages;              // there were
    std::uint64_t room;                  // bytes that a message may have
    std::uint64_t stride;                // from one slot to the next
    std::uint64_t bytes_before;          // in the queue before the message is taken that is being taken
    std::uint64_t pattern;               // what a slot is filled with before
    std::atomic<std::uint64_t> taken;    // slots that are complete
    std::atomic<std::uint64_t> returned; // of these, how many are in the queue again
    std::array<char, 264> name;
};
struct Slot {
    unsigned priority;
    unsigned prepared; // 1, when it is about to be written
    std::uint64_t length;
    [[nodiscard]] std::byte* text() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
};

class Journal {
public:
    Journal(Fd file, std::uint64_t size) : file_(std::move(file)), size_(size) {
        start_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
        if (start_ == MAP_FAILED) fail("map the journal of a queue");
    }
    ~Journal() { ::munmap(start_, size_); }
    Journal(const Journal&) = delete;
    Journal& operator=(const Journal&) = delete;

    [[nodiscard]] Head& head() const noexcept { return *static_cast<Head*>(start_); }
    [[nodiscard]] Slot& slot(std::uint64_t number) const noexcept {
        return *reinterpret_cast<Slot*>(static_cast<std::byte*>(start_) + page + number * head().stride);
    }
    // A slot whose pages are there, filled with the pattern.
    Slot& prepare(std::uint64_t number) const {
        const std::uint64_t at = page + number * head().stride;
        if (const int error =
                ::posix_fallocate(file_.get(), static_cast<off_t>(at), static_cast<off_t>(head().stride)))
            fail(error, "write the journal of a queue");
        Slot& one = slot(number);
        one.priority = no_priority;
        one.length = unknown;
        one.prepared = 1;
        for (std::uint64_t i = 0; i < head().room; i += sizeof(std::uint64_t))
            std::memcpy(one.text() + i, &head().pattern,
                        std::min<std::uint64_t>(sizeof(std::uint64_t), head().room - i));
        return one;
    }
    // Gives back what of a slot the message does not take.
    void trim(std::uint64_t number) const noexcept {
        const std::uint64_t at = page + number * head().stride;
        const std::uint64_t used = (sizeof(Slot) + slot(number).length + page - 1) / page * page;
        if (used < head().stride)
            (void)::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                              static_cast<off_t>(at + used), static_cast<off_t>(head().stride - used));
    }
    void sync() const {
        if (::fsync(file_.get()) != 0) fail("write the journal of a queue");
    }

private:
    Fd file_;
    void* start_ = nullptr;
    std::uint64_t size_;
};

void send_back(int queue, Slot& slot) {
    while (::mq_timedsend(queue, reinterpret_cast<const char*>(slot.text()), slot.length, slot.priority,
                          &long_ago) != 0) {
        if (errno != EINTR) fail("send a message back that was taken out");
    }
}

void send_all_back(int queue, const Journal& journal) {
    Head& head = journal.head();
    for (std::uint64_t i = head.returned; i < head.taken; ++i) {
        send_back(queue, journal.slot(i));
        head.returned = i + 1;
    }
}

} // namespace

void drain(int folder, const NamespaceId& ns, int queues, const PosixQueueRecord& record,
           const std::function<void(unsigned priority, std::span<const std::byte> text)>& give) {
    const std::string what = "drain " + said(record.name);
    if (record.notification)
        fail(EBUSY,
             what + ": process " + std::to_string(record.notification->pid) + " asks to be told of a message",
             "sending back would tell him; where there is BPF, --drain is not needed");
    const Fd queue(::openat(queues, record.name.c_str() + 1, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    if (!queue) fail(what);

    const std::uint64_t room = *record.message_size;
    const std::uint64_t stride = (sizeof(Slot) + room + page - 1) / page * page;
    const std::uint64_t size = page + stride * *record.messages;
    const std::string name = random_name(journal_prefix);
    Fd file(::openat(folder, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0 ||
        ::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
        fail(what + ": write a journal");
    const Journal journal(std::move(file), size);
    Head& head = journal.head();
    head.ns = ns.inode;
    head.device = record.file.device;
    head.inode = record.file.inode;
    head.messages = *record.messages;
    head.room = room;
    head.stride = stride;
    std::memcpy(head.name.data(), record.name.c_str(),
                std::min(record.name.size() + 1, head.name.size() - 1));
    fill_random(&head.pattern, sizeof head.pattern);
    head.magic = journal_magic; // last: without it there is nothing in here

    std::uint64_t bytes = *record.bytes;
    std::exception_ptr failed;
    try {
        for (std::uint64_t i = 0; i < *record.messages; ++i) {
            Slot& slot = journal.prepare(i);
            head.bytes_before = bytes;
            ssize_t length = 0;
            while ((length = ::mq_timedreceive(queue.get(), reinterpret_cast<char*>(slot.text()), room,
                                               &slot.priority, &long_ago)) < 0) {
                if (errno != EINTR) fail(what);
            }
            slot.length = static_cast<std::uint64_t>(length);
            head.taken = i + 1;
            bytes -= slot.length;
            journal.trim(i);
        }
        journal.sync();
    } catch (...) {
        failed = std::current_exception();
    }
    send_all_back(queue.get(), journal);
    if (!failed) {
        try {
            for (std::uint64_t i = 0; i < head.taken; ++i)
                give(journal.slot(i).priority, {journal.slot(i).text(), journal.slot(i).length});
        } catch (...) {
            failed = std::current_exception();
        }
    }
    (void)::unlinkat(folder, name.c_str(), 0);
    if (failed) std::rethrow_exception(failed);
}

// ---- Afterwards --------------------------------------------------------------------------------------------------

namespace {

// True when nobody has the journal. The helpers of one that was killed end some milliseconds after it.
bool take_over(int file) {
    constexpr int patience = 50;
    for (int i = 0; ::flock(file, LOCK_EX | LOCK_NB) != 0; ++i) {
        if (i == patience) return false;
        ::usleep(10'000);
    }
    return true;
}

// A journal whose maker is gone; nothing: it is being written, or is none.
std::unique_ptr<Journal> abandoned(int folder, const std::string& name) {
    Fd file(::openat(folder, name.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
    struct stat about {};
    if (!file || !take_over(file.get()) || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode) ||
        about.st_uid != ::geteuid() || about.st_nlink != 1)
        return nullptr;
    if (static_cast<std::uint64_t>(about.st_size) < page) {
        (void)::unlinkat(folder, name.c_str(), 0); // killed before it had taken anything
        return nullptr;
    }
    auto journal = std::make_unique<Journal>(std::move(file), static_cast<std::uint64_t>(about.st_size));
    const Head& head = journal->head();
    const bool whole = head.magic == journal_magic && head.stride >= sizeof(Slot) + head.room &&
                       head.stride <= (std::uint64_t{32} << 20) && head.messages <= 65536 &&
                       static_cast<std::uint64_t>(about.st_size) == page + head.stride * head.messages &&
                       head.taken <= head.messages && head.returned <= head.taken && head.name.back() == '\0';
    if (whole) return journal;
    (void)::unlinkat(folder, name.c_str(), 0);
    return nullptr;
}

// The message that was being taken when the kill came, if it was: its length has not been written down.
void complete_last(const Journal& journal, const PosixQueueRecord& now) {
    Head& head = journal.head();
    if (head.taken == head.messages || head.returned != 0) return;
    Slot& slot = journal.slot(head.taken);
    if (slot.prepared == 0 || slot.priority == no_priority) return; // it is still in the queue
    if (slot.length == unknown) {
        const bool untouched = now.messages == head.messages - head.taken - 1 && now.bytes &&
                               *now.bytes <= head.bytes_before && head.bytes_before - *now.bytes <= head.room;
        if (untouched) {
            slot.length = head.bytes_before - *now.bytes;
        } else {
            std::array<std::byte, sizeof head.pattern> pattern;
            std::memcpy(pattern.data(), &head.pattern, pattern.size());
            std::uint64_t length = head.room;
            while (length > 0 && slot.text()[length - 1] == pattern[(length - 1) % pattern.size()]) --length;
            slot.length = length;
        }
    }
    head.taken = head.taken + 1;
}

std::string put_back(int folder, const std::string& name, const Journal& journal) {
    Head& head = journal.head();
    const std::string queue_name = head.name.data();
    const auto gone = [&] {
        (void)::unlinkat(folder, name.c_str(), 0);
        return said(queue_name) + " has gone since it was drained, with what was in it";
    };
    std::optional<Namespace> ns;
    try {
        ns = Namespace::from_inode(head.ns);
    } catch (const Error& error) {
        if (error.code().value() != ENOENT) throw;
        return gone();
    }
    return ns->call([&]() -> std::string {
        QueueFolder queues = open_queues();
        if (!queues) fail(EPERM, "put messages back into " + said(queue_name) + ": " + queues.why);
        const auto now = find_posix_queue(queues.folder.get(), queue_name);
        if (!now || now->file.inode != head.inode) return gone();
        const Fd queue(::openat(queues.folder.get(), queue_name.c_str() + 1,
                                O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
        if (!queue) fail("put messages back into " + said(queue_name));
        complete_last(journal, *now);
        const std::uint64_t count = head.taken - head.returned;
        send_all_back(queue.get(), journal);
        (void)::unlinkat(folder, name.c_str(), 0);
        return "put " + std::to_string(count) + (count == 1 ? " message" : " messages") + " back into " +
               said(queue_name) + ", which a save had taken out when it was killed";
    });
}

} // namespace

std::vector<std::string> recover_drained(int folder) {
    std::vector<std::string> done;
    const auto entries = read_folder(folder);
    if (!entries)
        return {"the journals of drained queues can't be looked for: " +
                std::generic_category().message(errno)};
    for (const auto& entry : *entries) {
        const std::string& name = entry.name;
        if (!name.starts_with(journal_prefix)) continue;
        try {
            if (const auto journal = abandoned(folder, name))
                done.push_back(put_back(folder, name, *journal));
        } catch (const Error& error) {
            // The journal stays, for the next one.
            done.emplace_back(error.what());
        }
    }
    return done;
}

} // namespace ipcns
