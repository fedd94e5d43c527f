# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A real Slurm cluster on this machine (`load common`, `load ../system/names`, then `load slurm`): munged with a key of its own,
# slurmctld, and three slurmd on the loopback interface. All of it lies in the test's folder and ends with the test. Two nodes
# have names of their own, as nodes on other hosts would; the third is called like this host, as on a real cluster.
# Numbers of jobs, nodes and ports differ from test to test, since /run/ipcns is one for all.
#
# It takes a second, so every test has its own.

# shellcheck disable=SC2034,SC2154 # tests use what is set here; what is loaded sets the rest

# The plugin as it was built, and programs that jobs run. Users who are not root have to get there.
need_cluster() {
    need slurmctld slurmd srun sbatch salloc scontrol munged
    [[ -e $IPCNS_BUILD/lib/slurm/ipcns.so ]] || skip 'the plugin was not built: there was no slurm/spank.h'
    somebody_else
    third=news
    id -u "$third" >/dev/null 2>&1 || skip "there is no account '$third'"
    mkdir "$open/lib" "$open/third"
    cp "$IPCNS_BUILD/lib/slurm/ipcns.so" "$open/lib/"
    cp "$programs"/{posix_ipc,leak} "$open/bin/"
    chown "$third:" "$open/third"
    # One object of each kind, and how many of the six are there.
    cat >"$open/bin/six" <<'EOF'
#!/bin/bash
found=0
case $1 in
make)
    set -e
    for kind in msg sem; do ipcns make self $kind 0x51 --exclusive >/dev/null; done
    ipcns make self shm 0x51 --size 64K --exclusive >/dev/null
    for kind in mq psem pshm; do "${0%/*}/posix_ipc" make $kind /six; done
    ;;
count)
    found=$(ipcs | grep -c 0x00000051)
    for kind in mq psem pshm; do
        if "${0%/*}/posix_ipc" has $kind /six; then ((++found)); fi
    done
    echo "$found"
    ;;
esac
EOF
    # Waits for a file, but not for ever.
    cat >"$open/bin/await" <<'EOF'
#!/bin/bash
for ((i = 0; i < 2400; ++i)); do
    if [[ -e $1 ]]; then exit 0; fi
    sleep 0.05
done
exit 1
EOF
    chmod +x "$open"/bin/{six,await}
    chmod -R go+rX "$open/bin" "$open/lib"
    cluster=$open/cluster
    mkdir "$cluster"
}

# Starts it. What follows `--` goes into slurm.conf, a line each.
start_cluster() { # [WORD-FOR-THE-PLUGIN...] [-- LINE...]
    local words=()
    while (($#)) && [[ $1 != -- ]]; do
        words+=("$1")
        shift
    done
    [[ ${1-} != -- ]] || shift
    port=$(free_ports)
    first_job=$((RANDOM * 1000 + 1000000))
    node1=n${port}a node2=n${port}b here=$(uname -n)
    here=${here%%.*}
    write_plugstack "${words[@]}"
    write_configuration "$@"
    (umask 077 && head -c 128 /dev/urandom >"$cluster/munge.key")
    in_cluster munged munged --foreground --force --num-threads=2 --key-file="$cluster/munge.key" --socket="$cluster/munge.sock" \
        --pid-file="$cluster/munged.pid" --log-file="$cluster/munged.log" --seed-file="$cluster/munge.seed"
    wait_until 10 test -S "$cluster/munge.sock"
    export SLURM_CONF=$cluster/slurm.conf
    in_cluster slurmctld slurmctld -D -i
    local node
    for node in "$node1" "$node2" "$here"; do start_node "$node"; done
    wait_until 20 all_idle || {
        cluster_logs
        return 1
    }
}

# A line of plugstack.conf that loads the plugin with these words.
write_plugstack() { printf 'required %s/lib/ipcns.so %s\n' "$open" "$*" >"$cluster/plugstack.conf"; }

write_configuration() { # LINE...
    cat >"$cluster/slurm.conf" <<EOF
ClusterName=ipcns
SlurmctldHost=$(uname -n)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$cluster/munge.sock,cred_expire=10
StateSaveLocation=$cluster/state
SlurmdSpoolDir=$cluster/spool.%n
TmpFS=$cluster/tmp.%n
SlurmctldPidFile=$cluster/slurmctld.pid
SlurmdPidFile=$cluster/slurmd.%n.pid
SlurmctldLogFile=$cluster/slurmctld.log
SlurmdLogFile=$cluster/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
FirstJobId=$first_job
MaxArraySize=1001
KillWait=1
MinJobAge=300
MailProg=/bin/true
PlugStackConfig=$cluster/plugstack.conf
NodeName=$node1 NodeHostName=localhost NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=16 RealMemory=4000
NodeName=$node2 NodeHostName=localhost NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=16 RealMemory=4000
NodeName=$here NodeAddr=127.0.0.1 Port=$((port + 3)) CPUs=16 RealMemory=4000
PartitionName=all Nodes=$node1,$node2,$here Default=YES State=UP
$(printf '%s\n' "$@")
EOF
    mkdir "$cluster"/state "$cluster"/{spool,tmp}.{"$node1","$node2","$here"}
    chmod 1777 "$cluster"/tmp.*
}

# Four ports in a row that nobody listens on.
free_ports() {
    local first i
    for _ in {1..50}; do
        first=$((20000 + RANDOM % 12000))
        for i in 0 1 2 3; do
            ! (: <"/dev/tcp/127.0.0.1/$((first + i))") 2>/dev/null || continue 2
        done
        printf '%s' "$first"
        return
    done
    return 1
}

# Starts a daemon that stays in the foreground, and remembers its pid as NAME.
in_cluster() { # NAME COMMAND...
    local name=$1
    shift
    (cd / && exec "$@" >"$cluster/$name.out" 2>&1 3>&- </dev/null) &
    remember_pid $!
    printf '%s' $! >"$cluster/$name.is"
}

start_node() { in_cluster "$1" slurmd -D -N "$1"; } # NODE

stop_daemon() { end_process "$(cat "$cluster/$1.is")"; } # NAME

all_idle() { [[ $(sinfo -h -N -o '%T' 2>/dev/null | sort | uniq -c | tr -d ' ') == 3idle ]]; }

cluster_logs() {
    local file
    for file in "$cluster"/*.log; do
        [[ $file != */munged.log ]] || continue
        printf -- '--- %s\n' "$file"
        tail -n 20 "$file"
    done
}

