// SPDX-License-Identifier: MIT
/*
 * Waking: nobody makes a system call while both sides are awake, and no sleeper is forgotten.
 */
#include <sched.h>
#include <string.h>
#include <unistd.h>
#include "helpers.h"

#define LARGE		2000	/* goes into a buffer */
#define TOO_LONG	(under_valgrind() || under_emulator() ? 10000 * MS : 1000 * MS)

/* ------------------------------------------------------------------- while all are awake */

static void nobody_is_woken_while_all_are_awake(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_counters c;
	uint8_t data[LARGE];
	struct krepis_msg msg;

	(void)state;
	for (unsigned int n = 0; n < rounds(20000); n++) {
		size_t len = n % 4 ? n % 100 : LARGE;

		fill(data, len, n);
		assert_ok(krepis_send(p.producer, 1, data, len, SOON));
		assert_ok(krepis_recv(p.consumer, &msg, SOON));
		assert_true(filled(msg.data, len, n));
		assert_ok(krepis_release(p.consumer, &msg));
	}
	c = counters_of(p.producer);
	assert_true(c.wakes == 0 && c.waits == 0);
	c = counters_of(p.consumer);
	assert_true(c.wakes == 0 && c.waits == 0);
	close_pair(&p);
}

static void a_poller_is_never_woken(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	for (unsigned int n = 0; n < 1000; n++) {
		assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
		assert_ok(krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT));
		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	}
	assert_int_equal(counters_of(p.producer).wakes, 0);
	assert_int_equal(counters_of(p.consumer).waits, 0);
	close_pair(&p);
}

static void a_triple_wakes_nobody_who_is_awake(void **state)
{
	struct pair p = open_pair(SMALL_TRIPLE);
	struct krepis_msg msg;
	void *data;

	(void)state;
	for (unsigned int n = 0; n < 1000; n++) {
		assert_ok(krepis_triple_begin(p.producer, &data));
		assert_ok(krepis_triple_commit(p.producer, 1, 1));
		assert_ok(krepis_triple_read(p.consumer, &msg));
	}
	assert_int_equal(counters_of(p.producer).wakes, 0);
	close_pair(&p);
}

/* After a wait that timed out, the one who waited is awake. */
static void who_gave_up_waiting_is_awake(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	assert_error(krepis_recv(p.consumer, &msg, SHORTLY), ETIMEDOUT);
	assert_true(counters_of(p.consumer).waits > 0);
	for (int n = 0; n < 10; n++)
		assert_ok(krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT));
	assert_int_equal(counters_of(p.producer).wakes, 0);
	close_pair(&p);
}

/* -------------------------------------------------------------------- process pairs */

/*
 * Two channels, there and back. Every message waits for the one before it, so one
 * lost wake-up stops everything for longer than TOO_LONG.
 */
struct pingpong {
	struct krepis_channel *there;
	struct krepis_channel *back;
	uint32_t flags;
	uint64_t longest_pause_ns;
	unsigned int count;
	size_t len;
};

/* Often not at all, sometimes just long enough that the other falls asleep. */
static void random_pause(const struct pingpong *g)
{
	if (random_below(3))
		pause_for(random_below(g->longest_pause_ns));
}

static void echo(void *arg)
{
	struct pingpong *g = arg;
	struct krepis_endpoint *in = attach_inherited(g->there, KREPIS_CONSUMER, g->flags);
	struct krepis_endpoint *out = attach_inherited(g->back, KREPIS_PRODUCER, g->flags);
	struct krepis_msg msg;
	uint8_t data[LARGE];

	must(!krepis_wait_peer(out, 1, SOON));
	for (unsigned int n = 0; n < g->count; n++) {
		must(!krepis_recv(in, &msg, SOON));
		must(msg.len == g->len && filled(msg.data, msg.len, n));
		memcpy(data, msg.data, msg.len);
		must(!krepis_release(in, &msg));
		random_pause(g);
		must(!krepis_send(out, 1, data, g->len, SOON));
	}
	krepis_detach(in);
	krepis_detach(out);
}

