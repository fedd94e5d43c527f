#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The plugin for Slurm, in a real cluster.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load ../system/names
load slurm

setup() {
    common_setup
    need_cluster
}

teardown() {
    stop_cluster
    names_teardown
}

# What `six make` makes, as it is logged.
six='1 message queue, 1 semaphore set, 1 shared memory segment (64K), 1 POSIX queue, 2 files in /dev/shm (4K)'

# bats file_tags=root, lock:slurm, seconds:240

@test "all that a job runs on a node shares all six kinds; another node, another job and the host have their own" {
    start_cluster
    job=$(submit "$other" out -N 2 -n 4 -w "$node1,$node2" <<EOF
six make
echo "batch \$(readlink /proc/self/ns/ipc) \$(six count)"
srun -N 2 -n 4 sh -c 'echo "step \$SLURMD_NODENAME \$(readlink /proc/self/ns/ipc) \$(six count)"'
touch ready
await go
EOF
    )
    wait_until 60 test -e "$open/home/ready"
    # A step from outside of the script, beside all others.
    as_user "$other" srun --jobid "$job" --overlap -N 1 -n 1 -w "$node1" six count >"$work/overlap"
    expect_equal "$(cat "$work/overlap")" 6
    # Another job of the same user on the same node.
    run as_user "$other" srun -w "$node1" sh -c 'six count && six make && six count'
    expect_status 0
    expect_output $'0\n6'
    ipcns show "slurm:$job@$node1" -n -o OBJECT >"$work/inside"
    expect_equal "$(wc -l <"$work/inside")" 6
    # The host, of which those who remove what a user has left there see nothing.
    expect_equal "$("$open/bin/six" count)" 0
    # Two nodes of this host have it.
    run --separate-stderr ipcns show "slurm:$job"
    expect_status 1
    expect_error "say which: slurm:$job@$node1 or slurm:$job@$node2"
    touch "$open/home/go"
    wait_for_end "$job" COMPLETED
    cat "$open/home/out"
    first=$(grep -oP '^batch \Kipc:\S+' "$open/home/out")
    [[ $first != "$(host_ns)" ]]
    expect_equal "$(grep -cF "step $node1 $first 6" "$open/home/out")" "$(grep -c "^step $node1" "$open/home/out")"
    expect_equal "$(grep "^step $node2" "$open/home/out" | sort -u | wc -l)" 1
    run ! grep -F "$first" <(grep "^step $node2" "$open/home/out")
    grep -q "^step $node2 .* 0\$" "$open/home/out"
    expect_in_log "$node1" "slurm:$job@$node1 is gone; removed $six"
    run ! grep "slurm:$job.*is gone; removed" "$cluster/$node2.log"
}

