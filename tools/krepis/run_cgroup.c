// SPDX-License-Identifier: MIT
/*
 * krepis run: a control group for the command, below the caller's, with limits. Whoever is
 * left in it is killed when the command has ended.
 */
#include <fcntl.h>
#include <mntent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "run.h"

#define GONE_TRIES	100	/* of 20 ms, until those who were killed are gone */

/* Where control groups of version 2 are mounted, and where in them we are. */
static bool current(char *path, size_t size)
{
	char line[PATH_SIZE], mount[PATH_SIZE] = "";
	struct mntent *m;
	bool found = false;
	FILE *file = setmntent("/proc/self/mounts", "re");

	while (file && !mount[0] && (m = getmntent(file)))
		if (!strcmp(m->mnt_type, "cgroup2"))
			snprintf(mount, sizeof(mount), "%s", m->mnt_dir);
	if (file)
		endmntent(file);
	file = mount[0] ? fopen("/proc/self/cgroup", "re") : NULL;
	while (file && !found && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		found = !strncmp(line, "0::/", 4);
	}
	if (file)
		fclose(file);
	return found && snprintf(path, size, "%s%s", mount, strcmp(line, "0::/") ? line + 3 : "") <
			(int)size;
}

static int put(const char *directory, const char *name, const char *text)
{
	char path[PATH_SIZE + 64];
	int fd, err = 0;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static bool has(const char *directory, const char *name)
{
	char path[PATH_SIZE + 64];

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	return !access(path, F_OK);
}

/* @limit of @controller in the group of @r, which is made for it. */
static int set_limit(const struct run *r, const char *above, const char *controller, uint64_t value)
{
	char name[32], text[32];
	int err;

	if (!value)
		return 0;
	snprintf(name, sizeof(name), "%s.max", controller);
	snprintf(text, sizeof(text), "+%s", controller);
	if (!has(r->cgroup, name)) {
		err = put(above, "cgroup.subtree_control", text);
		if (err) {
			tool_error("--%s-max: the control group %s does not pass '%s' on (%s). Try: sudo systemd-run --scope -p Delegate=yes krepis run ...",
				   controller, above, controller, strerror(-err));
			return EXIT_NOT_FOUND;
		}
	}
	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	err = put(r->cgroup, name, text);
	if (!err)
		return 0;
	tool_error("--%s-max: cannot write %s/%s: %s", controller, r->cgroup, name, strerror(-err));
	return EXIT_FAILED;
}

static int set_limits(const struct run *r, const char *above)
{
	int code = set_limit(r, above, "memory", r->o->memory_max) ? :
		   set_limit(r, above, "pids", r->o->pids_max);

	/* What is swapped out would not count. */
	if (!code && r->o->memory_max && has(r->cgroup, "memory.swap.max"))
		put(r->cgroup, "memory.swap.max", "0");
	return code;
}

/* Somebody of our number may have been killed, and have left his: it goes if it is empty. */
static int make(const char *path)
{
	if (!mkdir(path, 0755))
		return 0;
	return errno != EEXIST || rmdir(path) || mkdir(path, 0755) ? -errno : 0;
}

int run_cgroup_create(struct run *r)
{
	char above[PATH_SIZE / 2], path[PATH_SIZE + 64];
	int code, err;

	if (!r->o->memory_max && !r->o->pids_max)
		return 0;
	if (!current(above, sizeof(above))) {
		tool_error("--memory-max and --pids-max need control groups of version 2, and none are mounted. Try: sudo mount -t cgroup2 none /sys/fs/cgroup");
		return EXIT_NOT_FOUND;
	}
	snprintf(r->cgroup, sizeof(r->cgroup), "%s/krepis-run-%d", above, getpid());
	err = make(r->cgroup);
	if (err) {
		tool_error("cannot make the control group %s: %s. Try: sudo systemd-run --scope -p Delegate=yes krepis run ...",
			   r->cgroup, strerror(-err));
		r->cgroup[0] = '\0';
		return EXIT_NOT_FOUND;
	}
	code = set_limits(r, above);
	if (code)
		return code;
	snprintf(path, sizeof(path), "%s/cgroup.procs", r->cgroup);
	r->procs = open(path, O_WRONLY | O_CLOEXEC);
	if (r->procs >= 0)
		return 0;
	tool_error("cannot open %s: %s", path, strerror(errno));
	return EXIT_FAILED;
}

/* To whoever is in it and in the groups below. */
static void signal_in(const char *directory, int signal)
{
	char path[PATH_SIZE + 64];
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &pid) == 1)
		if (pid > 0)
			kill(pid, signal);
	if (file)
		fclose(file);
}

void run_cgroup_signal(const struct run *r, int signal)
{
	if (signal != SIGKILL || put(r->cgroup, "cgroup.kill", "1"))
		signal_in(r->cgroup, signal);
}

/* Whether the kernel killed somebody because --memory-max was too little. */
static bool was_too_little(const struct run *r)
{
	char path[PATH_SIZE + 64], line[128];
	unsigned long long killed = 0;
	FILE *file;

	snprintf(path, sizeof(path), "%s/memory.events", r->cgroup);
	file = fopen(path, "re");
	while (file && !killed && fgets(line, sizeof(line), file))
		sscanf(line, "oom_kill %llu", &killed);
	if (file)
		fclose(file);
	return killed;
}

void run_cgroup_remove(struct run *r)
{
	int i;

	if (!r->cgroup[0])
		return;
	if (r->o->memory_max && was_too_little(r))
		fprintf(stderr, "krepis run: the kernel killed a process that needed more memory than --memory-max\n");
	if (r->procs >= 0)
		close(r->procs);
	for (i = 0; i < GONE_TRIES; i++) {
		run_cgroup_signal(r, SIGKILL);
		if (!rmdir(r->cgroup) || errno == ENOENT)
			return;
		usleep(20000);
	}
	tool_error("cannot remove the control group %s: %s", r->cgroup, strerror(errno));
}
