// SPDX-License-Identifier: MIT
/* Batches of records: room for many, put in and taken out by what is inline in the header. */
#include <string.h>
#include <krepis/batch.h>
#include "helpers.h"

#define LEN	50
#define ROOM(n)	KREPIS_BATCH_BYTES(n, LEN)
#define WHOLE	krepis_ring_room(4096)	/* of SMALL_RING() */

/* Puts @count messages of LEN bytes that follow from @seed on. */
static void put(struct krepis_batch *batch, uint64_t seed, unsigned int count)
{
	while (count--) {
		void *room = krepis_batch_put(batch, (uint16_t)seed, LEN);

		assert_non_null(room);
		assert_int_equal((uintptr_t)room % 8, 0);
		fill(room, LEN, seed++);
	}
}

static void send_batch(struct krepis_endpoint *producer, uint64_t seed, unsigned int count)
{
	struct krepis_batch batch;

	assert_ok(krepis_batch_begin(producer, &batch, ROOM(count), KREPIS_NOWAIT));
	put(&batch, seed, count);
	assert_ok(krepis_batch_commit(producer, &batch));
}

static void take(struct krepis_batch *batch, uint64_t seed, unsigned int count)
{
	while (count--) {
		uint32_t len = 0;
		uint16_t type = 0;
		const void *data = krepis_batch_next(batch, &type, &len);

		assert_non_null(data);
		assert_int_equal(type, (uint16_t)seed);
		assert_int_equal(len, LEN);
		assert_true(filled(data, len, seed++));
	}
}

static void nothing_left(struct krepis_batch *batch)
{
	uint32_t len;
	uint16_t type;

	assert_null(krepis_batch_next(batch, &type, &len));
	assert_null(krepis_batch_next(batch, &type, &len));
}

static void recv_all(struct krepis_endpoint *consumer, uint64_t seed, unsigned int count)
{
	struct krepis_batch batch;

	assert_ok(krepis_batch_recv(consumer, &batch, KREPIS_NOWAIT));
	take(&batch, seed, count);
	nothing_left(&batch);
	assert_ok(krepis_batch_done(consumer, &batch));
}

static void nothing_to_receive(struct krepis_endpoint *consumer)
{
	struct krepis_batch batch;

	assert_error(krepis_batch_recv(consumer, &batch, KREPIS_NOWAIT), EAGAIN);
}

/* -------------------------------------------------------------------------- sending */

static void what_was_put_is_there_with_the_commit(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_batch batch;

	(void)state;
	assert_ok(krepis_batch_begin(p.producer, &batch, ROOM(5), KREPIS_NOWAIT));
	put(&batch, 0, 5);
	nothing_to_receive(p.consumer);
	assert_int_equal(counters_of(p.producer).messages, 0);
	assert_ok(krepis_batch_commit(p.producer, &batch));
	assert_int_equal(counters_of(p.producer).messages, 5);
	assert_int_equal(counters_of(p.producer).bytes, 5 * LEN);
	recv_all(p.consumer, 0, 5);
	assert_int_equal(counters_of(p.consumer).messages, 5);
	assert_int_equal(counters_of(p.consumer).bytes, 5 * LEN);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void other_calls_send_and_receive_the_same_messages(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint8_t data[LEN];

	(void)state;
	send_batch(p.producer, 7, 3);
	recv_filled(p.consumer, 7, 3, LEN);
	fill(data, LEN, 9);
	assert_ok(krepis_send(p.producer, 9, data, LEN, KREPIS_NOWAIT));
	send_batch(p.producer, 10, 2);
	recv_all(p.consumer, 9, 3);
	close_pair(&p);
}

static void no_more_is_put_than_there_is_room(void **state)
{
	struct pair p = open_pair(SMALL_RING(.inline_max = 100));
	struct krepis_batch batch;
	unsigned int n = 0;

	(void)state;
	assert_ok(krepis_batch_begin(p.producer, &batch, WHOLE, KREPIS_NOWAIT));
	assert_null(krepis_batch_put(&batch, 1, 101));
	assert_null(krepis_batch_put(&batch, 1, UINT32_MAX));
	for (; krepis_batch_put(&batch, 1, 100); n++)
		;
	assert_int_equal(n, WHOLE / krepis_record_bytes(100));
	/* What is smaller still fits. */
	assert_non_null(krepis_batch_put(&batch, 1, WHOLE % krepis_record_bytes(100) - 8));
	assert_null(krepis_batch_put(&batch, 1, 0));
	assert_ok(krepis_batch_commit(p.producer, &batch));
	assert_error(krepis_batch_begin(p.producer, &batch, 8, KREPIS_NOWAIT), EAGAIN);
	assert_error(krepis_batch_begin(p.producer, &batch, 8, SHORTLY), ETIMEDOUT);
	close_pair(&p);
}

static void room_that_no_ring_has_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_batch batch;

	(void)state;
	assert_error(krepis_batch_begin(p.producer, &batch, 0, KREPIS_NOWAIT), EMSGSIZE);
	assert_error(krepis_batch_begin(p.producer, &batch, WHOLE + 1, KREPIS_NOWAIT), EMSGSIZE);
	assert_error(krepis_batch_begin(p.producer, &batch, SIZE_MAX, KREPIS_NOWAIT), EMSGSIZE);
	assert_ok(krepis_batch_begin(p.producer, &batch, WHOLE, KREPIS_NOWAIT));
	close_pair(&p);
}

