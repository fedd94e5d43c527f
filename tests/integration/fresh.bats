#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The README's first two commands as somebody types them who has just cloned the project onto a bare Debian: the first time, the
# second time, and then without a network. All of ./test takes as long as it takes here; it is run whole once, and after that
# only in part, since what is new then is what happens before the tests.
#
# bats file_tags=root, serial, seconds:3000

# shellcheck disable=SC2154 # work is common.bash's

load common

setup() {
    common_setup
    need debootstrap unshare flock git ip
    machine=$IPCNS_TREE/scripts/fresh-machine
}

teardown() {
    "$machine" remove
    common_teardown
}

# Types it there. What was printed is in the file `printed`, and its end on standard output if it fails.
types() { # [--offline] COMMAND
    local options=()
    if [[ $1 == --offline ]]; then options=(--offline) && shift; fi
    "$machine" "${options[@]}" run "$1" </dev/null >raw 2>&1 3>&- || {
        tr '\r' '\n' <raw | grep -vE ' Passed |^skipped: |Skipped|^ *Start |^ *$' | tail -n 400
        return 1
    }
    tr '\r' '\n' <raw | grep -v '^$' >printed
}

# ./test has the last word: nothing failed, and so many were run.
passed() { # AT-LEAST
    [[ $(tail -n 1 printed) =~ ^([0-9]+)\ passed,\ 0\ failed,\ [0-9]+\ skipped$ ]] || {
        tail -n 50 printed
        return 1
    }
    ((BASH_REMATCH[1] >= $1))
}

@test "on a bare Debian ./quickstart and ./test work, again, and then without a network" {
    local status=0
    "$machine" new 3>&- || status=$?
    if ((status == 77)); then skip 'apt does not say where the packages of this system come from'; fi
    ((status == 0))

    types ./quickstart
    grep -q '^Installing .*g++' printed
    grep -q 'Building (release)' printed
    types './quickstart readlink /proc/self/ns/ipc'
    grep -qE '^ipc:\[[0-9]+\]$' printed
    types ./test
    grep -q '^Installing .*bats' printed
    passed 1000

    # The second time there is nothing to install, and nothing to build.
    types ./quickstart
    run ! grep -E 'Installing|Building' printed
    types './test system.user.smoke unit.Target'
    run ! grep -E 'Installing|Building' printed
    passed 10

    types --offline ./quickstart
    run ! grep -E 'Installing|Building' printed
    types --offline './test system.user unit'
    passed 500
}
