// SPDX-License-Identifier: MIT
/* What a sentence holds for: the object and all below it, and how several are one policy. */
#include "fixture.h"

/* -------------------------------------------------------------------- one sentence */

TEST_F(tree, without_a_sentence_nothing_is_allowed)
{
	struct krepis_domain *d = domain(NULL);

	refused(EACCES, d, read_file(A "/f"));
	refused(EACCES, d, write_file(A "/f"));
	refused(EACCES, d, list(A));
	refused(EACCES, d, create(A "/new"));
	refused(EACCES, d, run(A "/p", NULL));
	allowed(NULL, read_file(A "/f"));
	allowed(NULL, run(A "/p", NULL));
}

TEST_F(tree, without_an_object_a_sentence_is_meant_of_all)
{
	struct krepis_domain *d = domain("read");

	allowed(d, read_file(A "/f"));
	allowed(d, read_file(XY "/f"));
	allowed(d, list("/"));
	refused(EACCES, d, write_file(A "/f"));
	refused(EACCES, d, run(A "/p", NULL));
	allowed(domain("write"), create(XY "/new"));
	allowed(domain("exec"), run(XY "/p", NULL));
}

TEST_F(tree, of_the_root_a_sentence_is_meant_of_all)
{
	struct krepis_domain *d = domain("read /");

	allowed(d, read_file(ABC "/f"));
	allowed(d, list("/"));
	refused(EACCES, d, write_file(ABC "/f"));
}

TEST_F(tree, a_sentence_of_a_directory_holds_for_all_below)
{
	struct krepis_domain *d = domain("read " AB);

	allowed(d, list(AB));
	allowed(d, read_file(AB "/f"));
	allowed(d, list(ABC));
	allowed(d, read_file(ABC "/f"));
	refused(EACCES, d, list(A));
	refused(EACCES, d, list(TOP));
	refused(EACCES, d, read_file(A "/f"));
	refused(EACCES, d, read_file(XY "/f"));
}

TEST_F(tree, a_sentence_of_a_file_holds_for_it_alone)
{
	struct krepis_domain *d = domain("read " AB "/f");

	allowed(d, read_file(AB "/f"));
	refused(EACCES, d, read_file(AB "/p"));
	refused(EACCES, d, read_file(ABC "/f"));
	refused(EACCES, d, list(AB));
}

TEST_F(tree, each_word_allows_only_what_it_says)
{
	struct krepis_domain *r = domain("read " A), *w = domain("write " A);
	struct krepis_domain *e = domain("exec " A);

	allowed(r, read_file(A "/f"));
	refused(EACCES, r, write_file(A "/f"));
	refused(EACCES, r, create(A "/n"));
	refused(EACCES, r, run(A "/p", NULL));
	refused(EACCES, w, read_file(A "/f"));
	allowed(w, write_file(A "/f"));
	allowed(w, create(A "/n"));
	refused(EACCES, w, run(A "/p", NULL));
	refused(EACCES, e, read_file(A "/p"));
	refused(EACCES, e, write_file(A "/f"));
	refused(EACCES, e, create(A "/m"));
	allowed(e, run(A "/p", NULL));
}

TEST_F(tree, a_name_that_begins_alike_is_another_one)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, mkdir(TOP "/ab", 0755));
	ASSERT_EQ(0, put_file(TOP "/ab/f", "text"));
	ASSERT_EQ(0, put_file(A "/ff", "text"));
	d = domain("read " A);
	allowed(d, read_file(A "/f"));
	refused(EACCES, d, read_file(TOP "/ab/f"));
	d = domain("read " A "/f");
	allowed(d, read_file(A "/f"));
	refused(EACCES, d, read_file(A "/ff"));
}

TEST_F(tree, what_is_made_later_below_is_covered)
{
	struct krepis_domain *d = domain("read " A);

	ASSERT_EQ(0, mkdir(ABC "/new", 0755));
	ASSERT_EQ(0, put_file(ABC "/new/f", "text"));
	ASSERT_EQ(0, put_file(X "/new", "text"));
	allowed(d, list(ABC "/new"));
	allowed(d, read_file(ABC "/new/f"));
	refused(EACCES, d, read_file(X "/new"));
}

TEST_F(tree, dots_lead_out_of_what_is_allowed)
{
	struct krepis_domain *d = domain("read " AB);

	allowed(d, read_file(AB "/../b/c/../f"));
	allowed(d, read_file(X "/../a/b/f"));
	refused(EACCES, d, read_file(AB "/../f"));
	refused(EACCES, d, list(AB "/.."));
	refused(EACCES, d, read_file(AB "/c/../../f"));
}

/* ---------------------------------------------------------------- several sentences */

