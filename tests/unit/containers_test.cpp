// SPDX-License-Identifier: Apache-2.0
// Containers by what their runtimes write down. The states are copies of what runc 1.1 and crun 1.8 write, shortened, about
// processes of the test; /run is a private one.
#include "containers.hpp"
#include "support.hpp"

#include <ipcns/error.hpp>

#include <sys/stat.h>

#include <functional>
#include <string>
#include <vector>

using namespace std::literals;

namespace ipcns::test {
namespace {

std::string start_of(pid_t pid) {
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat");
    std::size_t at = text.rfind(')');
    for (int field = 2; field < 22; ++field) at = text.find(' ', at + 1);
    return text.substr(at + 1, text.find(' ', at + 1) - at - 1);
}

std::string runc_state(const std::string& id, const std::string& pid, const std::string& start,
                       const std::string& labels = "\"bundle=/b\"") {
    return R"({"id":")" + id + R"(","init_process_pid":)" + pid + R"(,"init_process_start":)" + start +
           R"(,"created":"2026-11-26T14:28:13.507493781Z","config":{"no_pivot_root":false,"rootfs":"/b/rootfs","umask":null,)"
           R"("mounts":[{"source":"proc","destination":"/proc","device":"proc","flags":0}],"labels":[)" +
           labels + R"(],"no_new_keyring":false},"rootless":false,"cgroup_paths":{"":"/sys/fs/cgroup/)" + id +
           R"("},"namespace_paths":{"NEWIPC":"/proc/)" + pid +
           R"(/ns/ipc"},"external_descriptors":["/dev/null"]})";
}

std::string crun_status(const std::string& pid, const std::string& start) {
    return "{\n    \"pid\": " + pid + ",\n    \"process-start-time\": " + start +
           ",\n    \"cgroup-path\": \"/libpod-x\",\n    \"scope\": \"\",\n    \"rootfs\": \"/b/merged\",\n"
           "    \"systemd-cgroup\": false,\n    \"bundle\": \"/b\",\n    \"created\": \"2026-11-26T14:28:13.507493Z\",\n"
           "    \"detached\": true,\n    \"external_descriptors\": \"[\\\"/dev/null\\\"]\"\n}\n";
}

void put(const std::string& path, const std::string& text) {
    const std::filesystem::path file(path);
    std::filesystem::create_directories(file.parent_path());
    std::filesystem::remove(file);
    if ((errno = write_file(path, text)) != 0) broken("write " + path);
}

// Runs a test with a /run, a home and a /var/lib of its own.
void on_an_empty_host(const std::function<void()>& body) {
    in_new_namespaces(
        [&] {
            for (const char* folder : {"/run", "/var/lib"})
                ASSERT_EQ(::mount("tmpfs", folder, "tmpfs", 0, "mode=755"), 0) << folder;
            ::setenv("XDG_RUNTIME_DIR", "/run/own", 1);
            ::setenv("HOME", "/run/home", 1);
            body();
        },
        true);
}

// A living process and how a state tells about it.
struct Alive : Waiting {
    Alive() : Waiting([] {}), number(std::to_string(pid())), start(start_of(pid())) {}
    std::string number;
    std::string start;
    [[nodiscard]] std::string runc(const std::string& id, const std::string& labels = "\"bundle=/b\"") const {
        return runc_state(id, number, start, labels);
    }
};

pid_t found(std::string_view text) {
    const ContainerProcess container = find_container(text);
    EXPECT_TRUE(container.process);
    return container.pid;
}

// The error, whole: "what (hint)"; a failed test when there is none.
std::string refusal(std::string_view text, int number) {
    try {
        ADD_FAILURE() << text << " is process " << find_container(text).pid;
    } catch (const Error& error) {
        EXPECT_EQ(error.code().value(), number) << error.what();
        return error.what() + " ("s + error.hint() + ")";
    }
    return {};
}

TEST(Container, IsFoundWhereEachRuntimeKeepsIt) {
    NeedNamespaces();
    on_an_empty_host([] {
        const Alive process;
        for (const std::string folder :
             {"/run/runc/", "/run/docker/runtime-runc/moby/", "/run/containerd/runc/k8s.io/",
              "/run/containerd/runc/default/", "/run/own/runc/", "/run/own/docker/runtime-runc/moby/"}) {
            put(folder + "web/state.json", process.runc("web"));
            EXPECT_EQ(found("web"), process.pid()) << folder;
            std::filesystem::remove_all(folder + "web");
            EXPECT_NE(refusal("web", ENOENT), "");
        }
        for (const std::string folder : {"/run/crun/", "/run/own/crun/", "/run/containerd/runc/k8s.io/"}) {
            put(folder + "web/status", crun_status(process.number, process.start));
            EXPECT_EQ(found("web"), process.pid()) << folder;
            std::filesystem::remove_all(folder + "web");
        }
        // One folder by two names is one container.
        put("/run/runc/web/state.json", process.runc("web"));
        ::setenv("XDG_RUNTIME_DIR", "/run", 1);
        EXPECT_EQ(found("web"), process.pid());
    });
}

