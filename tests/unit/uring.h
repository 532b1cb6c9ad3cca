/* SPDX-License-Identifier: MIT */
/*
 * What the programs about io_uring share: a ring, its completions, and channels to use
 * with it.
 */
#ifndef KREPIS_TEST_URING_H
#define KREPIS_TEST_URING_H

#include <krepis/uring.h>
#include "helpers.h"

#define LARGE 2000	/* goes into a buffer */
#define BATCH 32

static struct io_uring ring;

/* Begins every claim: where io_uring is refused there is nothing to claim. */
static inline void open_ring(void)
{
	int err = io_uring_queue_init(64, &ring, 0);

	if (err == -EPERM || err == -ENOSYS || err == -EACCES) {
		print_message("io_uring_queue_init: %s\n", strerror(-err));
		skip();
	}
	assert_ok(err);
}

static inline void close_ring(void)
{
	io_uring_queue_exit(&ring);
}

/* Buffers enough for a batch, and messages of LARGE bytes go into them. */
static inline struct pair open_pool(void)
{
	return open_pair(OPTIONS(.ring_size = 65536, .inline_max = 64, .buffer_size = 4096,
				 .buffer_count = BATCH));
}

static inline struct io_uring_sqe *entry(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	must(sqe);
	return sqe;
}

static inline void submit(struct io_uring_sqe *sqe, uint64_t tag)
{
	io_uring_sqe_set_data64(sqe, tag);
	must(io_uring_submit(&ring) == 1);
}

/* What a completion says. */
struct completion {
	uint64_t user_data;
	int res;
	unsigned int flags;
};

/* The next one; none at all has res -ETIME. */
static inline struct completion completion_within(int ms)
{
	struct __kernel_timespec timeout = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * MS };
	struct io_uring_cqe *cqe;
	struct completion copy = { .res = -ETIME };
	int err;

	do {
		err = io_uring_wait_cqe_timeout(&ring, &cqe, &timeout);
	} while (err == -EINTR);
	if (err)
		return copy;
	copy.user_data = cqe->user_data;
	copy.res = cqe->res;
	copy.flags = cqe->flags;
	io_uring_cqe_seen(&ring, cqe);
	return copy;
}

static inline struct completion completion(void)
{
	return completion_within(20000);
}

static inline bool quiet(void)
{
	return completion_within(20).res == -ETIME;
}

static inline void watch(struct krepis_endpoint *ep, bool multishot, uint64_t tag)
{
	struct io_uring_sqe *sqe = entry();

	must(!krepis_uring_prep_ready(sqe, ep, multishot));
	submit(sqe, tag);
}

#endif /* KREPIS_TEST_URING_H */