TEST_F(tree, sentences_on_the_way_add_up)
{
	struct krepis_domain *d = domain("read " A, "write " AB, "exec " ABC);

	allowed(d, read_file(A "/f"));
	refused(EACCES, d, write_file(A "/f"));
	allowed(d, read_file(AB "/f"));
	allowed(d, write_file(AB "/f"));
	allowed(d, open_file(AB "/f", O_RDWR));
	refused(EACCES, d, run(AB "/p", NULL));
	allowed(d, open_file(ABC "/f", O_RDWR));
	allowed(d, run(ABC "/p", NULL));
}

TEST_F(tree, a_sentence_further_down_takes_nothing_away)
{
	struct krepis_domain *d = domain("read,write " A, "read " AB, "exec " AB "/f");

	allowed(d, open_file(AB "/f", O_RDWR));
	allowed(d, create(ABC "/new"));
	allowed(domain("write " A, "read " AB), create(AB "/new"));
}

TEST_F(tree, what_two_directories_allow_is_not_mixed)
{
	struct krepis_domain *d = domain("read " A, "write " X);

	allowed(d, read_file(ABC "/f"));
	refused(EACCES, d, write_file(ABC "/f"));
	allowed(d, write_file(XY "/f"));
	refused(EACCES, d, read_file(XY "/f"));
	refused(EACCES, d, open_file(XY "/f", O_RDWR));
}

TEST_F(tree, both_rights_are_needed_to_read_and_write)
{
	refused(EACCES, domain("read " A), open_file(A "/f", O_RDWR));
	refused(EACCES, domain("write " A), open_file(A "/f", O_RDWR));
	allowed(domain("read,write " A), open_file(A "/f", O_RDWR));
}

TEST_F(tree, domains_do_not_share_sentences)
{
	struct krepis_domain *d = domain("read " A), *other = domain("read " X);

	allowed(d, read_file(A "/f"));
	refused(EACCES, other, read_file(A "/f"));
	allowed(other, read_file(X "/f"));
	refused(EACCES, d, read_file(X "/f"));
}

TEST_F(tree, many_sentences_hold_each_for_its_own)
{
	static char names[300][64];
	const char *sentences[301] = { NULL };
	struct krepis_domain *d;
	unsigned int i;

	for (i = 0; i < 300; i++) {
		snprintf(names[i], sizeof(names[i]), "read " EMPTY "/%u", i);
		ASSERT_EQ(0, put_file(names[i] + strlen("read "), "text"));
		sentences[i / 2] = names[i & ~1U];
	}
	d = domain_make(sentences, 0);
	ASSERT_TRUE(d)
		TH_LOG("%s", krepis_sandbox_error());
	allowed(d, read_file(EMPTY "/0"));
	refused(EACCES, d, read_file(EMPTY "/1"));
	allowed(d, read_file(EMPTY "/298"));
	refused(EACCES, d, read_file(EMPTY "/299"));
}

/* --------------------------------------------------------------------------- depth */

/* Makes @levels directories below the current one and goes to the last. */
static int dive(unsigned int levels)
{
	int err = 0;

	while (levels-- && !err)
		err = mkdir("d", 0755) || chdir("d");
	return err ? -errno : put_file("f", "text");
}

TEST_F(tree, what_is_too_deep_to_be_looked_at_is_denied)
{
	struct krepis_domain *d = domain("read " A);

	ASSERT_EQ(0, chdir(A));
	ASSERT_EQ(0, dive(200));
	allowed(d, read_file("f"));
	ASSERT_EQ(0, dive(100));
	allowed(NULL, read_file("f"));
	refused(EACCES, d, read_file("f"));
}

TEST_F(tree, what_is_too_deep_to_be_looked_at_is_denied_beside_a_deny)
{
	struct krepis_domain *d = domain("read " A, "deny read " X);

	ASSERT_EQ(0, chdir(A));
	ASSERT_EQ(0, dive(200));
	allowed(d, read_file("f"));
	ASSERT_EQ(0, dive(100));
	refused(EACCES, d, read_file("f"));
}

/* ------------------------------------------------------------------------- objects */

TEST_F(tree, an_object_that_is_not_there_makes_no_domain)
{
	const char *const sentences[] = { "read " A "/none", NULL };
	struct krepis_domain *d;

	ASSERT_FALSE(exists(A "/none"));
	EXPECT_EQ(-ENOENT, krepis_domain_create("test-none", policy_make(sentences), 0, &d));
	EXPECT_EQ(-ENOENT, krepis_domain_open("test-none", &d));
	ASSERT_EQ(0, put_file(A "/none", "text"));
	ASSERT_EQ(0, krepis_domain_create("test-none", policy_make(sentences), 0, &d));
	EXPECT_EQ(0, krepis_domain_remove(d));
	krepis_domain_close(d);
}

