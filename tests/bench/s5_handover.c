// SPDX-License-Identifier: MIT
/*
 * S5: hand-over of buffers. "handover" gives a buffer over and takes it back
 * without touching the payload, so the size must not matter; "full" writes and
 * reads all of it, beside streams that copy it twice.
 */
#include "link.h"

#define HANDOVER	BENCH_GROUP(0)
#define FULL		BENCH_GROUP(1)

#define KIB		1024ULL
#define MIB		(1024 * KIB)

#define LARGE_STREAM	(1UL << 20)	/* the most that a pipe takes unprivileged */

static void add_handover(struct bench_suite *suite, uint64_t size, const struct transport *t)
{
	struct bench_case what = {
		.param = size,
		.variant = "handover",
	};

	link_case_rate(&what, t);
	case_ours(&what, HANDOVER);
	/* The small one is what the large one is compared with, too. */
	if (size > 4 * KIB)
		what.ours |= BENCH_ANY_PARAM;
	else
		what.peer |= BENCH_ANY_PARAM;
	suite_add(suite, &what);
}

static void add_pair(struct bench_suite *suite, uint64_t size)
{
	struct bench_case what = {
		.param = size,
		.variant = "handover",
		.peer = HANDOVER,
	};

	link_case_rate(&what, &link_ck_pair);
	suite_add(suite, &what);
}

static void add_full(struct bench_suite *suite, uint64_t size)
{
	static const struct transport *const who[] = {
		&link_buffer_shm, &link_buffer_kmod, &link_unix, &link_pipe,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(who); i++) {
		struct bench_case what = {
			.param = size,
			.variant = "full",
			.capacity = size < LARGE_STREAM / 4 ? BENCH_RING_BYTES : LARGE_STREAM,
		};

		link_case_rate(&what, who[i]);
		if (link_ours(who[i]))
			case_ours(&what, FULL);
		else
			what.peer = FULL;
		suite_add(suite, &what);
	}
}

static void s5_list(struct bench_suite *suite)
{
	add_handover(suite, 4 * KIB, &link_handover_shm);
	add_handover(suite, 4 * KIB, &link_handover_kmod);
	add_pair(suite, 4 * KIB);
	add_handover(suite, 16 * MIB, &link_handover_shm);
	add_handover(suite, 16 * MIB, &link_handover_kmod);
	add_full(suite, 4 * KIB);
	add_full(suite, 64 * KIB);
	add_full(suite, 1 * MIB);
	add_full(suite, 4 * MIB);
}

static const struct bench_goal s5_goals[] = {
	{ "S5/krepis-shm/4096/handover", "time", NULL, 250, false },
	{ "S5/krepis-shm/16777216/handover", "time", NULL, 250, false },
	{ "S5/krepis-shm/16777216/handover", "time", "krepis-shm/4096", 1.2, false },
	{ "S5/krepis-kmod/16777216/handover", "time", "krepis-kmod/4096", 1.2, false },
};

const struct bench_scenario s5_handover = {
	.name = "S5",
	.title = "hand-over of a buffer, ns each; full: payload written and read",
	.param_unit = "B",
	.measure_ns = 40000000,
	.metric = {
		[LINK_RATE_MSGS] = { "rate", "messages/s", "M/s", 1e-6, BENCH_HIGHER,
				     BENCH_COLUMN },
		[LINK_RATE_BYTES] = { "bandwidth", "GB/s", "GB/s", 1, BENCH_HIGHER, BENCH_COLUMN },
		[LINK_NS] = { "time", "ns", "ns each", 1, BENCH_LOWER,
			      BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		LINK_CALL_METRICS,
	},
	.list = s5_list,
	.finish = link_finish_calls,
	.goals = s5_goals,
	.goal_count = ARRAY_SIZE(s5_goals),
};
