#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns save, restore and clone: what comes back is what was there, whoever works on it notices nothing, a file is whole or
# it is not there. IPCNS_SAVES says how many saves are done, and killed, in a row: 200 for a long run.

# shellcheck disable=SC2016 # inner shells expand what is theirs
# shellcheck disable=SC2030,SC2031 # a test is a subshell, and its variables end with it
# shellcheck disable=SC2154 # stderr is bats', programs and pid are names.bash's

load common
load names
load terminal

setup() {
    common_setup
    need_names
    # Reading POSIX queues with messages in them takes BPF.
    if is_root; then no_mq=(); else no_mq=(no-mq); fi
}

teardown() {
    end_terminals
    names_teardown
}

# --- what is saved ---------------------------------------------------------------------------------------------

# Something of every kind, in $db: with no message in the POSIX queue, which only root could save.
fill() {
    db=$(unique_name db)
    ipcns create "$db"
    ipcns make "$db" msg 0x1234 --mode 640 >/dev/null
    ipcns make "$db" sem 0x87654321 --value 3,0,7 >/dev/null
    ipcns make "$db" shm 0x5 --size 100001 >/dev/null
    ipcns make "$db" mq /jobs --count 4 --size 100 >/dev/null
    ipcns make "$db" psem /lock --value 2 >/dev/null
    ipcns make "$db" pshm /memory --size 5000 >/dev/null
    ipcns exec "$db" -- sh -c 'printf "some bytes" | dd of=/dev/shm/memory conv=notrunc seek=4000 bs=1 status=none'
    ipcns limits "$db" msgmni=77 shmmax=64M >/dev/null
}

# Two namespaces hold the same, by `ipcns diff` and by what the kernel lists in each.
expect_same() { # NAME NAME
    run ipcns diff "$1" "$2"
    expect_status 0
    local name
    for name in "$1" "$2"; do
            ipcns exec "$name" -- bash -c '
            ipcs -m | awk "{print \$1, \$2, \$4, \$5}"
            ipcs -q | awk "{print \$1, \$2, \$4, \$6}"
            ipcs -s
            cat /proc/sys/kernel/{msgmni,shmmax,sem}
            cd /dev/shm
            sha256sum *
            stat -c "%n %s %a %u %g" *' >"listing.$name"
    done
    diff "listing.$1" "listing.$2"
}

@test "save, restore: the same objects, contents and limits; clone: without a file" {
    fill
    run --separate-stderr ipcns save "$db" file
    expect_status 0
    expect_equal "$output$stderr" ""
    expect_equal "$(stat -c %a file)" 600
    copy=$(unique_name copy) clone=$(unique_name clone)
    run --separate-stderr ipcns restore file "$copy"
    expect_status 0
    expect_equal "$output$stderr" ""
    expect_same "$db" "$copy"
    run --separate-stderr ipcns clone "$db" "$clone"
    expect_status 0
    expect_equal "$output$stderr" ""
    expect_same "$db" "$clone"
    # It is a tar file with JSON in it, for everybody.
    need tar jq
    expect_equal "$(tar -xOf file manifest.json | jq -r '.msg[0].key, .pshm[0].name')" $'0x00001234\n/memory'
    tar -xOf file end.json | jq -e '.members[0].name == "manifest.json"'
    # Nothing of these is there when they failed: the name is taken.
    for command in "restore file" "clone $db"; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns $command "$copy"
        expect_status 1
        expect_error "$copy"
    done
}

# bats test_tags=root
@test "who is inside and may not be looked at is told, since nobody held that one still" {
    need setpriv
    fill
    "$IPCNS" exec "$db" -- setpriv --reuid games --regid games --clear-groups sleep 1000 3>&- >/dev/null 2>&1 &
    remember_pid $!
    sleeps_inside() { ipcns pids -n -o USER "$db" | grep -q games && remember_pid "$(ipcns pids -n -o PID "$db")"; }
    wait_until 10 sleeps_inside
    run --separate-stderr setpriv --bounding-set -sys_ptrace --inh-caps -all "$IPCNS" save "$db" file
    expect_status 0
    [[ $stderr == *' could not be looked at, which takes CAP_SYS_PTRACE'* ]]
    run --separate-stderr ipcns save "$db" file
    expect_status 0
    expect_equal "$stderr" ''
}

