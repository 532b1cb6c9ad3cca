// SPDX-License-Identifier: MIT
/*
 * The producer's side of a ring: room, records, publication, eviction.
 *
 * Records are written behind the published head and become visible together,
 * by one store, in krepis_flush(). A buffer changes hands before its record is
 * visible; its descriptor's sequence is the record's position, by which a sweep
 * knows what a dead producer never published.
 */
#include <string.h>
#include <krepis/batch.h>
#include "internal.h"
#include "poison.h"

#define PIECE	1024	/* bytes */
#define SMALL	64	/* bytes that krepis_send() copies itself */

/* Overwrite: a predecessor died while it wrote the marks. */
static void mend_marks(struct krepis_endpoint *ep)
{
	struct krepis_producer *p = ep->producer;
	struct krepis_ring_marks marks;

	krepis_ring_recount(p, ep->ring, ep->geometry.ring_size, ep->geometry.inline_max, &marks);
	marks.head = ep->sender.w.head;
	krepis_write(&p->version, krepis_read(&p->version) - 1);
	krepis_ring_mark(p, &marks);
}

/* What the last producer left: its head is where we go on, if it can be one. */
int krepis_sender_init(struct krepis_endpoint *ep)
{
	struct krepis_ring_writer *w = &ep->sender.w;
	uint64_t size = ep->geometry.ring_size;
	unsigned int i;

	w->head = (krepis_load_acquire(&ep->producer->head) + 7) & ~7ULL;
	w->published = w->head;
	w->limit = w->head;
	krepis_write(&ep->producer->need, 0);
	for (i = 0; i < ep->geometry.max_consumers; i++) {
		uint64_t tail = krepis_read(&krepis_peer(ep, i)->tail);

		w->tail[i] = w->head - tail <= size && !(tail & 7) ? tail : w->head;
	}
	if (!krepis_overwrites(ep))
		return 0;
	if (krepis_read(&ep->producer->version) & 1)
		mend_marks(ep);
	if (krepis_ring_marks(ep->producer, size, &w->marks) || w->marks.head != w->head)
		w->marks = (struct krepis_ring_marks){ .floor = w->head, .head = w->head };
	w->limit = w->marks.floor + size;
	ep->sender.earlier = w->marks.head_count;
	return 0;
}

static inline uint8_t *at_head(const struct krepis_endpoint *ep)
{
	return ep->ring + (ep->sender.w.head & ep->ring_mask);
}

static inline void count_sent(struct krepis_endpoint *ep)
{
	krepis_write(&ep->counters->messages, ep->sender.messages);
	krepis_write(&ep->counters->bytes, ep->sender.bytes);
}

/* Publishes what was committed, which is something. */
static always_inline void flush_all(struct krepis_endpoint *ep, bool overwrites)
{
	struct sender *s = &ep->sender;
	uint8_t *first = overwrites ? NULL : ep->ring + (s->w.published & ep->ring_mask);
	const uint64_t head = s->w.head;

	s->w.published = head;
	count_sent(ep);
	if (unlikely(overwrites)) {
		s->w.marks.head = head;
		s->w.marks.head_count = s->earlier + s->messages;
		krepis_ring_mark(ep->producer, &s->w.marks);
	} else {
		krepis_ring_end(ep->ring + (head & ep->ring_mask));
		krepis_ring_publish(ep->producer, head);
	}
	krepis_notify_consumers(ep, first);
}

/* Publishes what was committed. The caller has checked the endpoint. */
static inline void flush(struct krepis_endpoint *ep)
{
	if (ep->sender.w.published != ep->sender.w.head)
		flush_all(ep, krepis_overwrites(ep));
}

/* An orderly end: what was committed goes out, what was begun does not. */
void krepis_sender_finish(struct krepis_endpoint *ep)
{
	flush(ep);
}

/* Room for *@arg bytes of records, as krepis_wait_until() asks for it. */
int krepis_send_ready(struct krepis_endpoint *ep, void *arg)
{
	struct krepis_ring_writer *w = &ep->sender.w;
	uint64_t end = w->head + *(uint64_t *)arg;
	int err;

	err = krepis_producer_peer(ep);
	if (err || krepis_overwrites(ep))
		return err;
	if (end > w->limit)
		krepis_ring_admit(w, ep->geometry.ring_size, &ep->info->live, ep->slots,
				  ep->consumers, ep->geometry.page_size);
	return end <= w->limit ? 0 : -EAGAIN;
}

