/* SPDX-License-Identifier: MIT */
/*
 * Calls made through io_uring.
 */
#ifndef _SANDBOX_RING_H
#define _SANDBOX_RING_H

#include <liburing.h>
#include "sandbox.h"

/* Submits what was prepared. Return: its result. */
static inline int ring_result(struct io_uring *ring)
{
	struct __kernel_timespec limit = { .tv_sec = 10 };
	struct io_uring_cqe *cqe;
	int err = io_uring_submit(ring);

	if (err < 0)
		return err;
	err = io_uring_wait_cqe_timeout(ring, &cqe, &limit);
	if (err)
		return err;
	err = cqe->res;
	io_uring_cqe_seen(ring, cqe);
	return err;
}

/* One call on a ring of its own: by_ring(connect, fd, &address, bytes) */
#define by_ring(call, ...) __extension__ ({					\
	struct io_uring _ring;							\
	int _err = io_uring_queue_init(4, &_ring, 0);				\
										\
	if (!_err) {								\
		io_uring_prep_##call(io_uring_get_sqe(&_ring), __VA_ARGS__);	\
		_err = ring_result(&_ring);					\
		io_uring_queue_exit(&_ring);					\
	}									\
	_err;									\
})

#endif /* _SANDBOX_RING_H */
