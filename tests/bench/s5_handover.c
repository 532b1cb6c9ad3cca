// SPDX-License-Identifier: MIT
/*
 * S5: hand-over of buffers. "handover" gives a buffer over and takes it back
 * without touching the payload, so the size must not matter; "full" writes and
 * reads all of it, "pages" one word of each page, beside streams that copy it twice.
 *
 * In an enforced channel the pages change hands. Beside it stands what is as safe from a
 * producer that writes on: the streams, and "ring+copy", whose consumer works on a copy.
 * iceoryx hands over in place and is not; it is there for what that costs.
 * "touch" writes and reads one word, by both ends in one process: what the change itself
 * costs, beside one memcpy.
 */
#include <krepis/krepis.h>
#include <string.h>

#include "backend.h"
#include "link.h"
#include "payload.h"

#define HANDOVER	BENCH_GROUP(0)
#define FULL		BENCH_GROUP(1)
#define PAGES		BENCH_GROUP(2)
#define TOUCH		BENCH_GROUP(3)

#define KIB		1024ULL
#define MIB		(1024 * KIB)
#define PAGE		(4 * KIB)

#define LARGE_STREAM	(1UL << 20)	/* the most that a pipe takes unprivileged */
#define LARGE		(1 * MIB)	/* takes longer: a run has to have more than a few */
#define LARGE_NS	200000000
#define LARGEST		(4 * MIB)

static void add_handover_peer(struct bench_suite *suite, uint64_t size, const struct transport *t)
{
	struct bench_case what = {
		.param = size,
		.variant = "handover",
		.peer = HANDOVER,
	};

	if (!t)
		return;
	link_case_rate(&what, t);
	suite_add(suite, &what);
}

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

/* What is written and read, and who is compared. */
struct how {
	const char *variant;
	size_t step;
	uint32_t group;
};

static void add(struct bench_suite *suite, uint64_t size, const struct how *how,
		const struct transport *t)
{
	struct bench_case what = {
		.param = size,
		.variant = how->variant,
		.step = how->step,
		.measure_ns = size < LARGE ? 0 : LARGE_NS,
		.capacity = size < LARGE_STREAM / 4 ? BENCH_RING_BYTES : LARGE_STREAM,
		/* It shares its processor by design. */
		.flags = t == &link_second_enforced ? BENCH_CROWDED : 0,
	};

	if (!t)
		return;
	link_case_rate(&what, t);
	if (link_ours(t))
		case_ours(&what, how->group);
	else
		what.peer = how->group;
	suite_add(suite, &what);
}

/* ----------------------------------------------- what the change itself costs */

#define BUFFERS		4

static char *copied;	/* two times LARGEST */

/* Both ends in one process: it is one processor's time, as the copy's is. */
struct ends {
	size_t size;
	struct krepis_endpoint *producer, *consumer;
};

static int copy_once(const struct ends *e)
{
	memcpy(copied + e->size, copied, e->size);
	payload_barrier();
	return 0;
}

static int touch_once(const struct ends *e)
{
	struct krepis_buffer *buffer;
	struct krepis_msg msg;
	uint64_t word;
	int err;

	err = krepis_acquire(e->producer, &buffer, KREPIS_NOWAIT);
	if (err)
		return err;
	payload_put(krepis_buffer_data(buffer), e->size, e->size, 1);
	err = krepis_publish(e->producer, buffer, 0, e->size, 0, KREPIS_NOWAIT);
	if (err)
		return err;
	err = krepis_recv(e->consumer, &msg, KREPIS_NOWAIT);
	if (err)
		return err;
	payload_get(msg.data, e->size, e->size, &word);
	return krepis_release(e->consumer, &msg);
}

/* Repeats @once for @ns. Return: how many times, or a negative errno. */
static int64_t repeat(const struct ends *e, int (*once)(const struct ends *), uint64_t ns)
{
	uint64_t end = clock_ticks() + clock_from_ns(ns);
	int64_t count = 0;
	int err;

	do {
		err = once(e);
		if (err)
			return err;
		count++;
	} while (clock_ticks() < end);
	return count;
}

static int measure(struct bench_run *run, const struct ends *e,
		   int (*once)(const struct ends *))
{
	uint64_t began;
	int64_t count;

	bench_ready(run, 0);
	count = repeat(e, once, run->warmup_ns);
	began = clock_ticks();
	if (count > 0)
		count = repeat(e, once, run->measure_ns);
	run->value[LINK_NS] = clock_to_ns(clock_ticks() - began) / (double)count;
	bench_done(run, 0);
	if (count < 0)
		return bench_error(run, 0, "a cycle failed: %s", krepis_strerror((int)count));
	run->value[LINK_RATE_MSGS] = 1e9 / run->value[LINK_NS];
	run->value[LINK_RATE_BYTES] = (double)e->size / run->value[LINK_NS];
	return 0;
}

static int side_copy(struct bench_run *run)
{
	const struct ends ends = { .size = run->what->param };

	memset(copied, 1, 2 * ends.size);
	return measure(run, &ends, copy_once);
}

static int touch_setup(struct bench_run *run)
{
	const struct krepis_channel_options options = {
		.size = sizeof(options),
		.flags = KREPIS_F_ENFORCED,
		.buffer_size = run->what->param,
		.buffer_count = BUFFERS,
	};

	return backend_create(run, &options, (struct krepis_channel **)&run->data);
}

static void touch_teardown(struct bench_run *run)
{
	krepis_channel_close(run->data);
}

