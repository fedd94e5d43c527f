// SPDX-License-Identifier: Apache-2.0
// What the parts of `ipcns show` share.
#pragma once

#include "table.hpp"

#include <ipcns/objects.hpp>
#include <ipcns/registry.hpp>

namespace ipcns::cli {

/// show --summary: how many of each of @p kinds, and how much of the limits that is.
/// @param format says whether it is to be JSON, and whether there are headings
void show_summary(const Place& place, Kinds kinds, const Format& format, bool bytes);

} // namespace ipcns::cli
