// SPDX-License-Identifier: Apache-2.0
// Comparing. Leans on: two descriptors of /proc/PID/ns/KIND are of the same namespace when device and inode are equal
// (namespaces(7)); a descriptor of /proc/PID never shows another process that got the number; a zombie has no namespaces;
// who has no number in a user namespace shows there as the overflow id, whoever it is (user_namespaces(7)).
#include <ipcns/comparison.hpp>

#include "containers.hpp"
#include "contents.hpp"
#include "error.hpp"
#include "idmap.hpp"
#include "mounts.hpp"
#include "process_shm.hpp"
#include "procfs.hpp"

#include <ipcns/registry.hpp>
#include <ipcns/text.hpp>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

namespace ipcns {
namespace {

constexpr std::array kinds_of_namespaces = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};

Same both(Same a, Same b) {
    if (a == Same::no || b == Same::no) return Same::no;
    return a == Same::yes && b == Same::yes ? Same::yes : Same::unknown;
}

// ---- A process ---------------------------------------------------------------------------------------------------

pid_t pid_of(const Target& target) {
    switch (target.kind) {
    case Target::Kind::pid: return target.pid;
    case Target::Kind::self: return ::getpid();
    case Target::Kind::host: return 1;
    case Target::Kind::oci: return find_container(target.container).pid;
    default: throw UsageError(escape(target.text()) + " is no process", "a process id, oci:ID, self or host");
    }
}

// What can be seen of one process, all of it of that one, whoever gets its number next.
class ProcessView {
public:
    explicit ProcessView(pid_t pid)
        : pid_(pid),
          folder_(::open(("/proc/" + std::to_string(pid)).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
        if (!folder_) gone();
    }

    [[nodiscard]] std::optional<NamespaceId> id_of(const std::string& kind) const {
        struct stat about {};
        if (::fstatat(folder_.get(), ("ns/" + kind).c_str(), &about, 0) == 0)
            return NamespaceId{about.st_dev, about.st_ino};
        if (errno == EACCES || errno == EPERM) return std::nullopt;
        gone();
    }

    // Its /dev/shm, by an O_PATH descriptor; none when it is not known.
    // @param to_read what is in it, and not only to see which folder it is: see open_shm_of()
    [[nodiscard]] Fd shared(bool to_read) const {
        ProcessShm found = open_shm_of(pid_);
        Fd folder;
        if (found.folder) return found.sure || !to_read ? std::move(found.folder) : std::move(folder);
        // Not ours to look at, but it may be the same as ours.
        const auto theirs = shm_mount_of(std::to_string(pid_));
        const auto own = shm_mount_of("self");
        if (theirs && own && theirs->whole && own->whole && theirs->device == own->device)
            folder.reset(::open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC));
        check();
        return folder;
    }

    /// @throws Error ESRCH when the process has ended
    void check() const {
        // A process has a state until it is reaped; then its folder is empty.
        const auto text = procfs::read_start(folder_.get(), "stat");
        const auto name_end = text ? text->rfind(')') : std::string::npos;
        if (name_end == std::string::npos || name_end + 2 >= text->size()) gone();
        const char state = (*text)[name_end + 2];
        if (state == 'Z' || state == 'X') gone();
    }

private:
    [[noreturn]] void gone() const { fail(ESRCH, "find process " + std::to_string(pid_)); }

    pid_t pid_;
    Fd folder_;
};

std::optional<FileId> id_of_folder(const Fd& folder) {
    struct stat about {};
    if (!folder || ::fstat(folder.get(), &about) != 0) return std::nullopt;
    return FileId{about.st_dev, about.st_ino};
}

// ---- One of two namespaces ---------------------------------------------------------------------------------------

class Side {
public:
    explicit Side(const Target& target) : place_(resolve(target)), user_namespace_(IdMap::user_namespace()) {
        // What resolve() leaves out is the caller's, or can't be looked at: which of the two matters here.
        place_.shm = target.is_process() ? ProcessView(pid_of(target)).shared(true) : shared_folder(place_);
        shm_ = id_of_folder(place_.shm);
    }

    [[nodiscard]] const Namespace& ipc() const { return place_.ipc; }
    [[nodiscard]] int folder() const { return place_.shm.get(); }
    [[nodiscard]] const std::optional<FileId>& shm() const { return shm_; }

    template <class Function>
    auto call(Function&& function) const {
        return place_.ipc.call(std::forward<Function>(function));
    }

