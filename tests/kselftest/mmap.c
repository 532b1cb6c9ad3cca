// SPDX-License-Identifier: MIT
/*
 * Mappings: who may map what and how, and that what is read only stays so whatever
 * is tried on it.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <kselftest_harness.h>
#include "util.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

FIXTURE(map)
{
	int channel, fd, number;
	struct krepis_layout l;
	struct side producer, consumer[2];
	/* What the endpoint of the variant writes: up to two ranges. */
	__u64 own[2][2];
};

FIXTURE_VARIANT(map)
{
	int number;	/* 0: the producer; 1, 2: consumers */
};

FIXTURE_VARIANT_ADD(map, producer) { 0 };
FIXTURE_VARIANT_ADD(map, first_consumer) { 1 };
FIXTURE_VARIANT_ADD(map, second_consumer) { 2 };

FIXTURE_SETUP(map)
{
	struct krepis_geometry g = small_ring();
	const struct side *s[] = { &self->producer, &self->consumer[0], &self->consumer[1] };

	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer[0], self->channel, KREPIS_CONSUMER));
	ASSERT_EQ(0, side_open(&self->consumer[1], self->channel, KREPIS_CONSUMER));
	self->l = krepis_layout(&g);
	self->number = variant->number;
	self->fd = s[self->number]->fd;
	self->own[0][0] = self->l.producer + self->number * PAGE;
	self->own[0][1] = self->own[0][0] + PAGE;
	self->own[1][0] = self->l.descriptors;
	self->own[1][1] = self->number ? self->l.ring : self->l.size;
}

FIXTURE_TEARDOWN(map)
{
}

/* Whether the endpoint may write all of [@from, @to). */
static bool own(FIXTURE_DATA(map) *self, __u64 from, __u64 to)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (from >= self->own[i][0] && to <= self->own[i][1])
			return true;
	}
	return false;
}

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

static sigjmp_buf escape;

static void on_fault(int sig)
{
	siglongjmp(escape, sig);
}

/* Reads the byte at @p, and writes it again if @write. Return: 0, or the signal. */
static int touch(volatile char *p, bool write)
{
	struct sigaction action = { .sa_handler = on_fault }, old[2];
	int sig;

	sigaction(SIGSEGV, &action, &old[0]);
	sigaction(SIGBUS, &action, &old[1]);
	sig = sigsetjmp(escape, 1);
	if (!sig) {
		char c = *p;

		if (write)
			*p = c;
	}
	sigaction(SIGSEGV, &old[0], NULL);
	sigaction(SIGBUS, &old[1], NULL);
	return sig;
}

/* --------------------------------------------------------- who may map what */

/* Every range of pages, which has every region and every neighbour in it. */
TEST_F(map, range_is_writable_only_if_all_of_it_is_the_endpoints_own)
{
	__u64 from, to;

	for (from = 0; from < self->l.size; from += PAGE) {
		for (to = from + PAGE; to <= self->l.size; to += PAGE) {
			int want = own(self, from, to) ? 0 : -EACCES;

			ASSERT_EQ(0, try_map(self->fd, from, to, PROT_READ, MAP_SHARED));
			ASSERT_EQ(want, try_map(self->fd, from, to, PROT_READ | PROT_WRITE, MAP_SHARED))
				TH_LOG("%#llx to %#llx", (long long)from, (long long)to);
			ASSERT_EQ(want, try_map(self->fd, from, to, PROT_WRITE, MAP_SHARED));
		}
	}
}

