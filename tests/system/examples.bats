#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The two programs that tutorials on IPC namespaces show, examples/container.cpp and examples/join_ns.cpp, driven
# through a terminal; and the one that docs/library.md shows.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside
load terminal

setup() {
    common_setup
    need_run
    need tmux
    EXAMPLES=$IPCNS_BUILD/examples
    export EXAMPLES
    [[ -x $EXAMPLES/container && -x $EXAMPLES/join_ns ]] || skip "the examples are not built in $IPCNS_BUILD"
    # The shells that the examples start are plain `/bin/bash`: this is what they read.
    export HOME=$work
    printf 'PS1="here> "\nHISTFILE=\n' >.bashrc
}

teardown() {
    end_terminals
    common_teardown
}

# Two terminals: the container in one, and another.
start_container() {
    start_terminal
    outside=$TERMINAL
    start_terminal
    the_container=$TERMINAL
    enter '"$EXAMPLES/container"; echo "returned $?"'
    see_prompt 'here>'
    see 'Parent\[[0-9]+\] - create a container!'
    see 'Container\[[0-9]+\] - inside the container!'
    parent=$(screen | grep -oP '^Parent\[\K[0-9]+(?=\] - create)')
    container=$(screen | grep -oP '^Container\[\K[0-9]+')
}

# The first program's shell makes a queue; the second, joined by $1, sees it, and nobody else.
join_and_compare() { # ARGUMENT
    TERMINAL=$the_container
    enter 'ipcmk -Q; echo $$ >container.pid; readlink /proc/$$/ns/ipc >container.ns'
    see 'Message queue id: 0'
    wait_until 10 test -s container.ns
    key=$(keys q ipcns exec --ipc-only "$container" --)
    [[ $key == 0x* && $(<container.pid) == "$container" ]]

    TERMINAL=$outside
    enter 'ipcs -q >host.queues; echo looked'
    see looked
    run ! grep -q -- "$key" host.queues

    enter "\"\$EXAMPLES/join_ns\" $1; echo \"joined \$?\""
    see_prompt 'here>'
    enter 'ipcs -q >joined.queues; readlink /proc/$$/ns/ipc >joined.ns'
    wait_until 10 test -s joined.ns
    grep -q -- "^$key " joined.queues
    [[ $(<joined.ns) == "$(<container.ns)" && $(<joined.ns) == ipc:* && $(<joined.ns) != "$(host_ns)" ]]
    enter 'exit 4'
    see 'joined 4'
}

end_container() {
    TERMINAL=$the_container
    enter 'exit 6'
    see "Parent\[$parent\] - container exited!"
    see 'returned 6'
}

@test "container and join_ns by process id" {
    start_container
    [[ $(<"/proc/$parent/comm") == container ]]
    [[ $(readlink -f "/proc/$container/exe") == "$(readlink -f /bin/bash)" ]]
    [[ $(ps -o ppid= -p "$container" | tr -d ' ') == "$parent" ]]
    join_and_compare "$container"
    end_container
}

@test "container and join_ns by path" {
    start_container
    join_and_compare "/proc/$container/ns/ipc"
    end_container
}

@test "container removes what the shell left, and has job control" {
    start_container
    keep_namespace "$container"
    enter 'ipcmk -M 4096; sleep 100'
    see 'Shared memory id: 0'
    press C-z
    see '\[1\]\+  Stopped  .*'
    # fg, and not wait: bash goes on at once where it has not heard yet that the stopped job was killed.
    enter 'kill %1; fg; echo ended'
    see ended
    [[ -n $(kept_contents) ]]
    end_container
    [[ -z $(kept_contents) ]]
}

@test "join_ns says what is wrong" {
    run --separate-stderr "$EXAMPLES/join_ns"
    expect_status 2
    [[ $stderr == Usage* ]]
    run --separate-stderr "$EXAMPLES/join_ns" /no/such/path
    expect_status 1
    [[ $stderr == 'join_ns: '*/no/such/path* ]]
}

@test "orphans runs a program in a name, and says and removes what it left" {
    name=$(unique_name)
    run -3 "$EXAMPLES/orphans" "$name" sh -c 'ipcmk -M 8K >/dev/null; "$IPCNS" identify -n -o NAME | tr -d " "; exit 3'
    expect_output "$name"$'\nleft: shm:0'
    [[ ! -e $(registry)/$name ]]
    run --separate-stderr "$EXAMPLES/orphans" 'no name' true
    expect_status 1
    [[ $stderr == 'orphans: '*'no name'* ]]
}

@test "each of the two is under 40 lines" {
    for file in container join_ns; do
        (($(wc -l <"$IPCNS_TREE/examples/$file.cpp") < 40))
    done
}
