// SPDX-License-Identifier: MIT
/*
 * The consumers are threads of side 1, all on its processor, with an endpoint each. More
 * threads than processors cannot spin: krepis sleeps at once (KREPIS_ATTACH_NO_SPIN),
 * ck_ring, which has no way to sleep, yields. So what counts is processor time: the
 * producer's, and that of each consumer's thread, between its mark and its stop.
 *
 * A message is filled once, and sent as often as there are rings.
 */
#include <errno.h>
#include <krepis/krepis.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "broadcast.h"
#include "payload.h"

#define LOOK		32	/* messages from one look at the clock to the next */

struct receiver {
	pthread_t thread;
	void *rx;
	uint64_t cpu_ns;
	uint64_t messages;
	int err;
};

/* Made by the parent; what changes after the fork is private to the side. */
struct broadcast {
	unsigned int rings;
	unsigned int consumers;
	struct krepis_channel *channel[BROADCAST_MAX];
	void *shared;
	size_t shared_size;
	void *tx[BROADCAST_MAX];
	struct receiver receiver[BROADCAST_MAX];
};

typedef int (*send_fn)(void *tx, const void *message);
typedef int (*recv_fn)(void *rx, uint64_t *sequence);

#define ALWAYS_INLINE static inline __attribute__((always_inline, unused))

/* ---------------------------------------------------------------- the two sides */

ALWAYS_INLINE int send_one(struct broadcast *b, uint64_t sequence, send_fn send)
{
	char message[BROADCAST_BYTES] __attribute__((aligned(64)));
	unsigned int i;
	int err = 0;

	payload_fill(message, sizeof(message), sequence);
	for (i = 0; i < b->rings && !err; i++)
		err = send(b->tx[i], message);
	return err;
}

ALWAYS_INLINE int send_for(struct broadcast *b, uint64_t ns, uint64_t *sequence, send_fn send)
{
	const uint64_t end = clock_ticks() + clock_from_ns(ns);
	unsigned int i;
	int err = 0;

	do {
		for (i = 0; i < LOOK && !err; i++)
			err = send_one(b, ++*sequence, send);
	} while (!err && clock_ticks() < end);
	return err;
}

ALWAYS_INLINE int produce(struct bench_run *run, send_fn send)
{
	struct broadcast *b = run->data;
	uint64_t sequence = 0, cpu_ns;
	int err;

	bench_ready(run, 0);
	err = send_for(b, run->warmup_ns, &sequence, send);
	if (!err)
		err = send_one(b, PAYLOAD_MARK, send);
	cpu_ns = clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID);
	if (!err)
		err = send_for(b, run->measure_ns, &sequence, send);
	if (!err)
		err = send_one(b, PAYLOAD_STOP, send);
	run->side[0].cpu_ns = clock_cpu_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_ns;
	bench_done(run, 0);
	return err ? bench_error(run, 0, "send: %s", strerror(-err)) : 0;
}

/* Return: 0 after the stop, or a negative errno; -EPROTO a message that is not the next. */
ALWAYS_INLINE int receive(struct receiver *r, recv_fn recv)
{
	uint64_t sequence = 0, marked = 0, cpu_ns = 0, got;
	int err;

	for (;;) {
		err = recv(r->rx, &got);
		if (__builtin_expect(err != 0, 0))
			return err;
		if (__builtin_expect(got != sequence + 1, 0)) {
			if (got == PAYLOAD_STOP)
				break;
			if (got != PAYLOAD_MARK)
				return -EPROTO;
			marked = sequence;
			cpu_ns = clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID);
			continue;
		}
		sequence = got;
	}
	r->cpu_ns = clock_cpu_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
	r->messages = sequence - marked;
	return 0;
}

