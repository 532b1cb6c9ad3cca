// SPDX-License-Identifier: MIT
/*
 * HANDOFF and RELEASE, WAIT and WAKE: what they do, and every reason for which
 * they are refused. After a refusal nothing has changed.
 */
#include <kselftest_harness.h>
#include <krepis/triple.h>
#include "util.h"

FIXTURE(transfer)
{
	int channel;
	struct side producer, consumer, other;
	struct picture before;
};

FIXTURE_SETUP(transfer)
{
	struct krepis_geometry g = small_ring();

	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	ASSERT_EQ(0, side_open(&self->other, self->channel, KREPIS_CONSUMER));
	ASSERT_EQ(0, handoff(self->producer.fd, 0, 1, 8));
	picture_take(&self->before, &self->producer);
}

FIXTURE_TEARDOWN(transfer)
{
}

#define EXPECT_UNCHANGED() EXPECT_TRUE(picture_holds(&self->before, &self->producer))

/* ------------------------------------------------------------------ handoff */

TEST_F(transfer, handoff_gives_the_buffer_to_all_consumers)
{
	const struct krepis_desc *d = &self->consumer.desc[1];
	struct krepis_handoff a = {
		.size = sizeof(a), .handle = { 1, 1 }, .len = PAGE, .type = 7,
		.msg_flags = KREPIS_MSG_CRC32C, .crc32c = 0x12345678, .sequence = 1ULL << 40,
	};

	ASSERT_EQ(0, command(self->producer.fd, KREPIS_IOC_HANDOFF, &a));
	EXPECT_EQ(KREPIS_OWNED_CONSUMER, d->state);
	EXPECT_EQ(1, d->generation);
	EXPECT_EQ(3, d->holders);
	EXPECT_EQ(PAGE, d->len);
	EXPECT_EQ(7, d->type);
	EXPECT_EQ(KREPIS_MSG_CRC32C, d->flags);
	EXPECT_EQ(0x12345678, d->crc32c);
	EXPECT_EQ(1ULL << 40, d->sequence);
}

TEST_F(transfer, handoff_wakes_the_consumers_only_if_asked)
{
	struct krepis_handoff a = {
		.size = sizeof(a), .flags = KREPIS_HANDOFF_WAKE, .handle = { 2, 1 },
	};
	__u32 before[3];

	memcpy(before, self->producer.info->event, sizeof(before));
	ASSERT_EQ(0, handoff(self->producer.fd, 1, 1, 0));
	EXPECT_EQ(0, memcmp(before, self->producer.info->event, sizeof(before)));
	ASSERT_EQ(0, command(self->producer.fd, KREPIS_IOC_HANDOFF, &a));
	EXPECT_EQ(before[0], self->producer.info->event[0]);
	EXPECT_EQ(before[1] + 1, self->producer.info->event[1]);
	EXPECT_EQ(before[2] + 1, self->producer.info->event[2]);
}

TEST_F(transfer, handoff_by_a_consumer_is_refused)
{
	EXPECT_EQ(-EPERM, handoff(self->consumer.fd, 1, 1, 8));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, handoff_of_no_buffer_is_invalid)
{
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, 4, 1, 8));
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, KREPIS_MAX_BUFFERS, 1, 8));
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, ~0U, 1, 8));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, handoff_of_generation_zero_is_invalid)
{
	EXPECT_EQ(-EINVAL, handoff(self->producer.fd, 1, 0, 8));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, handoff_of_another_life_is_stale)
{
	EXPECT_EQ(-ESTALE, handoff(self->producer.fd, 1, 2, 8));
	EXPECT_EQ(-ESTALE, handoff(self->producer.fd, 1, ~0U, 8));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, handoff_of_a_past_life_is_stale)
{
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	ASSERT_EQ(0, release(self->other.fd, 0, 1));
	picture_take(&self->before, &self->producer);
	EXPECT_EQ(-ESTALE, handoff(self->producer.fd, 0, 1, 8));
	EXPECT_UNCHANGED();
	EXPECT_EQ(0, handoff(self->producer.fd, 0, 2, 8));
}

TEST_F(transfer, handoff_twice_is_refused)
{
	EXPECT_EQ(-EPERM, handoff(self->producer.fd, 0, 1, 8));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, handoff_of_more_than_the_buffer_holds_is_too_long)
{
	EXPECT_EQ(-EMSGSIZE, handoff(self->producer.fd, 1, 1, PAGE + 1));
	EXPECT_EQ(-EMSGSIZE, handoff(self->producer.fd, 1, 1, ~0U));
	EXPECT_UNCHANGED();
	EXPECT_EQ(0, handoff(self->producer.fd, 1, 1, PAGE));
}

TEST_F(transfer, handoff_with_a_message_flag_that_is_not_the_callers_is_invalid)
{
	__u32 flag;

	for (flag = 1; flag < 1U << 16; flag <<= 1) {
		struct krepis_handoff a = {
			.size = sizeof(a), .handle = { 1, 1 }, .msg_flags = (__u16)flag,
		};

		if (flag != KREPIS_MSG_CRC32C)
			EXPECT_EQ(-EINVAL, command(self->producer.fd, KREPIS_IOC_HANDOFF, &a));
	}
	EXPECT_UNCHANGED();
}

