// SPDX-License-Identifier: MIT
/*
 * Messages in place: begun, committed and flushed by the one side, viewed and
 * released by the other, one or many at a time.
 */
#include <string.h>
#include "helpers.h"

/* Commits a message of @len bytes that follow from @seed. */
static void commit(struct krepis_endpoint *producer, size_t len, uint64_t seed)
{
	void *room;

	assert_ok(krepis_send_begin(producer, len, &room, KREPIS_NOWAIT));
	assert_int_equal((uintptr_t)room % 8, 0);
	fill(room, len, seed);
	assert_ok(krepis_send_commit(producer, (uint16_t)seed, len));
}

static void nothing_to_receive(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	assert_error(krepis_recv(consumer, &msg, KREPIS_NOWAIT), EAGAIN);
}

static struct krepis_msg receive(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	assert_ok(krepis_recv(consumer, &msg, KREPIS_NOWAIT));
	return msg;
}

/* ------------------------------------------------------------------ begin and commit */

static void a_committed_message_is_invisible_before_the_flush(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	for (uint64_t n = 0; n < 5; n++) {
		commit(p.producer, 50, n);
		nothing_to_receive(p.consumer);
		assert_int_equal(counters_of(p.producer).messages, 0);
	}
	assert_ok(krepis_flush(p.producer));
	assert_int_equal(counters_of(p.producer).messages, 5);
	assert_int_equal(counters_of(p.producer).bytes, 250);
	recv_filled(p.consumer, 0, 5, 50);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void a_flush_of_nothing_is_harmless(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	assert_ok(krepis_flush(p.producer));
	nothing_to_receive(p.consumer);
	commit(p.producer, 8, 1);
	assert_ok(krepis_flush(p.producer));
	assert_ok(krepis_flush(p.producer));
	recv_filled(p.consumer, 1, 1, 8);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void a_send_flushes_what_was_committed_before_it(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint8_t data[50];

	(void)state;
	commit(p.producer, 50, 0);
	fill(data, sizeof(data), 1);
	assert_ok(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	recv_filled(p.consumer, 0, 2, 50);
	close_pair(&p);
}

static void a_publication_flushes_what_was_committed_before_it(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer;

	(void)state;
	commit(p.producer, 50, 0);
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	fill(krepis_buffer_data(buffer), 50, 1);
	assert_ok(krepis_publish(p.producer, buffer, 1, 50, 0, KREPIS_NOWAIT));
	recv_filled(p.consumer, 0, 2, 50);
	close_pair(&p);
}

static void waits_flush(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_buffer *buffer, *none;
	void *room;

	(void)state;
	commit(p.producer, 50, 0);
	assert_ok(krepis_wait(p.producer, SHORTLY));
	recv_filled(p.consumer, 0, 1, 50);
	commit(p.producer, 50, 1);
	assert_error(krepis_drain(p.producer, KREPIS_NOWAIT), EAGAIN);
	recv_filled(p.consumer, 1, 1, 50);
	commit(p.producer, 50, 2);
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	assert_error(krepis_acquire(p.producer, &none, SHORTLY), ETIMEDOUT);
	recv_filled(p.consumer, 2, 1, 50);
	while (!krepis_send_begin(p.producer, 50, &room, KREPIS_NOWAIT)) {
		fill(room, 50, 3);
		assert_ok(krepis_send_commit(p.producer, 3, 50));
	}
	assert_error(krepis_send_begin(p.producer, 50, &room, SHORTLY), ETIMEDOUT);
	recv_filled(p.consumer, 3, 1, 50);
	close_pair(&p);
}

static void a_whole_ring_is_committed_at_once(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint64_t n, round;

	(void)state;
	for (round = 0; round < 100; round++) {
		for (n = 0; n < (4096 - 8) / 64; n++)
			commit(p.producer, 56, n);
		nothing_to_receive(p.consumer);
		assert_ok(krepis_flush(p.producer));
		recv_filled(p.consumer, 0, (unsigned int)n, 56);
	}
	close_pair(&p);
}

static void less_than_begun_may_be_committed(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	for (size_t len = 0; len <= 1016; len++) {
		void *room;

		assert_ok(krepis_send_begin(p.producer, 1016, &room, KREPIS_NOWAIT));
		fill(room, len, len);
		assert_ok(krepis_send_commit(p.producer, 1, len));
		assert_ok(krepis_flush(p.producer));
		recv_filled(p.consumer, len, 1, len);
	}
	close_pair(&p);
}

static void more_than_begun_is_refused(void **state)
{
	static const size_t more[] = { 101, 104, 1016, UINT32_MAX, 1ULL << 32, SIZE_MAX };
	struct pair p = open_pair(SMALL_RING());
	void *room;

	(void)state;
	assert_ok(krepis_send_begin(p.producer, 100, &room, KREPIS_NOWAIT));
	fill(room, 100, 1);
	for (size_t i = 0; i < ARRAY_SIZE(more); i++)
		assert_error(krepis_send_commit(p.producer, 1, more[i]), EINVAL);
	/* It is begun still. */
	assert_ok(krepis_send_commit(p.producer, 1, 100));
	assert_ok(krepis_flush(p.producer));
	recv_filled(p.consumer, 1, 1, 100);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void a_commit_of_nothing_begun_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	assert_error(krepis_send_commit(p.producer, 1, 0), EINVAL);
	commit(p.producer, 10, 1);
	assert_error(krepis_send_commit(p.producer, 1, 0), EINVAL);
	assert_error(krepis_send_commit(p.producer, 1, 10), EINVAL);
	assert_ok(krepis_flush(p.producer));
	recv_filled(p.consumer, 1, 1, 10);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void more_than_inline_max_is_not_begun(void **state)
{
	struct pair p = open_pair(SMALL_RING(.inline_max = 100));
	void *room = &room;

	(void)state;
	assert_error(krepis_send_begin(p.producer, 101, &room, KREPIS_NOWAIT), EMSGSIZE);
	assert_ptr_equal(room, &room);
	commit(p.producer, 100, 1);
	assert_ok(krepis_flush(p.producer));
	recv_filled(p.consumer, 1, 1, 100);
	close_pair(&p);
}

static void a_cancelled_message_was_never_there(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	void *room, *again;

	(void)state;
	krepis_send_cancel(p.producer);
	commit(p.producer, 50, 0);
	assert_ok(krepis_send_begin(p.producer, 50, &room, KREPIS_NOWAIT));
	memset(room, 0xee, 50);
	krepis_send_cancel(p.producer);
	krepis_send_cancel(p.producer);
	assert_error(krepis_send_commit(p.producer, 1, 50), EINVAL);
	assert_ok(krepis_send_begin(p.producer, 50, &again, KREPIS_NOWAIT));
	assert_ptr_equal(room, again);
	fill(again, 50, 1);
	assert_ok(krepis_send_commit(p.producer, 1, 50));
	assert_ok(krepis_flush(p.producer));
	recv_filled(p.consumer, 0, 2, 50);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void between_begin_and_commit_nothing_else_is_sent(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer;
	uint8_t data[2000] = { 0 };
	void *room, *second;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	assert_ok(krepis_send_begin(p.producer, 50, &room, KREPIS_NOWAIT));
	fill(room, 50, 1);
	assert_error(krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT), EBUSY);
	assert_error(krepis_send(p.producer, 1, data, sizeof(data), KREPIS_NOWAIT), EBUSY);
	assert_error(krepis_send_begin(p.producer, 1, &second, KREPIS_NOWAIT), EBUSY);
	assert_error(krepis_publish(p.producer, buffer, 1, 1, 0, KREPIS_NOWAIT), EBUSY);
	assert_ok(krepis_flush(p.producer));
	nothing_to_receive(p.consumer);
	assert_ok(krepis_send_commit(p.producer, 1, 50));
	assert_ok(krepis_publish(p.producer, buffer, 1, 1, 0, KREPIS_NOWAIT));
	recv_filled(p.consumer, 1, 1, 50);
	close_pair(&p);
}

static void between_begin_and_commit_nobody_waits_for_a_buffer(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_buffer *buffer, *none;
	void *room;

	(void)state;
	assert_ok(krepis_send_begin(p.producer, 8, &room, KREPIS_NOWAIT));
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_FOREVER));
	assert_error(krepis_acquire(p.producer, &none, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_acquire(p.producer, &none, KREPIS_FOREVER), EBUSY);
	assert_ok(krepis_abandon(p.producer, buffer));
	fill(room, 8, 1);
	assert_ok(krepis_send_commit(p.producer, 1, 8));
	assert_ok(krepis_flush(p.producer));
	recv_filled(p.consumer, 1, 1, 8);
	close_pair(&p);
}

static void a_full_ring_is_not_begun(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	unsigned int n = send_until_full(p.producer, 1, 100);
	void *room;

	(void)state;
	assert_error(krepis_send_begin(p.producer, 100, &room, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_send_begin(p.producer, 100, &room, SHORTLY), ETIMEDOUT);
	assert_error(krepis_send_commit(p.producer, 1, 100), EINVAL);
	recv_filled(p.consumer, 1, n, 100);
	commit(p.producer, 100, 1);
	close_pair(&p);
}

/* ----------------------------------------------------------------------- recv_batch */

static void a_batch_is_what_is_there(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[10];

	(void)state;
	for (uint64_t n = 0; n < 5; n++)
		commit(p.producer, 50 + n, n);
	assert_ok(krepis_flush(p.producer));
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, 3, KREPIS_NOWAIT), 3);
	for (uint64_t n = 0; n < 3; n++)
		assert_true(msgs[n].len == 50 + n && filled(msgs[n].data, msgs[n].len, n));
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, 10, KREPIS_NOWAIT), 2);
	for (uint64_t n = 0; n < 2; n++)
		assert_true(filled(msgs[n].data, msgs[n].len, n + 3));
	assert_error(krepis_recv_batch(p.consumer, msgs, 10, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_recv_batch(p.consumer, msgs, 10, SHORTLY), ETIMEDOUT);
	close_pair(&p);
}

static void a_batch_mixes_inline_and_buffers(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[8];
	uint8_t data[2000];

	(void)state;
	for (uint64_t n = 0; n < 6; n++) {
		size_t len = n % 2 ? sizeof(data) : 20;

		fill(data, len, n);
		assert_ok(krepis_send(p.producer, (uint16_t)n, data, len, KREPIS_NOWAIT));
	}
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, 8, KREPIS_NOWAIT), 6);
	for (uint64_t n = 0; n < 6; n++) {
		assert_int_equal(msgs[n].type, n);
		assert_true(filled(msgs[n].data, msgs[n].len, n));
		assert_int_equal(!!msgs[n].buffer, n % 2);
	}
	for (uint64_t n = 0; n < 6; n++)
		assert_ok(krepis_release(p.consumer, &msgs[n]));
	close_pair(&p);
}

