# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What the tests of names, of the inventory and of refusals share (`load common`, then `load names`): a registry that is
# the test's alone, somebody else to be, programs that stay inside.

# shellcheck disable=SC2154 # status, output, stderr are bats'; work, noted, names_file and pids_file are common.bash's

programs=$IPCNS_BUILD/tests/bin
private_options=()

need_program() { # NAME...
    local program
    for program in "$@"; do
        [[ -x $programs/$program ]] || skip "$programs/$program is not built"
    done
}

need_names() { is_root || need_userns; }

# Calls a function of the test where root has a /run of its own, so that it can delete --all and look for every trace.
# An ordinary user's registry is the test's alone anyway. The function runs with errexit, and says where it stopped.
# What else of root's is private: private_options=(options of unshare).
in_private_run() { # FUNCTION [ARGUMENT...]
    local enter=() body
    declare -f >"$work/functions"
    # shellcheck disable=SC2016 # for the inner shell
    body='
        set -eEuo pipefail
        source "$1"
        trap '\''printf "failed: %s (%s)\n" "$BASH_COMMAND" "${FUNCNAME[*]:-}" >&2'\'' ERR
        if ((EUID == 0)); then
            umount -R -l /run/ipcns 2>/dev/null || true
            mount -t tmpfs -o mode=755 tmpfs /run
        fi
        shift
        "$@"'
    if is_root; then enter=(unshare --mount --propagation private "${private_options[@]}"); fi
    export work noted names_file pids_file programs BATS_TEST_TMPDIR
    "${enter[@]}" bash -c "$body" - "$work/functions" "$@" 3>&-
}

# What a registry of the test's own must not hold when all names are gone: everything but the lock.
registry_is_clean() {
    local left
    left=$(find "$(registry)" -mindepth 1 ! -name .lock 2>/dev/null || true)
    left+=$(grep -F " $(registry)/" /proc/self/mountinfo || true)
    [[ -z $left ]] || {
        printf 'the registry still holds:\n%s\n' "$left"
        return 1
    }
}

# The keepers of a name, also of one that is gone, one a line.
keepers_of() { # NAME
    local file pid comm words
    for file in /proc/[0-9]*/comm; do
        pid=${file#/proc/} pid=${pid%/comm}
        { read -r comm <"$file"; } 2>/dev/null || continue
        [[ $comm == ipcns-keeper ]] || continue
        { mapfile -d '' words <"/proc/$pid/cmdline"; } 2>/dev/null || continue
        if [[ ${words[1]-} == "$1" ]]; then printf '%s\n' "$pid"; fi
    done
}

no_keeper() { [[ -z $(keepers_of "$1") ]]; } # NAME

# Starts a program inside a namespace, or with a descriptor of one, that stays until the test ends; its pid is in $pid.
# It is there when this returns.
stay() { # COMMAND... that becomes the program, e.g. ipcns exec NAME --
    : >"$work/started"
    # shellcheck disable=SC2016 # for the inner shell
    "$@" sh -c 'echo $$ >"$1"; exec sleep 1000' - "$work/started" 3>&- >/dev/null 2>&1 &
    pid=$!
    remember_pid "$pid"
    wait_until 10 test -s "$work/started"
    read -r pid <"$work/started"
    remember_pid "$pid"
}

ns_of() { readlink "/proc/$1/ns/ipc"; } # PID

# The inode number alone of ipc:[N].
inode() { local text=${1#ipc:[}; printf '%s' "${text%]}"; }

# The namespace of a name.
ns_of_name() { ipcns exec "$1" -- readlink /proc/self/ns/ipc; } # NAME

# A file in the caller's /dev/shm that is removed in the end. Who sees it has not got a /dev/shm of its own.
mark_host_shm() {
    marker=/dev/shm/ipcns-test-$$-$RANDOM$RANDOM
    : >"$marker"
    printf '%s\n' "$marker" >>"$noted/markers"
}

names_teardown() {
    local file
    if [[ -s $noted/markers ]]; then
        while IFS= read -r file; do rm -f "$file"; done <"$noted/markers"
    fi
    if [[ -s $noted/folders ]]; then
        while IFS= read -r file; do rm -rf --one-file-system "$file"; done <"$noted/folders"
    fi
    common_teardown
}

# --- somebody else ---------------------------------------------------------------------------------------------

# Makes $other an account to be, and $open a folder that everybody can look into, with a copy of ipcns in bin/.
somebody_else() {
    other=${IPCNS_TEST_USER:-games}
    id -u "$other" >/dev/null 2>&1 || skip "there is no account '$other': set IPCNS_TEST_USER"
    open=$(mktemp -d /tmp/ipcns-test.XXXXXX)
    printf '%s\n' "$open" >>"$noted/folders"
    mkdir "$open/bin" "$open/libexec" "$open/home"
    cp "$IPCNS" "$open/bin/ipcns"
    cp -r "${IPCNS%/*}/../libexec/ipcns" "$open/libexec/"
    chmod -R go+rX "$open"
    chown "$other:" "$open/home"
    chmod 700 "$open/home"
}

as_somebody_else() { # COMMAND...
    (cd "$open/home" && exec setpriv --reuid "$other" --regid "$(id -g "$other")" --clear-groups --inh-caps=-all -- \
        env -i PATH="$open/bin:$PATH" XDG_RUNTIME_DIR="$open/home" IPCNS_TEST_MARK="$BATS_TEST_TMPDIR" "$@" 3>&-)
}

# --- what is expected ------------------------------------------------------------------------------------------

# Nothing in it that a terminal acts on, and well-formed UTF-8.
expect_harmless() { # FILE
    ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$1" && iconv -f UTF-8 -t UTF-8 <"$1" >/dev/null
}

expect_equal() { # FOUND WANTED
    [[ $1 == "$2" ]] || {
        printf 'expected "%s", got "%s"\n' "$2" "$1"
        return 1
    }
}

# One member of what `run` left in $output, by a jq expression.
json() { jq -r "$@" <<<"$output"; }
