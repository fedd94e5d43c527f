# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What every .bats file begins with (`load common`): the command under test, names that are free, and the promise that
# a test leaves nothing behind. run-test sets the environment; a file can also be given to bats by hand:
#   bats tests/system/smoke.bats
#
# A test file that needs its own setup or teardown calls common_setup or common_teardown in it.

# shellcheck disable=SC2154 # status, output and stderr are bats'

bats_require_minimum_version 1.5.0

IPCNS_TREE=${IPCNS_TREE:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd -P)}
IPCNS_BUILD=${IPCNS_BUILD:-$IPCNS_TREE/build/release}
IPCNS=${IPCNS:-$IPCNS_BUILD/bin/ipcns}
export IPCNS IPCNS_BUILD IPCNS_TREE

setup() { common_setup; }
teardown() { common_teardown; }

common_setup() {
    # Every program that the test starts inherits this, so that teardown finds those that are still there.
    export IPCNS_TEST_MARK=$BATS_TEST_TMPDIR
    # What has to be undone: run-test does it for a test that was killed outright, whose own folder bats has removed.
    noted=${IPCNS_RUN_TEST:-$BATS_TEST_TMPDIR}
    names_file=$noted/names
    pids_file=$BATS_TEST_TMPDIR/pids
    work=$BATS_TEST_TMPDIR/work
    : >"$names_file"
    : >"$pids_file"
    mkdir "$work"
    cd "$work" || return
    # By hand, too, names are not made where the person's own are.
    if [[ -z ${IPCNS_RUN_TEST-} ]]; then
        export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/run
        mkdir -m 700 "$XDG_RUNTIME_DIR"
    fi
    [[ -x $IPCNS ]] || {
        printf 'there is no %s: build it first, or set IPCNS\n' "$IPCNS"
        return 1
    }
}

common_teardown() {
    local pid name left
    unset IPCNS_TEST_MARK
    while IFS= read -r pid; do end_process "$pid"; done <"$pids_file"
    while IFS= read -r name; do
        if [[ -e $(registry)/$name ]]; then "$IPCNS" delete "$name" 3>&-; fi
    done <"$names_file"
    cd / || return
    left=$(leftovers)
    [[ -z $left ]] || {
        printf 'left behind:\n%s\n' "$left"
        return 1
    }
}

# --- the command -----------------------------------------------------------------------------------------------

# The command, without bats' own descriptors: what it leaves running must not keep bats waiting.
ipcns() { "$IPCNS" "$@" 3>&-; }

is_root() { ((EUID == 0)); }

# Where names are kept.
registry() { if is_root; then printf '/run/ipcns'; else printf '%s/ipcns' "$XDG_RUNTIME_DIR"; fi; }

# A name that nothing else has; what is registered under it is deleted when the test ends.
unique_name() { # [PREFIX]
    local name=${1:-t}-$$-$RANDOM$RANDOM
    printf '%s\n' "$name" >>"$names_file"
    printf '%s' "$name"
}

# The caller's namespace, as the kernel writes it: ipc:[4026531839].
host_ns() { readlink /proc/self/ns/ipc; }

# --- what a test needs -----------------------------------------------------------------------------------------

need() { # COMMAND...
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || skip "$command is not installed"
    done
}

need_userns() {
    local why
    why=$(unshare --user true 2>&1) || skip "user namespaces are not allowed (${why#unshare: }): see sysctl user.max_user_namespaces, \
kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns"
}

# --- processes -------------------------------------------------------------------------------------------------

# Runs a command in the background; $! is its pid. teardown ends it.
in_background() { # COMMAND...
    "$@" 3>&- >>"$BATS_TEST_TMPDIR/background.log" 2>&1 &
    remember_pid $!
}

remember_pid() { printf '%s\n' "$1" >>"$pids_file"; }

# Ends one process that this test started: asks it first, then insists.
end_process() { # PID
    kill -TERM "$1" 2>/dev/null || return 0
    wait_until 2 gone "$1" || kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

gone() { # PID: there is no such process, or only its exit status is left
    local state
    ! read -r _ state < <(grep -s '^State:' "/proc/$1/status") || [[ $state == [ZX]* ]]
}

# Tries a command every 20 ms until it succeeds; fails after so many seconds.
wait_until() { # SECONDS COMMAND...
    local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
    shift
    until "$@"; do
        ((${EPOCHREALTIME/./} < end)) || return 1
        sleep 0.02
    done
}

# What the test leaves behind although it should not, one a line. What is about to end gets two seconds for it.
leftovers() {
    wait_until 2 no_processes || {
        local pid
        for pid in $(marked_processes); do
            printf 'process %s: %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
            kill -KILL "$pid" 2>/dev/null || true
        done
    }
    local name
    while IFS= read -r name; do
        if [[ -e $(registry)/$name ]]; then printf 'name %s\n' "$name"; fi
        grep -F "/ipcns/$name/" /proc/self/mountinfo || true
    done <"$names_file"
    # An ordinary user's registry is this test's alone.
    if ! is_root && [[ -d $(registry) ]]; then find "$(registry)" -mindepth 1 -type d; fi
}

no_processes() { [[ -z $(marked_processes) ]]; }

# The processes that this test started and that are still there, by what was in their environment at exec.
marked_processes() {
    grep -lsxzF "IPCNS_TEST_MARK=$BATS_TEST_TMPDIR" /proc/[0-9]*/environ |
        grep -oE '[0-9]+' || true
}

# --- what is expected ------------------------------------------------------------------------------------------

# Each looks at what bats' `run` left in $status, $output and $stderr, and says what it found instead.
expect_status() { # NUMBER
    [[ $status == "$1" ]] || {
        printf 'expected exit status %s, got %s, and this output:\n%s\n%s\n' "$1" "$status" "$output" "${stderr-}"
        return 1
    }
}

expect_output() { # TEXT: exactly this
    [[ $output == "$1" ]] || {
        printf 'expected the output:\n%s\ngot:\n%s\n' "$1" "$output"
        return 1
    }
}

expect_in_output() { # TEXT: somewhere in it
    [[ $output == *"$1"* ]] || {
        printf 'expected "%s" in the output:\n%s\n' "$1" "$output"
        return 1
    }
}

# The project's kind of message: one line `ipcns: WHAT: WHY`, then at most one line `hint: ...`. For
# `run --separate-stderr`.
expect_error() { # TEXT: somewhere in it
    local line=$'[^\n]+' shape
    shape="^ipcns: $line("$'\n'"hint: $line)?\$"
    [[ $stderr =~ $shape && $stderr == *"$1"* ]] || {
        printf 'expected a message "ipcns: WHAT: WHY" with "%s" in it, got:\n%s\n' "$1" "$stderr"
        return 1
    }
}
