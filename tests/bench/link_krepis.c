// SPDX-License-Identifier: MIT
/*
 * krepis, through its public API. Channels are made before the fork and survive
 * it; endpoints do not, so each side attaches its own.
 *
 * Each backend is three transports: inline messages in a ring, buffers with the
 * payload written and read in place, and buffers that are only handed over.
 *
 * Enforced channels are of the module; with them stands what a consumer has to do
 * without, if the producer may write on after the hand-over: copy, and use the copy.
 */
#include <krepis/krepis.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "loops.h"

#define HANDOVER_BUFFERS	8
#define FULL_BUFFERS		4

/* Message types: what stands in the payload elsewhere, for those that do not touch it. */
enum { TYPE_DATA, TYPE_MARK, TYPE_STOP };

static int make_channels(struct bench_run *run, struct link *link,
			 const struct krepis_channel_options *options, int count)
{
	struct krepis_state *state = calloc(1, sizeof(*state));
	int i;

	if (!state)
		return bench_error(run, 0, "no memory");
	for (i = 0; i < count; i++) {
		if (backend_create(run, options, &state->channel[i])) {
			while (i--)
				krepis_channel_close(state->channel[i]);
			free(state);
			return -1;
		}
	}
	link->state = state;
	return 0;
}

void krepis_link_teardown(struct link *link)
{
	struct krepis_state *state = link->state;

	krepis_channel_close(state->channel[0]);
	krepis_channel_close(state->channel[1]);
	free(state);
}

static int attach_one(struct bench_run *run, struct link *link, int who, int which,
		      enum krepis_role role, void **end)
{
	struct krepis_state *state = link->state;
	struct krepis_endpoint *endpoint;
	int err;

	*end = NULL;
	if (!state->channel[which])
		return 0;
	err = krepis_attach(state->channel[which], role, link->attach_flags, &endpoint);
	if (err)
		return bench_error(run, who, "krepis_attach: %s", krepis_strerror(err));
	*end = endpoint;
	return 0;
}

int krepis_link_attach(struct bench_run *run, struct link *link, int who)
{
	/* Side 0 produces in channel 0, side 1 in channel 1, if there is one. */
	if (attach_one(run, link, who, who, KREPIS_PRODUCER, &link->tx))
		return -1;
	return attach_one(run, link, who, !who, KREPIS_CONSUMER, &link->rx);
}

void krepis_link_detach(struct link *link, int who)
{
	(void)who;
	krepis_detach(link->tx);
	krepis_detach(link->rx);
}

static void add_calls(struct krepis_endpoint *endpoint, struct bench_calls *calls)
{
	struct krepis_status status = { .size = sizeof(status) };

	if (!endpoint || krepis_endpoint_query(endpoint, &status))
		return;
	calls->waits += status.counters.waits;
	calls->wakes += status.counters.wakes;
}

static void krepis_calls(struct link *link, struct bench_calls *calls)
{
	calls->waits = 0;
	calls->wakes = 0;
	add_calls(link->tx, calls);
	add_calls(link->rx, calls);
}

/* -------------------------------------------------------------------- inline */

static bool inline_fits(size_t size)
{
	return size <= KREPIS_MAX_INLINE;
}

int krepis_link_setup(struct bench_run *run, struct link *link)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.flags = KREPIS_F_NO_BUFFERS,
		.ring_size = link->capacity,
		.inline_max = link->size > 4096 ? (uint32_t)link->size : 0,
	};

	return make_channels(run, link, &options, link->duplex ? 2 : 1);
}

static inline int inline_send(struct link *link, uint64_t sequence)
{
	payload_fill(link->buffer, link->size, sequence);
	return krepis_send(link->tx, TYPE_DATA, link->buffer, link->size, KREPIS_FOREVER);
}

static inline int inline_recv(struct link *link, uint64_t *sequence)
{
	struct krepis_msg msg;
	int err;

	err = krepis_recv(link->rx, &msg, KREPIS_FOREVER);
	if (__builtin_expect(err != 0, 0))
		return err;
	if (msg.len != link->size)
		return -EBADMSG;
	return payload_check(msg.data, link->size, sequence) ? 0 : -EBADMSG;
}

static inline int inline_flush(struct link *link)
{
	struct krepis_state *state = link->state;

	return state->batch.at ? krepis_batch_commit(link->tx, &state->batch) : 0;
}

