/* SPDX-License-Identifier: MIT */
/*
 * The processes that the kill test kills: a producer and consumers of a ring,
 * and the same for a triple. They use the library as programs do, verify all that
 * they get, and end by SIGKILL or when the board says so.
 */
#ifndef _STRESS_PEERS_H
#define _STRESS_PEERS_H

#include <signal.h>
#include <time.h>
#include <krepis/krepis.h>
#include "board.h"
#include "message.h"

#define KEEP_MAX	3
#define BATCH		5

/**
 * struct self - one of these processes
 * @lives:  consumers: the first incarnation that began after the attachment
 * @stamp:  where the sequence of what was received stands: next is @seq
 * @known:  a message was received since the attachment
 * @lost:   messages reported lost since the last one received
 */
struct self {
	struct board *board;
	struct peer *peer;
	unsigned int number;
	struct krepis_channel *channel;
	struct krepis_endpoint *ep;
	struct krepis_status status;
	uint64_t rng;
	uint32_t incarnation;
	uint64_t seq;
	uint32_t lives;
	bool known;
	uint64_t lost;
	unsigned int keep;
	unsigned int kept;
	struct krepis_msg held[KEEP_MAX];
};

/* For the signal handler, which may only ask for a shutdown. */
static struct krepis_endpoint *shutdown_ep;

static void on_shutdown(int signal)
{
	struct krepis_endpoint *ep = load(&shutdown_ep);

	(void)signal;
	if (ep)
		krepis_shutdown(ep);
}

static void enter(struct self *s, enum phase phase)
{
	store(&s->peer->phase, (uint32_t)phase);
}

static void progress(struct self *s)
{
	store(&s->peer->progress, s->peer->progress + 1);
}

static void pause_us(struct self *s, uint64_t most)
{
	struct timespec ts = { .tv_nsec = (long)rng_below(&s->rng, most * 1000 + 1) };

	enter(s, PHASE_PAUSE);
	nanosleep(&ts, NULL);
}

static bool stopping(struct self *s)
{
	return load(&s->board->stop) >= (s->number ? 2U : 1U);
}

static void fail_on(struct self *s, const char *what, int err)
{
	board_fail(s->board, s->number, "%s: %d (%s), incarnation %u seq %llu", what, err,
		   krepis_strerror(err), s->incarnation, (unsigned long long)s->seq);
}

static void attach(struct self *s)
{
	static const uint32_t flags[] = { 0, 0, KREPIS_ATTACH_NO_SPIN, KREPIS_ATTACH_NO_CACHE };
	enum krepis_role role = s->number ? KREPIS_CONSUMER : KREPIS_PRODUCER;
	struct krepis_endpoint *ep;
	int err, tries = 0;

	enter(s, PHASE_ATTACH);
	/*
	 * A triple's peer that is stopped between its exchange and its note hides
	 * which buffer is free, until it goes on.
	 */
	do {
		err = krepis_attach(s->channel, role, flags[rng_below(&s->rng, 4)], &ep);
	} while (err == -EBUSY && s->status.geometry.kind == KREPIS_TRIPLE && ++tries < 1000);
	if (err)
		fail_on(s, "attach", err);
	s->ep = ep;
	s->lives = load(&s->board->lives);
	s->known = false;
	s->lost = 0;
	store(&shutdown_ep, ep);
	/* A signal that came before this has found no endpoint. */
	if (stopping(s))
		krepis_shutdown(ep);
	progress(s);
}

static void detach(struct self *s)
{
	store(&shutdown_ep, NULL);
	enter(s, PHASE_DETACH);
	krepis_detach(s->ep);
	s->ep = NULL;
	s->kept = 0;
	progress(s);
}

/* Waits for the other side. Return: false: it is time to stop. */
static bool wait_peer(struct self *s)
{
	int err;

	if (stopping(s))
		return false;
	enter(s, PHASE_WAIT_PEER);
	err = krepis_wait_peer(s->ep, 1, KREPIS_FOREVER);
	if (err && err != -ESHUTDOWN)
		fail_on(s, "wait_peer", err);
	progress(s);
	return !err;
}

/* ---------------------------------------------------------------- producer */

static struct life *own_life(struct self *s)
{
	return &s->board->life[s->incarnation];
}

