// SPDX-License-Identifier: MIT
/*
 * The pages of enforced buffers: of every size, mapped in every way, in one fault a
 * life; out of reach for debuggers and for what pins pages at the producer, and
 * ordinary memory for input and output at a consumer.
 */
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <kselftest_harness.h>
#include "enforced.h"
#include "sqe.h"

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

/* ---------------------------------------------------------------------- shapes */

FIXTURE(shape)
{
	struct side producer, consumer;
};

FIXTURE_VARIANT(shape)
{
	__u64 buffer_size;
	__u32 page_size;
};

FIXTURE_VARIANT_ADD(shape, byte) { 1, PAGE };
FIXTURE_VARIANT_ADD(shape, page) { PAGE, PAGE };
FIXTURE_VARIANT_ADD(shape, odd) { 3 * PAGE + 1, PAGE };
FIXTURE_VARIANT_ADD(shape, large_folios) { 16 * PAGE, PAGE };
FIXTURE_VARIANT_ADD(shape, large_pages) { 100000, 65536 };
FIXTURE_VARIANT_ADD(shape, huge) { 4 << 20, PAGE };
FIXTURE_VARIANT_ADD(shape, odd_and_huge) { (4 << 20) + 5, PAGE };

FIXTURE_SETUP(shape)
{
	struct krepis_geometry g = enforced_ring();
	int fd;

	g.max_consumers = 1;
	g.buffer_count = 3;
	g.buffer_size = variant->buffer_size;
	g.page_size = variant->page_size;
	g.ring_size = 65536;
	fd = new_channel(&g);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, side_open(&self->producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, fd, KREPIS_CONSUMER));
}

FIXTURE_TEARDOWN(shape)
{
}

TEST_F(shape, whole_buffer_goes_and_comes_back_and_the_neighbours_stay)
{
	__u32 life, i;

	for (i = 0; i < 3; i++)
		fill(&self->producer, i, i);
	for (life = 1; life < 3; life++) {
		fill(&self->producer, 1, life);
		ASSERT_EQ(0, handoff(self->producer.fd, 1, life, (__u32)variant->buffer_size));
		EXPECT_TRUE(all_taken_away(&self->producer, 1));
		EXPECT_TRUE(filled(&self->consumer, 1, life));
		EXPECT_TRUE(filled(&self->producer, 0, 0));
		EXPECT_TRUE(filled(&self->producer, 2, 2));
		EXPECT_TRUE(all_writable(&self->producer, 0));
		EXPECT_TRUE(all_writable(&self->producer, 2));
		ASSERT_EQ(0, release(self->consumer.fd, 1, life));
		EXPECT_TRUE(filled(&self->producer, 1, life));
		EXPECT_TRUE(all_writable(&self->producer, 1));
	}
}

static long faults(void)
{
	struct rusage r;

	getrusage(RUSAGE_THREAD, &r);
	return r.ru_minflt + r.ru_majflt;
}

/* Of buffers up to this size, several are in the 64 KiB that a fault maps. */
#define SMALL 32768

/* Faults that it takes to touch all pages of [@p, @end). */
static long faults_in(volatile char *p, const volatile char *end)
{
	long before = faults();

	for (; p < end; p += PAGE)
		*p = 1;
	return faults() - before;
}

static long faults_of(const struct side *s, __u32 index)
{
	char *p = payload_of(s, index);

	return faults_in(p, p + s->layout.stride);
}

TEST_F(shape, life_begins_with_one_fault)
{
	/* Small buffers beside are mapped by the same one. */
	long own = self->producer.layout.stride > SMALL ? 1 : 0;
	__u32 life;

	/* The stack and the program are there from now on. */
	faults_of(&self->producer, 1);
	EXPECT_EQ(0, faults_of(&self->producer, 1));
	EXPECT_EQ(own, faults_of(&self->producer, 2));
	for (life = 1; life < 6; life++) {
		ASSERT_EQ(0, handoff(self->producer.fd, 1, life, 0));
		EXPECT_EQ(0, faults_of(&self->producer, 2));
		ASSERT_EQ(0, release(self->consumer.fd, 1, life));
		EXPECT_EQ(1, faults_of(&self->producer, 1));
		EXPECT_EQ(0, faults_of(&self->producer, 1));
	}
}

