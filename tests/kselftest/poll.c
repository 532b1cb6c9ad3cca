// SPDX-License-Identifier: MIT
/*
 * poll(2) and epoll(7): level-triggered, and a sleeper is announced by the poll
 * itself, so that a publisher who looks at the wait word knows whom to wake.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>
#include <krepis/triple.h>
#include "util.h"

#define ALL (POLLIN | POLLOUT)

static int polled(int fd, short events, int ms)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, ms) == 1 ? p.revents : 0;
}

FIXTURE(ring)
{
	int channel;
	struct side producer, consumer;
};

FIXTURE_VARIANT(ring)
{
	__u32 backpressure;
};

FIXTURE_VARIANT_ADD(ring, block) { KREPIS_BLOCK };
FIXTURE_VARIANT_ADD(ring, fail) { KREPIS_FAIL };
FIXTURE_VARIANT_ADD(ring, overwrite) { KREPIS_OVERWRITE };

FIXTURE_SETUP(ring)
{
	struct krepis_geometry g = small_ring();

	g.backpressure = variant->backpressure;
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
}

FIXTURE_TEARDOWN(ring)
{
}

TEST_F(ring, consumer_is_ready_while_there_is_something_to_read)
{
	int i;

	EXPECT_EQ(0, polled(self->consumer.fd, ALL, 0));
	for (i = 0; i < 3; i++) {
		publish(&self->producer);
		EXPECT_EQ(POLLIN, polled(self->consumer.fd, ALL, 0));
		EXPECT_EQ(POLLIN, polled(self->consumer.fd, ALL, 0));
		EXPECT_EQ(0, polled(self->consumer.fd, POLLOUT, 0));
		consume(&self->consumer);
		EXPECT_EQ(0, polled(self->consumer.fd, ALL, 0));
	}
}

TEST_F(ring, producer_is_ready_while_the_largest_record_fits)
{
	__u64 size = self->producer.layout.payload - self->producer.layout.ring;
	__u64 record = sizeof(struct krepis_record) + self->producer.geometry.inline_max;
	__u64 room = size - sizeof(struct krepis_record);
	int full = variant->backpressure == KREPIS_OVERWRITE ? POLLOUT : 0;

	EXPECT_EQ(POLLOUT, polled(self->producer.fd, ALL, 0));
	self->producer.producer->head = room - record;
	EXPECT_EQ(POLLOUT, polled(self->producer.fd, ALL, 0));
	self->producer.producer->head = room - record + 8;
	EXPECT_EQ(full, polled(self->producer.fd, ALL, 0));
	self->producer.producer->head = size;
	EXPECT_EQ(full, polled(self->producer.fd, ALL, 0));
	consume(&self->consumer);
	EXPECT_EQ(POLLOUT, polled(self->producer.fd, ALL, 0));
}

TEST_F(ring, slowest_consumer_says_whether_there_is_room)
{
	__u64 size = self->producer.layout.payload - self->producer.layout.ring;
	int full = variant->backpressure == KREPIS_OVERWRITE ? POLLOUT : 0;
	struct side slow;

	ASSERT_EQ(0, side_open(&slow, self->channel, KREPIS_CONSUMER));
	self->producer.producer->head = size;
	consume(&self->consumer);
	EXPECT_EQ(full, polled(self->producer.fd, ALL, 0));
	consume(&slow);
	EXPECT_EQ(POLLOUT, polled(self->producer.fd, ALL, 0));
}

/* A tail that makes no sense is the consumer's own damage. */
TEST_F(ring, consumer_with_an_impossible_tail_gives_no_room)
{
	int want = variant->backpressure == KREPIS_OVERWRITE ? POLLOUT : 0;

	consumer_of(&self->consumer, 0)->tail = 1ULL << 40;
	EXPECT_EQ(want, polled(self->producer.fd, ALL, 0));
	consumer_of(&self->consumer, 0)->tail = ~0ULL;
	self->producer.producer->head = 1ULL << 40;
	EXPECT_EQ(want, polled(self->producer.fd, ALL, 0));
}

/* ------------------------------------------------------------------- hanging up */

TEST_F(ring, no_hang_up_before_a_peer_came)
{
	struct krepis_geometry g = small_ring();
	int fd = new_channel(&g), producer, consumer;

	producer = attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);
	EXPECT_EQ(0, polled(producer, ALL, 0));
	fd = new_channel(&g);
	consumer = attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);
	EXPECT_EQ(0, polled(consumer, ALL, 0));
}

