// SPDX-License-Identifier: MIT
/*
 * Enforced triples: each side has one buffer, the third is nobody's, and the kernel
 * alone knows which is whose.
 */
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>
#include <krepis/triple.h>
#include "enforced.h"

FIXTURE(triple)
{
	int channel;
	__u32 back, front;
	struct side producer, consumer;
	struct picture before;
};

FIXTURE_SETUP(triple)
{
	struct krepis_geometry g = small_triple();

	g.flags = KREPIS_F_ENFORCED;
	g.buffer_size = 4 * PAGE;
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	self->back = self->producer.producer->back;
	self->front = consumer_of(&self->consumer, 0)->front;
	picture_take(&self->before, &self->consumer);
}

FIXTURE_TEARDOWN(triple)
{
}

#define EXPECT_UNCHANGED()								\
	do {										\
		EXPECT_TRUE(picture_holds(&self->before, &self->consumer));		\
		EXPECT_TRUE(has_only(&self->producer, self->back));			\
	} while (0)

/* Whether the producer has @index, and nothing else. */
static bool has_only(const struct side *s, __u32 index)
{
	__u32 i;

	for (i = 0; i < KREPIS_TRIPLE_BUFFERS; i++) {
		if (i == index ? !all_writable(s, i) : !all_taken_away(s, i))
			return false;
	}
	return true;
}

/* Publishes a buffer that is filled with @seed. Return: the producer's next one. */
static int publish_value(const struct side *s, __u32 back, __u32 seed)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .handle = { back, 1 }, .len = 4 * PAGE, .type = (__u16)seed,
	};

	fill(s, back, seed);
	return command(s->fd, KREPIS_IOC_HANDOFF, &a);
}

TEST_F(triple, new_one_is_empty)
{
	const char *p = payload_of(&self->consumer, 0);
	__u32 i;

	EXPECT_LT(self->back, KREPIS_TRIPLE_BUFFERS);
	EXPECT_LT(self->front, KREPIS_TRIPLE_BUFFERS);
	EXPECT_NE(self->back, self->front);
	EXPECT_EQ(0, *p);
	EXPECT_EQ(0, memcmp(p, p + 1, 3 * self->consumer.layout.stride - 1));
	for (i = 0; i < KREPIS_TRIPLE_BUFFERS; i++)
		EXPECT_EQ(krepis_own_word(KREPIS_OWNED_PRODUCER, 1), self->consumer.desc[i].word);
	EXPECT_TRUE(has_only(&self->producer, self->back));
}

TEST_F(triple, values_go_from_one_side_to_the_other)
{
	__u32 i;
	int got;

	for (i = 1; i < 10; i++) {
		got = publish_value(&self->producer, self->back, i);
		ASSERT_LE(0, got);
		ASSERT_NE(self->back, (__u32)got);
		ASSERT_NE(self->front, (__u32)got);
		EXPECT_TRUE(has_only(&self->producer, (__u32)got));
		EXPECT_EQ(krepis_triple_word(self->back, true, i), self->consumer.exchange->word);
		/* What the consumer looks at is what it was. */
		EXPECT_TRUE(i == 1 || filled(&self->consumer, self->front, i - 1));
		EXPECT_EQ(self->back, (__u32)release(self->consumer.fd, self->front, 1));
		self->front = self->back;
		self->back = (__u32)got;
		EXPECT_TRUE(filled(&self->consumer, self->front, i));
		EXPECT_EQ(i, self->consumer.desc[self->front].sequence);
		EXPECT_EQ(i, self->consumer.desc[self->front].type);
		EXPECT_EQ(4 * PAGE, self->consumer.desc[self->front].len);
		EXPECT_TRUE(has_only(&self->producer, self->back));
	}
}

