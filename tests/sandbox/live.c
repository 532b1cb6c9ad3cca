// SPDX-License-Identifier: MIT
/* A domain while somebody is in it: its policy is replaced, it ends, or only complains. */
#include "fixture.h"
#include "../../bpf/sandbox.h"

/* -------------------------------------------------------------------- another policy */

TEST_F(tree, another_policy_holds_from_the_next_open_on)
{
	struct krepis_domain *d = domain("read " A);
	struct inmate i;

	ASSERT_EQ(0, inmate_start(&i, d));
	EXPECT_EQ(0, inmate_do(&i, read_file, A "/f"));
	EXPECT_EQ(-EACCES, inmate_do(&i, read_file, X "/f"));
	EXPECT_EQ(-EACCES, inmate_do(&i, write_file, A "/f"));
	ASSERT_EQ(0, krepis_domain_set(d, policy("read " X, "write " A)));
	EXPECT_EQ(-EACCES, inmate_do(&i, read_file, A "/f"));
	EXPECT_EQ(0, inmate_do(&i, read_file, X "/f"));
	EXPECT_EQ(0, inmate_do(&i, write_file, A "/f"));
	ASSERT_EQ(0, krepis_domain_set(d, policy(NULL)));
	EXPECT_EQ(-EACCES, inmate_do(&i, read_file, X "/f"));
	EXPECT_EQ(-EACCES, inmate_do(&i, create, A "/new"));
	ASSERT_EQ(0, krepis_domain_set(d, policy("read", "write")));
	EXPECT_EQ(0, inmate_do(&i, read_file, X "/f"));
	EXPECT_EQ(0, inmate_do(&i, create, A "/new"));
	inmate_end(&i);
}

static int held = -1;

static int hold(const char *path)
{
	held = open(path, O_RDWR | O_CLOEXEC);
	return held < 0 ? -errno : 0;
}

static int use_held(const char *path)
{
	char byte;

	return pread(held, &byte, 1, 0) == 1 && pwrite(held, &byte, 1, 0) == 1 ? 0 : -errno;
}

static int open_held(const char *path)
{
	return open_again(held, O_RDONLY);
}

TEST_F(tree, what_is_open_stays_open_when_the_policy_forbids_it)
{
	struct krepis_domain *d = domain("read,write " A);
	struct inmate i;

	ASSERT_EQ(0, inmate_start(&i, d));
	ASSERT_EQ(0, inmate_do(&i, hold, A "/f"));
	ASSERT_EQ(0, krepis_domain_set(d, policy(NULL)));
	EXPECT_EQ(0, inmate_do(&i, use_held, NULL));
	EXPECT_EQ(-EACCES, inmate_do(&i, open_held, NULL));
	EXPECT_EQ(-EACCES, inmate_do(&i, hold, A "/f"));
	inmate_end(&i);
}

TEST_F(tree, a_deny_comes_and_goes)
{
	struct krepis_domain *d = domain("read " TOP);
	struct inmate i;

	ASSERT_EQ(0, inmate_start(&i, d));
	EXPECT_EQ(0, inmate_do(&i, read_file, ABC "/f"));
	ASSERT_EQ(0, krepis_domain_set(d, policy("read " TOP, "deny read " AB)));
	EXPECT_EQ(-EACCES, inmate_do(&i, read_file, ABC "/f"));
	EXPECT_EQ(0, inmate_do(&i, read_file, A "/f"));
	ASSERT_EQ(0, krepis_domain_set(d, policy("read " TOP)));
	EXPECT_EQ(0, inmate_do(&i, read_file, ABC "/f"));
	inmate_end(&i);
}

TEST_F(tree, a_policy_that_cannot_be_put_into_force_changes_nothing)
{
	struct krepis_domain *d = domain("read " A);
	struct krepis_policy *in_force;
	char *before, *after;

	ASSERT_EQ(0, krepis_domain_policy(d, &in_force));
	ASSERT_EQ(0, krepis_policy_format(in_force, &before));
	krepis_policy_destroy(in_force);
	EXPECT_EQ(-ENOENT, krepis_domain_set(d, policy("read " X, "read " A "/none")));
	allowed(d, read_file(A "/f"));
	refused(EACCES, d, read_file(X "/f"));
	ASSERT_EQ(0, krepis_domain_policy(d, &in_force));
	ASSERT_EQ(0, krepis_policy_format(in_force, &after));
	krepis_policy_destroy(in_force);
	EXPECT_STREQ(before, after);
	free(before);
	free(after);
	ASSERT_EQ(0, put_file(A "/none", "text"));
	EXPECT_EQ(0, krepis_domain_set(d, policy("read " X, "read " A "/none")));
	allowed(d, read_file(X "/f"));
}

