// SPDX-License-Identifier: MIT
/*
 * Enforced rings: who may map what, and what a hand-over takes away from the producer,
 * whatever it does, and the last release gives back.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <kselftest_harness.h>
#include "enforced_fixture.h"

static int map(int fd, __u64 from, __u64 to, int prot, int flags, char **at)
{
	void *p = mmap(NULL, to - from, prot, flags, fd, (off_t)from);

	*at = p == MAP_FAILED ? NULL : p;
	return *at ? 0 : -errno;
}

static int try_map(int fd, __u64 from, __u64 to, int prot, int flags)
{
	char *at;
	int err = map(fd, from, to, prot, flags, &at);

	return err ? err : munmap(at, to - from);
}

/* ------------------------------------------------------------ who may map what */

FIXTURE(region)
{
	int channel, fd, number;
	struct krepis_layout l;
	struct side side[3];
};

FIXTURE_VARIANT(region)
{
	int number;	/* 0: the producer; 1, 2: consumers */
	__u32 backpressure;
};

FIXTURE_VARIANT_ADD(region, producer) { 0, KREPIS_BLOCK };
FIXTURE_VARIANT_ADD(region, first_consumer) { 1, KREPIS_BLOCK };
FIXTURE_VARIANT_ADD(region, second_consumer) { 2, KREPIS_BLOCK };
FIXTURE_VARIANT_ADD(region, overwriting_producer) { 0, KREPIS_OVERWRITE };
FIXTURE_VARIANT_ADD(region, overwritten_consumer) { 1, KREPIS_OVERWRITE };

FIXTURE_SETUP(region)
{
	struct krepis_geometry g = enforced_ring();
	int i;

	g.backpressure = variant->backpressure;
	g.buffer_size = PAGE;
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(0, side_open(&self->side[i], self->channel,
				       i ? KREPIS_CONSUMER : KREPIS_PRODUCER));
	self->l = krepis_layout(&g);
	self->number = variant->number;
	self->fd = self->side[self->number].fd;
}

FIXTURE_TEARDOWN(region)
{
}

/* What mmap(2) says to who wants to write all of [@from, @to). */
static int may_write(const FIXTURE_DATA(region) *self, __u64 from, __u64 to)
{
	const struct krepis_layout *l = &self->l;
	__u64 own = l->producer + self->number * PAGE;

	if (!self->number && from < l->payload && to > l->payload)
		return -EINVAL;
	if ((from >= own && to <= own + PAGE) || (!self->number && from >= l->ring))
		return 0;
	return -EACCES;
}

/* Every range of pages, which has every region and every neighbour in it. */
TEST_F(region, range_is_writable_only_if_the_role_says_so)
{
	__u64 from, to;

	for (from = 0; from < self->l.size; from += PAGE) {
		for (to = from + PAGE; to <= self->l.size; to += PAGE) {
			int want = may_write(self, from, to);

			ASSERT_EQ(want == -EINVAL ? want : 0,
				  try_map(self->fd, from, to, PROT_READ, MAP_SHARED))
				TH_LOG("%#llx to %#llx", (long long)from, (long long)to);
			ASSERT_EQ(want, try_map(self->fd, from, to, PROT_READ | PROT_WRITE, MAP_SHARED))
				TH_LOG("%#llx to %#llx", (long long)from, (long long)to);
			ASSERT_EQ(want, try_map(self->fd, from, to, PROT_WRITE, MAP_SHARED));
		}
	}
}

