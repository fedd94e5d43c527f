// SPDX-License-Identifier: Apache-2.0
// The shape of ipcs(1), found out by looking at what it prints. The odd things are its own: columns that do not stand
// below their headings, a heading with nothing below it, two blanks where there should be one. ipcs reads the tables of
// /proc/sysvipc (proc(5)); the kernel lists them in the order of its *_STAT commands, with the same users and pids.
#include "ipcs_shape.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdarg>
#include <ctime>
#include <initializer_list>
#include <limits>
#include <map>
#include <string_view>

namespace ipcns::cli {
namespace {

constexpr mode_t segment_removed = 01000; // SHM_DEST and SHM_LOCKED of shmctl(2)
constexpr mode_t segment_locked = 02000;

// ---- Text --------------------------------------------------------------------------------------------------------

// Numbers and words of ours, as printf(3) lays them out.
[[gnu::format(printf, 1, 2)]] std::string printed(const char* format, ...) {
    std::array<char, 256> text;
    va_list values;
    va_start(values, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): clang-tidy 14 does not see va_start
    const int length = std::vsnprintf(text.data(), text.size(), format, values);
    va_end(values);
    return {text.data(), std::min(text.size() - 1, static_cast<std::size_t>(std::max(length, 0)))};
}

// What stands in a column of that many bytes. What is longer moves the rest of the line to the right.
struct Cell {
    std::string_view text;
    std::size_t width;
};

void add_row(std::string& out, std::initializer_list<Cell> cells) {
    const char* before = "";
    for (const auto& cell : cells) {
        out += before;
        out += cell.text;
        if (cell.text.size() < cell.width) out.append(cell.width - cell.text.size(), ' ');
        before = " ";
    }
    out += '\n';
}

std::string octal(mode_t mode) { return printed("%o", mode); }
std::string hexadecimal(Key key) { return printed("0x%08x", static_cast<unsigned>(key)); }
template <class Id>
std::string number(Id id) {
    return std::to_string(static_cast<int>(id));
}

// As ctime(3) has it, without the end of the line: "Sat Nov 21 21:52:57 2026".
std::string date(time_t seconds) {
    std::array<char, 64> text{};
    if (::ctime_r(&seconds, text.data()) == nullptr) return std::to_string(seconds); // beyond the year 9999
    return {text.data(), std::min<std::size_t>(std::string_view(text.data()).find('\n'), 24)};
}

constexpr const char* never = "Not set";

std::string long_time(const Moment& moment) {
    return moment ? date(moment->time_since_epoch().count()) : never;
}

// Where ipcs does not look whether there is a time.
std::string certain_time(const Moment& moment) {
    return date(moment ? moment->time_since_epoch().count() : 0);
}

// "Nov 21 21:52:57 ": the blank counts among the 16 bytes that are left of a date.
std::string short_time(const Moment& moment) {
    return moment ? date(moment->time_since_epoch().count()).substr(4, 16) : never;
}

// ---- Names -------------------------------------------------------------------------------------------------------

// A name as it is printed, else the number. ipcs prints any bytes; a terminal should not see control characters, which
// no program that makes users lets through.
std::string name_or_number(const char* name, unsigned id) {
    if (name == nullptr) return std::to_string(id);
    const std::string_view text = name;
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; };
    return std::ranges::any_of(text, is_control) ? std::to_string(id) : std::string(text);
}

// Each is looked up once, as getpwuid(3) may ask a network.
class Names {
public:
    const std::string& user(uid_t id) {
        const auto [found, is_new] = users_.try_emplace(id);
        if (is_new) {
            const struct passwd* user = ::getpwuid(id); // NOLINT(concurrency-mt-unsafe): one thread here
            found->second = name_or_number(user == nullptr ? nullptr : user->pw_name, id);
        }
        return found->second;
    }
    const std::string& group(gid_t id) {
        const auto [found, is_new] = groups_.try_emplace(id);
        if (is_new) {
            const struct group* group = ::getgrgid(id); // NOLINT(concurrency-mt-unsafe): one thread here
            found->second = name_or_number(group == nullptr ? nullptr : group->gr_name, id);
        }
        return found->second;
    }
    // Cut to ten bytes, be it in the middle of a letter. The tables of creators have names whole.
    std::string_view owner(const Ownership& who) { return std::string_view(user(who.owner)).substr(0, 10); }

private:
    std::map<uid_t, std::string> users_;
    std::map<gid_t, std::string> groups_;
};

// ---- The tables --------------------------------------------------------------------------------------------------

enum class Columns { standard, times, pids, creators };

Columns columns_of(const IpcsOptions& options) {
    if (options.creators) return Columns::creators;
    if (options.pids) return Columns::pids;
    return options.times ? Columns::times : Columns::standard;
}

// The same for all kinds.
template <class Objects>
void add_creators(std::string& out, const char* id_heading, const Objects& objects, Names& names) {
    add_row(out, {{id_heading, 10}, {"perms", 10}, {"cuid", 10}, {"cgid", 10}, {"uid", 10}, {"gid", 10}});
    for (const auto& seen : objects) {
        const Ownership& who = seen.record.who;
        add_row(out, {{number(seen.record.id), 10},
                      {octal(who.mode), 10},
                      {names.user(who.creator), 10},
                      {names.group(who.creator_group), 10},
                      {names.user(who.owner), 10},
                      {names.group(who.group), 10}});
    }
}

void add_queues(std::string& out, const Objects& objects, Columns columns, Names& names) {
    switch (columns) {
    case Columns::creators:
        out += "------ Message Queues Creators/Owners --------\n";
        return add_creators(out, "msqid", objects.msg, names);
    case Columns::times:
        out += "------ Message Queues Send/Recv/Change Times --------\n";
        add_row(out, {{"msqid", 8}, {"owner", 10}, {"send", 20}, {"recv", 20}, {"change", 20}});
        for (const auto& [record, state, holders] : objects.msg)
            add_row(out, {{number(record.id), 8},
                          {names.owner(record.who), 10},
                          {short_time(record.sent), 20},
                          {short_time(record.received), 20},
                          {short_time(record.changed), 20}});
        return;
    case Columns::pids:
        out += "------ Message Queues PIDs --------\n";
        add_row(out, {{"msqid", 10}, {"owner", 10}, {"lspid", 10}, {"lrpid", 10}});
        for (const auto& [record, state, holders] : objects.msg)
            add_row(out, {{number(record.id), 8},
                          {names.owner(record.who), 10},
                          {printed(" %5d", record.last_sender), 0},
                          {printed("    %5d", record.last_receiver), 0}});
        return;
    case Columns::standard:
        out += "------ Message Queues --------\n";
        add_row(
            out,
            {{"key", 10}, {"msqid", 10}, {"owner", 10}, {"perms", 10}, {"used-bytes", 12}, {"messages", 12}});
        for (const auto& [record, state, holders] : objects.msg)
            add_row(out, {{hexadecimal(record.key), 10},
                          {number(record.id), 10},
                          {names.owner(record.who), 10},
                          {octal(record.who.mode), 10},
                          {std::to_string(record.bytes), 12},
                          {std::to_string(record.messages), 12}});
    }
}

void add_segments(std::string& out, const Objects& objects, Columns columns, Names& names) {
    switch (columns) {
    case Columns::creators:
        out += "------ Shared Memory Segment Creators/Owners --------\n";
        return add_creators(out, "shmid", objects.shm, names);
    case Columns::times:
        out += "------ Shared Memory Attach/Detach/Change Times --------\n";
        add_row(out, {{"shmid", 10}, {"owner", 10}, {"attached", 20}, {"detached", 20}, {"changed", 20}});
        for (const auto& [record, state, holders] : objects.shm)
            add_row(out, {{number(record.id), 10},
                          {names.owner(record.who), 10},
                          {short_time(record.attach_time), 20},
                          {short_time(record.detach_time), 20},
                          {short_time(record.changed), 20}});
        return;
    case Columns::pids:
        out += "------ Shared Memory Creator/Last-op PIDs --------\n";
        add_row(out, {{"shmid", 10}, {"owner", 10}, {"cpid", 10}, {"lpid", 10}});
        for (const auto& [record, state, holders] : objects.shm)
            add_row(out, {{number(record.id), 10},
                          {names.owner(record.who), 10},
                          {std::to_string(record.creator_pid), 10},
                          {std::to_string(record.last_pid), 10}});
        return;
    case Columns::standard:
        out += "------ Shared Memory Segments --------\n";
        add_row(out, {{"key", 10},
                      {"shmid", 10},
                      {"owner", 10},
                      {"perms", 10},
                      {"bytes", 10},
                      {"nattch", 10},
                      {"status", 12}});
        for (const auto& [record, state, holders] : objects.shm)
            add_row(out, {{hexadecimal(record.key), 10},
                          {number(record.id), 10},
                          {names.owner(record.who), 10},
                          {octal(record.who.mode), 10},
                          {std::to_string(record.bytes), 10},
                          {std::to_string(record.attached), 10},
                          {record.removed ? "dest" : "", 6},
                          {record.locked ? "locked" : "", 6}});
    }
}

void add_sets(std::string& out, const Objects& objects, Columns columns, Names& names) {
    switch (columns) {
    case Columns::creators:
        out += "------ Semaphore Arrays Creators/Owners --------\n";
        return add_creators(out, "semid", objects.sem, names);
    case Columns::times:
        out += "------ Semaphore Operation/Change Times --------\n";
        add_row(out, {{"semid", 8}, {"owner", 10}, {"last-op", 26}, {"last-changed", 26}});
        for (const auto& seen : objects.sem)
            add_row(out, {{number(seen.record.id), 8},
                          {names.owner(seen.record.who), 10},
                          {" " + long_time(seen.record.operated), 27},
                          {long_time(seen.record.changed), 26}});
        return;
    case Columns::pids: // not even a heading
        return;
    case Columns::standard:
        out += "------ Semaphore Arrays --------\n";
        add_row(out, {{"key", 10}, {"semid", 10}, {"owner", 10}, {"perms", 10}, {"nsems", 10}});
        for (const auto& seen : objects.sem)
            add_row(out, {{hexadecimal(seen.record.key), 10},
                          {number(seen.record.id), 10},
                          {names.owner(seen.record.who), 10},
                          {octal(seen.record.who.mode), 10},
                          {std::to_string(seen.record.count), 10}});
    }
}

// An empty line, and the part of each kind that is asked for with another one.
template <class Msg, class Shm, class Sem>
std::string parts(const IpcsOptions& options, Msg msg, Shm shm, Sem sem, std::size_t rows = 0) {
    const auto asked = [&](Kind kind) {
        return options.kinds.has(kind) || !(options.kinds.has(Kind::msg) || options.kinds.has(Kind::shm) ||
                                            options.kinds.has(Kind::sem));
    };
    std::string out = "\n";
    out.reserve(2048 + rows * 96); // more than a row of usual names and numbers
    const auto add = [&](Kind kind, auto& part) {
        if (!asked(kind)) return;
        part(out);
        out += '\n';
    };
    add(Kind::msg, msg);
    add(Kind::shm, shm);
    add(Kind::sem, sem);
    return out;
}

} // namespace

