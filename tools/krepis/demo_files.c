// SPDX-License-Identifier: MIT
/*
 * Which files the demo moves. Those of the machine it runs on, in the order of
 * their paths, so that every run on one machine takes the same ones.
 */
#include <fcntl.h>
#include <fts.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "demo.h"

#define SMALL_MOST	4096		/* no more small files than this */
#define FILE_MOST	(256ULL << 20)	/* no file larger than this */

/**
 * struct wanted - what is still missing
 * @bytes: in all
 * @small: files up to DEMO_SMALL
 */
struct wanted {
	uint64_t bytes;
	uint32_t small;
};

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int add(struct demo_set *set, const char *path, uint64_t size)
{
	struct demo_file *file;

	/* The array doubles whenever the count is a power of two. */
	if (!(set->count & (set->count - 1))) {
		size_t room = set->count ? 2 * (size_t)set->count : 1;
		struct demo_file *files = realloc(set->files, room * sizeof(*files));

		if (!files)
			return -ENOMEM;
		set->files = files;
	}
	file = &set->files[set->count];
	memset(file, 0, sizeof(*file));
	file->path = strdup(path);
	if (!file->path)
		return -ENOMEM;
	file->size = size;
	set->count++;
	set->small += file->size <= DEMO_SMALL;
	set->bytes += file->size;
	return 0;
}

static bool takes(const struct demo_set *set, const struct wanted *wanted, const FTSENT *entry)
{
	uint64_t size = entry->fts_statp->st_size;

	if (entry->fts_info != FTS_F || size > FILE_MOST)
		return false;
	if (size <= DEMO_SMALL ? set->small >= SMALL_MOST : set->bytes >= wanted->bytes)
		return false;
	return !access(entry->fts_accpath, R_OK);
}

/* Adds files below @root until there are enough. */
static int walk(struct demo_set *set, const struct wanted *wanted, const char *root, bool follow)
{
	char *roots[] = { (char *)root, NULL };
	int err = 0;
	FTSENT *entry;
	FTS *fts;

	fts = fts_open(roots, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR | (follow ? FTS_COMFOLLOW : 0),
		       by_name);
	if (!fts)
		return -errno;
	while (!err && (set->bytes < wanted->bytes || set->small < wanted->small)) {
		if (tool_signalled()) {
			err = -EINTR;
			break;
		}
		entry = fts_read(fts);
		if (!entry)
			break;
		if (takes(set, wanted, entry))
			err = add(set, entry->fts_path, entry->fts_statp->st_size);
	}
	fts_close(fts);
	return err;
}

/**
 * demo_collect - chooses the files
 * @set:       empty; to be freed with demo_set_free()
 * @directory: where, or NULL: the system's
 * @target:    bytes; of a directory, if there are as many
 * @small:     small files at least, if there are as many
 *
 * Errors: -ENOENT there are none; -ENOMEM; -EINTR.
 */
int demo_collect(struct demo_set *set, const char *directory, uint64_t target, uint32_t small)
{
	static const char * const roots[] = { "/usr", "/bin", "/sbin", "/lib", "/opt", "/etc" };
	struct wanted wanted = { .bytes = target, .small = small };
	unsigned int i;
	int err = 0;

	if (directory)
		err = walk(set, &wanted, directory, true);
	for (i = 0; !directory && i < ARRAY_SIZE(roots) && !err; i++)
		err = walk(set, &wanted, roots[i], false);
	set->different = set->count;
	/* A machine with fewer files sends them again. */
	for (i = 0; !directory && !err && set->bytes && set->bytes < target; i++)
		err = add(set, set->files[i].path, set->files[i].size);
	return err ? err : set->count ? 0 : -ENOENT;
}

void demo_set_free(struct demo_set *set)
{
	while (set->count)
		free(set->files[--set->count].path);
	free(set->files);
	set->files = NULL;
}

/* One file, by plain read(2). */
static int digest_file(struct demo_file *file, EVP_MD_CTX *sha, char *data)
{
	int fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	uint64_t left = file->size;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
	while (left) {
		n = read(fd, data, left < DEMO_CHUNK ? left : DEMO_CHUNK);
		if (n <= 0)
			break;
		EVP_DigestUpdate(sha, data, n);
		file->crc32c = krepis_crc32c(file->crc32c, data, n);
		left -= n;
	}
	if (n < 0)
		n = -errno;
	EVP_DigestFinal_ex(sha, file->sha256, NULL);
	close(fd);
	return n < 0 ? (int)n : 0;
}

/**
 * demo_digest - computes what the consumers are compared with
 * @set:      its digests are filled in
 * @progress: on standard error
 *
 * It also brings the files into the page cache, so that all ways find them there.
 */
int demo_digest(struct demo_set *set, bool progress)
{
	EVP_MD_CTX *sha = EVP_MD_CTX_new();
	char *data = malloc(DEMO_CHUNK);
	uint64_t done = 0;
	uint32_t i;
	int err = sha && data ? 0 : -ENOMEM;

	for (i = 0; i < set->count && !err; i++) {
		demo_progress(progress, "reading the files and computing their SHA-256", done,
			      set->bytes);
		err = digest_file(&set->files[i], sha, data);
		if (err)
			tool_error("cannot read %s: %s", set->files[i].path, strerror(-err));
		done += set->files[i].size;
		if (tool_signalled())
			err = -EINTR;
	}
	free(data);
	EVP_MD_CTX_free(sha);
	return err;
}
