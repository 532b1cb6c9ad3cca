// SPDX-License-Identifier: MIT
/*
 * Wait sets: how a wait ends, by its deadline, a message, an interrupt or a signal; and
 * what another loop is told that waits for the set's descriptor.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "helpers.h"
#include "waitset.h"

/* ----------------------------------------------------------------------- how a wait ends */

static void there_must_be_room_for_an_entry(void **state)
{
	struct single *s = open_single(0);
	struct krepis_ready ready;

	(void)state;
	send_one(s->pair.producer);
	assert_error(krepis_waitset_wait(s->set, &ready, 0, KREPIS_FOREVER), EINVAL);
	assert_told(s->set, s->pair.consumer, 0);
	close_single(s);
}

static void a_wait_lasts_until_its_deadline(void **state)
{
	struct single *s = open_single(0);
	struct krepis_ready ready;

	(void)state;
	for (int ms = 0; ms < 40; ms += 13) {
		int64_t deadline = krepis_deadline_ns(ms * MS + 300000);

		assert_error(krepis_waitset_wait(s->set, &ready, 1, deadline), ETIMEDOUT);
		assert_true(now_ns() >= deadline);
		assert_true(now_ns() - deadline < (under_valgrind() ? 2000 : 200) * MS);
	}
	close_single(s);
}

static void a_deadline_in_the_past_finds_who_is_ready(void **state)
{
	const int64_t past[] = { INT64_MIN, -1, 1, now_ns() - 1 };
	struct single *s = open_single(0);
	struct krepis_ready ready;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(past); i++)
		assert_error(krepis_waitset_wait(s->set, &ready, 1, past[i]), ETIMEDOUT);
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	for (size_t i = 0; i < ARRAY_SIZE(past); i++)
		assert_int_equal(krepis_waitset_wait(s->set, &ready, 1, past[i]), 1);
	assert_int_equal(krepis_waitset_wait(s->set, &ready, 1, KREPIS_NOWAIT), 1);
	close_single(s);
}

/* A second thread that does something to the one that waits. */
struct other {
	struct single *single;
	pthread_t waiter;
	int times;
	bool over;
	pthread_t thread;
};

static void start_other(struct other *o, struct single *s, void *(*body)(void *arg), int times)
{
	*o = (struct other){ .single = s, .waiter = pthread_self(), .times = times };
	must(!pthread_create(&o->thread, NULL, body, o));
}

static void end_other(struct other *o)
{
	__atomic_store_n(&o->over, true, __ATOMIC_RELEASE);
	must(!pthread_join(o->thread, NULL));
}

static void *send_later(void *arg)
{
	struct other *o = arg;

	for (int i = 0; i < 40; i++)
		nap();
	send_one(o->single->pair.producer);
	return NULL;
}

static void a_message_ends_the_wait(void **state)
{
	struct single *s = open_single(0);
	struct krepis_ready ready;
	struct other other;

	(void)state;
	start_other(&other, s, send_later, 1);
	assert_int_equal(krepis_waitset_wait(s->set, &ready, 1, KREPIS_FOREVER), 1);
	end_other(&other);
	close_single(s);
}

static void *interrupt_later(void *arg)
{
	struct other *o = arg;

	for (int i = 0; i < 40; i++)
		nap();
	krepis_waitset_interrupt(o->single->set);
	return NULL;
}

static void another_thread_interrupts_the_wait(void **state)
{
	struct single *s = open_single(0);
	struct krepis_ready ready;
	struct other other;

	(void)state;
	start_other(&other, s, interrupt_later, 1);
	assert_error(krepis_waitset_wait(s->set, &ready, 1, KREPIS_FOREVER), ECANCELED);
	end_other(&other);
	assert_quiet(s->set);
	close_single(s);
}

static void an_interrupt_before_the_wait_ends_it_once(void **state)
{
	struct single *s = open_single(0);

	(void)state;
	krepis_waitset_interrupt(s->set);
	krepis_waitset_interrupt(s->set);
	assert_int_equal(look(s->set), -ECANCELED);
	assert_quiet(s->set);
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	close_single(s);
}

static void an_interrupt_is_told_though_somebody_is_always_ready(void **state)
{
	struct single *s = open_single(0);
	struct krepis_ready ready[8];
	int tries = 0;

	(void)state;
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	krepis_waitset_interrupt(s->set);
	while (krepis_waitset_wait(s->set, ready, 8, SOON) != -ECANCELED)
		assert_true(++tries < 5);
	assert_told(s->set, s->pair.consumer, 0);
	close_single(s);
}

static void an_interrupt_keeps_errno(void **state)
{
	struct krepis_waitset *set = new_set();

	(void)state;
	errno = 1234;
	krepis_waitset_interrupt(set);
	assert_int_equal(errno, 1234);
	krepis_waitset_destroy(set);
}

static struct krepis_waitset *to_interrupt;
static uint32_t handled;

static void interrupt_handler(int sig)
{
	(void)sig;
	krepis_waitset_interrupt(to_interrupt);
}

static void count_signal(int sig)
{
	(void)sig;
	post(&handled);
}