static void sent(struct self *s, unsigned int count, uint64_t bytes)
{
	s->seq += count;
	store(&own_life(s)->sent, s->seq);
	store(&s->peer->messages, s->peer->messages + count);
	store(&s->peer->bytes, s->peer->bytes + bytes);
	progress(s);
}

static uint32_t pick_len(struct self *s, uint64_t most)
{
	return (uint32_t)(sizeof(struct stamp) +
			  rng_below(&s->rng, most - sizeof(struct stamp) + 1));
}

/* One message by copy: into the ring, or, if it is longer, through a buffer. */
static int send_copy(struct self *s, uint32_t len)
{
	static _Alignas(8) uint8_t data[1 << 16];
	int err;

	enter(s, PHASE_SEND);
	message_fill(data, s->incarnation, s->seq, len);
	store(&own_life(s)->started, s->seq + 1);
	err = krepis_send(s->ep, 1, data, len, KREPIS_FOREVER);
	if (!err)
		sent(s, 1, len);
	return err;
}

static int send_buffer(struct self *s)
{
	uint32_t len = pick_len(s, s->status.geometry.buffer_size);
	uint32_t flags = rng_below(&s->rng, 2) ? KREPIS_MSG_CRC32C : 0;
	struct krepis_buffer *buffer;
	int err;

	enter(s, PHASE_ACQUIRE);
	err = krepis_acquire(s->ep, &buffer, KREPIS_FOREVER);
	if (err)
		return err;
	message_fill(krepis_buffer_data(buffer), s->incarnation, s->seq, len);
	enter(s, PHASE_PUBLISH);
	if (!rng_below(&s->rng, 16))
		return krepis_abandon(s->ep, buffer);
	store(&own_life(s)->started, s->seq + 1);
	err = krepis_publish(s->ep, buffer, 2, len, flags, KREPIS_FOREVER);
	if (!err) {
		sent(s, 1, len);
		return 0;
	}
	if (krepis_abandon(s->ep, buffer))
		fail_on(s, "abandon after publish", err);
	return err;
}

/* Several messages in place, visible together; now and then with a buffer behind them. */
static int send_batch(struct self *s)
{
	unsigned int n, count = 1 + (unsigned int)rng_below(&s->rng, BATCH);
	uint64_t bytes = 0;
	int err = 0, flushed;

	enter(s, PHASE_BATCH);
	store(&own_life(s)->started, s->seq + count);
	for (n = 0; n < count; n++) {
		uint32_t len = pick_len(s, s->status.geometry.inline_max);
		void *data;

		err = krepis_send_begin(s->ep, s->status.geometry.inline_max, &data, KREPIS_FOREVER);
		if (err)
			break;
		message_fill(data, s->incarnation, s->seq + n, len);
		err = krepis_send_commit(s->ep, 3, len);
		if (err)
			break;
		bytes += len;
	}
	if (!err && rng_below(&s->rng, 2)) {
		/* krepis_publish() or a wait makes them visible, with its own. */
		s->seq += n;
		err = send_buffer(s);
		s->seq -= n;
	}
	flushed = krepis_flush(s->ep);
	if (flushed == -ESHUTDOWN)
		return flushed;		/* krepis_detach() will do it */
	if (flushed)
		fail_on(s, "flush", flushed);
	s->seq += n;
	store(&own_life(s)->sent, s->seq);
	store(&s->peer->messages, s->peer->messages + n);
	store(&s->peer->bytes, s->peer->bytes + bytes);
	progress(s);
	return err;
}

static int send_something(struct self *s)
{
	const struct krepis_geometry *g = &s->status.geometry;
	uint64_t what = rng_below(&s->rng, 16);

	if (what < 8)
		return send_copy(s, pick_len(s, g->inline_max));
	if (what < 12)
		return send_buffer(s);
	if (what < 15)
		return send_batch(s);
	return send_copy(s, g->inline_max + pick_len(s, g->buffer_size - g->inline_max));
}

static void begin_life(struct self *s)
{
	attach(s);
	s->incarnation = add(&s->board->lives, 1);
	s->seq = 0;
	if (s->incarnation >= INCARNATIONS)
		board_fail(s->board, s->number, "more lives than this test has room for");
}

