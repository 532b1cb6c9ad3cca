// SPDX-License-Identifier: MIT
/*
 * The file system: options, limits and what becomes of them, permissions, and to whom
 * memory is charged.
 */
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <kselftest_harness.h>
#include "util.h"

static char dir[] = "/tmp/krepis-fs";
static char file[] = "/tmp/krepis-fs/a";
static char other[] = "/tmp/krepis-fs/b";

#define CGROUP "/sys/fs/cgroup/krepis-test"

static int try_mount(const char *options)
{
	return mount("none", dir, "krepis", 0, options) ? -errno : 0;
}

static int try_remount(const char *options)
{
	return mount("none", dir, "krepis", MS_REMOUNT, options) ? -errno : 0;
}

static struct statfs stats(void)
{
	struct statfs st = { 0 };

	statfs(dir, &st);
	return st;
}

static int create(const char *path, mode_t mode)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	return fd < 0 ? -errno : fd;
}

/* A channel of @pages, at least 6. */
static struct krepis_geometry shape_of(unsigned int pages)
{
	struct krepis_geometry g = small_ring();

	g.max_consumers = 1;
	g.inline_max = 8;
	g.ring_size = PAGE;
	g.buffer_count = 1;
	g.buffer_size = (pages - 5) * (__u64)PAGE;
	return g;
}

static int setup_pages(int fd, unsigned int pages)
{
	struct krepis_geometry g = shape_of(pages);

	return setup(fd, &g);
}

static int private_mounts(void)
{
	mkdir(dir, 0755);
	return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
}

FIXTURE(fs)
{
};

FIXTURE_SETUP(fs)
{
	ASSERT_EQ(0, private_mounts());
	ASSERT_EQ(0, try_mount("size=64k,channels=4"));
}

FIXTURE_TEARDOWN(fs)
{
	umount2(dir, MNT_DETACH);
}

/* ---------------------------------------------------------------------- options */

TEST(options_say_what_the_mount_is)
{
	static const struct {
		const char *options;
		unsigned long long blocks, files;
		unsigned int mode, uid, gid;
	} good[] = {
		{ "size=64k,channels=5", 16, 5, 01777, 0, 0 },
		{ "size=4096,channels=1,mode=0700", 1, 1, 0700, 0, 0 },
		{ "size=8193,mode=755", 2, 65536, 0755, 0, 0 },
		{ "size=1m,uid=1000,gid=1001", 256, 65536, 01777, 1000, 1001 },
		{ "size=1g,channels=4294967295", 262144, 4294967295ULL, 01777, 0, 0 },
	};
	struct statfs st;
	struct stat s;
	unsigned int i;

	ASSERT_EQ(0, private_mounts());
	for (i = 0; i < ARRAY_SIZE(good); i++) {
		ASSERT_EQ(0, try_mount(good[i].options))
			TH_LOG("%s", good[i].options);
		st = stats();
		ASSERT_EQ(0, stat(dir, &s));
		EXPECT_EQ(good[i].blocks, st.f_blocks);
		EXPECT_EQ(good[i].files, st.f_files);
		EXPECT_EQ(S_IFDIR | good[i].mode, s.st_mode);
		EXPECT_EQ(good[i].uid, s.st_uid);
		EXPECT_EQ(good[i].gid, s.st_gid);
		ASSERT_EQ(0, umount2(dir, 0));
	}
}

TEST(size_may_be_a_share_of_the_memory)
{
	unsigned long long tenth;

	ASSERT_EQ(0, private_mounts());
	ASSERT_EQ(0, try_mount("size=10%"));
	tenth = stats().f_blocks;
	ASSERT_EQ(0, umount2(dir, 0));
	ASSERT_EQ(0, try_mount("size=100%"));
	EXPECT_LE(tenth * 10, stats().f_blocks);
	EXPECT_GT(tenth * 10 + 10, stats().f_blocks);
	ASSERT_EQ(0, umount2(dir, 0));
	ASSERT_EQ(0, try_mount(NULL));
	EXPECT_LT(tenth * 2, stats().f_blocks);
	EXPECT_GT(tenth * 3, stats().f_blocks);
	ASSERT_EQ(0, umount2(dir, 0));
}

