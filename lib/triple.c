// SPDX-License-Identifier: MIT
/*
 * The two sides of a triple channel.
 */
#include <sched.h>
#include "internal.h"
#include "poison.h"

static __u32 *own_note(struct krepis_endpoint *ep)
{
	return ep->role == KREPIS_PRODUCER ? &ep->producer->back : &ep->consumer->front;
}

/* A triple's buffers have one life. */
static struct krepis_handle own_handle(const struct krepis_endpoint *ep)
{
	return (struct krepis_handle){ .index = ep->triple.index, .generation = 1 };
}

static inline void *triple_data(const struct krepis_endpoint *ep, uint32_t index)
{
	return ep->payload + index * ep->layout.stride;
}

/* The value in the buffer that this consumer owns. Its words are a peer's. */
static int receive(struct krepis_endpoint *ep)
{
	struct triple *t = &ep->triple;
	struct krepis_desc *desc = &ep->desc[t->index];

	t->msg = (struct krepis_msg){
		.data = triple_data(ep, t->index),
		.len = krepis_read(&desc->len),
		.type = krepis_read(&desc->type),
		.sequence = krepis_read(&desc->sequence),
	};
	if (t->msg.len > ep->geometry.buffer_size)
		return -EPROTO;
	t->valid = t->msg.sequence;
	return 0;
}

/* The slot is ours, and the buffer is noted. */
int krepis_triple_start(struct krepis_endpoint *ep)
{
	uint32_t index = krepis_read(own_note(ep));

	if (index >= KREPIS_TRIPLE_BUFFERS)
		return -EPROTO;
	ep->triple.index = index;
	ep->triple.count = krepis_triple_last(ep->desc);
	return ep->role == KREPIS_CONSUMER ? receive(ep) : 0;
}

/*
 * Which buffer is ours: what is neither in the middle nor the other side's. If
 * nobody is at the other side, or only a forked child of one who died between
 * the exchange and the note, any buffer but the middle one will do. A consumer finds in it
 * what its predecessor saw last. Called with the slot taken, before the link is armed.
 */
int krepis_triple_init(struct krepis_endpoint *ep, bool other_attached)
{
	const __u32 *other = ep->role == KREPIS_PRODUCER ? &krepis_peer(ep, 0)->front :
							   &ep->producer->back;
	const __u32 *link = ep->role == KREPIS_PRODUCER ? &krepis_peer(ep, 0)->link.word :
							  &ep->producer->link[0].word;
	int64_t deadline = krepis_deadline_ms(100);
	bool consumer = ep->role == KREPIS_CONSUMER;
	int index = -EAGAIN;

	/*
	 * The other side may have lost its processor in the middle of an exchange, or
	 * be dying there: while its lock is held it may still end it.
	 */
	while (other_attached && krepis_deadline_ns(0) < deadline) {
		index = krepis_triple_claim(ep->exchange, other);
		if (index != -EAGAIN)
			break;
		sched_yield();
	}
	if (index == -EAGAIN && other_attached && krepis_link_alive(krepis_read(link)))
		return -ETIMEDOUT;
	if (index == -EAGAIN)
		index = krepis_triple_pick(ep->exchange, ep->desc, consumer);
	if (index < 0)
		return index;
	krepis_triple_adopt(ep->desc, own_note(ep), (uint32_t)index, consumer);
	return krepis_triple_start(ep);
}

static inline int triple_check(const struct krepis_endpoint *ep, uint32_t role)
{
	if (unlikely(!krepis_is(ep, KREPIS_TRIPLE, role)))
		return -EINVAL;
	return krepis_usable(ep) ? 0 : krepis_unusable(ep);
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

/* Return: the next buffer, or an error. */
static int publish(struct krepis_endpoint *ep, uint16_t type, uint32_t len)
{
	struct triple *t = &ep->triple;
	struct krepis_desc *desc = &ep->desc[t->index];

	krepis_write(&desc->len, len);
	krepis_write(&desc->type, type);
	krepis_write(&desc->sequence, ++t->count);
	return krepis_triple_publish(ep->exchange, own_note(ep), t->index, (uint32_t)t->count);
}

/* The same by the kernel, which also wakes. */
static int hand_over(struct krepis_endpoint *ep, uint16_t type, uint32_t len)
{
	struct krepis_handoff args = {
		.size = sizeof(args), .handle = own_handle(ep), .len = len, .type = type,
	};

	return ep->backend->handoff(ep, &args);
}

KREPIS_API int krepis_triple_commit(struct krepis_endpoint *ep, uint16_t type, size_t len)
{
	struct triple *t = &ep->triple;
	int err = triple_check(ep, KREPIS_PRODUCER);

	if (unlikely(err))
		return err;
	if (unlikely(!t->begun))
		return -EINVAL;
	if (unlikely(len > ep->geometry.buffer_size))
		return -EMSGSIZE;
	t->begun = false;
	krepis_poison(triple_data(ep, t->index), ep->geometry.buffer_size);
	err = krepis_enforced(ep) ? hand_over(ep, type, (uint32_t)len) :
				    publish(ep, type, (uint32_t)len);
	if (unlikely(err < 0))
		return krepis_break(ep, err);
	t->index = (uint32_t)err;
	krepis_count(&ep->counters->messages, 1);
	krepis_count(&ep->counters->bytes, len);
	if (likely(!krepis_enforced(ep)))
		krepis_notify_consumers(ep, NULL);
	return 0;
}

/* Return: the buffer that was in the middle, with its publication number; or an error. */
static int exchange(struct krepis_endpoint *ep, uint32_t *number)
{
	int index;

	if (likely(!krepis_enforced(ep)))
		return krepis_triple_take(ep->exchange, own_note(ep), ep->triple.index, number);
	index = ep->backend->change(ep, KREPIS_IOC_RELEASE, own_handle(ep));
	*number = index < 0 ? 0 : (uint32_t)krepis_read(&ep->desc[index].sequence);
	return index;
}

/* The middle buffer is fresh: take it. */
static int take(struct krepis_endpoint *ep)
{
	struct triple *t = &ep->triple;
	uint32_t number, before = (uint32_t)t->count;
	int index, err;

	index = exchange(ep, &number);
	err = index < 0 ? index : 0;
	if (!err) {
		t->index = (uint32_t)index;
		err = receive(ep);
	}
	if (err)
		return krepis_break(ep, err);
	krepis_count(&ep->counters->messages, 1);
	krepis_count(&ep->counters->bytes, t->msg.len);
	/* Values that were replaced before they were seen. */
	t->count = number;
	if ((int32_t)(number - before) > 1)
		krepis_count(&ep->counters->drops, number - before - 1);
	return 0;
}

KREPIS_API int krepis_triple_read(struct krepis_endpoint *ep, struct krepis_msg *msg)
{
	struct triple *t = &ep->triple;
	int err = triple_check(ep, KREPIS_CONSUMER);

	if (unlikely(err))
		return err;
	if (krepis_triple_pending(ep->exchange)) {
		err = take(ep);
		if (err)
			return err;
		t->seen = false;
	}
	if (unlikely(!t->valid)) {
		krepis_rearm(ep);
		return -ENODATA;
	}
	if (t->seen)
		krepis_rearm(ep);
	*msg = t->msg;
	msg->flags = t->seen ? 0 : KREPIS_MSG_FRESH;
	t->seen = true;
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
