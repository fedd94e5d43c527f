#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Mistakes that people make with words: the message says which word it is, and the hint what to write instead.

# shellcheck disable=SC2016,SC2154 # backquotes are in messages; output, stderr and status come from elsewhere

load common

# `ipcns WORDS...` is refused as wrong usage; its message holds the one text, its hint the other.
refused() { # MESSAGE HINT WORDS...
    run --separate-stderr ipcns "${@:3}"
    expect_status 2
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

@test "in no help do two columns run into each other" {
    for command in $(ipcns --help | sed -n '/^Commands/,/^$/s/^  \([a-z]*\) .*/\1/p'); do
        run ipcns help "$command"
        expect_status 0
        if grep -E '^  [-A-Z[].*\][A-Z]+: ' <<<"$output"; then return 1; fi
    done
    [[ $(ipcns help show) == *$'\n  [TARGET] [KIND... | OBJECT...]\n                          TARGET: '* ]]
}
