#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# Where the kernel, a policy or the machine says no, ipcns says which and what to do, does what can still be done, and
# leaves nothing half done. No setting of the host is touched: limits are set in user namespaces made for it, missing
# files are hidden in mount namespaces.

# shellcheck disable=SC2154 # stderr is bats', open and other are names.bash's
# shellcheck disable=SC2016 # what is in single quotes is for the inner shell

load common
load names

setup() {
    common_setup
    export programs
}

teardown() {
    if [[ -n ${victim-} ]]; then umount "$victim/dev" 2>/dev/null || true; fi
    names_teardown
}

# Runs a script in a user namespace of which it is root, and in which it may set limits for what comes below.
below() { # SCRIPT [ARGUMENT...]
    local script=$1
    shift
    unshare --user --map-root-user --mount sh -c "$script" - "$@" 3>&-
}

# Runs a script where it may mount what it likes; /run is its own.
apart() { # SCRIPT [ARGUMENT...]
    local script=$1
    shift
    unshare --mount --propagation slave sh -c "mount -t tmpfs -o mode=755 tmpfs /run || exit; $script" - "$@" 3>&-
}

# The one line that a refused command prints, and its hint with these words.
expect_hint() { # TEXT
    expect_error 'ipcns: '
    [[ $stderr == *$'\n'"hint: "*"$1"* ]] || {
        printf 'expected a hint with "%s", got:\n%s\n' "$1" "$stderr"
        return 1
    }
}

no_caps='setpriv --inh-caps=-all --bounding-set=-all'
less_caps='setpriv --inh-caps=-sys_admin --bounding-set=-sys_admin'

@test "user namespaces switched off" {
    need_userns
    need setpriv
    for command in 'run touch made' 'run --strict touch made' 'create x' 'run --exec touch made'; do
        run --separate-stderr below "echo 0 >/proc/sys/user/max_user_namespaces; $no_caps \"\$IPCNS\" $command"
        [[ $status == 125 || ($status == 1 && $command == create*) ]]
        expect_hint 'sysctl user.max_user_namespaces'
        [[ ! -e made ]]
    done
    # Looking is still allowed.
    run --separate-stderr below "echo 0 >/proc/sys/user/max_user_namespaces; $no_caps \"\$IPCNS\" list -n -q"
    expect_status 0
}

@test "no more IPC namespaces allowed" {
    need_userns
    for command in 'run touch made' 'create x' 'run --name x touch made'; do
        run --separate-stderr below "echo 0 >/proc/sys/user/max_ipc_namespaces; \"\$IPCNS\" $command"
        [[ $status == 125 || ($status == 1 && $command == create*) ]]
        expect_hint 'max_ipc_namespaces'
        [[ ! -e made ]]
    done
    # The second is one too many: the first stays as it is.
    run --separate-stderr below 'echo 1 >/proc/sys/user/max_ipc_namespaces
        "$IPCNS" run -- sh -c "\"\$IPCNS\" run true; echo \$?"'
    expect_status 0
    expect_output 125
    expect_hint 'max_ipc_namespaces'
}

@test "of the limits on namespaces the message names the one that is reached" {
    need_userns
    need setpriv
    for kind in ipc mnt pid net uts; do
        run --separate-stderr below "echo 0 >/proc/sys/user/max_${kind}_namespaces; \"\$IPCNS\" run --strict touch made"
        expect_status 125
        expect_hint "user.max_${kind}_namespaces is reached, which is 0 here"
        # The same without privileges, where a user namespace is asked for as well.
        run --separate-stderr below "echo 0 >/proc/sys/user/max_${kind}_namespaces
            $no_caps \"\$IPCNS\" run --strict touch made"
        expect_status 125
        expect_hint "user.max_${kind}_namespaces is reached, which is 0 here"
    done
    # Room for one user namespace, where --limit takes two.
    run --separate-stderr below "echo 1 >/proc/sys/user/max_user_namespaces
        $less_caps \"\$IPCNS\" run true && $less_caps \"\$IPCNS\" run --limit shmmni=9 touch made"
    expect_status 125
    expect_hint 'user.max_user_namespaces is reached, which is 1 here'
    [[ ! -e made ]]
}

