/* SPDX-License-Identifier: MIT */
/*
 * A consumer that looks at the next record and not at the head, beside one that looks at
 * the head; and a producer that may die at any access, whose heir goes on.
 *
 * The functions of include/krepis/ring.h are executed themselves, one access a step
 * (step.h). What is written here is what send.c and recv.c do around them: a publication
 * of one or two records, with a payload or without, in a ring of four words, so that all
 * that an earlier lap left is met again, a payload as a header too.
 *
 * Bounds: MESSAGES begun by all producers together, DEATHS.
 *
 * Always: what a consumer takes was sent before, is the next that was sent, and whole. At
 * rest: both have taken all that was sent.
 */
c_decl {
\#include "record.h"
}

c_track "&producer.head" "sizeof(__u64)"
c_track "&consumer[0].tail" "sizeof(__u64)"
c_track "&consumer[1].tail" "sizeof(__u64)"
c_track "ring" "sizeof(ring)"
c_track "model_actor" "sizeof(model_actor)"
c_track "&world" "sizeof(world)"

#include "call.pml"

#define PRODUCER	0
#define DIRECT		1
#define PATIENT		2

byte deaths;
bool dead;

inline record()
{
	if
	:: longer ->
		c_code { model_payload(1); };
		longer = false
	:: else ->
		c_code { model_payload(0); }
	fi;
	CALL(PRODUCER, call_describe, model_described())
}

proctype producer()
{
	bool longer, two;
again:
	{
		c_code { model_start(); };
		do
		:: c_expr { world.serial >= MESSAGES } -> break
		:: else ->
			if
			:: two = false
			:: c_expr { world.serial + 1 < MESSAGES } -> two = true
			fi;
			if
			:: longer = false
			:: longer = true
			fi;
			c_code { model_plan(1 + Pproducer->two, Pproducer->longer); };
			do
			:: c_expr { FITS } -> break
			:: c_expr { !FITS && WOULD_FIT } ->
				CALL(PRODUCER, call_admit, )
			od;
			record();
			if
			:: two -> record()
			:: else
			fi;
			CALL(PRODUCER, call_end, );
#ifdef MUTATE_ANNOUNCE_FIRST
			CALL(PRODUCER, call_announce, );
			CALL(PRODUCER, call_publish, model_published())
#else
			CALL(PRODUCER, call_publish, );
			CALL(PRODUCER, call_announce, model_published())
#endif
		od;
end:		false
	} unless { dead };
	dead = false;
	goto again
}

/* By the head: all that it tells of. */
#define TAKE_KNOWN(self)						\
	do								\
	:: c_expr { world.reader[self].head == world.reader[self].pos } -> break \
	:: else ->							\
		CALL(self, call_read, model_take(self, false));		\
		CALL(self, call_consume, )				\
	od

proctype direct()
{
end:	do
	:: c_expr { DIRECT_HAS } ->
		CALL(DIRECT, call_header, );
		if
		:: c_expr { model_actor[DIRECT].result } ->
			c_code { model_take(DIRECT, true); CHECK; };
			CALL(DIRECT, call_consume, )
		:: c_expr { !model_actor[DIRECT].result } ->
			if
			:: skip		/* looks again */
			:: CALL(DIRECT, call_available, );
			   TAKE_KNOWN(DIRECT)
			fi
		fi
	od
}

proctype patient()
{
end:	do
	:: c_expr { PATIENT_HAS } ->
		CALL(PATIENT, call_available, );
		TAKE_KNOWN(PATIENT)
	od
}

/* All deaths happen, at some time; then, when nothing moves any more, the end is judged. */
proctype death()
{
	do
	:: atomic { deaths < DEATHS && !dead -> deaths++; dead = true;
		    c_code { memset(&model_actor[PRODUCER], 0, sizeof(model_actor[PRODUCER])); } }
	:: timeout -> break
	od;
	c_code { model_at_rest(); CHECK; }
}

init {
	atomic {
		c_code { model_trail = readtrail; };
		run producer();
		run direct();
		run patient();
		run death()
	}
}
