// SPDX-License-Identifier: Apache-2.0
//
// What the C library costs a start: a program that does nothing.

int main(void) { return 0; }
