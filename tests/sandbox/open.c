// SPDX-License-Identifier: MIT
/* Opening files: by which modes, from where, and through what. */
#include <linux/openat2.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include "fixture.h"

/* --------------------------------------------------------------------------- modes */

TEST_F(tree, each_mode_needs_its_right)
{
	static const struct {
		int flags;
		bool by_read, by_write;
	} modes[] = {
		{ O_RDONLY, true, false },
		{ O_WRONLY, false, true },
		{ O_RDWR, false, false },
		{ O_WRONLY | O_APPEND, false, true },
		{ O_WRONLY | O_TRUNC, false, true },
		{ O_RDONLY | O_TRUNC, false, false },
		{ O_RDONLY | O_APPEND, true, false },
		{ O_PATH, true, true },
	};
	struct krepis_domain *r = domain("read " A), *w = domain("write " A);
	struct krepis_domain *both = domain("read,write " A);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		int flags = modes[i].flags;

		EXPECT_EQ(modes[i].by_read ? 0 : -EACCES, in_domain(r, open_file(A "/f", flags)))
			TH_LOG("flags %o", flags);
		EXPECT_EQ(modes[i].by_write ? 0 : -EACCES, in_domain(w, open_file(A "/f", flags)))
			TH_LOG("flags %o", flags);
		EXPECT_EQ(0, in_domain(both, open_file(A "/f", flags)))
			TH_LOG("flags %o", flags);
	}
}

TEST_F(tree, an_open_for_nothing_but_ioctl_needs_a_right)
{
	refused(EACCES, domain(NULL), open_file(A "/f", O_ACCMODE));
	allowed(domain("read,write " A), open_file(A "/f", O_ACCMODE));
}

TEST_F(tree, to_open_as_the_kernel_does_to_execute_is_not_had_by_a_flag)
{
	const int kernels = 040;	/* __FMODE_EXEC */

	refused(EACCES, domain("exec " A), open_file(A "/f", O_RDONLY | kernels));
	refused(EACCES, domain("exec " A), open_file(A "/f", O_RDWR | kernels));
	allowed(domain("read " A), open_file(A "/f", O_RDONLY | kernels));
}

TEST_F(tree, an_existing_file_is_opened_with_O_CREAT_as_without)
{
	struct krepis_domain *d = domain("write " A "/f");

	allowed(d, open_file(A "/f", O_WRONLY | O_CREAT));
	refused(EEXIST, d, open_file(A "/f", O_WRONLY | O_CREAT | O_EXCL));
	refused(EACCES, d, open_file(A "/new", O_WRONLY | O_CREAT));
	EXPECT_FALSE(exists(A "/new"));
	allowed(domain("write " A), open_file(A "/new", O_WRONLY | O_CREAT));
}

TEST_F(tree, to_create_and_read_needs_both)
{
	refused(EACCES, domain("read " A), open_file(A "/new", O_RDONLY | O_CREAT));
	EXPECT_FALSE(exists(A "/new"));
	refused(EACCES, domain("write " A), open_file(A "/new", O_RDWR | O_CREAT));
	allowed(domain("read,write " A), open_file(A "/newer", O_RDWR | O_CREAT));
}

TEST_F(tree, a_file_without_a_name_needs_write_of_the_directory)
{
	refused(EACCES, domain("read " A, "write " A "/f"), open_file(A, O_TMPFILE | O_WRONLY));
	allowed(domain("write " A), open_file(A, O_TMPFILE | O_WRONLY));
	allowed(domain("read,write " A), open_file(A, O_TMPFILE | O_RDWR));
}

static int named(const char *dir, const char *name)
{
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600), err;
	char path[32];

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = sys(linkat(AT_FDCWD, path, AT_FDCWD, name, AT_SYMLINK_FOLLOW));
	close(fd);
	return err;
}

TEST_F(tree, a_file_without_a_name_gets_one_only_where_write_is_allowed)
{
	struct krepis_domain *d = domain("write " A);

	allowed(d, named(A, A "/named"));
	refused(EACCES, d, named(A, X "/named"));
	EXPECT_FALSE(exists(X "/named"));
	allowed(domain("write " A, "write " X), named(A, X "/named"));
}

/* ------------------------------------------------------------------------- content */

static long long size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : (long long)st.st_size;
}