TEST_F(region, read_only_range_never_becomes_writable)
{
	__u64 at;
	char *p;

	for (at = 0; at < self->l.size; at += PAGE) {
		bool may = !may_write(self, at, at + PAGE);

		ASSERT_EQ(0, map(self->fd, at, at + PAGE, PROT_READ, MAP_SHARED, &p));
		EXPECT_TRUE(reads(p));
		EXPECT_FALSE(writes(p));
		EXPECT_EQ(may ? 0 : -1, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
		EXPECT_EQ(may, writes(p))
			TH_LOG("page %llu", (long long)(at / PAGE));
		EXPECT_EQ(0, mprotect(p, PAGE, PROT_NONE));
		EXPECT_EQ(SIGSEGV, fault_at(p, false).signal);
		EXPECT_EQ(0, mprotect(p, PAGE, PROT_READ));
		EXPECT_TRUE(reads(p));
		munmap(p, PAGE);
	}
}

TEST_F(region, nothing_is_executable_or_private)
{
	__u64 at;
	char *p;

	for (at = 0; at < self->l.size; at += PAGE) {
		int err = try_map(self->fd, at, at + PAGE, PROT_READ | PROT_EXEC, MAP_SHARED);

		EXPECT_TRUE(err == -EPERM || err == -EACCES);
		EXPECT_EQ(-EINVAL, try_map(self->fd, at, at + PAGE, PROT_READ, MAP_PRIVATE));
		EXPECT_EQ(-EINVAL, try_map(self->fd, at, at + PAGE, PROT_READ | PROT_WRITE,
					   MAP_PRIVATE));
		ASSERT_EQ(0, map(self->fd, at, at + PAGE, PROT_READ, MAP_SHARED, &p));
		EXPECT_EQ(-1, mprotect(p, PAGE, PROT_READ | PROT_EXEC));
		EXPECT_EQ(EACCES, errno);
		munmap(p, PAGE);
	}
}

TEST_F(region, range_outside_is_refused)
{
	__u64 size = self->l.size;
	const __u64 ranges[][2] = {
		{ self->l.payload, size + PAGE }, { size - PAGE, size + PAGE }, { size, size + PAGE },
		{ 1ULL << 40, (1ULL << 40) + PAGE }, { (1ULL << 44) - PAGE, 1ULL << 44 },
		{ (1ULL << 63) - PAGE, 1ULL << 63 }, { -(__u64)PAGE, 0 },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		int err = try_map(self->fd, ranges[i][0], ranges[i][1], PROT_READ, MAP_SHARED);

		EXPECT_TRUE(err == -EINVAL || err == -EOVERFLOW)
			TH_LOG("range %u: %d", i, err);
	}
}

TEST_F(region, forked_child_has_no_view)
{
	const struct side *s = &self->side[self->number];
	pid_t pid;

	fill(&self->side[0], 0, 1);
	ASSERT_TRUE(reads(payload_of(s, 0)));
	pid = child();
	if (!pid) {
		_exit(fault_at(payload_of(s, 0), false).signal == SIGSEGV &&
		      fault_at(s->desc, false).signal == SIGSEGV ? 0 : 1);
	}
	EXPECT_EQ(0, reap(pid));
	EXPECT_TRUE(filled(s, 0, 1));
}

/* Of pages that come and go, nobody can undo that; a consumer's are ordinary ones. */
TEST_F(region, advice_gives_a_child_no_buffers_of_the_producer)
{
	const struct side *s = &self->side[self->number];

	EXPECT_EQ(self->number ? 0 : -1,
		  madvise(payload_of(s, 0), self->l.stride, MADV_DOFORK));
}

TEST_F(region, payload_needs_the_rights)
{
	__u64 from = self->l.payload, to = self->l.size;
	int all = derive(self->fd, KREPIS_RIGHT_READ | KREPIS_RIGHT_WRITE);
	int reader = derive(self->fd, KREPIS_RIGHT_READ);
	int writer = derive(self->fd, KREPIS_RIGHT_WRITE);
	char *p;

	EXPECT_EQ(self->number ? -EACCES : 0,
		  try_map(all, from, to, PROT_READ | PROT_WRITE, MAP_SHARED));
	EXPECT_EQ(-EACCES, try_map(writer, from, to, PROT_READ, MAP_SHARED));
	EXPECT_EQ(-EACCES, try_map(writer, from, to, PROT_NONE, MAP_SHARED));
	EXPECT_EQ(-EACCES, try_map(reader, from, to, PROT_READ | PROT_WRITE, MAP_SHARED));
	EXPECT_EQ(-EACCES, try_map(reader, from, to, PROT_WRITE, MAP_SHARED));
	ASSERT_EQ(0, map(reader, from, to, PROT_READ, MAP_SHARED, &p));
	EXPECT_TRUE(reads(p));
	EXPECT_EQ(SIGSEGV, fault_at(p, true).signal);
	EXPECT_EQ(-1, mprotect(p, to - from, PROT_READ | PROT_WRITE));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(SIGSEGV, fault_at(p, true).signal);
}

/* ------------------------------------------------------------------- the cycle */

TEST_F(enforced, buffer_goes_to_all_consumers_and_comes_back_after_the_last)
{
	__u32 life;

	for (life = 1; life < 6; life++) {
		fill(&self->producer, 2, life);
		ASSERT_EQ(0, handoff(self->producer.fd, 2, life, PAGE));
		EXPECT_TRUE(is_held(&self->consumer, 2, life, 3));
		EXPECT_TRUE(all_taken_away(&self->producer, 2));
		EXPECT_TRUE(filled(&self->consumer, 2, life));
		EXPECT_TRUE(filled(&self->other, 2, life));
		ASSERT_EQ(0, release(self->consumer.fd, 2, life));
		EXPECT_TRUE(is_held(&self->consumer, 2, life, 2));
		EXPECT_TRUE(all_taken_away(&self->producer, 2));
		EXPECT_TRUE(filled(&self->other, 2, life));
		ASSERT_EQ(0, release(self->other.fd, 2, life));
		EXPECT_TRUE(is_back(&self->producer, 2, life + 1));
		EXPECT_TRUE(filled(&self->producer, 2, life));
		EXPECT_TRUE(all_writable(&self->producer, 2));
	}
}

TEST_F(enforced, handoff_takes_that_buffer_and_no_other)
{
	__u32 i;

	ASSERT_EQ(0, handoff(self->producer.fd, 2, 1, 8));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(i & 1, all_writable(&self->producer, i));
		EXPECT_EQ(!(i & 1), all_taken_away(&self->producer, i));
	}
	EXPECT_TRUE(filled(&self->producer, 1, 101));
	ASSERT_EQ(0, release(self->consumer.fd, 2, 1));
	ASSERT_EQ(0, release(self->other.fd, 2, 1));
	EXPECT_TRUE(all_writable(&self->producer, 2));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
}

