// SPDX-License-Identifier: Apache-2.0
// What the tests of snapshots share: a place that nobody else sees, and all that the kernel says of what is in a
// namespace, asked by plain system calls.
#pragma once

#include "programs.hpp"

#include <ipcns/registry.hpp>

#include <dirent.h>
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace ipcns::test {

/// One line for each object and each limit, by what it is called.
using Listing = std::map<std::string, std::string>;

inline std::string text_of(const char* format, auto... numbers) {
    std::array<char, 512> text;
    std::snprintf(text.data(), text.size(), format, numbers...);
    return text.data();
}

/// A number that stands for bytes (FNV-1a).
inline std::uint64_t sum_of(std::span<const unsigned char> bytes, std::uint64_t sum = 14695981039346656037U) {
    for (const unsigned char byte : bytes) sum = (sum ^ byte) * 1099511628211U;
    return sum;
}

inline std::string about_bytes(std::span<const unsigned char> bytes) {
    return text_of("%zu bytes %016llx", bytes.size(), static_cast<unsigned long long>(sum_of(bytes)));
}

inline std::string about(const struct ipc_perm& who) {
    return text_of("key=%08x owner=%u:%u mode=%04o", static_cast<unsigned>(who.__key), who.uid, who.gid,
                   static_cast<unsigned>(who.mode));
}

/// The calling thread's System V objects, with their contents. Reading a segment gives memory to all of it; a message that
/// is longer than msgmax can't be copied.
inline void list_sysv(Listing& all, bool contents = true) {
    struct msginfo queues {};
    for (int i = 0, last = ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&queues)); i <= last;
         ++i) {
        struct msqid_ds about_queue {};
        const int id = ::msgctl(i, MSG_STAT_ANY, &about_queue);
        if (id < 0) continue;
        std::string line =
            about(about_queue.msg_perm) + text_of(" limit=%lu messages=%lu",
                                                  static_cast<unsigned long>(about_queue.msg_qbytes),
                                                  static_cast<unsigned long>(about_queue.msg_qnum));
        std::vector<unsigned char> message(sizeof(long) + about_queue.__msg_cbytes + 1);
        for (long k = 0; contents; ++k) {
            constexpr int copy = 040000; // MSG_COPY
            const ssize_t length = ::msgrcv(id, message.data(), message.size() - sizeof(long), k,
                                            copy | IPC_NOWAIT | MSG_NOERROR);
            if (length < 0) break;
            long type = 0;
            std::memcpy(&type, message.data(), sizeof type);
            line += text_of("\n  %ld ", type) +
                    about_bytes(std::span(message).subspan(sizeof type, static_cast<std::size_t>(length)));
        }
        if (contents && std::count(line.begin(), line.end(), '\n') != static_cast<long>(about_queue.msg_qnum))
            broken("copy messages");
        all[text_of("msg:%d", id)] = line;
    }
    struct seminfo sets {};
    union semun {
        int value;
        struct semid_ds* set;
        unsigned short* array;
        struct seminfo* info;
    } argument{};
    argument.info = &sets;
    for (int i = 0, last = ::semctl(0, 0, SEM_INFO, argument); i <= last; ++i) {
        struct semid_ds about_set {};
        argument.set = &about_set;
        const int id = ::semctl(i, 0, SEM_STAT_ANY, argument);
        if (id < 0) continue;
        std::vector<unsigned short> values(about_set.sem_nsems);
        argument.array = values.data();
        const bool read = ::semctl(id, 0, GETALL, argument) == 0;
        all[text_of("sem:%d", id)] =
            about(about_set.sem_perm) + text_of(" count=%zu ", values.size()) +
            (read ? about_bytes({reinterpret_cast<const unsigned char*>(values.data()), 2 * values.size()})
                  : "not readable");
    }
    struct shm_info segments {};
    for (int i = 0, last = ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&segments)); i <= last;
         ++i) {
        struct shmid_ds about_segment {};
        constexpr int stat_any = 15; // SHM_STAT_ANY
        const int id = ::shmctl(i, stat_any, &about_segment);
        if (id < 0) continue;
        std::string line = about(about_segment.shm_perm) + text_of(" size=%zu ", about_segment.shm_segsz);
        if (contents) {
            void* const start = ::shmat(id, nullptr, SHM_RDONLY);
            if (start == reinterpret_cast<void*>(-1)) broken("attach a segment");
            line += about_bytes({static_cast<const unsigned char*>(start), about_segment.shm_segsz});
            ::shmdt(start);
        }
        // What is removed has lost its key, and is not saved.
        if ((about_segment.shm_perm.mode & SHM_DEST) == 0) all[text_of("shm:%d", id)] = line;
    }
}

inline std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
    if (!open) broken("open " + folder);
    while (const struct dirent* const entry = ::readdir(open.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") names.push_back(name);
    }
    return names;
}