/*
 * Overwrite: gives up the oldest record. Who did not take its buffer yet loses
 * the hold on it first; only then does the floor rise over the record.
 *
 * Return: false if there is none.
 */
static bool evict_one(struct krepis_endpoint *ep)
{
	struct krepis_ring_marks *m = &ep->sender.w.marks;
	const uint8_t *data = ep->ring + (m->floor & ep->ring_mask);
	struct krepis_record record;
	struct krepis_handle handle;

	if (m->floor == m->head)
		return false;
	/* In a cooperative channel a peer may have scribbled over our records. */
	if (krepis_ring_record(data, m->head - m->floor, ep->geometry.inline_max, &record)) {
		m->floor = m->head;
		m->floor_count = m->head_count;
		return true;
	}
	if (record.flags & KREPIS_MSG_BUFFER) {
		memcpy(&handle, data + sizeof(record), sizeof(handle));
		if (handle.index < ep->geometry.buffer_count)
			krepis_owner_evict(ep, handle);
	}
	m->floor += krepis_record_bytes(record.len);
	m->floor_count++;
	return true;
}

/* Overwrite: gives up the oldest record, and the consumers are told. */
bool krepis_evict_publish(struct krepis_endpoint *ep)
{
	struct krepis_ring_writer *w = &ep->sender.w;

	if (!evict_one(ep))
		return false;
	krepis_ring_mark(ep->producer, &w->marks);
	w->limit = w->marks.floor + ep->geometry.ring_size;
	return true;
}

static void evict_for(struct krepis_endpoint *ep, uint64_t end)
{
	struct krepis_ring_writer *w = &ep->sender.w;

	while (end > w->marks.floor + ep->geometry.ring_size && evict_one(ep))
		;
	krepis_ring_mark(ep->producer, &w->marks);
	w->limit = w->marks.floor + ep->geometry.ring_size;
}

/*
 * Waits for a quarter of the ring first, but not for long: a producer that takes
 * each record's room as it comes free meets the consumer at every message, by a
 * cache miss or worse, by a sleep. Then for what it needs, however long.
 */
static int wait_for_room(struct krepis_endpoint *ep, uint64_t bytes, int64_t deadline)
{
	uint64_t room = krepis_ring_room(ep->geometry.ring_size);
	uint64_t quarter = ep->geometry.ring_size / 4;
	uint64_t enough = bytes > quarter ? bytes : quarter;
	int err;

	/* Who polls beside us is satisfied with less. */
	if (deadline != KREPIS_NOWAIT && !ep->polled) {
		krepis_write(&ep->producer->need, ep->sender.w.head + enough - room);
		err = krepis_wait_briefly(ep, krepis_send_ready, &enough, deadline);
		krepis_write(&ep->producer->need, 0);
		if (err != -EAGAIN && err != -ETIMEDOUT)
			return err;
	}
	return krepis_wait_until(ep, krepis_send_ready, &bytes, deadline);
}

/* The slow half of room_for(): ask the consumers, evict, fail or wait. */
static int make_room(struct krepis_endpoint *ep, uint64_t bytes, int64_t deadline)
{
	int err;

	if (krepis_overwrites(ep)) {
		flush(ep);
		evict_for(ep, ep->sender.w.head + bytes);
		return 0;
	}
	err = krepis_send_ready(ep, &bytes);
	if (err != -EAGAIN)
		return err;
	flush(ep);
	if (ep->geometry.backpressure == KREPIS_FAIL) {
		krepis_count(&ep->counters->drops, 1);
		krepis_rearm(ep);
		return -EAGAIN;
	}
	return wait_for_room(ep, bytes, deadline);
}

/* Room for @bytes of record behind the head, and somebody to read it. */
static inline int room_for(struct krepis_endpoint *ep, uint64_t bytes, int64_t deadline)
{
	if (unlikely(!krepis_live(ep))) {
		int err = krepis_producer_peer(ep);

		if (err)
			return err;
	}
	if (likely(ep->sender.w.head + bytes <= ep->sender.w.limit))
		return 0;
	return make_room(ep, bytes, deadline);
}

