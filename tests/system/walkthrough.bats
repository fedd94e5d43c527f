#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# docs/walkthrough.md and its translation: every command is run, one after the other in one shell, and prints what the
# document shows, numbers and the like apart. The shell has an IPC namespace of its own, so that what others do on this host
# is not in the way.

# shellcheck disable=SC2016,SC2154 # the inner shell expands the script; common.bash sets the variables

load common

setup() {
    common_setup
    need ipcmk ipcs unshare nsenter pgrep
    need_userns
    PATH=${IPCNS%/*}:$PATH
}

# What differs from run to run, made equal.
levelled() {
    sed -E "s/$suffix\b//g; s/0x[0-9a-f]{8}/KEY/g; s/[A-Z][a-z]{2} +[0-9]+ +[0-9]{2}:[0-9]{2}/WHEN/; s/'//g
        s/\b(tester|root|$(id -un)|$(id -gn))\b/USER/g; s/\[[0-9]+\]/[N]/; s/ +/ /g; s/ \$//"
}

# The commands and what is shown of them.
blocks() { awk '/^```console$/ {on = 1; next} /^```$/ {on = 0} on' "$1"; }

walk() { # DOCUMENT
    suffix=-$$-$RANDOM
    printf 'db%s\n' "$suffix" >>"$names_file"
    # The script prints what the document shows: each command behind a $, and then what comes of it.
    {
        printf '%s\n' 'exec 2>&1 </dev/null'
        blocks "$1" | sed -nE "s/^\\$ //p" | sed -E "s/\bdb\b/db$suffix/g" | while IFS= read -r command; do
            printf 'printf "$ %%s\\n" %q\n%s\n' "$command" "$command"
        done
        printf '%s\n' 'kill $(jobs -p) 2>/dev/null; true'
    } >script
    timeout 60 ipcns run --ipc-only -- bash --norc script 3>&- >printed
    diff <(blocks "$1" | levelled) <(levelled <printed)
    (($(grep -c '^\$ ' printed) > 20))
}

# bats test_tags=lock:verify
@test "the walk-through is as it says" {
    walk "$IPCNS_TREE/docs/walkthrough.md"
}

# bats test_tags=lock:verify
@test "the walk-through in Chinese shows the same" {
    diff <(blocks "$IPCNS_TREE/docs/walkthrough.md") <(blocks "$IPCNS_TREE/docs/walkthrough.zh-CN.md")
}
