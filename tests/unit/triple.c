// SPDX-License-Identifier: MIT
/*
 * The triple: the latest value, whole, and neither side ever waits.
 */
#include <string.h>
#include "helpers.h"

#define SIZE	4096

static void publish(struct krepis_endpoint *producer, uint64_t n)
{
	void *data;

	must(!krepis_triple_begin(producer, &data));
	fill(data, SIZE, n);
	must(!krepis_triple_commit(producer, (uint16_t)n, SIZE));
}

/* Reads the latest value, which is @n; returns whether it is fresh. */
static bool read_value(struct krepis_endpoint *consumer, uint64_t n)
{
	struct krepis_msg msg;

	assert_ok(krepis_triple_read(consumer, &msg));
	assert_int_equal(msg.type, (uint16_t)n);
	assert_int_equal(msg.len, SIZE);
	assert_null(msg.buffer);
	assert_int_equal(msg.flags & ~KREPIS_MSG_FRESH, 0);
	assert_true(filled(msg.data, SIZE, n));
	return msg.flags & KREPIS_MSG_FRESH;
}

static void no_value(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	assert_error(krepis_triple_read(consumer, &msg), ENODATA);
}

/* --------------------------------------------------------------------------- values */

static void before_the_first_value_there_is_none(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);

	(void)state;
	no_value(p.consumer);
	assert_error(krepis_wait(p.consumer, KREPIS_NOWAIT), EAGAIN);
	publish(p.producer, 1);
	assert_ok(krepis_wait(p.consumer, KREPIS_NOWAIT));
	assert_true(read_value(p.consumer, 1));
	close_pair(&p);
}

static void a_value_is_fresh_once(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);

	(void)state;
	publish(p.producer, 1);
	assert_true(read_value(p.consumer, 1));
	for (int i = 0; i < 5; i++)
		assert_false(read_value(p.consumer, 1));
	assert_error(krepis_wait(p.consumer, KREPIS_NOWAIT), EAGAIN);
	publish(p.producer, 2);
	assert_true(read_value(p.consumer, 2));
	assert_false(read_value(p.consumer, 2));
	close_pair(&p);
}

static void only_the_latest_value_is_read(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	uint64_t n = 0;

	(void)state;
	for (uint64_t skipped = 0; skipped < 20; skipped++) {
		for (uint64_t i = 0; i <= skipped; i++)
			publish(p.producer, ++n);
		assert_true(read_value(p.consumer, n));
	}
	assert_int_equal(counters_of(p.producer).messages, n);
	assert_int_equal(counters_of(p.consumer).messages, 20);
	assert_int_equal(counters_of(p.consumer).drops, n - 20);
	close_pair(&p);
}

static void the_view_stays_while_the_producer_goes_on(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, 1);
	assert_ok(krepis_triple_read(p.consumer, &msg));
	for (uint64_t n = 2; n < 50; n++) {
		publish(p.producer, n);
		assert_true(filled(msg.data, SIZE, 1));
	}
	close_pair(&p);
}

static void the_sequence_counts_publications(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	struct krepis_msg msg;
	uint64_t last = 0;

	(void)state;
	for (uint64_t n = 1; n < 100; n++) {
		publish(p.producer, n);
		if (n % 3)
			continue;
		assert_ok(krepis_triple_read(p.consumer, &msg));
		assert_true(msg.sequence > last);
		last = msg.sequence;
	}
	close_pair(&p);
}

static void every_length_arrives(void **state)
{
	static const size_t lengths[] = { 0, 1, 7, 8, 100, 4095, 4096 };
	struct pair p = open_pair(SMALL_TRIPLE);
	struct krepis_msg msg;
	void *data;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		assert_ok(krepis_triple_begin(p.producer, &data));
		assert_int_equal((uintptr_t)data % 4096, 0);
		fill(data, lengths[i], i);
		assert_ok(krepis_triple_commit(p.producer, 7, lengths[i]));
		assert_ok(krepis_triple_read(p.consumer, &msg));
		assert_int_equal(msg.len, lengths[i]);
		assert_true(filled(msg.data, msg.len, i));
	}
	close_pair(&p);
}

static void values_are_published_to_nobody_too(void **state)
{
	struct pair p = { .channel = anonymous(SMALL_TRIPLE) };

	(void)state;
	p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
	for (uint64_t n = 1; n <= 10; n++)
		publish(p.producer, n);
	p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
	assert_true(read_value(p.consumer, 10));
	close_pair(&p);
}

/* ------------------------------------------------------------------------- refusals */

static void a_commit_of_nothing_begun_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);

	(void)state;
	assert_error(krepis_triple_commit(p.producer, 1, 1), EINVAL);
	no_value(p.consumer);
	publish(p.producer, 5);
	assert_error(krepis_triple_commit(p.producer, 1, 1), EINVAL);
	assert_true(read_value(p.consumer, 5));
	assert_false(read_value(p.consumer, 5));
	close_pair(&p);
}