TEST(Container, ByIdThenByNameThenByTheBeginningOfTheId) {
    NeedNamespaces();
    on_an_empty_host([] {
        const Alive first;
        const Alive second;
        const Alive third;
        put("/run/runc/abcdef/state.json", first.runc("abcdef"));
        EXPECT_EQ(found("abcdef"), first.pid());
        EXPECT_EQ(found("abc"), first.pid());
        EXPECT_NE(refusal("bcd", ENOENT), "");
        put("/run/runc/012345/state.json", second.runc("012345", R"("nerdctl/name=abc")"));
        EXPECT_EQ(found("abc"), second.pid());
        EXPECT_EQ(found("abcd"), first.pid());
        put("/run/crun/abc/status", crun_status(third.number, third.start));
        EXPECT_EQ(found("abc"), third.pid());
    });
}

TEST(Container, NamesOfEachEngine) {
    NeedNamespaces();
    on_an_empty_host([] {
        const Alive process;
        const Alive other;
        const auto labelled = [&](const std::string& labels) {
            put("/run/containerd/runc/k8s.io/0123/state.json", process.runc("0123", labels));
        };
        put("/run/containerd/runc/k8s.io/4567/state.json",
            other.runc("4567",
                       R"("io.kubernetes.cri.container-name=side","io.kubernetes.cri.sandbox-name=pod")"));
        for (const auto& key :
             {"nerdctl/name"s, "io.kubernetes.cri.container-name"s, "io.kubernetes.container.name"s}) {
            labelled("\"a=b\",\"" + key + "=web\"");
            EXPECT_EQ(found("web"), process.pid()) << key;
            EXPECT_NE(refusal("we", ENOENT), "") << "a name is given whole";
            labelled("\"x" + key + "=web\"");
            EXPECT_NE(refusal("web", ENOENT), "") << key;
        }
        // A pod: its sandbox has the name, the others say whose they are.
        labelled(R"("io.kubernetes.cri.container-type=sandbox","io.kubernetes.cri.sandbox-name=pod")");
        EXPECT_EQ(found("pod"), process.pid());
        EXPECT_EQ(found("side"), other.pid());
        labelled(
            R"("io.kubernetes.cri-o.ContainerType=sandbox","io.kubernetes.container.name=POD","io.kubernetes.pod.name=pod")");
        EXPECT_EQ(found("pod"), process.pid());
        EXPECT_NE(refusal("POD", ENOENT), "");

        std::filesystem::remove_all("/run/containerd");
        put("/run/crun/89ab/status", crun_status(process.number, process.start));
        for (const std::string storage : {"/var/lib", "/run/home/.local/share"}) {
            for (const std::string file :
                 {"overlay-containers/containers.json", "vfs-containers/volatile-containers.json"}) {
                const std::string path = storage + "/containers/storage/" + file;
                put(path,
                    R"([{"id":"ffff","names":["x"]},{"id":"89ab","names":["other","web"],"layer":"1"}])");
                EXPECT_EQ(found("web"), process.pid()) << path;
                EXPECT_NE(refusal("x", ENOENT), "");
                std::filesystem::remove(path);
                EXPECT_NE(refusal("web", ENOENT), "");
            }
            const std::string path = storage + "/docker/containers/89ab/config.v2.json";
            put(path, R"({"State":{"Running":true,"Pid":1},"ID":"89ab","Name":"/web"})");
            EXPECT_EQ(found("web"), process.pid()) << path;
            std::filesystem::remove(path);
        }
    });
}

TEST(Container, SeveralAreListedAndNoneIsTaken) {
    NeedNamespaces();
    on_an_empty_host([] {
        const Alive process;
        put("/run/runc/abc1/state.json", process.runc("abc1"));
        put("/run/crun/abc2/status", crun_status(process.number, process.start));
        put("/run/containerd/runc/k8s.io/abc1/state.json", process.runc("abc1"));
        const std::string by_id = refusal("abc1", EINVAL);
        EXPECT_NE(by_id.find("/run/runc/abc1, /run/containerd/runc/k8s.io/abc1"), std::string::npos) << by_id;
        const std::string by_beginning = refusal("ab", EINVAL);
        EXPECT_NE(by_beginning.find("/run/crun/abc2"), std::string::npos) << by_beginning;
        for (int i = 10; i < 40; ++i)
            put("/run/runc/many" + std::to_string(i) + "/state.json", process.runc("many"));
        const std::string many = refusal("many", EINVAL);
        EXPECT_NE(many.find("/run/runc/many17 and 22 more"), std::string::npos) << many;
    });
}

