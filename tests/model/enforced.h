/* SPDX-License-Identifier: MIT */
/*
 * The C half of enforced.pml: the channel, the kernel's locks and mappings, the calls,
 * and what must always hold.
 */
#ifndef _KREPIS_MODEL_ENFORCED_H
#define _KREPIS_MODEL_ENFORCED_H

#define MODEL_LOG	12
#define MODEL_ACTORS	5
#define HONEST		4	/* actors 0 and 1 are the producer, 2 and 3 a hostile consumer */
#define PRODUCER	0	/* the endpoints */
#define CONSUMER	1	/* the hostile one */
#define VICTIM		2	/* the honest one */
#define ENDPOINTS	3

#include "step.h"
#include <krepis/ownership.h>
#include <krepis/triple.h>

#ifdef TRIPLE
#define BUFFERS	KREPIS_TRIPLE_BUFFERS
#endif
#ifdef OVERWRITE
#define OVERWRITES	true
#else
#define OVERWRITES	false
#endif
#define SLOTS	3

/* The channel. */
static struct krepis_info info;
static struct krepis_desc desc[BUFFERS];
static struct krepis_exchange exchange;
static __u32 held[2];		/* the kernel's own notes of a triple */
static __u32 note;		/* MUTATE_TRUST_NOTE: the producer's, in its page */

/**
 * struct model_peer - what a thread is at
 * @busy:	a command, or a fault
 * @buffer:	its handle
 * @generation:	the same; of a triple nothing
 * @holding:	ghost: honest: the buffer is its own, by all that it has seen
 */
struct model_peer {
	__u8 busy;
	__u8 buffer;
	__u8 generation;
	__u8 holding;
};

/**
 * struct model_world - the rest of the state
 * @peer:	the threads
 * @attached:	by endpoint: it has its slot
 * @mapped:	by endpoint: mask of buffers that it could write this instant
 * @readers:	by endpoint: faults that hold krepis_endpoint.pages
 * @writer:	by endpoint: a command holds it
 * @owners:	somebody holds krepis_channel.owners
 * @lock:	somebody holds krepis_channel.lock
 * @deaths:	by now, of those that somebody followed
 */
struct model_world {
	struct model_peer peer[MODEL_ACTORS];
	__u8 attached[ENDPOINTS];
	__u8 mapped[ENDPOINTS];
	__u8 readers[ENDPOINTS];
	__u8 writer[ENDPOINTS];
	__u8 owners;
	__u8 lock;
	__u8 deaths;
};

static struct model_world world;

/* Whose thread it is. */
static int model_endpoint(int actor)
{
	return actor / 2;
}

static __u32 model_bit(int actor)
{
	return actor < 2 ? 0 : 1U << (model_endpoint(actor) - CONSUMER);
}

static bool model_idle(int endpoint)
{
	int i;

	for (i = 0; i < MODEL_ACTORS; i++)
		if (model_endpoint(i) == endpoint && world.peer[i].busy)
			return false;
	return true;
}

static bool model_honest(int actor)
{
#ifdef HOSTILE_PRODUCER
	return actor == HONEST;
#else
	return actor == HONEST || actor == 0;
#endif
}

static const char *model_actor_name(int actor)
{
	static const char * const name[] = {
		"producer", "producer'", "consumer", "consumer'", "honest",
	};

	return name[actor];
}

static const char *model_name(const void *p)
{
	static char name[32];
	size_t offset = (const char *)p - (const char *)desc;
	size_t field = offset % sizeof(desc[0]);

	if (p == &info.live)
		return "live";
	if (p == &exchange.word)
		return "exchange";
	if (p == &held[0] || p == &held[1])
		return p == &held[0] ? "producer's" : "consumer's";
	if (offset >= sizeof(desc))
		return "note";
	snprintf(name, sizeof(name), "%s of buffer %zu",
		 field == offsetof(struct krepis_desc, word) ? "word" :
		 field == offsetof(struct krepis_desc, holders) ? "holders" :
		 field == offsetof(struct krepis_desc, claim) ? "claim" : "metadata",
		 offset / sizeof(desc[0]));
	return name;
}

