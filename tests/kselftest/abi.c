// SPDX-License-Identifier: MIT
/*
 * What holds for the argument of every command: a call that is taken, and calls that
 * differ from it in one thing and are refused. After a refusal nothing has changed.
 */
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <kselftest_harness.h>
#include "util.h"

enum where { EMPTY, CHANNEL, PRODUCER, CONSUMER };

union any {
	struct krepis_none none;
	struct krepis_setup setup;
	struct krepis_info_query query;
	struct krepis_attach_args attach;
	struct krepis_rights rights;
	struct krepis_wait_args wait;
	struct krepis_wake_args wake;
	struct krepis_handoff handoff;
	struct krepis_release_args release;
};

FIXTURE(command)
{
	int fd[4];
	int next;
	struct side producer, consumer;
	struct picture before;
	char *end;
};

/*
 * @where:	a descriptor that the command is for
 * @shape:	flags of the channel, which overwrites if it has any
 * @known:	flags that exist
 * @zero:	places of the reserved 4-byte words
 */
FIXTURE_VARIANT(command)
{
	unsigned int cmd;
	__u32 size;
	enum where where;
	__u32 shape;
	__u32 known;
	unsigned int zero[4];
	union any args;
};

FIXTURE_VARIANT_ADD(command, setup)
{
	.cmd = KREPIS_IOC_SETUP, .size = sizeof(struct krepis_setup), .where = EMPTY,
	.args.setup.geometry = {
		.kind = KREPIS_RING, .max_consumers = 1, .inline_max = 8, .page_size = PAGE,
		.flags = KREPIS_F_NO_BUFFERS, .ring_size = PAGE,
	},
};

FIXTURE_VARIANT_ADD(command, query)
{
	.cmd = KREPIS_IOC_QUERY, .size = sizeof(struct krepis_info_query), .where = CHANNEL,
};

FIXTURE_VARIANT_ADD(command, query_of_endpoint)
{
	.cmd = KREPIS_IOC_QUERY, .size = sizeof(struct krepis_info_query), .where = CONSUMER,
};

FIXTURE_VARIANT_ADD(command, attach)
{
	.cmd = KREPIS_IOC_ATTACH, .size = sizeof(struct krepis_attach_args), .where = CHANNEL,
	.args.attach = { .role = KREPIS_CONSUMER, .rights = KREPIS_RIGHT_ALL },
};

FIXTURE_VARIANT_ADD(command, detach)
{
	.cmd = KREPIS_IOC_DETACH, .size = sizeof(struct krepis_none), .where = PRODUCER,
};

FIXTURE_VARIANT_ADD(command, restrict)
{
	.cmd = KREPIS_IOC_RESTRICT, .size = sizeof(struct krepis_rights), .where = PRODUCER,
	.args.rights.rights = KREPIS_RIGHT_READ,
	.zero = { offsetof(struct krepis_rights, reserved) },
};

FIXTURE_VARIANT_ADD(command, derive)
{
	.cmd = KREPIS_IOC_DERIVE, .size = sizeof(struct krepis_rights), .where = CONSUMER,
	.args.rights.rights = KREPIS_RIGHT_READ,
	.zero = { offsetof(struct krepis_rights, reserved) },
};

FIXTURE_VARIANT_ADD(command, wait)
{
	.cmd = KREPIS_IOC_WAIT, .size = sizeof(struct krepis_wait_args), .where = CONSUMER,
	.args.wait = { .at = offsetof(struct krepis_info, event), .value = ~0U,
		       .deadline_ns = FOR_EVER },
	.zero = { offsetof(struct krepis_wait_args, reserved) },
};

FIXTURE_VARIANT_ADD(command, wake)
{
	.cmd = KREPIS_IOC_WAKE, .size = sizeof(struct krepis_wake_args), .where = PRODUCER,
	.known = KREPIS_WAKE_SELF | KREPIS_WAKE_STOP,
	.args.wake.consumers = 1,
	.zero = { offsetof(struct krepis_wake_args, reserved) },
};

FIXTURE_VARIANT_ADD(command, wake_by_consumer)
{
	.cmd = KREPIS_IOC_WAKE, .size = sizeof(struct krepis_wake_args), .where = CONSUMER,
	.known = KREPIS_WAKE_SELF | KREPIS_WAKE_STOP,
	.zero = { offsetof(struct krepis_wake_args, reserved) },
};

