#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# list: it finds a namespace whatever keeps it alive, says so in columns and in JSON, prints other programs' names
# harmlessly, counts right, and is not disturbed by processes that vanish.

# shellcheck disable=SC2154 # stderr is bats', pid, open and other are names.bash's

load common
load names

teardown() { names_teardown; }

# The line of a namespace, by its number, with the columns asked for.
row() { # NUMBER COLUMNS [OPTION...]
    local number=$1 columns=$2
    shift 2
    ipcns list -q -n -o "NS,$columns" "$@" | awk -v ns="$number" '$1 == ns { sub(/^ *[0-9]+ +/, ""); sub(/ +$/, ""); print }'
}

# A process in a namespace that ipcns has not made.
stay_in_new() {
    local enter=(unshare --ipc)
    is_root || enter+=(--user --map-current-user)
    stay "${enter[@]}"
}

@test "list finds a namespace by its processes" {
    need_names
    stay_in_new
    ns=$(inode "$(ns_of "$pid")")
    expect_equal "$(row "$ns" NAME,PROCS,PID,USER,HELD,COMMAND | tr -s ' ')" "- 1 $pid $(id -un) process sleep 1000"
    first=$pid
    stay ipcns exec "$pid" --
    expect_equal "$(row "$ns" PROCS,PID | tr -s ' ')" "2 $((first < pid ? first : pid))"
    run -0 ipcns list -q
    [[ ${lines[0]} =~ ^\ *NS\ NAME\ +PROCS\ +PID\ USER\ +HELD\ +COMMAND$ ]]
    grep -qE "^ *$(inode "$(host_ns)") +host +" <<<"$output"
}

@test "list finds a namespace that one thread alone is in" {
    need_names
    need_program thread_ns
    "$programs/thread_ns" >thread 3>&- &
    remember_pid $!
    thread=$!
    wait_until 10 test -s thread
    ns=$(inode "$(<thread)")
    expect_equal "$(row "$ns" PROCS,PID,HELD | tr -s ' ')" "1 $thread process"
    expect_equal "$(ipcns pids "@$ns")" "$thread"
    [[ $(ns_of "$thread") == "$(host_ns)" ]]
    run -0 ipcns exec --ipc-only "@$ns" -- readlink /proc/self/ns/ipc
    expect_output "ipc:[$ns]"
}

# bats test_tags=root
@test "list finds a namespace that only a mount holds, also one in another mount namespace" {
    name=$(unique_name)
    ipcns create "$name"
    ns=$(inode "$(ns_of_name "$name")")
    expect_equal "$(row "$ns" NAME,PROCS,PID,USER,HELD,MOUNTS | tr -s ' ')" "$name 0 - - mount /run/ipcns/$name/ipc"
    # A place with a name to be careful with.
    # shellcheck disable=SC2016 # for the inner shell
    stay unshare --mount --propagation private sh -c ': >"$0" && unshare --ipc="$0" true && shift && exec "$@"' \
        "$work/a b"$'\e[7m' x
    ns=$(awk -v root="$work/" '$9 == "nsfs" || $8 == "nsfs" { if (index($5, root) == 1) print $4 }' \
        "/proc/$pid/mountinfo")
    ns=$(inode "$ns")
    [[ -n $ns ]]
    run ! grep -F "$work" /proc/self/mountinfo
    expect_equal "$(row "$ns" NAME,PROCS,HELD,MOUNTS | tr -s ' ')" "- 0 mount $work/a b"'\x1b[7m'
    run -0 ipcns exec --ipc-only "@$ns" -- readlink /proc/self/ns/ipc
    expect_output "ipc:[$ns]"
}

@test "list finds a namespace that only a descriptor holds, as --fds says" {
    need_names
    stay_in_new
    ns=$(inode "$(ns_of "$pid")")
    sleep 1000 3>&- 9<"/proc/$pid/ns/ipc" &
    holder=$!
    remember_pid "$holder"
    # The shell that is to become sleep has it too, so it is there by now or in a moment.
    wait_until 10 test -e "/proc/$holder/fd/9"
    end_process "$pid"
    for fds in --fds --fds=always --fds=auto; do
        # auto: where there are at most a thousand processes.
        if [[ $fds == --fds=auto ]] && (($(find /proc -maxdepth 1 -name '[0-9]*' | wc -l) > 900)); then continue; fi
        expect_equal "$(row "$ns" NAME,PROCS,HELD,FDS "$fds" | tr -s ' ')" "- 0 fd $holder"
    done
    expect_equal "$(row "$ns" HELD --fds=never)" ''
    run -0 ipcns exec --ipc-only "@$ns" -- readlink /proc/self/ns/ipc
    expect_output "ipc:[$ns]"
    end_process "$holder"
    expect_equal "$(row "$ns" HELD --fds)" ''
}

