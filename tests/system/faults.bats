#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# A kernel that refuses: each command runs again and again, and each time another one of its system calls is not made and
# fails, with an error for which the manual has no special meaning, and with one for want of memory or descriptors. A command may
# then do without, or fail. If it fails it says so, in our words, and has changed nothing. If it does not, it has done all of
# what it does otherwise, and printed the same, or says what is missing. It does not crash, and leaves nothing behind.
#   IPCNS_TEST_EVERY=N   of those commands that make hundreds of calls every Nth (1: each; by default some)
#
# One at a time: another test's keeper of x would be taken for one that was left.
# bats file_tags=lock:faults

# shellcheck disable=SC2034,SC2154 # names.bash reads private_options; status and output are bats'
# shellcheck disable=SC2317 # functions that in_private_run calls
# shellcheck disable=SC2030,SC2031 # private_options is each test's own

load common
load names

setup() {
    common_setup
    need_names
    need_program at_call
    mark_host_shm
    export marker where
    # Few processes: a command that looks through all of them would make thousands of calls.
    private_options=(--pid --fork --mount-proc)
    every=${IPCNS_TEST_EVERY:-16}
    is_root || every=${IPCNS_TEST_EVERY:-80}
    judge=well_behaved ends_with=0 again=0
    export every judge ends_with again
}

teardown() { names_teardown; }

# Numbers of errors.
EIO=5 ENOMEM=12

complain() {
    printf '%s\n' "$*"
    return 1
}

