// SPDX-License-Identifier: MIT
/*
 * Streams of the kernel: pipe and UNIX socket, each in its usual form, where a
 * reader sleeps, and spinning on a non-blocking descriptor, which is the fastest
 * that it can do between two processors. vmsplice is a pipe into which the producer's
 * pages are put as they are, without a copy.
 *
 * fd[0] is read and fd[1] written by side 1 (from side 0 and to it), fd[2] and
 * fd[3] by side 0; for a socket they are the same descriptor.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "loops.h"

static int stream_attach(struct bench_run *run, struct link *link, int who)
{
	(void)run;
	link->rx_fd = link->fd[who ? 0 : 2];
	link->tx_fd = link->fd[who ? 1 : 3];
	return 0;
}

static void stream_teardown(struct link *link)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(link->fd); i++)
		if (link->fd[i] >= 0)
			close(link->fd[i]);
}

static void set_nonblocking(struct link *link)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(link->fd); i++)
		if (link->fd[i] >= 0)
			fcntl(link->fd[i], F_SETFL, fcntl(link->fd[i], F_GETFL) | O_NONBLOCK);
}

static int pipe_setup(struct bench_run *run, struct link *link)
{
	int there[2], back[2], size = (int)link->capacity;

	if (pipe2(there, O_CLOEXEC))
		return bench_error(run, 0, "pipe: %s", strerror(errno));
	if (pipe2(back, O_CLOEXEC)) {
		close(there[0]);
		close(there[1]);
		return bench_error(run, 0, "pipe: %s", strerror(errno));
	}
	/* As large as the system lets us; a failure leaves the default. */
	while (size > 65536 && fcntl(there[1], F_SETPIPE_SZ, size) < 0)
		size /= 2;
	link->fd[0] = there[0];
	link->fd[1] = back[1];
	link->fd[2] = back[0];
	link->fd[3] = there[1];
	return 0;
}

static int pipe_spin_setup(struct bench_run *run, struct link *link)
{
	if (pipe_setup(run, link))
		return -1;
	set_nonblocking(link);
	return 0;
}

static int unix_setup(struct bench_run *run, struct link *link)
{
	int pair[2], size = (int)link->capacity, i;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return bench_error(run, 0, "socketpair: %s", strerror(errno));
	for (i = 0; i < 2; i++)
		setsockopt(pair[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	link->fd[0] = pair[1];
	link->fd[1] = dup(pair[1]);
	link->fd[2] = pair[0];
	link->fd[3] = dup(pair[0]);
	if (link->fd[1] >= 0 && link->fd[3] >= 0)
		return 0;
	stream_teardown(link);
	return bench_error(run, 0, "dup: %s", strerror(errno));
}

static int unix_spin_setup(struct bench_run *run, struct link *link)
{
	if (unix_setup(run, link))
		return -1;
	set_nonblocking(link);
	return 0;
}

static inline int write_all(int fd, const char *data, size_t size)
{
	ssize_t n;

	while (size) {
		n = write(fd, data, size);
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			cpu_relax();
		} else if (n == 0 || errno != EINTR) {
			return n ? -errno : -EPIPE;
		}
	}
	return 0;
}

/* At least @least bytes and at most @most. Return: how many, or a negative errno. */
static inline ssize_t read_some(int fd, char *data, size_t least, size_t most)
{
	size_t got = 0;
	ssize_t n;

	while (got < least) {
		n = read(fd, data + got, most - got);
		if (n > 0)
			got += (size_t)n;
		else if (n < 0 && errno == EAGAIN)
			cpu_relax();
		else if (n == 0 || errno != EINTR)
			return n ? -errno : -EPIPE;
	}
	return (ssize_t)got;
}

static inline int stream_send(struct link *link, uint64_t sequence)
{
	payload_put(link->buffer, link->size, link->step, sequence);
	return write_all(link->tx_fd, link->buffer, link->size);
}

static inline int stream_recv(struct link *link, uint64_t *sequence)
{
	ssize_t n = read_some(link->rx_fd, link->buffer, link->size, link->size);

	if (n < 0)
		return (int)n;
	return payload_get(link->buffer, link->size, link->step, sequence) ? 0 : -EBADMSG;
}

/* Batches: link->sent counts the messages that wait in the buffer to be written. */
static inline int stream_stage(struct link *link, uint64_t sequence)
{
	payload_fill((char *)link->buffer + link->size * link->sent++, link->size, sequence);
	return 0;
}

static inline int stream_flush(struct link *link)
{
	size_t size = link->size * link->sent;

	link->sent = 0;
	return write_all(link->tx_fd, link->buffer, size);
}

/*
 * link->received bytes of the buffer are used up, link->sent are in it: one read
 * takes what is there, up to a batch.
 */
static inline int stream_recv_batch(struct link *link, uint64_t *sequence)
{
	char *buffer = link->buffer;
	size_t left = link->sent - link->received;
	ssize_t n;

	if (left < link->size) {
		memmove(buffer, buffer + link->received, left);
		n = read_some(link->rx_fd, buffer + left, link->size - left,
			      link->size * link->batch - left);
		if (n < 0)
			return (int)n;
		link->sent = left + (size_t)n;
		link->received = 0;
	}
	buffer += link->received;
	link->received += link->size;
	return payload_check(buffer, link->size, sequence) ? 0 : -EBADMSG;
}

static int stream_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, stream_send, stream_recv);
}

