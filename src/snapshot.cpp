// SPDX-License-Identifier: Apache-2.0
// Save, restore, clone: from where to where. What flows is flow.hpp; a living namespace is read by capture.cpp, a file by
// tarball.cpp, which writes it as well, and a new namespace is filled by rebuild.cpp.
//
// A file appears whole or not at all: it has no name (O_TMPFILE) until it is complete and on its disk.
#include <ipcns/snapshot.hpp>

#include "capture.hpp"
#include "drain.hpp"
#include "error.hpp"
#include "flow.hpp"
#include "idmap.hpp"
#include "quiet_thread.hpp"
#include "random.hpp"
#include "rebuild.hpp"
#include "tarball.hpp"
#include "usermap.hpp"

#include <ipcns/hold.hpp>
#include <ipcns/text.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace ipcns {
namespace {

/// Processes that stand still while a namespace is read, unless that was not wanted.
class Stillness {
public:
    Stillness(const Place& place, const SaveOptions& options, int output) {
        if (options.live) return;
        check(place);
        HoldOptions how;
        how.max_pause = options.max_pause;
        how.except = keepers(place);
        hold_ = hold(place, how);
        struct stat about {};
        if (output < 0 || ::fstat(output, &about) != 0 || S_ISREG(about.st_mode)) return;
        if (hold_->has_open({about.st_dev, about.st_ino}))
            throw UsageError(
                "the snapshot would be written to a program inside the namespace, which stands still meanwhile",
                "write it to a file, or use --live");
    }
    static void check(const Place& place) {
        if (place.ipc.id() == Namespace::host_id())
            throw UsageError(
                "the host's namespace can only be saved live",
                "to hold it still would hold every program of the system, your terminal too: --live");
    }
    /// Lets go. @throws Error when somebody has moved
    void end(SaveReport& report) {
        if (!hold_) return;
        report.held = hold_->processes().size();
        hold_->check();
        report.pause = hold_->release();
        // Who has no privileges never sees other users' processes, and they can't be in a namespace that is its own.
        if (hold_->unseen() == 0 || !has_sys_admin() || has_sys_ptrace()) return;
        note_ = std::to_string(hold_->unseen()) + (hold_->unseen() == 1 ? " process" : " processes") +
                " could not be looked at, which takes CAP_SYS_PTRACE: those of them that are inside were "
                "not held still";
    }
    /// What the report should say of that, or nothing.
    [[nodiscard]] const std::string& note() const noexcept { return note_; }

private:
    // A keeper only keeps: it has nothing to do with what is inside.
    static std::vector<pid_t> keepers(const Place& place) {
        std::vector<pid_t> found;
        if (place.name.empty()) return found;
        for (const auto& known : Registry::of_caller().list()) {
            if (known.keeper != 0 && known.id == place.ipc.id()) found.push_back(known.keeper);
        }
        return found;
    }
    // Somebody who came in just now, or another save, is no reason to give up at once.
    static Hold hold(const Place& place, const HoldOptions& how) {
        constexpr std::chrono::milliseconds pause{20};
        constexpr int attempts = 100;
        for (int attempt = 1;; ++attempt) {
            try {
                return Hold::still(place, how);
            } catch (const Error& error) {
                const int number = error.code().value();
                if ((number != EAGAIN && number != EBUSY) || attempt == attempts) throw;
            }
            std::this_thread::sleep_for(pause);
        }
    }

