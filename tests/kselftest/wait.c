// SPDX-License-Identifier: MIT
/*
 * WAIT and WAKE between processes, and futex(2) on the words of the channel.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <kselftest_harness.h>
#include "util.h"

FIXTURE(wait)
{
	int channel;
	struct side producer, first, second;
};

FIXTURE_SETUP(wait)
{
	struct krepis_geometry g = small_ring();

	g.max_consumers = 3;
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->first, self->channel, KREPIS_CONSUMER));
	ASSERT_EQ(0, side_open(&self->second, self->channel, KREPIS_CONSUMER));
}

FIXTURE_TEARDOWN(wait)
{
}

/*
 * A process that sleeps while the side's event word, as it is now, stays, and then
 * ends with 0. It sleeps when this returns.
 */
static pid_t sleeper(const struct side *s)
{
	__u32 value = event_of(s);
	pid_t pid = child();

	if (!pid)
		_exit(wait_word(s->fd, event_at(s), value, FOR_EVER) ? 1 : 0);
	return until_sleeps_in(pid, SYS_ioctl) ? pid : -1;
}

/* ------------------------------------------------------------- what ends a wait */

static int act_wake(FIXTURE_DATA(wait) *self, const struct side *s)
{
	if (s->role == KREPIS_PRODUCER)
		return wake(self->first.fd, 0, 0);
	return wake(self->producer.fd, 1U << s->slot, 0);
}

static int act_wake_self(FIXTURE_DATA(wait) *self, const struct side *s)
{
	return wake(s->fd, 0, KREPIS_WAKE_SELF);
}

static int act_handoff(FIXTURE_DATA(wait) *self, const struct side *s)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .flags = KREPIS_HANDOFF_WAKE, .handle = { 1, 1 },
	};

	return command(self->producer.fd, KREPIS_IOC_HANDOFF, &a);
}

static int act_release(FIXTURE_DATA(wait) *self, const struct side *s)
{
	int err = handoff(self->producer.fd, 2, 1, 8);

	err = err ? err : release(self->first.fd, 2, 1);
	return err ? err : release(self->second.fd, 2, 1);
}

static int act_attach(FIXTURE_DATA(wait) *self, const struct side *s)
{
	return attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL) < 0;
}

static int act_end_of_second(FIXTURE_DATA(wait) *self, const struct side *s)
{
	side_close(&self->second);
	return 0;
}

static int act_orderly_end_of_second(FIXTURE_DATA(wait) *self, const struct side *s)
{
	int err = detach(self->second.fd);

	side_close(&self->second);
	return err;
}

/* Everybody sleeps in a child, which has the descriptors as well: so a new one dies. */
static int act_death(FIXTURE_DATA(wait) *self, const struct side *s)
{
	int fd = attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);
	pid_t pid;

	pid = child();
	if (!pid) {
		pause();
		_exit(0);
	}
	close(fd);
	return kill_and_reap(pid) == 128 + SIGKILL ? 0 : 1;
}

FIXTURE_VARIANT(wait)
{
	int (*act)(struct _test_data_wait *self, const struct side *s);
	bool of_producer, of_consumer;
	bool closes;
};

FIXTURE_VARIANT_ADD(wait, wake) { act_wake, true, true };
FIXTURE_VARIANT_ADD(wait, wake_self) { act_wake_self, true, true };
FIXTURE_VARIANT_ADD(wait, handoff_with_wake) { act_handoff, false, true };
FIXTURE_VARIANT_ADD(wait, last_release) { act_release, true, false };
FIXTURE_VARIANT_ADD(wait, attach) { act_attach, true, true };
FIXTURE_VARIANT_ADD(wait, close) { act_end_of_second, true, true, true };
FIXTURE_VARIANT_ADD(wait, detach_and_close) { act_orderly_end_of_second, true, true, true };
FIXTURE_VARIANT_ADD(wait, death) { act_death, true, true };

