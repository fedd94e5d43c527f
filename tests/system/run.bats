#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# `ipcns run`: what is private in it, each option, what it returns, and that nothing is left of it. What is private is
# shown by what the kernel says inside and outside, never by what ipcns says.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside

setup() {
    common_setup
    need_programs
    need_run
}

teardown() {
    remove_outside
    common_teardown
}

# --- what is private -------------------------------------------------------------------------------------------

@test "System V queues, semaphores and segments made inside are not seen outside" {
    start_held 'ipcmk -Q; ipcmk -S 2; ipcmk -M 8192; ipcs -q >q; ipcs -s >s; ipcs -m >m'
    for kind in q s m; do
        key=$(sed -nE 's/^(0x[0-9a-f]+) .*/\1/p' "$kind")
        [[ $key == 0x* ]]
        run ! grep -qx -- "$key" <(keys "$kind")
    done
    let_go
}

@test "System V queues, semaphores and segments made outside are not seen inside" {
    for kind in q s m; do
        id=$(make_outside "$kind")
        ipcs "-$kind" -i "$id" >/dev/null
        [[ -n $(keys "$kind") ]]
        [[ -z $(keys "$kind" ipcns run --) ]]
    done
}

@test "POSIX queues, named semaphores and shared memory are private both ways" {
    name=ipcns-test-$$-$RANDOM
    printf 'file %s\n' "/dev/shm/$name-out" "/dev/shm/sem.$name-out" >"$BATS_TEST_TMPDIR/outside"
    for kind in psem pshm; do "$PROGRAMS/posix_ipc" make "$kind" "/$name-out"; done
    start_held 'for kind in mq psem pshm; do "$PROGRAMS/posix_ipc" make $kind "/$NAME-in" || echo failed $kind; done >made 2>&1
        for kind in psem pshm; do "$PROGRAMS/posix_ipc" has $kind "/$NAME-out"; echo $kind $?; done >seen
        for kind in mq psem pshm; do "$PROGRAMS/posix_ipc" has $kind "/$NAME-in"; echo $kind $?; done >>seen
        ls -A /dev/shm >files' --env "NAME=$name"
    [[ ! -s made ]]
    [[ $(<seen) == $'psem 1\npshm 1\nmq 0\npsem 0\npshm 0' ]]
    [[ $(<files) == "$name-in"$'\n'"sem.$name-in" ]]
    for kind in mq psem pshm; do
        run -1 "$PROGRAMS/posix_ipc" has "$kind" "/$name-in"
    done
    [[ ! -e /dev/shm/$name-in && ! -e /dev/shm/sem.$name-in && -e /dev/shm/$name-out ]]
    let_go
}

# bats test_tags=root
@test "a POSIX queue made outside is not seen inside" {
    # In an IPC namespace that plays the outside, so that the queue goes away with it.
    run unshare --ipc sh -c '"$PROGRAMS/posix_ipc" make mq /outside && "$PROGRAMS/posix_ipc" has mq /outside || exit 5
        "$IPCNS" run -- "$PROGRAMS/posix_ipc" has mq /outside'
    expect_status 1
}

@test "/dev/shm is a fresh tmpfs that everybody may write to" {
    run ipcns run -- sh -c 'stat -c "%a %U" /dev/shm; findmnt -no FSTYPE,OPTIONS /dev/shm | tail -n 1'
    expect_status 0
    [[ ${lines[0]} == 1777* ]]
    [[ ${lines[1]} == tmpfs*nosuid*nodev* ]]
    [[ $(stat -c %d /dev/shm) != "$(ipcns run -- stat -c %d /dev/shm)" ]]
}

