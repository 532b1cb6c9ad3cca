// SPDX-License-Identifier: MIT
/*
 * Words that a peer forged, and exactly what the other side says to them.
 */
#include <string.h>
#include "helpers.h"

#define LARGE	2000	/* goes into a buffer */

static void touch(const void *data, size_t len)
{
	const volatile uint8_t *bytes = data;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i += 64)
		sum += bytes[i];
	if (len)
		sum += bytes[len - 1];
	(void)sum;
}

/* What the consumer says to a message behind which @edit changed something. */
static int recv_after(const struct krepis_channel_options *options, size_t len,
		      void (*edit)(struct view *v, void *record))
{
	struct pair p = open_pair(options);
	struct view v = open_view(p.channel);
	uint8_t data[LARGE] = { 0 };
	struct krepis_msg msg;
	int err;

	must(!krepis_send(p.producer, 1, data, len, KREPIS_NOWAIT));
	edit(&v, v.ring);
	err = krepis_recv(p.consumer, &msg, KREPIS_NOWAIT);
	if (!err)
		touch(msg.data, msg.len);
	/* Once broken, for ever; and it can be left. */
	if (err == -EPROTO) {
		assert_error(krepis_recv(p.consumer, &msg, KREPIS_FOREVER), EPROTO);
		assert_error(krepis_wait(p.consumer, KREPIS_FOREVER), EPROTO);
	}
	krepis_detach(p.consumer);
	p.consumer = NULL;
	close_view(&v);
	close_pair(&p);
	return err;
}

static void odd_head(struct view *v, void *record)
{
	(void)record;
	v->producer->head += 4;
}

static void head_beyond_the_ring(struct view *v, void *record)
{
	(void)record;
	v->producer->head = v->geometry.ring_size + 8;
}

static void head_that_went_back(struct view *v, void *record)
{
	(void)record;
	v->producer->head = -8ULL;
}

static void length_beyond_the_head(struct view *v, void *record)
{
	(void)v;
	((struct krepis_record *)record)->len = 16;
}

static void length_beyond_inline_max(struct view *v, void *record)
{
	((struct krepis_record *)record)->len = 1017;
	v->producer->head = 2048;
}

static void unknown_flag(struct view *v, void *record)
{
	(void)v;
	((struct krepis_record *)record)->flags = 1 << 5;
}

static void handle_of_another_size(struct view *v, void *record)
{
	(void)v;
	*(struct krepis_record *)record = (struct krepis_record){ .len = 4,
								  .flags = KREPIS_MSG_BUFFER };
}

static void a_head_or_record_that_cannot_be_is_refused(void **state)
{
	void (*const edits[])(struct view *v, void *record) = {
		odd_head, head_beyond_the_ring, head_that_went_back, length_beyond_the_head,
		length_beyond_inline_max, unknown_flag, handle_of_another_size,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++)
		assert_error(recv_after(SMALL_RING(), 8, edits[i]), EPROTO);
}

static struct krepis_handle *handle_in(void *record)
{
	return (struct krepis_handle *)((uint8_t *)record + sizeof(struct krepis_record));
}

static void index_out_of_range(struct view *v, void *record)
{
	handle_in(record)->index = v->geometry.buffer_count;
}

static void index_far_out_of_range(struct view *v, void *record)
{
	(void)v;
	handle_in(record)->index = UINT32_MAX;
}

static void another_generation(struct view *v, void *record)
{
	(void)v;
	handle_in(record)->generation++;
}

static void another_buffer(struct view *v, void *record)
{
	(void)v;
	handle_in(record)->index ^= 1;
}

static void descriptor_of_a_producer(struct view *v, void *record)
{
	v->desc[handle_in(record)->index].state = KREPIS_OWNED_PRODUCER;
}

static void descriptor_held_by_nobody(struct view *v, void *record)
{
	v->desc[handle_in(record)->index].holders = 0;
}

static void a_handle_that_names_nothing_is_never_a_message(void **state)
{
	void (*const edits[])(struct view *v, void *record) = {
		index_out_of_range, index_far_out_of_range, another_generation, another_buffer,
		descriptor_of_a_producer, descriptor_held_by_nobody,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
		int err = recv_after(SMALL_RING(), LARGE, edits[i]);

		assert_true(err == -EAGAIN || err == -EPROTO);
		err = recv_after(SMALL_RING(.backpressure = KREPIS_OVERWRITE), LARGE, edits[i]);
		assert_true(err == -KREPIS_ELAPPED || err == -EPROTO);
	}
}

