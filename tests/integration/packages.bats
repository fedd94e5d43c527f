#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The Debian packages: made twice in two places, looked at by lintian, and in a fresh root installed, used, and purged.
#
# bats file_tags=root, lock:packages, seconds:1200

# shellcheck disable=SC2154 # work is common.bash's

load common

setup() {
    common_setup
    need dpkg-deb dpkg-shlibdeps dpkg-buildflags
    [[ -f $IPCNS_BUILD/cmake_install.cmake ]] || skip "$IPCNS_BUILD is no build folder"
}

# The packages of this tree, in build/packages; the second time there is little to do.
need_packages() { "$IPCNS_TREE/scripts/make-packages" 3>&-; }

@test "the same sources give the same bytes, in another folder and made by somebody else" {
    need_packages
    SOURCE_DATE_EPOCH=$(git -c safe.directory=\* -C "$IPCNS_TREE" log -1 --format=%ct || stat -c %Y "$IPCNS_TREE/CHANGELOG.md")
    other=$work/somewhere/else/with-a-longer-name
    mkdir -p "$other"
    "$IPCNS_TREE/scripts/stage-tree" "$other" "$work/nothing"
    # As git writes it into an archive.
    git -c safe.directory=\* -C "$IPCNS_TREE" rev-parse HEAD >"$other/cli/archived-commit" || true
    chown -R games: "$work"
    chmod 755 "$work" "$BATS_TEST_TMPDIR" "$BATS_RUN_TMPDIR"
    (
        umask 077
        cd "$other"
        setpriv --reuid games --regid games --clear-groups env SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" HOME="$work" TMPDIR="$work" \
            CCACHE_DISABLE=1 TZ=Asia/Tokyo LC_ALL=C.UTF-8 scripts/make-packages "$work/made" 3>&- >"$work/log" || cat "$work/log"
    )
    for package in ipcns libipcns0 libipcns-dev libpam-ipcns ipcns-slurm; do
        first=$(compgen -G "$IPCNS_TREE/build/packages/${package}_*.deb")
        cmp "$first" "$work/made/${first##*/}"
    done
}

