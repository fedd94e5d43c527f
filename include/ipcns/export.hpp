// SPDX-License-Identifier: Apache-2.0
// Marks what the shared library lets its users see.
#pragma once

#define IPCNS_API __attribute__((visibility("default")))
