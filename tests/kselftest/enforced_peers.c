// SPDX-License-Identifier: MIT
/*
 * Enforced rings among processes: the death of either side, endpoints with several
 * descriptors and in several processes, and batches through io_uring.
 */
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <kselftest_harness.h>
#include "enforced.h"
#include "sqe.h"

#define BUFFERS 16

FIXTURE(peers)
{
	int channel;
	struct side consumer, other;
	/* Where a child says how far it is. */
	__u32 *said;
};

FIXTURE_SETUP(peers)
{
	struct krepis_geometry g = enforced_ring();

	g.buffer_count = BUFFERS;
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	self->said = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->said);
}

FIXTURE_TEARDOWN(peers)
{
}

static void say(FIXTURE_DATA(peers) *self, __u32 what)
{
	krepis_store_release(self->said, what);
}

static bool hear(FIXTURE_DATA(peers) *self, __u32 what)
{
	return within_ms(20000, krepis_load_acquire(self->said) == what);
}

/* ------------------------------------------------------------------------ deaths */

/* A child that hands over buffers 0, whose record it publishes, and 1, and waits. */
static pid_t producer_child(FIXTURE_DATA(peers) *self)
{
	pid_t pid = child();
	struct side s;

	if (pid)
		return pid;
	if (side_open(&s, self->channel, KREPIS_PRODUCER))
		_exit(1);
	fill(&s, 0, 10);
	fill(&s, 1, 11);
	fill(&s, 2, 12);
	if (handoff_publish(s.fd, 0, 1, 8, 0) || handoff(s.fd, 1, 1, 8))
		_exit(2);
	say(self, 1);
	for (;;)
		pause_ms(1000);
}

TEST_F(peers, what_a_dead_producer_gave_stays_with_the_consumers)
{
	struct side producer;
	pid_t pid;

	ASSERT_EQ(0, side_open(&self->other, self->channel, KREPIS_CONSUMER));
	pid = producer_child(self);
	ASSERT_TRUE(hear(self, 1));
	ASSERT_EQ(128 + SIGKILL, kill_and_reap(pid));
	EXPECT_EQ(1, self->consumer.info->producer_deaths);
	EXPECT_TRUE(is_held(&self->consumer, 0, 1, 3));
	EXPECT_TRUE(is_held(&self->consumer, 1, 1, 3));
	EXPECT_TRUE(filled(&self->consumer, 0, 10));
	EXPECT_TRUE(filled(&self->other, 1, 11));

	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	EXPECT_TRUE(is_held(&self->consumer, 0, 1, 3));
	EXPECT_TRUE(all_taken_away(&producer, 0));
	EXPECT_TRUE(all_taken_away(&producer, 1));
	EXPECT_EQ(-EPERM, handoff(producer.fd, 0, 1, 8));
	EXPECT_EQ(-EPERM, handoff(producer.fd, 1, 1, 8));
	/* What was not given is the successor's. */
	EXPECT_TRUE(filled(&producer, 2, 12));
	EXPECT_TRUE(all_writable(&producer, 2));
	EXPECT_TRUE(filled(&self->consumer, 0, 10));
	EXPECT_TRUE(filled(&self->other, 1, 11));

	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(all_taken_away(&producer, 0));
	ASSERT_EQ(0, release(self->other.fd, 0, 1));
	EXPECT_TRUE(is_back(&producer, 0, 2));
	EXPECT_TRUE(filled(&producer, 0, 10));
	EXPECT_TRUE(all_writable(&producer, 0));
	EXPECT_EQ(0, handoff(producer.fd, 0, 2, 8));
	EXPECT_EQ(2, self->consumer.desc[0].giver);
}

TEST_F(peers, what_is_released_meanwhile_is_the_next_producers)
{
	struct side producer;
	pid_t pid = producer_child(self);

	ASSERT_TRUE(hear(self, 1));
	ASSERT_EQ(128 + SIGKILL, kill_and_reap(pid));
	ASSERT_EQ(0, release(self->consumer.fd, 1, 1));
	EXPECT_TRUE(is_back(&self->consumer, 1, 2));
	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	EXPECT_TRUE(filled(&producer, 1, 11));
	EXPECT_TRUE(all_taken_away(&producer, 0));
	EXPECT_EQ(0, handoff(producer.fd, 1, 2, 8));
}

/* It writes and gives until it is killed, and never gets to a last one. */
static void give_for_ever(FIXTURE_DATA(peers) *self)
{
	struct side s;
	__u32 i;

	if (side_open(&s, self->channel, KREPIS_PRODUCER))
		_exit(1);
	say(self, *self->said + 1);
	for (i = 0;; i = (i + 1) % BUFFERS) {
		__u32 life = krepis_read(&s.desc[i].generation);

		if (krepis_read(&s.desc[i].state) != KREPIS_OWNED_PRODUCER)
			continue;
		fill(&s, i, life);
		handoff(s.fd, i, life, 8);
	}
}

