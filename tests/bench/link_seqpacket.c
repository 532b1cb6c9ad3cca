// SPDX-License-Identifier: MIT
/*
 * UNIX SEQPACKET socket: one system call a message, or sendmmsg() and recvmmsg() a
 * batch; in the usual form, where a reader sleeps, and spinning on a non-blocking socket.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loops.h"

/* Of one side, after the fork: the messages of a batch, in link->buffer. */
struct packet_batch {
	struct mmsghdr header[LINK_MAX_BATCH];
	struct iovec iov[LINK_MAX_BATCH];
};

/* Room for @capacity, and at least for one message; beyond net.core.wmem_max for those who may. */
static int pair_make(int pair[2], size_t size, size_t capacity, int flags)
{
	int room = (int)(size > capacity ? size : capacity), i;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0, pair))
		return loop_errno();
	for (i = 0; i < 2; i++)
		if (setsockopt(pair[i], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)))
			setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return 0;
}

/* A message has to fit into the socket's buffer, and in part into one piece of memory: try. */
static const char *packet_refuses(size_t size)
{
	void *message = calloc(1, size);
	int pair[2], err, n;
	char *why;

	err = message ? pair_make(pair, size, 0, SOCK_NONBLOCK) : -ENOMEM;
	if (!err) {
		if (send(pair[0], message, size, 0) != (ssize_t)size)
			err = loop_errno();
		close(pair[0]);
		close(pair[1]);
	}
	free(message);
	if (!err)
		return NULL;
	if (err == -EMSGSIZE)
		n = asprintf(&why, "net.core.wmem_max is %ld",
			     link_limit("/proc/sys/net/core/wmem_max"));
	else
		n = asprintf(&why, "send: %s", strerror(-err));
	return n < 0 ? "no memory" : why;
}

static int packet_make(struct bench_run *run, struct link *link, int flags)
{
	struct packet_batch *batch = calloc(1, sizeof(*batch));
	unsigned int i;
	int err;

	if (!batch)
		return bench_error(run, 0, "no memory");
	for (i = 0; i < link->batch; i++) {
		batch->iov[i].iov_base = (char *)link->buffer + i * link->size;
		batch->iov[i].iov_len = link->size;
		batch->header[i].msg_hdr.msg_iov = &batch->iov[i];
		batch->header[i].msg_hdr.msg_iovlen = 1;
	}
	err = pair_make(link->fd, link->size, link->capacity, flags);
	if (err) {
		free(batch);
		return bench_error(run, 0, "socketpair: %s", strerror(-err));
	}
	link->state = batch;
	return 0;
}

static int packet_setup(struct bench_run *run, struct link *link)
{
	return packet_make(run, link, 0);
}

static int packet_spin_setup(struct bench_run *run, struct link *link)
{
	return packet_make(run, link, SOCK_NONBLOCK);
}

static void packet_teardown(struct link *link)
{
	close(link->fd[0]);
	close(link->fd[1]);
	free(link->state);
}

static int packet_attach(struct bench_run *run, struct link *link, int who)
{
	(void)run;
	link->tx_fd = link->fd[who];
	link->rx_fd = link->fd[who];
	return 0;
}

/* Return: whether to try again, after what errno says. */
static inline bool again(void)
{
	if (errno == EAGAIN)
		cpu_relax();
	return errno == EAGAIN || errno == EINTR;
}

static inline int packet_send(struct link *link, uint64_t sequence)
{
	payload_put(link->buffer, link->size, link->step, sequence);
	while (send(link->tx_fd, link->buffer, link->size, MSG_NOSIGNAL) != (ssize_t)link->size)
		if (!again())
			return loop_errno();
	return 0;
}

static inline int packet_recv(struct link *link, uint64_t *sequence)
{
	ssize_t n;

	while ((n = recv(link->rx_fd, link->buffer, link->size, 0)) < 0)
		if (!again())
			return loop_errno();
	if ((size_t)n != link->size)
		return n ? -EBADMSG : -EPIPE;
	return payload_get(link->buffer, link->size, link->step, sequence) ? 0 : -EBADMSG;
}

/* link->sent messages wait in the buffer. */
static inline int packet_stage(struct link *link, uint64_t sequence)
{
	payload_fill((char *)link->buffer + link->size * link->sent++, link->size, sequence);
	return 0;
}

static inline int packet_flush(struct link *link)
{
	struct packet_batch *batch = link->state;
	unsigned int done = 0;
	int n;

	while (done < link->sent) {
		n = sendmmsg(link->tx_fd, batch->header + done, (unsigned int)link->sent - done,
			     MSG_NOSIGNAL);
		if (n > 0)
			done += (unsigned int)n;
		else if (!again())
			return loop_errno();
	}
	link->sent = 0;
	return 0;
}

/* link->received of the link->sent messages in the buffer are used up. */
static inline int packet_recv_batch(struct link *link, uint64_t *sequence)
{
	struct packet_batch *batch = link->state;
	uint64_t at;
	int n;

	if (link->received == link->sent) {
		while ((n = recvmmsg(link->rx_fd, batch->header, link->batch, MSG_WAITFORONE,
				     NULL)) < 1)
			if (!again())
				return loop_errno();
		link->sent = (uint64_t)n;
		link->received = 0;
	}
	at = link->received++;
	if (batch->header[at].msg_len != link->size)
		return batch->header[at].msg_len ? -EBADMSG : -EPIPE;
	return payload_check(batch->iov[at].iov_base, link->size, sequence) ? 0 : -EBADMSG;
}

static int packet_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, packet_send, packet_recv);
}

static int packet_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, packet_send, packet_recv);
}

static int packet_produce(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_produce(run, link, packet_stage, packet_flush);
	return loop_produce(run, link, packet_send, loop_no_flush);
}

static int packet_consume(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_consume(run, link, packet_recv_batch);
	return loop_consume(run, link, packet_recv);
}

#define SEQPACKET(ident, text, has, make)	\
	const struct transport ident = {	\
		.name = text,			\
		.features = has | LINK_NATIVE,	\
		.refuses = packet_refuses,	\
		.setup = make,			\
		.attach = packet_attach,	\
		.ping = packet_ping,		\
		.pong = packet_pong,		\
		.produce = packet_produce,	\
		.consume = packet_consume,	\
		.teardown = packet_teardown,	\
	}

SEQPACKET(link_seqpacket, "seqpacket", LINK_LATENCY | LINK_RATE | LINK_BATCHES, packet_setup);
SEQPACKET(link_seqpacket_spin, "seqpacket-spin", LINK_LATENCY, packet_spin_setup);
