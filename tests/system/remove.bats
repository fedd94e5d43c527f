#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns remove: what is named goes, what filters fit goes after a yes, what is somebody's or another one stays. What is
# left is looked at with ipcs and the C library. An id that is used again is shown by the library's tests. Nothing of the
# host's can go: all targets are namespaces of the test's own.

# shellcheck disable=SC2030,SC2031 # a test is a subshell, and its variables end with it
# shellcheck disable=SC2154 # stderr is bats'; pid and programs are names.bash's

load common
load names
load terminal

teardown() {
    end_terminals
    names_teardown
}

new_namespace() {
    need_names
    need_program posix_ipc
    name=$(unique_name)
    ipcns create "$name"
}

inside() { ipcns exec "$name" -- "$@"; } # COMMAND...

# Makes an object without ipcns, and prints its id.
mk() { inside ipcmk "$@" | grep -oE '[0-9]+$'; } # OPTION-OF-IPCMK...

# Ids of a kind, on one line.
ids() { inside sh -c "tail -n +2 /proc/sysvipc/$1" | awk '{print $2}' | sort -n | paste -sd ' '; } # KIND

has() { inside "$programs/posix_ipc" has "$@"; } # KIND /NAME

# Some of every kind.
fill() {
    queue=$(mk -Q)
    set=$(mk -S 3)
    segment=$(mk -M 64K)
    inside "$programs/posix_ipc" make mq /jobs
    inside "$programs/posix_ipc" make psem /lock
    inside "$programs/posix_ipc" make pshm /cache
}

all_there() {
    expect_equal "$(ids msg)/$(ids sem)/$(ids shm)" "$queue/$set/$segment"
    has mq /jobs && has psem /lock && has pshm /cache
}

nothing_there() {
    expect_equal "$(ids msg)/$(ids sem)/$(ids shm)" //
    ! has mq /jobs && ! has psem /lock && ! has pshm /cache
}

@test "every kind by name, and nothing is asked" {
    new_namespace
    fill
    other=$(mk -Q)
    run --separate-stderr ipcns remove "$name" "msg:$queue" "sem:$set" "shm:$segment" mq:/jobs psem:/lock pshm:/cache
    expect_status 0
    expect_output ''
    [[ -z $stderr ]]
    expect_equal "$(ids msg)" "$other"
    expect_equal "$(ids sem)$(ids shm)" ''
    run ! has mq /jobs
    run ! has psem /lock
    run ! has pshm /cache
}

@test "by key, and twice is once" {
    new_namespace
    id=$(ipcns make "$name" shm 0xfffffffe --size 4K)
    run --separate-stderr ipcns remove -v "$name" shm:0xfffffffe "$id" shm:0xfffffffe
    expect_status 0
    expect_equal "$stderr" "ipcns: $id removed"
    expect_equal "$(ids shm)" ''
}

@test "one that is not there is said, and the others go" {
    new_namespace
    fill
    run --separate-stderr ipcns remove "$name" "msg:$queue" shm:99999 sem:0x77 mq:/none psem:/none "sem:$set"
    expect_status 1
    expect_output ''
    expect_equal "$stderr" $'ipcns: remove shm:99999: there is no such object\nipcns: remove sem:0x77: there is no such object
ipcns: remove mq:/none: there is no such object\nipcns: remove psem:/none: there is no such object'
    expect_equal "$(ids msg)$(ids sem)" ''
    expect_equal "$(ids shm)" "$segment"
}

