#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What ./quickstart shows: its tour, on a host where all works, where names are refused and where everything is; and
# ./quickstart CMD.

# shellcheck disable=SC2154 # stderr is bats', work is common.bash's
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load common
load names

setup() {
    common_setup
    need gcc
    tour=$IPCNS_TREE/scripts/tour
    bin=${IPCNS%/*}
    export tour bin
}

teardown() {
    common_teardown
    # What it compiled for itself is gone, too.
    [[ -z $(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'ipcns-tour.*' -user "$EUID") ]]
}

# Every row of the table ends with this word.
expect_kinds() { # yes|no
    local kind
    for kind in msg sem shm mq psem pshm; do
        grep -qE "^   $kind +[A-Za-z ]+ $1\$" <<<"$output" || {
            printf 'expected %s for %s in:\n%s\n' "$1" "$kind" "$output"
            return 1
        }
    done
}

@test "the tour tells its story and leaves nothing" {
    need_names
    run --separate-stderr "$tour" "$bin" 3>&-
    expect_status 0
    for line in '1. A namespace with a name' '2. A message queue' '3. Whoever joins' '4. Which kinds are private' \
        '5. Away with it'; do
        grep -qF "$line" <<<"$output"
    done
    expect_kinds yes
    # The ordinary tools made one of each, and ipcs showed them to whoever joined: a key a kind.
    (($(grep -cE '^(Message queue|Shared memory|Semaphore) id: 0$' <<<"$output") == 3))
    (($(grep -cE '^0x[0-9a-f]{8} 0 ' <<<"$output") >= 3))
    [[ $output != *Skipped* ]]
    # It ends with three commands to try.
    [[ $(tail -n 4 <<<"$output" | cut -c 1-18) == $'Try next:\n   ./quickstart ba\n   build/release/b\n   build/release/b' ]]
    name=$(sed -n 's/^\$ ipcns create //p' <<<"$output")
    [[ $name == demo-* && ! -e $(registry)/$name && ! -e /dev/shm/$name ]]
    if ! is_root; then no_keeper "$name"; fi
}

@test "the tour would tell if a kind were not private" {
    is_root || need_userns
    # An ipcns that isolates nothing, itself where it can leave no trace.
    mkdir fake
    printf '#!/bin/sh\nif [ "$1" = exec ]; then shift 3; exec "$@"; fi\n' >fake/ipcns
    chmod +x fake/ipcns
    run --separate-stderr ipcns run -- "$tour" fake
    expect_status 0
    expect_kinds no
}

@test "where names are refused the tour goes on without, and counts what it skipped" {
    is_root || need_userns
    if is_root; then
        run --separate-stderr unshare --mount --propagation slave sh -c 'mount -t tmpfs -o ro tmpfs /run && exec "$tour" "$bin"' 3>&-
    else
        XDG_RUNTIME_DIR=$work/missing run --separate-stderr "$tour" "$bin" 3>&-
    fi
    expect_status 0
    [[ $stderr == *'hint: '* ]]
    expect_kinds yes
    grep -qxF 'Skipped: 1 (step 1, a name). What would allow it is said above.' <<<"$output"
}

@test "where no namespace can be had the tour says why, shows the rest and counts what it skipped" {
    need_userns
    need setpriv
    run --separate-stderr unshare --user --map-root-user --mount sh -c 'echo 0 >/proc/sys/user/max_user_namespaces
        exec setpriv --inh-caps=-all --bounding-set=-all "$tour" "$bin"' 3>&-
    expect_status 1
    [[ $stderr == *'hint: '*'sysctl user.max_user_namespaces'* ]]
    grep -q "^$(inode "$(host_ns)") " <<<"$output"
    grep -qxF 'Skipped: 5 of 5 steps.' <<<"$output"
    [[ $stderr != *'stopped early'* ]]
}

# Alone, since others use what it may have to build.
# bats test_tags=root,serial
@test "quickstart CMD runs it in a namespace of its own, where the caller is, with its status" {
    [[ -f $IPCNS_TREE/build/release/build.ninja && -O $IPCNS_TREE/build && $IPCNS_BUILD -ef $IPCNS_TREE/build/release ]] ||
        skip 'the tree has no build folder of the same user'
    mkdir path
    printf '#!/bin/sh\necho "$@" >>"%s"\nexec "%s" "$@"\n' "$PWD/asked" "$(command -v ninja)" >path/ninja
    chmod +x path/ninja
    PATH=$PWD/path:$PATH
    for time in first second; do
        run --separate-stderr "$IPCNS_TREE/quickstart" sh -c 'readlink /proc/self/ns/ipc; pwd; printf "%s|" "$@"; exit 7' - "$time" 'a b' '' 3>&-
        expect_status 7
        [[ ${lines[0]} == ipc:* && ${lines[0]} != "$(host_ns)" ]]
        expect_equal "${lines[1]}" "$PWD"
        expect_equal "${lines[2]}" "$time|a b||"
    done
    # It builds the command and its helpers, and does not wait for tests.
    grep -q 'bin/ipcns.*libexec/ipcns/ipcns-keeper.*libexec/ipcns/ipcns-names' asked
    run ! grep -E 'test|example|bench' <(sed 's/-t targets all//' asked)
    run --separate-stderr "$IPCNS_TREE/quickstart" --no-such-option
    expect_status 2
    [[ $stderr == usage:* ]]
}
