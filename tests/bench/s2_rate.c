// SPDX-License-Identifier: MIT
/*
 * S2: messages a second, one producer and one consumer. Every byte is written
 * and read. Single messages, and batches for those who have them.
 */
#include "link.h"

#define SINGLE		BENCH_GROUP(0)
#define ALL_BATCHES	(BENCH_GROUP(1) | BENCH_GROUP(2) | BENCH_GROUP(3))

/* Batches of one size are compared with each other. */
static const struct batch {
	unsigned int count;
	const char *variant;
	uint32_t group;
} batches[] = {
	{ 1, NULL, SINGLE },
	{ 8, "batch8", BENCH_GROUP(1) },
	{ 32, "batch32", BENCH_GROUP(2) },
	{ LINK_MAX_BATCH, "batch256", BENCH_GROUP(3) },
};

static void s2_add(struct bench_suite *suite, const struct transport *t, uint64_t size,
		   const struct batch *batch)
{
	struct bench_case what = {
		.param = size,
		.capacity = BENCH_RING_BYTES,
		.batch = batch->count,
		.variant = batch->variant,
	};

	link_case_rate(&what, t);
	if (link_ours(t))
		case_ours(&what, batch->group);
	else if (t->features & LINK_BATCHES)
		what.peer = batch->group;
	else
		what.peer = SINGLE | ALL_BATCHES;	/* its best is all there is */
	/* One size of batches is enough for an emulated machine. */
	if (batch->count != 1 && batch->count != 32)
		what.flags |= BENCH_NATIVE;
	suite_add(suite, &what);
}

/* A batch is at most half of what can be in flight, so that both sides have something to do. */
static void s2_add_batches(struct bench_suite *suite, const struct transport *t, uint64_t size)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(batches); i++) {
		if (batches[i].count > 1 && !(t->features & LINK_BATCHES))
			break;
		if (batches[i].count * size <= BENCH_RING_BYTES / 2)
			s2_add(suite, t, size, &batches[i]);
	}
}

static void s2_list(struct bench_suite *suite)
{
	static const uint64_t sizes[] = { 8, 64, 256, 1024, 4096 };
	const struct transport *t;
	unsigned int i, at;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		for (at = 0; (t = link_next(&at));)
			if ((t->features & LINK_RATE) && (!t->fits || t->fits(sizes[i])))
				s2_add_batches(suite, t, sizes[i]);
}

#define BEST(size, limit) { "S2/krepis-shm/" size, "rate", BENCH_LINKED, limit, false }

static const struct bench_goal s2_goals[] = {
	BEST("8", 1), BEST("8/batch8", 1), BEST("8/batch32", 1), BEST("8/batch256", 1),
	BEST("64", 1 / 1.2), BEST("64/batch8", 1), BEST("64/batch32", 1), BEST("64/batch256", 1),
	BEST("256", 1), BEST("256/batch8", 1), BEST("256/batch32", 1), BEST("256/batch256", 1),
	BEST("1024", 1), BEST("1024/batch8", 1), BEST("1024/batch32", 1),
	BEST("4096", 1), BEST("4096/batch8", 1), BEST("4096/batch32", 1),
	{ "S2/krepis-shm/64/batch32", "rate", "rte_ring", 1 / 1.1, false },
};

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
		LINK_CPU_METRIC,
		LINK_COUNT_METRICS,
	},
	.list = s2_list,
	.finish = link_finish,
	.goals = s2_goals,
	.goal_count = ARRAY_SIZE(s2_goals),
};
