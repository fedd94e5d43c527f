// SPDX-License-Identifier: Apache-2.0
// The messages that wait in a POSIX queue, read without taking them. In the library libipcns-state.
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/sysv.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

namespace ipcns {

class IPCNS_API MessageReader {
public:
    MessageReader();
    MessageReader(MessageReader&&) noexcept;
    MessageReader& operator=(MessageReader&&) noexcept;
    ~MessageReader();

private:
    struct Loaded;
    std::unique_ptr<Loaded> loaded_;
};

} // namespace ipcns
