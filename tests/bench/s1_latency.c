// SPDX-License-Identifier: MIT
/*
 * S1: one-way latency, half a round trip; both sides spin where they can.
 */
#include "link.h"

static void s1_list(struct bench_suite *suite)
{
	static const uint64_t sizes[] = { 8, 64, 1024 };
	const struct transport *t;
	unsigned int i, at;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (at = 0; (t = link_next(&at));) {
			struct bench_case what = {
				.param = sizes[i],
				.capacity = BENCH_RING_BYTES,
			};

			if (!(t->features & LINK_LATENCY) || (t->fits && !t->fits(sizes[i])))
				continue;
			link_case_latency(&what, t);
			if (link_ours(t))
				case_ours(&what, BENCH_GROUP(0));
			else
				what.peer = BENCH_GROUP(0);
			suite_add(suite, &what);
		}
	}
}

static void s1_finish(struct bench_run *run)
{
	stats_percentiles(run, 0.5, run->value);
	link_finish(run);
}

static const struct bench_goal s1_goals[] = {
	{ "S1/krepis-shm/8", "p50", "raw", 1.25, false },
	{ "S1/krepis-shm/64", "p50", "raw", 1.25, false },
	{ "S1/krepis-shm/1024", "p50", "raw", 1.25, false },
	{ "S1/krepis-shm/8", "p50", BENCH_LINKED, 1, false },
	{ "S1/krepis-shm/64", "p50", BENCH_LINKED, 1, false },
	{ "S1/krepis-shm/1024", "p50", BENCH_LINKED, 1, false },
	{ "S1/krepis-shm/8", "p99", BENCH_LINKED, 1, false },
	{ "S1/krepis-shm/64", "p99", BENCH_LINKED, 1, false },
	{ "S1/krepis-shm/1024", "p99", BENCH_LINKED, 1, false },
	{ "S1/krepis-shm/64", "wakes_while_awake", NULL, 0, false },
	{ "S1/krepis-kmod/64", "wakes_while_awake", NULL, 0, false },
};

const struct bench_scenario s1_latency = {
	.name = "S1",
	.title = "one-way latency, ns",
	.param_unit = "B",
	.measure_ns = 40000000,
	.metric = {
		[LINK_P50] = { "p50", "ns", "p50", 1, BENCH_LOWER,
			       BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[LINK_P90] = { "p90", "ns", "p90", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD },
		[LINK_P99] = { "p99", "ns", "p99", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD },
		[LINK_P999] = { "p99.9", "ns", "p99.9", 1, BENCH_LOWER,
				BENCH_COLUMN | BENCH_RECORD },
		[LINK_MAX] = { "max", "ns", "max", 1, BENCH_LOWER,
			       BENCH_COLUMN | BENCH_RECORD | BENCH_WORST },
		LINK_CALL_METRICS,
		LINK_CPU_METRIC,
		LINK_COUNT_METRICS,
	},
	.list = s1_list,
	.finish = s1_finish,
	.goals = s1_goals,
	.goal_count = ARRAY_SIZE(s1_goals),
};