TEST(Container, StoppedAndRecycled) {
    NeedNamespaces();
    on_an_empty_host([] {
        Alive process;
        const Alive another;
        put("/run/runc/web/state.json", process.runc("web"));
        ASSERT_EQ(found("web"), process.pid());
        process.end(); // a zombie
        EXPECT_NE(refusal("web", ESRCH).find("the container has stopped"), std::string::npos);
        process.kill();
        EXPECT_NE(refusal("web", ESRCH).find("the container has stopped"), std::string::npos);

        const auto ticks = std::stoull(another.start);
        for (const auto& [start, text] : std::vector<std::pair<std::string, std::string>>{
                 {std::to_string(ticks - 1), "belongs to another process by now"},
                 {std::to_string(ticks + 1), "belongs to another process by now"},
                 {"0", "does not say when"},
                 {"null", "does not say when"},
                 {"\"" + another.start + "\"", "does not say when"}}) {
            const int number = text[0] == 'b' ? ESRCH : EBADMSG;
            put("/run/runc/web/state.json", runc_state("web", another.number, start));
            EXPECT_NE(refusal("web", number).find(text), std::string::npos) << start;
            std::filesystem::remove("/run/runc/web/state.json");
            put("/run/runc/web/status", crun_status(another.number, start));
            EXPECT_NE(refusal("web", number).find(text), std::string::npos) << start;
            std::filesystem::remove("/run/runc/web/status");
        }
        for (const std::string pid : {"0", "4294967297", "18446744073709551615"}) {
            put("/run/runc/web/state.json", runc_state("web", pid, another.start));
            EXPECT_NE(refusal("web", ESRCH), "") << pid;
            std::filesystem::remove("/run/runc/web/state.json");
        }
    });
}

TEST(Container, StatesThatAreNone) {
    NeedNamespaces();
    on_an_empty_host([] {
        const Alive process;
        const std::string folder = "/run/runc/web/";
        const std::string path = folder + "state.json";
        std::filesystem::create_directories(folder);
        EXPECT_NE(refusal("web", ENOENT).find("just being made"), std::string::npos);
        const std::string good = process.runc("web");
        for (const auto& text :
             {""s, "{}"s, "[]"s, "{\"init_process_pid\":-1}"s, "{\"init_process_pid\":\"1\"}"s,
              good.substr(0, good.size() - 1), good + "x", "{\"init_process_pid\":1," + good.substr(1),
              good + std::string(5U << 20, ' ')}) {
            put(path, text);
            EXPECT_NE(refusal("web", EBADMSG), "") << text.substr(0, 100);
            std::filesystem::remove(path);
        }
        // Nothing but a file in that very folder is read, and nothing holds us up.
        put("/run/elsewhere/state.json", good);
        std::filesystem::create_symlink("/run/elsewhere/state.json", path);
        EXPECT_NE(refusal("web", ELOOP), "");
        std::filesystem::remove(path);
        ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
        EXPECT_NE(refusal("web", EBADMSG), "");
        std::filesystem::remove(path);
        std::filesystem::create_directory(path);
        EXPECT_NE(refusal("web", EBADMSG), "");
        std::filesystem::remove_all(folder);
        std::filesystem::create_symlink("/run/elsewhere", "/run/runc/web");
        EXPECT_NE(refusal("web", ELOOP), "");
        // Not in anybody's way.
        put("/run/runc/weather/state.json", "{");
        put("/run/runc/good/state.json", process.runc("good"));
        EXPECT_EQ(found("good"), process.pid());
    });
}

TEST(Container, IsNotBelievedOfSomebodyElse) {
    NeedRoot();
    on_an_empty_host([] {
        constexpr uid_t somebody = 12345;
        const Alive roots;
        const std::string path = "/run/own/runc/web/state.json";
        const auto put_as = [&](uid_t owner, const std::string& text) {
            put(path, text);
            ASSERT_EQ(::chown(path.c_str(), owner, owner), 0);
        };
        put_as(somebody, roots.runc("web"));
        const std::string text = refusal("web", EPERM);
        EXPECT_NE(text.find("user 12345 says that it is process " + roots.number), std::string::npos) << text;
        // In a user namespace of theirs: a rootless container.
        const Waiting theirs([] {
            if (::setresgid(somebody, somebody, somebody) != 0 ||
                ::setresuid(somebody, somebody, somebody) != 0 || ::unshare(CLONE_NEWUSER) != 0)
                broken("make a user namespace");
        });
        put_as(somebody, runc_state("web", std::to_string(theirs.pid()), start_of(theirs.pid())));
        EXPECT_EQ(found("web"), theirs.pid());
        put_as(somebody + 1, runc_state("web", std::to_string(theirs.pid()), start_of(theirs.pid())));
        EXPECT_NE(refusal("web", EPERM), "");

        // Nor is a name: sudo may leave HOME as it was.
        put("/run/runc/abcd/state.json", roots.runc("abcd"));
        const std::string names =
            "/run/home/.local/share/containers/storage/overlay-containers/containers.json";
        put(names, R"([{"id":"abcd","names":["db"]}])");
        EXPECT_EQ(found("db"), roots.pid());
        ASSERT_EQ(::chown(names.c_str(), somebody, somebody), 0);
        EXPECT_NE(refusal("db", ENOENT), "");
    });
}

} // namespace
} // namespace ipcns::test