TEST_F(map, read_only_range_never_becomes_writable)
{
	__u64 at;
	char *p;

	for (at = 0; at < self->l.size; at += PAGE) {
		int want = own(self, at, at + PAGE) ? 0 : -1;

		ASSERT_EQ(0, map(self->fd, at, at + PAGE, PROT_READ, MAP_SHARED, &p));
		EXPECT_EQ(want, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
		EXPECT_EQ(want ? SIGSEGV : 0, touch(p, true));
		EXPECT_EQ(want, mprotect(p, PAGE, PROT_WRITE));
		EXPECT_EQ(0, mprotect(p, PAGE, PROT_NONE));
		EXPECT_EQ(SIGSEGV, touch(p, false));
		EXPECT_EQ(0, mprotect(p, PAGE, PROT_READ));
		EXPECT_EQ(0, touch(p, false));
		munmap(p, PAGE);
	}
}

TEST_F(map, what_was_mapped_without_access_never_becomes_writable)
{
	char *p;

	ASSERT_EQ(0, map(self->fd, 0, PAGE, PROT_NONE, MAP_SHARED, &p));
	EXPECT_EQ(-1, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, mprotect(p, PAGE, PROT_READ));
}

TEST_F(map, nothing_is_ever_executable)
{
	__u64 at;
	char *p;

	for (at = 0; at < self->l.size; at += PAGE) {
		/* Which of the two depends on who asks first: the mount is noexec as well. */
		int err = try_map(self->fd, at, at + PAGE, PROT_READ | PROT_EXEC, MAP_SHARED);

		EXPECT_TRUE(err == -EPERM || err == -EACCES);
		ASSERT_EQ(0, map(self->fd, at, at + PAGE, PROT_READ, MAP_SHARED, &p));
		EXPECT_EQ(-1, mprotect(p, PAGE, PROT_READ | PROT_EXEC));
		EXPECT_EQ(EACCES, errno);
		munmap(p, PAGE);
	}
}

TEST_F(map, nothing_is_ever_private)
{
	__u64 at;

	for (at = 0; at < self->l.size; at += PAGE) {
		EXPECT_EQ(-EINVAL, try_map(self->fd, at, at + PAGE, PROT_READ, MAP_PRIVATE));
		EXPECT_EQ(-EINVAL, try_map(self->fd, at, at + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE));
	}
}

TEST_F(map, range_outside_is_refused)
{
	__u64 size = self->l.size;
	const __u64 ranges[][2] = {
		{ 0, size + PAGE }, { 0, 2 * size }, { size - PAGE, size + PAGE },
		{ size, size + PAGE }, { 2 * size, 2 * size + PAGE }, { 1ULL << 32, (1ULL << 32) + PAGE },
		{ 1ULL << 40, (1ULL << 40) + PAGE }, { (1ULL << 44) - PAGE, 1ULL << 44 },
		{ (1ULL << 44) - PAGE, (1ULL << 44) + PAGE }, { (1ULL << 52) - PAGE, 1ULL << 52 },
		{ (1ULL << 63) - PAGE, 1ULL << 63 }, { (1ULL << 63) - PAGE, (1ULL << 63) + PAGE },
		{ -(__u64)PAGE, 0 }, { -(__u64)PAGE, PAGE }, { -(__u64)PAGE, size },
		{ PAGE / 2, PAGE },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		int err = try_map(self->fd, ranges[i][0], ranges[i][1], PROT_READ, MAP_SHARED);

		EXPECT_TRUE(err == -EINVAL || err == -EOVERFLOW)
			TH_LOG("range %u: %d", i, err);
	}
	EXPECT_EQ(-EINVAL, try_map(self->fd, 0, 0, PROT_READ, MAP_SHARED));
}

/* ------------------------------------------------------------ other ways to it */

TEST_F(map, read_only_range_cannot_be_remapped_over_another)
{
	__u64 writable = self->own[0][0];
	char *p;
	int i;

	/* pgoff of the info page, a neighbour's page, the ring; none is writable so. */
	for (i = 0; i < 3; i++) {
		size_t to = i == 0 ? 0 : i == 1 ? (self->number == 1 ? 3 : 2) : self->l.ring / PAGE;

		if (own(self, to * PAGE, to * PAGE + PAGE))
			continue;
		ASSERT_EQ(0, map(self->fd, writable, writable + PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED, &p));
		EXPECT_EQ(0, syscall(SYS_remap_file_pages, p, PAGE, 0, writable / PAGE, 0));
		EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p, PAGE, 0, to, 0))
			TH_LOG("page %zu", to);
		munmap(p, PAGE);
	}
}