static inline int sender_check(const struct krepis_endpoint *ep)
{
	if (unlikely(!krepis_is(ep, KREPIS_RING, KREPIS_PRODUCER)))
		return -EINVAL;
	if (unlikely(!krepis_usable(ep)))
		return krepis_unusable(ep);
	return ep->sender.begun ? -EBUSY : 0;
}

/* The record at the head is complete. */
static inline void append(struct krepis_endpoint *ep, uint32_t len, uint64_t payload)
{
	ep->sender.w.head += krepis_record_bytes(len);
	ep->sender.messages++;
	ep->sender.bytes += payload;
}

/* Between inline_max and KREPIS_MAX_COPY: through a buffer. */
static int send_copy(struct krepis_endpoint *ep, uint16_t type, const void *data, size_t len,
		     int64_t deadline)
{
	struct krepis_buffer *buffer;
	int err;

	if (len > ep->geometry.buffer_size || len >= KREPIS_MAX_COPY)
		return -EMSGSIZE;
	err = room_for(ep, krepis_record_bytes(sizeof(struct krepis_handle)), deadline);
	if (!err)
		err = krepis_acquire(ep, &buffer, deadline);
	if (err)
		return err;
	memcpy(buffer->data, data, len);
	err = krepis_publish(ep, buffer, type, len, 0, deadline);
	if (err)
		krepis_abandon(ep, buffer);
	return err;
}

/* The record for it is at the head. */
static inline void describe(struct krepis_endpoint *ep, uint16_t type, uint32_t len)
{
	/* After the payload: somebody may be looking at it. */
	krepis_ring_describe(at_head(ep), len, type, 0);
	append(ep, len, len);
}

/* @from and @to one after the other by pieces of one size, of which the last may overlap. */
#define COPY(to, from, len, size)							\
	do {										\
		uint32_t at_;								\
											\
		for (at_ = 0; at_ + (size) < (len); at_ += (size))			\
			__builtin_memcpy((to) + at_, (from) + at_, (size));		\
		__builtin_memcpy((to) + (len) - (size), (from) + (len) - (size), (size)); \
	} while (0)

/* At most SMALL bytes: a call of memcpy() is as much as all the rest of a send. */
static always_inline void copy_small(uint8_t *to, const uint8_t *from, uint32_t len)
{
	if (len >= 16)
		COPY(to, from, len, 16);
	else if (len >= 8)
		COPY(to, from, len, 8);
	else if (len >= 4)
		COPY(to, from, len, 4);
	else if (len)
		COPY(to, from, len, 1);
}

/* By pieces for which memcpy() takes vectors: its string instruction hates where records begin. */
static void copy_large(uint8_t *to, const uint8_t *from, size_t len)
{
	size_t n;

	for (; len; len -= n, to += n, from += n) {
		n = len < PIECE ? len : PIECE;
		memcpy(to, from, n);
	}
}

static noinline int send_slow(struct krepis_endpoint *ep, uint16_t type, const void *data,
			      size_t len, int64_t deadline)
{
	int err = sender_check(ep);

	if (err)
		return err;
	if (len > ep->geometry.inline_max)
		return send_copy(ep, type, data, len, deadline);
	err = room_for(ep, krepis_record_bytes((uint32_t)len), deadline);
	if (err)
		return err;
	copy_large(at_head(ep) + sizeof(struct krepis_record), data, len);
	describe(ep, type, (uint32_t)len);
	flush(ep);
	return 0;
}

KREPIS_API int krepis_send(struct krepis_endpoint *ep, uint16_t type, const void *data, size_t len,
			   int64_t deadline)
{
	const struct sender *s = &ep->sender;

	/* All that room_for() and sender_check() ask, if the answer is yes. */
	if (unlikely(ep->plain != KREPIS_PRODUCER || !krepis_usable(ep) || s->begun ||
		     len > SMALL || len > ep->geometry.inline_max || !krepis_live(ep) ||
		     s->w.head + krepis_record_bytes((uint32_t)len) > s->w.limit))
		return send_slow(ep, type, data, len, deadline);
	copy_small(at_head(ep) + sizeof(struct krepis_record), data, (uint32_t)len);
	describe(ep, type, (uint32_t)len);
	flush_all(ep, false);
	return 0;
}

