#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# peek: what it prints of an object is what is in it (perl's raw calls, receivers and hexdump inside the namespace tell that),
# and looking changes nothing.

# shellcheck disable=SC2016,SC2154 # inner shells and perl expand the scripts; stderr is bats', pid is names.bash's

load common
load names

setup() {
    common_setup
    need_names
    need perl jq base64
    need_program posix_ipc
    name=$(unique_name)
    ipcns create "$name"
}

teardown() { names_teardown; }

inside() { ipcns exec "$name" -- "$@"; }
send() { inside perl -e 'msgsnd($ARGV[0], pack("l! a*", $ARGV[1], $ARGV[2]), 0) || die "$!\n"' -- "$@"; } # ID TYPE TEXT
# The next message as "TYPE TEXT".
receive() { inside perl -e 'msgrcv($ARGV[0], $m, 70000, 0, 2048) || die "$!\n"; print join(" ", unpack("l! a*", $m))' -- "$1"; } # ID
kernel_says() { inside sed -n 2p /proc/sysvipc/msg; }

# Skips where POSIX queues can't be peeked for a reason that is not what the test is about.
need_mq() {
    run --separate-stderr ipcns peek "$name" "mq:$1"
    [[ $status == 0 ]] || skip "$stderr"
}

@test "messages of a System V queue in their order, with type, length and bytes; none is taken and nothing moves" {
    inside ipcmk -Q >made
    send 0 7 'taken'
    send 0 7 $'hello\n\e[31mworld'
    send 0 99999999999 ''
    send 0 1 "$(printf 'x%.0s' {1..300})"
    receive 0 # so that there is a last receiver
    kernel_says >before
    run -0 ipcns peek "$name" msg:0
    expect_output 'NUMBER        TYPE BYTES
     0           7    16
    00000000  68 65 6c 6c 6f 0a 1b 5b  33 31 6d 77 6f 72 6c 64  |hello..[31mworld|
     1 99999999999     0
     2           1   300
    00000000  78 78 78 78 78 78 78 78  78 78 78 78 78 78 78 78  |xxxxxxxxxxxxxxxx|
    *
    and 44 bytes more (--bytes 0 shows all)'
    run -0 ipcns peek "$name" msg:0 --bytes 5 --limit 1 -n
    expect_output '0 7 16
    00000000  68 65 6c 6c 6f                                    |hello|
    and 11 bytes more (--bytes 0 shows all)'
    run -0 ipcns peek "$name" msg:0 --bytes 0
    expect_in_output '    00000120  78 78 78 78 78 78 78 78  78 78 78 78              |xxxxxxxxxxxx|'
    run -0 ipcns peek "$name" msg:0 -o TEXT,BYTES,NUMBER -n --limit 2
    expect_equal "${lines[0]}" 'hello\n\x1b[31mworld 16 0'
    kernel_says >after
    diff before after
    expect_equal "$(receive 0)" $'7 hello\n\e[31mworld'
    expect_equal "$(receive 0)" '99999999999 '
}

@test "one message's bytes as they are" {
    inside ipcmk -Q >made
    inside perl -e 'msgsnd(0, pack("l! a*", 1, "first"), 0); msgsnd(0, pack("l!", 2) . join("", map chr, 0 .. 255), 0)'
    perl -e 'print map chr, 0 .. 255' >wanted
    ipcns peek "$name" msg:0 --raw 1 >found
    cmp wanted found
    ipcns peek "$name" msg:0 --raw=0 >found
    expect_equal "$(<found)" first
    run --separate-stderr ipcns peek "$name" msg:0 --raw 2
    expect_status 1
    expect_error 'write message 2 of 2'
    [[ -z $output ]]
}

@test "JSON, by key, with all bytes" {
    inside perl -e 'msgget(0x1234, 01600) // die; msgsnd(0, pack("l!", 5) . join("", map chr, 0 .. 255) x 3, 0); msgsnd(0, pack("l!", 6), 0)'
    run -0 ipcns peek "$name" msg:0x1234 --json
    jq -e '.object == "msg:0" and .one_moment and (.messages | length == 2) and .messages[0].number == 0 and
        .messages[0].type == 5 and .messages[0].bytes == 768 and .messages[1] == {number: 1, type: 6, bytes: 0, data: ""}' <<<"$output"
    jq -e --argjson ns "$(inode "$(ns_of_name "$name")")" '.namespace.ns == $ns' <<<"$output"
    jq -j '.messages[0].data' <<<"$output" | base64 -d >found
    perl -e 'print join("", map chr, 0 .. 255) x 3' | cmp - found
    run -0 ipcns peek "$name" msg:0x1234 --json --limit 1 -o NUMBER,TEXT
    jq -e '.messages == [{number: 0, text: .messages[0].text}] and (.messages[0].text | startswith("\\x00"))' <<<"$output"
    inside ipcmk -Q >made
    id=$(ipcns show "$name" msg -n -o ID,KEY | awk '$2 != "0x00001234" {print $1}')
    run -0 ipcns peek "$name" "msg:$id" --json
    jq -e '.messages == [] and .one_moment' <<<"$output"
}

@test "an object that is not there" {
    for object in msg:9 msg:0x9 sem:1 shm:2 mq:/none psem:/none pshm:/none; do
        run --separate-stderr ipcns peek "$name" $object
        expect_status 1
        expect_error "peek at $object: there is no such object"
    done
}

# bats test_tags=user
@test "a queue that may not be read" {
    inside perl -e 'msgget(0x77, 01200) // die'
    run --separate-stderr ipcns exec "$name" -- "$IPCNS" peek self msg:0x77
    expect_status 1
    expect_error 'read permission'
}

# bats test_tags=user
@test "an ordinary user peeks at his own System V queue, and is told what a POSIX queue takes" {
    inside ipcmk -Q >made
    send 0 3 mine
    run -0 ipcns peek "$name" msg:0 -n -o TYPE,TEXT
    expect_output '3 mine'
    inside "$programs/posix_ipc" make mq /jobs
    run --separate-stderr ipcns peek "$name" mq:/jobs
    expect_status 1
    expect_error 'read the messages of POSIX queues'
    [[ $stderr == *CAP_BPF* || $stderr == *'without BPF'* ]]
}

# bats test_tags=root
@test "messages of a POSIX queue in the order in which they are received; none is taken and nothing moves" {
    inside "$programs/posix_ipc" make mq /jobs
    need_mq /jobs
    printf 'low' | inside "$programs/posix_ipc" send 1 /jobs
    printf 'high\0\1' | inside "$programs/posix_ipc" send 9 /jobs
    printf 'low, later' | inside "$programs/posix_ipc" send 1 /jobs
    # Reading the state of a queue, as show does, is what moves its times.
    folder=/run/ipcns/$name/mqueue
    stat -c '%x %y %z' "$folder/jobs" >before
    run -0 ipcns peek "$name" mq:/jobs
    expect_output 'NUMBER PRIORITY BYTES
     0        9     6
    00000000  68 69 67 68 00 01                                 |high..|
     1        1     3
    00000000  6c 6f 77                                          |low|
     2        1    10
    00000000  6c 6f 77 2c 20 6c 61 74  65 72                    |low, later|'
    ipcns peek "$name" mq:/jobs --raw 0 | cmp - <(printf 'high\0\1')
    run -0 ipcns peek "$name" mq:/jobs --json
    jq -e '.object == "mq:/jobs" and .one_moment and (.messages | map([.number, .priority, .bytes]) == [[0, 9, 6], [1, 1, 3], [2, 1, 10]])' <<<"$output"
    expect_equal "$(jq -r '.messages[2].data' <<<"$output" | base64 -d)" 'low, later'
    grep -q '^QSIZE:19 ' "$folder/jobs"
    inside "$programs/posix_ipc" receive mq /jobs | cmp - <(printf '9 high\0\1')
    expect_equal "$(inside "$programs/posix_ipc" receive mq /jobs)" '1 low'
    expect_equal "$(inside "$programs/posix_ipc" receive mq /jobs)" '1 low, later'
    run -0 ipcns peek "$name" mq:/jobs -n
    expect_output ''
}

# bats test_tags=root
@test "who waits for a message of a POSIX queue goes on waiting" {
    [[ $(uname -m) == x86_64 ]] || skip "knows the system calls of x86_64 only"
    inside "$programs/posix_ipc" make mq /jobs
    need_mq /jobs
    "$IPCNS" exec "$name" -- sh -c 'echo $$ >pid; exec "$@" >got' - "$programs/posix_ipc" receive mq /jobs 3>&- &
    remember_pid $!
    wait_until 10 test -s pid
    wait_until 10 grep -q '^243 ' "/proc/$(<pid)/syscall"
    run -0 ipcns peek "$name" mq:/jobs -n
    grep -q '^243 ' "/proc/$(<pid)/syscall"
    printf 'at last' | inside "$programs/posix_ipc" send 3 /jobs
    wait_until 10 grep -q '^3 at last' got
}

@test "values of semaphores, who changed them and how many wait" {
    [[ $(uname -m) == x86_64 ]] || skip "knows the system calls of x86_64 only"
    inside ipcmk -S 3 >made
    inside perl -e 'semctl(0, 1, 16, 7) || die "$!"' # SETVAL
    "$IPCNS" exec "$name" -- sh -c 'echo $$ >pid; exec perl -e "semop(0, pack(q(s!3), 1, 0, 0))"' 3>&- &
    remember_pid $!
    "$IPCNS" exec "$name" -- sh -c 'echo $$ >other; exec perl -e "semop(0, pack(q(s!3), 2, -5, 0))"' 3>&- &
    remember_pid $!
    for file in pid other; do
        wait_until 10 test -s $file
        remember_pid "$(<$file)"
        wait_until 10 grep -qE '^(65|220) ' "/proc/$(<$file)/syscall"
    done
    run -0 ipcns peek "$name" sem:0 -o NUMBER,VALUE,WAITINC,WAITZERO
    expect_output 'NUMBER VALUE WAITINC WAITZERO
     0     0       0        0
     1     7       0        1
     2     0       1        0'
    run -0 ipcns peek "$name" sem:0 --json
    jq -e '.semaphores | map([.value, .waiting_increase, .waiting_zero]) == [[0, 0, 0], [7, 0, 1], [0, 1, 0]]' <<<"$output"
    ipcns make "$name" psem /lock --value 4 >made
    run -0 ipcns peek "$name" psem:/lock
    expect_output 'VALUE WAITERS
    4       0'
    run -0 ipcns peek "$name" psem:/lock --json
    jq -e '.object == "psem:/lock" and .semaphores == [{value: 4, waiters: 0}]' <<<"$output"
}

@test "shared memory as hexdump prints it" {
    need hexdump
    inside ipcmk -M 70000 >made
    inside perl -e 'shmwrite(0, "abc", 9000, 3); shmwrite(0, join("", map chr, 0 .. 255), 60000, 256); shmwrite(0, "end", 69997, 3)'
    inside perl -e 'shmread(0, $m, 0, 70000); print $m' >content
    hexdump -C content >wanted
    ipcns peek "$name" shm:0 >found
    diff wanted found
    hexdump -C -s 8995 -n 100 content >wanted
    ipcns peek "$name" shm:0 --offset 8995 --length 100 >found
    diff wanted found
    ipcns peek "$name" shm:0 --raw | cmp - content
    ipcns peek "$name" shm:0 --raw --offset 60000 --length 256 | cmp - <(perl -e 'print map chr, 0 .. 255')
    ipcns peek "$name" shm:0 --json --offset 8K --length 4K >json
    jq -e '.bytes == 70000 and .offset == 8192 and .length == 4096 and .pieces[0].offset == 8192' json
    jq -r '.pieces[].data' json | base64 -d | cmp - <(dd if=content bs=4096 skip=2 count=1 status=none)
    run -0 ipcns peek "$name" shm:0 --offset 1G
    expect_output 00011170

    ipcns make "$name" pshm /cache --size 1M >made
    inside sh -c 'printf "some text" | dd of=/dev/shm/cache bs=1 seek=500000 conv=notrunc status=none'
    inside cat /dev/shm/cache >content
    hexdump -C content >wanted
    ipcns peek "$name" pshm:/cache >found
    diff wanted found
}

@test "a terabyte of nothing is read in no time, and takes no memory before or after" {
    ipcns make "$name" pshm /sparse --size 1T >made
    inside sh -c 'printf here | dd of=/dev/shm/sparse bs=1 seek=5000000000 conv=notrunc status=none'
    before=$(inside stat -c %b /dev/shm/sparse)
    run -0 ipcns peek "$name" pshm:/sparse
    expect_output '00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
*
12a05f200  68 65 72 65 00 00 00 00  00 00 00 00 00 00 00 00  |here............|
12a05f210  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
*
10000000000'
    # In a file it takes as much as where it was.
    ipcns peek "$name" pshm:/sparse --raw --length 8G >copy
    expect_equal "$(stat -c %s copy)" 8589934592
    (($(stat -c %b copy) < 10000))
    expect_equal "$(dd if=copy bs=1 skip=5000000000 count=4 status=none)" here
    expect_equal "$(inside stat -c %b /dev/shm/sparse)" "$before"

    inside ipcmk -M 1G >made
    inside perl -e 'shmwrite(0, "x", 500000000, 1)'
    resident() { inside awk 'NR == 2 {print $(NF - 1)}' /proc/sysvipc/shm; }
    before=$(resident)
    ipcns peek "$name" shm:0 >found
    (($(wc -l <found) == 6))
    expect_equal "$(resident)" "$before"
}

@test "names and bytes of others do nothing to a terminal, and JSON stays whole" {
    odd=$'/\e[31m\n"\xff'
    ipcns make "$name" pshm "$odd" --size 100 >made
    run -0 ipcns peek "$name" "pshm:$odd" --json
    jq -e '.object' <<<"$output"
    run --separate-stderr ipcns peek "$name" "mq:$odd"
    expect_status 1
    [[ $stderr != *$'\e'* ]]
    inside ipcmk -Q >made
    send 0 1 $'\e]0;title\a\xff\xe2\x80\xae'
    ipcns peek "$name" msg:0 >found
    ipcns peek "$name" msg:0 -o NUMBER,TEXT,DATA >>found
    ipcns peek "$name" msg:0 -o NUMBER,TEXT --json >>found
    expect_harmless found
}

@test "what makes no sense is refused" {
    inside ipcmk -Q >made
    inside ipcmk -M 1 >made
    refused() { # ARGUMENT...
        run --separate-stderr ipcns peek "$name" "$@"
        expect_status 2
        [[ -z $output && $stderr == ipcns:* ]]
    }
    refused
    refused msg:0 shm:0
    refused msg
    refused msg:0 --raw
    refused msg:0 --raw one
    refused msg:0 --raw -1
    refused msg:0 --offset 3
    refused msg:0 --raw 0 --json
    refused msg:0 -o NO_COLUMN
    refused msg:0 --limit x
    refused shm:0 --raw 0
    refused shm:0 --bytes 3
    refused shm:0 --limit 3
    refused shm:0 -o NUMBER
    refused shm:0 --offset 3x
}

@test "while others send and receive, what is shown was there" {
    inside ipcmk -Q >made
    in_background "$IPCNS" exec "$name" -- perl -e 'for ($n = 0;; ++$n) { msgsnd(0, pack("l! a*", 1, "message " . ($n % 10) x 50), 0) || exit }'
    in_background "$IPCNS" exec "$name" -- perl -e 'while (msgrcv(0, $m, 100, 0, 0)) {}'
    for _ in {1..20}; do
        ipcns peek "$name" msg:0 -n -o TEXT >found 2>messages
        run ! grep -vE '^message ([0-9])\1{49}$' found
        run ! grep -vE '^ipcns: the queue is used all the time' messages
    done
    inside ipcrm -q 0
}
