/* SPDX-License-Identifier: MIT */
/*
 * Bells and wait sets, lib/bell.c and lib/waitset.c: no message is left behind while
 * everybody sleeps.
 *
 * ENDPOINTS, 1 or 2, in one wait set. Each has a producer, which sends MESSAGES, and wakes a
 * sleep that was announced; and a bell's thread. One thread owns the endpoints and the set: it sleeps
 * until the set's eventfd is readable, and takes what there is. All accesses happen in one
 * order; what the barriers are for on weaker machines stands in lib/wait.c.
 *
 * Mutations, each one precaution taken out: NO_LOOK, ARM_LAST, STATE_FIRST, CLEAR_ALWAYS,
 * WAKE_FIRST, NO_LOCK.
 */
#define MOST 2	/* endpoints */

#define LOCK(l)		atomic { !(l) -> l = true }
#define UNLOCK(l)	l = false

/* The channel: who writes what is in lib/wait.c. */
byte head[MOST], tail[MOST];
byte waiting[MOST], answered[MOST];	/* numbers of announcements */
byte wake[MOST];				/* the futex ... */
bool asleep[MOST];				/* ... and whether the bell's thread sleeps on it */

/* The bell. */
bool armed[MOST] = true;
bool telling[MOST], lock[MOST];
bool first[MOST];

/* The set: who is in the list, and the eventfd. */
bool rung[MOST];
bool readable;

#define NOBODY_RUNG (!rung[0] && !rung[1])

proctype Producer(byte e)
{
	byte i, number;

	for (i : 1 .. MESSAGES) {
		head[e]++;
		number = waiting[e];
		if
		:: number != answered[e] ->
			answered[e] = number;
			/* futex_wake() */
			atomic { wake[e]++; asleep[e] = false }
		:: else
		fi
	}
}

inline ring(e, told)
{
	LOCK(telling[e]);
#ifndef MUTATE_NO_LOCK
	LOCK(lock[e]);
#endif
#ifdef MUTATE_WAKE_FIRST
	readable = true;
#endif
	told = !armed[e];
	armed[e] = false;
	if
	:: !told ->
		/* Under the set's lock. */
		atomic {
			assert(!rung[e]);
			first[e] = NOBODY_RUNG;
			rung[e] = true
		}
	:: else
	fi;
#ifndef MUTATE_NO_LOCK
	UNLOCK(lock[e]);
#endif
	if
#ifndef MUTATE_WAKE_FIRST
	:: !told && first[e] -> readable = true
#endif
	:: else
	fi;
	UNLOCK(telling[e])
}

proctype Bell(byte e)
{
	byte w;
	bool told, was_armed;

	do
	:: true ->
#ifdef MUTATE_STATE_FIRST
		was_armed = armed[e];
		w = wake[e];
#else
		w = wake[e];
		was_armed = armed[e];
#endif
		if
		:: was_armed ->
			waiting[e]++;
			if
			:: head[e] != tail[e] -> ring(e, told)
			:: else
			fi
		:: else
		fi;
		/* futex_wait() */
		atomic { if :: wake[e] == w -> asleep[e] = true :: else fi };
end:		!asleep[e]
	od
}

inline arm(e, told)
{
	if
	:: armed[e]
	:: else ->
#ifndef MUTATE_NO_LOCK
		LOCK(lock[e]);
#endif
		atomic {
			if
			:: rung[e] ->
				rung[e] = false;
				if :: NOBODY_RUNG -> readable = false :: else fi
			:: else
			fi
		}
#ifndef MUTATE_ARM_LAST
		armed[e] = true;
#endif
#ifndef MUTATE_NO_LOCK
		UNLOCK(lock[e]);
#endif
		waiting[e]++;
		if
#ifndef MUTATE_NO_LOOK
		:: head[e] != tail[e] -> ring(e, told)
#endif
		:: else
		fi;
#ifdef MUTATE_ARM_LAST
		armed[e] = true;
#endif
	fi
}

/* Who is in the list has his turn, and who is not may be asked: a message, or he is armed. */
inline look(e, told)
{
	if
	:: true ->
		if
		:: head[e] != tail[e] -> tail[e]++
		:: else -> arm(e, told)
		fi
	:: !rung[e]
	fi
}

proctype Owner()
{
	bool told;

	do
	:: true ->
		/* epoll_wait() */
end:		readable;
		atomic {
			if
#ifdef MUTATE_CLEAR_ALWAYS
			:: true -> readable = false
#else
			:: NOBODY_RUNG -> readable = false
			:: else
#endif
			fi
		}
		look(0, told)
#if ENDPOINTS == 2
		; look(1, told)
#endif
	od
}

init {
	byte e;

	atomic {
		for (e : 0 .. ENDPOINTS - 1) {
			run Producer(e);
			run Bell(e)
		}
		run Owner()
	}
	/* Nobody can go on. */
	timeout;
	assert(tail[0] == head[0] && tail[1] == head[1])
}