@test "no user namespaces in a chroot, as in a container that forbids them" {
    need_userns
    need setpriv
    mkdir jail
    for command in 'run true' 'create x'; do
        run --separate-stderr below "mount --rbind / \"\$PWD/jail\" && exec chroot jail $no_caps \"\$IPCNS\" $command"
        [[ $status == 125 || ($status == 1 && $command == create*) ]]
        expect_hint 'CAP_SYS_ADMIN'
    done
}

# bats test_tags=root
@test "root without CAP_SYS_ADMIN is an ordinary user, and all works by user namespaces" {
    need_userns
    need setpriv
    export XDG_RUNTIME_DIR=$work/runtime
    mkdir -m 700 "$XDG_RUNTIME_DIR"
    # shellcheck disable=SC2086 # words
    run --separate-stderr $less_caps sh -ec '
        "$IPCNS" run -- sh -c "echo \$(id -u); ! ls /run/ipcns/less"
        "$IPCNS" create less
        "$IPCNS" exec less -- sh -c "ipcmk -Q >/dev/null; : >/dev/shm/f; id -u"
        "$IPCNS" delete -v less' 3>&-
    expect_status 0
    expect_output $'0\n0'
    [[ $stderr == *'removed 1 message queue'* ]]
    # Without CAP_SETFCAP not even that.
    run --separate-stderr setpriv --inh-caps=-all --bounding-set=-all "$IPCNS" run true 3>&-
    expect_status 125
    expect_hint CAP_S
    [[ -z $(find "$XDG_RUNTIME_DIR" -mindepth 2 ! -name .lock) ]]
}

# bats test_tags=root
@test "tests that need what root has not got are skipped, and say what would allow them" {
    need setpriv
    test_one=("$IPCNS_TREE/tests/system/run-test")
    # shellcheck disable=SC2086 # words
    run $less_caps "${test_one[@]}" root "$IPCNS_BUILD" "$IPCNS_TREE/tests/system/smoke.bats" '--version prints the name and the version' 3>&-
    expect_status 77
    expect_in_output 'skipped: needs CAP_SYS_ADMIN'
    run "${test_one[@]}" root "$IPCNS_BUILD" "$IPCNS_TREE/tests/system/smoke.bats" '--version prints the name and the version' 3>&-
    expect_status 0
    need_userns
    # No number but root's.
    run unshare --user --map-root-user "${test_one[@]}" user "$IPCNS_BUILD" "$IPCNS_TREE/tests/system/smoke.bats" '--version prints the name and the version' 3>&-
    expect_status 77
    expect_in_output 'skipped: the account'
}

@test "root of a user namespace, as in a rootless container" {
    need_userns
    export XDG_RUNTIME_DIR=$work/runtime
    mkdir -m 700 "$XDG_RUNTIME_DIR"
    run --separate-stderr below 'set -e
        mount -t tmpfs -o mode=755 tmpfs /run
        "$IPCNS" run -- sh -c "ipcmk -Q >/dev/null; : >/dev/shm/f; id -u"
        "$IPCNS" create --shm-size 1M --limit shmmni=9 deep
        "$IPCNS" exec deep -- sh -c "cat /proc/sys/kernel/shmmni; stat -f -c %T /dev/shm; stat -f -c %T /run/ipcns/deep/ipc"
        "$IPCNS" delete deep'
    expect_status 0
    expect_output $'0\n9\ntmpfs\nnsfs'
    [[ -z $stderr ]]
    # Where /run is the host's, which it may not write to, it uses its own folder.
    run --separate-stderr below 'set -e
        mount --bind -o ro /run /run 2>/dev/null || true
        [ ! -w /run ] || { echo writable; exit 0; }
        "$IPCNS" run -- true
        "$IPCNS" list -q -n >/dev/null'
    expect_status 0
}

