// SPDX-License-Identifier: Apache-2.0
// A reader of JSON for files that other programs wrote and that may have been written to harm: it recurses to a fixed depth,
// makes no copy of the text, and takes time in proportion to its length.
#include "json.hpp"

#include <algorithm>
#include <charconv>

namespace ipcns {
namespace {

constexpr int deepest = 64;

// Walks over a text. Each function takes what its name says from the front, or returns false and leaves off anywhere.
class Scanner {
public:
    explicit Scanner(std::string_view text) noexcept : rest_(text) {}

    [[nodiscard]] std::string_view rest() const noexcept { return rest_; }

    void space() {
        while (!rest_.empty() && std::string_view(" \t\n\r").find(rest_[0]) != std::string_view::npos)
            rest_.remove_prefix(1);
    }

    bool take(char c) {
        if (rest_.empty() || rest_[0] != c) return false;
        rest_.remove_prefix(1);
        return true;
    }

    bool value(int depth = 0) {
        if (rest_.empty() || depth > deepest) return false;
        switch (rest_[0]) {
        case '{': return object(depth);
        case '[': return array(depth);
        case '"': return string();
        case 't': return word("true");
        case 'f': return word("false");
        case 'n': return word("null");
        default: return number();
        }
    }

    bool string() {
        if (!take('"')) return false;
        while (!rest_.empty()) {
            const auto c = static_cast<unsigned char>(rest_[0]);
            rest_.remove_prefix(1);
            if (c == '"') return true;
            if (c < 0x20 || (c == '\\' && !escaped())) return false;
        }
        return false;
    }

private:
    bool escaped() {
        if (rest_.empty()) return false;
        const char c = rest_[0];
        rest_.remove_prefix(1);
        if (c != 'u') return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos;
        const std::string_view digits = rest_.substr(0, 4);
        if (digits.size() != 4 ||
            digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos)
            return false;
        rest_.remove_prefix(4);
        return true;
    }

    bool object(int depth) {
        rest_.remove_prefix(1);
        space();
        if (take('}')) return true;
        do {
            space();
            if (!string()) return false;
            space();
            if (!take(':')) return false;
            space();
            if (!value(depth + 1)) return false;
            space();
        } while (take(','));
        return take('}');
    }

    bool array(int depth) {
        rest_.remove_prefix(1);
        space();
        if (take(']')) return true;
        do {
            space();
            if (!value(depth + 1)) return false;
            space();
        } while (take(','));
        return take(']');
    }

    bool word(std::string_view text) {
        if (!rest_.starts_with(text)) return false;
        rest_.remove_prefix(text.size());
        return true;
    }

    bool digits() {
        const std::size_t length = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
        rest_.remove_prefix(length);
        return length > 0;
    }

    bool number() {
        take('-');
        if (!take('0') && !digits()) return false;
        if (take('.') && !digits()) return false;
        if (!take('e') && !take('E')) return true;
        if (!take('+')) take('-');
        return digits();
    }

    std::string_view rest_;
};

// The text of a value that is known to be well-formed, taken from the front.
std::string_view taken(Scanner& scanner) {
    const std::string_view before = scanner.rest();
    if (!scanner.value()) return {};
    return before.substr(0, before.size() - scanner.rest().size());
}

void append_utf8(std::string& out, unsigned point) {
    const auto byte = [&](unsigned bits) { out += static_cast<char>(bits); };
    if (point < 0x80) return byte(point);
    if (point < 0x800) {
        byte(0xC0 | point >> 6);
    } else if (point < 0x10000) {
        byte(0xE0 | point >> 12);
        byte(0x80 | (point >> 6 & 0x3F));
    } else {
        byte(0xF0 | point >> 18);
        byte(0x80 | (point >> 12 & 0x3F));
        byte(0x80 | (point >> 6 & 0x3F));
    }
    byte(0x80 | (point & 0x3F));
}

unsigned hexadecimal(std::string_view digits) {
    unsigned value = 0;
    std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return value;
}

// What stands between the quotes of a well-formed string.
std::optional<std::string> unescaped(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        const std::size_t plain = std::min(text.find('\\'), text.size());
        out += text.substr(0, plain);
        text.remove_prefix(plain);
        if (text.empty()) break;
        const char c = text[1];
        text.remove_prefix(2);
        if (c != 'u') {
            constexpr std::string_view letters = "bfnrt";
            const std::size_t at = letters.find(c);
            out += at == std::string_view::npos ? c : "\b\f\n\r\t"[at];
            continue;
        }
        unsigned point = hexadecimal(text.substr(0, 4));
        text.remove_prefix(4);
        if (point >= 0xD800 && point < 0xE000) { // the first half of a pair, or nothing that makes sense
            if (point >= 0xDC00 || !text.starts_with("\\u")) return std::nullopt;
            const unsigned second = hexadecimal(text.substr(2, 4));
            if (second < 0xDC00 || second >= 0xE000) return std::nullopt;
            text.remove_prefix(6);
            point = 0x10000 + ((point - 0xD800) << 10) + (second - 0xDC00);
        }
        append_utf8(out, point);
    }
    return out;
}

} // namespace

std::optional<JsonValue> JsonValue::parse(std::string_view text) {
    Scanner scanner(text);
    scanner.space();
    const std::string_view before = scanner.rest();
    if (!scanner.value()) return std::nullopt;
    const JsonValue value(before.substr(0, before.size() - scanner.rest().size()));
    scanner.space();
    if (!scanner.rest().empty()) return std::nullopt;
    return value;
}

std::optional<JsonValue> JsonValue::member(std::string_view key) const {
    Scanner scanner(text_);
    if (!scanner.take('{')) return std::nullopt;
    std::optional<JsonValue> found;
    scanner.space();
    while (!scanner.take('}')) {
        const JsonValue name(taken(scanner));
        scanner.space();
        scanner.take(':');
        scanner.space();
        const JsonValue value(taken(scanner));
        if (name.string() == key) {
            if (found) return std::nullopt;
            found = value;
        }
        scanner.space();
        scanner.take(',');
        scanner.space();
    }
    return found;
}

std::vector<JsonValue> JsonValue::elements() const {
    std::vector<JsonValue> found;
    Scanner scanner(text_);
    if (!scanner.take('[')) return found;
    scanner.space();
    while (!scanner.take(']')) {
        found.push_back(JsonValue(taken(scanner)));
        scanner.space();
        scanner.take(',');
        scanner.space();
    }
    return found;
}

std::optional<std::string> JsonValue::string() const {
    if (!text_.starts_with('"')) return std::nullopt;
    return unescaped(text_.substr(1, text_.size() - 2));
}

std::optional<std::uint64_t> JsonValue::number() const {
    std::uint64_t value = 0;
    const char* const end = text_.data() + text_.size();
    const auto [stopped, error] = std::from_chars(text_.data(), end, value);
    if (error != std::errc() || stopped != end) return std::nullopt;
    return value;
}

} // namespace ipcns
