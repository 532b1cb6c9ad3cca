/* SPDX-License-Identifier: MIT */
/*
 * The byte ring: one producer, up to 32 consumers, each with its own tail.
 *
 * Positions are 64-bit byte counts that never wrap; a record stands at
 * position & (size - 1), and the memory is mapped twice in a row so that it is
 * always contiguous. The producer publishes by one release store to the head, a
 * consumer gives space back by one release store to its tail.
 *
 *	             tail[slowest]        head         limit = tail + size - a header
 *	 ---- free ----|---- records ------|0--- free -------|
 *
 * Behind the last record stands a header of 0, and the first record of a publication says
 * that it is HERE, after the head has moved. So who waits for a message can look at it
 * alone: one cache line on its way instead of two. The head says all that and more, and
 * is what counts: before a sleep, after a death, and when records come in batches.
 *
 * Progress: all functions are wait-free. The producer's side is called by one
 * thread, and each consumer's side by one thread.
 *
 * Who reads a peer's word reads it once and checks it. The producer keeps the
 * last tail of each consumer that it accepted: a tail that goes back or past
 * the head is ignored, so a hostile consumer stalls, and does nothing worse. A
 * consumer refuses a head or a record that does not fit, with -EPROTO.
 *
 * Overwrite channels have a floor, the oldest record that is still whole. The
 * producer moves the floor, then writes; a consumer copies the record, then
 * reads the floor. A record below the floor may be torn and is thrown away.
 */
#ifndef _KREPIS_RING_H
#define _KREPIS_RING_H

#include "atomic.h"

/* Bytes that a record with @len bytes of payload takes in the ring. */
static inline __u64 krepis_record_bytes(__u32 len)
{
	return sizeof(struct krepis_record) + (((__u64)len + 7) & ~7ULL);
}

/* Bytes of records in a ring that is not overwritten. */
static inline __u64 krepis_ring_room(__u64 size)
{
	return size - sizeof(struct krepis_record);
}

/**
 * struct krepis_ring_marks - overwrite: both ends of what is readable
 * @floor:	 the oldest whole record
 * @floor_count: messages before it
 * @head:	 end of the newest record
 * @head_count:	 messages before that
 */
struct krepis_ring_marks {
	__u64 floor;
	__u64 floor_count;
	__u64 head;
	__u64 head_count;
};

/**
 * struct krepis_ring_writer - the producer's private view
 * @head:	where the next record goes
 * @published:	what the consumers see as the head; records up to @head follow with a flush
 * @limit:	records may be written below this without looking at any tail
 * @marks:	overwrite: what is published
 * @tail:	the newest tail of each consumer that was accepted
 */
struct krepis_ring_writer {
	__u64 head;
	__u64 published;
	__u64 limit;
	struct krepis_ring_marks marks;
	__u64 tail[KREPIS_MAX_CONSUMERS];
};

static inline struct krepis_consumer *krepis_consumer_at(void *consumers, __u32 page_size,
							 unsigned int i)
{
	return (struct krepis_consumer *)((char *)consumers + (__u64)i * page_size);
}

/*
 * Reads the live consumers' tails and moves the limit. @slots are the bits that
 * the geometry has.
 *
 * The barrier pairs with the one in krepis_ring_join(): either this sees the
 * new consumer's live bit, or that sees every head published so far and starts
 * behind it, where the limit computed here leaves it a whole ring.
 *
 * The acquire of each tail pairs with the release in krepis_ring_consume(): the
 * consumer's reads of what stood there are done.
 *
 * Return: the live mask that was used.
 */
static inline __u32 krepis_ring_admit(struct krepis_ring_writer *w, __u64 size, __u32 *live,
				      __u32 slots, void *consumers, __u32 page_size)
{
	__u64 slowest = w->published;
	__u32 mask, rest;

	krepis_mb();
	mask = krepis_read(live) & slots;
	for (rest = mask; rest; rest &= rest - 1) {
		unsigned int i = __builtin_ctz(rest);
		__u64 tail = krepis_load_acquire(&krepis_consumer_at(consumers, page_size, i)->tail);

		if (tail - w->tail[i] <= w->published - w->tail[i])
			w->tail[i] = tail;
		if (w->published - w->tail[i] > w->published - slowest)
			slowest = w->tail[i];
	}
	w->limit = slowest + krepis_ring_room(size);
	return mask;
}

