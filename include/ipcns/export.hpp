// SPDX-License-Identifier: Apache-2.0
// Marks what the shared library lets its users see.
#pragma once

/// Is seen from outside of the shared library.
#define IPCNS_API __attribute__((visibility("default")))

/// All of the library.
namespace ipcns {}