    // Enters, and finds out what there is.
    void look_around(Kinds kinds, bool with_limits) {
        LookOptions how;
        how.kinds = kinds;
        how.semaphores = kinds.has(Kind::sem);
        objects = look(place_, how);
        const bool inside =
            kinds.has(Kind::msg) || kinds.has(Kind::sem) || kinds.has(Kind::shm) || kinds.has(Kind::mq);
        if (!inside && !with_limits) return;
        call([&] {
            foreign_ = IdMap::user_namespace() != user_namespace_;
            forced_ = removes_unattached();
            if (with_limits) limits = read_limit_use();
        });
    }

    // It takes joining another user namespace to look inside, in which not everybody has a number.
    [[nodiscard]] bool foreign() const { return foreign_; }
    [[nodiscard]] bool forced() const { return forced_; }

    Objects objects;
    std::vector<LimitUse> limits;

private:
    Place place_;
    ino_t user_namespace_;
    std::optional<FileId> shm_;
    bool foreign_ = false;
    bool forced_ = false;
};

bool is_overflow(std::uint32_t id) {
    static const std::uint32_t overflow = [] {
        const auto text = procfs::read_start(AT_FDCWD, "/proc/sys/kernel/overflowuid");
        std::uint32_t number = 65534;
        if (text) std::from_chars(text->data(), text->data() + text->size(), number);
        return number;
    }();
    return id == overflow;
}

// ---- What two records say ----------------------------------------------------------------------------------------

// Collects what is different, or unclear, about one object.
class Notes {
public:
    Notes(ComparedObject& object, bool foreign) : object_(object), foreign_(foreign) {}

