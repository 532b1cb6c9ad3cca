// SPDX-License-Identifier: MIT
/*
 * How a wait ends: by what it waits for, by its deadline, by krepis_shutdown(),
 * by a signal only if that was asked for; and every call that waits does so alike.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "helpers.h"

#define LARGE	2000	/* goes into a buffer */

/* -------------------------------------------------------------- the calls that wait */

static int wait_in_recv(struct krepis_endpoint *ep, int64_t deadline)
{
	struct krepis_msg msg;

	return krepis_recv(ep, &msg, deadline);
}

static int wait_in_recv_batch(struct krepis_endpoint *ep, int64_t deadline)
{
	struct krepis_msg msgs[2];
	int n = krepis_recv_batch(ep, msgs, 2, deadline);

	return n > 0 ? 0 : n;
}

static int wait_in_wait(struct krepis_endpoint *ep, int64_t deadline)
{
	return krepis_wait(ep, deadline);
}

static int wait_for_one_peer(struct krepis_endpoint *ep, int64_t deadline)
{
	return krepis_wait_peer(ep, 1, deadline);
}

static int wait_for_two_peers(struct krepis_endpoint *ep, int64_t deadline)
{
	return krepis_wait_peer(ep, 2, deadline);
}

static int wait_in_send(struct krepis_endpoint *ep, int64_t deadline)
{
	return krepis_send(ep, 1, "waiting", 7, deadline);
}

static int wait_in_send_of_a_buffer(struct krepis_endpoint *ep, int64_t deadline)
{
	uint8_t data[LARGE] = { 0 };

	return krepis_send(ep, 1, data, sizeof(data), deadline);
}

static int wait_in_send_begin(struct krepis_endpoint *ep, int64_t deadline)
{
	void *room;

	return krepis_send_begin(ep, 1, &room, deadline);
}

static int wait_in_publish(struct krepis_endpoint *ep, int64_t deadline)
{
	struct krepis_buffer *buffer;
	int err = krepis_acquire(ep, &buffer, KREPIS_NOWAIT);

	if (err)
		return err;
	err = krepis_publish(ep, buffer, 1, 1, 0, deadline);
	if (err)
		must(!krepis_abandon(ep, buffer));
	return err;
}

static int wait_in_acquire(struct krepis_endpoint *ep, int64_t deadline)
{
	struct krepis_buffer *buffer;

	return krepis_acquire(ep, &buffer, deadline);
}

static int wait_in_drain(struct krepis_endpoint *ep, int64_t deadline)
{
	return krepis_drain(ep, deadline);
}

/* What the call finds, so that it waits. */
enum scene { EMPTY, FULL, NO_BUFFERS, NO_PRODUCER, ONE_CONSUMER, NOT_FRESH };

static const struct call {
	const char *name;
	int (*function)(struct krepis_endpoint *ep, int64_t deadline);
	enum scene scene;
} calls[] = {
	{ "recv", wait_in_recv, EMPTY },
	{ "recv_batch", wait_in_recv_batch, EMPTY },
	{ "wait, consumer", wait_in_wait, EMPTY },
	{ "wait_peer, consumer", wait_for_one_peer, NO_PRODUCER },
	{ "recv before the first producer", wait_in_recv, NO_PRODUCER },
	{ "send", wait_in_send, FULL },
	{ "send_begin", wait_in_send_begin, FULL },
	{ "publish", wait_in_publish, FULL },
	{ "wait, producer", wait_in_wait, FULL },
	{ "drain", wait_in_drain, FULL },
	{ "acquire", wait_in_acquire, NO_BUFFERS },
	{ "send of a buffer", wait_in_send_of_a_buffer, NO_BUFFERS },
	{ "wait_peer, producer", wait_for_two_peers, ONE_CONSUMER },
	{ "wait, triple", wait_in_wait, NOT_FRESH },
};

/* A call on a channel where it waits. */
struct waiting {
	const struct call *call;
	struct pair pair;
	struct krepis_endpoint *second;		/* a second consumer, if one came */
	struct krepis_endpoint *endpoint;	/* who waits */
	int slot;
};

static struct waiting set_scene(const struct call *call, uint32_t flags)
{
	struct waiting w = { .call = call };
	struct pair *p = &w.pair;
	uint8_t data[LARGE] = { 0 };

