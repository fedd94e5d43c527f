#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What a program has from whoever started it reaches it through `ipcns run` as execve(2) would pass it on: each field of
# what tests/system/programs/process_state.c prints, compared with a plain exec of the same program from the same state.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside

setup() {
    common_setup
    need_programs
    need_run
    program=$PROGRAMS/process_state
}

# Runs the program plainly and under ipcns, and prints which fields differ, one a line, sorted.
differing_fields() { # IPCNS-ARGUMENT... -- STARTER...
    local arguments=()
    while [[ $1 != -- ]]; do
        arguments+=("$1")
        shift
    done
    shift
    "$@" "$program" state 3>&-
    mv state plain
    "$@" "$IPCNS" "${arguments[@]}" -- "$program" state 3>&-
    mv state ours
    # Who started it, in the words of a shell that is not the same in both.
    sed -i -E '/^environment: (_|SHLVL)=/d' plain ours
    # Not empty, and with what matters in it.
    grep -q '^limit: Max open files' plain && grep -q '^status SigBlk:' plain
    diff plain ours | sed -nE 's/^[<>] ([^:]*):.*/\1/p' | uniq | sort -u | grep -vxFf <(unavoidable) || true
}

# What a user namespace changes however it is made: it has a full set of capabilities to bound, and no names for the
# caller's other groups (user_namespaces(7)).
unavoidable() {
    is_root && return
    printf 'namespace user\n'
    printf 'status CapBnd\n'
    if [[ $(id -G) == *' '* ]]; then printf 'status Groups\n'; fi
}

expect_differing() { # EXPECTED, as one line; then as differing_fields
    local expected=$1
    shift
    run differing_fields "$@"
    expect_status 0
    expect_output "${expected//,/$'\n'}"
}

oddly() {
    [[ -e nine ]] || echo 'some text' >nine
    "$PROGRAMS/start_oddly" nine "$@"
}

@test "the comparison sees what differs" {
    differs() { if [[ $2 == run ]]; then (umask 0 && nice "$@"); else "$@"; fi; }
    expect_differing 'namespace ipc,nice,status Umask' run --ipc-only -- differs
}

@test "from an odd state, --ipc-only changes the IPC namespace alone" {
    expect_differing 'namespace ipc' run --ipc-only -- oddly
    # The state was odd indeed.
    grep -qx 'status SigIgn:.0000004000010006' ours
    grep -qx 'status SigBlk:.0000001000084000' ours
    grep -qx 'status Umask:.0027' ours
    grep -qx 'nice: 5' ours
    grep -qx 'timer slack: 123456' ours
    grep -q '^limit: Max open files  *100  *200 ' ours
    grep -qx "descriptor 9: $work/nine, flags 102002, at 3" ours
    run ! grep '^descriptor 0:' ours
}

@test "from an odd state, run changes the IPC and the mount namespace alone" {
    expect_differing 'namespace ipc,namespace mnt' run -- oddly
}

@test "from an odd state, --exec changes the IPC and the mount namespace alone" {
    expect_differing 'namespace ipc,namespace mnt' run --exec -- oddly
}

@test "from an odd state, --limit and --name and --wait change no more than that" {
    expect_differing 'namespace ipc,namespace mnt' run --limit shmmni=64 -- oddly
    expect_differing 'namespace ipc,namespace mnt,parent death signal' run --wait --die-with-parent -- oddly
    name=$(unique_name)
    expect_differing 'namespace ipc,namespace mnt' run --name "$name" -- oddly
}

@test "from an odd state, --strict changes the namespaces, and the numbers that belong to the pid namespace" {
    # What is in the /tmp that is hidden can still be reached from the folder that one is in.
    cp "$program" .
    program=./process_state
    expect_differing 'namespace ipc,namespace mnt,namespace net,namespace pid,namespace uts,process group,session' \
        run --strict -- oddly
}

@test "from an odd state, exec into a namespace changes the IPC and the mount namespace alone" {
    name=$(unique_name)
    ipcns create "$name"
    expect_differing 'namespace ipc,namespace mnt' exec "$name" -- oddly
    expect_differing 'namespace ipc' exec --ipc-only "$name" -- oddly
}

@test "from an ordinary state the same" {
    expect_differing 'namespace ipc' run --ipc-only -- env
    expect_differing 'namespace ipc,namespace mnt' run -- env
    expect_differing 'namespace ipc,namespace mnt' run --exec -- env
}

