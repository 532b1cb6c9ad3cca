// SPDX-License-Identifier: MIT
/*
 * io_uring: readiness and room as completions on both backends, and, where the
 * module is, releases and hand-overs in batches.
 */
#include <krepis/uring.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "helpers.h"

#define LARGE 2000	/* goes into a buffer */
#define BATCH 32

static struct io_uring ring;

/* Begins every claim: where io_uring is refused there is nothing to claim. */
static void open_ring(void)
{
	int err = io_uring_queue_init(64, &ring, 0);

	if (err == -EPERM || err == -ENOSYS || err == -EACCES) {
		print_message("io_uring_queue_init: %s\n", strerror(-err));
		skip();
	}
	assert_ok(err);
}

static void close_ring(void)
{
	io_uring_queue_exit(&ring);
}

/* Buffers enough for a batch, and messages of LARGE bytes go into them. */
static struct pair open_pool(void)
{
	return open_pair(OPTIONS(.ring_size = 65536, .inline_max = 64, .buffer_size = 4096,
				 .buffer_count = BATCH));
}

/* The same for claims about what only the module does. */
static struct pair open_module_pool(void)
{
	if (!on_kmod())
		skip();
	open_ring();
	return open_pool();
}

static struct io_uring_sqe *entry(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	must(sqe);
	return sqe;
}

static void submit(struct io_uring_sqe *sqe, uint64_t tag)
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
static struct completion completion_within(int ms)
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

static struct completion completion(void)
{
	return completion_within(20000);
}

static bool quiet(void)
{
	return completion_within(20).res == -ETIME;
}

static void watch(struct krepis_endpoint *ep, bool multishot, uint64_t tag)
{
	struct io_uring_sqe *sqe = entry();

	must(!krepis_uring_prep_ready(sqe, ep, multishot));
	submit(sqe, tag);
}

static void watch_room(struct krepis_endpoint *ep, uint64_t tag)
{
	struct io_uring_sqe *sqe = entry();

	must(!krepis_uring_prep_ready(sqe, ep, false));
	submit(sqe, tag);
}

static void send_one(struct krepis_endpoint *producer)
{
	must(!krepis_send(producer, 1, "one", 3, KREPIS_NOWAIT));
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

	return RUN("uring", tests);
}