TEST_F(ring, consumer_sees_that_the_producer_is_gone)
{
	publish(&self->producer);
	side_close(&self->producer);
	EXPECT_EQ(POLLIN | POLLHUP, polled(self->consumer.fd, ALL, 0));
	EXPECT_EQ(POLLHUP, polled(self->consumer.fd, 0, 0));
	consume(&self->consumer);
	EXPECT_EQ(POLLHUP, polled(self->consumer.fd, ALL, 0));
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	EXPECT_EQ(0, polled(self->consumer.fd, ALL, 0));
}

TEST_F(ring, producer_sees_that_all_consumers_are_gone)
{
	struct side other;

	ASSERT_EQ(0, side_open(&other, self->channel, KREPIS_CONSUMER));
	side_close(&self->consumer);
	EXPECT_EQ(POLLOUT, polled(self->producer.fd, ALL, 0));
	side_close(&other);
	EXPECT_EQ(POLLHUP, polled(self->producer.fd, ALL, 0));
	ASSERT_EQ(0, side_open(&other, self->channel, KREPIS_CONSUMER));
	EXPECT_EQ(POLLOUT, polled(self->producer.fd, ALL, 0));
}

/* It came and went between two polls. */
TEST_F(ring, peer_that_only_looked_in_is_seen_to_be_gone)
{
	struct krepis_geometry g = small_ring();
	int fd = new_channel(&g), producer, consumer;

	producer = attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);
	close(attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	EXPECT_EQ(POLLHUP, polled(producer, ALL, 0));
	close(producer);
	/* Those who were there before one came are none of its business. */
	consumer = attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);
	EXPECT_EQ(0, polled(consumer, ALL, 0));
	close(attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	EXPECT_EQ(POLLHUP, polled(consumer, ALL, 0));
}

TEST_F(ring, sleeper_wakes_when_the_peer_dies)
{
	struct krepis_geometry g = small_ring();
	int fd = new_channel(&g), consumer = attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);
	pid_t pid = child(), victim;

	if (!pid)
		_exit(polled(consumer, POLLIN, -1) == POLLHUP ? 0 : 1);
	ASSERT_TRUE(until_sleeps_in(pid, SYS_poll));
	victim = child();
	if (!victim) {
		attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);
		pause();
		_exit(0);
	}
	ASSERT_TRUE(until_sleeps_in(victim, SYS_pause));
	EXPECT_TRUE(until_sleeps_in(pid, SYS_poll));
	kill_and_reap(victim);
	EXPECT_EQ(0, reap(pid));
}

TEST_F(ring, descriptor_without_the_right_to_wait_is_an_error)
{
	int fd = derive(self->consumer.fd, KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WAIT);

	publish(&self->producer);
	EXPECT_EQ(POLLERR, polled(fd, ALL, 0));
	EXPECT_EQ(POLLERR, polled(fd, ALL, -1));
	EXPECT_EQ(POLLIN, polled(self->consumer.fd, ALL, 0));
}

TEST_F(ring, stopped_endpoint_is_ready_from_then_on)
{
	const int all = POLLIN | POLLRDHUP;
	pid_t pid = child();

	if (!pid)
		_exit(polled(self->consumer.fd, all, -1) == all ? 0 : 1);
	ASSERT_TRUE(until_sleeps_in(pid, SYS_poll));
	ASSERT_EQ(0, wake(self->consumer.fd, 0, KREPIS_WAKE_SELF));
	pause_ms(10);
	EXPECT_TRUE(until_sleeps_in(pid, SYS_poll));
	ASSERT_EQ(0, wake(self->consumer.fd, 0, KREPIS_WAKE_SELF | KREPIS_WAKE_STOP));
	EXPECT_EQ(0, reap(pid));
	EXPECT_EQ(all, polled(self->consumer.fd, all, 0));
	EXPECT_EQ(POLLOUT, polled(self->producer.fd, all | POLLOUT, 0));
	ASSERT_EQ(0, wake(self->producer.fd, 0, KREPIS_WAKE_SELF | KREPIS_WAKE_STOP));
	EXPECT_EQ(all | POLLOUT, polled(self->producer.fd, all | POLLOUT, 0));
}

/* ----------------------------------------------------------------- announcing */

