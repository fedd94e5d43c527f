#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# docs/walkthrough.md and its translation: every command is run, one after the other in one shell, and prints what the
# document shows, numbers and the like apart.

load common
load documents

setup() {
    common_setup
    need_little_host
    PATH=${IPCNS%/*}:$PATH
}

# bats test_tags=lock:verify
@test "the walk-through is as it says" {
    need ipcmk ipcs unshare nsenter pgrep
    follow "$IPCNS_TREE/docs/walkthrough.md"
}

@test "the walk-through in Chinese shows the same" {
    same_commands docs/walkthrough.md docs/walkthrough.zh-CN.md
}
