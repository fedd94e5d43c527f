#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# The early start: a plain `run` by somebody who may starts the program before the C library of ipcns is there. Whether
# the program gets all that it should is what run.bats, inherit.bats and signals.bats show, for `run` is this way in
# most of their tests; here is what is particular to it.

# shellcheck disable=SC2016,SC2154 # inner shells expand the scripts; work and stderr come from elsewhere

load common

need_early() {
    object=$IPCNS_BUILD/cli/CMakeFiles/ipcns.dir/early.cpp.o
    [[ -e $object ]] || skip "this build has no early start: not static, or not x86_64"
}

# bats test_tags=root
@test "what runs before the C library calls nothing in it" {
    need_early
    need nm
    [[ $(nm -u "$object") == *( )"U _start" ]]
}

# bats test_tags=root
@test "a plain run starts the program before our own start, any other run after it" {
    need_early
    need strace
    # set_tid_address is the first that a C library calls for its process; fsopen comes from whoever makes the mounts.
    calls() { strace -f -o calls -e trace=set_tid_address,fsopen "$IPCNS" "$@" 3>&- && sed -E 's/^[0-9]+ +([a-z_]+).*/\1/' calls | head -n 1; }
    [[ $(calls run -- /bin/true) == fsopen ]]
    [[ $(calls run true) == fsopen ]]
    [[ $(calls run --chdir / -- /bin/true) == set_tid_address ]]
    # With a standard descriptor closed, and for an ordinary user, too.
    [[ $(calls run /bin/true <&-) == set_tid_address ]]
}

# bats test_tags=root
@test "a command of a helper program is handed on at once, and any other word is not" {
    need_early
    need strace
    strace -o calls -e trace=set_tid_address,execve "$IPCNS" list -q 3>&- >/dev/null
    [[ $(sed -E 's/^([a-z_]+).*/\1/' calls | tr '\n' ' ') == 'execve execve set_tid_address '* ]]
    strace -o calls -e trace=set_tid_address,execve "$IPCNS" --version 3>&- >/dev/null
    [[ $(sed -E 's/^([a-z_]+).*/\1/' calls | tr '\n' ' ') == 'execve set_tid_address '* ]]
    # A copy without its parts says so, as ever.
    mkdir bin
    cp "$IPCNS" bin/
    run -1 --separate-stderr env PATH=/usr/bin bin/ipcns list
    [[ $stderr == *'install it again'* ]] || [[ -x /usr/local/libexec/ipcns/ipcns-names || -x /usr/libexec/ipcns/ipcns-names ]]
}

# bats test_tags=root
@test "a program that ends before we have begun is not waited for in vain" {
    for _ in {1..100}; do
        timeout -s KILL 20 "$IPCNS" run --ipc-only -- /bin/true 3>&-
        timeout -s KILL 20 "$IPCNS" run -- /bin/true 3>&-
    done
    # Nor where SIGCHLD is ignored, as a careless parent leaves it.
    for _ in {1..50}; do
        run -3 env --ignore-signal=CHLD timeout -s KILL 20 "$IPCNS" run --ipc-only -- sh -c 'exit 3'
    done
}

@test "the folders of PATH are gone through as execvp does" {
    is_root || need_userns
    mkdir one two three
    printf '#!/bin/sh\necho one\n' >one/prog
    mkdir two/prog
    printf '#!/bin/sh\necho three\n' >three/prog
    printf '#!/bin/sh\necho here\n' >prog
    chmod +x three/prog prog
    at=$work
    long=$(printf '%5000s' '' | tr ' ' x)
    # one/prog can't be executed, two/prog is a folder, a file is no folder, and what is not there is passed over.
    [[ $(PATH=$at/one:$at/two:$at/one/prog:/nonexistent:$at/three "$IPCNS" run prog 3>&-) == three ]]
    [[ $(PATH=$at/three: "$IPCNS" run prog 3>&-) == three ]]
    [[ $(PATH=:$at/three "$IPCNS" run prog 3>&-) == here ]]
    [[ $(PATH=$at/none: "$IPCNS" run prog 3>&-) == here ]]
    [[ $(PATH=$at/none "$IPCNS" run -- ./prog 3>&-) == here ]]
    [[ $(PATH=$long:$at/three "$IPCNS" run prog 3>&-) == three ]]
    [[ $(env -u PATH "$IPCNS" run -- sh -c 'echo found' 3>&-) == found ]]
    run -126 env PATH="$at/one" "$IPCNS" run prog
    run -127 env PATH= "$IPCNS" run nosuchprogram
}

# bats test_tags=root
@test "what fails early is tried again from the start, and leaves nothing" {
    # A shell script without its first line is for /bin/sh, which only the ordinary way knows.
    printf 'echo by the shell\n' >plain
    chmod +x plain
    [[ $(ipcns run ./plain) == "by the shell" ]]
    # Descriptors, mask and dispositions are as they were: the program's are those of a plain exec.
    printf 'exec "$PROGRAM" "$@"\n' >wrapper
    chmod +x wrapper
    [[ $(PROGRAM=/bin/ls "$IPCNS" run ./wrapper /proc/self/fd 3>&-) == "$(ls /proc/self/fd 3>&-)" ]]
    mask() { grep -E 'Sig(Blk|Ign)' /proc/self/status; }
    [[ $(PROGRAM=/bin/grep "$IPCNS" run ./wrapper -E 'Sig(Blk|Ign)' /proc/self/status 3>&-) == "$(mask)" ]]
    run -127 ipcns run ./nosuch
    run -126 ipcns run /
}

# bats test_tags=root
@test "a helper program loads the C library and no other, since each takes its time" {
    need ldd
    for program in "$IPCNS_BUILD"/libexec/ipcns/ipcns-*; do
        ldd "$program" >libraries || continue # static
        # What ipcns-state takes from libarchive brings the mathematical library along, though not a function of it.
        [[ ${program##*/} != ipcns-state ]] || sed -i '/libm\.so/d' libraries
        run ! grep -vE 'linux-vdso|libc\.so|/ld-linux|not a dynamic executable|statically linked' libraries
    done
    grep -q 'libc\.so' libraries || ldd "$IPCNS_BUILD/libexec/ipcns/ipcns-objects" | grep -q 'libc\.so'
}
