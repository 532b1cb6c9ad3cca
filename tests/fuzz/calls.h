/* SPDX-License-Identifier: MIT */
/*
 * What an endpoint's owner may do, and what must hold of the results whatever stands
 * in the channel. One function a call, with its arguments from a struct op.
 */
#ifndef KREPIS_FUZZ_CALLS_H
#define KREPIS_FUZZ_CALLS_H

#include "enforced.h"

static const uint8_t source[KREPIS_MAX_COPY];	/* what is sent */

static int64_t deadline(const struct op *op)
{
	if (op->mode < 0xf4)
		return KREPIS_NOWAIT;
	if (op->mode == 0xff)
		return 1;	/* long ago */
	return krepis_deadline_ns(op->mode == 0xfe ? 1000000 : 20000);
}

static size_t length(const struct session *s, const struct op *op)
{
	const size_t edges[] = { s->g.inline_max, s->g.inline_max + 1ULL, s->g.buffer_size,
				 s->g.buffer_size + 1, KREPIS_MAX_COPY, SIZE_MAX };

	switch (op->count % 8) {
	case 0:
		return edges[op->at % ARRAY_SIZE(edges)];
	case 1:
		return op->at % (s->g.buffer_size + 1);
	case 2 ... 4:
		return op->at % (s->g.inline_max + 1ULL);
	default:
		return op->at % 64;
	}
}

static void touch(const void *data, size_t len)
{
	const volatile uint8_t *bytes = data;

	if (len)
		(void)(bytes[0] + bytes[len - 1]);
}

static void touch_to_write(void *data, size_t len)
{
	volatile uint8_t *bytes = data;

	if (len)
		bytes[0] = bytes[len - 1] = 0x5a;
}

static bool inside(const void *data, size_t len, const void *region, size_t size)
{
	uintptr_t at = (uintptr_t)data - (uintptr_t)region;

	return at <= size && len <= size - at;
}

/* The view that @e was given lies where it must. */
static void check_view(const struct session *s, const struct end *e, const struct krepis_msg *msg)
{
	const struct krepis_endpoint *ep = e->ep;
	bool triple = s->g.kind == KREPIS_TRIPLE;
	size_t at = (size_t)((const uint8_t *)msg->data - ep->payload);

	if (triple || msg->buffer) {
		MUST(msg->len <= s->g.buffer_size);
		MUST(at % s->l.stride == 0 && at / s->l.stride < s->g.buffer_count);
	} else {
		MUST(msg->len <= s->g.inline_max);
		if (s->g.backpressure == KREPIS_OVERWRITE)
			MUST(msg->data == ep->receiver.scratch);
		else if (arena->enforced)
			MUST(inside(msg->data, msg->len, ep->receiver.scratch, s->g.ring_size +
				    krepis_record_bytes(s->g.inline_max)));
		else
			MUST(inside(msg->data, msg->len, ep->ring, 2 * s->g.ring_size));
	}
	MUST((uintptr_t)msg->data % 8 == 0);
	if (msg->buffer)
		MUST(msg->buffer == &ep->buffers[at / s->l.stride] && msg->generation);
	MUST(!msg->buffer == !(msg->flags & KREPIS_MSG_BUFFER));
	MUST(!(msg->flags & ~(KREPIS_MSG_BUFFER | KREPIS_MSG_CRC32C | KREPIS_MSG_FRESH)));
	touch(msg->data, msg->len);
	figures.received++;
	figures.buffers += !!msg->buffer;
}

static void forget(struct end *e, unsigned int i)
{
	e->msg[i] = e->msg[--e->msgs];
	e->sum[i] = e->sum[e->msgs];
	e->kept[i] = e->kept[e->msgs];
}

static void got(struct session *s, struct end *e, const struct krepis_msg *msg, bool release)
{
	unsigned int i;

	check_view(s, e, msg);
	if (!msg->buffer) {
		if (release)
			MUST(!TRY(s, krepis_release(e->ep, msg), EPROTO));
		return;
	}
	/* A liar may give us a buffer again that we have, but only as another life of it. */
	for (i = 0; i < e->msgs; i++) {
		if (e->msg[i].buffer != msg->buffer)
			continue;
		MUST(e->msg[i].generation != msg->generation);
		MUST(!arena->enforced || krepis_load_acquire(&e->meddled));
		MUST(TRY(s, krepis_release(e->ep, &e->msg[i]), EPERM) == -EPERM);
		forget(e, i--);
	}
	if (e->msgs == HELD) {
		check_kept(e, 0);
		MUST(!TRY(s, krepis_release(e->ep, &e->msg[0]), EPROTO));
		forget(e, 0);
	}
	e->msg[e->msgs++] = *msg;
	keep(e, e->msgs - 1);
}

/* ------------------------------------------------------------------ valid calls */

static void do_send(struct session *s, struct end *e, const struct op *op)
{
	/* A changed descriptor shows here as it does in krepis_publish(). */
	TRY(s, krepis_send(e->ep, (uint16_t)op->value, source, length(s, op), deadline(op)),
	    EMSGSIZE, EAGAIN, ETIMEDOUT, ENOTCONN, EBUSY, EPERM, ESTALE, EOWNERDEAD);
}

