// SPDX-License-Identifier: MIT
/*
 * The names of buffers: they find what is held, in its present life, and nothing else.
 */
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

static void each_life_of_a_buffer_has_another_generation(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_handle last = { 0 };

	(void)state;
	for (uint64_t n = 0; n < 100; n++) {
		struct krepis_buffer *buffer = acquire(p.producer);
		struct krepis_handle handle = krepis_buffer_handle(buffer);
		struct krepis_msg msg;

		assert_int_equal(handle.index, 0);
		assert_int_not_equal(handle.generation, 0);
		assert_int_not_equal(handle.generation, last.generation);
		publish(p.producer, buffer, n);
		msg = receive(p.consumer, n);
		assert_int_equal(msg.generation, handle.generation);
		assert_ok(krepis_release(p.consumer, &msg));
		last = handle;
	}
	close_pair(&p);
}

static void the_generation_changes_with_the_last_release_only(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_endpoint *other = attach(p.channel, KREPIS_CONSUMER, 0);
	struct view v = open_view(p.channel);
	struct krepis_msg msg[2];
	uint32_t generation;

	(void)state;
	publish(p.producer, acquire(p.producer), 1);
	generation = v.desc[0].generation;
	assert_int_equal(v.desc[0].state, KREPIS_OWNED_CONSUMER);
	msg[0] = receive(p.consumer, 1);
	msg[1] = receive(other, 1);
	assert_ok(krepis_release(p.consumer, &msg[0]));
	assert_int_equal(v.desc[0].generation, generation);
	assert_int_equal(v.desc[0].state, KREPIS_OWNED_CONSUMER);
	assert_ok(krepis_release(other, &msg[1]));
	assert_int_equal(v.desc[0].generation, generation + 1);
	assert_int_equal(v.desc[0].state, KREPIS_OWNED_PRODUCER);
	krepis_detach(other);
	close_view(&v);
	close_pair(&p);
}

static void a_handle_finds_the_buffer_at_both_sides(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquire(p.producer), *found = NULL;
	struct krepis_handle handle = krepis_buffer_handle(buffer);
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_buffer_lookup(p.producer, handle, &found));
	assert_ptr_equal(found, buffer);
	publish(p.producer, buffer, 1);
	msg = receive(p.consumer, 1);
	assert_ok(krepis_buffer_lookup(p.consumer, handle, &found));
	assert_ptr_equal(found, msg.buffer);
	close_pair(&p);
}

static void lookup_is_refused(struct krepis_endpoint *ep, struct krepis_handle handle, int err)
{
	struct krepis_buffer *untouched = (void *)&untouched, *found = untouched;

	assert_error(krepis_buffer_lookup(ep, handle, &found), err);
	assert_ptr_equal(found, untouched);
}

static void an_index_out_of_range_is_refused(void **state)
{
	static const uint32_t indices[] = { 4, 5, 65536, INT32_MAX, UINT32_MAX };
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(indices); i++) {
		struct krepis_handle handle = { .index = indices[i], .generation = 1 };

		lookup_is_refused(p.producer, handle, ERANGE);
		lookup_is_refused(p.consumer, handle, ERANGE);
	}
	close_pair(&p);
}

static void another_generation_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquire(p.producer);
	struct krepis_handle handle = krepis_buffer_handle(buffer), other = handle;

	(void)state;
	other.generation = handle.generation + 1;
	lookup_is_refused(p.producer, other, ESTALE);
	other.generation = handle.generation - 1;
	lookup_is_refused(p.producer, other, ESTALE);
	publish(p.producer, buffer, 1);
	receive(p.consumer, 1);
	lookup_is_refused(p.consumer, other, ESTALE);
	close_pair(&p);
}

static void a_zeroed_handle_names_nothing(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	lookup_is_refused(p.producer, (struct krepis_handle){ 0 }, ESTALE);
	for (int i = 0; i < 4; i++)
		acquire(p.producer);
	lookup_is_refused(p.producer, (struct krepis_handle){ 0 }, ESTALE);
	close_pair(&p);
}

static void the_handle_of_a_life_that_is_over_is_stale(void **state)
{
	struct pair p = open_pair(SMALL_RING(.buffer_count = 1));
	struct krepis_buffer *buffer = acquire(p.producer);
	struct krepis_handle handle = krepis_buffer_handle(buffer);
	struct krepis_msg msg;

	(void)state;
	publish(p.producer, buffer, 1);
	msg = receive(p.consumer, 1);
	assert_ok(krepis_release(p.consumer, &msg));
	publish(p.producer, acquire(p.producer), 2);
	lookup_is_refused(p.producer, handle, ESTALE);
	receive(p.consumer, 2);
	lookup_is_refused(p.consumer, handle, ESTALE);
	close_pair(&p);
}

static void a_handle_that_is_not_held_is_refused(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_buffer *buffer = acquire(p.producer);
	struct krepis_handle handle = krepis_buffer_handle(buffer);
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_abandon(p.producer, buffer));
	lookup_is_refused(p.producer, handle, EPERM);
	buffer = acquire(p.producer);
	handle = krepis_buffer_handle(buffer);
	publish(p.producer, buffer, 1);
	lookup_is_refused(p.producer, handle, EPERM);
	msg = receive(p.consumer, 1);
	assert_ok(krepis_release(p.consumer, &msg));
	lookup_is_refused(p.consumer, handle, EPERM);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(each_life_of_a_buffer_has_another_generation),
		CLAIM(the_generation_changes_with_the_last_release_only),
		CLAIM(a_handle_finds_the_buffer_at_both_sides),
		CLAIM(an_index_out_of_range_is_refused),
		CLAIM(another_generation_is_refused),
		CLAIM(a_zeroed_handle_names_nothing),
		CLAIM(the_handle_of_a_life_that_is_over_is_stale),
		CLAIM(a_handle_that_is_not_held_is_refused),
	};

	return RUN("handle", tests);
}