@test "two jobs of two users with the same keys and names; the end of a job does nothing to another one" {
    start_cluster
    local ids=() user
    for user in "$other" "$third" "$third"; do
        ids+=("$(submit "$user" "out${#ids[@]}" -w "$here" <<<"six make && touch ready${#ids[@]} && await go${#ids[@]}")")
    done
    wait_until 60 test -e "$open/home/ready0"
    wait_until 60 test -e "$open/third/ready1"
    wait_until 60 test -e "$open/third/ready2"
    # Neither sees or enters the other's, whichever way he goes.
    run --separate-stderr as_user "$third" ipcns show "slurm:${ids[0]}"
    expect_status 1
    expect_error 'it belongs to somebody else'
    run --separate-stderr as_user "$third" ipcns exec "slurm:${ids[0]}" true
    expect_status 125
    run ! as_user "$third" ls "/run/ipcns/slurm:${ids[0]}/shm"
    run ! as_user "$third" touch "/run/ipcns/slurm:${ids[0]}/shm/x"
    run as_user "$third" ipcns list -q -n -o NAME
    run ! grep -F "${ids[0]}" <<<"$output"
    # Of two jobs of one user, the first one ends, with all that its namespace holds.
    touch "$open/home/go0" "$open/third/go1"
    wait_for_end "${ids[0]}" COMPLETED
    wait_for_end "${ids[1]}" COMPLETED
    expect_in_log "$here" "slurm:${ids[0]} is gone; removed $six"
    expect_in_log "$here" "slurm:${ids[1]} is gone; removed $six"
    expect_equal "$(as_user "$third" srun --jobid "${ids[2]}" --overlap six count)" 6
    touch "$open/third/go2"
    wait_for_end "${ids[2]}" COMPLETED
}

@test "slurm:JOB is a TARGET of every command, for the job's user and for root; nobody can make such a name" {
    start_cluster limit=shmmni=100
    job=$(submit "$other" out -w "$here" <<<'six make && ipcmk -M 1M && touch ready && await go')
    wait_until 60 test -e "$open/home/ready"
    name=slurm:$job
    inside=$(ipcns exec "$name" -- readlink /proc/self/ns/ipc)
    for who in "$other" root; do
        as() { if [[ $who == root ]]; then ipcns "$@"; else as_user "$who" ipcns "$@"; fi; }
        as list -q -n -o NAME | grep -qx "$name"
        expect_equal "$(as exec "$name" -- readlink /proc/self/ns/ipc)" "$inside"
        expect_equal "$(as exec "$name" -- "$open/bin/six" count)" 6
        as show "$name" shm --holders --json | jq -e '.shm | length == 2'
        expect_equal "$(as show "$name" -n -o OBJECT 2>/dev/null | wc -l)" 7
        as make "$name" msg 0x99
        as show "$name" msg:0x99
        as remove "$name" msg:0x99
        run ! as show "$name" msg:0x99
        as show "$name" --summary
        as limits "$name" -n -o KEY,VALUE | grep -qE '^shmmni +100$'
        as pids "$name" | grep -qx "$(pgrep -f "^/bin/bash .*job$job/slurm_script" | head -n 1)"
        as diff self "$name" -o WHAT,RESULT | grep -q '^msg:0x51 .*only'
        as verify "$name" --only msg,pshm --json | jq -e 'all(.channels[]; .verdict == "isolated")'
    done
    expect_equal "$(as_user "$other" srun --jobid "$job" --overlap ipcns identify -n -o NAME)" "$name"
    # What only root may.
    run --separate-stderr as_user "$other" ipcns limits "$name" shmmni=4096
    expect_status 1
    run --separate-stderr as_user "$other" ipcns delete "$name"
    expect_status 1
    ipcns limits "$name" shmmni=200
    for who in "$other" root; do
        run --separate-stderr as create slurm:1
        expect_status 2
        run --separate-stderr as attach slurm:1 self
        expect_status 2
        run --separate-stderr as run --name slurm:1 -- true
        expect_status 125
    done
    touch "$open/home/go"
    wait_for_end "$job" COMPLETED
    run --separate-stderr ipcns show "$name"
    expect_error "find the namespace $name"
}

# A name as the plugin makes it, where root has a /run of its own.
job_name_among_others() {
    ipcns create one
    ipcns create two
    mv /run/ipcns/two /run/ipcns/slurm:5
    expect_equal "$(ipcns list -q -n -o NAME | grep -cxE 'one|slurm:5')" 2
    ipcns delete --all
    ipcns list -q -n -o NAME | grep -qx slurm:5
    [[ ! -e /run/ipcns/one ]]
    ipcns show slurm:5 -n
    ipcns delete slurm:5
    registry_is_clean
}

@test "delete --all leaves jobs alone" {
    in_private_run job_name_among_others
}

@test "--ipc=job, step, task and host: who shares with whom; help, what is allowed, and what is refused where it is submitted" {
    start_cluster default=job allow=job,step,task shm_size=64M limit=shmmni=100 limit=msg_max=20
    for command in srun sbatch salloc; do
        run as_user "$other" "$command" --help
        grep -qE '^ +--ipc=SCOPE +who shares' <<<"$output"
    done
    # Says where it is on each task, and what the names are.
    where='sleep 0.3; echo "$(readlink /proc/self/ns/ipc) $(stat -c %d /dev/shm)"; ipcns list -q -n -o NAME | grep slurm: >names.$SLURM_STEP_ID.$SLURM_PROCID; sleep 0.7'
    job=$(submit "$other" out -n 2 -w "$here" --ipc=step <<EOF
readlink /proc/self/ns/ipc >batch
ipcns list -q -n -o NAME | grep slurm: >names.batch
ipcmk -Q >/dev/null
srun -n 2 sh -c '$where' >step0
srun -n 2 sh -c '$where' >step1
srun -n 2 --ipc=task sh -c '$where; ipcmk -Q' >tasks
srun -n 2 --ipc=job sh -c '$where' >job
EOF
    )
    wait_for_end "$job" COMPLETED
    cd "$open/home"
    expect_equal "$(cat names.batch)" "slurm:$job.batch"
    expect_equal "$(sort -u step0 | wc -l)" 1
    expect_equal "$(sort -u step1 | wc -l)" 1
    expect_equal "$(sort -u job | wc -l)" 1
    expect_equal "$(grep -c ipc tasks)" 2
    expect_equal "$(grep ipc tasks | cut -d' ' -f1 | sort -u | wc -l)" 2
    expect_equal "$(grep ipc tasks | cut -d' ' -f2 | sort -u | wc -l)" 2
    run ! grep -qF "$(cat batch)" step0 step1 tasks job
    grep -qx "slurm:$job.0" names.0.0
    grep -qx "slurm:$job.1" names.1.0
    grep -qx "slurm:$job.2.0" names.2.0
    grep -qx "slurm:$job.2.1" names.2.1
    grep -qx "slurm:$job" names.3.0
    for name in "slurm:$job.batch" "slurm:$job.2.0" "slurm:$job.2.1"; do
        expect_in_log "$here" "$name is gone; removed 1 message queue"
    done
    cd "$work"
    # The size and the limits are the plugin's line's.
    run as_user "$other" srun sh -c 'df -k --output=size /dev/shm | tail -n 1; cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max'
    expect_equal "$(tr -d ' ' <<<"$output")" $'65536\n100\n20'
    # Refused on the spot, and no job is made.
    before=$(squeue -h -t all | wc -l)
    for command in 'srun true' 'salloc true' 'sbatch --wrap true'; do
        read -r -a words <<<"$command"
        run as_user "$other" "${words[0]}" --ipc=all "${words[@]:1}"
        ((status != 0))
        expect_in_output "'all' says nothing about IPC (it is job, step, task or host)"
        run as_user "$other" "${words[0]}" --ipc=host "${words[@]:1}"
        ((status != 0))
        expect_in_output '--ipc=host is not allowed on this cluster (it is job, step or task)'
    done
    expect_equal "$(squeue -h -t all | wc -l)" "$before"
    # The node decides, whatever a submit host believes.
    write_plugstack allow=host
    cp "$cluster/plugstack.conf" "$cluster/other.conf"
    sed "s|^PlugStackConfig=.*|PlugStackConfig=$cluster/other.conf|" "$cluster/slurm.conf" >"$cluster/client.conf"
    write_plugstack allow=job on_error=run
    CLIENT_CONF=$cluster/client.conf run as_user "$other" srun --ipc=host touch "$open/home/ran"
    ((status != 0))
    expect_in_output '--ipc=host is not allowed on this cluster'
    [[ ! -e $open/home/ran ]]
    wait_for_end "$(CLIENT_CONF=$cluster/client.conf submit "$other" out --ipc=host <<<"touch $open/home/ran")" FAILED
    [[ ! -e $open/home/ran ]]
    # Allowed: as without the plugin.
    write_plugstack allow=host
    run as_user "$other" srun -w "$here" --ipc=host readlink /proc/self/ns/ipc
    expect_output "$(host_ns)"
}

@test "a job's namespace outlives a restart of slurmd, a suspension and steps; a requeued job begins with a new one" {
    start_cluster
    job=$(submit "$other" out -w "$node1" --requeue <<'EOF'
echo "run $SLURM_RESTART_COUNT $(readlink /proc/self/ns/ipc) $(six count)"
six make
touch ready.${SLURM_RESTART_COUNT:-0}
await go.${SLURM_RESTART_COUNT:-0}
srun sh -c 'echo "step $(readlink /proc/self/ns/ipc) $(six count)"'
touch stepped.${SLURM_RESTART_COUNT:-0}
await end
EOF
    )
    wait_until 60 test -e "$open/home/ready.0"
    stop_daemon "$node1"
    start_node "$node1"
    wait_until 20 grep -q 'slurmd started' "$cluster/$node1.out"
    scontrol suspend "$job"
    wait_until 20 is_in_state "$job" SUSPENDED
    expect_equal "$(ipcns show "slurm:$job" -n -o OBJECT | wc -l)" 6
    scontrol resume "$job"
    touch "$open/home/go.0"
    wait_until 60 test -e "$open/home/stepped.0"
    first=$(grep -oP '^run +\Kipc:\S+' "$open/home/out")
    grep -qF "step $first 6" "$open/home/out"
    scontrol requeue "$job"
    expect_in_log "$node1" "slurm:$job@$node1 is gone; removed $six"
    # It would wait for two minutes. One whose start is in the second of its end slurmd takes for the one that has ended, and
    # refuses: that job would be lost.
    wait_until 20 is_in_state "$job" PENDING
    sleep 2
    wait_until 60 eval 'scontrol update jobid="$job" starttime=now 2>/dev/null || true; sleep 0.5; [[ -e $open/home/ready.1 ]]'
    grep -q '^run 1 ipc:.* 0$' "$open/home/out"
    touch "$open/home/go.1" "$open/home/end"
    wait_for_end "$job" COMPLETED
    expect_equal "$(grep -cF "slurm:$job@$node1 is gone; removed $six" "$cluster/$node1.log")" 2
}

@test "gone, whichever way a job ends: cancelled, out of time, out of memory, slurmstepd killed, daemons left behind" {
    start_cluster -- JobAcctGatherType=jobacct_gather/linux JobAcctGatherFrequency=task=1 JobAcctGatherParams=OverMemoryKill
    # This one takes a minute and more.
    slow=$(submit "$other" out.slow -w "$node2" -t 1 <<<'six make && touch ready.slow && sleep 1000')
    cancelled=$(submit "$other" out.cancelled -w "$node1" <<<'six make && touch ready.cancelled && sleep 1000')
    killed=$(submit "$other" out.killed -w "$node1" <<<'six make && touch ready.killed && sleep 1000')
    daemon=$(submit "$other" out.daemon -w "$node1" <<'EOF'
six make
(setsid sh -c 'sleep 1000 & echo $! >daemon; wait' >/dev/null 2>&1 </dev/null &)
await daemon
touch ready.daemon
await go.daemon
EOF
    )
    memory=$(submit "$other" out.memory -w "$node1" --mem=50 <<<'six make && perl -e '\''$x = "x" x (300 << 20); sleep 60'\')
    for one in cancelled killed daemon; do wait_until 90 test -e "$open/home/ready.$one"; done
    scancel "$cancelled"
    wait_for_end "$cancelled" CANCELLED
    # Slurm finds out that it is gone when it is asked to end the job; what it started runs on.
    stepd=$(stepd_of "$killed" batch)
    kill -KILL "$stepd"
    wait_until 5 gone "$stepd"
    expect_equal "$(ipcns pids "slurm:$killed" | wc -l)" 2
    mapfile -t orphans < <(ipcns pids "slurm:$killed")
    scancel "$killed"
    wait_for_end "$killed"
    for one in "${orphans[@]}"; do wait_until 5 gone "$one"; done
    # One of root's is inside meanwhile: it stays, and says why.
    in_background "$IPCNS" exec "slurm:$daemon" -- sleep 1000
    root_pid=$!
    wait_until 10 eval '[[ $(ns_of $root_pid) != "$(host_ns)" ]]'
    touch "$open/home/go.daemon"
    wait_for_end "$daemon" COMPLETED
    expect_in_log "$node1" "slurm:$daemon@$node1: still inside, and not of the job's user: $root_pid"
    wait_until 5 gone "$(cat "$open/home/daemon")"
    [[ $(ns_of "$root_pid") != "$(host_ns)" ]]
    end_process "$root_pid"
    wait_for_end "$memory"
    for job in "$cancelled" "$killed" "$daemon" "$memory"; do
        expect_in_log "$node1" "slurm:$job@$node1 is gone; removed $six"
    done
    wait_until 120 has_ended "$slow"
    wait_for_end "$slow" TIMEOUT
    expect_in_log "$node2" "slurm:$slow@$node2 is gone; removed $six"
    no_names
}

@test "a job that is requeued because its node broke down finds nothing of its earlier run" {
    start_cluster
    job=$(submit "$other" out -w "$node1" --requeue <<'EOF'
echo "run $SLURM_RESTART_COUNT $(six count)"
six make
touch ready.${SLURM_RESTART_COUNT:-0}
await go
EOF
    )
    wait_until 60 test -e "$open/home/ready.0"
    # As if the power had failed, except for what a reboot would have cleared.
    for pid in "$(cat "$cluster/$node1.is")" "$(stepd_of "$job" batch)" $(ipcns pids "slurm:$job"); do kill -KILL "$pid"; done
    scontrol update nodename="$node1" state=down reason=test
    wait_until 20 is_in_state "$job" PENDING
    expect_equal "$(ipcns show "slurm:$job" -n -o OBJECT | wc -l)" 6
    start_node "$node1"
    scontrol update nodename="$node1" state=resume
    touch "$open/home/go"
    wait_until 90 eval 'scontrol update jobid="$job" starttime=now 2>/dev/null || true; sleep 0.5; [[ -e $open/home/ready.1 ]]'
    wait_for_end "$job" COMPLETED
    grep -qx 'run 1 0' "$open/home/out"
    expect_equal "$(grep -cF "slurm:$job@$node1 is gone; removed $six" "$cluster/$node1.log")" 2
}

shared_memory() { awk '$1 == "Shmem:" {print $2}' /proc/meminfo; } # KiB

@test "a gigabyte that jobs leave behind is removed and logged with its bytes" {
    start_cluster
    job=$(submit "$other" out -w "$here" <<'EOF'
leak 512
head -c 512M /dev/zero >/dev/shm/left
touch ready
await go
EOF
    )
    wait_until 90 test -e "$open/home/ready"
    full=$(shared_memory)
    touch "$open/home/go"
    wait_for_end "$job" COMPLETED
    expect_in_log "$here" "slurm:$job is gone; removed 1 message queue, 1 semaphore set, 1 shared memory segment (512M), 1 file in /dev/shm (512M)"
    # Others use some, too.
    (($(shared_memory) < full - 800 * 1024))
}

# bats test_tags=seconds:900
@test "an array of 1,000 jobs: each has its own, and all are gone" {
    start_cluster
    job=$(submit "$other" /dev/null --array=1-1000 -n 1 <<<'readlink /proc/self/ns/ipc >>namespaces; ipcmk -Q >/dev/null')
    wait_until 800 eval '[[ -z $(squeue -h -j '"$job"' 2>/dev/null) ]]'
    wait_until 20 no_names
    expect_equal "$(wc -l <"$open/home/namespaces")" 1000
    run ! grep -qF "$(host_ns)" "$open/home/namespaces"
    expect_equal "$(cat "$cluster"/*.log | grep -oP 'ipcns: \Kslurm:[0-9]+(?=(@\w+)? is gone; removed 1 message queue$)' | sort -u | wc -l)" 1000
}

@test "heterogeneous jobs: each component has its own on its node, and all are gone" {
    start_cluster
    job=$(submit "$other" out -n 1 -w "$node1" : -n 1 -w "$node2" <<'EOF'
six make
srun --het-group=0,1 sh -c 'echo "$SLURMD_NODENAME $(six count)"; ipcmk -Q >/dev/null; sleep 0.5'
touch ready
await go
EOF
    )
    wait_until 90 test -e "$open/home/ready"
    names_of_cluster
    expect_equal "$(names_of_cluster | wc -l)" 2
    touch "$open/home/go"
    wait_for_end "$job" COMPLETED
    wait_until 20 no_names
    grep -qx "$node1 6" "$open/home/out"
    grep -qx "$node2 0" "$open/home/out"
    expect_in_log "$node1" 'is gone; removed 2 message queues, 1 semaphore set'
    expect_in_log "$node2" 'is gone; removed 1 message queue'
}

@test "an MPI job over two nodes, with shared memory inside of each" {
    need mpicc
    mpicc -o "$open/bin/ring" "$IPCNS_TREE/tests/system/programs/mpi_ring.c"
    start_cluster
    srun --mpi=list 2>&1 | grep -q pmix || skip 'this Slurm was built without PMIx'
    job=$(submit "$other" out -N 2 -n 4 --ntasks-per-node=2 -w "$node1,$node2" <<'EOF'
export OMPI_MCA_btl=vader,tcp,self OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_shmem=sysv
export OMPI_MCA_pml=ob1
srun --mpi=pmix ring file
EOF
    )
    wait_until 120 eval '[[ -e $open/home/file.ready ]] || has_ended "$job"'
    cat "$open/home/out"
    [[ -e $open/home/file.ready ]]
    for node in "$node1" "$node2"; do
        expect_equal "$(ipcns pids "slurm:$job@$node" -o COMMAND -n | grep -c '^[^ ]*ring file')" 2
        (($(ipcns show "slurm:$job@$node" shm -n | wc -l) > 0))
    done
    touch "$open/home/file.go"
    wait_for_end "$job" COMPLETED
    grep -qx 'ring of 4: right' "$open/home/out"
}

@test "the first to come makes it: eight steps at once, the external step, an interactive step" {
    start_cluster -- PrologFlags=Alloc,Contain LaunchParameters=use_interactive_step \
        "InteractiveStepOptions=\"--interactive $open/bin/interactive\""
    cat >"$open/bin/interactive" <<'EOF'
#!/bin/bash
echo "interactive $SLURM_JOB_ID $(readlink /proc/self/ns/ipc)"
touch ready
await go
for i in 1 2 3 4 5 6 7 8; do srun --overlap -n 1 sh -c 'echo "step $(readlink /proc/self/ns/ipc)"' & done
wait
EOF
    chmod +x "$open/bin/interactive"
    in_background as_user "$other" salloc -n 1 -w "$node1" >"$open/home/out" 2>&1
    wait_until 60 test -e "$open/home/ready"
    job=$(squeue -h -o %A)
    [[ -n $(stepd_of "$job" extern) ]]
    [[ $(ipcns exec "slurm:$job" -- readlink /proc/self/ns/ipc) == "$(grep -oP '^interactive \d+ \K.*' "$BATS_TEST_TMPDIR/background.log" "$open/home/out" | sed 's/.*ipc/ipc/' | head -n 1)" ]]
    # Somebody takes it away: then the next step makes a new one, and of eight all are in the same.
    ipcns delete "slurm:$job@$node1" 2>&1
    touch "$open/home/go"
    wait_for_end "$job" COMPLETED
    cat "$open/home/out" "$BATS_TEST_TMPDIR/background.log" >"$work/out"
    expect_equal "$(grep -c '^step' "$work/out")" 8
    expect_equal "$(grep '^step' "$work/out" | sort -u | wc -l)" 1
}

@test "what goes wrong is said where the user sees it; on_error decides whether he runs" {
    start_cluster limit=msg_max=99999999 on_error=fail
    run as_user "$other" srun -w "$here" touch "$open/home/ran"
    ((status != 0))
    expect_in_output 'ipcns: set the limit msg_max=99999999'
    [[ ! -e $open/home/ran ]]
    expect_in_log "$here" 'set the limit msg_max'
    # The node takes further jobs.
    wait_until 20 all_idle
    write_plugstack limit=msg_max=99999999 on_error=run
    run as_user "$other" srun -w "$here" readlink /proc/self/ns/ipc
    expect_status 0
    expect_in_output "$(host_ns)"
    expect_in_output 'it runs without, as on_error=run wants it'
    # Where only root may have such namespaces entered, they work all the same.
    write_plugstack access=root
    job=$(submit "$other" out -w "$here" <<<'six make && touch ready && await go')
    wait_until 60 test -e "$open/home/ready"
    run --separate-stderr as_user "$other" ipcns exec "slurm:$job" true
    expect_status 125
    expect_equal "$(ipcns exec "slurm:$job" "$open/bin/six" count)" 6
    touch "$open/home/go"
    wait_for_end "$job" COMPLETED
    # A line with a mistake: nobody submits, and a node does not start.
    write_plugstack defaults=job
    run as_user "$other" srun true
    ((status != 0))
    expect_in_output "plugstack.conf: 'defaults' is no setting (did you mean default?)"
    stop_daemon "$node2"
    start_node "$node2"
    wait_until 10 gone "$(cat "$cluster/$node2.is")"
    grep -q "'defaults' is no setting" "$cluster/$node2.out"
}

@test "docs/slurm.md: what is installed, every word of the configuration, and how to take it out" {
    page=$IPCNS_TREE/docs/slurm.md
    # A table's first column, between two headings.
    words() { sed -n "/^## $1/,/^## /s/^| \`\([a-z_]*\)=.*/\1/p" "$page"; }
    [[ -O $IPCNS_BUILD/cmake_install.cmake ]] || skip "$IPCNS_BUILD is no build folder of the same user"
    cmake --install "$IPCNS_BUILD" --component slurm --prefix "$open/prefix" >/dev/null
    chmod -R go+rX "$open/prefix"
    expect_equal "$(cd "$open/prefix" && find . -type f -printf '%f\n' | sort | tr '\n' ' ')" 'ipcns.so plugstack.conf.example '
    plugin=$(find "$open/prefix" -name ipcns.so)
    run ldd "$plugin"
    run ! grep -E 'ipcns|stdc' <<<"${output#*ipcns.so}"
    start_cluster
    write_plugstack colour=red
    # It names all words that it knows; the page tells about these.
    run as_user "$other" srun true
    expect_in_output "'colour' is no setting"
    known=$(grep -oP '\(there are \K[^)]*' <<<"$output" | head -n 1 | sed 's/,/ /g; s/ and / /')
    expect_equal "$(words Configuration | sort | xargs)" "$(tr ' ' '\n' <<<"$known" | sed '/^$/d' | sort | xargs)"
    # The line of the page, which is that of the example.
    line=$(grep '^required' "$page")
    expect_equal "$(grep '^required' "$open"/prefix/share/doc/ipcns-slurm/examples/plugstack.conf.example | sed 's|required |&/usr/local/lib/slurm/|')" "$line"
    printf '%s\n' "${line/\/usr\/local\/lib\/slurm\/ipcns.so/$plugin}" >"$cluster/plugstack.conf"
    for node in "$node1" "$node2" "$here"; do
        stop_daemon "$node"
        start_node "$node"
    done
    wait_until 30 all_idle
    job=$(submit "$other" out -w "$here" <<<'six make && touch ready && await go')
    wait_until 60 test -e "$open/home/ready"
    # It is taken out while a job runs.
    : >"$cluster/plugstack.conf"
    expect_equal "$(as_user "$other" srun -w "$here" readlink /proc/self/ns/ipc)" "$(host_ns)"
    touch "$open/home/go"
    wait_until 60 has_ended "$job"
    ipcns exec "slurm:$job" -- "$open/bin/six" count | grep -qx 6
    # Other clusters may be at work on this host: only what is ours.
    loop=$(sed -n '/^## Take it out/,$s/^for name in/&/p' "$page")
    loop=${loop/grep ^slurm:/grep ^slurm:$job}
    PATH=${IPCNS%/*}:$PATH bash -c "$loop" 3>&-
    no_names
}