FIXTURE_VARIANT_ADD(command, handoff)
{
	.cmd = KREPIS_IOC_HANDOFF, .size = sizeof(struct krepis_handoff), .where = PRODUCER,
	.known = KREPIS_HANDOFF_WAKE | KREPIS_HANDOFF_PUBLISH,
	.args.handoff = { .handle = { 1, 1 }, .len = 8, .type = 3,
			  .msg_flags = KREPIS_MSG_CRC32C, .crc32c = 4, .sequence = 5 },
	.zero = { offsetof(struct krepis_handoff, reserved) },
};

FIXTURE_VARIANT_ADD(command, release)
{
	.cmd = KREPIS_IOC_RELEASE, .size = sizeof(struct krepis_release_args), .where = CONSUMER,
	.args.release.handle = { 0, 1 },
};

FIXTURE_VARIANT_ADD(command, take)
{
	.cmd = KREPIS_IOC_TAKE, .size = sizeof(struct krepis_release_args), .where = CONSUMER,
	.shape = KREPIS_F_ENFORCED,
	.args.release.handle = { 0, 1 },
};

FIXTURE_VARIANT_ADD(command, evict)
{
	.cmd = KREPIS_IOC_EVICT, .size = sizeof(struct krepis_release_args), .where = PRODUCER,
	.shape = KREPIS_F_ENFORCED,
	.args.release.handle = { 0, 1 },
};

/* The number that the next descriptor would get: none was left behind. */
static int next_fd(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

FIXTURE_SETUP(command)
{
	struct krepis_geometry g = small_ring();
	char *area = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, area);
	if (variant->shape) {
		g.flags = variant->shape;
		g.backpressure = KREPIS_OVERWRITE;
	}
	self->end = area + 2 * PAGE;
	ASSERT_EQ(0, mprotect(self->end, PAGE, PROT_NONE));
	self->fd[EMPTY] = new_file(O_RDWR);
	ASSERT_LE(0, self->fd[EMPTY]);
	self->fd[CHANNEL] = new_channel(&g);
	ASSERT_LE(0, self->fd[CHANNEL]);
	ASSERT_EQ(0, side_open(&self->producer, self->fd[CHANNEL], KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, self->fd[CHANNEL], KREPIS_CONSUMER));
	self->fd[PRODUCER] = self->producer.fd;
	self->fd[CONSUMER] = self->consumer.fd;
	ASSERT_EQ(0, handoff(self->producer.fd, 0, 1, 8));
	picture_take(&self->before, &self->consumer);
	self->next = next_fd();
}

FIXTURE_TEARDOWN(command)
{
}

static bool unchanged(FIXTURE_DATA(command) *self)
{
	struct krepis_info_query q;

	return query(self->fd[EMPTY], &q) == -EBADFD && next_fd() == self->next &&
	       picture_holds(&self->before, &self->consumer);
}

/*
 * Puts the valid argument, grown or cut to @size bytes that it tells, where nothing
 * can be read behind it.
 */
static char *put(FIXTURE_DATA(command) *self, const FIXTURE_VARIANT(command) *v, __u32 size)
{
	char *at = self->end - size;

	memset(self->end - 2 * PAGE, 0, 2 * PAGE);
	memcpy(at, &v->args, size < v->size ? size : v->size);
	if (size >= sizeof(size))
		memcpy(at, &size, sizeof(size));
	return at;
}

static int call(FIXTURE_DATA(command) *self, const FIXTURE_VARIANT(command) *v, void *at)
{
	return command(self->fd[v->where], v->cmd, at);
}

TEST_F(command, is_taken)
{
	EXPECT_LE(0, call(self, variant, put(self, variant, variant->size)));
}

TEST_F(command, is_taken_with_a_longer_tail_of_zeros)
{
	EXPECT_LE(0, call(self, variant, put(self, variant, variant->size + 1)));
}

TEST_F(command, is_taken_with_zeros_up_to_a_page)
{
	EXPECT_LE(0, call(self, variant, put(self, variant, PAGE)));
}

TEST_F(command, is_taken_at_an_odd_address)
{
	char *at = put(self, variant, variant->size);

	memmove(at - 1, at, variant->size);
	EXPECT_LE(0, call(self, variant, at - 1));
}

