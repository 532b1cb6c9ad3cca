// SPDX-License-Identifier: MIT
/* What is denied stays denied: whatever is allowed, by whichever way one comes to it. */
#include <sys/mount.h>
#include "fixture.h"

/* --------------------------------------------------------------------- which one wins */

TEST_F(tree, a_deny_below_an_allow_wins)
{
	struct krepis_domain *d = domain("read " A, "deny read " AB);

	allowed(d, read_file(A "/f"));
	refused(EACCES, d, read_file(AB "/f"));
	refused(EACCES, d, read_file(ABC "/f"));
	refused(EACCES, d, list(AB));
	allowed(domain("read " A), read_file(ABC "/f"));
}

TEST_F(tree, a_deny_above_an_allow_wins)
{
	struct krepis_domain *d = domain("read " ABC, "read " X, "deny read " AB);

	refused(EACCES, d, read_file(ABC "/f"));
	allowed(d, read_file(X "/f"));
	allowed(domain("read " ABC), read_file(ABC "/f"));
}

TEST_F(tree, a_deny_of_the_same_object_wins)
{
	refused(EACCES, domain("read " A, "deny read " A), read_file(A "/f"));
	refused(EACCES, domain("deny read " A, "read " A), read_file(A "/f"));
}

TEST_F(tree, a_deny_of_all_wins)
{
	struct krepis_domain *d = domain("read,write " A, "deny read");

	refused(EACCES, d, read_file(A "/f"));
	allowed(d, write_file(A "/f"));
	refused(EACCES, domain("read", "deny read"), read_file(A "/f"));
}

TEST_F(tree, a_deny_wins_over_an_allow_of_all)
{
	struct krepis_domain *d = domain("read", "write", "deny read " A, "deny write " X "/f");

	refused(EACCES, d, read_file(AB "/f"));
	allowed(d, read_file(X "/f"));
	refused(EACCES, d, write_file(X "/f"));
	allowed(d, write_file(X "/p"));
}

TEST_F(tree, a_deny_is_of_its_word_alone)
{
	struct krepis_domain *d = domain("read,write,exec " A, "deny write " A);

	allowed(d, read_file(A "/f"));
	allowed(d, run(A "/p", NULL));
	refused(EACCES, d, write_file(A "/f"));
	refused(EACCES, d, create(A "/new"));
	refused(EACCES, d, sys(unlink(A "/f")));
	refused(EACCES, d, sys(chmod(A "/f", 0600)));
}

TEST_F(tree, a_deny_of_a_file_is_of_it_alone)
{
	struct krepis_domain *d = domain("read " A, "deny read " A "/f");

	refused(EACCES, d, read_file(A "/f"));
	allowed(d, read_file(A "/p"));
	allowed(d, read_file(AB "/f"));
}

TEST_F(tree, a_deny_alone_allows_nothing)
{
	refused(EACCES, domain("deny read " A), read_file(X "/f"));
	allowed(domain("deny read " A, "read " X), read_file(X "/f"));
}

/* ----------------------------------------------------------------------- other ways */

TEST_F(tree, a_denied_file_is_denied_by_its_other_names)
{
	struct krepis_domain *d = domain("read,write " A, "read,write " X, "deny read " A "/f");

	ASSERT_EQ(0, link(A "/f", X "/g"));
	ASSERT_EQ(0, symlink(A "/f", X "/s"));
	refused(EACCES, d, read_file(X "/g"));
	refused(EACCES, d, read_file(X "/s"));
	refused(EACCES, d, open_file(A "/f", O_RDWR));
	allowed(d, read_file(X "/f"));
}

static int link_and_read(const char *from, const char *to)
{
	int err = sys(link(from, to));

	return err ? err : read_file(to);
}

TEST_F(tree, a_denied_file_is_not_read_by_a_link_made_inside)
{
	struct krepis_domain *d = domain("read,write " A, "deny read " A "/f");

	EXPECT_GT(0, in_domain(d, link_and_read(A "/f", AB "/g")));
	EXPECT_GT(0, in_domain(d, link_and_read(A "/f", A "/h")));
	allowed(domain("read,write " A), link_and_read(A "/f", AB "/i"));
}

