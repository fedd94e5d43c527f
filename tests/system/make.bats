#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns make: what it makes is what was asked for, as ipcs and the C library see it from inside, and whose it is.

# shellcheck disable=SC2030,SC2031 # a test is a subshell, and its variables end with it
# shellcheck disable=SC2154 # stderr is bats'; programs, other and open are names.bash's

load common
load names

teardown() { names_teardown; }

new_namespace() {
    need_names
    need_program posix_ipc
    name=$(unique_name)
    ipcns create "$name"
}

inside() { ipcns exec "$name" -- "$@"; } # COMMAND...

# How many System V objects there are, of each kind, and files.
count() {
    # shellcheck disable=SC2016 # for the inner shell
    inside sh -c 'echo $(for kind in msg sem shm; do echo $(($(wc -l <"/proc/sysvipc/$kind") - 1)); done; ls /dev/shm | wc -l)'
}

@test "System V objects, as ipcs sees them from inside" {
    new_namespace
    object=$(ipcns make "$name" shm --size 1M)
    [[ $object == shm:+([0-9]) ]]
    expect_equal "$(inside ipcs -m -i "${object#shm:}" | grep -oE 'bytes=[0-9]+|mode=[0-9]+')" $'mode=0600\nbytes=1048576'
    object=$(ipcns make "$name" sem 0x1234 --count 3 --value 7 --mode 640)
    expect_equal "$(inside ipcs -s -i "${object#sem:}" | grep -oE 'nsems = [0-9]+|mode=[0-9]+')" $'mode=0640\nnsems = 3'
    expect_equal "$(inside ipcs -s -i "${object#sem:}" | awk '$1 ~ /^[0-9]+$/ {print $2}' | paste -sd ,)" 7,7,7
    object=$(ipcns make "$name" msg 4660 --limit 4K)
    inside ipcs -q | grep -qE "^0x00001234 ${object#msg:} "
    inside ipcs -q -i "${object#msg:}" | grep -q 'qbytes=4096'
    ipcns make "$name" msg 0xffffffff --mode 0 >/dev/null
    inside ipcs -q | grep -qE '^0xffffffff .* 0 '
    expect_equal "$(count)" '2 1 1 0'
}

@test "POSIX objects, as the C library finds them from inside" {
    new_namespace
    expect_equal "$(ipcns make "$name" mq /jobs --count 3 --size 100)" mq:/jobs
    expect_equal "$(ipcns make "$name" psem /lock --value 2)" psem:/lock
    expect_equal "$(ipcns make "$name" pshm /cache --size 8K --mode 644)" pshm:/cache
    for object in mq psem pshm; do
        case $object in mq) word=/jobs ;; psem) word=/lock ;; pshm) word=/cache ;; esac
        inside "$programs/posix_ipc" has "$object" "$word"
        run ! "$programs/posix_ipc" has "$object" "$word"
    done
    expect_equal "$(inside stat -c '%s %a' /dev/shm/cache)" '8192 644'
    ipcns make "$name" pshm /reserved --size 64K --allocate >/dev/null
    expect_equal "$(inside stat -c '%s %b' /dev/shm/reserved)" '65536 128'
    # Whatever it is called.
    for word in $'/a b' $'/\e[31m' $'/\xff' $'/a\nb' '/-rf'; do
        ipcns make "$name" pshm "$word" --size 1 >said
        expect_harmless said
        inside test -e "/dev/shm$word"
        ipcns make "$name" mq "$word" --json >said
        jq -e .made said >/dev/null
        expect_harmless said
        inside "$programs/posix_ipc" has mq "$word"
    done
}

@test "an object that is there is used, and said with -v; --exclusive refuses it" {
    new_namespace
    first=$(ipcns make "$name" shm 0x77 --size 64K)
    run --separate-stderr ipcns make -v "$name" shm 0x77 --size 4K --mode 666
    expect_status 0
    expect_output "$first"
    expect_equal "$stderr" "ipcns: $first was there already, and is not changed"
    inside ipcs -m -i "${first#shm:}" | grep -q 'bytes=65536'
    run --separate-stderr ipcns make "$name" shm 0x77 --size 4K --exclusive
    expect_status 1
    expect_output ''
    expect_error 0x00000077
    run --separate-stderr ipcns make "$name" shm 0x77 --size 1M
    expect_status 1
    ipcns make "$name" psem /lock --value 3
    run --separate-stderr ipcns make -v "$name" psem /lock --value 9
    expect_status 0
    [[ $stderr == *'there already'* ]]
    run ! ipcns make "$name" psem /lock --exclusive
    run --separate-stderr ipcns make -v "$name" mq /new
    [[ $stderr == 'ipcns: mq:/new made' ]]
}

