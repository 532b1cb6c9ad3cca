/* SPDX-License-Identifier: MIT */
/*
 * One producer and many consumers: of one ring, or each of a ring of its own.
 */
#ifndef KREPIS_BENCH_BROADCAST_H
#define KREPIS_BENCH_BROADCAST_H

#include "bench.h"

#define BROADCAST_MAX	32	/* consumers */
#define BROADCAST_BYTES	64	/* of a message */

/* Metric slots that a run fills. */
enum broadcast_metric {
	BROADCAST_CPU_NS,	/* of all sides, for a message and a consumer */
	BROADCAST_RATE,		/* messages a second */
};

/*
 * The sides of a case of @consumers: "krepis-shm" or "krepis-kmod" with one channel, or
 * with @separate ones; "ck_ring" has them separate always. Sets @what->missing too.
 */
void broadcast_case(struct bench_case *what, const char *impl, unsigned int consumers,
		    bool separate);

#endif /* KREPIS_BENCH_BROADCAST_H */
