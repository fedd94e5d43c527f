// SPDX-License-Identifier: Apache-2.0
// Messages that are read without being taken: compared byte for byte with what was sent and with what is then received.
#include "support.hpp"

#include <ipcns/messages.hpp>
#include <ipcns/sysv.hpp>

#include <gtest/gtest.h>

#include <fcntl.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>
