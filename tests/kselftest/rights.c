// SPDX-License-Identifier: MIT
/*
 * Who may do what: the mode of a file says who may attach to it, the rights of an
 * endpoint's descriptor what it is good for, and they only ever shrink.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <kselftest_harness.h>
#include "util.h"

FIXTURE(rights)
{
	int channel;
	struct side producer, consumer;
	struct picture before;
};

FIXTURE_SETUP(rights)
{
	struct krepis_geometry g = small_ring();

	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	ASSERT_EQ(0, handoff(self->producer.fd, 0, 1, 8));
	picture_take(&self->before, &self->producer);
}

FIXTURE_TEARDOWN(rights)
{
}

static bool unchanged(FIXTURE_DATA(rights) *self)
{
	return picture_holds(&self->before, &self->producer);
}

/* What a call says to a descriptor that has @rights only. */
static int try_query(int fd)
{
	struct krepis_info_query q;

	return query(fd, &q);
}

static int try_map(int fd)
{
	void *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, PAGE);
	return 0;
}

static int try_map_writable(int fd)
{
	struct krepis_geometry g = small_ring();
	__u64 at = krepis_layout(&g).descriptors;
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, PAGE);
	return 0;
}

static int try_handoff(int fd)
{
	return handoff(fd, 1, 1, 8);
}

static int try_release(int fd)
{
	return release(fd, 0, 1);
}

static int try_wait_of_producer(int fd)
{
	return wait_word(fd, offsetof(struct krepis_info, event[0]), ~0U, FOR_EVER);
}

static int try_wait_of_consumer(int fd)
{
	return wait_word(fd, offsetof(struct krepis_info, event[1]), ~0U, FOR_EVER);
}

/* Which reads it. */
static int try_wait_for_a_word(int fd)
{
	return wait_word(fd, offsetof(struct krepis_info, event[2]), ~0U, FOR_EVER);
}

static int try_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

	if (poll(&p, 1, 0) < 0)
		return -errno;
	return p.revents & POLLERR ? -EACCES : 0;
}

static int try_wake(int fd)
{
	struct krepis_info_query q;
	int role = query(fd, &q) ? KREPIS_CONSUMER : (int)q.role;

	return wake(fd, role == KREPIS_PRODUCER, 0);
}

static int try_wake_self(int fd)
{
	return wake(fd, 0, KREPIS_WAKE_SELF);
}

static int try_stop(int fd)
{
	return wake(fd, 0, KREPIS_WAKE_SELF | KREPIS_WAKE_STOP);
}

static int try_derive(int fd)
{
	int new = derive(fd, KREPIS_RIGHT_DERIVE);

	return new < 0 ? new : close(new);
}

static const struct call {
	const char *what;
	__u32 needs;
	__u32 role;	/* or 0 for both */
	int (*run)(int fd);
} calls[] = {
	{ "QUERY", KREPIS_RIGHT_READ, 0, try_query },
	{ "mmap", KREPIS_RIGHT_READ, 0, try_map },
	{ "mmap to write", KREPIS_RIGHT_READ | KREPIS_RIGHT_WRITE, 0, try_map_writable },
	{ "HANDOFF", KREPIS_RIGHT_WRITE, KREPIS_PRODUCER, try_handoff },
	{ "RELEASE", KREPIS_RIGHT_WRITE, KREPIS_CONSUMER, try_release },
	{ "WAIT", KREPIS_RIGHT_WAIT, KREPIS_PRODUCER, try_wait_of_producer },
	{ "WAIT", KREPIS_RIGHT_WAIT, KREPIS_CONSUMER, try_wait_of_consumer },
	{ "WAIT for a word", KREPIS_RIGHT_WAIT | KREPIS_RIGHT_READ, 0, try_wait_for_a_word },
	{ "poll", KREPIS_RIGHT_WAIT, 0, try_poll },
	{ "WAKE of itself", KREPIS_RIGHT_WAKE, 0, try_wake_self },
	{ "WAKE that stops", KREPIS_RIGHT_WAKE | KREPIS_RIGHT_WRITE, 0, try_stop },
	{ "DERIVE", KREPIS_RIGHT_DERIVE, 0, try_derive },
	{ "DETACH", KREPIS_RIGHT_WRITE, 0, detach },
};

#define EACH_CALL(c) (c = calls; c < calls + ARRAY_SIZE(calls); c++)