# bats test_tags=root
@test "a /run that cannot be written" {
    run --separate-stderr apart 'mount -o remount,ro /run
        "$IPCNS" run -- echo works && "$IPCNS" list -n -q >/dev/null && "$IPCNS" identify -n -o NAME && "$IPCNS" create x'
    expect_status 1
    expect_output $'works\nhost'
    expect_hint writable
    run --separate-stderr apart 'mount -o remount,ro /run; "$IPCNS" run --name x -- touch made'
    expect_status 125
    expect_hint writable
    run --separate-stderr apart 'mount -o remount,ro /run; "$IPCNS" monitor'
    expect_status 1
    expect_error /run
    [[ ! -e made ]]
    # With names in it from before.
    for command in 'create y' 'delete x' 'attach y x'; do
        run --separate-stderr apart '"$IPCNS" create x || exit 9
            mount -o remount,ro /run/ipcns; "$IPCNS" exec x -- echo works; "$IPCNS" '"$command"
        expect_status 1
        expect_output works
        expect_error /run/ipcns/.lock
        expect_hint writable
    done
}

# bats test_tags=user
@test "a runtime folder that cannot be written" {
    need_userns
    ipcns create here
    ipcns delete here
    for command in 'create x' 'run --name x -- touch made'; do
        run --separate-stderr below 'mount --bind "$XDG_RUNTIME_DIR" "$XDG_RUNTIME_DIR" &&
            mount -o remount,bind,ro "$XDG_RUNTIME_DIR" && "$IPCNS" '"$command"
        [[ $status == 125 || ($status == 1 && $command == create*) ]]
        expect_error "$XDG_RUNTIME_DIR/ipcns/.lock"
        expect_hint XDG_RUNTIME_DIR
    done
    [[ ! -e made ]]
}

# bats test_tags=root
@test "root of a user namespace without a mount namespace of its own" {
    need_userns
    run --separate-stderr apart '"$IPCNS" create x && "$IPCNS" delete x || exit 9
        unshare --user --map-root-user "$IPCNS" run -- echo works
        unshare --user --map-root-user "$IPCNS" create x'
    expect_status 1
    expect_output works
    expect_hint 'unshare --mount'
}

# bats test_tags=root
@test "a registry that belongs to somebody else or is open to others" {
    somebody_else
    run --separate-stderr apart 'mkdir /run/ipcns; chown "$1" /run/ipcns; "$IPCNS" create x' "$other"
    expect_status 1
    expect_hint 'belong to you'
    run --separate-stderr apart 'mkdir -m 777 /run/ipcns; chmod 777 /run/ipcns; "$IPCNS" create x'
    expect_status 1
    expect_hint 'writable by nobody else'
    run --separate-stderr apart 'mkdir /run/else; ln -s else /run/ipcns; "$IPCNS" create x; status=$?; ls -A /run/else
        exit $status'
    expect_status 1
    expect_output ''
    run --separate-stderr apart ': >/run/ipcns; "$IPCNS" create x'
    expect_status 1
    expect_error /run/ipcns
}

# bats test_tags=root
@test "a /proc/sys that cannot be written" {
    run --separate-stderr apart 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit
        "$IPCNS" run true || exit
        "$IPCNS" run --limit shmmni=5 -- touch made'
    expect_status 125
    expect_hint 'read-only'
    [[ ! -e made ]]
    run --separate-stderr apart 'mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys || exit
        "$IPCNS" create --limit shmmni=5 x; status=$?; ls /run/ipcns; exit $status'
    expect_status 1
    expect_output ''
    expect_hint 'read-only'
}

# A /dev with these folders only.
bare_dev='mkdir dev && mount -t tmpfs tmpfs dev || exit
    for node in null zero full urandom tty; do : >dev/$node; mount --bind /dev/$node dev/$node; done
    for folder in $folders; do mkdir dev/$folder; done
    mount -n --move dev /dev || exit
'

