// SPDX-License-Identifier: Apache-2.0
// A snapshot as a tar file, written and read in one go. Leans on libarchive's pax format, which knows sparse files (GNU
// 1.0, as GNU tar does); on zstd, used directly since libarchive's filter has but one thread (compressor.hpp); on XXH3 (128 bits), which
// is faster than memory.
//
// A file may be written twice, the second time while processes stand still (SaveOptions::precopy). Nobody can ask the kernel
// which pages others have written meanwhile: soft-dirty bits, PAGEMAP_SCAN and write protection by userfaultfd(2) are those
// of one process's mapping. So what is the same is found out by its hash, which takes a fraction of what writing does.
//
// Members follow each other in the order of the manifest, and their names follow from it: a file that has others, or in
// another order, is refused, and no path is ever taken from one.
#include "tarball.hpp"

#include "compressor.hpp"
#include "error.hpp"
#include "random.hpp"
#include "write_behind.hpp"

#include <ipcns/fd.hpp>
#include <ipcns/text.hpp>

#include <archive.h>
#include <archive_entry.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace ipcns {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// The head of a message in a member: its type or priority and its length, little end first.
constexpr std::size_t head_size = 16;
// Of a tar, whose parts begin at multiples of it.
constexpr std::uint64_t record = 512;
// Each is whole in memory once. POSIX queues take 16 MiB, System V ones what msgmax says.
constexpr std::uint64_t longest_message = std::uint64_t{256} << 20;

void put_number(std::byte* to, std::uint64_t number) {
    for (std::size_t i = 0; i < 8; ++i) to[i] = static_cast<std::byte>(number >> (8 * i));
}
std::uint64_t get_number(const std::byte* from) {
    std::uint64_t number = 0;
    for (std::size_t i = 0; i < 8; ++i) number |= static_cast<std::uint64_t>(from[i]) << (8 * i);
    return number;
}

// What a member's sum is made from: the bytes that are stored, then, if these are not all, where they belong.
class Summing {
public:
    Summing() : state_(XXH3_createState()) {
        if (!state_) throw std::bad_alloc();
    }
    void begin(std::uint64_t size) {
        size_ = size;
        extents_.clear();
        XXH3_128bits_reset(state_.get());
    }
    void add(std::uint64_t offset, std::span<const std::byte> data) {
        if (data.empty()) return;
        if (!extents_.empty() && extents_.back().end() == offset)
            extents_.back().length += data.size();
        else
            extents_.push_back({offset, data.size()});
        XXH3_128bits_update(state_.get(), data.data(), data.size());
    }
    [[nodiscard]] std::uint64_t stored() const {
        std::uint64_t sum = 0;
        for (const auto& extent : extents_) sum += extent.length;
        return sum;
    }
    [[nodiscard]] std::string end() {
        const bool whole = stored() == size_;
        for (const auto& extent : extents_) {
            if (whole) break;
            std::array<std::byte, 16> place;
            put_number(place.data(), extent.offset);
            put_number(place.data() + 8, extent.length);
            XXH3_128bits_update(state_.get(), place.data(), place.size());
        }
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state_.get()));
        std::string text;
        for (const unsigned char byte : canonical.digest) {
            constexpr std::string_view digits = "0123456789abcdef";
            text += digits[byte >> 4U];
            text += digits[byte & 15U];
        }
        return text;
    }

private:
    struct Free {
        void operator()(XXH3_state_t* state) const noexcept { (void)XXH3_freeState(state); }
    };
    std::unique_ptr<XXH3_state_t, Free> state_;
    std::uint64_t size_ = 0;
    std::vector<Extent> extents_;
};

// What a descriptor leads to, for messages: a path, or one of the standard streams. Nothing: what has no name.
std::string name_of(int fd) {
    std::array<char, PATH_MAX> path;
    const std::string link = "/proc/self/fd/" + std::to_string(fd);
    const ssize_t length = ::readlink(link.c_str(), path.data(), path.size());
    const std::string_view name(path.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0)));
    // Of a pipe it is pipe:[1234].
    if (name.starts_with('/') && !name.ends_with(" (deleted)")) return escape(name);
    return fd == STDIN_FILENO ? "standard input" : fd == STDOUT_FILENO ? "standard output" : "";
}

