// SPDX-License-Identifier: MIT
/*
 * Names: where a channel stands that was not given a path.
 */
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include "internal.h"

#define MODULE_DIRECTORY "/run/krepis"

/* Whether @path stands on the file system with this magic number. */
static bool stands_on(const char *path, unsigned long magic)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == magic;
}

KREPIS_API int krepis_directory(char *path, size_t size)
{
	const char *env = secure_getenv("KREPIS_DIR");
	const char *run = secure_getenv("XDG_RUNTIME_DIR");
	int n;

	if (env && *env)
		n = snprintf(path, size, "%s", env);
	else if (stands_on(MODULE_DIRECTORY, KREPIS_SUPER_MAGIC) &&
		 !access(MODULE_DIRECTORY, W_OK | X_OK))
		n = snprintf(path, size, "%s", MODULE_DIRECTORY);
	else if (run && *run && stands_on(run, TMPFS_MAGIC))
		n = snprintf(path, size, "%s/krepis", run);
	else
		n = snprintf(path, size, "/dev/shm/krepis-%u", (unsigned int)getuid());
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/*
 * /dev/shm is everybody's: a directory there that is another user's is not ours.
 * On a krepis mount it is the administrator who says whose.
 */
static int own_directory(const char *dir, bool create)
{
	struct stat st;

	if (create && mkdir(dir, 0700) && errno != EEXIST)
		return -errno;
	if (lstat(dir, &st))
		return -errno;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	if (st.st_uid == geteuid() || !geteuid() || stands_on(dir, KREPIS_SUPER_MAGIC))
		return 0;
	return -EACCES;
}

/* The path behind @name, in @path of PATH_MAX bytes. */
int krepis_resolve(const char *name, bool create, char *path)
{
	size_t len;
	int err;

	if (!name || !*name)
		return -EINVAL;
	if (strchr(name, '/'))
		return (size_t)snprintf(path, PATH_MAX, "%s", name) < PATH_MAX ? 0 : -ENAMETOOLONG;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	err = krepis_directory(path, PATH_MAX);
	if (!err)
		err = own_directory(path, create);
	if (err)
		return err;
	len = strlen(path);
	if (len + 1 + strlen(name) >= PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(path + len, PATH_MAX - len, "/%s", name);
	return 0;
}
