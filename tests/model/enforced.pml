/* SPDX-License-Identifier: MIT */
/*
 * Enforced channels, of which one side is hostile: what the other one is promised.
 *
 * The transitions are those of include/krepis/ownership.h and triple.h, executed one access
 * a step (step.h). What kmod/ puts around them, locks and page tables, is written here
 * once more, in its order (and has to be changed with it):
 *
 *	give()		pages: LOCKED. Unmap. owners: give
 *	drop()		owners: check, drop
 *	drop_pages()	pages, owners: check, bit off. Unmap. Return
 *	take, evict	owners: check, and the transition
 *	publish_value()	pages: give up. Unmap. Exchange
 *	take_value()	look for a fresh one, give up, exchange
 *	buffer_fault()	pages: has(), map
 *	join_locked()	lock, owners: live bit; or lock: krepis_triple_claim()
 *	leave_locked()	no thread, no mapping. lock: live bit off, sweep
 *
 * Taking a lock is one step with the choice of a handle before it, and dropping it one
 * with the last access under it: nobody sees anything in between.
 *
 * The hostile side has HOSTILE_PRODUCER or HOSTILE_CONSUMER threads, each of which executes
 * any command with any handle, or faults in any buffer, at any time and again and again.
 * A buffer may be handed over LIVES times.
 *
 * Stores are no steps: a thread can store where its page tables have an entry, so
 * every state is judged in which they have one. Nor are the words that are forged:
 * to an honest consumer a record names any handle at any time, also one that is not given
 * yet, and the kernel reads none of the others (MUTATE_TRUST_NOTE does). With a
 * hostile producer a hostile consumer may conspire.
 *
 * The honest side is one thread that touches what the descriptors say is its own, or of
 * a triple what the last command returned.
 *
 * Everybody may die at any time, DEATHS times so that another process gets the slot, and
 * in the end. The kernel executes a command to its end also for who is killed, and then the
 * last file goes: so a death is one between two commands.
 *
 * Always: what somebody honest holds is not taken from him, the other side has no page of
 * it, and its metadata are those of its life; no buffer has two writers; no honest call
 * fails, no honest fault finds nothing; while nobody executes anything, every buffer
 * has an owner. At rest, when all are dead: every buffer came back, no lock is held.
 *
 * Left out: a buffer's second page, and a side's second process: unmapping goes through
 * all of them, and faults in none meanwhile, so each is like the one here. A fault that is
 * killed: it maps less. What PUBLISH and wake-ups write: the producer can write it itself.
 * Lengths, types and rights: refused before anything happens. A consumer that
 * forgoes what it will never read: it is an honest one that releases without a look. Which of
 * two values of a triple is the newer one: triple.pml; who comes alone gets any of the two
 * here. Progress: nobody is promised any.
 */
c_decl {
\#include "enforced.h"
}

#define DESC_USED "offsetof(struct krepis_desc, reserved)"
c_track "&info.live" "sizeof(info.live)"
#ifdef TRIPLE
c_track "&exchange.word" "sizeof(exchange.word)"
c_track "held" "sizeof(held)"
#ifdef MUTATE_TRUST_NOTE
c_track "&note" "sizeof(note)"
#endif
#else
c_track "&desc[0]" DESC_USED
#if BUFFERS > 1
c_track "&desc[1]" DESC_USED
#endif
#endif
c_track "model_actor" "sizeof(model_actor)"
c_track "&world" "sizeof(world)"

#include "call.pml"
#undef CHECK
#define CHECK	model_judge(); if (model_error) uerror((char *)model_error)

#define PRODUCER	0
#define CONSUMER	1
#define VICTIM		2
#define HONEST		4

/* Any handle: what a peer forges, and what a record can name. */
#ifdef TRIPLE
#define LAST	2
#define LIVES	0
#else
#define LAST	(BUFFERS - 1)
#endif
#define FORGE(self)							\
	c_code { world.peer[self].generation = LIVES > 0; };		\
	do								\
	:: c_expr { (world.peer[self].buffer < LAST) } ->		\
		c_code { world.peer[self].buffer++; }			\
	:: break							\
	od;								\
	do								\
	:: c_expr { (world.peer[self].generation < LIVES) } ->		\
		c_code { world.peer[self].generation++; }		\
	:: break							\
	od

