// SPDX-License-Identifier: MIT
/*
 * Spin for a moment, then sleep. Nobody makes a system call while both are awake.
 *
 *	sleeper						publisher
 *	1 remember the peer's wake word, w		1 publish (head, tail or state)
 *	2 waiting = next number | ASLEEP		2 barrier
 *	3 barrier					3 if waiting is ASLEEP and unanswered:
 *	4 nothing there? sleep while wake == w		    wake = wake + 1, futex wake
 *
 * Either the publisher sees the sleeper's number, or the sleeper sees what was
 * published: that needs a full barrier at both places. The publisher's costs as
 * much as the rest of a send, so it does it only on request: while FENCE is set
 * in the peer's waiting word. A sleeper that finds FENCE not yet set
 * sets it together with ASLEEP and then, once, lets membarrier(2) execute the
 * barrier on every processor that runs a publisher: from there on each
 * publisher either had published before, or sees the request. FENCE stays set
 * as long as this side keeps sleeping, and goes away after CALM waits in a row
 * that ended without a sleep. So a channel whose sides sleep pays for a fence,
 * one whose sides spin pays for nothing, and a change costs one membarrier, some
 * 10 us. Where membarrier(2) is missing the publisher always has the fence
 * (@fence), and a sleeper who cannot call it sleeps in slices.
 *
 * What a sleeper sleeps on, all at once by futex_waitv(2): its own local word, and
 * for each peer the wake word and the link that the kernel marks when the peer
 * dies; a producer also on the epoch, for consumers who come. Without
 * futex_waitv (before Linux 5.16) it sleeps in slices on the first peer's wake word.
 */
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "internal.h"

#define BRIEFLY_NS	200000	/* krepis_wait_briefly() */
#define SLICE_NS	2000000	/* where a wake-up could be missed for good */
#define SPIN_MIN	32
#define CALM		32

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

struct sleep {
	struct futex_waitv words[2 + 2 * KREPIS_MAX_CONSUMERS];
	unsigned int count;
};

static void sleep_add(struct sleep *s, const __u32 *word, uint32_t flags)
{
	s->words[s->count++] = (struct futex_waitv){
		.val = krepis_load_acquire(word),
		.uaddr = (uintptr_t)word,
		.flags = FUTEX_32 | flags,
	};
}

