# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Completion for bash. It works with and without the package bash-completion. Names are read from the folders that they
# are kept in, so that pressing Tab starts no program.

# The options of a command, and the columns of its table.
_ipcns_options() { # COMMAND
    case $1 in
    '') printf '%s\n' -h --help -V --version ;;
    run) printf '%s\n' --ipc-only --strict --shm-size --limit --root --name --wait --exec --chdir --env --unset \
        --die-with-parent -v --verbose -h --help ;;
    exec) printf '%s\n' --all -q --quiet --ipc-only --root --chdir --env --unset --die-with-parent -v --verbose \
        -h --help ;;
    create) printf '%s\n' --config --shm-size --limit -v --verbose -h --help ;;
    attach) printf '%s\n' -h --help ;;
    delete) printf '%s\n' --all --kill --timeout -v --verbose -h --help ;;
    list) printf '%s\n' -o --output -n --noheadings -J --json --fds --objects -b --bytes -q --quiet -h --help ;;
    pids) printf '%s\n' -l --long -o --output -n --noheadings -J --json -h --help ;;
    identify) printf '%s\n' -o --output -n --noheadings -J --json -h --help ;;
    monitor) printf '%s\n' -J --json -h --help ;;
    show) printf '%s\n' -o --output -n --noheadings -J --json -a --all --holders -t --time -p --pid -c --creator -b \
        --bytes -u --summary -l --limits --ipcs -q --quiet -h --help ;;
    make) printf '%s\n' --size --count --limit --mode --value --huge --noreserve --lock --allocate --owner --exclusive \
        -J --json -v --verbose -h --help ;;
    remove) printf '%s\n' --kind --owner --older-than --orphans --key --all --force -y --yes --dry-run -o --output \
        -n --noheadings -J --json -v --verbose -h --help ;;
    diff) printf '%s\n' -o --output -n --noheadings -J --json --objects --kind --no-content -h --help ;;
    clear) printf '%s\n' -y --yes --dry-run -v --verbose -h --help ;;
    limits) printf '%s\n' -o --output -n --noheadings -J --json -b --bytes -v --verbose -h --help ;;
    peek) printf '%s\n' --raw --limit --bytes --offset --length -o --output -n --noheadings -J --json -h --help ;;
    save) printf '%s\n' --live --max-pause --drain --zstd --precopy -v --verbose -h --help ;;
    restore) printf '%s\n' --into --map-uid --map-gid --shm-size --new-ids --list --check -b --bytes -o --output \
        -n --noheadings -J --json -v --verbose -h --help ;;
    clone) printf '%s\n' --live --max-pause --drain --map-uid --map-gid --shm-size --new-ids -v --verbose -h --help ;;
    verify) printf '%s\n' -o --output -n --noheadings -J --json --run-options --only --expect --limits --junit -h --help ;;
    esac
}

_ipcns_columns() { # COMMAND
    case $1 in
    list) printf '%s\n' NS NAME PROCS PID USER HELD COMMAND UID MOUNTS FDS SHM OBJECTS ;;
    pids) printf '%s\n' PID USER UID COMMAND ;;
    identify) printf '%s\n' NS NAME PID ;;
    show) printf '%s\n' NS NSNAME OBJECT KIND ID KEY NAME MODE OWNER UID GROUP GID CREATOR CUID CGROUP CGID SIZE \
        STATE CONTENT MESSAGES LIMIT LSPID LRPID SENT RECEIVED NSEMS VALUES OPERATED RSS SWAP NATTCH CPID LPID \
        ATTACHED DETACHED FLAGS MAXMSG MSGSIZE NOTIFY VALUE WAITERS ALLOC ACCESSED MODIFIED CHANGED BORN DEVICE \
        INODE HOLDERS ;;
    remove) printf '%s\n' OBJECT KIND KEY OWNER UID MODE SIZE STATE IDLE ;;
    diff) printf '%s\n' WHAT KIND RESULT FIELD NUMBER OFFSET A B IDA IDB NOTE ;;
    restore) printf '%s\n' OBJECT KEY UID GID MODE SIZE CONTENT ;;
    limits) printf '%s\n' KEY VALUE DEFAULT USED USE% MEANING UNIT PATH ;;
    peek) printf '%s\n' NUMBER TYPE PRIORITY BYTES TEXT DATA VALUE PID WAITINC WAITZERO WAITERS ;;
    verify) printf '%s\n' CHANNEL VERDICT DECIDES CLOSES WHY FORTH BACK EXPECTED MEANING ;;
    esac
}

