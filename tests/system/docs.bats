#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What is written agrees with what is there: options, commands, columns, limits and JSON keys in --help, in the manual
# pages and in the completions of three shells, which need not be installed; the tour of the README and the EXAMPLES of the
# manual pages; links.

# shellcheck disable=SC2154 # stderr is bats', names_file is common.bash's

load common
load documents

setup() {
    common_setup
    man=$IPCNS_TREE/man
    completions=$IPCNS_TREE/completions
}

commands=(run exec create attach delete list pids identify monitor show make remove limits diff clear peek save restore clone verify)
tables=(list pids identify show remove limits diff peek restore verify)

# same WHAT A B: two lists, one word a line, hold the same words.
same() {
    local difference
    difference=$(diff <(sort -u <<<"$2") <(sort -u <<<"$3")) || {
        printf '%s:\n%s\n' "$1" "$difference"
        return 1
    }
    [[ -n $2 ]] || {
        printf '%s: nothing found\n' "$1"
        return 1
    }
}

words() { grep -oE '[A-Za-z_%]+' <<<"$1"; }

# --- options, one a line --------------------------------------------------------------------------------------------

help_options() { # COMMAND
    ipcns "$1" --help | grep -oE '^ +(-[A-Za-z],? ?)?(--[a-z][a-z-]*)?' | grep -oE -- '--?[A-Za-z][a-z-]*'
}

man_options() { # PAGE
    grep -E '^\*-' "$man/$1.1.scd" | grep -oE -- '\*--?[A-Za-z][a-z-]*\*' | tr -d '*'
}

in_bash_completion() { # FUNCTION ARGUMENT
    # shellcheck disable=SC2016 # for that shell
    bash --norc -c 'source "$1"; "$2" "$3"' - "$completions/ipcns.bash" "$@"
}

# The lines between START and a line that closes it, from zsh's file.
zsh_block() { awk -v start="$1" 'index($0, start) {on = 1; next} on && /^ *[)}]$/ {exit} on' "$completions/_ipcns"; }

zsh_options() { # COMMAND
    local body
    body=$(zsh_block "_ipcns_command_$1() {")
    for array in help table program; do
        if [[ $body == *"\$$array"* ]]; then body+=$'\n'$(zsh_block "local -a $array=("); fi
    done
    grep -E "^ *'" <<<"$body" | sed -E "s/^ *'\([^)]*\)/'/; s/\[.*//" | grep -oE -- '--?[A-Za-z][a-z-]*'
}

fish_options() { # COMMAND
    sed -e ':more' -e '/\\$/{N; s/\\\n//; b more' -e '}' "$completions/ipcns.fish" |
        sed -nE "s/^complete -c ipcns -n '__ipcns_options ([a-z ]*)'/ \1 &/p" | grep -E "^ ([a-z]+ )*$1 " |
        sed -E "s/.*'__ipcns_options [^']*'//; s/ (-d|-a) .*//" |
        grep -oE -- '-(s|l) [A-Za-z-]+' | sed -E 's/-s /-/; s/-l /--/'
}

@test "no line of help is wider than a terminal" {
    for command in '' "${commands[@]}"; do
        # shellcheck disable=SC2086 # no word, or one
        run grep -nE '^.{81}' <(ipcns $command --help)
        expect_output ''
    done
}

@test "in help an option's word ends before what the option does begins" {
    for command in "${commands[@]}"; do
        run grep -E '^ +-.*[A-Z]{3}[a-z]{3}' <(ipcns "$command" --help)
        [[ -z $output ]] || { printf "%s: %s\n" "$command" "$output"; return 1; }
    done
}

@test "what help says of an option that needs a second line stands below the first" {
    for command in "${commands[@]}"; do
        run awk '/^  -h, |^ +-[a-zA-Z-]/ {on = 1} /^$/ {on = 0} on && /^ {7,}[^ ]/ && !/^ {26}[^ ]/' <(ipcns "$command" --help)
        [[ -z $output ]] || { printf "%s: %s\n" "$command" "$output"; return 1; }
    done
}

@test "the charts of the benchmark are drawings, and the pages show each of them" {
    for chart in "$IPCNS_TREE"/bench/charts/*.svg; do
        xmllint --noout "$chart"
        grep -qF "(charts/${chart##*/})" "$IPCNS_TREE/bench/RESULTS.md"
        grep -qF "(../bench/charts/${chart##*/})" "$IPCNS_TREE/docs/performance.md"
    done
    xmllint --noout "$IPCNS_TREE/docs/session.svg" "$IPCNS_TREE/docs/architecture.svg"
}

