// SPDX-License-Identifier: MIT
/*
 * POSIX message queues, in the usual form, where a reader sleeps, and spinning on a
 * non-blocking queue. The name is gone before the first message: the sides inherit
 * descriptors, and nothing is left behind whoever is killed.
 */
#include <fcntl.h>
#include <mqueue.h>
#include <unistd.h>

#include "loops.h"

/*
 * A queue of @count messages, or as many as the system lets us: fs.mqueue.msg_max and
 * RLIMIT_MSGQUEUE are in the way, or not, depending on who asks. Return: a descriptor,
 * or a negative errno.
 */
static int queue_make(long count, size_t size, int flags)
{
	static unsigned int made;
	long max = link_limit("/proc/sys/fs/mqueue/msg_max");
	struct mq_attr attr = { .mq_msgsize = (long)size };
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof(name), "/krepis-bench-%d-%u", getpid(), made++);
	for (;;) {
		attr.mq_maxmsg = count;
		queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | flags, 0600, &attr);
		if (queue >= 0)
			break;
		if (count <= 1 || (errno != EINVAL && errno != EMFILE && errno != ENOMEM))
			return loop_errno();
		count = count > max && max > 0 ? max : count / 2;
	}
	mq_unlink(name);
	return queue;
}

static const char *mq_missing(void)
{
	static bool looked, absent;
	int queue;

	if (!looked) {
		looked = true;
		queue = queue_make(1, 8, 0);
		absent = queue == -ENOSYS;
		if (queue >= 0)
			mq_close(queue);
	}
	return absent ? "a kernel without POSIX message queues" : NULL;
}

/* The limit does not bind the privileged: what the system lets us is tried. */
static const char *mq_refuses(size_t size)
{
	int queue = queue_make(1, size, 0), n;
	char *why;

	if (queue >= 0) {
		mq_close(queue);
		return NULL;
	}
	if (queue == -EINVAL)
		n = asprintf(&why, "fs.mqueue.msgsize_max is %ld",
			     link_limit("/proc/sys/fs/mqueue/msgsize_max"));
	else
		n = asprintf(&why, "mq_open: %s", strerror(-queue));
	return n < 0 ? "no memory" : why;
}

static void mq_teardown(struct link *link)
{
	mq_close(link->fd[0]);
	if (link->duplex)
		mq_close(link->fd[1]);
}

static int queues_make(struct bench_run *run, struct link *link, int flags)
{
	long count = (long)(link->capacity / link->size);
	int i;

	for (i = 0; i < 1 + link->duplex; i++) {
		link->fd[i] = queue_make(count > 0 ? count : 1, link->size, flags);
		if (link->fd[i] >= 0)
			continue;
		if (i)
			mq_close(link->fd[0]);
		return bench_error(run, 0, "mq_open: %s", strerror(-link->fd[i]));
	}
	return 0;
}

static int mq_setup(struct bench_run *run, struct link *link)
{
	return queues_make(run, link, 0);
}

static int mq_spin_setup(struct bench_run *run, struct link *link)
{
	return queues_make(run, link, O_NONBLOCK);
}

static int mq_attach(struct bench_run *run, struct link *link, int who)
{
	(void)run;
	link->tx_fd = link->fd[who];
	link->rx_fd = link->fd[!who];
	return 0;
}

static inline int mq_put(struct link *link, uint64_t sequence)
{
	payload_put(link->buffer, link->size, link->step, sequence);
	while (mq_send(link->tx_fd, link->buffer, link->size, 0)) {
		if (errno == EAGAIN)
			cpu_relax();
		else if (errno != EINTR)
			return loop_errno();
	}
	return 0;
}

static inline int mq_get(struct link *link, uint64_t *sequence)
{
	ssize_t n;

	while ((n = mq_receive(link->rx_fd, link->buffer, link->size, NULL)) < 0) {
		if (errno == EAGAIN)
			cpu_relax();
		else if (errno != EINTR)
			return loop_errno();
	}
	if ((size_t)n != link->size)
		return -EBADMSG;
	return payload_get(link->buffer, link->size, link->step, sequence) ? 0 : -EBADMSG;
}

static int mq_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, mq_put, mq_get);
}

static int mq_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, mq_put, mq_get);
}

static int mq_produce(struct bench_run *run, struct link *link)
{
	return loop_produce(run, link, mq_put, loop_no_flush);
}

static int mq_consume(struct bench_run *run, struct link *link)
{
	return loop_consume(run, link, mq_get);
}

#define MQ(ident, text, has, make)		\
	const struct transport ident = {	\
		.name = text,			\
		.features = has | LINK_NATIVE,	\
		.missing = mq_missing,		\
		.refuses = mq_refuses,		\
		.setup = make,			\
		.attach = mq_attach,		\
		.ping = mq_ping,		\
		.pong = mq_pong,		\
		.produce = mq_produce,		\
		.consume = mq_consume,		\
		.teardown = mq_teardown,	\
	}

MQ(link_mq, "mq", LINK_LATENCY | LINK_RATE, mq_setup);
MQ(link_mq_spin, "mq-spin", LINK_LATENCY, mq_spin_setup);
