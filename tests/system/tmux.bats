#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A whole tmux session inside `ipcns run`: every window of it is in the namespace, has job control, and at the end
# nothing is left.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside
load terminal

setup() {
    common_setup
    need_run
    need tmux
}

teardown() {
    end_terminals
    common_teardown
}

@test "a tmux session lives in the namespace, with all its windows and their job control" {
    shell=(env 'PS1=outer> ' HISTFILE= bash --norc --noprofile)
    name=$(unique_name)
    in_background "$IPCNS" run --wait -v --name "$name" -- \
        tmux -S "$BATS_TEST_TMPDIR/tmux" -f /dev/null new-session -d -x 100 -y 40 "${shell[@]}"
    run_pid=$!
    wait_until 10 the_tmux has-session 2>/dev/null
    first=$(the_tmux list-panes -F '#{pane_id}')
    second=$(the_tmux new-window -P -F '#{pane_id}' "${shell[@]}")

    TERMINAL=$first
    see_prompt
    enter 'readlink /proc/self/ns/ipc >ns.1; ipcmk -Q; echo kept >/dev/shm/file; sleep 100'
    see 'Message queue id: 0'
    wait_until 10 test -s ns.1
    TERMINAL=$second
    see_prompt
    enter 'readlink /proc/self/ns/ipc >ns.2; ipcs -q | grep -c ^0x; cat /dev/shm/file'
    see 1
    see kept
    [[ $(<ns.1) == "$(<ns.2)" && $(<ns.1) != "$(host_ns)" ]]

    # Job control in the first window: the sleep stops, goes on in the background, comes back, ends.
    TERMINAL=$first
    press C-z
    see '\[1\]\+  Stopped  .*'
    see_prompt
    enter 'bg; jobs'
    see '\[1\]\+  Running  .*'
    enter 'fg'
    see 'sleep 100'
    press C-c
    see_prompt
    enter 'echo "status $?"'
    see 'status 130'

    # ipcns waits for the session, which is in the background of the program that it started.
    run ! gone "$run_pid"
    keep_namespace "$(the_tmux display-message -p -t "$first" '#{pane_pid}')"
    [[ $(kept_contents | wc -l) == 2 ]]
    enter 'exit'
    TERMINAL=$second
    enter 'exit'
    status=0
    wait "$run_pid" || status=$?
    expect_status 0
    [[ -z $(kept_contents) ]]
    [[ ! -e $(registry)/$name ]]
}

@test "a shell under ipcns in a tmux window: windows beside it see nothing of it" {
    start_terminal
    enter '"$IPCNS" run -- bash --norc --noprofile'
    # bash inherits the prompt, so look at the namespace.
    enter 'readlink /proc/self/ns/ipc >ns; ipcmk -Q'
    see 'Message queue id: 0'
    [[ $(<ns) == ipc:* && $(<ns) != "$(host_ns)" ]]
    inside=$TERMINAL
    TERMINAL=$(the_tmux new-window -P -F '#{pane_id}' env 'PS1=outer> ' HISTFILE= bash --norc --noprofile)
    see_prompt
    enter 'readlink /proc/self/ns/ipc'
    see "$(host_ns | sed 's/[][]/\\&/g')"
    TERMINAL=$inside
    enter 'exit'
    enter 'echo "in $(readlink /proc/self/ns/ipc)"'
    see "in $(host_ns | sed 's/[][]/\\&/g')"
}
