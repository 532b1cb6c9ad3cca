// SPDX-License-Identifier: MIT
/*
 * nng: a PAIR over ipc://, with an abstract address, so that no file is left behind
 * whoever is killed. Messages are written and read in the library's own. Each side has the
 * library's threads on its processor.
 */
#include "loops.h"

#if __has_include(<nng/nng.h>)

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define MAX_WAITING	8192	/* messages, the library's limit */
#define DIAL_MS		2000	/* for the other side to be there */

/* The address is made by the parent, the rest by the side. */
struct nng_side {
	char address[64];
	nng_socket socket;
};

static const char *peer_missing(void)
{
	return NULL;
}

static int peer_setup(struct bench_run *run, struct link *link)
{
	static unsigned int made;
	struct nng_side *side = calloc(1, sizeof(*side));

	if (!side)
		return bench_error(run, 0, "no memory");
	snprintf(side->address, sizeof(side->address), "abstract://krepis-bench-%d-%u", getpid(),
		 made++);
	link->state = side;
	return 0;
}

static void peer_teardown(struct link *link)
{
	free(link->state);
}

/* Half of what may be in flight waits on each side. */
static int set_options(struct nng_side *side, const struct link *link)
{
	size_t half = link->capacity / link->size / 2;
	int err, count = half > MAX_WAITING ? MAX_WAITING : half ? (int)half : 1;

	err = nng_socket_set_int(side->socket, NNG_OPT_SENDBUF, count);
	if (!err)
		err = nng_socket_set_int(side->socket, NNG_OPT_RECVBUF, count);
	if (!err)
		err = nng_socket_set_size(side->socket, NNG_OPT_RECVMAXSZ, 0);
	return err;
}

static int dial(struct nng_side *side)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	int left = DIAL_MS, err;

	while ((err = nng_dial(side->socket, side->address, NULL, 0)) == NNG_ECONNREFUSED &&
	       left--)
		nanosleep(&pause, NULL);
	return err;
}

static int peer_attach(struct bench_run *run, struct link *link, int who)
{
	struct nng_side *side = link->state;
	int err = nng_pair0_open(&side->socket);

	if (!err)
		err = set_options(side, link);
	if (err)
		return bench_error(run, who, "nng_pair0_open: %s", nng_strerror(err));
	err = who ? dial(side) : nng_listen(side->socket, side->address, NULL, 0);
	if (err)
		return bench_error(run, who, "%s: %s", side->address, nng_strerror(err));
	return 0;
}

static void peer_detach(struct link *link, int who)
{
	struct nng_side *side = link->state;

	(void)who;
	nng_close(side->socket);
}

/* Its errors are its own, and loops.h knows the system's. */
static inline int peer_errno(int err)
{
	if (err & NNG_ESYSERR)
		return -(err & ~NNG_ESYSERR);
	return err == NNG_ENOMEM ? -ENOMEM : -EIO;
}

static inline int peer_send(struct link *link, uint64_t sequence)
{
	struct nng_side *side = link->state;
	nng_msg *message;
	int err;

	err = nng_msg_alloc(&message, link->size);
	if (err)
		return peer_errno(err);
	payload_put(nng_msg_body(message), link->size, link->step, sequence);
	while ((err = nng_sendmsg(side->socket, message, 0)) == NNG_EINTR)
		;
	return err ? peer_errno(err) : 0;
}

static inline int peer_recv(struct link *link, uint64_t *sequence)
{
	struct nng_side *side = link->state;
	nng_msg *message;
	bool good;
	int err;

	while ((err = nng_recvmsg(side->socket, &message, 0)) == NNG_EINTR)
		;
	if (err)
		return peer_errno(err);
	good = nng_msg_len(message) == link->size &&
	       payload_get(nng_msg_body(message), link->size, link->step, sequence);
	nng_msg_free(message);
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

#else /* no nng/nng.h at build time */

static const char *peer_missing(void)
{
	return "built without nng/nng.h (Debian: libnng-dev)";
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

const struct transport link_nng = {
	.name = "nng",
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
