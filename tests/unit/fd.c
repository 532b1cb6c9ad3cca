// SPDX-License-Identifier: MIT
/*
 * krepis_fd(): a descriptor that tells all that the endpoint's own thread would wait
 * for, to whoever polls it in whatever way, and tells nothing else; and how long it lives.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/select.h>
#include <unistd.h>
#include "fd.h"
#include "helpers.h"

/* ---------------------------------------------------------------- what can be told */

enum event {
	MESSAGE, BUFFER, VALUE, PRODUCER_DETACHES, PRODUCER_DIES,
	ROOM, FAILED_FOR_ROOM, ARRIVAL, CONSUMER_DETACHES, CONSUMER_DIES,
};

static const char *const names[] = {
	[MESSAGE] = "a message",
	[BUFFER] = "a message in a buffer",
	[VALUE] = "a value",
	[PRODUCER_DETACHES] = "the producer detaches",
	[PRODUCER_DIES] = "the producer dies",
	[ROOM] = "room",
	[FAILED_FOR_ROOM] = "room in a channel that does not block",
	[ARRIVAL] = "a consumer comes",
	[CONSUMER_DETACHES] = "the consumer detaches",
	[CONSUMER_DIES] = "the consumer dies",
};

/* An endpoint to which @event is going to happen. */
struct watched {
	enum event event;
	struct pair pair;
	struct krepis_endpoint *endpoint;
	pid_t child;
	int fd;
	short events;
	pthread_t thread;
};

struct other {
	struct krepis_channel *channel;
	enum krepis_role role;
};

static void other_side(void *arg)
{
	struct other *o = arg;

	attach_inherited(o->channel, o->role, 0);
	stay();
}

static struct watched watch(enum event event)
{
	struct watched w = { .event = event };
	struct pair *p = &w.pair;
	struct other other;

	p->channel = anonymous(event == VALUE ? SMALL_TRIPLE :
			       event == FAILED_FOR_ROOM ? SMALL_RING(.backpressure = KREPIS_FAIL) :
							  SMALL_RING());
	if (event != PRODUCER_DIES)
		p->producer = attach(p->channel, KREPIS_PRODUCER, 0);
	if (event != CONSUMER_DIES && event != ARRIVAL)
		p->consumer = attach(p->channel, KREPIS_CONSUMER, 0);
	w.endpoint = event < ROOM ? p->consumer : p->producer;
	if (event == PRODUCER_DIES || event == CONSUMER_DIES) {
		other = (struct other){ p->channel, event == PRODUCER_DIES ? KREPIS_PRODUCER :
									     KREPIS_CONSUMER };
		w.child = spawn(other_side, &other);
		must(!krepis_wait_peer(w.endpoint, 1, SOON));
	}
	if (event >= ROOM && event != ARRIVAL)
		send_until_full(p->producer, 1, 0);
	w.fd = krepis_fd(w.endpoint);
	must(w.fd >= 0);
	w.events = POLLIN | POLLOUT;
	/* That there is nothing, a call of the endpoint has found out. */
	if (event >= ROOM && event != ARRIVAL)
		must(!send_until_full(p->producer, 1, 0));
	return w;
}

static void unwatch(struct watched *w)
{
	close_pair(&w->pair);
}

/* Called by another thread. */
static void bring(struct watched *w)
{
	struct pair *p = &w->pair;
	uint8_t data[LARGE] = { 0 };
	struct krepis_msg msg;
	void *value;

	switch (w->event) {
	case MESSAGE:
		must(!krepis_send(p->producer, 1, data, 4, KREPIS_NOWAIT));
		break;
	case BUFFER:
		must(!krepis_send(p->producer, 1, data, LARGE, KREPIS_NOWAIT));
		break;
	case VALUE:
		must(!krepis_triple_begin(p->producer, &value));
		must(!krepis_triple_commit(p->producer, 1, 1));
		break;
	case PRODUCER_DETACHES:
		krepis_detach(p->producer);
		p->producer = NULL;
		break;
	case CONSUMER_DETACHES:
		krepis_detach(p->consumer);
		p->consumer = NULL;
		break;
	case PRODUCER_DIES:
	case CONSUMER_DIES:
		kill_child(w->child);
		break;
	case ROOM:
	case FAILED_FOR_ROOM:
		while (!krepis_recv(p->consumer, &msg, KREPIS_NOWAIT))
			must(!krepis_release(p->consumer, &msg));
		break;
	case ARRIVAL:
		p->consumer = attach(p->channel, KREPIS_CONSUMER, 0);
		break;
	}
}

