// SPDX-License-Identifier: MIT
/* A library that makes the program it is loaded into end with the status 77. */
#include <unistd.h>

static __attribute__((constructor)) void preload(void)
{
	_exit(77);
}