// "read the snapshot from FILE".
std::string doing_to(const std::string& what, const char* preposition, const std::string& name) {
    return name.empty() ? what : what + " " + preposition + " " + name;
}

[[noreturn]] void not_written(archive* to, const std::string& doing) {
    const char* const why = ::archive_error_string(to);
    fail(EIO, doing + ": " + (why != nullptr ? why : "libarchive does not say why"));
}

// libarchive wants holes to be "written", too, and looks at nothing of them.
class Nothing {
public:
    Nothing() {
        // It takes no more than an int's worth at a time.
        for (size_ = std::size_t{1} << 30; size_ >= 4096; size_ /= 2) {
            start_ = ::mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (start_ != MAP_FAILED) return;
        }
        fail("reserve addresses");
    }
    ~Nothing() { ::munmap(start_, size_); }
    Nothing(const Nothing&) = delete;
    Nothing& operator=(const Nothing&) = delete;
    void skip(archive* to, std::uint64_t length, const std::string& doing) {
        while (length > 0) {
            const auto piece = static_cast<std::size_t>(std::min<std::uint64_t>(length, size_));
            const la_ssize_t done = ::archive_write_data(to, start_, piece);
            if (done <= 0) not_written(to, doing);
            length -= static_cast<std::uint64_t>(done);
        }
    }

private:
    void* start_ = nullptr;
    std::size_t size_ = 0;
};

// What readers of a tar pass over: a comment about all members behind it, in an extended header for all of them (pax, "g").
// @param length of that in the file: whole records, and at least two
std::string comment(std::uint64_t length) {
    std::string text = std::to_string(length - record) + " comment=";
    text.resize(length - record - 1, ' ');
    text += '\n';
    std::string head(record, '\0');
    const auto put = [&](std::size_t at, std::string_view field) { head.replace(at, field.size(), field); };
    const auto octal = [](std::uint64_t number) {
        std::array<char, 12> digits{};
        std::snprintf(digits.data(), digits.size(), "%011llo", static_cast<unsigned long long>(number));
        return std::string(digits.data());
    };
    put(0, "pax_global_header");
    put(100, "0000600");
    put(108, "0000000");
    put(116, "0000000");
    put(124, octal(text.size()));
    put(136, octal(0));
    put(148, "        "); // the sum is made with spaces in its place
    put(156, "g");
    put(257, "ustar");
    put(263, "00");
    std::uint64_t sum = 0;
    for (const char byte : head) sum += static_cast<unsigned char>(byte);
    put(148, octal(sum).substr(5));
    head[154] = '\0';
    return head + text;
}

// A file that is written more than once: of each of its blocks there is a hash, and a block that has the same as before is not
// written again. A writer that guesses the hashes could have his old data saved; so they have a seed of their own.
class Blocks {
public:
    Blocks(int fd, WriteBehind& behind, const std::string& doing) : fd_(fd), behind_(behind), doing_(doing) {
        fill_random(&seed_, sizeof seed_);
    }

    void put(const std::byte* data, std::size_t length) {
        while (length > 0) {
            std::size_t taken = length / block * block;
            if (gathered_.empty() && taken > 0) {
                settle(data, taken);
            } else {
                taken = std::min(block - gathered_.size(), length);
                gathered_.insert(gathered_.end(), data, data + taken);
                if (gathered_.size() == block) settle_gathered();
            }
            data += taken;
            length -= taken;
        }
    }
    void finish() {
        settle_gathered();
        if (::ftruncate(fd_, static_cast<off_t>(at_)) != 0) fail(doing_);
    }
    void start_over() noexcept {
        gathered_.clear();
        at_ = written_ = 0;
    }
    [[nodiscard]] std::uint64_t size() const noexcept { return at_ + gathered_.size(); }
    [[nodiscard]] std::uint64_t written() const noexcept { return written_; }

private:
    // Small, since a program writes here and there, and since what lies across an end of one has to be copied.
    static constexpr std::size_t block = std::size_t{16} << 10;

    void settle_gathered() {
        settle(gathered_.data(), gathered_.size());
        gathered_.clear();
    }

