// SPDX-License-Identifier: MIT
/*
 * io_uring: readiness and room as completions on both backends, and whichever of ring
 * and endpoint ends first.
 */
#include "helpers.h"
#include "uring.h"

static void watch_room(struct krepis_endpoint *ep, uint64_t tag)
{
	struct io_uring_sqe *sqe = entry();

	must(!krepis_uring_prep_ready(sqe, ep, false));
	submit(sqe, tag);
}

static unsigned int drain(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;
	unsigned int n;
	int err;

	for (n = 0; !(err = krepis_recv(consumer, &msg, KREPIS_NOWAIT)); n++)
		must(!krepis_release(consumer, &msg));
	must(err == -EAGAIN);
	return n;
}

/* ------------------------------------------------------------------------- readiness */

static void a_message_completes_a_single_poll_once(void **state)
{
	struct completion cqe;
	struct pair p;

	(void)state;
	open_ring();
	p = open_pool();
	for (uint64_t round = 0; round < 3; round++) {
		watch(p.consumer, false, round);
		assert_true(quiet());
		send_one(p.producer);
		cqe = completion();
		assert_int_equal(cqe.user_data, round);
		assert_int_equal(cqe.res & POLLIN, POLLIN);
		assert_false(cqe.flags & IORING_CQE_F_MORE);
		send_one(p.producer);
		assert_true(quiet());
		assert_int_equal(drain(p.consumer), 2);
	}
	close_pair(&p);
	close_ring();
}

static void what_is_there_completes_at_once(void **state)
{
	struct pair p;

	(void)state;
	open_ring();
	p = open_pool();
	send_one(p.producer);
	watch(p.consumer, false, 1);
	assert_true(completion().res & POLLIN);
	watch(p.consumer, true, 2);
	assert_true(completion().res & POLLIN);
	close_ring();
	close_pair(&p);
}

static void a_multishot_poll_tells_of_each_message(void **state)
{
	struct completion cqe;
	struct pair p;

	(void)state;
	open_ring();
	p = open_pool();
	watch(p.consumer, true, 5);
	for (int round = 0; round < 20; round++) {
		assert_true(quiet());
		send_one(p.producer);
		cqe = completion();
		assert_int_equal(cqe.user_data, 5);
		assert_true(cqe.res & POLLIN);
		assert_true(cqe.flags & IORING_CQE_F_MORE);
		assert_int_equal(drain(p.consumer), 1);
	}
	close_ring();
	close_pair(&p);
}

static void a_fresh_value_completes(void **state)
{
	struct krepis_msg msg;
	struct pair p;
	void *value;

	(void)state;
	open_ring();
	p = open_pair(SMALL_TRIPLE);
	watch(p.consumer, true, 1);
	for (int round = 0; round < 5; round++) {
		assert_true(quiet());
		must(!krepis_triple_begin(p.producer, &value));
		must(!krepis_triple_commit(p.producer, 1, 8));
		assert_true(completion().res & POLLIN);
		do {
			assert_ok(krepis_triple_read(p.consumer, &msg));
		} while (msg.flags & KREPIS_MSG_FRESH);
	}
	close_ring();
	close_pair(&p);
}

static void the_end_of_the_producer_completes(void **state)
{
	struct completion cqe;
	struct pair p;

	(void)state;
	open_ring();
	p = open_pool();
	watch(p.consumer, false, 1);
	assert_true(quiet());
	krepis_detach(p.producer);
	p.producer = NULL;
	cqe = completion();
	assert_true(cqe.res > 0 && cqe.res & (on_kmod() ? POLLHUP : POLLIN));
	close_ring();
	close_pair(&p);
}

static void two_endpoints_share_a_ring(void **state)
{
	struct pair a, b;

	(void)state;
	open_ring();
	a = open_pool();
	b = open_pool();
	watch(a.consumer, true, 1);
	watch(b.consumer, true, 2);
	for (int round = 0; round < 5; round++) {
		send_one(b.producer);
		assert_int_equal(completion().user_data, 2);
		assert_int_equal(drain(b.consumer), 1);
		send_one(a.producer);
		assert_int_equal(completion().user_data, 1);
		assert_int_equal(drain(a.consumer), 1);
	}
	assert_true(quiet());
	close_ring();
	close_pair(&a);
	close_pair(&b);
}

struct flow {
	struct krepis_channel *channel;
	unsigned int count;
};

static void sending_child(void *arg)
{
	struct flow *f = arg;
	struct krepis_endpoint *producer = attach_inherited(f->channel, KREPIS_PRODUCER, 0);

	must(!krepis_wait_peer(producer, 1, SOON));
	for (unsigned int i = 0; i < f->count; i++) {
		if (!random_below(6))
			nap();
		must(!krepis_send(producer, 1, &i, sizeof(i), SOON));
	}
	/* Only the messages shall tell. */
	stay();
}

static void a_loop_loses_nothing(bool multishot)
{
	struct krepis_endpoint *consumer;
	struct flow flow;
	unsigned int n = 0;
	pid_t child;

	open_ring();
	flow = (struct flow){ anonymous(SMALL_RING()), rounds(10000) };
	child = spawn(sending_child, &flow);
	consumer = attach(flow.channel, KREPIS_CONSUMER, 0);
	watch(consumer, multishot, 1);
	while (n < flow.count) {
		struct completion cqe = completion();
		struct krepis_msg msg;
		unsigned int found;

		assert_true(cqe.res > 0);
		while (!krepis_recv(consumer, &msg, KREPIS_NOWAIT)) {
			memcpy(&found, msg.data, sizeof(found));
			assert_int_equal(found, n++);
			assert_ok(krepis_release(consumer, &msg));
		}
		if (!(cqe.flags & IORING_CQE_F_MORE))
			watch(consumer, multishot, 1);
	}
	kill_child(child);
	close_ring();
	krepis_detach(consumer);
	krepis_channel_close(flow.channel);
}

