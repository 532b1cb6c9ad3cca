// SPDX-License-Identifier: MIT
/*
 * The shape of a new channel: every option alone out of its range, and at its edges.
 */
#include <sys/stat.h>
#include <unistd.h>
#include "helpers.h"

#define GIB	(1ULL << 30)

/* Refused with @err, and nothing changed: no name, no descriptor, no channel handed out. */
static bool refused(const struct krepis_channel_options *options, int err)
{
	struct krepis_channel *untouched = (void *)&untouched, *channel = untouched;
	unsigned int fds = open_fds(), entries = directory_entries();

	return krepis_channel_create("refused", options, &channel) == -err &&
	       krepis_channel_create(NULL, options, &channel) == -err && channel == untouched &&
	       open_fds() == fds && directory_entries() == entries;
}

static struct krepis_geometry accepted(const struct krepis_channel_options *options)
{
	struct krepis_channel *channel = NULL;
	struct krepis_geometry geometry;

	assert_ok(krepis_channel_create(NULL, options, &channel));
	geometry = status_of(channel).geometry;
	krepis_channel_close(channel);
	return geometry;
}

/* ------------------------------------------------------------------------- defaults */

static void no_options_mean_a_ring_with_the_defaults(void **state)
{
	struct krepis_geometry g = accepted(NULL);

	(void)state;
	assert_int_equal(g.kind, KREPIS_RING);
	assert_int_equal(g.flags, 0);
	assert_int_equal(g.backpressure, KREPIS_BLOCK);
	assert_int_equal(g.max_consumers, 8);
	assert_int_equal(g.inline_max, 4096);
	assert_int_equal(g.ring_size, 256 << 10);
	assert_int_equal(g.buffer_size, 1 << 20);
	assert_int_equal(g.buffer_count, 16);
	assert_int_equal(g.layout_id, 0);
	assert_int_equal(g.page_size, sysconf(_SC_PAGESIZE));
}

static void zeroed_options_mean_the_defaults(void **state)
{
	struct krepis_geometry with = accepted(OPTIONS()), without = accepted(NULL);

	(void)state;
	assert_memory_equal(&with, &without, sizeof(with));
}

static void a_triple_has_its_own_defaults(void **state)
{
	struct krepis_geometry g = accepted(OPTIONS(.kind = KREPIS_TRIPLE));

	(void)state;
	assert_int_equal(g.kind, KREPIS_TRIPLE);
	assert_int_equal(g.max_consumers, 1);
	assert_int_equal(g.buffer_count, 3);
	assert_int_equal(g.buffer_size, 1 << 20);
	assert_int_equal(g.ring_size, 0);
	assert_int_equal(g.inline_max, 0);
}

static void a_small_ring_has_a_smaller_inline_max(void **state)
{
	struct krepis_geometry g = accepted(OPTIONS(.ring_size = 4096));

	(void)state;
	assert_int_equal(g.inline_max, g.ring_size / 4 - 8);
}

static void every_option_arrives_in_the_geometry(void **state)
{
	struct krepis_geometry g = accepted(OPTIONS(.kind = KREPIS_RING,
						    .backpressure = KREPIS_OVERWRITE,
						    .max_consumers = 3, .inline_max = 100,
						    .ring_size = 65536, .buffer_size = 5000,
						    .buffer_count = 7, .layout_id = 0xabcd1234));

	(void)state;
	assert_int_equal(g.backpressure, KREPIS_OVERWRITE);
	assert_int_equal(g.max_consumers, 3);
	assert_int_equal(g.inline_max, 100);
	assert_int_equal(g.ring_size, 65536);
	assert_int_equal(g.buffer_size, 5000);
	assert_int_equal(g.buffer_count, 7);
	assert_int_equal(g.layout_id, 0xabcd1234);
}

/* ----------------------------------------------------------------------------- size */

static void a_size_that_does_not_hold_itself_is_refused(void **state)
{
	(void)state;
	for (uint32_t size = 0; size < sizeof(uint32_t); size++)
		assert_true(refused(&(struct krepis_channel_options){ .size = size }, EINVAL));
}

static void an_older_and_shorter_structure_is_accepted(void **state)
{
	struct krepis_channel_options options = {
		.size = offsetof(struct krepis_channel_options, max_consumers),
		.kind = KREPIS_RING,
		.max_consumers = 99,	/* beyond the size: not looked at */
		.reserved = 1,
	};

	(void)state;
	assert_int_equal(accepted(&options).max_consumers, 8);
}

struct longer {
	struct krepis_channel_options options;
	uint8_t tail[40];
};

static void a_newer_structure_with_a_zero_tail_is_accepted(void **state)
{
	struct longer longer = { .options = { .size = sizeof(longer), .max_consumers = 5 } };

	(void)state;
	assert_int_equal(accepted(&longer.options).max_consumers, 5);
}

