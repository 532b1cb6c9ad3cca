/* SPDX-License-Identifier: MIT */
/*
 * Who owns a buffer: every transition, once, for kernel, library, tests and model.
 *
 * A buffer is described by one struct krepis_desc, one cache line. Its state and
 * generation are one 64-bit word, and every change of owner is one atomic
 * operation on that word:
 *
 *	   PRODUCER,g --lock--> LOCKED,g --grant--> CONSUMER,g
 *	       ^                   |                    |
 *	       |<-- unlock (g) ----+                    |
 *	       |<-- reclaim (g+1), its producer died ---+
 *	       +<-- return (g+1), the last holder let go
 *
 *	function		called by		may touch the payload after it
 *	krepis_own_lock		producer		nobody
 *	krepis_own_grant	producer		the consumers in holders
 *	krepis_own_unlock	producer		producer
 *	krepis_own_drop		each consumer, or who	the remaining holders, or the
 *				sweeps for a dead one	producer after the last one
 *	krepis_own_reclaim	who sweeps for a dead	the next producer
 *				producer
 *
 * Progress: every function is lock-free, and wait-free but for krepis_own_take()
 * and krepis_own_evict(), whose loops repeat only if the other made progress
 * (at most once for each consumer). All may be called from any context.
 *
 * Death. A process may stop for ever after any atomic operation here. What it
 * leaves is always one of:
 *
 *	died with	left behind		who repairs it
 *	LOCKED		metadata half written	krepis_own_recover()
 *	CONSUMER	record never published	krepis_own_recover(): sequence >= head
 *	CONSUMER	evicted by half		krepis_own_recover(): the claim has no life
 *	a holder bit	bit set			krepis_own_drop(), by the sweeper
 *	last bit gone	CONSUMER, holders == 0	krepis_own_return(), by the sweeper
 *
 * @holders is a mask and not a count, so that letting go is fetch_and(~bit):
 * doing it twice is harmless, and so is doing it for somebody who died halfway.
 *
 * Attach, detach and death against publish. The producer reads the live mask,
 * grants to those in it, and reads the mask again; the sweeper clears the live
 * bit and then reads the descriptors. Between the two writes and the two reads
 * stand full barriers, so at least one of them sees the other's write, and
 * drops the dead one's hold. See tests/model/handover.pml.
 */
#ifndef _KREPIS_OWNERSHIP_H
#define _KREPIS_OWNERSHIP_H

#include "atomic.h"

/* The word of @state in life @generation, as struct krepis_desc lays it out. */
static inline __u64 krepis_own_word(__u32 state, __u32 generation)
{
	return (__u64)generation << 32 | state;
}

/* The life after @generation. Zero is skipped: no valid handle is all zero. */
static inline __u32 krepis_own_next(__u32 generation)
{
	return generation + 1 ? generation + 1 : 1;
}

static inline __u32 krepis_own_state(__u64 word)
{
	return (__u32)word;
}

static inline __u32 krepis_own_generation(__u64 word)
{
	return (__u32)(word >> 32);
}

/*
 * Takes the producer's buffer away from itself, so that nobody touches it while
 * its metadata changes.
 *
 * Return: 0; -ESTALE if @generation is not the buffer's life; -EPERM if the
 * producer does not own it. On error nothing changed.
 */
static inline int krepis_own_lock(struct krepis_desc *desc, __u32 generation)
{
	__u64 old = krepis_own_word(KREPIS_OWNED_PRODUCER, generation);

	if (krepis_cas(&desc->word, &old, krepis_own_word(KREPIS_LOCKED, generation)))
		return 0;
	return krepis_own_generation(old) == generation ? -EPERM : -ESTALE;
}

/* Writes what the buffer carries. Only its producer, and only while LOCKED. */
static inline void krepis_own_describe(struct krepis_desc *desc, __u32 generation,
				       __u32 holders, const struct krepis_desc *what)
{
	krepis_write(&desc->len, what->len);
	krepis_write(&desc->type, what->type);
	krepis_write(&desc->flags, what->flags);
	krepis_write(&desc->crc32c, what->crc32c);
	krepis_write(&desc->sequence, what->sequence);
	krepis_write(&desc->giver, what->giver);
	krepis_write(&desc->claim, (__u64)generation << 32);
	krepis_write(&desc->holders, holders);
}

