#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `ipcns run` as the parent of a program, without a terminal: signals sent to it, ways of being started, ways of ending.
# terminal.bats has what a terminal does.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside

setup() {
    common_setup
    need_programs
    need_run
}

# Starts a program that writes down its signals, under ipcns; $pid is that of ipcns.
start_log() { # OPTION...
    rm -f log
    cp "$PROGRAMS/signal_log" . # a strict run may not see where it is built
    in_background env --default-signal "$IPCNS" run "$@" -- ./signal_log log
    pid=$!
    wait_until 10 grep -qsx ready log
}

# Sends one signal and waits until it is written down. One that came twice would be found before the next, or the last.
send() { # SIGNAL LINE
    kill -s "$1" "$pid"
    wait_until 10 grep -qsx "$2" log
}

end_log() {
    kill -s RTMIN+1 "$pid"
    status=0
    wait "$pid" || status=$?
    expect_status 42
}

# The process that is ipcns, from this one downwards.
ipcns_below() { # PID
    local pid=$1
    until [[ $(<"/proc/$pid/comm") == ipcns ]]; do pid=$(pid_of_child "$pid"); done
    printf '%s' "$pid"
}

pid_of_child() { ps -o pid= --ppid "$1" | tr -d ' '; }

is_stopped() { [[ $(sed -nE 's/^State:\t(.).*/\1/p' "/proc/$1/status") == T ]]; }
is_running() { [[ $(sed -nE 's/^State:\t(.).*/\1/p' "/proc/$1/status") == [SRD] ]]; }

@test "every signal that is sent to ipcns reaches the program, once" {
    for options in '' --ipc-only --strict '--limit shmmni=9'; do
        # shellcheck disable=SC2086 # some options are two words
        start_log $options
        expected=ready
        for name in HUP INT QUIT ABRT USR1 USR2 PIPE ALRM TERM STKFLT CONT TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF \
            WINCH IO PWR RTMIN RTMIN+7 RTMAX; do
            number=$(kill -l "$name")
            send "$name" "$number"
            expected+=$'\n'$number
        done
        end_log
        [[ $(<log) == "$expected" ]]
    done
}

@test "a signal that is sent many times is passed on each time" {
    start_log
    for i in {1..20}; do
        kill -s USR1 "$pid"
        wait_until 10 eval '(($(grep -cx 10 log) == i))'
    done
    # Real-time signals queue: none is lost even when they come faster than they are taken.
    for i in {1..50}; do kill -s RTMIN+2 "$pid"; done
    wait_until 10 eval '(($(grep -cx 36 log) == 50))'
    end_log
    (($(wc -l <log) == 71))
}

@test "the value that goes with a signal is passed on" {
    env kill --help 2>&1 | grep -q -- '-q' || skip 'this kill(1) sends no values'
    start_log
    env kill -q 4711 -s USR1 "$pid"
    wait_until 10 grep -qx '10 with 4711' log
    end_log
}

@test "SIGTERM, SIGHUP, SIGINT, SIGQUIT and their like give 128+N, and nothing is left" {
    ulimit -c 0
    for options in '' --strict; do
        for name in TERM HUP INT QUIT USR1 ALRM; do
            # shellcheck disable=SC2086
            start_held 'ipcmk -Q; trap - INT QUIT' $options
            keep_namespace "$(pid_of_program "$held")"
            kill -s "$name" "$held"
            status=0
            wait "$held" || status=$?
            expect_status $((128 + $(kill -l "$name")))
            [[ -z $(kept_contents) ]]
            exec {kept_ipc}<&- {kept_shm}<&-
        done
    done
    nobody_left
}

@test "a program that traps a signal ends as it likes" {
    for options in '' --strict; do
        rm -f up
        # shellcheck disable=SC2086
        in_background "$IPCNS" run $options -- sh -c 'trap "echo trapped >said; exit 33" TERM; : >up; while :; do sleep 0.05; done'
        pid=$!
        wait_until 10 test -e up
        kill -TERM "$pid"
        status=0
        wait "$pid" || status=$?
        expect_status 33
        [[ $(<said) == trapped ]]
        rm said
    done
}

@test "a program that ignores SIGTERM goes on, and so does ipcns" {
    in_background "$IPCNS" run -- sh -c 'trap "" TERM; trap "echo usr >>said" USR1; : >up; while :; do sleep 0.05; done'
    pid=$!
    wait_until 10 test -e up
    kill -TERM "$pid"
    kill -USR1 "$pid"
    wait_until 10 test -e said
    run ! gone "$pid"
    program=$(pid_of_child "$pid")
    kill -KILL "$program"
    wait "$pid" || status=$?
    expect_status 137
}

@test "SIGTERM at any moment of the start ends it, and nothing is left" {
    for i in {0..39}; do
        options=()
        if ((i % 4 == 1)); then options=(--strict); fi
        if ((i % 4 == 2)); then options=(--name "$(unique_name)"); fi
        in_background "$IPCNS" run "${options[@]}" -- sleep 100
        pid=$!
        for ((spin = 0; spin < i * 100; ++spin)); do :; done
        kill -TERM "$pid"
        status=0
        wait "$pid" || status=$?
        expect_status 143
    done
    nobody_left
    # A name whose ipcns was ended before it could take it away is swept by the next one who makes a name.
    ipcns run --name "$(unique_name)" -- true
    while IFS= read -r name; do [[ ! -e $(registry)/$name ]]; done <"$names_file"
}

@test "timeout leaves nothing" {
    for options in '' --ipc-only --strict '--limit shmmni=9'; do
        # shellcheck disable=SC2086
        run timeout 0.5 "$IPCNS" run $options -- sleep 100
        expect_status 124
        # shellcheck disable=SC2086
        run timeout --foreground 0.5 "$IPCNS" run $options -- sleep 100
        expect_status 124
    done
    nobody_left
}

