// SPDX-License-Identifier: MIT
/*
 * The commands of enforced rings: publication with the hand-over, what is for channels
 * that overwrite, and every reason for which one is refused. After a refusal nothing
 * has changed.
 */
#include <sched.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>
#include "enforced_fixture.h"

/* -------------------------------------------------------------------- publishing */

/* Where the next record goes, and the handle in it. */
static __u64 put_record(const struct side *s, __u32 index, __u32 generation)
{
	__u64 at = s->producer->head;
	struct krepis_handle handle = { index, generation };
	char *to = s->base + s->layout.ring + (at & (s->geometry.ring_size - 1));
	struct krepis_record record = { .len = sizeof(handle), .flags = KREPIS_MSG_BUFFER };

	memcpy(to, &record, sizeof(record));
	memcpy(to + sizeof(record), &handle, sizeof(handle));
	return at;
}

TEST_F(enforced, publish_moves_the_head_behind_the_record)
{
	__u64 at = put_record(&self->producer, 2, 1);

	ASSERT_EQ(0, handoff(self->producer.fd, 3, 1, 8));
	EXPECT_EQ(at, self->consumer.producer->head);
	ASSERT_EQ(0, handoff_publish(self->producer.fd, 2, 1, 8, at));
	EXPECT_EQ(at + 16, self->consumer.producer->head);
	EXPECT_EQ(at, self->consumer.desc[2].sequence);
	EXPECT_TRUE(is_held(&self->consumer, 2, 1, 3));
	EXPECT_TRUE(all_taken_away(&self->producer, 2));
}

TEST_F(enforced, publish_disturbs_nobody_who_is_awake)
{
	__u32 before[3];

	memcpy(before, self->consumer.info->event, sizeof(before));
	ASSERT_EQ(0, handoff_publish(self->producer.fd, 2, 1, 8, 0));
	EXPECT_EQ(0, memcmp(before, self->consumer.info->event, sizeof(before)));
}

TEST_F(enforced, publish_tells_those_who_said_that_they_sleep)
{
	const __u32 *event = self->consumer.info->event;
	__u32 before[3];

	memcpy(before, event, sizeof(before));
	consumer_of(&self->other, self->other.slot)->waiter.waiting = KREPIS_SLEEP | KREPIS_ASLEEP;
	ASSERT_EQ(0, handoff_publish(self->producer.fd, 2, 1, 8, 0));
	EXPECT_EQ(before[0], event[0]);
	EXPECT_EQ(before[1], event[1]);
	EXPECT_EQ(before[2] + 1, event[2]);
}

TEST_F(enforced, publish_and_wake_tells_everybody)
{
	const __u32 *event = self->consumer.info->event;
	struct krepis_handoff a = {
		.size = sizeof(a), .flags = KREPIS_HANDOFF_PUBLISH | KREPIS_HANDOFF_WAKE,
		.handle = { 2, 1 },
	};
	__u32 before[3];

	memcpy(before, event, sizeof(before));
	ASSERT_EQ(0, command(self->producer.fd, KREPIS_IOC_HANDOFF, &a));
	EXPECT_EQ(before[0], event[0]);
	EXPECT_EQ(before[1] + 1, event[1]);
	EXPECT_EQ(before[2] + 1, event[2]);
	EXPECT_EQ(16, self->consumer.producer->head);
}

/* Sleeps until the head is @head, by WAIT or by epoll. */
static int sleep_until(int fd, bool by_epoll, __u64 head)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLET };
	int ep = epoll_create1(0);
	struct krepis_waiter *w;
	struct side s;

	if (side_map(&s, fd) || (by_epoll && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)))
		return 2;
	w = &consumer_of(&s, s.slot)->waiter;
	while (krepis_load_acquire(&s.producer->head) != head) {
		__u32 event = event_of(&s);

		if (by_epoll) {
			epoll_wait(ep, &e, 1, -1);
			continue;
		}
		krepis_write(&w->waiting, KREPIS_SLEEP | KREPIS_ASLEEP | KREPIS_FENCE);
		krepis_mb();
		if (krepis_load_acquire(&s.producer->head) != head)
			wait_word(fd, event_at(&s), event, FOR_EVER);
	}
	return is_held(&s, 2, 1, 3) && filled(&s, 2, 9) ? 0 : 1;
}

