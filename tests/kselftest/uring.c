// SPDX-License-Identifier: MIT
/*
 * The commands through io_uring: one and many at once, a WAIT that sleeps nowhere,
 * and what becomes of it when its ring, its process or its endpoint goes.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>
#include "sqe.h"

#define BUFFERS	64
#define MANY	256

FIXTURE(uring)
{
	struct ring ring;
	int channel;
	struct side producer, consumer;
};

FIXTURE_VARIANT(uring)
{
	__u32 setup;
	__u8 flags;
};

FIXTURE_VARIANT_ADD(uring, inline) { 0, 0 };
FIXTURE_VARIANT_ADD(uring, worker) { 0, IOSQE_ASYNC };
FIXTURE_VARIANT_ADD(uring, sqpoll) { IORING_SETUP_SQPOLL, 0 };
FIXTURE_VARIANT_ADD(uring, deferred) {
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, 0
};

FIXTURE_SETUP(uring)
{
	struct krepis_geometry g = small_ring();

	g.buffer_count = BUFFERS;
	ASSERT_EQ(0, ring_open(&self->ring, MANY, variant->setup));
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
}

FIXTURE_TEARDOWN(uring)
{
	ring_close(&self->ring);
}

#define RUN(fd, cmd, args, count) \
	ring_run(&self->ring, (fd), KREPIS_IOC_##cmd, (args), (count), variant->flags)

static bool has_wait(void)
{
	return kernel_release() >= 6007;
}

static struct krepis_wait_args wait_args(const struct side *s)
{
	return (struct krepis_wait_args) {
		.size = sizeof(struct krepis_wait_args), .at = event_at(s), .value = event_of(s),
		.deadline_ns = FOR_EVER,
	};
}

/* ------------------------------------------------------------------ one command */

TEST_F(uring, setup_query_and_attach_work)
{
	struct krepis_setup setup = { .size = sizeof(setup), .geometry = small_ring() };
	struct krepis_info_query q = { .size = sizeof(q) };
	struct krepis_attach_args attach = {
		.size = sizeof(attach), .role = KREPIS_CONSUMER, .rights = KREPIS_RIGHT_ALL,
	};
	int fd = new_file(O_RDWR), ep;

	EXPECT_EQ(-EBADFD, RUN(fd, ATTACH, &attach, 1));
	EXPECT_EQ(0, RUN(fd, SETUP, &setup, 1));
	EXPECT_EQ(-EBUSY, RUN(fd, SETUP, &setup, 1));
	ep = RUN(fd, ATTACH, &attach, 1);
	EXPECT_LT(0, ep);
	EXPECT_EQ(0, RUN(fd, QUERY, &q, 1));
	EXPECT_EQ(1, q.live);
	close(ep);
	q = (struct krepis_info_query) { .size = sizeof(q) };
	EXPECT_EQ(0, RUN(fd, QUERY, &q, 1));
	EXPECT_EQ(0, q.live);
}

TEST_F(uring, endpoint_commands_work)
{
	struct krepis_handoff handoff = { .size = sizeof(handoff), .handle = { 0, 1 } };
	struct krepis_release_args release = { .size = sizeof(release), .handle = { 0, 1 } };
	struct krepis_wake_args wake = { .size = sizeof(wake), .consumers = 1 };
	struct krepis_rights rights = { .size = sizeof(rights), .rights = KREPIS_RIGHT_READ };
	struct krepis_none none = { .size = sizeof(none) };
	__u32 before = event_of(&self->consumer);
	struct krepis_info_query q;
	int fd;

	EXPECT_EQ(1, RUN(self->producer.fd, HANDOFF, &handoff, 1));
	EXPECT_EQ(KREPIS_OWNED_CONSUMER, self->producer.desc[0].state);
	EXPECT_EQ(1, RUN(self->consumer.fd, RELEASE, &release, 1));
	EXPECT_EQ(2, self->producer.desc[0].generation);
	EXPECT_EQ(1, RUN(self->producer.fd, WAKE, &wake, 1));
	EXPECT_EQ(before + 1, event_of(&self->consumer));
	fd = RUN(self->consumer.fd, DERIVE, &rights, 1);
	EXPECT_LT(0, fd);
	EXPECT_EQ(0, query(fd, &q));
	EXPECT_EQ(KREPIS_RIGHT_READ, q.rights);
	EXPECT_EQ(1, RUN(self->consumer.fd, DETACH, &none, 1));
	EXPECT_EQ(1, RUN(self->consumer.fd, RESTRICT, &rights, 1));
	EXPECT_EQ(-EACCES, RUN(self->consumer.fd, RELEASE, &release, 1));
}

