# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# What quickstart, test and the check scripts have in common: messages, installing what is missing, configuring and
# building, and finding the project's own files. To be sourced; it sets $root and goes there.

root=$(cd "${BASH_SOURCE[0]%/*}/.." && pwd -P)
cd "$root" || exit

# Packages, and the sign that shows that what they bring is there: a command, a header below /usr/include, or a path.
# A sign and not the package's name, so that what came another way is not installed a second time.
# shellcheck disable=SC2034 # for those who source this
build_needs=(
    'g++=g++'
    'cmake=cmake'
    'ninja-build=ninja'
    'pkg-config=pkg-config'
    'libcli11-dev=CLI/CLI.hpp'
    'libfmt-dev=fmt/core.h'
    'nlohmann-json3-dev=nlohmann/json.hpp'
    'libarchive-dev=archive.h'
    'libzstd-dev=zstd.h'
    'libxxhash-dev=xxhash.h'
    'libbpf-dev=bpf/libbpf.h'
    'util-linux=ipcmk'
)
# shellcheck disable=SC2034
test_needs=(
    'libgtest-dev=gtest/gtest.h'
    'bats=bats'
    'git=git'
    'tmux=tmux'
    'expect=expect'
    'zsh=zsh'
    'fish=fish'
    'less=less'
    'man-db=man'
    'procps=pgrep'
    'strace=strace'
    'bubblewrap=bwrap'
    'runc=runc'
    'libxml2-utils=xmllint'
    'openmpi-bin=mpirun'
    'libopenmpi-dev=mpicc'
    'postgresql=/usr/lib/postgresql/*/bin/initdb'
    'clang=clang++-14'
    'libclang-rt-14-dev=/usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a'
    'clang-tidy=clang-tidy-14'
    'clang-format=clang-format-14'
    'scdoc=scdoc'
    'doxygen=doxygen'
    'shellcheck=shellcheck'
    'python3=/usr/bin/python3'
    'python3-pytest=pytest'
    'codespell=codespell'
    'cppcheck=cppcheck'
    'abigail-tools=abidw'
    'jq=jq'
    'xxhash=xxh128sum'
    'zstd=zstd'
    'perl-base=perl'
)
# What packages are made with: everything that may be in them, and Debian's tools.
# shellcheck disable=SC2034
package_needs=(
    'clang=clang++-14'
    'scdoc=scdoc'
    'libslurm-dev=slurm/spank.h'
    'libpam0g-dev=security/pam_modules.h'
    'dpkg-dev=dpkg-shlibdeps'
)
# What tests/integration starts.
# shellcheck disable=SC2034
integration_needs=(
    'slurmctld=slurmctld'
    'slurmd=slurmd'
    'slurm-client=srun'
    'libslurm-dev=slurm/spank.h'
    'munge=munged'
    'systemd-container=systemd-nspawn'
    'debootstrap=debootstrap'
    'libpam0g-dev=security/pam_modules.h'
    'pamtester=pamtester'
    'dpkg-dev=dpkg-shlibdeps'
    'lintian=lintian'
    'iproute2=ip'
)

# die WHAT WHY [HINT]: ends the script with the project's kind of message.
die() {
    printf 'ipcns: %s: %s\n' "$1" "$2" >&2
    if [[ -n ${3-} ]]; then printf 'hint: %s\n' "$3" >&2; fi
    exit 1
}

# Progress for a person: on standard error, so that standard output stays what was asked for.
say() { printf '%s\n' "$*" >&2; }

is_there() { # SIGN
    case $1 in
    /*) compgen -G "$1" >/dev/null ;;
    */* | *.h) [[ -e /usr/include/$1 || -e /usr/local/include/$1 ]] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# as_root COMMAND...: runs it with all privileges, or says in $no_root why that can't be done and returns 1.
as_root() {
    no_root=''
    if ((EUID == 0)); then
        "$@"
    elif ! command -v sudo >/dev/null; then
        no_root='you are not root, and there is no sudo'
        return 1
    elif sudo -n true 2>/dev/null; then
        sudo -n -- "$@"
    elif [[ -t 0 && -t 2 ]]; then
        sudo -- "$@"
    else
        no_root='you are not root, and sudo wants a password'
        return 1
    fi
}

