// SPDX-License-Identifier: MIT
/*
 * Exclusive rings: the one consumer writes where the producer wrote, and each has a
 * buffer's pages only while it owns it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <kselftest_harness.h>
#include "enforced.h"

FIXTURE(exclusive)
{
	int channel;
	struct side producer, consumer;
	struct picture before;
};

static struct krepis_geometry exclusive_ring(void)
{
	struct krepis_geometry g = enforced_ring();

	g.flags |= KREPIS_F_EXCLUSIVE;
	g.max_consumers = 1;
	return g;
}

FIXTURE_SETUP(exclusive)
{
	struct krepis_geometry g = exclusive_ring();

	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	fill(&self->producer, 0, 100);
	fill(&self->producer, 1, 101);
	ASSERT_EQ(0, handoff(self->producer.fd, 0, 1, 8));
	picture_take(&self->before, &self->consumer);
}

FIXTURE_TEARDOWN(exclusive)
{
}

/* The producer's is buffer 1, the consumer's buffer 0. */
#define EXPECT_UNCHANGED()								\
	do {										\
		EXPECT_TRUE(picture_holds(&self->before, &self->consumer));		\
		EXPECT_TRUE(filled(&self->consumer, 0, 100));				\
		EXPECT_TRUE(filled(&self->producer, 1, 101));				\
		EXPECT_TRUE(all_writable(&self->consumer, 0));				\
		EXPECT_TRUE(all_writable(&self->producer, 1));				\
		EXPECT_TRUE(all_taken_away(&self->producer, 0));			\
		EXPECT_TRUE(all_taken_away(&self->consumer, 1));			\
	} while (0)

/* ----------------------------------------------------------------------- mapping */

/* What mmap(2) says to who wants to write all of [@from, @to). */
static int may_write(const struct side *s, __u64 from, __u64 to)
{
	const struct krepis_layout *l = &s->layout;
	bool producer = s->role == KREPIS_PRODUCER;
	__u64 own = producer ? l->producer : l->consumers;

	if (from < l->payload && to > l->payload)
		return -EINVAL;
	if ((from >= own && to <= own + PAGE) || from >= (producer ? l->ring : l->payload))
		return 0;
	return -EACCES;
}

static int try_map(int fd, __u64 from, __u64 to, int prot, int flags)
{
	void *p = mmap(NULL, to - from, prot, flags, fd, (off_t)from);

	return p == MAP_FAILED ? -errno : munmap(p, to - from);
}

TEST_F(exclusive, range_is_writable_only_if_the_role_says_so)
{
	struct side *sides[2] = { &self->producer, &self->consumer };
	__u64 from, to;
	int i;

	for (i = 0; i < 2; i++) {
		const struct side *s = sides[i];

		for (from = 0; from < s->layout.size; from += PAGE) {
			for (to = from + PAGE; to <= s->layout.size; to += PAGE) {
				int want = may_write(s, from, to);

				ASSERT_EQ(want == -EINVAL ? want : 0,
					  try_map(s->fd, from, to, PROT_READ, MAP_SHARED));
				ASSERT_EQ(want, try_map(s->fd, from, to, PROT_READ | PROT_WRITE,
							MAP_SHARED))
					TH_LOG("%d: %#llx to %#llx", i, (long long)from, (long long)to);
				ASSERT_EQ(-EINVAL, try_map(s->fd, from, to, PROT_READ, MAP_PRIVATE));
			}
		}
	}
	EXPECT_UNCHANGED();
}

