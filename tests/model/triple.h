/* SPDX-License-Identifier: MIT */
/* The C half of triple.pml: the channel, the calls, and what must always hold. */
#ifndef _KREPIS_MODEL_TRIPLE_H
#define _KREPIS_MODEL_TRIPLE_H

#define MODEL_ACTORS	2
#define MODEL_LOG	4
#define PRODUCER	0
#define CONSUMER	1

#include "step.h"
#include <krepis/triple.h>

/* The channel. */
static struct krepis_exchange exchange;
static struct krepis_desc desc[KREPIS_TRIPLE_BUFFERS];
static __u32 note[2];		/* struct krepis_producer.back, struct krepis_consumer.front */
static __u32 nowhere;		/* MUTATE_NO_NOTE: the notes of the exchanges */

#ifdef MUTATE_NO_NOTE
#define OWN_NOTE(self)	(&nowhere)
#else
#define OWN_NOTE(self)	(&note[self])
#endif

/**
 * struct model_side - what a side knows by itself
 * @owns:	it has a buffer: from its claim until it stops
 * @has:	ghost: its buffer, from the exchange on
 * @index:	its buffer, from the end of the call on
 * @count:	number of the last publication, made or taken
 * @value:	the value that it writes or reads
 */
struct model_side {
	__u8 owns;
	__u8 has;
	__u8 index;
	__u8 count;
	__u8 value;
};

/**
 * struct model_world - the rest of the state
 * @side:	private variables
 * @payload:	two words a buffer; a value is whole if they are equal
 * @values:	ghost: values begun, so that each is unique
 * @latest:	ghost: the last value published
 * @seen:	ghost: the last value taken, or found in its buffer by a new consumer
 * @seen_count:	ghost: its number
 */
struct model_world {
	struct model_side side[2];
	__u8 payload[KREPIS_TRIPLE_BUFFERS][2];
	__u8 values;
	__u8 latest;
	__u8 seen;
	__u8 seen_count;
};

static struct model_world world;

static bool model_quiet(const void *p)
{
	(void)p;
	return false;
}

static const char *model_actor_name(int actor)
{
	return actor == PRODUCER ? "producer" : "consumer";
}

static const char *model_name(const void *p)
{
	return p == &exchange.word ? "exchange" : p == &note[PRODUCER] ? "back" :
	       p == &note[CONSUMER] ? "front" : p == &nowhere ? "nowhere" : "sequence";
}

/* Back, middle and front are three different buffers. At every change of one. */
static void model_judge(__u64 word)
{
	__u32 middle = krepis_triple_index(word);
	const struct model_side *p = &world.side[PRODUCER], *c = &world.side[CONSUMER];

	if ((p->owns && p->has == middle) || (c->owns && c->has == middle) ||
	    (p->owns && c->owns && p->has == c->has))
		model_fail("one buffer is in two places");
}

/* The consumer gets to see a value. It may have found it where the last one left it. */
static void model_judge_value(__u32 count, __u8 value, bool again)
{
	if (count < world.seen_count + !again || value < world.seen + !again)
		model_fail("publications went backwards");
	world.seen_count = count;
	world.seen = value;
}

static void model_seen(int actor, enum model_op op, const void *p, __u64 *old, __u64 *new)
{
	struct model_side *me = &world.side[actor];

#if defined(MUTATE_NO_BUSY)
	if (op == MODEL_STORE && p == &note[actor] && *new == KREPIS_TRIPLE_BUFFERS)
		*new = *old;
#elif defined(MUTATE_NOTE_FIRST)
	/* What the exchange should bring. */
	if (op == MODEL_STORE && p == &note[actor] && *new == KREPIS_TRIPLE_BUFFERS)
		*new = krepis_triple_index(exchange.word);
#endif
	if (op != MODEL_XCHG)
		return;
	me->has = krepis_triple_index(*old);
	if (actor == PRODUCER)
		world.latest = me->value;
	else if (me->has < KREPIS_TRIPLE_BUFFERS)
		model_judge_value(krepis_triple_count(*old), world.payload[me->has][0], false);
	model_judge(*new);
}

/* ---------------------------------------------------------------- the calls */

/* A new producer goes on behind its predecessor's numbers. */
static int call_last(int self)
{
	(void)self;
#ifdef MUTATE_COUNT_FROM_WORD
	return krepis_triple_count(krepis_load_acquire(&exchange.word));
#endif
	return krepis_triple_last(desc);
}

static int call_claim(int self)
{
	return krepis_triple_claim(&exchange, &note[!self]);
}

static int call_note(int self)
{
	krepis_store_release(&note[self], world.side[self].index);
	return 0;
}