@test "the same options in help, manual page and completions" {
    for command in "${commands[@]}"; do
        options=$(help_options "$command")
        same "$command, help and manual page" "$options" "$(man_options "ipcns-$command")"
        same "$command, help and bash" "$options" "$(in_bash_completion _ipcns_options "$command")"
        same "$command, help and zsh" "$options" "$(zsh_options "$command")"
        same "$command, help and fish" "$options" "$(fish_options "$command")"
    done
    same 'ipcns itself, manual page and bash' "$(man_options ipcns)" "$(in_bash_completion _ipcns_options '')"
    for option in $(man_options ipcns); do ipcns "$option" >/dev/null; done
}

@test "run and exec take every option that they tell about" {
    # Of the other commands the same table makes the help and reads the options.
    for command in run exec; do
        for option in $(help_options "$command"); do
            case $option in
            --limit) set -- "$option" msgmni=1 ;;
            --env) set -- "$option" A=1 ;;
            --shm-size | --name | --chdir | --unset) set -- "$option" a ;;
            *) set -- "$option" ;;
            esac
            [[ $option != --shm-size ]] || set -- "$option" 64K
            ipcns "$command" "$@" --help >output
            grep -q '^Usage: ipcns' output
        done
    done
}

@test "the same commands everywhere" {
    there=$(printf '%s\n' "${commands[@]}")
    same 'help' "$there" "$(ipcns --help | sed -nE '/^Commands:/,/^$/s/^  ([a-z]+) .*/\1/p')"
    same 'ipcns(1)' "$there" "$(sed -n '/^# COMMANDS/,/^# OPTIONS/s/^\*\([a-z]*\)\*$/\1/p' "$man/ipcns.1.scd")"
    same 'man/' "$there" "$(cd "$man" && printf '%s\n' ipcns-*.1.scd | sed 's/ipcns-//; s/\..*//')"
    same 'bash' "$there"$'\nhelp' "$(words "$(sed -nE 's/^ *_ipcns_reply (run .* help)$/\1/p' "$completions/ipcns.bash")")"
    same 'zsh' "$there" "$(zsh_block 'local -a verbs=(' | sed -E "s/^ *'([a-z]*):.*/\1/")"
    same 'fish' "$there"$'\nhelp' \
        "$(sed -nE 's/^complete -c ipcns -n __ipcns_no_command -a ([a-z]+) .*/\1/p' "$completions/ipcns.fish")"
    for command in "${commands[@]}"; do diff <(ipcns help "$command") <(ipcns "$command" --help); done
}

# The table of a command, with something in it.
table_of() { # COMMAND ARGUMENT...
    # shellcheck disable=SC2016 # for the inner shells
    case $1 in
    remove) ipcns run -- sh -c 'ipcmk -Q >/dev/null && exec "$IPCNS" "$@"' - "$@" self --all --dry-run ;;
    peek) ipcns run -- sh -c 'ipcmk -S 1 >/dev/null && exec "$IPCNS" "$@"' - "$@" self sem:0 ;;
    restore)
        name=$(unique_name)
        ipcns create "$name"
        ipcns make "$name" msg >/dev/null
        ipcns save "$name" snapshot
        ipcns "$@" --list snapshot
        ;;
    *) ipcns "$@" ;;
    esac
}

