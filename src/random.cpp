// SPDX-License-Identifier: Apache-2.0
#include "random.hpp"

#include "error.hpp"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <cstdio>

namespace ipcns {

void fill_random(void* memory, std::size_t bytes) {
    if (::getrandom(memory, bytes, 0) != static_cast<ssize_t>(bytes)) fail("get random bytes");
}

std::string random_name(std::string_view prefix) {
    std::uint64_t number = 0;
    fill_random(&number, sizeof number);
    std::array<char, 24> digits;
    std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(number));
    return std::string(prefix) + digits.data();
}

} // namespace ipcns
