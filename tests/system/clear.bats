#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns clear: all six kinds go from a named namespace, and nothing from anywhere else.

# shellcheck disable=SC2030,SC2031 # a test is a subshell, and its variables end with it
# shellcheck disable=SC2154 # stderr is bats'; pid, marker and programs are names.bash's

load common
load names
load terminal

teardown() {
    end_terminals
    names_teardown
}

# What the kernel says lies in a namespace: lines of /proc/sysvipc, whether the POSIX queue is there, files in /dev/shm.
lies_in() { # NAME
    # shellcheck disable=SC2016 # for the inner shell
    ipcns exec "$1" -- sh -c '
        for kind in msg sem shm; do printf "%s " $(($(wc -l <"/proc/sysvipc/$kind") - 1)); done
        if "$1" has mq /jobs; then printf "queue "; else printf "no "; fi
        find /dev/shm -mindepth 1 | wc -l' - "$programs/posix_ipc"
}

empty='0 0 0 no 0'
full='3 2 1 queue 7'

# Makes $name with some of every kind in it.
full_namespace() {
    need_names
    need_program posix_ipc
    name=$(unique_name)
    ipcns create "$name"
    # shellcheck disable=SC2016 # for the inner shell
    ipcns exec "$name" -- sh -c '
        ipcmk -Q; ipcmk -Q; ipcmk -Q; ipcmk -S 5; ipcmk -S 5; ipcmk -M 64K
        "$1" make mq /jobs && "$1" make psem /lock && "$1" make pshm /memory &&
            mkdir -p /dev/shm/folder/inner && : >/dev/shm/folder/inner/file && : >"/dev/shm/a b" &&
            ln -s /etc/passwd /dev/shm/link' - "$programs/posix_ipc" >/dev/null
    expect_equal "$(lies_in "$name")" "$full"
}

@test "all six kinds go, and name, namespace and limits stay" {
    full_namespace
    mark_host_shm
    ns=$(ns_of_name "$name")
    run --separate-stderr ipcns clear --yes "$name"
    expect_status 0
    expect_output ''
    [[ -z $stderr ]]
    expect_equal "$(lies_in "$name")" "$empty"
    expect_equal "$(ns_of_name "$name")" "$ns"
    [[ -e $marker && -s /etc/passwd ]]
    ipcns exec "$name" -- ipcmk -Q
    # Where there is nothing, nothing is asked.
    ipcns clear -y "$name"
    run --separate-stderr ipcns clear "$name"
    expect_status 0
    [[ -z $stderr ]]
}

@test "without a terminal it wants --yes" {
    full_namespace
    run --separate-stderr ipcns clear "$name" <<<y
    expect_status 1
    expect_output ''
    expect_error 'nothing was removed'
    [[ $stderr == *'hint: --yes '* ]]
    expect_equal "$(lies_in "$name")" "$full"
}

@test "--dry-run and -v say what it is about" {
    full_namespace
    run --separate-stderr ipcns clear --dry-run --yes "$name"
    expect_status 0
    expect_output "would remove 3 message queues, 2 semaphore sets, 1 shared memory segment (64K), 1 POSIX queue, 5 files in /dev/shm (4K) from $name"
    expect_equal "$(lies_in "$name")" "$full"
    run --separate-stderr ipcns clear -v -y "$name"
    expect_output ''
    [[ $stderr == "ipcns: removed 3 message queues, 2 semaphore sets, 1 shared memory segment (64K), 1 POSIX queue, "*" from $name" ]]
    run ipcns clear --dry-run "$name"
    expect_output "would remove nothing from $name"
}