TEST_F(uring, refusals_are_those_of_ioctl)
{
	struct krepis_handoff a = { .size = sizeof(a), .handle = { 0, 1 } };
	struct krepis_attach_args attach = { .size = sizeof(attach), .role = 1, .rights = 1 };

	EXPECT_EQ(-EPERM, RUN(self->consumer.fd, HANDOFF, &a, 1));
	EXPECT_EQ(-ENOTTY, RUN(self->channel, HANDOFF, &a, 1));
	EXPECT_EQ(-ENOTTY, RUN(self->producer.fd, ATTACH, &attach, 1));
	EXPECT_EQ(-EBUSY, RUN(self->channel, ATTACH, &attach, 1));
	EXPECT_EQ(-ENOTTY, ring_run(&self->ring, self->producer.fd, _IOWR(KREPIS_IOC, 99, __u32),
				    &a, 1, variant->flags));
	EXPECT_EQ(-EFAULT, RUN(self->producer.fd, HANDOFF, NULL, 1));
	a.handle.generation = 2;
	EXPECT_EQ(-ESTALE, RUN(self->producer.fd, HANDOFF, &a, 1));
	a.size--;
	EXPECT_EQ(-EINVAL, RUN(self->producer.fd, HANDOFF, &a, 1));
	a.size = PAGE + 1;
	EXPECT_EQ(-E2BIG, RUN(self->producer.fd, HANDOFF, &a, 1));
}

/* ---------------------------------------------------------------------- batches */

static void fill(struct krepis_handoff *give, struct krepis_release_args *take, int n)
{
	int i;

	for (i = 0; i < n; i++) {
		give[i] = (struct krepis_handoff) { .size = sizeof(*give), .handle = { i, 1 } };
		take[i] = (struct krepis_release_args) {
			.size = sizeof(*take), .handle = { i, 1 }
		};
	}
}

/* Buffers that are not the producer's in their first life. */
static int moved(const struct side *s)
{
	int i, n = 0;

	for (i = 0; i < BUFFERS; i++)
		n += s->desc[i].state != KREPIS_OWNED_PRODUCER || s->desc[i].generation != 1;
	return n;
}

TEST_F(uring, batch_of_thirty_two_works)
{
	struct krepis_handoff give[32];
	struct krepis_release_args take[32];
	struct krepis_wake_args wake[32];
	__u32 before;
	int i;

	fill(give, take, 32);
	EXPECT_EQ(32, RUN(self->producer.fd, HANDOFF, give, 32));
	for (i = 0; i < 32; i++) {
		EXPECT_EQ(KREPIS_OWNED_CONSUMER, self->producer.desc[i].state);
		wake[i] = (struct krepis_wake_args) { .size = sizeof(wake[i]), .consumers = 1 };
	}
	EXPECT_EQ(32, moved(&self->producer));
	before = event_of(&self->consumer);
	EXPECT_EQ(32, RUN(self->producer.fd, WAKE, wake, 32));
	EXPECT_EQ(before + 32, event_of(&self->consumer));
	EXPECT_EQ(32, RUN(self->consumer.fd, RELEASE, take, 32));
	for (i = 0; i < 32; i++)
		EXPECT_EQ(2, self->producer.desc[i].generation);
}

TEST_F(uring, batch_stops_at_what_fails)
{
	struct krepis_handoff give[8];
	struct krepis_release_args take[8];

	fill(give, take, 8);
	give[5].handle.generation = 9;
	EXPECT_EQ(5, RUN(self->producer.fd, HANDOFF, give, 8));
	EXPECT_EQ(5, moved(&self->producer));
	EXPECT_EQ(-EPERM, RUN(self->producer.fd, HANDOFF, give, 8));
	EXPECT_EQ(-ESTALE, RUN(self->producer.fd, HANDOFF, give + 5, 3));
	EXPECT_EQ(5, moved(&self->producer));
	EXPECT_EQ(5, RUN(self->consumer.fd, RELEASE, take, 8));
	EXPECT_EQ(-ESTALE, RUN(self->consumer.fd, RELEASE, take, 8));
}