@test "lintian finds nothing" {
    need lintian
    need_packages
    lintian --allow-root --fail-on error,warning "$IPCNS_TREE"/build/packages/*.deb
}

# --- in a root of their own ----------------------------------------------------------------------------------------

# What the packages depend on, and what the test uses beside.
root_packages=libarchive13,libbpf1,libxxhash0,libzstd1,libstdc++6,slurm-wlm-basic-plugins,libpam-runtime,g++,pkg-config,cmake,make,man-db,bash-completion,groff-base

need_root_folder() {
    local status=0
    root=$("$IPCNS_TREE/scripts/debian-root" packages "$root_packages" 3>&-) || status=$?
    if ((status == 77)); then skip "${root#skipped: }"; fi
    ((status == 0))
    # What is written there is in memory, and goes with the mounts of the process that holds it.
    mkdir "$work/changes"
    mount -t tmpfs -o size=2G tmpfs "$work/changes"
    mkdir -p "$work/changes/upper/srv"
}

teardown() {
    if mountpoint -q "$work/changes"; then umount "$work/changes"; fi
    common_teardown
}

# A script in there, from standard input; what is written stays.
inside() { timeout 300 "$IPCNS_TREE/scripts/enter-root" --offline "$root" "$work/changes" bash -euo pipefail -s 3>&-; }

# Every file that a package may leave behind, with its owner, mode, and what is in it. What dpkg and others write down about
# their own work is left out.
everything() {
    inside <<'SCRIPT'
find / -xdev \( -path /srv -o -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path '/var/lib/dpkg/*' -o -path '/var/log/*' \
    -o -path '/var/cache/man/*' -o -path /var/cache/ldconfig/aux-cache -o -path '/var/lib/pam/seen' \) -prune -o \
    -printf '%y %m %u %g %l ' -print | sort -k 6
find /etc /usr /var/lib/systemd /run -xdev -type f -newer /srv/start -exec md5sum {} + | sort -k 2
SCRIPT
}

@test "in a fresh system they are installed, work, and leave nothing when they are purged" {
    need debootstrap
    need_packages
    need_root_folder
    touch -d '1 minute ago' "$work/changes/upper/srv/start"
    inside <<<'ldconfig; pam-auth-update --package; mandb -q || true' >/dev/null 2>&1
    everything >before
    cp "$IPCNS_TREE"/build/packages/*.deb "$work/changes/upper/srv/"
    cp "$IPCNS_TREE/examples/count_inside.cpp" "$work/changes/upper/srv/"

    inside <<'SCRIPT'
dpkg -i /srv/*.deb >/srv/dpkg.log 2>&1 || { cat /srv/dpkg.log; exit 1; }
dpkg --verify ipcns libipcns0 libipcns-dev libpam-ipcns ipcns-slurm

# The command, as root and as somebody else.
ipcns --version | grep -E '^ipcns [0-9.]+$'
[[ $(ipcns run -- sh -c 'ipcmk -Q >/dev/null; ipcs -q | grep -c ^0x') == 1 ]]
ipcns create db
ipcns exec db -- ipcmk -Q
ipcns show db msg -n -o OBJECT | grep -x msg:0
ipcns save db - | ipcns restore - again
ipcns verify db again --only msg -n -o VERDICT | grep -x isolated
ipcns delete db again
mkdir -m 700 /run/user-2 && chown bin: /run/user-2
as_bin() { setpriv --reuid bin --regid bin --clear-groups env XDG_RUNTIME_DIR=/run/user-2 "$@"; }
as_bin ipcns create mine
as_bin ipcns exec mine -- true
as_bin ipcns delete mine
rm -r /run/user-2

# What is around it.
man -w ipcns ipcns-run ipcns.conf pam_ipcns ipcns-oci-hook | wc -l | grep -x 5
man ipcns-save | grep SYNOPSIS >/dev/null
bash -c 'source /usr/share/bash-completion/bash_completion; _completion_loader ipcns; complete -p ipcns'
grep -q '"/usr/libexec/ipcns/ipcns-oci-hook"' /usr/share/containers/oci/hooks.d/ipcns-oci-hook.json
/usr/libexec/ipcns/ipcns-oci-hook --help >/dev/null
[[ -f /usr/lib/systemd/system/ipcns@.service ]]

# The library, shared and static, by both ways.
cd /srv
g++ -std=c++20 count_inside.cpp $(pkg-config --cflags --libs ipcns) -o shared
g++ -std=c++20 -static count_inside.cpp $(pkg-config --static --cflags --libs ipcns) -o static
printf '%s\n' 'cmake_minimum_required(VERSION 3.16)' 'project(mine CXX)' 'find_package(ipcns REQUIRED)' \
    'add_executable(mine count_inside.cpp)' 'target_link_libraries(mine PRIVATE ipcns::state)' >CMakeLists.txt
cmake -S . -B build >/dev/null
cmake --build build >/dev/null
for program in ./shared ./static build/mine; do $program | grep -E '^namespace [0-9]+: 1 segment; here: 0 more$'; done
ldd ./shared | grep -F '/lib/x86_64-linux-gnu/libipcns.so.0' || [[ $(uname -m) != x86_64 ]]
if ldd build/mine | grep 'not found'; then exit 1; fi
rm -r build shared static CMakeLists.txt

# PAM: not without being asked, then on, then off.
if grep -r pam_ipcns /etc/pam.d; then exit 1; fi
DEBIAN_FRONTEND=noninteractive pam-auth-update --package --enable ipcns
grep -lr pam_ipcns.so /etc/pam.d | sort | tr '\n' ' ' | grep -x '/etc/pam.d/common-session /etc/pam.d/common-session-noninteractive '
[[ $(su nobody -s /bin/sh -c 'readlink /proc/self/ns/ipc') != $(readlink /proc/self/ns/ipc) ]]
# Its namespace ends some seconds after the session.
for ((i = 0; i < 300; i++)); do
    [[ $(ls /run/ipcns) ]] || break
    sleep 0.1
done
SCRIPT

    # Removed with the namespaces that there still are, and then what was left of them.
    inside <<'SCRIPT'
ipcns create stays
dpkg --purge ipcns-slurm libpam-ipcns libipcns-dev libipcns0 ipcns >/srv/dpkg.log 2>&1 || { cat /srv/dpkg.log; exit 1; }
if grep -v 'not empty so not removed' /srv/dpkg.log | grep -iE 'warning|error'; then exit 1; fi
[[ -e /run/ipcns/stays/ipc ]]
dpkg -i /srv/ipcns_*.deb >/srv/dpkg.log 2>&1
ipcns delete stays
dpkg --purge ipcns >/srv/dpkg.log 2>&1
[[ ! -e /run/ipcns ]]
if grep ipcns /proc/self/mountinfo; then exit 1; fi
rm -f /srv/*.deb /srv/*.cpp /srv/dpkg.log
SCRIPT
    everything >after
    diff before after
}