static void a_multishot_loop_loses_nothing(void **state)
{
	(void)state;
	a_loop_loses_nothing(true);
}

static void a_loop_of_single_polls_loses_nothing(void **state)
{
	(void)state;
	a_loop_loses_nothing(false);
}

static void unprepared_child(void *arg)
{
	struct krepis_release_args args = { .size = sizeof(args) };
	struct krepis_handoff handoff = { .size = sizeof(handoff) };
	struct io_uring_sqe sqe, before;
	struct pair *p = arg;

	memset(&sqe, 0x55, sizeof(sqe));
	before = sqe;
	must(krepis_uring_prep_ready(&sqe, p->consumer, true) == -EBADF);
	must(krepis_uring_prep_ready(&sqe, p->producer, false) == -EBADF);
	must(krepis_uring_prep_release(&sqe, p->consumer, &args, 1) == -EBADF);
	must(krepis_uring_prep_handoff(&sqe, p->producer, &handoff, 1) == -EBADF);
	must(!memcmp(&sqe, &before, sizeof(sqe)));
}

static void a_forked_child_prepares_nothing(void **state)
{
	struct pair p = open_pool();

	(void)state;
	join_child(spawn(unprepared_child, &p));
	close_pair(&p);
}

/* ------------------------------------------------------------------------------ room */

static void room_completes(void **state)
{
	struct pair p;

	(void)state;
	open_ring();
	p = open_pair(SMALL_RING());
	for (int round = 0; round < 3; round++) {
		send_until_full(p.producer, 1, 0);
		watch_room(p.producer, 7);
		assert_true(quiet());
		drain(p.consumer);
		assert_true(completion().res > 0);
	}
	close_ring();
	close_pair(&p);
}

static void the_first_consumer_completes(void **state)
{
	struct krepis_channel *channel;
	struct krepis_endpoint *producer, *consumer;

	(void)state;
	open_ring();
	channel = anonymous(SMALL_RING());
	producer = attach(channel, KREPIS_PRODUCER, 0);
	watch_room(producer, 1);
	assert_true(quiet());
	consumer = attach(channel, KREPIS_CONSUMER, 0);
	assert_true(completion().res > 0);
	close_ring();
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void the_end_of_the_consumer_completes(void **state)
{
	struct pair p;

	(void)state;
	open_ring();
	p = open_pair(SMALL_RING());
	send_until_full(p.producer, 1, 0);
	watch_room(p.producer, 1);
	assert_true(quiet());
	krepis_detach(p.consumer);
	p.consumer = NULL;
	assert_true(completion().res > 0);
	close_ring();
	close_pair(&p);
}

/* --------------------------------------------------------------------------- the end */

static void a_poll_can_be_cancelled(void **state)
{
	struct io_uring_sqe *sqe;
	struct pair p;

	(void)state;
	open_ring();
	p = open_pool();
	for (int multishot = 0; multishot < 2; multishot++) {
		int poll = 0, cancel = -1;

		watch(p.consumer, multishot, 1);
		assert_true(quiet());
		sqe = entry();
		io_uring_prep_cancel64(sqe, 1, 0);
		submit(sqe, 2);
		for (int i = 0; i < 2; i++) {
			struct completion cqe = completion();

			*(cqe.user_data == 1 ? &poll : &cancel) = cqe.res;
		}
		assert_int_equal(poll, -ECANCELED);
		assert_int_equal(cancel, 0);
		send_one(p.producer);
		assert_true(quiet());
		watch(p.consumer, false, 3);
		assert_true(completion().res & POLLIN);
		assert_int_equal(drain(p.consumer), 1);
	}
	close_ring();
	close_pair(&p);
}

static void a_ring_may_end_before_its_endpoints(void **state)
{
	unsigned int fds = open_fds(), running = threads();

	(void)state;
	for (unsigned int round = 0; round < rounds(100); round++) {
		struct pair p;

		open_ring();
		p = open_pool();
		watch(p.consumer, true, 1);
		close_ring();
		send_one(p.producer);
		assert_int_equal(drain(p.consumer), 1);
		close_pair(&p);
	}
	assert_int_equal(open_fds(), fds);
	assert_true(until(threads() == running));
}

static void an_endpoint_may_end_before_its_ring(void **state)
{
	unsigned int fds = open_fds(), running = threads();

	(void)state;
	open_ring();
	for (unsigned int round = 0; round < rounds(100); round++) {
		struct pair p = open_pool();

		watch(p.consumer, round & 1, 1);
		if (round & 2)
			send_one(p.producer);
		close_pair(&p);
		while (completion_within(1).res != -ETIME)
			;
	}
	close_ring();
	assert_int_equal(open_fds(), fds);
	assert_true(until(threads() == running));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_message_completes_a_single_poll_once),
		CLAIM(what_is_there_completes_at_once),
		CLAIM(a_multishot_poll_tells_of_each_message),
		CLAIM(a_fresh_value_completes),
		CLAIM(the_end_of_the_producer_completes),
		CLAIM(two_endpoints_share_a_ring),
		CLAIM(a_multishot_loop_loses_nothing),
		CLAIM(a_loop_of_single_polls_loses_nothing),
		CLAIM(a_forked_child_prepares_nothing),
		CLAIM(room_completes),
		CLAIM(the_first_consumer_completes),
		CLAIM(the_end_of_the_consumer_completes),
		CLAIM(a_poll_can_be_cancelled),
		CLAIM(a_ring_may_end_before_its_endpoints),
		CLAIM(an_endpoint_may_end_before_its_ring),
	};

	return RUN("uring", tests);
}
