// SPDX-License-Identifier: MIT
/*
 * iceoryx by its C binding: a publisher and a subscriber for each direction. Chunks are
 * loaned, written and read in place; a subscriber whose queue is full holds the publisher
 * up. Both sides spin: to take and to publish do not sleep.
 *
 * For the hand-over alone, the mark and the stop are in the chunk's user header, and the
 * payload is not touched.
 */
#include "loops.h"

#if __has_include(<iceoryx_binding_c/publisher.h>)

#include <iceoryx_binding_c/chunk.h>
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/types.h>
#include <stdlib.h>
#include <unistd.h>

#include "roudi.h"

#define QUEUE_MAX	256	/* of the library */
#define QUEUE_MIN	4
#define HANDOVER_QUEUE	5
/* Besides those in the queue: at the publisher, its last one, at the subscriber. */
#define CHUNKS_MORE	3
#define CHUNK_HEADERS	128	/* what it, and the user header, may take at most */
#define CONNECT_MS	5000

/* The daemon is the parent's, the rest the side's. */
struct iceoryx_side {
	struct roudi roudi;
	uint64_t queue;
	iox_pub_storage_t pub;
	iox_sub_storage_t sub;
};

static const char *iceoryx_missing(void)
{
	return roudi_missing();
}

static int start(struct bench_run *run, struct link *link, size_t queue)
{
	struct iceoryx_side *side = calloc(1, sizeof(*side));
	unsigned int ways = link->duplex ? 2 : 1;

	if (!side)
		return bench_error(run, 0, "no memory");
	side->queue = queue > QUEUE_MAX ? QUEUE_MAX : queue < QUEUE_MIN ? QUEUE_MIN : queue;
	if (roudi_start(run, &side->roudi, link->size + CHUNK_HEADERS,
			ways * ((unsigned int)side->queue + CHUNKS_MORE))) {
		free(side);
		return -1;
	}
	link->state = side;
	return 0;
}

static int iceoryx_setup(struct bench_run *run, struct link *link)
{
	return start(run, link, link->capacity / link->size);
}

static int handover_setup(struct bench_run *run, struct link *link)
{
	return start(run, link, HANDOVER_QUEUE);
}

static void iceoryx_teardown(struct link *link)
{
	struct iceoryx_side *side = link->state;

	roudi_stop(&side->roudi);
	free(side);
}

static const char *way(int who)
{
	return who ? "back" : "there";
}

static iox_pub_t publish_as(struct iceoryx_side *side, int who)
{
	iox_pub_options_t options;

	iox_pub_options_init(&options);
	options.subscriberTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
	return iox_pub_init(&side->pub, "krepis", "bench", way(who), &options);
}

static iox_sub_t subscribe_to(struct iceoryx_side *side, int who)
{
	iox_sub_options_t options;

	iox_sub_options_init(&options);
	options.queueCapacity = side->queue;
	options.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
	return iox_sub_init(&side->sub, "krepis", "bench", way(who), &options);
}

static bool connected(const struct link *link)
{
	if (link->tx && !iox_pub_has_subscribers(link->tx))
		return false;
	return !link->rx || iox_sub_get_subscription_state(link->rx) == SubscribeState_SUBSCRIBED;
}

static int iceoryx_attach(struct bench_run *run, struct link *link, int who)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct iceoryx_side *side = link->state;
	int err = roudi_enter(&side->roudi), left;

	if (err)
		return bench_error(run, who, "setns: %s", strerror(-err));
	iox_set_loglevel(Iceoryx_LogLevel_Off);
	iox_runtime_init(who ? "krepis-bench-1" : "krepis-bench-0");
	link->tx = who && !link->duplex ? NULL : publish_as(side, who);
	link->rx = !who && !link->duplex ? NULL : subscribe_to(side, !who);
	/* The daemon brings both together, sooner or later. */
	for (left = CONNECT_MS; left && !connected(link); left--)
		nanosleep(&pause, NULL);
	return left ? 0 : bench_error(run, who, "publisher and subscriber did not meet");
}

static void iceoryx_detach(struct link *link, int who)
{
	(void)who;
	if (link->tx)
		iox_pub_deinit(link->tx);
	if (link->rx)
		iox_sub_deinit(link->rx);
}

