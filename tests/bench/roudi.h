/* SPDX-License-Identifier: MIT */
/*
 * iceoryx's daemon, for one run: in a mount namespace of its own, which has its own /tmp
 * and /dev/shm. So it meets no other one of the machine, and all that it and its clients
 * make is gone with the last of them, whoever is killed.
 */
#ifndef KREPIS_BENCH_ROUDI_H
#define KREPIS_BENCH_ROUDI_H

#include "bench.h"

struct roudi {
	pid_t pid;
	int user_ns;		/* or -1: the harness's own */
	int mount_ns;
};

/* Return: why it cannot run here, or NULL. */
const char *roudi_missing(void);
/* In the parent: with @count chunks of @size bytes; ready for clients. */
int roudi_start(struct bench_run *run, struct roudi *roudi, size_t size, unsigned int count);
/* On a side, before its first call of the library. Return: 0 or a negative errno. */
int roudi_enter(const struct roudi *roudi);
void roudi_stop(struct roudi *roudi);

#endif /* KREPIS_BENCH_ROUDI_H */
