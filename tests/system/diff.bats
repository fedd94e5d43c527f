#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns diff: processes beside each other, against the links in /proc; and what two namespaces hold, made from inside by
# other programs. What could not be compared is never the same.

# shellcheck disable=SC2030,SC2031 # a test is a subshell, and its variables end with it
# shellcheck disable=SC2154 # stderr is bats'; pid, other and open are names.bash's, held is inside.bash's

load common
load names
load inside

teardown() { names_teardown; }

# Makes two namespaces, $a and $b.
two_namespaces() {
    need_names
    need jq
    a=$(unique_name a)
    b=$(unique_name b)
    ipcns create "$a"
    ipcns create "$b"
}

in_both() { # COMMAND...
    ipcns exec "$a" -- "$@" >/dev/null
    ipcns exec "$b" -- "$@" >/dev/null
}

# diff_of STATUS WANTED [ARGUMENT...]: the lines of ipcns diff, without headings, with single spaces.
diff_of() {
    local wanted_status=$1 wanted=$2
    shift 2
    run --separate-stderr ipcns diff -n "$@"
    expect_status "$wanted_status"
    output=$(sed -E 's/ +/ /g; s/ $//' <<<"$output")
    expect_output "$wanted"
}

# The namespaces of two processes as the kernel names them: "KIND A B same" or "... different".
links() { # PID PID
    local kind one two
    for kind in cgroup ipc mnt net pid time user uts; do
        [[ -e /proc/self/ns/$kind ]] || continue
        one=$(readlink "/proc/$1/ns/$kind" | tr -dc 0-9)
        two=$(readlink "/proc/$2/ns/$kind" | tr -dc 0-9)
        printf '%s %s %s %s\n' "$kind" "$one" "$two" "$([[ $one == "$two" ]] && echo same || echo different)"
    done
}

# The table of two processes without /dev/shm.
namespaces_of() { # A B
    ipcns diff -n -o WHAT,A,B,RESULT "$@" | sed -E 's/ +/ /g; /^\/dev/d' || true
}

# --- processes -------------------------------------------------------------------------------------------------------

@test "two processes of one shell share everything" {
    stay env
    run --separate-stderr ipcns diff $$ "$pid"
    expect_status 0
    expect_in_output 'They are in the same namespaces.'
    expect_in_output 'They share all six kinds of IPC objects.'
    [[ -z $stderr ]]
    [[ $(namespaces_of $$ "$pid") == "$(links $$ "$pid")" ]]
    ipcns diff self "$pid" --json | jq -e '.result == "same" and .not_compared == 0 and .b.pid == '"$pid"' and
        (.shared | length == 6 and all) and ([.results[].result] | all(. == "same"))'
}

# bats test_tags=root
@test "only IPC is apart, and it says so" {
    stay unshare --ipc
    run --separate-stderr ipcns diff self "$pid"
    expect_status 3
    expect_in_output 'They differ in IPC alone.'
    expect_in_output 'They share psem and pshm: one /dev/shm.'
    expect_in_output 'They do not share msg, sem, shm and mq: each has its own IPC namespace.'
    [[ $(namespaces_of $$ "$pid") == "$(links $$ "$pid")" ]]
    ipcns diff self "$pid" --json >json || [[ $? == 3 ]]
    jq -e '.result == "different" and .shared == {"msg": false, "sem": false, "shm": false, "mq": false, "psem": true, "pshm": true}' json
    jq -e --argjson ns "$(inode "$(ns_of "$pid")")" '.results[] | select(.what == "ipc") | .b == $ns and .a != $ns' json
}

# bats test_tags=root
@test "one IPC namespace, and each its own /dev/shm" {
    # shellcheck disable=SC2016 # for the inner shell
    stay unshare --mount sh -c 'mount -t tmpfs tmpfs /dev/shm && exec "$@"' -
    run --separate-stderr ipcns diff self "$pid"
    expect_status 3
    expect_in_output 'They differ in mnt alone.'
    expect_in_output 'They share msg, sem, shm and mq: one IPC namespace.'
    expect_in_output 'They do not share psem and pshm: each has its own /dev/shm.'
    stay unshare --mount
    run --separate-stderr ipcns diff self "$pid"
    expect_status 3
    expect_in_output 'They share all six kinds of IPC objects.'
}

