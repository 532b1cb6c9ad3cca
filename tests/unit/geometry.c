// SPDX-License-Identifier: MIT
/*
 * The arithmetic of a channel's shape: which geometries are one, and where the regions stand.
 */
#include <stdlib.h>
#include <string.h>
#include "helpers.h"

static const struct krepis_geometry ring = {
	.kind = KREPIS_RING,
	.max_consumers = 8,
	.inline_max = 4096,
	.buffer_count = 16,
	.page_size = 4096,
	.ring_size = 256 << 10,
	.buffer_size = 1 << 20,
};

static const struct krepis_geometry triple = {
	.kind = KREPIS_TRIPLE,
	.max_consumers = 1,
	.buffer_count = 3,
	.page_size = 4096,
	.buffer_size = 5000,
};

/* @geometry with one field set: what the check says. */
#define WITH(geometry, field, value)                    \
	({                                              \
		struct krepis_geometry g_ = (geometry); \
                                                        \
		g_.field = (value);                     \
		krepis_geometry_check(&g_);             \
	})

static void a_ring_and_a_triple_are_accepted(void **state)
{
	(void)state;
	assert_ok(krepis_geometry_check(&ring));
	assert_ok(krepis_geometry_check(&triple));
}

static void every_kind_but_the_two_is_refused(void **state)
{
	(void)state;
	assert_error(WITH(ring, kind, 0), EINVAL);
	assert_error(WITH(ring, kind, 3), EINVAL);
	assert_error(WITH(ring, kind, UINT32_MAX), EINVAL);
	assert_error(WITH(ring, kind, KREPIS_TRIPLE), EINVAL);
	assert_error(WITH(triple, kind, KREPIS_RING), EINVAL);
}

static void every_unknown_flag_is_refused(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 32; bit++) {
		if (1U << bit & ~KREPIS_F_ALL)
			assert_error(WITH(ring, flags, 1U << bit), EINVAL);
		if (1U << bit != KREPIS_F_ENFORCED)
			assert_error(WITH(triple, flags, 1U << bit), EINVAL);
	}
}

static void rings_and_triples_may_be_enforced(void **state)
{
	(void)state;
	assert_ok(WITH(ring, flags, KREPIS_F_ENFORCED));
	assert_ok(WITH(triple, flags, KREPIS_F_ENFORCED));
}

static void an_exclusive_ring_is_enforced_and_has_one_consumer_and_buffers(void **state)
{
	struct krepis_geometry g = ring;

	(void)state;
	g.flags = KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE;
	g.max_consumers = 1;
	assert_ok(krepis_geometry_check(&g));
	g.flags = KREPIS_F_EXCLUSIVE;
	assert_error(krepis_geometry_check(&g), EINVAL);
	g.flags = KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE;
	g.max_consumers = 2;
	assert_error(krepis_geometry_check(&g), EINVAL);
	g.max_consumers = 1;
	g.backpressure = KREPIS_OVERWRITE;
	assert_error(krepis_geometry_check(&g), EINVAL);
	g.backpressure = KREPIS_BLOCK;
	g.flags |= KREPIS_F_NO_BUFFERS;
	g.buffer_count = 0;
	g.buffer_size = 0;
	assert_error(krepis_geometry_check(&g), EINVAL);
}

static void page_sizes_are_powers_of_two_from_4_to_64_kib(void **state)
{
	(void)state;
	for (uint32_t size = 4096; size <= 65536; size *= 2)
		assert_ok(WITH(ring, page_size, size));
	assert_error(WITH(ring, page_size, 0), EINVAL);
	assert_error(WITH(ring, page_size, 1), EINVAL);
	assert_error(WITH(ring, page_size, 2048), EINVAL);
	assert_error(WITH(ring, page_size, 4095), EINVAL);
	assert_error(WITH(ring, page_size, 12288), EINVAL);
	assert_error(WITH(ring, page_size, 131072), EINVAL);
	assert_error(WITH(ring, page_size, 1U << 31), EINVAL);
}

