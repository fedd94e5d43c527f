// SPDX-License-Identifier: Apache-2.0
// Tables and JSON.
#include "table.hpp"

#include <ipcns/error.hpp>

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace ipcns::cli {
namespace {

// Characters, not bytes: text is well-formed UTF-8 by now.
std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(
        std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string_view cut(std::string_view text, std::size_t most) {
    std::size_t at = 0;
    for (std::size_t count = 0; at < text.size(); ++at) {
        if ((text[at] & 0xC0) != 0x80 && count++ == most) break;
    }
    return text.substr(0, at);
}

std::size_t terminal_width() {
    struct winsize size {};
    return ::isatty(STDOUT_FILENO) != 0 && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

// From the beginning of the year 0 to the end of 9999.
bool has_year(std::int64_t seconds) { return seconds >= -62167219200 && seconds <= 253402300799; }

bool same_title(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

} // namespace

Json json_text(const std::string& raw) {
    try {
        Json value = raw;
        (void)value.dump();
        return value;
    } catch (const Json::exception&) {
        return escape(raw);
    }
}

Json json_time(std::int64_t seconds) {
    if (!has_year(seconds)) return {};
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

std::string time_text(std::int64_t seconds) {
    if (!has_year(seconds)) return fmt::format("@{}", seconds);
    const std::tm then = fmt::localtime(static_cast<std::time_t>(seconds));
    const std::tm now = fmt::localtime(std::time(nullptr));
    if (then.tm_year == now.tm_year && then.tm_yday == now.tm_yday) return fmt::format("{:%H:%M:%S}", then);
    if (then.tm_year == now.tm_year) return fmt::format("{:%b%d %H:%M}", then);
    return fmt::format("{:%Y-%m-%d}", then);
}

void Out::moment(const Moment& when) {
    if (!when) {
        none();
        return;
    }
    const std::int64_t seconds = when->time_since_epoch().count();
    if (json_)
        value_ = json_time(seconds);
    else
        to_ += time_text(seconds);
}

void Format::add_to(App& command) {
    std::string titles;
    for (const auto& column : columns_) titles += fmt::format("\n    {:<9} {}", column.title, column.help);
    command
        .add_option("-o,--output", asked_, "columns to show, e.g. NS,NAME; +COLUMN adds to the usual ones")
        ->type_name("COLUMNS");
    command.add_flag("-n,--noheadings", no_headings_, "no line of headings");
    command.add_flag("-J,--json", json_, "print JSON");
    command.footer("Columns:" + titles);
    command.parse_complete_callback([this] {
        if (!asked_.empty()) {
            if (asked_[0] == '+')
                chosen_ += "," + asked_.substr(1);
            else
                chosen_ = asked_;
        }
        (void)chosen(); // refuses a column that there is not
    });
}

std::vector<std::size_t> Format::chosen() const {
    std::vector<std::size_t> indices;
    std::string_view rest = chosen_;
    while (!rest.empty()) {
        const std::string_view title = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(rest.size(), title.size() + 1));
        const auto found = std::find_if(columns_.begin(), columns_.end(), [&](const Column& column) {
            return same_title(column.title, title);
        });
        if (found == columns_.end()) throw UsageError(fmt::format("there is no column {}", escape(title)));
        indices.push_back(static_cast<std::size_t>(found - columns_.begin()));
    }
    if (indices.empty()) throw UsageError("no columns to show");
    return indices;
}

bool Format::shows(std::string_view title) const {
    const auto indices = chosen();
    return std::any_of(indices.begin(), indices.end(),
                       [&](std::size_t i) { return title == columns_[i].title; });
}

void Format::print(const Table& table) const {
    const auto indices = chosen();
    const std::size_t columns = indices.size();
    const std::size_t rows = table.ends_.size() / columns;
    const auto cell = [&](std::size_t i) {
        const std::size_t begin = i == 0 ? 0 : table.ends_[i - 1];
        return std::string_view(table.text_).substr(begin, table.ends_[i] - begin);
    };
    // Counting characters takes longer than finding out that each is a byte.
    unsigned char bits = 0;
    for (const char c : table.text_) bits |= static_cast<unsigned char>(c);
    const bool plain = bits < 0x80;
    const auto width_of = [&](std::string_view text) { return plain ? text.size() : width(text); };

    struct Shown {
        std::size_t n; // which of the chosen
        std::size_t width;
        bool right;
        bool empty;
    };
    std::vector<Shown> shown;
    for (std::size_t n = 0; n < columns; ++n)
        shown.push_back({n, 0, columns_[indices[n]].right, hide_empty_ && rows != 0});
    for (std::size_t i = 0; i < table.ends_.size();) {
        for (auto& column : shown) {
            const std::string_view text = cell(i++);
            column.width = std::max(column.width, width_of(text));
            column.empty = column.empty && text == "-";
        }
    }
    std::erase_if(shown, [](const Shown& column) { return column.empty; });
    std::size_t line_width = 1;
    for (auto& column : shown) {
        if (!no_headings_)
            column.width = std::max(column.width, std::strlen(columns_[indices[column.n]].title));
        line_width += column.width + 1;
    }
    const std::size_t edge = terminal_width();
    std::string out;
    out.reserve((rows + 1) * line_width);
    std::vector<char> line; // each piece of it appended to `out` would take twice as long
    const auto print_line = [&](auto text_of, std::size_t bytes) {
        if (line.size() < line_width + bytes) line.resize(line_width + bytes);
        char* end = line.data();
        std::size_t used = 0;
        for (const auto& column : shown) {
            const bool last = &column == &shown.back();
            std::string_view text = text_of(column.n);
            if (last && edge > used) text = cut(text, edge - used);
            const std::size_t gap = column.width - std::min(column.width, width_of(text));
            if (column.right) end = std::fill_n(end, gap, ' ');
            end = std::copy(text.begin(), text.end(), end);
            if (last) break;
            if (!column.right) end = std::fill_n(end, gap, ' ');
            *end++ = ' ';
            used += column.width + 1;
        }
        *end++ = '\n';
        out.append(line.data(), static_cast<std::size_t>(end - line.data()));
    };
    if (!no_headings_)
        print_line([&](std::size_t n) { return std::string_view(columns_[indices[n]].title); }, line_width);
    auto below = table.below_.begin();
    for (std::size_t row = 0; row < rows; ++row) {
        const std::size_t first = row * columns;
        const std::size_t begin = first == 0 ? 0 : table.ends_[first - 1];
        print_line([&](std::size_t n) { return cell(first + n); }, table.ends_[first + columns - 1] - begin);
        if (below == table.below_.end() || below->first != row) continue;
        for (const auto& text : below->second) {
            out += "    ";
            out += edge > 4 ? cut(text, edge - 4) : std::string_view(text);
            out += '\n';
        }
        ++below;
    }
    std::fwrite(out.data(), 1, out.size(), stdout);
}

} // namespace ipcns::cli
