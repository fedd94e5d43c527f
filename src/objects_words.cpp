// SPDX-License-Identifier: Apache-2.0
// The words for kinds, and the grammar of OBJECT. Looks at nothing but the text.
#include <ipcns/objects.hpp>

#include "error.hpp"

#include <ipcns/text.hpp>

#include <charconv>
#include <climits>

namespace ipcns {
namespace {

// The file of a semaphore is sem.NAME (sem_overview(7)).
constexpr std::size_t longest_name(Kind kind) noexcept {
    return kind == Kind::psem ? NAME_MAX - 4 : NAME_MAX;
}

// All of the text as a number, without a sign.
template <class Number>
bool read_number(std::string_view text, Number& value, int base) noexcept {
    if (text.empty() || text[0] == '-') return false;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    return error == std::errc() && end == text.data() + text.size();
}

[[noreturn]] void refuse(std::string_view text, const std::string& why, std::string hint) {
    throw UsageError("'" + escape(text) + "' names no object: " + why, std::move(hint));
}

void parse_number(ObjectName& object, std::string_view text, std::string_view rest) {
    const std::string word = word_of(object.kind);
    const std::string forms =
        "write " + word + ":ID with a decimal number, or " + word + ":0xKEY with a hexadecimal one";
    if (!rest.starts_with("0x") && !rest.starts_with("0X")) {
        int id = 0;
        if (!read_number(rest, id, 10)) refuse(text, "what follows " + word + ": is no id and no key", forms);
        object.id = id;
        return;
    }
    std::uint32_t key = 0;
    if (!read_number(rest.substr(2), key, 16))
        refuse(text, "a key is a hexadecimal number of up to 32 bits", forms);
    if (key == 0) refuse(text, "the key 0 (IPC_PRIVATE) finds nothing", "name it by its id");
    object.key = Key{key};
}

void parse_posix_name(ObjectName& object, std::string_view text, std::string_view rest) {
    const std::string word = word_of(object.kind);
    const std::size_t longest = longest_name(object.kind);
    const std::string form = "write " + word + ":/NAME; the name has 1 to " + std::to_string(longest) +
                             " bytes, and no slash but the first";
    if (!rest.starts_with('/')) refuse(text, "the name of a POSIX object begins with a slash", form);
    const std::string_view name = rest.substr(1);
    if (name.empty()) refuse(text, "there is no name behind the slash", form);
    if (name.size() > longest) refuse(text, "the name is too long", form);
    if (name.find('/') != std::string_view::npos) refuse(text, "there is a second slash in the name", form);
    if (name.find('\0') != std::string_view::npos) refuse(text, "there is a zero byte in the name", form);
    if (object.kind != Kind::psem && (name == "." || name == ".."))
        refuse(text, "this is the name of a folder", form);
    object.name = rest;
}

// What has no colon: a part of a name.
[[noreturn]] void refuse_part(std::string_view text) {
    const std::string own(text);
    if (const auto kind = find_kind(text))
        refuse(text, "it says which kind, and not which object",
               is_sysv(*kind) ? "write " + own + ":ID or " + own + ":0xKEY" : "write " + own + ":/NAME");
    int id = 0;
    if (text.starts_with("0x") || read_number(text, id, 10))
        refuse(text, "it does not say of which kind",
               "write msg:" + escape(text) + ", sem:" + escape(text) + " or shm:" + escape(text));
    if (text.starts_with('/'))
        refuse(text, "it does not say of which kind",
               "write mq:" + escape(text) + ", psem:" + escape(text) + " or pshm:" + escape(text));
    refuse(text, "there is no colon in it",
           "an OBJECT is KIND:ID, KIND:0xKEY or KIND:/NAME: msg:0, shm:0x1234, mq:/jobs");
}

} // namespace

const char* word_of(Kind kind) noexcept {
    switch (kind) {
    case Kind::msg: return "msg";
    case Kind::sem: return "sem";
    case Kind::shm: return "shm";
    case Kind::mq: return "mq";
    case Kind::psem: return "psem";
    case Kind::pshm: return "pshm";
    }
    return "";
}

std::optional<Kind> find_kind(std::string_view word) noexcept {
    for (const Kind kind : all_kinds)
        if (word == word_of(kind)) return kind;
    return std::nullopt;
}

ObjectName ObjectName::parse(std::string_view text) {
    const auto colon = text.find(':');
    if (colon == std::string_view::npos) refuse_part(text);
    const auto kind = find_kind(text.substr(0, colon));
    if (!kind) refuse(text, "there is no such kind", "a KIND is one of msg, sem, shm, mq, psem and pshm");
    ObjectName object;
    object.kind = *kind;
    const std::string_view rest = text.substr(colon + 1);
    if (is_sysv(*kind))
        parse_number(object, text, rest);
    else
        parse_posix_name(object, text, rest);
    return object;
}

std::string ObjectName::text() const {
    std::string text = std::string(word_of(kind)) + ":";
    if (id) return text + std::to_string(*id);
    if (!key) return text + name;
    char digits[8];
    const auto end =
        std::to_chars(std::begin(digits), std::end(digits), static_cast<std::uint32_t>(*key), 16);
    return text + "0x" + std::string(std::begin(digits), end.ptr);
}

ObjectName name_of(const QueueRecord& record) { return {Kind::msg, static_cast<int>(record.id), {}, {}}; }
ObjectName name_of(const SemaphoreSetRecord& record) {
    return {Kind::sem, static_cast<int>(record.id), {}, {}};
}
ObjectName name_of(const SegmentRecord& record) { return {Kind::shm, static_cast<int>(record.id), {}, {}}; }
ObjectName name_of(const PosixQueueRecord& record) { return {Kind::mq, {}, {}, record.name}; }
ObjectName name_of(const NamedSemaphoreRecord& record) { return {Kind::psem, {}, {}, record.name}; }
ObjectName name_of(const SharedMemoryRecord& record) { return {Kind::pshm, {}, {}, record.name}; }

} // namespace ipcns