TEST_F(tree, to_truncate_needs_write)
{
	refused(EACCES, domain("read " A), sys(truncate(A "/f", 0)));
	EXPECT_EQ(5, size_of(A "/f"));
	refused(EACCES, domain("read " A), open_file(A "/f", O_RDONLY | O_TRUNC));
	EXPECT_EQ(5, size_of(A "/f"));
	allowed(domain("write " A), sys(truncate(A "/f", 3)));
	EXPECT_EQ(3, size_of(A "/f"));
	allowed(domain("write " A), open_file(A "/f", O_WRONLY | O_TRUNC));
	EXPECT_EQ(0, size_of(A "/f"));
}

TEST_F(tree, a_descriptor_keeps_what_it_was_opened_for)
{
	struct krepis_domain *d = domain(NULL);
	int in = open(A "/f", O_RDONLY), out = open(A "/f", O_WRONLY), dir = open(A, O_RDONLY);
	char byte;

	ASSERT_LE(0, in);
	ASSERT_LE(0, out);
	allowed(d, sys(read(in, &byte, 1)));
	allowed(d, sys(write(out, "T", 1)));
	refused(EBADF, d, sys(write(in, "T", 1)));
	refused(EINVAL, d, sys(ftruncate(in, 1)));
	allowed(d, sys(sendfile(out, in, NULL, 1)));
	allowed(d, map(in, PROT_READ));
	allowed(d, sys(syscall(SYS_getdents64, dir, (char[1024]){ 0 }, 1024)));
}

TEST_F(tree, to_truncate_by_a_descriptor_is_asked_again)
{
	int out = open(A "/f", O_WRONLY);

	ASSERT_LE(0, out);
	refused(EACCES, domain("read " A), sys(ftruncate(out, 1)));
	EXPECT_EQ(5, size_of(A "/f"));
	allowed(domain("write " A), sys(ftruncate(out, 1)));
	EXPECT_EQ(1, size_of(A "/f"));
}

TEST_F(tree, a_descriptor_is_not_opened_again_for_more)
{
	struct krepis_domain *r = domain("read " A);
	int in = open(A "/f", O_RDONLY), path = open(A "/f", O_PATH), gone;

	ASSERT_LE(0, path);
	allowed(r, open_again(in, O_RDONLY));
	refused(EACCES, r, open_again(in, O_WRONLY));
	allowed(r, open_again(path, O_RDONLY));
	refused(EACCES, r, open_again(path, O_WRONLY));
	refused(EACCES, domain(NULL), open_again(in, O_RDONLY));
	refused(EACCES, domain(NULL), open_again(path, O_RDONLY));
	allowed(domain(NULL), open_again(path, O_PATH));
	allowed(domain("write " A), open_again(in, O_WRONLY));

	/* Also when it has no name any more. */
	ASSERT_EQ(0, put_file(A "/gone", "text"));
	gone = open(A "/gone", O_RDONLY);
	ASSERT_EQ(0, unlink(A "/gone"));
	refused(EACCES, r, open_again(gone, O_WRONLY));
	allowed(domain("write " A), open_again(gone, O_WRONLY));
}

static int path_then_read(const char *path)
{
	int fd = open(path, O_PATH | O_CLOEXEC), err;

	if (fd < 0)
		return -errno;
	err = open_again(fd, O_RDONLY);
	close(fd);
	return err;
}

TEST_F(tree, O_PATH_is_free_and_gives_nothing)
{
	struct krepis_domain *d = domain("read " A);

	allowed(d, open_file(X "/f", O_PATH));
	refused(EACCES, d, path_then_read(X "/f"));
	allowed(d, path_then_read(A "/f"));
}

/* ----------------------------------------------------------------------- from where */

TEST_F(tree, a_directory_outside_that_was_inherited_leads_no_further)
{
	struct krepis_domain *d = domain("read " A);
	int x = open(X, O_RDONLY | O_DIRECTORY), a = open(A, O_PATH | O_DIRECTORY);

	ASSERT_LE(0, x);
	ASSERT_LE(0, a);
	refused(EACCES, d, open_at(x, "f", O_RDONLY));
	refused(EACCES, d, open_at(x, "y/f", O_RDONLY));
	refused(EACCES, d, open_at(x, ".", O_RDONLY));
	allowed(d, open_at(x, "../a/f", O_RDONLY));
	allowed(d, open_at(a, "f", O_RDONLY));
	refused(EACCES, d, open_at(a, "../x/f", O_RDONLY));
	refused(EACCES, d, open_at(a, "f", O_WRONLY));
	refused(EACCES, d, sys(unlinkat(a, "f", 0)));
}

