// SPDX-License-Identifier: MIT
/*
 * Threads: what may be called from any of them is, by several at once; and two sides of a
 * channel work in one process as they do in two.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "helpers.h"

#define LARGE	2000	/* goes into a buffer */
#define WORKERS 4
#define CROWD	40	/* more than have caches */

static void start(pthread_t *thread, void *(*body)(void *arg), void *arg)
{
	assert_ok(pthread_create(thread, NULL, body, arg));
}

static void join(pthread_t thread)
{
	assert_ok(pthread_join(thread, NULL));
}

/* -------------------------------------------------------------------------- buffers */

struct acquirer {
	struct krepis_endpoint *producer;
	uint64_t number;
	unsigned int count;
};

/* What it acquired nobody else has. */
static void *acquire_and_abandon(void *arg)
{
	struct acquirer *a = arg;
	struct krepis_buffer *buffers[3];

	for (unsigned int n = 0; n < a->count; n++) {
		unsigned int got = 0;

		while (got < 1 + n % 3 &&
		       !krepis_acquire(a->producer, &buffers[got], KREPIS_NOWAIT)) {
			fill(krepis_buffer_data(buffers[got]), 256, a->number + got);
			got++;
		}
		if (!(n % 16))
			sched_yield();
		for (unsigned int i = 0; i < got; i++) {
			must(filled(krepis_buffer_data(buffers[i]), 256, a->number + i));
			must(!krepis_abandon(a->producer, buffers[i]));
		}
	}
	return NULL;
}

static void several_threads_acquire_and_abandon(unsigned int workers, unsigned int count,
						uint32_t flags)
{
	struct krepis_channel *channel = anonymous(SMALL_RING(.buffer_count = 8));
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, flags);
	struct acquirer acquirers[CROWD];
	pthread_t threads[CROWD];

	for (unsigned int i = 0; i < workers; i++) {
		acquirers[i] = (struct acquirer){ producer, 1000 * i, count };
		start(&threads[i], acquire_and_abandon, &acquirers[i]);
	}
	for (unsigned int i = 0; i < workers; i++)
		join(threads[i]);
	assert_int_equal(count_free(producer), 8);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void no_buffer_is_acquired_twice(void **state)
{
	(void)state;
	several_threads_acquire_and_abandon(WORKERS, rounds(50000), 0);
}

static void no_buffer_is_acquired_twice_without_caches(void **state)
{
	(void)state;
	several_threads_acquire_and_abandon(WORKERS, rounds(50000), KREPIS_ATTACH_NO_CACHE);
}

static void caches_go_from_thread_to_thread(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		several_threads_acquire_and_abandon(CROWD, rounds(500), 0);
}

struct abandoner {
	struct krepis_channel *channel;
	struct krepis_endpoint *producer;
	struct krepis_buffer *buffer;
};

static void *abandon_when_asleep(void *arg)
{
	struct abandoner *a = arg;

	must(falls_asleep(a->channel, THE_PRODUCER, 0));
	must(!krepis_abandon(a->producer, a->buffer));
	return NULL;
}

static void a_waiting_acquire_gets_what_another_thread_abandons(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct abandoner a = { .channel = p.channel, .producer = p.producer };
	struct krepis_buffer *buffer;
	pthread_t thread;
	int err;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &a.buffer, KREPIS_NOWAIT));
	start(&thread, abandon_when_asleep, &a);
	err = krepis_acquire(p.producer, &buffer, krepis_deadline_ms(3000));
	join(thread);
	close_pair(&p);
	assert_ok(err);
}

/* ------------------------------------------------------------------- shared messages */

/* Messages on their way from the consumer's thread to the workers. */
struct queue {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct krepis_msg msgs[64];
	unsigned int head, tail;
	bool closed;
};

