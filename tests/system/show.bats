#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# show: what it says is what the kernel says (ipcs, /proc/sysvipc and perl's raw calls inside the namespace tell that), for
# all six kinds, from outside; who holds and who waits; states; and what it does with names, worlds and words that are odd.

# shellcheck disable=SC1003,SC2016,SC2154 # backslashes are meant; inner shells and perl expand the scripts; pid is names.bash's

load common
load names

setup() {
    common_setup
    need_names
    need perl
    need jq
    need_program posix_ipc holder
    name=$(unique_name)
    ipcns create "$name"
}

teardown() { names_teardown; }

inside() { ipcns exec "$name" -- "$@"; }
# A field of an object, from the JSON of show.
field() { ipcns show "$name" -q --json | jq -r "$1"; }
# Starts a holder inside and waits until it holds; its pid is in $pid.
hold() { # KIND OBJECT
    : >ready
    "$IPCNS" exec "$name" -- sh -c 'echo $$; exec "$@"' - "$programs/holder" "$@" >ready 2>&1 3>&- &
    remember_pid $!
    wait_until 10 grep -q '^ready' ready
    pid=$(head -n 1 ready)
    remember_pid "$pid"
}
# The same for a line of perl that then blocks; returns when it does.
block() { # NUMBER OF SYSCALL (of x86_64), LINE
    [[ $(uname -m) == x86_64 ]] || skip "knows the system calls of x86_64 only"
    "$IPCNS" exec "$name" -- sh -c 'echo $$ >pid; exec perl -e "$1"' - "$2" 3>&- &
    remember_pid $!
    wait_until 10 test -s pid
    pid=$(<pid)
    rm pid
    remember_pid "$pid"
    wait_until 10 blocked_in "$pid" "$1"
}
blocked_in() { grep -qE "^$2 " "/proc/$1/syscall" 2>/dev/null; }
state() { ipcns show "$name" -q -n -o OBJECT,STATE | sed -nE "s|^$1 +||p"; } # OBJECT

@test "all six kinds, from outside, with what the kernel says of them" {
    inside sh -c 'ipcmk -Q -p 0640; ipcmk -M 12345 -p 0600; ipcmk -S 3 -p 0666; for k in mq psem pshm; do "$1" make $k /obj-$k; done' - "$programs/posix_ipc" >made
    inside perl -e 'msgsnd(0, pack("l! a*", 5, "hello"), 0) || die; msgsnd(0, pack("l! a*", 6, "you"), 0) || die; semctl(0, 1, 16, 7) || die "$!"' # SETVAL
    inside sh -c 'cat /proc/sysvipc/msg; cat /proc/sysvipc/shm; cat /proc/sysvipc/sem' >kernel
    ipcns show "$name" -q --json >json
    jq -e '.msg | length == 1' json
    # key msqid perms cbytes qnum lspid lrpid uid gid cuid cgid stime rtime ctime
    read -r key id perms bytes messages lspid _ _ _ _ _ stime _ ctime <<<"$(sed -n 2p kernel)"
    jq -e --argjson key "$key" --argjson id "$id" --arg perms "$perms" --argjson bytes "$bytes" --argjson n "$messages" \
        --argjson pid "$lspid" --argjson s "$stime" --argjson c "$ctime" '.msg[0] |
        .id == $id and .mode == $perms and .bytes == $bytes and .messages == $n and .last_sender == $pid
        and (.sent | fromdate) == $s and (.changed | fromdate) == $c and .received == null and .last_receiver == null
        and .limit == 16384' json
    [[ $(jq -r '.msg[0].key' json) == "$(printf '0x%08x' $((key & 0xffffffff)))" ]]
    jq -e --argjson uid "$(id -u)" --arg owner "$(id -un)" \
        '[.msg[0], .sem[0], .shm[0]] | all(.uid == $uid and .owner == $owner and .creator_uid == $uid)' json
    jq -e '.shm[0] | .bytes == 12345 and .attached == 0 and .mode == "600" and .resident == 0 and .flags == []' json
    jq -e --argjson cpid "$(sed -n 4p kernel | awk '{print $5}')" '.shm[0].creator_pid == $cpid' json
    jq -e '.sem[0] | .semaphores == 3 and (.values | map(.value)) == [0, 7, 0] and .mode == "666"' json
    jq -e '.mq[0] | .name == "/obj-mq" and .max_messages == 10 and .messages == 0 and .mode == "600"' json
    jq -e '.psem[0] | .name == "/obj-psem" and .value == 1 and .waiters == 0' json
    jq -e '.pshm[0] | .name == "/obj-pshm" and .bytes == 0 and .allocated == 0' json
    jq -e --arg name "$name" --argjson ns "$(inode "$(ns_of_name "$name")")" '.namespace == {ns: $ns, name: $name}' json
    # The caller sees nothing of it.
    run ! grep -qx pshm:/obj-pshm <(ipcns show pshm -q -n -o OBJECT)
    [[ $(ipcns show "$name" -q -n -o OBJECT | tr '\n' ' ') == 'msg:0 sem:0 shm:0 mq:/obj-mq psem:/obj-psem pshm:/obj-pshm ' ]]
}