/* Calls of the endpoint until one finds nothing more. What has gone stays gone. */
static void use_up(struct watched *w)
{
	struct krepis_msg msg;
	int err;

	switch (w->event) {
	case MESSAGE:
	case BUFFER:
		while (!(err = krepis_recv(w->endpoint, &msg, KREPIS_NOWAIT)))
			must(!krepis_release(w->endpoint, &msg));
		must(err == -EAGAIN);
		break;
	case VALUE:
		do {
			must(!krepis_triple_read(w->endpoint, &msg));
		} while (msg.flags & KREPIS_MSG_FRESH);
		break;
	case ROOM:
	case FAILED_FOR_ROOM:
	case ARRIVAL:
		send_until_full(w->endpoint, 1, 0);
		break;
	default:
		break;
	}
}

/* Runs @check for the events from @first to @last, and says at which it failed. */
static void for_each_event(enum event first, enum event last, bool (*check)(enum event event))
{
	unsigned int failed = 0;

	for (enum event event = first; event <= last; event++) {
		if (check(event))
			continue;
		print_error("%s\n", names[event]);
		failed++;
	}
	assert_int_equal(failed, 0);
}

/* ------------------------------------------------------------------- ways to be told */

static bool by_poll(const struct watched *w, int ms)
{
	struct pollfd p = { .fd = w->fd, .events = w->events };

	return poll(&p, 1, ms) == 1;
}

static bool by_select(const struct watched *w, int ms)
{
	struct timeval timeout = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(w->fd, &in);
	if (w->events & POLLOUT)
		FD_SET(w->fd, &out);
	return select(w->fd + 1, &in, &out, NULL, &timeout) > 0;
}

static bool by_epoll(const struct watched *w, int ms)
{
	int epoll = epoll_of(w->fd, (uint32_t)w->events);
	bool told = epoll_tells(epoll, ms);

	close(epoll);
	return told;
}

static void *bring_later(void *arg)
{
	for (int i = 0; i < 40; i++)
		nap();
	bring(arg);
	return NULL;
}

/* Not before; to who sleeps when it happens; and to who asks afterwards, again and again. */
static bool is_told(enum event event, bool (*look)(const struct watched *w, int ms))
{
	struct watched w = watch(event);
	bool ok = !look(&w, QUIET_MS);

	must(!pthread_create(&w.thread, NULL, bring_later, &w));
	ok &= look(&w, SOON_MS);
	must(!pthread_join(w.thread, NULL));
	ok &= look(&w, 0) && look(&w, 0);
	unwatch(&w);
	return ok;
}

static bool is_told_by_poll(enum event event)
{
	return is_told(event, by_poll);
}

static void poll_tells_of_everything(void **state)
{
	(void)state;
	for_each_event(MESSAGE, CONSUMER_DIES, is_told_by_poll);
}

static bool is_told_by_select(enum event event)
{
	return is_told(event, by_select);
}

static void select_tells_of_everything(void **state)
{
	(void)state;
	for_each_event(MESSAGE, CONSUMER_DIES, is_told_by_select);
}

static bool is_told_by_epoll(enum event event)
{
	return is_told(event, by_epoll);
}

static void epoll_tells_of_everything(void **state)
{
	(void)state;
	for_each_event(MESSAGE, CONSUMER_DIES, is_told_by_epoll);
}

/* ------------------------------------------------------------------- when it is told */

static bool is_there_already(enum event event)
{
	struct watched w = watch(event);
	bool ok;

	bring(&w);
	ok = by_poll(&w, SOON_MS);
	unwatch(&w);
	return ok;
}