static void a_ring_is_a_power_of_two_from_4_kib_to_1_gib(void **state)
{
	struct krepis_geometry small = ring;

	(void)state;
	small.inline_max = 8;
	for (uint64_t size = 4096; size <= 1 << 30; size *= 2)
		assert_ok(WITH(small, ring_size, size));
	assert_error(WITH(small, ring_size, 0), EINVAL);
	assert_error(WITH(small, ring_size, 2048), EINVAL);
	assert_error(WITH(small, ring_size, 4097), EINVAL);
	assert_error(WITH(small, ring_size, 3 << 12), EINVAL);
	assert_error(WITH(small, ring_size, 1ULL << 31), EINVAL);
	assert_error(WITH(small, ring_size, 1ULL << 32), EINVAL);
	assert_error(WITH(small, ring_size, 1ULL << 63), EINVAL);
}

static void a_ring_smaller_than_a_page_is_refused(void **state)
{
	struct krepis_geometry small = ring;

	(void)state;
	small.inline_max = 8;
	small.page_size = 65536;
	assert_ok(WITH(small, ring_size, 65536));
	assert_error(WITH(small, ring_size, 32768), EINVAL);
}

static void four_messages_of_inline_max_fit_the_ring(void **state)
{
	(void)state;
	assert_ok(WITH(ring, inline_max, 8));
	assert_ok(WITH(ring, inline_max, 65528));
	assert_error(WITH(ring, inline_max, 65529), EINVAL);
	assert_error(WITH(ring, inline_max, 0), EINVAL);
	assert_error(WITH(ring, inline_max, 7), EINVAL);
	assert_error(WITH(ring, inline_max, 65537), EINVAL);
	assert_error(WITH(ring, inline_max, UINT32_MAX), EINVAL);
	assert_error(WITH(ring, inline_max, UINT32_MAX - 7), EINVAL);
	/* The padding of a record is in the quarter as well. */
	for (uint32_t inline_max = 1009; inline_max <= 1016; inline_max++) {
		struct krepis_geometry small = ring;

		small.ring_size = 4096;
		assert_ok(WITH(small, inline_max, inline_max));
	}
}

static void one_to_32_consumers_are_accepted(void **state)
{
	(void)state;
	for (uint32_t n = 1; n <= 32; n++)
		assert_ok(WITH(ring, max_consumers, n));
	assert_error(WITH(ring, max_consumers, 0), EINVAL);
	assert_error(WITH(ring, max_consumers, 33), E2BIG);
	assert_error(WITH(ring, max_consumers, UINT32_MAX), E2BIG);
	assert_error(WITH(triple, max_consumers, 2), EINVAL);
}

static void three_backpressures_are_accepted(void **state)
{
	(void)state;
	for (uint32_t b = 0; b < 3; b++)
		assert_ok(WITH(ring, backpressure, b));
	assert_error(WITH(ring, backpressure, 3), EINVAL);
	assert_error(WITH(ring, backpressure, UINT32_MAX), EINVAL);
	assert_error(WITH(triple, backpressure, 1), EINVAL);
}

static void buffers_are_counted_and_sized_within_the_limits(void **state)
{
	(void)state;
	assert_ok(WITH(ring, buffer_count, 1));
	assert_ok(WITH(ring, buffer_count, 65536));
	assert_error(WITH(ring, buffer_count, 0), EINVAL);
	assert_error(WITH(ring, buffer_count, 65537), E2BIG);
	assert_ok(WITH(ring, buffer_size, 1));
	assert_ok(WITH(ring, buffer_size, 1ULL << 31));
	assert_error(WITH(ring, buffer_size, 0), EINVAL);
	assert_error(WITH(ring, buffer_size, (1ULL << 31) + 1), E2BIG);
	assert_error(WITH(ring, buffer_size, UINT64_MAX), E2BIG);
	assert_error(WITH(triple, buffer_count, 2), EINVAL);
	assert_error(WITH(triple, buffer_count, 4), EINVAL);
	assert_error(WITH(triple, buffer_size, 0), EINVAL);
}

