// SPDX-License-Identifier: MIT
/*
 * Nothing is left behind: after many channels, endpoints and messages the process
 * has the descriptors, mappings and threads that it had before.
 *
 * Usage: churn [cycles]
 */
#include <stdio.h>
#include <stdlib.h>
#include "helpers.h"

static unsigned int cycles;

struct belongings {
	unsigned int fds;
	unsigned int mappings;
	unsigned int threads;
};

static struct belongings belongings(void)
{
	return (struct belongings){ open_fds(), mappings(), threads() };
}

static void assert_nothing_new(const struct belongings *before)
{
	struct belongings now = belongings();

	assert_int_equal(now.fds, before->fds);
	assert_int_equal(now.threads, before->threads);
	assert_int_equal(now.mappings, before->mappings);
}

/* One message through a buffer, there and back. */
static void exchange(struct pair *p, uint64_t n)
{
	struct krepis_buffer *buffer;
	struct krepis_msg msg;

	must(!krepis_acquire(p->producer, &buffer, KREPIS_NOWAIT));
	*(uint64_t *)krepis_buffer_data(buffer) = n;
	must(!krepis_publish(p->producer, buffer, 1, sizeof(n), 0, KREPIS_NOWAIT));
	must(!krepis_recv(p->consumer, &msg, KREPIS_NOWAIT));
	must(msg.len == sizeof(n) && *(const uint64_t *)msg.data == n);
	must(!krepis_release(p->consumer, &msg));
}

static void live_once(const struct krepis_channel_options *options, uint64_t n)
{
	struct pair p = open_pair(options);
	struct krepis_msg msg;
	void *data;

	if (options->kind == KREPIS_TRIPLE) {
		must(!krepis_triple_begin(p.producer, &data));
		must(!krepis_triple_commit(p.producer, 1, 1));
		must(!krepis_triple_read(p.consumer, &msg));
	} else {
		exchange(&p, n);
	}
	close_pair(&p);
}

static void live_often(const struct krepis_channel_options *options, unsigned int count)
{
	struct belongings before;

	/* What the C library keeps, it has then. */
	for (uint64_t n = 0; n < 3; n++)
		live_once(options, n);
	before = belongings();
	for (uint64_t n = 0; n < count; n++)
		live_once(options, n);
	assert_nothing_new(&before);
}

static void rings_leave_nothing_behind(void **state)
{
	(void)state;
	live_often(SMALL_RING(), cycles);
}

static void overwritten_rings_leave_nothing_behind(void **state)
{
	(void)state;
	live_often(SMALL_RING(.backpressure = KREPIS_OVERWRITE), cycles / 40);
}

static void triples_leave_nothing_behind(void **state)
{
	(void)state;
	live_often(SMALL_TRIPLE, cycles / 40);
}

static void live_under_a_name(void)
{
	struct krepis_channel *made = create("churn"), *found = open_channel("churn");

	must(connected(made, found));
	krepis_channel_close(found);
	must(!krepis_unlink("churn"));
	krepis_channel_close(made);
}

static void names_leave_nothing_behind(void **state)
{
	struct belongings before;

	(void)state;
	for (int n = 0; n < 3; n++)
		live_under_a_name();
	before = belongings();
	for (unsigned int n = 0; n < cycles / 40; n++)
		live_under_a_name();
	assert_nothing_new(&before);
	assert_int_equal(directory_entries(), 0);
}

static void refusals_leave_nothing_behind(void **state)
{
	struct pair p = open_pair(SMALL_RING(.max_consumers = 1));
	struct belongings before = belongings();
	struct krepis_channel *channel;
	struct krepis_endpoint *second;

	(void)state;
	for (unsigned int n = 0; n < cycles / 40; n++) {
		must(krepis_attach(p.channel, KREPIS_PRODUCER, 0, &second) == -EBUSY);
		must(krepis_attach(p.channel, KREPIS_CONSUMER, 0, &second) == -EUSERS);
		must(krepis_channel_open("missing", 0, &channel) == -ENOENT);
	}
	assert_nothing_new(&before);
	close_pair(&p);
}

static void messages_leave_nothing_behind(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffers[4];
	struct belongings before = belongings();

	(void)state;
	for (uint64_t n = 0; n < 50ULL * cycles; n++)
		exchange(&p, n);
	assert_nothing_new(&before);
	for (int i = 0; i < 4; i++)
		assert_ok(krepis_acquire(p.producer, &buffers[i], KREPIS_NOWAIT));
	close_pair(&p);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		CLAIM(rings_leave_nothing_behind),
		CLAIM(overwritten_rings_leave_nothing_behind),
		CLAIM(triples_leave_nothing_behind),
		CLAIM(names_leave_nothing_behind),
		CLAIM(refusals_leave_nothing_behind),
		CLAIM(messages_leave_nothing_behind),
	};

	cycles = argc > 1 ? (unsigned int)strtoul(argv[1], NULL, 10) : rounds(20000);
	if (!cycles) {
		fprintf(stderr, "usage: %s [cycles]\n", argv[0]);
		return 2;
	}
	return RUN("churn", tests);
}