std::string like_ipcs(const Objects& objects, const IpcsOptions& options) {
    ::tzset(); // ctime_r(3) need not look at TZ itself
    Names names;
    const Columns columns = columns_of(options);
    return parts(
        options, [&](std::string& out) { add_queues(out, objects, columns, names); },
        [&](std::string& out) { add_segments(out, objects, columns, names); },
        [&](std::string& out) { add_sets(out, objects, columns, names); },
        objects.msg.size() + objects.shm.size() + objects.sem.size());
}

// ---- One object --------------------------------------------------------------------------------------------------

std::string like_ipcs(const QueueRecord& record) {
    ::tzset();
    std::string out = "\nMessage Queue msqid=" + number(record.id) + "\n";
    out += printed("uid=%u\tgid=%u\tcuid=%u\tcgid=%u\tmode=%#o\n", record.who.owner, record.who.group,
                   record.who.creator, record.who.creator_group, record.who.mode);
    out += "cbytes=" + std::to_string(record.bytes) + "\tqbytes=" + std::to_string(record.limit) +
           "\tqnum=" + std::to_string(record.messages);
    out += printed("\tlspid=%d\tlrpid=%d\n", record.last_sender, record.last_receiver);
    add_row(out, {{"send_time=" + long_time(record.sent), 10 + 26}});
    add_row(out, {{"rcv_time=" + long_time(record.received), 9 + 26}});
    add_row(out, {{"change_time=" + long_time(record.changed), 12 + 26}});
    return out + '\n';
}