TEST_F(shape, fault_brings_nothing_of_a_buffer_that_is_given)
{
	ASSERT_EQ(0, handoff(self->producer.fd, 1, 1, 0));
	faults_of(&self->producer, 0);
	faults_of(&self->producer, 2);
	EXPECT_TRUE(all_taken_away(&self->producer, 1));
}

/* ------------------------------------------------------------- ways of mapping */

FIXTURE(pages)
{
	int channel;
	struct side producer, consumer;
	size_t size;
	unsigned int count;
};

/* Of a buffer. */
FIXTURE_VARIANT(pages)
{
	unsigned int count;
};

FIXTURE_VARIANT_ADD(pages, few) { 16 };
FIXTURE_VARIANT_ADD(pages, huge) { 1024 };

FIXTURE_SETUP(pages)
{
	struct krepis_geometry g = enforced_ring();

	g.max_consumers = 1;
	self->count = variant->count;
	self->size = g.buffer_size = self->count * PAGE;
	self->channel = new_channel(&g);
	ASSERT_LE(0, self->channel);
	ASSERT_EQ(0, side_open(&self->producer, self->channel, KREPIS_PRODUCER));
	ASSERT_EQ(0, side_open(&self->consumer, self->channel, KREPIS_CONSUMER));
	fill(&self->producer, 0, 100);
	fill(&self->producer, 1, 101);
}

FIXTURE_TEARDOWN(pages)
{
}

/* Pages @from to @to of the buffers. */
static char *map_pages(const struct side *s, unsigned int from, unsigned int to, int prot)
{
	char *p = mmap(NULL, (to - from) * PAGE, prot, MAP_SHARED, s->fd,
		       (off_t)(s->layout.payload + from * PAGE));

	return p == MAP_FAILED ? NULL : p;
}

static bool give(FIXTURE_DATA(pages) *self, __u32 index, __u32 life)
{
	return !handoff(self->producer.fd, index, life, 8);
}

static bool give_back(FIXTURE_DATA(pages) *self, __u32 index, __u32 life)
{
	return !release(self->consumer.fd, index, life);
}

TEST_F(pages, part_of_a_buffer_can_be_mapped)
{
	char *p = map_pages(&self->producer, 5, 9, PROT_READ | PROT_WRITE);

	ASSERT_NE(NULL, p);
	EXPECT_EQ(0, memcmp(p, payload_of(&self->producer, 0) + 5 * PAGE, 4 * PAGE));
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(is_taken_away(p));
	EXPECT_TRUE(is_taken_away(p + 4 * PAGE - 1));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	ASSERT_TRUE(give_back(self, 0, 1));
	faults_in(p, p);
	EXPECT_EQ(1, faults_in(p, p + 4 * PAGE));
	EXPECT_EQ(1, payload_of(&self->consumer, 0)[8 * PAGE]);
	EXPECT_EQ(0, memcmp(p, payload_of(&self->consumer, 0) + 5 * PAGE, 4 * PAGE));
}

TEST_F(pages, range_that_begins_and_ends_within_buffers_loses_what_goes)
{
	/* From page 8 of the first to page 8 of the third. */
	char *p = map_pages(&self->producer, 8, 2 * self->count + 8, PROT_READ | PROT_WRITE);
	char *second = p + self->size - 8 * PAGE, *third = second + self->size;

	ASSERT_NE(NULL, p);
	memset(p, 1, 2 * self->size);
	ASSERT_TRUE(give(self, 1, 1));
	EXPECT_TRUE(writes(second - 1));
	EXPECT_TRUE(is_taken_away(second));
	EXPECT_TRUE(is_taken_away(third - 1));
	EXPECT_TRUE(writes(third));
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(is_taken_away(second - 1));
	ASSERT_TRUE(give(self, 2, 1));
	EXPECT_TRUE(is_taken_away(third));
	ASSERT_TRUE(give_back(self, 1, 1));
	EXPECT_TRUE(writes(second));
	EXPECT_TRUE(writes(third - 1));
	EXPECT_TRUE(is_taken_away(third));
}