# bats test_tags=root
@test "/dev/mqueue shows the queues of the new namespace, where the host has that folder" {
    # A host that has one: a mount namespace with another /dev.
    cat >host <<'END'
mkdir dev && mount -t tmpfs none dev && mkdir dev/shm dev/mqueue || exit 9
for device in null zero tty urandom; do : >dev/$device && mount --bind /dev/$device dev/$device || exit 9; done
mount --rbind dev /dev && mount -t mqueue none /dev/mqueue && mount -t tmpfs none /dev/shm || exit 9
: >/dev/mqueue/outside
"$IPCNS" run -- sh -c '"$PROGRAMS/posix_ipc" make mq /inside; ls /dev/mqueue; : >/dev/shm/inside'
echo "outside: $(ls /dev/mqueue /dev/shm)"
"$IPCNS" run --ipc-only -- ls /dev/mqueue
END
    run --separate-stderr unshare --ipc --mount sh -e host
    expect_status 0
    # With --ipc-only the mount stays what it was: it shows the host's queues.
    expect_output $'inside\noutside: /dev/mqueue:\noutside\n\n/dev/shm:\noutside'
}

@test "--ipc-only makes an IPC namespace and leaves the mounts alone" {
    file=/dev/shm/ipcns-test-$$-$RANDOM
    printf 'file %s\n' "$file" >"$BATS_TEST_TMPDIR/outside"
    if is_root; then
        run ipcns run --ipc-only -- readlink /proc/self/ns/mnt
        expect_output "$(readlink /proc/self/ns/mnt)"
    fi
    run ipcns run --ipc-only -- readlink /proc/self/ns/ipc
    [[ $output == ipc:* && $output != "$(host_ns)" ]]
    ipcns run --ipc-only -- touch "$file"
    [[ -e $file ]]
}

@test "without --strict processes, network, host name and /tmp are the host's" {
    run ipcns run -- sh -c 'for i in net pid uts; do readlink /proc/self/ns/$i; done; stat -c %d:%i /tmp /proc/1'
    expect_output "$(for i in net pid uts; do readlink /proc/self/ns/$i; done && stat -c %d:%i /tmp /proc/1)"
}

@test "--strict makes six namespaces" {
    for kind in ipc mnt net pid uts; do
        run ipcns run --strict -- readlink "/proc/self/ns/$kind"
        expect_status 0
        [[ $output == "$kind":* && $output != "$(readlink "/proc/self/ns/$kind")" ]]
    done
}