static void a_batch_of_none_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	commit(p.producer, 8, 1);
	assert_ok(krepis_flush(p.producer));
	assert_error(krepis_recv_batch(p.consumer, &msg, 0, KREPIS_NOWAIT), EINVAL);
	recv_filled(p.consumer, 1, 1, 8);
	close_pair(&p);
}

static void a_batch_of_an_overwritten_ring_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING(.backpressure = KREPIS_OVERWRITE));
	struct krepis_msg msg;

	(void)state;
	commit(p.producer, 8, 1);
	assert_ok(krepis_flush(p.producer));
	assert_error(krepis_recv_batch(p.consumer, &msg, 1, KREPIS_NOWAIT), EINVAL);
	recv_filled(p.consumer, 1, 1, 8);
	close_pair(&p);
}

static void a_batch_ends_with_the_producers_leave(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[4];

	(void)state;
	commit(p.producer, 8, 1);
	krepis_detach(p.producer);
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, 4, KREPIS_FOREVER), 1);
	assert_error(krepis_recv_batch(p.consumer, msgs, 4, KREPIS_FOREVER), KREPIS_PEER_GONE);
	p.producer = NULL;
	close_pair(&p);
}

/* ---------------------------------------------------------------------------- views */

/* Overwrites whatever room the producer has. */
static void scrub(struct krepis_endpoint *producer)
{
	send_until_full(producer, 0xdead, 40);
}

