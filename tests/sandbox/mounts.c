// SPDX-License-Identifier: MIT
/*
 * Mounts: a sentence holds below its object on whatever mount one gets there, and above
 * the root of a mount the way goes on at its mount point.
 */
#include <sched.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include "fixture.h"

static int bind(const char *from, const char *to)
{
	return sys(mount(from, to, NULL, MS_BIND, NULL));
}

/* ------------------------------------------------------------------------ bind mounts */

TEST_F(tree, a_sentence_of_the_source_holds_through_a_bind_mount)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, bind(AB, EMPTY));
	d = domain("read " AB);
	allowed(d, read_file(AB "/c/f"));
	allowed(d, read_file(EMPTY "/c/f"));
	allowed(d, list(EMPTY));
	refused(EACCES, d, write_file(EMPTY "/c/f"));
	refused(EACCES, d, read_file(A "/f"));
}

TEST_F(tree, a_sentence_of_the_mount_point_is_one_of_what_is_mounted)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, bind(AB, EMPTY));
	d = domain("read " EMPTY);
	allowed(d, read_file(EMPTY "/c/f"));
	allowed(d, read_file(AB "/c/f"));
	refused(EACCES, d, read_file(A "/f"));
	refused(EACCES, d, list(TOP));
}

TEST_F(tree, a_sentence_below_the_source_holds_on_both_sides)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, bind(A, EMPTY));
	d = domain("read " EMPTY "/b");
	allowed(d, read_file(AB "/f"));
	allowed(d, read_file(EMPTY "/b/f"));
	refused(EACCES, d, read_file(EMPTY "/f"));
	refused(EACCES, d, read_file(A "/f"));
}

TEST_F(tree, a_sentence_above_the_source_does_not_hold_through_the_mount)
{
	struct krepis_domain *d;

	/* What is above the mount's root is, by this way, the mount point's directory. */
	ASSERT_EQ(0, bind(ABC, XY));
	d = domain("read " A);
	allowed(d, read_file(ABC "/f"));
	refused(EACCES, d, read_file(XY "/f"));
	allowed(domain("read " X), read_file(XY "/f"));
	refused(EACCES, domain("read " X), read_file(ABC "/f"));
}

TEST_F(tree, a_mount_made_later_is_covered_by_what_it_is_below)
{
	struct krepis_domain *d = domain("read " X);

	refused(EACCES, d, read_file(ABC "/f"));
	ASSERT_EQ(0, bind(ABC, XY));
	allowed(d, read_file(XY "/f"));
	ASSERT_EQ(0, mount("none", XY, "tmpfs", 0, NULL));
	ASSERT_EQ(0, put_file(XY "/new", "text"));
	allowed(d, read_file(XY "/new"));
	refused(EACCES, d, write_file(XY "/new"));
}

TEST_F(tree, a_covered_directory_keeps_its_sentence)
{
	struct krepis_domain *d = domain("read " XY);
	int fd = open(XY, O_PATH);

	ASSERT_EQ(0, bind(ABC, XY));
	refused(EACCES, d, read_file(ABC "/f"));
	allowed(d, open_at(fd, "f", O_RDONLY));
	/* The way up from what is mounted leads past the covered directory. */
	allowed(d, read_file(XY "/f"));
}

TEST_F(tree, mounts_upon_mounts_are_walked_to_the_top)
{
	struct krepis_domain *d = domain("read " A);

	ASSERT_EQ(0, mount("none", AB, "tmpfs", 0, NULL));
	ASSERT_EQ(0, mkdir(AB "/c", 0755));
	ASSERT_EQ(0, mount("none", ABC, "tmpfs", 0, NULL));
	ASSERT_EQ(0, bind(XY, ABC));
	allowed(d, read_file(ABC "/f"));
	refused(EACCES, d, read_file(XY "/f"));
}

TEST_F(tree, a_bind_mount_of_a_file_is_as_one_of_a_directory)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, bind(A "/f", X "/f"));
	d = domain("read " A "/f");
	allowed(d, read_file(X "/f"));
	refused(EACCES, d, read_file(X "/p"));
	allowed(domain("read " X), read_file(X "/f"));
	refused(EACCES, domain("read " X), read_file(A "/f"));
}

