// SPDX-License-Identifier: MIT
/*
 * S14: system calls and events of the module in a hand-over of a buffer, as the
 * kernel counts them. "awake": neither side ever waits in the library, it looks again;
 * so there is nobody to wake, and nothing may be called. "waiting": both wait as the
 * library does it, which sleeps when the other side is slow.
 */
#include <errno.h>
#include <krepis/krepis.h>
#include <unistd.h>

#include "backend.h"
#include "trace.h"

#define BUFFER_SIZE	4096
#define BUFFER_COUNT	8
#define WARM_UP		500
#define COUNTED		5000
#define ROUNDS		4	/* a count needs no more */

enum { S14_SYSCALLS, S14_EVENTS, S14_NS };

static const char awake[] = "awake";

static int calls_setup(struct bench_run *run)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.buffer_size = BUFFER_SIZE,
		.buffer_count = BUFFER_COUNT,
		.max_consumers = 1,
	};
	int err = trace_begin();

	if (!err && !backend_create(run, &options, (struct krepis_channel **)&run->data))
		return 0;
	trace_end();
	return err ? bench_error(run, 0, "tracefs: %s", krepis_strerror(err)) : -1;
}

static void calls_teardown(struct bench_run *run)
{
	krepis_channel_close(run->data);
	trace_end();
}

static int64_t deadline(const struct bench_run *run)
{
	return run->what->variant == awake ? KREPIS_NOWAIT : KREPIS_FOREVER;
}

static int produce(struct krepis_endpoint *producer, int64_t until, unsigned int count)
{
	struct krepis_buffer *buffer;
	int err;

	while (count--) {
		while ((err = krepis_acquire(producer, &buffer, until)) == -EAGAIN)
			cpu_relax();
		if (err)
			return err;
		while ((err = krepis_publish(producer, buffer, 1, 64, 0, until)) == -EAGAIN)
			cpu_relax();
		if (err)
			return err;
	}
	return 0;
}

static int consume(struct krepis_endpoint *consumer, int64_t until, unsigned int count)
{
	struct krepis_msg msg;
	int err;

	while (count--) {
		while ((err = krepis_recv(consumer, &msg, until)) == -EAGAIN)
			cpu_relax();
		if (!err)
			err = krepis_release(consumer, &msg);
		if (err)
			return err;
	}
	return 0;
}

static int side(struct bench_run *run, int who, enum krepis_role role,
		int (*loop)(struct krepis_endpoint *ep, int64_t until, unsigned int count))
{
	struct krepis_endpoint *ep;
	uint64_t began;
	int err = krepis_attach(run->data, role, 0, &ep);

	if (err)
		return bench_error(run, who, "krepis_attach: %s", krepis_strerror(err));
	bench_ready(run, who);
	err = loop(ep, deadline(run), WARM_UP);
	/* A look at the clock may be a system call. */
	began = clock_ticks();
	trace_mark();
	if (!err)
		err = loop(ep, deadline(run), COUNTED);
	trace_mark();
	if (who)
		run->value[S14_NS] = clock_to_ns(clock_ticks() - began) / COUNTED;
	bench_done(run, who);
	if (err)
		return bench_error(run, who, "hand-over: %s", krepis_strerror(err));
	/* Who leaves wakes the other one. Each of these calls is in the trace, behind the marks. */
	while (__atomic_load_n(&run->done, __ATOMIC_ACQUIRE) < 2)
		usleep(1000);
	krepis_detach(ep);
	return 0;
}

static int side_produce(struct bench_run *run)
{
	return side(run, 0, KREPIS_PRODUCER, produce);
}

static int side_consume(struct bench_run *run)
{
	struct trace_count count;
	int err;

	if (side(run, 1, KREPIS_CONSUMER, consume))
		return -1;
	err = trace_read(&count);
	if (err)
		return bench_error(run, 1, "tracefs: %s", krepis_strerror(err));
	/* What is overwritten is the oldest: a trace that has the marks has all between. */
	if (count.marks != 4)
		return bench_error(run, 1, "the trace has %llu marks instead of 4",
				   (unsigned long long)count.marks);
	run->value[S14_SYSCALLS] = (double)count.syscalls / COUNTED;
	run->value[S14_EVENTS] = (double)count.events / COUNTED;
	if (run->what->variant == awake && count.first[0])
		fprintf(stderr, "S14/%s/%s: the first call was %s\n", run->what->impl, awake,
			count.first);
	return 0;
}

static void s14_add(struct bench_suite *suite, const char *impl, const char *variant)
{
	struct bench_case what = {
		.impl = impl,
		.param = BUFFER_SIZE,
		.variant = variant,
		.ours = BENCH_GROUP(0),
		.max_rounds = ROUNDS,
		.missing = backend_missing(impl),
		.setup = calls_setup,
		.side = { side_produce, side_consume },
		.teardown = calls_teardown,
	};

	if (!what.missing)
		what.missing = trace_missing();
	suite_add(suite, &what);
}

static void s14_list(struct bench_suite *suite)
{
	const char *const *impl;

	for (impl = backend_impls; *impl; impl++) {
		s14_add(suite, *impl, awake);
		s14_add(suite, *impl, "waiting");
	}
}

static const struct bench_goal s14_goals[] = {
	{ "S14/krepis-shm/4096/awake", "syscalls", NULL, 0, true },
	{ "S14/krepis-kmod/4096/awake", "syscalls", NULL, 0, true },
	{ "S14/krepis-kmod/4096/awake", "events", NULL, 0, true },
};

const struct bench_scenario s14_calls = {
	.name = "S14",
	.title = "system calls and events of the module, per hand-over of a buffer",
	.param_unit = "B",
	.measure_ns = 40000000,
	.metric = {
		[S14_SYSCALLS] = { "syscalls", "calls", "syscalls", 1, BENCH_LOWER,
				   BENCH_COLUMN | BENCH_SOLO | BENCH_WORST },
		[S14_EVENTS] = { "events", "events", "events", 1, BENCH_LOWER,
				 BENCH_COLUMN | BENCH_SOLO | BENCH_WORST },
		[S14_NS] = { "time", "ns", "ns each", 1, BENCH_LOWER, BENCH_COLUMN },
	},
	.list = s14_list,
	.goals = s14_goals,
	.goal_count = ARRAY_SIZE(s14_goals),
};