TEST_F(tree, a_working_directory_outside_that_was_inherited_leads_no_further)
{
	struct krepis_domain *d = domain("read " A);

	ASSERT_EQ(0, chdir(X));
	refused(EACCES, d, open_file("f", O_RDONLY));
	refused(EACCES, d, open_file("./y/f", O_RDONLY));
	refused(EACCES, d, open_file(".", O_RDONLY));
	refused(EACCES, d, open_file("..", O_RDONLY));
	allowed(d, open_file("../a/f", O_RDONLY));
	refused(EACCES, d, open_file("/proc/self/cwd/f", O_RDONLY));
	ASSERT_EQ(0, chdir(A));
	allowed(d, open_file("f", O_RDONLY));
	allowed(d, open_file("/proc/self/cwd/f", O_RDONLY));
	refused(EACCES, d, open_file("../x/f", O_RDONLY));
}

TEST_F(tree, a_working_directory_that_was_deleted_leads_nowhere)
{
	struct krepis_domain *d = domain("read,write " A);

	ASSERT_EQ(0, mkdir(XY "/gone", 0755));
	ASSERT_EQ(0, chdir(XY "/gone"));
	ASSERT_EQ(0, rmdir(XY "/gone"));
	refused(EACCES, d, open_file(".", O_RDONLY));
	refused(EACCES, d, open_file("..", O_RDONLY));
	refused(EACCES, d, open_file("../f", O_RDONLY));
	refused(ENOENT, d, create("new"));
	allowed(domain("read " X), open_file(".", O_RDONLY));
	allowed(domain("read " X), open_file("../f", O_RDONLY));
}

TEST_F(tree, a_deleted_directory_keeps_its_sentence)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, mkdir(XY "/gone", 0755));
	d = domain("read " XY "/gone");
	ASSERT_EQ(0, chdir(XY "/gone"));
	allowed(d, open_file(".", O_RDONLY));
	ASSERT_EQ(0, rmdir(XY "/gone"));
	allowed(d, open_file(".", O_RDONLY));
	refused(EACCES, d, open_file("..", O_RDONLY));
}

TEST_F(tree, proc_root_is_the_root)
{
	struct krepis_domain *d = domain("read " A);

	allowed(d, read_file("/proc/self/root" A "/f"));
	refused(EACCES, d, read_file("/proc/self/root" X "/f"));
	refused(EACCES, d, list("/proc/self/root"));
	refused(EACCES, d, read_file("/proc/thread-self/root" X "/f"));
}

TEST_F(tree, another_process_root_and_descriptors_lead_no_further)
{
	struct krepis_domain *d = domain("read " A);
	int fd = open(X "/f", O_RDONLY);
	char root[64], link[64];

	ASSERT_LE(0, fd);
	snprintf(root, sizeof(root), "/proc/%d/root" X "/f", (int)getpid());
	snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)getpid(), fd);
	allowed(NULL, read_file(root));
	allowed(NULL, read_file(link));
	EXPECT_GT(0, in_domain(d, read_file(root)));
	EXPECT_GT(0, in_domain(d, read_file(link)));
}

/* Who is in a changed root enters. */
static int read_in_root(struct krepis_domain *d, const char *path)
{
	if (chroot(TOP) || chdir("/"))
		return -errno;
	enter(d);
	return read_file(path);
}

TEST_F(tree, a_changed_root_changes_no_right)
{
	struct krepis_domain *d = domain("read " A);

	allowed(NULL, read_in_root(d, "/a/f"));
	refused(EACCES, NULL, read_in_root(d, "/x/f"));
	refused(EACCES, NULL, read_in_root(d, "/a/../x/f"));
}

static int change_root(const char *path)
{
	int err = sys(chroot(TOP));

	return err ? err : read_file(path);
}

TEST_F(tree, to_change_the_root_needs_the_capability)
{
	struct krepis_domain *d = domain("read " A, "sys sys_chroot");

	refused(EPERM, domain("read " A), change_root("/a/f"));
	allowed(d, change_root("/a/f"));
	refused(EACCES, d, change_root("/x/f"));
}

