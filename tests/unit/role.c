// SPDX-License-Identifier: MIT
/*
 * Every call on the wrong side of a channel, or on the wrong kind, is refused and changes nothing.
 */
#include "helpers.h"

/* What each endpoint can be asked. */
enum side {
	RING_PRODUCER	= 1 << 0,
	RING_CONSUMER	= 1 << 1,
	TRIPLE_PRODUCER = 1 << 2,
	TRIPLE_CONSUMER = 1 << 3,
};

static int call_send(struct krepis_endpoint *ep)
{
	return krepis_send(ep, 1, "x", 1, KREPIS_NOWAIT);
}

static int call_send_begin(struct krepis_endpoint *ep)
{
	void *room;

	return krepis_send_begin(ep, 1, &room, KREPIS_NOWAIT);
}

static int call_send_commit(struct krepis_endpoint *ep)
{
	return krepis_send_commit(ep, 1, 0);
}

static int call_flush(struct krepis_endpoint *ep)
{
	return krepis_flush(ep);
}

static int call_drain(struct krepis_endpoint *ep)
{
	return krepis_drain(ep, KREPIS_NOWAIT);
}

static int call_acquire(struct krepis_endpoint *ep)
{
	struct krepis_buffer *buffer;

	return krepis_acquire(ep, &buffer, KREPIS_NOWAIT);
}

static int call_recv(struct krepis_endpoint *ep)
{
	struct krepis_msg msg;

	return krepis_recv(ep, &msg, KREPIS_NOWAIT);
}

static int call_recv_batch(struct krepis_endpoint *ep)
{
	struct krepis_msg msg;

	return krepis_recv_batch(ep, &msg, 1, KREPIS_NOWAIT);
}

static int call_triple_begin(struct krepis_endpoint *ep)
{
	void *data;

	return krepis_triple_begin(ep, &data);
}

static int call_triple_commit(struct krepis_endpoint *ep)
{
	return krepis_triple_commit(ep, 1, 0);
}

static int call_triple_read(struct krepis_endpoint *ep)
{
	struct krepis_msg msg;

	return krepis_triple_read(ep, &msg);
}

static const struct {
	const char *name;
	int (*call)(struct krepis_endpoint *ep);
	unsigned int sides;	/* whose it is */
} calls[] = {
	{ "send", call_send, RING_PRODUCER },
	{ "send_begin", call_send_begin, RING_PRODUCER },
	{ "send_commit", call_send_commit, RING_PRODUCER },
	{ "flush", call_flush, RING_PRODUCER },
	{ "drain", call_drain, RING_PRODUCER },
	{ "acquire", call_acquire, RING_PRODUCER },
	{ "recv", call_recv, RING_CONSUMER },
	{ "recv_batch", call_recv_batch, RING_CONSUMER },
	{ "triple_begin", call_triple_begin, TRIPLE_PRODUCER },
	{ "triple_commit", call_triple_commit, TRIPLE_PRODUCER },
	{ "triple_read", call_triple_read, TRIPLE_CONSUMER },
};

static void refuses_what_is_not_its(struct krepis_endpoint *ep, enum side side)
{
	struct krepis_counters before = counters_of(ep), after;
	unsigned int wrong = 0;

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		int err;

		if (calls[i].sides & side)
			continue;
		err = calls[i].call(ep);
		if (err == -EINVAL)
			continue;
		print_error("krepis_%s: %d\n", calls[i].name, err);
		wrong++;
	}
	assert_int_equal(wrong, 0);
	krepis_send_cancel(ep);
	after = counters_of(ep);
	assert_memory_equal(&before, &after, sizeof(before));
}

static void the_producer_of_a_ring_refuses_what_is_not_its(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	refuses_what_is_not_its(p.producer, RING_PRODUCER);
	recv_filled(p.consumer, 1, send_until_full(p.producer, 1, 10), 10);
	close_pair(&p);
}

static void the_consumer_of_a_ring_refuses_what_is_not_its(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	unsigned int n = send_until_full(p.producer, 1, 10);

	(void)state;
	refuses_what_is_not_its(p.consumer, RING_CONSUMER);
	recv_filled(p.consumer, 1, n, 10);
	close_pair(&p);
}

static void publish_value(struct krepis_endpoint *producer, uint64_t seed)
{
	void *data;

	assert_ok(krepis_triple_begin(producer, &data));
	fill(data, 100, seed);
	assert_ok(krepis_triple_commit(producer, 1, 100));
}

static void read_value(struct krepis_endpoint *consumer, uint64_t seed)
{
	struct krepis_msg msg;

	assert_ok(krepis_triple_read(consumer, &msg));
	assert_true(msg.len == 100 && filled(msg.data, 100, seed));
}

static void the_producer_of_a_triple_refuses_what_is_not_its(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);

	(void)state;
	refuses_what_is_not_its(p.producer, TRIPLE_PRODUCER);
	publish_value(p.producer, 1);
	read_value(p.consumer, 1);
	close_pair(&p);
}

static void the_consumer_of_a_triple_refuses_what_is_not_its(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);

	(void)state;
	publish_value(p.producer, 1);
	refuses_what_is_not_its(p.consumer, TRIPLE_CONSUMER);
	read_value(p.consumer, 1);
	close_pair(&p);
}

static void a_consumer_cannot_publish_what_it_received(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint8_t data[2000];
	struct krepis_msg msg;

	(void)state;
	fill(data, sizeof(data), 1);
	assert_ok(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_error(krepis_publish(p.consumer, msg.buffer, 1, 1, 0, KREPIS_NOWAIT), EINVAL);
	assert_error(krepis_publish(p.producer, msg.buffer, 1, 1, 0, KREPIS_NOWAIT), EINVAL);
	assert_error(krepis_abandon(p.consumer, msg.buffer), EINVAL);
	assert_error(krepis_abandon(p.producer, msg.buffer), EINVAL);
	assert_true(filled(msg.data, sizeof(data), 1));
	assert_ok(krepis_release(p.consumer, &msg));
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(the_producer_of_a_ring_refuses_what_is_not_its),
		CLAIM(the_consumer_of_a_ring_refuses_what_is_not_its),
		CLAIM(the_producer_of_a_triple_refuses_what_is_not_its),
		CLAIM(the_consumer_of_a_triple_refuses_what_is_not_its),
		CLAIM(a_consumer_cannot_publish_what_it_received),
	};

	return RUN("role", tests);
}