static void do_begin(struct session *s, struct end *e, const struct op *op)
{
	size_t len = length(s, op);
	void *room;

	if (TRY(s, krepis_send_begin(e->ep, len, &room, deadline(op)),
		EMSGSIZE, EAGAIN, ETIMEDOUT, ENOTCONN, EBUSY))
		return;
	MUST(len <= s->g.inline_max && (uintptr_t)room % 8 == 0);
	MUST(inside(room, len, e->ep->ring, 2 * s->g.ring_size));
	e->room = room;
	e->room_size = len;
}

static void do_commit(struct session *s, struct end *e, const struct op *op)
{
	size_t len = op->at % (s->g.inline_max + 1ULL);

	if (op->count % 8 == 1) {
		krepis_send_cancel(e->ep);
		e->room = NULL;
		return;
	}
	if (e->room) {
		touch_to_write(e->room, e->room_size);
		len %= e->room_size + 1;
	}
	if (!TRY(s, krepis_send_commit(e->ep, (uint16_t)op->value, len), EINVAL)) {
		MUST(e->room);
		e->room = NULL;
	}
}

static void do_flush(struct session *s, struct end *e, const struct op *op)
{
	(void)op;
	TRY(s, krepis_flush(e->ep), EPROTO);
}

static void do_acquire(struct session *s, struct end *e, const struct op *op)
{
	struct krepis_buffer *b;
	unsigned int i;

	if (e->buffers == HELD || TRY(s, krepis_acquire(e->ep, &b, deadline(op)), EAGAIN, ETIMEDOUT,
				      ENOTCONN, EBUSY, EOPNOTSUPP))
		return;
	for (i = 0; i < e->buffers; i++)
		MUST(e->buffer[i] != b);
	MUST(b->index < s->g.buffer_count && b == &e->ep->buffers[b->index]);
	MUST(krepis_buffer_data(b) == e->ep->payload + b->index * s->l.stride);
	MUST(krepis_buffer_handle(b).generation);
	touch_to_write(krepis_buffer_data(b), krepis_buffer_size(b));
	e->buffer[e->buffers++] = b;
}

static void do_publish(struct session *s, struct end *e, const struct op *op)
{
	uint32_t flags = op->count % 16 == 15 ? op->at : op->count % 2 * KREPIS_MSG_CRC32C;
	unsigned int i = e->buffers ? op->at % e->buffers : 0;
	uint32_t index;

	if (!e->buffers)
		return;
	index = e->buffer[i]->index;
	touch_to_write(krepis_buffer_data(e->buffer[i]), s->g.buffer_size);
	if (TRY(s, krepis_publish(e->ep, e->buffer[i], (uint16_t)op->value, length(s, op), flags,
				  deadline(op)), EMSGSIZE, EAGAIN, ETIMEDOUT, ENOTCONN, EBUSY,
		EPERM, EINVAL, ESTALE, EOWNERDEAD))
		return;
	e->buffer[i] = e->buffer[--e->buffers];
	/* Once more, too late. */
	if (arena->enforced)
		scribble(s, e, index, op->value, op->value);
}

static void do_abandon(struct session *s, struct end *e, const struct op *op)
{
	unsigned int i = e->buffers ? op->at % e->buffers : 0;
	struct krepis_buffer *found;

	if (!e->buffers)
		return;
	MUST(!krepis_buffer_lookup(e->ep, krepis_buffer_handle(e->buffer[i]), &found));
	MUST(found == e->buffer[i]);
	MUST(!TRY(s, krepis_abandon(e->ep, e->buffer[i]), EPROTO));
	e->buffer[i] = e->buffer[--e->buffers];
}

static void do_drain(struct session *s, struct end *e, const struct op *op)
{
	TRY(s, krepis_drain(e->ep, deadline(op)), EAGAIN, ETIMEDOUT, EBUSY);
}

/* A consumer never goes back, and stands between two records. */
static void check_position(const struct end *e, uint64_t before)
{
	uint64_t pos = e->ep->receiver.pos;

	MUST(pos % 8 == 0 && (int64_t)(pos - before) >= 0);
}

static void do_recv(struct session *s, struct end *e, const struct op *op)
{
	uint64_t before = e->ep->receiver.pos;
	struct krepis_msg msg = { 0 };
	int err;

	err = TRY(s, krepis_recv(e->ep, &msg, deadline(op)), EAGAIN, ETIMEDOUT, KREPIS_ELAPPED);
	if (s->wrong)
		return;
	check_position(e, before);
	if (!err)
		got(s, e, &msg, op->count % 4 == 1);
	if (err == -KREPIS_ELAPPED)
		MUST(msg.lost && s->g.backpressure == KREPIS_OVERWRITE);
}

