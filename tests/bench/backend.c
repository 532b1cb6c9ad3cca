// SPDX-License-Identifier: MIT
/*
 * Which backend makes a channel. The library goes by the directory; so that is set
 * while a channel is made, and what came out is looked at.
 */
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "backend.h"

#define SHM_DIRECTORY	"/dev/shm"

const char *const backend_impls[] = { "krepis-shm", "krepis-kmod", NULL };

static bool usable(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && (unsigned long)fs.f_type == KREPIS_SUPER_MAGIC &&
	       !access(path, W_OK | X_OK);
}

/* Looked for once, before the first channel is made: that changes KREPIS_DIR. */
static const char *module_directory(void)
{
	static bool looked;
	static char path[128];

	if (!looked) {
		looked = true;
		if (krepis_directory(path, sizeof(path)) || !usable(path))
			snprintf(path, sizeof(path), "/run/krepis");
		if (!usable(path))
			path[0] = '\0';
	}
	return path[0] ? path : NULL;
}

const char *backend_no_module(void)
{
	return module_directory() ? NULL : "no krepis file system on /run/krepis";
}

static bool is_module(const char *impl)
{
	return !strstr(impl, "shm");
}

const char *backend_missing(const char *impl)
{
	return is_module(impl) ? backend_no_module() : NULL;
}

static int create_in(const char *directory, const struct krepis_channel_options *options,
		     struct krepis_channel **out)
{
	const char *old = getenv("KREPIS_DIR");
	char *saved = old ? strdup(old) : NULL;
	int err;

	setenv("KREPIS_DIR", directory, 1);
	err = krepis_channel_create(NULL, options, out);
	if (saved)
		setenv("KREPIS_DIR", saved, 1);
	else
		unsetenv("KREPIS_DIR");
	free(saved);
	return err;
}

const char *backend_directory(const char *impl)
{
	return is_module(impl) ? module_directory() : SHM_DIRECTORY;
}

int backend_create(struct bench_run *run, const struct krepis_channel_options *options,
		   struct krepis_channel **out)
{
	bool module = is_module(run->what->impl);
	const char *directory = backend_directory(run->what->impl);
	struct krepis_status status = { .size = sizeof(status) };
	int err;

	if (!directory)
		return bench_error(run, 0, "%s", backend_no_module());
	err = create_in(directory, options, out);
	if (err)
		return bench_error(run, 0, "krepis_channel_create: %s", krepis_strerror(err));
	err = krepis_query(*out, &status);
	if (!err && !strcmp(status.backend, module ? "kmod" : "shm"))
		return 0;
	krepis_channel_close(*out);
	*out = NULL;
	return bench_error(run, 0, "the channel is of %s: %s", err ? "?" : status.backend,
			   krepis_strerror(err));
}
