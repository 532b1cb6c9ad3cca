// SPDX-License-Identifier: MIT
/*
 * krepis run --complain: from what was needed to a policy that a person can read.
 *
 * Many files that were read below one directory become that directory, the nearest that has
 * so many. What is written stays exact, or becomes the directory where it was written. What the
 * command made itself is not there when it begins, so a policy cannot name it: the
 * directory that was there is meant. If that was not written to, the file was somebody
 * else's, and somebody is told.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "run.h"

#define MANY		8	/* more than so many become one */
#define LEVELS_MAX	64

/**
 * struct run_learn - what was needed
 * @needed: in the order of the library: of one kind sorted by bytes
 * @begin:  when the command began; what is younger is its own
 */
struct run_learn {
	struct krepis_policy *needed;
	struct timespec begin;
};

/**
 * struct paths - the objects of one kind
 * @written: those of what was written, or NULL: that is what they are
 * @begin:   as in struct run_learn
 */
struct paths {
	enum krepis_what what;
	char **list;
	size_t count, room;
	const struct paths *written;
	struct timespec begin;
};

struct run_learn *run_learn_create(void)
{
	struct run_learn *learn = malloc(sizeof(*learn));

	if (learn && krepis_policy_create(&learn->needed)) {
		free(learn);
		return NULL;
	}
	/* Files are dated by a clock that does not go as fine. */
	if (learn)
		clock_gettime(CLOCK_REALTIME_COARSE, &learn->begin);
	return learn;
}

void run_learn_destroy(struct run_learn *learn)
{
	if (!learn)
		return;
	krepis_policy_destroy(learn->needed);
	free(learn);
}

static void tell(enum krepis_what what, const char *object, const char *why)
{
	fprintf(stderr, "krepis run: the policy %s ", krepis_what_name(what));
	print_escaped(stderr, object, strlen(object));
	fprintf(stderr, ": %s\n", why);
}

/*
 * Whether no execve(2) can have been of it: then it is a library, of which code was mapped, and
 * for that to read it is enough.
 */
static bool is_library(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !(st.st_mode & 0111);
}

/* Not all that has a name can be said: not what is no UTF-8. */
void run_learn_add(struct run_learn *learn, enum krepis_what what, const char *object)
{
	if (what == KREPIS_EXEC && object && is_library(object))
		what = KREPIS_READ;
	if (krepis_policy_add(learn->needed, true, what, object))
		fprintf(stderr, "krepis run: cannot learn --allow-%s: %s\n", krepis_what_name(what),
			krepis_policy_error(learn->needed));
}

/* ----------------------------------------------------------------------------- paths */

static bool is_below(const char *path, const char *directory, size_t len)
{
	return !strncmp(path, directory, len) && path[len] == '/';
}

/* Whether it is @directory or below. */
static bool is_within(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	return !strncmp(path, directory, len) && (!path[len] || path[len] == '/');
}

/* What is too much to be meant, unless it was itself what was used. */
static bool is_too_much(const char *path)
{
	static const char * const whole[] = {
		"/", "/etc", "/home", "/root", "/proc", "/dev", "/sys", "/usr", "/var", "/run",
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(whole); i++)
		if (!strcmp(path, whole[i]))
			return true;
	return false;
}

/* Bytes of the first @levels names of @path, or 0: it has no more than these. */
static size_t prefix(const char *path, unsigned int levels)
{
	size_t len = 0;

	while (levels--) {
		if (!path[len])
			return 0;
		len += 1 + strcspn(path + len + 1, "/");
	}
	return path[len] ? len : 0;
}

/* Whether many that are needed below the first @levels names of @path may become one. */
static bool may_merge(enum krepis_what what, const char *path, unsigned int levels)
{
	static const char * const never[] = { "/proc", "/dev", "/sys" };
	unsigned int i;

	if (levels < 2 || (what == KREPIS_WRITE && prefix(path, levels + 1)))
		return false;
	for (i = 0; i < ARRAY_SIZE(never); i++)
		if (is_within(path, never[i]))
			return false;
	/* Of a user's files not all, but those of one directory. */
	return levels > 2 || !is_within(path, "/home");
}

static int by_path(const void *a, const void *b)
{
	return strcmp(*(char * const *)a, *(char * const *)b);
}

/* Whether one of the sorted @list is @path or a directory above it; it is cut, and made whole. */
static bool is_included(char *path, char **list, size_t count)
{
	char root[] = "/", *up = root, *at;

	if (!count)
		return false;
	if (bsearch(&up, list, count, sizeof(*list), by_path) ||
	    bsearch(&path, list, count, sizeof(*list), by_path))
		return true;
	for (at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		bool found;

		*at = '\0';
		found = bsearch(&path, list, count, sizeof(*list), by_path);
		*at = '/';
		if (found)
			return true;
	}
	return false;
}

/* Without those that another one includes, and without doubles. */
static void reduce(struct paths *p)
{
	size_t i, kept = 0;

	if (p->count)
		qsort(p->list, p->count, sizeof(*p->list), by_path);
	for (i = 0; i < p->count; i++) {
		if (is_included(p->list[i], p->list, kept))
			free(p->list[i]);
		else
			p->list[kept++] = p->list[i];
	}
	p->count = kept;
}

