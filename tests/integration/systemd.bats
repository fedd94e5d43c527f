#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns@.service and the drop-in for PostgreSQL, in a systemd that is booted for the purpose.
#
# bats file_tags=root, lock:container, seconds:900

# shellcheck disable=SC2016,SC2154 # other shells expand the scripts; what is loaded sets the variables

load common
load systemd

setup() {
    common_setup
    need systemd-nspawn debootstrap nsenter flock
    [[ -f $IPCNS_BUILD/cmake_install.cmake ]] || skip "$IPCNS_BUILD is no build folder"
    need_root_folder
}

teardown() {
    end_container
    common_teardown
}

# The four lines that docs/systemd.md gives to whoever wants to use a name.
using() { # NAME
    sed -nE '/^# +\[Unit\]$/,/^$/s/^# {0,3}//p' "$IPCNS_TREE/integrations/systemd/ipcns@.service" | sed "s/\bdb\b/$1/g"
}

@test "a namespace has the life of its unit, and the services that name it share it" {
    for service in one two three; do
        {
            if [[ $service != three ]]; then using db; else printf '[Service]\n'; fi
            printf 'ExecStart=sleep infinity\n[Install]\nWantedBy=multi-user.target\n'
        } | add_unit "$service.service"
    done
    boot_container
    allow_limits
    in_container systemd-analyze verify --man=no /usr/local/lib/systemd/system/ipcns@.service

    # What the file says, the namespace has.
    in_container sh -c 'mkdir -p /etc/ipcns
        printf "%s\n" "# mine" "shmmni = 7" "sem=250,32000,100,512" "msg_max = 20" "shm_size = 1M" >/etc/ipcns/db.conf'
    in_container systemctl start one two three
    [[ $(in_container systemctl is-active ipcns@db) == active ]]
    [[ $(in_unit one cat /proc/sys/kernel/shmmni) == 7 ]]
    [[ $(in_unit one cat /proc/sys/kernel/sem) == 250$'\t'32000$'\t'100$'\t'512 ]]
    [[ $(in_unit one cat /proc/sys/fs/mqueue/msg_max) == 20 ]]
    [[ $(in_unit one df --block-size=1 --output=size /dev/shm | tail -n 1) -eq 1048576 ]]

    # Two share it; a third does not see it.
    first=$(ns_of_unit one)
    [[ $first == "$(ns_of_unit two)" && $first != "$(ns_of_unit three)" ]]
    in_unit one ipcmk -Q
    in_unit one ipcmk -S 1
    in_unit one sh -c 'echo shared >/dev/shm/file; : >/dev/shm/sem.lock'
    in_unit one setpriv --reuid games --regid games --clear-groups ipcmk -M 4096 -p 0600
    in_container ipcns make db mq /queue
    in_unit two ipcs -q | grep -q '^0x'
    in_unit two ipcs -s | grep -q '^0x'
    in_unit two ipcs -m | grep -q ' games '
    [[ $(in_unit two cat /dev/shm/file) == shared ]]
    [[ $(in_unit two ls /dev/mqueue) == queue ]]
    run ! grep -q '^ *[0-9-]' <(in_unit three tail -q -n +2 /proc/sysvipc/{msg,sem,shm})
    run ! grep -E "file|sem.lock|queue\$" <(in_unit three ls /dev/shm /dev/mqueue)

    # The end: the services first, then what is left, which is said.
    in_container systemctl stop ipcns@db
    [[ $(in_container systemctl is-active one two three || true) == $'inactive\ninactive\nactive' ]]
    journal_of ipcns@db | grep -E 'db deleted; removed 1 message queue, 1 semaphore set, 1 shared memory segment \(4K\), 1 POSIX queue, 2 files'
    [[ $(in_container systemctl is-failed ipcns@db || true) == inactive ]]
    run ! in_container test -e /run/ipcns/db
    run ! grep -F /run/ipcns/db "/proc/$container/mountinfo"

    # Made anew, with those who use it.
    in_container systemctl start one
    in_unit one ipcmk -Q
    before=$(in_container systemctl show --property MainPID --value one)
    in_container systemctl restart ipcns@db
    [[ $(in_container systemctl is-active one) == active ]]
    [[ $(in_container systemctl show --property MainPID --value one) != "$before" ]]
    [[ $(ns_of_unit one) == "$(in_container nsenter --ipc=/run/ipcns/db/ipc readlink /proc/self/ns/ipc)" ]]
    run ! grep -q '^ *[0-9-]' <(in_unit one tail -n +2 /proc/sysvipc/msg)

    # Whoever is inside without having said so keeps it alive, and is named.
    in_container systemd-run --quiet --unit stranger --property PrivateIPC=yes \
        --property IPCNamespacePath=/run/ipcns/db/ipc sleep infinity
    stranger=$(ns_of_unit stranger)
    [[ $stranger == "$(ns_of_unit one)" ]]
    in_container systemctl stop ipcns@db
    journal_of ipcns@db | grep -F 'its namespace lives on with the processes inside: ' | grep -F sleep
    [[ $(ns_of_unit stranger) == "$stranger" ]]
    in_container systemctl stop stranger

    # A mistake in the file: nothing starts, and file and line are named.
    in_container sh -c 'echo shmmx=1 >>/etc/ipcns/db.conf'
    run ! in_container systemctl start one
    [[ $(in_container systemctl is-failed ipcns@db) == failed && $(in_container systemctl is-active one || true) == inactive ]]
    journal_of ipcns@db | grep -Fx "ipcns: /etc/ipcns/db.conf:6: there is no limit 'shmmx'"
    run ! in_container test -e /run/ipcns/db

    # A reboot: emptied on the way down, made anew on the way up.
    in_container sh -c 'echo shm_size=2M >/etc/ipcns/db.conf'
    in_container systemctl enable ipcns@db two
    in_container systemctl start ipcns@db one two
    # systemd reads the table of mounts when one comes or goes, and not when the folder of one is renamed.
    in_container mount -t tmpfs tmpfs /mnt
    mounts_are_known() { in_container systemctl is-active run-ipcns-db-shm.mount; }
    wait_until 20 mounts_are_known
    in_unit two ipcmk -Q
    in_unit two sh -c 'echo left >/dev/shm/left'
    reboot_container
    [[ $(in_container systemctl is-active ipcns@db two) == $'active\nactive' ]]
    [[ $(ns_of_unit two) == "$(in_container nsenter --ipc=/run/ipcns/db/ipc readlink /proc/self/ns/ipc)" ]]
    [[ $(ns_of_unit two) != "$(ns_of_unit dbus)" ]]
    [[ $(in_unit two df --block-size=1 --output=size /dev/shm | tail -n 1) -eq 2097152 ]]
    [[ -z $(in_unit two ls /dev/shm) ]]
    run ! grep -q '^ *[0-9-]' <(in_unit two tail -n +2 /proc/sysvipc/msg)
    journal_of ipcns@db --boot=-1 | grep -F 'db deleted; removed 1 message queue, 1 file in /dev/shm'
    # The mistake above was the only failure.
    [[ $(journal_of ipcns@db --boot=-1 | grep -cF 'Failed with result') == 1 ]]
}

