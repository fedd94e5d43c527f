// SPDX-License-Identifier: Apache-2.0
// Reading shared memory for what is in it. Leans on:
// - A page of shared memory that was never written takes no memory until somebody touches it through a mapping, for
//   reading too. read(2) of such a file takes none; lseek(2) with SEEK_DATA passes over what was never written.
// - A segment is such a file, but nobody can open it, other than through the mapping of a process in /proc/PID/map_files
//   (proc(5)), for which the kernel wants CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the first user namespace.
// - Without, mincore(2) tells which pages are in memory: all that were ever written, unless they were swapped out. Of huge
//   pages it knows only what this process has touched.
// - A mapping stays when the thread that made it goes to another namespace: segments of two namespaces can be mapped at the
//   same time.
// - With shm_rmid_forced, a segment goes with the last detach (proc(5)), even one that nobody but us ever attached.
#include "contents.hpp"

#include "error.hpp"
#include "procfs.hpp"

#include <ipcns/limits.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>

namespace ipcns {
namespace {

std::uint64_t page_size() {
    static const auto size = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    return size;
}

std::uint64_t whole_pages(std::uint64_t bytes) {
    return (bytes + page_size() - 1) / page_size() * page_size();
}

[[noreturn]] void refuse(const Error& error) {
    const int number = error.code().value();
    switch (number) {
    case EACCES: throw Unreadable("only who may read it learns what is in it", number);
    case ENOENT:
    case EINVAL:
    case EIDRM: throw Unreadable("it went away meanwhile", number);
    default: throw Unreadable(error.what(), number);
    }
}

// ---- A file ------------------------------------------------------------------------------------------------------

class FileContents : public Contents {
public:
    FileContents(Fd file, std::uint64_t size, std::uint64_t huge_page = 0)
        : file_(std::move(file)), size_(size), huge_page_(huge_page) {}

    [[nodiscard]] std::uint64_t size() const override { return size_; }

    [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) override {
        const off_t found = ::lseek(file_.get(), static_cast<off_t>(offset), SEEK_DATA);
        if (found < 0)
            return errno == ENXIO ? size_ : offset; // a file system that can't tell: all may be data
        return std::min(static_cast<std::uint64_t>(found), size_);
    }

    [[nodiscard]] std::uint64_t next_hole(std::uint64_t offset) override {
        const off_t found = ::lseek(file_.get(), static_cast<off_t>(offset), SEEK_HOLE);
        return found < 0 ? size_ : std::min(static_cast<std::uint64_t>(found), size_);
    }

    [[nodiscard]] std::uint64_t huge_page() const override { return huge_page_; }

    void read(std::uint64_t offset, std::span<std::byte> into) override {
        while (!into.empty()) {
            const ssize_t length = ::pread(file_.get(), into.data(), into.size(), static_cast<off_t>(offset));
            if (length < 0 && errno == EINTR) continue;
            if (length < 0) refuse(Error(errno, "read it"));
            if (length == 0) throw Unreadable("it became shorter meanwhile");
            offset += static_cast<std::uint64_t>(length);
            into = into.subspan(static_cast<std::size_t>(length));
        }
    }

private:
    Fd file_;
    std::uint64_t size_;
    std::uint64_t huge_page_;
};

// ---- A mapping ---------------------------------------------------------------------------------------------------

// How many bytes of the mapping that begins at an address are swapped out; nothing: it is not known.
std::optional<std::uint64_t> swapped_bytes(std::uintptr_t address) {
    struct sysinfo memory {};
    if (::sysinfo(&memory) == 0 && memory.totalswap == memory.freeswap) return 0;
    std::array<char, 32> begin;
    const int length =
        std::snprintf(begin.data(), begin.size(), "%08lx-", static_cast<unsigned long>(address));
    const std::string_view start(begin.data(), static_cast<std::size_t>(length));
    std::ifstream smaps("/proc/self/smaps");
    bool ours = false;
    for (std::string line; std::getline(smaps, line);) {
        if (line.starts_with(start)) ours = true;
        constexpr std::string_view swap = "Swap:";
        if (!ours || !line.starts_with(swap)) continue;
        const auto at = line.find_first_not_of(' ', swap.size());
        std::uint64_t kibibytes = 0;
        if (at == std::string::npos ||
            std::from_chars(line.data() + at, line.data() + line.size(), kibibytes).ec != std::errc())
            return std::nullopt;
        return kibibytes * 1024;
    }
    return std::nullopt;
}

class MappedContents : public Contents {
public:
    explicit MappedContents(ReadOnlySegment segment) : segment_(std::move(segment)) {}