# Calls BEFORE, runs the command with one of its system calls failing, looks at what it said, and calls AFTER with its exit
# status: for every EVERYth call. Goes on after what is wrong, and tells all of it. FROM: see at_call; "registry" is that.
# $ends_with: the exit status when nothing fails; $judge: who looks at what it said; $again: how often it is looked
# what that is like, until twice the same is seen, where somebody else may be seen.
fails_at_each_call() { # ERRNO EVERY FROM BEFORE AFTER COMMAND...
    local error=$1 every=$2 from=$3 before=$4 after=$5 total n status wrong=0 where usual=0
    shift 5
    if [[ $from == registry ]]; then from=$(dirname "$(registry)"); fi
    "$before"
    timeout 20 "$programs/at_call" "fail=$error" "$from" 0 "$@" >usual 2>usual.said || usual=$?
    cp usual.said said
    total=$(tail -n 1 usual) total=${total#none of }
    sed -i '$d' usual
    ((total > 10)) || complain "only $total system calls were counted"
    cp usual printed
    # Who is just ending is not there the next time.
    while ((again > 0)); do
        timeout 20 "$programs/at_call" "fail=$error" "$from" 0 "$@" 2>/dev/null | sed '$d' >printed
        if diff -q <(the_same usual) <(the_same printed) >/dev/null; then break; fi
        cp printed usual
        again=$((again - 1))
    done
    { ((usual == ends_with)) && "$after" "$usual"; } || complain "it does not even work when nothing fails: $(cat usual.said)"
    # How many there are depends on who else is there, so the end is where none has failed.
    for ((n = 1 + error % every; n <= 2 * total; n += every)); do
        "$before"
        status=0
        timeout 20 "$programs/at_call" "fail=$error" "$from" "$n" "$@" >printed 2>said || status=$?
        where=$(tail -n 1 printed)
        if [[ $where == 'none of '* ]]; then break; fi
        sed -i '$d' printed
        {
            "$judge" "$status" "$usual" && "$after" "$status"
        } >complaint 2>&1 || {
            printf 'at system call %s, error %s: exit status %s, it said: %s\n%s\n' "${where:-$n}" "$error" "$status" \
                "$(head -c 600 said)" "$(head -c 2000 complaint)"
            wrong=$((wrong + 1))
        }
    done
    printf '%s: %s calls failed with %s, one after the other\n' "$*" "$total" "$error"
    ((wrong == 0))
}

alive() { # STATUS
    if (($1 >= 124 && $1 != 125 && $1 != 126)); then complain 'killed, or took too long' || return; fi
    if grep -qE '^(terminate called|free\(\)|double free|malloc)' said; then complain 'it crashed' || return; fi
}

well_behaved() { # STATUS USUAL
    alive "$1" || return
    if (($1 == $2)); then
        # What it always says is no word about it. JSON has a place of its own for such words.
        ! cmp -s <(sed 's/[0-9]//g' usual.said) <(sed 's/[0-9]//g' said) ||
            (($(words_in_json printed) > $(words_in_json usual))) ||
            diff <(the_same usual) <(the_same printed) || complain 'that is what it printed, without a word'
    else
        grep -q '^ipcns: ' said || complain 'it does not say why it failed'
    fi
}

# What differs from one time to the next is left out: numbers of objects and processes, times; nothing is not something. A state that could not be
# found out is ?, which says so, and a user whose name could not be a number.
the_same() { sed -E 's/ ('"$(id -un)"') / '"$(id -u)"' /; s/"(resident|swapped|name|command|user|owner|group|creator|creator_group)": .*/"\1"/; s/(msg +bytes in them) .*/\1/; s/\b0%/N%/g; s/:0\b/:N/g; s/\b0\b/Z/g; s/[0-9]+/N/g; s/ +/ /g; s/ (orphan|\?) / STATE /; s/( [-NKMG.%]+)+( \[\.+\])?( -| \/dev\/shm$)?/ U/g; s/"(orphan|unknown)"/STATE/' "$1"; } # FILE

words_in_json() { grep -cE '"why"|"(unseen_processes|not_entered)": [1-9]' "$1" || true; } # FILE

# It works, or says that it does not: see well_behaved.
nothing() { :; }

# It ended as one that came to a verdict, or says why it has none.
has_a_verdict() { # STATUS USUAL
    alive "$1" || return
    (($1 == 0 || $1 == 3)) || grep -qE '"verdict": "(error|not available)"' printed || grep -q '^ipcns: ' said || complain 'it does not say why it failed'
}

# What could not be taken away the next command takes away.
swept() {
    ipcns create sweeper && ipcns delete sweeper && registry_is_clean
}

# --- names -----------------------------------------------------------------------------------------------------

no_name() { if [[ -e $(registry)/x ]]; then ipcns delete x; fi; }

# Everything in it is its own.
whole() { # NAME
    local found
    # shellcheck disable=SC2016 # for the inner shell
    found=$(ipcns exec "$1" -- sh -c '[ ! -e "$1" ] || echo "it has the /dev/shm of the host"' - "$marker" 2>&1) ||
        complain "exec $1: $found" || return
    [[ -z $found ]] || complain "$found"
}

after_create() { # STATUS
    if (($1 == 0)); then
        whole x
    else
        registry_is_clean || return
        is_root || wait_until 10 no_keeper x || complain 'a keeper of x is left'
    fi
}

create() { # ERRNO
    fails_at_each_call "$1" 1 registry no_name after_create "$IPCNS" create x
    no_name
}

@test "create of which a system call fails makes a whole name or none" {
    run in_private_run create "$EIO"
    expect_status 0
    run in_private_run create "$ENOMEM"
    expect_status 0
}

# With an object of each kind.
full_name() {
    if [[ -e $(registry)/x ]]; then
        if (($(objects) == 6)); then return; fi
        ipcns clear x --yes >/dev/null
    else
        ipcns create x
    fi
    {
        ipcns make x msg 7
        ipcns make x shm 7 --size 64K
        ipcns make x sem 7 --count 3 --value 1,2,3
        ipcns make x mq /q
        ipcns make x pshm /f --size 5000
        ipcns make x psem /s
    } >made
}

after_delete() { # STATUS
    if (($1 == 0)); then
        swept || return
        is_root || wait_until 10 no_keeper x || complain 'a keeper of x is left'
    elif [[ -e $(registry)/x ]]; then
        whole x
    fi
}

delete() { # ERRNO
    fails_at_each_call "$1" 1 registry full_name after_delete "$IPCNS" delete x
    no_name
    registry_is_clean
}

@test "delete of which a system call fails leaves a name that works or none" {
    run in_private_run delete "$EIO"
    expect_status 0
    run in_private_run delete "$ENOMEM"
    expect_status 0
}

# --- programs --------------------------------------------------------------------------------------------------

# Where it runs, in words.
# shellcheck disable=SC2016 # for the inner shell
where='[ "$(readlink /proc/self/ns/ipc)" = "$host" ] && echo "in the namespace of the host" || echo inside
    [ -e "$marker" ] && echo "with the /dev/shm of the host" || echo "with its own /dev/shm"'

run_it() { # ERRNO
    local host
    host=$(host_ns)
    export host
    fails_at_each_call "$1" 1 '' nothing registry_is_clean "$IPCNS" run -- /bin/sh -c "$where"
    fails_at_each_call "$1" 1 '' nothing registry_is_clean "$IPCNS" run --limit shmmni=9 --strict -- /bin/sh -c "$where"
    grep -qx inside usual
    grep -qx 'with its own /dev/shm' usual
}

@test "run of which a system call fails starts the program inside or not at all" {
    run in_private_run run_it "$EIO"
    expect_status 0
    run in_private_run run_it "$ENOMEM"
    expect_status 0
}

exec_it() { # ERRNO
    local host
    host=$(host_ns)
    export host
    fails_at_each_call "$1" 1 registry full_name nothing "$IPCNS" exec x -- /bin/sh -c "$where"
    grep -qx inside usual
    grep -qx 'with its own /dev/shm' usual
    no_name
}

@test "exec of which a system call fails starts the program inside or not at all" {
    run in_private_run exec_it "$EIO"
    expect_status 0
    run in_private_run exec_it "$ENOMEM"
    expect_status 0
}

after_attach() { # STATUS
    local left
    if (($1 == 0)); then
        whole x
    else
        left=$(find "$(registry)" -name '*x*'; grep -F " $(registry)/x" /proc/self/mountinfo || true)
        [[ -z $left ]] || complain "left: $left"
    fi
}

attach_it() { # ERRNO
    if [[ ! -e $(registry)/y ]]; then ipcns create y; fi
    fails_at_each_call "$1" 1 registry no_name after_attach "$IPCNS" attach x y
    no_name
    ipcns delete y
}

@test "attach of which a system call fails makes a whole name or none" {
    run in_private_run attach_it "$EIO"
    expect_status 0
    run in_private_run attach_it "$ENOMEM"
    expect_status 0
}

# --- verdicts --------------------------------------------------------------------------------------------------

verdicts() { # JQ-CONDITION
    if grep -q '^ipcns: write to standard output: ' said; then return; fi
    jq -r ".channels[] | select($1) | .channel + \": \" + .verdict + \", \" + .why" printed
}

# Between a place and itself nothing is isolated, and what could not be tried is no proof that it is.
none_isolated() { # STATUS
    local found
    (($1 != 0)) || complain 'it says that all is as expected' || return
    found=$(verdicts '.verdict == "isolated"') || complain 'no JSON' || return
    [[ -z $found ]] || complain "$found"
}

# Between two new ones, what must be isolated is, whatever could not be tried.
none_open() { # STATUS
    local found
    found=$(verdicts '.expected and .verdict == "open"') || complain 'no JSON' || return
    [[ -z $found ]] || complain "$found" || return
    (($1 != 0)) || { found=$(verdicts '.expected and .verdict != "isolated"') && [[ -z $found ]]; } ||
        complain "all is as expected, it says: $found"
}

verify_it() { # ERRNO
    mount -t tmpfs none /dev/shm
    local judge=has_a_verdict ends_with=3 from=${IPCNS%/bin/ipcns}/libexec/ipcns/ipcns-agent
    fails_at_each_call "$1" $((every * 12)) "$from" nothing none_isolated "$IPCNS" verify self self --json
    ends_with=0
    fails_at_each_call "$1" $((every * 12)) "$from" nothing none_open "$IPCNS" verify --json
}

# What could not be taken away is in a namespace that goes with the test.
# bats test_tags=root
@test "verify takes no system call that fails for a proof" {
    private_options+=(--ipc)
    run in_private_run verify_it "$EIO"
    expect_status 0
    run in_private_run verify_it "$ENOMEM"
    expect_status 0
}

# --- objects ---------------------------------------------------------------------------------------------------

show_it() { # ERRNO
    full_name
    if [[ ! -e $(registry)/y ]]; then ipcns clone x y; fi
    fails_at_each_call "$1" "$every" registry full_name nothing "$IPCNS" show x
    fails_at_each_call "$1" "$every" registry full_name nothing "$IPCNS" show x --json --holders
    fails_at_each_call "$1" "$every" registry full_name nothing "$IPCNS" show x --summary
    fails_at_each_call "$1" 1 registry full_name nothing "$IPCNS" limits x
    fails_at_each_call "$1" "$every" registry full_name nothing "$IPCNS" diff x y
    fails_at_each_call "$1" 1 registry full_name nothing "$IPCNS" peek x shm:0
    no_name
    ipcns delete y
}

@test "what show, limits, diff and peek can not find out they say" {
    run in_private_run show_it "$EIO"
    expect_status 0
    run in_private_run show_it "$ENOMEM"
    expect_status 0
}

look_everywhere() { # ERRNO
    local again=10
    mount -t tmpfs none /dev/shm
    fails_at_each_call "$1" "$every" registry full_name nothing "$IPCNS" show --all --json
    fails_at_each_call "$1" "$every" registry full_name nothing "$IPCNS" list --json
    no_name
}

# What the rest of the system has in the host's namespace comes and goes, so this looks from another one; what other tests have
# mounted does as well.
# bats test_tags=serial, root
@test "what list and show --all can not find out they say" {
    private_options+=(--ipc)
    run in_private_run look_everywhere "$EIO"
    expect_status 0
    run in_private_run look_everywhere "$ENOMEM"
    expect_status 0
}

cleared_or_not() { # STATUS
    local count
    count=$(objects)
    # What it could not look at it has said.
    if (($1 == 0)); then ((count == 0)) || [[ -s said ]] || complain "it is not empty: $count"; fi
}

remove_objects() { # ERRNO
    fails_at_each_call "$1" 1 registry full_name cleared_or_not "$IPCNS" remove x --all --yes
    no_name
    fails_at_each_call "$1" 1 registry full_name cleared_or_not "$IPCNS" clear x --yes
    no_name
}

@test "remove and clear of which a system call fails say what is left" {
    run in_private_run remove_objects "$EIO"
    expect_status 0
}

empty_name() {
    if [[ ! -e $(registry)/x ]]; then ipcns create x; fi
    ipcns clear x --yes >/dev/null
}

objects() { ipcns show x -q -n -o OBJECT | wc -l; } # of all kinds

made_or_not() { # STATUS
    local count
    count=$(objects)
    (($1 == 0 ? count == 1 : count == 0)) || complain "with exit status $1 there are $count"
}

make() { # ERRNO
    fails_at_each_call "$1" 1 registry empty_name made_or_not "$IPCNS" make x sem 9 --count 3 --value 1,2,3 --exclusive
    fails_at_each_call "$1" 1 registry empty_name made_or_not "$IPCNS" make x shm 9 --size 1M --exclusive
    no_name
}

@test "make of which a system call fails makes an object or none" {
    run in_private_run make "$EIO"
    expect_status 0
    run in_private_run make "$ENOMEM"
    expect_status 0
}

usual_limits() {
    if [[ ! -e $(registry)/x ]]; then ipcns create x; fi
    ipcns limits x shmmni=100 msgmnb=5000 sem='100 200 30 40'
}
all_or_none() { # STATUS
    local found
    local wanted='shmmni=100 msgmnb=5000 semmsl=100 semmns=200 semopm=30 semmni=40'
    if (($1 == 0)); then wanted='shmmni=101 msgmnb=5001 semmsl=101 semmns=201 semopm=31 semmni=41'; fi
    found=$(ipcns limits x --json | jq -r '[.limits[] | "\(.key)=\(.value)"] | join(" ")')
    for wanted in $wanted; do [[ " $found " == *" $wanted "* ]] || complain "no $wanted in: $found" || return; done
}

set_limits() { # ERRNO
    fails_at_each_call "$1" 1 registry usual_limits all_or_none \
        "$IPCNS" limits x shmmni=101 msgmnb=5001 'sem=101 201 31 41'
    no_name
}

@test "limits of which a system call fails sets all or none" {
    run in_private_run set_limits "$EIO"
    expect_status 0
}

# --- snapshots -------------------------------------------------------------------------------------------------

no_file() {
    full_name
    rm -f saved
    if [[ -e $(registry)/y ]]; then ipcns delete y; fi
}

saved_or_not() { # STATUS
    local found
    if (($1 == 0)) || grep -q 'there, and whole' said; then
        ipcns restore saved y || complain 'what was saved can not be restored' || return
        found=$(ipcns diff x y 2>&1) || grep -q 'not saved$' said || complain "what was saved differs: $found" || return
    else
        [[ ! -e saved ]] || complain 'it failed, and left a file' || return
    fi
    found=$(find . -name '.*' -type f)
    [[ -z $found ]] || complain "left: $found"
}

save() { # ERRNO
    fails_at_each_call "$1" "$every" registry no_file saved_or_not "$IPCNS" save x saved
    no_name
    if [[ -e $(registry)/y ]]; then ipcns delete y; fi
}

@test "save of which a system call fails leaves a whole snapshot or none, and the namespace as it was" {
    run in_private_run save "$EIO"
    expect_status 0
    run in_private_run save "$ENOMEM"
    expect_status 0
}

no_copy() {
    full_name
    if [[ ! -e saved ]]; then ipcns save x saved; fi
    if [[ -e $(registry)/y ]]; then ipcns delete y; fi
}

copied_or_not() { # STATUS
    local found
    if (($1 == 0)); then
        found=$(ipcns diff x y 2>&1) || grep -q 'not saved$' said || complain "what was restored differs: $found" || return
    else
        [[ ! -e $(registry)/y ]] || complain 'it failed, and left a name' || return
    fi
}

restore() { # ERRNO
    fails_at_each_call "$1" "$every" registry no_copy copied_or_not "$IPCNS" restore saved y
    no_name
    if [[ -e $(registry)/y ]]; then ipcns delete y; fi
    registry_is_clean
}

clone_it() { # ERRNO
    fails_at_each_call "$1" "$every" registry no_copy copied_or_not "$IPCNS" clone x y
    no_name
    if [[ -e $(registry)/y ]]; then ipcns delete y; fi
    registry_is_clean
}

@test "clone of which a system call fails makes the whole namespace or none" {
    run in_private_run clone_it "$EIO"
    expect_status 0
    run in_private_run clone_it "$ENOMEM"
    expect_status 0
}

@test "restore of which a system call fails makes the whole namespace or none" {
    run in_private_run restore "$EIO"
    expect_status 0
    run in_private_run restore "$ENOMEM"
    expect_status 0
}