TEST_F(pages, all_mappings_of_a_buffer_lose_it)
{
	char *p = map_pages(&self->producer, 0, self->count, PROT_READ | PROT_WRITE);
	char *q = map_pages(&self->producer, 0, self->count, PROT_READ);
	/* Made at once, and never touched before. */
	char *r = map_pages(&self->producer, 0, self->count, PROT_READ | PROT_WRITE);

	memset(p, 7, self->size);
	ASSERT_EQ(7, q[PAGE]);
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
	EXPECT_TRUE(is_taken_away(p + PAGE));
	EXPECT_EQ(SIGBUS, fault_at(q + PAGE, false).signal);
	EXPECT_TRUE(is_taken_away(r + PAGE));
	ASSERT_TRUE(give_back(self, 0, 1));
	EXPECT_TRUE(writes(p + PAGE));
	EXPECT_EQ(7, q[PAGE]);
	EXPECT_EQ(SIGSEGV, fault_at(q + PAGE, true).signal);
	EXPECT_TRUE(writes(r + PAGE));
	EXPECT_TRUE(all_writable(&self->producer, 0));
}

TEST_F(pages, mapping_that_is_made_meanwhile_waits_for_the_release)
{
	char *p;

	ASSERT_TRUE(give(self, 0, 1));
	p = map_pages(&self->producer, 0, 2 * self->count, PROT_READ | PROT_WRITE);
	ASSERT_NE(NULL, p);
	EXPECT_TRUE(is_taken_away(p));
	EXPECT_TRUE(writes(p + self->size));
	munmap(payload_of(&self->producer, 0), self->size);
	EXPECT_TRUE(is_taken_away(p));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	ASSERT_TRUE(give_back(self, 0, 1));
	EXPECT_TRUE(writes(p));
}

TEST_F(pages, populated_mapping_is_no_exception)
{
	char *p;

	ASSERT_TRUE(give(self, 0, 1));
	p = mmap(NULL, 2 * self->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		 self->producer.fd, (off_t)self->producer.layout.payload);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_TRUE(is_taken_away(p));
	EXPECT_TRUE(writes(p + self->size));
}

TEST_F(pages, unmapping_the_middle_leaves_the_rest)
{
	char *p = payload_of(&self->producer, 0);

	ASSERT_EQ(0, munmap(p + 4 * PAGE, 2 * PAGE));
	EXPECT_EQ(SIGSEGV, fault_at(p + 4 * PAGE, false).signal);
	EXPECT_TRUE(writes(p + 6 * PAGE));
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(is_taken_away(p));
	EXPECT_TRUE(is_taken_away(p + 4 * PAGE - 1));
	EXPECT_EQ(SIGSEGV, fault_at(p + 5 * PAGE, false).signal);
	EXPECT_TRUE(is_taken_away(p + 6 * PAGE));
	EXPECT_TRUE(is_taken_away(p + self->size - 1));
	/* Again, of what is not there. */
	ASSERT_EQ(0, munmap(p + 8 * PAGE, PAGE));
	EXPECT_TRUE(is_taken_away(p + 9 * PAGE));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	ASSERT_TRUE(give_back(self, 0, 1));
	faults_in(p, p);
	EXPECT_EQ(1, faults_in(p, p + 4 * PAGE));
	EXPECT_EQ(1, faults_in(p + 6 * PAGE, p + 8 * PAGE));
	EXPECT_EQ(1, faults_in(p + 9 * PAGE, p + self->size));
	EXPECT_EQ(0, memcmp(p + 9 * PAGE, payload_of(&self->consumer, 0) + 9 * PAGE, self->size - 9 * PAGE));
	EXPECT_TRUE(filled(&self->producer, 1, 101));
}

