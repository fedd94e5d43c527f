#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Two PostgreSQL clusters with the same port and the same System V key, each under an `ipcns run` of its own: both serve
# pgbench at the same time. PostgreSQL takes its key from the inode of the data folder, so two folders on two fresh file
# systems have the same; without ipcns the second server finds the key taken and goes on to the next.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; what is loaded sets the variables

load common
load inside

setup() {
    common_setup
    need_run
    local folder
    for folder in /usr/lib/postgresql/*/bin; do
        if [[ -x $folder/initdb && -x $folder/pgbench ]]; then postgres=$folder; fi
    done
    [[ -n ${postgres-} ]] || skip 'PostgreSQL is not installed'
    export postgres
    cat >functions <<'END'
set -euo pipefail
as=()
if ((EUID == 0)); then as=(setpriv --reuid postgres --regid postgres --clear-groups --); fi

make_cluster() { # FOLDER
    mkdir -m 700 "$1/data" "$1/socket"
    if ((EUID == 0)); then chown postgres: "$1" "$1/data" "$1/socket"; fi
    "${as[@]}" "$postgres/initdb" -D "$1/data" -U postgres -A trust -N --no-locale -E UTF8 >/dev/null
    cat >>"$1/data/postgresql.conf" <<CONF
port = 54321
listen_addresses = ''
unix_socket_directories = '$1/socket'
shared_memory_type = sysv
dynamic_shared_memory_type = posix
shared_buffers = 16MB
max_connections = 20
fsync = off
CONF
}

wait_for() { # COMMAND...
    local i
    for ((i = 0; i < 600; ++i)); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.05
    done
    echo "in vain: $*"
    return 1
}

ready() { "$postgres/pg_isready" -q -h "$1/socket" -p 54321; }
postmaster() { head -n 1 "$1/data/postmaster.pid"; }
key() { sed -nE '7s/^ *([0-9]+) .*/\1/p' "$1/data/postmaster.pid"; }

# Both at the same time, to the end.
bench_both() { # FOLDER FOLDER
    local folder pids=()
    for folder; do "${as[@]}" "$postgres/pgbench" -q -i -h "$folder/socket" -p 54321 -U postgres postgres >/dev/null 2>&1; done
    for folder; do
        "${as[@]}" "$postgres/pgbench" -c 2 -t 100 -h "$folder/socket" -p 54321 -U postgres postgres >"bench.${folder##*/}" 2>&1 &
        pids+=($!)
    done
    for folder in "${pids[@]}"; do wait "$folder"; done
    for folder; do grep -F 'actually processed: 200/200' "bench.${folder##*/}"; done
}
END
}

# bats test_tags=root
@test "two clusters with the same port and the same System V key serve pgbench at once" {
    getent passwd postgres >/dev/null || skip 'there is no user postgres'
    cat >script <<'END'
source ./functions
# What is mounted here goes away with this script.
mount -t tmpfs none /mnt
for i in a b; do
    mkdir /mnt/$i
    mount -t tmpfs none /mnt/$i
    make_cluster /mnt/$i
done
chmod 755 /mnt
[[ $(stat -c %i /mnt/a/data) == "$(stat -c %i /mnt/b/data)" ]]

# Without ipcns, in a namespace that they share, the second does not get the key.
"$IPCNS" run -- bash -c 'source ./functions
    for i in a b; do
        "${as[@]}" "$postgres/postgres" -D /mnt/$i/data >shared.$i 2>&1 &
        pids+=($!)
        wait_for ready /mnt/$i
    done
    [[ $(key /mnt/a) != "$(key /mnt/b)" ]]
    kill -INT "${pids[@]}"
    wait'

pids=()
for i in a b; do
    "$IPCNS" run -v --wait -- "${as[@]}" "$postgres/postgres" -D /mnt/$i/data >log.$i 2>&1 &
    pids+=($!)
done
for i in a b; do wait_for ready /mnt/$i; done
[[ -n $(key /mnt/a) && $(key /mnt/a) == "$(key /mnt/b)" ]]
# The kernel says the same of both namespaces, and has no such key outside.
for i in a b; do "$IPCNS" exec "$(postmaster /mnt/$i)" -- awk 'NR > 1 {print $1}' /proc/sysvipc/shm | grep -qx "$(key /mnt/$i)"; done
if awk 'NR > 1 {print $1}' /proc/sysvipc/shm | grep -qx "$(key /mnt/a)"; then exit 1; fi
bench_both /mnt/a /mnt/b

# One is stopped by the pid of its ipcns and cleans up after itself; the other is killed and cannot.
exec 8</proc/"$(postmaster /mnt/a)"/ns/ipc 9</proc/"$(postmaster /mnt/b)"/ns/ipc
kill -INT "${pids[0]}"
wait "${pids[0]}"
kill -KILL "$(postmaster /mnt/b)"
status=0
wait "${pids[1]}" || status=$?
((status == 137))
for fd in 8 9; do [[ -z $("$IPCNS" exec /proc/$$/fd/$fd -- tail -q -n +2 /proc/sysvipc/{shm,sem,msg}) ]]; done
grep -E 'gone; removed .*shared memory segment' log.b
echo finished
END
    run unshare --mount --propagation private bash ./script
    tail -n 30 log.a log.b 2>/dev/null || true
    expect_status 0
    expect_in_output finished
}

