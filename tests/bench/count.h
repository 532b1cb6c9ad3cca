/* SPDX-License-Identifier: MIT */
/*
 * System calls and processor cycles of the sides of a run, counted by the kernel
 * (perf_event_open(2)). That costs time, so it is done in a run of its own.
 */
#ifndef KREPIS_BENCH_COUNT_H
#define KREPIS_BENCH_COUNT_H

#include "bench.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * In the parent, around the runs that count, while there are no sides. What cannot be
 * counted here is said, and why, at the first time.
 *
 * Return: whether there is anything that can.
 */
bool count_begin(void);
void count_end(void);

/* In a side, before it has threads. Return: 0, or -1 after bench_error(). */
int count_open(struct bench_run *run, int who);

/* @own: system calls in between that the loop made, and not the implementation. */
void count_mark(struct bench_run *run, int who);
void count_stop(struct bench_run *run, int who, uint64_t own);

#ifdef __cplusplus
}
#endif

#endif /* KREPIS_BENCH_COUNT_H */