TEST_F(pages, moved_range_is_what_it_was)
{
	char *to = mmap(NULL, self->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = payload_of(&self->producer, 0);

	/* With its pages, then without. */
	ASSERT_EQ(to, mremap(p, self->size, self->size, MREMAP_MAYMOVE | MREMAP_FIXED, to));
	EXPECT_EQ(SIGSEGV, fault_at(p, false).signal);
	EXPECT_EQ(0, memcmp(to, payload_of(&self->consumer, 0), self->size));
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(is_taken_away(to));
	EXPECT_TRUE(is_taken_away(to + self->size - 1));
	ASSERT_EQ(p, mremap(to, self->size, self->size, MREMAP_MAYMOVE | MREMAP_FIXED, p));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	ASSERT_TRUE(give_back(self, 0, 1));
	EXPECT_TRUE(filled(&self->producer, 0, 100));
	ASSERT_TRUE(give(self, 0, 2));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
}

/* Of large pages, which cannot be protected or unmapped in part. */
TEST_F(pages, part_that_is_protected_is_a_part)
{
	char *p = payload_of(&self->producer, 0);

	fill(&self->producer, 0, 5);
	ASSERT_EQ(0, mprotect(p + 3 * PAGE, PAGE, PROT_READ));
	EXPECT_EQ(SIGSEGV, fault_at(p + 3 * PAGE, true).signal);
	EXPECT_TRUE(writes(p + 2 * PAGE));
	EXPECT_TRUE(writes(p + 4 * PAGE));
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(is_taken_away(p + 2 * PAGE));
	EXPECT_EQ(SIGBUS, fault_at(p + 3 * PAGE, false).signal);
	EXPECT_TRUE(is_taken_away(p + 4 * PAGE));
	ASSERT_EQ(0, mprotect(p + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
	ASSERT_TRUE(give_back(self, 0, 1));
	EXPECT_TRUE(all_writable(&self->producer, 0));
	EXPECT_TRUE(filled(&self->producer, 0, 5));
}

TEST_F(pages, mapping_at_any_address_is_as_good)
{
	char *room = mmap(NULL, self->size + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = mmap(room + PAGE, self->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		       self->producer.fd, (off_t)self->producer.layout.payload);

	ASSERT_EQ(room + PAGE, p);
	EXPECT_EQ(1, faults_in(p, p + self->size));
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(is_taken_away(p));
	EXPECT_TRUE(is_taken_away(p + self->size - 1));
	ASSERT_TRUE(give_back(self, 0, 1));
	EXPECT_EQ(1, faults_in(p, p + self->size));
}

TEST_F(pages, middle_that_moves_is_the_same_page_of_the_buffer)
{
	char *p = payload_of(&self->producer, 0), *q;

	q = mremap(p + 4 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(MAP_FAILED, q);
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(is_taken_away(q));
	EXPECT_TRUE(is_taken_away(p));
	ASSERT_TRUE(give_back(self, 0, 1));
	EXPECT_EQ(0, memcmp(q, payload_of(&self->consumer, 0) + 4 * PAGE, PAGE));
	q[0] = 77;
	EXPECT_EQ(77, payload_of(&self->consumer, 0)[4 * PAGE]);
}

TEST_F(pages, range_shrinks_and_never_grows)
{
	char *p = map_pages(&self->producer, 0, self->count, PROT_READ | PROT_WRITE);

	EXPECT_EQ(MAP_FAILED, mremap(p, self->size, 2 * self->size, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(p, 0, self->size, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(p, self->size, self->size, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, 0));
	ASSERT_EQ(p, mremap(p, self->size, 3 * PAGE, 0));
	EXPECT_EQ(MAP_FAILED, mremap(p, 3 * PAGE, 4 * PAGE, MREMAP_MAYMOVE));
	EXPECT_EQ(SIGSEGV, fault_at(p + 3 * PAGE, false).signal);
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_TRUE(is_taken_away(p + 3 * PAGE - 1));
	ASSERT_TRUE(give_back(self, 0, 1));
	EXPECT_TRUE(writes(p + 3 * PAGE - 1));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
}

TEST_F(pages, range_cannot_be_remapped_over_another)
{
	char *p = payload_of(&self->producer, 0);
	size_t first = self->producer.layout.payload / PAGE;

	EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p, PAGE, 0, first, 0));
	EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p, PAGE, 0, first + self->count, 0));
	EXPECT_EQ(-1, syscall(SYS_remap_file_pages, p, PAGE, 0, 0, 0));
	EXPECT_TRUE(filled(&self->producer, 0, 100));
}

TEST_F(pages, file_behind_a_mapping_cannot_be_opened)
{
	char path[64], target[256];
	char *p = payload_of(&self->producer, 0);
	const struct krepis_layout *l = &self->producer.layout;

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)p,
		 (long)(p + l->size - l->payload));
	ASSERT_LT(0, readlink(path, target, sizeof(target)));
	EXPECT_EQ(-1, open(path, O_RDONLY));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, open(path, O_RDWR));
}