#define ENTER(self)	c_code { world.peer[self].busy = 1; }

/* ------------------------------------------------- what the kernel executes */

/* krepis_channel.owners: the first access follows as soon as it is held. */
#define LOCK_OWNERS							\
	atomic { c_expr { (model_owners_free()) } -> c_code { model_own(); } }

#define UNMAP(self)							\
	c_code { model_unmap(self); CHECK; }

/* buffer_fault() */
#define FAULT(self, ep, choose, next)					\
	atomic {							\
		c_expr { (world.attached[ep] && model_may_fault(ep)) } -> \
		c_code { model_fault_begins(self); };			\
		choose							\
	}								\
	CALL(self, call_has, );						\
	c_code { model_map(self); next; CHECK; }

#ifdef TRIPLE

/* publish_value() */
#define HANDOFF(self, ep, choose, next)					\
	atomic {							\
		c_expr { (world.attached[ep] && model_may_change(ep)) } -> \
		ENTER(self);						\
		choose;							\
		c_code { world.writer[ep] = 1; }			\
	}								\
	CALL(self, call_give_up, world.writer[ep] = 0);			\
	if								\
	:: c_expr { !model_actor[self].result } ->			\
		UNMAP(self);						\
		CALL(self, call_publish, next)				\
	:: else -> c_code { next; CHECK; }				\
	fi

/* take_value() */
#define RELEASE(self, ep, choose, next)					\
	atomic {							\
		c_expr { world.attached[ep] } ->			\
		ENTER(self);						\
		choose							\
	}								\
	CALL(self, call_pending, );					\
	if								\
	:: c_expr { model_actor[self].result } ->			\
		c_code { world.peer[self].holding = 0; };		\
		CALL(self, call_give_up, );				\
		if							\
		:: c_expr { !model_actor[self].result } ->		\
			CALL(self, call_take, next)			\
		:: else -> c_code { next; CHECK; }			\
		fi							\
	:: else -> c_code { model_actor[self].result = -EAGAIN; next; CHECK; } \
	fi

#else

#define GIVE(self, next)						\
	LOCK_OWNERS;							\
	CALL(self, call_give, model_disown(); next)

/* give() */
#ifdef MUTATE_UNMAP_FIRST
#define HANDOFF(self, ep, choose, next)					\
	atomic {							\
		c_expr { world.attached[ep] } ->			\
		ENTER(self);						\
		choose							\
	}								\
	UNMAP(self);							\
	CALL(self, call_lock, );					\
	if								\
	:: c_expr { !model_actor[self].result } -> GIVE(self, next)	\
	:: else -> c_code { next; CHECK; }				\
	fi
#else
#define HANDOFF(self, ep, choose, next)					\
	atomic {							\
		c_expr { (world.attached[ep] && model_may_change(ep)) } -> \
		ENTER(self);						\
		choose;							\
		c_code { world.writer[ep] = 1; }			\
	}								\
	CALL(self, call_lock, world.writer[ep] = 0);			\
	if								\
	:: c_expr { !model_actor[self].result } -> LOCKED(self, next)	\
	:: else -> c_code { next; CHECK; }				\
	fi
#endif
#ifdef MUTATE_GIVE_FIRST
#define LOCKED(self, next)						\
	GIVE(self, );							\
	c_code { model_unmap(self); next; CHECK; }
#else
#define LOCKED(self, next)						\
	UNMAP(self);							\
	GIVE(self, next)
#endif

#ifdef EXCLUSIVE
/* drop_pages() */
#define RELEASE(self, ep, choose, next)					\
	atomic {							\
		c_expr { (world.attached[ep] && model_may_change(ep)) } -> \
		ENTER(self);						\
		choose;							\
		c_code { world.writer[ep] = 1; }			\
	}								\
	LOCK_OWNERS;							\
	CALL(self, call_drop_bit, model_disown(); world.writer[ep] = 0); \
	if								\
	:: c_expr { !model_actor[self].result } -> DROPPED(self, next)	\
	:: else -> c_code { next; CHECK; }				\
	fi
#ifdef MUTATE_RETURN_FIRST
#define DROPPED(self, next)						\
	CALL(self, call_return, );					\
	c_code { model_unmap(self); next; CHECK; }