	p->channel = anonymous(call->scene == NOT_FRESH ? SMALL_TRIPLE : SMALL_RING());
	p->consumer = attach(p->channel, KREPIS_CONSUMER, flags);
	if (call->scene != NO_PRODUCER)
		p->producer = attach(p->channel, KREPIS_PRODUCER, flags);
	if (call->scene == FULL)
		send_until_full(p->producer, 1, 0);
	for (int i = 0; i < 4 && call->scene == NO_BUFFERS; i++)
		must(!krepis_send(p->producer, 1, data, sizeof(data), KREPIS_NOWAIT));
	if (call->scene == FULL || call->scene == NO_BUFFERS || call->scene == ONE_CONSUMER) {
		w.endpoint = p->producer;
		w.slot = THE_PRODUCER;
	} else {
		w.endpoint = p->consumer;
	}
	return w;
}

static void close_scene(struct waiting *w)
{
	krepis_detach(w->second);
	close_pair(&w->pair);
}

/* Does at the other side what the call waits for. Called by another thread. */
static void bring_what_it_waits_for(struct waiting *w)
{
	struct pair *p = &w->pair;
	struct krepis_msg msg;
	void *data;

	switch (w->call->scene) {
	case EMPTY:
		must(!krepis_send(p->producer, 1, "here", 4, KREPIS_NOWAIT));
		break;
	case NO_PRODUCER:
		p->producer = attach(p->channel, KREPIS_PRODUCER, 0);
		must(!krepis_send(p->producer, 1, "here", 4, KREPIS_NOWAIT));
		break;
	case ONE_CONSUMER:
		w->second = attach(p->channel, KREPIS_CONSUMER, 0);
		break;
	case NOT_FRESH:
		must(!krepis_triple_begin(p->producer, &data));
		must(!krepis_triple_commit(p->producer, 1, 1));
		break;
	case FULL:
	case NO_BUFFERS:
		while (!krepis_recv(p->consumer, &msg, KREPIS_NOWAIT))
			must(!krepis_release(p->consumer, &msg));
		break;
	}
}

/* Runs @check for each call, and says which it was that failed. */
static void for_each_call(bool (*check)(const struct call *call))
{
	unsigned int failed = 0;

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		if (check(&calls[i]))
			continue;
		print_error("%s\n", calls[i].name);
		failed++;
	}
	assert_int_equal(failed, 0);
}

/* A second thread that does something to the waiting one. */
struct other {
	struct waiting *waiting;
	void (*act)(struct other *other);
	pthread_t waiter;
	pid_t waiter_tid;
	uint64_t waits;		/* before */
	int64_t acted;
	bool over;		/* the wait has ended */
	pthread_t thread;
};

static void *other_main(void *arg)
{
	struct other *o = arg;

	must(falls_asleep(o->waiting->pair.channel, o->waiting->slot, o->waits));
	o->acted = now_ns();
	o->act(o);
	return NULL;
}

static void start_other(struct other *o, struct waiting *w, void (*act)(struct other *other))
{
	*o = (struct other){
		.waiting = w,
		.act = act,
		.waiter = pthread_self(),
		.waiter_tid = gettid(),
		.waits = waits_of(w->pair.channel, w->slot),
	};
	must(!pthread_create(&o->thread, NULL, other_main, o));
}

/* Returns how long after the act the wait was over. */
static int64_t end_other(struct other *o)
{
	int64_t now = now_ns();

	__atomic_store_n(&o->over, true, __ATOMIC_RELEASE);
	must(!pthread_join(o->thread, NULL));
	return now - o->acted;
}

/* What is prompt on a machine that does other things as well. */
#define PROMPT	(under_valgrind() ? 2000 * MS : 200 * MS)

/* ------------------------------------------------------------------ what it waits for */

static void act_bring(struct other *o)
{
	bring_what_it_waits_for(o->waiting);
}

static bool ends_when_it_comes(const struct call *call)
{
	struct waiting w = set_scene(call, 0);
	struct other other;
	int64_t after;
	int err;

	start_other(&other, &w, act_bring);
	err = call->function(w.endpoint, KREPIS_FOREVER);
	after = end_other(&other);
	close_scene(&w);
	return !err && after < PROMPT;
}

static void a_wait_ends_when_what_it_waits_for_comes(void **state)
{
	(void)state;
	for_each_call(ends_when_it_comes);
}

static bool needs_no_wait(const struct call *call)
{
	struct waiting w = set_scene(call, 0);
	uint64_t waits = counters_of(w.endpoint).waits;
	int err;

	bring_what_it_waits_for(&w);
	err = call->function(w.endpoint, KREPIS_NOWAIT);
	waits = counters_of(w.endpoint).waits - waits;
	close_scene(&w);
	return !err && !waits;
}