TEST_F(tree, a_path_is_looked_up_anew_with_another_policy)
{
	struct krepis_domain *d = domain("read " A "/f");

	ASSERT_EQ(0, rename(A "/f", A "/old"));
	ASSERT_EQ(0, put_file(A "/f", "new"));
	allowed(d, read_file(A "/old"));
	refused(EACCES, d, read_file(A "/f"));
	ASSERT_EQ(0, krepis_domain_set(d, policy("read " A "/f")));
	refused(EACCES, d, read_file(A "/old"));
	allowed(d, read_file(A "/f"));
}

TEST_F(tree, another_policy_is_of_one_domain)
{
	struct krepis_domain *d = domain("read " A), *other = domain("read " A);

	ASSERT_EQ(0, krepis_domain_set(d, policy("read " X)));
	refused(EACCES, d, read_file(A "/f"));
	allowed(other, read_file(A "/f"));
	refused(EACCES, other, read_file(X "/f"));
}

/* --------------------------------------------------------------------------- the end */

TEST_F(tree, in_a_removed_domain_nothing_is_allowed)
{
	struct krepis_domain *d = domain("read", "write", "exec"), *again;
	struct krepis_domain_info info;
	struct inmate i;

	ASSERT_EQ(0, inmate_start(&i, d));
	EXPECT_EQ(0, inmate_do(&i, read_file, A "/f"));
	ASSERT_EQ(0, krepis_domain_query(d, &info));
	ASSERT_EQ(0, krepis_domain_remove(d));
	EXPECT_EQ(-EACCES, inmate_do(&i, read_file, A "/f"));
	EXPECT_EQ(-EACCES, inmate_do(&i, write_file, A "/f"));
	EXPECT_EQ(-EACCES, inmate_do(&i, create, A "/new"));
	EXPECT_EQ(-EACCES, inmate_do(&i, list, "/"));
	EXPECT_EQ(-ENOENT, krepis_domain_remove(d));
	EXPECT_EQ(-ENOENT, krepis_domain_open(info.name, &again));
	EXPECT_EQ(-ENOENT, krepis_domain_set(d, policy("read")));
	EXPECT_EQ(-EACCES, inmate_do(&i, read_file, A "/f"));
	inmate_end(&i);
}

TEST_F(tree, who_is_in_a_removed_domain_is_not_in_the_next_one)
{
	struct krepis_domain *d = domain("read"), *next;
	struct krepis_domain_info before, info;
	struct inmate i;
	int n;

	ASSERT_EQ(0, inmate_start(&i, d));
	ASSERT_EQ(0, krepis_domain_query(d, &before));
	ASSERT_EQ(0, krepis_domain_remove(d));
	for (n = 0; n < 3; n++) {
		next = domain("read", "write");
		allowed(next, read_file(A "/f"));
		EXPECT_EQ(-EACCES, inmate_do(&i, read_file, A "/f"));
		ASSERT_EQ(0, krepis_domain_query(next, &info));
		EXPECT_NE(before.id, info.id);
		/* It has the place of the first, or the test would show nothing. */
		EXPECT_TRUE(n || sandbox_slot(before.id) == sandbox_slot(info.id));
	}
	inmate_end(&i);
}

static int make_child(const char *path)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? -errno : reap(pid);
}

TEST_F(tree, in_a_removed_domain_no_process_is_made)
{
	struct krepis_domain *d = domain("read");
	struct inmate i;

	ASSERT_EQ(0, inmate_start(&i, d));
	EXPECT_EQ(0, inmate_do(&i, make_child, NULL));
	ASSERT_EQ(0, krepis_domain_remove(d));
	EXPECT_EQ(-ENOMEM, inmate_do(&i, make_child, NULL));
	inmate_end(&i);
}

static int enter_again(struct krepis_domain *d)
{
	return krepis_domain_enter(d);
}

TEST_F(tree, a_removed_domain_is_not_entered)
{
	struct krepis_domain *d = domain("read"), *gone = domain("read");

	ASSERT_EQ(0, krepis_domain_remove(gone));
	EXPECT_EQ(-ENOENT, in_domain(NULL, enter_again(gone)));
	allowed(NULL, enter_again(d));
}

TEST_F(tree, who_is_in_a_domain_enters_no_other_one)
{
	struct krepis_domain *d = domain("read", "sys"), *other;

	other = domain("read", "write");

	EXPECT_GT(0, in_domain(d, enter_again(other)));
	EXPECT_GT(0, in_domain(d, enter_again(d)));
	EXPECT_GT(0, in_domain(d, (enter_again(other), write_file(A "/f"))));
	allowed(NULL, enter_again(other));
}

static int change_own(struct krepis_domain *d, struct krepis_policy *p)
{
	krepis_domain_set(d, p);
	return write_file(A "/f");
}