TEST_F(enforced, handoff_writes_what_the_caller_says)
{
	const struct krepis_desc *d = &self->consumer.desc[2];
	struct krepis_handoff a = {
		.size = sizeof(a), .handle = { 2, 1 }, .len = 4 * PAGE, .type = 7,
		.msg_flags = KREPIS_MSG_CRC32C, .crc32c = 0x12345678, .sequence = 1ULL << 40,
	};

	ASSERT_EQ(0, command(self->producer.fd, KREPIS_IOC_HANDOFF, &a));
	EXPECT_TRUE(is_held(&self->consumer, 2, 1, 3));
	EXPECT_EQ(4 * PAGE, d->len);
	EXPECT_EQ(7, d->type);
	EXPECT_EQ(KREPIS_MSG_CRC32C, d->flags);
	EXPECT_EQ(0x12345678, d->crc32c);
	EXPECT_EQ(1ULL << 40, d->sequence);
	EXPECT_EQ(1, d->giver);
}

TEST_F(enforced, giver_tells_which_producer_it_was)
{
	side_close(&self->producer);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, handoff(self->producer.fd, 1, 1, 8));
	EXPECT_EQ(1, self->consumer.desc[0].giver);
	EXPECT_EQ(2, self->consumer.desc[1].giver);
	EXPECT_EQ(2, self->consumer.info->producers);
}

TEST_F(enforced, last_release_makes_an_event_for_the_producer)
{
	__u32 event = event_of(&self->producer);

	ASSERT_EQ(0, release(self->other.fd, 0, 1));
	EXPECT_EQ(event, event_of(&self->producer));
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_EQ(event + 1, event_of(&self->producer));
}

TEST_F(enforced, consumer_that_came_later_has_no_hold)
{
	side_close(&self->other);
	ASSERT_EQ(0, side_open(&self->other, self->channel, KREPIS_CONSUMER));
	EXPECT_TRUE(is_held(&self->consumer, 0, 1, 1));
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(filled(&self->producer, 0, 100));
}

/* A system call that is to read or write there is told so, and nobody is killed. */
TEST_F(enforced, system_call_on_a_buffer_that_is_gone_is_a_fault)
{
	int pipes[2];
	char c = 1;

	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-1, write(pipes[1], payload_of(&self->producer, 0), 1));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(1, write(pipes[1], &c, 1));
	EXPECT_EQ(-1, read(pipes[0], payload_of(&self->producer, 0), 1));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(1, write(pipes[1], payload_of(&self->producer, 1), 1));
	EXPECT_UNCHANGED();
}

