// SPDX-License-Identifier: MIT
/*
 * Overwrite channels: the producer never waits, and who is lapped knows exactly
 * how much it lost and never sees a torn byte.
 */
#include <string.h>
#include "helpers.h"

#define LARGE	2000	/* goes into a buffer */

#define OVERWRITTEN(...) SMALL_RING(.backpressure = KREPIS_OVERWRITE, __VA_ARGS__)

static void send_filled(struct krepis_endpoint *producer, uint64_t n, size_t len)
{
	uint8_t data[LARGE];

	fill(data, len, n);
	must(!krepis_send(producer, (uint16_t)n, data, len, SOON));
}

/* ------------------------------------------------------------------------ the count */

static void who_keeps_up_loses_nothing(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());

	(void)state;
	for (uint64_t n = 0; n < rounds(5000); n++) {
		size_t len = n % 3 ? n % 1000 : LARGE;

		send_filled(p.producer, n, len);
		recv_filled(p.consumer, n, 1, len);
	}
	assert_int_equal(counters_of(p.consumer).drops, 0);
	close_pair(&p);
}

static void a_full_ring_never_stops_the_producer(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	void *room;

	(void)state;
	for (uint64_t n = 0; n < 1000; n++)
		send_filled(p.producer, n, n % 1000);
	for (uint64_t n = 0; n < 100; n++) {
		assert_ok(krepis_send_begin(p.producer, 1000, &room, KREPIS_NOWAIT));
		assert_ok(krepis_send_commit(p.producer, 1, 1000));
	}
	assert_ok(krepis_flush(p.producer));
	assert_ok(krepis_wait(p.producer, KREPIS_NOWAIT));
	assert_int_equal(counters_of(p.producer).messages, 1100);
	close_pair(&p);
}

/* Receives all that is there: the messages' numbers go on from @next. Returns what comes after. */
static uint64_t receive_all(struct krepis_endpoint *consumer, uint64_t next, uint64_t *received,
			    uint64_t *lost)
{
	struct krepis_msg msg;
	int err;

	while ((err = krepis_recv(consumer, &msg, KREPIS_NOWAIT)) != -EAGAIN) {
		if (err == -KREPIS_ELAPPED) {
			assert_true(msg.lost > 0);
			*lost += msg.lost;
			next += msg.lost;
			continue;
		}
		assert_ok(err);
		assert_int_equal(msg.type, (uint16_t)next);
		assert_true(filled(msg.data, msg.len, next));
		assert_ok(krepis_release(consumer, &msg));
		++*received;
		next++;
	}
	return next;
}

static void received_and_lost_are_what_was_sent(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	uint64_t sent = 0, next = 0, received = 0, lost = 0;

	(void)state;
	for (unsigned int round = 0; round < rounds(1000); round++) {
		for (uint64_t burst = random_below(200); burst; burst--, sent++)
			send_filled(p.producer, sent, sent % 300);
		next = receive_all(p.consumer, next, &received, &lost);
		assert_int_equal(next, sent);
	}
	assert_int_equal(received + lost, sent);
	assert_true(lost > 0 && received > 0);
	assert_int_equal(counters_of(p.consumer).drops, lost);
	assert_int_equal(counters_of(p.consumer).messages, received);
	close_pair(&p);
}

static void the_oldest_message_left_comes_after_the_loss(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	struct krepis_msg msg;
	uint64_t lost;

	(void)state;
	/* 64 records of 64 bytes fill the ring. */
	for (uint64_t n = 0; n < 70; n++)
		send_filled(p.producer, n, 56);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), KREPIS_ELAPPED);
	lost = msg.lost;
	assert_in_range(lost, 6, 16);
	recv_filled(p.consumer, lost, 70 - (unsigned int)lost, 56);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	close_pair(&p);
}

static void the_loss_is_told_once(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	struct krepis_msg msg;

	(void)state;
	for (uint64_t n = 0; n < 500; n++)
		send_filled(p.producer, n, 56);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), KREPIS_ELAPPED);
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	close_pair(&p);
}

static void each_consumer_is_lapped_by_itself(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	struct krepis_endpoint *slow = attach(p.channel, KREPIS_CONSUMER, 0);
	uint64_t received = 0, lost = 0;

	(void)state;
	for (uint64_t n = 0; n < 500; n++) {
		send_filled(p.producer, n, 56);
		recv_filled(p.consumer, n, 1, 56);
	}
	assert_int_equal(receive_all(slow, 0, &received, &lost), 500);
	assert_int_equal(received + lost, 500);
	assert_true(lost > 400);
	assert_int_equal(counters_of(p.consumer).drops, 0);
	krepis_detach(slow);
	close_pair(&p);
}

