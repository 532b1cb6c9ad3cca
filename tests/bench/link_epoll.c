// SPDX-License-Identifier: MIT
/*
 * Event loops: both sides sleep in epoll_wait(), and take what is there without
 * waiting. krepis by krepis_fd() of either backend; beside it one word and one eventfd
 * each direction. All look first and sleep only if nothing is there.
 */
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backend.h"
#include "loops.h"

/* An epoll instance that watches @fd, in link->rx_fd. */
static int watch(struct bench_run *run, struct link *link, int who, int fd)
{
	struct epoll_event event = { .events = EPOLLIN | (link->edge ? EPOLLET : 0) };

	if (fd < 0)
		return bench_error(run, who, "krepis_fd: %s", krepis_strerror(fd));
	link->rx_fd = epoll_create1(EPOLL_CLOEXEC);
	if (link->rx_fd < 0)
		return bench_error(run, who, "epoll_create1: %s", strerror(errno));
	if (epoll_ctl(link->rx_fd, EPOLL_CTL_ADD, fd, &event))
		return bench_error(run, who, "epoll_ctl: %s", strerror(errno));
	return 0;
}

static inline int sleep_epoll(struct link *link)
{
	struct epoll_event event;

	return epoll_wait(link->rx_fd, &event, 1, -1) < 0 && errno != EINTR ? loop_errno() : 0;
}

/* -------------------------------------------------------------------- krepis */

static int krepis_epoll_attach(struct bench_run *run, struct link *link, int who)
{
	if (krepis_link_attach(run, link, who))
		return -1;
	return watch(run, link, who, krepis_fd(link->rx));
}

static void krepis_epoll_detach(struct link *link, int who)
{
	close(link->rx_fd);
	krepis_link_detach(link, who);
}

static inline int krepis_epoll_send(struct link *link, uint64_t sequence)
{
	payload_fill(link->buffer, link->size, sequence);
	return krepis_send(link->tx, 0, link->buffer, link->size, KREPIS_NOWAIT);
}

static inline int krepis_epoll_recv(struct link *link, uint64_t *sequence)
{
	struct krepis_msg msg;
	int err;

	while ((err = krepis_recv(link->rx, &msg, KREPIS_NOWAIT)) == -EAGAIN) {
		err = sleep_epoll(link);
		if (err)
			return err;
	}
	if (err)
		return err;
	if (msg.len != link->size)
		return -EBADMSG;
	return payload_check(msg.data, link->size, sequence) ? 0 : -EBADMSG;
}

static int krepis_epoll_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, krepis_epoll_send, krepis_epoll_recv);
}

static int krepis_epoll_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, krepis_epoll_send, krepis_epoll_recv);
}

#define EPOLL_TRANSPORT(backend, absent) {		\
	.name = (backend),				\
	.features = LINK_LATENCY,			\
	.missing = (absent),				\
	.setup = krepis_link_setup,			\
	.attach = krepis_epoll_attach,			\
	.ping = krepis_epoll_ping,			\
	.pong = krepis_epoll_pong,			\
	.detach = krepis_epoll_detach,			\
	.teardown = krepis_link_teardown,		\
}

const struct transport link_epoll_shm = EPOLL_TRANSPORT("krepis-shm", NULL);
const struct transport link_epoll_kmod = EPOLL_TRANSPORT("krepis-kmod", backend_no_module);

/* ------------------------------------------------------------------- eventfd */

#define WORDS_APART	4096

static void eventfd_teardown(struct link *link)
{
	close(link->fd[0]);
	close(link->fd[1]);
	run_shared_free(link->shared, link->shared_size);
}

static int eventfd_setup(struct bench_run *run, struct link *link)
{
	unsigned int i;

	for (i = 0; i < 2; i++) {
		link->fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (link->fd[i] < 0)
			return bench_error(run, 0, "eventfd: %s", strerror(errno));
	}
	link->shared_size = 2 * WORDS_APART;
	link->shared = run_shared_alloc(link->shared_size);
	return link->shared ? 0 : bench_error(run, 0, "no memory");
}

static int eventfd_attach(struct bench_run *run, struct link *link, int who)
{
	link->tx = (char *)link->shared + who * WORDS_APART;
	link->rx = (char *)link->shared + !who * WORDS_APART;
	link->tx_fd = link->fd[who];
	return watch(run, link, who, link->fd[!who]);
}

static inline int eventfd_send(struct link *link, uint64_t sequence)
{
	const uint64_t one = 1;

	__atomic_store_n((uint64_t *)link->tx, sequence, __ATOMIC_RELEASE);
	return write(link->tx_fd, &one, sizeof(one)) == sizeof(one) ? 0 : loop_errno();
}

static inline int eventfd_recv(struct link *link, uint64_t *sequence)
{
	const uint64_t *word = link->rx;
	int fd = link->fd[link->tx_fd == link->fd[0]];
	uint64_t now, count;
	int err;

	while ((now = __atomic_load_n(word, __ATOMIC_ACQUIRE)) == link->received) {
		err = sleep_epoll(link);
		if (err)
			return err;
		/* On edges it may count on. */
		if (!link->edge && read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return loop_errno();
	}
	link->received = now;
	*sequence = now;
	return 0;
}

static int eventfd_ping(struct bench_run *run, struct link *link)
{
	return loop_ping(run, link, eventfd_send, eventfd_recv);
}

static int eventfd_pong(struct bench_run *run, struct link *link)
{
	return loop_pong(run, link, eventfd_send, eventfd_recv);
}

static void eventfd_detach(struct link *link, int who)
{
	(void)who;
	close(link->rx_fd);
}

const struct transport link_epoll_eventfd = {
	.name = "eventfd",
	.features = LINK_LATENCY,
	.setup = eventfd_setup,
	.attach = eventfd_attach,
	.ping = eventfd_ping,
	.pong = eventfd_pong,
	.detach = eventfd_detach,
	.teardown = eventfd_teardown,
};