    // Whole blocks, or the last part of the file.
    void settle(const std::byte* data, std::size_t length) {
        std::size_t different = 0; // bytes before this place that are to be written
        for (std::size_t done = 0; done < length;) {
            const std::size_t part = std::min(block, length - done);
            if (is_there(data + done, part, at_ + done)) {
                write_out(data + done - different, different, at_ + done - different);
                different = 0;
            } else {
                different += part;
            }
            done += part;
        }
        write_out(data + length - different, different, at_ + length - different);
        at_ += length;
    }

    // Puts down the hash, too: whoever can't write a block gives up the file.
    bool is_there(const std::byte* data, std::size_t length, std::uint64_t offset) {
        const XXH128_hash_t hash = XXH3_128bits_withSeed(data, length, seed_);
        const std::uint64_t number = offset / block;
        if (number == hashes_.size()) {
            hashes_.push_back(hash);
            return false;
        }
        return XXH128_isEqual(std::exchange(hashes_[number], hash), hash) != 0;
    }

    void write_out(const std::byte* data, std::size_t length, std::uint64_t offset) {
        while (length > 0) {
            const ssize_t done = ::pwrite(fd_, data, length, static_cast<off_t>(offset));
            if (done < 0 && errno == EINTR) continue;
            if (done < 0) fail(doing_);
            data += done;
            offset += static_cast<std::uint64_t>(done);
            length -= static_cast<std::size_t>(done);
            written_ += static_cast<std::uint64_t>(done);
        }
        behind_.wrote_until(offset);
    }

    int fd_;
    WriteBehind& behind_;
    const std::string& doing_;
    XXH64_hash_t seed_ = 0;
    std::vector<XXH128_hash_t> hashes_;
    std::vector<std::byte> gathered_; // less than a block, which ends at an edge of one
    std::uint64_t at_ = 0, written_ = 0;
};

} // namespace

void CloseArchive::operator()(archive* open) const noexcept { (void)::archive_free(open); }

// ---- Writing -----------------------------------------------------------------------------------------------------

// Where the archive goes: small pieces are gathered, large ones go as they are.
class TarWriter::Output {
public:
    Output(int fd, const std::string& name)
        : doing(doing_to("write the snapshot", "to", name)),
          fd_(fd),
          behind_(fd),
          blocks_(std::in_place, fd, behind_, doing) {}
    Output(int fd, std::optional<int> level, const std::string& name)
        : doing(doing_to("write the snapshot", "to", name.empty() ? name_of(fd) : name)),
          fd_(fd),
          behind_(fd) {
        if (level)
            compressor_.emplace(
                *level, [this](std::span<const std::byte> frame) { gather(frame.data(), frame.size()); });
    }

    void put(const void* data, std::size_t length) {
        if (blocks_)
            blocks_->put(static_cast<const std::byte*>(data), length);
        else if (compressor_)
            compressor_->put({static_cast<const std::byte*>(data), length});
        else
            gather(data, length);
    }
    void finish() {
        if (blocks_) blocks_->finish();
        if (compressor_) compressor_->finish();
        flush();
    }
    void start_over() noexcept {
        blocks_->start_over();
        failed = nullptr;
    }
    [[nodiscard]] bool starts_over() const noexcept { return blocks_.has_value(); }
    [[nodiscard]] std::uint64_t written() const noexcept { return blocks_ ? blocks_->size() : written_; }
    [[nodiscard]] std::uint64_t written_again() const noexcept { return blocks_ ? blocks_->written() : 0; }
    const std::string doing;
    std::exception_ptr failed; // libarchive is C: what is thrown must not pass through it

private:
    void gather(const void* data, std::size_t length) {
        constexpr std::size_t large = std::size_t{64} << 10;
        if (length < large && gathered_.size() + length <= 4 * large) {
            const auto* const start = static_cast<const std::byte*>(data);
            gathered_.insert(gathered_.end(), start, start + length);
            return;
        }
        flush();
        write_out(static_cast<const std::byte*>(data), length);
    }

    void flush() {
        write_out(gathered_.data(), gathered_.size());
        gathered_.clear();
    }

    void write_out(const std::byte* data, std::size_t length) {
        while (length > 0) {
            const ssize_t done = ::write(fd_, data, length);
            if (done < 0 && errno == EINTR) continue;
            if (done < 0) fail(doing, errno == EPIPE ? "its reader has gone" : "");
            data += done;
            length -= static_cast<std::size_t>(done);
            written_ += static_cast<std::uint64_t>(done);
        }
        behind_.wrote_until(written_);
    }

