// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events, sleepers and poll(2).
 *
 * Each slot has an event word in the info page, which only the kernel writes. It
 * grows when the other side wakes this one, comes or goes. A sleeper of the
 * library (lib/wait.c) goes through the same steps as one on a futex, with this
 * word in the place of the futex:
 *
 *	sleeper					publisher
 *	1 e = event				1 publish
 *	2 announce: waiting = ASLEEP | FENCE	2 barrier
 *	3 barrier				3 if waiting is ASLEEP: WAKE
 *	4 nothing there? WAIT while event == e	    event + 1, wake
 *
 * A poll is a sleeper that the kernel announces: steps 2 and 3 here, in the
 * sleeper's own page, so that a plain epoll loop needs no help from the library.
 * It is announced at every poll, also at one that finds something: who polls on
 * edges is not asked again before it sleeps.
 *
 * The publisher's barrier of step 2 is made only on request (FENCE), and the request
 * must be known before the sleep. Where it is new, a barrier on every processor
 * makes it so; the library leaves it standing for who polls (krepis_fd()).
 */
#include <linux/hrtimer.h>
#include <linux/nospec.h>
#include <linux/ratelimit.h>
#include <linux/rcupdate.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include "internal.h"
#include "trace.h"

/* Tells slot @slot that something happened. */
void krepis_event(struct krepis_channel *ch, unsigned int slot)
{
	wait_queue_head_t *wait = &ch->slot[slot].wait;

	/* A full barrier; wq_has_sleeper() has its own. Pairs with prepare_to_wait(). */
	atomic_inc((atomic_t *)&ch->info->event[slot]);
	/* Without a key: what happened, each who polls looks up himself. */
	if (wq_has_sleeper(wait))
		wake_up_all(wait);
}

void krepis_event_all(struct krepis_channel *ch)
{
	unsigned int i;

	for (i = 0; i <= ch->geometry.max_consumers; i++)
		krepis_event(ch, i);
}

/*
 * Wakes the other side: for a producer the consumers in the mask, for a consumer
 * the producer. Return: 0.
 */
int krepis_wake(struct krepis_endpoint *ep, u32 consumers)
{
	struct krepis_channel *ch = ep->channel;
	u32 rest = consumers & READ_ONCE(ch->info->live) & ch->slots;

	trace_krepis_wake(ep, consumers);
	if (!krepis_is_producer(ep)) {
		krepis_event(ch, 0);
		return 0;
	}
	for (; rest; rest &= rest - 1)
		krepis_event(ch, 1 + __ffs(rest));
	return 0;
}

/* The consumers that said that they sleep. The caller has published, and passed a barrier. */
u32 krepis_sleepers(struct krepis_channel *ch)
{
	u32 rest = READ_ONCE(ch->info->live) & ch->slots, asleep = 0;

	for (; rest; rest &= rest - 1) {
		unsigned int i = __ffs(rest);

		if (READ_ONCE(krepis_consumer_page(ch, i)->waiter.waiting) & KREPIS_ASLEEP)
			asleep |= 1U << i;
	}
	return asleep;
}

/* The word at @at, which is in the control regions, or NULL. */
u32 *krepis_word(struct krepis_channel *ch, u64 at)
{
	if ((at & 3) || at >= ch->layout.ring)
		return NULL;
	return ch->control + array_index_nospec(at, ch->layout.ring);
}

/**
 * krepis_wait - sleeps while @word, of the channel's control regions, is @value
 *
 * Return: 0 if it is not; -ETIMEDOUT; -EINTR.
 */
int krepis_wait(struct krepis_endpoint *ep, u32 *word, u32 value, s64 deadline_ns)
{
	wait_queue_head_t *queue = &krepis_slot_of(ep)->wait;
	ktime_t deadline = deadline_ns;
	DEFINE_WAIT(wait);
	int err;

	for (;;) {
		err = 0;
		prepare_to_wait(queue, &wait, TASK_INTERRUPTIBLE | TASK_FREEZABLE);
		/* Pairs with krepis_event(): its word, or its wake-up, is seen. */
		if (READ_ONCE(*word) != value)
			break;
		err = -EINTR;
		if (signal_pending(current))
			break;
		err = -ETIMEDOUT;
		if (deadline_ns == S64_MAX)
			schedule();
		else if (deadline_ns <= 0 ||
			 !schedule_hrtimeout_range(&deadline, current->timer_slack_ns,
						   HRTIMER_MODE_ABS))
			break;
	}
	finish_wait(queue, &wait);
	trace_krepis_wait(ep, err);
	return err;
}