@test "what run keeps apart" {
    need_names
    start_held true --strict
    pid=$(pid_of_program "$held")
    run --separate-stderr ipcns diff self "$pid"
    expect_status 3
    expect_in_output 'They share none of the six kinds of IPC objects.'
    [[ $(namespaces_of $$ "$pid") == "$(links $$ "$pid")" ]]
    # In 80 columns.
    [[ $(awk '{print length}' <<<"$output" | sort -n | tail -n 1) -le 80 ]]
}

# bats test_tags=user
@test "a process that may not be looked at is not the same" {
    run --separate-stderr ipcns diff self host
    [[ $(readlink /proc/1/ns/ipc 2>/dev/null) == '' ]] || skip 'process 1 may be looked at'
    ((status == 1 || status == 3))
    expect_in_output 'Which of their namespaces are the same is not known.'
    expect_error 'look at the namespaces of process 1: '
    [[ $output != *'same in'* && $output != *'all six'* ]]
    ipcns diff self host --json >json || true
    jq -e '.shared.msg == null and .not_compared >= 8 and ([.results[] | select(.kind == "namespace") | .result] | all(. == "not_compared"))' json
    # Neither is it the same as itself.
    run --separate-stderr ipcns diff host host
    ((status != 0))
}

@test "a process that is gone, and other things that are none" {
    run --separate-stderr ipcns diff self 2147483646
    expect_status 1
    expect_error 'find process 2147483646: No such process'
    for words in '' self 'self host self' 'self -x' '/ self -o FROB' 'self 1x' 'self self --kind x' 'self self --kind msg,'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns diff $words
        expect_status 2
        expect_output ''
        expect_error 'ipcns: '
    done
}

# --- namespaces ------------------------------------------------------------------------------------------------------

@test "empty namespaces are the same, and so is one with itself" {
    two_namespaces
    run --separate-stderr ipcns diff "$a" "$b"
    expect_status 0
    [[ $output =~ ^'No difference: 0 objects and '[0-9]+' limits.'$ ]]
    diff_of 0 '' "$a" "$b"
    run --separate-stderr ipcns diff "$a" "$a"
    expect_status 0
    expect_output 'They are one and the same, with one /dev/shm.'
    # By its number it is the same one.
    run --separate-stderr ipcns diff "$a" "@$(inode "$(ns_of_name "$a")")"
    expect_status 0
    expect_output 'They are one and the same, with one /dev/shm.'
}

