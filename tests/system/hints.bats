#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Mistakes that people make with words: the message says which word it is, and the hint what to write instead.

# shellcheck disable=SC2016,SC2154 # backquotes are in messages; output, stderr and status come from elsewhere

load common
load terminal

teardown() {
    end_terminals
    common_teardown
}

need_namespaces() { is_root || need_userns; }

# `ipcns WORDS...` does nothing, since one of the words is empty: a variable without a value, as a rule.
empty_is_refused() { # STATUS WORDS...
    local wanted=$1
    shift
    run --separate-stderr ipcns "$@"
    [[ $status == "$wanted" && -z $output && ($stderr == *"its value is empty"* || $stderr == *"''"*) ]] || {
        printf 'ipcns'
        printf " '%s'" "$@"
        printf ' gives %s and %s\n%s\n' "$status" "$stderr" "$output"
        return 1
    }
}

@test "an empty word is never taken for none" {
    need_namespaces
    name=$(unique_name)
    ipcns create "$name"
    ipcns make "$name" msg 1
    : >file
    for option in --kind --owner --key --older-than; do
        empty_is_refused 2 remove "$name" "$option" '' --yes
        run -2 ipcns remove "$name" "$option=" --yes
        empty_is_refused 2 remove host "$option" '' --dry-run
    done
    run -0 ipcns show "$name" -q -n -o OBJECT
    expect_output msg:0
    for command in verify limits identify pids show diff clear 'delete --timeout 1' attach monitor; do
        # shellcheck disable=SC2086 # words
        empty_is_refused 2 $command ''
    done
    empty_is_refused 2 limits '' shmmni=77
    empty_is_refused 2 limits "$name" ''
    empty_is_refused 2 diff "$name" ''
    empty_is_refused 2 show "$name" ''
    empty_is_refused 2 remove "$name" ''
    empty_is_refused 2 peek "$name" ''
    empty_is_refused 2 peek "$name" msg:0 --limit ''
    empty_is_refused 2 clone "$name" ''
    empty_is_refused 2 restore file ''
    empty_is_refused 2 restore file --into ''
    empty_is_refused 2 save "$name" ''
    empty_is_refused 2 save "$name" new --max-pause ''
    empty_is_refused 2 attach '' self
    for option in --shm-size --config --limit; do empty_is_refused 2 create "$option" '' "$name.2"; done
    for option in --expect --only --junit --run-options; do empty_is_refused 2 verify "$option" ''; done
    for option in --owner --mode --size; do empty_is_refused 2 make "$name" shm 3 "$option" ''; done
    empty_is_refused 2 make "$name" sem '' --count 1
    empty_is_refused 2 show "$name" --output ''
    for command in run 'exec self'; do
        # shellcheck disable=SC2086 # words
        for option in --chdir --env --unset; do empty_is_refused 125 ${command%% *} "$option" '' ${command#"${command%% *}"} true; done
        # shellcheck disable=SC2086 # words
        empty_is_refused 127 $command ''
    done
    for option in --name --shm-size --limit; do empty_is_refused 125 run "$option" '' true; done
    empty_is_refused 125 exec '' true
    empty_is_refused 2 ''
    empty_is_refused 2 help ''
    # Nothing has been made, and nothing taken away.
    [[ ! -e new ]]
    run -0 ipcns show "$name" -q -n -o OBJECT
    expect_output msg:0
    ipcns delete "$name"
}

@test "a number that is none is called that" {
    for number in -1 99999999999999999999999 abc 1x; do
        refused "'$number' is no number" 'ipcns peek --help' peek self msg:0 --limit "$number"
    done
}

@test "help knows commands that others add" {
    mkdir bin
    printf '#!/bin/sh\necho "$0 $*"\n' >bin/ipcns-hello
    chmod +x bin/ipcns-hello
    PATH=$PWD/bin:$PATH run -0 ipcns help hello
    expect_output "$PWD/bin/ipcns-hello --help"
    refused 'there is no command nosuch' 'ipcns --help' help nosuch
    refused "'more' is one argument too many" 'ipcns help COMMAND' help run more
}

# `ipcns WORDS...` is refused as wrong usage; its message holds the one text, its hint the other.
refused() { fails 2 "$@"; } # MESSAGE HINT WORDS...

# The same with another exit status.
fails() { # STATUS MESSAGE HINT WORDS...
    run --separate-stderr ipcns "${@:4}"
    expect_status "$1"
    shift
    expect_output ''
    expect_error "$1"
    [[ ${stderr%%$'\n'*} == *"$1"* && $stderr == *$'\n'"hint: "*"$2"* ]] || {
        printf 'expected the message "%s" and the hint "%s", got:\n%s\n' "$1" "$2" "$stderr"
        return 1
    }
}

@test "a command that has another name elsewhere is named, and none that would do something else" {
    refused 'there is no command rm' '`ipcns delete` takes a namespace away, `ipcns remove`' rm db
    refused 'there is no command del' '`ipcns delete`' del db
    refused 'there is no command add' '`ipcns create` makes a namespace' add db
    refused 'there is no command kill' '`ipcns delete --kill`' kill db
    refused 'there is no command cp' 'did you mean clone?' cp db copy
    refused 'there is no command ls' 'did you mean list?' ls
    # Every command that a hint tells of is one.
    for word in rm del destroy add new mk enter cp copy load cat dump kill; do
        run --separate-stderr ipcns "$word"
        expect_status 2
        [[ $stderr == *hint:*ipcns* ]]
        while read -r _ command; do
            ipcns "$command" --help >/dev/null
        done < <(grep -oE '`ipcns [a-z]+|mean [a-z]+' <<<"$stderr")
    done
}

@test "an option before the command, and one that is nearly there" {
    refused 'there is no option -v' 'options come after the COMMAND' -v list
    refused 'there is no option --json' 'options come after the COMMAND' --json list
    refused 'show has no option --holder' 'did you mean --holders? ipcns show --help' show --holder
    refused 'delete has no option --kil' 'did you mean --kill?' delete --kil db
    refused 'show has no option --hlders=4' 'did you mean --holders?' show --hlders=4
    refused 'remove has no option -f' 'ipcns remove --help' remove db -f
    [[ $stderr != *'did you mean'* ]]
    # It is why the name is missing.
    refused 'create has no option -x' 'ipcns create --help' create -x
}

@test "words that are missing or too many: the hint says which there are" {
    refused 'peek: OBJECT is missing' 'ipcns peek [OPTION...] TARGET OBJECT;' peek shm:0
    refused "create: 'b' is one argument too many" 'ipcns create [OPTION...] NAME;' create a b
    refused 'diff: B is missing' 'ipcns diff [OPTION...] A B;' diff self
}

@test "a number that is none is said to be none" {
    refused "--timeout: '1s' is no number from 0 to 86400" 'ipcns delete --help' delete --timeout 1s db
    refused "--timeout: '-1' is no number from 0 to 86400" 'ipcns delete --help' delete --timeout=-1 db
    refused "--timeout: 'nan' is no number" 'ipcns delete --help' delete --timeout nan db
}

@test "an OBJECT where a KIND is wanted, and the other way around" {
    refused "there is no kind 'shm:0x4d'" 'are two words here: shm 0x4d' make self shm:0x4d --size 1G
    refused "there is no kind 'mq:/jobs'" 'are two words here: mq /jobs' make self mq:/jobs
    refused "there is no kind 'queue'" 'a KIND is one of msg, sem, shm, mq, psem and pshm' make self queue /jobs
    refused "'jobs' is no name of a POSIX object" 'mq /jobs' make self mq jobs
    # Written so, it works.
    ipcns run --exec -- "$IPCNS" make self shm 0x4d --size 4K >/dev/null
    refused "'shm' is a KIND, and no OBJECT" '`--kind shm`' remove self shm
    refused "'shm' names no object: it says which kind" 'write shm:ID or shm:0xKEY' peek self shm
    refused "'mq' names no object: it says which kind" 'write mq:/NAME' peek self mq
}

@test "an id, a key or a name without its kind" {
    refused "'3' names no object: it does not say of which kind" 'msg:3, sem:3 or shm:3' show self 3
    refused "'0' names no object: it does not say of which kind" 'shm:0' show self shm 0
    refused "'/jobs' names no object: it does not say of which kind" 'mq:/jobs, psem:/jobs or pshm:/jobs' show self /jobs
    refused "'0' names no object" 'msg:0, sem:0 or shm:0' remove self 0
    refused "'0x4d' names no object" 'shm:0x4d' remove self 0x4d --yes
    refused "'/jobs' names no object" 'mq:/jobs' peek self /jobs
    refused 'msg,shm is no KIND and no OBJECT' 'KINDs (msg sem shm mq psem pshm)' show self msg,shm
    refused 'SHM is no KIND and no OBJECT' 'KINDs (msg sem' show self SHM
}

@test "words in the wrong order" {
    refused "there is no kind 'db'" 'TARGET comes first, and then KIND: db shm' make shm db --size 1M
    refused "'mq:/jobs' is an OBJECT" 'TARGET comes first; self is the namespace that you are in: self mq:/jobs' remove mq:/jobs
    refused "'mq:/jobs' is an OBJECT" 'TARGET comes first' remove mq:/jobs db
    refused "'shm:0' is an OBJECT" 'TARGET comes first' peek shm:0 db
}

@test "a size that stands where a key may, and one that is missing" {
    refused "'1G' is a size, and no key" '--size 1G' make self shm 1G
    refused "'4K' is a size, and no key" '--limit 4K' make self msg 4K
    refused "'1G' is no key" 'a key is a number' make self sem 1G
    refused 'a shared memory segment needs --size' '--size 64M' make self shm
}

@test "OBJECTs and filters at once" {
    refused 'either OBJECTs or filters, not both' 'an OBJECT that is named is removed whatever it is' remove self --orphans shm:0
    refused 'give the OBJECTs to remove, or filters that find them' '--all' remove self
}

@test "words in the wrong order: names and files" {
    need_namespaces
    refused "'1234' cannot be a name" 'NAME comes first, and then TARGET: web 1234' attach 1234 web
    refused "'1234' cannot be a name" 'a name begins with a letter' attach 1234 5678
    refused "'web' is not a process id" '`ipcns pids web`' identify web
    name=$(unique_name)
    ipcns create "$name"
    ipcns save "$name" "$work/file.ipcns"
    ipcns delete "$name"
    refused "file.ipcns' is a file, and '$name' is none" 'FILE comes first, and then NAME' restore "$name" "$work/file.ipcns"
    run --separate-stderr ipcns restore "$name" there-is-none
    expect_status 1
    [[ $stderr == "ipcns: open $name: No such file or directory" ]]
}

@test "a name that is nearly there, and one that is not" {
    need_namespaces
    name=$(unique_name)
    ipcns create "$name"
    fails 1 'find the namespace' "did you mean $name? \`ipcns list\`" show "${name^^}"
    fails 1 'find the namespace' "did you mean $name? " show "${name}x"
    fails 125 'find the namespace' "did you mean $name? " exec "x$name" true
    run --separate-stderr ipcns show qq
    expect_status 1
    [[ $stderr == *$'\n''hint: `ipcns list` shows the names there are' ]]
    ipcns delete "$name"
}

@test "a name that is taken: restore says how to do without it" {
    need_namespaces
    name=$(unique_name)
    other=$(unique_name)
    ipcns create "$name"
    ipcns make "$name" shm 0x4d --size 4K >/dev/null
    ipcns save "$name" "$work/file.ipcns"
    fails 1 "restore $name: File exists" "--into $name adds it" restore "$work/file.ipcns"
    fails 1 "restore $name: File exists" '`ipcns restore FILE NAME`' restore "$work/file.ipcns" "$name"
    ipcns restore "$work/file.ipcns" "$other"
    ipcns delete "$name" "$other"
}

@test "who is inside when a name goes: the hint gives it back" {
    need_namespaces
    name=$(unique_name)
    ipcns create "$name"
    in_background ipcns exec "$name" -- sleep 600
    wait_until 10 eval '[[ $(ipcns pids -n "$name") != "" ]]'
    run --separate-stderr ipcns delete "$name"
    expect_status 0
    expect_error "the name $name is gone, but its namespace lives on"
    [[ $stderr =~ \`ipcns\ (attach\ $name\ [0-9]+)\`.*--kill ]]
    # shellcheck disable=SC2086 # words
    ipcns ${BASH_REMATCH[1]}
    ipcns delete --kill "$name"
    [[ $(ipcns list -q -n -o NAME) != *"$name"* ]]
    run --separate-stderr ipcns delete --all "$name"
    expect_status 2
    expect_error 'either names or --all, not both'
}

@test "a key without a value, and the value that is shown" {
    need_namespaces
    refused "'shmmni' is not KEY=VALUE" 'shmmni=4096' limits self shmmni
    refused "'nonsense' is not KEY=VALUE" 'shmmax=64M' limits self nonsense
    refused "'unlimited' is not a value for the limit shmmni" 'shmmni=4096' limits self shmmni=unlimited
    name=$(unique_name)
    ipcns create --limit shmmax=1G "$name"
    before=$(ipcns run -- cat /proc/sys/kernel/shmmax)
    ipcns exec "$name" -- grep -qx 1073741824 /proc/sys/kernel/shmmax
    # As `ipcns limits` shows it.
    run -0 ipcns limits "$name" -n -o KEY,DEFAULT
    [[ $output =~ shmmax\ +unlimited ]]
    ipcns delete "$name"
    ipcns create --limit shmmax=unlimited --limit shmall=unlimited "$name"
    [[ $(ipcns exec "$name" -- cat /proc/sys/kernel/shmmax) == "$before" ]]
    ipcns delete "$name"
}

@test "a program that is nowhere: PATH, and lines for a shell" {
    need_namespaces
    fails 127 'run there-is-none: No such file' 'it is in no folder of PATH' run there-is-none
    fails 127 'run echo a; echo b: No such file' 'sh -c LINE' run 'echo a; echo b'
    run -0 --separate-stderr ipcns run -- sh -c 'echo a; echo b'
    expect_output $'a\nb'
    # A program that is there and may not be executed is not said to be missing.
    mkdir "$work/there"
    touch "$work/there/plain"
    PATH=$work/there:$PATH run --separate-stderr "$IPCNS" run plain
    expect_status 126
    [[ $stderr == 'ipcns: run plain: Permission denied' ]]
}

# bats test_tags=user
@test "a folder of PATH that may not be searched is no program that may not be run" {
    need_namespaces
    mkdir -m 000 "$work/closed"
    PATH=$work/closed:$PATH fails 126 'run there-is-none: Permission denied' \
        'it is in no folder of PATH that you may look into' run there-is-none
}

@test "nobody to ask, and a no: both say that nothing was removed" {
    need_namespaces
    name=$(unique_name)
    ipcns create "$name"
    ipcns make "$name" shm 0x4d --size 4K >/dev/null
    fails 1 'nothing was removed: there is no terminal to ask on' '--yes removes without asking' remove "$name" --all
    fails 1 'nothing was removed: there is no terminal to ask on' '--yes removes without asking' clear "$name"
    need tmux
    start_terminal
    see_prompt
    for command in "remove $name --all" "clear $name"; do
        enter "'$IPCNS' $command || echo status=\$?"
        see '.*\[y/N\].*'
        enter n
        see 'ipcns: nothing was removed'
        see 'status=1'
        run ! on_screen 'hint: .*'
        clear_screen
        see_prompt
        # Ctrl-D ends no line: what is said next begins one all the same.
        enter "'$IPCNS' $command || echo status=\$?"
        see '.*\[y/N\].*'
        press C-d
        see 'ipcns: nothing was removed'
        clear_screen
        see_prompt
    done
    run -0 ipcns show "$name" -q -n -o OBJECT
    expect_output 'shm:0'
    ipcns delete "$name"
}

@test "where no thread can be started, memory may be what is missing" {
    need_namespaces
    name=$(unique_name)
    ipcns create "$name"
    for kib in 16000 20000 24000; do
        # shellcheck disable=SC3045 # it is bash
        run --separate-stderr bash -c 'ulimit -v "$1" && exec "${@:2}"' - "$kib" "$IPCNS" save "$name" file 3>&-
        [[ $stderr != *'start a thread'* ]] || break
    done
    expect_status 1
    expect_error 'start a thread: Resource temporarily unavailable'
    [[ $stderr == *'hint: ulimit -u, or pids.max of the cgroup, allows no more, or there is no memory for its stack (ulimit -v)' ]]
}

@test "save with its two words swapped says how it goes, and writes nothing" {
    need_namespaces
    name=$(unique_name)
    ipcns create "$name"
    fails 2 "saved.ipcns is no namespace, but $name is one" "ipcns save $name saved.ipcns" save saved.ipcns "$name"
    : >is-there
    fails 2 "./is-there is no namespace, but $name is one" "ipcns save $name ./is-there" save ./is-there "$name"
    [[ ! -e $name && ! -e saved.ipcns ]]
    # Otherwise it says what it says of every target.
    fails 1 'find the namespace nosuch: No such file or directory' 'ipcns list' save nosuch saved.ipcns
    ipcns delete "$name"
}

@test "a file that is no snapshot is called that, without a word of messages" {
    need_namespaces
    echo 'not a snapshot' >letter
    fails 1 "read the snapshot from $work/letter: it is no tar file" 'the file is damaged, or was made by something else' restore letter
    [[ $stderr != *message* ]]
    # Nothing at all is another mistake: the left end of a pipe has failed, or a disk was full.
    : >nothing
    fails 1 "read the snapshot from $work/nothing: it is empty" 'whatever was to write it has written nothing' restore nothing
    [[ $stderr != *damaged* ]]
    fails 1 'read the snapshot from standard input: it is empty' 'has written nothing' restore - "$(unique_name)" < <(true)
}

@test "every help that says what a TARGET is knows containers" {
    for command in $(ipcns --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        run ipcns help "$command"
        [[ $output != *@INODE* && $output != *@4026532177* || $output == *oci:* ]] || { echo "$command"; return 1; }
    done
}

@test "in no help do two columns run into each other" {
    for command in $(ipcns --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        run ipcns help "$command"
        expect_status 0
        if grep -E '^  [-A-Z[].*\][A-Z]+: ' <<<"$output"; then return 1; fi
    done
    [[ $(ipcns help show) == *$'\n  [TARGET] [KIND... | OBJECT...]\n                          TARGET: '* ]]
}
