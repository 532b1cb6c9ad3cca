// SPDX-License-Identifier: MIT
/*
 * krepis_drain(): every consumer has read and released all that was sent, or has gone.
 */
#include <pthread.h>
#include "helpers.h"

#define LARGE	2000	/* goes into a buffer */

static void send_filled(struct krepis_endpoint *producer, uint64_t seed, size_t len)
{
	uint8_t data[LARGE];

	fill(data, len, seed);
	assert_ok(krepis_send(producer, 1, data, len, KREPIS_NOWAIT));
}

static void not_drained(struct krepis_endpoint *producer)
{
	assert_error(krepis_drain(producer, KREPIS_NOWAIT), EAGAIN);
}

static void nothing_sent_is_drained(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	assert_ok(krepis_drain(p.producer, KREPIS_NOWAIT));
	assert_ok(krepis_drain(p.producer, KREPIS_FOREVER));
	close_pair(&p);
}

static void with_nobody_there_nothing_is_to_drain(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);

	(void)state;
	assert_ok(krepis_drain(producer, KREPIS_FOREVER));
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void an_inline_message_is_drained_when_it_is_released(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	send_filled(p.producer, 1, 10);
	not_drained(p.producer);
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	not_drained(p.producer);
	assert_ok(krepis_release(p.consumer, &msg));
	assert_ok(krepis_drain(p.producer, KREPIS_NOWAIT));
	close_pair(&p);
}

static void a_buffer_is_drained_when_it_is_released(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	send_filled(p.producer, 1, LARGE);
	not_drained(p.producer);
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	not_drained(p.producer);
	assert_ok(krepis_release(p.consumer, &msg));
	assert_ok(krepis_drain(p.producer, KREPIS_NOWAIT));
	close_pair(&p);
}

static void a_shared_buffer_is_drained_by_the_last_put(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg, none;

	(void)state;
	send_filled(p.producer, 1, LARGE);
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_ok(krepis_msg_get(&msg));
	assert_error(krepis_recv(p.consumer, &none, KREPIS_NOWAIT), EAGAIN);
	assert_ok(krepis_release(p.consumer, &msg));
	not_drained(p.producer);
	assert_ok(krepis_msg_put(&msg));
	assert_ok(krepis_drain(p.producer, KREPIS_NOWAIT));
	close_pair(&p);
}

static void a_batch_is_drained_when_all_of_it_is_released(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[6];

	(void)state;
	for (uint64_t n = 0; n < 6; n++)
		send_filled(p.producer, n, n % 2 ? LARGE : 10);
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, 6, KREPIS_NOWAIT), 6);
	for (int n = 0; n < 6; n++) {
		not_drained(p.producer);
		assert_ok(krepis_release(p.consumer, &msgs[n]));
	}
	assert_ok(krepis_drain(p.producer, KREPIS_NOWAIT));
	close_pair(&p);
}

static void all_consumers_must_be_done(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_endpoint *other = attach(p.channel, KREPIS_CONSUMER, 0);

	(void)state;
	send_filled(p.producer, 1, 10);
	recv_filled(p.consumer, 1, 1, 10);
	not_drained(p.producer);
	recv_filled(other, 1, 1, 10);
	assert_ok(krepis_drain(p.producer, KREPIS_NOWAIT));
	krepis_detach(other);
	close_pair(&p);
}

static void who_leaves_with_unread_messages_is_reported(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_endpoint *other = attach(p.channel, KREPIS_CONSUMER, 0);
	struct krepis_buffer *buffer;

	(void)state;
	send_filled(p.producer, 1, LARGE);
	recv_filled(p.consumer, 1, 1, LARGE);
	assert_ok(krepis_wait_peer(p.consumer, 1, KREPIS_NOWAIT));
	not_drained(p.producer);
	/* A waiting drain is told; one that begins afterwards has nobody to wait for. */
	krepis_detach(other);
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	close_pair(&p);
}

static void *leave_when_asleep(void *arg)
{
	struct pair *p = arg;

	must(falls_asleep(p->channel, THE_PRODUCER, 0));
	krepis_detach(p->consumer);
	p->consumer = NULL;
	return NULL;
}

static void a_waiting_drain_is_told_who_left(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	pthread_t thread;

	(void)state;
	send_filled(p.producer, 1, 10);
	assert_ok(pthread_create(&thread, NULL, leave_when_asleep, &p));
	assert_error(krepis_drain(p.producer, SOON), KREPIS_PEER_GONE);
	assert_ok(pthread_join(thread, NULL));
	close_pair(&p);
}

static void *read_all_and_leave_when_asleep(void *arg)
{
	struct pair *p = arg;

	must(falls_asleep(p->channel, THE_PRODUCER, 0));
	recv_filled(p->consumer, 1, 1, 10);
	krepis_detach(p->consumer);
	p->consumer = NULL;
	return NULL;
}

static void who_leaves_after_it_read_all_is_not_missed(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	pthread_t thread;

	(void)state;
	send_filled(p.producer, 1, 10);
	assert_ok(pthread_create(&thread, NULL, read_all_and_leave_when_asleep, &p));
	assert_ok(krepis_drain(p.producer, SOON));
	assert_ok(pthread_join(thread, NULL));
	close_pair(&p);
}

static void *read_slowly(void *arg)
{
	struct pair *p = arg;

	for (uint64_t n = 0; n < 40; n++) {
		nap();
		recv_filled(p->consumer, n, 1, n % 10 ? 10 : LARGE);
	}
	/* Whose last message came inline has nothing more to do. */
	return NULL;
}

static void a_drain_lasts_until_the_slow_reader_is_done(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	pthread_t thread;

	(void)state;
	for (uint64_t n = 0; n < 40; n++)
		send_filled(p.producer, n, n % 10 ? 10 : LARGE);
	assert_ok(pthread_create(&thread, NULL, read_slowly, &p));
	assert_ok(krepis_drain(p.producer, SOON));
	assert_int_equal(counters_of(p.consumer).messages, 40);
	assert_ok(pthread_join(thread, NULL));
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(nothing_sent_is_drained),
		CLAIM(with_nobody_there_nothing_is_to_drain),
		CLAIM(an_inline_message_is_drained_when_it_is_released),
		CLAIM(a_buffer_is_drained_when_it_is_released),
		CLAIM(a_shared_buffer_is_drained_by_the_last_put),
		CLAIM(a_batch_is_drained_when_all_of_it_is_released),
		CLAIM(all_consumers_must_be_done),
		CLAIM(who_leaves_with_unread_messages_is_reported),
		CLAIM(a_waiting_drain_is_told_who_left),
		CLAIM(who_leaves_after_it_read_all_is_not_missed),
		CLAIM(a_drain_lasts_until_the_slow_reader_is_done),
	};

	return RUN("drain", tests);
}
