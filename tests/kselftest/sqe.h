/* SPDX-License-Identifier: MIT */
/*
 * As much of io_uring as the self tests need: one thread, one ring, and what the
 * system's header may be too old for.
 */
#ifndef _KSELFTEST_SQE_H
#define _KSELFTEST_SQE_H

#include <linux/io_uring.h>
#include "util.h"

/* Since Linux 6.7. */
#define OP_FUTEX_WAIT	51
#define FUTEX2_U32	2

struct ring {
	int fd;
	struct io_uring_params params;
	char *rings;
	size_t rings_size;
	struct io_uring_sqe *sqes;
	unsigned int filled;
};

/* @flags: IORING_SETUP_*. Return: 0, or -errno. */
int ring_open(struct ring *r, unsigned int entries, __u32 flags);
void ring_close(struct ring *r);
/* A cleared entry, which goes with the next ring_submit(). */
struct io_uring_sqe *ring_next(struct ring *r, __u8 op, int fd, __u64 user_data);
/* Return: how many were taken, or -errno. */
int ring_submit(struct ring *r);
/* Takes one completion within @ms. Return: whether there was one. */
bool ring_reap(struct ring *r, struct io_uring_cqe *cqe, int ms);
/* A krepis command: @count arguments at @args. */
struct io_uring_sqe *ring_command(struct ring *r, int fd, __u32 cmd, const void *args,
				  __u32 count, __u64 user_data);
/* One command, until its result. -ETIME if there is none in ten seconds. */
int ring_run(struct ring *r, int fd, __u32 cmd, const void *args, __u32 count, __u8 flags);

#endif /* _KSELFTEST_SQE_H */