# The folder of the caller's own names.
_ipcns_own_folder() {
    if ((EUID == 0)); then
        printf '/run/ipcns'
    elif [[ ${XDG_RUNTIME_DIR-} == /* ]]; then
        printf '%s/ipcns' "$XDG_RUNTIME_DIR"
    elif [[ -w /run/user/$EUID ]]; then
        printf '/run/user/%s/ipcns' "$EUID"
    else
        printf '/tmp/ipcns-%s' "$EUID"
    fi
}

_ipcns_names() { # FOLDER...
    local folder
    for folder in "$@"; do
        compgen -G "$folder/*/" | sed 's|/*$||; s|.*/||'
    done | sort -u
}

_ipcns_pids() { compgen -G '/proc/[1-9]*/' | tr -dc '0-9\n'; }

# The ids of containers, where the caller may see them.
_ipcns_containers() {
    local own=${XDG_RUNTIME_DIR:-/run/user/$EUID}
    _ipcns_names /run/runc /run/crun /run/docker/runtime-runc/* /run/containerd/runc/* \
        "$own/runc" "$own/crun" "$own/docker/runtime-runc"/*
}

# Each of these sets COMPREPLY to those of the words that begin as $cur does.
_ipcns_reply() { # WORD...
    local word
    for word in "$@"; do
        if [[ $word == "$cur"* ]]; then COMPREPLY+=("$word"); fi
    done
}

_ipcns_reply_lines() {
    local words
    mapfile -t words
    _ipcns_reply "${words[@]}"
}

# Whole words with a colon in them. Readline replaces what comes after the colon if it takes that for the end of a word.
_ipcns_reply_after_colon() {
    local word
    while IFS= read -r word; do
        if [[ $word == "$cur"* && $COMP_WORDBREAKS == *:* ]]; then
            COMPREPLY+=("${word#*:}")
        elif [[ $word == "$cur"* ]]; then
            COMPREPLY+=("$word")
        fi
    done
}

_ipcns_reply_target() {
    case $cur in
    /* | .*) mapfile -t COMPREPLY < <(compgen -f -- "$cur") && compopt -o filenames 2>/dev/null ;;
    @*) _ipcns_reply_lines < <(ipcns list -q -n -o NS --fds=never 2>/dev/null | sed 's/^ */@/') ;;
    [0-9]*) _ipcns_reply_lines < <(_ipcns_pids) ;;
    oci:*) _ipcns_reply_after_colon < <(_ipcns_containers | sed 's/^/oci:/') ;;
    slurm:*)
        _ipcns_reply_lines < <(_ipcns_names /run/ipcns | grep '^slurm:')
        # Readline replaces what comes after the colon, or from the @ on, if it takes these for the end of a word.
        if [[ $cur == *@* && $COMP_WORDBREAKS == *@* ]]; then
            COMPREPLY=("${COMPREPLY[@]#"${cur%@*}"}")
        elif [[ $COMP_WORDBREAKS == *:* ]]; then
            COMPREPLY=("${COMPREPLY[@]#slurm:}")
        fi
        ;;
    *) _ipcns_reply_lines < <(
        _ipcns_names "$(_ipcns_own_folder)" /run/ipcns
        printf '%s\n' self host
        if [[ -n $(_ipcns_containers) ]]; then printf '%s\n' oci:; fi
    )
        if [[ ${COMPREPLY[*]} == oci: ]]; then compopt -o nospace 2>/dev/null; fi
        ;;
    esac
}

