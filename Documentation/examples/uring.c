// SPDX-License-Identifier: MIT
/*
 * A consumer that waits and releases by io_uring: one multishot request tells of all
 * messages, and one request for many gives their buffers back. Needs -luring.
 */
#include <err.h>
#include <krepis/uring.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int check(int result, const char *what)
{
	if (result < 0)
		errx(1, "%s: %s", what, krepis_strerror(result));
	return result;
}

/* What it sends is too long for the ring: it goes into buffers. */
static int producer(struct krepis_channel *channel)
{
	static char data[10000];
	struct krepis_endpoint *out;

	check(krepis_attach(channel, KREPIS_PRODUCER, 0, &out), "krepis_attach");
	check(krepis_wait_peer(out, 1, krepis_deadline_ms(5000)), "krepis_wait_peer");
	for (int i = 0; i < 200; i++)
		check(krepis_send(out, 1, data, sizeof(data), KREPIS_FOREVER), "krepis_send");
	krepis_detach(out);
	return 0;
}

int main(void)
{
	int n = -EAGAIN, count, received = 0, released = 0;
	struct krepis_release_args args[8];
	struct krepis_channel *channel;
	struct krepis_endpoint *in;
	struct krepis_msg msgs[8];
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	struct io_uring ring;

	check(io_uring_queue_init(8, &ring, 0), "no io_uring here");
	check(krepis_channel_create(NULL, NULL, &channel), "krepis_channel_create");
	if (!check(fork(), "fork"))
		return producer(channel);
	check(krepis_attach(channel, KREPIS_CONSUMER, 0, &in), "krepis_attach");
	for (bool more = false; n == -EAGAIN; io_uring_cqe_seen(&ring, cqe)) {
		if (!more)
			check(krepis_uring_prep_ready(io_uring_get_sqe(&ring), in, true), "poll");
		check(io_uring_submit_and_wait(&ring, 1), "io_uring_submit_and_wait");
		check(io_uring_peek_cqe(&ring, &cqe), "io_uring_peek_cqe");
		check(cqe->res, "completion");
		more = cqe->flags & IORING_CQE_F_MORE;
		/* It tells of changes: so read until there is nothing. */
		while ((n = krepis_recv_batch(in, msgs, 8, KREPIS_NOWAIT)) > 0) {
			received += n;
			count = krepis_release_begin(in, msgs, (unsigned int)n, args);
			for (int i = 0; count < 0 && i < n; i++)
				check(krepis_release(in, &msgs[i]), "krepis_release");
			if (count < 0)
				continue;
			/* One request for all; until it is submitted, args must not change. */
			sqe = io_uring_get_sqe(&ring);
			check(krepis_uring_prep_release(sqe, in, args, (unsigned int)count), "release");
			io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
			check(io_uring_submit(&ring), "io_uring_submit");
			released += count;
		}
	}
	printf("%d received, %d released by io_uring%s\n", received, released,
	       released ? "" : ": the module is missing");
	io_uring_queue_exit(&ring);
	krepis_detach(in);
	krepis_channel_close(channel);
	return wait(NULL) < 0 || n != -KREPIS_PEER_GONE;
}
