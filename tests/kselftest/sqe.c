// SPDX-License-Identifier: MIT
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sqe.h"

/* struct io_uring_sqe.cmd and .cmd_op, which some headers lack. */
#define SQE_CMD		48
#define SQE_CMD_OP	8

static __u32 *word(struct ring *r, __u32 offset)
{
	return (__u32 *)(r->rings + offset);
}

int ring_open(struct ring *r, unsigned int entries, __u32 flags)
{
	const struct io_uring_params *p = &r->params;
	void *rings, *sqes;

	*r = (struct ring) { .params.flags = flags, .params.sq_thread_idle = 10 };
	r->fd = (int)syscall(__NR_io_uring_setup, entries, &r->params);
	if (r->fd < 0)
		return -errno;
	r->rings_size = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	if (r->rings_size < p->sq_off.array + p->sq_entries * sizeof(__u32))
		r->rings_size = p->sq_off.array + p->sq_entries * sizeof(__u32);
	rings = mmap(NULL, r->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, r->fd,
		     IORING_OFF_SQ_RING);
	sqes = mmap(NULL, p->sq_entries * sizeof(struct io_uring_sqe), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, r->fd, IORING_OFF_SQES);
	if (rings == MAP_FAILED || sqes == MAP_FAILED)
		return -errno;
	r->rings = rings;
	r->sqes = sqes;
	return 0;
}

void ring_close(struct ring *r)
{
	munmap(r->rings, r->rings_size);
	munmap(r->sqes, r->params.sq_entries * sizeof(struct io_uring_sqe));
	close(r->fd);
}

struct io_uring_sqe *ring_next(struct ring *r, __u8 op, int fd, __u64 user_data)
{
	__u32 *tail = word(r, r->params.sq_off.tail);
	__u32 index = (*tail + r->filled++) & (r->params.sq_entries - 1);
	struct io_uring_sqe *sqe = &r->sqes[index];

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = op;
	sqe->fd = fd;
	sqe->user_data = user_data;
	word(r, r->params.sq_off.array)[index] = index;
	return sqe;
}

static unsigned int enter_flags(const struct ring *r)
{
	return r->params.flags & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0;
}

int ring_submit(struct ring *r)
{
	__u32 *tail = word(r, r->params.sq_off.tail), n = r->filled;
	long taken;

	krepis_store_release(tail, *tail + n);
	r->filled = 0;
	taken = syscall(__NR_io_uring_enter, r->fd, n, 0, enter_flags(r), NULL, 0);
	return taken < 0 ? -errno : (int)taken;
}

bool ring_reap(struct ring *r, struct io_uring_cqe *cqe, int ms)
{
	__u32 *head = word(r, r->params.cq_off.head), *tail = word(r, r->params.cq_off.tail);
	const struct io_uring_cqe *cqes = (void *)(r->rings + r->params.cq_off.cqes);
	__s64 end = in_ms(ms);

	while (*head == krepis_load_acquire(tail)) {
		if (now_ns() >= end)
			return false;
		/* Runs what is completed in this thread. */
		syscall(__NR_io_uring_enter, r->fd, 0, 0, IORING_ENTER_GETEVENTS, NULL, 0);
		pause_ms(1);
	}
	*cqe = cqes[*head & (r->params.cq_entries - 1)];
	krepis_store_release(head, *head + 1);
	return true;
}

struct io_uring_sqe *ring_command(struct ring *r, int fd, __u32 cmd, const void *args,
				  __u32 count, __u64 user_data)
{
	struct krepis_uring area = { .args = (uintptr_t)args, .count = count };
	struct io_uring_sqe *sqe = ring_next(r, IORING_OP_URING_CMD, fd, user_data);

	memcpy((char *)sqe + SQE_CMD_OP, &cmd, sizeof(cmd));
	memcpy((char *)sqe + SQE_CMD, &area, sizeof(area));
	return sqe;
}

int ring_run(struct ring *r, int fd, __u32 cmd, const void *args, __u32 count, __u8 flags)
{
	struct io_uring_cqe cqe;

	ring_command(r, fd, cmd, args, count, 0)->flags |= flags;
	if (ring_submit(r) != 1 || !ring_reap(r, &cqe, 10000))
		return -ETIME;
	return cqe.res;
}
