// SPDX-License-Identifier: MIT
/* Creating and removing in directories: it is the directory that has to be written. */
#include <sys/sysmacros.h>
#include "fixture.h"

static int make_dir(const char *path)
{
	return sys(mkdir(path, 0755));
}

static int make_link(const char *path)
{
	return sys(symlink("f", path));
}

static int make_pipe(const char *path)
{
	return sys(mknod(path, S_IFIFO | 0600, 0));
}

static int make_file(const char *path)
{
	return sys(mknod(path, S_IFREG | 0600, 0));
}

static int make_socket(const char *path)
{
	return sys(mknod(path, S_IFSOCK | 0600, 0));
}

static int make_null(const char *path)
{
	return sys(mknod(path, S_IFCHR | 0600, makedev(1, 3)));
}

static const struct {
	const char *name;
	int (*make)(const char *path);
} makers[] = {
	{ "open", create },
	{ "mkdir", make_dir },
	{ "symlink", make_link },
	{ "pipe", make_pipe },
	{ "mknod", make_file },
	{ "socket", make_socket },
	{ "device", make_null },
};

/* -------------------------------------------------------------------------- creating */

TEST_F(tree, to_create_needs_write_of_the_directory)
{
	struct krepis_domain *r = domain("read,exec " A), *w = domain("write " A);
	unsigned int i;

	/* But a device: see below. */
	for (i = 0; i < ARRAY_SIZE(makers) - 1; i++) {
		EXPECT_EQ(-EACCES, in_domain(r, makers[i].make(A "/new")))
			TH_LOG("%s", makers[i].name);
		EXPECT_FALSE(exists(A "/new"));
		EXPECT_EQ(-EACCES, in_domain(w, makers[i].make(X "/new")))
			TH_LOG("%s", makers[i].name);
		EXPECT_FALSE(exists(X "/new"));
		EXPECT_EQ(0, in_domain(w, makers[i].make(A "/new")))
			TH_LOG("%s", makers[i].name);
		EXPECT_TRUE(exists(A "/new"));
		remove(A "/new");
		EXPECT_EQ(0, in_domain(w, makers[i].make(ABC "/new")))
			TH_LOG("%s", makers[i].name);
		remove(ABC "/new");
	}
}

TEST_F(tree, a_device_is_not_created)
{
	/* Of one that is made by nobody who looked, all could be read. */
	refused(EACCES, domain("read " A, "sys"), make_null(A "/null"));
	refused(EPERM, domain("write " A, "sys"), make_null(A "/null"));
	EXPECT_FALSE(exists(A "/null"));
	allowed(NULL, make_null(A "/null"));
}

TEST_F(tree, where_something_is_already_nothing_is_created)
{
	struct krepis_domain *d = domain("write " A);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(makers) - 1; i++)
		EXPECT_EQ(-EEXIST, in_domain(d, makers[i].make(A "/f")))
			TH_LOG("%s", makers[i].name);
}

TEST_F(tree, what_was_created_has_the_rights_of_its_place)
{
	struct krepis_domain *d = domain("write " A, "read " AB, "exec " ABC);

	allowed(d, create(A "/new"));
	refused(EACCES, d, read_file(A "/new"));
	allowed(d, make_dir(AB "/dir"));
	allowed(d, create(AB "/dir/new"));
	allowed(d, read_file(AB "/dir/new"));
	allowed(d, list(AB "/dir"));
	ASSERT_EQ(0, put_program("hand", AB "/dir/p", 0755));
	refused(EACCES, d, run(AB "/dir/p", NULL));
	ASSERT_EQ(0, put_program("hand", ABC "/q", 0755));
	allowed(d, run(ABC "/q", NULL));
}

TEST_F(tree, a_sentence_of_a_file_lets_nobody_create_beside_it)
{
	struct krepis_domain *d = domain("write " A "/f");

	allowed(d, write_file(A "/f"));
	refused(EACCES, d, create(A "/g"));
	allowed(domain("write " A), create(A "/g"));
}

/* -------------------------------------------------------------------------- removing */

TEST_F(tree, to_remove_a_file_needs_write_of_its_directory)
{
	refused(EACCES, domain("read " A), sys(unlink(A "/f")));
	refused(EACCES, domain("read,exec,write " A "/f"), sys(unlink(A "/f")));
	refused(EACCES, domain("write " AB, "write " X), sys(unlink(A "/f")));
	EXPECT_TRUE(exists(A "/f"));
	allowed(domain("write " A), sys(unlink(A "/f")));
	EXPECT_FALSE(exists(A "/f"));
}

TEST_F(tree, to_remove_a_directory_needs_write_of_the_one_above)
{
	ASSERT_EQ(0, mkdir(A "/dir", 0755));
	refused(EACCES, domain("read " A), sys(rmdir(A "/dir")));
	refused(EACCES, domain("read,write,exec " A "/dir"), sys(rmdir(A "/dir")));
	EXPECT_TRUE(exists(A "/dir"));
	allowed(domain("write " A), sys(rmdir(A "/dir")));
	EXPECT_FALSE(exists(A "/dir"));
}

TEST_F(tree, a_directory_that_may_be_written_is_emptied_but_stays)
{
	struct krepis_domain *d = domain("write " XY);

	allowed(d, sys(unlink(XY "/f")));
	allowed(d, sys(unlink(XY "/p")));
	refused(EACCES, d, sys(rmdir(XY)));
	allowed(domain("write " X), sys(rmdir(XY)));
}