static void play(struct pingpong g, const struct krepis_channel_options *options)
{
	struct krepis_endpoint *out, *in;
	uint8_t data[LARGE];
	int64_t longest = 0;
	pid_t child;

	g.there = anonymous(options);
	g.back = anonymous(options);
	child = spawn(echo, &g);
	out = attach(g.there, KREPIS_PRODUCER, g.flags);
	in = attach(g.back, KREPIS_CONSUMER, g.flags);
	assert_ok(krepis_wait_peer(out, 1, SOON));
	for (unsigned int n = 0; n < g.count; n++) {
		int64_t start = now_ns();

		fill(data, g.len, n);
		assert_ok(krepis_send(out, 1, data, g.len, SOON));
		recv_filled(in, n, 1, g.len);
		if (now_ns() - start > longest)
			longest = now_ns() - start;
		random_pause(&g);
	}
	join_child(child);
	if (longest > TOO_LONG)
		fail_msg("a round took %lld ms", (long long)(longest / MS));
	krepis_detach(in);
	krepis_detach(out);
	krepis_channel_close(g.there);
	krepis_channel_close(g.back);
}

static void no_wake_up_is_lost_by_sleepers(void **state)
{
	(void)state;
	play((struct pingpong){ .flags = KREPIS_ATTACH_NO_SPIN, .count = rounds(8000), .len = 8,
				.longest_pause_ns = 20000 }, SMALL_RING());
}

static void no_wake_up_is_lost_by_spinners(void **state)
{
	(void)state;
	play((struct pingpong){ .count = rounds(8000), .len = 8, .longest_pause_ns = 100000 },
	     SMALL_RING());
}

static void no_wake_up_is_lost_with_buffers(void **state)
{
	(void)state;
	play((struct pingpong){ .flags = KREPIS_ATTACH_NO_SPIN, .count = rounds(5000), .len = LARGE,
				.longest_pause_ns = 20000 }, SMALL_RING(.buffer_count = 1));
}

/*
 * One way, through a small ring, so that the producer waits for room and for
 * buffers as often as the consumer waits for messages.
 */
struct stream {
	struct krepis_channel *channel;
	uint32_t flags;
	unsigned int count;
	unsigned int pause_each;	/* the consumer stops for a moment after so many */
};

static size_t size_of(uint64_t n)
{
	return n % 7 ? n % 500 : LARGE;
}

static void slow_consumer(void *arg)
{
	struct stream *s = arg;
	struct krepis_endpoint *consumer = attach_inherited(s->channel, KREPIS_CONSUMER, s->flags);
	int64_t last = now_ns();
	struct krepis_msg msg;

	for (unsigned int n = 0; n < s->count; n++) {
		must(!krepis_recv(consumer, &msg, SOON));
		must(msg.len == size_of(n) && filled(msg.data, msg.len, n));
		must(!krepis_release(consumer, &msg));
		must(now_ns() - last < 10 * TOO_LONG);
		last = now_ns();
		if (s->pause_each && !(n % s->pause_each))
			pause_for(random_below(100000));
	}
	krepis_detach(consumer);
}

static void run_stream(struct stream s)
{
	struct krepis_endpoint *producer;
	uint8_t data[LARGE];
	int64_t longest = 0;
	pid_t child;

	s.channel = anonymous(SMALL_RING(.buffer_count = 2));
	child = spawn(slow_consumer, &s);
	producer = attach(s.channel, KREPIS_PRODUCER, s.flags);
	assert_ok(krepis_wait_peer(producer, 1, SOON));
	for (unsigned int n = 0; n < s.count; n++) {
		int64_t start = now_ns();

		fill(data, size_of(n), n);
		assert_ok(krepis_send(producer, 1, data, size_of(n), SOON));
		if (now_ns() - start > longest)
			longest = now_ns() - start;
	}
	assert_ok(krepis_drain(producer, SOON));
	join_child(child);
	if (longest > TOO_LONG)
		fail_msg("a message took %lld ms", (long long)(longest / MS));
	krepis_detach(producer);
	krepis_channel_close(s.channel);
}

static void a_producer_that_waits_for_room_is_woken(void **state)
{
	(void)state;
	run_stream((struct stream){ .count = rounds(40000), .pause_each = 10 });
}

static void a_producer_that_sleeps_for_room_is_woken(void **state)
{
	(void)state;
	run_stream((struct stream){ .count = rounds(40000), .flags = KREPIS_ATTACH_NO_SPIN });
}

static void slow_reader_of_values(void *arg)
{
	struct stream *s = arg;
	struct krepis_endpoint *consumer = attach_inherited(s->channel, KREPIS_CONSUMER, s->flags);
	struct krepis_msg msg;
	int err;

	while (!(err = krepis_wait(consumer, SOON))) {
		must(!krepis_triple_read(consumer, &msg));
		must(msg.flags & KREPIS_MSG_FRESH);
	}
	must(err == -KREPIS_PEER_GONE);
	krepis_detach(consumer);
}