static inline const void *take(struct link *link)
{
	enum iox_ChunkReceiveResult result;
	const void *chunk;

	while ((result = iox_sub_take_chunk(link->rx, &chunk)) != ChunkReceiveResult_SUCCESS) {
		if (result != ChunkReceiveResult_NO_CHUNK_AVAILABLE)
			return NULL;
		cpu_relax();
	}
	return chunk;
}

static inline int iceoryx_send(struct link *link, uint64_t sequence)
{
	void *chunk;

	if (iox_pub_loan_chunk(link->tx, &chunk, (uint32_t)link->size) != AllocationResult_SUCCESS)
		return -ENOMEM;
	payload_put(chunk, link->size, link->step, sequence);
	iox_pub_publish_chunk(link->tx, chunk);
	return 0;
}

static inline int iceoryx_recv(struct link *link, uint64_t *sequence)
{
	const void *chunk = take(link);
	bool good;

	if (!chunk)
		return -EIO;
	good = payload_get(chunk, link->size, link->step, sequence);
	iox_sub_release_chunk(link->rx, chunk);
	return good ? 0 : -EBADMSG;
}

static inline int handover_send(struct link *link, uint64_t sequence)
{
	uint64_t *header;
	void *chunk;

	if (iox_pub_loan_aligned_chunk_with_user_header(link->tx, &chunk, (uint32_t)link->size,
							IOX_C_CHUNK_DEFAULT_USER_PAYLOAD_ALIGNMENT,
							sizeof(*header), sizeof(*header)) !=
	    AllocationResult_SUCCESS)
		return -ENOMEM;
	header = iox_chunk_header_to_user_header(iox_chunk_header_from_user_payload(chunk));
	*header = sequence;
	iox_pub_publish_chunk(link->tx, chunk);
	return 0;
}

static inline int handover_recv(struct link *link, uint64_t *sequence)
{
	const void *chunk = take(link);
	const iox_chunk_header_t *header;

	if (!chunk)
		return -EIO;
	header = iox_chunk_header_from_user_payload_const(chunk);
	*sequence = *(const uint64_t *)iox_chunk_header_to_user_header_const(header);
	iox_sub_release_chunk(link->rx, chunk);
	return 0;
}

static int iceoryx_ping(struct bench_run *run, struct link *link)
{
	return loop_until_done(run, loop_ping(run, link, iceoryx_send, iceoryx_recv));
}

static int iceoryx_pong(struct bench_run *run, struct link *link)
{
	return loop_until_done(run, loop_pong(run, link, iceoryx_send, iceoryx_recv));
}

static int iceoryx_produce(struct bench_run *run, struct link *link)
{
	return loop_until_done(run, loop_produce(run, link, iceoryx_send, loop_no_flush));
}

static int iceoryx_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, iceoryx_recv);
}

static int handover_produce(struct bench_run *run, struct link *link)
{
	return loop_until_done(run, loop_produce(run, link, handover_send, loop_no_flush));
}

static int handover_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, handover_recv);
}

#else /* no iceoryx_binding_c at build time */

static const char *iceoryx_missing(void)
{
	return "built without iceoryx_binding_c (Debian: libiceoryx-binding-c-dev, iceoryx)";
}

#define iceoryx_setup		NULL
#define iceoryx_attach		NULL
#define iceoryx_ping		NULL
#define iceoryx_pong		NULL
#define iceoryx_produce		NULL
#define iceoryx_consume		NULL
#define iceoryx_detach		NULL
#define iceoryx_teardown	NULL
#define handover_setup		NULL
#define handover_produce	NULL
#define handover_consume	NULL

#endif

const struct transport link_iceoryx = {
	.name = "iceoryx",
	.features = LINK_LATENCY | LINK_RATE | LINK_NATIVE,
	.missing = iceoryx_missing,
	.setup = iceoryx_setup,
	.attach = iceoryx_attach,
	.ping = iceoryx_ping,
	.pong = iceoryx_pong,
	.produce = iceoryx_produce,
	.consume = iceoryx_consume,
	.detach = iceoryx_detach,
	.teardown = iceoryx_teardown,
};

const struct transport link_iceoryx_handover = {
	.name = "iceoryx",
	.features = LINK_RATE | LINK_NATIVE,
	.missing = iceoryx_missing,
	.setup = handover_setup,
	.attach = iceoryx_attach,
	.produce = handover_produce,
	.consume = handover_consume,
	.detach = iceoryx_detach,
	.teardown = iceoryx_teardown,
};
