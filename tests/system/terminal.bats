#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `ipcns run` on a terminal, under a shell with job control: Ctrl-C, Ctrl-Z, Ctrl-\, fg, bg, window size, background reads,
# shells inside that have job control themselves, and a terminal that goes away.

# shellcheck disable=SC2016,SC2153,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside
load terminal

setup() {
    common_setup
    need_programs
    need_run
    need tmux
    cat >program <<'END'
echo $$ >pid.new
mv pid.new pid
echo up
exec sleep 100
END
    cat >inner <<'END'
PS1='inner> '
HISTFILE=
END
}

teardown() {
    end_terminals
    common_teardown
}

# Starts the program in the foreground of the terminal; $program and $ipcns are pids as seen from outside.
start_program() { # OPTION...
    rm -f pid
    enter "\"\$IPCNS\" run $* -- sh ./program"
    see up
    wait_until 15 find_program
}

find_program() {
    local shell
    shell=$(the_tmux display-message -p -t "$TERMINAL" '#{pane_pid}')
    ipcns=$(ps -o pid=,comm= --ppid "$shell" | awk '$2 == "ipcns" {print $1}' | tail -n 1)
    [[ -n $ipcns ]] || return 1
    program=$(pid_of_program "$ipcns")
    [[ $(<"/proc/$program/comm") == sleep ]]
}

# A shell of its own inside.
start_inner_shell() { # OPTION...
    enter "\"\$IPCNS\" run $* -- bash --noprofile --rcfile ./inner"
    see_prompt 'inner>'
}

# --- the keys --------------------------------------------------------------------------------------------------

@test "Ctrl-C ends the program, and the shell goes on" {
    start_terminal
    for options in '' --ipc-only --strict '--limit shmmni=9'; do
        start_program "$options"
        press C-c
        see_prompt
        enter 'echo "status $?"'
        see 'status 130'
        wait_until 10 gone "$program"
        clear_screen
    done
}

@test "Ctrl-C reaches a program that handles it once, and ipcns returns its status" {
    start_terminal
    for options in '' --strict; do
        rm -f log
        cp "$PROGRAMS/signal_log" .
        enter "\"\$IPCNS\" run $options -- ./signal_log log"
        wait_until 15 grep -qsx ready log
        press C-c
        wait_until 15 grep -qx 2 log
        press C-\\
        wait_until 15 grep -qx 3 log
        press C-z
        wait_until 15 grep -qx 20 log
        press C-c
        wait_until 15 eval '(($(grep -cx 2 log) == 2))'
        [[ $(<log) == $'ready\n2\n3\n20\n2' ]]
        ipcns=$(ps -o pid=,comm= --ppid "$(the_tmux display-message -p -t "$TERMINAL" '#{pane_pid}')" | awk '$2 == "ipcns" {print $1}')
        kill -s RTMIN+1 "$ipcns"
        see_prompt
        enter 'echo "status $?"'
        see 'status 42'
        clear_screen
    done
}

@test "Ctrl-C breaks a loop of the shell, as it does without ipcns" {
    start_terminal
    for options in '' --strict; do
        enter "while :; do \"\$IPCNS\" run $options -- sh ./program; echo 'went on'; done"
        see up
        wait_until 15 find_program
        press C-c
        see_prompt
        run ! on_screen 'went on'
        clear_screen
    done
}

# bats test_tags=user
@test "Ctrl-C ends exec --all, and not only the program in one of the names" {
    need_userns
    for name in "$(unique_name)" "$(unique_name)"; do ipcns create "$name"; done
    start_terminal
    enter "while :; do \"\$IPCNS\" exec --all -q -- sh -c 'echo here; exec sleep 60'; echo 'went on'; done"
    see here
    press C-c
    see_prompt
    run ! on_screen 'went on'
    (($(screen | grep -cx here) == 1))
}

@test "Ctrl-backslash ends the program" {
    start_terminal
    enter 'ulimit -c 0'
    start_program
    press C-\\
    see_prompt
    enter 'echo "status $?"'
    see 'status 131'
    wait_until 10 gone "$program"
}

