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
 * The publisher's barrier of step 2 is made only on request (FENCE), and the request must
 * be known before the sleep: once in an endpoint's life an interrupt on
 * every processor makes it so. The request is the endpoint's own word; who takes
 * it back has itself to blame for what it misses.
 */
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>
#include <linux/smp.h>
#include "internal.h"
#include "trace.h"

#define EVENT_MASK	(EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM | EPOLLHUP)

/* Tells slot @slot that something happened. */
void krepis_event(struct krepis_channel *ch, unsigned int slot)
{
	wait_queue_head_t *wait = &ch->slot[slot].wait;

	/* A full barrier; wq_has_sleeper() has its own. Pairs with prepare_to_wait(). */
	atomic_inc((atomic_t *)&ch->info->event[slot]);
	if (wq_has_sleeper(wait))
		__wake_up(wait, TASK_NORMAL, 0, poll_to_key(EVENT_MASK));
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

/* The word at @at, which is in the control regions, or NULL. */
u32 *krepis_word(struct krepis_channel *ch, u64 at)
{
	if ((at & 3) || at >= ch->layout.ring)
		return NULL;
	return ch->control + at;
}

/**
 * krepis_wait - sleeps while the word at @at is @value
 *
 * Return: 0 if it is not; -ETIMEDOUT; -EINTR; -EINVAL if there is no such word.
 */
int krepis_wait(struct krepis_endpoint *ep, u64 at, u32 value, s64 deadline_ns)
{
	wait_queue_head_t *queue = &krepis_slot_of(ep)->wait;
	u32 *word = krepis_word(ep->channel, at);
	ktime_t deadline = deadline_ns;
	DEFINE_WAIT(wait);
	int err;

	if (!word)
		return -EINVAL;
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
	smp_mb();
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
		;
	if (!READ_ONCE(ep->fenced)) {
		on_each_cpu(barrier_here, NULL, 1);
		WRITE_ONCE(ep->fenced, true);
	}
}

static __poll_t consumer_events(struct krepis_channel *ch, struct krepis_endpoint *ep)
{
	bool ready;

	if (ch->geometry.kind == KREPIS_TRIPLE)
		ready = krepis_triple_pending(ch->exchange);
	else
		ready = smp_load_acquire(&ch->producer->head) !=
			READ_ONCE(krepis_consumer_page(ch, ep->number - 1)->tail);
	return ready ? EPOLLIN | EPOLLRDNORM : 0;
}

/* Room for the largest record, and somebody to read it: as krepis_wait() in lib/. */
static __poll_t producer_events(struct krepis_channel *ch)
{
	u64 size = ch->geometry.ring_size, head = READ_ONCE(ch->producer->head);
	u32 live = READ_ONCE(ch->info->live) & ch->slots, rest;

	if (!live)
		return 0;
	if (ch->geometry.kind == KREPIS_TRIPLE || ch->geometry.backpressure == KREPIS_OVERWRITE)
		return EPOLLOUT | EPOLLWRNORM;
	for (rest = live; rest; rest &= rest - 1) {
		u64 used = head - smp_load_acquire(&krepis_consumer_page(ch, __ffs(rest))->tail);

		if (used > size || size - used < krepis_record_bytes(ch->geometry.inline_max))
			return 0;
	}
	return EPOLLOUT | EPOLLWRNORM;
}

static __poll_t events(struct krepis_endpoint *ep)
{
	struct krepis_channel *ch = ep->channel;
	bool producer = krepis_is_producer(ep), peer;
	__poll_t mask;

	/* First who is there, then what: what the dead published last is not missed. */
	peer = producer ? READ_ONCE(ch->info->live) & ch->slots :
			  !!smp_load_acquire(&ch->slot[0].endpoint);
	mask = producer ? producer_events(ch) : consumer_events(ch, ep);
	if (!peer && (ep->had_peer || READ_ONCE(ch->arrivals[producer]) != ep->peers))
		mask |= EPOLLHUP;
	return mask;
}

__poll_t krepis_poll(struct file *file, struct poll_table_struct *pt)
{
	struct krepis_view *view = file->private_data;
	struct krepis_endpoint *ep = view->endpoint;
	__poll_t mask;

	if (!krepis_may(view, KREPIS_RIGHT_WAIT))
		return EPOLLERR;
	poll_wait(file, &krepis_slot_of(ep)->wait, pt);
	mask = events(ep);
	if (mask)
		return mask;
	announce(ep);
	return events(ep);
}