TEST_F(transfer, handoff_to_nobody_is_not_connected)
{
	side_close(&self->consumer);
	side_close(&self->other);
	picture_take(&self->before, &self->producer);
	EXPECT_EQ(-ENOTCONN, handoff(self->producer.fd, 1, 1, 8));
	EXPECT_UNCHANGED();
}

TEST(handoff_before_anybody_came_is_not_connected)
{
	struct krepis_geometry g = small_ring();
	struct side s;
	struct picture before;

	ASSERT_EQ(0, side_open(&s, new_channel(&g), KREPIS_PRODUCER));
	picture_take(&before, &s);
	EXPECT_EQ(-ENOTCONN, handoff(s.fd, 1, 1, 8));
	EXPECT_TRUE(picture_holds(&before, &s));
}

/* ------------------------------------------------------------------ release */

TEST_F(transfer, last_release_brings_the_buffer_back_and_wakes_the_producer)
{
	const struct krepis_desc *d = &self->producer.desc[0];
	__u32 event = event_of(&self->producer);

	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_EQ(2, d->holders);
	EXPECT_EQ(KREPIS_OWNED_CONSUMER, d->state);
	EXPECT_EQ(event, event_of(&self->producer));
	ASSERT_EQ(0, release(self->other.fd, 0, 1));
	EXPECT_EQ(0, d->holders);
	EXPECT_EQ(KREPIS_OWNED_PRODUCER, d->state);
	EXPECT_EQ(2, d->generation);
	EXPECT_EQ(event + 1, event_of(&self->producer));
}

TEST_F(transfer, release_by_the_producer_is_refused)
{
	EXPECT_EQ(-EPERM, release(self->producer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, release_of_no_buffer_is_invalid)
{
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, 4, 1));
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, ~0U, 1));
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, 0, 0));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, release_of_another_life_is_stale)
{
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 2));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, ~0U));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, release_of_what_was_not_handed_over_is_stale)
{
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 1, 1));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, release_twice_is_stale)
{
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	picture_take(&self->before, &self->producer);
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, release_by_one_who_came_later_is_stale)
{
	side_close(&self->other);
	ASSERT_EQ(0, side_open(&self->other, self->channel, KREPIS_CONSUMER));
	picture_take(&self->before, &self->producer);
	EXPECT_EQ(-ESTALE, release(self->other.fd, 0, 1));
	EXPECT_UNCHANGED();
}

/* ------------------------------------------------------- channels without buffers */

TEST(triple_has_nothing_to_hand_over)
{
	struct krepis_geometry g = small_triple();
	int fd = new_channel(&g);
	struct side producer, consumer;
	struct picture before;

	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	picture_take(&before, &producer);
	EXPECT_EQ(-EINVAL, handoff(producer.fd, 0, 1, 8));
	EXPECT_EQ(-EINVAL, release(consumer.fd, 0, 1));
	EXPECT_TRUE(picture_holds(&before, &producer));
}

TEST(channel_without_buffers_has_nothing_to_hand_over)
{
	struct krepis_geometry g = small_ring();
	struct side producer, consumer;
	struct picture before;
	int fd;

	g.flags = KREPIS_F_NO_BUFFERS;
	g.buffer_count = 0;
	g.buffer_size = 0;
	fd = new_channel(&g);
	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	picture_take(&before, &producer);
	EXPECT_EQ(-EINVAL, handoff(producer.fd, 0, 1, 0));
	EXPECT_EQ(-EINVAL, release(consumer.fd, 0, 1));
	EXPECT_TRUE(picture_holds(&before, &producer));
}

/*
 * The producer of a triple broke the exchange word: who attaches is refused, and
 * what its predecessor left in the slot is as it was.
 */