static void what_is_there_needs_no_wait(void **state)
{
	(void)state;
	for_each_call(needs_no_wait);
}

/* ------------------------------------------------------------------------- deadlines */

static bool does_not_wait(const struct call *call)
{
	struct waiting w = set_scene(call, 0);
	uint64_t waits = counters_of(w.endpoint).waits;
	bool ok = call->function(w.endpoint, KREPIS_NOWAIT) == -EAGAIN &&
		  counters_of(w.endpoint).waits == waits;

	close_scene(&w);
	return ok;
}

static void nowait_never_sleeps(void **state)
{
	(void)state;
	for_each_call(does_not_wait);
}

static bool is_punctual(const struct call *call, uint32_t flags)
{
	struct waiting w = set_scene(call, flags);
	int64_t deadline = krepis_deadline_ms(30);
	int err = call->function(w.endpoint, deadline);
	int64_t late = now_ns() - deadline;

	close_scene(&w);
	return err == -ETIMEDOUT && late >= 0 && late < PROMPT;
}

static bool is_punctual_spinning(const struct call *call)
{
	return is_punctual(call, 0);
}

static bool is_punctual_sleeping(const struct call *call)
{
	return is_punctual(call, KREPIS_ATTACH_NO_SPIN);
}

static void a_wait_lasts_until_its_deadline_and_not_much_longer(void **state)
{
	(void)state;
	for_each_call(is_punctual_spinning);
	for_each_call(is_punctual_sleeping);
}

static bool times_out_at_once(const struct call *call)
{
	const int64_t past[] = { INT64_MIN, -1000000000, -1, 1, now_ns() - 1 };
	struct waiting w = set_scene(call, 0);
	bool ok = true;

	for (size_t i = 0; i < ARRAY_SIZE(past); i++) {
		int64_t start = now_ns();

		ok &= call->function(w.endpoint, past[i]) == -ETIMEDOUT &&
		      now_ns() - start < PROMPT;
	}
	close_scene(&w);
	return ok;
}

static void a_deadline_in_the_past_is_a_timeout(void **state)
{
	(void)state;
	for_each_call(times_out_at_once);
}

static void deadlines_do_not_overflow(void **state)
{
	int64_t now = now_ns();

	(void)state;
	assert_true(krepis_deadline_ms(-1) == KREPIS_FOREVER);
	assert_true(krepis_deadline_ns(-1) == KREPIS_FOREVER);
	assert_true(krepis_deadline_ms(INT64_MIN) == KREPIS_FOREVER);
	assert_true(krepis_deadline_ms(INT64_MAX) == KREPIS_FOREVER);
	assert_true(krepis_deadline_ns(INT64_MAX) == KREPIS_FOREVER);
	assert_true(krepis_deadline_ms(INT64_MAX / 1000000) == KREPIS_FOREVER);
	assert_true(krepis_deadline_ns(INT64_MAX - 1) == KREPIS_FOREVER);
	assert_true(krepis_deadline_ns(5) >= now + 5);
	assert_true(krepis_deadline_ms(1000) - now_ns() <= 1000 * MS);
}

/* -------------------------------------------------------------------------- shutdown */

static void act_shutdown(struct other *o)
{
	krepis_shutdown(o->waiting->endpoint);
}

static bool ends_by_shutdown(const struct call *call)
{
	struct waiting w = set_scene(call, 0);
	struct other other;
	int64_t after;
	int err;

	start_other(&other, &w, act_shutdown);
	err = call->function(w.endpoint, KREPIS_FOREVER);
	after = end_other(&other);
	close_scene(&w);
	return err == -ESHUTDOWN && after < PROMPT;
}

static void shutdown_from_another_thread_ends_every_wait(void **state)
{
	(void)state;
	for_each_call(ends_by_shutdown);
}

static struct krepis_endpoint *to_shut_down;

static void shutdown_handler(int sig)
{
	(void)sig;
	krepis_shutdown(to_shut_down);
}

