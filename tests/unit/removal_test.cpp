// SPDX-License-Identifier: Apache-2.0
// Objects made, chosen and removed, against what the kernel says by its own calls. Each test has namespaces and a /dev of
// its own, in a child process, so that nothing outlives it.
#include "posix_support.hpp"
#include "support.hpp"

#include <ipcns/error.hpp>
#include <ipcns/making.hpp>
#include <ipcns/removal.hpp>

#include <mqueue.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>

#include <chrono>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace ipcns {

// How GoogleTest prints it.
static void PrintTo(Removal::Outcome outcome, std::ostream* out) {
    *out << "outcome " << static_cast<int>(outcome);
}

namespace {

using test::in_fork;
using test::in_new_namespaces;
using test::number_of;
using Outcome = Removal::Outcome;
using namespace std::chrono_literals;

Place here() { return {Namespace::current(), {}, {}, {}, {}}; }

int checked(int result, const char* call) {
    if (result < 0) test::broken(call);
    return result;
}

int raw_queue(key_t key = 0, int mode = 0600) {
    return checked(::msgget(key, IPC_CREAT | IPC_EXCL | mode), "msgget");
}
int raw_segment(std::size_t size = 4096) {
    return checked(::shmget(IPC_PRIVATE, size, IPC_CREAT | 0600), "shmget");
}
bool queue_is_there(int id) {
    struct msqid_ds about {};
    return ::msgctl(id, IPC_STAT, &about) == 0;
}
// -1: there is no such segment.
int attached_to(int id) {
    struct shmid_ds about {};
    return ::shmctl(id, IPC_STAT, &about) == 0 ? static_cast<int>(about.shm_nattch) : -1;
}
void raw_posix_queue(const char* name, mode_t mode = 0600) {
    struct mq_attr about {};
    about.mq_maxmsg = 2;
    about.mq_msgsize = 16;
    ::close(checked(::mq_open(name, O_CREAT | O_EXCL | O_RDWR, mode, &about), "mq_open"));
}
bool posix_queue_is_there(const char* name) {
    const mqd_t queue = ::mq_open(name, O_RDONLY);
    if (queue >= 0) ::mq_close(queue);
    return queue >= 0;
}
void raw_file(const char* name) {
    const int fd = checked(::shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600), "shm_open");
    checked(::ftruncate(fd, 4096), "ftruncate");
    ::close(fd);
}
bool file_is_there(const std::string& name) { return ::access(("/dev/shm" + name).c_str(), F_OK) == 0; }

AnyRecord found(const std::string& text) {
    const ObjectName name = ObjectName::parse(text);
    const auto answers = find_objects(here(), {&name, 1});
    if (!answers.at(0).record) throw std::runtime_error("there is no " + text);
    return *answers[0].record;
}

Removal remove_one(const AnyRecord& record, const RemovalOptions& options = {}) {
    return remove_objects(here(), {&record, 1}, options).at(0);
}

std::set<std::string> names_in(const Choice& choice) {
    std::set<std::string> names;
    for (const auto& one : choice.chosen) names.insert(name_of(one.record).text());
    return names;
}

std::string shm(int id) { return "shm:" + std::to_string(id); }
std::string msg(int id) { return "msg:" + std::to_string(id); }

// In namespaces of its own, with an empty /dev/shm.
void in_own_place(const std::function<void()>& body) {
    in_new_namespaces([&] {
        test::mount_own_dev();
        body();
    });
}

#define NeedPlace() \
    if (const char* why = test::no_queues()) GTEST_SKIP() << why

// ---- Making ------------------------------------------------------------------------------------------------------

NewObject a(Kind kind) {
    NewObject object;
    object.kind = kind;
    return object;
}