    void number(Aspect aspect, std::uint64_t a, std::uint64_t b, std::optional<std::uint64_t> which = {}) {
        if (a != b) object_.differences.push_back({aspect, a, b, which, {}});
    }
    template <class Number>
    void number(Aspect aspect, const std::optional<Number>& a, const std::optional<Number>& b,
                const char* why) {
        if (a && b)
            number(aspect, *a, *b);
        else
            unclear(aspect, why);
    }
    void id(Aspect aspect, std::uint32_t a, std::uint32_t b) {
        const bool nobody = a == b && (may_be_unmapped(a) || (foreign_ && is_overflow(a)));
        if (nobody)
            unclear(aspect, "whoever it is has no number in this user namespace");
        else
            number(aspect, a, b);
    }
    void who(const Ownership& a, const Ownership& b) {
        id(Aspect::owner, a.owner, b.owner);
        id(Aspect::group, a.group, b.group);
        id(Aspect::creator, a.creator, b.creator);
        id(Aspect::creator_group, a.creator_group, b.creator_group);
        number(Aspect::mode, a.mode, b.mode);
    }
    void who(const FileOwnership& a, const FileOwnership& b) {
        id(Aspect::owner, a.owner, b.owner);
        id(Aspect::group, a.group, b.group);
        number(Aspect::mode, a.mode, b.mode);
    }
    void unclear(Aspect aspect, std::string why) { object_.unclear.push_back({aspect, std::move(why)}); }
    void byte(const ByteDifference& found, std::optional<std::uint64_t> which = {}) {
        object_.differences.push_back({Aspect::content, std::to_integer<std::uint64_t>(found.a),
                                       std::to_integer<std::uint64_t>(found.b), which, found.offset});
    }

private:
    ComparedObject& object_;
    bool foreign_;
};

// What all functions below look at.
struct Pair {
    const Side& a;
    const Side& b;
    const CompareOptions& options;
    std::vector<maps::SegmentFileSystem> file_systems; // found out when a segment is there twice
};

// ---- Messages ----------------------------------------------------------------------------------------------------

struct Message {
    long type = 0;
    std::vector<std::byte> bytes;
};

[[noreturn]] void refuse_messages(const Error& error, QueueId id) {
    switch (error.code().value()) {
    case EACCES: throw Unreadable("only who may read it learns what is in it");
    case ENOSYS: throw Unreadable("this kernel can't copy messages (CONFIG_CHECKPOINT_RESTORE)");
    case EINVAL:
        if (find_queue(id)) throw Unreadable("it has a message longer than its namespace's limit msgmax");
        [[fallthrough]];
    case EIDRM: throw Unreadable("it went away meanwhile");
    default: throw Unreadable(error.what());
    }
}

// Messages from a place on, but not too many at once. None: there are no more.
std::vector<Message> read_messages(QueueId id, std::uint64_t first) {
    constexpr std::size_t enough = std::size_t{1} << 20;
    const MessageQueue queue(id);
    std::vector<Message> messages;
    std::vector<std::byte> buffer(MessageQueue::on_stack);
    for (std::size_t held = 0; held < enough && messages.size() < 1024;) {
        try {
            const auto got = queue.peek(buffer, static_cast<long>(first + messages.size()));
            if (!got) break;
            held += got->size;
            messages.push_back({got->type, {buffer.data(), buffer.data() + got->size}});
        } catch (const Error& error) {
            if (error.code().value() != E2BIG || buffer.size() >= std::size_t{1} << 30)
                refuse_messages(error, id);
            buffer.resize(buffer.size() * 2);
        }
    }
    return messages;
}

// True when they are different.
bool compare_message(const Message& a, const Message& b, std::uint64_t number, Notes& notes) {
    if (a.type != b.type)
        notes.number(Aspect::message_type, static_cast<std::uint64_t>(a.type),
                     static_cast<std::uint64_t>(b.type), number);
    else if (a.bytes.size() != b.bytes.size())
        notes.number(Aspect::message_bytes, a.bytes.size(), b.bytes.size(), number);
    const auto [in_a, in_b] = std::mismatch(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end());
    const bool differ = in_a != a.bytes.end() && in_b != b.bytes.end();
    if (differ) notes.byte({static_cast<std::uint64_t>(in_a - a.bytes.begin()), *in_a, *in_b}, number);
    return differ || a.type != b.type || a.bytes.size() != b.bytes.size();
}

void compare_messages(const QueueRecord& a, const QueueRecord& b, const Pair& pair, Notes& notes) {
    for (std::uint64_t number = 0; number < std::min(a.messages, b.messages);) {
        const auto in_a = pair.a.call([&] { return read_messages(a.id, number); });
        const auto in_b = pair.b.call([&] { return read_messages(b.id, number); });
        const std::size_t count = std::min(in_a.size(), in_b.size());
        if (count == 0) throw Unreadable("messages were taken meanwhile");
        for (std::size_t i = 0; i < count; ++i) {
            if (compare_message(in_a[i], in_b[i], number + i, notes)) return;
        }
        number += count;
    }
}

// ---- Each kind ---------------------------------------------------------------------------------------------------

void compare_records(const Seen<QueueRecord>& a, const Seen<QueueRecord>& b, const Pair& pair, Notes& notes) {
    notes.number(Aspect::limit, a.record.limit, b.record.limit);
    notes.number(Aspect::messages, a.record.messages, b.record.messages);
    notes.number(Aspect::bytes, a.record.bytes, b.record.bytes);
    if (pair.options.content) compare_messages(a.record, b.record, pair, notes);
}

void compare_records(const SeenSet& a, const SeenSet& b, const Pair& /*pair*/, Notes& notes) {
    notes.number(Aspect::semaphores, a.record.count, b.record.count);
    if (!a.semaphores || !b.semaphores) {
        notes.unclear(Aspect::value, "only who may read it learns its values");
        return;
    }
    for (std::size_t i = 0; i < std::min(a.semaphores->size(), b.semaphores->size()); ++i)
        notes.number(Aspect::value, static_cast<std::uint64_t>((*a.semaphores)[i].value),
                     static_cast<std::uint64_t>((*b.semaphores)[i].value), i);
}

void compare_records(const Seen<SegmentRecord>& a, const Seen<SegmentRecord>& b, const Pair& pair,
                     Notes& notes) {
    notes.number(Aspect::size, a.record.bytes, b.record.bytes);
    notes.number(Aspect::locked, a.record.locked ? 1 : 0, b.record.locked ? 1 : 0);
    notes.number(Aspect::removed, a.record.removed ? 1 : 0, b.record.removed ? 1 : 0);
    if (!pair.options.content) return;
    const auto in_a = contents_of(pair.a.ipc(), a.record, pair.file_systems, pair.a.forced());
    const auto in_b = contents_of(pair.b.ipc(), b.record, pair.file_systems, pair.b.forced());
    if (const auto found = first_difference(*in_a, *in_b)) notes.byte(*found);
}

void compare_records(const Seen<PosixQueueRecord>& a, const Seen<PosixQueueRecord>& b, const Pair& pair,
                     Notes& notes) {
    const char* why = "only who may read it learns that";
    notes.number(Aspect::max_messages, a.record.max_messages, b.record.max_messages, why);
    notes.number(Aspect::message_size, a.record.message_size, b.record.message_size, why);
    notes.number(Aspect::messages, a.record.messages, b.record.messages, why);
    notes.number(Aspect::bytes, a.record.bytes, b.record.bytes, why);
    // Where the numbers differ, so do the messages.
    const bool equal = a.record.messages == b.record.messages && a.record.bytes == b.record.bytes;
    if (pair.options.content && equal && a.record.messages.value_or(0) != 0)
        throw Unreadable("messages of a POSIX queue are not read; `ipcns peek` shows those of one");
}

void compare_records(const Seen<NamedSemaphoreRecord>& a, const Seen<NamedSemaphoreRecord>& b,
                     const Pair& /*pair*/, Notes& notes) {
    notes.number(Aspect::value, a.record.value, b.record.value, "only who may read it learns its value");
}

void compare_records(const Seen<SharedMemoryRecord>& a, const Seen<SharedMemoryRecord>& b, const Pair& pair,
                     Notes& notes) {
    notes.number(Aspect::size, a.record.bytes, b.record.bytes);
    if (!pair.options.content) return;
    const auto in_a = contents_of(pair.a.folder(), a.record);
    const auto in_b = contents_of(pair.b.folder(), b.record);
    if (const auto found = first_difference(*in_a, *in_b)) notes.byte(*found);
}

// ---- Side by side ------------------------------------------------------------------------------------------------

// What makes two objects of a kind the same one.
template <class Record>
auto identity_of(const Record& record) {
    if constexpr (requires { record.key; })
        // Those without a key come last, by their ids.
        return std::tuple(record.key == Key::none, record.key == Key::none
                                                       ? static_cast<std::uint32_t>(record.id)
                                                       : static_cast<std::uint32_t>(record.key));
    else
        return record.name;
}

template <class Item>
void compare_kind(Kind kind, const std::vector<Item>& a, const std::vector<Item>& b, const Pair& pair,
                  Comparison& result) {
    using Identity = decltype(identity_of(a.front().record));
    std::map<Identity, std::pair<const Item*, const Item*>> pairs;
    for (const auto& item : a) pairs[identity_of(item.record)].first = &item;
    for (const auto& item : b) pairs[identity_of(item.record)].second = &item;
    const bool foreign = (is_sysv(kind) || kind == Kind::mq) && (pair.a.foreign() || pair.b.foreign());
    for (const auto& [identity, items] : pairs) {
        ComparedObject object;
        object.kind = kind;
        if (items.first != nullptr) object.a = items.first->record;
        if (items.second != nullptr) object.b = items.second->record;
        if (object.a && object.b) {
            Notes notes(object, foreign);
            notes.who(items.first->record.who, items.second->record.who);
            try {
                compare_records(*items.first, *items.second, pair, notes);
            } catch (const Unreadable& why) {
                notes.unclear(Aspect::content, why.what());
            }
        }
        if (object.verdict() == ComparedObject::Verdict::same)
            ++result.same_objects;
        else
            result.objects.push_back(std::move(object));
    }
}

// True when all of a kind was seen, so far as to know what there is.
bool was_seen(Kind kind, const Objects& a, const Objects& b, Comparison& result) {
    bool seen = true;
    for (const Objects* objects : {&a, &b}) {
        for (const auto& unseen : objects->unseen) {
            if (unseen.kind != kind) continue;
            // Objects that are only partly seen say so themselves, but for files in folders, which are no objects.
            if (unseen.count != 0 && !unseen.unlisted) continue;
            seen = false;
            result.unclear_kinds.push_back({kind, unseen.why});
            break;
        }
    }
    return seen;
}

void compare_limits(const std::vector<LimitUse>& a, const std::vector<LimitUse>& b, Comparison& result) {
    for (const auto& limit : a) {
        const auto other =
            std::find_if(b.begin(), b.end(), [&](const auto& one) { return one.key == limit.key; });
        if (other != b.end() && other->value == limit.value)
            ++result.same_limits;
        else
            result.limits.push_back({limit.key, limit.value, other == b.end() ? std::nullopt : other->value});
    }
}

} // namespace

