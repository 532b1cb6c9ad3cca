// SPDX-License-Identifier: MIT
/*
 * The attacks of hostile_memory.c on buffers that a single entry of a page table maps, where
 * the machine has that.
 */
#define BUFFER	(2 << 20)
#define GRAIN	1024
#define ROUNDS	45
#include "hostile_memory.c"
