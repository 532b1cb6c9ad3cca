/* SPDX-License-Identifier: MIT */
/*
 * The triple buffer: a producer and a consumer that exchange without waiting,
 * either of which may die at any access and come back.
 *
 * The functions of include/krepis/triple.h are executed themselves, one access
 * a step (step.h). What is written here is what stands around them: the payload,
 * and the attach under the admin lock, where a new consumer finds what its
 * predecessor saw.
 *
 * A death is declared first and complete later, as in handover.pml: a zombie
 * goes on for a while, and exchanges. So until it has stopped it counts as the
 * other side, for krepis_triple_claim(), and its slot is not free.
 *
 * Bounds: PUBLICATIONS by all producers together, DEATHS on both sides together.
 *
 * Always: back, middle and front are three buffers; what the consumer reads is
 * whole; values and their numbers only grow, also from one consumer or producer
 * to the next. At rest: the latest value was seen.
 */
c_decl {
\#include "triple.h"
}

c_track "&exchange.word" "sizeof(exchange.word)"
c_track "&desc[0].sequence" "sizeof(__u64)"
c_track "&desc[1].sequence" "sizeof(__u64)"
c_track "&desc[2].sequence" "sizeof(__u64)"
c_track "note" "sizeof(note)"
c_track "model_actor" "sizeof(model_actor)"
c_track "&world" "sizeof(world)"

#include "call.pml"

#define PRODUCER 0
#define CONSUMER 1
#define NOBODY	2

byte admin = NOBODY;	/* who holds the admin lock */
byte slot;		/* whose slot is taken, by itself or a dead predecessor */
byte declared;		/* whose death was noticed */
byte stopped;		/* who has stopped: it will not execute another step */
byte deaths;

#ifdef MUTATE_DECLARED_IS_GONE
#define present(i)	((slot & BIT(i)) && !(declared & BIT(i)))
#else
#define present(i)	((slot & BIT(i)) && !(stopped & BIT(i)))
#endif

/*
 * Takes the slot, finds the buffer and notes it, all under the admin lock. The
 * other side may be exchanging, or stop between its exchange and its note, after
 * which nothing moves and any buffer but the middle one will do. That is what the
 * library does too with one that is told dead and has not finished its exchange
 * after a million looks: whoever is still runnable then returns to no user code.
 */
#define ATTACH(self, other, others)					\
	atomic {							\
		admin == NOBODY ->					\
		admin = self;						\
		slot = slot | BIT(self);				\
		others = present(other)					\
	}								\
	FIND(self, other, others);					\
	CALL(self, call_note, )

#ifdef MUTATE_NO_CLAIM
#define FIND(self, other, others)					\
	if								\
	:: c_code { model_choose(self, 1); CHECK; }			\
	:: c_code { model_choose(self, 2); CHECK; }			\
	fi
#else
#define FIND(self, other, others)					\
	do								\
	:: atomic {							\
		!others || !present(other) ->				\
		c_code { model_pick(self); CHECK; };			\
		break							\
	   }								\
	:: others ->							\
		CALL(self, call_claim,					\
		     model_claimed(self, model_actor[self].result));	\
		if							\
		:: c_expr { world.side[self].owns } -> break		\
		:: else							\
		fi							\
	od
#endif

/* Stopped. Once its death was noticed too, another process may take the slot. */
#define REPLACE(self)							\
	atomic {							\
		(declared & BIT(self)) ->				\
		slot = slot & ~BIT(self);				\
		declared = declared & ~BIT(self);			\
		stopped = stopped & ~BIT(self)				\
	}

proctype producer()
{
	bool others;
again:
	{
		ATTACH(PRODUCER, CONSUMER, others);
#ifndef MUTATE_KEEP_NUMBER
		CALL(PRODUCER, call_unnumber, );
#endif
		CALL(PRODUCER, call_last,
		     world.side[PRODUCER].count = model_actor[PRODUCER].result; now.admin = NOBODY);
		do
		:: c_expr { world.values == PUBLICATIONS } -> break
		:: else ->
			c_code { model_begin(); model_write(0); };
			c_code { model_write(1); };
			CALL(PRODUCER, call_number, );
			CALL(PRODUCER, call_publish, model_published())
		od;
end:		false
	} unless { (stopped & BIT(PRODUCER)) };
	REPLACE(PRODUCER);
	goto again
}

#define LOOK								\
	c_code { model_look(0); CHECK; };				\
	c_code { model_look(1); CHECK; }

proctype consumer()
{
	bool others;
again:
	{
		ATTACH(CONSUMER, PRODUCER, others);
		atomic { c_code { model_received(); }; admin = NOBODY }
		CALL(CONSUMER, call_pending, );
		if
		:: c_expr { !model_actor[CONSUMER].result && world.side[CONSUMER].value } ->
			c_code { model_shown(); CHECK; };
			LOOK
		:: else
		fi;
end:		do
#ifdef MUTATE_NO_PENDING
		:: true ->
#else
		:: c_expr { (exchange.word & KREPIS_EXCHANGE_FRESH) } ->
#endif
			CALL(CONSUMER, call_pending, );
			if
			:: c_expr { model_actor[CONSUMER].result } ->
				CALL(CONSUMER, call_take, model_taken());
				LOOK
			:: else
			fi
		od
	} unless { (stopped & BIT(CONSUMER)) };
	REPLACE(CONSUMER);
	goto again
}

#define DIES(self)							\
	:: atomic {							\
		deaths < DEATHS && (slot & BIT(self)) && !(declared & BIT(self)) -> \
		deaths++;						\
		declared = declared | BIT(self)				\
	   }								\
	:: atomic {							\
		(declared & BIT(self)) && !(stopped & BIT(self)) ->	\
		stopped = stopped | BIT(self);				\
		c_code { model_forget(self); };				\
		if							\
		:: admin == self -> admin = NOBODY			\
		:: else							\
		fi							\
	   }

/* All deaths happen, at some time; then, when nothing moves any more, the end is judged. */
proctype death()
{
	do
	DIES(PRODUCER)
	DIES(CONSUMER)
	:: timeout -> break
	od;
	c_code { model_at_rest(); CHECK; }
}

init {
	atomic {
		c_code { model_trail = readtrail; };
		run producer();
		run consumer();
		run death()
	}
}
