// SPDX-License-Identifier: MIT
/*
 * S7: the triple channel. "publish" with a consumer that does not read, "read"
 * with nothing fresh, "contended" publishing flat out while another process reads
 * 60 times a second. The limits are one atomic exchange and one load of a line
 * that nobody else has.
 */
#include <errno.h>
#include <krepis/krepis.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "payload.h"

#define VALUE_SIZE	64
#define READER_HZ	60
#define AT_ONCE		1000	/* between two looks at the clock */

#define PUBLISH		BENCH_GROUP(0)
#define READ		BENCH_GROUP(1)
#define CONTENDED	BENCH_GROUP(2)

enum { S7_NS, S7_READS };

static int fail(struct bench_run *run, int who, const char *where, int err)
{
	return bench_error(run, who, "%s: %s", where, krepis_strerror(err));
}

static int triple_setup(struct bench_run *run)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.kind = KREPIS_TRIPLE,
		.buffer_size = VALUE_SIZE,
	};

	return backend_create(run, &options, (struct krepis_channel **)&run->data);
}

static void triple_teardown(struct bench_run *run)
{
	krepis_channel_close(run->data);
}

/* Runs @once in portions for the time of the run. Return: ns of one, or < 0. */
#define TIME_EACH(run, once) ({								\
	uint64_t began_, end_, count_ = 0;						\
	unsigned int i_;								\
	int err_ = 0;									\
											\
	end_ = clock_ticks() + clock_from_ns((run)->warmup_ns);				\
	while (!err_ && clock_ticks() < end_)						\
		for (i_ = 0; i_ < AT_ONCE && !err_; i_++)				\
			err_ = (once);							\
	began_ = clock_ticks();								\
	end_ = began_ + clock_from_ns((run)->measure_ns);				\
	while (!err_ && clock_ticks() < end_) {						\
		for (i_ = 0; i_ < AT_ONCE && !err_; i_++)				\
			err_ = (once);							\
		count_ += i_;								\
	}										\
	err_ ? (double)err_ : clock_to_ns(clock_ticks() - began_) / (double)count_;	\
})

static inline int publish(struct krepis_endpoint *producer, uint64_t sequence)
{
	void *value;
	int err;

	err = krepis_triple_begin(producer, &value);
	if (err)
		return err;
	payload_fill(value, VALUE_SIZE, sequence);
	return krepis_triple_commit(producer, 0, VALUE_SIZE);
}

static int attach_both(struct bench_run *run, struct krepis_endpoint **producer,
		       struct krepis_endpoint **consumer)
{
	int err = krepis_attach(run->data, KREPIS_PRODUCER, 0, producer);

	if (err)
		return fail(run, 0, "krepis_attach", err);
	err = krepis_attach(run->data, KREPIS_CONSUMER, 0, consumer);
	if (!err)
		return 0;
	krepis_detach(*producer);
	return fail(run, 0, "krepis_attach", err);
}

static int side_publish(struct bench_run *run)
{
	struct krepis_endpoint *producer, *consumer;
	uint64_t sequence = 0;
	double ns;

	if (attach_both(run, &producer, &consumer))
		return -1;
	bench_ready(run, 0);
	ns = TIME_EACH(run, publish(producer, ++sequence));
	bench_done(run, 0);
	krepis_detach(consumer);
	krepis_detach(producer);
	run->value[S7_NS] = ns;
	return ns < 0 ? fail(run, 0, "publish", (int)ns) : 0;
}

static int side_read(struct bench_run *run)
{
	struct krepis_endpoint *producer, *consumer;
	struct krepis_msg msg;
	double ns;
	int err;

	if (attach_both(run, &producer, &consumer))
		return -1;
	err = publish(producer, 1);
	if (err)
		return fail(run, 0, "publish", err);
	bench_ready(run, 0);
	ns = TIME_EACH(run, krepis_triple_read(consumer, &msg));
	bench_done(run, 0);
	krepis_detach(consumer);
	krepis_detach(producer);
	run->value[S7_NS] = ns;
	return ns < 0 ? fail(run, 0, "krepis_triple_read", (int)ns) : 0;
}

/* A limit's word in a line of its own. */
static uint64_t word __attribute__((aligned(128)));

static inline int publish_raw(uint64_t *value, uint64_t sequence)
{
	payload_fill(value, VALUE_SIZE, sequence);
	__atomic_exchange_n(&word, sequence, __ATOMIC_ACQ_REL);
	return 0;
}

static int side_publish_raw(struct bench_run *run)
{
	uint64_t value[VALUE_SIZE / 8] __attribute__((aligned(64))), sequence = 0;

	bench_ready(run, 0);
	run->value[S7_NS] = TIME_EACH(run, publish_raw(value, ++sequence));
	bench_done(run, 0);
	return 0;
}

