#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# pam_ipcns.so, by su and pamtester, as three users that there are for the test alone.
#
# bats file_tags=root, seconds:60

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # other shells expand the scripts; what is loaded sets the variables

load common
load pam

setup() {
    common_setup
    need su pamtester python3
    [[ -e $IPCNS_BUILD/lib/security/pam_ipcns.so ]] || skip 'the PAM module is not built: no security/pam_modules.h'
}

# --- what is shared, and how long ---------------------------------------------------------------------------------

sharing() {
    service su linger=0 shm_size=1M limit=shmmni=7
    begin_session 1 ipcnsa
    first=$ns
    [[ $first != "$home" ]]
    as ipcnsa 'ipcmk -Q >/dev/null; echo mine >/dev/shm/file'
    # A second session of the same user finds it all, with limits and size.
    [[ $(as ipcnsa 'readlink /proc/self/ns/ipc') == "$first" ]]
    [[ $(as ipcnsa 'tail -n +2 /proc/sysvipc/msg | wc -l; cat /dev/shm/file /proc/sys/kernel/shmmni') == $'1\nmine\n7' ]]
    [[ $(as ipcnsa 'df --block-size=1 --output=size /dev/shm' | tail -n 1) -eq 1048576 ]]
    # Another user finds nothing of it, neither inside nor by the name's folder.
    begin_session 2 ipcnsb
    [[ $ns != "$first" && $ns != "$home" ]]
    [[ -z $(as ipcnsb 'tail -n +2 /proc/sysvipc/msg; ls /dev/shm') ]]
    if as ipcnsb 'ls /run/ipcns/user-61001/shm' || as ipcnsb 'echo >/run/ipcns/user-61001/shm/theirs'; then false; fi
    # Nor does whoever has no session.
    [[ -z $(tail -n +2 /proc/sysvipc/msg) && -z $(ls /dev/shm) ]]
    # What else is mounted on the host has no name here.
    [[ $("$IPCNS" list -q -n -o NAME | sort | grep -vx -- -) == $'host\nuser-61001\nuser-61002' ]]

    # The one that made it goes, another one stays: so does the namespace.
    begin_session 3 ipcnsa
    end_session 1
    "$IPCNS" create other
    [[ $(as ipcnsa 'cat /dev/shm/file') == mine ]]
    end_session 3
    wait_until 20 no_name user-61001
    logged 'user-61001 removed, and with it 1 System V objects, 0 POSIX queues, 1 files in /dev/shm'
    [[ -e /run/ipcns/user-61002 ]]
    end_session 2
    wait_until 20 no_name 'user-*'
}

@test "the sessions of a user share one namespace, that goes after the last" {
    in_private_system sharing
}

some_seconds() {
    service su linger=100000
    as ipcnsa 'ipcmk -Q; echo kept >/dev/shm/file'
    [[ $(as ipcnsa 'cat /dev/shm/file; tail -n +2 /proc/sysvipc/msg | wc -l') == $'kept\n1' ]]
}

@test "what was left is still there for who comes back at once" {
    in_private_system some_seconds
}

left_behind() {
    service su linger=0
    as ipcnsa 'setsid sh -c "echo \$\$ >/run/test/pid; echo here >/dev/shm/file; exec sleep 1000" >/dev/null 2>&1 &'
    wait_until 10 test -s "$open/pid"
    wait_until 10 test -s /run/ipcns/user-61001/shm/file
    # Others come and go, and the program that was left keeps what it has.
    [[ $(as ipcnsa 'cat /dev/shm/file') == here ]]
    "$IPCNS" create other
    [[ -e /run/ipcns/user-61001 ]]
    kill "$(<"$open/pid")"
    wait_until 20 no_name user-61001
}

@test "a program that outlives its session keeps the namespace" {
    in_private_system left_behind
}

each_its_own() {
    service su scope=session linger=0
    begin_session 1 ipcnsa
    first=$ns
    begin_session 2 ipcnsa
    [[ $first != "$ns" && $first != "$home" && $ns != "$home" ]]
    [[ $(compgen -G '/run/ipcns/session-61001-*' | wc -l) == 2 ]]
    end_session 1
    end_session 2
    wait_until 20 no_name 'session-*'
}

@test "scope=session gives each session its own" {
    in_private_system each_its_own
}

# --- races ------------------------------------------------------------------------------------------------------------

