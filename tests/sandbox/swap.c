// SPDX-License-Identifier: MIT
/*
 * Two policies replace each other, again and again, while processes open files: never is
 * allowed what neither of the two allows, never refused what both of them allow.
 *
 * KREPIS_SWAPS is how often (1000).
 */
#include <sys/mman.h>
#include "fixture.h"

#define OPENERS	4

/* What an opener saw. */
struct seen {
	unsigned long opens, leaks, losses, allowed, refused;
};

/* A file, and by which of the two policies it is read. */
static const struct {
	const char *path;
	bool first, second;
} files[] = {
	{ A "/f", true, true },
	{ AB "/f", true, false },
	{ ABC "/f", false, true },
	{ X "/f", false, false },
	{ XY "/f", true, true },
	{ "/proc/version", false, false },
};

static const char *const first[] = { "read " A, "read " XY, "deny read " ABC, NULL };
static const char *const second[] = { "read " A "/f", "read " ABC, "read " XY "/f", NULL };

static void look(struct seen *seen, unsigned int i)
{
	int result = open_file(files[i].path, O_RDONLY);
	bool either = files[i].first || files[i].second;
	bool both = files[i].first && files[i].second;

	seen->opens++;
	if (result && result != -EACCES)
		seen->losses++;
	if (!result && !either)
		seen->leaks++;
	if (result && both)
		seen->losses++;
	if (either && !both)
		*(result ? &seen->refused : &seen->allowed) += 1;
}

static void __attribute__((noreturn)) open_for_ever(struct krepis_domain *d, struct seen *seen,
						    volatile bool *stop)
{
	unsigned int i = 0;

	enter(d);
	while (!*stop)
		look(seen, i++ % ARRAY_SIZE(files));
	_exit(0);
}

TEST_F_TIMEOUT(tree, while_policies_are_swapped_no_open_sees_another_one, 3000)
{
	struct krepis_policy *policies[] = { policy_make(first), policy_make(second) };
	struct krepis_domain *d = domain_make(first, 0);
	int swaps = number_of("KREPIS_SWAPS", 1000), i, failed = 0;
	struct seen *seen = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	volatile bool *stop = (bool *)seen + PAGE - 1;
	pid_t pid[OPENERS];

	ASSERT_TRUE(d && policies[0] && policies[1])
		TH_LOG("%s", krepis_sandbox_error());
	for (i = 0; i < OPENERS; i++) {
		pid[i] = child();
		if (!pid[i])
			open_for_ever(d, &seen[i], stop);
	}
	for (i = 0; i < swaps; i++)
		failed += krepis_domain_set(d, policies[(i + 1) % 2]) != 0;
	*stop = true;
	EXPECT_EQ(0, failed);
	for (i = 0; i < OPENERS; i++) {
		EXPECT_EQ(0, reap(pid[i]));
		EXPECT_EQ(0, seen[i].leaks);
		EXPECT_EQ(0, seen[i].losses);
		/* It was in between, not before or after. */
		EXPECT_LT(0, seen[i].allowed);
		EXPECT_LT(0, seen[i].refused);
		TH_LOG("%lu opens, %lu allowed and %lu refused by one of the two", seen[i].opens,
		       seen[i].allowed, seen[i].refused);
	}
}

/* Policies that allow all of all by their heads, and others that do by rules alone. */
static const char *const all[] = { "read", NULL };
static const char *const some[] = { "read " A, "read " XY, NULL };
static const char *const but[] = { "read", "deny read " X, NULL };

static const struct {
	const char *name;
	const char *const *one, *const *other;
	const char *always, *never;
} pairs[] = {
	{ "all and some", all, some, A "/f", NULL },
	{ "all and all but one", all, but, AB "/f", NULL },
	{ "some and all but one", some, but, AB "/f", X "/f" },
};

struct pair_seen {
	unsigned long opens, leaks, losses;
};

TEST_F_TIMEOUT(tree, while_all_is_swapped_with_some_no_open_sees_less_or_more, 3000)
{
	int swaps = number_of("KREPIS_SWAPS", 1000) / 10, n;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(pairs); i++) {
		struct krepis_policy *p[] = { policy_make(pairs[i].one),
					      policy_make(pairs[i].other) };
		struct krepis_domain *d = domain_make(pairs[i].one, 0);
		struct pair_seen *seen = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
					      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		volatile bool *stop = (bool *)seen + PAGE - 1;
		pid_t pid;

		ASSERT_TRUE(d && p[0] && p[1]);
		pid = child();
		if (!pid) {
			enter(d);
			for (; !*stop; seen->opens++) {
				seen->losses += open_file(pairs[i].always, O_RDONLY) != 0;
				if (pairs[i].never)
					seen->leaks +=
						open_file(pairs[i].never, O_RDONLY) != -EACCES;
			}
			_exit(0);
		}
		for (n = 0; n < swaps; n++)
			ASSERT_EQ(0, krepis_domain_set(d, p[(n + 1) % 2]));
		*stop = true;
		EXPECT_EQ(0, reap(pid));
		EXPECT_LT(0, seen->opens);
		EXPECT_EQ(0, seen->losses)
			TH_LOG("%s: %lu of %lu", pairs[i].name, seen->losses, seen->opens);
		EXPECT_EQ(0, seen->leaks)
			TH_LOG("%s: %lu of %lu", pairs[i].name, seen->leaks, seen->opens);
	}
}

TEST_HARNESS_MAIN
