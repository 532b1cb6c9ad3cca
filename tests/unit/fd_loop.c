// SPDX-License-Identifier: MIT
/*
 * krepis_fd() in loops: nothing is lost between processes that poll for long, nor of a
 * ring that overwrites, nor where polling is mixed with other ways to wait.
 */
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "fd.h"
#include "helpers.h"
#include "view.h"

/* ------------------------------------------------------------------------ overwrite */

static void a_lapped_consumer_is_told(void **state)
{
	struct pair p = open_pair(SMALL_RING(.backpressure = KREPIS_OVERWRITE));
	struct pollfd in = { .fd = krepis_fd(p.consumer), .events = POLLIN };
	struct krepis_msg msg;
	uint8_t data[512] = { 0 };
	int err;

	(void)state;
	assert_int_equal(poll(&in, 1, QUIET_MS), 0);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 40; i++)
			assert_ok(krepis_send(p.producer, 1, data, 512, KREPIS_NOWAIT));
		assert_int_equal(poll(&in, 1, SOON_MS), 1);
		assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), KREPIS_ELAPPED);
		assert_int_equal(poll(&in, 1, SOON_MS), 1);
		while (!(err = krepis_recv(p.consumer, &msg, KREPIS_NOWAIT)))
			;
		assert_int_equal(err, -EAGAIN);
		assert_int_equal(poll(&in, 1, QUIET_MS), 0);
	}
	close_pair(&p);
}

static void a_producer_that_overwrites_is_told_while_a_consumer_is_there(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING(.backpressure = KREPIS_OVERWRITE));
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0), *consumer;
	struct pollfd p = { .fd = krepis_fd(producer), .events = POLLIN | POLLOUT };

	(void)state;
	assert_int_equal(poll(&p, 1, QUIET_MS), 0);
	consumer = attach(channel, KREPIS_CONSUMER, 0);
	for (int i = 0; i < 100; i++) {
		assert_ok(krepis_send(producer, 1, "overwriting", 11, KREPIS_NOWAIT));
		assert_int_equal(poll(&p, 1, SOON_MS), 1);
	}
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

/*
 * A lapped consumer meets a producer that stopped in the middle of moving its
 * marks: there is nothing to read yet, and when there is, it is told.
 */
static void a_consumer_that_met_moving_marks_is_told_when_they_stand(void **state)
{
	struct pair p = open_pair(SMALL_RING(.backpressure = KREPIS_OVERWRITE));
	struct krepis_msg msg;
	uint8_t data[512] = { 0 };
	struct view v;
	int epoll;

	(void)state;
	v = open_view(p.channel);
	epoll = epoll_of(krepis_fd(p.consumer), EPOLLIN | EPOLLET);
	for (int i = 0; i < 40; i++)
		assert_ok(krepis_send(p.producer, 1, data, 512, KREPIS_NOWAIT));
	assert_true(epoll_tells(epoll, SOON_MS));
	__atomic_fetch_add(&v.producer->version, 1, __ATOMIC_SEQ_CST);
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	__atomic_fetch_sub(&v.producer->version, 1, __ATOMIC_SEQ_CST);
	assert_ok(krepis_send(p.producer, 1, data, 512, KREPIS_NOWAIT));
	assert_true(epoll_tells(epoll, 2000));
	close(epoll);
	close_view(&v);
	close_pair(&p);
}

/* --------------------------------------------------------- between processes, for long */

/*
 * What a child sends. The last message says so. The child comes first, and finds no
 * thread of its parent's.
 */
struct flow {
	struct krepis_channel *channel;
	unsigned int count;
	bool buffers;
};

#define LAST 2

/* Mostly none; sometimes too short for a sleep to begin, sometimes long enough. */
static void pause_at_random(void)
{
	uint64_t n = random_below(8);

	if (n == 0)
		nap();
	else if (n == 1)
		pause_for(random_below(20000));
}

