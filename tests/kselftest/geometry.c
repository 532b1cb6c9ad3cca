// SPDX-License-Identifier: MIT
/*
 * SETUP: which shapes become a channel, and what a refused one leaves behind, which
 * is nothing.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <kselftest_harness.h>
#include "util.h"

/* Blocks that the mount has free. */
static unsigned long long free_blocks(void)
{
	struct statfs st;

	return statfs(mount_path(), &st) ? 0 : st.f_bfree;
}

FIXTURE(shape)
{
	int fd;
	unsigned long long free;
};

FIXTURE_SETUP(shape)
{
	self->free = free_blocks();
	self->fd = new_file(O_RDWR);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(shape)
{
}

/* Whether the file is still empty, and can become a channel. */
static bool still_empty(FIXTURE_DATA(shape) *self)
{
	struct krepis_geometry g = small_ring();
	struct krepis_info_query q;
	struct stat st;

	return query(self->fd, &q) == -EBADFD && attach(self->fd, KREPIS_PRODUCER, 1) == -EBADFD &&
	       !fstat(self->fd, &st) && !st.st_size && !st.st_blocks &&
	       free_blocks() == self->free && !setup(self->fd, &g);
}

#define FIELD(name) offsetof(struct krepis_geometry, name), sizeof(((struct krepis_geometry *)0)->name)

struct change {
	const char *what;
	size_t at, size;
	unsigned long long value;
	int err;
};

static const struct change ring_changes[] = {
	{ "no kind", FIELD(kind), 0, -EINVAL },
	{ "unknown kind", FIELD(kind), 3, -EINVAL },
	{ "largest kind", FIELD(kind), ~0U, -EINVAL },
	{ "triple's kind alone", FIELD(kind), KREPIS_TRIPLE, -EINVAL },
	{ "unknown flag", FIELD(flags), 1U << 3, -EINVAL },
	{ "highest flag", FIELD(flags), 1U << 31, -EINVAL },
	{ "no buffers, beside buffers", FIELD(flags), KREPIS_F_NO_BUFFERS, -EINVAL },
	{ "unknown backpressure", FIELD(backpressure), 3, -EINVAL },
	{ "largest backpressure", FIELD(backpressure), ~0U, -EINVAL },
	{ "no consumers", FIELD(max_consumers), 0, -EINVAL },
	{ "too many consumers", FIELD(max_consumers), 33, -E2BIG },
	{ "most consumers", FIELD(max_consumers), ~0U, -E2BIG },
	{ "no inline bytes", FIELD(inline_max), 0, -EINVAL },
	{ "inline smaller than a handle", FIELD(inline_max), 7, -EINVAL },
	{ "inline larger than a quarter", FIELD(inline_max), 2041, -EINVAL },
	{ "inline larger than its limit", FIELD(inline_max), KREPIS_MAX_INLINE + 1, -EINVAL },
	{ "largest inline", FIELD(inline_max), ~0U, -EINVAL },
	{ "no buffers without the flag", FIELD(buffer_count), 0, -EINVAL },
	{ "too many buffers", FIELD(buffer_count), KREPIS_MAX_BUFFERS + 1, -E2BIG },
	{ "most buffers", FIELD(buffer_count), ~0U, -E2BIG },
	{ "no page size", FIELD(page_size), 0, -EINVAL },
	{ "page size of one", FIELD(page_size), 1, -EINVAL },
	{ "page size too small", FIELD(page_size), 2048, -EINVAL },
	{ "page size not a power", FIELD(page_size), 12288, -EINVAL },
	{ "page size too large", FIELD(page_size), 131072, -EINVAL },
	{ "highest page size", FIELD(page_size), 1U << 31, -EINVAL },
	{ "ring smaller than its pages", FIELD(page_size), 16384, -EINVAL },
	{ "no ring", FIELD(ring_size), 0, -EINVAL },
	{ "ring too small", FIELD(ring_size), 2048, -EINVAL },
	{ "ring too small for its records", FIELD(ring_size), 4096, -EINVAL },
	{ "ring not a power", FIELD(ring_size), 12288, -EINVAL },
	{ "ring too large", FIELD(ring_size), 1ULL << 31, -EINVAL },
	{ "highest ring", FIELD(ring_size), 1ULL << 63, -EINVAL },
	{ "empty buffers", FIELD(buffer_size), 0, -EINVAL },
	{ "buffers too large", FIELD(buffer_size), KREPIS_MAX_BUFFER_SIZE + 1, -E2BIG },
	{ "largest buffers", FIELD(buffer_size), ~0ULL, -E2BIG },
};

static const struct change triple_changes[] = {
	{ "ring's kind alone", FIELD(kind), KREPIS_RING, -EINVAL },
	{ "no buffers", FIELD(flags), KREPIS_F_NO_BUFFERS, -EINVAL },
	{ "exclusive buffers", FIELD(flags), KREPIS_F_EXCLUSIVE, -EINVAL },
	{ "enforced and exclusive", FIELD(flags), KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE, -EINVAL },
	{ "unknown flag", FIELD(flags), 1U << 3, -EINVAL },
	{ "backpressure", FIELD(backpressure), KREPIS_FAIL, -EINVAL },
	{ "two consumers", FIELD(max_consumers), 2, -EINVAL },
	{ "inline bytes", FIELD(inline_max), 8, -EINVAL },
	{ "two buffers", FIELD(buffer_count), 2, -EINVAL },
	{ "four buffers", FIELD(buffer_count), 4, -EINVAL },
	{ "a ring", FIELD(ring_size), PAGE, -EINVAL },
	{ "empty buffers", FIELD(buffer_size), 0, -EINVAL },
	{ "buffers too large", FIELD(buffer_size), KREPIS_MAX_BUFFER_SIZE + 1, -E2BIG },
};

/* Of a ring whose one consumer may write. */
static const struct change exclusive_changes[] = {
	{ "exclusive, not enforced", FIELD(flags), KREPIS_F_EXCLUSIVE, -EINVAL },
	{ "without buffers", FIELD(flags), KREPIS_F_ALL, -EINVAL },
	{ "two consumers", FIELD(max_consumers), 2, -EINVAL },
	{ "most consumers", FIELD(max_consumers), KREPIS_MAX_CONSUMERS, -EINVAL },
	{ "overwrite", FIELD(backpressure), KREPIS_OVERWRITE, -EINVAL },
	{ "triple's kind alone", FIELD(kind), KREPIS_TRIPLE, -EINVAL },
};

/* Of an enforced triple. */
static const struct change enforced_triple_changes[] = {
	{ "exclusive", FIELD(flags), KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE, -EINVAL },
	{ "without buffers", FIELD(flags), KREPIS_F_ENFORCED | KREPIS_F_NO_BUFFERS, -EINVAL },
	{ "two consumers", FIELD(max_consumers), 2, -EINVAL },
	{ "overwrite", FIELD(backpressure), KREPIS_OVERWRITE, -EINVAL },
	{ "four buffers", FIELD(buffer_count), 4, -EINVAL },
};

static struct krepis_geometry changed(struct krepis_geometry g, const struct change *c)
{
	memcpy((char *)&g + c->at, &c->value, c->size);
	return g;
}

#define EXPECT_REFUSED(base, changes)							\
	do {										\
		const struct change *c = (changes);					\
		struct krepis_geometry g;						\
											\
		for (; c < (changes) + ARRAY_SIZE(changes); c++) {	\
			g = changed((base), c);						\
			EXPECT_EQ(c->err, setup(self->fd, &g))				\
				TH_LOG("%s", c->what);					\
		}									\
	} while (0)

TEST_F(shape, ring_with_one_field_wrong_is_refused)
{
	EXPECT_REFUSED(small_ring(), ring_changes);
	EXPECT_TRUE(still_empty(self));
}

TEST_F(shape, triple_with_one_field_wrong_is_refused)
{
	EXPECT_REFUSED(small_triple(), triple_changes);
	EXPECT_TRUE(still_empty(self));
}

TEST_F(shape, exclusive_ring_with_one_field_wrong_is_refused)
{
	struct krepis_geometry g = small_ring();

	g.flags = KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE;
	g.max_consumers = 1;
	EXPECT_REFUSED(g, exclusive_changes);
	EXPECT_TRUE(still_empty(self));
	/* What they differ from is taken. */
	EXPECT_EQ(0, setup(new_file(O_RDWR), &g));
}

TEST_F(shape, enforced_triple_with_one_field_wrong_is_refused)
{
	struct krepis_geometry g = small_triple();

	g.flags = KREPIS_F_ENFORCED;
	EXPECT_REFUSED(g, enforced_triple_changes);
	EXPECT_TRUE(still_empty(self));
	EXPECT_EQ(0, setup(new_file(O_RDWR), &g));
}

TEST_F(shape, more_than_any_machine_has_is_refused)
{
	struct krepis_geometry g = small_ring();

	/* Over the limit of a channel, then under it, and over that of the mount. */
	g.buffer_count = KREPIS_MAX_BUFFERS;
	g.buffer_size = 1ULL << 24;
	EXPECT_EQ(-E2BIG, setup(self->fd, &g));
	g.buffer_size = 1ULL << 23;
	EXPECT_EQ(-ENOSPC, setup(self->fd, &g));
	EXPECT_TRUE(still_empty(self));
}

TEST_F(shape, setup_needs_a_file_open_for_writing)
{
	struct krepis_geometry g = small_ring();
	int reader = reopen(self->fd, O_RDONLY), writer = reopen(self->fd, O_WRONLY);

	ASSERT_LE(0, reader);
	ASSERT_LE(0, writer);
	EXPECT_EQ(-EACCES, setup(reader, &g));
	EXPECT_EQ(0, setup(writer, &g));
}

TEST_F(shape, setup_twice_is_busy)
{
	struct krepis_geometry g = small_ring();
	struct krepis_info_query before, after;

	ASSERT_EQ(0, setup(self->fd, &g));
	ASSERT_EQ(0, query(self->fd, &before));
	EXPECT_EQ(-EBUSY, setup(self->fd, &g));
	g.buffer_count = 8;
	EXPECT_EQ(-EBUSY, setup(self->fd, &g));
	ASSERT_EQ(0, query(self->fd, &after));
	EXPECT_EQ(0, memcmp(&before, &after, sizeof(before)));
}

TEST_F(shape, file_without_setup_is_no_channel)
{
	struct krepis_info_query q;

	EXPECT_EQ(-EBADFD, query(self->fd, &q));
	EXPECT_EQ(-EBADFD, attach(self->fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	EXPECT_EQ(-EBADFD, attach(self->fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	EXPECT_TRUE(still_empty(self));
}

TEST_F(shape, file_tells_the_size_of_its_channel)
{
	struct krepis_geometry g = small_ring();
	__u64 size = krepis_layout(&g).size;
	struct stat st;

	ASSERT_EQ(0, setup(self->fd, &g));
	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_EQ(size, st.st_size);
	EXPECT_EQ(size / 512, st.st_blocks);
	EXPECT_EQ(self->free - size / PAGE, free_blocks());
}

FIXTURE(taken)
{
};

FIXTURE_VARIANT(taken)
{
	struct krepis_geometry g;
};

#define RING(...) { .g = { .kind = KREPIS_RING, .max_consumers = 1, .inline_max = 8,	\
			   .page_size = PAGE, .ring_size = PAGE, .buffer_count = 1,	\
			   .buffer_size = 1, __VA_ARGS__ } }

FIXTURE_VARIANT_ADD(taken, least) RING();
FIXTURE_VARIANT_ADD(taken, no_buffers) RING(.flags = KREPIS_F_NO_BUFFERS, .buffer_count = 0,
					    .buffer_size = 0);
FIXTURE_VARIANT_ADD(taken, fail) RING(.backpressure = KREPIS_FAIL);
FIXTURE_VARIANT_ADD(taken, overwrite) RING(.backpressure = KREPIS_OVERWRITE);
FIXTURE_VARIANT_ADD(taken, most_consumers) RING(.max_consumers = KREPIS_MAX_CONSUMERS);
FIXTURE_VARIANT_ADD(taken, largest_inline) RING(.inline_max = KREPIS_MAX_INLINE,
						.ring_size = 1 << 19);
FIXTURE_VARIANT_ADD(taken, quarter_of_the_ring) RING(.inline_max = 1016);
FIXTURE_VARIANT_ADD(taken, large_pages) RING(.page_size = 65536, .ring_size = 65536);
FIXTURE_VARIANT_ADD(taken, many_buffers) RING(.buffer_count = 10000);
FIXTURE_VARIANT_ADD(taken, odd_buffers) RING(.buffer_count = 3, .buffer_size = 3 * PAGE + 1);
FIXTURE_VARIANT_ADD(taken, huge_buffers) RING(.buffer_count = 3, .buffer_size = 5 << 20);
FIXTURE_VARIANT_ADD(taken, any_layout_id) RING(.layout_id = ~0U);
FIXTURE_VARIANT_ADD(taken, enforced) RING(.flags = KREPIS_F_ENFORCED);
FIXTURE_VARIANT_ADD(taken, enforced_overwrite) RING(.flags = KREPIS_F_ENFORCED,
						    .backpressure = KREPIS_OVERWRITE);
FIXTURE_VARIANT_ADD(taken, enforced_no_buffers) RING(.flags = KREPIS_F_ENFORCED |
							      KREPIS_F_NO_BUFFERS,
						     .buffer_count = 0, .buffer_size = 0);
FIXTURE_VARIANT_ADD(taken, enforced_most_consumers) RING(.flags = KREPIS_F_ENFORCED,
							 .max_consumers = KREPIS_MAX_CONSUMERS);
FIXTURE_VARIANT_ADD(taken, enforced_many_buffers) RING(.flags = KREPIS_F_ENFORCED,
						       .buffer_count = 10000);
FIXTURE_VARIANT_ADD(taken, enforced_odd_buffers) RING(.flags = KREPIS_F_ENFORCED,
						      .buffer_count = 3,
						      .buffer_size = 3 * PAGE + 1);
FIXTURE_VARIANT_ADD(taken, enforced_huge_buffers) RING(.flags = KREPIS_F_ENFORCED,
						       .buffer_count = 3,
						       .buffer_size = 5 << 20);
FIXTURE_VARIANT_ADD(taken, exclusive) RING(.flags = KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE);
FIXTURE_VARIANT_ADD(taken, exclusive_fail) RING(.flags = KREPIS_F_ENFORCED | KREPIS_F_EXCLUSIVE,
						.backpressure = KREPIS_FAIL);
FIXTURE_VARIANT_ADD(taken, triple) { .g = {
	.kind = KREPIS_TRIPLE, .max_consumers = 1, .page_size = PAGE, .buffer_size = 1,
	.buffer_count = KREPIS_TRIPLE_BUFFERS,
} };

FIXTURE_SETUP(taken)
{
}

FIXTURE_TEARDOWN(taken)
{
}

/* What krepis_format() writes, and nothing else. */
static bool is_new(const struct side *s)
{
	const struct krepis_geometry *g = &s->geometry;
	char *pages = malloc(s->layout.size);
	struct krepis_info *info = (void *)pages;
	bool same;

	memset(pages, 0, s->layout.size);
	krepis_format(pages, g, &s->layout);
	/* The one who looks has attached. */
	info->epoch = 1;
	info->producers = 1;
	memset(info->event, 0, sizeof(info->event));
	info->event[0] = s->info->event[0];
	memcpy(info->event + 1, s->info->event + 1, g->max_consumers * sizeof(__u32));
	memcpy(pages + s->layout.producer, s->base + s->layout.producer, sizeof(*s->producer));
	same = !memcmp(pages, s->base, s->layout.size);
	free(pages);
	return same;
}

TEST_F(taken, new_channel_has_its_shape_and_is_zero_elsewhere)
{
	struct side s;
	int fd = new_channel(&variant->g);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, side_open(&s, fd, KREPIS_PRODUCER));
	EXPECT_EQ(0, memcmp(&variant->g, &s.geometry, sizeof(s.geometry)));
	EXPECT_EQ(KREPIS_MAGIC, s.info->magic);
	EXPECT_TRUE(is_new(&s));
}

TEST_F(taken, all_consumers_come_and_no_more)
{
	int fd = new_channel(&variant->g);
	struct krepis_info_query q;
	__u32 i;

	ASSERT_LE(0, fd);
	for (i = 0; i < variant->g.max_consumers; i++) {
		int ep = attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);

		ASSERT_LE(0, ep);
		ASSERT_EQ(0, query(ep, &q));
		EXPECT_EQ(i, q.slot);
		EXPECT_EQ(KREPIS_CONSUMER, q.role);
		EXPECT_EQ(i + 1, q.epoch);
	}
	EXPECT_EQ((1ULL << i) - 1, q.live);
	EXPECT_EQ(-EUSERS, attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	ASSERT_EQ(0, query(fd, &q));
	EXPECT_EQ(i, q.epoch);
}

TEST_F(taken, the_pages_keep_what_is_written)
{
	struct side s;
	__u64 at;

	ASSERT_EQ(0, side_open(&s, new_channel(&variant->g), KREPIS_PRODUCER));
	for (at = s.layout.ring; at < s.layout.size; at += PAGE)
		*(__u64 *)(s.base + at) = at * 2654435761U + 1;
	munmap(s.base, s.layout.size);
	ASSERT_EQ(0, side_map(&s, s.fd));
	for (at = s.layout.ring; at < s.layout.size; at += PAGE)
		ASSERT_EQ(at * 2654435761U + 1, *(__u64 *)(s.base + at));
}

TEST_HARNESS_MAIN
