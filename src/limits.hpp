// SPDX-License-Identifier: Apache-2.0
// Setting a limit between clone and exec.
#pragma once

#include <ipcns/limits.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace ipcns {

/// What is to be written in a new namespace to set @p limits: one value for a file, the parts of "sem" put together with
/// the numbers that a new namespace has.
/// @throws as set_limits() for values that no kernel takes
std::vector<Limit> limits_of_new_namespace(std::span<const Limit> limits);

/// Writes one file of /proc/sys. Async-signal-safe.
/// @return 0 or an errno value
int write_limit_raw(const char* path, const char* value, std::size_t length) noexcept;

/// What to do about an errno value of write_limit_raw().
/// @param key which limit it was, or null
std::string limit_hint(int number, const LimitKey* key);

} // namespace ipcns
