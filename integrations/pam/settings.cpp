// SPDX-License-Identifier: Apache-2.0
// Words of the form KEY=VALUE: see pam_ipcns(8).
#include "settings.hpp"

#include <ipcns/limits.hpp>
#include <ipcns/text.hpp>

#include <charconv>
#include <cstdint>
#include <string_view>

namespace ipcns::pam {
namespace {

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> words;
    while (!text.empty()) {
        const auto end = text.find(',');
        if (end != 0) words.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return words;
}

std::uint32_t number(const std::string& key, std::string_view value) {
    std::uint32_t result = 0;
    const auto* const end = value.data() + value.size();
    if (value.empty() || std::from_chars(value.data(), end, result).ptr != end)
        throw UsageError(key + "=" + escape(value) + ": that is no number");
    return result;
}

bool yes_or_no(const std::string& key, std::string_view value) {
    if (value == "yes" || value == "no") return value == "yes";
    throw UsageError(key + "=" + escape(value) + ": it takes yes or no");
}

} // namespace

void take_word(Settings& settings, const std::string& word) {
    const auto equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (word == "debug") {
        settings.debug = true;
    } else if (word == "scope=user" || word == "scope=session") {
        settings.scope = value == "user" ? Settings::Scope::user : Settings::Scope::session;
    } else if (key == "required") {
        settings.required = yes_or_no(key, value);
    } else if (key == "min_uid") {
        settings.min_uid = number(key, value);
    } else if (key == "linger") {
        settings.linger = std::chrono::seconds(number(key, value));
    } else if (key == "exclude_user") {
        for (auto& name : split(value)) settings.exclude_users.push_back(std::move(name));
    } else if (key == "exclude_group") {
        for (auto& name : split(value)) settings.exclude_groups.push_back(std::move(name));
    } else if (key == "shm_size") {
        settings.create.shm_size = parse_size(value);
    } else if (key == "limit") {
        settings.create.limits.push_back(Limit::parse(value));
    } else {
        throw UsageError("'" + escape(word) + "' is no setting of pam_ipcns");
    }
}

} // namespace ipcns::pam