static void sending_child(void *arg)
{
	struct flow *f = arg;
	struct krepis_endpoint *producer = attach_inherited(f->channel, KREPIS_PRODUCER, 0);
	uint8_t data[LARGE] = { 0 };

	must(!krepis_wait_peer(producer, 1, SOON));
	for (unsigned int i = 0; i < f->count; i++) {
		pause_at_random();
		memcpy(data, &i, sizeof(i));
		must(!krepis_send(producer, i + 1 < f->count ? 1 : LAST, data,
				  f->buffers && i % 8 == 7 ? LARGE : sizeof(i), SOON));
	}
	krepis_detach(producer);
}

/* The next message of sending_child(), which must be number @n. */
static bool is_number(const struct krepis_msg *msg, unsigned int n)
{
	unsigned int found;

	memcpy(&found, msg->data, sizeof(found));
	return found == n;
}

/* Receives all by a loop over epoll; how many came in order. */
static unsigned int loop_over_epoll(struct krepis_endpoint *consumer, int epoll, unsigned int count)
{
	unsigned int n = 0;
	struct krepis_msg msg;
	int err;

	while (n < count && epoll_tells(epoll, SOON_MS)) {
		while (!(err = krepis_recv(consumer, &msg, KREPIS_NOWAIT))) {
			must(is_number(&msg, n));
			must(!krepis_release(consumer, &msg));
			n++;
		}
		must(err == -EAGAIN || (err == -KREPIS_PEER_GONE && n == count));
	}
	return n;
}

static void receive_from_a_child(uint32_t events, unsigned int count)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct flow flow = { channel, count, true };
	pid_t child = spawn(sending_child, &flow);
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);
	int epoll = epoll_of(krepis_fd(consumer), events);

	assert_int_equal(loop_over_epoll(consumer, epoll, count), count);
	join_child(child);
	close(epoll);
	krepis_detach(consumer);
	krepis_channel_close(channel);
}

static void a_plain_loop_over_epoll_loses_nothing(void **state)
{
	(void)state;
	receive_from_a_child(EPOLLIN, rounds(20000));
}

static void an_edge_triggered_loop_loses_nothing(void **state)
{
	(void)state;
	receive_from_a_child(EPOLLIN | EPOLLET, rounds(20000));
}

static void a_one_shot_loop_loses_nothing(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct flow flow = { channel, rounds(5000), true };
	pid_t child = spawn(sending_child, &flow);
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);
	struct epoll_event again = { .events = EPOLLIN | EPOLLONESHOT };
	int fd = krepis_fd(consumer), epoll = epoll_of(fd, EPOLLIN | EPOLLONESHOT), err = 0;
	unsigned int n = 0;
	struct krepis_msg msg;

	(void)state;
	/* One message for each time that it is told. */
	while (n < flow.count && epoll_tells(epoll, SOON_MS)) {
		err = krepis_recv(consumer, &msg, KREPIS_NOWAIT);
		if (!err) {
			assert_true(is_number(&msg, n++));
			assert_ok(krepis_release(consumer, &msg));
		}
		assert_true(!err || err == -EAGAIN);
		assert_ok(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &again));
	}
	assert_int_equal(n, flow.count);
	join_child(child);
	close(epoll);
	krepis_detach(consumer);
	krepis_channel_close(channel);
}

static void an_edge_triggered_loop_sees_the_last_message_of_an_overwritten_ring(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < rounds(20); round++) {
		struct krepis_channel *channel =
			anonymous(SMALL_RING(.backpressure = KREPIS_OVERWRITE));
		struct flow flow = { channel, 2000, false };
		pid_t child = spawn(sending_child, &flow);
		struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);
		int epoll = epoll_of(krepis_fd(consumer), EPOLLIN | EPOLLET), err;
		struct krepis_msg msg;
		bool last = false;

		while (!last) {
			assert_true(epoll_tells(epoll, SOON_MS));
			do {
				err = krepis_recv(consumer, &msg, KREPIS_NOWAIT);
				last |= !err && msg.type == LAST;
			} while (!err || err == -KREPIS_ELAPPED);
			assert_true(err == -EAGAIN || err == -KREPIS_PEER_GONE);
			/* Slower than the producer, so that it is lapped. */
			pause_for(random_below(100000));
		}
		join_child(child);
		close(epoll);
		krepis_detach(consumer);
		krepis_channel_close(channel);
	}
}