static int open_how(const char *path, __u64 resolve)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = resolve };
	long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : close((int)fd);
}

TEST_F(tree, openat2_is_as_open)
{
	struct krepis_domain *d = domain("read " A);

	allowed(d, open_how(A "/f", 0));
	refused(EACCES, d, open_how(X "/f", 0));
	ASSERT_EQ(0, chdir(X));
	refused(EACCES, d, open_how("f", RESOLVE_BENEATH));
	refused(EACCES, d, open_how("/f", RESOLVE_IN_ROOT));
	ASSERT_EQ(0, chdir(A));
	allowed(d, open_how("/f", RESOLVE_IN_ROOT));
	allowed(NULL, read_file("f"));
	allowed(NULL, open_how("f", RESOLVE_CACHED));
	ASSERT_EQ(0, chdir(X));
	allowed(NULL, read_file("f"));
	refused(EACCES, d, open_how("f", RESOLVE_CACHED));
}

static int by_handle(struct file_handle *handle, int mount)
{
	int fd = open_by_handle_at(mount, handle, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : close(fd);
}

TEST_F(tree, a_file_handle_is_no_way_around)
{
	struct { struct file_handle head; char bytes[128]; } h = { .head.handle_bytes = 128 };
	int id, mount = open(TOP, O_RDONLY);
	struct krepis_domain *d = domain("read " A);

	ASSERT_EQ(0, name_to_handle_at(AT_FDCWD, X "/f", &h.head, &id, 0));
	allowed(NULL, by_handle(&h.head, mount));
	refused(EACCES, d, by_handle(&h.head, mount));
	refused(EPERM, domain("read", "deny sys dac_read_search"), by_handle(&h.head, mount));
	ASSERT_EQ(0, name_to_handle_at(AT_FDCWD, A "/f", &h.head, &id, 0));
	allowed(d, by_handle(&h.head, mount));
}

/* --------------------------------------------------------------------------- links */

TEST_F(tree, a_symbolic_link_gives_nothing)
{
	struct krepis_domain *d = domain("read " A);

	ASSERT_EQ(0, symlink(X "/f", A "/out"));
	ASSERT_EQ(0, symlink("../x", A "/dir"));
	ASSERT_EQ(0, symlink(A "/f", X "/in"));
	refused(EACCES, d, read_file(A "/out"));
	refused(EACCES, d, read_file(A "/dir/f"));
	refused(EACCES, d, list(A "/dir"));
	allowed(d, read_file(X "/in"));
	/* Reading the link itself is not restricted. */
	allowed(d, sys(readlink(X "/in", (char[64]){ 0 }, 64)));
}

TEST_F(tree, a_chain_of_symbolic_links_is_as_its_end)
{
	struct krepis_domain *d = domain("read " A);

	ASSERT_EQ(0, symlink(X "/two", A "/one"));
	ASSERT_EQ(0, symlink("../a/three", X "/two"));
	ASSERT_EQ(0, symlink("../x/four", A "/three"));
	ASSERT_EQ(0, symlink("f", X "/four"));
	refused(EACCES, d, read_file(A "/one"));
	ASSERT_EQ(0, unlink(X "/four"));
	ASSERT_EQ(0, symlink("../a/f", X "/four"));
	allowed(d, read_file(A "/one"));
	refused(EACCES, domain("read " X), read_file(A "/one"));
}

TEST_F(tree, nothing_is_created_through_a_link_outside)
{
	struct krepis_domain *d = domain("read,write " A);

	ASSERT_EQ(0, symlink(X "/new", A "/link"));
	refused(EACCES, d, open_file(A "/link", O_WRONLY | O_CREAT));
	EXPECT_FALSE(exists(X "/new"));
	allowed(domain("write " X), open_file(A "/link", O_WRONLY | O_CREAT));
	EXPECT_TRUE(exists(X "/new"));
}

TEST_F(tree, existence_and_metadata_are_visible)
{
	struct krepis_domain *d = domain(NULL);
	struct stat st;

	allowed(d, sys(stat(A "/f", &st)));
	allowed(d, sys(lstat(A, &st)));
	allowed(d, sys(access(A "/f", R_OK | W_OK)));
	refused(ENOENT, d, sys(access(A "/none", F_OK)));
	allowed(d, sys(chdir(A)));
}

TEST_HARNESS_MAIN
