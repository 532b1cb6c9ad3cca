// SPDX-License-Identifier: MIT
/*
 * The two sides of a triple channel.
 */
#include "internal.h"
#include "poison.h"

static __u32 *own_note(struct krepis_endpoint *ep)
{
	return ep->role == KREPIS_PRODUCER ? &ep->producer->back : &ep->consumer->front;
}

/*
 * Which buffer is ours: what is neither in the middle nor the other side's. If
 * nobody is at the other side any buffer but the middle one will do. Called
 * with the slot taken, before the link is armed.
 */
int krepis_triple_init(struct krepis_endpoint *ep, bool other_attached)
{
	const __u32 *other = ep->role == KREPIS_PRODUCER ? &krepis_peer(ep, 0)->front :
							   &ep->producer->back;
	uint64_t word = krepis_load_acquire(&ep->exchange->word);
	uint32_t middle = krepis_triple_index(word);
	int index = -EAGAIN, tries;

	if (middle >= KREPIS_TRIPLE_BUFFERS)
		return -EPROTO;
	if (!other_attached) {
		index = (int)((middle + 1) % KREPIS_TRIPLE_BUFFERS);
		krepis_write(own_note(ep), (uint32_t)index);
	}
	for (tries = 0; index == -EAGAIN && tries < 1000000; tries++)
		index = krepis_triple_claim(ep->exchange, other);
	if (index < 0)
		return index == -EAGAIN ? -EBUSY : index;
	krepis_store_release(own_note(ep), (uint32_t)index);
	ep->triple.index = (uint32_t)index;
	ep->triple.count = krepis_triple_count(word);
	return 0;
}

static inline int triple_check(const struct krepis_endpoint *ep, uint32_t role)
{
	if (unlikely(!krepis_is(ep, KREPIS_TRIPLE, role)))
		return -EINVAL;
	return krepis_usable(ep) ? 0 : krepis_unusable(ep);
}

static inline void *triple_data(const struct krepis_endpoint *ep, uint32_t index)
{
	return ep->payload + index * ep->layout.stride;
}

KREPIS_API int krepis_triple_begin(struct krepis_endpoint *ep, void **data)
{
	int err = triple_check(ep, KREPIS_PRODUCER);

	if (unlikely(err))
		return err;
	*data = triple_data(ep, ep->triple.index);
	krepis_unpoison(*data, ep->geometry.buffer_size);
	ep->triple.begun = true;
	return 0;
}

KREPIS_API int krepis_triple_commit(struct krepis_endpoint *ep, uint16_t type, size_t len)
{
	struct triple *t = &ep->triple;
	struct krepis_desc *desc = &ep->desc[t->index];
	int err = triple_check(ep, KREPIS_PRODUCER);

	if (unlikely(err))
		return err;
	if (unlikely(!t->begun))
		return -EINVAL;
	if (unlikely(len > ep->geometry.buffer_size))
		return -EMSGSIZE;
	t->begun = false;
	krepis_poison(triple_data(ep, t->index), ep->geometry.buffer_size);
	krepis_write(&desc->len, (uint32_t)len);
	krepis_write(&desc->type, type);
	err = krepis_triple_publish(ep->exchange, t->index, ++t->count);
	if (unlikely(err < 0)) {
		ep->broken = err;
		return err;
	}
	t->index = (uint32_t)err;
	krepis_store_release(own_note(ep), t->index);
	krepis_count(&ep->counters->messages, 1);
	krepis_count(&ep->counters->bytes, len);
	krepis_notify_consumers(ep, krepis_live(ep));
	return 0;
}

/* The middle buffer is fresh: take it. */
static int take(struct krepis_endpoint *ep)
{
	struct triple *t = &ep->triple;
	struct krepis_desc *desc;
	uint32_t before = t->count;
	int index;

	index = krepis_triple_take(ep->exchange, t->index, &t->count);
	if (index < 0) {
		ep->broken = index;
		return index;
	}
	t->index = (uint32_t)index;
	krepis_store_release(own_note(ep), t->index);
	desc = &ep->desc[index];
	t->msg = (struct krepis_msg){
		.data = triple_data(ep, (uint32_t)index),
		.len = krepis_read(&desc->len),
		.type = krepis_read(&desc->type),
		.sequence = t->count,
	};
	if (t->msg.len > ep->geometry.buffer_size) {
		ep->broken = -EPROTO;
		return -EPROTO;
	}
	t->valid = true;
	krepis_count(&ep->counters->messages, 1);
	krepis_count(&ep->counters->bytes, t->msg.len);
	/* Values that were replaced before they were seen. */
	if (t->count - before > 1)
		krepis_count(&ep->counters->drops, t->count - before - 1);
	return 0;
}

KREPIS_API int krepis_triple_read(struct krepis_endpoint *ep, struct krepis_msg *msg)
{
	struct triple *t = &ep->triple;
	int err = triple_check(ep, KREPIS_CONSUMER);
	bool fresh;

	if (unlikely(err))
		return err;
	fresh = krepis_triple_pending(ep->exchange);
	if (fresh) {
		err = take(ep);
		if (err)
			return err;
	} else if (unlikely(!t->valid)) {
		return -ENODATA;
	}
	*msg = t->msg;
	msg->flags = fresh ? KREPIS_MSG_FRESH : 0;
	return 0;
}

/* A fresh value, or for a producer a consumer, as krepis_wait_until() asks for it. */
int krepis_triple_ready(struct krepis_endpoint *ep, void *arg)
{
	int err;

	(void)arg;
	if (ep->role == KREPIS_PRODUCER)
		return krepis_producer_peer(ep);
	if (krepis_triple_pending(ep->exchange))
		return 0;
	err = krepis_consumer_peer(ep);
	if (err && krepis_triple_pending(ep->exchange))
		return 0;
	return err ? err : -EAGAIN;
}
