#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# OCI runtimes: containers of a real runc as TARGET, with root and without; named namespaces in config.json; the hook that
# lets containers share all six kinds, and how it fails. What crun, docker and containerd write down is laid out as they do, for
# a process of the test. docs/containers.md is run command by command.

# shellcheck disable=SC2154 # status, output and stderr are bats'
# shellcheck disable=SC2016 # scripts for the shells of containers, and for jq

load common

setup() {
    common_setup
    need runc jq
    containers=()
    hook=$IPCNS_BUILD/libexec/ipcns/ipcns-oci-hook
    programs=$IPCNS_BUILD/tests/bin
}

teardown() {
    local id
    for id in "${containers[@]}"; do runc delete --force "$id" 3>&- || true; done
    cd / || return
    if [[ -n ${place-} ]]; then rm -rf --one-file-system "$place"; fi
    common_teardown
}

# A bundle in ./NAME that sleeps, changed by the filter.
bundle() { # NAME [JQ-FILTER]
    local folder root=()
    is_root || root=(--rootless)
    mkdir -p "$1/rootfs"
    (cd "$1" && rm -f config.json && runc spec "${root[@]}")
    for folder in usr bin lib lib64 programs; do mkdir -p "$1/rootfs/$folder"; done
    jq --arg hook "$hook" --arg programs "$programs" '
        .process.terminal = false | .process.args = ["sleep", "1000"] | .root.readonly = false |
        .mounts += (["/usr", "/bin", "/lib", "/lib64"] | map({destination: ., source: ., type: "bind", options: ["rbind", "ro"]})) |
        .mounts += [{destination: "/programs", source: $programs, type: "bind", options: ["rbind", "ro"]}] |
        '"${2:-.}" "$1/config.json" >config
    mv config "$1/config.json"
}

# In the filter of a bundle: as config.json is written by hand.
in_name() { # NAME
    printf '(.linux.namespaces[] | select(.type == "ipc")) |= (.path = "/run/ipcns/%s/ipc")' "$1"
}
with_hook='.hooks.createRuntime = [{path: $hook}]'

# Runs it in the background: $id and $pid.
start() { # BUNDLE
    new_id "$1"
    start_as "$id" "$1"
    pid=$(<pid)
    remember_pid "$pid"
}

new_id() { # BUNDLE
    id=ipcns-$1-$$-$RANDOM
    containers+=("$id")
}

start_as() { # ID BUNDLE
    runc run --detach --bundle "$2" --pid-file pid "$1" </dev/null >runc.log 2>&1 3>&- || {
        cat runc.log
        return 1
    }
}

inside() { # ID COMMAND...
    runc exec "$@" </dev/null 3>&-
}

# One of each kind, made in a container; and which of them another one sees.
make_all() { # ID
    inside "$1" sh -c 'ipcmk -Q && ipcmk -S 1 && ipcmk -M 4096' >made
    for kind in mq psem pshm; do inside "$1" /programs/posix_ipc make "$kind" /six; done
}

seen_in() { # ID
    local kind
    inside "$1" sh -c 'for kind in -q -s -m; do ipcs $kind | grep -c "^0x"; done || true' | tr '\n' ' '
    for kind in mq psem pshm; do
        if inside "$1" /programs/posix_ipc has "$kind" /six; then printf '1 '; else printf '0 '; fi
    done
}

# How many mounts there are on the host that have to do with this test.
mounts() { grep -cF -e "$BATS_TEST_TMPDIR" -e "/$name/" /proc/self/mountinfo; }

link_of() { readlink "/proc/$1/ns/ipc"; } # PID