TEST_F(tree, what_is_mounted_read_only_stays_so)
{
	struct krepis_domain *d = domain("read,write " TOP);

	ASSERT_EQ(0, bind(AB, EMPTY));
	ASSERT_EQ(0, mount(NULL, EMPTY, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
	refused(EROFS, d, write_file(EMPTY "/f"));
	allowed(d, write_file(AB "/f"));
}

/* ------------------------------------------- creating and renaming through bind mounts */

TEST_F(tree, through_a_bind_mount_one_creates_by_the_rights_of_that_way)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, bind(AB, XY));
	d = domain("write " X);
	allowed(d, create(XY "/new"));
	refused(EACCES, d, create(AB "/newer"));
	allowed(d, sys(unlink(XY "/new")));
	refused(EACCES, d, sys(unlink(AB "/f")));
	d = domain("write " AB);
	allowed(d, create(XY "/new"));
	allowed(d, sys(unlink(AB "/new")));
}

TEST_F(tree, a_rename_in_a_bind_mount_is_judged_by_that_way)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, bind(A, XY));
	d = domain("write " X, "read " AB);
	refused(EACCES, d, sys(rename(A "/f", A "/g")));
	allowed(d, sys(rename(XY "/f", XY "/g")));
	refused(EXDEV, d, sys(rename(XY "/g", XY "/b/g")));
	allowed(domain("write " X), sys(rename(XY "/g", XY "/b/g")));
}

TEST_F(tree, a_link_in_a_bind_mount_gains_nothing)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, bind(A, XY));
	d = domain("write " X, "read " AB);
	refused(EXDEV, d, sys(link(XY "/f", XY "/b/g")));
	EXPECT_FALSE(exists(AB "/g"));
	allowed(domain("write " X, "read " A), sys(link(XY "/f", XY "/b/g")));
}

TEST_F(tree, a_rename_between_mounts_is_another_file_system)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, bind(A, XY));
	d = domain("read,write " TOP);
	refused(EXDEV, d, sys(rename(XY "/f", X "/g")));
	refused(EXDEV, NULL, sys(rename(XY "/f", X "/g")));
}

/* ----------------------------------------------------------- disconnected directories */

/* TOP/a/b is mounted on TOP/empty, and TOP/a/b/c moved out to TOP/x while open there. */
static int disconnect(void)
{
	int fd;

	if (bind(AB, EMPTY))
		return -errno;
	fd = open(EMPTY "/c", O_PATH);
	return rename(ABC, X "/c") ? -errno : fd;
}

TEST_F(tree, a_disconnected_directory_has_no_right_of_where_it_was)
{
	struct krepis_domain *d = domain("read " AB, "write " EMPTY);
	int fd = disconnect();

	ASSERT_LE(0, fd);
	refused(EACCES, d, open_at(fd, "f", O_RDONLY));
	refused(EACCES, d, open_at(fd, "f", O_WRONLY));
	refused(EACCES, d, open_at(fd, ".", O_RDONLY));
	refused(EACCES, d, sys(unlinkat(fd, "f", 0)));
	refused(EACCES, d, open_at(fd, "new", O_WRONLY | O_CREAT));
}

TEST_F(tree, a_disconnected_directory_has_its_own_right)
{
	struct krepis_domain *d = domain("read " ABC), *file = domain("read " ABC "/f");
	int fd = disconnect();

	ASSERT_LE(0, fd);
	allowed(d, open_at(fd, "f", O_RDONLY));
	refused(EACCES, d, open_at(fd, "f", O_WRONLY));
	allowed(d, open_at(fd, ".", O_RDONLY));
	allowed(file, open_at(fd, "f", O_RDONLY));
	refused(EACCES, file, open_at(fd, "p", O_RDONLY));
}

TEST_F(tree, a_disconnected_directory_stays_denied)
{
	struct krepis_domain *d = domain("read", "deny read " ABC);
	struct krepis_domain *b = domain("read", "deny read " X);
	int fd = disconnect();

	ASSERT_LE(0, fd);
	refused(EACCES, d, open_at(fd, "f", O_RDONLY));
	/* It is below X now. */
	refused(EACCES, b, open_at(fd, "f", O_RDONLY));
	/* From where it is nobody sees all that is above it: so who denies something denies it. */
	refused(EACCES, domain("read", "deny read " AB), open_at(fd, "f", O_RDONLY));
	allowed(domain("read"), open_at(fd, "f", O_RDONLY));
}

TEST_F(tree, a_disconnected_directory_is_not_renamed_out_of)
{
	int fd = disconnect(), top;

	ASSERT_LE(0, fd);
	top = open(EMPTY, O_PATH);
	refused(EACCES, domain("read,write " AB), sys(renameat(fd, "f", top, "g")));
	EXPECT_FALSE(exists(AB "/g"));
	refused(EACCES, domain("read,write " AB), sys(linkat(top, "f", fd, "g", 0)));
	allowed(domain("read,write " TOP), sys(renameat(fd, "f", fd, "g")));
}

/* ------------------------------------------------------------------- unmounted things */

