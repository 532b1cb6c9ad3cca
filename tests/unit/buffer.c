// SPDX-License-Identifier: MIT
/*
 * Buffers: one owner at a time, and a name that does not outlive the ownership.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "helpers.h"

static struct krepis_buffer *acquire(struct krepis_endpoint *producer)
{
	struct krepis_buffer *buffer = NULL;

	assert_ok(krepis_acquire(producer, &buffer, KREPIS_NOWAIT));
	return buffer;
}

static void none_to_acquire(struct krepis_endpoint *producer)
{
	struct krepis_buffer *untouched = (void *)&untouched, *buffer = untouched;

	assert_error(krepis_acquire(producer, &buffer, KREPIS_NOWAIT), EAGAIN);
	assert_ptr_equal(buffer, untouched);
}

static void publish(struct krepis_endpoint *producer, struct krepis_buffer *buffer, uint64_t seed)
{
	size_t size = krepis_buffer_size(buffer);

	fill(krepis_buffer_data(buffer), size, seed);
	assert_ok(krepis_publish(producer, buffer, 1, size, 0, KREPIS_NOWAIT));
}

static struct krepis_msg receive(struct krepis_endpoint *consumer, uint64_t seed)
{
	struct krepis_msg msg;

	assert_ok(krepis_recv(consumer, &msg, KREPIS_NOWAIT));
	assert_non_null(msg.buffer);
	assert_int_equal(msg.len, krepis_buffer_size(msg.buffer));
	assert_true(filled(msg.data, msg.len, seed));
	return msg;
}

static bool same_handle(struct krepis_handle a, struct krepis_handle b)
{
	return a.index == b.index && a.generation == b.generation;
}

/* ------------------------------------------------------------------ there and back */

static void a_buffer_is_page_aligned_and_as_large_as_asked(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_size = 5000));
	struct krepis_buffer *buffers[4];

	(void)state;
	for (int i = 0; i < 4; i++) {
		buffers[i] = acquire(p.producer);
		assert_int_equal((uintptr_t)krepis_buffer_data(buffers[i]) % 4096, 0);
		assert_int_equal(krepis_buffer_size(buffers[i]), 5000);
		fill(krepis_buffer_data(buffers[i]), 5000, (uint64_t)i);
	}
	for (int i = 0; i < 4; i++)
		assert_true(filled(krepis_buffer_data(buffers[i]), 5000, (uint64_t)i));
	close_pair(&p);
}

static void a_buffer_goes_there_and_back(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_msg msg;

	(void)state;
	for (uint64_t n = 0; n < 1000; n++) {
		publish(p.producer, acquire(p.producer), n);
		none_to_acquire(p.producer);
		msg = receive(p.consumer, n);
		none_to_acquire(p.producer);
		assert_ok(krepis_release(p.consumer, &msg));
	}
	close_pair(&p);
}

static void the_length_type_and_flags_arrive(void **state)
{
	static const size_t lengths[] = { 0, 1, 7, 8, 1016, 1017, 4095, 4096 };
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct krepis_buffer *buffer = acquire(p.producer);
		struct krepis_msg msg;

		fill(krepis_buffer_data(buffer), lengths[i], i);
		assert_ok(krepis_publish(p.producer, buffer, (uint16_t)(65530 + i), lengths[i], 0,
					 KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_int_equal(msg.len, lengths[i]);
		assert_int_equal(msg.type, (uint16_t)(65530 + i));
		assert_int_equal(msg.flags, KREPIS_MSG_BUFFER);
		assert_true(filled(msg.data, lengths[i], i));
		assert_ok(krepis_release(p.consumer, &msg));
	}
	close_pair(&p);
}

static void a_published_buffer_is_no_copy(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct view v = open_view(p.channel);
	struct krepis_buffer *buffer = acquire(p.producer);
	struct krepis_handle handle = krepis_buffer_handle(buffer);
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, buffer, 1);
	msg = receive(p.consumer, 1);
	assert_true(same_handle(handle, krepis_buffer_handle(msg.buffer)));
	v.payload[handle.index * v.layout.stride + 100] ^= 0xff;
	assert_false(filled(msg.data, msg.len, 1));
	close_view(&v);
	close_pair(&p);
}