@test "-o chooses columns, -o +COLUMN adds, -n leaves out the headings" {
    run -0 ipcns list -q -o ns,Name
    [[ ${lines[0]} =~ ^\ *NS\ NAME$ ]]
    headings=${#lines[@]}
    run -0 ipcns list -q -n -o NS
    [[ ${lines[0]} =~ ^[0-9]+$ ]]
    run -0 ipcns list -q -o +UID,MOUNTS
    [[ ${lines[0]} =~ COMMAND\ +UID\ MOUNTS$ ]]
    run -0 ipcns list -q -o PID,PID
    [[ ${lines[0]} =~ ^\ *PID\ +PID$ ]]
    ((headings >= 2))
    run --separate-stderr ipcns list -o NAME,NOPE
    expect_status 2
    expect_error NOPE
}

@test "SHM and OBJECTS are what ipcs says" {
    need_names
    need_program posix_ipc
    need jq
    name=$(unique_name)
    ipcns create "$name"
    ipcns exec "$name" -- sh -c 'ipcmk -M 1; ipcmk -M 100000; ipcmk -Q; ipcmk -Q; ipcmk -S 3'
    ipcns exec "$name" -- "$programs/posix_ipc" make mq /jobs
    stay ipcns exec "$name" --
    ns=$(inode "$(ns_of "$pid")")
    page=$(getconf PAGESIZE)
    # ipcs counts segments in whole pages, as the kernel does.
    pages=$(ipcns exec "$name" -- ipcs -mu | awk '/pages allocated/ { print $3 }')
    expect_equal "$(row "$ns" SHM,OBJECTS -b | tr -s ' ')" "$((pages * page)) 6"
    expect_equal "$(row "$ns" OBJECTS)" 6
    run -0 ipcns list -q --objects
    [[ ${lines[0]} =~ COMMAND\ +SHM\ OBJECTS$ ]]
    # And in a namespace with a name but nobody inside.
    end_process "$pid"
    expect_equal "$(row "$ns" SHM,OBJECTS -b | tr -s ' ')" "$((pages * page)) 6"
    run -0 ipcns list -q --json --objects
    # shellcheck disable=SC2016 # jq's
    expect_equal "$(json --arg ns "$ns" '.namespaces[] | select(.ns == ($ns | tonumber)) | [.segment_bytes, .objects] | @text')" \
        "[$((pages * page)),6]"
}

@test "--json is valid, with the keys that are documented" {
    need_names
    need jq
    name=$(unique_name)
    ipcns create "$name"
    stay ipcns exec "$name" --
    ns=$(inode "$(ns_of "$pid")")
    run --separate-stderr ipcns list --json
    expect_status 0
    expect_equal "$(json 'keys_unsorted | @text')" '["namespaces","unseen_processes","descriptors_searched"]'
    expect_equal "$(json '[.namespaces[] | keys_unsorted] | unique | @text')" \
        '[["ns","name","processes","pid","user","held","command"]]'
    # shellcheck disable=SC2016 # jq's
    expect_equal "$(json --arg ns "$ns" '.namespaces[] | select(.ns == ($ns | tonumber)) | [.name, .processes, .pid, .user, .held[0], .command] | @text')" \
        "[\"$name\",1,$pid,\"$(id -un)\",\"process\",\"sleep 1000\"]"
    expect_equal "$(json '[.namespaces[] | .ns | type] | unique | @text')" '["number"]'
    run -0 ipcns list --json -o NS,MOUNTS,FDS,UID,SHM,OBJECTS
    expect_equal "$(json '[.namespaces[] | keys_unsorted] | unique | @text')" \
        '[["ns","mounts","descriptors","uid","segment_bytes","objects"]]'
    expect_equal "$(json '[.namespaces[] | [.mounts, .descriptors] | map(type)] | unique | @text')" '[["array","array"]]'
}

@test "what programs call themselves is printed harmlessly, and is valid JSON" {
    need_names
    need jq
    name=$(unique_name)
    # So long nothing else sleeps, not even this test as another user.
    long=1001.$RANDOM$RANDOM
    ipcns create "$name"
    odd=$'\e]0;title\a\e[31m\nnew line\ttab\r\x7f\xff\xfe \xc2\x9b31m \xe2\x80\xae "quoted" \\ end'
    # shellcheck disable=SC2016 # for the inner shell
    in_background "$IPCNS" exec "$name" -- bash -c 'exec -a "$1" sleep "$2"' - "$odd" "$long"
    sleeper=$!
    wait_until 10 grep -qs title "/proc/$sleeper/cmdline"
    # The shell that becomes it has the words in its arguments, too.
    is_sleep() { ipcns pids -l "$name" | grep -F "$long" | grep -qv 'exec -a'; }
    wait_until 10 is_sleep
    for command in 'list' "pids -l $name"; do
        # shellcheck disable=SC2086 # words
        ipcns $command >output 2>/dev/null
        grep -qF '\x1b]0;title' output
        grep -qF 'new line' output
        expect_equal "$(grep -cF "$long" output)" 1
        expect_harmless output
        # Neither C1 controls nor what turns the text around.
        LC_ALL=C run ! grep -qP '\xc2[\x80-\x9f]|\xe2\x80\xae' output
    done
    for command in 'list --json' "pids --json $name"; do
        # shellcheck disable=SC2086 # words
        ipcns $command >output 2>/dev/null
        jq -e . output >/dev/null
        iconv -f UTF-8 -t UTF-8 output >/dev/null
        jq -r '.. | .command? // empty' output | grep -q quoted
    done
    # A warning is for a terminal as well.
    run --separate-stderr ipcns delete "$name"
    expect_status 0
    printf '%s\n' "$stderr" >output
    grep -qF "$sleeper (" output
    expect_harmless output
}

@test "processes that come and go while list reads are no error" {
    # shellcheck disable=SC2016 # for the inner shell
    in_background bash -c 'while :; do for i in 1 2 3 4 5 6 7 8; do (:) & done; wait; done'
    storm=$!
    # shellcheck disable=SC2016 # for the inner shell
    in_background bash -c 'while :; do "$IPCNS" run --ipc-only true || true; done'
    for _ in {1..30}; do
        run --separate-stderr ipcns list -q --objects --fds
        expect_status 0
        [[ -z $stderr ]]
        run --separate-stderr ipcns pids host
        expect_status 0
        [[ -z $stderr ]]
    done
    run ! gone "$storm"
}

# bats test_tags=user
@test "an ordinary user is told how many processes could not be looked at" {
    ! ls -l /proc/1/ns/ipc 2>/dev/null >&2 || skip 'here one may look at process 1'
    need_names
    name=$(unique_name)
    ipcns create "$name"
    run --separate-stderr ipcns pids "$name"
    expect_status 0
    expect_output ''
    expect_error 'none was found inside; '
    [[ $stderr =~ \;\ [1-9][0-9]*\ process ]]
    ipcns pids "$name" --json | jq -e '.unseen_processes > 0'
    ipcns delete "$name"
    run --separate-stderr ipcns list
    expect_status 0
    [[ $stderr =~ ^ipcns:\ ([0-9]+)\ process(es)?\ could\ not\ be\ looked\ at ]]
    ((BASH_REMATCH[1] >= 1))
    run --separate-stderr ipcns list -q
    expect_status 0
    [[ -z $stderr ]]
    need jq
    run --separate-stderr ipcns list --json
    [[ -z $stderr ]]
    (($(json .unseen_processes) >= 1))
}

# bats test_tags=root
@test "an ordinary user sees the mounts, but neither processes nor contents of what is root's" {
    name=$(unique_name)
    somebody_else
    ipcns create "$name"
    ns=$(inode "$(ns_of_name "$name")")
    stay ipcns exec "$name" --
    run as_somebody_else ipcns list -q -n -o NS,NAME,PROCS,HELD,SHM,OBJECTS
    expect_status 0
    grep -qE "^ *$ns +$name +0 +mount +- +-\$" <<<"$output"
}

@test "output that cannot be written is an error" {
    for command in 'list -q' 'list --json' identify 'identify --json' 'pids self' 'pids -l self'; do
        # shellcheck disable=SC2016,SC2086 # for the inner shell, words
        run --separate-stderr sh -c '"$IPCNS" "$@" >/dev/full' - $command
        expect_status 1
        expect_error 'standard output'
        # shellcheck disable=SC2016,SC2086 # for the inner shell, words
        run --separate-stderr sh -c '"$IPCNS" "$@" >&-' - $command
        expect_status 1
        expect_error 'standard output'
    done
}