TEST_F(enforced, changing_the_protection_brings_nothing_back)
{
	char *p = payload_of(&self->producer, 0);
	size_t size = self->producer.layout.stride;

	ASSERT_EQ(0, mprotect(p, size, PROT_NONE));
	ASSERT_EQ(0, mprotect(p, size, PROT_READ | PROT_WRITE));
	EXPECT_UNCHANGED();
	/* And what it was at the hand-over does not matter. */
	p = payload_of(&self->producer, 2);
	fill(&self->producer, 2, 5);
	ASSERT_EQ(0, mprotect(p, size, PROT_NONE));
	ASSERT_EQ(0, handoff(self->producer.fd, 2, 1, 8));
	ASSERT_EQ(0, mprotect(p, size, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(all_taken_away(&self->producer, 2));
	ASSERT_EQ(0, mprotect(p, size, PROT_READ));
	ASSERT_EQ(0, release(self->consumer.fd, 2, 1));
	ASSERT_EQ(0, release(self->other.fd, 2, 1));
	EXPECT_TRUE(filled(&self->producer, 2, 5));
	EXPECT_EQ(SIGSEGV, fault_at(p, true).signal);
	ASSERT_EQ(0, mprotect(p, size, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(all_writable(&self->producer, 2));
}

TEST_F(enforced, advice_brings_nothing_back_and_changes_nothing)
{
	static const int advices[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
		MADV_REMOVE, MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK,
		MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT, 22 /* POPULATE_READ */,
		23 /* POPULATE_WRITE */, 24 /* DONTNEED_LOCKED */, 25 /* COLLAPSE */,
	};
	const struct krepis_layout *l = &self->producer.layout;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		madvise(payload_of(&self->producer, 0), l->size - l->payload, advices[i]);
		madvise(payload_of(&self->consumer, 0), l->size - l->payload, advices[i]);
		ASSERT_TRUE(picture_holds(&self->before, &self->consumer))
			TH_LOG("advice %d", advices[i]);
		ASSERT_TRUE(all_taken_away(&self->producer, 0));
		ASSERT_TRUE(filled(&self->producer, 1, 101));
	}
	EXPECT_EQ(-1, madvise(payload_of(&self->producer, 0), l->stride, MADV_REMOVE));
	EXPECT_EQ(-1, madvise(payload_of(&self->producer, 0), l->stride, MADV_DOFORK));
	EXPECT_EQ(-1, madvise(payload_of(&self->producer, 0), l->stride, MADV_DODUMP));
	EXPECT_UNCHANGED();
}

/* Locked, populated and touched in all ways: it goes all the same. */
TEST_F(enforced, locked_pages_are_taken_away)
{
	const struct krepis_layout *l = &self->producer.layout;
	char *p;

	ASSERT_EQ(0, map(self->producer.fd, l->payload + 2 * l->stride, l->size,
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE | MAP_LOCKED, &p));
	mlock(p, l->stride);
	memset(p, 1, 2 * l->stride);
	ASSERT_EQ(0, handoff(self->producer.fd, 2, 1, 8));
	EXPECT_TRUE(is_taken_away(p));
	EXPECT_TRUE(is_taken_away(p + l->stride - 1));
	EXPECT_TRUE(writes(p + l->stride));
	EXPECT_EQ(1, *payload_of(&self->consumer, 2));
}

/* ---------------------------------------------------- while somebody is writing */

struct writer {
	pthread_t thread;
	const struct side *side;
	__u32 index, stop, stores, faults;
};

static void write_on(void *p)
{
	struct writer *w = p;
	__u32 *word = (__u32 *)payload_of(w->side, w->index), i;

	while (!krepis_read(&w->stop)) {
		krepis_write(&w->stores, w->stores + 1);
		for (i = 0; i < w->side->layout.stride / sizeof(*word); i += 64)
			krepis_write(&word[i], w->stores);
	}
}

static void *writer(void *p)
{
	struct writer *w = p;

	while (!krepis_read(&w->stop))
		w->faults += try_access(write_on, w).signal == SIGBUS;
	return NULL;
}

static __u32 faults_of_all(struct writer w[2])
{
	return krepis_read(&w[0].faults) + krepis_read(&w[1].faults);
}

static bool still(const struct side *s, __u32 index, char *copy)
{
	int i;

	memcpy(copy, payload_of(s, index), s->layout.stride);
	for (i = 0; i < 20; i++) {
		sched_yield();
		if (memcmp(copy, payload_of(s, index), s->layout.stride))
			return false;
	}
	return true;
}

TEST_F(enforced, no_byte_changes_from_hand_over_to_release_while_threads_write)
{
	struct writer w[2] = { { .side = &self->producer, .index = 2 },
			       { .side = &self->producer, .index = 2 } };
	char *copy = malloc(self->producer.layout.stride);
	__u32 life, i, before;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&w[i].thread, NULL, writer, &w[i]));
	for (life = 1; life <= 50; life++) {
		/* They write again before the next one. */
		before = krepis_read(&w[0].stores);
		ASSERT_TRUE(within_ms(20000, krepis_read(&w[0].stores) > before + 2));
		before = faults_of_all(w);
		ASSERT_EQ(0, handoff(self->producer.fd, 2, life, 8));
		ASSERT_TRUE(still(&self->consumer, 2, copy));
		/* One of them tried meanwhile, or is waited for. */
		ASSERT_TRUE(within_ms(20000, faults_of_all(w) != before));
		ASSERT_EQ(0, release(self->other.fd, 2, life));
		ASSERT_TRUE(still(&self->consumer, 2, copy));
		ASSERT_EQ(0, release(self->consumer.fd, 2, life));
	}
	for (i = 0; i < 2; i++) {
		krepis_write(&w[i].stop, 1);
		pthread_join(w[i].thread, NULL);
	}
}

TEST_HARNESS_MAIN
