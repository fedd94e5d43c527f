// SPDX-License-Identifier: Apache-2.0
// A snapshot's manifest: what is in it, as JSON. docs/snapshot-format.md tells it to people.
#pragma once

#include <ipcns/snapshot.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns {

/// The version of the format that is written, and the newest that is read.
inline constexpr int snapshot_version = 1;
/// The names of the first and the last member.
inline constexpr const char* manifest_member = "manifest.json";
inline constexpr const char* end_member = "end.json";
/// The most bytes that either may have: some 200,000 objects.
inline constexpr std::uint64_t most_manifest_bytes = std::uint64_t{64} << 20;

/// The most values in the manifest, lists and objects included.
inline constexpr std::size_t most_manifest_values = 8'000'000;

/// Throws Error EBADMSG: what is wrong with a file.
[[noreturn]] void damaged(const std::string& why);

/// What damaged() throws, and the like: something is wrong with what is read. Where that comes from is known to who reads it,
/// and who says so has the rest of the message here.
class Flaw : public Error {
public:
    Flaw(int number, const std::string& why, const std::string& hint)
        : Error(number, "read the snapshot: " + why, hint), why_(why) {}
    [[nodiscard]] const std::string& why() const noexcept { return why_; }

private:
    std::string why_;
};

/// The manifest's text.
/// @throws Error EFBIG when it would be more than is read
std::string manifest_text(const Snapshot& snapshot);

/// Reads one that may come from a stranger: everything in it is possible, and no id, key or name is there twice.
/// @throws Error EBADMSG: it is none, or damaged; ENOTSUP: of a newer version
Snapshot parse_manifest(std::string_view text);

/// What the last member says of another one.
struct MemberSum {
    std::string name;
    std::uint64_t bytes = 0; ///< that are stored of it
    std::string xxh128;      ///< of these, in hexadecimal
    friend bool operator==(const MemberSum&, const MemberSum&) = default;
};
/// The last member.
struct SnapshotEnd {
    std::uint64_t pause_ns = 0;
    std::uint64_t held = 0; ///< processes
    std::vector<MemberSum> members;
};
std::string end_text(const SnapshotEnd& end);
/// @throws Error EBADMSG
SnapshotEnd parse_end(std::string_view text);

/// Bytes of contents, as far as the records tell.
std::uint64_t contents_bytes(const Snapshot& snapshot);

/// True when the object has a member of its own, which holds its contents.
bool has_member(const Snapshot& snapshot, Kind kind, std::size_t index);
/// What the member is called: "shm/3" for a System V object by its id, "mq/0" for a POSIX one by its place in the list.
std::string member_name(const Snapshot& snapshot, Kind kind, std::size_t index);
/// The kinds that have members, in the order in which these follow each other.
inline constexpr std::array kinds_with_members = {Kind::msg, Kind::shm, Kind::mq, Kind::pshm};
/// How many objects there are of a kind.
std::size_t count_of(const Snapshot& snapshot, Kind kind);
/// How an object is called.
ObjectName object_name(const Snapshot& snapshot, Kind kind, std::size_t index);

} // namespace ipcns
