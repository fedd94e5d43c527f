# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# A real systemd, booted by systemd-nspawn in a root that debootstrap made. The root is made once and kept below build/;
# each test boots a copy of its own, and ends it by the number of its process.

# shellcheck disable=SC2154 # work is common.bash's

root_packages=systemd,systemd-sysv,dbus,libpam-systemd,postgresql

# Makes $root the root folder.
need_root_folder() {
    local status=0
    root=$("$IPCNS_TREE/scripts/debian-root" systemd "$root_packages" 3>&-) || status=$?
    if ((status == 77)); then skip "${root#skipped: }"; fi
    return "$status"
}

# A control group of the test's own in each hierarchy that systemd uses, so that nothing is left of the container's.
make_cgroups() { # FILE
    local id controllers path point options
    while IFS=: read -r id controllers path; do
        case $id:$controllers in
        0:) options=cgroup2 ;;
        *:name=systemd) options=name=systemd ;;
        *) continue ;;
        esac
        # The separator of mountinfo is " - "; the type follows, and the options of the superblock are last.
        point=$(sed -nE "s/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ ([^ ]+) .* - (cgroup2 .*|cgroup .*[ ,]$options(,.*)?)\$/\1 \2/p" /proc/self/mountinfo |
            awk -v wanted="$options" '(wanted == "cgroup2") == ($2 == "cgroup2") {print $1; exit}')
        [[ -n $point ]] || continue
        mkdir "$point${path%/}/ipcns-test-$$"
        printf '%s\n' "$point${path%/}/ipcns-test-$$" >>"$1"
    done </proc/self/cgroup
    [[ -s $1 ]]
}

# Boots it with ipcns in /usr/local, and with what the test has put into $work/container/files. May be called once.
boot_container() { # [with-cluster]
    local folder=$work/container component
    mkdir -p "$folder/files/usr/local/bin" "$folder/files/usr/local/libexec"
    cp "$IPCNS" "$folder/files/usr/local/bin/"
    cp -r "$IPCNS_BUILD/libexec/ipcns" "$folder/files/usr/local/libexec/"
    for component in systemd pam; do
        DESTDIR=$folder/files cmake --install "$IPCNS_BUILD" --component $component --prefix /usr/local >install.log
        rm -f "$IPCNS_BUILD/install_manifest_$component.txt"
    done
    # Debian makes a cluster when the package is installed, which hardly a test wants.
    if [[ ${1-} != with-cluster ]]; then
        mkdir -p "$folder/files/etc/systemd/system"
        ln -s /dev/null "$folder/files/etc/systemd/system/postgresql@.service"
    fi
    # Kept over a reboot.
    mkdir -p "$folder/files/var/log/journal"
    make_cgroups "$folder/cgroups" || skip 'control groups cannot be made here'
    # In a pid namespace of its own: when its first process is killed, so is everything in it.
    setsid unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$BATS_TEST_DIRNAME/boot-container" "$root" "$folder" \
        </dev/null >console 2>&1 3>&- &
    booting=$!
    remember_pid "$booting"
    is_up
}

# Waits until it has booted; $container becomes its process 1.
is_up() {
    container=
    { wait_until 60 find_container && wait_until 60 has_booted; } || {
        tail -n 50 console
        return 1
    }
}

# The only systemd below.
find_container() {
    gone "$booting" && return # has_booted says so
    container=$(systemd_below "$booting")
    [[ -n $container ]]
}

systemd_below() { # PID
    local pid
    for pid in $(ps -o pid= --ppid "$1"); do
        if [[ $(ps -o comm= -p "$pid") == systemd ]]; then
            printf '%s' "$pid"
        else
            systemd_below "$pid"
        fi
    done
}

has_booted() {
    [[ -n $container ]] || return
    # Asked too early, it may never answer.
    [[ $(patience=3 in_container systemctl is-system-running 2>/dev/null) == @(running|degraded) ]]
}

in_container() { # COMMAND...
    timeout "${patience:-60}" nsenter --target "$container" --mount --uts --ipc --net --pid --root -- \
        env -i -C / PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 "$@" 3>&-
}

# Limits can be set: nspawn mounts /proc/sys read-only.
allow_limits() { in_container mount -o remount,bind,rw /proc/sys; }

reboot_container() {
    local before=$container
    kill -s RTMIN+5 "$container" # systemd(1): reboot, without an answer that one could wait for
    wait_until 60 gone "$before"
    is_up
}

end_container() {
    local folder=$work/container cgroup
    if [[ -n ${booting-} ]]; then
        kill -KILL "$booting" 2>/dev/null || true
        wait "$booting" 2>/dev/null || true
    fi
    [[ -e $folder/cgroups ]] || return 0
    while IFS= read -r cgroup; do
        # Its processes may take a moment to end.
        wait_until 10 remove_cgroup "$cgroup" || printf 'cannot remove %s\n' "$cgroup"
    done <"$folder/cgroups"
}

remove_cgroup() { [[ ! -d $1 ]] || { find "$1" -depth -type d -exec rmdir {} + 2>/dev/null; [[ ! -d $1 ]]; }; }

# --- units --------------------------------------------------------------------------------------------------------

# A unit of the container, from standard input.
add_unit() { # NAME
    mkdir -p "$work/container/files/etc/systemd/system/$(dirname "$1")"
    cat >"$work/container/files/etc/systemd/system/$1"
}

# A command inside the namespaces of a unit's main process.
in_unit() { # UNIT COMMAND...
    local pid
    pid=$(in_container systemctl show --property MainPID --value "$1")
    [[ $pid != 0 ]] || return
    shift
    in_container nsenter --target "$pid" --mount --ipc -- "$@"
}

ns_of_unit() { # UNIT
    in_unit "$1" readlink /proc/self/ns/ipc
}

journal_of() { # UNIT [JOURNALCTL-OPTION...]
    in_container journalctl --no-pager --output=cat --unit "$@"
}