    int fd_;
    WriteBehind behind_;
    std::optional<Blocks> blocks_; // where it may be begun again
    std::optional<Compressor> compressor_;
    std::vector<std::byte> gathered_;
    std::uint64_t written_ = 0;
};

class TarWriter::Sum : public Summing {};

TarWriter::TarWriter(int output, std::optional<int> zstd, const std::string& name)
    : output_(std::make_unique<Output>(output, zstd, name)), sum_(std::make_unique<Sum>()) {
    open();
}

TarWriter::TarWriter(int file, const std::string& name)
    : output_(std::make_unique<Output>(file, name)), sum_(std::make_unique<Sum>()) {
    open();
}

void TarWriter::open() {
    archive_.reset(::archive_write_new());
    if (!archive_) throw std::bad_alloc();
    const auto put = [](archive* /*a*/, void* data, const void* buffer, std::size_t length) -> la_ssize_t {
        auto* const to = static_cast<Output*>(data);
        try {
            to->put(buffer, length);
            return static_cast<la_ssize_t>(length);
        } catch (...) {
            to->failed = std::current_exception();
            return -1;
        }
    };
    ::archive_write_set_format_pax(archive_.get());
    ::archive_write_set_bytes_per_block(archive_.get(), 0); // Output gathers
    if (::archive_write_open(archive_.get(), output_.get(), nullptr, put, nullptr) != ARCHIVE_OK)
        fail(ENOMEM, "begin a tar file");
}

TarWriter::~TarWriter() { abandon(); }

// What was not finished is not to be ended as if it were.
void TarWriter::abandon() noexcept {
    if (archive_) (void)::archive_write_fail(archive_.get());
    archive_.reset();
}

void TarWriter::start_over() {
    abandon();
    output_->start_over();
    sums_.clear();
    snapshot_ = nullptr;
    open();
}

bool TarWriter::failed() const noexcept { return output_->failed != nullptr; }
std::uint64_t TarWriter::written() const noexcept { return output_->written(); }
std::uint64_t TarWriter::written_again() const noexcept { return output_->written_again(); }

void TarWriter::begin_member(const std::string& name, std::uint64_t size, std::span<const Extent> extents) {
    struct FreeEntry {
        void operator()(archive_entry* entry) const noexcept { ::archive_entry_free(entry); }
    };
    const std::unique_ptr<archive_entry, FreeEntry> entry(::archive_entry_new());
    if (!entry) throw std::bad_alloc();
    ::archive_entry_set_pathname(entry.get(), name.c_str());
    ::archive_entry_set_filetype(entry.get(), AE_IFREG);
    ::archive_entry_set_perm(entry.get(), 0600);
    ::archive_entry_set_size(entry.get(), static_cast<la_int64_t>(size));
    if (snapshot_->made)
        ::archive_entry_set_mtime(entry.get(), snapshot_->made->time_since_epoch().count(), 0);
    for (const auto& extent : extents)
        ::archive_entry_sparse_add_entry(entry.get(), static_cast<la_int64_t>(extent.offset),
                                         static_cast<la_int64_t>(extent.length));
    member_ = name;
    size_ = size;
    at_ = stored_ = 0;
    sum_->begin(size);
    if (::archive_write_header(archive_.get(), entry.get()) != ARCHIVE_OK) {
        if (output_->failed) std::rethrow_exception(output_->failed);
        not_written(archive_.get(), output_->doing);
    }
}

void TarWriter::put(std::span<const std::byte> data) {
    if (data.empty()) return;
    sum_->add(at_, data);
    at_ += data.size();
    stored_ += data.size();
    if (::archive_write_data(archive_.get(), data.data(), data.size()) ==
        static_cast<la_ssize_t>(data.size()))
        return;
    if (output_->failed) std::rethrow_exception(output_->failed);
    not_written(archive_.get(), output_->doing);
}

void TarWriter::skip(std::uint64_t length) {
    try {
        Nothing().skip(archive_.get(), length, output_->doing);
    } catch (const Error&) {
        if (output_->failed) std::rethrow_exception(output_->failed);
        throw;
    }
}