/* Each call with each set of rights: the 32 sets, for both roles. */
TEST_F(rights, call_is_refused_exactly_without_what_it_needs)
{
	const struct side *sides[] = { &self->producer, &self->consumer };
	const struct call *c;
	__u32 set;
	int i;

	for (set = 1; set <= KREPIS_RIGHT_ALL; set++) {
		for (i = 0; i < 2; i++) {
			int fd = derive(sides[i]->fd, set);

			ASSERT_LE(0, fd);
			for EACH_CALL(c) {
				if ((c->role && c->role != sides[i]->role) ||
				    (set & c->needs) == c->needs)
					continue;
				EXPECT_EQ(-EACCES, c->run(fd))
					TH_LOG("%s with %#x, role %d", c->what, set, i);
			}
			close(fd);
		}
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, call_is_taken_with_no_more_than_it_needs)
{
	const struct side *sides[] = { &self->producer, &self->consumer };
	const struct call *c;
	int i;

	for (i = 0; i < 2; i++) {
		for EACH_CALL(c) {
			int fd = derive(sides[i]->fd, c->needs);

			ASSERT_LE(0, fd);
			if (!c->role || c->role == sides[i]->role) {
				EXPECT_LE(0, c->run(fd))
					TH_LOG("%s, role %d", c->what, i);
			}
			close(fd);
		}
	}
}

TEST_F(rights, wake_of_others_needs_the_right)
{
	int fd;

	fd = derive(self->producer.fd, KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WAKE);
	EXPECT_EQ(-EACCES, try_wake(fd));
	fd = derive(self->consumer.fd, KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WAKE);
	EXPECT_EQ(-EACCES, try_wake(fd));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, restricted_descriptor_loses_what_it_could)
{
	const struct call *c;

	ASSERT_EQ(0, restrict_to(self->consumer.fd, 0));
	for EACH_CALL(c) {
		if (c->role != KREPIS_PRODUCER)
			EXPECT_EQ(-EACCES, c->run(self->consumer.fd))
				TH_LOG("%s", c->what);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, restriction_is_of_one_descriptor_and_its_duplicates)
{
	int twin = dup(self->consumer.fd), derived = derive(self->consumer.fd, KREPIS_RIGHT_ALL);

	ASSERT_EQ(0, restrict_to(self->consumer.fd, KREPIS_RIGHT_WAIT));
	EXPECT_EQ(-EACCES, try_query(twin));
	EXPECT_EQ(0, try_query(derived));
	EXPECT_EQ(0, try_query(self->producer.fd));
}

TEST_F(rights, mapping_stays_as_it_was_made)
{
	ASSERT_EQ(0, restrict_to(self->consumer.fd, 0));
	consumer_of(&self->consumer, 0)->front = 7;
	EXPECT_EQ(7, consumer_of(&self->producer, 0)->front);
	EXPECT_EQ(-EACCES, try_map(self->consumer.fd));
}

TEST_F(rights, mapping_made_without_write_never_gets_it)
{
	int fd = derive(self->consumer.fd, KREPIS_RIGHT_READ);
	void *own = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd,
			 (off_t)self->consumer.layout.consumers);

	ASSERT_NE(MAP_FAILED, own);
	EXPECT_EQ(-1, mprotect(own, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(rights, never_grow)
{
	__u32 has, wants;

	for (has = 1; has <= KREPIS_RIGHT_ALL; has++) {
		int fd = derive(self->consumer.fd, has);

		ASSERT_LE(0, fd);
		for (wants = 1; wants <= KREPIS_RIGHT_ALL; wants++) {
			if (!(wants & ~has))
				continue;
			EXPECT_EQ(-EPERM, restrict_to(fd, wants));
			EXPECT_EQ(has & KREPIS_RIGHT_DERIVE ? -EPERM : -EACCES, derive(fd, wants));
		}
		close(fd);
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, query_tells_them)
{
	struct krepis_info_query q;
	int fd = derive(self->consumer.fd, KREPIS_RIGHT_READ | KREPIS_RIGHT_WAKE);

	ASSERT_EQ(0, query(fd, &q));
	EXPECT_EQ(KREPIS_RIGHT_READ | KREPIS_RIGHT_WAKE, q.rights);
	ASSERT_EQ(0, restrict_to(fd, KREPIS_RIGHT_READ));
	ASSERT_EQ(0, query(fd, &q));
	EXPECT_EQ(KREPIS_RIGHT_READ, q.rights);
	EXPECT_EQ(KREPIS_CONSUMER, q.role);
	EXPECT_EQ(0, q.slot);
}

TEST_F(rights, unknown_ones_are_invalid)
{
	__u32 bit;

	for (bit = KREPIS_RIGHT_ALL + 1; bit; bit <<= 1) {
		EXPECT_EQ(-EINVAL, attach(self->channel, KREPIS_CONSUMER, bit | 1));
		EXPECT_EQ(-EINVAL, restrict_to(self->consumer.fd, bit | 1));
		EXPECT_EQ(-EINVAL, derive(self->consumer.fd, bit | 1));
	}
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, none_at_all_is_no_descriptor)
{
	EXPECT_EQ(-EINVAL, attach(self->channel, KREPIS_CONSUMER, 0));
	EXPECT_EQ(-EINVAL, derive(self->consumer.fd, 0));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, unknown_role_is_invalid)
{
	static const __u32 roles[] = { 0, 3, 4, 1U << 31, ~0U };
	int i;

	for (i = 0; i < 5; i++)
		EXPECT_EQ(-EINVAL, attach(self->channel, roles[i], KREPIS_RIGHT_ALL));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, second_producer_is_busy)
{
	EXPECT_EQ(-EBUSY, attach(self->channel, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, consumer_beyond_the_last_slot_is_too_many)
{
	int second = attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL);

	ASSERT_LE(0, second);
	picture_take(&self->before, &self->producer);
	EXPECT_EQ(-EUSERS, attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	EXPECT_TRUE(unchanged(self));
}

TEST_F(rights, attach_without_a_descriptor_left_changes_nothing)
{
	while (dup(0) >= 0)
		;
	EXPECT_EQ(-EMFILE, attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	EXPECT_EQ(-EMFILE, derive(self->consumer.fd, KREPIS_RIGHT_ALL));
	EXPECT_TRUE(unchanged(self));
}

FIXTURE(mode)
{
	int file;
};

FIXTURE_VARIANT(mode)
{
	int flags;
	int producer, consumer;
};

FIXTURE_VARIANT_ADD(mode, read_only) { O_RDONLY, -EACCES, 0 };
FIXTURE_VARIANT_ADD(mode, write_only) { O_WRONLY, 0, -EACCES };
FIXTURE_VARIANT_ADD(mode, read_write) { O_RDWR, 0, 0 };

FIXTURE_SETUP(mode)
{
	struct krepis_geometry g = small_ring();

	self->file = new_channel(&g);
	ASSERT_LE(0, self->file);
}

FIXTURE_TEARDOWN(mode)
{
}

TEST_F(mode, of_the_file_says_which_role_may_attach)
{
	int fd = reopen(self->file, variant->flags), ep;
	__u32 set;

	ASSERT_LE(0, fd);
	for (set = 1; set <= KREPIS_RIGHT_ALL; set++) {
		ep = attach(fd, KREPIS_PRODUCER, set);
		EXPECT_EQ(variant->producer, ep < 0 ? ep : close(ep));
		ep = attach(fd, KREPIS_CONSUMER, set);
		EXPECT_EQ(variant->consumer, ep < 0 ? ep : close(ep));
	}
}

TEST_F(mode, of_the_file_does_not_matter_to_query)
{
	int fd = reopen(self->file, variant->flags);
	struct krepis_info_query q;

	EXPECT_EQ(0, query(fd, &q));
	EXPECT_EQ(0, q.role | q.rights);
}

TEST_F(rights, descriptor_cannot_be_opened_anew)
{
	static const int modes[] = { O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC };
	int i;

	for (i = 0; i < 4; i++)
		EXPECT_EQ(-EACCES, reopen(self->consumer.fd, modes[i]));
	EXPECT_TRUE(unchanged(self));
}

/* What has a name can be opened, and would be the whole channel. */
TEST(descriptor_cannot_be_given_a_name)
{
	struct krepis_geometry g = small_ring();
	const char *name = in_mount("rights-name"), *other = in_mount("rights-other");
	char path[32];
	int file, ep;

	unlink(name);
	unlink(other);
	file = open(name, O_RDWR | O_CREAT, 0600);
	ASSERT_LE(0, file);
	ASSERT_EQ(0, setup(file, &g));
	ep = attach(file, KREPIS_CONSUMER, KREPIS_RIGHT_WAIT);
	ASSERT_LE(0, ep);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ep);
	EXPECT_EQ(-1, linkat(AT_FDCWD, path, AT_FDCWD, other, AT_SYMLINK_FOLLOW));
	EXPECT_EQ(-1, linkat(ep, "", AT_FDCWD, other, AT_EMPTY_PATH));
	EXPECT_EQ(-1, open(other, O_RDWR));
	unlink(name);
	unlink(other);
}

TEST_HARNESS_MAIN