static void length_beyond_the_buffer(struct view *v, void *record)
{
	v->desc[handle_in(record)->index].len = (uint32_t)v->geometry.buffer_size + 1;
}

static void huge_length(struct view *v, void *record)
{
	v->desc[handle_in(record)->index].len = UINT32_MAX;
}

static void a_length_beyond_the_buffer_is_never_a_message(void **state)
{
	(void)state;
	assert_int_not_equal(recv_after(SMALL_RING(), LARGE, length_beyond_the_buffer), 0);
	assert_int_not_equal(recv_after(SMALL_RING(), LARGE, huge_length), 0);
}

static void one_buffer_in_two_records_is_one_message(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct view v = open_view(p.channel);
	struct krepis_msg first, second;
	uint8_t data[LARGE] = { 0 };
	int err;

	(void)state;
	must(!krepis_send(p.producer, 1, data, LARGE, KREPIS_NOWAIT));
	must(!krepis_send(p.producer, 1, data, LARGE, KREPIS_NOWAIT));
	memcpy(v.ring + 16, v.ring, 16);
	assert_ok(krepis_recv(p.consumer, &first, KREPIS_NOWAIT));
	err = krepis_recv(p.consumer, &second, KREPIS_NOWAIT);
	assert_true(err == -EAGAIN || err == -EPROTO);
	assert_ok(krepis_release(p.consumer, &first));
	close_view(&v);
	close_pair(&p);
}

static void a_tail_that_lies_frees_nothing(void **state)
{
	static const uint64_t lies[] = { 1, 4, 4096, 1 << 20, INT64_MAX, UINT64_MAX, -4096ULL };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
		struct pair p = open_pair(SMALL_RING());
		struct krepis_endpoint *liar = attach(p.channel, KREPIS_CONSUMER, 0);
		struct view v = open_view(p.channel);
		unsigned int n = send_until_full(p.producer, 1, 100);

		view_consumer(&v, 1)->tail = v.producer->head + lies[i];
		assert_int_equal(send_until_full(p.producer, 1, 100), 0);
		/* The honest one's messages are as they were. */
		recv_filled(p.consumer, 1, n, 100);
		krepis_detach(liar);
		close_view(&v);
		close_pair(&p);
	}
}