static void committing_child(void *arg)
{
	struct flow *f = arg;
	struct krepis_endpoint *producer = attach_inherited(f->channel, KREPIS_PRODUCER, 0);
	void *value;

	must(!krepis_wait_peer(producer, 1, SOON));
	for (unsigned int i = 0; i < f->count; i++) {
		pause_at_random();
		must(!krepis_triple_begin(producer, &value));
		must(!krepis_triple_commit(producer, i + 1 < f->count ? 1 : LAST, 8));
	}
	/* Only the value shall tell of the end. */
	stay();
}

static void an_edge_triggered_loop_sees_the_last_value(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_TRIPLE);

	(void)state;
	for (unsigned int round = 0; round < rounds(20); round++) {
		struct flow flow = { channel, 500, false };
		pid_t child = spawn(committing_child, &flow);
		struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);
		int epoll = epoll_of(krepis_fd(consumer), EPOLLIN | EPOLLET);
		struct krepis_msg msg;
		bool last = false;
		int err;

		while (!last) {
			assert_true(epoll_tells(epoll, SOON_MS));
			do {
				err = krepis_triple_read(consumer, &msg);
				last |= !err && (msg.flags & KREPIS_MSG_FRESH) && msg.type == LAST;
			} while (!err && (msg.flags & KREPIS_MSG_FRESH));
			assert_true(!err || err == -ENODATA);
		}
		kill_child(child);
		close(epoll);
		krepis_detach(consumer);
	}
	krepis_channel_close(channel);
}

struct echo {
	struct krepis_channel *there;
	struct krepis_channel *back;
};

static void echoing_child(void *arg)
{
	struct echo *e = arg;
	struct krepis_endpoint *in = attach_inherited(e->there, KREPIS_CONSUMER, 0);
	struct krepis_endpoint *out = attach_inherited(e->back, KREPIS_PRODUCER, 0);
	int epoll = epoll_of(krepis_fd(in), EPOLLIN), err = -EAGAIN;
	struct krepis_msg msg;

	while (err == -EAGAIN) {
		must(epoll_tells(epoll, SOON_MS));
		while (!(err = krepis_recv(in, &msg, KREPIS_NOWAIT))) {
			must(!krepis_send(out, msg.type, msg.data, msg.len, SOON));
			must(!krepis_release(in, &msg));
		}
	}
	must(err == -KREPIS_PEER_GONE);
	krepis_detach(in);
	krepis_detach(out);
}

/* Each answer is waited for: the first wake-up that is lost stops both. */
static void an_echo_between_two_loops_never_stops(void **state)
{
	struct echo e = { anonymous(SMALL_RING()), anonymous(SMALL_RING()) };
	pid_t child = spawn(echoing_child, &e);
	struct krepis_endpoint *out = attach(e.there, KREPIS_PRODUCER, 0);
	struct krepis_endpoint *in = attach(e.back, KREPIS_CONSUMER, 0);
	int epoll = epoll_of(krepis_fd(in), EPOLLIN), err;
	unsigned int count = rounds(10000);

	(void)state;
	assert_ok(krepis_wait_peer(out, 1, SOON));
	for (unsigned int i = 0; i < count; i++) {
		struct krepis_msg msg;

		pause_at_random();
		assert_ok(krepis_send(out, 1, &i, sizeof(i), SOON));
		while ((err = krepis_recv(in, &msg, KREPIS_NOWAIT)) == -EAGAIN)
			assert_true(epoll_tells(epoll, SOON_MS));
		assert_ok(err);
		assert_true(is_number(&msg, i));
		assert_ok(krepis_release(in, &msg));
	}
	krepis_detach(out);
	join_child(child);
	krepis_detach(in);
	close(epoll);
	krepis_channel_close(e.there);
	krepis_channel_close(e.back);
}

