/* SPDX-License-Identifier: MIT */
/*
 * The C half of handover.pml and evict.pml: the channel, the calls, and what
 * must always hold.
 */
#ifndef _KREPIS_MODEL_HANDOVER_H
#define _KREPIS_MODEL_HANDOVER_H

#define MODEL_ACTORS	4
#ifdef OVERWRITE
#define MODEL_LOG	12
#else
#define MODEL_LOG	8
#endif
#define CONSUMERS	2
#define PRODUCER	2	/* actors 0 and 1 are the consumers */
#define SWEEPER		3

#include "step.h"
#include <krepis/ownership.h>
#include <krepis/ring.h>

#define SLOTS		((1U << CONSUMERS) - 1)
#define RECORD_BYTES	8	/* one record; positions are multiples of it */
#ifdef OVERWRITE
#define RING_RECORDS	1
#else
#define RING_RECORDS	PUBLICATIONS	/* never full */
#endif

/* The channel. */
static struct krepis_info info;
static struct krepis_producer producer;
static struct krepis_consumer consumer[CONSUMERS];
static struct krepis_desc desc[BUFFERS];

/**
 * struct model_peer - what a process knows by itself
 * @buffer:	the buffer it works on
 * @generation:	in this life; 0 while it attaches
 * @position:	producer: its private head; consumer: its private tail; who recovers
 *		what a producer left: that one's head
 * @floor:	producer: overwrite: the oldest record
 * @message:	which publication it writes, or expects to read
 * @holding:	consumer: it may read the payload
 */
struct model_peer {
	__u8 buffer;
	__u8 generation;
	__u8 position;
	__u8 floor;
	__u8 message;
	__u8 holding;
};

/**
 * struct model_world - the rest of the state
 * @peer:	private variables
 * @payload:	number of the publication that wrote the buffer
 * @ring:	the records: a handle, and which publication wrote it
 * @attempts:	publications begun
 * @declared:	peers whose death was noticed; they may still run
 * @victim:	whom the sweeper sweeps for
 * @attached:	ghost: consumers whose attach is complete
 * @due:	ghost, by position: who was attached before the publication began and
 *		has lived since, so that it must receive it
 * @due_next:	ghost: the same for the publication that is under way
 * @taken:	ghost, by position: overwrite: whose krepis_own_take() won
 * @lost:	ghost, by position: overwrite: against whom krepis_own_evict() won
 */
struct model_world {
	struct model_peer peer[MODEL_ACTORS];
	__u8 payload[BUFFERS];
	struct {
		__u8 buffer;
		__u8 generation;
		__u8 message;
	} ring[RING_RECORDS];
	__u8 attempts;
	__u8 declared;
	__u8 victim;
	__u8 attached;
	__u8 due[PUBLICATIONS];
	__u8 due_next;
#ifdef OVERWRITE
	__u8 taken[PUBLICATIONS];
	__u8 lost[PUBLICATIONS];
#endif
};

static struct model_world world;

static bool model_alive(int i)
{
	return !(world.declared & 1U << i);
}

static const char *model_actor_name(int actor)
{
	static const char * const name[] = { "consumer 0", "consumer 1", "producer", "sweeper" };

	return name[actor];
}

static const char *model_name(const void *p)
{
	static char name[32];
	size_t offset = (const char *)p - (const char *)desc;
	const char *field;

	if (p == &info.live)
		return "live";
	if (p == &producer.head)
		return "head";
	if (p == &producer.floor)
		return "floor";
	if (offset >= sizeof(desc))
		return "tail";
	switch (offset % sizeof(desc[0])) {
	case offsetof(struct krepis_desc, word):
		field = "word";
		break;
	case offsetof(struct krepis_desc, holders):
		field = "holders";
		break;
	case offsetof(struct krepis_desc, sequence):
		field = "sequence";
		break;
	case offsetof(struct krepis_desc, claim):
		field = "claim";
		break;
	default:
		field = "metadata";
	}
	snprintf(name, sizeof(name), "%s of buffer %zu", field, offset / sizeof(desc[0]));
	return name;
}

/*
 * Metadata belongs to who owns the payload. A tail has one writer, and who reads
 * it, to find room in the ring, is not modelled.
 */
static bool model_quiet(const void *p)
{
	int b;

	for (b = 0; b < BUFFERS; b++) {
		if (p == &desc[b].len || p == &desc[b].type || p == &desc[b].flags ||
		    p == &desc[b].crc32c)
			return true;
#ifndef OVERWRITE
		if (p == &desc[b].claim)
			return true;
#endif
	}
	return p == &consumer[0].tail || p == &consumer[1].tail;
}

