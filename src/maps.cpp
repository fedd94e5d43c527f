// SPDX-License-Identifier: Apache-2.0
// The mapped files of a process. Leans on: a System V segment is a file "SYSV" and its key in hexadecimal, whose inode
// number is its id, on the file systems that memfd_create(2) takes its files from, one for each page size; they are
// mounted nowhere, so nothing else can bear that name there. ioctl PROCMAP_QUERY on /proc/PID/maps (Linux 6.11,
// PROCMAP_QUERY(2const)) gives the next mapping of a kind in numbers, several times faster than the text.
#include "maps.hpp"

#include "error.hpp"

#include <ipcns/fd.hpp>

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

namespace ipcns::maps {
namespace {

using namespace std::string_view_literals;

constexpr auto segment_name = "/SYSV"sv;

// struct procmap_query of <linux/fs.h>, which is younger than the headers that this is compiled with.
struct Query {
    std::uint64_t size, flags, address;
    std::uint64_t begin, end, permissions, page_size, offset, inode;
    std::uint32_t major, minor;
    std::uint32_t name_size, build_id_size;
    std::uint64_t name, build_id;
};
constexpr std::uint64_t shared_flag = 0x08, or_next_flag = 0x10, file_backed_flag = 0x20;
constexpr auto procmap_query = _IOWR('f', 17, Query);

// A new, empty file on the file system of pages of this size (0: ordinary pages).
Fd memory_file(unsigned huge_page_log2) {
    constexpr unsigned no_exec_seal = 8; // MFD_NOEXEC_SEAL, Linux 6.3; vm.memfd_noexec may demand it
    const unsigned huge = huge_page_log2 == 0 ? 0 : MFD_HUGETLB | huge_page_log2 << MFD_HUGE_SHIFT;
    Fd file(::memfd_create("ipcns", MFD_CLOEXEC | no_exec_seal | huge));
    if (!file && errno == EINVAL) file.reset(::memfd_create("ipcns", MFD_CLOEXEC | huge));
    return file;
}

const SegmentFileSystem* find_segments(const Wanted& wanted, dev_t device) {
    for (const auto& one : wanted.segments)
        if (one.device == device) return &one;
    return nullptr;
}

bool wants_files_of(const Wanted& wanted, dev_t device) {
    return std::find(wanted.files.begin(), wanted.files.end(), device) != wanted.files.end();
}

// The first mapping at or behind an address, with its name if @p name is not empty. 0 or an errno value.
int next_mapping(int file, std::uint64_t address, std::uint64_t flags, std::span<char> name, Query& query) {
    do {
        query = {};
        query.size = sizeof query;
        query.flags = flags;
        query.address = address;
        query.name = reinterpret_cast<std::uintptr_t>(name.data());
        query.name_size = static_cast<std::uint32_t>(name.size());
        if (::ioctl(file, procmap_query, &query) == 0) return 0;
    } while (errno == EINTR);
    return errno;
}

// Nothing: this kernel does not have it.
std::optional<Answer> ask(int file, const Wanted& wanted, std::vector<MappedFile>& found) {
    // A segment is never mapped privately, and few mappings are shared. Among all mappings of files there are so many
    // others (libraries) that it is better not to ask for their names.
    const bool segments_only = wanted.files.empty();
    const std::uint64_t flags = or_next_flag | file_backed_flag | (segments_only ? shared_flag : 0);
    std::array<char, 64> name{};
    Query query{};
    for (std::uint64_t at = 0;; at = query.end) {
        const std::span<char> wanted_name = segments_only ? std::span<char>(name) : std::span<char>();
        int number = next_mapping(file, at, flags, wanted_name, query);
        bool named = segments_only;
        if (number == ENAMETOOLONG) {
            number = next_mapping(file, at, flags, {}, query);
            name[0] = '\0'; // a segment's name is short
        }
        if (number == ESRCH) return Answer::no_memory;
        if (number != 0) {
            if (at != 0 || number == ENOENT) return Answer::found;
            return std::nullopt;
        }
        MappedFile mapped{.begin = query.begin,
                          .end = query.end,
                          .offset = query.offset,
                          .device = makedev(query.major, query.minor),
                          .inode = query.inode,
                          .shared = (query.permissions & shared_flag) != 0};
        if (const auto* segments = find_segments(wanted, mapped.device)) {
            if (!named) {
                Query again{};
                named =
                    next_mapping(file, mapped.begin, flags, name, again) == 0 && again.inode == mapped.inode;
            }
            mapped.segment = named && std::string_view(name.data()).starts_with(segment_name);
            mapped.huge_page = segments->huge_page;
        }
        if (mapped.segment || wants_files_of(wanted, mapped.device)) found.push_back(mapped);
    }
}

// Takes numbers with fixed signs between them off the front of a line.
struct Line {
    std::string_view rest;