@test "make --json says all of it" {
    new_namespace
    ipcns make "$name" sem 0xabc --json >json
    id=$(jq .id json)
    expect_equal "$(jq -c . json)" \
        "{\"object\":\"sem:$id\",\"kind\":\"sem\",\"id\":$id,\"key\":\"0x00000abc\",\"name\":null,\"made\":true}"
    inside ipcs -s | grep -qE "^0x00000abc $id "
    expect_equal "$(ipcns make "$name" mq /jobs --json | jq -c .)" \
        '{"object":"mq:/jobs","kind":"mq","id":null,"key":null,"name":"/jobs","made":true}'
    expect_equal "$(ipcns make "$name" sem 0xabc --json | jq -c .made)" false
}

@test "what makes no sense is refused, and nothing is made" {
    new_namespace
    for words in '' 'shm' 'shm 0x1' 'pshm /x' 'mq' 'mq x' 'mq /a/b' 'psem' 'nonsense' 'msg 0x1g' 'msg 0x100000000' 'msg -1' 'msg /x' \
        'shm --size 1Q' 'shm --size -1' 'shm --size' 'shm 0x1 --size 4K --count 1' 'msg --size 4K' 'mq /x --limit 1' \
        'psem /x --value 1,2' 'psem /x --value -1' 'psem /x --value x' 'psem /x --value' 'psem /x --value 1,' 'sem --count x' \
        'sem --count 2 --value 1,2,3' 'sem --value 32768' 'msg --mode 8' 'msg --mode 1777' 'msg --mode x' 'msg --mode -1' \
        'mq /x --huge' 'msg --lock' 'mq /x --noreserve' 'shm --size 4K --allocate' 'pshm /x --size 4K --huge=2M' \
        'msg --owner nobody-is-called-so' 'msg --owner root:nobody-is-called-so' 'msg --owner 4294967295' 'msg --frob'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns make "$name" $words
        expect_status 2
        expect_output ''
        expect_error 'ipcns: '
    done
    run --separate-stderr ipcns make "$name" shm --size 4K --count 3
    expect_equal "$stderr" $'ipcns: --count means nothing for the kind shm\nhint: it is for sem, mq'
    for words in 'shm --size 0' 'sem --count 0' 'sem --count 99999999' 'mq /x --size 999G' 'shm --size 4K --huge=3K'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns make "$name" $words
        [[ $status == 1 || $status == 2 ]]
        expect_error 'ipcns: '
    done
    expect_equal "$(count)" '0 0 0 0'
    run ! inside "$programs/posix_ipc" has mq /x
    run --separate-stderr ipcns make nobody-has-this-name msg
    expect_status 1
}

# `ipcns make $name WORDS...` fails with exactly this message and this hint.
refuses() { # MESSAGE HINT WORDS...
    run --separate-stderr ipcns make "$name" "${@:3}"
    ((status != 0))
    expect_equal "$stderr" "ipcns: $1"$'\n'"hint: $2"
}

@test "what is there already, or allowed at most, is told in numbers" {
    new_namespace
    ipcns make "$name" shm 0x77 --size 5000 >/dev/null
    ipcns make "$name" sem 0x78 --count 3 >/dev/null
    refuses 'make a shared memory segment with the key 0x00000077: Invalid argument' \
        'the one that exists has 5000 bytes' shm 0x77 --size 1M
    ipcns limits "$name" shmmax=8M >/dev/null
    refuses 'make a shared memory segment: Invalid argument' \
        'a segment has at least one byte and at most 8388608, the limit shmmax, and huge pages must be of a size that this system has' \
        shm --size 9M
    local most
    most=$(inside cut -f 1 /proc/sys/kernel/sem)
    refuses 'make a semaphore set with the key 0x00000078: Invalid argument' \
        "the one that exists has 3 semaphores; a set has at least one and at most $most semaphores, by the first number of the limit sem" \
        sem 0x78 --count 4
    refuses 'make a semaphore set: Invalid argument' \
        "a set has at least one and at most $most semaphores, by the first number of the limit sem" sem --count "$((most + 1))"
}

@test "a full /dev/shm is named for semaphores, too" {
    need_names
    name=$(unique_name)
    ipcns create "$name" --shm-size 4K
    inside sh -c 'echo 1 >/dev/shm/full'
    refuses 'make the named semaphore /x: No space left on device' 'the file system of its /dev/shm is too small' psem /x
    refuses 'make the shared memory object /x: No space left on device' 'the file system of its /dev/shm is too small' \
        pshm /x --size 4K --allocate
}