static void a_reader_of_values_is_woken(void **state)
{
	struct stream s = { .flags = KREPIS_ATTACH_NO_SPIN, .channel = anonymous(SMALL_TRIPLE) };
	struct krepis_endpoint *producer;
	int64_t longest = 0;
	pid_t child;
	void *data;

	(void)state;
	child = spawn(slow_reader_of_values, &s);
	producer = attach(s.channel, KREPIS_PRODUCER, 0);
	assert_ok(krepis_wait_peer(producer, 1, SOON));
	for (unsigned int n = 1; n <= rounds(3000); n++) {
		int64_t start = now_ns();

		assert_ok(krepis_triple_begin(producer, &data));
		assert_ok(krepis_triple_commit(producer, 1, 8));
		assert_true(until(status_of(s.channel).consumers[0].messages == n));
		if (now_ns() - start > longest)
			longest = now_ns() - start;
		pause_for(random_below(20000));
	}
	/* Of an enforced triple the kernel wakes while it hands over. */
	assert_true(enforced() || counters_of(producer).wakes > 0);
	krepis_detach(producer);
	join_child(child);
	assert_true(longest < TOO_LONG);
	krepis_channel_close(s.channel);
}

/* ------------------------------------------------------------- at the very last moment */

/*
 * One side says that it is about to fall asleep, the other brings what it waits
 * for an instant later. From whether that needed a wake-up it learns whether it was
 * early or late, and so it stays where the two meet.
 */
struct moment {
	struct krepis_channel *channel;
	uint32_t *about_to_sleep;
	unsigned int count;
	cpu_set_t processors;
	uint64_t delay;
	uint64_t wakes;
};

static void spin(uint64_t loops)
{
	for (; loops; loops--)
		__asm__ volatile("" ::: "memory");
}

/* Each side on a processor of its own, or their steps never interleave. */
static void run_on(const struct moment *m, int which)
{
	cpu_set_t one;
	int cpu = -1;

	do {
		while (++cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &m->processors))
			;
	} while (which--);
	CPU_ZERO(&one);
	if (cpu < CPU_SETSIZE)
		CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static struct moment open_moment(const struct krepis_channel_options *options)
{
	struct moment m = {
		.channel = anonymous(options),
		.about_to_sleep = shared_memory(sizeof(uint32_t)),
		.count = rounds(40000),
	};

	sched_getaffinity(0, sizeof(m.processors), &m.processors);
	return m;
}

static void close_moment(struct moment *m, pid_t child)
{
	sched_setaffinity(0, sizeof(m->processors), &m->processors);
	join_child(child);
	krepis_channel_close(m->channel);
}

static bool await_sleeper(const struct moment *m, uint32_t n)
{
	int64_t end = SOON;
	unsigned int looks = 0;

	while (__atomic_load_n(m->about_to_sleep, __ATOMIC_ACQUIRE) <= n) {
		if (++looks % 100000)
			continue;
		if (now_ns() > end)
			return false;
		nap();
	}
	spin(m->delay + random_below(32));
	return true;
}

static void learn(struct moment *m, struct krepis_endpoint *endpoint)
{
	uint64_t wakes = counters_of(endpoint).wakes;

	if (wakes == m->wakes)
		m->delay += 4;
	else if (m->delay >= 4)
		m->delay -= 4;
	m->wakes = wakes;
}

/* The other side may need a moment, too. */
static void say_good_night(struct moment *m)
{
	post(m->about_to_sleep);
	spin(1000);
}

static void falling_consumer(void *arg)
{
	struct moment *m = arg;
	struct krepis_endpoint *consumer = attach_inherited(m->channel, KREPIS_CONSUMER,
							    KREPIS_ATTACH_NO_SPIN);
	struct krepis_msg msg;

	run_on(m, 1);
	must(!krepis_wait_peer(consumer, 1, SOON));
	for (unsigned int n = 0; n < m->count; n++) {
		int64_t deadline = krepis_deadline_ns(5 * TOO_LONG);

		say_good_night(m);
		must(!krepis_recv(consumer, &msg, deadline));
	}
	krepis_detach(consumer);
}

