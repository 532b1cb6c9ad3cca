// SPDX-License-Identifier: MIT
/*
 * An overlay: its files are not those of its layers, and what it does with these for
 * somebody, a copy up for example, needs no right of theirs.
 */
#include <sys/mman.h>
#include <sys/mount.h>
#include "fixture.h"

#define LOWER	TOP "/lower"
#define UPPER	TOP "/upper"
#define WORK	TOP "/work"
#define MERGED	TOP "/merged"

FIXTURE(overlay)
{
};

FIXTURE_SETUP(overlay)
{
	ASSERT_EQ(0, tree_make("tmpfs"));
	ASSERT_EQ(0, mkdir(LOWER, 0755));
	ASSERT_EQ(0, mkdir(UPPER, 0755));
	ASSERT_EQ(0, mkdir(WORK, 0755));
	ASSERT_EQ(0, mkdir(MERGED, 0755));
	ASSERT_EQ(0, tree_fill(LOWER));
	ASSERT_EQ(0, mkdir(LOWER "/both", 0755));
	ASSERT_EQ(0, mkdir(UPPER "/both", 0755));
	ASSERT_EQ(0, put_file(LOWER "/both/low", "text"));
	ASSERT_EQ(0, put_file(UPPER "/both/up", "text"));
	ASSERT_EQ(0, put_file(LOWER "/both/f", "low"));
	ASSERT_EQ(0, put_file(UPPER "/both/f", "up"));
	ASSERT_EQ(0, mount("overlay", MERGED, "overlay", 0,
			   "lowerdir=" LOWER ",upperdir=" UPPER ",workdir=" WORK));
}

FIXTURE_TEARDOWN(overlay)
{
	umount2(MERGED, MNT_DETACH);
	tree_end();
}

TEST_F(overlay, a_sentence_of_the_merged_tree_holds_there)
{
	struct krepis_domain *d = domain("read " MERGED);

	allowed(d, read_file(MERGED "/a/b/f"));
	allowed(d, read_file(MERGED "/both/low"));
	allowed(d, read_file(MERGED "/both/up"));
	allowed(d, list(MERGED "/both"));
	refused(EACCES, d, write_file(MERGED "/a/f"));
	refused(EACCES, d, create(MERGED "/a/new"));
	refused(EACCES, d, run(MERGED "/a/p", NULL));
	allowed(domain("exec " MERGED), run(MERGED "/a/p", NULL));
}

TEST_F(overlay, a_sentence_of_the_merged_tree_is_none_of_its_layers)
{
	struct krepis_domain *d = domain("read,write " MERGED);

	refused(EACCES, d, read_file(LOWER "/a/f"));
	refused(EACCES, d, read_file(UPPER "/both/up"));
	refused(EACCES, d, list(WORK));
}

TEST_F(overlay, a_sentence_of_a_layer_is_none_of_the_merged_tree)
{
	struct krepis_domain *d = domain("read,write " LOWER, "read,write " UPPER,
					 "read,write " WORK);

	allowed(d, read_file(LOWER "/a/f"));
	allowed(d, read_file(UPPER "/both/up"));
	refused(EACCES, d, read_file(MERGED "/a/f"));
	refused(EACCES, d, read_file(MERGED "/both/up"));
	refused(EACCES, d, write_file(MERGED "/both/up"));
	refused(EACCES, d, list(MERGED));
}

TEST_F(overlay, sentences_within_the_merged_tree_hold_for_their_part)
{
	struct krepis_domain *d = domain("read " MERGED "/a", "write " MERGED "/a/b",
					 "read " MERGED "/both/f", "deny read " MERGED "/a/b/c");

	allowed(d, read_file(MERGED "/a/f"));
	refused(EACCES, d, write_file(MERGED "/a/f"));
	allowed(d, write_file(MERGED "/a/b/f"));
	refused(EACCES, d, read_file(MERGED "/a/b/c/f"));
	allowed(d, read_file(MERGED "/both/f"));
	refused(EACCES, d, read_file(MERGED "/both/low"));
	refused(EACCES, d, list(MERGED "/both"));
}

TEST_F(overlay, to_copy_up_needs_no_right_of_the_layers)
{
	struct krepis_domain *d = domain("read,write " MERGED);

	ASSERT_FALSE(exists(UPPER "/a"));
	allowed(d, write_file(MERGED "/a/f"));
	EXPECT_TRUE(exists(UPPER "/a/f"));
	allowed(d, open_file(MERGED "/a/b/c/f", O_RDWR | O_TRUNC));
	EXPECT_TRUE(exists(UPPER "/a/b/c/f"));
	allowed(d, sys(chmod(MERGED "/x/f", 0600)));
	EXPECT_TRUE(exists(UPPER "/x/f"));
}

