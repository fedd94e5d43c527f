// SPDX-License-Identifier: Apache-2.0
// What is written is for `jq` and the years; what is read is a stranger's, and every number in it is looked at.
#include "manifest.hpp"

#include "error.hpp"

#include <ipcns/text.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <limits>
#include <set>
#include <utility>

namespace ipcns {
namespace {

using Json = nlohmann::ordered_json; // to be written: as a person would
// To be read. The other one compares each key with all before it, and a stranger may have a million of them.
using Parsed = nlohmann::json;

// ---- Values ------------------------------------------------------------------------------------------------------

std::string hex(std::uint32_t number) {
    std::array<char, 16> text;
    std::snprintf(text.data(), text.size(), "0x%08x", number);
    return text.data();
}

std::string octal(mode_t mode) {
    std::array<char, 16> text;
    std::snprintf(text.data(), text.size(), "%04o", static_cast<unsigned>(mode));
    return text.data();
}

Json time_value(const Moment& when) {
    constexpr std::int64_t last = 253402300799; // the year 9999
    if (!when) return nullptr;
    const auto seconds = when->time_since_epoch().count();
    std::tm parts{};
    const auto time = static_cast<std::time_t>(seconds);
    if (seconds < 0 || seconds > last || ::gmtime_r(&time, &parts) == nullptr) return nullptr;
    std::array<char, 32> text;
    const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    return std::string(text.data(), length);
}

constexpr std::string_view base64_letters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::optional<std::string> from_base64(std::string_view text) {
    std::string bytes;
    if (text.size() % 4 != 0) return std::nullopt;
    for (std::size_t i = 0; i < text.size(); i += 4) {
        std::uint32_t three = 0;
        std::size_t letters = 0;
        for (std::size_t k = 0; k < 4; ++k) {
            const auto at = base64_letters.find(text[i + k]);
            const bool padding = text[i + k] == '=' && i + 4 == text.size() && k >= 2;
            if (at == std::string_view::npos && !padding) return std::nullopt;
            if (at != std::string_view::npos && letters != k) return std::nullopt;
            letters += at != std::string_view::npos ? 1 : 0;
            three = three << 6 | (at == std::string_view::npos ? 0U : static_cast<std::uint32_t>(at));
        }
        for (std::size_t k = 0; k + 1 < letters; ++k)
            bytes += static_cast<char>(three >> (16 - 8 * k) & 0xFFU);
    }
    return bytes;
}

// True when a JSON string can hold it as it is.
bool is_utf8(const std::string& text) {
    try {
        (void)Json(text).dump();
        return true;
    } catch (const Json::exception&) {
        return false;
    }
}

// ---- Writing -----------------------------------------------------------------------------------------------------

void put(Json& json, const Ownership& who) {
    json["uid"] = who.owner;
    json["gid"] = who.group;
    json["creator_uid"] = who.creator;
    json["creator_gid"] = who.creator_group;
    json["mode"] = octal(who.mode);
}

template <class Record>
Json sysv_object(const Record& record) {
    Json json;
    json["id"] = static_cast<int>(record.id);
    json["key"] = hex(static_cast<std::uint32_t>(record.key));
    put(json, record.who);
    return json;
}

Json posix_object(const PosixRecord& record) {
    Json json;
    if (is_utf8(record.name))
        json["name"] = record.name;
    else
        json["name_base64"] = base64(std::as_bytes(std::span(record.name)));
    json["uid"] = record.who.owner;
    json["gid"] = record.who.group;
    json["mode"] = octal(record.who.mode);
    json["accessed"] = time_value(record.accessed);
    json["modified"] = time_value(record.modified);
    json["changed"] = time_value(record.changed);
    return json;
}

template <class Number>
Json number_or_null(const std::optional<Number>& number) {
    return number ? Json(*number) : Json();
}

const char* word_of(PosixQueueRecord::Notification::Kind kind) {
    using Kind = PosixQueueRecord::Notification::Kind;
    return kind == Kind::signal ? "signal" : kind == Kind::thread ? "thread" : "none";
}

Json limits_value(const std::vector<Limit>& limits) {
    Json json = Json::object();
    for (const auto& limit : limits) json[limit.key->name] = limit.value;
    return json;
}

// ---- Reading -----------------------------------------------------------------------------------------------------

// One object of the manifest, and where it is, for messages.
class Fields {
public:
    Fields(const Parsed& json, std::string where) : json_(json), where_(std::move(where)) {
        if (!json.is_object()) damaged(where_ + " is no object");
    }

