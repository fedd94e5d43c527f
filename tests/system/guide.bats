#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# docs/guide.md: the commands of each task are run, one after the other in one shell, and print what the page shows, numbers
# and the like apart.

load common
load documents

setup() {
    common_setup
    need_little_host
    PATH=${IPCNS%/*}:$PATH
    guide=$IPCNS_TREE/docs/guide.md
}

@test "the guide: a test suite" {
    need ipcmk cmake ctest cc ninja pytest
    export CMAKE_GENERATOR=Ninja # what cmake takes without a word need not be there
    follow "$guide" 'Give a test suite IPC of its own'
}

# bats test_tags=user
@test "the guide: two databases" {
    local folder
    for folder in /usr/lib/postgresql/*/bin; do
        if [[ -x $folder/initdb ]]; then PATH=$folder:$PATH; fi
    done
    need initdb pg_ctl
    follow "$guide" 'Two databases on one host'
}

@test "the guide: who fills /dev/shm" {
    follow "$guide" 'Who fills /dev/shm?'
}

@test "the guide: clean up a host" {
    need ipcmk
    follow "$guide" 'Clean up a host, safely'
}

@test "the guide: a full queue" {
    need perl
    follow "$guide" 'A queue is full'
}

@test "the guide: a queue moves to another host" {
    need perl
    follow "$guide" 'Move a queue to another host'
}

# So that no task is forgotten here.
@test "the guide has as many tasks as are run" {
    local tasks
    tasks=$(grep '^## ' "$guide" | sed 's/^## //' | while IFS= read -r task; do
        if "$IPCNS_TREE/tests/system/examples.py" script "$guide" "$task" | grep -q '\$ %s'; then printf '%s\n' "$task"; fi
    done)
    diff <(printf '%s\n' "$tasks") <(sed -nE "s/^    follow \"[$]guide\" '(.*)'/\1/p" "$BATS_TEST_FILENAME")
}