/* Metadata: what a holder reads of them is judged in every state. */
static bool model_quiet(const void *p)
{
	int b;

	for (b = 0; b < BUFFERS; b++) {
		if (p == &desc[b].len || p == &desc[b].type || p == &desc[b].flags ||
		    p == &desc[b].crc32c || p == &desc[b].sequence || p == &desc[b].giver ||
		    (p == &desc[b].claim && !OVERWRITES))
			return true;
	}
	return false;
}

/* What an access does is judged by what it leaves, in model_judge(). */
static void model_seen(int actor, enum model_op op, const void *p, __u64 *old, __u64 *new)
{
	(void)actor;
	(void)op;
	(void)p;
	(void)old;
	(void)new;
}

static void model_event(int self, const char *what)
{
	if (model_trail)
		printf("| %-10s %s %d\n", model_actor_name(self), what, world.peer[self].buffer);
}

/* The promises, in every state. */
static void model_judge(void)
{
	int b, i;

	for (i = 0; i < MODEL_ACTORS; i++) {
		const struct model_peer *me = &world.peer[i];
		__u32 others = 0;

		if (!me->holding)
			continue;
		b = me->buffer;
		if (i != 0)
			others = world.mapped[PRODUCER];
#ifdef TRIPLE
		if (krepis_triple_index(exchange.word) == (__u32)b ||
		    (world.attached[i == 0 ? CONSUMER : PRODUCER] && held[i == 0] == (__u32)b))
			model_fail("one buffer is in two places");
#else
		if (i == 0) {
			others = world.mapped[CONSUMER] | world.mapped[VICTIM];
			if (desc[b].word != krepis_own_word(KREPIS_OWNED_PRODUCER, me->generation))
				model_fail("the producer lost its buffer");
		} else if (desc[b].word != krepis_own_word(KREPIS_OWNED_CONSUMER, me->generation) ||
			   !(desc[b].holders & model_bit(i))) {
			model_fail("a holder lost its hold");
		} else if (desc[b].len != me->generation) {
			model_fail("a holder has another life's length");
		}
#endif
		if (others & 1U << b)
			model_fail("a store lands in a buffer that was given away");
	}
	if (world.mapped[PRODUCER] & (world.mapped[CONSUMER] | world.mapped[VICTIM]))
		model_fail("a buffer has two writers");
#ifndef TRIPLE
	if (world.lock || !model_idle(PRODUCER) || !model_idle(CONSUMER) || !model_idle(VICTIM))
		return;
	for (b = 0; b < BUFFERS; b++)
		if (krepis_own_state(desc[b].word) == KREPIS_LOCKED ||
		    (krepis_own_state(desc[b].word) == KREPIS_OWNED_CONSUMER && !desc[b].holders))
			model_fail("a buffer that nobody holds did not come back");
#endif
}

/* --------------------------------------------------- locks, pages, and ends */

static bool model_owners_free(void)
{
#ifdef MUTATE_NO_OWNERS
	return true;
#endif
	return !world.owners;
}

static void model_own(void)
{
	world.owners = 1;
}

static void model_disown(void)
{
	world.owners = 0;
}

/* Who changes an owner may have the lock. */
static bool model_may_change(int endpoint)
{
	return !world.writer[endpoint] && !world.readers[endpoint];
}

static bool model_may_fault(int endpoint)
{
#ifdef MUTATE_FAULT_UNLOCKED
	return true;
#endif
	return !world.writer[endpoint];
}

static void model_fault_begins(int self)
{
	world.peer[self].busy = 1;
#ifndef MUTATE_FAULT_UNLOCKED
	world.readers[model_endpoint(self)]++;
#endif
}

/* Maps what the look found to be the thread's. A store may follow, at any time. */
static void model_map(int self)
{
	int endpoint = model_endpoint(self);

	if (model_actor[self].result) {
		world.mapped[endpoint] |= 1U << world.peer[self].buffer;
		model_event(self, "maps buffer");
	}
#ifndef MUTATE_FAULT_UNLOCKED
	world.readers[endpoint]--;
#endif
}

static void model_unmap(int self)
{
#ifndef MUTATE_NO_UNMAP
	world.mapped[model_endpoint(self)] &= ~(1U << world.peer[self].buffer);
	model_event(self, "has unmapped buffer");
#endif
}

/* Back in user mode. */
static void model_done(int self)
{
	memset(&world.peer[self], 0, sizeof(world.peer[self]));
}

