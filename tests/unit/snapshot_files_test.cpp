// SPDX-License-Identifier: Apache-2.0
// Snapshots from strangers: damaged in every way, or made to harm. Each is refused with an error that says what is wrong,
// and nothing of it stays. The files are put together here, by hand.
#include "snapshot_support.hpp"

#include <ipcns/snapshot.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sys/resource.h>
#include <zstd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <limits>
#include <random>

// Its functions are in here then, as they are in who reads the file.
#define XXH_INLINE_ALL
#include <xxhash.h>

namespace ipcns::test {
namespace {

using Json = nlohmann::json;
using Holding = Registry::Holding;

// ---- Tar files ---------------------------------------------------------------------------------------------------

struct Member {
    std::string name;
    std::string data{};
    char type = '0';
    std::string link{};
    std::uint64_t claimed =
        std::numeric_limits<std::uint64_t>::max(); // its size, where that is not to be data's
};
using Members = std::vector<Member>;

void put_field(std::string& head, std::size_t at, std::size_t length, const std::string& text) {
    head.replace(at, std::min(length, text.size()), text.substr(0, length));
}

std::string size_field(std::uint64_t size) {
    if (size < 077777777777) return text_of("%011llo", static_cast<unsigned long long>(size));
    std::string field(12, '\0'); // as GNU tar writes it
    field[0] = static_cast<char>(0x80);
    for (std::size_t i = 0; i < 8; ++i) field[11 - i] = static_cast<char>(size >> (8 * i));
    return field;
}

std::string tar_head(const Member& member) {
    std::string head(512, '\0');
    put_field(head, 0, 100, member.name);
    put_field(head, 100, 8, "0000600");
    put_field(head, 108, 8, "0000000");
    put_field(head, 116, 8, "0000000");
    put_field(head, 124, 12,
              size_field(member.claimed == std::numeric_limits<std::uint64_t>::max() ? member.data.size()
                                                                                     : member.claimed));
    put_field(head, 136, 12, "00000000000");
    put_field(head, 148, 8, "        ");
    head[156] = member.type;
    put_field(head, 157, 100, member.link);
    put_field(head, 257, 8, std::string("ustar\00000", 8));
    unsigned sum = 0;
    for (const char byte : head) sum += static_cast<unsigned char>(byte);
    put_field(head, 148, 8, text_of("%06o", sum) + std::string("\0 ", 2));
    return head;
}

std::string tar_of(const Members& members, bool ended = true) {
    std::string tar;
    for (const auto& member : members) {
        tar += tar_head(member) + member.data;
        tar.resize((tar.size() + 511) / 512 * 512);
    }
    if (ended) tar.append(1024, '\0');
    return tar;
}

// What save() wrote, for members without holes.
Members members_of(const std::string& tar) {
    Members members;
    for (std::size_t at = 0; at + 512 <= tar.size() && tar[at] != '\0';) {
        const std::size_t size = std::strtoull(tar.substr(at + 124, 12).c_str(), nullptr, 8);
        if (tar[at + 156] == '0') members.push_back({tar.substr(at).c_str(), tar.substr(at + 512, size)});
        at += 512 + (size + 511) / 512 * 512;
    }
    return members;
}

std::string hash_of(const std::string& data) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(data.data(), data.size()));
    std::string text;
    for (const unsigned char byte : canonical.digest) text += text_of("%02x", byte);
    return text;
}

// Makes the last member agree with the others again.
void sign(Members& members) {
    Json end = Json::parse(members.back().data);
    end["members"] = Json::array();
    for (std::size_t i = 0; i + 1 < members.size(); ++i)
        end["members"].push_back({{"name", members[i].name},
                                  {"bytes", members[i].data.size()},
                                  {"xxh128", hash_of(members[i].data)}});
    members.back().data = end.dump();
}

std::string compressed(const std::string& bytes) {
    std::string packed(::ZSTD_compressBound(bytes.size()), '\0');
    packed.resize(::ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), 1));
    return packed;
}

// A message as it lies in a member.
std::string message_of(std::uint64_t type, std::uint64_t length, const std::string& text) {
    std::string bytes;
    for (const std::uint64_t number : {type, length}) {
        for (unsigned i = 0; i < 8; ++i) bytes += static_cast<char>(number >> (8 * i));
    }
    return bytes + text;
}

// ---- A namespace with some of everything -------------------------------------------------------------------------

constexpr std::size_t segment_size = 8192;