KREPIS_API int krepis_send_begin(struct krepis_endpoint *ep, size_t len, void **data,
				 int64_t deadline)
{
	int err = sender_check(ep);

	if (unlikely(err))
		return err;
	if (unlikely(len > ep->geometry.inline_max))
		return -EMSGSIZE;
	err = room_for(ep, krepis_record_bytes((uint32_t)len), deadline);
	if (unlikely(err))
		return err;
	ep->sender.begun = (uint32_t)len + 1;
	*data = at_head(ep) + sizeof(struct krepis_record);
	return 0;
}

KREPIS_API int krepis_send_commit(struct krepis_endpoint *ep, uint16_t type, size_t len)
{
	if (unlikely(!krepis_is(ep, KREPIS_RING, KREPIS_PRODUCER)))
		return -EINVAL;
	if (unlikely(!krepis_usable(ep)))
		return krepis_unusable(ep);
	if (unlikely(len >= ep->sender.begun || ep->sender.begun == KREPIS_BEGUN_BATCH))
		return -EINVAL;
	ep->sender.begun = 0;
	krepis_ring_describe(at_head(ep), (uint32_t)len, type, 0);
	append(ep, (uint32_t)len, len);
	return 0;
}

KREPIS_API void krepis_send_cancel(struct krepis_endpoint *ep)
{
	if (krepis_is(ep, KREPIS_RING, KREPIS_PRODUCER))
		ep->sender.begun = 0;
}

KREPIS_API int krepis_batch_begin(struct krepis_endpoint *ep, struct krepis_batch *batch,
				  size_t bytes, int64_t deadline)
{
	struct sender *s = &ep->sender;
	int err = sender_check(ep);

	if (err)
		return err;
	if (!bytes || bytes > krepis_ring_room(ep->geometry.ring_size))
		return -EMSGSIZE;
	err = room_for(ep, (bytes + 7) & ~7ULL, deadline);
	if (err)
		return err;
	s->begun = KREPIS_BEGUN_BATCH;
	s->room = s->w.limit - s->w.head;
	*batch = (struct krepis_batch){
		.at = at_head(ep), .end = at_head(ep) + s->room,
		.inline_max = ep->geometry.inline_max,
	};
	return 0;
}

KREPIS_API int krepis_batch_commit(struct krepis_endpoint *ep, struct krepis_batch *batch)
{
	struct sender *s = &ep->sender;
	uint64_t used;

	if (unlikely(!krepis_is(ep, KREPIS_RING, KREPIS_PRODUCER)))
		return -EINVAL;
	if (unlikely(!krepis_usable(ep)))
		return krepis_unusable(ep);
	used = (uint64_t)(batch->at - at_head(ep));
	if (s->begun != KREPIS_BEGUN_BATCH || used > s->room || (used & 7))
		return -EINVAL;
	s->begun = 0;
	s->w.head += used;
	s->messages += batch->count;
	s->bytes += batch->bytes;
	*batch = (struct krepis_batch){ 0 };
	flush(ep);
	return 0;
}

KREPIS_API int krepis_flush(struct krepis_endpoint *ep)
{
	if (unlikely(!krepis_is(ep, KREPIS_RING, KREPIS_PRODUCER)))
		return -EINVAL;
	if (unlikely(!krepis_usable(ep)))
		return krepis_unusable(ep);
	flush(ep);
	return 0;
}

/* Gives the buffer to whoever is there. @published: the record at the head as well. */
static int hand_over(struct krepis_endpoint *ep, struct krepis_buffer *buffer,
		     struct krepis_handle handle, const struct krepis_desc *what, bool *published)
{
	int err;