static void nothing_else_is_sent_before_the_commit(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_batch batch, second;
	void *room;

	(void)state;
	assert_ok(krepis_batch_begin(p.producer, &batch, ROOM(2), KREPIS_NOWAIT));
	assert_error(krepis_batch_begin(p.producer, &second, ROOM(2), KREPIS_NOWAIT), EBUSY);
	assert_error(krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT), EBUSY);
	assert_error(krepis_send_begin(p.producer, 1, &room, KREPIS_NOWAIT), EBUSY);
	assert_error(krepis_send_commit(p.producer, 1, 1), EINVAL);
	put(&batch, 0, 2);
	assert_ok(krepis_batch_commit(p.producer, &batch));
	recv_all(p.consumer, 0, 2);
	close_pair(&p);
}

static void a_commit_of_what_was_not_begun_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_batch batch, other;

	(void)state;
	assert_ok(krepis_batch_begin(p.producer, &batch, ROOM(2), KREPIS_NOWAIT));
	put(&batch, 0, 1);
	other = batch;
	other.at += 4;
	assert_error(krepis_batch_commit(p.producer, &other), EINVAL);
	other.at = batch.end + 8;
	assert_error(krepis_batch_commit(p.producer, &other), EINVAL);
	other.at = batch.at - 2 * krepis_record_bytes(LEN);
	assert_error(krepis_batch_commit(p.producer, &other), EINVAL);
	assert_ok(krepis_batch_commit(p.producer, &batch));
	assert_error(krepis_batch_commit(p.producer, &batch), EINVAL);
	assert_error(krepis_batch_commit(p.consumer, &batch), EINVAL);
	recv_all(p.consumer, 0, 1);
	nothing_to_receive(p.consumer);
	close_pair(&p);
}

static void a_batch_of_nothing_sends_nothing(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_batch batch;

	(void)state;
	assert_ok(krepis_batch_begin(p.producer, &batch, ROOM(2), KREPIS_NOWAIT));
	assert_ok(krepis_batch_commit(p.producer, &batch));
	nothing_to_receive(p.consumer);
	assert_ok(krepis_batch_begin(p.producer, &batch, ROOM(2), KREPIS_NOWAIT));
	put(&batch, 0, 2);
	krepis_send_cancel(p.producer);
	nothing_to_receive(p.consumer);
	send_batch(p.producer, 5, 1);
	recv_all(p.consumer, 5, 1);
	close_pair(&p);
}

/* ------------------------------------------------------------------------ receiving */

static void what_was_not_taken_out_comes_again(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_batch batch;

	(void)state;
	send_batch(p.producer, 0, 5);
	assert_ok(krepis_batch_recv(p.consumer, &batch, KREPIS_NOWAIT));
	take(&batch, 0, 2);
	assert_ok(krepis_batch_done(p.consumer, &batch));
	assert_int_equal(counters_of(p.consumer).messages, 2);
	recv_filled(p.consumer, 2, 1, LEN);
	recv_all(p.consumer, 3, 2);
	close_pair(&p);
}

static void room_comes_back_when_it_is_done(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	unsigned int all = WHOLE / krepis_record_bytes(LEN);
	struct krepis_batch batch, more;

	(void)state;
	send_batch(p.producer, 0, all);
	assert_ok(krepis_batch_recv(p.consumer, &batch, KREPIS_NOWAIT));
	take(&batch, 0, all);
	assert_error(krepis_batch_begin(p.producer, &more, 64, KREPIS_NOWAIT), EAGAIN);
	assert_ok(krepis_batch_done(p.consumer, &batch));
	send_batch(p.producer, 1, all);
	recv_all(p.consumer, 1, all);
	close_pair(&p);
}

static void a_message_in_a_buffer_ends_a_batch(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_batch batch;
	uint8_t data[2000];

	(void)state;
	send_batch(p.producer, 0, 2);
	fill(data, sizeof(data), 2);
	assert_ok(krepis_send(p.producer, 2, data, sizeof(data), KREPIS_NOWAIT));
	send_batch(p.producer, 3, 1);
	recv_all(p.consumer, 0, 2);
	assert_error(krepis_batch_recv(p.consumer, &batch, KREPIS_NOWAIT), ENOMSG);
	recv_filled(p.consumer, 2, 1, sizeof(data));
	recv_all(p.consumer, 3, 1);
	close_pair(&p);
}

