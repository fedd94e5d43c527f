// SPDX-License-Identifier: Apache-2.0
// ipcns show --summary: objects and bytes of each kind beside the limits, with a bar, so that what is nearly full is seen at
// once.
#include "message.hpp"
#include "show.hpp"
#include "tool.hpp"

#include <ipcns/limits.hpp>
#include <ipcns/text.hpp>

#include <fmt/format.h>

#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>

namespace ipcns::cli {
namespace {

struct Line {
    Kind kind;
    const char* what;
    std::optional<std::uint64_t> used;
    std::optional<std::uint64_t> limit; // nothing: there is none
    const char* limit_name;
    bool bytes;
};

constexpr std::size_t bar_width = 20;

std::string bar(double part) {
    // Rounded by hand, as is right for what is not negative: lround(3) would be all that a whole library is loaded for.
    const double exact = std::clamp(part, 0.0, 1.0) * bar_width;
    const auto full = static_cast<std::size_t>(exact + 0.5); // NOLINT(bugprone-incorrect-roundings)
    return "[" + std::string(full, '#') + std::string(bar_width - full, '.') + "]";
}

std::vector<Line> measure(const Place& place, Kinds kinds) {
    std::vector<LimitUse> limits;
    SysvUsage sysv;
    std::optional<std::uint64_t> message_bytes;
    place.ipc.call([&] {
        limits = read_limit_use();
        sysv = sysv_usage();
        try {
            std::uint64_t bytes = 0;
            for (const auto& queue : list_queues()) bytes += queue.bytes;
            message_bytes = bytes;
        } catch (const Error&) {
            // Not known, then.
        }
    });
    const auto find = [&](std::string_view name) -> LimitUse {
        for (const auto& limit : limits) {
            if (name == limit.key->name) return limit;
        }
        return {};
    };
    const auto limit_of = [&](std::string_view name) { return find(name).value; };
    std::vector<Line> lines;
    const auto add = [&](Line line) {
        if (kinds.has(line.kind)) lines.push_back(line);
    };
    add({Kind::msg, "queues", sysv.queues, limit_of("msgmni"), "msgmni", false});
    add({Kind::msg, "bytes in them", message_bytes, {}, nullptr, true});
    add({Kind::sem, "sets", sysv.semaphore_sets, limit_of("semmni"), "semmni", false});
    add({Kind::sem, "semaphores", sysv.semaphores, limit_of("semmns"), "semmns", false});
    add({Kind::shm, "segments", sysv.segments, limit_of("shmmni"), "shmmni", false});
    // The limit is in pages, and without being set it is more than any machine has.
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    std::optional<std::uint64_t> room = limit_of("shmall");
    if (room && *room > UINT64_MAX / page / 2)
        room.reset();
    else if (room)
        room = *room * page;
    add({Kind::shm, "bytes in them", sysv.segment_bytes, room, room ? "shmall" : nullptr, true});
    const LimitUse queues = find("queues_max");
    add({Kind::mq, "queues", queues.used, queues.value, "queues_max", false});
    if (!kinds.has(Kind::psem) && !kinds.has(Kind::pshm)) return lines;
    const Fd folder = shared_folder(place);
    std::optional<SharedFolder> files;
    if (folder) files = list_shared(folder.get());
    if (files && files->unseen != 0)
        complain(fmt::format("{} in /dev/shm could not be looked at", files->unseen));
    using Count = std::optional<std::uint64_t>;
    add({Kind::psem, "semaphores", files ? Count(files->semaphores.size()) : Count(), {}, nullptr, false});
    add({Kind::pshm, "objects", files ? Count(files->memory.size()) : Count(), {}, nullptr, false});
    struct statfs about {};
    Count used;
    Count size;
    if (folder && ::fstatfs(folder.get(), &about) == 0) {
        const auto block = static_cast<std::uint64_t>(about.f_bsize);
        used = (about.f_blocks - about.f_bfree) * block;
        if (about.f_blocks != 0) size = about.f_blocks * block;
    }
    add({Kind::pshm, "bytes in /dev/shm", used, size, size ? "/dev/shm" : nullptr, true});
    return lines;
}

} // namespace

void show_summary(const Place& place, Kinds kinds, const Format& format, bool bytes) {
    Format table{{{"KIND", "kind"},
                  {"WHAT", "what"},
                  {"USED", "used", true},
                  {"LIMIT", "limit", true},
                  {"USE%", "percent", true},
                  {"", "bar"},
                  {"LIMITED BY", "limited_by"}},
                 "KIND,WHAT,USED,LIMIT,USE%,,LIMITED BY"};
    table.follow(format);
    enum class Field { kind, what, used, limit, percent, bar, limited_by };
    Rows rows(table, bytes);
    for (const auto& line : measure(place, kinds)) {
        const auto number = [&](Out& out, const std::optional<std::uint64_t>& n) {
            if (line.bytes)
                out.size_or_none(n);
            else
                out.number_or_none(n);
        };
        std::optional<double> part;
        if (line.used && line.limit)
            part =
                *line.limit == 0 ? 1.0 : static_cast<double>(*line.used) / static_cast<double>(*line.limit);
        rows.add([&](Out& out, std::size_t column) {
            switch (static_cast<Field>(column)) {
            case Field::kind: out.text(word_of(line.kind)); break;
            case Field::what: out.text(line.what); break;
            case Field::used: number(out, line.used); break;
            case Field::limit: number(out, line.limit); break;
            case Field::percent:
                if (part)
                    out.both(fmt::format("{:.0f}%", std::floor(*part * 100)),
                             std::floor(*part * 10000) / 100);
                else
                    out.none();
                break;
            case Field::bar:
                if (part && !out.json()) out.text(bar(*part));
                break;
            case Field::limited_by:
                if (line.limit_name != nullptr)
                    out.text(line.limit_name);
                else
                    out.none();
                break;
            }
        });
    }
    if (!format.json()) {
        rows.print();
        return;
    }
    const std::string name = registered_name(place.ipc.id());
    fmt::print("{}\n", Json{{"namespace",
                             {{"ns", place.ipc.id().inode}, {"name", name.empty() ? Json() : Json(name)}}},
                            {"summary", rows.json()}}
                           .dump(4));
}

} // namespace ipcns::cli
