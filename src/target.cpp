// SPDX-License-Identifier: Apache-2.0
// The grammar of TARGET. Looks at nothing but the text.
#include <ipcns/target.hpp>

#include "error.hpp"
#include "procfs.hpp"

#include <ipcns/text.hpp>

#include <charconv>

namespace ipcns {
namespace {

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

constexpr std::size_t longest_name = 63;
constexpr std::size_t longest_job_name = 255; // of a file

} // namespace

bool is_name(std::string_view text) noexcept {
    if (text.empty() || text.size() > longest_name || !is_letter(text[0])) return false;
    for (const char c : text) {
        if (!is_letter(c) && !is_digit(c) && c != '.' && c != '-') return false;
    }
    return text != "self" && text != "host";
}

bool is_container_id(std::string_view text) noexcept {
    constexpr std::size_t longest_file_name = 255;
    if (text.empty() || text.size() > longest_file_name || text[0] == '.') return false;
    for (const char c : text) {
        if (!is_letter(c) && !is_digit(c) && std::string_view(".-+,").find(c) == std::string_view::npos)
            return false;
    }
    return true;
}

bool is_job_name(std::string_view text) noexcept {
    constexpr std::string_view prefix = "slurm:";
    if (!text.starts_with(prefix) || text.size() > longest_job_name) return false;
    text.remove_prefix(prefix.size());
    const auto take_number = [&text] {
        std::size_t length = 0;
        while (length < text.size() && is_digit(text[length])) ++length;
        text.remove_prefix(length);
        return length != 0;
    };
    const auto take_step = [&] {
        for (const std::string_view word : {"batch", "interactive", "extern"}) {
            if (!text.starts_with(word)) continue;
            text.remove_prefix(word.size());
            return true;
        }
        return take_number();
    };
    const auto take_char = [&text](char c) {
        if (!text.starts_with(c)) return false;
        text.remove_prefix(1);
        return true;
    };
    if (!take_number()) return false;
    if (take_char('.')) {
        if (!take_step() || (take_char('.') && !take_number())) return false;
    }
    if (!take_char('@')) return text.empty();
    for (const char c : text) {
        if (!is_letter(c) && !is_digit(c) && c != '.' && c != '-') return false;
    }
    return !text.empty();
}

void check_name(std::string_view text) {
    if (is_name(text)) return;
    if (text == "self" || text == "host")
        throw UsageError("'" + std::string(text) + "' cannot be a name: it already means a namespace");
    throw UsageError(
        "'" + escape(text) + "' cannot be a name",
        "a name begins with a letter or _, goes on with letters, digits, _ . or -, and has at most 63 characters");
}

Target Target::parse(std::string_view text) {
    const auto number = [](std::string_view digits, auto& value) {
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        return !digits.empty() && error == std::errc() && end == digits.data() + digits.size() && value > 0;
    };
    Target target;
    if (text == "self" || text == "host") {
        target.kind = text == "self" ? Kind::self : Kind::host;
        return target;
    }
    if (text.starts_with('/') || text.starts_with("./") || text.starts_with("../")) {
        if (text.find('\0') != std::string_view::npos) throw UsageError("a path cannot contain a zero byte");
        target.kind = Kind::path;
        target.path = text;
        return target;
    }
    if (text.starts_with('@')) {
        target.kind = Kind::inode;
        if (number(text.substr(1), target.inode)) return target;
    } else if (text.starts_with("ipc:[")) {
        target.kind = Kind::inode;
        target.inode = procfs::parse_link(text);
        if (target.inode != 0) return target;
    } else if (text.starts_with("oci:")) {
        target.kind = Kind::oci;
        target.container = text.substr(4);
        if (is_container_id(target.container)) return target;
    } else if (!text.empty() && is_digit(text[0])) {
        target.kind = Kind::pid;
        if (number(text, target.pid)) return target;
    } else if (is_name(text) || is_job_name(text)) {
        target.kind = Kind::name;
        target.name = text;
        return target;
    }
    throw UsageError("'" + escape(text) + "' names no namespace",
                     "a TARGET is a NAME, a process id, a /path, @INODE, oci:ID, slurm:JOB, self or host");
}

bool Target::is_process() const noexcept {
    return kind == Kind::pid || kind == Kind::self || kind == Kind::host || kind == Kind::oci;
}

std::string Target::text() const {
    switch (kind) {
    case Kind::name: return name;
    case Kind::pid: return std::to_string(pid);
    case Kind::path: return path.string();
    case Kind::inode: return "@" + std::to_string(inode);
    case Kind::self: return "self";
    case Kind::host: return "host";
    case Kind::oci: return "oci:" + container;
    }
    return {};
}

} // namespace ipcns