TEST(Making, EveryKindAsItWasAskedFor) {
    NeedPlace();
    in_own_place([] {
        ::umask(077);
        NewObject queue = a(Kind::msg);
        queue.key = Key{0x1234};
        queue.limit = 1000;
        queue.mode = 0640;
        MadeObject made = make_object(here(), queue);
        EXPECT_TRUE(made.made);
        struct msqid_ds about_queue {};
        const int id = checked(::msgget(0x1234, 0), "msgget");
        EXPECT_EQ(made.object.text(), msg(id));
        checked(::msgctl(id, IPC_STAT, &about_queue), "msgctl");
        EXPECT_EQ(about_queue.msg_qbytes, 1000U);
        EXPECT_EQ(about_queue.msg_perm.mode & 0777U, 0640U);
        EXPECT_EQ(about_queue.msg_perm.uid, ::geteuid());

        NewObject set = a(Kind::sem);
        set.values = {3, 0, 7};
        made = make_object(here(), set);
        EXPECT_EQ(::semctl(*made.object.id, 0, GETVAL), 3);
        EXPECT_EQ(::semctl(*made.object.id, 2, GETVAL), 7);
        EXPECT_EQ(::semctl(*made.object.id, 3, GETVAL), -1);
        set.values = {5};
        set.count = 4;
        made = make_object(here(), set);
        EXPECT_EQ(::semctl(*made.object.id, 3, GETVAL), 5);

        NewObject segment = a(Kind::shm);
        segment.size = 5000;
        segment.lock = true;
        made = make_object(here(), segment);
        struct shmid_ds about {};
        checked(::shmctl(*made.object.id, IPC_STAT, &about), "shmctl");
        EXPECT_EQ(about.shm_segsz, 5000U);
        EXPECT_EQ(about.shm_perm.mode & 02000U, 02000U);

        NewObject posix_queue = a(Kind::mq);
        posix_queue.name = "/jobs";
        posix_queue.count = 3;
        posix_queue.size = 24;
        EXPECT_EQ(make_object(here(), posix_queue).object.text(), "mq:/jobs");
        struct mq_attr attributes {};
        const mqd_t opened = checked(::mq_open("/jobs", O_RDONLY), "mq_open");
        checked(::mq_getattr(opened, &attributes), "mq_getattr");
        EXPECT_EQ(attributes.mq_maxmsg, 3);
        EXPECT_EQ(attributes.mq_msgsize, 24);

        NewObject semaphore = a(Kind::psem);
        semaphore.name = "/lock";
        semaphore.values = {9};
        EXPECT_TRUE(make_object(here(), semaphore).made);
        sem_t* const lock = ::sem_open("/lock", 0);
        int value = 0;
        ASSERT_NE(lock, SEM_FAILED);
        ::sem_getvalue(lock, &value);
        EXPECT_EQ(value, 9);

        NewObject memory = a(Kind::pshm);
        memory.name = "/cache";
        memory.size = 8192;
        memory.allocate = true;
        EXPECT_TRUE(make_object(here(), memory).made);
        struct stat file {};
        checked(::stat("/dev/shm/cache", &file), "stat");
        EXPECT_EQ(file.st_size, 8192);
        EXPECT_EQ(file.st_blocks, 16);
    });
}

TEST(Making, WhatIsThereIsUsedAndNotChanged) {
    NeedPlace();
    in_own_place([] {
        const int id = checked(::semget(0x77, 5, IPC_CREAT | 0600), "semget");
        NewObject set = a(Kind::sem);
        set.key = Key{0x77};
        MadeObject made = make_object(here(), set);
        EXPECT_FALSE(made.made);
        EXPECT_EQ(made.object.id, id);
        set.count = 6;
        EXPECT_EQ(number_of([&] { (void)make_object(here(), set); }), EINVAL);
        set.count.reset();
        set.exclusive = true;
        EXPECT_EQ(number_of([&] { (void)make_object(here(), set); }), EEXIST);
        raw_posix_queue("/jobs");
        NewObject queue = a(Kind::mq);
        queue.name = "/jobs";
        EXPECT_FALSE(make_object(here(), queue).made);
        queue.exclusive = true;
        EXPECT_EQ(number_of([&] { (void)make_object(here(), queue); }), EEXIST);
    });
}

