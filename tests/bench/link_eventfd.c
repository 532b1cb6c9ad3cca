// SPDX-License-Identifier: MIT
/*
 * A place in shared memory for each direction, and an eventfd that says that a message is
 * in it: what is put together by hand where no library is. Each side sleeps in read().
 * There is never more than one message.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "loops.h"

#define EVENTFD_AREA	65536	/* of one direction */

static bool eventfd_fits(size_t size)
{
	return size <= EVENTFD_AREA;
}

static void eventfd_teardown(struct link *link)
{
	close(link->fd[0]);
	close(link->fd[1]);
	run_shared_free(link->shared, link->shared_size);
}

static int eventfd_setup(struct bench_run *run, struct link *link)
{
	link->shared_size = 2 * EVENTFD_AREA;
	link->shared = run_shared_alloc(link->shared_size);
	link->fd[0] = eventfd(0, EFD_CLOEXEC);
	link->fd[1] = eventfd(0, EFD_CLOEXEC);
	if (link->shared && link->fd[0] >= 0 && link->fd[1] >= 0)
		return 0;
	eventfd_teardown(link);
	return bench_error(run, 0, "eventfd: %s", strerror(errno));
}

static int eventfd_attach(struct bench_run *run, struct link *link, int who)
{
	(void)run;
	link->tx = (char *)link->shared + who * EVENTFD_AREA;
	link->rx = (char *)link->shared + !who * EVENTFD_AREA;
	link->tx_fd = link->fd[who];
	link->rx_fd = link->fd[!who];
	return 0;
}

/* The system calls order the payload and what announces it. */
static inline int eventfd_send(struct link *link, uint64_t sequence)
{
	const uint64_t one = 1;

	payload_fill(link->tx, link->size, sequence);
	return write(link->tx_fd, &one, sizeof(one)) == sizeof(one) ? 0 : loop_errno();
}

static inline int eventfd_recv(struct link *link, uint64_t *sequence)
{
	uint64_t count;

	while (read(link->rx_fd, &count, sizeof(count)) != sizeof(count))
		if (errno != EINTR)
			return loop_errno();
	return payload_check(link->rx, link->size, sequence) ? 0 : -EBADMSG;
}

static int eventfd_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, eventfd_send, eventfd_recv);
}

static int eventfd_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, eventfd_send, eventfd_recv);
}

const struct transport link_eventfd = {
	.name = "eventfd",
	.features = LINK_LATENCY | LINK_NATIVE,
	.fits = eventfd_fits,
	.setup = eventfd_setup,
	.attach = eventfd_attach,
	.ping = eventfd_ping,
	.pong = eventfd_pong,
	.teardown = eventfd_teardown,
};
