// SPDX-License-Identifier: MIT
/*
 * The consumer's side of a ring. Everything here comes from another process:
 * each word is read once, checked, and only the copy is used.
 */
#include <stdlib.h>
#include <string.h>
#include <krepis/batch.h>
#include "internal.h"
#include "poison.h"

#define LULL_STEP	2	/* pauses, of some 20 ns */
#define LULL_MAX	32
#define LULL_WORTH	4	/* pauses that one message more is worth */
#define SINGLES		16	/* until the next record is looked at again */
#define GLANCE_SHARE	4	/* of the time to spin, for the look at the next record */
#define ODD_MAX		16
#define CACHE_LINE	64

/* Where reading starts: behind all that is published when the live bit is visible. */
static int start_overwrite(struct krepis_endpoint *ep)
{
	struct receiver *r = &ep->receiver;
	struct krepis_ring_marks marks;
	int err, tries = 1000;

	r->scratch = malloc(krepis_record_bytes(ep->geometry.inline_max));
	if (!r->scratch)
		return -ENOMEM;
	krepis_mb_after_atomic();
	do {
		err = krepis_ring_marks(ep->producer, ep->geometry.ring_size, &marks);
	} while (err == -EAGAIN && --tries);
	/* A producer that died in between left it so. */
	if (err == -EAGAIN) {
		krepis_ring_recount(ep->producer, ep->ring, ep->geometry.ring_size,
				    ep->geometry.inline_max, &marks);
		err = 0;
	}
	r->pos = marks.head;
	r->count = marks.head_count;
	krepis_ring_consume(ep->consumer, r->pos);
	return err;
}

int krepis_receiver_init(struct krepis_endpoint *ep)
{
	struct receiver *r = &ep->receiver;

	r->mourned = krepis_read(&ep->info->producers);
	if (krepis_overwrites(ep)) {
		int err = start_overwrite(ep);

		if (err)
			return err;
	} else {
		r->pos = krepis_ring_join(ep->producer, ep->consumer);
		if (r->pos & 7)
			return -EPROTO;
		/* A batch may begin at the end of the ring, and be as long as that. */
		if (krepis_enforced(ep))
			r->scratch = malloc(2 * ep->geometry.ring_size);
		if (krepis_enforced(ep) && !r->scratch)
			return -ENOMEM;
	}
	r->head = r->pos;
	r->tail = r->pos;
	krepis_write(&ep->consumer->direct, 0);
	krepis_owner_forgo(ep, r->pos);
	return 0;
}

/* Gives back the room of the inline messages whose views have ended. */
static inline void recv_done(struct krepis_endpoint *ep)
{
	struct receiver *r = &ep->receiver;

	r->views = 0;
	if (r->tail == r->pos)
		return;
	r->tail = r->pos;
	krepis_ring_consume(ep->consumer, r->pos);
	krepis_notify_producer(ep, r->pos);
}

void krepis_recv_done(struct krepis_endpoint *ep)
{
	recv_done(ep);
}

static int broken(struct krepis_endpoint *ep)
{
	return krepis_break(ep, -EPROTO);
}

static inline void counted(struct krepis_endpoint *ep, uint32_t len)
{
	krepis_count(&ep->counters->messages, 1);
	krepis_count(&ep->counters->bytes, len);
}

/*
 * The message that a handle names. Return: 0; -ESTALE if it is not for us, or
 * not any more.
 */
static int resolve(struct krepis_endpoint *ep, struct krepis_handle handle, struct krepis_msg *msg)
{
	struct krepis_buffer *buffer;
	struct krepis_desc *desc, what;
	uint64_t life;
	int err;

	if (handle.index >= ep->geometry.buffer_count || !handle.generation)
		return -ESTALE;
	buffer = &ep->buffers[handle.index];
	life = krepis_read(&buffer->life);
	/* A second record of a buffer that is in use here, in this life. */
	if (life >> 32 == handle.generation && (uint32_t)life)
		return -ESTALE;
	desc = &ep->desc[handle.index];
	err = krepis_own_resolve(desc, handle.generation, ep->bit, ep->geometry.buffer_size, &what);
	if (!err && krepis_overwrites(ep) && !krepis_owner_take(ep, handle))
		err = -ESTALE;
	if (err)
		return -ESTALE;
	krepis_write(&buffer->life, krepis_life(handle.generation, 1));
	krepis_unpoison(buffer->data, what.len);
	msg->data = buffer->data;
	msg->len = what.len;
	msg->flags = (uint16_t)(what.flags & KREPIS_MSG_CRC32C) | KREPIS_MSG_BUFFER;
	msg->buffer = buffer;
	msg->crc32c = what.crc32c;
	msg->generation = handle.generation;
	return 0;
}