TEST(Making, WhatMeansNothingIsRefusedBeforeAnythingIsDone) {
    NeedPlace();
    in_own_place([] {
        const auto refused = [](NewObject object) {
            try {
                (void)make_object(here(), object);
            } catch (const UsageError&) {
                return true;
            }
            return false;
        };
        for (const Kind kind : all_kinds) {
            SCOPED_TRACE(word_of(kind));
            NewObject good = a(kind);
            if (is_sysv(kind)) good.key = Key{0x55};
            if (!is_sysv(kind)) good.name = "/x";
            if (kind == Kind::shm || kind == Kind::pshm) good.size = 4096;
            const auto with = [&](auto change) {
                NewObject object = good;
                change(object);
                return object;
            };
            const bool sized = kind == Kind::shm || kind == Kind::pshm || kind == Kind::mq;
            const auto expect_refused = [&](bool expected, auto change) {
                if (expected) {
                    EXPECT_TRUE(refused(with(change)));
                }
            };
            expect_refused(is_sysv(kind), [](NewObject& o) { o.name = "/x"; });
            expect_refused(!is_sysv(kind), [](NewObject& o) { o.key = Key{1}; });
            expect_refused(!is_sysv(kind), [](NewObject& o) { o.name = "x"; });
            expect_refused(!is_sysv(kind), [](NewObject& o) { o.name.clear(); });
            expect_refused(!sized, [](NewObject& o) { o.size = 1; });
            expect_refused(sized && kind != Kind::mq, [](NewObject& o) { o.size.reset(); });
            expect_refused(kind != Kind::sem && kind != Kind::mq, [](NewObject& o) { o.count = 1; });
            expect_refused(kind != Kind::msg, [](NewObject& o) { o.limit = 1; });
            expect_refused(kind != Kind::sem && kind != Kind::psem, [](NewObject& o) { o.values = {1}; });
            expect_refused(kind != Kind::shm, [](NewObject& o) { o.huge_pages = true; });
            expect_refused(kind != Kind::shm, [](NewObject& o) { o.no_reserve = true; });
            expect_refused(kind != Kind::shm, [](NewObject& o) { o.lock = true; });
            expect_refused(kind != Kind::pshm, [](NewObject& o) { o.allocate = true; });
            EXPECT_TRUE(refused(with([](NewObject& o) { o.mode = 01777; })));
        }
        NewObject set = a(Kind::sem);
        set.values = {1, 2};
        set.count = 3;
        EXPECT_TRUE(refused(set));
        set = a(Kind::sem);
        set.values = {32768};
        EXPECT_TRUE(refused(set));
        NewObject semaphore = a(Kind::psem);
        semaphore.name = "/x";
        semaphore.values = {1, 2};
        EXPECT_TRUE(refused(semaphore));
        EXPECT_EQ(::msgget(0x55, 0), -1);
        EXPECT_EQ(::semget(0x55, 0, 0), -1);
        EXPECT_EQ(::shmget(0x55, 0, 0), -1);
        EXPECT_FALSE(posix_queue_is_there("/x"));
        EXPECT_FALSE(file_is_there("/x") || file_is_there("/sem.x"));
    });
}

// ---- Removing ----------------------------------------------------------------------------------------------------

TEST(Removing, EveryKind) {
    NeedPlace();
    in_own_place([] {
        const int queue = raw_queue(0x1234);
        const int set = checked(::semget(IPC_PRIVATE, 2, IPC_CREAT | 0600), "semget");
        const int segment = raw_segment();
        raw_posix_queue("/jobs");
        raw_file("/cache");
        ASSERT_NE(::sem_open("/lock", O_CREAT | O_EXCL, 0600, 1), SEM_FAILED);
        std::vector<ObjectName> names;
        for (const std::string& text :
             {std::string("msg:0x1234"), "sem:" + std::to_string(set), shm(segment), std::string("mq:/jobs"),
              std::string("psem:/lock"), std::string("pshm:/cache"), std::string("mq:/none"),
              std::string("shm:0x99"), std::string("psem:/none")})
            names.push_back(ObjectName::parse(text));
        const auto answers = find_objects(here(), names);
        std::vector<AnyRecord> records;
        for (std::size_t i = 0; i < answers.size(); ++i) {
            EXPECT_FALSE(answers[i].error);
            EXPECT_EQ(answers[i].record.has_value(), i < 6) << i;
            if (answers[i].record) records.push_back(*answers[i].record);
        }
        EXPECT_TRUE(queue_is_there(queue)) << "only looked for";
        for (const auto& result : remove_objects(here(), records))
            EXPECT_EQ(result.outcome, Outcome::removed);
        EXPECT_FALSE(queue_is_there(queue));
        EXPECT_EQ(::semctl(set, 0, GETVAL), -1);
        EXPECT_EQ(attached_to(segment), -1);
        EXPECT_FALSE(posix_queue_is_there("/jobs"));
        EXPECT_FALSE(file_is_there("/cache") || file_is_there("/sem.lock"));
        for (const auto& result : remove_objects(here(), records)) EXPECT_EQ(result.outcome, Outcome::gone);
    });
}