std::string like_ipcs(const SegmentRecord& record) {
    ::tzset();
    const mode_t flags =
        record.who.mode | (record.removed ? segment_removed : 0) | (record.locked ? segment_locked : 0);
    std::string out = "\nShared memory Segment shmid=" + number(record.id) + "\n";
    out += printed("uid=%u\tgid=%u\tcuid=%u\tcgid=%u\n", record.who.owner, record.who.group,
                   record.who.creator, record.who.creator_group);
    out += printed("mode=%#o\taccess_perms=%#o\n", flags, record.who.mode);
    out += "bytes=" + std::to_string(record.bytes);
    out += printed("\tlpid=%d\tcpid=%d", record.last_pid, record.creator_pid);
    out += "\tnattch=" + std::to_string(record.attached) + "\n";
    add_row(out, {{"att_time=" + long_time(record.attach_time), 9 + 26}});
    add_row(out, {{"det_time=" + long_time(record.detach_time), 9 + 26}});
    add_row(out, {{"change_time=" + certain_time(record.changed), 12 + 26}});
    return out + '\n';
}

std::string like_ipcs(const SemaphoreSetRecord& record, std::span<const SemaphoreState> semaphores) {
    ::tzset();
    std::string out = "\nSemaphore Array semid=" + number(record.id) + "\n";
    out += printed("uid=%u\t gid=%u\t cuid=%u\t cgid=%u\n", record.who.owner, record.who.group,
                   record.who.creator, record.who.creator_group);
    out += printed("mode=%#o, access_perms=%#o\n", record.who.mode, record.who.mode);
    out += "nsems = " + std::to_string(record.count) + "\n";
    add_row(out, {{"otime = " + long_time(record.operated), 8 + 26}});
    add_row(out, {{"ctime = " + certain_time(record.changed), 8 + 26}});
    add_row(out, {{"semnum", 10}, {"value", 10}, {"ncount", 10}, {"zcount", 10}, {"pid", 10}});
    for (std::size_t i = 0; i < semaphores.size(); ++i)
        add_row(out, {{std::to_string(i), 10},
                      {std::to_string(semaphores[i].value), 10},
                      {std::to_string(semaphores[i].waiting_increase), 10},
                      {std::to_string(semaphores[i].waiting_zero), 10},
                      {std::to_string(semaphores[i].last), 10}});
    return out + '\n';
}

