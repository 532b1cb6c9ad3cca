// SPDX-License-Identifier: MIT
/*
 * S6: one producer, N consumers of one ring; beside it N rings, each of which gets every
 * message. What a message costs for each of its consumers, in processor time of all sides.
 */
#include "backend.h"
#include "broadcast.h"

/* Each backend is compared with itself. */
static void s6_add(struct bench_suite *suite, unsigned int consumers)
{
	const char *const *impl;
	struct bench_case peer = { 0 };
	unsigned int group = 0;

	for (impl = backend_impls; *impl; impl++, group++) {
		struct bench_case one = { .ours = BENCH_GROUP(group) };
		struct bench_case separate = {
			.variant = "separate",
			.peer = BENCH_GROUP(group),
		};

		broadcast_case(&one, *impl, consumers, false);
		suite_add(suite, &one);
		broadcast_case(&separate, *impl, consumers, true);
		suite_add(suite, &separate);
		peer.peer |= BENCH_GROUP(group);
	}
	peer.variant = "separate";
	broadcast_case(&peer, "ck_ring", consumers, true);
	suite_add(suite, &peer);
}

static void s6_list(struct bench_suite *suite)
{
	static const unsigned int consumers[] = { 1, 2, 4, 8 };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(consumers); i++)
		s6_add(suite, consumers[i]);
}

static const struct bench_goal s6_goals[] = {
	{ "S6/krepis-shm/8", "cpu_ns", "krepis-shm/separate", 0.6, false },
	{ "S6/krepis-kmod/8", "cpu_ns", "krepis-kmod/separate", 0.6, false },
};

const struct bench_scenario s6_broadcast = {
	.name = "S6",
	.title = "one producer, many consumers, 64 B: processor time of all sides for a message\n"
		 "     and a consumer, ns; messages/s to all of them",
	.param_unit = "consumers",
	.measure_ns = 40000000,
	.metric = {
		[BROADCAST_CPU_NS] = { "cpu_ns", "ns", "cpu ns", 1, BENCH_LOWER,
				       BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[BROADCAST_RATE] = { "rate", "messages/s", "M/s", 1e-6, BENCH_HIGHER,
				     BENCH_COLUMN | BENCH_RECORD },
	},
	.list = s6_list,
	.goals = s6_goals,
	.goal_count = ARRAY_SIZE(s6_goals),
};