@test "a container of runc is a TARGET, with root and without" {
    is_root || need_userns
    bundle web
    start web || skip 'runc does not run here'
    [[ $(link_of "$pid") != "$(host_ns)" ]]
    inside "$id" ipcmk -Q
    inside "$id" /programs/posix_ipc make pshm /six

    run -0 ipcns exec "oci:$id" -- readlink /proc/self/ns/ipc
    expect_output "$(link_of "$pid")"
    ipcns exec "oci:$id" -- "$programs/posix_ipc" has pshm /six
    run -0 ipcns show "oci:$id" -q -n -o OBJECT
    expect_output $'msg:0\npshm:/six'
    run -0 ipcns show "oci:$id" msg:0 -q -n -o OBJECT
    expect_output msg:0
    run -0 ipcns pids -n -o PID "oci:$id"
    expect_in_output "$pid"
    ipcns make "oci:$id" sem --count 2
    ipcns remove "oci:$id" msg:0 --yes
    inside "$id" ipcs -q >queues
    run ! grep '^0x' queues
    ipcns limits "oci:$id" -n -o VALUE | head -n 1
    run -3 ipcns diff self "oci:$id" -n -o WHAT,RESULT
    grep -Ex 'mnt +different' <<<"$output"
    run -0 ipcns verify "oci:$id" --only msg,pshm -n -o VERDICT
    expect_output $'isolated\nisolated'

    # Named, it outlives the container.
    name=$(unique_name)
    ipcns attach "$name" "oci:$id"
    run -0 ipcns show "$name" -q -n -o OBJECT
    expect_in_output pshm:/six

    # By the beginning of its id; not when another begins the same.
    run -0 ipcns exec "oci:${id%?}" -- readlink /proc/self/ns/ipc
    expect_output "$(link_of "$pid")"
    other=${id}x
    containers+=("$other")
    start_as "$other" web
    remember_pid "$(<pid)"
    run -2 --separate-stderr ipcns show "oci:${id%?}"
    expect_error "$id"
    expect_error "$other"
    ipcns show "oci:$id"

    kill -KILL "$pid"
    wait_until 10 gone "$pid"
    run -125 --separate-stderr ipcns exec "oci:$id" -- true
    expect_error 'has stopped'
    runc delete --force "$id" 3>&-
    runc delete --force "$other" 3>&-
    run -1 --separate-stderr ipcns show "oci:$id"
    expect_error "find the container $id: No such file or directory"
}

# bats test_tags=root
@test "two containers with the hook share all six kinds, a third one none" {
    name=$(unique_name)
    ipcns create "$name"
    mounts=$(mounts)
    bundle first "$(in_name "$name") | $with_hook"
    bundle second "$(in_name "$name") | $with_hook | .annotations = {\"org.ipcns.name\": \"$name\"}"
    bundle third "$with_hook"
    start first
    first=$id first_pid=$pid
    start second
    second=$id
    start third
    third=$id
    [[ $(link_of "$first_pid") == "$(link_of "$(runc state "$second" | jq .pid)")" ]]

    make_all "$first"
    [[ $(seen_in "$first") == '1 1 1 1 1 1 ' ]]
    [[ $(seen_in "$second") == '1 1 1 1 1 1 ' ]]
    [[ $(seen_in "$third") == '0 0 0 0 0 0 ' ]]
    # The same from the host, and the other way round.
    run -0 ipcns show "$name" -n -q -o KIND
    expect_output $'msg\nsem\nshm\nmq\npsem\npshm'
    ipcns make "$name" pshm /from-host --size 4096
    inside "$second" test -e /dev/shm/from-host
    inside "$second" sh -c 'ls /dev/mqueue' | grep -x six

    # Nothing of it shows on the host, neither now nor when somebody mounts something in there.
    (($(mounts) == mounts))
    nsenter --target "$first_pid" --mount sh -c 'mkdir /dev/shm/below && mount -t tmpfs none /dev/shm/below && : >/dev/shm/below/x'
    inside "$first" test -e /dev/shm/below/x
    [[ ! -e /run/ipcns/$name/shm/below/x ]]
    (($(mounts) == mounts))

    # What the containers left is still there for the next one, until the name goes.
    runc delete --force "$first" 3>&-
    runc delete --force "$second" 3>&-
    run -0 ipcns show "$name" -n -q -o KIND
    expect_in_output psem
    ipcns delete "$name"
}