/*
 * Enforced: of an inline message the caller sees a copy that nobody else can change.
 * It stands where the record would in a private ring, so those of a batch stand side by side.
 */
static const uint8_t *private_copy(struct krepis_endpoint *ep, const uint8_t *payload, uint32_t len)
{
	uint8_t *copy = ep->receiver.scratch + (size_t)(payload - ep->ring);

	memcpy(copy, payload, len);
	return copy;
}

/* Looks at the head once, if what was known to be there is read. */
static inline int look(struct krepis_endpoint *ep)
{
	struct receiver *r = &ep->receiver;
	int64_t available;

	if (r->head != r->pos)
		return 0;
	available = krepis_ring_available(ep->producer, ep->geometry.ring_size, r->pos, false);
	if (unlikely(available < 0))
		return (int)available;
	r->head = r->pos + (uint64_t)available;
	return available ? 0 : -EAGAIN;
}

/* The message @record at the position, whose payload stands in the ring. */
static inline void view(struct krepis_endpoint *ep, const uint8_t *payload,
			const struct krepis_record *record, struct krepis_msg *msg)
{
	struct receiver *r = &ep->receiver;

	msg->data = payload;
	msg->len = record->len;
	msg->type = record->type;
	msg->flags = 0;
	msg->sequence = r->pos;
	msg->buffer = NULL;
	r->pos += krepis_record_bytes(record->len);
	r->views++;
	counted(ep, record->len);
}

/*
 * The next message of a ring that is not overwritten, or -EAGAIN. A producer of records
 * that are not for us keeps nobody here.
 */
static int next(struct krepis_endpoint *ep, struct krepis_msg *msg)
{
	struct receiver *r = &ep->receiver;
	struct krepis_record record;
	struct krepis_handle handle;
	int err = look(ep);

	if (err)
		return err == -EPROTO ? broken(ep) : err;
	while (r->head != r->pos) {
		const uint8_t *data = ep->ring + (r->pos & ep->ring_mask);
		uint64_t available = r->head - r->pos;

		if (unlikely(krepis_ring_record(data, available, ep->geometry.inline_max,
						&record)))
			return broken(ep);
		if (likely(!(record.flags & KREPIS_MSG_BUFFER))) {
			data += sizeof(record);
			if (unlikely(krepis_enforced(ep)))
				data = private_copy(ep, data, record.len);
			view(ep, data, &record, msg);
			return 0;
		}
		msg->sequence = r->pos;
		msg->type = record.type;
		r->pos += krepis_record_bytes(record.len);
		memcpy(&handle, data + sizeof(record), sizeof(handle));
		if (likely(!resolve(ep, handle, msg))) {
			counted(ep, msg->len);
			return 0;
		}
		/* Not granted to us, or taken back from a dead producer: no message. */
		krepis_count(&ep->counters->drops, 1);
	}
	return -EAGAIN;
}

static int lost(struct krepis_endpoint *ep, struct krepis_msg *msg, uint64_t count)
{
	krepis_count(&ep->counters->drops, count);
	msg->lost = count;
	return -KREPIS_ELAPPED;
}

/*
 * The producer overtook us: go on with the oldest whole record. If it died while
 * it moved the marks nobody will complete them, and we count for ourselves.
 */
static int lapped(struct krepis_endpoint *ep, struct krepis_msg *msg)
{
	struct receiver *r = &ep->receiver;
	struct krepis_ring_marks marks;
	uint64_t count, most;
	int err;

	err = krepis_ring_marks(ep->producer, ep->geometry.ring_size, &marks);
	if (err == -EAGAIN) {
		if (!krepis_consumer_peer(ep))
			return err;
		krepis_ring_recount(ep->producer, ep->ring, ep->geometry.ring_size,
				    ep->geometry.inline_max, &marks);
	}
	if (err == -EPROTO || (int64_t)(marks.floor - r->pos) <= 0 || (marks.floor & 7))
		return broken(ep);
	most = (marks.floor - r->pos) / sizeof(struct krepis_record);
	count = marks.floor_count - r->count;
	if (!count || count > most)
		count = count ? most : 1;
	r->pos = marks.floor;
	r->count = marks.floor_count;
	return lost(ep, msg, count);
}