TEST_F(peers, producer_dies_anywhere_and_no_given_byte_changes)
{
	struct side producer;
	int round, given = 0;
	__u32 i;

	srand(1);
	for (round = 1; round <= 40; round++) {
		pid_t pid = child();
		bool held[BUFFERS];

		if (!pid)
			give_for_ever(self);
		ASSERT_TRUE(hear(self, round));
		pause_ms(rand() % 5);
		ASSERT_EQ(128 + SIGKILL, kill_and_reap(pid));
		ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
		for (i = 0; i < BUFFERS; i++) {
			__u32 state = self->consumer.desc[i].state;
			__u32 life = self->consumer.desc[i].generation;

			ASSERT_NE(KREPIS_LOCKED, state);
			held[i] = state == KREPIS_OWNED_CONSUMER;
			given += held[i];
			ASSERT_EQ(!held[i], writes(payload_of(&producer, i)));
			ASSERT_TRUE(!held[i] || filled(&self->consumer, i, life));
			ASSERT_EQ(held[i] ? 0 : -ESTALE, release(self->consumer.fd, i, life));
		}
		side_close(&producer);
	}
	EXPECT_LT(0, given);
}

TEST_F(peers, dead_consumer_lets_go)
{
	struct side producer;
	pid_t pid;

	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	pid = child();
	if (!pid) {
		struct side s;

		if (side_open(&s, self->channel, KREPIS_CONSUMER))
			_exit(1);
		say(self, 1);
		for (;;)
			(void)reads(payload_of(&s, 0));
	}
	ASSERT_TRUE(hear(self, 1));
	fill(&producer, 0, 1);
	fill(&producer, 1, 2);
	ASSERT_EQ(0, handoff(producer.fd, 0, 1, 8));
	ASSERT_EQ(0, handoff(producer.fd, 1, 1, 8));
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(is_held(&self->consumer, 0, 1, 2));
	EXPECT_TRUE(is_held(&self->consumer, 1, 1, 3));
	ASSERT_EQ(128 + SIGKILL, kill_and_reap(pid));
	EXPECT_TRUE(is_back(&producer, 0, 2));
	EXPECT_TRUE(filled(&producer, 0, 1));
	EXPECT_TRUE(all_writable(&producer, 0));
	/* The other's hold is its own. */
	EXPECT_TRUE(is_held(&self->consumer, 1, 1, 1));
	EXPECT_TRUE(all_taken_away(&producer, 1));
	EXPECT_TRUE(filled(&self->consumer, 1, 2));
	ASSERT_EQ(0, release(self->consumer.fd, 1, 1));
	EXPECT_TRUE(all_writable(&producer, 1));
}

TEST_F(peers, all_that_was_given_comes_back_when_the_last_consumer_goes)
{
	struct side producer;
	__u32 i;

	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	for (i = 0; i < BUFFERS; i++)
		ASSERT_EQ(0, handoff(producer.fd, i, 1, 8));
	side_close(&self->consumer);
	for (i = 0; i < BUFFERS; i++) {
		EXPECT_TRUE(is_back(&producer, i, 2));
		EXPECT_TRUE(all_writable(&producer, i));
	}
	EXPECT_EQ(-ENOTCONN, handoff(producer.fd, 0, 2, 8));
}

TEST_F(peers, everybody_can_die)
{
	struct side producer;
	pid_t pid = producer_child(self);

	ASSERT_TRUE(hear(self, 1));
	ASSERT_EQ(128 + SIGKILL, kill_and_reap(pid));
	side_close(&self->consumer);
	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	EXPECT_TRUE(is_back(&producer, 0, 2));
	EXPECT_TRUE(is_back(&producer, 1, 2));
	EXPECT_TRUE(filled(&producer, 0, 10));
	EXPECT_TRUE(all_writable(&producer, 1));
}

/* ------------------------------------------------- one endpoint, many descriptors */