static void a_ring_without_buffers_has_neither_count_nor_size(void **state)
{
	struct krepis_geometry g = ring;

	(void)state;
	g.flags = KREPIS_F_NO_BUFFERS;
	assert_error(krepis_geometry_check(&g), EINVAL);
	g.buffer_count = 0;
	assert_error(krepis_geometry_check(&g), EINVAL);
	g.buffer_size = 0;
	assert_ok(krepis_geometry_check(&g));
	g.buffer_count = 1;
	assert_error(krepis_geometry_check(&g), EINVAL);
}

static void a_product_beyond_the_largest_channel_is_refused(void **state)
{
	struct krepis_geometry g = ring;

	(void)state;
	g.buffer_size = 1ULL << 31;
	assert_ok(WITH(g, buffer_count, 256));
	assert_error(WITH(g, buffer_count, 257), E2BIG);
	assert_error(WITH(g, buffer_count, 65536), E2BIG);
	/* Rounding up to pages counts. */
	g.buffer_size = (1ULL << 23) - 1;
	assert_ok(WITH(g, buffer_count, 65536));
	g.buffer_size = (1ULL << 23) + 1;
	assert_error(WITH(g, buffer_count, 65536), E2BIG);
}

static void a_triple_has_no_ring(void **state)
{
	(void)state;
	assert_error(WITH(triple, ring_size, 4096), EINVAL);
	assert_error(WITH(triple, inline_max, 8), EINVAL);
}

static void rounding_up_is_to_the_next_multiple(void **state)
{
	(void)state;
	assert_int_equal(krepis_round_up(0, 4096), 0);
	assert_int_equal(krepis_round_up(1, 4096), 4096);
	assert_int_equal(krepis_round_up(4096, 4096), 4096);
	assert_int_equal(krepis_round_up(4097, 4096), 8192);
}

static void powers_of_two_are_told(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 64; bit++) {
		assert_true(krepis_power_of_two(1ULL << bit));
		if (bit > 1)
			assert_false(krepis_power_of_two((1ULL << bit) - 1));
		if (bit)
			assert_false(krepis_power_of_two((1ULL << bit) + 1));
	}
	assert_false(krepis_power_of_two(0));
}

/* --------------------------------------------------------------------------- layout */

/* Regions follow each other, aligned, large enough, without overlap. */
static void assert_layout(const struct krepis_geometry *g)
{
	struct krepis_layout l = krepis_layout(g);
	uint64_t page = g->page_size;

	assert_ok(krepis_geometry_check(g));
	assert_true(l.producer >= sizeof(struct krepis_info));
	assert_true(l.consumers >= l.producer + sizeof(struct krepis_producer));
	assert_true(l.descriptors >= l.consumers + g->max_consumers * page);
	assert_true(l.ring >= l.descriptors + sizeof(struct krepis_exchange) +
			      (uint64_t)g->buffer_count * sizeof(struct krepis_desc));
	if (l.stride < KREPIS_LARGE)
		assert_true(l.payload == l.ring + g->ring_size);
	else
		assert_true(l.payload - l.ring - g->ring_size < KREPIS_LARGE && l.payload % KREPIS_LARGE == 0);
	assert_true(l.stride >= g->buffer_size && l.stride < g->buffer_size + page);
	assert_true(l.size == l.payload + g->buffer_count * l.stride);
	assert_true(l.size <= KREPIS_MAX_CHANNEL_SIZE);
	assert_false((l.producer | l.consumers | l.descriptors | l.ring | l.payload | l.stride |
		      l.size) % page);
}

static void regions_are_aligned_and_apart_in_every_geometry(void **state)
{
	(void)state;
	assert_layout(&triple);
	for (unsigned int i = 0; i < 20000; i++) {
		struct krepis_geometry g = ring;

		g.page_size = 4096U << random_below(5);
		g.max_consumers = 1 + (uint32_t)random_below(32);
		g.ring_size = (1ULL << 16) << random_below(15);
		g.inline_max = 8 + (uint32_t)random_below(16000);
		g.buffer_count = 1 + (uint32_t)random_below(1ULL << random_below(17));
		g.buffer_size = 1 + random_below(1ULL << random_below(32));
		if (g.buffer_count * krepis_round_up(g.buffer_size, g.page_size) <=
		    KREPIS_MAX_CHANNEL_SIZE / 2)
			assert_layout(&g);
	}
}