    [[nodiscard]] const Parsed& get(const char* key) const {
        const auto found = json_.find(key);
        if (found == json_.end()) damaged(where_ + " has no " + key);
        return *found;
    }
    [[nodiscard]] bool has(const char* key) const {
        const auto found = json_.find(key);
        return found != json_.end() && !found->is_null();
    }
    template <class Number = std::uint64_t>
    [[nodiscard]] Number number(const char* key,
                                std::uint64_t most = std::numeric_limits<Number>::max()) const {
        return checked<Number>(get(key), key, most);
    }
    template <class Number = std::uint64_t>
    [[nodiscard]] std::optional<Number> number_or_nothing(const char* key) const {
        if (!has(key)) return std::nullopt;
        return number<Number>(key);
    }
    [[nodiscard]] bool flag(const char* key) const {
        if (!get(key).is_boolean()) wrong(key);
        return get(key).get<bool>();
    }
    [[nodiscard]] const std::string& text(const char* key) const {
        if (!get(key).is_string()) wrong(key);
        return get(key).get_ref<const std::string&>();
    }
    [[nodiscard]] const Parsed& list(const char* key) const {
        if (!get(key).is_array()) wrong(key);
        return get(key);
    }
    // A number in another base, as it is written here: all of its letters count.
    [[nodiscard]] std::uint32_t based(const char* key, std::string_view prefix, int base,
                                      std::uint32_t most) const {
        const std::string& word = text(key);
        std::uint32_t number = 0;
        if (!word.starts_with(prefix)) wrong(key);
        const char* const end = word.data() + word.size();
        const auto parsed = std::from_chars(word.data() + prefix.size(), end, number, base);
        if (parsed.ec != std::errc() || parsed.ptr != end || number > most) wrong(key);
        return number;
    }
    // What is only there to be looked at is not worth an error.
    [[nodiscard]] Moment moment(const char* key) const {
        if (!has(key) || !get(key).is_string()) return {};
        std::tm parts{};
        const std::string& word = text(key);
        const char* const end = ::strptime(word.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
        if (end == nullptr || *end != '\0') return {};
        return std::chrono::sys_seconds(std::chrono::seconds(::timegm(&parts)));
    }
    template <class Number>
    [[nodiscard]] Number checked(const Parsed& value, const char* key, std::uint64_t most) const {
        if (!value.is_number_unsigned() || value.get<std::uint64_t>() > most) wrong(key);
        return static_cast<Number>(value.get<std::uint64_t>());
    }
    [[noreturn]] void wrong(const char* key) const { damaged(where_ + ": " + key + " makes no sense"); }

private:
    const Parsed& json_;
    std::string where_;
};

constexpr std::uint64_t most_bytes = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t most_int = std::numeric_limits<int>::max();
constexpr uid_t no_id = static_cast<uid_t>(-1); // means "leave it" to chown(2)

Ownership ownership(const Fields& fields) {
    Ownership who;
    who.owner = fields.number<uid_t>("uid", no_id - 1);
    who.group = fields.number<gid_t>("gid", no_id - 1);
    who.creator = fields.number<uid_t>("creator_uid");
    who.creator_group = fields.number<gid_t>("creator_gid");
    who.mode = fields.based("mode", "", 8, 0777);
    return who;
}

template <class Record>
void read_sysv(const Fields& fields, Record& record) {
    record.id = static_cast<decltype(record.id)>(fields.number<int>("id", most_int));
    record.key = static_cast<Key>(fields.based("key", "0x", 16, 0xFFFFFFFFU));
    record.who = ownership(fields);
    record.changed = fields.moment("changed");
}

void read_posix(const Fields& fields, Kind kind, PosixRecord& record) {
    if (fields.has("name")) {
        record.name = fields.text("name");
    } else {
        auto name = from_base64(fields.text("name_base64"));
        if (!name) fields.wrong("name_base64");
        record.name = std::move(*name);
    }
    try {
        // The name is a file's: nothing with a second slash, no . or .., no NUL, not too long.
        const ObjectName parsed = ObjectName::parse(std::string(ipcns::word_of(kind)) + ":" + record.name);
        if (parsed.name != record.name || record.name.find('\0') != std::string::npos) fields.wrong("name");
    } catch (const UsageError&) {
        fields.wrong("name");
    }
    record.who.owner = fields.number<uid_t>("uid", no_id - 1);
    record.who.group = fields.number<gid_t>("gid", no_id - 1);
    // What runs as its owner or its group is nobody's to bring along in a file.
    record.who.mode = fields.based("mode", "", 8, 07777) & 01777;
    record.accessed = fields.moment("accessed");
    record.modified = fields.moment("modified");
    record.changed = fields.moment("changed");
}

// Calls @p read for each element of a list.
template <class Read>
void each(const Fields& all, const char* key, Read read) {
    std::size_t place = 0;
    for (const Parsed& one : all.list(key)) read(Fields(one, key + (" number " + std::to_string(place++))));
}

template <class Records, class Get>
void no_doubles(const Records& records, const char* what, Get get) {
    using Value = std::decay_t<decltype(*get(records[0]))>;
    std::set<Value> known;
    for (const auto& record : records) {
        const auto value = get(record);
        if (value && !known.insert(*value).second) damaged(std::string("two objects have the same ") + what);
    }
}

template <class Records, class Get>
void no_sysv_doubles(const Records& records, Get record_of) {
    no_doubles(records, "id", [&](const auto& one) { return std::optional(record_of(one).id); });
    no_doubles(records, "key", [&](const auto& one) {
        const Key key = record_of(one).key;
        return key == Key::none ? std::nullopt : std::optional(key);
    });
}

template <class Records>
void no_posix_doubles(const Records& records) {
    no_doubles(records, "name", [](const auto& one) { return std::optional(one.name); });
}

std::vector<Limit> limits_of(const Fields& all) {
    std::vector<Limit> limits;
    const Parsed& list = all.get("limits");
    if (!list.is_object()) all.wrong("limits");
    for (const auto& [name, value] : list.items()) {
        if (!value.is_string()) all.wrong("limits");
        try {
            Limit limit = Limit::parse(name + "=" + value.get<std::string>());
            // A newer kernel may have others, which this one then does not need.
            limits.push_back(std::move(limit));
        } catch (const UsageError&) {
            if (find_limit_key(name) != nullptr) all.wrong("limits");
        }
    }
    return limits;
}

// Goes through a text before memory is given to what it says: a few bytes of a hostile one may ask for very much. (The
// library's own callback looks, at the end of each object, at all of those before it.)
class Look : public nlohmann::json_sax<Parsed> {
public:
    [[nodiscard]] bool excess() const noexcept { return excess_; }

