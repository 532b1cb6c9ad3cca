// SPDX-License-Identifier: MIT
/*
 * iceoryx's daemon. It is started for each run and killed after it: nothing of it runs
 * while others are measured. It has no state that matters, and its files go with its
 * namespace, so that it needs no time to end.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "roudi.h"

#define PROGRAM		"/usr/bin/iox-roudi"
#define CONFIG		"/tmp/roudi.toml"
#define LISTENS		"tmp/roudi"		/* in its namespace, when it is ready */
#define START_MS	5000

/* Of one file, at once, as /proc wants it. */
static int write_file(const char *path, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int write_file(const char *path, const char *format, ...)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), n;
	va_list args;

	if (fd < 0)
		return -errno;
	va_start(args, format);
	n = vdprintf(fd, format, args);
	va_end(args);
	close(fd);
	return n < 0 ? -EIO : 0;
}

/* A user namespace too, for those who may not make the other one without. */
static int enter_user_ns(void)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int err;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return -errno;
	write_file("/proc/self/setgroups", "deny");
	err = write_file("/proc/self/uid_map", "%u %u 1", uid, uid);
	return err ? err : write_file("/proc/self/gid_map", "%u %u 1", gid, gid);
}

/* In a child: its own /tmp and /dev/shm. */
static int make_namespace(void)
{
	int err;

	if (unshare(CLONE_NEWNS)) {
		err = enter_user_ns();
		if (err)
			return err;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, NULL) ||
	    mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "size=75%"))
		return -errno;
	return 0;
}

const char *roudi_missing(void)
{
	static bool looked;
	static const char *why;
	int status = 0;
	pid_t pid;

	if (looked)
		return why;
	looked = true;
	if (access(PROGRAM, X_OK)) {
		why = "no " PROGRAM " (Debian: iceoryx)";
		return why;
	}
	pid = fork();
	if (!pid)
		_exit(make_namespace() ? 1 : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		why = "no right to a mount namespace for iox-roudi";
	return why;
}

static void __attribute__((noreturn)) become_roudi(pid_t parent, size_t size, unsigned int count)
{
	int null, err = make_namespace();

	/* Not earlier: a change of user namespace takes it back. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (err || getppid() != parent)
		_exit(1);
	if (write_file(CONFIG, "[general]\nversion = 1\n\n[[segment]]\n\n[[segment.mempool]]\n"
		       "size = %zu\ncount = %u\n", size, count))
		_exit(1);
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	execl(PROGRAM, PROGRAM, "--config-file", CONFIG, "--monitoring-mode", "off",
	      "--log-level", "off", (char *)NULL);
	_exit(1);
}

/* Until it listens. Return: whether it does. */
static bool wait_ready(pid_t pid)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	char path[64];
	struct stat st;
	int left;

	snprintf(path, sizeof(path), "/proc/%d/root/" LISTENS, pid);
	for (left = START_MS; left; left--) {
		if (!stat(path, &st) && S_ISSOCK(st.st_mode))
			return true;
		if (waitpid(pid, NULL, WNOHANG))
			return false;
		nanosleep(&pause, NULL);
	}
	return false;
}

static int open_ns(pid_t pid, const char *name)
{
	struct stat theirs, own;
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
	if (stat(path, &own))
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !fstat(fd, &theirs) && theirs.st_ino == own.st_ino) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int roudi_start(struct bench_run *run, struct roudi *roudi, size_t size, unsigned int count)
{
	pid_t parent = getpid();

	roudi->user_ns = roudi->mount_ns = -1;
	fflush(NULL);
	roudi->pid = fork();
	if (!roudi->pid)
		become_roudi(parent, size, count);
	if (roudi->pid < 0)
		return bench_error(run, 0, "fork: %s", strerror(errno));
	if (wait_ready(roudi->pid)) {
		roudi->user_ns = open_ns(roudi->pid, "user");
		roudi->mount_ns = open_ns(roudi->pid, "mnt");
		if (roudi->mount_ns >= 0)
			return 0;
	}
	roudi_stop(roudi);
	return bench_error(run, 0, "iox-roudi did not start");
}

int roudi_enter(const struct roudi *roudi)
{
	if (roudi->user_ns >= 0 && setns(roudi->user_ns, CLONE_NEWUSER))
		return -errno;
	return setns(roudi->mount_ns, CLONE_NEWNS) ? -errno : 0;
}

void roudi_stop(struct roudi *roudi)
{
	if (roudi->user_ns >= 0)
		close(roudi->user_ns);
	if (roudi->mount_ns >= 0)
		close(roudi->mount_ns);
	/* If it died, its number may be somebody else's by now. */
	if (waitpid(roudi->pid, NULL, WNOHANG))
		return;
	kill(roudi->pid, SIGKILL);
	waitpid(roudi->pid, NULL, 0);
}