TEST_F(triple, consumer_gets_the_latest)
{
	__u32 i, next;
	int got;

	for (i = 1; i < 8; i++) {
		got = publish_value(&self->producer, self->back, i);
		ASSERT_LE(0, got);
		EXPECT_NE(self->front, (__u32)got);
		self->back = (__u32)got;
	}
	next = (__u32)release(self->consumer.fd, self->front, 1);
	ASSERT_LT(next, KREPIS_TRIPLE_BUFFERS);
	EXPECT_NE(self->back, next);
	EXPECT_TRUE(filled(&self->consumer, next, 7));
	EXPECT_EQ(7, self->consumer.desc[next].sequence);
}

TEST_F(triple, publication_wakes_who_said_that_it_sleeps)
{
	struct pollfd p = { .fd = self->consumer.fd, .events = POLLIN };
	__u32 event = event_of(&self->consumer);
	pid_t pid;

	self->back = (__u32)publish_value(&self->producer, self->back, 1);
	EXPECT_EQ(event, event_of(&self->consumer));
	EXPECT_EQ(1, poll(&p, 1, 0));
	self->front = (__u32)release(self->consumer.fd, self->front, 1);
	EXPECT_EQ(0, poll(&p, 1, 0));
	pid = child();
	if (!pid)
		_exit(poll(&p, 1, 30000) == 1 && p.revents == POLLIN ? 0 : 1);
	ASSERT_TRUE(until_sleeps_in(pid, SYS_poll));
	ASSERT_LE(0, publish_value(&self->producer, self->back, 2));
	EXPECT_EQ(0, reap(pid));
}

TEST_F(triple, only_the_kernel_writes_the_exchange)
{
	EXPECT_EQ(SIGSEGV, fault_at(self->producer.exchange, true).signal);
	EXPECT_EQ(SIGSEGV, fault_at(self->consumer.exchange, true).signal);
	EXPECT_EQ(SIGSEGV, fault_at(self->producer.desc, true).signal);
	EXPECT_EQ(-1, mprotect(self->producer.exchange, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(SIGSEGV, fault_at(payload_of(&self->consumer, self->front), true).signal);
	EXPECT_UNCHANGED();
}

/* ---------------------------------------------------------------------- refusals */

TEST_F(triple, handoff_of_a_buffer_that_the_producer_does_not_have_is_refused)
{
	__u32 middle = 3 - self->back - self->front;

	EXPECT_EQ(-EPERM, handoff(self->producer.fd, middle, 1, 8));
	EXPECT_EQ(-EPERM, handoff(self->producer.fd, self->front, 1, 8));
	EXPECT_UNCHANGED();
}

TEST_F(triple, handoff_twice_is_refused)
{
	__u32 old = self->back;

	self->back = (__u32)publish_value(&self->producer, self->back, 1);
	picture_take(&self->before, &self->consumer);
	EXPECT_EQ(-EPERM, handoff(self->producer.fd, old, 1, 8));
	EXPECT_UNCHANGED();
	EXPECT_TRUE(filled(&self->consumer, old, 1));
}

TEST_F(triple, handoff_of_no_buffer_is_invalid)
{
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, 3, 1, 8));
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, ~0U, 1, 8));
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, self->back, 0, 8));
	EXPECT_UNCHANGED();
}

TEST_F(triple, handoff_of_more_than_the_buffer_holds_is_too_long)
{
	EXPECT_EQ(-EMSGSIZE, handoff(self->producer.fd, self->back, 1, 4 * PAGE + 1));
	EXPECT_UNCHANGED();
}

TEST_F(triple, handoff_with_a_record_is_invalid)
{
	EXPECT_EQ(-EINVAL, handoff_publish(self->producer.fd, self->back, 1, 8, 0));
	EXPECT_UNCHANGED();
}

TEST_F(triple, handoff_by_the_consumer_is_refused)
{
	EXPECT_EQ(-EPERM, handoff(self->consumer.fd, self->front, 1, 8));
	EXPECT_UNCHANGED();
}

TEST_F(triple, commands_without_the_right_are_refused)
{
	__u32 rest = KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WRITE;

	EXPECT_EQ(-EACCES, handoff(derive(self->producer.fd, rest), self->back, 1, 8));
	EXPECT_EQ(-EACCES, release(derive(self->consumer.fd, rest), self->front, 1));
	EXPECT_UNCHANGED();
}

