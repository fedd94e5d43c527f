#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What docs/snapshots.md and docs/snapshot-format.md say of save, restore and clone: every command of the one is run, one after
# the other in one shell, and prints what the document shows, numbers and the like apart; of the other, the program that it
# shows is run, the keys of the manifest are those that it lists, and the checksums are what it says.

# shellcheck disable=SC2016,SC2154 # the inner shell expands the script; common.bash sets the variables

load common
load documents

setup() {
    common_setup
    is_root || need_userns
    PATH=${IPCNS%/*}:$PATH
}

# --- docs/snapshots.md ------------------------------------------------------------------------------------------

@test "the tasks of docs/snapshots.md end as it says" {
    need perl
    need_little_host
    follow "$IPCNS_TREE/docs/snapshots.md"
}

# --- docs/snapshot-format.md ------------------------------------------------------------------------------------

# A namespace with one object of each kind and each kind of name, and something in those that have contents.
make_one_of_each() {
    name=$(unique_name)
    ipcns create "$name"
    ipcns make "$name" msg 0x1234
    ipcns make "$name" sem --value 1,2
    ipcns make "$name" shm --size 1M
    ipcns make "$name" mq /queue --count 4 --size 64
    ipcns make "$name" mq $'/odd\377'
    ipcns make "$name" psem /sem --value 3
    ipcns exec "$name" -- sh -c 'echo text > /dev/shm/text'
    ipcns exec "$name" -- perl -e 'msgsnd 0, pack("l! a*", @$_), 0 for [5, "one"], [7, "two\n"], [1, ""]'
    # Three pages in three places, which no page of zeros is between.
    ipcns exec "$name" -- perl -e 'shmwrite 0, "x" x 4096, $_, 4096 for 0, 409600, 1044480'
}

@test "the commands of docs/snapshot-format.md do what it says" {
    need perl jq hexdump xxh128sum
    need_little_host
    follow "$IPCNS_TREE/docs/snapshot-format.md"
}

@test "the program of docs/snapshot-format.md prints the messages" {
    need python3 perl
    awk '/^<!-- run: messages.py -->/ {run = 1} run && /^```python/ {on = 1; next} /^```$/ {on = run = 0} on' \
        "$IPCNS_TREE/docs/snapshot-format.md" >messages.py
    make_one_of_each
    expected=("msg/0 5 b'one'" "msg/0 7 b'two\\n'" "msg/0 1 b''")
    if is_root; then
        printf first | "$IPCNS" exec "$name" -- "$IPCNS_BUILD/tests/bin/posix_ipc" send 2 /queue 3>&-
        printf urgent | "$IPCNS" exec "$name" -- "$IPCNS_BUILD/tests/bin/posix_ipc" send 9 /queue 3>&-
        # Its place in the list, which is in the order of the names.
        expected+=("mq/1 9 b'urgent'" "mq/1 2 b'first'")
    fi
    ipcns save "$name" snapshot
    run -0 python3 messages.py snapshot
    expect_output "$(printf '%s\n' "${expected[@]}")"
}

# The keys of all objects, but for the limits, which are not ours to list.
keys_of() { # FILE
    jq -r 'del(.limits) | [.. | objects | keys_unsorted[]] | unique[], "limits"' "$1" | sort -u
}

@test "the manifest and the end have the keys that the documents list" {
    need jq perl
    make_one_of_each
    [[ $(uname -m) == x86_64 ]] || skip 'the numbers of system calls are those of x86-64'
    # Who asks to be told of messages.
    cat >ask.pl <<'END'
my $name = "queue\0";
my $queue = syscall(240, $name, 0, 0, 0); # mq_open, O_RDONLY
my $wish = pack("x8 i i x48", 0, 1); # SIGEV_NONE
syscall(244, $queue, $wish) == 0 or die "mq_notify: $!";
open my $up, ">", "asked";
sleep 600;
END
    in_background "$IPCNS" exec "$name" -- perl ask.pl
    wait_until 5 test -e asked
    ipcns save "$name" snapshot
    tar -xf snapshot manifest.json end.json
    there=$({
        keys_of manifest.json
        jq -r '[.. | objects | keys_unsorted[]] | unique[]' end.json
    } | sort -u)
    in_page=$(sed -n '/^## manifest.json/,/^## Messages/p; /^## end.json/,/^## Versions/p' "$IPCNS_TREE/docs/snapshot-format.md" |
        sed -nE '/^\| (`|(`[a-z]*`)? ?\|)/p' | awk -F '|' '{
            # The keys are in the first cell, or behind that of the kind; some have more keys in them.
            cell = $2; if ($2 ~ /^ *(`(msg|sem|shm|mq|psem|pshm)`)? *$/) cell = $3; print cell
            if ($2 ~ /namespace|others/ || $3 ~ /notify/ || $2 ~ /members/) print $0 }' |
        grep -oE '`[a-z_0-9]+`' | tr -d '`' | sort -u)
    diff <(printf '%s\n' "$there") <(printf '%s\n' "$in_page")
    for key in $there; do
        grep -qE "^[|:]  ([a-z0-9_]+, )*$key(, [a-z0-9_]+)*\$|\*$key\*" "$IPCNS_TREE/man/ipcns-snapshot.5.scd" || {
            printf 'ipcns-snapshot(5) does not tell of %s\n' "$key"
            return 1
        }
    done
}

@test "the checksums are those of the stored bytes, and of the places of the parts" {
    need python3 xxh128sum perl
    make_one_of_each
    ipcns save "$name" snapshot
    # Prints for each member what the document says is summed up, and sums it up by another program.
    cat >sums.py <<'END'
import json, struct, subprocess, sys, tarfile
with tarfile.open(sys.argv[1]) as tar:
    end = json.load(tar.extractfile("end.json"))
    names = [member.name for member in tar.getmembers()]
    assert names == [one["name"] for one in end["members"]] + ["end.json"], names
    sparse = 0
    for one in end["members"]:
        member = tar.getmember(one["name"])
        data = tar.extractfile(member).read()
        parts = [part for part in (member.sparse or [(0, len(data))]) if part[1] > 0]
        stored = b"".join(data[offset:offset + length] for offset, length in parts)
        if len(stored) != len(data):
            sparse += 1
            stored_and_places = stored + b"".join(struct.pack("<QQ", *part) for part in parts)
        else:
            stored_and_places = stored
        assert one["bytes"] == len(stored), one
        sum = subprocess.run(["xxh128sum"], input=stored_and_places, capture_output=True, check=True).stdout.split()[0]
        assert one["xxh128"] == sum.decode(), one
    print(len(names), sparse)
END
    run -0 python3 sums.py snapshot
    # The manifest, the queue, the segment (sparse), the file, the end.
    expect_output '5 1'
    # Any tar unpacks it, compressed or not, and what was written is there.
    ipcns save --zstd "$name" compressed
    for file in snapshot compressed; do
        mkdir "in-$file"
        tar -xf "$file" -C "in-$file"
        [[ $(cat "in-$file/pshm/0") == text ]]
        (($(stat -c %s "in-$file/shm/0") == 1048576))
    done
    zstd -tq compressed
}

@test "what the page of restore says of its options" {
    make_one_of_each
    ipcns save "$name" snapshot
    # Without a NAME, that it was saved under; which a pipe can't tell beforehand.
    run -1 --separate-stderr ipcns restore snapshot
    expect_error 'File exists'
    run -2 --separate-stderr bash -c '"$IPCNS" restore - < <(cat snapshot)'
    expect_error 'it needs a NAME'
    ipcns delete "$name"
    ipcns restore - <snapshot
    run -0 ipcns show "$name" msg -q -n -o OBJECT,KEY
    expect_output 'msg:0 0x00001234'
    # A value is one word, and what comes behind it is the file.
    other=$(unique_name)
    ipcns restore --map-uid "$(id -u):$(id -un)" --map-gid "$(id -g):$(id -g)" snapshot "$other"
    ipcns diff "$name" "$other"
    run -2 --separate-stderr ipcns restore --json snapshot "$other"
    expect_error '--list'
}