static void ring_producer(struct self *s)
{
	while (!stopping(s)) {
		uint64_t n = 1 + rng_below(&s->rng, 4000);
		int err = 0;

		begin_life(s);
		for (; n && err != -ESHUTDOWN && !stopping(s); n--) {
			err = send_something(s);
			if (err == -KREPIS_PEER_GONE)
				store(&s->peer->gone, s->peer->gone + 1);
			if (err == -KREPIS_PEER_GONE || err == -ENOTCONN)
				wait_peer(s);
			else if (err == -EAGAIN && s->status.geometry.backpressure == KREPIS_FAIL)
				pause_us(s, 300);
			else if (err && err != -ESHUTDOWN)
				fail_on(s, "send", err);
			progress(s);
			if (!rng_below(&s->rng, 100))
				pause_us(s, 3000);
			/* An overwriting producer is never slowed down by its readers. */
			if (s->status.geometry.backpressure == KREPIS_OVERWRITE &&
			    !rng_below(&s->rng, 8))
				pause_us(s, 200);
		}
		detach(s);
	}
}

/* ---------------------------------------------------------------- consumer */

/*
 * A consumer that never saw a producer is not told that it has gone, but waits.
 * So that the supervisor can tell that from a hang, it waits here for the first.
 */
static void meet(struct self *s)
{
	struct krepis_status status = { .size = sizeof(status) };

	krepis_endpoint_query(s->ep, &status);
	if (!status.producer || rng_below(&s->rng, 4))
		wait_peer(s);
}

/*
 * How many messages between what this consumer has seen and message @seq of
 * @incarnation: at least @low that were sent for certain, at most @high.
 */
static void gap(struct self *s, uint32_t incarnation, uint64_t seq, uint64_t *low, uint64_t *high)
{
	uint32_t i = s->known ? s->incarnation : s->lives;

	*low = 0;
	*high = 0;
	if (s->known && incarnation == s->incarnation) {
		*low = *high = seq - s->seq;
		return;
	}
	if (s->known) {
		struct life *life = &s->board->life[i++];

		*low += load(&life->sent) > s->seq ? load(&life->sent) - s->seq : 0;
		*high += load(&life->started) > s->seq ? load(&life->started) - s->seq : 0;
	}
	for (; i < incarnation; i++) {
		*low += i >= s->lives ? load(&s->board->life[i].sent) : 0;
		*high += load(&s->board->life[i].started);
	}
	if (incarnation >= s->lives) {
		*low += seq;
		*high += seq;
	}
	/* What came before this consumer has no number. */
	if (incarnation < s->lives || !s->known)
		*high = UINT64_MAX;
}

/* The message belongs here: nothing was lost without a word, and nothing came twice. */
static void track(struct self *s, const struct stamp *stamp)
{
	uint64_t low, high;
	bool counted;

	if (s->known && (stamp->incarnation < s->incarnation ||
			 (stamp->incarnation == s->incarnation && stamp->seq < s->seq)))
		board_fail(s->board, s->number, "incarnation %u seq %llu came after %u/%llu",
			   stamp->incarnation, (unsigned long long)stamp->seq, s->incarnation,
			   (unsigned long long)s->seq);
	gap(s, stamp->incarnation, stamp->seq, &low, &high);
	counted = s->status.geometry.backpressure == KREPIS_OVERWRITE;
	if (counted ? (s->lost < low || s->lost > high) : low != 0)
		board_fail(s->board, s->number,
			   "%llu to %llu messages lost, %llu reported, before incarnation %u seq %llu; expected %s%u/%llu, attached before %u",
			   (unsigned long long)low, (unsigned long long)high,
			   (unsigned long long)s->lost, stamp->incarnation,
			   (unsigned long long)stamp->seq, s->known ? "" : "anything or ",
			   s->incarnation, (unsigned long long)s->seq, s->lives);
	s->known = true;
	s->incarnation = stamp->incarnation;
	s->seq = stamp->seq + 1;
	s->lost = 0;
}

/* The producer has gone and nothing is left to read: then everything was read. */
static void check_complete(struct self *s)
{
	uint64_t sent;

	if (!s->known)
		return;
	sent = load(&s->board->life[s->incarnation].sent);
	if (sent > s->seq + s->lost)
		board_fail(s->board, s->number,
			   "peer gone with incarnation %u at %llu, but %llu were sent",
			   s->incarnation, (unsigned long long)s->seq, (unsigned long long)sent);
}

