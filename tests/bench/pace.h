/* SPDX-License-Identifier: MIT */
/*
 * The schedule of a fixed rate: see struct bench_pace.
 */
#ifndef KREPIS_BENCH_PACE_H
#define KREPIS_BENCH_PACE_H

#include <sched.h>

#include "bench.h"

#define PACE_CAPACITY_NS	10000000	/* for which the capacity is measured */
#define PACE_LEAD_NS		20000		/* until the first message is due */

static inline uint64_t pace_due(const struct bench_pace *pace, uint64_t i)
{
	return pace->start + ((i * pace->step) >> BENCH_PACE_SHIFT);
}

/* @rate messages a second for @ns. The consumer. */
static inline void pace_set(struct bench_pace *pace, double rate, uint64_t ns)
{
	double ticks = clock_ticks_per_ns * 1e9 / rate;

	pace->step = (uint64_t)(ticks * (double)(1ULL << BENCH_PACE_SHIFT));
	pace->count = (uint64_t)(rate * (double)ns / 1e9) + 1;
	/* The schedule before the word that announces it. Pairs with pace_wait(). */
	__atomic_store_n(&pace->set, 1, __ATOMIC_RELEASE);
}

/* Until there is a schedule. The producer; what it sent has arrived by then. */
static inline void pace_wait(const struct bench_pace *pace)
{
	/* The schedule after the word that announces it. Pairs with pace_set(). */
	while (!__atomic_load_n(&pace->set, __ATOMIC_ACQUIRE))
		sched_yield();
}

#endif /* KREPIS_BENCH_PACE_H */