# bats test_tags=lock:verify
@test "the same columns everywhere, and the keys of the JSON" {
    need python3
    is_root || need_userns
    for command in "${tables[@]}"; do
        columns=$(ipcns "$command" --help | sed -nE '/^Columns:/,/^$/s/^    ([A-Z%]+) .*/\1/p')
        in_page=$(awk '/^# COLUMNS/ {on = 1} on && /^\|  [A-Z]/ {print $2} /^# (JSON|EXIT)/ {on = 0}' "$man/ipcns-$command.1.scd")
        same "$command, manual page" "$columns" "$in_page"
        same "$command, bash" "$columns" "$(in_bash_completion _ipcns_columns "$command")"
        same "$command, zsh" "$columns" \
            "$(words "$(sed -nE "s/^_ipcns_columns_$command.* column ([A-Z% ]*);.*/\1/p" "$completions/_ipcns")")"
        same "$command, fish" "$columns" \
            "$(words "$(sed -n "/__ipcns_options $command'.* -l output/{n; s/.*__ipcns_columns \([A-Z% ]*\)).*/\1/p}" \
                "$completions/ipcns.fish")")"

        arguments=(--json -o "$(paste -sd , <<<"$columns")")
        [[ $command != pids ]] || arguments+=(self)
        [[ $command != diff ]] || arguments+=(self self)
        # For show, what all kinds have together: so there has to be one of each.
        if [[ $command == show ]]; then
            name=$(unique_name)
            ipcns create "$name"
            # shellcheck disable=SC2016 # for the inner shell
            ipcns exec "$name" -- sh -c 'ipcmk -Q; ipcmk -M 1; ipcmk -S 1
                for kind in mq psem pshm; do "$1" make $kind /one; done' - "$IPCNS_BUILD/tests/bin/posix_ipc"
            arguments+=("$name")
        fi
        keys=$(table_of "$command" "${arguments[@]}" 2>/dev/null | python3 -c '
import json, sys
value = json.load(sys.stdin)
keys = set()
for name, part in value.items():
    if name != "unseen" and isinstance(part, list) and part and isinstance(part[0], dict): keys |= part[0].keys()
print("\n".join(keys or value))')
        in_page=$(awk '/^# COLUMNS/ {on = 1} on && column {print $2; column = 0} on && /^\|  [A-Z]/ {column = 1}' \
            "$man/ipcns-$command.1.scd")
        same "$command, keys in the manual page" "$keys" "$in_page"
    done
}

# bats test_tags=lock:verify
@test "the same channels everywhere" {
    channels=$(ipcns verify self self -n -o CHANNEL) || true
    short=$(sed -E 's/^limit\..*/limit.KEY/' <<<"$channels" | sort -u)
    same 'help' "$short" "$(ipcns verify --help | sed -nE '/^Channels:/,/^$/s/^    ([a-zA-Z.-]+) .*/\1/p')"
    same 'manual page' "$short" \
        "$(awk '/^# CHANNELS/ {on = 1} /^# SETS/ {on = 0} on && /^\|  [a-z]/ {gsub(/[|,]/, ""); print}' "$man/ipcns-verify.1.scd" |
            tr -s ' ' '\n' | sed '/^$/d')"
    same 'bash' "$channels"$'\nkinds\nipc\nall' "$(bash --norc -c 'source "$1"; _ipcns_reply() { printf "%s\n" "$@"; }
        compopt() { :; }; cur=; _ipcns_reply_channels' - "$completions/ipcns.bash")"
    for file in _ipcns ipcns.fish; do
        words=$(sed -n '/_ipcns_channels/,/^\(}\|end\)/p' "$completions/$file" | tr '\n' ' ' | grep -oE 'kinds ipc all .* rights' | sed 's/[\]//g')
        same "$file" "$channels"$'\nkinds\nipc\nall' "$(bash -c "printf '%s\n' $words")"
    done
}

@test "the same limits everywhere" {
    run --separate-stderr ipcns run --limit no_such_limit=1 -- true
    expect_status 125
    limits=$(words "$(sed -n 's/^hint: the limits are //p' <<<"$stderr")")
    same 'ipcns(1)' "$limits" \
        "$(awk '/^# LIMITS/ {on = 1} /^# OUTPUT/ {on = 0} on && /^\|  [a-z]/ {gsub(/[|,]/, ""); print}' "$man/ipcns.1.scd" |
            tr -s ' ' '\n' | sed '/^$/d')"
    same 'bash' "$limits" \
        "$(sed -n '/^_ipcns_reply_limit()/,/^}/p' "$completions/ipcns.bash" | grep -oE '[a-z_]+= ?' | tr -d '= ')"
    same 'zsh' "$limits" "$(zsh_block 'local -a keys=(' | sed -E "s/^ *'([a-z_]*):.*/\1/")"
    same 'fish' "$limits" "$(sed -n '/^function __ipcns_limits/,/^end/p' "$completions/ipcns.fish" | grep -oE '[a-z_]+= ' | tr -d '= ')"
}