void make_some_of_everything(bool queue_messages) {
    const int queue = ::msgget(0x1234, IPC_CREAT | IPC_EXCL | 0600);
    ASSERT_GE(queue, 0);
    struct {
        long type;
        char text[8];
    } message{7, "message"};
    ASSERT_EQ(::msgsnd(queue, &message, 7, 0), 0);
    ASSERT_EQ(::msgsnd(queue, &message, 3, 0), 0);
    ASSERT_GE(::msgget(static_cast<key_t>(0x87654321), IPC_CREAT | IPC_EXCL | 0600), 0);
    for (int i = 0; i < 2; ++i) {
        ASSERT_GE(::semget(0x1234 + i, 3, IPC_CREAT | IPC_EXCL | 0600), 0);
        const int segment = ::shmget(0x1234 + i, segment_size, IPC_CREAT | IPC_EXCL | 0600);
        ASSERT_GE(segment, 0);
        void* const start = ::shmat(segment, nullptr, 0);
        ASSERT_NE(start, reinterpret_cast<void*>(-1));
        std::memset(start, 'a' + i, segment_size);
        ::shmdt(start);
        struct mq_attr attributes {};
        attributes.mq_maxmsg = 3;
        attributes.mq_msgsize = 10;
        const mqd_t posix =
            ::mq_open(i == 0 ? "/first" : "/second", O_CREAT | O_EXCL | O_RDWR, 0600, &attributes);
        ASSERT_GE(posix, 0);
        if (queue_messages) {
            ASSERT_EQ(::mq_send(posix, "jobs", 4, 5), 0);
        }
        ::mq_close(posix);
        ASSERT_EQ(write_file(i == 0 ? "/dev/shm/first" : "/dev/shm/second", std::string(5000, 'x')), 0);
        std::string semaphore(32, '\0');
        semaphore[0] = 4;
        ASSERT_EQ(write_file(i == 0 ? "/dev/shm/sem.first" : "/dev/shm/sem.second", semaphore), 0);
    }
}

bool can_read_queues() {
    return ::geteuid() == 0 && read_file("/proc/self/uid_map").find("4294967295") != std::string::npos;
}

// What an attempt says: the errno value and the words.
struct Answer {
    int number = 0;
    std::string what, hint;
};

Answer answer_of(const std::function<void()>& attempt) {
    try {
        attempt();
    } catch (const UsageError& error) {
        return {-1, error.what(), error.hint()};
    } catch (const Error& error) {
        return {error.code().value(), error.what(), error.hint()};
    } catch (const std::exception& error) {
        return {-2, error.what(), {}};
    }
    return {};
}

// What a whole snapshot says, apart from what nobody can see.
std::string words_of(const Snapshot& snapshot) {
    std::string all = snapshot.name + snapshot.kernel + snapshot.made_by;
    for (const auto& limit : snapshot.limits) all += std::string(limit.key->name) + limit.value;
    for (const auto& one : snapshot.msg)
        all += text_of(" msg %d %x %u %o %lu", static_cast<int>(one.id), static_cast<unsigned>(one.key),
                       one.who.owner, one.who.mode, static_cast<unsigned long>(one.limit));
    for (const auto& one : snapshot.sem)
        all += text_of(" sem %d %x %zu", static_cast<int>(one.record.id),
                       static_cast<unsigned>(one.record.key), one.values.size());
    for (const auto& one : snapshot.shm)
        all += text_of(" shm %d %x %lu", static_cast<int>(one.record.id),
                       static_cast<unsigned>(one.record.key), static_cast<unsigned long>(one.record.bytes));
    for (const auto& one : snapshot.mq) all += " mq" + one.name;
    for (const auto& one : snapshot.psem) all += " psem" + one.name;
    for (const auto& one : snapshot.pshm) all += " pshm" + one.name;
    return all;
}

/// The tests work in a process with mounts of its own, on a snapshot that was just made.
class SnapshotFile : public ::testing::Test {
protected:
    void SetUp() override { NeedNamespaces(); }

    struct Work {
        std::string whole;
        Members members;
        Json manifest;
        OwnRegistry& names;

        // Refused when it is read, when it is restored and when it is added; nothing is there afterwards.
        void expect_refused(const std::string& file, const std::string& words, int number = EBADMSG) const {
            SCOPED_TRACE(words);
            const auto expect = [&](const char* how, const Answer& answer) {
                EXPECT_EQ(answer.number, number) << how << " says: " << answer.what;
                EXPECT_NE(answer.what.find(words), std::string::npos) << how << " says: " << answer.what;
            };
            expect("check", answer_of([&] { (void)check_snapshot(memory_file(file).get()); }));
            expect("restore", answer_of([&] { (void)restore(memory_file(file).get(), *names, "copy"); }));
            expect("add",
                   answer_of([&] { (void)restore_into(memory_file(file).get(), names->open("there")); }));
            expect_nothing_left();
        }
        // Only found out when it is to be made.
        void expect_not_made(const std::string& file, int number, const std::string& words) const {
            SCOPED_TRACE(words);
            const Answer answer = answer_of([&] { (void)restore(memory_file(file).get(), *names, "copy"); });
            EXPECT_EQ(answer.number, number) << answer.what;
            EXPECT_NE(answer.what.find(words), std::string::npos) << answer.what;
            expect_nothing_left();
        }
        void expect_nothing_left() const {
            EXPECT_EQ(names.entries(), std::set<std::string>{"there"});
            const Place there = names->open("there");
            const Leftovers contents = count_contents(there);
            EXPECT_TRUE(contents.empty()) << "something was added and stayed";
        }
        void expect_accepted(const std::string& file) const {
            const Answer answer = answer_of([&] {
                (void)check_snapshot(memory_file(file).get());
                (void)restore(memory_file(file).get(), *names, "copy");
                (void)names->remove("copy");
            });
            EXPECT_EQ(answer.number, 0) << answer.what;
        }
        [[nodiscard]] std::size_t index_of(const std::string& name) const {
            const auto found = std::find_if(members.begin(), members.end(),
                                            [&](const Member& one) { return one.name == name; });
            if (found == members.end()) throw std::runtime_error("no member " + name);
            return static_cast<std::size_t>(found - members.begin());
        }
        // The whole with one member changed, and signed anew.
        std::string with(const std::function<void(Members&)>& change, bool signed_anew = true) const {
            Members changed = members;
            change(changed);
            if (signed_anew) sign(changed);
            return tar_of(changed);
        }
        std::string with_manifest(const std::function<void(Json&)>& change) const {
            Json changed = manifest;
            change(changed);
            return with([&](Members& all) { all.front().data = changed.dump(); });
        }
        std::string with_member(const std::string& name, const std::string& data) const {
            return with([&](Members& all) { all[index_of(name)].data = data; });
        }
    };

