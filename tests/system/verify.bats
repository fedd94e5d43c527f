#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns verify: its verdicts beside what the kernel's rules say of pairs that are made by hand; that nothing is called
# isolated that was not tried; that nothing stays behind, whoever is killed and when.

# shellcheck disable=SC2154 # stderr is bats'
# shellcheck disable=SC2016 # inner shells expand the scripts

load common

kinds=(msg sem shm mq psem pshm)
sysv=(msg sem shm sysvipc)
files=(file fifo socket mapping futex inotify)
traces=(ptrace vm-read proc-mem proc-fd pidfd-getfd)
limits=(msgmax msgmnb msgmni semmsl semmns semopm semmni shmall shmmax shmmni shm_rmid_forced queues_max msg_max
    msgsize_max msg_default msgsize_default)
limits=("${limits[@]/#/limit.}")

setup() {
    common_setup
    need ipcs
    is_root || need_userns
}

# Runs verify; `verdicts` has "CHANNEL VERDICT FORTH BACK" in lines, words of a verdict joined by _.
try() { # OPTION...
    run --separate-stderr ipcns verify -n -o CHANNEL,VERDICT,FORTH,BACK,DECIDES,WHY "$@"
    sed 's/not available/not_available/g; s/ \+/ /g' <<<"$output" >verdicts
    if [[ -n $stderr ]]; then printf 'verify said: %s\n' "$stderr"; fi
}

# All channels of a list have this verdict; with a third and fourth word in VERDICT, also in the two directions.
expect_verdict() { # VERDICT CHANNEL...
    local verdict=$1 channel wrong=0
    shift
    for channel in "$@"; do
        grep -q "^$channel $verdict" verdicts || {
            printf '%s should be %s: %s\n' "$channel" "$verdict" "$(grep "^$channel " verdicts || echo missing)"
            wrong=1
        }
    done
    ((wrong == 0)) || {
        printf 'exit status %s\n' "$status"
        return 1
    }
}

no_verdict() { # VERDICT
    ! grep "^[^ ]* $1 " verdicts || {
        printf 'nothing should be %s\n' "$1"
        return 1
    }
}

# Most systems mount their queues on /dev/mqueue. There, who has another IPC namespace and not another mount, sees them.
queues_are_mounted() { findmnt -n -t mqueue /dev/mqueue >/dev/null; }
queues_of_the_host() { if queues_are_mounted; then echo open open isolated; else echo isolated isolated isolated; fi; }

# What decides a channel.
decides() { cut -d ' ' -f 5- verdicts | grep -c . >/dev/null && sed -n "s/^$1 [^ ]* [^ ]* [^ ]* //p" verdicts; }

# Runs a script with an IPC namespace, a /dev/shm and a /dev/mqueue that show nothing else, as root of a user namespace
# where that is needed. The script gets the arguments.
in_a_world() { # SCRIPT ARGUMENT...
    local script=$1
    shift
    local how=(unshare --ipc --mount)
    is_root || how+=(--user --map-root-user)
    mkdir -p dev
    "${how[@]}" bash -ec '
        mount -t tmpfs -o mode=755 none "$PWD/dev"
        for node in null zero full random urandom tty; do
            : >"dev/$node"
            mount --bind "/dev/$node" "dev/$node"
        done
        mkdir -m 1777 dev/shm dev/mqueue
        mount -t tmpfs -o mode=1777 none dev/shm
        mount -t mqueue none dev/mqueue
        mount --rbind dev /dev
        eval "$1"' - "$script" "$@" 3>&-
}