static void any_byte_of_an_unknown_tail_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(((struct longer *)0)->tail); i++) {
		struct longer longer = { .options.size = sizeof(longer) };

		longer.tail[i] = 1;
		assert_true(refused(&longer.options, E2BIG));
	}
}

/* -------------------------------------------------------- one field out of its range */

struct refusal {
	const char *what;
	int err;
	struct krepis_channel_options options;
};

#define REFUSAL(error, ...)                                                                   \
	{ #__VA_ARGS__, error,                                                                \
	  { .size = sizeof(struct krepis_channel_options), __VA_ARGS__ } }

static void refused_one_by_one(const struct refusal *refusals, size_t count)
{
	unsigned int accepted = 0;

	for (size_t i = 0; i < count; i++) {
		if (refused(&refusals[i].options, refusals[i].err))
			continue;
		print_error("not refused as it should be: %s\n", refusals[i].what);
		krepis_unlink("refused");
		accepted++;
	}
	assert_int_equal(accepted, 0);
}

static void each_field_of_a_ring_out_of_its_range_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		REFUSAL(EINVAL, .kind = 3),
		REFUSAL(EINVAL, .kind = UINT32_MAX),
		REFUSAL(EINVAL, .flags = KREPIS_F_ALL + 1),
		REFUSAL(EINVAL, .flags = 1U << 31),
		REFUSAL(EINVAL, .backpressure = KREPIS_OVERWRITE + 1),
		REFUSAL(EINVAL, .backpressure = UINT32_MAX),
		REFUSAL(E2BIG, .max_consumers = KREPIS_MAX_CONSUMERS + 1),
		REFUSAL(E2BIG, .max_consumers = UINT32_MAX),
		REFUSAL(EINVAL, .inline_max = 1),
		REFUSAL(EINVAL, .inline_max = 7),
		REFUSAL(EINVAL, .inline_max = KREPIS_MAX_INLINE + 1, .ring_size = GIB),
		REFUSAL(EINVAL, .inline_max = UINT32_MAX),
		REFUSAL(EINVAL, .inline_max = 1017, .ring_size = 4096),
		REFUSAL(EINVAL, .inline_max = 4096, .ring_size = 4096),
		REFUSAL(EINVAL, .ring_size = 1),
		REFUSAL(EINVAL, .ring_size = 2048),
		REFUSAL(EINVAL, .ring_size = 4095),
		REFUSAL(EINVAL, .ring_size = 4097),
		REFUSAL(EINVAL, .ring_size = 3 << 12),
		REFUSAL(EINVAL, .ring_size = UINT64_MAX),
		REFUSAL(E2BIG, .buffer_size = KREPIS_MAX_BUFFER_SIZE + 1),
		REFUSAL(E2BIG, .buffer_size = UINT64_MAX),
		REFUSAL(E2BIG, .buffer_count = KREPIS_MAX_BUFFERS + 1),
		REFUSAL(E2BIG, .buffer_count = UINT32_MAX),
		REFUSAL(EINVAL, .mode = 01000),
		REFUSAL(EINVAL, .mode = UINT32_MAX),
		REFUSAL(EINVAL, .reserved = 1),
		REFUSAL(EINVAL, .reserved = 1U << 31),
	};

	(void)state;
	refused_one_by_one(refusals, ARRAY_SIZE(refusals));
}

static void a_ring_beyond_1_gib_is_refused(void **state)
{
	struct krepis_channel *channel;
	int err = krepis_channel_create(NULL, OPTIONS(.ring_size = 2 * GIB), &channel);

	(void)state;
	/* Out of its range, and beyond a limit. */
	assert_true(err == -EINVAL || err == -E2BIG);
}

static void each_field_of_a_triple_out_of_place_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		REFUSAL(EINVAL, .kind = KREPIS_TRIPLE, .flags = KREPIS_F_NO_BUFFERS),
		REFUSAL(EINVAL, .kind = KREPIS_TRIPLE, .backpressure = KREPIS_FAIL),
		REFUSAL(EINVAL, .kind = KREPIS_TRIPLE, .max_consumers = 2),
		REFUSAL(EINVAL, .kind = KREPIS_TRIPLE, .inline_max = 64),
		REFUSAL(EINVAL, .kind = KREPIS_TRIPLE, .ring_size = 4096),
		REFUSAL(EINVAL, .kind = KREPIS_TRIPLE, .buffer_count = 2),
		REFUSAL(EINVAL, .kind = KREPIS_TRIPLE, .buffer_count = 4),
		REFUSAL(E2BIG, .kind = KREPIS_TRIPLE, .buffer_size = KREPIS_MAX_BUFFER_SIZE + 1),
		REFUSAL(EINVAL, .kind = KREPIS_TRIPLE, .reserved = 1),
	};

	(void)state;
	refused_one_by_one(refusals, ARRAY_SIZE(refusals));
}