    static void work(const std::function<void(const Work&)>& body) {
        in_new_namespaces(
            [&] {
                const OwnPlace here;
                ASSERT_NO_FATAL_FAILURE(make_some_of_everything(can_read_queues()));
                Work all{{}, {}, {}, *new OwnRegistry(Holding::mounts)};
                const std::unique_ptr<OwnRegistry> owner(&all.names);
                all.names->create("there");
                const Fd file = memory_file();
                (void)save(OwnPlace::place(), file.get());
                all.whole = bytes_of(file.get());
                all.members = members_of(all.whole);
                all.manifest = Json::parse(all.members.front().data);
                // What is put together here is refused for what was changed in it, and nothing else.
                all.expect_accepted(all.whole);
                all.expect_accepted(tar_of(all.members));
                all.expect_accepted(all.with([](Members&) {}));
                all.expect_accepted(all.with_manifest([](Json&) {}));
                all.expect_accepted(compressed(all.whole));
                all.expect_nothing_left();
                body(all);
                (void)all.names->remove("there");
            },
            true);
    }
};

// ---- Damage ------------------------------------------------------------------------------------------------------

TEST_F(SnapshotFile, TruncatedAnywhere) {
    work([](const Work& all) {
        // The two blocks of zeros at the end are nothing that is missed.
        for (std::size_t length = 0; length + 1024 < all.whole.size(); length += 512) {
            const std::string part = all.whole.substr(0, length);
            const Answer answer = answer_of([&] { (void)check_snapshot(memory_file(part).get()); });
            EXPECT_EQ(answer.number, EBADMSG) << length << ": " << answer.what;
            EXPECT_EQ(answer.hint, length == 0
                                       ? "whatever was to write it has written nothing: see what it said"
                                       : "the file is damaged, or was made by something else");
            if (length % 1536 == 0) {
                EXPECT_EQ(
                    answer_of([&] { (void)restore(memory_file(part).get(), *all.names, "copy"); }).number,
                    EBADMSG)
                    << length;
            }
        }
        const std::string packed = compressed(all.whole);
        for (std::size_t length = 0; length < packed.size() - 8; length += 1 + packed.size() / 50) {
            const std::string part = packed.substr(0, length);
            EXPECT_EQ(answer_of([&] { (void)check_snapshot(memory_file(part).get()); }).number, EBADMSG)
                << length;
        }
        all.expect_nothing_left();
    });
}

// A byte that is another one is found, or it is one that says nothing: padding, or how the end is written.
TEST_F(SnapshotFile, EveryByteFlipped) {
    work([](const Work& all) {
        const std::string words = words_of(check_snapshot(memory_file(all.whole).get()));
        // Behind its head, where the sum is that tar itself has.
        const std::size_t manifest_end = 512 + all.members.front().data.size();
        std::size_t found = 0, tried = 0;
        for (std::size_t at = 0; at < all.whole.size(); at += at < manifest_end ? 1 : 37) {
            std::string flipped = all.whole;
            flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 8)));
            ++tried;
            const Answer answer = answer_of([&] {
                const Snapshot other = check_snapshot(memory_file(flipped).get());
                EXPECT_EQ(words_of(other), words) << "byte " << at;
                EXPECT_TRUE(at < 512 || at >= manifest_end)
                    << "byte " << at << " of the manifest is another one, and nobody says so";
            });
            if (answer.number == 0) continue;
            ++found;
            EXPECT_TRUE(answer.number == EBADMSG || answer.number == ENOTSUP)
                << "byte " << at << ": " << answer.what;
        }
        EXPECT_GT(found, tried / 2);
        const std::string packed = compressed(all.whole);
        for (std::size_t at = 0; at < packed.size(); at += 1 + packed.size() / 300) {
            std::string flipped = packed;
            flipped[at] = static_cast<char>(flipped[at] ^ 0x10);
            const Answer answer =
                answer_of([&] { EXPECT_EQ(words_of(check_snapshot(memory_file(flipped).get())), words); });
            // Or it is another version's: zstd's sum comes behind what it is of.
            EXPECT_TRUE(answer.number == 0 || answer.number == EBADMSG || answer.number == ENOTSUP)
                << answer.what;
        }
        // The same on the way to a namespace.
        for (std::size_t at = 0; at < all.whole.size(); at += 5555) {
            std::string flipped = all.whole;
            flipped[at] = static_cast<char>(flipped[at] ^ 0x20);
            const Answer answer =
                answer_of([&] { (void)restore(memory_file(flipped).get(), *all.names, "copy"); });
            if (answer.number == 0) (void)all.names->remove("copy");
        }
        all.expect_nothing_left();
    });
}