# bats test_tags=root
@test "without the hook a named namespace brings four kinds, with a bind mount six" {
    name=$(unique_name)
    ipcns create "$name"
    bundle four "$(in_name "$name")"
    # What the hook does, by config.json alone; and the hook has nothing left to do.
    bundle six "$(in_name "$name") | $with_hook | .mounts |= map(select(.destination != \"/dev/shm\")) |
        .mounts += [{destination: \"/dev/shm\", source: \"/run/ipcns/$name/shm\", type: \"bind\", options: [\"bind\"]}]"
    start four
    four=$id
    start six
    six=$id six_pid=$pid
    make_all "$six"
    [[ $(seen_in "$six") == '1 1 1 1 1 1 ' ]]
    [[ $(seen_in "$four") == '1 1 1 1 0 0 ' ]]
    (($(grep -c ' /dev/shm ' "/proc/$six_pid/mountinfo") == 1))
    (($(grep -c ' /dev/mqueue ' "/proc/$six_pid/mountinfo") == 1))
}

# bats test_tags=root
@test "the hook makes /dev/shm and /dev/mqueue where a container has none" {
    name=$(unique_name)
    ipcns create "$name"
    bundle bare "$(in_name "$name") | $with_hook | .mounts |= map(select(.destination | IN(\"/dev/shm\", \"/dev/mqueue\") | not))"
    start bare
    make_all "$id"
    run -0 ipcns show "$name" -n -q -o KIND
    expect_output $'msg\nsem\nshm\nmq\npsem\npshm'
    # Mounted as the name's own is.
    run -0 inside "$id" grep ' /dev/shm ' /proc/self/mountinfo
    expect_in_output nosuid
    expect_in_output nodev
}

# bats test_tags=root
@test "annotations set limits, all or none" {
    bundle own "$with_hook"' | .annotations = {"org.ipcns.limit.shmmni": "7", "org.ipcns.limit.msgmnb": "64K", "org.ipcns.limit.semmni": "5", "other": "x"}'
    start own
    run -0 inside "$id" cat /proc/sys/kernel/shmmni /proc/sys/kernel/msgmnb /proc/sys/kernel/sem
    expect_output $'7\n65536\n32000\t1024000000\t500\t5'
    for _ in 1 2 3 4 5 6 7; do inside "$id" ipcmk -M 4096; done
    run ! inside "$id" ipcmk -M 4096

    # In a named one they hold for all who are in it.
    name=$(unique_name)
    ipcns create "$name"
    bundle named "$(in_name "$name") | $with_hook"' | .annotations = {"org.ipcns.limit.queues_max": "3"}'
    start named
    run -0 ipcns exec "$name" -- cat /proc/sys/fs/mqueue/queues_max
    expect_output 3

    # None, where one is wrong; and set back, where mounting fails afterwards.
    refused bad '"org.ipcns.limit.shmmni": "9", "org.ipcns.limit.shm_rmid_forced": "2"' "$name" 'shm_rmid_forced'
    refused bad '"org.ipcns.limit.shmmni": "9"' "$name" 'mount /dev/shm in the container' '.mounts |= map(select(.destination != "/dev")) |
        .mounts |= map(select(.destination | startswith("/dev/") | not)) | .linux.devices = []' shm_is_a_file
    run -0 ipcns exec "$name" -- cat /proc/sys/kernel/shmmni
    expect_output 4096
}

shm_is_a_file() {
    mkdir -p bad/rootfs/dev
    : >bad/rootfs/dev/shm
}

# A container with these annotations is not made, and says why.
refused() { # BUNDLE ANNOTATIONS NAME MESSAGE [FILTER [COMMAND]]
    local filter=$with_hook
    if [[ -n $3 ]]; then filter+=" | $(in_name "$3")"; fi
    rm -rf "$1"
    bundle "$1" "$filter | .annotations = {$2} | ${5:-.}"
    if [[ -n ${6-} ]]; then "$6"; fi
    new_id "$1"
    run ! start_as "$id" "$1"
    said=$output
    [[ $said == *"ipcns-oci-hook: "*"$4"* ]] || {
        printf 'expected "ipcns-oci-hook: ... %s" in:\n%s\n' "$4" "$said"
        return 1
    }
    run ! runc state "$id"
}

# bats test_tags=root
@test "what the hook can't do makes the container fail, and says why" {
    name=$(unique_name)
    other=$(unique_name other)
    ipcns create "$name"
    ipcns create "$other"
    refused wrong "\"org.ipcns.name\": \"$other\"" "$name" "$other: Invalid argument"
    [[ $said == *"/run/ipcns/$other/ipc"* ]]
    refused wrong "\"org.ipcns.name\": \"$name\"" '' 'its IPC namespace is another one'
    refused wrong '"org.ipcns.name": "no-such-name"' "$name" 'find the namespace no-such-name'
    refused wrong '"org.ipcns.name": "../x"' "$name" 'cannot be a name'
    refused wrong '"org.ipcns.names": "x"' '' 'understand the annotation org.ipcns.names'
    refused wrong '"org.ipcns.limit.shmmin": "1"' '' 'shmmin'
    refused wrong '"org.ipcns.limit.shmmni": "many"' '' 'many'
    before=$(cat /proc/sys/kernel/shmmni)
    refused wrong '"org.ipcns.limit.shmmni": "12345"' '' "its IPC namespace is the host's" \
        'del(.linux.namespaces[] | select(.type == "ipc"))'
    [[ $(cat /proc/sys/kernel/shmmni) == "$before" ]]
}

# bats test_tags=root
@test "a link in a container's root leads the hook nowhere" {
    name=$(unique_name)
    ipcns create "$name"
    mkdir target
    bare='.mounts |= map(select(.destination != "/dev" and (.destination | startswith("/dev/") | not))) | .linux.devices = []'
    link_shm() { mkdir -p link/rootfs/dev && ln -s "$PWD/target" link/rootfs/dev/shm; }
    link_up() { mkdir -p link/rootfs/dev && ln -s "../../../../../../../../..$PWD/target" link/rootfs/dev/shm; }
    link_dev() { mkdir -p target/shm target/mqueue && rm -rf link/rootfs/dev && ln -s "$PWD/target" link/rootfs/dev; }
    for make in link_shm link_up; do
        refused link '"a": "b"' "$name" 'mount /dev/shm in the container' "$bare" "$make"
        [[ $said == *'symbolic link'* ]]
    done
    # Runtimes make devices themselves, below a /dev that is a link as well; so the hook alone is shown one.
    rm -rf link
    bundle link "$bare"
    link_dev
    in_the_hooks_place "$name" link
    [[ $output == *'symbolic link'* ]]
    run ! grep -F "$PWD/target" /proc/self/mountinfo
    [[ -z $(find target -type f) ]]
}

# Calls the hook as a runtime does, for a process in the name and with a mount namespace in which the bundle's root is mounted.
in_the_hooks_place() { # NAME BUNDLE
    local place=$PWD/$2/rootfs
    in_background nsenter --ipc="/run/ipcns/$1/ipc" -- unshare --mount --propagation private sh -c \
        'mount --bind "$1" "$1" && echo ready >ready && exec sleep 1000' - "$place"
    local process=$!
    wait_until 10 test -s ready
    rm ready
    run bash -c '"$0" <<<"$1"' "$hook" "{\"id\": \"x\", \"pid\": $process, \"status\": \"created\", \"bundle\": \"$PWD/$2\"}"
    end_process "$process"
}

# bats test_tags=root
@test "the hook by hand: states and bundles that make no sense" {
    name=$(unique_name)
    ipcns create "$name"
    bundle plain
    says() { # TEXT: and it changed nothing
        run -1 bash -c '"$0" <<<"$1"' "$hook" "$state"
        expect_in_output 'ipcns-oci-hook: '
        expect_in_output "$1"
    }
    state='' && says "read the container's state"
    state='[]' && says 'no JSON object'
    state='{"pid": 1' && says 'no JSON object'
    state='{"pid": 1, "bundle": "/"}' && says '"id" is missing'
    for pid in 0 -1 '"1"' 1.5 99999999999 null; do
        state="{\"id\": \"x\", \"pid\": $pid, \"bundle\": \"/\"}" && says 'names no process'
    done
    state="{\"id\": \"x\", \"pid\": $$}" && says '"bundle" is missing'
    state="{\"id\": \"x\", \"pid\": $$, \"bundle\": \"$PWD/none\"}" && says 'open the bundle'
    state="{\"id\": \"\u001b[2J\", \"pid\": 1073741824, \"bundle\": \"/\"}" && says 'container \x1b[2J'
    # What is no bundle is not shown.
    mkdir bad
    state="{\"id\": \"x\", \"pid\": $$, \"bundle\": \"$PWD/bad\"}"
    says 'config.json: No such file'
    printf 'secret' >bad/config.json && says 'no JSON object'
    [[ $output != *secret* ]]
    printf '{"root": {}}' >bad/config.json && says '"path" is missing'
    rm bad/config.json
    ln -s ../plain/config.json bad/config.json && says 'config.json: Too many levels'
    rm bad/config.json
    mkfifo bad/config.json && says 'it is no file'
    # A process in the name that shares the host's mounts: nothing is mounted.
    mounts=$(mounts)
    in_background nsenter --ipc="/run/ipcns/$name/ipc" sleep 1000
    process=$!
    wait_until 10 same_ipc "$process" "/run/ipcns/$name/ipc"
    state="{\"id\": \"x\", \"pid\": $process, \"bundle\": \"$PWD/plain\"}" && says 'it has none of its own'
    # And one whose root is not mounted: a hook at the wrong time.
    in_background nsenter --ipc="/run/ipcns/$name/ipc" -- unshare --mount sleep 1000
    process=$!
    wait_until 10 comm_is "$process" sleep
    state="{\"id\": \"x\", \"pid\": $process, \"bundle\": \"$PWD/plain\"}" && says 'nothing is mounted there'
    (($(mounts) == mounts))
    run -0 "$hook" --help
    expect_in_output 'ipcns-oci-hook(8)'
    run -2 "$hook" something
}

same_ipc() { [[ $(stat -Lc %i "/proc/$1/ns/ipc") == "$(stat -Lc %i "$2")" ]]; }
comm_is() { [[ $(<"/proc/$1/comm") == "$2" ]]; }

# bats test_tags=root
@test "a container with a user namespace shares all six kinds, too" {
    name=$(unique_name)
    ipcns create "$name"
    # The tests' folder is not open to others, and the container's root is one of them.
    place=$(mktemp -d /tmp/ipcns-oci.XXXXXX)
    cd "$place"
    chmod 755 .
    bundle mapped "$(in_name "$name") | $with_hook"' | .linux.namespaces += [{type: "user"}] |
        .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings |
        .mounts |= map(select(.destination != "/dev/mqueue" and .destination != "/programs")) |
        .mounts += [{destination: "/programs", source: "'"$place"'/programs", type: "bind", options: ["rbind", "ro"]}] |
        .process.args = ["sh", "-c", "ipcmk -Q && ipcmk -S 1 && ipcmk -M 4096 && for kind in mq psem pshm; do /programs/posix_ipc make $kind /six; done; ls /dev/mqueue >/dev/shm/queues; exec sleep 1000"]'
    mkdir programs
    cp "$programs/posix_ipc" programs
    chmod -R a+rX .
    chown -R 100000:100000 mapped/rootfs
    start mapped
    wait_until 10 test -s "/run/ipcns/$name/shm/queues"
    run -0 ipcns show "$name" msg sem shm mq psem -n -q -o KIND
    expect_output $'msg\nsem\nshm\nmq\npsem'
    ipcns show "$name" pshm:/six
    [[ $(<"/run/ipcns/$name/shm/queues") == six ]]
    # Its /dev/mqueue is a mount, so nobody sees a folder that the host's root would own.
    grep -q ' /dev/mqueue ' "/proc/$pid/mountinfo"
}

# The commands that docs/containers.md shows, and what it says they print.
blocks() { awk '/^<!-- tried -->/ {tried = 1} tried && /^```console/ {on = 1; next} /^```$/ {on = tried = 0} on' "$1"; }

# What differs from run to run, made equal.
levelled() { sed -E "s/$suffix\b//g; s/0x[0-9a-f]{8}/KEY/g; s/ +/ /g; s/ \$//"; }

# bats test_tags=root
@test "docs/containers.md is as it says" {
    suffix=-$$-$RANDOM
    document=$IPCNS_TREE/docs/containers.md
    printf '%s\n' "db$suffix" "mine$suffix" >>"$names_file"
    containers+=("web$suffix" "worker$suffix")
    PATH=${IPCNS%/*}:$PATH
    {
        printf '%s\n' 'exec 2>&1 </dev/null'
        blocks "$document" | sed -nE 's/^# //p' | sed -E "s/\b(db|mine|web|worker)\b/\1$suffix/g; s|/usr/local/libexec/ipcns/ipcns-oci-hook|$hook|" |
            while IFS= read -r command; do printf 'printf "# %%s\n" %q\n%s\n' "$command" "$command"; done
    } >script
    # What the containers print would hold a pipe open.
    timeout 100 bash --norc script >printed 3>&-
    diff <(blocks "$document" | levelled) <(sed "s|$hook|/usr/local/libexec/ipcns/ipcns-oci-hook|" printed | levelled)
    (($(grep -c '^# ' printed) > 20))
}

# bats test_tags=root
@test "what crun, docker and containerd write down, on a host of their own" {
    in_background unshare --ipc sleep 1000
    pid=$!
    wait_until 10 comm_is "$pid" sleep
    start=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d ' ' -f 20)
    # Seen by nobody else: an empty /run and /var/lib.
    cat >host.sh <<'END'
set -euo pipefail
mount -t tmpfs none /run
mount -t tmpfs none /var/lib
state() { # FILE TEXT
    mkdir -p "${1%/*}"
    printf '%s' "$2" >"$1"
}
crun='{"pid": '$1', "process-start-time": '$2', "cgroup-path": "/machine.slice/libpod-3f1.scope", "scope": "libpod-3f1.scope", "rootfs": "/merged",
"systemd-cgroup": true, "bundle": "/var/lib/containers/storage/overlay-containers/3f1/userdata", "created": "2026-11-26T14:28:13.507493Z",
"detached": true, "external_descriptors": "[\"/dev/null\"]"}'
runc='{"id":"a7c","init_process_pid":'$1',"init_process_start":'$2',"created":"2026-11-26T14:28:13.507493781Z","config":{"labels":["bundle=/b"]}}'
link=$(readlink "/proc/$1/ns/ipc")
is() { [[ $("$IPCNS" exec "$1" -- readlink /proc/self/ns/ipc) == "$link" ]]; }

state /run/crun/3f1c/status "$crun"
state /var/lib/containers/storage/overlay-containers/containers.json '[{"id":"3f1c","names":["pod-web"],"layer":"9"}]'
is oci:3f1c
is oci:3f
is oci:pod-web
state /run/docker/runtime-runc/moby/a7c/state.json "$runc"
state /var/lib/docker/containers/a7c/config.v2.json '{"ID":"a7c","Name":"/docker-web","State":{"Pid":1}}'
is oci:a7
is oci:docker-web
state /run/containerd/runc/k8s.io/b2e/state.json "${runc/'"bundle=/b"'/"$3"}"
is oci:b2e
is oci:kube-web
rm /run/crun/3f1c/status
[[ $("$IPCNS" show oci:pod-web 2>&1) == *'there is no state in /run/crun/3f1c'* ]]
echo all
END
    run -0 unshare --mount bash host.sh "$pid" "$start" '"a=b","io.kubernetes.cri.container-name=kube-web"'
    expect_in_output all
}