/*
 * A new producer is about to overwrite what stands in its buffer. The number there
 * may be the newest of all, if its predecessor died before the exchange: a new
 * consumer must not find it above half a value, should this producer die as well.
 */
static int call_unnumber(int self)
{
	krepis_write(&desc[world.side[self].index].sequence, 0);
	return 0;
}

static int call_number(int self)
{
	struct model_side *me = &world.side[self];

	krepis_write(&desc[me->index].sequence, me->count + 1);
	return 0;
}

static int call_publish(int self)
{
	struct model_side *me = &world.side[self];

	return krepis_triple_publish(&exchange, OWN_NOTE(self), me->index, me->count + 1);
}

static int call_pending(int self)
{
	(void)self;
#ifdef MUTATE_NO_PENDING
	return 1;
#endif
	return krepis_triple_pending(&exchange);
}

static __u32 taken_count;	/* only within one step */

static int call_take(int self)
{
	return krepis_triple_take(&exchange, OWN_NOTE(self), world.side[self].index, &taken_count);
}

/* ---------------------------------------------- single steps without a call */

static void model_claimed(int self, int index)
{
	if (index < 0)
		return;
	world.side[self].index = world.side[self].has = index;
	world.side[self].owns = true;
	if (model_trail)
		printf("| %s finds its buffer: %d\n", model_actor_name(self), index);
	model_judge(exchange.word);
}

/* MUTATE_NO_CLAIM: one of the two buffers that are not in the middle. */
static void model_choose(int self, int which)
{
	model_claimed(self, (krepis_triple_index(exchange.word) + which) % KREPIS_TRIPLE_BUFFERS);
}

/* Nobody is at the other side: of these two the newer one for a consumer. */
static void model_pick(int self)
{
	int a = (krepis_triple_index(exchange.word) + 1) % KREPIS_TRIPLE_BUFFERS;
	int b = (krepis_triple_index(exchange.word) + 2) % KREPIS_TRIPLE_BUFFERS;
	bool a_is_newer = desc[a].sequence > desc[b].sequence;

#ifdef MUTATE_PICK_OLDER
	a_is_newer = !a_is_newer;
#endif
	model_claimed(self, a_is_newer == (self == CONSUMER) ? a : b);
}

/* A new consumer looks at the value in its buffer, if one was ever there. */
static void model_received(void)
{
	struct model_side *me = &world.side[CONSUMER];

	me->count = desc[me->index].sequence;
	if (me->count)
		me->value = world.payload[me->index][0];
}

/* It shows it, as there is no fresh one. */
static void model_shown(void)
{
	struct model_side *me = &world.side[CONSUMER];

	model_judge_value(me->count, me->value, true);
}

static void model_begin(void)
{
	world.side[PRODUCER].value = ++world.values;
}

static void model_write(int word)
{
	struct model_side *me = &world.side[PRODUCER];

	world.payload[me->index][word] = me->value;
}

static void model_published(void)
{
	struct model_side *me = &world.side[PRODUCER];

	if (model_actor[PRODUCER].result < 0) {
		model_fail("the producer got an impossible buffer");
		return;
	}
	me->index = model_actor[PRODUCER].result;
	me->count++;
	me->value = 0;
}

static void model_taken(void)
{
	struct model_side *me = &world.side[CONSUMER];

	if (model_actor[CONSUMER].result < 0) {
		model_fail("the consumer got an impossible buffer");
		return;
	}
	me->index = model_actor[CONSUMER].result;
	me->count = taken_count;
	me->value = world.payload[me->index][0];
}

static void model_look(int word)
{
	struct model_side *me = &world.side[CONSUMER];

	if (world.payload[me->index][word] != me->value)
		model_fail("a value is torn");
}

/* The process is gone with all that it knew. */
static void model_forget(int self)
{
	if (model_trail)
		printf("| %s has stopped\n", model_actor_name(self));
	memset(&model_actor[self], 0, sizeof(model_actor[self]));
	memset(&world.side[self], 0, sizeof(world.side[self]));
}

/* Nothing can move any more: the consumer has the latest value. */
static void model_at_rest(void)
{
	if (world.values != PUBLICATIONS)
		model_fail("the producer is stuck");
	if (!world.side[CONSUMER].owns || !world.side[PRODUCER].owns)
		model_fail("a side is stuck");
	if (krepis_triple_fresh(exchange.word))
		model_fail("the consumer is stuck");
	/* A value that was complete, but not published yet when its producer died, is shown too. */
	if (world.seen < world.latest)
		model_fail("the latest value was never seen");
}

#endif /* _KREPIS_MODEL_TRIPLE_H */