static void buffers_run_out(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffers[4], *none;

	(void)state;
	for (int i = 0; i < 4; i++)
		buffers[i] = acquire(p.producer);
	none_to_acquire(p.producer);
	assert_error(krepis_acquire(p.producer, &none, SHORTLY), ETIMEDOUT);
	assert_ok(krepis_abandon(p.producer, buffers[2]));
	assert_ptr_equal(acquire(p.producer), buffers[2]);
	none_to_acquire(p.producer);
	close_pair(&p);
}

static void a_channel_without_buffers_has_none(void **state)
{
	struct pair p = open_pair(OPTIONS(.flags = KREPIS_F_NO_BUFFERS));
	struct krepis_buffer *buffer;

	(void)state;
	assert_error(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT), EOPNOTSUPP);
	assert_error(krepis_acquire(p.producer, &buffer, KREPIS_FOREVER), EOPNOTSUPP);
	close_pair(&p);
}

static void several_messages_are_held_at_a_time(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[4];

	(void)state;
	for (uint64_t n = 0; n < 4; n++) {
		publish(p.producer, acquire(p.producer), n);
		msgs[n] = receive(p.consumer, n);
	}
	none_to_acquire(p.producer);
	/* Each stays as it is, whatever else is received or released. */
	for (int n = 3; n >= 0; n--) {
		for (int i = 0; i <= n; i++)
			assert_true(filled(msgs[i].data, msgs[i].len, (uint64_t)i));
		assert_ok(krepis_release(p.consumer, &msgs[n]));
		assert_int_equal(count_free(p.producer), 4 - n);
	}
	close_pair(&p);
}

/* Releases what @count consumers hold in the order that @order says, digit by digit. */
static void comes_back_last(struct pair *p, struct krepis_endpoint **consumers,
			    unsigned int count, const unsigned int *order, uint64_t seed)
{
	struct krepis_msg msgs[4];

	publish(p->producer, acquire(p->producer), seed);
	for (unsigned int i = 0; i < count; i++)
		msgs[i] = receive(consumers[i], seed);
	for (unsigned int i = 0; i < count; i++) {
		none_to_acquire(p->producer);
		assert_true(filled(msgs[order[i]].data, 4096, seed));
		assert_ok(krepis_release(consumers[order[i]], &msgs[order[i]]));
	}
	assert_int_equal(count_free(p->producer), 1);
}

static void a_buffer_comes_back_on_the_last_release_in_every_order(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_endpoint *consumers[4] = { p.consumer };
	unsigned int orders = 0;

	(void)state;
	for (int i = 1; i < 4; i++)
		consumers[i] = attach(p.channel, KREPIS_CONSUMER, 0);
	for (unsigned int n = 0; n < 256; n++) {
		unsigned int order[4] = { n & 3, n >> 2 & 3, n >> 4 & 3, n >> 6 & 3 };

		if ((1U << order[0] | 1U << order[1] | 1U << order[2] | 1U << order[3]) != 15)
			continue;
		comes_back_last(&p, consumers, 4, order, n);
		orders++;
	}
	assert_int_equal(orders, 24);
	for (int i = 1; i < 4; i++)
		krepis_detach(consumers[i]);
	close_pair(&p);
}

static void a_consumer_that_leaves_releases_what_it_holds(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	for (uint64_t n = 0; n < 4; n++)
		publish(p.producer, acquire(p.producer), n);
	/* Two received and held, two not even received. */
	receive(p.consumer, 0);
	receive(p.consumer, 1);
	none_to_acquire(p.producer);
	krepis_detach(p.consumer);
	assert_int_equal(count_free(p.producer), 4);
	p.consumer = NULL;
	close_pair(&p);
}

static void a_waiting_producer_gets_the_buffer_of_a_consumer_that_leaves(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_endpoint *other = attach(p.channel, KREPIS_CONSUMER, 0);
	struct krepis_buffer *buffer;
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, acquire(p.producer), 1);
	msg = receive(p.consumer, 1);
	receive(other, 1);
	assert_ok(krepis_release(p.consumer, &msg));
	assert_error(krepis_acquire(p.producer, &buffer, SHORTLY), ETIMEDOUT);
	krepis_detach(other);
	assert_ok(krepis_acquire(p.producer, &buffer, SHORTLY));
	close_pair(&p);
}