at_once() {
    local i
    service su linger=0
    # Eight that begin at the same time are all in the same one.
    for i in 1 2 3 4 5 6 7 8; do
        mkfifo -m 666 "$open/up$i" "$open/go$i"
        su ipcnsa -c "readlink /proc/self/ns/ipc >$open/up$i; read -r _ <$open/go$i" &
        session[i]=$!
    done
    for i in 1 2 3 4 5 6 7 8; do read -r "all[$i]" <"$open/up$i"; done
    [[ $(printf '%s\n' "${all[@]}" | sort -u) == "${all[1]}" ]]
    # They end while others begin: whoever begins is never without, nor in one that is on its way out.
    for i in 1 2 3 4 5 6 7 8; do
        echo >"$open/go$i" &
        as ipcnsa '[ "$(readlink /proc/self/ns/ipc)" != "'"$home"'" ] && ipcmk -Q >/dev/null && echo >/dev/shm/$$' &
        others[i]=$!
    done
    for i in "${others[@]}"; do wait "$i"; done
    wait_until 20 no_name 'user-*'
    others=()
    for i in 1 2 3 4 5 6 7 8 9 10; do
        as ipcnsa '[ "$(readlink /proc/self/ns/ipc)" != "'"$home"'" ] && ipcmk -Q >/dev/null' &
        others[i]=$!
    done
    for i in "${others[@]}"; do wait "$i"; done
    wait_until 20 no_name 'user-*'
    if grep -F pam_ipcns log; then false; fi
}

@test "logins at once share one, and logins meet log-outs without harm" {
    in_private_system at_once
}

killed() {
    service su linger=0
    begin_session 1 ipcnsa
    begin_session 2 ipcnsa
    kill_session() {
        local child
        child=$(ps -o pid= --ppid "${session[$1]}")
        kill -KILL "${session[$1]}"
        # shellcheck disable=SC2086 # numbers
        kill -KILL $child
        wait "${session[$1]}" 2>/dev/null || true
    }
    kill_session 1
    "$IPCNS" create other
    [[ $(as ipcnsa 'readlink /proc/self/ns/ipc') == "$ns" ]]
    kill_session 2
    wait_until 20 no_name user-61001
}

@test "who is killed is counted out" {
    in_private_system killed
}

# --- who is left out, and what goes wrong -----------------------------------------------------------------------------

left_out() {
    service su exclude_user=ipcnsa,nobody exclude_group=ipcnsg linger=0
    service rest min_uid=61003 linger=0
    [[ $(as ipcnsa 'readlink /proc/self/ns/ipc') == "$home" ]]
    [[ $(as ipcnsb 'readlink /proc/self/ns/ipc') == "$home" ]]
    [[ $(as root 'readlink /proc/self/ns/ipc') == "$home" ]]
    begin_session 1 ipcnsc
    [[ $ns != "$home" ]]
    # From somebody's session they come back to the host's, as its /dev/shm and its queues do. And what root mounts from
    # there is mounted for all.
    echo host >/dev/shm/host
    [[ $(as ipcnsc 'su root -c "readlink /proc/self/ns/ipc; cat /dev/shm/host; mount -t tmpfs tmpfs /mnt"') == "$home"$'\nhost' ]]
    grep -q ' /mnt ' /proc/self/mountinfo
    [[ $(as ipcnsc 'su ipcnsa -c "readlink /proc/self/ns/ipc"; readlink /proc/self/ns/ipc; ls /dev/shm') == "$home"$'\n'"$ns" ]]
    end_session 1
    cp /etc/pam.d/rest /etc/pam.d/su
    [[ $(as ipcnsb 'readlink /proc/self/ns/ipc') == "$home" && $(as ipcnsc 'readlink /proc/self/ns/ipc') != "$home" ]]
}

@test "users and groups that are left out stay in the host's, or come back to it" {
    in_private_system left_out
}