# bats test_tags=root
@test "neither /dev/shm nor /dev/mqueue" {
    run --separate-stderr apart "folders=; $bare_dev"'set -e
        "$IPCNS" run -v -- sh -c "ipcmk -Q >/dev/null; ls /dev/shm /dev/mqueue 2>/dev/null; readlink /proc/self/ns/ipc"
        "$IPCNS" create x
        "$IPCNS" exec x -- "$programs/posix_ipc" make mq /jobs
        ls /run/ipcns/x/mqueue
        "$IPCNS" delete -v x'
    expect_status 0
    [[ ${lines[0]} == ipc:* && ${lines[0]} != "$(host_ns)" ]]
    expect_equal "${lines[1]}" jobs
    [[ $stderr == *'no /dev/shm'* && $stderr == *'1 POSIX queue'* ]]
}

# bats test_tags=root
@test "a /dev/mqueue folder shows the queues of the namespace, in run and in exec" {
    need_program posix_ipc
    run --separate-stderr apart "folders='shm mqueue'; $bare_dev"'set -e
        mount -t mqueue mqueue /dev/mqueue
        "$programs/posix_ipc" make mq /the-host || exit 9
        trap "rm -f /dev/mqueue/the-host" EXIT
        "$IPCNS" run -- sh -c "\"\$programs/posix_ipc\" make mq /in-run; ls /dev/mqueue"
        "$IPCNS" run --ipc-only -- ls /dev/mqueue
        "$IPCNS" create x
        "$IPCNS" exec x -- "$programs/posix_ipc" make mq /in-x
        "$IPCNS" exec x -- ls /dev/mqueue
        ls /run/ipcns/x/mqueue
        "$IPCNS" exec x -- sh -c "exec sleep 1000" & sleeper=$!
        until [ "$(readlink /proc/$sleeper/ns/ipc)" = "$("$IPCNS" exec x -- readlink /proc/self/ns/ipc)" ]; do sleep 0.1; done
        "$IPCNS" exec $sleeper -- ls /dev/mqueue
        kill $sleeper
        wait $sleeper || true
        "$IPCNS" delete x
        ls /dev/mqueue'
    expect_status 0
    expect_output $'in-run\nthe-host\nin-x\nin-x\nin-x\nthe-host'
}

# bats test_tags=user
@test "a /dev/mqueue folder shows the queues of an ordinary user's namespace" {
    need_userns
    need_program posix_ipc
    run --separate-stderr below "folders='shm mqueue'; $bare_dev"'set -e
        "$IPCNS" run -- sh -c "\"\$programs/posix_ipc\" make mq /in-run; ls /dev/mqueue"
        $1 "$IPCNS" run -- sh -c "\"\$programs/posix_ipc\" make mq /in-run; ls /dev/mqueue"
        $1 "$IPCNS" create x
        $1 "$IPCNS" exec x -- "$programs/posix_ipc" make mq /in-x
        $1 "$IPCNS" exec x -- ls /dev/mqueue
        ls "$XDG_RUNTIME_DIR/ipcns/x/mqueue/"
        $1 "$IPCNS" delete x
        ls /dev/mqueue' "$less_caps"
    expect_status 0
    expect_output $'in-run\nin-run\nin-x\nin-x'
}

# bats test_tags=root
@test "no /proc" {
    for command in 'run true' 'create x' list identify 'pids self' 'exec self true' 'run --name x true' 'delete x'; do
        run --separate-stderr apart "mount -t tmpfs tmpfs /proc; \"\$IPCNS\" $command; status=\$?; ls /run/ipcns 2>/dev/null
            exit \$status"
        if [[ $status == 0 && $command == run* ]]; then continue; fi
        [[ $status == 1 || $status == 125 ]]
        expect_output ''
        expect_error /proc
        [[ $command == run* ]] || expect_hint 'mount'
    done
}

@test "a /proc that cannot be written" {
    need_userns
    need setpriv
    export XDG_RUNTIME_DIR=$work/runtime
    mkdir -m 700 "$XDG_RUNTIME_DIR"
    for command in 'run touch made' 'create x' 'run --strict touch made'; do
        run --separate-stderr below "mount --rbind /proc /proc && mount -o remount,bind,ro /proc && $less_caps \"\$IPCNS\" $command"
        [[ $status == 125 || ($status == 1 && $command == create*) ]]
        expect_error 'Read-only file system'
        expect_hint '/proc is read-only here'
    done
    [[ ! -e made ]]
}