// ---- Totals and limits -------------------------------------------------------------------------------------------

namespace {

// The kernel's *_INFO commands fill in another structure than the one in their prototypes.
bool ask(int command, struct msginfo& info) {
    return ::msgctl(0, command, reinterpret_cast<struct msqid_ds*>(&info)) >= 0;
}

template <class Info>
bool ask_segments(int command, Info& info) {
    return ::shmctl(0, command, reinterpret_cast<struct shmid_ds*>(&info)) >= 0;
}

bool ask(int command, struct seminfo& info) {
    union {
        int value;
        struct seminfo* info;
    } argument{};
    argument.info = &info;
    return ::semctl(0, 0, command, argument) >= 0;
}

// The product of a count and its unit; where that is too much for 64 bits, the most that is a multiple of the unit.
std::uint64_t most_of(std::uint64_t count, std::uint64_t unit) {
    constexpr auto most = std::numeric_limits<std::uint64_t>::max();
    return count > most / unit ? most - most % unit : count * unit;
}

} // namespace

IpcsTotals read_ipcs_totals() {
    IpcsTotals totals;
    struct msginfo msg {};
    if (ask(MSG_INFO, msg)) totals.msg = {.queues = msg.msgpool, .messages = msg.msgmap, .bytes = msg.msgtql};
    struct shm_info shm {};
    if (ask_segments(SHM_INFO, shm))
        totals.shm = {.segments = shm.used_ids,
                      .pages = shm.shm_tot,
                      .resident_pages = shm.shm_rss,
                      .swapped_pages = shm.shm_swp,
                      .swap_attempts = shm.swap_attempts,
                      .swap_successes = shm.swap_successes};
    struct seminfo sem {};
    if (ask(SEM_INFO, sem)) totals.sem = {.sets = sem.semusz, .semaphores = sem.semaem};
    return totals;
}

