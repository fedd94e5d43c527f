// SPDX-License-Identifier: Apache-2.0
// A verification as a JUnit report, which CI systems read.
#pragma once

#include <ipcns/verify.hpp>

#include <set>
#include <string>

namespace ipcns::cli {

/// One test case for each channel. An expected one that is open is a failure, one of which nothing is known an error; any
/// other one of which nothing is known was skipped.
std::string junit_text(const VerifyReport& report, const std::set<const Channel*>& expected);

/// Writes a file whole or not at all: beside it first, then put in its place. What is no plain file (/dev/stdout) is
/// written to.
/// @throws Error
void write_whole(const std::string& path, const std::string& text);

} // namespace ipcns::cli
