// SPDX-License-Identifier: MIT
/*
 * Endpoints: attach, detach, shutdown, and who is at the other side.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "internal.h"

static uint32_t spin_limit(uint32_t flags)
{
	if (flags & KREPIS_ATTACH_NO_SPIN)
		return 0;
	/* With one processor, spinning only keeps the peer from running. */
	return sysconf(_SC_NPROCESSORS_ONLN) < 2 ? 0 : SPIN_MAX;
}

/* Where the backend has mapped the regions: @control up to the ring in one piece. */
void krepis_endpoint_regions(struct krepis_endpoint *ep, uint8_t *control, uint8_t *ring,
			     uint8_t *payload)
{
	const struct krepis_layout *l = &ep->layout;

	ep->info = (struct krepis_info *)control;
	ep->producer = (struct krepis_producer *)(control + l->producer);
	ep->consumers = control + l->consumers;
	ep->exchange = (struct krepis_exchange *)(control + l->descriptors);
	ep->desc = (struct krepis_desc *)(ep->exchange + 1);
	ep->ring = ring;
	ep->ring_mask = ep->geometry.ring_size - 1;
	ep->payload = payload;
}

/* The words that are this endpoint's own, and who is at the other side. The slot is known. */
void krepis_endpoint_side(struct krepis_endpoint *ep)
{
	if (ep->role == KREPIS_PRODUCER) {
		ep->waiter = &ep->producer->waiter;
		ep->counters = &ep->producer->counters;
		ep->peers = krepis_read(&ep->info->consumers);
		ep->seen = krepis_read(&ep->info->live);
		return;
	}
	ep->bit = 1U << ep->slot;
	ep->consumer = krepis_peer(ep, ep->slot);
	ep->waiter = &ep->consumer->waiter;
	ep->counters = &ep->consumer->counters;
	ep->peers = krepis_read(&ep->info->producers);
	ep->seen = krepis_link_alive(krepis_read(&ep->producer->link[ep->slot].word));
}

static void endpoint_free(struct krepis_endpoint *ep)
{
	if (krepis_is(ep, KREPIS_RING, KREPIS_CONSUMER))
		free(ep->receiver.scratch);
	free(ep);
}

KREPIS_API int krepis_attach(struct krepis_channel *channel, enum krepis_role role,
			     uint32_t flags, struct krepis_endpoint **out)
{
	const uint32_t known = KREPIS_ATTACH_EINTR | KREPIS_ATTACH_NO_SPIN | KREPIS_ATTACH_NO_CACHE;
	struct krepis_endpoint *ep;
	int err;

	if ((flags & ~known) || (role != KREPIS_PRODUCER && role != KREPIS_CONSUMER))
		return -EINVAL;
	if (posix_memalign((void **)&ep, LINE, sizeof(*ep)))
		return -ENOMEM;
	memset(ep, 0, sizeof(*ep));
	ep->role = role;
	ep->flags = flags;
	ep->spin_max = spin_limit(flags);
	ep->spin = ep->spin_max;
	ep->geometry = channel->geometry;
	ep->layout = channel->layout;
	ep->backend = channel->backend;
	ep->slots = (uint32_t)((1ULL << channel->geometry.max_consumers) - 1);
	err = ep->backend->attach(ep, channel->fd);
	if (err)
		goto err_free;
	if (ep->geometry.kind == KREPIS_RING && !krepis_overwrites(ep) &&
	    !(role == KREPIS_CONSUMER && krepis_enforced(ep)))
		ep->plain = role;
	err = krepis_buffers_create(ep);
	if (!err && ep->geometry.kind == KREPIS_RING && role == KREPIS_PRODUCER)
		err = krepis_pool_init(ep);
	if (err)
		goto err_detach;
	*out = ep;
	return 0;

err_detach:
	krepis_buffers_destroy(ep);
	ep->backend->detach(ep, false);
err_free:
	endpoint_free(ep);
	return err;
}

KREPIS_API void krepis_detach(struct krepis_endpoint *ep)
{
	bool forked, ring;

	if (!ep)
		return;
	forked = !krepis_here(ep);
	ring = ep->geometry.kind == KREPIS_RING;
	if (!forked) {
		krepis_shutdown(ep);
		if (ring && ep->role == KREPIS_PRODUCER && !ep->broken)
			krepis_sender_finish(ep);
		if (ring && ep->role == KREPIS_CONSUMER && !ep->broken)
			krepis_recv_done(ep);
	}
	krepis_members_drop(ep);
	if (ep->bell)
		krepis_bell_destroy(ep, forked);
	if (ring && ep->role == KREPIS_PRODUCER)
		krepis_pool_destroy(ep);
	krepis_buffers_destroy(ep);
	ep->backend->detach(ep, forked);
	endpoint_free(ep);
}

/* Only what is allowed in a signal handler: atomics and a system call. */
KREPIS_API void krepis_shutdown(struct krepis_endpoint *ep)
{
	int saved = errno;

	/* Pairs with krepis_stopped(). */
	__atomic_fetch_or(ep->state, KREPIS_STOPPED, __ATOMIC_RELEASE);
	krepis_wake_local(ep);
	errno = saved;
}