@test "on a terminal it asks, says who is inside, and takes only a yes" {
    full_namespace
    stay ipcns exec "$name" --
    start_terminal
    see_prompt
    for answer in '' n no x; do
        enter "'$IPCNS' clear $name || echo status=\$?"
        see '.*Inside are .*sleep 1000.*\[y/N\]'
        enter "$answer"
        see 'status=1'
        enter clear
        see_prompt
    done
    expect_equal "$(lies_in "$name")" "$full"
    enter "'$IPCNS' clear $name && echo done"
    see 'Remove 3 message queues, .* from .*'
    enter yes
    see 'done'
    expect_equal "$(lies_in "$name")" "$empty"
    kill -0 "$pid"
}

@test "only a name will do, and not the host's" {
    need_names
    stay ipcns run --
    for target in self host "$pid" "@$(inode "$(ns_of "$pid")")" "/proc/$pid/ns/ipc"; do
        run --separate-stderr ipcns clear --yes "$target"
        expect_status 2
        expect_error 'ipcns: clear takes the name of a namespace'
        [[ $stderr == *hint:* ]]
    done
    [[ $stderr == *'ipcns attach NAME '* ]]
    name=$(unique_name)
    ipcns create "$name"
    run --separate-stderr ipcns clear --yes "@$(inode "$(ns_of_name "$name")")"
    expect_status 2
    [[ $stderr == *"this one is called $name" ]]
    for words in '' 'a b' '--frob' '--yes' 'x/y'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns clear $words
        expect_status 2
    done
    run --separate-stderr ipcns clear --yes there-is-no-such-name
    expect_status 1
    expect_error there-is-no-such-name
}

# Runs a script as process 1 of a host of its own, so that nothing of the real one can go, whatever is wrong.
as_host() { # SCRIPT [ARGUMENT...]
    local script=$1
    shift
    # shellcheck disable=SC2016 # for the inner shell
    unshare --ipc --mount --propagation private --pid --fork --mount-proc sh -c '
        set -eu
        mount -t tmpfs -o mode=755 tmpfs /run
        mount -t tmpfs tmpfs /dev/shm
        : >/dev/shm/of-the-host
        ipcmk -Q >/dev/null
        count() { echo $(($(wc -l </proc/sysvipc/msg) - 1)) "$(ls /dev/shm)"; }
        '"$script" - "$@" 3>&-
}

# bats test_tags=root
@test "a name of the host's own namespace is not cleared" {
    # shellcheck disable=SC2016 # for the inner shell
    run --separate-stderr as_host '
        "$IPCNS" attach ours host
        for option in --yes --dry-run; do "$IPCNS" clear $option ours || echo $?; done
        count'
    expect_status 0
    expect_output $'2\n2\n1 of-the-host'
    [[ $stderr == *"ours is the host's own namespace"* ]]
}

# bats test_tags=root
@test "the /dev/shm of the host is not cleared with a namespace that uses it" {
    # shellcheck disable=SC2016 # for the inner shell
    run --separate-stderr as_host '
        unshare --ipc sh -c "ipcmk -Q >/dev/null; touch /run/ready; exec sleep 100" &
        until [ -e /run/ready ]; do sleep 0.02; done
        "$IPCNS" attach theirs $!
        "$IPCNS" clear --yes -v theirs
        # From where another folder is on /dev/shm, attach takes that of the process along.
        unshare --mount --propagation slave sh -eu -c "
            mount -t tmpfs tmpfs /dev/shm
            \"\$IPCNS\" attach again $!
            ls /run/ipcns/again/shm
            \"\$IPCNS\" clear --yes again"
        nsenter --ipc --target $! sh -c "wc -l </proc/sysvipc/msg"
        count'
    expect_status 0
    expect_output $'of-the-host\n1\n1 of-the-host'
    [[ $stderr == *'theirs has no /dev/shm of its own'*'removed 1 message queue from theirs'*'again has no /dev/shm of its own'* ]]
}

# bats test_tags=root
@test "an ordinary user clears its own, and not root's" {
    full_namespace
    somebody_else
    run --separate-stderr as_somebody_else ipcns clear --yes "$name"
    expect_status 1
    expect_error 'ipcns: '
    expect_equal "$(lies_in "$name")" "$full"
}