TEST_F(uring, batch_that_runs_out_of_memory_stops_there)
{
	char *page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct krepis_handoff give[8];
	struct krepis_release_args take[8];
	char *at = page + PAGE - 4 * sizeof(give[0]) + 8;

	fill(give, take, 8);
	ASSERT_EQ(0, mprotect(page + PAGE, PAGE, PROT_NONE));
	memcpy(at, give, page + PAGE - at);
	EXPECT_EQ(3, RUN(self->producer.fd, HANDOFF, at, 8));
	EXPECT_EQ(3, moved(&self->producer));
}

TEST_F(uring, batch_of_longer_arguments_works)
{
	struct {
		struct krepis_handoff a;
		__u64 more[3];
	} give[4] = { 0 };
	int i;

	for (i = 0; i < 4; i++)
		give[i].a = (struct krepis_handoff) { .size = sizeof(give[i]), .handle = { i, 1 } };
	give[3].more[2] = 1;
	EXPECT_EQ(3, RUN(self->producer.fd, HANDOFF, give, 4));
	EXPECT_EQ(3, moved(&self->producer));
}

TEST_F(uring, batch_of_what_may_sleep_is_invalid)
{
	struct krepis_info_query q[2] = { { .size = sizeof(q[0]) }, { .size = sizeof(q[0]) } };
	struct krepis_rights r[2] = { { sizeof(r[0]), 0, 1, 0 }, { sizeof(r[0]), 0, 1, 0 } };
	struct krepis_wait_args w[2] = { wait_args(&self->consumer), wait_args(&self->consumer) };
	int next = dup(0);

	close(next);
	EXPECT_EQ(-EINVAL, RUN(self->producer.fd, QUERY, q, 2));
	EXPECT_EQ(-EINVAL, RUN(self->producer.fd, DERIVE, r, 2));
	EXPECT_EQ(-EINVAL, RUN(self->consumer.fd, WAIT, w, 2));
	EXPECT_EQ(next, dup(0));
}

TEST_F(uring, count_that_is_wrong_is_invalid)
{
	static const __u32 counts[] = { 0, KREPIS_MAX_BATCH + 1, 1U << 31, ~0U };
	struct krepis_handoff give[1];
	struct krepis_release_args take[1];
	struct io_uring_cqe cqe;
	struct io_uring_sqe *sqe;
	int i;

	fill(give, take, 1);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(-EINVAL, RUN(self->producer.fd, HANDOFF, give, counts[i]));
	sqe = ring_command(&self->ring, self->producer.fd, KREPIS_IOC_HANDOFF, give, 1, 0);
	((char *)sqe)[63] = 1;
	ring_submit(&self->ring);
	ASSERT_TRUE(ring_reap(&self->ring, &cqe, 5000));
	EXPECT_EQ(-EINVAL, cqe.res);
	EXPECT_EQ(0, moved(&self->producer));
}

TEST_F(uring, chain_ends_at_a_refusal)
{
	struct krepis_handoff a[2] = {
		{ .size = sizeof(a[0]), .handle = { 0, 9 } }, { .size = sizeof(a[0]), .handle = { 1, 1 } },
	};
	struct io_uring_cqe cqe[2];

	ring_command(&self->ring, self->producer.fd, KREPIS_IOC_HANDOFF, &a[0], 1, 0)->flags |=
		IOSQE_IO_LINK | variant->flags;
	ring_command(&self->ring, self->producer.fd, KREPIS_IOC_HANDOFF, &a[1], 1, 1);
	ASSERT_EQ(2, ring_submit(&self->ring));
	ASSERT_TRUE(ring_reap(&self->ring, &cqe[0], 5000));
	ASSERT_TRUE(ring_reap(&self->ring, &cqe[1], 5000));
	EXPECT_EQ(-ESTALE, cqe[0].res);
	EXPECT_EQ(-ECANCELED, cqe[1].res);
	EXPECT_EQ(0, moved(&self->producer));
}

/* ------------------------------------------------------------------------- waiting */