void TarWriter::finish_member() {
    if (at_ != size_)
        fail(EAGAIN, "save " + member_ + ": there is less of it than there was a moment ago",
             "something inside went on; save again");
    if (::archive_write_finish_entry(archive_.get()) != ARCHIVE_OK) {
        if (output_->failed) std::rethrow_exception(output_->failed);
        not_written(archive_.get(), output_->doing);
    }
    sums_.push_back({member_, stored_, sum_->end()});
}

void TarWriter::whole_member(const std::string& name, const std::string& text) {
    begin_member(name, text.size(), {});
    put(bytes_of(text));
    finish_member();
}

void TarWriter::begin(const Snapshot& snapshot) {
    snapshot_ = &snapshot;
    whole_member(manifest_member, manifest_text(snapshot));
}

void TarWriter::begin_memory(Kind kind, std::size_t index, std::span<const Extent> extents) {
    const std::uint64_t size =
        kind == Kind::shm ? snapshot_->shm[index].record.bytes : snapshot_->pshm[index].bytes;
    const std::string name = member_name(*snapshot_, kind, index);
    if (output_->starts_over()) keep_place(name, extents);
    begin_member(name, size, extents);
}

// What comes before a large member will be longer or shorter the next time: times, messages. So that this is at the same place
// all the same, and need not be written again, there is room before it.
void TarWriter::keep_place(const std::string& name, std::span<const Extent> extents) {
    constexpr std::uint64_t large = std::uint64_t{4} << 20, room = 64 << 10, least = 2 * record,
                            most = 4 * room;
    std::uint64_t stored = 0;
    for (const auto& extent : extents) stored += extent.length;
    if (stored < large) return;
    const std::uint64_t at = output_->written();
    std::uint64_t& place = places_[name];
    if (place < at + least || place > at + most) place = at + room;
    const std::string nothing = comment(place - at);
    output_->put(nothing.data(), nothing.size());
}

void TarWriter::bytes(std::uint64_t offset, std::span<const std::byte> data) {
    if (offset != at_) {
        skip(offset - at_);
        at_ = offset;
    }
    put(data);
}

void TarWriter::end_memory() {
    if (at_ != size_) {
        skip(size_ - at_);
        at_ = size_;
    }
    finish_member();
}

void TarWriter::begin_messages(Kind kind, std::size_t index, std::uint64_t count, std::uint64_t bytes) {
    begin_member(member_name(*snapshot_, kind, index), bytes + count * head_size, {});
}

void TarWriter::message(std::int64_t type, std::span<const std::byte> text) {
    if (text.size() > longest_message)
        fail(EFBIG, "save " + member_ + ": a message is longer than a snapshot takes");
    if (head_size + text.size() > size_ - at_)
        fail(EAGAIN, "save " + member_ + ": there is more in it than there was a moment ago",
             "something inside went on; save again");
    std::array<std::byte, head_size> head;
    put_number(head.data(), static_cast<std::uint64_t>(type));
    put_number(head.data() + 8, text.size());
    put(head);
    put(text);
}

void TarWriter::end_messages() { finish_member(); }

void TarWriter::end(const SnapshotEnd& end) {
    SnapshotEnd all = end;
    all.members = sums_;
    whole_member(end_member, end_text(all));
    if (::archive_write_close(archive_.get()) != ARCHIVE_OK) {
        if (output_->failed) std::rethrow_exception(output_->failed);
        not_written(archive_.get(), output_->doing);
    }
    output_->finish();
    archive_.reset();
}

// ---- Reading -----------------------------------------------------------------------------------------------------

// What comes in, decompressed where it is compressed. libarchive believes what it reads: the list of a member's extents, its
// extended heads, may be as long as they like, and a few bytes of zstd can become any number of them. So it gets no more at
// a time than allow() said.
class TarReader::Input {
public:
    explicit Input(int fd)
        : doing(doing_to("read the snapshot", "from", name_of(fd))), fd_(fd), buffer_(std::size_t{1} << 20) {}

    /// Until the next call of this, no more than that, but for what it had ahead.
    void allow(std::uint64_t bytes) noexcept { allowed_ = bytes; }

    la_ssize_t more(const void** data) {
        *data = buffer_.data();
        if (allowed_ == 0) {
            excess_ = true;
            return -1;
        }
        if (!begun_) begin();
        last_ = packed_ ? decompress() : refill(buffer_);
        allowed_ -= std::min(allowed_, last_);
        handed_ += last_;
        return failed() ? -1 : static_cast<la_ssize_t>(last_);
    }

