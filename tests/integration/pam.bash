# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Users, PAM services and a system log that are there for one test alone: in mount and pid namespaces of its own, where copies
# of /etc/passwd and others lie over those of the host, /run and /dev are empty, and process 1 is the test's shell.

# shellcheck disable=SC2034,SC2154 # others use what is set here; work is common.bash's

# Calls a function of the test in there, with errexit; says where it stopped.
in_private_system() { # FUNCTION
    declare -f >functions
    export work pam=$IPCNS_BUILD/lib/security/pam_ipcns.so
    # shellcheck disable=SC2016 # for the inner shell
    run unshare --mount --propagation private --pid --fork --kill-child --mount-proc bash -c '
        set -eEuo pipefail
        source ./functions
        trap '\''printf "failed: %s (%s)\n" "$BASH_COMMAND" "${FUNCNAME[*]:-}" >&2'\'' ERR
        private_system
        "$1"
        echo finished' - "$1" 3>&-
    printf '%s\n' "$output"
    if [[ -s log ]]; then cat log; fi
    [[ $status == 0 && ${lines[-1]} == finished ]]
}

private_system() {
    local file
    mkdir etc dev
    for file in passwd group shadow; do
        cp "/etc/$file" "etc/$file"
        mount --bind "etc/$file" "/etc/$file"
    done
    cp -R /etc/pam.d etc/
    mount --bind etc/pam.d /etc/pam.d
    printf 'ipcns%s:x:6100%s:6100%s::/:/bin/sh\n' a 1 1 b 2 2 c 3 3 >>/etc/passwd
    printf '%s\n' ipcnsa:x:61001: ipcnsb:x:61002: ipcnsc:x:61003: ipcnsg:x:61009:ipcnsb >>/etc/group
    printf 'ipcns%s:*:19000::::::\n' a b c >>/etc/shadow

    mount -t tmpfs -o mode=755 tmpfs dev
    for file in null zero full random urandom tty; do cp -a "/dev/$file" dev/; done
    mkdir dev/shm dev/mqueue dev/pts
    mount --bind /dev/pts dev/pts
    mount -t tmpfs -o mode=1777,size=16M tmpfs dev/shm
    mount -t mqueue mqueue dev/mqueue
    mount --rbind dev /dev
    mount -t tmpfs -o mode=755 tmpfs /run
    open=/run/test # where everybody may write
    mkdir -m 777 "$open"
    # As systemd has it on a host: what is mounted is seen by whoever is there.
    mount --make-rshared /

    # What pam_syslog(3) and syslog(3) say.
    python3 -c '
import socket
log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
log.bind("/dev/log")
with open("log", "a", buffering=1) as file:
    while True: file.write(log.recv(65536).decode(errors="replace") + "\n")' &
    wait_until 10 test -S /dev/log
    chmod 666 /dev/log
    home=$(readlink /proc/self/ns/ipc)
}

# A service with nothing but our module in its session.
service() { # NAME WORD...
    local name=$1
    shift
    printf '%s\n' 'auth required pam_permit.so' 'account required pam_permit.so' "session required $pam $*" >"/etc/pam.d/$name"
}

# A command in a session of a user.
as() { # USER COMMAND
    su "$1" -c "$2"
}

# A session that stays until `end_session N`; its namespace is in $ns.
begin_session() { # N USER
    mkfifo -m 666 "$open/up$1" "$open/go$1"
    su "$2" -c "readlink /proc/self/ns/ipc >$open/up$1; read -r _ <$open/go$1" &
    session[$1]=$!
    read -r ns <"$open/up$1"
}

end_session() { # N
    echo >"$open/go$1"
    wait "${session[$1]}" || true
}

no_name() { # PATTERN
    ! compgen -G "/run/ipcns/$1" >/dev/null
}

logged() { # TEXT
    wait_until 10 grep -qF -- "$1" log
}
