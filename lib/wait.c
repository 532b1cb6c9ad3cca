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
 * The steps of the sleeper are the backend's: which words to remember, how to sleep
 * on them, how to wake (futex.c, backend_kmod.c).
 */
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "internal.h"

#define BRIEFLY_NS	200000	/* krepis_wait_briefly() */
#define SPIN_MIN	32
#define CALM		32

bool krepis_membarrier_register(void)
{
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
}

static bool membarrier(void)
{
	return !syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}

/* Wakes the endpoint's own thread. */
void krepis_wake_local(struct krepis_endpoint *ep)
{
	ep->backend->wake_self(ep);
}

/* Step 3 of the publisher. Atomic, because any thread may release a message. */
void krepis_wake(struct krepis_endpoint *ep, uint32_t consumers)
{
	ep->backend->wake(ep, consumers);
	__atomic_fetch_add(&ep->counters->wakes, 1, __ATOMIC_RELAXED);
}

/* The rest of krepis_notify_producer(). */
void krepis_attend_producer(struct krepis_endpoint *ep, uint64_t tail)
{
	uint32_t waiting = krepis_waiting(ep, &ep->producer->waiter);

	if ((waiting & KREPIS_ASLEEP) && krepis_read(&ep->answered[0]) != waiting &&
	    tail >= krepis_read(&ep->producer->need)) {
		krepis_write(&ep->answered[0], waiting);
		krepis_wake(ep, 0);
	}
}

/* The rest of krepis_notify_consumers(). */
void krepis_attend_consumers(struct krepis_endpoint *ep)
{
	uint32_t live, asleep = 0;
	bool died = false;

	for (live = krepis_live(ep); live; live &= live - 1) {
		unsigned int i = __builtin_ctz(live);
		struct krepis_consumer *c = krepis_peer(ep, i);
		uint32_t waiting = krepis_waiting(ep, &c->waiter);

		died |= krepis_link_died(krepis_read(&c->link.word));
		if ((waiting & KREPIS_ASLEEP) && ep->answered[i] != waiting) {
			ep->answered[i] = waiting;
			asleep |= 1U << i;
		}
	}
	if (asleep)
		krepis_wake(ep, asleep);
	if (died)
		krepis_producer_peer(ep);
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

	if (err == -EAGAIN && krepis_stopped(ep))
		return -ESHUTDOWN;
	return err;
}

/*
 * Announces a sleep (steps 2 and 3). Return: whether a publisher is sure to see
 * it, so that the sleep may last.
 */
static bool announce(struct krepis_waiter *w, uint32_t *announced)
{
	uint32_t old = krepis_read(&w->waiting);

	/* By an atomic: the module announces those who poll, perhaps in another thread. */
	do {
		*announced = (old + KREPIS_SLEEP) | KREPIS_ASLEEP | KREPIS_FENCE;
	} while (!krepis_cas(&w->waiting, &old, *announced));
	krepis_mb_after_atomic();
	return (old & KREPIS_FENCE) || membarrier();
}

/*
 * Awake again, unless somebody else has announced himself since, or who polls may
 * be asleep; @fenced: the request is known to all and may stay.
 */
static void awake(struct krepis_endpoint *ep, uint32_t announced, bool fenced)
{
	uint32_t over = (ep->polled ? 0 : KREPIS_ASLEEP) | (fenced ? 0 : KREPIS_FENCE);

	krepis_cas(&ep->waiter->waiting, &announced, announced & ~over);
}

/* One announced sleep. Returns what @poll says, or -ETIMEDOUT, -EINTR; -EAGAIN: go on. */
static int sleep_once(struct krepis_endpoint *ep,
		      int (*poll)(struct krepis_endpoint *ep, void *arg), void *arg,
		      int64_t limit_ns, int64_t deadline)
{
	int64_t until = deadline;
	struct krepis_sleep s;
	uint32_t announced;
	bool fenced;
	int err;

	ep->backend->prepare(ep, &s);
	fenced = announce(ep->waiter, &announced);
	ep->calm = 0;
	krepis_write(&ep->unsettled, false);
	err = check(ep, poll, arg);
	if (err == -EAGAIN) {
		/* Who sweeps now may end without a word to us: look again soon. */
		if (!limit_ns && (!fenced || krepis_read(&ep->unsettled)))
			limit_ns = KREPIS_SLICE_NS;
		if (limit_ns) {
			int64_t limit = krepis_deadline_ns(0) + limit_ns;

			until = limit < deadline ? limit : deadline;
		}
		krepis_count(&ep->counters->waits, 1);
		err = ep->backend->sleep(ep, &s, until);
		if (!err || (err == -ETIMEDOUT && until < deadline) ||
		    (err == -EINTR && !(ep->flags & KREPIS_ATTACH_EINTR)))
			err = -EAGAIN;
	}
	awake(ep, announced, fenced);
	return err;
}

/* A wait that needed no sleep. After some of them the peers need no fence either. */
static void waited_awake(struct krepis_endpoint *ep, uint32_t spins)
{
	uint32_t waiting = krepis_read(&ep->waiter->waiting);

	if (spins > ep->spin / 2)
		ep->spin = ep->spin * 2 < ep->spin_max ? ep->spin * 2 : ep->spin_max;
	if (unlikely(waiting & KREPIS_FENCE) && ++ep->calm >= CALM && !ep->polled)
		krepis_cas(&ep->waiter->waiting, &waiting, waiting & ~KREPIS_FENCE);
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

	if (deadline == KREPIS_NOWAIT) {
		err = check(ep, poll, arg);
		if (err == -EAGAIN)
			krepis_rearm(ep);
		return err;
	}
	err = spin(ep, poll, arg);
	if (err != -EAGAIN)
		return err;
	for (;;) {
		err = check(ep, poll, arg);
		if (err != -EAGAIN)
			return err;
		if (deadline != KREPIS_FOREVER && krepis_deadline_ns(0) >= deadline)
			return -ETIMEDOUT;
		err = sleep_once(ep, poll, arg, 0, deadline);
		if (err != -EAGAIN)
			return err;
	}
}

/*
 * Announces a sleep of the endpoint's bell (bell.c), and looks. @lasts: whether it may last,
 * if @poll says -EAGAIN. Any thread of which @poll is good.
 */
int krepis_watch(struct krepis_endpoint *ep, int (*poll)(struct krepis_endpoint *ep, void *arg),
		 bool *lasts)
{
	uint32_t announced;
	bool fenced = announce(ep->waiter, &announced);
	int err = check(ep, poll, NULL);

	/* Who sweeps now may end without a word to us: look again soon. */
	*lasts = fenced && !krepis_read(&ep->unsettled);
	return err;
}
