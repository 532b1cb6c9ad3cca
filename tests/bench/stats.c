// SPDX-License-Identifier: MIT
/*
 * Medians, quartiles and percentiles.
 */
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "link.h"

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int compare_samples(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The quantile @q of sorted values, between neighbours if it falls there. */
static double quantile(const double *sorted, unsigned int count, double q)
{
	double at = q * (count - 1);
	unsigned int below = (unsigned int)at;

	if (below + 1 >= count)
		return sorted[count - 1];
	return sorted[below] + (at - below) * (sorted[below + 1] - sorted[below]);
}

static unsigned int sorted_copy(double *to, const double *from, unsigned int count)
{
	if (count > BENCH_MAX_ROUNDS)
		count = BENCH_MAX_ROUNDS;
	memcpy(to, from, count * sizeof(*to));
	qsort(to, count, sizeof(*to), compare_doubles);
	return count;
}

double stats_median(const double *value, unsigned int count)
{
	double sorted[BENCH_MAX_ROUNDS];

	count = sorted_copy(sorted, value, count);
	return quantile(sorted, count, 0.5);
}

double stats_spread(const double *value, unsigned int count)
{
	double sorted[BENCH_MAX_ROUNDS];

	count = sorted_copy(sorted, value, count);
	return quantile(sorted, count, 0.75) - quantile(sorted, count, 0.25);
}

/* The first of the sorted samples that is at least @value. */
static uint32_t lower_bound(const uint32_t *sorted, uint32_t count, uint64_t value)
{
	uint32_t low = 0, high = count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (sorted[middle] < value)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/*
 * The percentile of grouped data: a clock that advances in steps gives many equal
 * samples, each of which stands for the step around it, so that the percentile
 * lies as far in the step as its rank lies among the equal ones. Without this, a
 * median of 55 ns could only be 50 or 60.
 */
static double percentile(const struct bench_run *run, double share)
{
	double rank = share * run->sample_count;
	uint32_t at = (uint32_t)rank, first, last;

	if (at >= run->sample_count)
		return clock_to_ns(run->sample[run->sample_count - 1]);
	first = lower_bound(run->sample, run->sample_count, run->sample[at]);
	last = lower_bound(run->sample, run->sample_count, run->sample[at] + 1ULL);
	return ((double)run->sample[at] +
		clock_step_ticks * ((rank - first) / (last - first) - 0.5)) / clock_ticks_per_ns;
}

void stats_percentiles(struct bench_run *run, double scale, double *value)
{
	if (!run->sample_count)
		return;
	qsort(run->sample, run->sample_count, sizeof(run->sample[0]), compare_samples);
	value[LINK_P50] = scale * percentile(run, 0.5);
	value[LINK_P90] = scale * percentile(run, 0.9);
	value[LINK_P99] = scale * percentile(run, 0.99);
	value[LINK_P999] = scale * percentile(run, 0.999);
	value[LINK_MAX] = scale * percentile(run, 1.0);
}