/* -------------------------------------------------------------------- debuggers */

/* Neither while the process has the buffer, nor when it has not. */
static int reaches(char *p)
{
	int mem = open("/proc/self/mem", O_RDWR), got = 0;
	char byte = 0x5b;
	struct iovec mine = { &byte, 1 }, there = { p, 1 };

	if (pread(mem, &byte, 1, (off_t)(uintptr_t)p) == 1)
		got |= 1;
	if (process_vm_readv(getpid(), &mine, 1, &there, 1, 0) == 1)
		got |= 2;
	byte = 0x5b;
	if (pwrite(mem, &byte, 1, (off_t)(uintptr_t)p) == 1)
		got |= 4;
	if (process_vm_writev(getpid(), &mine, 1, &there, 1, 0) == 1)
		got |= 8;
	close(mem);
	return got;
}

TEST_F(pages, process_reaches_its_buffers_by_loads_and_stores_alone)
{
	char *p = payload_of(&self->producer, 0);

	/* Which it does elsewhere. */
	EXPECT_EQ(15, reaches((char *)self->producer.producer));
	EXPECT_EQ(0, reaches(p));
	EXPECT_TRUE(filled(&self->producer, 0, 100));
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_EQ(0, reaches(p));
	EXPECT_TRUE(all_taken_away(&self->producer, 0));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	/* A consumer reads as from any memory. */
	EXPECT_EQ(3, reaches(payload_of(&self->consumer, 0)));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
}

TEST_F(pages, parent_does_not_reach_a_childs_buffers)
{
	int pipes[2], status, round;
	char *p;
	pid_t pid;

	ASSERT_EQ(0, pipe(pipes));
	pid = child();
	if (!pid) {
		struct side mine;

		if (side_map(&mine, self->producer.fd))
			_exit(1);
		p = payload_of(&mine, 0);
		if (!writes(p) || write(pipes[1], &p, sizeof(p)) != sizeof(p) ||
		    ptrace(PTRACE_TRACEME, 0, 0, 0))
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(sizeof(p), read(pipes[0], &p, sizeof(p)));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFSTOPPED(status));
	for (round = 0; round < 2; round++) {
		errno = 0;
		ptrace(PTRACE_PEEKDATA, pid, p, NULL);
		EXPECT_EQ(EIO, errno);
		EXPECT_EQ(-1, ptrace(PTRACE_POKEDATA, pid, p, 0x77L));
		EXPECT_TRUE(filled(&self->consumer, 0, 100));
		if (!round)
			ASSERT_TRUE(give(self, 0, 1));
	}
	ptrace(PTRACE_DETACH, pid, 0, 0);
	EXPECT_EQ(0, reap(pid));
}

/* ------------------------------------------------------------- input and output */

