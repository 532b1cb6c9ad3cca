// SPDX-License-Identifier: MIT
/*
 * Who is at the other side: nobody yet, somebody, nobody any more.
 */
#include <limits.h>
#include <string.h>
#include "helpers.h"

static void send_number(struct krepis_endpoint *producer, uint64_t number)
{
	assert_ok(krepis_send(producer, 1, &number, sizeof(number), KREPIS_NOWAIT));
}

static void recv_number(struct krepis_endpoint *consumer, uint64_t number)
{
	struct krepis_msg msg;

	assert_ok(krepis_recv(consumer, &msg, KREPIS_NOWAIT));
	assert_int_equal(msg.len, sizeof(number));
	assert_memory_equal(msg.data, &number, sizeof(number));
}

static void sending_to_nobody_is_refused(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);
	struct krepis_buffer *buffer;
	uint8_t data[2000] = { 0 };
	void *room;

	(void)state;
	assert_error(krepis_send(producer, 1, "x", 1, KREPIS_NOWAIT), ENOTCONN);
	assert_error(krepis_send(producer, 1, data, 2000, KREPIS_FOREVER), ENOTCONN);
	assert_error(krepis_send_begin(producer, 1, &room, KREPIS_FOREVER), ENOTCONN);
	assert_error(krepis_wait(producer, KREPIS_FOREVER), ENOTCONN);
	assert_ok(krepis_acquire(producer, &buffer, KREPIS_NOWAIT));
	assert_error(krepis_publish(producer, buffer, 1, 1, 0, KREPIS_FOREVER), ENOTCONN);
	assert_ok(krepis_abandon(producer, buffer));
	assert_int_equal(counters_of(producer).messages, 0);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void sending_after_the_last_consumer_has_gone_says_so(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer;
	void *room;

	(void)state;
	krepis_detach(p.consumer);
	assert_error(krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT), KREPIS_PEER_GONE);
	assert_error(krepis_send(p.producer, 1, "x", 1, KREPIS_FOREVER), KREPIS_PEER_GONE);
	assert_error(krepis_send_begin(p.producer, 1, &room, KREPIS_FOREVER), KREPIS_PEER_GONE);
	assert_error(krepis_wait(p.producer, KREPIS_FOREVER), KREPIS_PEER_GONE);
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	assert_error(krepis_publish(p.producer, buffer, 1, 1, 0, KREPIS_FOREVER), KREPIS_PEER_GONE);
	assert_ok(krepis_abandon(p.producer, buffer));
	/* The next one can be sent to. */
	p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
	send_number(p.producer, 3);
	recv_number(p.consumer, 3);
	close_pair(&p);
}

static void a_consumer_waits_for_the_first_producer(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct pair p = { .channel = channel, .consumer = attach(channel, KREPIS_CONSUMER, 0) };
	struct krepis_msg msg;

	(void)state;
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_recv(p.consumer, &msg, SHORTLY), ETIMEDOUT);
	assert_error(krepis_wait(p.consumer, SHORTLY), ETIMEDOUT);
	p.producer = attach(channel, KREPIS_PRODUCER, 0);
	send_number(p.producer, 4);
	recv_number(p.consumer, 4);
	close_pair(&p);
}

static void what_a_producer_sent_before_it_left_is_readable(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint8_t data[2000];
	struct krepis_msg msg;
	void *room;

	(void)state;
	send_number(p.producer, 1);
	fill(data, sizeof(data), 2);
	assert_ok(krepis_send(p.producer, 2, data, sizeof(data), KREPIS_NOWAIT));
	/* Committed is sent, begun is not. */
	assert_ok(krepis_send_begin(p.producer, 8, &room, KREPIS_NOWAIT));
	memcpy(room, &(uint64_t){ 3 }, 8);
	assert_ok(krepis_send_commit(p.producer, 3, 8));
	assert_ok(krepis_send_begin(p.producer, 8, &room, KREPIS_NOWAIT));
	krepis_detach(p.producer);
	recv_number(p.consumer, 1);
	recv_filled(p.consumer, 2, 1, sizeof(data));
	recv_number(p.consumer, 3);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), KREPIS_PEER_GONE);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_FOREVER), KREPIS_PEER_GONE);
	assert_error(krepis_wait(p.consumer, KREPIS_FOREVER), KREPIS_PEER_GONE);
	p.producer = NULL;
	close_pair(&p);
}

static void producers_take_over_from_each_other(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	for (uint64_t n = 0; n < 50; n++) {
		send_number(p.producer, n);
		krepis_detach(p.producer);
		p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
		send_number(p.producer, n + 1000);
		recv_number(p.consumer, n);
		recv_number(p.consumer, n + 1000);
		assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	}
	close_pair(&p);
}

static void a_peers_arrival_is_waited_for(void **state)
{
	struct pair p = { .channel = anonymous(SMALL_RING(.max_consumers = 2)) };
	struct krepis_endpoint *second;

	(void)state;
	p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
	assert_error(krepis_wait_peer(p.producer, 1, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_wait_peer(p.producer, 1, SHORTLY), ETIMEDOUT);
	p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
	assert_ok(krepis_wait_peer(p.consumer, 1, KREPIS_NOWAIT));
	assert_ok(krepis_wait_peer(p.producer, 1, KREPIS_NOWAIT));
	assert_error(krepis_wait_peer(p.producer, 2, KREPIS_NOWAIT), EAGAIN);
	second = attach(p.channel, KREPIS_CONSUMER, 0);
	assert_ok(krepis_wait_peer(p.producer, 2, KREPIS_NOWAIT));
	krepis_detach(p.producer);
	assert_error(krepis_wait_peer(p.consumer, 1, KREPIS_NOWAIT), EAGAIN);
	krepis_detach(second);
	p.producer = NULL;
	close_pair(&p);
}

static void a_count_of_peers_that_cannot_be_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING(.max_consumers = 3));

	(void)state;
	assert_error(krepis_wait_peer(p.producer, 0, KREPIS_NOWAIT), EINVAL);
	assert_error(krepis_wait_peer(p.producer, 4, KREPIS_NOWAIT), EINVAL);
	assert_error(krepis_wait_peer(p.producer, UINT_MAX, KREPIS_NOWAIT), EINVAL);
	assert_error(krepis_wait_peer(p.producer, 3, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_wait_peer(p.consumer, 0, KREPIS_NOWAIT), EINVAL);
	assert_error(krepis_wait_peer(p.consumer, 2, KREPIS_NOWAIT), EINVAL);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(sending_to_nobody_is_refused),
		CLAIM(sending_after_the_last_consumer_has_gone_says_so),
		CLAIM(a_consumer_waits_for_the_first_producer),
		CLAIM(what_a_producer_sent_before_it_left_is_readable),
		CLAIM(producers_take_over_from_each_other),
		CLAIM(a_peers_arrival_is_waited_for),
		CLAIM(a_count_of_peers_that_cannot_be_is_refused),
	};

	return RUN("peer", tests);
}