@test "Ctrl-Z stops the program, bg lets it go on, fg brings it back" {
    start_terminal
    for options in '' --ipc-only --strict '--limit shmmni=9'; do
        start_program "$options"
        press C-z
        see_prompt
        wait_until 10 is_stopped "$program"
        enter 'jobs'
        see '\[1\]\+  Stopped  .*IPCNS.*'
        enter 'bg'
        wait_until 10 is_running "$program"
        wait_until 10 is_running "$ipcns"
        see_prompt
        clear_screen
        enter 'jobs'
        see '\[1\]\+  Running  .*IPCNS.*'
        clear_screen
        enter 'fg; echo "back with $?"'
        see '"\$IPCNS" run .*'
        press C-z
        wait_until 10 is_stopped "$program"
        see_prompt
        clear_screen
        enter 'fg'
        wait_until 10 is_running "$program"
        press C-c
        see_prompt
        enter 'echo "status $?"'
        see 'status 130'
        wait_until 10 gone "$program"
        clear_screen
    done
}

@test "a program that stops itself stops ipcns, and fg continues both" {
    start_terminal
    for options in '' --strict; do
        for name in STOP TSTP TTOU; do
            enter "\"\$IPCNS\" run $options -- sh -c 'echo up; kill -$name \$\$; echo continued; exit 7'"
            see up
            see_prompt
            enter 'jobs'
            see '\[1\]\+  Stopped  .*'
            enter 'fg'
            see continued
            see_prompt
            enter 'echo "status $?"'
            see 'status 7'
            clear_screen
        done
    done
}

@test "a change of the window's size reaches the program" {
    start_terminal
    for options in '' --strict; do
        the_tmux resize-window -t "$TERMINAL" -x 100 -y 40
        enter "\"\$IPCNS\" run $options -- bash -c 'trap \"stty size\" WINCH; echo up; while :; do sleep 0.1; done'"
        see up
        the_tmux resize-window -t "$TERMINAL" -x 93 -y 31
        see '31 93'
        press C-c
        see_prompt
        clear_screen
    done
}

@test "a program in the background that reads the terminal is stopped, and reads after fg" {
    start_terminal
    for options in '' --strict; do
        enter "\"\$IPCNS\" run $options -- sh -c 'read line; echo \"got: \$line\"' &"
        wait_until 10 eval 'find_any && is_stopped "$ipcns"'
        enter 'jobs'
        see '\[1\]\+  Stopped  .*'
        enter 'fg'
        see '"\$IPCNS" run .*'
        enter 'some words'
        see 'got: some words'
        see_prompt
        clear_screen
    done
}

find_any() {
    ipcns=$(ps -o pid=,comm= --ppid "$(the_tmux display-message -p -t "$TERMINAL" '#{pane_pid}')" | awk '$2 == "ipcns" {print $1}')
    [[ -n $ipcns ]]
}

# --- shells inside ---------------------------------------------------------------------------------------------

@test "an interactive shell inside has job control of its own" {
    start_terminal
    for options in '' '--limit shmmni=9'; do
        start_inner_shell "$options"
        run ! on_screen '.*no job control.*'
        enter 'sh ./program'
        see up
        press C-z
        see_prompt 'inner>'
        enter 'jobs'
        see '\[1\]\+  Stopped  .*sh ./program'
        enter 'fg'
        see 'sh ./program'
        press C-c
        see_prompt 'inner>'
        enter 'echo "inside $?"; ipcmk -Q; exit 5'
        see 'inside 130'
        see_prompt
        enter 'echo "status $?"'
        see 'status 5'
        clear_screen
    done
}

