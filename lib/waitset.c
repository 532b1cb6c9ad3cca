// SPDX-License-Identifier: MIT
/*
 * Wait sets: epoll over the endpoints' descriptors. What epoll tells is a hint;
 * whether an endpoint is ready, its own krepis_wait() says.
 */
#include <krepis/waitset.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "internal.h"

/**
 * struct member - an endpoint of the set
 * @next: in the list of all
 */
struct member {
	struct member *next;
	struct krepis_endpoint *endpoint;
	void *data;
};

/**
 * struct krepis_waitset - a set
 * @epoll:   the descriptor; its events carry a struct member, or NULL for @bell
 * @bell:    an eventfd for krepis_waitset_interrupt()
 * @eintr:   members whose waits a signal ends
 * @interrupted: seen and not yet told
 */
struct krepis_waitset {
	int epoll;
	int bell;
	unsigned int eintr;
	bool interrupted;
	struct member *members;
};

KREPIS_API int krepis_waitset_create(struct krepis_waitset **out)
{
	struct krepis_waitset *set = calloc(1, sizeof(*set));
	struct epoll_event event = { .events = EPOLLIN };
	int err;

	if (!set)
		return -ENOMEM;
	set->epoll = epoll_create1(EPOLL_CLOEXEC);
	set->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (set->epoll < 0 || set->bell < 0 ||
	    epoll_ctl(set->epoll, EPOLL_CTL_ADD, set->bell, &event)) {
		err = -errno;
		krepis_waitset_destroy(set);
		return err;
	}
	*out = set;
	return 0;
}

/* Where the list points to @ep's member, or to its end. */
static struct member **find(struct krepis_waitset *set, const struct krepis_endpoint *ep)
{
	struct member **p;

	for (p = &set->members; *p && (*p)->endpoint != ep; p = &(*p)->next)
		;
	return p;
}

KREPIS_API int krepis_waitset_add(struct krepis_waitset *set, struct krepis_endpoint *ep,
				  void *data)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT };
	int fd = krepis_fd(ep);
	struct member *m;

	if (fd < 0)
		return fd;
	m = malloc(sizeof(*m));
	if (!m)
		return -ENOMEM;
	event.data.ptr = m;
	if (epoll_ctl(set->epoll, EPOLL_CTL_ADD, fd, &event)) {
		free(m);
		return -errno;
	}
	*m = (struct member){ .next = set->members, .endpoint = ep, .data = data };
	set->members = m;
	set->eintr += !!(ep->flags & KREPIS_ATTACH_EINTR);
	return 0;
}

KREPIS_API int krepis_waitset_remove(struct krepis_waitset *set, struct krepis_endpoint *ep)
{
	struct member **p = find(set, ep), *m = *p;

	if (!m)
		return -ENOENT;
	epoll_ctl(set->epoll, EPOLL_CTL_DEL, krepis_fd(ep), NULL);
	*p = m->next;
	set->eintr -= !!(ep->flags & KREPIS_ATTACH_EINTR);
	free(m);
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

/* Of the @n that epoll told, those that are ready: how many. */
static int settle(struct krepis_waitset *set, const struct epoll_event *events, int n,
		  struct krepis_ready *ready)
{
	int i, count = 0;
	uint64_t rings;

	for (i = 0; i < n; i++) {
		struct member *m = events[i].data.ptr;
		int err;

		if (!m) {
			set->interrupted |= read(set->bell, &rings, sizeof(rings)) > 0;
			continue;
		}
		err = krepis_wait(m->endpoint, KREPIS_NOWAIT);
		/* Nobody has come yet: nothing to do. */
		if (err == -EAGAIN || err == -ENOTCONN)
			continue;
		ready[count++] = (struct krepis_ready){
			.endpoint = m->endpoint, .data = m->data, .err = err,
		};
	}
	return count;
}

#define EVENTS 64

KREPIS_API int krepis_waitset_wait(struct krepis_waitset *set, struct krepis_ready *ready,
				   unsigned int count, int64_t deadline)
{
	struct epoll_event events[EVENTS];
	int n;

	if (!count)
		return -EINVAL;
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
		n = n > 0 ? settle(set, events, n, ready) : 0;
		if (n)
			return n;
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
	uint64_t one = 1;

	/* It fails only at a count where the bell rings anyway. */
	if (write(set->bell, &one, sizeof(one)) < 0)
		errno = saved;
	errno = saved;
}

KREPIS_API int krepis_waitset_fd(const struct krepis_waitset *set)
{
	return set->epoll;
}

KREPIS_API void krepis_waitset_destroy(struct krepis_waitset *set)
{
	struct member *m;

	if (!set)
		return;
	while ((m = set->members)) {
		set->members = m->next;
		free(m);
	}
	if (set->epoll >= 0)
		close(set->epoll);
	if (set->bell >= 0)
		close(set->bell);
	free(set);
}