    [[nodiscard]] std::uint64_t size() const override { return segment_.bytes().size(); }

    [[nodiscard]] std::uint64_t next_data(std::uint64_t offset) override {
        for (std::uint64_t page = offset / page_size(); page * page_size() < size(); ++page) {
            if (is_there(page)) return std::max(offset, page * page_size());
        }
        return size();
    }

    [[nodiscard]] std::uint64_t next_hole(std::uint64_t offset) override {
        for (std::uint64_t page = offset / page_size(); page * page_size() < size(); ++page) {
            if (!is_there(page)) return std::max(offset, page * page_size());
        }
        return size();
    }

    void read(std::uint64_t offset, std::span<std::byte> into) override {
        const std::byte* const memory = segment_.bytes().data();
        const std::uint64_t end = offset + into.size();
        for (std::uint64_t at = offset; at < end;) {
            const std::uint64_t page = at / page_size();
            const std::uint64_t next = std::min(end, (page + 1) * page_size());
            std::byte* const to = into.data() + (at - offset);
            if (is_there(page))
                std::memcpy(to, memory + at, next - at);
            else
                std::memset(to, 0, next - at);
            at = next;
        }
        // The pages stay where they are; what goes is this process's table of them.
        const std::uint64_t first = offset / page_size() * page_size();
        (void)::madvise(const_cast<std::byte*>(memory) + first, whole_pages(end - first), MADV_DONTNEED);
    }

    void vouch() override {
        const auto swapped = swapped_bytes(reinterpret_cast<std::uintptr_t>(segment_.bytes().data()));
        if (swapped != 0)
            throw Unreadable(
                "some of it is swapped out, and only root can tell that from what was never written");
    }

private:
    // Asks for many pages at once. What was not there some microseconds ago may be by now: then it was written meanwhile.
    bool is_there(std::uint64_t page) {
        if (page < first_ || page >= first_ + count_) {
            first_ = page;
            const std::uint64_t left = whole_pages(size()) / page_size() - page;
            count_ = std::min<std::uint64_t>(left, there_.size());
            auto* const start = const_cast<std::byte*>(segment_.bytes().data()) + page * page_size();
            if (::mincore(start, count_ * page_size(), there_.data()) != 0)
                refuse(Error(errno, "find out what of it is in memory"));
        }
        return (there_[page - first_] & 1U) != 0;
    }

    ReadOnlySegment segment_;
    std::uint64_t first_ = 0, count_ = 0;
    std::array<unsigned char, 4096> there_{};
};

// The file behind one of our own mappings.
Fd open_mapped(const maps::MappedFile& mapped) {
    std::array<char, 80> path;
    std::snprintf(path.data(), path.size(), "/proc/self/map_files/%lx-%lx",
                  static_cast<unsigned long>(mapped.begin), static_cast<unsigned long>(mapped.end));
    Fd file(::open(path.data(), O_RDONLY | O_CLOEXEC));
    struct stat about {};
    if (file && (::fstat(file.get(), &about) != 0 || about.st_ino != mapped.inode)) file.reset();
    return file;
}

} // namespace

namespace {

ReadOnlySegment attach_same(const SegmentRecord& segment, bool forced) {
    const auto now = find_segment(segment.id);
    if (!now || now->bytes != segment.bytes || now->creator_pid != segment.creator_pid)
        throw Unreadable("it went away meanwhile");
    // One that somebody has attached goes with him, whether we have attached it too or not.
    if (forced && now->attached == 0)
        throw Unreadable("the limit shm_rmid_forced would have it removed, if it were attached for a look");
    return ReadOnlySegment::attach(*now);
}

std::unique_ptr<Contents> contents_of(ReadOnlySegment attached, const SegmentRecord& segment,
                                      const std::vector<maps::SegmentFileSystem>& file_systems) {
    const auto address = reinterpret_cast<std::uintptr_t>(attached.bytes().data());
    const Fd self(::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC));
    bool query = true;
    std::vector<maps::MappedFile> mapped;
    (void)maps::read(self.get(), {file_systems, {}}, query, mapped);
    const auto found =
        std::find_if(mapped.begin(), mapped.end(), [&](const auto& one) { return one.begin == address; });
    if (found == mapped.end()) throw Unreadable("what kind of memory it is made of is not known");
    if (Fd file = open_mapped(*found))
        return std::make_unique<FileContents>(std::move(file), segment.bytes, found->huge_page);
    if (found->huge_page != 0)
        throw Unreadable("it is made of huge pages, of which only root can tell what was never written");
    return std::make_unique<MappedContents>(std::move(attached));
}

} // namespace

