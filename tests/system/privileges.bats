#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The table of docs/security.md: with the capabilities that it names, and no others, root's commands do what they are for; and
# when any one of them is missing, they don't.
#
# bats file_tags=root

# shellcheck disable=SC2154 # common.bash sets the variables

load common
load documents
load names

teardown() { names_teardown; }

# What is tried for each row: the beginning of its first cell, and a command. In there `db` holds an object of each kind that
# belongs to somebody else, who runs `sleep 600` in it, as process $pid; `empty` holds nothing.
# shellcheck disable=SC2016,SC2034 # for the shell in there
trials=(
    '`run`, `create`' 'ipcns run -- true'
    '`run`, `create`' 'ipcns create other'
    '`run`, `create`' 'ipcns clear --yes empty'
    '`run`, `create`' 'ipcns delete empty'
    '`run --strict`' 'ipcns run --strict -- true'
    '`delete --kill`' 'ipcns delete --kill db && ! grep -qs "^State:.[RSD]" /proc/$pid/status'
    '`exec`, `show`' 'ipcns exec db -- true'
    '`exec`, `show`' '(($(ipcns show db -n | wc -l) == 6))'
    '`exec`, `show`' 'ipcns limits db shmmni=64'
    '`exec`, `show`' 'ipcns make db msg'
    '`exec`, `show`' 'ipcns make db msg 0x77 --owner nobody'
    '`exec`, `show`' 'ipcns remove db msg:0 sem:0 shm:0 mq:/o psem:/o pshm:/o'
    '`exec`, `show`' 'ipcns diff db empty; (($? == 3))'
    '`exec PID`' 'ipcns exec $pid -- true'
    '`exec PID`' 'ipcns attach theirs $pid'
    '`exec PID`' 'ipcns verify $pid --only msg,pshm'
    '`exec --ipc-only' 'ipcns exec --ipc-only $pid -- true'
    '`identify PID`' 'ipcns identify $pid'
    '`identify PID`' 'ipcns diff self $pid; (($? == 3))'
    '`show --holders`' 'ipcns show db --holders >shown 2>&1 && ! grep -q "could not" shown && grep -q "open as 3" shown'
    '`make --owner`' 'ipcns make db mq /new --owner nobody'
    '`peek` at msg' 'ipcns peek db msg:0 && ipcns peek db sem:0 && ipcns peek db shm:0'
    '`peek` at mq' 'ipcns peek db mq:/o && ipcns peek db pshm:/o && ipcns peek db psem:/o'
    '`save` of' 'ipcns save db file'
    '`restore`' 'ipcns restore own.ipcns back'
    '`verify`' 'ipcns verify --only msg,pshm'
    '`monitor`' 'timeout 0.2 ipcns monitor; (($? == 124))'
)

# bats test_tags=lock:verify,seconds:300
@test "with the capabilities that the table names, and with none less" {
    need setpriv perl ipcmk
    need_little_host
    PATH=${IPCNS%/*}:$PATH
    other=${IPCNS_TEST_USER:-games}
    id -u "$other" >/dev/null 2>&1 || skip "there is no account '$other': set IPCNS_TEST_USER"
    export other
    # Where he may be.
    there=$(mktemp -d /tmp/ipcns-test.XXXXXX)
    printf '%s\n' "$there" >>"$noted/folders"
    cp "$IPCNS_BUILD/tests/bin/posix_ipc" "$there"
    cd "$there"
    chmod 755 . posix_ipc
    declare -p trials >rows
    grep '^| `' "$IPCNS_TREE/docs/security.md" | grep -v '](' >table
    # shellcheck disable=SC2016 # for the shell in there
    printf '%s\n' '
        become=(setpriv --reuid "$other" --regid "$(id -g "$other")" --clear-groups --)
        set_up() {
            ipcns delete --all --kill
            ipcns create db
            ipcns create empty
            ipcns exec db -- "${become[@]}" sh -c '\''
                ipcmk -Q -p 0600; ipcmk -S 1 -p 0600; ipcmk -M 8192 -p 0600
                for kind in mq psem pshm; do ./posix_ipc make $kind /o; done; chmod 600 /dev/shm/*
                perl -e "msgsnd 0, pack(q(l! a*), 1, q(x)), 0"'\''
            : >up
            chmod 666 up
            ipcns exec db -- "${become[@]}" sh -c "exec 3<>/dev/shm/o; echo >up; exec sleep 600" &
            pid=$!
            until [[ -s up && $(<"/proc/$pid/comm") == sleep ]]; do sleep 0.01; done
        } >set-up 2>&1
        attempt() { # CAPABILITY...
            local set=-all one
            for one; do set+=,+$one; done
            set_up
            export pid
            timeout 20 setpriv --bounding-set "$set" -- bash -c "$command" >output 2>&1
        }
        . ./rows
        set -- "${trials[@]}"
        ipcns create own
        ipcns make own msg >set-up
        ipcns save own own.ipcns
        while (($#)); do
            row=$1 command=$2
            shift 2
            mapfile -t lines < <(grep -F "| $row" table)
            [[ ${#lines[@]} == 1 ]] || printf "not one row begins with %s\n" "$row"
            read -ra all < <(cut -d "|" -f 3 <<<"${lines[0]}" | tr -d "\`")
            [[ ${all[0]} != none ]] || all=()
            attempt "${all[@]}" || { printf "%s: not with %s: " "$command" "${all[*]}"; cat output; }
            for one in "${all[@]}"; do
                rest=()
                for capability in "${all[@]}"; do [[ $capability == "$one" ]] || rest+=("$capability"); done
                ! attempt "${rest[@]}" || printf "%s: without %s as well\n" "$command" "$one"
            done
        done
        # Each row is tried.
        while IFS= read -r line; do
            found=no
            for ((i = 0; i < ${#trials[@]}; i += 2)); do [[ $line != "| ${trials[i]}"* ]] || found=yes; done
            [[ $found == yes ]] || printf "nothing tries %s\n" "$line"
        done <table' >script
    seconds=280 in_little_host script >wrong 2>&1 || echo 'it broke off' >>wrong
    cat wrong
    [[ ! -s wrong ]]
}