TEST_F(triple, release_with_nothing_fresh_is_to_be_tried_again)
{
	EXPECT_EQ(-EAGAIN, release(self->consumer.fd, self->front, 1));
	EXPECT_UNCHANGED();
	self->back = (__u32)publish_value(&self->producer, self->back, 1);
	self->front = (__u32)release(self->consumer.fd, self->front, 1);
	picture_take(&self->before, &self->consumer);
	EXPECT_EQ(-EAGAIN, release(self->consumer.fd, self->front, 1));
	EXPECT_UNCHANGED();
}

TEST_F(triple, release_of_a_buffer_that_the_consumer_does_not_have_is_refused)
{
	__u32 middle = self->back;

	self->back = (__u32)publish_value(&self->producer, self->back, 1);
	picture_take(&self->before, &self->consumer);
	EXPECT_EQ(-EPERM, release(self->consumer.fd, middle, 1));
	EXPECT_EQ(-EPERM, release(self->consumer.fd, self->back, 1));
	EXPECT_UNCHANGED();
	EXPECT_EQ(middle, (__u32)release(self->consumer.fd, self->front, 1));
}

TEST_F(triple, release_of_no_buffer_is_invalid)
{
	self->back = (__u32)publish_value(&self->producer, self->back, 1);
	picture_take(&self->before, &self->consumer);
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, 3, 1));
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, ~0U, 1));
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, self->front, 0));
	EXPECT_UNCHANGED();
}

TEST_F(triple, release_by_the_producer_is_refused)
{
	EXPECT_EQ(-EPERM, release(self->producer.fd, self->back, 1));
	EXPECT_UNCHANGED();
}

TEST_F(triple, take_and_evict_are_not_for_triples)
{
	EXPECT_EQ(-EOPNOTSUPP, take(self->consumer.fd, self->front, 1));
	EXPECT_EQ(-EOPNOTSUPP, evict(self->producer.fd, self->back, 1));
	EXPECT_UNCHANGED();
}

/* ------------------------------------------------------------------------ deaths */

TEST_F(triple, new_producer_finds_a_buffer_that_nobody_looks_at)
{
	__u32 next;

	self->back = (__u32)publish_value(&self->producer, self->back, 1);
	self->front = (__u32)release(self->consumer.fd, self->front, 1);
	self->back = (__u32)publish_value(&self->producer, self->back, 2);
	next = 3 - self->back - self->front;
	memset(payload_of(&self->producer, self->back), 0x33, PAGE);
	side_close(&self->producer);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	EXPECT_EQ(self->back, self->producer.producer->back);
	EXPECT_TRUE(has_only(&self->producer, self->back));
	EXPECT_TRUE(filled(&self->consumer, self->front, 1));
	/* What its predecessor published is there to be taken. */
	EXPECT_EQ(next, (__u32)release(self->consumer.fd, self->front, 1));
	EXPECT_TRUE(filled(&self->consumer, next, 2));
	ASSERT_LE(0, publish_value(&self->producer, self->back, 3));
	EXPECT_EQ(3, self->consumer.desc[self->back].sequence);
}

TEST_F(triple, new_consumer_finds_a_buffer_that_the_producer_does_not_have)
{
	__u32 next;

	self->back = (__u32)publish_value(&self->producer, self->back, 1);
	self->front = (__u32)release(self->consumer.fd, self->front, 1);
	self->back = (__u32)publish_value(&self->producer, self->back, 2);
	side_close(&self->consumer);
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	EXPECT_EQ(self->front, consumer_of(&self->consumer, 0)->front);
	EXPECT_TRUE(filled(&self->consumer, self->front, 1));
	EXPECT_TRUE(has_only(&self->producer, self->back));
	next = (__u32)release(self->consumer.fd, self->front, 1);
	ASSERT_LT(next, KREPIS_TRIPLE_BUFFERS);
	EXPECT_TRUE(filled(&self->consumer, next, 2));
}