std::unique_ptr<Contents> contents_of(const Namespace& ipc, const SegmentRecord& segment,
                                      const std::vector<maps::SegmentFileSystem>& file_systems, bool forced) {
    std::optional<ReadOnlySegment> attached;
    try {
        ipc.call([&] { attached.emplace(attach_same(segment, forced)); });
    } catch (const Unreadable&) {
        throw;
    } catch (const Error& error) {
        refuse(error);
    }
    return contents_of(std::move(*attached), segment, file_systems);
}

std::unique_ptr<Contents> contents_here(const SegmentRecord& segment,
                                        const std::vector<maps::SegmentFileSystem>& file_systems,
                                        bool forced) {
    try {
        return contents_of(attach_same(segment, forced), segment, file_systems);
    } catch (const Unreadable&) {
        throw;
    } catch (const Error& error) {
        refuse(error);
    }
}

bool removes_unattached() {
    const auto value = procfs::read_start(AT_FDCWD, "/proc/sys/kernel/shm_rmid_forced");
    if (!value && errno != ENOENT) fail("read the limit shm_rmid_forced");
    return value && !value->starts_with('0');
}

std::unique_ptr<Contents> contents_of(const Namespace& ipc, const SegmentRecord& segment) {
    const bool forced = ipc.call(removes_unattached);
    return contents_of(ipc, segment, maps::segment_file_systems(), forced);
}

std::unique_ptr<Contents> contents_of(int folder, const SharedMemoryRecord& memory) {
    const std::string file = memory.name.substr(1);
    // A FIFO that has taken its place is opened without waiting, and a file with a lease (fcntl(2)) is not.
    constexpr int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
    Fd fd(::openat(folder, file.c_str(), flags | O_NOATIME));
    if (!fd && errno == EPERM) fd.reset(::openat(folder, file.c_str(), flags));
    if (!fd) refuse(Error(errno, "open it"));
    struct stat about {};
    if (::fstat(fd.get(), &about) != 0 || FileId{about.st_dev, about.st_ino} != memory.file)
        throw Unreadable("it went away meanwhile");
    return std::make_unique<FileContents>(std::move(fd), memory.bytes);
}

std::optional<ByteDifference> first_difference(Contents& a, Contents& b) {
    constexpr std::size_t piece = std::size_t{256} * 1024;
    std::vector<std::byte> in_a(piece);
    std::vector<std::byte> in_b(piece);
    const std::uint64_t size = std::min(a.size(), b.size());
    std::optional<ByteDifference> found;
    a.vouch();
    b.vouch();
    for (std::uint64_t at = 0; at < size && !found;) {
        at = std::min(a.next_data(at), b.next_data(at));
        if (at >= size) break;
        const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(piece, size - at));
        a.read(at, std::span(in_a).first(length));
        b.read(at, std::span(in_b).first(length));
        if (std::memcmp(in_a.data(), in_b.data(), length) != 0) {
            const auto where = std::mismatch(in_a.begin(), in_a.end(), in_b.begin());
            const auto distance = static_cast<std::uint64_t>(where.first - in_a.begin());
            found = {at + distance, *where.first, *where.second};
        }
        at += length;
    }
    a.vouch();
    b.vouch();
    return found;
}

} // namespace ipcns
