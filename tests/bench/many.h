/* SPDX-License-Identifier: MIT */
/*
 * Many channels in one wait set, one of which is active at a time.
 */
#ifndef KREPIS_BENCH_MANY_H
#define KREPIS_BENCH_MANY_H

#include "bench.h"

/* The sides of a case of @channels of "krepis-shm" or "krepis-kmod", that fill run->sample. */
void many_case(struct bench_case *what, const char *impl, unsigned int channels);

#endif /* KREPIS_BENCH_MANY_H */