static void publish_to_sleepers(struct __test_metadata *_metadata, FIXTURE_DATA(enforced) *self,
				bool by_epoll)
{
	const struct side *s[2] = { &self->consumer, &self->other };
	pid_t pid[2];
	int i;

	fill(&self->producer, 2, 9);
	for (i = 0; i < 2; i++) {
		pid[i] = child();
		if (!pid[i])
			_exit(sleep_until(s[i]->fd, by_epoll, 16));
	}
	for (i = 0; i < 2; i++)
		ASSERT_TRUE(until_sleeps_in(pid[i], by_epoll ? SYS_epoll_wait : SYS_ioctl));
	ASSERT_EQ(0, handoff_publish(self->producer.fd, 2, 1, 8, 0));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, reap(pid[i]));
}

TEST_F(enforced, publish_wakes_who_sleeps_in_wait)
{
	publish_to_sleepers(_metadata, self, false);
}

TEST_F(enforced, publish_wakes_who_sleeps_in_epoll)
{
	publish_to_sleepers(_metadata, self, true);
}

#define PUBLISHED 500

/* Whoever sees the record finds the buffer that it names. */
static int receive_all(int fd)
{
	struct side s;
	__u32 i;

	if (side_map(&s, fd))
		return 2;
	for (i = 0; i < PUBLISHED; i++) {
		struct krepis_handle handle;
		const char *at = s.base + s.layout.ring + (i * 16 & (s.geometry.ring_size - 1));

		while (krepis_load_acquire(&s.producer->head) == i * 16ULL)
			sched_yield();
		memcpy(&handle, at + sizeof(struct krepis_record), sizeof(handle));
		if (krepis_load_acquire(&s.desc[handle.index].word) !=
		    krepis_own_word(KREPIS_OWNED_CONSUMER, handle.generation) ||
		    !(krepis_read(&s.desc[handle.index].holders) & 1U << s.slot) ||
		    s.desc[handle.index].sequence != i * 16ULL || !filled(&s, handle.index, i) ||
		    release(fd, handle.index, handle.generation))
			return 1;
	}
	return 0;
}

TEST_F(enforced, record_is_visible_only_with_its_buffer)
{
	pid_t pid[2];
	__u32 i;

	pid[0] = child();
	if (!pid[0])
		_exit(receive_all(self->consumer.fd));
	pid[1] = child();
	if (!pid[1])
		_exit(receive_all(self->other.fd));
	for (i = 0; i < PUBLISHED; i++) {
		__u32 index = 2 + i % 2, generation = 1 + i / 2;

		ASSERT_TRUE(within_ms(20000, is_back(&self->producer, index, generation)));
		fill(&self->producer, index, i);
		ASSERT_EQ(0, handoff_publish(self->producer.fd, index, generation, 8,
					     put_record(&self->producer, index, generation)));
	}
	EXPECT_EQ(0, reap(pid[0]));
	EXPECT_EQ(0, reap(pid[1]));
}

TEST_F(enforced, publish_that_is_refused_publishes_nothing)
{
	consumer_of(&self->other, self->other.slot)->waiter.waiting = KREPIS_SLEEP | KREPIS_ASLEEP;
	picture_take(&self->before, &self->consumer);
	EXPECT_EQ(-EPERM, handoff_publish(self->producer.fd, 0, 1, 8, 0));
	EXPECT_EQ(-ESTALE, handoff_publish(self->producer.fd, 1, 2, 8, 0));
	EXPECT_EQ(-EMSGSIZE, handoff_publish(self->producer.fd, 1, 1, 4 * PAGE + 1, 0));
	EXPECT_EQ(-EINVAL, handoff_publish(self->producer.fd, 4, 1, 8, 0));
	EXPECT_EQ(-EPERM, handoff_publish(self->consumer.fd, 1, 1, 8, 0));
	EXPECT_UNCHANGED();
}

TEST(publish_to_nobody_publishes_nothing)
{
	struct krepis_geometry g = enforced_ring();
	struct side s;
	struct picture before;

	ASSERT_EQ(0, side_open(&s, new_channel(&g), KREPIS_PRODUCER));
	fill(&s, 1, 3);
	picture_take(&before, &s);
	EXPECT_EQ(-ENOTCONN, handoff_publish(s.fd, 1, 1, 8, 0));
	EXPECT_TRUE(picture_holds(&before, &s));
	EXPECT_TRUE(filled(&s, 1, 3));
	EXPECT_TRUE(all_writable(&s, 1));
}