static void receiving_child(void *arg)
{
	struct flow *f = arg;
	struct krepis_endpoint *consumer = attach_inherited(f->channel, KREPIS_CONSUMER, 0);
	struct krepis_msg msg;

	for (unsigned int i = 0; i < f->count; i++) {
		pause_at_random();
		must(!krepis_recv(consumer, &msg, SOON));
		must(is_number(&msg, i));
		must(!krepis_release(consumer, &msg));
	}
	krepis_detach(consumer);
}

/* Sends without ever waiting but for the descriptor. */
static void send_by_epoll(uint32_t mode)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct flow flow = { channel, rounds(20000), false };
	pid_t child = spawn(receiving_child, &flow);
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);
	int epoll = epoll_of(krepis_fd(producer), (uint32_t)POLLIN | POLLOUT | mode);
	unsigned int waited = 0;
	uint8_t data[200] = { 0 };

	assert_ok(krepis_wait_peer(producer, 1, SOON));
	for (unsigned int i = 0; i < flow.count; i++) {
		int err;

		memcpy(data, &i, sizeof(i));
		while ((err = krepis_send(producer, 1, data, sizeof(data), KREPIS_NOWAIT)) == -EAGAIN) {
			assert_true(epoll_tells(epoll, SOON_MS));
			waited++;
		}
		assert_ok(err);
	}
	assert_true(waited);
	join_child(child);
	close(epoll);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void a_producer_with_a_loop_over_epoll_sends_all(void **state)
{
	(void)state;
	send_by_epoll(0);
}

static void a_producer_with_an_edge_triggered_loop_sends_all(void **state)
{
	(void)state;
	send_by_epoll(EPOLLET);
}

/* --------------------------------------------------------------- with other ways to wait */

static int receive_one(struct krepis_endpoint *ep, int fd, struct krepis_msg *msg, uint64_t way)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int err;

	switch (way) {
	case 0:
		return krepis_recv(ep, msg, SOON);
	case 1:
		while ((err = krepis_recv(ep, msg, krepis_deadline_ns(20000))) == -ETIMEDOUT)
			;
		return err;
	case 2:
		err = krepis_wait(ep, SOON);
		return err ? err : krepis_recv(ep, msg, KREPIS_NOWAIT);
	case 3:
		/* First the descriptor: also what came meanwhile must be told. */
		do {
			if (poll(&p, 1, SOON_MS) != 1)
				return -ETIMEDOUT;
			err = krepis_recv(ep, msg, KREPIS_NOWAIT);
		} while (err == -EAGAIN);
		return err;
	default:
		while ((err = krepis_recv(ep, msg, KREPIS_NOWAIT)) == -EAGAIN) {
			if (poll(&p, 1, SOON_MS) != 1)
				return -ETIMEDOUT;
		}
		return err;
	}
}

static void polling_and_waiting_may_be_mixed(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct flow flow = { channel, rounds(20000), true };
	pid_t child = spawn(sending_child, &flow);
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);
	int fd = krepis_fd(consumer);

	(void)state;
	for (unsigned int i = 0; i < flow.count; i++) {
		struct krepis_msg msg;

		pause_at_random();
		assert_ok(receive_one(consumer, fd, &msg, random_below(5)));
		assert_true(is_number(&msg, i));
		assert_ok(krepis_release(consumer, &msg));
	}
	join_child(child);
	krepis_detach(consumer);
	krepis_channel_close(channel);
}

static void *receive_some_later(void *arg)
{
	struct pair *p = arg;
	struct krepis_msg msg;

	pause_for(random_below(400000));
	for (int i = 0; i < 6; i++) {
		must(!krepis_recv(p->consumer, &msg, KREPIS_NOWAIT));
		must(!krepis_release(p->consumer, &msg));
	}
	return NULL;
}

