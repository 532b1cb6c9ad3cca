// SPDX-License-Identifier: MIT
/*
 * Spin for a moment, then sleep. Nobody makes a system call while both are awake.
 *
 *	sleeper						publisher
 *	1 remember the peer's wake word, w		1 publish (head, tail or state)
 *	2 waiting = next odd number			2 [barrier]
 *	3 barrier					3 if waiting is odd and unanswered:
 *	4 nothing there? sleep while wake == w		    wake = wake + 1, futex wake
 *
 * Either the publisher sees the sleeper's number, or the sleeper sees what was
 * published: that needs a full barrier at both places. The publisher's would
 * cost more than all the rest of a send, so it has only a compiler barrier, and the sleeper
 * supplies the other half: membarrier(2) runs a full barrier on every processor
 * that runs a publisher. That is slow (some 10 us), so the first sleep of
 * a wait does without it and lasts at most FIRST_SLEEP_NS; only who has slept that long in vain
 * pays for the membarrier, looks once more, and then sleeps without a limit. A
 * wake-up that falls into the gap is late by FIRST_SLEEP_NS, never lost.
 * Where membarrier is missing the publisher has the fence (@fence).
 *
 * What a sleeper sleeps on, all at once by futex_waitv(2): its own stop word, and
 * for each peer the wake word and the link that the kernel marks when the peer
 * dies; a producer also on the epoch, for consumers who come. Without
 * futex_waitv (before Linux 5.16) it sleeps in slices on the first peer's wake word.
 */
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "internal.h"

#define FIRST_SLEEP_NS	200000	/* many times what a store needs to become visible */
#define SLICE_NS	2000000	/* where a wake-up could be missed for good */
#define SPIN_MIN	32

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
	uint32_t live;

	s->count = 0;
	sleep_add(s, &ep->stop, FUTEX_PRIVATE_FLAG);
	if (ep->role == KREPIS_CONSUMER) {
		sleep_add(s, &ep->producer->waiter.wake, 0);
		sleep_add(s, &ep->producer->link[ep->slot].word, 0);
		return;
	}
	sleep_add(s, &ep->info->epoch, 0);
	for (live = krepis_live(ep); live; live &= live - 1) {
		unsigned int i = __builtin_ctz(live);

		sleep_add(s, &krepis_peer(ep, i)->waiter.wake, 0);
		sleep_add(s, &krepis_peer(ep, i)->link.word, 0);
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
static void sleep_slice(struct sleep *s, int64_t until)
{
	struct futex_waitv *w = &s->words[s->count > 1];
	int64_t now = now_ns();
	int64_t left = until - now < SLICE_NS ? until - now : SLICE_NS;
	struct timespec ts = to_timespec(left > 0 ? left : 0);

	syscall(SYS_futex, (void *)(uintptr_t)w->uaddr, FUTEX_WAIT, (uint32_t)w->val, &ts, NULL, 0);
}

/* Step 4. Returns 0 when woken, or -ETIMEDOUT, -EINTR. */
static int sleep_until(struct sleep *s, int64_t until)
{
	struct timespec ts = to_timespec(until);
	long rc = syscall(SYS_futex_waitv, s->words, s->count, 0,
			  until == KREPIS_FOREVER ? NULL : &ts, CLOCK_MONOTONIC);

	if (rc >= 0 || errno == EAGAIN)
		return 0;
	if (errno == ETIMEDOUT || errno == EINTR)
		return -errno;
	sleep_slice(s, until);
	return 0;
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

void krepis_futex_wake_private(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* Step 3 of the publisher. Atomic, because any thread may release a message. */
void krepis_wake(struct krepis_endpoint *ep)
{
	__atomic_fetch_add(&ep->waiter->wake, 1, __ATOMIC_SEQ_CST);
	krepis_futex_wake(&ep->waiter->wake);
	__atomic_fetch_add(&ep->counters->wakes, 1, __ATOMIC_RELAXED);
}

static void relax(void)
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

/* One announced sleep. Returns what @poll says, or -ETIMEDOUT, -EINTR; -EAGAIN: go on. */
static int sleep_once(struct krepis_endpoint *ep,
		      int (*poll)(struct krepis_endpoint *ep, void *arg), void *arg, bool *first,
		      int64_t deadline)
{
	struct krepis_waiter *w = ep->waiter;
	int64_t until = deadline;
	bool limited = false;
	struct sleep s;
	int err;

	sleep_prepare(&s, ep);
	krepis_write(&w->waiting, (krepis_read(&w->waiting) + 2) | 1);
	krepis_mb();
	if (*first || ep->unsettled || !membarrier()) {
		int64_t limit = now_ns() + (*first ? FIRST_SLEEP_NS : SLICE_NS);

		limited = limit < deadline;
		until = limited ? limit : deadline;
	}
	err = check(ep, poll, arg);
	if (err == -EAGAIN) {
		krepis_count(&ep->counters->waits, 1);
		err = sleep_until(&s, until);
		*first = limited && err == -ETIMEDOUT ? false : *first;
		if (!err || (err == -ETIMEDOUT && limited) ||
		    (err == -EINTR && !(ep->flags & KREPIS_ATTACH_EINTR)))
			err = -EAGAIN;
	}
	krepis_write(&w->waiting, krepis_read(&w->waiting) + 1);
	return err;
}

int krepis_wait_until(struct krepis_endpoint *ep, int (*poll)(struct krepis_endpoint *ep, void *arg),
		      void *arg, int64_t deadline)
{
	bool first = true;
	uint32_t n;
	int err;

	for (n = 0; n < ep->spin; n++) {
		err = check(ep, poll, arg);
		if (err != -EAGAIN) {
			if (n > ep->spin / 2)
				ep->spin = ep->spin * 2 < ep->spin_max ? ep->spin * 2 : ep->spin_max;
			return err;
		}
		if (deadline == KREPIS_NOWAIT)
			return err;
		relax();
	}
	/* Spinning did not pay: try less of it next time. */
	if (ep->spin > SPIN_MIN)
		ep->spin /= 2;
	if (deadline == KREPIS_BRIEFLY)
		return sleep_once(ep, poll, arg, &first, KREPIS_FOREVER);
	for (;;) {
		err = check(ep, poll, arg);
		if (err != -EAGAIN || deadline == KREPIS_NOWAIT)
			return err;
		if (deadline != KREPIS_FOREVER && now_ns() >= deadline)
			return -ETIMEDOUT;
		err = sleep_once(ep, poll, arg, &first, deadline);
		if (err != -EAGAIN)
			return err;
	}
}