@test "restore takes the name that was saved; -v says what was done" {
    fill
    run --separate-stderr ipcns save -v "$db" file
    expect_status 0
    [[ $stderr == *"saved 1 queue, 1 semaphore set, 1 segment, 1 POSIX queue, 1 named semaphore, 1 shared memory object"* ]]
    [[ $stderr == *"nobody was inside"* ]]
    ipcns delete "$db"
    run --separate-stderr ipcns restore -v file
    expect_status 0
    [[ $stderr == *"restored 1 queue"*"not as they were"*times* ]]
    ipcns show "$db" -n -o OBJECT | grep -x 'pshm:/memory'
    # What has no name.
    stay ipcns run --
    ipcns save "$pid" nameless
    run --separate-stderr ipcns restore nameless
    expect_status 2
    expect_error "saved without a name"
}

@test "save and restore count the same bytes: those of the messages, and of memory" {
    need perl
    db=$(unique_name db)
    ipcns create "$db"
    ipcns make "$db" msg 0x1234 >/dev/null
    ipcns exec "$db" -- perl -e 'msgsnd 0, pack("l! a*", @$_), 0 for [5, "first"], [7, "second one"], [1, ""], [1, "end"]'
    run --separate-stderr ipcns save -v "$db" file
    expect_status 0
    [[ $stderr == "ipcns: saved 1 queue, 18 bytes of contents; "* ]]
    run --separate-stderr ipcns restore -v file "$(unique_name copy)"
    expect_status 0
    [[ $stderr == "ipcns: restored 1 queue, 18 bytes of contents"$'\n'* ]]
    # Two pages of a larger segment have been written to.
    ipcns make "$db" shm 0x5 --size 1M >/dev/null
    ipcns exec "$db" -- perl -e 'shmwrite 0, "x", $_, 1 for 0, 500000'
    run --separate-stderr ipcns save -v "$db" file
    expect_status 0
    contents=${stderr#*1 segment, }
    run --separate-stderr ipcns restore -v file "$(unique_name copy)"
    expect_status 0
    [[ $stderr == "ipcns: restored 1 queue, 1 segment, ${contents%%;*}"$'\n'* ]]
}

@test "save - | restore -, with and without zstd; the file is smaller with it" {
    fill
    for zstd in "" --zstd --zstd=19; do
        copy=$(unique_name copy)
        # shellcheck disable=SC2086 # no word, or one
        ipcns save "$db" - $zstd | ipcns restore - "$copy"
        expect_same "$db" "$copy"
    done
    ipcns save "$db" plain
    ipcns save "$db" packed --zstd
    (($(stat -c %s packed) < $(stat -c %s plain)))
    ipcns restore --check packed
    for level in 0 20 x 1.5; do
        run --separate-stderr ipcns save "$db" file --zstd="$level"
        expect_status 2
        expect_error "levels 1 to 19"
    done
    [[ ! -e file ]]
    # More than one piece for each of the threads that compress.
    ipcns make "$db" pshm /more --size 40M >/dev/null
    ipcns exec "$db" -- sh -c 'head -c 40M /dev/urandom >/dev/shm/more'
    copy=$(unique_name copy)
    ipcns save "$db" packed --zstd
    ipcns restore packed "$copy"
    expect_same "$db" "$copy"
    ipcns remove "$db" pshm:/more
    # A reader that goes away early is an error, and no signal.
    ipcns make "$db" pshm /large --size 3M >/dev/null
    ipcns exec "$db" -- sh -c 'head -c 3M /dev/urandom >/dev/shm/large'
    run --separate-stderr bash -c '"$IPCNS" save "$1" - | true; exit ${PIPESTATUS[0]}' - "$db"
    expect_status 1
    expect_error "Broken pipe"
}

@test "save --precopy: the same comes back; what was written again is said, and what it can't go with" {
    need tar
    fill
    ipcns make "$db" shm 0x77 --size 20M >/dev/null
    ipcns exec "$db" -- perl -e 'shmwrite 1, pack("V*", 1..5000000), 0, 20000000'
    run --separate-stderr ipcns save --precopy -v "$db" file
    expect_status 0
    # No more than what says when it was.
    [[ $stderr =~ \;\ (0|[0-9.]+K)\ of\ 19.[0-9]M\ written\ again ]]
    expect_equal "$(stat -c %a file)" 600
    ipcns restore --check file
    copy=$(unique_name copy)
    ipcns restore file "$copy"
    expect_same "$db" "$copy"
    # Other readers see nothing of the room that it leaves.
    ipcns save "$db" plain
    expect_equal "$(tar -tf file 2>&1)" "$(tar -tf plain)"
    expect_equal "$(python3 -c 'import sys, tarfile; print(*tarfile.open(sys.argv[1]).getnames(), sep="\n")' file)" \
        "$(tar -tf plain)"
    expect_equal "$(tar -xOf file shm/1 | sha256sum)" "$(tar -xOf plain shm/1 | sha256sum)"
    mkfifo fifo
    for words in "--live $db no" "--zstd $db no" "--drain $db no" "$db fifo" "$db /dev/null"; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns save --precopy $words
        expect_status 2
        expect_error ""
    done
    run --separate-stderr bash -c '"$IPCNS" save --precopy "$1" - | cat; exit ${PIPESTATUS[0]}' - "$db"
    expect_status 2
    expect_error "only to a regular file"
    expect_equal "$output" ""
    [[ ! -e no ]]
    run ipcns clone --precopy "$db" "$(unique_name no)"
    expect_status 2
}

@test "restore --list: a table, chosen columns, JSON; --check" {
    fill
    ipcns save "$db" file
    run --separate-stderr ipcns restore --list file
    expect_status 0
    expect_equal "${lines[0]%% *}" OBJECT
    grep -E '^shm:0 +0x00000005 +[0-9]+ +600 +97.7K' <<<"$output"
    grep -E '^sem:0 .*3 semaphores' <<<"$output"
    grep -E '^psem:/lock .*value 2' <<<"$output"
    run --separate-stderr ipcns restore --list -n -b -o OBJECT,SIZE file
    grep -xE 'shm:0 +100001' <<<"$output"
    run --separate-stderr ipcns restore --list --json file
    expect_status 0
    jq -e --arg db "$db" '.namespace.name == $db and .live == false and
        (.objects | map(.object)) == ["msg:0", "sem:0", "shm:0", "mq:/jobs", "psem:/lock", "pshm:/memory"]' <<<"$output"
    run --separate-stderr ipcns restore --list -o OBJECT,COLOUR file
    expect_status 2
    # Names from a stranger do nothing to a terminal.
    ipcns exec "$db" -- sh -c 'true >"/dev/shm/$(printf "\033[31mred\n\377")"'
    ipcns save "$db" file
    ipcns restore --list file >listing
    expect_harmless listing
    run --separate-stderr ipcns restore --check -v file
    expect_status 0
    [[ $stderr == *"ipcns: file is whole: 1 queue"* ]]
    run --separate-stderr ipcns restore --check -v <file -
    expect_status 0
    expect_equal "$stderr" "ipcns: standard input is whole: ${stderr##*is whole: }"
    printf x | dd of=file conv=notrunc bs=1 seek=$(($(stat -c %s file) - 4000)) status=none
    head -c 3000 file >short
    run --separate-stderr ipcns restore --check short
    expect_status 1
    expect_error "read the snapshot from $work/short: it ends too early"
    run --separate-stderr ipcns restore --check - < <(cat short)
    expect_status 1
    expect_error "read the snapshot from standard input: it ends too early"
    run --separate-stderr ipcns restore --check .
    expect_status 1
    expect_error "read the snapshot from $work: Is a directory"
    # Its name does nothing to a terminal either.
    mv short $'short\e[31m'
    run --separate-stderr ipcns restore --check $'short\e[31m'
    expect_status 1
    expect_error 'read the snapshot from '"$work"'/short\x1b[31m: it ends'
    for words in "--list --check file" "--list file $db" "--check file --into $db" "file x --into $db" "file --into $db --shm-size 5M"; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns restore $words
        expect_status 2
        expect_error ""
    done
}

# --- where it is refused ---------------------------------------------------------------------------------------

@test "refused: the host's namespace held still, a terminal, a reader inside, no such file" {
    for precopy in "" --precopy; do
        # shellcheck disable=SC2086 # no word, or one
        run --separate-stderr ipcns save $precopy host file
        if is_root; then
            expect_status 2
            expect_error "can only be saved live"
        else
            ((status != 0))
        fi
    done
    [[ ! -e file ]]
    fill
    run --separate-stderr ipcns save "$db" no/such/folder
    expect_status 1
    expect_error "no"
    run --separate-stderr ipcns save "$db" .
    expect_status 1
    run --separate-stderr ipcns restore no-such-file "$(unique_name no)"
    expect_status 1
    expect_error "open no-such-file"
    run --separate-stderr ipcns restore . "$(unique_name no)"
    expect_status 1
    expect_error "Is a directory"
    # Who reads it would be held still: that would never end.
    mkfifo fifo
    in_background "$IPCNS" exec "$db" -- cat "$work/fifo"
    run --separate-stderr timeout 20 bash -c '"$IPCNS" save "$1" - >fifo' - "$db"
    expect_status 2
    expect_error "a program inside the namespace"
    start_terminal
    see_prompt
    enter "'$IPCNS' save '$db' -"
    see '.*nothing for a terminal.*'
    clear_screen
    see_prompt
    enter "'$IPCNS' save '$db' /dev/tty; echo status=\$?"
    see 'ipcns: /dev/tty is a terminal, and a snapshot is nothing for one'
    see 'status=2'
    clear_screen
    see_prompt
    enter "'$IPCNS' restore - '$(unique_name no)'"
    see '.*not typed on a terminal.*'
}

@test "--into refuses before it touches anything: a taken key, id, name" {
    db=$(unique_name db)
    ipcns create "$db"
    ipcns make "$db" msg 0x1234 >/dev/null
    ipcns make "$db" shm 0x5 --size 4K >/dev/null
    ipcns make "$db" pshm /memory --size 5000 >/dev/null
    ipcns save "$db" file
    other=$(unique_name other)
    ipcns create "$other"
    listing() { ipcns show "$1" -n -o OBJECT,KEY,SIZE; }
    # the id
    ipcns make "$other" msg 0x99 >/dev/null
    before=$(listing "$other")
    run --separate-stderr ipcns restore file --into "$other"
    expect_status 1
    expect_error "msg:0: its id is taken"
    expect_equal "$(listing "$other")" "$before"
    # other ids, and the key is taken
    ipcns remove "$other" msg:0 --yes
    ipcns make "$other" shm 0x5 --size 4K >/dev/null
    before=$(listing "$other")
    run --separate-stderr ipcns restore file --into "$other" --new-ids
    expect_status 1
    expect_error "shm:0: its key is taken"
    expect_equal "$(listing "$other")" "$before"
    ipcns remove "$other" shm:0x5 --yes
    # the name
    ipcns make "$other" pshm /memory --size 1 >/dev/null
    before=$(listing "$other")
    run --separate-stderr ipcns restore file --into "$other"
    expect_status 1
    expect_error "pshm:/memory: its name is taken"
    expect_equal "$(listing "$other")" "$before"
    ipcns remove "$other" pshm:/memory --yes
    # a file that goes bad at its end
    head -c -2000 file >short
    run --separate-stderr ipcns restore short --into "$other"
    expect_status 1
    expect_equal "$(listing "$other")" ""
    # and then
    ipcns make "$other" msg 0x99 >/dev/null
    ipcns restore file --into "$other" --new-ids
    expect_equal "$(ipcns show "$other" -n -o KEY msg | sort)" $'0x00000099\n0x00001234'
}

# bats test_tags=root
@test "--map-uid and --map-gid give what was one user's to another" {
    db=$(unique_name db)
    ipcns create "$db"
    ipcns make "$db" shm 0x5 --size 4K --owner 1234:2345 >/dev/null
    ipcns make "$db" pshm /memory --size 4K --owner 1234 >/dev/null
    ipcns save "$db" file
    copy=$(unique_name copy)
    ipcns restore file "$copy" --map-uid 1234:games --map-gid 2345:7
    expect_equal "$(ipcns exec "$copy" -- awk 'NR == 2 {print $8, $9}' /proc/sysvipc/shm)" "$(id -u games) 7"
    expect_equal "$(stat -c %u "/run/ipcns/$copy/shm/memory")" "$(id -u games)"
    for words in 5 5: :5 5:6:7 no-such-user:5 5:no-such-user "5:6 --map-uid 5:7"; do
        # shellcheck disable=SC2086 # words
        run --separate-stderr ipcns restore file "$(unique_name no)" --map-uid $words
        expect_status 2
    done
}

# bats test_tags=root
@test "who may not make somebody else the owner is told of --map-uid and --map-gid, and nothing is made" {
    somebody_else
    db=$(unique_name db)
    ipcns create "$db"
    ipcns make "$db" shm 0x5 --size 4K >/dev/null
    ipcns save "$db" - >"$open/home/file"
    run --separate-stderr as_somebody_else ipcns restore file copy
    expect_status 1
    expect_error 'give an object to the user 0: Invalid argument'
    [[ $stderr == *'--map-uid 0:NEW'* ]]
    run --separate-stderr as_somebody_else ipcns restore file copy --map-uid "0:$other"
    expect_status 1
    expect_error 'give an object to the group 0: Invalid argument'
    [[ $stderr == *'--map-gid 0:NEW'* ]]
    [[ ! -e $open/home/ipcns/copy ]]
    as_somebody_else ipcns restore file copy --map-uid "0:$other" --map-gid "0:$(id -g "$other")"
    as_somebody_else ipcns delete copy
}

@test "a folder in /dev/shm is no object and is not saved, and that is said" {
    fill
    ipcns exec "$db" -- sh -c 'mkdir /dev/shm/folder; : >/dev/shm/folder/file'
    run --separate-stderr ipcns save "$db" file -v
    expect_status 0
    [[ $stderr == *'things in its /dev/shm that are no objects (folders, links) are not saved'* && -s file ]]
    ipcns delete "$db"
}

# bats test_tags=root
@test "where /proc shows another pid namespace nobody can be held, and it says so" {
    fill
    stay ipcns exec "$db" --
    run --separate-stderr unshare --pid --fork "$IPCNS" save "$db" file 3>&-
    expect_status 1
    expect_error 'find processes in /proc: Invalid argument'
    [[ $stderr == *'it is that of another pid namespace: mount one for this'* && ! -e file ]]
    end_process "$pid"
    ipcns delete "$db"
}

# --- a file is whole or not there ------------------------------------------------------------------------------

# bats test_tags=root
@test "a disk that is full: no file, what was there before stays, and nothing else is left" {
    fill
    ipcns exec "$db" -- sh -c 'head -c 3M /dev/urandom >/dev/shm/large'
    full() {
        mkdir disk
        mount -t tmpfs -o size=1M tmpfs disk
        for precopy in "" --precopy; do
            status=0
            # shellcheck disable=SC2086 # no word, or one
            "$IPCNS" save $precopy "$1" disk/file 2>message || status=$?
            ((status == 1))
            grep -F "write the snapshot to disk/file: No space left on device" message
            [[ -z $(ls -A disk) ]]
        done
        echo before >disk/file
        status=0
        "$IPCNS" save "$1" disk/file 2>message || status=$?
        ((status == 1))
        [[ $(ls -A disk) == file && $(<disk/file) == before ]]
        # And one that gets full of what is restored.
        "$IPCNS" save "$1" whole
        status=0
        "$IPCNS" restore whole "$2" --shm-size 1M 2>message || status=$?
        ((status == 1))
        grep -F 'its /dev/shm is full' message
        [[ ! -e /run/ipcns/$2 ]]
    }
    export -f full
    unshare --mount --propagation slave bash -euc 'full "$@"' - "$db" "$(unique_name no)"
}

# Starts the programs that work on all six kinds in $db; "ready" is in the file out.
start_busy() {
    need_program busy
    db=$(unique_name db)
    ipcns create "$db"
    "$IPCNS" exec "$db" -- "$programs/busy" work "$work/faults" "${no_mq[@]}" >out 3>&- 2>&1 &
    busy=$!
    remember_pid "$busy"
    wait_until 20 grep -q ready out
}

# They end, and have seen nothing.
expect_good() {
    kill -TERM "$busy"
    wait_until 20 gone "$busy"
    cat faults
    expect_equal "$(cut -d ' ' -f 1 faults | sort -u)" good
}

@test "where the file system has no files without a name: whole or not there all the same" {
    need strace
    fill
    mkdir out
    # What is opened by way of a descriptor of the folder is the file without a name.
    # shellcheck disable=SC2054 # commas of strace
    without=(strace -f -q -o trace -P "$PWD/out" -e trace=openat,renameat -e inject=openat:error=EOPNOTSUPP:when=1)
    "${without[@]}" "$IPCNS" save "$db" out/saved 3>&-
    grep -q 'O_TMPFILE.*EOPNOTSUPP.*INJECTED' trace
    [[ $(ls -A out) == saved ]]
    ipcns restore --check out/saved >/dev/null
    before=$(sha256sum out/saved)
    # Over one that is there, and when it comes to nothing: what was there stays.
    ipcns make "$db" shm 0x77 --size 8K >/dev/null
    "${without[@]}" "$IPCNS" save "$db" out/saved 3>&-
    [[ $(sha256sum out/saved) != "$before" && $(ls -A out) == saved ]]
    before=$(sha256sum out/saved)
    run "${without[@]}" -e inject=renameat:error=EIO "$IPCNS" save "$db" out/saved 3>&-
    expect_status 1
    expect_in_output 'Input/output error'
    [[ $(sha256sum out/saved) == "$before" && $(ls -A out) == saved ]]
    ipcns delete "$db"
}

# bats test_tags=seconds:240
@test "saved while all six kinds are worked on, and gone on with: nobody notices, nothing is lost, doubled or out of order" {
    start_busy
    for ((i = 0; i < ${IPCNS_SAVES:-8}; ++i)); do
        copy=$(unique_name copy)
        case $((i % 4)) in
        0)
            ipcns save "$db" file
            ipcns restore file "$copy"
            ;;
        3)
            ipcns save --precopy "$db" file
            ipcns restore file "$copy"
            ;;
        1) ipcns save "$db" - | ipcns restore - "$copy" ;;
        *) ipcns clone "$db" "$copy" ;;
        esac
        run ipcns exec "$copy" -- "$programs/busy" go-on "$work/faults" "${no_mq[@]}"
        cat faults
        expect_status 0
        ipcns delete "$copy"
    done
    expect_good
    (($(wc -l <faults) == ${IPCNS_SAVES:-8} + 1))
}

