// SPDX-License-Identifier: Apache-2.0
// Setting a limit between clone and exec.
#pragma once

#include <cstddef>
#include <string>

namespace ipcns {

/// Writes one file of /proc/sys. Async-signal-safe.
/// @return 0 or an errno value
int write_limit_raw(const char* path, const char* value, std::size_t length) noexcept;

/// What to do about an errno value of write_limit_raw().
std::string limit_hint(int number);

} // namespace ipcns