/* Signals until the wait is over, or as often as asked; then a message. */
static void *signal_again_and_again(void *arg)
{
	struct other *o = arg;

	for (int n = 0; n < o->times && !__atomic_load_n(&o->over, __ATOMIC_ACQUIRE); n++) {
		for (int i = 0; i < 20; i++)
			nap();
		pthread_kill(o->waiter, SIGUSR1);
	}
	if (!__atomic_load_n(&o->over, __ATOMIC_ACQUIRE))
		send_one(o->single->pair.producer);
	return NULL;
}

/* How a wait ends under signals that @handler handles. */
static int wait_under_signals(struct single *s, void (*handler)(int sig), int times)
{
	struct sigaction handle = { .sa_handler = handler }, before;
	struct krepis_ready ready;
	struct other other;
	int ret;

	to_interrupt = s->set;
	sigaction(SIGUSR1, &handle, &before);
	start_other(&other, s, signal_again_and_again, times);
	ret = krepis_waitset_wait(s->set, &ready, 1, SOON);
	end_other(&other);
	sigaction(SIGUSR1, &before, NULL);
	return ret;
}

static void a_signal_handler_interrupts_the_wait(void **state)
{
	struct single *s = open_single(0);

	(void)state;
	assert_error(wait_under_signals(s, interrupt_handler, 1000), ECANCELED);
	close_single(s);
}

static void a_signal_does_not_end_the_wait(void **state)
{
	struct single *s = open_single(0);
	uint32_t before = handled;

	(void)state;
	assert_int_equal(wait_under_signals(s, count_signal, 10), 1);
	/* Of signals that come while one is pending, one is handled. */
	assert_true(handled != before);
	close_single(s);
}

static void a_signal_ends_the_wait_if_a_member_asked_for_that(void **state)
{
	struct single *s = open_single(KREPIS_ATTACH_EINTR);

	(void)state;
	assert_error(wait_under_signals(s, count_signal, 1000), EINTR);
	send_one(s->pair.producer);
	assert_told(s->set, s->pair.consumer, 0);
	close_single(s);
}

static void who_has_left_no_longer_asks_for_signals(void **state)
{
	struct single *s = open_single(0);
	struct pair other = { .channel = anonymous(SMALL_RING()) };

	(void)state;
	other.consumer = attach(other.channel, KREPIS_CONSUMER, KREPIS_ATTACH_EINTR);
	assert_ok(krepis_waitset_add(s->set, other.consumer, NULL));
	assert_ok(krepis_waitset_remove(s->set, other.consumer));
	assert_int_equal(wait_under_signals(s, count_signal, 5), 1);
	close_pair(&other);
	close_single(s);
}

/* ------------------------------------------------------------------------ in another loop */

static void the_sets_descriptor_tells_in_another_loop(void **state)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct single *s = open_single(0);
	struct other other;

	(void)state;
	assert_ok(epoll_ctl(epoll, EPOLL_CTL_ADD, krepis_waitset_fd(s->set), &event));
	for (int round = 0; round < 5; round++) {
		assert_int_equal(epoll_wait(epoll, &event, 1, 20), 0);
		start_other(&other, s, send_later, 1);
		assert_int_equal(epoll_wait(epoll, &event, 1, SOON_MS), 1);
		end_other(&other);
		assert_int_equal(epoll_wait(epoll, &event, 1, SOON_MS), 1);
		assert_told(s->set, s->pair.consumer, 0);
		take_one(s->pair.consumer);
		assert_quiet(s->set);
	}
	close(epoll);
	close_single(s);
}

static void an_interrupt_is_told_in_another_loop(void **state)
{
	struct single *s = open_single(0);
	struct pollfd p = { .fd = krepis_waitset_fd(s->set), .events = POLLIN };

	(void)state;
	assert_int_equal(poll(&p, 1, 20), 0);
	krepis_waitset_interrupt(s->set);
	assert_int_equal(poll(&p, 1, SOON_MS), 1);
	assert_int_equal(look(s->set), -ECANCELED);
	assert_int_equal(poll(&p, 1, 20), 0);
	close_single(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(there_must_be_room_for_an_entry),
		CLAIM(a_wait_lasts_until_its_deadline),
		CLAIM(a_deadline_in_the_past_finds_who_is_ready),
		CLAIM(a_message_ends_the_wait),
		CLAIM(another_thread_interrupts_the_wait),
		CLAIM(an_interrupt_before_the_wait_ends_it_once),
		CLAIM(an_interrupt_is_told_though_somebody_is_always_ready),
		CLAIM(an_interrupt_keeps_errno),
		CLAIM(a_signal_handler_interrupts_the_wait),
		CLAIM(a_signal_does_not_end_the_wait),
		CLAIM(a_signal_ends_the_wait_if_a_member_asked_for_that),
		CLAIM(who_has_left_no_longer_asks_for_signals),
		CLAIM(the_sets_descriptor_tells_in_another_loop),
		CLAIM(an_interrupt_is_told_in_another_loop),
	};

	return RUN("waitset_wait", tests);
}
