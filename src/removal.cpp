// SPDX-License-Identifier: Apache-2.0
// Choosing objects and removing them. Leans on: inside of Namespace::call() users may have other names than outside (see
// idmap.hpp), and remove_same() compares them; a segment that is removed while attached stays under its id until the
// last detach; process 1's /dev/shm can be told by its device in /proc/1/mountinfo, which everybody may read.
#include <ipcns/removal.hpp>

#include "error.hpp"
#include "idmap.hpp"
#include "mounts.hpp"

#include <fcntl.h>
#include <mqueue.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <string>
#include <string_view>

namespace ipcns {
namespace {

template <class Record>
concept SysvRecord = requires(const Record& record) {
    record.key;
};

// ---- Choosing ----------------------------------------------------------------------------------------------------

Moment used(const QueueRecord& queue) { return std::max({queue.changed, queue.sent, queue.received}); }
Moment used(const SemaphoreSetRecord& set) { return std::max(set.changed, set.operated); }
Moment used(const SegmentRecord& segment) {
    return std::max({segment.changed, segment.attach_time, segment.detach_time});
}
// The other times of a queue move when somebody looks at it.
Moment used(const PosixQueueRecord& queue) { return queue.modified; }
Moment used(const PosixRecord& file) {
    Moment born;
    if (file.born) born = std::chrono::floor<std::chrono::seconds>(*file.born);
    return std::max({born, file.accessed, file.modified, file.changed});
}

bool is_removed(const SegmentRecord& segment) { return segment.removed; }
template <class Record>
bool is_removed(const Record& /*record*/) {
    return false;
}

bool is_attached(const SegmentRecord& segment) { return segment.attached != 0; }
template <class Record>
bool is_attached(const Record& /*record*/) {
    return false;
}

bool somebody_has(State state) {
    return state == State::in_use || state == State::waiting || state == State::full;
}

// Looks at every object of one kind.
template <class Items>
void choose_among(const Items& items, const Selection& selection, std::chrono::sys_seconds now,
                  Choice& choice) {
    for (const auto& seen : items) {
        const auto& record = seen.record;
        if (is_removed(record)) continue;
        if (selection.owner && record.who.owner != *selection.owner) continue;
        if (selection.key) {
            if constexpr (SysvRecord<std::remove_cvref_t<decltype(record)>>) {
                if (record.key != *selection.key) continue;
            } else {
                continue;
            }
        }
        if (selection.unused_for) {
            const Moment last = used(record);
            // Not their difference: a queue's time can be set to anything.
            if (last && *last > now - *selection.unused_for) continue;
        }
        if (selection.orphans && seen.state != State::orphan) {
            if (seen.state == State::unknown) ++choice.unsure;
            continue;
        }
        if (selection.unused_for && (is_attached(record) || somebody_has(seen.state))) {
            ++choice.in_use;
            continue;
        }
        choice.chosen.push_back({record, seen.state});
    }
}

// ---- Queues without a folder of queues ---------------------------------------------------------------------------

// Who may not mount queues, and has no /dev/mqueue either, can still open one by its name.
PosixQueueRecord open_and_describe(const std::string& name) {
    Fd queue(::mq_open(name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!queue && errno == EACCES) queue.reset(::mq_open(name.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    struct stat about {};
    struct mq_attr attributes {};
    if (!queue || ::fstat(queue.get(), &about) != 0 || ::mq_getattr(queue.get(), &attributes) != 0)
        fail("look at a POSIX queue");
    const auto moment = [](const struct timespec& time) {
        return std::chrono::sys_seconds(std::chrono::seconds(time.tv_sec));
    };
    PosixQueueRecord record;
    record.name = name;
    record.file = {about.st_dev, about.st_ino};
    record.who = {about.st_uid, about.st_gid, about.st_mode & 07777};
    record.accessed = moment(about.st_atim);
    record.modified = moment(about.st_mtim);
    record.changed = moment(about.st_ctim);
    record.max_messages = static_cast<std::uint64_t>(attributes.mq_maxmsg);
    record.message_size = static_cast<std::uint64_t>(attributes.mq_msgsize);
    record.messages = static_cast<std::uint64_t>(attributes.mq_curmsgs);
    return record;
}

std::optional<PosixQueueRecord> find_queue_by_opening(const std::string& name) {
    try {
        return open_and_describe(name);
    } catch (const Error& error) {
        if (error.code().value() == ENOENT) return std::nullopt;
        throw;
    }
}

bool remove_same_by_name(const PosixQueueRecord& record) {
    const auto now = find_queue_by_opening(record.name);
    if (!now || now->file != record.file || now->who != record.who ||
        (record.readable() &&
         (now->max_messages != record.max_messages || now->message_size != record.message_size)))
        return false;
    if (::mq_unlink(record.name.c_str()) == 0) return true;
    if (errno == ENOENT) return false;
    const int number = errno;
    fail(number, "remove a POSIX queue", number == EACCES ? "that takes its owner, or root" : "");
}

// ---- Inside ------------------------------------------------------------------------------------------------------

// What acts in the namespace: made there, and gone before the caller is back outside.
class Inside {
public:
    explicit Inside(ino_t user_namespace) : ids_(user_namespace) {}

    std::optional<AnyRecord> find(const ObjectName& name) {
        switch (name.kind) {
        case Kind::msg: return outside(name.id ? find_queue(QueueId{*name.id}) : find_queue(key_of(name)));
        case Kind::sem:
            return outside(name.id ? find_semaphore_set(SemaphoreSetId{*name.id})
                                   : find_semaphore_set(key_of(name)));
        case Kind::shm:
            return outside(name.id ? find_segment(SegmentId{*name.id}) : find_segment(key_of(name)));
        default:
            return outside(folder() >= 0 ? find_posix_queue(folder(), name.name)
                                         : find_queue_by_opening(name.name));
        }
    }

    // True: removed. False: it is not the same any more.
    template <class Record>
    bool remove(Record record) {
        ids_.to_inside(record.who);
        return remove_same(record);
    }
    bool remove(PosixQueueRecord record) {
        ids_.to_inside(record.who);
        return folder() >= 0 ? remove_same(folder(), record) : remove_same_by_name(record);
    }

private:
    static Key key_of(const ObjectName& name) { return name.key.value_or(Key::none); }

    template <class Record>
    std::optional<AnyRecord> outside(std::optional<Record> record) const {
        if (!record) return std::nullopt;
        ids_.to_outside(record->who);
        return *std::move(record);
    }

    // Of the namespace's queues; -1 when there is none.
    int folder() {
        if (!looked_) queues_ = open_queues();
        looked_ = true;
        return queues_.folder.get();
    }

    IdMap ids_;
    QueueFolder queues_;
    bool looked_ = false;
};

// The same for the files of a /dev/shm, which need no entering.
class Files {
public:
    explicit Files(Fd folder) : folder_(std::move(folder)) {}

    std::optional<AnyRecord> find(const ObjectName& name) const {
        require();
        std::optional<AnyRecord> found;
        if (name.kind == Kind::psem) {
            if (auto record = find_named_semaphore(folder_.get(), name.name)) found = *std::move(record);
        } else {
            if (auto record = find_shared_memory(folder_.get(), name.name)) found = *std::move(record);
        }
        return found;
    }
    template <class Record>
    bool remove(const Record& record) const {
        require();
        return remove_same(folder_.get(), record);
    }

private:
    void require() const {
        if (!folder_)
            fail(ENOENT, "find the /dev/shm of the namespace",
                 "it is not known which /dev/shm belongs to this namespace");
    }

    Fd folder_;
};

bool is_file(Kind kind) { return kind == Kind::psem || kind == Kind::pshm; }

template <class Place>
Found find_in(Place& place, const ObjectName& name) {
    try {
        return {place.find(name), {}};
    } catch (const Error& error) {
        return {{}, error};
    }
}

template <class Place, class Record>
Removal remove_from(Place& place, const Record& record, const RemovalOptions& options) {
    constexpr bool is_segment = std::same_as<Record, SegmentRecord>;
    Removal result;
    try {
        if constexpr (is_segment) {
            const auto now = options.spare_attached ? find_segment(record.id) : std::nullopt;
            if (now && now->attached != 0) {
                result.outcome = Removal::Outcome::in_use;
                result.attached = now->attached;
                return result;
            }
        }
        if (!place.remove(record)) {
            result.outcome = place.find(name_of(record)) ? Removal::Outcome::changed : Removal::Outcome::gone;
            return result;
        }
        if constexpr (is_segment) {
            const auto rest = find_segment(record.id);
            if (rest && rest->removed) {
                result.outcome = Removal::Outcome::lingers;
                result.attached = rest->attached;
            }
        }
    } catch (const Error& error) {
        result.outcome = Removal::Outcome::failed;
        result.error = error;
    }
    return result;
}

// ---- The host's --------------------------------------------------------------------------------------------------

bool is_shm_of_host(int folder) {
    struct stat theirs {};
    struct stat hosts {};
    if (::fstat(folder, &theirs) != 0) return true;
    if (::stat("/proc/1/root/dev/shm", &hosts) == 0)
        return hosts.st_dev == theirs.st_dev && hosts.st_ino == theirs.st_ino;
    const auto mount = shm_mount_of("1");
    return !mount || mount->device == theirs.st_dev;
}

} // namespace

ObjectName name_of(const AnyRecord& record) {
    return std::visit([](const auto& one) { return name_of(one); }, record);
}

Moment last_used(const AnyRecord& record) {
    return std::visit([](const auto& one) { return used(one); }, record);
}

Choice choose(const Place& place, const Selection& selection, bool states) {
    if (selection.owner && may_be_unmapped(*selection.owner))
        throw UsageError("the user " + std::to_string(*selection.owner) +
                         " stands for everybody who has no number in this user namespace");
    LookOptions how;
    how.kinds = selection.kinds;
    how.states = states || selection.orphans || selection.unused_for;
    const Objects objects = look(place, how);
    Choice choice;
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    const auto among = [&](Kind kind, const auto& items) {
        if (selection.kinds.has(kind)) choose_among(items, selection, now, choice);
    };
    among(Kind::msg, objects.msg);
    among(Kind::sem, objects.sem);
    among(Kind::shm, objects.shm);
    among(Kind::mq, objects.mq);
    among(Kind::psem, objects.psem);
    among(Kind::pshm, objects.pshm);
    choice.unseen = objects.unseen;
    choice.unseen_processes = objects.unseen_processes;
    return choice;
}

std::vector<Found> find_objects(const Place& place, std::span<const ObjectName> names) {
    std::vector<Found> found(names.size());
    const auto any = [&](bool file) {
        return std::any_of(names.begin(), names.end(),
                           [&](const ObjectName& name) { return is_file(name.kind) == file; });
    };
    const auto each = [&](auto& where, bool file) {
        for (std::size_t i = 0; i < names.size(); ++i)
            if (is_file(names[i].kind) == file) found[i] = find_in(where, names[i]);
    };
    if (any(false)) {
        const ino_t user_namespace = IdMap::user_namespace();
        place.ipc.call([&] {
            Inside inside(user_namespace);
            each(inside, false);
        });
    }
    if (any(true)) {
        const Files files(shared_folder(place));
        each(files, true);
    }
    return found;
}

std::vector<Removal> remove_objects(const Place& place, std::span<const AnyRecord> records,
                                    const RemovalOptions& options) {
    std::vector<Removal> results(records.size());
    const auto is_in_file = [](const AnyRecord& record) {
        return std::holds_alternative<NamedSemaphoreRecord>(record) ||
               std::holds_alternative<SharedMemoryRecord>(record);
    };
    if (!std::all_of(records.begin(), records.end(), is_in_file)) {
        const ino_t user_namespace = IdMap::user_namespace();
        place.ipc.call([&] {
            Inside inside(user_namespace);
            for (std::size_t i = 0; i < records.size(); ++i) {
                std::visit(
                    [&]<class Record>(const Record& record) {
                        if constexpr (SysvRecord<Record> || std::same_as<Record, PosixQueueRecord>)
                            results[i] = remove_from(inside, record, options);
                    },
                    records[i]);
            }
        });
    }
    if (std::any_of(records.begin(), records.end(), is_in_file)) {
        const Files files(shared_folder(place));
        for (std::size_t i = 0; i < records.size(); ++i) {
            std::visit(
                [&]<class Record>(const Record& record) {
                    if constexpr (!SysvRecord<Record> && !std::same_as<Record, PosixQueueRecord>)
                        results[i] = remove_from(files, record, options);
                },
                records[i]);
        }
    }
    return results;
}

bool is_of_host(const Place& place, Kinds kinds) {
    const bool inside =
        kinds.has(Kind::msg) || kinds.has(Kind::sem) || kinds.has(Kind::shm) || kinds.has(Kind::mq);
    if (inside && place.ipc.id() == Namespace::host_id()) return true;
    if (!kinds.has(Kind::psem) && !kinds.has(Kind::pshm)) return false;
    const Fd folder = shared_folder(place);
    return folder && is_shm_of_host(folder.get());
}

} // namespace ipcns