TEST_F(tree, what_is_open_in_an_unmounted_tree_keeps_its_own_right)
{
	struct krepis_domain *d, *mount_point = domain("read " X);
	int fd;

	ASSERT_EQ(0, mount("none", XY, "tmpfs", 0, NULL));
	ASSERT_EQ(0, put_file(XY "/f", "text"));
	d = domain("read " XY);
	fd = open(XY, O_PATH);
	allowed(d, open_at(fd, "f", O_RDONLY));
	allowed(mount_point, open_at(fd, "f", O_RDONLY));
	ASSERT_EQ(0, umount2(XY, MNT_DETACH));
	allowed(d, open_at(fd, "f", O_RDONLY));
	refused(EACCES, mount_point, open_at(fd, "f", O_RDONLY));
	allowed(domain("read"), open_at(fd, "f", O_RDONLY));
}

/* --------------------------------------------------------------------- changing mounts */

static int open_clone(const char *path)
{
	return sys(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

static int open_plain(const char *path)
{
	return sys(syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLOEXEC));
}

static int pivot(void)
{
	return sys(syscall(SYS_pivot_root, TOP, EMPTY));
}

TEST_F(tree, mounts_are_not_changed)
{
	struct krepis_domain *d = domain("read", "write", "exec");

	refused(EPERM, d, sys(mount("none", EMPTY, "tmpfs", 0, NULL)));
	refused(EPERM, d, bind(A, EMPTY));
	refused(EPERM, d, sys(mount(NULL, TOP, NULL, MS_PRIVATE, NULL)));
	refused(EPERM, d, sys(mount(NULL, TOP, NULL, MS_REMOUNT | MS_BIND, NULL)));
	refused(EPERM, d, sys(umount2(TOP, MNT_DETACH)));
	refused(EPERM, d, sys(umount(EMPTY)));
	refused(EPERM, d, pivot());
	refused(EPERM, d, open_clone(A));
	refused(EPERM, d, sys(syscall(SYS_fsopen, "tmpfs", 0)));
	refused(EPERM, d, sys(unshare(CLONE_NEWNS)));
	refused(EPERM, d, sys(chroot(A)));
	/* Not a word of the sandbox is needed outside. */
	allowed(NULL, open_clone(A));
	allowed(NULL, bind(A, EMPTY));
}

TEST_F(tree, mounts_are_not_changed_even_with_all_of_sys)
{
	struct krepis_domain *d = domain("read", "write", "sys");
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, A, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	ASSERT_LE(0, tree);
	refused(EPERM, d, sys(mount("none", EMPTY, "tmpfs", 0, NULL)));
	refused(EPERM, d, bind(A, EMPTY));
	refused(EPERM, d, sys(umount2(TOP, MNT_DETACH)));
	refused(EPERM, d, sys(syscall(SYS_move_mount, tree, "", AT_FDCWD, EMPTY,
				      MOVE_MOUNT_F_EMPTY_PATH)));
	refused(EPERM, d, pivot());
	allowed(NULL, sys(syscall(SYS_move_mount, tree, "", AT_FDCWD, EMPTY,
				  MOVE_MOUNT_F_EMPTY_PATH)));
}

TEST_F(tree, a_tree_without_a_place_gives_the_rights_of_its_own_sentences)
{
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, AB, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	ASSERT_LE(0, tree);
	refused(EACCES, domain("read " A), open_at(tree, "f", O_RDONLY));
	allowed(domain("read " AB), open_at(tree, "f", O_RDONLY));
	allowed(domain("read " ABC), open_at(tree, "c/f", O_RDONLY));
	refused(EACCES, domain("read", "deny read " AB), open_at(tree, "f", O_RDONLY));
	allowed(domain(NULL), open_plain(A));
}

TEST_F(tree, another_mount_namespace_is_not_entered)
{
	int ns = open("/proc/1/ns/mnt", O_RDONLY);

	ASSERT_LE(0, ns);
	refused(EPERM, domain("read", "write"), sys(setns(ns, CLONE_NEWNS)));
	allowed(NULL, sys(setns(ns, CLONE_NEWNS)));
}

/* What is denied by its directory is denied by a mount of what is below that. */
TEST_F(tree, a_mount_of_what_is_below_a_denied_directory_is_outside_of_it)
{
	struct krepis_domain *d;

	/* Documented: the way through the mount does not pass the denied directory. */
	ASSERT_EQ(0, bind(ABC, XY));
	d = domain("read " TOP, "deny read " AB);
	refused(EACCES, d, read_file(ABC "/f"));
	allowed(d, read_file(XY "/f"));
}

TEST_HARNESS_MAIN