@test "the command without its helper programs" {
    mkdir -p lone/bin
    cp "$IPCNS" lone/bin/
    for command in list 'create x' identify 'help list'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr lone/bin/ipcns $command
        # An installation of ipcns on this machine may help out.
        if ((status == 0)) && [[ -e /usr/local/libexec/ipcns ]]; then continue; fi
        expect_status 1
        expect_hint 'install it again'
        [[ $stderr == *ipcns-names* ]]
    done
    is_root || need_userns
    run -0 lone/bin/ipcns run -- echo works
    expect_output works
    run -0 lone/bin/ipcns --help
}

# bats test_tags=user
@test "no keeper program" {
    need_userns
    mkdir -p lone/bin lone/libexec/ipcns
    cp "$IPCNS" lone/bin/
    cp "${IPCNS%/*}/../libexec/ipcns/ipcns-names" lone/libexec/ipcns/
    [[ ! -e /usr/local/libexec/ipcns/ipcns-keeper ]] || skip 'ipcns is installed here'
    run --separate-stderr lone/bin/ipcns create x
    expect_status 1
    expect_error ipcns-keeper
    [[ -z $(find "$XDG_RUNTIME_DIR/ipcns" -mindepth 1 ! -name .lock) ]]
}

# With few descriptors anything may fail, but what can't be looked at may not be taken for dead.
few_descriptors() {
    local limit command status said
    ipcns create precious
    ipcns exec precious -- sh -c 'echo kept >/dev/shm/kept'
    for limit in {3..24}; do
        for command in 'create precious' 'create other' 'attach precious self' list 'pids precious' identify \
            'run true' 'run --name other true' 'exec precious true' 'delete other'; do
            status=0
            # shellcheck disable=SC2086 # words
            said=$(ulimit -n "$limit" && exec timeout 20 "$IPCNS" $command 2>&1 3>&-) || status=$?
            # 127: the dynamic loader itself had too few.
            [[ $status == [012] || $status == 125 || $status == 127 ]] || {
                printf '%s with %s descriptors: %s %s\n' "$command" "$limit" "$status" "$said"
                return 1
            }
            if [[ -e $(registry)/other ]]; then ipcns delete other; fi
        done
        [[ $(ipcns exec precious -- cat /dev/shm/kept) == kept ]] || {
            printf 'gone after %s descriptors\n' "$limit"
            return 1
        }
    done
    ipcns delete precious
    registry_is_clean
}

@test "too few descriptors are a message, and harm no name" {
    is_root || need_userns
    run in_private_run few_descriptors
    expect_status 0
}

# bats test_tags=root
@test "no room in the registry leaves nothing" {
    run --separate-stderr unshare --mount --propagation slave sh -c '
        mount -t tmpfs -o mode=755 tmpfs /run
        mkdir /run/ipcns && mount -t tmpfs -o mode=755,nr_inodes=$1 tmpfs /run/ipcns
        "$IPCNS" create x; status=$?
        find /run/ipcns -mindepth 1 ! -name .lock
        exit $status' - 5 3>&-
    expect_status 1
    expect_output ''
    expect_error 'No space left'
}

