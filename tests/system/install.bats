#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# An installation to another place than it was configured for, used as README says: the library through find_package and
# pkg-config, shared and static, and the command.
#
# bats file_tags=root

# shellcheck disable=SC2154 # open and other are names.bash's

load common
load names

setup() {
    common_setup
    need cmake ninja g++ pkg-config
    [[ -f $IPCNS_BUILD/cmake_install.cmake && -O $IPCNS_BUILD ]] || skip "$IPCNS_BUILD is no build folder of the same user"
    somebody_else
    prefix=$open/prefix
    cmake --install "$IPCNS_BUILD" --prefix "$prefix" >install.log
    # So that nothing is taken from the build.
    cp "$IPCNS_TREE/examples/count_inside.cpp" count_inside.cpp
    cat >names.cpp <<'END'
#include <ipcns/registry.hpp>
#include <cstdio>
int main(int, char** argv) {
    try {
        const auto registry = ipcns::Registry::of_caller();
        registry.create(argv[1]);
        std::puts(registry.open(argv[1]).name.c_str());
        registry.remove(argv[1]);
    } catch (const ipcns::Error& error) {
        std::puts(error.what());
        return 1;
    }
}
END
}

teardown() { names_teardown; }

# A program that needs more than the C++ library. What it says depends on this kernel and how ipcns was built.
write_reader() {
    cat >reader.cpp <<'END'
#include <ipcns/messages.hpp>
#include <cstdio>
int main() {
    try {
        const ipcns::MessageReader reader;
        std::printf("%s\n", "it can be read");
    } catch (const ipcns::Error& error) {
        std::printf("%s\n", error.what());
    }
}
END
}

counts() { # PROGRAM
    run -0 "$@"
    [[ $output =~ ^'namespace '[0-9]+': 1 segment; here: 0 more'$ ]]
}

@test "find_package finds the library, shared and static" {
    cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(mine CXX)
find_package(ipcns REQUIRED)
foreach(source count_inside names)
    add_executable(${source} ${source}.cpp)
    target_link_libraries(${source} PRIVATE ipcns::ipcns)
    add_executable(${source}_static ${source}.cpp)
    target_link_libraries(${source}_static PRIVATE ipcns::ipcns_static)
endforeach()
END
    cmake -G Ninja -S . -B build -D CMAKE_PREFIX_PATH="$prefix"
    cmake --build build
    counts build/count_inside
    counts build/count_inside_static
    ldd build/count_inside | grep -F "$prefix/"
    run ! grep ipcns <(ldd build/count_inside_static)
    name=$(unique_name)
    run -0 build/names_static "$name"
    expect_output "$name"
}

@test "pkg-config finds the library, shared and static, and an ordinary user can make names with it" {
    export PKG_CONFIG_PATH
    PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name ipcns.pc)")
    [[ -n $PKG_CONFIG_PATH ]]
    # shellcheck disable=SC2046 # words
    for program in count_inside names; do
        g++ -std=c++20 "$program.cpp" $(pkg-config --cflags --libs ipcns) -o "$open/bin/$program"
        g++ -std=c++20 -static "$program.cpp" $(pkg-config --static --cflags --libs ipcns) -o "$open/bin/$program.static"
    done
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir ipcns)
    export LD_LIBRARY_PATH
    counts "$open/bin/count_inside"
    counts "$open/bin/count_inside.static"
    as_somebody_else unshare --user true || skip 'user namespaces are not allowed'
    # Its keeper is in the installation; the copy of the command is out of the way.
    rm -r "$open/libexec"
    run -0 as_somebody_else LD_LIBRARY_PATH="$LD_LIBRARY_PATH" "$open/bin/names" mine
    expect_output mine
}


@test "the second library is found, shared and static, and brings what it needs" {
    write_reader
    cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.16)
project(mine CXX)
find_package(ipcns REQUIRED)
foreach(kind state state_static)
    add_executable(${kind} reader.cpp)
    target_link_libraries(${kind} PRIVATE ipcns::${kind})
endforeach()
END
    cmake -G Ninja -S . -B build -D CMAKE_PREFIX_PATH="$prefix"
    cmake --build build
    export PKG_CONFIG_PATH
    PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name ipcns-state.pc)")
    # shellcheck disable=SC2046 # words
    g++ -std=c++20 reader.cpp $(pkg-config --cflags --libs ipcns-state) -o shared
    # shellcheck disable=SC2046
    g++ -std=c++20 -static reader.cpp $(pkg-config --static --cflags --libs ipcns-state) -o static
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir ipcns-state)
    export LD_LIBRARY_PATH
    for program in build/state build/state_static ./shared ./static; do
        run -0 $program
        [[ $output == 'it can be read' || $output == 'read the messages of POSIX queues: '* ]]
        expect_equal "$output" "${first=$output}"
    done
    ldd ./shared | grep -F "$prefix/"
}

@test "the command works where it was put, its helpers and its manual page too" {
    run -0 "$prefix/bin/ipcns" run -- echo works
    expect_output works
    run -0 "$prefix/bin/ipcns" list -q -n -o NAME
    [[ -s $prefix/share/man/man1/ipcns-run.1 && -s $prefix/share/man/man5/ipcns-snapshot.5 ]]
    # What is for other programs to call and to read.
    "$prefix/libexec/ipcns/ipcns-oci-hook" --help
    [[ -s $prefix/share/man/man8/ipcns-oci-hook.8 ]]
    grep -qE '"path": "/.*/ipcns-oci-hook"' "$prefix/share/containers/oci/hooks.d/ipcns-oci-hook.json"
    as_somebody_else unshare --user true || skip 'user namespaces are not allowed'
    rm -r "${open:?}/bin" "$open/libexec"
    as_somebody_else "$prefix/bin/ipcns" create mine
    run -0 as_somebody_else "$prefix/bin/ipcns" exec mine -- echo works
    expect_output works
    as_somebody_else "$prefix/bin/ipcns" delete mine
}

@test "the shared libraries show what is public, each symbol once and with a version" {
    need nm readelf
    libdir=$(dirname "$(find "$prefix" -name libipcns.so)")
    for library in ipcns:LIBIPCNS_0 ipcns-state:LIBIPCNS_STATE_0; do
        file=$libdir/lib${library%:*}.so
        readelf -d "$file" | grep -F "soname: [lib${library%:*}.so.0]"
        nm -DC --defined-only --format=posix "$file" | grep -v "^${library#*:} A" >symbols
        # Nothing of the C++ library's, and nothing without the version.
        run ! grep -vE "^((vtable|typeinfo|typeinfo name) for )?ipcns::.*@@${library#*:} " symbols
        sed 's/@@.*//' symbols | sort -u >"symbols.${library%:*}"
        [[ -s symbols.${library%:*} ]]
    done
    grep -qF 'ipcns::Namespace::create()' symbols.ipcns
    grep -qF 'ipcns::read_snapshot(int)' symbols.ipcns-state
    run ! grep -Fxf symbols.ipcns symbols.ipcns-state
}
