// SPDX-License-Identifier: GPL-2.0-only
/*
 * Change of owner, on behalf of an endpoint. The transitions are the shared ones:
 * in a cooperative channel it makes no difference who executes them.
 *
 * In an enforced channel nobody else does, and a change has three steps:
 *
 *	hand-over			release, exclusive
 *	1 the buffer is nobody's	1 it is held by nobody	both under ep->pages:
 *								no fault brings it back
 *	2 the giver's pages go		2 the same		all processors are flushed
 *	3 it is the consumers'		3 it is the producer's
 *
 * So whoever sees that he owns a buffer knows that the other side cannot touch it.
 * A peer may call all commands at once, in any order, from many threads; krepis_channel.owners
 * makes one after the other of it, because the transitions trust their callers to
 * hold what they let go of.
 */
#include <linux/nospec.h>
#include "internal.h"
#include "trace.h"

static bool overwrites(const struct krepis_channel *ch)
{
	return ch->geometry.backpressure == KREPIS_OVERWRITE;
}

/* The descriptor of @handle, or NULL. */
static struct krepis_desc *desc_of(struct krepis_channel *ch, struct krepis_handle handle)
{
	if (handle.index >= ch->geometry.buffer_count || !handle.generation)
		return NULL;
	return &ch->desc[array_index_nospec(handle.index, ch->geometry.buffer_count)];
}

/* The producer has published: tells the consumers that sleep. */
static void wake_sleepers(struct krepis_endpoint *ep)
{
	u32 asleep;

	/* Pairs with the sleeper's, after it announced itself. */
	smp_mb();
	asleep = krepis_sleepers(ep->channel);
	if (asleep)
		krepis_wake(ep, asleep);
}

/* -------------------------------------------------------------------- triple */

/*
 * Takes the buffer in @handle from @ep, which must have it. Return: 0, or -EPERM. From
 * then on it is the caller's to put it into the exchange word.
 */
static int give_up(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	u32 index = handle.index, had;

	if (krepis_gives_pages(ep))
		mutex_lock(&ep->pages);
	had = cmpxchg(krepis_held(ep), index, KREPIS_TRIPLE_BUFFERS);
	if (krepis_gives_pages(ep))
		mutex_unlock(&ep->pages);
	return had == index ? 0 : -EPERM;
}

/* The producer's value becomes the latest one. Return: its next buffer, or -EPERM. */
static int publish_value(struct krepis_endpoint *ep, struct krepis_desc *desc,
			 const struct krepis_handoff *what)
{
	struct krepis_channel *ch = ep->channel;
	u64 count;
	int err;

	err = give_up(ep, what->handle);
	if (err)
		return err;
	krepis_take_pages(ep, what->handle.index);
	count = krepis_triple_last(ch->desc) + 1;
	WRITE_ONCE(desc->len, what->len);
	WRITE_ONCE(desc->type, what->type);
	WRITE_ONCE(desc->sequence, count);
	err = krepis_triple_publish(ch->exchange, krepis_held(ep), what->handle.index, (u32)count);
	wake_sleepers(ep);
	return err;
}

/* The consumer takes the latest value. Return: its buffer; -EPERM; -EAGAIN if it is not new. */
static int take_value(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	struct krepis_exchange *x = ep->channel->exchange;
	u32 count;
	int err;

	if (!krepis_triple_pending(x))
		return -EAGAIN;
	err = give_up(ep, handle);
	if (err)
		return err;
	return krepis_triple_take(x, krepis_held(ep), handle.index, &count);
}

/* ---------------------------------------------------------------------- ring */

/* The record at @at, of a handle, is the last one from now on. */
static void publish_record(struct krepis_endpoint *ep, u64 at)
{
	krepis_ring_publish(ep->channel->producer,
			    at + krepis_record_bytes(sizeof(struct krepis_handle)));
	wake_sleepers(ep);
}

static int give(struct krepis_endpoint *ep, struct krepis_desc *desc,
		const struct krepis_handoff *what)
{
	struct krepis_channel *ch = ep->channel;
	u32 generation = what->handle.generation;
	const struct krepis_desc carries = {
		.len = what->len,
		.type = what->type,
		.flags = what->msg_flags,
		.crc32c = what->crc32c,
		.sequence = what->sequence,
		.giver = krepis_enforced(ch) ? READ_ONCE(ch->arrivals[0]) : 0,
	};
	int err;

	if (!krepis_enforced(ch))
		return krepis_own_publish(desc, generation, &ch->info->live, ch->slots, &carries);
	mutex_lock(&ep->pages);
	err = krepis_own_lock(desc, generation);
	mutex_unlock(&ep->pages);
	if (err)
		return err;
	krepis_take_pages(ep, what->handle.index);
	spin_lock(&ch->owners);
	err = krepis_own_give(desc, generation, &ch->info->live, ch->slots, &carries);
	spin_unlock(&ch->owners);
	return err;
}

/**
 * krepis_handoff - gives a buffer to all consumers
 *
 * Return: 0, of an enforced triple the producer's next buffer; -EPERM if the endpoint is
 * no producer or does not own the buffer; -EINVAL if there is no such buffer, or for
 * flags that are not for this channel; -EMSGSIZE if @what->len is more than it
 * holds; -ESTALE if the handle names another life of it; -ENOTCONN if there is no
 * consumer; -EOWNERDEAD if it was taken back meanwhile.
 */