TEST(Removing, AnotherOneWithTheSameIdStays) {
    NeedPlace();
    in_own_place([] {
        const int id = raw_queue();
        const AnyRecord record = found(msg(id));
        checked(::msgctl(id, IPC_RMID, nullptr), "msgctl");
        if (test::write_file("/proc/sys/kernel/msg_next_id", std::to_string(id)) != 0)
            GTEST_SKIP() << "this user may not ask for an id here";
        ASSERT_EQ(raw_queue(0, 0640), id);
        EXPECT_EQ(remove_one(record).outcome, Outcome::changed);
        EXPECT_TRUE(queue_is_there(id));
        EXPECT_EQ(remove_one(found(msg(id))).outcome, Outcome::removed);
        EXPECT_FALSE(queue_is_there(id));
    });
}

TEST(Removing, WhatWasPutInItsPlaceStays) {
    NeedPlace();
    in_own_place([] {
        raw_posix_queue("/jobs");
        raw_file("/cache");
        const AnyRecord queue = found("mq:/jobs");
        const AnyRecord memory = found("pshm:/cache");
        checked(::mq_unlink("/jobs"), "mq_unlink");
        raw_posix_queue("/jobs");
        checked(::shm_unlink("/cache"), "shm_unlink");
        raw_file("/cache");
        EXPECT_EQ(remove_one(queue).outcome, Outcome::changed);
        EXPECT_EQ(remove_one(memory).outcome, Outcome::changed);
        EXPECT_TRUE(posix_queue_is_there("/jobs"));
        EXPECT_TRUE(file_is_there("/cache"));
    });
}

TEST(Removing, ASegmentThatIsAttachedLingers) {
    NeedPlace();
    in_own_place([] {
        const int id = raw_segment();
        void* const memory = ::shmat(id, nullptr, 0);
        const AnyRecord record = found(shm(id));
        Removal result = remove_one(record, {.spare_attached = true});
        EXPECT_EQ(result.outcome, Outcome::in_use);
        EXPECT_EQ(result.attached, 1U);
        struct shmid_ds about {};
        checked(::shmctl(id, IPC_STAT, &about), "shmctl");
        EXPECT_EQ(about.shm_perm.mode & 01000U, 0U);
        result = remove_one(record);
        EXPECT_EQ(result.outcome, Outcome::lingers);
        EXPECT_EQ(result.attached, 1U);
        checked(::shmctl(id, IPC_STAT, &about), "shmctl");
        EXPECT_EQ(about.shm_perm.mode & 01000U, 01000U);
        // It is removed: nothing to choose any more.
        EXPECT_TRUE(choose(here(), {}).chosen.empty());
        checked(::shmdt(memory), "shmdt");
        EXPECT_EQ(attached_to(id), -1);
    });
}

TEST(Removing, GoesOnAfterAFailure) {
    NeedRoot();
    in_own_place([] {
        std::vector<int> ids;
        std::vector<AnyRecord> records;
        for (int i = 0; i < 3; ++i) {
            ids.push_back(raw_segment());
            struct shmid_ds about {};
            checked(::shmctl(ids.back(), IPC_STAT, &about), "shmctl");
            about.shm_perm.uid = i == 1 ? 0 : 1500;
            checked(::shmctl(ids.back(), IPC_SET, &about), "shmctl");
            records.push_back(found(shm(ids.back())));
        }
        checked(::setresuid(1500, 1500, 1500), "setresuid");
        const auto results = remove_objects(here(), records);
        EXPECT_EQ(results[0].outcome, Outcome::removed);
        EXPECT_EQ(results[1].outcome, Outcome::failed);
        ASSERT_TRUE(results[1].error);
        EXPECT_EQ(results[1].error->code().value(), EPERM);
        EXPECT_EQ(results[2].outcome, Outcome::removed);
        struct shmid_ds about {};
        EXPECT_EQ(::shmctl(ids[1], SHM_STAT_ANY, &about), ids[1]);
        EXPECT_EQ(attached_to(ids[0]), -1);
        EXPECT_EQ(attached_to(ids[2]), -1);
    });
}

// ---- Choosing ----------------------------------------------------------------------------------------------------

