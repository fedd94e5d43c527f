// SPDX-License-Identifier: Apache-2.0
// Rows of named columns, printed as a table or as JSON; the options that choose between them are the same for
// every command.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ipcns::cli {

using Json = nlohmann::ordered_json;

/// Text that another program chose, as a JSON value: as it is when it is UTF-8, escaped otherwise.
Json json_text(const std::string& raw);

struct Column {
    const char* title;  ///< as in the heading and after -o
    const char* key;    ///< in JSON
    bool right = false; ///< numbers
    const char* help = "";
};

/// What a column says of one thing, for people and for programs.
struct Cell {
    std::string text; ///< already escaped
    Json value;
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

/// The options -o, -n and --json.
class Format {
public:
    /// @param columns every column there is
    /// @param standard titles of those that are shown without -o, with commas between
    Format(std::vector<Column> columns, std::string standard)
        : columns_(std::move(columns)), chosen_(std::move(standard)) {}

    /// Adds the options to a command.
    void add_to(CLI::App& command);

    [[nodiscard]] bool json() const { return json_; }
    [[nodiscard]] bool headings() const { return !no_headings_; }
    /// True when the column of this title is to be shown, so that what costs much is looked up only then.
    [[nodiscard]] bool shows(std::string_view title) const;
    /// Shows a column that is not shown without being asked for.
    void also(const char* title) {
        if (!shows(title)) chosen_ += std::string(",") + title;
    }

    /// One JSON object of the chosen columns of a row (cells in the order of all columns). What has a discarded value is
    /// left out.
    [[nodiscard]] Json object(const std::vector<Cell>& row) const;

    /// The table, on standard output. On a terminal the last column is cut at its edge.
    void print(const std::vector<std::vector<Cell>>& rows) const;

    void print(const Table& table) const;

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

} // namespace ipcns::cli