TEST(publish_in_a_cooperative_ring_is_invalid)
{
	struct krepis_geometry g = small_ring();
	struct side producer, consumer;
	struct picture before;
	int fd = new_channel(&g);

	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	picture_take(&before, &producer);
	EXPECT_EQ(-EINVAL, handoff_publish(producer.fd, 1, 1, 8, 0));
	EXPECT_TRUE(picture_holds(&before, &producer));
}

/* ---------------------------------------------------------------------- refusals */

TEST_F(enforced, handoff_by_a_consumer_is_refused)
{
	EXPECT_EQ(-EPERM, handoff(self->consumer.fd, 1, 1, 8));
	EXPECT_UNCHANGED();
}

TEST_F(enforced, handoff_of_no_buffer_is_invalid)
{
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, 4, 1, 8));
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, ~0U, 1, 8));
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, 1, 0, 8));
	EXPECT_UNCHANGED();
}

TEST_F(enforced, handoff_of_another_life_is_stale)
{
	EXPECT_EQ(-ESTALE, handoff(self->producer.fd, 1, 2, 8));
	EXPECT_EQ(-ESTALE, handoff(self->producer.fd, 1, ~0U, 8));
	EXPECT_EQ(-ESTALE, handoff(self->producer.fd, 0, 2, 8));
	EXPECT_UNCHANGED();
}

TEST_F(enforced, handoff_of_what_the_producer_does_not_have_is_refused)
{
	EXPECT_EQ(-EPERM, handoff(self->producer.fd, 0, 1, 8));
	EXPECT_UNCHANGED();
}

TEST_F(enforced, handoff_of_more_than_the_buffer_holds_is_too_long)
{
	EXPECT_EQ(-EMSGSIZE, handoff(self->producer.fd, 1, 1, 4 * PAGE + 1));
	EXPECT_EQ(-EMSGSIZE, handoff(self->producer.fd, 1, 1, ~0U));
	EXPECT_UNCHANGED();
	EXPECT_EQ(0, handoff(self->producer.fd, 1, 1, 4 * PAGE));
}

TEST_F(enforced, handoff_without_the_right_is_refused)
{
	EXPECT_EQ(-EACCES, handoff(derive(self->producer.fd, KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WRITE),
				   1, 1, 8));
	EXPECT_UNCHANGED();
	EXPECT_EQ(0, handoff(derive(self->producer.fd, KREPIS_RIGHT_WRITE), 1, 1, 8));
}

TEST_F(enforced, handoff_to_nobody_is_not_connected_and_takes_nothing)
{
	side_close(&self->consumer);
	side_close(&self->other);
	picture_take(&self->before, &self->producer);
	EXPECT_EQ(-ENOTCONN, handoff(self->producer.fd, 1, 1, 8));
	EXPECT_TRUE(picture_holds(&self->before, &self->producer));
	EXPECT_TRUE(filled(&self->producer, 1, 101));
	EXPECT_TRUE(all_writable(&self->producer, 1));
}

TEST_F(enforced, release_by_the_producer_is_refused)
{
	EXPECT_EQ(-EPERM, release(self->producer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(enforced, release_of_no_buffer_is_invalid)
{
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, 4, 1));
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, ~0U, 1));
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, 0, 0));
	EXPECT_UNCHANGED();
}

TEST_F(enforced, release_of_what_the_consumer_does_not_hold_is_stale)
{
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 2));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, ~0U));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 1, 1));
	EXPECT_UNCHANGED();
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	picture_take(&self->before, &self->consumer);
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(enforced, release_without_the_right_is_refused)
{
	EXPECT_EQ(-EACCES, release(derive(self->consumer.fd, KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WRITE),
				   0, 1));
	EXPECT_UNCHANGED();
	EXPECT_EQ(0, release(derive(self->consumer.fd, KREPIS_RIGHT_WRITE), 0, 1));
}