/* Submits @n waits of the consumer, which all are pending when this returns. */
static bool pending(FIXTURE_DATA(uring) *self, const FIXTURE_VARIANT(uring) *variant,
		    const struct krepis_wait_args *args, int n)
{
	struct io_uring_cqe cqe;
	int i;

	for (i = 0; i < n; i++)
		ring_command(&self->ring, self->consumer.fd, KREPIS_IOC_WAIT, args, 1, i)->flags |=
			variant->flags;
	return ring_submit(&self->ring) == n && !ring_reap(&self->ring, &cqe, 30);
}

TEST_F(uring, wait_is_taken_or_told_to_be_unsupported)
{
	struct krepis_wait_args args = wait_args(&self->consumer);

	args.value++;
	EXPECT_EQ(has_wait() ? 0 : -EOPNOTSUPP, RUN(self->consumer.fd, WAIT, &args, 1));
}

TEST_F(uring, wait_is_refused_as_by_ioctl)
{
	struct krepis_wait_args args = wait_args(&self->consumer);
	int fd = derive(self->consumer.fd, KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WAIT);

	EXPECT_EQ(-EACCES, RUN(fd, WAIT, &args, 1));
	EXPECT_EQ(-ENOTTY, RUN(self->channel, WAIT, &args, 1));
	EXPECT_EQ(-EFAULT, RUN(self->consumer.fd, WAIT, NULL, 1));
	args.at++;
	EXPECT_EQ(-EINVAL, RUN(self->consumer.fd, WAIT, &args, 1));
	args = wait_args(&self->consumer);
	args.deadline_ns = in_ms(1000);
	EXPECT_EQ(-EINVAL, RUN(self->consumer.fd, WAIT, &args, 1));
	args = wait_args(&self->consumer);
	args.flags = 1;
	EXPECT_EQ(-EINVAL, RUN(self->consumer.fd, WAIT, &args, 1));
}

#define NEEDS_WAIT() \
	do { if (!has_wait()) SKIP(return, "a WAIT needs Linux 6.7"); } while (0)

TEST_F(uring, wait_ends_by_a_wake)
{
	struct krepis_wait_args args = wait_args(&self->consumer);
	struct io_uring_cqe cqe;

	NEEDS_WAIT();
	ASSERT_TRUE(pending(self, variant, &args, 1));
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	ASSERT_TRUE(ring_reap(&self->ring, &cqe, 5000));
	EXPECT_EQ(0, cqe.res);
}

TEST_F(uring, wait_for_a_word_goes_on_until_that_changes)
{
	struct krepis_wait_args args = wait_args(&self->consumer);
	struct io_uring_cqe cqe;

	NEEDS_WAIT();
	args.at = self->consumer.layout.producer;
	args.value = 0;
	ASSERT_TRUE(pending(self, variant, &args, 1));
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	EXPECT_FALSE(ring_reap(&self->ring, &cqe, 20));
	publish(&self->producer);
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	ASSERT_TRUE(ring_reap(&self->ring, &cqe, 5000));
	EXPECT_EQ(0, cqe.res);
}

TEST_F(uring, many_waits_end_by_one_wake)
{
	struct krepis_wait_args args = wait_args(&self->consumer);
	struct io_uring_cqe cqe;
	int i;

	NEEDS_WAIT();
	ASSERT_TRUE(pending(self, variant, &args, MANY));
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	for (i = 0; i < MANY; i++) {
		ASSERT_TRUE(ring_reap(&self->ring, &cqe, 5000));
		EXPECT_EQ(0, cqe.res);
	}
	EXPECT_FALSE(ring_reap(&self->ring, &cqe, 5));
}

/* Where the kernel cannot cancel it, the endpoint's own wake ends it. */
TEST_F(uring, cancelled_wait_ends_once)
{
	struct krepis_wait_args args = wait_args(&self->consumer);
	struct io_uring_cqe cqe;
	int waits = 0, cancels = 0;

	NEEDS_WAIT();
	ASSERT_TRUE(pending(self, variant, &args, 1));
	ring_next(&self->ring, IORING_OP_ASYNC_CANCEL, -1, 77)->addr = 0;
	ring_submit(&self->ring);
	pause_ms(10);
	ASSERT_EQ(0, wake(self->consumer.fd, 0, KREPIS_WAKE_SELF));
	while (ring_reap(&self->ring, &cqe, waits && cancels ? 10 : 2000)) {
		if (cqe.user_data == 77)
			cancels++;
		else
			waits += cqe.res == 0 || cqe.res == -ECANCELED;
	}
	EXPECT_EQ(1, waits);
	EXPECT_EQ(1, cancels);
}