TEST(Choosing, FiltersCombine) {
    NeedPlace();
    in_own_place([] {
        const int keyed = raw_queue(0x1234);
        const int other = raw_queue();
        const int segment = raw_segment();
        raw_posix_queue("/jobs");
        raw_file("/cache");
        using Names = std::set<std::string>;
        EXPECT_EQ(names_in(choose(here(), {})),
                  (Names{msg(keyed), msg(other), shm(segment), "mq:/jobs", "pshm:/cache"}));
        Selection selection;
        selection.kinds = {};
        selection.kinds.add(Kind::msg);
        selection.kinds.add(Kind::pshm);
        EXPECT_EQ(names_in(choose(here(), selection)), (Names{msg(keyed), msg(other), "pshm:/cache"}));
        selection.key = Key{0x1234};
        EXPECT_EQ(names_in(choose(here(), selection)), Names{msg(keyed)});
        selection.key = Key::none;
        EXPECT_EQ(names_in(choose(here(), selection)), Names{msg(other)});
        selection.owner = ::geteuid();
        EXPECT_EQ(names_in(choose(here(), selection)), Names{msg(other)});
        selection.owner = ::geteuid() + 1;
        EXPECT_EQ(names_in(choose(here(), selection)), Names{});
        selection = {};
        selection.unused_for = 1h;
        EXPECT_EQ(names_in(choose(here(), selection)), Names{});
    });
}

TEST(Choosing, ByAge) {
    NeedPlace();
    in_own_place([] {
        const int old = raw_segment();
        const int used = raw_segment();
        const int attached = raw_segment();
        const int old_queue = raw_queue();
        const int used_queue = raw_queue();
        void* const memory = ::shmat(attached, nullptr, 0);
        raw_posix_queue("/old");
        raw_file("/old");
        std::this_thread::sleep_for(3s);
        const int fresh = raw_segment();
        raw_file("/new");
        checked(::shmdt(::shmat(used, nullptr, 0)), "shmdt");
        struct {
            long type = 1;
        } message;
        checked(::msgsnd(used_queue, &message, 0, 0), "msgsnd");
        Selection selection;
        selection.unused_for = 2s;
        const Choice choice = choose(here(), selection);
        EXPECT_EQ(names_in(choice),
                  (std::set<std::string>{shm(old), msg(old_queue), "mq:/old", "pshm:/old"}));
        EXPECT_EQ(choice.in_use, 1U);
        EXPECT_GT(last_used(found(shm(fresh))), last_used(found(shm(old))));
        EXPECT_GT(last_used(found(msg(used_queue))), last_used(found(msg(old_queue))));
        ::shmdt(memory);
    });
}

TEST(Choosing, OrphansOnly) {
    NeedPlace();
    in_own_place([] {
        // One that was left behind, one that somebody has, one whose creator runs, one of which the first goes.
        int leaked = -1;
        EXPECT_EQ(in_fork([] {
                      raw_segment();
                      return 0;
                  }),
                  0);
        struct shmid_ds about {};
        leaked = ::shmctl(0, SHM_STAT_ANY, &about);
        ASSERT_GE(leaked, 0);
        const int mine = raw_segment();
        EXPECT_EQ(in_fork([] {
                      raw_segment(8192);
                      return 0;
                  }),
                  0);
        const int attached = ::shmctl(2, SHM_STAT_ANY, &about);
        void* const memory = ::shmat(attached, nullptr, 0);
        Selection selection;
        selection.kinds = {};
        selection.kinds.add(Kind::shm);
        selection.orphans = true;
        const Choice choice = choose(here(), selection);
        EXPECT_EQ(names_in(choice), std::set<std::string>{shm(leaked)});
        ASSERT_EQ(choice.chosen.size(), 1U);
        EXPECT_EQ(remove_one(choice.chosen[0].record).outcome, Outcome::removed);
        EXPECT_EQ(attached_to(leaked), -1);
        EXPECT_EQ(attached_to(mine), 0);
        EXPECT_EQ(attached_to(attached), 1);
        ::shmdt(memory);
    });
}

TEST(Choosing, WhatIsTheHosts) {
    EXPECT_TRUE(is_of_host({Namespace::host(), {}, {}, {}, {}}));
    NeedPlace();
    in_own_place([] {
        const Place place = here();
        EXPECT_FALSE(is_of_host(place));
    });
    in_new_namespaces([] {
        // The namespace is new, the /dev/shm is the one that was there.
        ASSERT_EQ(::umount2("/dev/shm", MNT_DETACH), 0);
        const Place place = here();
        Kinds inside;
        inside.add(Kind::shm);
        EXPECT_FALSE(is_of_host(place, inside));
        Kinds files;
        files.add(Kind::pshm);
        EXPECT_TRUE(is_of_host(place, files));
    });
}

} // namespace
} // namespace ipcns
