#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns limits: what it shows is what /proc/sys says inside, settings are made all or none, and who may make them. No
# setting of the host is touched.

# shellcheck disable=SC2030,SC2031 # a test is a subshell, and its variables end with it
# shellcheck disable=SC2154 # stderr is bats', pid, other and open are names.bash's

load common
load names

teardown() { names_teardown; }

files=(msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced msg_next_id sem_next_id shm_next_id auto_msgmni)
queue_files=(queues_max msg_max msgsize_max msg_default msgsize_default)

# Runs a command in the namespace of a name, without ipcns.
inside() { # NAME COMMAND...
    local name=$1
    shift
    if is_root; then
        nsenter --ipc="/run/ipcns/$name/ipc" "$@" 3>&-
    else
        # It takes a while to find the keeper.
        if [[ ! -e keeper-of-$name ]]; then keepers_of "$name" >"keeper-of-$name"; fi
        nsenter --user --ipc --preserve-credentials --target "$(<"keeper-of-$name")" "$@" 3>&-
    fi
}

# Every limit of a namespace as the kernel says it, one number a line.
raw() { # [INSIDE-WORDS...]
    # shellcheck disable=SC2016 # for the inner shell
    "$@" bash -c '
        cd /proc/sys/kernel
        for file in $1; do
            if [[ ! -e $file ]]; then continue; fi
            read -r -a numbers < <(cat "$file")
            if [[ $file == sem ]]; then
                printf "%s %s\n" semmsl "${numbers[0]}" semmns "${numbers[1]}" semopm "${numbers[2]}" semmni "${numbers[3]}"
            else
                printf "%s %s\n" "$file" "${numbers[0]}"
            fi
        done
        cd /proc/sys/fs/mqueue 2>/dev/null || exit 0
        for file in $2; do printf "%s %s\n" "$file" "$(cat "$file")"; done' - "${files[*]}" "${queue_files[*]}"
}

# The same as ipcns says it.
shown() { ipcns limits -b -n -o KEY,VALUE "$@" | sed -E 's/ +/ /; s/ -$/ -1/'; }

need_limits() { # what a root of a namespace may since Linux 6.9
    is_root && return
    need_userns
    unshare --user --map-root-user --ipc sh -c 'cat /proc/sys/kernel/shmmni >/proc/sys/kernel/shmmni' 2>/dev/null ||
        skip 'this kernel lets only root of the host set limits'
}

# Makes $name, with a few limits of its own.
small_namespace() {
    need_names
    need_limits
    name=$(unique_name)
    ipcns create "$name"
    inside "$name" sh -c 'cd /proc/sys/kernel && echo 64 >shmmni && echo 11 22 33 44 >sem && echo 8 >../fs/mqueue/queues_max' ||
        return
    before=$(raw inside "$name")
}

unchanged() { expect_equal "$(raw inside "$name")" "$before"; }

@test "it shows what the kernel says, for the own namespace and for others" {
    expect_equal "$(shown)" "$(raw)"
    expect_equal "$(shown self)" "$(raw)"
    small_namespace
    expect_equal "$(shown "$name")" "$before"
    grep -qx 'semopm 33' <<<"$before"
    stay ipcns exec "$name" --
    expect_equal "$(shown "$pid")" "$before"
    expect_equal "$(shown "@$(inode "$(ns_of_name "$name")")")" "$before"
}

@test "the default is what a new namespace has" {
    need_names
    name=$(unique_name)
    ipcns create "$name"
    expect_equal "$(ipcns limits -b -n -o KEY,DEFAULT | sed -E 's/ +/ /; s/ -$/ -1/')" "$(raw inside "$name")"
}

@test "the table fits 80 columns, also with values as large as they get" {
    small_namespace
    inside "$name" sh -c 'cd /proc/sys/kernel && echo 1099511627777 >shmmax && echo 2147483647 >msgmax &&
        echo 2147483647 2147483647 2147483647 32768 >sem'
    inside "$name" ipcmk --shmem 1M
    ipcns limits "$name" >table
    [[ $(awk 'length > 80' table) == '' ]]
    grep -qE '^KEY +VALUE +DEFAULT +USED +USE% +MEANING$' table
    grep -qE '^shmmax +1099511627777 +unlimited +- +- ' table
    grep -qE '^msgmnb +16K +16K +- +- ' table
    grep -qE '^shmall +unlimited +unlimited +256 +0% ' table
    grep -qE '^shm_next_id +- +- +- +- ' table
}

