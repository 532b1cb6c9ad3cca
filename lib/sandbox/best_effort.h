/* SPDX-License-Identifier: MIT */
/*
 * What can be done without the programs in the kernel, between its files.
 *
 *	best_effort.c	what the policy says, and what of it cannot be kept
 *	places.c	where a file is to be found: the mounts
 *	landlock.c	files, TCP ports, signals and abstract names
 *	seccomp.c	everything that can only be forbidden as a whole
 */
#ifndef _KREPIS_SANDBOX_BEST_EFFORT_H
#define _KREPIS_SANDBOX_BEST_EFFORT_H

#include <sys/types.h>
#include "policy.h"

/* The first version of Landlock's interface that has something. */
#define ABI_REFER	2
#define ABI_TRUNCATE	3
#define ABI_NET		4
#define ABI_IOCTL	5
#define ABI_SCOPE	6

/**
 * struct effort_path - a sentence about files
 * @object:  what it names; NULL: all, which is "/"
 * @fd:	     of O_PATH
 * @places:  absolute names of the file, through each mount that shows it; the last is NULL
 * @rights:  of a channel: those that are left
 * @beaten:  it allows, but another one denies all of it
 */
struct effort_path {
	enum krepis_what what;
	bool allow;
	bool beaten;
	bool is_dir;
	char *object;
	int fd;
	char **places;
	uint32_t rights;
};

/* struct effort_net - a sentence about addresses; @all: connect and bind, any */
struct effort_net {
	bool allow;
	bool beaten;
	bool all;
	char *object;
	struct policy_net net;
};

/**
 * struct effort - a policy, and what is to be made of it
 * @abi:	 of Landlock
 * @allowed:	 some sentence allows something of it, and none denies all of that
 * @whole:	 all of it is allowed, and nothing denied
 * @abstract:	 connecting to some abstract name of a UNIX socket is allowed
 * @caps:	 capabilities that are allowed, 1ULL << CAP_...
 * @sys:	 SANDBOX_SYS_*
 */
struct effort {
	int abi;
	struct effort_path *paths;
	size_t path_count;
	struct effort_net *nets;
	size_t net_count;
	bool allowed[KREPIS_WHATS];
	bool whole[KREPIS_WHATS];
	bool abstract;
	uint64_t caps;
	uint32_t sys;
	struct effort_mounts *mounts;
	void (*f)(void *arg, const char *line);
	void *arg;
};

/* Tells what is not enforced. */
void krepis_effort_tell(const struct effort *effort, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The mounts of this process, to be released. Return: 0 or -errno. */
int krepis_effort_mounts(struct effort_mounts **out);
void krepis_effort_mounts_free(struct effort_mounts *mounts);
/* All names of the file @fd, to be released with krepis_effort_places_free(). */
int krepis_effort_places(const struct effort_mounts *mounts, int fd, char ***out);
void krepis_effort_places_free(char **places);
/* Whether a place of @inner is one of @outer, or lies below. */
bool krepis_effort_within(char *const *inner, char *const *outer);
/* The places of all mounts of the krepis file system, one after the other; NULL: no more. */
const char *krepis_effort_krepis(const struct effort_mounts *mounts, size_t *next);

/* The version of Landlock, or -EOPNOTSUPP. */
int krepis_landlock_abi(void);
/* Prepares what krepis_landlock_enter() puts into force. Return: a descriptor, or -errno. */
int krepis_landlock_prepare(const struct effort *effort);
int krepis_landlock_enter(int ruleset);

/* Whether any port is allowed, to bind to or to connect to. */
bool krepis_effort_any_port(const struct effort *effort, bool bind);

int krepis_seccomp_enter(const struct effort *effort);

#endif /* _KREPIS_SANDBOX_BEST_EFFORT_H */
