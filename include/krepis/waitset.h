/* SPDX-License-Identifier: MIT */
/*
 * Many endpoints, one wait.
 *
 * The conventions of krepis.h hold. A wait set belongs to one thread at a time,
 * which is also the thread of its endpoints; krepis_waitset_interrupt() may be
 * called from any thread and from a signal handler. In a forked child it can only be
 * destroyed: -EBADF. Without the module each endpoint in a set has a thread of the
 * library, which sleeps for it until krepis_detach().
 */
#ifndef _KREPIS_WAITSET_H
#define _KREPIS_WAITSET_H

#include <krepis/krepis.h>

#ifdef __cplusplus
extern "C" {
#endif

struct krepis_waitset;

/**
 * struct krepis_ready - an endpoint that has something to do
 * @endpoint: which
 * @data:     what was given with it
 * @err:      what krepis_wait() would say: 0, or -KREPIS_PEER_GONE, -EPROTO, ...
 * @reserved: 0
 */
struct krepis_ready {
	struct krepis_endpoint *endpoint;
	void *data;
	int err;
	int reserved;
};

/**
 * krepis_waitset_create - an empty set
 * @out: to be freed with krepis_waitset_destroy()
 *
 * Errors: -ENOMEM; -EMFILE.
 */
KREPIS_API int krepis_waitset_create(KREPIS_OWNED(krepis_waitset_destroy) struct krepis_waitset **out);

/**
 * krepis_waitset_add - waits for one more endpoint
 * @set:      the set
 * @endpoint: stays the caller's; krepis_detach() removes it
 * @data:     comes back in struct krepis_ready
 *
 * Errors: -EEXIST it is in the set; -ENOMEM; -ENOSPC too many for epoll(7); -EAGAIN too many
 * threads.
 */
KREPIS_API int krepis_waitset_add(struct krepis_waitset *set, struct krepis_endpoint *endpoint,
				  KREPIS_BORROWED void *data);

/**
 * krepis_waitset_remove - waits for one endpoint less
 * @set:      the set
 * @endpoint: from krepis_waitset_add()
 *
 * Errors: -ENOENT it is not in the set.
 */
KREPIS_API int krepis_waitset_remove(struct krepis_waitset *set,
				     struct krepis_endpoint *endpoint);

/**
 * krepis_waitset_wait - waits until one endpoint or more are ready
 * @set:      the set
 * @ready:    room for @count entries
 * @count:    1 or more
 * @deadline: see krepis.h; in steps of a millisecond, rounded up
 *
 * Level-triggered: who is ready and left alone is told again. A consumer is ready
 * with a message or a fresh value, a producer with room for a message of inline_max
 * bytes and somebody who reads it, both when their peer has gone or broke the channel.
 *
 * Return: how many, at least 1; -EAGAIN or -ETIMEDOUT none; -EINTR a signal, if an
 * endpoint of the set was attached with KREPIS_ATTACH_EINTR; -ECANCELED
 * krepis_waitset_interrupt(), told after those that were ready then; -EINVAL @count.
 * Without the module a thread of the library looks: what was sent an instant ago
 * may be missed under KREPIS_NOWAIT. Ends views of inline messages, as krepis_wait().
 */
KREPIS_API int krepis_waitset_wait(struct krepis_waitset *set,
				   KREPIS_ARRAY(count) KREPIS_BORROWED struct krepis_ready *ready,
				   unsigned int count, int64_t deadline);

/**
 * krepis_waitset_interrupt - ends the wait, or else the next one
 * @set: the set
 *
 * Async-signal-safe, and callable from any thread.
 */
KREPIS_API void krepis_waitset_interrupt(struct krepis_waitset *set);

/**
 * krepis_waitset_fd - the set's own descriptor, to wait for in another loop
 * @set: keeps it
 *
 * Return: readable while krepis_waitset_wait() might find somebody ready.
 */
KREPIS_API int krepis_waitset_fd(const struct krepis_waitset *set);

/**
 * krepis_waitset_destroy - frees the set, and none of its endpoints
 * @set: may be NULL
 */
KREPIS_API void krepis_waitset_destroy(KREPIS_NULLABLE KREPIS_CONSUMES struct krepis_waitset *set);

#ifdef __cplusplus
}
#endif

#endif /* _KREPIS_WAITSET_H */