@test "logind removes nothing of a PostgreSQL that runs this way, and breaks one that does not" {
    postgres=$(compgen -G "$root/usr/lib/postgresql/*/bin")
    postgres=${postgres#"$root"}
    # logind spares system users, so the clusters belong to somebody else.
    add_unit cluster@.service <<END
[Service]
Type=notify
User=db
ExecStart=$postgres/postgres -D /home/db/%i -c unix_socket_directories=/home/db/%i -c listen_addresses=
KillSignal=SIGINT
END
    add_unit cluster@guarded.service.d/ipcns.conf <"$IPCNS_TREE/integrations/systemd/postgresql@.service.d/ipcns.conf"
    mkdir -p "$work/container/files/etc/systemd/logind.conf.d"
    printf '[Login]\nRemoveIPC=yes\nUserStopDelaySec=0\n' >"$work/container/files/etc/systemd/logind.conf.d/test.conf"
    boot_container
    in_container useradd --create-home --uid 1500 db
    for cluster in plain guarded; do
        in_container setpriv --reuid db --regid db --clear-groups "$postgres/initdb" -D "/home/db/$cluster" -U db -A trust \
            -N --no-locale -E UTF8
        in_container systemctl start "cluster@$cluster"
    done
    [[ $(ns_of_unit cluster@plain) != "$(ns_of_unit cluster@guarded)" ]]

    # A query that needs a second process, and so POSIX shared memory.
    query() { # CLUSTER
        in_container psql -U db -h "/home/db/$1" -d postgres -Atc 'set force_parallel_mode = on' \
            -c 'set parallel_setup_cost = 0' -c 'select count(*) > 0 from pg_class'
    }
    objects() { # CLUSTER
        in_unit "cluster@$1" sh -c 'ls /dev/shm | grep PostgreSQL; cat /proc/sysvipc/sem /proc/sysvipc/msg
            awk "{print \$1, \$2, \$3, \$4}" /proc/sysvipc/shm'
    }
    for cluster in plain guarded; do
        [[ $(query "$cluster") == $'SET\nSET\nt' ]]
        in_unit "cluster@$cluster" setpriv --reuid db --regid db --clear-groups ipcmk -S 1
    done
    before=$(objects guarded)
    grep PostgreSQL <<<"$before"
    objects plain | grep -q PostgreSQL

    # The user comes and goes, and with the last session all that is called his.
    in_container systemd-run --quiet --wait --pipe su - db -c 'loginctl list-sessions --no-legend' | grep -w db
    user_is_gone() { [[ -z $(in_container loginctl list-users --no-legend) ]]; }
    wait_until 20 user_is_gone
    nothing_left() { ! grep -q PostgreSQL <(objects plain); }
    wait_until 20 nothing_left
    run ! grep -wq 1500 <(in_container cat /proc/sysvipc/sem)

    run ! query plain
    expect_in_output 'could not open shared memory segment'
    [[ $(objects guarded) == "$before" ]]
    [[ $(query guarded) == $'SET\nSET\nt' ]]

    # The end of the namespace is the end of the cluster, in order.
    in_container systemctl stop ipcns@postgresql
    [[ $(in_container systemctl is-active cluster@guarded || true) == inactive ]]
    journal_of cluster@guarded | grep -F 'database system is shut down'
    journal_of ipcns@postgresql | grep -F 'postgresql deleted; removed 1 semaphore set'
}

@test "docs/systemd.md works from its first line to its last" {
    sed -nE '/^```sh$/,/^```$/{/^```/!p}' "$IPCNS_TREE/docs/systemd.md" >page
    mkdir -p "$work/container/files"
    { printf 'set -eux\nmount -o remount,bind,rw /proc/sys\n' && cat page; } >"$work/container/files/page"
    boot_container with-cluster
    in_container sh /page >output 2>&1 || {
        cat output
        return 1
    }
    cat output
    # Who is inside, where the page looks.
    grep -E '^ *[0-9]+ root +[^ ]*sleep infinity' output
    grep -E '^ *[0-9]+ postgres ' output
    grep -E '^shmmni +64 ' output
    run -0 in_container ipcns list -n -o NAME
    expect_output host
    [[ -z $(in_container systemctl --failed --no-legend) ]]
}

@test "PAM's module, logind and the user's manager go together" {
    [[ -e $IPCNS_BUILD/lib/security/pam_ipcns.so ]] || skip 'the PAM module is not built: no security/pam_modules.h'
    mkdir -p "$work/container/files/etc/systemd/logind.conf.d"
    printf '[Login]\nUserStopDelaySec=0\n' >"$work/container/files/etc/systemd/logind.conf.d/test.conf"
    boot_container
    in_container useradd --create-home --uid 1500 --shell /bin/sh db
    # After logind's module, which is the harder case: the session has its control group by then.
    in_container sh -c 'for file in common-session common-session-noninteractive; do
            echo "session required $(find /usr/local/lib -name pam_ipcns.so) linger=0 required=yes" >>/etc/pam.d/$file
        done'
    # A login, and the user's manager, which logind starts: both in the same namespace.
    in_container systemd-run --quiet --unit login su - db -c 'ipcmk -Q >/dev/null; touch /dev/shm/left
        readlink /proc/self/ns/ipc >seen.new; mv seen.new seen; until [ -e enough ]; do sleep 0.1; done'
    wait_until 20 in_container test -e /home/db/seen
    inside=$(in_container cat /home/db/seen)
    [[ $inside != "$(in_container readlink /proc/1/ns/ipc)" ]]
    manager_is_inside() { [[ $(ns_of_unit user@1500) == "$inside" ]]; }
    wait_until 20 manager_is_inside
    [[ $(in_unit user@1500 ls /dev/shm) == left ]]
    in_container touch /home/db/enough
    # The log-out comes to an end, and then the namespace does.
    user_is_gone() { [[ -z $(in_container loginctl list-users --no-legend) ]]; }
    wait_until 30 user_is_gone || {
        in_container loginctl user-status db --no-pager
        in_container journalctl --no-pager | tail -n 30
        return 1
    }
    name_is_gone() { ! in_container test -e /run/ipcns/user-1500; }
    wait_until 30 name_is_gone
    run ! in_container pidof ipcns-linger
    in_container journalctl --no-pager --output=cat --identifier ipcns-linger |
        grep -Fx 'user-1500 removed, and with it 1 System V objects, 0 POSIX queues, 1 files in /dev/shm'
    [[ -z $(in_container systemctl --failed --no-legend) ]]
}
