// SPDX-License-Identifier: MIT
/*
 * Wait sets. Who is ready is told by epoll, of endpoints that have a descriptor of the
 * module's, and else by the endpoint's bell (bell.c), which puts it in a list; an eventfd that epoll
 * watches is readable while there is somebody in it. Both are a hint: whether an
 * endpoint is ready, its own krepis_wait() says.
 *
 * Only the set's thread adds and removes members, and takes them out of the list.
 */
#include <krepis/waitset.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "internal.h"

/**
 * struct krepis_waitset - a set
 * @epoll:   the descriptor; its events carry a struct member, or &bell, or &list
 * @bell:    an eventfd for krepis_waitset_interrupt()
 * @list:    an eventfd that is readable, or about to be, while @rung is not empty
 * @owner:   the process; a forked child has no bells, and its parent's epoll
 * @eintr:   members whose waits a signal ends
 * @interrupted: seen and not yet told
 * @members: all of them
 * @lock:    protects @rung and @list
 * @rung:    members to be looked at
 */
struct krepis_waitset {
	int epoll;
	int bell;
	int list;
	pid_t owner;
	unsigned int eintr;
	bool interrupted;
	struct node members;
	pthread_mutex_t lock;
	struct node rung;
};

/* ----------------------------------------------------------------------- lists */

static void node_init(struct node *n)
{
	n->next = n;
	n->prev = n;
}

static bool node_alone(const struct node *n)
{
	return n->next == n;
}

/* Puts @n at the end of @list. */
static void node_append(struct node *list, struct node *n)
{
	n->next = list;
	n->prev = list->prev;
	list->prev->next = n;
	list->prev = n;
}

static void node_remove(struct node *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	node_init(n);
}

#define member_at(node, list) ((struct member *)((char *)(node) - offsetof(struct member, list)))