TEST_F(command, smaller_than_its_first_version_is_invalid)
{
	__u32 size;

	for (size = 0; size < variant->size; size++) {
		char *at = put(self, variant, variant->size);

		memcpy(at, &size, sizeof(size));
		EXPECT_EQ(-EINVAL, call(self, variant, at))
			TH_LOG("size %u", size);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, larger_than_a_page_is_too_big)
{
	static const __u32 sizes[] = { PAGE + 1, 2 * PAGE, 1U << 31, ~0U };
	unsigned int i;

	for (i = 0; i < 4; i++) {
		char *at = put(self, variant, 2 * PAGE);

		memcpy(at, &sizes[i], sizeof(sizes[i]));
		EXPECT_EQ(-E2BIG, call(self, variant, at))
			TH_LOG("size %u", sizes[i]);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, tail_that_is_not_zero_is_too_big)
{
	__u32 at[] = { variant->size, (variant->size + PAGE) / 2, PAGE - 1 };
	unsigned int i;

	for (i = 0; i < 3; i++) {
		char *args = put(self, variant, PAGE);

		args[at[i]] = 1;
		EXPECT_EQ(-E2BIG, call(self, variant, args))
			TH_LOG("byte %u", at[i]);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, unknown_flags_are_invalid)
{
	__u32 flag;

	for (flag = 1; flag; flag <<= 1) {
		struct krepis_none *at = (void *)put(self, variant, variant->size);

		if (flag & variant->known)
			continue;
		at->flags |= flag;
		EXPECT_EQ(-EINVAL, call(self, variant, at))
			TH_LOG("flag %#x", flag);
		at->flags |= variant->known;
		EXPECT_EQ(-EINVAL, call(self, variant, at))
			TH_LOG("flag %#x beside known ones", flag);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, reserved_words_that_are_not_zero_are_invalid)
{
	unsigned int i, byte;

	for (i = 0; variant->zero[i]; i++) {
		for (byte = 0; byte < 4; byte++) {
			char *at = put(self, variant, variant->size);

			at[variant->zero[i] + byte] = (char)0x80;
			EXPECT_EQ(-EINVAL, call(self, variant, at))
				TH_LOG("byte %u", variant->zero[i] + byte);
		}
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, argument_nowhere_is_a_fault)
{
	void *nowhere[] = { NULL, (void *)1, self->end, (void *)-(intptr_t)PAGE, (void *)-4 };
	unsigned int i;

	for (i = 0; i < 5; i++) {
		EXPECT_EQ(-EFAULT, call(self, variant, nowhere[i]))
			TH_LOG("at %p", nowhere[i]);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, argument_that_ends_nowhere_is_a_fault)
{
	__u32 there;

	for (there = 0; there < variant->size; there += 4) {
		char *at = self->end - there;

		memset(self->end - 2 * PAGE, 0, 2 * PAGE);
		memcpy(at, &variant->args, there);
		if (there)
			memcpy(at, &variant->size, sizeof(variant->size));
		EXPECT_EQ(-EFAULT, call(self, variant, at))
			TH_LOG("%u bytes", there);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, tail_that_ends_nowhere_is_a_fault)
{
	__u32 size = PAGE;
	char *at = put(self, variant, variant->size + 8);

	memcpy(at, &size, sizeof(size));
	EXPECT_EQ(-EFAULT, call(self, variant, at));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, on_another_kind_of_file_is_unknown)
{
	bool channel = variant->where == EMPTY || variant->where == CHANNEL;
	int other[4] = { open(mount_path(), O_RDONLY | O_DIRECTORY), open("/dev/null", O_RDWR) };
	unsigned int i, n = 2;

	if (variant->cmd != KREPIS_IOC_QUERY) {
		other[n++] = self->fd[channel ? PRODUCER : EMPTY];
		other[n++] = self->fd[channel ? CONSUMER : CHANNEL];
	}
	for (i = 0; i < n; i++) {
		char *at = put(self, variant, variant->size);

		EXPECT_EQ(-ENOTTY, command(other[i], variant->cmd, at))
			TH_LOG("file %u", i);
	}
	close(other[0]);
	close(other[1]);
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, with_another_size_or_direction_in_its_number_is_unknown)
{
	unsigned int nr = _IOC_NR(variant->cmd);
	unsigned int wrong[] = {
		_IO(KREPIS_IOC, nr), _IOR(KREPIS_IOC, nr, __u32), _IOW(KREPIS_IOC, nr, __u32),
		_IOWR(KREPIS_IOC, nr, __u64), _IOWR(KREPIS_IOC + 1, nr, __u32), nr,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		char *at = put(self, variant, variant->size);
		int got = command(self->fd[variant->where], wrong[i], at);

		/* The VFS answers to a few small numbers itself: FIBMAP, FIGETBSZ. */
		if (wrong[i] == nr && nr <= 2)
			continue;
		EXPECT_EQ(-ENOTTY, got)
			TH_LOG("command %#x", wrong[i]);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(command, on_a_path_descriptor_is_a_bad_descriptor)
{
	int fd = open(mount_path(), O_PATH);

	EXPECT_EQ(-EBADF, command(fd, variant->cmd, put(self, variant, variant->size)));
	EXPECT_EQ(-EBADF, command(-1, variant->cmd, put(self, variant, variant->size)));
}

TEST(unknown_commands_are_unknown)
{
	struct krepis_geometry g = small_ring();
	int file = new_channel(&g), fd[2] = { file, attach(file, KREPIS_PRODUCER, KREPIS_RIGHT_ALL) };
	static __u32 page[PAGE / 4] = { PAGE };
	unsigned int nr, i;

	ASSERT_LE(0, fd[1]);
	for (nr = 0; nr < 256; nr++) {
		if (nr >= 1 && nr <= _IOC_NR(KREPIS_IOC_EVICT))
			continue;
		for (i = 0; i < 2; i++) {
			EXPECT_EQ(-ENOTTY, command(fd[i], _IOWR(KREPIS_IOC, nr, __u32), page))
				TH_LOG("command %u", nr);
		}
	}
}

TEST(query_writes_what_it_knows_and_no_more)
{
	struct krepis_geometry g = small_ring();
	int fd = new_channel(&g);
	struct {
		struct krepis_info_query q;
		__u64 more[2];
	} a = { .q.size = sizeof(a) };

	memset(&a.q.geometry, 0xff, sizeof(a.q) - offsetof(struct krepis_info_query, geometry));
	ASSERT_EQ(0, command(fd, KREPIS_IOC_QUERY, &a));
	EXPECT_EQ(sizeof(a.q), a.q.size);
	EXPECT_EQ(0, a.q.flags);
	EXPECT_EQ(0, memcmp(&g, &a.q.geometry, sizeof(g)));
	EXPECT_EQ(krepis_layout(&g).size, a.q.channel_bytes);
	EXPECT_EQ(0, a.q.live | a.q.producer | a.q.epoch | a.q.deaths | a.q.producer_deaths);
	EXPECT_EQ(0, a.q.role | a.q.slot | a.q.rights);
	EXPECT_EQ(KREPIS_ABI_VERSION, a.q.abi);
	EXPECT_EQ(0, a.q.reserved[0] | a.q.reserved[1] | a.q.reserved[2] | a.more[0] | a.more[1]);
}

TEST(query_into_memory_that_is_read_only_is_a_fault)
{
	struct krepis_geometry g = small_ring();
	int fd = new_channel(&g);
	struct krepis_info_query *q = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, q);
	q->size = sizeof(*q);
	ASSERT_EQ(0, mprotect(q, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, command(fd, KREPIS_IOC_QUERY, q));
}

TEST(argument_in_read_only_memory_is_taken)
{
	struct krepis_geometry g = small_ring();
	int fd = new_file(O_RDWR);
	struct krepis_setup *a = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, a);
	*a = (struct krepis_setup) { .size = sizeof(*a), .geometry = g };
	ASSERT_EQ(0, mprotect(a, PAGE, PROT_READ));
	EXPECT_EQ(0, command(fd, KREPIS_IOC_SETUP, a));
}

/* The argument may be in memory that a peer writes; here, simply in the channel. */
TEST(argument_in_the_channel_itself_is_taken)
{
	struct krepis_geometry g = small_ring();
	struct side s;

	ASSERT_EQ(0, side_open(&s, new_channel(&g), KREPIS_PRODUCER));
	*(struct krepis_wake_args *)payload_of(&s, 0) = (struct krepis_wake_args) {
		.size = sizeof(struct krepis_wake_args), .flags = KREPIS_WAKE_SELF,
	};
	EXPECT_EQ(0, command(s.fd, KREPIS_IOC_WAKE, payload_of(&s, 0)));
	EXPECT_EQ(2, event_of(&s));
}

TEST_HARNESS_MAIN
