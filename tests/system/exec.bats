#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# exec: every form of TARGET, what of the place is entered and what stays the caller's, --all, the options, the status.

# shellcheck disable=SC2154 # stderr is bats'; marker, pid, open and other are names.bash's

load common
load names

setup() {
    common_setup
    need_names
}

teardown() { names_teardown; }

here='readlink /proc/self/ns/ipc; cat /dev/shm/note 2>/dev/null || echo no note'

@test "exec enters by name, process, number, link text and file, with the right /dev/shm" {
    name=$(unique_name)
    ipcns create "$name"
    ipcns exec "$name" -- sh -c 'echo hello >/dev/shm/note'
    stay ipcns exec "$name" --
    ns=$(ns_of "$pid")
    for target in "$name" "$pid" "@$(inode "$ns")" "$ns" "/proc/$pid/ns/ipc" "$(registry)/$name/ipc"; do
        run --separate-stderr ipcns exec "$target" -- sh -c "$here"
        expect_status 0
        expect_output "$ns"$'\nhello'
        [[ -z $stderr ]]
    done
    cd "$(registry)/$name"
    run -0 ipcns exec ./ipc sh -c "$here"
    expect_output "$ns"$'\nhello'
    # Without a name, a number or a file means a process's /dev/shm.
    ipcns delete "$name"
    cd "$work"
    for target in "@$(inode "$ns")" "/proc/$pid/ns/ipc"; do
        run -0 ipcns exec "$target" -- sh -c "$here"
        expect_output "$ns"$'\nhello'
    done
}

@test "exec self and exec host" {
    name=$(unique_name)
    ipcns create "$name"
    run -0 ipcns exec self -- readlink /proc/self/ns/ipc
    expect_output "$(host_ns)"
    run -0 ipcns exec host -- readlink /proc/self/ns/ipc
    expect_output "$(host_ns)"
    run -0 ipcns exec "$name" -- "$IPCNS" exec self -- readlink /proc/self/ns/ipc
    expect_output "$(ns_of_name "$name")"
}

# In a pid namespace of its own, since not every root may look at process 1.
# bats test_tags=root
@test "exec host leads back out, to the /dev/shm of process 1 too" {
    # shellcheck disable=SC2016 # for the inner shell
    run --separate-stderr unshare --pid --fork --mount-proc --mount --propagation slave sh -c '
        mount -t tmpfs -o mode=755 tmpfs /run && mount -t tmpfs tmpfs /dev/shm && : >/dev/shm/first || exit
        "$IPCNS" create x
        "$IPCNS" exec x -- "$IPCNS" exec host -- sh -c "readlink /proc/self/ns/ipc; ls /dev/shm"
        "$IPCNS" exec x -- ls /dev/shm
        "$IPCNS" delete x' 3>&-
    expect_status 0
    expect_output "$(host_ns)"$'\nfirst'
    [[ -z $stderr ]]
}

# A process in a mount namespace of its own: another /tmp, and a /dev/shm.
start_elsewhere() { # UNSHARE-OPTION...
    local enter=(unshare --mount --propagation slave)
    is_root || enter+=(--user --map-root-user)
    # shellcheck disable=SC2016 # for the inner shell
    stay "${enter[@]}" "$@" sh -c 'mount -t tmpfs tmpfs /dev/shm && echo theirs >/dev/shm/note &&
        cat "$0" >"$1/outside" && mkdir inner && mount -t tmpfs tmpfs inner && : >inner/theirs && shift && exec "$@"' \
        /proc/self/mountinfo "$work"
}

@test "exec PID takes the process's /dev/shm, and nothing else of its mounts" {
    start_elsewhere --ipc
    run --separate-stderr ipcns exec "$pid" -- sh -c "$here; ls -A inner"
    expect_status 0
    expect_output "$(ns_of "$pid")"$'\ntheirs'
    # What is done there is done in that process's /dev/shm.
    ipcns exec "$pid" -- sh -c 'echo ours >/dev/shm/answer'
    expect_equal "$(cat "/proc/$pid/root/dev/shm/answer")" ours
    # And --ipc-only takes not even that.
    run ipcns exec --ipc-only "$pid" -- sh -c "$here"
    expect_status 0
    expect_output "$(ns_of "$pid")"$'\nno note'
}

# bats test_tags=root
@test "exec PID takes the process's /dev/shm also where the IPC namespace is the caller's" {
    start_elsewhere
    run --separate-stderr ipcns exec "$pid" -- sh -c "$here; ls -A inner"
    expect_status 0
    expect_output "$(host_ns)"$'\ntheirs'
}