TEST_F(enforced, take_and_evict_are_not_for_rings_that_do_not_overwrite)
{
	EXPECT_EQ(-EOPNOTSUPP, take(self->consumer.fd, 0, 1));
	EXPECT_EQ(-EOPNOTSUPP, evict(self->producer.fd, 0, 1));
	EXPECT_EQ(-EPERM, take(self->producer.fd, 0, 1));
	EXPECT_EQ(-EPERM, evict(self->consumer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST(take_and_evict_are_not_for_cooperative_rings)
{
	struct krepis_geometry g = small_ring();
	struct side producer, consumer;
	struct picture before;
	int fd;

	g.backpressure = KREPIS_OVERWRITE;
	fd = new_channel(&g);
	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	ASSERT_EQ(0, handoff(producer.fd, 0, 1, 8));
	picture_take(&before, &producer);
	EXPECT_EQ(-EOPNOTSUPP, take(consumer.fd, 0, 1));
	EXPECT_EQ(-EOPNOTSUPP, evict(producer.fd, 0, 1));
	EXPECT_TRUE(picture_holds(&before, &producer));
}

TEST(ring_without_buffers_has_nothing_to_take_away)
{
	struct krepis_geometry g = small_ring();
	struct side producer, consumer;
	struct picture before;
	int fd;

	g.flags = KREPIS_F_ENFORCED | KREPIS_F_NO_BUFFERS;
	g.backpressure = KREPIS_OVERWRITE;
	g.buffer_count = 0;
	g.buffer_size = 0;
	fd = new_channel(&g);
	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	/* Nothing is there that would have to be mapped apart. */
	ASSERT_NE(MAP_FAILED, mmap(NULL, producer.layout.size, PROT_READ, MAP_SHARED, producer.fd, 0));
	picture_take(&before, &consumer);
	EXPECT_EQ(-EINVAL, handoff(producer.fd, 0, 1, 0));
	EXPECT_EQ(-EINVAL, release(consumer.fd, 0, 1));
	EXPECT_EQ(-EINVAL, take(consumer.fd, 0, 1));
	EXPECT_EQ(-EINVAL, evict(producer.fd, 0, 1));
	EXPECT_TRUE(picture_holds(&before, &consumer));
}

/* --------------------------------------------------------------------- overwrite */

FIXTURE(overwrite)
{
	int channel;
	struct side producer, consumer, other;
	struct picture before;
};

FIXTURE_SETUP(overwrite)
{
	struct krepis_geometry g = enforced_ring();

	g.backpressure = KREPIS_OVERWRITE;
	OPEN_SIDES(&g);
}

FIXTURE_TEARDOWN(overwrite)
{
}

TEST_F(overwrite, buffer_that_all_took_comes_back_after_the_last_release)
{
	ASSERT_EQ(0, take(self->consumer.fd, 0, 1));
	ASSERT_EQ(0, take(self->other.fd, 0, 1));
	EXPECT_EQ(krepis_own_word(3, 1), self->consumer.desc[0].claim);
	EXPECT_TRUE(is_held(&self->consumer, 0, 1, 3));
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
	EXPECT_TRUE(filled(&self->other, 0, 100));
	ASSERT_EQ(0, release(self->other.fd, 0, 1));
	EXPECT_TRUE(is_back(&self->producer, 0, 2));
	EXPECT_TRUE(filled(&self->producer, 0, 100));
	EXPECT_TRUE(all_writable(&self->producer, 0));
}

TEST_F(overwrite, buffer_that_nobody_took_comes_back_by_evict)
{
	ASSERT_EQ(0, evict(self->producer.fd, 0, 1));
	EXPECT_TRUE(is_back(&self->consumer, 0, 2));
	EXPECT_TRUE(filled(&self->producer, 0, 100));
	EXPECT_TRUE(all_writable(&self->producer, 0));
	EXPECT_EQ(-ESTALE, take(self->consumer.fd, 0, 1));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 1));
	EXPECT_EQ(0, handoff(self->producer.fd, 0, 2, 8));
}

TEST_F(overwrite, who_took_it_keeps_it_and_who_did_not_loses_it)
{
	ASSERT_EQ(0, take(self->consumer.fd, 0, 1));
	ASSERT_EQ(0, evict(self->producer.fd, 0, 1));
	EXPECT_TRUE(is_held(&self->consumer, 0, 1, 1));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	EXPECT_EQ(-ESTALE, take(self->other.fd, 0, 1));
	EXPECT_EQ(-ESTALE, release(self->other.fd, 0, 1));
	EXPECT_TRUE(is_held(&self->consumer, 0, 1, 1));
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(is_back(&self->producer, 0, 2));
	EXPECT_TRUE(all_writable(&self->producer, 0));
}

TEST_F(overwrite, evict_twice_takes_nothing_more)
{
	ASSERT_EQ(0, take(self->consumer.fd, 0, 1));
	ASSERT_EQ(0, evict(self->producer.fd, 0, 1));
	picture_take(&self->before, &self->consumer);
	EXPECT_EQ(0, evict(self->producer.fd, 0, 1));
	EXPECT_TRUE(picture_holds(&self->before, &self->consumer));
	EXPECT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_EQ(-ESTALE, evict(self->producer.fd, 0, 1));
}

TEST_F(overwrite, next_life_begins_with_nothing_taken)
{
	ASSERT_EQ(0, take(self->consumer.fd, 0, 1));
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	ASSERT_EQ(0, evict(self->producer.fd, 0, 1));
	ASSERT_EQ(0, handoff(self->producer.fd, 0, 2, 8));
	EXPECT_EQ(krepis_own_word(0, 2), self->consumer.desc[0].claim);
	EXPECT_EQ(-ESTALE, take(self->consumer.fd, 0, 1));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 2));
	EXPECT_EQ(0, take(self->consumer.fd, 0, 2));
	EXPECT_EQ(0, release(self->consumer.fd, 0, 2));
}