static int join_all(struct bench_run *run, uint64_t began)
{
	struct broadcast *b = run->data;
	uint64_t cpu_ns = 0, count = b->receiver[0].messages;
	double ns = clock_to_ns(clock_ticks() - began) - (double)run->warmup_ns;
	unsigned int i;

	for (i = 0; i < b->consumers; i++) {
		const struct receiver *r = &b->receiver[i];

		if (r->err)
			return bench_error(run, 1, "consumer %u: %s", i,
					   r->err == -EBADMSG ? "wrong payload" :
					   r->err == -EPROTO ? "a message is missing" :
					   strerror(-r->err));
		if (r->messages != count)
			return bench_error(run, 1, "consumer %u got another number of messages",
					   i);
		cpu_ns += r->cpu_ns;
	}
	/* Until the producer has closed its account, too. */
	while (__atomic_load_n(&run->done, __ATOMIC_ACQUIRE) < 1)
		sched_yield();
	run->messages = count * b->consumers;
	run->value[BROADCAST_CPU_NS] = (double)(cpu_ns + run->side[0].cpu_ns) /
				       (double)run->messages;
	run->value[BROADCAST_RATE] = (double)count * 1e9 / ns;
	return 0;
}

static int consume(struct bench_run *run, void *(*thread)(void *))
{
	struct broadcast *b = run->data;
	uint64_t began;
	unsigned int i;
	int err;

	for (i = 0; i < b->consumers; i++) {
		struct receiver *r = &b->receiver[i];

		err = pthread_create(&r->thread, NULL, thread, r);
		if (err)
			return bench_error(run, 1, "pthread_create: %s", strerror(err));
	}
	bench_ready(run, 1);
	began = clock_ticks();
	for (i = 0; i < b->consumers; i++)
		pthread_join(b->receiver[i].thread, NULL);
	err = join_all(run, began);
	bench_done(run, 1);
	return err;
}

/* -------------------------------------------------------------------- krepis */

static void krepis_teardown(struct bench_run *run)
{
	struct broadcast *b = run->data;
	unsigned int i;

	for (i = 0; i < b->rings; i++)
		krepis_channel_close(b->channel[i]);
	free(b);
}

static int krepis_setup_rings(struct bench_run *run, unsigned int rings)
{
	struct broadcast *b = calloc(1, sizeof(*b));
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.flags = KREPIS_F_NO_BUFFERS,
		.ring_size = BENCH_RING_BYTES,
	};

	if (!b)
		return bench_error(run, 0, "no memory");
	b->consumers = (unsigned int)run->what->param;
	options.max_consumers = rings == 1 ? b->consumers : 1;
	run->data = b;
	for (b->rings = 0; b->rings < rings; b->rings++)
		if (backend_create(run, &options, &b->channel[b->rings])) {
			krepis_teardown(run);
			return -1;
		}
	return 0;
}

static int krepis_setup_one(struct bench_run *run)
{
	return krepis_setup_rings(run, 1);
}

static int krepis_setup_separate(struct bench_run *run)
{
	return krepis_setup_rings(run, (unsigned int)run->what->param);
}

static int attach(struct bench_run *run, int who, struct krepis_channel *channel, void **end)
{
	struct krepis_endpoint *endpoint;
	int err = krepis_attach(channel, who ? KREPIS_CONSUMER : KREPIS_PRODUCER,
				KREPIS_ATTACH_NO_SPIN, &endpoint);

	if (err)
		return bench_error(run, who, "krepis_attach: %s", krepis_strerror(err));
	*end = endpoint;
	return 0;
}

static inline int krepis_give(void *tx, const void *message)
{
	return krepis_send(tx, 0, message, BROADCAST_BYTES, KREPIS_FOREVER);
}

static inline int krepis_take(void *rx, uint64_t *sequence)
{
	struct krepis_msg msg;
	int err = krepis_recv(rx, &msg, KREPIS_FOREVER);

	if (__builtin_expect(err != 0, 0))
		return err;
	if (msg.len != BROADCAST_BYTES)
		return -EBADMSG;
	return payload_check(msg.data, BROADCAST_BYTES, sequence) ? 0 : -EBADMSG;
}

static void *krepis_thread(void *data)
{
	struct receiver *r = data;

	r->err = receive(r, krepis_take);
	/* The others need not wait for this one, whatever befell it. */
	krepis_detach(r->rx);
	return NULL;
}