@test "started with & it ignores SIGINT as the program does, and reads nothing" {
    bash -c '"$IPCNS" run -- sh -c "kill -INT \$\$; kill -QUIT \$\$; cat; echo survived" >out & wait $!'
    [[ $(<out) == survived ]]
}

@test "SIGCHLD ignored at the start: the status is known all the same, and the program ignores it too" {
    for options in '' --ipc-only --strict '--limit shmmni=9' --wait "--name $(unique_name)"; do
        # shellcheck disable=SC2086
        run env --ignore-signal=CHLD "$IPCNS" run $options -- sh -c 'exit 5'
        expect_status 5
        # shellcheck disable=SC2086
        run env --ignore-signal=CHLD "$IPCNS" run $options -- grep SigIgn /proc/self/status
        expect_output $'SigIgn:\t0000000000010000'
    done
}

@test "all signals blocked or ignored at the start: the status is known all the same" {
    for how in --ignore-signal --block-signal; do
        for options in '' --strict; do
            # shellcheck disable=SC2086
            run env $how "$IPCNS" run $options -- sh -c 'exit 6'
            expect_status 6
        done
    done
}

@test "setsid" {
    run setsid --wait "$IPCNS" run -- sh -c 'ps -o sid= -p $$; ps -o sid= -p $PPID; exit 8'
    expect_status 8
    [[ ${lines[0]} == "${lines[1]}" && ${lines[0]// /} != "$(ps -o sid= -p $$ | tr -d ' ')" ]]
    # As the leader of a session it passes signals on, too; and the program may make a session of its own.
    in_background setsid --wait "$IPCNS" run -- setsid --wait sh -c 'trap "exit 12" TERM; : >up; while :; do sleep 0.05; done'
    first=$!
    wait_until 10 test -e up
    # setsid(1) forks when it leads a group already.
    pid=$(ipcns_below "$first")
    kill -TERM "$pid"
    status=0
    wait "$first" || status=$?
    expect_status 12
}

@test "standard input: closed, empty, a pipe, a file" {
    run --separate-stderr bash -c '"$IPCNS" run -- cat <&-'
    expect_status 1
    [[ $stderr == cat:* ]]
    run ipcns run -- cat </dev/null
    expect_status 0
    expect_output ''
    run ipcns run -- cat < <(printf 'one\ntwo\n')
    expect_output $'one\ntwo'
    # What the program does not read is left for who comes next.
    printf 'one\ntwo\nthree\n' >file
    run bash -c '{ "$IPCNS" run -- sh -c "read -r line; echo got \$line"; cat; } <file'
    expect_output $'got one\ntwo\nthree'
}

@test "a broken pipe ends the program as it would without ipcns" {
    run bash -c '"$IPCNS" run -- yes | head -n 1; echo "${PIPESTATUS[0]}"'
    expect_output $'y\n141'
}

@test "nobody waits in vain for the end of a pipe" {
    # The program closes its end and goes on: neither ipcns nor the init of a strict run holds another.
    for options in '' --strict '--limit shmmni=9'; do
        rm -f up go
        mkfifo go
        # shellcheck disable=SC2086
        in_background bash -c '"$IPCNS" run '"$options"' -- sh -c "exec >&-; : >up; read -r _ <go" | cat; : >ended'
        wait_until 10 test -e up
        echo >go
        wait_until 10 test -e ended
    done
}

@test "stopped and continued by its job control, the program stops and goes on with it" {
    for options in '' --strict; do
        rm -f up
        set -m # a process group that is not orphaned, so that SIGTSTP works
        # shellcheck disable=SC2086
        in_background "$IPCNS" run $options -- sh -c ': >up; exec sleep 60'
        pid=$!
        set +m
        wait_until 10 test -e up
        program=$(pid_of_program "$pid")
        wait_until 10 is_running "$program"
        kill -TSTP "$pid"
        wait_until 10 is_stopped "$program"
        wait_until 10 is_stopped "$pid"
        kill -CONT "$pid"
        wait_until 10 is_running "$program"
        wait_until 10 is_running "$pid"
        # And so again, this time the whole group at once, as a terminal's Ctrl-Z and a shell's fg do.
        kill -TSTP -- "-$pid"
        wait_until 10 is_stopped "$program"
        wait_until 10 is_stopped "$pid"
        kill -CONT -- "-$pid"
        wait_until 10 is_running "$program"
        wait_until 10 is_running "$pid"
        kill -TERM "$pid"
        status=0
        wait "$pid" || status=$?
        expect_status 143
    done
}

@test "a stopped program in an orphaned process group is continued by SIGCONT to ipcns" {
    in_background setsid --wait "$IPCNS" run -- sh -c ': >up; exec sleep 60'
    first=$!
    wait_until 10 test -e up
    program=$(pid_of_program "$first")
    pid=$(ipcns_below "$first")
    kill -STOP "$program"
    wait_until 10 is_stopped "$program"
    kill -CONT "$pid"
    wait_until 10 is_running "$program"
    kill -TERM "$pid"
    wait "$first" || status=$?
    expect_status 143
}

@test "ipcns itself stopped: what the program did meanwhile is not lost" {
    start_held true
    kill -STOP "$held"
    wait_until 10 is_stopped "$held"
    kill -USR2 "$held"
    printf '21\n' >"$go"
    wait_until 10 gone "$inside"
    run ! gone "$held"
    kill -CONT "$held"
    status=0
    wait "$held" || status=$?
    expect_status 21
}