TEST_F(map, mremap_does_not_grow_a_range)
{
	__u64 at;
	char *p;

	for (at = 0; at + PAGE < self->l.size; at += PAGE) {
		int prot = own(self, at, at + PAGE) ? PROT_READ | PROT_WRITE : PROT_READ;

		ASSERT_EQ(0, map(self->fd, at, at + PAGE, prot, MAP_SHARED, &p));
		EXPECT_EQ(MAP_FAILED, mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(MAP_FAILED, mremap(p, PAGE, 2 * PAGE, 0));
		/* An old length of 0 would duplicate it. */
		EXPECT_EQ(MAP_FAILED, mremap(p, 0, PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(MAP_FAILED, mremap(p, 0, 2 * PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(0, touch(p, prot & PROT_WRITE));
		munmap(p, PAGE);
	}
}

TEST_F(map, mremap_does_not_grow_what_it_has_shrunk)
{
	char *p;

	ASSERT_EQ(0, map(self->fd, 0, 2 * PAGE, PROT_READ, MAP_SHARED, &p));
	ASSERT_EQ(p, mremap(p, 2 * PAGE, PAGE, 0));
	EXPECT_EQ(MAP_FAILED, mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(0, touch(p, false));
	EXPECT_EQ(SIGSEGV, touch(p + PAGE, false));
}

TEST_F(map, moved_range_is_what_it_was)
{
	char *to = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *p, *q;

	ASSERT_NE(MAP_FAILED, to);
	ASSERT_EQ(0, map(self->fd, 0, PAGE, PROT_READ, MAP_SHARED, &p));
	q = mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	ASSERT_EQ(to, q);
	EXPECT_EQ(SIGSEGV, touch(p, false));
	EXPECT_EQ(KREPIS_MAGIC, *(__u64 *)q);
	EXPECT_EQ(SIGSEGV, touch(q, true));
	EXPECT_EQ(-1, mprotect(q, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(MAP_FAILED, mremap(q, PAGE, 2 * PAGE, MREMAP_MAYMOVE));
}

TEST_F(map, system_call_does_not_write_to_a_read_only_range)
{
	int zero = open("/dev/zero", O_RDONLY), mem = open("/proc/self/mem", O_RDWR);
	__u64 old, value = 0x5a5a5a5a5a5a5a5aULL;
	struct iovec from = { &value, 8 }, to;
	char *p;

	ASSERT_EQ(0, map(self->fd, 0, PAGE, PROT_READ, MAP_SHARED, &p));
	old = *(__u64 *)p;
	to = (struct iovec) { p, 8 };
	EXPECT_EQ(-1, read(zero, p, 8));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pwrite(mem, &value, 8, (off_t)(uintptr_t)p));
	EXPECT_EQ(-1, process_vm_writev(getpid(), &from, 1, &to, 1, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, process_vm_readv(getpid(), &to, 1, &from, 1, 0));
	EXPECT_EQ(old, *(__u64 *)p);
}

/* What a debugger writes goes where the process itself may write, and only there. */
TEST_F(map, parent_does_not_write_to_a_childs_read_only_range)
{
	int pipes[2], status;
	char *p[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	pid = child();
	if (!pid) {
		if (map(self->fd, 0, PAGE, PROT_READ, MAP_SHARED, &p[0]) ||
		    map(self->fd, self->own[0][0], self->own[0][1], PROT_READ | PROT_WRITE,
			MAP_SHARED, &p[1]) ||
		    write(pipes[1], p, sizeof(p)) != sizeof(p) || ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(sizeof(p), read(pipes[0], p, sizeof(p)));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, pid, p[0] + 2048, 0x77L));
	EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, pid, p[1] + 2048, 0x77L));
	EXPECT_EQ(0, self->producer.base[2048]);
	EXPECT_EQ(0x77, self->producer.base[self->own[0][0] + 2048]);
	ptrace(PTRACE_DETACH, pid, 0, 0);
	EXPECT_EQ(0, reap(pid));
}

/* ------------------------------------------------------- what is in the pages */

/* Fills the ring and all buffers, or checks that they are as they were. */
static int pattern(FIXTURE_DATA(map) *self, bool fill)
{
	__u64 at;

	for (at = self->l.ring; at < self->l.size; at += 512) {
		__u64 *word = (__u64 *)(self->producer.base + at);

		if (fill)
			*word = at + 1;
		else if (*word != at + 1 ||
			 *(__u64 *)(self->consumer[0].base + at) != at + 1)
			return (int)(at / PAGE);
	}
	return 0;
}

TEST_F(map, advice_does_not_change_what_is_in_the_pages)
{
	static const int advices[] = {
		MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE,
		MADV_REMOVE, MADV_DONTFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE,
		MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK,
		MADV_COLD, MADV_PAGEOUT, MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_COLLAPSE,
	};
	const struct side *s = self->number ? &self->consumer[self->number - 1] : &self->producer;
	__u64 at;
	unsigned int i;

	pattern(self, true);
	for (i = 0; i < ARRAY_SIZE(advices); i++) {
		for (at = 0; at < self->l.size; at += PAGE)
			madvise(s->base + at, PAGE, advices[i]);
		ASSERT_EQ(0, pattern(self, false))
			TH_LOG("advice %d", advices[i]);
		ASSERT_EQ(KREPIS_MAGIC, s->info->magic);
	}
	EXPECT_EQ(-1, madvise(s->base + s->layout.ring, PAGE, MADV_REMOVE));
	EXPECT_EQ(-1, madvise(s->base + s->layout.ring, PAGE, MADV_FREE));
	EXPECT_EQ(-1, madvise(s->base + s->layout.ring, PAGE, MADV_WIPEONFORK));
}

/* With nobody who maps them, there is nothing but the channel that keeps the pages. */
TEST_F(map, pages_are_there_whatever_the_system_throws_away)
{
	pattern(self, true);
	side_unmap(&self->producer);
	side_unmap(&self->consumer[0]);
	side_unmap(&self->consumer[1]);
	posix_fadvise(self->fd, 0, 0, POSIX_FADV_DONTNEED);
	posix_fadvise(self->channel, 0, 0, POSIX_FADV_DONTNEED);
	sync();
	EXPECT_EQ(0, write_text("/proc/sys/vm/drop_caches", "3"));
	EXPECT_EQ(0, write_text("/proc/sys/vm/compact_memory", "1"));
	ASSERT_EQ(0, side_map(&self->producer, self->producer.fd));
	ASSERT_EQ(0, side_map(&self->consumer[0], self->consumer[0].fd));
	EXPECT_EQ(0, pattern(self, false));
	EXPECT_EQ(KREPIS_MAGIC, self->producer.info->magic);
}

TEST_F(map, pages_are_all_there_from_the_beginning)
{
	unsigned char in[64];
	unsigned int i;
	char *p;

	ASSERT_EQ(0, map(self->fd, 0, self->l.size, PROT_READ, MAP_SHARED, &p));
	ASSERT_EQ(0, mincore(p, self->l.size, in));
	for (i = 0; i < self->l.size / PAGE; i++)
		EXPECT_EQ(1, in[i] & 1);
}

TEST_F(map, pages_can_be_locked_and_populated)
{
	char *p;

	pattern(self, true);
	ASSERT_EQ(0, map(self->fd, 0, self->l.size, PROT_READ, MAP_SHARED | MAP_POPULATE, &p));
	EXPECT_EQ(0, mlock(p, self->l.size));
	EXPECT_EQ(0, munlock(p, self->l.size));
	EXPECT_EQ(0, mlock2(p, self->l.size, MLOCK_ONFAULT));
	EXPECT_EQ(0, msync(p, self->l.size, MS_ASYNC));
	EXPECT_EQ(0, munmap(p, self->l.size));
	EXPECT_EQ(0, map(self->fd, 0, self->l.size, PROT_READ, MAP_SHARED | MAP_LOCKED, &p));
	EXPECT_EQ(0, pattern(self, false));
}

TEST_F(map, unmapping_the_middle_leaves_the_rest)
{
	char *p;

	ASSERT_EQ(0, map(self->fd, 0, self->l.size, PROT_READ, MAP_SHARED, &p));
	ASSERT_EQ(0, munmap(p + PAGE, PAGE));
	EXPECT_EQ(KREPIS_MAGIC, *(__u64 *)p);
	EXPECT_EQ(SIGSEGV, touch(p + PAGE, false));
	EXPECT_EQ(0, touch(p + 2 * PAGE, false));
	EXPECT_EQ(0, touch(p + self->l.size - 1, false));
	EXPECT_EQ(-1, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
}

TEST_F(map, works_after_the_descriptor_is_closed)
{
	struct side *s = self->number ? &self->consumer[self->number - 1] : &self->producer;

	close(s->fd);
	close(self->channel);
	if (!self->number) {
		strcpy(payload_of(s, 0), "after the close");
		EXPECT_STREQ("after the close", payload_of(&self->consumer[0], 0));
	} else {
		consumer_of(s, s->slot)->tail = 42;
		EXPECT_EQ(42, consumer_of(&self->producer, s->slot)->tail);
	}
}

TEST_F(map, stores_are_seen_by_the_others_at_once)
{
	int i;

	for (i = 0; i < 100; i++) {
		strcpy(payload_of(&self->producer, 3) + 4000, i & 1 ? "odd" : "even");
		self->producer.producer->head = i;
		consumer_of(&self->consumer[0], 0)->tail = i + 1;
		consumer_of(&self->consumer[1], 1)->tail = i + 2;
		self->consumer[1].desc[3].claim = i + 3;
		ASSERT_STREQ(i & 1 ? "odd" : "even", payload_of(&self->consumer[0], 3) + 4000);
		ASSERT_EQ(i, krepis_read(&self->consumer[1].producer->head));
		ASSERT_EQ(i + 1, krepis_read(&consumer_of(&self->producer, 0)->tail));
		ASSERT_EQ(i + 2, krepis_read(&consumer_of(&self->consumer[0], 1)->tail));
		ASSERT_EQ(i + 3, krepis_read(&self->producer.desc[3].claim));
	}
}

/* -------------------------------------------------------------------- processes */

TEST_F(map, forked_child_has_no_view)
{
	pid_t pid = child();

	if (!pid) {
		_exit(touch(self->producer.base, false) == SIGSEGV &&
		      touch(self->consumer[1].base, false) == SIGSEGV ? 0 : 1);
	}
	EXPECT_EQ(0, reap(pid));
	EXPECT_EQ(KREPIS_MAGIC, self->producer.info->magic);
}

/* Who undoes that for itself has a child that is a part of the endpoint. */
TEST_F(map, child_with_a_view_keeps_the_endpoint)
{
	struct side *s = self->number ? &self->consumer[self->number - 1] : &self->producer;
	struct krepis_info_query q;
	pid_t pid;

	if (madvise(s->base, self->l.size, MADV_DOFORK))
		return;
	pid = child();
	if (!pid) {
		close(s->fd);
		raise(SIGSTOP);
		_exit(touch(s->base, false));
	}
	side_close(s);
	pause_ms(20);
	ASSERT_EQ(0, query(self->channel, &q));
	EXPECT_EQ(0, q.deaths);
	EXPECT_EQ(SIGKILL + 128, kill_and_reap(pid));
	ASSERT_EQ(0, query(self->channel, &q));
	EXPECT_EQ(1, q.deaths);
}

/* ------------------------------------------------------ what is no mapping at all */

TEST_F(map, file_is_neither_read_nor_written_nor_resized)
{
	int fd[] = { self->channel, self->fd }, null = open("/dev/null", O_RDWR), i, pipes[2];
	char c = 0;
	struct iovec iov = { &c, 1 };

	ASSERT_EQ(0, pipe(pipes));
	pattern(self, true);
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(-1, read(fd[i], &c, 1));
		EXPECT_EQ(-1, write(fd[i], &c, 1));
		EXPECT_EQ(-1, pread(fd[i], &c, 1, 0));
		EXPECT_EQ(-1, pwrite(fd[i], &c, 1, 0));
		EXPECT_EQ(-1, readv(fd[i], &iov, 1));
		EXPECT_EQ(-1, writev(fd[i], &iov, 1));
		EXPECT_EQ(-1, ftruncate(fd[i], 0));
		EXPECT_EQ(-1, ftruncate(fd[i], 1 << 20));
		EXPECT_EQ(-1, fallocate(fd[i], 0, 0, 1 << 20));
		EXPECT_EQ(-1, fallocate(fd[i], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
		EXPECT_EQ(-1, fallocate(fd[i], FALLOC_FL_ZERO_RANGE, 0, 1 << 20));
		EXPECT_EQ(-1, splice(fd[i], NULL, pipes[1], NULL, 1, 0));
		EXPECT_EQ(-1, splice(null, NULL, fd[i], NULL, 1, 0));
		EXPECT_EQ(-1, copy_file_range(fd[i], NULL, fd[i], NULL, 1, 0));
		EXPECT_EQ(-1, syscall(SYS_sendfile, null, fd[i], NULL, 1));
	}
	EXPECT_EQ(0, pattern(self, false));
}

TEST_F(map, channel_file_is_not_mapped)
{
	EXPECT_EQ(-ENODEV, try_map(self->channel, 0, PAGE, PROT_READ, MAP_SHARED));
	EXPECT_EQ(-ENODEV, try_map(self->channel, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED));
	EXPECT_EQ(-ENODEV, try_map(self->channel, 0, PAGE, PROT_READ, MAP_PRIVATE));
}

/* Clean, and in nobody's tables: such pages of other files are the first to go. */
TEST(pages_that_nobody_has_touched_stay)
{
	struct krepis_geometry g = small_ring();
	struct side s;
	int fd;

	g.buffer_size = 64 * PAGE;
	fd = new_channel(&g);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, write_text("/proc/sys/vm/drop_caches", "3"));
	ASSERT_EQ(0, side_open(&s, fd, KREPIS_PRODUCER));
	EXPECT_EQ(0, touch(payload_of(&s, 3), true));
	EXPECT_EQ(0, *payload_of(&s, 3));
	EXPECT_EQ(0, memcmp(payload_of(&s, 0), payload_of(&s, 0) + 1, 4 * g.buffer_size - 1));
}

/* Two sides of a channel with buffers that huge pages can map. */
TEST(huge_buffers_have_the_same_bytes_on_both_sides)
{
	struct krepis_geometry g = small_ring();
	struct side producer, consumer;
	int fd, i;

	g.buffer_count = 3;
	g.buffer_size = 4 << 20;
	fd = new_channel(&g);
	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	for (i = 0; i < 3; i++)
		memset(payload_of(&producer, i), 0x40 + i, g.buffer_size);
	madvise(payload_of(&producer, 1), g.buffer_size, MADV_PAGEOUT);
	madvise(payload_of(&producer, 2) + PAGE, 3 * PAGE, MADV_DONTNEED);
	munmap(payload_of(&producer, 0) + (2 << 20) + PAGE, PAGE);
	for (i = 0; i < 3; i++) {
		char *p = payload_of(&consumer, i);

		EXPECT_EQ(0x40 + i, p[0]);
		EXPECT_EQ(0, memcmp(p, p + 1, g.buffer_size - 1));
	}
}

TEST_HARNESS_MAIN