/* Step 1: which words, and what they say now. */
static void sleep_prepare(struct sleep *s, struct krepis_endpoint *ep)
{
	uint32_t live, i;

	s->count = 0;
	sleep_add(s, &ep->local, FUTEX_PRIVATE_FLAG);
	if (ep->role == KREPIS_CONSUMER) {
		sleep_add(s, &ep->producer->waiter.wake, 0);
		sleep_add(s, &ep->producer->link[ep->slot].word, 0);
		return;
	}
	sleep_add(s, &ep->info->epoch, 0);
	live = krepis_live(ep);
	for (i = 0; i < ep->geometry.max_consumers; i++) {
		struct krepis_consumer *c = krepis_peer(ep, i);

		if (live & 1U << i)
			sleep_add(s, &c->waiter.wake, 0);
		/* Also of one who is leaving, and may die before it has let go of all. */
		if (live & 1U << i || krepis_read(&c->link.word))
			sleep_add(s, &c->link.word, 0);
	}
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

/* Without futex_waitv: one word, and never for long. */
static int sleep_slice(struct sleep *s, int64_t until)
{
	struct futex_waitv *w = &s->words[s->count > 1];
	int64_t now = now_ns();
	int64_t left = until - now < SLICE_NS ? until - now : SLICE_NS;
	struct timespec ts = to_timespec(left > 0 ? left : 0);

	if (syscall(SYS_futex, (void *)(uintptr_t)w->uaddr, FUTEX_WAIT, (uint32_t)w->val, &ts, NULL,
		    0) && errno == EINTR)
		return -EINTR;
	return 0;
}

/* Step 4. Returns 0 when woken, or -ETIMEDOUT, -EINTR. */
static int sleep_until(struct sleep *s, int64_t until)
{
	static bool missing;	/* asked once a process */
	struct timespec ts = to_timespec(until);
	long rc;

	/* No time before the clock's start: the kernel would call it nonsense. */
	if (until < 0)
		return -ETIMEDOUT;
	if (__atomic_load_n(&missing, __ATOMIC_RELAXED))
		return sleep_slice(s, until);
	rc = syscall(SYS_futex_waitv, s->words, s->count, 0,
		     until == KREPIS_FOREVER ? NULL : &ts, CLOCK_MONOTONIC);
	if (rc >= 0 || errno == EAGAIN)
		return 0;
	if (errno == ETIMEDOUT || errno == EINTR)
		return -errno;
	if (errno == ENOSYS || errno == EPERM)
		__atomic_store_n(&missing, true, __ATOMIC_RELAXED);
	return sleep_slice(s, until);
}

bool krepis_membarrier_register(void)
{
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
}

static bool membarrier(void)
{
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}

void krepis_futex_wake(__u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Wakes the endpoint's own thread. */
void krepis_wake_local(struct krepis_endpoint *ep)
{
	__atomic_fetch_add(&ep->local, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &ep->local, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Step 3 of the publisher. Atomic, because any thread may release a message. */
void krepis_wake(struct krepis_endpoint *ep)
{
	__atomic_fetch_add(&ep->waiter->wake, 1, __ATOMIC_SEQ_CST);
	krepis_futex_wake(&ep->waiter->wake);
	__atomic_fetch_add(&ep->counters->wakes, 1, __ATOMIC_RELAXED);
}

void krepis_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield");
#endif
}

static int check(struct krepis_endpoint *ep, int (*poll)(struct krepis_endpoint *ep, void *arg),
		 void *arg)
{
	int err = poll(ep, arg);

	if (err == -EAGAIN && krepis_load_acquire(&ep->stop))
		return -ESHUTDOWN;
	return err;
}

/*
 * Announces a sleep (steps 2 and 3). Return: whether a publisher is sure to see
 * it, so that the sleep may last.
 */
static bool announce(struct krepis_waiter *w)
{
	uint32_t old = krepis_read(&w->waiting);

	krepis_write(&w->waiting, (old + KREPIS_SLEEP) | KREPIS_ASLEEP | KREPIS_FENCE);
	krepis_mb();
	return (old & KREPIS_FENCE) || membarrier();
}

/* Awake again; @fenced: the request is known to all and may stay. */
static void awake(struct krepis_waiter *w, bool fenced)
{
	uint32_t waiting = krepis_read(&w->waiting);

	krepis_write(&w->waiting, waiting & ~(KREPIS_ASLEEP | (fenced ? 0 : KREPIS_FENCE)));
}

/* One announced sleep. Returns what @poll says, or -ETIMEDOUT, -EINTR; -EAGAIN: go on. */
static int sleep_once(struct krepis_endpoint *ep,
		      int (*poll)(struct krepis_endpoint *ep, void *arg), void *arg,
		      int64_t limit_ns, int64_t deadline)
{
	int64_t until = deadline;
	struct sleep s;
	bool fenced;
	int err;

	sleep_prepare(&s, ep);
	fenced = announce(ep->waiter);
	ep->calm = 0;
	krepis_write(&ep->unsettled, false);
	err = check(ep, poll, arg);
	if (err == -EAGAIN) {
		/* Who sweeps now may end without a word to us: look again soon. */
		if (!limit_ns && (!fenced || krepis_read(&ep->unsettled)))
			limit_ns = SLICE_NS;
		if (limit_ns) {
			int64_t limit = now_ns() + limit_ns;

			until = limit < deadline ? limit : deadline;
		}
		krepis_count(&ep->counters->waits, 1);
		err = sleep_until(&s, until);
		if (!err || (err == -ETIMEDOUT && until < deadline) ||
		    (err == -EINTR && !(ep->flags & KREPIS_ATTACH_EINTR)))
			err = -EAGAIN;
	}
	awake(ep->waiter, fenced);
	return err;
}

/* A wait that needed no sleep. After some of them the peers need no fence either. */
static void waited_awake(struct krepis_endpoint *ep, uint32_t spins)
{
	uint32_t waiting = krepis_read(&ep->waiter->waiting);

	if (spins > ep->spin / 2)
		ep->spin = ep->spin * 2 < ep->spin_max ? ep->spin * 2 : ep->spin_max;
	if (unlikely(waiting & KREPIS_FENCE) && ++ep->calm >= CALM)
		krepis_write(&ep->waiter->waiting, waiting & ~KREPIS_FENCE);
}

static int spin(struct krepis_endpoint *ep, int (*poll)(struct krepis_endpoint *ep, void *arg),
		void *arg)
{
	uint32_t n;
	int err;

	for (n = 0; n < ep->spin; n++) {
		err = check(ep, poll, arg);
		if (err != -EAGAIN) {
			waited_awake(ep, n);
			return err;
		}
		krepis_relax();
	}
	/* It did not pay: try less of it next time. */
	if (ep->spin > SPIN_MIN)
		ep->spin /= 2;
	return -EAGAIN;
}

int krepis_wait_briefly(struct krepis_endpoint *ep,
			int (*poll)(struct krepis_endpoint *ep, void *arg), void *arg,
			int64_t deadline)
{
	int err = spin(ep, poll, arg);

	return err == -EAGAIN ? sleep_once(ep, poll, arg, BRIEFLY_NS, deadline) : err;
}

int krepis_wait_until(struct krepis_endpoint *ep, int (*poll)(struct krepis_endpoint *ep, void *arg),
		      void *arg, int64_t deadline)
{
	int err;

	if (deadline == KREPIS_NOWAIT)
		return check(ep, poll, arg);
	err = spin(ep, poll, arg);
	if (err != -EAGAIN)
		return err;
	for (;;) {
		err = check(ep, poll, arg);
		if (err != -EAGAIN)
			return err;
		if (deadline != KREPIS_FOREVER && now_ns() >= deadline)
			return -ETIMEDOUT;
		err = sleep_once(ep, poll, arg, 0, deadline);
		if (err != -EAGAIN)
			return err;
	}
}