static bool is_asleep(pid_t tid)
{
	char path[64], stat[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	must(fd >= 0);
	n = read(fd, stat, sizeof(stat) - 1);
	must(n > 0);
	must(!close(fd));
	stat[n] = 0;
	return strstr(stat, ") S ");
}

/*
 * Not before it is in the kernel: a signal that comes just before that may be
 * handled only after the sleep (ThreadSanitizer keeps it back until then).
 */
static void signal_sleeper(struct other *o)
{
	must(until(is_asleep(o->waiter_tid) || __atomic_load_n(&o->over, __ATOMIC_ACQUIRE)));
	must(!pthread_kill(o->waiter, SIGUSR1));
}

static bool ends_by_shutdown_in_handler(const struct call *call)
{
	struct sigaction handle = { .sa_handler = shutdown_handler }, before;
	struct waiting w = set_scene(call, 0);
	struct other other;
	int64_t after;
	int err;

	to_shut_down = w.endpoint;
	sigaction(SIGUSR1, &handle, &before);
	start_other(&other, &w, signal_sleeper);
	err = call->function(w.endpoint, KREPIS_FOREVER);
	after = end_other(&other);
	sigaction(SIGUSR1, &before, NULL);
	close_scene(&w);
	return err == -ESHUTDOWN && after < PROMPT;
}

static void shutdown_in_a_signal_handler_ends_every_wait(void **state)
{
	(void)state;
	for_each_call(ends_by_shutdown_in_handler);
}

static bool does_not_begin_after_shutdown(const struct call *call)
{
	struct waiting w = set_scene(call, 0);
	bool ok;

	krepis_shutdown(w.endpoint);
	ok = call->function(w.endpoint, KREPIS_FOREVER) == -ESHUTDOWN &&
	     call->function(w.endpoint, KREPIS_NOWAIT) == -ESHUTDOWN &&
	     !counters_of(w.endpoint).waits;
	close_scene(&w);
	return ok;
}

static void no_wait_begins_after_shutdown(void **state)
{
	(void)state;
	for_each_call(does_not_begin_after_shutdown);
}

static void what_is_there_is_received_after_shutdown(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msgs[4], msg;
	uint8_t data[LARGE];

	(void)state;
	for (uint64_t n = 0; n < 4; n++) {
		size_t len = n % 2 ? LARGE : 10;

		fill(data, len, n);
		assert_ok(krepis_send(p.producer, 1, data, len, KREPIS_NOWAIT));
	}
	krepis_shutdown(p.consumer);
	recv_filled(p.consumer, 0, 1, 10);
	recv_filled(p.consumer, 1, 1, LARGE);
	assert_int_equal(krepis_recv_batch(p.consumer, msgs, 4, KREPIS_FOREVER), 2);
	assert_ok(krepis_release(p.consumer, &msgs[1]));
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_FOREVER), ESHUTDOWN);
	/* Nothing is left of it in the channel. */
	assert_ok(krepis_drain(p.producer, KREPIS_NOWAIT));
	close_pair(&p);
}

static void nothing_is_sent_after_shutdown(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer, *other;
	struct krepis_msg msg;
	void *room;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	krepis_shutdown(p.producer);
	assert_error(krepis_send(p.producer, 1, "x", 1, KREPIS_FOREVER), ESHUTDOWN);
	assert_error(krepis_send_begin(p.producer, 1, &room, KREPIS_FOREVER), ESHUTDOWN);
	assert_error(krepis_flush(p.producer), ESHUTDOWN);
	assert_error(krepis_acquire(p.producer, &other, KREPIS_NOWAIT), ESHUTDOWN);
	assert_error(krepis_publish(p.producer, buffer, 1, 1, 0, KREPIS_FOREVER), ESHUTDOWN);
	assert_error(krepis_drain(p.producer, KREPIS_FOREVER), ESHUTDOWN);
	/* The buffer is its owner's still. */
	memset(krepis_buffer_data(buffer), 0, krepis_buffer_size(buffer));
	assert_ok(krepis_abandon(p.producer, buffer));
	assert_error(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT), EAGAIN);
	close_pair(&p);
}

static void shutdown_of_one_side_is_not_the_others(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_endpoint *second = attach(p.channel, KREPIS_CONSUMER, 0);

	(void)state;
	krepis_shutdown(second);
	krepis_shutdown(second);
	assert_ok(krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT));
	assert_ok(krepis_wait(p.consumer, KREPIS_NOWAIT));
	krepis_detach(second);
	close_pair(&p);
}

static void shutdown_keeps_errno(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	errno = 1234;
	krepis_shutdown(p.consumer);
	assert_int_equal(errno, 1234);
	close_pair(&p);
}

/* --------------------------------------------------------------------------- signals */

static uint32_t handled;

static void count_signal(int sig)
{
	(void)sig;
	post(&handled);
}