# To be called before common_teardown: jobs away first, and what they have, while the nodes are there.
stop_cluster() {
    [[ -n ${port-} && -S $cluster/munge.sock ]] || return 0
    [[ ${BATS_TEST_COMPLETED-} == 1 ]] || cluster_logs
    local name file
    squeue -h -o %A | xargs -r scancel --full || true
    wait_until 10 no_jobs || true
    for name in "$node1" "$node2" "$here" slurmctld munged; do
        if [[ -e $cluster/$name.is ]]; then stop_daemon "$name"; fi
    done
    # A test that was cut short has left these.
    for file in $(names_of_cluster); do "$IPCNS" delete "$file" 3>&- || true; done
}

no_jobs() { [[ -z $(squeue -h 2>/dev/null) ]]; }

# All names that jobs of this cluster have now, one a line.
names_of_cluster() {
    local file job
    for file in /run/ipcns/slurm:*; do
        job=${file#/run/ipcns/slurm:}
        job=${job%%[.@]*}
        if ((job >= first_job && job < first_job + 2000)); then printf '%s\n' "${file#/run/ipcns/}"; fi
    done 2>/dev/null
}

no_names() { [[ -z $(names_of_cluster) ]]; }

# As one of the two users, in his own folder, with his own environment.
as_user() { # USER COMMAND...
    local user=$1 home=$open/home
    [[ $user == "$other" ]] || home=$open/third
    shift
    (cd "$home" && exec setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --inh-caps=-all -- \
        env -i PATH="$open/bin:$PATH" HOME="$home" LANG=C.UTF-8 IPCNS_TEST_MARK="$BATS_TEST_TMPDIR" \
        SLURM_CONF="${CLIENT_CONF:-$SLURM_CONF}" "$@" 3>&-)
}

# Submits a script that comes on standard input, and prints the job's number. Its output goes to OUT in the user's folder.
submit() { # USER OUT SBATCH-OPTION...
    local user=$1 out=$2
    shift 2
    { printf '#!/bin/bash\n' && cat; } | as_user "$user" sbatch --parsable -o "$out" "$@"
}

state_of() { scontrol -o show job "$1" | grep -m 1 -oP 'JobState=\K\w+'; } # JOB

is_in_state() { [[ $(state_of "$1") == "$2" ]]; } # JOB STATE

has_ended() { [[ $(state_of "$1") =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL|OUT_OF_MEMORY)$ ]]; } # JOB

# Waits until a job has ended and the epilog has run on its nodes.
wait_for_end() { # JOB [STATE]
    wait_until 60 has_ended "$1" || {
        scontrol show job "$1"
        return 1
    }
    [[ -z ${2-} ]] || is_in_state "$1" "$2" || {
        printf 'job %s is not %s but %s\n' "$1" "$2" "$(state_of "$1")"
        return 1
    }
    wait_until 15 eval '! names_of_cluster | grep -qE "^slurm:'"$1"'([.@]|\$)"' || {
        printf 'still there:\n%s\n' "$(names_of_cluster)"
        return 1
    }
}

# Where a step of a job is, besides what it runs: the process of slurmstepd.
stepd_of() { # JOB STEP
    local file title
    for file in /proc/[0-9]*/cmdline; do
        { IFS= read -r -d '' title <"$file" || true; } 2>/dev/null
        if [[ $title == "slurmstepd: [$1.$2]"* ]]; then
            file=${file%/cmdline}
            printf '%s' "${file#/proc/}"
        fi
    done
}

# A line of the plugin's in the log of a node. It is written after the name is gone.
expect_in_log() { # NODE TEXT
    wait_until 5 grep -qF "$2" "$cluster/$1.log" || {
        printf 'expected "%s" in the log of %s:\n' "$2" "$1"
        grep ipcns: "$cluster/$1.log"
        return 1
    }
}

# The same and nothing else about this job.
expect_only_in_log() { # NODE JOB TEXT
    expect_in_log "$1" "$3"
    run ! grep -F "slurm:$2" <(grep -vF "$3" "$cluster/$1.log")
}
