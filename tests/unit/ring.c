// SPDX-License-Identifier: MIT
/*
 * The ring: every message, whole, in order, to every consumer; and who waits for whom.
 */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "helpers.h"

#define MIB ((size_t)1 << 20)

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

static void nothing_to_receive(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	assert_error(krepis_recv(consumer, &msg, KREPIS_NOWAIT), EAGAIN);
}

/* ----------------------------------------------------------------- order and bytes */

static void messages_arrive_in_order(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	for (uint64_t n = 0; n < 100; n++)
		send_number(p.producer, n);
	for (uint64_t n = 0; n < 100; n++)
		recv_number(p.consumer, n);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

/*
 * Keeps a ring between empty and full at random, so that each size meets each
 * position; sizes come from @size_of. Nothing is lost, torn or out of order.
 */
static void stream(const struct krepis_channel_options *options, uint64_t count,
		   size_t (*size_of)(uint64_t n))
{
	struct pair p = open_pair(options);
	uint64_t sent = 0, received = 0;
	uint8_t data[4096];
	struct krepis_msg msg;

	while (received < count) {
		uint64_t burst = 1 + random_below(100);

		while (burst-- && sent < count) {
			size_t len = size_of(sent);

			fill(data, len, sent);
			if (krepis_send(p.producer, (uint16_t)sent, data, len, KREPIS_NOWAIT))
				break;
			sent++;
		}
		burst = 1 + random_below(100);
		while (burst-- && received < sent) {
			assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
			assert_int_equal(msg.len, size_of(received));
			assert_int_equal(msg.type, (uint16_t)received);
			assert_true(filled(msg.data, msg.len, received));
			received++;
		}
	}
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static size_t each_size_in_turn(uint64_t n)
{
	return n % 1017;
}

static void every_inline_size_is_whole_at_every_position(void **state)
{
	(void)state;
	/* 8 MB through one page. */
	stream(OPTIONS(.ring_size = 4096, .flags = KREPIS_F_NO_BUFFERS), rounds(16000),
	       each_size_in_turn);
}

static size_t around_the_alignment(uint64_t n)
{
	return n * 7 % 18;
}

static void small_sizes_are_whole_at_every_position(void **state)
{
	(void)state;
	stream(OPTIONS(.ring_size = 4096, .flags = KREPIS_F_NO_BUFFERS, .inline_max = 17),
	       rounds(400000), around_the_alignment);
}

static size_t near_inline_max(uint64_t n)
{
	return 4096 - n % 20;
}

static void the_largest_sizes_are_whole_at_every_position(void **state)
{
	(void)state;
	stream(OPTIONS(.ring_size = 32768, .flags = KREPIS_F_NO_BUFFERS), rounds(5000),
	       near_inline_max);
}

static size_t inline_and_buffers(uint64_t n)
{
	return n % 2 ? n % 1017 : 1017 + n % 3000;
}

static void inline_and_buffered_messages_keep_their_order(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint8_t data[4096];
	struct krepis_msg msg;

	(void)state;
	for (uint64_t n = 0; n < rounds(4000); n++) {
		size_t len = inline_and_buffers(n);

		fill(data, len, n);
		assert_ok(krepis_send(p.producer, 1, data, len, KREPIS_NOWAIT));
		fill(data, 5, n);
		assert_ok(krepis_send(p.producer, 2, data, 5, KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_int_equal(msg.type, 1);
		assert_int_equal(msg.len, len);
		assert_int_equal(!!msg.buffer, len > 1016);
		assert_int_equal(!!(msg.flags & KREPIS_MSG_BUFFER), len > 1016);
		assert_true(filled(msg.data, len, n));
		assert_ok(krepis_release(p.consumer, &msg));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_int_equal(msg.type, 2);
		assert_true(filled(msg.data, 5, n));
	}
	close_pair(&p);
}

static void an_empty_message_is_a_message(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_send(p.producer, 9, NULL, 0, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_int_equal(msg.len, 0);
	assert_int_equal(msg.type, 9);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void every_type_number_arrives(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	for (uint32_t type = 0; type <= UINT16_MAX; type += 0x55) {
		assert_ok(krepis_send(p.producer, (uint16_t)type, "x", 1, KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_int_equal(msg.type, type);
	}
	close_pair(&p);
}

static void the_sequence_grows(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint64_t last = 0;
	struct krepis_msg msg;

	(void)state;
	for (int n = 0; n < 2000; n++) {
		send_number(p.producer, 0);
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_true(!n || msg.sequence > last);
		last = msg.sequence;
	}
	close_pair(&p);
}

/* --------------------------------------------------------------------------- length */

static void inline_max_is_the_last_that_goes_into_the_ring(void **state)
{
	struct pair p = open_pair(SMALL_RING(.inline_max = 100));
	uint8_t data[101] = { 0 };
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_send(p.producer, 1, data, 100, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_null(msg.buffer);
	assert_ok(krepis_send(p.producer, 1, data, 101, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_non_null(msg.buffer);
	assert_ok(krepis_release(p.consumer, &msg));
	close_pair(&p);
}

static void refused_for_its_length(const struct krepis_channel_options *options, size_t len)
{
	struct pair p = open_pair(options);
	void *data = calloc(1, len);

	assert_non_null(data);
	assert_error(krepis_send(p.producer, 1, data, len, KREPIS_NOWAIT), EMSGSIZE);
	nothing_to_receive(p.consumer);
	assert_int_equal(counters_of(p.producer).messages, 0);
	send_number(p.producer, 1);
	recv_number(p.consumer, 1);
	free(data);
	close_pair(&p);
}

static void accepted_for_its_length(const struct krepis_channel_options *options, size_t len)
{
	struct pair p = open_pair(options);
	void *data = malloc(len);
	struct krepis_msg msg;

	assert_non_null(data);
	fill(data, len, len);
	assert_ok(krepis_send(p.producer, 1, data, len, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_int_equal(msg.len, len);
	assert_true(filled(msg.data, len, len));
	assert_ok(krepis_release(p.consumer, &msg));
	free(data);
	close_pair(&p);
}

static void more_than_a_buffer_is_refused(void **state)
{
	(void)state;
	accepted_for_its_length(SMALL_RING(.buffer_size = 5000), 5000);
	refused_for_its_length(SMALL_RING(.buffer_size = 5000), 5001);
}

static void more_than_inline_max_without_buffers_is_refused(void **state)
{
	const struct krepis_channel_options *without = OPTIONS(.flags = KREPIS_F_NO_BUFFERS);

	(void)state;
	accepted_for_its_length(without, 4096);
	refused_for_its_length(without, 4097);
}

static void a_mebibyte_is_not_copied_silently(void **state)
{
	const struct krepis_channel_options *large = OPTIONS(.buffer_size = 2 * MIB,
							     .buffer_count = 1);

	(void)state;
	accepted_for_its_length(large, MIB - 1);
	refused_for_its_length(large, MIB);
	refused_for_its_length(large, MIB + 1);
}

static void a_length_that_does_not_fit_32_bits_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	void *data;

	(void)state;
	if (sizeof(size_t) == 4)
		skip();
	assert_error(krepis_send(p.producer, 1, "x", (1ULL << 32) + 1, KREPIS_NOWAIT), EMSGSIZE);
	assert_error(krepis_send(p.producer, 1, "x", SIZE_MAX, KREPIS_NOWAIT), EMSGSIZE);
	assert_error(krepis_send_begin(p.producer, (1ULL << 32) + 1, &data, KREPIS_NOWAIT),
		     EMSGSIZE);
	assert_error(krepis_send_begin(p.producer, SIZE_MAX, &data, KREPIS_NOWAIT), EMSGSIZE);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

/* --------------------------------------------------------------------- backpressure */

static void a_full_ring_makes_the_producer_wait(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	unsigned int n = send_until_full(p.producer, 1, 100);
	uint8_t data[100];

	(void)state;
	assert_true(n > 4096 / 108 - 2);
	assert_error(krepis_send(p.producer, 1, data, 100, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_send(p.producer, 1, data, 100, SHORTLY), ETIMEDOUT);
	recv_filled(p.consumer, 1, n, 100);
	nothing_to_receive(p.consumer);
	assert_ok(krepis_send(p.producer, 1, data, 100, SHORTLY));
	close_pair(&p);
}

static void a_full_ring_of_a_failing_channel_refuses(void **state)
{
	struct pair p = open_pair(SMALL_RING(.backpressure = KREPIS_FAIL));
	unsigned int n = send_until_full(p.producer, 1, 100);
	uint64_t drops = counters_of(p.producer).drops;
	uint8_t data[100];

	(void)state;
	assert_true(drops > 0);
	assert_error(krepis_send(p.producer, 1, data, 100, KREPIS_FOREVER), EAGAIN);
	assert_error(krepis_send(p.producer, 1, data, 100, SOON), EAGAIN);
	assert_int_equal(counters_of(p.producer).drops, drops + 2);
	assert_int_equal(counters_of(p.producer).messages, n);
	recv_filled(p.consumer, 1, n, 100);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void no_buffer_of_a_failing_channel_refuses(void **state)
{
	struct pair p = open_pair(SMALL_RING(.backpressure = KREPIS_FAIL, .buffer_count = 1));
	struct krepis_buffer *buffer;
	uint8_t data[2000] = { 0 };

	(void)state;
	assert_ok(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_FOREVER));
	assert_error(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_FOREVER), EAGAIN);
	assert_error(krepis_acquire(p.producer, &buffer, KREPIS_FOREVER), EAGAIN);
	close_pair(&p);
}

static void a_ring_holds_a_message_of_inline_max_whatever_its_position(void **state)
{
	struct pair p = open_pair(OPTIONS(.ring_size = 4096, .flags = KREPIS_F_NO_BUFFERS));
	uint8_t data[1016] = { 0 };
	struct krepis_msg msg;

	(void)state;
	for (int n = 0; n < 600; n++) {
		assert_ok(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_ok(krepis_release(p.consumer, &msg));
		assert_ok(krepis_send(p.producer, 1, data, 1, KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_ok(krepis_release(p.consumer, &msg));
	}
	close_pair(&p);
}

static void the_slowest_consumer_gates_the_producer(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_endpoint *slow = attach(p.channel, KREPIS_CONSUMER, 0);
	unsigned int n = send_until_full(p.producer, 1, 100);
	uint8_t data[100] = { 0 };

	(void)state;
	recv_filled(p.consumer, 1, n, 100);
	assert_error(krepis_send(p.producer, 1, data, 100, KREPIS_NOWAIT), EAGAIN);
	recv_filled(slow, 1, 1, 100);
	assert_int_equal(send_until_full(p.producer, 1 + n, 100), 1);
	recv_filled(slow, 2, n - 1, 100);
	recv_filled(slow, 1 + n, 1, 100);
	recv_filled(p.consumer, 1 + n, 1, 100);
	krepis_detach(slow);
	close_pair(&p);
}

static void the_slowest_consumers_leave_frees_the_producer(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_endpoint *slow = attach(p.channel, KREPIS_CONSUMER, 0);
	unsigned int n = send_until_full(p.producer, 1, 100);

	(void)state;
	recv_filled(p.consumer, 1, n, 100);
	krepis_detach(slow);
	assert_int_equal(send_until_full(p.producer, 5, 100), n);
	recv_filled(p.consumer, 5, n, 100);
	close_pair(&p);
}

/* ------------------------------------------------------------------------ consumers */

static void all_of_32_consumers_receive_everything(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING(.max_consumers = 32));
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);
	struct krepis_endpoint *consumers[32];
	uint8_t data[2000];

	(void)state;
	for (unsigned int i = 0; i < 32; i++)
		consumers[i] = attach(channel, KREPIS_CONSUMER, 0);
	assert_int_equal(status_of(channel).live, UINT32_MAX);
	for (unsigned int round = 0; round < rounds(200); round++) {
		for (unsigned int n = 0; n < 3; n++) {
			fill(data, 100, n);
			assert_ok(krepis_send(producer, 1, data, 100, KREPIS_NOWAIT));
		}
		fill(data, 2000, round);
		assert_ok(krepis_send(producer, 1, data, 2000, KREPIS_NOWAIT));
		for (unsigned int i = 0; i < 32; i++) {
			recv_filled(consumers[i], 0, 3, 100);
			recv_filled(consumers[i], round, 1, 2000);
		}
	}
	for (unsigned int i = 0; i < 32; i++)
		krepis_detach(consumers[i]);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void one_consumer_too_many_is_refused(void **state)
{
	static const uint32_t most[] = { 1, 2, 31, 32 };

	(void)state;
	for (size_t m = 0; m < ARRAY_SIZE(most); m++) {
		struct krepis_channel *channel = anonymous(SMALL_RING(.max_consumers = most[m]));
		struct krepis_endpoint *consumers[32], *extra;
		unsigned int fds;

		for (unsigned int i = 0; i < most[m]; i++)
			consumers[i] = attach(channel, KREPIS_CONSUMER, 0);
		fds = open_fds();
		assert_error(krepis_attach(channel, KREPIS_CONSUMER, 0, &extra), EUSERS);
		assert_int_equal(open_fds(), fds);
		assert_int_equal(__builtin_popcount(status_of(channel).live), most[m]);
		/* One leaves, one comes. */
		krepis_detach(consumers[0]);
		consumers[0] = attach(channel, KREPIS_CONSUMER, 0);
		for (unsigned int i = 0; i < most[m]; i++)
			krepis_detach(consumers[i]);
		krepis_channel_close(channel);
	}
}

static void a_second_producer_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_endpoint *second;

	(void)state;
	assert_error(krepis_attach(p.channel, KREPIS_PRODUCER, 0, &second), EBUSY);
	send_number(p.producer, 5);
	recv_number(p.consumer, 5);
	close_pair(&p);
}

static void a_late_consumer_receives_what_is_sent_from_now_on(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_endpoint *late;
	uint8_t data[2000] = { 0 };

	(void)state;
	send_number(p.producer, 1);
	assert_ok(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	late = attach(p.channel, KREPIS_CONSUMER, 0);
	nothing_to_receive(late);
	send_number(p.producer, 2);
	recv_number(late, 2);
	nothing_to_receive(late);
	krepis_detach(late);
	close_pair(&p);
}

static void consumers_come_and_go_while_messages_flow(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint64_t sent = 0;

	(void)state;
	for (unsigned int round = 0; round < rounds(300); round++) {
		struct krepis_endpoint *guest = attach(p.channel, KREPIS_CONSUMER, 0);
		uint64_t from = sent;
		unsigned int n = 1 + (unsigned int)random_below(20);
		unsigned int read = (unsigned int)random_below(n + 1);

		for (unsigned int i = 0; i < n; i++)
			send_number(p.producer, sent++);
		for (unsigned int i = 0; i < n; i++)
			recv_number(p.consumer, from + i);
		for (unsigned int i = 0; i < read; i++)
			recv_number(guest, from + i);
		krepis_detach(guest);
	}
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(messages_arrive_in_order),
		CLAIM(every_inline_size_is_whole_at_every_position),
		CLAIM(small_sizes_are_whole_at_every_position),
		CLAIM(the_largest_sizes_are_whole_at_every_position),
		CLAIM(inline_and_buffered_messages_keep_their_order),
		CLAIM(an_empty_message_is_a_message),
		CLAIM(every_type_number_arrives),
		CLAIM(the_sequence_grows),
		CLAIM(inline_max_is_the_last_that_goes_into_the_ring),
		CLAIM(more_than_a_buffer_is_refused),
		CLAIM(more_than_inline_max_without_buffers_is_refused),
		CLAIM(a_mebibyte_is_not_copied_silently),
		CLAIM(a_length_that_does_not_fit_32_bits_is_refused),
		CLAIM(a_full_ring_makes_the_producer_wait),
		CLAIM(a_full_ring_of_a_failing_channel_refuses),
		CLAIM(no_buffer_of_a_failing_channel_refuses),
		CLAIM(a_ring_holds_a_message_of_inline_max_whatever_its_position),
		CLAIM(the_slowest_consumer_gates_the_producer),
		CLAIM(the_slowest_consumers_leave_frees_the_producer),
		CLAIM(all_of_32_consumers_receive_everything),
		CLAIM(one_consumer_too_many_is_refused),
		CLAIM(a_second_producer_is_refused),
		CLAIM(a_late_consumer_receives_what_is_sent_from_now_on),
		CLAIM(consumers_come_and_go_while_messages_flow),
	};

	return RUN("ring", tests);
}