/*
 * A consumer has read all there is: will more come? The acquire pairs with
 * clear_links() and with the kernel's marking: what the producer published
 * before it went is visible to the look at the ring that follows.
 *
 * Return: 0 if a producer is there or none ever was; -KREPIS_PEER_GONE.
 */
int krepis_consumer_peer(struct krepis_endpoint *ep)
{
	uint32_t link = krepis_load_acquire(&ep->producer->link[ep->slot].word);

	if (krepis_link_alive(link)) {
		krepis_write(&ep->seen, true);
		return 0;
	}
	if (krepis_link_died(link) && ep->backend->sweep(ep))
		krepis_write(&ep->unsettled, true);
	if (!krepis_read(&ep->seen) && krepis_load_acquire(&ep->info->producers) == ep->peers)
		return 0;
	/* One who came just now armed its link before it was counted. */
	return krepis_link_alive(krepis_load_acquire(&ep->producer->link[ep->slot].word)) ?
	       0 : -KREPIS_PEER_GONE;
}

/*
 * The producer cannot go on: is somebody there who will make room?
 *
 * Return: 0 if so; -ENOTCONN if nobody ever was; -KREPIS_PEER_GONE.
 */
int krepis_producer_peer(struct krepis_endpoint *ep)
{
	uint32_t rest;
	bool died = false, came;

	/* All slots, not only the live: a sweeper may have died halfway. */
	for (rest = ep->slots; rest; rest &= rest - 1) {
		struct krepis_consumer *c = krepis_peer(ep, __builtin_ctz(rest));

		died |= krepis_link_died(krepis_load_acquire(&c->link.word));
	}
	if (died && ep->backend->sweep(ep))
		krepis_write(&ep->unsettled, true);
	came = krepis_load_acquire(&ep->info->consumers) != ep->peers;
	/* One who came just now set its live bit before it was counted. */
	if (krepis_live(ep)) {
		krepis_write(&ep->seen, true);
		return 0;
	}
	return krepis_read(&ep->seen) || came ? -KREPIS_PEER_GONE : -ENOTCONN;
}

/* How many consumers will get what is sent now. */
static unsigned int joined(const struct krepis_endpoint *ep)
{
	uint32_t rest = krepis_live(ep);
	unsigned int n = 0;

	for (; rest; rest &= rest - 1)
		n += krepis_load_acquire(&krepis_peer(ep, __builtin_ctz(rest))->joined) == 1;
	return n;
}

static int peers_ready(struct krepis_endpoint *ep, void *arg)
{
	unsigned int count = *(unsigned int *)arg;

	if (ep->role == KREPIS_CONSUMER) {
		krepis_consumer_peer(ep);
		return krepis_link_alive(krepis_load_acquire(&ep->producer->link[ep->slot].word)) ?
		       0 : -EAGAIN;
	}
	krepis_producer_peer(ep);
	return joined(ep) >= count ? 0 : -EAGAIN;
}

KREPIS_API int krepis_wait_peer(struct krepis_endpoint *ep, unsigned int count, int64_t deadline)
{
	unsigned int most = ep->role == KREPIS_PRODUCER ? ep->geometry.max_consumers : 1;

	if (!krepis_usable(ep))
		return krepis_unusable(ep);
	if (!count || count > most)
		return -EINVAL;
	return krepis_wait_until(ep, peers_ready, &count, deadline);
}

KREPIS_API int krepis_wait(struct krepis_endpoint *ep, int64_t deadline)
{
	uint64_t bytes = krepis_record_bytes(ep->geometry.inline_max);

	/* After krepis_shutdown() what is there may still be read. */
	if (!krepis_usable(ep) && (krepis_unusable(ep) != -ESHUTDOWN || ep->role == KREPIS_PRODUCER))
		return krepis_unusable(ep);
	if (krepis_is(ep, KREPIS_RING, KREPIS_PRODUCER)) {
		int err = krepis_flush(ep);

		return err ? err : krepis_wait_until(ep, krepis_send_ready, &bytes, deadline);
	}
	if (krepis_is(ep, KREPIS_RING, KREPIS_CONSUMER)) {
		krepis_recv_done(ep);
		return krepis_wait_until(ep, krepis_recv_ready, NULL, deadline);
	}
	return krepis_wait_until(ep, krepis_triple_ready, NULL, deadline);
}

KREPIS_API int krepis_fd(struct krepis_endpoint *ep)
{
	if (!krepis_here(ep))
		return -EBADF;
	krepis_write(&ep->polled, true);
	return ep->backend->fd ? ep->backend->fd(ep) : krepis_bell_fd(ep);
}

KREPIS_API int krepis_endpoint_query(struct krepis_endpoint *ep, struct krepis_status *status)
{
	bool producer;
	int err;

	if (!krepis_here(ep))
		return -EBADF;
	producer = ep->role == KREPIS_PRODUCER ||
		   krepis_link_alive(krepis_read(&ep->producer->link[ep->slot].word));
	err = krepis_status_init(status, ep->backend, &ep->geometry);
	if (err)
		return err;
	krepis_status_count(status, ep->info, producer);
	status->slot = ep->slot;
	if (ep->role == KREPIS_CONSUMER)
		status->counters = status->consumers[ep->slot];
	return 0;
}