@test "names with odd bytes" {
    new_namespace
    words=($'/a b' $'/\e[31m' $'/\xff' $'/a\nb' '/-rf' $'/a\\x07b')
    for word in "${words[@]}"; do
        inside "$programs/posix_ipc" make mq "$word"
        inside "$programs/posix_ipc" make pshm "$word"
    done
    ipcns remove "$name" --all --dry-run >table
    expect_harmless table
    expect_equal "$(grep -c . table)" $((2 * ${#words[@]} + 1))
    ipcns remove "$name" --all --dry-run --json >json
    expect_harmless json
    expect_equal "$(jq '.would_remove | length' json)" $((2 * ${#words[@]}))
    for word in "${words[@]}"; do
        ipcns remove "$name" "mq:$word" "pshm:$word" -v 2>said
        expect_harmless said
        expect_equal "$(wc -l <said)" 2
        run ! has mq "$word"
        run ! has pshm "$word"
        run --separate-stderr ipcns remove "$name" "mq:$word"
        expect_status 1
        printf '%s' "$stderr" >said
        expect_harmless said
    done
}

@test "filters need a yes where there is no terminal" {
    new_namespace
    fill
    for filter in --all '--kind shm' "--owner $EUID"; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns remove "$name" $filter <<<y
        expect_status 1
        expect_output ''
        [[ $stderr == *'ipcns: nothing was removed: there is no terminal to ask on'$'\n''hint: --yes '* ]]
        all_there
    done
    run --separate-stderr ipcns remove --yes "$name" --all
    expect_status 0
    expect_output ''
    nothing_there
    # Where nothing fits there is nothing to ask.
    for yes in '--yes' ''; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns remove $yes "$name" --all </dev/null
        expect_status 0
        expect_equal "$stderr" 'ipcns: nothing there fits, so there is nothing to remove'
    done
}

@test "--dry-run prints what would go, and removes nothing" {
    new_namespace
    fill
    run --separate-stderr ipcns remove "$name" --all --dry-run --yes
    expect_status 0
    expect_equal "$(awk '{print $1}' <<<"$output" | paste -sd ' ')" \
        "OBJECT msg:$queue sem:$set shm:$segment mq:/jobs psem:/lock pshm:/cache"
    [[ $output == *" 64K "* ]]
    all_there
    run --separate-stderr ipcns remove "$name" --all --dry-run --json -o OBJECT,SIZE,UID --kind shm,mq
    expect_equal "$(json -c .would_remove)" \
        "[{\"object\":\"shm:$segment\",\"bytes\":65536,\"uid\":$EUID},{\"object\":\"mq:/jobs\",\"bytes\":0,\"uid\":$EUID}]"
    run --separate-stderr ipcns remove "$name" --dry-run -n -o OBJECT "sem:$set" mq:/none
    expect_status 1
    expect_output "sem:$set"
    expect_error 'mq:/none'
    all_there
    run --separate-stderr ipcns remove "$name" --all --json --yes
    expect_status 2
    all_there
}

@test "on a terminal it lists and asks, and takes only a yes" {
    new_namespace
    fill
    start_terminal
    see_prompt
    for answer in '' no x; do
        enter "'$IPCNS' remove $name --kind shm,mq || echo status=\$?"
        see "shm:$segment .*"
        see 'Remove these 2\? \[y/N\].*'
        enter "$answer"
        see 'status=1'
        clear_screen
        see_prompt
    done
    all_there
    enter "'$IPCNS' remove $name --kind shm,mq && echo done"
    see 'Remove these 2\? \[y/N\].*'
    enter yes
    see 'done'
    expect_equal "$(ids msg)/$(ids sem)/$(ids shm)" "$queue/$set/"
    run ! has mq /jobs
    has psem /lock && has pshm /cache
}

@test "what was replaced before the yes stays" {
    new_namespace
    ipcns make "$name" pshm /cache --size 4K >/dev/null
    ipcns make "$name" pshm /gone --size 4K >/dev/null
    start_terminal
    see_prompt
    enter "'$IPCNS' remove $name --kind pshm || echo status=\$?"
    see 'Remove these 2\? \[y/N\].*'
    inside rm /dev/shm/cache /dev/shm/gone
    inside "$programs/posix_ipc" make pshm /cache
    enter y
    see 'ipcns: remove pshm:/cache: it was changed or replaced since.*'
    see 'status=1'
    has pshm /cache
}

@test "filters combine, and --force is for the host alone" {
    new_namespace
    fill
    keyed=$(ipcns make "$name" msg 0x1234)
    run --separate-stderr ipcns remove -y -v "$name" --key 0x1234 --owner "$(id -un)"
    expect_status 0
    expect_equal "$stderr" "ipcns: $keyed removed"
    run --separate-stderr ipcns remove -y "$name" --kind psem --older-than 1h
    expect_equal "$stderr" 'ipcns: nothing there fits, so there is nothing to remove'
    run --separate-stderr ipcns remove -y "$name" --kind psem,pshm --owner "$((EUID + 1))"
    [[ $stderr == *'nothing there fits'* ]]
    all_there
    sleep 2.1
    ipcns remove -y "$name" --older-than 2s --kind sem,pshm
    expect_equal "$(ids msg)/$(ids sem)/$(ids shm)" "$queue//$segment"
    has psem /lock
    run ! has pshm /cache
    # The host's is not touched: it is refused before anything is looked at.
    run --separate-stderr ipcns remove host --all --yes --kind msg --owner "$((EUID + 12345))"
    expect_status 2
    expect_error 'ipcns: '
    [[ $stderr == *'hint: --force '* ]]
}

# Starts a process inside that holds a segment; what it says is in $pid, $held and $made.
hold() { # [ID]
    mkfifo "$work/ready"
    inside "$programs/hold_segment" "$work/ready" "$@" >/dev/null 2>&1 &
    remember_pid $!
    read -r pid held made <"$work/ready"
    remember_pid "$pid"
}

@test "--orphans takes what was leaked, and leaves what is attached or whose creator runs" {
    need_program hold_segment
    new_namespace
    leaked=$(mk -M 64K)
    hold
    other=$(mk -M 128K)
    run --separate-stderr ipcns remove "$name" --orphans --kind shm --dry-run -n -o OBJECT
    expect_status 0
    expect_equal "$(sort <<<"$output")" "$(printf 'shm:%s\n' "$leaked" "$other" | sort)"
    ipcns remove "$name" --orphans --kind shm --yes
    expect_equal "$(ids shm)" "$(printf '%s\n' "$held" "$made" | sort -n | paste -sd ' ')"
    # What is the same in show is said as there.
    columns=OBJECT,KIND,OWNER,UID,MODE,SIZE,STATE
    expect_equal "$(ipcns remove "$name" --all --dry-run --json -o "$columns" | jq -cS '.would_remove | sort_by(.object)')" \
        "$(ipcns show "$name" -q --json -o "$columns" | jq -cS '.shm | sort_by(.object)')"
    ipcns show "$name" -q -n -o STATE | grep -q 'in use'
    # Attached since long ago is in use, too.
    sleep 1.1
    run --separate-stderr ipcns remove "$name" --older-than 1s --kind shm --yes
    expect_status 0
    expect_equal "$stderr" 'ipcns: 1 object is left out: somebody has it'
    expect_equal "$(ids shm)" "$held"
}

# bats test_tags=root
@test "one failure in the middle, and the others go" {
    new_namespace
    first=$(ipcns make "$name" shm --size 4K --owner games)
    theirs=$(ipcns make "$name" shm --size 4K)
    last=$(ipcns make "$name" shm --size 4K --owner games)
    somebody_else
    run --separate-stderr nsenter --ipc="/run/ipcns/$name/ipc" setpriv --reuid games --regid games --clear-groups \
        --inh-caps=-all "$open/bin/ipcns" remove self "$first" "$theirs" "$last"
    expect_status 1
    expect_error "ipcns: remove $theirs: Operation not permitted"
    expect_equal "$(ids shm)" "${theirs#shm:}"
}

@test "a segment that is attached lingers, and -v says so" {
    need_program hold_segment
    new_namespace
    segment=$(mk -M 64K)
    hold "$segment"
    run --separate-stderr ipcns remove -v "$name" "shm:$segment"
    expect_status 0
    expect_equal "$stderr" "ipcns: shm:$segment removed; its memory stays until it is detached (1 attachment now)"
    inside ipcs -m | grep -q ' dest'
    run --separate-stderr ipcns remove -y "$name" --kind shm
    [[ $stderr == *'nothing there fits'* ]]
}

@test "what is wrong is said, and nothing goes" {
    new_namespace
    fill
    for words in '' '--yes' '--dry-run' 'x' 'msg' 'msg:' 'msg:-1' 'shm:0x0' 'mq:jobs' 'mq:/a/b' 'msgs:0' '--kind x --yes' '--kind msg, --yes' \
        '--owner nobody-is-called-so --yes' '--older-than 1 --yes' '--older-than 1w --yes' '--older-than -1s --yes' \
        '--older-than s --yes' '--key x --yes' '--key 0x100000000 --yes' '--key 1 --kind mq,psem --yes' "msg:$queue --all --yes" \
        "msg:$queue --json" '--all --yes -n' '--frob' '--all --dry-run -o NOPE'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns remove "$name" $words
        expect_status 2
        expect_output ''
        expect_error 'ipcns: '
    done
    all_there
    run --separate-stderr ipcns remove nobody-has-this-name --all --yes
    expect_status 1
    run --separate-stderr ipcns remove
    expect_status 2
}

# bats test_tags=root
@test "an ordinary user removes nothing of root's" {
    new_namespace
    fill
    somebody_else
    for words in "msg:$queue mq:/jobs pshm:/cache" '--all --yes'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr as_somebody_else ipcns remove "$name" $words
        expect_status 1
        [[ $stderr == 'ipcns: '* ]]
    done
    all_there
}