/* As the library's publisher: calls WAKE if there is a sleep that was not answered. */
static int wake_sleeper(const struct side *s, __u32 *answered)
{
	__u32 waiting;

	krepis_mb();
	waiting = krepis_load_acquire(&consumer_of(s, 0)->waiter.waiting);
	if (!(waiting & KREPIS_ASLEEP) || waiting == *answered)
		return 0;
	*answered = waiting;
	return wake(s->fd, 1, 0) ? -1 : 1;
}

TEST_F(ring, poll_announces_the_sleeper)
{
	struct krepis_waiter *c = &consumer_of(&self->consumer, 0)->waiter;
	struct krepis_waiter *p = &self->producer.producer->waiter;
	__u32 was;

	EXPECT_EQ(0, c->waiting & (KREPIS_ASLEEP | KREPIS_FENCE));
	was = c->waiting;
	EXPECT_EQ(0, polled(self->consumer.fd, POLLIN, 0));
	EXPECT_EQ(KREPIS_ASLEEP | KREPIS_FENCE, c->waiting & (KREPIS_ASLEEP | KREPIS_FENCE));
	EXPECT_NE(was / KREPIS_SLEEP, c->waiting / KREPIS_SLEEP);
	was = c->waiting;
	EXPECT_EQ(0, polled(self->consumer.fd, POLLIN, 0));
	EXPECT_NE(was / KREPIS_SLEEP, c->waiting / KREPIS_SLEEP);
	self->producer.producer->head = 1 << 13;
	polled(self->producer.fd, POLLOUT, 0);
	EXPECT_EQ(KREPIS_ASLEEP | KREPIS_FENCE, p->waiting & (KREPIS_ASLEEP | KREPIS_FENCE));
}

/*
 * Reads @count messages in an epoll loop that knows nothing of wait words.
 * Return: 0, or 1 after ten seconds without a message.
 */
static int epoll_loop(const struct side *s, int ep, __u32 events, __u64 count)
{
	struct epoll_event e = { .events = events, .data.u32 = 7 };

	if (epoll_ctl(ep, EPOLL_CTL_ADD, s->fd, &e))
		return 2;
	while (consumer_of(s, 0)->tail != 8 * count) {
		if (epoll_wait(ep, &e, 1, 10000) != 1 || e.data.u32 != 7)
			return 1;
		consume(s);
		e = (struct epoll_event) { .events = events, .data.u32 = 7 };
		if ((events & EPOLLONESHOT) && epoll_ctl(ep, EPOLL_CTL_MOD, s->fd, &e))
			return 2;
	}
	return 0;
}

FIXTURE(loop)
{
	struct side producer, consumer;
};

FIXTURE_VARIANT(loop)
{
	__u32 events;
};

FIXTURE_VARIANT_ADD(loop, level) { EPOLLIN };
FIXTURE_VARIANT_ADD(loop, edge) { EPOLLIN | EPOLLET };
FIXTURE_VARIANT_ADD(loop, oneshot) { EPOLLIN | EPOLLONESHOT };
FIXTURE_VARIANT_ADD(loop, exclusive) { EPOLLIN | EPOLLEXCLUSIVE };
FIXTURE_VARIANT_ADD(loop, exclusive_edge) { EPOLLIN | EPOLLEXCLUSIVE | EPOLLET };

FIXTURE_SETUP(loop)
{
	struct krepis_geometry g = small_ring();
	int fd = new_channel(&g);

	ASSERT_EQ(0, side_open(&self->producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, fd, KREPIS_CONSUMER));
}

FIXTURE_TEARDOWN(loop)
{
}

static pid_t loop_child(const struct side *s, int ep, __u32 events, __u64 count)
{
	pid_t pid = child();

	if (!pid) {
		struct side mine;

		_exit(side_map(&mine, s->fd) ? 3 : epoll_loop(&mine, ep, events, count));
	}
	return pid;
}

/* Each message is published to one who sleeps for sure. */
TEST_F(loop, publisher_who_looks_at_the_word_wakes_the_sleeper)
{
	pid_t pid = loop_child(&self->consumer, epoll_create1(0), variant->events, 20);
	__u32 answered = 0;
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_TRUE(within_ms(5000, consumer_of(&self->producer, 0)->tail == 8U * i));
		ASSERT_TRUE(until_sleeps_in(pid, SYS_epoll_wait));
		publish(&self->producer);
		EXPECT_EQ(1, wake_sleeper(&self->producer, &answered));
	}
	EXPECT_EQ(0, reap(pid));
}

