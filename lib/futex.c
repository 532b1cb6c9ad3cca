// SPDX-License-Identifier: MIT
/*
 * Sleeping and waking without the module, by futexes on the channel's own words.
 *
 * What a sleeper sleeps on, all at once by futex_waitv(2): its own local word, and
 * for each peer the wake word and the link that the kernel marks when the peer
 * dies; a producer also on the epoch, for consumers who come. Without
 * futex_waitv (before Linux 5.16) it sleeps in slices on the first peer's wake word.
 */
#include <sys/syscall.h>
#include <unistd.h>
#include "internal.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

static void sleep_add(struct krepis_sleep *s, const __u32 *word, uint32_t flags)
{
	s->words[s->count++] = (struct futex_waitv){
		.val = krepis_load_acquire(word),
		.uaddr = (uintptr_t)word,
		.flags = FUTEX_32 | flags,
	};
}

/* Step 1 of wait.c: which words, and what they say now. */
void krepis_futex_prepare(struct krepis_endpoint *ep, struct krepis_sleep *s)
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

static struct timespec to_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

/* Without futex_waitv: one word, and never for long. */
static int sleep_slice(struct krepis_sleep *s, int64_t until)
{
	struct futex_waitv *w = &s->words[s->count > 1];
	int64_t now = krepis_deadline_ns(0);
	int64_t left = until - now < KREPIS_SLICE_NS ? until - now : KREPIS_SLICE_NS;
	struct timespec ts = to_timespec(left > 0 ? left : 0);

	if (syscall(SYS_futex, (void *)(uintptr_t)w->uaddr, FUTEX_WAIT, (uint32_t)w->val, &ts, NULL,
		    0) && errno == EINTR)
		return -EINTR;
	return 0;
}

/* Step 4. Returns 0 when woken, or -ETIMEDOUT, -EINTR. */
int krepis_futex_sleep(struct krepis_endpoint *ep, struct krepis_sleep *s, int64_t until)
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

void krepis_futex_wake(__u32 *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

/* Step 3 of the publisher: all its peers sleep on one word. */
void krepis_futex_wake_peers(struct krepis_endpoint *ep, uint32_t consumers)
{
	(void)consumers;
	__atomic_fetch_add(&ep->waiter->wake, 1, __ATOMIC_SEQ_CST);
	krepis_futex_wake(&ep->waiter->wake);
}

void krepis_futex_wake_self(struct krepis_endpoint *ep)
{
	__atomic_fetch_add(&ep->local, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &ep->local, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}
