// SPDX-License-Identifier: MIT
/*
 * DPDK's rte_ring, one producer and one consumer, in shared memory that rte_ring_init()
 * was called on: neither its environment nor huge pages.
 *
 * rte_ring:	     the message is the ring's element, copied in and out; 8 bytes go as
 *		     pointers, batches by its bulk and burst functions
 * rte_ring-inplace: elements are reserved, written and read in the ring
 * rte_ring-pair:    hand-over of buffers by their number: one ring there, one back
 */
#include "loops.h"

#if __has_include(<rte_ring.h>)

#define ALLOW_EXPERIMENTAL_API	/* in place */

#include <rte_ring.h>
#include <rte_ring_peek_zc.h>

#define LANE_ALIGN	4096

/* Of one side: what is reserved in each direction. */
struct rte_reserved {
	struct rte_ring_zc_data tx, rx;
};

static const char *rte_missing(void)
{
	return NULL;
}

static struct rte_ring *lane(const struct link *link, int which)
{
	return (struct rte_ring *)((char *)link->shared + which * (link->shared_size / 2));
}

/* Two rings of @count elements of @size bytes. */
static int rings_make(struct bench_run *run, struct link *link, unsigned int count, size_t size)
{
	ssize_t bytes = rte_ring_get_memsize_elem((unsigned int)size, count);
	int i;

	if (bytes < 0)
		return bench_error(run, 0, "rte_ring_get_memsize_elem: %s", strerror((int)-bytes));
	link->shared_size = 2 * RTE_ALIGN_CEIL((size_t)bytes, (size_t)LANE_ALIGN);
	link->shared = run_shared_alloc(link->shared_size);
	if (!link->shared)
		return bench_error(run, 0, "no memory");
	for (i = 0; i < 2; i++)
		if (rte_ring_init(lane(link, i), "krepis-bench", count,
				  RING_F_SP_ENQ | RING_F_SC_DEQ)) {
			run_shared_free(link->shared, link->shared_size);
			return bench_error(run, 0, "rte_ring_init failed");
		}
	return 0;
}

static int rte_setup(struct bench_run *run, struct link *link)
{
	return rings_make(run, link, (unsigned int)(link->capacity / link->size), link->size);
}

static void rte_teardown(struct link *link)
{
	run_shared_free(link->shared, link->shared_size);
}

static int rte_attach(struct bench_run *run, struct link *link, int who)
{
	static struct rte_reserved reserved;

	(void)run;
	link->tx = lane(link, who);
	link->rx = lane(link, !who);
	link->state = &reserved;
	return 0;
}

/* -------------------------------------------------------------------- copied */

/*
 * With the sizes that matter as constants, which is what the functions are made for; they
 * are inlined.
 */
static inline unsigned int rte_put(struct link *link, const void *from, unsigned int n)
{
	switch (link->size) {
	case 8:
		return rte_ring_sp_enqueue_bulk(link->tx, (void *const *)from, n, NULL);
	case 64:
		return rte_ring_sp_enqueue_bulk_elem(link->tx, from, 64, n, NULL);
	default:
		return rte_ring_sp_enqueue_bulk_elem(link->tx, from, (unsigned int)link->size, n,
						     NULL);
	}
}

static inline unsigned int rte_get(struct link *link, void *to, unsigned int n)
{
	switch (link->size) {
	case 8:
		return rte_ring_sc_dequeue_burst(link->rx, (void **)to, n, NULL);
	case 64:
		return rte_ring_sc_dequeue_burst_elem(link->rx, to, 64, n, NULL);
	default:
		return rte_ring_sc_dequeue_burst_elem(link->rx, to, (unsigned int)link->size, n,
						      NULL);
	}
}

static inline int rte_send(struct link *link, uint64_t sequence)
{
	payload_fill(link->buffer, link->size, sequence);
	while (!rte_put(link, link->buffer, 1))
		cpu_relax();
	return 0;
}

static inline int rte_recv(struct link *link, uint64_t *sequence)
{
	while (!rte_get(link, link->buffer, 1))
		cpu_relax();
	return payload_check(link->buffer, link->size, sequence) ? 0 : -EBADMSG;
}

/* link->sent messages wait in the buffer. */
static inline int rte_stage(struct link *link, uint64_t sequence)
{
	payload_fill((char *)link->buffer + link->size * link->sent++, link->size, sequence);
	return 0;
}

static inline int rte_flush(struct link *link)
{
	while (link->sent && !rte_put(link, link->buffer, (unsigned int)link->sent))
		cpu_relax();
	link->sent = 0;
	return 0;
}

/* link->received of the link->sent messages in the buffer are used up. */
static inline int rte_recv_batch(struct link *link, uint64_t *sequence)
{
	char *buffer = link->buffer;

	if (link->received == link->sent) {
		link->received = 0;
		while (!(link->sent = rte_get(link, buffer, link->batch)))
			cpu_relax();
	}
	buffer += link->size * link->received++;
	return payload_check(buffer, link->size, sequence) ? 0 : -EBADMSG;
}

static int rte_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, rte_send, rte_recv);
}

static int rte_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, rte_send, rte_recv);
}

static int rte_produce(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_produce(run, link, rte_stage, rte_flush);
	return loop_produce(run, link, rte_send, loop_no_flush);
}

static int rte_consume(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_consume(run, link, rte_recv_batch);
	return loop_consume(run, link, rte_recv);
}

/* ------------------------------------------------------------------ in place */

