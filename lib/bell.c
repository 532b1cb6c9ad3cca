// SPDX-License-Identifier: MIT
/*
 * A descriptor that tells when an endpoint is ready, where no module does: the read
 * end of a pipe, which unlike an eventfd is never writable, and a thread that sleeps
 * on the endpoint's behalf.
 *
 *	armed	the thread watches; the pipe is empty
 *	rung	the thread saw something: a byte is in the pipe; the thread sleeps until it
 *		is armed again, by a call of the endpoint's own thread that finds nothing
 *
 * What the thread looks at are the shared words alone, and never what belongs to
 * the endpoint's thread: as the module's poll, kmod/wait.c.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "internal.h"

/**
 * struct bell - one endpoint's
 * @fd:	   of the pipe
 * @armed: atomic futex, private: 1 armed, 0 rung
 * @stop:  atomic: the thread is to end
 */
struct bell {
	int fd[2];
	pthread_t thread;
	uint32_t armed;
	bool stop;
};

static int consumer_ready(struct krepis_endpoint *ep)
{
	int err;

	if (ep->geometry.kind == KREPIS_TRIPLE)
		return krepis_triple_ready(ep, NULL);
	err = krepis_consumer_peer(ep);
	if (krepis_load_acquire(&ep->producer->head) != krepis_read(&ep->consumer->tail))
		return 0;
	return err ? err : -EAGAIN;
}

/* Room, and somebody who gets what is sent. Nobody yet: that is nothing to tell. */
static int producer_ready(struct krepis_endpoint *ep)
{
	const struct krepis_geometry *g = &ep->geometry;
	bool always = g->kind == KREPIS_TRIPLE || krepis_overwrites(ep), joined = false;
	uint64_t head = krepis_read(&ep->producer->head);
	int err = krepis_producer_peer(ep);
	uint32_t rest;

	if (err)
		return err == -ENOTCONN ? -EAGAIN : err;
	for (rest = krepis_live(ep); rest; rest &= rest - 1) {
		struct krepis_consumer *c = krepis_peer(ep, __builtin_ctz(rest));

		if (!always && !krepis_ring_has_room(head, c, g->ring_size, g->inline_max))
			return -EAGAIN;
		joined |= krepis_load_acquire(&c->joined) == 1;
	}
	return joined ? 0 : -EAGAIN;
}

static int ready(struct krepis_endpoint *ep, void *arg)
{
	(void)arg;
	if (krepis_read(&ep->bell->stop))
		return 0;
	return ep->role == KREPIS_PRODUCER ? producer_ready(ep) : consumer_ready(ep);
}

static void *bell_main(void *arg)
{
	struct krepis_endpoint *ep = arg;
	struct bell *bell = ep->bell;

	for (;;) {
		while (!krepis_load_acquire(&bell->armed) && !krepis_read(&bell->stop))
			syscall(SYS_futex, &bell->armed, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
		krepis_watch(ep, ready);
		if (krepis_read(&bell->stop))
			return NULL;
		/*
		 * A full barrier before the next look at @stop: who sets that and arms
		 * is seen there, or arms after this. Pairs with krepis_bell_destroy().
		 */
		krepis_xchg(&bell->armed, 0);
		/* There is room: the pipe is empty. */
		while (write(bell->fd[1], "", 1) < 0 && errno == EINTR)
			;
	}
}

static void set_armed(struct bell *bell)
{
	krepis_xchg(&bell->armed, 1);
	syscall(SYS_futex, &bell->armed, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* The thread, with the program's signals blocked: they are for the program's threads. */
static int start(struct krepis_endpoint *ep)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = -pthread_create(&ep->bell->thread, NULL, bell_main, ep);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

int krepis_bell_fd(struct krepis_endpoint *ep)
{
	struct bell *bell = ep->bell;
	int err;

	if (bell)
		return bell->fd[0];
	bell = calloc(1, sizeof(*bell));
	if (!bell)
		return -ENOMEM;
	bell->armed = 1;
	if (pipe2(bell->fd, O_CLOEXEC | O_NONBLOCK)) {
		err = -errno;
		goto err_free;
	}
	ep->bell = bell;
	err = start(ep);
	if (err)
		goto err_close;
	return bell->fd[0];

err_close:
	ep->bell = NULL;
	close(bell->fd[0]);
	close(bell->fd[1]);
err_free:
	free(bell);
	return err;
}

/* Only by the endpoint's thread. */
void krepis_bell_arm(struct krepis_endpoint *ep)
{
	struct bell *bell = ep->bell;
	char byte;

	if (krepis_load_acquire(&bell->armed))
		return;
	/* It was rung, or is just about to be: its byte must not be left behind. */
	while (read(bell->fd[0], &byte, 1) < 0 && (errno == EAGAIN || errno == EINTR))
		krepis_relax();
	set_armed(bell);
}

/* @forked: the thread is the parent's. */
void krepis_bell_destroy(struct krepis_endpoint *ep, bool forked)
{
	struct bell *bell = ep->bell;

	if (!forked) {
		krepis_write(&bell->stop, true);
		set_armed(bell);
		krepis_wake_local(ep);
		pthread_join(bell->thread, NULL);
	}
	close(bell->fd[0]);
	close(bell->fd[1]);
	ep->bell = NULL;
	free(bell);
}
