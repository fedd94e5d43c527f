// SPDX-License-Identifier: Apache-2.0
// Names that nobody else has, and other things that nobody can guess.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ipcns {

/// getrandom(2). @throws Error
void fill_random(void* memory, std::size_t bytes);

/// @p prefix and 16 random hexadecimal digits.
std::string random_name(std::string_view prefix);

} // namespace ipcns
