// SPDX-License-Identifier: Apache-2.0
//
// What the C++ library costs a start: uses strings, a container, and an exception that it
// could throw. Built static and shared, see docs/performance.md.

#include <stdexcept>
#include <string>
#include <vector>

int main(int argc, char** argv) {
    try {
        const std::vector<std::string> words(argv, argv + argc);
        if (words.size() > 1000) throw std::runtime_error(words.back());
        return 0;
    } catch (const std::exception&) {
        return 1;
    }
}
