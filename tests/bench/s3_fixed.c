// SPDX-License-Identifier: MIT
/*
 * S3: latency at a fixed rate, as a share of what each implementation can do, which the
 * run finds out first. The time counts from when a message was due, and not from when the
 * producer came to send it: one that is late makes those behind it late, too.
 */
#include "link.h"

#define SIZE		64

static const struct load {
	unsigned int percent;
	const char *variant;
} loads[] = {
	{ 10, "load10" }, { 50, "load50" }, { 90, "load90" },
};

static void s3_add(struct bench_suite *suite, const struct transport *t, unsigned int load)
{
	struct bench_case what = {
		.param = SIZE,
		.capacity = BENCH_RING_BYTES,
		.variant = loads[load].variant,
		.load = loads[load].percent,
		.flags = BENCH_NATIVE,
	};

	link_case_rate(&what, t);
	if (link_ours(t))
		case_ours(&what, BENCH_GROUP(load));
	else
		what.peer = BENCH_GROUP(load);
	suite_add(suite, &what);
}

static void s3_list(struct bench_suite *suite)
{
	static const struct transport *const all[] = {
		&link_krepis_shm, &link_krepis_kmod, &link_ck, &link_boost, &link_rte,
		&link_iceoryx, &link_zmq, &link_nng, &link_pipe, &link_pipe_spin, &link_unix,
		&link_unix_spin,
	};
	unsigned int load, i;

	for (load = 0; load < ARRAY_SIZE(loads); load++)
		for (i = 0; i < ARRAY_SIZE(all); i++)
			s3_add(suite, all[i], load);
}

/* Not every message is a sample; the latest of all was kept besides. */
static void s3_finish(struct bench_run *run)
{
	stats_percentiles(run, 1.0, run->value);
	run->value[LINK_MAX] = run->value[LINK_LATEST];
	link_finish(run);
}

const struct bench_scenario s3_fixed = {
	.name = "S3",
	.title = "latency at 10, 50 and 90 % of the capacity, ns from when a message was due",
	.param_unit = "B",
	.measure_ns = 40000000,
	.metric = {
		[LINK_P50] = { "p50", "ns", "p50", 1, BENCH_LOWER,
			       BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[LINK_P90] = { "p90", "ns", "p90", 1, BENCH_LOWER, BENCH_COLUMN },
		[LINK_P99] = { "p99", "ns", "p99", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD },
		[LINK_P999] = { "p99.9", "ns", "p99.9", 1, BENCH_LOWER,
				BENCH_COLUMN | BENCH_RECORD },
		[LINK_MAX] = { "max", "ns", "max", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_WORST },
		[LINK_CAPACITY] = { "capacity", "messages/s", "100 % M/s", 1e-6, BENCH_HIGHER,
				    BENCH_COLUMN | BENCH_RECORD },
		LINK_CPU_METRIC,
		LINK_COUNT_METRICS,
	},
	.list = s3_list,
	.finish = s3_finish,
};
