// SPDX-License-Identifier: MIT
/*
 * Renaming. EACCES: a directory may not be written. EXDEV: both may, and what is moved
 * would be allowed more in its new place than in its old one; as if it were another file
 * system, so that mv(1) copies.
 */
#include <sys/syscall.h>
#include "fixture.h"

static int move(const char *from, const char *to)
{
	return sys(rename(from, to));
}

static int swap(const char *one, const char *other)
{
	return sys(renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE));
}

static int move_new(const char *from, const char *to)
{
	return sys(renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE));
}

static bool same(const char *path, ino_t ino)
{
	struct stat st;

	return !lstat(path, &st) && st.st_ino == ino;
}

static ino_t ino_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_ino;
}

/* ------------------------------------------------------------------ in one directory */

TEST_F(tree, in_one_directory_it_needs_write_of_that)
{
	refused(EACCES, domain("read " A), move(A "/f", A "/g"));
	refused(EACCES, domain("read,write,exec " A "/f"), move(A "/f", A "/g"));
	EXPECT_TRUE(exists(A "/f"));
	EXPECT_FALSE(exists(A "/g"));
	allowed(domain("write " A), move(A "/f", A "/g"));
	EXPECT_TRUE(exists(A "/g"));
}

TEST_F(tree, of_a_directory_it_needs_write_of_the_one_above)
{
	refused(EACCES, domain("read,write " AB), move(AB, A "/d"));
	EXPECT_TRUE(exists(AB));
	allowed(domain("write " A), move(AB, A "/d"));
	EXPECT_TRUE(exists(A "/d/c/f"));
}

TEST_F(tree, over_another_file_it_needs_no_more)
{
	refused(EACCES, domain("write " A "/f", "write " A "/p"), move(A "/f", A "/p"));
	EXPECT_TRUE(exists(A "/f"));
	allowed(domain("write " A), move(A "/f", A "/p"));
	EXPECT_FALSE(exists(A "/f"));
}

TEST_F(tree, to_the_same_file_by_another_name_is_judged_too)
{
	ASSERT_EQ(0, link(A "/f", A "/g"));
	refused(EACCES, domain("read " A), move(A "/f", A "/g"));
	allowed(domain("write " A), move(A "/f", A "/g"));
	/* They are the same: nothing happens. */
	EXPECT_TRUE(exists(A "/f"));
}

/* --------------------------------------------------------------- between directories */

TEST_F(tree, between_directories_it_needs_write_of_both)
{
	refused(EACCES, domain("write " A), move(A "/f", X "/g"));
	refused(EACCES, domain("write " X), move(A "/f", X "/g"));
	refused(EACCES, domain("write " A "/f", "write " X), move(A "/f", X "/g"));
	refused(EACCES, domain("read " TOP), move(A "/f", X "/g"));
	EXPECT_TRUE(exists(A "/f"));
	EXPECT_FALSE(exists(X "/g"));
	allowed(domain("write " A, "write " X), move(A "/f", X "/g"));
	EXPECT_TRUE(exists(X "/g"));
}

TEST_F(tree, within_one_granted_tree_it_is_free)
{
	struct krepis_domain *d = domain("read,write,exec " A);

	allowed(d, move(A "/f", ABC "/g"));
	allowed(d, move(ABC "/g", A "/f"));
	allowed(d, move(ABC, A "/c"));
	allowed(d, move(A "/c", ABC));
	EXPECT_TRUE(exists(ABC "/f"));
}

TEST_F(tree, a_file_gains_no_right_by_it)
{
	refused(EXDEV, domain("write " A, "read,write " X), move(A "/f", X "/g"));
	refused(EXDEV, domain("write " A, "exec,write " X), move(A "/p", X "/q"));
	refused(EXDEV, domain("write " A, "read " AB), move(A "/f", AB "/g"));
	EXPECT_TRUE(exists(A "/f"));
	EXPECT_FALSE(exists(X "/g"));
	EXPECT_FALSE(exists(AB "/g"));
	allowed(domain("read,write " A, "read,write " X), move(A "/f", X "/g"));
}

TEST_F(tree, a_file_may_lose_rights_by_it)
{
	struct krepis_domain *d = domain("read,exec,write " A, "write " X);

	allowed(d, move(A "/f", X "/g"));
	refused(EACCES, d, read_file(X "/g"));
	/* And does not get them back. */
	refused(EXDEV, d, move(X "/g", A "/f"));
	EXPECT_TRUE(exists(X "/g"));
}

TEST_F(tree, a_directory_gains_no_right_by_it)
{
	refused(EXDEV, domain("write " A, "read,write " X), move(AB, X "/b"));
	refused(EXDEV, domain("write " TOP, "exec " X), move(AB, X "/b"));
	EXPECT_TRUE(exists(ABC));
	allowed(domain("write " A, "write " X), move(AB, X "/b"));
	EXPECT_TRUE(exists(X "/b/c/f"));
}