static void verify(struct self *s, const struct krepis_msg *msg, struct stamp *stamp,
		   const char *when)
{
	char why[160];

	if (message_check(msg->data, msg->len, stamp, why, sizeof(why)))
		board_fail(s->board, s->number, "%s, %s, type %u sequence %llu buffer %d generation %u",
			   why, when, msg->type, (unsigned long long)msg->sequence,
			   msg->buffer ? (int)krepis_buffer_handle(msg->buffer).index : -1,
			   msg->generation);
	if ((msg->flags & KREPIS_MSG_CRC32C) && krepis_msg_verify(msg))
		board_fail(s->board, s->number, "checksum differs, %s", when);
}

/* What it held was its alone all the time. */
static void release(struct self *s, unsigned int i)
{
	struct stamp stamp;
	int err;

	enter(s, PHASE_RELEASE);
	verify(s, &s->held[i], &stamp, "before its release");
	err = krepis_release(s->ep, &s->held[i]);
	if (err)
		fail_on(s, "release", err);
	s->held[i] = s->held[--s->kept];
	progress(s);
}

static void take(struct self *s, const struct krepis_msg *msg)
{
	struct stamp stamp;

	verify(s, msg, &stamp, "as received");
	track(s, &stamp);
	store(&s->peer->messages, s->peer->messages + 1);
	store(&s->peer->bytes, s->peer->bytes + msg->len);
	progress(s);
	if (msg->buffer)
		s->held[s->kept++] = *msg;
	if (!rng_below(&s->rng, 64)) {
		pause_us(s, 1500);
		verify(s, msg, &stamp, "after a while");
	}
	if (!msg->buffer && !rng_below(&s->rng, 4)) {
		enter(s, PHASE_RELEASE);
		krepis_release(s->ep, msg);
	}
}

/* Whatever a receive said. Return: false: stop. */
static bool received(struct self *s, int err, const struct krepis_msg *msg, int64_t deadline)
{
	switch (err) {
	case 0:
		take(s, msg);
		return true;
	case -KREPIS_ELAPPED:
		s->lost += msg->lost;
		store(&s->peer->lost, s->peer->lost + msg->lost);
		progress(s);
		return true;
	case -KREPIS_PEER_GONE:
		check_complete(s);
		store(&s->peer->gone, s->peer->gone + 1);
		progress(s);
		return wait_peer(s);
	case -ESHUTDOWN:
		return false;
	case -EAGAIN:
	case -ETIMEDOUT:
		if (deadline != KREPIS_FOREVER)
			return true;
	}
	fail_on(s, "recv", err);
	return false;
}

static bool receive(struct self *s)
{
	struct krepis_msg msgs[KEEP_MAX];
	int64_t deadline = KREPIS_FOREVER;
	uint64_t how = rng_below(&s->rng, 8);
	bool going = true;
	int n, i;

	while (s->kept == s->keep || (s->kept && !rng_below(&s->rng, 3)))
		release(s, (unsigned int)rng_below(&s->rng, s->kept));
	if (how == 0)
		deadline = KREPIS_NOWAIT;
	else if (how == 1)
		deadline = krepis_deadline_ns((int64_t)rng_below(&s->rng, 2000000));
	enter(s, PHASE_RECV);
	if (how == 2) {
		n = krepis_wait(s->ep, deadline);
		/* After a shutdown there may be messages all the same. */
		if (n && n != -ESHUTDOWN)
			return received(s, n, msgs, deadline);
	}
	if (how != 3 || s->status.geometry.backpressure == KREPIS_OVERWRITE) {
		n = krepis_recv(s->ep, msgs, deadline);
		return received(s, n, msgs, deadline);
	}
	n = krepis_recv_batch(s->ep, msgs, s->keep - s->kept, deadline);
	if (n <= 0)
		return received(s, n ? n : -EPROTO, msgs, deadline);
	for (i = 0; i < n; i++)
		going &= received(s, 0, &msgs[i], deadline);
	return going;
}