/*
 * LOCKED to CONSUMER. The compare-and-swap is a release: the payload and what
 * krepis_own_describe() wrote become visible to whoever resolves the handle.
 * Pairs with the acquire in krepis_own_resolve().
 *
 * Return: 0; -EOWNERDEAD if a sweeper took the caller for dead and reclaimed
 * the buffer.
 */
static inline int krepis_own_grant(struct krepis_desc *desc, __u32 generation)
{
	__u64 old = krepis_own_word(KREPIS_LOCKED, generation);

	if (krepis_cas(&desc->word, &old, krepis_own_word(KREPIS_OWNED_CONSUMER, generation)))
		return 0;
	return -EOWNERDEAD;
}

/* LOCKED back to PRODUCER in the same life: the publish did not happen. */
static inline void krepis_own_unlock(struct krepis_desc *desc, __u32 generation)
{
	__u64 old = krepis_own_word(KREPIS_LOCKED, generation);

	krepis_cas(&desc->word, &old, krepis_own_word(KREPIS_OWNED_PRODUCER, generation));
}

/*
 * CONSUMER back to PRODUCER in the next life, if nobody holds the buffer.
 * The compare-and-swap orders the holders' reads of the payload before the
 * producer's next write to it; pairs with the acquire in krepis_own_returned().
 *
 * Return: true if this call did it, so that the caller wakes the producer.
 */
static inline bool krepis_own_return(struct krepis_desc *desc, __u32 generation)
{
	__u64 old = krepis_own_word(KREPIS_OWNED_CONSUMER, generation);
	__u64 new = krepis_own_word(KREPIS_OWNED_PRODUCER, krepis_own_next(generation));

	return !krepis_read(&desc->holders) && krepis_cas(&desc->word, &old, new);
}

/*
 * Lets go of the holds in @consumers. The caller knows that the buffer cannot
 * leave life @generation before it does so: it has a hold itself, or sweeps
 * with the live bits of @consumers cleared and the admin lock held.
 *
 * Return: true if the buffer went back to the producer by this call.
 */
static inline bool krepis_own_drop(struct krepis_desc *desc, __u32 generation,
				   __u32 consumers)
{
	__u32 before = krepis_fetch_andnot(&desc->holders, consumers);

	return !(before & ~consumers) && krepis_own_return(desc, generation);
}

/*
 * Takes back what a dead producer left LOCKED, or granted without publishing
 * the record (the caller has compared the sequence with the head).
 *
 * Return: true if this call did it.
 */
static inline bool krepis_own_reclaim(struct krepis_desc *desc)
{
	__u64 old = krepis_load_acquire(&desc->word);
	__u32 generation = krepis_own_generation(old);

	if (krepis_own_state(old) == KREPIS_OWNED_PRODUCER)
		return false;
	krepis_write(&desc->holders, 0);
	return krepis_cas(&desc->word, &old,
			  krepis_own_word(KREPIS_OWNED_PRODUCER, krepis_own_next(generation)));
}

/*
 * Whether life @generation is over and the producer owns the buffer again. The
 * acquire pairs with krepis_own_return(): what the holders read, they read
 * before. Return: the new life, or 0.
 */
static inline __u32 krepis_own_returned(struct krepis_desc *desc, __u32 generation)
{
	__u64 word = krepis_load_acquire(&desc->word);

	if (krepis_own_state(word) != KREPIS_OWNED_PRODUCER ||
	    krepis_own_generation(word) == generation)
		return 0;
	return krepis_own_generation(word);
}