/* The child must not hold the descriptor that is to be closed. */
static pid_t sleeper_of(FIXTURE_DATA(wait) *self, const FIXTURE_VARIANT(wait) *variant,
			const struct side *s)
{
	__u32 value = event_of(s);
	pid_t pid = child();

	if (!pid) {
		if (variant->closes)
			close(self->second.fd);
		_exit(wait_word(s->fd, event_at(s), value, FOR_EVER) ? 1 : 0);
	}
	return until_sleeps_in(pid, SYS_ioctl) ? pid : -1;
}

TEST_F(wait, of_the_producer_is_ended)
{
	__u32 before = event_of(&self->producer);
	pid_t pid;

	if (!variant->of_producer)
		return;
	pid = sleeper_of(self, variant, &self->producer);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, variant->act(self, &self->producer));
	EXPECT_EQ(0, reap(pid));
	EXPECT_LT(before, event_of(&self->producer));
}

TEST_F(wait, of_a_consumer_is_ended)
{
	__u32 before = event_of(&self->first);
	pid_t pid;

	if (!variant->of_consumer)
		return;
	pid = sleeper_of(self, variant, &self->first);
	ASSERT_LT(0, pid);
	ASSERT_EQ(0, variant->act(self, &self->first));
	EXPECT_EQ(0, reap(pid));
	EXPECT_LT(before, event_of(&self->first));
}

/* The event comes between the look at the word and the sleep. */
TEST_F(wait, does_not_begin_after_the_event)
{
	const struct side *s = variant->of_producer ? &self->producer : &self->first;
	__u32 before = event_of(s);

	ASSERT_EQ(0, variant->act(self, s));
	EXPECT_EQ(0, wait_word(s->fd, event_at(s), before, FOR_EVER));
}

/* ------------------------------------------------------------------ two sides */

FIXTURE(pair)
{
	struct side producer, first, second;
};

FIXTURE_SETUP(pair)
{
	struct krepis_geometry g = small_ring();
	int fd = new_channel(&g);

	ASSERT_EQ(0, side_open(&self->producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->first, fd, KREPIS_CONSUMER));
	ASSERT_EQ(0, side_open(&self->second, fd, KREPIS_CONSUMER));
}

FIXTURE_TEARDOWN(pair)
{
}

TEST_F(pair, only_those_addressed_wake)
{
	pid_t first = sleeper(&self->first), second = sleeper(&self->second);
	pid_t producer = sleeper(&self->producer);

	ASSERT_EQ(0, wake(self->producer.fd, 2, 0));
	EXPECT_EQ(0, reap(second));
	pause_ms(20);
	EXPECT_TRUE(sleeps_in(first, SYS_ioctl));
	EXPECT_TRUE(sleeps_in(producer, SYS_ioctl));
	ASSERT_EQ(0, wake(self->producer.fd, 3, 0));
	EXPECT_EQ(0, reap(first));
	EXPECT_TRUE(sleeps_in(producer, SYS_ioctl));
	ASSERT_EQ(0, wake(self->second.fd, 0, 0));
	EXPECT_EQ(0, reap(producer));
}

TEST_F(pair, all_who_sleep_at_one_endpoint_wake)
{
	pid_t pid[8];
	int i;

	for (i = 0; i < 8; i++) {
		pid[i] = sleeper(&self->first);
		ASSERT_LT(0, pid[i]);
	}
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	for (i = 0; i < 8; i++)
		EXPECT_EQ(0, reap(pid[i]));
}

/* Here the ring's head: an event is only the occasion to look at it again. */
TEST_F(pair, wait_for_any_word_goes_on_until_that_changes)
{
	const struct side *s = &self->first;
	__u64 at = s->layout.producer + offsetof(struct krepis_producer, head);
	__u32 before = event_of(s);
	pid_t pid = child();

	if (!pid)
		_exit(wait_word(s->fd, at, 0, FOR_EVER) ? 1 : 0);
	ASSERT_TRUE(until_sleeps_in(pid, SYS_ioctl));
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	pause_ms(20);
	EXPECT_TRUE(until_sleeps_in(pid, SYS_ioctl));
	EXPECT_EQ(before + 1, event_of(s));
	publish(&self->producer);
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	EXPECT_EQ(0, reap(pid));
}