static void what_was_there_before_the_poll_is_told(void **state)
{
	(void)state;
	for_each_event(MESSAGE, CONSUMER_DIES, is_there_already);
}

static bool ends_with_a_drain(enum event event)
{
	struct watched w = watch(event);
	bool ok = true;

	for (int round = 0; round < 5; round++) {
		bring(&w);
		ok &= by_poll(&w, SOON_MS);
		use_up(&w);
		ok &= !by_poll(&w, QUIET_MS);
		if (event == ARRIVAL)
			break;
	}
	unwatch(&w);
	return ok;
}

static void after_a_drain_nothing_is_told(void **state)
{
	(void)state;
	for_each_event(MESSAGE, BUFFER, ends_with_a_drain);
	for_each_event(VALUE, VALUE, ends_with_a_drain);
	for_each_event(ROOM, ARRIVAL, ends_with_a_drain);
}

static void it_is_told_until_the_last_message_is_read(void **state)
{
	struct watched w = watch(MESSAGE);
	struct krepis_msg msg;

	(void)state;
	for (int i = 0; i < 5; i++)
		bring(&w);
	for (int i = 0; i < 5; i++) {
		assert_true(by_poll(&w, SOON_MS));
		assert_ok(krepis_recv(w.endpoint, &msg, KREPIS_NOWAIT));
		assert_ok(krepis_release(w.endpoint, &msg));
	}
	assert_error(krepis_recv(w.endpoint, &msg, KREPIS_NOWAIT), EAGAIN);
	assert_false(by_poll(&w, QUIET_MS));
	unwatch(&w);
}

static void what_has_gone_stays_told(void **state)
{
	struct watched w = watch(PRODUCER_DETACHES);
	struct krepis_msg msg;

	(void)state;
	bring(&w);
	for (int i = 0; i < 3; i++) {
		assert_true(by_poll(&w, SOON_MS));
		assert_error(krepis_recv(w.endpoint, &msg, KREPIS_NOWAIT), KREPIS_PEER_GONE);
	}
	unwatch(&w);
}

static void a_producer_without_consumers_is_told_nothing(void **state)
{
	struct watched w = watch(ARRIVAL);

	(void)state;
	assert_error(krepis_wait(w.endpoint, KREPIS_NOWAIT), ENOTCONN);
	assert_false(by_poll(&w, QUIET_MS));
	unwatch(&w);
}

static void a_consumer_that_waits_for_its_first_producer_is_told_nothing(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0), *producer;
	struct pollfd p = { .fd = krepis_fd(consumer), .events = POLLIN };

	(void)state;
	assert_int_equal(poll(&p, 1, QUIET_MS), 0);
	producer = attach(channel, KREPIS_PRODUCER, 0);
	assert_int_equal(poll(&p, 1, QUIET_MS), 0);
	assert_ok(krepis_send(producer, 1, "x", 1, KREPIS_NOWAIT));
	assert_int_equal(poll(&p, 1, SOON_MS), 1);
	krepis_detach(producer);
	krepis_detach(consumer);
	krepis_channel_close(channel);
}

/* As krepis_fd() promises: one choice of events that does for both backends. */
static void a_full_producer_is_neither_readable_nor_writable(void **state)
{
	struct watched w = watch(ROOM);

	(void)state;
	w.events = POLLIN | POLLOUT;
	assert_false(by_poll(&w, QUIET_MS));
	bring(&w);
	assert_true(by_poll(&w, SOON_MS));
	unwatch(&w);
}

static void hangup_is_told_by_the_module(void **state)
{
	struct watched w;
	struct pollfd p;

	(void)state;
	if (!on_kmod())
		skip();
	w = watch(PRODUCER_DETACHES);
	p = (struct pollfd){ .fd = w.fd, .events = POLLIN };
	assert_int_equal(poll(&p, 1, QUIET_MS), 0);
	must(!krepis_send(w.pair.producer, 1, "last", 4, KREPIS_NOWAIT));
	bring(&w);
	assert_int_equal(poll(&p, 1, SOON_MS), 1);
	assert_int_equal(p.revents, POLLIN | POLLHUP);
	recv_filled(w.endpoint, 0, 0, 0);
	assert_int_equal(poll(&p, 1, 0), 1);
	assert_true(p.revents & POLLHUP);
	unwatch(&w);

	w = watch(CONSUMER_DETACHES);
	p = (struct pollfd){ .fd = w.fd };
	assert_int_equal(poll(&p, 1, QUIET_MS), 0);
	bring(&w);
	assert_int_equal(poll(&p, 1, SOON_MS), 1);
	assert_int_equal(p.revents, POLLHUP);
	unwatch(&w);
}