# The kinds, and once one of them is begun, the objects of that kind in the target among the words given.
_ipcns_reply_objects() { # WORD...
    local word target=self
    for word in "$@"; do
        if [[ $word != *:* || $word == oci:* || $word == slurm:* ]]; then target=$word && break; fi
    done
    if [[ $cur != *:* ]]; then
        _ipcns_reply msg sem shm mq psem pshm
        return
    fi
    case ${cur%%:*} in
    msg | sem | shm | mq | psem | pshm) ;;
    *) return ;;
    esac
    _ipcns_reply_after_colon < <(ipcns show "$target" "${cur%%:*}" -q -n -o OBJECT 2>/dev/null)
}

# A list with commas, of which the last word is being written.
_ipcns_reply_list() { # WORD...
    local done='' word
    if [[ $cur == *,* ]]; then
        done=${cur%,*},
    elif [[ $cur == +* ]]; then
        done=+
    fi
    for word in "$@"; do
        if [[ ,${done#+} != *,$word,* ]]; then _ipcns_reply "$done$word"; fi
    done
    compopt -o nospace 2>/dev/null
}

_ipcns_reply_columns() { # COMMAND
    local columns
    mapfile -t columns < <(_ipcns_columns "$1")
    _ipcns_reply_list "${columns[@]}"
}

# What verify tries, and sets of it.
_ipcns_reply_channels() {
    _ipcns_reply_list kinds ipc all msg sem shm mq psem pshm sysvipc mqueue mq-notify \
        limit.{msgmax,msgmnb,msgmni,semmsl,semmns,semopm,semmni,shmall,shmmax,shmmni,shm_rmid_forced} \
        limit.{queues_max,msg_max,msgsize_max,msg_default,msgsize_default} file fifo socket mapping futex inotify signal \
        ptrace vm-read proc-mem proc-fd pidfd-getfd abstract loopback rights
}

_ipcns_reply_limit() {
    if [[ $cur == *=* ]]; then return; fi
    _ipcns_reply msgmax= msgmnb= msgmni= sem= semmsl= semmns= semopm= semmni= shmall= shmmax= shmmni= shm_rmid_forced= msg_next_id= sem_next_id= \
        shm_next_id= auto_msgmni= queues_max= msg_max= msgsize_max= msg_default= msgsize_default=
    # A name of a namespace may be among them.
    if [[ "${COMPREPLY[*]} " != *[^=]' '* ]]; then compopt -o nospace 2>/dev/null; fi
}

# The beginning of an OBJECT.
_ipcns_reply_kinds() {
    _ipcns_reply msg: sem: shm: mq:/ psem:/ pshm:/
    compopt -o nospace 2>/dev/null
}

_ipcns_reply_program() { # INDEX in COMP_WORDS where the program begins
    if declare -F _command_offset >/dev/null; then
        _command_offset "$1"
    elif ((COMP_CWORD == $1)); then
        mapfile -t COMPREPLY < <(compgen -c -- "$cur" | sort -u)
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        compopt -o filenames 2>/dev/null
    fi
}

# A file, for a command that also takes "-".
_ipcns_reply_file() {
    mapfile -t COMPREPLY < <(compgen -f -- "$cur") && compopt -o filenames 2>/dev/null
}

# OLD:NEW, of users or groups.
_ipcns_reply_mapped() { # u|g
    local new=${cur#*:} word
    if [[ $cur != *:* ]]; then return; fi
    while IFS= read -r word; do
        # Readline replaces what comes after the colon if it takes that for the end of a word.
        if [[ $COMP_WORDBREAKS == *:* ]]; then COMPREPLY+=("$word"); else COMPREPLY+=("${cur%%:*}:$word"); fi
    done < <(compgen -"$1" -- "$new")
}

# What comes after an option that takes a value; fails when this one takes none.
_ipcns_reply_value() { # COMMAND OPTION
    case $2 in
    --limit) if [[ $1 != make && $1 != peek ]]; then _ipcns_reply_limit; fi ;;
    --kind) _ipcns_reply_list msg sem shm mq psem pshm ;;
    --owner) mapfile -t COMPREPLY < <(compgen -u -- "$cur") ;;
    --huge | --count | --mode | --value | --key | --older-than | --raw | --max-pause | --zstd) ;;
    --into) _ipcns_reply_target ;;
    --map-uid) _ipcns_reply_mapped u ;;
    --map-gid) _ipcns_reply_mapped g ;;
    --shm-size | --size | --bytes | --offset | --length) if [[ $cur == [0-9]* ]]; then _ipcns_reply "${cur%%[!0-9]*}"{K,M,G,T}; fi ;;
    --config) mapfile -t COMPREPLY < <(compgen -f -- "$cur") && compopt -o filenames 2>/dev/null ;;
    --chdir) mapfile -t COMPREPLY < <(compgen -d -- "$cur") && compopt -o filenames 2>/dev/null ;;
    --env)
        if [[ $cur == *=* ]]; then return; fi
        mapfile -t COMPREPLY < <(compgen -e -S = -- "$cur")
        compopt -o nospace 2>/dev/null
        ;;
    --unset) mapfile -t COMPREPLY < <(compgen -e -- "$cur") ;;
    --name | --timeout) ;;
    -o | --output) _ipcns_reply_columns "$1" ;;
    --fds) _ipcns_reply auto always never ;;
    --only | --expect) _ipcns_reply_channels ;;
    --run-options) _ipcns_reply --ipc-only --strict ;;
    --junit) _ipcns_reply_file ;;
    *) return 1 ;;
    esac
}

