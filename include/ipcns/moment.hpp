// SPDX-License-Identifier: Apache-2.0
// When something happened to an object, as the kernel writes it down.
#pragma once

#include <chrono>
#include <optional>

namespace ipcns {

/// A time of the system's clock, in whole seconds; nothing = it never happened.
using Moment = std::optional<std::chrono::sys_seconds>;

} // namespace ipcns
