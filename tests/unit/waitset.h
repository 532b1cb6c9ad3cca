/* SPDX-License-Identifier: MIT */
/*
 * What the programs about wait sets share: a set with one member, and what it tells.
 */
#ifndef KREPIS_TEST_WAITSET_H
#define KREPIS_TEST_WAITSET_H

#include <krepis/waitset.h>
#include "helpers.h"

static inline struct krepis_waitset *new_set(void)
{
	struct krepis_waitset *set;

	must(!krepis_waitset_create(&set));
	return set;
}

/* A set with the consumer of a pair in it; its data is the pair. */
struct single {
	struct pair pair;
	struct krepis_waitset *set;
};

static inline struct single *open_single(uint32_t flags)
{
	static struct single s;

	s = (struct single){ .pair.channel = anonymous(SMALL_RING()), .set = new_set() };
	s.pair.producer = attach(s.pair.channel, KREPIS_PRODUCER, 0);
	s.pair.consumer = attach(s.pair.channel, KREPIS_CONSUMER, flags);
	must(!krepis_waitset_add(s.set, s.pair.consumer, &s.pair));
	return &s;
}

static inline void close_single(struct single *s)
{
	krepis_waitset_destroy(s->set);
	close_pair(&s->pair);
}

static inline void take_one(struct krepis_endpoint *consumer)
{
	struct krepis_msg msg;

	must(!krepis_recv(consumer, &msg, KREPIS_NOWAIT));
	must(!krepis_release(consumer, &msg));
}

/* One is ready, and it is @endpoint with @err. */
static inline void assert_told(struct krepis_waitset *set, struct krepis_endpoint *endpoint,
			       int err)
{
	struct krepis_ready ready = { .reserved = -1 };

	assert_int_equal(krepis_waitset_wait(set, &ready, 1, SOON), 1);
	assert_ptr_equal(ready.endpoint, endpoint);
	assert_int_equal(ready.err, err);
	assert_int_equal(ready.reserved, 0);
}

static inline int look(struct krepis_waitset *set)
{
	struct krepis_ready ready;

	return krepis_waitset_wait(set, &ready, 1, KREPIS_NOWAIT);
}

/* Nobody is ready, and that does not change. */
static inline void assert_quiet(struct krepis_waitset *set)
{
	struct krepis_ready ready;

	assert_int_equal(krepis_waitset_wait(set, &ready, 1, SHORTLY), -ETIMEDOUT);
	assert_int_equal(look(set), -EAGAIN);
}

#endif /* KREPIS_TEST_WAITSET_H */