_ipcns() {
    local cur words=() starts=() i word
    COMPREPLY=()

    # Readline takes = and @ for words of their own: put together again what was written without a space. starts[] says
    # where each word began.
    local rest=${COMP_LINE:0:COMP_POINT} glued
    for ((i = 0; i <= COMP_CWORD; ++i)); do
        word=${COMP_WORDS[i]}
        glued=no
        if [[ $rest != [[:space:]]* ]]; then glued=yes; fi
        rest=${rest#"${rest%%[![:space:]]*}"}
        rest=${rest#"$word"}
        if [[ $glued == yes && ${#words[@]} -gt 0 ]]; then
            words[-1]+=$word
        else
            words+=("$word")
            starts+=("$i")
        fi
    done
    cur=${words[-1]}
    local last=$((${#words[@]} - 1)) command=${words[1]-}

    if ((last == 1)); then
        if [[ $cur == -* ]]; then
            _ipcns_reply_lines < <(_ipcns_options '')
        else
            _ipcns_reply run exec create attach delete list pids identify monitor show make remove limits diff clear peek save restore clone verify help
        fi
        return
    fi
    if [[ $command == help ]]; then
        if ((last == 2)); then _ipcns_reply run exec create attach delete list pids identify monitor show make remove limits diff clear peek save restore clone verify; fi
        return
    fi

    # Go through the words before the last: which is a value, and which are neither option nor value.
    local others=0 option='' all=no ended=no given=()
    for ((i = 2; i < last; ++i)); do
        word=${words[i]}
        if [[ -n $option ]]; then
            option=''
        elif [[ $ended == no && $word == -- ]]; then
            ended=yes
        elif [[ $ended == no && $word == -?* ]]; then
            if [[ $word == --all ]]; then all=yes; fi
            case $word in
            --config | --shm-size | --limit | --name | --chdir | --env | --unset | --timeout | -o | --output | --size | --count | --mode | \
                --value | --owner | --kind | --older-than | --key | --run-options | --only | --expect | --junit | --offset | \
                --length | --max-pause | --into | --map-uid | --map-gid) option=$word ;;
            --bytes) if [[ $command == peek ]]; then option=$word; fi ;;
            esac
        else
            others=$((others + 1))
            given+=("$word")
            # For these two the program begins here, or after the target.
            if [[ $command == run || ($command == exec && ($all == yes || $others -gt 1)) ]]; then
                _ipcns_reply_program "${starts[i]}"
                return
            fi
            # After TARGET comes the program, with or without "--".
            if [[ $command == exec && ${words[i + 1]} == -- && $((i + 1)) -lt $last ]]; then i=$((i + 1)); fi
        fi
    done

    if [[ -n $option ]]; then
        _ipcns_reply_value "$command" "$option"
    elif [[ $ended == no && $cur == --*=* ]]; then
        option=${cur%%=*}
        cur=${cur#*=}
        _ipcns_reply_value "$command" "$option" || return
        # Readline replaces what comes after the = if it takes that for the end of a word, else the whole word.
        if [[ $COMP_WORDBREAKS != *=* ]]; then COMPREPLY=("${COMPREPLY[@]/#/$option=}"); fi
    elif [[ $ended == no && $cur == -o?* && -n $(_ipcns_columns "$command") ]]; then
        cur=${cur#-o}
        _ipcns_reply_columns "$command"
        COMPREPLY=("${COMPREPLY[@]/#/-o}")
    elif [[ $ended == no && $cur == -* && ! ($command == exec && $others -gt 0) ]]; then
        _ipcns_reply_lines < <(_ipcns_options "$command")
    else
        case $command in
        run) _ipcns_reply_program "${starts[last]}" ;;
        exec)
            if [[ $all == yes ]] || ((others > 0)); then
                _ipcns_reply_program "${starts[last]}"
            else
                _ipcns_reply_target
            fi
            ;;
        delete) _ipcns_reply_lines < <(_ipcns_names "$(_ipcns_own_folder)") ;;
        attach) if ((others == 1)); then _ipcns_reply_target; fi ;;
        pids) if ((others == 0)); then _ipcns_reply_target; fi ;;
        diff) if ((others < 2)); then _ipcns_reply_target; fi ;;
        make)
            if ((others == 0)); then _ipcns_reply_target; fi
            if ((others == 1)); then _ipcns_reply msg sem shm mq psem pshm; fi
            ;;
        remove)
            if ((others == 0)); then
                _ipcns_reply_target
            elif [[ $cur == *:* ]]; then
                _ipcns_reply_objects "${given[@]}"
            else
                _ipcns_reply_kinds
            fi
            ;;
        clear) if ((others == 0)); then _ipcns_reply_lines < <(_ipcns_names "$(_ipcns_own_folder)"); fi ;;
        identify) if ((others == 0)); then _ipcns_reply_lines < <(_ipcns_pids); fi ;;
        show)
            if ((others == 0)); then _ipcns_reply_target; fi
            _ipcns_reply_objects "${given[@]}"
            ;;
        limits)
            if ((others == 0)); then _ipcns_reply_target; fi
            if [[ $cur != [/.@0-9]* ]]; then _ipcns_reply_limit; fi
            ;;
        peek)
            if ((others == 0)); then _ipcns_reply_target; fi
            if ((others == 1)); then
                if [[ $cur == *:* ]]; then _ipcns_reply_objects "${given[@]}"; else _ipcns_reply_kinds; fi
            fi
            ;;
        save) if ((others == 0)); then _ipcns_reply_target; else _ipcns_reply_file; fi ;;
        restore) if ((others == 0)); then _ipcns_reply_file; fi ;;
        clone) if ((others == 0)); then _ipcns_reply_target; fi ;;
        verify) if ((others < 2)); then _ipcns_reply_target; fi ;;
        esac
    fi
}

complete -F _ipcns ipcns