@test "suspend in the shell inside returns to the outer shell, and fg resumes it" {
    start_terminal
    start_inner_shell
    for round in 1 2 3; do
        enter 'suspend'
        see_prompt
        enter "echo outside $round"
        see "outside $round"
        see_prompt
        enter 'fg'
        # The prompt comes with the next line.
        wait_until 10 inner_has_terminal
        enter "echo inside $round \$((20 + 2))"
        see "inside $round 22"
        see_prompt 'inner>'
    done
    enter 'exit'
    see_prompt
    enter 'echo "status $?"'
    see 'status 0'
}

# The group in the foreground of the terminal is the one that the inner shell leads.
inner_has_terminal() {
    find_any || return 1
    local inner
    inner=$(pid_of_program "$ipcns")
    [[ $(ps -o tpgid= -p "$inner") == "$(ps -o pgid= -p "$inner")" ]] && is_running "$inner"
}

@test "the terminal is handed back when the shell inside is killed with -9" {
    start_terminal
    start_inner_shell
    find_any
    kill -KILL "$(pid_of_program "$ipcns")"
    see_prompt
    enter 'echo "status $?"'
    see 'status 137'
    # The outer shell has the terminal: its own jobs stop and go on.
    enter 'sh ./program'
    see up
    press C-z
    see_prompt
    enter 'kill %1; echo done'
    see 'done'
}

@test "a shell inside of a shell inside" {
    start_terminal
    start_inner_shell
    enter '"$IPCNS" run -- sh ./program'
    see up
    press C-z
    see_prompt 'inner>'
    enter 'jobs'
    see '\[1\]\+  Stopped  .*'
    enter 'fg'
    see '"\$IPCNS" run .*'
    press C-c
    see_prompt 'inner>'
    enter 'exit'
    see_prompt
}

@test "an interactive shell in a strict run" {
    start_terminal
    start_inner_shell --strict
    enter 'echo "I am $(($$ < 10))"'
    see 'I am 1'
    enter 'sh ./program'
    see up
    press C-c
    see_prompt 'inner>'
    enter 'exit 3'
    see_prompt
    enter 'echo "status $?"'
    see 'status 3'
}

@test "a pipeline with ipcns in it stops and goes on as one job" {
    start_terminal
    enter '"$IPCNS" run -- sh ./program | cat'
    see up
    press C-z
    see_prompt
    find_program
    wait_until 10 is_stopped "$program"
    enter 'fg'
    wait_until 10 is_running "$program"
    press C-c
    see_prompt
    wait_until 10 gone "$program"
}

# --- the terminal itself ---------------------------------------------------------------------------------------

@test "session, terminal and its foreground group are those that a plain start has" {
    start_terminal
    enter '"$PROGRAMS/process_state" plain; "$IPCNS" run --ipc-only -- "$PROGRAMS/process_state" ours; echo finished'
    see finished
    fields='^(session|terminal):'
    [[ $(grep -E "$fields" plain) == "$(grep -E "$fields" ours)" ]]
    grep -q '^terminal: /dev/' ours
    # Each is a job in the foreground.
    for file in plain ours; do
        [[ $(sed -nE "s/^process group: //p" $file) == "$(sed -nE "s/^terminal's group: //p" $file)" ]]
    done
}

@test "a terminal that goes away ends the program, which may say good-bye" {
    for options in '' --strict; do
        rm -f up got
        # ipcns leads the session here.
        # shellcheck disable=SC2086 # some options are two words
        start_terminal "$IPCNS" run $options -- sh -c 'trap "echo hup >>got; exit 0" HUP; : >up; while :; do sleep 0.05; done'
        wait_until 10 test -e up
        the_tmux kill-pane -t "$TERMINAL"
        wait_until 10 test -s got
        [[ $(<got) == hup ]]
        wait_until 10 nobody_left
    done
}

@test "a full-screen program" {
    need less
    start_terminal
    printf 'line %s\n' {1..500} >text
    enter '"$IPCNS" run -- less text'
    see 'line 39'
    press G
    see 'line 500'
    press C-z
    see_prompt
    enter 'fg'
    see 'line 500'
    press q
    see_prompt
    enter 'echo "status $?"'
    see 'status 0'
}