/* A connection that takes at least as much as a buffer holds; [1] is to be read. */
static int tcp_pair(int pair[2])
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), size = 1 << 20;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&a, len) || listen(listener, 1) ||
	    getsockname(listener, (void *)&a, &len) || connect(pair[0], (void *)&a, len))
		return -errno;
	pair[1] = accept(listener, NULL, NULL);
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	close(listener);
	return pair[1] < 0 ? -errno : 0;
}

struct reader {
	pthread_t thread;
	int fd;
	size_t want, got;
	char *bytes;
};

static void *reader(void *p)
{
	struct reader *r = p;
	ssize_t n;

	while (r->got < r->want && (n = read(r->fd, r->bytes + r->got, r->want - r->got)) > 0)
		r->got += (size_t)n;
	return NULL;
}

static void read_in_thread(struct reader *r, int fd, size_t want)
{
	*r = (struct reader) { .fd = fd, .want = want, .bytes = calloc(1, want) };
	pthread_create(&r->thread, NULL, reader, r);
}

/* Whether what was read is buffer @index. */
static bool read_all(struct reader *r, const struct side *s, __u32 index)
{
	pthread_join(r->thread, NULL);
	return r->got == r->want && !memcmp(r->bytes, payload_of(s, index), r->want);
}

static bool send_all(int fd, const char *p, size_t left, int flags)
{
	while (left) {
		ssize_t n = send(fd, p, left, flags);

		if (n <= 0)
			return false;
		p += n;
		left -= (size_t)n;
	}
	return true;
}

TEST_F(pages, consumer_writes_a_buffer_to_a_file)
{
	char path[] = "/tmp/krepis-XXXXXX", *copy = malloc(self->size);
	int fd = mkstemp(path);

	unlink(path);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(give(self, 0, 1));
	ASSERT_EQ(self->size, write(fd, payload_of(&self->consumer, 0), self->size));
	ASSERT_TRUE(give_back(self, 0, 1));
	memset(payload_of(&self->producer, 0), 0, self->size);
	ASSERT_EQ(self->size, pread(fd, copy, self->size, 0));
	fill(&self->producer, 0, 100);
	EXPECT_EQ(0, memcmp(copy, payload_of(&self->consumer, 0), self->size));
}

#define DISK "/tmp/krepis-disk"

static void unmount_disk(void)
{
	if (system("umount " DISK ".d 2>/dev/null; rm -rf " DISK " " DISK ".d"))
		return;
}