@test "what is used up is counted" {
    small_namespace
    for _ in {1..48}; do inside "$name" ipcmk --shmem 5000; done >/dev/null
    inside "$name" ipcmk --semaphore 7 >/dev/null
    inside "$name" ipcmk --queue >/dev/null
    ipcns limits "$name" -n -o KEY,USED,USE% | tr -s ' ' >table
    grep -qx 'shmmni 48 75%' table
    grep -qx 'shmall 96 0%' table
    grep -qx 'semmns 7 31%' table
    grep -qx 'semmni 1 2%' table
    grep -qx 'msgmni 1 0%' table
    grep -qx 'queues_max 0 0%' table
    inside "$name" sh -c 'echo 3 >/proc/sys/kernel/shmmni; echo 0 >/proc/sys/kernel/msgmni'
    ipcns limits "$name" -n -o KEY,USED,USE% | tr -s ' ' >table
    grep -qx 'shmmni 48 1600%' table
    grep -qx 'msgmni 1 100%' table
}

@test "JSON has whole numbers, the path and the unit" {
    need python3
    small_namespace
    inside "$name" ipcmk --shmem 5000 >/dev/null
    inside "$name" sh -c 'echo 18446744073709551615 >/proc/sys/kernel/shmmax'
    ipcns limits "$name" --json >json
    python3 - "$name" "$(inode "$(ns_of_name "$name")")" <<'END'
import json, sys
value = json.load(open('json'))
assert value['namespace'] == {'ns': int(sys.argv[2]), 'name': sys.argv[1]}, value['namespace']
limits = {one['key']: one for one in value['limits']}
assert limits['shmmax']['value'] == 18446744073709551615, limits['shmmax']
assert limits['shmall']['default'] == 2**64 - 1 - 2**24, limits['shmall']
assert limits['shmmni'] == {'key': 'shmmni', 'value': 64, 'default': 4096, 'used': 1, 'percent': 1.56,
    'meaning': 'segments', 'unit': 'segments', 'path': '/proc/sys/kernel/shmmni'}, limits['shmmni']
assert limits['semmni']['path'] == '/proc/sys/kernel/sem' and limits['semmni']['value'] == 44
assert limits['shm_next_id']['value'] is None and limits['shm_next_id']['unit'] == 'id'
assert 'sem' not in limits and len(limits) >= 15
END
    ipcns limits "$name" --json -o KEY,USED >json
    expect_equal "$(jq -c '.limits[0]' json)" '{"key":"msgmax","used":null}'
}

