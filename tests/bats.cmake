# SPDX-License-Identifier: Apache-2.0
#
# ipcns_add_bats_suite(SUITE): every @test of every .bats file in the calling folder becomes a CTest test of its own, with
# SUITE as its label, once or twice:
#   SUITE.root.FILE.NAME   run as root
#   SUITE.user.FILE.NAME   run as an ordinary user
# Tags say which (a `# bats test_tags=` line above the test, or `# bats file_tags=` for all that follow it):
#   root, user    only as this one; without either: as both
#   serial        nothing else runs meanwhile
#   lock:NAME     no other test with the same lock runs meanwhile
#   seconds:N     it may take that long (120)
# system/run-test does the rest: the other user, a clean environment, skips. The build is only looked at, so `ctest -L system`
# in any build folder tests the ipcns of this folder.

# Brackets have a meaning in CMake lists: a name with one is refused, rather than mangled.
function(ipcns_add_bats_file suite file)
    get_filename_component(stem ${file} NAME_WE)
    file(STRINGS ${file} lines REGEX "^(@test |# *bats +(test|file)_tags=)")
    set(file_tags "")
    set(test_tags "")
    foreach(line IN LISTS lines)
        if(line MATCHES "[][]")
            message(FATAL_ERROR "${file}: a test's line may not contain [ or ], and its body starts "
                                "below it: ${line}")
        elseif(line MATCHES "^# *bats +(test|file)_tags=(.*)$")
            set(kind ${CMAKE_MATCH_1})
            string(REGEX MATCHALL "[-_:A-Za-z0-9]+" ${kind}_tags "${CMAKE_MATCH_2}")
        elseif(line MATCHES "^@test +['\"](.*)['\"] +{$")
            ipcns_add_bats_test(${suite} ${file} ${stem} "${CMAKE_MATCH_1}" ${file_tags} ${test_tags})
            set(test_tags "")
        else()
            message(FATAL_ERROR "${file}: write it as @test \"name\" {: ${line}")
        endif()
    endforeach()
endfunction()

function(ipcns_add_bats_test suite file stem name)
    set(properties SKIP_RETURN_CODE 77)
    set(seconds 120)
    set(users "")
    foreach(tag IN LISTS ARGN)
        if(tag STREQUAL "root" OR tag STREQUAL "user")
            list(APPEND users ${tag})
        elseif(tag STREQUAL "serial")
            list(APPEND properties RUN_SERIAL TRUE)
        elseif(tag MATCHES "^lock:(.+)$")
            list(APPEND properties RESOURCE_LOCK ${CMAKE_MATCH_1})
        elseif(tag MATCHES "^seconds:([0-9]+)$")
            set(seconds ${CMAKE_MATCH_1})
        else()
            message(FATAL_ERROR "${file}: '${tag}' is not a tag; root, user, serial, lock:NAME and seconds:N are")
        endif()
    endforeach()
    if(NOT users)
        set(users root user)
    endif()
    list(REMOVE_DUPLICATES users)
    # run-test ends it and cleans up before CTest would.
    math(EXPR kill_after "${seconds} + 30")
    foreach(user IN LISTS users)
        set(test "${suite}.${user}.${stem}.${name}")
        add_test(NAME "${test}"
                 COMMAND ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/system/run-test ${user} ${PROJECT_BINARY_DIR} ${file} "${name}")
        set_tests_properties("${test}" PROPERTIES ${properties} LABELS "${suite};${user}"
                             TIMEOUT ${kill_after} ENVIRONMENT IPCNS_TEST_SECONDS=${seconds})
    endforeach()
endfunction()

function(ipcns_add_bats_suite suite)
    file(GLOB bats_files CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.bats)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${bats_files})
    foreach(file IN LISTS bats_files)
        ipcns_add_bats_file(${suite} ${file})
    endforeach()
endfunction()