# bats test_tags=seconds:240
@test "a save that is killed at any moment: no half file, no other file, and who is inside goes on" {
    start_busy
    ipcns save "$db" before
    kept=0 made=0
    for ((i = 0; i < ${IPCNS_SAVES:-25}; ++i)); do
        rm -f file
        if ((i % 3 == 0)); then cp before file; fi
        if ((i % 2)); then precopy=(--precopy); else precopy=(); fi
        "$IPCNS" save "${precopy[@]}" "$db" file 3>&- &
        saver=$!
        sleep "0.0$((RANDOM % 9))$((RANDOM % 10))"
        kill -KILL "$saver" 2>/dev/null || true
        wait "$saver" 2>/dev/null || true
        if [[ -e file ]]; then
            ipcns restore --check file
            made=$((made + 1))
        else
            kept=$((kept + 1))
        fi
        expect_equal "$(find . -maxdepth 1 -name '.*ipcns*')" ""
    done
    printf '%s with a file, %s without\n' "$made" "$kept"
    expect_good
}

@test "saves at the same time, of the same namespace and to the same file" {
    fill
    savers=()
    for i in 1 2 3 4; do
        "$IPCNS" save "$db" "file$((i % 2))" 3>&- 2>"message$i" &
        savers+=($!)
    done
    for saver in "${savers[@]}"; do wait "$saver"; done
    for i in 0 1; do ipcns restore --check "file$i"; done
    expect_equal "$(find . -maxdepth 1 -name '.*ipcns*')" ""
}

