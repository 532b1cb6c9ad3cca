// SPDX-License-Identifier: MIT
/*
 * S4: sleep and wake, a round trip in which each side sleeps until the other
 * wakes it; and what an idle consumer costs.
 *
 * The usual case is two processors. "one-cpu" leaves the wake-up of an idle
 * processor out, which in a virtual machine outweighs all the rest. krepis-ioctl is
 * the module's commands alone, without the library.
 *
 * "epoll": each side sleeps in epoll_wait() and takes what is there without waiting;
 * "epoll-edge" is the same on edges.
 */
#include <errno.h>
#include <krepis/krepis.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backend.h"
#include "link.h"

#define IDLE		BENCH_GROUP(7)

#define IDLE_NS		1000000000ULL
#define IDLE_WAITS	10
#define IDLE_ROUNDS	3

enum { S4_IDLE = LINK_MAX + 1, S4_P10 };

/* Ways to sleep; each is compared with itself only. */
static const struct way {
	const char *name;
	uint32_t flags;
	bool epoll;
} ways[] = {
	{ NULL, 0, false },
	{ "one-cpu", BENCH_ONE_CPU, false },
	{ "epoll", 0, true },
	{ "epoll-one-cpu", BENCH_ONE_CPU, true },
	{ "epoll-edge", BENCH_EDGE, true },
};

static void add_trip(struct bench_suite *suite, const struct transport *t, unsigned int way)
{
	struct bench_case what = {
		.param = 8,
		.capacity = BENCH_RING_BYTES,
		.variant = ways[way].name,
		.flags = ways[way].flags,
		.attach_flags = KREPIS_ATTACH_NO_SPIN,
	};

	if (!t)
		return;
	link_case_latency(&what, t);
	if (link_ours(t))
		case_ours(&what, BENCH_GROUP(way));
	else
		what.peer = BENCH_GROUP(way);
	suite_add(suite, &what);
}

/* -------------------------------------------------------------- idle consumer */

static int idle_setup(struct bench_run *run)
{
	return backend_create(run, NULL, (struct krepis_channel **)&run->data);
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
	unsigned int i;
	int err;

	err = krepis_attach(run->data, KREPIS_CONSUMER, 0, &consumer);
	if (err)
		return bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	bench_ready(run, 0);
	/* Until it has learnt that spinning before it sleeps is of no use. */
	for (i = 0; i < IDLE_WAITS; i++)
		krepis_recv(consumer, &msg, krepis_deadline_ms(1));
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
		.param = 8,
		.variant = "idle",
		.flags = BENCH_ALONE,
		.max_rounds = IDLE_ROUNDS,
		.measure_ns = IDLE_NS,
	};
	struct bench_case peer = what;
	const char *const *impl;

	for (impl = backend_impls; *impl; impl++) {
		what.impl = *impl;
		what.ours = what.peer = 0;
		case_ours(&what, IDLE);
		what.missing = backend_missing(*impl);
		what.setup = idle_setup;
		what.side[0] = idle_krepis;
		what.teardown = idle_teardown;
		suite_add(suite, &what);
	}
	peer.impl = "futex";
	peer.peer = IDLE;
	peer.side[0] = idle_futex;
	suite_add(suite, &peer);
}

static void s4_list(struct bench_suite *suite)
{
	static const struct transport *const sleepers[] = {
		&link_krepis_shm, &link_krepis_kmod, &link_ioctl, &link_futex, &link_pipe,
		&link_unix, &link_seqpacket, &link_mq, &link_eventfd,
	};
	static const struct transport *const pollers[] = {
		&link_epoll_shm, &link_epoll_kmod, &link_epoll_eventfd,
	};
	unsigned int way, i;

	for (way = 0; way < ARRAY_SIZE(ways); way++) {
		if (ways[way].epoll)
			for (i = 0; i < ARRAY_SIZE(pollers); i++)
				add_trip(suite, pollers[i], way);
		else
			for (i = 0; i < ARRAY_SIZE(sleepers); i++)
				add_trip(suite, sleepers[i], way);
	}
	add_idle(suite);
}

static void s4_finish(struct bench_run *run)
{
	stats_percentiles(run, 1.0, run->value);
	link_finish(run);
	if (run->sample_count)
		run->value[S4_P10] = clock_to_ns(run->sample[run->sample_count / 10]);
}

static const struct bench_goal s4_goals[] = {
	{ "S4/krepis-shm/8", "p50", "futex", 1.15, false },
	{ "S4/krepis-shm/8/one-cpu", "p50", "futex", 1.15, false },
	{ "S4/krepis-shm/8/idle", "idle_cpu", "futex", 1.15, false },
	{ "S4/krepis-ioctl/8", "p50", "futex", 1.2, false },
	{ "S4/krepis-ioctl/8", "p10", "futex", 1.2, true },
	{ "S4/krepis-ioctl/8/one-cpu", "p50", "futex", 1.2, true },
	{ "S4/krepis-kmod/8/epoll", "p50", "eventfd", 1.1, false },
	{ "S4/krepis-kmod/8/epoll", "p10", "eventfd", 1.1, true },
	{ "S4/krepis-kmod/8/epoll-one-cpu", "p50", "eventfd", 1.1, true },
};

const struct bench_scenario s4_wake = {
	.name = "S4",
	.title = "sleep and wake: round trip, ns; processor time of a waiting consumer, us/s",
	.param_unit = "B",
	.measure_ns = 80000000,
	.metric = {
		/* Where something takes the processors away all the time, the median is its. */
		[S4_P10] = { "p10", "ns", "p10", 1, BENCH_LOWER, BENCH_RECORD },
		[LINK_P50] = { "p50", "ns", "p50", 1, BENCH_LOWER,
			       BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[LINK_P90] = { "p90", "ns", "p90", 1, BENCH_LOWER, BENCH_COLUMN },
		[LINK_P99] = { "p99", "ns", "p99", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_RECORD },
		[LINK_P999] = { "p99.9", "ns", "p99.9", 1, BENCH_LOWER, BENCH_COLUMN },
		[LINK_MAX] = { "max", "ns", "max", 1, BENCH_LOWER, BENCH_COLUMN | BENCH_WORST },
		[S4_IDLE] = { "idle_cpu", "us/s", "idle us/s", 1, BENCH_LOWER,
			      BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		LINK_CPU_METRIC,
		LINK_COUNT_METRICS,
	},
	.list = s4_list,
	.finish = s4_finish,
	.goals = s4_goals,
	.goal_count = ARRAY_SIZE(s4_goals),
};