int krepis_handoff(struct krepis_endpoint *ep, const struct krepis_handoff *what)
{
	struct krepis_channel *ch = ep->channel;
	struct krepis_desc *desc = desc_of(ch, what->handle);
	bool triple = ch->geometry.kind == KREPIS_TRIPLE;
	bool publish = what->flags & KREPIS_HANDOFF_PUBLISH;
	int err;

	if (!krepis_is_producer(ep))
		return -EPERM;
	if (!desc || (triple && !krepis_enforced(ch)) ||
	    (publish && (triple || !krepis_enforced(ch) || overwrites(ch))))
		return -EINVAL;
	if (what->len > ch->geometry.buffer_size)
		return -EMSGSIZE;
	err = triple ? publish_value(ep, desc, what) : give(ep, desc, what);
	if (!err && publish)
		publish_record(ep, what->sequence);
	if (err >= 0 && (what->flags & KREPIS_HANDOFF_WAKE))
		krepis_wake(ep, ch->slots);
	trace_krepis_handoff(ep, what->handle, what->len, err);
	return err;
}

/* Whether @ep has a hold on @desc in life @generation, as nobody else changes owners. */
static int check_hold(struct krepis_endpoint *ep, struct krepis_desc *desc, u32 generation)
{
	struct krepis_channel *ch = ep->channel;
	struct krepis_desc what;
	int err;

	err = krepis_own_resolve(desc, generation, ep->bit, U64_MAX, &what);
	/* What may be evicted any time is no hold yet. */
	if (!err && krepis_enforced(ch) && overwrites(ch) && !(READ_ONCE(desc->claim) & ep->bit))
		err = -ESTALE;
	return err;
}

/* Return: 1 if the buffer went back to the producer, 0 if others hold it, or an error. */
static int drop(struct krepis_endpoint *ep, struct krepis_desc *desc, u32 generation)
{
	struct krepis_channel *ch = ep->channel;
	int ret;

	/* Of two releases of one hold, the second must not meet the buffer's next life. */
	spin_lock(&ch->owners);
	ret = check_hold(ep, desc, generation);
	if (!ret)
		ret = krepis_own_drop(desc, generation, ep->bit);
	spin_unlock(&ch->owners);
	return ret;
}

/* The same, and the only holder's pages go before the producer has the buffer. */
static int drop_pages(struct krepis_endpoint *ep, struct krepis_desc *desc, u32 generation,
		      u32 index)
{
	struct krepis_channel *ch = ep->channel;
	int err;

	mutex_lock(&ep->pages);
	spin_lock(&ch->owners);
	err = check_hold(ep, desc, generation);
	if (!err)
		krepis_fetch_andnot(&desc->holders, ep->bit);
	spin_unlock(&ch->owners);
	mutex_unlock(&ep->pages);
	if (err)
		return err;
	krepis_take_pages(ep, index);
	return krepis_own_return(desc, generation);
}

/**
 * krepis_release - lets go of a consumer's hold; wakes the producer if it was the last
 *
 * Return: 0, of an enforced triple the consumer's next buffer; -EPERM if the endpoint is
 * no consumer, or does not have that buffer of a triple; -EINVAL if there is no such
 * buffer; -ESTALE if the endpoint does not hold this life of it; -EAGAIN if there is
 * nothing fresh in a triple.
 */
int krepis_release(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	struct krepis_channel *ch = ep->channel;
	struct krepis_desc *desc = desc_of(ch, handle);
	bool triple = ch->geometry.kind == KREPIS_TRIPLE;
	int ret;

	if (krepis_is_producer(ep))
		return -EPERM;
	if (!desc || (triple && !krepis_enforced(ch)))
		return -EINVAL;
	if (triple)
		ret = take_value(ep, handle);
	else if (krepis_gives_pages(ep))
		ret = drop_pages(ep, desc, handle.generation, handle.index);
	else
		ret = drop(ep, desc, handle.generation);
	if (!triple && ret > 0) {
		krepis_event(ch, 0);
		ret = 0;
	}
	trace_krepis_release(ep, handle, ret);
	return ret;
}

/**
 * krepis_take - keeps a buffer although its record may be overwritten
 *
 * Return: 0; -EPERM if the endpoint is no consumer; -EOPNOTSUPP if the channel does not
 * overwrite, or is not enforced; -EINVAL if there is no such buffer; -ESTALE if
 * it is lost, was taken already, or is in another life.
 */
int krepis_take(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	struct krepis_channel *ch = ep->channel;
	struct krepis_desc *desc = desc_of(ch, handle), what;
	int err;

	if (krepis_is_producer(ep))
		return -EPERM;
	if (!krepis_enforced(ch) || !overwrites(ch))
		return -EOPNOTSUPP;
	if (!desc)
		return -EINVAL;
	spin_lock(&ch->owners);
	err = krepis_own_resolve(desc, handle.generation, ep->bit, U64_MAX, &what);
	if (!err && !krepis_own_take(desc, handle.generation, ep->bit))
		err = -ESTALE;
	spin_unlock(&ch->owners);
	return err;
}

/**
 * krepis_evict - takes a buffer back from the consumers that did not take it
 *
 * Return: 0; -EPERM if the endpoint is no producer; -EOPNOTSUPP if the channel does not
 * overwrite, or is not enforced; -EINVAL if there is no such buffer; -ESTALE if
 * the consumers do not have this life of it.
 */
int krepis_evict(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	struct krepis_channel *ch = ep->channel;
	struct krepis_desc *desc = desc_of(ch, handle);
	int err = 0;

	if (!krepis_is_producer(ep))
		return -EPERM;
	if (!krepis_enforced(ch) || !overwrites(ch))
		return -EOPNOTSUPP;
	if (!desc)
		return -EINVAL;
	spin_lock(&ch->owners);
	if (READ_ONCE(desc->word) != krepis_own_word(KREPIS_OWNED_CONSUMER, handle.generation))
		err = -ESTALE;
	else
		krepis_own_evict(desc, handle.generation);
	spin_unlock(&ch->owners);
	return err;
}