/* Reads @turns messages, and wakes the producer after each. */
static int echo(const struct side *s, int turns)
{
	struct side mine;
	int i;

	if (side_map(&mine, s->fd))
		return 1;
	for (i = 0; i < turns; i++) {
		__u32 e = event_of(&mine);

		while (krepis_load_acquire(&mine.producer->head) == 8U * i) {
			if (wait_word(mine.fd, event_at(&mine), e, in_ms(5000)))
				return 1;
			e = event_of(&mine);
		}
		consume(&mine);
		wake(mine.fd, 0, 0);
	}
	return 0;
}

TEST_F(pair, they_wake_each_other_in_turn)
{
	const struct side *s = &self->producer;
	pid_t pid = child();
	int i;

	if (!pid)
		_exit(echo(&self->first, 300));
	for (i = 1; i <= 300; i++) {
		__u32 e = event_of(s);

		publish(s);
		wake(s->fd, 1, 0);
		while (krepis_load_acquire(&consumer_of(s, 0)->tail) != 8U * i) {
			ASSERT_EQ(0, wait_word(s->fd, event_at(s), e, in_ms(5000)));
			e = event_of(s);
		}
	}
	EXPECT_EQ(0, reap(pid));
}

/* --------------------------------------------------------- time and signals */

TEST_F(pair, deadline_ends_a_wait_and_not_too_early)
{
	static const int lengths_ms[] = { 1, 5, 20, 50 };
	const struct side *s = &self->first;
	int i;

	for (i = 0; i < 4; i++) {
		__s64 deadline = in_ms(lengths_ms[i]);

		EXPECT_EQ(-ETIMEDOUT, wait_word(s->fd, event_at(s), event_of(s), deadline));
		EXPECT_LE(deadline, now_ns());
		EXPECT_GT(deadline + 5 * SECOND_NS, now_ns());
	}
}

TEST_F(pair, wake_comes_before_the_deadline)
{
	const struct side *s = &self->first;
	__u32 value = event_of(s);
	pid_t pid = child();

	if (!pid)
		_exit(wait_word(s->fd, event_at(s), value, in_ms(20000)) ? 1 : 0);
	ASSERT_TRUE(until_sleeps_in(pid, SYS_ioctl));
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	EXPECT_EQ(0, reap(pid));
}

static void on_signal(int sig)
{
}

static int interrupted(const struct side *s, int flags)
{
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = flags };
	struct itimerval t = { .it_value.tv_usec = 20000 };

	sigaction(SIGALRM, &a, NULL);
	setitimer(ITIMER_REAL, &t, NULL);
	return wait_word(s->fd, event_at(s), event_of(s), FOR_EVER);
}

TEST_F(pair, signal_interrupts_a_wait)
{
	EXPECT_EQ(-EINTR, interrupted(&self->first, 0));
	EXPECT_EQ(-EINTR, interrupted(&self->first, SA_RESTART));
	EXPECT_EQ(-EINTR, interrupted(&self->producer, 0));
}

TEST_F(pair, who_waits_can_be_killed)
{
	pid_t pid = sleeper(&self->first);

	ASSERT_LT(0, pid);
	EXPECT_EQ(128 + SIGKILL, kill_and_reap(pid));
}

struct thread_arg {
	const struct side *s;
	__u32 value;
	int result;
	pid_t tid;
};

static void *waiting_thread(void *p)
{
	struct thread_arg *arg = p;

	krepis_store_release(&arg->tid, (pid_t)syscall(SYS_gettid));
	arg->result = wait_word(arg->s->fd, event_at(arg->s), arg->value, FOR_EVER);
	return NULL;
}

