// SPDX-License-Identifier: Apache-2.0
// The plugin's line in plugstack.conf, and names.
#include "settings.hpp"

#include <ipcns/error.hpp>
#include <ipcns/text.hpp>

#include <sys/sysinfo.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace ipcns::slurm {
namespace {

constexpr std::array<std::pair<std::string_view, Scope>, 4> scopes{
    {{"job", Scope::job}, {"step", Scope::step}, {"task", Scope::task}, {"host", Scope::host}}};

constexpr std::array<std::string_view, 6> known{"default", "allow",    "shm_size",
                                                "limit",   "on_error", "access"};

// One of two words.
bool choose(std::string_view key, std::string_view value, std::string_view yes, std::string_view no) {
    if (value == yes || value == no) return value == yes;
    throw UsageError(std::string(key) + "=" + escape(value) + " means nothing",
                     std::string(key) + " is " + std::string(yes) + " or " + std::string(no));
}

unsigned parse_percent(std::string_view text) {
    unsigned percent = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), percent);
    if (error != std::errc() || end != text.data() + text.size() || percent == 0 || percent > 100)
        throw UsageError("shm_size=" + escape(text) + "% is no size",
                         "it is from 1% to 100%, or a size such as 8G");
    return percent;
}

} // namespace

const char* word_of(Scope scope) noexcept {
    for (const auto& [word, one] : scopes) {
        if (one == scope) return word.data();
    }
    return "";
}

Scope parse_scope(std::string_view word) {
    for (const auto& [known_word, scope] : scopes) {
        if (word == known_word) return scope;
    }
    throw UsageError("'" + escape(word) + "' says nothing about IPC", "it is job, step, task or host");
}

Settings Settings::parse(std::span<char* const> words) {
    Settings settings;
    for (const std::string_view word : words) {
        const auto equals = word.find('=');
        const auto key = word.substr(0, equals);
        const auto value = equals == std::string_view::npos ? std::string_view() : word.substr(equals + 1);
        if (value.empty()) throw UsageError("'" + escape(word) + "' is not KEY=VALUE");
        if (key == "default") {
            settings.standard = parse_scope(value);
        } else if (key == "allow") {
            settings.allowed.clear();
            for (auto rest = value; !rest.empty();) {
                const auto comma = rest.find(',');
                settings.allowed.push_back(parse_scope(rest.substr(0, comma)));
                rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
            }
        } else if (key == "shm_size") {
            settings.shm_bytes.reset();
            settings.shm_percent.reset();
            if (value.ends_with('%'))
                settings.shm_percent = parse_percent(value.substr(0, value.size() - 1));
            else
                settings.shm_bytes = parse_size(value);
        } else if (key == "limit") {
            settings.limits.push_back(Limit::parse(value));
        } else if (key == "on_error") {
            settings.must = choose(key, value, "fail", "run");
        } else if (key == "access") {
            settings.owner_enters = choose(key, value, "owner", "root");
        } else {
            const auto meant = nearest(key, known);
            throw UsageError("'" + escape(key) + "' is no setting",
                             meant.empty() ? "there are default, allow, shm_size, limit, on_error and access"
                                           : "did you mean " + std::string(meant) + "?");
        }
    }
    return settings;
}

std::string Settings::allowed_words() const {
    std::string text;
    std::size_t left = 0;
    const auto may = [this](Scope scope) {
        return scope == standard || std::find(allowed.begin(), allowed.end(), scope) != allowed.end();
    };
    for (const auto& [word, scope] : scopes) left += may(scope) ? 1 : 0;
    for (const auto& [word, scope] : scopes) {
        if (!may(scope)) continue;
        --left;
        text += std::string(word) + (left == 0 ? "" : left == 1 ? " or " : ", ");
    }
    return text;
}

void Settings::check_allowed(Scope scope) const {
    if (scope == standard || std::find(allowed.begin(), allowed.end(), scope) != allowed.end()) return;
    throw UsageError(std::string("--ipc=") + word_of(scope) + " is not allowed on this cluster",
                     "it is " + allowed_words());
}

std::optional<std::uint64_t> Settings::shm_size() const {
    if (!shm_percent) return shm_bytes;
    struct sysinfo memory {};
    if (::sysinfo(&memory) != 0) throw Error(errno, "ask for the size of the memory");
    return std::uint64_t{memory.totalram} * memory.mem_unit / 100 * *shm_percent;
}

JobNames::JobNames(std::uint32_t job, std::string_view node, std::string_view host)
    : base_("slurm:" + std::to_string(job)) {
    // Without the domain, as slurmd does when it looks for its node.
    if (!node.empty() && node != host && node != host.substr(0, host.find('.')))
        end_ = "@" + std::string(node);
}

std::string JobNames::step(std::uint32_t step) const {
    const std::string word = step == batch_step         ? "batch"
                             : step == extern_step      ? "extern"
                             : step == interactive_step ? "interactive"
                                                        : std::to_string(step);
    return base_ + "." + word + end_;
}

std::string JobNames::task(std::uint32_t step_number, std::uint32_t task) const {
    std::string name = step(step_number);
    return name.insert(name.size() - end_.size(), "." + std::to_string(task));
}

bool JobNames::contain(std::string_view name) const noexcept {
    if (!name.starts_with(base_) || !name.ends_with(end_) || name.size() < base_.size() + end_.size())
        return false;
    const auto middle = name.substr(base_.size(), name.size() - base_.size() - end_.size());
    return (middle.empty() || middle.front() == '.') && middle.find('@') == std::string_view::npos;
}

} // namespace ipcns::slurm
