#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Names: create, attach, delete, identify, pids, monitor. What they accept and refuse, what lies below the registry, whose
# names are whose, and that nothing is left behind.

# shellcheck disable=SC2154 # stderr is bats', marker, pid, open and other are names.bash's

load common
load names

teardown() { names_teardown; }

# --- create ----------------------------------------------------------------------------------------------------

@test "a name may have letters, digits, _ . - and 63 characters" {
    need_names
    tail=$$$RANDOM
    long=$(printf 'x%.0s' {1..63})
    for name in "_$tail" "Z.a-b_$tail.." "${long::$((63 - ${#tail}))}$tail"; do
        printf '%s\n' "$name" >>"$names_file"
        ipcns create "$name"
        ipcns list -n -o NAME | grep -qxF -- "$name"
        ipcns delete "$name"
    done
}

# What others make meanwhile would show in the registry.
# bats test_tags=serial
@test "what cannot be a name is refused everywhere, and printed harmlessly" {
    long=$(printf 'x%.0s' {1..64})
    before=$(ls -A "$(registry)" 2>/dev/null || true)
    for name in '' "$long" self host 1x 42 a/b ../x . .. .lock .new-1 'a b' '*' $'a\e[31mb' $'a\nb' $'a\xffb' ä @1 /x; do
        for command in create delete; do
            run --separate-stderr ipcns "$command" -- "$name"
            expect_status 2
            expect_error 'ipcns: '
            expect_output ''
            printf '%s' "$stderr" >"$work/stderr"
            expect_harmless "$work/stderr"
        done
        run --separate-stderr ipcns attach -- "$name" self
        expect_status 2
        run --separate-stderr ipcns run --name "$name" -- true
        expect_status 125
    done
    for name in '' "$long" 1x a/b $'a\e[31mb' @x @ @0 ipc:[] -1 99999999999999999999; do
        run --separate-stderr ipcns exec -- "$name" true
        expect_status 125
        run --separate-stderr ipcns pids -- "$name"
        expect_status 2
        expect_error 'ipcns: '
    done
    expect_equal "$(ls -A "$(registry)" 2>/dev/null || true)" "$before"
}

@test "wrong usage is status 2 with a message" {
    for words in create 'create a b' 'create --frob a' 'create --shm-size' 'create --limit' attach 'attach a' \
        'attach a b c' delete 'delete --all a' 'delete --frob a' 'delete --timeout' 'delete --timeout -1 a' \
        'delete --timeout x a' 'list x' 'list --fds sometimes' 'list -o' 'list -o NOPE' 'list -o ,' pids \
        'pids a b' 'pids self -o NOPE' 'identify 0' 'identify -1' 'identify x' 'identify 1 2' 'monitor x'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns $words
        expect_status 2
        expect_output ''
        expect_error 'ipcns: '
    done
}

@test "every command has help, on standard output" {
    for command in run exec create attach delete list pids identify monitor make remove limits clear; do
        run --separate-stderr ipcns "$command" --help
        expect_status 0
        expect_in_output "ipcns $command"
        [[ -z $stderr ]]
        first=$output
        run --separate-stderr ipcns help "$command"
        expect_status 0
        expect_output "$first"
    done
}

@test "help and version that can not be written are a failure" {
    for words in --help --version help 'help run' 'help show' 'run --help' 'exec --help' 'show --help' 'save --help'; do
        ipcns_status=1
        if [[ $words == run* || $words == exec* ]]; then ipcns_status=125; fi
        for output in '>/dev/full' '>&-'; do
            # shellcheck disable=SC2016 # words of another shell
            run --separate-stderr sh -c 'command=$1; shift; eval "\"\$command\" $*"' - "$IPCNS" "$words" "$output"
            expect_status "$ipcns_status"
            expect_error 'write to standard output: '
        done
    done
}