@test "the manual pages are made without a warning" {
    need scdoc man
    for source in "$man"/*.scd; do
        page=$(basename "$source" .scd)
        scdoc <"$source" >"$page" 2>messages || cat messages
        LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>>messages >/dev/null
        [[ ! -s messages ]] || {
            printf '%s:\n' "$source"
            cat messages
            return 1
        }
        # A line of an example that is outside of one would be a section.
        if awk '/^```/ {inside = !inside} !inside && /^# .*[a-z]/' "$source" | grep .; then return 1; fi
        # The first line says which page it is, and it refers to no page of ours that there is not.
        [[ $(head -n 1 "$source") == "${page%.*}(${page##*.}) "* ]]
        while IFS= read -r other; do
            [[ -e $man/$other.scd ]] || {
                printf '%s refers to %s\n' "$source" "$other"
                return 1
            }
        done < <(grep -oE '\*ipc(ns|-objects)[a-z-]*\*\([0-9]\)' "$source" | sed -E 's/\*([a-z-]*)\*\((.)\)/\1.\2/')
    done
}

@test "a header that tells of exceptions brings them along" {
    for header in "$IPCNS_TREE"/include/ipcns/*.hpp; do
        if [[ $header == */error.hpp ]] || ! grep -q @throws "$header"; then continue; fi
        grep -qx '#include <ipcns/error.hpp>' "$header" || {
            printf '%s does not include error.hpp\n' "$header"
            return 1
        }
    done
}

@test "links and paths in the documents lead somewhere" {
    # shellcheck disable=SC2016 # the quotes of the document
    local path_in_quotes='`\K(src|include|cli|docs|man|completions|scripts|examples|tests|integrations)/[A-Za-z0-9_./-]*(?=`)'
    local missing=0
    for document in "$IPCNS_TREE"/*.md "$IPCNS_TREE"/docs/*.md; do
        folder=$(dirname "$document")
        while IFS= read -r link; do
            [[ $link == http* || $link == '#'* || -e $folder/${link%%#*} ]] || {
                printf '%s: there is no %s\n' "$document" "$link"
                missing=1
            }
        done < <(grep -oP '\]\(\K[^) ]+' "$document")
        while IFS= read -r path; do
            [[ -e $IPCNS_TREE/$path ]] || {
                printf '%s: there is no %s\n' "$document" "$path"
                missing=1
            }
        done < <(grep -oP "$path_in_quotes" "$document" | grep -vE '^tests/fuzz|NAME')
    done
    ((missing == 0))
}

# Lists everything, also what the mounts of others held when the little host was made.
# bats test_tags=serial
@test "the tour of the README is as it says" {
    need ipcmk ipcs
    need_little_host
    PATH=${IPCNS%/*}:$PATH
    follow "$IPCNS_TREE/README.md"
}

@test "the README in Chinese shows the same, and each leads to the other" {
    same_commands README.md README.zh-CN.md
    grep -qF '](README.zh-CN.md)' <(head -n 8 "$IPCNS_TREE/README.md")
    grep -qF '](README.md)' <(head -n 8 "$IPCNS_TREE/README.zh-CN.md")
    # What it says is as long, row for row of its tables and point for point of its lists.
    for page in README.md README.zh-CN.md; do grep -cE '^(\||- )' "$IPCNS_TREE/$page"; done >counts
    (($(sort -u counts | wc -l) == 1))
}

@test "the page of the library is as it says" {
    need ipcmk
    need_little_host
    PATH=$IPCNS_BUILD/examples:${IPCNS%/*}:$PATH
    follow "$IPCNS_TREE/docs/library.md"
}

# bats test_tags=serial,seconds:300
@test "the examples of the manual pages are as they say" {
    need ipcmk ipcs jq perl make hexdump zstd
    need_little_host
    PATH=${IPCNS%/*}:$PATH
    local page wrong=0
    for page in "$man"/*.scd; do
        mkdir "${page##*/}"
        (cd "${page##*/}" && follow "$page") || wrong=1
    done
    ((wrong == 0))
}

@test "every command that is shown is run, or it is said why not" {
    cd "$IPCNS_TREE"
    # That the list is here makes it hard to grow.
    tests/system/examples.py marks README.md docs/{guide,walkthrough,snapshots,snapshot-format,library}.md man/*.scd >"$work/marks"
    diff <(sed 's/:[0-9]*: /: /' "$work/marks") <(printf '%s\n' \
        'guide.md: needs bazel, which Debian has not got' \
        'guide.md: needs a cluster' \
        'ipcns-create.1.scd: needs systemd' \
        'ipcns-oci-hook.8.scd: needs podman')
}