TEST_F(overwrite, release_without_take_is_stale)
{
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, take_of_no_buffer_is_invalid)
{
	EXPECT_EQ(-EINVAL, take(self->consumer.fd, 4, 1));
	EXPECT_EQ(-EINVAL, take(self->consumer.fd, ~0U, 1));
	EXPECT_EQ(-EINVAL, take(self->consumer.fd, 0, 0));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, take_of_what_the_consumer_does_not_hold_is_stale)
{
	EXPECT_EQ(-ESTALE, take(self->consumer.fd, 0, 2));
	EXPECT_EQ(-ESTALE, take(self->consumer.fd, 1, 1));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, take_twice_is_stale)
{
	ASSERT_EQ(0, take(self->consumer.fd, 0, 1));
	picture_take(&self->before, &self->consumer);
	EXPECT_EQ(-ESTALE, take(self->consumer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, take_by_the_producer_is_refused)
{
	EXPECT_EQ(-EPERM, take(self->producer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, take_and_evict_without_the_right_are_refused)
{
	__u32 rest = KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WRITE;

	EXPECT_EQ(-EACCES, take(derive(self->consumer.fd, rest), 0, 1));
	EXPECT_EQ(-EACCES, evict(derive(self->producer.fd, rest), 0, 1));
	EXPECT_UNCHANGED();
	EXPECT_EQ(0, take(derive(self->consumer.fd, KREPIS_RIGHT_WRITE), 0, 1));
	EXPECT_EQ(0, evict(derive(self->producer.fd, KREPIS_RIGHT_WRITE), 0, 1));
}

TEST_F(overwrite, evict_by_a_consumer_is_refused)
{
	EXPECT_EQ(-EPERM, evict(self->consumer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, evict_of_no_buffer_is_invalid)
{
	EXPECT_EQ(-EINVAL, evict(self->producer.fd, 4, 1));
	EXPECT_EQ(-EINVAL, evict(self->producer.fd, ~0U, 1));
	EXPECT_EQ(-EINVAL, evict(self->producer.fd, 0, 0));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, evict_of_what_the_consumers_do_not_have_is_stale)
{
	EXPECT_EQ(-ESTALE, evict(self->producer.fd, 0, 2));
	EXPECT_EQ(-ESTALE, evict(self->producer.fd, 1, 1));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, publish_is_invalid)
{
	EXPECT_EQ(-EINVAL, handoff_publish(self->producer.fd, 1, 1, 8, 0));
	EXPECT_UNCHANGED();
}

TEST_F(overwrite, hold_of_a_consumer_that_went_is_dropped_whether_taken_or_not)
{
	ASSERT_EQ(0, handoff(self->producer.fd, 1, 1, 8));
	ASSERT_EQ(0, take(self->other.fd, 1, 1));
	side_close(&self->other);
	EXPECT_TRUE(is_held(&self->consumer, 0, 1, 1));
	EXPECT_TRUE(is_held(&self->consumer, 1, 1, 1));
	ASSERT_EQ(0, evict(self->producer.fd, 0, 1));
	ASSERT_EQ(0, evict(self->producer.fd, 1, 1));
	EXPECT_TRUE(all_writable(&self->producer, 0));
	EXPECT_TRUE(all_writable(&self->producer, 1));
}

TEST_HARNESS_MAIN