@test "it sets several, prints nothing, and leaves the others and the host alone" {
    small_namespace
    host=$(raw)
    run --separate-stderr ipcns limits "$name" shmmni=65 semopm=7 kernel.shmmax=64M fs.mqueue.msg_max=5 semmni=1K shmmni=66
    expect_status 0
    expect_output ''
    [[ -z $stderr ]]
    expect_equal "$(raw inside "$name")" \
        "$(sed 's/^shmmni .*/shmmni 66/; s/^semopm .*/semopm 7/; s/^shmmax .*/shmmax 67108864/; s/^msg_max .*/msg_max 5/
            s/^semmni .*/semmni 1024/' <<<"$before")"
    expect_equal "$(raw)" "$host"
    # The kernel obeys.
    ipcns limits "$name" shmmax=4K
    inside "$name" ipcmk --shmem 4096
    run ! inside "$name" ipcmk --shmem 4097
    # What is shown can be set again.
    before=$(raw inside "$name")
    mapfile -t settings < <(ipcns limits "$name" -n -o KEY,VALUE | grep -vE ' (-|unlimited)$' | sed -E 's/ +/=/')
    ((${#settings[@]} > 10))
    ipcns limits "$name" "${settings[@]}"
    unchanged
}

@test "limits -v says which namespace, what was there and what is" {
    small_namespace
    run --separate-stderr ipcns limits -v "$name" shmmni=9 semmsl=5
    expect_status 0
    expect_output ''
    number=$(inode "$(ns_of_name "$name")")
    expect_equal "$stderr" "ipcns: namespace $number ($name): shmmni was 64, is 9
ipcns: namespace $number ($name): sem was 11 22 33 44, is 5 22 33 44"
    run --separate-stderr ipcns limits -v -n -o KEY "$name"
    expect_equal "$stderr" "ipcns: namespace $number ($name)"
}

@test "all are set or none" {
    small_namespace
    for wrong in msgmni=40000 semmni=40000 sem=1,2,3,40000 auto_msgmni=1 shm_rmid_forced=2 msg_max=0 queues_max=1T \
        msgsize_max=100 shmmax=99999999999999999999 nonsense=1 shmmni=x semmsl=1,2; do
        if [[ $wrong == *40000 ]] && inside "$name" sh -c 'echo 40000 >/proc/sys/kernel/msgmni' 2>/dev/null; then
            skip 'this kernel was booted with ipcmni_extend'
        fi
        run --separate-stderr ipcns limits "$name" shmmni=3 semmsl=9 shm_next_id=7 "$wrong" msgmax=9 semopm=1
        [[ $status == 1 || $status == 2 ]]
        expect_output ''
        expect_error "${wrong%%=*}"
        unchanged
    done
    # Last and first, too.
    run ! ipcns limits "$name" shmmni=3 semmni=40000
    unchanged
    run ! ipcns limits "$name" msgmni=40000 shmmni=3
    unchanged
    # One file in the middle that cannot be written.
    if is_root; then
        # shellcheck disable=SC2016 # for the inner shell
        run --separate-stderr inside "$name" unshare --mount --propagation private sh -c '
            mount --bind /proc/sys/kernel/msgmnb /proc/sys/kernel/msgmnb
            mount -o remount,bind,ro /proc/sys/kernel/msgmnb
            exec "$IPCNS" limits shmmni=3 msgmnb=5 msgmax=9'
        expect_status 1
        expect_error 'set the limit msgmnb=5'
        [[ $stderr == *read-only* ]]
        unchanged
    fi
}

@test "a first word with = in it sets the own namespace" {
    need_limits
    # shellcheck disable=SC2016 # for the inner shell
    set -- sh -c '"$IPCNS" limits shmmni=77 semmni=5 && "$IPCNS" limits self msgmni=6 && cd /proc/sys/kernel &&
        cat shmmni msgmni && cut -f 4 sem'
    host=$(raw)
    if is_root; then set -- unshare --ipc "$@"; else set -- unshare --user --map-root-user --ipc "$@"; fi
    run "$@"
    expect_status 0
    expect_output $'77\n6\n5'
    expect_equal "$(raw)" "$host"
}

@test "a wish for an id holds once, and -1 takes it back" {
    small_namespace
    ipcns limits "$name" shm_next_id=41 msg_next_id=42
    inside "$name" ipcmk --shmem 1 | grep -q ' 41$'
    grep -qx 'shm_next_id -1' <<<"$(raw inside "$name")"
    ipcns limits "$name" msg_next_id=-1 sem_next_id=-1
    grep -qx 'msg_next_id -1' <<<"$(raw inside "$name")"
    run inside "$name" ipcmk --queue
    [[ $status == 0 && $output != *' 42' ]]
    [[ $(inside "$name" ipcs --queues | grep -c '^0x') == 1 ]]
}

@test "what is wrong is said, with what was meant" {
    need_names
    name=$(unique_name)
    ipcns create "$name"
    for pair in shmmxa=shmmax SHMMNI=shmmni kernel.msgmaxx=msgmax semni=semmni quues_max=queues_max; do
        run --separate-stderr ipcns limits "$name" "${pair%=*}=1"
        expect_status 2
        expect_error "${pair%=*}"
        [[ $stderr == *"hint: did you mean ${pair#*=}?"* ]]
    done
    for words in 'x y' 'self shmmni' '=' '=5' 'shmmni=' 'shmmni=1 shmmni' "$name shmmni=-1" "$name shmmni=1.5K" \
        'shmmni=1 self' '--frob' '-o NOPE' '-o' "$name shmmni=1 --json" "$name shmmni=1 -n" "$name shmmni=1 -b" \
        "$name sem=1,2,3"; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns limits $words
        expect_status 2
        expect_output ''
        expect_error 'ipcns: '
    done
    for words in nobody-has-this-name /nowhere 4194305 @1; do
        run --separate-stderr ipcns limits "$words"
        expect_status 1
        expect_error 'ipcns: '
    done
    for key in $'a\e[31mb' $'a\nb' $'\xff'; do
        run --separate-stderr ipcns limits "$name" "$key=1"
        expect_status 2
        printf '%s' "$stderr" >said
        expect_harmless said
    done
    run --separate-stderr ipcns limits "$name" msg_max=0
    expect_status 1
    [[ $stderr == *'msg_max takes 1 to 65536'* ]]
}

# bats test_tags=user
@test "an ordinary user sees the limits of the host, and may not set them" {
    expect_equal "$(shown self)" "$(raw)"
    grep -qE '^queues_max +-$' <<<"$(ipcns limits -n -o KEY,USED)"
    for target in '' self; do
        # shellcheck disable=SC2086 # no word where it is empty
        run --separate-stderr ipcns limits $target "shmmni=$(cat /proc/sys/kernel/shmmni)"
        expect_status 1
        expect_error 'set the limit shmmni='
        [[ $stderr == *'Linux 6.9'* ]]
    done
}

# bats test_tags=root
@test "root sets the limits of another user's namespaces, and that user those of its own" {
    somebody_else
    as_somebody_else unshare --user true 2>/dev/null || skip 'user namespaces are not allowed'
    theirs=t-$$-$RANDOM
    as_somebody_else ipcns create "$theirs"
    keeper=$(keepers_of "$theirs")
    remember_pid "$keeper"
    number=$(inode "$(ns_of "$keeper")")
    as_somebody_else ipcns limits "$theirs" shmmni=5 msg_max=6 || skip 'this kernel lets only root of the host set limits'
    ipcns limits "@$number" shmmni=50 semmni=40 shm_next_id=3 -v 2>said
    grep -q 'shmmni was 5, is 50' said
    now=$(raw nsenter --ipc="/proc/$keeper/ns/ipc")
    grep -qx 'shmmni 50' <<<"$now" && grep -qx 'semmni 40' <<<"$now" && grep -qx 'msg_max 6' <<<"$now"
    run ! ipcns limits "@$number" shmmni=51 msgmni=40000
    expect_equal "$(raw nsenter --ipc="/proc/$keeper/ns/ipc")" "$now"
    # In this one nobody is root.
    # shellcheck disable=SC2016 # for the inner shell
    as_somebody_else ipcns run sh -c 'echo $$ >pid; exec sleep 100' &
    remember_pid $!
    wait_until 5 test -s "$open/home/pid"
    read -r pid <"$open/home/pid"
    remember_pid "$pid"
    run --separate-stderr as_somebody_else ipcns limits "$pid" shmmni=5
    expect_status 1
    [[ $stderr == *'root of the host'* ]]
    ipcns limits "$pid" shmmni=6
    expect_equal "$(nsenter --ipc="/proc/$pid/ns/ipc" cat /proc/sys/kernel/shmmni)" 6
    # Somebody else's own.
    mine=$(unique_name)
    ipcns create "$mine"
    run --separate-stderr as_somebody_else ipcns limits "$mine" shmmni=5
    expect_status 1
    as_somebody_else ipcns delete "$theirs"
}

@test "--limit of run and create takes the numbers of sem by their names" {
    is_root || need_limits
    run ipcns run --limit semmsl=9 --limit semmni=7 --limit shm_next_id=-1 -- cat /proc/sys/kernel/sem
    expect_output $'9\t1024000000\t500\t7'
    name=$(unique_name)
    ipcns create --limit semopm=8 --limit semmsl=9 "$name"
    expect_equal "$(inside "$name" cat /proc/sys/kernel/sem)" $'9\t1024000000\t8\t32000'
    run --separate-stderr ipcns run --limit semmni=99999999 -- touch ran
    expect_status 125
    expect_error 'semmni=99999999'
    [[ ! -e ran ]]
}