static void more_than_a_buffer_is_not_committed(void **state)
{
	static const size_t lengths[] = { SIZE + 1, UINT32_MAX, (1ULL << 32) + 1, SIZE_MAX };
	struct pair p = open_pair(SMALL_TRIPLE);
	void *data;

	(void)state;
	assert_ok(krepis_triple_begin(p.producer, &data));
	fill(data, SIZE, 3);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++)
		assert_error(krepis_triple_commit(p.producer, 3, lengths[i]), EMSGSIZE);
	no_value(p.consumer);
	/* It is begun still. */
	assert_ok(krepis_triple_commit(p.producer, 3, SIZE));
	assert_true(read_value(p.consumer, 3));
	close_pair(&p);
}

static void begun_and_not_committed_is_never_seen(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	void *data, *again;

	(void)state;
	publish(p.producer, 1);
	assert_ok(krepis_triple_begin(p.producer, &data));
	memset(data, 0xee, SIZE);
	assert_true(read_value(p.consumer, 1));
	assert_false(read_value(p.consumer, 1));
	assert_ok(krepis_triple_begin(p.producer, &again));
	assert_ptr_equal(data, again);
	close_pair(&p);
}

static void a_second_one_on_either_side_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	struct krepis_endpoint *second;

	(void)state;
	assert_error(krepis_attach(p.channel, KREPIS_PRODUCER, 0, &second), EBUSY);
	assert_error(krepis_attach(p.channel, KREPIS_CONSUMER, 0, &second), EUSERS);
	publish(p.producer, 1);
	assert_true(read_value(p.consumer, 1));
	close_pair(&p);
}

static void a_producer_is_told_whether_somebody_reads(void **state)
{
	struct pair p = { .channel = anonymous(SMALL_TRIPLE) };

	(void)state;
	p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
	assert_error(krepis_wait(p.producer, KREPIS_NOWAIT), ENOTCONN);
	p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
	assert_ok(krepis_wait(p.producer, KREPIS_NOWAIT));
	krepis_detach(p.consumer);
	assert_error(krepis_wait(p.producer, KREPIS_NOWAIT), KREPIS_PEER_GONE);
	p.consumer = NULL;
	close_pair(&p);
}

static void a_consumer_is_told_that_no_more_comes(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);

	(void)state;
	publish(p.producer, 1);
	krepis_detach(p.producer);
	p.producer = NULL;
	assert_ok(krepis_wait(p.consumer, KREPIS_FOREVER));
	assert_true(read_value(p.consumer, 1));
	assert_error(krepis_wait(p.consumer, KREPIS_FOREVER), KREPIS_PEER_GONE);
	assert_false(read_value(p.consumer, 1));
	close_pair(&p);
}

/* ------------------------------------------------------------ who comes and goes when */

/*
 * A walk through all states that two sides can leave the three buffers in. Each
 * digit of @script, to the base of ACTIONS, is one action; after each of them a
 * published value is the one that is read.
 */
enum action { PUBLISH, READ, NEW_PRODUCER, NEW_CONSUMER, BEGIN, ACTIONS };

static bool walk(unsigned int script, unsigned int length)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	struct krepis_msg msg;
	uint64_t n = 0;
	bool ok = true;
	void *data;
	int err;

	for (unsigned int step = 0; step <= length && ok; step++, script /= ACTIONS) {
		/* The last step reads, whatever was before. */
		switch (step == length ? READ : (enum action)(script % ACTIONS)) {
		case PUBLISH:
			publish(p.producer, ++n);
			break;
		case BEGIN:
			must(!krepis_triple_begin(p.producer, &data));
			memset(data, 0xee, SIZE);
			break;
		case NEW_PRODUCER:
			krepis_detach(p.producer);
			p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
			break;
		case NEW_CONSUMER:
			krepis_detach(p.consumer);
			p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
			break;
		default:
			err = krepis_triple_read(p.consumer, &msg);
			ok = n ? !err && msg.len == SIZE && filled(msg.data, SIZE, n) :
				 err == -ENODATA;
			break;
		}
	}
	close_pair(&p);
	return ok;
}

static void sides_come_and_go_in_every_state(void **state)
{
	/* Keeps the library's thread from starting anew in each walk. */
	struct pair other = open_pair(SMALL_RING());
	unsigned int length = under_valgrind() ? 3 : under_sanitizer() || under_emulator() ? 4 : 5;
	unsigned int scripts = 1;

	(void)state;
	for (unsigned int i = 0; i < length; i++)
		scripts *= ACTIONS;
	for (unsigned int script = 0; script < scripts; script++) {
		if (!walk(script, length))
			fail_msg("script %u of length %u", script, length);
	}
	close_pair(&other);
}

