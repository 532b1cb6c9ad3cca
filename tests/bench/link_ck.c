// SPDX-License-Identifier: MIT
/*
 * Concurrency Kit's ring, one producer and one consumer, in shared memory.
 *
 * ck_ring:	    the message is the ring's element, copied in and out, as its
 *		    functions have it; 8 bytes go by its pointer interface
 * ck_ring-inplace: the producer writes into the reserved element
 * ck_ring-pair:    hand-over of buffers by their number: one ring there, one back
 */
#include "loops.h"

#if __has_include(<ck_ring.h>)

#include <ck_ring.h>

struct ck_message_64 { uint64_t word[8]; };
struct ck_message_256 { uint64_t word[32]; };
struct ck_message_1024 { uint64_t word[128]; };
struct ck_message_4096 { uint64_t word[512]; };

CK_RING_PROTOTYPE(64, ck_message_64)
CK_RING_PROTOTYPE(256, ck_message_256)
CK_RING_PROTOTYPE(1024, ck_message_1024)
CK_RING_PROTOTYPE(4096, ck_message_4096)

/* One direction, in shared memory. */
struct ck_lane {
	ck_ring_t ring;
	char pad[2 * CK_MD_CACHELINE];
	uint64_t element[];
} __attribute__((aligned(64)));

static size_t lane_size(const struct link *link)
{
	return (sizeof(struct ck_lane) + link->capacity + 4095) / 4096 * 4096;
}

static struct ck_lane *lane(const struct link *link, int which)
{
	return (struct ck_lane *)((char *)link->shared + which * lane_size(link));
}

static const char *ck_missing(void)
{
	return NULL;
}

static bool ck_fits(size_t size)
{
	return size == 8 || size == 64 || size == 256 || size == 1024 || size == 4096;
}

static int ck_setup(struct bench_run *run, struct link *link)
{
	int i;

	link->shared_size = 2 * lane_size(link);
	link->shared = run_shared_alloc(link->shared_size);
	if (!link->shared)
		return bench_error(run, 0, "no memory");
	for (i = 0; i < 2; i++)
		ck_ring_init(&lane(link, i)->ring, (unsigned int)(link->capacity / link->size));
	return 0;
}

static void ck_teardown(struct link *link)
{
	run_shared_free(link->shared, link->shared_size);
}

static int ck_attach(struct bench_run *run, struct link *link, int who)
{
	(void)run;
	link->tx = lane(link, who);
	link->rx = lane(link, !who);
	return 0;
}

#define CK_SIZE(bytes)									\
static inline int ck_send_##bytes(struct link *link, uint64_t sequence)			\
{											\
	struct ck_message_##bytes *message = link->buffer;				\
	struct ck_lane *l = link->tx;						\
											\
	payload_fill(message, bytes, sequence);						\
	while (!ck_ring_enqueue_spsc_##bytes(&l->ring, (void *)l->element, message))	\
		ck_pr_stall();								\
	return 0;									\
}											\
											\
static inline int ck_reserve_##bytes(struct link *link, uint64_t sequence)		\
{											\
	struct ck_lane *l = link->tx;						\
	struct ck_message_##bytes *message;						\
											\
	while (!(message = ck_ring_enqueue_reserve_spsc_##bytes(&l->ring,		\
								(void *)l->element)))	\
		ck_pr_stall();								\
	payload_fill(message, bytes, sequence);						\
	ck_ring_enqueue_commit_spsc(&l->ring);						\
	return 0;									\
}											\
											\
