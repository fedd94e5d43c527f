# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What tests of documents share (`load common`, then `load documents`): the commands that a page shows are typed, one after
# the other, on a little host of their own, and print what the page shows. examples.py knows how a page is read.
#
# The little host: a process id namespace, an IPC namespace, /proc, /run, /dev/shm and /dev/mqueue of its own. So `host` and
# `self` are the same there and empty, names are free, and all that was started or made goes with the first process. Who is
# not root has it in a user namespace, and is himself again in a second one.

# shellcheck disable=SC2154 # common.bash sets the variables

# What runs first in there; the script is $1, who runs it $2 and $3, the last process id that was given $4.
# shellcheck disable=SC2016 # for that shell
little_host='set -e
    if [ "$2" = 0 ] && [ -e /run/ipcns ]; then umount -R -l /run/ipcns || true; fi
    mount -t tmpfs -o mode=755 tmpfs /run
    mount -t tmpfs -o mode=1777 tmpfs /dev/shm
    if [ -d /dev/mqueue ]; then mount -t mqueue mqueue /dev/mqueue; fi
    echo "$4" >/proc/sys/kernel/ns_last_pid
    if [ "$2" = 0 ]; then exec bash --norc "$1"; fi
    mkdir -m 700 /run/own /run/other
    export XDG_RUNTIME_DIR=/run/own
    exec unshare --user --map-user="$2" --map-group="$3" bash --norc "$1"'

# What the script begins with. A process that is to have the number that a page gives it is born before all others, and waits
# for what it is to be. `ssh other` and `scp FILE other:` go to another host, as far as names go: a folder and a /run/ipcns.
# shellcheck disable=SC2016 # for that shell
prelude='
    if [[ -n $process ]]; then
        until : & [[ $! -ge $((process - 1)) ]]; do :; done
        { until [[ -p becomes ]]; do sleep 0.02; done; read -r command <becomes; eval "exec $command"; } &
        mkfifo becomes
    fi
    process() {
        local name
        printf "%s\n" "$2" >becomes
        while read -r name <"/proc/$1/comm"; do
            [[ $name == bash || $name == ipcns* ]] || return 0
            sleep 0.02
        done
    }
    mkdir -p bin other-host
    if ((EUID == 0)); then
        mkdir -p /run/ipcns
        unshare --mount --propagation private sh -c \
            "mount -t tmpfs -o mode=755 other /run/ipcns && : >other-host/.up && exec sleep 600" &
        printf "#!/bin/sh\nshift\nexec nsenter --mount --target %s --wdns=%s sh -c \"\$*\"\n" $! "$PWD/other-host" >bin/ssh
        until [[ -e other-host/.up ]]; do sleep 0.02; done
    else
        printf "#!/bin/sh\nshift\nexec env -C %s XDG_RUNTIME_DIR=/run/other sh -c \"\$*\"\n" "$PWD/other-host" >bin/ssh
    fi
    printf "#!/bin/sh\ncp \"\$2\" %s\n" "$PWD/other-host" >bin/scp
    chmod +x bin/*
    PATH=$PWD/bin:$PATH
'

in_little_host() { # SCRIPT [LAST-PID]
    local become=()
    is_root || become=(--user --map-root-user)
    timeout "${seconds:-100}" unshare "${become[@]}" --ipc --mount --propagation private --pid --fork --kill-child --mount-proc \
        bash --norc -c "$little_host" - "$1" "$EUID" "$(id -g)" "${2:-7499}" 3>&-
}

need_little_host() {
    is_root || need_userns
    printf 'true\n' >try
    local why
    why=$(in_little_host try 2>&1) || skip "no namespaces to try it in: $why"
}

# Types what a page shows, or one task of it.
follow() { # DOCUMENT [TASK]
    local process
    process=$(grep -oPm 1 '^(; |<!-- )process \K[0-9]+' "$1") || true
    {
        printf 'process=%s\n%s\n' "$process" "$prelude"
        "$IPCNS_TREE/tests/system/examples.py" script "$@"
    } >typed
    in_little_host typed "${process:+1200}" >printed
    "$IPCNS_TREE/tests/system/examples.py" compare "$@" <printed
}

# Two pages of one text in two languages show the same blocks, and have as many headings of each level.
same_commands() { # DOCUMENT TRANSLATION
    diff <(awk '/^```/ {on = !on; print} on' "$IPCNS_TREE/$1") <(awk '/^```/ {on = !on; print} on' "$IPCNS_TREE/$2")
    diff <(headings "$IPCNS_TREE/$1") <(headings "$IPCNS_TREE/$2")
}

headings() { awk '/^```/ {on = !on} !on && /^#+ / {print $1}' "$1"; }