static int remove_own(struct krepis_domain *d)
{
	krepis_domain_remove(d);
	return read_file(A "/f");
}

TEST_F(tree, nobody_in_a_domain_changes_it)
{
	struct krepis_domain *d = domain("read", "write /sys/fs/bpf");
	struct krepis_domain_info info;

	refused(EACCES, d, change_own(d, policy("read,write")));
	refused(EACCES, d, write_file(A "/f"));
	allowed(d, remove_own(d));
	EXPECT_EQ(0, krepis_domain_query(d, &info));
	allowed(d, read_file(A "/f"));
}

/* Whether the memory of a map of BPF's is there to be written. */
static int has_writable_maps(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[512];
	int found = 0;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		found += strstr(line, "bpf") && strchr(line, 'w') && strstr(line, "w-s");
	fclose(f);
	return found ? -EEXIST : 0;
}

TEST_F(tree, who_entered_has_no_memory_of_the_domains_to_write)
{
	/* The object that he entered by is his, and has it. */
	allowed(domain("read"), has_writable_maps("/proc/self/maps"));
}

TEST_F(tree, nobody_in_a_domain_changes_what_it_is_pinned_by)
{
	struct krepis_domain *all = domain("read,write");

	EXPECT_GT(0, in_domain(all, sys(unlink("/sys/fs/bpf/krepis/enter"))));
	EXPECT_GT(0, in_domain(all, sys(rename("/sys/fs/bpf/krepis", "/sys/fs/bpf/gone"))));
	EXPECT_EQ(0, access("/sys/fs/bpf/krepis", F_OK));
}

/* ------------------------------------------------------------------------ complaining */

struct told {
	unsigned int denials, allowed;
	char what[32], object[256];
};

static void note(void *arg, const struct krepis_denial *denial)
{
	struct told *t = arg;

	t->denials++;
	t->allowed += denial->allowed;
	snprintf(t->what, sizeof(t->what), "%s", denial->what);
	snprintf(t->object, sizeof(t->object), "%s", denial->object);
}

TEST_F(tree, complaining_allows_and_tells)
{
	struct krepis_domain *d = domain_with(KREPIS_DOMAIN_COMPLAIN, "read " A);
	struct krepis_audit *audit;
	struct krepis_domain_info info;
	struct told t = { 0 };

	ASSERT_EQ(0, krepis_audit_open(d, note, &t, &audit));
	allowed(d, read_file(A "/f"));
	krepis_audit_read(audit);
	EXPECT_EQ(0, t.denials)
		TH_LOG("%s %s", t.what, t.object);
	allowed(d, read_file(X "/f"));
	EXPECT_EQ(1, krepis_audit_read(audit));
	EXPECT_EQ(1, t.denials);
	EXPECT_EQ(1, t.allowed);
	EXPECT_STREQ("read", t.what);
	EXPECT_STREQ(X "/f", t.object);
	allowed(d, write_file(A "/f"));
	allowed(d, create(X "/new"));
	allowed(d, sys(unlink(X "/new")));
	allowed(d, run(X "/p", NULL));
	EXPECT_LT(3, krepis_audit_read(audit));
	EXPECT_EQ(t.denials, t.allowed);
	ASSERT_EQ(0, krepis_domain_query(d, &info));
	EXPECT_EQ(t.denials, info.denials);
	EXPECT_EQ(KREPIS_DOMAIN_COMPLAIN, info.complain);
	krepis_audit_close(audit);
}

TEST_F(tree, complaining_allows_what_is_denied_too)
{
	struct krepis_domain *d = domain_with(KREPIS_DOMAIN_COMPLAIN, "read", "deny read " A);
	struct krepis_domain *strict = domain("read", "deny read " A);

	allowed(d, read_file(A "/f"));
	refused(EACCES, strict, read_file(A "/f"));
	allowed(d, sys(rename(A "/f", X "/g")));
}

TEST_F(tree, a_refusal_is_told_with_its_object)
{
	struct krepis_domain *d = domain("read " A);
	struct krepis_audit *audit;
	struct krepis_domain_info info;
	struct told t = { 0 };

	ASSERT_EQ(0, krepis_audit_open(d, note, &t, &audit));
	refused(EACCES, d, write_file(XY "/f"));
	EXPECT_EQ(1, krepis_audit_read(audit));
	EXPECT_EQ(0, t.allowed);
	EXPECT_STREQ("write", t.what);
	EXPECT_STREQ(XY "/f", t.object);
	refused(EACCES, d, sys(mkdir(X "/dir", 0755)));
	EXPECT_EQ(1, krepis_audit_read(audit));
	ASSERT_EQ(0, krepis_domain_query(d, &info));
	EXPECT_EQ(2, info.denials);
	EXPECT_EQ(0, info.lost);
	krepis_audit_close(audit);
}

TEST_HARNESS_MAIN
