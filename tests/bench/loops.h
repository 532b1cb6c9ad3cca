/* SPDX-License-Identifier: MIT */
/*
 * The measuring loops, written once and compiled into each implementation, so
 * that its send and recv are inlined and no call through a pointer is measured.
 *
 *	send(link, sequence)	writes a payload of link->size and sends it; it may
 *				keep up to link->batch of them back until flush
 *	flush(link)		sends what is kept back; loop_no_flush if nothing is
 *	recv(link, &sequence)	waits for a message, reads and checks all of it
 *
 * All return 0 or a negative errno; -EBADMSG from recv is a payload that was not
 * what had been sent.
 */
#ifndef KREPIS_BENCH_LOOPS_H
#define KREPIS_BENCH_LOOPS_H

#include <errno.h>
#include <string.h>

#include "link.h"
#include "payload.h"

/* Messages from one look at the clock to the next, if they are small. */
#define LOOP_LOOK	32

#define LOOP_INLINE static inline __attribute__((always_inline, unused))

typedef int (*loop_send)(struct link *link, uint64_t sequence);
typedef int (*loop_recv)(struct link *link, uint64_t *sequence);
typedef int (*loop_flush)(struct link *link);

LOOP_INLINE int loop_no_flush(struct link *link)
{
	(void)link;
	return 0;
}

/* Of a system call that failed. Never 0, which the compiler cannot know of errno. */
LOOP_INLINE int loop_errno(void)
{
	return errno > 0 ? -errno : -EIO;
}

LOOP_INLINE int loop_fail(struct bench_run *run, int who, const char *where, int err)
{
	return bench_error(run, who, "%s: %s", where,
			   err == -EBADMSG ? "wrong payload" : strerror(-err));
}

LOOP_INLINE int loop_wrong(struct bench_run *run, int who, uint64_t got, uint64_t want)
{
	return bench_error(run, who, "message %llu came instead of %llu",
			   (unsigned long long)got, (unsigned long long)want);
}

/*
 * Each side looks at its counters when it has done its part of passing the mark
 * and the stop on, so that a sleep and the call that ended it are either both in
 * between or both not.
 */
LOOP_INLINE void loop_calls(struct bench_run *run, struct link *link, int who, bool end)
{
	const struct transport *t = run->what->transport;
	struct bench_calls now, *base = &run->side[who].calls;

	if (!t->calls)
		return;
	t->calls(link, &now);
	base->waits = end ? now.waits - base->waits : now.waits;
	base->wakes = end ? now.wakes - base->wakes : now.wakes;
}

/* One round trip. A macro's worth of code, so that ping has it twice without a branch. */
LOOP_INLINE int loop_round_trip(struct bench_run *run, struct link *link, uint64_t sequence,
				loop_send send, loop_recv recv)
{
	uint64_t got;
	int err;

	err = send(link, sequence);
	if (err)
		return loop_fail(run, 0, "send", err);
	err = recv(link, &got);
	if (err)
		return loop_fail(run, 0, "receive", err);
	if (got != sequence)
		return loop_wrong(run, 0, got, sequence);
	return 0;
}

LOOP_INLINE int loop_ping(struct bench_run *run, struct link *link, loop_send send, loop_recv recv)
{
	uint64_t sequence = 0, then, now, end;
	uint32_t n = 0;

	bench_ready(run, 0);
	end = clock_ticks() + clock_from_ns(run->warmup_ns);
	while (clock_ticks() < end)
		if (loop_round_trip(run, link, ++sequence, send, recv))
			return -1;
	if (loop_round_trip(run, link, PAYLOAD_MARK, send, recv))
		return -1;
	loop_calls(run, link, 0, false);

	then = clock_ticks();
	end = then + clock_from_ns(run->measure_ns);
	do {
		if (loop_round_trip(run, link, ++sequence, send, recv))
			return -1;
		now = clock_ticks();
		run->sample[n++] = now - then > UINT32_MAX ? UINT32_MAX : (uint32_t)(now - then);
		then = now;
	} while (now < end && n < BENCH_MAX_SAMPLES);

	if (loop_round_trip(run, link, PAYLOAD_STOP, send, recv))
		return -1;
	loop_calls(run, link, 0, true);
	run->sample_count = n;
	bench_done(run, 0);
	return 0;
}

