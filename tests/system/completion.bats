#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What the shells make of Tab: bash and zsh are asked through a terminal, as a person would, and fish by its own command
# for that. Which options, columns and limits are offered is compared with --help in docs.bats.

load common

setup() {
    common_setup
    PATH=${IPCNS%/*}:$PATH
    completions=$IPCNS_TREE/completions
}

# Starts a shell on a terminal, types the line, presses the key, then one that prints what the line has become.
type_line() { # SHELL-WORDS... LINE KEY
    cat >type-line.exp <<'END'
set timeout 20
log_user 0
set key [lindex $argv end]
set line [lindex $argv end-1]
spawn -noecho {*}[lrange $argv 0 end-2]
expect {ready>} {} timeout {puts "the shell does not start"; exit 1}
send -- "$line$key\x0f"
expect -re {LINE<(.*)>ENIL} {puts $expect_out(1,string)} timeout {puts "no answer"; exit 1}
close
wait
END
    expect type-line.exp "$@" 3>&- </dev/null
}

# bash_line LINE: the line after Tab. bash_all LINE: the line with all that could follow.
bash_line() { in_bash "$1" $'\t'; }
bash_all() { in_bash "$1" $'\x14'; }
in_bash() {
    # shellcheck disable=SC2016 # for that shell
    printf '%s\n' "source '$completions/ipcns.bash'" "bind 'set bell-style none'" \
        "bind 'set enable-bracketed-paste off'" "bind '\"\\C-t\": insert-completions'" \
        'bind -x '\''"\C-o": printf "LINE<%s>%s" "$READLINE_LINE" ENIL'\' "PS1='ready> '" >rc.bash
    COLUMNS=400 type_line bash --noprofile --rcfile rc.bash -i "$1" "$2"
}

zsh_line() {
    mkdir -p zsh
    # shellcheck disable=SC2016 # for that shell
    printf '%s\n' "fpath=('$completions' \$fpath)" 'autoload -Uz compinit' "compinit -u -d '$PWD/dump'" 'setopt no_beep' \
        '_show() { print -rn -- "LINE<$BUFFER>ENIL" }' 'zle -N _show' "bindkey '^O' _show" 'PS1="ready> "' >zsh/.zshrc
    ZDOTDIR=$PWD/zsh type_line zsh -d -i "$1" $'\t'
}

fish_words() { # LINE: the words that fish offers
    # shellcheck disable=SC2016 # for fish
    local script='source $argv[1]; complete --do-complete=$argv[2]'
    fish --no-config -c "$script" "$completions/ipcns.fish" "$1" 3>&- | cut -f 1
}

expect_line() { # WANTED COMMAND...: it prints exactly this
    local wanted=$1 got
    shift
    got=$("$@") || return
    [[ $got == "$wanted" ]] || {
        printf '%s\n  expected "%s"\n       got "%s"\n' "$*" "$wanted" "$got"
        return 1
    }
}

# A name that begins with tab-, and the start of it that is typed.
name_to_complete() {
    is_root || need_userns
    name=$(unique_name "tab$RANDOM")
    ipcns create "$name"
    start=${name%%-*}
}

@test "bash: commands and options" {
    need expect
    expect_line 'ipcns create ' bash_line 'ipcns cr'
    expect_line 'ipcns help monitor ' bash_line 'ipcns help mo'
    expect_line 'ipcns list --noheadings ' bash_line 'ipcns list --no'
    expect_line 'ipcns delete --all --kill ' bash_line 'ipcns delete --all --k'
    expect_line 'ipcns attach clear clone create delete diff exec help identify limits list make monitor peek pids remove restore run save show verify ' bash_all 'ipcns '
}

@test "bash: channels, in a list" {
    expect_line 'ipcns verify --expect loopback' bash_line 'ipcns verify --expect loo'
    expect_line 'ipcns verify --only msg,limit.shmmax' bash_line 'ipcns verify --only msg,limit.shmma'
}

@test "bash: values of options, written with and without =" {
    need expect
    expect_line 'ipcns list --fds=never ' bash_line 'ipcns list --fds=n'
    expect_line 'ipcns run --limit shmmni=' bash_line 'ipcns run --limit shmmn'
    expect_line 'ipcns run --limit shmmni=4 --limit msgmnb=' bash_line 'ipcns run --limit shmmni=4 --limit msgmnb'
    expect_line 'ipcns list -o NS,PROCS' bash_line 'ipcns list -o NS,PR'
    expect_line 'ipcns list --output=+SHM' bash_line 'ipcns list --output=+SH'
    expect_line 'ipcns list -oNS,PROCS' bash_line 'ipcns list -oNS,PR'
    expect_line 'ipcns restore --list -o OBJECT,KEY' bash_line 'ipcns restore --list -o OBJECT,KE'
    expect_line 'ipcns remove db --kind shm,pshm' bash_line 'ipcns remove db --kind shm,psh'
    expect_line 'ipcns verify --run-options --strict ' bash_line 'ipcns verify --run-options --str'
    mkdir folder
    expect_line 'ipcns exec --chdir folder/' bash_line 'ipcns exec --chdir fold'
}

@test "bash: names, words and inodes for a TARGET" {
    need expect
    name_to_complete
    expect_line "ipcns exec $name " bash_line "ipcns exec $start"
    expect_line "ipcns pids -l $name " bash_line "ipcns pids -l $start"
    expect_line "ipcns delete $name " bash_line "ipcns delete $start"
    expect_line "ipcns diff self $name " bash_line "ipcns diff self $start"
    expect_line "ipcns clear --yes $name " bash_line "ipcns clear --yes $start"
    expect_line "ipcns exec host " bash_line "ipcns exec ho"
    expect_line "ipcns attach other $name " bash_line "ipcns attach other $start"
    ipcns make "$name" shm --size 1 >made
    expect_line "ipcns peek $name shm:0 " bash_line "ipcns peek $name shm:"
    expect_line "ipcns peek $name psem:/" bash_line "ipcns peek $name pse"
    ipcns make "$name" pshm /cache --size 1 >made
    expect_line "ipcns peek --bytes 9 $name pshm:/cache " bash_line "ipcns peek --bytes 9 $name pshm:/ca"
    expect_line "ipcns remove $name shm:0 " bash_line "ipcns remove $name shm:"
    expect_line "ipcns remove -v $name shm:0 pshm:/cache " bash_line "ipcns remove -v $name shm:0 pshm:"
    expect_line "ipcns remove $name psem:/" bash_line "ipcns remove $name pse"
    expect_line "ipcns show $name pshm:/cache " bash_line "ipcns show $name pshm:"
    expect_line "ipcns show $name psem " bash_line "ipcns show $name pse"
    expect_line "ipcns make $name psem " bash_line "ipcns make $name pse"
    number=$(ipcns exec "$name" -- readlink /proc/self/ns/ipc | tr -dc 0-9)
    # The whole number: others make namespaces with numbers near it.
    expect_line "ipcns pids @$number " bash_line "ipcns pids @$number"
}

# bats test_tags=root
@test "bash, zsh, fish: names of jobs" {
    need expect zsh fish
    # The folder of a name is all that is looked at.
    name=slurm:4242$RANDOM@$RANDOM
    # shellcheck disable=SC2154 # common.bash's
    printf '%s\n' "$name" >>"$names_file"
    ipcns create "$(unique_name)"
    mkdir "/run/ipcns/$name"
    expect_line "ipcns exec $name " bash_line "ipcns exec ${name%??}"
    expect_line "ipcns show $name " bash_line "ipcns show ${name%??}"
    expect_line "ipcns exec $name " zsh_line "ipcns exec ${name%??}"
    expect_line "ipcns show $name " zsh_line "ipcns show ${name%??}"
    fish_words 'ipcns exec slurm:' | grep -qx "$name"
}

@test "bash: targets and files of snapshots" {
    need expect
    name_to_complete
    : >a.snapshot
    expect_line "ipcns save $name " bash_line "ipcns save $start"
    expect_line "ipcns save --max-pause 2 $name a.snapshot " bash_line "ipcns save --max-pause 2 $name a.sn"
    expect_line 'ipcns restore a.snapshot ' bash_line 'ipcns restore a.sn'
    expect_line "ipcns restore --into $name " bash_line "ipcns restore --into $start"
    expect_line "ipcns restore --into=$name a.snapshot " bash_line "ipcns restore --into=$name a.sn"
    expect_line 'ipcns restore --list -o OBJECT,KEY' bash_line 'ipcns restore --list -o OBJECT,KE'
    expect_line 'ipcns restore --map-uid 1000:root ' bash_line 'ipcns restore --map-uid 1000:roo'
    expect_line "ipcns clone $name " bash_line "ipcns clone $start"
}

@test "bash: limits, for a namespace or without one" {
    need expect
    name_to_complete
    expect_line "ipcns limits $name " bash_line "ipcns limits $start"
    expect_line "ipcns limits $name shmmni=64 queues_max=" bash_line "ipcns limits $name shmmni=64 queues_m"
    expect_line 'ipcns limits shm_rmid_forced=' bash_line 'ipcns limits shm_r'
    expect_line 'ipcns limits semmn' bash_line 'ipcns limits semmn' # semmni or semmns
    expect_line 'ipcns limits -o KEY,USE%' bash_line 'ipcns limits -o KEY,USE%'
}

@test "bash: the program and its arguments" {
    need expect
    : >an-argument
    mkdir bin
    printf '#!/bin/sh\n' >bin/prog-of-test
    chmod +x bin/prog-of-test
    PATH=$PWD/bin:$PATH
    expect_line 'ipcns run prog-of-test ' bash_line 'ipcns run prog-of-t'
    expect_line 'ipcns run -v --limit sem=1,2,3,4 -- prog-of-test ' bash_line 'ipcns run -v --limit sem=1,2,3,4 -- prog-of-t'
    expect_line 'ipcns exec self -- prog-of-test ' bash_line 'ipcns exec self -- prog-of-t'
    expect_line 'ipcns exec --all prog-of-test ' bash_line 'ipcns exec --all prog-of-t'
    expect_line 'ipcns exec self prog-of-test an-argument ' bash_line 'ipcns exec self prog-of-test an-a'
    expect_line 'ipcns run -- prog-of-test --an-option an-argument ' bash_line 'ipcns run -- prog-of-test --an-option an-a'
}

@test "zsh: commands, options, values, names, programs" {
    need zsh expect
    name_to_complete
    : >an-argument
    expect_line 'ipcns create ' zsh_line 'ipcns cr'
    expect_line 'ipcns list --noheadings ' zsh_line 'ipcns list --no'
    expect_line 'ipcns list -o NS,PROCS,' zsh_line 'ipcns list -o NS,PR'
    expect_line 'ipcns list -o +SHM,' zsh_line 'ipcns list -o +SH'
    expect_line 'ipcns restore --list -o OBJECT,KEY,' zsh_line 'ipcns restore --list -o OBJECT,KE'
    expect_line 'ipcns run --limit msgmnb=' zsh_line 'ipcns run --limit msgmnb'
    expect_line 'ipcns limits db semopm=' zsh_line 'ipcns limits db semo'
    expect_line 'ipcns limits queues_max=' zsh_line 'ipcns limits queue'
    expect_line "ipcns limits $name " zsh_line "ipcns limits $start"
    expect_line 'ipcns limits -o KEY,VALUE,' zsh_line 'ipcns limits -o KEY,VAL'
    expect_line "ipcns exec $name " zsh_line "ipcns exec $start"
    expect_line "ipcns diff self $name " zsh_line "ipcns diff self $start"
    expect_line "ipcns delete $name " zsh_line "ipcns delete $start"
    : >a.snapshot
    expect_line "ipcns save $name " zsh_line "ipcns save $start"
    expect_line 'ipcns save db a.snapshot ' zsh_line 'ipcns save db a.sn'
    expect_line 'ipcns restore a.snapshot ' zsh_line 'ipcns restore a.sn'
    expect_line "ipcns clone $name " zsh_line "ipcns clone $start"
    ipcns make "$name" shm --size 1 >made
    ipcns make "$name" pshm /cache --size 1 >made
    expect_line "ipcns peek $name shm:0 " zsh_line "ipcns peek $name shm:"
    expect_line "ipcns peek $name psem:/" zsh_line "ipcns peek $name pse"
    expect_line "ipcns peek --bytes 9 $name pshm:/cache " zsh_line "ipcns peek --bytes 9 $name pshm:/ca"
    expect_line "ipcns remove $name shm:0 pshm:/cache " zsh_line "ipcns remove $name shm:0 pshm:"
    expect_line "ipcns show $name psem " zsh_line "ipcns show $name pse"
    expect_line "ipcns make $name psem " zsh_line "ipcns make $name pse"
    expect_line 'ipcns remove db --kind shm,pshm,' zsh_line 'ipcns remove db --kind shm,psh'
    expect_line 'ipcns restore --map-uid 1000:root ' zsh_line 'ipcns restore --map-uid 1000:roo'
    expect_line 'ipcns verify --only msg,loopback,' zsh_line 'ipcns verify --only msg,loo'
    expect_line "ipcns restore --into $name " zsh_line "ipcns restore --into $start"
    expect_line 'ipcns run -v -- dircolors ' zsh_line 'ipcns run -v -- dircolor'
    expect_line 'ipcns exec db -- cat an-argument ' zsh_line 'ipcns exec db -- cat an-a'
}

@test "fish: commands, options, values, names, programs" {
    need fish
    name_to_complete
    : >an-argument
    expect_line 'create' fish_words 'ipcns cr'
    expect_line '--noheadings' fish_words 'ipcns list --no'
    expect_line 'NS,PROCS' fish_words 'ipcns list -o NS,PR'
    expect_line '+SHM' fish_words 'ipcns list -o +SH'
    expect_line 'OBJECT,KEY' fish_words 'ipcns restore --list -o OBJECT,KE'
    expect_line 'msgmnb=' fish_words 'ipcns run --limit msgmnb'
    expect_line 'semopm=' fish_words 'ipcns limits db semo'
    expect_line "$name" fish_words "ipcns limits $start"
    expect_line "$name" fish_words "ipcns exec $start"
    expect_line "$name" fish_words "ipcns diff self $start"
    expect_line "$name" fish_words "ipcns delete $start"
    : >a.snapshot
    expect_line "$name" fish_words "ipcns save $start"
    expect_line 'a.snapshot' fish_words 'ipcns save db a.sn'
    expect_line 'a.snapshot' fish_words 'ipcns restore a.sn'
    expect_line "$name" fish_words "ipcns restore --into $start"
    expect_line "$name" fish_words "ipcns clone $start"
    ipcns make "$name" shm --size 1 >made
    ipcns make "$name" pshm /cache --size 1 >made
    expect_line 'shm:0' fish_words "ipcns peek $name shm:"
    expect_line 'psem:/' fish_words "ipcns peek $name pse"
    expect_line 'pshm:/cache' fish_words "ipcns peek --bytes 9 $name pshm:"
    expect_line 'pshm:/cache' fish_words "ipcns remove $name shm:0 pshm:"
    expect_line 'psem' fish_words "ipcns show $name pse"
    expect_line 'psem' fish_words "ipcns make $name pse"
    expect_line 'shm,pshm' fish_words 'ipcns remove db --kind shm,psh'
    expect_line '1000:root' fish_words 'ipcns restore --map-uid 1000:roo'
    expect_line 'msg,loopback' fish_words 'ipcns verify --only msg,loo'
    expect_line 'dircolors' fish_words 'ipcns run -v -- dircolor'
    expect_line 'an-argument' fish_words 'ipcns exec db -- cat an-a'
}

@test "containers, in each shell that is there" {
    need expect
    start=tab$RANDOM
    mkdir -p "$XDG_RUNTIME_DIR/crun/$start-a" "$XDG_RUNTIME_DIR/docker/runtime-runc/moby/$start-b"
    expect_line "ipcns exec oci:$start-a " bash_line "ipcns exec oci:$start-a"
    expect_line "ipcns diff self oci:$start-b " bash_line "ipcns diff self oci:$start-b"
    expect_line "ipcns show oci:$start-" bash_line "ipcns show oci:$start"
    expect_line "ipcns save oci:$start-a " bash_line "ipcns save oci:$start-a"
    expect_line "ipcns limits oci:$start-a " bash_line "ipcns limits oci:$start-a"
    expect_line "ipcns peek oci:$start-a " bash_line "ipcns peek oci:$start-a"
    expect_line "ipcns restore --into oci:$start-a " bash_line "ipcns restore --into oci:$start-a"
    expect_line 'ipcns pids oci:' bash_line 'ipcns pids oc'
    if command -v zsh >/dev/null; then
        expect_line "ipcns exec oci:$start-a " zsh_line "ipcns exec oci:$start-a"
        expect_line "ipcns show oci:$start-" zsh_line "ipcns show oci:$start"
        expect_line "ipcns limits oci:$start-a " zsh_line "ipcns limits oci:$start-a"
        expect_line "ipcns clone oci:$start-a " zsh_line "ipcns clone oci:$start-a"
        expect_line 'ipcns pids oci:' zsh_line 'ipcns pids oci'
    fi
    if command -v fish >/dev/null; then
        expect_line "oci:$start-a"$'\n'"oci:$start-b" fish_words "ipcns exec oci:$start"
        expect_line 'oci:' fish_words 'ipcns pids oc'
        expect_line "oci:$start-a" fish_words "ipcns save oci:$start-a"
        expect_line "oci:$start-a" fish_words "ipcns limits oci:$start-a"
    fi
}

@test "objects of a container" {
    need expect
    is_root || need_userns
    start=tab$RANDOM
    in_background "$IPCNS" run -- sh -c 'ipcmk -Q && exec sleep 1000'
    wait_until 10 sleeps $!
    # What crun writes; the program is the command's child.
    child=$(pgrep -P $! sleep)
    mkdir -p "$XDG_RUNTIME_DIR/crun/$start"
    printf '{"pid": %s, "process-start-time": %s}\n' "$child" "$(sed 's/.*) //' "/proc/$child/stat" | cut -d ' ' -f 20)" \
        >"$XDG_RUNTIME_DIR/crun/$start/status"
    expect_line "ipcns show oci:$start msg:0 " bash_line "ipcns show oci:$start msg:"
    if command -v zsh >/dev/null; then expect_line "ipcns show oci:$start msg:0 " zsh_line "ipcns show oci:$start msg:"; fi
    if command -v fish >/dev/null; then expect_line 'msg:0' fish_words "ipcns show oci:$start msg:"; fi
}

sleeps() { [[ -n $(pgrep -P "$1" -x sleep) ]]; } # PARENT
