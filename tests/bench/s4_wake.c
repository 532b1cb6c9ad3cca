// SPDX-License-Identifier: MIT
/*
 * S4: sleep and wake, a round trip in which each side sleeps until the other
 * wakes it; and what an idle consumer costs.
 *
 * The usual case is two processors. "one-cpu" leaves the wake-up of an idle
 * processor out, which in a virtual machine outweighs all the rest.
 */
#include <errno.h>
#include <krepis/krepis.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "link.h"

#define TRIP		BENCH_GROUP(0)
#define TRIP_ONE_CPU	BENCH_GROUP(1)
#define IDLE		BENCH_GROUP(2)

#define IDLE_NS		1000000000ULL
#define IDLE_ROUNDS	3

enum { S4_IDLE = LINK_MAX + 1 };

static void add_trip(struct bench_suite *suite, const struct transport *t, uint64_t size,
		     bool one_cpu)
{
	struct bench_case what = {
		.param = size,
		.capacity = BENCH_RING_BYTES,
		.variant = one_cpu ? "one-cpu" : NULL,
		.flags = one_cpu ? BENCH_ONE_CPU : 0,
		.attach_flags = KREPIS_ATTACH_NO_SPIN,
	};
	uint32_t group = one_cpu ? TRIP_ONE_CPU : TRIP;

	link_case_latency(&what, t);
	what.ours = t == &link_krepis_shm ? group : 0;
	what.peer = what.ours ? 0 : group;
	suite_add(suite, &what);
}

/* -------------------------------------------------------------- idle consumer */

static int idle_setup(struct bench_run *run)
{
	int err = krepis_channel_create(NULL, NULL, (struct krepis_channel **)&run->data);

	return err ? bench_error(run, 0, "krepis_channel_create: %s", krepis_strerror(err)) : 0;
}

static void idle_teardown(struct bench_run *run)
{
	krepis_channel_close(run->data);
}

/* As many nanoseconds of processor time as a second had, in microseconds a second. */
static void idle_result(struct bench_run *run, uint64_t cpu_ns)
{
	run->value[S4_IDLE] = (double)cpu_ns / 1e3 * 1e9 / (double)run->measure_ns;
}

static int idle_krepis(struct bench_run *run)
{
	struct krepis_endpoint *consumer;
	struct krepis_msg msg;
	uint64_t began;
	int err;

	/* With the default flags: what the spinning before the sleep costs counts too. */
	err = krepis_attach(run->data, KREPIS_CONSUMER, 0, &consumer);
	if (err)
		return bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	bench_ready(run, 0);
	began = clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	err = krepis_recv(consumer, &msg, krepis_deadline_ns((int64_t)run->measure_ns));
	idle_result(run, clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - began);
	bench_done(run, 0);
	krepis_detach(consumer);
	return err == -ETIMEDOUT ? 0 : bench_error(run, 0, "krepis_recv: %s", krepis_strerror(err));
}

static int idle_futex(struct bench_run *run)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(run->measure_ns / 1000000000),
		.tv_nsec = (long)(run->measure_ns % 1000000000),
	};
	uint32_t word = 0;
	uint64_t began;

	bench_ready(run, 0);
	began = clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	syscall(SYS_futex, &word, FUTEX_WAIT, 0, &timeout, NULL, 0);
	idle_result(run, clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - began);
	bench_done(run, 0);
	return 0;
}

static void add_idle(struct bench_suite *suite)
{
	struct bench_case what = {
		.impl = "krepis-shm",
		.param = 8,
		.variant = "idle",
		.ours = IDLE,
		.flags = BENCH_ALONE,
		.max_rounds = IDLE_ROUNDS,
		.measure_ns = IDLE_NS,
		.setup = idle_setup,
		.side = { idle_krepis },
		.teardown = idle_teardown,
	};

	suite_add(suite, &what);
	what.impl = "futex";
	what.ours = 0;
	what.peer = IDLE;
	what.setup = NULL;
	what.side[0] = idle_futex;
	what.teardown = NULL;
	suite_add(suite, &what);
}

static void s4_list(struct bench_suite *suite)
{
	static const struct transport *const sleepers[] = {
		&link_krepis_shm, &link_futex, &link_pipe, &link_unix,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sleepers); i++)
		add_trip(suite, sleepers[i], 8, false);
	for (i = 0; i < ARRAY_SIZE(sleepers); i++)
		add_trip(suite, sleepers[i], 8, true);
	add_idle(suite);
}

static void s4_finish(struct bench_run *run)
{
	stats_percentiles(run, 1.0, run->value);
}

static const struct bench_goal s4_goals[] = {
	{ "S4/krepis-shm/8", "p50", "futex", 1.2 },
	{ "S4/krepis-shm/8/one-cpu", "p50", "futex", 1.2 },
};

const struct bench_scenario s4_wake = {
	.name = "S4",
	.title = "sleep and wake: round trip, ns; processor time of a waiting consumer, us/s",
	.param_unit = "B",
	.measure_ns = 80000000,
	.metric = {
		[LINK_P50] = { "p50", "ns", "p50", 1, BENCH_LOWER,
			       BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[LINK_P90] = { "p90", "ns", "p90", 1, BENCH_LOWER, BENCH_COLUMN },
		[LINK_P99] = { "p99", "ns", "p99", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD },
		[LINK_P999] = { "p99.9", "ns", "p99.9", 1, BENCH_LOWER, BENCH_COLUMN },
		[LINK_MAX] = { "max", "ns", "max", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_WORST },
		[S4_IDLE] = { "idle_cpu", "us/s", "idle us/s", 1, BENCH_LOWER,
			      BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
	},
	.list = s4_list,
	.finish = s4_finish,
	.goals = s4_goals,
	.goal_count = ARRAY_SIZE(s4_goals),
};
