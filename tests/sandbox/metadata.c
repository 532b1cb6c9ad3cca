// SPDX-License-Identifier: MIT
/*
 * Metadata: to change it needs `write', to see it nothing. On a file system that has all
 * sorts of it.
 */
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include "fixture.h"

FIXTURE(disk)
{
	struct krepis_domain *r, *w, *file;
	int in, path;
};

FIXTURE_SETUP(disk)
{
	ASSERT_EQ(0, tree_make("ext4"));
	self->r = domain("read,exec " A, "write " X);
	self->w = domain("write " A);
	self->file = domain("write " A "/f");
	self->in = open(A "/f", O_RDONLY);
	self->path = open(A "/f", O_PATH);
	ASSERT_LE(0, self->in);
	ASSERT_LE(0, self->path);
}

FIXTURE_TEARDOWN(disk)
{
	tree_end();
}

/* By write of the directory and by write of the file; not by any other right of theirs. */
#define needs_write(...) do {					\
	refused(EACCES, self->r, __VA_ARGS__);			\
	allowed(self->w, __VA_ARGS__);				\
	allowed(self->file, __VA_ARGS__);			\
} while (0)

static mode_t mode_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? 0 : st.st_mode & 07777;
}

/* -------------------------------------------------------------------- mode and owner */

TEST_F(disk, to_change_the_mode_needs_write)
{
	refused(EACCES, self->r, sys(chmod(A "/f", 0600)));
	EXPECT_EQ(0644, mode_of(A "/f"));
	needs_write(sys(chmod(A "/f", 0600)));
	EXPECT_EQ(0600, mode_of(A "/f"));
	needs_write(sys(fchmod(self->in, 0640)));
	needs_write(sys(fchmodat(AT_FDCWD, A "/f", 0644, 0)));
	refused(EACCES, self->w, sys(chmod(X "/f", 0600)));
}

static int by_link(int (*f)(const char *), int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return f(path);
}

static int set_mode(const char *path)
{
	return sys(chmod(path, 0640));
}

static int set_owner(const char *path)
{
	return sys(chown(path, 0, 0));
}

static int set_times(const char *path)
{
	return sys(utimensat(AT_FDCWD, path, NULL, 0));
}

static int set_attribute(const char *path)
{
	return sys(setxattr(path, "user.k", "v", 1, 0));
}

TEST_F(disk, through_a_descriptor_without_rights_it_needs_write_too)
{
	needs_write(by_link(set_mode, self->path));
	needs_write(by_link(set_owner, self->path));
	needs_write(by_link(set_times, self->path));
	needs_write(by_link(set_attribute, self->path));
	needs_write(sys(fchownat(self->path, "", 0, 0, AT_EMPTY_PATH)));
}

TEST_F(disk, to_change_the_owner_needs_write)
{
	needs_write(sys(chown(A "/f", 0, 0)));
	needs_write(sys(lchown(A "/f", 0, 0)));
	needs_write(sys(fchown(self->in, 0, 0)));
	/* To somebody else: the capability too. */
	refused(EPERM, domain("write " A, "deny sys chown"), sys(chown(A "/f", NOBODY, 0)));
	refused(EACCES, domain("sys chown"), sys(chown(A "/f", NOBODY, 0)));
	allowed(self->w, sys(chown(A "/f", NOBODY, 0)));
}

TEST_F(disk, the_owner_of_a_link_is_the_links)
{
	ASSERT_EQ(0, symlink(A "/f", X "/s"));
	ASSERT_EQ(0, symlink(X "/f", A "/s"));
	refused(EACCES, self->w, sys(chown(A "/s", 0, 0)));
	allowed(self->w, sys(lchown(A "/s", 0, 0)));
	allowed(self->w, sys(chown(X "/s", 0, 0)));
	refused(EACCES, self->w, sys(lchown(X "/s", 0, 0)));
}

TEST_F(disk, of_a_directory_it_is_as_of_a_file)
{
	refused(EACCES, self->r, sys(chmod(A, 0700)));
	refused(EACCES, self->file, sys(chmod(A, 0700)));
	allowed(self->w, sys(chmod(A, 0755)));
	refused(EACCES, domain("write " AB), sys(chmod(A, 0700)));
	allowed(domain("write " A), sys(chmod(AB, 0755)));
}

/* ----------------------------------------------------------------------------- times */