one_from_another() {
    service su linger=0
    begin_session 1 ipcnsb
    theirs=$ns
    # An ordinary user becomes another one, and is himself again afterwards. What is made for the other is known outside.
    as ipcnsa 'readlink /proc/self/ns/ipc; echo a >/dev/shm/a
        su ipcnsb -c "readlink /proc/self/ns/ipc; ls /dev/shm; su ipcnsc -c \"echo >/run/test/c; readlink /proc/self/ns/ipc\""
        readlink /proc/self/ns/ipc; ls /dev/shm' >seen
    mapfile -t seen <seen
    [[ ${#seen[@]} == 5 && ${seen[0]} == "${seen[3]}" && ${seen[4]} == a ]]
    [[ ${seen[1]} == "$theirs" && ${seen[2]} != "$theirs" && ${seen[2]} != "${seen[0]}" && ${seen[2]} != "$home" ]]
    end_session 1
    wait_until 20 no_name 'user-*'
    # What waits for the end of the inner one keeps nothing of the outer one alive.
    service su-l linger=100000
    as ipcnsa 'su -l ipcnsc -c true'
    wait_until 20 no_name user-61001
    [[ -e /run/ipcns/user-61003 ]]
}

@test "a session inside another user's session is as good as any" {
    in_private_system one_from_another
}

goes_wrong() {
    local word
    for word in scop=user scope=all shm_size=big limit=shmmx=1 linger=soon required=perhaps shm_size=; do
        service su "$word"
        [[ $(as ipcnsa 'readlink /proc/self/ns/ipc; echo in') == "$home"$'\nin' ]]
        service su "$word" required=yes
        if as ipcnsa 'echo in'; then false; fi
    done
    logged "'scop=user' is no setting of pam_ipcns"
    logged "there is no limit 'shmmx'"
    # What the kernel does not take.
    service su limit=msg_max=0
    [[ $(as ipcnsa 'readlink /proc/self/ns/ipc; echo in') == "$home"$'\nin' ]]
    logged 'set the limit msg_max=0'
    # A registry where nothing can be made.
    mkdir -p /run/ipcns
    mount -t tmpfs -o ro tmpfs /run/ipcns
    service su
    [[ $(as ipcnsa 'readlink /proc/self/ns/ipc; echo in') == "$home"$'\nin' ]]
    logged '/run/ipcns'
    service su required=yes
    if as ipcnsa 'echo in'; then false; fi
    pamtester su ipcnsa open_session && false
    umount /run/ipcns
    # Somebody who has stopped while he holds the lock.
    mkdir -p /run/ipcns
    mount -t tmpfs -o mode=755 tmpfs /run/ipcns
    service su
    flock /run/ipcns/.lock sleep 1000 &
    wait_until 10 test -e /run/ipcns/.lock
    [[ $(as ipcnsa 'readlink /proc/self/ns/ipc; echo in') == "$home"$'\nin' ]]
    logged 'somebody else holds it'
}

@test "nobody is locked out when something is wrong, unless required=yes" {
    in_private_system goes_wrong
}

comes_back() {
    service mine linger=0
    pamtester -v mine ipcnsa open_session close_session
    wait_until 20 no_name 'user-*'
    python3 "$IPCNS_TREE/tests/integration/pam_caller.py" mine ipcnsa >seen
    cat seen
    # The thread that opens it moves, and is exactly where it was afterwards; the other one never moves.
    [[ $(grep -E '^(before|after)' seen | cut -d ' ' -f 3- | sort -u | wc -l) == 1 ]]
    [[ $(grep '^inside other' seen | cut -d ' ' -f 3-) == "$(grep '^before other' seen | cut -d ' ' -f 3-)" ]]
    [[ $(grep -c "^inside opens $home" seen || true) == 0 ]]
    # A child that ends PAM's handle stays inside.
    [[ $(grep '^child' seen | cut -d ' ' -f 3-) == "$(grep '^inside opens' seen | cut -d ' ' -f 3-)" ]]
    wait_until 20 no_name 'user-*'
}

@test "a program of several threads opens and closes sessions, and is where it was" {
    in_private_system comes_back
}

said_or_gone() { [[ -s log ]] || no_name 'user-*'; }
says_so() { [[ -s log ]]; }

refused_by_another() {
    service mine linger=0
    echo 'session required pam_deny.so' >>/etc/pam.d/mine
    "$IPCNS_BUILD/tests/bin/pam_session" mine ipcnsa >seen
    cat seen
    [[ $(sed -n 's/^before //p' seen) == "$(sed -n 's/^after //p' seen)" ]]
    [[ $(wc -l <seen) == 3 ]] # and no word of a child
    run ! grep "^refused $home" seen
    wait_until 20 no_name 'user-*'
    [[ ! -s log ]]
}

@test "a program whose session another module refuses is where it was" {
    in_private_system refused_by_another
}

# Each system call that the module makes, from its first look at the names on, and each of ipcns-linger's while that lasts.
calls_fail() {
    local n before inside after total=0 wrong=0 error words complaint tree=$open/tree
    mkdir -p "$tree"/{bin,lib/security,libexec/ipcns}
    cp "$IPCNS_BUILD/tests/bin/pam_session" "$tree/bin/"
    cp "$pam" "$tree/lib/security/"
    cp "$IPCNS_BUILD/libexec/ipcns/ipcns-linger" "$tree/libexec/ipcns/"
    pam=$tree/lib/security/pam_ipcns.so
    for error in 5 12; do # EIO, ENOMEM
        words='linger=0 limit=shmmni=7'
        if ((error == 12)); then words+=' required=yes'; fi
        # shellcheck disable=SC2086 # words
        service mine $words
        for ((n = 1; n < 1000; ++n)); do
            : >log
            complaint=''
            timeout 20 "$IPCNS_BUILD/tests/bin/at_call" "fail=$error" /run/ipcns "$n" "$tree/bin/pam_session" mine ipcnsa >seen ||
                complaint="exit status $?"
            # Its end is the end of the session, and so begins the end of the name.
            wait_until 20 said_or_gone || complaint='the name stays, without a word'
            if [[ $(tail -n 1 seen) == 'none of '* ]]; then break; fi
            total=$((total + 1))
            before=$(sed -n 's/^before //p' seen)
            inside=$(grep -oE '^(inside|refused)' seen) || complaint='nothing opened, nothing refused'
            after=$(sed -nE 's/^(inside|refused) //p' seen)
            # libpam itself may refuse what no module does.
            if [[ $inside == refused && $error == 5 ]] && ! grep -q 'PAM audit' log; then complaint='refused, though it is not required'; fi
            if [[ $after == "$before" ]]; then
                if [[ $inside == inside && $error == 12 ]]; then complaint='required, and it stays outside'; fi
                wait_until 10 says_so || complaint='it stays outside, without a word'
            elif [[ ${after%% *} == "${before%% *}" || $(cut -d ' ' -f 2 <<<"$after") == "$(cut -d ' ' -f 2 <<<"$before")" ]]; then
                complaint='half inside'
            fi
            [[ $(sed -n 's/^after //p' seen) == "$before" ]] || wait_until 10 says_so || complaint='it does not come back, without a word'
            # What could not be taken away at once goes with the next change of a name.
            if grep 'child' seen; then complaint='it was told of a child'; fi
            if ! no_name 'user-*'; then
                "$IPCNS" create other
                "$IPCNS" delete other
                wait_until 20 no_name 'user-*' || complaint='the name stays for ever'
            fi
            if [[ -n $complaint ]]; then
                printf 'at system call %s, error %s: %s\n' "$(tail -n 1 seen)" "$error" "$complaint"
                cat seen log
                wrong=$((wrong + 1))
            fi
        done
        # Nothing failed, so all is well.
        [[ ! -s log ]]
    done
    printf '%s system calls failed, one after the other\n' "$total"
    ((wrong == 0 && total > 100))
}

# bats test_tags=root, seconds:180
@test "a login of which a system call fails is inside or outside, says so, and leaves nothing" {
    in_private_system calls_fail
}

# --- the module itself --------------------------------------------------------------------------------------------

@test "the module shows PAM's functions alone and needs no C++ library" {
    module=$IPCNS_BUILD/lib/security/pam_ipcns.so
    need nm ldd
    run -0 bash -c 'nm -D --defined-only "$1" | cut -d " " -f 3' - "$module"
    expect_output $'pam_sm_close_session\npam_sm_open_session'
    run ! grep -E 'libstdc|libgcc|libipcns' <(ldd "$module")
}

page() {
    mount -t tmpfs tmpfs /usr/local
    cmake --install "$IPCNS_BUILD" --component pam --prefix /usr/local >/dev/null
    mkdir -p /usr/local/bin
    cp "$IPCNS" /usr/local/bin/
    cp -n "$IPCNS_BUILD"/libexec/ipcns/* /usr/local/libexec/ipcns/
    sed -nE '/^```sh$/,/^```$/{/^```/!p}' "$IPCNS_TREE/docs/pam.md" >page
    for file in common-session common-session-noninteractive; do : >"/etc/pam.d/$file"; done
    service su
    sed -i '/^session/s/.*/@include common-session/' /etc/pam.d/su
    sh -eux ./page >output 2>&1 || {
        cat output
        return 1
    }
    cat output
    grep -q 'user-65534' output
    [[ $(grep -c '^ipc:' output) == 1 && $(grep '^ipc:' output) != "$home" ]]
    [[ ! -s /etc/pam.d/common-session && ! -e /etc/pam.d/ipcns-trial ]]
}

@test "docs/pam.md works from its first line to its last" {
    need cmake
    [[ -f $IPCNS_BUILD/cmake_install.cmake ]] || skip "$IPCNS_BUILD is no build folder"
    in_private_system page
    rm -f "$IPCNS_BUILD/install_manifest_pam.txt"
}