#else
#define DROPPED(self, next)						\
	UNMAP(self);							\
	CALL(self, call_return, next)
#endif
#else
/* drop() */
#define RELEASE(self, ep, choose, next)					\
	atomic {							\
		c_expr { (world.attached[ep] && model_owners_free()) } -> \
		c_code { model_own(); };				\
		ENTER(self);						\
		choose							\
	}								\
	CALL(self, call_drop, model_disown(); next)
#endif

/* krepis_take() and krepis_evict() */
#define UNDER_OWNERS(self, ep, fn, choose, next)			\
	atomic {							\
		c_expr { (world.attached[ep] && model_owners_free()) } -> \
		c_code { model_own(); };				\
		ENTER(self);						\
		choose							\
	}								\
	CALL(self, fn, model_disown(); next)
#ifdef MUTATE_EVICT_UNLOCKED
#define EVICT(self, ep, choose, next)					\
	atomic {							\
		c_expr { world.attached[ep] } ->			\
		ENTER(self);						\
		choose							\
	}								\
	CALL(self, call_evict, next)
#else
#define EVICT(self, ep, choose, next)	UNDER_OWNERS(self, ep, call_evict, choose, next)
#endif
#define TAKE(self, ep, choose, next)	UNDER_OWNERS(self, ep, call_take, choose, next)
#endif

/* leave_locked(): no thread of it executes, and no mapping is left */
#define LEAVE(self, ep)							\
	atomic {							\
		c_expr { (world.attached[ep] && model_idle(ep) && !world.lock) } -> \
		c_code { model_stop(self); CHECK; }			\
	}								\
	CALL(self, call_leave, model_left(self))

/* join_locked() */
#ifdef MUTATE_LIVE_UNLOCKED
#define MAY_JOIN	true
#else
#define MAY_JOIN	model_owners_free()
#endif
#ifdef TRIPLE
/* Whoever comes alone gets the newer value, or the older: here any. */
#define ATTACH(self, ep)						\
	do								\
	:: atomic {							\
		c_expr { (!world.lock && !model_present(self)) } ->	\
		if							\
		:: c_code { model_pick(self, 1); CHECK; }		\
		:: c_code { model_pick(self, 2); CHECK; }		\
		fi;							\
		break							\
	   }								\
	:: atomic {							\
		c_expr { (!world.lock && model_present(self)) } ->	\
		c_code { world.lock = 1; }				\
	   }								\
	   CALL(self, call_claim, model_claimed(self, model_actor[self].result)); \
	   if								\
	   :: c_expr { world.attached[ep] } -> break			\
	   :: else							\
	   fi								\
	od
#else
#define ATTACH(self, ep)						\
	atomic {							\
		c_expr { (!world.lock && MAY_JOIN) } ->			\
		c_code { model_attach(self); CHECK; }			\
	}
#endif

/* -------------------------------------------------------------- the programs */

/* Another process in the same slot, or nobody any more. */
#define COME_BACK(self, ep)						\
	   if								\
	   :: atomic {							\
		c_expr { (world.deaths < DEATHS) } ->			\
		c_code { world.deaths++; }				\
	      }								\
	      ATTACH(self, ep)						\
	   :: break							\
	   fi

#define LIVE_AND_DIE(self, ep)						\
	ATTACH(self, ep);						\
	do								\
	:: LEAVE(self, ep);						\
	   COME_BACK(self, ep)						\
	od

#ifdef HOSTILE_PRODUCER
#define ME	Pproducer_thread->t

proctype producer_thread(byte t)
{
end:	do
	:: HANDOFF(ME, PRODUCER, FORGE(ME), model_done(ME))
#ifndef MUTATE_EVICT_UNLOCKED	/* which needs none */
	:: FAULT(ME, PRODUCER, FORGE(ME), model_done(ME))
#endif
#ifdef OVERWRITE
	:: EVICT(ME, PRODUCER, FORGE(ME), model_done(ME))
#endif
#ifdef MUTATE_TRUST_NOTE
	:: c_code { note = (note + 1) % (KREPIS_TRIPLE_BUFFERS + 1); }
#endif
	od
}
#undef ME