/* ---------------------------------------------------------------------- poll */

static void barrier_here(void *unused)
{
	/* Pairs with the publishers' missing one, see announce(). */
	smp_mb();
}

/*
 * A full barrier on every processor, as membarrier(2) makes one. By an interrupt,
 * but nobody shall have more than a few of those: then by waiting.
 */
static void barrier_everywhere(void)
{
	static DEFINE_RATELIMIT_STATE(limit, HZ, 200);

	ratelimit_set_flags(&limit, RATELIMIT_MSG_ON_RELEASE);
	if (__ratelimit(&limit))
		on_each_cpu(barrier_here, NULL, 1);
	else
		synchronize_rcu();
}

/* Steps 2 and 3 for one who polls. */
static void announce(struct krepis_endpoint *ep)
{
	struct krepis_channel *ch = ep->channel;
	struct krepis_waiter *w = krepis_is_producer(ep) ? &ch->producer->waiter :
				  &krepis_consumer_page(ch, ep->number - 1)->waiter;
	u32 old = READ_ONCE(w->waiting);

	/* Acquires, releases and is a full barrier. Pairs with krepis_waiting() in lib/. */
	while (!try_cmpxchg(&w->waiting, &old,
			    (old + KREPIS_SLEEP) | KREPIS_ASLEEP | KREPIS_FENCE))
		cpu_relax();
	if (!(old & KREPIS_FENCE))
		barrier_everywhere();
}

static __poll_t consumer_events(struct krepis_channel *ch, struct krepis_endpoint *ep)
{
	bool ready;

	if (ch->geometry.kind == KREPIS_TRIPLE)
		ready = krepis_triple_pending(ch->exchange);
	else
		/* Pairs with krepis_ring_publish(). */
		ready = smp_load_acquire(&ch->producer->head) !=
			READ_ONCE(krepis_consumer_page(ch, ep->number - 1)->tail);
	return ready ? EPOLLIN | EPOLLRDNORM : 0;
}

/* Whether consumer @c leaves room for the largest record. */
static bool has_room(const struct krepis_channel *ch, struct krepis_consumer *c)
{
	const struct krepis_geometry *g = &ch->geometry;

	return g->kind == KREPIS_TRIPLE || g->backpressure == KREPIS_OVERWRITE ||
	       krepis_ring_has_room(READ_ONCE(ch->producer->head), c, g->ring_size, g->inline_max);
}

/* Room, and somebody who gets what is sent: as krepis_wait() in lib/. */
static __poll_t producer_events(struct krepis_channel *ch)
{
	u32 rest = READ_ONCE(ch->info->live) & ch->slots;
	bool joined = false;

	for (; rest; rest &= rest - 1) {
		struct krepis_consumer *c = krepis_consumer_page(ch, __ffs(rest));

		if (!has_room(ch, c))
			return 0;
		/* Pairs with the library's store: it knows where it begins to read. */
		joined |= smp_load_acquire(&c->joined) == 1;
	}
	return joined ? EPOLLOUT | EPOLLWRNORM : 0;
}

/*
 * Whether somebody was at the other side, and nobody is. The count is read first:
 * who is in it is in his slot, or was.
 */
static bool gone(struct krepis_channel *ch, struct krepis_endpoint *ep)
{
	bool producer = krepis_is_producer(ep);
	/* Pairs with join_locked(). */
	u32 peers = smp_load_acquire(&ch->arrivals[producer]);

	/* Pairs with leave_locked(). */
	if (producer ? READ_ONCE(ch->info->live) & ch->slots :
		       !!smp_load_acquire(&ch->slot[0].endpoint))
		return false;
	return ep->had_peer || peers != ep->peers;
}

__poll_t krepis_poll(struct file *file, struct poll_table_struct *pt)
{
	struct krepis_view *view = file->private_data;
	struct krepis_endpoint *ep = view->endpoint;
	struct krepis_channel *ch = ep->channel;
	__poll_t mask;

	if (!krepis_may(view, KREPIS_RIGHT_WAIT))
		return EPOLLERR;
	poll_wait(file, &krepis_slot_of(ep)->wait, pt);
	announce(ep);
	/* First who is there, then what: the last words of the dead are not missed. */
	mask = gone(ch, ep) ? EPOLLHUP : 0;
	if (READ_ONCE(ep->stopped))
		mask |= EPOLLIN | EPOLLRDNORM | EPOLLRDHUP;
	return mask | (krepis_is_producer(ep) ? producer_events(ch) : consumer_events(ch, ep));
}