@test "--strict: no process of the host is there, and /proc says so" {
    run ipcns run --strict -- sh -c 'for p in /proc/[0-9]*; do echo "${p#/proc/}"; done; kill -0 '$$' && echo found; exit 5'
    expect_status 5
    # init and the shell
    ((${#lines[@]} <= 3))
    [[ ${lines[0]} == 1 && $output != *found* ]]
}

@test "--strict: the network is a loopback of its own" {
    run ipcns run --strict -- sed -nE 's/^ *([^ ]+):.*/\1/p' /proc/net/dev
    expect_output lo
    # It is up: the address is routed.
    run ipcns run --strict -- grep -F -m 1 -o 127.0.0.1 /proc/net/fib_trie
    expect_output 127.0.0.1
}

# bats test_tags=root
@test "--strict: a host name set inside stays inside" {
    before=$(uname -n)
    run ipcns run --strict -- sh -c 'echo changed >/proc/sys/kernel/hostname && uname -n'
    expect_output changed
    [[ $(uname -n) == "$before" ]]
}

@test "--strict: /tmp and /dev/shm are empty, and what is put there stays inside" {
    file=$(mktemp /tmp/ipcns-strict.XXXXXX)
    printf 'file %s\n' "$file" >"$BATS_TEST_TMPDIR/outside"
    run ipcns run --strict -- sh -c 'ls -A /tmp /dev/shm; stat -c %a /tmp; : >"$1-inside" && echo wrote' sh "$file"
    expect_status 0
    expect_output $'/dev/shm:\n\n/tmp:\n1777\nwrote'
    [[ ! -e $file-inside ]]
}

@test "--strict: orphans are reaped, and nobody outlives the program" {
    cat >script <<'END'
(true & sleep 0.1 &) # orphans: they become children of init
i=0
while i=$((i + 1)); [ $i -lt 200 ]; do
    zombies=$(cat /proc/[0-9]*/status 2>/dev/null | grep -c '^State:.*zombie')
    left=$(ls -d /proc/[0-9]* | wc -l)
    [ "$zombies" = 0 ] && [ "$left" -le 5 ] && echo reaped && break
    sleep 0.05
done
sleep 1000 &
exit 3
END
    run ipcns run --strict -- sh ./script
    expect_status 3
    expect_in_output reaped
    [[ $output == reaped ]]
    nobody_left
}

# bats test_tags=root
@test "a mount made outside later reaches inside, none made inside leaks out" {
    cat >host <<'END'
mkdir shared && mount -t tmpfs none shared && mount --make-shared shared && mkdir shared/later shared/inner || exit 9
mkfifo go done
timeout 60 "$IPCNS" run -- sh -c 'mount -t tmpfs none shared/inner; : >shared/inner/file; : >done
    read -r _ <go; ls shared/later' &
: <done
ls shared/inner
mount -t tmpfs none shared/later && : >shared/later/came-in
echo >go
wait $!
END
    run unshare --mount sh host
    expect_status 0
    expect_output came-in
}

# --- --shm-size and --limit ------------------------------------------------------------------------------------

@test "--shm-size is the size of /dev/shm" {
    for size in 3145728 3M 3072K; do
        run ipcns run --shm-size "$size" -- df --output=size -B1 /dev/shm
        [[ ${lines[1]// /} == 3145728 ]]
    done
    run ipcns run --shm-size=1G -- df --output=size -B1 /dev/shm
    [[ ${lines[1]// /} == 1073741824 ]]
    # It is what the kernel lets one write.
    run ipcns run --shm-size 1M -- sh -c 'head -c 2000000 /dev/zero >/dev/shm/file 2>/dev/null; stat -c %s /dev/shm/file'
    expect_output 1048576
}

@test "--shm-size 0 sets no limit, and without it the size is the host's" {
    run ipcns run --shm-size 0 -- findmnt -no OPTIONS /dev/shm
    [[ ${lines[-1]} == *size=0k* ]] # so the kernel writes "no limit"
    run ipcns run -- df --output=size /dev/shm
    expect_output "$(df --output=size /dev/shm)"
}

@test "--shm-size is refused when it is no size, or when there is nothing to size" {
    for wrong in 1X '' -1 99999999T; do
        run --separate-stderr ipcns run --shm-size "$wrong" -- touch ran
        expect_status 125
        expect_error size
    done
    run --separate-stderr ipcns run --ipc-only --shm-size 1M -- touch ran
    expect_status 125
    expect_error '--ipc-only'
    [[ ! -e ran ]]
}

@test "--limit is set before the program starts, may be repeated, and stays inside" {
    before=$(cat /proc/sys/kernel/{shmmni,shmmax,sem} /proc/sys/fs/mqueue/msg_max)
    run --separate-stderr ipcns run --limit shmmni=64 --limit shmmax=1M --limit kernel.sem=10,200,5,7 \
        --limit fs.mqueue.msg_max=5 -- cat /proc/sys/kernel/{shmmni,shmmax} /proc/sys/fs/mqueue/msg_max /proc/sys/kernel/sem
    expect_status 0
    expect_output $'64\n1048576\n5\n10\t200\t5\t7'
    [[ -z $stderr && $(cat /proc/sys/kernel/{shmmni,shmmax,sem} /proc/sys/fs/mqueue/msg_max) == "$before" ]]
}

@test "--limit holds: what exceeds it is refused" {
    run --separate-stderr ipcns run --limit shmmni=1 -- sh -c 'ipcmk -M 4096 >/dev/null && echo one; ipcmk -M 4096 && echo two'
    expect_output one
    [[ $stderr == *'No space left'* ]]
    run --separate-stderr ipcns run --ipc-only --limit shmmax=8K -- sh -c 'ipcmk -M 8K >/dev/null && echo one; ipcmk -M 8193 && echo two'
    expect_output one
}

@test "--limit works in a strict run and with --exec, and the program is still who it was" {
    for how in --strict --exec --ipc-only; do
        run --separate-stderr ipcns run "$how" --limit msgmni=9 -- sh -c 'cat /proc/sys/kernel/msgmni; id -u; id -g'
        expect_status 0
        expect_output "9"$'\n'"$(id -u)"$'\n'"$(id -g)"
    done
}

@test "--limit is refused when it is unknown, malformed or not to the kernel's taste" {
    for wrong in bogus=1 shmmni shmmni= shmmni=many sem=1,2,3 =5 msgmni=99999999999 msg_max=-1 fs.mqueue.shmmni=4; do
        run --separate-stderr ipcns run --limit "$wrong" -- touch ran
        expect_status 125
        expect_output ''
        expect_error "${wrong%%=*}"
    done
    run --separate-stderr ipcns run --limit shmmni=5 --limit bogus=1 -- touch ran
    expect_status 125
    [[ ! -e ran ]]
}

# --- names -----------------------------------------------------------------------------------------------------

@test "--name is there while the program runs, leads to its namespace, and is gone afterwards" {
    name=$(unique_name)
    start_held 'ipcmk -Q; echo hello >/dev/shm/file; readlink /proc/self/ns/ipc >ns' --name "$name"
    ipcns list | grep -qw -- "$name"
    [[ $(ipcns exec "$name" -- readlink /proc/self/ns/ipc) == "$(<ns)" && $(<ns) != "$(host_ns)" ]]
    [[ $(ipcns exec "$name" -- cat /dev/shm/file) == hello ]]
    (($(keys q ipcns exec "$name" -- | wc -l) == 1))
    let_go 17
    expect_status 17
    [[ ! -e $(registry)/$name ]]
    run -125 ipcns exec "$name" -- true
    run ! grep -qw -- "$name" <(ipcns list)
    # And it can be taken again.
    run ipcns run --name "$name" -- true
    expect_status 0
}

@test "--name goes with the other options" {
    name=$(unique_name)
    run ipcns run --name "$name" --shm-size 2M --limit shmmni=5 -- sh -c 'df --output=size -k /dev/shm; cat /proc/sys/kernel/shmmni; id -u'
    expect_status 0
    [[ ${lines[1]// /} == 2048 && ${lines[2]} == 5 && ${lines[3]} == "$(id -u)" ]]
    run --separate-stderr ipcns run --name "$name" --strict -- touch ran
    expect_status 125
    expect_error strict
    [[ ! -e ran ]]
}

@test "--name that is taken or malformed is refused, and whoever has it keeps it" {
    name=$(unique_name)
    start_held true --name "$name"
    before=$(ipcns exec "$name" -- readlink /proc/self/ns/ipc)
    run --separate-stderr ipcns run --name "$name" -- touch ran
    expect_status 125
    expect_error "$name"
    [[ $(ipcns exec "$name" -- readlink /proc/self/ns/ipc) == "$before" ]]
    for wrong in '' a/b ../x 9 -x .hidden 'a b' "$(printf 'x%.0s' {1..64})"; do
        run --separate-stderr ipcns run --name "$wrong" -- touch ran
        expect_status 125
        expect_output ''
    done
    [[ ! -e ran ]]
    let_go
}

@test "--name: the name is gone when the program can't be started" {
    name=$(unique_name)
    run -127 ipcns run --name "$name" -- no-such-program
    [[ ! -e $(registry)/$name ]]
    run -125 ipcns run --name "$name" --chdir /no/such/folder -- true
    [[ ! -e $(registry)/$name ]]
}

@test "--name: when ipcns is killed with -9 the next create sweeps the name away" {
    name=$(unique_name) other=$(unique_name)
    start_held true --name "$name" --die-with-parent
    [[ -e $(registry)/$name ]]
    kill -KILL "$held"
    wait_until 10 gone "$inside"
    ipcns create "$other"
    [[ ! -e $(registry)/$name && -e $(registry)/$other ]]
    ipcns delete "$other"
    # Nothing hidden is left either.
    [[ -z $(find "$(registry)" -mindepth 1 -name "*$name*") ]]
    run ! grep -F "$name" /proc/self/mountinfo
}

# --- who it runs as --------------------------------------------------------------------------------------------

@test "the program is the same user, with the same groups" {
    run ipcns run -- sh -c 'id -u; id -g; id -un'
    expect_output "$(id -u)"$'\n'"$(id -g)"$'\n'"$(id -un)"
}

# bats test_tags=user
@test "the program of an ordinary user has no capabilities" {
    for options in '' '--ipc-only' '--strict' '--limit shmmni=9' '--exec'; do
        # shellcheck disable=SC2086 # some options are two words
        run ipcns run $options -- grep -E '^Cap(Prm|Eff|Inh|Amb):' /proc/self/status
        expect_status 0
        ((${#lines[@]} == 4))
        for line in "${lines[@]}"; do [[ $line == *$'\t0000000000000000' ]]; done
    done
}

@test "--root is root inside" {
    run ipcns run --root -- sh -c 'id -u; id -g; id -un; mount -t tmpfs none /mnt && echo mounted'
    expect_status 0
    expect_output $'0\n0\nroot\nmounted'
}

# --- parent and children ---------------------------------------------------------------------------------------

@test "--exec becomes the program" {
    in_background "$IPCNS" run --exec -- sh -c 'readlink /proc/self/ns/ipc >ns; echo $$ >pid.new; mv pid.new pid; exec sleep 60'
    pid=$!
    wait_until 10 test -e pid
    [[ $(<pid) == "$pid" && $(<ns) == ipc:* && $(<ns) != "$(host_ns)" ]]
}

@test "--exec leaves to the program what becomes of its objects" {
    mkfifo go
    in_background "$IPCNS" run --exec -- sh -c 'ipcmk -Q; : >/dev/shm/file; : >up; read -r _ <go; exit 6'
    pid=$!
    wait_until 10 test -e up
    keep_namespace "$pid"
    echo >go
    wait "$pid" || status=$?
    expect_status 6
    [[ $(kept_contents | wc -l) == 2 ]]
}

@test "--exec is refused with what needs a parent" {
    for option in --wait --strict --name=ipcns_test; do
        run --separate-stderr ipcns run --exec "$option" -- touch ran
        expect_status 125
        expect_error '--exec'
    done
    [[ ! -e ran ]]
}

@test "--wait waits for a process that the program left behind, and then removes its objects" {
    mkfifo go
    in_background "$IPCNS" run -v --wait -- sh -c '(ipcmk -Q; : >/dev/shm/file; : >up; read -r _ <go; ipcmk -M 4096; : >last) & exit 9'
    pid=$!
    wait_until 10 test -e up
    wait_until 10 grep -q 'made for sh' "$BATS_TEST_TMPDIR/background.log"
    first=$(grep -oE 'process [0-9]+' "$BATS_TEST_TMPDIR/background.log")
    wait_until 10 gone "${first#process }"
    inode=$(grep -oE 'namespace [0-9]+' "$BATS_TEST_TMPDIR/background.log")
    [[ $(ipcns pids "@${inode#namespace }" | wc -l) -ge 1 ]]
    run ! gone "$pid"
    echo >go
    wait "$pid" || status=$?
    expect_status 9
    [[ -e last ]]
    grep -qx 'ipcns: namespace [0-9]* gone; removed 1 message queue, 1 shared memory segment (4K), 1 file in /dev/shm' \
        "$BATS_TEST_TMPDIR/background.log"
}

@test "--wait ends when it is told to, and leaves alone who is still inside" {
    in_background env --default-signal=INT,QUIT "$IPCNS" run -v --wait -- sh -c 'sh -c "ipcmk -Q; echo \$\$ >up.new; mv up.new up; exec sleep 60" & exit 0'
    pid=$!
    wait_until 10 test -e up
    remember_pid "$(<up)"
    first=$(grep -oE 'process [0-9]+' "$BATS_TEST_TMPDIR/background.log")
    wait_until 10 gone "${first#process }"
    kill -TERM "$pid"
    wait_until 10 gone "$pid"
    wait "$pid" || status=$?
    expect_status 143
    run ! gone "$(<up)"
    [[ $(keys q ipcns exec "$(<up)" --) == 0x* ]]
}

@test "--die-with-parent: kill -9 of ipcns ends the program" {
    for options in '' --ipc-only --strict '--limit shmmni=9'; do
        # shellcheck disable=SC2086
        start_held true --die-with-parent $options
        program=$(pid_of_program "$held")
        [[ $program != "$held" ]]
        kill -KILL "$held"
        wait "$held" || true
        wait_until 10 gone "$program"
    done
}

@test "without --die-with-parent the program goes on when ipcns is killed with -9" {
    start_held true
    kill -KILL "$held"
    wait "$held" || true
    [[ $(readlink "/proc/$inside/ns/ipc") != "$(host_ns)" ]]
    run ! gone "$inside"
}

# --- folder and environment ------------------------------------------------------------------------------------

@test "--chdir starts the program in a folder" {
    mkdir there
    run ipcns run --chdir there -- pwd
    expect_output "$work/there"
    run ipcns run -- pwd
    expect_output "$work"
    run --separate-stderr ipcns run --chdir /no/such/folder -- touch ran
    expect_status 125
    expect_error /no/such/folder
    [[ ! -e ran ]]
}

@test "--env sets variables and --unset takes them away, everything else stays" {
    export KEPT='a b' GONE=1 CHANGED=old
    run ipcns run --env CHANGED=new --env 'NEW=x=y z' --env EMPTY= --unset GONE --unset NEVER_SET -- env
    expect_status 0
    expected=$(env -u GONE CHANGED=new 'NEW=x=y z' EMPTY= env | sort)
    [[ $(sort <<<"$output" | grep -v '^_=') == "$(grep -v '^_=' <<<"$expected")" ]]
    for wrong in X =x ''; do
        run --separate-stderr ipcns run --env "$wrong" -- touch ran
        expect_status 125
        expect_error KEY=VALUE
    done
    [[ ! -e ran ]]
}

@test "--env PATH=... is where the program is looked for" {
    mkdir bin
    printf '#!/bin/sh\necho found "$@"\n' >bin/ipcns-test-program
    chmod +x bin/ipcns-test-program
    run -127 ipcns run -- ipcns-test-program
    run ipcns run --env "PATH=$work/bin:$PATH" -- ipcns-test-program 1 2
    expect_output 'found 1 2'
}

# --- the command and its status --------------------------------------------------------------------------------

@test "without a command it is the shell of SHELL, else /bin/sh" {
    printf '#!/bin/sh\necho "my shell: $# arguments"\n' >shell
    chmod +x shell
    SHELL=$work/shell run ipcns run
    expect_output 'my shell: 0 arguments'
    SHELL=$work/shell run ipcns run --
    expect_output 'my shell: 0 arguments'
    for how in -u\ SHELL SHELL=; do
        # shellcheck disable=SC2086 # two words
        run env $how "$IPCNS" run --ipc-only < <(echo 'readlink "/proc/$$/exe"')
        expect_output "$(readlink -f /bin/sh)"
    done
}

@test "options end at the command or at --" {
    run ipcns run printf '%s,' -v --strict --help
    expect_status 0
    expect_output '-v,--strict,--help,'
    run ipcns run -- printf '%s,' -- -v
    expect_output '--,-v,'
    printf '#!/bin/sh\necho "dashed $*"\n' >-program
    chmod +x ./-program
    run ipcns run --env "PATH=$work:$PATH" -- -program -x
    expect_output 'dashed -x'
}

@test "every exit status from 0 to 255 is passed on" {
    for ((i = 0; i < 256; ++i)); do
        status=0
        ipcns run --ipc-only -- sh -c "exit $i" || status=$?
        expect_status "$i"
    done
    for ((i = 0; i < 256; i += 51)); do
        status=0
        ipcns run -- sh -c "exit $i" || status=$?
        expect_status "$i"
        status=0
        ipcns run --strict -- sh -c "exit $i" || status=$?
        expect_status "$i"
    done
}

@test "a program that signal N killed gives 128+N" {
    ulimit -c 0
    for number in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 24 25 26 27 29 30 31 34 64; do
        status=0
        ipcns run --ipc-only -- sh -c "kill -$number \$\$; sleep 60" || status=$?
        expect_status $((128 + number))
    done
    for number in 6 9 15; do
        status=0
        ipcns run --strict -- sh -c "kill -$number \$\$; sleep 60" || status=$?
        expect_status $((128 + number))
    done
}

@test "127 when the program is not found, 126 when it can't be executed" {
    for how in '' --ipc-only --strict --exec '--limit shmmni=9'; do
        # shellcheck disable=SC2086
        run --separate-stderr -127 ipcns run $how -- no-such-program
        expect_error no-such-program
        # shellcheck disable=SC2086
        run --separate-stderr -127 ipcns run $how -- ./no-such-program
        echo 'text' >not-executable
        # shellcheck disable=SC2086
        run --separate-stderr ipcns run $how -- ./not-executable
        expect_status 126
        expect_error ./not-executable
        # shellcheck disable=SC2086
        run --separate-stderr ipcns run $how -- /
        expect_status 126
    done
}

@test "a script without a first line is run by /bin/sh" {
    echo 'echo "plain $1"; exit 4' >plain
    chmod +x plain
    run ipcns run -- ./plain argument
    expect_status 4
    expect_output 'plain argument'
}

@test "bad options are refused with 125 and one line, and nothing is run" {
    for wrong in --bogus -x --strict=yes --name --limit --env --chdir --shm-size --unset; do
        run --separate-stderr ipcns run "$wrong"
        expect_status 125
        expect_output ''
        expect_error "${wrong%%=*}"
    done
    run --separate-stderr ipcns run --ipc-only --strict -- touch ran
    expect_status 125
    expect_error contradict
    [[ ! -e ran ]]
}

@test "--help says everything on standard output" {
    for how in 'run --help' 'run -h' 'help run'; do
        # shellcheck disable=SC2086
        run --separate-stderr ipcns $how
        expect_status 0
        for option in --ipc-only --strict --shm-size --limit --root --name --wait --exec --chdir --env --unset \
            --die-with-parent --verbose --help; do
            expect_in_output " $option"
        done
        [[ -z $stderr ]]
    done
}

# --- what is left ----------------------------------------------------------------------------------------------

@test "-v says which namespace was made and what was removed, on standard error" {
    run --separate-stderr ipcns run -v -- sh -c 'readlink /proc/self/ns/ipc; echo $$'
    expect_status 0
    inode=${lines[0]//[^0-9]/}
    [[ $stderr == "ipcns: namespace $inode made for sh, process ${lines[1]}"$'\n'"ipcns: namespace $inode gone; removed nothing" ]]
    run --separate-stderr ipcns run -v -- sh -c 'ipcmk -Q; ipcmk -Q; ipcmk -S 1; ipcmk -M 64K
        "$PROGRAMS/posix_ipc" make mq /a; "$PROGRAMS/posix_ipc" make psem /b; head -c 8192 /dev/zero >/dev/shm/c'
    [[ $stderr == *'removed 2 message queues, 1 semaphore set, 1 shared memory segment (64K), 1 POSIX queue, 2 files in /dev/shm ('*')' ]]
    run --separate-stderr ipcns run -- ipcmk -Q
    [[ -z $stderr ]]
}

@test "what the program leaves is removed before run returns" {
    # Beside us: a strict run may not see where it is built.
    cp "$PROGRAMS/posix_ipc" .
    name=ipcns-left-$$-$RANDOM
    for options in '' --ipc-only --strict '--limit shmmni=9'; do
        # shellcheck disable=SC2086 # some options are two words
        start_held './posix_ipc make mq /left; ./posix_ipc make psem /$name; ipcmk -Q; ipcmk -S 2; ipcmk -M 8192' --env "name=$name" $options
        # In a strict run $inside is a number of another pid namespace.
        keep_namespace "$(pid_of_program "$held")"
        [[ $(in_kept cat /proc/sysvipc/{msg,sem,shm} | wc -l) == 6 ]]
        in_kept "$PROGRAMS/posix_ipc" has mq /left
        [[ -e /proc/$BASHPID/fd/$kept_shm/sem.$name ]]
        let_go 7
        expect_status 7
        [[ $(in_kept cat /proc/sysvipc/{msg,sem,shm} | wc -l) == 3 ]]
        run -1 in_kept "$PROGRAMS/posix_ipc" has mq /left
        if [[ $options == --ipc-only ]]; then
            # The host's /dev/shm is nobody's to clean.
            rm "/dev/shm/sem.$name"
        else
            [[ -z $(ls -A "/proc/$BASHPID/fd/$kept_shm/") ]]
        fi
        exec {kept_ipc}<&- {kept_shm}<&-
    done
}

@test "folders in /dev/shm are removed with all that is in them" {
    start_held 'mkdir -p /dev/shm/a/b/c; : >/dev/shm/a/b/file; ln -s / /dev/shm/a/link; chmod 0 /dev/shm/a/b/c'
    keep_namespace "$inside"
    let_go
    [[ -z $(kept_contents) ]]
    [[ -e /etc/passwd ]]
}

@test "with others inside nothing is removed, and -v names them" {
    start_held 'ipcmk -Q; : >/dev/shm/file; sleep 60 & echo $! >other' -v
    remember_pid "$(<other)"
    let_go
    expect_status 0
    other=$(<other)
    run ! gone "$other"
    grep -qx "ipcns: namespace [0-9]* left as it is, with processes still inside: $other (.*)" "$BATS_TEST_TMPDIR/background.log"
    # They are as they were for the one that is still there.
    [[ $(ipcns exec "$other" -- ls /dev/shm) == file ]]
    [[ $(keys q ipcns exec "$other" --) == 0x* ]]
}

@test "with others inside -v does not call a namespace gone that holds no objects" {
    for options in '' --ipc-only '--limit shmmni=9'; do
        # shellcheck disable=SC2086 # some are two words
        start_held 'sleep 60 & echo $! >other' -v $options
        other=$(<other)
        remember_pid "$other"
        let_go
        expect_status 0
        run ! gone "$other"
        grep -qx "ipcns: namespace [0-9]* left as it is, with processes still inside: $other (.*)" "$BATS_TEST_TMPDIR/background.log"
        run ! grep gone "$BATS_TEST_TMPDIR/background.log"
        end_process "$other"
    done
}

@test "somebody who joined with exec keeps what is inside" {
    start_held 'ipcmk -Q'
    mkfifo go2
    in_background "$IPCNS" exec "$inside" -- sh -c ': >joined; read -r _ <go2; ipcs -q >seen; : >done'
    wait_until 10 test -e joined
    let_go
    echo >go2
    wait_until 10 test -e 'done'
    grep -q '^0x' seen
}

@test "runs inside of runs" {
    run --separate-stderr ipcns run -- sh -c 'readlink /proc/self/ns/ipc; ipcmk -Q >&2; "$IPCNS" run -- sh -c "readlink /proc/self/ns/ipc; ipcs -q | grep -c ^0x"; ipcs -q | grep -c ^0x'
    [[ ${lines[0]} == ipc:* && ${lines[1]} == ipc:* && ${lines[0]} != "${lines[1]}" ]]
    [[ ${lines[2]} == 0 && ${lines[3]} == 1 ]]
}

# bats test_tags=serial
@test "nothing is left of a run: no mount, no process, no name" {
    mounts=$(</proc/self/mountinfo)
    for options in '' --ipc-only --strict --root '--limit shmmni=9' "--name $(unique_name)"; do
        # shellcheck disable=SC2086
        ipcns run $options -- true
    done
    [[ $(</proc/self/mountinfo) == "$mounts" || $(grep -c ipcns /proc/self/mountinfo) -le 1 ]]
    nobody_left
}