/*
 * Consumer @bit looks at the buffer that a record named. First the hold, then the
 * word: a hold keeps the buffer in its life, so a word of life @generation that
 * is seen after a hold says that the hold is one in this life. The other way
 * round the buffer could begin its next life, with a hold for us, in between.
 * The acquires pair with krepis_own_grant(): metadata and payload are this life's.
 *
 * Return: 0 with a checked copy in @what; -ESTALE if the handle names another
 * life or this consumer has no hold on it; -EPROTO if the length does not fit
 * a buffer of @buffer_size bytes.
 */
static inline int krepis_own_resolve(struct krepis_desc *desc, __u32 generation, __u32 bit,
				     __u64 buffer_size, struct krepis_desc *what)
{
	if (!(krepis_load_acquire(&desc->holders) & bit))
		return -ESTALE;
	if (krepis_load_acquire(&desc->word) !=
	    krepis_own_word(KREPIS_OWNED_CONSUMER, generation))
		return -ESTALE;
	what->len = krepis_read(&desc->len);
	what->type = krepis_read(&desc->type);
	what->flags = krepis_read(&desc->flags);
	what->crc32c = krepis_read(&desc->crc32c);
	what->sequence = krepis_read(&desc->sequence);
	return what->len <= buffer_size ? 0 : -EPROTO;
}

/*
 * Overwrite channels: consumer @bit takes its hold before the producer evicts
 * it. Exactly one of krepis_own_take() and krepis_own_evict() wins each bit of
 * each life.
 *
 * Return: true if the hold is the consumer's until it drops it.
 */
static inline bool krepis_own_take(struct krepis_desc *desc, __u32 generation, __u32 bit)
{
	__u64 old = krepis_read(&desc->claim);

	do {
		if (krepis_own_generation(old) != generation || ((__u32)old & bit))
			return false;
	} while (!krepis_cas(&desc->claim, &old, old | bit));
	return true;
}

/*
 * Overwrite channels: the producer is about to overwrite the record that names
 * the buffer. Holds that nobody took are dropped; those that were taken stay.
 * From the exchange on the claim names no life, so nobody takes any more, and
 * still says who took: a sweep can end what a dead producer began.
 *
 * Return: the consumers that lost the message.
 */
static inline __u32 krepis_own_evict(struct krepis_desc *desc, __u32 generation)
{
	__u64 old = krepis_read(&desc->claim);
	__u32 lost;

	if (krepis_load_acquire(&desc->word) !=
	    krepis_own_word(KREPIS_OWNED_CONSUMER, generation))
		return 0;
	do {
		if (krepis_own_generation(old) && krepis_own_generation(old) != generation)
			return 0;
	} while (!krepis_cas(&desc->claim, &old, (__u32)old));
	lost = krepis_read(&desc->holders) & ~(__u32)old;
	krepis_own_drop(desc, generation, lost);
	return lost;
}

/*
 * The producer's buffer, LOCKED by krepis_own_lock(), goes to all who are in @live, of
 * the @slots that the geometry has.
 *
 * Return: 0; -ENOTCONN if nobody is attached, and the buffer is still the
 * producer's; -EOWNERDEAD.
 */
static inline int krepis_own_give(struct krepis_desc *desc, __u32 generation, __u32 *live,
				  __u32 slots, const struct krepis_desc *what)
{
	__u32 holders = krepis_load_acquire(live) & slots;
	int err;

	if (!holders) {
		krepis_own_unlock(desc, generation);
		return -ENOTCONN;
	}
	krepis_own_describe(desc, generation, holders, what);
	err = krepis_own_grant(desc, generation);
	if (err)
		return err;
	/* Pairs with the barrier between a sweeper's live bit and krepis_own_sweep(). */
	krepis_mb_after_atomic();
	holders &= ~krepis_read(live);
	if (holders)
		krepis_own_drop(desc, generation, holders);
	return 0;
}

/*
 * The producer hands buffer @desc in life @generation over: the composition that the
 * model checks step by step. In an enforced channel the kernel takes the producer's pages away
 * between the two steps.
 *
 * Return: as krepis_own_lock(), and then as krepis_own_give().
 */