TEST(attach_to_a_broken_triple_changes_nothing)
{
	struct krepis_geometry g = small_triple();
	int fd = new_channel(&g);
	struct side producer, consumer;
	struct picture before;
	__u64 word;

	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	consumer_of(&consumer, 0)->counters.messages = 5;
	side_close(&consumer);
	word = producer.exchange->word;
	krepis_write(&producer.exchange->word, KREPIS_EXCHANGE_INDEX);
	picture_take(&before, &producer);
	EXPECT_EQ(-ETIMEDOUT, attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	EXPECT_TRUE(picture_holds(&before, &producer));
	krepis_write(&producer.exchange->word, word);
	EXPECT_LE(0, attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
}

TEST(attach_to_a_triple_that_was_left_broken_changes_nothing)
{
	struct krepis_geometry g = small_triple();
	int fd = new_channel(&g);
	struct krepis_info_query before, after;
	struct side producer;

	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	krepis_write(&producer.exchange->word, KREPIS_EXCHANGE_INDEX);
	krepis_write(&producer.producer->counters.messages, 5);
	side_close(&producer);
	ASSERT_EQ(0, query(fd, &before));
	EXPECT_EQ(-EPROTO, attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	EXPECT_EQ(-EPROTO, attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	ASSERT_EQ(0, query(fd, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

/* -------------------------------------------------------------- wait and wake */

TEST_F(transfer, wait_at_a_place_that_is_no_word_is_invalid)
{
	const struct krepis_layout *l = &self->consumer.layout;
	__u64 places[] = { 1, 2, 3, 257, l->ring - 1, l->ring, l->ring + 4, l->payload,
			   l->size, l->size + 4, 1ULL << 32, 1ULL << 63, ~3ULL, ~0ULL };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++)
		EXPECT_EQ(-EINVAL, wait_word(self->consumer.fd, places[i], ~0U, 0));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, wait_may_be_at_any_word_before_the_ring)
{
	const struct krepis_layout *l = &self->consumer.layout;
	__u64 at;

	for (at = 0; at < l->ring; at += 4) {
		__u32 value = *(__u32 *)(self->consumer.base + at);

		ASSERT_EQ(0, wait_word(self->consumer.fd, at, value + 1, FOR_EVER));
		ASSERT_EQ(-ETIMEDOUT, wait_word(self->consumer.fd, at, value, 0));
	}
	EXPECT_UNCHANGED();
}

TEST_F(transfer, wait_returns_at_once_if_the_value_differs)
{
	__u32 value = event_of(&self->consumer);
	__u64 at = event_at(&self->consumer);

	EXPECT_EQ(0, wait_word(self->consumer.fd, at, value + 1, FOR_EVER));
	EXPECT_EQ(0, wait_word(self->consumer.fd, at, value - 1, 0));
	EXPECT_EQ(0, wait_word(self->consumer.fd, at, value ^ 1U << 31, now_ns() - 1));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, wait_until_the_past_times_out)
{
	__u32 value = event_of(&self->consumer);
	__s64 past[] = { 0, 1, -1, INT64_MIN, now_ns() };
	int i;

	for (i = 0; i < 5; i++)
		EXPECT_EQ(-ETIMEDOUT, wait_word(self->consumer.fd, event_at(&self->consumer), value,
						past[i]));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, wake_reaches_whom_it_addresses)
{
	const __u32 *event = self->producer.info->event;
	__u32 mask, before[3];

	for (mask = 1; mask < 4; mask++) {
		memcpy(before, event, sizeof(before));
		ASSERT_EQ(0, wake(self->producer.fd, mask, 0));
		EXPECT_EQ(before[0], event[0]);
		EXPECT_EQ(before[1] + (mask & 1), event[1]);
		EXPECT_EQ(before[2] + (mask >> 1), event[2]);
	}
	memcpy(before, event, sizeof(before));
	ASSERT_EQ(0, wake(self->consumer.fd, 0, 0));
	EXPECT_EQ(before[0] + 1, event[0]);
	EXPECT_EQ(0, memcmp(before + 1, event + 1, 8));
}

TEST_F(transfer, wake_of_itself_reaches_nobody_else)
{
	const __u32 *event = self->producer.info->event;
	__u32 before[3];

	memcpy(before, event, sizeof(before));
	ASSERT_EQ(0, wake(self->producer.fd, 0, KREPIS_WAKE_SELF));
	ASSERT_EQ(0, wake(self->other.fd, 0, KREPIS_WAKE_SELF));
	EXPECT_EQ(before[0] + 1, event[0]);
	EXPECT_EQ(before[1], event[1]);
	EXPECT_EQ(before[2] + 1, event[2]);
}

TEST_F(transfer, wake_of_those_who_are_not_there_is_ignored)
{
	EXPECT_EQ(0, wake(self->producer.fd, ~3U, 0));
	EXPECT_UNCHANGED();
	side_close(&self->other);
	picture_take(&self->before, &self->producer);
	EXPECT_EQ(0, wake(self->producer.fd, 2, 0));
	EXPECT_UNCHANGED();
}

TEST_F(transfer, wake_that_addresses_wrongly_is_invalid)
{
	EXPECT_EQ(-EINVAL, wake(self->producer.fd, 0, 0));
	EXPECT_EQ(-EINVAL, wake(self->producer.fd, 1, KREPIS_WAKE_SELF));
	EXPECT_EQ(-EINVAL, wake(self->consumer.fd, 1, 0));
	EXPECT_EQ(-EINVAL, wake(self->consumer.fd, 1, KREPIS_WAKE_SELF));
	/* Others cannot be stopped. */
	EXPECT_EQ(-EINVAL, wake(self->consumer.fd, 0, KREPIS_WAKE_STOP));
	EXPECT_EQ(-EINVAL, wake(self->producer.fd, 1, KREPIS_WAKE_STOP));
	EXPECT_EQ(-EINVAL, wake(self->producer.fd, 1, KREPIS_WAKE_STOP | KREPIS_WAKE_SELF));
	EXPECT_UNCHANGED();
}

TEST_HARNESS_MAIN
