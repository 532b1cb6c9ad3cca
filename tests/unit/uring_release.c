// SPDX-License-Identifier: MIT
/*
 * io_uring where the module is: releases and hand-overs, in batches and in chains.
 */
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "helpers.h"
#include "uring.h"

/* A ring and open_pool(), for claims about what only the module does. */
static struct pair open_module_pool(void)
{
	if (!on_kmod())
		skip();
	open_ring();
	return open_pool();
}

/* --------------------------------------------------------------------------- release */

/* Sends and receives @count messages in buffers. */
static void fetch(struct pair *p, struct krepis_msg *msgs, unsigned int count)
{
	uint8_t data[LARGE];

	for (unsigned int i = 0; i < count; i++) {
		fill(data, LARGE, i);
		must(!krepis_send(p->producer, 1, data, LARGE, KREPIS_NOWAIT));
		must(!krepis_recv(p->consumer, &msgs[i], KREPIS_NOWAIT));
	}
}

static int release(struct krepis_endpoint *consumer, const struct krepis_release_args *args,
		   unsigned int count)
{
	struct io_uring_sqe *sqe = entry();

	must(!krepis_uring_prep_release(sqe, consumer, args, count));
	submit(sqe, 9);
	return completion().res;
}

static void buffers_come_back(unsigned int count)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[BATCH];
	struct krepis_msg msgs[BATCH];

	for (int round = 0; round < 5; round++) {
		fetch(&p, msgs, count);
		assert_int_equal(krepis_release_begin(p.consumer, msgs, count, args), count);
		assert_int_equal(count_free(p.producer), BATCH - count);
		assert_int_equal(release(p.consumer, args, count), count);
		assert_int_equal(count_free(p.producer), BATCH);
	}
	close_pair(&p);
	close_ring();
}

static void one_buffer_comes_back(void **state)
{
	(void)state;
	buffers_come_back(1);
}

static void two_buffers_come_back(void **state)
{
	(void)state;
	buffers_come_back(2);
}

static void a_whole_batch_comes_back(void **state)
{
	(void)state;
	buffers_come_back(BATCH);
}

static void a_worker_may_release(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[4];
	struct krepis_msg msgs[4];
	struct io_uring_sqe *sqe;

	(void)state;
	fetch(&p, msgs, 4);
	assert_int_equal(krepis_release_begin(p.consumer, msgs, 4, args), 4);
	sqe = entry();
	must(!krepis_uring_prep_release(sqe, p.consumer, args, 4));
	io_uring_sqe_set_flags(sqe, IOSQE_ASYNC);
	submit(sqe, 1);
	assert_int_equal(completion().res, 4);
	assert_int_equal(count_free(p.producer), BATCH);
	close_pair(&p);
	close_ring();
}

static void a_release_ends_at_the_first_that_fails(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[4];
	struct krepis_msg msgs[4];

	(void)state;
	fetch(&p, msgs, 4);
	assert_int_equal(krepis_release_begin(p.consumer, msgs, 4, args), 4);
	args[2].handle.generation++;
	assert_int_equal(release(p.consumer, args, 4), 2);
	assert_int_equal(count_free(p.producer), BATCH - 2);
	assert_int_equal(release(p.consumer, args + 2, 2), -ESTALE);
	args[2].handle.generation--;
	assert_int_equal(release(p.consumer, args + 2, 2), 2);
	assert_int_equal(release(p.consumer, args, 4), -ESTALE);
	assert_int_equal(count_free(p.producer), BATCH);
	close_pair(&p);
	close_ring();
}

static void a_batch_has_limits(void **state)
{
	static struct krepis_release_args args[KREPIS_MAX_BATCH + 1];
	struct pair p = open_module_pool();
	struct krepis_msg msg;

	(void)state;
	fetch(&p, &msg, 1);
	assert_int_equal(krepis_release_begin(p.consumer, &msg, 1, args), 1);
	assert_int_equal(release(p.consumer, args, 0), -EINVAL);
	assert_int_equal(release(p.consumer, args, KREPIS_MAX_BATCH + 1), -EINVAL);
	assert_int_equal(count_free(p.producer), BATCH - 1);
	/* The zeroes behind it are no arguments. */
	assert_int_equal(release(p.consumer, args, KREPIS_MAX_BATCH), 1);
	assert_int_equal(count_free(p.producer), BATCH);
	close_pair(&p);
	close_ring();
}

static void a_begun_release_ends_the_views(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[2];
	struct krepis_msg msgs[2];

	(void)state;
	fetch(&p, msgs, 2);
	assert_int_equal(krepis_release_begin(p.consumer, msgs, 2, args), 2);
	assert_error(krepis_release(p.consumer, &msgs[0]), EPERM);
	assert_error(krepis_msg_get(&msgs[1]), EPERM);
	assert_int_equal(krepis_release_begin(p.consumer, msgs, 2, args + 2), 0);
	assert_int_equal(release(p.consumer, args, 2), 2);
	close_pair(&p);
	close_ring();
}

