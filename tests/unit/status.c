// SPDX-License-Identifier: MIT
/*
 * What a query tells about a channel and its endpoints.
 */
#include <string.h>
#include <sys/stat.h>
#include "helpers.h"

static void a_query_tells_shape_and_size(void **state)
{
	struct krepis_channel *channel = create("query");
	struct krepis_status s = status_of(channel);
	struct stat st;

	(void)state;
	assert_ok(fstat(krepis_channel_fd(channel), &st));
	assert_int_equal(s.size, sizeof(s));
	assert_int_equal(s.channel_bytes, st.st_size);
	assert_int_equal(s.guarantee, KREPIS_COOPERATIVE);
	assert_string_equal(s.backend, on_kmod() ? "kmod" : "shm");
	assert_int_equal(s.geometry.ring_size, 4096);
	assert_int_equal(s.geometry.buffer_count, 4);
	krepis_channel_close(channel);
	assert_ok(krepis_unlink("query"));
}

static void a_query_tells_who_is_there(void **state)
{
	struct pair p = { .channel = anonymous(SMALL_RING()) };
	struct krepis_endpoint *second;
	struct krepis_status s = { .size = sizeof(s) };

	(void)state;
	assert_int_equal(status_of(p.channel).live, 0);
	assert_int_equal(status_of(p.channel).producer, 0);
	p.consumer = attach(p.channel, KREPIS_CONSUMER, 0);
	second = attach(p.channel, KREPIS_CONSUMER, 0);
	assert_int_equal(status_of(p.channel).live, 3);
	assert_ok(krepis_endpoint_query(second, &s));
	assert_int_equal(s.slot, 1);
	assert_int_equal(s.producer, 0);
	p.producer = attach(p.channel, KREPIS_PRODUCER, 0);
	assert_int_equal(status_of(p.channel).producer, 1);
	assert_ok(krepis_endpoint_query(second, &s));
	assert_int_equal(s.producer, 1);
	krepis_detach(p.consumer);
	assert_int_equal(status_of(p.channel).live, 2);
	krepis_detach(p.producer);
	assert_int_equal(status_of(p.channel).producer, 0);
	krepis_detach(second);
	assert_int_equal(status_of(p.channel).live, 0);
	assert_int_equal(status_of(p.channel).deaths, 0);
	krepis_channel_close(p.channel);
}

static void a_query_of_another_size_is_refused(void **state)
{
	static const uint32_t sizes[] = { 0, 4, sizeof(struct krepis_status) - 1,
					  sizeof(struct krepis_status) + 1, UINT32_MAX };
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct krepis_status s, before;

		memset(&s, 0xa5, sizeof(s));
		s.size = sizes[i];
		before = s;
		assert_error(krepis_query(p.channel, &s), EINVAL);
		assert_error(krepis_endpoint_query(p.producer, &s), EINVAL);
		assert_memory_equal(&s, &before, sizeof(s));
	}
	close_pair(&p);
}

static void counters_count_messages_and_bytes(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_counters sent, received;
	struct krepis_status s;

	(void)state;
	for (size_t len = 1; len <= 3; len++)
		assert_ok(krepis_send(p.producer, 1, "abc", len, KREPIS_NOWAIT));
	for (int i = 0; i < 3; i++) {
		struct krepis_msg msg;

		assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	}
	sent = counters_of(p.producer);
	received = counters_of(p.consumer);
	assert_int_equal(sent.messages, 3);
	assert_int_equal(sent.bytes, 6);
	assert_int_equal(received.messages, 3);
	assert_int_equal(received.bytes, 6);
	s = status_of(p.channel);
	assert_memory_equal(&s.counters, &sent, sizeof(sent));
	assert_memory_equal(&s.consumers[0], &received, sizeof(received));
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_query_tells_shape_and_size),
		CLAIM(a_query_tells_who_is_there),
		CLAIM(a_query_of_another_size_is_refused),
		CLAIM(counters_count_messages_and_bytes),
	};

	return RUN("status", tests);
}
