/* SPDX-License-Identifier: MIT */
/*
 * libkrepis-sandbox, from inside.
 *
 *	sandbox.c	the programs: loaded, pinned, found again
 *	domain.c	domains: made, entered, changed, ended
 *	text.c		the policy of a domain, as it was written
 *	compile.c	a policy, as the kernel wants it
 *	policy.c	a policy, as people write it
 *	audit.c		what was denied, in words
 *	best_effort.c	without the programs: landlock.c, seccomp.c, places.c
 */
#ifndef KREPIS_SANDBOX_INTERNAL_H
#define KREPIS_SANDBOX_INTERNAL_H

#include <krepis/sandbox.h>
#include <sandbox.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Says in words why a function fails. Return: -@err */
int sandbox_fail(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A descriptor of the pinned map or program @name, or an error. The programs are there. */
int sandbox_object(const char *name);

/* Nobody else makes, changes or ends a domain meanwhile. Return: a descriptor to close, or an error */
int sandbox_lock(void);

/* The text of the policy of the domain in @slot. Who has the lock changes it. @out: to be freed */
int sandbox_put_text(__u32 slot, const char *text);
int sandbox_get_text(__u32 slot, char **out);
void sandbox_drop_text(__u32 slot);

/**
 * struct sandbox_compiled - a policy, as the kernel wants it
 * @rules:	descriptors of maps that are in force nowhere yet
 */
struct sandbox_compiled {
	int rules, addresses, names;
	__u32 sys;
	__u64 caps;
};

/* On failure there is nothing to close. */
int sandbox_compile(const struct krepis_policy *policy, struct sandbox_compiled *out);
void sandbox_compiled_close(struct sandbox_compiled *compiled);

#endif /* KREPIS_SANDBOX_INTERNAL_H */