/* Signals until the wait is over, or @most times. */
static void signal_again_and_again(struct other *o, uint32_t most)
{
	for (uint32_t n = 0; n < most && !__atomic_load_n(&o->over, __ATOMIC_ACQUIRE); n++) {
		signal_sleeper(o);
		nap();
	}
}

static void act_signals_then_bring(struct other *o)
{
	signal_again_and_again(o, 20);
	bring_what_it_waits_for(o->waiting);
}

static void act_signals(struct other *o)
{
	signal_again_and_again(o, UINT32_MAX);
}

static int wait_under_signals(const struct call *call, uint32_t flags,
			      void (*act)(struct other *other), int (*after)(struct waiting *w))
{
	struct sigaction handle = { .sa_handler = count_signal }, before;
	struct waiting w = set_scene(call, flags);
	struct other other;
	int err;

	sigaction(SIGUSR1, &handle, &before);
	start_other(&other, &w, act);
	err = call->function(w.endpoint, SOON);
	end_other(&other);
	sigaction(SIGUSR1, &before, NULL);
	if (after && err == -EINTR)
		err = after(&w);
	close_scene(&w);
	return err;
}

static bool outlasts_signals(const struct call *call)
{
	return !wait_under_signals(call, 0, act_signals_then_bring, NULL);
}

static void a_signal_does_not_end_a_wait(void **state)
{
	(void)state;
	for_each_call(outlasts_signals);
}

/* What was interrupted can be done again, sleeping, and is woken. */
static int again(struct waiting *w)
{
	struct other other;
	int err;

	start_other(&other, w, act_bring);
	err = w->call->function(w->endpoint, krepis_deadline_ms(5000));
	end_other(&other);
	return err ? err : -EINTR;
}

static bool is_interrupted(const struct call *call)
{
	const uint32_t flags = KREPIS_ATTACH_EINTR | KREPIS_ATTACH_NO_SPIN;

	return wait_under_signals(call, flags, act_signals, again) == -EINTR;
}

static void a_signal_ends_a_wait_if_that_was_asked_for(void **state)
{
	(void)state;
	for_each_call(is_interrupted);
}

static void act_consume_two(struct other *o)
{
	struct krepis_msg msg;

	must(!krepis_recv(o->waiting->pair.consumer, &msg, KREPIS_NOWAIT));
	must(!krepis_release(o->waiting->pair.consumer, &msg));
	must(!krepis_recv(o->waiting->pair.consumer, &msg, KREPIS_NOWAIT));
	must(!krepis_release(o->waiting->pair.consumer, &msg));
}

/*
 * A producer that wants room asks first for more of it than it needs. Interrupted
 * there, it must not leave that request behind for its next wait.
 */
static void an_interrupted_send_leaves_no_request_behind(void **state)
{
	static const struct call send = { "send", wait_in_send, FULL };
	struct sigaction handle = { .sa_handler = count_signal }, before;

	(void)state;
	sigaction(SIGUSR1, &handle, &before);
	for (int round = 0; round < 20; round++) {
		struct waiting w = set_scene(&send, KREPIS_ATTACH_EINTR | KREPIS_ATTACH_NO_SPIN);
		struct other other;

		start_other(&other, &w, act_signals);
		assert_error(send.function(w.endpoint, SOON), EINTR);
		end_other(&other);
		start_other(&other, &w, act_consume_two);
		assert_ok(krepis_send(w.endpoint, 1, "x", 1, krepis_deadline_ms(5000)));
		end_other(&other);
		close_scene(&w);
	}
	sigaction(SIGUSR1, &before, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_wait_ends_when_what_it_waits_for_comes),
		CLAIM(what_is_there_needs_no_wait),
		CLAIM(nowait_never_sleeps),
		CLAIM(a_wait_lasts_until_its_deadline_and_not_much_longer),
		CLAIM(a_deadline_in_the_past_is_a_timeout),
		CLAIM(deadlines_do_not_overflow),
		CLAIM(shutdown_from_another_thread_ends_every_wait),
		CLAIM(shutdown_in_a_signal_handler_ends_every_wait),
		CLAIM(no_wait_begins_after_shutdown),
		CLAIM(what_is_there_is_received_after_shutdown),
		CLAIM(nothing_is_sent_after_shutdown),
		CLAIM(shutdown_of_one_side_is_not_the_others),
		CLAIM(shutdown_keeps_errno),
		CLAIM(a_signal_does_not_end_a_wait),
		CLAIM(a_signal_ends_a_wait_if_that_was_asked_for),
		CLAIM(an_interrupted_send_leaves_no_request_behind),
	};

	return RUN("wait", tests);
}