/*
 * Whether consumer @c leaves room behind @head for a record with @len bytes of
 * payload. What it says is believed as far as it is possible.
 */
static inline bool krepis_ring_has_room(__u64 head, struct krepis_consumer *c, __u64 size,
					__u32 len)
{
	__u64 used = head - krepis_load_acquire(&c->tail), room = krepis_ring_room(size);

	return used <= room && room - used >= krepis_record_bytes(len);
}

/*
 * What stands at the head, @at, is no record. Before krepis_ring_publish(), whose release
 * makes it visible to who comes there by what he read.
 */
static inline void krepis_ring_end(void *at)
{
	krepis_write((__u64 *)at, 0);
}

/*
 * Makes the records below @head visible. The release pairs with the acquire in
 * krepis_ring_available().
 */
static inline void krepis_ring_publish(struct krepis_producer *producer, __u64 head)
{
	krepis_store_release(&producer->head, head);
}

#define KREPIS_RING_HERE	((__u64)KREPIS_MSG_HERE << 48)

/*
 * The record at @first, the first one that was published, says so. The release pairs with
 * the acquire in krepis_ring_header().
 */
static inline void krepis_ring_announce(void *first)
{
	krepis_store_release((__u64 *)first, krepis_read((__u64 *)first) | KREPIS_RING_HERE);
}

/*
 * What stands where the next record will. With KREPIS_RING_HERE it is one, and whole: the
 * acquire pairs with krepis_ring_announce().
 */
static inline __u64 krepis_ring_header(const void *at)
{
	return krepis_load_acquire((const __u64 *)at);
}

/*
 * Bytes of records behind @tail, or -EPROTO if the head cannot be right. The
 * acquire pairs with krepis_ring_publish(): the records are whole.
 */
static inline __s64 krepis_ring_available(struct krepis_producer *producer, __u64 size,
					  __u64 tail, bool overwrite)
{
	__u64 available = krepis_load_acquire(&producer->head) - tail;

	if ((available & 7) || available >> 62 || (available > size && !overwrite))
		return -EPROTO;
	return (__s64)available;
}

/*
 * The record with the header @word, if @available bytes at most are there.
 *
 * Return: 0, or -EPROTO if the record does not fit.
 */
static inline int krepis_ring_parse(__u64 word, __u64 available, __u32 inline_max,
				    struct krepis_record *record)
{
	record->len = (__u32)word;
	record->type = (__u16)(word >> 32);
	record->flags = (__u16)(word >> 48) & ~KREPIS_MSG_HERE;
	if (record->len > inline_max || krepis_record_bytes(record->len) > available)
		return -EPROTO;
	if (!record->flags)
		return 0;
	if (record->flags & ~(KREPIS_MSG_BUFFER | KREPIS_MSG_CRC32C))
		return -EPROTO;
	if ((record->flags & KREPIS_MSG_BUFFER) && record->len != sizeof(struct krepis_handle))
		return -EPROTO;
	return 0;
}

/*
 * Reads the record at @data, where at least @available bytes follow, into
 * @record, once. @available is not 0 and came from krepis_ring_available().
 * Return: as krepis_ring_parse().
 */
static inline int krepis_ring_record(const void *data, __u64 available, __u32 inline_max,
				     struct krepis_record *record)
{
	return krepis_ring_parse(krepis_read((const __u64 *)data), available, inline_max, record);
}

/* Writes the record header at @data as one word; the payload follows it. */
static inline void krepis_ring_describe(void *data, __u32 len, __u16 type, __u16 flags)
{
	krepis_write((__u64 *)data, (__u64)flags << 48 | (__u64)type << 32 | len);
}

/* Gives the bytes below @tail back. Pairs with krepis_ring_admit(). */
static inline void krepis_ring_consume(struct krepis_consumer *consumer, __u64 tail)
{
	krepis_store_release(&consumer->tail, tail);
}