TEST_F(pages, consumer_writes_a_buffer_to_a_disk_past_the_page_cache)
{
	char *copy = mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd;

	if (system("{ modprobe loop; modprobe ext4; mkdir " DISK ".d && truncate -s 16M " DISK
		   " && mkfs.ext4 -q " DISK " && mount -o loop " DISK " " DISK ".d; } >/dev/null 2>&1")) {
		unmount_disk();
		SKIP(return, "no disk to mount");
	}
	fd = open(DISK ".d/file", O_RDWR | O_CREAT | O_DIRECT, 0600);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(give(self, 0, 1));
	EXPECT_EQ(self->size, write(fd, payload_of(&self->consumer, 0), self->size));
	EXPECT_EQ(self->size, pread(fd, copy, self->size, 0));
	EXPECT_EQ(0, memcmp(copy, payload_of(&self->consumer, 0), self->size));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	/* What is read cannot go where one may not write, or where pages can go away. */
	EXPECT_EQ(-1, pread(fd, payload_of(&self->consumer, 0), PAGE, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pread(fd, payload_of(&self->producer, 1), PAGE, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, pwrite(fd, payload_of(&self->producer, 1), PAGE, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	EXPECT_TRUE(filled(&self->producer, 1, 101));
	close(fd);
	unmount_disk();
}

TEST_F(pages, consumer_sends_a_buffer_to_sockets)
{
	int pair[2], i;
	struct reader r;

	ASSERT_TRUE(give(self, 0, 1));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, i ? tcp_pair(pair) : socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
		read_in_thread(&r, pair[1], self->size);
		EXPECT_TRUE(send_all(pair[0], payload_of(&self->consumer, 0), self->size, 0));
		EXPECT_TRUE(read_all(&r, &self->consumer, 0));
	}
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
}

/* Until the kernel says that it needs none of the pages any more. */
static bool zerocopy_done(int fd)
{
	struct pollfd p = { .fd = fd };
	char control[256];
	struct msghdr msg = { .msg_control = control, .msg_controllen = sizeof(control) };

	return poll(&p, 1, 10000) == 1 && (p.revents & POLLERR) && recvmsg(fd, &msg, MSG_ERRQUEUE) >= 0;
}

TEST_F(pages, consumer_sends_a_buffer_without_a_copy)
{
	int pair[2], one = 1;
	struct reader r;

	ASSERT_EQ(0, tcp_pair(pair));
	ASSERT_EQ(0, setsockopt(pair[0], SOL_SOCKET, SO_ZEROCOPY, &one, sizeof(one)));
	ASSERT_TRUE(give(self, 0, 1));
	read_in_thread(&r, pair[1], self->size);
	EXPECT_TRUE(send_all(pair[0], payload_of(&self->consumer, 0), self->size, MSG_ZEROCOPY));
	EXPECT_TRUE(read_all(&r, &self->consumer, 0));
	EXPECT_TRUE(zerocopy_done(pair[0]));
	ASSERT_TRUE(give_back(self, 0, 1));
	EXPECT_TRUE(filled(&self->producer, 0, 100));
	/* The producer's cannot be pinned, since they have to go. */
	EXPECT_EQ(-1, send(pair[0], payload_of(&self->producer, 0), PAGE, MSG_ZEROCOPY));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(pages, consumer_splices_a_buffer_into_a_pipe)
{
	struct iovec iov = { payload_of(&self->consumer, 0), 4 * PAGE };
	struct reader r;
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_TRUE(give(self, 0, 1));
	ASSERT_EQ(4 * PAGE, vmsplice(pipes[1], &iov, 1, 0));
	read_in_thread(&r, pipes[0], 4 * PAGE);
	EXPECT_TRUE(read_all(&r, &self->consumer, 0));
	EXPECT_TRUE(filled(&self->consumer, 0, 100));
	iov.iov_base = payload_of(&self->producer, 1);
	EXPECT_EQ(-1, vmsplice(pipes[1], &iov, 1, 0));
	EXPECT_EQ(EFAULT, errno);
}

/* What would write to the pages later, when they are somebody else's. */
TEST_F(pages, nothing_holds_on_to_the_producers_pages)
{
	char *p = payload_of(&self->producer, 1);
	struct iovec iov = { p, PAGE };
	struct ring ring;

	ASSERT_EQ(0, ring_open(&ring, 4, 0));
	EXPECT_EQ(-1, syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &iov, 1));
	EXPECT_EQ(EFAULT, errno);
	/* A consumer may read from its own, and not write: registering wants both. */
	iov.iov_base = payload_of(&self->consumer, 1);
	EXPECT_EQ(-1, syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &iov, 1));
	EXPECT_EQ(-1, syscall(SYS_futex, p, FUTEX_WAKE, 1, NULL, NULL, 0));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_TRUE(filled(&self->producer, 1, 101));
	ring_close(&ring);
}

/* Copies do, as long as the buffer is there. */
TEST_F(pages, producer_reads_and_writes_files_through_copies)
{
	char *p = payload_of(&self->producer, 0);
	int pipes[2];

	ASSERT_EQ(0, pipe(pipes));
	ASSERT_EQ(PAGE, write(pipes[1], payload_of(&self->producer, 1), PAGE));
	ASSERT_EQ(PAGE, read(pipes[0], p, PAGE));
	EXPECT_EQ(0, memcmp(p, payload_of(&self->producer, 1), PAGE));
	EXPECT_EQ(0, memcmp(p, payload_of(&self->consumer, 0), PAGE));
}

TEST_HARNESS_MAIN
