// SPDX-License-Identifier: MIT
/*
 * S10: frames of 80 x 24 cells, the latest of which is all that a reader wants.
 */
#include <errno.h>

#include "backend.h"
#include "footprint.h"
#include "founding.h"
#include "payload.h"

static const struct krepis_channel_options frame_options = {
	.size = sizeof(frame_options),
	.kind = KREPIS_TRIPLE,
	.buffer_size = FRAME_BYTES,
};

/* The reader's word in a line of its own. */
struct frame {
	struct krepis_channel *channel;
	uint64_t seen __attribute__((aligned(128)));
};

int frame_setup(struct bench_run *run)
{
	struct frame *f = run_shared_alloc(sizeof(*f));

	if (!f)
		return bench_error(run, 0, "no memory");
	run->data = f;
	if (!backend_create(run, &frame_options, &f->channel))
		return 0;
	run_shared_free(f, sizeof(*f));
	return -1;
}

void frame_teardown(struct bench_run *run)
{
	struct frame *f = run->data;

	krepis_channel_close(f->channel);
	run_shared_free(f, sizeof(*f));
}

static int publish(struct krepis_endpoint *producer, uint64_t sequence)
{
	void *cells;
	int err = krepis_triple_begin(producer, &cells);

	if (err)
		return err;
	payload_fill(cells, FRAME_BYTES, sequence);
	return krepis_triple_commit(producer, 0, FRAME_BYTES);
}

/* Return: 0, -EAGAIN nothing new, -EBADMSG other cells than were written. */
static int look(struct krepis_endpoint *consumer, uint64_t *sequence)
{
	struct krepis_msg msg;
	int err = krepis_triple_read(consumer, &msg);

	if (err == -ENODATA || (!err && !(msg.flags & KREPIS_MSG_FRESH)))
		return -EAGAIN;
	if (err)
		return err;
	return msg.len == FRAME_BYTES && payload_check(msg.data, FRAME_BYTES, sequence) ?
	       0 : -EBADMSG;
}

int side_frame_write(struct bench_run *run)
{
	struct krepis_endpoint *producer;
	uint64_t warm, end, then, now, sequence = 0;
	struct frame *f = run->data;
	uint32_t n = 0;
	int err = krepis_attach(f->channel, KREPIS_PRODUCER, 0, &producer);

	if (err)
		return fail(run, 0, "krepis_attach", err);
	bench_ready(run, 0);
	warm = clock_ticks() + clock_from_ns(run->warmup_ns);
	end = warm + clock_from_ns(run->measure_ns);
	do {
		then = clock_ticks();
		err = publish(producer, ++sequence);
		if (err)
			return fail(run, 0, "publish", err);
		while (__atomic_load_n(&f->seen, __ATOMIC_ACQUIRE) != sequence)
			cpu_relax();
		now = clock_ticks();
		if (now > warm)
			run->sample[n++] = (uint32_t)(now - then);
	} while (now < end && n < BENCH_MAX_SAMPLES);
	err = publish(producer, PAYLOAD_STOP);
	run->sample_count = n;
	bench_done(run, 0);
	krepis_detach(producer);
	return err ? fail(run, 0, "publish", err) : 0;
}

int side_frame_read(struct bench_run *run)
{
	struct krepis_endpoint *consumer;
	uint64_t sequence = 0, last = 0;
	struct frame *f = run->data;
	int err = krepis_attach(f->channel, KREPIS_CONSUMER, 0, &consumer);

	if (err)
		return fail(run, 1, "krepis_attach", err);
	bench_ready(run, 1);
	while (sequence != PAYLOAD_STOP) {
		while ((err = look(consumer, &sequence)) == -EAGAIN)
			cpu_relax();
		if (err)
			return fail(run, 1, "read", err);
		if (sequence != PAYLOAD_STOP && sequence != ++last)
			return bench_error(run, 1, "a frame is missing");
		__atomic_store_n(&f->seen, sequence, __ATOMIC_RELEASE);
	}
	bench_done(run, 1);
	krepis_detach(consumer);
	return 0;
}

static int show_once(struct krepis_endpoint *producer, struct krepis_endpoint *consumer)
{
	uint64_t sequence;
	int err = publish(producer, 1);

	return err ? err : look(consumer, &sequence);
}

int side_pane(struct bench_run *run)
{
	struct footprint f;
	int err;

	bench_ready(run, 0);
	err = footprint_measure(run, &frame_options, show_once, &f);
	bench_done(run, 0);
	if (err)
		return err;
	run->value[S10_SHARED] = f.shared;
	run->value[S10_RESIDENT] = f.resident;
	return 0;
}