static void what_a_producer_acquired_is_free_after_it_left(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	acquire(p.producer);
	acquire(p.producer);
	krepis_detach(p.producer);
	p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

static void what_a_producer_published_comes_back_to_the_next_one(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, acquire(p.producer), 1);
	publish(p.producer, acquire(p.producer), 2);
	msg = receive(p.consumer, 1);
	krepis_detach(p.producer);
	p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(count_free(p.producer), 2);
	assert_true(filled(msg.data, msg.len, 1));
	assert_ok(krepis_release(p.consumer, &msg));
	assert_int_equal(count_free(p.producer), 3);
	msg = receive(p.consumer, 2);
	assert_ok(krepis_release(p.consumer, &msg));
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

/* ------------------------------------------------------------------------- refusals */

static void publish_is_refused(struct krepis_endpoint *ep, struct krepis_buffer *buffer, size_t len,
			       uint32_t flags, int err)
{
	uint64_t messages = counters_of(ep).messages;

	assert_error(krepis_publish(ep, buffer, 1, len, flags, KREPIS_NOWAIT), err);
	assert_int_equal(counters_of(ep).messages, messages);
}

static void publishing_twice_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquire(p.producer);
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, buffer, 1);
	publish_is_refused(p.producer, buffer, 1, 0, EPERM);
	msg = receive(p.consumer, 1);
	publish_is_refused(p.producer, buffer, 1, 0, EPERM);
	assert_ok(krepis_release(p.consumer, &msg));
	/* It came back, but nobody acquired it. */
	publish_is_refused(p.producer, buffer, 1, 0, EPERM);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

static void abandoning_twice_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquire(p.producer);

	(void)state;
	assert_ok(krepis_abandon(p.producer, buffer));
	assert_error(krepis_abandon(p.producer, buffer), EPERM);
	publish_is_refused(p.producer, buffer, 1, 0, EPERM);
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

static void abandoning_what_was_published_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquire(p.producer);
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, buffer, 1);
	assert_error(krepis_abandon(p.producer, buffer), EPERM);
	msg = receive(p.consumer, 1);
	assert_error(krepis_abandon(p.producer, buffer), EPERM);
	assert_ok(krepis_release(p.consumer, &msg));
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

static void releasing_twice_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, acquire(p.producer), 1);
	msg = receive(p.consumer, 1);
	assert_ok(krepis_release(p.consumer, &msg));
	assert_error(krepis_release(p.consumer, &msg), EPERM);
	assert_error(krepis_msg_put(&msg), EPERM);
	assert_error(krepis_msg_get(&msg), EPERM);
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

static void releasing_a_message_of_an_earlier_life_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_msg old, new;

	(void)state;
	publish(p.producer, acquire(p.producer), 1);
	old = receive(p.consumer, 1);
	assert_ok(krepis_release(p.consumer, &old));
	publish(p.producer, acquire(p.producer), 2);
	new = receive(p.consumer, 2);
	assert_ptr_equal(old.buffer, new.buffer);
	assert_error(krepis_release(p.consumer, &old), EPERM);
	assert_error(krepis_msg_get(&old), EPERM);
	none_to_acquire(p.producer);
	assert_true(filled(new.data, new.len, 2));
	assert_ok(krepis_release(p.consumer, &new));
	close_pair(&p);
}

static void more_than_a_buffer_is_not_published(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_size = 5000));
	struct krepis_buffer *buffer = acquire(p.producer);

	(void)state;
	publish_is_refused(p.producer, buffer, 5001, 0, EMSGSIZE);
	publish_is_refused(p.producer, buffer, SIZE_MAX, 0, EMSGSIZE);
	if (sizeof(size_t) > 4)
		publish_is_refused(p.producer, buffer, (1ULL << 32) + 1, 0, EMSGSIZE);
	publish(p.producer, buffer, 1);
	receive(p.consumer, 1);
	close_pair(&p);
}

