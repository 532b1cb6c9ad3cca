// SPDX-License-Identifier: MIT
/*
 * S2: messages a second, one producer and one consumer. Every byte is written
 * and read. Single messages, and batches of 32 for those who have them.
 */
#include "link.h"

#define SINGLE	BENCH_GROUP(0)
#define BATCHED	BENCH_GROUP(1)

static void s2_add(struct bench_suite *suite, const struct transport *t, uint64_t size,
		   unsigned int batch)
{
	struct bench_case what = {
		.param = size,
		.capacity = BENCH_RING_BYTES,
		.batch = batch,
		.variant = batch > 1 ? "batch32" : NULL,
	};

	link_case_rate(&what, t);
	if (link_ours(t))
		case_ours(&what, batch > 1 ? BATCHED : SINGLE);
	else if (t->features & LINK_BATCHES)
		what.peer = batch > 1 ? BATCHED : SINGLE;
	else
		what.peer = SINGLE | BATCHED;	/* its best is all there is */
	suite_add(suite, &what);
}

static void s2_list(struct bench_suite *suite)
{
	static const uint64_t sizes[] = { 8, 64, 256, 1024, 4096 };
	const struct transport *const *t;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (t = link_all; *t; t++) {
			if (!((*t)->features & LINK_RATE) ||
			    ((*t)->fits && !(*t)->fits(sizes[i])))
				continue;
			s2_add(suite, *t, sizes[i], 1);
			if ((*t)->features & LINK_BATCHES)
				s2_add(suite, *t, sizes[i], LINK_BATCH);
		}
	}
}

const struct bench_scenario s2_rate = {
	.name = "S2",
	.title = "throughput, million messages/s and GB/s; payload written and verified",
	.param_unit = "B",
	.measure_ns = 30000000,
	.metric = {
		[LINK_RATE_MSGS] = { "rate", "messages/s", "M/s", 1e-6, BENCH_HIGHER,
				     BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[LINK_RATE_BYTES] = { "bandwidth", "GB/s", "GB/s", 1, BENCH_HIGHER, BENCH_COLUMN },
		[LINK_NS] = { "time", "ns", "ns each", 1, BENCH_LOWER, BENCH_COLUMN },
		LINK_CALL_METRICS,
	},
	.list = s2_list,
	.finish = link_finish_calls,
};