static void a_view_lasts_until_the_next_receive(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	for (uint64_t n = 0; n < 3; n++)
		commit(p.producer, 500, n);
	assert_ok(krepis_flush(p.producer));
	msg = receive(p.consumer);
	scrub(p.producer);
	assert_true(filled(msg.data, 500, 0));
	msg = receive(p.consumer);
	scrub(p.producer);
	assert_true(filled(msg.data, 500, 1));
	close_pair(&p);
}

static void a_wait_ends_the_view_and_frees_its_room(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	send_until_full(p.producer, 1, 100);
	receive(p.consumer);
	assert_ok(krepis_wait(p.consumer, KREPIS_NOWAIT));
	assert_int_equal(send_until_full(p.producer, 1, 100), 1);
	close_pair(&p);
}

static void all_views_of_a_batch_last_until_the_next_receive(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[6];

	(void)state;
	for (uint64_t n = 0; n < 6; n++)
		commit(p.producer, 500, n);
	assert_ok(krepis_flush(p.producer));
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, 6, KREPIS_NOWAIT), 6);
	scrub(p.producer);
	for (uint64_t n = 0; n < 6; n++)
		assert_true(filled(msgs[n].data, 500, n));
	close_pair(&p);
}

static void releasing_one_view_of_a_batch_leaves_the_others(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[6];

	(void)state;
	for (uint64_t n = 0; n < 6; n++)
		commit(p.producer, 500, n);
	assert_ok(krepis_flush(p.producer));
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, 6, KREPIS_NOWAIT), 6);
	assert_ok(krepis_release(p.consumer, &msgs[5]));
	scrub(p.producer);
	for (uint64_t n = 0; n < 5; n++)
		assert_true(filled(msgs[n].data, 500, n));
	close_pair(&p);
}