/* Word by word: the producer may be writing here, and the floor will tell. */
static void copy_racy(void *to, const void *from, uint32_t len)
{
	const uint64_t *src = from;
	uint64_t *dst = to;
	uint32_t i;

	for (i = 0; i < (len + 7) / 8; i++)
		dst[i] = krepis_read(&src[i]);
}

/* The next message of an overwritten ring, copied out before it is believed. */
static int next_overwrite(struct krepis_endpoint *ep, struct krepis_msg *msg)
{
	struct receiver *r = &ep->receiver;
	const uint8_t *data = ep->ring + (r->pos & ep->ring_mask);
	struct krepis_record record;
	struct krepis_handle handle;
	int64_t available;
	int bad;

	available = krepis_ring_available(ep->producer, ep->geometry.ring_size, r->pos, true);
	if (!available)
		return -EAGAIN;
	if (available < 0)
		return broken(ep);
	if ((uint64_t)available > ep->geometry.ring_size)
		return lapped(ep, msg);
	bad = krepis_ring_record(data, (uint64_t)available, ep->geometry.inline_max, &record);
	if (!bad)
		copy_racy(r->scratch, data + sizeof(record), record.len);
	if (!krepis_ring_intact(ep->producer, r->pos))
		return lapped(ep, msg);
	if (bad)
		return broken(ep);
	msg->sequence = r->pos;
	msg->type = record.type;
	r->pos += krepis_record_bytes(record.len);
	r->count++;
	if (!(record.flags & KREPIS_MSG_BUFFER)) {
		msg->data = r->scratch;
		msg->len = record.len;
		msg->flags = 0;
		msg->buffer = NULL;
		r->views++;
	} else {
		memcpy(&handle, r->scratch, sizeof(handle));
		if (resolve(ep, handle, msg))
			return lost(ep, msg, 1);
	}
	counted(ep, msg->len);
	return 0;
}

static inline int next_message(struct krepis_endpoint *ep, struct krepis_msg *msg)
{
	return unlikely(krepis_overwrites(ep)) ? next_overwrite(ep, msg) : next(ep, msg);
}

/* Something to read, as krepis_wait_until() asks for it. */
int krepis_recv_ready(struct krepis_endpoint *ep, void *arg)
{
	struct receiver *r = &ep->receiver;
	uint32_t producers;
	int err;

	(void)arg;
	if (r->head != r->pos && !krepis_overwrites(ep))
		return 0;
	/* First who came, then what there is: what the last but one published is below. */
	producers = krepis_load_acquire(&ep->info->producers);
	if (krepis_read(&ep->producer->head) != r->pos)
		return 0;
	err = krepis_consumer_peer(ep);
	/* It may have published before it went: look once more. */
	if (err && krepis_load_acquire(&ep->producer->head) != r->pos)
		return 0;
	if (unlikely(krepis_enforced(ep)))
		krepis_owner_mourn(ep, producers, err);
	return err ? err : -EAGAIN;
}

/* Whether more than @count records are there. The size of the first may be a lie. */
static bool more_than(struct krepis_endpoint *ep, uint32_t count)
{
	struct receiver *r = &ep->receiver;
	uint64_t available = krepis_load_acquire(&ep->producer->head) - r->pos;
	uint32_t len;

	if (!available)
		return false;
	len = krepis_read((const uint32_t *)(ep->ring + (r->pos & ep->ring_mask)));
	return available > count * krepis_record_bytes(len);
}

/*
 * A consumer that is as fast as its producer finds the ring empty after every
 * message, and then each costs both of them a cache miss on the head. So where
 * messages come faster than one can look, it looks away for a while, that they
 * come in batches; and where too few of them did for so many pauses, not so long: they
 * would only wait.
 */