static void unknown_flags_are_not_published(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquire(p.producer);

	(void)state;
	for (unsigned int bit = 0; bit < 32; bit++) {
		if (!(1U << bit & (KREPIS_MSG_CRC32C | KREPIS_PUBLISH_RETURN)))
			publish_is_refused(p.producer, buffer, 1, 1U << bit, EINVAL);
	}
	publish(p.producer, buffer, 1);
	receive(p.consumer, 1);
	close_pair(&p);
}

static void another_endpoints_buffer_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING()), q = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquire(q.producer);
	struct krepis_msg msg;

	(void)state;
	publish_is_refused(p.producer, buffer, 1, 0, EINVAL);
	assert_error(krepis_abandon(p.producer, buffer), EINVAL);
	publish(q.producer, buffer, 1);
	msg = receive(q.consumer, 1);
	assert_true(krepis_release(p.consumer, &msg) < 0);
	assert_ok(krepis_release(q.consumer, &msg));
	close_pair(&p);
	close_pair(&q);
}

static void a_full_ring_leaves_the_buffer_with_its_owner(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	unsigned int n = send_until_full(p.producer, 1, 8);
	struct krepis_buffer *buffer = acquire(p.producer);

	(void)state;
	fill(krepis_buffer_data(buffer), 4096, 5);
	publish_is_refused(p.producer, buffer, 4096, 0, EAGAIN);
	assert_error(krepis_publish(p.producer, buffer, 1, 4096, 0, SHORTLY), ETIMEDOUT);
	assert_true(filled(krepis_buffer_data(buffer), 4096, 5));
	recv_filled(p.consumer, 1, n, 8);
	publish(p.producer, buffer, 6);
	receive(p.consumer, 6);
	close_pair(&p);
}

/* ---------------------------------------------------------------------- get and put */

static void a_message_is_released_by_the_last_put(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, acquire(p.producer), 1);
	msg = receive(p.consumer, 1);
	assert_ok(krepis_msg_get(&msg));
	assert_ok(krepis_msg_get(&msg));
	assert_ok(krepis_msg_put(&msg));
	assert_ok(krepis_release(p.consumer, &msg));
	none_to_acquire(p.producer);
	assert_true(filled(msg.data, msg.len, 1));
	assert_ok(krepis_msg_put(&msg));
	assert_error(krepis_msg_put(&msg), EPERM);
	assert_int_equal(count_free(p.producer), 1);
	close_pair(&p);
}

static void an_inline_message_is_not_shared(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_error(krepis_msg_get(&msg), EINVAL);
	assert_error(krepis_msg_put(&msg), EINVAL);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_buffer_is_page_aligned_and_as_large_as_asked),
		CLAIM(a_buffer_goes_there_and_back),
		CLAIM(the_length_type_and_flags_arrive),
		CLAIM(a_published_buffer_is_no_copy),
		CLAIM(buffers_run_out),
		CLAIM(a_channel_without_buffers_has_none),
		CLAIM(several_messages_are_held_at_a_time),
		CLAIM(a_buffer_comes_back_on_the_last_release_in_every_order),
		CLAIM(a_consumer_that_leaves_releases_what_it_holds),
		CLAIM(a_waiting_producer_gets_the_buffer_of_a_consumer_that_leaves),
		CLAIM(what_a_producer_acquired_is_free_after_it_left),
		CLAIM(what_a_producer_published_comes_back_to_the_next_one),
		CLAIM(publishing_twice_is_refused),
		CLAIM(abandoning_twice_is_refused),
		CLAIM(abandoning_what_was_published_is_refused),
		CLAIM(releasing_twice_is_refused),
		CLAIM(releasing_a_message_of_an_earlier_life_is_refused),
		CLAIM(more_than_a_buffer_is_not_published),
		CLAIM(unknown_flags_are_not_published),
		CLAIM(another_endpoints_buffer_is_refused),
		CLAIM(a_full_ring_leaves_the_buffer_with_its_owner),
		CLAIM(a_message_is_released_by_the_last_put),
		CLAIM(an_inline_message_is_not_shared),
	};

	return RUN("buffer", tests);
}
