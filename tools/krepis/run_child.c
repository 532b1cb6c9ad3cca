// SPDX-License-Identifier: MIT
/*
 * krepis run: from fork(2) to execve(2). What fails there is told through a pipe that closes
 * when the program is executed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "run.h"

#define DEFAULT_PATH	"PATH=/usr/local/bin:/usr/bin:/bin"

/**
 * struct failure - the last word of a child
 * @code: what the command is to exit with
 * @text: without a line's end
 */
struct failure {
	int code;
	char text[1024];
};

static int told;	/* the pipe, in the child */

static void __attribute__((noreturn, format(printf, 2, 3))) fail(int code, const char *format, ...)
{
	struct failure f = { .code = code };
	va_list args;

	va_start(args, format);
	vsnprintf(f.text, sizeof(f.text), format, args);
	va_end(args);
	/* Less than PIPE_BUF: all of it or nothing. */
	if (write(told, &f, sizeof(f)) != sizeof(f))
		_exit(EXIT_FAILED);
	_exit(code);
}

/* ---------------------------------------------------------------------- environment */

/* What the policy lets through, and always some PATH. */
static char **environment(const struct krepis_policy *policy)
{
	char name[512], **list;
	bool path = false;
	size_t n = 0, i;

	while (environ[n])
		n++;
	list = calloc(n + 2, sizeof(*list));
	if (!list)
		fail(EXIT_FAILED, "cannot make the environment: %s", strerror(errno));
	for (n = 0, i = 0; environ[i]; i++) {
		size_t len = strcspn(environ[i], "=");

		/* Who has a longer name has no '*' that means it. */
		if (!environ[i][len] || len >= sizeof(name))
			continue;
		memcpy(name, environ[i], len);
		name[len] = '\0';
		if (!krepis_policy_env(policy, name))
			continue;
		path |= !strcmp(name, "PATH");
		list[n++] = environ[i];
	}
	if (!path)
		list[n] = (char *)DEFAULT_PATH;
	return list;
}

/* ------------------------------------------------------------------- what it inherits */

/* Signals as the caller has them, but for SIGPIPE, which main() ignores. */
static void signals(const struct run *r)
{
	signal(SIGPIPE, SIG_DFL);
	if (r->group) {
		setpgid(0, 0);
		/* SIGTTOU is blocked yet. */
		if (getppid() == r->pid && tcgetpgrp(0) == getpgid(r->pid))
			tcsetpgrp(0, getpid());
	}
	sigprocmask(SIG_SETMASK, &r->mask, NULL);
}

static void close_others(void)
{
	struct dirent *entry;
	DIR *list;

	if (!close_range(3, ~0U, CLOSE_RANGE_CLOEXEC))
		return;
	list = opendir("/proc/self/fd");
	if (!list)
		fail(EXIT_FAILED, "cannot keep the caller's descriptors from the command: %s", strerror(errno));
	while ((entry = readdir(list))) {
		int fd = atoi(entry->d_name);

		if (fd > 2)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
	}
	closedir(list);
}

/* The caller's keys are not the command's. Where there are no keys, none can be had. */
static void keyring(void)
{
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0)
		return;
	if (errno != ENOSYS && errno != EPERM)
		fail(EXIT_FAILED, "cannot make a session keyring: %s", strerror(errno));
}

static void place(const struct run *r)
{
	if (r->procs >= 0 && write(r->procs, "0", 1) != 1)
		fail(EXIT_FAILED, "cannot enter the control group %s: %s", r->cgroup, strerror(errno));
	if (r->o->directory && chdir(r->o->directory))
		fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_FAILED, "--chdir=%s: %s", r->o->directory,
		     strerror(errno));
}

/* --------------------------------------------------------------------------- the user */

static void capabilities(bool all)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { };
	unsigned int i;

	if (all && syscall(SYS_capget, &head, data))
		fail(EXIT_FAILED, "cannot look at the capabilities: %s", strerror(errno));
	for (i = 0; i < ARRAY_SIZE(data); i++)
		data[i].effective = data[i].permitted;
	if (syscall(SYS_capset, &head, data))
		fail(EXIT_FAILED, "cannot set the capabilities: %s", strerror(errno));
}

/*
 * Before the domain is entered, as it may not let the user be changed. But to enter it takes
 * capabilities: they are kept until then, see enter().
 */
static void become(const struct run *r)
{
	const struct run_user *u = &r->o->user;

	if (!u->given)
		return;
	if (prctl(PR_SET_KEEPCAPS, r->domain ? 1 : 0) || setgroups(u->count, u->groups) ||
	    setresgid(u->gid, u->gid, u->gid) || setresuid(u->uid, u->uid, u->uid))
		fail(EXIT_FAILED, "cannot become the user %u:%u: %s. Only root can, so try: sudo krepis run ...",
		     u->uid, u->gid, strerror(errno));
	if (r->domain)
		capabilities(true);
}

static void not_enforced(void *arg, const char *line)
{
	dprintf(2, "krepis run: not enforced: %s\n", line);
}

static void enter(const struct run *r)
{
	int err;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail(EXIT_FAILED, "cannot set no_new_privs: %s", strerror(errno));
	if (!r->domain) {
		err = krepis_best_effort_enter(r->policy, not_enforced, NULL);
		if (err)
			fail(sandbox_failed(err), "not even a part of the policy can be enforced: %s",
			     krepis_sandbox_error());
		return;
	}
	err = krepis_domain_enter(r->domain);
	if (err)
		fail(sandbox_failed(err), "%s", krepis_sandbox_error());
	if (r->o->user.given)
		capabilities(false);
}

static void __attribute__((noreturn)) child(const struct run *r)
{
	char **list;

	signals(r);
	place(r);
	close_others();
	become(r);
	keyring();
	list = environment(r->policy);
	enter(r);
	execve(r->path, r->o->command, list);
	fail(errno == ENOENT ? EXIT_NO_COMMAND : EXIT_NOT_EXECUTED, "cannot run '%s': %s%s",
	     r->o->command[0], strerror(errno),
	     errno == EACCES ? ". Its loader or its interpreter may have been denied to it" : "");
}

/* -------------------------------------------------------------------------- the parent */

/* Until the program is executed. Return: 0, or the exit code after a message. */
static int wait_for(pid_t pid, int fd)
{
	struct failure f;
	ssize_t n;

	do
		n = read(fd, &f, sizeof(f));
	while (n < 0 && errno == EINTR);
	if (n != sizeof(f))
		return 0;
	f.text[sizeof(f.text) - 1] = '\0';
	tool_error("%s", f.text);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return f.code;
}

/**
 * run_child_start - starts the command, in its domain
 * @r: run; @r->pid is the command's then
 *
 * Return: 0: it is executed, or died on the way; or an exit code after a message.
 */
int run_child_start(struct run *r)
{
	int pipe[2], code;
	pid_t pid;

	r->pid = getpid();	/* who the parent is, for the child */
	if (pipe2(pipe, O_CLOEXEC)) {
		tool_error("cannot make a pipe: %s", strerror(errno));
		return EXIT_FAILED;
	}
	fflush(NULL);
	pid = fork();
	if (!pid) {
		close(pipe[0]);
		told = pipe[1];
		child(r);
	}
	code = errno;
	close(pipe[1]);
	if (pid < 0) {
		close(pipe[0]);
		tool_error("cannot start a process: %s", strerror(code));
		return EXIT_FAILED;
	}
	r->pid = pid;
	if (r->group)
		setpgid(pid, pid);	/* whoever of us is first */
	code = wait_for(pid, pipe[0]);
	close(pipe[0]);
	return code;
}