TEST_F(tree, a_denied_directory_is_denied_through_another_mount)
{
	struct krepis_domain *d = domain("read " TOP, "deny read " AB);

	ASSERT_EQ(0, mount(AB, EMPTY, NULL, MS_BIND, NULL));
	refused(EACCES, d, read_file(EMPTY "/f"));
	refused(EACCES, d, read_file(EMPTY "/c/f"));
	ASSERT_EQ(0, umount2(EMPTY, 0));
	ASSERT_EQ(0, mount(XY, EMPTY, NULL, MS_BIND, NULL));
	allowed(d, read_file(EMPTY "/f"));
	ASSERT_EQ(0, umount2(EMPTY, 0));
}

TEST_F(tree, what_is_below_a_denied_directory_is_denied_through_a_mount_of_it)
{
	/* The way up through the mount leads past the mount point, not past the directory. */
	struct krepis_domain *d;

	ASSERT_EQ(0, mount(ABC, EMPTY, NULL, MS_BIND, NULL));
	d = domain("read " TOP, "deny read " ABC);
	refused(EACCES, d, read_file(EMPTY "/f"));
	refused(EACCES, d, read_file(ABC "/f"));
	allowed(d, read_file(AB "/f"));
	ASSERT_EQ(0, umount2(EMPTY, 0));
}

TEST_F(tree, what_is_mounted_below_a_denied_directory_is_denied)
{
	struct krepis_domain *d = domain("read " TOP, "deny read " A);

	ASSERT_EQ(0, mount(XY, ABC, NULL, MS_BIND, NULL));
	refused(EACCES, d, read_file(ABC "/f"));
	allowed(d, read_file(XY "/f"));
	ASSERT_EQ(0, umount2(ABC, 0));
	ASSERT_EQ(0, mount("none", ABC, "tmpfs", 0, NULL));
	ASSERT_EQ(0, put_file(ABC "/f", "text"));
	refused(EACCES, d, read_file(ABC "/f"));
	ASSERT_EQ(0, umount2(ABC, 0));
}

TEST_F(tree, a_denied_file_is_denied_where_somebody_else_moved_it)
{
	struct krepis_domain *d = domain("read " TOP, "deny read " A "/f");

	ASSERT_EQ(0, rename(A "/f", X "/g"));
	refused(EACCES, d, read_file(X "/g"));
	allowed(d, read_file(X "/f"));
}

TEST_F(tree, what_is_below_a_denied_directory_is_denied_where_that_is_moved_to)
{
	struct krepis_domain *d = domain("read " TOP, "deny read " AB);

	ASSERT_EQ(0, rename(AB, X "/b"));
	refused(EACCES, d, read_file(X "/b/c/f"));
	refused(EACCES, d, list(X "/b"));
	allowed(d, read_file(XY "/f"));
}

/* ---------------------------------------------------------------------- moved inside */

TEST_F(tree, a_denied_file_stays_at_its_place)
{
	struct krepis_domain *d = domain("read,write " TOP, "deny read " A "/f");
	struct krepis_domain *w = domain("read,write " TOP, "deny write " A "/f");

	/* Or the next look-up of the path would find another file, that is free. */
	refused(EACCES, w, sys(rename(A "/f", A "/g")));
	refused(EACCES, w, sys(rename(A "/p", A "/f")));
	refused(EACCES, w, sys(unlink(A "/f")));
	EXPECT_TRUE(exists(A "/f"));
	EXPECT_TRUE(exists(A "/p"));
	allowed(d, sys(rename(A "/p", A "/q")));
	allowed(w, sys(rename(A "/q", A "/p")));
}

TEST_F(tree, a_directory_on_the_way_to_a_denied_file_stays_at_its_place)
{
	struct krepis_domain *d = domain("read,write " TOP, "deny read,write " ABC "/f");

	refused(EACCES, d, sys(rename(ABC, AB "/d")));
	refused(EACCES, d, sys(rename(AB, A "/d")));
	refused(EACCES, d, sys(rename(A, TOP "/d")));
	refused(EACCES, d, sys(renameat2(AT_FDCWD, AB, AT_FDCWD, XY, RENAME_EXCHANGE)));
	refused(EACCES, d, sys(renameat2(AT_FDCWD, XY, AT_FDCWD, AB, RENAME_EXCHANGE)));
	EXPECT_TRUE(exists(ABC "/f"));
	refused(EACCES, d, read_file(ABC "/f"));
	/* What is beside the way is free. */
	allowed(d, sys(rename(XY, X "/z")));
	allowed(d, sys(rename(AB "/f", AB "/g")));
	allowed(d, sys(rename(AB "/g", X "/g")));
	allowed(d, sys(link(AB "/p", X "/q")));
	allowed(d, create(AB "/new"));
	allowed(domain("read,write " TOP), sys(rename(AB, A "/d")));
}

