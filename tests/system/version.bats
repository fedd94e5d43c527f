#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The commit in --version, in copies of the tree that are configured and of which two files are compiled.
#
# bats file_tags=user

# shellcheck disable=SC2154 # work is common.bash's

load common

setup() {
    common_setup
    need git cmake ninja g++
    export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    "$IPCNS_TREE/scripts/stage-tree" "$work/tree" "$work/nothing"
    cd tree || return
    # Also where this tree is from an archive.
    # shellcheck disable=SC2016 # for git
    printf '$Format:%%H$\n' >cli/archived-commit
}

configure() { cmake -G Ninja -S . -B build -D CMAKE_BUILD_TYPE=Release -D IPCNS_TESTS=OFF >configure.log; }

# What the front's own file of the version would print; the file is compiled if that is due.
compiled() {
    ninja -C build cli/CMakeFiles/ipcns_version.dir/version.cpp.o >ninja.log || cat ninja.log
    cat >"$work/print.cpp" <<'CODE'
#include "version.hpp"
#include <cstdio>
int main() { std::fputs(ipcns::cli::version_text().c_str(), stdout); }
CODE
    g++ -std=c++20 -I cli "$work/print.cpp" build/cli/CMakeFiles/ipcns_version.dir/version.cpp.o -o "$work/print"
    "$work/print" | sed -n 2p
}

commit() {
    git add -A
    git commit -q --allow-empty -m "$1"
}

@test "another commit compiles one file anew, and --version knows it" {
    printf '/build/\n*.log\n' >.gitignore
    git init -q .
    commit one
    configure
    [[ $(compiled) == "commit $(git rev-parse --short=12 HEAD)" ]]
    ninja -C build cli/CMakeFiles/ipcns.dir/main.cpp.o
    commit two
    [[ $(compiled) == "commit $(git rev-parse --short=12 HEAD)" ]]
    ninja -C build cli/CMakeFiles/ipcns.dir/main.cpp.o >log
    grep -qx 'ninja: no work to do.' log
    # Not for each build.
    compiled
    grep -qx 'ninja: no work to do.' ninja.log
}

@test "an archive of the sources knows its commit, and a copy says that it does not" {
    configure
    [[ $(compiled) == 'unknown commit' ]]
    rm -r build

    # A tree inside of another project's is not of that one's commit.
    git init -q ..
    git -C .. add .
    git -C .. commit -q -m outside
    configure
    [[ $(compiled) == 'unknown commit' ]]
    rm -rf build ../.git

    git init -q .
    commit one
    mkdir ../archive
    git archive HEAD | tar -x -C ../archive
    head=$(git rev-parse --short=12 HEAD)
    cd ../archive
    configure
    [[ $(compiled) == "commit $head" ]]
}
