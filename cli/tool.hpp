// SPDX-License-Identifier: Apache-2.0
// What the helper programs share: how their commands are declared and run, and how they complain.
#pragma once

#include "app.hpp"
#include "message.hpp"

#include <ipcns/error.hpp>
#include <ipcns/namespace.hpp>
#include <ipcns/objects.hpp>
#include <ipcns/registry.hpp>
#include <ipcns/sysv.hpp>
#include <ipcns/target.hpp>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ipcns::cli {

// of ipcns-names
void add_create(App& program, int& status);
void add_attach(App& program, int& status);
void add_delete(App& program, int& status);
void add_list(App& program, int& status);
void add_pids(App& program, int& status);
void add_identify(App& program, int& status);
void add_monitor(App& program, int& status);
// of ipcns-objects
void add_show(App& program, int& status);
void add_limits(App& program, int& status);
void add_clear(App& program, int& status);
void add_make(App& program, int& status);
void add_remove(App& program, int& status);
void add_diff(App& program, int& status);
// of ipcns-state
void add_peek(App& program, int& status);
void add_save(App& program, int& status);
void add_restore(App& program, int& status);
void add_clone(App& program, int& status);
// of ipcns-verify
void add_verify(App& program, int& status);

/// Asks a person: true when the answer on standard input begins with y. Says so when it does not, or when nobody can be
/// asked since standard input or standard error is no terminal: nothing is to be removed then.
bool may_remove(const std::string& question);
/// Says that nothing was removed, because nobody can be asked.
void complain_that_nobody_answers();

/// Every name that the caller may see, of its own registry and of the system's.
std::vector<RegisteredName> visible_names();

/// The names of each namespace, joined by commas.
std::map<NamespaceId, std::string> names_by_id(const std::vector<RegisteredName>& names);

/// The registered names of one namespace, joined by commas; empty when it has none.
std::string registered_name(const NamespaceId& id);

/// Does it begin as an OBJECT does, with a kind and a colon?
bool is_object_word(std::string_view word);
/// The TARGET of a command that takes an OBJECT or a KIND after it.
/// @throws UsageError also when it is an OBJECT: then the TARGET was left out, or comes too late
Target parse_target(const std::string& text);

/// A user or group by name or, where there is none of that name, by number.
/// @throws UsageError when there is neither
uid_t parse_user(const std::string& text);
gid_t parse_group(const std::string& text);

/// Kinds with commas between them: "msg,mq".
/// @throws UsageError
Kinds parse_kinds(std::string_view text);

/// A System V key: 0x1234 or a decimal number of up to 32 bits. 0 is Key::none.
/// @throws UsageError
Key parse_key(std::string_view text);
/// "0x00001234", as ipcs prints it.
std::string key_text(Key key);

/// "postgres", or the number where there is no such user. Each is looked up once: that may take a network.
class UserNames {
public:
    const std::string& operator()(uid_t uid);

private:
    std::map<uid_t, std::string> names_;
};

/// The same for groups.
class GroupNames {
public:
    const std::string& operator()(gid_t gid);

private:
    std::map<gid_t, std::string> names_;
};

} // namespace ipcns::cli