static inline int read_raw(void)
{
	uint64_t now = __atomic_load_n(&word, __ATOMIC_ACQUIRE);

	/* The value is used, or it would not be loaded. */
	__asm__ volatile("" :: "r"(now));
	return 0;
}

static int side_read_raw(struct bench_run *run)
{
	bench_ready(run, 0);
	run->value[S7_NS] = TIME_EACH(run, read_raw());
	bench_done(run, 0);
	return 0;
}

/* ------------------------------------------------------------------ contended */

static int side_contended_write(struct bench_run *run)
{
	struct krepis_endpoint *producer;
	uint64_t sequence = 0;
	double ns;
	int err;

	err = krepis_attach(run->data, KREPIS_PRODUCER, 0, &producer);
	if (err)
		return fail(run, 0, "krepis_attach", err);
	err = publish(producer, ++sequence);
	if (err)
		return fail(run, 0, "publish", err);
	bench_ready(run, 0);
	ns = TIME_EACH(run, publish(producer, ++sequence));
	bench_done(run, 0);
	/* The reader's sign to stop. */
	__atomic_store_n(&run->sample_count, 1, __ATOMIC_RELEASE);
	krepis_detach(producer);
	run->value[S7_NS] = ns;
	return ns < 0 ? fail(run, 0, "publish", (int)ns) : 0;
}

static int check_value(struct bench_run *run, const struct krepis_msg *msg, uint64_t *last)
{
	uint64_t sequence;

	if (msg->len != VALUE_SIZE || !payload_check(msg->data, VALUE_SIZE, &sequence))
		return bench_error(run, 1, "a torn value");
	if (sequence < *last)
		return bench_error(run, 1, "a value older than the one before");
	*last = sequence;
	return 0;
}

static int side_contended_read(struct bench_run *run)
{
	const struct timespec pause = { .tv_nsec = 1000000000 / READER_HZ };
	struct krepis_endpoint *consumer;
	struct krepis_msg msg;
	uint64_t last = 0, reads = 0;
	int err;

	err = krepis_attach(run->data, KREPIS_CONSUMER, 0, &consumer);
	if (err)
		return fail(run, 1, "krepis_attach", err);
	bench_ready(run, 1);
	while (!__atomic_load_n(&run->sample_count, __ATOMIC_ACQUIRE)) {
		nanosleep(&pause, NULL);
		err = krepis_triple_read(consumer, &msg);
		if (err)
			return fail(run, 1, "krepis_triple_read", err);
		if (check_value(run, &msg, &last))
			return -1;
		reads++;
	}
	run->value[S7_READS] = (double)reads;
	bench_done(run, 1);
	krepis_detach(consumer);
	return 0;
}

static void s7_add(struct bench_suite *suite, const char *impl, const char *variant, uint32_t ours,
		   uint32_t peer, int (*side)(struct bench_run *))
{
	struct bench_case what = {
		.impl = impl,
		.param = VALUE_SIZE,
		.variant = variant,
		.peer = peer,
		.flags = BENCH_ALONE,
		.side = { side },
	};

	if (ours) {
		case_ours(&what, ours);
		what.missing = backend_missing(impl);
		what.setup = triple_setup;
		what.teardown = triple_teardown;
	}
	if (ours & CONTENDED) {
		what.flags = 0;
		what.side[1] = side_contended_read;
		what.measure_ns = 200000000;
	}
	suite_add(suite, &what);
}

static void s7_list(struct bench_suite *suite)
{
	const char *const *impl;

	for (impl = backend_impls; *impl; impl++)
		s7_add(suite, *impl, "publish", PUBLISH, CONTENDED, side_publish);
	s7_add(suite, "raw-exchange", "publish", 0, PUBLISH | CONTENDED, side_publish_raw);
	for (impl = backend_impls; *impl; impl++)
		s7_add(suite, *impl, "read", READ, 0, side_read);
	s7_add(suite, "raw-load", "read", 0, READ, side_read_raw);
	for (impl = backend_impls; *impl; impl++)
		s7_add(suite, *impl, "contended", CONTENDED, 0, side_contended_write);
}

static const struct bench_goal s7_goals[] = {
	{ "S7/krepis-shm/64/publish", "time", NULL, 10, false },
	{ "S7/krepis-shm/64/read", "time", NULL, 1.5, false },
};

const struct bench_scenario s7_triple = {
	.name = "S7",
	.title = "triple: publish of 64 bytes and read, ns",
	.param_unit = "B",
	.measure_ns = 20000000,
	.metric = {
		[S7_NS] = { "time", "ns", "ns each", 1, BENCH_LOWER,
			    BENCH_COLUMN | BENCH_RECORD | BENCH_HEAD },
		[S7_READS] = { "reads", "calls", "reads", 1, BENCH_HIGHER, BENCH_COLUMN },
	},
	.list = s7_list,
	.goals = s7_goals,
	.goal_count = ARRAY_SIZE(s7_goals),
};
