# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The same helpers as the system tests have.
load ../system/common
