// SPDX-License-Identifier: Apache-2.0
#include "snapshot_seeds.hpp"

#include "manifest.hpp"
#include "tarball.hpp"

#include <ipcns/error.hpp>
#include <ipcns/fd.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

namespace ipcns::fuzz {
namespace {

Fd new_file(const std::string& path) {
    Fd file(::open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600));
    if (!file) throw Error(errno, "make " + path);
    return file;
}

// Two of each kind.
Snapshot some_of_everything() {
    Snapshot all;
    all.made_by = "ipcns 0";
    all.kernel = "6";
    all.made = std::chrono::sys_seconds(std::chrono::seconds(1));
    all.name = "db";
    all.shm_size = 4096;
    for (const char* limit : {"msgmax=8192", "shmmni=4096"}) all.limits.push_back(Limit::parse(limit));
    for (int i = 0; i < 2; ++i) {
        QueueRecord queue;
        queue.id = QueueId{i};
        queue.key = static_cast<Key>(i);
        queue.who.mode = 0600;
        queue.messages = 2;
        queue.bytes = 7;
        queue.limit = 16384;
        all.msg.push_back(queue);
        SemaphoreSetRecord set;
        set.id = SemaphoreSetId{i};
        set.key = static_cast<Key>(i);
        all.sem.push_back({set, {1, 0, 32767}});
        SegmentRecord segment;
        segment.id = SegmentId{i};
        segment.key = static_cast<Key>(i);
        segment.bytes = i == 0 ? 600 : 300000;
        segment.resident = 8192;
        segment.swapped = 0;
        segment.locked = i == 1;
        all.shm.push_back({segment, 0});
        PosixQueueRecord posix;
        posix.name = i == 0 ? "/q" : "/\xff\x01";
        posix.max_messages = 3;
        posix.message_size = 9;
        posix.messages = 2;
        posix.bytes = 7;
        posix.notification = PosixQueueRecord::Notification{};
        all.mq.push_back(posix);
        NamedSemaphoreRecord semaphore;
        semaphore.name = i == 0 ? "/s" : "/t";
        semaphore.value = 1;
        all.psem.push_back(semaphore);
        SharedMemoryRecord memory;
        memory.name = i == 0 ? "/m" : "/n";
        memory.bytes = i == 0 ? 5 : 200000;
        memory.allocated = 4096;
        all.pshm.push_back(memory);
    }
    return all;
}

void write(const std::string& path, const Snapshot& snapshot, std::optional<int> zstd) {
    const Fd file = new_file(path);
    TarWriter writer(file.get(), zstd);
    const std::vector<std::byte> some(200, std::byte{'x'});
    writer.begin(snapshot);
    for (const Kind kind : kinds_with_members) {
        for (std::size_t index = 0; index < count_of(snapshot, kind); ++index) {
            if (!has_member(snapshot, kind, index)) continue;
            if (kind == Kind::msg || kind == Kind::mq) {
                writer.begin_messages(kind, index, 2, 7);
                writer.message(kind == Kind::mq ? 0 : 1, std::span(some).first(7));
                writer.message(9, {});
                writer.end_messages();
                continue;
            }
            const std::uint64_t size =
                kind == Kind::shm ? snapshot.shm[index].record.bytes : snapshot.pshm[index].bytes;
            const std::uint64_t length = std::min<std::uint64_t>(size, some.size());
            // The larger ones have holes before, between and behind.
            std::vector<Extent> extents{{0, size}};
            if (size > 1000) extents = {{512, length}, {100000, length}};
            writer.begin_memory(kind, index, extents);
            for (const auto& extent : extents) {
                for (std::uint64_t at = extent.offset; at < extent.end(); at += some.size())
                    writer.bytes(
                        at, std::span(some).first(std::min<std::uint64_t>(some.size(), extent.end() - at)));
            }
            writer.end_memory();
        }
    }
    writer.end({5, 6, {}});
}

} // namespace

void write_seeds(const std::string& folder) {
    const Snapshot all = some_of_everything();
    write(folder + "/all", all, std::nullopt);
    write(folder + "/packed", all, 1);
    Snapshot none = all;
    none.msg.clear();
    none.sem.clear();
    none.shm.clear();
    none.mq.clear();
    none.psem.clear();
    none.pshm.clear();
    write(folder + "/none", none, std::nullopt);
    Snapshot memory = none;
    memory.shm = all.shm;
    memory.live = true;
    write(folder + "/memory", memory, std::nullopt);
    Snapshot messages = none;
    messages.msg = all.msg;
    messages.mq = all.mq;
    write(folder + "/messages", messages, std::nullopt);
    for (const auto& [name, snapshot] :
         {std::pair<const char*, const Snapshot*>("all", &all), {"none", &none}}) {
        const std::string text = manifest_text(*snapshot);
        const Fd file = new_file(folder + "/manifest-" + name);
        if (::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
            throw Error(errno, "write a manifest");
    }
}

} // namespace ipcns::fuzz