/* An honest side goes on with the buffer in its handle, or it has none. */
static void model_keep(int self, bool keep)
{
	world.peer[self].busy = 0;
	if (keep)
		world.peer[self].holding = 1;
	else
		model_done(self);
}

/* What an honest side may not meet. */
static void model_expect(bool met)
{
	if (!met)
		model_fail("an honest side met an error");
}

static void model_attach(int self)
{
	if (model_trail)
		printf("| %-10s attaches\n", model_actor_name(self));
	if (self >= 2)
		info.live |= model_bit(self);
	world.attached[model_endpoint(self)] = 1;
}

/* No thread, no mapping any more. */
static void model_stop(int self)
{
	if (model_trail)
		printf("| %-10s is dead\n", model_actor_name(self));
	model_done(self);
	world.lock = 1;
	world.attached[model_endpoint(self)] = 0;
#ifndef MUTATE_END_BEFORE_UNMAP
	world.mapped[model_endpoint(self)] = 0;
#endif
}

static void model_left(int self)
{
	world.mapped[model_endpoint(self)] = 0;
	world.lock = 0;
}

#ifdef TRIPLE
static bool model_present(int self)
{
	return self < 2 ? world.attached[CONSUMER] || world.attached[VICTIM] :
			  world.attached[PRODUCER];
}

/* The attaching side's buffer, if it was found. */
static void model_claimed(int self, int index)
{
	world.lock = 0;
	if (index < 0)
		return;
	model_attach(self);
	held[self >= 2] = index;
	if (!model_honest(self))
		return;
	world.peer[self].buffer = index;
	world.peer[self].holding = 1;
}

/* Nobody is at the other side. */
static void model_pick(int self, int which)
{
	model_claimed(self, (krepis_triple_index(exchange.word) + which) % KREPIS_TRIPLE_BUFFERS);
}

/* What it got for its buffer. */
static void model_exchanged(int self)
{
	int index = model_actor[self].result;

	if (index == -EAGAIN) {
		model_keep(self, true);
		return;
	}
	model_expect(index >= 0);
	world.peer[self].buffer = index;
	model_keep(self, true);
}
#else
/* An honest producer finds a buffer that is its own. */
static bool model_may_acquire(int b)
{
	return krepis_own_state(desc[b].word) == KREPIS_OWNED_PRODUCER &&
	       krepis_own_generation(desc[b].word) <= LIVES;
}

static void model_acquire(int b)
{
	world.peer[0].buffer = b;
	world.peer[0].generation = krepis_own_generation(desc[b].word);
	world.peer[0].holding = 1;
}
#endif

/* ---------------------------------------------------------------- the calls */

/* has() of kmod/map.c */
static int call_has(int self)
{
	struct krepis_desc *d = &desc[world.peer[self].buffer];
	__u32 state;

#ifdef TRIPLE
	return krepis_read(&held[self >= 2]) == world.peer[self].buffer;
#endif
	state = krepis_own_state(krepis_load_acquire(&d->word));
	if (self < 2)
		return state == KREPIS_OWNED_PRODUCER;
	return state == KREPIS_OWNED_CONSUMER && (krepis_read(&d->holders) & model_bit(self));
}

/* leave_locked() of kmod/endpoint.c */
static int call_leave(int self)
{
	if (self >= 2)
		krepis_own_sweep_consumer(&info, desc,
#ifdef TRIPLE
					  0,
#else
					  BUFFERS,
#endif
					  model_bit(self));
#ifdef MUTATE_RECOVER
	else
		krepis_own_recover(&desc[0], 0);	/* whatever head it forged */
#endif
	return 0;
}

#ifndef TRIPLE
static int call_lock(int self)
{
	return krepis_own_lock(&desc[world.peer[self].buffer], world.peer[self].generation);
}

static int call_give(int self)
{
	const struct model_peer *me = &world.peer[self];
	const struct krepis_desc what = { .len = me->generation };

	return krepis_own_give(&desc[me->buffer], me->generation, &info.live, SLOTS, &what);
}

/* krepis_own_resolve() of the library; a record names what its forger likes. */
static int call_resolve(int self)
{
	const struct model_peer *me = &world.peer[self];
	struct krepis_desc what;

	return krepis_own_resolve(&desc[me->buffer], me->generation, model_bit(self), ~0ULL,
				  &what);
}

