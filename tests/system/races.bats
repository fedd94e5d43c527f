#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A name is whole or not there, whoever dies and whoever comes at the same time: create and delete killed at every system
# call and at random moments, several at once, and a storm of create, exec and delete.
#   IPCNS_TEST_STORM=SECONDS   how long the storm lasts (20)
#
# bats file_tags=serial

# shellcheck disable=SC2154 # status and output are bats', marker is names.bash's
# shellcheck disable=SC2317 # functions that in_private_run calls

load common
load names

setup() {
    common_setup
    need_names
    mark_host_shm
    export marker
}

teardown() { names_teardown; }

# Prints its arguments and what follows on standard input, and fails.
complain() {
    printf '%s\n' "$*"
    return 1
}

# What exec says of a name is either that there is none, or everything in it is its own.
whole_or_nothing() { # NAME
    local found status=0
    # shellcheck disable=SC2016 # for the inner shell
    found=$(ipcns exec "$1" -- sh -c 'readlink /proc/self/ns/ipc; [ ! -e "$1" ] || echo "and the /dev/shm of the host"' \
        - "$marker" 2>&1) || status=$?
    case $status in
    0) [[ $found =~ ^ipc:\[[0-9]+\]$ && $found != "$(host_ns)" ]] || complain "exec $1 entered a half name: $found" ;;
    125) [[ $found == "ipcns: find the namespace $1: "* ]] || complain "exec $1 said: $found" ;;
    *) complain "exec $1 ended with $status: $found" ;;
    esac
}

# The next commands find nothing in their way, and leave nothing. (Whoever asks whether it succeeds switches errexit off.)
swept() { # NAME
    local said
    if [[ -e $(registry)/$1 ]]; then
        said=$(ipcns delete "$1" 2>&1) || complain "delete $1 said: $said" || return
    fi
    said=$(ipcns create "$1" 2>&1) || complain "create $1 said: $said" || return
    said=$(ipcns exec "$1" -- true 2>&1) || complain "exec $1 said: $said" || return
    whole_or_nothing "$1" || return
    [[ -e $(registry)/$1 ]] || complain "$1 is nowhere" || return
    said=$(ipcns delete "$1" 2>&1) || complain "delete $1 said: $said" || return
    registry_is_clean || return
    is_root || wait_until 10 no_keeper "$1" || complain "a keeper of $1 is left"
}