TEST_F(exclusive, consumer_without_the_right_only_reads)
{
	const struct krepis_layout *l = &self->consumer.layout;
	int reader = derive(self->consumer.fd, KREPIS_RIGHT_READ);
	char *p;

	EXPECT_EQ(-EACCES, try_map(reader, l->payload, l->size, PROT_READ | PROT_WRITE, MAP_SHARED));
	p = mmap(NULL, l->stride, PROT_READ, MAP_SHARED, reader, (off_t)l->payload);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, memcmp(p, payload_of(&self->consumer, 0), l->stride));
	EXPECT_EQ(SIGSEGV, fault_at(p, true).signal);
	EXPECT_EQ(-1, mprotect(p, l->stride, PROT_READ | PROT_WRITE));
	/* That mapping goes, too. */
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_EQ(SIGBUS, fault_at(p, false).signal);
}

TEST_F(exclusive, forked_child_has_no_view)
{
	pid_t pid;

	EXPECT_EQ(-1, madvise(payload_of(&self->consumer, 0), PAGE, MADV_DOFORK));
	pid = child();
	if (!pid)
		_exit(fault_at(payload_of(&self->consumer, 0), false).signal == SIGSEGV ? 0 : 1);
	EXPECT_EQ(0, reap(pid));
}

/* --------------------------------------------------------------------- the cycle */

TEST_F(exclusive, buffer_is_edited_in_place_and_comes_back)
{
	__u32 life;

	for (life = 1; life < 6; life++) {
		fill(&self->producer, 2, life);
		EXPECT_TRUE(all_taken_away(&self->consumer, 2));
		ASSERT_EQ(0, handoff(self->producer.fd, 2, life, 8));
		EXPECT_TRUE(is_held(&self->consumer, 2, life, 1));
		EXPECT_TRUE(all_taken_away(&self->producer, 2));
		EXPECT_TRUE(filled(&self->consumer, 2, life));
		fill(&self->consumer, 2, 1000 + life);
		EXPECT_TRUE(all_taken_away(&self->producer, 2));
		ASSERT_EQ(0, release(self->consumer.fd, 2, life));
		EXPECT_TRUE(is_back(&self->producer, 2, life + 1));
		EXPECT_TRUE(all_taken_away(&self->consumer, 2));
		EXPECT_TRUE(filled(&self->producer, 2, 1000 + life));
		EXPECT_TRUE(all_writable(&self->producer, 2));
	}
	/* And the others stay as they were. */
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	EXPECT_TRUE(filled(&self->producer, 1, 101));
}

TEST_F(exclusive, release_makes_an_event_for_the_producer)
{
	__u32 event = event_of(&self->producer);

	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_EQ(event + 1, event_of(&self->producer));
}

TEST_F(exclusive, publish_works_as_well)
{
	ASSERT_EQ(0, handoff_publish(self->producer.fd, 2, 1, 8, 0));
	EXPECT_EQ(16, self->consumer.producer->head);
	EXPECT_TRUE(all_taken_away(&self->producer, 2));
	EXPECT_TRUE(all_writable(&self->consumer, 2));
}

TEST_F(exclusive, consumers_life_begins_with_one_fault)
{
	volatile char *p = payload_of(&self->consumer, 2);
	struct rusage r[2];
	__u32 life, i;

	for (life = 1; life < 5; life++) {
		ASSERT_EQ(0, handoff(self->producer.fd, 2, life, 8));
		getrusage(RUSAGE_THREAD, &r[0]);
		for (i = 0; i < 4; i++)
			p[i * PAGE] = 1;
		getrusage(RUSAGE_THREAD, &r[1]);
		/* In the first one the test itself may fault. */
		if (life > 1)
			EXPECT_EQ(1, r[1].ru_minflt - r[0].ru_minflt);
		ASSERT_EQ(0, release(self->consumer.fd, 2, life));
	}
}

TEST_F(exclusive, all_mappings_of_the_consumer_lose_the_buffer)
{
	struct side twin;

	ASSERT_EQ(0, side_map(&twin, derive(self->consumer.fd, KREPIS_RIGHT_ALL)));
	EXPECT_TRUE(filled(&twin, 0, 100));
	fill(&twin, 0, 5);
	ASSERT_EQ(0, release(twin.fd, 0, 1));
	EXPECT_TRUE(all_taken_away(&twin, 0));
	EXPECT_TRUE(all_taken_away(&self->consumer, 0));
	EXPECT_TRUE(filled(&self->producer, 0, 5));
}