// ---- Two processes -----------------------------------------------------------------------------------------------

Same ProcessComparison::same_ipc() const noexcept {
    for (const auto& pair : namespaces) {
        if (std::string_view(pair.kind) == "ipc") return pair.same();
    }
    return Same::unknown;
}

Same ProcessComparison::same() const noexcept {
    Same all = same_shm();
    for (const auto& pair : namespaces) all = both(all, pair.same());
    return all;
}

std::size_t ProcessComparison::not_compared() const noexcept {
    const auto unknown = std::count_if(namespaces.begin(), namespaces.end(),
                                       [](const auto& pair) { return pair.same() == Same::unknown; });
    return static_cast<std::size_t>(unknown) + (same_shm() == Same::unknown ? 1 : 0);
}

ProcessComparison compare_processes(const Target& a, const Target& b) {
    ProcessComparison result;
    result.a = pid_of(a);
    result.b = pid_of(b);
    const ProcessView view_a(result.a);
    const ProcessView view_b(result.b);
    for (const char* kind : kinds_of_namespaces) {
        if (::faccessat(AT_FDCWD, (std::string("/proc/self/ns/") + kind).c_str(), F_OK,
                        AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        result.namespaces.push_back({kind, view_a.id_of(kind), view_b.id_of(kind)});
    }
    result.shm_a = id_of_folder(view_a.shared(false));
    result.shm_b = id_of_folder(view_b.shared(false));
    view_a.check();
    view_b.check();
    return result;
}

// ---- Two namespaces ----------------------------------------------------------------------------------------------

const char* word_of(Aspect aspect) noexcept {
    switch (aspect) {
    case Aspect::owner: return "owner";
    case Aspect::group: return "group";
    case Aspect::creator: return "creator";
    case Aspect::creator_group: return "creator_group";
    case Aspect::mode: return "mode";
    case Aspect::size: return "size";
    case Aspect::locked: return "locked";
    case Aspect::removed: return "removed";
    case Aspect::semaphores: return "semaphores";
    case Aspect::value: return "value";
    case Aspect::limit: return "limit";
    case Aspect::messages: return "messages";
    case Aspect::bytes: return "bytes";
    case Aspect::max_messages: return "max_messages";
    case Aspect::message_size: return "message_size";
    case Aspect::message_type: return "message_type";
    case Aspect::message_bytes: return "message_bytes";
    case Aspect::content: break;
    }
    return "content";
}

ObjectName ComparedObject::name() const {
    return std::visit(
        [](const auto& record) {
            ObjectName name = name_of(record);
            if constexpr (requires { record.key; }) {
                if (record.key != Key::none) name = {name.kind, {}, record.key, {}};
            }
            return name;
        },
        a ? *a : *b);
}

std::size_t Comparison::not_compared() const noexcept {
    std::size_t count = unclear_kinds.size();
    for (const auto& object : objects) count += object.unclear.size();
    return count;
}

Same Comparison::same() const noexcept {
    const bool differs =
        !limits.empty() || std::any_of(objects.begin(), objects.end(), [](const ComparedObject& object) {
            return object.verdict() != ComparedObject::Verdict::not_compared;
        });
    if (differs) return Same::no;
    return not_compared() == 0 ? Same::yes : Same::unknown;
}

Comparison compare(const Target& a, const Target& b, const CompareOptions& options) {
    Side side_a(a);
    Side side_b(b);
    Comparison result;
    result.a = side_a.ipc().id();
    result.b = side_b.ipc().id();
    result.same_ipc = result.a == result.b;
    if (side_a.shm() && side_b.shm()) result.same_shm = *side_a.shm() == *side_b.shm() ? Same::yes : Same::no;

    Kinds kinds;
    for (const Kind kind : all_kinds) {
        if (!options.kinds.has(kind)) continue;
        const bool file = kind == Kind::psem || kind == Kind::pshm;
        if (file && result.same_shm == Same::unknown)
            result.unclear_kinds.push_back({kind, std::string("which /dev/shm belongs to ") +
                                                      escape((side_a.shm() ? b : a).text()) +
                                                      " is not known"});
        if (file ? result.same_shm == Same::no : !result.same_ipc) kinds.add(kind);
    }
    const bool limits = options.limits && !result.same_ipc;
    for (Side* side : {&side_a, &side_b}) side->look_around(kinds, limits);

    Pair pair{side_a, side_b, options, {}};
    const Objects& in_a = side_a.objects;
    const Objects& in_b = side_b.objects;
    if (options.content && !in_a.shm.empty() && !in_b.shm.empty())
        pair.file_systems = maps::segment_file_systems();
    const auto each = [&](Kind kind, const auto& items_a, const auto& items_b) {
        if (kinds.has(kind) && was_seen(kind, in_a, in_b, result))
            compare_kind(kind, items_a, items_b, pair, result);
    };
    each(Kind::msg, in_a.msg, in_b.msg);
    each(Kind::sem, in_a.sem, in_b.sem);
    each(Kind::shm, in_a.shm, in_b.shm);
    each(Kind::mq, in_a.mq, in_b.mq);
    each(Kind::psem, in_a.psem, in_b.psem);
    each(Kind::pshm, in_a.pshm, in_b.pshm);
    compare_limits(side_a.limits, side_b.limits, result);
    return result;
}

} // namespace ipcns
