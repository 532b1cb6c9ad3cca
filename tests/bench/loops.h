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

#include "count.h"
#include "link.h"
#include "pace.h"
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
 * What a side takes, between the mark and the stop: opened at the one, closed at the other.
 *
 * Each side looks at its counters when it has done its part of passing the mark
 * and the stop on, so that a sleep and the call that ended it are either both in
 * between or both not. The kernel's counts begin last and end first: what the looks
 * take is in none of them.
 */
LOOP_INLINE void loop_account(struct bench_run *run, struct link *link, int who, bool end)
{
	const struct transport *t = run->what->transport;
	struct bench_side *side = &run->side[who];
	struct bench_calls now, *base = &side->calls;
	uint64_t cpu_ns;

	if (run->count && end)
		count_stop(run, who, link->yielded);
	cpu_ns = clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	side->cpu_ns = end ? cpu_ns - side->cpu_ns : cpu_ns;
	if (t->calls) {
		t->calls(link, &now);
		base->waits = end ? now.waits - base->waits : now.waits;
		base->wakes = end ? now.wakes - base->wakes : now.wakes;
	}
	link->yielded = 0;
	if (run->count && !end)
		count_mark(run, who);
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
	loop_account(run, link, 0, false);

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
	loop_account(run, link, 0, true);
	run->sample_count = n;
	/* The stop is a round trip like the others, and in the accounts. */
	run->messages = 2 * ((uint64_t)n + 1);
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
			loop_account(run, link, 1, got == PAYLOAD_STOP);
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

/* ---------------------------------------------------------------- a fixed rate */

/*
 * A message carries the time at which it was due, however late it is sent: what it waits
 * for the ones before it counts. The capacity is found before, by the same loops on a
 * schedule that is always late, so that a look at the clock for each message is in it.
 */
LOOP_INLINE int loop_send_due(struct bench_run *run, struct link *link, uint64_t due,
			      loop_send send, loop_flush flush)
{
	int err;

	/* Without a pause, which may be longer than what the schedule leaves. */
	while (clock_ticks() < due) {
		if (!link->yields)
			continue;
		sched_yield();
		link->yielded++;
	}
	err = send(link, due);
	if (!err)
		err = flush(link);
	return err ? loop_fail(run, 0, "send", err) : 0;
}

/* Message i is due at tick i, which was long ago. */
LOOP_INLINE int loop_produce_late(struct bench_run *run, struct link *link, uint64_t ns,
				  loop_send send, loop_flush flush)
{
	const uint64_t end = clock_ticks() + clock_from_ns(ns);
	uint64_t i = 0;
	unsigned int j;

	do {
		for (j = 0; j < LOOP_LOOK; j++)
			if (loop_send_due(run, link, i++, send, flush))
				return -1;
	} while (clock_ticks() < end);
	return loop_produce_signal(run, link, PAYLOAD_MARK, send, flush);
}

LOOP_INLINE int loop_produce_paced(struct bench_run *run, struct link *link, loop_send send,
				   loop_flush flush)
{
	struct bench_pace *pace = &run->pace;
	uint64_t i;

	bench_ready(run, 0);
	if (loop_produce_late(run, link, run->warmup_ns, send, flush) ||
	    loop_produce_late(run, link, PACE_CAPACITY_NS, send, flush))
		return -1;
	pace_wait(pace);
	loop_account(run, link, 0, false);
	/* Before the first message, by which the consumer learns of it. */
	pace->start = clock_ticks() + clock_from_ns(PACE_LEAD_NS);
	for (i = 0; i < pace->count; i++)
		if (loop_send_due(run, link, pace_due(pace, i), send, flush))
			return -1;
	if (loop_produce_signal(run, link, PAYLOAD_STOP, send, flush))
		return -1;
	loop_account(run, link, 0, true);
	bench_done(run, 0);
	return 0;
}

/*
 * Receives up to a signal, and notes how late each message is. Every @stride-th is a sample.
 *
 * Return: how many messages, or negative after bench_error().
 */
LOOP_INLINE int64_t loop_receive_paced(struct bench_run *run, struct link *link, uint64_t stride,
				       loop_recv recv)
{
	const struct bench_pace *pace = &run->pace;
	uint64_t i, got, late, latest = 0, left = stride;
	uint32_t n = 0;
	int err;

	for (i = 0; ; i++) {
		err = recv(link, &got);
		if (__builtin_expect(err != 0, 0))
			return loop_fail(run, 1, "receive", err);
		if (__builtin_expect(got >= PAYLOAD_MARK, 0))
			break;
		late = clock_ticks();
		if (__builtin_expect(got != pace_due(pace, i), 0))
			return loop_wrong(run, 1, got, pace_due(pace, i));
		/* The processors' counters may differ by a little. */
		late = late > got ? late - got : 0;
		latest = late > latest ? late : latest;
		if (--left)
			continue;
		left = stride;
		if (n < BENCH_MAX_SAMPLES)
			run->sample[n++] = late > UINT32_MAX ? UINT32_MAX : (uint32_t)late;
	}
	run->sample_count = n;
	run->value[LINK_LATEST] = clock_to_ns(latest);
	return (int64_t)i;
}

LOOP_INLINE int loop_consume_paced(struct bench_run *run, struct link *link, loop_recv recv)
{
	struct bench_pace *pace = &run->pace;
	int64_t count;
	uint64_t began;

	bench_ready(run, 1);
	pace->step = 1ULL << BENCH_PACE_SHIFT;
	count = loop_receive_paced(run, link, 1, recv);
	began = clock_ticks();
	if (count >= 0)
		count = loop_receive_paced(run, link, 1, recv);
	if (count < 0)
		return -1;
	run->value[LINK_CAPACITY] = (double)count * 1e9 / clock_to_ns(clock_ticks() - began);
	pace_set(pace, run->value[LINK_CAPACITY] * link->load / 100, run->measure_ns);
	loop_account(run, link, 1, false);
	count = loop_receive_paced(run, link, pace->count / BENCH_MAX_SAMPLES + 1, recv);
	if (count < 0)
		return -1;
	loop_account(run, link, 1, true);
	run->messages = (uint64_t)count + 1;
	bench_done(run, 1);
	if ((uint64_t)count != pace->count)
		return loop_wrong(run, 1, (uint64_t)count, pace->count);
	return 0;
}

/* ------------------------------------------------------------- as fast as it goes */

LOOP_INLINE int loop_produce(struct bench_run *run, struct link *link, loop_send send,
			     loop_flush flush)
{
	uint64_t sequence = 0;

	if (link->load)
		return loop_produce_paced(run, link, send, flush);
	bench_ready(run, 0);
	if (loop_produce_for(run, link, run->warmup_ns, &sequence, send, flush) ||
	    loop_produce_signal(run, link, PAYLOAD_MARK, send, flush))
		return -1;
	loop_account(run, link, 0, false);
	if (loop_produce_for(run, link, run->measure_ns, &sequence, send, flush))
		return -1;
	if (loop_produce_signal(run, link, PAYLOAD_STOP, send, flush))
		return -1;
	loop_account(run, link, 0, true);
	bench_done(run, 0);
	return 0;
}

LOOP_INLINE int loop_consume(struct bench_run *run, struct link *link, loop_recv recv)
{
	uint64_t sequence = 0, marked = 0, began = 0, got;
	double ns;
	int err;

	if (link->load)
		return loop_consume_paced(run, link, recv);
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
			loop_account(run, link, 1, false);
			marked = sequence;
			began = clock_ticks();
			continue;
		}
		sequence = got;
	}
	ns = clock_to_ns(clock_ticks() - began);
	/* The stop is a message as large as the others, and came in that time. */
	sequence++;
	loop_account(run, link, 1, true);
	run->messages = sequence - marked;
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