static void lull(struct krepis_endpoint *ep)
{
	struct receiver *r = &ep->receiver;
	uint32_t i;

	for (i = 0; i < r->lull; i++)
		krepis_relax();
	if (!more_than(ep, 1 + r->lull / LULL_WORTH))
		r->lull /= 2;
	else if (r->lull < LULL_MAX)
		r->lull += LULL_STEP;
}

static void look_at_records(struct krepis_endpoint *ep, bool direct)
{
	struct receiver *r = &ep->receiver;

	r->direct = direct;
	r->singles = 0;
	krepis_write(&ep->consumer->direct, direct);
}

/* Something came, of which the head told. */
static void came(struct krepis_endpoint *ep)
{
	struct receiver *r = &ep->receiver;

	if (r->lull)
		return;
	if (more_than(ep, 1)) {
		r->lull = LULL_STEP;
		look_at_records(ep, false);
	} else if (ep->plain && ++r->singles == SINGLES) {
		look_at_records(ep, true);
	}
}

/*
 * Waits a little, with an eye on the next record. One that is there and not HERE is being
 * written, or came with others, whom the head tells of.
 */
static bool glance(struct krepis_endpoint *ep)
{
	struct receiver *r = &ep->receiver;
	const uint8_t *at = ep->ring + (r->pos & ep->ring_mask);
	uint32_t i, odd = 0;

	for (i = 0; i < ep->spin / GLANCE_SHARE; i++) {
		uint64_t word = krepis_ring_header(at), bytes;

		if (word & KREPIS_RING_HERE) {
			/* Small ones in a row: the head tells of many at a time. */
			bytes = krepis_record_bytes((uint32_t)word);
			if (bytes < CACHE_LINE && krepis_ring_header(at + bytes) & KREPIS_RING_HERE) {
				r->lull = LULL_STEP;
				look_at_records(ep, false);
			}
			return true;
		}
		if (word && ++odd == ODD_MAX)
			return false;
		krepis_relax();
	}
	return false;
}

/* A receive that has to wait. */
static int recv_wait(struct krepis_endpoint *ep, struct krepis_msg *msg, int64_t deadline)
{
	struct receiver *r = &ep->receiver;
	int err;

	if (r->lull && deadline)
		lull(ep);
	for (;;) {
		err = krepis_wait_until(ep, krepis_recv_ready, NULL, deadline);
		if (err)
			return err;
		came(ep);
		err = next_message(ep, msg);
		if (err != -EAGAIN)
			return err;
		/* Only records that were not for us: their room is free again. */
		recv_done(ep);
		if (krepis_stopped(ep))
			return -ESHUTDOWN;
		if (deadline == KREPIS_NOWAIT) {
			krepis_rearm(ep);
			return -EAGAIN;
		}
		if (krepis_deadline_ns(0) >= deadline)
			return -ETIMEDOUT;
	}
}

static inline int receiver_check(const struct krepis_endpoint *ep)
{
	if (unlikely(!krepis_is(ep, KREPIS_RING, KREPIS_CONSUMER)))
		return -EINVAL;
	/* After krepis_shutdown() what is there may still be read. */
	if (unlikely(!krepis_here(ep)))
		return -EBADF;
	return ep->broken;
}

/* The next message if it stands in the ring. */
static always_inline bool next_view(struct krepis_endpoint *ep, struct krepis_msg *msg)
{
	struct receiver *r = &ep->receiver;
	const uint8_t *data = ep->ring + (r->pos & ep->ring_mask);
	struct krepis_record record;

	if (r->direct && r->head == r->pos) {
		uint64_t word = krepis_ring_header(data);

		if (!(word & KREPIS_RING_HERE) ||
		    krepis_ring_parse(word, UINT64_MAX, ep->geometry.inline_max, &record))
			return false;
		r->head = r->pos + krepis_record_bytes(record.len);
	} else if (unlikely(look(ep) || krepis_ring_record(data, r->head - r->pos,
							   ep->geometry.inline_max, &record))) {
		return false;
	}
	if (unlikely(record.flags))
		return false;
	view(ep, data + sizeof(record), &record, msg);
	return true;
}

