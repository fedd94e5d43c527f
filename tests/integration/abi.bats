#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# scripts/check-abi, in a copy of the tree: what it lets pass, and what not. It is the dump that is changed, and not the
# library, which then has more, or something else, than it had.
#
# bats file_tags=root, seconds:900

# shellcheck disable=SC2154 # work is common.bash's

load common

@test "check-abi tells what was added from what would break programs" {
    need abidw abidiff cmake ninja g++
    "$IPCNS_TREE/scripts/stage-tree" "$work/tree" "$work/nothing"
    cd tree
    dump=packaging/abi/"$(uname -m)-g++-$(g++ -dumpversion)"/libipcns.abi
    [[ -f $dump ]] || skip "there is no $dump"
    cp "$dump" ../was

    scripts/check-abi 3>&-

    # A function more than there was.
    symbol=$(grep -oE '_ZN5ipcns10sysv_usageEv' "$dump" | head -n 1)
    [[ -n $symbol ]]
    awk -v symbol="$symbol" 'index($0, "<elf-symbol name=\x27" symbol "\x27") {next}
        index($0, "mangled-name=\x27" symbol "\x27") {skipping = 1}
        !skipping {print}
        skipping && /<\/function-decl>/ {skipping = 0}' ../was >"$dump"
    run ! cmp ../was "$dump"
    scripts/check-abi
    # A release's dump is of all that it shows.
    run --separate-stderr scripts/check-abi --same
    expect_status 1
    expect_in_output sysv_usage

    # One less.
    sed -E "s/$symbol/_ZN5ipcns10sysv_usageEi/g" ../was >"$dump"
    run --separate-stderr scripts/check-abi
    expect_status 1
    [[ $stderr == *'scripts/check-abi --write'* && $stderr == *'IPCNS_SOVERSION'* ]]

    # A structure that was smaller.
    sed -E "s/(<class-decl name='ExitStatus' size-in-bits=)'64'/\1'32'/" ../was >"$dump"
    run ! cmp ../was "$dump"
    run scripts/check-abi
    expect_status 1
    expect_in_output 'ExitStatus'

    scripts/check-abi --write
    scripts/check-abi --same
    # Nothing in it says where it was made.
    run ! grep -F "$work" "$dump"
    run ! grep -E " path='[^']*'" <(grep -vE " path='(src|include)/[^']*'" "$dump")
    grep -q " path='src/" "$dump"
    # Where the dump is of another compiler.
    mv packaging/abi/"$(uname -m)-g++-$(g++ -dumpversion)" packaging/abi/other
    run scripts/check-abi
    expect_status 77
    expect_in_output 'skipped: there is no dump for this compiler and processor'
}