/* Living consumers that may read buffer @b now. */
static __u32 model_readers(int b)
{
	__u32 readers = 0;
	int i;

	for (i = 0; i < CONSUMERS; i++)
		if (world.peer[i].holding && world.peer[i].buffer == b && model_alive(i))
			readers |= 1U << i;
	return readers;
}

/* Every change of owner is one of those in the table of ownership.h, by who may. */
static void model_judge_word(int actor, int b, __u64 old, __u64 new)
{
	__u32 from = krepis_own_state(old), to = krepis_own_state(new);
	__u32 life = krepis_own_generation(old), next = krepis_own_generation(new);

	if (from == KREPIS_OWNED_PRODUCER) {
		if (to != KREPIS_LOCKED || next != life || actor != PRODUCER)
			model_fail("illegal transition from PRODUCER");
	} else if (from == KREPIS_LOCKED) {
		bool recovers = actor == SWEEPER ||
				(actor == PRODUCER && !world.peer[PRODUCER].generation);

		if (next == life ? actor != PRODUCER || recovers :
		    to != KREPIS_OWNED_PRODUCER || next != life + 1 || !recovers)
			model_fail("illegal transition from LOCKED");
	} else if (to != KREPIS_OWNED_PRODUCER || next != life + 1) {
		model_fail("illegal transition from CONSUMER");
	} else if (model_readers(b)) {
		model_fail("a buffer left a living holder");
	}
}

#ifdef OVERWRITE
/* Exactly one of take and evict wins each consumer's hold on each publication. */
static void model_judge_claim(int actor, int b, __u64 old)
{
	__u32 r = desc[b].sequence / RECORD_BYTES;

	if (actor < CONSUMERS) {
		__u32 life = world.peer[actor].generation;

		if ((life && life != krepis_own_generation(old)) ||
		    (model_alive(actor) && (!(desc[b].holders & 1U << actor) || desc[b].word !=
		     krepis_own_word(KREPIS_OWNED_CONSUMER, krepis_own_generation(old)))))
			model_fail("a stale consumer took a hold");
		world.taken[r] |= 1U << actor;
	} else {
		world.lost[r] |= desc[b].holders & ~world.taken[r];
	}
	if (world.taken[r] & world.lost[r])
		model_fail("take and evict both won");
}
#endif

static void model_seen(int actor, enum model_op op, const void *p, __u64 *old, __u64 *new)
{
	int b;

#ifdef MUTATE_NO_RECHECK
	if (op == MODEL_READ && p == &info.live)
		*old = SLOTS;
#endif
	for (b = 0; b < BUFFERS; b++) {
#ifdef MUTATE_ATTACH_BLIND
		if (op == MODEL_LOAD && p == &desc[b].holders && !world.peer[actor].generation)
			*old |= 1U << actor;
#endif
		if (p == &desc[b].word && *old != *new) {
			model_judge_word(actor, b, *old, *new);
#ifdef MUTATE_RETURN_SAME_LIFE
			if (krepis_own_state(*old) == KREPIS_OWNED_CONSUMER)
				*new = krepis_own_word(krepis_own_state(*new),
						       krepis_own_generation(*old));
#endif
		}
		if (p == &desc[b].holders && op == MODEL_ANDNOT &&
		    (model_readers(b) & (*old & ~*new)))
			model_fail("a living holder lost its hold");
#ifdef OVERWRITE
		if (p == &desc[b].claim && op == MODEL_CAS)
			model_judge_claim(actor, b, *old);
#endif
	}
}

/* ---------------------------------------------------------------- the calls */

static int call_publish(int self)
{
	struct model_peer *me = &world.peer[self];
	struct krepis_desc what = { .len = 1, .sequence = me->position };

	return krepis_own_publish(&desc[me->buffer], me->generation, &info.live, SLOTS, &what);
}

/*
 * Makes the record visible. In an overwrite channel both ends are written; the
 * sequence lock around them is the ring's business and not modelled.
 */
static int call_flush(int self)
{
	struct model_peer *me = &world.peer[self];

#ifdef OVERWRITE
	krepis_write(&producer.floor, me->floor);
#endif
	krepis_ring_publish(&producer, me->position);
	return 0;
}