/// The calling thread's POSIX queues. Their messages are received, and they are removed.
inline void take_queues(Listing& all, const std::string& folder) {
    for (const auto& name : names_in(folder)) {
        const mqd_t queue = ::mq_open(("/" + name).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (queue < 0) broken("open a queue");
        struct mq_attr attributes {};
        struct stat who {};
        if (::mq_getattr(queue, &attributes) != 0 || ::fstat(queue, &who) != 0) broken("look at a queue");
        std::string line =
            text_of("owner=%u:%u mode=%04o of=%ld size=%ld messages=%ld", who.st_uid, who.st_gid,
                    who.st_mode & 07777U, attributes.mq_maxmsg, attributes.mq_msgsize, attributes.mq_curmsgs);
        std::vector<char> message(static_cast<std::size_t>(attributes.mq_msgsize));
        for (unsigned priority = 0;;) {
            const ssize_t length = ::mq_receive(queue, message.data(), message.size(), &priority);
            if (length < 0) break;
            line += text_of("\n  %u ", priority) +
                    about_bytes({reinterpret_cast<const unsigned char*>(message.data()),
                                 static_cast<std::size_t>(length)});
        }
        ::mq_close(queue);
        // All queues of a user share RLIMIT_MSGQUEUE; those of a namespace that is gone, too, until the kernel gets to it.
        ::mq_unlink(("/" + name).c_str());
        all["mq:/" + name] = line;
    }
}

/// What lies in a /dev/shm. A named semaphore is told by its bytes: its value is in the first four, and who waits behind.
inline void list_files(Listing& all, const std::string& folder) {
    for (const auto& name : names_in(folder)) {
        const std::string path = folder + "/" + name;
        struct stat who {};
        if (::lstat(path.c_str(), &who) != 0) broken("look at " + path);
        const std::string bytes = read_file(path);
        all["file " + name] =
            text_of("owner=%u:%u mode=%04o ", who.st_uid, who.st_gid, who.st_mode & 07777U) +
            about_bytes({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
    }
}

inline const std::vector<std::string>& limit_files() {
    static const std::vector<std::string> files = {"kernel/msgmax",
                                                   "kernel/msgmnb",
                                                   "kernel/msgmni",
                                                   "kernel/sem",
                                                   "kernel/shmall",
                                                   "kernel/shmmax",
                                                   "kernel/shmmni",
                                                   "kernel/shm_rmid_forced",
                                                   "fs/mqueue/msg_default",
                                                   "fs/mqueue/msg_max",
                                                   "fs/mqueue/msgsize_default",
                                                   "fs/mqueue/msgsize_max",
                                                   "fs/mqueue/queues_max"};
    return files;
}

inline void list_limits(Listing& all) {
    for (const auto& file : limit_files()) all["limit " + file] = read_file("/proc/sys/" + file);
}

/// Everything in the namespace that a thread is in.
inline Listing take_all(const std::string& shared, const std::string& queues, bool limits = true) {
    Listing all;
    if (limits) list_limits(all);
    (void)write_file("/proc/sys/kernel/msgmax", "1000000");
    list_sysv(all);
    take_queues(all, queues);
    list_files(all, shared);
    return all;
}

/// Runs a function on a thread that has moved into another namespace.
template <class Function>
void inside(const Namespace& ipc, Function function) {
    std::exception_ptr thrown;
    std::thread([&] {
        try {
            if (::setns(ipc.fd(), CLONE_NEWIPC) != 0) broken("enter a namespace");
            function();
        } catch (...) {
            thrown = std::current_exception();
        }
    }).join();
    if (thrown) std::rethrow_exception(thrown);
}

/// Everything in a namespace of this name.
inline Listing take_named(const OwnRegistry& names, const std::string& name, bool limits = true) {
    Listing all;
    inside(names->open(name).ipc,
           [&] { all = take_all(names / name + "/shm", names / name + "/mqueue", limits); });
    return all;
}

/// Two listings differ: what in them does.
inline std::string difference(const Listing& a, const Listing& b) {
    std::string text;
    for (const auto& [what, line] : a) {
        const auto found = b.find(what);
        if (found == b.end())
            text += "only before: " + what + ": " + line + "\n";
        else if (found->second != line)
            text += what + ":\n before: " + line + "\n after:  " + found->second + "\n";
    }
    for (const auto& [what, line] : b) {
        if (!a.contains(what)) text += "only after: " + what + ": " + line + "\n";
    }
    return text;
}

/// A namespace with all that belongs to it, in a process in mounts of its own (in_new_namespaces()): the thread that makes
/// it is in it. At the end of the scope the mounts go, and the segments, queues and sets with the namespace.
class OwnPlace {
public:
    OwnPlace() {
        if (::unshare(CLONE_NEWIPC) != 0) broken("make a namespace");
        if (::mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777,size=1g") != 0)
            broken("mount a /dev/shm");
        if (::mount("mqueue", queues_.path().c_str(), "mqueue", 0, nullptr) != 0) broken("mount queues");
    }
    ~OwnPlace() {
        ::umount2("/dev/shm", MNT_DETACH);
        ::umount2(queues_.path().c_str(), MNT_DETACH);
    }
    OwnPlace(const OwnPlace&) = delete;
    OwnPlace& operator=(const OwnPlace&) = delete;

    [[nodiscard]] static Place place() {
        return {Namespace::current(),
                {},
                Fd(::open("/dev/shm", O_PATH | O_DIRECTORY | O_CLOEXEC)),
                {},
                "/dev/shm"};
    }
    [[nodiscard]] std::string queues() const { return queues_.path(); }
    [[nodiscard]] Listing take(bool limits = true) const { return take_all("/dev/shm", queues(), limits); }

private:
    TempFolder queues_;
};

/// A file without a name.
inline Fd memory_file(std::string_view bytes = {}) {
    Fd file(::memfd_create("snapshot", MFD_CLOEXEC));
    if (!file || ::write(file.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
        broken("make a file");
    ::lseek(file.get(), 0, SEEK_SET);
    return file;
}

inline std::string bytes_of(int file) {
    struct stat about_file {};
    if (::fstat(file, &about_file) != 0) broken("look at a file");
    std::string bytes(static_cast<std::size_t>(about_file.st_size), '\0');
    if (::pread(file, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        broken("read a file");
    return bytes;
}

} // namespace ipcns::test
