// SPDX-License-Identifier: MIT
/*
 * Packets: messages whose type the compiler knows.
 */
#include <string.h>
#include <krepis/packet.h>
#include "helpers.h"

struct position {
	uint64_t time_ns;
	float x, y;
};
KREPIS_PACKET(7, position);

struct velocity {
	uint64_t time_ns;
	float x, y;
};
KREPIS_PACKET(8, velocity);

/* The extremes of number and size. */
struct tick {
	uint8_t byte;
};
KREPIS_PACKET(0, tick);

struct frame {
	uint64_t words[KREPIS_PACKET_MAX / sizeof(uint64_t)];
};
KREPIS_PACKET(UINT16_MAX, frame);

/* Too large for the ring. */
struct scene {
	uint64_t number;
	uint64_t words[2 * KREPIS_PACKET_MAX / sizeof(uint64_t)];
};
KREPIS_VALUE(9, scene);

static struct krepis_msg receive(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	assert_ok(krepis_recv(consumer, &msg, KREPIS_NOWAIT));
	return msg;
}

static void a_packet_arrives_as_it_was_sent(void **state)
{
	const struct position sent = { .time_ns = 123456789, .x = 1.5f, .y = -2.5f };
	struct pair p = open_pair(NULL);
	const struct position *received;
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_send_position(p.producer, &sent, KREPIS_NOWAIT));
	msg = receive(p.consumer);
	received = krepis_as_position(&msg);
	assert_non_null(received);
	assert_memory_equal(received, &sent, sizeof(sent));
	assert_int_equal((uintptr_t)received % _Alignof(struct position), 0);
	close_pair(&p);
}

static void a_packet_is_filled_in_place(void **state)
{
	struct pair p = open_pair(NULL);
	struct position *room = NULL;
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_begin_position(p.producer, &room, KREPIS_NOWAIT));
	*room = (struct position){ .time_ns = 5, .x = 6, .y = 7 };
	assert_ok(krepis_commit_position(p.producer));
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	assert_ok(krepis_flush(p.producer));
	msg = receive(p.consumer);
	assert_true(krepis_as_position(&msg)->x == 6);
	close_pair(&p);
}

static void what_is_not_begun_leaves_the_pointer(void **state)
{
	struct krepis_channel *channel = anonymous(NULL);
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);
	struct position untouched, *room = &untouched;

	(void)state;
	assert_error(krepis_begin_position(producer, &room, KREPIS_NOWAIT), ENOTCONN);
	assert_ptr_equal(room, &untouched);
	assert_error(krepis_commit_position(producer), EINVAL);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void another_number_is_another_packet(void **state)
{
	const struct velocity sent = { .time_ns = 1 };
	struct pair p = open_pair(NULL);
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_send_velocity(p.producer, &sent, KREPIS_NOWAIT));
	msg = receive(p.consumer);
	assert_null(krepis_as_position(&msg));
	assert_non_null(krepis_as_velocity(&msg));
	close_pair(&p);
}

static void another_size_is_another_packet(void **state)
{
	static const uint8_t bytes[sizeof(struct position) + 1];
	struct pair p = open_pair(NULL);

	(void)state;
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct krepis_msg msg;

		assert_ok(krepis_send(p.producer, 7, bytes, len, KREPIS_NOWAIT));
		msg = receive(p.consumer);
		assert_int_equal(!!krepis_as_position(&msg), len == sizeof(struct position));
	}
	close_pair(&p);
}

static void the_smallest_and_the_largest_packet_fit_the_default_channel(void **state)
{
	struct pair p = open_pair(NULL);
	const struct tick tick = { .byte = 0x5a };
	struct krepis_msg msg;
	struct frame frame;

	(void)state;
	fill(&frame, sizeof(frame), 1);
	assert_ok(krepis_send_tick(p.producer, &tick, KREPIS_NOWAIT));
	assert_ok(krepis_send_frame(p.producer, &frame, KREPIS_NOWAIT));
	msg = receive(p.consumer);
	assert_int_equal(krepis_as_tick(&msg)->byte, 0x5a);
	assert_null(krepis_as_frame(&msg));
	msg = receive(p.consumer);
	assert_null(krepis_as_tick(&msg));
	assert_true(filled(krepis_as_frame(&msg), sizeof(frame), 1));
	assert_null(msg.buffer);
	close_pair(&p);
}

static void a_packet_in_a_buffer_is_a_packet(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;
	struct frame frame;

	(void)state;
	fill(&frame, sizeof(frame), 2);
	assert_ok(krepis_send_frame(p.producer, &frame, KREPIS_NOWAIT));
	msg = receive(p.consumer);
	assert_non_null(msg.buffer);
	assert_true(filled(krepis_as_frame(&msg), sizeof(frame), 2));
	assert_ok(krepis_release(p.consumer, &msg));
	close_pair(&p);
}

static void a_value_goes_in_a_buffer(void **state)
{
	struct pair p = open_pair(OPTIONS(.buffer_size = sizeof(struct scene), .buffer_count = 1));
	struct krepis_buffer *buffer;
	struct krepis_msg msg, shorter;
	struct scene *scene;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	scene = krepis_buffer_data(buffer);
	scene->number = 42;
	assert_ok(krepis_publish_scene(p.producer, buffer, KREPIS_NOWAIT));
	msg = receive(p.consumer);
	assert_int_equal(msg.type, 9);
	assert_ptr_equal(krepis_as_scene(&msg), msg.data);
	assert_int_equal(krepis_as_scene(&msg)->number, 42);
	shorter = msg;
	shorter.len--;
	assert_null(krepis_as_scene(&shorter));
	assert_null(krepis_as_position(&msg));
	assert_ok(krepis_release(p.consumer, &msg));
	close_pair(&p);
}

static void a_value_that_the_buffer_does_not_hold_is_refused(void **state)
{
	struct pair p = open_pair(OPTIONS(.buffer_size = sizeof(struct scene) - 64, .buffer_count = 1));
	struct krepis_buffer *buffer;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	assert_error(krepis_publish_scene(p.producer, buffer, KREPIS_NOWAIT), EMSGSIZE);
	assert_ok(krepis_abandon(p.producer, buffer));
	close_pair(&p);
}

static void a_value_is_a_triples(void **state)
{
	struct pair p = open_pair(OPTIONS(.kind = KREPIS_TRIPLE, .buffer_size = sizeof(struct scene)));
	struct krepis_msg msg;
	struct scene *scene = NULL;

	(void)state;
	for (uint64_t n = 1; n < 5; n++) {
		assert_ok(krepis_triple_begin_scene(p.producer, &scene));
		scene->number = n;
		assert_ok(krepis_triple_commit_scene(p.producer));
		assert_ok(krepis_triple_read(p.consumer, &msg));
		assert_int_equal(krepis_as_scene(&msg)->number, n);
	}
	assert_error(krepis_triple_begin_scene(p.consumer, &scene), EINVAL);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_packet_arrives_as_it_was_sent),
		CLAIM(a_packet_is_filled_in_place),
		CLAIM(what_is_not_begun_leaves_the_pointer),
		CLAIM(another_number_is_another_packet),
		CLAIM(another_size_is_another_packet),
		CLAIM(the_smallest_and_the_largest_packet_fit_the_default_channel),
		CLAIM(a_packet_in_a_buffer_is_a_packet),
		CLAIM(a_value_goes_in_a_buffer),
		CLAIM(a_value_that_the_buffer_does_not_hold_is_refused),
		CLAIM(a_value_is_a_triples),
	};

	return RUN("packet", tests);
}