TEST_F(tree, what_one_may_not_read_one_may_remove)
{
	struct krepis_domain *d = domain("write " A);

	refused(EACCES, d, read_file(AB "/f"));
	allowed(d, sys(unlink(AB "/f")));
	EXPECT_FALSE(exists(AB "/f"));
}

TEST_F(tree, links_pipes_and_sockets_are_removed_as_files_are)
{
	struct krepis_domain *r = domain("read " A), *w = domain("write " A);
	unsigned int i;

	for (i = 2; i < ARRAY_SIZE(makers); i++) {
		ASSERT_EQ(0, makers[i].make(A "/new"));
		EXPECT_EQ(-EACCES, in_domain(r, sys(unlink(A "/new"))))
			TH_LOG("%s", makers[i].name);
		EXPECT_EQ(0, in_domain(w, sys(unlink(A "/new"))))
			TH_LOG("%s", makers[i].name);
		EXPECT_FALSE(exists(A "/new"));
	}
}

TEST_F(tree, nothing_is_removed_through_a_descriptor_or_link)
{
	struct krepis_domain *d = domain("read,write " A);
	int x = open(X, O_PATH);

	ASSERT_EQ(0, symlink(X, A "/dir"));
	refused(EACCES, d, sys(unlinkat(x, "f", 0)));
	refused(EACCES, d, sys(unlink(A "/dir/f")));
	refused(EACCES, d, sys(unlink(A "/../x/f")));
	EXPECT_TRUE(exists(X "/f"));
	/* The link itself is A's. */
	allowed(d, sys(unlink(A "/dir")));
	EXPECT_TRUE(exists(X "/f"));
	allowed(domain("write " X), sys(unlinkat(x, "f", 0)));
}

/* ------------------------------------------------------------------------ hard links */

TEST_F(tree, to_link_needs_write_of_the_directory_that_gets_the_name)
{
	refused(EACCES, domain("read " A), sys(link(A "/f", A "/g")));
	refused(EACCES, domain("write " A "/f"), sys(link(A "/f", A "/g")));
	EXPECT_FALSE(exists(A "/g"));
	allowed(domain("write " A), sys(link(A "/f", A "/g")));
	EXPECT_TRUE(exists(A "/g"));
}

TEST_F(tree, to_link_out_of_the_granted_tree_needs_write_there)
{
	struct krepis_domain *d = domain("read,write " A);

	refused(EACCES, d, sys(link(A "/f", X "/g")));
	EXPECT_FALSE(exists(X "/g"));
	allowed(domain("read,write " A, "write " X), sys(link(A "/f", X "/g")));
}

TEST_F(tree, a_file_gains_no_right_by_a_link)
{
	struct krepis_domain *d = domain("read,write " A, "write " X);

	/* From outside, of which nothing is allowed, and from where less is. */
	refused(EXDEV, d, sys(link(EMPTY "/../x/f", A "/g")));
	refused(EXDEV, domain("read,write " A), sys(link(X "/f", A "/g")));
	refused(EXDEV, domain("write " A, "exec " AB), sys(link(A "/p", AB "/q")));
	EXPECT_FALSE(exists(A "/g"));
	EXPECT_FALSE(exists(AB "/q"));
	allowed(domain("read,write " A, "read,write " X), sys(link(X "/f", A "/g")));
	allowed(domain("exec " A, "write " TOP), sys(link(A "/p", AB "/q")));
}

TEST_F(tree, a_file_may_lose_rights_by_a_link)
{
	struct krepis_domain *d = domain("read,write,exec " A, "write " X);

	allowed(d, sys(link(A "/f", X "/g")));
	refused(EACCES, d, read_file(X "/g"));
	allowed(d, read_file(A "/f"));
}

TEST_F(tree, a_file_with_a_sentence_of_its_own_is_linked_with_it)
{
	/* The right comes from the file, so that no place gives it more. */
	allowed(domain("read,write " X "/f", "read,write " A), sys(link(X "/f", A "/g")));
	refused(EXDEV, domain("read " X "/f", "read,write " A), sys(link(X "/f", A "/h")));
	EXPECT_FALSE(exists(A "/h"));
}

TEST_F(tree, both_names_of_a_file_are_judged_by_their_own_place)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, link(A "/f", X "/g"));
	d = domain("read " A);
	allowed(d, read_file(A "/f"));
	refused(EACCES, d, read_file(X "/g"));
	/* A sentence of the file is one of the inode. */
	d = domain("read " A "/f");
	allowed(d, read_file(X "/g"));
}

static int link_open(const char *from, const char *to)
{
	int fd = open(from, O_PATH | O_CLOEXEC), err;
	char path[32];

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	err = sys(linkat(AT_FDCWD, path, AT_FDCWD, to, AT_SYMLINK_FOLLOW));
	close(fd);
	return err;
}

TEST_F(tree, a_link_of_an_open_file_gives_no_more)
{
	refused(EXDEV, domain("read,write " A), link_open(X "/f", A "/g"));
	EXPECT_FALSE(exists(A "/g"));
	allowed(domain("read,write " A, "read,write " X), link_open(X "/f", A "/g"));
}

TEST_HARNESS_MAIN