static void done_with_another_batch_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_batch batch, other;

	(void)state;
	send_batch(p.producer, 0, 3);
	assert_ok(krepis_batch_recv(p.consumer, &batch, KREPIS_NOWAIT));
	take(&batch, 0, 1);
	other = batch;
	other.at = batch.end + 8;
	assert_error(krepis_batch_done(p.consumer, &other), EINVAL);
	other.at = batch.at - 4;
	assert_error(krepis_batch_done(p.consumer, &other), EINVAL);
	assert_error(krepis_batch_done(p.producer, &batch), EINVAL);
	assert_ok(krepis_batch_done(p.consumer, &batch));
	/* Its messages are no more. */
	assert_error(krepis_batch_done(p.consumer, &batch), EINVAL);
	recv_all(p.consumer, 1, 2);
	close_pair(&p);
}

static void an_overwritten_ring_has_no_batches_to_receive(void **state)
{
	struct pair p = open_pair(SMALL_RING(.backpressure = KREPIS_OVERWRITE));
	struct krepis_batch batch;

	(void)state;
	for (unsigned int round = 0; round < 100; round++)
		send_batch(p.producer, round, 3);
	assert_error(krepis_batch_recv(p.consumer, &batch, KREPIS_NOWAIT), EINVAL);
	assert_error(krepis_batch_recv(p.producer, &batch, KREPIS_NOWAIT), EINVAL);
	close_pair(&p);
}

static void a_record_that_cannot_be_breaks_the_endpoint(void **state)
{
	static const uint64_t words[] = {
		1017,				/* more than inline_max */
		UINT32_MAX,
		100,				/* more than there is */
		LEN | 1ULL << 62,		/* an unknown flag */
		LEN | (uint64_t)KREPIS_MSG_BUFFER << 48,	/* no handle */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct pair p = open_pair(SMALL_RING());
		struct krepis_batch batch;
		uint8_t *room;

		assert_ok(krepis_batch_begin(p.producer, &batch, ROOM(2), KREPIS_NOWAIT));
		put(&batch, 0, 1);
		room = krepis_batch_put(&batch, 1, LEN);
		assert_non_null(room);
		memcpy(room - sizeof(struct krepis_record), &words[i], sizeof(words[i]));
		assert_ok(krepis_batch_commit(p.producer, &batch));
		assert_ok(krepis_batch_recv(p.consumer, &batch, KREPIS_NOWAIT));
		take(&batch, 0, 1);
		nothing_left(&batch);
		assert_error(krepis_batch_done(p.consumer, &batch), EPROTO);
		assert_error(krepis_batch_recv(p.consumer, &batch, KREPIS_NOWAIT), EPROTO);
		close_pair(&p);
	}
}

/* -------------------------------------------------------------------------- at length */

/* Of all sizes, around the end of the ring many times, more than one batch at a time. */
static void nothing_is_lost_around_the_end(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	uint64_t sent = 0, got = 0, round;
	struct krepis_batch batch;

	(void)state;
	for (round = 0; got < 20000; round++) {
		uint32_t len = (uint32_t)(sent * 7 % 120);
		uint16_t type;
		void *room;
		const void *data;

		if (!krepis_batch_begin(p.producer, &batch, 500, KREPIS_NOWAIT)) {
			for (int n = 0; n < 9 && (room = krepis_batch_put(&batch, 1, len)); n++) {
				fill(room, len, sent++);
				len = (uint32_t)(sent * 7 % 120);
			}
			assert_ok(krepis_batch_commit(p.producer, &batch));
		}
		if (round % 3 && !krepis_batch_recv(p.consumer, &batch, KREPIS_NOWAIT)) {
			for (int n = 0; n < 13 && (data = krepis_batch_next(&batch, &type, &len)); n++) {
				assert_int_equal(len, got * 7 % 120);
				assert_true(filled(data, len, got++));
			}
			assert_ok(krepis_batch_done(p.consumer, &batch));
		}
	}
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(what_was_put_is_there_with_the_commit),
		CLAIM(other_calls_send_and_receive_the_same_messages),
		CLAIM(no_more_is_put_than_there_is_room),
		CLAIM(room_that_no_ring_has_is_refused),
		CLAIM(nothing_else_is_sent_before_the_commit),
		CLAIM(a_commit_of_what_was_not_begun_is_refused),
		CLAIM(a_batch_of_nothing_sends_nothing),
		CLAIM(what_was_not_taken_out_comes_again),
		CLAIM(room_comes_back_when_it_is_done),
		CLAIM(a_message_in_a_buffer_ends_a_batch),
		CLAIM(done_with_another_batch_is_refused),
		CLAIM(an_overwritten_ring_has_no_batches_to_receive),
		CLAIM(a_record_that_cannot_be_breaks_the_endpoint),
		CLAIM(nothing_is_lost_around_the_end),
	};

	return RUN("batch_records", tests);
}