/*
 * A send that waits asks at first for more room than it needs. What it leaves over
 * is told all the same, though the consumer does nothing more.
 */
static void room_that_a_waiting_send_left_is_told(void **state)
{
	struct pair p = open_pair(SMALL_RING(.inline_max = 64));
	int epoll = epoll_of(krepis_fd(p.producer), (uint32_t)POLLIN | POLLOUT);
	uint8_t data[64] = { 0 };
	struct krepis_msg msg;
	pthread_t thread;

	(void)state;
	for (unsigned int round = 0; round < rounds(400); round++) {
		send_until_full(p.producer, 1, sizeof(data));
		nap();
		must(!pthread_create(&thread, NULL, receive_some_later, &p));
		assert_ok(krepis_send(p.producer, 1, data, sizeof(data), SOON));
		must(!pthread_join(thread, NULL));
		assert_ok(krepis_wait(p.producer, KREPIS_NOWAIT));
		assert_true(epoll_tells(epoll, 2000));
		while (!krepis_recv(p.consumer, &msg, KREPIS_NOWAIT))
			must(!krepis_release(p.consumer, &msg));
	}
	close(epoll);
	close_pair(&p);
}

/* One who only polls, for another who only receives. */
struct porter {
	int fd;
	uint32_t told;
	uint32_t answered;
	bool over;
};

static void *porter_main(void *arg)
{
	struct porter *porter = arg;
	struct pollfd p = { .fd = porter->fd, .events = POLLIN };

	for (uint32_t n = 1;; n++) {
		must(poll(&p, 1, SOON_MS) == 1);
		post(&porter->told);
		must(posted(&porter->answered, n));
		if (__atomic_load_n(&porter->over, __ATOMIC_ACQUIRE))
			return NULL;
	}
}

static void another_thread_may_poll(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct flow flow = { channel, rounds(5000), true };
	pid_t child = spawn(sending_child, &flow);
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);
	struct porter porter = { .fd = krepis_fd(consumer) };
	unsigned int n = 0, told = 0;
	struct krepis_msg msg;
	pthread_t thread;
	int err;

	(void)state;
	must(!pthread_create(&thread, NULL, porter_main, &porter));
	while (n < flow.count) {
		must(posted(&porter.told, ++told));
		while (!(err = krepis_recv(consumer, &msg, KREPIS_NOWAIT))) {
			must(is_number(&msg, n++));
			must(!krepis_release(consumer, &msg));
		}
		must(err == -EAGAIN || n == flow.count);
		if (n == flow.count)
			__atomic_store_n(&porter.over, true, __ATOMIC_RELEASE);
		post(&porter.answered);
	}
	must(!pthread_join(thread, NULL));
	join_child(child);
	krepis_detach(consumer);
	krepis_channel_close(channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_lapped_consumer_is_told),
		CLAIM(a_producer_that_overwrites_is_told_while_a_consumer_is_there),
		CLAIM(a_consumer_that_met_moving_marks_is_told_when_they_stand),
		CLAIM(a_plain_loop_over_epoll_loses_nothing),
		CLAIM(an_edge_triggered_loop_loses_nothing),
		CLAIM(a_one_shot_loop_loses_nothing),
		CLAIM(an_edge_triggered_loop_sees_the_last_message_of_an_overwritten_ring),
		CLAIM(an_edge_triggered_loop_sees_the_last_value),
		CLAIM(an_echo_between_two_loops_never_stops),
		CLAIM(a_producer_with_a_loop_over_epoll_sends_all),
		CLAIM(a_producer_with_an_edge_triggered_loop_sends_all),
		CLAIM(polling_and_waiting_may_be_mixed),
		CLAIM(room_that_a_waiting_send_left_is_told),
		CLAIM(another_thread_may_poll),
	};

	return RUN("fd_loop", tests);
}