TEST_F(disk, to_change_the_times_needs_write)
{
	struct timespec t[2] = { { .tv_sec = 1 }, { .tv_sec = 2 } };
	struct timespec omit[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = 3 } };
	struct timeval v[2] = { { .tv_sec = 4 }, { .tv_sec = 5 } };
	struct stat st;

	refused(EACCES, self->r, sys(utimensat(AT_FDCWD, A "/f", t, 0)));
	ASSERT_EQ(0, stat(A "/f", &st));
	EXPECT_LT(1000, st.st_mtime);
	needs_write(sys(utimensat(AT_FDCWD, A "/f", t, 0)));
	needs_write(sys(utimensat(AT_FDCWD, A "/f", NULL, 0)));
	needs_write(sys(utimensat(AT_FDCWD, A "/f", omit, AT_SYMLINK_NOFOLLOW)));
	needs_write(sys(futimens(self->in, t)));
	needs_write(sys(utimes(A "/f", v)));
}

/* ------------------------------------------------------------------------ attributes */

TEST_F(disk, to_set_an_attribute_needs_write)
{
	needs_write(sys(setxattr(A "/f", "user.a", "v", 1, 0)));
	needs_write(sys(lsetxattr(A "/f", "user.b", "v", 1, 0)));
	needs_write(sys(fsetxattr(self->in, "user.c", "v", 1, 0)));
	refused(EACCES, self->w, sys(setxattr(X "/f", "user.a", "v", 1, 0)));
	EXPECT_EQ(-1, getxattr(X "/f", "user.a", NULL, 0));
}

TEST_F(disk, to_remove_an_attribute_needs_write)
{
	ASSERT_EQ(0, setxattr(A "/f", "user.a", "v", 1, 0));
	ASSERT_EQ(0, setxattr(A "/f", "user.b", "v", 1, 0));
	ASSERT_EQ(0, setxattr(A "/f", "user.c", "v", 1, 0));
	refused(EACCES, self->r, sys(removexattr(A "/f", "user.a")));
	refused(EACCES, self->r, sys(fremovexattr(self->in, "user.a")));
	EXPECT_EQ(1, getxattr(A "/f", "user.a", NULL, 0));
	allowed(self->w, sys(removexattr(A "/f", "user.a")));
	allowed(self->w, sys(fremovexattr(self->in, "user.b")));
	allowed(self->file, sys(lremovexattr(A "/f", "user.c")));
}

TEST_F(disk, metadata_is_seen_without_a_right)
{
	struct krepis_domain *d = domain(NULL);
	char text[64];

	ASSERT_EQ(0, setxattr(A "/f", "user.a", "v", 1, 0));
	allowed(d, sys(getxattr(A "/f", "user.a", text, sizeof(text))));
	allowed(d, sys(listxattr(A "/f", text, sizeof(text))));
}

/* Of one entry for the owner, one for the group, one for others. */
static const struct {
	__u32 version;
	struct { __u16 tag, perm; __u32 id; } entry[3];
} acl = {
	.version = 2,
	.entry = { { 1, 6, ~0U }, { 4, 4, ~0U }, { 0x20, 4, ~0U } },
}, long_acl = {
	.version = 2,
	.entry = { { 1, 7, ~0U }, { 4, 5, ~0U }, { 0x20, 0, ~0U } },
};

TEST_F(disk, to_change_an_access_list_needs_write)
{
	needs_write(sys(setxattr(A "/f", "system.posix_acl_access", &acl, sizeof(acl), 0)));
	needs_write(sys(fsetxattr(self->in, "system.posix_acl_access", &acl, sizeof(acl), 0)));
	refused(EACCES, self->r, sys(setxattr(A, "system.posix_acl_default", &long_acl,
					      sizeof(long_acl), 0)));
	allowed(self->w, sys(setxattr(A, "system.posix_acl_default", &long_acl,
				      sizeof(long_acl), 0)));
	refused(EACCES, self->r, sys(removexattr(A, "system.posix_acl_default")));
	EXPECT_LT(0, getxattr(A, "system.posix_acl_default", NULL, 0));
	allowed(self->w, sys(removexattr(A, "system.posix_acl_default")));
}

/* ----------------------------------------------------------------------- inode flags */