    /// Throws what was wrong with what came in.
    void check() const {
        if (error_ != 0) fail(error_, doing);
        if (empty_)
            throw Flaw(EBADMSG, "it is empty",
                       "whatever was to write it has written nothing: see what it said");
        if (excess_) damaged("a member has too much about it");
        if (truncated_) damaged("it ends too early");
        if (corrupt_) damaged("its compressed data is damaged");
    }

    /// Reads up to the end, where nothing is but zeros: a writer in a pipe is to get rid of all that it has.
    /// @param used how much of what it got libarchive has used
    void finish(std::uint64_t used) {
        constexpr std::uint64_t most_padding = std::uint64_t{1} << 20;
        std::uint64_t rest = std::min(handed_ - std::min(handed_, used), last_);
        std::span<const std::byte> left = std::span(buffer_).first(last_).last(rest);
        for (std::uint64_t seen = 0; !left.empty(); left = std::span(buffer_).first(last_)) {
            seen += left.size();
            const bool zeros =
                std::all_of(left.begin(), left.end(), [](std::byte one) { return one == std::byte{}; });
            if (!zeros || seen > 2 * most_padding) damaged("something comes after its end");
            allow(most_padding);
            const void* none = nullptr;
            if (more(&none) < 0) last_ = 0;
            check();
        }
    }

    const std::string doing;

private:
    struct Free {
        void operator()(ZSTD_DCtx* context) const noexcept { (void)::ZSTD_freeDCtx(context); }
    };

    [[nodiscard]] bool failed() const noexcept { return error_ != 0 || truncated_ || corrupt_; }

    std::size_t refill(std::span<std::byte> into) {
        for (;;) {
            const ssize_t length = ::read(fd_, into.data(), into.size());
            if (length >= 0) return static_cast<std::size_t>(length);
            if (errno == EINTR) continue;
            error_ = errno;
            return 0;
        }
    }

    // Looks at the first bytes: a frame of zstd begins with these.
    void begin() {
        constexpr std::array<std::byte, 4> magic{std::byte{0x28}, std::byte{0xB5}, std::byte{0x2F},
                                                 std::byte{0xFD}};
        begun_ = true;
        source_.resize(::ZSTD_DStreamInSize());
        while (source_end_ < magic.size()) {
            const std::size_t length = refill(std::span(source_).subspan(source_end_));
            if (length == 0) break;
            source_end_ += length;
        }
        empty_ = source_end_ == 0 && error_ == 0;
        packed_ = true; // plain bytes that were read to find out are handed on as a frame's would be
        plain_ = source_end_ < magic.size() || !std::equal(magic.begin(), magic.end(), source_.begin());
        if (plain_) return;
        zstd_.reset(::ZSTD_createDCtx());
        if (!zstd_) throw std::bad_alloc();
    }

    std::size_t decompress() {
        if (plain_) {
            packed_ = false;
            std::copy_n(source_.begin(), source_end_, buffer_.begin());
            return source_end_ != 0 ? source_end_ : failed() ? 0 : refill(buffer_);
        }
        ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
        while (out.pos == 0) {
            if (source_at_ == source_end_) {
                source_at_ = 0;
                source_end_ = refill(source_);
                if (source_end_ == 0) {
                    truncated_ = in_frame_ && error_ == 0;
                    return 0;
                }
            }
            ZSTD_inBuffer in{source_.data(), source_end_, source_at_};
            const std::size_t left = ::ZSTD_decompressStream(zstd_.get(), &out, &in);
            source_at_ = in.pos;
            if (::ZSTD_isError(left) != 0) {
                corrupt_ = true;
                return 0;
            }
            in_frame_ = left != 0;
        }
        return out.pos;
    }

    int fd_;
    std::vector<std::byte> buffer_; // what libarchive gets
    std::vector<std::byte> source_; // what came in and is compressed
    std::size_t source_at_ = 0, source_end_ = 0;
    std::unique_ptr<ZSTD_DCtx, Free> zstd_;
    bool begun_ = false, packed_ = false, plain_ = false, in_frame_ = false;
    std::uint64_t allowed_ = 0, handed_ = 0, last_ = 0;
    int error_ = 0;
    bool empty_ = false, excess_ = false, truncated_ = false, corrupt_ = false;
};