static inline int inline_stage(struct link *link, uint64_t sequence)
{
	struct krepis_state *state = link->state;
	void *room;
	int err;

	if (!state->batch.at) {
		err = krepis_batch_begin(link->tx, &state->batch,
					 KREPIS_BATCH_BYTES(link->batch, link->size), KREPIS_FOREVER);
		if (err)
			return err;
	}
	room = krepis_batch_put(&state->batch, TYPE_DATA, (uint32_t)link->size);
	if (__builtin_expect(!room, 0))
		return -ENOBUFS;
	payload_fill(room, link->size, sequence);
	return 0;
}

static inline int inline_recv_batch(struct link *link, uint64_t *sequence)
{
	struct krepis_state *state = link->state;
	const void *data;
	uint32_t len;
	uint16_t type;
	int err;

	while (!(data = krepis_batch_next(&state->batch, &type, &len))) {
		err = state->batch.at ? krepis_batch_done(link->rx, &state->batch) : 0;
		if (!err)
			err = krepis_batch_recv(link->rx, &state->batch, KREPIS_FOREVER);
		if (err)
			return err;
	}
	if (len != link->size)
		return -EBADMSG;
	return payload_check(data, link->size, sequence) ? 0 : -EBADMSG;
}

static int inline_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, inline_send, inline_recv);
}

static int inline_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, inline_send, inline_recv);
}

static int inline_produce(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_produce(run, link, inline_stage, inline_flush);
	return loop_produce(run, link, inline_send, loop_no_flush);
}

static int inline_consume(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_consume(run, link, inline_recv_batch);
	return loop_consume(run, link, inline_recv);
}

#define INLINE_TRANSPORT(backend, absent) {			\
	.name = (backend),					\
	.features = LINK_LATENCY | LINK_RATE | LINK_BATCHES,	\
	.missing = (absent),					\
	.fits = inline_fits,					\
	.setup = krepis_link_setup,				\
	.attach = krepis_link_attach,				\
	.ping = inline_ping,					\
	.pong = inline_pong,					\
	.produce = inline_produce,				\
	.consume = inline_consume,				\
	.calls = krepis_calls,					\
	.detach = krepis_link_detach,				\
	.teardown = krepis_link_teardown,			\
}

const struct transport link_krepis_shm = INLINE_TRANSPORT("krepis-shm", NULL);
const struct transport link_krepis_kmod = INLINE_TRANSPORT("krepis-kmod", backend_no_module);

/* ------------------------------------------------------------------- buffers */

static int buffer_setup(struct bench_run *run, struct link *link, uint32_t count, uint32_t flags)
{
	struct krepis_channel_options options = {
		.size = sizeof(options),
		.flags = flags,
		.buffer_size = link->size,
		.buffer_count = count,
	};

	return make_channels(run, link, &options, 1);
}

static int full_setup(struct bench_run *run, struct link *link)
{
	return buffer_setup(run, link, FULL_BUFFERS, 0);
}

static int enforced_setup(struct bench_run *run, struct link *link)
{
	return buffer_setup(run, link, FULL_BUFFERS, KREPIS_F_ENFORCED);
}

static int handover_setup(struct bench_run *run, struct link *link)
{
	return buffer_setup(run, link, HANDOVER_BUFFERS, 0);
}

static inline __attribute__((always_inline)) int buffer_send(struct link *link, uint64_t sequence,
							     bool touch)
{
	struct krepis_buffer *buffer;
	uint16_t type = TYPE_DATA;
	int err;

	if (__builtin_expect(sequence >= PAYLOAD_MARK, 0))
		type = sequence == PAYLOAD_MARK ? TYPE_MARK : TYPE_STOP;
	err = krepis_acquire(link->tx, &buffer, KREPIS_FOREVER);
	if (__builtin_expect(err != 0, 0))
		return err;
	if (touch)
		payload_put(krepis_buffer_data(buffer), link->size, link->step, sequence);
	return krepis_publish(link->tx, buffer, type, link->size, 0, KREPIS_FOREVER);
}

static inline __attribute__((always_inline)) int buffer_recv(struct link *link, uint64_t *sequence,
							     bool touch)
{
	struct krepis_msg msg;
	bool good = true;
	int err;

	err = krepis_recv(link->rx, &msg, KREPIS_FOREVER);
	if (__builtin_expect(err != 0, 0))
		return err;
	if (touch)
		good = payload_get(msg.data, link->size, link->step, sequence);
	else if (__builtin_expect(msg.type != TYPE_DATA, 0))
		*sequence = msg.type == TYPE_MARK ? PAYLOAD_MARK : PAYLOAD_STOP;
	else
		*sequence = ++link->received;
	good &= msg.len == link->size;
	err = krepis_release(link->rx, &msg);
	return err || good ? err : -EBADMSG;
}

