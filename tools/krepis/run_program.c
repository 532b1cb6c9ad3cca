// SPDX-License-Identifier: MIT
/*
 * krepis run: which program COMMAND is, and what is granted so that it can start: to execute
 * it and the interpreter of a script, to read a script and the loader that a program names, and
 * the devices that everybody expects to work.
 */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "run.h"

#define SCRIPT_DEPTH	5	/* as deep as the kernel goes */
#define SCRIPT_LINE	256	/* as much as it reads */

static const struct {
	const char *path;
	bool write;
} basics[] = {
	{ "/etc/ld.so.cache", false },
	{ "/dev/null", true },
	{ "/dev/zero", true },
	{ "/dev/full", true },
	{ "/dev/random", false },
	{ "/dev/urandom", false },
};

/* ------------------------------------------------------------------------- finding */

/* 0, or why it is no program. */
static int try(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	return !S_ISREG(st.st_mode) || access(path, X_OK) ? -EACCES : 0;
}

static bool join(char *path, const char *directory, size_t len, const char *name)
{
	return snprintf(path, PATH_SIZE, "%.*s%s%s", (int)len, directory, len ? "/" : "", name) <
	       PATH_SIZE;
}

/* In the caller's PATH. Return: 0, -ENOENT, or what was wrong with the only ones there. */
static int search(const char *name, char *path)
{
	const char *at = getenv("PATH");
	int err, found = -ENOENT;

	for (at = at ? at : "/usr/local/bin:/usr/bin:/bin"; at; at = *at ? at + 1 : NULL) {
		size_t len = strcspn(at, ":");

		err = join(path, at, len, name) ? try(path) : -ENAMETOOLONG;
		if (!err)
			return 0;
		if (err == -EACCES)
			found = err;
		at += len;
	}
	return found;
}

/* It stays the same program where the command starts in another directory. */
static int make_absolute(char *path)
{
	char directory[PATH_SIZE], name[PATH_SIZE];

	if (path[0] == '/')
		return 0;
	strcpy(name, path);
	if (!getcwd(directory, sizeof(directory)))
		return -errno;
	return join(path, directory, strlen(directory), name) ? 0 : -ENAMETOOLONG;
}

int run_program_find(struct run *r)
{
	const char *name = r->o->command[0];
	bool is_path = strchr(name, '/');
	int err;

	if (!is_path)
		err = *name ? search(name, r->path) : -ENOENT;
	else
		err = join(r->path, "", 0, name) ? try(r->path) : -ENAMETOOLONG;
	if (!err)
		err = make_absolute(r->path);
	if (!err)
		return 0;
	if (err == -EISDIR)
		tool_error("cannot run '%s': it is a directory. The objects of an option follow a '=', such as --allow-read=%s",
			   name, name);
	else if (err == -ENOENT && !is_path)
		tool_error("cannot run '%s': no program of this name in PATH. See: echo $PATH", name);
	else if (err == -EACCES)
		tool_error("cannot run '%s': it may not be executed. See: ls -l %s", name, r->path);
	else
		tool_error("cannot run '%s': %s", name, krepis_strerror(err));
	return err == -ENOENT || err == -ENOTDIR ? EXIT_NO_COMMAND : EXIT_NOT_EXECUTED;
}

/* ------------------------------------------------------------------------ granting */

/* What is not there is not granted. */
static int allow(struct krepis_policy *policy, enum krepis_what what, const char *path)
{
	return access(path, F_OK) ? 0 : krepis_policy_add(policy, true, what, path);
}

/*
 * Whether the kernel could take it for a loader. A program names what it likes: a directory,
 * or a secret, which it is not to read for that.
 */
static bool is_loader(const char *path)
{
	char magic[SELFMAG];
	struct stat st;
	int fd = stat(path, &st) || !S_ISREG(st.st_mode) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	bool is = fd >= 0 && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
		  !memcmp(magic, ELFMAG, sizeof(magic));

	if (fd >= 0)
		close(fd);
	return is;
}

/* The loader's path, if @fd is a program that names one. */
static bool loader(int fd, char *path, size_t size)
{
	ElfW(Ehdr) head;
	ElfW(Phdr) part;
	int i;

	if (pread(fd, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG) || head.e_phentsize != sizeof(part) ||
	    head.e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32))
		return false;
	for (i = 0; i < head.e_phnum; i++) {
		if (pread(fd, &part, sizeof(part), head.e_phoff + i * sizeof(part)) != sizeof(part))
			return false;
		if (part.p_type != PT_INTERP)
			continue;
		return part.p_filesz > 1 && part.p_filesz <= size &&
		       pread(fd, path, part.p_filesz, part.p_offset) == (ssize_t)part.p_filesz &&
		       !path[part.p_filesz - 1] && is_loader(path);
	}
	return false;
}

/* The interpreter's path, if @fd is a script. */
static bool interpreter(int fd, char *path)
{
	char line[SCRIPT_LINE + 1];
	ssize_t n = pread(fd, line, SCRIPT_LINE, 0);
	char *at;

	if (n < 3 || line[0] != '#' || line[1] != '!')
		return false;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	at = line + 2 + strspn(line + 2, " \t");
	at[strcspn(at, " \t")] = '\0';
	strcpy(path, at);
	return *at;
}

static int allow_program(struct run *r, const char *path, int depth)
{
	struct krepis_policy *policy = r->policy;
	char other[PATH_SIZE];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err = allow(policy, KREPIS_EXEC, path);

	if (fd < 0)
		return err;
	if (!err && depth < SCRIPT_DEPTH && interpreter(fd, other))
		err = allow(policy, KREPIS_READ, path) ? : allow_program(r, other, depth + 1);
	else if (!err && loader(fd, r->loader, sizeof(r->loader)))
		err = allow(policy, KREPIS_READ, r->loader);
	else
		r->loader[0] = '\0';
	close(fd);
	return err;
}

/* For Landlock, to which it is a program like others. */
int run_program_grant_loader(struct run *r)
{
	return r->loader[0] ? allow(r->policy, KREPIS_EXEC, r->loader) : 0;
}

int run_program_grant(struct run *r)
{
	unsigned int i;
	int err = sandbox_policy_copy(r->o->policy, &r->policy);

	if (err) {
		tool_error("cannot copy the policy: %s", krepis_strerror(err));
		return EXIT_FAILED;
	}
	err = allow_program(r, r->path, 0);
	for (i = 0; i < ARRAY_SIZE(basics) && !err; i++) {
		err = allow(r->policy, KREPIS_READ, basics[i].path);
		if (!err && basics[i].write)
			err = allow(r->policy, KREPIS_WRITE, basics[i].path);
	}
	if (!err)
		return 0;
	tool_error("cannot grant what '%s' needs to start: %s", r->path,
		   err == -EINVAL ? krepis_policy_error(r->policy) : krepis_strerror(err));
	return EXIT_FAILED;
}
