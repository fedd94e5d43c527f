// SPDX-License-Identifier: Apache-2.0
// Reading a living namespace without changing it. Leans on contents.cpp for shared memory, on MSG_COPY for System V queues
// and on BPF for POSIX ones (messages.hpp); mq_receive(2) is the kernel's only other way to read one.
#include "capture.hpp"

#include "contents.hpp"
#include "drain.hpp"
#include "error.hpp"
#include "idmap.hpp"

#include <ipcns/messages.hpp>
#include <ipcns/text.hpp>
#include <ipcns/version.hpp>

#include <fcntl.h>
#include <sys/statfs.h>
#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <span>

namespace ipcns {
namespace {

constexpr std::size_t piece = std::size_t{256} << 10; // stays in the processor's cache
constexpr std::uint64_t least_hole = 64 << 10;        // a smaller one is cheaper stored than described
constexpr std::uint64_t page = 4096;

bool has_huge_pages() {
    std::error_code none;
    for (const auto& size : std::filesystem::directory_iterator("/sys/kernel/mm/hugepages", none)) {
        std::uint64_t count = 0;
        if (std::ifstream(size.path() / "nr_hugepages") >> count && count > 0) return true;
    }
    return false;
}

std::string said(const ObjectName& name) { return escape(name.text()); }

template <class Record>
[[noreturn]] void refuse(const Record& record, const std::string& why, int number = EACCES) {
    fail(number, "save " + said(name_of(record)) + ": " + why,
         number == EACCES ? "who saves a namespace must be able to read all of it: its owner, or root" : "");
}

// Where a segment or file holds data. Small holes are taken for data: reading them gives zeros and no memory.
std::vector<Extent> extents_of(Contents& contents) {
    std::vector<Extent> extents;
    const std::uint64_t size = contents.size();
    for (std::uint64_t at = contents.next_data(0); at < size;) {
        const std::uint64_t end = contents.next_hole(at);
        if (end <= at) break;
        if (!extents.empty() && at - extents.back().end() < least_hole)
            extents.back().length = end - extents.back().offset;
        else
            extents.push_back({at, end - at});
        at = end < size ? contents.next_data(end) : size;
    }
    // A file of a tar is sparse if it says where it holds data.
    if (extents.empty()) extents.push_back({0, std::min(page, size)});
    return extents;
}

// The kernel copies no message that is longer than msgmax, which may have been lowered since it was sent. While everybody
// stands still nobody sees that it is higher for a moment.
class HigherMessageLimit {
public:
    explicit HigherMessageLimit(std::uint64_t bytes) {
        constexpr std::uint64_t most = std::numeric_limits<int>::max();
        const LimitKey* const key = find_limit_key("msgmax");
        for (auto& limit : read_limits()) {
            if (limit.key == key) before_.push_back(std::move(limit));
        }
        write_limit({key, std::to_string(std::min(bytes, most))});
    }
    ~HigherMessageLimit() {
        try {
            (void)set_limits(before_);
        } catch (const std::exception&) {
            // It was set a moment ago; who took the right to has the last word.
        }
    }
    HigherMessageLimit(const HigherMessageLimit&) = delete;
    HigherMessageLimit& operator=(const HigherMessageLimit&) = delete;

private:
    std::vector<Limit> before_;
};

QueueReading read_all(const QueueRecord& record, bool live,
                      const std::function<void(long, std::span<const std::byte>)>& give) {
    std::uint64_t given = 0;
    try {
        return read_messages(record.id, [&](long type, std::span<const std::byte> bytes) {
            ++given;
            give(type, bytes);
        });
    } catch (const Error& error) {
        if (error.code().value() != EMSGSIZE || live) throw;
    }
    const HigherMessageLimit enough(record.bytes);
    std::uint64_t seen = 0;
    return read_messages(record.id, [&](long type, std::span<const std::byte> bytes) {
        if (++seen > given) give(type, bytes);
    });
}

// The /dev/shm that belongs to a place.
Fd own_folder(const Place& place, bool& is_hosts) {
    Place whole{place.ipc.duplicate(), {}, shared_folder(place), {}, {}};
    if (!whole.shm || place.ipc.id() == Namespace::host_id() || has_own_shm(whole))
        return std::move(whole.shm);
    is_hosts = true;
    return {};
}

// An O_PATH descriptor will do (Linux 3.12).
std::optional<std::uint64_t> size_of(int folder) {
    struct statfs about {};
    if (::fstatfs(folder, &about) != 0) return std::nullopt;
    return static_cast<std::uint64_t>(about.f_blocks) * static_cast<std::uint64_t>(about.f_bsize);
}

} // namespace

std::optional<std::uint64_t> Capture::shm_size_of(const Place& place) {
    bool is_hosts = false;
    const Fd folder = own_folder(place, is_hosts);
    return folder ? size_of(folder.get()) : std::nullopt;
}

Capture::Capture(const Place& place, const SaveOptions& options)
    : options_(options), user_namespace_(IdMap::user_namespace()) {
    struct utsname about {};
    (void)::uname(&about);
    snapshot_.made_by = std::string("ipcns ") + IPCNS_VERSION;
    snapshot_.kernel = about.release;
    snapshot_.made = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    snapshot_.ns = place.ipc.id();
    snapshot_.name = place.name;
    snapshot_.live = options.live;

    bool is_hosts = false;
    shared_ = own_folder(place, is_hosts);
    if (!shared_)
        notes_.emplace_back(
            is_hosts ? "it has no /dev/shm of its own, but the host's: shared memory and named "
                       "semaphores (pshm, psem) are not saved"
                     : "which /dev/shm belongs to it is not known: shared memory and named semaphores "
                       "(pshm, psem) are not saved");
    file_systems_ = maps::segment_file_systems();
    if (options.drain) {
        const Registry registry = Registry::of_caller();
        registry.prepare();
        journals_ = Fd(::open(registry.folder().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        if (!journals_) fail("open the folder " + registry.folder().string());
    }
}

Capture::~Capture() = default;

void Capture::look_at_sysv() {
    const IdMap ids(user_namespace_);
    for (auto& record : list_queues()) {
        ids.to_outside(record.who);
        snapshot_.msg.push_back(record);
    }
    for (auto& record : list_semaphore_sets()) {
        Snapshot::Set set{record, {}};
        try {
            set.values = read_semaphore_values(record);
        } catch (const Error& error) {
            if (error.code().value() == EACCES) refuse(record, "only who may read it knows its values");
            if (options_.live) continue; // it has just gone
            throw;
        }
        ids.to_outside(set.record.who);
        snapshot_.sem.push_back(std::move(set));
    }
    const bool huge_pages = has_huge_pages();
    for (auto& record : list_segments(SegmentMemory::read)) {
        Snapshot::Segment segment{record, 0};
        ids.to_outside(segment.record.who);
        if (record.removed) {
            notes_.push_back(said(name_of(record)) +
                             " is removed and goes with its last process: its content is not saved");
        } else if (huge_pages) {
            try {
                segment.huge_page = contents_here(record, file_systems_, forced_)->huge_page();
            } catch (const Unreadable& error) {
                if (!options_.live) refuse(record, error.what());
            }
        }
        snapshot_.shm.push_back(segment);
    }
}

void Capture::look_at_queues() {
    const IdMap ids(user_namespace_);
    try {
        queues_ = mount_queues();
        if (!queues_) return; // a kernel without
    } catch (const Error&) {
        QueueFolder found = open_queues(QueueProbe::make);
        if (found.missing == QueueFolder::Missing::no_queues) return;
        if (!found) fail(EPERM, "save the POSIX queues: " + found.why);
        queues_ = std::move(found.folder);
    }
    for (auto& record : list_posix_queues(queues_.get())) {
        if (!record.readable()) refuse(record, "only who may read it knows what is in it");
        if (record.notification)
            notes_.push_back(said(name_of(record)) + ": process " + std::to_string(record.notification->pid) +
                             " asks to be told of a message; that can't be brought back");
        ids.to_outside(record.who);
        snapshot_.mq.push_back(std::move(record));
    }
    std::sort(snapshot_.mq.begin(), snapshot_.mq.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
}

void Capture::look_at_files() {
    if (!shared_) return;
    const IdMap ids(user_namespace_);
    snapshot_.shm_size = size_of(shared_.get());
    SharedFolder folder = list_shared(shared_.get());
    if (folder.unseen != 0)
        fail(EACCES, "save its /dev/shm: " + std::to_string(folder.unseen) + " files may not be looked at",
             "who saves a namespace must be able to read all of it: its owner, or root");
    for (auto& record : folder.semaphores) {
        if (!record.value) refuse(record, "only who may read it knows its value");
        ids.to_outside(record.who);
    }
    for (auto& record : folder.memory) ids.to_outside(record.who);
    const auto by_name = [](const auto& a, const auto& b) { return a.name < b.name; };
    std::sort(folder.semaphores.begin(), folder.semaphores.end(), by_name);
    std::sort(folder.memory.begin(), folder.memory.end(), by_name);
    snapshot_.psem = std::move(folder.semaphores);
    snapshot_.pshm = std::move(folder.memory);
    snapshot_.others = folder.others;
    if (folder.others.files != 0)
        notes_.push_back(std::to_string(folder.others.files) +
                         " things in its /dev/shm that are no objects (folders, links) are not saved");
}

const Snapshot& Capture::look() {
    for (auto& limit : read_limits()) {
        const std::string_view name = limit.key->name;
        if (name.ends_with("_next_id")) continue; // of one moment, and one object
        if (name == "shm_rmid_forced") forced_ = limit.value == "1";
        snapshot_.limits.push_back(std::move(limit));
    }
    look_at_sysv();
    look_at_queues();
    look_at_files();
    all_ = contents_bytes(snapshot_);
    return snapshot_;
}

void Capture::tell() {
    if (options_.progress) options_.progress({done_, std::max(all_, done_)});
}

std::unique_ptr<Contents> Capture::open(Kind kind, std::size_t index) const {
    if (kind == Kind::shm) return contents_here(snapshot_.shm[index].record, file_systems_, forced_);
    return contents_of(shared_.get(), snapshot_.pshm[index]);
}

void Capture::feed_memory(Kind kind, std::size_t index, Receiver& to) {
    const ObjectName name = object_name(snapshot_, kind, index);
    const std::uint64_t size =
        kind == Kind::shm ? snapshot_.shm[index].record.bytes : snapshot_.pshm[index].bytes;
    std::unique_ptr<Contents> contents;
    std::vector<Extent> extents{{0, std::min(page, size)}};
    try {
        contents = open(kind, index);
        contents->vouch();
        extents = extents_of(*contents);
    } catch (const Unreadable& why) {
        if (!options_.live) fail(EACCES, "save " + said(name) + ": " + why.what());
        notes_.push_back(said(name) + " is without its content: " + why.what());
        contents.reset();
    }
    to.begin_memory(kind, index, extents);
    buffer_.resize(piece);
    for (const auto& extent : extents) {
        for (std::uint64_t at = extent.offset; at < extent.end();) {
            const auto part = std::span(buffer_).first(
                static_cast<std::size_t>(std::min<std::uint64_t>(piece, extent.end() - at)));
            try {
                if (contents)
                    contents->read(at, part);
                else
                    std::fill(part.begin(), part.end(), std::byte{});
            } catch (const Unreadable& why) {
                if (!options_.live) fail(EAGAIN, "save " + said(name) + ": " + why.what());
                std::fill(part.begin(), part.end(), std::byte{});
            }
            to.bytes(at, part);
            at += part.size();
            done_ += part.size();
            tell();
        }
    }
    try {
        if (contents) contents->vouch();
    } catch (const Unreadable& why) {
        fail(EAGAIN, "save " + said(name) + ": " + why.what());
    }
    to.end_memory();
}

// Loads what reads POSIX queues. False where they are to be drained, since it can't be.
bool Capture::can_read_queues() {
    if (reader_) return true;
    try {
        reader_ = std::make_unique<MessageReader>();
        return true;
    } catch (const Error& error) {
        if (!options_.drain)
            fail(error.code().value(), "save the messages of POSIX queues",
                 options_.live ? error.hint()
                               : "--drain receives them, and sends them back; without it, " + error.hint());
        return false;
    }
}

// A queue that goes on being used must be read before its member begins, which says how much of it there is. One that
// stands still is passed on as it comes.
void Capture::feed_messages(Kind kind, std::size_t index, Receiver& to) {
    const ObjectName name = object_name(snapshot_, kind, index);
    struct Waiting {
        std::int64_t type;
        std::vector<std::byte> text;
    };
    std::vector<Waiting> waiting;
    std::uint64_t count = 0, bytes = 0;
    const auto give = [&](std::int64_t type, std::span<const std::byte> text) {
        ++count;
        bytes += text.size();
        if (options_.live) {
            waiting.push_back({type, {text.begin(), text.end()}});
            return;
        }
        to.message(type, text);
        done_ += text.size();
        tell();
    };
    const auto read = [&] {
        if (kind == Kind::msg) return read_all(snapshot_.msg[index], options_.live, give);
        const std::string file = snapshot_.mq[index].name.substr(1);
        const Fd queue(::openat(queues_.get(), file.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
        if (!queue) fail("save " + said(name));
        if (can_read_queues()) return reader_->read(queue.get(), give);
        ipcns::drain(journals_.get(), snapshot_.ns, queues_.get(), snapshot_.mq[index], give);
        return QueueReading{count, true};
    };
    if (!options_.live) {
        if (kind == Kind::msg)
            to.begin_messages(kind, index, snapshot_.msg[index].messages, snapshot_.msg[index].bytes);
        else
            to.begin_messages(kind, index, *snapshot_.mq[index].messages, *snapshot_.mq[index].bytes);
        if (!read().one_moment)
            fail(EAGAIN, "save " + said(name) + ": it was used while it was read", "save again");
        to.end_messages();
        return;
    }
    try {
        if (!read().one_moment)
            notes_.push_back(said(name) + " was used while it was read: messages may be missing");
    } catch (const Error& error) {
        const int number = error.code().value();
        if (number != EIDRM && number != EINVAL && number != ENOENT) throw;
        notes_.push_back(said(name) + " is without its messages: it went away meanwhile");
    }
    to.begin_messages(kind, index, count, bytes);
    for (const auto& message : waiting) {
        to.message(message.type, message.text);
        done_ += message.text.size();
        tell();
    }
    to.end_messages();
}

std::uint64_t Capture::feed(Receiver& to) {
    to.begin(snapshot_);
    for (const Kind kind : kinds_with_members) {
        for (std::size_t index = 0; index < count_of(snapshot_, kind); ++index) {
            if (!has_member(snapshot_, kind, index)) continue;
            if (kind == Kind::shm || kind == Kind::pshm)
                feed_memory(kind, index, to);
            else
                feed_messages(kind, index, to);
        }
    }
    return done_;
}

} // namespace ipcns