static inline int ck_recv_##bytes(struct link *link, uint64_t *sequence)		\
{											\
	struct ck_message_##bytes *message = link->buffer;				\
	struct ck_lane *l = link->rx;						\
											\
	while (!ck_ring_dequeue_spsc_##bytes(&l->ring, (void *)l->element, message))	\
		ck_pr_stall();								\
	return payload_check(message, bytes, sequence) ? 0 : -EBADMSG;			\
}

CK_SIZE(64)
CK_SIZE(256)
CK_SIZE(1024)
CK_SIZE(4096)

static inline int ck_send_8(struct link *link, uint64_t sequence)
{
	struct ck_lane *l = link->tx;

	while (!ck_ring_enqueue_spsc(&l->ring, (void *)l->element, (void *)(uintptr_t)sequence))
		ck_pr_stall();
	return 0;
}

static inline int ck_recv_8(struct link *link, uint64_t *sequence)
{
	struct ck_lane *l = link->rx;
	void *value;

	while (!ck_ring_dequeue_spsc(&l->ring, (void *)l->element, &value))
		ck_pr_stall();
	*sequence = (uintptr_t)value;
	return 0;
}

#define ck_reserve_8 ck_send_8

/* The loops once for each size: the ring's functions are made for a type. */
#define CK_LOOPS(bytes)									\
static int ck_ping_##bytes(struct bench_run *run, struct link *link)			\
{											\
	return loop_ping(run, link, ck_send_##bytes, ck_recv_##bytes);			\
}											\
											\
static int ck_pong_##bytes(struct bench_run *run, struct link *link)			\
{											\
	return loop_pong(run, link, ck_send_##bytes, ck_recv_##bytes);			\
}											\
											\
static int ck_produce_##bytes(struct bench_run *run, struct link *link)			\
{											\
	return loop_produce(run, link, ck_send_##bytes, loop_no_flush);			\
}											\
											\
static int ck_produce_inplace_##bytes(struct bench_run *run, struct link *link)		\
{											\
	return loop_produce(run, link, ck_reserve_##bytes, loop_no_flush);		\
}											\
											\
static int ck_consume_##bytes(struct bench_run *run, struct link *link)			\
{											\
	return loop_consume(run, link, ck_recv_##bytes);				\
}

CK_LOOPS(8)
CK_LOOPS(64)
CK_LOOPS(256)
CK_LOOPS(1024)
CK_LOOPS(4096)

typedef int (*ck_loop)(struct bench_run *run, struct link *link);

#define CK_LOOP(name, by)								\
static int name(struct bench_run *run, struct link *link)				\
{											\
	static const struct {								\
		size_t size;								\
		ck_loop loop;								\
	} by_size[] = {									\
		{ 8, by##_8 }, { 64, by##_64 }, { 256, by##_256 },			\
		{ 1024, by##_1024 }, { 4096, by##_4096 },				\
	};										\
	unsigned int i;									\
											\
	for (i = 0; i < ARRAY_SIZE(by_size); i++)					\
		if (by_size[i].size == link->size)					\
			return by_size[i].loop(run, link);				\
	return bench_error(run, 0, "no ring for this size");				\
}

CK_LOOP(ck_ping, ck_ping)
CK_LOOP(ck_pong, ck_pong)
CK_LOOP(ck_produce, ck_produce)
CK_LOOP(ck_produce_inplace, ck_produce_inplace)
CK_LOOP(ck_consume, ck_consume)

/*
 * Hand-over: PAIR_BUFFERS numbers travel from the free ring to the consumer and
 * back. Nothing but the number is touched; the mark and the stop are numbers too.
 */
#define PAIR_BUFFERS	8
#define PAIR_MARK	1000
#define PAIR_STOP	1001

static int pair_setup(struct bench_run *run, struct link *link)
{
	struct ck_lane *back;
	uintptr_t i;

	link->capacity = 16 * sizeof(void *);
	link->shared_size = 2 * lane_size(link);
	link->shared = run_shared_alloc(link->shared_size);
	if (!link->shared)
		return bench_error(run, 0, "no memory");
	ck_ring_init(&lane(link, 0)->ring, 16);
	back = lane(link, 1);
	ck_ring_init(&back->ring, 16);
	for (i = 1; i <= PAIR_BUFFERS; i++)
		ck_ring_enqueue_spsc(&back->ring, (void *)back->element, (void *)i);
	return 0;
}

static inline void *pair_take(struct ck_lane *l)
{
	void *number;

	while (!ck_ring_dequeue_spsc(&l->ring, (void *)l->element, &number))
		ck_pr_stall();
	return number;
}

static inline void pair_give(struct ck_lane *l, void *number)
{
	while (!ck_ring_enqueue_spsc(&l->ring, (void *)l->element, number))
		ck_pr_stall();
}

static inline int pair_send(struct link *link, uint64_t sequence)
{
	if (__builtin_expect(sequence >= PAYLOAD_MARK, 0)) {
		pair_give(link->tx, (void *)(uintptr_t)(sequence == PAYLOAD_MARK ? PAIR_MARK :
							PAIR_STOP));
		return 0;
	}
	pair_give(link->tx, pair_take(link->rx));
	return 0;
}

static inline int pair_recv(struct link *link, uint64_t *sequence)
{
	void *number = pair_take(link->rx);

	if (__builtin_expect((uintptr_t)number > PAIR_BUFFERS, 0)) {
		*sequence = (uintptr_t)number == PAIR_MARK ? PAYLOAD_MARK : PAYLOAD_STOP;
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

#else /* no ck_ring.h at build time */

static const char *ck_missing(void)
{
	return "built without ck_ring.h (Debian: libck-dev)";
}

static bool ck_fits(size_t size)
{
	(void)size;
	return true;
}

#define ck_setup		NULL
#define ck_attach		NULL
#define ck_ping			NULL
#define ck_pong			NULL
#define ck_produce		NULL
#define ck_produce_inplace	NULL
#define ck_consume		NULL
#define ck_teardown		NULL
#define pair_setup		NULL
#define pair_produce		NULL
#define pair_consume		NULL

#endif

const struct transport link_ck = {
	.name = "ck_ring",
	.features = LINK_LATENCY | LINK_RATE,
	.missing = ck_missing,
	.fits = ck_fits,
	.setup = ck_setup,
	.attach = ck_attach,
	.ping = ck_ping,
	.pong = ck_pong,
	.produce = ck_produce,
	.consume = ck_consume,
	.teardown = ck_teardown,
};

const struct transport link_ck_inplace = {
	.name = "ck_ring-inplace",
	.features = LINK_RATE,
	.missing = ck_missing,
	.fits = ck_fits,
	.setup = ck_setup,
	.attach = ck_attach,
	.produce = ck_produce_inplace,
	.consume = ck_consume,
	.teardown = ck_teardown,
};

const struct transport link_ck_pair = {
	.name = "ck_ring-pair",
	.features = LINK_RATE,
	.missing = ck_missing,
	.setup = pair_setup,
	.attach = ck_attach,
	.produce = pair_produce,
	.consume = pair_consume,
	.teardown = ck_teardown,
};