TEST_F(tree, a_sentence_of_the_moved_goes_with_it_and_counts)
{
	/* It may be read here and there: no gain. */
	struct krepis_domain *d = domain("read " A "/f", "write " A, "read,write " X);

	allowed(d, move(A "/f", X "/g"));
	allowed(d, read_file(X "/g"));
	refused(EXDEV, d, move(A "/p", X "/q"));
}

TEST_F(tree, when_write_is_missing_too_it_is_not_EXDEV)
{
	/* Both wrong: the plain refusal, or one could learn nothing by copying. */
	refused(EACCES, domain("read,write " X), move(A "/f", X "/g"));
	refused(EACCES, domain("write " A, "read,exec " X), move(A "/f", X "/g"));
	refused(EXDEV, domain("write " A, "read,exec,write " X), move(A "/f", X "/g"));
}

TEST_F(tree, out_of_a_place_without_a_sentence_nothing_comes)
{
	refused(EACCES, domain("read,write,exec " A), move(X "/f", A "/g"));
	refused(EACCES, domain("read,write,exec " A), move(XY, A "/y"));
	EXPECT_FALSE(exists(A "/g"));
	EXPECT_TRUE(exists(XY));
	allowed(domain("read,write,exec " TOP), move(X "/f", A "/g"));
}

TEST_F(tree, over_a_file_between_directories_it_is_as_without)
{
	refused(EACCES, domain("write " A, "write " X "/p"), move(A "/f", X "/p"));
	refused(EXDEV, domain("write " A, "read,write " X), move(A "/f", X "/p"));
	allowed(domain("write " A, "write " X), move(A "/f", X "/p"));
	EXPECT_FALSE(exists(A "/f"));
}

TEST_F(tree, with_NOREPLACE_it_is_as_without)
{
	refused(EACCES, domain("write " A), move_new(A "/f", X "/g"));
	refused(EXDEV, domain("write " A, "read,write " X), move_new(A "/f", X "/g"));
	refused(EEXIST, domain("write " A, "write " X), move_new(A "/f", X "/p"));
	allowed(domain("write " A, "write " X), move_new(A "/f", X "/g"));
}

TEST_F(tree, from_a_directory_that_was_inherited_it_is_as_by_path)
{
	int a = open(A, O_PATH), x = open(X, O_PATH);

	refused(EACCES, domain("write " A), sys(renameat(a, "f", x, "g")));
	refused(EXDEV, domain("write " A, "read,write " X), sys(renameat(a, "f", x, "g")));
	allowed(domain("write " A, "write " X), sys(renameat(a, "f", x, "g")));
}

/* --------------------------------------------------------------------------- exchange */

TEST_F(tree, an_exchange_needs_write_of_both)
{
	ino_t a = ino_of(A "/f"), x = ino_of(X "/f");

	refused(EACCES, domain("write " A), swap(A "/f", X "/f"));
	refused(EACCES, domain("write " X), swap(A "/f", X "/f"));
	refused(EACCES, domain("write " A "/f", "write " X "/f"), swap(A "/f", X "/f"));
	EXPECT_TRUE(same(A "/f", a));
	allowed(domain("write " A, "write " X), swap(A "/f", X "/f"));
	EXPECT_TRUE(same(A "/f", x));
	EXPECT_TRUE(same(X "/f", a));
}

TEST_F(tree, by_an_exchange_neither_gains)
{
	struct krepis_domain *more = domain("write " A, "read,write " X);
	ino_t a = ino_of(A "/f");

	refused(EXDEV, more, swap(A "/f", X "/f"));
	refused(EXDEV, more, swap(X "/f", A "/f"));
	refused(EXDEV, more, swap(AB, XY));
	refused(EXDEV, more, swap(XY, AB));
	EXPECT_TRUE(same(A "/f", a));
	allowed(domain("read,write " A, "read,write " X), swap(A "/f", X "/f"));
	allowed(domain("read,write " A, "read,write " X), swap(AB, XY));
}

TEST_F(tree, an_exchange_in_one_directory_needs_write_of_it)
{
	ino_t f = ino_of(A "/f");

	refused(EACCES, domain("read " A), swap(A "/f", A "/p"));
	refused(EACCES, domain("write " A "/f", "write " A "/p"), swap(A "/f", A "/p"));
	EXPECT_TRUE(same(A "/f", f));
	allowed(domain("write " A), swap(A "/f", A "/p"));
	EXPECT_TRUE(same(A "/p", f));
}

TEST_F(tree, a_file_and_a_directory_are_exchanged_as_two_files_are)
{
	refused(EXDEV, domain("write " A, "read,write " X), swap(A "/f", XY));
	refused(EXDEV, domain("write " A, "read,write " X), swap(XY, A "/f"));
	allowed(domain("write " A, "write " X), swap(A "/f", XY));
	EXPECT_TRUE(exists(A "/f/p"));
}

TEST_HARNESS_MAIN
