/* SPDX-License-Identifier: MIT */
/*
 * What a channel takes of the memory, with both of its ends in this process.
 */
#ifndef KREPIS_BENCH_FOOTPRINT_H
#define KREPIS_BENCH_FOOTPRINT_H

#include <krepis/krepis.h>

#include "bench.h"

/**
 * struct footprint - bytes of one channel
 * @shared:   that are really allocated for it
 * @resident: by which this process grew (Rss): its views of the channel, and what it
 *	      keeps of its own. A page that both ends see counts twice
 */
struct footprint {
	double shared;
	double resident;
};

/* What is done with the ends before it is looked. Return: 0 or a negative errno. */
typedef int (*footprint_use)(struct krepis_endpoint *producer, struct krepis_endpoint *consumer);

/*
 * Over some channels of @options, after others have made what is made once for all. Called
 * by a side, who ends after it; @use may be NULL.
 */
int footprint_measure(struct bench_run *run, const struct krepis_channel_options *options,
		      footprint_use use, struct footprint *result);

#endif /* KREPIS_BENCH_FOOTPRINT_H */