/* From @i on, how many lie below the first @levels names of the one at @i. */
static size_t together(const struct paths *p, size_t i, unsigned int levels)
{
	size_t len = prefix(p->list[i], levels), n = 0;

	if (!len || !may_merge(p->what, p->list[i], levels))
		return 0;
	while (i + n < p->count && is_below(p->list[i + n], p->list[i], len) &&
	       may_merge(p->what, p->list[i + n], levels))
		n++;
	return n;
}

/* From the deepest directories up: the nearest one is the least that is enough. */
static void merge(struct paths *p)
{
	unsigned int levels;
	size_t i, n;

	reduce(p);
	for (levels = LEVELS_MAX; levels >= 2; levels--) {
		bool changed = false;

		for (i = 0; i < p->count; i += n ? n : 1) {
			n = together(p, i, levels);
			if (n <= MANY)
				continue;
			/* The others are within, and go. */
			p->list[i][prefix(p->list[i], levels)] = '\0';
			changed = true;
		}
		if (changed)
			reduce(p);
	}
}

/* Whether it was there when the command began. What has no date is taken to have been. */
static bool was_there(const char *path, const struct timespec *begin)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_BTIME, &st))
		return false;
	return !(st.stx_mask & STATX_BTIME) || st.stx_btime.tv_sec < begin->tv_sec ||
	       (st.stx_btime.tv_sec == begin->tv_sec && st.stx_btime.tv_nsec < begin->tv_nsec);
}

/* What can be said of something that was not there, in place: see the top. */
static bool stand_in(const struct paths *p, char *path)
{
	char *kept = strdup(path), *slash;
	bool found = false;

	if (!kept || was_there(path, &p->begin)) {
		free(kept);
		return kept;
	}
	while (!found && (slash = strrchr(path, '/')) && slash != path) {
		*slash = '\0';
		found = was_there(path, &p->begin);
	}
	found = found && p->what != KREPIS_EXEC && !is_too_much(path) &&
		(!p->written || is_included(path, p->written->list, p->written->count));
	if (!found)
		tell(p->what, kept, "cannot name it, as it was not there when the command began");
	free(kept);
	return found;
}

static int collect(void *arg, bool allow, enum krepis_what what, const char *object)
{
	struct paths *p = arg;
	char **list, *path;

	if (what != p->what || !object)
		return 0;
	if (p->count == p->room) {
		list = reallocarray(p->list, p->room + 256, sizeof(*list));
		if (!list)
			return -ENOMEM;
		p->list = list;
		p->room += 256;
	}
	path = strdup(object);
	if (!path)
		return -ENOMEM;
	if (stand_in(p, path))
		p->list[p->count++] = path;
	else
		free(path);
	return 0;
}

/* ---------------------------------------------------------------------------- policy */

/* Into @p, and from there into @policy. */
static int add_paths(const struct run_learn *learn, struct paths *p, struct krepis_policy *policy)
{
	int err = krepis_policy_each(learn->needed, collect, p);
	size_t i;

	if (!err && p->what == KREPIS_EXEC)
		reduce(p);
	else if (!err)
		merge(p);
	for (i = 0; i < p->count && !err; i++) {
		err = krepis_policy_add(policy, true, p->what, p->list[i]);
		if (is_too_much(p->list[i]))
			tell(p->what, p->list[i], "includes all below it, as it was used itself");
	}
	return err;
}

static void free_paths(struct paths *p)
{
	while (p->count)
		free(p->list[--p->count]);
	free(p->list);
}

static int add_other(void *arg, bool allow, enum krepis_what what, const char *object)
{
	struct krepis_policy *policy = arg;

	if (what == KREPIS_READ || what == KREPIS_WRITE || what == KREPIS_EXEC)
		return 0;
	return krepis_policy_add(policy, allow, what, object);
}

/**
 * run_learn_policy - what would have been enough
 * @learn: what was needed
 * @given: what was allowed, and is to be still
 * @out:   to be destroyed
 *
 * Return: 0 or -ENOMEM.
 */
int run_learn_policy(struct run_learn *learn, const struct krepis_policy *given,
		     struct krepis_policy **out)
{
	struct paths written = { .what = KREPIS_WRITE, .begin = learn->begin };
	struct paths read = { .what = KREPIS_READ, .written = &written, .begin = learn->begin };
	struct paths executed = { .what = KREPIS_EXEC, .written = &written, .begin = learn->begin };
	int err = sandbox_policy_copy(given, out);

	if (err)
		return err;
	err = add_paths(learn, &written, *out);
	if (!err)
		err = add_paths(learn, &read, *out);
	if (!err)
		err = add_paths(learn, &executed, *out);
	free_paths(&written);
	free_paths(&read);
	free_paths(&executed);
	if (!err)
		err = krepis_policy_each(learn->needed, add_other, *out);
	if (err) {
		krepis_policy_destroy(*out);
		*out = NULL;
	}
	return err;
}