/* And to one who may be anywhere: whoever is missed would be so for ever. */
TEST_F(loop, no_message_is_missed_at_any_pace)
{
	const int count = 2000;
	pid_t pid = loop_child(&self->consumer, epoll_create1(0), variant->events, count);
	__u32 answered = 0;
	int i, spin;

	srand(1);
	for (i = 0; i < count; i++) {
		for (spin = rand() % 4000; spin; spin--)
			krepis_barrier();
		publish(&self->producer);
		ASSERT_LE(0, wake_sleeper(&self->producer, &answered));
	}
	EXPECT_EQ(0, reap(pid));
}

TEST_F(loop, one_of_several_sleepers_wakes_at_least)
{
	__u32 answered = 0;
	pid_t pid[3];
	int i;

	for (i = 0; i < 3; i++) {
		pid[i] = loop_child(&self->consumer, epoll_create1(0), variant->events, 1);
		ASSERT_TRUE(until_sleeps_in(pid[i], SYS_epoll_wait));
	}
	publish(&self->producer);
	EXPECT_EQ(1, wake_sleeper(&self->producer, &answered));
	EXPECT_TRUE(within_ms(5000, consumer_of(&self->producer, 0)->tail == 8));
	/* The others may have found that there is nothing to read any more. */
	for (i = 0; i < 3; i++)
		kill_and_reap(pid[i]);
}

TEST_F(loop, epoll_in_an_epoll_works)
{
	int inner = epoll_create1(0), outer = epoll_create1(0);
	struct epoll_event e = { .events = variant->events };
	__u32 answered = 0;

	ASSERT_EQ(0, epoll_ctl(inner, EPOLL_CTL_ADD, self->consumer.fd, &e));
	e.events = EPOLLIN;
	ASSERT_EQ(0, epoll_ctl(outer, EPOLL_CTL_ADD, inner, &e));
	EXPECT_EQ(0, epoll_wait(outer, &e, 1, 0));
	publish(&self->producer);
	EXPECT_EQ(1, wake_sleeper(&self->producer, &answered));
	EXPECT_EQ(1, epoll_wait(outer, &e, 1, 5000));
}

TEST_F(loop, closed_descriptor_leaves_the_epoll)
{
	int ep = epoll_create1(0);
	struct epoll_event e = { .events = variant->events };

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, self->consumer.fd, &e));
	publish(&self->producer);
	side_close(&self->consumer);
	EXPECT_EQ(0, epoll_wait(ep, &e, 1, 0));
	EXPECT_EQ(POLLHUP, polled(self->producer.fd, 0, 0));
}

TEST(oneshot_reports_once_until_it_is_armed_again)
{
	struct krepis_geometry g = small_ring();
	struct epoll_event e = { .events = EPOLLIN | EPOLLONESHOT };
	int fd = new_channel(&g), ep = epoll_create1(0);
	struct side producer, consumer;

	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, consumer.fd, &e));
	publish(&producer);
	wake(producer.fd, 1, 0);
	EXPECT_EQ(1, epoll_wait(ep, &e, 1, 1000));
	publish(&producer);
	wake(producer.fd, 1, 0);
	EXPECT_EQ(0, epoll_wait(ep, &e, 1, 20));
	e.events = EPOLLIN | EPOLLONESHOT;
	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_MOD, consumer.fd, &e));
	EXPECT_EQ(1, epoll_wait(ep, &e, 1, 1000));
}

/* ------------------------------------------------------------------------ triple */

TEST(triple_is_ready_by_what_is_fresh)
{
	struct krepis_geometry g = small_triple();
	int fd = new_channel(&g);
	struct side producer, consumer;
	__u32 count;
	int i, back, front;

	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	EXPECT_EQ(0, polled(producer.fd, ALL, 0));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	back = (int)producer.producer->back;
	front = (int)consumer_of(&consumer, 0)->front;
	for (i = 1; i < 4; i++) {
		EXPECT_EQ(0, polled(consumer.fd, ALL, 0));
		EXPECT_EQ(POLLOUT, polled(producer.fd, ALL, 0));
		back = krepis_triple_publish(producer.exchange, &producer.producer->back, back, i);
		ASSERT_LE(0, back);
		EXPECT_EQ(POLLIN, polled(consumer.fd, ALL, 0));
		front = krepis_triple_take(consumer.exchange, &consumer_of(&consumer, 0)->front,
					   front, &count);
		ASSERT_LE(0, front);
		EXPECT_EQ(i, count);
	}
	side_close(&producer);
	EXPECT_EQ(POLLHUP, polled(consumer.fd, ALL, 0));
}

TEST_HARNESS_MAIN