@test "options are named as they are typed, and what is missing by the word that gives it" {
    name=self
    refuses '--value means nothing for the kind shm' 'it is for sem, psem' shm --size 4K --value 1
    refuses '--size means nothing for the kind msg' 'it is for shm, mq, pshm' msg --size 4K
    refuses '--huge means nothing for the kind mq' 'it is for shm' mq /x --huge
    refuses '--allocate means nothing for the kind shm' 'it is for pshm' shm --size 4K --allocate
    refuses 'a shared memory segment needs --size' 'such as --size 64M' shm
    refuses 'a shared memory object needs --size' 'such as --size 64M' pshm /x
    refuses 'a POSIX queue needs a NAME' 'it comes after the KIND, and begins with a slash: mq /jobs' mq
    refuses 'a named semaphore needs a NAME' 'it comes after the KIND, and begins with a slash: psem /jobs' psem
}

# bats test_tags=root
@test "root gives objects to others" {
    new_namespace
    object=$(ipcns make "$name" shm --size 4K --owner games:daemon)
    inside ipcs -m -i "${object#shm:}" | grep -qE "uid=$(id -u games)[[:space:]]+gid=$(getent group daemon | cut -d: -f3)"
    ipcns make "$name" pshm /theirs --size 4K --owner 1234:4321
    expect_equal "$(inside stat -c %u:%g /dev/shm/theirs)" 1234:4321
    ipcns make "$name" pshm /group --size 4K --owner :4321
    expect_equal "$(inside stat -c %u:%g /dev/shm/group)" 0:4321
    ipcns make "$name" mq /theirs --owner 1234
    expect_equal "$(stat -c %u "/run/ipcns/$name/mqueue/theirs")" 1234
}

# bats test_tags=user
@test "what an ordinary user makes belongs to that user" {
    new_namespace
    object=$(ipcns make "$name" shm --size 1M)
    me=$(id -un)
    # exec is the same user inside.
    expect_equal "$(inside ipcs -m | awk -v id="${object#shm:}" '$2 == id {print $3}')" "$me"
    inside ipcs -m -i "${object#shm:}" | grep -qE "uid=${EUID}[[:space:]].*cuid=$EUID"
    # And as itself, as a name, as a number.
    for owner in "$me" "$EUID" "$EUID:$(id -g)" ":$(id -g)"; do
        object=$(ipcns make "$name" sem --owner "$owner")
        inside ipcs -s -i "${object#sem:}" | grep -qE "uid=${EUID}[[:space:]]+gid=$(id -g)[[:space:]]"
        ipcns make "$name" mq "/of-$owner" --owner "$owner" >/dev/null
        expect_equal "$(inside stat -c %u:%g "/dev/mqueue/of-$owner" 2>/dev/null || echo "$EUID:$(id -g)")" "$EUID:$(id -g)"
        ipcns make "$name" pshm "/of-$owner" --size 1 --owner "$owner" >/dev/null
        expect_equal "$(inside stat -c %u:%g "/dev/shm/of-$owner")" "$EUID:$(id -g)"
    done
    # Nobody else has a name there.
    for kind in msg 'mq /x' 'psem /x'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns make "$name" $kind --owner 0
        expect_status 1
        expect_error 'ipcns: '
    done
    expect_equal "$(inside sh -c 'wc -l </proc/sysvipc/msg')" 1
    run ! inside "$programs/posix_ipc" has mq /x
    run ! inside "$programs/posix_ipc" has psem /x
}

# bats test_tags=root
@test "root makes objects in another user's namespace, but no files" {
    somebody_else
    as_somebody_else unshare --user true 2>/dev/null || skip 'user namespaces are not allowed'
    theirs=t-$$-$RANDOM
    as_somebody_else ipcns create "$theirs"
    keeper=$(keepers_of "$theirs")
    remember_pid "$keeper"
    object=$(ipcns make "$keeper" shm --size 4K --owner "$other")
    as_somebody_else ipcns exec "$theirs" -- ipcs -m -i "${object#shm:}" | grep -qE "uid=$(id -u "$other")[[:space:]]"
    run --separate-stderr ipcns make "$keeper" pshm /x --size 4K
    expect_status 1
    expect_error 'ipcns: '
    [[ $stderr == *'no mapping for you'* ]]
    as_somebody_else ipcns delete "$theirs"
}
