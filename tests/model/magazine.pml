/* SPDX-License-Identifier: MIT */
/*
 * Magazines, lib/pool.c: a buffer is never taken by the owner and by a thief.
 *
 * The owner has a store buffer, as processors do: that it is busy may be seen by others
 * later than it looks whether it is barred. membarrier(2) empties it.
 *
 * Mutations: NO_MEMBARRIER, BAR_LAST, NO_WAIT.
 */
#define TURNS 3

bool busy, barred;
bool stored;		/* busy = 1 is in the owner's store buffer */
byte inside;		/* who touches the magazine */

inline drain()
{
	atomic {
		if
		:: stored -> busy = true; stored = false
		:: else
		fi
	}
}

proctype Processor()
{
end:	do
	:: stored -> drain()
	od
}

inline touch()
{
	inside++;
	assert(inside == 1);
	inside--
}

proctype Owner()
{
	byte i;

	for (i : 1 .. TURNS) {
		stored = true;
		if
		:: !barred -> touch()
		:: else
		fi;
		/* A release: after all before it. */
		drain();
		busy = false
	}
}

inline membarrier()
{
#ifdef MUTATE_NO_MEMBARRIER
	skip
#else
	drain()
#endif
}

proctype Thief()
{
	byte i;

	for (i : 1 .. TURNS) {
#ifdef MUTATE_BAR_LAST
		membarrier();
		barred = true;
#else
		barred = true;
		membarrier();
#endif
#ifndef MUTATE_NO_WAIT
		!busy;
#endif
		touch();
		barred = false
	}
}

init {
	atomic {
		run Processor();
		run Owner();
		run Thief()
	}
}