    template <class Number>
    bool take(Number& number, int base, char after) {
        const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number, base);
        const auto length = static_cast<std::size_t>(end - rest.data());
        if (error != std::errc() || length >= rest.size() || *end != after) return false;
        rest.remove_prefix(length + 1);
        return true;
    }
};

// BEGIN-END rwxs OFFSET MAJOR:MINOR INODE        PATH (proc(5))
std::optional<MappedFile> parse(std::string_view text, const Wanted& wanted) {
    MappedFile mapped;
    Line line{text};
    unsigned major = 0;
    unsigned minor = 0;
    if (!line.take(mapped.begin, 16, '-') || !line.take(mapped.end, 16, ' ') || line.rest.size() < 5)
        return {};
    mapped.shared = line.rest[3] == 's';
    line.rest.remove_prefix(5);
    if (!line.take(mapped.offset, 16, ' ') || !line.take(major, 16, ':') || !line.take(minor, 16, ' ') ||
        !line.take(mapped.inode, 10, ' '))
        return {};
    mapped.device = makedev(major, minor);
    if (const auto* segments = find_segments(wanted, mapped.device)) {
        line.rest.remove_prefix(std::min(line.rest.size(), line.rest.find_first_not_of(' ')));
        mapped.segment = line.rest.starts_with(segment_name);
        mapped.huge_page = segments->huge_page;
    }
    if (mapped.segment || wants_files_of(wanted, mapped.device)) return mapped;
    return {};
}

Answer read_text(int file, const Wanted& wanted, std::vector<MappedFile>& found) {
    std::array<char, 65536> buffer;
    std::size_t held = 0;
    bool any = false;
    for (;;) {
        const ssize_t length = ::read(file, buffer.data() + held, buffer.size() - held);
        if (length < 0 && errno == EINTR) continue;
        if (length <= 0) return any ? Answer::found : Answer::no_memory;
        any = true;
        std::string_view rest(buffer.data(), held + static_cast<std::size_t>(length));
        for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
            if (const auto mapped = parse(rest.substr(0, end), wanted)) found.push_back(*mapped);
            rest.remove_prefix(end + 1);
        }
        held = rest.size() < buffer.size() ? rest.size() : 0; // a path is shorter than the buffer
        std::memmove(buffer.data(), rest.data(), held);
    }
}

} // namespace

std::vector<SegmentFileSystem> segment_file_systems() {
    std::vector<SegmentFileSystem> all;
    struct stat about {};
    const Fd ordinary = memory_file(0);
    if (!ordinary || ::fstat(ordinary.get(), &about) != 0)
        fail("find out which file system holds shared memory segments (memfd_create)");
    all.push_back({about.st_dev, 0});
    // From 64 KiB to 16 GiB; a processor has two or three of them.
    for (unsigned size = 16; size <= 34; ++size) {
        const Fd huge = memory_file(size);
        if (huge && ::fstat(huge.get(), &about) == 0) all.push_back({about.st_dev, std::uint64_t{1} << size});
    }
    return all;
}

Answer read(int process, const Wanted& wanted, bool& query, std::vector<MappedFile>& found) {
    found.clear();
    const Fd file(::openat(process, "maps", O_RDONLY | O_CLOEXEC));
    if (!file) return errno == ENOENT || errno == ESRCH ? Answer::no_memory : Answer::denied;
    if (query) {
        if (const auto answer = ask(file.get(), wanted, found)) return *answer;
        query = false;
    }
    return read_text(file.get(), wanted, found);
}

} // namespace ipcns::maps
