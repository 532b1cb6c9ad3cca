// SPDX-License-Identifier: MIT
/*
 * A channel is a file: its names come and go as those of other files do, and it lives
 * as long as anybody uses it; and so does a mount.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <kselftest_harness.h>
#include "util.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

static char dir[] = "/tmp/krepis-names";

static const char *at(const char *name)
{
	static char path[4][64];
	static unsigned int turn;
	char *p = path[turn++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
	return p;
}

FIXTURE(name)
{
	unsigned long long blocks, files;
};

static struct statfs stats(void)
{
	struct statfs st = { 0 };

	statfs(dir, &st);
	return st;
}

/* A mount of the test's own, which nobody else sees. */
FIXTURE_SETUP(name)
{
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	mkdir(dir, 0755);
	ASSERT_EQ(0, mount("none", dir, "krepis", 0, "size=1m,channels=8"));
	self->blocks = stats().f_bfree;
	self->files = stats().f_ffree;
}

FIXTURE_TEARDOWN(name)
{
	umount2(dir, MNT_DETACH);
}

static int new_named(const char *name)
{
	struct krepis_geometry g = small_ring();
	int fd = open(at(name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), err;

	err = fd < 0 ? -errno : setup(fd, &g);
	return err ? err : fd;
}

static bool all_given_back(FIXTURE_DATA(name) *self)
{
	return within_ms(2000, stats().f_bfree == self->blocks && stats().f_ffree == self->files);
}

TEST_F(name, unlinked_channel_lives_as_long_as_it_is_used)
{
	struct side producer, consumer;
	int fd = new_named("a");

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, unlink(at("a")));
	EXPECT_EQ(-1, open(at("a"), O_RDWR));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	close(fd);
	EXPECT_EQ(0, handoff(producer.fd, 0, 1, 8));
	EXPECT_EQ(0, release(consumer.fd, 0, 1));
	EXPECT_GT(self->blocks, stats().f_bfree);
	side_close(&producer);
	close(consumer.fd);
	EXPECT_GT(self->blocks, stats().f_bfree);
	side_unmap(&consumer);
	EXPECT_TRUE(all_given_back(self));
}