static int set_flags(int fd, int flags)
{
	return sys(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

static int set_fsx(int fd)
{
	struct fsxattr a = { .fsx_xflags = FS_XFLAG_NOATIME };

	return sys(ioctl(fd, FS_IOC_FSSETXATTR, &a));
}

static int flags_of(int fd)
{
	int flags = 0;

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) ? -errno : flags;
}

TEST_F(disk, to_change_the_flags_needs_write)
{
	int flags = flags_of(self->in);

	ASSERT_LE(0, flags);
	refused(EACCES, self->r, set_flags(self->in, flags | FS_NOATIME_FL));
	EXPECT_EQ(flags, flags_of(self->in));
	refused(EACCES, self->r, set_fsx(self->in));
	EXPECT_EQ(flags, flags_of(self->in));
	allowed(self->r, flags_of(self->in));
	allowed(self->w, set_flags(self->in, flags | FS_NOATIME_FL));
	allowed(self->file, set_flags(self->in, flags));
	allowed(self->w, set_fsx(self->in));
}

TEST_F(disk, the_generation_that_a_sentence_is_bound_to_is_not_changed)
{
	struct krepis_domain *d = domain("read,write " A, "deny write " A "/f");
	int generation = 1;

	refused(EPERM, self->r, sys(ioctl(self->in, FS_IOC_SETVERSION, &generation)));
	refused(EPERM, self->w, sys(ioctl(self->in, FS_IOC_SETVERSION, &generation)));
	refused(EPERM, d, sys(ioctl(self->in, FS_IOC_SETVERSION, &generation)));
	refused(EACCES, d, write_file(A "/f"));
	allowed(NULL, sys(ioctl(self->in, FS_IOC_SETVERSION, &generation)));
}

/* ---------------------------------------------------------------------------- mounts */

/* Some of these the kernel asks about without saying by which mount one came. */
#define needs_allow(d, no, path) do {						\
	refused(EACCES, no, sys(chmod(path, 0600)));				\
	refused(EACCES, no, set_times(path));					\
	refused(EACCES, no, set_attribute(path));				\
	allowed(d, sys(chmod(path, 0600)));					\
	allowed(d, set_times(path));						\
	allowed(d, set_attribute(path));					\
} while (0)

TEST_F(disk, through_a_mount_it_is_as_without)
{
	ASSERT_EQ(0, mount(ABC, XY, NULL, MS_BIND, NULL));
	needs_allow(domain("write " X), domain("read " X), XY "/f");
	needs_allow(domain("write " XY), domain("write " AB "/f"), XY "/f");
	refused(EACCES, domain("write", "deny write " X), set_times(XY "/f"));
	refused(EACCES, domain("write", "deny write " X), set_attribute(XY "/f"));
	refused(EACCES, domain("write", "deny write " X), sys(chmod(XY "/f", 0600)));
}

TEST_F(disk, in_a_file_system_mounted_below_it_is_as_above)
{
	ASSERT_EQ(0, mount_ext4(XY));
	ASSERT_EQ(0, tree_fill(XY));
	needs_allow(domain("write " X), domain("read " X, "write " A), XY "/a/f");
	refused(EACCES, domain("write", "deny write " X), set_times(XY "/a/f"));
	refused(EACCES, domain("write", "deny write " X), set_attribute(XY "/a/f"));
}

TEST_F(disk, in_a_file_system_mounted_later_below_a_denied_directory_it_is_denied)
{
	struct krepis_domain *d = domain("write", "deny write " X);

	ASSERT_EQ(0, mount_ext4(XY));
	ASSERT_EQ(0, tree_fill(XY));
	refused(EACCES, d, write_file(XY "/a/f"));
	refused(EACCES, d, sys(chmod(XY "/a/f", 0600)));
	refused(EACCES, d, set_times(XY "/a/f"));
	refused(EACCES, d, set_attribute(XY "/a/f"));
	allowed(d, set_times(A "/f"));
}

/* ------------------------------------------------------------------------ descriptors */

TEST_F(disk, what_was_opened_to_be_written_does_not_change_the_mode)
{
	int out = open(A "/f", O_WRONLY);

	/* The descriptor allows its content, not its metadata. */
	ASSERT_LE(0, out);
	allowed(self->r, sys(write(out, "T", 1)));
	refused(EACCES, self->r, sys(fchmod(out, 0600)));
	refused(EACCES, self->r, sys(fsetxattr(out, "user.a", "v", 1, 0)));
	refused(EACCES, self->r, sys(futimens(out, NULL)));
	allowed(self->w, sys(fchmod(out, 0600)));
}

static int chmod_memory(void)
{
	int fd = syscall(SYS_memfd_create, "m", 0), err;

	if (fd < 0)
		return -errno;
	err = sys(fchmod(fd, 0600));
	close(fd);
	return err;
}

TEST_F(disk, of_files_in_memory_it_is_free)
{
	allowed(domain(NULL), chmod_memory());
}

TEST_HARNESS_MAIN