# --- holding still ---------------------------------------------------------------------------------------------

@test "--max-pause gives up, and --live does not pause at all" {
    start_busy
    run --separate-stderr ipcns save -v "$db" file
    expect_status 0
    [[ $stderr =~ held\ [0-9]+\ processes\ still\ for\ [0-9.]+\ m?s ]]
    run --separate-stderr ipcns save --max-pause 1us "$db" other
    expect_status 1
    expect_error ": it was not done within the longest pause, 1us: Timer expired"
    [[ $stderr == *"hint: "*"allow a longer pause, or do without holding anybody still: --live" ]]
    [[ ! -e other ]]
    run --separate-stderr ipcns save --precopy --max-pause 1.5us "$db" other
    expect_status 1
    expect_error ": it was not done within the longest pause, 1500ns: "
    [[ ! -e other ]]
    run --separate-stderr ipcns save --max-pause 20s "$db" other
    expect_status 0
    run --separate-stderr ipcns save -v --precopy --max-pause 20s "$db" other
    expect_status 0
    [[ $stderr =~ held\ [0-9]+\ processes\ still\ for\ [0-9.]+\ m?s\;\ .*\ written\ again ]]
    ipcns restore --check other
    for pause in 0 -1 x 1h ""; do
        run --separate-stderr ipcns save --max-pause="$pause" "$db" no
        ((status == 2))
    done
    run --separate-stderr ipcns save --live --max-pause 1 "$db" no
    expect_status 2
    expect_error "either --live or --max-pause"
    run --separate-stderr ipcns save -v --live "$db" live
    expect_status 0
    [[ $stderr != *held* ]]
    ipcns restore --check live
    ipcns restore --list --json live | jq -e .live
    copy=$(unique_name copy)
    ipcns restore live "$copy"
    [[ ! -e no ]]
    expect_good
}

# bats test_tags=root
@test "a save shows how far it is, on a terminal only" {
    db=$(unique_name db)
    ipcns create "$db"
    ipcns exec "$db" -- sh -c 'head -c 4M /dev/urandom >/dev/shm/large'
    mkfifo fifo
    start_terminal
    see_prompt
    # Who reads takes his time.
    enter "(sleep 0.5; head -c 1M >/dev/null; sleep 1; head -c 1M >/dev/null; sleep 1; cat >/dev/null) <fifo & '$IPCNS' save '$db' fifo"
    wait_until 15 eval 'screen | grep -qE "saving \[#* *\] +[0-9]+ % of 4M, .*/s, .* left"' || {
        screen
        return 1
    }
    see_prompt
    run grep -F 'saving [' < <(screen)
    expect_status 1
    run --separate-stderr ipcns save "$db" file
    expect_equal "$stderr" ""
}