static void the_largest_channel_has_a_layout(void **state)
{
	struct krepis_geometry g = ring;

	(void)state;
	g.max_consumers = 32;
	g.ring_size = 1 << 30;
	g.inline_max = 65536;
	g.buffer_count = 65536;
	g.buffer_size = 1 << 23;
	for (g.page_size = 4096; g.page_size <= 65536; g.page_size *= 2)
		assert_layout(&g);
}

static void a_new_channel_is_formatted(void **state)
{
	struct krepis_layout l = krepis_layout(&ring);
	uint8_t *base = calloc(1, l.ring);
	struct krepis_info *info = (struct krepis_info *)base;
	struct krepis_desc *desc;

	(void)state;
	assert_non_null(base);
	krepis_format(base, &ring, &l);
	assert_true(info->magic == KREPIS_MAGIC);
	assert_int_equal(info->abi, KREPIS_ABI_VERSION);
	assert_int_equal(info->size, sizeof(*info));
	assert_memory_equal(&info->geometry, &ring, sizeof(ring));
	assert_int_equal(info->live, 0);
	desc = (struct krepis_desc *)(base + l.descriptors + sizeof(struct krepis_exchange));
	for (uint32_t i = 0; i < ring.buffer_count; i++) {
		assert_int_equal(desc[i].state, KREPIS_OWNED_PRODUCER);
		assert_int_equal(desc[i].generation, 1);
		assert_int_equal(desc[i].holders, 0);
	}
	assert_true((uint8_t *)&desc[ring.buffer_count] <= base + l.ring);
	free(base);
}

/* Words of different writers stand two cache lines apart. */
static void words_of_different_writers_are_apart(void **state)
{
	(void)state;
	assert_true(offsetof(struct krepis_producer, version) >= 128);
	assert_true(offsetof(struct krepis_producer, waiter) -
		    offsetof(struct krepis_producer, version) >= 128);
	assert_true(offsetof(struct krepis_producer, link) -
		    offsetof(struct krepis_producer, waiter) >= 128);
	assert_true(offsetof(struct krepis_consumer, waiter) >= 128);
	assert_true(offsetof(struct krepis_info, live) >= 128);
	assert_int_equal(sizeof(struct krepis_exchange) % 128, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_ring_and_a_triple_are_accepted),
		CLAIM(every_kind_but_the_two_is_refused),
		CLAIM(every_unknown_flag_is_refused),
		CLAIM(rings_and_triples_may_be_enforced),
		CLAIM(an_exclusive_ring_is_enforced_and_has_one_consumer_and_buffers),
		CLAIM(page_sizes_are_powers_of_two_from_4_to_64_kib),
		CLAIM(a_ring_is_a_power_of_two_from_4_kib_to_1_gib),
		CLAIM(a_ring_smaller_than_a_page_is_refused),
		CLAIM(four_messages_of_inline_max_fit_the_ring),
		CLAIM(one_to_32_consumers_are_accepted),
		CLAIM(three_backpressures_are_accepted),
		CLAIM(buffers_are_counted_and_sized_within_the_limits),
		CLAIM(a_ring_without_buffers_has_neither_count_nor_size),
		CLAIM(a_product_beyond_the_largest_channel_is_refused),
		CLAIM(a_triple_has_no_ring),
		CLAIM(rounding_up_is_to_the_next_multiple),
		CLAIM(powers_of_two_are_told),
		CLAIM(regions_are_aligned_and_apart_in_every_geometry),
		CLAIM(the_largest_channel_has_a_layout),
		CLAIM(a_new_channel_is_formatted),
		CLAIM(words_of_different_writers_are_apart),
	};

	return RUN("geometry", tests);
}
