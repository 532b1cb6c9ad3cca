// SPDX-License-Identifier: MIT
/*
 * krepis oci-hook: where the container is: its namespace of mounts, its root file system in
 * there, its control group.
 *
 * Before its first program is executed, a runtime has mounted what the container shall see
 * below the directory that config.json names, in a new namespace of mounts, whose root is
 * still the runtime's. Hooks of the stages prestart and createRuntime run outside, and are
 * told the number of a process inside; hooks of createContainer run inside, and are told
 * nothing, or a number that means another process here.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "oci.h"

/* A process by its directory in /proc, which is the runtime's. */
struct process {
	char proc[32];
};

static bool same_namespace(const char *proc, const char *other, const char *name)
{
	char path[64];
	struct stat a, b;

	snprintf(path, sizeof(path), "%s/ns/%s", proc, name);
	if (stat(path, &a))
		return false;
	snprintf(path, sizeof(path), "%s/ns/%s", other, name);
	return !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static int enter(const char *proc, const char *name, int type)
{
	char path[64];
	int fd, err = 0;

	if (same_namespace(proc, "/proc/self", name))
		return 0;
	snprintf(path, sizeof(path), "%s/ns/%s", proc, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, type))
		err = errno;
	if (fd >= 0)
		close(fd);
	if (!err)
		return 0;
	tool_error("cannot enter the namespace %s: %s%s", path, strerror(err),
		   err == EPERM ? ". The hook has to run as root, outside of user namespaces" : "");
	return EXIT_FAILED;
}

/* The rest of the line of @path that begins with @key. */
static bool line_of(const char *path, const char *key, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	bool found = false;

	while (file && !found && getline(&line, &room, file) > 0) {
		found = !strncmp(line, key, strlen(key));
		if (found) {
			line[strcspn(line, "\n")] = '\0';
			found = snprintf(text, size, "%s", line + strlen(key)) < (int)size;
		}
	}
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* Whether we have a number in a namespace of processes below the one that /proc shows. */
static bool is_counted_twice(void)
{
	char numbers[256];

	return line_of("/proc/self/status", "NSpid:", numbers, sizeof(numbers)) &&
	       strtok(numbers, " \t") && strtok(NULL, " \t");
}

/* The nearest process above us that is outside of our namespace of mounts. */
static bool find_outside(struct process *p)
{
	char number[32];
	int pid;

	snprintf(p->proc, sizeof(p->proc), "/proc/self");
	do {
		char status[64];

		snprintf(status, sizeof(status), "%s/status", p->proc);
		if (!line_of(status, "PPid:", number, sizeof(number)))
			return false;
		pid = atoi(number);
		snprintf(p->proc, sizeof(p->proc), "/proc/%d", pid);
	} while (pid > 0 && same_namespace(p->proc, "/proc/self", "mnt"));
	return pid > 0;
}

/* Who is in the container, and who is outside. */
static int find_processes(const struct oci_state *state, struct process *inside,
			  struct process *outside)
{
	snprintf(inside->proc, sizeof(inside->proc), "/proc/%d", state->pid);
	snprintf(outside->proc, sizeof(outside->proc), "/proc/self");
	if (state->pid > 0 && !is_counted_twice() &&
	    !same_namespace(inside->proc, outside->proc, "mnt"))
		return 0;
	*inside = *outside;
	if (find_outside(outside))
		return 0;
	tool_error("cannot tell the container '%s' from its runtime: it has no namespace of mounts of its own",
		   state->id);
	return EXIT_FAILED;
}

/* ------------------------------------------------------------------------ control group */

static bool is_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return !strncmp(path, dir, n) && (!path[n] || path[n] == '/');
}

/*
 * A runtime may put its processes into a group below the container's, and later ones into
 * another. So it is the one that config.json names, if that is on the way.
 */
static void cut_group(char *group, const char *named)
{
	char unit[PATH_SIZE], *at;
	const char *prefix = named ? strchr(named, ':') : NULL, *name;
	size_t n = named ? strlen(named) : 0;

	if (!n)
		return;
	if (named[0] == '/') {
		while (n > 1 && named[n - 1] == '/')
			n--;
		if (n > 1 && !strncmp(group, named, n) && group[n] == '/')
			group[n] = '\0';
		return;
	}
	/* Of systemd: SLICE:PREFIX:NAME */
	name = prefix ? strchr(++prefix, ':') : NULL;
	if (!name)
		return;
	snprintf(unit, sizeof(unit), "/%.*s%s%s.scope/", (int)(name - prefix), prefix,
		 name > prefix ? "-" : "", name + 1);
	at = strstr(group, unit);
	if (at)
		at[strlen(unit) - 1] = '\0';
}