static void what_others_still_use_is_passed_over(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[3];
	struct krepis_msg msgs[3];

	(void)state;
	fetch(&p, msgs, 3);
	assert_ok(krepis_msg_get(&msgs[0]));
	assert_ok(krepis_release(p.consumer, &msgs[1]));
	assert_int_equal(krepis_release_begin(p.consumer, msgs, 3, args), 1);
	assert_int_equal(args[0].handle.index, krepis_buffer_handle(msgs[2].buffer).index);
	assert_int_equal(release(p.consumer, args, 1), 1);
	assert_int_equal(count_free(p.producer), BATCH - 1);
	assert_true(filled(msgs[0].data, LARGE, 0));
	assert_ok(krepis_msg_put(&msgs[0]));
	assert_int_equal(count_free(p.producer), BATCH);
	close_pair(&p);
	close_ring();
}

static void no_release_begins_of_a_message_in_the_ring(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[2];
	struct krepis_msg msgs[2];

	(void)state;
	fetch(&p, msgs, 1);
	send_one(p.producer);
	assert_ok(krepis_recv(p.consumer, &msgs[1], KREPIS_NOWAIT));
	assert_error(krepis_release_begin(p.consumer, msgs, 2, args), EINVAL);
	assert_ok(krepis_release(p.consumer, &msgs[0]));
	assert_ok(krepis_release(p.consumer, &msgs[1]));
	close_pair(&p);
	close_ring();
}

static void no_release_begins_of_anothers_message(void **state)
{
	struct pair p = open_module_pool(), other = open_pool();
	struct krepis_release_args args[2];
	struct krepis_msg msgs[2];

	(void)state;
	fetch(&p, msgs, 1);
	fetch(&other, msgs + 1, 1);
	assert_error(krepis_release_begin(p.consumer, msgs, 2, args), EINVAL);
	assert_ok(krepis_release(p.consumer, &msgs[0]));
	assert_ok(krepis_release(other.consumer, &msgs[1]));
	close_pair(&other);
	close_pair(&p);
	close_ring();
}

static void no_release_begins_without_the_module(void **state)
{
	struct krepis_release_args args;
	struct krepis_msg msg;
	struct pair p;

	(void)state;
	only_on_shm("with the module it does begin");
	p = open_pool();
	fetch(&p, &msg, 1);
	assert_error(krepis_release_begin(p.consumer, &msg, 1, &args), EOPNOTSUPP);
	assert_true(filled(msg.data, LARGE, 0));
	assert_ok(krepis_release(p.consumer, &msg));
	close_pair(&p);
}

static void what_was_never_submitted_comes_back_with_the_consumers_end(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[4];
	struct krepis_msg msgs[4];

	(void)state;
	fetch(&p, msgs, 4);
	assert_int_equal(krepis_release_begin(p.consumer, msgs, 4, args), 4);
	krepis_detach(p.consumer);
	p.consumer = NULL;
	assert_int_equal(count_free(p.producer), BATCH);
	close_pair(&p);
	close_ring();
}

static void *acquire_one(void *arg)
{
	struct krepis_endpoint *producer = arg;
	struct krepis_buffer *buffer;

	must(!krepis_acquire(producer, &buffer, SOON));
	must(!krepis_abandon(producer, buffer));
	return NULL;
}

static void a_release_wakes_the_producer(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[BATCH];
	struct krepis_msg msgs[BATCH];
	uint64_t waits = waits_of(p.channel, THE_PRODUCER);
	pthread_t thread;

	(void)state;
	fetch(&p, msgs, BATCH);
	assert_int_equal(krepis_release_begin(p.consumer, msgs, BATCH, args), BATCH);
	must(!pthread_create(&thread, NULL, acquire_one, p.producer));
	assert_true(falls_asleep(p.channel, THE_PRODUCER, waits));
	assert_int_equal(release(p.consumer, args, BATCH), BATCH);
	must(!pthread_join(thread, NULL));
	close_pair(&p);
	close_ring();
}

/* -------------------------------------------------------------------------- hand-over */

static void acquire_some(struct pair *p, struct krepis_handoff *args, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct krepis_buffer *buffer;

		must(!krepis_acquire(p->producer, &buffer, KREPIS_NOWAIT));
		args[i] = (struct krepis_handoff){
			.size = sizeof(args[i]),
			.handle = krepis_buffer_handle(buffer),
			.len = 100,
			.type = 1,
		};
	}
}

static int hand_over(struct pair *p, const struct krepis_handoff *args, unsigned int count)
{
	struct io_uring_sqe *sqe = entry();

	must(!krepis_uring_prep_handoff(sqe, p->producer, args, count));
	submit(sqe, 8);
	return completion().res;
}

/* Whether the consumer held the buffer; now it does not. */
static bool held(struct pair *p, struct krepis_handle handle)
{
	struct krepis_release_args args = { .size = sizeof(args), .handle = handle };
	int rc = ioctl(krepis_fd(p->consumer), KREPIS_IOC_RELEASE, &args);

	must(!rc || errno == ESTALE);
	return !rc;
}

