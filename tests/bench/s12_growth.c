// SPDX-License-Identifier: MIT
/*
 * S12: how the cost of a message grows.
 *
 *	channels   in one wait set, ten of which are active in turn: from a send until another
 *		   process, which slept in the wait set, has got the message
 *	turns	   the same, and all of them are: each is met with cold caches
 *	endpoints  consumers of one ring: processor time of all sides, as in S6
 *	buffers	   in a pool: acquire, publish, receive and release by one process
 */
#include <krepis/krepis.h>
#include <math.h>

#include "backend.h"
#include "broadcast.h"
#include "many.h"

#define BUFFER_BYTES	4096
#define AT_ONCE		64	/* between two looks at the clock */
#define MANY		10000	/* takes long to make: fewer rounds */
#define MANY_ROUNDS	3

#define CHANNELS	BENCH_GROUP(0)
#define ENDPOINTS	BENCH_GROUP(1)
#define BUFFERS		BENCH_GROUP(2)
#define TURNS		BENCH_GROUP(3)

enum { S12_NS, S12_P99 };

/* -------------------------------------------------------------------- buffers */

static int buffers_setup(struct bench_run *run)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.buffer_size = BUFFER_BYTES,
		.buffer_count = (uint32_t)run->what->param,
		.max_consumers = 1,
	};

	return backend_create(run, &options, (struct krepis_channel **)&run->data);
}

static void buffers_teardown(struct bench_run *run)
{
	krepis_channel_close(run->data);
}

static int cycle(struct krepis_endpoint *producer, struct krepis_endpoint *consumer)
{
	struct krepis_buffer *buffer;
	struct krepis_msg msg;
	int err;

	err = krepis_acquire(producer, &buffer, KREPIS_NOWAIT);
	if (!err)
		err = krepis_publish(producer, buffer, 0, BUFFER_BYTES, 0, KREPIS_NOWAIT);
	if (!err)
		err = krepis_recv(consumer, &msg, KREPIS_NOWAIT);
	return err ? err : krepis_release(consumer, &msg);
}

/* Return: how many cycles in @ns, or a negative errno. */
static int64_t cycles_for(struct krepis_endpoint *producer, struct krepis_endpoint *consumer,
			  uint64_t ns)
{
	uint64_t end = clock_ticks() + clock_from_ns(ns);
	int64_t count = 0;
	unsigned int i;
	int err = 0;

	do {
		for (i = 0; i < AT_ONCE && !err; i++)
			err = cycle(producer, consumer);
		count += AT_ONCE;
	} while (!err && clock_ticks() < end);
	return err ? err : count;
}

static int side_buffers(struct bench_run *run)
{
	struct krepis_endpoint *producer, *consumer;
	uint64_t began;
	int64_t count;
	int err = krepis_attach(run->data, KREPIS_PRODUCER, 0, &producer);

	if (!err)
		err = krepis_attach(run->data, KREPIS_CONSUMER, 0, &consumer);
	if (err)
		return bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	bench_ready(run, 0);
	count = cycles_for(producer, consumer, run->warmup_ns);
	began = clock_ticks();
	if (count > 0)
		count = cycles_for(producer, consumer, run->measure_ns);
	run->value[S12_NS] = clock_to_ns(clock_ticks() - began) / (double)count;
	bench_done(run, 0);
	krepis_detach(consumer);
	krepis_detach(producer);
	return count < 0 ? bench_error(run, 0, "a cycle failed: %s", krepis_strerror((int)count)) :
			   0;
}

static void buffers_case(struct bench_case *what, const char *impl, unsigned int count)
{
	what->impl = impl;
	what->param = count;
	what->flags |= BENCH_ALONE;
	what->missing = backend_missing(impl);
	what->setup = buffers_setup;
	what->side[0] = side_buffers;
	what->teardown = buffers_teardown;
}

/* -------------------------------------------------------------------- the list */

/* What grows, from how few on it is compared, and who makes the sides. */
static const struct growth {
	const char *variant;
	uint32_t group;
	unsigned int base;
	unsigned int count[5];	/* up to a 0 */
} growths[] = {
	{ "channels", CHANNELS, 10, { 1, 10, 100, 1000, MANY } },
	{ "turns", TURNS, 10, { 10, 100, 1000, MANY } },
	{ "endpoints", ENDPOINTS, 1, { 1, 8, 32 } },
	{ "buffers", BUFFERS, 64, { 1, 64, 1024, 65536 } },
};

static void s12_add(struct bench_suite *suite, const struct growth *g, const char *impl,
		    unsigned int count)
{
	struct bench_case what = { .variant = g->variant };

	if (g->group == CHANNELS || g->group == TURNS)
		many_case(&what, impl, count);
	else if (g->group == ENDPOINTS)
		broadcast_case(&what, impl, count, false);
	else
		buffers_case(&what, impl, count);
	case_ours(&what, g->group);
	if (count == g->base)
		what.peer |= BENCH_ANY_PARAM;
	else
		what.ours |= BENCH_ANY_PARAM;
	if (count >= MANY)
		what.max_rounds = MANY_ROUNDS;
	suite_add(suite, &what);
}

static void s12_list(struct bench_suite *suite)
{
	const char *const *impl;
	unsigned int i, j;

	for (i = 0; i < ARRAY_SIZE(growths); i++)
		for (j = 0; j < ARRAY_SIZE(growths[i].count) && growths[i].count[j]; j++)
			for (impl = backend_impls; *impl; impl++)
				s12_add(suite, &growths[i], *impl, growths[i].count[j]);
}

/* Of those that have no samples the time is there already. */
static void s12_finish(struct bench_run *run)
{
	double value[BENCH_METRICS];

	/* The rate of broadcast.c, which is S6's. */
	run->value[S12_P99] = NAN;
	if (!run->sample_count)
		return;
	stats_percentiles(run, 1.0, value);
	run->value[S12_NS] = value[LINK_P50];
	run->value[S12_P99] = value[LINK_P99];
}

static const struct bench_goal s12_goals[] = {
	{ "S12/krepis-shm/1000/channels", "time", "krepis-shm/10", 1.5, false },
	{ "S12/krepis-shm/10000/channels", "time", "krepis-shm/10", 1.5, false },
	{ "S12/krepis-kmod/10000/channels", "time", "krepis-kmod/10", 1.5, false },
};

const struct bench_scenario s12_growth = {
	.name = "S12",
	.title = "how a message's cost grows with channels in a wait set, endpoints of a ring,\n"
		 "     buffers of a pool, ns each",
	.param_unit = "of them",
	.measure_ns = 40000000,
	.metric = {
		[S12_NS] = { "time", "ns", "ns each", 1, BENCH_LOWER,
			     BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[S12_P99] = { "p99", "ns", "p99", 1, BENCH_LOWER, BENCH_COLUMN },
	},
	.list = s12_list,
	.finish = s12_finish,
	.goals = s12_goals,
	.goal_count = ARRAY_SIZE(s12_goals),
};