TEST_F(triple, producer_publishes_to_nobody_and_who_comes_gets_the_latest)
{
	__u32 i, front;

	side_close(&self->consumer);
	for (i = 1; i < 6; i++) {
		self->back = (__u32)publish_value(&self->producer, self->back, i);
		ASSERT_LT(self->back, KREPIS_TRIPLE_BUFFERS);
		EXPECT_TRUE(has_only(&self->producer, self->back));
	}
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	front = (__u32)release(self->consumer.fd, consumer_of(&self->consumer, 0)->front, 1);
	ASSERT_LT(front, KREPIS_TRIPLE_BUFFERS);
	EXPECT_NE(self->back, front);
	EXPECT_TRUE(filled(&self->consumer, front, 5));
}

TEST_F(triple, both_can_be_new)
{
	int first;

	for (first = 0; first < 2; first++) {
		struct side *s[2] = { &self->producer, &self->consumer };

		self->back = self->producer.producer->back;
		ASSERT_LE(0, publish_value(&self->producer, self->back, 1 + first));
		side_close(&self->producer);
		side_close(&self->consumer);
		ASSERT_EQ(0, side_open(s[first], self->channel,
				       first ? KREPIS_CONSUMER : KREPIS_PRODUCER));
		ASSERT_EQ(0, side_open(s[!first], self->channel,
				       first ? KREPIS_PRODUCER : KREPIS_CONSUMER));
		self->back = self->producer.producer->back;
		self->front = consumer_of(&self->consumer, 0)->front;
		EXPECT_NE(self->back, self->front);
		EXPECT_TRUE(has_only(&self->producer, self->back));
		self->front = (__u32)release(self->consumer.fd, self->front, 1);
		ASSERT_LT(self->front, KREPIS_TRIPLE_BUFFERS);
		EXPECT_TRUE(filled(&self->consumer, self->front, 1 + first));
	}
}

/* The notes in the pages are for their owners: the kernel believes its own. */
TEST_F(triple, forged_note_changes_nothing)
{
	__u32 values[] = { self->front, 3 - self->back - self->front, 3, ~0U };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(values); i++) {
		krepis_write(&self->producer.producer->back, values[i]);
		EXPECT_EQ(-EPERM, handoff(self->producer.fd, self->front, 1, 8));
		EXPECT_TRUE(has_only(&self->producer, self->back));
		side_close(&self->consumer);
		ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
		EXPECT_EQ(self->front, consumer_of(&self->consumer, 0)->front);
		krepis_write(&consumer_of(&self->consumer, 0)->front, values[i]);
		side_close(&self->producer);
		ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
		EXPECT_EQ(self->back, self->producer.producer->back);
		EXPECT_TRUE(has_only(&self->producer, self->back));
	}
}

/* --------------------------------------------------------------------- at a pace */

#define PUBLISHED 2000

static int take_all(int fd)
{
	struct side s;
	__u32 front, last = 0;

	if (side_map(&s, fd))
		return 2;
	front = consumer_of(&s, s.slot)->front;
	while (last != PUBLISHED) {
		int got = release(fd, front, 1);

		if (got == -EAGAIN) {
			sched_yield();
			continue;
		}
		if (got < 0 || s.desc[got].sequence <= last)
			return 1;
		front = (__u32)got;
		last = (__u32)s.desc[got].sequence;
		if (!filled(&s, front, last))
			return 3;
	}
	return 0;
}

TEST_F(triple, no_value_is_torn_or_old)
{
	pid_t pid = child();
	__u32 i;

	if (!pid)
		_exit(take_all(self->consumer.fd));
	for (i = 1; i <= PUBLISHED; i++) {
		self->back = (__u32)publish_value(&self->producer, self->back, i);
		ASSERT_LT(self->back, KREPIS_TRIPLE_BUFFERS);
	}
	EXPECT_EQ(0, reap(pid));
}

TEST_HARNESS_MAIN
