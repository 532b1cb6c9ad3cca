/* SPDX-License-Identifier: MIT */
/*
 * The ring's buffers between one producer and two consumers, any of which may
 * die at any access, be swept, and come back.
 *
 * The functions of include/krepis/ownership.h are executed themselves, also the
 * compositions, one memory access a step (step.h). What is written here is what
 * the library does around them, in its order:
 *
 *	producer	attach: read the head, krepis_own_recover() of each buffer.
 *			Then: acquire, fill, write the record, krepis_own_publish(), head
 *	consumer	attach: live bit, tail = head, krepis_own_forgo() of each buffer.
 *			Then: record, krepis_own_resolve(), read, krepis_own_drop()
 *	sweeper		dead consumer: live bit off, krepis_own_sweep() of each buffer.
 *			Stopped producer: what the next one does, if that is not
 *			there before
 *
 * Attach and sweep run under the admin lock. A sweeper may die too; then the
 * lock is free, and the next one begins anew.
 *
 * A death is two events. First it is declared: from now on it may be swept for,
 * and nobody is owed anything by or to the dead. Then the process stops, at any
 * step; until then it is a zombie that goes on. An instant death is the case in
 * which it makes no more step. Two things wait for the second event, which the
 * slot's lock tells: the slot's next user, and the recovery of what a producer
 * left. Its zombie could publish between the sweeper's look at the head and its
 * reclaim, so that a consumer would read a buffer that is taken from it
 * (MUTATE_SWEEP_PRODUCER_EARLY).
 *
 * Bounds: BUFFERS 1 or 2, PUBLICATIONS by all producers together, DEATHS of
 * producer, consumers and sweeper together, again and again in one slot. A
 * buffer has at most PUBLICATIONS + DEATHS + 1 lives, so generations do not wrap.
 *
 * Always: transitions are those of the table in ownership.h; no buffer leaves a
 * living holder, and the producer does not write one; a consumer reads what the
 * record's publication wrote; a record is skipped only by who was not attached
 * when its publication began. At rest: every buffer is in state PRODUCER, every
 * record was read.
 */
c_decl {
\#include "handover.h"
}

c_track "&info.live" "sizeof(info.live)"
c_track "&producer.head" "sizeof(producer.head)"
#ifdef OVERWRITE
c_track "&producer.floor" "sizeof(producer.floor)"
#endif
#define DESC_USED "offsetof(struct krepis_desc, reserved)"
c_track "&desc[0]" DESC_USED
#if BUFFERS > 1
c_track "&desc[1]" DESC_USED
#endif
c_track "model_actor" "sizeof(model_actor)"
c_track "&world" "sizeof(world)"

#include "call.pml"

#define PRODUCER 2
#define SWEEPER	3
#define NOBODY	4
#define EARLY	3	/* in swept: MUTATE_SWEEP_PRODUCER_EARLY did it */

#ifndef MORTAL
#define MORTAL	15	/* bit mask of who may die */
#endif

byte admin = NOBODY;	/* who holds the admin lock */
byte slot;		/* whose slot is taken, by itself or a dead predecessor */
byte stopped;		/* who has stopped: it will not execute another step */
byte swept;		/* for whom a sweep is complete */
byte deaths;

/* @fn for every buffer, one after the other. */
#define FOR_EACH_BUFFER(self, fn)					\
	do								\
	:: atomic {							\
		c_code { model_step(self, fn); CHECK; };		\
		if							\
		:: c_expr { !model_actor[self].running } ->		\
			c_code { world.peer[self].buffer++; };		\
			if						\
			:: c_expr { world.peer[self].buffer == BUFFERS } -> \
				c_code { world.peer[self].buffer = 0; }; \
				break					\
			:: else						\
			fi						\
		:: else							\
		fi							\
	   }								\
	od

/* What a stopped producer left. */
#define RECOVER(self)							\
	CALL(self, call_head, );					\
	FOR_EACH_BUFFER(self, call_recover)

/*
 * Stopped: another process may take the slot. It sweeps for a consumer before
 * anything else, which here the sweeper does, and recovers for a producer itself.
 */
#define REPLACE(self, c_self, ready)					\
	atomic {							\
		(ready) ->						\
		c_code { world.declared &= ~(1U << c_self); };		\
		slot = slot & ~BIT(self);				\
		stopped = stopped & ~BIT(self);				\
		swept = swept & ~BIT(self)				\
	}

#define ME	Pconsumer->i

proctype consumer(byte i)
{
	/* The slots are alike: let the first be taken first. */
	i == 0 || (slot & BIT(0));
again:
	{
		atomic { admin == NOBODY -> admin = i; slot = slot | BIT(i) }
		CALL(ME, call_go_live, );
		CALL(ME, call_join, );
#ifndef MUTATE_NO_ATTACH_SWEEP
		FOR_EACH_BUFFER(ME, call_forgo);
#endif
		atomic { c_code { model_attached(ME); }; admin = NOBODY }

end:		do
		:: atomic {
			c_expr { world.peer[ME].position != producer.head } ->
			c_code { model_next_record(ME); CHECK; }
		   }
#ifdef OVERWRITE
		   CALL(ME, call_intact, );
		   if
		   :: c_expr { model_actor[ME].result } ->
			CALL(ME, call_resolve, );
			if
			:: c_expr { !model_actor[ME].result } ->
				CALL(ME, call_take, model_received(ME, model_actor[ME].result))
			:: else ->
				c_code { model_received(ME, 0); }
			fi
		   :: else ->
			c_code { model_lapped(ME); }
		   fi;
#else
		   CALL(ME, call_resolve, model_received(ME, !model_actor[ME].result));
#endif
		   if
		   :: c_expr { world.peer[ME].holding } ->
			c_code { model_look(ME); CHECK; };
			CALL(ME, call_drop, model_consumed(ME))
		   :: else
		   fi
		od
	} unless { (stopped & BIT(i)) };
	REPLACE(i, ME, swept & BIT(i));
	goto again
}