@test "what is in one of them only" {
    two_namespaces
    ipcns make "$a" msg 0x10 >/dev/null
    ipcns make "$a" shm --size 4K >/dev/null
    ipcns make "$b" sem 0x20 --count 2 >/dev/null
    ipcns make "$b" mq /jobs >/dev/null
    ipcns make "$b" psem /lock --value 3 >/dev/null
    ipcns make "$b" pshm $'/a\e[31mb' --size 5 >/dev/null
    diff_of 3 'msg:0x10 only in A - 0 messages -
sem:0x20 only in B - - 2 semaphores
shm:0 only in A - 4096 bytes -
mq:/jobs only in B - - 0 messages
psem:/lock only in B - - value 3
pshm:/a\x1b[31mb only in B - - 5 bytes' "$a" "$b"
    run --separate-stderr ipcns diff "$b" "$a"
    expect_in_output 'Of 6 objects: 4 only in A and 2 only in B; of '
    [[ $(awk '{print length}' <<<"$output" | sort -n | tail -n 1) -le 80 ]]
    ipcns diff "$a" "$b" --json >json || [[ $? == 3 ]]
    jq -e --arg name $'/a\e[31mb' '.results[-1].what == "pshm:" + $name and .results[-1].result == "only_b"' json
    jq -e '.objects == {"same": 0, "different": 0, "only_a": 2, "only_b": 4} and .limits.different == 0' json
    jq -e --arg a "$a" '.a.name == $a and .a.target == $a and .same_ipc == false and .same_shm == false' json
    diff_of 3 'sem:0x20 only in B - - 2 semaphores
psem:/lock only in B - - value 3' "$a" "$b" --kind psem,sem
}

@test "what is in both and not the same" {
    two_namespaces
    ipcns make "$a" sem 0x20 --value 1,2,3 >/dev/null
    ipcns make "$b" sem 0x20 --value 1,5,3 --mode 640 >/dev/null
    ipcns make "$a" shm 0x30 --size 4K >/dev/null
    ipcns make "$b" shm 0x30 --size 8K >/dev/null
    ipcns make "$a" mq /q --count 2 --size 10 >/dev/null
    ipcns make "$b" mq /q --count 3 --size 10 >/dev/null
    in_both sh -c 'printf "the same" >/dev/shm/same; head -c 100000 /dev/zero >/dev/shm/cache'
    # shellcheck disable=SC2016 # for the inner shell
    ipcns exec "$b" -- sh -c 'printf X | dd of=/dev/shm/cache bs=1 seek=90001 conv=notrunc 2>/dev/null'
    diff_of 3 'sem:0x20 different mode 600 640
sem:0x20 different value 1 2 5
shm:0x30 different size 4096 8192
mq:/q different max messages 2 3
pshm:/cache different byte 90001 0x00 0x58' "$a" "$b"
    run --separate-stderr ipcns diff "$a" "$b"
    expect_in_output 'Of 5 objects: 4 different; of '
    ipcns diff "$a" "$b" --json >json || [[ $? == 3 ]]
    jq -e '.results[] | select(.field == "content") | .offset == 90001 and .a == 0 and .b == 88' json
    jq -e '.results[] | select(.field == "mode") | .a == "600" and .b == "640"' json
    jq -e '.results[] | select(.field == "value") | .number == 1 and .a == 2 and .b == 5' json
    # Content that is not read is no difference.
    diff_of 0 '' "$a" "$b" --no-content --kind pshm
}

# A queue with these messages. What a program sends is of type 1.
queue_of() { # NAME KEY TEXT...
    need perl
    # shellcheck disable=SC2016 # for perl
    ipcns exec "$1" -- perl -e '
        my $id = msgget(hex(shift), 01600) // die "msgget: $!";
        msgsnd($id, pack("l! a*", 1, $_), 0) or die "msgsnd: $!" for @ARGV' "${@:2}"
}

@test "messages are compared, and all of them are still there" {
    two_namespaces
    queue_of "$a" 0x40 one two three
    queue_of "$b" 0x40 one two three
    run --separate-stderr ipcns diff "$a" "$b"
    expect_status 0
    queue_of "$a" 0x50 one two
    queue_of "$b" 0x50 one twO
    diff_of 3 'msg:0x50 different message 1 byte 2 0x6f 0x4f' "$a" "$b"
    [[ $(ipcns exec "$a" -- ipcs -q | awk '/^0x/ {print $6}' | paste -sd ,) == 3,2 ]]
}

@test "how many messages, of which type and how long, and how many a queue takes" {
    two_namespaces
    need perl
    # shellcheck disable=SC2016 # for perl
    typed='my $id = msgget(0x40, 01600) // die "msgget: $!";
        while (@ARGV) { my $type = shift; msgsnd($id, pack("l! a*", $type, shift), 0) or die "msgsnd: $!" }'
    ipcns make "$a" msg 0x40 >/dev/null
    ipcns make "$b" msg 0x40 --limit 9000 >/dev/null
    ipcns exec "$a" -- perl -e "$typed" 1 one 2 two 3 three
    ipcns exec "$b" -- perl -e "$typed" 1 one 5 two 3 thr
    ipcns make "$a" msg 0x50 >/dev/null
    ipcns exec "$a" -- perl -e "${typed//0x40/0x50}" 1 more
    ipcns make "$b" msg 0x50 >/dev/null
    ipcns make "$a" mq /q --size 10 >/dev/null
    ipcns make "$b" mq /q --size 20 >/dev/null
    ipcns make "$a" sem 0x60 --count 2 >/dev/null
    ipcns make "$b" sem 0x60 --count 3 >/dev/null
    diff_of 3 'msg:0x40 different limit 16384 9000
msg:0x40 different bytes 11 9
msg:0x40 different message 1 type 2 5
msg:0x50 different messages 1 0
msg:0x50 different bytes 4 0
sem:0x60 different semaphores 2 3
mq:/q different message size 10 20' "$a" "$b"
    ipcns diff "$a" "$b" --json >json || [[ $? == 3 ]]
    [[ $(jq -r '[.results[].field] | join(" ")' json) == \
        'limit bytes message_type messages bytes semaphores message_size' ]]
    # With the same number of bytes in all, one message longer and one shorter.
    ipcns make "$a" msg 0x70 >/dev/null
    ipcns make "$b" msg 0x70 >/dev/null
    ipcns exec "$a" -- perl -e "${typed//0x40/0x70}" 1 one 1 three
    ipcns exec "$b" -- perl -e "${typed//0x40/0x70}" 1 oneXX 1 thr
    run --separate-stderr ipcns diff -n "$a" "$b" --kind msg
    [[ $(sed -E 's/ +/ /g; s/ $//' <<<"$output") == *$'\nmsg:0x70 different message 0 length 3 5' ]]
}

@test "a segment that is locked, and one that is not" {
    two_namespaces
    ipcns make "$a" shm 0x10 --size 4K --lock >/dev/null || skip 'no segment may be locked here (RLIMIT_MEMLOCK)'
    ipcns make "$b" shm 0x10 --size 4K >/dev/null
    diff_of 3 'shm:0x10 different locked yes no' "$a" "$b"
    ipcns diff "$a" "$b" --json >json || [[ $? == 3 ]]
    jq -e '.results[0] | .field == "locked" and .a == true and .b == false' json
}

# Segments of 256 MiB with a byte at either end, and what they take.
@test "large and sparse segments take no memory by being compared" {
    two_namespaces
    need perl
    for name in "$a" "$b"; do
        ipcns make "$name" shm 0x60 --size 256M >/dev/null
        # shellcheck disable=SC2016 # for perl
        ipcns exec "$name" -- perl -e '
            my $id = shmget(0x60, 0, 0) // die; shmwrite($id, "x", $_, 1) or die for 0, (1 << 28) - 1'
    done
    # rss, the last number but one
    # shellcheck disable=SC2016 # for awk
    before=$(ipcns exec "$a" -- awk 'END {print $(NF - 1)}' /proc/sysvipc/shm)
    run --separate-stderr ipcns diff "$a" "$b"
    expect_status 0
    # shellcheck disable=SC2016 # for awk
    [[ $(ipcns exec "$a" -- awk 'END {print $(NF - 1)}' /proc/sysvipc/shm) == "$before" ]]
    ((before < 65536))
    # shellcheck disable=SC2016 # for perl
    ipcns exec "$b" -- perl -e 'my $id = shmget(0x60, 0, 0) // die; shmwrite($id, "y", (1 << 28) - 1, 1) or die'
    diff_of 3 'shm:0x60 different byte 268435455 0x78 0x79' "$a" "$b"
}

@test "messages of a POSIX queue are not said to be the same" {
    two_namespaces
    need perl
    ipcns make "$a" mq /jobs >/dev/null
    ipcns make "$b" mq /jobs >/dev/null
    run --separate-stderr ipcns diff "$a" "$b"
    expect_status 0
    # mq_open and mq_timedsend of x86-64
    [[ $(uname -m) == x86_64 ]] || skip 'knows the system calls of x86-64 only'
    for name in "$a" "$b"; do
        # shellcheck disable=SC2016 # for perl
        ipcns exec "$name" -- perl -e '
            my $queue = syscall(240, my $name = "jobs", 1, 0, 0); die "mq_open: $!" if $queue < 0;
            syscall(242, $queue, my $text = $ARGV[0], length $ARGV[0], 0, 0) == 0 or die "mq_send: $!"' "of ${name:0:1}"
    done
    diff_of 1 'mq:/jobs not compared content - -' "$a" "$b"
    expect_error 'content of mq:/jobs not compared: messages of a POSIX queue'
    run --separate-stderr ipcns diff "$a" "$b"
    expect_in_output '1 thing not compared'
    ipcns diff "$a" "$b" --json >json || [[ $? == 1 ]]
    jq -e '.result == "not_compared" and .not_compared == 1 and .results[0].result == "not_compared"' json
    diff_of 0 '' "$a" "$b" --no-content
    ipcns show "$a" mq -n -o MESSAGES,SIZE | grep -qE '^ *1 +4$'
}

# bats test_tags=root
@test "limits" {
    two_namespaces
    ipcns limits "$a" shmmni=64
    ipcns limits "$b" semopm=77
    diff_of 3 'semopm different - 500 77
shmmni different - 64 4096' "$a" "$b"
    diff_of 0 '' "$a" "$b" --kind msg
}

@test "with --objects, what two processes have" {
    two_namespaces
    ipcns make "$a" msg 0x10 >/dev/null
    stay ipcns exec "$a" --
    first=$pid
    stay ipcns exec "$b" --
    run --separate-stderr ipcns diff "$first" "$pid"
    expect_status 3
    expect_in_output 'They share none of the six kinds of IPC objects.'
    diff_of 3 'msg:0x10 only in A - 0 messages -' --objects "$first" "$pid"
    # A process and a name.
    diff_of 3 'msg:0x10 only in A - 0 messages -' "$first" "$b"
    diff_of 0 '' "$first" "$a"
}

# The one that shares the /dev/shm of the other: only its IPC namespace is its own.
# bats test_tags=root
@test "a /dev/shm that both have is not compared with itself" {
    need jq
    mark_host_shm
    stay unshare --ipc
    ipcns diff --objects self "$pid" --json >json || true
    jq -e '.same_shm and (.same_ipc | not) and ([.results[] | select(.kind == "pshm")] == [])' json
}

# --- somebody else's -------------------------------------------------------------------------------------------------

# bats test_tags=root
@test "what may not be read is not compared" {
    need_names
    somebody_else
    outside=$(ipcmk -M 4096 -p 600)
    outside=${outside##* }
    key=$(awk -v id="$outside" '$2 == id {print $1}' /proc/sysvipc/shm)
    key=$(printf '0x%x' $((key & 0xffffffff))) # the kernel prints it with a sign
    as_somebody_else ipcns create mine
    as_somebody_else ipcns make mine shm "$key" --size 4096 --mode 600 >/dev/null
    run --separate-stderr as_somebody_else ipcns diff -n self mine --kind shm
    ipcrm -m "$outside"
    as_somebody_else ipcns delete mine
    # The owner is another one, so they differ; and what is in it is still not known.
    expect_status 3
    grep -qE "^shm:$key +different +owner +root +$other" <<<"$output"
    grep -qE "^shm:$key +not compared +content" <<<"$output"
    [[ $stderr == *"content of shm:$key not compared: only who may read it learns what is in it"* ]]
}

# bats test_tags=root
@test "owners without a number in the user namespace are not said to be the same" {
    need_names
    somebody_else
    for name in first second; do
        as_somebody_else ipcns create "$name"
        number=$(as_somebody_else ipcns exec "$name" -- readlink /proc/self/ns/ipc | tr -dc 0-9)
        # Root is nobody there.
        ipcns make "@$number" msg 0x77 --mode 666 >/dev/null
    done
    run --separate-stderr as_somebody_else ipcns diff -n first second
    as_somebody_else ipcns delete first second
    expect_status 1
    grep -qE '^msg:0x77 +not compared +owner' <<<"$output"
    [[ $stderr == *'has no number in this user namespace'* ]]
}