static noinline int recv_slow(struct krepis_endpoint *ep, struct krepis_msg *msg,
			      int64_t deadline)
{
	int err = receiver_check(ep);

	if (err)
		return err;
	recv_done(ep);
	if (ep->receiver.direct && deadline != KREPIS_NOWAIT && glance(ep) && next_view(ep, msg))
		return 0;
	err = next_message(ep, msg);
	if (unlikely(err == -EAGAIN))
		err = recv_wait(ep, msg, deadline);
	/* No view of the ring is left: its room need not wait for the next call. */
	if (!err && msg->buffer)
		recv_done(ep);
	return err;
}

KREPIS_API int krepis_recv(struct krepis_endpoint *ep, struct krepis_msg *msg, int64_t deadline)
{
	if (likely(ep->plain == KREPIS_CONSUMER && krepis_usable(ep))) {
		recv_done(ep);
		if (likely(next_view(ep, msg)))
			return 0;
	}
	return recv_slow(ep, msg, deadline);
}

KREPIS_API int krepis_recv_batch(struct krepis_endpoint *ep, struct krepis_msg *msgs,
				 unsigned int count, int64_t deadline)
{
	unsigned int n;
	int err = receiver_check(ep);

	if (unlikely(err))
		return err;
	if (!count || count > INT32_MAX || krepis_overwrites(ep))
		return -EINVAL;
	recv_done(ep);
	for (n = 0; n < count; n++) {
		err = next(ep, &msgs[n]);
		if (err)
			break;
	}
	if (n)
		return (int)n;
	if (err != -EAGAIN)
		return err;
	err = recv_wait(ep, &msgs[0], deadline);
	if (err)
		return err;
	for (n = 1; n < count && !next(ep, &msgs[n]); n++)
		;
	return (int)n;
}

/* Where the batch at the position stands, or will. */
static inline uint8_t *batch_base(const struct krepis_endpoint *ep)
{
	const uint8_t *ring = krepis_enforced(ep) ? ep->receiver.scratch : ep->ring;

	return (uint8_t *)ring + (ep->receiver.pos & ep->ring_mask);
}

/* Waits until there is a record, and leaves it there. */
static int batch_wait(struct krepis_endpoint *ep, int64_t deadline)
{
	struct receiver *r = &ep->receiver;
	int64_t available;
	int err;

	while (r->head == r->pos) {
		available = krepis_ring_available(ep->producer, ep->geometry.ring_size, r->pos, false);
		if (available < 0)
			return broken(ep);
		r->head = r->pos + (uint64_t)available;
		if (available)
			break;
		if (r->lull && deadline)
			lull(ep);
		err = krepis_wait_until(ep, krepis_recv_ready, NULL, deadline);
		if (err)
			return err;
		came(ep);
	}
	return 0;
}

KREPIS_API int krepis_batch_recv(struct krepis_endpoint *ep, struct krepis_batch *batch,
				 int64_t deadline)
{
	struct receiver *r = &ep->receiver;
	int err = receiver_check(ep);
	struct krepis_record record;
	const uint8_t *from;
	uint64_t bytes;

	if (err)
		return err;
	if (krepis_overwrites(ep))
		return -EINVAL;
	recv_done(ep);
	err = batch_wait(ep, deadline);
	if (err)
		return err;
	from = ep->ring + (r->pos & ep->ring_mask);
	bytes = r->head - r->pos;
	if (krepis_ring_record(from, bytes, ep->geometry.inline_max, &record))
		return broken(ep);
	if (record.flags & KREPIS_MSG_BUFFER)
		return -ENOMSG;
	if (krepis_enforced(ep))
		memcpy(batch_base(ep), from, bytes);
	*batch = (struct krepis_batch){
		.at = batch_base(ep), .end = batch_base(ep) + bytes,
		.inline_max = ep->geometry.inline_max,
	};
	return 0;
}

KREPIS_API int krepis_batch_done(struct krepis_endpoint *ep, struct krepis_batch *batch)
{
	struct receiver *r = &ep->receiver;
	int err = receiver_check(ep);
	uint64_t used;

	if (err)
		return err;
	used = (uint64_t)(batch->at - batch_base(ep));
	if (krepis_overwrites(ep) || used > r->head - r->pos || (used & 7))
		return -EINVAL;
	r->pos += used;
	krepis_count(&ep->counters->messages, batch->count);
	krepis_count(&ep->counters->bytes, batch->bytes);
	recv_done(ep);
	err = batch->broken ? broken(ep) : 0;
	*batch = (struct krepis_batch){ 0 };
	return err;
}
