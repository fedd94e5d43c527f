// SPDX-License-Identifier: Apache-2.0
// Making an object of any kind. Leans on: users and groups in IPC_SET and fchown(2) are those of the calling thread's
// user namespace, which inside of Namespace::call() need not be the caller's; a file can belong only to whom the user
// namespace of its file system has a name for (EOVERFLOW).
#include <ipcns/making.hpp>

#include "error.hpp"
#include "idmap.hpp"

#include <ipcns/posix.hpp>
#include <ipcns/sysv.hpp>

#include <algorithm>
#include <array>

namespace ipcns {
namespace {

// ---- What fits together ------------------------------------------------------------------------------------------

struct Setting {
    const char* word;
    bool given;
    std::array<bool, 6> kinds; // msg sem shm mq psem pshm
};

void check_settings(const NewObject& wanted) {
    const bool y = true;
    const bool n = false;
    const std::array settings{
        Setting{"a key", wanted.key != Key::none, {y, y, y, n, n, n}},
        Setting{"a name", !wanted.name.empty(), {n, n, n, y, y, y}},
        Setting{"--size", wanted.size.has_value(), {n, n, y, y, n, y}},
        Setting{"--count", wanted.count.has_value(), {n, y, n, y, n, n}},
        Setting{"--limit", wanted.limit.has_value(), {y, n, n, n, n, n}},
        Setting{"--value", !wanted.values.empty(), {n, y, n, n, y, n}},
        Setting{"--huge", wanted.huge_pages, {n, n, y, n, n, n}},
        Setting{"--noreserve", wanted.no_reserve, {n, n, y, n, n, n}},
        Setting{"--lock", wanted.lock, {n, n, y, n, n, n}},
        Setting{"--allocate", wanted.allocate, {n, n, n, n, n, y}},
    };
    for (const auto& setting : settings) {
        if (!setting.given || setting.kinds[static_cast<std::size_t>(wanted.kind)]) continue;
        std::string others;
        for (const Kind kind : all_kinds) {
            if (setting.kinds[static_cast<std::size_t>(kind)])
                others += (others.empty() ? "" : ", ") + std::string(word_of(kind));
        }
        throw UsageError(std::string(setting.word) + " means nothing for the kind " + word_of(wanted.kind),
                         "it is for " + others);
    }
}

const char* noun(Kind kind) {
    switch (kind) {
    case Kind::shm: return "shared memory segment";
    case Kind::mq: return "POSIX queue";
    case Kind::psem: return "named semaphore";
    case Kind::pshm: return "shared memory object";
    default: return word_of(kind);
    }
}

void check(const NewObject& wanted) {
    check_settings(wanted);
    constexpr mode_t permission_bits = 0777;
    if ((wanted.mode & ~permission_bits) != 0)
        throw UsageError("a mode is made of permission bits, 0 to 0777");
    const std::string word = word_of(wanted.kind);
    if (!is_sysv(wanted.kind)) {
        if (wanted.name.empty())
            throw UsageError(std::string("a ") + noun(wanted.kind) + " needs a NAME",
                             "it comes after the KIND, and begins with a slash: " + word + " /jobs");
        (void)ObjectName::parse(word + ":" + wanted.name);
    }
    if ((wanted.kind == Kind::shm || wanted.kind == Kind::pshm) && !wanted.size)
        throw UsageError(std::string("a ") + noun(wanted.kind) + " needs --size", "such as --size 64M");
    if (wanted.kind == Kind::psem && wanted.values.size() > 1)
        throw UsageError("a psem is one semaphore, and has one value");
    constexpr unsigned largest = 32767; // SEMVMX
    for (const unsigned value : wanted.values) {
        if (wanted.kind == Kind::sem && value > largest)
            throw UsageError("a semaphore's value is at most " + std::to_string(largest));
    }
    const std::size_t values = wanted.values.size();
    if (wanted.kind == Kind::sem && values > 1 && wanted.count.value_or(values) != values)
        throw UsageError(std::to_string(values) + " values for " + std::to_string(*wanted.count) +
                         " semaphores");
}

// ---- Making ------------------------------------------------------------------------------------------------------

[[noreturn]] void refuse_stranger(const char* what, std::uint32_t id) {
    fail(EINVAL, "give an object to the " + std::string(what) + " " + std::to_string(id),
         "the user namespace that the IPC namespace belongs to has no mapping for it");
}

// Options with the owner and group as they are called where the object is made.
template <class Options>
Options options_of(const NewObject& wanted, const IdMap& ids) {
    Options options;
    options.mode = wanted.mode;
    options.exclusive = wanted.exclusive;
    if (wanted.owner) {
        options.owner = ids.user_inside(*wanted.owner);
        if (!options.owner) refuse_stranger("user", *wanted.owner);
    }
    if (wanted.group) {
        options.group = ids.group_inside(*wanted.group);
        if (!options.group) refuse_stranger("group", *wanted.group);
    }
    return options;
}

// Makes a new one, or finds that there is one with the key: so it is known which of the two has happened.
// @p make takes options and whether it is to be a new one.
template <class Options, class Make>
MadeObject make_or_use(Kind kind, const Options& options, Make make) {
    const auto named = [&](auto id, bool made) {
        return MadeObject{{kind, static_cast<int>(id), {}, {}}, made};
    };
    Options exclusive = options;
    exclusive.exclusive = true;
    try {
        return named(make(exclusive, true), true);
    } catch (const Error& error) {
        if (options.exclusive || error.code().value() != EEXIST) throw;
    }
    return named(make(options, false), false);
}

MadeObject make_inside(const NewObject& wanted, ino_t user_namespace) {
    const IdMap ids(user_namespace);
    switch (wanted.kind) {
    case Kind::msg:
        return make_or_use(wanted.kind, options_of<MakeOptions>(wanted, ids), [&](const auto& options, bool) {
            return make_queue(wanted.key, options, wanted.limit);
        });
    case Kind::sem: {
        const std::size_t count =
            wanted.count ? *wanted.count : std::max<std::size_t>(1, wanted.values.size());
        std::vector<unsigned short> values(wanted.values.begin(), wanted.values.end());
        if (values.size() == 1 && count <= 32767) values.resize(count, values.front());
        return make_or_use(wanted.kind, options_of<MakeOptions>(wanted, ids),
                           [&](const auto& options, bool is_new) {
                               // 0: an existing one of any size will do.
                               const bool any = !is_new && !wanted.count && wanted.values.empty();
                               return make_semaphore_set(wanted.key, any ? 0 : count, options, values);
                           });
    }
    case Kind::shm: {
        auto options = options_of<SegmentOptions>(wanted, ids);
        options.huge_pages = wanted.huge_pages;
        options.huge_page_size = wanted.huge_page_size;
        options.no_reserve = wanted.no_reserve;
        options.lock = wanted.lock;
        return make_or_use(wanted.kind, options, [&](const auto& how, bool) {
            return make_segment(wanted.key, *wanted.size, how);
        });
    }
    default: break;
    }
    const bool made =
        make_posix_queue(wanted.name, options_of<PosixMakeOptions>(wanted, ids), wanted.count, wanted.size);
    return {{wanted.kind, {}, {}, wanted.name}, made};
}

MadeObject make_file(const Place& place, const NewObject& wanted) {
    const Fd folder = shared_folder(place);
    if (!folder)
        fail(ENOENT, "find the /dev/shm of the namespace",
             "it is not known which /dev/shm belongs to it; exec runs a program that may know");
    PosixMakeOptions options;
    options.mode = wanted.mode;
    options.exclusive = wanted.exclusive;
    options.owner = wanted.owner;
    options.group = wanted.group;
    try {
        const bool made =
            wanted.kind == Kind::pshm
                ? make_shared_memory(folder.get(), wanted.name, *wanted.size, options, wanted.allocate)
                : make_named_semaphore(folder.get(), wanted.name,
                                       wanted.values.empty() ? 0 : wanted.values.front(), options);
        return {{wanted.kind, {}, {}, wanted.name}, made};
    } catch (const Error& error) {
        if (error.code().value() != EOVERFLOW) throw;
        fail(EOVERFLOW, std::string("make the ") + word_of(wanted.kind),
             "this /dev/shm belongs to a user namespace that has no mapping for you: be its user");
    }
}

} // namespace

MadeObject make_object(const Place& place, const NewObject& wanted) {
    check(wanted);
    if (wanted.kind == Kind::psem || wanted.kind == Kind::pshm) return make_file(place, wanted);
    const ino_t user_namespace = IdMap::user_namespace();
    return place.ipc.call([&] { return make_inside(wanted, user_namespace); });
}

} // namespace ipcns