static int stream_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, stream_send, stream_recv);
}

static int stream_produce(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_produce(run, link, stream_stage, stream_flush);
	return loop_produce(run, link, stream_send, loop_no_flush);
}

static int stream_consume(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_consume(run, link, stream_recv_batch);
	return loop_consume(run, link, stream_recv);
}

/* ------------------------------------------------------------------ vmsplice */

/*
 * A page in the pipe must not change before it was read. SPLICE_F_GIFT would give the
 * page away, so that each message would have to be written into a new one, with a page
 * fault; instead the producer goes round a window that is larger than the pipe. A unit
 * is what goes into the pipe at a time, from the beginning of a page on; a pipe holds so
 * many pages, however little of each is used, and lets go of one when it was copied out.
 */
#define SPLICE_PAGE	4096UL
/* Around the mark and the stop, batches may be partial: as many units are shorter. */
#define SPLICE_PARTIAL	4

/* Of one side. */
struct window {
	char *memory;
	size_t unit;
	unsigned int count;
	unsigned int next;
};

static int splice_attach(struct bench_run *run, struct link *link, int who)
{
	struct window *w = calloc(1, sizeof(*w));
	unsigned long room, pages;

	if (!w)
		return bench_error(run, who, "no memory");
	stream_attach(run, link, who);
	link->state = w;
	w->unit = (link->size * link->batch + SPLICE_PAGE - 1) / SPLICE_PAGE * SPLICE_PAGE;
	pages = w->unit / SPLICE_PAGE;
	room = (unsigned long)fcntl(link->tx_fd, F_GETPIPE_SZ) / SPLICE_PAGE;
	/* After so many others, none of a unit's pages is in the pipe any more. */
	w->count = (unsigned int)((room + pages - 1) / pages) + 1;
	if (link->batch > 1)
		w->count += SPLICE_PARTIAL;
	/* Shared, since a private page may be copied when it is written while the pipe has it. */
	w->memory = run_shared_alloc(w->count * w->unit);
	return w->memory ? 0 : bench_error(run, who, "no memory");
}

static void splice_detach(struct link *link, int who)
{
	struct window *w = link->state;

	(void)who;
	run_shared_free(w->memory, w->count * w->unit);
	free(w);
}

static inline int splice_all(struct link *link, size_t size)
{
	struct window *w = link->state;
	struct iovec iov = { w->memory + w->next * w->unit, size };
	ssize_t n;

	w->next = w->next + 1 == w->count ? 0 : w->next + 1;
	while (iov.iov_len) {
		n = vmsplice(link->tx_fd, &iov, 1, 0);
		if (n < 0 && errno != EINTR)
			return loop_errno();
		if (n > 0) {
			iov.iov_base = (char *)iov.iov_base + n;
			iov.iov_len -= (size_t)n;
		}
	}
	return 0;
}

static inline int splice_send(struct link *link, uint64_t sequence)
{
	struct window *w = link->state;

	payload_put(w->memory + w->next * w->unit, link->size, link->step, sequence);
	return splice_all(link, link->size);
}

static inline int splice_stage(struct link *link, uint64_t sequence)
{
	struct window *w = link->state;

	payload_fill(w->memory + w->next * w->unit + link->size * link->sent++, link->size,
		     sequence);
	return 0;
}

static inline int splice_flush(struct link *link)
{
	size_t size = link->size * link->sent;

	link->sent = 0;
	return size ? splice_all(link, size) : 0;
}

static int splice_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, splice_send, stream_recv);
}

static int splice_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, splice_send, stream_recv);
}

static int splice_produce(struct bench_run *run, struct link *link)
{
	if (link->batch > 1)
		return loop_produce(run, link, splice_stage, splice_flush);
	return loop_produce(run, link, splice_send, loop_no_flush);
}

const struct transport link_vmsplice = {
	.name = "vmsplice",
	.features = LINK_LATENCY | LINK_RATE | LINK_BATCHES | LINK_NATIVE,
	.setup = pipe_setup,
	.attach = splice_attach,
	.ping = splice_ping,
	.pong = splice_pong,
	.produce = splice_produce,
	.consume = stream_consume,
	.detach = splice_detach,
	.teardown = stream_teardown,
};

/* ------------------------------------------------------------------------------ */

#define STREAM(ident, text, make)							\
	const struct transport ident = {						\
		.name = text,								\
		.features = LINK_LATENCY | LINK_RATE | LINK_BATCHES,		\
		.setup = make,								\
		.attach = stream_attach,						\
		.ping = stream_ping,							\
		.pong = stream_pong,							\
		.produce = stream_produce,						\
		.consume = stream_consume,						\
		.teardown = stream_teardown,						\
	}

STREAM(link_pipe, "pipe", pipe_setup);
STREAM(link_pipe_spin, "pipe-spin", pipe_spin_setup);
STREAM(link_unix, "unix", unix_setup);
STREAM(link_unix_spin, "unix-spin", unix_spin_setup);
