// SPDX-License-Identifier: MIT
/*
 * S10: messages that are there are received, and given to a handler by a table of types.
 */
#include <errno.h>
#include <krepis/batch.h>
#include <krepis/packet.h>
#include <string.h>

#include "founding.h"

#define STAGED		512	/* so that what is staged stays in the first cache */

struct moved { uint64_t value; };
struct typed { uint64_t value; };
struct drawn { uint64_t value; };
struct ended { uint64_t value; };

KREPIS_PACKET(0, moved);
KREPIS_PACKET(1, typed);
KREPIS_PACKET(2, drawn);
KREPIS_PACKET(3, ended);

static uint64_t handled;

#define HANDLER(name)							\
static int on_##name(const struct krepis_msg *msg)			\
{									\
	const struct name *packet = krepis_as_##name(msg);		\
									\
	if (!packet)							\
		return -EBADMSG;					\
	handled += packet->value;					\
	return 0;							\
}

HANDLER(moved)
HANDLER(typed)
HANDLER(drawn)
HANDLER(ended)

static int (*const handlers[])(const struct krepis_msg *msg) = {
	on_moved, on_typed, on_drawn, on_ended,
};

static inline int dispatch(const struct krepis_msg *msg)
{
	return msg->type < ARRAY_SIZE(handlers) ? handlers[msg->type](msg) : -EBADMSG;
}

/* The types in turn. */
static int stage(struct krepis_endpoint *producer)
{
	unsigned int i;
	void *room;
	int err = 0;

	for (i = 0; i < STAGED && !err; i++) {
		err = krepis_send_begin(producer, sizeof(uint64_t), &room, KREPIS_NOWAIT);
		if (err)
			break;
		*(uint64_t *)room = 1;
		err = krepis_send_commit(producer, i % ARRAY_SIZE(handlers), sizeof(uint64_t));
	}
	return err ? err : krepis_flush(producer);
}

static int dispatch_singly(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;
	unsigned int i;
	int err = 0;

	for (i = 0; i < STAGED && !err; i++) {
		err = krepis_recv(consumer, &msg, KREPIS_NOWAIT);
		if (!err)
			err = dispatch(&msg);
	}
	return err;
}

static int dispatch_batches(struct krepis_endpoint *consumer)
{
	struct krepis_batch batch;
	struct krepis_msg msg = { 0 };
	unsigned int done = 0;
	int err = 0;

	while (done < STAGED && !err) {
		err = krepis_batch_recv(consumer, &batch, KREPIS_NOWAIT);
		while (!err && (msg.data = krepis_batch_next(&batch, &msg.type, &msg.len)))
			err = dispatch(&msg);
		done += batch.count;
		if (!err)
			err = krepis_batch_done(consumer, &batch);
	}
	return err;
}

/* Stages untimed and dispatches timed, as often as the run has time. */
static int dispatch_for(struct bench_run *run, struct krepis_endpoint *producer,
			struct krepis_endpoint *consumer)
{
	bool batch = !strcmp(run->what->variant, "dispatch-batch");
	uint64_t warm = clock_ticks() + clock_from_ns(run->warmup_ns), then, now, spent = 0;
	uint64_t end = warm + clock_from_ns(run->measure_ns), count = 0;
	int err;

	handled = 0;
	do {
		err = stage(producer);
		if (err)
			return fail(run, 0, "stage", err);
		then = clock_ticks();
		err = batch ? dispatch_batches(consumer) : dispatch_singly(consumer);
		now = clock_ticks();
		if (err)
			return fail(run, 0, "dispatch", err);
		handled -= STAGED;
		if (then < warm)
			continue;
		spent += now - then;
		count += STAGED;
	} while (now < end);
	run->value[S10_NS] = clock_to_ns(spent) / (double)count;
	return handled ? bench_error(run, 0, "messages are missing") : 0;
}

int side_dispatch(struct bench_run *run)
{
	struct krepis_endpoint *producer, *consumer;
	int err = krepis_attach(run->data, KREPIS_PRODUCER, 0, &producer);

	if (!err)
		err = krepis_attach(run->data, KREPIS_CONSUMER, 0, &consumer);
	if (err)
		return fail(run, 0, "krepis_attach", err);
	bench_ready(run, 0);
	err = dispatch_for(run, producer, consumer);
	bench_done(run, 0);
	krepis_detach(consumer);
	krepis_detach(producer);
	return err;
}