static void buffers_of_a_channel_without_buffers_are_refused(void **state)
{
	static const struct refusal refusals[] = {
		REFUSAL(EINVAL, .flags = KREPIS_F_NO_BUFFERS, .buffer_count = 1),
		REFUSAL(EINVAL, .flags = KREPIS_F_NO_BUFFERS, .buffer_size = 4096),
	};

	(void)state;
	refused_one_by_one(refusals, ARRAY_SIZE(refusals));
}

static void a_geometry_beyond_the_largest_channel_is_refused(void **state)
{
	static const struct refusal refusals[] = {
		REFUSAL(E2BIG, .buffer_count = 65536, .buffer_size = KREPIS_MAX_BUFFER_SIZE),
		REFUSAL(E2BIG, .buffer_count = 257, .buffer_size = KREPIS_MAX_BUFFER_SIZE),
	};

	(void)state;
	refused_one_by_one(refusals, ARRAY_SIZE(refusals));
}

/* ------------------------------------------------------------- the edges are inside */

static void the_smallest_ring_is_accepted(void **state)
{
	struct krepis_geometry g = accepted(OPTIONS(.max_consumers = 1, .inline_max = 8,
						    .ring_size = 4096, .buffer_size = 1,
						    .buffer_count = 1));

	(void)state;
	assert_int_equal(g.inline_max, 8);
	assert_int_equal(g.buffer_size, 1);
}

static void inline_max_up_to_a_quarter_of_the_ring_is_accepted(void **state)
{
	(void)state;
	assert_int_equal(accepted(OPTIONS(.inline_max = 1016, .ring_size = 4096)).inline_max, 1016);
	assert_int_equal(accepted(OPTIONS(.inline_max = KREPIS_MAX_INLINE,
					  .ring_size = 512 << 10)).inline_max, KREPIS_MAX_INLINE);
}

static void the_most_consumers_are_accepted(void **state)
{
	(void)state;
	assert_int_equal(accepted(OPTIONS(.max_consumers = 32)).max_consumers, 32);
}

static void a_channel_without_buffers_has_none(void **state)
{
	struct krepis_geometry g = accepted(OPTIONS(.flags = KREPIS_F_NO_BUFFERS));

	(void)state;
	assert_int_equal(g.flags, KREPIS_F_NO_BUFFERS);
	assert_int_equal(g.buffer_count, 0);
	assert_int_equal(g.buffer_size, 0);
}

/* ----------------------------------------------------------------------------- mode */

static mode_t mode_of_new(uint32_t mode, mode_t mask)
{
	struct krepis_channel *channel;
	mode_t before = umask(mask);
	struct stat st;
	int err;

	err = krepis_channel_create("mode", SMALL_RING(.mode = mode), &channel);
	umask(before);
	assert_ok(err);
	assert_ok(fstat(krepis_channel_fd(channel), &st));
	krepis_channel_close(channel);
	assert_ok(krepis_unlink("mode"));
	return st.st_mode & 07777;
}

static void the_default_mode_is_for_the_owner_alone(void **state)
{
	(void)state;
	assert_int_equal(mode_of_new(0, 0), 0600);
}

static void the_mode_is_what_was_asked_for_less_the_umask(void **state)
{
	(void)state;
	assert_int_equal(mode_of_new(0666, 0), 0666);
	assert_int_equal(mode_of_new(0666, 027), 0640);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(no_options_mean_a_ring_with_the_defaults),
		CLAIM(zeroed_options_mean_the_defaults),
		CLAIM(a_triple_has_its_own_defaults),
		CLAIM(a_small_ring_has_a_smaller_inline_max),
		CLAIM(every_option_arrives_in_the_geometry),
		CLAIM(a_size_that_does_not_hold_itself_is_refused),
		CLAIM(an_older_and_shorter_structure_is_accepted),
		CLAIM(a_newer_structure_with_a_zero_tail_is_accepted),
		CLAIM(any_byte_of_an_unknown_tail_is_refused),
		CLAIM(each_field_of_a_ring_out_of_its_range_is_refused),
		CLAIM(a_ring_beyond_1_gib_is_refused),
		CLAIM(each_field_of_a_triple_out_of_place_is_refused),
		CLAIM(buffers_of_a_channel_without_buffers_are_refused),
		CLAIM(a_geometry_beyond_the_largest_channel_is_refused),
		CLAIM(the_smallest_ring_is_accepted),
		CLAIM(inline_max_up_to_a_quarter_of_the_ring_is_accepted),
		CLAIM(the_most_consumers_are_accepted),
		CLAIM(a_channel_without_buffers_has_none),
		CLAIM(the_default_mode_is_for_the_owner_alone),
		CLAIM(the_mode_is_what_was_asked_for_less_the_umask),
	};

	return RUN("options", tests);
}