static void a_consumer_that_is_falling_asleep_is_woken(void **state)
{
	struct moment m = open_moment(SMALL_RING());
	struct krepis_endpoint *producer;
	pid_t child = spawn(falling_consumer, &m);

	(void)state;
	producer = attach(m.channel, KREPIS_PRODUCER, KREPIS_ATTACH_NO_SPIN);
	run_on(&m, 0);
	for (unsigned int n = 0; n < m.count; n++) {
		assert_true(await_sleeper(&m, n));
		assert_ok(krepis_send(producer, 1, "x", 1, SOON));
		learn(&m, producer);
	}
	close_moment(&m, child);
	krepis_detach(producer);
}

static void falling_producer(void *arg)
{
	struct moment *m = arg;
	struct krepis_endpoint *producer = attach_inherited(m->channel, KREPIS_PRODUCER,
							    KREPIS_ATTACH_NO_SPIN);
	struct krepis_buffer *buffer;

	run_on(m, 1);
	must(!krepis_wait_peer(producer, 1, SOON));
	for (unsigned int n = 0; n < m->count; n++) {
		int64_t deadline = krepis_deadline_ns(5 * TOO_LONG);

		must(!krepis_acquire(producer, &buffer, KREPIS_NOWAIT));
		must(!krepis_publish(producer, buffer, 1, 8, 0, SOON));
		say_good_night(m);
		must(!krepis_acquire(producer, &buffer, deadline));
		must(!krepis_abandon(producer, buffer));
	}
	krepis_detach(producer);
}

static void a_producer_that_is_falling_asleep_is_woken(void **state)
{
	struct moment m = open_moment(SMALL_RING(.buffer_count = 1));
	struct krepis_endpoint *consumer;
	struct krepis_msg msg;
	pid_t child = spawn(falling_producer, &m);

	(void)state;
	consumer = attach(m.channel, KREPIS_CONSUMER, KREPIS_ATTACH_NO_SPIN);
	run_on(&m, 0);
	for (unsigned int n = 0; n < m.count; n++) {
		assert_ok(krepis_recv(consumer, &msg, SOON));
		assert_true(await_sleeper(&m, n));
		assert_ok(krepis_release(consumer, &msg));
		learn(&m, consumer);
	}
	close_moment(&m, child);
	krepis_detach(consumer);
}

/* --------------------------------------------------------------- many are woken at once */

static void counting_consumer(void *arg)
{
	struct stream *s = arg;
	struct krepis_endpoint *consumer = attach_inherited(s->channel, KREPIS_CONSUMER, s->flags);

	recv_filled(consumer, 0, s->count, 8);
	krepis_detach(consumer);
}

static void all_consumers_are_woken(void **state)
{
	struct stream s = { .flags = KREPIS_ATTACH_NO_SPIN, .count = rounds(1000),
			    .channel = anonymous(SMALL_RING(.max_consumers = 6)) };
	struct krepis_endpoint *producer;
	pid_t children[6];
	uint8_t data[8];

	(void)state;
	for (int i = 0; i < 6; i++)
		children[i] = spawn(counting_consumer, &s);
	producer = attach(s.channel, KREPIS_PRODUCER, KREPIS_ATTACH_NO_SPIN);
	assert_ok(krepis_wait_peer(producer, 6, SOON));
	for (unsigned int n = 0; n < s.count; n++) {
		int64_t start = now_ns();

		fill(data, sizeof(data), n);
		assert_ok(krepis_send(producer, 1, data, sizeof(data), SOON));
		if (n < s.count - 1)
			assert_ok(krepis_drain(producer, SOON));
		assert_true(now_ns() - start < TOO_LONG);
	}
	for (int i = 0; i < 6; i++)
		join_child(children[i]);
	krepis_detach(producer);
	krepis_channel_close(s.channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(nobody_is_woken_while_all_are_awake),
		CLAIM(a_poller_is_never_woken),
		CLAIM(a_triple_wakes_nobody_who_is_awake),
		CLAIM(who_gave_up_waiting_is_awake),
		CLAIM(no_wake_up_is_lost_by_sleepers),
		CLAIM(no_wake_up_is_lost_by_spinners),
		CLAIM(no_wake_up_is_lost_with_buffers),
		CLAIM(a_producer_that_waits_for_room_is_woken),
		CLAIM(a_producer_that_sleeps_for_room_is_woken),
		CLAIM(a_reader_of_values_is_woken),
		CLAIM(a_consumer_that_is_falling_asleep_is_woken),
		CLAIM(a_producer_that_is_falling_asleep_is_woken),
		CLAIM(all_consumers_are_woken),
	};

	return RUN("wake", tests);
}