static bool endpoint_lives(FIXTURE_DATA(uring) *self)
{
	struct krepis_info_query q;

	return !query(self->producer.fd, &q) && (q.live & 1);
}

TEST_F(uring, pending_wait_holds_a_closed_endpoint_until_its_end)
{
	struct krepis_wait_args args = wait_args(&self->consumer);
	struct io_uring_cqe cqe;

	NEEDS_WAIT();
	ASSERT_TRUE(pending(self, variant, &args, 4));
	side_close(&self->consumer);
	pause_ms(20);
	EXPECT_TRUE(endpoint_lives(self));
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	while (ring_reap(&self->ring, &cqe, 100))
		EXPECT_EQ(0, cqe.res);
	EXPECT_TRUE(within_ms(5000, !endpoint_lives(self)));
}

TEST_F(uring, ring_that_is_closed_lets_go_of_pending_waits)
{
	struct krepis_wait_args args = wait_args(&self->consumer);

	NEEDS_WAIT();
	ASSERT_TRUE(pending(self, variant, &args, 64));
	side_close(&self->consumer);
	ring_close(&self->ring);
	EXPECT_TRUE(within_ms(10000, !endpoint_lives(self)));
	ASSERT_EQ(0, ring_open(&self->ring, 4, 0));
}

/* A process with pending waits ends, by itself or killed, and so does its endpoint. */
TEST_F(uring, process_that_ends_lets_go_of_pending_waits)
{
	struct krepis_wait_args args;
	int killed;

	NEEDS_WAIT();
	side_close(&self->consumer);
	for (killed = 0; killed < 2; killed++) {
		pid_t pid = child();

		if (!pid) {
			ring_open(&self->ring, MANY, variant->setup);
			side_open(&self->consumer, self->channel, KREPIS_CONSUMER);
			args = wait_args(&self->consumer);
			if (!pending(self, variant, &args, 64))
				_exit(1);
			if (killed)
				pause();
			_exit(0);
		}
		if (killed) {
			ASSERT_TRUE(until_sleeps_in(pid, SYS_pause));
			kill(pid, SIGKILL);
		}
		EXPECT_EQ(killed ? 128 + SIGKILL : 0, reap(pid));
		EXPECT_TRUE(within_ms(10000, !endpoint_lives(self)));
	}
}

/* The ring goes while the waits are about to sleep. */
TEST_F(uring, ring_may_go_at_any_time)
{
	struct krepis_wait_args args = wait_args(&self->consumer);
	int turn, i;

	NEEDS_WAIT();
	for (turn = 0; turn < 50; turn++) {
		struct ring r;

		ASSERT_EQ(0, ring_open(&r, 16, variant->setup));
		for (i = 0; i < 16; i++)
			ring_command(&r, self->consumer.fd, KREPIS_IOC_WAIT, &args, 1, i)->flags |=
				variant->flags;
		ring_submit(&r);
		if (turn & 1)
			wake(self->producer.fd, 1, 0);
		ring_close(&r);
		args = wait_args(&self->consumer);
	}
	side_close(&self->consumer);
	EXPECT_TRUE(within_ms(10000, !endpoint_lives(self)));
}

/* --------------------------------------------------------- the kernel's own operations */

TEST_F(uring, poll_ends_when_there_is_something_to_read)
{
	struct io_uring_cqe cqe;

	ring_next(&self->ring, IORING_OP_POLL_ADD, self->consumer.fd, 1)->poll32_events = POLLIN;
	ring_submit(&self->ring);
	EXPECT_FALSE(ring_reap(&self->ring, &cqe, 20));
	EXPECT_TRUE(consumer_of(&self->producer, 0)->waiter.waiting & KREPIS_ASLEEP);
	publish(&self->producer);
	ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
	ASSERT_TRUE(ring_reap(&self->ring, &cqe, 5000));
	EXPECT_EQ(POLLIN, cqe.res);
}