static int call_resolve(int self)
{
	struct model_peer *me = &world.peer[self];
	struct krepis_desc what;

#ifdef MUTATE_RESOLVE_WORD_FIRST
	if (krepis_load_acquire(&desc[me->buffer].word) !=
	    krepis_own_word(KREPIS_OWNED_CONSUMER, me->generation))
		return -ESTALE;
	return krepis_read(&desc[me->buffer].holders) & 1U << self ? 0 : -ESTALE;
#endif
	return krepis_own_resolve(&desc[me->buffer], me->generation, 1U << self, 1, &what);
}

static int call_drop(int self)
{
	struct model_peer *me = &world.peer[self];

	me->holding = false;
	return krepis_own_drop(&desc[me->buffer], me->generation, 1U << self);
}

static int call_go_live(int self)
{
	krepis_fetch_or(&info.live, 1U << self);
	return 0;
}

static int call_join(int self)
{
	world.peer[self].position = krepis_ring_join(&producer, &consumer[self]);
	return 0;
}

/* Buffers that were granted between the live bit and the tail. */
static int call_forgo(int self)
{
	struct model_peer *me = &world.peer[self];
#ifdef OVERWRITE
	const bool overwrite = true;
#else
	const bool overwrite = false;
#endif

	krepis_own_forgo(&desc[me->buffer], 1U << self, me->position, overwrite);
	return 0;
}

static int call_clear_live(int self)
{
	(void)self;
	krepis_fetch_andnot(&info.live, 1U << world.victim);
	return 0;
}

static int call_sweep(int self)
{
#ifdef MUTATE_NO_REPAIR
	if (!(krepis_read(&desc[world.peer[self].buffer].holders) & 1U << world.victim))
		return 0;
#endif
	return krepis_own_sweep(&desc[world.peer[self].buffer], 1U << world.victim);
}

/* Where the last producer stopped. */
static int call_head(int self)
{
	world.peer[self].position = krepis_load_acquire(&producer.head);
	return 0;
}

/* What it left behind in the buffer. */
static int call_recover(int self)
{
	struct model_peer *me = &world.peer[self];
	struct krepis_desc *d = &desc[me->buffer];

#ifdef MUTATE_UNFINISHED_EVICT
	if (krepis_own_state(krepis_load_acquire(&d->word)) == KREPIS_OWNED_CONSUMER &&
	    krepis_read(&d->sequence) < me->position)
		return 0;
#endif
#ifdef MUTATE_RECLAIM_PUBLISHED
	krepis_own_recover(d, 0);
#else
	krepis_own_recover(d, me->position);
#endif
	return 0;
}

#ifdef OVERWRITE
static int call_intact(int self)
{
	return krepis_ring_intact(&producer, world.peer[self].position);
}

static int call_take(int self)
{
	struct model_peer *me = &world.peer[self];

#if defined(MUTATE_NO_TAKE)
	return 1;
#elif defined(MUTATE_TAKE_ANY_LIFE)
	krepis_own_take(&desc[me->buffer],
			krepis_own_generation(krepis_read(&desc[me->buffer].claim)), 1U << self);
	return 1;
#endif
	return krepis_own_take(&desc[me->buffer], me->generation, 1U << self);
}

static int call_evict(int self)
{
	int r = world.peer[self].floor / RECORD_BYTES % RING_RECORDS;

	return krepis_own_evict(&desc[world.ring[r].buffer], world.ring[r].generation);
}
#endif

/* ---------------------------------------------- single steps without a call */

static void model_producer_attach(void)
{
	struct model_peer *me = &world.peer[PRODUCER];

	me->buffer = 0;
	me->position = producer.head;
	me->floor = producer.floor;
}

/* The producer takes a buffer that is its own. */
static void model_acquire(int b)
{
	struct model_peer *me = &world.peer[PRODUCER];

	me->buffer = b;
	me->generation = krepis_own_generation(desc[b].word);
	me->message = ++world.attempts;
}

/* Fills it. */
static void model_write(void)
{
	struct model_peer *me = &world.peer[PRODUCER];

	if (desc[me->buffer].word != krepis_own_word(KREPIS_OWNED_PRODUCER, me->generation))
		model_fail("the producer writes a buffer that is not its own");
	if (model_readers(me->buffer))
		model_fail("the producer writes what a living consumer reads");
	if (model_trail)
		printf("| producer   writes the payload of buffer %d\n", me->buffer);
	world.payload[me->buffer] = me->message;
}

/* Writes the record, where no consumer looks until the head moves. */
static void model_record(void)
{
	struct model_peer *me = &world.peer[PRODUCER];
	int r = me->position / RECORD_BYTES % RING_RECORDS;

	world.ring[r].buffer = me->buffer;
	world.ring[r].generation = me->generation;
	world.ring[r].message = me->message;
	world.due_next = world.attached & ~world.declared;
}