TEST_F(name, channel_outlives_everybody_who_used_it)
{
	struct krepis_info_query q;
	int fd = new_named("a");

	close(attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	close(fd);
	fd = open(at("a"), O_RDWR);
	ASSERT_EQ(0, query(fd, &q));
	EXPECT_EQ(1, q.deaths);
	close(fd);
	EXPECT_GT(self->blocks, stats().f_bfree);
	unlink(at("a"));
	EXPECT_TRUE(all_given_back(self));
}

TEST_F(name, new_file_of_an_old_name_is_another_channel)
{
	int old = new_named("a"), new;
	struct krepis_info_query q;

	close(attach(old, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	unlink(at("a"));
	new = new_named("a");
	ASSERT_EQ(0, query(new, &q));
	EXPECT_EQ(0, q.epoch);
	EXPECT_LE(0, attach(new, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	EXPECT_LE(0, attach(old, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
}

TEST_F(name, channel_without_a_name_can_get_one)
{
	struct krepis_geometry g = small_ring();
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600), other;
	struct stat a, b;
	char path[32];

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, setup(fd, &g));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ASSERT_EQ(0, linkat(AT_FDCWD, path, AT_FDCWD, at("a"), AT_SYMLINK_FOLLOW));
	other = open(at("a"), O_RDONLY);
	ASSERT_EQ(0, fstat(fd, &a));
	ASSERT_EQ(0, fstat(other, &b));
	EXPECT_EQ(a.st_ino, b.st_ino);
	EXPECT_EQ(1, b.st_nlink);
	EXPECT_LE(0, attach(other, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
}

TEST_F(name, exclusive_channel_without_a_name_gets_none)
{
	int fd = open(dir, O_TMPFILE | O_RDWR | O_EXCL, 0600);
	char path[32];

	ASSERT_LE(0, fd);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	EXPECT_EQ(-1, linkat(AT_FDCWD, path, AT_FDCWD, at("a"), AT_SYMLINK_FOLLOW));
	close(fd);
	EXPECT_TRUE(all_given_back(self));
}

TEST_F(name, channel_without_a_name_goes_with_its_descriptor)
{
	struct krepis_geometry g = small_ring();
	int fd = open(dir, O_TMPFILE | O_RDWR, 0600);

	ASSERT_EQ(0, setup(fd, &g));
	EXPECT_GT(self->blocks, stats().f_bfree);
	close(fd);
	EXPECT_TRUE(all_given_back(self));
}

/* A name is what channels= counts, so there is no second one. */
TEST_F(name, second_name_is_refused)
{
	int fd = new_named("a");

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, link(at("a"), at("b")));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, access(at("b"), F_OK));
}

TEST_F(name, renamed_channel_is_the_same)
{
	int fd = new_named("a"), ep = attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);

	ASSERT_LE(0, ep);
	ASSERT_EQ(0, mkdir(at("d"), 0700));
	ASSERT_EQ(0, rename(at("a"), at("d/b")));
	EXPECT_EQ(-1, access(at("a"), F_OK));
	fd = open(at("d/b"), O_RDWR);
	EXPECT_EQ(-EBUSY, attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
}

TEST_F(name, channel_that_is_renamed_over_lives_as_long_as_it_is_used)
{
	int a = new_named("a"), b = new_named("b"), ep;

	ep = attach(b, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);
	ASSERT_EQ(0, rename(at("a"), at("b")));
	close(a);
	close(b);
	EXPECT_EQ(-ENOTCONN, handoff(ep, 0, 1, 8));
	b = open(at("b"), O_RDWR);
	EXPECT_LE(0, attach(b, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
}

TEST_F(name, rename_can_keep_or_exchange)
{
	int a = new_named("a"), b = new_named("b");
	struct stat was, is;

	ASSERT_EQ(0, fstat(a, &was));
	EXPECT_EQ(-1, syscall(SYS_renameat2, AT_FDCWD, at("a"), AT_FDCWD, at("b"), RENAME_NOREPLACE));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_EQ(0, syscall(SYS_renameat2, AT_FDCWD, at("a"), AT_FDCWD, at("b"), RENAME_EXCHANGE));
	ASSERT_EQ(0, stat(at("b"), &is));
	EXPECT_EQ(was.st_ino, is.st_ino);
	close(b);
}

TEST_F(name, directories_hold_channels)
{
	struct stat st;
	DIR *d;
	int n = 0;

	ASSERT_EQ(0, mkdir(at("d"), 0700));
	ASSERT_EQ(0, mkdir(at("d/e"), 0700));
	ASSERT_LE(0, new_named("d/e/a"));
	ASSERT_LE(0, new_named("d/e/b"));
	ASSERT_EQ(0, stat(at("d"), &st));
	EXPECT_EQ(3, st.st_nlink);
	EXPECT_EQ(-1, rmdir(at("d/e")));
	EXPECT_EQ(ENOTEMPTY, errno);
	d = opendir(at("d/e"));
	ASSERT_NE(NULL, d);
	while (readdir(d))
		n++;
	closedir(d);
	EXPECT_EQ(4, n);
	unlink(at("d/e/a"));
	unlink(at("d/e/b"));
	EXPECT_EQ(0, rmdir(at("d/e")));
	EXPECT_EQ(0, rmdir(at("d")));
}

TEST_F(name, what_is_no_channel_and_no_directory_is_refused)
{
	EXPECT_EQ(-1, mkfifo(at("a"), 0600));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, mknod(at("a"), S_IFSOCK | 0600, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, mknod(at("a"), S_IFCHR | 0600, 0x103));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, mknod(at("a"), S_IFBLK | 0600, 0x700));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, symlink("b", at("a")));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, mknod(at("a"), S_IFREG | 0600, 0));
	EXPECT_EQ(0, unlink(at("a")));
	EXPECT_TRUE(all_given_back(self));
}

TEST_F(name, truncation_is_refused)
{
	int fd = new_named("a");

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, open(at("a"), O_RDWR | O_TRUNC));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, truncate(at("a"), 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, truncate(at("a"), 1 << 20));
	EXPECT_EQ(EPERM, errno);
}

/* -------------------------------------------------------------------- the mount */

TEST_F(name, mount_is_busy_while_an_endpoint_is_open)
{
	int fd = new_named("a"), ep = attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);

	close(fd);
	EXPECT_EQ(-1, umount2(dir, 0));
	EXPECT_EQ(EBUSY, errno);
	close(ep);
	EXPECT_EQ(0, umount2(dir, 0));
}

TEST_F(name, mount_is_busy_while_an_endpoint_is_mapped)
{
	struct side s;
	int fd = new_named("a");

	ASSERT_EQ(0, side_open(&s, fd, KREPIS_CONSUMER));
	close(fd);
	close(s.fd);
	EXPECT_EQ(-1, umount2(dir, 0));
	EXPECT_EQ(EBUSY, errno);
	side_unmap(&s);
	EXPECT_EQ(0, umount2(dir, 0));
}

TEST_F(name, channel_works_on_after_a_lazy_umount)
{
	struct side producer, consumer;
	int fd = new_named("a");

	ASSERT_EQ(0, side_open(&producer, fd, KREPIS_PRODUCER));
	ASSERT_EQ(0, umount2(dir, MNT_DETACH));
	ASSERT_EQ(0, side_open(&consumer, fd, KREPIS_CONSUMER));
	close(fd);
	ASSERT_EQ(0, handoff(producer.fd, 0, 1, 8));
	strcpy(payload_of(&producer, 0), "still there");
	EXPECT_STREQ("still there", payload_of(&consumer, 0));
	EXPECT_EQ(0, release(consumer.fd, 0, 1));
	fd = derive(consumer.fd, KREPIS_RIGHT_ALL);
	side_close(&consumer);
	EXPECT_EQ(-ESTALE, release(fd, 0, 1));
}

TEST_F(name, bind_mount_of_a_channel_is_the_channel)
{
	static const char bind[] = "/tmp/krepis-bind";
	int fd = new_named("a"), other;

	close(open(bind, O_CREAT | O_RDONLY, 0600));
	ASSERT_EQ(0, mount(at("a"), bind, NULL, MS_BIND, NULL));
	other = open(bind, O_RDWR);
	ASSERT_LE(0, other);
	EXPECT_LE(0, attach(other, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	EXPECT_EQ(-EBUSY, attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	umount2(bind, MNT_DETACH);
	unlink(bind);
}

TEST_F(name, read_only_mount_has_consumers_only)
{
	int fd = new_named("a");

	close(fd);
	ASSERT_EQ(0, mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	EXPECT_EQ(-1, open(at("a"), O_RDWR));
	EXPECT_EQ(EROFS, errno);
	fd = open(at("a"), O_RDONLY);
	EXPECT_EQ(-EACCES, attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL));
	EXPECT_LE(0, attach(fd, KREPIS_CONSUMER, KREPIS_RIGHT_ALL));
}

TEST_F(name, two_mounts_know_nothing_of_each_other)
{
	static char other[] = "/tmp/krepis-other";
	int fd = new_named("a");
	struct statfs st;

	mkdir(other, 0755);
	ASSERT_EQ(0, mount("none", other, "krepis", 0, "size=2m"));
	ASSERT_EQ(0, statfs(other, &st));
	EXPECT_EQ(512, st.f_bfree);
	EXPECT_EQ(-1, open("/tmp/krepis-other/a", O_RDWR));
	EXPECT_EQ(-1, link(at("a"), "/tmp/krepis-other/a"));
	EXPECT_EQ(EXDEV, errno);
	EXPECT_EQ(0, umount2(other, 0));
	rmdir(other);
	close(fd);
}

/* The module is in use as long as a mount, or an endpoint of a gone one, is there. */
TEST_F(name, module_stays_while_it_is_used)
{
	int fd = new_named("a"), ep = attach(fd, KREPIS_PRODUCER, KREPIS_RIGHT_ALL);

	ASSERT_LE(0, ep);
	EXPECT_EQ(-1, syscall(SYS_delete_module, "krepis", O_NONBLOCK));
	EXPECT_TRUE(errno == EWOULDBLOCK || errno == EBUSY);
	ASSERT_EQ(0, umount2(dir, MNT_DETACH));
	EXPECT_EQ(-1, syscall(SYS_delete_module, "krepis", O_NONBLOCK));
	EXPECT_TRUE(errno == EWOULDBLOCK || errno == EBUSY);
	EXPECT_EQ(-ENOTCONN, handoff(ep, 0, 1, 8));
}

TEST_HARNESS_MAIN