TEST(options_that_are_wrong_are_invalid)
{
	static const char *const bad[] = {
		"size=", "size", "size=x", "size=0", "size=1", "size=4095", "size=-1", "size=4kb",
		"size=4 k", "size=101%", "size=0%", "size=1%%", "size=%", "size=k",
		"size=99999999999999999999k", "size=16384P",
		"channels=", "channels=0", "channels=-1", "channels=x", "channels=1k",
		"channels=4294967296", "channels",
		"mode=", "mode=8", "mode=x", "mode=-1", "mode",
		"uid=", "uid=-1", "uid=4294967295", "uid=root", "uid",
		"gid=", "gid=-1", "gid=4294967295", "gid=x", "gid",
		"unknown", "unknown=1", "size=64k,unknown", "nosize", "size=64k,mode=9",
	};
	unsigned int i;

	ASSERT_EQ(0, private_mounts());
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		int err = try_mount(bad[i]);

		EXPECT_EQ(-EINVAL, err)
			TH_LOG("%s", bad[i]);
		if (!err)
			umount2(dir, 0);
	}
}

/* Whether a line of /proc/mounts for @dir ends with @options. */
static bool shown(const char *options)
{
	char line[512], want[512];
	FILE *f = fopen("/proc/mounts", "r");
	bool found = false;

	snprintf(want, sizeof(want), "none %s krepis rw,relatime,%s 0 0\n", dir, options);
	while (fgets(line, sizeof(line), f))
		found |= !strcmp(line, want);
	fclose(f);
	return found;
}

TEST(options_are_shown)
{
	ASSERT_EQ(0, private_mounts());
	ASSERT_EQ(0, try_mount("size=64k,channels=4,mode=750"));
	EXPECT_TRUE(shown("size=64k,channels=4,mode=750"));
	ASSERT_EQ(0, try_remount("size=128k"));
	EXPECT_TRUE(shown("size=128k,channels=4,mode=750"));
	ASSERT_EQ(0, umount2(dir, 0));
	ASSERT_EQ(0, try_mount("size=64k,channels=4,mode=1777,uid=7,gid=8"));
	EXPECT_TRUE(shown("size=64k,channels=4,mode=1777,uid=7,gid=8"));
	ASSERT_EQ(0, umount2(dir, 0));
}

/* ----------------------------------------------------------------------- limits */

TEST_F(fs, numbers_are_what_is_in_use)
{
	struct statfs st = stats();
	int fd;

	EXPECT_EQ(KREPIS_SUPER_MAGIC, st.f_type);
	EXPECT_EQ(PAGE, st.f_bsize);
	EXPECT_EQ(16, st.f_blocks);
	EXPECT_EQ(16, st.f_bfree);
	EXPECT_EQ(4, st.f_files);
	EXPECT_EQ(4, st.f_ffree);
	EXPECT_EQ(255, st.f_namelen);
	fd = create(file, 0600);
	EXPECT_EQ(3, stats().f_ffree);
	EXPECT_EQ(16, stats().f_bfree);
	ASSERT_EQ(0, setup_pages(fd, 7));
	EXPECT_EQ(9, stats().f_bfree);
	EXPECT_EQ(9, stats().f_bavail);
	EXPECT_EQ(16, stats().f_blocks);
}

TEST_F(fs, memory_beyond_the_size_is_refused_and_comes_back)
{
	int a = create(file, 0600), b = create(other, 0600);

	ASSERT_EQ(0, setup_pages(a, 10));
	EXPECT_EQ(-ENOSPC, setup_pages(b, 7));
	EXPECT_EQ(6, stats().f_bfree);
	EXPECT_EQ(0, setup_pages(b, 6));
	EXPECT_EQ(0, stats().f_bfree);
	unlink(file);
	EXPECT_EQ(0, stats().f_bfree);
	close(a);
	EXPECT_TRUE(within_ms(2000, stats().f_bfree == 10));
	a = create(file, 0600);
	EXPECT_EQ(0, setup_pages(a, 10));
}

