// SPDX-License-Identifier: Apache-2.0
// Throwing ipcns::Error in few words.
#pragma once

#include <ipcns/error.hpp>

namespace ipcns {

/// Throws Error with the current errno.
[[noreturn]] void fail(const std::string& what, std::string hint = {});
[[noreturn]] void fail(int number, const std::string& what, std::string hint = {});

} // namespace ipcns
