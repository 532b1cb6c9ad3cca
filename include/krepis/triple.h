/* SPDX-License-Identifier: MIT */
/*
 * The triple buffer: the latest value, and neither side ever waits.
 *
 * Three buffers: the producer fills @back, the consumer reads @front, and the
 * third stands in the exchange word. Publish and take each swap their own for
 * the one in the middle by a single atomic exchange, so both are wait-free and
 * no value is ever half-written where the other side can see it.
 *
 *	operation	by		{back, middle, front}
 *	publish		producer	{b, m, f} -> {m, b fresh, f}
 *	take, if fresh	consumer	{b, m, f} -> {b, f stale, m}
 *
 * Death. Each side notes in its own region which buffer it has, and while it
 * exchanges, that it has none for sure: KREPIS_TRIPLE_BUFFERS. So a note that
 * names a buffer is true, and who attaches anew next to a living side finds its
 * own buffer by krepis_triple_claim(): what is neither in the middle nor noted.
 *
 * An index that a peer wrote is checked before it is used; a word with index 3
 * is -EPROTO, and the caller treats the channel as broken.
 */
#ifndef _KREPIS_TRIPLE_H
#define _KREPIS_TRIPLE_H

#include "atomic.h"

static inline __u32 krepis_triple_index(__u64 word)
{
	return (__u32)(word & KREPIS_EXCHANGE_INDEX);
}

static inline bool krepis_triple_fresh(__u64 word)
{
	return word & KREPIS_EXCHANGE_FRESH;
}

static inline __u32 krepis_triple_count(__u64 word)
{
	return (__u32)(word >> 32);
}

static inline __u64 krepis_triple_word(__u32 index, bool fresh, __u32 count)
{
	return (__u64)count << 32 | (fresh ? KREPIS_EXCHANGE_FRESH : 0) | index;
}

/*
 * One side gives its buffer for the middle one. The exchange is a full barrier:
 * it releases the payload that goes into the middle, and acquires the other one.
 * Pairs with itself on the other side.
 *
 * Return: what was in the middle.
 */
static inline __u64 krepis_triple_exchange(struct krepis_exchange *x, __u32 *note, __u64 word)
{
	__u64 old;

	krepis_write(note, KREPIS_TRIPLE_BUFFERS);
	old = krepis_xchg(&x->word, word);
	/* Pairs with the acquire in krepis_triple_claim(). */
	krepis_store_release(note, krepis_triple_index(old));
	return old;
}

/*
 * The producer offers @back as publication @count and gets the middle buffer.
 * @note is its own.
 *
 * Return: the producer's next buffer, or -EPROTO.
 */
static inline int krepis_triple_publish(struct krepis_exchange *x, __u32 *note, __u32 back,
					__u32 count)
{
	__u64 word = krepis_triple_word(back, true, count);
	__u32 index = krepis_triple_index(krepis_triple_exchange(x, note, word));

	return index < KREPIS_TRIPLE_BUFFERS && index != back ? (int)index : -EPROTO;
}

/* Whether a take would bring something new. A plain load: the clean path. */
static inline bool krepis_triple_pending(struct krepis_exchange *x)
{
	return krepis_triple_fresh(krepis_read(&x->word));
}

/*
 * The consumer gives @front for the middle buffer. @note is its own. To be called
 * only if krepis_triple_pending(): without a fresh value it would bring back an
 * old one.
 *
 * Return: the consumer's buffer, with the publication number in @count, or -EPROTO.
 */
static inline int krepis_triple_take(struct krepis_exchange *x, __u32 *note, __u32 front,
				     __u32 *count)
{
	__u32 last = krepis_triple_count(krepis_read(&x->word));
	__u64 old = krepis_triple_exchange(x, note, krepis_triple_word(front, false, last));
	__u32 index = krepis_triple_index(old);

	*count = krepis_triple_count(old);
	return index < KREPIS_TRIPLE_BUFFERS && index != front ? (int)index : -EPROTO;
}

/*
 * Finds the buffer of a side that attaches anew, while the other side, whose
 * note is @other, may be exchanging. The attaching side's predecessor has stopped
 * for good, so the middle and the other's buffer only swap: two that are read
 * one after the other are either both right, or equal.
 *
 * Return: the buffer's index; -EAGAIN while the other exchanges.
 */
static inline int krepis_triple_claim(struct krepis_exchange *x, const __u32 *other)
{
	__u32 note = krepis_load_acquire(other);
	__u32 middle = krepis_triple_index(krepis_load_acquire(&x->word));

	if (note >= KREPIS_TRIPLE_BUFFERS || middle >= KREPIS_TRIPLE_BUFFERS || note == middle)
		return -EAGAIN;
	return (int)(KREPIS_TRIPLE_BUFFERS - note - middle);
}

/* With nobody at the other side: of the two buffers the newer one for a consumer. */
static inline int krepis_triple_pick(struct krepis_exchange *x, struct krepis_desc *desc,
				     bool consumer)
{
	__u32 middle = krepis_triple_index(krepis_load_acquire(&x->word));
	__u32 a = (middle + 1) % KREPIS_TRIPLE_BUFFERS, b = (middle + 2) % KREPIS_TRIPLE_BUFFERS;

	if (middle >= KREPIS_TRIPLE_BUFFERS)
		return -EPROTO;
	if (krepis_read(&desc[a].sequence) > krepis_read(&desc[b].sequence))
		return (int)(consumer ? a : b);
	return (int)(consumer ? b : a);
}

/*
 * The attaching side has found its buffer: notes it. A producer may find a value
 * that its predecessor numbered, and died before it was published: it will be
 * half overwritten when a consumer next looks at it.
 */
static inline void krepis_triple_adopt(struct krepis_desc *desc, __u32 *note, __u32 index,
				       bool consumer)
{
	krepis_store_release(note, index);
	if (!consumer)
		krepis_write(&desc[index].sequence, 0);
}

/*
 * The number of the last publication. It stands in the descriptors: the count in
 * the exchange word is behind them after a take that began before it.
 */
static inline __u64 krepis_triple_last(struct krepis_desc *desc)
{
	__u64 last = 0;
	int i;

	for (i = 0; i < KREPIS_TRIPLE_BUFFERS; i++) {
		__u64 sequence = krepis_read(&desc[i].sequence);

		if (sequence > last)
			last = sequence;
	}
	return last;
}

#endif /* _KREPIS_TRIPLE_H */