TEST_F(uring, poll_ends_when_the_peer_is_gone)
{
	struct io_uring_cqe cqe;

	ring_next(&self->ring, IORING_OP_POLL_ADD, self->consumer.fd, 1)->poll32_events = POLLIN;
	ring_submit(&self->ring);
	EXPECT_FALSE(ring_reap(&self->ring, &cqe, 20));
	side_close(&self->producer);
	ASSERT_TRUE(ring_reap(&self->ring, &cqe, 5000));
	EXPECT_EQ(POLLHUP, cqe.res);
}

TEST_F(uring, poll_that_is_cancelled_ends)
{
	struct io_uring_cqe cqe[2];

	ring_next(&self->ring, IORING_OP_POLL_ADD, self->consumer.fd, 1)->poll32_events = POLLIN;
	ring_submit(&self->ring);
	EXPECT_FALSE(ring_reap(&self->ring, cqe, 20));
	ring_next(&self->ring, IORING_OP_ASYNC_CANCEL, -1, 77)->addr = 1;
	ring_submit(&self->ring);
	ASSERT_TRUE(ring_reap(&self->ring, &cqe[0], 5000));
	ASSERT_TRUE(ring_reap(&self->ring, &cqe[1], 5000));
	EXPECT_EQ(-ECANCELED, cqe[cqe[0].user_data == 77].res);
	EXPECT_EQ(0, cqe[cqe[0].user_data != 77].res);
}

TEST_F(uring, multishot_poll_tells_of_each_message)
{
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;
	int i;

	sqe = ring_next(&self->ring, IORING_OP_POLL_ADD, self->consumer.fd, 1);
	sqe->poll32_events = POLLIN;
	sqe->len = IORING_POLL_ADD_MULTI;
	ring_submit(&self->ring);
	EXPECT_FALSE(ring_reap(&self->ring, &cqe, 20));
	for (i = 0; i < 10; i++) {
		__u32 waiting = consumer_of(&self->producer, 0)->waiter.waiting;

		publish(&self->producer);
		ASSERT_EQ(0, wake(self->producer.fd, 1, 0));
		ASSERT_TRUE(ring_reap(&self->ring, &cqe, 5000));
		EXPECT_EQ(POLLIN, cqe.res);
		EXPECT_TRUE(cqe.flags & IORING_CQE_F_MORE);
		consume(&self->consumer);
		/* The next sleep is announced as another one. */
		EXPECT_NE(waiting, consumer_of(&self->producer, 0)->waiter.waiting);
	}
}

TEST_F(uring, futex_wait_on_a_mapped_word_works)
{
	__u32 *word = &self->producer.producer->waiter.wake;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe cqe;

	if (kernel_release() < 6007)
		SKIP(return, "io_uring's futex needs Linux 6.7");
	sqe = ring_next(&self->ring, OP_FUTEX_WAIT, FUTEX2_U32, 1);
	/* Through the consumer's mapping, which is read only. */
	sqe->addr = (uintptr_t)&self->consumer.producer->waiter.wake;
	sqe->addr2 = 0;
	sqe->addr3 = ~0U;
	ring_submit(&self->ring);
	EXPECT_FALSE(ring_reap(&self->ring, &cqe, 20));
	krepis_store_release(word, 1);
	EXPECT_EQ(1, syscall(SYS_futex, word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0));
	ASSERT_TRUE(ring_reap(&self->ring, &cqe, 5000));
	EXPECT_EQ(0, cqe.res);
}

TEST_F(uring, registered_descriptor_holds_the_endpoint)
{
	struct krepis_release_args a = { .size = sizeof(a), .handle = { 0, 1 } };

	ASSERT_EQ(0, handoff(self->producer.fd, 0, 1, 8));
	ASSERT_EQ(0, syscall(__NR_io_uring_register, self->ring.fd, IORING_REGISTER_FILES,
			     &self->consumer.fd, 1));
	side_close(&self->consumer);
	EXPECT_TRUE(endpoint_lives(self));
	EXPECT_EQ(1, ring_run(&self->ring, 0, KREPIS_IOC_RELEASE, &a, 1,
			      variant->flags | IOSQE_FIXED_FILE));
	ring_close(&self->ring);
	EXPECT_TRUE(within_ms(10000, !endpoint_lives(self)));
	ASSERT_EQ(0, ring_open(&self->ring, 4, 0));
}

TEST_HARNESS_MAIN