/* Where all control groups of version 2 are mounted. */
static bool find_hierarchy(char *path, size_t size)
{
	FILE *file = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, root[8], *type;
	size_t room = 0;
	bool found = false;

	while (file && !found && getline(&line, &room, file) > 0) {
		type = strstr(line, " - ");
		/* Number, parent, device, root, mount point. No such point has spaces in its name. */
		found = type && !strncmp(type, " - cgroup2 ", 11) && size >= PATH_SIZE &&
			sscanf(line, "%*s %*s %*s %7s %4095s", root, path) == 2 && !strcmp(root, "/");
	}
	free(line);
	if (file)
		fclose(file);
	return found;
}

static int find_group(const struct oci_state *state, const struct process *inside,
		      const struct process *outside, const char *named, char *cgroup)
{
	char path[64], group[PATH_SIZE / 2], other[PATH_SIZE / 2], hierarchy[PATH_SIZE];
	int code;

	/* A path in a namespace of control groups would be one of its own. */
	code = enter(outside->proc, "cgroup", CLONE_NEWCGROUP);
	if (code)
		return code;
	snprintf(path, sizeof(path), "%s/cgroup", inside->proc);
	if (!line_of(path, "0::", group, sizeof(group)) ||
	    !find_hierarchy(hierarchy, sizeof(hierarchy))) {
		tool_error("the container '%s' has no control group of version 2. Boot with systemd.unified_cgroup_hierarchy=1",
			   state->id);
		return EXIT_NOT_FOUND;
	}
	cut_group(group, named);
	snprintf(path, sizeof(path), "%s/cgroup", outside->proc);
	if (!strcmp(group, "/") || is_below(group, "/..") ||
	    !line_of(path, "0::", other, sizeof(other)) || is_below(other, group)) {
		tool_error("the container '%s' has no control group of its own, but %s, where its runtime is, too. Let the runtime make one (linux.cgroupsPath)",
			   state->id, group);
		return EXIT_FAILED;
	}
	if (snprintf(cgroup, PATH_SIZE, "%s%s", hierarchy, group) < PATH_SIZE)
		return 0;
	tool_error("the path of the control group %s is too long", group);
	return EXIT_FAILED;
}

/* ---------------------------------------------------------------------------- the root */

static int open_root(const struct oci_state *state, const char *path, struct oci_container *c)
{
	char link[64];
	ssize_t n = -1;

	c->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", c->dir);
	if (c->dir >= 0)
		n = readlink(link, c->root, sizeof(c->root) - 1);
	if (n < 0) {
		tool_error("the root file system of the container '%s', %s: %s. The hook belongs into the stage createRuntime: later it is too late",
			   state->id, path, strerror(errno));
		return EXIT_FAILED;
	}
	c->root[n] = '\0';
	return 0;
}

/* What config.json says; @config is the caller's to put away. */
static int read_config(const struct oci_state *state, char *root, const char **named,
		       struct json_object **config)
{
	struct json_object *part = NULL;
	char path[PATH_SIZE];
	const char *text;

	snprintf(path, sizeof(path), "%s/config.json", state->bundle);
	*config = json_object_from_file(path);
	if (!*config) {
		tool_error("cannot read %s, which describes the container: %s", path,
			   json_util_get_last_err() ? : "no JSON");
		return EXIT_FAILED;
	}
	json_object_object_get_ex(*config, "root", &part);
	text = oci_text(part, "path");
	if (!text) {
		tool_error("%s does not say where the container's root file system is (root.path)", path);
		return EXIT_FAILED;
	}
	snprintf(root, PATH_SIZE, "%s%s%s", text[0] == '/' ? "" : state->bundle,
		 text[0] == '/' ? "" : "/", text);
	part = NULL;
	json_object_object_get_ex(*config, "linux", &part);
	*named = oci_text(part, "cgroupsPath");
	return 0;
}

/**
 * oci_container_find - where the container is
 * @state: what the runtime says of it
 * @c:	   out; we are in its namespace of mounts then
 */
int oci_container_find(const struct oci_state *state, struct oci_container *c)
{
	struct process inside, outside;
	struct json_object *config = NULL;
	char root[PATH_SIZE];
	const char *named;
	int code;

	code = find_processes(state, &inside, &outside) ? :
	       read_config(state, root, &named, &config) ? :
	       find_group(state, &inside, &outside, named, c->cgroup) ? :
	       enter(inside.proc, "mnt", CLONE_NEWNS) ? :
	       open_root(state, root, c);
	json_object_put(config);
	return code;
}
