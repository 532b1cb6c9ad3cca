/* SPDX-License-Identifier: MIT */
/*
 * What the tests of the sandbox share: domains made of sentences, calls tried in them,
 * a process that stays in one, and a tree of files to try them on.
 *
 * A function that can be refused returns 0 or what the system call did, or -errno.
 *
 * stat(2), access(2), readlink(2) and getxattr(2) are not restricted: that a file exists,
 * and its metadata, is seen from everywhere. The tests use that to look at what happened.
 */
#ifndef _SANDBOX_TESTS_H
#define _SANDBOX_TESTS_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <krepis/sandbox.h>
#include "../kselftest/util.h"

/* ------------------------------------------------------------------------- domains */

/*
 * A sentence: "WHAT[,WHAT...] [OBJECT]" to allow, "deny WHAT[,WHAT...] [OBJECT]" to deny.
 * Both return NULL after a failure, and krepis_sandbox_error() or stderr tells.
 */
struct krepis_policy *policy_make(const char *const *sentences);
struct krepis_domain *domain_make(const char *const *sentences, uint32_t flags);
/* Removes the domains that this process made, and lets go of its policies. */
void domains_end(void);

#define policy(...) __extension__ ({							\
	struct krepis_policy *_p = policy_make((const char *const[]){ __VA_ARGS__, NULL }); \
											\
	ASSERT_TRUE(_p)									\
		TH_LOG("no policy of %s", #__VA_ARGS__);				\
	_p;										\
})

#define domain_with(flags, ...) __extension__ ({					\
	struct krepis_domain *_d = domain_make((const char *const[]){ __VA_ARGS__, NULL }, \
					       flags);					\
											\
	ASSERT_TRUE(_d)									\
		TH_LOG("%s (%s)", krepis_sandbox_error(), #__VA_ARGS__);		\
	_d;										\
})

/* domain(NULL) allows nothing. */
#define domain(...) domain_with(0, __VA_ARGS__)

/* ---------------------------------------------------------------------------- trials */

/* struct trial - a child in a domain, that tells in @result how its call went */
struct trial {
	pid_t pid;
	int *result;
};

/* The child did not come to tell; or never got into its domain. */
#define TRIAL_DIED	(-EOWNERDEAD)
#define TRIAL_OUTSIDE	(-ENOTRECOVERABLE)

struct trial trial_begin(struct krepis_domain *domain);
void trial_report(struct trial *t, long result) __attribute__((noreturn));
int trial_end(struct trial *t);
/* In a child. @domain NULL: enters none. Ends it if that is not possible. */
void enter(struct krepis_domain *domain);

/* A call like a system's, that sets errno, as one that returns -errno. */
#define sys(...) __extension__ ({ long _r = (long)(__VA_ARGS__); _r == -1 ? -errno : _r; })

/* What an expression gives, in a child in @domain: 0 if it is not negative. */
#define in_domain(domain, ...) __extension__ ({			\
	struct trial _t = trial_begin(domain);			\
								\
	if (!_t.pid)						\
		trial_report(&_t, (__VA_ARGS__));		\
	trial_end(&_t);						\
})

#define refused(error, domain, ...) do {			\
	int _seen = in_domain(domain, __VA_ARGS__);		\
								\
	EXPECT_EQ(-(error), _seen)				\
		TH_LOG("should be refused: %s", #__VA_ARGS__);	\
} while (0)

#define allowed(domain, ...) do {				\
	int _seen = in_domain(domain, __VA_ARGS__);		\
								\
	EXPECT_EQ(0, _seen)					\
		TH_LOG("should be allowed: %s", #__VA_ARGS__);	\
} while (0)

/**
 * struct inmate - a process that stays in a domain, and does what it is told
 */
struct inmate {
	pid_t pid;
	int to, from;
};

int inmate_start(struct inmate *i, struct krepis_domain *domain);
/* Return: what @f returns there; -EPIPE it is gone. */
int inmate_do(const struct inmate *i, int (*f)(const char *), const char *path);
void inmate_end(struct inmate *i);

/* ------------------------------------------------------------------------------- tree */

/*
 * Of directories, each with a file f and a program p:
 *	TOP/a	TOP/a/b	 TOP/a/b/c
 *	TOP/x	TOP/x/y
 * and TOP/empty without any.
 */
#define TOP	"/tmp/krepis-sandbox"
#define A	TOP "/a"
#define AB	A "/b"
#define ABC	AB "/c"
#define X	TOP "/x"
#define XY	X "/y"
#define EMPTY	TOP "/empty"

/* Its own mounts, and the tree in a file system of @type: "tmpfs", "ramfs", "ext4". */
int tree_make(const char *type);
void tree_end(void);
/* The rest of what tree_make() does, in the directory @top. */
int tree_fill(const char *top);
/* Mounts a new file system with user.* attributes and inodes that are numbered anew. */
int mount_ext4(const char *where);
/* The program of tests/sandbox/parts @name, copied to @path, with @mode. */
int put_program(const char *name, const char *path, mode_t mode);
int put_file(const char *path, const char *text);
/* A number above 0 of the environment, or @otherwise. */
int number_of(const char *variable, int otherwise);

/* ------------------------------------------------------------------------------ calls */

int open_file(const char *path, int flags);
int open_at(int dir, const char *path, int flags);
/* Opens, and reads or writes the first byte. */
int read_file(const char *path);
int write_file(const char *path);
int list(const char *path);
int create(const char *path);
/* Whether there is such a name: of nothing that the domain restricts. */
bool exists(const char *path);
/* Executes it, without arguments if @arg is NULL. Return: minus the exit status */
int run(const char *path, const char *arg);
int run_with(const char *path, char *const argv[], char *const env[]);
/* Maps the first page of the file open as @fd. */
int map(int fd, int prot);
/* Opens anew what @fd is, through /proc/self/fd. */
int open_again(int fd, int flags);

#endif /* _SANDBOX_TESTS_H */