proctype producer_process()
{
	LIVE_AND_DIE(0, PRODUCER)
}
#else
#define MINE	c_code { world.peer[0].holding = 0; }

proctype producer()
{
	ATTACH(0, PRODUCER);
	do
#ifdef TRIPLE
	:: HANDOFF(0, PRODUCER, MINE, model_exchanged(0))
	:: FAULT(0, PRODUCER, skip, model_expect(model_actor[0].result); model_keep(0, true))
#else
	:: atomic {
		c_expr { (!world.peer[0].holding && model_may_acquire(0)) } ->
		c_code { model_acquire(0); CHECK; }
	   }
#if BUFFERS > 1
	:: atomic {
		c_expr { (!world.peer[0].holding && model_may_acquire(1)) } ->
		c_code { model_acquire(1); CHECK; }
	   }
#endif
	:: c_expr { world.peer[0].holding } ->
	   FAULT(0, PRODUCER, skip, model_expect(model_actor[0].result); model_keep(0, true))
	:: c_expr { world.peer[0].holding } ->
	   HANDOFF(0, PRODUCER, MINE,
		   model_expect(!model_actor[0].result || model_actor[0].result == -ENOTCONN);
		   model_keep(0, model_actor[0].result))
#ifdef OVERWRITE
	:: c_expr { !world.peer[0].holding } ->
	   EVICT(0, PRODUCER, FORGE(0), model_done(0))
#endif
#endif
	:: LEAVE(0, PRODUCER);
	   COME_BACK(0, PRODUCER)
	od
}
#endif

#ifdef HOSTILE_CONSUMER
#define ME	Pconsumer_thread->t

proctype consumer_thread(byte t)
{
end:	do
	:: RELEASE(ME, CONSUMER, FORGE(ME), model_done(ME))
#ifdef OVERWRITE
	:: TAKE(ME, CONSUMER, FORGE(ME), model_done(ME))
#endif
#ifdef EXCLUSIVE
	:: FAULT(ME, CONSUMER, FORGE(ME), model_done(ME))
#endif
	od
}
#undef ME

proctype consumer_process()
{
	LIVE_AND_DIE(2, CONSUMER)
}
#endif

#ifdef HONEST_CONSUMER
#define RELEASES	c_code { world.peer[HONEST].holding = 0; }

proctype consumer()
{
	ATTACH(HONEST, VICTIM);
	do
#ifdef TRIPLE
	:: RELEASE(HONEST, VICTIM, skip, model_exchanged(HONEST))
#else
	:: c_expr { !world.peer[HONEST].holding } ->
#ifdef OVERWRITE
	   TAKE(HONEST, VICTIM, FORGE(HONEST),
		model_keep(HONEST, !model_actor[HONEST].result))
#else
	   atomic {
		ENTER(HONEST);
		FORGE(HONEST)
	   }
	   CALL(HONEST, call_resolve, model_keep(HONEST, !model_actor[HONEST].result))
#endif
	:: c_expr { world.peer[HONEST].holding } ->
	   RELEASE(HONEST, VICTIM, RELEASES,
		   model_expect(model_actor[HONEST].result >= 0); model_keep(HONEST, false))
#ifdef EXCLUSIVE
	:: c_expr { world.peer[HONEST].holding } ->
	   FAULT(HONEST, VICTIM, skip,
		 model_expect(model_actor[HONEST].result); model_keep(HONEST, true))
#endif
#endif
	:: LEAVE(HONEST, VICTIM);
	   COME_BACK(HONEST, VICTIM)
	od
}
#endif

/* Whatever was going on: when nothing moves any more, the end is judged. */
proctype judge()
{
	timeout -> c_code { model_at_rest(); CHECK; }
}

init {
	atomic {
		c_code { model_trail = readtrail; model_start(); };
#ifdef HOSTILE_PRODUCER
		run producer_process();
		run producer_thread(0);
#if HOSTILE_PRODUCER > 1
		run producer_thread(1);
#endif
#else
		run producer();
#endif
#ifdef HOSTILE_CONSUMER
		run consumer_process();
		run consumer_thread(2);
#if HOSTILE_CONSUMER > 1
		run consumer_thread(3);
#endif
#endif
#ifdef HONEST_CONSUMER
		run consumer();
#endif
		run judge()
	}
}