static void releasing_all_views_of_a_batch_frees_its_room(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[64];
	unsigned int n = send_until_full(p.producer, 1, 100);

	(void)state;
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, ARRAY_SIZE(msgs), KREPIS_NOWAIT), n);
	assert_int_equal(send_until_full(p.producer, 1, 100), 0);
	for (unsigned int i = 0; i < n; i++)
		assert_ok(krepis_release(p.consumer, &msgs[i]));
	assert_int_equal(send_until_full(p.producer, 1, 100), n);
	close_pair(&p);
}

static void releasing_early_frees_the_room(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	send_until_full(p.producer, 1, 100);
	msg = receive(p.consumer);
	assert_int_equal(send_until_full(p.producer, 1, 100), 0);
	assert_ok(krepis_release(p.consumer, &msg));
	assert_int_equal(send_until_full(p.producer, 1, 100), 1);
	close_pair(&p);
}

static void the_next_receive_frees_the_room(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	send_until_full(p.producer, 1, 100);
	receive(p.consumer);
	receive(p.consumer);
	assert_int_equal(send_until_full(p.producer, 1, 100), 1);
	close_pair(&p);
}

static void releasing_an_old_view_frees_nothing_more(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg old, msg;

	(void)state;
	send_until_full(p.producer, 1, 100);
	old = receive(p.consumer);
	msg = receive(p.consumer);
	assert_int_equal(send_until_full(p.producer, 1, 100), 1);
	krepis_release(p.consumer, &old);
	assert_int_equal(send_until_full(p.producer, 1, 100), 0);
	assert_true(filled(msg.data, 100, 2));
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_committed_message_is_invisible_before_the_flush),
		CLAIM(a_flush_of_nothing_is_harmless),
		CLAIM(a_send_flushes_what_was_committed_before_it),
		CLAIM(a_publication_flushes_what_was_committed_before_it),
		CLAIM(waits_flush),
		CLAIM(a_whole_ring_is_committed_at_once),
		CLAIM(less_than_begun_may_be_committed),
		CLAIM(more_than_begun_is_refused),
		CLAIM(a_commit_of_nothing_begun_is_refused),
		CLAIM(more_than_inline_max_is_not_begun),
		CLAIM(a_cancelled_message_was_never_there),
		CLAIM(between_begin_and_commit_nothing_else_is_sent),
		CLAIM(between_begin_and_commit_nobody_waits_for_a_buffer),
		CLAIM(a_full_ring_is_not_begun),
		CLAIM(a_batch_is_what_is_there),
		CLAIM(a_batch_mixes_inline_and_buffers),
		CLAIM(a_batch_of_none_is_refused),
		CLAIM(a_batch_of_an_overwritten_ring_is_refused),
		CLAIM(a_batch_ends_with_the_producers_leave),
		CLAIM(a_view_lasts_until_the_next_receive),
		CLAIM(a_wait_ends_the_view_and_frees_its_room),
		CLAIM(all_views_of_a_batch_last_until_the_next_receive),
		CLAIM(releasing_one_view_of_a_batch_leaves_the_others),
		CLAIM(releasing_all_views_of_a_batch_frees_its_room),
		CLAIM(releasing_early_frees_the_room),
		CLAIM(the_next_receive_frees_the_room),
		CLAIM(releasing_an_old_view_frees_nothing_more),
	};

	return RUN("batch", tests);
}
