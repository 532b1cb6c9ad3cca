// SPDX-License-Identifier: MIT
/*
 * A message that was received: its users, its payload, its end. Those in a buffer may be
 * given to other threads; views of the ring are the endpoint's thread's.
 */
#include "internal.h"
#include "poison.h"

KREPIS_API int krepis_release(struct krepis_endpoint *ep, const struct krepis_msg *msg)
{
	struct receiver *r = &ep->receiver;

	if (msg->buffer)
		return msg->buffer->endpoint == ep ? krepis_msg_put(msg) : -EINVAL;
	if (!krepis_is(ep, KREPIS_RING, KREPIS_CONSUMER))
		return -EINVAL;
	if (!krepis_here(ep))
		return -EBADF;
	if ((int64_t)(msg->sequence - r->tail) < 0 || !r->views)
		return -EPERM;
	/* The views of a batch end together: the ring's room is given back in order. */
	if (!--r->views)
		krepis_recv_done(ep);
	return 0;
}

KREPIS_API int krepis_msg_get(const struct krepis_msg *msg)
{
	uint64_t life;

	if (!msg->buffer)
		return -EINVAL;
	if (!krepis_here(msg->buffer->endpoint))
		return -EBADF;
	life = krepis_read(&msg->buffer->life);
	do {
		if (life >> 32 != msg->generation || !(uint32_t)life)
			return -EPERM;
	} while (!krepis_cas(&msg->buffer->life, &life, life + 1));
	return 0;
}

/* One user less. Return: 1 if it was the last, and the hold is to be dropped. */
static int put(const struct krepis_msg *msg)
{
	struct krepis_buffer *buffer = msg->buffer;
	uint64_t life;

	if (!buffer)
		return -EINVAL;
	if (!krepis_here(buffer->endpoint))
		return -EBADF;
	life = krepis_read(&buffer->life);
	do {
		if (life >> 32 != msg->generation || !(uint32_t)life)
			return -EPERM;
	} while (!krepis_cas(&buffer->life, &life, life - 1));
	if ((uint32_t)life != 1)
		return 0;
	krepis_poison(buffer->data, buffer->endpoint->geometry.buffer_size);
	return 1;
}

KREPIS_API int krepis_msg_put(const struct krepis_msg *msg)
{
	int last = put(msg);

	if (last <= 0)
		return last;
	krepis_owner_drop(msg->buffer->endpoint, (struct krepis_handle){
		.index = msg->buffer->index, .generation = msg->generation });
	return 0;
}

KREPIS_API int krepis_release_begin(struct krepis_endpoint *ep, const struct krepis_msg *msgs,
				    unsigned int count, struct krepis_release_args *args)
{
	unsigned int i, n = 0;

	if (ep->backend != &krepis_backend_kmod)
		return -EOPNOTSUPP;
	if (!krepis_here(ep))
		return -EBADF;
	for (i = 0; i < count; i++) {
		if (!msgs[i].buffer || msgs[i].buffer->endpoint != ep)
			return -EINVAL;
	}
	for (i = 0; i < count; i++) {
		if (put(&msgs[i]) <= 0)
			continue;
		args[n++] = (struct krepis_release_args){
			.size = sizeof(*args),
			.handle = { .index = msgs[i].buffer->index, .generation = msgs[i].generation },
		};
	}
	return (int)n;
}

KREPIS_API int krepis_msg_edit(const struct krepis_msg *msg, void **data)
{
	uint64_t life;

	if (!msg->buffer)
		return -EINVAL;
	if (!krepis_here(msg->buffer->endpoint))
		return -EBADF;
	if (!(msg->buffer->endpoint->geometry.flags & KREPIS_F_EXCLUSIVE))
		return -EACCES;
	life = krepis_read(&msg->buffer->life);
	if (life >> 32 != msg->generation || !(uint32_t)life)
		return -EPERM;
	krepis_unpoison(msg->buffer->data, msg->buffer->endpoint->geometry.buffer_size);
	*data = msg->buffer->data;
	return 0;
}

KREPIS_API int krepis_msg_verify(const struct krepis_msg *msg)
{
	if (!(msg->flags & KREPIS_MSG_CRC32C))
		return -ENODATA;
	return krepis_crc32c(0, msg->data, msg->len) == msg->crc32c ? 0 : -EBADMSG;
}