static int side_touch(struct bench_run *run)
{
	struct ends ends = { .size = run->what->param };
	int err;

	err = krepis_attach(run->data, KREPIS_PRODUCER, 0, &ends.producer);
	if (err)
		return bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	err = krepis_attach(run->data, KREPIS_CONSUMER, 0, &ends.consumer);
	if (err)
		err = bench_error(run, 0, "krepis_attach: %s", krepis_strerror(err));
	else
		err = measure(run, &ends, touch_once);
	krepis_detach(ends.consumer);
	krepis_detach(ends.producer);
	return err;
}

static void add_touch(struct bench_suite *suite, uint64_t size)
{
	struct bench_case touch = {
		.impl = link_buffer_enforced.name,
		.param = size,
		.variant = "touch",
		.ours = TOUCH,
		.flags = BENCH_ALONE,
		.missing = link_buffer_enforced.missing(),
		.setup = touch_setup,
		.side = { side_touch },
		.teardown = touch_teardown,
	};
	struct bench_case copy = {
		.impl = "memcpy",
		.param = size,
		.peer = TOUCH,
		.flags = BENCH_ALONE,
		.side = { side_copy },
	};

	if (!copied)
		copied = run_shared_alloc(2 * LARGEST);
	if (!copied)
		copy.missing = "no memory";
	suite_add(suite, &touch);
	suite_add(suite, &copy);
}

/* -------------------------------------------------------------------- the list */

static void s5_list(struct bench_suite *suite)
{
	static const uint64_t sizes[] = { 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, 1 * MIB, LARGEST };
	static const struct transport *const all[] = {
		&link_buffer_shm, &link_buffer_kmod, &link_buffer_enforced, &link_unix, &link_pipe,
		&link_copy_kmod, &link_copy_shm, &link_iceoryx, &link_vmsplice,
	};
	/* They copy all of it in any case: "pages" would say what "full" does. */
	static const struct transport *const copying[] = {
		&link_zmq, &link_nng, &link_seqpacket, &link_mq,
	};
	static const struct how full = { "full", 0, FULL }, pages = { "pages", PAGE, PAGES };
	/* What a copying one cannot do without. */
	static const struct how first = { "handover", LARGEST, HANDOVER };
	static const struct how by_two = { "pages-mt", PAGE, PAGES };
	unsigned int i, j;

	add_handover(suite, 4 * KIB, &link_handover_shm);
	add_handover(suite, 4 * KIB, &link_handover_kmod);
	add_handover_peer(suite, 4 * KIB, &link_ck_pair);
	add_handover_peer(suite, 4 * KIB, &link_rte_pair);
	add_handover_peer(suite, 4 * KIB, &link_iceoryx_handover);
	add_handover(suite, LARGEST, &link_handover_shm);
	add_handover(suite, LARGEST, &link_handover_kmod);
	add(suite, LARGEST, &first, &link_unix);
	add(suite, LARGEST, &first, &link_pipe);
	add_handover(suite, 16 * MIB, &link_handover_shm);
	add_handover(suite, 16 * MIB, &link_handover_kmod);
	add_handover_peer(suite, 16 * MIB, &link_iceoryx_handover);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (j = 0; j < ARRAY_SIZE(all); j++)
			add(suite, sizes[i], &full, all[j]);
		for (j = 0; j < ARRAY_SIZE(copying); j++)
			add(suite, sizes[i], &full, copying[j]);
		/* Of the cooperative ones, the one that is alike otherwise. */
		for (j = 1; j < ARRAY_SIZE(all); j++)
			add(suite, sizes[i], &pages, all[j]);
		if (sizes[i] < LARGE)
			continue;
		add(suite, sizes[i], &by_two, &link_second_enforced);
		add_touch(suite, sizes[i]);
	}
}

/* A goal for every cycle in which the producer touches each page, and the consumer reads it. */
#define CYCLE(size, peer, limit) { "S5/krepis-enforced/" #size "/pages", "time", peer, limit, true }

static const struct bench_goal s5_goals[] = {
	{ "S5/krepis-shm/4096/handover", "time", NULL, 150, false },
	{ "S5/krepis-shm/16777216/handover", "time", NULL, 150, false },
	{ "S5/krepis-shm/4194304/handover", "time", "unix", 1 / 100.0, false },
	{ "S5/krepis-shm/16384/full", "time", "ring+copy-shm", 1, false },
	{ "S5/krepis-shm/65536/full", "time", "ring+copy-shm", 1, false },
	{ "S5/krepis-shm/262144/full", "time", "ring+copy-shm", 1, false },
	{ "S5/krepis-shm/1048576/full", "time", "ring+copy-shm", 1, false },
	{ "S5/krepis-shm/4194304/full", "time", "ring+copy-shm", 1, false },
	{ "S5/krepis-shm/16777216/handover", "time", "krepis-shm/4096", 1.2, false },
	{ "S5/krepis-kmod/16777216/handover", "time", "krepis-kmod/4096", 1.2, false },
	CYCLE(4096, "unix", 1 / 2.0),
	CYCLE(65536, "unix", 1 / 5.0),
	CYCLE(1048576, "unix", 1 / 15.0),
	CYCLE(65536, "ring+copy", 1),
	CYCLE(262144, "ring+copy", 1),
	CYCLE(1048576, "ring+copy", 1),
	CYCLE(4194304, "ring+copy", 1),
	{ "S5/krepis-enforced/1048576/touch", "time", "memcpy", 0.35, true },
	{ "S5/krepis-enforced/4194304/touch", "time", "memcpy", 0.2, true },
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
		LINK_CPU_METRIC,
		LINK_COUNT_METRICS,
	},
	.list = s5_list,
	.finish = link_finish,
	.goals = s5_goals,
	.goal_count = ARRAY_SIZE(s5_goals),
};