TEST_F(SnapshotFile, IsNone) {
    work([](const Work& all) {
        all.expect_refused("", "it is empty");
        all.expect_refused(std::string(10000, '\0'), "");
        all.expect_refused("hello, I am a letter\n", "it is no tar file");
        all.expect_refused(compressed("hello"), "it is no tar file");
        all.expect_refused(tar_of({{"letter", "hello"}}), "it does not begin with a manifest");
        all.expect_refused(tar_of({{"manifest.json", "hello"}}), "its manifest is no JSON");
        all.expect_refused(tar_of({{"manifest.json", "{}"}}), "its manifest is not that of a snapshot");
        all.expect_refused(tar_of({{"manifest.json", "[]"}}), "its manifest is no object");
        const Fd folder(::open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        EXPECT_EQ(answer_of([&] { (void)check_snapshot(folder.get()); }).number, EISDIR);
        EXPECT_EQ(answer_of([&] { (void)check_snapshot(-1); }).number, EBADF);
    });
}

// ---- Members -----------------------------------------------------------------------------------------------------

TEST_F(SnapshotFile, MembersThatDoNotBelong) {
    work([](const Work& all) {
        const std::string other = "members that do not belong there";
        for (const char* name : {"../../etc/passwd", "..", ".", "/etc/passwd", "./shm/0", "shm",
                                 "shm/1000000", "shm/0/", "shm/-1"})
            all.expect_refused(all.with([&](Members& m) { m[1].name = name; }), "");
        all.expect_refused(all.with([&](Members& m) { m[1].name = "/etc/passwd"; }), other);
        all.expect_refused(all.with([&](Members& m) { m[1].name = "../../etc/passwd"; }), other);
        all.expect_refused(all.with([&](Members& m) { std::swap(m[1], m[2]); }), other);
        all.expect_refused(all.with([&](Members& m) { std::swap(m[0], m[1]); }),
                           "it does not begin with a manifest");
        all.expect_refused(all.with([&](Members& m) { m.insert(m.begin() + 1, m[1]); }), other);
        all.expect_refused(all.with([&](Members& m) { m.insert(m.begin() + 1, m[0]); }), other);
        all.expect_refused(all.with([&](Members& m) { m.erase(m.begin() + 1); }), other);
        all.expect_refused(all.with([&](Members& m) { m.insert(m.end() - 1, {"extra", "data"}); }), other);
        all.expect_refused(all.with(
                               [&](Members& m) {
                                   m.push_back({"extra", "data"});
                               },
                               false),
                           "something comes after its end");
        all.expect_refused(all.with([&](Members& m) { m.push_back(m.back()); }, false),
                           "something comes after its end");
        all.expect_refused(all.with([&](Members& m) { m.pop_back(); }, false), "it ends too early");
    });
}

TEST_F(SnapshotFile, MembersThatAreNoFiles) {
    work([](const Work& all) {
        const std::string plain = "a member is no plain file";
        for (const char type : {'1', '2', '3', '4', '5', '6'}) {
            SCOPED_TRACE(type);
            all.expect_refused(all.with([&](Members& m) {
                m[1].type = type;
                m[1].link = "/etc/passwd";
            }),
                               "");
        }
        all.expect_refused(all.with([&](Members& m) { m[1] = {m[1].name, {}, '2', "/etc/passwd"}; }), plain);
        all.expect_refused(all.with([&](Members& m) {
            m[1] = {m[1].name, {}, '1', "manifest.json"};
        }),
                           plain);
        all.expect_refused(all.with([&](Members& m) { m[1] = {m[1].name, {}, '5', {}}; }), plain);
        all.expect_refused(all.with([&](Members& m) { m[0] = {m[0].name, {}, '2', "/etc/passwd"}; }), plain);
    });
}

TEST_F(SnapshotFile, SizesThatAreNotTrue) {
    work([](const Work& all) {
        const std::string segment = all.members[all.index_of("shm/0")].name;
        for (const std::uint64_t size :
             {std::uint64_t{1} << 63, (std::uint64_t{1} << 63) - 1, std::uint64_t{1} << 62,
              std::uint64_t{segment_size + 1}, std::uint64_t{segment_size - 1}, std::uint64_t{0}}) {
            SCOPED_TRACE(size);
            all.expect_refused(all.with([&](Members& m) { m[all.index_of("shm/0")].claimed = size; }), "");
            all.expect_refused(all.with([&](Members& m) { m[0].claimed = size; }), "");
            all.expect_refused(all.with([&](Members& m) { m[all.index_of("msg/0")].claimed = size; }), "");
            all.expect_refused(all.with([&](Members& m) { m.back().claimed = size; }), "");
        }
        all.expect_refused(all.with_member(segment, std::string(segment_size + 1, 'x')),
                           "the size of shm:0 is not the one it says");
        all.expect_refused(all.with_member(segment, ""), "the size of shm:0 is not the one it says");
        all.expect_refused(all.with_member(segment, std::string(segment_size, 'x')).replace(512 * 5, 1, "!"),
                           "");
    });
}

TEST_F(SnapshotFile, Checksums) {
    work([](const Work& all) {
        const auto unsigned_with = [&](const std::string& name, const std::string& data) {
            return all.with([&](Members& m) { m[all.index_of(name)].data = data; }, false);
        };
        all.expect_refused(unsigned_with("shm/0", std::string(segment_size, 'x')),
                           "the checksum of shm/0 is another one");
        all.expect_refused(unsigned_with("pshm/1", std::string(5000, 'y')),
                           "the checksum of pshm/1 is another one");
        all.expect_refused(unsigned_with("msg/0", message_of(7, 7, "massage") + message_of(7, 3, "mes")),
                           "the checksum of msg/0 is another one");
        all.expect_refused(all.with([&](Members& m) { m[0].data += " "; }, false),
                           "the checksum of manifest.json is another one");
        const auto with_end = [&](const std::function<void(Json&)>& change) {
            Json end = Json::parse(all.members.back().data);
            change(end);
            return all.with([&](Members& m) { m.back().data = end.dump(); }, false);
        };
        all.expect_refused(with_end([](Json& end) { end["members"].erase(1); }), "checksum");
        all.expect_refused(with_end([](Json& end) { end["members"].erase(end["members"].size() - 1); }),
                           "its list of checksums is not complete");
        all.expect_refused(with_end([](Json& end) { end["members"].push_back(end["members"][0]); }),
                           "its list of checksums is not complete");
        all.expect_refused(with_end([](Json& end) { end["members"] = Json::array(); }),
                           "its list of checksums is not complete");
        all.expect_refused(with_end([](Json& end) { end.erase("members"); }), "its end has no members");
        all.expect_refused(with_end([](Json& end) { end["members"] = 5; }),
                           "its end: members makes no sense");
        all.expect_refused(with_end([](Json& end) { end["members"][0] = 5; }), "is no object");
    });
}

// ---- Messages ----------------------------------------------------------------------------------------------------

TEST_F(SnapshotFile, MessagesThatMakeNoSense) {
    work([](const Work& all) {
        const std::string nonsense = "a message of msg:0 makes no sense",
                          others = "the messages of msg:0 are not those it says";
        const std::string second = message_of(7, 3, "mes");
        const auto expect = [&](const std::string& data, const std::string& words) {
            all.expect_refused(all.with_member("msg/0", data), words);
        };
        expect(message_of(0, 7, "message") + second, nonsense);
        expect(message_of(static_cast<std::uint64_t>(-1), 7, "message") + second, nonsense);
        expect(message_of(std::uint64_t{1} << 63, 7, "message") + second, nonsense);
        expect(message_of(7, static_cast<std::uint64_t>(-1), "message") + second, nonsense);
        expect(message_of(7, std::uint64_t{1} << 63, "message") + second, nonsense);
        expect(message_of(7, std::uint64_t{1} << 62, "message") + second, nonsense);
        expect(message_of(7, 2000, "message") + second, nonsense);
        expect(message_of(7, 20, "message") + second, "");
        expect(message_of(7, 7, "message"), others);
        expect("", others);
        expect(message_of(7, 7, "message") + second + second, "");
        expect(message_of(7, 7, "message") + second.substr(0, 18), others);
        expect(message_of(7, 7, "message") + second.substr(0, 3), others);
        expect(message_of(7, 7, "message") + second + "x", others);
        if (!can_read_queues()) return;
        const auto expect_posix = [&](const std::string& data, const std::string& words) {
            all.expect_refused(all.with_member("mq/0", data), words);
        };
        expect_posix(message_of(32768, 4, "jobs"), "a message of mq:/first makes no sense");
        expect_posix(message_of(static_cast<std::uint64_t>(-1), 4, "jobs"),
                     "a message of mq:/first makes no sense");
        expect_posix(message_of(0, 11, "jobs4567890"), "a message of mq:/first makes no sense");
        expect_posix(message_of(0, 4, "jobs") + message_of(0, 4, "jobs"),
                     "the messages of mq:/first are not those it says");
    });
}

// ---- The manifest ------------------------------------------------------------------------------------------------

TEST_F(SnapshotFile, TheSameTwice) {
    work([](const Work& all) {
        for (const char* kind : {"msg", "sem", "shm"}) {
            SCOPED_TRACE(kind);
            all.expect_refused(all.with_manifest([&](Json& m) { m[kind][1]["id"] = m[kind][0]["id"]; }),
                               "two objects have the same id");
            all.expect_refused(all.with_manifest([&](Json& m) { m[kind][1]["key"] = m[kind][0]["key"]; }),
                               "two objects have the same key");
        }
        for (const char* kind : {"mq", "psem", "pshm"}) {
            SCOPED_TRACE(kind);
            all.expect_refused(all.with_manifest([&](Json& m) { m[kind][1]["name"] = m[kind][0]["name"]; }),
                               "two objects have the same name");
            // In other letters.
            all.expect_refused(all.with_manifest([&](Json& m) {
                m[kind][1].erase("name");
                m[kind][1]["name_base64"] = "L2ZpcnN0"; // "/first"
            }),
                               "two objects have the same name");
        }
        // Two ids that have one place in the kernel's table.
        const std::string file =
            all.with_manifest([&](Json& m) { m["sem"][1]["id"] = m["sem"][0]["id"].get<int>() + 32768; });
        all.expect_not_made(file, EEXIST, "its id, or its place in the table, is taken");
        EXPECT_EQ(
            answer_of([&] { (void)restore_into(memory_file(file).get(), all.names->open("there")); }).number,
            EEXIST);
        all.expect_nothing_left();
        // A semaphore and shared memory that are one file.
        all.expect_not_made(all.with_manifest([&](Json& m) { m["pshm"][0]["name"] = "/sem.first"; }), EEXIST,
                            "/sem.first");
    });
}

TEST_F(SnapshotFile, NumbersThatMakeNoSense) {
    work([](const Work& all) {
        const auto refused = [&](const char* path, const Json& value) {
            SCOPED_TRACE(std::string(path) + " = " + value.dump());
            const std::string file = all.with_manifest([&](Json& m) { m[Json::json_pointer(path)] = value; });
            all.expect_refused(file, "makes no sense");
        };
        const Json two_63 = std::uint64_t{1} << 63;
        for (const char* path :
             {"/msg/0/id", "/msg/0/uid", "/msg/0/messages", "/msg/0/limit", "/shm/0/bytes", "/shm/0/resident",
              "/shm/0/huge_page", "/mq/0/max_messages", "/mq/0/message_size", "/pshm/0/bytes",
              "/pshm/0/allocated", "/psem/0/value"}) {
            for (const Json& value : {two_63, Json(std::numeric_limits<std::uint64_t>::max()), Json(-1),
                                      Json(1.5), Json("1"), Json(true), Json(Json::array({1}))})
                refused(path, value);
        }
        for (const Json& value : {Json(32768), Json(-1), Json(0.5), Json(nullptr)})
            refused("/sem/0/values/1", value);
        refused("/sem/0/values", Json::array());
        refused("/shm/0/bytes", 0);
        refused("/shm/0/huge_page", 3);
        refused("/mq/0/max_messages", 0);
        refused("/mq/0/max_messages", 65537);
        refused("/mq/0/message_size", 0);
        refused("/mq/0/message_size", (1 << 24) + 1);
        refused("/mq/0/messages", 4);
        refused("/msg/0/uid", 4294967295U);
        refused("/msg/0/id", 2147483648U);
        for (const char* key : {"0x", "1234", "0x123456789", "0x12 ", "0x-1", "0xg", ""})
            refused("/msg/0/key", key);
        for (const char* mode : {"", "8", "01000", "-1", "0x1", "0600 "}) refused("/shm/0/mode", mode);
        refused("/pshm/0/mode", "10000");
        for (const char* name : {"", "/", "first", "/a/b", "/..", "/.", "//", "/first/"})
            refused("/pshm/0/name", name);
        refused("/pshm/0/name", std::string("/a\0b", 4));
        refused("/pshm/0/name", "/" + std::string(256, 'x'));
        refused("/psem/0/name", "/" + std::string(252, 'x'));
        refused("/limits/msgmax", "many");
        refused("/limits/msgmax", 5);
        for (const char* text : {"L2Zpcn", "????", "L2Z=cnN0", "===="})
            all.expect_refused(all.with_manifest([&](Json& m) {
                m["pshm"][0].erase("name");
                m["pshm"][0]["name_base64"] = text;
            }),
                               "makes no sense");
    });
}

TEST_F(SnapshotFile, WhatIsMissing) {
    work([](const Work& all) {
        for (const char* key : {"version", "made_by", "kernel", "live", "limits", "namespace", "msg", "sem",
                                "shm", "mq", "psem", "pshm", "others"})
            all.expect_refused(all.with_manifest([&](Json& m) { m.erase(key); }),
                               std::string("its manifest has no ") + key);
        for (const char* kind : {"msg", "sem", "shm", "mq", "psem", "pshm"}) {
            all.expect_refused(all.with_manifest([&](Json& m) { m[kind][0].erase("uid"); }),
                               std::string(kind) + " number 0 has no uid");
            all.expect_refused(all.with_manifest([&](Json& m) { m[kind][1] = 7; }),
                               std::string(kind) + " number 1 is no object");
            all.expect_refused(all.with_manifest([&](Json& m) { m[kind] = 7; }),
                               std::string(kind) + " makes no sense");
        }
    });
}

TEST_F(SnapshotFile, OfANewerVersion) {
    work([](const Work& all) {
        const std::string file = all.with_manifest([](Json& m) { m["version"] = 2; });
        all.expect_refused(file, "it has version 2", ENOTSUP);
        EXPECT_EQ(answer_of([&] { (void)read_snapshot(memory_file(file).get()); }).number, ENOTSUP);
        all.expect_refused(all.with_manifest([](Json& m) { m["version"] = 0; }), "version makes no sense");
        all.expect_refused(all.with_manifest([](Json& m) { m["version"] = "1"; }), "version makes no sense");
        // What a later writer may add does not matter.
        all.expect_accepted(all.with_manifest([](Json& m) {
            m["colour"] = {{"of", "roses"}};
            m["msg"][0]["colour"] = "red";
            m["limits"]["msgcolour"] = "5";
        }));
    });
}

TEST_F(SnapshotFile, JsonThatIsNone) {
    work([](const Work& all) {
        const auto with_text = [&](const std::string& text) {
            return all.with([&](Members& m) { m[0].data = text; });
        };
        const std::string text = all.members[0].data;
        all.expect_refused(with_text(std::string(1000000, '[')), "its manifest");
        std::string deep = text;
        deep.insert(1, "\"deep\":" + std::string(100000, '[') + std::string(100000, ']') + ",");
        all.expect_refused(with_text(deep), "its manifest has too many values");
        std::string nan = text;
        nan.insert(1, "\"number\":NaN,");
        all.expect_refused(with_text(nan), "its manifest is no JSON");
        nan = text;
        nan.insert(1, "\"number\":1e999,");
        all.expect_refused(with_text(nan), "its manifest is no JSON");
        all.expect_refused(with_text(text + "{}"), "its manifest is no JSON");
        all.expect_refused(with_text(text.substr(0, text.size() / 2)), "its manifest is no JSON");
        std::string invalid = text;
        invalid.insert(1, "\"bytes\":\"\xff\",");
        all.expect_refused(with_text(invalid), "its manifest is no JSON");
    });
}

// So large that only a program that is careless with memory or time would not get to the end of it.
TEST_F(SnapshotFile, HundredsOfThousandsOfEntries) {
    work([](const Work& all) {
        all.expect_refused(all.with_manifest([](Json& m) {
            Json one = m["psem"][0];
            for (int i = 0; i < 250000; ++i) {
                one["name"] = "/" + std::to_string(i);
                m["psem"].push_back({{"name", one["name"]}});
            }
        }),
                           "");
        // Keys that a careless list would compare with each other.
        std::string text = all.members[0].data, keys;
        for (int i = 0; i < 250000; ++i) keys += "\"" + std::to_string(i) + "\":0,";
        text.insert(1, keys);
        all.expect_accepted(all.with([&](Members& m) { m[0].data = text; }));
        // And members.
        Members many = all.members;
        many.pop_back();
        while (many.size() < 50000) many.push_back({"shm/" + std::to_string(many.size()), {}});
        all.expect_refused(tar_of(many), "members that do not belong there");
        all.expect_refused(
            all.with([&](Members& m) { m[0].data += std::string((std::size_t{64} << 20) + 1, ' '); }),
            "its manifest.json is too large");
    });
}

// ---- Bombs -------------------------------------------------------------------------------------------------------

// zstd of one byte again and again: some 30,000 of them to one that is stored.
std::string packed_bomb(const std::string& begin, char byte, std::uint64_t count) {
    std::string packed;
    const std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(::ZSTD_createCCtx(), ::ZSTD_freeCCtx);
    std::string piece(std::size_t{1} << 20, byte), out(::ZSTD_CStreamOutSize(), '\0');
    const auto put = [&](const std::string& bytes, std::size_t length, ZSTD_EndDirective how) {
        ZSTD_inBuffer in{bytes.data(), length, 0};
        for (std::size_t left = 1; how == ZSTD_e_end ? left != 0 : in.pos < in.size;) {
            ZSTD_outBuffer to{out.data(), out.size(), 0};
            left = ::ZSTD_compressStream2(context.get(), &to, &in, how);
            if (::ZSTD_isError(left) != 0) throw std::runtime_error("zstd");
            packed.append(out.data(), to.pos);
        }
    };
    put(begin, begin.size(), ZSTD_e_continue);
    for (; count >= piece.size(); count -= piece.size()) put(piece, piece.size(), ZSTD_e_continue);
    put(piece, count, ZSTD_e_end);
    return packed;
}

// The most memory that a function took in a process of its own, in KiB.
long memory_of(const std::function<void()>& function) {
    Pipe pipe = Pipe::make();
    EXPECT_EQ(in_fork([&] {
                  struct rusage before {
                  }, after{};
                  ::getrusage(RUSAGE_SELF, &before);
                  function();
                  ::getrusage(RUSAGE_SELF, &after);
                  const long taken = after.ru_maxrss - before.ru_maxrss;
                  return ::write(pipe.in.get(), &taken, sizeof taken) == sizeof taken ? 0 : 1;
              }),
              0);
    long taken = -1;
    EXPECT_EQ(::read(pipe.out.get(), &taken, sizeof taken), static_cast<ssize_t>(sizeof taken));
    return taken;
}

// Segments whose members are a few KiB of zstd and much more without.
TEST_F(SnapshotFile, Bombs) {
    work([](const Work& all) {
        constexpr std::uint64_t gib = std::uint64_t{1} << 30;
        const std::size_t at = all.index_of("shm/0");
        // Up to the segment's data, which are a GiB of one letter.
        const auto bomb = [&](char byte, const std::function<void(Json&)>& change) {
            Json manifest = all.manifest;
            manifest["shm"][0]["bytes"] = gib;
            change(manifest);
            Members members(all.members.begin(), all.members.begin() + static_cast<std::ptrdiff_t>(at));
            members[0].data = manifest.dump();
            members.push_back({"shm/0", {}, '0', {}, gib});
            return packed_bomb(tar_of(members, false), byte, gib);
        };
        const auto pages_now = [] {
            struct shm_info info {};
            ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info));
            return info.shm_rss;
        };
        const auto expect = [&](const std::string& file, int number, const std::string& words) {
            SCOPED_TRACE(words);
            EXPECT_LT(file.size(), 200000U);
            all.expect_not_made(file, number, words);
            // To look at it takes time, but no memory.
            EXPECT_LT(
                memory_of([&] { (void)answer_of([&] { (void)check_snapshot(memory_file(file).get()); }); }),
                40000);
        };
        // It says of itself that it had two pages.
        expect(bomb('x', [](Json&) {}), EBADMSG, "there is more in shm:0 than it says");
        // It says that it had more than there is here.
        expect(bomb('x', [](Json& m) { m["shm"][0]["resident"] = std::uint64_t{1} << 60; }), ENOMEM,
               "of memory");
        // Zeros take none, and its end is missing.
        expect(bomb('\0', [](Json&) {}), EBADMSG, "it ends too early");
        EXPECT_LT(pages_now(), 100U);
        // A manifest, and what comes before it.
        const std::string head = tar_head({"manifest.json", {}, '0', {}, gib});
        all.expect_refused(packed_bomb(head, ' ', gib), "its manifest.json is too large");
        EXPECT_LT(
            memory_of([&] {
                (void)answer_of([&] { (void)read_snapshot(memory_file(packed_bomb(head, ' ', gib)).get()); });
            }),
            40000);
        for (const char type : {'x', 'g', 'L', 'K'}) {
            const std::string extended = packed_bomb(tar_head({"x", {}, type, {}, gib}), 'x', gib);
            EXPECT_NE(answer_of([&] { (void)read_snapshot(memory_file(extended).get()); }).number, 0) << type;
            EXPECT_LT(memory_of([&] {
                          (void)answer_of([&] { (void)read_snapshot(memory_file(extended).get()); });
                      }),
                      40000)
                << type;
        }
        // One extended head after the other.
        std::string heads;
        const std::string one = tar_of({{"x", "12 comment=x\n", 'x'}}, false);
        while (heads.size() < (std::size_t{96} << 20)) heads += one;
        EXPECT_EQ(answer_of([&] { (void)read_snapshot(memory_file(compressed(heads)).get()); }).number,
                  EBADMSG);
    });
}

// A list of extents that is longer than any segment has, for a segment that is small.
TEST_F(SnapshotFile, AListOfExtentsWithoutAnEnd) {
    work([](const Work& all) {
        Json manifest = all.manifest;
        const std::size_t at = all.index_of("shm/0");
        Members members(all.members.begin(), all.members.begin() + static_cast<std::ptrdiff_t>(at));
        members[0].data = manifest.dump();
        std::string pax;
        for (const std::string line : {"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=shm/0",
                                       "GNU.sparse.realsize=8192"})
            pax += text_of("%zu ", line.size() + 4) + line + "\n";
        members.push_back({"x", pax, 'x'});
        std::string list = "30000000\n";
        for (int i = 0; i < 1000; ++i) list += "0\n0\n";
        std::string bytes;
        while (bytes.size() < (std::size_t{100} << 20)) bytes += list.substr(9);
        members.push_back({"shm/0", list + bytes});
        const std::string file = compressed(tar_of(members));
        EXPECT_LT(file.size(), 1000000U);
        EXPECT_EQ(answer_of([&] { (void)check_snapshot(memory_file(file).get()); }).number, EBADMSG);
        all.expect_not_made(file, EBADMSG, "too much about it");
    });
}

} // namespace
} // namespace ipcns::test