    std::optional<Hold> hold_;
    std::string note_;
};

// Reads a namespace into a receiver; its end() is left to the caller.
SaveReport read_namespace(const Place& place, const SaveOptions& options, int output, Receiver& to,
                          std::unique_ptr<Capture>& capture) {
    SaveReport report;
    capture = std::make_unique<Capture>(place, options);
    Stillness still(place, options, output);
    place.ipc.call([&] {
        (void)capture->look();
        report.contents = capture->feed(to);
    });
    still.end(report);
    if (!still.note().empty()) capture->notes().push_back(still.note());
    return report;
}

SaveReport save_once(const Place& place, int output, const SaveOptions& options, TarWriter& writer) {
    std::unique_ptr<Capture> capture;
    SaveReport report = read_namespace(place, options, output, writer, capture);
    report.written_again = writer.written_again();
    writer.end({static_cast<std::uint64_t>(report.pause.count()), report.held, {}});
    report.written = writer.written();
    report.snapshot = std::move(capture->snapshot());
    report.notes = std::move(capture->notes());
    return report;
}

// Writes what there is while everybody goes on, as far as that goes. Nothing of it is counted on: who starts over finds what is
// different. So the best manifest is one that says as much as the true one will.
// @return bytes of contents
std::uint64_t save_beforehand(const Place& place, const SaveOptions& options, TarWriter& writer) {
    SaveOptions how;
    how.live = true;
    if (options.progress)
        how.progress = [&](const Progress& now) { options.progress({now.done, 2 * now.all}); };
    Capture capture(place, how);
    capture.snapshot().live = false;
    std::uint64_t contents = 0;
    try {
        place.ipc.call([&] {
            (void)capture.look();
            contents = capture.feed(writer);
        });
    } catch (const Error&) {
        // What can't be read while it is used may be read when nobody moves; what can't be written, never.
        if (writer.failed()) throw;
    }
    return contents;
}

void check_options(const SaveOptions& options) {
    constexpr int highest = 19;
    if (options.zstd && (*options.zstd < 1 || *options.zstd > highest))
        throw UsageError("zstd has the levels 1 to 19");
    if (options.live && options.max_pause)
        throw UsageError("nobody pauses in a live save", "--max-pause is for the other kind");
    if (options.live && options.drain)
        throw UsageError("nothing can be drained in a live save: those inside would find their messages gone",
                         "--drain is for the other kind");
    if (!options.precopy) return;
    if (options.live) throw UsageError("nobody pauses in a live save", "--precopy is for the other kind");
    if (options.zstd)
        throw UsageError(
            "what is written beforehand can't be compressed: one change, and all behind it is other bytes",
            "either --precopy or --zstd; compress the file later");
    if (options.drain)
        throw UsageError("nothing can be drained beforehand: that takes everybody to stand still",
                         "either --precopy or --drain");
}

// Where what is written can't be taken back.
void refuse_precopy(const SaveOptions& options) {
    if (options.precopy)
        throw UsageError("only to a regular file can a snapshot be written beforehand",
                         "what differs then is written over it; save without --precopy, or give a file");
}

std::string hidden_name(const std::string& file) {
    constexpr std::size_t longest = 200; // of 255, with what comes behind it
    return random_name("." + file.substr(0, longest) + ".ipcns-");
}

/// A file that has no name yet.
class NewFile {
public:
    explicit NewFile(const std::filesystem::path& path)
        : what_("write " + escape(path.string())), name_(path.filename()) {
        const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
        folder_ = Fd(::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!folder_) fail("open the folder " + escape(parent.string()));
        file_ = Fd(::openat(folder_.get(), ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
        if (file_) return;
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) fail(what_);
        // A file system without: then it has a hidden name meanwhile.
        hidden_ = hidden_name(name_);
        file_ = Fd(::openat(folder_.get(), hidden_.c_str(),
                            O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!file_) fail(what_);
    }
    ~NewFile() {
        if (!hidden_.empty()) (void)::unlinkat(folder_.get(), hidden_.c_str(), 0);
    }
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    [[nodiscard]] int fd() const noexcept { return file_.get(); }

    /// What was written goes to the disk.
    void sync() {
        if (::fsync(file_.get()) != 0) fail(what_);
    }
    /// To begin once more.
    void empty() {
        if (::ftruncate(file_.get(), 0) != 0 || ::lseek(file_.get(), 0, SEEK_SET) != 0) fail(what_);
    }

    /// On the disk, and under its name.
    void appear() {
        sync();
        if (hidden_.empty() && link_as(name_)) {
            sync_folder();
            return;
        }
        if (hidden_.empty()) {
            // A link can't replace another file; a rename can.
            const std::string hidden = hidden_name(name_);
            if (!link_as(hidden)) fail(EEXIST, what_);
            hidden_ = hidden;
        }
        if (::renameat(folder_.get(), hidden_.c_str(), folder_.get(), name_.c_str()) != 0) fail(what_);
        hidden_.clear();
        sync_folder();
    }

private:
    // False when there is something of that name.
    bool link_as(const std::string& name) {
        const std::string self = "/proc/self/fd/" + std::to_string(file_.get());
        if (::linkat(AT_FDCWD, self.c_str(), folder_.get(), name.c_str(), AT_SYMLINK_FOLLOW) == 0)
            return true;
        if (errno != EEXIST) fail(what_);
        return false;
    }
    void sync_folder() {
        if (::fsync(folder_.get()) != 0 && errno != EINVAL)
            fail(what_ + ", which is there, and whole, but may not outlast a power failure");
    }

    std::string what_, name_, hidden_;
    Fd folder_, file_;
};

// Where the contents of a file go that is only checked.
class Nowhere : public Receiver {
public:
    void begin(const Snapshot& /*snapshot*/) override {}
    void begin_memory(Kind /*kind*/, std::size_t /*index*/, std::span<const Extent> /*extents*/) override {}
    void bytes(std::uint64_t /*offset*/, std::span<const std::byte> /*data*/) override {}
    void end_memory() override {}
    void begin_messages(Kind /*kind*/, std::size_t /*index*/, std::uint64_t /*count*/,
                        std::uint64_t /*bytes*/) override {}
    void message(std::int64_t /*type*/, std::span<const std::byte> /*text*/) override {}
    void end_messages() override {}
    void end(const SnapshotEnd& /*end*/) override {}
};

// Somebody may be woken in the middle, by a timer or a signal: then all begins once more.
template <class Work>
auto until_still(Work work) {
    constexpr int attempts = 3;
    for (int attempt = 1;; ++attempt) {
        try {
            return work();
        } catch (const Error& error) {
            if (error.code().value() != EAGAIN || attempt == attempts) throw;
        }
    }
}

SaveReport save_twice(const Place& place, const std::filesystem::path& file, const SaveOptions& options) {
    Stillness::check(place);
    NewFile output(file);
    TarWriter writer(output.fd(), escape(file.string()));
    const std::uint64_t before = save_beforehand(place, options, writer);
    // Or the kernel may let who writes wait for the disk, in the pause.
    output.sync();
    SaveOptions how = options;
    if (options.progress)
        how.progress = [&](const Progress& now) { options.progress({before + now.done, before + now.all}); };
    return until_still([&] {
        writer.start_over();
        SaveReport report = save_once(place, output.fd(), how, writer);
        output.appear();
        return report;
    });
}

// A stranger may have written it.
std::string saved_name(const TarReader& reader) {
    const Snapshot& snapshot = reader.snapshot();
    if (snapshot.name.empty())
        fail(EINVAL, "restore the snapshot: what was saved had no name",
             "say what the new one is to be called");
    try {
        check_name(snapshot.name);
    } catch (const UsageError&) {
        fail(EBADMSG, reader.doing() + ": the name " + escape(snapshot.name) + " makes no sense",
             "say what the new one is to be called");
    }
    return snapshot.name;
}

CreateOptions create_options(const RestoreOptions& options, const Snapshot& snapshot) {
    CreateOptions create;
    create.shm_size = options.shm_size ? options.shm_size : snapshot.shm_size;
    return create;
}

} // namespace

SaveReport save(const Place& place, int output, const SaveOptions& options) {
    check_options(options);
    refuse_precopy(options);
    TarWriter writer(output, options.zstd);
    return save_once(place, output, options, writer);
}

SaveReport save(const Place& place, const std::filesystem::path& file, const SaveOptions& options) {
    check_options(options);
    if (!file.has_filename()) throw UsageError(escape(file.string()) + " is no name for a file");
    struct stat about {};
    if (::stat(file.c_str(), &about) == 0 && !S_ISREG(about.st_mode)) {
        refuse_precopy(options);
        const Fd output(::open(file.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
        if (!output) fail("write " + escape(file.string()));
        if (::isatty(output.get()) == 1)
            throw UsageError(escape(file.string()) + " is a terminal, and a snapshot is nothing for one",
                             "give a file, or a pipe");
        TarWriter writer(output.get(), options.zstd, escape(file.string()));
        return save_once(place, output.get(), options, writer);
    }
    if (options.precopy) return save_twice(place, file, options);
    NewFile output(file);
    return until_still([&] {
        output.empty();
        TarWriter writer(output.fd(), options.zstd, escape(file.string()));
        SaveReport report = save_once(place, output.fd(), options, writer);
        output.appear();
        return report;
    });
}

std::vector<std::string> recover_drained(const Registry& registry) {
    const Fd folder(::open(registry.folder().c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat about {};
    // Below /tmp anybody could have made it.
    if (!folder || ::fstat(folder.get(), &about) != 0 || about.st_uid != ::geteuid() ||
        (about.st_mode & 022) != 0)
        return {};
    return recover_drained(folder.get());
}

Snapshot read_snapshot(int input) { return TarReader(input).snapshot(); }

Snapshot check_snapshot(int input, const ProgressFunction& progress) {
    TarReader reader(input);
    Nowhere nowhere;
    (void)reader.feed(nowhere, progress);
    return reader.snapshot();
}

RestoreReport restore(int input, const Registry& registry, const std::string& wanted,
                      const RestoreOptions& options) {
    if (!wanted.empty()) check_name(wanted);
    TarReader reader(input);
    const std::string name = wanted.empty() ? saved_name(reader) : wanted;
    RestoreReport report;
    Registry::Draft draft = registry.draft(name, create_options(options, reader.snapshot()));
    const Fd shared = shared_folder(draft.place());
    Rebuild rebuild(shared.get(), Rebuild::Into::empty, options, IdMap::user_namespace());
    draft.place().ipc.call([&] { report.contents = reader.feed(rebuild, options.progress); });
    draft.publish();
    report.snapshot = reader.snapshot();
    report.notes = std::move(rebuild.notes());
    return report;
}

RestoreReport restore_into(int input, const Place& place, const RestoreOptions& options) {
    TarReader reader(input);
    const Snapshot& snapshot = reader.snapshot();
    RestoreReport report;
    const Fd shared = shared_folder(place);
    if (!shared && !(snapshot.pshm.empty() && snapshot.psem.empty()))
        fail(ENOENT, "restore shared memory and named semaphores",
             "which /dev/shm belongs to the namespace is not known");
    const ino_t user_namespace = IdMap::user_namespace();
    place.ipc.call([&] {
        // Its end, too, is inside.
        Rebuild rebuild(shared.get(), Rebuild::Into::used, options, user_namespace);
        report.contents = reader.feed(rebuild, options.progress);
        report.notes = std::move(rebuild.notes());
    });
    report.snapshot = snapshot;
    return report;
}

namespace {

// One namespace is read by one thread, another one is filled by another: neither can leave its own where that takes joining
// a user namespace. What is to be received is handed over, and waited for.
class Ferry : public Receiver {
public:
    explicit Ferry(Receiver& to) : to_(to) {}

    void begin(const Snapshot& snapshot) override {
        over([&] { to_.begin(snapshot); });
    }
    void begin_memory(Kind kind, std::size_t index, std::span<const Extent> extents) override {
        over([&] { to_.begin_memory(kind, index, extents); });
    }
    void bytes(std::uint64_t offset, std::span<const std::byte> data) override {
        over([&] { to_.bytes(offset, data); });
    }
    void end_memory() override {
        over([&] { to_.end_memory(); });
    }
    void begin_messages(Kind kind, std::size_t index, std::uint64_t count, std::uint64_t bytes) override {
        over([&] { to_.begin_messages(kind, index, count, bytes); });
    }
    void message(std::int64_t type, std::span<const std::byte> text) override {
        over([&] { to_.message(type, text); });
    }
    void end_messages() override {
        over([&] { to_.end_messages(); });
    }
    void end(const SnapshotEnd& end) override {
        over([&] { to_.end(end); });
    }

    /// Does on this thread what is handed over on the other, until close().
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [&] { return work_ != nullptr || closed_; });
            if (work_ == nullptr) return;
            try {
                (*work_)();
            } catch (...) {
                thrown_ = std::current_exception();
            }
            work_ = nullptr;
            changed_.notify_all();
        }
    }
    void close() {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        changed_.notify_all();
    }

private:
    void over(const std::function<void()>& work) {
        std::unique_lock lock(mutex_);
        if (closed_) fail(ECANCELED, "fill the new namespace");
        work_ = &work;
        changed_.notify_all();
        changed_.wait(lock, [&] { return work_ == nullptr || closed_; });
        if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
    }

    Receiver& to_;
    std::mutex mutex_;
    std::condition_variable changed_;
    const std::function<void()>* work_ = nullptr;
    std::exception_ptr thrown_;
    bool closed_ = false;
};

CloneReport clone_once(const Place& place, const Registry& registry, const std::string& name,
                       const SaveOptions& how, const RestoreOptions& options) {
    CloneReport report;
    CreateOptions create;
    create.shm_size = options.shm_size ? options.shm_size : Capture::shm_size_of(place);
    Registry::Draft draft = registry.draft(name, create);
    const Fd shared = shared_folder(draft.place());
    Rebuild rebuild(shared.get(), Rebuild::Into::empty, options, IdMap::user_namespace());
    Ferry ferry(rebuild);
    std::unique_ptr<Capture> capture;
    std::exception_ptr thrown;
    {
        std::jthread filler = start_thread([&] {
            try {
                draft.place().ipc.call([&] { ferry.run(); });
            } catch (...) {
                thrown = std::current_exception();
            }
            ferry.close();
        });
        try {
            report.saved = read_namespace(place, how, -1, ferry, capture);
            ferry.end({});
        } catch (...) {
            ferry.close();
            filler.join();
            if (thrown) std::rethrow_exception(thrown);
            throw;
        }
        ferry.close();
    }
    if (thrown) std::rethrow_exception(thrown);
    draft.publish();
    report.restored.contents = report.saved.contents;
    report.restored.notes = std::move(rebuild.notes());
    report.saved.notes = std::move(capture->notes());
    report.saved.snapshot = report.restored.snapshot = std::move(capture->snapshot());
    return report;
}

} // namespace

CloneReport clone_namespace(const Place& place, const Registry& registry, const std::string& name,
                            const SaveOptions& how, const RestoreOptions& options) {
    check_name(name);
    check_options(how);
    if (how.zstd) throw UsageError("a clone is not compressed");
    if (how.precopy) throw UsageError("a clone has no file that could be written beforehand");
    return until_still([&] { return clone_once(place, registry, name, how, options); });
}

} // namespace ipcns