static inline int full_send(struct link *link, uint64_t sequence)
{
	return buffer_send(link, sequence, true);
}

static inline int full_recv(struct link *link, uint64_t *sequence)
{
	return buffer_recv(link, sequence, true);
}

/* The buffer is free as soon as the copy is there. */
static inline int copy_recv(struct link *link, uint64_t *sequence)
{
	struct krepis_msg msg;
	bool good;
	int err;

	err = krepis_recv(link->rx, &msg, KREPIS_FOREVER);
	if (__builtin_expect(err != 0, 0))
		return err;
	memcpy(link->buffer, msg.data, link->size);
	good = msg.len == link->size;
	err = krepis_release(link->rx, &msg);
	if (err)
		return err;
	return payload_get(link->buffer, link->size, link->step, sequence) && good ? 0 : -EBADMSG;
}

static inline int handover_send(struct link *link, uint64_t sequence)
{
	return buffer_send(link, sequence, false);
}

static inline int handover_recv(struct link *link, uint64_t *sequence)
{
	return buffer_recv(link, sequence, false);
}

static int full_produce(struct bench_run *run, struct link *link)
{
	return loop_produce(run, link, full_send, loop_no_flush);
}

static int full_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, full_recv);
}

static int copy_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, copy_recv);
}

static int handover_produce(struct bench_run *run, struct link *link)
{
	return loop_produce(run, link, handover_send, loop_no_flush);
}

static int handover_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, handover_recv);
}

/* ------------------------------------------------------------ a second thread */

/*
 * A thread of the producer on the consumer's processor, busy half of the time: what is
 * taken away from the producer has to be taken away there, too.
 */
#define BUSY_NS		50000

static pthread_t second;
static bool second_stop;

static void *second_thread(void *arg)
{
	const struct timespec pause = { .tv_nsec = BUSY_NS };
	volatile uint64_t mine[512] = { 0 };
	uint64_t end;
	unsigned int i;

	(void)arg;
	machine_pin(machine.cpu[1]);
	while (!__atomic_load_n(&second_stop, __ATOMIC_RELAXED)) {
		end = clock_ticks() + clock_from_ns(BUSY_NS);
		while (clock_ticks() < end)
			for (i = 0; i < ARRAY_SIZE(mine); i++)
				mine[i]++;
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static int second_attach(struct bench_run *run, struct link *link, int who)
{
	int err = krepis_link_attach(run, link, who);

	if (err || who)
		return err;
	err = pthread_create(&second, NULL, second_thread, NULL);
	return err ? bench_error(run, who, "pthread_create: %s", strerror(err)) : 0;
}

static void second_detach(struct link *link, int who)
{
	if (!who) {
		__atomic_store_n(&second_stop, true, __ATOMIC_RELAXED);
		pthread_join(second, NULL);
	}
	krepis_link_detach(link, who);
}

#define BUFFER_TRANSPORT(backend, absent, make, send, recv, who) {	\
	.name = (backend),						\
	.features = LINK_RATE,						\
	.missing = (absent),						\
	.setup = make##_setup,						\
	.attach = who##_attach,						\
	.produce = send##_produce,					\
	.consume = recv##_consume,					\
	.calls = krepis_calls,						\
	.detach = who##_detach,						\
	.teardown = krepis_link_teardown,				\
}

#define BUFFER_SHM(name, send, recv)	\
	BUFFER_TRANSPORT(name, NULL, send, send, recv, krepis_link)
#define BUFFER_KMOD(name, send, recv)	\
	BUFFER_TRANSPORT(name, backend_no_module, send, send, recv, krepis_link)
#define BUFFER_ENFORCED(who)		\
	BUFFER_TRANSPORT("krepis-enforced", backend_no_module, enforced, full, full, who)

const struct transport link_buffer_shm = BUFFER_SHM("krepis-shm", full, full);
const struct transport link_copy_shm = BUFFER_SHM("ring+copy-shm", full, copy);
const struct transport link_buffer_kmod = BUFFER_KMOD("krepis-kmod", full, full);
const struct transport link_copy_kmod = BUFFER_KMOD("ring+copy", full, copy);
const struct transport link_handover_shm = BUFFER_SHM("krepis-shm", handover, handover);
const struct transport link_handover_kmod = BUFFER_KMOD("krepis-kmod", handover, handover);
const struct transport link_buffer_enforced = BUFFER_ENFORCED(krepis_link);
const struct transport link_second_enforced = BUFFER_ENFORCED(second);