# IPCNS_SAVES=20 for a long run.
@test "saved again and again under pgbench, a cluster serves on without an error" {
    cat >script <<'END'
source ./functions
folder=$PWD/cluster
if ((EUID == 0)); then
    # What is mounted here goes away with this script.
    mount -t tmpfs none /mnt
    chmod 755 /mnt
    folder=/mnt/cluster
fi
mkdir "$folder"
make_cluster "$folder"
"$IPCNS" run --wait -- "${as[@]}" "$postgres/postgres" -D "$folder/data" >log 2>&1 &
server=$!
wait_for ready "$folder"
"${as[@]}" "$postgres/pgbench" -q -i -h "$folder/socket" -p 54321 -U postgres postgres >/dev/null 2>&1
"${as[@]}" "$postgres/pgbench" -c 4 -T 600 -h "$folder/socket" -p 54321 -U postgres postgres >bench 2>&1 &
bench=$!
transactions() { "${as[@]}" "$postgres/psql" -h "$folder/socket" -p 54321 -U postgres -tAc 'SELECT count(*) FROM pgbench_history' postgres; }
more_than() { (($(transactions) > $1)); }
for ((i = 0; i < ${IPCNS_SAVES:-4}; ++i)); do
    wait_for more_than "$(transactions)"
    "$IPCNS" save -v "$(postmaster "$folder")" file
    "$IPCNS" restore --check file
    kill -0 "$bench"
done
wait_for more_than "$(transactions)"
"$IPCNS" restore --list -n -o OBJECT,SIZE file | grep '^shm:'
kill -TERM "$bench"
wait "$bench" || true
cat bench
if grep -iE 'error|fatal|aborted' bench; then exit 1; fi
if grep -E 'PANIC|ERROR|terminated by signal|Interrupted' log; then exit 1; fi
kill -INT "$server"
wait "$server"
echo finished
END
    local own=()
    if is_root; then
        getent passwd postgres >/dev/null || skip 'there is no user postgres'
        own=(unshare --mount --propagation private)
    fi
    run "${own[@]}" bash ./script
    tail -n 30 log 2>/dev/null || true
    expect_status 0
    expect_in_output finished
}

# bats test_tags=user
@test "an ordinary user's two clusters with the same port and the same key serve pgbench at once" {
    cat >script <<'END'
source ./functions
pids=()
for i in a b; do make_cluster "$PWD/$i"; done
[[ $(stat -c %i a/data) == "$(stat -c %i b/data)" ]]
for i in a b; do
    "$IPCNS" run -v --wait -- "$postgres/postgres" -D "$PWD/$i/data" >log.$i 2>&1 &
    pids+=($!)
done
for i in a b; do wait_for ready "$PWD/$i"; done
[[ -n $(key a) && $(key a) == "$(key b)" ]]
for i in a b; do "$IPCNS" exec "$(postmaster $i)" -- awk 'NR > 1 {print $1}' /proc/sysvipc/shm | grep -qx "$(key $i)"; done
bench_both "$PWD/a" "$PWD/b"
kill -INT "${pids[0]}"
wait "${pids[0]}"
kill -KILL "$(postmaster b)"
status=0
wait "${pids[1]}" || status=$?
((status == 137))
grep -E 'gone; removed .*shared memory segment' log.b
echo finished
END
    # The file systems are mounted by the root of a user namespace; in one more below it he is himself again.
    mkdir a b
    run unshare --user --map-root-user --mount bash -c 'for i in a b; do mount -t tmpfs none $i; done
        exec unshare --user --map-user="$1" --map-group="$2" bash ./script' - "$EUID" "$(id -g)"
    tail -n 30 log.a log.b 2>/dev/null || true
    expect_status 0
    expect_in_output finished
}

@test "show tells a server's objects from one that was left behind, and remove --orphans takes that alone" {
    need jq
    if is_root; then getent passwd postgres >/dev/null || skip 'there is no user postgres'; fi
    name=$(unique_name)
    export name
    ipcns create "$name"
    cat >script <<'END'
source ./functions
if ((EUID == 0)); then
    mount -t tmpfs none /mnt
    chmod 755 /mnt
    folder=/mnt/a
else
    folder=$PWD/a
fi
mkdir "$folder"
make_cluster "$folder"
"$IPCNS" exec "$name" -- "${as[@]}" "$postgres/postgres" -D "$folder/data" >log 2>&1 &
server=$!
wait_for ready "$folder"
"$IPCNS" exec "$name" -- ipcmk -M 5000 >leaked
leaked=shm:$(tr -dc 0-9 <leaked)

"$IPCNS" show "$name" shm -q --holders --json >json
# The server's segment: in use, held by the postmaster, whose command is shown. The other: nobody's.
jq -e --argjson pid "$(postmaster "$folder")" --arg key "$(printf '0x%08x' "$(key "$folder")")" '
    .shm[] | select(.key == $key) | .state == "in_use"
    and (.holders.mappings | any(.pid == $pid and (.command | contains("postgres"))))' json
jq -e --arg leaked "$leaked" '.shm[] | select(.object == $leaked) | .state == "orphan" and .holders.mappings == []' json
(($(jq '.shm | length' json) == 2))

[[ $("$IPCNS" remove "$name" --orphans --kind shm --dry-run -n -o OBJECT) == "$leaked" ]]
"$IPCNS" remove "$name" --orphans --kind shm --yes
(($("$IPCNS" show "$name" shm -q -n | wc -l) == 1))
"${as[@]}" "$postgres/pgbench" -q -i -h "$folder/socket" -p 54321 -U postgres postgres >/dev/null 2>&1
"${as[@]}" "$postgres/pgbench" -c 2 -t 50 -h "$folder/socket" -p 54321 -U postgres postgres | grep -F '100/100'
kill -INT "$(postmaster "$folder")"
wait "$server"
echo finished
END
    if is_root; then
        run unshare --mount --propagation private bash ./script
    else
        run bash ./script
    fi
    cat log 2>/dev/null || true
    expect_status 0
    expect_in_output finished
}
