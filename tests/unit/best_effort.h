/* SPDX-License-Identifier: MIT */
/*
 * For tests of krepis_best_effort_enter(): a child makes a policy, enters, and tries.
 *
 * Everything is of the child alone: what it was told is forgotten with it.
 */
#ifndef KREPIS_TEST_BEST_EFFORT_H
#define KREPIS_TEST_BEST_EFFORT_H

#include <krepis/sandbox.h>
#include <linux/landlock.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "helpers.h"

/* Tries in the child: succeeds, or fails with this. */
#define must_fail(call, err)                                                     \
	do {                                                                     \
		errno = 0;                                                       \
		if ((long)(call) != -1 || errno != (err)) {                      \
			fprintf(stderr, "# errno %d\n", errno);                  \
			give_up(__FILE__, __LINE__, #call " fails with " #err); \
		}                                                                \
	} while (0)

/* Of Landlock, as the kernel has it; below 1: none. */
static inline long landlock_abi(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static struct krepis_policy *policy;
static char told_lines[1 << 16];

static inline void note(void *arg, const char *line)
{
	size_t len = strlen(told_lines);

	must(arg == &policy && *line && !strchr(line, '\n'));
	snprintf(told_lines + len, sizeof(told_lines) - len, "%s\n", line);
}

static inline void add(bool allow, enum krepis_what what, const char *object)
{
	if (!policy)
		must(!krepis_policy_create(&policy));
	must(!krepis_policy_add(policy, allow, what, object));
}

static inline void allow(enum krepis_what what, const char *object)
{
	add(true, what, object);
}

static inline void deny(enum krepis_what what, const char *object)
{
	add(false, what, object);
}

static inline int try_to_enter(void)
{
	if (!policy)
		must(!krepis_policy_create(&policy));
	return krepis_best_effort_enter(policy, note, &policy);
}

static inline void enter(void)
{
	int err = try_to_enter();

	if (err)
		fprintf(stderr, "# %s\n", krepis_sandbox_error());
	must(!err);
}

/* Whether a line was told that has both in it. */
static inline bool told(const char *one, const char *other)
{
	const char *line = told_lines, *end;

	for (; (end = strchr(line, '\n')); line = end + 1) {
		const char *a = strstr(line, one), *b = strstr(line, other);

		if (a && a < end && b && b < end)
			return true;
	}
	return false;
}

/* Runs @body in a child; skips the test where that says nothing. */
static inline void in_child(void (*body)(void *arg))
{
	if (landlock_abi() < 1) {
		printf("# this kernel has no Landlock\n");
		skip();
	}
	if (under_valgrind()) {
		printf("# Valgrind makes the system calls of the program, and does not know all\n");
		skip();
	}
	join_child(spawn(body, NULL));
}

#endif /* KREPIS_TEST_BEST_EFFORT_H */
