#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# ipcns save --drain: POSIX queues by receiving and sending back, for who has no BPF. Whatever kills it, no message is lost.
# Only an ordinary user's: root has BPF. IPCNS_SAVES says how many saves are killed.
# bats file_tags=user

# shellcheck disable=SC2154 # stderr is bats'

load common
load names

setup() {
    common_setup
    need_names
    need /usr/bin/python3
    # The messages have each length from none to the longest, and four priorities.
    cat >queue.py <<'END'
import ctypes, os, sys

class Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("flags", "messages", "size", "now", "a", "b", "c", "d")]

library = ctypes.CDLL(None, use_errno=True)
count, size = 10, 8000

def must(value):
    if value < 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    return value

if sys.argv[1] == "fill":
    wanted = Attributes(0, count, size)
    queue = must(library.mq_open(b"/jobs", os.O_CREAT | os.O_RDWR, 0o600, ctypes.byref(wanted)))
    for i in range(count):
        text = bytes([65 + i]) * (size * i // (count - 1))
        must(library.mq_send(queue, text, len(text), i % 4))
elif sys.argv[1] == "take":
    queue = must(library.mq_open(b"/jobs", os.O_RDWR | os.O_NONBLOCK))
    room, priority = ctypes.create_string_buffer(size), ctypes.c_uint()
    while (length := library.mq_receive(queue, room, size, ctypes.byref(priority))) >= 0:
        print(priority.value, length, room.raw[:length].decode())
elif sys.argv[1] == "wait":  # for a message, as a program would
    queue = must(library.mq_open(b"/empty", os.O_CREAT | os.O_RDWR, 0o600, None))
    room, priority = ctypes.create_string_buffer(8192), ctypes.c_uint()
    open("waiting", "w").close()
    print(must(library.mq_receive(queue, room, 8192, ctypes.byref(priority))), flush=True)
elif sys.argv[1] == "register":
    class Event(ctypes.Structure):
        _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int), ("rest", ctypes.c_char * 48)]
    queue = must(library.mq_open(b"/jobs", os.O_RDWR))
    must(library.mq_notify(queue, ctypes.byref(Event(None, 10, 0))))
    open("registered", "w").close()
    sys.stdin.read()
END
    db=$(unique_name db)
    ipcns create "$db"
}

teardown() { names_teardown; }

inside() { ipcns exec "$db" -- /usr/bin/python3 queue.py "$1"; }
attributes() { ipcns show "$db" mq:/jobs -n -o MESSAGES,SIZE,MODE,MAXMSG,MSGSIZE; }
no_journals() { [[ -z $(compgen -G "$XDG_RUNTIME_DIR/ipcns/.drain-*") ]]; }

@test "without BPF a queue with messages is saved with --drain alone, and stays as it is" {
    inside fill
    run --separate-stderr ipcns save "$db" file
    expect_status 1
    expect_error 'save the messages of POSIX queues: '
    [[ $stderr == *--drain* && ! -e file ]]
    run --separate-stderr ipcns save --live "$db" file
    expect_status 1
    [[ $stderr != *--drain* ]]
    before=$(attributes)
    ipcns save --drain "$db" file
    expect_equal "$(attributes)" "$before"
    no_journals
    copy=$(unique_name copy)
    ipcns restore file "$copy"
    ipcns exec "$copy" -- /usr/bin/python3 queue.py take >copied
    inside take >taken
    diff taken copied
    (($(wc -l <taken) == 10))
}

@test "a receiver that waits in an empty queue is not woken by --drain, and a queue that tells somebody is left alone" {
    inside fill
    in_background "$IPCNS" exec "$db" -- /usr/bin/python3 queue.py wait
    waiter=$(tail -n 1 "$pids_file")
    wait_until 10 test -e waiting
    ipcns save --drain "$db" file
    kill -0 "$waiter"
    before=$(attributes)
    mkfifo go
    in_background "$IPCNS" exec "$db" -- sh -c '/usr/bin/python3 queue.py register <go'
    exec 7>go
    wait_until 10 test -e registered
    run --separate-stderr ipcns save --drain "$db" second
    expect_status 1
    expect_error 'drain mq:/jobs: process '
    [[ ! -e second ]]
    expect_equal "$(attributes)" "$before"
    exec 7>&-
    no_journals
}

@test "--drain that is killed at any moment loses no message: the next command puts them back" {
    inside fill
    inside take >expected
    inside fill
    recovered=0
    for ((round = 0; round < ${IPCNS_SAVES:-25}; ++round)); do
        setsid "$IPCNS" save --drain "$db" file 2>/dev/null 3>&- &
        saver=$!
        sleep "0.00$((RANDOM % 10))$((RANDOM % 10))"
        # Alone, or with the process that drains, in the middle of whatever it does.
        if ((round % 2)); then kill -KILL "$saver" 2>/dev/null || true; else kill -KILL -- "-$saver" 2>/dev/null || true; fi
        wait "$saver" 2>/dev/null || true
        # Who drains is a process of its own, which may live on for a moment, and finish its work.
        wait_until 10 nobody_drains "$saver"
        run --separate-stderr ipcns peek "$db" mq:/none
        if [[ $stderr == *'back into mq:/jobs'* ]]; then recovered=$((recovered + 1)); fi
        no_journals
        inside take | sort >taken
        sort expected | diff - taken
        inside fill
    done
    printf '%s times put back\n' "$recovered"
}
# Of the session of a save nobody is left.
nobody_drains() { # PID
    ! ps -eo pgid=,stat= | awk -v group="$1" '$1 == group && $2 !~ /^Z/ {found = 1} END {exit !found}'
}