/* Makes an eventfd readable. It fails only at a count where it is in any case. */
static void eventfd_set(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* Return: whether it was readable. */
static bool eventfd_clear(int fd)
{
	uint64_t count;

	return read(fd, &count, sizeof(count)) > 0;
}

/* Return: whether the set has to be woken. */
bool krepis_member_ring(struct member *m)
{
	struct krepis_waitset *set = m->set;
	bool first;

	pthread_mutex_lock(&set->lock);
	first = node_alone(&set->rung);
	node_append(&set->rung, &m->rung);
	pthread_mutex_unlock(&set->lock);
	return first;
}

/* Without its lock. Who comes to an empty list by then clears @list, or finds it readable later. */
void krepis_member_wake(struct member *m)
{
	eventfd_set(m->set->list);
}

/* By the endpoint's thread, which is the set's. */
void krepis_member_unring(struct member *m)
{
	struct krepis_waitset *set = m->set;

	pthread_mutex_lock(&set->lock);
	if (!node_alone(&m->rung)) {
		node_remove(&m->rung);
		if (node_alone(&set->rung))
			eventfd_clear(set->list);
	}
	pthread_mutex_unlock(&set->lock);
}

/* --------------------------------------------------------------------- members */

/* Where the endpoint's list points to its member of @set, or to its end. */
static struct member **find(const struct krepis_waitset *set, struct krepis_endpoint *ep)
{
	struct member **p;

	for (p = &ep->members; *p && (*p)->set != set; p = &(*p)->next)
		;
	return p;
}

void krepis_member_link(struct member *m)
{
	m->next = m->endpoint->members;
	m->endpoint->members = m;
}

void krepis_member_unlink(struct member *m)
{
	*find(m->set, m->endpoint) = m->next;
}

static int epoll_add(int epoll, int fd, uint32_t events, void *data)
{
	struct epoll_event event = { .events = events, .data.ptr = data };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* By the endpoint's own descriptor, or its bell. */
static int join(struct member *m)
{
	struct krepis_endpoint *ep = m->endpoint;
	int fd, err;

	krepis_write(&ep->polled, true);
	if (!ep->backend->fd)
		return krepis_bell_join(m);
	fd = ep->backend->fd(ep);
	err = fd < 0 ? fd : epoll_add(m->set->epoll, fd, EPOLLIN | EPOLLOUT, m);
	if (!err)
		krepis_member_link(m);
	return err;
}

/* And frees it. In a forked child, what both processes have stays as it is. */
static void leave(struct member *m)
{
	struct krepis_endpoint *ep = m->endpoint;

	if (krepis_here(ep) && !ep->backend->fd) {
		krepis_bell_leave(m);
	} else {
		if (krepis_here(ep))
			epoll_ctl(m->set->epoll, EPOLL_CTL_DEL, ep->backend->fd(ep), NULL);
		krepis_member_unlink(m);
	}
	node_remove(&m->place);
	m->set->eintr -= !!(ep->flags & KREPIS_ATTACH_EINTR);
	free(m);
}

void krepis_members_drop(struct krepis_endpoint *ep)
{
	while (ep->members)
		leave(ep->members);
}

KREPIS_API int krepis_waitset_add(struct krepis_waitset *set, struct krepis_endpoint *ep,
				  void *data)
{
	struct member *m;
	int err;

	if (set->owner != getpid() || !krepis_here(ep))
		return -EBADF;
	if (*find(set, ep))
		return -EEXIST;
	m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	*m = (struct member){ .set = set, .endpoint = ep, .data = data };
	node_init(&m->rung);
	err = join(m);
	if (err) {
		free(m);
		return err;
	}
	node_append(&set->members, &m->place);
	set->eintr += !!(ep->flags & KREPIS_ATTACH_EINTR);
	return 0;
}

KREPIS_API int krepis_waitset_remove(struct krepis_waitset *set, struct krepis_endpoint *ep)
{
	struct member *m = *find(set, ep);

	if (!m)
		return -ENOENT;
	leave(m);
	return 0;
}

/* ---------------------------------------------------------------------- the set */

KREPIS_API int krepis_waitset_create(struct krepis_waitset **out)
{
	struct krepis_waitset *set = calloc(1, sizeof(*set));
	int err;

	if (!set)
		return -ENOMEM;
	node_init(&set->members);
	node_init(&set->rung);
	pthread_mutex_init(&set->lock, NULL);
	set->owner = getpid();
	set->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	set->list = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	set->epoll = epoll_create1(EPOLL_CLOEXEC);
	err = set->bell < 0 || set->list < 0 || set->epoll < 0 ? -errno : 0;
	if (!err)
		err = epoll_add(set->epoll, set->bell, EPOLLIN, &set->bell);
	if (!err)
		err = epoll_add(set->epoll, set->list, EPOLLIN, &set->list);
	if (err) {
		krepis_waitset_destroy(set);
		return err;
	}
	*out = set;
	return 0;
}

/* Milliseconds until @deadline, rounded up, as epoll_wait(2) takes them. */
static int timeout_of(int64_t deadline)
{
	int64_t now, left;

	if (deadline == KREPIS_FOREVER)
		return -1;
	now = krepis_deadline_ns(0);
	if (deadline <= now)
		return 0;
	left = (deadline - now - 1) / 1000000 + 1;
	return left < INT32_MAX ? (int)left : INT32_MAX;
}

/* Whether @m is ready; then it is told. */
static bool look(const struct member *m, struct krepis_ready *ready)
{
	int err = krepis_wait(m->endpoint, KREPIS_NOWAIT);

	/* Nobody has come yet: nothing to do. */
	if (err == -EAGAIN || err == -ENOTCONN)
		return false;
	*ready = (struct krepis_ready){ .endpoint = m->endpoint, .data = m->data, .err = err };
	return true;
}

/* Of those that a bell rang for, each once and in turn. Who is not ready leaves the list. */
static unsigned int settle_rung(struct krepis_waitset *set, struct krepis_ready *ready,
				unsigned int count)
{
	struct node *n = NULL, *last;
	unsigned int found = 0;

	pthread_mutex_lock(&set->lock);
	last = set->rung.prev;
	if (node_alone(&set->rung)) {
		eventfd_clear(set->list);
		last = NULL;
	}
	while (n != last && found < count) {
		n = set->rung.next;
		node_remove(n);
		node_append(&set->rung, n);
		pthread_mutex_unlock(&set->lock);
		found += look(member_at(n, rung), &ready[found]);
		pthread_mutex_lock(&set->lock);
	}
	pthread_mutex_unlock(&set->lock);
	return found;
}

/* Of the @n that epoll told, those that are ready: how many. */
static unsigned int settle(struct krepis_waitset *set, const struct epoll_event *events, int n,
			   struct krepis_ready *ready, unsigned int count)
{
	unsigned int found = 0;
	bool rung = false;
	int i;

	for (i = 0; i < n; i++) {
		void *what = events[i].data.ptr;

		if (what == &set->bell)
			set->interrupted |= eventfd_clear(set->bell);
		else if (what == &set->list)
			rung = true;
		else
			found += look(what, &ready[found]);
	}
	return rung ? found + settle_rung(set, ready + found, count - found) : found;
}

#define EVENTS 64

KREPIS_API int krepis_waitset_wait(struct krepis_waitset *set, struct krepis_ready *ready,
				   unsigned int count, int64_t deadline)
{
	struct epoll_event events[EVENTS];
	unsigned int found;
	int n;

	if (!count)
		return -EINVAL;
	if (set->owner != getpid())
		return -EBADF;
	for (;;) {
		if (set->interrupted) {
			set->interrupted = false;
			return -ECANCELED;
		}
		n = epoll_wait(set->epoll, events, count < EVENTS ? (int)count : EVENTS,
			       timeout_of(deadline));
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0 && set->eintr)
			return -EINTR;
		found = n > 0 ? settle(set, events, n, ready, count) : 0;
		if (found)
			return (int)found;
		if (set->interrupted)
			continue;
		if (deadline == KREPIS_NOWAIT)
			return -EAGAIN;
		if (deadline != KREPIS_FOREVER && krepis_deadline_ns(0) >= deadline)
			return -ETIMEDOUT;
	}
}

KREPIS_API void krepis_waitset_interrupt(struct krepis_waitset *set)
{
	int saved = errno;

	eventfd_set(set->bell);
	errno = saved;
}

KREPIS_API int krepis_waitset_fd(const struct krepis_waitset *set)
{
	return set->epoll;
}

KREPIS_API void krepis_waitset_destroy(struct krepis_waitset *set)
{
	if (!set)
		return;
	while (!node_alone(&set->members))
		leave(member_at(set->members.next, place));
	if (set->epoll >= 0)
		close(set->epoll);
	if (set->list >= 0)
		close(set->list);
	if (set->bell >= 0)
		close(set->bell);
	pthread_mutex_destroy(&set->lock);
	free(set);
}