static void enqueue(struct queue *q, const struct krepis_msg *msg)
{
	pthread_mutex_lock(&q->lock);
	while (q->head - q->tail == ARRAY_SIZE(q->msgs))
		pthread_cond_wait(&q->changed, &q->lock);
	q->msgs[q->head++ % ARRAY_SIZE(q->msgs)] = *msg;
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

static bool dequeue(struct queue *q, struct krepis_msg *msg)
{
	bool got;

	pthread_mutex_lock(&q->lock);
	while (q->head == q->tail && !q->closed)
		pthread_cond_wait(&q->changed, &q->lock);
	got = q->head != q->tail;
	if (got)
		*msg = q->msgs[q->tail++ % ARRAY_SIZE(q->msgs)];
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
	return got;
}

static void close_queue(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	q->closed = true;
	pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
}

static void *put_what_is_shared(void *arg)
{
	struct krepis_msg msg;

	while (dequeue(arg, &msg)) {
		must(filled(msg.data, msg.len, msg.type));
		must(!krepis_msg_put(&msg));
	}
	return NULL;
}

struct sender {
	struct krepis_endpoint *producer;
	unsigned int count;
	size_t (*size_of)(unsigned int n);
};

static size_t always_large(unsigned int n)
{
	return LARGE + n % 100;
}

static void *send_all(void *arg)
{
	struct sender *s = arg;
	uint8_t data[LARGE + 100];

	for (unsigned int n = 0; n < s->count; n++) {
		size_t len = s->size_of(n);

		fill(data, len, (uint16_t)n);
		must(!krepis_send(s->producer, (uint16_t)n, data, len, SOON));
	}
	return NULL;
}

static void messages_are_shared_with_other_threads(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct queue queue = { .lock = PTHREAD_MUTEX_INITIALIZER,
			       .changed = PTHREAD_COND_INITIALIZER };
	struct sender sender = { p.producer, rounds(20000), always_large };
	pthread_t workers[WORKERS], producing;
	struct krepis_msg msg;

	(void)state;
	for (int i = 0; i < WORKERS; i++)
		start(&workers[i], put_what_is_shared, &queue);
	start(&producing, send_all, &sender);
	for (unsigned int n = 0; n < sender.count; n++) {
		unsigned int shares = n % 3;

		assert_ok(krepis_recv(p.consumer, &msg, SOON));
		assert_int_equal(msg.type, (uint16_t)n);
		for (unsigned int i = 0; i < shares; i++)
			assert_ok(krepis_msg_get(&msg));
		for (unsigned int i = 0; i < shares; i++)
			enqueue(&queue, &msg);
		/* The last one of all releases it, whoever that is. */
		assert_ok(krepis_release(p.consumer, &msg));
	}
	close_queue(&queue);
	for (int i = 0; i < WORKERS; i++)
		join(workers[i]);
	join(producing);
	assert_int_equal(count_free(p.producer), 4);
	close_pair(&p);
}

/* -------------------------------------------------------------- both sides in one process */

static size_t inline_sizes(unsigned int n)
{
	return n % 1000;
}

static size_t both_sizes(unsigned int n)
{
	return n % 5 ? n % 1000 : LARGE;
}

static void stream(const struct krepis_channel_options *options, unsigned int count,
		   size_t (*size_of)(unsigned int n))
{
	struct pair p = open_pair(options);
	struct sender sender = { p.producer, count, size_of };
	uint64_t received = 0, lost = 0;
	struct krepis_msg msg;
	pthread_t producing;

	start(&producing, send_all, &sender);
	while (received + lost < count) {
		unsigned int n = (unsigned int)(received + lost);
		int err = krepis_recv(p.consumer, &msg, SOON);

		if (err == -KREPIS_ELAPPED) {
			lost += msg.lost;
			continue;
		}
		assert_ok(err);
		assert_int_equal(msg.type, (uint16_t)n);
		assert_int_equal(msg.len, size_of(n));
		assert_true(filled(msg.data, msg.len, (uint16_t)n));
		assert_ok(krepis_release(p.consumer, &msg));
		received++;
	}
	join(producing);
	assert_true(!lost || options->backpressure == KREPIS_OVERWRITE);
	close_pair(&p);
}

static void inline_messages_stream_between_threads(void **state)
{
	(void)state;
	stream(SMALL_RING(), rounds(200000), inline_sizes);
}

static void buffers_stream_between_threads(void **state)
{
	(void)state;
	stream(SMALL_RING(), rounds(100000), both_sizes);
}

static void overwritten_messages_stream_between_threads(void **state)
{
	(void)state;
	stream(SMALL_RING(.backpressure = KREPIS_OVERWRITE), rounds(200000), both_sizes);
}

static void *publish_all(void *arg)
{
	struct sender *s = arg;
	void *data;

	for (unsigned int n = 1; n <= s->count; n++) {
		must(!krepis_triple_begin(s->producer, &data));
		fill(data, 4096, n);
		must(!krepis_triple_commit(s->producer, (uint16_t)n, 4096));
		if (!(n % 64))
			sched_yield();
	}
	return NULL;
}

static void values_stream_between_threads(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	struct sender sender = { .producer = p.producer, .count = rounds(50000) };
	uint64_t last = 0;
	struct krepis_msg msg;
	pthread_t producing;

	(void)state;
	start(&producing, publish_all, &sender);
	while (last < sender.count) {
		assert_ok(krepis_wait(p.consumer, SOON));
		assert_ok(krepis_triple_read(p.consumer, &msg));
		assert_true(msg.sequence > last);
		assert_true(filled(msg.data, 4096, msg.sequence));
		last = msg.sequence;
	}
	join(producing);
	close_pair(&p);
}

/* ------------------------------------------------------------------- from other threads */

static void *receive_until_shutdown(void *arg)
{
	struct krepis_msg msg;
	int err;

	while (!(err = krepis_recv(arg, &msg, KREPIS_FOREVER)))
		must(!krepis_release(arg, &msg));
	must(err == -ESHUTDOWN);
	return NULL;
}

static void *send_until_shutdown(void *arg)
{
	uint8_t data[LARGE] = { 0 };
	int err;

	for (unsigned int n = 0;; n++) {
		err = krepis_send(arg, 1, data, both_sizes(n), KREPIS_FOREVER);
		if (err)
			break;
	}
	must(err == -ESHUTDOWN);
	return NULL;
}

static void shutdown_stops_threads_at_work(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < rounds(100); round++) {
		struct pair p = open_pair(SMALL_RING());
		pthread_t producing, consuming;

		start(&consuming, receive_until_shutdown, p.consumer);
		start(&producing, send_until_shutdown, p.producer);
		for (uint64_t i = random_below(20); i; i--)
			nap();
		krepis_shutdown(p.producer);
		join(producing);
		krepis_shutdown(p.consumer);
		join(consuming);
		close_pair(&p);
	}
}

