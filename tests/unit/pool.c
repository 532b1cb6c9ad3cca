// SPDX-License-Identifier: MIT
/*
 * The pool of free buffers, however many, and from whatever thread.
 */
#include <pthread.h>
#include <stdlib.h>
#include "helpers.h"

static struct krepis_buffer *acquire(struct krepis_endpoint *producer)
{
	struct krepis_buffer *buffer = NULL;

	assert_ok(krepis_acquire(producer, &buffer, KREPIS_NOWAIT));
	return buffer;
}

static void publish(struct krepis_endpoint *producer, struct krepis_buffer *buffer, uint64_t seed)
{
	size_t size = krepis_buffer_size(buffer);

	fill(krepis_buffer_data(buffer), size, seed);
	assert_ok(krepis_publish(producer, buffer, 1, size, 0, KREPIS_NOWAIT));
}

static struct krepis_msg receive(struct krepis_endpoint *consumer, uint64_t seed)
{
	struct krepis_msg msg;

	assert_ok(krepis_recv(consumer, &msg, KREPIS_NOWAIT));
	assert_non_null(msg.buffer);
	assert_int_equal(msg.len, krepis_buffer_size(msg.buffer));
	assert_true(filled(msg.data, msg.len, seed));
	return msg;
}

static void none_to_acquire(struct krepis_endpoint *producer)
{
	struct krepis_buffer *untouched = (void *)&untouched, *buffer = untouched;

	assert_error(krepis_acquire(producer, &buffer, KREPIS_NOWAIT), EAGAIN);
	assert_ptr_equal(buffer, untouched);
}

static void *acquire_two(void *arg)
{
	struct krepis_endpoint *producer = arg;
	struct krepis_buffer *buffers[2];

	for (int i = 0; i < 2; i++)
		must(!krepis_acquire(producer, &buffers[i], KREPIS_NOWAIT));
	for (int i = 0; i < 2; i++)
		must(!krepis_abandon(producer, buffers[i]));
	return NULL;
}

static void what_an_ended_thread_abandoned_is_not_lost(void **state)
{
	static const uint32_t flags[] = { 0, KREPIS_ATTACH_NO_CACHE };

	(void)state;
	for (size_t f = 0; f < ARRAY_SIZE(flags); f++) {
		struct krepis_channel *channel = anonymous(SMALL_RING());
		struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, flags[f]);

		for (int i = 0; i < 10; i++) {
			pthread_t thread;

			assert_ok(pthread_create(&thread, NULL, acquire_two, producer));
			assert_ok(pthread_join(thread, NULL));
			assert_int_equal(count_free(producer), 4);
		}
		krepis_detach(producer);
		krepis_channel_close(channel);
	}
}

#define MANY	65536

/* Each of many buffers is handed out once; all of them go there and back. */
static void all_of_many_buffers_come_back(uint32_t flags)
{
	struct krepis_channel *channel = anonymous(OPTIONS(.ring_size = 2 << 20, .buffer_size = 64,
							   .buffer_count = MANY));
	struct krepis_endpoint *producer = attach(channel, KREPIS_PRODUCER, flags);
	struct krepis_endpoint *consumer = attach(channel, KREPIS_CONSUMER, flags);
	struct krepis_buffer **buffers = calloc(MANY, sizeof(*buffers));
	struct krepis_msg *msgs = calloc(MANY, sizeof(*msgs));
	uint8_t *seen = calloc(MANY, 1);

	assert_true(buffers && msgs && seen);
	for (uint64_t n = 0; n < MANY; n++) {
		buffers[n] = acquire(producer);
		assert_false(seen[krepis_buffer_handle(buffers[n]).index]++);
	}
	none_to_acquire(producer);
	for (uint64_t n = 0; n < MANY; n++)
		publish(producer, buffers[n], n);
	for (uint64_t n = 0; n < MANY; n++)
		msgs[n] = receive(consumer, n);
	none_to_acquire(producer);
	for (uint64_t n = 0; n < MANY; n++)
		assert_ok(krepis_release(consumer, &msgs[n * 40503 % MANY]));
	for (uint64_t n = 0; n < MANY; n++)
		buffers[n] = acquire(producer);
	none_to_acquire(producer);
	for (uint64_t n = 0; n < MANY; n++)
		assert_ok(krepis_abandon(producer, buffers[n]));
	for (uint64_t n = 0; n < MANY; n++)
		acquire(producer);
	none_to_acquire(producer);
	free(seen);
	free(msgs);
	free(buffers);
	krepis_detach(consumer);
	krepis_detach(producer);
	krepis_channel_close(channel);
}

static void all_of_65536_buffers_come_back(void **state)
{
	(void)state;
	all_of_many_buffers_come_back(0);
}

static void all_of_65536_buffers_come_back_without_caches(void **state)
{
	(void)state;
	all_of_many_buffers_come_back(KREPIS_ATTACH_NO_CACHE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(what_an_ended_thread_abandoned_is_not_lost),
		CLAIM(all_of_65536_buffers_come_back),
		CLAIM(all_of_65536_buffers_come_back_without_caches),
	};

	return RUN("pool", tests);
}
