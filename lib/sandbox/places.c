// SPDX-License-Identifier: MIT
/*
 * Where a file is to be found: one mount shows it at its path, others perhaps elsewhere.
 *
 * Landlock goes from the path that was used up to the root, through the mounts. So a file
 * that is to be denied lies below a directory that is allowed if any of its names does.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "best_effort.h"

/* A line of /proc/self/mountinfo, see proc(5). */
struct mount {
	int id;
	unsigned int major, minor;
	char *root;		/* what of the file system it shows */
	char *point;		/* and where */
	bool krepis;
};

struct effort_mounts {
	struct mount *list;
	size_t count;
};

/* Spaces and the like stand there as \040. In place. */
static void unescape(char *text)
{
	char *to = text;
	unsigned int c;

	for (; *text; to++) {
		if (*text == '\\' && sscanf(text + 1, "%3o", &c) == 1) {
			*to = (char)c;
			text += 4;
		} else {
			*to = *text++;
		}
	}
	*to = 0;
}

static bool parse_mount(char *line, struct mount *mount)
{
	const char *type = strstr(line, " - ");

	*mount = (struct mount){ 0 };
	if (!type || sscanf(line, "%d %*d %u:%u %ms %ms", &mount->id, &mount->major,
			    &mount->minor, &mount->root, &mount->point) != 5) {
		free(mount->root);
		return false;
	}
	unescape(mount->root);
	unescape(mount->point);
	mount->krepis = !strncmp(type, " - krepis ", strlen(" - krepis "));
	return true;
}

static int add_mount(struct effort_mounts *mounts, char *line)
{
	struct mount *list = reallocarray(mounts->list, mounts->count + 1, sizeof(*list));

	if (!list)
		return -ENOMEM;
	mounts->list = list;
	if (parse_mount(line, &list[mounts->count]))
		mounts->count++;
	return 0;
}

void krepis_effort_mounts_free(struct effort_mounts *mounts)
{
	size_t i;

	if (!mounts)
		return;
	for (i = 0; i < mounts->count; i++) {
		free(mounts->list[i].root);
		free(mounts->list[i].point);
	}
	free(mounts->list);
	free(mounts);
}

int krepis_effort_mounts(struct effort_mounts **out)
{
	struct effort_mounts *mounts = calloc(1, sizeof(*mounts));
	FILE *file = fopen("/proc/self/mountinfo", "re");
	int err = !file ? -errno : mounts ? 0 : -ENOMEM;
	char *line = NULL;
	size_t size = 0;

	while (!err && getline(&line, &size, file) > 0)
		err = add_mount(mounts, line);
	free(line);
	if (file)
		fclose(file);
	if (err)
		krepis_effort_mounts_free(mounts);
	else
		*out = mounts;
	return err;
}

const char *krepis_effort_krepis(const struct effort_mounts *mounts, size_t *next)
{
	while (*next < mounts->count) {
		const struct mount *mount = &mounts->list[(*next)++];

		if (mount->krepis)
			return mount->point;
	}
	return NULL;
}

/* What of @path is below @top, beginning with '/' or empty; NULL: it is not. */
static const char *below(const char *path, const char *top)
{
	size_t len = strlen(top);

	if (!strcmp(top, "/"))
		return strcmp(path, "/") ? path : "";
	if (strncmp(path, top, len) || (path[len] && path[len] != '/'))
		return NULL;
	return path + len;
}

bool krepis_effort_within(char *const *inner, char *const *outer)
{
	for (; *inner; inner++) {
		char *const *place;

		for (place = outer; *place; place++) {
			if (below(*inner, *place))
				return true;
		}
	}
	return false;
}

/* Through which mount the descriptor was opened; NULL: through none that has a name. */
static const struct mount *mount_of(const struct effort_mounts *mounts, int fd)
{
	char name[48], line[128];
	int id = -1;
	size_t i;
	FILE *file;

	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
	file = fopen(name, "re");
	while (file && id < 0 && fgets(line, sizeof(line), file))
		sscanf(line, "mnt_id: %d", &id);
	if (file)
		fclose(file);
	for (i = 0; i < mounts->count; i++) {
		if (mounts->list[i].id == id)
			return &mounts->list[i];
	}
	return NULL;
}

/* Another mount may cover it. */
static bool is_there(const char *path, const struct stat *wanted)
{
	struct stat st;

	return !lstat(path, &st) && st.st_dev == wanted->st_dev && st.st_ino == wanted->st_ino;
}

static char *join(const char *top, const char *rest)
{
	char *path;

	if (!strcmp(top, "/") && *rest)
		top = "";
	return asprintf(&path, "%s%s", top, rest) < 0 ? NULL : path;
}

void krepis_effort_places_free(char **places)
{
	size_t i;

	for (i = 0; places && places[i]; i++)
		free(places[i]);
	free(places);
}

/* Adds the names through other mounts to the first, which is through @own. */
static int other_places(const struct effort_mounts *mounts, const struct mount *own,
			const struct stat *st, char **places)
{
	const char *rest = below(places[0], own->point);
	size_t i, n = 1;
	char *inside;

	if (!rest)
		return 0;
	inside = join(own->root, rest);
	if (!inside)
		return -ENOMEM;
	for (i = 0; i < mounts->count; i++) {
		const struct mount *mount = &mounts->list[i];

		if (mount == own || mount->major != own->major || mount->minor != own->minor)
			continue;
		rest = below(inside, mount->root);
		if (!rest)
			continue;
		places[n] = join(mount->point, rest);
		if (!places[n]) {
			free(inside);
			return -ENOMEM;
		}
		if (is_there(places[n], st)) {
			n++;
		} else {
			free(places[n]);
			places[n] = NULL;
		}
	}
	free(inside);
	return 0;
}

int krepis_effort_places(const struct effort_mounts *mounts, int fd, char ***out)
{
	const struct mount *own = mount_of(mounts, fd);
	char **places = calloc(mounts->count + 2, sizeof(*places));
	char name[48], path[PATH_MAX];
	struct stat st;
	ssize_t len;
	int err = 0;

	if (!places)
		return -ENOMEM;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	len = readlink(name, path, sizeof(path) - 1);
	if (len < 0 || fstat(fd, &st)) {
		err = -errno;
		goto err_free;
	}
	path[len] = 0;
	places[0] = strdup(path);
	err = !places[0] ? -ENOMEM : own ? other_places(mounts, own, &st, places) : 0;
	if (err)
		goto err_free;
	*out = places;
	return 0;

err_free:
	krepis_effort_places_free(places);
	return err;
}
