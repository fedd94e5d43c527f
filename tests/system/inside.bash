# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For tests of `run` and `exec`, after `load common`: the helper programs, a program that waits inside until it is told
# to end, and looking into a namespace after its last process is gone.

# shellcheck disable=SC2154,SC2034,SC2016 # common.bash and bats have the variables; inner shells expand the scripts

# What tests/system/programs makes.
PROGRAMS=$IPCNS_BUILD/tests/bin
export PROGRAMS

need_programs() {
    [[ -x $PROGRAMS/posix_ipc ]] || {
        printf 'there is no %s: build the tests first\n' "$PROGRAMS/posix_ipc"
        return 1
    }
}

# Runs what an ordinary user may only do where user namespaces are allowed.
need_run() { is_root || need_userns; }

# --- a program that waits inside -------------------------------------------------------------------------------

# Starts `ipcns run OPTION... sh -c 'SCRIPT; wait for the end'` in the background and returns when SCRIPT is done.
# $held is the pid of ipcns, $inside that of the shell inside; `let_go` ends it in good order.
start_held() { # SCRIPT OPTION...
    local script=$1
    shift
    held_count=$((${held_count:-0} + 1))
    # Names without a folder: a strict run has another /tmp, but stays in the folder it is started in.
    local up=up.$held_count
    go=go.$held_count
    mkfifo "$go"
    in_background env --default-signal=INT,QUIT "$IPCNS" run "$@" -- \
        sh -c "$script"$'\n''up=$1 go=$2; echo $$ >"$up.new"; mv "$up.new" "$up"; read -r status <"$go"; exit "$status"' \
        held "$up" "$go"
    held=$!
    wait_until 10 test -e "$up" || {
        cat "$BATS_TEST_TMPDIR/background.log"
        return 1
    }
    inside=$(<"$up")
    remember_pid "$inside"
}

# Tells it to end with a status, and waits for ipcns: $status is what ipcns returned.
let_go() { # [STATUS]
    printf '%s\n' "${1:-0}" >"$go"
    status=0
    wait "$held" || status=$?
}

# The program under ipcns, below the init of a strict run: the youngest of its line.
pid_of_program() { # PID of ipcns
    local pid=$1 child
    while child=$(ps -o pid= --ppid "$pid") && [[ -n $child ]]; do pid=${child//[^0-9]/}; done
    printf '%s' "$pid"
}

# No process that this test started is there any more, itself apart.
nobody_left() { (unset IPCNS_TEST_MARK && no_processes); }

# --- a namespace without a process -----------------------------------------------------------------------------

# Keeps the namespace and the /dev/shm of a process, so that one can see later what is left in them.
keep_namespace() { # PID
    exec {kept_ipc}<"/proc/$1/ns/ipc" {kept_shm}<"/proc/$1/root/dev/shm"
}

# Runs a command in the namespace that is kept.
in_kept() { # COMMAND...
    ipcns exec --ipc-only "/proc/$BASHPID/fd/$kept_ipc" -- "$@"
}

# What the kept namespace and its /dev/shm still hold, a line each: nothing, if all was removed.
kept_contents() {
    in_kept cat /proc/sysvipc/msg /proc/sysvipc/sem /proc/sysvipc/shm >"$BATS_TEST_TMPDIR/sysvipc" || return
    sed -E '/^ *key /d' "$BATS_TEST_TMPDIR/sysvipc"
    ls -A "/proc/$BASHPID/fd/$kept_shm/"
}

# --- System V objects ------------------------------------------------------------------------------------------

# The keys of the objects of a kind, as ipcs prints them.
keys() { # q|m|s [COMMAND...: runs it there]
    local kind=$1
    shift
    "$@" ipcs "-$kind" | sed -nE 's/^(0x[0-9a-f]+) .*/\1/p'
}

# Makes an object outside, to be removed when the test ends. Its id is printed.
make_outside() { # q|m|s
    local made id
    case $1 in
    q) made=$(ipcmk -Q) ;;
    m) made=$(ipcmk -M 4096) ;;
    s) made=$(ipcmk -S 1) ;;
    esac
    id=${made##* }
    printf '%s %s\n' "$1" "$id" >>"$BATS_TEST_TMPDIR/outside"
    printf '%s' "$id"
}

# For teardown.
remove_outside() {
    local kind id
    [[ -e $BATS_TEST_TMPDIR/outside ]] || return 0
    while read -r kind id; do
        case $kind in
        q | m | s) ipcrm "-$kind" "$id" ;;
        *) rm -f "$id" ;;
        esac
    done <"$BATS_TEST_TMPDIR/outside"
}