/*
 * Where a new consumer starts. Its live bit is set already and its tail stands
 * at some older head, so the producer cannot overrun it meanwhile. The barrier
 * pairs with the one in krepis_ring_admit().
 */
static inline __u64 krepis_ring_join(struct krepis_producer *producer,
				     struct krepis_consumer *consumer)
{
	__u64 head;

	krepis_mb();
	head = krepis_load_acquire(&producer->head);
	krepis_ring_consume(consumer, head);
	return head;
}

/*
 * Overwrite: publishes both ends as one, a sequence lock. What is below a new
 * floor may be overwritten afterwards: the last barrier pairs with the one in
 * krepis_ring_intact(). The store to the head pairs with krepis_ring_available().
 */
static inline void krepis_ring_mark(struct krepis_producer *producer,
				    const struct krepis_ring_marks *marks)
{
	__u32 version = krepis_read(&producer->version);

	krepis_write(&producer->version, version + 1);
	krepis_wmb();
	/* Each count before its position: see krepis_ring_recount(). */
	krepis_write(&producer->floor_count, marks->floor_count);
	krepis_store_release(&producer->floor, marks->floor);
	krepis_write(&producer->head_count, marks->head_count);
	krepis_store_release(&producer->head, marks->head);
	krepis_store_release(&producer->version, version + 2);
	krepis_wmb();
}

/*
 * Overwrite: reads both ends as one. Pairs with krepis_ring_mark().
 *
 * Return: 0; -EAGAIN if the producer kept moving them; -EPROTO if they cannot
 * be right.
 */
static inline int krepis_ring_marks(struct krepis_producer *producer, __u64 size,
				    struct krepis_ring_marks *marks)
{
	int tries;

	for (tries = 0; tries < 64; tries++) {
		__u32 version = krepis_load_acquire(&producer->version);

		marks->floor = krepis_read(&producer->floor);
		marks->floor_count = krepis_read(&producer->floor_count);
		marks->head_count = krepis_read(&producer->head_count);
		marks->head = krepis_read(&producer->head);
		krepis_rmb();
		if ((version & 1) || krepis_read(&producer->version) != version)
			continue;
		if ((marks->floor & 7) || (marks->head & 7) || marks->head - marks->floor > size ||
		    marks->head_count - marks->floor_count > size / sizeof(struct krepis_record))
			return -EPROTO;
		return 0;
	}
	return -EAGAIN;
}

/*
 * Overwrite: reads the marks of a producer that died while it wrote them. Nobody
 * writes any more. Floor and head are good; of the two counts at most one is
 * ahead of its position. So what stands before the floor is the smaller of what
 * the one count says, and what the other says less the messages in between. The
 * heir and the consumers count alike. @data is the ring.
 */
static inline void krepis_ring_recount(struct krepis_producer *producer, const void *data,
				       __u64 size, __u32 inline_max,
				       struct krepis_ring_marks *marks)
{
	struct krepis_record record;
	__u64 at, before, count = 0;

	marks->head = krepis_load_acquire(&producer->head) & ~7ULL;
	marks->floor = krepis_read(&producer->floor);
	marks->floor_count = krepis_read(&producer->floor_count);
	if ((marks->floor & 7) || marks->head - marks->floor > size)
		marks->floor = marks->head;
	for (at = marks->floor; at != marks->head; count++) {
		if (krepis_ring_record((const char *)data + (at & (size - 1)), marks->head - at,
				       inline_max, &record)) {
			marks->floor = marks->head;
			count = 0;
			break;
		}
		at += krepis_record_bytes(record.len);
	}
	before = krepis_read(&producer->head_count) - count;
	if ((__s64)(before - marks->floor_count) < 0)
		marks->floor_count = before;
	marks->head_count = marks->floor_count + count;
}

/*
 * Overwrite: whether the record at @tail, which the caller has copied, was
 * whole. Pairs with the last barrier of krepis_ring_mark().
 */
static inline bool krepis_ring_intact(struct krepis_producer *producer, __u64 tail)
{
	krepis_rmb();
	return (__s64)(krepis_read(&producer->floor) - tail) <= 0;
}

#endif /* _KREPIS_RING_H */