killed_at_each_call() { # one|all EVERY create|delete
    local how=$1 every=$2 command=$3 total n said
    local from=/run/ipcns
    is_root || from=$XDG_RUNTIME_DIR
    if [[ $command == delete ]]; then ipcns create x; fi
    total=$("$programs/at_call" "$how" "$from" 0 "$IPCNS" "$command" x)
    total=${total#none of }
    ((total > 10)) || complain "only $total system calls were counted"
    swept x
    for ((n = 1; n <= total; n += every)); do
        if [[ $command == delete ]]; then
            ipcns create x
            ipcns exec x -- sh -c ': >/dev/shm/f'
        fi
        said=$("$programs/at_call" "$how" "$from" "$n" "$IPCNS" "$command" x 2>&1) || complain "at_call: $said"
        {
            whole_or_nothing x && swept x
        } || complain "after $command was killed at system call $said"
    done
}

@test "create that is killed at any system call leaves a whole name or none" {
    need_program at_call
    run in_private_run killed_at_each_call one 1 create
    expect_status 0
}

@test "create that is killed at any system call with all that it has started leaves a whole name or none" {
    need_program at_call
    run in_private_run killed_at_each_call all 3 create
    expect_status 0
}

@test "delete that is killed at any system call leaves a whole name or none" {
    need_program at_call
    run in_private_run killed_at_each_call one 1 delete
    expect_status 0
}

deleted_under_exec() {
    local n total found status from=/run/ipcns
    is_root || from=$XDG_RUNTIME_DIR
    # shellcheck disable=SC2016 # for a shell of its own
    export HOOK='"$IPCNS" delete x >/dev/null 2>&1'
    # What exec does itself, until the shell begins.
    ipcns create x
    total=$("$programs/at_call" hook "$from" 0 "$IPCNS" exec x -- /bin/true)
    total=${total#none of }
    ((total > 10))
    for ((n = 1; n <= total; ++n)); do
        if [[ ! -e $(registry)/x ]]; then ipcns create x; fi
        status=0
        # shellcheck disable=SC2016 # for the inner shell
        found=$("$programs/at_call" hook "$from" "$n" "$IPCNS" exec x -- sh -c '
            readlink /proc/self/ns/ipc; [ ! -e "$1" ] || echo "and the /dev/shm of the host"' - "$marker" 2>&1) || status=$?
        # The last line is at_call's own.
        found=${found%$'\n'*}
        [[ $found =~ ^ipc:\[[0-9]+\]$ && $found != "$(host_ns)" ]] ||
            [[ $found == "ipcns: find the namespace x: "* ]] ||
            complain "deleted before system call $n of $total: exec said: $found"
    done
    swept x
}

@test "a name that is deleted at any system call of exec is entered whole or not at all" {
    need_program at_call
    run in_private_run deleted_under_exec
    expect_status 0
}

killed_at_random() {
    local until=$((SECONDS + 4)) rounds=0 created=0
    exec {never}<> <(:)
    while ((rounds <= 20 || SECONDS < until && rounds < 400)); do
        "$IPCNS" create x 2>/dev/null &
        read -r -t "0.00$((RANDOM % 7))$((RANDOM % 10))" -u "$never" || true
        kill -KILL $! 2>/dev/null || true
        wait $! 2>/dev/null || true
        whole_or_nothing x
        if [[ -e $(registry)/x ]]; then created=$((created + 1)); fi
        rounds=$((rounds + 1))
        swept x
    done
    printf '%s rounds, %s names\n' "$rounds" "$created"
    ((rounds > 20))
}

@test "create that is killed at any moment leaves a whole name or none" {
    run in_private_run killed_at_random
    expect_status 0
}

create_at_once() {
    local round i status made refused
    for round in {1..20}; do
        for i in 1 2 3 4; do
            (
                status=0
                "$IPCNS" create x 2>"$work/said.$i" || status=$?
                echo "$status" >"$work/status.$i"
            ) &
        done
        wait
        made=0 refused=0
        for i in 1 2 3 4; do
            case $(<"$work/status.$i") in
            0) made=$((made + 1)) ;;
            1) if grep -q '^ipcns: create x: File exists$' "$work/said.$i"; then refused=$((refused + 1)); fi ;;
            esac
        done
        ((made == 1 && refused == 3)) || complain "round $round: $(tail -n +1 "$work"/status.* "$work"/said.*)"
        whole_or_nothing x
        swept x
    done
}

@test "of several creates at once one wins, and the others say that the name exists" {
    run in_private_run create_at_once
    expect_status 0
}

# One of the sixteen. What it did goes to FILE.did, what should not be to FILE.wrong.
storm_worker() { # SECONDS FILE
    local until=$((SECONDS + $1)) name said status
    set +e
    while ((SECONDS < until)); do
        name=storm$((RANDOM % 2))
        status=0
        case $((RANDOM % 4)) in
        0)
            said=$(ipcns create "$name" 2>&1) || status=$?
            [[ $status == 0 && -z $said ]] || [[ $status == 1 && $said == "ipcns: create $name: File exists"* ]] ||
                printf 'create: %s: %s\n' "$status" "$said" >>"$2.wrong"
            echo "create $status" >>"$2.did"
            ;;
        1)
            said=$(ipcns delete "$name" 2>&1) || status=$?
            [[ $status == 0 && (-z $said || $said == *'lives on with the processes inside'*) ]] ||
                [[ $status == 1 && $said == "ipcns: delete $name: No such file or directory"* ]] ||
                printf 'delete: %s: %s\n' "$status" "$said" >>"$2.wrong"
            echo "delete $status" >>"$2.did"
            ;;
        *)
            # A name may die while exec is on its way; it may not be half.
            whole_or_nothing "$name" >>"$2.wrong"
            echo exec >>"$2.did"
            ;;
        esac
    done
}

storm() { # SECONDS
    local i name
    for i in {1..16}; do
        storm_worker "$1" "$work/storm.$i" &
    done
    wait
    cat "$work"/storm.*.did | sort | uniq -c
    cat "$work"/storm.*.wrong >"$work/wrong" 2>/dev/null || true
    [[ ! -s $work/wrong ]] || complain "$(sort "$work/wrong" | uniq -c | sort -rn | head -n 20)"
    for name in storm0 storm1; do
        if [[ -e $(registry)/$name ]]; then ipcns delete "$name"; fi
    done
    registry_is_clean
    for name in storm0 storm1; do swept "$name"; done
    # It was a storm: each kind of thing has happened.
    for i in 'create 0' 'create 1' 'delete 0' 'delete 1' exec; do
        grep -qhx "$i" "$work"/storm.*.did || complain "there was no $i"
    done
}

@test "a storm of create, exec and delete from 16 processes leaves nothing and never shows a half name" {
    run in_private_run storm "${IPCNS_TEST_STORM:-20}"
    expect_status 0
}