static void every_consumer_is_told(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0), *consumer[8];
	struct pollfd p[8];
	struct krepis_msg msg;

	(void)state;
	for (int i = 0; i < 8; i++) {
		consumer[i] = attach(channel, KREPIS_CONSUMER, 0);
		p[i] = (struct pollfd){ .fd = krepis_fd(consumer[i]), .events = POLLIN };
	}
	for (int round = 0; round < 5; round++) {
		assert_ok(krepis_send(producer, 1, "x", 1, KREPIS_NOWAIT));
		for (int i = 0; i < 8; i++) {
			assert_int_equal(poll(&p[i], 1, SOON_MS), 1);
			assert_ok(krepis_recv(consumer[i], &msg, KREPIS_NOWAIT));
			assert_error(krepis_recv(consumer[i], &msg, KREPIS_NOWAIT), EAGAIN);
		}
		assert_int_equal(poll(p, 8, 0), 0);
	}
	for (int i = 0; i < 8; i++)
		krepis_detach(consumer[i]);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

/* The slowest decides. */
static void a_producer_is_told_of_room_when_every_consumer_made_some(void **state)
{
	struct watched w = watch(FAILED_FOR_ROOM);
	struct krepis_endpoint *second = attach(w.pair.channel, KREPIS_CONSUMER, 0);
	struct krepis_msg msg;

	(void)state;
	bring(&w);
	must(send_until_full(w.endpoint, 1, 0));
	assert_false(by_poll(&w, QUIET_MS));
	while (!krepis_recv(second, &msg, KREPIS_NOWAIT))
		assert_ok(krepis_release(second, &msg));
	assert_false(by_poll(&w, QUIET_MS));
	bring(&w);
	assert_true(by_poll(&w, SOON_MS));
	krepis_detach(second);
	unwatch(&w);
}

/* ------------------------------------------------------------------- the endpoint's life */

static void the_descriptor_is_always_the_same(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	int in = krepis_fd(p.consumer), out = krepis_fd(p.producer);
	unsigned int fds = open_fds(), running = threads();

	(void)state;
	assert_true(in >= 0 && out >= 0 && in != out);
	assert_true(fcntl(in, F_GETFD) & FD_CLOEXEC);
	assert_true(fcntl(out, F_GETFD) & FD_CLOEXEC);
	for (int i = 0; i < 10; i++) {
		must(!krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT));
		assert_int_equal(krepis_fd(p.consumer), in);
		assert_int_equal(krepis_fd(p.producer), out);
	}
	krepis_shutdown(p.consumer);
	assert_int_equal(krepis_fd(p.consumer), in);
	assert_int_equal(open_fds(), fds);
	assert_int_equal(threads(), running);
	close_pair(&p);
}

static void child_of_a_polled_parent(void *arg)
{
	struct pair *p = arg;

	must(krepis_fd(p->consumer) == -EBADF);
	must(krepis_fd(p->producer) == -EBADF);
	close_pair(p);
}

static void a_forked_child_has_no_descriptor_and_leaves_the_parents_alone(void **state)
{
	struct watched w = watch(MESSAGE);

	(void)state;
	join_child(spawn(child_of_a_polled_parent, &w.pair));
	for (int i = 0; i < 3; i++) {
		assert_false(by_poll(&w, QUIET_MS));
		bring(&w);
		assert_true(by_poll(&w, SOON_MS));
		use_up(&w);
	}
	unwatch(&w);
}