static void live_bits_without_a_slot_are_ignored(void **state)
{
	struct pair p = open_pair(SMALL_RING(.max_consumers = 2));
	struct view v = open_view(p.channel);
	uint8_t data[LARGE];
	struct krepis_msg msg;

	(void)state;
	/* Only the kernel writes it, where it is there. */
	if (view_may_write(&v, v.info))
		v.info->live |= ~3U;
	for (uint64_t n = 0; n < 100; n++) {
		fill(data, LARGE, n);
		assert_ok(krepis_send(p.producer, 1, data, LARGE, KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
		assert_true(filled(msg.data, LARGE, n));
		assert_ok(krepis_release(p.consumer, &msg));
	}
	assert_error(krepis_wait_peer(p.producer, 2, KREPIS_NOWAIT), EAGAIN);
	close_view(&v);
	close_pair(&p);
}

static void an_exchange_word_that_cannot_be_is_refused(void **state)
{
	(void)state;
	for (uint32_t index = 0; index < 4; index++) {
		struct pair p = open_pair(SMALL_TRIPLE);
		struct view v = open_view(p.channel);
		struct krepis_msg msg;
		void *data;

		assert_ok(krepis_triple_begin(p.producer, &data));
		assert_ok(krepis_triple_commit(p.producer, 1, 1));
		v.exchange->word = (v.exchange->word & ~3ULL) | index | KREPIS_EXCHANGE_FRESH;
		if (index == 3 || index == view_consumer(&v, 0)->front) {
			assert_error(krepis_triple_read(p.consumer, &msg), EPROTO);
			assert_error(krepis_triple_read(p.consumer, &msg), EPROTO);
			assert_error(krepis_wait(p.consumer, KREPIS_FOREVER), EPROTO);
		}
		v.exchange->word = (v.exchange->word & ~3ULL) | index;
		if (index == 3 || index == v.producer->back) {
			assert_ok(krepis_triple_begin(p.producer, &data));
			assert_error(krepis_triple_commit(p.producer, 1, 1), EPROTO);
			assert_error(krepis_triple_begin(p.producer, &data), EPROTO);
		}
		close_view(&v);
		close_pair(&p);
	}
}

static void a_value_longer_than_its_buffer_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	struct view v = open_view(p.channel);
	struct krepis_msg msg;
	void *data;

	(void)state;
	assert_ok(krepis_triple_begin(p.producer, &data));
	assert_ok(krepis_triple_commit(p.producer, 1, 1));
	for (int i = 0; i < 3; i++)
		v.desc[i].len = 4097;
	assert_error(krepis_triple_read(p.consumer, &msg), EPROTO);
	close_view(&v);
	close_pair(&p);
}

/* What @edit left in an unused channel: what those who attach say. */
static void attaching_is_refused(const struct krepis_channel_options *options,
				 void (*edit)(struct view *v, void *record), unsigned int roles)
{
	struct krepis_channel *channel = anonymous(options);
	unsigned int fds = open_fds(), count = threads();
	struct view v = open_view(channel);
	struct krepis_endpoint *endpoint;

	edit(&v, v.ring);
	close_view(&v);
	if (roles & 1 << KREPIS_PRODUCER)
		assert_error(krepis_attach(channel, KREPIS_PRODUCER, 0, &endpoint), EPROTO);
	if (roles & 1 << KREPIS_CONSUMER)
		assert_error(krepis_attach(channel, KREPIS_CONSUMER, 0, &endpoint), EPROTO);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(threads(), count);
	assert_int_equal(status_of(channel).live, 0);
	krepis_channel_close(channel);
}

static void impossible_exchange(struct view *v, void *record)
{
	(void)record;
	v->exchange->word = 3;
}

static void floor_beyond_the_head(struct view *v, void *record)
{
	(void)record;
	v->producer->floor = 8;
}

static void attaching_to_what_cannot_be_is_refused(void **state)
{
	(void)state;
	attaching_is_refused(SMALL_TRIPLE, impossible_exchange,
			     1 << KREPIS_PRODUCER | 1 << KREPIS_CONSUMER);
	attaching_is_refused(SMALL_RING(), odd_head, 1 << KREPIS_CONSUMER);
	attaching_is_refused(SMALL_RING(.backpressure = KREPIS_OVERWRITE), floor_beyond_the_head,
			     1 << KREPIS_CONSUMER);
}

/* A lapped consumer, whose producer stopped while it moved the marks. */
static void marks_that_nobody_will_complete_stop_nobody(void **state)
{
	struct pair p = open_pair(SMALL_RING(.backpressure = KREPIS_OVERWRITE));
	struct view v = open_view(p.channel);
	uint8_t data[100] = { 0 };
	unsigned int calls = 0;
	struct krepis_msg msg;
	int err;

	(void)state;
	for (int i = 0; i < 200; i++)
		assert_ok(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	v.producer->version++;
	close_view(&v);
	krepis_detach(p.producer);
	p.producer = NULL;
	do {
		err = krepis_recv(p.consumer, &msg, SOON);
		assert_int_not_equal(err, -ETIMEDOUT);
	} while (err != -KREPIS_PEER_GONE && err != -EPROTO && ++calls < 1000);
	assert_true(calls < 1000);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_head_or_record_that_cannot_be_is_refused),
		CLAIM(a_handle_that_names_nothing_is_never_a_message),
		CLAIM(a_length_beyond_the_buffer_is_never_a_message),
		CLAIM(one_buffer_in_two_records_is_one_message),
		CLAIM(a_tail_that_lies_frees_nothing),
		CLAIM(live_bits_without_a_slot_are_ignored),
		CLAIM(an_exchange_word_that_cannot_be_is_refused),
		CLAIM(a_value_longer_than_its_buffer_is_refused),
		CLAIM(attaching_to_what_cannot_be_is_refused),
		CLAIM(marks_that_nobody_will_complete_stop_nobody),
	};

	return RUN("forged", tests);
}
