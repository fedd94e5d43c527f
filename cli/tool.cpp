// SPDX-License-Identifier: Apache-2.0
// What the helper programs share: names of namespaces and users, keys and kinds.
#include "tool.hpp"

#include <ipcns/text.hpp>

#include <fmt/core.h>

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <set>

namespace ipcns::cli {

std::vector<RegisteredName> visible_names() {
    const Registry own = Registry::of_caller();
    const Registry system = Registry::of_system();
    auto names = own.list();
    if (own.folder() == system.folder()) return names;
    // A name of one's own hides the system's.
    std::set<std::string> taken;
    for (const auto& name : names) taken.insert(name.name);
    for (auto& name : system.list()) {
        if (!taken.contains(name.name)) names.push_back(std::move(name));
    }
    return names;
}

void complain_that_nobody_answers() {
    complain("nothing was removed: there is no terminal to ask on",
             "--yes removes without asking, --dry-run only looks");
}

bool may_remove(const std::string& question) {
    if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) {
        complain_that_nobody_answers();
        return false;
    }
    fmt::print(stderr, "{} [y/N] ", question);
    std::fflush(stderr);
    // The first letter of a line counts.
    const int answer = std::fgetc(stdin);
    int last = answer;
    while (last != '\n' && last != EOF) last = std::fgetc(stdin);
    if (last == EOF) fmt::print(stderr, "\n"); // Ctrl-D: the cursor is still behind the question
    if (answer == 'y' || answer == 'Y') return true;
    complain("nothing was removed");
    return false;
}

std::map<NamespaceId, std::string> names_by_id(const std::vector<RegisteredName>& names) {
    std::map<NamespaceId, std::string> result;
    for (const auto& name : names) {
        std::string& text = result[name.id];
        text += (text.empty() ? "" : ",") + name.name;
    }
    return result;
}

std::string registered_name(const NamespaceId& id) {
    const auto names = names_by_id(visible_names());
    const auto found = names.find(id);
    return found == names.end() ? "" : found->second;
}

namespace {

// All of the text as a number of 32 bits.
bool read_number(std::string_view text, std::uint32_t& number, int base = 10) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

} // namespace

bool is_object_word(std::string_view word) {
    const auto colon = word.find(':');
    return colon != std::string_view::npos && find_kind(word.substr(0, colon)).has_value();
}

Target parse_target(const std::string& text) {
    if (is_object_word(text))
        throw UsageError("'" + escape(text) + "' is an OBJECT, and names no namespace",
                         "TARGET comes first; self is the namespace that you are in: self " + escape(text));
    return Target::parse(text);
}

uid_t parse_user(const std::string& text) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread here
    if (const struct passwd* user = ::getpwnam(text.c_str())) return user->pw_uid;
    uid_t number = 0;
    // The last number means nobody at all to the kernel.
    if (read_number(text, number) && number != static_cast<uid_t>(-1)) return number;
    throw UsageError(fmt::format("there is no user '{}'", escape(text)));
}

gid_t parse_group(const std::string& text) {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread here
    if (const struct group* group = ::getgrnam(text.c_str())) return group->gr_gid;
    gid_t number = 0;
    if (read_number(text, number) && number != static_cast<gid_t>(-1)) return number;
    throw UsageError(fmt::format("there is no group '{}'", escape(text)));
}

Kinds parse_kinds(std::string_view text) {
    Kinds kinds;
    for (;;) {
        const std::string_view word = text.substr(0, text.find(','));
        const auto kind = find_kind(word);
        if (!kind)
            throw UsageError(fmt::format("there is no kind '{}'", escape(word)),
                             "a KIND is one of msg, sem, shm, mq, psem and pshm");
        kinds.add(*kind);
        if (word.size() == text.size()) return kinds;
        text.remove_prefix(word.size() + 1);
    }
}

Key parse_key(std::string_view text) {
    const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    std::uint32_t key = 0;
    if (!read_number(text.substr(hexadecimal ? 2 : 0), key, hexadecimal ? 16 : 10))
        throw UsageError(fmt::format("'{}' is no key", escape(text)),
                         "a key is a number of up to 32 bits: 0x1234 or 4660");
    return Key{key};
}

std::string key_text(Key key) { return fmt::format("0x{:08x}", static_cast<std::uint32_t>(key)); }

const std::string& UserNames::operator()(uid_t uid) {
    const auto [found, is_new] = names_.try_emplace(uid);
    if (is_new) {
        const struct passwd* user = ::getpwuid(uid); // NOLINT(concurrency-mt-unsafe): one thread here
        found->second = user != nullptr ? escape(user->pw_name) : std::to_string(uid);
    }
    return found->second;
}

const std::string& GroupNames::operator()(gid_t gid) {
    const auto [found, is_new] = names_.try_emplace(gid);
    if (is_new) {
        const struct group* group = ::getgrgid(gid); // NOLINT(concurrency-mt-unsafe): one thread here
        found->second = group != nullptr ? escape(group->gr_name) : std::to_string(gid);
    }
    return found->second;
}

} // namespace ipcns::cli
