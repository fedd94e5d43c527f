// SPDX-License-Identifier: Apache-2.0
// System V objects of the calling thread's namespace. Leans on: *_INFO returns the highest index in use and
// the number of objects; *_STAT takes an index and returns the id (shmctl(2), "Linux-specific"); the _ANY
// forms (Linux 4.17) do without read permission; a segment's memory is freed by the IPC_RMID itself when
// nobody has it attached.
#include <ipcns/sysv.hpp>

#include "error.hpp"

#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <unistd.h>

namespace ipcns {
namespace {

// The kernel's SHM_INFO, MSG_INFO and SEM_INFO answers; the commands take a pointer of another type in their
// prototypes.
int shm_information(struct shm_info& info) noexcept {
    return ::shmctl(0, SHM_INFO, reinterpret_cast<struct shmid_ds*>(&info));
}

int msg_information(struct msginfo& info) noexcept {
    return ::msgctl(0, MSG_INFO, reinterpret_cast<struct msqid_ds*>(&info));
}

union SemArgument {
    struct semid_ds* set;
    struct seminfo* info;
};

int sem_information(struct seminfo& info) noexcept {
    SemArgument argument{};
    argument.info = &info;
    return ::semctl(0, 0, SEM_INFO, argument);
}

std::uint64_t page_size() noexcept { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }

// Calls id_at for each index up to the highest and remove for each id there is; counts what went, keeps the
// first error.
template <class IdAt, class Remove>
std::size_t remove_each(int highest, int& first_error, IdAt id_at, Remove remove) {
    std::size_t removed = 0;
    for (int index = 0; index <= highest; ++index) {
        const int id = id_at(index);
        if (id < 0) continue; // an index that is not in use
        if (remove(id) == 0) {
            ++removed;
        } else if (errno != EINVAL && errno != EIDRM && first_error == 0) {
            first_error = errno;
        }
    }
    return removed;
}

} // namespace

SysvUsage sysv_usage() {
    SysvUsage usage;
    struct shm_info shm {};
    if (shm_information(shm) >= 0) {
        usage.segments = static_cast<std::size_t>(shm.used_ids);
        usage.segment_bytes = static_cast<std::uint64_t>(shm.shm_tot) * page_size();
    }
    struct msginfo msg {};
    if (msg_information(msg) >= 0) usage.queues = static_cast<std::size_t>(msg.msgpool);
    struct seminfo sem {};
    if (sem_information(sem) >= 0) {
        usage.semaphore_sets = static_cast<std::size_t>(sem.semusz);
        usage.semaphores = static_cast<std::size_t>(sem.semaem);
    }
    return usage;
}

SysvUsage remove_all_sysv() {
    SysvUsage removed;
    int first_error = 0;

    struct shm_info shm {};
    const int segments = shm_information(shm);
    removed.segments = remove_each(
        segments, first_error,
        [](int index) {
            struct shmid_ds about {};
            return ::shmctl(index, SHM_STAT_ANY, &about);
        },
        [&removed](int id) {
            struct shmid_ds about {};
            const bool known = ::shmctl(id, IPC_STAT, &about) == 0;
            const int result = ::shmctl(id, IPC_RMID, nullptr);
            if (result == 0 && known)
                removed.segment_bytes += (about.shm_segsz + page_size() - 1) / page_size() * page_size();
            return result;
        });

    struct msginfo msg {};
    const int queues = msg_information(msg);
    removed.queues = remove_each(
        queues, first_error,
        [](int index) {
            struct msqid_ds about {};
            return ::msgctl(index, MSG_STAT_ANY, &about);
        },
        [](int id) { return ::msgctl(id, IPC_RMID, nullptr); });

    struct seminfo sem {};
    const int sets = sem_information(sem);
    removed.semaphore_sets = remove_each(
        sets, first_error,
        [](int index) {
            struct semid_ds about {};
            SemArgument argument{};
            argument.set = &about;
            return ::semctl(index, 0, SEM_STAT_ANY, argument);
        },
        [](int id) { return ::semctl(id, 0, IPC_RMID); });

    if (first_error != 0) fail(first_error, "remove the System V objects of a namespace");
    return removed;
}

} // namespace ipcns