# Whatever verify makes has this name, or lies in the namespace where one looks.
traces_of_verify() {
    ls -d /tmp/ipcns-verify-* /var/tmp/ipcns-verify-* /dev/shm/*ipcns-verify-* /dev/mqueue/ipcns-verify-* 2>/dev/null || true
}
sysv_objects() { cat /proc/sysvipc/{msg,sem,shm} | grep -v '^ *key ' || true; }
# The processes of the two sides, into agents: the first of each, then those that offer and try. Starts no program, for the
# sake of speed.
find_agents() { # PID of verify
    local firsts=() pid below
    agents=()
    read -ra firsts 2>/dev/null <"/proc/$1/task/$1/children" || true
    agents=("${firsts[@]}")
    for pid in "${firsts[@]}"; do
        below=()
        read -ra below 2>/dev/null <"/proc/$pid/task/$pid/children" || true
        agents+=("${below[@]}")
    done
}
# Until all of them are there, or verify has ended: what comes after it is in the middle of the work on any machine.
await_agents() { # PID of verify
    local turn state
    for ((turn = 0; turn < 2000; ++turn)); do
        find_agents "$1"
        if ((${#agents[@]} >= 6)); then return; fi
        read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" || return 0
        if [[ $state == Z ]]; then return; fi
    done
}
export -f traces_of_verify sysv_objects find_agents await_agents

# The programs that in_background started.
end_background() {
    local pid
    while IFS= read -r pid; do end_process "$pid"; done <"$pids_file"
}

nothing_left() {
    wait_until 10 no_processes_but_me || {
        printf 'still there: %s\n' "$(marked_processes)"
        return 1
    }
    # Other tests run verify at the same time: what is theirs goes, what was left behind stays.
    wait_until 10 no_traces || {
        traces_of_verify
        return 1
    }
}
no_traces() { [[ -z $(traces_of_verify) ]]; }
no_processes_but_me() { (unset IPCNS_TEST_MARK && no_processes); }

# --- pairs -----------------------------------------------------------------------------------------------------------

# bats test_tags=lock:verify
@test "two new namespaces: the six kinds are isolated, files, signals and the network are not" {
    try
    expect_status 0
    expect_verdict 'isolated isolated isolated' "${kinds[@]}" sysvipc mq-notify "${limits[@]}"
    expect_verdict 'open open open' "${files[@]}" signal abstract loopback rights
    # Both are in a user namespace of their own where root has none.
    if is_root; then expect_verdict open "${traces[@]}"; else expect_verdict isolated "${traces[@]}"; fi
    no_verdict error
    [[ $(decides msg) == 'ipc namespace'* && $(decides psem) == 'mount at /dev/shm'* && $(decides pshm) == 'mount at /dev/shm'* ]]
    [[ $(decides loopback) == 'network namespace'* && $(decides signal) == 'pid namespace'* && $(decides file) == 'mount at /tmp'* ]]
    is_root || [[ $(decides ptrace) == 'user namespace'* ]]
    nothing_left
}

# bats test_tags=lock:verify
@test "self and self: everything is open" {
    try self self
    expect_status 3
    expect_verdict 'open open open' "${kinds[@]}" sysvipc mq-notify "${files[@]}" signal "${traces[@]}" abstract loopback rights
    no_verdict isolated
    no_verdict error
    expect_verdict not_available "${limits[@]}"
    nothing_left
}

# bats test_tags=lock:verify
@test "only the IPC namespace is new: shared memory and named semaphores are open" {
    try --run-options --ipc-only
    expect_status 3
    expect_verdict 'isolated isolated isolated' "${sysv[@]}" mq mq-notify "${limits[@]}"
    expect_verdict 'open open open' psem pshm "${files[@]}" signal abstract loopback rights
    try --run-options --ipc-only --expect ipc
    expect_status 0
    nothing_left
}

# bats test_tags=lock:verify
@test "strict: processes and network are isolated, files only in /tmp" {
    try --run-options --strict --expect kinds,signal,ptrace,vm-read,proc-mem,proc-fd,pidfd-getfd,abstract,loopback
    expect_status 0
    expect_verdict 'isolated isolated isolated' "${kinds[@]}" sysvipc mq-notify "${limits[@]}" signal "${traces[@]}" abstract loopback
    expect_verdict open "${files[@]}" rights
    for channel in "${files[@]}"; do [[ $(decides "$channel") == 'mount at /var/tmp in /var/tmp' ]]; done
    no_verdict error
    try --run-options --strict --expect all --only file
    expect_status 3
    nothing_left
}

# bats test_tags=lock:verify
@test "a strict run and its host: the host reaches in, the run does not reach out" {
    try --run-options --strict self
    expect_status 0
    expect_verdict 'open isolated open' signal "${traces[@]}"
    expect_verdict 'isolated isolated isolated' "${kinds[@]}" abstract loopback
    nothing_left
}

# bats test_tags=lock:verify
@test "where queues are mounted, what /dev/mqueue lists is tried" {
    in_a_world '"$IPCNS" verify -n -o CHANNEL,VERDICT,DECIDES >out; "$IPCNS" verify -n -o CHANNEL,VERDICT self self >self || true
        "$IPCNS" verify -n -o CHANNEL,VERDICT,WHY --run-options --ipc-only >only || true
        "$IPCNS" verify -n -o CHANNEL,FORTH,BACK,DECIDES --run-options --ipc-only self >half || echo $? >status
        [[ -z $(traces_of_verify) && -z $(sysv_objects) ]]'
    grep -E '^mqueue +isolated +mount at /dev/mqueue' out
    grep -E '^mq +isolated +ipc namespace' out
    grep -E '^mqueue +open' self
    # The mount is that of a third namespace: neither finds its own queues there.
    grep -E '^mqueue +not available +/dev/mqueue shows the queues of another namespace' only
    # The mount is that of the first: the second gets its queues through it, although it can't open them by name.
    grep -E '^mq +open +isolated +mount at /dev/mqueue' half
    grep -E '^mqueue +open +not available' half
    [[ $(<status) == 3 ]]
}

# bats test_tags=lock:verify
@test "a named namespace and itself are open, two named ones are not" {
    one=$(unique_name) two=$(unique_name)
    ipcns create "$one"
    ipcns create "$two"
    try "$one" "$one"
    expect_status 3
    expect_verdict 'open open open' "${kinds[@]}" sysvipc mq-notify "${files[@]}" signal abstract loopback
    # An ordinary user gets a user namespace of its own at each entry.
    if is_root; then no_verdict isolated; else expect_verdict isolated "${traces[@]}"; fi
    try "$one" "$two"
    expect_status 0
    expect_verdict 'isolated isolated isolated' "${kinds[@]}" sysvipc mq-notify
    try "$one"
    expect_status 0
    expect_verdict 'isolated isolated isolated' "${kinds[@]}" sysvipc mq-notify
    [[ $(ipcns exec "$one" -- bash -c 'sysv_objects; ls -A /dev/shm') == '' ]]
    ipcns delete "$one" "$two" # with their keepers
    nothing_left
}

# bats test_tags=lock:verify
@test "a process stands for all its namespaces" {
    how=(unshare --fork --kill-child)
    is_root || how+=(--user --map-current-user)
    pair() { # UNSHARE-OPTION...
        in_background "${how[@]}" "$@" sleep 100
        inside=
        wait_until 5 find_inside $!
        try self "$inside"
    }
    find_inside() {
        inside=$(ps -o pid= --ppid "$1" | tr -d ' ')
        [[ -n $inside && $(ps -o comm= -p "$inside") == sleep ]]
    }

    pair --ipc
    expect_status 3
    expect_verdict 'isolated isolated isolated' "${sysv[@]}"
    expect_verdict "$(queues_of_the_host)" mq mq-notify
    expect_verdict 'open open open' psem pshm "${files[@]}" signal abstract loopback
    no_verdict error

    pair --net
    expect_status 3
    expect_verdict 'open open open' "${kinds[@]}" sysvipc "${files[@]}" signal
    expect_verdict 'isolated isolated isolated' abstract
    # Its loopback interface is down, so it offers nothing there.
    expect_verdict 'not_available isolated not_available' loopback
    no_verdict error

    pair --pid --mount-proc
    expect_verdict 'open open open' "${kinds[@]}" sysvipc "${files[@]}" abstract loopback
    expect_verdict 'open isolated open' signal "${traces[@]}"
    no_verdict error
    end_background
    nothing_left
}

# bats test_tags=lock:verify
@test "a sandbox of bubblewrap with and without an IPC namespace" {
    need bwrap
    sandbox() { # BWRAP-OPTION...
        in_background bwrap --bind / / --dev-bind /dev /dev --proc /proc --die-with-parent "$@" sleep 100
        inside=
        wait_until 5 find_sleep $!
        try self "$inside"
    }
    find_sleep() {
        inside=$1
        while [[ -n $inside && $(ps -o comm= -p "$inside") != sleep ]]; do
            inside=$(ps -o pid= --ppid "$inside" | tr -d ' ')
        done
        [[ -n $inside ]]
    }
    sandbox --unshare-ipc
    expect_status 3
    expect_verdict 'isolated isolated isolated' "${sysv[@]}"
    expect_verdict "$(queues_of_the_host)" mq
    expect_verdict 'open open open' psem pshm
    sandbox
    expect_status 3
    expect_verdict 'open open open' "${kinds[@]}" sysvipc
    own=(--tmpfs /dev/shm)
    if queues_are_mounted; then own+=(--mqueue /dev/mqueue); fi
    sandbox --unshare-ipc "${own[@]}"
    expect_status 0
    expect_verdict 'isolated isolated isolated' "${kinds[@]}"
    sandbox --unshare-net
    expect_verdict 'isolated isolated isolated' abstract
    end_background
    nothing_left
}

# bats test_tags=root,lock:verify
@test "a container of runc with and without an IPC namespace of its own" {
    need runc jq
    container() { # JQ-FILTER
        local folder
        rm -rf bundle
        mkdir -p bundle/rootfs
        (cd bundle && runc spec)
        for folder in usr bin lib lib64; do mkdir "bundle/rootfs/$folder"; done
        jq '.process.terminal = false | .process.args = ["sleep", "100"] |
            .mounts += (["/usr", "/bin", "/lib", "/lib64"] | map({destination: ., source: ., type: "bind", options: ["rbind", "ro"]})) |
            '"$1" bundle/config.json >config.json
        mv config.json bundle/config.json
        name=ipcns-verify-$$-$RANDOM
        runc --root "$PWD/runc" run --detach --bundle bundle --pid-file pid "$name" </dev/null >runc.log 2>&1 3>&- || {
            cat runc.log
            skip 'runc does not run here'
        }
        remember_pid "$(<pid)"
        try self "$(<pid)"
        runc --root "$PWD/runc" delete --force "$name"
    }
    container .
    expect_status 0
    expect_verdict 'isolated isolated isolated' "${kinds[@]}" sysvipc mq-notify "${files[@]}" abstract loopback
    expect_verdict 'open isolated open' signal "${traces[@]}"
    no_verdict error

    container 'del(.linux.namespaces[] | select(.type == "ipc"))'
    expect_status 3
    expect_verdict 'open open open' "${sysv[@]}" mq mq-notify
    # Its /dev/shm is its own all the same.
    expect_verdict 'isolated isolated isolated' psem pshm "${files[@]}" abstract loopback

    container 'del(.linux.namespaces[] | select(.type == "network"))'
    expect_status 0
    expect_verdict 'isolated isolated isolated' "${kinds[@]}"
    expect_verdict 'open open open' abstract loopback
    nothing_left
}

# --- it can't be fooled ------------------------------------------------------------------------------------------------

# bats test_tags=lock:verify
@test "what cannot be tried is never called isolated" {
    # A /dev/shm that cannot be written, and none at all.
    in_a_world 'mount -t tmpfs -o ro,mode=1777 none /dev/shm
        "$IPCNS" verify -n -o CHANNEL,VERDICT,WHY --run-options --ipc-only >out || echo $? >status
        umount /dev/shm; umount /dev/shm dev/shm; rmdir /dev/shm
        "$IPCNS" verify -n -o CHANNEL,VERDICT,WHY --run-options --ipc-only >none || echo $? >>status'
    for channel in psem pshm; do
        grep -E "^$channel +not available .*Read-only file system" out
        grep -E "^$channel +not available " none
    done
    grep -E '^msg +isolated' out
    # Of two of the six nothing is known.
    [[ $(<status) == $'1\n1' ]]
}

# bats test_tags=lock:verify
@test "a limit that leaves no room is no isolation" {
    try --run-options '--limit msgmni=0 --limit shmmni=0 --limit semmni=0' --only msg,sem,shm,mq
    expect_status 1
    expect_verdict 'not_available' msg sem shm
    expect_verdict 'isolated' mq
    try --run-options "--limit 'sem=8 100 10 10'" --only sem,limit.semmsl
    expect_verdict 'not_available' sem
    expect_verdict 'isolated' limit.semmsl
}

# A copy of the command with another ipcns-agent.
with_agent() { # MANNER
    local bin=$IPCNS_BUILD/bin
    mkdir -p sabotage/bin sabotage/libexec/ipcns
    cp "$bin/ipcns" sabotage/bin/
    cp "$bin"/../libexec/ipcns/* sabotage/libexec/ipcns/
    mv sabotage/libexec/ipcns/ipcns-agent sabotage/libexec/ipcns/honest-agent
    cp "$IPCNS_BUILD/tests/bin/false_agent" sabotage/libexec/ipcns/ipcns-agent
    printf '%s' "$1" >sabotage/libexec/ipcns/manner
    # shellcheck disable=SC2034 # common.bash uses it
    IPCNS=$PWD/sabotage/bin/ipcns
}

# bats test_tags=lock:verify
@test "agents that lie, keep silent or die are errors, not isolation" {
    for manner in nothing-found always-got garbage; do
        with_agent "$manner"
        try --only kinds
        expect_status 1
        no_verdict isolated
        no_verdict open
        expect_verdict error "${kinds[@]}"
    done
    with_agent dies
    run --separate-stderr ipcns verify --only kinds
    expect_status 1
    expect_error 'an agent has ended'
    nothing_left
}

# bats test_tags=lock:verify
@test "an agent that is killed in the middle makes an error of what it was about, and nothing stays" {
    # Whatever the moment: of self and self nothing is isolated.
    in_a_world '
        for victims in 0 1 2 3 4 5 "2 3" "4 5" "0 2 3"; do
            for delay in 0 0.002 0.005 0.010 0.020 0.030 0.040; do
                "$IPCNS" verify -n -o CHANNEL,VERDICT self self >out 2>err & verify=$!
                await_agents "$verify"
                sleep "$delay"
                pids=()
                for victim in $victims; do pids+=(${agents[victim]-}); done
                if ((${#pids[@]} != 0)) && kill -KILL "${pids[@]}" 2>/dev/null; then echo hit >>hits; fi
                status=0
                wait "$verify" || status=$?
                [[ $status == 3 || $status == 1 ]]
                if grep isolated out; then exit 1; fi
                [[ -z $(traces_of_verify) && -z $(sysv_objects) ]] || { traces_of_verify; sysv_objects; exit 1; }
            done
        done'
    (($(wc -l <hits) > 20))
    nothing_left
}

# bats test_tags=lock:verify
@test "verify that is killed or interrupted leaves nothing" {
    in_a_world '
        for signal in KILL INT TERM HUP; do
            for delay in 0.003 0.006 0.010 0.015 0.020 0.025 0.030 0.040 0.050 0.060; do
                env --default-signal=INT "$IPCNS" verify self self >out 2>err & verify=$!
                sleep "$delay"
                if kill "-$signal" "$verify" 2>/dev/null; then echo hit >>hits; fi
                status=0
                wait "$verify" 2>/dev/null || status=$?
                # A signal that can be taken ends it when all is gone: nobody has to wait for that.
                if [[ $signal != KILL ]]; then
                    [[ -z $(traces_of_verify) && -z $(sysv_objects) ]]
                    [[ $status == 3 || $status == $((128 + $(kill -l "$signal"))) ]]
                    if [[ $status != 3 ]]; then echo "$signal" >>interrupted; fi
                fi
                for ((i = 0; i < 500; ++i)); do
                    if [[ -z $(traces_of_verify) && -z $(sysv_objects) ]]; then break; fi
                    sleep 0.01
                done
                [[ -z $(traces_of_verify) && -z $(sysv_objects) ]] || { echo "$signal $delay"; traces_of_verify; sysv_objects; exit 1; }
                # What came as a signal ends it when everything is gone.
                if [[ $signal != KILL ]]; then [[ ! -s err ]]; fi
            done
        done'
    (($(wc -l <hits) > 20))
    [[ $(sort -u interrupted) == $'HUP\nINT\nTERM' ]]
    nothing_left
}

# bats test_tags=lock:verify
@test "verify and one of its agents are killed at once, and the other one clears up" {
    in_a_world '
        for victim in 1 2 3 4; do
            for delay in 0 0.005 0.010 0.015 0.020 0.030; do
                "$IPCNS" verify self self >out 2>err & verify=$!
                await_agents "$verify"
                sleep "$delay"
                kill -STOP "$verify" 2>/dev/null || true
                find_agents "$verify"
                if [[ -n ${agents[victim]-} ]] && kill -KILL "$verify" "${agents[victim]}" 2>/dev/null; then echo hit >>hits; fi
                kill -KILL "$verify" 2>/dev/null || true
                wait "$verify" 2>/dev/null || true
                for ((i = 0; i < 500; ++i)); do
                    if [[ -z $(traces_of_verify) && -z $(sysv_objects) ]]; then break; fi
                    sleep 0.01
                done
                [[ -z $(traces_of_verify) && -z $(sysv_objects) ]] || { traces_of_verify; sysv_objects; exit 1; }
            done
        done'
    (($(wc -l <hits) > 5))
    nothing_left
}

# bats test_tags=lock:verify
@test "limits of a namespace that exists are touched only when asked for, and put back" {
    name=$(unique_name)
    ipcns create "$name"
    before=$(ipcns limits "$name" -n -o KEY,VALUE)
    try "$name" "$name"
    expect_verdict not_available "${limits[@]}"
    try "$name" "$name" --limits
    # What would remove somebody's segments is not done.
    expect_verdict not_available limit.shm_rmid_forced
    for limit in "${limits[@]}"; do
        if [[ $limit != *rmid_forced ]]; then expect_verdict 'open open open' "$limit"; fi
    done
    [[ $(ipcns limits "$name" -n -o KEY,VALUE) == "$before" ]]
    try self "$name"
    expect_verdict not_available "${limits[@]}"
    [[ $(ipcns limits "$name" -n -o KEY,VALUE) == "$before" ]]
}

# bats test_tags=lock:verify
@test "limits are put back when an agent or verify itself is killed" {
    in_a_world '
        before=$(cat /proc/sys/kernel/{msg,shm}* /proc/sys/kernel/sem /proc/sys/fs/mqueue/* 2>/dev/null)
        for delay in 0.001 0.002 0.003 0.004 0.005 0.006 0.007 0.008 0.009 0.010 0.012 0.014 0.016 0.018 0.020; do
            for victim in verify agent; do
                "$IPCNS" verify --limits self self >/dev/null 2>&1 & verify=$!
                sleep "$delay"
                find_agents "$verify"
                # Of an agent the one that sets the limits.
                if [[ $victim == verify ]]; then agents=([2]="$verify"); fi
                if [[ -n ${agents[2]-} ]] && kill -KILL "${agents[2]}" 2>/dev/null; then echo hit >>hits; fi
                wait "$verify" 2>/dev/null || true
                for ((i = 0; i < 500; ++i)); do
                    now=$(cat /proc/sys/kernel/{msg,shm}* /proc/sys/kernel/sem /proc/sys/fs/mqueue/* 2>/dev/null)
                    if [[ $now == "$before" ]]; then break; fi
                    sleep 0.01
                done
                [[ $now == "$before" ]]
            done
        done'
    (($(wc -l <hits) > 5))
}

# bats test_tags=lock:verify
@test "many at once do not disturb each other" {
    for i in 1 2 3 4 5 6; do
        ipcns verify -n -o CHANNEL,VERDICT >"out.$i" &
    done
    for i in 1 2 3 4 5 6; do
        ipcns verify -n -o CHANNEL,VERDICT self self >"self.$i" || true &
    done
    wait
    for i in 1 2 3 4 5 6; do
        cmp out.1 "out.$i"
        cmp self.1 "self.$i"
    done
    grep -E '^msg +isolated' out.1
    grep -E '^msg +open' self.1
    if grep -E ' error' out.1 self.1; then return 1; fi
    nothing_left
}

# bats test_tags=lock:verify
@test "somebody else's queue with the same id is not read" {
    # In a new namespace the ids begin at 0, as those that the other side offers.
    need perl
    in_a_world 'id=$(ipcmk -Q | grep -o "[0-9]*$")
        [[ $id == 0 ]]
        perl -e "msgsnd(0, pack(q(l! a*), 1, q(sixteen letters!)), 0) or die"
        before=$(cat /proc/sysvipc/msg)
        "$IPCNS" verify -n -o CHANNEL,VERDICT,WHY --run-options " " self --only msg,sem,shm >out
        [[ $(cat /proc/sysvipc/msg) == "$before" ]]
        ipcrm -q "$id"'
    grep -E '^msg +isolated' out
}

# --- what it prints ------------------------------------------------------------------------------------------------------

@test "JSON: each channel with its verdict, and the sentence" {
    need python3
    run ipcns verify --json --run-options --ipc-only
    expect_status 3
    python3 -c '
import json, sys
value = json.load(sys.stdin)
assert value["first"] == "new namespace" and not value["same_ipc_namespace"] and not value["as_expected"]
by_name = {one["channel"]: one for one in value["channels"]}
assert len(by_name) == len(value["channels"]) > 30
for one in value["channels"]:
    assert one["verdict"] in ("isolated", "open", "not available", "error")
    assert one["decided_by"] and one["why"] and one["forth"] and one["back"] and one["meaning"]
assert by_name["pshm"]["verdict"] == "open" and by_name["pshm"]["expected"] is True
assert by_name["pshm"]["closed_by"] == "run" and by_name["file"]["closed_by"] is None
assert by_name["signal"]["expected"] is False
assert "psem, pshm (closed by `run`)" in value["summary"], value["summary"]
' <<<"$output"
}

@test "the sentence at the end tells what was promised, what held and what closes the rest" {
    run ipcns verify --only kinds,loopback,file,rights
    expect_status 0
    sentence=${lines[-1]}
    [[ $sentence == 'An IPC namespace promises System V objects, POSIX queues and limits of its own, and each of the 4 promises that were tried held; open besides: file (which no option of run closes); loopback (closed by `run --strict`); rights (meant to pass).' ]]
    run ipcns verify self self --only kinds
    expect_status 3
    [[ ${lines[-1]} == 'Both sides are in the same IPC namespace, which promises nothing between them; open: msg, sem, shm, mq (closed by `run --ipc-only`); psem, pshm (closed by `run`).' ]]
    run ipcns verify --only kinds --run-options '--limit msgmni=0'
    [[ ${lines[-1]} == *': 3 promises held, nothing is known of msg; '* ]]
}

@test "expect: sets and names make the exit status" {
    run ipcns verify --expect loopback --only kinds
    expect_status 3
    run ipcns verify --expect ipc,psem,pshm --only kinds
    expect_status 0
    run ipcns verify --only file
    expect_status 3
    run ipcns verify --only rights --expect kinds
    expect_status 0
    run ipcns verify --run-options --strict --expect all
    expect_status 3
}

@test "wrong usage is told, with the word that was meant" {
    for words in '--expect loopbak' '--only msgg' '--expect ,' '--run-options --strct' '--run-options --name=x' \
        '--run-options true' '--run-options --exec' '--run-options --wait' '--run-options -v' '--run-options "x' '--run-options --strict self self' 'no/such' '--only'; do
        read -ra arguments <<<"$words"
        run --separate-stderr ipcns verify "${arguments[@]}"
        expect_status 2
    done
    run --separate-stderr ipcns verify --expect loopbak
    expect_error "there is no channel 'loopbak'"
    [[ $stderr == *'did you mean loopback?'* ]]
    run --separate-stderr ipcns verify no-such-name
    expect_status 1
    run --separate-stderr ipcns verify 999999999
    expect_status 1
    expect_error 'find process 999999999'
}

@test "JUnit: whole or not at all, and XML" {
    run ipcns verify --run-options --ipc-only --junit report.xml
    expect_status 3
    grep -q '<testcase classname="ipcns.verify" name="msg"><system-out>isolated: ipc namespace:' report.xml
    grep -q 'name="pshm"><failure type="open" message="open: mount at /dev/shm: by name, by listing' report.xml
    grep -q 'name="signal"><system-out>open' report.xml
    if command -v xmllint >/dev/null; then xmllint --noout report.xml; fi
    tests=$(grep -c '<testcase ' report.xml)
    grep -q "<testsuites tests=\"$tests\" failures=\"2\" errors=\"0\"" report.xml
    # A name with all that XML wants escaped.
    mkdir '<&">'
    touch "<&\">/'ns"
    ln -s /proc/self/ns/ipc "<&\">/it's"
    run ipcns verify "./<&\">/it's" --only kinds --junit odd.xml
    if command -v xmllint >/dev/null; then xmllint --noout odd.xml; fi
    grep -q '&lt;&amp;&quot;&gt;' odd.xml

    # What cannot be written leaves what was there.
    run --separate-stderr ipcns verify --only kinds --junit missing/report.xml
    expect_status 1
    expect_error 'write missing/report.xml'
    cp report.xml before.xml
    if ! is_root; then
        chmod 500 .
        run --separate-stderr ipcns verify --only kinds --junit report.xml
        chmod 700 .
        expect_status 1
    fi
    cmp report.xml before.xml
    [[ -z $(find . -name 'report.xml.*') ]]
    # Through a link, and into what is no file.
    ln -s report.xml link.xml
    ipcns verify --only kinds --junit link.xml
    [[ -L link.xml && $(grep -c '<testcase ' report.xml) == 6 ]]
    ipcns verify -n --only kinds --junit /dev/null
    [[ -c /dev/null ]]
}

# bats test_tags=lock:verify
@test "a hundred in a row leak nothing" {
    ipcns verify >/dev/null
    for ((i = 0; i < 100; ++i)); do ipcns verify --only kinds,file,signal >/dev/null; done
    nothing_left
}
