// SPDX-License-Identifier: Apache-2.0
// The words behind pam_ipcns.so in a file of /etc/pam.d.
#pragma once

#include <ipcns/registry.hpp>

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace ipcns::pam {

struct Settings {
    enum class Scope { user, session };

    Scope scope = Scope::user;
    bool required = false; ///< no namespace, no session
    bool debug = false;    ///< log what goes well, too
    uid_t min_uid = 1000;  ///< users below are left out
    std::vector<std::string> exclude_users;
    std::vector<std::string> exclude_groups;
    std::chrono::seconds linger{5}; ///< how long a name outlives its last session
    CreateOptions create;
};

/// Takes one word over.
/// @throws UsageError
void take_word(Settings& settings, const std::string& word);

} // namespace ipcns::pam