struct writer {
	pthread_t thread;
	const struct side *side;
	__u32 stop, stores, faults;
};

static void write_on(void *p)
{
	struct writer *w = p;
	__u32 *word = (__u32 *)payload_of(w->side, 2), i;

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

/* Whether nobody but the reader, who does not, writes to buffer 2. */
static bool still(const struct side *s, char *copy)
{
	int i;

	memcpy(copy, payload_of(s, 2), s->layout.stride);
	for (i = 0; i < 20; i++) {
		sched_yield();
		if (memcmp(copy, payload_of(s, 2), s->layout.stride))
			return false;
	}
	return true;
}

/* Whether @w stores, and gets through: it has the buffer. */
static bool stores(struct writer *w)
{
	__u32 before = krepis_read(&w->stores);

	return within_ms(20000, krepis_read(&w->stores) > before + 2);
}

TEST_F(exclusive, no_byte_changes_by_the_other_side_while_threads_write)
{
	struct writer w = { .side = &self->producer }, v = { .side = &self->consumer };
	char *copy = malloc(self->producer.layout.stride);
	__u32 life, before;

	ASSERT_EQ(0, pthread_create(&w.thread, NULL, writer, &w));
	for (life = 1; life <= 30; life++) {
		ASSERT_TRUE(stores(&w));
		before = krepis_read(&w.faults);
		ASSERT_EQ(0, handoff(self->producer.fd, 2, life, 8));
		ASSERT_TRUE(still(&self->consumer, copy));
		/* It tried meanwhile, or is waited for. */
		ASSERT_TRUE(within_ms(20000, krepis_read(&w.faults) != before));
		ASSERT_EQ(0, release(self->consumer.fd, 2, life));
	}
	krepis_write(&w.stop, 1);
	pthread_join(w.thread, NULL);
	/* And the other way round. */
	ASSERT_EQ(0, pthread_create(&v.thread, NULL, writer, &v));
	for (; life <= 60; life++) {
		ASSERT_EQ(0, handoff(self->producer.fd, 2, life, 8));
		ASSERT_TRUE(stores(&v));
		before = krepis_read(&v.faults);
		ASSERT_EQ(0, release(self->consumer.fd, 2, life));
		ASSERT_TRUE(is_back(&self->producer, 2, life + 1));
		ASSERT_TRUE(still(&self->producer, copy));
		ASSERT_TRUE(within_ms(20000, krepis_read(&v.faults) != before));
	}
	krepis_write(&v.stop, 1);
	pthread_join(v.thread, NULL);
}

/* ---------------------------------------------------------------------- refusals */

TEST_F(exclusive, release_that_is_refused_changes_nothing)
{
	__u32 rest = KREPIS_RIGHT_ALL & ~KREPIS_RIGHT_WRITE;

	EXPECT_EQ(-EINVAL, release(self->consumer.fd, 4, 1));
	EXPECT_EQ(-EINVAL, release(self->consumer.fd, 0, 0));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 2));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 1, 1));
	EXPECT_EQ(-EPERM, release(self->producer.fd, 0, 1));
	EXPECT_EQ(-EACCES, release(derive(self->consumer.fd, rest), 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(exclusive, handoff_that_is_refused_changes_nothing)
{
	EXPECT_EQ(-EPERM, handoff(self->producer.fd, 0, 1, 8));
	EXPECT_EQ(-ESTALE, handoff(self->producer.fd, 1, 2, 8));
	EXPECT_EQ(-EPERM, handoff(self->consumer.fd, 0, 1, 8));
	EXPECT_EQ(-EMSGSIZE, handoff(self->producer.fd, 1, 1, 4 * PAGE + 1));
	EXPECT_UNCHANGED();
}

TEST_F(exclusive, take_and_evict_are_not_for_exclusive_rings)
{
	EXPECT_EQ(-EOPNOTSUPP, take(self->consumer.fd, 0, 1));
	EXPECT_EQ(-EOPNOTSUPP, evict(self->producer.fd, 0, 1));
	EXPECT_UNCHANGED();
}

TEST_F(exclusive, release_twice_is_stale)
{
	struct picture before;

	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	picture_take(&before, &self->consumer);
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(picture_holds(&before, &self->consumer));
	EXPECT_TRUE(all_writable(&self->producer, 0));
	EXPECT_TRUE(all_taken_away(&self->consumer, 0));
}

TEST_F(exclusive, second_consumer_finds_no_slot)
{
	EXPECT_EQ(-EUSERS, attach(self->channel, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	EXPECT_UNCHANGED();
}

/* ------------------------------------------------------------------ other ways to it */

/* The consumer's pages go away as well, so nothing may hold on to them. */
TEST_F(exclusive, debuggers_and_pins_do_not_reach_the_consumers_pages)
{
	char *p = payload_of(&self->consumer, 0), byte = 0x5b;
	int mem = open("/proc/self/mem", O_RDWR), pipes[2];
	struct iovec mine = { &byte, 1 }, there = { p, 1 };

	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-1, pread(mem, &byte, 1, (off_t)(uintptr_t)p));
	EXPECT_EQ(-1, pwrite(mem, &byte, 1, (off_t)(uintptr_t)p));
	EXPECT_EQ(-1, process_vm_readv(getpid(), &mine, 1, &there, 1, 0));
	EXPECT_EQ(-1, process_vm_writev(getpid(), &mine, 1, &there, 1, 0));
	there.iov_len = PAGE;
	EXPECT_EQ(-1, vmsplice(pipes[1], &there, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	/* What copies works. */
	EXPECT_EQ(PAGE, write(pipes[1], p, PAGE));
	EXPECT_UNCHANGED();
}

/* ------------------------------------------------------------------------ deaths */

TEST_F(exclusive, what_a_dead_consumer_wrote_comes_back)
{
	pid_t pid;

	side_close(&self->consumer);
	EXPECT_TRUE(is_back(&self->producer, 0, 2));
	EXPECT_TRUE(filled(&self->producer, 0, 100));
	pid = child();
	if (!pid) {
		struct side s;

		if (side_open(&s, self->channel, KREPIS_CONSUMER))
			_exit(1);
		while (!is_held(&s, 0, 2, 1))
			sched_yield();
		fill(&s, 0, 77);
		raise(SIGKILL);
	}
	ASSERT_TRUE(within_ms(20000, handoff(self->producer.fd, 0, 2, 8) == 0));
	ASSERT_EQ(128 + SIGKILL, reap(pid));
	EXPECT_TRUE(is_back(&self->producer, 0, 3));
	EXPECT_TRUE(filled(&self->producer, 0, 77));
	EXPECT_TRUE(all_writable(&self->producer, 0));
}

TEST_F(exclusive, new_consumer_has_nothing_of_the_old_one)
{
	side_close(&self->consumer);
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	EXPECT_TRUE(all_taken_away(&self->consumer, 0));
	EXPECT_EQ(-ESTALE, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(all_writable(&self->producer, 0));
}

TEST_F(exclusive, what_a_dead_producer_gave_is_the_consumers)
{
	side_close(&self->producer);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
	EXPECT_EQ(-EPERM, handoff(self->producer.fd, 0, 1, 8));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	fill(&self->consumer, 0, 5);
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
	ASSERT_EQ(0, release(self->consumer.fd, 0, 1));
	EXPECT_TRUE(filled(&self->producer, 0, 5));
	EXPECT_TRUE(all_taken_away(&self->consumer, 0));
}

TEST_HARNESS_MAIN