static inline int krepis_own_publish(struct krepis_desc *desc, __u32 generation, __u32 *live,
				     __u32 slots, const struct krepis_desc *what)
{
	int err = krepis_own_lock(desc, generation);

	return err ? err : krepis_own_give(desc, generation, live, slots, what);
}

/*
 * Drops dead consumers' holds on @desc. The caller has cleared their live bits
 * and passed a full barrier since; pairs with krepis_own_grant().
 *
 * Return: true if the buffer went back to the producer by this call.
 */
static inline bool krepis_own_sweep(struct krepis_desc *desc, __u32 dead)
{
	__u64 word = krepis_load_acquire(&desc->word);

	return krepis_own_state(word) == KREPIS_OWNED_CONSUMER &&
	       krepis_own_drop(desc, krepis_own_generation(word), dead);
}

/*
 * A producer has stopped for good, with @head its last published position:
 * repairs @desc. What it locked, or granted under a record that nobody will ever
 * see, comes back; an eviction that it began is ended. Not to be called while a
 * thread of the dead could still execute: it might publish the record yet.
 */
static inline void krepis_own_recover(struct krepis_desc *desc, __u64 head)
{
	__u64 word = krepis_load_acquire(&desc->word);
	__u32 generation = krepis_own_generation(word);

	if (krepis_own_state(word) == KREPIS_OWNED_PRODUCER)
		return;
	if (krepis_own_state(word) == KREPIS_LOCKED ||
	    (__s64)(krepis_read(&desc->sequence) - head) >= 0)
		krepis_own_reclaim(desc);
	else if (krepis_own_generation(krepis_read(&desc->claim)) != generation)
		krepis_own_evict(desc, generation);
}

/* The life in which consumer @bit holds the buffer, or 0. */
static inline __u32 krepis_own_held(struct krepis_desc *desc, __u32 bit)
{
	__u64 word = krepis_load_acquire(&desc->word);

	if (krepis_own_state(word) != KREPIS_OWNED_CONSUMER ||
	    !(krepis_load_acquire(&desc->holders) & bit))
		return 0;
	return krepis_own_generation(word);
}

/*
 * Consumer @bit has attached and reads from @position on. A producer that saw
 * the live bit before may have granted it buffers whose records stand in front of that:
 * it will never read them, so it lets go. The sequence is read after the hold
 * was seen, for the reason given at krepis_own_resolve().
 *
 * Return: the life in which the consumer holds such a buffer, or 0.
 */
static inline __u32 krepis_own_unread(struct krepis_desc *desc, __u32 bit, __u64 position)
{
	__u32 generation = krepis_own_held(desc, bit);

	return generation && (__s64)(krepis_read(&desc->sequence) - position) < 0 ? generation : 0;
}

static inline void krepis_own_forgo(struct krepis_desc *desc, __u32 bit, __u64 position,
				    bool overwrite)
{
	__u32 generation = krepis_own_unread(desc, bit, position);

	if (generation && (!overwrite || krepis_own_take(desc, generation, bit)))
		krepis_own_drop(desc, generation, bit);
}

/*
 * Consumer @bit is gone: takes back what it holds or would have received. Under
 * the admin lock, which lets nobody else have the bit meanwhile.
 */
static inline void krepis_own_sweep_consumer(struct krepis_info *info, struct krepis_desc *desc,
					     __u32 count, __u32 bit)
{
	__u32 i;

	krepis_fetch_andnot(&info->live, bit);
	/* Pairs with the one after the grant in krepis_own_publish(). */
	krepis_mb_after_atomic();
	for (i = 0; i < count; i++)
		krepis_own_sweep(&desc[i], bit);
}

/* The producer is gone for good: takes back what it left. Under the admin lock. */
static inline void krepis_own_sweep_producer(struct krepis_producer *producer,
					     struct krepis_desc *desc, __u32 count)
{
	__u64 head = krepis_load_acquire(&producer->head);
	__u32 i;

	for (i = 0; i < count; i++)
		krepis_own_recover(&desc[i], head);
}

#endif /* _KREPIS_OWNERSHIP_H */
