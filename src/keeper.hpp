// SPDX-License-Identifier: Apache-2.0
// The process that keeps an ordinary user's named namespace alive, seen from outside.
#pragma once

#include <ipcns/fd.hpp>
#include <ipcns/registry.hpp>

#include <sys/types.h>

#include <string>

namespace ipcns {

/// A keeper that has been started and waits for the word that its name has appeared.
struct StartedKeeper {
    pid_t pid = 0;
    Fd channel; ///< write a byte when the name is there; if it is closed before, the keeper ends
};

/// Starts a keeper in the folder @p path of a name to be, in a new namespace or, with @p place, in that one.
/// The file "keeper" must be there. The keeper becomes nobody's child.
StartedKeeper start_keeper(const std::string& name, const std::string& path, const CreateOptions& options,
                           const Place* place);

/// The keeper that holds the file "keeper" in @p folder, 0 when there is none, or -1 when there is one that the
/// caller cannot see (it runs outside the caller's pid namespace) or when that could not be found out.
pid_t find_keeper(int folder);

/// Ends the keeper of @p folder, if there is one, and waits until it is gone. False when that could not be done.
bool end_keeper(int folder);

} // namespace ipcns