static int replace(const char *path)
{
	unlink(path);
	return create(path);
}

TEST_F(tree, a_file_denied_to_be_written_is_not_replaced)
{
	struct krepis_domain *d = domain("read,write " A, "deny write " A "/f");

	EXPECT_GT(0, in_domain(d, replace(A "/f")));
	EXPECT_EQ(0, read_file(A "/f"));
	refused(EACCES, d, sys(rename(A "/p", A "/f")));
	refused(EACCES, d, sys(truncate(A "/f", 0)));
	refused(EACCES, d, sys(renameat2(AT_FDCWD, A "/p", AT_FDCWD, A "/f", RENAME_EXCHANGE)));
	refused(EACCES, d, sys(renameat2(AT_FDCWD, A "/f", AT_FDCWD, A "/p", RENAME_EXCHANGE)));
	allowed(domain("read,write " A), replace(A "/f"));
}

TEST_F(tree, a_new_file_in_the_place_of_a_denied_one_is_another_file)
{
	struct krepis_domain *d = domain("read " A, "deny read " A "/f");

	/* Replaced by somebody outside. */
	refused(EACCES, d, read_file(A "/f"));
	ASSERT_EQ(0, rename(A "/f", X "/g"));
	ASSERT_EQ(0, put_file(A "/f", "text"));
	allowed(d, read_file(A "/f"));
	/* Until the policy is looked up again. */
	ASSERT_EQ(0, krepis_domain_set(d, policy("read " A, "deny read " A "/f")));
	refused(EACCES, d, read_file(A "/f"));
}

TEST_F(tree, out_of_a_denied_directory_a_file_gains_nothing)
{
	struct krepis_domain *d = domain("read,write " TOP, "deny read " AB);

	refused(EXDEV, d, sys(rename(AB "/f", A "/g")));
	refused(EXDEV, d, sys(rename(ABC, A "/c")));
	refused(EXDEV, d, sys(link(AB "/f", A "/g")));
	refused(EXDEV, d, sys(renameat2(AT_FDCWD, AB "/f", AT_FDCWD, A "/f", RENAME_EXCHANGE)));
	refused(EXDEV, d, sys(renameat2(AT_FDCWD, A "/f", AT_FDCWD, AB "/f", RENAME_EXCHANGE)));
	EXPECT_TRUE(exists(AB "/f"));
	EXPECT_FALSE(exists(A "/g"));
	/* In, it only loses. */
	allowed(d, sys(rename(A "/f", AB "/g")));
	refused(EACCES, d, read_file(AB "/g"));
}

TEST_F(tree, what_is_denied_is_not_opened_from_below)
{
	struct krepis_domain *d = domain("read " TOP, "deny read " AB);
	int dir = open(ABC, O_PATH);

	refused(EACCES, d, open_at(dir, "f", O_RDONLY));
	refused(EACCES, d, open_at(dir, ".", O_RDONLY));
	allowed(d, open_at(dir, "../../f", O_RDONLY));
	ASSERT_EQ(0, chdir(ABC));
	refused(EACCES, d, read_file("f"));
}

TEST_F(tree, a_denied_file_is_not_executed_by_another_name)
{
	struct krepis_domain *d = domain("read,write,exec " TOP, "deny exec " A "/p");

	refused(EACCES, d, run(A "/p", NULL));
	ASSERT_EQ(0, link(A "/p", X "/q"));
	refused(EACCES, d, run(X "/q", NULL));
	ASSERT_EQ(0, symlink(A "/p", X "/s"));
	refused(EACCES, d, run(X "/s", NULL));
	allowed(d, run(X "/p", NULL));
}

TEST_HARNESS_MAIN