static void *shut_down_later(void *arg)
{
	struct watched *w = arg;

	for (int i = 0; i < 40; i++)
		nap();
	krepis_shutdown(w->endpoint);
	return NULL;
}

static bool is_told_of_shutdown(enum event event)
{
	struct watched w = watch(event);
	bool ok = !by_poll(&w, QUIET_MS);

	must(!pthread_create(&w.thread, NULL, shut_down_later, &w));
	ok &= by_poll(&w, 2000);
	must(!pthread_join(w.thread, NULL));
	ok &= by_poll(&w, 0);
	unwatch(&w);
	return ok;
}

static void shutdown_ends_a_poll(void **state)
{
	(void)state;
	for_each_event(MESSAGE, CONSUMER_DETACHES, is_told_of_shutdown);
}

static void the_first_call_may_come_after_shutdown(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct pollfd in = { .events = POLLIN };
	struct krepis_msg msg;

	(void)state;
	must(!krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT));
	krepis_shutdown(p.consumer);
	in.fd = krepis_fd(p.consumer);
	assert_true(in.fd >= 0);
	assert_int_equal(poll(&in, 1, SOON_MS), 1);
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), ESHUTDOWN);
	assert_int_equal(poll(&in, 1, 2000), 1);
	close_pair(&p);
}

static void detach_is_good_at_any_moment(void **state)
{
	unsigned int fds = open_fds(), running = threads();

	(void)state;
	for (unsigned int round = 0; round < rounds(1000); round++) {
		struct watched w = watch(round & 1 ? MESSAGE : ROOM);

		must(krepis_fd(w.pair.producer) >= 0 && krepis_fd(w.pair.consumer) >= 0);
		switch (random_below(5)) {
		case 0:		/* asleep */
			nap();
			break;
		case 1:		/* about to tell */
			bring(&w);
			pause_for(random_below(50000));
			break;
		case 2:		/* it has told */
			bring(&w);
			assert_true(by_poll(&w, SOON_MS));
			break;
		case 3:		/* and is to tell again */
			bring(&w);
			assert_true(by_poll(&w, SOON_MS));
			use_up(&w);
			break;
		case 4:		/* just begun */
			break;
		}
		unwatch(&w);
	}
	assert_int_equal(open_fds(), fds);
	assert_true(until(threads() == running));
}

static void descriptors_and_threads_end_with_the_endpoint(void **state)
{
	struct krepis_channel *channel = anonymous(SMALL_RING());
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, 0);
	unsigned int fds = open_fds(), running = threads(), maps;

	(void)state;
	for (unsigned int round = 0; round < rounds(4000); round++) {
		struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, 0);

		assert_true(krepis_fd(consumer) >= 0);
		krepis_detach(consumer);
		if (!round)
			maps = mappings();
	}
	assert_int_equal(open_fds(), fds);
	assert_true(until(threads() == running));
	assert_int_equal(mappings(), maps);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(poll_tells_of_everything),
		CLAIM(select_tells_of_everything),
		CLAIM(epoll_tells_of_everything),
		CLAIM(what_was_there_before_the_poll_is_told),
		CLAIM(after_a_drain_nothing_is_told),
		CLAIM(it_is_told_until_the_last_message_is_read),
		CLAIM(what_has_gone_stays_told),
		CLAIM(a_producer_without_consumers_is_told_nothing),
		CLAIM(a_consumer_that_waits_for_its_first_producer_is_told_nothing),
		CLAIM(a_full_producer_is_neither_readable_nor_writable),
		CLAIM(hangup_is_told_by_the_module),
		CLAIM(every_consumer_is_told),
		CLAIM(a_producer_is_told_of_room_when_every_consumer_made_some),
		CLAIM(the_descriptor_is_always_the_same),
		CLAIM(a_forked_child_has_no_descriptor_and_leaves_the_parents_alone),
		CLAIM(shutdown_ends_a_poll),
		CLAIM(the_first_call_may_come_after_shutdown),
		CLAIM(detach_is_good_at_any_moment),
		CLAIM(descriptors_and_threads_end_with_the_endpoint),
	};

	return RUN("fd", tests);
}