namespace {

// The most that comes before a member's data, or a piece of it: a list of some two million extents.
constexpr std::uint64_t most_about = std::uint64_t{64} << 20;

} // namespace

template <class Work>
void TarReader::saying_where(Work work) {
    try {
        work();
    } catch (const Flaw& flaw) {
        fail(flaw.code().value(), input_->doing + ": " + flaw.why(), flaw.hint());
    }
}

const std::string& TarReader::doing() const noexcept { return input_->doing; }

TarReader::TarReader(int input) : input_(std::make_unique<Input>(input)), archive_(::archive_read_new()) {
    if (!archive_) throw std::bad_alloc();
    ::archive_read_support_format_tar(archive_.get());
    const auto more = [](archive* /*a*/, void* data, const void** buffer) {
        return static_cast<Input*>(data)->more(buffer);
    };
    input_->allow(most_about);
    const int opened = ::archive_read_open(archive_.get(), input_.get(), nullptr, more, nullptr);
    saying_where([&] {
        input_->check();
        if (opened != ARCHIVE_OK) damaged("it is no tar file");
        if (next_member() != manifest_member) damaged("it does not begin with a manifest");
        snapshot_ = parse_manifest(read_whole(manifest_member));
    });
}

TarReader::~TarReader() = default;

// The name of the next member, or nothing at the end.
std::string TarReader::next_member() {
    archive_entry* entry = nullptr;
    input_->allow(most_about);
    const int result = ::archive_read_next_header(archive_.get(), &entry);
    input_->check();
    if (result == ARCHIVE_EOF) return {};
    if (result != ARCHIVE_OK) damaged("it is no tar file, or ends too early");
    const char* const name = ::archive_entry_pathname(entry);
    if (name == nullptr || *name == '\0') damaged("a member has no name");
    if (::archive_entry_filetype(entry) != AE_IFREG || ::archive_entry_hardlink(entry) != nullptr ||
        ::archive_entry_symlink(entry) != nullptr)
        damaged("a member is no plain file");
    if (::archive_entry_size_is_set(entry) == 0 || ::archive_entry_size(entry) < 0)
        damaged("a member has no size");
    size_ = static_cast<std::uint64_t>(::archive_entry_size(entry));
    return name;
}

bool TarReader::next_block(std::uint64_t& offset, std::span<const std::byte>& data) {
    for (;;) {
        const void* start = nullptr;
        std::size_t length = 0;
        la_int64_t place = 0;
        input_->allow(most_about);
        const int result = ::archive_read_data_block(archive_.get(), &start, &length, &place);
        input_->check();
        if (result == ARCHIVE_EOF) return false;
        if (result != ARCHIVE_OK) damaged("it ends too early");
        if (length == 0) continue;
        offset = static_cast<std::uint64_t>(place);
        if (place < 0 || offset > size_ || length > size_ - offset)
            damaged("a member is larger than it says");
        data = {static_cast<const std::byte*>(start), length};
        return true;
    }
}

std::string TarReader::read_whole(const std::string& name) {
    if (size_ > most_manifest_bytes) damaged("its " + name + " is too large");
    Summing sum;
    sum.begin(size_);
    std::string text;
    std::uint64_t offset = 0;
    for (std::span<const std::byte> data; next_block(offset, data);) {
        if (offset != text.size()) damaged("its " + name + " has holes");
        sum.add(offset, data);
        text.append(reinterpret_cast<const char*>(data.data()), data.size());
    }
    if (text.size() != size_) damaged("it ends too early");
    sums_.push_back({name, text.size(), sum.end()});
    return text;
}

void TarReader::tell() {
    if (progress_ != nullptr && *progress_) (*progress_)({contents_, all_});
}

