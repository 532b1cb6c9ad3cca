/* SPDX-License-Identifier: MIT */
/*
 * Death at every instruction: the children, and what the victim dies in.
 */
#ifndef _STRESS_VICTIM_H
#define _STRESS_VICTIM_H

#include "step.h"

/* ------------------------------------------------------------ children and survivor */

static int send_small(struct krepis_endpoint *ep, uint64_t seq)
{
	message_fill(small, life, seq, SMALL);
	return krepis_send(ep, 1, small, SMALL, KREPIS_NOWAIT);
}

static int send_large(struct krepis_endpoint *ep, uint64_t seq)
{
	struct krepis_buffer *buffer;
	int err = krepis_acquire(ep, &buffer, KREPIS_NOWAIT);

	if (err)
		return err;
	message_fill(krepis_buffer_data(buffer), life, seq, LARGE);
	err = krepis_publish(ep, buffer, 1, LARGE, 0, KREPIS_NOWAIT);
	if (err)
		krepis_abandon(ep, buffer);
	return err;
}

static int send_triple(struct krepis_endpoint *ep, uint64_t seq)
{
	void *data;
	int err = krepis_triple_begin(ep, &data);

	if (err)
		return err;
	message_fill(data, life, seq, LARGE);
	return krepis_triple_commit(ep, 1, LARGE);
}

static bool triple(void)
{
	return op->options->kind == KREPIS_TRIPLE;
}

/* -------------------------------------------------------------------- the children */

static void produce(void)
{
	SUCCEED(triple() ? send_triple(mine, 0) : send_small(mine, 0));
	board->sent = 1;
	if (triple())
		return;
	SUCCEED(send_large(mine, 1));
	SUCCEED(send_large(mine, 2));
	board->sent = 3;
}

static void __attribute__((noreturn))
play(enum krepis_role role, bool attached, void (*act)(void), void (*operate)(void))
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		fail("ptrace is forbidden: %s", strerror(errno));
	if (attached)
		SUCCEED(krepis_attach(channel, role, KREPIS_ATTACH_NO_SPIN, &mine));
	mark();
	if (act && role == KREPIS_PRODUCER)
		act();
	mark();
	if (act && role == KREPIS_CONSUMER)
		act();
	mark();
	operate();
	mark();
	_exit(0);
}

static void spawn(pid_t *pid, enum krepis_role role, bool attached, void (*act)(void),
		  void (*operate)(void))
{
	void *options = (void *)(PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	pid_t child = fork();

	REQUIRE(child >= 0, "fork: %s", strerror(errno));
	if (!child)
		play(role, attached, act, operate);
	*pid = child;
	stopped(pid);
	REQUIRE(!ptrace(PTRACE_SETOPTIONS, child, NULL, options), "ptrace: %s", strerror(errno));
}

static void do_nothing(void)
{
}

static void before_send(void)
{
	produce();
	message_fill(small, life, board->sent, SMALL);
}

static void do_send(void)
{
	board->err = krepis_send(mine, 1, small, SMALL, KREPIS_NOWAIT);
}

static void before_publish(void)
{
	produce();
	SUCCEED(krepis_acquire(mine, &filled, KREPIS_NOWAIT));
	message_fill(krepis_buffer_data(filled), life, board->sent, LARGE);
}

static void do_publish(void)
{
	board->err = krepis_publish(mine, filled, 1, LARGE, KREPIS_MSG_CRC32C, KREPIS_NOWAIT);
}

/* Fills the ring to the last byte; its oldest record names a buffer. */
static void before_evict(void)
{
	SUCCEED(send_large(mine, 0));
	for (board->sent = 1; board->sent < FULL; board->sent++)
		SUCCEED(send_small(mine, board->sent));
	message_fill(small, life, FULL, SMALL);
}

static void do_attach(void)
{
	board->err = krepis_attach(channel, op->victim, KREPIS_ATTACH_NO_SPIN, &mine);
}

/* One message is committed and not flushed: detaching makes it visible. */
static void before_leave(void)
{
	void *data;

	produce();
	SUCCEED(krepis_send_begin(mine, SMALL, &data, KREPIS_NOWAIT));
	message_fill(data, life, board->sent, SMALL);
	SUCCEED(krepis_send_commit(mine, 1, SMALL));
}

static void before_hold(void)
{
	SUCCEED(krepis_recv(mine, &taken, KREPIS_NOWAIT));
}

static void do_detach(void)
{
	krepis_detach(mine);
}

static void do_recv(void)
{
	board->err = krepis_recv(mine, &taken, KREPIS_NOWAIT);
	if (!board->err)
		board->err = krepis_release(mine, &taken);
}

/* Looks who is there, finds one who died, and cleans up. */
static void do_sweep(void)
{
	krepis_wait_peer(mine, 1, KREPIS_NOWAIT);
}

static void before_commit(void)
{
	void *data;

	produce();
	SUCCEED(krepis_triple_begin(mine, &data));
	message_fill(data, life, board->sent, LARGE);
}

static void do_commit(void)
{
	board->err = krepis_triple_commit(mine, 1, LARGE);
}

static void do_read(void)
{
	board->err = krepis_triple_read(mine, &taken);
}

#endif /* _STRESS_VICTIM_H */
