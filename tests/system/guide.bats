#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# docs/guide.md: the commands of each task are run, one after the other in one shell, and print what the page shows, numbers
# and the like apart. The shell has all six kinds of IPC to itself, so that what others do on this host is not in the way.

# shellcheck disable=SC2016,SC2154 # the inner shell expands the script; common.bash sets the variables

load common

setup() {
    common_setup
    is_root || need_userns
    PATH=${IPCNS%/*}:$PATH
    suffix=-$$-$RANDOM
}

# What stands in the blocks of a task, files apart.
blocks() { # TASK
    awk -v task="## $1" '/^## / {here = ($0 == task)} /^```console$/ {on = here; next} /^```$/ {on = 0} on' \
        "$IPCNS_TREE/docs/guide.md"
}

# Writes the files that a task shows.
files() { # TASK
    awk -v task="## $1" '/^## / {here = ($0 == task)} here && /^<!-- file: / {file = $3} /^```$/ {on = 0}
        on {print >on} file && /^```[a-z]/ {on = file; file = ""}' "$IPCNS_TREE/docs/guide.md"
}

# What differs from run to run, made equal.
levelled() {
    sed -E "s/$suffix\b//g; s/\b[0-9]+ \(/N (/; s/namespace [0-9]+/namespace N/; s/process [0-9]+/process N/
        s/for [0-9.]+ (s|ms|us)\b/for T/; s/in [0-9.]+s/in T/; s/ +/ /g; s/^ | \$//g"
}

follow() { # TASK
    files "$1"
    # The script prints what the page shows: each command behind a $, and then what comes of it.
    {
        printf '%s\n' 'exec 2>&1 </dev/null'
        blocks "$1" | sed -nE 's/^\$ //p' | sed -E "s/\b(shop|red|blue)\b/\1$suffix/g" | while IFS= read -r command; do
            printf 'printf "$ %%s\\n" %q\n%s\n' "$command" "$command"
        done
        printf '%s\n' 'kill $(jobs -p) 2>/dev/null; true'
    } >script
    printf '%s\n' {shop,red,blue}"$suffix" >>"$names_file"
    timeout 100 "$IPCNS" run -- bash --norc script >printed 3>&-
    diff <(blocks "$1" | levelled) <(levelled <printed)
    (($(grep -c '^\$ ' printed) > 3))
}

@test "the guide: a test suite" {
    need ipcmk cmake ctest cc ninja pytest
    export CMAKE_GENERATOR=Ninja # what cmake takes without a word need not be there
    follow 'Give a test suite IPC of its own'
}

# bats test_tags=user
@test "the guide: two databases" {
    local folder
    for folder in /usr/lib/postgresql/*/bin; do
        if [[ -x $folder/initdb ]]; then PATH=$folder:$PATH; fi
    done
    need initdb pg_ctl
    follow 'Two databases on one host'
}

@test "the guide: who fills /dev/shm" {
    follow 'Who fills /dev/shm?'
}

@test "the guide: clean up a host" {
    need ipcmk
    follow 'Clean up a host, safely'
}

@test "the guide: a full queue" {
    need perl
    follow 'A queue is full'
}