TEST_F(overlay, what_is_refused_copies_nothing_up)
{
	struct krepis_domain *d = domain("read " MERGED);

	refused(EACCES, d, open_file(MERGED "/a/f", O_WRONLY));
	refused(EACCES, d, open_file(MERGED "/a/f", O_RDONLY | O_TRUNC));
	refused(EACCES, d, sys(truncate(MERGED "/a/f", 0)));
	refused(EACCES, d, sys(chmod(MERGED "/a/f", 0600)));
	refused(EACCES, d, sys(rename(MERGED "/a/f", MERGED "/a/g")));
	refused(EACCES, d, sys(link(MERGED "/a/f", MERGED "/a/g")));
	EXPECT_FALSE(exists(UPPER "/a/g"));
}

TEST_F(overlay, a_copied_up_file_keeps_the_sentence_of_its_directory)
{
	struct krepis_domain *d = domain("read " MERGED "/a", "read " MERGED "/x/f");
	struct krepis_domain *no = domain("read " MERGED, "deny read " MERGED "/x");

	ASSERT_EQ(0, write_file(MERGED "/a/f"));
	ASSERT_EQ(0, write_file(MERGED "/x/y/f"));
	allowed(d, read_file(MERGED "/a/f"));
	allowed(d, list(MERGED "/a"));
	refused(EACCES, no, read_file(MERGED "/x/y/f"));
}

TEST_F(overlay, a_copied_up_file_keeps_its_own_sentence)
{
	struct krepis_domain *d = domain("read " MERGED "/a/f");
	struct krepis_domain *no = domain("read " MERGED, "deny read " MERGED "/a/f");

	allowed(d, read_file(MERGED "/a/f"));
	refused(EACCES, no, read_file(MERGED "/a/f"));
	ASSERT_EQ(0, write_file(MERGED "/a/f"));
	allowed(d, read_file(MERGED "/a/f"));
	refused(EACCES, no, read_file(MERGED "/a/f"));
	refused(EACCES, d, read_file(MERGED "/a/p"));
}

TEST_F(overlay, in_it_one_creates_removes_and_renames_by_its_own_rights)
{
	struct krepis_domain *d = domain("write " MERGED "/a", "write,read " MERGED "/x");

	allowed(d, create(MERGED "/a/new"));
	allowed(d, sys(mkdir(MERGED "/a/dir", 0755)));
	allowed(d, sys(unlink(MERGED "/a/f")));
	allowed(d, sys(rename(MERGED "/a/new", MERGED "/a/b/new")));
	refused(EXDEV, d, sys(rename(MERGED "/a/b/new", MERGED "/x/new")));
	allowed(d, sys(rename(MERGED "/x/f", MERGED "/a/f")));
	refused(EACCES, d, create(MERGED "/both/new"));
	refused(EACCES, d, sys(unlink(MERGED "/both/f")));
	refused(EACCES, d, create(UPPER "/a/new"));
}

TEST_F(overlay, its_memory_is_mapped_by_its_own_rights)
{
	struct krepis_domain *d = domain("read " MERGED);
	int fd = open(MERGED "/a/p", O_RDONLY);

	ASSERT_LE(0, fd);
	allowed(d, map(fd, PROT_READ));
	allowed(d, map(fd, PROT_READ | PROT_EXEC));
	refused(EACCES, domain("read " LOWER, "exec " LOWER), map(fd, PROT_READ | PROT_EXEC));
}

static int protect(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err;
	void *p;

	if (fd < 0)
		return -errno;
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return -errno;
	err = sys(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
	munmap(p, PAGE);
	return err;
}

TEST_F(overlay, its_mappings_are_made_executable_by_its_own_rights)
{
	struct krepis_domain *d = domain("read " MERGED, "deny exec " MERGED "/x");

	allowed(d, protect(MERGED "/a/p"));
	refused(EACCES, d, protect(MERGED "/x/p"));
	d = domain("read", "deny exec " MERGED "/x");
	allowed(d, protect(MERGED "/a/p"));
	refused(EACCES, d, protect(MERGED "/x/p"));
}

TEST_HARNESS_MAIN