# bats test_tags=root
@test "the mounts of an exec are not seen outside, later ones of the host are seen inside" {
    name=$(unique_name)
    ipcns create "$name"
    # Names come and go meanwhile.
    mounts() { awk '$5 !~ "^/run/ipcns/" {print $5}' /proc/self/mountinfo | sort; }
    before=$(mounts)
    stay ipcns exec "$name" --
    expect_equal "$(mounts)" "$before"
    expect_equal "$(nsenter --mount="/proc/$pid/ns/mnt" findmnt -n -o FSTYPE /dev/shm | tail -n 1)" tmpfs
}

@test "--ipc-only leaves /dev/shm alone" {
    name=$(unique_name)
    mark_host_shm
    ipcns create "$name"
    run ipcns exec --ipc-only "$name" -- sh -c "readlink /proc/self/ns/ipc; ls $marker"
    expect_status 0
    expect_output "$(ns_of_name "$name")"$'\n'"$marker"
    run ipcns exec "$name" -- ls "$marker"
    [[ $status != 0 ]]
}

# bats test_tags=user
@test "the caller stays who it is, --root makes it root in the user namespace that owns the name" {
    name=$(unique_name)
    ipcns create "$name"
    run -0 ipcns exec "$name" -- sh -c 'id -u; id -g; grep -c . /proc/self/uid_map; grep ^CapEff: /proc/self/status'
    expect_output "$EUID"$'\n'"$(id -g)"$'\n1\nCapEff:\t0000000000000000'
    run -0 ipcns exec --root "$name" -- id -u
    expect_output 0
    ipcns exec --root "$name" -- sh -c 'echo 77 >/proc/sys/kernel/shmmni'
    run -0 ipcns exec "$name" -- cat /proc/sys/kernel/shmmni
    expect_output 77
}

@test "--chdir, --env and --unset" {
    name=$(unique_name)
    ipcns create "$name"
    # shellcheck disable=SC2016 # for the inner shell
    run -0 env A=1 B=2 "$IPCNS" exec --chdir / --env C=3 --env D= --env B=4 --unset A "$name" -- \
        sh -c 'pwd; echo "${A-none} $B $C ${D-none}"'
    expect_output $'/\nnone 4 3 '
    run -0 ipcns exec "$name" pwd
    expect_output "$PWD"
    run --separate-stderr ipcns exec --chdir /nonexistent "$name" -- touch made
    expect_status 125
    expect_error /nonexistent
    for bad in --env=X --env==x --env; do
        run --separate-stderr ipcns exec "$bad" "$name" -- touch made
        [[ $status == 125 ]]
    done
    [[ ! -e made ]]
}

@test "-v says what is entered" {
    name=$(unique_name)
    ipcns create "$name"
    run --separate-stderr ipcns exec -v "$name" -- true
    expect_status 0
    [[ $stderr == *"$(inode "$(ns_of_name "$name")")"*"$name"*/dev/shm* ]]
    run --separate-stderr ipcns exec -v --ipc-only "$name" -- true
    [[ $stderr == *'mounts left alone'* ]]
}

@test "the status is the program's own, and ipcns becomes the program" {
    name=$(unique_name)
    ipcns create "$name"
    run -7 ipcns exec "$name" -- sh -c 'exit 7'
    run -255 ipcns exec "$name" -- sh -c 'exit 255'
    # shellcheck disable=SC2016 # for the inner shell
    run -143 ipcns exec "$name" -- sh -c 'kill -TERM $$'
    run --separate-stderr -127 ipcns exec "$name" -- no-such-program
    expect_error no-such-program
    : >plain
    run --separate-stderr -126 ipcns exec "$name" -- ./plain
    expect_error ./plain
    # shellcheck disable=SC2016 # for the inner shell
    run -0 sh -c 'echo $$; exec "$0" exec "$1" -- sh -c '\''echo $$'\' "$IPCNS" "$name"
    expect_equal "${lines[0]}" "${lines[1]}"
}

