#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# An Open MPI program whose ranks talk through System V shared memory, inside `ipcns run`.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside

setup() {
    common_setup
    need_run
    need mpicc mpirun
    mpirun --version | grep -q 'Open MPI' || skip 'this mpirun is not that of Open MPI'
    mpicc -o ring "$IPCNS_TREE/tests/system/programs/mpi_ring.c"
    # One host and no ssh; segments by shmget(2), and every byte through them.
    mpi=(mpirun -np 2 --oversubscribe --mca plm isolated --mca btl 'vader,self' --mca btl_vader_single_copy_mechanism none
        --mca shmem sysv)
    if is_root; then mpi+=(--allow-run-as-root); fi
}

@test "an MPI program runs inside, its segments are inside, and it leaves nothing" {
    in_background "$IPCNS" run -v -- "${mpi[@]}" ./ring file
    pid=$!
    wait_until 60 eval '[[ -e file.ready ]] || gone "$pid"'
    [[ -e file.ready ]] || {
        cat "$BATS_TEST_TMPDIR/background.log"
        return 1
    }
    program=$(ps -o pid= --ppid "$pid" | tr -d ' ')
    keep_namespace "$program"
    in_kept sed 1d /proc/sysvipc/shm >segments
    [[ -s segments ]]
    # None of them is the host's: the processes that made them have none there.
    makers=$(awk '{print $5}' segments | sort -u)
    run ! grep -qxF "$makers" <(awk 'NR > 1 {print $5}' /proc/sysvipc/shm)
    : >file.go
    status=0
    wait "$pid" || status=$?
    cat "$BATS_TEST_TMPDIR/background.log"
    expect_status 0
    grep -qx 'ring of 2: right' "$BATS_TEST_TMPDIR/background.log"
    [[ -z $(kept_contents) ]]
}

@test "two MPI programs at once, and one that is killed: nothing is left of either" {
    # Not one folder of Open MPI's sessions: two that begin and end at once there may take it away from each other.
    mkdir 1 2
    in_background env TMPDIR="$work/1" "$IPCNS" run -- "${mpi[@]}" ./ring one
    first=$!
    in_background env TMPDIR="$work/2" "$IPCNS" run --wait -v -- "${mpi[@]}" ./ring two
    second=$!
    for which in one two; do
        wait_until 60 test -e "$which.ready" || {
            cat "$BATS_TEST_TMPDIR/background.log"
            return 1
        }
    done
    keep_namespace "$(ps -o pid= --ppid "$second" | tr -d ' ')"
    [[ -n $(kept_contents) ]]
    kill -KILL "$(ps -o pid= --ppid "$second" | tr -d ' ')"
    status=0
    wait "$second" || status=$?
    expect_status 137
    [[ -z $(kept_contents) ]]
    : >one.go
    status=0
    wait "$first" || status=$?
    expect_status 0
}
