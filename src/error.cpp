// SPDX-License-Identifier: Apache-2.0
// Turns an errno value into an exception with a cause and a hint (the public type is all in the header).
#include "error.hpp"

namespace ipcns {

void fail(const std::string& what, std::string hint) { throw Error(errno, what, std::move(hint)); }

void fail(int number, const std::string& what, std::string hint) {
    throw Error(number, what, std::move(hint));
}

} // namespace ipcns