static void a_late_consumer_has_lost_nothing(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	struct krepis_endpoint *late;
	struct krepis_msg msg;

	(void)state;
	for (uint64_t n = 0; n < 500; n++)
		send_filled(p.producer, n, n % 10 ? 56 : LARGE);
	late = attach(p.channel, KREPIS_CONSUMER, 0);
	assert_error(krepis_recv(late, &msg, KREPIS_NOWAIT), EAGAIN);
	send_filled(p.producer, 500, 56);
	recv_filled(late, 500, 1, 56);
	krepis_detach(late);
	close_pair(&p);
}

static void the_count_goes_on_under_the_next_producer(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	uint64_t received = 0, lost = 0;

	(void)state;
	for (uint64_t n = 0; n < 300; n++)
		send_filled(p.producer, n, 56);
	krepis_detach(p.producer);
	p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
	for (uint64_t n = 300; n < 400; n++)
		send_filled(p.producer, n, 56);
	assert_int_equal(receive_all(p.consumer, 0, &received, &lost), 400);
	assert_int_equal(received + lost, 400);
	close_pair(&p);
}

static void nobody_is_there_to_send_to(void **state)
{
	struct krepis_channel *channel = anonymous(OVERWRITTEN());
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0), *consumer;

	(void)state;
	assert_error(krepis_send(producer, 1, "x", 1, KREPIS_NOWAIT), ENOTCONN);
	consumer = attach(channel, KREPIS_CONSUMER, 0);
	assert_ok(krepis_send(producer, 1, "x", 1, KREPIS_NOWAIT));
	krepis_detach(consumer);
	assert_error(krepis_send(producer, 1, "x", 1, KREPIS_NOWAIT), KREPIS_PEER_GONE);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

/* -------------------------------------------------------------------------- buffers */

/* Sends through buffers; the oldest messages give theirs up for it. */
static void send_in_buffer(struct krepis_endpoint *producer, uint64_t n)
{
	struct krepis_buffer *buffer;

	assert_ok(krepis_acquire(producer, &buffer, SOON));
	fill(krepis_buffer_data(buffer), 4096, n);
	assert_ok(krepis_publish(producer, buffer, (uint16_t)n, 4096, 0, KREPIS_NOWAIT));
}

static void the_oldest_messages_give_up_their_buffers(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	uint64_t received = 0, lost = 0;

	(void)state;
	for (uint64_t n = 0; n < 100; n++)
		send_in_buffer(p.producer, n);
	assert_int_equal(receive_all(p.consumer, 0, &received, &lost), 100);
	assert_int_equal(lost, 96);
	assert_int_equal(received, 4);
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

static void without_waiting_no_message_gives_up_its_buffer(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	struct krepis_buffer *buffer;

	(void)state;
	for (uint64_t n = 0; n < 4; n++)
		send_in_buffer(p.producer, n);
	assert_error(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT), EAGAIN);
	recv_filled(p.consumer, 0, 4, 4096);
	close_pair(&p);
}