static void a_walk_of_thousands_of_steps_goes_well(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	uint64_t n = 0;

	(void)state;
	for (unsigned int step = 0; step < rounds(3000); step++) {
		switch (random_below(5)) {
		case 0:
			krepis_detach(p.producer);
			p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
			break;
		case 1:
			krepis_detach(p.consumer);
			p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
			break;
		case 2:
			publish(p.producer, ++n);
			break;
		default:
			if (n)
				read_value(p.consumer, n);
			break;
		}
	}
	close_pair(&p);
}

static void both_may_be_away(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);

	(void)state;
	publish(p.producer, 1);
	krepis_detach(p.producer);
	krepis_detach(p.consumer);
	p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
	assert_true(read_value(p.consumer, 1));
	krepis_detach(p.consumer);
	p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
	publish(p.producer, 2);
	p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
	assert_true(read_value(p.consumer, 2));
	close_pair(&p);
}

/* --------------------------------------------------------------------- at full speed */

struct race {
	struct krepis_channel *channel;
	uint64_t count;
};

static size_t size_of(uint64_t n)
{
	return 8 + n * 31 % (SIZE - 8);
}

static void racing_producer(void *arg)
{
	struct race *race = arg;
	struct krepis_endpoint *producer;
	void *data;

	producer = attach_inherited(race->channel, KREPIS_PRODUCER, 0);
	must(!krepis_wait_peer(producer, 1, SOON));
	for (uint64_t n = 1; n <= race->count; n++) {
		must(!krepis_triple_begin(producer, &data));
		memcpy(data, &n, 8);
		fill((uint8_t *)data + 8, size_of(n) - 8, n);
		must(!krepis_triple_commit(producer, (uint16_t)n, size_of(n)));
	}
	krepis_detach(producer);
}

static void a_value_is_never_torn_and_never_goes_back(void **state)
{
	struct race r = { .channel = anonymous(SMALL_TRIPLE), .count = rounds(400000) };
	struct krepis_endpoint *consumer;
	uint64_t last = 0, reads = 0;
	struct krepis_msg msg;
	pid_t child;

	(void)state;
	child = spawn(racing_producer, &r);
	consumer = attach(r.channel, KREPIS_CONSUMER, 0);
	while (!krepis_wait(consumer, SOON)) {
		uint64_t n;

		assert_ok(krepis_triple_read(consumer, &msg));
		assert_true(msg.flags & KREPIS_MSG_FRESH);
		memcpy(&n, msg.data, 8);
		assert_true(n > last);
		assert_int_equal(msg.type, (uint16_t)n);
		assert_int_equal(msg.len, size_of(n));
		assert_true(filled((uint8_t *)msg.data + 8, msg.len - 8, n));
		last = n;
		reads++;
	}
	join_child(child);
	assert_int_equal(last, r.count);
	assert_int_equal(counters_of(consumer).messages, reads);
	krepis_detach(consumer);
	krepis_channel_close(r.channel);
}

static void a_value_is_whole_while_consumers_come_and_go(void **state)
{
	struct race r = { .channel = anonymous(SMALL_TRIPLE), .count = rounds(300000) };
	struct krepis_endpoint *consumer;
	struct krepis_msg msg;
	uint64_t last = 0;
	pid_t child;

	(void)state;
	child = spawn(racing_producer, &r);
	while (last < r.count) {
		consumer = attach(r.channel, KREPIS_CONSUMER, 0);
		for (int i = 0; i < 5; i++) {
			uint64_t n;

			if (krepis_triple_read(consumer, &msg))
				continue;
			memcpy(&n, msg.data, 8);
			assert_true(n >= last);
			assert_int_equal(msg.len, size_of(n));
			assert_true(filled((uint8_t *)msg.data + 8, msg.len - 8, n));
			last = n;
		}
		krepis_detach(consumer);
	}
	join_child(child);
	krepis_channel_close(r.channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(before_the_first_value_there_is_none),
		CLAIM(a_value_is_fresh_once),
		CLAIM(only_the_latest_value_is_read),
		CLAIM(the_view_stays_while_the_producer_goes_on),
		CLAIM(the_sequence_counts_publications),
		CLAIM(every_length_arrives),
		CLAIM(values_are_published_to_nobody_too),
		CLAIM(a_commit_of_nothing_begun_is_refused),
		CLAIM(more_than_a_buffer_is_not_committed),
		CLAIM(begun_and_not_committed_is_never_seen),
		CLAIM(a_second_one_on_either_side_is_refused),
		CLAIM(a_producer_is_told_whether_somebody_reads),
		CLAIM(a_consumer_is_told_that_no_more_comes),
		CLAIM(sides_come_and_go_in_every_state),
		CLAIM(a_walk_of_thousands_of_steps_goes_well),
		CLAIM(both_may_be_away),
		CLAIM(a_value_is_never_torn_and_never_goes_back),
		CLAIM(a_value_is_whole_while_consumers_come_and_go),
	};

	return RUN("triple", tests);
}
