/* SPDX-License-Identifier: MIT */
/*
 * An enforced ring whose producer has given buffer 0 to both consumers, and has buffer 1.
 */
#ifndef _KSELFTEST_ENFORCED_FIXTURE_H
#define _KSELFTEST_ENFORCED_FIXTURE_H

#include <kselftest_harness.h>
#include "enforced.h"

/* What is in the fixture, of a channel with the geometry @g. */
#define OPEN_SIDES(g)									\
	do {										\
		self->channel = new_channel(g);						\
		ASSERT_LE(0, self->channel);						\
		ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER)); \
		ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER)); \
		ASSERT_EQ(0, side_open(&self->other, self->channel, KREPIS_CONSUMER));	\
		fill(&self->producer, 0, 100);						\
		fill(&self->producer, 1, 101);						\
		ASSERT_EQ(0, handoff(self->producer.fd, 0, 1, 8));			\
		picture_take(&self->before, &self->consumer);				\
	} while (0)

FIXTURE(enforced)
{
	int channel;
	struct side producer, consumer, other;
	struct picture before;
};

FIXTURE_SETUP(enforced)
{
	struct krepis_geometry g = enforced_ring();

	OPEN_SIDES(&g);
}

FIXTURE_TEARDOWN(enforced)
{
}

/* The consumer sees all pages, the producer's own among them. */
#define EXPECT_UNCHANGED()								\
	do {										\
		EXPECT_TRUE(picture_holds(&self->before, &self->consumer));		\
		EXPECT_TRUE(all_taken_away(&self->producer, 0));			\
		EXPECT_TRUE(all_writable(&self->producer, 1));				\
	} while (0)

#endif /* _KSELFTEST_ENFORCED_FIXTURE_H */
