// SPDX-License-Identifier: Apache-2.0
// A shell in a new IPC namespace: the first of the two programs that tutorials on IPC namespaces show.
#include <ipcns/launch.hpp>

#include <cstdio>
#include <unistd.h>

int main() {
    try {
        std::printf("Parent[%d] - create a container!\n", getpid());
        std::fflush(stdout);

        ipcns::LaunchOptions options;
        options.arguments = {"/bin/bash", "-c",
                             "echo \"Container[$$] - inside the container!\"; exec /bin/bash"};
        const ipcns::Supervisor supervisor; // passes on signals and the terminal
        ipcns::Child container = supervisor.launch(options);
        const ipcns::ExitStatus status = supervisor.wait(container);
        container.clean_up(); // whatever the shell left: queues, segments, semaphores

        std::printf("Parent[%d] - container exited!\n", getpid());
        return status.shell_status();
    } catch (const ipcns::Error& error) {
        std::fprintf(stderr, "container: %s\n%s\n", error.what(), error.hint().c_str());
        return 1;
    }
}
