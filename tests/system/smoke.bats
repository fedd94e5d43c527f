#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The command is there, says what it is, and answers wrong usage as every command should.

load common

@test "--version prints the name and the version" {
    run --separate-stderr ipcns --version
    expect_status 0
    [[ ${lines[0]} =~ ^ipcns\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
    [[ ${lines[1]} == 'unknown commit' || ${lines[1]} =~ ^commit\ [0-9a-f]{12}$ ]]
    [[ ${lines[2]} =~ ^built\ by\ (g|clang)\+\+\ [0-9.]+$ ]]
    [[ ${lines[3]} == 'with libarchive '* ]]
    # Each part is either there or not.
    for part in BPF Slurm PAM 'a static front'; do
        [[ $(grep -cE "^with(out)? (.*, )?$part" <<<"$output") == 1 ]]
    done
    [[ -z $stderr ]]
    expect_output "$(ipcns -V)"
}

@test "--help lists the commands on standard output" {
    run --separate-stderr ipcns --help
    expect_status 0
    for command in run create attach delete exec list pids identify; do expect_in_output "$command"; done
    [[ -z $stderr ]]
}

@test "an unknown command is wrong usage" {
    run --separate-stderr ipcns frobnicate
    expect_status 2
    expect_output ''
    expect_error 'frobnicate'
}

@test "run gives a program another namespace, and its exit status back" {
    is_root || need_userns
    run --separate-stderr ipcns run -- sh -c 'readlink /proc/self/ns/ipc; exit 7'
    expect_status 7
    [[ $output =~ ^ipc:\[[0-9]+\]$ && $output != "$(host_ns)" ]]
}

@test "a name lives without a process, and delete ends it" {
    is_root || need_userns
    name=$(unique_name)
    ipcns create "$name"
    run --separate-stderr ipcns exec "$name" -- ipcmk --queue
    expect_status 0
    first=$(ipcns exec "$name" -- readlink /proc/self/ns/ipc)
    [[ $first != "$(host_ns)" ]]
    [[ $first == "$(ipcns exec "$name" -- readlink /proc/self/ns/ipc)" ]]
    ipcns list | grep -qw -- "$name"
    ipcns delete "$name"
    run ! ipcns exec "$name" -- true
}
