/* SPDX-License-Identifier: MIT */
/*
 * Time stamps. Where the processor's own counter runs at a constant rate it is
 * read directly, because clock_gettime() would be a third of what is measured;
 * elsewhere a tick is a nanosecond of CLOCK_MONOTONIC.
 */
#ifndef KREPIS_BENCH_CLOCK_H
#define KREPIS_BENCH_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#if defined(__x86_64__) || defined(__i386__)
#include <x86intrin.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

extern bool clock_is_counter;
extern double clock_ticks_per_ns;
extern double clock_cost_ns;	/* of one clock_ticks() */

extern uint32_t clock_step_ticks;	/* by which the counter advances */

/* Once, before the first fork. */
void clock_init(void);

static inline uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static inline uint64_t clock_ticks(void)
{
#if defined(__x86_64__) || defined(__i386__)
	if (__builtin_expect(clock_is_counter, 1))
		return __rdtsc();
#endif
	return clock_ns();
}

static inline uint64_t clock_from_ns(uint64_t ns)
{
	return (uint64_t)((double)ns * clock_ticks_per_ns);
}

static inline double clock_to_ns(uint64_t ticks)
{
	return (double)ticks / clock_ticks_per_ns;
}

static inline uint64_t clock_cpu_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* What a spinning loop does between two looks. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

#ifdef __cplusplus
}
#endif

#endif /* KREPIS_BENCH_CLOCK_H */