@test "create refuses a name that exists, and leaves what is there alone" {
    need_names
    name=$(unique_name)
    ipcns create "$name"
    ipcns exec "$name" -- ipcmk --queue
    before=$(ns_of_name "$name")
    for command in 'create NAME' 'create --shm-size 1M NAME' 'attach NAME self' 'run --name NAME -- true'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns ${command//NAME/$name}
        [[ $status == 1 || ($status == 125 && $command == run*) ]]
        expect_error "$name: File exists"
    done
    expect_equal "$(ns_of_name "$name")" "$before"
    ipcns exec "$name" -- ipcs --queues | grep -q '^0x'
}

@test "create --shm-size sets the size of its /dev/shm" {
    need_names
    for size in 1M=1024 64K=64 2097152=2048; do
        name=$(unique_name)
        ipcns create --shm-size "${size%=*}" "$name"
        found=$(ipcns exec "$name" -- df --output=size /dev/shm | tail -n 1)
        expect_equal $((found)) "${size#*=}"
        run ! ipcns exec "$name" -- sh -c 'head -c 3M /dev/zero >/dev/shm/f'
        ipcns delete "$name"
    done
    name=$(unique_name)
    ipcns create --shm-size 0 "$name"
    found=$(ipcns exec "$name" -- stat -f -c %b /dev/shm)
    expect_equal "$found" 0
    name=$(unique_name)
    ipcns create "$name"
    expect_equal "$(ipcns exec "$name" -- stat -f -c '%b %S' /dev/shm)" "$(stat -f -c '%b %S' /dev/shm)"
}

@test "a size that is none is wrong usage, and makes no name" {
    name=$(unique_name)
    for size in x -1 1Q 1MM M 1.5G 99999999999999999999 16777216T '' ' 1'; do
        run --separate-stderr ipcns create "--shm-size=$size" "$name"
        expect_status 2
        expect_error 'ipcns: '
        [[ ! -e $(registry)/$name ]]
    done
}

@test "create --limit sets limits inside only" {
    need_names
    name=$(unique_name)
    before=$(cat /proc/sys/kernel/shmmni /proc/sys/kernel/msgmax /proc/sys/kernel/sem)
    ipcns create --limit shmmni=64 --limit kernel.msgmax=4K --limit sem=10,100,5,7 "$name"
    run ipcns exec "$name" -- cat /proc/sys/kernel/shmmni /proc/sys/kernel/msgmax /proc/sys/kernel/sem
    expect_status 0
    expect_output $'64\n4096\n10\t100\t5\t7'
    expect_equal "$(cat /proc/sys/kernel/shmmni /proc/sys/kernel/msgmax /proc/sys/kernel/sem)" "$before"
}

@test "a limit that is none is wrong usage, one that the kernel refuses fails, neither makes a name" {
    need_names
    name=$(unique_name)
    for limit in shmmni =5 nope=1 shmmni=x shmmni= sem=1,2,3 fs.mqueue.shmmni=1 $'shmmni=1\e[0m' ''; do
        run --separate-stderr ipcns create "--limit=$limit" "$name"
        expect_status 2
        expect_error 'ipcns: '
        [[ ! -e $(registry)/$name ]]
    done
    run --separate-stderr ipcns create --limit shm_rmid_forced=7 "$name"
    expect_status 1
    expect_error 'shm_rmid_forced=7'
    [[ ! -e $(registry)/$name ]]
    expect_equal "$(find "$(registry)" -mindepth 1 -name '.new-*' | wc -l)" 0
}

@test "create --config takes settings from a file, and those of the command line win" {
    name=$(unique_name)
    printf '%s\n' '# mine' 'shm_size = 8M' 'msgmni=7' 'shmmni=9' >file
    ipcns create --config file --limit msgmni=8 "$name"
    run -0 ipcns exec "$name" -- cat /proc/sys/kernel/msgmni /proc/sys/kernel/shmmni
    expect_output $'8\n9'
    run -0 ipcns exec "$name" -- df --block-size=1 --output=size /dev/shm
    expect_in_output 8388608
    other=$(unique_name)
    ipcns create --config=-file --shm-size 4M "$other"
    run -0 ipcns exec "$other" -- df --block-size=1 --output=size /dev/shm
    expect_in_output 4194304
}

@test "create --config names the file and the line that makes no sense, and makes no name" {
    name=$(unique_name)
    printf 'msgmni=7\nshmmx=9\n' >file
    run -2 --separate-stderr ipcns create --config file "$name"
    expect_error "file:2: there is no limit 'shmmx'"
    run -1 --separate-stderr ipcns create --config none "$name"
    expect_error 'read none: No such file'
    [[ ! -e $(registry)/$name ]]
    # With a - it need not be there; what is there still has to make sense.
    run -2 --separate-stderr ipcns create --config=-file "$name"
    expect_error 'file:2: '
    ipcns create --config=-none "$name"
}

@test "create --config names the file of a limit that the kernel refuses" {
    if grep -qw ipcmni_extend /proc/cmdline; then skip 'this kernel takes more objects than others'; fi
    name=$(unique_name)
    printf '# one\nshmmni = 99999\n' >file
    for config in file -file; do
        run -1 --separate-stderr ipcns create --config="$config" "$name"
        expect_error 'ipcns: file: set the limit shmmni=99999: Invalid argument'
        [[ $stderr == *$'\n'hint:* && ! -e $(registry)/$name ]]
    done
    for line in 'semmni = 99999' 'sem = 250 32000 32 99999'; do
        printf '%s\n' "$line" >file
        run -1 --separate-stderr ipcns create --config file "$name"
        expect_error 'ipcns: file: set the limit sem'
    done
    # The one of the command line is no matter of the file.
    printf 'shmmni = 5\n' >file
    run -1 --separate-stderr ipcns create --config file --limit shmmni=99999 "$name"
    expect_error 'ipcns: set the limit shmmni=99999: '
    run -1 --separate-stderr ipcns create --config file --limit msgmni=99999 "$name"
    expect_error 'ipcns: set the limit msgmni=99999: '
}

@test "create -v says which namespace and where" {
    need_names
    name=$(unique_name)
    run --separate-stderr ipcns create -v "$name"
    expect_status 0
    expect_output ''
    [[ $stderr == *"$(inode "$(ns_of_name "$name")")"* && $stderr == *"$(registry)/$name"* ]]
}

# --- what a name is made of ------------------------------------------------------------------------------------

# bats test_tags=root
@test "root's name is a folder with ipc, shm and mqueue, for other programs to use" {
    need_program posix_ipc
    name=$(unique_name)
    ipcns create "$name"
    there=/run/ipcns/$name
    expect_equal "$(stat -c '%U %a %F' "$there")" 'root 755 directory'
    expect_equal "$(stat -f -c %T "$there/ipc")" nsfs
    expect_equal "$(nsenter --ipc="$there/ipc" readlink /proc/self/ns/ipc)" "$(ns_of_name "$name")"
    expect_equal "$(findmnt -n -o FSTYPE "$there/shm")" tmpfs
    expect_equal "$(stat -c %a "$there/shm")" 1777
    [[ ,$(findmnt -n -o OPTIONS "$there/shm"), == *,nosuid,*nodev,* ]]
    expect_equal "$(findmnt -n -o FSTYPE "$there/mqueue")" mqueue
    # Objects made inside are seen there, and what is put there is seen inside.
    ipcns exec "$name" -- "$programs/posix_ipc" make mq /jobs
    ipcns exec "$name" -- "$programs/posix_ipc" make pshm /page
    [[ -e $there/mqueue/jobs && -e $there/shm/page ]]
    [[ ! -e /dev/shm/page ]]
    run -1 "$programs/posix_ipc" has mq /jobs
    nsenter --ipc="$there/ipc" "$programs/posix_ipc" has mq /jobs
    echo hello >"$there/shm/note"
    expect_equal "$(ipcns exec "$name" -- cat /dev/shm/note)" hello
}

# bats test_tags=user
@test "a user's name is a folder whose links ipc, shm and mqueue lead to the keeper's" {
    need_userns
    need_program posix_ipc
    name=$(unique_name)
    ipcns create "$name"
    there=$XDG_RUNTIME_DIR/ipcns/$name
    expect_equal "$(stat -c '%u %a' "${there%/*}")" "$EUID 700"
    ns=$(ns_of_name "$name")
    expect_equal "$(stat -L -c %i "$there/ipc")" "$(inode "$ns")"
    expect_equal "$(stat -f -L -c %T "$there/ipc")" nsfs
    expect_equal "$(ipcns exec "$there/ipc" -- readlink /proc/self/ns/ipc)" "$ns"
    expect_equal "$(stat -L -c %a "$there/shm/")" 1777
    ipcns exec "$name" -- "$programs/posix_ipc" make pshm /page
    [[ -e $there/shm/page && ! -e /dev/shm/page ]]
    expect_equal "$(keepers_of "$name" | wc -l)" 1
    # It is nobody's child to reap, holds no file of ours open, and keeps no folder busy.
    keeper=$(keepers_of "$name")
    expect_equal "$(readlink "/proc/$keeper/cwd")" /
    for fd in 0 1 2; do expect_equal "$(readlink "/proc/$keeper/fd/$fd")" /dev/null; done
    expect_equal "$(find "/proc/$keeper/fd" -type l -printf '%l\n' | grep -vx /dev/null)" "$there/keeper"
    [[ $(ps -o ppid= -p "$keeper") -ne $$ ]]
}

@test "what is made in a name is the caller's own, with the caller's name" {
    need_names
    name=$(unique_name)
    ipcns create "$name"
    ipcns exec "$name" -- sh -c ': >/dev/shm/mine'
    run ipcns exec "$name" -- sh -c 'stat -c %u /dev/shm/mine; id -u; id -un'
    expect_status 0
    expect_output "$EUID"$'\n'"$EUID"$'\n'"$(id -un)"
}

# bats test_tags=root
@test "the registry is a shared tmpfs wherever /run is, and names reach mount namespaces that were made before" {
    name=$(unique_name)
    first=$(unique_name)
    ipcns create "$first" # so that there is a registry
    expect_equal "$(findmnt -n -o PROPAGATION /run/ipcns)" shared
    # In a world whose /run is on a disk, or in a folder at least, and that has no names yet.
    # shellcheck disable=SC2016 # for that shell
    expect_equal "$(unshare --mount --propagation private sh -ec '
        mkdir "$1/run" && mount --bind "$1/run" /run && "$2" create x && stat -f -c %T /run/ipcns && stat -c %a /run/ipcns
        "$2" delete x' - "$work" "$IPCNS")" $'tmpfs\n755'
    expect_equal "$(ls -A "$work/run/ipcns")" .lock
    stay unshare --mount --propagation slave
    ipcns create "$name"
    # What nsenter sees there is what a service with mounts of its own would see.
    expect_equal "$(nsenter --mount="/proc/$pid/ns/mnt" stat -f -c %T "/run/ipcns/$name/ipc")" nsfs
    expect_equal "$(nsenter --mount="/proc/$pid/ns/mnt" "$IPCNS" exec "$name" -- readlink /proc/self/ns/ipc)" \
        "$(ns_of_name "$name")"
    ipcns delete "$name"
    run ! grep -F "/run/ipcns/$name/" "/proc/$pid/mountinfo"
    run ! nsenter --mount="/proc/$pid/ns/mnt" "$IPCNS" exec "$name" -- true
}

# bats test_tags=root
@test "delete also ends a name that a private mount namespace has a copy of" {
    name=$(unique_name)
    ipcns create "$name"
    stay unshare --mount --propagation private
    ipcns delete "$name"
    [[ ! -e /run/ipcns/$name ]]
    run ! grep -F "/run/ipcns/$name/" "/proc/$pid/mountinfo"
}

# bats test_tags=root
@test "in a mount namespace that cannot see its mounts a name is not taken for dead" {
    name=$(unique_name)
    first=$(unique_name)
    ipcns create "$first"
    stay unshare --mount --propagation private
    ipcns create "$name"
    run --separate-stderr nsenter --mount="/proc/$pid/ns/mnt" "$IPCNS" create "$name"
    expect_status 1
    expect_error "$name"
    ipcns exec "$name" -- true
}

# Folders without mounts, as a /run that survives a reboot would have them.
stale_names() {
    local base name
    base=$(registry)
    if [[ ! -e $base ]]; then mkdir "$base"; fi
    chmod 700 "$base"
    for name in old gone; do
        mkdir -p "$base/$name"
        if is_root; then
            mkdir "$base/$name/shm" "$base/$name/mqueue"
            : >"$base/$name/ipc"
        else
            : >"$base/$name/keeper"
            printf 4026539999 >"$base/$name/id"
            ln -s /proc/999999999/ns/ipc "$base/$name/ipc"
            ln -s /proc/999999999/root/dev/shm "$base/$name/shm"
        fi
    done
    run -0 ipcns list -n -o NAME
    [[ $output != *old* && $output != *gone* ]]
    run -125 ipcns exec old -- true
    ipcns create old
    ipcns exec old -- ipcmk --queue
    ipcns delete old
    if [[ -e $base/gone ]]; then ipcns delete gone; fi
    ipcns create other
    ipcns delete other
    registry_is_clean
}

@test "a stale name, as after a reboot, can be made again and deleted" {
    need_names
    # shellcheck disable=SC2317 # bats' run, in the inner shell
    run in_private_run stale_names
    expect_status 0
}

# --- delete ----------------------------------------------------------------------------------------------------

@test "delete goes on after a name that there is not, and says which" {
    need_names
    one=$(unique_name) two=$(unique_name)
    ipcns create "$one"
    ipcns create "$two"
    run --separate-stderr ipcns delete "$one" no-such-name "$two"
    expect_status 1
    expect_output ''
    expect_error 'no-such-name'
    [[ $stderr != *"$one"* ]]
    run ! ipcns exec "$one" -- true
    run ! ipcns exec "$two" -- true
}

delete_all() {
    ipcns delete --all # of none
    ipcns create a
    ipcns create b
    ipcns create c
    ipcns delete --all
    registry_is_clean
    no_keeper a && no_keeper b && no_keeper c
}

@test "delete --all deletes every name" {
    need_names
    run in_private_run delete_all
    expect_status 0
    expect_output ''
}

@test "delete says which processes are inside, they keep what they have" {
    need_names
    name=$(unique_name)
    ipcns create "$name"
    ipcns exec "$name" -- ipcmk --queue
    ipcns exec "$name" -- sh -c 'echo kept >/dev/shm/kept'
    stay ipcns exec "$name" --
    run --separate-stderr ipcns delete "$name"
    expect_status 0
    expect_output ''
    [[ $stderr == *"$name"*"$pid (sleep 1000)"* ]]
    run ! ipcns exec "$name" -- true
    expect_equal "$(ipcns exec "$pid" -- cat /dev/shm/kept)" kept
    ipcns exec "$pid" -- ipcs --queues | grep -q '^0x'
    # The name is free again, for another namespace.
    ipcns create "$name"
    [[ $(ns_of_name "$name") != "$(ns_of "$pid")" ]]
}

@test "delete --kill ends the processes inside, also those that ignore SIGTERM" {
    need_names
    name=$(unique_name)
    ipcns create "$name"
    # shellcheck disable=SC2016 # for the inner shell
    in_background "$IPCNS" exec "$name" -- sh -c 'trap "echo told >told; exit" TERM; : >ready; while :; do sleep 0.1; done'
    polite=$!
    wait_until 10 test -e ready
    run --separate-stderr ipcns delete --kill "$name"
    expect_status 0
    [[ -z $stderr ]]
    gone "$polite"
    expect_equal "$(cat told)" told
    ipcns create "$name"
    in_background "$IPCNS" exec "$name" -- sh -c 'trap "" TERM; : >ready2; while :; do sleep 0.1; done'
    unwilling=$!
    wait_until 10 test -e ready2
    run --separate-stderr ipcns delete --kill --timeout 0.2 "$name"
    expect_status 0
    gone "$unwilling"
    run ! ipcns exec "$name" -- true
}

@test "delete removes the objects at once, even where something else holds the namespace" {
    need_names
    need_program posix_ipc
    name=$(unique_name)
    ipcns create "$name"
    ipcns exec "$name" -- sh -c 'ipcmk -Q; ipcmk -M 65536; ipcmk -S 2; mkdir -p /dev/shm/a/b/c; echo x >/dev/shm/a/b/c/f
        ln -s /etc /dev/shm/link'
    ipcns exec "$name" -- "$programs/posix_ipc" make mq /jobs
    # Held by descriptors of a process that is not inside.
    exec {held}<"$(registry)/$name/ipc" {shm}<"$(registry)/$name/shm/"
    etc=$(find /etc -maxdepth 1 | wc -l)
    run --separate-stderr ipcns delete -v "$name"
    expect_status 0
    for removed in "$name deleted" '1 message queue' '1 semaphore set' '1 shared memory segment' '1 POSIX queue' \
        '/dev/shm'; do
        [[ $stderr == *"$removed"* ]]
    done
    run ipcns exec --ipc-only "/proc/self/fd/$held" -- ipcs
    expect_status 0
    run ! grep -q '^0x' <<<"$output"
    run ipcns exec --ipc-only "/proc/self/fd/$held" -- "$programs/posix_ipc" has mq /jobs
    expect_status 1
    expect_equal "$(find "/proc/self/fd/$shm/" -mindepth 1 | wc -l)" 0
    expect_equal "$(find /etc -maxdepth 1 | wc -l)" "$etc"
    exec {held}<&- {shm}<&-
}

# In a pid namespace of its own, so that what it might wrongly kill is nothing of the host's.
# bats test_tags=root
@test "delete --kill of a name for the host's own namespace kills nobody" {
    # shellcheck disable=SC2016 # for the inner shell
    run --separate-stderr timeout 60 unshare --pid --fork --mount-proc --mount --propagation slave sh -c '
        mount -t tmpfs -o mode=755 tmpfs /run
        sleep 1000 & sleeper=$!
        "$IPCNS" attach whole self || exit 3
        "$IPCNS" delete --kill --timeout 0.1 whole && exit 4
        kill -0 $sleeper || exit 5
        "$IPCNS" delete whole || exit 6
        kill -0 $sleeper && kill $sleeper' 3>&-
    expect_status 0
}

# --- attach ----------------------------------------------------------------------------------------------------

@test "attach names a process's namespace, with that process's /dev/shm, delete leaves the objects" {
    need_names
    need_program posix_ipc
    name=$(unique_name)
    again=$(unique_name)
    stay ipcns run --
    ns=$(ns_of "$pid")
    ipcns exec "$pid" -- "$programs/posix_ipc" make pshm /page
    ipcns exec "$pid" -- ipcmk --queue
    ipcns attach "$name" "$pid"
    expect_equal "$(ns_of_name "$name")" "$ns"
    ipcns exec "$name" -- "$programs/posix_ipc" has pshm /page
    ipcns list -n -o NS,NAME | grep -qE "^ *$(inode "$ns") +$name *\$"
    [[ -e $(registry)/$name/shm/page ]]
    ipcns delete "$name"
    expect_equal "$(ns_of "$pid")" "$ns"
    ipcns exec "$pid" -- "$programs/posix_ipc" has pshm /page
    ipcns exec "$pid" -- ipcs --queues | grep -q '^0x'
    # By a file, by number, by what the link reads, by another name.
    for target in "/proc/$pid/ns/ipc" "@$(inode "$ns")" "$ns" "$again"; do
        ipcns attach "$name" "$target"
        expect_equal "$(ns_of_name "$name")" "$ns"
        ipcns exec "$name" -- "$programs/posix_ipc" has pshm /page
        if [[ $target == "$ns" ]]; then
            ipcns attach "$again" "$pid"
            # Both names are told.
            run ipcns identify "$pid" -n -o NAME
            [[ $output == "$name,$again" || $output == "$again,$name" ]]
        fi
        ipcns delete "$name"
    done
}

@test "an attached name keeps the namespace when its processes are gone, and loses nothing at delete" {
    need_names
    need_program posix_ipc
    one=$(unique_name) two=$(unique_name)
    # Not run by ipcns, so nothing cleans up when it ends.
    if is_root; then
        stay unshare --ipc
    else
        stay unshare --user --map-current-user --ipc
    fi
    ns=$(ns_of "$pid")
    ipcns attach "$one" "$pid"
    ipcns attach "$two" "$one"
    ipcns exec "$one" -- ipcmk --queue
    end_process "$pid"
    expect_equal "$(ns_of_name "$one")" "$ns"
    ipcns delete "$one"
    expect_equal "$(ns_of_name "$two")" "$ns"
    ipcns exec "$two" -- ipcs --queues | grep -q '^0x'
}

@test "attach refuses what is no IPC namespace, and makes no name" {
    name=$(unique_name)
    mkfifo fifo
    for target in 999999999 @1 ipc:[1] no-such-name /nonexistent /etc/passwd /dev/null "$PWD/fifo" /proc/self/ns/uts / \
        "/proc/self/ns/user"; do
        run --separate-stderr timeout 20 "$IPCNS" attach "$name" "$target" 3>&-
        expect_status 1
        expect_error 'ipcns: '
        [[ ! -e $(registry)/$name ]]
    done
}

# --- whose names -----------------------------------------------------------------------------------------------

# bats test_tags=root
@test "an ordinary user sees root's names, and can neither enter nor delete them" {
    name=$(unique_name)
    somebody_else
    ipcns create "$name"
    run --separate-stderr as_somebody_else ipcns delete "$name"
    expect_status 1
    expect_error "delete $name"
    [[ $stderr == *"root's"* ]]
    run --separate-stderr as_somebody_else ipcns delete --kill "$name"
    expect_status 1
    run --separate-stderr as_somebody_else ipcns exec "$name" -- true
    expect_status 125
    expect_error "$name"
    [[ $stderr == *root* ]]
    run --separate-stderr as_somebody_else ipcns list -n -o NS,NAME
    expect_status 0
    expect_in_output "$(inode "$(ns_of_name "$name")") $name"
    run --separate-stderr as_somebody_else ipcns pids "$name"
    expect_status 0
    # A user that root puts into it may ask for its name.
    run as_somebody_else ipcns identify -n -o NAME
    expect_output host
    run ipcns exec "$name" -- setpriv --reuid "$other" --regid "$(id -g "$other")" --clear-groups \
        "$open/bin/ipcns" identify -n -o NAME
    expect_status 0
    expect_output "$name"
    # Nobody has lost it.
    ipcns exec "$name" -- true
}

# bats test_tags=root
@test "a user's name hides root's of the same name, for that user" {
    name=$(unique_name)
    somebody_else
    as_somebody_else unshare --user true || skip 'user namespaces are not allowed'
    ipcns create "$name"
    as_somebody_else ipcns create "$name"
    run as_somebody_else ipcns exec "$name" -- readlink /proc/self/ns/ipc
    expect_status 0
    [[ $output != "$(ns_of_name "$name")" ]]
    as_somebody_else ipcns delete "$name"
    run --separate-stderr as_somebody_else ipcns delete "$name"
    expect_status 1
    ipcns exec "$name" -- true
}

# bats test_tags=user
@test "without XDG_RUNTIME_DIR names are kept in another folder of the user's" {
    need_userns
    name=$(unique_name)
    if [[ -w /run/user/$EUID ]]; then expected=/run/user/$EUID/ipcns; else expected=/tmp/ipcns-$EUID; fi
    existed=no
    if [[ -e $expected ]]; then existed=yes; fi
    env -u XDG_RUNTIME_DIR "$IPCNS" create "$name" 3>&-
    [[ -d $expected/$name ]]
    expect_equal "$(stat -c '%u %a' "$expected")" "$EUID 700"
    env -u XDG_RUNTIME_DIR "$IPCNS" exec "$name" -- true
    # What is not an absolute path does not count (XDG Base Directory Specification).
    XDG_RUNTIME_DIR=relative "$IPCNS" exec "$name" -- true
    run ! ipcns exec "$name" -- true
    env -u XDG_RUNTIME_DIR "$IPCNS" delete "$name"
    [[ ! -e $expected/$name ]]
    if [[ $existed == no ]]; then rm "$expected/.lock" && rmdir "$expected"; fi
}

# bats test_tags=user
@test "a runtime folder that is missing, foreign, open to others or a link is refused" {
    need_userns
    name=$(unique_name)
    run --separate-stderr env XDG_RUNTIME_DIR="$work/nowhere" "$IPCNS" create "$name"
    expect_status 1
    expect_error 'XDG_RUNTIME_DIR'
    mkdir -p "$work/open/ipcns" "$work/link" "$work/elsewhere"
    chmod 777 "$work/open/ipcns"
    run --separate-stderr env XDG_RUNTIME_DIR="$work/open" "$IPCNS" create "$name"
    expect_status 1
    expect_error "$work/open/ipcns"
    ln -s "$work/elsewhere" "$work/link/ipcns"
    run --separate-stderr env XDG_RUNTIME_DIR="$work/link" "$IPCNS" create "$name"
    expect_status 1
    [[ -z $(ls -A "$work/elsewhere") ]]
    # /tmp/ipcns-UID could be anybody's: root's folder stands for that here.
    run --separate-stderr env XDG_RUNTIME_DIR=/ "$IPCNS" create "$name"
    expect_status 1
}

# bats test_tags=user
@test "where names have no room left it says which file system that is" {
    need_userns
    mkdir full
    hints=0
    for files in 3 4 5 6 7 8; do
        # shellcheck disable=SC2016 # words of another shell
        run --separate-stderr unshare --user --map-root-user --mount sh -c '
            mount -t tmpfs -o "nr_inodes=$1" none full && XDG_RUNTIME_DIR=$PWD/full "$0" create x && test -e full/ipcns/x/ipc &&
                XDG_RUNTIME_DIR=$PWD/full "$0" delete x' "$IPCNS" "$files"
        [[ $status == 0 ]] || expect_error 'the file system in which names live is full'
        hints=$((hints + status))
    done
    ((hints > 2))
}

# bats test_tags=user
@test "from inside, where nothing may be mounted, delete and clear take what /dev/mqueue shows" {
    need_userns
    need setpriv
    [[ -d /proc/sys/fs/mqueue ]] || skip 'this kernel has no POSIX queues'
    name=$(unique_name)
    for command in "delete -v $name" "clear -v --yes $name"; do
        if [[ ! -e $(registry)/$name ]]; then ipcns create "$name"; fi
        ipcns make "$name" msg 1
        ipcns make "$name" mq /q
        # shellcheck disable=SC2016 # words of another shell
        run --separate-stderr ipcns exec --root "$name" -- unshare --mount sh -c '
            mount -t tmpfs none /dev && mkdir /dev/mqueue && mount -t mqueue none /dev/mqueue &&
                exec setpriv --bounding-set=-all --inh-caps=-all "$0" '"$command" "$IPCNS"
        expect_status 0
        [[ $stderr == *'removed 1 message queue, 1 POSIX queue'* ]]
    done
    run -0 ipcns show "$name" -q -n
    expect_output ''
    # Where nothing shows them it says that they may be there.
    ipcns make "$name" mq /q
    # shellcheck disable=SC2016 # words of another shell
    run --separate-stderr ipcns exec --root "$name" -- unshare --mount sh -c '
        mount -t tmpfs none /dev && exec setpriv --bounding-set=-all --inh-caps=-all "$0" delete "$1"' "$IPCNS" "$name"
    expect_status 1
    [[ $stderr == "ipcns: empty $name, whose name is gone: "*$'\n''hint: find the POSIX queues '* ]]
    no_keeper "$name"
}

# bats test_tags=user
@test "from another user namespace a name is not taken for none, and what it holds not for nothing" {
    need_userns
    name=$(unique_name)
    ipcns create "$name"
    ipcns make "$name" shm 1 --size 4K
    for command in 'exec NAME true' 'show NAME' 'create NAME' 'delete --kill NAME'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns run -- "$IPCNS" ${command/NAME/$name}
        ((status != 0))
        expect_error 'its keeper runs outside this user or pid namespace'
        [[ $stderr != *'did you mean'* ]]
    done
    run -0 ipcns show "$name" -q -n -o OBJECT
    expect_output shm:0
    run --separate-stderr ipcns run -- "$IPCNS" delete -v "$name"
    expect_status 0
    expect_equal "$stderr" "ipcns: the name $name is gone; what was in its namespace, and whether somebody is inside, could not be found out from here"
    no_keeper "$name"
}

# bats test_tags=root
@test "what is there and no name is called that, and the host is nobody's leftover" {
    name=$(unique_name)
    : >"/run/ipcns/$name"
    run --separate-stderr ipcns create "$name"
    rm "/run/ipcns/$name"
    expect_status 1
    expect_error "/run/ipcns/$name is there, and no name"
    # And it goes whole when it is deleted as one.
    : >"/run/ipcns/$name"
    ipcns delete "$name" 2>/dev/null
    [[ -z $(find /run/ipcns -maxdepth 1 -type f ! -name .lock) ]]
    # Whose registry it is the effective user decides: who is root for another one is root.
    setpriv --ruid games "$IPCNS" create "$name"
    [[ -e /run/ipcns/$name/ipc ]]
    ipcns delete "$name"
    # Everybody is in there, and nothing is wrong with that.
    ipcns attach "$name" host
    run --separate-stderr ipcns delete "$name"
    expect_status 0
    [[ -z $stderr ]]
    # A name that is gone says so.
    ipcns create "$name"
    umount "/run/ipcns/$name/ipc"
    run --separate-stderr ipcns exec "$name" -- true
    ipcns delete "$name"
    expect_status 125
    expect_error "hint: it is gone; \`ipcns delete $name\` takes the name away"
}

# --- keepers ---------------------------------------------------------------------------------------------------

# bats test_tags=user
@test "when its keeper is killed a name is gone, and can be made again" {
    need_userns
    name=$(unique_name)
    ipcns create "$name"
    keeper=$(keepers_of "$name")
    kill -KILL "$keeper"
    wait_until 10 gone "$keeper"
    run --separate-stderr ipcns exec "$name" -- true
    expect_status 125
    expect_error "$name"
    run ipcns list -n -o NAME
    [[ $output != *"$name"* ]]
    ipcns create "$name"
    ipcns exec "$name" -- true
    [[ $(keepers_of "$name") != "$keeper" ]]
    ipcns delete "$name"
    no_keeper "$name"
}

# bats test_tags=user
@test "a keeper does not count as a process inside" {
    need_userns
    name=$(unique_name)
    ipcns create "$name"
    run --separate-stderr ipcns pids "$name"
    expect_status 0
    expect_output ''
    run ipcns list -n -o NAME,PROCS,PID,HELD
    grep -qE "^$name +0 +- +keeper" <<<"$output"
    stay ipcns exec "$name" --
    run ipcns pids "$name"
    expect_output "$pid"
    run ipcns list -n -o NAME,PROCS,PID,HELD
    grep -qE "^$name +1 +$pid +process,keeper" <<<"$output"
}

# bats test_tags=user
@test "the keepers of all names of a namespace are set apart, wherever they are among its processes" {
    need_userns
    name=$(unique_name) second=$(unique_name) late=$(unique_name)
    ipcns create "$name"
    ipcns attach "$second" "$name"
    stay ipcns run --
    ipcns attach "$late" "$pid"
    run ipcns list -n -o NAME,PROCS,PID,HELD
    grep -qE "^($name,$second|$second,$name) +0 +- +keeper" <<<"$output"
    grep -qE "^$late +1 +$pid +process,keeper" <<<"$output"
    run --separate-stderr ipcns pids "$name"
    expect_output ''
    # Nobody is inside, then; and the other name is not for --kill to end.
    run --separate-stderr ipcns delete --kill "$second"
    expect_status 0
    expect_equal "$output$stderr" ''
    ipcns attach "$second" "$name"
    run --separate-stderr ipcns delete --kill "$name"
    expect_status 0
    expect_equal "$output$stderr" ''
    ipcns exec "$second" -- true
}

@test "delete empties what create made, also where it has another name" {
    need_names
    name=$(unique_name) second=$(unique_name)
    ipcns create "$name"
    ipcns exec "$name" -- ipcmk --queue
    ipcns attach "$second" "$name"
    run --separate-stderr ipcns delete -v "$name"
    expect_status 0
    expect_equal "$stderr" "ipcns: $name deleted; removed 1 message queue"
    [[ -z $(ipcns exec "$second" -- sed 1d /proc/sysvipc/msg) ]]
}

# bats test_tags=user
@test "in a pid namespace that does not show its keeper a name is not taken for dead" {
    need_userns
    name=$(unique_name)
    other_name=$(unique_name)
    ipcns create "$name"
    elsewhere=(unshare --user --map-current-user --pid --fork --mount-proc "$IPCNS")
    "${elsewhere[@]}" --version || skip 'pid namespaces with a /proc of their own are not allowed'
    run --separate-stderr "${elsewhere[@]}" create "$name"
    expect_status 1
    expect_error "$name"
    run "${elsewhere[@]}" create "$other_name"
    run "${elsewhere[@]}" delete "$name"
    keeper=$(keepers_of "$name")
    [[ -n $keeper ]]
    ipcns exec "$name" -- true
}

@test "programs in one name may use the others" {
    need_names
    one=$(unique_name) two=$(unique_name)
    ipcns create "$one"
    # Root in the namespace of a name is root still; an ordinary user has a user namespace of its own there.
    run --separate-stderr ipcns exec "$one" -- "$IPCNS" identify -n -o NAME
    expect_status 0
    expect_output "$one"
    run --separate-stderr ipcns exec "$one" -- "$IPCNS" list -n -o NAME
    expect_status 0
    expect_in_output "$one"
    ipcns create "$two"
    run --separate-stderr ipcns exec "$one" -- "$IPCNS" delete "$two"
    # Whether or not that is possible, it is never half done.
    if ((status == 0)); then
        run -125 ipcns exec "$two" -- true
    else
        ipcns exec "$two" -- true
    fi
    ipcns exec "$one" -- true
}

# --- identify, pids --------------------------------------------------------------------------------------------

@test "identify says the namespace and the name of the caller and of a process" {
    need_names
    need jq
    name=$(unique_name)
    ipcns create "$name"
    host=$(inode "$(host_ns)")
    run -0 ipcns identify
    [[ ${lines[0]} =~ ^\ *NS\ NAME$ && ${lines[1]} == "$host host" ]]
    expect_equal "${#lines[@]}" 2
    run -0 ipcns identify -n -o name,ns
    expect_output "host $host"
    stay ipcns exec "$name" --
    run -0 ipcns identify "$pid" -n
    expect_output "$(inode "$(ns_of "$pid")") $name"
    run -0 ipcns identify --json "$pid" -o +PID
    expect_equal "$(json '[.ns, .name, .pid] | @text')" "[$(inode "$(ns_of "$pid")"),\"$name\",$pid]"
    run -0 ipcns exec "$name" -- "$IPCNS" identify -n -o NAME
    expect_output "$name"
    run -0 ipcns run -- "$IPCNS" identify -n -o NAME
    expect_output '-'
    run --separate-stderr ipcns identify 999999999
    expect_status 1
    expect_error 999999999
    for word in x 12x 0 -1 99999999999; do
        run --separate-stderr ipcns identify -- "$word"
        expect_status 2
        expect_error "'$word' is not a process id"
    done
}

@test "pids lists who is inside, by every kind of target" {
    need_names
    need jq
    name=$(unique_name)
    ipcns create "$name"
    stay ipcns exec "$name" --
    first=$pid
    stay ipcns exec "$name" --
    ns=$(ns_of "$pid")
    both=$(printf '%s\n' "$first" "$pid" | sort -n)
    for target in "$name" "$pid" "@$(inode "$ns")" "$ns" "/proc/$pid/ns/ipc" "$(registry)/$name/ipc"; do
        run --separate-stderr ipcns pids "$target"
        expect_status 0
        expect_output "$both"
    done
    run -0 ipcns pids self
    grep -qx $$ <<<"$output"
    run -0 ipcns pids host
    grep -qx $$ <<<"$output"
    run -0 ipcns pids -l "$name"
    [[ ${lines[0]} =~ ^\ *PID\ USER\ +COMMAND$ && ${#lines[@]} == 3 ]]
    grep -qE "^ *$pid +$(id -un) +sleep 1000\$" <<<"$output"
    run -0 ipcns pids -n -o UID,PID "$name"
    grep -qxE " *$EUID +$pid" <<<"$output"
    run -0 ipcns pids --json "$name"
    # shellcheck disable=SC2016 # jq's
    expect_equal "$(json --arg pid "$pid" '.processes[] | select(.pid == ($pid | tonumber)) | .command')" 'sleep 1000'
    expect_equal "$(json .ns)" "$(inode "$ns")"
    run --separate-stderr ipcns pids no-such-name
    expect_status 1
    expect_error no-such-name
}

# --- monitor ---------------------------------------------------------------------------------------------------

lines_of() { # NAME FILE
    grep -F -- "$1" "$2" || true
}

@test "monitor prints names as they come and go" {
    need_names
    name=$(unique_name)
    probe=$(unique_name)
    "$IPCNS" monitor >lines 2>errors 3>\&- &
    watcher=$!
    remember_pid "$watcher"
    # It is watching once it has told of a name.
    until grep -q "created $probe" lines; do
        gone "$watcher" && cat errors && return 1
        ipcns create "$probe"
        ipcns delete "$probe"
    done
    ipcns create "$name"
    ipcns delete "$name"
    wait_until 20 grep -qx "deleted $name" lines
    expect_equal "$(grep -F -- "$name" lines)" "created $name"$'\n'"deleted $name"
    # A name that is hidden while it is made is nobody's business.
    run ! grep -F .new- lines
    # Not SIGINT: a shell makes what it starts with & ignore that.
    kill -TERM "$watcher"
    status=0
    wait "$watcher" || status=$?
    [[ $status == 0 || $status == 143 ]]
}

@test "monitor --json prints a valid object a line" {
    need_names
    need jq
    name=$(unique_name)
    probe=$(unique_name)
    "$IPCNS" monitor --json >lines 2>errors 3>\&- &
    watcher=$!
    remember_pid "$watcher"
    until grep -q "$probe" lines; do
        gone "$watcher" && cat errors && return 1
        ipcns create "$probe"
        ipcns delete "$probe"
    done
    ipcns create "$name"
    ns=$(inode "$(ns_of_name "$name")")
    # The number is looked up when the name appears.
    wait_until 20 grep -q "created.*$name" lines
    ipcns delete "$name"
    wait_until 20 grep -q "deleted.*$name" lines
    kill -TERM "$watcher"
    wait "$watcher" || true
    expect_equal "$(jq -r --arg name "$name" 'select(.name == $name) | [.event, .ns // "none"] | join(" ")' lines)" \
        "created $ns"$'\n''deleted none'
    jq -r .time lines | while read -r time; do
        [[ $time =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]+)?Z$ ]]
    done
}

@test "monitor ends when its output cannot be written" {
    need_names
    name=$(unique_name)
    for option in '' --json; do
        # shellcheck disable=SC2086 # none or one
        "$IPCNS" monitor $option >/dev/full 2>errors 3>\&- &
        watcher=$!
        remember_pid "$watcher"
        tries=0
        until gone "$watcher"; do
            ((++tries <= 500))
            ipcns create "$name"
            ipcns delete "$name"
        done
        status=0
        wait "$watcher" || status=$?
        expect_status 1
        stderr=$(<errors)
        expect_error 'write to standard output: No space left on device'
    done
}

# bats test_tags=user
@test "monitor works before there is a registry" {
    need_userns
    name=$(unique_name)
    export XDG_RUNTIME_DIR=$work/fresh
    mkdir -m 700 "$XDG_RUNTIME_DIR"
    "$IPCNS" monitor >lines 2>errors 3>\&- &
    watcher=$!
    remember_pid "$watcher"
    until grep -q "created $name" lines; do
        gone "$watcher" && cat errors && return 1
        ipcns create "$name"
        ipcns delete "$name"
    done
}
