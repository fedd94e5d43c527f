#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What run-test promises of every test: one that hangs, and does not even end when it is told to, leaves nothing.
#
# bats file_tags=root

# shellcheck disable=SC2154 # status is bats', work is common.bash's

load common

@test "a test that has to be killed outright leaves no name, no file in /dev/shm, no folder and no process" {
    local name marker folder pid
    cat >hangs.bats <<'BATS'
load "$IPCNS_TREE/tests/system/common"
load "$IPCNS_TREE/tests/system/names"
the test "hangs" {
    name=$(unique_name)
    ipcns create "$name"
    mark_host_shm
    folder=$(mktemp -d /tmp/ipcns-test.XXXXXX)
    printf '%s\n' "$folder" >>"$noted/folders"
    printf '%s %s %s %s\n' "$name" "$marker" "$folder" "$BASHPID" >"$FOUND"
    trap '' TERM
    while :; do sleep 1; done
}
BATS
    # bats would take it for a test of this file. run-test clears the environment: where to say what was made is written in.
    sed -i "s/^the test /@test /; s|\"\$FOUND\"|'$work/found'|" hangs.bats
    run env IPCNS_TEST_SECONDS=10 IPCNS_TEST_PATIENCE=1 \
        "$IPCNS_TREE/tests/system/run-test" root "$IPCNS_BUILD" "$work/hangs.bats" hangs
    ((status != 0 && status != 77))
    expect_in_output 'took longer than 10 seconds'
    read -r name marker folder pid <found
    [[ $name == t-* && $marker == /dev/shm/* && $folder == /tmp/* ]]
    if [[ -e /run/ipcns/$name ]]; then
        ipcns delete "$name"
        printf '%s was left\n' "$name"
        return 1
    fi
    [[ ! -e $marker && ! -e $folder ]]
    gone "$pid"
}
