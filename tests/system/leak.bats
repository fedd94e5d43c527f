#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What a program leaks is freed before `run` returns, run after run. Shown by the namespaces themselves, which the test
# keeps open: they hold nothing any more, whatever the kernel does later with those that nobody keeps. (The same by
# available memory, in 500 runs, is the benchmark's to show.)

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside

setup() {
    common_setup
    need_programs
    need_run
}

@test "64 MiB leaked in each of 20 runs are gone after each" {
    all=()
    for i in {1..20}; do
        options=()
        if ((i % 5 == 0)); then options=(--ipc-only); fi
        start_held '"$PROGRAMS/leak" 64 && head -c 1000000 /dev/zero >"$FILE"' \
            --env "FILE=$( ((i % 5 == 0)) && echo file || echo /dev/shm/file)" "${options[@]}"
        keep_namespace "$inside"
        # It was there: one segment with 64 MiB in memory, one queue with a message, one set of three.
        [[ $(in_kept awk 'NR == 2 {print $4, $(NF - 1)}' /proc/sysvipc/shm) == '67108864 67108864' ]]
        [[ $(in_kept awk 'NR == 2 {print $5}' /proc/sysvipc/msg) == 1 ]]
        [[ $(in_kept awk 'NR == 2 {print $4}' /proc/sysvipc/sem) == 3 ]]
        let_go
        expect_status 0
        [[ -z $(in_kept sed 1d /proc/sysvipc/shm) ]]
        all+=("$kept_ipc")
        if ((i % 5)); then [[ -z $(ls -A "/proc/$BASHPID/fd/$kept_shm/") ]]; fi
        exec {kept_shm}<&-
    done
    for kept_ipc in "${all[@]}"; do
        [[ -z $(in_kept tail -q -n +2 /proc/sysvipc/{shm,msg,sem}) ]]
    done
}

@test "a program that is killed while it leaks leaves nothing either" {
    start_held '"$PROGRAMS/leak" 64'
    keep_namespace "$inside"
    [[ -n $(kept_contents) ]]
    kill -KILL "$inside"
    wait "$held" || status=$?
    expect_status 137
    [[ -z $(kept_contents) ]]
}