TEST_F(peers, derived_descriptor_is_the_same_owner)
{
	struct side producer, twin;
	int release_only = derive(self->consumer.fd, KREPIS_RIGHT_WRITE);

	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_map(&twin, derive(producer.fd, KREPIS_RIGHT_ALL)));
	fill(&twin, 0, 1);
	EXPECT_TRUE(filled(&producer, 0, 1));
	/* Whichever of them gives, both lose. */
	ASSERT_EQ(0, handoff(producer.fd, 0, 1, 8));
	EXPECT_TRUE(all_taken_away(&twin, 0));
	EXPECT_TRUE(all_taken_away(&producer, 0));
	EXPECT_EQ(-EPERM, handoff(twin.fd, 0, 1, 8));
	ASSERT_EQ(0, release(release_only, 0, 1));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(filled(&twin, 0, 1));
	ASSERT_EQ(0, handoff(twin.fd, 0, 2, 8));
	EXPECT_TRUE(all_taken_away(&twin, 0));
	EXPECT_TRUE(all_taken_away(&producer, 0));
}

TEST_F(peers, mapping_whose_descriptor_is_closed_loses_its_pages)
{
	struct side producer, twin;

	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_map(&twin, derive(producer.fd, KREPIS_RIGHT_ALL)));
	fill(&twin, 0, 1);
	close(twin.fd);
	ASSERT_EQ(0, handoff(producer.fd, 0, 1, 8));
	EXPECT_TRUE(all_taken_away(&twin, 0));
	/* And keeps the endpoint. */
	side_close(&producer);
	EXPECT_EQ(-EBUSY, attach(self->channel, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	munmap(payload_of(&twin, 1), twin.layout.size - (payload_of(&twin, 1) - twin.base));
	munmap(twin.base, twin.layout.payload);
	/* The one buffer that is left of it, which is not even there. */
	EXPECT_EQ(-EBUSY, attach(self->channel, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	EXPECT_TRUE(all_taken_away(&twin, 0));
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(filled(&twin, 0, 1));
	munmap(payload_of(&twin, 0), twin.layout.stride);
	EXPECT_LE(0, attach(self->channel, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
}

/* Writes on and on to buffer 0 as often as it can: a fault each time that it is away. */
struct scribbler {
	FIXTURE_DATA(peers) *peers;
	struct side side;
};

static void scribble(void *p)
{
	struct scribbler *s = p;
	__u32 *word = (__u32 *)payload_of(&s->side, 0), i, n = 0;

	for (;;) {
		for (i = 0; i < s->side.layout.stride / sizeof(*word); i += 256)
			krepis_write(&word[i], n);
		say(s->peers, ++n);
	}
}

static pid_t scribbler_child(FIXTURE_DATA(peers) *self, int socket)
{
	struct scribbler s = { .peers = self };
	pid_t pid = child();

	if (pid)
		return pid;
	if (side_map(&s.side, recv_fd(socket)))
		_exit(1);
	for (;;) {
		if (try_access(scribble, &s).signal != SIGBUS)
			_exit(2);
	}
}

TEST_F(peers, endpoint_that_was_passed_on_loses_its_pages_as_well)
{
	char *copy = malloc(4 * PAGE);
	struct side producer;
	int pair[2], i;
	__u32 life;
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = scribbler_child(self, pair[1]);
	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, send_fd(pair[0], producer.fd));
	for (life = 1; life <= 100; life++) {
		__u32 before = krepis_load_acquire(self->said);

		ASSERT_TRUE(within_ms(20000, krepis_load_acquire(self->said) > before + 2));
		ASSERT_EQ(0, handoff(producer.fd, 0, life, 8));
		memcpy(copy, payload_of(&self->consumer, 0), 4 * PAGE);
		before = krepis_load_acquire(self->said);
		for (i = 0; i < 20; i++)
			sched_yield();
		/* It may have been about to tell of what it had written. */
		ASSERT_GE(before + 1, krepis_load_acquire(self->said));
		ASSERT_EQ(0, memcmp(copy, payload_of(&self->consumer, 0), 4 * PAGE));
		ASSERT_EQ(0, release(self->consumer.fd, 0, life));
	}
	/* The endpoint lives in the other process. */
	side_close(&producer);
	EXPECT_EQ(-EBUSY, attach(self->channel, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	ASSERT_EQ(128 + SIGKILL, kill_and_reap(pid));
	EXPECT_LE(0, attach(self->channel, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
}

/* ---------------------------------------------------------------------- io_uring */

static void name_all(struct krepis_handoff *give, struct krepis_release_args *take, __u32 life)
{
	__u32 i;

	for (i = 0; i < BUFFERS; i++) {
		give[i] = (struct krepis_handoff) {
			.size = sizeof(*give), .handle = { i, life }, .len = 8,
		};
		take[i] = (struct krepis_release_args) {
			.size = sizeof(*take), .handle = { i, life },
		};
	}
}

static void batches(struct __test_metadata *_metadata, FIXTURE_DATA(peers) *self, __u32 setup,
		    __u8 flags)
{
	struct krepis_handoff give[BUFFERS];
	struct krepis_release_args take[BUFFERS];
	struct side producer;
	struct ring ring;
	__u32 life, i;

	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, ring_open(&ring, 8, setup));
	for (life = 1; life < 4; life++) {
		name_all(give, take, life);
		for (i = 0; i < BUFFERS; i++)
			fill(&producer, i, i + life);
		EXPECT_EQ(BUFFERS, ring_run(&ring, producer.fd, KREPIS_IOC_HANDOFF, give, BUFFERS, flags));
		for (i = 0; i < BUFFERS; i++) {
			EXPECT_TRUE(is_held(&self->consumer, i, life, 1));
			EXPECT_TRUE(all_taken_away(&producer, i));
			EXPECT_TRUE(filled(&self->consumer, i, i + life));
		}
		EXPECT_EQ(-EPERM, ring_run(&ring, producer.fd, KREPIS_IOC_HANDOFF, give, BUFFERS, flags));
		EXPECT_EQ(BUFFERS, ring_run(&ring, self->consumer.fd, KREPIS_IOC_RELEASE, take, BUFFERS,
					    flags));
		for (i = 0; i < BUFFERS; i++)
			EXPECT_TRUE(all_writable(&producer, i));
		EXPECT_EQ(-ESTALE, ring_run(&ring, self->consumer.fd, KREPIS_IOC_RELEASE, take, BUFFERS,
					    flags));
	}
	ring_close(&ring);
}

TEST_F(peers, batch_gives_and_releases_in_place)
{
	batches(_metadata, self, 0, 0);
}

TEST_F(peers, batch_gives_and_releases_by_a_worker)
{
	batches(_metadata, self, 0, IOSQE_ASYNC);
}

TEST_F(peers, batch_gives_and_releases_by_the_polling_thread)
{
	batches(_metadata, self, IORING_SETUP_SQPOLL, 0);
}

TEST_F(peers, batch_publishes_in_order_up_to_what_fails)
{
	struct krepis_handoff give[BUFFERS];
	struct krepis_release_args take[BUFFERS];
	struct side producer;
	struct ring ring;
	__u32 i;

	ASSERT_EQ(0, side_open(&producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, ring_open(&ring, 8, 0));
	name_all(give, take, 1);
	for (i = 0; i < BUFFERS; i++) {
		give[i].flags = KREPIS_HANDOFF_PUBLISH;
		give[i].sequence = i * 16;
	}
	give[9].handle.generation = 2;
	EXPECT_EQ(9, ring_run(&ring, producer.fd, KREPIS_IOC_HANDOFF, give, BUFFERS, 0));
	EXPECT_EQ(9 * 16, self->consumer.producer->head);
	EXPECT_TRUE(all_taken_away(&producer, 8));
	EXPECT_TRUE(all_writable(&producer, 9));
	EXPECT_TRUE(all_writable(&producer, 10));
	EXPECT_EQ(9, ring_run(&ring, self->consumer.fd, KREPIS_IOC_RELEASE, take, BUFFERS, 0));
	ring_close(&ring);
}

TEST(batch_takes_and_evicts)
{
	struct krepis_geometry g = enforced_ring();
	struct krepis_handoff give[BUFFERS];
	struct krepis_release_args take[BUFFERS];
	struct side producer, consumer;
	struct ring ring;
	__u32 i;
	int fd;

	g.backpressure = KREPIS_OVERWRITE;
	g.buffer_count = BUFFERS;
	fd = new_channel(&g);
	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	ASSERT_EQ(0, ring_open(&ring, 8, 0));
	name_all(give, take, 1);
	ASSERT_EQ(BUFFERS, ring_run(&ring, producer.fd, KREPIS_IOC_HANDOFF, give, BUFFERS, 0));
	EXPECT_EQ(5, ring_run(&ring, consumer.fd, KREPIS_IOC_TAKE, take, 5, 0));
	EXPECT_EQ(BUFFERS, ring_run(&ring, producer.fd, KREPIS_IOC_EVICT, take, BUFFERS, 0));
	for (i = 0; i < BUFFERS; i++)
		EXPECT_TRUE(i < 5 ? is_held(&consumer, i, 1, 1) : is_back(&consumer, i, 2));
	EXPECT_EQ(-ESTALE, ring_run(&ring, consumer.fd, KREPIS_IOC_TAKE, take + 5, 1, 0));
	EXPECT_EQ(5, ring_run(&ring, consumer.fd, KREPIS_IOC_RELEASE, take, BUFFERS, 0));
	EXPECT_TRUE(all_writable(&producer, 0));
	ring_close(&ring);
}

TEST_HARNESS_MAIN