LOOP_INLINE int loop_pong(struct bench_run *run, struct link *link, loop_send send, loop_recv recv)
{
	uint64_t sequence = 0, got;
	int err;

	bench_ready(run, 1);
	do {
		err = recv(link, &got);
		if (err)
			return loop_fail(run, 1, "receive", err);
		if (got < PAYLOAD_MARK && got != ++sequence)
			return loop_wrong(run, 1, got, sequence);
		err = send(link, got);
		if (err)
			return loop_fail(run, 1, "send", err);
		if (__builtin_expect(got >= PAYLOAD_MARK, 0))
			loop_calls(run, link, 1, got == PAYLOAD_STOP);
	} while (got != PAYLOAD_STOP);
	bench_done(run, 1);
	return 0;
}

/* Sends for @ns. How often it looks at the clock costs nothing beside the messages between. */
LOOP_INLINE int loop_produce_for(struct bench_run *run, struct link *link, uint64_t ns,
				 uint64_t *sequence, loop_send send, loop_flush flush)
{
	const unsigned int look = link->size < 65536 ? LOOP_LOOK : 1;
	const uint64_t end = clock_ticks() + clock_from_ns(ns);
	unsigned int i, left = link->batch;
	int err;

	do {
		for (i = 0; i < look; i++) {
			err = send(link, ++*sequence);
			if (err)
				return loop_fail(run, 0, "send", err);
			if (--left)
				continue;
			left = link->batch;
			err = flush(link);
			if (err)
				return loop_fail(run, 0, "flush", err);
		}
	} while (clock_ticks() < end);
	return 0;
}

LOOP_INLINE int loop_produce_signal(struct bench_run *run, struct link *link, uint64_t signal,
				    loop_send send, loop_flush flush)
{
	int err;

	err = flush(link);
	if (!err)
		err = send(link, signal);
	if (!err)
		err = flush(link);
	return err ? loop_fail(run, 0, "send", err) : 0;
}

LOOP_INLINE int loop_produce(struct bench_run *run, struct link *link, loop_send send,
			     loop_flush flush)
{
	uint64_t sequence = 0;

	bench_ready(run, 0);
	if (loop_produce_for(run, link, run->warmup_ns, &sequence, send, flush) ||
	    loop_produce_signal(run, link, PAYLOAD_MARK, send, flush))
		return -1;
	loop_calls(run, link, 0, false);
	if (loop_produce_for(run, link, run->measure_ns, &sequence, send, flush))
		return -1;
	if (loop_produce_signal(run, link, PAYLOAD_STOP, send, flush))
		return -1;
	loop_calls(run, link, 0, true);
	bench_done(run, 0);
	return 0;
}

LOOP_INLINE int loop_consume(struct bench_run *run, struct link *link, loop_recv recv)
{
	uint64_t sequence = 0, marked = 0, began = 0, got;
	double ns;
	int err;

	bench_ready(run, 1);
	for (;;) {
		err = recv(link, &got);
		if (__builtin_expect(err != 0, 0))
			return loop_fail(run, 1, "receive", err);
		if (__builtin_expect(got != sequence + 1, 0)) {
			if (got == PAYLOAD_STOP)
				break;
			if (got != PAYLOAD_MARK)
				return loop_wrong(run, 1, got, sequence + 1);
			loop_calls(run, link, 1, false);
			marked = sequence;
			began = clock_ticks();
			continue;
		}
		sequence = got;
	}
	ns = clock_to_ns(clock_ticks() - began);
	/* The stop is a message as large as the others, and came in that time. */
	sequence++;
	loop_calls(run, link, 1, true);
	run->value[LINK_RATE_MSGS] = (double)(sequence - marked) * 1e9 / ns;
	run->value[LINK_RATE_BYTES] = (double)(sequence - marked) * (double)link->size / ns;
	run->value[LINK_NS] = ns / (double)(sequence - marked);
	bench_done(run, 1);
	return 0;
}

/* Around a loop, for those whose closing throws away what is still on its way. */
LOOP_INLINE int loop_until_done(struct bench_run *run, int err)
{
	if (!err)
		bench_wait_done(run);
	return err;
}

#endif /* KREPIS_BENCH_LOOPS_H */
