// SPDX-License-Identifier: MIT
/*
 * What a channel and an endpoint cost in the kernel, and that nothing stays behind.
 * The figures are of a memory control group of the test's own, and of the machine.
 */
#include <sys/resource.h>
#include <sys/stat.h>
#include <kselftest_harness.h>
#include "util.h"

#define CGROUP		"/sys/fs/cgroup/krepis-resources"
#define CHURNED		40000
#define ALIVE		1000

/* The smallest: five pages. */
static struct krepis_geometry minimal(__u32 consumers)
{
	return (struct krepis_geometry) {
		.kind = KREPIS_RING, .flags = KREPIS_F_NO_BUFFERS, .max_consumers = consumers,
		.inline_max = 8, .page_size = PAGE, .ring_size = PAGE,
	};
}

static void many_descriptors(void)
{
	struct rlimit r;

	getrlimit(RLIMIT_NOFILE, &r);
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
}

static int own_group(void)
{
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", getpid());
	if (mkdir(CGROUP, 0755) && errno != EEXIST)
		return -errno;
	return write_text(CGROUP "/cgroup.procs", pid);
}

/* Bytes of kernel memory that the group pays for, without the pages of files. */
static long long kernel_bytes(void)
{
	return number_in(CGROUP "/memory.stat", "\nkernel ");
}

static long long machine(const char *key)
{
	return number_in("/proc/meminfo", key);
}

static long long vmstat(const char *key)
{
	return number_in("/proc/vmstat", key);
}

/* Objects in use in a cache of the kernel. */
static long long objects(const char *cache)
{
	return number_in("/proc/slabinfo", cache);
}

static int churn(int n)
{
	struct krepis_geometry g = minimal(1);
	int i, fd, ep;

	for (i = 0; i < n; i++) {
		fd = new_channel(&g);
		ep = fd < 0 ? fd : attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);
		if (ep < 0)
			return ep;
		close(fd);
		close(ep);
	}
	return 0;
}

#define NEEDS_FIGURES()									\
	do {										\
		if (kernel_debugs())							\
			SKIP(return, "memory of a debug kernel is another one's");	\
	} while (0)

struct usage {
	long long inodes, slab_kib, file_pages, unevictable, vmalloc_kib;
};

static struct usage usage(void)
{
	return (struct usage) {
		.inodes = objects("krepis_inode "),
		.slab_kib = machine("\nSlab:"),
		.file_pages = vmstat("nr_file_pages "),
		.unevictable = vmstat("nr_unevictable "),
		.vmalloc_kib = machine("\nVmallocUsed:"),
	};
}

/*
 * Nothing grows with the number of channels that there were, for which @n of them would
 * leave 16 bytes each. What the caches of the processors keep does not grow with it.
 */
static bool nothing_left(const struct usage *before, int n)
{
	struct usage now = usage();

	return now.inodes - before->inodes < n / 40 &&
	       now.slab_kib - before->slab_kib < n / 64 &&
	       now.file_pages - before->file_pages < n / 40 &&
	       now.unevictable - before->unevictable < n / 40 &&
	       now.vmalloc_kib - before->vmalloc_kib < n / 64;
}

TEST(churned_channels_leave_nothing)
{
	struct usage before, after;

	NEEDS_FIGURES();
	/* So that the caches are filled as they will be. */
	ASSERT_EQ(0, churn(CHURNED / 4));
	pause_ms(200);
	before = usage();
	ASSERT_LE(0, before.inodes);
	ASSERT_EQ(0, churn(CHURNED));
	/* Inodes are freed after a grace period. */
	EXPECT_TRUE(within_ms(10000, nothing_left(&before, CHURNED)));
	after = usage();
	TH_LOG("%d channels left: %lld inodes, %lld KiB of slab, %lld file pages, %lld unevictable, %lld KiB of vmalloc",
	       CHURNED, after.inodes - before.inodes, after.slab_kib - before.slab_kib,
	       after.file_pages - before.file_pages, after.unevictable - before.unevictable,
	       after.vmalloc_kib - before.vmalloc_kib);
}

TEST(channel_costs_at_most_a_page_beside_its_pages)
{
	struct krepis_geometry g = minimal(1);
	long long group, slab, unevictable, pages = krepis_layout(&g).size / PAGE;
	static int fd[ALIVE];
	int i;

	NEEDS_FIGURES();
	many_descriptors();
	ASSERT_EQ(0, own_group());
	/* The table of descriptors is no part of them. */
	ASSERT_LE(0, dup2(0, ALIVE + 100));
	close(new_channel(&g));
	group = kernel_bytes();
	slab = machine("\nSlab:");
	unevictable = vmstat("nr_unevictable ");
	for (i = 0; i < ALIVE; i++) {
		fd[i] = new_channel(&g);
		ASSERT_LE(0, fd[i]);
	}
	group = (kernel_bytes() - group) / ALIVE;
	slab = (machine("\nSlab:") - slab) * 1024 / ALIVE;
	TH_LOG("a channel takes %lld pages, and %lld bytes of the kernel (%lld of the machine's slab)",
	       pages, group, slab);
	EXPECT_LT(0, group);
	EXPECT_GE(4096, group);
	EXPECT_GE(4096, slab);
	for (i = 0; i < ALIVE; i++)
		close(fd[i]);
	EXPECT_TRUE(within_ms(10000, vmstat("nr_unevictable ") < unevictable + ALIVE));
}

TEST(endpoint_costs_at_most_a_kibibyte)
{
	const int channels = 30, each = KREPIS_MAX_CONSUMERS;
	struct krepis_geometry g = minimal(each);
	long long group, slab;
	static int file[30];
	int i, j, n = 0;

	NEEDS_FIGURES();
	many_descriptors();
	ASSERT_EQ(0, own_group());
	ASSERT_LE(0, dup2(0, ALIVE + 100));
	for (i = 0; i < channels; i++) {
		file[i] = new_channel(&g);
		ASSERT_LE(0, file[i]);
	}
	group = kernel_bytes();
	slab = machine("\nSlab:");
	for (i = 0; i < channels; i++) {
		for (j = 0; j < each; j++, n++)
			ASSERT_LE(0, attach(file[i], KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
	}
	group = (kernel_bytes() - group) / n;
	slab = (machine("\nSlab:") - slab) * 1024 / n;
	TH_LOG("an endpoint takes %lld bytes of the kernel (%lld of the machine's slab)",
	       group, slab);
	EXPECT_LT(0, group);
	EXPECT_GE(1024, group);
}

TEST_HARNESS_MAIN
