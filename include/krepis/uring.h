/* SPDX-License-Identifier: MIT */
/*
 * io_uring and krepis: how to fill in liburing's submission queue entries.
 *
 * Nothing here submits or waits, and nothing is allocated. An argument that is
 * passed by address must stay as it is until the entry was submitted, or with
 * IORING_SETUP_SQPOLL or IOSQE_ASYNC until it completed.
 *
 * Set the user data afterwards: io_uring_sqe_set_data().
 */
#ifndef _KREPIS_URING_H
#define _KREPIS_URING_H

#include <liburing.h>
#include <poll.h>
#include <string.h>
#include <krepis/krepis.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * krepis_uring_prep_ready - completes when the endpoint is ready
 * @sqe:       the entry
 * @endpoint:  of any channel and role; krepis_fd() tells what ready means
 * @multishot: completes each time, until it is cancelled or IORING_CQE_F_MORE is
 *	       missing in a completion. It tells of changes: call until -EAGAIN
 *
 * The completion's result is a poll(2) mask or a negative errno: with POLLHUP the
 * other side has gone.
 *
 * Return: 0, or an error of krepis_fd() and nothing was prepared.
 */
static inline int krepis_uring_prep_ready(struct io_uring_sqe *sqe,
					  struct krepis_endpoint *endpoint, bool multishot)
{
	int fd = krepis_fd(endpoint);

	if (fd < 0)
		return fd;
	if (multishot)
		io_uring_prep_poll_multishot(sqe, fd, POLLIN | POLLOUT);
	else
		io_uring_prep_poll_add(sqe, fd, POLLIN | POLLOUT);
	return 0;
}

/**
 * krepis_uring_prep_command - a command of the module: one, or a batch
 * @sqe:   the entry
 * @fd:	   a channel's or an endpoint's descriptor
 * @cmd:   KREPIS_IOC_*
 * @args:  @count arguments in a row
 * @count: see struct krepis_uring
 *
 * The completion's result is as struct krepis_uring says.
 */
static inline void krepis_uring_prep_command(struct io_uring_sqe *sqe, int fd, unsigned int cmd,
					     const void *args, unsigned int count)
{
	struct krepis_uring area;

	memset(&area, 0, sizeof(area));
	area.args = (uint64_t)(uintptr_t)args;
	area.count = count;
	io_uring_prep_rw(IORING_OP_URING_CMD, sqe, fd, NULL, 0, 0);
	/* cmd_op, where liburing's header may not name it yet; it shares its place with off. */
	sqe->off = cmd;
	memcpy(&sqe->addr3, &area, sizeof(area));
}

/**
 * krepis_uring_prep_release - lets go of many buffers
 * @sqe:      the entry
 * @endpoint: the consumer's
 * @args:     from krepis_release_begin()
 * @count:    1 to KREPIS_MAX_BATCH
 *
 * The completion's result is how many were released.
 */
static inline int krepis_uring_prep_release(struct io_uring_sqe *sqe,
					    struct krepis_endpoint *endpoint,
					    const struct krepis_release_args *args,
					    unsigned int count)
{
	int fd = krepis_fd(endpoint);

	if (fd >= 0)
		krepis_uring_prep_command(sqe, fd, KREPIS_IOC_RELEASE, args, count);
	return fd < 0 ? fd : 0;
}

/**
 * krepis_uring_prep_handoff - hands many buffers over, by the kernel
 * @sqe:      the entry
 * @endpoint: the producer's, of a channel of the module
 * @args:     @count arguments. Records in the ring are not written by this
 * @count:    1 to KREPIS_MAX_BATCH
 *
 * The completion's result is how many were handed over.
 */
static inline int krepis_uring_prep_handoff(struct io_uring_sqe *sqe,
					    struct krepis_endpoint *endpoint,
					    const struct krepis_handoff *args, unsigned int count)
{
	int fd = krepis_fd(endpoint);

	if (fd >= 0)
		krepis_uring_prep_command(sqe, fd, KREPIS_IOC_HANDOFF, args, count);
	return fd < 0 ? fd : 0;
}

#ifdef __cplusplus
}
#endif

#endif /* _KREPIS_URING_H */
