// SPDX-License-Identifier: Apache-2.0
// JUnit's XML.
#include "junit.hpp"

#include "message.hpp"

#include <ipcns/text.hpp>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>

namespace ipcns::cli {
namespace {

// Text without control characters and ill-formed UTF-8 (see escape()), as an attribute or between tags.
std::string xml(const std::string& raw) {
    std::string text;
    for (const char c : escape(raw)) {
        switch (c) {
        case '&': text += "&amp;"; break;
        case '<': text += "&lt;"; break;
        case '>': text += "&gt;"; break;
        case '"': text += "&quot;"; break;
        case '\'': text += "&apos;"; break;
        default: text += c;
        }
    }
    return text;
}

// The file that a path means, behind its links.
std::string real_path(const std::string& path) {
    char real[PATH_MAX];
    return ::realpath(path.c_str(), real) != nullptr ? real : path;
}

} // namespace

std::string junit_text(const VerifyReport& report, const std::set<const Channel*>& expected) {
    std::size_t failures = 0;
    std::size_t errors = 0;
    std::size_t skipped = 0;
    std::string cases;
    for (const ChannelResult& result : report.channels) {
        const bool counts = expected.contains(result.channel);
        const std::string message =
            xml(fmt::format("{}: {}: {}", word_of(result.verdict), result.decided_by, result.why));
        std::string inside;
        if (counts && result.verdict == Verdict::open) {
            ++failures;
            inside = fmt::format(R"(<failure type="open" message="{}"/>)", message);
        } else if (result.verdict == Verdict::error || (counts && result.verdict == Verdict::not_available)) {
            ++errors;
            inside = fmt::format(R"(<error type="{}" message="{}"/>)", word_of(result.verdict), message);
        } else if (result.verdict == Verdict::not_available) {
            ++skipped;
            inside = fmt::format(R"(<skipped message="{}"/>)", message);
        } else {
            inside = fmt::format("<system-out>{}</system-out>", message);
        }
        cases += fmt::format("    <testcase classname=\"ipcns.verify\" name=\"{}\">{}</testcase>\n",
                             xml(result.channel->name), inside);
    }
    const std::string counts = fmt::format(R"(tests="{}" failures="{}" errors="{}" skipped="{}")",
                                           report.channels.size(), failures, errors, skipped);
    return fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites {0}>\n"
        "  <testsuite name=\"{1}\" {0}>\n{2}  </testsuite>\n</testsuites>\n",
        counts, xml(fmt::format("ipcns verify: {} and {}", report.first, report.second)), cases);
}

void write_whole(const std::string& path, const std::string& text) {
    const auto refuse = [&](int number) -> void { throw Error(number, "write " + escape(path)); };
    struct stat about {};
    if (::stat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode)) {
        const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        if (!file || !write_text(file.get(), text)) refuse(errno);
        return;
    }
    const std::string target = real_path(path);
    std::string beside = target + ".XXXXXX";
    Fd file(::mkostemp(beside.data(), O_CLOEXEC));
    if (!file) return refuse(errno);
    const mode_t mask = ::umask(0);
    ::umask(mask);
    if (::fchmod(file.get(), 0666 & ~mask) == 0 && write_text(file.get(), text) &&
        ::rename(beside.c_str(), target.c_str()) == 0)
        return;
    const int number = errno;
    ::unlink(beside.c_str());
    refuse(number);
}

} // namespace ipcns::cli