struct watcher {
	struct pair *pair;
	bool stop;
};

static void *query_often(void *arg)
{
	struct watcher *w = arg;
	uint64_t last = 0;

	while (!__atomic_load_n(&w->stop, __ATOMIC_ACQUIRE)) {
		uint64_t messages = counters_of(w->pair->producer).messages;

		must(messages >= last);
		last = messages;
		must(counters_of(w->pair->consumer).messages <= status_of(w->pair->channel)
								       .counters.messages);
	}
	return NULL;
}

static void queries_are_answered_while_messages_flow(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct sender sender = { p.producer, rounds(50000), inline_sizes };
	struct watcher watcher = { .pair = &p };
	pthread_t watching, producing;

	(void)state;
	start(&watching, query_often, &watcher);
	start(&producing, send_all, &sender);
	for (unsigned int n = 0; n < sender.count; n++)
		recv_filled(p.consumer, (uint16_t)n, 1, inline_sizes(n));
	join(producing);
	__atomic_store_n(&watcher.stop, true, __ATOMIC_RELEASE);
	join(watching);
	close_pair(&p);
}

static void *attach_often(void *arg)
{
	struct krepis_channel *channel = arg;

	for (unsigned int n = 0; n < rounds(300); n++) {
		struct krepis_channel *own = anonymous(SMALL_RING());
		struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);

		must(connected(own, own));
		krepis_channel_close(own);
		krepis_detach(consumer);
	}
	return NULL;
}

static void several_threads_attach_and_detach(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);
	pthread_t attaching[WORKERS];

	(void)state;
	for (int i = 0; i < WORKERS; i++)
		start(&attaching[i], attach_often, channel);
	for (int i = 0; i < WORKERS; i++)
		join(attaching[i]);
	assert_int_equal(status_of(channel).live, 0);
	assert_int_equal(status_of(channel).deaths, 0);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(no_buffer_is_acquired_twice),
		CLAIM(no_buffer_is_acquired_twice_without_caches),
		CLAIM(caches_go_from_thread_to_thread),
		CLAIM(a_waiting_acquire_gets_what_another_thread_abandons),
		CLAIM(messages_are_shared_with_other_threads),
		CLAIM(inline_messages_stream_between_threads),
		CLAIM(buffers_stream_between_threads),
		CLAIM(overwritten_messages_stream_between_threads),
		CLAIM(values_stream_between_threads),
		CLAIM(shutdown_stops_threads_at_work),
		CLAIM(queries_are_answered_while_messages_flow),
		CLAIM(several_threads_attach_and_detach),
	};

	return RUN("thread", tests);
}