/* After the publish, which may have failed. */
static void model_granted(void)
{
	struct model_peer *me = &world.peer[PRODUCER];
	int result = model_actor[PRODUCER].result;

	if (result && result != -ENOTCONN && model_alive(PRODUCER))
		model_fail("a living producer lost its buffer");
	if (!result) {
		world.due[me->position / RECORD_BYTES] = world.due_next;
#ifdef OVERWRITE
		world.taken[me->position / RECORD_BYTES] = 0;
		world.lost[me->position / RECORD_BYTES] = 0;
#endif
		me->position += RECORD_BYTES;
	}
	me->buffer = me->generation = me->message = 0;
	world.due_next = 0;
}

static void model_evicted(void)
{
	world.peer[PRODUCER].floor += RECORD_BYTES;
}

static void model_attached(int i)
{
	world.peer[i].buffer = world.peer[i].generation = 0;
	if (model_alive(i))
		world.attached |= 1U << i;
}

static void model_next_record(int i)
{
	struct model_peer *me = &world.peer[i];
	int r = me->position / RECORD_BYTES % RING_RECORDS;

	if (producer.head < me->position)
		model_fail("the head went back");
	me->buffer = world.ring[r].buffer;
	me->generation = world.ring[r].generation;
	me->message = world.ring[r].message;
}

/* Overwrite: the record was not whole. */
static void model_lapped(int i)
{
	struct model_peer *me = &world.peer[i];

	me->position = producer.floor;
	me->buffer = me->generation = me->message = 0;
}

/* Done with a record. */
static void model_consumed(int i)
{
	struct model_peer *me = &world.peer[i];

	me->position += RECORD_BYTES;
	me->buffer = me->generation = me->message = 0;
}

/* Resolved and, in an overwrite channel, taken; or a record for somebody else. */
static void model_received(int i, bool mine)
{
	struct model_peer *me = &world.peer[i];

	if (mine) {
		me->holding = true;
		return;
	}
#ifndef OVERWRITE
	if (world.due[me->position / RECORD_BYTES] & 1U << i)
		model_fail("a message was lost");
#endif
	model_consumed(i);
}

static void model_look(int i)
{
	struct model_peer *me = &world.peer[i];

	if (model_trail)
		printf("| consumer %d reads the payload of buffer %d\n", i, me->buffer);
	if (model_alive(i) && world.payload[me->buffer] != me->message)
		model_fail("a living consumer read another publication's payload");
}

/* A death is noticed: nothing is due to @i any more. */
static void model_declare(int i)
{
	int r;

	if (model_trail)
		printf("| %s is declared dead\n", model_actor_name(i));
	world.declared |= 1U << i;
	world.attached &= ~(1U << i);
	world.due_next &= ~(1U << i);
	for (r = 0; r < PUBLICATIONS; r++)
		world.due[r] &= ~(1U << i);
}

/* The process is gone with all that it knew. */
static void model_forget(int i)
{
	if (model_trail)
		printf("| %s has stopped\n", model_actor_name(i));
	memset(&model_actor[i], 0, sizeof(model_actor[i]));
	memset(&world.peer[i], 0, sizeof(world.peer[i]));
	if (i == SWEEPER)
		world.victim = 0;
	if (i == PRODUCER)
		world.due_next = 0;
}

/* Nothing can move any more: every buffer is home and every record was read. */
static void model_at_rest(void)
{
	int b, i;

	for (b = 0; b < BUFFERS; b++)
		if (krepis_own_state(desc[b].word) != KREPIS_OWNED_PRODUCER)
			model_fail("a buffer leaked");
	if (world.attempts != PUBLICATIONS)
		model_fail("the producer is stuck");
	for (i = 0; i < CONSUMERS; i++)
		if (!(world.attached & 1U << i) || world.peer[i].position != producer.head)
			model_fail("a consumer is stuck");
#if defined(OVERWRITE) && !defined(MUTATE_NO_TAKE)
	for (i = 0; (unsigned int)i < producer.head / RECORD_BYTES; i++)
		if (world.due[i] & ~(world.taken[i] | world.lost[i]))
			model_fail("a message was neither taken nor evicted");
#endif
}

static void model_start(void)
{
	int b;

	for (b = 0; b < BUFFERS; b++) {
		desc[b].word = krepis_own_word(KREPIS_OWNED_PRODUCER, 1);
		desc[b].len = 1;
	}
}

#endif /* _KREPIS_MODEL_HANDOVER_H */
