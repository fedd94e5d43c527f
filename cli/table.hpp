// SPDX-License-Identifier: Apache-2.0
// Rows of named columns, printed as a table or as JSON; the options that choose between them are the same for
// every command.
#pragma once

#include "app.hpp"

#include <ipcns/moment.hpp>
#include <ipcns/text.hpp>

#include <fmt/compile.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ipcns::cli {

using Json = nlohmann::ordered_json;

/// Text that another program chose, as a JSON value: as it is when it is UTF-8, escaped otherwise.
Json json_text(const std::string& raw);

/// A time in seconds since 1970 as RFC 3339 has it, in UTC. Null for one outside of the years 0 to 9999: a file's times
/// can be set to anything, and that standard has no words for them.
Json json_time(std::int64_t seconds);

/// A time for people: the time of day when it was today, then the day, then the year. "@SECONDS" for one outside of the
/// years 0 to 9999.
std::string time_text(std::int64_t seconds);

struct Column {
    const char* title;  ///< as in the heading and after -o
    const char* key;    ///< in JSON
    bool right = false; ///< numbers
    const char* help = "";
};

/// The text of a table's chosen columns, row by row, in one piece: a table may have many thousand rows.
class Table {
public:
    /// What the next cell says is appended here, then end_cell() called.
    std::string& text() { return text_; }
    void end_cell() { ends_.push_back(text_.size()); }
    /// Lines to be printed below the row that was just ended, indented.
    void below(std::vector<std::string> lines, std::size_t columns) {
        if (!lines.empty()) below_.emplace_back(ends_.size() / columns - 1, std::move(lines));
    }

private:
    friend class Format;
    std::string text_;
    std::vector<std::size_t> ends_;
    std::vector<std::pair<std::size_t, std::vector<std::string>>> below_;
};

/// A cell in the making: text for a table, or a value for JSON, not both.
class Out {
public:
    Out(bool json, bool bytes, std::string& to) : json_(json), bytes_(bytes), to_(to), begin_(to.size()) {}

    void text(std::string_view printable) {
        if (json_)
            value_ = printable;
        else
            to_ += printable;
    }
    void raw(const std::string& foreign) {
        if (json_)
            value_ = json_text(foreign);
        else
            to_ += escape(foreign);
    }
    template <class Number>
    void number(Number n) {
        if (json_)
            value_ = n;
        else
            fmt::format_to(std::back_inserter(to_), FMT_COMPILE("{}"), n);
    }
    /// Printable text, by a format of FMT_COMPILE.
    template <class Pattern, class... Arguments>
    void print(const Pattern& pattern, const Arguments&... arguments) {
        if (json_)
            value_ = fmt::format(pattern, arguments...);
        else
            fmt::format_to(std::back_inserter(to_), pattern, arguments...);
    }
    void size(std::uint64_t bytes) {
        if (json_ || bytes_)
            number(bytes);
        else
            to_ += format_size(bytes);
    }
    void moment(const Moment& when);
    /// It has this field, and what it is is not known, or there is none.
    void none(std::string_view shown = "-") {
        if (json_)
            value_ = nullptr;
        else
            to_ += shown;
    }
    void value(Json value) { value_ = std::move(value); }
    /// The one for people, the other for programs.
    void both(std::string_view printable, Json value) {
        if (json_)
            value_ = std::move(value);
        else
            to_ += printable;
    }
    /// The registered name of a namespace. "host" is a word for one and no name: only people read it.
    void namespace_name(std::string_view name, bool is_host) {
        if (!name.empty())
            text(name);
        else
            none(is_host && !json_ ? "host" : "-");
    }
    [[nodiscard]] bool json() const { return json_; }
    [[nodiscard]] std::string size_text(std::uint64_t bytes) const {
        return bytes_ ? std::to_string(bytes) : format_size(bytes);
    }
    template <class Number>
    void number_or_none(const std::optional<Number>& n) {
        if (n)
            number(*n);
        else
            none();
    }
    void size_or_none(const std::optional<std::uint64_t>& n) {
        if (n)
            size(*n);
        else
            none();
    }
    /// Nothing was said: the thing has no such field.
    [[nodiscard]] bool empty() const { return !value_ && to_.size() == begin_; }
    Json take() { return std::move(value_).value(); }

private:
    bool json_;
    bool bytes_;
    std::string& to_;
    std::size_t begin_;
    std::optional<Json> value_;
};

/// The options -o, -n and --json.
class Format {
public:
    /// @param columns every column there is
    /// @param standard titles of those that are shown without -o, with commas between
    Format(std::vector<Column> columns, std::string standard)
        : columns_(std::move(columns)), chosen_(std::move(standard)) {}

    /// Adds the options to a command.
    void add_to(App& command);

    [[nodiscard]] bool json() const { return json_; }
    [[nodiscard]] bool headings() const { return !no_headings_; }
    /// True when the column of this title is to be shown, so that what costs much is looked up only then.
    [[nodiscard]] bool shows(std::string_view title) const;
    /// Shows a column that is not shown without being asked for.
    void also(const char* title) {
        if (!shows(title)) chosen_ += std::string(",") + title;
    }

    /// The table, on standard output. On a terminal the last column is cut at its edge.
    void print(const Table& table) const;

    [[nodiscard]] const char* key(std::size_t column) const { return columns_[column].key; }
    /// The columns to show, as indices into all of them.
    [[nodiscard]] std::vector<std::size_t> chosen() const;
    /// Chooses others to be shown, if -o has not.
    void choose(std::string titles) { chosen_ = std::move(titles); }
    /// False when -o has chosen.
    [[nodiscard]] bool is_usual() const { return asked_.empty(); }
    /// Leaves out columns that say "-" in every line.
    void hide_empty(bool hide) { hide_empty_ = hide; }
    /// Takes over -n and --json of another one.
    void follow(const Format& other) {
        json_ = other.json_;
        no_headings_ = other.no_headings_;
    }

private:
    std::vector<Column> columns_;
    std::string chosen_;
    std::string asked_;
    bool json_ = false;
    bool hide_empty_ = false;
    bool no_headings_ = false;
};

/// Rows of a table, or an array of JSON objects, as they come.
class Rows {
public:
    explicit Rows(const Format& format, bool bytes = false)
        : format_(format), bytes_(bytes), chosen_(format.chosen()) {}

    /// @param say called as say(out, column) for each chosen column, an index into all of them; for JSON, what it says
    ///            nothing of is left out
    template <class Say>
    void add(Say say) {
        Json object = Json::object();
        for (const std::size_t i : chosen_) {
            std::string none;
            Out out(format_.json(), bytes_, format_.json() ? none : table_.text());
            say(out, i);
            if (!format_.json())
                table_.end_cell();
            else if (!out.empty())
                object[format_.key(i)] = out.take();
        }
        if (format_.json()) array_.push_back(std::move(object));
        ++count_;
    }

    [[nodiscard]] bool empty() const { return count_ == 0; }
    void print() const { format_.print(table_); }
    [[nodiscard]] Json json() { return std::move(array_); }

private:
    const Format& format_;
    bool bytes_;
    std::vector<std::size_t> chosen_;
    Table table_;
    Json array_ = Json::array();
    std::size_t count_ = 0;
};

} // namespace ipcns::cli
