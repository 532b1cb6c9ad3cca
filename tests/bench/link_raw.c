// SPDX-License-Identifier: MIT
/*
 * Limits: what the hardware and the kernel take for a round trip, with nothing
 * of a channel around it.
 *
 * raw:	  the message lies in shared lines, one place for each direction; its last
 *	  word says that it is there. No queue: there is never more than one message.
 * futex: one word each direction, and futex(2) around it.
 */
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loops.h"

#define RAW_AREA	65536	/* of one direction */

static int raw_setup(struct bench_run *run, struct link *link)
{
	link->shared_size = 2 * RAW_AREA;
	link->shared = run_shared_alloc(link->shared_size);
	return link->shared ? 0 : bench_error(run, 0, "no memory");
}

static void raw_teardown(struct link *link)
{
	run_shared_free(link->shared, link->shared_size);
}

static bool raw_fits(size_t size)
{
	return size <= RAW_AREA;
}

static int raw_attach(struct bench_run *run, struct link *link, int who)
{
	(void)run;
	link->tx = (char *)link->shared + who * RAW_AREA;
	link->rx = (char *)link->shared + !who * RAW_AREA;
	return 0;
}

static inline int raw_send(struct link *link, uint64_t sequence)
{
	uint64_t *at = link->tx;
	size_t i, last = link->size / 8 - 1;

	for (i = 0; i < last; i++)
		at[i] = sequence;
	/* The payload before the word that announces it. Pairs with raw_recv(). */
	__atomic_store_n(&at[last], sequence, __ATOMIC_RELEASE);
	return 0;
}

static inline int raw_recv(struct link *link, uint64_t *sequence)
{
	const uint64_t *at = link->rx;
	size_t last = link->size / 8 - 1;
	uint64_t now;

	/* The payload after the word that announces it. Pairs with raw_send(). */
	while ((now = __atomic_load_n(&at[last], __ATOMIC_ACQUIRE)) == link->received)
		cpu_relax();
	link->received = now;
	return payload_check(at, link->size, sequence) ? 0 : -EBADMSG;
}

static int raw_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, raw_send, raw_recv);
}

static int raw_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, raw_send, raw_recv);
}

const struct transport link_raw = {
	.name = "raw",
	.features = LINK_LATENCY,
	.fits = raw_fits,
	.setup = raw_setup,
	.attach = raw_attach,
	.ping = raw_ping,
	.pong = raw_pong,
	.teardown = raw_teardown,
};

/* The futex has 32 bits: the word carries what is left of the sequence number. */
static inline uint64_t futex_widen(uint32_t word)
{
	if (word == (uint32_t)PAYLOAD_STOP)
		return PAYLOAD_STOP;
	return word == (uint32_t)PAYLOAD_MARK ? PAYLOAD_MARK : word;
}

static inline int futex_send(struct link *link, uint64_t sequence)
{
	uint32_t *word = link->tx;

	__atomic_store_n(word, (uint32_t)sequence, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	return 0;
}

static inline int futex_recv(struct link *link, uint64_t *sequence)
{
	uint32_t *word = link->rx;
	uint32_t now;

	while ((now = __atomic_load_n(word, __ATOMIC_SEQ_CST)) == (uint32_t)link->received)
		syscall(SYS_futex, word, FUTEX_WAIT, now, NULL, NULL, 0);
	link->received = now;
	*sequence = futex_widen(now);
	return 0;
}

static int futex_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, futex_send, futex_recv);
}

static int futex_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, futex_send, futex_recv);
}

const struct transport link_futex = {
	.name = "futex",
	.features = LINK_LATENCY,
	.fits = raw_fits,
	.setup = raw_setup,
	.attach = raw_attach,
	.ping = futex_ping,
	.pong = futex_pong,
	.teardown = raw_teardown,
};
