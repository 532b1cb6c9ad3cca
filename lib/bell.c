// SPDX-License-Identifier: MIT
/*
 * Who is ready, where no module tells: a thread that sleeps on the endpoint's behalf.
 *
 *	armed	nobody was told; the next who publishes wakes the thread
 *	rung	something was seen: the endpoint stands in the lists of its wait sets, and a
 *		byte is in its pipe, if somebody asked for that. Until it is armed again, by
 *		a call of the endpoint's own thread that finds nothing
 *
 *	endpoint's thread		bell's thread
 *	1 take back what was told	1 remember the words to sleep on
 *	2 state = armed			2 armed? announce a sleep, look: anything? ring
 *	3 announce a sleep		3 sleep while the words are the same
 *	4 look: anything? ring
 *
 * So arming wakes nobody. Who publishes sees the announcement (wait.c) and changes a word that
 * the thread sleeps on; if it had changed before the thread remembered it, then the thread
 * finds the state armed. tests/model/bell.pml checks that nothing is lost.
 *
 * What is told after the endpoint's thread found nothing is always news, as who waits
 * for edges needs it. Who is told runs at once, perhaps on this processor: no lock that
 * he needs is held while he is woken.
 *
 * What the thread looks at are the shared words alone, and never what belongs to
 * the endpoint's thread: as the module's poll, kmod/wait.c. A forked child has no such
 * threads, and does not touch the locks of its parent's.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "internal.h"

enum { RUNG, ARMED };

/**
 * struct bell - one endpoint's
 * @telling: protects who is told, @fd and the endpoint's members, while they are told.
 *	     Then comes @lock, then a wait set's
 * @lock:    makes @state and the lists that the endpoint stands in change together
 * @state:   atomic
 * @hasty:   atomic: the thread's next sleep must not last
 * @stop:    atomic: the thread is to end
 * @fd:	     of a pipe, or -1. Its read end, unlike an eventfd, is never writable
 */
struct bell {
	pthread_t thread;
	pthread_mutex_t telling;
	pthread_mutex_t lock;
	uint32_t state;
	bool hasty;
	bool stop;
	int fd[2];
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
	return ep->role == KREPIS_PRODUCER ? producer_ready(ep) : consumer_ready(ep);
}

static void tell_pipe(struct bell *bell)
{
	/* There is room: the pipe is empty. */
	while (bell->fd[1] >= 0 && write(bell->fd[1], "", 1) < 0 && errno == EINTR)
		;
}

/* Any of the two threads: what both saw is told once. */
static void ring(struct krepis_endpoint *ep)
{
	struct bell *bell = ep->bell;
	struct member *m;
	bool told;

	pthread_mutex_lock(&bell->telling);
	pthread_mutex_lock(&bell->lock);
	told = krepis_read(&bell->state) == RUNG;
	/* Pairs with the first look of krepis_bell_arm(). */
	krepis_store_release(&bell->state, RUNG);
	for (m = told ? NULL : ep->members; m; m = m->next)
		m->first = krepis_member_ring(m);
	pthread_mutex_unlock(&bell->lock);
	for (m = told ? NULL : ep->members; m; m = m->next)
		if (m->first)
			krepis_member_wake(m);
	if (!told)
		tell_pipe(bell);
	pthread_mutex_unlock(&bell->telling);
}

static void *bell_main(void *arg)
{
	struct krepis_endpoint *ep = arg;
	struct bell *bell = ep->bell;
	struct krepis_sleep sleep;

	for (;;) {
		bool lasts = true, hasty;

		/*
		 * Pairs with who changes a word: the publisher, and krepis_wake_local() after
		 * @hasty or @stop was written. What they had written is seen below.
		 */
		ep->backend->prepare(ep, &sleep);
		if (krepis_read(&bell->stop))
			return NULL;
		hasty = __atomic_exchange_n(&bell->hasty, false, __ATOMIC_RELAXED);
		/* Pairs with krepis_bell_arm(). */
		if (krepis_load_acquire(&bell->state) == RUNG)
			ready(ep, NULL);	/* sweeps, and with that wakes, who else sleeps */
		else if (krepis_watch(ep, ready, &lasts) != -EAGAIN)
			ring(ep);
		ep->backend->sleep(ep, &sleep, lasts && !hasty ? KREPIS_FOREVER :
				   krepis_deadline_ns(KREPIS_SLICE_NS));
	}
}