# install_missing LOG NEED...: brings what is missing with apt-get; says nothing and does nothing when all is there.
install_missing() {
    local log=$1 need missing=()
    shift
    for need in "$@"; do
        is_there "${need#*=}" || missing+=("${need%%=*}")
    done
    ((${#missing[@]})) || return 0

    local what="cannot install ${missing[*]}"
    local by_hand="as root: apt-get install --no-install-recommends ${missing[*]}"
    command -v apt-get >/dev/null ||
        die "$what" 'this is not Debian: no apt-get' 'bring them by your own package manager, then start again'
    say "Installing ${missing[*]}"
    # Lists that can't be refreshed may still be good enough; whether they are, the second step shows.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update >"$log" 2>&1 ||
        [[ -z $no_root ]] || die "$what" "$no_root" "$by_hand"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 install \
        --no-install-recommends --yes "${missing[@]}" >>"$log" 2>&1 </dev/null || {
        local why
        why=$(grep -E '^E: ' "$log" | head -n 1 || true)
        why=${why:-apt-get failed}
        die "$what" "${why#E: }" "the whole story is in $log; by hand, $by_hand"
    }
    for need in "$@"; do
        is_there "${need#*=}" || die "cannot find ${need#*=}" "${need%%=*} is installed, but without it" \
            'ipcns is built on Debian 12; see CONTRIBUTING.md'
    done
}

# writable FOLDER: makes it if it is not there, or says what to do.
writable() {
    mkdir -p "$1" 2>/dev/null || true
    [[ -w $1 ]] || die "cannot write $root/$1" 'it belongs to somebody else' 'remove build/, or take it over with chown -R'
}

# build_folder NAME: makes build/NAME usable. One that was configured for another place (a copied tree) is made anew.
build_folder() {
    local dir=build/$1
    writable "$dir"
    if [[ -f $dir/CMakeCache.txt ]] && ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$dir/CMakeCache.txt"; then
        rm -rf "$dir"
        mkdir -p "$dir"
    fi
}

# configure PRESET LOG [CMAKE-OPTION...]: the log is only shown when it fails.
configure() {
    local preset=$1 log=$2
    shift 2
    build_folder "$preset"
    cmake --preset "$preset" "$@" >"$log" 2>&1 || {
        cat "$log" >&2
        return 1
    }
}

# build PRESET LOG [TARGET...]: builds with one line of progress on standard error; likewise. $build_text: what that says.
build() {
    local preset=$1 log=$2 text=${build_text-Building ($1)} start=$SECONDS shown='' line status=0
    shift 2
    while IFS= read -r line; do
        printf '%s\n' "$line" >&3
        if [[ $line =~ ^\[([1-9][0-9]*)/([0-9]+)\] ]]; then
            if [[ -t 2 ]]; then
                printf '\r%s %s/%s' "$text" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" >&2
            elif [[ -z $shown ]]; then
                printf '%s' "$text" >&2
            fi
            shown=yes
        fi
    done 3>"$log" < <(ninja -C "build/$preset" "$@" 2>&1 </dev/null)
    wait $! || status=$?
    if ((status)); then
        if [[ -n $shown ]]; then printf '\n' >&2; fi
        cat "$log" >&2
        return "$status"
    fi
    if [[ -n $shown ]]; then printf ': done in %d s\n' $((SECONDS - start)) >&2; fi
}

# own_files GLOB...: the project's own files whose names match, one a line. Not by git: a checkout may belong to
# somebody else, or be no checkout at all.
own_files() {
    local tests=() glob
    for glob in "$@"; do tests+=(-o -name "$glob"); done
    find . \( -path ./build -o -path './.*/*' ! -path './.ci/*' \) -prune -o -type f \
        \( "${tests[@]:1}" \) -print | sed 's|^\./||' | LC_ALL=C sort
}

# own_scripts: the project's shell scripts, whatever they are called.
own_scripts() {
    {
        own_files '*.sh' '*.bash' '*.bats'
        own_files '*' | grep -vE '\.[a-z0-9]+$' | while IFS= read -r file; do
            if head -n 1 "$file" | grep -qE '^#! ?/(usr/)?bin/(env )?(ba)?sh'; then printf '%s\n' "$file"; fi
        done
    } | LC_ALL=C sort -u
}
