// SPDX-License-Identifier: MIT
/*
 * A consumer that looks at the next record instead of the head: what it gets, and what
 * it says to a producer that forged, or died in between.
 */
#include <pthread.h>
#include <string.h>
#include <krepis/batch.h>
#include "helpers.h"

#define INLINE	200
#define GAMES	2000	/* until it looks at records: 16 would do, if nothing comes in between */

struct partner {
	pthread_t thread;
	struct krepis_endpoint *producer;
	uint32_t asked;
	uint64_t count;
};

/* Sends one message a while after it was asked for: who asked is waiting by then. */
static void *answer(void *arg)
{
	struct partner *p = arg;
	uint32_t sent = 0;

	for (;;) {
		uint32_t asked = __atomic_load_n(&p->asked, __ATOMIC_ACQUIRE);

		if (asked == UINT32_MAX)
			return NULL;
		if (asked == sent) {
			pause_for(1000);
			continue;
		}
		pause_for(5000);
		send_one(p->producer);
		sent = asked;
	}
}

static struct krepis_consumer *page_of(struct view *v, const struct krepis_endpoint *consumer)
{
	struct krepis_status s = { .size = sizeof(s) };

	must(!krepis_endpoint_query((struct krepis_endpoint *)consumer, &s));
	return view_consumer(v, s.slot);
}

/* One message at a time, each waited for, until the consumer looks at the records. */
static void play(struct pair *p, struct view *v)
{
	struct krepis_consumer *page = page_of(v, p->consumer);
	struct partner partner = { .producer = p->producer };
	struct krepis_msg msg;
	uint32_t n;

	must(!pthread_create(&partner.thread, NULL, answer, &partner));
	for (n = 1; n < GAMES && !krepis_read(&page->direct); n++) {
		__atomic_store_n(&partner.asked, n, __ATOMIC_RELEASE);
		assert_ok(krepis_recv(p->consumer, &msg, SOON));
	}
	__atomic_store_n(&partner.asked, UINT32_MAX, __ATOMIC_RELEASE);
	pthread_join(partner.thread, NULL);
	assert_int_equal(krepis_read(&page->direct), 1);
	assert_error(krepis_recv(p->consumer, &msg, KREPIS_NOWAIT), EAGAIN);
}

/* Where the next record will stand. */
static uint64_t *next_header(struct view *v)
{
	return (uint64_t *)(v->ring + (v->producer->head & (v->geometry.ring_size - 1)));
}

/* ------------------------------------------------------------------------------ order */

/* All sizes, one by one, committed together, in batches, in buffers. */
static void send_some(struct krepis_endpoint *producer, uint64_t n, uint64_t *end)
{
	struct krepis_batch batch;
	uint8_t data[300];
	size_t len = n % 300;
	void *room;

	switch (len > INLINE ? 1 : n % 7) {
	case 0:
		must(!krepis_batch_begin(producer, &batch, KREPIS_BATCH_BYTES(3, len), SOON));
		for (*end = n; *end < n + 3; ++*end)
			fill(krepis_batch_put(&batch, (uint16_t)*end, (uint32_t)len), len, *end);
		must(!krepis_batch_commit(producer, &batch));
		return;
	case 3:
		must(!krepis_send_begin(producer, len, &room, SOON));
		fill(room, len, n);
		must(!krepis_send_commit(producer, (uint16_t)n, len));
		break;
	default:
		fill(data, len, n);
		must(!krepis_send(producer, (uint16_t)n, data, len, SOON));
	}
	*end = n + 1;
}

static void *send_all(void *arg)
{
	struct partner *p = arg;
	uint64_t n = 0;

	while (n < p->count) {
		send_some(p->producer, n, &n);
		/* Sometimes it is waited for, sometimes not. */
		if (n % 64 < 8)
			pause_for(3000);
	}
	must(!krepis_flush(p->producer));
	return NULL;
}

static void all_comes_in_order(void **state)
{
	struct pair p = open_pair(SMALL_RING(.inline_max = INLINE));
	struct view v = open_view(p.channel);
	struct partner partner = { .producer = p.producer, .count = rounds(20000) };
	struct krepis_msg msg;
	uint64_t n;

	(void)state;
	play(&p, &v);
	must(!pthread_create(&partner.thread, NULL, send_all, &partner));
	for (n = 0; n < partner.count; n++) {
		assert_ok(krepis_recv(p.consumer, &msg, SOON));
		assert_int_equal(msg.type, (uint16_t)n);
		assert_true(filled(msg.data, msg.len, n));
		assert_ok(krepis_release(p.consumer, &msg));
	}
	pthread_join(partner.thread, NULL);
	close_view(&v);
	close_pair(&p);
}