@test "wrong words are named, with the command that does not know them" {
    for words in 'list x' 'show --bogus' 'create' 'make a msg 1 2 3' 'save a'; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns $words
        expect_status 2
        said+=${stderr%%$'\n'*}$'\n'
        expect_hint "ipcns ${words%% *} --help"
    done
    [[ $said == "ipcns: list: 'x' is one argument too many
ipcns: show has no option --bogus
ipcns: create: NAME is missing
ipcns: make: '2' is one argument too many
ipcns: save: FILE is missing
" ]] || { printf '%s' "$said"; return 1; }
}

# --- POSIX queues without a folder -----------------------------------------------------------------------------------

# bats test_tags=root
@test "POSIX queues that nobody may mount can still be made and removed by their names" {
    need_names
    somebody_else
    run --separate-stderr unshare --mount --ipc --propagation private bash -c '
        set -e
        umount -l /dev/mqueue 2>/dev/null || true
        ipcns=$1 other=$2 group=$3
        as() { setpriv --reuid "$other" --regid "$group" --clear-groups --inh-caps=-all -- "$@"; }
        refused() { # MESSAGE OBJECT
            local said status=0
            said=$("${who[@]}" "$ipcns" remove self "$2" 2>&1) || status=$?
            [[ $status == 1 && $said == *"$1"* ]] || { echo "$status: $said"; exit 1; }
        }
        who=(as)
        as "$ipcns" make self mq /mine
        as "$ipcns" remove self mq:/mine
        refused "there is no such object" mq:/mine
        "$ipcns" make self mq /of-root --mode 644
        "$ipcns" make self mq /hidden --mode 600
        refused "takes its owner, or root" mq:/of-root
        refused "Permission denied" mq:/hidden
        as "$ipcns" make self mq /write-only --mode 200
        as "$ipcns" remove self mq:/write-only
        mkdir -p "$4"
        mount -t mqueue none "$4"
        ls "$4"
    ' - "$open/bin/ipcns" "$other" "$(id -g "$other")" "$work/queues" 3>&-
    expect_status 0
    expect_output 'mq:/mine
mq:/of-root
mq:/hidden
mq:/write-only
hidden
of-root'
}

# --- whom root trusts ------------------------------------------------------------------------------------------

# A process of an ordinary user that is in an IPC namespace of its own; what the script mounts on its /dev/shm is his choice.
strange_shm() { # SCRIPT
    setpriv --reuid games --regid games --clear-groups unshare --user --map-root-user --ipc --mount sh -ec "
        $1
        echo up >&3; exec sleep 100" 3>"$work/up" &
    pid=$!
    remember_pid "$pid"
    wait_until 10 test -s "$work/up"
}

# bats test_tags=root
@test "a folder of the host that somebody calls his /dev/shm is not shown, read, emptied or filled" {
    victim=$(mktemp -d /tmp/victim.XXXXXX)
    printf '%s\n' "$victim" >>"$IPCNS_RUN_TEST/folders"
    mkdir -p "$victim/dev" "$victim/sub"
    chmod 755 "$victim"
    (umask 077 && echo secret >"$victim/file" && echo secret >"$victim/sub/file")
    mount -t tmpfs -o mode=755 tmpfs "$victim/dev"
    (umask 077 && echo secret >"$victim/dev/file")
    before=$(find "$victim" -printf '%p %m %u %s\n' | sort)
    name=$(unique_name)
    ipcns create --shm-size 1M "$name"
    ipcns make "$name" pshm /file --size 4K
    ipcns save "$name" saved.ipcns
    ipcns exec "$name" -- sh -c 'echo secret >/dev/shm/other'
    for script in "mount --rbind $victim /dev/shm" "mount -t tmpfs none /dev && ln -s $victim /dev/shm" \
        "mount --bind $victim/dev /dev/shm" "mount --rbind $victim/sub /dev/shm" "mount --rbind /run /dev/shm" \
        "mount --bind /run/ipcns/$name/shm /dev/shm"; do
        : >up
        strange_shm "$script"
        run ipcns show "$pid" -q -n -o OBJECT
        expect_output ''
        run ipcns show --all pshm -q
        [[ $output != *pshm:/file*pshm:/file* && $output != *victim* ]]
        for command in "peek $pid pshm:/file" "remove $pid pshm:/file" "make $pid pshm /made --size 4K" \
            "clear --yes $pid" "restore --into $pid saved.ipcns"; do
            # shellcheck disable=SC2086 # words
            run ipcns $command
            [[ $output != *secret* ]]
        done
        ipcns remove "$pid" --all --yes || true
        ipcns attach "$name.2" "$pid"
        ipcns clear --yes "$name.2" || true
        ipcns delete "$name.2" 2>/dev/null
        run ipcns diff "$pid" "$name"
        expect_equal "$(find "$victim" -printf '%p %m %u %s\n' | sort)" "$before"
        [[ $(cat "/run/ipcns/$name/shm/other") == secret ]]
        kill "$pid"
        wait "$pid" || true
    done

    ipcns delete "$name"
}

# bats test_tags=root
@test "the /dev/shm of an ordinary user's own is his, and known to root" {
    strange_shm 'mount -t tmpfs none /dev/shm; echo mine >/dev/shm/mine'
    run -0 ipcns show "$pid" -q -n -o OBJECT
    expect_output pshm:/mine
    run -0 ipcns show --all pshm -q -n -o OBJECT
    expect_in_output pshm:/mine
    run -0 ipcns remove "$pid" pshm:/mine
    kill "$pid"
    wait "$pid" || true
    # And what a name of root's has is known of whoever is inside, in whatever user namespace.
    name=$(unique_name)
    ipcns create "$name"
    ipcns make "$name" pshm /named --size 4K
    : >up
    "$IPCNS" exec "$name" -- sh -c 'exec setpriv --reuid games --regid games --clear-groups unshare --user --map-root-user --mount sh -c "
        echo up >&3; exec sleep 100"' 3>"$work/up" &
    pid=$!
    remember_pid "$pid"
    wait_until 10 test -s "$work/up"
    run -0 ipcns show "$pid" -q -n -o OBJECT
    expect_output pshm:/named
    kill "$pid"
    wait "$pid" || true
    ipcns delete "$name"
}

# bats test_tags=root
@test "a device where somebody has mounted a namespace is not opened, and a FIFO holds nobody up" {
    need strace
    device=$(mktemp -u "/dev/ipcns-test.XXXXXX")
    printf '%s\n' "$device" >>"$IPCNS_RUN_TEST/markers"
    mknod -m 600 "$device" c 1 5
    folder=$(mktemp -d /tmp/ipcns-test-d.XXXXXX)
    printf '%s\n' "$folder" >>"$IPCNS_RUN_TEST/folders"
    chmod 777 "$folder"
    for script in "mount --bind /proc/self/ns/ipc $device" \
        "mount -t tmpfs none $folder; : >$folder/x; mount --bind /proc/self/ns/ipc $folder/x; mount -t tmpfs none $folder; mkfifo $folder/x"; do
        : >up
        # Nobody stays inside: what is left is the mount.
        setpriv --reuid games --regid games --clear-groups unshare --user --map-root-user --mount sh -ec "
            unshare --ipc sh -ec '$script; echo up >&3'
            exec sleep 100" 3>"$work/up" &
        pid=$!
        remember_pid "$pid"
        wait_until 10 test -s "$work/up"
        inode=$(ipcns list -n -q -o NS,HELD --fds=never | awk '$2 == "mount" {print $1}' | head -n 1)
        [[ -n $inode ]]
        run timeout 10 strace -f -e trace=open,openat,openat2 -o trace "$IPCNS" list --objects
        expect_status 0
        run timeout 10 strace -f -e trace=open,openat,openat2 -o trace2 "$IPCNS" show "@$inode"
        ((status < 124))
        cat trace2 >>trace
        if grep -F "$device" trace | grep -vF O_PATH; then return 1; fi
        kill "$pid"
        wait "$pid" || true
    done
    rm "$device"
}

# bats test_tags=root
@test "who makes folders in a /dev/shm as fast as they go does not keep delete from its end" {
    name=$(unique_name)
    ipcns create "$name"
    (cd "/run/ipcns/$name/shm" && exec setpriv --reuid games --regid games --clear-groups \
        perl -e 'while (1) {for (1 .. 300) {mkdir "d$_"; mkdir "d$_/e"}}') 3>&- &
    maker=$!
    remember_pid "$maker"
    wait_until 10 test -d "/run/ipcns/$name/shm/d300/e"
    run timeout 60 "$IPCNS" delete "$name"
    kill "$maker"
    wait "$maker" || true
    ((status == 0 || status == 1))
    [[ ! -e /run/ipcns/$name && -z $(find /run/ipcns -maxdepth 1 -name '.old-*') ]]
}