#define ACQUIRE(b)							\
	:: atomic {							\
		c_expr { desc[b].state == KREPIS_OWNED_PRODUCER } ->	\
		c_code { model_acquire(b); }				\
	   }

proctype writer()
{
again:
	{
		atomic { admin == NOBODY -> admin = PRODUCER; slot = slot | BIT(PRODUCER) }
#ifndef MUTATE_NO_RECOVERY
		RECOVER(PRODUCER);
#endif
		atomic { c_code { model_producer_attach(); }; admin = NOBODY }
		do
		:: c_expr { world.attempts == PUBLICATIONS } -> break
		:: else ->
#ifdef OVERWRITE
			/* Consumers that took the oldest may keep it: then it is waited for. */
			do
			:: c_expr { (desc[0].state && desc[BUFFERS - 1].state &&
				     world.peer[PRODUCER].floor != world.peer[PRODUCER].position) } ->
				CALL(PRODUCER, call_evict, model_evicted());
				CALL(PRODUCER, call_flush, )
			:: else -> break
			od;
#endif
			if
			ACQUIRE(0)
#if BUFFERS > 1
			ACQUIRE(1)
#endif
			fi;
			c_code { model_write(); CHECK; };
#ifdef OVERWRITE
			if
			:: c_expr { (world.peer[PRODUCER].position - world.peer[PRODUCER].floor ==
				     RING_RECORDS * RECORD_BYTES) } ->
				CALL(PRODUCER, call_evict, model_evicted());
				CALL(PRODUCER, call_flush, )
			:: else
			fi;
#endif
			c_code { model_record(); };
#ifdef MUTATE_HEAD_FIRST
			c_code { world.peer[PRODUCER].position += RECORD_BYTES; };
			CALL(PRODUCER, call_flush, world.peer[PRODUCER].position -= RECORD_BYTES);
			CALL(PRODUCER, call_publish, model_granted())
#else
			CALL(PRODUCER, call_publish, model_granted());
			if
			:: c_expr { !model_actor[PRODUCER].result } ->
				CALL(PRODUCER, call_flush, )
			:: else
			fi
#endif
		od;
end:		false
	} unless { (stopped & BIT(PRODUCER)) };
	REPLACE(PRODUCER, PRODUCER, admin == NOBODY);
	swept = swept & ~BIT(EARLY);
	goto again
}

/* Whoever finds a dead peer and gets the admin lock. */
proctype sweeper()
{
end_again:
	{
end:		do
		:: atomic {
			admin == NOBODY && c_expr { (world.declared & ~now.swept & SLOTS) } ->
			c_code { world.victim = !(world.declared & ~now.swept & 1); };
			admin = SWEEPER
		   }
#ifdef MUTATE_SWEEP_FIRST
		   FOR_EACH_BUFFER(SWEEPER, call_sweep);
		   CALL(SWEEPER, call_clear_live, );
#else
		   CALL(SWEEPER, call_clear_live, );
		   FOR_EACH_BUFFER(SWEEPER, call_sweep);
#endif
		   atomic {
			c_code { now.swept |= 1U << world.victim; world.victim = 0; };
			admin = NOBODY
		   }
		:: atomic {
			admin == NOBODY && (stopped & ~swept & BIT(PRODUCER)) ->
			admin = SWEEPER
		   }
		   RECOVER(SWEEPER);
		   atomic {
			c_code { world.peer[SWEEPER].position = 0; };
			swept = swept | BIT(PRODUCER);
			admin = NOBODY
		   }
#ifdef MUTATE_SWEEP_PRODUCER_EARLY
		:: atomic {
			admin == NOBODY && !(stopped & BIT(PRODUCER)) && !(swept & BIT(EARLY)) &&
			c_expr { (world.declared & 1 << PRODUCER) } ->
			admin = SWEEPER
		   }
		   RECOVER(SWEEPER);
		   atomic {
			c_code { world.peer[SWEEPER].position = 0; };
			swept = swept | BIT(EARLY);
			admin = NOBODY
		   }
#endif
		od
	} unless { (stopped & BIT(SWEEPER)) };
	stopped = stopped & ~BIT(SWEEPER);
	goto end_again
}

/* The lock goes with its holder. */
#define STOP(self)							\
		stopped = stopped | BIT(self);				\
		c_code { model_forget(self); };				\
		if							\
		:: admin == self -> admin = NOBODY			\
		:: else							\
		fi

#define DIES(self)							\
	:: atomic {							\
		deaths < DEATHS && (slot & MORTAL & BIT(self)) &&	\
		c_expr { !(world.declared & 1 << self) } ->		\
		deaths++;						\
		c_code { model_declare(self); }				\
	   }								\
	:: atomic {							\
		c_expr { (world.declared & 1 << self) } &&		\
		!(stopped & BIT(self)) ->				\
		STOP(self)						\
	   }

/* All deaths happen, at some time; then, when nothing moves any more, the end is judged. */
proctype death()
{
	do
	DIES(0)
	DIES(1)
	DIES(PRODUCER)
	:: atomic {
		deaths < DEATHS && (MORTAL & BIT(SWEEPER)) && admin == SWEEPER ->
		deaths++;
		STOP(SWEEPER)
	   }
	:: timeout -> break
	od;
	c_code { model_at_rest(); CHECK; }
}

init {
	atomic {
		c_code { model_trail = readtrail; model_start(); };
		run writer();
		run consumer(0);
		run consumer(1);
		run sweeper();
		run death()
	}
}