static void lapped_messages_leak_no_buffer(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	struct krepis_endpoint *other = attach(p.channel, KREPIS_CONSUMER, 0);
	uint64_t received = 0, lost = 0;
	uint64_t n = 0;

	(void)state;
	for (unsigned int round = 0; round < rounds(300); round++) {
		/* Some by the ring's end, some because buffers ran out. */
		for (uint64_t end = n + random_below(30); n < end; n++) {
			if (random_below(2))
				send_in_buffer(p.producer, n);
			else
				send_filled(p.producer, n, random_below(1000));
		}
		if (random_below(2))
			receive_all(p.consumer, received + lost, &received, &lost);
	}
	receive_all(p.consumer, received + lost, &received, &lost);
	assert_int_equal(received + lost, n);
	/* What the other never looked at is overwritten, or goes with it. */
	krepis_detach(other);
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

static void a_taken_buffer_stays_while_the_producer_goes_on(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	struct krepis_msg held;
	uint64_t received = 0, lost = 0;

	(void)state;
	send_in_buffer(p.producer, 0);
	assert_ok(krepis_recv(p.consumer, &held, KREPIS_NOWAIT));
	for (uint64_t n = 1; n < 1000; n++) {
		if (n % 2)
			send_in_buffer(p.producer, n);
		else
			send_filled(p.producer, n, 500);
		assert_true(filled(held.data, 4096, 0));
	}
	assert_int_equal(receive_all(p.consumer, 1, &received, &lost), 1000);
	assert_true(filled(held.data, 4096, 0));
	assert_int_equal(count_free(p.producer), 3);
	assert_ok(krepis_release(p.consumer, &held));
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

static void taken_buffers_can_all_be_held(void **state)
{
	struct pair p = open_pair(OVERWRITTEN());
	struct krepis_buffer *buffer;
	struct krepis_msg held[4];

	(void)state;
	for (uint64_t n = 0; n < 4; n++) {
		send_in_buffer(p.producer, n);
		assert_ok(krepis_recv(p.consumer, &held[n], KREPIS_NOWAIT));
	}
	/* Nothing that nobody took is left to be given up. */
	assert_error(krepis_acquire(p.producer, &buffer, SHORTLY), ETIMEDOUT);
	for (uint64_t n = 0; n < 4; n++) {
		assert_true(filled(held[n].data, 4096, n));
		assert_ok(krepis_release(p.consumer, &held[n]));
	}
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

/* ------------------------------------------------------------------- at full speed */

struct race {
	struct krepis_channel *channel;
	uint64_t count;
	size_t (*size_of)(uint64_t n);
};

static void racing_producer(void *arg)
{
	struct race *race = arg;
	struct krepis_endpoint *producer;
	uint8_t data[LARGE];

	producer = attach_inherited(race->channel, KREPIS_PRODUCER, 0);
	must(!krepis_wait_peer(producer, 1, SOON));
	for (uint64_t n = 0; n < race->count; n++) {
		size_t len = race->size_of(n);

		memcpy(data, &n, sizeof(n));
		fill(data + sizeof(n), len - sizeof(n), n);
		must(!krepis_send(producer, (uint16_t)n, data, len, SOON));
	}
	must(count_free(producer) <= 4);
	krepis_detach(producer);
}

/* Checks every byte of every message, and that each is received or counted as lost. */
static void race(size_t (*size_of)(uint64_t n), uint64_t count)
{
	struct race r = { .channel = anonymous(OVERWRITTEN()), .count = count, .size_of = size_of };
	struct krepis_endpoint *consumer, *producer;
	uint64_t received = 0, lost = 0;
	struct krepis_msg msg;
	pid_t child;
	int err;

	child = spawn(racing_producer, &r);
	consumer = attach(r.channel, KREPIS_CONSUMER, 0);
	while ((err = krepis_recv(consumer, &msg, SOON)) != -KREPIS_PEER_GONE) {
		uint64_t n;

		if (err == -KREPIS_ELAPPED) {
			lost += msg.lost;
			continue;
		}
		assert_ok(err);
		memcpy(&n, msg.data, sizeof(n));
		assert_int_equal(n, received + lost);
		assert_int_equal(msg.type, (uint16_t)n);
		assert_int_equal(msg.len, size_of(n));
		assert_true(filled((uint8_t *)msg.data + 8, msg.len - 8, n));
		assert_ok(krepis_release(consumer, &msg));
		received++;
		/* Now and then it falls behind, and then reads where the producer writes. */
		if (!(received % 16))
			pause_for(random_below(10000));
	}
	join_child(child);
	assert_int_equal(received + lost, count);
	assert_true(received > 0 && lost > 0);
	producer = attach(r.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(count_free(producer), 4);
	krepis_detach(producer);
	krepis_detach(consumer);
	krepis_channel_close(r.channel);
}

static size_t small_sizes(uint64_t n)
{
	return 8 + n % 40;
}

static size_t all_inline_sizes(uint64_t n)
{
	return 8 + n * 7 % 1009;
}

static size_t sizes_of_both_kinds(uint64_t n)
{
	return n % 3 ? 8 + n * 7 % 1009 : LARGE - n % 500;
}

static void small_messages_are_never_torn(void **state)
{
	(void)state;
	race(small_sizes, rounds(5000000));
}

static void large_messages_are_never_torn(void **state)
{
	(void)state;
	race(all_inline_sizes, rounds(1500000));
}

static void messages_in_buffers_are_never_torn(void **state)
{
	(void)state;
	race(sizes_of_both_kinds, rounds(600000));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(who_keeps_up_loses_nothing),
		CLAIM(a_full_ring_never_stops_the_producer),
		CLAIM(received_and_lost_are_what_was_sent),
		CLAIM(the_oldest_message_left_comes_after_the_loss),
		CLAIM(the_loss_is_told_once),
		CLAIM(each_consumer_is_lapped_by_itself),
		CLAIM(a_late_consumer_has_lost_nothing),
		CLAIM(the_count_goes_on_under_the_next_producer),
		CLAIM(nobody_is_there_to_send_to),
		CLAIM(the_oldest_messages_give_up_their_buffers),
		CLAIM(without_waiting_no_message_gives_up_its_buffer),
		CLAIM(lapped_messages_leak_no_buffer),
		CLAIM(a_taken_buffer_stays_while_the_producer_goes_on),
		CLAIM(taken_buffers_can_all_be_held),
		CLAIM(small_messages_are_never_torn),
		CLAIM(large_messages_are_never_torn),
		CLAIM(messages_in_buffers_are_never_torn),
	};

	return RUN("overwrite", tests);
}