std::string like_ipcs(const IpcsTotals& totals, const IpcsOptions& options) {
    return parts(
        options,
        [&](std::string& out) {
            if (!totals.msg) {
                out += "kernel not configured for message queues\n";
                return;
            }
            out += "------ Messages Status --------\n";
            out += printed("allocated queues = %d\nused headers = %d\n", totals.msg->queues,
                           totals.msg->messages);
            out += options.bytes ? printed("used space (bytes) = %d\n", totals.msg->bytes)
                                 : printed("used space = %d bytes\n", totals.msg->bytes);
        },
        [&](std::string& out) {
            if (!totals.shm) {
                out += "kernel not configured for shared memory\n";
                return;
            }
            const auto& shm = *totals.shm;
            out += "------ Shared Memory Status --------\n";
            // Signed, as ipcs takes them: sizes of many huge segments can add up to more.
            out += printed("segments allocated %d\npages allocated %ld\n", shm.segments,
                           static_cast<long>(shm.pages));
            out += printed("pages resident  %ld\npages swapped   %ld\n",
                           static_cast<long>(shm.resident_pages), static_cast<long>(shm.swapped_pages));
            out += printed("Swap performance: %ld attempts\t %ld successes\n",
                           static_cast<long>(shm.swap_attempts), static_cast<long>(shm.swap_successes));
        },
        [&](std::string& out) {
            if (!totals.sem) {
                out += "kernel not configured for semaphores\n";
                return;
            }
            out += "------ Semaphore Status --------\n";
            out += printed("used arrays = %d\nallocated semaphores = %d\n", totals.sem->sets,
                           totals.sem->semaphores);
        });
}

IpcsLimits read_ipcs_limits() {
    IpcsLimits limits;
    struct msginfo msg {};
    if (ask(IPC_INFO, msg)) limits.msg = {.msgmni = msg.msgmni, .msgmax = msg.msgmax, .msgmnb = msg.msgmnb};
    struct shminfo shm {};
    if (ask_segments(IPC_INFO, shm))
        limits.shm = {.shmmni = shm.shmmni, .shmmax = shm.shmmax, .shmall = shm.shmall};
    struct seminfo sem {};
    if (ask(IPC_INFO, sem))
        limits.sem = {.semmni = sem.semmni, .semmsl = sem.semmsl, .semmns = sem.semmns, .semopm = sem.semopm};
    return limits;
}

std::string like_ipcs(const IpcsLimits& limits, const IpcsOptions& options) {
    return parts(
        options,
        [&](std::string& out) {
            if (!limits.msg) {
                out += "unable to fetch message limits\n";
                return;
            }
            out += "------ Messages Limits --------\n";
            out += printed("max queues system wide = %d\n", limits.msg->msgmni);
            out += printed("max size of message (bytes) = %d\n", limits.msg->msgmax);
            out += printed("default max size of queue (bytes) = %d\n", limits.msg->msgmnb);
        },
        [&](std::string& out) {
            if (!limits.shm) {
                out += "unable to fetch shared memory limits\n";
                return;
            }
            const auto& shm = *limits.shm;
            const std::uint64_t unit = options.bytes ? 1 : 1024;
            const std::string word = options.bytes ? " (bytes) = " : " (kbytes) = ";
            const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
            out += "------ Shared Memory Limits --------\n";
            out += "max number of segments = " + std::to_string(shm.shmmni) + "\n";
            out += "max seg size" + word + std::to_string(shm.shmmax / unit) + "\n";
            out += "max total shared memory" + word + std::to_string(most_of(shm.shmall, page / unit)) + "\n";
            out += "min seg size (bytes) = 1\n";
        },
        [&](std::string& out) {
            if (!limits.sem) {
                out += "unable to fetch semaphore limits\n";
                return;
            }
            const auto& sem = *limits.sem;
            out += "------ Semaphore Limits --------\n";
            out +=
                printed("max number of arrays = %d\nmax semaphores per array = %d\n", sem.semmni, sem.semmsl);
            out += printed("max semaphores system wide = %d\nmax ops per semop call = %d\n", sem.semmns,
                           sem.semopm);
            out += "semaphore max value = 32767\n"; // SEMVMX, in every kernel
        });
}

} // namespace ipcns::cli