@test "closed standard descriptors stay closed, and nothing of ipcns takes their place" {
    without_in() { "$@" <&-; }
    without_out() { "$@" >&-; }
    without_err() { "$@" 2>&-; }
    without_any() { "$@" <&- >&- 2>&-; }
    for how in without_in without_out without_err without_any; do
        for options in --ipc-only '' --exec '--limit shmmni=9' -v; do
            # shellcheck disable=SC2086 # some options are two words
            run --separate-stderr differing_fields run $options -- $how
            expect_status 0
            [[ $output == 'namespace ipc' || $output == $'namespace ipc\nnamespace mnt' ]] || {
                printf '%s, run %s, differs in:\n%s\n' "$how" "$options" "$output"
                diff plain ours
            }
        done
    done
    run ! grep -E '^descriptor [012]:' ours
}

@test "descriptors of every number reach the program" {
    with_many() {
        (
            exec 3</dev/null 4>>file 7<. 63</dev/zero 255</dev/null
            ulimit -n 1024
            for number in {20..60}; do eval "exec $number</dev/null"; done
            "$@"
        )
    }
    # bats' own descriptor 3 is taken away first, so here it is given back.
    same() { with_many "$@" 3</dev/null; }
    expect_differing 'namespace ipc,namespace mnt' run -- same
    (($(grep -c '^descriptor' ours) >= 45))
}

@test "every signal that can be ignored stays ignored, every one that can be blocked stays blocked" {
    expect_differing 'namespace ipc,namespace mnt' run -- env --ignore-signal
    grep -q '^status SigIgn:.f*[^0]*fffffe.*' ours
    expect_differing 'namespace ipc,namespace mnt' run -- env --block-signal
    expect_differing 'namespace ipc,namespace mnt' run --exec -- env --ignore-signal --block-signal
    expect_differing 'namespace ipc,namespace mnt' run --limit shmmni=9 -- env --ignore-signal --block-signal
}

@test "with --exec a signal that waits, blocked, goes on waiting" {
    run env --block-signal=TERM sh -c 'kill -TERM $$; exec "$IPCNS" run --exec -- grep ShdPnd /proc/self/status'
    expect_status 0
    expect_output $'ShdPnd:\t0000000000004000'
}

@test "with a parent a signal that waits, blocked, is passed on and goes on waiting" {
    # bash leaves the mask alone; dash would clear it.
    echo 'until grep -q "^ShdPnd:.*4000$" /proc/$$/status; do sleep 0.05; done; exit 8' >script
    in_background env --block-signal=TERM sh -c 'kill -TERM $$; exec "$IPCNS" run -- bash script'
    pid=$!
    wait_until 10 gone "$pid"
    wait "$pid" || status=$?
    expect_status 8
}

@test "limits so low that ipcns could feel them reach the program" {
    small() { (ulimit -n 16 -s 256 -c 0 -l 0 -q 0 && "$@"); }
    expect_differing 'namespace ipc,namespace mnt' run -- small
}

# bats test_tags=root
@test "capabilities and securebits of root reach the program" {
    expect_differing 'namespace ipc,namespace mnt' run -- \
        setpriv --bounding-set -net_admin,-mknod --inh-caps +net_raw,+chown --ambient-caps +net_raw
    expect_differing 'namespace ipc,namespace mnt' run -- \
        setpriv --securebits +noroot,+noroot_locked --inh-caps +sys_admin,+chown --ambient-caps +sys_admin
    expect_differing 'namespace ipc,namespace mnt' run -- setpriv --groups 4,24,1000 --no-new-privs
}

# bats test_tags=root
@test "another user who has CAP_SYS_ADMIN keeps it, and who he is" {
    chmod 777 .
    # He needs a way to what was built.
    su_with() { setpriv --reuid games --regid 60 --clear-groups --inh-caps +sys_admin --ambient-caps +sys_admin "$@"; }
    run su_with test -x "$PROGRAMS/process_state" -a -x "$IPCNS" -a -w .
    ((status == 0)) || skip 'the user games may not look where this was built'
    expect_differing 'namespace ipc,namespace mnt' run -- su_with
    grep -qx 'status CapEff:.0000000000200000' ours
}

# bats test_tags=root
@test "a real-time scheduling class reaches the program" {
    chrt -f 5 true 2>/dev/null || skip 'the system allows no real-time class here'
    expect_differing 'namespace ipc,namespace mnt' run -- chrt -f 5
    grep -qx 'scheduler: 1, priority 5' ours
}