static int bell_create(struct krepis_endpoint *ep)
{
	struct bell *bell = calloc(1, sizeof(*bell));
	int err;

	if (!bell)
		return -ENOMEM;
	*bell = (struct bell){ .state = ARMED, .fd = { -1, -1 } };
	pthread_mutex_init(&bell->telling, NULL);
	pthread_mutex_init(&bell->lock, NULL);
	ep->bell = bell;
	err = krepis_thread_start(&bell->thread, bell_main, ep);
	if (err) {
		ep->bell = NULL;
		free(bell);
	}
	return err;
}

int krepis_bell_fd(struct krepis_endpoint *ep)
{
	int fd[2], err = ep->bell ? 0 : bell_create(ep);
	struct bell *bell = ep->bell;

	if (err)
		return err;
	if (bell->fd[0] >= 0)
		return bell->fd[0];
	if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	pthread_mutex_lock(&bell->telling);
	bell->fd[0] = fd[0];
	bell->fd[1] = fd[1];
	if (krepis_read(&bell->state) == RUNG)
		tell_pipe(bell);
	pthread_mutex_unlock(&bell->telling);
	return fd[0];
}

int krepis_bell_join(struct member *m)
{
	struct krepis_endpoint *ep = m->endpoint;
	int err = ep->bell ? 0 : bell_create(ep);

	if (err)
		return err;
	pthread_mutex_lock(&ep->bell->telling);
	krepis_member_link(m);
	if (krepis_read(&ep->bell->state) == RUNG && krepis_member_ring(m))
		krepis_member_wake(m);
	pthread_mutex_unlock(&ep->bell->telling);
	return 0;
}

void krepis_bell_leave(struct member *m)
{
	struct bell *bell = m->endpoint->bell;

	pthread_mutex_lock(&bell->telling);
	krepis_member_unlink(m);
	krepis_member_unring(m);
	pthread_mutex_unlock(&bell->telling);
}

/* Only by the endpoint's thread. */
void krepis_bell_arm(struct krepis_endpoint *ep)
{
	struct bell *bell = ep->bell;
	struct member *m;
	bool lasts;
	char byte;

	/* Pairs with ring(). */
	if (krepis_load_acquire(&bell->state) == ARMED)
		return;
	pthread_mutex_lock(&bell->lock);
	for (m = ep->members; m; m = m->next)
		krepis_member_unring(m);
	/* The byte is there, or is just about to be: it must not be left behind. */
	while (bell->fd[0] >= 0 && read(bell->fd[0], &byte, 1) < 0 &&
	       (errno == EAGAIN || errno == EINTR))
		krepis_relax();
	/* Pairs with bell_main(). */
	krepis_store_release(&bell->state, ARMED);
	pthread_mutex_unlock(&bell->lock);
	if (krepis_watch(ep, ready, &lasts) != -EAGAIN) {
		ring(ep);
	} else if (!lasts) {
		krepis_write(&bell->hasty, true);
		krepis_wake_local(ep);
	}
}

/* @forked: the thread is the parent's. */
void krepis_bell_destroy(struct krepis_endpoint *ep, bool forked)
{
	struct bell *bell = ep->bell;

	if (!forked) {
		krepis_write(&bell->stop, true);
		krepis_wake_local(ep);
		pthread_join(bell->thread, NULL);
	}
	if (bell->fd[0] >= 0) {
		close(bell->fd[0]);
		close(bell->fd[1]);
	}
	ep->bell = NULL;
	free(bell);
}
