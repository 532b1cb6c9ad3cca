// SPDX-License-Identifier: MIT
/*
 * Change of owner. In a cooperative channel by the transitions of ownership.h, in an
 * enforced one by commands: there only the kernel writes descriptors.
 */
#include "internal.h"

static int change(struct krepis_endpoint *ep, unsigned long cmd, struct krepis_handle handle)
{
	return ep->backend->change(ep, cmd, handle);
}

/*
 * Hands the buffer over that is named in the record at the head: @what->sequence. An
 * enforced ring makes the same system call publish the record, if it can.
 *
 * Return: 0, and in @published whether the record is published too; or as
 * krepis_own_publish().
 */
int krepis_owner_publish(struct krepis_endpoint *ep, struct krepis_handle handle,
			 const struct krepis_desc *what, bool *published)
{
	struct krepis_handoff args = {
		.size = sizeof(args),
		.flags = krepis_overwrites(ep) ? 0 : KREPIS_HANDOFF_PUBLISH,
		.handle = handle,
		.len = what->len,
		.type = what->type,
		.msg_flags = what->flags,
		.crc32c = what->crc32c,
		.sequence = what->sequence,
	};

	*published = false;
	if (likely(!krepis_enforced(ep)))
		return krepis_own_publish(&ep->desc[handle.index], handle.generation,
					  &ep->info->live, ep->slots, what);
	*published = args.flags;
	return ep->backend->handoff(ep, &args);
}

/* Overwrite: the record of @handle is about to go. */
void krepis_owner_evict(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	if (krepis_enforced(ep))
		change(ep, KREPIS_IOC_EVICT, handle);
	else
		krepis_own_evict(&ep->desc[handle.index], handle.generation);
}

/* Overwrite: whether the hold is this consumer's until it drops it. */
bool krepis_owner_take(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	if (krepis_enforced(ep))
		return !change(ep, KREPIS_IOC_TAKE, handle);
	return krepis_own_take(&ep->desc[handle.index], handle.generation, ep->bit);
}

/* Drops this consumer's hold. Any thread. */
void krepis_owner_drop(struct krepis_endpoint *ep, struct krepis_handle handle)
{
	if (krepis_enforced(ep))
		change(ep, KREPIS_IOC_RELEASE, handle);	/* and wakes the producer */
	else if (krepis_own_drop(&ep->desc[handle.index], handle.generation, ep->bit))
		krepis_notify_producer(ep, UINT64_MAX);
}

/* Enforced: drops the hold in life @generation, if that is one. */
static void let_go(struct krepis_endpoint *ep, uint32_t index, uint32_t generation)
{
	struct krepis_handle handle = { .index = index, .generation = generation };

	if (generation && (!krepis_overwrites(ep) || krepis_owner_take(ep, handle)))
		krepis_owner_drop(ep, handle);
}

/* The consumer has attached and reads from @position on: see krepis_own_unread(). */
void krepis_owner_forgo(struct krepis_endpoint *ep, uint64_t position)
{
	uint32_t i;

	for (i = 0; i < ep->geometry.buffer_count; i++) {
		if (krepis_enforced(ep))
			let_go(ep, i, krepis_own_unread(&ep->desc[i], ep->bit, position));
		else
			krepis_own_forgo(&ep->desc[i], ep->bit, position, krepis_overwrites(ep));
	}
}

/* The life in which the consumer holds what it never received, or 0. */
static uint32_t unreceived(struct krepis_endpoint *ep, uint32_t index)
{
	uint32_t generation = krepis_own_held(&ep->desc[index], ep->bit);
	uint64_t life = krepis_read(&ep->buffers[index].life);

	return life >> 32 == generation && (uint32_t)life ? 0 : generation;
}

/*
 * Enforced: what a producer gave stays given when it dies, also if it never published the
 * record. Called when the ring is empty. Then all that was published by those before
 * producer number @producers was read, and by that one too if it is @gone: what this
 * consumer holds of theirs beside that, it will never receive.
 */
void krepis_owner_mourn(struct krepis_endpoint *ep, uint32_t producers, bool gone)
{
	int32_t newest = gone ? 0 : -1;
	uint32_t i;

	if (likely(!gone && producers == ep->receiver.mourned))
		return;
	ep->receiver.mourned = producers;
	for (i = 0; i < ep->geometry.buffer_count; i++) {
		uint32_t generation = unreceived(ep, i);

		if ((int32_t)(krepis_read(&ep->desc[i].giver) - producers) <= newest)
			let_go(ep, i, generation);
	}
}