static void handed_over_buffers_are_the_consumers(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_handoff args[BATCH];

	(void)state;
	acquire_some(&p, args, BATCH);
	assert_int_equal(hand_over(&p, args, 1), 1);
	assert_int_equal(hand_over(&p, args + 1, 2), 2);
	assert_int_equal(hand_over(&p, args + 3, BATCH - 4), BATCH - 4);
	for (int i = 0; i < BATCH; i++)
		assert_int_equal(held(&p, args[i].handle), i < BATCH - 1);
	close_pair(&p);
	close_ring();
}

static void a_hand_over_ends_at_the_first_that_fails(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_handoff args[4];

	(void)state;
	acquire_some(&p, args, 4);
	args[2].len = 4097;
	assert_int_equal(hand_over(&p, args, 4), 2);
	assert_int_equal(hand_over(&p, args + 2, 2), -EMSGSIZE);
	assert_true(hand_over(&p, args, 1) < 0);
	assert_true(held(&p, args[0].handle) && held(&p, args[1].handle));
	assert_false(held(&p, args[2].handle) || held(&p, args[3].handle));
	close_pair(&p);
	close_ring();
}

static void a_consumer_hands_nothing_over(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_handoff args[2];
	struct io_uring_sqe *sqe;

	(void)state;
	acquire_some(&p, args, 2);
	sqe = entry();
	assert_ok(krepis_uring_prep_handoff(sqe, p.consumer, args, 2));
	submit(sqe, 1);
	assert_int_equal(completion().res, -EPERM);
	close_pair(&p);
	close_ring();
}

static void a_hand_over_completes_a_consumers_poll(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_handoff args;

	(void)state;
	acquire_some(&p, &args, 1);
	args.flags = KREPIS_HANDOFF_WAKE;
	watch(p.consumer, false, 1);
	/* Without a record there is nothing to read: it was woken, and sleeps on. */
	assert_int_equal(hand_over(&p, &args, 1), 1);
	assert_true(quiet());
	send_one(p.producer);
	assert_true(completion().res & POLLIN);
	close_pair(&p);
	close_ring();
}

/* ----------------------------------------------------------------------------- chains */

/* A release, and linked to it a read of a pipe: what the read came to. */
static int read_after(struct pair *p, const struct krepis_release_args *args, unsigned int count,
		      int released)
{
	static char text[16];
	struct io_uring_sqe *sqe;
	int ends[2], got[2];

	must(!pipe(ends) && write(ends[1], "linked", 6) == 6);
	sqe = entry();
	must(!krepis_uring_prep_release(sqe, p->consumer, args, count));
	io_uring_sqe_set_data64(sqe, 0);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK);
	sqe = entry();
	io_uring_prep_read(sqe, ends[0], text, sizeof(text), 0);
	io_uring_sqe_set_data64(sqe, 1);
	must(io_uring_submit(&ring) == 2);
	for (int i = 0; i < 2; i++) {
		struct completion cqe = completion();

		got[cqe.user_data] = cqe.res;
	}
	close(ends[0]);
	close(ends[1]);
	assert_int_equal(got[0], released);
	return got[1];
}

static void a_chain_goes_on_after_a_release(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[3];
	struct krepis_msg msgs[3];

	(void)state;
	fetch(&p, msgs, 3);
	assert_int_equal(krepis_release_begin(p.consumer, msgs, 3, args), 3);
	assert_int_equal(read_after(&p, args, 1, 1), 6);
	assert_int_equal(read_after(&p, args + 1, 2, 2), 6);
	assert_int_equal(count_free(p.producer), BATCH);
	close_pair(&p);
	close_ring();
}

static void a_chain_ends_where_a_release_fails(void **state)
{
	struct pair p = open_module_pool();
	struct krepis_release_args args[2];
	struct krepis_msg msgs[2];

	(void)state;
	fetch(&p, msgs, 2);
	assert_int_equal(krepis_release_begin(p.consumer, msgs, 2, args), 2);
	assert_int_equal(release(p.consumer, args, 2), 2);
	assert_int_equal(read_after(&p, args, 2, -ESTALE), -ECANCELED);
	close_pair(&p);
	close_ring();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(one_buffer_comes_back),
		CLAIM(two_buffers_come_back),
		CLAIM(a_whole_batch_comes_back),
		CLAIM(a_worker_may_release),
		CLAIM(a_release_ends_at_the_first_that_fails),
		CLAIM(a_batch_has_limits),
		CLAIM(a_begun_release_ends_the_views),
		CLAIM(what_others_still_use_is_passed_over),
		CLAIM(no_release_begins_of_a_message_in_the_ring),
		CLAIM(no_release_begins_of_anothers_message),
		CLAIM(no_release_begins_without_the_module),
		CLAIM(what_was_never_submitted_comes_back_with_the_consumers_end),
		CLAIM(a_release_wakes_the_producer),
		CLAIM(handed_over_buffers_are_the_consumers),
		CLAIM(a_hand_over_ends_at_the_first_that_fails),
		CLAIM(a_consumer_hands_nothing_over),
		CLAIM(a_hand_over_completes_a_consumers_poll),
		CLAIM(a_chain_goes_on_after_a_release),
		CLAIM(a_chain_ends_where_a_release_fails),
	};

	return RUN("uring_release", tests);
}