TEST_F(tree, a_link_as_object_means_what_it_leads_to)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, symlink(AB, EMPTY "/link"));
	d = domain("read " EMPTY "/link");
	allowed(d, read_file(AB "/f"));
	allowed(d, read_file(EMPTY "/link/f"));
	ASSERT_EQ(0, unlink(EMPTY "/link"));
	ASSERT_EQ(0, symlink(XY, EMPTY "/link"));
	refused(EACCES, d, read_file(EMPTY "/link/f"));
	allowed(d, read_file(AB "/f"));
}

TEST_F(tree, a_relative_object_is_meant_from_where_one_is)
{
	struct krepis_policy *p;
	struct krepis_domain *d;

	ASSERT_EQ(0, chdir(A));
	p = policy("read b");
	ASSERT_EQ(0, chdir("/"));
	ASSERT_EQ(0, krepis_domain_create("test-relative", p, 0, &d));
	allowed(d, read_file(AB "/f"));
	refused(EACCES, d, read_file(A "/f"));
	EXPECT_EQ(0, krepis_domain_remove(d));
	krepis_domain_close(d);
}

TEST_F(tree, a_file_that_is_moved_takes_its_sentence_with_it)
{
	struct krepis_domain *d = domain("read " A "/f");

	ASSERT_EQ(0, rename(A "/f", X "/moved"));
	ASSERT_EQ(0, put_file(A "/f", "new"));
	allowed(d, read_file(X "/moved"));
	refused(EACCES, d, read_file(A "/f"));
}

TEST_F(tree, a_directory_that_is_moved_takes_its_sentence_with_it)
{
	struct krepis_domain *d = domain("read " AB, "write " X);

	ASSERT_EQ(0, rename(AB, X "/b"));
	allowed(d, read_file(X "/b/c/f"));
	allowed(d, write_file(X "/b/c/f"));
	refused(EACCES, d, read_file(X "/f"));
	refused(EACCES, d, read_file(A "/f"));
}

/* ------------------------------------------------------------------- file systems */

FIXTURE(kinds)
{
};

FIXTURE_VARIANT(kinds)
{
	const char *type;
};

FIXTURE_VARIANT_ADD(kinds, tmpfs) { .type = "tmpfs" };
FIXTURE_VARIANT_ADD(kinds, ramfs) { .type = "ramfs" };
FIXTURE_VARIANT_ADD(kinds, ext4) { .type = "ext4" };

FIXTURE_SETUP(kinds)
{
	ASSERT_EQ(0, tree_make(variant->type));
}

FIXTURE_TEARDOWN(kinds)
{
	tree_end();
}

TEST_F(kinds, on_this_file_system_sentences_hold)
{
	struct krepis_domain *d = domain("read " A, "write,exec " AB, "read " X "/f",
					 "deny read " ABC);

	allowed(d, read_file(A "/f"));
	refused(EACCES, d, write_file(A "/f"));
	allowed(d, open_file(AB "/f", O_RDWR));
	allowed(d, run(AB "/p", NULL));
	refused(EACCES, d, run(A "/p", NULL));
	refused(EACCES, d, read_file(ABC "/f"));
	allowed(d, write_file(ABC "/f"));
	allowed(d, read_file(X "/f"));
	refused(EACCES, d, read_file(X "/p"));
	allowed(d, create(AB "/new"));
	refused(EACCES, d, create(A "/new"));
	allowed(d, sys(unlink(AB "/new")));
}

/* What has no files of its own on a disk: the name, and one that is not allowed. */
static const struct {
	const char *allow, *file, *other;
} system_files[] = {
	{ "read /proc/sys/kernel", "/proc/sys/kernel/ostype", "/proc/version" },
	{ "read /proc/version", "/proc/version", "/proc/uptime" },
	{ "read /sys/kernel", "/sys/kernel/notes", "/sys/power/state" },
	{ "read /sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/cgroup.procs",
	  "/sys/fs/cgroup/cgroup.controllers" },
	{ "read /dev/null", "/dev/null", "/dev/zero" },
	{ "read /dev", "/dev/zero", "/proc/version" },
};

TEST_F(tree, on_the_systems_own_file_systems_sentences_hold)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(system_files); i++) {
		struct krepis_domain *d = domain(system_files[i].allow);

		ASSERT_TRUE(exists(system_files[i].other))
			TH_LOG("%s", system_files[i].other);
		allowed(d, open_file(system_files[i].file, O_RDONLY));
		refused(EACCES, d, open_file(system_files[i].other, O_RDONLY));
	}
}

TEST_HARNESS_MAIN