	krepis_poison(buffer->data, ep->geometry.buffer_size);
	do {
		err = krepis_owner_publish(ep, handle, what, published);
		if (!err)
			return 0;
		/* Nobody is there: why, or has somebody come just now? */
		if (err == -ENOTCONN)
			err = krepis_producer_peer(ep);
	} while (!err);
	krepis_unpoison(buffer->data, ep->geometry.buffer_size);
	return err;
}

static int publish(struct krepis_endpoint *ep, struct krepis_buffer *buffer, uint32_t generation,
		   uint16_t type, uint32_t len, uint32_t flags, int64_t deadline)
{
	struct krepis_handle handle = { .index = buffer->index, .generation = generation };
	struct krepis_desc what = {
		.len = len, .type = type, .flags = flags & KREPIS_MSG_CRC32C,
	};
	uint8_t *record;
	bool published;
	int err;

	err = room_for(ep, krepis_record_bytes(sizeof(handle)), deadline);
	if (err)
		return err;
	if (flags & KREPIS_MSG_CRC32C)
		what.crc32c = krepis_crc32c(0, buffer->data, len);
	/*
	 * What is committed goes out first: who attaches after the live mask was
	 * read must start behind it, or it would miss this record in between.
	 */
	flush(ep);
	what.sequence = ep->sender.w.head;
	record = at_head(ep);
	krepis_ring_describe(record, sizeof(handle), type, what.flags | KREPIS_MSG_BUFFER);
	memcpy(record + sizeof(struct krepis_record), &handle, sizeof(handle));
	err = hand_over(ep, buffer, handle, &what, &published);
	if (err)
		return err;
	append(ep, sizeof(handle), len);
	if (unlikely(published)) {
		ep->sender.w.published = ep->sender.w.head;
		count_sent(ep);
	}
	flush(ep);
	return 0;
}

KREPIS_API int krepis_publish(struct krepis_endpoint *ep, struct krepis_buffer *buffer,
			      uint16_t type, size_t len, uint32_t flags, int64_t deadline)
{
	uint64_t acquired;
	uint32_t generation;
	int err;

	err = sender_check(ep);
	if (err)
		return err;
	if (buffer->endpoint != ep || (flags & ~(KREPIS_MSG_CRC32C | KREPIS_PUBLISH_RETURN)))
		return -EINVAL;
	if (len > ep->geometry.buffer_size)
		return -EMSGSIZE;
	/* From here on another thread's krepis_abandon() of it is refused. */
	generation = (uint32_t)(krepis_read(&buffer->life) >> 32);
	acquired = krepis_life(generation, 1);
	if (!krepis_cas(&buffer->life, &acquired, krepis_life(generation, 2)))
		return -EPERM;
	err = publish(ep, buffer, generation, type, (uint32_t)len, flags, deadline);
	if (!err && (flags & KREPIS_PUBLISH_RETURN)) {
		krepis_store_release(&buffer->life, krepis_life(generation, KREPIS_LENT));
		return 0;
	}
	krepis_store_release(&buffer->life, krepis_life(generation, !!err));
	if (!err)
		krepis_pool_published(ep, buffer);
	return err;
}

/* Whether the consumers in *@arg, and those who came since, are done with everything. */
static int drained(struct krepis_endpoint *ep, void *arg)
{
	uint32_t *waited = arg, rest, live, n;
	bool gone = false;

	krepis_producer_peer(ep);
	live = krepis_live(ep);
	for (rest = *waited | live; rest; rest &= rest - 1) {
		unsigned int i = __builtin_ctz(rest);

		/* The tail of one who detached stays as it was. */
		if (krepis_load_acquire(&krepis_peer(ep, i)->tail) == ep->sender.w.head)
			continue;
		if (live & 1U << i)
			return -EAGAIN;
		gone = true;
	}
	for (n = 0; n < ep->geometry.buffer_count; n++) {
		if (krepis_own_state(krepis_load_acquire(&ep->desc[n].word)))
			return -EAGAIN;
	}
	return gone ? -KREPIS_PEER_GONE : 0;
}

KREPIS_API int krepis_drain(struct krepis_endpoint *ep, int64_t deadline)
{
	int err = sender_check(ep);
	uint32_t live;

	if (err)
		return err;
	flush(ep);
	live = krepis_live(ep);
	return krepis_wait_until(ep, drained, &live, deadline);
}
