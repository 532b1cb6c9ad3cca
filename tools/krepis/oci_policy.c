// SPDX-License-Identifier: MIT
/*
 * krepis oci-hook: a policy speaks of paths as the container sees them. Its root is none of
 * ours, and cannot become ours: what the sandbox is made with is not in there. So each path
 * is looked up from the container's root, with its symbolic links and its mounts, and the
 * sentence is made anew with what was found.
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "oci.h"

struct placing {
	const struct oci_container *container;
	struct krepis_policy *to;
};

/* Where the role begins in the object of a channel: behind the path, from the right. */
static size_t role_of(const char *object)
{
	size_t len = strlen(object);
	const char *colon;

	if (len > 5 && !strcmp(object + len - 5, ":pass"))
		len -= 5;
	colon = memrchr(object, ':', len);
	return colon ? (size_t)(colon - object) : len;
}

/* The path of @inside, a path in the container, as we see it. */
static int find(const struct oci_container *c, const char *inside, char *path)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	char link[64];
	ssize_t n;
	int fd;

	fd = (int)syscall(SYS_openat2, c->dir, inside, &how, sizeof(how));
	if (fd < 0) {
		int err = errno;

		tool_error("the policy: %s: %s in the container: a policy names what is there when the container is created%s",
			   inside, strerror(err), err == ENOENT ? "; for a file to come, its directory" : "");
		return err == ENOENT || err == ENOTDIR ? EXIT_NOT_FOUND : EXIT_FAILED;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_SIZE - 1);
	close(fd);
	if (n < 0 || path[0] != '/') {
		tool_error("the policy: %s: it is nowhere to be seen from outside the container", inside);
		return EXIT_FAILED;
	}
	path[n] = '\0';
	return 0;
}

static bool has_path(enum krepis_what what, const char *object)
{
	switch (what) {
	case KREPIS_READ:
	case KREPIS_WRITE:
	case KREPIS_EXEC:
	case KREPIS_CHANNEL:
		return object;
	case KREPIS_UNIX:
		return object && object[0] != '@';
	default:
		return false;
	}
}

static int place(void *arg, bool allow, enum krepis_what what, const char *object)
{
	char inside[PATH_SIZE], found[PATH_SIZE + 64];
	struct placing *p = arg;
	size_t len;
	int err;

	if (has_path(what, object)) {
		len = what == KREPIS_CHANNEL ? role_of(object) : strlen(object);
		snprintf(inside, sizeof(inside), "%.*s", (int)len, object);
		err = find(p->container, inside, found);
		if (err)
			return err;
		strncat(found, object + len, sizeof(found) - strlen(found) - 1);
		object = found;
	}
	err = krepis_policy_add(p->to, allow, what, object);
	if (!err)
		return 0;
	tool_error("the policy: %s", err == -EINVAL ? krepis_policy_error(p->to) : krepis_strerror(err));
	return EXIT_FAILED;
}

/**
 * oci_policy_place - the same policy, with the paths that we see the container's files by
 * @policy: as it was written
 * @c:	    the container
 * @out:    to be released with krepis_policy_destroy()
 */
int oci_policy_place(const struct krepis_policy *policy, const struct oci_container *c,
		     struct krepis_policy **out)
{
	struct placing p = { .container = c };
	int code;

	if (krepis_policy_create(&p.to)) {
		tool_error("%s", krepis_strerror(-ENOMEM));
		return EXIT_FAILED;
	}
	code = krepis_policy_each(policy, place, &p);
	if (code)
		krepis_policy_destroy(p.to);
	else
		*out = p.to;
	return code;
}
