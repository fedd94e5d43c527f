// SPDX-License-Identifier: Apache-2.0
// A file that says how a named namespace is to be made: ipcns.conf(5).
#pragma once

#include <ipcns/error.hpp>
#include <ipcns/export.hpp>
#include <ipcns/registry.hpp>

#include <filesystem>
#include <string_view>

namespace ipcns {

/// Reads how a namespace is to be made from text with lines of `KEY=VALUE`. KEY is `shm_size`, whose VALUE is a size as
/// parse_size() takes it, or a limit as Limit::parse() takes it. Spaces around both, empty lines, and lines that begin with
/// `#` or `;` mean nothing. No key may come twice.
///
/// Numbers that no kernel takes are refused here; whether this kernel takes them shows when the namespace is made.
/// @param name what the text is called in messages, which begin with "NAME:LINE: "
/// @throws UsageError
[[nodiscard]] IPCNS_API CreateOptions parse_configuration(std::string_view text, std::string_view name);

/// The same for a file of up to 64 KiB.
/// @throws Error when it cannot be read (ENOENT: there is none), EFBIG when it is larger; UsageError as above
[[nodiscard]] IPCNS_API CreateOptions read_configuration(const std::filesystem::path& file);

} // namespace ipcns