TEST_F(fs, names_beyond_the_limit_are_refused_and_come_back)
{
	int i, fd[4];

	for (i = 0; i < 4; i++) {
		fd[i] = open(dir, O_TMPFILE | O_RDWR, 0600);
		ASSERT_LE(0, fd[i]);
	}
	EXPECT_EQ(0, stats().f_ffree);
	EXPECT_EQ(-ENOSPC, create(file, 0600));
	EXPECT_EQ(-1, open(dir, O_TMPFILE | O_RDWR, 0600));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-1, mkdir(file, 0700));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(-1, mknod(file, S_IFREG | 0600, 0));
	EXPECT_EQ(ENOSPC, errno);
	close(fd[0]);
	EXPECT_TRUE(within_ms(2000, stats().f_ffree == 1));
	EXPECT_EQ(0, mkdir(file, 0700));
	EXPECT_EQ(-ENOSPC, create(other, 0600));
	EXPECT_EQ(0, rmdir(file));
	EXPECT_TRUE(within_ms(2000, stats().f_ffree == 1));
	EXPECT_LE(0, create(other, 0600));
}

TEST_F(fs, limits_can_change_but_not_below_what_is_in_use)
{
	int a = create(file, 0600), b = create(other, 0600);

	ASSERT_EQ(0, setup_pages(a, 10));
	EXPECT_EQ(-EBUSY, try_remount("size=36k"));
	EXPECT_EQ(-EBUSY, try_remount("channels=1"));
	EXPECT_EQ(-EBUSY, try_remount("size=1m,channels=1"));
	EXPECT_EQ(-EBUSY, try_remount("size=4k,channels=100"));
	EXPECT_TRUE(shown("size=64k,channels=4,mode=1777"));
	ASSERT_EQ(0, try_remount("size=40k,channels=2"));
	EXPECT_EQ(0, stats().f_bfree);
	EXPECT_EQ(0, stats().f_ffree);
	EXPECT_EQ(-ENOSPC, setup_pages(b, 6));
	ASSERT_EQ(0, try_remount("size=1m"));
	EXPECT_EQ(0, setup_pages(b, 200));
	EXPECT_TRUE(shown("size=1024k,channels=2,mode=1777"));
}

TEST_F(fs, remount_changes_nothing_else)
{
	static const char *const others[] = {
		"mode=0700", "uid=5", "gid=5", "size=1m,mode=0700", "size=x", "unknown",
	};
	unsigned int i;
	struct stat st;

	for (i = 0; i < ARRAY_SIZE(others); i++)
		EXPECT_EQ(-EINVAL, try_remount(others[i]));
	EXPECT_TRUE(shown("size=64k,channels=4,mode=1777"));
	ASSERT_EQ(0, stat(dir, &st));
	EXPECT_EQ(S_IFDIR | 01777, st.st_mode);
	EXPECT_EQ(0, try_remount(NULL));
	EXPECT_EQ(0, try_remount("mode=1777"));
	EXPECT_TRUE(shown("size=64k,channels=4,mode=1777"));
}

/* ------------------------------------------------------------------ permissions */

static int become(uid_t uid)
{
	return setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid);
}