TEST_F(pair, endpoint_that_is_closed_under_a_wait_lives_until_its_end)
{
	struct thread_arg arg = { &self->second, event_of(&self->second), 1, 0 };
	struct krepis_info_query q;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, waiting_thread, &arg));
	ASSERT_TRUE(within_ms(5000, krepis_load_acquire(&arg.tid)));
	ASSERT_TRUE(until_sleeps_in(arg.tid, SYS_ioctl));
	side_unmap(&self->second);
	close(self->second.fd);
	ASSERT_EQ(0, query(self->producer.fd, &q));
	EXPECT_EQ(3, q.live);
	ASSERT_EQ(0, wake(self->producer.fd, 2, 0));
	pthread_join(thread, NULL);
	EXPECT_EQ(0, arg.result);
	EXPECT_TRUE(within_ms(1000, !query(self->producer.fd, &q) && q.live == 1));
}

/* ----------------------------------------------------------------------- futex */

static long futex(__u32 *word, int op, __u32 value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

/* A process that maps anew, and sleeps on the word at @at while it is @value. */
static pid_t futex_sleeper(const struct side *s, __u64 at, __u32 value)
{
	pid_t pid = child();

	if (!pid) {
		struct side mine;

		if (side_map(&mine, s->fd))
			_exit(2);
		_exit(futex((__u32 *)(mine.base + at), FUTEX_WAIT, value) ? 1 : 0);
	}
	return until_sleeps_in(pid, SYS_futex) ? pid : -1;
}

static bool futex_wakes(const struct side *who, const struct side *whom, __u64 at)
{
	__u32 *word = (__u32 *)(who->base + at);
	pid_t pid = futex_sleeper(whom, at, krepis_read(word));

	if (pid < 0)
		return false;
	krepis_store_release(word, *word + 1);
	return futex(word, FUTEX_WAKE, 1) == 1 && !reap(pid);
}

TEST_F(pair, futex_on_a_state_word_works_between_both_sides)
{
	__u64 at = self->first.layout.descriptors + sizeof(struct krepis_exchange) +
		   2 * sizeof(struct krepis_desc) + offsetof(struct krepis_desc, state);

	EXPECT_TRUE(futex_wakes(&self->producer, &self->first, at));
	EXPECT_TRUE(futex_wakes(&self->second, &self->first, at));
	EXPECT_TRUE(futex_wakes(&self->first, &self->producer, at));
}

/* The word is the peer's: the one who sleeps cannot write it. */
TEST_F(pair, futex_on_a_read_only_word_works)
{
	const struct krepis_layout *l = &self->first.layout;
	__u64 of_producer = l->producer + offsetof(struct krepis_producer, waiter.wake);
	__u64 of_consumer = l->consumers + offsetof(struct krepis_consumer, waiter.wake);

	EXPECT_TRUE(futex_wakes(&self->producer, &self->first, of_producer));
	EXPECT_TRUE(futex_wakes(&self->first, &self->producer, of_consumer));
	EXPECT_TRUE(futex_wakes(&self->first, &self->second, of_consumer));
	EXPECT_TRUE(futex_wakes(&self->producer, &self->first, l->payload + 100));
	EXPECT_TRUE(futex_wakes(&self->producer, &self->first, l->ring + 100));
}

TEST_F(pair, futex_with_another_value_returns_at_once)
{
	EXPECT_EQ(-1, futex(&self->first.desc[0].state, FUTEX_WAIT, 1));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(0, futex(&self->first.desc[0].state, FUTEX_WAKE, 1));
}

/* The kernel's words are its own; it makes no futex calls, but others may. */
TEST_F(pair, futex_on_the_epoch_can_be_woken_by_anybody)
{
	__u64 at = offsetof(struct krepis_info, epoch);
	pid_t pid = futex_sleeper(&self->first, at, self->producer.info->epoch);

	ASSERT_LT(0, pid);
	EXPECT_EQ(1, futex((__u32 *)(self->producer.base + at), FUTEX_WAKE, 1));
	EXPECT_EQ(0, reap(pid));
}

TEST_HARNESS_MAIN