    bool null() override { return one_more(); }
    bool boolean(bool /*value*/) override { return one_more(); }
    bool number_integer(std::int64_t /*value*/) override { return one_more(); }
    bool number_unsigned(std::uint64_t /*value*/) override { return one_more(); }
    bool number_float(double /*value*/, const std::string& /*text*/) override { return one_more(); }
    bool string(std::string& /*value*/) override { return one_more(); }
    bool binary(Parsed::binary_t& /*value*/) override { return one_more(); }
    bool start_object(std::size_t /*elements*/) override { return deeper(); }
    bool key(std::string& /*value*/) override { return true; }
    bool end_object() override { return shallower(); }
    bool start_array(std::size_t /*elements*/) override { return deeper(); }
    bool end_array() override { return shallower(); }
    bool parse_error(std::size_t /*position*/, const std::string& /*token*/,
                     const nlohmann::detail::exception& /*error*/) override {
        return false;
    }

private:
    bool one_more() {
        excess_ = ++values_ > most_manifest_values;
        return !excess_;
    }
    bool deeper() {
        constexpr int deepest = 8;
        excess_ = ++depth_ > deepest || ++values_ > most_manifest_values;
        return !excess_;
    }
    bool shallower() {
        --depth_;
        return true;
    }

    std::size_t values_ = 0;
    int depth_ = 0;
    bool excess_ = false;
};

Parsed parse(std::string_view text) {
    Look look;
    const bool good = Parsed::sax_parse(text, &look);
    if (look.excess()) damaged("its manifest has too many values");
    if (!good) damaged("its manifest is no JSON");
    try {
        return Parsed::parse(text);
    } catch (const Parsed::exception&) {
        damaged("its manifest is no JSON");
    }
}

} // namespace

[[noreturn]] void damaged(const std::string& why) {
    throw Flaw(EBADMSG, why, "the file is damaged, or was made by something else");
}

std::uint64_t contents_bytes(const Snapshot& snapshot) {
    std::uint64_t bytes = 0;
    for (const auto& record : snapshot.msg) bytes += record.bytes;
    for (const auto& [record, huge_page] : snapshot.shm)
        bytes += record.removed ? 0 : record.resident.value_or(0) + record.swapped.value_or(0);
    for (const auto& record : snapshot.mq) bytes += record.bytes.value_or(0);
    for (const auto& record : snapshot.pshm) bytes += record.allocated;
    return bytes;
}

bool has_member(const Snapshot& snapshot, Kind kind, std::size_t index) {
    switch (kind) {
    case Kind::msg: return snapshot.msg[index].messages > 0;
    case Kind::shm: {
        const auto& record = snapshot.shm[index].record;
        return !record.removed && record.resident.value_or(1) + record.swapped.value_or(1) > 0;
    }
    case Kind::mq: return snapshot.mq[index].messages.value_or(0) > 0;
    case Kind::pshm: return snapshot.pshm[index].bytes > 0 && snapshot.pshm[index].allocated > 0;
    case Kind::sem:
    case Kind::psem: break;
    }
    return false;
}

std::string member_name(const Snapshot& snapshot, Kind kind, std::size_t index) {
    std::string name = std::string(ipcns::word_of(kind)) + "/";
    if (kind == Kind::msg) return name + std::to_string(static_cast<int>(snapshot.msg[index].id));
    if (kind == Kind::shm) return name + std::to_string(static_cast<int>(snapshot.shm[index].record.id));
    return name + std::to_string(index);
}

std::size_t count_of(const Snapshot& snapshot, Kind kind) {
    switch (kind) {
    case Kind::msg: return snapshot.msg.size();
    case Kind::sem: return snapshot.sem.size();
    case Kind::shm: return snapshot.shm.size();
    case Kind::mq: return snapshot.mq.size();
    case Kind::psem: return snapshot.psem.size();
    case Kind::pshm: break;
    }
    return snapshot.pshm.size();
}

ObjectName object_name(const Snapshot& snapshot, Kind kind, std::size_t index) {
    switch (kind) {
    case Kind::msg: return name_of(snapshot.msg[index]);
    case Kind::sem: return name_of(snapshot.sem[index].record);
    case Kind::shm: return name_of(snapshot.shm[index].record);
    case Kind::mq: return name_of(snapshot.mq[index]);
    case Kind::psem: return name_of(snapshot.psem[index]);
    case Kind::pshm: break;
    }
    return name_of(snapshot.pshm[index]);
}

std::string manifest_text(const Snapshot& snapshot) {
    Json json;
    json["format"] = "ipcns-snapshot";
    json["version"] = snapshot_version;
    json["made_by"] = snapshot.made_by;
    json["made"] = time_value(snapshot.made);
    json["kernel"] = snapshot.kernel;
    json["namespace"] = {{"ns", snapshot.ns.inode},
                         {"name", snapshot.name.empty() ? Json() : Json(snapshot.name)}};
    json["live"] = snapshot.live;
    json["limits"] = limits_value(snapshot.limits);
    json["shm_size"] = number_or_null(snapshot.shm_size);
    json["others"] = {{"files", snapshot.others.files}, {"bytes", snapshot.others.bytes}};
    json["msg"] = json["sem"] = json["shm"] = json["mq"] = json["psem"] = json["pshm"] = Json::array();
    for (const auto& record : snapshot.msg) {
        Json one = sysv_object(record);
        one["messages"] = record.messages;
        one["bytes"] = record.bytes;
        one["limit"] = record.limit;
        one["last_sender"] = record.last_sender;
        one["last_receiver"] = record.last_receiver;
        one["sent"] = time_value(record.sent);
        one["received"] = time_value(record.received);
        one["changed"] = time_value(record.changed);
        json["msg"].push_back(std::move(one));
    }
    for (const auto& [record, values] : snapshot.sem) {
        Json one = sysv_object(record);
        one["values"] = values;
        one["operated"] = time_value(record.operated);
        one["changed"] = time_value(record.changed);
        json["sem"].push_back(std::move(one));
    }
    for (const auto& [record, huge_page] : snapshot.shm) {
        Json one = sysv_object(record);
        one["bytes"] = record.bytes;
        one["resident"] = number_or_null(record.resident);
        one["swapped"] = number_or_null(record.swapped);
        one["huge_page"] = huge_page;
        one["locked"] = record.locked;
        one["removed"] = record.removed;
        one["attached"] = record.attached;
        one["creator_pid"] = record.creator_pid;
        one["last_pid"] = record.last_pid;
        one["attach_time"] = time_value(record.attach_time);
        one["detach_time"] = time_value(record.detach_time);
        one["changed"] = time_value(record.changed);
        json["shm"].push_back(std::move(one));
    }
    for (const auto& record : snapshot.mq) {
        Json one = posix_object(record);
        one["max_messages"] = number_or_null(record.max_messages);
        one["message_size"] = number_or_null(record.message_size);
        one["messages"] = number_or_null(record.messages);
        one["bytes"] = number_or_null(record.bytes);
        if (record.notification)
            one["notify"] = {{"kind", word_of(record.notification->kind)},
                             {"signal", record.notification->signal},
                             {"pid", record.notification->pid}};
        json["mq"].push_back(std::move(one));
    }
    for (const auto& record : snapshot.psem) {
        Json one = posix_object(record);
        one["value"] = number_or_null(record.value);
        one["waiters"] = number_or_null(record.waiters);
        json["psem"].push_back(std::move(one));
    }
    for (const auto& record : snapshot.pshm) {
        Json one = posix_object(record);
        one["bytes"] = record.bytes;
        one["allocated"] = record.allocated;
        json["pshm"].push_back(std::move(one));
    }
    std::string text = json.dump(1, '\t') + "\n";
    std::size_t values = 100 + 30 * snapshot.objects();
    for (const auto& set : snapshot.sem) values += set.values.size();
    if (text.size() > most_manifest_bytes || values > most_manifest_values)
        fail(EFBIG, "save the namespace: there are too many objects in it for a snapshot");
    return text;
}

Snapshot parse_manifest(std::string_view text) {
    const Parsed json = parse(text);
    const Fields all(json, "its manifest");
    if (!all.has("format") || !all.get("format").is_string() || all.text("format") != "ipcns-snapshot")
        damaged("its manifest is not that of a snapshot");
    const auto version = all.number("version");
    if (version > static_cast<std::uint64_t>(snapshot_version))
        throw Flaw(
            ENOTSUP, "it has version " + std::to_string(version),
            "this ipcns reads versions up to " + std::to_string(snapshot_version) + "; a newer one made it");
    if (version == 0) all.wrong("version");
    Snapshot snapshot;
    snapshot.made_by = all.text("made_by");
    snapshot.made = all.moment("made");
    snapshot.kernel = all.text("kernel");
    snapshot.live = all.flag("live");
    {
        const Fields from(all.get("namespace"), "namespace");
        snapshot.ns.inode = from.number<ino_t>("ns");
        if (from.has("name")) snapshot.name = from.text("name");
    }
    snapshot.limits = limits_of(all);
    snapshot.shm_size = all.number_or_nothing("shm_size");
    {
        const Fields others(all.get("others"), "others");
        snapshot.others = {others.number<std::size_t>("files"), others.number("bytes")};
    }
    each(all, "msg", [&](const Fields& fields) {
        QueueRecord record;
        read_sysv(fields, record);
        record.messages = fields.number("messages", most_bytes);
        record.bytes = fields.number("bytes", most_bytes);
        record.limit = fields.number("limit", most_bytes);
        record.last_sender = fields.number<pid_t>("last_sender", most_int);
        record.last_receiver = fields.number<pid_t>("last_receiver", most_int);
        record.sent = fields.moment("sent");
        record.received = fields.moment("received");
        snapshot.msg.push_back(record);
    });
    each(all, "sem", [&](const Fields& fields) {
        Snapshot::Set set;
        read_sysv(fields, set.record);
        constexpr std::uint64_t largest = 32767; // SEMVMX
        for (const Parsed& value : fields.list("values"))
            set.values.push_back(fields.checked<unsigned short>(value, "values", largest));
        if (set.values.empty()) fields.wrong("values");
        set.record.count = set.values.size();
        set.record.operated = fields.moment("operated");
        snapshot.sem.push_back(std::move(set));
    });
    each(all, "shm", [&](const Fields& fields) {
        Snapshot::Segment segment;
        auto& record = segment.record;
        read_sysv(fields, record);
        record.bytes = fields.number("bytes", most_bytes);
        record.resident = fields.number_or_nothing("resident");
        record.swapped = fields.number_or_nothing("swapped");
        if (record.bytes == 0 || record.resident > most_bytes || record.swapped > most_bytes)
            fields.wrong("bytes");
        segment.huge_page = fields.number("huge_page", most_bytes);
        if ((segment.huge_page & (segment.huge_page - 1)) != 0) fields.wrong("huge_page");
        record.locked = fields.flag("locked");
        record.removed = fields.flag("removed");
        record.attached = fields.number("attached");
        record.creator_pid = fields.number<pid_t>("creator_pid", most_int);
        record.last_pid = fields.number<pid_t>("last_pid", most_int);
        record.attach_time = fields.moment("attach_time");
        record.detach_time = fields.moment("detach_time");
        snapshot.shm.push_back(segment);
    });
    each(all, "mq", [&](const Fields& fields) {
        PosixQueueRecord record;
        read_posix(fields, Kind::mq, record);
        constexpr std::uint64_t most_messages = 65536;               // HARD_MSGMAX of the kernel
        constexpr std::uint64_t most_size = std::uint64_t{16} << 20; // HARD_MSGSIZEMAX
        record.max_messages = fields.number("max_messages", most_messages);
        record.message_size = fields.number("message_size", most_size);
        record.messages = fields.number("messages", *record.max_messages);
        record.bytes = fields.number("bytes", most_bytes);
        if (*record.max_messages == 0 || *record.message_size == 0) fields.wrong("max_messages");
        snapshot.mq.push_back(std::move(record));
    });
    each(all, "psem", [&](const Fields& fields) {
        NamedSemaphoreRecord record;
        read_posix(fields, Kind::psem, record);
        record.value = fields.number<unsigned>("value", most_int);
        record.waiters = fields.number_or_nothing<unsigned>("waiters");
        snapshot.psem.push_back(std::move(record));
    });
    each(all, "pshm", [&](const Fields& fields) {
        SharedMemoryRecord record;
        read_posix(fields, Kind::pshm, record);
        record.bytes = fields.number("bytes", most_bytes);
        record.allocated = fields.number("allocated", most_bytes);
        snapshot.pshm.push_back(std::move(record));
    });
    no_sysv_doubles(
        snapshot.msg, [](const auto& one) -> const auto& { return one; });
    no_sysv_doubles(
        snapshot.sem, [](const auto& one) -> const auto& { return one.record; });
    no_sysv_doubles(
        snapshot.shm, [](const auto& one) -> const auto& { return one.record; });
    no_posix_doubles(snapshot.mq);
    no_posix_doubles(snapshot.psem);
    no_posix_doubles(snapshot.pshm);
    return snapshot;
}

std::string end_text(const SnapshotEnd& end) {
    Json json;
    json["held"] = end.held;
    json["pause_ns"] = end.pause_ns;
    json["members"] = Json::array();
    for (const auto& member : end.members)
        json["members"].push_back(
            {{"name", member.name}, {"bytes", member.bytes}, {"xxh128", member.xxh128}});
    return json.dump(1, '\t') + "\n";
}

SnapshotEnd parse_end(std::string_view text) {
    const Parsed json = parse(text);
    const Fields all(json, "its end");
    SnapshotEnd end;
    end.held = all.number("held");
    end.pause_ns = all.number("pause_ns");
    each(all, "members", [&](const Fields& fields) {
        end.members.push_back({fields.text("name"), fields.number("bytes"), fields.text("xxh128")});
    });
    return end;
}

} // namespace ipcns
