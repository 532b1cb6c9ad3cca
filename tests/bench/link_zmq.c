// SPDX-License-Identifier: MIT
/*
 * ZeroMQ: a PAIR over ipc://. The address is abstract, so that no file is left behind
 * whoever is killed. Messages are written into the library's own, which saves the copy
 * that zmq_send() makes. Each side has the library's I/O thread on its processor.
 */
#include "loops.h"

#if __has_include(<zmq.h>)

#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#define RECONNECT_MS	1	/* until the other side is there */

/* The address is made by the parent, the rest by the side. */
struct zmq_side {
	char address[64];
	void *context;
	void *socket;
};

static const char *peer_missing(void)
{
	return NULL;
}

static int peer_setup(struct bench_run *run, struct link *link)
{
	static unsigned int made;
	struct zmq_side *side = calloc(1, sizeof(*side));

	if (!side)
		return bench_error(run, 0, "no memory");
	snprintf(side->address, sizeof(side->address), "ipc://@krepis-bench-%d-%u", getpid(),
		 made++);
	link->state = side;
	return 0;
}

static void peer_teardown(struct link *link)
{
	free(link->state);
}

/* Half of what may be in flight waits on each side. */
static int set_options(struct zmq_side *side, const struct link *link)
{
	size_t half = link->capacity / link->size / 2;
	int count = half ? (int)half : 1, reconnect = RECONNECT_MS, linger = 0;

	return zmq_setsockopt(side->socket, ZMQ_SNDHWM, &count, sizeof(count)) ||
	       zmq_setsockopt(side->socket, ZMQ_RCVHWM, &count, sizeof(count)) ||
	       zmq_setsockopt(side->socket, ZMQ_RECONNECT_IVL, &reconnect, sizeof(reconnect)) ||
	       zmq_setsockopt(side->socket, ZMQ_LINGER, &linger, sizeof(linger));
}

static int peer_attach(struct bench_run *run, struct link *link, int who)
{
	struct zmq_side *side = link->state;

	side->context = zmq_ctx_new();
	side->socket = side->context ? zmq_socket(side->context, ZMQ_PAIR) : NULL;
	if (!side->socket || set_options(side, link))
		return bench_error(run, who, "zmq_socket: %s", zmq_strerror(zmq_errno()));
	if (who ? zmq_connect(side->socket, side->address) : zmq_bind(side->socket, side->address))
		return bench_error(run, who, "%s: %s", side->address, zmq_strerror(zmq_errno()));
	return 0;
}

static void peer_detach(struct link *link, int who)
{
	struct zmq_side *side = link->state;

	(void)who;
	zmq_close(side->socket);
	zmq_ctx_term(side->context);
}

static inline int peer_send(struct link *link, uint64_t sequence)
{
	struct zmq_side *side = link->state;
	zmq_msg_t message;

	if (zmq_msg_init_size(&message, link->size))
		return loop_errno();
	payload_put(zmq_msg_data(&message), link->size, link->step, sequence);
	while (zmq_msg_send(&message, side->socket, 0) < 0)
		if (zmq_errno() != EINTR)
			return loop_errno();
	return 0;
}

/* In place, except where what came lies so in the library's buffer that words are askew. */
static inline bool check(struct link *link, const void *data, uint64_t *sequence)
{
	if ((uintptr_t)data % sizeof(*sequence)) {
		memcpy(link->buffer, data, link->size);
		data = link->buffer;
	}
	return payload_get(data, link->size, link->step, sequence);
}

static inline int peer_recv(struct link *link, uint64_t *sequence)
{
	struct zmq_side *side = link->state;
	zmq_msg_t message;
	bool good;

	zmq_msg_init(&message);
	while (zmq_msg_recv(&message, side->socket, 0) < 0)
		if (zmq_errno() != EINTR)
			return loop_errno();
	good = zmq_msg_size(&message) == link->size &&
	       check(link, zmq_msg_data(&message), sequence);
	zmq_msg_close(&message);
	return good ? 0 : -EBADMSG;
}

static int peer_ping(struct bench_run *run, struct link *link)
{
	return loop_until_done(run, loop_ping(run, link, peer_send, peer_recv));
}

static int peer_pong(struct bench_run *run, struct link *link)
{
	return loop_until_done(run, loop_pong(run, link, peer_send, peer_recv));
}

static int peer_produce(struct bench_run *run, struct link *link)
{
	return loop_until_done(run, loop_produce(run, link, peer_send, loop_no_flush));
}

static int peer_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, peer_recv);
}

#else /* no zmq.h at build time */

static const char *peer_missing(void)
{
	return "built without zmq.h (Debian: libzmq3-dev)";
}

#define peer_setup	NULL
#define peer_attach	NULL
#define peer_ping	NULL
#define peer_pong	NULL
#define peer_produce	NULL
#define peer_consume	NULL
#define peer_detach	NULL
#define peer_teardown	NULL

#endif

const struct transport link_zmq = {
	.name = "zeromq",
	.features = LINK_LATENCY | LINK_RATE | LINK_THREADS | LINK_NATIVE,
	.missing = peer_missing,
	.setup = peer_setup,
	.attach = peer_attach,
	.ping = peer_ping,
	.pong = peer_pong,
	.produce = peer_produce,
	.consume = peer_consume,
	.detach = peer_detach,
	.teardown = peer_teardown,
};