static int try_open(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

TEST_F(fs, mode_of_a_channel_says_who_may_open_it)
{
	int fd = create(file, 0600);

	ASSERT_EQ(0, setup_pages(fd, 6));
	ASSERT_EQ(0, become(NOBODY));
	EXPECT_EQ(-EACCES, try_open(file, O_RDONLY));
	ASSERT_EQ(-1, fchmod(fd, 0644));
	EXPECT_EQ(EPERM, errno);
}

TEST_F(fs, reader_of_a_channel_is_a_consumer)
{
	int fd = create(file, 0644);

	ASSERT_EQ(0, setup_pages(fd, 6));
	ASSERT_EQ(0, become(NOBODY));
	EXPECT_EQ(-EACCES, try_open(file, O_RDWR));
	fd = try_open(file, O_RDONLY);
	EXPECT_EQ(-EACCES, attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	EXPECT_LE(0, attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
}

TEST_F(fs, channel_of_another_user_cannot_be_removed)
{
	int fd = create(file, 0666);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, become(NOBODY));
	EXPECT_EQ(-1, unlink(file));
	EXPECT_EQ(-1, rename(file, other));
	EXPECT_LE(0, create(other, 0600));
	EXPECT_EQ(0, unlink(other));
}

TEST(directory_of_the_mount_belongs_to_whom_it_says)
{
	ASSERT_EQ(0, private_mounts());
	ASSERT_EQ(0, try_mount("mode=0700,uid=65534,gid=65534"));
	if (!child())
		_exit(!(!become(NOBODY) && create(file, 0600) >= 0));
	EXPECT_EQ(0, reap(-1));
	if (!child())
		_exit(!(!become(NOBODY - 1) && create(other, 0600) == -EACCES &&
			try_open(file, O_RDONLY) == -EACCES));
	EXPECT_EQ(0, reap(-1));
}

TEST_F(fs, channel_is_no_program)
{
	int fd = create(file, 0777);

	close(fd);
	EXPECT_EQ(-1, execl(file, file, (char *)NULL));
	EXPECT_EQ(EACCES, errno);
}

/* --------------------------------------------------------------- user namespaces */

static int map_ids(uid_t uid)
{
	char text[64];

	/* Or /proc/self would be root's since the change of user. */
	prctl(PR_SET_DUMPABLE, 1);
	snprintf(text, sizeof(text), "0 %u 1", uid);
	return write_text("/proc/self/setgroups", "deny") || write_text("/proc/self/uid_map", text) ||
	       write_text("/proc/self/gid_map", text);
}

/* Numbers say where it failed. */
static int use_in_user_namespace(void)
{
	struct krepis_geometry g = small_ring();
	struct side producer, consumer;
	struct stat st;
	int fd;

	if (become(NOBODY) || unshare(CLONE_NEWUSER | CLONE_NEWNS) || map_ids(NOBODY))
		return 1;
	if (try_mount("uid=5") != -EINVAL || try_mount("gid=5") != -EINVAL)
		return 2;
	if (try_mount("size=1m") || stat(dir, &st) || st.st_uid)
		return 3;
	if (!shown("size=1024k,channels=65536,mode=1777,uid=0,gid=0"))
		return 4;
	fd = create(file, 0600);
	if (fd < 0 || setup(fd, &g))
		return 5;
	if (side_open(&producer, fd, KREPIS_PRODUCER) || side_open(&consumer, fd, KREPIS_CONSUMER))
		return 6;
	strcpy(payload_of(&producer, 0), "inside");
	if (handoff(producer.fd, 0, 1, 7) || strcmp(payload_of(&consumer, 0), "inside") ||
	    release(consumer.fd, 0, 1))
		return 7;
	return try_remount("size=2m") ? 8 : 0;
}

TEST(user_namespace_mounts_and_uses_its_own)
{
	mkdir(dir, 0755);
	if (!child())
		_exit(use_in_user_namespace());
	EXPECT_EQ(0, reap(-1));
}

/* -------------------------------------------------------- who pays for the memory */

static int set_memlock(unsigned int pages)
{
	struct rlimit r = { pages * PAGE, pages * PAGE };

	return setrlimit(RLIMIT_MEMLOCK, &r);
}

static int new_pages(unsigned int pages)
{
	struct krepis_geometry g = shape_of(pages);

	return new_channel(&g);
}

TEST(locked_memory_of_a_user_is_limited_and_comes_back)
{
	int a, b;

	ASSERT_EQ(0, set_memlock(20));
	ASSERT_EQ(0, become(NOBODY - 1));
	EXPECT_EQ(-ENOMEM, new_pages(21));
	a = new_pages(14);
	ASSERT_LE(0, a);
	EXPECT_EQ(-ENOMEM, new_pages(7));
	EXPECT_EQ(-ENOMEM, new_pages(100000));
	b = new_pages(6);
	EXPECT_LE(0, b);
	EXPECT_EQ(-ENOMEM, new_pages(6));
	close(a);
	EXPECT_TRUE(within_ms(2000, (a = new_pages(14)) >= 0));
	EXPECT_EQ(-ENOMEM, new_pages(6));
}

/* The user pays, not the process: the channel of one who died counts on. */
TEST(locked_memory_is_the_users_and_not_the_processs)
{
	struct krepis_geometry g = shape_of(14);
	int fd = new_file(O_RDWR);

	ASSERT_EQ(0, set_memlock(20));
	if (!child())
		_exit(!!(become(NOBODY - 2) || setup(fd, &g)));
	EXPECT_EQ(0, reap(-1));
	ASSERT_EQ(0, become(NOBODY - 2));
	EXPECT_EQ(-ENOMEM, new_pages(7));
	EXPECT_LE(0, new_pages(6));
	close(fd);
	EXPECT_TRUE(within_ms(2000, new_pages(14) >= 0));
}

TEST(locked_memory_of_who_may_lock_is_not_limited)
{
	ASSERT_EQ(0, set_memlock(0));
	EXPECT_LE(0, new_pages(100));
}

static int memory_limited(void)
{
	char pid[16];

	rmdir(CGROUP);
	snprintf(pid, sizeof(pid), "%d", getpid());
	return mkdir(CGROUP, 0755) || write_text(CGROUP "/memory.max", "16M") ||
	       write_text(CGROUP "/cgroup.procs", pid);
}

static long long current_bytes(void)
{
	return number_in(CGROUP "/memory.current", "");
}

/* In a group of its own: too much is refused, and what fits is charged to it. */
static int charge(void)
{
	long long before;
	int fd = new_file(O_RDWR), err;

	if (memory_limited())
		return 1;
	before = current_bytes();
	err = setup_pages(fd, 32 << 20 >> 12);
	if (err != -ENOMEM)
		return 2;
	if (number_in(CGROUP "/memory.events", "oom_kill ") != 0)
		return 3;
	/* Some pages are kept at hand for the next charge. */
	if (!within_ms(5000, current_bytes() < before + (1 << 20)))
		return 4;
	if (setup_pages(fd, 8 << 20 >> 12))
		return 5;
	if (current_bytes() < before + (8 << 20))
		return 6;
	close(fd);
	return within_ms(5000, current_bytes() < before + (1 << 20)) ? 0 : 7;
}

TEST(memory_is_charged_to_the_group_and_nobody_is_killed)
{
	if (!child())
		_exit(charge());
	EXPECT_EQ(0, reap(-1));
	EXPECT_EQ(0, number_in(CGROUP "/memory.events", "oom_kill "));
	EXPECT_EQ(0, number_in(CGROUP "/memory.events", "oom "));
	EXPECT_TRUE(within_ms(2000, !rmdir(CGROUP)));
}

/* -------------------------------------------------------------------------- fdinfo */

static bool fdinfo_has(int fd, const char *want)
{
	char path[64], text[2048] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	if (!f)
		return false;
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	return strstr(text, want);
}

TEST(fdinfo_tells_what_a_descriptor_is)
{
	struct krepis_geometry g = small_ring();
	int empty = new_file(O_RDWR), fd = new_channel(&g);
	struct side s;
	char text[256];

	EXPECT_FALSE(fdinfo_has(empty, "krepis"));
	ASSERT_EQ(0, side_open(&s, fd, KREPIS_CONSUMER));
	ASSERT_EQ(0, restrict_to(s.fd, KREPIS_RIGHT_READ | KREPIS_RIGHT_WAIT));
	consumer_of(&s, 0)->counters = (struct krepis_counters) { 1, 2, 3, 4, 5 };
	snprintf(text, sizeof(text),
		 "krepis-kind:\tring\nkrepis-size:\t%llu\nkrepis-producer:\t0\nkrepis-live:\t00000001\n",
		 (unsigned long long)s.layout.size);
	EXPECT_TRUE(fdinfo_has(fd, text));
	EXPECT_FALSE(fdinfo_has(fd, "krepis-role"));
	EXPECT_TRUE(fdinfo_has(s.fd, text));
	EXPECT_TRUE(fdinfo_has(s.fd, "krepis-role:\tconsumer\nkrepis-slot:\t0\nkrepis-rights:\t05\n"));
	EXPECT_TRUE(fdinfo_has(s.fd, "krepis-messages:\t1\nkrepis-bytes:\t2\nkrepis-drops:\t3\n"
				     "krepis-waits:\t4\nkrepis-wakes:\t5\n"));
}

TEST_HARNESS_MAIN