/* check_hold() of kmod/handoff.c */
static int check_hold(int self)
{
	const struct model_peer *me = &world.peer[self];
	struct krepis_desc *d = &desc[me->buffer], what;
	int err = krepis_own_resolve(d, me->generation, model_bit(self), ~0ULL, &what);

	if (!err && OVERWRITES && !(krepis_read(&d->claim) & model_bit(self)))
		err = -ESTALE;
	return err;
}

/* Both as in drop() there, under owners. */
static int call_drop(int self)
{
	const struct model_peer *me = &world.peer[self];
	int ret = check_hold(self);

	return ret ? ret : krepis_own_drop(&desc[me->buffer], me->generation, model_bit(self));
}

/* The first half of drop_pages() there, under pages and owners. */
static int call_drop_bit(int self)
{
	int err = check_hold(self);

	if (!err)
		krepis_fetch_andnot(&desc[world.peer[self].buffer].holders, model_bit(self));
	return err;
}

static int call_return(int self)
{
	return krepis_own_return(&desc[world.peer[self].buffer], world.peer[self].generation);
}

static int call_take(int self)
{
	const struct model_peer *me = &world.peer[self];
	struct krepis_desc *d = &desc[me->buffer], what;
	int err = krepis_own_resolve(d, me->generation, model_bit(self), ~0ULL, &what);

	if (!err && !krepis_own_take(d, me->generation, model_bit(self)))
		err = -ESTALE;
	return err;
}

static int call_evict(int self)
{
	const struct model_peer *me = &world.peer[self];
	struct krepis_desc *d = &desc[me->buffer];

	if (krepis_read(&d->word) != krepis_own_word(KREPIS_OWNED_CONSUMER, me->generation))
		return -ESTALE;
	krepis_own_evict(d, me->generation);
	return 0;
}
#else
/* give_up() of kmod/handoff.c, under pages if it is the producer's */
static int call_give_up(int self)
{
	__u64 had = world.peer[self].buffer;
	__u32 *mine = &held[self >= 2];

#ifdef MUTATE_LOOK_AND_TAKE
	if (krepis_read(mine) != had)
		return -EPERM;
	krepis_write(mine, KREPIS_TRIPLE_BUFFERS);
	return 0;
#else
	return model_access(MODEL_CAS, mine, sizeof(*mine), KREPIS_TRIPLE_BUFFERS, had) == had ?
	       0 : -EPERM;
#endif
}

static int call_publish(int self)
{
	return krepis_triple_publish(&exchange, &held[0], world.peer[self].buffer, 0);
}

static int call_pending(int self)
{
	(void)self;
	return krepis_triple_pending(&exchange);
}

static int call_take(int self)
{
	__u32 count;

	return krepis_triple_take(&exchange, &held[1], world.peer[self].buffer, &count);
}

static int call_claim(int self)
{
#ifdef MUTATE_TRUST_NOTE
	if (self >= 2)
		return krepis_triple_claim(&exchange, &note);
#endif
	return krepis_triple_claim(&exchange, &held[self < 2]);
}
#endif

/* Nothing can move any more, and nobody is there: every buffer came back. */
static void model_at_rest(void)
{
	int i;
#ifndef TRIPLE
	int b;
#endif

	for (i = 0; i < ENDPOINTS; i++)
		if (world.attached[i] || world.readers[i] || world.writer[i] || !model_idle(i))
			model_fail("somebody is stuck");
	if (world.owners || world.lock)
		model_fail("somebody is stuck");
#ifdef TRIPLE
	if (exchange.word > KREPIS_EXCHANGE_FRESH + 2 ||
	    krepis_triple_index(exchange.word) >= KREPIS_TRIPLE_BUFFERS)
		model_fail("a buffer leaked");
#else
	for (b = 0; b < BUFFERS; b++)
		if (krepis_own_state(desc[b].word) != KREPIS_OWNED_PRODUCER)
			model_fail("a buffer leaked");
#endif
}

static void model_start(void)
{
	int b;

	for (b = 0; b < BUFFERS; b++)
		desc[b].word = krepis_own_word(KREPIS_OWNED_PRODUCER, 1);
	held[0] = held[1] = KREPIS_TRIPLE_BUFFERS;
}

#endif /* _KREPIS_MODEL_ENFORCED_H */
