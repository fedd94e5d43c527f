#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What scripts/release asks for, and the archive of the sources that it makes. Tests, packages and the tag are left out.
#
# bats file_tags=user

# shellcheck disable=SC2154 # work is common.bash's

load common

setup() {
    common_setup
    need git gzip
    export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
    "$IPCNS_TREE/scripts/stage-tree" "$work/tree" "$work/nothing"
    cd tree || return
    # Also where this tree is from an archive.
    # shellcheck disable=SC2016 # for git
    printf '$Format:%%H$\n' >cli/archived-commit
    version=$(sed -nE 's/^project\(ipcns VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
    # As it is on the day of a release.
    sed -i "s/^## \[Unreleased\].*/## [$version] - 2026-01-02/" CHANGELOG.md
    for dump in packaging/abi/*/version; do printf '%s\n' "$version" >"$dump"; done
    git init -q .
    git add -A
    git commit -q -m one
}

refuses() { # TEXT [VERSION]
    run --separate-stderr scripts/release --dry-run "${2-$version}"
    expect_status 1
    expect_error "$1"
}

@test "a release wants its version everywhere, and all of it committed" {
    scripts/release --dry-run "$version"
    refuses "'1.2' is no version" 1.2
    refuses 'CMakeLists.txt says another version' 99.0.0
    : >new
    refuses 'not all is committed: ?? new'
    rm new

    sed -i 's/^## \[.*/## [Unreleased]/' CHANGELOG.md
    git commit -q -a -m two
    refuses 'CHANGELOG.md does not tell of it'
    git revert --no-edit HEAD

    printf '0.0.1\n' | tee packaging/abi/*/version
    git commit -q -a -m three
    refuses 'is of 0.0.1'
    git revert --no-edit HEAD

    git tag "v$version"
    refuses "there is a tag v$version"
    git tag -d "v$version"
    # Nothing of all that has changed anything.
    [[ -z $(git tag) && -z $(git status --porcelain) ]]
}

@test "the archive of the sources has all of them, knows its commit, and is the same wherever it is made" {
    scripts/release --dry-run "$version"
    archive=build/dist/ipcns-$version.tar.gz
    diff <(tar -tzf "$archive" | sed "s|^ipcns-$version/||; /\/\$/d; /^\$/d" | sort) <(git ls-files | sort)
    [[ $(tar -xzOf "$archive" "ipcns-$version/cli/archived-commit") == "$(git rev-parse HEAD)" ]]
    (cd build/dist && sha256sum --check --strict SHA256SUMS)
    [[ -z $(git tag) ]]

    git clone -q . ../another-place
    cd ../another-place
    (
        umask 077
        TZ=Asia/Tokyo scripts/release --dry-run "$version"
    )
    cmp "$archive" "../tree/$archive"
}
