// SPDX-License-Identifier: GPL-2.0-only
/*
 * Change of owner, on behalf of an endpoint. The transitions are the shared ones:
 * in a cooperative channel it makes no difference who executes them.
 */
#include <linux/nospec.h>
#include "internal.h"
#include "trace.h"

/*
 * The descriptor of @handle, or NULL. Only rings: a triple's buffers change hands
 * in its exchange word.
 */
static struct krepis_desc *desc_of(struct krepis_channel *ch, struct krepis_handle handle)
{
	if (ch->geometry.kind != KREPIS_RING || handle.index >= ch->geometry.buffer_count ||
	    !handle.generation)
		return NULL;
	return &ch->desc[array_index_nospec(handle.index, ch->geometry.buffer_count)];
}

/**
 * krepis_handoff - gives a buffer to all consumers
 *
 * Return: 0; -EPERM if the endpoint is no producer or does not own the buffer;
 * -EINVAL if there is no such buffer; -EMSGSIZE if @what->len is more than it holds; -ESTALE
 * if the handle names another life of it; -ENOTCONN if there is no consumer;
 * -EOWNERDEAD if it was taken back meanwhile.
 */
int krepis_handoff(struct krepis_endpoint *ep, const struct krepis_handoff *what)
{
	struct krepis_channel *ch = ep->channel;
	struct krepis_desc *desc = desc_of(ch, what->handle);
	const struct krepis_desc carries = {
		.len = what->len,
		.type = what->type,
		.flags = what->msg_flags,
		.crc32c = what->crc32c,
		.sequence = what->sequence,
	};
	int err;

	if (!krepis_is_producer(ep))
		return -EPERM;
	if (!desc)
		return -EINVAL;
	if (what->len > ch->geometry.buffer_size)
		return -EMSGSIZE;
	err = krepis_own_publish(desc, what->handle.generation, &ch->info->live, ch->slots,
				 &carries);
	if (!err && (what->flags & KREPIS_HANDOFF_WAKE))
		krepis_wake(ep, ch->slots);
	trace_krepis_handoff(ep, what->handle, what->len, err);
	return err;
}

/**
 * krepis_release - lets go of a consumer's hold; wakes the producer if it was the last
 *
 * Return: 0; -EPERM if the endpoint is no consumer; -EINVAL if there is no such buffer;
 * -ESTALE if the endpoint does not hold this life of it.
 */
int krepis_release(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	struct krepis_desc *desc = desc_of(ep->channel, handle), what;
	bool last;
	int err;

	if (krepis_is_producer(ep))
		return -EPERM;
	if (!desc)
		return -EINVAL;
	/* Of two releases of one hold, the second must not meet the buffer's next life. */
	spin_lock(&ep->lock);
	err = krepis_own_resolve(desc, handle.generation, ep->bit, U64_MAX, &what);
	last = !err && krepis_own_drop(desc, handle.generation, ep->bit);
	spin_unlock(&ep->lock);
	if (last)
		krepis_event(ep->channel, 0);
	trace_krepis_release(ep, handle, err);
	return err;
}