static void ring_consumer(struct self *s)
{
	s->keep = s->number;
	while (load(&s->board->stop) < 2) {
		uint64_t n = 1 + rng_below(&s->rng, 8000);

		attach(s);
		meet(s);
		while (n && receive(s))
			n--;
		if (n)		/* it is told to stop, and the producer has gone */
			check_complete(s);
		/* What is kept now goes back by the detach, or at times by hand. */
		while (s->kept && rng_below(&s->rng, 2))
			release(s, 0);
		detach(s);
	}
}

/* ------------------------------------------------------------------ triple */

static void triple_producer(struct self *s)
{
	while (!stopping(s)) {
		uint64_t n = 1 + rng_below(&s->rng, 4000);

		begin_life(s);
		for (; n && !stopping(s); n--) {
			uint32_t len = pick_len(s, s->status.geometry.buffer_size);
			void *data;
			int err;

			enter(s, PHASE_SEND);
			err = krepis_triple_begin(s->ep, &data);
			if (!err) {
				message_fill(data, s->incarnation, s->seq, len);
				enter(s, PHASE_PUBLISH);
				err = krepis_triple_commit(s->ep, 4, len);
			}
			if (err == -ESHUTDOWN)
				break;
			if (err)
				fail_on(s, "triple", err);
			sent(s, 1, len);
			if (!rng_below(&s->rng, 16))
				pause_us(s, 500);
		}
		detach(s);
	}
}

static void triple_take(struct self *s, const struct krepis_msg *msg)
{
	struct stamp stamp;

	verify(s, msg, &stamp, "as read");
	if (s->known && (stamp.incarnation < s->incarnation ||
			 (stamp.incarnation == s->incarnation && stamp.seq < s->seq)))
		board_fail(s->board, s->number, "value %u/%llu came after %u/%llu",
			   stamp.incarnation, (unsigned long long)stamp.seq, s->incarnation,
			   (unsigned long long)s->seq);
	s->known = true;
	s->incarnation = stamp.incarnation;
	s->seq = stamp.seq + 1;
	store(&s->peer->messages, s->peer->messages + 1);
	store(&s->peer->bytes, s->peer->bytes + msg->len);
	progress(s);
	if (!rng_below(&s->rng, 8)) {
		pause_us(s, 500);
		verify(s, msg, &stamp, "after a while");
	}
}

static bool triple_receive(struct self *s)
{
	struct krepis_msg msg;
	int err;

	enter(s, PHASE_RECV);
	err = krepis_wait(s->ep, KREPIS_FOREVER);
	if (err == -KREPIS_PEER_GONE) {
		store(&s->peer->gone, s->peer->gone + 1);
		progress(s);
		return wait_peer(s);
	}
	if (!err) {
		err = krepis_triple_read(s->ep, &msg);
		if (!err && !(msg.flags & KREPIS_MSG_FRESH))
			board_fail(s->board, s->number, "waited for a fresh value and got an old one");
	}
	if (err == -ESHUTDOWN)
		return false;
	if (err)
		fail_on(s, "triple_read", err);
	triple_take(s, &msg);
	return true;
}

static void triple_consumer(struct self *s)
{
	while (load(&s->board->stop) < 2) {
		uint64_t n = 1 + rng_below(&s->rng, 4000);

		attach(s);
		meet(s);
		while (n-- && triple_receive(s))
			;
		detach(s);
	}
}

/* A peer's whole life. It never returns. */
static inline __attribute__((noreturn))
void peer_main(struct board *board, unsigned int number, int fd, uint64_t seed)
{
	struct self s = {
		.board = board, .peer = &board->peer[number], .number = number, .rng = seed,
		.status.size = sizeof(s.status),
	};
	int err;

	signal(SIGUSR1, on_shutdown);
	enter(&s, PHASE_START);
	err = krepis_channel_open_fd(fd, 0, &s.channel);
	if (!err)
		err = krepis_query(s.channel, &s.status);
	if (err)
		fail_on(&s, "open", err);
	if (s.status.geometry.kind == KREPIS_TRIPLE)
		(number ? triple_consumer : triple_producer)(&s);
	else
		(number ? ring_consumer : ring_producer)(&s);
	krepis_channel_close(s.channel);
	_exit(0);
}

#endif /* _STRESS_PEERS_H */