static int krepis_produce(struct bench_run *run)
{
	struct broadcast *b = run->data;
	unsigned int i;
	int err;

	for (i = 0; i < b->rings; i++)
		if (attach(run, 0, b->channel[i], &b->tx[i]))
			return -1;
	err = produce(run, krepis_give);
	/* What was sent stays readable. */
	for (i = 0; i < b->rings; i++)
		krepis_detach(b->tx[i]);
	return err;
}

/* A consumer receives what is sent from its attaching on: so all are there before the first. */
static int krepis_consume(struct bench_run *run)
{
	struct broadcast *b = run->data;
	unsigned int i;

	for (i = 0; i < b->consumers; i++)
		if (attach(run, 1, b->channel[b->rings == 1 ? 0 : i], &b->receiver[i].rx))
			return -1;
	return consume(run, krepis_thread);
}

/* ------------------------------------------------------------------- ck_ring */

#if __has_include(<ck_ring.h>)

#include <ck_ring.h>

#define CK_SLOTS	(BENCH_RING_BYTES / BROADCAST_BYTES)

struct ck_message { uint64_t word[BROADCAST_BYTES / 8]; };

CK_RING_PROTOTYPE(message, ck_message)

struct ck_lane {
	ck_ring_t ring;
	char pad[2 * CK_MD_CACHELINE];
	struct ck_message slot[CK_SLOTS];
} __attribute__((aligned(128)));

static const char *ck_missing(void)
{
	return NULL;
}

static int ck_setup(struct bench_run *run)
{
	struct broadcast *b = calloc(1, sizeof(*b));
	struct ck_lane *lane;
	unsigned int i;

	if (!b)
		return bench_error(run, 0, "no memory");
	b->consumers = b->rings = (unsigned int)run->what->param;
	b->shared_size = b->rings * sizeof(*lane);
	b->shared = run_shared_alloc(b->shared_size);
	if (!b->shared) {
		free(b);
		return bench_error(run, 0, "no memory");
	}
	for (i = 0; i < b->rings; i++) {
		lane = (struct ck_lane *)b->shared + i;
		ck_ring_init(&lane->ring, CK_SLOTS);
		b->tx[i] = b->receiver[i].rx = lane;
	}
	run->data = b;
	return 0;
}

static void ck_teardown(struct bench_run *run)
{
	struct broadcast *b = run->data;

	run_shared_free(b->shared, b->shared_size);
	free(b);
}

static inline int ck_give(void *tx, const void *message)
{
	struct ck_lane *lane = tx;

	while (!ck_ring_enqueue_spsc_message(&lane->ring, lane->slot, (void *)message))
		sched_yield();
	return 0;
}

static inline int ck_take(void *rx, uint64_t *sequence)
{
	struct ck_lane *lane = rx;
	struct ck_message message;

	while (!ck_ring_dequeue_spsc_message(&lane->ring, lane->slot, &message))
		sched_yield();
	return payload_check(&message, sizeof(message), sequence) ? 0 : -EBADMSG;
}

static void *ck_thread(void *data)
{
	struct receiver *r = data;

	r->err = receive(r, ck_take);
	return NULL;
}

static int ck_produce(struct bench_run *run)
{
	return produce(run, ck_give);
}

static int ck_consume(struct bench_run *run)
{
	return consume(run, ck_thread);
}

#else /* no ck_ring.h at build time */

static const char *ck_missing(void)
{
	return "built without ck_ring.h (Debian: libck-dev)";
}

#define ck_setup	NULL
#define ck_teardown	NULL
#define ck_produce	NULL
#define ck_consume	NULL

#endif

void broadcast_case(struct bench_case *what, const char *impl, unsigned int consumers,
		    bool separate)
{
	bool ck = !strcmp(impl, "ck_ring");

	what->impl = impl;
	what->param = consumers;
	/* More threads than processors, where there is more than one consumer. */
	what->flags |= BENCH_CROWDED;
	what->missing = ck ? ck_missing() : backend_missing(impl);
	what->setup = ck ? ck_setup : separate ? krepis_setup_separate : krepis_setup_one;
	what->side[0] = ck ? ck_produce : krepis_produce;
	what->side[1] = ck ? ck_consume : krepis_consume;
	what->teardown = ck ? ck_teardown : krepis_teardown;
}