/* Reserved are at most two pieces: up to the end of the ring, and from its beginning. */
static inline void *element(const struct link *link, const struct rte_ring_zc_data *data,
			    uint64_t at)
{
	if (at < data->n1)
		return (char *)data->ptr1 + link->size * at;
	return (char *)data->ptr2 + link->size * (at - data->n1);
}

static inline int inplace_stage(struct link *link, uint64_t sequence)
{
	struct rte_reserved *reserved = link->state;

	if (!link->sent)
		while (!rte_ring_enqueue_zc_bulk_elem_start(link->tx, (unsigned int)link->size,
							    link->batch, &reserved->tx, NULL))
			cpu_relax();
	payload_fill(element(link, &reserved->tx, link->sent++), link->size, sequence);
	return 0;
}

static inline int inplace_flush(struct link *link)
{
	if (link->sent)
		rte_ring_enqueue_zc_elem_finish(link->tx, (unsigned int)link->sent);
	link->sent = 0;
	return 0;
}

/* link->received of the link->sent elements that are reserved are used up. */
static inline int inplace_recv(struct link *link, uint64_t *sequence)
{
	struct rte_reserved *reserved = link->state;
	bool good;

	if (!link->sent)
		while (!(link->sent = rte_ring_dequeue_zc_burst_elem_start(link->rx,
						(unsigned int)link->size, link->batch,
						&reserved->rx, NULL)))
			cpu_relax();
	good = payload_check(element(link, &reserved->rx, link->received++), link->size,
			     sequence);
	if (link->received == link->sent) {
		rte_ring_dequeue_zc_elem_finish(link->rx, (unsigned int)link->sent);
		link->received = link->sent = 0;
	}
	return good ? 0 : -EBADMSG;
}

static int inplace_produce(struct bench_run *run, struct link *link)
{
	return loop_produce(run, link, inplace_stage, inplace_flush);
}

static int inplace_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, inplace_recv);
}

/* ----------------------------------------------------------------- hand-over */

/*
 * PAIR_BUFFERS numbers travel from the free ring to the consumer and back. Nothing but
 * the number is touched; the mark and the stop are numbers too.
 */
#define PAIR_BUFFERS	8
#define PAIR_MARK	1000
#define PAIR_STOP	1001

static int pair_setup(struct bench_run *run, struct link *link)
{
	uintptr_t i;

	if (rings_make(run, link, 2 * PAIR_BUFFERS, sizeof(void *)))
		return -1;
	for (i = 1; i <= PAIR_BUFFERS; i++)
		rte_ring_sp_enqueue(lane(link, 1), (void *)i);
	return 0;
}

static inline uintptr_t pair_take(struct rte_ring *ring)
{
	void *number;

	while (rte_ring_sc_dequeue(ring, &number))
		cpu_relax();
	return (uintptr_t)number;
}

static inline void pair_give(struct rte_ring *ring, uintptr_t number)
{
	while (rte_ring_sp_enqueue(ring, (void *)number))
		cpu_relax();
}

static inline int pair_send(struct link *link, uint64_t sequence)
{
	if (__builtin_expect(sequence >= PAYLOAD_MARK, 0))
		pair_give(link->tx, sequence == PAYLOAD_MARK ? PAIR_MARK : PAIR_STOP);
	else
		pair_give(link->tx, pair_take(link->rx));
	return 0;
}

static inline int pair_recv(struct link *link, uint64_t *sequence)
{
	uintptr_t number = pair_take(link->rx);

	if (__builtin_expect(number > PAIR_BUFFERS, 0)) {
		*sequence = number == PAIR_MARK ? PAYLOAD_MARK : PAYLOAD_STOP;
		return 0;
	}
	*sequence = ++link->received;
	pair_give(link->tx, number);
	return 0;
}

static int pair_produce(struct bench_run *run, struct link *link)
{
	return loop_produce(run, link, pair_send, loop_no_flush);
}

static int pair_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, pair_recv);
}

#else /* no rte_ring.h at build time */

static const char *rte_missing(void)
{
	return "built without rte_ring.h (Debian: libdpdk-dev)";
}

#define rte_setup	NULL
#define rte_attach	NULL
#define rte_ping	NULL
#define rte_pong	NULL
#define rte_produce	NULL
#define rte_consume	NULL
#define rte_teardown	NULL
#define inplace_produce	NULL
#define inplace_consume	NULL
#define pair_setup	NULL
#define pair_produce	NULL
#define pair_consume	NULL

#endif

const struct transport link_rte = {
	.name = "rte_ring",
	.features = LINK_LATENCY | LINK_RATE | LINK_BATCHES | LINK_NATIVE,
	.missing = rte_missing,
	.setup = rte_setup,
	.attach = rte_attach,
	.ping = rte_ping,
	.pong = rte_pong,
	.produce = rte_produce,
	.consume = rte_consume,
	.teardown = rte_teardown,
};

const struct transport link_rte_inplace = {
	.name = "rte_ring-inplace",
	.features = LINK_RATE | LINK_BATCHES | LINK_NATIVE,
	.missing = rte_missing,
	.setup = rte_setup,
	.attach = rte_attach,
	.produce = inplace_produce,
	.consume = inplace_consume,
	.teardown = rte_teardown,
};

const struct transport link_rte_pair = {
	.name = "rte_ring-pair",
	.features = LINK_RATE | LINK_NATIVE,
	.missing = rte_missing,
	.setup = pair_setup,
	.attach = rte_attach,
	.produce = pair_produce,
	.consume = pair_consume,
	.teardown = rte_teardown,
};