@test "the usual table fits 80 columns, and kinds choose from it" {
    inside sh -c 'ipcmk -Q; ipcmk -M 5M; ipcmk -S 3; "$1" make mq /jobs' - "$programs/posix_ipc" >made
    run -0 ipcns show "$name" -q
    [[ ${lines[0]} =~ ^OBJECT\ +KEY\ +OWNER\ +MODE\ +SIZE\ +STATE\ +CONTENT$ ]]
    ((${#lines[@]} == 5))
    for line in "${lines[@]}"; do ((${#line} <= 80)); done
    [[ ${lines[3]} =~ ^shm:0\ .*\ 5M\ orphan\ +0\ attached$ ]]
    [[ $(ipcns show "$name" shm msg -q -n -o OBJECT,SIZE -b | tr -s ' \n' ' ') == 'msg:0 0 shm:0 5242880 ' ]]
    [[ -z $(ipcns show "$name" psem -q -n) ]]
    run -0 ipcns show "$name" -t -q msg
    [[ ${lines[0]} =~ ^OBJECT\ OWNER\ +CHANGED$ ]]
    run -0 ipcns show "$name" -c -q shm
    [[ ${lines[0]} =~ ^OBJECT\ MODE\ OWNER\ +GROUP\ +CREATOR\ +CGROUP$ ]]
    run -0 ipcns show "$name" -p -q shm
    [[ ${lines[0]} =~ ^OBJECT\ OWNER\ +CPID\ STATE$ ]]
}

@test "an object by id, by key and by name; one that is not there" {
    inside sh -c 'ipcmk -M 4096; ipcmk -S 2; "$1" make psem /lock' - "$programs/posix_ipc" >made
    key=$(inside ipcs -m | sed -nE 's/^(0x[0-9a-f]+) .*/\1/p')
    run -0 ipcns show "$name" "shm:$key" -q
    expect_in_output 'OBJECT    shm:0'
    grep -qxE 'NATTCH +0' <<<"$output"
    grep -qxE "CPID +$(inside cat /proc/sysvipc/shm | sed -n 2p | awk '{print $5}')" <<<"$output"
    run -0 ipcns show "$name" sem:0 -q
    grep -qxE 'SEMAPHORE +VALUE +LASTPID +NCOUNT +ZCOUNT' <<<"$output"
    grep -qxE ' +1 +0 +- +0 +0' <<<"$output"
    run -0 ipcns show "$name" psem:/lock -q
    grep -qxE 'VALUE +1' <<<"$output"
    # Who holds it is said of one object, and as JSON; columns that are asked for are shown alone.
    hold shm 0
    run -0 ipcns show "$name" shm:0 -q
    grep -qxE 'HOLDERS +1' <<<"$output"
    grep -qE "^  $pid \\(.*\\) maps 4K$" <<<"$output"
    ipcns show "$name" shm:0 -q --json | jq -e --argjson p "$pid" '.shm[0] | .holders.mappings[0].pid == $p and .attached == 1'
    ipcns show "$name" shm:0 -q --json -o OBJECT | jq -e '.shm == [{"object": "shm:0"}]'
    run -0 ipcns show "$name" shm:0 -c -q
    [[ ${lines[0]} =~ ^OBJECT\ MODE\ OWNER && ${#lines[@]} == 2 ]]
    run -1 --separate-stderr ipcns show "$name" shm:7 shm:0 mq:/none -q
    grep -qxE 'OBJECT +shm:0' <<<"$output"
    [[ $stderr == *'ipcns: show shm:7: there is no such object'* && $stderr == *'ipcns: show mq:/none: '* ]]
}

@test "--ipcs is what ipcs prints in there, byte for byte" {
    inside sh -c 'ipcmk -Q; ipcmk -Q -p 0; ipcmk -M 5M; ipcmk -M 77777 -p 0777; ipcmk -S 3; ipcmk -S 100' >made
    inside perl -e 'msgsnd(0, pack("l! a*", 5, "hello"), 0) || die; shmctl(0, 11, 0)' # SHM_LOCK, if we may
    # Of its forms the last one counts.
    for options in '' -t -p -c '-t -b' -u '-u -b' -l '-l -b' '-p -t' '-t -p' '-c -l' '-l -t' '-l -u' '-u -c'; do
        # shellcheck disable=SC2086 # several options
        diff <(ipcns exec "$name" -- env LC_ALL=C ipcs $options) <(LC_ALL=C ipcns show "$name" --ipcs $options)
    done
    diff <(ipcns exec "$name" -- env LC_ALL=C ipcs -m -s) <(LC_ALL=C ipcns show "$name" shm sem --ipcs)
    # Limits of its own, and those of some kinds alone.
    ipcns limits "$name" msgmni=12 shmmax=100M shmall=1000 semmni=7
    LC_ALL=C ipcns show "$name" msg shm --ipcs --limits >limits
    diff <(ipcns exec "$name" -- env LC_ALL=C ipcs -q -m -l) limits
    grep -qx 'max seg size (kbytes) = 102400' limits
    diff <(ipcns exec "$name" -- env LC_ALL=C ipcs -u) <(LC_ALL=C ipcns show "$name" --ipcs --summary)
    for object in msg:0 shm:1 sem:1; do
        letter=${object:0:1}
        [[ $object != msg:* ]] || letter=q
        [[ $object != shm:* ]] || letter=m
        diff <(ipcns exec "$name" -- env LC_ALL=C ipcs "-$letter" -i "${object#*:}") <(LC_ALL=C ipcns show "$name" "$object" --ipcs)
    done
    run -1 ipcns show "$name" shm:77 --ipcs
    run -2 ipcns show "$name" --ipcs --json
    run -2 ipcns show "$name" --ipcs mq
    run -2 ipcns show "$name" --ipcs -n
    run -2 ipcns show "$name" --limits
    run -2 ipcns show --all --summary
    run -2 ipcns show "$name" --summary -o KIND
    run -2 ipcns show "$name" shm:0 --limits --ipcs
}

@test "--holders: who maps, who has it open, who waits and for what" {
    inside sh -c 'ipcmk -Q; ipcmk -M 8192; ipcmk -S 4; for k in mq psem pshm; do "$1" make $k /o; done' - "$programs/posix_ipc" >made
    hold shm 0
    mapper=$pid
    hold pshm /o
    file=$pid
    hold mq /o
    reader=$pid
    hold psem /o
    sleeper=$pid
    block 70 'my $b; msgrcv(0, $b, 100, -7, 0)'
    receiver=$pid
    block '(65|220)' 'semop(0, pack("s s s", 2, -3, 0))'
    taker=$pid
    ipcns show "$name" --holders -q --json >json
    jq -e --argjson p "$mapper" '.shm[0] | .attached == 1 and (.holders.mappings | map([.pid, .bytes, .count])) == [[$p, 8192, 1]]' json
    jq -e --argjson p "$file" '.pshm[0].holders.mappings | map([.pid, .bytes]) == [[$p, 8192]]' json
    jq -e --argjson p "$reader" '.mq[0].holders.descriptors | map([.pid, .read, .write]) == [[$p, true, false]]' json
    jq -e --argjson p "$sleeper" '.psem[0] | .waiters == 1 and (.holders.waiters | map(.pid)) == [$p]' json
    jq -e --argjson p "$receiver" '.msg[0] | .state == "waiting" and (.holders.waiters | map([.pid, .for, .type])) == [[$p, "receive", -7]]' json
    jq -e --argjson p "$taker" '.sem[0] | .state == "waiting" and (.holders.waiters[0] | [.pid, .for, .operations]) == [$p, "increase", [{semaphore: 2, change: -3, undo: false}]]' json
    run -0 ipcns show "$name" --holders -q
    expect_in_output "    $mapper ("
    grep -qE "^    $receiver \(perl .*\) waits for a message of type 7 or less" <<<"$output"
    grep -qE "^    $taker \(perl .*\) waits for semaphore 2 -3" <<<"$output"
}

# Whether --all, which looks at processes in another way, says the same of our namespace.
same_for_all() {
    diff <(ipcns show "$name" -q -n -o OBJECT,STATE | tr -s ' ' | sort) \
        <(ipcns show --all -q -n -o NS,OBJECT,STATE | tr -s ' ' |
            sed -n "s/^ *$(inode "$(ns_of_name "$name")") //p" | sort)
}

@test "states: orphan, idle, in use, removed, waiting, full" {
    inside sh -c 'ipcmk -M 4096; ipcmk -Q; ipcmk -S 1' >made
    [[ $(state shm:0) == orphan && $(state msg:0) == - && $(state sem:0) == - ]]
    hold shm 0
    [[ $(state shm:0) == 'in use' ]]
    inside ipcrm -m 0
    [[ $(state shm:0) == removed ]]
    end_process "$pid"
    wait_until 10 test -z "$(ipcns show "$name" shm -q -n)"
    # A creator that still runs has not left it behind.
    block 34 'shmget(0, 4096, 0600); syscall(34)' # pause
    [[ $(ipcns show "$name" shm -q -n -o STATE) == - ]]
    same_for_all
    end_process "$pid"
    [[ $(ipcns show "$name" shm -q -n -o STATE) == orphan ]]
    # Whoever used a queue last is gone; then there is somebody who waits; then one who does not get rid of a message.
    inside perl -e 'msgsnd(0, pack("l! a*", 1, "x"), 0) || die'
    [[ $(state msg:0) == orphan ]]
    block 69 'my $m = pack("l! a8000", 1, ""); msgsnd(0, $m, 0) for 1 .. 9'
    [[ $(state msg:0) == full ]]
    same_for_all
    end_process "$pid"
    block '(65|220)' 'semop(0, pack("s s s", 0, -1, 0))'
    [[ $(state sem:0) == waiting ]]
    same_for_all
    end_process "$pid"
    # Who waits for a named semaphore is counted in its file; who is killed while it waits stays in that count.
    inside "$programs/posix_ipc" make psem /o >made
    hold psem /o
    waits() { [[ $(state psem:/o) == waiting ]]; }
    wait_until 10 waits
    same_for_all
    kill -KILL "$pid"
    wait_until 10 gone "$pid"
    [[ $(ipcns show "$name" psem -q -n -o WAITERS | tr -d ' ') == 1 ]]
    [[ $(state psem:/o) == orphan || $(state psem:/o) == '?' ]]
}

@test "a process that got the number of the creator is not taken for it" {
    # In a pid namespace of its own, where the numbers can be chosen.
    is_root || skip 'needs root: choosing a pid'
    run -0 unshare --pid --fork --mount-proc --ipc sh -c '
        perl -e "shmget(0, 4096, 0600); print \$\$" >creator
        sleep 3.1
        pid=$(cat creator)
        echo $((pid - 1)) >/proc/sys/kernel/ns_last_pid
        sleep 100 & echo $!
        "$1" show shm -q -n -o CPID,STATE; kill $!' - "$IPCNS"
    creator=$(<creator)
    [[ ${lines[0]} == "$creator" ]] || skip "the number $creator was taken by ${lines[0]}"
    [[ ${lines[1]} =~ ^\ *$creator\ orphan$ ]]
}

@test "--all: every namespace in one table, each with its own, a shared /dev/shm once" {
    second=$(unique_name)
    ipcns create "$second"
    inside ipcmk -M 4096 >made
    ipcns exec "$second" -- sh -c 'ipcmk -Q; "$1" make pshm /theirs; "$1" make mq /q' - "$programs/posix_ipc" >made
    a=$(inode "$(ns_of_name "$name")")
    b=$(inode "$(ns_of_name "$second")")
    run -0 ipcns show --all -q
    [[ ${lines[0]} =~ ^\ *NS\ NSNAME\ +OBJECT\ +KEY ]]
    [[ $(grep -cE "^ *$a " <<<"$output") == 1 && $(grep -E "^ *$a " <<<"$output") == *" $name "*'shm:0 '* ]]
    [[ $(grep -E "^ *$b " <<<"$output" | awk -v name="$second" '$2 == name {print $3}' | sort | tr '\n' ' ') == 'mq:/q msg:0 pshm:/theirs ' ]]
    ipcns show --all shm --json -q >json
    jq -e --argjson a "$a" '.namespaces[] | select(.namespace.ns == $a) | .shm | length == 1' json
    jq -e '.namespaces | all(has("shm") and (has("msg") | not))' json
    # An inode is not twice in it, nor is a file of the host's /dev/shm.
    jq -e '.namespaces | map(.namespace.ns) | length == (unique | length)' json
    mark_host_shm
    [[ $(ipcns show --all pshm -q -n -o OBJECT | grep -cxF "pshm:/${marker#/dev/shm/}") == 1 ]]
}

@test "--summary: three of four queues are 75 % of msgmni" {
    ipcns limits "$name" msgmni=4 shmmni=0
    inside sh -c 'ipcmk -Q; ipcmk -Q; ipcmk -Q; ipcmk -S 5' >made
    run -0 ipcns show "$name" --summary
    grep -qxE 'msg +queues +3 +4 +75% \[#{15}\.{5}\] msgmni' <<<"$output"
    grep -qE '^sem +semaphores +5 ' <<<"$output"
    grep -qE '^shm +segments +0 +0 +100% ' <<<"$output"
    for line in "${lines[@]}"; do ((${#line} <= 80)); done
    ipcns show "$name" --summary --json >summary
    expect_equal "$(jq -r .namespace.name summary)" "$name"
    jq -e <summary '.summary | map(select(.kind == "msg" and .what == "queues"))[0] |
        .used == 3 and .limit == 4 and .percent == 75 and .limited_by == "msgmni"'
}

@test "names of any bytes: no raw escape on the terminal, valid JSON" {
    export ODD=$'/e\e[31m new\nline "q" \xff\xfe\\'
    long=/$(printf '%255s' '' | tr ' ' x)
    inside sh -c '"$1" make mq "$ODD"; "$1" make pshm "$ODD"; "$1" make mq "$2"' - "$programs/posix_ipc" "$long"
    run -0 ipcns show "$name" -q
    [[ $output != *$'\e'* && $output == *'mq:/e\x1b[31m new\nline "q" \xff\xfe\\'* ]]
    ipcns show "$name" -q --json --holders >json
    # A name that is not UTF-8 is an escaped one.
    odd='/e\x1b[31m new\nline "q" \xff\xfe\\'
    jq -e --arg odd "$odd" --arg long "$long" '(.mq | map(.name) | sort) == ([$odd, $long] | sort) and (.pshm | map(.name)) == [$odd]' json
    run -0 ipcns show "$name" -q "mq:$ODD"
    [[ $output == *'new\nline'* && $output != *$'\e'* ]]
}

# Sets a file's times of access and change to any number of seconds.
set_times() { inside perl -e 'syscall(280, -100, $ARGV[0], pack("q4", $ARGV[1], 0, $ARGV[1], 0), 0) == 0 || die "$!"' "$@"; } # FILE SECONDS

@test "a file's times can be anything: no year, no failure" {
    [[ $(uname -m) == x86_64 ]] || skip 'knows the system calls of x86_64 only'
    inside sh -c '"$1" make pshm /odd; "$1" make pshm /other' - "$programs/posix_ipc"
    for seconds in 9223372036854775807 -9223372036854775808 67768036191694800 253402300800 -62167219201; do
        set_times /dev/shm/odd "$seconds"
        ipcns show "$name" pshm -q --json >json
        jq -e '.pshm | length == 2 and (map(select(.name == "/odd"))[0] | .modified == null and .accessed == null and .born != null)' json
        [[ $(ipcns show "$name" pshm -q -n -o OBJECT,MODIFIED | sed -nE 's|^pshm:/odd +||p') == "@$seconds" ]]
        run -0 ipcns show "$name" -t -q
        run -0 ipcns show "$name" pshm:/odd -q
        run -0 ipcns show --all -t -q
        run -0 ipcns remove "$name" --all --dry-run
        run -0 ipcns remove "$name" --all --dry-run --json
    done
    # The last and the first second that have a year.
    set_times /dev/shm/odd 253402300799
    [[ $(field '.pshm[] | select(.name == "/odd") | .modified') == 9999-12-31T23:59:59Z ]]
    set_times /dev/shm/odd -62167219200
    [[ $(field '.pshm[] | select(.name == "/odd") | .modified') == 0000-01-01T00:00:00Z ]]
}

@test "a segment of 2^40 bytes, a set of 32,000, keys above 2^31, mode 0: nothing is touched, nothing goes wrong" {
    inside perl -e 'shmget(0xfffffffe - 4294967296, 1099511627776, 01000 | 010000) // die "$!"; semget(0x80000001 - 4294967296, 32000, 01000) // die "$!"; msgget(0, 0) // die' # IPC_CREAT, SHM_NORESERVE
    ipcns show "$name" -q --json >json
    jq -e '.shm[0] | .bytes == 1099511627776 and .key == "0xfffffffe" and .mode == "0" and .resident == 0' json
    jq -e '.sem[0] | .semaphores == 32000 and .key == "0x80000001"' json
    jq -e '.msg[0] | .mode == "0" and .key == null' json
    [[ $(ipcns show "$name" shm -q -n -o SIZE) == 1T ]]
}

@test "the objects of an ordinary user's namespace are the user's, for the user and for root" {
    inside ipcmk -M 4096 >made
    [[ $(ipcns show "$name" -q -n -o OWNER,UID,CREATOR shm | tr -s ' ') == "$(id -un) $(id -u) $(id -un)" ]]
}

# bats test_tags=root
@test "users without a name here are said to be unmapped; a strange process likewise" {
    # A queue of somebody else, seen from a user namespace that maps root alone.
    run -0 ipcns run --ipc-only -- sh -c '
        setpriv --reuid 4321 --clear-groups ipcmk -Q >made
        "$1" show msg -q -n -o OWNER,UID
        unshare --user --map-root-user "$1" show msg -q -n -o OWNER,CREATOR,GROUP
        unshare --user --map-root-user "$1" show msg -q --json | jq -c ".msg[0] | [.owner, .uid]"
        unshare --user --map-root-user "$1" remove self msg:0 --dry-run -n -o OWNER
        unshare --user --map-root-user "$1" remove self msg:0 --dry-run --json | jq -c ".would_remove[0].owner"' - "$IPCNS"
    [[ ${lines[0]} == '4321 4321' ]]
    [[ $(tr -s ' ' <<<"${lines[1]}") == 'unmapped unmapped root' ]]
    [[ ${lines[2]} == '[null,65534]' ]]
    [[ ${lines[3]} == unmapped && ${lines[4]} == null ]]
    # A creator in a pid namespace that is not ours to see.
    run -0 ipcns run --ipc-only -- sh -c 'ipcmk -M 4096 >made; unshare --pid --fork --mount-proc "$1" show shm -q -n -o CPID,STATE' - "$IPCNS"
    [[ $(tr -s ' ' <<<"$output") == *'- ?' ]]
}

# bats test_tags=root
@test "what may not be seen is said: another's namespace, another's queue, a hidden /proc" {
    somebody_else
    inside sh -c '"$1" make mq /mine; ipcmk -S 1 -p 0600' - "$programs/posix_ipc" >made
    as() { setpriv --reuid "$other" --regid "$(id -g "$other")" --clear-groups env -u XDG_RUNTIME_DIR HOME="$open/home" "$@"; }
    run -1 --separate-stderr as "$open/bin/ipcns" show "$name"
    [[ $stderr == 'ipcns: '*'hint: only its owner may'* ]]
    # In the same namespace, without rights on the objects.
    run -0 ipcns exec "$name" -- setpriv --reuid "$other" --clear-groups "$open/bin/ipcns" show sem -n -o OBJECT,VALUES
    expect_in_output 'sem:0 ?'
    expect_in_output '1 of sem not seen: only who may read a set'
    # A kind that cannot be looked at: it is not said that there is no such object.
    run -1 --separate-stderr ipcns exec "$name" -- unshare --user --map-root-user --mount sh -c '
        [ ! -d /dev/mqueue ] || mount -t tmpfs none /dev/mqueue; exec setpriv --bounding-set=-all --inh-caps=-all "$1" show self mq:/mine' - "$IPCNS"
    [[ $stderr == *'ipcns: show mq:/mine: it could not be looked at: '* && $stderr != *'no such object'* ]]
    # Whose processes are left out: not counted, but said. (The group 0 sees them all the same.)
    hidden() {
        ipcns exec "$name" -- unshare --mount bash -c 'mount -t proc -o hidepid=2 proc /proc && exec setpriv "$@"' - \
            --reuid "$other" --regid "$(id -g "$other")" --clear-groups "$open/bin/ipcns" show "$@"
    }
    for words in '--holders sem shm' sem:0 --all; do
        # shellcheck disable=SC2086 # words
        run -0 --separate-stderr hidden $words
        [[ $output == *'sem:0'* && $stderr == *'ipcns: /proc leaves out processes of other users'* ]]
        # shellcheck disable=SC2086 # words
        run -0 --separate-stderr hidden $words --json
        jq -e '.hidden_processes' <<<"$output"
    done
    ipcns show "$name" --json | jq -e '.hidden_processes == false'
}

@test "in the table: the values of a set, who is told of a message, and what is no object" {
    ipcns make "$name" sem --count 3 --value 4,0,7
    ipcns make "$name" mq /told
    ipcns make "$name" mq /untold
    run -0 ipcns show "$name" sem -n -o VALUES
    expect_output '4,0,7'

    inside mkdir /dev/shm/folder
    run -0 --separate-stderr ipcns show "$name" pshm
    [[ $stderr == *'/dev/shm also has 1 file that is no object, with '* ]]

    # mq_open and mq_notify of x86_64; a signal is kind 0 (SIGEV_SIGNAL), the number of SIGUSR1 10.
    block 34 '$name = "told"; $event = pack("q l2 q6", 0, 10, 0, (0) x 6); $queue = syscall(240, $name, 0, 0, 0);
        syscall(244, $queue, $event) == 0 || die $!; syscall(34)'
    run -0 ipcns show "$name" mq -n -o NAME,NOTIFY
    expect_in_output "/told   $pid signal 10"
    [[ $output =~ /untold\ +- ]]
    [[ $(field '.mq[] | select(.name == "/told").notify | "\(.kind) \(.signal) \(.pid)"') == "signal 10 $pid" ]]
}

@test "words that make no sense are refused before anything is done" {
    run -2 --separate-stderr ipcns show "$name" nonsense
    expect_error 'nonsense is no KIND and no OBJECT'
    run -2 ipcns show "$name" shm msg:0
    run -2 ipcns show "$name" shm:
    run -2 ipcns show "$name" mq:jobs
    run -2 ipcns show --all "$name"
    run -2 ipcns show "$name" -t -p
    run -2 ipcns show "$name" -o NONE
    run -1 ipcns show nosuchname-"$RANDOM"
}