void TarReader::read_memory(Kind kind, std::size_t index, Receiver& to) {
    const std::uint64_t size =
        kind == Kind::shm ? snapshot_.shm[index].record.bytes : snapshot_.pshm[index].bytes;
    if (size_ != size)
        damaged("the size of " + object_name(snapshot_, kind, index).text() + " is not the one it says");
    Summing sum;
    sum.begin(size);
    to.begin_memory(kind, index, {});
    std::uint64_t offset = 0, reached = 0;
    for (std::span<const std::byte> data; next_block(offset, data);) {
        if (offset < reached) damaged("a member goes backwards");
        reached = offset + data.size();
        sum.add(offset, data);
        to.bytes(offset, data);
        contents_ += data.size();
        tell();
    }
    to.end_memory();
    sums_.push_back({member_name(snapshot_, kind, index), sum.stored(), sum.end()});
}

void TarReader::read_messages(Kind kind, std::size_t index, Receiver& to) {
    const auto name = member_name(snapshot_, kind, index);
    const std::uint64_t count =
        kind == Kind::msg ? snapshot_.msg[index].messages : *snapshot_.mq[index].messages;
    // POSIX: as much as the queue takes. System V: what there is in all, or may have been a moment later.
    const std::uint64_t longest = kind == Kind::mq  ? *snapshot_.mq[index].message_size
                                  : !snapshot_.live ? std::min(snapshot_.msg[index].bytes, longest_message)
                                                    : longest_message;
    const std::int64_t lowest = kind == Kind::mq ? 0 : 1;
    const std::int64_t highest = kind == Kind::mq ? 32767 : std::numeric_limits<long>::max();
    Summing sum;
    sum.begin(size_);
    to.begin_messages(kind, index, count, 0);
    std::vector<std::byte> waiting; // the beginning of a message whose rest is yet to come
    std::uint64_t offset = 0, reached = 0, seen = 0;
    for (std::span<const std::byte> data; next_block(offset, data);) {
        if (offset != reached) damaged("a member has holes");
        reached += data.size();
        sum.add(offset, data);
        waiting.insert(waiting.end(), data.begin(), data.end());
        std::size_t at = 0;
        while (waiting.size() - at >= head_size) {
            const auto type = static_cast<std::int64_t>(get_number(&waiting[at]));
            const std::uint64_t length = get_number(&waiting[at] + 8);
            if (type < lowest || type > highest || length > longest || length > size_)
                damaged("a message of " + object_name(snapshot_, kind, index).text() + " makes no sense");
            if (waiting.size() - at - head_size < length) break;
            to.message(type, std::span(waiting).subspan(at + head_size, length));
            at += head_size + length;
            contents_ += length;
            ++seen;
        }
        waiting.erase(waiting.begin(), waiting.begin() + static_cast<std::ptrdiff_t>(at));
        tell();
    }
    if (!waiting.empty() || reached != size_ || (!snapshot_.live && seen != count))
        damaged("the messages of " + object_name(snapshot_, kind, index).text() + " are not those it says");
    to.end_messages();
    sums_.push_back({name, reached, sum.end()});
}

std::uint64_t TarReader::feed(Receiver& to, const ProgressFunction& progress) {
    progress_ = &progress;
    saying_where([&] { feed_all(to); });
    return contents_;
}

void TarReader::feed_all(Receiver& to) {
    all_ = contents_bytes(snapshot_);
    to.begin(snapshot_);
    for (const Kind kind : kinds_with_members) {
        for (std::size_t index = 0; index < count_of(snapshot_, kind); ++index) {
            if (!has_member(snapshot_, kind, index)) continue;
            const std::string name = next_member();
            if (name.empty()) damaged("it ends too early");
            if (name != member_name(snapshot_, kind, index))
                damaged("it has members that do not belong there");
            if (kind == Kind::shm || kind == Kind::pshm)
                read_memory(kind, index, to);
            else
                read_messages(kind, index, to);
        }
    }
    const auto sums = sums_;
    const std::string name = next_member();
    if (name.empty()) damaged("it ends too early");
    if (name != end_member) damaged("it has members that do not belong there");
    const SnapshotEnd end = parse_end(read_whole(end_member));
    if (end.members != sums) {
        for (std::size_t i = 0; i < std::min(sums.size(), end.members.size()); ++i) {
            if (end.members[i] != sums[i]) damaged("the checksum of " + sums[i].name + " is another one");
        }
        damaged("its list of checksums is not complete");
    }
    if (!next_member().empty()) damaged("something comes after its end");
    input_->finish(static_cast<std::uint64_t>(::archive_filter_bytes(archive_.get(), 0)));
    to.end(end);
}

} // namespace ipcns