/* What an earlier lap left must not be taken for a message, wherever the other one stands. */
static void a_full_ring_has_no_message_for_who_read_all(void **state)
{
	struct pair p = open_pair(SMALL_RING(.max_consumers = 2));
	struct krepis_endpoint *lazy;
	struct view v;
	struct krepis_msg msg;
	unsigned int count, i;

	(void)state;
	lazy = attach(p.channel, KREPIS_CONSUMER, 0);
	v = open_view(p.channel);
	for (size_t len = 0; len <= 64; len += 8) {
		play(&p, &v);
		while (!krepis_recv(lazy, &msg, KREPIS_NOWAIT))
			;
		/* More than once round. */
		for (int lap = 0; lap < 3; lap++) {
			count = send_until_full(p.producer, lap, len);
			for (i = 0; i < count; i++)
				assert_ok(krepis_recv(p.consumer, &msg, SHORTLY));
			assert_error(krepis_recv(p.consumer, &msg, SHORTLY), ETIMEDOUT);
			while (!krepis_recv(lazy, &msg, KREPIS_NOWAIT))
				;
			assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
		}
	}
	close_view(&v);
	krepis_detach(lazy);
	close_pair(&p);
}

/* ------------------------------------------------------------------- what is not true */

static void what_is_not_announced_comes_too(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct view v = open_view(p.channel);
	struct krepis_msg msg;
	uint64_t *header;

	(void)state;
	play(&p, &v);
	/* A producer that was killed after it moved the head. */
	header = next_header(&v);
	krepis_ring_describe(header, 8, 7, 0);
	header[1] = 42;
	krepis_ring_end(&header[2]);
	krepis_ring_publish(v.producer, v.producer->head + 16);
	assert_ok(krepis_recv(p.consumer, &msg, SOON));
	assert_int_equal(msg.type, 7);
	assert_int_equal(*(const uint64_t *)msg.data, 42);
	/* And one that was killed before: nothing was sent. */
	header = next_header(&v);
	krepis_ring_describe(header, 8, 7, 0);
	assert_error(krepis_recv(p.consumer, &msg, SHORTLY), ETIMEDOUT);
	close_view(&v);
	close_pair(&p);
}

static void what_is_announced_and_cannot_be_is_no_message(void **state)
{
	static const uint64_t words[] = {
		KREPIS_RING_HERE | UINT32_MAX,
		KREPIS_RING_HERE | 1017,			/* beyond inline_max */
		KREPIS_RING_HERE | 1ULL << 53 | 8,		/* an unknown flag */
		KREPIS_RING_HERE | (uint64_t)KREPIS_MSG_BUFFER << 48 | 4,
		KREPIS_RING_HERE | (uint64_t)KREPIS_MSG_BUFFER << 48 | 8,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		struct pair p = open_pair(SMALL_RING());
		struct view v = open_view(p.channel);
		struct krepis_msg msg;
		int err;

		play(&p, &v);
		krepis_write(next_header(&v), words[i]);
		err = krepis_recv(p.consumer, &msg, SHORTLY);
		assert_true(err == -ETIMEDOUT || err == -EPROTO);
		close_view(&v);
		close_pair(&p);
	}
}

static void a_record_beyond_the_head_is_the_last_one(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct view v = open_view(p.channel);
	struct krepis_msg msg;

	(void)state;
	play(&p, &v);
	krepis_ring_describe(next_header(&v), 8, 7, 0);
	krepis_ring_announce(next_header(&v));
	assert_ok(krepis_recv(p.consumer, &msg, SHORTLY));
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EPROTO);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_FOREVER), EPROTO);
	close_view(&v);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(all_comes_in_order),
		CLAIM(a_full_ring_has_no_message_for_who_read_all),
		CLAIM(what_is_not_announced_comes_too),
		CLAIM(what_is_announced_and_cannot_be_is_no_message),
		CLAIM(a_record_beyond_the_head_is_the_last_one),
	};

	return RUN("direct", tests);
}
