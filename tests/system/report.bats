#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
#
# What ./test says at the end: scripts/report-tests, of what CTest wrote.
#
# bats file_tags=user

# shellcheck disable=SC2154 # status, output and lines are bats', work is common.bash's

load common

setup() {
    common_setup
    report=$IPCNS_TREE/scripts/report-tests
}

# One that passed, one that was skipped, and one that failed and printed TEXT.
results() { # TEXT
    cat >release.xml <<XML
<testsuite>
  <testcase name="good" status="run"><system-out>said by the good one</system-out></testcase>
  <testcase name="absent" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/>
    <system-out>skipped: there is no moon</system-out></testcase>
  <testcase name="bad" status="fail"><failure message=""/><system-out>$1</system-out></testcase>
</testsuite>
XML
}

@test "at the end stand what was skipped and why, what failed and what that printed, and the numbers" {
    results 'it broke
at line 7'
    run "$report" release.xml
    expect_status 1
    [[ ${lines[-1]} == '1 passed, 1 failed, 1 skipped' ]]
    [[ ${lines[-2]} == 'failed: release: bad' ]]
    [[ $output == *$'skipped: release: absent: there is no moon\n'* ]]
    [[ $output == *$'it broke\nat line 7\n'* ]]
    [[ $output != *'said by the good one'* ]]
}

@test "of much that a failed test printed the end is kept" {
    results "$(seq -f 'line %g' 5000)"
    run "$report" release.xml
    expect_status 1
    [[ $output == *$'\nline 5000\n'* ]]
    [[ $output != *$'\nline 1000\n'* ]]
    ((${#lines[@]} < 500))
}

@test "no test at all is a failure" {
    printf '<testsuite></testsuite>\n' >release.xml
    run "$report" release.xml
    expect_status 1
    [[ ${lines[-1]} == '0 passed, 0 failed, 0 skipped' ]]
}
