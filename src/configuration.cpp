// SPDX-License-Identifier: Apache-2.0
// Reading ipcns.conf(5): lines of KEY=VALUE.
#include <ipcns/configuration.hpp>

#include "error.hpp"
#include "limits.hpp"
#include "procfs.hpp"

#include <ipcns/limits.hpp>
#include <ipcns/text.hpp>

#include <fcntl.h>

#include <algorithm>
#include <map>
#include <string>

namespace ipcns {
namespace {

constexpr std::size_t largest_file = 65536;
constexpr std::string_view shm_size = "shm_size";

std::string_view trim(std::string_view text) {
    constexpr std::string_view blanks = " \t\r";
    const auto begin = text.find_first_not_of(blanks);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(blanks) - begin + 1);
}

// What stands in front of a "=". A file that was given by mistake may hold secrets, and messages may land in a journal: of
// such a file they tell nothing.
bool looks_like_key(std::string_view word) {
    return !word.empty() && word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_.-") == std::string_view::npos;
}

// Takes one line over.
// @return the key, as it is called in full
std::string take(std::string_view line, CreateOptions& options) {
    const auto equals = line.find('=');
    if (equals == std::string_view::npos) {
        if (find_limit_key(line) != nullptr) return Limit::parse(line).key->name; // which says what is wrong
        throw UsageError("it is not KEY=VALUE", "for example shmmax=64M");
    }
    const std::string_view key = trim(line.substr(0, equals));
    const std::string_view value = trim(line.substr(equals + 1));
    if (key == shm_size) {
        options.shm_size = parse_size(value);
        return std::string(key);
    }
    if (find_limit_key(key) == nullptr && !nearest(key, {&shm_size, 1}).empty())
        throw UsageError("there is no setting '" + escape(key) + "'", "did you mean shm_size?");
    if (find_limit_key(key) == nullptr && !looks_like_key(key))
        throw UsageError("what is before the = is no limit", "keys are made of small letters: shmmax=64M");
    const Limit limit = Limit::parse(std::string(key) + "=" + std::string(value));
    (void)limits_of_new_namespace({&limit, 1}); // refuses what no kernel takes
    options.limits.push_back(limit);
    return limit.key->name;
}

} // namespace

CreateOptions parse_configuration(std::string_view text, std::string_view name) {
    CreateOptions options;
    std::map<std::string, std::size_t> lines;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::string_view raw = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), raw.size() + 1));
        const std::string_view line = trim(raw);
        if (line.empty() || line.front() == '#' || line.front() == ';') continue;
        const std::string where = escape(name) + ":" + std::to_string(number) + ": ";
        std::string key;
        try {
            key = take(line, options);
        } catch (const Error& error) {
            throw UsageError(where + error.what(), error.hint());
        }
        const auto [first, is_new] = lines.emplace(key, number);
        if (!is_new)
            throw UsageError(where + key + " is set already in line " + std::to_string(first->second));
    }
    return options;
}

CreateOptions read_configuration(const std::filesystem::path& file) {
    const auto text = procfs::read_file(AT_FDCWD, file.c_str(), largest_file + 1);
    if (!text) fail("read " + escape(file.string()));
    if (text->size() > largest_file)
        fail(EFBIG, "read " + escape(file.string()), "a file of settings has up to 64 KiB");
    return parse_configuration(*text, file.string());
}

} // namespace ipcns