static void do_batch(struct session *s, struct end *e, const struct op *op)
{
	uint64_t before = e->ep->receiver.pos;
	unsigned int count = op->count % 5;
	struct krepis_msg msg[5];
	int i, n;

	if (s->g.backpressure == KREPIS_OVERWRITE && op->at % 8) {
		do_recv(s, e, op);
		return;
	}
	n = TRY(s, krepis_recv_batch(e->ep, msg, count, deadline(op)), EAGAIN, ETIMEDOUT, EINVAL);
	if (s->wrong)
		return;
	check_position(e, before);
	MUST(n <= (int)count);
	for (i = 0; i < n; i++)
		got(s, e, &msg[i], false);
}

static void do_release(struct session *s, struct end *e, const struct op *op)
{
	unsigned int i = e->msgs ? op->at % e->msgs : 0;

	if (!e->msgs)
		return;
	s->wrong = false;
	check_kept(e, i);
	MUST(!TRY(s, krepis_release(e->ep, &e->msg[i]), EPROTO));
	forget(e, i);
}

/* Only who has a buffer to itself may change what came in it. */
static void do_edit(struct session *s, struct end *e, unsigned int i, const struct op *op)
{
	bool exclusive = s->g.flags & KREPIS_F_EXCLUSIVE;
	void *data;

	MUST(TRY(s, krepis_msg_edit(&e->msg[i], &data), EACCES) == (exclusive ? 0 : -EACCES));
	if (!exclusive || op->count % 2)
		return;
	MUST(data == e->msg[i].data);
	touch_to_write(data, s->g.buffer_size);
	keep(e, i);
}

static void do_share(struct session *s, struct end *e, const struct op *op)
{
	unsigned int i = e->msgs ? op->at % e->msgs : 0;
	struct krepis_msg *msg = &e->msg[i];

	if (!e->msgs)
		return;
	s->wrong = false;
	check_kept(e, i);
	do_edit(s, e, i, op);
	MUST(!TRY(s, krepis_msg_get(msg), EPROTO));
	touch(msg->data, msg->len);
	TRY(s, krepis_msg_verify(msg), ENODATA, EBADMSG);
	MUST(!TRY(s, krepis_msg_put(msg), EPROTO));
}

static void do_triple_begin(struct session *s, struct end *e, const struct op *op)
{
	void *data;
	size_t at;

	(void)op;
	if (TRY(s, krepis_triple_begin(e->ep, &data), EPROTO))
		return;
	at = (size_t)((uint8_t *)data - e->ep->payload);
	MUST(at % s->l.stride == 0 && at / s->l.stride < KREPIS_TRIPLE_BUFFERS);
	touch_to_write(data, s->g.buffer_size);
}

/* The library exchanged its buffer: then the kernel did so before. */
static void note_exchange(struct end *e, uint32_t before)
{
	if (e->ep->triple.index != before)
		e->has = e->ep->triple.index;
}

static void do_triple_commit(struct session *s, struct end *e, const struct op *op)
{
	uint32_t before = e->ep->triple.index;

	if (TRY(s, krepis_triple_commit(e->ep, (uint16_t)op->value, length(s, op)), EINVAL,
		EMSGSIZE))
		return;
	note_exchange(e, before);
	if (arena->enforced)
		scribble(s, e, before, op->value, op->value);
}

static void do_triple_read(struct session *s, struct end *e, const struct op *op)
{
	struct krepis_msg msg = { 0 };
	uint32_t before = s->wrong ? 0 : e->ep->triple.index;

	(void)op;
	check_all_kept(e);
	if (TRY(s, krepis_triple_read(e->ep, &msg), ENODATA))
		return;
	check_view(s, e, &msg);
	note_exchange(e, before);
	e->msg[0] = msg;
	keep(e, 0);
}

static void do_wait(struct session *s, struct end *e, const struct op *op)
{
	TRY(s, krepis_wait(e->ep, deadline(op)), EAGAIN, ETIMEDOUT, ENOTCONN);
}

static void do_wait_peer(struct session *s, struct end *e, const struct op *op)
{
	TRY(s, krepis_wait_peer(e->ep, op->count % 3, deadline(op)), EAGAIN, ETIMEDOUT, EINVAL);
}

static void do_query(struct session *s, struct end *e, const struct op *op)
{
	struct krepis_status status = { .size = sizeof(status) };

	MUST(!TRY(s, krepis_endpoint_query(e->ep, &status), EPROTO));
	if (op->count % 4 == 0)
		MUST(!TRY(s, krepis_query(s->channel, &status), EPROTO));
	MUST(!memcmp(&status.geometry, &s->g, sizeof(s->g)));
	MUST(!((uint64_t)status.live >> s->g.max_consumers));
}

static void do_reattach(struct session *s, struct end *e, const struct op *op)
{
	if (!may_attach(s, e, op))
		return;
	if (op->count % 4 == 0) {
		krepis_shutdown(e->ep);
		s->stopped = true;
		if (e->role == KREPIS_PRODUCER && s->g.kind == KREPIS_RING)
			MUST(TRY(s, krepis_flush(e->ep), EPROTO) < 0);
		if (e->role == KREPIS_CONSUMER && s->g.kind == KREPIS_RING)
			do_recv(s, e, op);
	}
	s->stopped = false;
	detach(e);
	attach(s, e);
}

#endif /* KREPIS_FUZZ_CALLS_H */