@test "wrong usage is 125, and nothing is run" {
    name=$(unique_name)
    ipcns create "$name"
    for words in '' '--frob NAME' '--all' '--all --' '--chdir' '--chdir / ' '-q' '-z NAME touch made'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns exec ${words//NAME/$name}
        expect_status 125
        expect_output ''
        expect_error 'ipcns: '
    done
    for target in no-such-name 999999999 @1 /nonexistent /etc/passwd /proc/self/ns/uts; do
        run --separate-stderr ipcns exec "$target" -- touch made
        expect_status 125
        expect_error 'ipcns: '
    done
    [[ ! -e made ]]
    # An option in the wrong place, and how to run what is called like one.
    run --separate-stderr ipcns exec "$name" -v -- touch made
    expect_status 125
    expect_error '-v comes after TARGET'
    run --separate-stderr ipcns exec "$name" -- -v
    expect_status 127
    expect_error 'run -v: '
}

@test "words after TARGET are the command's, and without one the shell is started" {
    name=$(unique_name)
    ipcns create "$name"
    run -0 ipcns exec "$name" printf '%s|' -v --all -- 'a b' ''
    expect_output '-v|--all|--|a b||'
    printf '#!/bin/sh\necho shell "$#"; readlink /proc/self/ns/ipc\n' >shell
    chmod +x shell
    for words in '' '--'; do
        # shellcheck disable=SC2086 # words
        run -0 env SHELL="$PWD/shell" "$IPCNS" exec "$name" $words
        expect_output "shell 0"$'\n'"$(ns_of_name "$name")"
    done
    run -0 env -u SHELL "$IPCNS" exec "$name" <<<'echo from a shell'
    expect_output 'from a shell'
}

exec_all() {
    local found
    # None at all: nothing to do.
    found=$(ipcns exec --all -- echo run)
    expect_equal "$found" ''
    ipcns create b
    ipcns create a
    found=$(ipcns exec --all -- readlink /proc/self/ns/ipc)
    expect_equal "$found" "== a"$'\n'"$(ns_of_name a)"$'\n'"== b"$'\n'"$(ns_of_name b)"
    found=$(ipcns exec --all -q -- readlink /proc/self/ns/ipc)
    expect_equal "$found" "$(ns_of_name a)"$'\n'"$(ns_of_name b)"
    # Each has its own /dev/shm; the status is that of the last that was not 0.
    ipcns exec a -- sh -c 'echo 3 >/dev/shm/status'
    local status=0
    # shellcheck disable=SC2016 # for the inner shell
    found=$(ipcns exec --all -- sh -c 'exit $(cat /dev/shm/status 2>/dev/null || echo 0)') || status=$?
    expect_equal "$found $status" $'== a\n== b 3'
    status=0
    # shellcheck disable=SC2016 # for the inner shell
    ipcns exec --all -q -- sh -c '[ -e /dev/shm/status ] || kill -KILL $$' || status=$?
    expect_equal "$status" 137
    status=0
    ipcns exec --all -q -- no-such-program 2>errors || status=$?
    expect_equal "$status $(grep -c '^ipcns: ' errors)" '127 2'
    # What is told to end ends: no other program is started then.
    local signal
    for signal in HUP INT QUIT TERM; do
        status=0
        : >started
        # shellcheck disable=SC2016 # for the inner shell
        ipcns exec --all -q -- sh -c 'echo $$ >>started; kill -"$1" $$; sleep 60' - "$signal" || status=$?
        expect_equal "$status $(wc -l <started)" "$((128 + $(kill -l "$signal"))) 1"
    done
    ipcns delete a b
    registry_is_clean
}

@test "exec --all runs it in every name, one after the other" {
    run in_private_run exec_all
    expect_status 0
}

# bats test_tags=root
@test "an ordinary user cannot enter what is root's" {
    name=$(unique_name)
    somebody_else
    ipcns create "$name"
    stay ipcns exec "$name" --
    for target in "$name" "$pid" "/run/ipcns/$name/ipc" "$(ns_of "$pid")"; do
        run --separate-stderr as_somebody_else ipcns exec "$target" -- touch made
        expect_status 125
        expect_output ''
        expect_error 'ipcns: '
        [[ ! -e $open/home/made ]]
    done
    run --separate-stderr as_somebody_else ipcns exec "$name" -- true
    [[ $stderr == *"hint: "*root* ]]
}

# bats test_tags=root
@test "root enters what is an ordinary user's, as root" {
    somebody_else
    as_somebody_else unshare --user true || skip 'user namespaces are not allowed'
    as_somebody_else ipcns create theirs
    as_somebody_else ipcns exec theirs -- sh -c 'echo hello >/dev/shm/note'
    ns=$(as_somebody_else ipcns exec theirs -- readlink /proc/self/ns/ipc)
    run --separate-stderr ipcns exec "$open/home/ipcns/theirs/ipc" -- sh -c "$here; id -u"
    as_somebody_else ipcns delete theirs
    expect_status 0
    expect_output "$ns"$'\nhello\n0'
}

# bats test_tags=user
@test "exec enters what an ordinary user has made itself, by process" {
    stay ipcns run --
    ns=$(ns_of "$pid")
    run --separate-stderr ipcns exec "$pid" -- sh -c 'readlink /proc/self/ns/ipc; id -u'
    expect_status 0
    expect_output "$ns"$'\n'"$EUID"
}
